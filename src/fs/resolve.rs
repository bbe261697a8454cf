//! Reaching files beneath the project's directory handle, and never anything outside it.
//!
//! Every path is resolved by `openat2` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS`: the kernel
//! above the mount walks symbolic links itself, so a link met here in the middle of a path means that somebody swapped
//! a directory for it, and the answer is `ESTALE` (the kernel then looks the path up again). Paths longer than one
//! system call takes are walked in pieces. No descriptor is kept: resolving costs about two microseconds, a request
//! some thirty, and a kept descriptor would go on working in a directory that was moved out of the project.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;

use super::attr::Found;
use crate::model::RepoPath;

/// Longest piece given to one `openat2`; PATH_MAX is 4096 with the terminating NUL.
const PIECE: usize = 4000;

const EXT4: i64 = 0xef53;
const XFS: i64 = 0x5846_5342;
const BTRFS: i64 = 0x9123_683e;
const TMPFS: i64 = 0x0102_1994;
const F2FS: i64 = 0xf2f5_2010;

/// The project's directory, opened before anything is mounted over it.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    /// The device of the directory itself; files elsewhere are below a mount point.
    pub dev: u64,
    /// Times of birth never change here, so they identify a file. Not on overlayfs, where copying up changes them.
    trust_birth: bool,
    /// Two changes of a file never carry the same time once it was asked for (multigrain timestamps).
    pub fine_stamps: bool,
    /// An offset in a directory stays right while entries are removed. tmpfs before 6.6 counted entries.
    pub stable_offsets: bool,
}

impl Root {
    pub fn new(fd: OwnedFd) -> Self {
        let magic = fs::fstatfs(&fd).map_or(0, |s| {
            #[allow(
                clippy::unnecessary_cast,
                clippy::useless_conversion,
                reason = "the field's width differs between machines"
            )]
            let kind = s.f_type as i64;
            kind & 0xffff_ffff
        });
        let trust_birth = [EXT4, XFS, BTRFS, TMPFS, F2FS].contains(&magic);
        let fine_stamps = [EXT4, XFS, BTRFS, TMPFS].contains(&magic) && kernel() >= (6, 13);
        let mut root = Self {
            fd,
            dev: 0,
            trust_birth,
            fine_stamps,
            stable_offsets: magic != TMPFS || kernel() >= (6, 6),
        };
        root.dev = root.stat(root.fd.as_fd()).map_or(0, |f| f.id.dev);
        root
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Opens `path` beneath the root. `flags` should hold `NOFOLLOW`.
    fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let step = |dir: BorrowedFd<'_>, part: &[u8], flags: OFlags| {
            for _ in 0..16 {
                match fs::openat2(dir, part, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                    // A rename somewhere made the kernel unsure; it asks to be asked again.
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    // A link, or something else than a directory, is where the kernel knows a directory.
                    Err(Errno::LOOP | Errno::XDEV | Errno::NOTDIR) => return Err(Errno::STALE),
                    other => return other,
                }
            }
            Err(Errno::AGAIN)
        };
        if path.is_empty() {
            return step(self.fd(), b".", flags);
        }
        let mut rest = path;
        let mut at: Option<OwnedFd> = None;
        while rest.len() > PIECE {
            let cut = rest[..PIECE]
                .iter()
                .rposition(|b| *b == b'/')
                .ok_or(Errno::NAMETOOLONG)?;
            let dir = at.as_ref().map_or(self.fd(), AsFd::as_fd);
            let next = step(
                dir,
                &rest[..cut],
                OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW,
            )?;
            rest = &rest[cut + 1..];
            at = Some(next);
        }
        let dir = at.as_ref().map_or(self.fd(), AsFd::as_fd);
        step(dir, rest, flags)
    }

    /// A handle on whatever is at `path`, a symbolic link itself included.
    pub fn anchor(&self, path: &RepoPath) -> Result<OwnedFd, Errno> {
        self.open(path.as_bytes(), OFlags::PATH | OFlags::NOFOLLOW)
    }

    /// A handle on the directory at `path`, for operations on names in it.
    pub fn dir(&self, path: &RepoPath) -> Result<OwnedFd, Errno> {
        self.open(
            path.as_bytes(),
            OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW,
        )
    }

    /// Opens what is expected to be a regular file at `path`. Does not wait if it is a pipe instead.
    pub fn open_file(&self, path: &RepoPath, flags: OFlags) -> Result<OwnedFd, Errno> {
        let careful = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        self.open(path.as_bytes(), flags | careful)
    }

    fn mask() -> StatxFlags {
        StatxFlags::BASIC_STATS | StatxFlags::BTIME
    }

    /// What `fd` is.
    pub fn stat(&self, fd: BorrowedFd<'_>) -> Result<Found, Errno> {
        let s = fs::statx(fd, "", AtFlags::EMPTY_PATH, Self::mask())?;
        Ok(Found::new(&s, self.trust_birth))
    }

    /// What `name` in `dir` is; a symbolic link is not followed.
    pub fn stat_at(&self, dir: BorrowedFd<'_>, name: &[u8]) -> Result<Found, Errno> {
        let s = fs::statx(
            dir,
            name,
            AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT,
            Self::mask(),
        )?;
        Ok(Found::new(&s, self.trust_birth))
    }
}

/// A path by which system calls without a descriptor variant reach exactly the file that `fd` holds, whatever happened
/// to its name; works for handles opened with `O_PATH` and for unlinked files.
pub(crate) fn by_handle(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Opens the file that `fd` holds once more, with other flags.
pub(crate) fn reopen(fd: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd, Errno> {
    fs::openat(
        CWD,
        by_handle(fd),
        flags | OFlags::CLOEXEC | OFlags::NOCTTY,
        Mode::empty(),
    )
}

/// The running kernel's version; (0, 0) when it says something unexpected.
fn kernel() -> (u32, u32) {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy().into_owned();
    let mut parts = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|p| p.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn root(dir: &std::path::Path) -> Root {
        Root::new(fs::open(dir, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap())
    }

    #[test]
    fn never_follows_a_link_out_or_through() {
        let t = tempfile::tempdir().unwrap();
        let out = tempfile::tempdir().unwrap();
        std::fs::write(out.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink(out.path(), t.path().join("link")).unwrap();
        std::fs::create_dir(t.path().join("d")).unwrap();
        std::os::unix::fs::symlink("d", t.path().join("inside")).unwrap();
        let root = root(t.path());
        let p = |s: &str| RepoPath::try_from(s).unwrap();
        assert_eq!(root.anchor(&p("link/secret")).unwrap_err(), Errno::STALE);
        assert_eq!(root.dir(&p("inside")).unwrap_err(), Errno::STALE);
        let link = root.anchor(&p("link")).unwrap();
        assert_eq!(
            root.stat(link.as_fd()).unwrap().attr.kind,
            super::super::attr::FileKind::Symlink
        );
    }

    #[test]
    fn reaches_deeper_than_one_call_can_name() {
        let t = tempfile::tempdir().unwrap();
        let root = root(t.path());
        let name = "d".repeat(200);
        let mut path = RepoPath::root();
        for _ in 0..50 {
            let dir = root.dir(&path).unwrap();
            fs::mkdirat(&dir, name.as_str(), Mode::RWXU).unwrap();
            path = path.join(name.as_bytes()).unwrap();
        }
        assert!(path.as_bytes().len() > 4096);
        root.dir(&path).unwrap();
    }
}
