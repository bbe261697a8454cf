//! What can be mounted: a tree of nodes with the operations of the protocol, in plain types.
//!
//! Everything here is called by tests without a mount; `adapter` only translates to and from the FUSE crate. An operation
//! that changes something is done in two steps: [`View::prepare`] outside the gate, which lets the observer save old
//! content, then the operation itself inside the gate with a [`Ctx`] that says what was prepared. If a name moved in
//! between, the operation answers [`Fault::Moved`] without having done anything, and is prepared again.
//!
//! POSIX and BSD locks are left to the kernel: they hold between all processes inside a mount, and do not meet locks
//! taken on the real directory from outside. Forwarding them without blocking a dispatching thread would need a thread
//! for each waiting lock.

use std::sync::Arc;

use rustix::io::Errno;

use super::attr::{Attr, FileKind, When};
use super::gate::Gate;
use crate::model::{RepoPath, Touch, Writer};

/// Why an operation was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The error to answer.
    Os(Errno),
    /// A path is not the one that was prepared any more: prepare again.
    Moved,
}

impl From<Errno> for Fault {
    fn from(e: Errno) -> Self {
        Self::Os(e)
    }
}

/// What an operation is about, before its paths are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A node, under all its known names.
    Node(u64),
    /// A name in a directory.
    Name(u64, Vec<u8>),
}

/// Who asks, and what was prepared for it.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// The process.
    pub who: Writer,
    /// Its file-system user.
    pub uid: u32,
    /// Its file-system group.
    pub gid: u32,
    prepared: Option<Vec<RepoPath>>,
}

impl Ctx {
    /// Someone for whom `prepared` was prepared; with `None` nothing is checked.
    #[must_use]
    pub fn new(who: Writer, uid: u32, gid: u32, prepared: Option<Vec<RepoPath>>) -> Self {
        Self {
            who,
            uid,
            gid,
            prepared,
        }
    }

    /// Fails unless `path` was prepared.
    pub fn covers(&self, path: &RepoPath) -> Result<(), Fault> {
        match &self.prepared {
            Some(paths) if !paths.contains(path) => Err(Fault::Moved),
            _ => Ok(()),
        }
    }
}

/// A node as a look-up returns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its attributes; `attr.ino` is its number.
    pub attr: Attr,
    /// Tells uses of one number apart.
    pub generation: u64,
}

/// An opened file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The handle.
    pub fh: u64,
    /// The file is what the kernel's pages were read from: it may keep them.
    pub keep: bool,
    /// The attributes that the kernel holds are not those of the file: it must be told before it reads.
    pub refresh: bool,
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Bytes written.
    pub len: usize,
    /// They went somewhere else than the kernel thinks (an append met another writer's): its pages are wrong.
    pub stray: bool,
}

/// A time to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetTime {
    /// The present.
    Now,
    /// This.
    At(When),
}

/// Attributes to set; what is `None` stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SetAttr {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Length.
    pub size: Option<u64>,
    /// Last access.
    pub atime: Option<SetTime>,
    /// Last change of content.
    pub mtime: Option<SetTime>,
    /// The handle through which it is asked.
    pub fh: Option<u64>,
}

impl SetAttr {
    /// How much it changes: content, facts, or both.
    #[must_use]
    pub fn touches(&self) -> Vec<Touch> {
        let mut t = Vec::with_capacity(2);
        if self.size.is_some() {
            t.push(Touch::Content);
        }
        let facts = self.mode.is_some() || self.uid.is_some() || self.gid.is_some();
        let times = self.atime.is_some() || self.mtime.is_some();
        if facts || (times && self.size.is_none()) {
            t.push(Touch::Meta);
        }
        t
    }
}

/// What a new name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// A regular file.
    File,
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
    /// A character device: major, minor.
    Char(u32, u32),
    /// A block device: major, minor.
    Block(u32, u32),
}

/// How a rename treats its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenameKind {
    /// Replaces it.
    Replace,
    /// Fails if it is there.
    NoReplace,
    /// Exchanges the two.
    Exchange,
}

/// One write.
#[derive(Debug, Clone, Copy)]
pub struct WriteAt<'a> {
    /// Where the kernel thinks the bytes go.
    pub offset: u64,
    /// The bytes.
    pub data: &'a [u8],
    /// The descriptor appends: they go to the real end.
    pub append: bool,
    /// Written back from a shared mapping: the handle and the writer are guesses of the kernel.
    pub write_back: bool,
    /// The set-id bits must go.
    pub kill_set_id: bool,
}

/// One entry of a directory.
#[derive(Debug, Clone)]
pub struct DirItem<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its number as listed; 0 is never given.
    pub ino: u64,
    /// Where a listing that continues after it begins.
    pub next: u64,
    /// What it is.
    pub kind: FileKind,
    /// The node, when the listing was asked for with attributes; `.` and `..` carry attributes and are not counted as
    /// look-ups.
    pub entry: Option<Entry>,
}

/// Space on the file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// Size in fragments.
    pub blocks: u64,
    /// Free.
    pub bfree: u64,
    /// Free for ordinary users.
    pub bavail: u64,
    /// Inodes.
    pub files: u64,
    /// Free inodes.
    pub ffree: u64,
    /// Preferred block size.
    pub bsize: u32,
    /// Longest name.
    pub namelen: u32,
    /// Fragment size.
    pub frsize: u32,
}

/// A span of one file to be copied into another.
#[derive(Debug, Clone, Copy)]
pub struct CopyRange {
    /// Handle read from.
    pub from: u64,
    /// From where.
    pub from_offset: u64,
    /// Node written to.
    pub ino: u64,
    /// Handle written to.
    pub to: u64,
    /// To where.
    pub to_offset: u64,
    /// How much.
    pub len: u64,
}

type Res<T> = Result<T, Errno>;
type Done<T> = Result<T, Fault>;

/// A tree that can be mounted: `live` now; branches and past states later. One FUSE session serves one view.
#[allow(missing_docs, reason = "the operations are those of the protocol")]
pub trait View: Send + Sync + 'static {
    /// The gate that changes pass.
    fn gate(&self) -> &Arc<Gate>;
    /// Finds the present paths of `targets` and lets the observer save what is about to change. Not in the gate.
    fn prepare(&self, targets: &[(Target, Touch)]) -> Vec<RepoPath>;

    /// Whether somebody wants to know who opens what for reading.
    fn wants_reads(&self) -> bool;
    /// `ino` was opened for reading only.
    fn note_read(&self, ino: u64, who: &Writer);

    /// `None` when there is no such name.
    fn lookup(&self, parent: u64, name: &[u8]) -> Res<Option<Entry>>;
    fn forget(&self, ino: u64, count: u64);
    fn getattr(&self, ino: u64, fh: Option<u64>) -> Res<Attr>;
    fn readlink(&self, ino: u64) -> Res<Vec<u8>>;
    fn open(&self, ctx: &Ctx, ino: u64, flags: i32) -> Done<Opened>;
    fn read(&self, fh: u64, offset: u64, size: usize) -> Res<Vec<u8>>;
    fn release(&self, fh: u64);
    fn fsync(&self, fh: u64, data_only: bool) -> Res<()>;
    /// Lists a directory from `offset` on. `put` returns false when it has no room for an entry, which then counts as not
    /// given. `plus` asks for attributes.
    fn readdir(
        &self,
        ino: u64,
        offset: u64,
        plus: bool,
        put: &mut dyn FnMut(&DirItem<'_>) -> bool,
    ) -> Res<()>;
    fn fsyncdir(&self, ino: u64, data_only: bool) -> Res<()>;
    fn statfs(&self, ino: u64) -> Res<Space>;
    fn getxattr(&self, ino: u64, name: &[u8]) -> Res<Vec<u8>>;
    fn listxattr(&self, ino: u64) -> Res<Vec<u8>>;
    fn lseek(&self, fh: u64, offset: i64, whence: i32) -> Res<i64>;

    fn setattr(&self, ctx: &Ctx, ino: u64, set: &SetAttr) -> Done<Attr>;
    fn mknod(&self, ctx: &Ctx, parent: u64, name: &[u8], mode: u32, kind: Special) -> Done<Entry>;
    fn mkdir(&self, ctx: &Ctx, parent: u64, name: &[u8], mode: u32) -> Done<Entry>;
    fn unlink(&self, ctx: &Ctx, parent: u64, name: &[u8]) -> Done<()>;
    fn rmdir(&self, ctx: &Ctx, parent: u64, name: &[u8]) -> Done<()>;
    fn symlink(&self, ctx: &Ctx, parent: u64, name: &[u8], target: &[u8]) -> Done<Entry>;
    fn rename(&self, ctx: &Ctx, from: (u64, &[u8]), to: (u64, &[u8]), kind: RenameKind)
    -> Done<()>;
    fn link(&self, ctx: &Ctx, ino: u64, parent: u64, name: &[u8]) -> Done<Entry>;
    fn create(
        &self,
        ctx: &Ctx,
        parent: u64,
        name: &[u8],
        mode: u32,
        flags: i32,
    ) -> Done<(Entry, Opened)>;
    fn write(&self, ctx: &Ctx, ino: u64, fh: u64, what: &WriteAt<'_>) -> Done<Written>;
    fn fallocate(&self, ctx: &Ctx, ino: u64, fh: u64, offset: u64, len: u64, mode: i32)
    -> Done<()>;
    fn copy_file_range(&self, ctx: &Ctx, what: &CopyRange) -> Done<usize>;
    fn setxattr(&self, ctx: &Ctx, ino: u64, name: &[u8], value: &[u8], flags: i32) -> Done<()>;
    fn removexattr(&self, ctx: &Ctx, ino: u64, name: &[u8]) -> Done<()>;
}
