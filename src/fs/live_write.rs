//! `live`: what changes content and facts of files that are there.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    self, AtFlags, CWD, FallocateFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::{Errno, IoSlice, ReadWriteFlags};

use super::acl;
use super::attr::{Attr, FileKind, Found};
use super::inode::Mark;
use super::live::{Anchor, LiveView};
use super::live_read::retry;
use super::resolve::{by_handle, reopen};
use super::view::{CopyRange, Ctx, Fault, Opened, SetAttr, SetTime, WriteAt, Written};
use crate::model::{RepoPath, Touch};

/// Most that one COPY_FILE_RANGE copies, so that it does not hold up a swap for long.
const COPY_MAX: u64 = 16 << 20;

impl LiveView {
    pub(super) fn do_open(&self, ctx: &Ctx, ino: u64, flags: i32) -> Result<Opened, Fault> {
        let (wanted, writes) = backing_flags(flags);
        let (fd, found) = match self.open_by_name(ino, wanted) {
            Some(opened) => opened,
            None => self.open_by_anchor(ino, wanted)?,
        };
        Ok(self.opened(ctx, ino, fd, writes, &found))
    }

    /// The short way, two system calls: by its name, and then a look whether it is the right file. Without waiting, in
    /// case that something else lies there by now. Anything unusual is left to the long way.
    fn open_by_name(&self, ino: u64, wanted: OFlags) -> Option<(OwnedFd, Found)> {
        let (path, id) = {
            let table = self.table();
            (table.path(ino).ok()?, table.get(ino)?.id)
        };
        let fd = self.root.open_file(&path, wanted).ok()?;
        let found = self.root.stat(fd.as_fd()).ok()?;
        (found.id == id && found.attr.kind == FileKind::File).then_some((fd, found))
    }

    /// The long way: find the file, look what it is, open exactly that.
    fn open_by_anchor(&self, ino: u64, wanted: OFlags) -> Result<(OwnedFd, Found), Errno> {
        let anchor = self.anchor(ino, None)?;
        if self.root.stat(anchor.as_fd())?.attr.kind != FileKind::File {
            // Pipes, sockets and devices are opened by the kernel itself.
            return Err(Errno::INVAL);
        }
        let fd = match reopen(anchor.as_fd(), wanted) {
            // Only the owner may ask for that; the caller was checked by the kernel.
            Err(Errno::PERM) if wanted.contains(OFlags::NOATIME) => {
                reopen(anchor.as_fd(), wanted - OFlags::NOATIME)?
            }
            other => other?,
        };
        let found = self.root.stat(fd.as_fd())?;
        Ok((fd, found))
    }

    /// Registers an open descriptor of `ino` and tells what the kernel may keep.
    pub(super) fn opened(
        &self,
        ctx: &Ctx,
        ino: u64,
        fd: OwnedFd,
        writes: bool,
        found: &Found,
    ) -> Opened {
        let _space = self.steady();
        let fh = self.handles.add(fd, ino, writes, ctx.who.clone());
        let now = found.attr.stamp();
        let racy = self.racy(&now);
        let mut first_writer = None;
        let (mut keep, mut refresh) = (false, false);
        {
            let mut table = self.table();
            if let Some(node) = table.get_mut(ino) {
                node.handles.push(fh);
                keep = node.mark
                    == Some(Mark {
                        stamp: now,
                        racy: false,
                    });
                refresh = node.sent.is_some_and(|s| s != now);
                node.sent = Some(now);
                if !keep {
                    node.mark = Some(Mark { stamp: now, racy });
                }
                if writes {
                    node.writers += 1;
                    if node.writers == 1 {
                        node.open_name = node.links.first().cloned();
                        first_writer = node.open_name.clone();
                    }
                }
            }
            if let Some(path) = first_writer.and_then(|l| table.link_path(&l)) {
                drop(table);
                self.observer.opened_for_write(&path, &ctx.who);
            }
        }
        Opened { fh, keep, refresh }
    }

    pub(super) fn do_release(&self, fh: u64) {
        let Some(handle) = self.handles.get(fh) else {
            return;
        };
        let _space = self.steady();
        let mut closed = None;
        {
            let mut table = self.table();
            if let Some(node) = table.get_mut(handle.ino) {
                node.handles.retain(|h| *h != fh);
                if handle.writes {
                    node.writers = node.writers.saturating_sub(1);
                    if node.writers == 0 {
                        closed = node.open_name.take();
                    }
                }
            }
            let path = closed.and_then(|l| table.link_path(&l));
            table.reap(handle.ino);
            drop(table);
            if let Some(path) = path {
                self.observer.closed_for_write(&path);
            }
        }
        // Last, so that whoever counts none open finds every closing reported.
        self.handles.remove(fh);
    }

    pub(super) fn do_write(
        &self,
        ctx: &Ctx,
        ino: u64,
        fh: u64,
        what: &WriteAt<'_>,
    ) -> Result<Written, Fault> {
        let handle = self.handles.get(fh).ok_or(Errno::BADF)?;
        let _space = self.steady();
        let paths = self.prepared_paths(ctx, ino)?;
        let before = self.root.stat(handle.as_fd())?;
        let appends = what.append && !what.write_back;
        let mut done = 0;
        let result = loop {
            let rest = &what.data[done..];
            if rest.is_empty() {
                break Ok(());
            }
            let wrote = retry(|| {
                if appends {
                    let part = [IoSlice::new(rest)];
                    rustix::io::pwritev2(&handle, &part, 0, ReadWriteFlags::APPEND)
                } else {
                    rustix::io::pwrite(&handle, rest, what.offset + done as u64)
                }
            });
            match wrote {
                Ok(0) => break Err(Errno::IO),
                Ok(n) => done += n,
                Err(e) => break Err(e),
            }
        };
        if done == 0 {
            result?;
        }
        if what.kill_set_id {
            self.kill_set_id(handle.as_fd(), &before);
        }
        let after = self.root.stat(handle.as_fd())?;
        let stray = appends && after.attr.size != what.offset + done as u64;
        self.changed(
            ctx,
            ino,
            &paths,
            Touch::Content,
            &before,
            &after,
            what.write_back.then_some(&handle.opener),
        );
        if stray {
            self.distrust(ino);
        }
        Ok(Written { len: done, stray })
    }

    /// After a change of one node: what is known of it moves on, and each of its names is reported.
    fn changed(
        &self,
        ctx: &Ctx,
        ino: u64,
        paths: &[RepoPath],
        touch: Touch,
        before: &Found,
        after: &Found,
        writer: Option<&crate::model::Writer>,
    ) {
        self.advance(ino, &before.attr.stamp(), &after.attr.stamp());
        for path in paths {
            self.report(path, touch, writer.unwrap_or(&ctx.who), Some(after));
        }
    }

    /// A change of content by somebody who may not keep the set-id bits takes them away. For an ordinary user's daemon
    /// the real file system has done so already; root's writes leave them.
    fn kill_set_id(&self, fd: BorrowedFd<'_>, before: &Found) {
        let perm = before.attr.perm;
        let mut gone = perm & 0o4000;
        if perm & 0o2010 == 0o2010 {
            gone |= 0o2000;
        }
        if self.privileged && gone != 0 && before.attr.kind == FileKind::File {
            // The write itself is done; a failure here could only be reported as a failed write.
            let _ = fs::chmod(by_handle(fd), Mode::from_raw_mode(perm & !gone));
        }
    }

    pub(super) fn do_setattr(&self, ctx: &Ctx, ino: u64, set: &SetAttr) -> Result<Attr, Fault> {
        let _space = self.steady();
        let paths = self.prepared_paths(ctx, ino)?;
        let anchor = self.anchor(ino, set.fh)?;
        let fd = anchor.as_fd();
        let before = self.root.stat(fd)?;
        if let Some(size) = set.size {
            self.truncate(ino, &anchor, size)?;
            if ctx.uid != 0 {
                self.kill_set_id(fd, &before);
            }
        }
        if set.uid.is_some() || set.gid.is_some() {
            fs::chownat(
                fd,
                "",
                set.uid.map(Uid::from_raw),
                set.gid.map(Gid::from_raw),
                AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW,
            )?;
        }
        if let Some(mode) = set.mode {
            fs::chmod(by_handle(fd), Mode::from_raw_mode(mode & 0o7777))?;
        }
        if set.atime.is_some() || set.mtime.is_some() {
            let times = Timestamps {
                last_access: timespec(set.atime),
                last_modification: timespec(set.mtime),
            };
            fs::utimensat(CWD, by_handle(fd), &times, AtFlags::empty())?;
        }
        let after = self.root.stat(fd)?;
        self.advance(ino, &before.attr.stamp(), &after.attr.stamp());
        for touch in set.touches() {
            for path in &paths {
                self.report(path, touch, &ctx.who, Some(&after));
            }
        }
        let attr = Self::numbered(ino, &after);
        self.told(ino, &attr);
        Ok(attr)
    }

    fn truncate(&self, ino: u64, anchor: &Anchor, size: u64) -> Result<(), Errno> {
        if let Anchor::Open(h) = anchor
            && h.writes
        {
            return fs::ftruncate(h, size);
        }
        match reopen(anchor.as_fd(), OFlags::WRONLY | OFlags::NONBLOCK) {
            Ok(fd) => fs::ftruncate(fd, size),
            // Whoever has it open for writing may truncate it, though its mode forbids opening it anew.
            Err(Errno::ACCESS) => {
                let handles = self
                    .table()
                    .get(ino)
                    .map(|n| n.handles.clone())
                    .unwrap_or_default();
                handles
                    .into_iter()
                    .filter_map(|fh| self.handles.get(fh))
                    .find(|h| h.writes)
                    .map_or(Err(Errno::ACCESS), |h| fs::ftruncate(&*h, size))
            }
            Err(e) => Err(e),
        }
    }

    pub(super) fn do_fallocate(
        &self,
        ctx: &Ctx,
        ino: u64,
        fh: u64,
        offset: u64,
        len: u64,
        mode: i32,
    ) -> Result<(), Fault> {
        let handle = self.handles.get(fh).ok_or(Errno::BADF)?;
        let _space = self.steady();
        let paths = self.prepared_paths(ctx, ino)?;
        let before = self.root.stat(handle.as_fd())?;
        let flags = FallocateFlags::from_bits_retain(mode.cast_unsigned());
        retry(|| fs::fallocate(&handle, flags, offset, len))?;
        if ctx.uid != 0 {
            self.kill_set_id(handle.as_fd(), &before);
        }
        let after = self.root.stat(handle.as_fd())?;
        self.changed(ctx, ino, &paths, Touch::Content, &before, &after, None);
        Ok(())
    }

    pub(super) fn do_copy(&self, ctx: &Ctx, what: &CopyRange) -> Result<usize, Fault> {
        let from = self.handles.get(what.from).ok_or(Errno::BADF)?;
        let to = self.handles.get(what.to).ok_or(Errno::BADF)?;
        let _space = self.steady();
        let paths = self.prepared_paths(ctx, what.ino)?;
        let before = self.root.stat(to.as_fd())?;
        let (mut read_at, mut write_at) = (what.from_offset, what.to_offset);
        let len = usize::try_from(what.len.min(COPY_MAX)).map_err(|_| Errno::OVERFLOW)?;
        let copied = retry(|| {
            fs::copy_file_range(&from, Some(&mut read_at), &to, Some(&mut write_at), len)
        })?;
        if ctx.uid != 0 {
            self.kill_set_id(to.as_fd(), &before);
        }
        let after = self.root.stat(to.as_fd())?;
        if copied > 0 {
            self.changed(ctx, what.ino, &paths, Touch::Content, &before, &after, None);
        }
        Ok(copied)
    }

    pub(super) fn do_setxattr(
        &self,
        ctx: &Ctx,
        ino: u64,
        name: &[u8],
        value: &[u8],
        flags: i32,
    ) -> Result<(), Fault> {
        let flags = XattrFlags::from_bits_retain(flags.cast_unsigned());
        self.xattr(ctx, ino, |path| {
            // Where there is a list already, taking it back is more than that.
            if acl::is_chmod(name, value) && fs::getxattr(path, name, &mut [0u8; 0]).is_err() {
                return Err(Errno::OPNOTSUPP);
            }
            fs::setxattr(path, name, value, flags)
        })
    }

    pub(super) fn do_removexattr(&self, ctx: &Ctx, ino: u64, name: &[u8]) -> Result<(), Fault> {
        self.xattr(ctx, ino, |path| fs::removexattr(path, name))
    }

    fn xattr(
        &self,
        ctx: &Ctx,
        ino: u64,
        change: impl FnOnce(&str) -> Result<(), Errno>,
    ) -> Result<(), Fault> {
        let _space = self.steady();
        let paths = self.prepared_paths(ctx, ino)?;
        let anchor = self.anchor(ino, None)?;
        let before = self.root.stat(anchor.as_fd())?;
        change(&by_handle(anchor.as_fd()))?;
        let after = self.root.stat(anchor.as_fd())?;
        self.changed(ctx, ino, &paths, Touch::Meta, &before, &after, None);
        Ok(())
    }
}

/// With which flags the backing file is opened, and whether it can be written through that. Appending is not among them:
/// each write says whether it appends (the flag can be changed on an open descriptor), and what a shared mapping brings
/// back must go where it belongs even if the descriptor appends. Nor is O_DIRECT: requests come unaligned.
pub(super) fn backing_flags(flags: i32) -> (OFlags, bool) {
    let asked = OFlags::from_bits_retain(flags.cast_unsigned());
    let access = asked & OFlags::RWMODE;
    let kept = asked & (OFlags::SYNC | OFlags::DSYNC | OFlags::NOATIME);
    (access | kept, access != OFlags::RDONLY)
}

pub(super) fn timespec(time: Option<SetTime>) -> Timespec {
    match time {
        None => Timespec {
            tv_sec: 0,
            tv_nsec: fs::UTIME_OMIT,
        },
        Some(SetTime::Now) => Timespec {
            tv_sec: 0,
            tv_nsec: fs::UTIME_NOW,
        },
        Some(SetTime::At(w)) => Timespec {
            tv_sec: w.secs,
            tv_nsec: w.nanos.into(),
        },
    }
}
