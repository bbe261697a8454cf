//! Past states as the FUSE crate wants them: translation only. The mount is read-only, so nothing that changes is asked.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use fuser::{
    Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, IoctlFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};

use crate::fs::answer::shield;
use crate::fs::translate::{attr_out, entry_out, error, kind_out, negative};

use super::view::{Lasts, PastView};

/// What never changes is believed until the kernel forgets it by itself.
const EVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// Readahead requests under way at once.
const MAX_BACKGROUND: u16 = 512;

/// Not among them: CACHE_SYMLINKS, because a link that means a revision has another target the next time.
const CAPABILITIES: [InitFlags; 5] = [
    // A listing is kept only while the directory has the time it had: that of states has always another one.
    InitFlags::FUSE_AUTO_INVAL_DATA,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_MAX_PAGES,
];

/// Serves past states to one session.
pub(super) struct Serve {
    pub view: Arc<PastView>,
    /// Some contents are unknown: opens must be seen to be refused. Else the kernel is told to open by itself.
    pub asks_opens: bool,
}

fn ttl(lasts: Lasts) -> Duration {
    match lasts {
        Lasts::Ever => EVER,
        Lasts::No => Duration::ZERO,
    }
}

impl Filesystem for Serve {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for capability in CAPABILITIES {
            // Missing ones cost speed, not correctness.
            let _ = config.add_capabilities(capability);
        }
        let _ = config.set_max_background(MAX_BACKGROUND);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        shield(|| match self.view.lookup(parent.0, name.as_bytes()) {
            Ok((Some(e), lasts)) => {
                reply.entry(&ttl(lasts), &entry_out(&e), Generation(e.generation));
            }
            // Node 0: "there is none", believed as long as a name is.
            Ok((None, lasts)) => reply.entry(&ttl(lasts), &negative(), Generation(0)),
            Err(e) => reply.error(error(e)),
        });
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        shield(|| self.view.forget(ino.0, nlookup));
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        shield(|| match self.view.getattr(ino.0) {
            Ok((a, lasts)) => reply.attr(&ttl(lasts), &attr_out(&a)),
            Err(e) => reply.error(error(e)),
        });
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        shield(|| match self.view.readlink(ino.0) {
            Ok(target) => reply.data(&target),
            Err(e) => reply.error(error(e)),
        });
    }

    /// Left to the kernel wherever every content is known, which then keeps pages from one open to the next.
    fn open(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        if !self.asks_opens {
            reply.error(Errno::ENOSYS);
            return;
        }
        shield(|| match self.view.open(ino.0) {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
            Err(e) => reply.error(error(e)),
        });
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        shield(|| match self.view.read(ino.0, offset, size as usize) {
            Ok(data) => reply.data(&data),
            Err(e) => reply.error(error(e)),
        });
    }

    /// Nothing waits for a close.
    fn flush(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// Everything is as durable as it can be.
    fn fsync(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn fsyncdir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    /// Left to the kernel, which then caches listings.
    fn opendir(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        shield(|| {
            let listed = self.view.readdir(ino.0, offset, &mut |item, _| {
                let room = !reply.add(
                    INodeNo(item.ino),
                    item.next,
                    kind_out(item.kind),
                    OsStr::from_bytes(item.name),
                );
                // A plain listing is no look-up; when there is no room the lister takes it back itself.
                if room && !is_dot(item.name) {
                    self.view.forget(item.ino, 1);
                }
                room
            });
            match listed {
                Ok(()) => reply.ok(),
                Err(e) => reply.error(error(e)),
            }
        });
    }

    fn readdirplus(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        shield(|| {
            let listed = self.view.readdir(ino.0, offset, &mut |item, lasts| {
                let Some(e) = &item.entry else { return true };
                !reply.add(
                    INodeNo(e.attr.ino),
                    item.next,
                    OsStr::from_bytes(item.name),
                    &ttl(lasts),
                    &entry_out(e),
                    Generation(e.generation),
                )
            });
            match listed {
                Ok(()) => reply.ok(),
                Err(e) => reply.error(error(e)),
            }
        });
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        shield(|| match self.view.statfs() {
            Ok(s) => reply.statfs(
                s.blocks, s.bfree, s.bavail, s.files, s.ffree, s.bsize, s.namelen, s.frsize,
            ),
            Err(e) => reply.error(error(e)),
        });
    }

    /// States keep no extended attributes.
    fn getxattr(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _name: &OsStr,
        _size: u32,
        reply: ReplyXattr,
    ) {
        reply.error(Errno::ENODATA);
    }

    fn listxattr(&self, _req: &Request, _ino: INodeNo, size: u32, reply: ReplyXattr) {
        if size == 0 {
            reply.size(0);
        } else {
            reply.data(&[]);
        }
    }

    fn ioctl(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        _cmd: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    fn lseek(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        shield(|| match self.view.lseek(ino.0, offset, whence) {
            Ok(at) => reply.offset(at),
            Err(e) => reply.error(error(e)),
        });
    }
}

fn is_dot(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}
