//! A merge of two branches that changed 1,000 files each, over a project of 100,000 files, computed in memory: the base
//! from the graph, the trees, the contents. `cargo bench --bench merge`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark"
)]

use std::time::{Duration, Instant};

use backtrail::merge::base;
use backtrail::model::{Cause, Commit, CommitId, Entry, Kind, Time, Tree, TreeId};
use backtrail::store::{NewCommit, Publication, Store, commit_id};

const DIRS: usize = 1_000;
const FILES: usize = 100;
const CHANGED: usize = 1_000;
const BOUND: Duration = Duration::from_millis(500);

fn content(file: usize, side: Option<(&str, usize)>) -> Vec<u8> {
    (0..60)
        .map(|line| match side {
            Some((word, at)) if at == line => format!("{word} changed line {line} of {file}\n"),
            _ => format!("line {line} of file {file}\n"),
        })
        .collect::<String>()
        .into_bytes()
}

/// The whole project, where `side` says so with a changed line in some files.
fn project(store: &Store, side: Option<(&str, usize, usize)>) -> TreeId {
    let mut root = Vec::new();
    for dir in 0..DIRS {
        let mut entries = Vec::new();
        for n in 0..FILES {
            let file = dir * FILES + n;
            // Every hundredth file; half of what one side changes the other changes too, elsewhere.
            let change = side.and_then(|(word, line, from)| {
                let at = file / 50;
                (file.is_multiple_of(50) && at >= from && at < from + CHANGED)
                    .then_some((word, line))
            });
            let text = content(file, change);
            let blob = store.put_blob(&text).unwrap();
            entries.push(Entry {
                name: format!("file-{n:03}.txt").into_bytes(),
                mode: 0o644,
                kind: Kind::File {
                    blob,
                    size: text.len() as u64,
                },
            });
        }
        let tree = store.put_tree(&Tree::new(entries)).unwrap();
        root.push(Entry {
            name: format!("dir-{dir:04}").into_bytes(),
            mode: 0o755,
            kind: Kind::Dir(tree),
        });
    }
    store.put_tree(&Tree::new(root)).unwrap()
}

fn commit(store: &Store, tree: TreeId, parents: Vec<CommitId>) -> CommitId {
    let commit = Commit {
        parents,
        tree,
        git: None,
        state: None,
        author: String::new(),
        session: None,
        time: Time::now(),
        cause: Cause::Manual,
        message: String::new(),
        meta: Default::default(),
        conflict: Vec::new(),
    };
    let id = commit_id(&commit);
    store
        .publish(Publication {
            commits: vec![NewCommit {
                commit,
                attrs: Vec::new(),
                paths: Vec::new(),
            }],
            ..Publication::default()
        })
        .unwrap();
    id
}

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs);
    {
        let store = Store::open(dir.path()).unwrap();
        let first = commit(&store, project(&store, None), Vec::new());
        ours = commit(&store, project(&store, Some(("ours", 10, 0))), vec![first]);
        theirs = commit(
            &store,
            project(&store, Some(("theirs", 40, CHANGED / 2))),
            vec![first],
        );
    }
    let mut times = Vec::new();
    for _ in 0..7 {
        // Nothing is in the store's caches.
        let store = Store::open(dir.path()).unwrap();
        let start = Instant::now();
        let (bases, merged) =
            base::merge(&store, &store, store.empty_tree(), ours, theirs).unwrap();
        times.push(start.elapsed());
        assert_eq!(bases.len(), 1);
        assert!(merged.conflicts.is_empty(), "{}", merged.conflicts.len());
        assert_eq!(merged.changes.len(), CHANGED);
        assert_eq!(merged.joined.len(), CHANGED / 2);
    }
    times.sort_unstable();
    let (middle, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "merge of 2 x {CHANGED} changed files over {} files, in memory: {} ms (worst {} ms, bound {} ms)",
        DIRS * FILES,
        middle.as_millis(),
        worst.as_millis(),
        BOUND.as_millis()
    );
    assert!(middle <= BOUND, "slower than the bound");
}
