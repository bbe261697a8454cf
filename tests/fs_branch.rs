//! Branch views, mounted: as a plain directory, as a repository, as a place to build in, side by side, over restarts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

mod fs_common;

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use backtrail::capture::observe::Unobserved;
use backtrail::fs::branch_view::{Base, BranchView, Ground, pin};
use backtrail::fs::{Gate, MountOptions, Mounted};
use backtrail::model::{Entry, Kind, RepoPath, Tree, TreeId};
use backtrail::store::Store;
use fs_common::ops::{Dice, Op, Side, op, tree, without_dir_links};
use fs_common::{fuse_is_here, have, sh};

/// What the tests leave out of commits.
fn left_out(path: &RepoPath) -> bool {
    path.parts()
        .any(|p| [&b"node_modules"[..], b"target", b"c"].contains(&p))
}

/// Stores what lies in `dir`, as capture would.
fn capture(store: &Store, dir: &Path, at: &RepoPath) -> TreeId {
    let mut entries = Vec::new();
    for e in fs::read_dir(dir).unwrap() {
        let e = e.unwrap();
        let name = std::os::unix::ffi::OsStringExt::into_vec(e.file_name());
        let path = at.join(&name).unwrap();
        if left_out(&path) || name == b".git" {
            continue;
        }
        let meta = e.metadata().unwrap();
        let kind = if meta.is_dir() {
            Kind::Dir(capture(store, &e.path(), &path))
        } else if meta.is_symlink() {
            let target = fs::read_link(e.path()).unwrap();
            Kind::Symlink(std::os::unix::ffi::OsStringExt::into_vec(
                target.into_os_string(),
            ))
        } else if meta.file_type().is_fifo() {
            Kind::Fifo
        } else {
            let content = fs::read(e.path()).unwrap();
            Kind::File {
                blob: store.put_blob(&content).unwrap(),
                size: content.len() as u64,
            }
        };
        let mode = if meta.is_symlink() {
            0o777
        } else {
            meta.permissions().mode() & 0o7777
        };
        entries.push(Entry { name, mode, kind });
    }
    store.put_tree(&Tree::new(entries)).unwrap()
}

/// A project with a store.
struct Place {
    dir: tempfile::TempDir,
    project: PathBuf,
    ground: Ground,
}

impl Place {
    fn new() -> Option<Self> {
        if !fuse_is_here() {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().join("project");
        fs::create_dir(&project).unwrap();
        let ground = Ground {
            store: Arc::new(Store::open(&dir.path().join("store")).unwrap()),
            project: project.clone(),
            dir: dir.path().join("branches"),
            left_out: Arc::new(|path, _, _| left_out(path)),
        };
        Some(Self {
            dir,
            project,
            ground,
        })
    }

    fn base(&self) -> Base {
        let tree = capture(&self.ground.store, &self.project, &RepoPath::root());
        Base {
            tree,
            commit: None,
            present: Some(tree),
        }
    }

    /// A new branch, mounted.
    fn fork(&self, name: &str) -> Branch {
        let view = BranchView::create(
            &self.ground,
            name,
            self.base(),
            Arc::new(Unobserved),
            Gate::new(),
        )
        .unwrap();
        self.mount(name, view)
    }

    /// A branch as it was left, mounted.
    fn again(&self, name: &str) -> Branch {
        let view = BranchView::open(&self.ground, name, Arc::new(Unobserved), Gate::new()).unwrap();
        self.mount(name, view)
    }

    fn mount(&self, name: &str, view: Arc<BranchView>) -> Branch {
        let at = self.dir.path().join(format!("at-{name}"));
        fs::create_dir_all(&at).unwrap();
        let mounted = Mounted::mount(Arc::clone(&view), &at, MountOptions::default()).unwrap();
        Branch {
            at,
            view,
            mounted: Some(mounted),
        }
    }
}

struct Branch {
    at: PathBuf,
    view: Arc<BranchView>,
    mounted: Option<Mounted>,
}

impl Branch {
    fn close(mut self) {
        self.mounted.take().unwrap().unmount().unwrap();
    }
}

impl Drop for Branch {
    fn drop(&mut self) {
        if let Some(m) = self.mounted.take()
            && let Err(e) = m.unmount()
        {
            eprintln!("unmount: {e}");
        }
    }
}

/// Everything of a directory that a person could notice, times and inodes included.
fn everything(dir: &Path) -> Vec<String> {
    let mut out = tree(dir);
    for e in walk(dir) {
        let m = fs::symlink_metadata(&e).unwrap();
        out.push(format!(
            "{e:?} {} {} {} {}",
            m.ino(),
            m.mtime(),
            m.mtime_nsec(),
            m.mode()
        ));
    }
    out
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for e in fs::read_dir(dir).unwrap() {
        let e = e.unwrap();
        if e.file_type().unwrap().is_dir() {
            out.extend(walk(&e.path()));
        }
        out.push(e.path());
    }
    out.sort();
    out
}

/// Operations whose traces a commit keeps.
fn kept_by_a_commit(op: &Op) -> bool {
    matches!(
        op,
        Op::Write(..) | Op::Mkdir(..) | Op::Symlink(..) | Op::Rename(..) | Op::Truncate(..)
    )
}

fn differential(seed: u64, ops: usize) {
    let Some(place) = Place::new() else { return };
    let plain_dir = place.dir.path().join("plain");
    fs::create_dir(&plain_dir).unwrap();
    // Both begin with the same files; in the project a part of them is left out of the commit, and shows through.
    let mut dice = Dice(seed);
    let mut before = Side::new(&place.project, false);
    for _ in 0..150 {
        let op = op(&mut dice);
        if kept_by_a_commit(&op) {
            let _ = before.apply(&op);
        }
    }
    sh(&place.project, "cp -a . ../plain/");
    let untouched = everything(&place.project);
    let mut branch = place.fork("b");
    let mut inside = Side::new(&branch.at, false);
    let mut plain = Side::new(&plain_dir, false);
    let mut done: Vec<String> = Vec::new();
    for n in 0..ops {
        let op = op(&mut dice);
        let expected = plain.apply(&op).map(|t| without_dir_links(&t));
        let got = inside.apply(&op).map(|t| without_dir_links(&t));
        done.push(format!("{n} {op:?}"));
        assert_eq!(
            got,
            expected,
            "seed {seed}, step {n}; the last steps:\n{}",
            done[done.len().saturating_sub(25)..].join("\n")
        );
        if dice.roll(120) == 0 {
            // The engine ends and comes back.
            plain = Side::new(&plain_dir, false);
            drop(inside);
            branch.close();
            branch = place.again("b");
            inside = Side::new(&branch.at, false);
            done.push("(again)".into());
        }
    }
    if !rustix::process::geteuid().is_root() {
        // Where modes hold, what was shut is opened again on both sides, or it could not be compared.
        sh(&plain_dir, "chmod -R u+rwX .");
        sh(&branch.at, "chmod -R u+rwX .");
    }
    let lines =
        |dir: &Path| -> Vec<String> { tree(dir).iter().map(|l| without_dir_links(l)).collect() };
    let (expected, found) = (lines(&plain_dir), lines(&branch.at));
    let missing: Vec<_> = expected.iter().filter(|l| !found.contains(l)).collect();
    let surplus: Vec<_> = found.iter().filter(|l| !expected.contains(l)).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "seed {seed}: lacks {missing:#?} and has {surplus:#?} after\n{}",
        done.join("\n")
    );
    // What the branch says it is as a tree is what a capture of the plain directory gives.
    drop(inside);
    let sealed = branch.view.seal().unwrap();
    let captured = capture(&place.ground.store, &plain_dir, &RepoPath::root());
    assert_eq!(
        shown_tree(&place.ground.store, sealed),
        shown_tree(&place.ground.store, captured),
        "seed {seed}"
    );
    assert_eq!(everything(&place.project), untouched, "seed {seed}");
}

fn shown_tree(store: &Store, id: TreeId) -> Vec<String> {
    fn walk(store: &Store, id: TreeId, at: &str, out: &mut Vec<String>) {
        for e in &store.tree(id).unwrap().entries {
            let path = format!("{at}/{}", String::from_utf8_lossy(&e.name));
            match &e.kind {
                Kind::Dir(t) => {
                    out.push(format!("{path} dir {:o}", e.mode));
                    walk(store, *t, &path, out);
                }
                kind => out.push(format!("{path} {:o} {kind:?}", e.mode)),
            }
        }
    }
    let mut out = Vec::new();
    walk(store, id, "", &mut out);
    out
}

#[test]
fn as_a_plain_directory() {
    let times = std::env::var("FS_SEEDS").map_or(1, |t| t.parse().unwrap());
    let seeds = match std::env::var("FS_SEED") {
        Ok(one) => one.parse().unwrap()..one.parse::<u64>().unwrap() + 1,
        Err(_) => 1..1 + 12 * times,
    };
    for seed in seeds {
        differential(seed, 400);
    }
}

/// Bytes on disk below `dir`.
fn space(dir: &Path) -> u64 {
    walk(dir)
        .iter()
        .map(|p| fs::symlink_metadata(p).unwrap().blocks() * 512)
        .sum()
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn a_fork_copies_nothing_and_writes_each_content_out_once() {
    let Some(place) = Place::new() else { return };
    for n in 0..2000 {
        write(
            &place.project.join(format!("d{}/f{n}", n % 40)),
            &format!("text {n}"),
        );
    }
    write(&place.project.join("same"), "text 7");
    let untouched = everything(&place.project);
    let a = place.fork("a");
    let b = place.fork("b");
    assert!(space(&place.ground.dir.join("a")) < 64 * 1024);
    let materialised = place.ground.dir.join("materialised");
    let files = || walk(&materialised).iter().filter(|p| p.is_file()).count();
    assert_eq!(files(), 0);
    for at in [&a.at, &b.at] {
        assert_eq!(fs::read(at.join("d7/f7")).unwrap(), b"text 7");
        assert_eq!(fs::read(at.join("same")).unwrap(), b"text 7");
    }
    assert_eq!(files(), 1);
    assert_eq!(tree(&a.at).len(), tree(&place.project).len());
    assert_eq!(a.view.seal().unwrap(), place.base().tree);
    assert_eq!(everything(&place.project), untouched);
}

#[test]
fn two_forks_never_see_each_other() {
    let Some(place) = Place::new() else { return };
    write(&place.project.join("src/main"), "base\n");
    write(&place.project.join("node_modules/x/index"), "module\n");
    let untouched = everything(&place.project);
    let (a, b) = (place.fork("a"), place.fork("b"));
    for (branch, text) in [(&a, "of a\n"), (&b, "of b\n")] {
        sh(
            &branch.at,
            &format!(
                "printf '{text}' > src/main; printf '{text}' >> node_modules/x/index;
                 mkdir -p new/deep; printf '{text}' > new/deep/f; rm -f gone; ln -s '{text}' link"
            ),
        );
    }
    sh(&b.at, "mv src lib && rm -r node_modules");
    assert_eq!(fs::read(a.at.join("src/main")).unwrap(), b"of a\n");
    assert_eq!(
        fs::read(a.at.join("node_modules/x/index")).unwrap(),
        b"module\nof a\n"
    );
    assert_eq!(fs::read(b.at.join("lib/main")).unwrap(), b"of b\n");
    assert_eq!(fs::read(b.at.join("new/deep/f")).unwrap(), b"of b\n");
    assert!(!b.at.join("src").exists() && !b.at.join("node_modules").exists());
    assert!(!a.at.join("lib").exists());
    assert_eq!(everything(&place.project), untouched);
    // And so it is after both engines have ended.
    a.close();
    b.close();
    let (a, b) = (place.again("a"), place.again("b"));
    assert_eq!(fs::read(a.at.join("src/main")).unwrap(), b"of a\n");
    assert_eq!(
        fs::read_link(a.at.join("link")).unwrap(),
        Path::new("of a\n")
    );
    assert!(!b.at.join("node_modules").exists());
    assert_eq!(sh(&b.at, "ls"), "lib\nlink\nnew\n");
    // What comes to the project later is not in a fork, unless it is left out of commits.
    write(&place.project.join("later"), "x");
    write(&place.project.join("node_modules/later"), "x");
    assert!(!a.at.join("later").exists());
    assert!(a.at.join("node_modules/later").exists());
    assert!(!b.at.join("node_modules").exists());
}

#[test]
fn a_directory_is_renamed_without_being_copied() {
    let Some(place) = Place::new() else { return };
    for n in 0..300 {
        write(&place.project.join(format!("big/sub/f{n}")), "0123456789");
    }
    for n in 0..20 {
        write(&place.project.join(format!("node_modules/p{n}/i")), "m");
    }
    let b = place.fork("b");
    sh(
        &b.at,
        "mv big moved && mv moved/sub moved/other && mv node_modules modules",
    );
    let own = || {
        fs::read_dir(place.ground.dir.join("b/upper"))
            .unwrap()
            .count()
    };
    // The root and the directory in which a name changed: times, no content.
    assert!(own() <= 3, "{}", own());
    assert_eq!(fs::read_dir(b.at.join("moved/other")).unwrap().count(), 300);
    sh(
        &b.at,
        "echo more >> moved/other/f7; echo more >> modules/p3/i; mkdir big; echo new > big/f",
    );
    b.close();
    let b = place.again("b");
    assert_eq!(
        fs::read(b.at.join("moved/other/f7")).unwrap(),
        b"0123456789more\n"
    );
    assert_eq!(
        fs::read(b.at.join("moved/other/f8")).unwrap(),
        b"0123456789"
    );
    assert_eq!(fs::read(b.at.join("modules/p3/i")).unwrap(), b"mmore\n");
    assert_eq!(fs::read(b.at.join("modules/p4/i")).unwrap(), b"m");
    assert_eq!(
        sh(&b.at, "ls; ls big moved"),
        "big\nmodules\nmoved\nbig:\nf\n\nmoved:\nother\n"
    );
    // A left-out directory under a captured name is captured, whatever it was.
    let sealed = shown_tree(&place.ground.store, b.view.seal().unwrap());
    assert!(
        sealed.iter().any(|l| l.starts_with("/modules/p4/i ")),
        "{sealed:?}"
    );
    assert!(sealed.iter().any(|l| l.starts_with("/moved/other/f8 ")));
}

#[test]
fn open_files_outlive_their_names_and_see_what_is_written() {
    let Some(place) = Place::new() else { return };
    write(&place.project.join("f"), "0123456789");
    write(&place.project.join("gone"), "still here");
    write(&place.project.join("target/gone"), "and here");
    let b = place.fork("b");
    let mut before = File::open(b.at.join("f")).unwrap();
    let mut text = String::new();
    before.read_to_string(&mut text).unwrap();
    let writer = File::options().write(true).open(b.at.join("f")).unwrap();
    writer.write_at(b"ABC", 2).unwrap();
    text.clear();
    before.seek(SeekFrom::Start(0)).unwrap();
    before.read_to_string(&mut text).unwrap();
    assert_eq!(text, "01ABC56789");
    // Appenders do not overwrite each other.
    let mut one = File::options().append(true).open(b.at.join("f")).unwrap();
    let mut two = File::options().append(true).open(b.at.join("f")).unwrap();
    for _ in 0..20 {
        one.write_all(b"1").unwrap();
        two.write_all(b"2").unwrap();
    }
    assert_eq!(fs::metadata(b.at.join("f")).unwrap().len(), 50);
    for name in ["gone", "target/gone"] {
        let mut open = File::options()
            .read(true)
            .write(true)
            .open(b.at.join(name))
            .unwrap();
        fs::remove_file(b.at.join(name)).unwrap();
        assert_eq!(open.metadata().unwrap().nlink(), 0);
        open.write_all(b"STILL").unwrap();
        let mut text = String::new();
        open.seek(SeekFrom::Start(0)).unwrap();
        open.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("STILL") && text.ends_with("ere"), "{text}");
        assert!(!b.at.join(name).exists());
    }
    // One file under two names, also one that was not the branch's own before.
    fs::hard_link(b.at.join("f"), b.at.join("g")).unwrap();
    fs::rename(b.at.join("g"), b.at.join("h")).unwrap();
    fs::write(b.at.join("h"), "both").unwrap();
    assert_eq!(fs::read(b.at.join("f")).unwrap(), b"both");
    drop((before, writer, one, two));
    b.close();
    let b = place.again("b");
    let (f, h) = (
        fs::metadata(b.at.join("f")).unwrap(),
        fs::metadata(b.at.join("h")).unwrap(),
    );
    assert_eq!((f.ino(), f.nlink()), (h.ino(), 2));
    fs::write(b.at.join("f"), "still both").unwrap();
    assert_eq!(fs::read(b.at.join("h")).unwrap(), b"still both");
    // Content of what was removed while it was open does not stay behind.
    let own = fs::read_dir(place.ground.dir.join("b/upper"))
        .unwrap()
        .count();
    assert!(own <= 3, "{own}");
}

#[test]
fn listings_hold_while_names_go() {
    let Some(place) = Place::new() else { return };
    for n in 0..3000 {
        write(
            &place.project.join(format!("d/{n:05}-{}", "x".repeat(60))),
            "",
        );
    }
    let b = place.fork("b");
    let mut seen = std::collections::HashSet::new();
    for e in fs::read_dir(b.at.join("d")).unwrap() {
        let e = e.unwrap();
        assert!(seen.insert(e.file_name()));
        fs::remove_file(e.path()).unwrap();
    }
    assert_eq!(seen.len(), 3000);
    assert_eq!(fs::read_dir(b.at.join("d")).unwrap().count(), 0);
    fs::remove_dir(b.at.join("d")).unwrap();
    b.close();
    let b = place.again("b");
    assert!(!b.at.join("d").exists());
}

#[test]
fn the_repository_inside_is_its_own_and_complete() {
    let Some(place) = Place::new() else { return };
    if !have("git") {
        return;
    }
    sh(
        &place.project,
        "git init -q -b main . && git config user.email a@b && git config user.name n &&
         mkdir src && for i in 1 2 3 4 5 6 7 8 9; do echo $i > src/f$i; done &&
         git add -A && git commit -qm one && git tag v1 && git pack-refs --all && git gc -q &&
         echo changed > src/f1 && git commit -qam two && echo lock > .git/index.lock",
    );
    let untouched = everything(&place.project);
    let (a, b) = (place.fork("a"), place.fork("b"));
    assert!(space(&place.ground.dir.join("a")) < 256 * 1024);
    for (branch, name) in [(&a, "a"), (&b, "b")] {
        assert_eq!(sh(&branch.at, "git status --porcelain"), "");
        assert_eq!(
            sh(&branch.at, "git log --format=%s main; git tag"),
            "two\none\nv1\n"
        );
        sh(
            &branch.at,
            &format!(
                "echo {name} > src/f2 && git commit -qam 'of {name}' && git checkout -q -b side v1 &&
                 echo {name} > src/new && git add src/new && git commit -qm side &&
                 git merge -q --no-edit main && git gc -q --prune=now && git fsck --strict"
            ),
        );
        assert_eq!(
            sh(&branch.at, "git log --format=%s main"),
            format!("of {name}\ntwo\none\n")
        );
        assert_eq!(sh(&branch.at, "git status --porcelain"), "");
    }
    assert_eq!(
        everything(&place.project),
        untouched,
        "the user's repository"
    );
    fs::remove_file(place.project.join(".git/index.lock")).unwrap();
    a.close();
    let a = place.again("a");
    assert_eq!(
        sh(&a.at, "git log --format=%s main && git status --porcelain"),
        "of a\ntwo\none\n"
    );
    // A clean-up in the project takes nothing away from a fork that has not looked at its objects yet.
    let c = place.fork("c");
    assert!(pin(&place.project, &place.ground.dir.join("pins")).unwrap() > 0);
    assert_eq!(
        pin(&place.project, &place.ground.dir.join("pins")).unwrap(),
        0
    );
    sh(
        &place.project,
        "git reset -q --hard v1 && git reflog expire --expire=now --all && git gc -q --prune=now",
    );
    assert_eq!(
        sh(
            &c.at,
            "git log --format=%s main && git fsck --strict && git status --porcelain"
        ),
        "two\none\n"
    );
}

#[test]
fn a_worktree_becomes_a_repository() {
    let Some(place) = Place::new() else { return };
    if !have("git") {
        return;
    }
    let main = place.dir.path().join("main");
    fs::create_dir(&main).unwrap();
    sh(
        &main,
        "git init -q -b main . && git config user.email a@b && git config user.name n &&
         echo 1 > f && git add f && git commit -qm one && git branch work && git worktree add -q ../wt work",
    );
    sh(
        place.dir.path(),
        "rmdir project && git -C main worktree move ../wt ../project",
    );
    let untouched = (everything(&main), everything(&place.project));
    let b = place.fork("b");
    assert!(b.at.join(".git").is_dir());
    assert_eq!(sh(&b.at, "git status --porcelain -b"), "## work\n");
    sh(
        &b.at,
        "echo 2 > f && git commit -qam two && git fsck --strict",
    );
    assert_eq!(sh(&b.at, "git log --format=%s"), "two\none\n");
    assert_eq!(sh(&main, "git log --format=%s work"), "one\n");
    assert_eq!((everything(&main), everything(&place.project)), untouched);
}

#[test]
fn builds_go_on_where_the_project_left_them() {
    let Some(place) = Place::new() else { return };
    if !have("make") || !have("cc") {
        return;
    }
    write(
        &place.project.join("Makefile"),
        "target/app: target/a.o target/b.o\n\tcc -o $@ $^\ntarget/%.o: %.c\n\tmkdir -p target\n\tcc -c -o $@ $<\n",
    );
    write(
        &place.project.join("a.c"),
        "int b(void);\nint main(void){return b();}\n",
    );
    write(&place.project.join("b.c"), "int b(void){return 3;}\n");
    sh(&place.project, "touch -d '1 hour ago' *.c; make -s");
    let untouched = everything(&place.project);
    let (a, b) = (place.fork("a"), place.fork("b"));
    // A file whose time is not known has that of the fork, so the first build may do all of it.
    sh(&a.at, "make -s && make -q");
    sh(
        &a.at,
        "sleep 0.02; echo 'int b(void){return 4;}' > b.c; make > log; ! grep a.o: log",
    );
    sh(&a.at, "target/app || test $? = 4");
    sh(&b.at, "make -s; target/app || test $? = 3");
    assert_eq!(everything(&place.project), untouched);
    a.close();
    let a = place.again("a");
    sh(&a.at, "make -q; target/app || test $? = 4");
}

#[test]
fn drift_of_what_shows_through_is_noted() {
    let Some(place) = Place::new() else { return };
    write(&place.project.join("target/copied"), "1");
    write(&place.project.join("target/shown"), "1");
    write(&place.project.join("target/same"), "1");
    let b = place.fork("b");
    fs::write(b.at.join("target/copied"), "mine").unwrap();
    assert_eq!(fs::read(b.at.join("target/same")).unwrap(), b"1");
    assert!(b.view.drift().is_empty(), "{:?}", b.view.drift());
    fs::write(place.project.join("target/copied"), "theirs").unwrap();
    fs::write(place.project.join("target/shown"), "new").unwrap();
    assert_eq!(fs::read(b.at.join("target/copied")).unwrap(), b"mine");
    assert_eq!(fs::read(b.at.join("target/shown")).unwrap(), b"new");
    let drift: Vec<String> = b.view.drift().iter().map(ToString::to_string).collect();
    assert_eq!(drift, ["target/copied", "target/shown"]);
    // The project's file replaced while it is open here: whoever opens it anew sees the new one.
    let open = File::open(b.at.join("target/same")).unwrap();
    sh(
        &place.project,
        "echo 2 > target/x && mv target/x target/same",
    );
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(fs::read(b.at.join("target/same")).unwrap(), b"2\n");
    drop(open);
    assert_eq!(fs::read(b.at.join("target/same")).unwrap(), b"2\n");
}

#[test]
fn making_one_is_quick_whatever_the_size() {
    let Some(place) = Place::new() else { return };
    // A tree of 100,000 files, in the store only.
    let store = &place.ground.store;
    let blob = store.put_blob(b"x").unwrap();
    let mut dirs = Vec::new();
    for d in 0..100 {
        let files = (0..1000)
            .map(|f| Entry {
                name: format!("f{d}-{f}").into_bytes(),
                mode: 0o644,
                kind: Kind::File { blob, size: 1 },
            })
            .collect();
        dirs.push(Entry {
            name: format!("d{d}").into_bytes(),
            mode: 0o755,
            kind: Kind::Dir(store.put_tree(&Tree::new(files)).unwrap()),
        });
    }
    let tree = store.put_tree(&Tree::new(dirs)).unwrap();
    let base = Base {
        tree,
        commit: None,
        present: None,
    };
    let mut best = std::time::Duration::MAX;
    for n in 0..10 {
        let start = Instant::now();
        BranchView::create(
            &place.ground,
            &format!("b{n}"),
            base,
            Arc::new(Unobserved),
            Gate::new(),
        )
        .unwrap();
        best = best.min(start.elapsed());
    }
    assert!(best.as_millis() < 10, "{best:?}");
    assert!(space(&place.ground.dir) < 10 * 64 * 1024);
    let b = place.again("b3");
    assert_eq!(fs::read_dir(b.at.join("d7")).unwrap().count(), 1000);
    assert_eq!(fs::read(b.at.join("d99/f99-999")).unwrap(), b"x");
    let bad = BranchView::create(&place.ground, "b3", base, Arc::new(Unobserved), Gate::new());
    assert!(bad.unwrap_err().to_string().contains("already"));
    for name in ["", "..", "a/b", ".x", "pins"] {
        assert!(
            BranchView::create(&place.ground, name, base, Arc::new(Unobserved), Gate::new())
                .is_err()
        );
    }
    drop(b);
    BranchView::remove(&place.ground, "b3").unwrap();
    assert!(!place.ground.dir.join("b3").exists());
}

/// Many at once, in one fork and side by side: nobody waits for ever, nothing is lost.
#[test]
fn many_write_at_once() {
    let Some(place) = Place::new() else { return };
    for n in 0..40 {
        write(&place.project.join(format!("d/f{n}")), "0");
        write(&place.project.join(format!("node_modules/f{n}")), "0");
    }
    let untouched = everything(&place.project);
    let forks = [place.fork("a"), place.fork("b")];
    std::thread::scope(|s| {
        for fork in &forks {
            let at = &fork.at;
            for t in 0..4 {
                s.spawn(move || {
                    for n in 0..40 {
                        for dir in ["d", "node_modules"] {
                            let mut f = File::options()
                                .append(true)
                                .open(at.join(format!("{dir}/f{n}")))
                                .unwrap();
                            f.write_all(&[b'1' + t]).unwrap();
                        }
                        let mine = at.join(format!("t{t}"));
                        let moved = at.join(format!("d/moved{t}"));
                        fs::create_dir_all(mine.join("x/y")).unwrap();
                        fs::write(mine.join("x/y/z"), format!("{n}")).unwrap();
                        let _ = fs::remove_dir_all(&moved);
                        fs::rename(&mine, &moved).unwrap();
                        assert_eq!(
                            fs::read(moved.join("x/y/z")).unwrap(),
                            format!("{n}").as_bytes()
                        );
                        let _ = walk(&at.join("node_modules"));
                    }
                });
            }
        }
    });
    for fork in &forks {
        for n in 0..40 {
            for dir in ["d", "node_modules"] {
                let mut text = fs::read(fork.at.join(format!("{dir}/f{n}"))).unwrap();
                text.sort_unstable();
                assert_eq!(text, b"01234", "{dir}/f{n}");
            }
        }
        for t in 0..4 {
            let z = fork.at.join(format!("d/moved{t}/x/y/z"));
            assert_eq!(fs::read(z).unwrap(), b"39");
        }
    }
    assert_eq!(everything(&place.project), untouched);
}
