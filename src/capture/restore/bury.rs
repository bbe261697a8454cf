//! Unlinking files without waiting until their blocks are free.
//!
//! Freeing the blocks of a file that has reached the disk can take milliseconds (with `discard`, ext4 without a journal
//! waits for the device: 0.6 to 4 ms a file were seen, against 0.02 for the name alone). A descriptor keeps the inode
//! while its name goes; it is closed on a thread of its own. If this process dies, the kernel closes it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{SyncSender, sync_channel};

use rustix::fs::{AtFlags, Mode, OFlags};

/// Descriptors that may wait to be closed.
const WAITING: usize = 64;

/// Closes what was unlinked.
#[derive(Default)]
pub(super) struct Graves {
    to: Option<SyncSender<OwnedFd>>,
}

impl Graves {
    /// Unlinks `name`, which is not a directory.
    pub(super) fn unlink(&mut self, dir: impl AsFd, name: &[u8]) -> io::Result<()> {
        let dir = dir.as_fd();
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let held = rustix::fs::openat(dir, name, flags, Mode::empty());
        rustix::fs::unlinkat(dir, name, AtFlags::empty())?;
        if let Ok(fd) = held {
            self.bury(fd);
        }
        Ok(())
    }

    fn bury(&mut self, fd: OwnedFd) {
        let to = match &self.to {
            Some(to) => to,
            None => {
                let (to, from) = sync_channel::<OwnedFd>(WAITING);
                let name = "backtrail-bury".to_owned();
                let digger = move || from.into_iter().for_each(drop);
                // Without a thread the channel is closed, and the descriptor is closed here.
                let _ = std::thread::Builder::new().name(name).spawn(digger);
                self.to.insert(to)
            }
        };
        let _ = to.send(fd);
    }
}
