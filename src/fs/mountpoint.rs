//! The mount itself: mount(2) as root, `fusermount3` otherwise, and the way back.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MntFlags, MsFlags, umount2};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{geteuid, getgid, getuid};

use super::error::Error;

const DEVICE: &str = "/dev/fuse";
/// Shown as the source of the mount.
const NAME: &str = "backtrail";

/// A mount of ours, remembered by device number so that nothing else is ever taken away from that path.
#[derive(Debug)]
pub(crate) struct Point {
    pub at: PathBuf,
    dev: Option<String>,
}

/// Opens the FUSE device.
pub(crate) fn open_device() -> Result<OwnedFd, Errno> {
    rustix::fs::open(DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

/// Whether other users are let in when nobody said.
pub(crate) fn may_allow_other() -> bool {
    geteuid().is_root()
        || std::fs::read_to_string("/etc/fuse.conf")
            .is_ok_and(|text| text.lines().any(|l| l.trim() == "user_allow_other"))
}

/// Mounts an empty FUSE connection at `at` and returns its device descriptor.
pub(crate) fn mount(
    at: &Path,
    allow_other: bool,
    subtype: &str,
    read_only: bool,
) -> Result<(OwnedFd, Point), Error> {
    if is_dead(at) {
        return Err(Error::Stale {
            at: at.to_path_buf(),
        });
    }
    let point = |source| Error::MountPoint {
        at: at.to_path_buf(),
        source,
    };
    let at = at.canonicalize().map_err(point)?;
    if !at.metadata().map_err(point)?.is_dir() {
        return Err(point(io::Error::from(io::ErrorKind::NotADirectory)));
    }
    let device = if geteuid().is_root() {
        match mount_directly(&at, allow_other, subtype, read_only) {
            // Root of a container without the right to mount may still have the helper.
            Err(Error::Refused { .. }) if !helper_is_missing() => {
                mount_by_helper(&at, allow_other, subtype, read_only)?
            }
            other => other?,
        }
    } else {
        mount_by_helper(&at, allow_other, subtype, read_only)?
    };
    let dev = on_top(&at).map(|m| m.dev);
    Ok((device, Point { at, dev }))
}

fn mount_directly(
    at: &Path,
    allow_other: bool,
    subtype: &str,
    read_only: bool,
) -> Result<OwnedFd, Error> {
    let device = open_device().map_err(|e| match e {
        Errno::NOENT | Errno::NODEV | Errno::NXIO => Error::NoDevice,
        e => Error::DeviceDenied(e.into()),
    })?;
    let mut data = format!(
        "fd={},rootmode=40000,user_id={},group_id={},default_permissions",
        device.as_raw_fd(),
        getuid().as_raw(),
        getgid().as_raw()
    );
    if allow_other {
        data.push_str(",allow_other");
    }
    nix::mount::mount(
        Some(NAME),
        at,
        Some(format!("fuse.{subtype}").as_str()),
        if read_only {
            MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_RDONLY
        } else {
            MsFlags::MS_NODEV | MsFlags::MS_NOSUID
        },
        Some(data.as_str()),
    )
    .map_err(|e| match e {
        nix::errno::Errno::ENODEV => Error::NoDevice,
        e => Error::Refused {
            at: at.to_path_buf(),
            reason: io::Error::from(e).to_string(),
        },
    })?;
    Ok(device)
}

fn helper_is_missing() -> bool {
    matches!(
        Command::new("fusermount3")
            .arg("-V")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status(),
        Err(e) if e.kind() == io::ErrorKind::NotFound
    )
}

/// The helper opens the device, mounts, and sends the descriptor over a socket, which it is given as its standard input.
fn mount_by_helper(
    at: &Path,
    allow_other: bool,
    subtype: &str,
    read_only: bool,
) -> Result<OwnedFd, Error> {
    let refused = |reason: String| Error::Refused {
        at: at.to_path_buf(),
        reason,
    };
    let (ours, theirs) = UnixStream::pair().map_err(|e| refused(e.to_string()))?;
    let mut options = format!("fsname={NAME},subtype={subtype},default_permissions,nodev,nosuid");
    if allow_other {
        options.push_str(",allow_other");
    }
    if read_only {
        options.push_str(",ro");
    }
    let child = Command::new("fusermount3")
        .arg("-o")
        .arg(options)
        .arg("--")
        .arg(at)
        .env("_FUSE_COMMFD", "0")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Error::NoFusermount,
            _ => refused(format!("fusermount3 did not start: {e}")),
        })?;
    let received = receive(&ours);
    let output = child
        .wait_with_output()
        .map_err(|e| refused(e.to_string()))?;
    match received {
        Ok(Some(device)) if output.status.success() => {
            rustix::io::fcntl_setfd(&device, rustix::io::FdFlags::CLOEXEC)
                .map_err(|e| refused(e.to_string()))?;
            Ok(device)
        }
        _ if !Path::new(DEVICE).exists() => Err(Error::NoDevice),
        _ => Err(refused(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        )),
    }
}

fn receive(socket: &UnixStream) -> Result<Option<OwnedFd>, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0u8; 1];
    loop {
        match recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut byte)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
            Ok(_) => break,
        }
    }
    Ok(control.drain().find_map(|m| match m {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    }))
}

impl Point {
    /// Takes the mount away, lazily when it is in use. Does nothing when it is not there any more.
    pub fn unmount(&self) -> Result<(), Error> {
        let top = on_top(&self.at);
        if self.dev.is_some() && top.map(|m| m.dev) != self.dev {
            return Ok(());
        }
        match umount2(&self.at, MntFlags::UMOUNT_NOFOLLOW) {
            // Not there any more.
            Ok(()) | Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => Ok(()),
            Err(_) => detach(&self.at),
        }
    }
}

impl Point {
    /// Takes the mount away unless somebody uses it. Returns whether it is gone.
    pub fn unmount_idle(&self) -> Result<bool, Error> {
        let top = on_top(&self.at);
        if self.dev.is_some() && top.map(|m| m.dev) != self.dev {
            return Ok(true);
        }
        match umount2(&self.at, MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) | Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => {
                return Ok(true);
            }
            Err(nix::errno::Errno::EBUSY) => return Ok(false),
            Err(_) => {}
        }
        let helped = Command::new("fusermount3")
            .args(["-u", "--"])
            .arg(&self.at)
            .stdin(Stdio::null())
            .output();
        match helped {
            Ok(output) => Ok(output.status.success()),
            Err(e) => Err(Error::Unmount {
                at: self.at.clone(),
                reason: format!("fusermount3 did not start: {e}"),
            }),
        }
    }
}

/// Detaches what is mounted at `at`, in use or not.
pub(crate) fn detach(at: &Path) -> Result<(), Error> {
    let failed = |reason: String| Error::Unmount {
        at: at.to_path_buf(),
        reason,
    };
    let refusal = match umount2(at, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) | Err(nix::errno::Errno::EINVAL) => return Ok(()),
        Err(e) => e,
    };
    let output = Command::new("fusermount3")
        .args(["-u", "-z", "--"])
        .arg(at)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Error::NoFusermount,
            _ => failed(refusal.to_string()),
        })?;
    if output.status.success() {
        Ok(())
    } else {
        Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ))
    }
}

/// Whether `at` holds a mount whose server is gone.
pub(crate) fn is_dead(at: &Path) -> bool {
    // Not `stat`: for a moment the kernel answers that from what it remembers.
    matches!(
        rustix::fs::statfs(at),
        Err(Errno::NOTCONN | Errno::CONNABORTED)
    )
}

struct Seen {
    dev: String,
}

/// The topmost mount at `at`, from the process's own table: looking at the path itself could wait for its server.
fn on_top(at: &Path) -> Option<Seen> {
    let table = std::fs::read("/proc/self/mountinfo").ok()?;
    table.split(|b| *b == b'\n').rev().find_map(|line| {
        let mut fields = line.split(|b| *b == b' ');
        let dev = fields.nth(2)?;
        let place = unescape(fields.nth(1)?);
        (place.as_path() == at).then(|| Seen {
            dev: String::from_utf8_lossy(dev).into_owned(),
        })
    })
}

/// Space, tab, newline and backslash are written as three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'\\'
            && let Some(code) = tail
                .get(..3)
                .and_then(|d| std::str::from_utf8(d).ok())
                .and_then(|d| u8::from_str_radix(d, 8).ok())
        {
            out.push(code);
            rest = &tail[3..];
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(out))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn places_are_read_as_they_are() {
        assert_eq!(unescape(b"/a\\040b\\134c"), Path::new("/a b\\c"));
        assert_eq!(unescape(b"/end\\04"), Path::new("/end\\04"));
        assert_eq!(unescape(b"/\xff").as_os_str().as_bytes(), b"/\xff");
    }

    #[test]
    fn the_root_is_mounted_and_alive() {
        assert!(on_top(Path::new("/")).is_some());
        assert!(!is_dead(Path::new("/")));
    }
}
