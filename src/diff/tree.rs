//! What differs between two trees.
//!
//! Cost follows the difference: a subtree with the same id on both sides is never read. The walk keeps its own stack,
//! so that a deep tree cannot overflow ours.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::model::{Entry, RepoPath, Tree, TreeId, neutral};
use crate::store::{self, Store};

/// Why two trees could not be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tree could not be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A name that no file can have: it would lead out of its directory.
    #[error(
        "tree {tree} holds an entry named \"{name}\", which no file can have: it is refused; `backtrail verify` lists what is damaged"
    )]
    HostileName {
        /// The tree.
        tree: TreeId,
        /// The name, neutralised.
        name: String,
    },
}

/// Where trees are read. The store; tests count the reads.
pub trait TreeReader {
    /// The tree of that id.
    fn read_tree(&self, id: TreeId) -> Result<Arc<Tree>, store::Error>;
}

impl TreeReader for Store {
    fn read_tree(&self, id: TreeId) -> Result<Arc<Tree>, store::Error> {
        self.tree(id)
    }
}

/// One path that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathChange {
    /// Which path.
    pub path: RepoPath,
    /// What was there; `None` if nothing was.
    pub before: Option<Entry>,
    /// What is there now; `None` if nothing is.
    pub after: Option<Entry>,
}

impl PathChange {
    /// Whether something that is not a directory is there on either side.
    #[must_use]
    pub fn has_leaf(&self) -> bool {
        [&self.before, &self.after]
            .into_iter()
            .flatten()
            .any(|e| e.kind.tree().is_none())
    }
}

/// The paths that differ between `a` and `b`: files, links and the like, and directories that come, go or change mode.
/// A directory stands before what it holds, names in byte order. With `within`, only those paths and what lies below
/// them.
pub fn trees(
    store: &Store,
    a: TreeId,
    b: TreeId,
    within: &[RepoPath],
) -> Result<Vec<PathChange>, Error> {
    trees_of(store, a, b, within)
}

/// As [`trees`], reading from any source of trees.
pub fn trees_of(
    reader: &dyn TreeReader,
    a: TreeId,
    b: TreeId,
    within: &[RepoPath],
) -> Result<Vec<PathChange>, Error> {
    let mut walk = Walk {
        reader,
        within,
        open: Vec::new(),
    };
    let mut out = Vec::new();
    if a != b {
        walk.descend(&RepoPath::root(), Some(a), Some(b))?;
    }
    while let Some(change) = walk.open.pop() {
        let before = change.before.as_ref().and_then(|e| e.kind.tree());
        let after = change.after.as_ref().and_then(|e| e.kind.tree());
        if before != after {
            walk.descend(&change.path, before, after)?;
        }
        let only_below = match (&change.before, &change.after) {
            (Some(x), Some(y)) => before.is_some() && after.is_some() && x.mode == y.mode,
            _ => false,
        };
        if !only_below && walk.listed(&change.path) {
            out.push(change);
        }
    }
    Ok(out)
}

struct Walk<'a> {
    reader: &'a dyn TreeReader,
    within: &'a [RepoPath],
    /// What is still to be looked at, the next one last.
    open: Vec<PathChange>,
}

impl Walk<'_> {
    fn listed(&self, path: &RepoPath) -> bool {
        self.within.is_empty() || self.within.iter().any(|w| path.is_within(w))
    }

    /// Whether something to be listed is at `path` or may lie below.
    fn leads_to(&self, path: &RepoPath) -> bool {
        self.listed(path) || self.within.iter().any(|w| w.is_within(path))
    }

    /// Opens what differs in the directory `dir`.
    fn descend(
        &mut self,
        dir: &RepoPath,
        a: Option<TreeId>,
        b: Option<TreeId>,
    ) -> Result<(), Error> {
        let read = |id: Option<TreeId>| match id {
            Some(id) => self.reader.read_tree(id),
            None => Ok(Arc::default()),
        };
        let (left, right) = (read(a)?, read(b)?);
        let mut found = Vec::new();
        for (before, after) in Merged::new(&left.entries, &right.entries) {
            let Some(name) = before.or(after).map(|e| e.name.as_slice()) else {
                continue;
            };
            if before == after {
                continue;
            }
            let path = dir.join(name).map_err(|_| Error::HostileName {
                tree: if before.is_some() { a } else { b }.unwrap_or(TreeId([0; 32])),
                name: neutral(name),
            })?;
            if self.leads_to(&path) {
                found.push(PathChange {
                    path,
                    before: before.cloned(),
                    after: after.cloned(),
                });
            }
        }
        self.open.extend(found.into_iter().rev());
        Ok(())
    }
}

/// Two sorted lists of entries, paired by name in one pass: a directory may hold 100,000.
struct Merged<'a> {
    left: &'a [Entry],
    right: &'a [Entry],
}

impl<'a> Merged<'a> {
    fn new(left: &'a [Entry], right: &'a [Entry]) -> Self {
        Self { left, right }
    }
}

impl<'a> Iterator for Merged<'a> {
    type Item = (Option<&'a Entry>, Option<&'a Entry>);

    fn next(&mut self) -> Option<Self::Item> {
        let order = match (self.left.first(), self.right.first()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(l), Some(r)) => l.name.cmp(&r.name),
        };
        let take = |list: &mut &'a [Entry]| {
            let (first, rest) = list.split_first()?;
            *list = rest;
            Some(first)
        };
        let left = (order != Ordering::Greater).then(|| take(&mut self.left));
        let right = (order != Ordering::Less).then(|| take(&mut self.right));
        Some((left.flatten(), right.flatten()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )]
    use std::cell::RefCell;
    use std::collections::{BTreeMap, HashMap};

    use proptest::prelude::*;

    use super::*;
    use crate::model::{BlobId, Kind};

    #[derive(Default)]
    struct Memory {
        trees: HashMap<TreeId, Arc<Tree>>,
        read: RefCell<Vec<TreeId>>,
    }

    impl TreeReader for Memory {
        fn read_tree(&self, id: TreeId) -> Result<Arc<Tree>, store::Error> {
            self.read.borrow_mut().push(id);
            Ok(self.trees.get(&id).expect("known tree").clone())
        }
    }

    impl Memory {
        fn keep(&mut self, tree: Tree) -> TreeId {
            let id = TreeId::from(blake3::hash(format!("{tree:?}").as_bytes()));
            self.trees.insert(id, Arc::new(tree));
            id
        }

        fn build(&mut self, dir: &BTreeMap<u8, Node>) -> TreeId {
            let entries = dir
                .iter()
                .map(|(name, node)| Entry {
                    name: vec![*name],
                    mode: node.mode(),
                    kind: match node {
                        Node::File(c, _) => Kind::File {
                            blob: BlobId([*c; 32]),
                            size: 1,
                        },
                        Node::Link(t) => Kind::Symlink(vec![*t]),
                        Node::Dir(d, _) => Kind::Dir(self.build(d)),
                    },
                })
                .collect();
            self.keep(Tree::new(entries))
        }

        /// Every path of the tree, by a walk that skips nothing.
        fn all(&self, id: TreeId, dir: &RepoPath, out: &mut BTreeMap<RepoPath, Entry>) {
            for e in &self.trees[&id].entries {
                let path = dir.join(&e.name).unwrap();
                if let Kind::Dir(sub) = e.kind {
                    self.all(sub, &path, out);
                }
                out.insert(path, e.clone());
            }
        }

        fn naive(&self, a: TreeId, b: TreeId) -> BTreeMap<RepoPath, PathChange> {
            let (mut left, mut right) = (BTreeMap::new(), BTreeMap::new());
            self.all(a, &RepoPath::root(), &mut left);
            self.all(b, &RepoPath::root(), &mut right);
            let paths = left.keys().chain(right.keys()).cloned();
            paths
                .map(|path| PathChange {
                    before: left.get(&path).cloned(),
                    after: right.get(&path).cloned(),
                    path,
                })
                .filter(|c| match (&c.before, &c.after) {
                    (Some(x), Some(y)) if x.kind.tree().is_some() && y.kind.tree().is_some() => {
                        x.mode != y.mode
                    }
                    (x, y) => x != y,
                })
                .map(|c| (c.path.clone(), c))
                .collect()
        }
    }

    #[derive(Debug, Clone)]
    enum Node {
        File(u8, bool),
        Link(u8),
        Dir(BTreeMap<u8, Self>, bool),
    }

    impl Node {
        fn mode(&self) -> u32 {
            match self {
                Self::File(_, true) | Self::Dir(_, true) => 0o755,
                Self::File(_, false) => 0o644,
                Self::Dir(_, false) => 0o700,
                Self::Link(_) => 0o777,
            }
        }
    }

    fn dir() -> impl Strategy<Value = BTreeMap<u8, Node>> {
        let leaf = prop_oneof![
            (0..3u8, any::<bool>()).prop_map(|(c, x)| Node::File(c, x)),
            (1..3u8).prop_map(Node::Link),
        ];
        let node = leaf.prop_recursive(3, 24, 4, |inner| {
            (
                prop::collection::btree_map(b'a'..b'f', inner, 0..4),
                any::<bool>(),
            )
                .prop_map(|(d, x)| Node::Dir(d, x))
        });
        prop::collection::btree_map(b'a'..b'f', node, 0..5)
    }

    proptest! {
        #[test]
        fn equals_a_full_walk(x in dir(), y in dir(), only in b'a'..b'f') {
            let mut memory = Memory::default();
            let (a, b) = (memory.build(&x), memory.build(&y));
            let expected = memory.naive(a, b);
            let found = trees_of(&memory, a, b, &[]).unwrap();
            let mut known = std::collections::BTreeSet::from([RepoPath::root()]);
            for c in &found {
                // A directory that comes or goes stands before what it holds.
                let parent = c.path.parent().unwrap();
                prop_assert!(known.contains(&parent) || !expected.contains_key(&parent), "{found:?}");
                known.insert(c.path.clone());
            }
            let as_map = |list: &[PathChange]| -> BTreeMap<RepoPath, PathChange> {
                list.iter().map(|c| (c.path.clone(), c.clone())).collect()
            };
            prop_assert_eq!(found.len(), expected.len());
            prop_assert_eq!(&as_map(&found), &expected);

            let within = RepoPath::new(vec![only, b'/', b'b']).unwrap();
            let part = trees_of(&memory, a, b, std::slice::from_ref(&within)).unwrap();
            let expected: BTreeMap<_, _> =
                expected.into_iter().filter(|(p, _)| p.is_within(&within)).collect();
            prop_assert_eq!(as_map(&part), expected);
        }

        #[test]
        fn reads_no_tree_that_is_the_same(x in dir(), y in dir()) {
            let mut memory = Memory::default();
            let (a, b) = (memory.build(&x), memory.build(&y));
            trees_of(&memory, a, b, &[]).unwrap();
            let mut same = BTreeMap::new();
            memory.all(a, &RepoPath::root(), &mut same);
            let (mut left, mut right) = (BTreeMap::new(), BTreeMap::new());
            memory.all(a, &RepoPath::root(), &mut left);
            memory.all(b, &RepoPath::root(), &mut right);
            // A tree may be read only if it stands somewhere where the other side has another.
            let differing: Vec<TreeId> = left
                .keys()
                .chain(right.keys())
                .filter(|p| left.get(*p).map(|e| &e.kind) != right.get(*p).map(|e| &e.kind))
                .flat_map(|p| [left.get(p), right.get(p)])
                .flatten()
                .filter_map(|e| e.kind.tree())
                .chain((a != b).then_some([a, b]).into_iter().flatten())
                .collect();
            for id in memory.read.borrow().iter() {
                prop_assert!(differing.contains(id));
            }
        }
    }

    #[test]
    fn one_change_in_a_big_tree_reads_its_own_branch_only() {
        let big = |changed: u8| {
            let mut root = BTreeMap::new();
            for name in 0..100u8 {
                let inner = (0..100u8).map(|n| (n + 60, Node::File(n, false))).collect();
                let mut outer = BTreeMap::from([(b'x', Node::Dir(inner, false))]);
                if name == 50 {
                    outer.insert(b'y', Node::File(changed, true));
                }
                root.insert(name + 60, Node::Dir(outer, true));
            }
            root
        };
        let mut memory = Memory::default();
        let (a, b) = (memory.build(&big(1)), memory.build(&big(2)));
        let found = trees_of(&memory, a, b, &[]).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path.as_bytes(), b"n/y");
        assert_eq!(memory.read.borrow().len(), 4, "two roots, two of n");
        memory.read.borrow_mut().clear();
        assert_eq!(trees_of(&memory, a, a, &[]).unwrap(), []);
        assert_eq!(memory.read.borrow().len(), 0);
        let elsewhere = RepoPath::new(&b"o"[..]).unwrap();
        assert_eq!(trees_of(&memory, a, b, &[elsewhere]).unwrap(), []);
        assert_eq!(memory.read.borrow().len(), 2);
    }

    #[test]
    fn names_that_leave_their_directory_are_refused() {
        for name in [&b".."[..], b".", b"a/b", b"", b"a\0b"] {
            let mut memory = Memory::default();
            let evil = memory.keep(Tree {
                entries: vec![Entry {
                    name: name.to_vec(),
                    mode: 0o644,
                    kind: Kind::Fifo,
                }],
            });
            let none = memory.keep(Tree::default());
            let error = trees_of(&memory, none, evil, &[]).unwrap_err();
            assert!(matches!(error, Error::HostileName { tree, .. } if tree == evil));
        }
    }

    #[test]
    fn a_deep_tree_does_not_overflow_the_stack() {
        let mut memory = Memory::default();
        let deep = |memory: &mut Memory, leaf: u8| {
            let mut id = memory.build(&BTreeMap::from([(b'f', Node::File(leaf, false))]));
            for _ in 0..3_000 {
                id = memory.keep(Tree::new(vec![Entry {
                    name: b"d".to_vec(),
                    mode: 0o755,
                    kind: Kind::Dir(id),
                }]));
            }
            id
        };
        let (a, b) = (deep(&mut memory, 1), deep(&mut memory, 2));
        assert_eq!(trees_of(&memory, a, b, &[]).unwrap().len(), 1);
    }
}
