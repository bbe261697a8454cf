//! What is where: the operations of the file system in plain types, called by tests without a mount.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags, fstatvfs, major, minor};
use rustix::io::Errno;

use crate::fs::view::{DirItem, Entry, Space};
use crate::fs::{Attr, FileKind, When};
use crate::model::{CommitId, Kind, RepoPath, Time, Tree, TreeId};
use crate::store::{self, Store};

use super::nodes::{BRANCHES, Dir, LIVE, Node, Nodes, Number, STATES, State, TOP};
use super::times::{Times, when};
use super::{Past, Top};

/// Entries whose times are looked up at once when a directory is listed: about what one answer holds.
const BATCH: usize = 32;
/// Digits of a commit's id.
const DIGITS: usize = 64;

/// To whom everything belongs.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permissions of a state's root, of which trees keep none.
    pub root: u32,
}

/// What is neither file, directory nor link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialKind {
    /// A named pipe.
    Fifo,
    /// A Unix socket, with nobody listening.
    Socket,
    /// A device, which a mount of ours does not open.
    Device {
        /// Not a character device.
        block: bool,
    },
}

/// Whether what was said stays true for ever, so that the kernel may keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasts {
    Ever,
    No,
}

/// Past states as a tree of nodes.
pub struct PastView {
    past: Arc<dyn Past>,
    owner: Owner,
    nodes: Mutex<Nodes>,
    times: Times,
    /// Where the store lies, for its file system's size.
    ground: OwnedFd,
}

fn failed(e: &store::Error) -> Errno {
    // Somebody wanted it forgotten: it is not damaged, it is not there.
    if matches!(e, store::Error::Gone { .. }) {
        return Errno::NODATA;
    }
    tracing::error!("a past state cannot be read: {e}");
    Errno::IO
}

/// Where a name stands in a listing whose names come and go: by its hash, so that a listing goes on in the right place.
fn place(name: &[u8]) -> u64 {
    Number::new("place").with(name).get()
}

impl PastView {
    /// A view of `past`.
    pub fn new(past: Arc<dyn Past>, owner: Owner, top: Top) -> std::io::Result<Arc<Self>> {
        let ground = rustix::fs::open(
            past.store().dir(),
            OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Arc::new(Self {
            past,
            owner,
            nodes: Mutex::new(Nodes::new(top)),
            times: Times::default(),
            ground,
        }))
    }

    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many nodes the kernel knows.
    #[must_use]
    pub fn known(&self) -> usize {
        self.nodes().len()
    }

    fn node(&self, ino: u64) -> Result<Node, Errno> {
        self.nodes().get(ino).cloned().ok_or(Errno::STALE)
    }

    fn tree(&self, store: &Store, id: TreeId) -> Result<Arc<Tree>, Errno> {
        store.tree(id).map_err(|e| failed(&e))
    }

    /// Enters a node with one more look-up.
    fn enter(&self, number: u64, node: Node) -> Entry {
        let ino = self.nodes().enter(number, node.clone());
        Entry {
            attr: self.attr(ino, &node),
            generation: 0,
        }
    }

    pub(super) fn lookup(&self, parent: u64, name: &[u8]) -> Result<(Option<Entry>, Lasts), Errno> {
        match self.node(parent)? {
            Node::Places => {
                let node = match name {
                    b"at" => STATES,
                    b"branches" => BRANCHES,
                    b"live" if self.past.live().is_some() => LIVE,
                    _ => return Ok((None, Lasts::No)),
                };
                Ok((Some(self.entry_of(node)?), Lasts::No))
            }
            Node::Branches => {
                let there = self.past.branches().iter().any(|(n, _)| n == name);
                Ok((there.then(|| self.branch(name)), Lasts::No))
            }
            Node::States => self.state(parent, name),
            Node::Dir(dir) => {
                let store = self.past.store();
                let tree = self.tree(&store, dir.tree)?;
                let Some(entry) = tree.get(name) else {
                    return Ok((None, Lasts::Ever));
                };
                let path = dir.path.join(name).map_err(|_| Errno::NOENT)?;
                let times = self
                    .times
                    .changed(&store, &dir.state, std::slice::from_ref(&path));
                let time = times.map_err(|e| failed(&e))?.first().copied();
                let time = time.unwrap_or(dir.state.time);
                let (number, node) = Self::made(&dir, parent, path, entry, time);
                Ok((Some(self.enter(number, node)), Lasts::Ever))
            }
            _ => Err(Errno::NOTDIR),
        }
    }

    /// An entry of a fixed node.
    fn entry_of(&self, ino: u64) -> Result<Entry, Errno> {
        let node = self.node(ino)?;
        Ok(Entry {
            attr: self.attr(ino, &node),
            generation: 0,
        })
    }

    fn branch(&self, name: &[u8]) -> Entry {
        let number = Number::new("branch").with(name).get();
        self.enter(number, Node::Branch(name.into()))
    }

    /// A name in the directory of states: a commit by all its digits, or whatever else it means now.
    fn state(&self, up: u64, name: &[u8]) -> Result<(Option<Entry>, Lasts), Errno> {
        if let Some(id) = whole_id(name) {
            return match self.dir_of(id, up)? {
                Some(entry) => Ok((Some(entry), Lasts::Ever)),
                // It may be made a moment later.
                None => Ok((None, Lasts::No)),
            };
        }
        let entry = self.past.find(name).map(|_| self.alias(name));
        Ok((entry, Lasts::No))
    }

    fn alias(&self, name: &[u8]) -> Entry {
        let number = Number::new("alias").with(name).get();
        self.enter(number, Node::Alias(name.into()))
    }

    fn dir_of(&self, commit: CommitId, up: u64) -> Result<Option<Entry>, Errno> {
        let store = self.past.store();
        let made = match store.commit(commit) {
            Ok(made) => made,
            Err(store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(failed(&e)),
        };
        let number = Number::new("state").with(&commit.0).get();
        // Somebody may be in it already: then its lineage is known.
        let known = match self.nodes().get(number) {
            Some(Node::Dir(dir)) if dir.state.commit == commit => Some(Arc::clone(&dir.state)),
            _ => None,
        };
        let state = match known {
            Some(state) => state,
            None => Arc::new(State {
                commit,
                tree: made.tree,
                time: made.time.0,
                lineage: store.lineage(commit).map_err(|e| failed(&e))?,
            }),
        };
        let node = Node::Dir(Box::new(Dir {
            path: RepoPath::root(),
            tree: state.tree,
            perm: self.owner.root,
            time: state.time,
            up,
            state,
        }));
        Ok(Some(self.enter(number, node)))
    }

    /// The node of an entry, and the number that it should have.
    fn made(
        dir: &Dir,
        up: u64,
        path: RepoPath,
        entry: &crate::model::Entry,
        time: i64,
    ) -> (u64, Node) {
        let perm = entry.mode & 0o7777;
        let facts = |what| {
            Number::new(what)
                .with(path.as_bytes())
                .with(&perm.to_le_bytes())
                .with(&time.to_le_bytes())
        };
        match &entry.kind {
            Kind::Dir(tree) => {
                let number = Number::new("dir")
                    .with(&dir.state.commit.0)
                    .with(path.as_bytes())
                    .get();
                let node = Dir {
                    state: Arc::clone(&dir.state),
                    path,
                    tree: *tree,
                    perm,
                    time,
                    up,
                };
                (number, Node::Dir(Box::new(node)))
            }
            Kind::File { blob, size } => {
                let (blob, size) = (*blob, *size);
                let node = Node::File {
                    blob,
                    size,
                    perm,
                    time,
                };
                (facts("file").with(&blob.0).get(), node)
            }
            Kind::Symlink(target) => {
                let node = Node::Link {
                    target: target.as_slice().into(),
                    time,
                };
                (facts("link").with(target).get(), node)
            }
            Kind::Fifo | Kind::Socket | Kind::Device { .. } => {
                let (kind, rdev) = match entry.kind {
                    Kind::Socket => (SpecialKind::Socket, 0),
                    Kind::Device { block, rdev } => (SpecialKind::Device { block }, rdev),
                    _ => (SpecialKind::Fifo, 0),
                };
                let node = Node::Special {
                    kind,
                    perm,
                    rdev,
                    time,
                };
                let number = facts(entry.kind.word()).with(&rdev.to_le_bytes());
                (number.get(), node)
            }
            Kind::Unknown { version } => {
                let number = facts("unknown").with(&version.to_le_bytes());
                (number.get(), Node::Unknown { perm, time })
            }
        }
    }

    fn attr(&self, ino: u64, node: &Node) -> Attr {
        let now = || Time::now().0;
        let (kind, perm, size, micros, rdev) = match node {
            // What is in them may change at any moment: their time is always another one, so that no listing is kept.
            Node::Places | Node::States | Node::Branches => (FileKind::Dir, 0o500, 0, now(), 0),
            Node::Live | Node::Branch(_) => {
                let target = self.target(node).map_or(0, |t| t.len() as u64);
                (FileKind::Symlink, 0o777, target, now(), 0)
            }
            Node::Alias(name) => {
                let time = self.past.find(name).and_then(|id| {
                    let made = self.past.store().commit(id).ok()?;
                    Some(made.time.0)
                });
                let time = time.unwrap_or_else(now);
                (FileKind::Symlink, 0o777, DIGITS as u64, time, 0)
            }
            Node::Dir(dir) => (FileKind::Dir, dir.perm, 4096, dir.time, 0),
            Node::File {
                size, perm, time, ..
            } => (FileKind::File, *perm, *size, *time, 0),
            Node::Link { target, time } => {
                (FileKind::Symlink, 0o777, target.len() as u64, *time, 0)
            }
            Node::Special {
                kind,
                perm,
                rdev,
                time,
            } => {
                let kind = match kind {
                    SpecialKind::Fifo => FileKind::Fifo,
                    SpecialKind::Socket => FileKind::Socket,
                    SpecialKind::Device { block: true } => FileKind::Block,
                    SpecialKind::Device { block: false } => FileKind::Char,
                };
                (kind, *perm, 0, *time, *rdev)
            }
            Node::Unknown { perm, time } => (FileKind::File, *perm, 0, *time, 0),
        };
        let time: When = when(micros);
        let taken = match node {
            Node::File { blob, size, .. } => self.taken(*blob, *size),
            _ => 0,
        };
        Attr {
            ino,
            kind,
            perm,
            // One for directories says that their number of subdirectories is not told by it.
            nlink: 1,
            uid: self.owner.uid,
            gid: self.owner.gid,
            rdev: (major(rdev), minor(rdev)),
            size,
            blocks: taken.div_ceil(512),
            blksize: 4096,
            atime: time,
            mtime: time,
            ctime: time,
        }
    }

    /// How much of a file is more than holes.
    fn taken(&self, blob: crate::model::BlobId, size: u64) -> u64 {
        let holes = self.past.store().blob_holes(blob, size);
        let holes = holes.unwrap_or_default();
        let empty: u64 = holes.iter().map(|h| h.end - h.start).sum();
        size.saturating_sub(empty)
    }

    pub(super) fn forget(&self, ino: u64, count: u64) {
        self.nodes().forget(ino, count);
    }

    pub(super) fn getattr(&self, ino: u64) -> Result<(Attr, Lasts), Errno> {
        let node = self.node(ino)?;
        Ok((self.attr(ino, &node), lasts(&node)))
    }

    fn target(&self, node: &Node) -> Result<Vec<u8>, Errno> {
        let path = |p: std::path::PathBuf| p.into_os_string().into_encoded_bytes();
        match node {
            Node::Live => self.past.live().map(path).ok_or(Errno::NOENT),
            Node::Branch(name) => {
                let all = self.past.branches();
                let found = all.into_iter().find(|(n, _)| **n == **name);
                found.map(|(_, at)| path(at)).ok_or(Errno::NOENT)
            }
            Node::Alias(name) => {
                let id = self.past.find(name).ok_or(Errno::NOENT)?;
                Ok(id.to_hex().into_bytes())
            }
            Node::Link { target, .. } => Ok(target.to_vec()),
            _ => Err(Errno::INVAL),
        }
    }

    pub(super) fn readlink(&self, ino: u64) -> Result<Vec<u8>, Errno> {
        self.target(&self.node(ino)?)
    }

    /// Whether a file can be read at all.
    pub(super) fn open(&self, ino: u64) -> Result<(), Errno> {
        match self.node(ino)? {
            Node::File { .. } => Ok(()),
            Node::Unknown { .. } => Err(Errno::NODATA),
            Node::Dir(_) | Node::States | Node::Places | Node::Branches => Err(Errno::ISDIR),
            _ => Err(Errno::NXIO),
        }
    }

    pub(super) fn read(&self, ino: u64, offset: u64, size: usize) -> Result<Vec<u8>, Errno> {
        let Node::File { blob, .. } = self.node(ino)? else {
            return Err(Errno::NODATA);
        };
        let store = self.past.store();
        store.blob_range(blob, offset, size).map_err(|e| failed(&e))
    }

    /// Where the next data or the next hole from `offset` on begins.
    pub(super) fn lseek(&self, ino: u64, offset: i64, whence: i32) -> Result<i64, Errno> {
        const DATA: i32 = 3;
        const HOLE: i32 = 4;
        let Node::File { blob, size, .. } = self.node(ino)? else {
            return Err(Errno::NXIO);
        };
        let at = u64::try_from(offset).map_err(|_| Errno::NXIO)?;
        if at >= size {
            return Err(Errno::NXIO);
        }
        let holes = self.past.store().blob_holes(blob, size);
        let holes = holes.map_err(|e| failed(&e))?;
        let to = match whence {
            DATA => match holes.iter().find(|h| h.contains(&at)) {
                Some(hole) if hole.end >= size => return Err(Errno::NXIO),
                Some(hole) => hole.end,
                None => at,
            },
            HOLE => holes
                .iter()
                .find(|h| h.end > at)
                .map_or(size, |h| h.start.max(at)),
            _ => return Err(Errno::INVAL),
        };
        i64::try_from(to).map_err(|_| Errno::OVERFLOW)
    }

    /// Lists a directory from `offset` on; `put` is told how long an entry lasts and returns false when it has no room.
    pub(super) fn readdir(
        &self,
        ino: u64,
        offset: u64,
        put: &mut dyn FnMut(&DirItem<'_>, Lasts) -> bool,
    ) -> Result<(), Errno> {
        let node = self.node(ino)?;
        let up = match &node {
            Node::Dir(dir) => dir.up,
            Node::States | Node::Branches | Node::Places => TOP,
            _ => return Err(Errno::NOTDIR),
        };
        for (n, name, ino) in [(1, &b"."[..], ino), (2, b"..", up)] {
            if offset < n && !self.put_dot(name, n, ino, put) {
                return Ok(());
            }
        }
        match node {
            Node::Dir(dir) => self.list(&dir, ino, offset, put),
            Node::Places => self.list_names(
                vec![b"at".to_vec(), b"branches".to_vec(), b"live".to_vec()],
                ino,
                offset,
                put,
            ),
            Node::Branches => {
                let names = self.past.branches().into_iter().map(|(n, _)| n).collect();
                self.list_names(names, ino, offset, put)
            }
            _ => self.list_names(self.past.names(), ino, offset, put),
        }
    }

    fn put_dot(
        &self,
        name: &[u8],
        next: u64,
        ino: u64,
        put: &mut dyn FnMut(&DirItem<'_>, Lasts) -> bool,
    ) -> bool {
        let entry = self.entry_of(ino).ok();
        let item = DirItem {
            name,
            ino,
            next,
            kind: FileKind::Dir,
            entry,
        };
        put(&item, Lasts::No)
    }

    /// Names that come and go, in the order of their places.
    fn list_names(
        &self,
        names: Vec<Vec<u8>>,
        dir: u64,
        offset: u64,
        put: &mut dyn FnMut(&DirItem<'_>, Lasts) -> bool,
    ) -> Result<(), Errno> {
        let mut all: Vec<_> = names.into_iter().map(|n| (place(&n), n)).collect();
        all.sort();
        all.dedup();
        let from = all.partition_point(|(at, _)| *at <= offset);
        for (next, name) in all.get(from..).unwrap_or_default() {
            let (Some(entry), lasts) = self.lookup(dir, name)? else {
                continue;
            };
            let item = DirItem {
                name,
                ino: entry.attr.ino,
                next: *next,
                kind: entry.attr.kind,
                entry: Some(entry),
            };
            if !put(&item, lasts) {
                self.forget(entry.attr.ino, 1);
                return Ok(());
            }
        }
        Ok(())
    }

    /// A directory of a state: its entries never move, so a place is a count.
    fn list(
        &self,
        dir: &Dir,
        ino: u64,
        offset: u64,
        put: &mut dyn FnMut(&DirItem<'_>, Lasts) -> bool,
    ) -> Result<(), Errno> {
        let store = self.past.store();
        let tree = self.tree(&store, dir.tree)?;
        let from = usize::try_from(offset.saturating_sub(2)).unwrap_or(usize::MAX);
        let rest = tree.entries.get(from..).unwrap_or_default();
        let mut next = from as u64 + 2;
        for some in rest.chunks(BATCH) {
            let paths: Result<Vec<_>, _> = some.iter().map(|e| dir.path.join(&e.name)).collect();
            let paths = paths.map_err(|_| Errno::IO)?;
            let times = self.times.changed(&store, &dir.state, &paths);
            let times = times.map_err(|e| failed(&e))?;
            for ((entry, path), time) in some.iter().zip(paths).zip(times) {
                next += 1;
                let (number, node) = Self::made(dir, ino, path, entry, time);
                let made = self.enter(number, node);
                let item = DirItem {
                    name: &entry.name,
                    ino: made.attr.ino,
                    next,
                    kind: made.attr.kind,
                    entry: Some(made),
                };
                if !put(&item, Lasts::Ever) {
                    self.forget(made.attr.ino, 1);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    pub(super) fn statfs(&self) -> Result<Space, Errno> {
        let s = fstatvfs(&self.ground)?;
        let short = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Ok(Space {
            blocks: s.f_blocks,
            // Nobody can write here.
            bfree: 0,
            bavail: 0,
            files: s.f_files,
            ffree: 0,
            bsize: short(s.f_bsize),
            namelen: 255,
            frsize: short(s.f_frsize),
        })
    }
}

fn lasts(node: &Node) -> Lasts {
    match node {
        Node::Places
        | Node::States
        | Node::Branches
        | Node::Live
        | Node::Branch(_)
        | Node::Alias(_) => Lasts::No,
        _ => Lasts::Ever,
    }
}

/// A commit by all its digits, as links name it.
fn whole_id(name: &[u8]) -> Option<CommitId> {
    if name.len() != DIGITS || name.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    std::str::from_utf8(name).ok()?.parse().ok()
}
