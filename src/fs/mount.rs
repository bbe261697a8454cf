//! A view that is mounted: its session, and where changes behind it are told.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::{Resource, getrlimit, setrlimit};

use super::answer::Adapter;
use super::attribution::Attribution;
use super::error::Error;
use super::invalidate::{Invalidate, Queue};
use super::mountpoint;
use super::notify::Kernel;
pub use super::seat::MountOptions;
use super::seat::Seat;
use super::view::View;
use crate::model::RepoPath;

/// A view as its mount needs it besides its operations: what the kernel may know of it.
pub trait Served: View {
    /// Whether the root can be reached.
    fn check(&self) -> io::Result<()>;
    /// The number by which the kernel may know `path`, and its parent's. `None` where there is nothing to invalidate.
    fn known(&self, path: &RepoPath) -> (Option<u64>, Option<u64>);
    /// Whether what is known at `path` is a directory.
    fn is_known_dir(&self, path: &RepoPath) -> bool;
    /// Content changed behind the mount: its cached pages are not to be trusted at the next open.
    fn distrust(&self, ino: u64);
    /// After the kernel was told to ask for `path` again: what is known of it is compared with what is there.
    fn recheck(&self, path: &RepoPath);
}

/// A mounted view. Dropping it unmounts.
pub struct Mounted {
    seat: Seat,
    queue: Arc<Queue>,
}

impl std::fmt::Debug for Mounted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.seat.fmt(f)
    }
}

impl Mounted {
    /// Mounts `view` at the directory `at`. Root mounts itself; an ordinary user through `fusermount3`.
    pub fn mount<V: Served>(view: Arc<V>, at: &Path, options: MountOptions) -> Result<Self, Error> {
        view.check().map_err(Error::Root)?;
        allow_many_descriptors();
        let kernel = Arc::new(Kernel::default());
        let queue = Queue::start(Arc::clone(&view) as Arc<dyn Served>, Arc::clone(&kernel))
            .map_err(|source| Error::Session {
                at: at.to_path_buf(),
                source,
            })?;
        let make = || {
            Ok(Adapter {
                view,
                attribution: Attribution::default(),
                kernel: Arc::clone(&kernel),
                queue: Arc::clone(&queue),
            })
        };
        let disconnect = Arc::clone(&kernel);
        let over = move || disconnect.disconnect();
        let seat = Seat::take(at, &options, make, |fd| kernel.connect(fd), over)?;
        Ok(Self { seat, queue })
    }

    /// Where changes behind the mount are told.
    #[must_use]
    pub fn invalidator(&self) -> Arc<dyn Invalidate> {
        Arc::clone(&self.queue) as Arc<dyn Invalidate>
    }

    /// False once the session has ended: it was unmounted from outside, or failed.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.seat.is_alive()
    }

    /// Where it is mounted.
    #[must_use]
    pub fn at(&self) -> PathBuf {
        self.seat.at()
    }

    /// Takes the mount away. When it is in use it is detached: it vanishes at once for everybody new, goes on for those who
    /// use it, and ends with the last of them.
    pub fn unmount(self) -> Result<(), Error> {
        self.seat.unmount()
    }

    /// Takes the mount away unless somebody uses it, and returns whether its session is over. One that is bound elsewhere
    /// goes on without its place until the last who uses it is gone: ask again later.
    pub fn try_unmount(&mut self) -> Result<bool, Error> {
        self.seat.try_unmount()
    }

    /// Whether it has a place where it can be found.
    #[must_use]
    pub fn has_place(&self) -> bool {
        self.seat.has_place()
    }
}

/// Every file that anybody inside has open is open here too; the usual soft limit of 1,024 is one process's share. What
/// cannot be raised stays, and shows as EMFILE inside.
fn allow_many_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(e) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!("the limit of open files stays as it is: {e}");
        }
    }
}

/// Cleans a dead mount left by a killed engine ("Transport endpoint is not connected"): detaches it. Returns whether there
/// was one.
pub fn clean_stale(at: &Path) -> Result<bool, Error> {
    let mut cleaned = false;
    // One may lie on top of another.
    for _ in 0..16 {
        if !mountpoint::is_dead(at) {
            return Ok(cleaned);
        }
        mountpoint::detach(at)?;
        cleaned = true;
    }
    Err(Error::Stale {
        at: at.to_path_buf(),
    })
}
