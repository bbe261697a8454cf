//! Reaching files of the project without ever leaving it.
//!
//! A directory is opened from the root's descriptor by openat2 with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS; what is
//! in it is then reached by one name relative to that descriptor, never following a link. So a link that somebody puts
//! in the way makes the call fail, and cannot lead it elsewhere.

use std::collections::HashMap;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::model::{Entry, Kind, RepoPath};

/// Bytes read at a time when content is compared or copied.
pub(super) const CHUNK: usize = 128 * 1024;
/// Descriptors kept open at most: a process may often open no more than 1,024.
const KEPT: usize = 128;

/// Directories below a root, opened once.
pub(super) struct Dirs<'a> {
    root: BorrowedFd<'a>,
    open: HashMap<RepoPath, Rc<OwnedFd>>,
}

impl<'a> Dirs<'a> {
    pub(super) fn new(root: BorrowedFd<'a>) -> Self {
        Self {
            root,
            open: HashMap::new(),
        }
    }

    /// The directory at `path`, for calls relative to it.
    pub(super) fn get(&mut self, path: &RepoPath) -> io::Result<Rc<OwnedFd>> {
        if let Some(fd) = self.open.get(path) {
            return Ok(Rc::clone(fd));
        }
        let fd = Rc::new(open_beneath(self.root, path)?);
        if self.open.len() >= KEPT {
            self.open.clear();
        }
        self.open.insert(path.clone(), Rc::clone(&fd));
        Ok(fd)
    }

    /// The directory that `path` lies in.
    pub(super) fn parent(&mut self, path: &RepoPath) -> io::Result<Rc<OwnedFd>> {
        self.get(&path.parent().unwrap_or_default())
    }

    /// `path` means something else now: forget it and what lies below.
    pub(super) fn forget(&mut self, path: &RepoPath) {
        self.open.retain(|p, _| !p.is_within(path));
    }
}

fn open_beneath(root: BorrowedFd<'_>, path: &RepoPath) -> io::Result<OwnedFd> {
    let name: &[u8] = if path.is_root() {
        b"."
    } else {
        path.as_bytes()
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    // A rename elsewhere in the tree may make the kernel give up a safe look-up: it says to try again.
    for _ in 0..64 {
        match rustix::fs::openat2(root, name, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other.map_err(Into::into),
        }
    }
    Err(Errno::AGAIN.into())
}

/// What stat says of the thing called `name`; `None` if there is nothing.
pub(super) fn look(dir: impl AsFd, name: &[u8]) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(s) => Ok(Some(s)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Permission bits.
pub(super) fn mode_of(stat: &Stat) -> u32 {
    stat.st_mode & 0o7777
}

pub(super) fn type_of(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Modification time in nanoseconds.
pub(super) fn mtime_of(stat: &Stat) -> i64 {
    let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
    stat.st_mtime
        .saturating_mul(1_000_000_000)
        .saturating_add(nanos)
}

/// Change time in nanoseconds.
pub(super) fn ctime_of(stat: &Stat) -> i64 {
    let nanos = i64::try_from(stat.st_ctime_nsec).unwrap_or(0);
    stat.st_ctime
        .saturating_mul(1_000_000_000)
        .saturating_add(nanos)
}

/// Whether `stat` does not speak against being `entry`: same type, same mode, same size.
pub(super) fn plausible(stat: &Stat, entry: &Entry) -> bool {
    let kind = match (&entry.kind, type_of(stat)) {
        (Kind::File { size, .. }, FileType::RegularFile) => {
            u64::try_from(stat.st_size) == Ok(*size)
        }
        (Kind::Dir(_), FileType::Directory) | (Kind::Fifo, FileType::Fifo) => true,
        (Kind::Symlink(target), FileType::Symlink) => {
            // Some file systems say 0 for the length of a link.
            stat.st_size == 0 || usize::try_from(stat.st_size) == Ok(target.len())
        }
        (Kind::Socket, FileType::Socket) => true,
        (Kind::Device { block, rdev }, t) => {
            stat.st_rdev == *rdev
                && t == if *block {
                    FileType::BlockDevice
                } else {
                    FileType::CharacterDevice
                }
        }
        _ => false,
    };
    // The mode of a link means nothing.
    kind && (matches!(entry.kind, Kind::Symlink(_)) || mode_of(stat) == entry.mode)
}

/// Which of `candidates` the thing called `name` is, by type, mode and whole content (of a directory: type and mode
/// only); `None` if it is none of them or is not there.
pub(super) fn identify(
    dir: impl AsFd,
    name: &[u8],
    candidates: &[Option<&Entry>],
) -> io::Result<Option<usize>> {
    let dir = dir.as_fd();
    let Some(stat) = look(dir, name)? else {
        return Ok(None);
    };
    let possible: Vec<(usize, &Entry)> = candidates
        .iter()
        .enumerate()
        .filter_map(|(i, c)| c.map(|c| (i, c)))
        .filter(|(_, c)| plausible(&stat, c))
        .collect();
    if possible.is_empty() {
        return Ok(None);
    }
    match type_of(&stat) {
        FileType::RegularFile => {
            let mut file = open_file(dir, name)?;
            let found = hash(&mut file)?;
            // Whoever replaced it meanwhile made something new of it.
            let now = rustix::fs::fstat(&file)?;
            let is = |e: &Entry| matches!(&e.kind, Kind::File { blob, .. } if blob.0 == found);
            Ok(possible
                .iter()
                .find(|(_, e)| plausible(&now, e) && is(e))
                .map(|(i, _)| *i))
        }
        FileType::Symlink => {
            let found = rustix::fs::readlinkat(dir, name, Vec::new())?;
            let is =
                |e: &Entry| matches!(&e.kind, Kind::Symlink(t) if t.as_slice() == found.as_bytes());
            Ok(possible.iter().find(|(_, e)| is(e)).map(|(i, _)| *i))
        }
        _ => Ok(possible.first().map(|(i, _)| *i)),
    }
}

/// Opens a regular file for reading; anything else is refused, and never waited for.
pub(super) fn open_file(dir: impl AsFd, name: &[u8]) -> io::Result<std::fs::File> {
    open_regular(dir, name, OFlags::RDONLY)
}

/// As [`open_file`], with the access that is asked for.
pub(super) fn open_regular(
    dir: impl AsFd,
    name: &[u8],
    access: OFlags,
) -> io::Result<std::fs::File> {
    let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    if type_of(&rustix::fs::fstat(&fd)?) == FileType::RegularFile {
        Ok(fd.into())
    } else {
        Err(Errno::INVAL.into())
    }
}

fn hash(file: &mut std::fs::File) -> io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(*hasher.finalize().as_bytes()),
            Ok(n) => hasher.update(buffer.get(..n).unwrap_or_default()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
    }
}

/// Sets the mode of what is called `name`, whatever it is, without opening it; a link is refused.
pub(super) fn set_mode(dir: impl AsFd, name: &[u8], mode: u32) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    set_mode_of(&fd, mode)
}

/// Sets the mode of what `fd` (it may be an O_PATH descriptor) refers to. fchmod refuses O_PATH and older kernels have
/// no fchmodat2; the magic link in /proc leads to exactly that inode.
pub(super) fn set_mode_of(fd: impl AsFd, mode: u32) -> io::Result<()> {
    let fd = fd.as_fd();
    if type_of(&rustix::fs::fstat(fd)?) == FileType::Symlink {
        return Err(Errno::LOOP.into());
    }
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    rustix::fs::chmod(link, Mode::from_raw_mode(mode & 0o7777)).map_err(Into::into)
}

/// The names in a directory. `dir` may be an O_PATH descriptor.
pub(super) fn names_in(dir: impl AsFd) -> io::Result<Vec<Vec<u8>>> {
    let fd = open_readable(dir, b".")?;
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::new(fd)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Opens the directory called `name` so that it can be listed and synced.
pub(super) fn open_readable(dir: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty()).map_err(Into::into)
}

/// Opens the directory called `name` for calls relative to it.
pub(super) fn open_path(dir: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty()).map_err(Into::into)
}

/// Removes what is called `name` with all that it holds. Only for what is known to be ours. Nothing there is fine.
pub(super) fn remove_tree(dir: impl AsFd, name: &[u8]) -> io::Result<()> {
    let dir = dir.as_fd();
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(e) => return Err(e.into()),
    }
    let inside = open_path(dir, name)?;
    // It may have the mode of a directory that may not be written.
    set_mode_of(&inside, 0o700)?;
    for child in names_in(&inside)? {
        remove_tree(&inside, &child)?;
    }
    match rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Renames within a directory, never over something.
pub(super) fn rename_new(dir: impl AsFd, from: &[u8], to: &[u8]) -> io::Result<()> {
    rename_between(&dir, from, &dir, to)
}

/// Renames from one directory to another, never over something. Where the file system cannot promise that, what is
/// there is looked at first.
pub(super) fn rename_between(
    from_dir: impl AsFd,
    from: &[u8],
    to_dir: impl AsFd,
    to: &[u8],
) -> io::Result<()> {
    let (from_dir, to_dir) = (from_dir.as_fd(), to_dir.as_fd());
    match rustix::fs::renameat_with(from_dir, from, to_dir, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => {
            if look(to_dir, to)?.is_some() {
                return Err(Errno::EXIST.into());
            }
            rustix::fs::renameat(from_dir, from, to_dir, to).map_err(Into::into)
        }
        other => other.map_err(Into::into),
    }
}

/// Exchanges two names of a directory in one step.
pub(super) fn exchange(dir: impl AsFd, a: &[u8], b: &[u8]) -> io::Result<()> {
    let dir = dir.as_fd();
    rustix::fs::renameat_with(dir, a, dir, b, RenameFlags::EXCHANGE).map_err(Into::into)
}

/// Whether a directory could not be opened because it is not there, so that what was in it is gone as well.
pub(super) fn cannot_hold(e: &io::Error) -> bool {
    matches!(Errno::from_io_error(e), Some(Errno::NOENT | Errno::NOTDIR))
}
