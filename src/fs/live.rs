//! `live`: the project's real directory, passed through. This file holds the view's state and what other rooms ask of
//! it; reading is in `live_read`, changing content and facts in `live_write`, changing names in `live_names`.
//!
//! Locks, in the order in which they may be taken: `space`, then `table`, then the small ones. `space` is held for
//! reading by every change from the moment it computes its path until it has been reported, and for writing by a rename:
//! so the observer hears of changes and renames in an order in which every path means what it meant when it was reported.
//! The observer is never called with `table` locked.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::io::Errno;
use rustix::process::geteuid;

use super::attr::{Attr, Found, OwnStat, Stamp};
use super::dirs::Listings;
use super::gate::Gate;
use super::handle::{Handle, Handles};
use super::inode::{Mark, ROOT, Table};
use super::own::OwnStats;
use super::resolve::Root;
use super::view::{Ctx, Entry, Fault, Target};
use crate::capture::observe::Observer;
use crate::model::{RepoPath, Touch, Writer};

/// A file whose last change is younger than this when it is stamped may change again under the same stamp, where the file
/// system has only the coarse clock (a tick is at most 10 ms).
const RACY: Duration = Duration::from_millis(20);

/// The project's directory as a view.
pub struct LiveView {
    pub(super) root: Root,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) gate: Arc<Gate>,
    pub(super) hide: fn(&[u8]) -> bool,
    pub(super) handles: Handles,
    pub(super) listings: Mutex<Listings>,
    /// Whether new files must be given to the one who asked: only root can create files for others.
    pub(super) privileged: bool,
    table: Mutex<Table>,
    own: Mutex<OwnStats>,
    space: RwLock<()>,
}

impl std::fmt::Debug for LiveView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveView")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// A descriptor on a node's file: found by name, or one that somebody has open.
pub(super) enum Anchor {
    Named(OwnedFd),
    Open(Arc<Handle>),
}

impl AsFd for Anchor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Named(fd) => fd.as_fd(),
            Self::Open(h) => h.as_fd(),
        }
    }
}

impl LiveView {
    /// A view of the directory `root`, which must be opened before anything is mounted over it: every access is relative
    /// to it and follows no link out. `hide` tells names that are not shown and cannot be made (staging files of a
    /// rollback).
    pub fn new(
        root: OwnedFd,
        observer: Arc<dyn Observer>,
        gate: Arc<Gate>,
        hide: fn(&[u8]) -> bool,
    ) -> Arc<Self> {
        let root = Root::new(root);
        let id = root.stat(root.fd()).map_or(
            super::attr::Identity {
                dev: 0,
                ino: 0,
                born: None,
            },
            |f| f.id,
        );
        Arc::new(Self {
            table: Mutex::new(Table::new(id)),
            root,
            observer,
            gate,
            hide,
            handles: Handles::default(),
            listings: Mutex::default(),
            privileged: geteuid().is_root(),
            own: Mutex::default(),
            space: RwLock::new(()),
        })
    }

    /// How many descriptors opened through the view are open on the file at `path`, for any access.
    pub fn open_count(&self, path: &RepoPath) -> usize {
        let found = self
            .root
            .anchor(path)
            .and_then(|fd| self.root.stat(fd.as_fd()));
        let table = self.table();
        found
            .ok()
            .and_then(|f| table.by_identity(&f.id))
            .and_then(|ino| table.get(ino))
            .map_or(0, |n| n.handles.len())
    }

    /// How many descriptors are open through the view.
    pub fn handles(&self) -> usize {
        self.handles.len()
    }

    /// Paths with an open descriptor that can write: their shared mappings may hold what no request has brought yet.
    pub fn writable(&self) -> Vec<RepoPath> {
        let table = self.table();
        let mut paths: Vec<RepoPath> = table.writable().flat_map(|i| table.paths(i)).collect();
        paths.sort();
        paths
    }

    /// The facts of the file at `path` right after the last change that came through the view. `None` when there was none,
    /// when the last one removed it, or when it is forgotten (the oldest of 65,536 paths go first).
    pub fn own_stat(&self, path: &RepoPath) -> Option<OwnStat> {
        self.own_stats().get(path)
    }

    /// The number by which the kernel may know `path`, and its parent's. `None` where there is nothing to invalidate.
    pub(super) fn known(&self, path: &RepoPath) -> (Option<u64>, Option<u64>) {
        let table = self.table();
        let parent = path.parent().and_then(|p| table.at(&p));
        (table.at(path), parent)
    }

    /// Whether what is known at `path` is a directory, by what is there now.
    pub(super) fn is_known_dir(&self, path: &RepoPath) -> bool {
        self.known(path).0.is_some()
            && self
                .root
                .anchor(path)
                .and_then(|fd| self.root.stat(fd.as_fd()))
                .is_ok_and(|f| f.attr.kind == super::attr::FileKind::Dir)
    }

    /// Whether the root can be reached in the way everything is reached.
    pub(super) fn check(&self) -> std::io::Result<()> {
        self.dir(ROOT)?;
        Ok(())
    }

    /// Content at `ino` changed behind the mount: its cached pages are not to be trusted at the next open.
    pub(super) fn distrust(&self, ino: u64) {
        if let Some(node) = self.table().get_mut(ino) {
            node.mark = None;
        }
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own_stats(&self) -> MutexGuard<'_, OwnStats> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn listings(&self) -> MutexGuard<'_, Listings> {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn steady(&self) -> RwLockReadGuard<'_, ()> {
        self.space.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn moving(&self) -> RwLockWriteGuard<'_, ()> {
        self.space.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The directory `ino`, checked to be the one that the kernel means.
    pub(super) fn dir(&self, ino: u64) -> Result<(OwnedFd, Found, RepoPath), Errno> {
        let (path, id) = {
            let table = self.table();
            let node = table.get(ino).ok_or(Errno::STALE)?;
            // A removed directory that somebody still stands in.
            if ino != ROOT && node.links.is_empty() {
                return Err(Errno::NOENT);
            }
            (table.path(ino)?, node.id)
        };
        let fd = self.root.dir(&path)?;
        let found = self.root.stat(fd.as_fd())?;
        if found.id != id {
            return Err(Errno::STALE);
        }
        Ok((fd, found, path))
    }

    /// A descriptor on the file of node `ino`: through `fh`, by one of its names, or, when it has no name any more, through
    /// any handle open on it. `ESTALE` when its name means another file now: the kernel then looks the name up again. A
    /// handle must not stand in for the name there, or an open would yield the file that was replaced.
    pub(super) fn anchor(&self, ino: u64, fh: Option<u64>) -> Result<Anchor, Errno> {
        self.anchor_by(ino, fh, false)
    }

    /// As [`Self::anchor`], but a handle may stand in for a name that means another file. For questions that the kernel
    /// asks without saying whether a name or a descriptor is meant, and where failing would break whoever has the old file
    /// open.
    pub(super) fn anchor_to_ask(&self, ino: u64, fh: Option<u64>) -> Result<Anchor, Errno> {
        self.anchor_by(ino, fh, true)
    }

    fn anchor_by(&self, ino: u64, fh: Option<u64>, any_handle: bool) -> Result<Anchor, Errno> {
        if let Some(h) = fh.and_then(|fh| self.handles.get(fh)) {
            return Ok(Anchor::Open(h));
        }
        let (paths, id, handles) = {
            let table = self.table();
            let node = table.get(ino).ok_or(Errno::STALE)?;
            (table.paths(ino), node.id, node.handles.clone())
        };
        let mut error = Errno::NOENT;
        for path in &paths {
            match self
                .root
                .anchor(path)
                .and_then(|fd| self.root.stat(fd.as_fd()).map(|f| (fd, f)))
            {
                Ok((fd, found)) if found.id == id => return Ok(Anchor::Named(fd)),
                Ok(_) => error = Errno::STALE,
                Err(e) => error = e,
            }
        }
        if !paths.is_empty() && !any_handle {
            return Err(error);
        }
        handles
            .into_iter()
            .find_map(|fh| self.handles.get(fh))
            .map(Anchor::Open)
            .ok_or(error)
    }

    /// After the kernel was told to ask for `path` again: if another file than the known one lies there now, or none, the
    /// known one has lost that name, and whoever has it open goes on without.
    pub(super) fn recheck(&self, path: &RepoPath) {
        let Some(parent) = path.parent() else { return };
        let there = self
            .root
            .anchor(path)
            .and_then(|fd| self.root.stat(fd.as_fd()));
        let mut table = self.table();
        let (Some(parent), Some(ino)) = (table.at(&parent), table.at(path)) else {
            return;
        };
        let same = match there {
            Ok(found) => table.get(ino).is_some_and(|n| n.id == found.id),
            Err(Errno::NOENT) => false,
            Err(_) => return,
        };
        if !same {
            table.unname(parent, path.name());
        }
    }

    /// Attributes with the view's own number in them.
    pub(super) fn numbered(ino: u64, found: &Found) -> Attr {
        let mut attr = found.attr;
        // The protocol's number of the root is 1; `stat` shows the real one.
        if ino != ROOT {
            attr.ino = ino;
        }
        attr
    }

    /// Notes that the kernel is told these attributes.
    pub(super) fn told(&self, ino: u64, attr: &Attr) {
        if let Some(node) = self.table().get_mut(ino) {
            node.sent = Some(attr.stamp());
        }
    }

    /// Makes a node of what was found as `name` in `parent` and counts the kernel's look-up.
    pub(super) fn enter(&self, parent: u64, name: &[u8], found: &Found) -> Entry {
        let mut table = self.table();
        let (ino, generation) = table.meet(parent, name, found, true);
        let attr = Self::numbered(ino, found);
        if let Some(node) = table.get_mut(ino) {
            node.sent = Some(attr.stamp());
        }
        Entry { attr, generation }
    }

    /// The kernel's pages of `ino` were right for `before`, and our change took the file from there to `after`: they are
    /// right for `after`. If somebody else changed it before us, they are not.
    pub(super) fn advance(&self, ino: u64, before: &Stamp, after: &Stamp) {
        let racy = self.racy(after);
        let mut table = self.table();
        let Some(node) = table.get_mut(ino) else {
            return;
        };
        node.mark = node.mark.filter(|m| m.stamp == *before).map(|_| Mark {
            stamp: *after,
            racy,
        });
        if node.sent == Some(*before) {
            node.sent = Some(*after);
        }
    }

    /// Whether a later change could leave the same stamp.
    pub(super) fn racy(&self, stamp: &Stamp) -> bool {
        if self.root.fine_stamps {
            return false;
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
        let changed = stamp.mtime.max(stamp.ctime).nanoseconds();
        now.saturating_sub(changed) < i64::try_from(RACY.as_nanos()).unwrap_or(i64::MAX)
    }

    /// All names of `ino`, each of which must have been prepared.
    pub(super) fn prepared_paths(&self, ctx: &Ctx, ino: u64) -> Result<Vec<RepoPath>, Fault> {
        let paths = self.table().paths(ino);
        for path in &paths {
            ctx.covers(path)?;
        }
        Ok(paths)
    }

    /// The path of a name that is about to change; it must have been prepared and must not be hidden.
    pub(super) fn prepared_name(
        &self,
        ctx: &Ctx,
        parent: u64,
        name: &[u8],
    ) -> Result<RepoPath, Fault> {
        let path = self.table().path_in(parent, name)?;
        ctx.covers(&path)?;
        Ok(path)
    }

    /// Reports a change that was done, `found` being the file after it.
    pub(super) fn report(
        &self,
        path: &RepoPath,
        touch: Touch,
        who: &Writer,
        found: Option<&Found>,
    ) {
        self.note_own(path, found);
        self.observer.changed(path, touch, who);
    }

    pub(super) fn note_own(&self, path: &RepoPath, found: Option<&Found>) {
        let mut own = self.own_stats();
        match found {
            Some(f) => own.note(path, f.own()),
            None => own.remove(path),
        }
    }

    /// Finds the present paths of what is about to change and lets the observer save it.
    pub(super) fn prepare_all(&self, targets: &[(Target, Touch)]) -> Vec<RepoPath> {
        let mut prepared = Vec::with_capacity(targets.len());
        for (target, touch) in targets {
            let paths = match target {
                Target::Node(ino) => self.table().paths(*ino),
                Target::Name(parent, name) => self
                    .table()
                    .path_in(*parent, name)
                    .ok()
                    .into_iter()
                    .collect(),
            };
            for path in paths {
                self.observer.before(&path, *touch);
                prepared.push(path);
            }
        }
        prepared
    }
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
