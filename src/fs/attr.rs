//! What a file is, as plain values: attributes, the identity of the file behind a node, and the stamp by which a change
//! of content is recognised.

use serde::{Deserialize, Serialize};

use rustix::fs::{FileType, Statx, StatxFlags, StatxTimestamp, makedev};

/// A point in time as file systems keep it. `nanos` counts forward also before 1970.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct When {
    /// Seconds since the epoch.
    pub secs: i64,
    /// Nanoseconds within that second.
    pub nanos: u32,
}

impl When {
    /// Nanoseconds since the epoch, saturating.
    #[must_use]
    pub fn nanoseconds(self) -> i64 {
        self.secs
            .saturating_mul(1_000_000_000)
            .saturating_add(i64::from(self.nanos))
    }
}

impl From<StatxTimestamp> for When {
    fn from(t: StatxTimestamp) -> Self {
        Self {
            secs: t.tv_sec,
            nanos: t.tv_nsec,
        }
    }
}

/// Kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FileKind {
    /// Regular file.
    File,
    /// Directory.
    Dir,
    /// Symbolic link.
    Symlink,
    /// Named pipe.
    Fifo,
    /// Unix socket.
    Socket,
    /// Character device.
    Char,
    /// Block device.
    Block,
}

impl FileKind {
    /// Of a directory entry; `None` when the file system did not say.
    #[must_use]
    pub fn from_type(t: FileType) -> Option<Self> {
        Some(match t {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Dir,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice => Self::Char,
            FileType::BlockDevice => Self::Block,
            _ => return None,
        })
    }
}

/// Attributes of a node as they go to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr {
    /// The number the kernel and `stat` see.
    pub ino: u64,
    /// What it is.
    pub kind: FileKind,
    /// Permission bits with set-id and sticky, `0o7777` at most.
    pub perm: u32,
    /// Count of hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node: major, minor.
    pub rdev: (u32, u32),
    /// Length in bytes.
    pub size: u64,
    /// Space taken, in 512-byte blocks.
    pub blocks: u64,
    /// Preferred size of reads and writes.
    pub blksize: u32,
    /// Last access.
    pub atime: When,
    /// Last change of content.
    pub mtime: When,
    /// Last change of anything.
    pub ctime: When,
}

impl Attr {
    /// The part that tells whether content may have changed.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        Stamp {
            size: self.size,
            mtime: self.mtime,
            ctime: self.ctime,
        }
    }
}

/// The facts compared to decide whether content is the same as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Length in bytes.
    pub size: u64,
    /// Last change of content.
    pub mtime: When,
    /// Last change of anything; catches a change whose mtime was set back.
    pub ctime: When,
}

/// Which file of the backing directory a node stands for. The time of birth tells a new file from an old one when the
/// file system gives the inode number away again at once; it is left out where it cannot be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Device.
    pub dev: u64,
    /// Inode number there.
    pub ino: u64,
    /// Time of birth.
    pub born: Option<When>,
}

/// A file as it was found in the backing directory. `attr.ino` is still the backing number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Which file.
    pub id: Identity,
    /// Its attributes.
    pub attr: Attr,
}

impl Found {
    /// Reads what `statx` returned; `trust_birth` is false on file systems whose times of birth change.
    #[must_use]
    pub fn new(s: &Statx, trust_birth: bool) -> Self {
        let mode = u32::from(s.stx_mode);
        let kind = FileKind::from_type(FileType::from_raw_mode(mode)).unwrap_or(FileKind::File);
        let has_birth = s.stx_mask & StatxFlags::BTIME.bits() != 0;
        Self {
            id: Identity {
                dev: makedev(s.stx_dev_major, s.stx_dev_minor),
                ino: s.stx_ino,
                born: (trust_birth && has_birth).then(|| s.stx_btime.into()),
            },
            attr: Attr {
                ino: s.stx_ino,
                kind,
                perm: mode & 0o7777,
                nlink: s.stx_nlink,
                uid: s.stx_uid,
                gid: s.stx_gid,
                rdev: (s.stx_rdev_major, s.stx_rdev_minor),
                size: s.stx_size,
                blocks: s.stx_blocks,
                blksize: s.stx_blksize,
                atime: s.stx_atime.into(),
                mtime: s.stx_mtime.into(),
                ctime: s.stx_ctime.into(),
            },
        }
    }

    /// The facts by which a watch event caused by ourselves is recognised.
    #[must_use]
    pub fn own(&self) -> OwnStat {
        OwnStat {
            dev: self.id.dev,
            ino: self.id.ino,
            size: self.attr.size,
            mtime_ns: self.attr.mtime.nanoseconds(),
            ctime_ns: self.attr.ctime.nanoseconds(),
        }
    }
}

/// A file's facts right after a change that came through the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnStat {
    /// Backing device.
    pub dev: u64,
    /// Backing inode number.
    pub ino: u64,
    /// Length in bytes.
    pub size: u64,
    /// Modification time, nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since the epoch.
    pub ctime_ns: i64,
}
