//! A branch view as a [`View`]: one line an operation.

use std::sync::Arc;

use rustix::io::Errno;

use super::super::attr::Attr;
use super::super::gate::Gate;
use super::super::inode::ROOT;
use super::super::mount::Served;
use super::super::view::{
    CopyRange, Ctx, DirItem, Entry, Fault, Opened, RenameKind, SetAttr, Space, Special, Target,
    View, WriteAt, Written,
};
use super::view::BranchView;
use crate::model::{RepoPath, Touch, Writer};

type Res<T> = Result<T, Errno>;
type Done<T> = Result<T, Fault>;

impl Served for BranchView {
    fn check(&self) -> std::io::Result<()> {
        self.do_getattr(ROOT)?;
        Ok(())
    }
    fn known(&self, path: &RepoPath) -> (Option<u64>, Option<u64>) {
        Self::known(self, path)
    }
    fn is_known_dir(&self, path: &RepoPath) -> bool {
        self.known(path).0.is_some_and(|id| self.is_dir(id))
    }
    fn distrust(&self, ino: u64) {
        Self::distrust(self, ino);
    }
    /// Names change only through the view.
    fn recheck(&self, _path: &RepoPath) {}
}

impl View for BranchView {
    fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }
    fn prepare(&self, targets: &[(Target, Touch)]) -> Vec<RepoPath> {
        self.prepare_all(targets)
    }
    fn wants_reads(&self) -> bool {
        self.observer.wants_reads()
    }
    fn note_read(&self, ino: u64, who: &Writer) {
        let path = self.nodes().paths(ino).into_iter().next();
        if let Some(path) = path {
            self.observer.opened_for_read(&path, who);
        }
    }
    fn lookup(&self, parent: u64, name: &[u8]) -> Res<Option<Entry>> {
        self.do_lookup(parent, name)
    }
    fn forget(&self, ino: u64, count: u64) {
        self.do_forget(ino, count);
    }
    fn getattr(&self, ino: u64, _fh: Option<u64>) -> Res<Attr> {
        self.do_getattr(ino)
    }
    fn readlink(&self, ino: u64) -> Res<Vec<u8>> {
        self.do_readlink(ino)
    }
    fn open(&self, ctx: &Ctx, ino: u64, flags: i32) -> Done<Opened> {
        self.do_open(ctx, ino, flags)
    }
    fn read(&self, fh: u64, offset: u64, size: usize) -> Res<Vec<u8>> {
        self.do_read(fh, offset, size)
    }
    fn release(&self, fh: u64) {
        self.do_release(fh);
    }
    fn fsync(&self, fh: u64, data_only: bool) -> Res<()> {
        self.do_fsync(fh, data_only)
    }
    fn readdir(
        &self,
        ino: u64,
        offset: u64,
        plus: bool,
        put: &mut dyn FnMut(&DirItem<'_>) -> bool,
    ) -> Res<()> {
        self.do_readdir(ino, offset, plus, put)
    }
    fn fsyncdir(&self, _ino: u64, _data_only: bool) -> Res<()> {
        self.do_fsyncdir()
    }
    fn statfs(&self, _ino: u64) -> Res<Space> {
        self.do_statfs()
    }
    fn getxattr(&self, ino: u64, name: &[u8]) -> Res<Vec<u8>> {
        self.do_getxattr(ino, name)
    }
    fn listxattr(&self, ino: u64) -> Res<Vec<u8>> {
        self.do_listxattr(ino)
    }
    fn lseek(&self, fh: u64, offset: i64, whence: i32) -> Res<i64> {
        self.do_lseek(fh, offset, whence)
    }

    fn setattr(&self, ctx: &Ctx, ino: u64, set: &SetAttr) -> Done<Attr> {
        self.do_setattr(ctx, ino, set)
    }
    fn mknod(&self, ctx: &Ctx, parent: u64, name: &[u8], mode: u32, kind: Special) -> Done<Entry> {
        self.do_mknod(ctx, parent, name, mode, kind)
    }
    fn mkdir(&self, ctx: &Ctx, parent: u64, name: &[u8], mode: u32) -> Done<Entry> {
        self.do_mkdir(ctx, parent, name, mode)
    }
    fn unlink(&self, ctx: &Ctx, parent: u64, name: &[u8]) -> Done<()> {
        self.do_unlink(ctx, parent, name, false)
    }
    fn rmdir(&self, ctx: &Ctx, parent: u64, name: &[u8]) -> Done<()> {
        self.do_unlink(ctx, parent, name, true)
    }
    fn symlink(&self, ctx: &Ctx, parent: u64, name: &[u8], target: &[u8]) -> Done<Entry> {
        self.do_symlink(ctx, parent, name, target)
    }
    fn rename(
        &self,
        ctx: &Ctx,
        from: (u64, &[u8]),
        to: (u64, &[u8]),
        kind: RenameKind,
    ) -> Done<()> {
        self.do_rename(ctx, from, to, kind)
    }
    fn link(&self, ctx: &Ctx, ino: u64, parent: u64, name: &[u8]) -> Done<Entry> {
        self.do_link(ctx, ino, parent, name)
    }
    fn create(
        &self,
        ctx: &Ctx,
        parent: u64,
        name: &[u8],
        mode: u32,
        flags: i32,
    ) -> Done<(Entry, Opened)> {
        self.do_create(ctx, parent, name, mode, flags)
    }
    fn write(&self, ctx: &Ctx, ino: u64, fh: u64, what: &WriteAt<'_>) -> Done<Written> {
        self.do_write(ctx, ino, fh, what)
    }
    fn fallocate(
        &self,
        ctx: &Ctx,
        ino: u64,
        _fh: u64,
        offset: u64,
        len: u64,
        mode: i32,
    ) -> Done<()> {
        self.do_fallocate(ctx, ino, offset, len, mode)
    }
    fn copy_file_range(&self, ctx: &Ctx, what: &CopyRange) -> Done<usize> {
        self.do_copy(ctx, what)
    }
    fn setxattr(&self, ctx: &Ctx, ino: u64, name: &[u8], value: &[u8], flags: i32) -> Done<()> {
        self.do_setxattr(ctx, ino, name, value, flags)
    }
    fn removexattr(&self, ctx: &Ctx, ino: u64, name: &[u8]) -> Done<()> {
        self.do_removexattr(ctx, ino, name)
    }
}
