//! The real directory, through one handle opened at the start.
//!
//! Invariants: every access is relative to that handle and never follows a link, so nothing outside the project is
//! ever read, whatever is renamed or replaced meanwhile; only regular files are opened for reading (a FIFO would
//! block, a device would act). Content is read between two looks at the file and read again when they differ.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::Errno;

use crate::model::{BlobId, RepoPath};
use crate::store::Store;

/// Files up to this size are read whole; larger ones are streamed.
const WHOLE: u64 = 1024 * 1024;
/// How often a file that changes while it is read is read again.
const TRIES: usize = 3;
/// A time stamp younger than this may be given to the next change as well: clocks of file systems tick this coarsely.
const TICK_NS: i64 = 20_000_000;

/// What tells two states of a file apart without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Length in bytes.
    pub size: u64,
    /// Modification time, nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since the epoch.
    pub ctime_ns: i64,
}

impl Stamp {
    /// This stamp, made so that it equals no other, when it is so young that a later change may carry the same one.
    #[must_use]
    pub fn trusted(mut self) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
        if self.mtime_ns.max(self.ctime_ns) > now.saturating_sub(TICK_NS) {
            self.ctime_ns = i64::MIN;
        }
        self
    }
}

/// The type of a thing in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
    /// A character or block device.
    Device {
        /// `true` for a block device.
        block: bool,
    },
}

/// What the file system says of a path, the link itself where it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Device, inode, size and times.
    pub stamp: Stamp,
    /// What it is.
    pub kind: Type,
    /// Permission bits, `0o7777` at most.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// How many names it has.
    pub nlink: u64,
    /// Device number, for devices.
    pub rdev: u64,
}

impl Stat {
    #[allow(
        clippy::unnecessary_cast,
        reason = "the width differs between architectures"
    )]
    fn of(st: &rustix::fs::Stat) -> Self {
        let ns = |s: i64, n: i64| s.saturating_mul(1_000_000_000).saturating_add(n);
        let kind = match FileType::from_raw_mode(st.st_mode) {
            FileType::Directory => Type::Dir,
            FileType::Symlink => Type::Symlink,
            FileType::Fifo => Type::Fifo,
            FileType::Socket => Type::Socket,
            FileType::CharacterDevice => Type::Device { block: false },
            FileType::BlockDevice => Type::Device { block: true },
            _ => Type::File,
        };
        Self {
            stamp: Stamp {
                dev: st.st_dev,
                ino: st.st_ino,
                size: u64::try_from(st.st_size).unwrap_or(0),
                mtime_ns: ns(
                    st.st_mtime,
                    i64::try_from(st.st_mtime_nsec).unwrap_or_default(),
                ),
                ctime_ns: ns(
                    st.st_ctime,
                    i64::try_from(st.st_ctime_nsec).unwrap_or_default(),
                ),
            },
            kind,
            mode: st.st_mode & 0o7777,
            uid: st.st_uid,
            gid: st.st_gid,
            nlink: st.st_nlink as u64,
            rdev: st.st_rdev,
        }
    }
}

/// A file's content as it was stored.
#[derive(Debug, Clone, Copy)]
pub struct Content {
    /// The look that belongs to the content.
    pub stat: Stat,
    /// Its identity.
    pub blob: BlobId,
    /// How many bytes were read.
    pub size: u64,
    /// Whether the file held still; if not, this is what was read last.
    pub still: bool,
}

/// Why a file's content could not be stored.
#[derive(Debug)]
pub enum ReadError {
    /// The file: unreadable, or gone, or no regular file any more.
    File(io::Error),
    /// The store refused; nothing can go on.
    Store(crate::store::Error),
}

/// The project's real directory.
#[derive(Debug)]
pub struct Disk {
    root: OwnedFd,
    path: PathBuf,
}

fn absent(e: Errno) -> bool {
    // A link or a file where a directory was expected: the path does not exist in this tree.
    matches!(
        e,
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::STALE
    )
}

/// Whether `e` says that there is no such path.
#[must_use]
pub fn is_absent(e: &io::Error) -> bool {
    Errno::from_io_error(e).is_some_and(absent)
}

impl Disk {
    /// Opens `path`, which may be reached through links, as the project's root.
    pub fn open(path: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Self {
            root,
            path: path.to_owned(),
        })
    }

    /// The handle of the root.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The path that the root was opened by; it may mean something else by now.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open_beneath(&self, path: &RepoPath, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        if path.is_root() {
            return Ok(rustix::fs::openat(&self.root, ".", flags, Mode::empty())?);
        }
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rustix::fs::openat2(&self.root, path.as_bytes(), flags, Mode::empty(), resolve) {
                Ok(fd) => return Ok(fd),
                Err(Errno::INTR | Errno::AGAIN) => {}
                // Some sandboxes refuse the newer call: go part by part.
                Err(Errno::NOSYS) => return self.open_by_parts(path, flags),
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn open_by_parts(&self, path: &RepoPath, flags: OFlags) -> io::Result<OwnedFd> {
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut dir = rustix::fs::openat(&self.root, ".", step, Mode::empty())?;
        let parent = path.parent().unwrap_or_default();
        for part in parent.parts() {
            dir = rustix::fs::openat(&dir, part, step, Mode::empty())?;
        }
        Ok(rustix::fs::openat(&dir, path.name(), flags, Mode::empty())?)
    }

    /// Opens a directory to look at things in it; `None` when there is none of that name.
    pub fn dir(&self, path: &RepoPath) -> io::Result<Option<OwnedFd>> {
        found(self.open_beneath(path, OFlags::PATH | OFlags::DIRECTORY))
    }

    /// Opens a directory to list it; `None` when there is none of that name.
    pub fn listable(&self, path: &RepoPath) -> io::Result<Option<OwnedFd>> {
        found(self.open_beneath(path, OFlags::RDONLY | OFlags::DIRECTORY))
    }

    /// Looks at a path; `None` when there is nothing.
    pub fn stat(&self, path: &RepoPath) -> io::Result<Option<Stat>> {
        let Some(parent) = path.parent() else {
            return Ok(Some(Stat::of(&rustix::fs::fstat(&self.root)?)));
        };
        match self.dir(&parent)? {
            Some(dir) => stat_in(dir.as_fd(), path.name()),
            None => Ok(None),
        }
    }

    /// A whole small file, at most `limit` bytes of it; `None` when there is no regular file of that name.
    pub fn small_file(&self, path: &RepoPath, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(dir) = self.dir(&path.parent().unwrap_or_default())? else {
            return Ok(None);
        };
        match stat_in(dir.as_fd(), path.name())? {
            Some(s) if s.kind == Type::File => {}
            _ => return Ok(None),
        }
        let Some(file) = found(open_file(dir.as_fd(), path.name()))? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }
}

fn found<T>(r: io::Result<T>) -> io::Result<Option<T>> {
    match r {
        Ok(x) => Ok(Some(x)),
        Err(e) if is_absent(&e) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Looks at `name` in an open directory; `None` when there is nothing.
pub fn stat_in(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(st) => Ok(Some(Stat::of(&st))),
        Err(e) if absent(e) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The target's bytes of a symbolic link.
pub fn link_in(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<Vec<u8>> {
    Ok(rustix::fs::readlinkat(dir, name, Vec::new())?.into_bytes())
}

/// The names in an open directory, in no order.
pub fn names_in(dir: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    let mut buf = vec![MaybeUninit::uninit(); 32 * 1024];
    let mut entries = RawDir::new(dir, &mut buf);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

fn open_file(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<File> {
    // NONBLOCK: should the name have become a FIFO since it was looked at, the open must not wait.
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    loop {
        match rustix::fs::openat(dir, name, flags, Mode::empty()) {
            Ok(fd) => return Ok(File::from(fd)),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Remembers the reader's own error, so that an unreadable file is told from a store that refuses.
struct Tap<'a> {
    file: &'a mut File,
    error: Option<io::Error>,
}

impl Read for Tap<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read(buf).map_err(|e| {
            let copy = io::Error::from(e.kind());
            if e.kind() != io::ErrorKind::Interrupted {
                self.error = Some(e);
            }
            copy
        })
    }
}

fn store_once(store: &Store, file: &mut File, size: u64) -> Result<(BlobId, u64), ReadError> {
    if size <= WHOLE {
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
        // It may have grown: what is beyond is left to the next try, or to the stream.
        (&mut *file)
            .take(WHOLE + 1)
            .read_to_end(&mut bytes)
            .map_err(ReadError::File)?;
        if bytes.len() as u64 <= WHOLE {
            let blob = store.put_blob(&bytes).map_err(ReadError::Store)?;
            return Ok((blob, bytes.len() as u64));
        }
        file.seek(SeekFrom::Start(0)).map_err(ReadError::File)?;
    }
    let mut tap = Tap { file, error: None };
    match store.put_blob_from(&mut tap, size) {
        Ok(done) => Ok(done),
        Err(e) => Err(match tap.error {
            Some(own) => ReadError::File(own),
            None => ReadError::Store(e),
        }),
    }
}

/// Stores the content of the regular file `name`.
pub fn store_in(store: &Store, dir: BorrowedFd<'_>, name: &[u8]) -> Result<Content, ReadError> {
    let mut file = open_file(dir, name).map_err(ReadError::File)?;
    let look = |file: &File| match rustix::fs::fstat(file) {
        Ok(st) => Ok(Stat::of(&st)),
        Err(e) => Err(ReadError::File(e.into())),
    };
    let mut before = look(&file)?;
    if before.kind != Type::File {
        return Err(ReadError::File(Errno::NOENT.into()));
    }
    let mut tries = 1;
    loop {
        let (blob, size) = store_once(store, &mut file, before.stamp.size)?;
        let after = look(&file)?;
        // The number of names may change without the content; its change time then reads as a change: read again.
        let still = after.stamp == before.stamp;
        if still || tries == TRIES {
            return Ok(Content {
                stat: after,
                blob,
                size,
                still,
            });
        }
        tries += 1;
        before = after;
        file.seek(SeekFrom::Start(0)).map_err(ReadError::File)?;
    }
}
