//! What every part of the store and its background thread share: the packs, the index, and what is on its way from
//! the one to the other.
//!
//! Invariant: at any moment an object that was put is found in `pending` or in the index, and everything that lies in
//! the packs before the index's position is in the index. Whatever the index says durably lies durably in the packs.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant};

use super::error::Result;
use super::index::Index;
use super::open::{self, OpenReport};
use super::pack::Packs;
use super::record::Place;
use super::tables::{self, Key, Loc, Tables};

/// What the background thread shares with the store.
pub(super) struct Core {
    pub packs: Packs,
    pub index: Index,
    pub pending: RwLock<Pending>,
    /// Whoever changes the index holds it.
    writer: Mutex<()>,
    /// The position of the index.
    indexed: AtomicU64,
    /// The index has changes that are not durable.
    dirty: AtomicBool,
    /// The index failed: nothing is written until it is rebuilt.
    failed: AtomicBool,
    /// See [`Core::refs_version`].
    refs: AtomicU64,
    /// What may be about to be referred to.
    recent: Mutex<Recent>,
}

/// Objects that were put, or found to be there already, a short time ago: what refers to them may not be published yet.
pub(super) struct Recent {
    since: Instant,
    /// Everything behind this was put in this span.
    start: Place,
    found: HashSet<Key>,
    /// The same of the span before.
    earlier: (Place, HashSet<Key>),
}

/// How long a span is. Whoever puts objects publishes what refers to them within one.
const SPAN: Duration = Duration::from_secs(600);

impl Recent {
    fn turn(&mut self, end: Place) {
        if self.since.elapsed() > SPAN {
            self.since = Instant::now();
            let found = std::mem::take(&mut self.found);
            self.earlier = (self.start, found);
            self.start = end;
        }
    }

    /// Whether an object that lies there must stay, whoever refers to it.
    pub fn holds(&self, key: &Key, place: Place) -> bool {
        place >= self.earlier.0 || self.found.contains(key) || self.earlier.1.contains(key)
    }
}

/// Numbers the states of the refs of all stores.
static REFS: AtomicU64 = AtomicU64::new(1);

/// Objects that are in the packs (or their buffer) but not yet in the index.
#[derive(Default)]
pub(super) struct Pending {
    pub fresh: HashMap<Key, Loc>,
    /// On their way into the index.
    moving: Arc<HashMap<Key, Loc>>,
}

impl Core {
    pub fn new(packs: Packs, index: Index, dirty: bool) -> Result<Self> {
        let end = packs.flush(|_| {})?;
        Ok(Self {
            recent: Mutex::new(Recent {
                since: Instant::now(),
                start: end,
                found: HashSet::new(),
                earlier: (end, HashSet::new()),
            }),
            indexed: AtomicU64::new(index.position()?.0),
            packs,
            index,
            pending: RwLock::default(),
            writer: Mutex::new(()),
            dirty: AtomicBool::new(dirty),
            failed: AtomicBool::new(false),
            refs: AtomicU64::new(REFS.fetch_add(1, Ordering::AcqRel)),
        })
    }

    /// Another number whenever a ref may have moved, in this store or from one to another.
    pub fn refs_version(&self) -> u64 {
        self.refs.load(Ordering::Acquire)
    }

    /// Refs have moved, and whoever asks sees it.
    pub fn refs_moved(&self) {
        let now = REFS.fetch_add(1, Ordering::AcqRel);
        self.refs.store(now, Ordering::Release);
    }

    pub fn writer(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn try_writer(&self) -> Option<MutexGuard<'_, ()>> {
        match self.writer.try_lock() {
            Ok(writer) => Some(writer),
            Err(TryLockError::Poisoned(writer)) => Some(writer.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Acquire)
    }

    /// Whether the index has failed and is to be opened again or made anew.
    pub fn is_stalled(&self) -> bool {
        self.failed.load(Ordering::Acquire) || self.index.is_damaged()
    }

    /// Whether writes can be taken. An index that failed (the disk was full, a page was damaged) is first opened again
    /// or made anew, and caught up.
    pub fn ready(&self) -> Result<()> {
        if self.is_stalled() {
            self.ready_with(&self.writer())?;
        }
        Ok(())
    }

    /// The same for whoever has the writer's lock.
    pub fn ready_with(&self, _writer: &MutexGuard<'_, ()>) -> Result<()> {
        if !self.is_stalled() {
            return Ok(());
        }
        let end = self.packs.flush(|_| {})?;
        self.packs.room(0)?;
        let _alone = self.index.keep_out();
        if self.index.is_damaged() {
            self.index.recreate()?;
        } else {
            self.index.reopen()?;
        }
        open::catch_up(
            self.packs.dir(),
            &self.index,
            Some(end),
            &mut OpenReport::default(),
        )?;
        self.index.trusted()?;
        // The index has what lies before the end, and better: packs may have been rewritten since it was noted.
        self.pending
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .fresh
            .retain(|_, loc| loc.place >= end);
        self.indexed.store(end.0, Ordering::Release);
        self.dirty.store(true, Ordering::Release);
        self.failed.store(false, Ordering::Release);
        self.refs_moved();
        Ok(())
    }

    /// What must not be removed yet.
    pub fn recent(&self) -> MutexGuard<'_, Recent> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.turn(self.packs.end());
        recent
    }

    /// Whether an object is there that somebody is about to refer to. It stays for a while then.
    pub fn has(&self, key: Key) -> Result<bool> {
        // Noted before it is looked for: a collection that ends in between does not take it.
        let noted = self.recent().found.insert(key);
        let there = self.find(&key)?.is_some();
        if noted && !there {
            self.recent().found.remove(&key);
        }
        Ok(there)
    }

    /// Where an object lies, in the index or on its way there.
    pub fn find(&self, key: &Key) -> Result<Option<Loc>> {
        {
            let pending = self.pending.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(loc) = pending.fresh.get(key).or_else(|| pending.moving.get(key)) {
                return Ok(Some(*loc));
            }
        }
        self.index.read(|tx| {
            let objects = tx.open_table(tables::OBJECTS)?;
            Ok(objects.get(key)?.map(|v| Loc::decode(v.value())))
        })
    }

    /// Remembers an object that was just appended; called while nobody else can append.
    pub fn remember(&self, key: Key, loc: Loc) {
        let mut pending = self.pending.write().unwrap_or_else(PoisonError::into_inner);
        pending.fresh.insert(key, loc);
    }

    /// Marks all pending objects as on their way; called with the writer's lock while nobody can append, so that
    /// these are all that lie before the present end of the packs.
    pub fn take_pending(&self) -> Arc<HashMap<Key, Loc>> {
        let mut pending = self.pending.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = std::mem::take(&mut pending.fresh);
        pending.moving = Arc::new(fresh);
        Arc::clone(&pending.moving)
    }

    /// The index has them, or could not take them and will be rebuilt; until then they stay known here.
    pub fn settle(&self, taken: bool) {
        let mut pending = self.pending.write().unwrap_or_else(PoisonError::into_inner);
        let moving = std::mem::take(&mut pending.moving);
        if !taken {
            for (key, loc) in moving.iter() {
                pending.fresh.entry(*key).or_insert(*loc);
            }
        }
    }

    /// Writes to the index under the writer's lock: `f`, the pending objects that were taken, and up to where it now
    /// has seen everything.
    pub fn index_with(
        &self,
        moving: &HashMap<Key, Loc>,
        end: Option<Place>,
        f: impl FnOnce(&mut Tables<'_>) -> Result<(), redb::Error>,
    ) -> Result<()> {
        self.dirty.store(true, Ordering::Release);
        let done = self.index.write(false, |tx| {
            let mut tables = Tables::open(tx)?;
            for (key, loc) in moving {
                tables.object(key, *loc)?;
            }
            f(&mut tables)?;
            end.map_or(Ok(()), |end| tables.position(end))
        });
        if let (Ok(()), Some(end)) = (&done, end) {
            self.indexed.store(end.0, Ordering::Release);
        }
        self.settle(done.is_ok());
        done.inspect_err(|_| self.failed.store(true, Ordering::Release))
    }

    /// What reached the disk is not known: the index is made anew when the store is opened again.
    pub fn doubt(&self) {
        self.settle(false);
        self.failed.store(true, Ordering::Release);
        self.index.doubt();
    }

    /// Puts the pending objects into the index.
    pub fn index_objects(&self, writer: &MutexGuard<'_, ()>) -> Result<()> {
        self.ready_with(writer)?;
        let mut moving = None;
        let end = self.packs.flush(|_| moving = Some(self.take_pending()))?;
        let moving = moving.unwrap_or_default();
        if moving.is_empty() && self.indexed.load(Ordering::Acquire) == end.0 {
            return Ok(());
        }
        // Loose records are in the index already: whoever put one had this lock.
        self.index_with(&moving, Some(end), |_| Ok(()))
    }

    /// The index failed, or is behind what the packs hold now.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    pub fn make_durable(&self) -> Result<()> {
        self.ready()?;
        // The long part of the waiting without the lock: what the index says must be on disk before the index is.
        self.packs.sync()?;
        let writer = self.writer();
        self.index_objects(&writer)?;
        self.packs.sync()?;
        if self.dirty.swap(false, Ordering::AcqRel) {
            self.index
                .write(true, |_| Ok(()))
                .inspect_err(|_| self.failed.store(true, Ordering::Release))?;
        }
        Ok(())
    }
}
