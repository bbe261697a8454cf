//! A FUSE session at its place: mounted, served by threads of its own, taken away again. What it serves is somebody else's.
//!
//! Mounting is done here and not by the FUSE crate: its session unmounts *by path* when it ends, which would take away
//! another mount that has been put there meanwhile, and its errors are text. The session is given the device only.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use fuser::{Filesystem, Session, SessionACL};

use super::error::Error;
use super::mountpoint::{self, Point};

/// How long an unmount waits for the session to end. One that is still in use ends by itself later.
const PATIENCE: Duration = Duration::from_secs(1);

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
    /// The kernel refuses every change with EROFS, without asking.
    pub read_only: bool,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            threads: 4,
            allow_other: None,
            subtype: "backtrail".to_owned(),
            read_only: false,
        }
    }
}

/// A session at its place. Dropping it unmounts.
pub(crate) struct Seat {
    point: Option<Point>,
    thread: thread::JoinHandle<()>,
    ended: Receiver<()>,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat")
            .field("point", &self.point)
            .field("alive", &self.is_alive())
            .finish_non_exhaustive()
    }
}

impl Seat {
    /// Mounts at `at` what `make` gives. `connected` gets the session's descriptor before the first request is served;
    /// `over` is called when the session has ended, or could not begin.
    pub fn take<F: Filesystem>(
        at: &Path,
        options: &MountOptions,
        make: impl FnOnce() -> io::Result<F>,
        connected: impl FnOnce(OwnedFd),
        over: impl Fn() + Clone + Send + 'static,
    ) -> Result<Self, Error> {
        let allow_other = options
            .allow_other
            .unwrap_or_else(mountpoint::may_allow_other);
        let (device, point) =
            mountpoint::mount(at, allow_other, &options.subtype, options.read_only)?;
        let end_of_session = over.clone();
        let start = || -> io::Result<_> {
            let mut config = fuser::Config::default();
            config.acl = if allow_other {
                SessionACL::All
            } else {
                SessionACL::Owner
            };
            config.n_threads = Some(options.threads.max(1));
            // Each thread gets a queue of its own where the device may be opened once more; an ordinary user in a container
            // may have been given the descriptor only.
            config.clone_fd = mountpoint::open_device().is_ok();
            let acl = config.acl;
            let session = Session::from_fd(make()?, device, acl, config)?;
            connected(session.as_fd().try_clone_to_owned()?);
            let (end, ended) = channel();
            let thread = thread::Builder::new()
                .name("fuse-session".to_owned())
                .spawn(move || {
                    if let Err(e) = session.run() {
                        tracing::error!("a file system session ended: {e}");
                    }
                    end_of_session();
                    drop(end);
                })?;
            Ok((thread, ended))
        };
        match start() {
            Ok((thread, ended)) => Ok(Self {
                point: Some(point),
                thread,
                ended,
            }),
            Err(source) => {
                over();
                // What failed matters more than whether the empty mount could be taken away.
                let _ = point.unmount();
                Err(Error::Session {
                    at: at.to_path_buf(),
                    source,
                })
            }
        }
    }

    /// False once the session has ended: it was unmounted from outside, or failed.
    pub fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Where it is mounted.
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

impl Drop for Seat {
    fn drop(&mut self) {
        if let Err(e) = self.take_away() {
            tracing::warn!("{e}");
        }
    }
}
