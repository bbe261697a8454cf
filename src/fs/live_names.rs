//! `live`: what makes, removes and moves names.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;

use super::attr::{FileKind, Found};
use super::inode::Link;
use super::live::LiveView;
use super::live_write::backing_flags;
use super::resolve::by_handle;
use super::view::{Ctx, Entry, Fault, Opened, RenameKind, Special};
use crate::model::{RepoPath, Touch};

impl LiveView {
    /// Fails for names that are not shown: they belong to the rollback under way.
    fn allowed(&self, name: &[u8]) -> Result<(), Errno> {
        if (self.hide)(name) {
            Err(Errno::ACCESS)
        } else {
            Ok(())
        }
    }

    fn visible(&self, name: &[u8]) -> Result<(), Errno> {
        if (self.hide)(name) {
            Err(Errno::NOENT)
        } else {
            Ok(())
        }
    }

    /// Gives a file that was just made the owner and mode that it would have had if the caller had made it. The kernel
    /// has applied the caller's umask to `mode` already; the engine's own umask must not count. In a set-group-id
    /// directory the group is the directory's, and a new directory carries the bit on: the real file system did both.
    fn adopt(
        &self,
        ctx: &Ctx,
        fd: BorrowedFd<'_>,
        dir: &Found,
        mode: Option<u32>,
    ) -> Result<Found, Errno> {
        let mut found = self.root.stat(fd)?;
        if self.privileged {
            let uid = (found.attr.uid != ctx.uid).then_some(Uid::from_raw(ctx.uid));
            let inherits = dir.attr.perm & 0o2000 != 0;
            let gid = (!inherits && found.attr.gid != ctx.gid).then_some(Gid::from_raw(ctx.gid));
            if uid.is_some() || gid.is_some() {
                match fs::chownat(
                    fd,
                    "",
                    uid,
                    gid,
                    AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW,
                ) {
                    // Root of a user namespace that does not know that user: it stays root's.
                    Ok(()) | Err(Errno::PERM | Errno::INVAL) => {}
                    Err(e) => return Err(e),
                }
                found = self.root.stat(fd)?;
            }
        }
        if let Some(mode) = mode {
            let mut want = mode & 0o7777;
            if found.attr.kind == FileKind::Dir {
                want |= found.attr.perm & 0o2000;
            }
            if found.attr.perm != want {
                fs::chmod(by_handle(fd), Mode::from_raw_mode(want))?;
                found = self.root.stat(fd)?;
            }
        }
        Ok(found)
    }

    /// Makes `name` by `make`, adopts and reports it.
    fn make(
        &self,
        ctx: &Ctx,
        parent: u64,
        name: &[u8],
        mode: Option<u32>,
        make: impl FnOnce(&OwnedFd) -> Result<(), Errno>,
    ) -> Result<Entry, Fault> {
        self.allowed(name)?;
        let _space = self.steady();
        let path = self.prepared_name(ctx, parent, name)?;
        let (dir, dir_found, _) = self.dir(parent)?;
        make(&dir)?;
        let made = fs::openat(
            &dir,
            name,
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let found = made.and_then(|fd| self.adopt(ctx, fd.as_fd(), &dir_found, mode));
        // From here on the name is there: it is reported, whatever else fails.
        self.report(&path, Touch::Create, &ctx.who, found.as_ref().ok());
        Ok(self.enter(parent, name, &found?))
    }

    pub(super) fn do_mknod(
        &self,
        ctx: &Ctx,
        parent: u64,
        name: &[u8],
        mode: u32,
        kind: Special,
    ) -> Result<Entry, Fault> {
        let (file_type, dev) = match kind {
            Special::File => (FileType::RegularFile, 0),
            Special::Fifo => (FileType::Fifo, 0),
            Special::Socket => (FileType::Socket, 0),
            Special::Char(a, b) => (FileType::CharacterDevice, fs::makedev(a, b)),
            Special::Block(a, b) => (FileType::BlockDevice, fs::makedev(a, b)),
        };
        self.make(ctx, parent, name, Some(mode), |dir| {
            fs::mknodat(
                dir,
                name,
                file_type,
                Mode::from_raw_mode(mode & 0o7777),
                dev,
            )
        })
    }

    pub(super) fn do_mkdir(
        &self,
        ctx: &Ctx,
        parent: u64,
        name: &[u8],
        mode: u32,
    ) -> Result<Entry, Fault> {
        self.make(ctx, parent, name, Some(mode), |dir| {
            fs::mkdirat(dir, name, Mode::from_raw_mode(mode & 0o7777))
        })
    }

    pub(super) fn do_symlink(
        &self,
        ctx: &Ctx,
        parent: u64,
        name: &[u8],
        target: &[u8],
    ) -> Result<Entry, Fault> {
        self.make(ctx, parent, name, None, |dir| {
            fs::symlinkat(target, dir, name)
        })
    }

    pub(super) fn do_create(
        &self,
        ctx: &Ctx,
        parent: u64,
        name: &[u8],
        mode: u32,
        flags: i32,
    ) -> Result<(Entry, Opened), Fault> {
        self.allowed(name)?;
        let (fd, found, writes) = {
            let _space = self.steady();
            let path = self.prepared_name(ctx, parent, name)?;
            let (dir, dir_found, _) = self.dir(parent)?;
            let (wanted, writes) = backing_flags(flags);
            let wanted = wanted | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
            let made = fs::openat(
                &dir,
                name,
                wanted | OFlags::CREATE | OFlags::EXCL,
                Mode::from_raw_mode(mode & 0o7777),
            );
            match made {
                Ok(fd) => {
                    let found = self.adopt(ctx, fd.as_fd(), &dir_found, Some(mode));
                    self.report(&path, Touch::Create, &ctx.who, found.as_ref().ok());
                    (fd, found?, writes)
                }
                // Somebody made it behind the mount since the kernel looked: it looks again, and opens what is there (and
                // truncates it, if asked to) as the changes that these are.
                Err(Errno::EXIST) if flags & EXCLUSIVE == 0 => return Err(Errno::STALE.into()),
                Err(e) => return Err(e.into()),
            }
        };
        let entry = self.enter(parent, name, &found);
        let ino = self.table().child(parent, name).unwrap_or(entry.attr.ino);
        Ok((entry, self.opened(ctx, ino, fd, writes, &found)))
    }

    pub(super) fn do_link(
        &self,
        ctx: &Ctx,
        ino: u64,
        parent: u64,
        name: &[u8],
    ) -> Result<Entry, Fault> {
        self.allowed(name)?;
        let _space = self.steady();
        let path = self.prepared_name(ctx, parent, name)?;
        let anchor = self.anchor(ino, None)?;
        let (dir, _, _) = self.dir(parent)?;
        // Through the handle, so that it is exactly that file; a symbolic link is linked itself.
        fs::linkat(
            fs::CWD,
            by_handle(anchor.as_fd()),
            &dir,
            name,
            AtFlags::SYMLINK_FOLLOW,
        )?;
        let found = self.root.stat(anchor.as_fd())?;
        self.report(&path, Touch::Create, &ctx.who, Some(&found));
        Ok(self.enter(parent, name, &found))
    }

    pub(super) fn do_unlink(
        &self,
        ctx: &Ctx,
        parent: u64,
        name: &[u8],
        directory: bool,
    ) -> Result<(), Fault> {
        self.visible(name)?;
        let _space = self.steady();
        let path = self.prepared_name(ctx, parent, name)?;
        let (dir, _, _) = self.dir(parent)?;
        let found = self.root.stat_at(dir.as_fd(), name)?;
        let flags = if directory {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        fs::unlinkat(&dir, name, flags)?;
        self.removed(ctx, parent, name, &found);
        self.report(&path, Touch::Remove, &ctx.who, None);
        Ok(())
    }

    /// `found` was removed or replaced as `name`: its node loses that name. A file that is open for writing has no path
    /// any more, or another one.
    fn removed(&self, ctx: &Ctx, parent: u64, name: &[u8], found: &Found) {
        let mut closed: Option<RepoPath> = None;
        let mut opened: Option<RepoPath> = None;
        {
            let mut table = self.table();
            let link = Link {
                parent,
                name: name.into(),
            };
            if let Some(ino) = table.child(parent, name) {
                let was_open = table
                    .get(ino)
                    .is_some_and(|n| n.open_name.as_ref() == Some(&link));
                if was_open {
                    closed = table.link_path(&link);
                }
                let same = table.get(ino).is_some_and(|n| n.id == found.id);
                if same && (found.attr.kind == FileKind::Dir || found.attr.nlink <= 1) {
                    let mut ghost = Self::numbered(ino, found);
                    ghost.nlink = 0;
                    table.gone(ino, Some(ghost));
                }
                table.unname(parent, name);
                if was_open && let Some(node) = table.get_mut(ino) {
                    node.open_name = node.links.first().cloned();
                    let next = node.open_name.clone();
                    opened = next.and_then(|l| table.link_path(&l));
                }
            }
        }
        if let Some(path) = closed {
            self.observer.closed_for_write(&path);
        }
        if let Some(path) = opened {
            self.observer.opened_for_write(&path, &ctx.who);
        }
    }

    pub(super) fn do_rename(
        &self,
        ctx: &Ctx,
        from: (u64, &[u8]),
        to: (u64, &[u8]),
        kind: RenameKind,
    ) -> Result<(), Fault> {
        self.visible(from.1)?;
        self.allowed(to.1)?;
        let _space = self.moving();
        let from_path = self.prepared_name(ctx, from.0, from.1)?;
        let to_path = self.prepared_name(ctx, to.0, to.1)?;
        let (from_dir, _, _) = self.dir(from.0)?;
        let (to_dir, _, _) = self.dir(to.0)?;
        let moved = self.root.stat_at(from_dir.as_fd(), from.1)?;
        let there = self.root.stat_at(to_dir.as_fd(), to.1).ok();
        let flags = match kind {
            RenameKind::Replace => RenameFlags::empty(),
            RenameKind::NoReplace => RenameFlags::NOREPLACE,
            RenameKind::Exchange => RenameFlags::EXCHANGE,
        };
        fs::renameat_with(&from_dir, from.1, &to_dir, to.1, flags)?;
        let same = there.is_some_and(|t| t.id == moved.id);
        if same {
            // Two names of one file: rename(2) does nothing, and neither did anything change.
            return Ok(());
        }
        let exchange = kind == RenameKind::Exchange;
        if exchange {
            let (a, b) = (link(from), link(to));
            self.table().exchanged(&a, &b);
        } else {
            if let Some(replaced) = &there {
                self.removed(ctx, to.0, to.1, replaced);
            }
            self.table().renamed(from.0, from.1, to.0, to.1);
        }
        let now = |dir: &OwnedFd, name: &[u8]| self.root.stat_at(dir.as_fd(), name).ok();
        self.note_own(&to_path, now(&to_dir, to.1).as_ref());
        let left = if exchange {
            now(&from_dir, from.1)
        } else {
            None
        };
        self.note_own(&from_path, left.as_ref());
        self.observer
            .renamed(&from_path, &to_path, exchange, &ctx.who);
        Ok(())
    }
}

/// O_EXCL as it comes in a CREATE request.
const EXCLUSIVE: i32 = OFlags::EXCL.bits().cast_signed();

fn link(at: (u64, &[u8])) -> Link {
    Link {
        parent: at.0,
        name: at.1.into(),
    }
}
