//! An agent's private mount namespace: the view at the project's own path, Backtrail's own directories hidden.
//!
//! As root by a mount namespace alone; for an ordinary user inside a user namespace that maps the user to itself. The
//! capabilities which that gives are needed for the mounts and dropped right after them. Mounts become slaves first, so that
//! nothing done here reaches the outside, while what is unmounted there goes here too; and the copies of other views that a
//! new namespace brings along are let go, for each would hold its view in use as long as the agent lives.

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

/// The type of a view's mount, as the table of mounts has it.
const VIEWS: &str = "fuse.backtrail";

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
        MsFlags::MS_REC | MsFlags::MS_SLAVE,
        None::<&str>,
    )
    .map_err(failed("make mounts slaves below", Path::new("/")))?;
    mount(
        Some(&place.view),
        &place.project,
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        None::<&str>,
    )
    .map_err(failed("show the view at", &place.project))?;
    let_go_of_views(&place.project);
    let socket = place.socket.as_deref().and_then(Kept::open);
    for dir in &place.mask {
        if let Err(e) = mask(dir, &place.project, socket.as_ref()) {
            say(&format!("warning: {e}; the command can see it"));
        }
    }
    Ok(())
}

/// Detaches every view that is mounted here, but those that the project is or lies in. What an ordinary user's namespace
/// has locked stays; it goes when its own mount outside does.
fn let_go_of_views(project: &Path) {
    let Ok(table) = fs::read("/proc/self/mountinfo") else {
        return;
    };
    let project = project
        .canonicalize()
        .unwrap_or_else(|_| project.to_owned());
    for line in String::from_utf8_lossy(&table).lines().rev() {
        let Some((left, right)) = line.split_once(" - ") else {
            continue;
        };
        let ours = right.split(' ').next() == Some(VIEWS);
        let Some(at) = left.split(' ').nth(4).filter(|_| ours).map(unescape) else {
            continue;
        };
        if !project.starts_with(&at) {
            let _ = umount2(
                Path::new(&at),
                MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW,
            );
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
