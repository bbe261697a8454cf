//! A branch view: its state, and finding what its nodes are. Making and opening one is in `open`, reading in `read`,
//! changing content and facts in `write`, changing names in `names`.
//!
//! Locks, in the order in which they may be taken: `space`, `copying`, then `nodes`, then `table`. `space` is what it is for
//! `live`: held for reading by every change until it has been reported, for writing by a rename. The observer is never
//! called with `nodes` locked, and no content is copied or read while it is.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rustix::fs::{self, AtFlags, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::super::attr::{Attr, FileKind, Stamp, When};
use super::super::gate::Gate;
use super::super::inode::ROOT;
use super::super::view::{Ctx, Entry, Fault, Target};
use super::layers::{Layers, Lower, exists, shape};
use super::nodes::{Nodes, Slot};
use super::table::{Layer, Op, Table};
use crate::capture::observe::Observer;
use crate::model::{BlobId, RepoPath, Touch, Writer};

/// Listings kept between two requests.
pub(super) const LISTINGS_KEPT: usize = 32;
/// Paths whose drift is remembered.
const DRIFT: usize = 1000;
/// A directory's size as it is shown.
const DIR_SIZE: u64 = 4096;

/// A copy-on-write view of a commit.
pub struct BranchView {
    pub(super) layers: Layers,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) gate: Arc<Gate>,
    pub(super) upper: OwnedFd,
    pub(super) handles: Mutex<Handles>,
    /// Held while content is copied up.
    pub(super) copying: Mutex<()>,
    pub(super) listings: Mutex<VecDeque<(u64, Arc<Vec<Listed>>)>>,
    pub(super) sealed: Mutex<HashMap<u64, (Stamp, BlobId)>>,
    /// Paths at which the project's own has changed since the fork.
    pub(super) drifted: Mutex<BTreeSet<RepoPath>>,
    pub(super) dir: PathBuf,
    pub(super) nodes: Mutex<Nodes>,
    pub(super) table: Mutex<Table>,
    pub(super) space: RwLock<()>,
}

/// One entry of a listing.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub at: u64,
    pub name: Box<[u8]>,
    pub ino: u64,
    pub kind: FileKind,
}

#[derive(Debug, Default)]
pub(super) struct Handles {
    pub open: HashMap<u64, Handle>,
    pub last: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Handle {
    pub ino: u64,
    pub writes: bool,
    pub opener: Writer,
}

impl std::fmt::Debug for BranchView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BranchView")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

pub(crate) fn hex(id: u64) -> String {
    format!("{id:x}")
}

impl BranchView {
    pub(super) fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn steady(&self) -> RwLockReadGuard<'_, ()> {
        self.space.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn moving(&self) -> RwLockWriteGuard<'_, ()> {
        self.space.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change of the tree: in the table first, then here.
    pub(super) fn commit(&self, nodes: &mut Nodes, ops: &[Op]) -> Result<(), Errno> {
        if ops.is_empty() {
            return Ok(());
        }
        self.table().append(ops).map_err(|e| {
            tracing::error!("a branch's table cannot be written: {e}");
            Errno::from_io_error(&e).unwrap_or(Errno::IO)
        })?;
        for op in ops {
            nodes.apply(op);
        }
        Ok(())
    }

    /// The directory `id`, which must be one.
    pub(super) fn a_dir(nodes: &Nodes, id: u64) -> Result<(), Errno> {
        let node = nodes.get(id)?;
        if !node.is_dir() {
            return Err(Errno::NOTDIR);
        }
        // A removed one that somebody still stands in.
        if id != ROOT && node.names.is_empty() {
            return Err(Errno::NOENT);
        }
        Ok(())
    }

    /// The node that `name` in `dir` means now.
    pub(super) fn child(
        &self,
        nodes: &mut Nodes,
        dir: u64,
        name: &[u8],
    ) -> Result<Option<u64>, Errno> {
        Self::a_dir(nodes, dir)?;
        match nodes.slot(dir, name) {
            Some(Slot::Named(id)) => return Ok(Some(id)),
            Some(Slot::Hidden) => return Ok(None),
            Some(Slot::Seen(id)) if nodes.get(id).is_ok_and(|n| n.lower != Lower::Real) => {
                return Ok(Some(id));
            }
            Some(Slot::Seen(_)) | None => {}
        }
        if name.len() > 255 {
            return Err(Errno::NAMETOOLONG);
        }
        let node = nodes.get(dir)?;
        let Some(origin) = node.origin.clone() else {
            return Ok(None);
        };
        let lower = node.lower.clone();
        match self.layers.child(&origin, &lower, name)? {
            Some(found) => Ok(Some(nodes.meet(dir, name, found))),
            None => {
                nodes.unmeet(dir, name);
                Ok(None)
            }
        }
    }

    /// The attributes of a node.
    pub(super) fn attr(&self, nodes: &Nodes, id: u64) -> Result<Attr, Errno> {
        let node = nodes.get(id)?;
        let mut attr = match (&node.origin, node.upper) {
            (_, true) => {
                let found = self
                    .layers
                    .kept
                    .stat_at(self.upper.as_fd(), hex(id).as_bytes())?;
                let mut attr = found.attr;
                attr.kind = node.facts.kind;
                attr.perm = node.facts.mode & 0o7777;
                attr.uid = node.facts.uid;
                attr.gid = node.facts.gid;
                attr.rdev = node.facts.rdev;
                match attr.kind {
                    FileKind::File | FileKind::Symlink => {}
                    FileKind::Dir => attr.size = DIR_SIZE,
                    _ => attr.size = 0,
                }
                attr
            }
            (Some(origin), false) => {
                self.layers
                    .attr(origin, &node.lower, &node.facts, node.wanted())?
            }
            (None, false) => shape(&node.facts, 0, self.layers.created, self.layers.created),
        };
        attr.ino = id;
        attr.nlink = match attr.kind {
            // As file systems do that keep no count: programs must look.
            FileKind::Dir => 1,
            _ => u32::try_from(node.names.len()).unwrap_or(u32::MAX),
        };
        Ok(attr)
    }

    /// Answers a look-up.
    pub(super) fn enter(&self, nodes: &mut Nodes, id: u64) -> Result<Entry, Errno> {
        let attr = match self.attr(nodes, id) {
            // Taken away from the layer below since it was met.
            Err(Errno::STALE) => return Err(Errno::NOENT),
            other => other?,
        };
        let node = nodes.get_mut(id)?;
        node.lookups = node.lookups.saturating_add(1);
        node.sent = Some(attr.stamp());
        self.look_for_drift(nodes, id, &attr);
        Ok(Entry {
            attr,
            generation: 0,
        })
    }

    /// Notes when what shows through is younger than the fork.
    fn look_for_drift(&self, nodes: &Nodes, id: u64, attr: &Attr) {
        let Ok(node) = nodes.get(id) else { return };
        let through = node.lower == Lower::Real
            && !node.upper
            && !node.is_dir()
            && node
                .origin
                .as_ref()
                .is_some_and(|o| o.layer == Layer::Project);
        if through
            && attr.ctime > self.layers.created
            && let Some(path) = nodes.paths(id).into_iter().next()
        {
            let mut drifted = self.drifted.lock().unwrap_or_else(PoisonError::into_inner);
            if drifted.len() < DRIFT {
                drifted.insert(path);
            }
        }
    }

    /// Left-out paths at which the project has changed since the fork, as far as anybody looked: those that show through
    /// (the branch sees the change) and those that were copied (it does not). At most 1,000 of the former.
    #[must_use]
    pub fn drift(&self) -> Vec<RepoPath> {
        let mut all = self
            .drifted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let nodes = self.nodes();
        for (id, origin, copied) in nodes.copies() {
            if self.layers.stamp(origin).as_ref() != Some(copied) {
                all.extend(nodes.paths(id));
            }
        }
        all.into_iter().collect()
    }

    /// Makes the file that holds a node's own content and times. One that is left from a change that failed is emptied.
    pub(super) fn make_upper(&self, id: u64) -> Result<File, Errno> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let fd = fs::openat(&self.upper, hex(id), flags, Mode::RUSR | Mode::WUSR)?;
        Ok(fd.into())
    }

    pub(super) fn open_upper(&self, id: u64) -> Result<File, Errno> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(fs::openat(&self.upper, hex(id), flags, Mode::empty())?.into())
    }

    pub(super) fn drop_upper(&self, id: u64) {
        if let Err(e) = fs::unlinkat(&self.upper, hex(id), AtFlags::empty()) {
            tracing::debug!("a removed file's content stays until the branch is opened again: {e}");
        }
    }

    /// Drops a node that nothing holds, with its content.
    pub(super) fn reap(&self, nodes: &mut Nodes, id: u64) {
        if nodes.reap(id) {
            self.drop_upper(id);
        }
    }

    /// What makes a directory's times its own, now that a name in it changes; to be followed by [`Self::touch`].
    pub(super) fn own_times(&self, nodes: &Nodes, dir: u64) -> Result<Vec<Op>, Errno> {
        let mut ops = nodes.save(dir)?;
        let node = nodes.get(dir)?;
        if !node.upper {
            let atime = self.attr(nodes, dir)?.atime;
            set_times(&self.make_upper(dir)?, Some(atime), None)?;
            let mut saved = node.saved();
            saved.upper = true;
            ops.push(Op::Node { id: dir, saved });
        }
        Ok(ops)
    }

    /// A name in `dir` has changed.
    pub(super) fn touch(&self, dir: u64) {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: fs::UTIME_NOW,
        };
        let times = Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: fs::UTIME_OMIT,
            },
            last_modification: now,
        };
        if let Err(e) = fs::utimensat(&self.upper, hex(dir), &times, AtFlags::empty()) {
            tracing::debug!("a directory's time was not set: {e}");
        }
        self.listings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(d, _)| *d != dir);
    }

    /// The facts of a node changed: its time of change is now.
    pub(super) fn bump(&self, nodes: &Nodes, id: u64) {
        if nodes.get(id).is_ok_and(|n| n.upper) {
            // To the mode that it has.
            let _ = fs::chmodat(
                &self.upper,
                hex(id),
                Mode::RUSR | Mode::WUSR,
                AtFlags::empty(),
            );
        }
    }

    /// Finds the present paths of what is about to change and lets the observer save it.
    pub(super) fn prepare_all(&self, targets: &[(Target, Touch)]) -> Vec<RepoPath> {
        let mut prepared = Vec::with_capacity(targets.len());
        for (target, touch) in targets {
            let paths = match target {
                Target::Node(ino) => self.nodes().paths(*ino),
                Target::Name(dir, name) => {
                    self.nodes().path_in(*dir, name).ok().into_iter().collect()
                }
            };
            for path in paths {
                self.observer.before(&path, *touch);
                prepared.push(path);
            }
        }
        prepared
    }

    /// All names of `ino`, each of which must have been prepared.
    pub(super) fn prepared_paths(&self, ctx: &Ctx, ino: u64) -> Result<Vec<RepoPath>, Fault> {
        let paths = self.nodes().paths(ino);
        for path in &paths {
            ctx.covers(path)?;
        }
        Ok(paths)
    }

    pub(super) fn prepared_name(
        &self,
        ctx: &Ctx,
        dir: u64,
        name: &[u8],
    ) -> Result<RepoPath, Fault> {
        let path = self.nodes().path_in(dir, name)?;
        ctx.covers(&path)?;
        Ok(path)
    }

    /// Paths with an open descriptor that can write.
    #[must_use]
    pub fn writable(&self) -> Vec<RepoPath> {
        let nodes = self.nodes();
        nodes.writable().flat_map(|id| nodes.paths(id)).collect()
    }

    /// How many descriptors are open through the view.
    #[must_use]
    pub fn handles(&self) -> usize {
        self.handles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .open
            .len()
    }

    /// Makes everything durable.
    pub fn sync(&self) -> std::io::Result<()> {
        let table = self.table().handle()?;
        rustix::fs::syncfs(&self.upper)?;
        table.sync_all()
    }

    /// Whether the branch holds a repository of its own.
    #[must_use]
    pub fn has_repository(&self) -> bool {
        self.nodes().known(ROOT, b".git").is_some() || exists(self.layers.kept.fd(), "index")
    }

    pub(super) fn is_dir(&self, id: u64) -> bool {
        self.nodes().get(id).is_ok_and(super::nodes::Node::is_dir)
    }

    /// For the invalidation of caches: the numbers of `path` and of its directory, where they are known.
    pub(super) fn known(&self, path: &RepoPath) -> (Option<u64>, Option<u64>) {
        let nodes = self.nodes();
        let parent = path.parent().and_then(|p| nodes.at(&p));
        (nodes.at(path), parent)
    }

    pub(super) fn distrust(&self, id: u64) {
        if let Ok(node) = self.nodes().get_mut(id) {
            node.mark = None;
        }
    }
}

/// Sets times of a file; what is `None` stays.
pub(super) fn set_times(
    file: &File,
    atime: Option<When>,
    mtime: Option<When>,
) -> Result<(), Errno> {
    let spec = |w: Option<When>| match w {
        None => Timespec {
            tv_sec: 0,
            tv_nsec: fs::UTIME_OMIT,
        },
        Some(w) => Timespec {
            tv_sec: w.secs,
            tv_nsec: w.nanos.into(),
        },
    };
    fs::futimens(
        file,
        &Timestamps {
            last_access: spec(atime),
            last_modification: spec(mtime),
        },
    )
}
