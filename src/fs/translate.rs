//! Values of the view as the FUSE crate's, and back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{Errno, FileAttr, FileType, FopenFlags, INodeNo, TimeOrNow};
use rustix::fs::FileType as Mode;

use super::attr::{Attr, FileKind, When};
use super::view::{Entry, Opened, SetTime, Special};

pub(crate) fn error(e: rustix::io::Errno) -> Errno {
    Errno::from_i32(e.raw_os_error())
}

pub(crate) fn kind_out(kind: FileKind) -> FileType {
    match kind {
        FileKind::File => FileType::RegularFile,
        FileKind::Dir => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::Fifo => FileType::NamedPipe,
        FileKind::Socket => FileType::Socket,
        FileKind::Char => FileType::CharDevice,
        FileKind::Block => FileType::BlockDevice,
    }
}

fn time_out(w: When) -> SystemTime {
    let nanos = Duration::from_nanos(w.nanos.into());
    let seconds = Duration::from_secs(w.secs.unsigned_abs());
    let whole = if w.secs < 0 {
        UNIX_EPOCH.checked_sub(seconds)
    } else {
        UNIX_EPOCH.checked_add(seconds)
    };
    whole
        .and_then(|t| t.checked_add(nanos))
        .unwrap_or(UNIX_EPOCH)
}

/// The crate turns (-1 s, 250 ms) into 1.25 s before the epoch, where 0.75 is meant; what it did is undone here, so times
/// before 1970 arrive as they were given.
fn time_in(t: SystemTime) -> When {
    match t.duration_since(UNIX_EPOCH) {
        Ok(d) => When {
            secs: i64::try_from(d.as_secs()).unwrap_or(i64::MAX),
            nanos: d.subsec_nanos(),
        },
        Err(e) => {
            let d = e.duration();
            When {
                secs: i64::try_from(d.as_secs()).map_or(i64::MIN, |s| -s),
                nanos: d.subsec_nanos(),
            }
        }
    }
}

pub(crate) fn set_time(t: TimeOrNow) -> SetTime {
    match t {
        TimeOrNow::Now => SetTime::Now,
        TimeOrNow::SpecificTime(t) => SetTime::At(time_in(t)),
    }
}

/// The kernel's 32-bit form of a device number: 12 bits of major between 20 of minor.
fn rdev_out((major, minor): (u32, u32)) -> u32 {
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)
}

fn rdev_in(rdev: u32) -> (u32, u32) {
    (
        (rdev & 0xfff00) >> 8,
        (rdev & 0xff) | ((rdev >> 12) & 0xfff00),
    )
}

/// What MKNOD asks for; `None` for kinds that it cannot make.
pub(crate) fn special(mode: u32, rdev: u32) -> Option<Special> {
    let (major, minor) = rdev_in(rdev);
    Some(match Mode::from_raw_mode(mode) {
        Mode::RegularFile => Special::File,
        Mode::Fifo => Special::Fifo,
        Mode::Socket => Special::Socket,
        Mode::CharacterDevice => Special::Char(major, minor),
        Mode::BlockDevice => Special::Block(major, minor),
        _ => return None,
    })
}

pub(crate) fn attr_out(a: &Attr) -> FileAttr {
    FileAttr {
        ino: INodeNo(a.ino),
        size: a.size,
        blocks: a.blocks,
        atime: time_out(a.atime),
        mtime: time_out(a.mtime),
        ctime: time_out(a.ctime),
        crtime: UNIX_EPOCH,
        kind: kind_out(a.kind),
        perm: (a.perm & 0o7777) as u16,
        nlink: a.nlink,
        uid: a.uid,
        gid: a.gid,
        rdev: rdev_out(a.rdev),
        blksize: a.blksize,
        flags: 0,
    }
}

pub(crate) fn entry_out(e: &Entry) -> FileAttr {
    attr_out(&e.attr)
}

/// The answer "there is no such name": node number 0.
pub(crate) fn negative() -> FileAttr {
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

pub(crate) fn opened_flags(o: &Opened) -> FopenFlags {
    if o.keep {
        FopenFlags::FOPEN_KEEP_CACHE
    } else {
        FopenFlags::empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_survive() {
        for dev in [(0, 0), (8, 1), (4095, 1_048_575), (7, 300)] {
            assert_eq!(rdev_in(rdev_out(dev)), dev);
        }
    }

    #[test]
    fn times_before_1970_keep_their_nanoseconds() {
        let w = When {
            secs: -1,
            nanos: 250_000_000,
        };
        assert_eq!(time_out(w), UNIX_EPOCH - Duration::from_millis(750));
        // What the crate hands over for that same time.
        assert_eq!(time_in(UNIX_EPOCH - Duration::from_millis(1250)), w);
    }
}
