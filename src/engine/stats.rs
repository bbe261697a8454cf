//! Counting the lines of new commits, on a thread of its own: a checkpoint never waits for it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread;

use crate::diff::{text, tree};
use crate::model::{Cause, CommitId};
use crate::store::{CommitStats, Store};

use super::core::Core;

/// Files over this size are counted as files only.
const LARGEST: u64 = 1 << 20;
/// Files counted by lines in one commit; the rest are counted as files only.
const MOST: usize = 2_000;

/// Sends commits to be counted.
pub struct Counter {
    queue: Sender<CommitId>,
}

impl Counter {
    /// Starts the thread. It ends when the core does.
    pub fn start(core: &Arc<Core>) -> std::io::Result<Self> {
        let (queue, jobs) = channel();
        let core = Arc::downgrade(core);
        thread::Builder::new()
            .name("count".to_owned())
            .spawn(move || run(&core, &jobs))?;
        Ok(Self { queue })
    }

    /// Counts these soon.
    pub fn count(&self, commits: &[CommitId]) {
        for id in commits {
            // The thread is gone only when the engine ends.
            let _ = self.queue.send(*id);
        }
    }
}

fn run(core: &Weak<Core>, jobs: &Receiver<CommitId>) {
    while let Ok(id) = jobs.recv() {
        let Some(core) = core.upgrade() else { return };
        match count(&core.store, id) {
            Ok(stats) => {
                if let Err(e) = core.store.put_stats(id, &stats) {
                    tracing::warn!("the figures of {id} could not be kept: {e}");
                }
                if let Ok(Some(link)) = core.store.link_of_commit(id)
                    && let Ok(Some(step)) = core.store.step(link.step)
                {
                    core.tell_row(&step);
                }
            }
            Err(e) => tracing::warn!("{id} could not be counted: {e}"),
        }
    }
}

/// Counts what `id` changed against its first parent. A first state counts as nothing changed.
pub fn count(store: &Store, id: CommitId) -> Result<CommitStats, tree::Error> {
    let commit = store.commit(id)?;
    let mut stats = CommitStats::default();
    let before = match commit.parents.first() {
        Some(parent) => store.commit(*parent)?.tree,
        None if commit.cause == Cause::Initial => return Ok(stats),
        None => store.empty_tree(),
    };
    let mut counted = 0;
    for change in tree::trees(store, before, commit.tree, &[])? {
        let sides = [&change.before, &change.after];
        if sides
            .iter()
            .all(|s| s.as_ref().is_none_or(|e| e.kind.tree().is_some()))
        {
            continue;
        }
        stats.files += 1;
        let mut contents = Vec::with_capacity(2);
        for side in sides {
            let file = side.as_ref().and_then(|e| e.kind.blob());
            contents.push(match file {
                Some(blob) if counted < MOST && store.blob_len(blob)? <= LARGEST => {
                    Some(store.blob(blob)?)
                }
                Some(_) => None,
                None => Some(Vec::new()),
            });
        }
        if let [Some(a), Some(b)] = contents.as_slice() {
            counted += 1;
            match text::count(a, b) {
                Some((added, removed)) => {
                    stats.added += added;
                    stats.removed += removed;
                }
                None => stats.binary += 1,
            }
        }
    }
    Ok(stats)
}
