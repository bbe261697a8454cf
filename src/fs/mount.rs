//! One FUSE session: mounting a view, knowing whether it lives, taking it away again.
//!
//! Mounting is done here and not by the FUSE crate: its session unmounts *by path* when it ends, which would take away
//! another mount that has been put there meanwhile, and its errors are text. The session is given the device only.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use fuser::{Session, SessionACL};
use rustix::process::{Resource, getrlimit, setrlimit};

use super::answer::Adapter;
use super::attribution::Attribution;
use super::error::Error;
use super::invalidate::{Invalidate, Queue};
use super::mountpoint::{self, Point};
use super::notify::Kernel;
use super::view::View;
use crate::model::RepoPath;

/// How long an unmount waits for the session to end. One that is still in use ends by itself later.
const PATIENCE: Duration = Duration::from_secs(1);

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

/// How a view is mounted.
#[derive(Debug, Clone)]
pub struct MountOptions {
    /// Threads that serve requests. Four gave the best times measured on two cores.
    pub threads: usize,
    /// Whether other users may enter; the usual permissions apply to them. By default root allows it, and an ordinary user
    /// where /etc/fuse.conf says `user_allow_other`.
    pub allow_other: Option<bool>,
    /// Word shown as the kind of file system after `fuse.`.
    pub subtype: String,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            threads: 4,
            allow_other: None,
            subtype: "backtrail".to_owned(),
        }
    }
}

/// A mounted view. Dropping it unmounts.
pub struct Mounted {
    point: Option<Point>,
    queue: Arc<Queue>,
    thread: thread::JoinHandle<()>,
    ended: Receiver<()>,
}

impl std::fmt::Debug for Mounted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mounted")
            .field("point", &self.point)
            .field("alive", &self.is_alive())
            .finish_non_exhaustive()
    }
}

impl Mounted {
    /// Mounts `view` at the directory `at`. Root mounts itself; an ordinary user through `fusermount3`.
    pub fn mount<V: Served>(view: Arc<V>, at: &Path, options: MountOptions) -> Result<Self, Error> {
        view.check().map_err(Error::Root)?;
        allow_many_descriptors();
        let allow_other = options
            .allow_other
            .unwrap_or_else(mountpoint::may_allow_other);
        let (device, point) = mountpoint::mount(at, allow_other, &options.subtype)?;
        let session = |source| Error::Session {
            at: at.to_path_buf(),
            source,
        };
        let kernel = Arc::new(Kernel::default());
        let start = || -> io::Result<_> {
            let queue = Queue::start(Arc::clone(&view) as Arc<dyn Served>, Arc::clone(&kernel))?;
            let adapter = Adapter {
                view,
                attribution: Attribution::default(),
                kernel: Arc::clone(&kernel),
                queue: Arc::clone(&queue),
            };
            let acl = if allow_other {
                SessionACL::All
            } else {
                SessionACL::Owner
            };
            let mut config = fuser::Config::default();
            config.acl = acl;
            config.n_threads = Some(options.threads.max(1));
            // Each thread gets a queue of its own where the device may be opened once more; an ordinary user in a container
            // may have been given the descriptor only.
            config.clone_fd = mountpoint::open_device().is_ok();
            let session = Session::from_fd(adapter, device, acl, config)?;
            kernel.connect(session.as_fd().try_clone_to_owned()?);
            let (end, ended) = channel();
            let disconnect = Arc::clone(&kernel);
            let thread = thread::Builder::new()
                .name("fuse-session".to_owned())
                .spawn(move || {
                    if let Err(e) = session.run() {
                        tracing::error!("a file system session ended: {e}");
                    }
                    disconnect.disconnect();
                    drop(end);
                })?;
            Ok((queue, thread, ended))
        };
        match start() {
            Ok((queue, thread, ended)) => Ok(Self {
                point: Some(point),
                queue,
                thread,
                ended,
            }),
            Err(e) => {
                kernel.disconnect();
                // What failed matters more than whether the empty mount could be taken away.
                let _ = point.unmount();
                Err(session(e))
            }
        }
    }

    /// Where changes behind the mount are told.
    #[must_use]
    pub fn invalidator(&self) -> Arc<dyn Invalidate> {
        Arc::clone(&self.queue) as Arc<dyn Invalidate>
    }

    /// False once the session has ended: it was unmounted from outside, or failed.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Where it is mounted.
    #[must_use]
    pub fn at(&self) -> PathBuf {
        self.point
            .as_ref()
            .map(|p| p.at.clone())
            .unwrap_or_default()
    }

    /// Takes the mount away. When it is in use it is detached: it vanishes at once for everybody new, goes on for those who
    /// use it, and ends with the last of them.
    pub fn unmount(mut self) -> Result<(), Error> {
        self.take_away()?;
        // Disconnected when the session ends; nothing is ever sent.
        let _ = self.ended.recv_timeout(PATIENCE);
        Ok(())
    }

    /// Takes the mount away unless somebody uses it, and returns whether its session is over. One that is bound elsewhere
    /// goes on without its place until the last who uses it is gone: ask again later.
    pub fn try_unmount(&mut self) -> Result<bool, Error> {
        if let Some(point) = &self.point {
            if !self.is_alive() {
                self.take_away()?;
                return Ok(true);
            }
            if !point.unmount_idle()? {
                return Ok(false);
            }
            self.point = None;
            // Disconnected when the session ends; nothing is ever sent.
            let _ = self.ended.recv_timeout(PATIENCE);
        }
        Ok(!self.is_alive())
    }

    /// Whether it has a place where it can be found.
    #[must_use]
    pub fn has_place(&self) -> bool {
        self.point.is_some()
    }

    fn take_away(&mut self) -> Result<(), Error> {
        let Some(point) = self.point.take() else {
            return Ok(());
        };
        if self.is_alive() {
            return point.unmount();
        }
        // The session is over and its device number may be another mount's by now: only a dead mount can be ours.
        if mountpoint::is_dead(&point.at) {
            return mountpoint::detach(&point.at);
        }
        Ok(())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(e) = self.take_away() {
            tracing::warn!("{e}");
        }
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
