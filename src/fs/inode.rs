//! The table of nodes: which number the kernel knows a file by, under which names, and how often it was told.
//!
//! * A node's number is the backing file's own inode number wherever that is free, so that `stat` (and with it the index
//!   of git, which compares inode numbers) agrees inside and outside the mount and from one mount to the next. A number
//!   still in use by a file that is gone, or one of another device below, is replaced by one from a range of ours.
//! * A node stands for one backing file ([`Identity`]). When another file takes its name, that file is another node with
//!   another number; the old node lives on for those who hold it. Hard links are names of one node.
//! * Names form a tree by parent *number*, so renaming a directory moves everything below at once.
//! * A node lives while the kernel remembers it, while a handle is open on it, or while it has children here.

use std::collections::HashMap;

use rustix::io::Errno;

use super::attr::{Attr, Found, Identity, Stamp};
use crate::model::RepoPath;

/// The number of a view's root, given by the protocol.
pub const ROOT: u64 = 1;

/// Where numbers of ours begin.
const OURS: u64 = 0xf000_0000_0000_0000;

/// Deeper than any path can be; a guard against a loop of names.
const DEPTH: usize = 100_000;

/// One name of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub parent: u64,
    pub name: Box<[u8]>,
}

/// The stamp for which the kernel's cached pages are known to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub stamp: Stamp,
    /// Set when the file had changed so recently that another change could carry the same time.
    pub racy: bool,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub id: Identity,
    pub generation: u64,
    pub lookups: u64,
    pub links: Vec<Link>,
    /// Handles open on it.
    pub handles: Vec<u64>,
    /// How many of them can write.
    pub writers: usize,
    /// The name that was reported as open for writing.
    pub open_name: Option<Link>,
    pub mark: Option<Mark>,
    /// What the kernel was last told of size and times.
    pub sent: Option<Stamp>,
    /// The last attributes of a removed file that nobody holds open (a removed working directory).
    pub ghost: Option<Attr>,
}

#[derive(Debug)]
pub(crate) struct Table {
    nodes: HashMap<u64, Node>,
    names: HashMap<u64, HashMap<Box<[u8]>, u64>>,
    by_backing: HashMap<Identity, u64>,
    dev: u64,
    next_ours: u64,
    next_generation: u64,
}

impl Table {
    /// A table whose root stands for `root`.
    pub fn new(root: Identity) -> Self {
        let mut t = Self {
            nodes: HashMap::new(),
            names: HashMap::new(),
            by_backing: HashMap::new(),
            dev: root.dev,
            next_ours: OURS,
            next_generation: 0,
        };
        t.nodes.insert(ROOT, Node::new(root, 0));
        t.by_backing.insert(root, ROOT);
        t
    }

    pub fn get(&self, ino: u64) -> Option<&Node> {
        self.nodes.get(&ino)
    }

    pub fn get_mut(&mut self, ino: u64) -> Option<&mut Node> {
        self.nodes.get_mut(&ino)
    }

    pub fn by_identity(&self, id: &Identity) -> Option<u64> {
        self.by_backing.get(id).copied()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The node known under `name` in `parent`.
    pub fn child(&self, parent: u64, name: &[u8]) -> Option<u64> {
        self.names.get(&parent)?.get(name).copied()
    }

    /// The node known at `path`.
    pub fn at(&self, path: &RepoPath) -> Option<u64> {
        path.parts().try_fold(ROOT, |at, name| self.child(at, name))
    }

    /// The path of `name` in the directory `parent`.
    pub fn path_in(&self, parent: u64, name: &[u8]) -> Result<RepoPath, Errno> {
        self.path(parent)?.join(name).map_err(|_| Errno::INVAL)
    }

    /// A directory's path, or a file's first; `ESTALE` when it has none any more.
    pub fn path(&self, ino: u64) -> Result<RepoPath, Errno> {
        if ino == ROOT {
            return Ok(RepoPath::root());
        }
        let node = self.nodes.get(&ino).ok_or(Errno::STALE)?;
        node.links
            .iter()
            .find_map(|l| self.link_path(l))
            .ok_or(Errno::STALE)
    }

    /// Every path under which the node is known.
    pub fn paths(&self, ino: u64) -> Vec<RepoPath> {
        if ino == ROOT {
            return vec![RepoPath::root()];
        }
        self.nodes.get(&ino).map_or_else(Vec::new, |n| {
            n.links.iter().filter_map(|l| self.link_path(l)).collect()
        })
    }

    pub fn link_path(&self, link: &Link) -> Option<RepoPath> {
        let mut parts: Vec<&[u8]> = vec![&link.name];
        let mut at = link.parent;
        while at != ROOT {
            let up = self.nodes.get(&at)?.links.first()?;
            parts.push(&up.name);
            at = up.parent;
            if parts.len() > DEPTH {
                return None;
            }
        }
        parts.reverse();
        RepoPath::new(parts.join(&b'/')).ok()
    }

    /// `found` was met as `name` in `parent`: its number and generation. Counts a look-up by the kernel if `counted`.
    pub fn meet(&mut self, parent: u64, name: &[u8], found: &Found, counted: bool) -> (u64, u64) {
        let known = self.child(parent, name).filter(|i| {
            self.nodes
                .get(i)
                .is_some_and(|n| n.id == found.id && n.ghost.is_none())
        });
        let ino = match (known, self.by_backing.get(&found.id)) {
            (Some(ino), _) => ino,
            // The root bound below itself: the protocol knows no second name of the root.
            (None, Some(&ROOT)) | (None, None) => self.add(found.id),
            (None, Some(ino)) => *ino,
        };
        let link = Link {
            parent,
            name: name.into(),
        };
        let single = found.attr.nlink <= 1 || found.attr.kind == super::attr::FileKind::Dir;
        self.name_it(ino, link, single);
        let mut generation = 0;
        if let Some(node) = self.nodes.get_mut(&ino) {
            if counted {
                node.lookups = node.lookups.saturating_add(1);
            }
            generation = node.generation;
            node.ghost = None;
        }
        (ino, generation)
    }

    fn add(&mut self, id: Identity) -> u64 {
        let free = id.dev == self.dev
            && id.ino > ROOT
            && id.ino < OURS
            && !self.nodes.contains_key(&id.ino);
        let ino = if free {
            id.ino
        } else {
            while self.nodes.contains_key(&self.next_ours) {
                self.next_ours += 1;
            }
            self.next_ours += 1;
            self.next_ours - 1
        };
        self.next_generation += 1;
        self.nodes.insert(ino, Node::new(id, self.next_generation));
        self.by_backing.entry(id).or_insert(ino);
        ino
    }

    /// `ino` is what `link` names now; with `single`, it has no other name.
    fn name_it(&mut self, ino: u64, link: Link, single: bool) {
        let replaced = self
            .names
            .entry(link.parent)
            .or_default()
            .insert(link.name.clone(), ino);
        if let Some(old) = replaced
            && old != ino
        {
            if let Some(node) = self.nodes.get_mut(&old) {
                node.links.retain(|l| *l != link);
            }
            self.reap(old);
        }
        let Some(node) = self.nodes.get_mut(&ino) else {
            return;
        };
        if !node.links.contains(&link) {
            node.links.push(link.clone());
        }
        if single && node.links.len() > 1 {
            let stale: Vec<Link> = node.links.iter().filter(|l| **l != link).cloned().collect();
            for old in stale {
                self.unname(old.parent, &old.name);
            }
        }
    }

    /// The name is gone. Returns the node that had it.
    pub fn unname(&mut self, parent: u64, name: &[u8]) -> Option<u64> {
        let siblings = self.names.get_mut(&parent)?;
        let ino = siblings.remove(name)?;
        if siblings.is_empty() {
            self.names.remove(&parent);
        }
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.links
                .retain(|l| !(l.parent == parent && *l.name == *name));
        }
        self.reap(ino);
        self.reap(parent);
        Some(ino)
    }

    /// The file is gone from the backing directory for good: its inode number may come back as another file.
    pub fn gone(&mut self, ino: u64, ghost: Option<Attr>) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.ghost = ghost;
            if self.by_backing.get(&node.id) == Some(&ino) {
                self.by_backing.remove(&node.id);
            }
        }
    }

    /// What was `name` in `parent` is now `to_name` in `to_parent`. The caller has removed the name that was there.
    pub fn renamed(&mut self, parent: u64, name: &[u8], to_parent: u64, to_name: &[u8]) {
        let Some(ino) = self.child(parent, name) else {
            // Not known here: whatever was known under the new name is wrong in any case.
            self.unname(to_parent, to_name);
            return;
        };
        let to = Link {
            parent: to_parent,
            name: to_name.into(),
        };
        // The new name first, so that the node never loses its last one and its place in the table.
        self.name_it(ino, to.clone(), false);
        if let Some(node) = self.nodes.get_mut(&ino)
            && node
                .open_name
                .as_ref()
                .is_some_and(|l| l.parent == parent && *l.name == *name)
        {
            node.open_name = Some(to);
        }
        if (parent, name) != (to_parent, to_name) {
            self.unname(parent, name);
        }
    }

    /// The two names were exchanged.
    pub fn exchanged(&mut self, a: &Link, b: &Link) {
        let (one, two) = (self.child(a.parent, &a.name), self.child(b.parent, &b.name));
        for (ino, from, to) in [(one, a, b), (two, b, a)] {
            let Some(node) = ino.and_then(|i| self.nodes.get_mut(&i)) else {
                continue;
            };
            for l in &mut node.links {
                if l == from {
                    *l = to.clone();
                }
            }
            if node.open_name.as_ref() == Some(from) {
                node.open_name = Some(to.clone());
            }
        }
        for (link, ino) in [(b, one), (a, two)] {
            match ino {
                Some(ino) => {
                    self.names
                        .entry(link.parent)
                        .or_default()
                        .insert(link.name.clone(), ino);
                }
                None => {
                    if let Some(siblings) = self.names.get_mut(&link.parent) {
                        siblings.remove(&link.name);
                    }
                }
            }
        }
    }

    /// The kernel has dropped `count` of its look-ups.
    pub fn forget(&mut self, ino: u64, count: u64) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.lookups = node.lookups.saturating_sub(count);
            self.reap(ino);
        }
    }

    /// Drops the node if nothing holds it, and then its ancestors likewise.
    pub fn reap(&mut self, ino: u64) {
        let mut queue = vec![ino];
        while let Some(ino) = queue.pop() {
            let held = ino == ROOT
                || self.names.contains_key(&ino)
                || self
                    .nodes
                    .get(&ino)
                    .is_none_or(|n| n.lookups > 0 || !n.handles.is_empty());
            if held {
                continue;
            }
            if let Some(node) = self.nodes.remove(&ino) {
                if self.by_backing.get(&node.id) == Some(&ino) {
                    self.by_backing.remove(&node.id);
                }
                for link in node.links {
                    if let Some(siblings) = self.names.get_mut(&link.parent)
                        && siblings.get(&link.name) == Some(&ino)
                    {
                        siblings.remove(&link.name);
                        if siblings.is_empty() {
                            self.names.remove(&link.parent);
                            queue.push(link.parent);
                        }
                    }
                }
            }
        }
    }

    /// Nodes with an open handle that can write.
    pub fn writable(&self) -> impl Iterator<Item = u64> + '_ {
        self.nodes
            .iter()
            .filter(|(_, n)| n.writers > 0)
            .map(|(ino, _)| *ino)
    }
}

impl Node {
    fn new(id: Identity, generation: u64) -> Self {
        Self {
            id,
            generation,
            lookups: 0,
            links: Vec::new(),
            handles: Vec::new(),
            writers: 0,
            open_name: None,
            mark: None,
            sent: None,
            ghost: None,
        }
    }
}

#[cfg(test)]
#[path = "inode_tests.rs"]
mod tests;
