//! Notifications to the kernel, written by hand.
//!
//! The FUSE crate has no way to *expire* a name (its invalidation always detaches: a working directory below becomes
//! "(deleted)" and mounts below are lost), so the few messages needed are laid out here as in `linux/fuse.h`:
//!
//! ```text
//! fuse_out_header             { len: u32, error: i32 = notification code, unique: u64 = 0 }
//! fuse_notify_inval_inode_out { ino: u64, off: i64, len: i64 }
//! fuse_notify_inval_entry_out { parent: u64, namelen: u32, flags: u32 } name NUL
//! ```
//!
//! Apart from [`Kernel::attributes`], each may wait for requests under way, so they are sent only from threads that serve
//! none.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustix::io::Errno;

const INVAL_INODE: i32 = 2;
const INVAL_ENTRY: i32 = 3;
/// The entry is asked for again at the next look-up; nothing is detached.
const EXPIRE_ONLY: u32 = 1;

/// The way to the kernel's side of one session.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    device: RwLock<Option<Arc<OwnedFd>>>,
    /// Set when the kernel said at the start that it can expire.
    pub can_expire: AtomicBool,
}

impl Kernel {
    /// The session runs; `device` is its descriptor.
    pub fn connect(&self, device: OwnedFd) {
        *self.device.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(device));
    }

    /// The session is over. A descriptor left open would keep a dead connection looking alive.
    pub fn disconnect(&self) {
        *self.device.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn send(&self, code: i32, body: &[u8]) -> Result<(), Errno> {
        let device = self
            .device
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or(Errno::NODEV)?;
        match rustix::io::write(&*device, &message(code, body)) {
            // The kernel does not know it (any more): nothing to invalidate.
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Drops the cached attributes of `ino`. Takes no lock that a request could hold: allowed from anywhere.
    pub fn attributes(&self, ino: u64) -> Result<(), Errno> {
        self.send(INVAL_INODE, &inode(ino, -1, 0))
    }

    /// Writes back what shared mappings of `ino` hold, waits for it, and drops pages and attributes.
    pub fn content(&self, ino: u64) -> Result<(), Errno> {
        self.send(INVAL_INODE, &inode(ino, 0, 0))
    }

    /// `name` in `parent` is to be asked for again. On a kernel without expiry (before 6.2) this would detach: then only
    /// what is not a directory is invalidated, and directories wait for the time-out.
    pub fn entry(&self, parent: u64, name: &[u8], directory: bool) -> Result<(), Errno> {
        let flags = if self.can_expire.load(Ordering::Relaxed) {
            EXPIRE_ONLY
        } else if directory {
            return Ok(());
        } else {
            0
        };
        self.send(INVAL_ENTRY, &entry(parent, name, flags))
    }
}

/// Numbers in the machine's own order, as the kernel on the other side has them.
#[expect(
    clippy::host_endian_bytes,
    reason = "the other side is this machine's kernel"
)]
mod host {
    pub fn u32(n: u32) -> [u8; 4] {
        n.to_ne_bytes()
    }
    pub fn i32(n: i32) -> [u8; 4] {
        n.to_ne_bytes()
    }
    pub fn u64(n: u64) -> [u8; 8] {
        n.to_ne_bytes()
    }
    pub fn i64(n: i64) -> [u8; 8] {
        n.to_ne_bytes()
    }
}

fn message(code: i32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    let mut m = Vec::with_capacity(16 + body.len());
    m.extend(host::u32(len));
    m.extend(host::i32(code));
    m.extend(host::u64(0));
    m.extend(body);
    m
}

fn inode(ino: u64, offset: i64, len: i64) -> Vec<u8> {
    let mut b = Vec::with_capacity(24);
    b.extend(host::u64(ino));
    b.extend(host::i64(offset));
    b.extend(host::i64(len));
    b
}

fn entry(parent: u64, name: &[u8], flags: u32) -> Vec<u8> {
    let mut b = Vec::with_capacity(17 + name.len());
    b.extend(host::u64(parent));
    b.extend(host::u32(u32::try_from(name.len()).unwrap_or(u32::MAX)));
    b.extend(host::u32(flags));
    b.extend(name);
    b.push(0);
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn laid_out_as_the_kernel_reads_it() {
        let m = message(INVAL_ENTRY, &entry(1, b"ab", EXPIRE_ONLY));
        assert_eq!(
            m,
            [
                35, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // header
                1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, // parent, namelen, flags
                b'a', b'b', 0
            ]
        );
        assert_eq!(message(INVAL_INODE, &inode(7, -1, 0)).len(), 40);
    }

    #[test]
    fn without_a_session_it_says_so() {
        assert_eq!(Kernel::default().content(1), Err(Errno::NODEV));
    }
}
