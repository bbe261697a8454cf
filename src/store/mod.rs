//! The store: packs are the journal, redb is the index.
//!
//! Everything durable is a record appended to a pack (`record`, `pack`); the index (`index`) only makes questions
//! fast and can be made anew from the packs at any time. The commit point is one fdatasync of the pack: what
//! [`Store::publish`] acknowledged is there after a crash, all of it or, before the acknowledgement, all or nothing.
//!
//! Threads: any number read and put objects beside one that publishes. Locks are taken in this order and never the
//! other way: `writer` (who changes the index), the pack's tail, `pending`; the index's own locks are taken alone. Reads take
//! `pending` for a moment, and the tail only for records that are still in its buffer; they never wait for a sync.
//!
//! The store knows nothing of workspaces, sessions in flight or the screen. `docs/format.md` describes what is on
//! disk.

mod cache;
mod commit_code;
mod core;
mod error;
mod gc;
mod graph;
#[cfg(test)]
mod graph_tests;
mod index;
mod lock;
mod mark;
mod migrate;
mod object;
mod op_code;
mod open;
mod pack;
mod publish;
mod query;
mod record;
mod repair;
mod rewrite;
mod scan;
mod tables;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tied;
mod tomb;
mod trace;
mod trail;
mod tree_code;
mod verify;
mod verify_index;
mod wire;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::model::{BlobId, Tree, TreeId};

pub use commit_code::commit_id;
pub use error::{Error, Result};
pub use gc::{Collect, Collected, StoredAs};
pub use graph::Lineage;
pub use mark::ids_in;
pub use open::{OpenReport, restore_format};
pub use publish::{NewCommit, NewOperation, Publication, Published};
pub use query::{CommitNode, CommitStats, PathVersion};
pub use repair::{Repaired, Spare};
pub use tied::Tied;
pub use tomb::{Gone, Tomb, Why};
pub use trail::{Exported, is_trail, unpack};
pub use tree_code::tree_id;
pub use verify::{Fault, VerifyReport};

use cache::Cache;
use core::Core;
use lock::Lock;
use object::Part;
use tables::Key;

/// How often the index is made durable while things change.
const DURABLE_EVERY: Duration = Duration::from_secs(3);
/// So many objects may wait for the index before they are put into it without a publication.
const PENDING: usize = 10_000;
/// Directories kept decoded, in encoded bytes.
const TREES: usize = 32 << 20;
/// Contents kept decoded for reads of ranges, in bytes.
const CONTENTS: usize = 8 << 20;
/// Lists of chunks kept decoded, in chunks.
const PARTS: usize = 1 << 18;

/// A store, open. Use it as `Arc<Store>`.
pub struct Store {
    core: Arc<Core>,
    dir: PathBuf,
    report: OpenReport,
    empty: TreeId,
    trees: Cache<TreeId, Tree>,
    contents: Cache<Key, Vec<u8>>,
    lists: Cache<BlobId, Vec<Part>>,
    flusher: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
    _lock: Lock,
}

impl Store {
    /// Opens or makes the store in `dir`, or fails with [`Error::Locked`] at once.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_wait(dir, Duration::ZERO)
    }

    /// Opens or makes the store in `dir`, waiting up to `wait` for another process to let go of it.
    pub fn open_wait(dir: &Path, wait: Duration) -> Result<Self> {
        Self::open_with(dir, wait, None)
    }

    fn open_with(dir: &Path, wait: Duration, roll: Option<u64>) -> Result<Self> {
        // It holds every secret that the project holds.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|e| Error::io("make", dir, e))?;
        let lock = Lock::take(dir, wait)?;
        let mut report = OpenReport {
            created: open::format(dir)?,
            ..OpenReport::default()
        };
        let (packs, index) = open::open_parts(dir, roll, &mut report)?;
        let stale = report.caught_up > 0 || report.rebuilt.is_some();
        let core = Arc::new(Core::new(packs, index, stale)?);
        let flusher = spawn_flusher(&core).map_err(|e| Error::io("start a thread for", dir, e))?;
        Ok(Self {
            core,
            dir: dir.to_owned(),
            report,
            empty: tree_id(&Tree::default()),
            trees: Cache::new(TREES),
            contents: Cache::new(CONTENTS),
            lists: Cache::new(PARTS),
            flusher: Some(flusher),
            _lock: lock,
        })
    }

    /// What opening had to do, for people.
    #[must_use]
    pub fn opened(&self) -> &OpenReport {
        &self.report
    }

    /// Where the store lies.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Everything appended so far is durable when this returns.
    pub fn sync(&self) -> Result<()> {
        self.core.packs.sync()
    }

    /// Makes the index durable, so that nothing has to be caught up at the next start.
    pub fn flush_index(&self) -> Result<()> {
        self.core.make_durable()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.flusher.take() {
            drop(stop);
            let _ = thread.join();
        }
        // If this fails, the next start catches up from the packs; that of a failed index is left to it.
        if !self.core.is_stalled() {
            let _ = self.core.make_durable();
        }
    }
}

fn spawn_flusher(core: &Arc<Core>) -> std::io::Result<(mpsc::Sender<()>, JoinHandle<()>)> {
    let (stop, stopped) = mpsc::channel();
    let core = Arc::clone(core);
    let thread = std::thread::Builder::new()
        .name("store-index".into())
        .spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(DURABLE_EVERY) {
                if (core.is_dirty() || core.is_stalled())
                    && let Err(e) = core.make_durable()
                {
                    tracing::warn!("the store's index was not made durable: {e}");
                }
            }
        })?;
    Ok((stop, thread))
}
