//! What a branch view shows where nothing was changed: the tree of the commit that was forked, the project's real
//! directory for what capture leaves out, and the project's repository for git's objects.
//!
//! Nothing here is ever written but the cache of contents. Every question about a real directory goes through its handle
//! ([`Root`]): no link is followed out of it. What is gone there is not an error; it is not there.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};

use rustix::fs::{self, AtFlags, Mode, OFlags, RawDir};
use rustix::io::Errno;

use super::super::attr::{Attr, FileKind, Found, Stamp, When};
use super::super::resolve::Root;
use super::content::Contents;
use super::table::{Facts, Layer, Origin};
use super::times::Times;
use crate::capture::restore::is_staging_name;
use crate::model::{self, BlobId, CommitId, Kind, RepoPath, TreeId};
use crate::store::Store;

/// Decides what capture leaves out: path, whether it is a directory, size of a file.
pub type LeftOut = Arc<dyn Fn(&RepoPath, bool, u64) -> bool + Send + Sync>;

/// A directory's size as it is shown.
const DIR_SIZE: u64 = 4096;

/// Content that was not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lower {
    /// None: made in the branch.
    None,
    Blob {
        id: BlobId,
        size: u64,
    },
    Link(Vec<u8>),
    /// A directory of the forked tree.
    Dir(TreeId),
    /// Something in a real directory.
    Real,
    /// A pipe, socket or device of the forked tree; it has no content.
    Special,
}

/// Something in a layer.
#[derive(Debug, Clone)]
pub(crate) struct Below {
    pub origin: Origin,
    pub facts: Facts,
    pub lower: Lower,
    /// Which file of a real directory it is; 0 elsewhere.
    pub which: u64,
}

pub(crate) struct Layers {
    pub store: Arc<Store>,
    pub base: TreeId,
    /// The commit that was forked, for the times of its files.
    pub commit: Option<CommitId>,
    /// What the project held when the branch was made. A file that was another one there has the time of the fork: what
    /// was built in the project was built from that other one.
    pub present: Option<TreeId>,
    pub project: Root,
    /// The repositories to read objects from, the branch's own pins first.
    pub git: Vec<Root>,
    /// Files that the branch keeps and never writes.
    pub kept: Root,
    pub left_out: LeftOut,
    pub contents: Contents,
    /// When the branch was made.
    pub created: When,
    pub uid: u32,
    pub gid: u32,
    pub times: Mutex<Times>,
}

pub(super) fn path(bytes: &[u8]) -> Result<RepoPath, Errno> {
    RepoPath::new(bytes).map_err(|_| Errno::INVAL)
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut p = dir.to_vec();
    if !p.is_empty() {
        p.push(b'/');
    }
    p.extend_from_slice(name);
    p
}

/// Whether nothing is there, whatever the reason.
fn absent(e: Errno) -> bool {
    matches!(
        e,
        Errno::NOENT | Errno::STALE | Errno::NOTDIR | Errno::ACCESS | Errno::NAMETOOLONG
    )
}

/// The store cannot give what it should have.
pub(crate) fn damaged(e: &crate::store::Error) -> Errno {
    tracing::error!("a branch cannot read the store: {e}");
    Errno::IO
}

impl Layers {
    fn roots(&self, layer: Layer) -> &[Root] {
        match layer {
            Layer::Tree | Layer::Project => std::slice::from_ref(&self.project),
            Layer::Git => &self.git,
            Layer::Kept => std::slice::from_ref(&self.kept),
        }
    }

    /// What lies as `name` in the directory `origin`.
    pub fn child(
        &self,
        origin: &Origin,
        lower: &Lower,
        name: &[u8],
    ) -> Result<Option<Below>, Errno> {
        let at = join(&origin.path, name);
        if let Lower::Dir(tree) = lower {
            if origin.path.is_empty() && name == b".git" {
                return Ok(None);
            }
            let tree = self.store.tree(*tree).map_err(|e| damaged(&e))?;
            if let Some(entry) = tree.get(name) {
                return Ok(Some(self.of_entry(at, entry)));
            }
            return Ok(self
                .real(Layer::Project, at)?
                .filter(|b| !is_staging_name(name) && self.shows_through(b)));
        }
        if !shown(origin.layer, name) {
            return Ok(None);
        }
        self.real(origin.layer, at)
    }

    /// Whether capture leaves this out, so that the project's own is shown.
    fn shows_through(&self, found: &Below) -> bool {
        let Ok(path) = path(&found.origin.path) else {
            return false;
        };
        let dir = found.facts.kind == FileKind::Dir;
        let size = self
            .real_stat(&found.origin)
            .map_or(0, |found| found.attr.size);
        (self.left_out)(&path, dir, size)
    }

    /// What lies at `origin`, found again.
    pub fn at(&self, origin: &Origin) -> Result<Option<Below>, Errno> {
        if origin.layer != Layer::Tree {
            return self.real(origin.layer, origin.path.clone());
        }
        let mut entry = model::Entry {
            name: Vec::new(),
            mode: 0o755,
            kind: Kind::Dir(self.base),
        };
        for name in path(&origin.path)?.parts() {
            let Some(tree) = entry.kind.tree() else {
                return Ok(None);
            };
            let tree = self.store.tree(tree).map_err(|e| damaged(&e))?;
            match tree.get(name) {
                Some(e) => entry = e.clone(),
                None => return Ok(None),
            }
        }
        Ok(Some(self.of_entry(origin.path.clone(), &entry)))
    }

    fn of_entry(&self, at: Vec<u8>, entry: &model::Entry) -> Below {
        let mut rdev = (0, 0);
        let (kind, lower) = match &entry.kind {
            Kind::File { blob, size } => (
                FileKind::File,
                Lower::Blob {
                    id: *blob,
                    size: *size,
                },
            ),
            Kind::Dir(tree) => (FileKind::Dir, Lower::Dir(*tree)),
            Kind::Symlink(target) => (FileKind::Symlink, Lower::Link(target.clone())),
            Kind::Fifo => (FileKind::Fifo, Lower::Special),
            Kind::Socket => (FileKind::Socket, Lower::Special),
            Kind::Device { block, rdev: dev } => {
                rdev = (fs::major(*dev), fs::minor(*dev));
                let kind = if *block {
                    FileKind::Block
                } else {
                    FileKind::Char
                };
                (kind, Lower::Special)
            }
            // Its content was never seen: an empty file says at least that it is there.
            Kind::Unknown { .. } => (FileKind::File, Lower::Special),
        };
        Below {
            origin: Origin {
                layer: Layer::Tree,
                path: at,
            },
            facts: Facts {
                kind,
                mode: entry.mode & 0o7777,
                uid: self.uid,
                gid: self.gid,
                rdev,
            },
            lower,
            which: 0,
        }
    }

    fn real(&self, layer: Layer, at: Vec<u8>) -> Result<Option<Below>, Errno> {
        let origin = Origin { layer, path: at };
        let found = match self.real_stat(&origin) {
            Ok(found) => found,
            Err(e) if absent(e) => return Ok(None),
            Err(e) => return Err(e),
        };
        Ok(Some(Below {
            origin,
            facts: Facts {
                kind: found.attr.kind,
                mode: found.attr.perm,
                uid: found.attr.uid,
                gid: found.attr.gid,
                rdev: found.attr.rdev,
            },
            lower: Lower::Real,
            which: which(&found),
        }))
    }

    /// What the real file behind `origin` is now.
    pub fn real_stat(&self, origin: &Origin) -> Result<Found, Errno> {
        let path = path(&origin.path)?;
        let mut error = Errno::NOENT;
        for root in self.roots(origin.layer) {
            match root.anchor(&path).and_then(|fd| root.stat(fd.as_fd())) {
                Ok(found) => return Ok(found),
                Err(e) => error = e,
            }
        }
        Err(error)
    }

    /// A handle on the real file behind `origin`.
    pub fn anchor(&self, origin: &Origin) -> Result<OwnedFd, Errno> {
        let path = path(&origin.path)?;
        let mut error = Errno::NOENT;
        for root in self.roots(origin.layer) {
            match root.anchor(&path) {
                Ok(fd) => return Ok(fd),
                Err(e) => error = e,
            }
        }
        Err(error)
    }

    /// The names in the directory `origin`, without `.` and `..`.
    pub fn list(&self, origin: &Origin, lower: &Lower) -> Result<Vec<Below>, Errno> {
        let Lower::Dir(tree) = lower else {
            let mut out = Vec::new();
            for name in self.real_names(origin)? {
                if shown(origin.layer, &name)
                    && let Some(b) = self.real(origin.layer, join(&origin.path, &name))?
                {
                    out.push(b);
                }
            }
            return Ok(out);
        };
        let tree = self.store.tree(*tree).map_err(|e| damaged(&e))?;
        let top = origin.path.is_empty();
        let mut out: Vec<Below> = tree
            .entries
            .iter()
            .filter(|e| !(top && e.name == b".git"))
            .map(|e| self.of_entry(join(&origin.path, &e.name), e))
            .collect();
        for name in self.real_names(origin)? {
            let git = top && name == b".git";
            if git || is_staging_name(&name) || tree.get(&name).is_some() {
                continue;
            }
            if let Some(b) = self.real(Layer::Project, join(&origin.path, &name))?
                && self.shows_through(&b)
            {
                out.push(b);
            }
        }
        Ok(out)
    }

    fn real_names(&self, origin: &Origin) -> Result<Vec<Vec<u8>>, Errno> {
        let path = path(&origin.path)?;
        let mut names: Vec<Vec<u8>> = Vec::new();
        for root in self.roots(origin.layer) {
            let open = root.dir(&path).and_then(|dir| {
                fs::openat(
                    &dir,
                    ".",
                    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
                    Mode::empty(),
                )
            });
            let dir = match open {
                Ok(dir) => dir,
                Err(e) if absent(e) => continue,
                Err(e) => return Err(e),
            };
            let mut buffer = Vec::with_capacity(32 * 1024);
            let mut entries = RawDir::new(&dir, buffer.spare_capacity_mut());
            while let Some(entry) = entries.next() {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if name != b"." && name != b".." {
                    names.push(name.to_vec());
                }
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The attributes of what was not changed. `ino` and `nlink` are left to the caller.
    /// `wanted`: which real file it must be; 0 takes the one that is there.
    pub fn attr(
        &self,
        origin: &Origin,
        lower: &Lower,
        facts: &Facts,
        wanted: u64,
    ) -> Result<Attr, Errno> {
        if *lower == Lower::Real {
            let found = self.real_stat(origin)?;
            let mut attr = found.attr;
            if attr.kind != facts.kind || (wanted != 0 && which(&found) != wanted) {
                return Err(Errno::STALE);
            }
            attr.perm = facts.mode;
            attr.uid = facts.uid;
            attr.gid = facts.gid;
            return Ok(attr);
        }
        let size = match lower {
            Lower::Blob { size, .. } => *size,
            Lower::Link(target) => target.len() as u64,
            Lower::Dir(_) => DIR_SIZE,
            Lower::None | Lower::Real | Lower::Special => 0,
        };
        let mtime = self.time(origin, lower);
        Ok(shape(facts, size, mtime, self.created))
    }

    /// Opens unchanged content for reading.
    ///
    /// `wanted`: which real file it must be; 0 takes the one that is there.
    pub fn open(&self, origin: &Origin, lower: &Lower, wanted: u64) -> Result<File, Errno> {
        match lower {
            Lower::Blob { id, size } => self.contents.open(&self.store, *id, *size),
            Lower::Real => {
                let path = path(&origin.path)?;
                let mut error = Errno::NOENT;
                for root in self.roots(origin.layer) {
                    match root.open_file(&path, OFlags::RDONLY) {
                        Ok(fd) => {
                            let found = root.stat(fd.as_fd())?;
                            if found.attr.kind != FileKind::File
                                || (wanted != 0 && which(&found) != wanted)
                            {
                                return Err(Errno::STALE);
                            }
                            return Ok(fd.into());
                        }
                        Err(e) => error = e,
                    }
                }
                Err(error)
            }
            Lower::Special => self.contents.empty(),
            Lower::None | Lower::Link(_) | Lower::Dir(_) => Err(Errno::INVAL),
        }
    }

    /// The target of an unchanged link.
    pub fn readlink(&self, origin: &Origin, lower: &Lower) -> Result<Vec<u8>, Errno> {
        match lower {
            Lower::Link(target) => Ok(target.clone()),
            Lower::Real => {
                let path = path(&origin.path)?;
                let mut error = Errno::NOENT;
                for root in self.roots(origin.layer) {
                    let read = root
                        .anchor(&path)
                        .and_then(|fd| fs::readlinkat(&fd, "", Vec::new()));
                    match read {
                        Ok(target) => return Ok(target.into_bytes()),
                        Err(e) => error = e,
                    }
                }
                Err(error)
            }
            _ => Err(Errno::INVAL),
        }
    }

    /// The stamp of the project's own file, where that is what shows through.
    pub fn stamp(&self, origin: &Origin) -> Option<Stamp> {
        if origin.layer != Layer::Project {
            return None;
        }
        Some(self.real_stat(origin).ok()?.attr.stamp())
    }
}

/// Tells a real file from another one that takes its name later.
fn which(found: &Found) -> u64 {
    let born = found.id.born.map_or(0, When::nanoseconds).cast_unsigned();
    (found.id.ino ^ born.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1
}

/// What of a real directory is shown: never somebody's locks in a repository.
fn shown(layer: Layer, name: &[u8]) -> bool {
    match layer {
        Layer::Git => !name.ends_with(b".lock"),
        Layer::Tree | Layer::Project => !is_staging_name(name),
        Layer::Kept => true,
    }
}

/// Attributes of something that has no inode of its own.
pub(crate) fn shape(facts: &Facts, size: u64, mtime: When, ctime: When) -> Attr {
    Attr {
        ino: 0,
        kind: facts.kind,
        perm: facts.mode & 0o7777,
        nlink: 1,
        uid: facts.uid,
        gid: facts.gid,
        rdev: facts.rdev,
        size,
        blocks: size.div_ceil(512),
        blksize: 4096,
        atime: mtime,
        mtime,
        ctime,
    }
}

/// Whether a path below a handle is there at all.
pub(crate) fn exists(dir: impl AsFd, name: &str) -> bool {
    fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}
