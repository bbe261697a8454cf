//! What the kernel knows by number.
//!
//! A number is a hash of what a node is, so that it is the same whenever somebody looks again, and two states share the
//! numbers of the files that they share. What the kernel forgets is forgotten here; a node costs less than 256 bytes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::model::{BlobId, CommitId, RepoPath, TreeId};
use crate::store::Lineage;

/// The root's number.
pub(super) const TOP: u64 = 1;
/// The directory of states below [`Top::Places`](super::Top::Places).
pub(super) const STATES: u64 = 2;
/// The directory of open branches there.
pub(super) const BRANCHES: u64 = 3;
/// The link to the live view there.
pub(super) const LIVE: u64 = 4;
/// Numbers below belong to fixed nodes.
const FIRST: u64 = 1 << 10;

/// A state that somebody is in.
#[derive(Debug)]
pub(super) struct State {
    pub commit: CommitId,
    pub tree: TreeId,
    /// When it was made, in microseconds.
    pub time: i64,
    pub lineage: Lineage,
}

/// A directory of a state.
#[derive(Debug, Clone)]
pub(super) struct Dir {
    pub state: Arc<State>,
    pub path: RepoPath,
    pub tree: TreeId,
    pub perm: u32,
    pub time: i64,
    /// The number of the directory that it lies in.
    pub up: u64,
}

impl PartialEq for Dir {
    fn eq(&self, other: &Self) -> bool {
        self.state.commit == other.state.commit && self.path == other.path
    }
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// The top that shows `at`, `live` and `branches`.
    Places,
    /// The directory of states.
    States,
    /// The directory of open branches.
    Branches,
    /// The link to the live view.
    Live,
    /// The link to a branch's view.
    Branch(Box<[u8]>),
    /// A link that is worked out when it is read.
    Alias(Box<[u8]>),
    /// A directory of a state.
    Dir(Box<Dir>),
    /// A file.
    File {
        blob: BlobId,
        size: u64,
        perm: u32,
        time: i64,
    },
    /// A symbolic link.
    Link { target: Box<[u8]>, time: i64 },
    /// A pipe, socket or device.
    Special {
        kind: super::view::SpecialKind,
        perm: u32,
        rdev: u64,
        time: i64,
    },
    /// A file whose content nobody knows.
    Unknown { perm: u32, time: i64 },
}

/// The hash that a node's number is made of.
pub(super) struct Number(blake3::Hasher);

impl Number {
    pub fn new(what: &str) -> Self {
        let mut h = blake3::Hasher::new();
        h.update(what.as_bytes());
        Self(h)
    }

    /// Adds a part; parts cannot run into each other.
    pub fn with(mut self, part: &[u8]) -> Self {
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    pub fn get(self) -> u64 {
        let hash = self.0.finalize();
        let head = hash.as_bytes().first_chunk::<8>();
        let n = head.map_or(0, |b| u64::from_le_bytes(*b));
        // Positive also as a signed number: some tools keep it in one.
        (n >> 1).max(FIRST)
    }
}

struct Slot {
    node: Node,
    lookups: u64,
}

/// All nodes that the kernel knows.
pub(super) struct Nodes {
    slots: HashMap<u64, Slot>,
}

impl Nodes {
    /// The fixed ones.
    pub fn new(top: super::Top) -> Self {
        let mut slots = HashMap::new();
        let mut fixed = |ino, node| {
            slots.insert(ino, Slot { node, lookups: 1 });
        };
        match top {
            super::Top::States => fixed(TOP, Node::States),
            super::Top::Places => {
                fixed(TOP, Node::Places);
                fixed(STATES, Node::States);
                fixed(BRANCHES, Node::Branches);
                fixed(LIVE, Node::Live);
            }
        }
        Self { slots }
    }

    pub fn get(&self, ino: u64) -> Option<&Node> {
        self.slots.get(&ino).map(|s| &s.node)
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// The number under which `node` is known from now on, with one more look-up. The next free number when another node
    /// has the one that it should have.
    pub fn enter(&mut self, mut ino: u64, node: Node) -> u64 {
        loop {
            match self.slots.entry(ino) {
                Entry::Vacant(v) => {
                    v.insert(Slot { node, lookups: 1 });
                    return ino;
                }
                Entry::Occupied(mut o) if o.get().node == node => {
                    o.get_mut().lookups += 1;
                    return ino;
                }
                Entry::Occupied(_) => ino = (ino + 1).max(FIRST) & (u64::MAX >> 1),
            }
        }
    }

    pub fn forget(&mut self, ino: u64, count: u64) {
        if ino < FIRST {
            return;
        }
        if let Entry::Occupied(mut slot) = self.slots.entry(ino) {
            let left = slot.get().lookups.saturating_sub(count);
            slot.get_mut().lookups = left;
            if left == 0 {
                slot.remove();
            }
        }
        // Given back after a walk over a large tree.
        if self.slots.len() * 8 < self.slots.capacity() && self.slots.capacity() > 4096 {
            self.slots.shrink_to(self.slots.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(n: u8) -> Node {
        Node::File {
            blob: BlobId([n; 32]),
            size: 1,
            perm: 0o644,
            time: 0,
        }
    }

    #[test]
    fn a_number_is_one_nodes_until_it_is_forgotten() {
        let mut nodes = Nodes::new(super::super::Top::States);
        let a = nodes.enter(5_000, file(1));
        assert_eq!(nodes.enter(5_000, file(1)), a);
        let b = nodes.enter(5_000, file(2));
        assert_ne!(a, b, "another file does not hide behind it");
        assert_eq!(nodes.get(b), Some(&file(2)));
        nodes.forget(a, 1);
        assert!(nodes.get(a).is_some());
        nodes.forget(a, 1);
        assert!(nodes.get(a).is_none());
        nodes.forget(TOP, u64::MAX);
        assert_eq!(nodes.get(TOP), Some(&Node::States));
        assert_eq!(nodes.len(), 2);
    }

    #[test]
    fn a_node_is_small() {
        // A table is at worst filled by 7/16, and has a byte more for each place.
        let worst = (size_of::<(u64, Slot)>() + 1) * 16 / 7;
        assert!(worst < 256, "{worst}");
    }

    #[test]
    fn parts_do_not_run_together() {
        let a = Number::new("x").with(b"ab").with(b"c").get();
        let b = Number::new("x").with(b"a").with(b"bc").get();
        assert_ne!(a, b);
        assert!(a >= FIRST && i64::try_from(a).is_ok());
    }
}
