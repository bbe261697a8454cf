//! Leaves, lineages and histories of paths against a walk over all commits, however the index came to be.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use redb::ReadableTable;

use super::tables;
use super::*;
use crate::model::{BlobId, Cause, Commit, CommitId, Entry, Kind, RepoPath, Time};

const PATHS: [&str; 5] = ["a", "d/a", "d/e/b", "d/e/c", "f/g"];
const ASKED: [&str; 9] = ["", "a", "d", "d/a", "d/e", "d/e/b", "f", "f/g", "missing"];

/// Parents among the commits before it (the first one is continued), and what it made of some of [`PATHS`].
type Made = (Vec<usize>, BTreeMap<usize, u8>);

fn history() -> impl Strategy<Value = Vec<Made>> {
    let parents = prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..3);
    let paths = prop::collection::btree_map(0..PATHS.len(), 0..4u8, 0..3);
    prop::collection::vec((parents, paths), 1..40).prop_map(|all| {
        let of = |(i, (parents, paths)): (usize, (Vec<(prop::sample::Index, bool)>, _))| {
            let mut out: Vec<usize> = Vec::new();
            for (pick, near) in parents.into_iter().filter(|_| i > 0) {
                // Mostly long lines, as in real ones.
                let parent = if near { i - 1 } else { pick.index(i) };
                if !out.contains(&parent) {
                    out.push(parent);
                }
            }
            (out, paths)
        };
        all.into_iter().enumerate().map(of).collect()
    })
}

fn path(text: &str) -> RepoPath {
    RepoPath::try_from(text).unwrap()
}

fn entry(content: u8) -> Option<Entry> {
    (content > 0).then(|| Entry {
        name: b"x".to_vec(),
        mode: 0o644,
        kind: Kind::File {
            blob: BlobId([content; 32]),
            size: 1,
        },
    })
}

fn publish(store: &Store, history: &[Made]) -> Vec<CommitId> {
    let mut ids: Vec<CommitId> = Vec::new();
    for (i, (parents, paths)) in history.iter().enumerate() {
        let commit = Commit {
            parents: parents.iter().map(|p| ids[*p]).collect(),
            tree: store.empty_tree(),
            git: None,
            state: None,
            author: String::new(),
            session: None,
            time: Time(i64::try_from(i).unwrap()),
            cause: Cause::Quiet,
            message: i.to_string(),
            meta: BTreeMap::new(),
            conflict: Vec::new(),
        };
        let paths = paths
            .iter()
            .map(|(at, content)| (path(PATHS[*at]), entry(*content)))
            .collect();
        let new = NewCommit {
            commit,
            attrs: Vec::new(),
            paths,
        };
        let published = store.publish(Publication {
            commits: vec![new],
            ..Publication::default()
        });
        ids.extend(published.unwrap().commits);
    }
    ids
}

/// A commit and its first parents, newest first.
fn line(history: &[Made], from: usize) -> Vec<usize> {
    let mut out = vec![from];
    while let Some(parent) = history[out[out.len() - 1]].0.first() {
        out.push(*parent);
    }
    out
}

fn touches(made: &Made, asked: &str) -> bool {
    let inside = |p: &str| asked.is_empty() || p == asked || p.starts_with(&format!("{asked}/"));
    made.1.keys().any(|at| inside(PATHS[*at]))
}

fn check(store: &Store, history: &[Made], ids: &[CommitId], tip: usize) {
    let id_list = |nodes: Vec<CommitNode>| nodes.iter().map(|n| n.id).collect::<Vec<_>>();
    let leaves: Vec<CommitId> = (0..ids.len())
        .rev()
        .filter(|i| !history.iter().any(|(parents, _)| parents.contains(i)))
        .map(|i| ids[i])
        .collect();
    assert_eq!(id_list(store.leaves(None, usize::MAX).unwrap()), leaves);
    assert_eq!(
        id_list(store.leaves(None, 1).unwrap()),
        leaves[..1].to_vec()
    );

    let first = line(history, tip);
    let expected: Vec<CommitId> = first.iter().map(|i| ids[*i]).collect();
    assert_eq!(
        id_list(store.first_parents(ids[tip], usize::MAX).unwrap()),
        expected
    );
    let lineage = store.lineage(ids[tip]).unwrap();
    for node in store.commits(None, usize::MAX).unwrap() {
        assert_eq!(
            lineage.has(node.line, node.seq),
            expected.contains(&node.id)
        );
    }
    for asked in PATHS {
        let at = PATHS.iter().position(|p| *p == asked).unwrap();
        let versions = |of: &mut dyn Iterator<Item = usize>| -> Vec<(CommitId, Option<Entry>)> {
            of.filter_map(|i| Some((ids[i], entry(*history[i].1.get(&at)?))))
                .collect()
        };
        let found = store
            .path_versions(&path(asked), &lineage, None, usize::MAX)
            .unwrap();
        let found: Vec<_> = found.into_iter().map(|v| (v.commit, v.entry)).collect();
        assert_eq!(found, versions(&mut first.iter().copied()), "{asked}");
        let all = store.path_history(&path(asked), None, usize::MAX).unwrap();
        let all: Vec<_> = all.into_iter().map(|v| (v.commit, v.entry)).collect();
        assert_eq!(all, versions(&mut (0..ids.len()).rev()), "{asked}");
    }
    let asked: Vec<RepoPath> = ASKED.iter().map(|p| path(p)).collect();
    let last = store.last_changes(&asked, &lineage).unwrap();
    for (asked, last) in ASKED.iter().zip(last) {
        let of_line = first.iter().filter(|i| touches(&history[**i], asked));
        let of_line: Vec<CommitId> = of_line.map(|i| ids[*i]).collect();
        assert_eq!(last, of_line.first().copied(), "{asked}");
        let found = store.touched(&path(asked), Some(&lineage), None, usize::MAX);
        assert_eq!(id_list(found.unwrap()), of_line, "{asked}");
        let of_all = (0..ids.len())
            .rev()
            .filter(|i| touches(&history[*i], asked));
        let of_all: Vec<CommitId> = of_all.map(|i| ids[i]).collect();
        let mut found = Vec::new();
        loop {
            let before = found.last().map(|n: &CommitNode| n.seq);
            let page = store.touched(&path(asked), None, before, 3).unwrap();
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        assert_eq!(id_list(found), of_all, "{asked}");
    }
}

/// Makes the index one of the first schema.
fn age(dir: &Path) {
    let db = redb::Database::create(dir.join("graph.redb")).unwrap();
    let tx = db.begin_write().unwrap();
    assert!(tx.delete_table(tables::DIRS).unwrap());
    assert!(tx.delete_table(tables::LEAVES).unwrap());
    assert!(tx.delete_table(tables::LINES).unwrap());
    {
        let mut meta = tx.open_table(tables::META).unwrap();
        let before = meta.get("schema").unwrap().map(|v| v.value());
        assert_eq!(before, Some(tables::SCHEMA));
        meta.insert("schema", 1).unwrap();
    }
    tx.commit().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn as_a_walk_says(history in history(), tip: prop::sample::Index, more in history()) {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut ids = publish(&store, &history);
        let tip = tip.index(ids.len());
        check(&store, &history, &ids, tip);
        store.put_stats(ids[0], &CommitStats { files: 7, ..CommitStats::default() }).unwrap();
        drop(store);

        // An index of the first schema is brought up, and keeps what only it has.
        age(dir.path());
        let store = Store::open(dir.path()).unwrap();
        prop_assert_eq!(store.opened().caught_up, 0);
        prop_assert_eq!(store.stats(ids[0]).unwrap().map(|s| s.files), Some(7));
        check(&store, &history, &ids, tip);

        // What comes afterwards goes on from there.
        let before = ids.len();
        let more: Vec<Made> = more
            .into_iter()
            .map(|(parents, paths)| (parents.iter().map(|p| p + before).collect(), paths))
            .enumerate()
            .map(|(i, (mut parents, paths)): (usize, Made)| {
                if i == 0 {
                    parents = vec![before - 1];
                }
                (parents, paths)
            })
            .collect();
        let whole: Vec<Made> = history.iter().cloned().chain(more).collect();
        ids = publish(&store, &whole);
        check(&store, &whole, &ids, ids.len() - 1);
        drop(store);

        // Made anew from the packs, and caught up from an index that lags behind.
        let aside = dir.path().join("graph.redb");
        fs::remove_file(&aside).unwrap();
        let store = Store::open(dir.path()).unwrap();
        prop_assert!(store.opened().rebuilt.is_some());
        check(&store, &whole, &ids, ids.len() - 1);
        store.flush_index().unwrap();
        fs::copy(&aside, dir.path().join("early")).unwrap();
        let last: Made = (vec![tip, ids.len() - 1], BTreeMap::from([(2, 3)]));
        let longer: Vec<Made> = whole.into_iter().chain([last]).collect();
        let ids = publish(&store, &longer);
        drop(store);
        fs::rename(dir.path().join("early"), &aside).unwrap();
        let store = Store::open(dir.path()).unwrap();
        prop_assert!(store.opened().caught_up > 0 && store.opened().rebuilt.is_none());
        check(&store, &longer, &ids, ids.len() - 1);
    }
}

#[test]
fn what_is_not_there_has_no_lineage() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert!(store.leaves(None, 9).unwrap().is_empty());
    assert!(store.lineage(CommitId([1; 32])).is_err());
    assert!(
        store
            .first_parents(CommitId([1; 32]), 9)
            .unwrap()
            .is_empty()
    );
}
