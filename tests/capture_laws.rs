//! Laws of capture, under random operations: after every checkpoint the tree is what an independent walk finds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod capture_common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use backtrail::model::{CommitId, RepoPath, TreeId};
use backtrail::store::Store;
use capture_common::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    Write(u8, u8),
    Append(u8),
    Mkdir(u8),
    Remove(u8),
    Chmod(u8, u8),
    Symlink(u8),
    Link(u8, u8),
    Rename(u8, u8),
    Exchange(u8, u8),
    Replace(u8),
    /// The same, behind the mount: then reported.
    Outside(u8, u8),
    OutsideRemove(u8),
    OutsideRename(u8, u8),
    Cut,
    /// A new start of the engine, with changes before it.
    Restart(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let n = || 0..24u8;
    prop_oneof![
        4 => (n(), any::<u8>()).prop_map(|(a, b)| Op::Write(a, b)),
        2 => n().prop_map(Op::Append),
        4 => n().prop_map(Op::Mkdir),
        2 => n().prop_map(Op::Remove),
        1 => (n(), any::<u8>()).prop_map(|(a, b)| Op::Chmod(a, b)),
        1 => n().prop_map(Op::Symlink),
        1 => (n(), n()).prop_map(|(a, b)| Op::Link(a, b)),
        4 => (n(), n()).prop_map(|(a, b)| Op::Rename(a, b)),
        2 => (n(), n()).prop_map(|(a, b)| Op::Exchange(a, b)),
        2 => n().prop_map(Op::Replace),
        2 => (n(), any::<u8>()).prop_map(|(a, b)| Op::Outside(a, b)),
        1 => n().prop_map(Op::OutsideRemove),
        1 => (n(), n()).prop_map(|(a, b)| Op::OutsideRename(a, b)),
        4 => Just(Op::Cut),
        1 => any::<u8>().prop_map(Op::Restart),
    ]
}

/// A few names, some below others, one of them left out as a directory.
fn name(n: u8) -> Vec<u8> {
    let parts: [&[u8]; 4] = [b"a", b"b-", b"c\xff", b"target"];
    let (x, y, z) = (n % 4, n / 4 % 3, n / 12);
    let mut path = parts[x as usize].to_vec();
    if y > 0 {
        path.push(b'/');
        path.extend_from_slice(parts[y as usize]);
    }
    if y > 0 && z > 0 {
        path.extend_from_slice(b"/a");
    }
    path
}

/// The walk, without directories named `target` and what they hold.
fn expected(root: &Path) -> State {
    let all = walk(root, &[]);
    let out: Vec<Vec<u8>> = all
        .iter()
        .filter(|(path, text)| {
            text.starts_with("dir") && path.split(|b| *b == b'/').next_back() == Some(b"target")
        })
        .map(|(path, _)| path.clone())
        .collect();
    all.into_iter()
        .filter(|(path, _)| {
            !out.iter()
                .any(|o| path == o || (path.starts_with(o) && path.get(o.len()) == Some(&b'/')))
        })
        .collect()
}

/// What the commits say of each path, applied one after the other, is the last tree.
fn replayed(store: &Store, tree: TreeId) {
    let mut nodes = store.commits(None, 10_000).unwrap();
    nodes.reverse();
    let last = nodes.last().unwrap();
    assert_eq!(last.commit.tree, tree);
    for (path, _) in unfold(store, tree) {
        let history = store
            .path_history(&RepoPath::new(path.clone()).unwrap(), None, 1)
            .unwrap();
        let newest = history.first().unwrap_or_else(|| {
            panic!("{} has no history", path.escape_ascii());
        });
        assert!(newest.entry.is_some(), "{}", path.escape_ascii());
    }
}

/// The leaves that differ between two trees.
fn leaves(store: &Store, a: TreeId, b: TreeId) -> BTreeSet<RepoPath> {
    backtrail::diff::tree::trees(store, a, b, &[])
        .unwrap()
        .into_iter()
        .filter(backtrail::diff::tree::PathChange::has_leaf)
        .map(|c| c.path)
        .collect()
}

/// The commits of one checkpoint share its changes out: together they are all of them, and no path is in two.
fn shared_out(store: &Store, before: TreeId, commits: &[CommitId]) {
    let mut at = before;
    let mut all = BTreeSet::new();
    for id in commits {
        let tree = store.commit(*id).unwrap().tree;
        for path in leaves(store, at, tree) {
            assert!(all.insert(path.clone()), "{path} is in two commits");
        }
        at = tree;
    }
    assert_eq!(all, leaves(store, before, at));
}

fn remove(path: &Path) {
    if fs::remove_file(path).is_err() {
        let _ = fs::remove_dir_all(path);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(60),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_tree_is_what_is_on_disk(ops in prop::collection::vec(op(), 1..60)) {
        let mut project = Project::with(|root| {
            fs::create_dir(root.join("a")).unwrap();
            fs::write(root.join("a/b-"), "first").unwrap();
        })
        .scanned();
        for op in ops.into_iter().chain([Op::Cut]) {
            let hand = project.hand("hand");
            let path = |n: u8| project.path(name(n));
            // Most operations make no sense where they are tried; then nothing happens.
            match op {
                Op::Write(n, c) => _ = hand.write(name(n), &[b'0' + c % 10]),
                Op::Append(n) => _ = hand.append(name(n), b"+"),
                Op::Mkdir(n) => _ = hand.mkdir(name(n)),
                Op::Remove(n) => _ = hand.remove_all(&name(n)),
                Op::Chmod(n, m) => _ = hand.chmod(name(n), 0o700 | u32::from(m % 64)),
                Op::Symlink(n) => _ = hand.symlink("a/b-", name(n)),
                Op::Link(a, b) => _ = hand.link(name(a), name(b)),
                Op::Rename(a, b) => _ = hand.rename(name(a), name(b), false),
                Op::Exchange(a, b) => _ = hand.rename(name(a), name(b), true),
                Op::Replace(n) => {
                    let was_dir = path(n).is_dir();
                    let _ = hand.remove_all(&name(n));
                    let _ = if was_dir { hand.write(name(n), b"file") } else { hand.mkdir(name(n)) };
                }
                Op::Outside(n, _) if hand.through_link(&name(n), false) => {}
                Op::Outside(n, c) => {
                    let _ = fs::write(path(n), [b'a' + c % 10]);
                    project.recorder.outside(&p(name(n)));
                    // Another name of the same file is another event.
                    project.recorder.outside_dir(&RepoPath::root());
                    for n in 0..24 {
                        project.recorder.outside(&p(name(n)));
                    }
                }
                Op::OutsideRemove(n) if hand.through_link(&name(n), false) => {}
                Op::OutsideRename(a, b)
                    if hand.through_link(&name(a), false) || hand.through_link(&name(b), false) => {}
                Op::OutsideRemove(n) => {
                    remove(&path(n));
                    project.recorder.outside(&p(name(n)));
                }
                Op::OutsideRename(a, b) => {
                    let _ = fs::rename(path(a), path(b));
                    project.recorder.outside(&p(name(a)));
                    project.recorder.outside(&p(name(b)));
                }
                Op::Cut => {
                    let before = project.commits();
                    let tree = project.head_tree();
                    let made = project.cut();
                    prop_assert!(made.problems.is_empty(), "{:?}", made.problems);
                    assert_same(&project.head_state(), &expected(&project.root), "cut");
                    prop_assert_eq!(project.commits() - before, made.commits.len() as u64);
                    prop_assert_eq!(made.commits.is_empty(), tree == project.head_tree());
                    replayed(&project.store, project.head_tree());
                    shared_out(&project.store, tree, &made.commits);
                    prop_assert!(project.cut().commits.is_empty());
                }
                Op::Restart(n) => {
                    let _ = fs::write(path(n % 24), "while nobody looked");
                    if !hand.through_link(&name(n / 2 % 24), false) {
                        remove(&path(n / 2 % 24));
                    }
                    project.recorder = project.reopened();
                    project.scan();
                    assert_same(&project.head_state(), &expected(&project.root), "restart");
                }
            }
        }
    }
}
