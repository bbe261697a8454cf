//! `live`: what only reads.

use std::os::fd::AsFd;

use rustix::buffer::spare_capacity;
use rustix::fs::{self, OFlags, SeekFrom};
use rustix::io::Errno;

use super::attr::{Attr, FileKind};
use super::dirs::Listing;
use super::inode::ROOT;
use super::live::LiveView;
use super::resolve::{by_handle, reopen};
use super::view::{DirItem, Entry, Space};

/// Longest value or list of extended attributes that Linux knows.
const XATTR_MAX: usize = 64 * 1024;

impl LiveView {
    pub(super) fn do_lookup(&self, parent: u64, name: &[u8]) -> Result<Option<Entry>, Errno> {
        if (self.hide)(name) {
            return Ok(None);
        }
        let (dir, _, _) = self.dir(parent)?;
        match self.root.stat_at(dir.as_fd(), name) {
            Ok(found) => Ok(Some(self.enter(parent, name, &found))),
            Err(Errno::NOENT) => {
                self.table().unname(parent, name);
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    pub(super) fn do_getattr(&self, ino: u64, fh: Option<u64>) -> Result<Attr, Errno> {
        let found = match self
            .anchor_to_ask(ino, fh)
            .and_then(|a| self.root.stat(a.as_fd()))
        {
            Ok(found) => found,
            Err(e) => return self.table().get(ino).and_then(|n| n.ghost).ok_or(e),
        };
        let attr = Self::numbered(ino, &found);
        self.told(ino, &attr);
        Ok(attr)
    }

    pub(super) fn do_readlink(&self, ino: u64) -> Result<Vec<u8>, Errno> {
        let anchor = self.anchor_to_ask(ino, None)?;
        Ok(fs::readlinkat(anchor.as_fd(), "", Vec::new())?.into_bytes())
    }

    pub(super) fn do_read(&self, fh: u64, offset: u64, size: usize) -> Result<Vec<u8>, Errno> {
        let handle = self.handles.get(fh).ok_or(Errno::BADF)?;
        let mut out: Vec<u8> = Vec::with_capacity(size);
        while out.len() < size {
            let at = offset + out.len() as u64;
            if retry(|| rustix::io::pread(&handle, spare_capacity(&mut out), at))? == 0 {
                break;
            }
        }
        // The allocation may have been larger than what was asked for.
        out.truncate(size);
        Ok(out)
    }

    pub(super) fn do_fsync(&self, fh: u64, data_only: bool) -> Result<(), Errno> {
        let handle = self.handles.get(fh).ok_or(Errno::BADF)?;
        if data_only {
            fs::fdatasync(&handle)
        } else {
            fs::fsync(&handle)
        }
    }

    pub(super) fn do_readdir(
        &self,
        ino: u64,
        offset: u64,
        plus: bool,
        put: &mut dyn FnMut(&DirItem<'_>) -> bool,
    ) -> Result<(), Errno> {
        let kept = if offset == 0 {
            None
        } else {
            self.listings().take(ino, offset)
        };
        let mut listing = match kept {
            Some(mut l) => {
                l.refresh(&self.root, offset)?;
                l
            }
            None => {
                let (dir, _, _) = self.dir(ino)?;
                let open = fs::openat(
                    &dir,
                    ".",
                    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
                    fs::Mode::empty(),
                )?;
                Listing::new(open, offset)?
            }
        };
        let mut reached = offset;
        while let Some(raw) = listing.peek(&self.root)?.cloned() {
            if (self.hide)(&raw.name) {
                reached = raw.next;
                listing.take();
                continue;
            }
            let dots = raw.name == b"." || raw.name == b"..";
            let found = if plus || raw.kind.is_none() {
                match self.root.stat_at(listing.fd(), &raw.name) {
                    Ok(f) => Some(f),
                    // Removed since the directory was read.
                    Err(Errno::NOENT) => {
                        listing.take();
                        continue;
                    }
                    Err(e) => return Err(e),
                }
            } else {
                None
            };
            let (number, entry) = match &found {
                // `..` of the root lies outside: it is shown as the root itself.
                Some(f) if dots => {
                    let attr = Self::numbered(ROOT, f);
                    (
                        attr.ino.max(1),
                        plus.then_some(Entry {
                            attr,
                            generation: 0,
                        }),
                    )
                }
                Some(f) if plus => {
                    let e = self.enter(ino, &raw.name, f);
                    (e.attr.ino, Some(e))
                }
                _ => (self.listed(ino, &raw.name, raw.ino), None),
            };
            let kind = found
                .map(|f| f.attr.kind)
                .or(raw.kind)
                .unwrap_or(FileKind::File);
            let room = put(&DirItem {
                name: &raw.name,
                ino: number,
                next: raw.next,
                kind,
                entry,
            });
            if !room {
                if let Some(e) = entry
                    && !dots
                {
                    self.table().forget(e.attr.ino, 1);
                }
                self.listings().keep(ino, reached, listing);
                return Ok(());
            }
            reached = raw.next;
            listing.take();
        }
        // At the end: a last, empty request follows, which need not open the directory again.
        if reached != offset {
            self.listings().keep(ino, reached, listing);
        }
        Ok(())
    }

    /// The number under which a listing without attributes shows a name: the node's where it is known, else the backing
    /// number, which it will most likely get.
    fn listed(&self, parent: u64, name: &[u8], backing: u64) -> u64 {
        self.table().child(parent, name).unwrap_or(backing).max(1)
    }

    pub(super) fn do_fsyncdir(&self, ino: u64, data_only: bool) -> Result<(), Errno> {
        let (dir, _, _) = match self.dir(ino) {
            // A directory that was removed while somebody has it open: nothing is left to be made durable.
            Err(Errno::NOENT | Errno::STALE) => return Ok(()),
            other => other?,
        };
        let open = reopen(dir.as_fd(), OFlags::RDONLY | OFlags::DIRECTORY)?;
        if data_only {
            fs::fdatasync(&open)
        } else {
            fs::fsync(&open)
        }
    }

    pub(super) fn do_statfs(&self, ino: u64) -> Result<Space, Errno> {
        // Another file system may be mounted below.
        let s = match self.anchor_to_ask(ino, None) {
            Ok(anchor) => fs::fstatvfs(anchor.as_fd())?,
            Err(_) => fs::fstatvfs(self.root.fd())?,
        };
        let short = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Ok(Space {
            blocks: s.f_blocks,
            bfree: s.f_bfree,
            bavail: s.f_bavail,
            files: s.f_files,
            ffree: s.f_ffree,
            bsize: short(s.f_bsize),
            namelen: short(s.f_namemax),
            frsize: short(s.f_frsize),
        })
    }

    pub(super) fn do_getxattr(&self, ino: u64, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let anchor = self.anchor_to_ask(ino, None)?;
        let path = by_handle(anchor.as_fd());
        let mut value = Vec::with_capacity(256);
        match fs::getxattr(path.as_str(), name, spare_capacity(&mut value)) {
            Err(Errno::RANGE) => {
                value = Vec::with_capacity(XATTR_MAX);
                fs::getxattr(path.as_str(), name, spare_capacity(&mut value))?;
            }
            other => {
                other?;
            }
        }
        Ok(value)
    }

    pub(super) fn do_listxattr(&self, ino: u64) -> Result<Vec<u8>, Errno> {
        let anchor = self.anchor_to_ask(ino, None)?;
        let mut list = Vec::with_capacity(XATTR_MAX);
        fs::listxattr(by_handle(anchor.as_fd()), spare_capacity(&mut list))?;
        Ok(list)
    }

    pub(super) fn do_lseek(&self, fh: u64, offset: i64, whence: i32) -> Result<i64, Errno> {
        const DATA: i32 = 3;
        const HOLE: i32 = 4;
        let handle = self.handles.get(fh).ok_or(Errno::BADF)?;
        let at = u64::try_from(offset).map_err(|_| Errno::NXIO)?;
        let to = match whence {
            DATA => SeekFrom::Data(at),
            HOLE => SeekFrom::Hole(at),
            _ => return Err(Errno::INVAL),
        };
        i64::try_from(fs::seek(&handle, to)?).map_err(|_| Errno::OVERFLOW)
    }
}

/// Repeats what a signal interrupted.
pub(super) fn retry<T>(mut f: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match f() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
