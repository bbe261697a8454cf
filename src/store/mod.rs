//! The store: packs are the journal, redb is the index.
//!
//! Everything durable is a record appended to a pack (`record`, `pack`); the index (`index`) only makes questions
//! fast and can be made anew from the packs at any time. The commit point is one fdatasync of the pack: what
//! [`Store::publish`] acknowledged is there after a crash, all of it or, before the acknowledgement, all or nothing.
//!
//! Threads: any number read and put objects beside one that publishes. Locks are taken in this order and never the
//! other way: `writer` (who changes the index), the pack's tail, `pending`. Reads take none of them but `pending`,
//! for a moment, and the tail only for records that are still in its buffer.
//!
//! The store knows nothing of workspaces, sessions in flight or the screen. `docs/format.md` describes what is on
//! disk.

mod commit_code;
mod error;
mod index;
mod lock;
mod object;
mod op_code;
mod open;
mod pack;
mod publish;
mod query;
mod record;
mod scan;
mod trace;
mod tree_code;
mod verify;
mod wire;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use lru::LruCache;

use crate::model::{Tree, TreeId};

pub use commit_code::commit_id;
pub use error::{Error, Result};
pub use open::OpenReport;
pub use publish::{NewCommit, NewOperation, Publication, Published};
pub use query::{CommitNode, CommitStats, PathVersion};
pub use tree_code::tree_id;
pub use verify::{Fault, VerifyReport};

use index::{Index, Key, Loc, Tables};
use lock::Lock;
use pack::Packs;

/// How often the index is made durable while things change.
const DURABLE_EVERY: Duration = Duration::from_secs(3);
/// So many objects may wait for the index before they are put into it without a publication.
const PENDING: usize = 10_000;
/// Directories kept decoded.
const TREES: usize = 4096;
/// Contents kept decoded for reads of ranges.
const CONTENTS: usize = 8;

/// A store, open. Use it as `Arc<Store>`.
pub struct Store {
    core: Arc<Core>,
    dir: PathBuf,
    report: OpenReport,
    empty: TreeId,
    trees: Mutex<LruCache<TreeId, Arc<Tree>>>,
    contents: Mutex<LruCache<Key, Arc<Vec<u8>>>>,
    flusher: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
    _lock: Lock,
}

/// What the background thread shares with the store.
struct Core {
    packs: Packs,
    index: Index,
    pending: RwLock<Pending>,
    /// Whoever changes the index holds it.
    writer: Mutex<()>,
    /// The index has changes that are not durable.
    dirty: AtomicBool,
    /// The index failed: nothing is written until it is rebuilt.
    failed: AtomicBool,
    doubt: PathBuf,
}

/// Objects that are in the packs (or their buffer) but not yet in the index.
#[derive(Default)]
struct Pending {
    fresh: HashMap<Key, Loc>,
    /// On their way into the index.
    moving: Arc<HashMap<Key, Loc>>,
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
        fs::create_dir_all(dir).map_err(|e| Error::io("make", dir, e))?;
        let lock = Lock::take(dir, wait)?;
        let mut report = OpenReport {
            created: open::format(dir)?,
            ..OpenReport::default()
        };
        let (packs, index) = open::open_parts(dir, roll, &mut report)?;
        let core = Arc::new(Core {
            packs,
            index,
            pending: RwLock::default(),
            writer: Mutex::new(()),
            dirty: AtomicBool::new(report.caught_up > 0 || report.rebuilt.is_some()),
            failed: AtomicBool::new(false),
            doubt: dir.join("graph.doubt"),
        });
        let flusher = spawn_flusher(&core).map_err(|e| Error::io("start a thread for", dir, e))?;
        Ok(Self {
            core,
            dir: dir.to_owned(),
            report,
            empty: tree_id(&Tree::default()),
            trees: Mutex::new(LruCache::new(size(TREES))),
            contents: Mutex::new(LruCache::new(size(CONTENTS))),
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
        // If this fails, the next start catches up from the packs.
        let _ = self.core.make_durable();
    }
}

fn size(n: usize) -> std::num::NonZeroUsize {
    std::num::NonZeroUsize::new(n).unwrap_or(std::num::NonZeroUsize::MIN)
}

fn spawn_flusher(core: &Arc<Core>) -> std::io::Result<(mpsc::Sender<()>, JoinHandle<()>)> {
    let (stop, stopped) = mpsc::channel();
    let core = Arc::clone(core);
    let thread = std::thread::Builder::new()
        .name("store-index".into())
        .spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(DURABLE_EVERY) {
                if core.dirty.load(Ordering::Acquire)
                    && let Err(e) = core.make_durable()
                {
                    tracing::warn!("the store's index was not made durable: {e}");
                }
            }
        })?;
    Ok((stop, thread))
}

impl Core {
    fn writer(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self) -> Result<()> {
        if self.failed.load(Ordering::Acquire) {
            return Err(Error::Closed(self.doubt.with_extension("redb")));
        }
        Ok(())
    }

    /// Where an object lies, in the index or on its way there.
    fn find(&self, key: &Key) -> Result<Option<Loc>> {
        {
            let pending = self.pending.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(loc) = pending.fresh.get(key).or_else(|| pending.moving.get(key)) {
                return Ok(Some(*loc));
            }
        }
        self.index.read(|tx| {
            let objects = tx.open_table(index::OBJECTS)?;
            Ok(objects.get(key)?.map(|v| Loc::decode(v.value())))
        })
    }

    /// Remembers an object that was just appended; called while nobody else can append.
    fn remember(&self, key: Key, loc: Loc) {
        let mut pending = self.pending.write().unwrap_or_else(PoisonError::into_inner);
        pending.fresh.insert(key, loc);
    }

    /// Marks all pending objects as on their way; called with the writer's lock while nobody can append, so that
    /// these are all that lie before the present end of the packs.
    fn take_pending(&self) -> Arc<HashMap<Key, Loc>> {
        let mut pending = self.pending.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = std::mem::take(&mut pending.fresh);
        pending.moving = Arc::new(fresh);
        Arc::clone(&pending.moving)
    }

    /// The index has them, or could not take them and will be rebuilt; until then they stay known here.
    fn settle(&self, taken: bool) {
        let mut pending = self.pending.write().unwrap_or_else(PoisonError::into_inner);
        let moving = std::mem::take(&mut pending.moving);
        if !taken {
            for (key, loc) in moving.iter() {
                pending.fresh.entry(*key).or_insert(*loc);
            }
        }
    }

    /// Writes to the index under the writer's lock: `f`, and the pending objects that were taken.
    fn index_with(
        &self,
        moving: &HashMap<Key, Loc>,
        f: impl FnOnce(&mut Tables<'_>) -> Result<(), redb::Error>,
    ) -> Result<()> {
        self.dirty.store(true, Ordering::Release);
        let done = self.index.write(false, |tx| {
            let mut tables = Tables::open(tx)?;
            for (key, loc) in moving {
                tables.object(key, *loc)?;
            }
            f(&mut tables)
        });
        self.settle(done.is_ok());
        done.inspect_err(|_| self.fail())
    }

    /// The index no longer says what the packs say. It is rebuilt at the next start.
    fn fail(&self) {
        self.failed.store(true, Ordering::Release);
        if let Err(e) = fs::write(&self.doubt, b"") {
            tracing::warn!("{} could not be written: {e}", self.doubt.display());
        }
    }

    /// Puts the pending objects into the index.
    fn index_objects(&self, _writer: &MutexGuard<'_, ()>) -> Result<()> {
        self.check()?;
        let mut moving = None;
        let end = self.packs.flush(|_| moving = Some(self.take_pending()))?;
        let moving = moving.unwrap_or_default();
        if moving.is_empty() {
            return Ok(());
        }
        self.index_with(&moving, |t| t.position(end))
    }

    fn make_durable(&self) -> Result<()> {
        self.check()?;
        // The long part of the waiting without the lock: what the index says must be on disk before the index is.
        self.packs.sync()?;
        let writer = self.writer();
        self.index_objects(&writer)?;
        self.packs.sync()?;
        if self.dirty.swap(false, Ordering::AcqRel) {
            self.index
                .write(true, |_| Ok(()))
                .inspect_err(|_| self.fail())?;
        }
        Ok(())
    }
}
