//! The same random operations on a mount and on a plain directory must give the same results, errors, contents and
//! attributes, also when some of them happen behind the mount.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

mod fs_common;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fs_common::ops::{Dice, Op, Side, op, tree};
use fs_common::{World, wait_until, world};

/// The directories of every path in `op`, and the paths themselves: what a watcher outside would report.
fn touched(op: &Op) -> Vec<PathBuf> {
    match op {
        Op::Write(p, _)
        | Op::Append(p, _)
        | Op::CreateNew(p, _)
        | Op::Truncate(p, _)
        | Op::Mkdir(p, _)
        | Op::Rmdir(p)
        | Op::Unlink(p)
        | Op::Symlink(_, p)
        | Op::Chmod(p, _)
        | Op::Chown(p, _, _)
        | Op::Times(p, _, _)
        | Op::SetXattr(p, _, _, _)
        | Op::RemoveXattr(p, _)
        | Op::Fifo(p) => vec![p.clone()],
        Op::Rename(a, b, _) | Op::Link(a, b) => vec![a.clone(), b.clone()],
        _ => Vec::new(),
    }
}

/// Tells the kernel about an operation done behind the mount. A link on the way makes another path the changed one, as a
/// watcher would see it.
fn tell(w: &World, op: &Op) {
    let root = fs::canonicalize(&w.real).unwrap();
    for path in touched(op) {
        let full = w.real.join(&path);
        let mut told = vec![path.clone()];
        for real in [
            fs::canonicalize(&full).ok(),
            fs::canonicalize(full.parent().unwrap())
                .ok()
                .map(|d| d.join(full.file_name().unwrap())),
        ]
        .into_iter()
        .flatten()
        {
            if let Ok(inside) = real.strip_prefix(&root) {
                told.push(inside.to_path_buf());
            }
        }
        for t in told {
            if let Ok(t) = backtrail::model::RepoPath::new(t.as_os_str().as_bytes()) {
                w.tell.entry(&t);
                w.tell.content(&t);
            }
        }
    }
    // Hard links: the file changed under its other names as well.
    for known in w.view.writable() {
        w.tell.content(&known);
    }
    w.tell.settle();
}

fn run(seed: u64, ops: usize, outside: bool) {
    let Some(w) = world() else { return };
    let plain_dir = tempfile::tempdir_in(w.dir.path()).unwrap();
    // Creation must not depend on the umask of the tests' runner.
    let mut live = Side::new(&w.live, outside);
    let mut plain = Side::new(plain_dir.path(), outside);
    let mut real = Side::new(&w.real, outside);
    let mut dice = Dice(seed);
    let mut done = Vec::new();
    for n in 0..ops {
        let op = op(&mut dice);
        let behind = outside && !touched(&op).is_empty() && dice.roll(4) == 0;
        let expected = plain.apply(&op);
        let got = if behind {
            let r = real.apply(&op);
            tell(&w, &op);
            r
        } else {
            live.apply(&op)
        };
        done.push(format!(
            "{n} {}{op:?}",
            if behind { "(outside) " } else { "" }
        ));
        assert_eq!(
            got,
            expected,
            "seed {seed}, step {n}; the last steps:\n{}",
            done[done.len().saturating_sub(25)..].join("\n")
        );
    }
    let expected = tree(plain_dir.path());
    for (side, found) in [("real", tree(&w.real)), ("live", tree(&w.live))] {
        let missing: Vec<_> = expected.iter().filter(|l| !found.contains(l)).collect();
        let surplus: Vec<_> = found.iter().filter(|l| !expected.contains(l)).collect();
        assert!(
            missing.is_empty() && surplus.is_empty(),
            "seed {seed}: {side} lacks {missing:#?} and has {surplus:#?} after\n{}",
            done.join("\n")
        );
    }
    // What the kernel shows is what is there, to the nanosecond.
    for path in walk(&w.real) {
        let rel = path.strip_prefix(&w.real).unwrap();
        let (a, b) = (
            fs::symlink_metadata(&path).unwrap(),
            fs::symlink_metadata(w.live.join(rel)).unwrap(),
        );
        assert_eq!(
            (a.mtime(), a.mtime_nsec(), a.ctime(), a.ctime_nsec()),
            (b.mtime(), b.mtime_nsec(), b.ctime(), b.ctime_nsec()),
            "{rel:?}"
        );
    }
    drop(live);
    drop(real);
    wait_until("every handle is released", || w.view.handles() == 0);
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
    out
}

/// `count` seeds from `first` on; more when asked for by the environment.
fn seeds(first: u64, count: u64) -> std::ops::Range<u64> {
    let times = std::env::var("FS_SEEDS").map_or(1, |t| t.parse().unwrap());
    match std::env::var("FS_SEED") {
        Ok(one) => one.parse().unwrap()..one.parse::<u64>().unwrap() + 1,
        Err(_) => first..first + count * times,
    }
}

#[test]
fn as_a_plain_directory() {
    for seed in seeds(1, 20) {
        run(seed, 400, false);
    }
}

#[test]
fn as_a_plain_directory_with_changes_behind() {
    for seed in seeds(101, 15) {
        run(seed, 300, true);
    }
}
