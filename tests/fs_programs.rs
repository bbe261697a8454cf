//! What people and agents do all day, done through a mount: editors, shells, git, archives.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

mod fs_common;

use std::fs;
use std::os::unix::fs::MetadataExt;

use fs_common::{have, sh, world};

#[test]
fn files_pass_through_both_ways() {
    let Some(w) = world() else { return };
    fs::write(w.live.join("a"), "inside").unwrap();
    assert_eq!(fs::read(w.real.join("a")).unwrap(), b"inside");
    fs::create_dir(w.real.join("d")).unwrap();
    fs::write(w.real.join("d/b"), "outside").unwrap();
    assert_eq!(fs::read(w.live.join("d/b")).unwrap(), b"outside");
    let (inside, outside) = (
        fs::metadata(w.live.join("d/b")).unwrap(),
        fs::metadata(w.real.join("d/b")).unwrap(),
    );
    assert_eq!(inside.ino(), outside.ino(), "git compares inode numbers");
    assert_eq!(inside.mtime_nsec(), outside.mtime_nsec());
    assert_eq!(sh(&w.live, "ls -a"), ".\n..\na\nd\n");
}

#[test]
fn editors_and_shells() {
    let Some(w) = world() else { return };
    sh(
        &w.live,
        "printf 'one\\ntwo\\n' > f && sed -i s/two/three/ f && cp -a f g && mv g h &&
         echo more >> h && mkdir -p a/b/c && touch a/b/c/x && ln -s ../x a/link && ln h h2 &&
         tar cf t.tar a h h2 && mkdir out && tar xf t.tar -C out && diff -r --no-dereference a out/a && rm -rf a",
    );
    assert_eq!(fs::read(w.real.join("f")).unwrap(), b"one\nthree\n");
    assert_eq!(
        fs::read(w.real.join("out/h2")).unwrap(),
        b"one\nthree\nmore\n"
    );
    assert!(!w.real.join("a").exists());
    assert_eq!(fs::metadata(w.live.join("h")).unwrap().nlink(), 2);
    assert_eq!(
        fs::metadata(w.live.join("h")).unwrap().ino(),
        fs::metadata(w.live.join("h2")).unwrap().ino()
    );
}

#[test]
fn git_works_and_agrees_with_outside() {
    let Some(w) = world() else { return };
    if !have("git") {
        return;
    }
    sh(
        &w.live,
        "git init -q -b main . && git config user.email a@b && git config user.name n &&
         mkdir src && for i in 1 2 3 4 5 6 7 8 9; do echo $i > src/f$i; done &&
         git add -A && git commit -qm one && echo changed > src/f1 && git commit -qam two &&
         git checkout -q -b side HEAD~1 && git merge -q --no-edit main && git gc -q && git fsck --strict",
    );
    assert_eq!(sh(&w.live, "git status --porcelain"), "");
    // The index written inside is believed outside without reading a file: same inode numbers and times.
    assert_eq!(sh(&w.real, "git diff-files --name-only"), "");
    assert_eq!(sh(&w.real, "git log --format=%s main"), "two\none\n");
}
