//! A [`View`] as the FUSE crate wants it: translation only.
//!
//! The crate's next release changes several signatures; everything that depends on them is here and in `translate`.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, Generation, INodeNo,
    InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek,
    ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use super::answer::{Adapter, aside, name_in, node, settle_open, shield, xattr_reply};
use super::attribution::unknown;
use super::invalidate::Task;
use super::translate::{attr_out, entry_out, error, kind_out, negative, set_time, special};
use super::view::{CopyRange, Ctx, Fault, Opened, RenameKind, SetAttr, Target, WriteAt};
use crate::model::Touch;

/// For how long the kernel believes a name or attributes without asking. Changes behind the mount are pushed to it as
/// they are noticed; this bounds what is missed, and costs one request a second for what is in constant use.
pub(crate) const TTL: Duration = Duration::from_secs(1);

/// Largest write in one request. Also bounds how long one write can hold up a swap of epochs.
const MAX_WRITE: u32 = 1 << 20;

/// Readahead and write-back requests under way at once.
const MAX_BACKGROUND: u16 = 512;

/// Asked for one by one: the crate refuses a set of which the kernel lacks a member.
///
/// Not among them: WRITEBACK_CACHE (delays writes, loses their writer, and hides changes of size from outside),
/// ASYNC_DIO, ATOMIC_O_TRUNC (a truncation shall come as a change of its own), DONT_MASK (the kernel applies the umask),
/// POSIX_LOCKS and FLOCK_LOCKS (the kernel keeps locks), POSIX_ACL (inheriting them would be ours to do).
const CAPABILITIES: [InitFlags; 7] = [
    // A look at the file that shows another size or time drops its pages.
    InitFlags::FUSE_AUTO_INVAL_DATA,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_PARALLEL_DIROPS,
    // Without it every write is preceded by a question for `security.capability`.
    InitFlags::FUSE_HANDLE_KILLPRIV_V2,
    // A link's target never changes: another target is another node.
    InitFlags::FUSE_CACHE_SYMLINKS,
    InitFlags::FUSE_MAX_PAGES,
];

impl Filesystem for Adapter {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for capability in CAPABILITIES {
            // Missing ones cost speed, not correctness.
            let _ = config.add_capabilities(capability);
        }
        let expires = config
            .capabilities()
            .contains(InitFlags::FUSE_HAS_EXPIRE_ONLY);
        self.kernel.can_expire.store(expires, Ordering::Relaxed);
        let _ = config.set_max_write(MAX_WRITE);
        let _ = config.set_max_background(MAX_BACKGROUND);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        shield(|| match self.view.lookup(parent.0, name.as_bytes()) {
            Ok(Some(e)) => reply.entry(&TTL, &entry_out(&e), Generation(e.generation)),
            // Node 0: "there is none", believed as long as a name is.
            Ok(None) => reply.entry(&TTL, &negative(), Generation(0)),
            Err(e) => reply.error(error(e)),
        });
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        shield(|| self.view.forget(ino.0, nlookup));
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        shield(|| match self.view.getattr(ino.0, fh.map(|h| h.0)) {
            Ok(a) => reply.attr(&TTL, &attr_out(&a)),
            Err(e) => reply.error(error(e)),
        });
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = SetAttr {
            mode,
            uid,
            gid,
            size,
            atime: atime.map(set_time),
            mtime: mtime.map(set_time),
            fh: fh.map(|h| h.0),
        };
        let targets = set
            .touches()
            .into_iter()
            .map(|t| (Target::Node(ino.0), t))
            .collect();
        self.change(
            req,
            targets,
            move |v, ctx| v.setattr(ctx, ino.0, &set),
            move |r| match r {
                Ok(a) => reply.attr(&TTL, &attr_out(&a)),
                Err(e) => reply.error(e),
            },
        );
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        shield(|| match self.view.readlink(ino.0) {
            Ok(target) => reply.data(&target),
            Err(e) => reply.error(error(e)),
        });
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let Some(kind) = special(mode, rdev) else {
            reply.error(Errno::EINVAL);
            return;
        };
        let name = name.as_bytes().to_vec();
        self.change(
            req,
            name_in(parent, &name, Touch::Create),
            move |v, ctx| v.mknod(ctx, parent.0, &name, mode, kind),
            Self::entry_reply(reply),
        );
    }

    fn mkdir(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let name = name.as_bytes().to_vec();
        self.change(
            req,
            name_in(parent, &name, Touch::Create),
            move |v, ctx| v.mkdir(ctx, parent.0, &name, mode),
            Self::entry_reply(reply),
        );
    }

    fn unlink(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.as_bytes().to_vec();
        self.change(
            req,
            name_in(parent, &name, Touch::Remove),
            move |v, ctx| v.unlink(ctx, parent.0, &name),
            Self::empty_reply(reply),
        );
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.as_bytes().to_vec();
        self.change(
            req,
            name_in(parent, &name, Touch::Remove),
            move |v, ctx| v.rmdir(ctx, parent.0, &name),
            Self::empty_reply(reply),
        );
    }

    fn symlink(
        &self,
        req: &Request,
        parent: INodeNo,
        link_name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let name = link_name.as_bytes().to_vec();
        let target = target.as_os_str().as_bytes().to_vec();
        self.change(
            req,
            name_in(parent, &name, Touch::Create),
            move |v, ctx| v.symlink(ctx, parent.0, &name, &target),
            Self::entry_reply(reply),
        );
    }

    fn rename(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let kind = match flags {
            f if f.is_empty() => RenameKind::Replace,
            RenameFlags::RENAME_NOREPLACE => RenameKind::NoReplace,
            RenameFlags::RENAME_EXCHANGE => RenameKind::Exchange,
            _ => {
                reply.error(Errno::EINVAL);
                return;
            }
        };
        let (name, newname) = (name.as_bytes().to_vec(), newname.as_bytes().to_vec());
        let mut targets = name_in(parent, &name, Touch::Remove);
        targets.extend(name_in(newparent, &newname, Touch::Create));
        self.change(
            req,
            targets,
            move |v, ctx| v.rename(ctx, (parent.0, &name), (newparent.0, &newname), kind),
            Self::empty_reply(reply),
        );
    }

    fn link(
        &self,
        req: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        let name = newname.as_bytes().to_vec();
        self.change(
            req,
            name_in(newparent, &name, Touch::Create),
            move |v, ctx| v.link(ctx, ino.0, newparent.0, &name),
            Self::entry_reply(reply),
        );
    }

    fn open(&self, req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let kernel = Arc::clone(&self.kernel);
        let answer = move |r: Result<Opened, Errno>| match r {
            Ok(o) => reply.opened(FileHandle(o.fh), settle_open(&kernel, ino.0, &o)),
            Err(e) => reply.error(e),
        };
        if super::live_write::backing_flags(flags.0).1 {
            // Whether a file is open for writing must not change while a rollback decides how to replace it.
            self.change(
                req,
                Vec::new(),
                move |v, ctx| v.open(ctx, ino.0, flags.0),
                answer,
            );
        } else {
            shield(|| {
                let ctx = Ctx::new(unknown(req.pid()), req.uid(), req.gid(), None);
                let opened = self.view.open(&ctx, ino.0, flags.0);
                // Before the answer: until then the process is there to be looked at.
                if opened.is_ok() && self.view.wants_reads() {
                    let who = self.attribution.of(req.pid());
                    self.view.note_read(ino.0, &who);
                }
                answer(opened.map_err(|f| match f {
                    Fault::Os(e) => error(e),
                    Fault::Moved => Errno::EAGAIN,
                }));
            });
        }
    }

    fn read(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        shield(|| match self.view.read(fh.0, offset, size as usize) {
            Ok(data) => reply.data(&data),
            Err(e) => reply.error(error(e)),
        });
    }

    fn write(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        const APPEND: i32 = rustix::fs::OFlags::APPEND.bits().cast_signed();
        let data = data.to_vec();
        let write_back = write_flags.contains(WriteFlags::FUSE_WRITE_CACHE);
        let kill_set_id = write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        let append = flags.0 & APPEND != 0;
        let queue = Arc::clone(&self.queue);
        shield(|| {
            let mut attempt = self.attempt(
                req,
                node(ino, Touch::Content),
                move |v, ctx| {
                    let what = WriteAt {
                        offset,
                        data: &data,
                        append,
                        write_back,
                        kill_set_id,
                    };
                    v.write(ctx, ino.0, fh.0, &what)
                },
                move |r| match r {
                    Ok(w) => {
                        reply.written(u32::try_from(w.len).unwrap_or(u32::MAX));
                        if w.stray {
                            queue.send(Task::Node(ino.0));
                        }
                    }
                    Err(e) => reply.error(e),
                },
            );
            attempt.write_back = write_back;
            attempt.run();
        });
    }

    /// Left to the kernel: it writes mappings back by itself, and nothing here waits for a close.
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

    fn release(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        shield(|| {
            self.view.release(fh.0);
            reply.ok();
        });
    }

    fn fsync(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        let view = Arc::clone(&self.view);
        aside(reply, move || view.fsync(fh.0, datasync));
    }

    /// Left to the kernel, which then caches listings and checks them against the directory's time.
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
            let listed = self.view.readdir(ino.0, offset, false, &mut |item| {
                !reply.add(
                    INodeNo(item.ino),
                    item.next,
                    kind_out(item.kind),
                    OsStr::from_bytes(item.name),
                )
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
            let listed = self.view.readdir(ino.0, offset, true, &mut |item| {
                let Some(e) = &item.entry else { return true };
                !reply.add(
                    INodeNo(e.attr.ino),
                    item.next,
                    OsStr::from_bytes(item.name),
                    &TTL,
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

    fn fsyncdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        datasync: bool,
        reply: ReplyEmpty,
    ) {
        let view = Arc::clone(&self.view);
        aside(reply, move || view.fsyncdir(ino.0, datasync));
    }

    fn statfs(&self, _req: &Request, ino: INodeNo, reply: ReplyStatfs) {
        shield(|| match self.view.statfs(ino.0) {
            Ok(s) => reply.statfs(
                s.blocks, s.bfree, s.bavail, s.files, s.ffree, s.bsize, s.namelen, s.frsize,
            ),
            Err(e) => reply.error(error(e)),
        });
    }

    fn setxattr(
        &self,
        req: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let (name, value) = (name.as_bytes().to_vec(), value.to_vec());
        self.change(
            req,
            node(ino, Touch::Meta),
            move |v, ctx| v.setxattr(ctx, ino.0, &name, &value, flags),
            Self::empty_reply(reply),
        );
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        shield(|| xattr_reply(reply, size, self.view.getxattr(ino.0, name.as_bytes())));
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        shield(|| xattr_reply(reply, size, self.view.listxattr(ino.0)));
    }

    fn removexattr(&self, req: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.as_bytes().to_vec();
        self.change(
            req,
            node(ino, Touch::Meta),
            move |v, ctx| v.removexattr(ctx, ino.0, &name),
            Self::empty_reply(reply),
        );
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let name = name.as_bytes().to_vec();
        let kernel = Arc::clone(&self.kernel);
        self.change(
            req,
            name_in(parent, &name, Touch::Create),
            move |v, ctx| v.create(ctx, parent.0, &name, mode, flags),
            move |r| match r {
                Ok((e, o)) => reply.created(
                    &TTL,
                    &entry_out(&e),
                    Generation(e.generation),
                    FileHandle(o.fh),
                    settle_open(&kernel, e.attr.ino, &o),
                ),
                Err(e) => reply.error(e),
            },
        );
    }

    /// Files of a project answer no ioctl, as on a plain file system.
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

    fn fallocate(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        self.change(
            req,
            node(ino, Touch::Content),
            move |v, ctx| v.fallocate(ctx, ino.0, fh.0, offset, length, mode),
            Self::empty_reply(reply),
        );
    }

    fn lseek(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        shield(|| match self.view.lseek(fh.0, offset, whence) {
            Ok(at) => reply.offset(at),
            Err(e) => reply.error(error(e)),
        });
    }

    fn copy_file_range(
        &self,
        req: &Request,
        _ino_in: INodeNo,
        fh_in: FileHandle,
        offset_in: u64,
        ino_out: INodeNo,
        fh_out: FileHandle,
        offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let what = CopyRange {
            from: fh_in.0,
            from_offset: offset_in,
            ino: ino_out.0,
            to: fh_out.0,
            to_offset: offset_out,
            len,
        };
        self.change(
            req,
            node(ino_out, Touch::Content),
            move |v, ctx| v.copy_file_range(ctx, &what),
            move |r| match r {
                Ok(n) => reply.written(u32::try_from(n).unwrap_or(u32::MAX)),
                Err(e) => reply.error(e),
            },
        );
    }
}
