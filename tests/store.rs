//! The store's face, used as the rooms above use it: what was put is found again, before and after a new start.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod store_common;

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use backtrail::model::{
    Attr, BlobId, Commit, CommitId, Entry, Kind, Link, LinkRule, OpKind, Ordinal, RefChange,
    RefTarget, Session, SessionId, Status, Step, Time, Tree, TreeId,
};
use backtrail::store::{
    CommitStats, Error, NewCommit, NewOperation, Publication, Store, commit_id, tree_id,
};
use store_common::{commit, file, path, scratch, step};

fn bare(commit: Commit) -> NewCommit {
    NewCommit {
        commit,
        attrs: Vec::new(),
        paths: Vec::new(),
    }
}

fn moves(name: &str, before: Option<CommitId>, after: Option<CommitId>) -> NewOperation {
    NewOperation {
        kind: OpKind::Checkpoint,
        description: "move".into(),
        refs: vec![RefChange {
            name: name.into(),
            before: before.map(RefTarget::Commit),
            after: after.map(RefTarget::Commit),
        }],
        target: None,
        workspace: None,
        time: Time(7),
    }
}

#[test]
fn blobs_of_all_sizes_come_back() {
    let dir = scratch();
    let mut noise = vec![0; 3_500_000];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let mut ids = Vec::new();
    let sizes = [0, 1, 95, 96, 4096, 1 << 20, (1 << 20) + 1, 3_500_000];
    {
        let store = Store::open(dir.path()).unwrap();
        assert!(store.opened().created);
        for n in sizes {
            let id = store.put_blob(&noise[..n]).unwrap();
            assert_eq!(id, BlobId::of(&noise[..n]));
            let mut reader = &noise[..n];
            assert_eq!(store.put_blob_from(&mut reader, 5).unwrap(), (id, n as u64));
            // Still in memory, at least in part.
            assert!(store.blob(id).unwrap() == noise[..n], "{n} bytes");
            ids.push((id, n));
        }
        let text = "the same line again\n".repeat(10_000);
        ids.push((store.put_blob(text.as_bytes()).unwrap(), usize::MAX));
        store.sync().unwrap();
    }
    let store = Store::open(dir.path()).unwrap();
    assert!(!store.opened().created);
    let (text, _) = ids.pop().unwrap();
    assert_eq!(store.blob_len(text).unwrap(), 200_000);
    assert_eq!(store.blob_range(text, 20, 8).unwrap(), b"the same");
    for (id, n) in ids {
        assert!(store.blob(id).unwrap() == noise[..n]);
        assert_eq!(store.blob_len(id).unwrap(), n as u64);
        let mut out = Vec::new();
        assert_eq!(store.write_blob_to(id, &mut out).unwrap(), n as u64);
        assert!(out == noise[..n]);
        for (offset, len) in [(0, 10), (n / 2, 700_000), (n.saturating_sub(3), 10), (n, 5)] {
            let end = (offset + len).min(n);
            assert!(store.blob_range(id, offset as u64, len).unwrap() == noise[offset..end]);
        }
    }
    let missing = store.blob(BlobId([9; 32]));
    assert!(matches!(missing, Err(Error::NotFound { what: "blob", .. })));
    assert_eq!(store.verify().unwrap().faults, []);
}

#[test]
fn the_same_content_is_stored_once() {
    let dir = scratch();
    let store = Store::open(dir.path()).unwrap();
    let pack = dir.path().join("packs/00000001.pack");
    let content = vec![7; 5000];
    store.put_blob(&content).unwrap();
    store.sync().unwrap();
    let before = pack.metadata().unwrap().len();
    for _ in 0..10 {
        store.put_blob(&content).unwrap();
    }
    store.flush_index().unwrap();
    store.put_blob(&content).unwrap();
    store.sync().unwrap();
    assert_eq!(pack.metadata().unwrap().len(), before);
}

#[test]
fn trees_are_checked_and_come_back() {
    let dir = scratch();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.empty_tree(), tree_id(&Tree::default()));
    assert_eq!(*store.tree(store.empty_tree()).unwrap(), Tree::default());
    let tree = Tree::new(vec![
        file(&store, "b", b"two"),
        Entry {
            name: b"\xff odd".to_vec(),
            mode: 0o777,
            kind: Kind::Symlink(b"../x".to_vec()),
        },
        Entry {
            name: b"dev".to_vec(),
            mode: 0o600,
            kind: Kind::Device {
                block: true,
                rdev: 77,
            },
        },
        Entry {
            name: b"sub".to_vec(),
            mode: 0o755,
            kind: Kind::Dir(store.empty_tree()),
        },
    ]);
    let id = store.put_tree(&tree).unwrap();
    assert_eq!(id, tree_id(&tree));
    assert_eq!(*store.tree(id).unwrap(), tree);
    for name in ["", ".", "..", "a/b", "a\0b"] {
        let mut bad = tree.clone();
        bad.entries[0].name = name.into();
        assert!(
            matches!(store.put_tree(&bad), Err(Error::Invalid { .. })),
            "{name:?}"
        );
    }
    let mut bad = tree;
    bad.entries.reverse();
    assert!(store.put_tree(&bad).is_err());
    assert!(store.tree(TreeId([1; 32])).is_err());
}

#[test]
fn a_graph_with_its_refs_and_operations() {
    let dir = scratch();
    let check = |store: &Store, ids: &[CommitId]| {
        let [a, b, c, d] = ids else { panic!() };
        assert_eq!(store.commit_count().unwrap(), 4);
        let nodes = store.commits(None, 10).unwrap();
        assert_eq!(
            nodes.iter().map(|n| n.id).collect::<Vec<_>>(),
            [*d, *c, *b, *a]
        );
        assert_eq!(
            nodes.iter().map(|n| n.line).collect::<Vec<_>>(),
            [0, 1, 0, 0]
        );
        assert_eq!(
            nodes.iter().map(|n| n.seq).collect::<Vec<_>>(),
            [4, 3, 2, 1]
        );
        assert_eq!(store.commits(Some(3), 1).unwrap()[0].id, *b);
        assert_eq!(store.children(*a).unwrap(), [*b, *c]);
        // The merge continues line 0 and is a child of both.
        assert_eq!(store.children(*c).unwrap(), [*d]);
        assert_eq!(store.find_commits(&a.to_hex()[..7], 9).unwrap(), [*a]);
        assert_eq!(store.find_commits("", 9).unwrap().len(), 4);
        assert_eq!(store.find_commits("zz", 9).unwrap(), []);
        assert_eq!(store.commit_at(Time(9)).unwrap(), None);
        assert_eq!(store.commit_at(Time(25)).unwrap(), Some(*b));
        assert_eq!(store.commit_at(Time(i64::MAX)).unwrap(), Some(*d));
        let refs = store.refs().unwrap();
        assert_eq!(refs.len(), 1);
        assert_eq!(refs["branch/main"], RefTarget::Commit(*d));
        let ops = store.operations(None, 10).unwrap();
        assert_eq!(ops.len(), 2);
        assert_eq!(ops[0].2.parent, Some(ops[1].1));
        assert_eq!(store.operation(ops[1].1).unwrap(), (1, ops[1].2.clone()));
        let history = store.path_history(&path("a"), None, 10).unwrap();
        assert_eq!(history.len(), 2);
        assert_eq!((history[0].seq, history[0].entry.is_none()), (2, true));
        assert_eq!(history[1].commit, *a);
        assert_eq!(
            store.path_history(&path("a"), Some(2), 10).unwrap(),
            history[1..]
        );
        // Neither a longer name nor a file below is taken for the path.
        assert_eq!(store.path_history(&path("ab"), None, 10).unwrap().len(), 1);
        assert_eq!(store.attrs(*a).unwrap()[0].mtime_ns, -5);
        assert_eq!(store.attrs(*b).unwrap(), []);
    };
    let ids;
    {
        let store = Store::open(dir.path()).unwrap();
        let e = file(&store, "a", b"content");
        let t = store.put_tree(&Tree::new(vec![e.clone()])).unwrap();
        let a = commit(t, &[], 10);
        let b = commit(t, &[commit_id(&a)], 20);
        let c = commit(store.empty_tree(), &[commit_id(&a)], 30);
        let d = commit(t, &[commit_id(&b), commit_id(&c)], 40);
        let first = NewCommit {
            commit: a,
            attrs: vec![Attr {
                path: path("a"),
                mtime_ns: -5,
                uid: 1,
                gid: 2,
            }],
            paths: vec![
                (path("a"), Some(e.clone())),
                (path("ab"), Some(e)),
                (path("a/b"), None),
            ],
        };
        let second = NewCommit {
            commit: b,
            attrs: Vec::new(),
            paths: vec![(path("a"), None)],
        };
        let p = store
            .publish(Publication {
                commits: vec![first, second],
                operation: Some(moves(
                    "branch/main",
                    None,
                    Some(commit_id(&commit(t, &[], 10))),
                )),
                ..Publication::default()
            })
            .unwrap();
        let q = store
            .publish(Publication {
                commits: vec![bare(c), bare(d)],
                operation: Some(moves(
                    "branch/main",
                    Some(p.commits[0]),
                    Some(commit_id(&commit(
                        t,
                        &[
                            p.commits[1],
                            commit_id(&commit(store.empty_tree(), &[p.commits[0]], 30)),
                        ],
                        40,
                    ))),
                )),
                ..Publication::default()
            })
            .unwrap();
        assert_eq!(q.operation.unwrap().0, 2);
        ids = [p.commits, q.commits].concat();
        check(&store, &ids);
        // Neither a ref that moved nor a commit without its tree changes anything.
        let moved = store.publish(Publication {
            operation: Some(moves("branch/main", Some(ids[0]), Some(ids[1]))),
            ..Publication::default()
        });
        assert!(matches!(moved, Err(Error::RefMoved { .. })));
        let no_tree = store.publish(Publication {
            commits: vec![bare(commit(TreeId([3; 32]), &[], 50))],
            ..Publication::default()
        });
        assert!(matches!(no_tree, Err(Error::NotFound { what: "tree", .. })));
        check(&store, &ids);
    }
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(
        store.opened().caught_up,
        0,
        "the index was made durable on drop"
    );
    check(&store, &ids);
    drop(store);
    std::fs::remove_file(dir.path().join("graph.redb")).unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert!(store.opened().rebuilt.is_some());
    check(&store, &ids);
    assert_eq!(store.verify().unwrap().faults, []);
}

#[test]
fn steps_links_sessions_newest_wins() {
    let dir = scratch();
    let store = Store::open(dir.path()).unwrap();
    let empty = store.empty_tree();
    let published = store
        .publish(Publication {
            commits: vec![bare(commit(empty, &[], 1)), bare(commit(empty, &[], 2))],
            steps: vec![step("one", 1), step("two", 2), step("three", 3)],
            ..Publication::default()
        })
        .unwrap();
    let mut later = step("two", 2);
    later.status = Status::Ok;
    store.put_step(&later).unwrap();
    let mut between = step("between", 2);
    between.ordinal.minor = 1;
    store.put_step(&between).unwrap();
    let link = |s: &Step, c: CommitId| Link {
        step: s.id,
        commit: c,
        rule: LinkRule::Path,
        confidence: 80,
    };
    store.put_link(&link(&later, published.commits[1])).unwrap();
    store.put_link(&link(&later, published.commits[0])).unwrap();
    store
        .put_link(&link(&between, published.commits[1]))
        .unwrap();
    assert!(store.put_link(&link(&later, CommitId([1; 32]))).is_err());
    let session = Session {
        id: SessionId::of("s"),
        native: "s".into(),
        agent: "claude".into(),
        command: String::new(),
        cgroup: String::new(),
        start: Time(5),
        end: None,
        exit_code: None,
        imported: false,
        branch: None,
    };
    store.put_session(&session).unwrap();
    let ended = Session {
        end: Some(Time(9)),
        ..session.clone()
    };
    store.put_session(&ended).unwrap();
    let earlier = Session {
        id: SessionId::of("t"),
        start: Time(4),
        ..session
    };
    store.put_session(&earlier).unwrap();
    let stats = CommitStats {
        files: 1,
        added: 2,
        removed: 3,
        binary: 4,
    };
    store.put_stats(published.commits[0], &stats).unwrap();
    assert_eq!(store.stats(published.commits[0]).unwrap(), Some(stats));
    assert_eq!(store.stats(published.commits[1]).unwrap(), None);

    let check = |store: &Store| {
        assert_eq!(store.step(later.id).unwrap().as_ref(), Some(&later));
        assert_eq!(
            store.step_by_ordinal(later.ordinal).unwrap().as_ref(),
            Some(&later)
        );
        assert_eq!(store.step_count().unwrap(), 4);
        assert_eq!(
            store.last_ordinal().unwrap(),
            Some(Ordinal { major: 3, minor: 0 })
        );
        let titles = |steps: Vec<Step>| steps.into_iter().map(|s| s.native).collect::<Vec<_>>();
        let after = store.steps_after(None, 10).unwrap();
        assert_eq!(titles(after), ["one", "two", "between", "three"]);
        let after = store.steps_after(Some(later.ordinal), 1).unwrap();
        assert_eq!(titles(after), ["between"]);
        let before = store.steps_before(Some(between.ordinal), 10).unwrap();
        assert_eq!(titles(before), ["two", "one"]);
        let before = store.steps_before(None, 2).unwrap();
        assert_eq!(titles(before), ["three", "between"]);
        let of_step = store.links_of_step(later.id).unwrap();
        assert_eq!(
            of_step.iter().map(|l| l.commit).collect::<Vec<_>>(),
            [published.commits[0]]
        );
        let of_commit = store.link_of_commit(published.commits[1]).unwrap().unwrap();
        assert_eq!(of_commit.step, between.id);
        assert_eq!(store.sessions().unwrap(), [ended.clone(), earlier.clone()]);
        assert_eq!(store.session(ended.id).unwrap().as_ref(), Some(&ended));
    };
    check(&store);
    store.sync().unwrap();
    drop(store);
    std::fs::remove_file(dir.path().join("graph.redb")).unwrap();
    check(&Store::open(dir.path()).unwrap());
}

#[test]
fn a_second_opener_is_told_who_has_it() {
    let dir = scratch();
    let store = Store::open(dir.path()).unwrap();
    let Err(Error::Locked { dir: named, pid }) = Store::open(dir.path()) else {
        panic!("opened twice");
    };
    assert_eq!(named, dir.path());
    assert_eq!(pid, Some(std::process::id()));
    assert!(Store::open_wait(dir.path(), Duration::from_millis(20)).is_err());
    // Whoever waits gets it as soon as it is free.
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| Store::open_wait(dir.path(), Duration::from_secs(60)));
        drop(store);
        waits.join().unwrap().unwrap();
    });
}

#[test]
fn the_store_is_for_its_owner_only() {
    let dir = scratch();
    let at = dir.path().join("a/b");
    drop(Store::open(&at).unwrap());
    assert_eq!(at.metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_reader_that_fails_leaves_nothing_wrong() {
    struct Fails(usize);
    impl Read for Fails {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                return Err(std::io::Error::other("the file went away"));
            }
            let n = into.len().min(self.0);
            into[..n].fill(self.0 as u8);
            self.0 -= n;
            Ok(n)
        }
    }
    let dir = scratch();
    let store = Store::open(dir.path()).unwrap();
    for n in [10, 5_000_000] {
        let error = store.put_blob_from(&mut Fails(n), 0).unwrap_err();
        assert!(error.to_string().contains("went away"), "{error}");
    }
    assert_eq!(store.verify().unwrap().faults, []);
}

/// Bytes in the packs.
fn packed(dir: &std::path::Path) -> u64 {
    let packs = std::fs::read_dir(dir.join("packs")).unwrap();
    packs.map(|e| e.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn a_large_file_costs_its_change() {
    let dir = store_common::scratch();
    let store = Store::open(dir.path()).unwrap();
    let mut content = vec![0; 48 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    store.put_blob(&content).unwrap();
    store.sync().unwrap();
    let first = packed(dir.path());
    // A MiB changed in the middle of it.
    let at = 20 << 20;
    blake3::Hasher::new()
        .update(b"other")
        .finalize_xof()
        .fill(&mut content[at..at + (1 << 20)]);
    store.put_blob(&content).unwrap();
    store.sync().unwrap();
    let second = packed(dir.path());
    assert!(second - first < 4 << 20, "{} bytes", second - first);
    // A line appended, as to a log.
    content.extend_from_slice(b"one more line\n");
    let whole = store.put_blob(&content).unwrap();
    store.sync().unwrap();
    let third = packed(dir.path());
    assert!(third - second < 2 << 20, "{} bytes", third - second);
    assert!(store.blob(whole).unwrap() == content);
}
