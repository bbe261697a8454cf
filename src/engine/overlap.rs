//! Early warning: which of the branches at work meet, that is, change the same paths or would conflict in a merge.
//!
//! The open forks and the workspace's branch are compared pair by pair, whenever one of their latest commits has moved, on a
//! thread of its own: no request and no checkpoint waits for it, and it writes nothing. A pair of commits never changes, so
//! what was found for it is kept as long as the pair is at work. What would cost too much is said to be untried.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::debug::rev;
use crate::diff::tree::{self, PathChange};
use crate::merge;
use crate::model::{CommitId, RefTarget, RepoPath};
use crate::store::Store;

use super::api::{Meeting, MergeTry};
use super::core::Core;

/// Branches that are held against each other; of more, the first by name.
const BRANCHES: usize = 12;
/// Paths that are named.
const NAMED: usize = 20;
/// Paths that both sides may have changed for a merge to be tried, and their contents' bytes.
const PATHS: usize = 2_000;
const BYTES: u64 = 64 << 20;
/// News that come together are one.
const GATHER: Duration = Duration::from_millis(100);
/// At most so much of the time is spent on it: after a round it rests this many times as long.
const REST: u32 = 4;
const LONGEST_REST: Duration = Duration::from_secs(20);

/// Why a pair could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Trees could not be compared.
    #[error(transparent)]
    Diff(#[from] tree::Error),
    /// A merge could not be tried.
    #[error(transparent)]
    Merge(#[from] merge::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
}

/// What two commits have in common; `None`: nothing that anybody has to know.
type Found = Option<(usize, Vec<RepoPath>, MergeTry)>;

/// The thread that compares, and what it found last.
pub struct Overlaps {
    wake: SyncSender<()>,
    found: Arc<Mutex<Vec<Meeting>>>,
}

impl Overlaps {
    /// Starts the thread. It ends when the core does.
    pub fn start(core: &Arc<Core>) -> std::io::Result<Self> {
        // One that waits says it all.
        let (wake, news) = sync_channel(1);
        let found = Arc::default();
        let (core, out) = (Arc::downgrade(core), Arc::clone(&found));
        thread::Builder::new()
            .name("overlaps".to_owned())
            .spawn(move || run(&core, &news, &out))?;
        Ok(Self { wake, found })
    }

    /// Something may have moved.
    pub fn look(&self) {
        // Full: it is going to look anyway. Gone: the engine ends.
        let _ = self.wake.try_send(());
    }

    /// What was found last.
    #[must_use]
    pub fn found(&self) -> Vec<Meeting> {
        self.found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn run(core: &Weak<Core>, news: &Receiver<()>, out: &Mutex<Vec<Meeting>>) {
    let mut known: HashMap<(CommitId, CommitId), Found> = HashMap::new();
    let mut last = BTreeMap::new();
    while news.recv().is_ok() {
        thread::sleep(GATHER);
        while news.try_recv().is_ok() {}
        let begun = Instant::now();
        {
            let Some(core) = core.upgrade() else { return };
            let tips = match at_work(&core) {
                Ok(tips) => tips,
                Err(e) => {
                    tracing::warn!("the branches at work cannot be told: {e}");
                    continue;
                }
            };
            if tips == last {
                continue;
            }
            let meetings = compare_all(&core.store, &tips, &mut known);
            last = tips;
            let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
            if *out == meetings {
                continue;
            }
            *out = meetings;
            drop(out);
            core.tell_status();
        }
        let rest = (begun.elapsed() * REST).min(LONGEST_REST);
        // The end of the engine is not kept waiting, and what comes meanwhile is not forgotten.
        let until = Instant::now() + rest;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if core.strong_count() == 0 {
                return;
            }
            thread::sleep(left.min(GATHER));
        }
    }
}

/// The branches at work, with their latest commits; none when the workspace's is the only one.
fn at_work(core: &Core) -> Result<BTreeMap<String, CommitId>, crate::store::Error> {
    let mut names: BTreeSet<String> = core.forks.names().into_iter().take(BRANCHES).collect();
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    names.insert(rev::branch(&core.store)?);
    let mut out = BTreeMap::new();
    for name in names {
        if let Some(RefTarget::Commit(id)) = core.store.get_ref(&format!("branch/{name}"))? {
            out.insert(name, id);
        }
    }
    Ok(out)
}

/// Every pair that meets, by name. `known` keeps what is found of the pairs at work, and nothing else.
fn compare_all(
    store: &Store,
    tips: &BTreeMap<String, CommitId>,
    known: &mut HashMap<(CommitId, CommitId), Found>,
) -> Vec<Meeting> {
    let mut out = Vec::new();
    let mut used = HashMap::new();
    let list: Vec<(&String, CommitId)> = tips.iter().map(|(name, id)| (name, *id)).collect();
    for (i, (a, of_a)) in list.iter().enumerate() {
        for (b, of_b) in list.iter().skip(i + 1) {
            let key = (*of_a, *of_b);
            let found = match known.remove(&key).or_else(|| used.get(&key).cloned()) {
                Some(found) => found,
                None => compare(store, *of_a, *of_b).unwrap_or_else(|e| {
                    let why = e.to_string();
                    tracing::warn!("{a} and {b} could not be compared: {why}");
                    Some((0, Vec::new(), MergeTry::NotTried { why }))
                }),
            };
            if let Some((count, paths, merge)) = found.clone() {
                out.push(Meeting {
                    a: (*a).clone(),
                    b: (*b).clone(),
                    count,
                    paths,
                    merge,
                });
            }
            used.insert(key, found);
        }
    }
    *known = used;
    out
}

/// What both commits changed since they parted, and how a merge would go.
fn compare(store: &Store, a: CommitId, b: CommitId) -> Result<Found, Error> {
    let empty = store.empty_tree();
    let bases = merge::base::common(store, &[a], b)?;
    let base = match bases.first() {
        Some(base) => store.commit(*base)?.tree,
        None => empty,
    };
    let (tree_a, tree_b) = (store.commit(a)?.tree, store.commit(b)?.tree);
    // One is what the other began with, or both are alike.
    if tree_a == tree_b || tree_a == base || tree_b == base {
        return Ok(None);
    }
    let left = leaves(tree::trees(store, base, tree_a, &[])?);
    let right = leaves(tree::trees(store, base, tree_b, &[])?);
    let both: Vec<(&RepoPath, u64)> = left
        .iter()
        .filter_map(|(path, size)| Some((path, (*size).max(*right.get(path)?))))
        .collect();
    let bytes: u64 = both.iter().map(|(_, size)| *size).sum();
    let merge = if both.len() > PATHS || bytes > BYTES {
        let why = "too much to be read again and again".to_owned();
        MergeTry::NotTried { why }
    } else {
        let (_, merged) = merge::base::merge(store, store, empty, a, b)?;
        match merged.conflicts.len() {
            0 => MergeTry::Clean,
            count => MergeTry::Conflicts {
                count,
                paths: merged
                    .conflicts
                    .into_iter()
                    .take(NAMED)
                    .map(|c| c.path)
                    .collect(),
            },
        }
    };
    if both.is_empty() && merge == MergeTry::Clean {
        return Ok(None);
    }
    let paths = both.iter().take(NAMED).map(|(path, _)| (*path).clone());
    Ok(Some((both.len(), paths.collect(), merge)))
}

/// The paths that changed, with the larger one of their lengths before and after.
fn leaves(changes: Vec<PathChange>) -> BTreeMap<RepoPath, u64> {
    let size = |e: &Option<crate::model::Entry>| match e.as_ref().map(|e| &e.kind) {
        Some(crate::model::Kind::File { size, .. }) => *size,
        _ => 0,
    };
    changes
        .into_iter()
        .filter(PathChange::has_leaf)
        .map(|c| (c.path.clone(), size(&c.before).max(size(&c.after))))
        .collect()
}
