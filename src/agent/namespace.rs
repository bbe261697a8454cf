//! An agent's private mount namespace: the view at the project's own path, Backtrail's own directories hidden.
//!
//! As root by a mount namespace alone; for an ordinary user inside a user namespace that maps the user to itself. The
//! capabilities which that gives are needed for the mounts and dropped right after them. Mounts become private first,
//! so that nothing done here reaches the outside.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{getgid, getuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

use super::cgroup::unescape;
use super::enter::Place;
use super::say;
use crate::model::neutral;

/// By which way the place was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// A mount namespace: the project's path shows the view.
    Namespace,
    /// None: the view is only at its own path.
    Plain,
}

/// What failed on the way in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system does not let us have the namespace.
    #[error("{what}: {source}")]
    Refused {
        /// Which call.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// In the namespace, something could not be mounted.
    #[error("cannot {what} {path}: {source}")]
    Mount {
        /// What was to be done.
        what: &'static str,
        /// Where.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Whether another way may still work, because nothing has been changed.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

/// The way of a process that may mount.
pub fn enter_as_root(place: &Place) -> Result<(), Error> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|e| Error::Refused {
        what: "unshare(CLONE_NEWNS)",
        source: e.into(),
    })?;
    arrange(place)
}

/// The way of an ordinary user. When it fails, the process may be in a useless namespace and should end.
pub fn enter_as_user(place: &Place) -> Result<(), Error> {
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).map_err(|e| Error::Refused {
        what: "unshare(CLONE_NEWUSER|CLONE_NEWNS)",
        source: e.into(),
    })?;
    // The kernel wants group changes given up before an ordinary user may map a group.
    for (file, text) in [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("{uid} {uid} 1")),
        ("/proc/self/gid_map", format!("{gid} {gid} 1")),
    ] {
        fs::write(file, text).map_err(|source| Error::Refused {
            what: "mapping the user into a user namespace",
            source,
        })?;
    }
    arrange(place)?;
    drop_gained().map_err(|source| Error::Refused {
        what: "dropping capabilities",
        source,
    })
}

/// The mounts.
fn arrange(place: &Place) -> Result<(), Error> {
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .map_err(failed("make mounts private below", Path::new("/")))?;
    mount(
        Some(&place.view),
        &place.project,
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        None::<&str>,
    )
    .map_err(failed("show the view at", &place.project))?;
    let socket = place.socket.as_deref().and_then(Kept::open);
    let_go(&place.mask);
    for dir in &place.mask {
        if let Err(e) = mask(dir, &place.project, socket.as_ref()) {
            say(&format!("warning: {e}; the command can see it"));
        }
    }
    Ok(())
}

/// Takes away this namespace's copies of the views that are mounted in `dirs`: they would keep a fork's view in use for as
/// long as this agent runs, whoever's fork it is. In a user namespace they cannot be taken away one by one, and stay.
fn let_go(dirs: &[PathBuf]) {
    let Ok(table) = fs::read_to_string("/proc/self/mountinfo") else {
        return;
    };
    let dirs: Vec<PathBuf> = dirs.iter().filter_map(|d| d.canonicalize().ok()).collect();
    for line in table.lines().rev() {
        let Some((before, after)) = line.split_once(" - ") else {
            continue;
        };
        let Some(point) = before.split(' ').nth(4).map(unescape) else {
            continue;
        };
        let point = Path::new(&point);
        if after.starts_with("fuse.backtrail ") && dirs.iter().any(|d| point.starts_with(d)) {
            let _ = umount2(point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
        }
    }
}

/// Something that must stay reachable at its path.
struct Kept {
    path: PathBuf,
    fd: OwnedFd,
}

impl Kept {
    fn open(path: &Path) -> Option<Self> {
        let fd = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
        // The mask is of the real path.
        let path = path.canonicalize().ok()?;
        Some(Self { path, fd })
    }
}

/// Puts an empty read-only directory over `dir`, with the socket shining through.
fn mask(dir: &Path, project: &Path, socket: Option<&Kept>) -> Result<(), Error> {
    let Ok(dir) = dir.canonicalize() else {
        return Ok(()); // Not there: nothing to hide.
    };
    if project.starts_with(&dir) {
        return Err(Error::Mount {
            what: "hide",
            path: shown(&dir),
            source: io::Error::other("the project lies in it"),
        });
    }
    mount(
        Some("backtrail-mask"),
        &dir,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        Some("mode=0755,size=64k"),
    )
    .map_err(failed("hide", &dir))?;
    if let Some(kept) = socket.filter(|kept| kept.path.starts_with(&dir)) {
        let show = || -> io::Result<()> {
            if let Some(parent) = kept.path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::File::create(&kept.path)?;
            mount(
                Some(&PathBuf::from(format!(
                    "/proc/self/fd/{}",
                    kept.fd.as_raw_fd()
                ))),
                &kept.path,
                None::<&str>,
                MsFlags::MS_BIND,
                None::<&str>,
            )?;
            Ok(())
        };
        if let Err(source) = show() {
            say(&format!(
                "warning: the session's socket is not reachable inside: {source}"
            ));
        }
    }
    mount(
        None::<&str>,
        &dir,
        None::<&str>,
        MsFlags::MS_REMOUNT
            | MsFlags::MS_BIND
            | MsFlags::MS_RDONLY
            | MsFlags::MS_NOSUID
            | MsFlags::MS_NODEV
            | MsFlags::MS_NOEXEC,
        None::<&str>,
    )
    .map_err(failed("make read-only", &dir))
}

/// Gives up what the user namespace gave: every capability, in every set, also for programs started later.
fn drop_gained() -> io::Result<()> {
    clear_ambient_capability_set()?;
    for capability in CapabilitySet::all()
        .iter()
        .filter(|c| c.bits().count_ones() == 1)
    {
        // Those that this kernel does not know are refused, which is as good.
        let _ = remove_capability_from_bounding_set(capability);
    }
    let none = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    let left = capabilities(None)?;
    if left.permitted != none || left.effective != none {
        return Err(io::Error::other("some capabilities are still there"));
    }
    Ok(())
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(nix::Error) -> Error {
    let path = shown(path);
    move |e| Error::Mount {
        what,
        path,
        source: e.into(),
    }
}

fn shown(path: &Path) -> String {
    neutral(path.as_os_str().as_encoded_bytes())
}
