//! Trees, links and disks that mean harm: nothing is ever written outside the project, and nothing is lost.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backtrail::capture::failpoint;
use backtrail::capture::journal;
use backtrail::capture::restore::{Error, Nobody, World, plan_of};
use backtrail::diff::tree::TreeReader;
use backtrail::model::{BlobId, Entry, Kind, RepoPath, Tree, TreeId};
use backtrail::store;

use super::support::*;

struct Forged(HashMap<TreeId, Arc<Tree>>);

impl TreeReader for Forged {
    fn read_tree(&self, id: TreeId) -> Result<Arc<Tree>, store::Error> {
        Ok(Arc::clone(&self.0[&id]))
    }
}

#[test]
fn names_that_lead_out_are_refused_before_anything_happens() {
    for name in [
        &b".."[..],
        b".",
        b"",
        b"a/b",
        b"/etc/passwd",
        b"../x",
        b"a\0b",
    ] {
        let entry = Entry {
            name: name.to_vec(),
            mode: 0o644,
            kind: Kind::Fifo,
        };
        let (none, evil) = (TreeId([0; 32]), TreeId([1; 32]));
        let trees = Forged(HashMap::from([
            (none, Arc::new(Tree::default())),
            (
                evil,
                Arc::new(Tree {
                    entries: vec![entry],
                }),
            ),
        ]));
        for (from, to) in [(none, evil), (evil, none)] {
            let error = plan_of(&trees, from, to, &|_, _, _| false).unwrap_err();
            assert!(matches!(error, Error::Diff(_)), "{error}");
            assert!(!error.to_string().contains('\0'));
        }
    }
}

/// At `step`, moves the directory `d` away and puts a link to the outside in its place.
struct Diverter {
    root: PathBuf,
    step: &'static str,
    passage: usize,
    passed: Cell<usize>,
}

impl World for Diverter {
    fn open_count(&self, path: &RepoPath) -> usize {
        usize::from(path.name() == b"held")
    }

    fn at(&self, step: &'static str, _: &RepoPath) {
        if step == self.step {
            self.passed.set(self.passed.get() + 1);
            if self.passed.get() == self.passage {
                fs::rename(self.root.join("d"), self.root.join("moved")).unwrap();
                symlink("../outside", self.root.join("d")).unwrap();
            }
        }
    }
}

#[test]
fn a_link_in_the_way_never_leads_out() {
    let lab = Lab::in_memory();
    let a = state(&[
        ("d/edited", file("1")),
        ("d/held", file("1")),
        ("d/gone", file("1")),
        ("d/mode", file("1")),
        ("d/sub/edited", file("1")),
        ("d/old/f", file("1")),
        ("e", file("1")),
    ]);
    let mut b = state(&[
        ("d/edited", file("2")),
        ("d/held", file("2")),
        ("d/mode", Node::File(b"1".to_vec(), 0o600)),
        ("d/sub/edited", file("2")),
        ("d/new/f", file("2")),
        ("e", file("2")),
    ]);
    b.insert(p("d/sub"), Node::Dir(0o700));
    let outside = lab.dir.path().join("outside");
    let plan = lab.plan(&a, &b);
    let mut diverted = 0;
    for step in failpoint::NAMES {
        for passage in 1.. {
            lab.clear();
            write(&lab.root(), &a);
            // The outside looks exactly like what is expected inside.
            let _ = fs::remove_dir_all(&outside);
            fs::create_dir(&outside).unwrap();
            let inside: State = a
                .iter()
                .filter_map(|(path, n)| Some((path.moved(&p("d"), &RepoPath::root())?, n.clone())))
                .filter(|(path, _)| !path.is_root())
                .collect();
            write(&outside, &inside);
            let inodes = |dir: &Path| -> Vec<(u64, i64, i64)> {
                let stat = |path: &RepoPath| fs::symlink_metadata(at(dir, path)).unwrap();
                let times = |m: fs::Metadata| (m.ino(), m.ctime(), m.ctime_nsec());
                let paths = inside.keys().chain([&*EMPTY]);
                paths.map(|p| times(stat(p))).collect()
            };
            let before = inodes(&outside);
            let world = Diverter {
                root: lab.root(),
                step,
                passage,
                passed: Cell::new(0),
            };
            lab.apply(&plan, &world).unwrap();
            if world.passed.get() < passage {
                break;
            }
            diverted += 1;
            assert_eq!(read(&outside), inside, "{step} {passage}");
            assert_eq!(inodes(&outside), before, "{step} {passage}");
            let found = read(&lab.root());
            assert_no_staging(&found);
            assert_eq!(found[&p("d")], Node::Link(b"../outside".to_vec()));
            assert_eq!(
                found[&p("e")],
                file("2"),
                "what is elsewhere is restored: {step}"
            );
        }
    }
    assert!(diverted > 30, "only {diverted}");
}

static EMPTY: std::sync::LazyLock<RepoPath> = std::sync::LazyLock::new(RepoPath::root);

#[test]
fn links_at_the_paths_themselves_are_not_followed() {
    let lab = Lab::in_memory();
    let a = state(&[
        ("edited", file("1")),
        ("held", file("1")),
        ("mode", file("1")),
        ("gone", file("1")),
    ]);
    let b = state(&[
        ("edited", file("2")),
        ("held", file("2")),
        ("mode", Node::File(b"1".to_vec(), 0o777)),
    ]);
    let secret = lab.dir.path().join("secret");
    fs::write(&secret, "1").unwrap();
    for name in ["edited", "held", "mode", "gone", "came"] {
        symlink("../secret", lab.root().join(name)).unwrap();
    }
    let mut b = b;
    b.insert(p("came"), file("2"));
    let applied = lab.apply(&lab.plan(&a, &b), &AllOpen).unwrap();
    assert_eq!(fs::read(&secret).unwrap(), b"1");
    assert_eq!(fs::metadata(&secret).unwrap().mode() & 0o777, 0o644);
    let mut displaced = applied.displaced;
    displaced.sort();
    assert_eq!(displaced, ["came", "edited", "gone", "held", "mode"].map(p));
    assert!(
        read(&lab.root())
            .values()
            .all(|n| *n == Node::Link(b"../secret".to_vec()))
    );
}

#[test]
fn what_cannot_be_restored_is_left_with_a_word() {
    let lab = Lab::in_memory();
    let entry = |name: &str, kind: Kind| Entry {
        name: name.into(),
        mode: 0o755,
        kind,
    };
    let none = lab.store.empty_tree();
    let null = Kind::Device {
        block: false,
        rdev: 0x103,
    };
    let both = lab
        .store
        .put_tree(&Tree::new(vec![
            entry("null", null),
            entry("sock", Kind::Socket),
            entry("told", Kind::Unknown { version: 1 }),
        ]))
        .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(lab.root().join("sock")).unwrap();
    std::fs::write(lab.root().join("told"), "mine").unwrap();
    for (from, to) in [(none, both), (both, none)] {
        let plan =
            backtrail::capture::restore::plan(&lab.store, from, to, &|_, _, _| false).unwrap();
        assert!(plan.is_empty());
        let kept: Vec<_> = plan
            .kept
            .iter()
            .map(|(p, why)| format!("{p}: {why}"))
            .collect();
        assert_eq!(
            kept,
            [
                "null: a device is not restored",
                "sock: a socket is not restored",
                "told: its content is not known"
            ]
        );
        lab.apply(&plan, &Nobody).unwrap();
        assert!(lab.root().join("sock").exists());
        assert_eq!(std::fs::read(lab.root().join("told")).unwrap(), b"mine");
    }
}

#[test]
fn a_content_that_the_store_lost_leaves_that_file_and_says_so() {
    let lab = Lab::in_memory();
    let a = state(&[("f", file("1")), ("g", file("1"))]);
    write(&lab.root(), &a);
    let from = keep(&lab.store, &a);
    let blob = lab.store.put_blob(b"2").unwrap();
    let entry = |name: &str, blob: BlobId| Entry {
        name: name.into(),
        mode: 0o644,
        kind: Kind::File { blob, size: 1 },
    };
    let lost = BlobId::of(b"never stored");
    let tree = Tree::new(vec![entry("f", lost), entry("g", blob)]);
    let to = lab.store.put_tree(&tree).unwrap();
    let plan = backtrail::capture::restore::plan(&lab.store, from, to, &|_, _, _| false).unwrap();
    let applied = lab.apply(&plan, &Nobody).unwrap();
    assert_eq!(
        read(&lab.root()),
        state(&[("f", file("1")), ("g", file("2"))])
    );
    let kept: Vec<_> = applied
        .kept
        .iter()
        .map(|(p, why)| format!("{p}: {why}"))
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(
        kept[0].starts_with("f: ") && kept[0].contains(&lost.to_hex()),
        "{kept:?}"
    );
}

/// A file system of a given size, mounted for a test.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf, options: &str) -> Option<Self> {
        let options = std::ffi::CString::new(options).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("backtrail-test", &at, "tmpfs", flags, options.as_c_str()).ok()?;
        Some(Self(at))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_changes_nothing() {
    let big = "x".repeat(300_000);
    let a = state(&[
        ("edited", file("1")),
        ("gone", file("1")),
        ("held", file("1")),
        ("d/f", file("1")),
    ]);
    let b = state(&[
        ("edited", file("2")),
        ("held", file(&big)),
        ("new/f", file(&big)),
        ("new/g", file(&big)),
        ("zz", file(&big)),
    ]);
    for options in ["size=800k", "size=4m,nr_inodes=10"] {
        let lab = Lab::in_memory();
        let Some(_disk) = Disk::mount(lab.root(), options) else {
            eprintln!("skipped: a small file system cannot be mounted here");
            return;
        };
        write(&lab.root(), &a);
        let plan = lab.plan(&a, &b);
        let error = lab.apply(&plan, &AllOpen).unwrap_err();
        assert!(matches!(error, Error::Full(_)), "{error}");
        assert_eq!(read(&lab.root()), a);
        assert_eq!(lab.journal.pending().unwrap(), None);
        // With room it works.
        let more = std::ffi::CString::new("size=8m,nr_inodes=100").unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount_remount(lab.root(), flags, more.as_c_str()).unwrap();
        lab.apply(&plan, &AllOpen).unwrap();
        assert_eq!(read(&lab.root()), b);
    }
}

/// Fills the disk when the writing in place begins.
struct Filler {
    root: PathBuf,
    full: Cell<bool>,
}

impl World for Filler {
    fn open_count(&self, _: &RepoPath) -> usize {
        1
    }

    fn at(&self, step: &'static str, _: &RepoPath) {
        if step == "restore.in-place-begin" {
            let error = fs::write(self.root.join("junk"), vec![1; 8 << 20]).unwrap_err();
            self.full
                .set(error.kind() == std::io::ErrorKind::StorageFull);
        }
    }
}

#[test]
fn a_disk_that_fills_up_while_a_file_is_rewritten_in_place_tears_nothing() {
    let lab = Lab::in_memory();
    let Some(_disk) = Disk::mount(lab.root(), "size=2m") else {
        eprintln!("skipped: a small file system cannot be mounted here");
        return;
    };
    let long = "x".repeat(300_000);
    let a = state(&[("held", file("short")), ("same", file("1"))]);
    let b = state(&[("held", file(&long)), ("same", file("2"))]);
    write(&lab.root(), &a);
    let world = Filler {
        root: lab.root(),
        full: Cell::new(false),
    };
    let applied = lab.apply(&lab.plan(&a, &b), &world).unwrap();
    assert!(world.full.get());
    let mut found = read(&lab.root());
    found.remove(&p("junk")).unwrap();
    assert_eq!(found, b);
    assert_eq!(
        applied.entries,
        [p("held")],
        "exchanged after all: {applied:?}"
    );
    assert_eq!(applied.content, [p("same")]);
    assert_eq!((applied.kept, applied.displaced), (Vec::new(), Vec::new()));
}

#[test]
fn a_damaged_journal_stops_with_its_name() {
    let lab = Lab::in_memory();
    let (a, b) = (state(&[("f", file("1"))]), state(&[("f", file("2"))]));
    write(&lab.root(), &a);
    let at = lab.dir.path().join("journal/intent");
    fs::write(&at, "garbage").unwrap();
    let error = lab.apply(&lab.plan(&a, &b), &Nobody).unwrap_err();
    assert!(
        matches!(error, Error::Journal(journal::Error::Damaged { .. })),
        "{error}"
    );
    assert!(error.to_string().contains(at.to_str().unwrap()));
    assert_eq!(read(&lab.root()), a);
}
