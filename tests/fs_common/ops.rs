//! Random operations that can be done on any directory, so that two directories can be compared.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests; each file uses a part"
)]

use std::fmt::Write as _;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps,
    XattrFlags,
};
use rustix::io::Errno;

/// A small deterministic generator (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    /// Few names, so that operations meet each other.
    pub fn path(&mut self) -> PathBuf {
        let mut path = PathBuf::new();
        for _ in 0..=self.roll(3) {
            path.push(["a", "b", "c", "dir"][usize::try_from(self.roll(4)).unwrap()]);
        }
        path
    }

    pub fn bytes(&mut self, max: u64) -> Data {
        Data {
            len: self.roll(max),
            tint: self.roll(256) as u8,
        }
    }
}

/// Bytes to write, named shortly so that a failure can be read.
#[derive(Debug, Clone, Copy)]
pub struct Data {
    pub len: u64,
    pub tint: u8,
}

impl Data {
    pub fn bytes(self) -> Vec<u8> {
        (0..self.len)
            .map(|i| self.tint.wrapping_add(i as u8))
            .collect()
    }
}

/// One operation, to be done on either side.
#[derive(Debug, Clone)]
pub enum Op {
    Write(PathBuf, Data),
    Append(PathBuf, Data),
    CreateNew(PathBuf, u32),
    Read(PathBuf),
    Truncate(PathBuf, u64),
    Mkdir(PathBuf, u32),
    Rmdir(PathBuf),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, RenameFlags),
    Link(PathBuf, PathBuf),
    Symlink(PathBuf, PathBuf),
    Readlink(PathBuf),
    Chmod(PathBuf, u32),
    Chown(PathBuf, u32, u32),
    Times(PathBuf, i64, bool),
    List(PathBuf),
    Stat(PathBuf),
    SetXattr(PathBuf, u8, Data, bool),
    GetXattr(PathBuf, u8),
    ListXattr(PathBuf),
    RemoveXattr(PathBuf, u8),
    Fifo(PathBuf),
    Open(usize, PathBuf, OFlags),
    Close(usize),
    WriteAt(usize, u64, Data),
    ReadAt(usize, u64, usize),
    StatOpen(usize),
    TruncateOpen(usize, u64),
    Fallocate(usize, FallocateFlags, u64, u64),
    Copy(usize, usize, u64, u64),
    Sync(usize),
}

pub const HANDLES: u64 = 4;

pub fn op(d: &mut Dice) -> Op {
    let h = d.roll(HANDLES) as usize;
    match d.roll(40) {
        0..=2 => Op::Write(d.path(), d.bytes(9000)),
        3 => Op::Append(d.path(), d.bytes(300)),
        4 => Op::CreateNew(d.path(), [0o644, 0o600, 0o755, 0o4755][d.roll(4) as usize]),
        5..=6 => Op::Read(d.path()),
        7 => Op::Truncate(d.path(), d.roll(12_000)),
        8..=10 => Op::Mkdir(d.path(), [0o755, 0o700, 0o2775, 0o1777][d.roll(4) as usize]),
        11 => Op::Rmdir(d.path()),
        12..=13 => Op::Unlink(d.path()),
        14..=16 => {
            let flags = match d.roll(6) {
                0 => RenameFlags::EXCHANGE,
                1 => RenameFlags::NOREPLACE,
                _ => RenameFlags::empty(),
            };
            Op::Rename(d.path(), d.path(), flags)
        }
        17 => Op::Link(d.path(), d.path()),
        18 => Op::Symlink(d.path(), d.path()),
        19 => Op::Readlink(d.path()),
        20 => Op::Chmod(
            d.path(),
            [0o644, 0o400, 0o4755, 0o2755, 0o777][d.roll(5) as usize],
        ),
        21 => Op::Chown(d.path(), d.roll(3) as u32, d.roll(3) as u32),
        22 => {
            let secs = [1_700_000_000, 0, -1, -5_000_000_000, 4_000_000_000];
            Op::Times(d.path(), secs[d.roll(5) as usize], d.roll(2) == 0)
        }
        23..=24 => Op::List(d.path()),
        25 => Op::Stat(d.path()),
        26 => Op::SetXattr(d.path(), d.roll(3) as u8, d.bytes(300), d.roll(3) == 0),
        27 => Op::GetXattr(d.path(), d.roll(3) as u8),
        28 => Op::ListXattr(d.path()),
        29 => Op::RemoveXattr(d.path(), d.roll(3) as u8),
        30 => Op::Fifo(d.path()),
        31..=32 => {
            let access = [OFlags::RDONLY, OFlags::WRONLY, OFlags::RDWR][d.roll(3) as usize];
            let mut flags = access;
            for extra in [OFlags::CREATE, OFlags::TRUNC, OFlags::APPEND, OFlags::EXCL] {
                if d.roll(3) == 0 {
                    flags |= extra;
                }
            }
            // Without O_CREAT, O_EXCL is undefined.
            if !flags.contains(OFlags::CREATE) {
                flags -= OFlags::EXCL;
            }
            Op::Open(h, d.path(), flags)
        }
        33 => Op::Close(h),
        34 => Op::WriteAt(h, d.roll(20_000), d.bytes(6000)),
        35 => Op::ReadAt(h, d.roll(20_000), d.roll(8000) as usize),
        36 => Op::StatOpen(h),
        37 => match d.roll(3) {
            0 => Op::TruncateOpen(h, d.roll(9000)),
            1 => {
                let modes = [
                    FallocateFlags::empty(),
                    FallocateFlags::KEEP_SIZE,
                    FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                    FallocateFlags::ZERO_RANGE,
                ];
                let mode = modes[d.roll(4) as usize];
                Op::Fallocate(h, mode, d.roll(4) * 4096, 4096)
            }
            _ => Op::Sync(h),
        },
        38 => Op::Close(h),
        _ => Op::Copy(h, d.roll(HANDLES) as usize, d.roll(5000), d.roll(5000)),
    }
}

fn xattr_name(n: u8) -> String {
    format!("user.bt{n}")
}

pub fn stat_text(m: &rustix::fs::Stat) -> String {
    let kind = FileType::from_raw_mode(m.st_mode);
    // A directory's size and times, and the count of blocks, are the file system's own affair.
    let size = if kind == FileType::RegularFile || kind == FileType::Symlink {
        m.st_size
    } else {
        0
    };
    // Some file systems keep no count for directories and say 1.
    let links = if kind == FileType::Directory && m.st_nlink == 1 {
        "any".to_owned()
    } else {
        m.st_nlink.to_string()
    };
    format!(
        "{kind:?} {:o} {} {} links {links} size {size}",
        m.st_mode & 0o7777,
        m.st_uid,
        m.st_gid,
    )
}

/// One side: a directory and the handles open in it.
pub struct Side {
    pub base: PathBuf,
    pub open: Vec<Option<OwnedFd>>,
    /// Whether directories may be removed behind its back.
    pub loses_dirs: bool,
}

impl Side {
    pub fn new(base: &Path, loses_dirs: bool) -> Self {
        Self {
            base: base.to_path_buf(),
            open: (0..HANDLES).map(|_| None).collect(),
            loses_dirs,
        }
    }

    fn handle(&self, n: usize) -> Result<&OwnedFd, Errno> {
        self.open[n].as_ref().ok_or(Errno::BADF)
    }

    /// Does it below `base` and says what came of it.
    pub fn apply(&mut self, op: &Op) -> Result<String, Errno> {
        let at = |p: &Path| self.base.join(p);
        let open = |p: &Path, flags: OFlags, mode: u32| {
            rustix::fs::open(
                at(p),
                flags | OFlags::NONBLOCK | OFlags::CLOEXEC,
                Mode::from_raw_mode(mode),
            )
        };
        let io = |e: std::io::Error| Errno::from_io_error(&e).unwrap_or(Errno::IO);
        let mut text = String::new();
        match op {
            Op::Write(p, data) => {
                let fd = open(p, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC, 0o644)?;
                write!(text, "{}", rustix::io::write(fd, &data.bytes())?).unwrap();
            }
            Op::Append(p, data) => {
                let fd = open(p, OFlags::WRONLY | OFlags::APPEND, 0)?;
                write!(text, "{}", rustix::io::write(fd, &data.bytes())?).unwrap();
            }
            Op::CreateNew(p, mode) => {
                open(p, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, *mode)?;
            }
            Op::Read(p) => {
                let m = rustix::fs::stat(at(p))?;
                if FileType::from_raw_mode(m.st_mode) == FileType::RegularFile {
                    text = format!("{:?}", fs::read(at(p)).map_err(io)?);
                }
            }
            Op::Truncate(p, size) => {
                rustix::fs::ftruncate(open(p, OFlags::WRONLY, 0)?, *size)?;
            }
            Op::Mkdir(p, mode) => rustix::fs::mkdir(at(p), Mode::from_raw_mode(*mode))?,
            Op::Rmdir(p) => rustix::fs::rmdir(at(p))?,
            Op::Unlink(p) => rustix::fs::unlink(at(p))?,
            Op::Rename(a, b, f) => rustix::fs::renameat_with(CWD, at(a), CWD, at(b), *f)?,
            Op::Link(a, b) => rustix::fs::linkat(CWD, at(a), CWD, at(b), AtFlags::empty())?,
            Op::Symlink(target, p) => rustix::fs::symlink(target, at(p))?,
            Op::Readlink(p) => {
                text = format!("{:?}", rustix::fs::readlink(at(p), Vec::new())?);
            }
            Op::Chmod(p, mode) => rustix::fs::chmod(at(p), Mode::from_raw_mode(*mode))?,
            Op::Chown(p, u, g) => rustix::fs::chownat(
                CWD,
                at(p),
                Some(rustix::fs::Uid::from_raw(*u)),
                Some(rustix::fs::Gid::from_raw(*g)),
                AtFlags::SYMLINK_NOFOLLOW,
            )?,
            Op::Times(p, secs, follow) => {
                let flags = if *follow {
                    AtFlags::empty()
                } else {
                    AtFlags::SYMLINK_NOFOLLOW
                };
                let time = Timespec {
                    tv_sec: *secs,
                    tv_nsec: 250_000_000,
                };
                let times = Timestamps {
                    last_access: time,
                    last_modification: time,
                };
                rustix::fs::utimensat(CWD, at(p), &times, flags)?;
                let m = rustix::fs::statat(CWD, at(p), flags)?;
                text = format!("{} {}", m.st_mtime, m.st_mtime_nsec);
            }
            Op::List(p) => {
                let mut names: Vec<_> = fs::read_dir(at(p))
                    .map_err(io)?
                    .map(|e| {
                        let e = e.unwrap();
                        format!("{:?} {:?}", e.file_name(), e.file_type().unwrap())
                    })
                    .collect();
                names.sort();
                text = names.join(" ");
            }
            Op::Stat(p) => text = stat_text(&rustix::fs::lstat(at(p))?),
            Op::SetXattr(p, n, value, create) => {
                let flags = if *create {
                    XattrFlags::CREATE
                } else {
                    XattrFlags::empty()
                };
                rustix::fs::setxattr(at(p), xattr_name(*n), &value.bytes(), flags)?;
            }
            Op::GetXattr(p, n) => {
                let mut value = vec![0; 400];
                let len = rustix::fs::getxattr(at(p), xattr_name(*n), &mut value[..])?;
                text = format!("{:?}", &value[..len]);
            }
            Op::ListXattr(p) => {
                let mut list = vec![0; 4000];
                let len = rustix::fs::listxattr(at(p), &mut list[..])?;
                let mut names: Vec<_> =
                    list[..len].split(|b| *b == 0).map(<[u8]>::to_vec).collect();
                names.sort();
                text = format!("{names:?}");
            }
            Op::RemoveXattr(p, n) => rustix::fs::removexattr(at(p), xattr_name(*n))?,
            Op::Fifo(p) => {
                rustix::fs::mkfifoat(CWD, at(p), Mode::from_raw_mode(0o640))?;
            }
            Op::Open(n, p, flags) => {
                if let Ok(m) = rustix::fs::stat(at(p))
                    && FileType::from_raw_mode(m.st_mode) == FileType::Fifo
                {
                    return Ok("fifo".into());
                }
                let fd = open(p, *flags, 0o640)?;
                self.open[*n] = Some(fd);
            }
            Op::Close(n) => self.open[*n] = None,
            Op::WriteAt(n, offset, data) => {
                let len = rustix::io::pwrite(self.handle(*n)?, &data.bytes(), *offset)?;
                write!(text, "{len}").unwrap();
            }
            Op::ReadAt(n, offset, len) => {
                let mut data = vec![0; *len];
                let got = rustix::io::pread(self.handle(*n)?, &mut data[..], *offset)?;
                text = format!("{:?}", &data[..got]);
            }
            Op::StatOpen(n) => {
                let m = match rustix::fs::fstat(self.handle(*n)?) {
                    // No descriptor of ours is on a directory: removed behind the mount, it is not there for those
                    // who have it open either.
                    Err(Errno::NOENT) if self.loses_dirs => return Ok("a directory".into()),
                    other => other?,
                };
                let dir = FileType::from_raw_mode(m.st_mode) == FileType::Directory;
                text = if dir && self.loses_dirs {
                    "a directory".into()
                } else {
                    stat_text(&m)
                };
            }
            Op::TruncateOpen(n, size) => rustix::fs::ftruncate(self.handle(*n)?, *size)?,
            Op::Fallocate(n, mode, offset, len) => {
                rustix::fs::fallocate(self.handle(*n)?, *mode, *offset, *len)?;
            }
            Op::Copy(from, to, a, b) => {
                let (mut a, mut b) = (*a, *b);
                let n = rustix::fs::copy_file_range(
                    self.handle(*from)?,
                    Some(&mut a),
                    self.handle(*to)?,
                    Some(&mut b),
                    3000,
                )?;
                write!(text, "{n}").unwrap();
            }
            Op::Sync(n) => rustix::fs::fsync(self.handle(*n)?)?,
        }
        Ok(text)
    }
}

/// Everything below `dir`, one line a path.
pub fn tree(dir: &Path) -> Vec<String> {
    fn walk(base: &Path, dir: &Path, out: &mut Vec<String>) {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        names.sort();
        for path in names {
            let m = rustix::fs::lstat(&path).unwrap();
            let mut line = format!("{:?} {}", path.strip_prefix(base).unwrap(), stat_text(&m));
            match FileType::from_raw_mode(m.st_mode) {
                FileType::RegularFile => {
                    write!(line, " {}", blake3::hash(&fs::read(&path).unwrap())).unwrap();
                }
                FileType::Symlink => {
                    write!(line, " -> {:?}", fs::read_link(&path).unwrap()).unwrap();
                }
                FileType::Directory => walk(base, &path, out),
                _ => {}
            }
            out.push(line);
        }
    }
    let mut out = Vec::new();
    walk(dir, dir, &mut out);
    out
}

/// What is said of a file, without what a file system need not count.
pub fn without_dir_links(text: &str) -> String {
    if text.contains("Directory ") {
        let (head, tail) = text.split_once(" links ").unwrap();
        let (_, tail) = tail.split_once(' ').unwrap();
        return format!("{head} {tail}");
    }
    text.to_owned()
}
