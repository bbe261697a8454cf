//! A branch view: opening, and what changes content and facts.
//!
//! All handles of a node share one descriptor of its content. The first change copies the content (all but what a
//! truncation drops) into a file of the branch and puts that in place of the shared descriptor, so whoever had the file
//! open before sees what is written after.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::{Arc, PoisonError};

use rustix::fs::{self, FallocateFlags, XattrFlags};
use rustix::io::{Errno, IoSlice, ReadWriteFlags};

use super::super::acl;
use super::super::attr::{Attr, FileKind};
use super::super::live_read::retry;
use super::super::live_write::{backing_flags, timespec};
use super::super::resolve::by_handle;
use super::super::view::{CopyRange, Ctx, Fault, Opened, SetAttr, WriteAt, Written};
use super::copy::{copy, write_all};
use super::layers::Lower;
use super::table::Op;
use super::view::{BranchView, Handle, set_times};
use crate::model::{RepoPath, Touch, Writer};

/// Most that one COPY_FILE_RANGE copies, so that it does not hold up a swap for long.
const COPY_MAX: u64 = 16 << 20;

impl BranchView {
    pub(super) fn handle(&self, fh: u64) -> Result<Handle, Errno> {
        self.handles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .open
            .get(&fh)
            .cloned()
            .ok_or(Errno::BADF)
    }

    /// The content of a node as it is now, for reading; for writing once it is the branch's own.
    pub(super) fn backing(&self, id: u64) -> Result<Arc<File>, Errno> {
        loop {
            let (origin, lower, upper, wanted) = {
                let nodes = self.nodes();
                let node = nodes.get(id)?;
                if let Some(file) = &node.open {
                    return Ok(Arc::clone(file));
                }
                (
                    node.origin.clone(),
                    node.lower.clone(),
                    node.upper,
                    node.wanted(),
                )
            };
            // Not under the lock: it may be written out first.
            let file = match origin {
                _ if upper => self.open_upper(id)?,
                Some(origin) => self.layers.open(&origin, &lower, wanted)?,
                None => return Err(Errno::STALE),
            };
            let mut nodes = self.nodes();
            let node = nodes.get_mut(id)?;
            if node.upper != upper {
                continue;
            }
            let file = Arc::clone(node.open.get_or_insert_with(|| Arc::new(file)));
            if node.handles == 0 {
                node.open = None;
            }
            return Ok(file);
        }
    }

    /// The branch's own file of a node, copied from below if it is not there yet; of its content only the first `keep`
    /// bytes.
    pub(super) fn own(&self, id: u64, keep: u64) -> Result<Arc<File>, Errno> {
        if self.nodes().get(id)?.upper {
            return self.backing(id);
        }
        let _one = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        let (kind, attr, origin) = {
            let nodes = self.nodes();
            let node = nodes.get(id)?;
            if node.upper {
                drop(nodes);
                return self.backing(id);
            }
            let attr = match &node.open {
                Some(open) => self.attr(&nodes, id).or_else(|_| {
                    let found = self.layers.kept.stat(open.as_fd())?;
                    Ok::<_, Errno>(found.attr)
                })?,
                None => self.attr(&nodes, id)?,
            };
            (node.facts.kind, attr, node.origin.clone())
        };
        let file = self.make_upper(id)?;
        match kind {
            FileKind::File if keep > 0 => {
                let from = self.backing(id)?;
                copy(&from, &file, attr.size.min(keep))?;
            }
            FileKind::Symlink => {
                let target = self.do_readlink(id)?;
                write_all(&file, &target)?;
            }
            _ => {}
        }
        let copied = origin.as_ref().and_then(|o| self.layers.stamp(o));
        if kind == FileKind::File || kind == FileKind::Dir {
            self.copy_xattrs(id, &file);
        }
        set_times(&file, Some(attr.atime), Some(attr.mtime))?;
        let file = Arc::new(file);
        let mut nodes = self.nodes();
        let mut ops = nodes.save(id)?;
        let node = nodes.get(id)?;
        let mut saved = node.saved();
        saved.upper = true;
        saved.copied = copied;
        let op = Op::Node { id, saved };
        if node.names.is_empty() && id != super::super::inode::ROOT {
            // Removed while it is open: nothing is kept of it.
            nodes.apply(&op);
        } else {
            ops.push(op);
            self.commit(&mut nodes, &ops)?;
        }
        let node = nodes.get_mut(id)?;
        if node.handles > 0 {
            node.open = Some(Arc::clone(&file));
        }
        Ok(file)
    }

    /// Attributes that cannot be set here (of other name spaces, by an ordinary user) are left behind.
    fn copy_xattrs(&self, id: u64, to: &File) {
        let Ok(names) = self.do_listxattr(id) else {
            return;
        };
        for name in names.split(|b| *b == 0).filter(|n| n.starts_with(b"user.")) {
            if let Ok(value) = self.do_getxattr(id, name) {
                let _ = fs::fsetxattr(to, name, &value, XattrFlags::empty());
            }
        }
    }

    pub(super) fn do_open(&self, ctx: &Ctx, id: u64, flags: i32) -> Result<Opened, Fault> {
        let (access, writes) = backing_flags(flags);
        if self.nodes().get(id)?.facts.kind != FileKind::File {
            // Pipes, sockets and devices are opened by the kernel itself.
            return Err(Errno::INVAL.into());
        }
        let opened = self.opened(ctx, id, writes)?;
        // What is only written, mostly after a truncation, need not be fetched.
        if access & fs::OFlags::RWMODE != fs::OFlags::WRONLY
            && let Err(e) = self.backing(id)
        {
            self.do_release(opened.fh);
            return Err(e.into());
        }
        Ok(opened)
    }

    /// Registers a handle on `id` and tells what the kernel may keep.
    pub(super) fn opened(&self, ctx: &Ctx, id: u64, writes: bool) -> Result<Opened, Errno> {
        let _space = self.steady();
        let mut first_writer = None;
        let (keep, refresh) = {
            let mut nodes = self.nodes();
            let now = self.attr(&nodes, id)?.stamp();
            let node = nodes.get_mut(id)?;
            node.handles += 1;
            // Only what shows through changes by others' hands.
            let through = node.lower == Lower::Real && !node.upper;
            let keep = node.mark.is_some_and(|m| !through || m == now);
            let refresh = node.sent.is_some_and(|s| s != now);
            node.mark = Some(now);
            node.sent = Some(now);
            if writes {
                node.writers += 1;
                if node.writers == 1 {
                    node.open_name = node.names.first().cloned();
                    let link = node.open_name.clone();
                    first_writer = link.and_then(|l| nodes.link_path(&l));
                }
            }
            (keep, refresh)
        };
        let fh = {
            let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
            handles.last += 1;
            let fh = handles.last;
            handles.open.insert(
                fh,
                Handle {
                    ino: id,
                    writes,
                    opener: ctx.who.clone(),
                },
            );
            fh
        };
        if let Some(path) = first_writer {
            self.observer.opened_for_write(&path, &ctx.who);
        }
        Ok(Opened { fh, keep, refresh })
    }

    pub(super) fn do_release(&self, fh: u64) {
        let Ok(handle) = self.handle(fh) else { return };
        let _space = self.steady();
        let mut closed = None;
        {
            let mut nodes = self.nodes();
            if let Ok(node) = nodes.get_mut(handle.ino) {
                node.handles = node.handles.saturating_sub(1);
                if node.handles == 0 {
                    node.open = None;
                }
                if handle.writes {
                    node.writers = node.writers.saturating_sub(1);
                    if node.writers == 0 {
                        closed = node.open_name.take();
                    }
                }
            }
            let path = closed.and_then(|l| nodes.link_path(&l));
            self.reap(&mut nodes, handle.ino);
            drop(nodes);
            if let Some(path) = path {
                self.observer.closed_for_write(&path);
            }
        }
        self.handles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .open
            .remove(&fh);
    }

    fn report(&self, paths: &[RepoPath], touch: Touch, who: &Writer) {
        for path in paths {
            self.observer.changed(path, touch, who);
        }
    }

    /// The kernel's pages of `id` are right for what it is now.
    fn advance(&self, id: u64) {
        let mut nodes = self.nodes();
        if let Ok(attr) = self.attr(&nodes, id)
            && let Ok(node) = nodes.get_mut(id)
        {
            node.mark = node.mark.map(|_| attr.stamp());
            node.sent = node.sent.map(|_| attr.stamp());
        }
    }

    pub(super) fn do_write(
        &self,
        ctx: &Ctx,
        id: u64,
        fh: u64,
        what: &WriteAt<'_>,
    ) -> Result<Written, Fault> {
        let handle = self.handle(fh)?;
        let _space = self.steady();
        let paths = self.prepared_paths(ctx, id)?;
        let file = self.own(id, u64::MAX)?;
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
                    rustix::io::pwritev2(&*file, &part, 0, ReadWriteFlags::APPEND)
                } else {
                    rustix::io::pwrite(&*file, rest, what.offset + done as u64)
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
            self.kill_set_id(id)?;
        }
        self.advance(id);
        let who = if what.write_back {
            &handle.opener
        } else {
            &ctx.who
        };
        self.report(&paths, Touch::Content, who);
        let stray = appends && self.do_getattr(id)?.size != what.offset + done as u64;
        if stray {
            self.distrust(id);
        }
        Ok(Written { len: done, stray })
    }

    /// A change of content by somebody who may not keep the set-id bits takes them away.
    fn kill_set_id(&self, id: u64) -> Result<(), Errno> {
        let mut nodes = self.nodes();
        let node = nodes.get(id)?;
        let kept = without_set_id(node.facts.mode);
        if node.facts.kind == FileKind::File && kept != node.facts.mode {
            let mut saved = node.saved();
            saved.facts.mode = kept;
            self.put_node(&mut nodes, id, saved)?;
        }
        Ok(())
    }

    /// Sets what is known of a node, in the table if it has a name.
    fn put_node(
        &self,
        nodes: &mut super::nodes::Nodes,
        id: u64,
        saved: super::table::Saved,
    ) -> Result<(), Errno> {
        let mut ops = nodes.save(id)?;
        let op = Op::Node { id, saved };
        if nodes.get(id)?.names.is_empty() && id != super::super::inode::ROOT {
            nodes.apply(&op);
            return Ok(());
        }
        ops.push(op);
        self.commit(nodes, &ops)
    }

    pub(super) fn do_setattr(&self, ctx: &Ctx, id: u64, set: &SetAttr) -> Result<Attr, Fault> {
        let _space = self.steady();
        let paths = self.prepared_paths(ctx, id)?;
        let file = self.own(id, set.size.unwrap_or(u64::MAX))?;
        if let Some(size) = set.size {
            if self.nodes().get(id)?.facts.kind != FileKind::File {
                return Err(Errno::INVAL.into());
            }
            fs::ftruncate(&*file, size)?;
            if ctx.uid != 0 {
                self.kill_set_id(id)?;
            }
        }
        {
            let mut nodes = self.nodes();
            let node = nodes.get(id)?;
            let mut saved = node.saved();
            let facts = &mut saved.facts;
            if set.uid.is_some() || set.gid.is_some() {
                facts.uid = set.uid.unwrap_or(facts.uid);
                facts.gid = set.gid.unwrap_or(facts.gid);
                if facts.kind != FileKind::Dir {
                    facts.mode = without_set_id(facts.mode);
                }
            }
            if let Some(mode) = set.mode {
                facts.mode = mode & 0o7777;
            }
            if saved.facts != node.facts || set.uid.is_some() || set.mode.is_some() {
                self.put_node(&mut nodes, id, saved)?;
                self.bump(&nodes, id);
            }
        }
        if set.atime.is_some() || set.mtime.is_some() {
            fs::futimens(
                &*file,
                &fs::Timestamps {
                    last_access: timespec(set.atime),
                    last_modification: timespec(set.mtime),
                },
            )?;
        }
        self.advance(id);
        for touch in set.touches() {
            self.report(&paths, touch, &ctx.who);
        }
        Ok(self.do_getattr(id)?)
    }

    pub(super) fn do_fallocate(
        &self,
        ctx: &Ctx,
        id: u64,
        offset: u64,
        len: u64,
        mode: i32,
    ) -> Result<(), Fault> {
        let _space = self.steady();
        let paths = self.prepared_paths(ctx, id)?;
        let file = self.own(id, u64::MAX)?;
        let flags = FallocateFlags::from_bits_retain(mode.cast_unsigned());
        retry(|| fs::fallocate(&*file, flags, offset, len))?;
        if ctx.uid != 0 {
            self.kill_set_id(id)?;
        }
        self.advance(id);
        self.report(&paths, Touch::Content, &ctx.who);
        Ok(())
    }

    pub(super) fn do_copy(&self, ctx: &Ctx, what: &CopyRange) -> Result<usize, Fault> {
        let from = self.handle(what.from)?;
        let _space = self.steady();
        let paths = self.prepared_paths(ctx, what.ino)?;
        let to = self.own(what.ino, u64::MAX)?;
        // After: it may be the same file.
        let from = self.backing(from.ino)?;
        let (mut read_at, mut write_at) = (what.from_offset, what.to_offset);
        let len = usize::try_from(what.len.min(COPY_MAX)).map_err(|_| Errno::OVERFLOW)?;
        let copied = retry(|| {
            fs::copy_file_range(&*from, Some(&mut read_at), &*to, Some(&mut write_at), len)
        })?;
        if ctx.uid != 0 {
            self.kill_set_id(what.ino)?;
        }
        self.advance(what.ino);
        if copied > 0 {
            self.report(&paths, Touch::Content, &ctx.who);
        }
        Ok(copied)
    }

    pub(super) fn do_setxattr(
        &self,
        ctx: &Ctx,
        id: u64,
        name: &[u8],
        value: &[u8],
        flags: i32,
    ) -> Result<(), Fault> {
        // A branch's permissions are in its table, not on the file that holds the content, and commits have no lists.
        if acl::is_list(name) {
            return Err(Errno::OPNOTSUPP.into());
        }
        let flags = XattrFlags::from_bits_retain(flags.cast_unsigned());
        self.xattr(ctx, id, |path| fs::setxattr(path, name, value, flags))
    }

    pub(super) fn do_removexattr(&self, ctx: &Ctx, id: u64, name: &[u8]) -> Result<(), Fault> {
        self.xattr(ctx, id, |path| fs::removexattr(path, name))
    }

    fn xattr(
        &self,
        ctx: &Ctx,
        id: u64,
        change: impl FnOnce(&str) -> Result<(), Errno>,
    ) -> Result<(), Fault> {
        let _space = self.steady();
        let paths = self.prepared_paths(ctx, id)?;
        let file = self.own(id, u64::MAX)?;
        change(&by_handle(file.as_fd()))?;
        self.advance(id);
        self.report(&paths, Touch::Meta, &ctx.who);
        Ok(())
    }
}

fn without_set_id(mode: u32) -> u32 {
    let mut kept = mode & !0o4000;
    if mode & 0o2010 == 0o2010 {
        kept &= !0o2000;
    }
    kept
}
