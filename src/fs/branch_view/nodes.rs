//! The nodes and names of a branch view in memory: what the table says, and what was met of the layers below.
//!
//! * A node is *saved* when the table names it. All names of a saved node are in the table, and so is every directory on
//!   the way to it; nodes that were only met can be forgotten and met again.
//! * Directories name their children by number, so renaming one moves everything below it and copies nothing: the node
//!   keeps its origin, through which its unchanged children are found.
//! * What was met below has a number made of its origin, the same at every start (git's index compares numbers); what
//!   was made here is counted. Both stay below 2^52, so that programs which keep them as floating point can.
//! * Names change only by [`Nodes::apply`], which is also what reads the table.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use rustix::io::Errno;

use super::super::attr::{FileKind, Stamp};
use super::super::inode::ROOT;
use super::layers::{Below, Lower};
use super::table::{Facts, Op, Origin, Saved};
use crate::model::RepoPath;

/// The bit of numbers made of an origin.
const MET: u64 = 1 << 51;
/// Where counted numbers begin.
const FIRST: u64 = 16;
/// A guard against a loop of names.
const DEPTH: usize = 100_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub dir: u64,
    pub name: Box<[u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The table says whose name it is.
    Named(u64),
    /// The table says that it is gone.
    Hidden,
    /// Met in a layer below.
    Seen(u64),
}

#[derive(Debug)]
pub(crate) struct Node {
    pub facts: Facts,
    pub origin: Option<Origin>,
    pub lower: Lower,
    /// Content and times are the branch's own.
    pub upper: bool,
    pub saved: bool,
    /// Which real file it was met as; 0 where that does not matter.
    pub which: u64,
    pub copied: Option<Stamp>,
    pub names: Vec<Link>,
    pub lookups: u64,
    pub handles: usize,
    pub writers: usize,
    /// The name that was reported as open for writing.
    pub open_name: Option<Link>,
    /// What its handles read, and write once it is the branch's own.
    pub open: Option<Arc<File>>,
    /// What the kernel's pages were read from.
    pub mark: Option<Stamp>,
    /// What the kernel was last told.
    pub sent: Option<Stamp>,
}

impl Node {
    fn new(facts: Facts, origin: Option<Origin>, lower: Lower) -> Self {
        Self {
            facts,
            origin,
            lower,
            upper: false,
            saved: false,
            which: 0,
            copied: None,
            names: Vec::new(),
            lookups: 0,
            handles: 0,
            writers: 0,
            open_name: None,
            open: None,
            mark: None,
            sent: None,
        }
    }

    pub fn is_dir(&self) -> bool {
        self.facts.kind == FileKind::Dir
    }

    /// Which real file must be there. For one that was saved, whichever is: nobody looks it up anew.
    pub fn wanted(&self) -> u64 {
        if self.saved { 0 } else { self.which }
    }

    /// As the table keeps it.
    pub fn saved(&self) -> Saved {
        Saved {
            facts: self.facts,
            origin: self.origin.clone(),
            upper: self.upper,
            copied: self.copied,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Nodes {
    all: HashMap<u64, Node>,
    dirs: HashMap<u64, HashMap<Box<[u8]>, Slot>>,
    next: u64,
}

impl Nodes {
    pub fn new(root: Below) -> Self {
        let mut node = Node::new(root.facts, Some(root.origin), root.lower);
        node.saved = true;
        Self {
            all: HashMap::from([(ROOT, node)]),
            dirs: HashMap::new(),
            next: FIRST,
        }
    }

    pub fn get(&self, id: u64) -> Result<&Node, Errno> {
        self.all.get(&id).ok_or(Errno::STALE)
    }

    pub fn get_mut(&mut self, id: u64) -> Result<&mut Node, Errno> {
        self.all.get_mut(&id).ok_or(Errno::STALE)
    }

    /// A number for a node to be made.
    pub fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    pub fn slot(&self, dir: u64, name: &[u8]) -> Option<Slot> {
        self.dirs.get(&dir)?.get(name).copied()
    }

    /// What is said of names in `dir`.
    pub fn slots(&self, dir: u64) -> impl Iterator<Item = (&[u8], Slot)> {
        self.dirs
            .get(&dir)
            .into_iter()
            .flatten()
            .map(|(name, slot)| (&**name, *slot))
    }

    /// Whether the table says anything of names in `dir`.
    pub fn touched(&self, dir: u64) -> bool {
        self.slots(dir).any(|(_, s)| !matches!(s, Slot::Seen(_)))
    }

    /// The node known as `name`.
    pub fn known(&self, dir: u64, name: &[u8]) -> Option<u64> {
        match self.slot(dir, name)? {
            Slot::Named(id) | Slot::Seen(id) => Some(id),
            Slot::Hidden => None,
        }
    }

    /// The node known at `path`.
    pub fn at(&self, path: &RepoPath) -> Option<u64> {
        path.parts().try_fold(ROOT, |at, name| self.known(at, name))
    }

    /// The number that something met below has, or will get.
    pub fn number(&self, origin: &Origin, kind: FileKind, which: u64) -> u64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{:?} {kind:?} {which} ", origin.layer).as_bytes());
        hasher.update(&origin.path);
        let hash = hasher.finalize();
        let head = hash.as_bytes().first_chunk::<8>();
        let mut id = MET | (head.map_or(0, |b| u64::from_le_bytes(*b)) & (MET - 1));
        while self
            .all
            .get(&id)
            .is_some_and(|n| n.origin.as_ref() != Some(origin) || (!n.saved && n.which != which))
        {
            id = MET | (id + 1);
        }
        id
    }

    /// `found` was met as `name` in `dir`.
    pub fn meet(&mut self, dir: u64, name: &[u8], found: Below) -> u64 {
        let which = found.which;
        let id = self.number(&found.origin, found.facts.kind, which);
        match self.all.get_mut(&id) {
            Some(node) => {
                if !node.saved {
                    node.facts = found.facts;
                    node.lower = found.lower;
                }
            }
            None => {
                let mut node = Node::new(found.facts, Some(found.origin), found.lower);
                node.which = which;
                self.all.insert(id, node);
            }
        }
        let old = self
            .dirs
            .entry(dir)
            .or_default()
            .insert(name.into(), Slot::Seen(id));
        if let Some(Slot::Seen(old)) = old
            && old != id
        {
            self.unlink(old, dir, name);
            self.reap(old);
        }
        let link = Link {
            dir,
            name: name.into(),
        };
        if let Some(node) = self.all.get_mut(&id)
            && !node.names.contains(&link)
        {
            node.names.push(link);
        }
        id
    }

    /// What was met as `name` is not there any more.
    pub fn unmeet(&mut self, dir: u64, name: &[u8]) {
        let Some(Slot::Seen(id)) = self.slot(dir, name) else {
            return;
        };
        if let Some(slots) = self.dirs.get_mut(&dir) {
            slots.remove(name);
        }
        self.unlink(id, dir, name);
        self.reap(id);
    }

    fn unlink(&mut self, id: u64, dir: u64, name: &[u8]) {
        if let Some(node) = self.all.get_mut(&id) {
            node.names.retain(|l| !(l.dir == dir && *l.name == *name));
        }
    }

    /// Puts `slot` (or nothing) in place of what is said of a name.
    fn put(&mut self, dir: u64, name: &[u8], slot: Option<Slot>) {
        let slots = self.dirs.entry(dir).or_default();
        let old = match slot {
            Some(slot) => slots.insert(name.into(), slot),
            None => slots.remove(name),
        };
        if slots.is_empty() {
            self.dirs.remove(&dir);
        }
        if let Some(Slot::Named(old) | Slot::Seen(old)) = old {
            self.unlink(old, dir, name);
        }
        if let Some(Slot::Named(id)) = slot
            && let Some(node) = self.all.get_mut(&id)
        {
            node.names.push(Link {
                dir,
                name: name.into(),
            });
        }
    }

    /// Does what the table says, or is about to say.
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Node { id, saved } => {
                let node = self
                    .all
                    .entry(*id)
                    .or_insert_with(|| Node::new(saved.facts, saved.origin.clone(), Lower::None));
                node.facts = saved.facts;
                node.origin.clone_from(&saved.origin);
                node.upper = saved.upper;
                node.copied = saved.copied;
                node.saved = true;
                if *id < MET {
                    self.next = self.next.max(*id + 1);
                }
            }
            Op::Name { dir, name, id } => self.put(*dir, name, Some(Slot::Named(*id))),
            Op::Hide { dir, name } => self.put(*dir, name, Some(Slot::Hidden)),
            Op::Bare { dir, name } => self.put(*dir, name, None),
        }
    }

    /// After the table was read: finds the layers' content of saved nodes by `find`, and drops what has no name.
    /// Returns the numbers of the nodes whose own content is in use.
    pub fn settle(
        &mut self,
        find: impl Fn(&Origin) -> Result<Option<Below>, Errno>,
    ) -> Result<Vec<u64>, Errno> {
        self.all.retain(|id, n| *id == ROOT || !n.names.is_empty());
        for node in self.all.values_mut() {
            if let Some(origin) = &node.origin
                && let Some(below) = find(origin)?
                && below.facts.kind == node.facts.kind
            {
                node.lower = below.lower;
            }
        }
        let all = &self.all;
        self.dirs.retain(|id, _| all.contains_key(id));
        Ok(all
            .iter()
            .filter(|(_, n)| n.upper)
            .map(|(id, _)| *id)
            .collect())
    }

    /// The whole state as operations, parents and children in any order.
    pub fn dump(&self) -> Vec<Op> {
        let mut ops = Vec::new();
        for (id, node) in &self.all {
            if node.saved {
                ops.push(Op::Node {
                    id: *id,
                    saved: node.saved(),
                });
            }
        }
        for (dir, slots) in &self.dirs {
            for (name, slot) in slots {
                let (dir, name) = (*dir, name.to_vec());
                match slot {
                    Slot::Named(id) => ops.push(Op::Name { dir, name, id: *id }),
                    Slot::Hidden => ops.push(Op::Hide { dir, name }),
                    Slot::Seen(_) => {}
                }
            }
        }
        ops
    }

    /// What must be saved so that `id` is, all directories above it included, outermost first.
    pub fn save(&self, id: u64) -> Result<Vec<Op>, Errno> {
        let mut chain = Vec::new();
        let mut at = id;
        while at != ROOT {
            let node = self.get(at)?;
            if node.saved {
                break;
            }
            // Unlinked while it is open: it is kept by nobody.
            let Some(link) = node.names.first() else {
                break;
            };
            chain.push((at, node.saved(), link.clone()));
            at = link.dir;
        }
        let mut ops = Vec::new();
        for (id, saved, link) in chain.into_iter().rev() {
            ops.push(Op::Node { id, saved });
            ops.push(Op::Name {
                dir: link.dir,
                name: link.name.into_vec(),
                id,
            });
        }
        Ok(ops)
    }

    /// How a name is taken away: hidden where a layer may have it.
    pub fn removal(&self, dir: u64, name: &[u8]) -> Op {
        let name = name.to_vec();
        match self.all.get(&dir).and_then(|n| n.origin.as_ref()) {
            Some(_) => Op::Hide { dir, name },
            None => Op::Bare { dir, name },
        }
    }

    pub fn path_in(&self, dir: u64, name: &[u8]) -> Result<RepoPath, Errno> {
        self.link_path(&Link {
            dir,
            name: name.into(),
        })
        .ok_or(Errno::STALE)
    }

    pub fn link_path(&self, link: &Link) -> Option<RepoPath> {
        let mut parts: Vec<&[u8]> = vec![&link.name];
        let mut at = link.dir;
        while at != ROOT {
            let up = self.all.get(&at)?.names.first()?;
            parts.push(&up.name);
            at = up.dir;
            if parts.len() > DEPTH {
                return None;
            }
        }
        parts.reverse();
        RepoPath::new(parts.join(&b'/')).ok()
    }

    /// Every path of a node.
    pub fn paths(&self, id: u64) -> Vec<RepoPath> {
        if id == ROOT {
            return vec![RepoPath::root()];
        }
        self.all.get(&id).map_or_else(Vec::new, |n| {
            n.names.iter().filter_map(|l| self.link_path(l)).collect()
        })
    }

    /// Drops the node if nothing holds it: a file that was only met, or one without a name. Returns true for one whose
    /// own content goes with it. Directories that were met stay; there are few of them, and children name them.
    pub fn reap(&mut self, id: u64) -> bool {
        let Some(node) = self.all.get(&id) else {
            return false;
        };
        let held = id == ROOT || node.lookups > 0 || node.handles > 0;
        let kept = !node.names.is_empty() && (node.saved || node.is_dir());
        if held || kept {
            return false;
        }
        let Some(node) = self.all.remove(&id) else {
            return false;
        };
        self.dirs.remove(&id);
        for link in node.names {
            if let Some(slots) = self.dirs.get_mut(&link.dir)
                && slots.get(&link.name) == Some(&Slot::Seen(id))
            {
                slots.remove(&link.name);
            }
        }
        node.upper
    }

    /// Saved nodes that the project's own files lie under: number, origin, and its stamp when it was copied.
    pub fn copies(&self) -> impl Iterator<Item = (u64, &Origin, &Stamp)> {
        self.all
            .iter()
            .filter_map(|(id, n)| Some((*id, n.origin.as_ref()?, n.copied.as_ref()?)))
    }

    /// Nodes that somebody can write.
    pub fn writable(&self) -> impl Iterator<Item = u64> + '_ {
        self.all
            .iter()
            .filter(|(_, n)| n.writers > 0)
            .map(|(id, _)| *id)
    }
}
