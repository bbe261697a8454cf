//! The tree as it was last stored, in memory: what each known path was, and what its file looked like then.
//!
//! Invariants: a directory's tree id is kept until something in it changes, so that sealing costs as much as the
//! changed directories hold and never walks the whole; every entry's parent is a directory that is known. Directories
//! lie flat in one map sorted by path (a directory sorts before what it holds), so that no depth of nesting can
//! overflow a stack.
//!
//! It does not know the present state of the disk: that is what the dirty set is for.

use std::collections::{BTreeMap, BTreeSet};

use super::disk::Stamp;
use super::subtree::keys_below;
use crate::model::{Attr, BlobId, Entry, Kind, RepoPath, Tree, TreeId};
use crate::store::{self, Store};

/// A known thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub what: What,
    /// Permission bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What a known thing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A directory; what it holds is kept apart.
    Dir {
        /// Device.
        dev: u64,
        /// Inode.
        ino: u64,
    },
    /// A regular file: its content and what it looked like when that was read.
    File {
        /// Identity of the content.
        blob: BlobId,
        /// Length of the content.
        size: u64,
        /// Device.
        dev: u64,
        /// Inode.
        ino: u64,
        /// Modification time.
        mtime_ns: i64,
        /// Change time.
        ctime_ns: i64,
    },
    /// A link, a FIFO, a socket or a device.
    Other(Box<Other>),
}

/// A thing without content of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// What it is, as a tree says it.
    pub kind: Kind,
    /// What it looked like.
    pub stamp: Stamp,
}

impl Node {
    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        matches!(self.what, What::Dir { .. })
    }

    /// Whether it is the directory that looks like this, and not another one of the same name.
    #[must_use]
    pub fn is_this_dir(&self, now: &Stamp) -> bool {
        matches!(self.what, What::Dir { dev, ino } if (dev, ino) == (now.dev, now.ino))
    }

    /// What it looked like when it was stored; `None` for directories.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        match &self.what {
            What::Dir { .. } => None,
            What::File {
                size,
                dev,
                ino,
                mtime_ns,
                ctime_ns,
                ..
            } => Some(Stamp {
                dev: *dev,
                ino: *ino,
                size: *size,
                mtime_ns: *mtime_ns,
                ctime_ns: *ctime_ns,
            }),
            What::Other(o) => Some(o.stamp),
        }
    }

    /// Whether a tree would say the same of both.
    fn same_entry(&self, other: &Self) -> bool {
        self.mode == other.mode
            && match (&self.what, &other.what) {
                (What::Dir { .. }, What::Dir { .. }) => true,
                (
                    What::File {
                        blob: a, size: x, ..
                    },
                    What::File {
                        blob: b, size: y, ..
                    },
                ) => a == b && x == y,
                (What::Other(a), What::Other(b)) => a.kind == b.kind,
                _ => false,
            }
    }
}

#[derive(Debug, Default)]
struct Dir {
    children: BTreeMap<Box<[u8]>, Node>,
    tree: Option<TreeId>,
}

/// The known tree.
#[derive(Debug)]
pub struct Workspace {
    dirs: BTreeMap<RepoPath, Dir>,
    /// Directories whose tree id is out of date; with each, all around it.
    stale: BTreeSet<RepoPath>,
    /// What the last sealing stored, until the commit that names it is durable.
    sealed: Vec<RepoPath>,
}

impl Default for Workspace {
    fn default() -> Self {
        Self {
            dirs: BTreeMap::from([(RepoPath::root(), Dir::default())]),
            stale: BTreeSet::from([RepoPath::root()]),
            sealed: Vec::new(),
        }
    }
}

impl Workspace {
    /// The thing known at `path`; `None` also for the root, which is always there.
    #[must_use]
    pub fn get(&self, path: &RepoPath) -> Option<&Node> {
        self.dirs.get(&path.parent()?)?.children.get(path.name())
    }

    /// Whether `path` is a known directory.
    #[must_use]
    pub fn is_dir(&self, path: &RepoPath) -> bool {
        self.dirs.contains_key(path)
    }

    /// What the directory `path` holds.
    pub fn children(&self, path: &RepoPath) -> impl Iterator<Item = (&[u8], &Node)> {
        self.dirs
            .get(path)
            .into_iter()
            .flat_map(|d| d.children.iter().map(|(n, c)| (&**n, c)))
    }

    /// The known directories at and below `dir`, outer ones first.
    #[must_use]
    pub fn dirs_within(&self, dir: &RepoPath) -> Vec<RepoPath> {
        let mut all = Vec::new();
        if self.is_dir(dir) {
            all.push(dir.clone());
        }
        all.extend(keys_below(&self.dirs, dir));
        all
    }

    fn touch(&mut self, dir: &RepoPath) {
        let mut at = Some(dir.clone());
        while let Some(d) = at {
            if let Some(known) = self.dirs.get_mut(&d) {
                known.tree = None;
            }
            at = d.parent();
            if !self.stale.insert(d) {
                break;
            }
        }
    }

    /// Takes note of what is at `path`; `false` when its parent is not a known directory. A directory keeps what it
    /// holds, everything else replaces what was there.
    pub fn set(&mut self, path: &RepoPath, node: Node) -> bool {
        let Some(parent) = path.parent() else {
            return true;
        };
        let is_dir = node.is_dir();
        let Some(dir) = self.dirs.get_mut(&parent) else {
            return false;
        };
        let old = dir.children.get(path.name());
        let same = old.is_some_and(|o| o.same_entry(&node));
        let was_dir = old.is_some_and(Node::is_dir);
        if old.is_some() {
            if let Some(slot) = dir.children.get_mut(path.name()) {
                *slot = node;
            }
        } else {
            dir.children.insert(path.name().into(), node);
        }
        if was_dir && !is_dir {
            self.drop_dirs(path);
        } else if is_dir && !was_dir {
            self.dirs.insert(path.clone(), Dir::default());
            self.touch(path);
        }
        if !same {
            self.touch(&parent);
        }
        true
    }

    /// Takes note of all that the known directory `dir` holds, sorted by name, where nothing was known in it. Packs
    /// closer than one by one.
    pub fn fill(&mut self, dir: &RepoPath, nodes: Vec<(Box<[u8]>, Node)>) {
        let below: Vec<RepoPath> = nodes
            .iter()
            .filter(|(_, node)| node.is_dir())
            .filter_map(|(name, _)| dir.join(name).ok())
            .collect();
        let Some(known) = self.dirs.get_mut(dir) else {
            return;
        };
        known.children = nodes.into_iter().collect();
        self.touch(dir);
        for path in below {
            self.dirs.insert(path.clone(), Dir::default());
            self.touch(&path);
        }
    }

    /// Whether nothing is known in the directory `dir`.
    #[must_use]
    pub fn is_blank(&self, dir: &RepoPath) -> bool {
        self.dirs.get(dir).is_some_and(|d| d.children.is_empty())
    }

    fn drop_dirs(&mut self, dir: &RepoPath) {
        for d in self.dirs_within(dir) {
            self.dirs.remove(&d);
            self.stale.remove(&d);
        }
    }

    /// Forgets what is at `path` and below.
    pub fn remove(&mut self, path: &RepoPath) -> Option<Node> {
        let parent = path.parent()?;
        let old = self.dirs.get_mut(&parent)?.children.remove(path.name())?;
        if old.is_dir() {
            self.drop_dirs(path);
        }
        self.touch(&parent);
        Some(old)
    }

    /// Forgets what is directly in `dir` under a name for which `keep` is false.
    pub fn retain(&mut self, dir: &RepoPath, keep: impl Fn(&[u8]) -> bool) {
        let gone: Vec<RepoPath> = self
            .children(dir)
            .filter(|(name, _)| !keep(name))
            .filter_map(|(name, _)| dir.join(name).ok())
            .collect();
        for path in gone {
            self.remove(&path);
        }
    }

    /// The store may have lost what was put since the last commit: the directories of the last sealing are stored
    /// again, and the files at `paths` are read again when they are looked at.
    pub fn doubt<'a>(&mut self, paths: impl IntoIterator<Item = &'a RepoPath>) {
        for dir in std::mem::take(&mut self.sealed) {
            if self.is_dir(&dir) {
                self.touch(&dir);
            }
        }
        for path in paths {
            if let Some(dir) = path.parent().and_then(|p| self.dirs.get_mut(&p))
                && let Some(node) = dir.children.get_mut(path.name())
                && let What::File { ctime_ns, .. } = &mut node.what
            {
                *ctime_ns = i64::MIN;
            }
        }
    }

    /// The last sealing is durable.
    pub fn settled(&mut self) {
        self.sealed.clear();
    }

    fn take(&mut self, path: &RepoPath) -> Option<(Node, Vec<(RepoPath, Dir)>)> {
        let parent = path.parent()?;
        let node = self.dirs.get_mut(&parent)?.children.remove(path.name())?;
        let mut dirs = Vec::new();
        if node.is_dir() {
            for d in self.dirs_within(path) {
                self.stale.remove(&d);
                if let Some(dir) = self.dirs.remove(&d) {
                    dirs.push((d, dir));
                }
            }
        }
        self.touch(&parent);
        Some((node, dirs))
    }

    fn put(&mut self, from: &RepoPath, to: &RepoPath, taken: (Node, Vec<(RepoPath, Dir)>)) {
        let Some(parent) = to.parent() else { return };
        let Some(into) = self.dirs.get_mut(&parent) else {
            return;
        };
        into.children.insert(to.name().into(), taken.0);
        self.touch(&parent);
        for (old, dir) in taken.1 {
            if let Some(new) = old.moved(from, to) {
                let stale = dir.tree.is_none();
                self.dirs.insert(new.clone(), dir);
                if stale {
                    self.touch(&new);
                }
            }
        }
    }

    /// Gives what is at `from` the name `to` (with `exchange`, swaps the two). What was at `to` is forgotten; if
    /// nothing is known at `from`, then nothing is known at `to` afterwards either.
    pub fn rename(&mut self, from: &RepoPath, to: &RepoPath, exchange: bool) {
        if from == to {
            return;
        }
        let source = self.take(from);
        let target = self.take(to);
        if let Some(taken) = source {
            self.put(from, to, taken);
        }
        if exchange && let Some(taken) = target {
            self.put(to, from, taken);
        }
    }

    /// Stores the directories that changed and returns the root's tree id.
    pub fn seal(&mut self, store: &Store) -> store::Result<TreeId> {
        // In reverse order a directory comes after all that it holds.
        while let Some(path) = self.stale.last().cloned() {
            if let Some(dir) = self.dirs.get(&path) {
                let mut entries = Vec::with_capacity(dir.children.len());
                for (name, node) in &dir.children {
                    entries.push(self.entry(&path, name, node, store.empty_tree()));
                }
                let id = if entries.is_empty() {
                    store.empty_tree()
                } else {
                    store.put_tree(&Tree { entries })?
                };
                if let Some(dir) = self.dirs.get_mut(&path) {
                    dir.tree = Some(id);
                }
                self.sealed.push(path.clone());
            }
            self.stale.remove(&path);
        }
        Ok(self
            .dirs
            .get(&RepoPath::root())
            .and_then(|d| d.tree)
            .unwrap_or_else(|| store.empty_tree()))
    }

    fn entry(&self, dir: &RepoPath, name: &[u8], node: &Node, empty: TreeId) -> Entry {
        let kind = match &node.what {
            What::File { blob, size, .. } => Kind::File {
                blob: *blob,
                size: *size,
            },
            What::Other(o) => o.kind.clone(),
            What::Dir { .. } => {
                let tree = dir
                    .join(name)
                    .ok()
                    .and_then(|path| self.dirs.get(&path))
                    .and_then(|d| d.tree);
                Kind::Dir(tree.unwrap_or(empty))
            }
        };
        Entry {
            name: name.to_vec(),
            mode: u32::from(node.mode),
            kind,
        }
    }

    /// The side record of the path: what a tree leaves out.
    #[must_use]
    pub fn attr(&self, path: &RepoPath) -> Option<Attr> {
        let node = self.get(path)?;
        Some(Attr {
            path: path.clone(),
            mtime_ns: node.stamp()?.mtime_ns,
            uid: node.uid,
            gid: node.gid,
        })
    }

    /// The paths of known files that are one of `inodes` (device, inode). Walks everything.
    #[must_use]
    pub fn names_of(&self, inodes: &BTreeSet<(u64, u64)>) -> Vec<RepoPath> {
        let mut found = Vec::new();
        for (dir, known) in &self.dirs {
            for (name, node) in &known.children {
                if let What::File { dev, ino, .. } = node.what
                    && inodes.contains(&(dev, ino))
                    && let Ok(path) = dir.join(name)
                {
                    found.push(path);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn p(s: &str) -> RepoPath {
        RepoPath::try_from(s).unwrap()
    }

    fn file(n: u8) -> Node {
        Node {
            what: What::File {
                blob: BlobId([n; 32]),
                size: 1,
                dev: 1,
                ino: u64::from(n),
                mtime_ns: 0,
                ctime_ns: 0,
            },
            mode: 0o644,
            uid: 0,
            gid: 0,
        }
    }

    fn dir() -> Node {
        Node {
            what: What::Dir { dev: 1, ino: 1 },
            mode: 0o755,
            uid: 0,
            gid: 0,
        }
    }

    fn sample() -> (tempfile::TempDir, Store, Workspace) {
        let at = tempfile::tempdir().unwrap();
        let store = Store::open(at.path()).unwrap();
        let mut w = Workspace::default();
        for d in ["a", "a/b", "c"] {
            assert!(w.set(&p(d), dir()));
        }
        for (n, f) in ["a/b/x", "a/y", "c/z"].into_iter().enumerate() {
            assert!(w.set(&p(f), file(n as u8)));
        }
        w.seal(&store).unwrap();
        w.settled();
        (at, store, w)
    }

    #[test]
    fn only_changed_directories_are_stored_again() {
        let (_at, store, mut w) = sample();
        let first = w.seal(&store).unwrap();
        assert!(w.sealed.is_empty(), "nothing to do");
        // Looked at again, and found the same but for times.
        let mut again = file(0);
        if let What::File { mtime_ns, .. } = &mut again.what {
            *mtime_ns = 5;
        }
        w.set(&p("a/b/x"), again);
        assert_eq!(w.seal(&store).unwrap(), first);
        assert!(w.sealed.is_empty());
        w.set(&p("a/b/x"), file(9));
        assert_ne!(w.seal(&store).unwrap(), first);
        assert_eq!(w.sealed, [p("a/b"), p("a"), RepoPath::root()]);
        w.doubt(&[p("a/b/x")]);
        assert_eq!(
            w.get(&p("a/b/x")).unwrap().stamp().unwrap().ctime_ns,
            i64::MIN
        );
        w.seal(&store).unwrap();
        assert_eq!(w.sealed.len(), 3, "stored again");
    }

    #[test]
    fn a_moved_subtree_keeps_its_trees() {
        let (_at, store, mut w) = sample();
        let first = w.seal(&store).unwrap();
        w.rename(&p("a"), &p("c/moved"), false);
        assert!(w.get(&p("a")).is_none() && !w.is_dir(&p("a/b")));
        assert!(w.get(&p("c/moved/b/x")).is_some());
        w.seal(&store).unwrap();
        assert_eq!(w.sealed, [p("c"), RepoPath::root()]);
        w.rename(&p("c/moved"), &p("a"), false);
        assert_eq!(w.seal(&store).unwrap(), first);
        w.rename(&p("a"), &p("c"), true);
        assert!(w.get(&p("c/b/x")).is_some() && w.get(&p("a/z")).is_some());
        w.rename(&p("a"), &p("c"), true);
        assert_eq!(w.seal(&store).unwrap(), first);
        // Nothing is known at the old name: nothing is known at the new one.
        w.rename(&p("none"), &p("a"), false);
        assert!(!w.is_dir(&p("a")) && !w.is_dir(&p("a/b")));
    }

    #[test]
    fn what_takes_a_directorys_place_drops_what_it_held() {
        let (_at, store, mut w) = sample();
        w.set(&p("a"), file(7));
        assert!(!w.set(&p("a/y"), file(1)), "no directory any more");
        assert_eq!(w.dirs_within(&RepoPath::root()), [RepoPath::root(), p("c")]);
        w.set(&p("a"), dir());
        assert!(w.is_blank(&p("a")));
        w.fill(
            &p("a"),
            vec![(b"sub"[..].into(), dir()), (b"z"[..].into(), file(3))],
        );
        assert!(w.is_dir(&p("a/sub")));
        w.retain(&p("a"), |name| name == b"z");
        assert!(!w.is_dir(&p("a/sub")));
        let tree = store.tree(w.seal(&store).unwrap()).unwrap();
        assert_eq!(tree.entries.len(), 2);
        assert_eq!(w.names_of(&BTreeSet::from([(1, 3)])), [p("a/z")]);
    }
}
