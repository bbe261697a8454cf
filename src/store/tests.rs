//! The store as a whole, against a model of it that is too simple to be wrong, and under many threads.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{
    BlobId, Cause, Commit, CommitId, Entry, Kind, Link, LinkRule, OpKind, Ordinal, RefChange,
    RefTarget, RepoPath, SessionId, Step, StepId, Time,
};

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

fn file(store: &Store, content: &[u8]) -> Entry {
    Entry {
        name: b"file".to_vec(),
        mode: 0o644,
        kind: Kind::File {
            blob: store.put_blob(content).unwrap(),
            size: content.len() as u64,
        },
    }
}

fn commit(tree: TreeId, parents: Vec<CommitId>, n: i64) -> Commit {
    Commit {
        parents,
        tree,
        git: None,
        state: None,
        author: String::new(),
        session: None,
        time: Time(n),
        cause: Cause::Quiet,
        message: String::new(),
        meta: BTreeMap::new(),
        conflict: Vec::new(),
    }
}

fn publish(store: &Store, commit: Commit, entry: Option<Entry>) -> CommitId {
    let path = RepoPath::try_from("file").unwrap();
    let published = store.publish(Publication {
        commits: vec![NewCommit {
            commit,
            attrs: Vec::new(),
            paths: vec![(path, entry)],
        }],
        ..Publication::default()
    });
    published.unwrap().commits[0]
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

fn step(n: u8, ordinal: Ordinal, title: &str) -> Step {
    let session = SessionId::of("s");
    serde_json::from_value(serde_json::json!({
        "id": StepId::of(session, &n.to_string()), "ordinal": ordinal, "kind": "thought",
        "title": title, "time": Time(0), "a field of a later version": true,
    }))
    .unwrap()
}

/// As `Store::open`, with packs that are soon full.
fn open_small(dir: &Path) -> Result<Store> {
    Store::open_with(dir, Duration::ZERO, Some(64 << 10))
}

#[test]
fn packs_follow_each_other() {
    let dir = scratch();
    let mut ids = Vec::new();
    let store = open_small(dir.path()).unwrap();
    for n in 0..40 {
        let entry = file(&store, &noise(n, 10_000));
        let tree = store.put_tree(&Tree::new(vec![entry.clone()])).unwrap();
        let parents = ids.last().copied().into_iter().collect();
        ids.push(publish(
            &store,
            commit(tree, parents, n as i64),
            Some(entry),
        ));
    }
    // Larger than a pack.
    let large = store.put_blob(&noise(99, 3_000_000)).unwrap();
    store.sync().unwrap();
    let packs = pack::list(&dir.path().join("packs")).unwrap();
    assert!(packs.len() > 6, "{packs:?}");
    assert_eq!(store.verify().unwrap().faults, []);
    let check = |store: &Store| {
        let nodes = store.commits(None, 100).unwrap();
        assert!(nodes.iter().rev().map(|n| &n.id).eq(&ids));
        assert!(store.blob(large).unwrap() == noise(99, 3_000_000));
        for n in 0..40 {
            assert!(store.blob(BlobId::of(&noise(n, 10_000))).unwrap() == noise(n, 10_000));
        }
    };
    check(&store);
    drop(store);
    check(&open_small(dir.path()).unwrap());
    fs::remove_file(dir.path().join("graph.redb")).unwrap();
    let store = open_small(dir.path()).unwrap();
    check(&store);
    drop(store);
    // A pack in the middle is lost: the rest is still there, and what is missing is named.
    fs::remove_file(dir.path().join("packs/00000003.pack")).unwrap();
    for _ in 0..2 {
        let store = open_small(dir.path()).unwrap();
        let faults = store.verify().unwrap().faults;
        assert!(
            faults.iter().any(|f| f.what.contains("is missing")),
            "{faults:?}"
        );
        let lost = (0..40)
            .filter(|n| store.blob(BlobId::of(&noise(*n, 10_000))).is_err())
            .count();
        assert!((1..20).contains(&lost), "{lost}");
        drop(store);
        fs::remove_file(dir.path().join("graph.redb")).unwrap();
    }
}

#[test]
fn threads_put_and_read_while_one_publishes() {
    let dir = scratch();
    let store = Store::open(dir.path()).unwrap();
    let done = AtomicBool::new(false);
    let content = |n: u64| noise(n, 40 + (n as usize * 7919) % 3000);
    std::thread::scope(|scope| {
        let putters: Vec<_> = (0..4u64)
            .map(|t| {
                let store = &store;
                scope.spawn(move || {
                    // Half of it is also put by a neighbour at about the same time.
                    for n in t * 2000..t * 2000 + 4000 {
                        let bytes = content(n);
                        let id = store.put_blob(&bytes).unwrap();
                        assert!(store.has_blob(id).unwrap());
                        let at = n.saturating_sub(n % 13);
                        let id = BlobId::of(&content(at.max(t * 2000)));
                        assert!(store.blob(id).unwrap() == content(at.max(t * 2000)));
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            let mut n = 0;
            while !done.load(Ordering::Acquire) {
                n += 1;
                let entry = file(&store, &content(1_000_000 + n));
                let tree = store.put_tree(&Tree::new(vec![entry.clone()])).unwrap();
                let id = publish(&store, commit(tree, vec![], n as i64), Some(entry));
                assert_eq!(store.commit(id).unwrap().tree, tree);
                store
                    .put_step(&step(1, Ordinal { major: n, minor: 0 }, ""))
                    .unwrap();
            }
        });
        for putter in putters {
            putter.join().unwrap();
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(store.verify().unwrap().faults, []);
    let commits = store.commit_count().unwrap();
    assert!(commits > 0);
    drop(store);
    let check = |store: &Store| {
        for n in 0..10_000 {
            assert!(store.blob(BlobId::of(&content(n))).unwrap() == content(n));
        }
        assert_eq!(store.commit_count().unwrap(), commits);
        assert_eq!(store.step_count().unwrap(), 1);
    };
    check(&Store::open(dir.path()).unwrap());
    fs::remove_file(dir.path().join("graph.redb")).unwrap();
    check(&Store::open(dir.path()).unwrap());
}

/// What is done to a store.
#[derive(Debug, Clone)]
enum Act {
    /// A commit upon one of the commits there are (counted back from the newest), with this content; on a branch.
    Commit {
        back: u8,
        merge: Option<u8>,
        content: u8,
        branch: u8,
    },
    Remove {
        branch: u8,
    },
    Step {
        id: u8,
        major: u8,
        minor: u8,
    },
    Link {
        commit: u8,
        step: u8,
    },
    Flush,
    Reopen,
    /// What a crash leaves: the packs as they are, the index as it was last durable or gone.
    Crash {
        index: bool,
    },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (0..5u8, proptest::option::weighted(0.2, 0..5u8), 0..6u8, 0..3u8).prop_map(
            |(back, merge, content, branch)| Act::Commit { back, merge, content, branch }),
        1 => (0..3u8).prop_map(|branch| Act::Remove { branch }),
        4 => (0..6u8, 1..6u8, 0..2u8).prop_map(|(id, major, minor)| Act::Step { id, major, minor }),
        3 => (0..9u8, 0..6u8).prop_map(|(commit, step)| Act::Link { commit, step }),
        1 => Just(Act::Flush),
        1 => Just(Act::Reopen),
        2 => any::<bool>().prop_map(|index| Act::Crash { index }),
    ];
    proptest::collection::vec(act, 1..40)
}

/// The same in plain collections.
#[derive(Default)]
struct Model {
    commits: Vec<(CommitId, Commit, u32, Option<Entry>)>,
    lines: u32,
    refs: BTreeMap<String, RefTarget>,
    operations: u64,
    steps: HashMap<StepId, Step>,
    links: HashMap<CommitId, Link>,
}

impl Model {
    fn at(&self, back: u8) -> Option<CommitId> {
        let at = self.commits.len().checked_sub(1 + usize::from(back))?;
        Some(self.commits[at].0)
    }

    fn line(&mut self, parents: &[CommitId]) -> u32 {
        let parent = parents
            .first()
            .and_then(|p| self.commits.iter().find(|c| c.0 == *p));
        if let Some((id, _, line, _)) = parent
            && !self.commits.iter().any(|c| c.1.parents.first() == Some(id))
        {
            return *line;
        }
        self.lines += 1;
        self.lines - 1
    }

    fn check(&self, store: &Store) {
        let nodes = store.commits(None, usize::MAX).unwrap();
        assert_eq!(nodes.len(), self.commits.len());
        for (i, node) in nodes.iter().rev().enumerate() {
            let (id, commit, line, _) = &self.commits[i];
            assert_eq!((node.id, &*node.commit), (*id, commit));
            assert_eq!((node.seq, node.line), (i as u64 + 1, *line));
            let children: Vec<_> = self
                .commits
                .iter()
                .filter(|c| c.1.parents.contains(id))
                .map(|c| c.0)
                .collect();
            assert_eq!(store.children(*id).unwrap(), children);
            assert_eq!(
                store.link_of_commit(*id).unwrap().as_ref(),
                self.links.get(id)
            );
            let found = store.find_commits(&id.to_hex()[..9], 5).unwrap();
            assert_eq!(found, [*id]);
            assert!(store.tree(commit.tree).is_ok());
        }
        assert_eq!(store.refs().unwrap(), self.refs);
        assert_eq!(
            store
                .operations(None, 1)
                .unwrap()
                .first()
                .map_or(0, |o| o.0),
            self.operations
        );
        let history = store
            .path_history(&RepoPath::try_from("file").unwrap(), None, 99)
            .unwrap();
        let expected = self
            .commits
            .iter()
            .enumerate()
            .rev()
            .map(|(i, c)| PathVersion {
                seq: i as u64 + 1,
                commit: c.0,
                entry: c.3.clone(),
            });
        assert!(history.into_iter().eq(expected));
        let mut steps: Vec<_> = self.steps.values().cloned().collect();
        steps.sort_by_key(|s| (s.ordinal, s.id));
        assert_eq!(store.steps_after(None, 99).unwrap(), steps);
        for step in &steps {
            let mut links: Vec<_> = self
                .links
                .values()
                .filter(|l| l.step == step.id)
                .cloned()
                .collect();
            links.sort_by_key(|l| self.commits.iter().position(|c| c.0 == l.commit));
            assert_eq!(store.links_of_step(step.id).unwrap(), links);
        }
        steps.reverse();
        assert_eq!(store.steps_before(None, 99).unwrap(), steps);
    }
}

fn moves(model: &Model, branch: u8, after: Option<CommitId>) -> NewOperation {
    let name = format!("branch/{branch}");
    NewOperation {
        kind: OpKind::Branch,
        description: String::new(),
        refs: vec![RefChange {
            before: model.refs.get(&name).cloned(),
            after: after.map(RefTarget::Commit),
            name,
        }],
        target: None,
        workspace: None,
        time: Time(model.operations as i64),
    }
}

fn act(store: &Store, model: &mut Model, act: &Act) {
    match act {
        Act::Commit {
            back,
            merge,
            content,
            branch,
        } => {
            let mut parents: Vec<_> = model.at(*back).into_iter().collect();
            parents.extend(
                merge
                    .and_then(|m| model.at(m))
                    .filter(|m| !parents.contains(m)),
            );
            let entry = (*content > 0).then(|| file(store, &noise(u64::from(*content), 300)));
            let tree = Tree::new(entry.iter().cloned().collect());
            let tree = store.put_tree(&tree).unwrap();
            let commit = commit(tree, parents, model.commits.len() as i64);
            let id = commit_id(&commit);
            let operation = moves(model, *branch, Some(id));
            model
                .refs
                .insert(operation.refs[0].name.clone(), RefTarget::Commit(id));
            let published = store.publish(Publication {
                commits: vec![NewCommit {
                    commit: commit.clone(),
                    attrs: Vec::new(),
                    paths: vec![(RepoPath::try_from("file").unwrap(), entry.clone())],
                }],
                operation: Some(operation),
                ..Publication::default()
            });
            model.operations += 1;
            let published = published.unwrap();
            assert_eq!(published.commits, [id]);
            assert_eq!(published.operation.unwrap().0, model.operations);
            let line = model.line(&commit.parents);
            model.commits.push((id, commit, line, entry));
        }
        Act::Remove { branch } => {
            let operation = moves(model, *branch, None);
            model.refs.remove(&operation.refs[0].name);
            model.operations += 1;
            let published = store.publish(Publication {
                operation: Some(operation),
                ..Publication::default()
            });
            published.unwrap();
        }
        Act::Step { id, major, minor } => {
            let ordinal = Ordinal {
                major: u64::from(*major),
                minor: u32::from(*minor),
            };
            let step = step(*id, ordinal, &format!("{}", model.steps.len()));
            store.put_step(&step).unwrap();
            model.steps.insert(step.id, step);
        }
        Act::Link { commit, step } => {
            let Some(commit) = model.at(*commit) else {
                return;
            };
            let id = StepId::of(SessionId::of("s"), &step.to_string());
            // A link to what was never stored is a fault, as `verify` would say.
            if !model.steps.contains_key(&id) {
                return;
            }
            let link = Link {
                step: id,
                commit,
                rule: LinkRule::Time,
                confidence: *step,
            };
            store.put_link(&link).unwrap();
            model.links.insert(commit, link);
        }
        Act::Flush => store.flush_index().unwrap(),
        Act::Reopen | Act::Crash { .. } => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn as_the_model_says(acts in acts()) {
        let dir = scratch();
        let mut at = dir.path().join("0");
        let mut store = open_small(&at).unwrap();
        let mut model = Model::default();
        for (n, a) in acts.iter().enumerate() {
            act(&store, &mut model, a);
            match a {
                Act::Reopen => {
                    drop(store);
                    store = open_small(&at).unwrap();
                    prop_assert_eq!(store.opened().caught_up, 0);
                }
                Act::Crash { index } => {
                    // Loose steps and links are only durable after a sync.
                    store.sync().unwrap();
                    let next = dir.path().join(n.to_string() + "c");
                    fs::create_dir_all(next.join("packs")).unwrap();
                    for pack in pack::list(&at.join("packs")).unwrap() {
                        let from = pack::pack_path(&at.join("packs"), pack);
                        fs::copy(from, pack::pack_path(&next.join("packs"), pack)).unwrap();
                    }
                    fs::copy(at.join("FORMAT"), next.join("FORMAT")).unwrap();
                    if *index {
                        fs::copy(at.join("graph.redb"), next.join("graph.redb")).unwrap();
                    }
                    store = open_small(&next).unwrap();
                    at = next;
                }
                _ => {}
            }
            model.check(&store);
        }
        prop_assert_eq!(store.verify().unwrap().faults, []);
    }
}
