//! The present state of a branch as a tree in the store.
//!
//! Costs what was changed: a directory in which nothing was set is the tree that was forked, and content that was not
//! written since it was last looked at is not read again. What capture leaves out is left out.

use std::sync::PoisonError;

use rustix::fs::makedev;
use rustix::io::Errno;

use super::super::attr::{FileKind, Stamp};
use super::super::inode::ROOT;
use super::layers::{Lower, damaged};
use super::nodes::Slot;
use super::table::{Facts, Layer};
use super::view::BranchView;
use crate::model::{Entry, Kind, RepoPath, Tree, TreeId};

/// A node as it is put into a tree.
struct Seen {
    facts: Facts,
    lower: Lower,
    upper: bool,
    /// Its path in the forked tree; empty if it is not of there.
    was: Vec<u8>,
    size: u64,
    stamp: Stamp,
}

impl BranchView {
    /// Stores what the branch holds now and returns its tree. To be called with nothing in flight (between
    /// [`Gate::close`](super::super::Gate::close) and opening it) when the state must be of one moment.
    pub fn seal(&self) -> Result<TreeId, Errno> {
        self.seal_dir(ROOT, &RepoPath::root())
    }

    fn seal_dir(&self, dir: u64, at: &RepoPath) -> Result<TreeId, Errno> {
        let store = &self.layers.store;
        let (lower, real, slots) = {
            let nodes = self.nodes();
            let node = nodes.get(dir)?;
            let real = node.lower == Lower::Real;
            if let Lower::Dir(tree) = node.lower
                && !nodes.touched(dir)
            {
                return Ok(tree);
            }
            let slots: Vec<(Vec<u8>, Slot)> = nodes
                .slots(dir)
                .filter(|(_, s)| !matches!(s, Slot::Seen(_)))
                .map(|(n, s)| (n.to_vec(), s))
                .collect();
            (node.lower.clone(), real, slots)
        };
        let mut tree = match lower {
            Lower::Dir(id) => (*store.tree(id).map_err(|e| damaged(&e))?).clone(),
            _ => Tree::default(),
        };
        let mut slots = slots;
        if real {
            // A left-out directory that was renamed to a name that is captured.
            for name in self.listed_names(dir)? {
                let id = self.child(&mut self.nodes(), dir, &name)?;
                if let Some(id) = id
                    && !slots.iter().any(|(n, _)| *n == name)
                {
                    slots.push((name, Slot::Named(id)));
                }
            }
        }
        for (name, slot) in slots {
            tree.remove(&name);
            if dir == ROOT && name == b".git" {
                continue;
            }
            let Slot::Named(id) = slot else { continue };
            let path = at.join(&name).map_err(|_| Errno::INVAL)?;
            if let Some(entry) = self.seal_node(id, name, &path)? {
                tree.set(entry);
            }
        }
        store.put_tree(&tree).map_err(|e| damaged(&e))
    }

    fn seal_node(&self, id: u64, name: Vec<u8>, path: &RepoPath) -> Result<Option<Entry>, Errno> {
        let seen = {
            let nodes = self.nodes();
            let attr = match self.attr(&nodes, id) {
                // What showed through is gone.
                Err(Errno::NOENT | Errno::STALE) => return Ok(None),
                other => other?,
            };
            let node = nodes.get(id)?;
            Seen {
                facts: node.facts,
                lower: node.lower.clone(),
                upper: node.upper,
                was: node
                    .origin
                    .as_ref()
                    .filter(|o| o.layer == Layer::Tree)
                    .map_or_else(Vec::new, |o| o.path.clone()),
                size: attr.size,
                stamp: attr.stamp(),
            }
        };
        let is_dir = seen.facts.kind == FileKind::Dir;
        // What git tracks in a left-out place was captured there, and stays so.
        let captured = seen.was == path.as_bytes();
        if !captured && (self.layers.left_out)(path, is_dir, seen.size) {
            return Ok(None);
        }
        let device = |block| Kind::Device {
            block,
            rdev: makedev(seen.facts.rdev.0, seen.facts.rdev.1),
        };
        let kind = match seen.facts.kind {
            FileKind::Dir => Kind::Dir(self.seal_dir(id, path)?),
            FileKind::File => self.seal_file(id, &seen)?,
            FileKind::Symlink => Kind::Symlink(self.do_readlink(id)?),
            FileKind::Fifo => Kind::Fifo,
            FileKind::Socket => Kind::Socket,
            FileKind::Char => device(false),
            FileKind::Block => device(true),
        };
        let mode = match kind {
            Kind::Symlink(_) => 0o777,
            _ => seen.facts.mode & 0o7777,
        };
        Ok(Some(Entry { name, mode, kind }))
    }

    fn seal_file(&self, id: u64, seen: &Seen) -> Result<Kind, Errno> {
        if let (Lower::Blob { id, size }, false) = (&seen.lower, seen.upper) {
            return Ok(Kind::File {
                blob: *id,
                size: *size,
            });
        }
        let known = {
            let sealed = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
            sealed.get(&id).copied()
        };
        if let Some((stamp, blob)) = known
            && stamp == seen.stamp
            && self.layers.kept.fine_stamps
        {
            let size = stamp.size;
            return Ok(Kind::File { blob, size });
        }
        let file = self.backing(id)?;
        let mut reader = At { file: &file, at: 0 };
        let (blob, size) = self
            .layers
            .store
            .put_blob_from(&mut reader, seen.size)
            .map_err(|e| damaged(&e))?;
        self.sealed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, (seen.stamp, blob));
        Ok(Kind::File { blob, size })
    }
}

/// Reads a shared descriptor without its position.
struct At<'a> {
    file: &'a std::fs::File,
    at: u64,
}

impl std::io::Read for At<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = std::os::unix::fs::FileExt::read_at(self.file, buf, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}
