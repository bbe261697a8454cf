//! Tests of the logic without a mount: what the table says at any moment of a crash, and hostile layers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use super::super::attr::FileKind;
use super::super::gate::Gate;
use super::super::inode::ROOT;
use super::super::view::{Ctx, Fault, RenameKind, SetAttr, View, WriteAt};
use super::{Base, BranchView, Ground};
use crate::capture::observe::Unobserved;
use crate::model::{Entry, Kind, Tree, Writer};
use crate::store::Store;

fn ground(dir: &Path) -> Ground {
    let project = dir.join("project");
    std::fs::create_dir_all(project.join("target")).unwrap();
    std::fs::write(project.join("target/out"), "built").unwrap();
    Ground {
        store: Arc::new(Store::open(&dir.join("store")).unwrap()),
        project,
        dir: dir.join("branches"),
        left_out: Arc::new(|path, _, _| path.parts().any(|p| p == b"target")),
    }
}

fn base(store: &Store) -> Base {
    let file = |name: &str, text: &str| Entry {
        name: name.into(),
        mode: 0o644,
        kind: Kind::File {
            blob: store.put_blob(text.as_bytes()).unwrap(),
            size: text.len() as u64,
        },
    };
    let sub = store
        .put_tree(&Tree::new(vec![file("x", "of x"), file("y", "of y")]))
        .unwrap();
    let dir = Entry {
        name: b"dir".to_vec(),
        mode: 0o755,
        kind: Kind::Dir(sub),
    };
    let tree = store
        .put_tree(&Tree::new(vec![file("a", "of a"), file("b", "of b"), dir]))
        .unwrap();
    Base {
        tree,
        commit: None,
        present: None,
    }
}

fn make(ground: &Ground, name: &str) -> Arc<BranchView> {
    let base = base(&ground.store);
    BranchView::create(ground, name, base, Arc::new(Unobserved), Gate::new()).unwrap()
}

fn open(ground: &Ground, name: &str) -> Arc<BranchView> {
    BranchView::open(ground, name, Arc::new(Unobserved), Gate::new()).unwrap()
}

fn me() -> Ctx {
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    Ctx::new(Writer::outside(), uid, gid, None)
}

fn at(view: &BranchView, path: &str) -> Result<u64, Errno> {
    path.split('/')
        .filter(|p| !p.is_empty())
        .try_fold(ROOT, |dir, name| {
            view.lookup(dir, name.as_bytes())?
                .map(|e| e.attr.ino)
                .ok_or(Errno::NOENT)
        })
}

fn read(view: &BranchView, ino: u64) -> Vec<u8> {
    let opened = view.open(&me(), ino, 0).unwrap();
    let data = view.read(opened.fh, 0, 1 << 16).unwrap();
    view.release(opened.fh);
    data
}

fn write(view: &BranchView, ino: u64, text: &[u8]) {
    let flags = rustix::fs::OFlags::RDWR.bits().cast_signed();
    let opened = view.open(&me(), ino, flags).unwrap();
    let what = WriteAt {
        offset: 0,
        data: text,
        append: false,
        write_back: false,
        kill_set_id: false,
    };
    view.write(&me(), ino, opened.fh, &what).unwrap();
    view.release(opened.fh);
}

/// Paths with their contents.
fn state(view: &BranchView) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let mut dirs = vec![(ROOT, String::new())];
    while let Some((dir, path)) = dirs.pop() {
        let mut names = Vec::new();
        view.readdir(dir, 0, false, &mut |item| {
            names.push((item.name.to_vec(), item.kind));
            true
        })
        .unwrap();
        for (name, kind) in names {
            if name == b"." || name == b".." {
                continue;
            }
            let ino = view.lookup(dir, &name).unwrap().unwrap().attr.ino;
            let path = format!("{path}/{}", String::from_utf8_lossy(&name));
            if kind == FileKind::Dir {
                dirs.push((ino, path.clone()));
                out.insert(path, "dir".to_owned());
            } else {
                out.insert(path, String::from_utf8(read(view, ino)).unwrap());
            }
        }
    }
    out
}

#[test]
fn after_a_crash_at_any_byte_it_is_a_state_that_was() {
    let t = tempfile::tempdir().unwrap();
    let ground = ground(t.path());
    let view = make(&ground, "b");
    let me = me();
    let mut states = vec![state(&view)];
    let mut did = |view: &BranchView| states.push(state(view));
    view.unlink(&me, ROOT, b"a").unwrap();
    did(&view);
    view.rename(&me, (ROOT, b"dir"), (ROOT, b"moved"), RenameKind::Replace)
        .unwrap();
    did(&view);
    let moved = at(&view, "moved").unwrap();
    view.mkdir(&me, moved, b"new", 0o755).unwrap();
    did(&view);
    view.rename(&me, (ROOT, b"b"), (moved, b"x"), RenameKind::Exchange)
        .unwrap();
    did(&view);
    let x = at(&view, "moved/x").unwrap();
    view.link(&me, x, ROOT, b"twice").unwrap();
    did(&view);
    view.rename(&me, (moved, b"y"), (ROOT, b"twice"), RenameKind::Replace)
        .unwrap();
    did(&view);
    drop(view);
    let names = ground.dir.join("b/names");
    let whole = std::fs::read(&names).unwrap();
    let mut reached = std::collections::BTreeSet::new();
    // Backwards: opening takes away the content of what the table does not name.
    for cut in (0..=whole.len()).rev() {
        std::fs::write(&names, &whole[..cut]).unwrap();
        let view = open(&ground, "b");
        let now = state(&view);
        let which = states.iter().position(|s| *s == now);
        reached.insert(which.unwrap_or_else(|| panic!("cut at {cut}: {now:?}")));
    }
    assert_eq!(reached.len(), states.len(), "every state is reached");
}

#[test]
fn what_is_written_is_there_again_and_what_was_removed_leaves_nothing() {
    let t = tempfile::tempdir().unwrap();
    let ground = ground(t.path());
    let view = make(&ground, "b");
    let me = me();
    write(&view, at(&view, "dir/x").unwrap(), b"OF");
    write(&view, at(&view, "target/out").unwrap(), b"BUILT");
    let (made, opened) = view.create(&me, ROOT, b"made", 0o600, 2).unwrap();
    view.unlink(&me, ROOT, b"made").unwrap();
    let before = state(&view);
    assert_eq!(before["/dir/x"], "OF x");
    assert_eq!(before["/target/out"], "BUILT");
    assert!(!before.contains_key("/made"));
    assert_eq!(view.getattr(made.attr.ino, None).unwrap().nlink, 0);
    let files = || {
        std::fs::read_dir(ground.dir.join("b/upper"))
            .unwrap()
            .count()
    };
    let held = files();
    let numbers: Vec<u64> = ["dir", "dir/x", "dir/y", "target/out"]
        .map(|p| at(&view, p).unwrap())
        .into();
    // The engine dies with the file open.
    let _ = opened;
    drop(view);
    let view = open(&ground, "b");
    assert_eq!(files(), held - 1);
    assert_eq!(state(&view), before);
    let again: Vec<u64> = ["dir", "dir/x", "dir/y", "target/out"]
        .map(|p| at(&view, p).unwrap())
        .into();
    assert_eq!(again, numbers);
    assert_eq!(
        std::fs::read(ground.project.join("target/out")).unwrap(),
        b"built"
    );
}

#[test]
fn what_the_kernel_would_refuse_is_refused() {
    let t = tempfile::tempdir().unwrap();
    let ground = ground(t.path());
    let view = make(&ground, "b");
    let me = me();
    let os = |r: Result<(), Fault>| match r {
        Err(Fault::Os(e)) => e,
        other => panic!("{other:?}"),
    };
    let dir = at(&view, "dir").unwrap();
    let replace = RenameKind::Replace;
    assert_eq!(os(view.rmdir(&me, ROOT, b"dir")), Errno::NOTEMPTY);
    assert_eq!(os(view.unlink(&me, ROOT, b"dir")), Errno::ISDIR);
    assert_eq!(os(view.rmdir(&me, ROOT, b"a")), Errno::NOTDIR);
    assert_eq!(
        os(view.rename(&me, (ROOT, b"dir"), (dir, b"in"), replace)),
        Errno::INVAL
    );
    assert_eq!(
        os(view.rename(&me, (ROOT, b"a"), (ROOT, b"dir"), replace)),
        Errno::ISDIR
    );
    assert_eq!(
        os(view.rename(&me, (ROOT, b"no"), (ROOT, b"a"), replace)),
        Errno::NOENT
    );
    let long = vec![b'n'; 256];
    assert_eq!(view.lookup(ROOT, &long).unwrap_err(), Errno::NAMETOOLONG);
    assert_eq!(
        view.mkdir(&me, ROOT, &long, 0o755).unwrap_err(),
        Fault::Os(Errno::NAMETOOLONG)
    );
    assert_eq!(view.getattr(4711, None).unwrap_err(), Errno::STALE);
    assert_eq!(view.read(99, 0, 10).unwrap_err(), Errno::BADF);
    // Nothing of that left a trace.
    assert_eq!(view.seal().unwrap(), base(&ground.store).tree);
}

#[test]
fn a_link_in_the_project_leads_nowhere() {
    let t = tempfile::tempdir().unwrap();
    let ground = ground(t.path());
    let secret = t.path().join("secret");
    std::fs::create_dir(&secret).unwrap();
    std::fs::write(secret.join("key"), "s").unwrap();
    let view = make(&ground, "b");
    let target = at(&view, "target").unwrap();
    assert!(view.lookup(target, b"out").unwrap().is_some());
    // The left-out directory becomes a link to somewhere else behind our back.
    std::fs::remove_dir_all(ground.project.join("target")).unwrap();
    std::os::unix::fs::symlink(&secret, ground.project.join("target")).unwrap();
    assert_eq!(view.lookup(target, b"key").unwrap(), None);
    let link = view.lookup(ROOT, b"target").unwrap().unwrap();
    assert_eq!(link.attr.kind, FileKind::Symlink);
}

#[test]
fn a_truncation_fetches_nothing() {
    let t = tempfile::tempdir().unwrap();
    let ground = ground(t.path());
    let view = make(&ground, "b");
    let a = at(&view, "a").unwrap();
    let flags = rustix::fs::OFlags::WRONLY.bits().cast_signed();
    let opened = view.open(&me(), a, flags).unwrap();
    let set = SetAttr {
        size: Some(0),
        ..SetAttr::default()
    };
    assert_eq!(view.setattr(&me(), a, &set).unwrap().size, 0);
    view.release(opened.fh);
    let cache = ground.dir.join("materialised");
    let boot = std::fs::read_dir(cache).unwrap().next().unwrap().unwrap();
    assert_eq!(std::fs::read_dir(boot.path()).unwrap().count(), 0);
    assert_eq!(read(&view, a), b"");
}
