//! A branch view: what only reads.
//!
//! A listing is in the order of hashes of the names, and a place in it is the hash of the last name: it stays right
//! whatever is made or removed meanwhile, on whichever opening of the directory.

use std::os::fd::AsFd;
use std::sync::{Arc, PoisonError};

use rustix::buffer::spare_capacity;
use rustix::fs::{self, SeekFrom};
use rustix::io::Errno;

use super::super::attr::{Attr, FileKind};
use super::super::inode::ROOT;
use super::super::live_read::retry;
use super::super::resolve::by_handle;
use super::super::view::{DirItem, Entry, Space};
use super::nodes::{Nodes, Slot};
use super::view::{BranchView, LISTINGS_KEPT, Listed};

/// Longest value or list of extended attributes that Linux knows.
const XATTR_MAX: usize = 64 * 1024;
/// Places of `.` and `..`; names come after.
const DOTS: [&[u8]; 2] = [b".", b".."];

/// Where a name stands in a listing.
fn place(name: &[u8]) -> u64 {
    let hash = blake3::hash(name);
    let head = hash.as_bytes().first_chunk::<8>();
    // Positive as a signed number, and after the dots.
    (head.map_or(0, |b| u64::from_le_bytes(*b)) >> 2) | 8
}

impl BranchView {
    pub(super) fn do_lookup(&self, dir: u64, name: &[u8]) -> Result<Option<Entry>, Errno> {
        let mut nodes = self.nodes();
        match self.child(&mut nodes, dir, name)? {
            Some(id) => match self.enter(&mut nodes, id) {
                Ok(e) => Ok(Some(e)),
                Err(Errno::NOENT) => Ok(None),
                Err(e) => Err(e),
            },
            None => Ok(None),
        }
    }

    pub(super) fn do_forget(&self, id: u64, count: u64) {
        let mut nodes = self.nodes();
        if let Ok(node) = nodes.get_mut(id) {
            node.lookups = node.lookups.saturating_sub(count);
        }
        self.reap(&mut nodes, id);
    }

    pub(super) fn do_getattr(&self, id: u64) -> Result<Attr, Errno> {
        let mut nodes = self.nodes();
        let mut attr = self.attr(&nodes, id);
        // What showed through was taken away in the project while somebody has it open here.
        if let (Err(_), Ok(node)) = (&attr, nodes.get(id))
            && let Some(file) = &node.open
        {
            attr = self.layers.kept.stat(file.as_fd()).map(|f| Attr {
                ino: id,
                nlink: 0,
                ..f.attr
            });
        }
        let attr = attr?;
        nodes.get_mut(id)?.sent = Some(attr.stamp());
        Ok(attr)
    }

    pub(super) fn do_readlink(&self, id: u64) -> Result<Vec<u8>, Errno> {
        let (origin, lower) = {
            let nodes = self.nodes();
            let node = nodes.get(id)?;
            if node.facts.kind != FileKind::Symlink {
                return Err(Errno::INVAL);
            }
            if node.upper {
                None
            } else {
                node.origin.clone().map(|o| (o, node.lower.clone()))
            }
            .map_or((None, None), |(o, l)| (Some(o), Some(l)))
        };
        if let (Some(origin), Some(lower)) = (origin, lower) {
            return self.layers.readlink(&origin, &lower);
        }
        let file = self.open_upper(id)?;
        let mut target = Vec::with_capacity(4096);
        while retry(|| rustix::io::read(&file, spare_capacity(&mut target)))? > 0 {}
        Ok(target)
    }

    pub(super) fn do_read(&self, fh: u64, offset: u64, size: usize) -> Result<Vec<u8>, Errno> {
        let file = self.backing(self.handle(fh)?.ino)?;
        let mut out: Vec<u8> = Vec::with_capacity(size);
        while out.len() < size {
            let at = offset + out.len() as u64;
            if retry(|| rustix::io::pread(&*file, spare_capacity(&mut out), at))? == 0 {
                break;
            }
        }
        out.truncate(size);
        Ok(out)
    }

    pub(super) fn do_fsync(&self, fh: u64, data_only: bool) -> Result<(), Errno> {
        let file = self.backing(self.handle(fh)?.ino)?;
        if data_only {
            fs::fdatasync(&*file)?;
        } else {
            fs::fsync(&*file)?;
        }
        self.sync_table()
    }

    /// Makes names durable: whoever syncs a file expects to find it.
    fn sync_table(&self) -> Result<(), Errno> {
        let table = self
            .table()
            .handle()
            .map_err(|e| super::content::errno(&e))?;
        fs::fdatasync(&table)?;
        fs::fsync(&self.upper)
    }

    pub(super) fn do_fsyncdir(&self) -> Result<(), Errno> {
        self.sync_table()
    }

    /// Everything in `dir`, in the order of listings.
    pub(super) fn listing(&self, nodes: &Nodes, dir: u64) -> Result<Arc<Vec<Listed>>, Errno> {
        Self::a_dir(nodes, dir)?;
        let node = nodes.get(dir)?;
        let mut all: Vec<Listed> = Vec::new();
        if let Some(origin) = &node.origin {
            for found in self.layers.list(origin, &node.lower)? {
                let name = found
                    .origin
                    .path
                    .rsplit(|b| *b == b'/')
                    .next()
                    .unwrap_or_default();
                if matches!(nodes.slot(dir, name), Some(Slot::Named(_) | Slot::Hidden)) {
                    continue;
                }
                all.push(Listed {
                    at: place(name),
                    ino: nodes.number(&found.origin, found.facts.kind, found.which),
                    kind: found.facts.kind,
                    name: name.into(),
                });
            }
        }
        for (name, slot) in nodes.slots(dir) {
            if let Slot::Named(id) = slot
                && let Ok(node) = nodes.get(id)
            {
                all.push(Listed {
                    at: place(name),
                    name: name.into(),
                    ino: id,
                    kind: node.facts.kind,
                });
            }
        }
        all.sort_by(|a, b| (a.at, &a.name).cmp(&(b.at, &b.name)));
        Ok(Arc::new(all))
    }

    pub(super) fn listed_names(&self, dir: u64) -> Result<Vec<Vec<u8>>, Errno> {
        let all = self.listing(&self.nodes(), dir)?;
        Ok(all.iter().map(|l| l.name.to_vec()).collect())
    }

    pub(super) fn do_readdir(
        &self,
        dir: u64,
        offset: u64,
        plus: bool,
        put: &mut dyn FnMut(&DirItem<'_>) -> bool,
    ) -> Result<(), Errno> {
        let kept = {
            let mut kept = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
            if offset == 0 {
                // A new listing: what shows through may have changed.
                kept.retain(|(d, _)| *d != dir);
            }
            kept.iter()
                .find(|(d, _)| *d == dir)
                .map(|(_, l)| Arc::clone(l))
        };
        let all = match kept {
            Some(all) => all,
            None => {
                let all = self.listing(&self.nodes(), dir)?;
                let mut kept = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() >= LISTINGS_KEPT {
                    kept.pop_front();
                }
                kept.push_back((dir, Arc::clone(&all)));
                all
            }
        };
        for (n, name) in (1..).zip(DOTS) {
            if offset < n && !self.put_dots(dir, name, n, plus, put) {
                return Ok(());
            }
        }
        let from = all.partition_point(|l| l.at <= offset);
        for item in all.get(from..).unwrap_or_default() {
            let entry = if plus {
                // Removed since the listing was made.
                let Some(entry) = self.do_lookup(dir, &item.name)? else {
                    continue;
                };
                Some(entry)
            } else {
                None
            };
            let room = put(&DirItem {
                name: &item.name,
                ino: entry.map_or(item.ino, |e| e.attr.ino),
                next: item.at,
                kind: entry.map_or(item.kind, |e| e.attr.kind),
                entry,
            });
            if !room {
                if let Some(e) = entry {
                    self.do_forget(e.attr.ino, 1);
                }
                return Ok(());
            }
        }
        Ok(())
    }

    fn put_dots(
        &self,
        dir: u64,
        name: &[u8],
        next: u64,
        plus: bool,
        put: &mut dyn FnMut(&DirItem<'_>) -> bool,
    ) -> bool {
        let nodes = self.nodes();
        let up = nodes
            .get(dir)
            .ok()
            .and_then(|n| n.names.first().map(|l| l.dir))
            .unwrap_or(ROOT);
        let ino = if name == b"." { dir } else { up };
        let entry = if plus {
            self.attr(&nodes, ino).ok().map(|attr| Entry {
                attr,
                generation: 0,
            })
        } else {
            None
        };
        drop(nodes);
        put(&DirItem {
            name,
            ino,
            next,
            kind: FileKind::Dir,
            entry,
        })
    }

    pub(super) fn do_statfs(&self) -> Result<Space, Errno> {
        let s = fs::fstatvfs(&self.upper)?;
        let short = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Ok(Space {
            blocks: s.f_blocks,
            bfree: s.f_bfree,
            bavail: s.f_bavail,
            files: s.f_files,
            ffree: s.f_ffree,
            bsize: short(s.f_bsize),
            namelen: 255,
            frsize: short(s.f_frsize),
        })
    }

    /// The file whose extended attributes are a node's: its own, or what shows through.
    fn xattr_path(&self, id: u64) -> Result<Option<(String, std::os::fd::OwnedFd)>, Errno> {
        let origin = {
            let nodes = self.nodes();
            let node = nodes.get(id)?;
            if node.upper {
                drop(nodes);
                let file = self.open_upper(id)?;
                return Ok(Some((by_handle(file.as_fd()), file.into())));
            }
            node.origin
                .clone()
                .filter(|_| node.lower == super::layers::Lower::Real)
        };
        let Some(origin) = origin else {
            return Ok(None);
        };
        let fd = self.layers.anchor(&origin)?;
        Ok(Some((by_handle(fd.as_fd()), fd)))
    }

    pub(super) fn do_getxattr(&self, id: u64, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let Some((path, _fd)) = self.xattr_path(id)? else {
            return Err(Errno::NODATA);
        };
        let mut value = Vec::with_capacity(XATTR_MAX);
        fs::getxattr(path.as_str(), name, spare_capacity(&mut value))?;
        Ok(value)
    }

    pub(super) fn do_listxattr(&self, id: u64) -> Result<Vec<u8>, Errno> {
        let Some((path, _fd)) = self.xattr_path(id)? else {
            return Ok(Vec::new());
        };
        let mut list = Vec::with_capacity(XATTR_MAX);
        fs::listxattr(path.as_str(), spare_capacity(&mut list))?;
        Ok(list)
    }

    pub(super) fn do_lseek(&self, fh: u64, offset: i64, whence: i32) -> Result<i64, Errno> {
        const DATA: i32 = 3;
        const HOLE: i32 = 4;
        let id = self.handle(fh)?.ino;
        let at = u64::try_from(offset).map_err(|_| Errno::NXIO)?;
        let to = match whence {
            DATA => SeekFrom::Data(at),
            HOLE => SeekFrom::Hole(at),
            _ => return Err(Errno::INVAL),
        };
        let file = self.backing(id)?;
        i64::try_from(fs::seek(&*file, to)?).map_err(|_| Errno::OVERFLOW)
    }
}
