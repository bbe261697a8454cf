//! What can go wrong around a mount. Requests inside a mount answer with plain error numbers instead (see `view`).

use std::io;
use std::path::PathBuf;

/// Why a view could not be mounted, unmounted or cleaned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel module is not there, or the container was not given the device.
    #[error(
        "FUSE is not available: /dev/fuse is missing (load it with `modprobe fuse`, or give the container --device /dev/fuse)"
    )]
    NoDevice,
    /// The device is there and may not be opened.
    #[error(
        "no permission to open /dev/fuse: {0} (it is usually readable and writable by everyone; ask the administrator)"
    )]
    DeviceDenied(io::Error),
    /// An ordinary user needs the set-user-id helper of libfuse.
    #[error(
        "fusermount3 was not found: ordinary users need it to mount (install the package `fuse3`)"
    )]
    NoFusermount,
    /// The kernel or fusermount3 refused.
    #[error("mounting at {at:?} was refused: {reason}")]
    Refused {
        /// Where.
        at: PathBuf,
        /// What the kernel or fusermount3 said.
        reason: String,
    },
    /// A mount whose server died lies there.
    #[error(
        "{at:?} holds a dead mount (\"Transport endpoint is not connected\"): detach it with `fusermount3 -uz` or clean_stale()"
    )]
    Stale {
        /// Where.
        at: PathBuf,
    },
    /// The mount point is missing or not a directory.
    #[error("{at:?} cannot be mounted on: {source}")]
    MountPoint {
        /// Where.
        at: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The project directory cannot be opened beneath its root handle.
    #[error(
        "the project directory cannot be read through openat2: {0} (Linux 5.6 or newer is needed)"
    )]
    Root(io::Error),
    /// The kernel did not complete the FUSE handshake.
    #[error("the FUSE session at {at:?} could not be started: {source}")]
    Session {
        /// Where.
        at: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The mount could not be detached.
    #[error("{at:?} could not be unmounted: {reason}")]
    Unmount {
        /// Where.
        at: PathBuf,
        /// Why.
        reason: String,
    },
}
