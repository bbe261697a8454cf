//! Trees and contents that a merge reads and makes.
//!
//! What a merge makes stays in memory ([`Made`]) until somebody keeps it: a merge that is only looked at, or that is tried
//! again at every change of two running forks, leaves nothing in the store.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::diff::tree::TreeReader;
use crate::model::{BlobId, Entry, Kind, RepoPath, Tree, TreeId};
use crate::store::{self, Store, tree_id};

use super::Error;

/// Where trees and contents are read.
pub trait Objects: TreeReader {
    /// The whole content of that id.
    fn read_blob(&self, id: BlobId) -> Result<Vec<u8>, store::Error>;
}

impl Objects for Store {
    fn read_blob(&self, id: BlobId) -> Result<Vec<u8>, store::Error> {
        self.blob(id)
    }
}

/// What merges made and no store has yet.
#[derive(Debug, Clone, Default)]
pub struct Made {
    blobs: HashMap<BlobId, Arc<Vec<u8>>>,
    trees: HashMap<TreeId, Arc<Tree>>,
}

impl Made {
    /// Keeps a content; gives what a directory says of it.
    pub fn blob(&mut self, content: Vec<u8>) -> Kind {
        let (blob, size) = (BlobId::of(&content), content.len() as u64);
        self.blobs.insert(blob, Arc::new(content));
        Kind::File { blob, size }
    }

    /// Keeps a directory.
    pub fn tree(&mut self, tree: Tree) -> TreeId {
        let id = tree_id(&tree);
        self.trees.insert(id, Arc::new(tree));
        id
    }

    /// Reads what was made, and what was there before.
    #[must_use]
    pub fn over<'a>(&'a self, under: &'a dyn Objects) -> Over<'a> {
        Over { made: self, under }
    }

    /// Puts the tree `id` into the store with everything in it that was made here. Nothing else is written.
    pub fn keep(&self, store: &Store, id: TreeId) -> Result<(), Error> {
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            // What was not made here was there before, and so is everything in it.
            let Some(tree) = self.trees.get(&id) else {
                continue;
            };
            for entry in &tree.entries {
                match &entry.kind {
                    Kind::Dir(below) => open.push(*below),
                    Kind::File { blob, .. } => {
                        if let Some(content) = self.blobs.get(blob) {
                            store.put_blob(content)?;
                        }
                    }
                    _ => {}
                }
            }
            store.put_tree(tree)?;
        }
        Ok(())
    }
}

/// Made objects over those of a store.
pub struct Over<'a> {
    made: &'a Made,
    under: &'a dyn Objects,
}

impl TreeReader for Over<'_> {
    fn read_tree(&self, id: TreeId) -> Result<Arc<Tree>, store::Error> {
        match self.made.trees.get(&id) {
            Some(tree) => Ok(Arc::clone(tree)),
            None => self.under.read_tree(id),
        }
    }
}

impl Objects for Over<'_> {
    fn read_blob(&self, id: BlobId) -> Result<Vec<u8>, store::Error> {
        match self.made.blobs.get(&id) {
            Some(content) => Ok(content.as_ref().clone()),
            None => self.under.read_blob(id),
        }
    }
}

/// The entry at `path`, if there is one.
pub fn lookup(
    objects: &dyn Objects,
    root: TreeId,
    path: &RepoPath,
) -> Result<Option<Entry>, Error> {
    let mut tree = root;
    let mut found = None;
    let mut parts = path.parts().peekable();
    while let Some(part) = parts.next() {
        let Some(entry) = objects.read_tree(tree)?.get(part).cloned() else {
            return Ok(None);
        };
        if parts.peek().is_some() {
            let Some(below) = entry.kind.tree() else {
                return Ok(None);
            };
            tree = below;
        }
        found = Some(entry);
    }
    Ok(found)
}

/// What becomes of the names in one directory.
type Names = BTreeMap<Vec<u8>, Option<Entry>>;

/// The tree `root` with other entries at some paths (`None`: nothing). Directories on the way are made where they are
/// missing; one that becomes empty by it goes, as in git. What stands in the way of a directory is replaced.
pub fn with_entries(
    made: &mut Made,
    under: &dyn Objects,
    root: TreeId,
    entries: &BTreeMap<RepoPath, Option<Entry>>,
) -> Result<TreeId, Error> {
    // Deepest first: what a directory became is an entry of its parent.
    let key = |dir: RepoPath| (Reverse(dir.parts().count()), dir);
    let mut dirs: BTreeMap<(Reverse<usize>, RepoPath), Names> = BTreeMap::new();
    for (path, entry) in entries {
        let Some(dir) = path.parent() else { continue };
        let entry = entry.clone().map(|e| Entry {
            name: path.name().to_vec(),
            ..e
        });
        dirs.entry(key(dir))
            .or_default()
            .insert(path.name().to_vec(), entry);
    }
    let mut new_root = root;
    while let Some(((_, dir), changes)) = dirs.pop_first() {
        let over = made.over(under);
        let was = if dir.is_root() {
            Some(Entry {
                name: Vec::new(),
                mode: 0o755,
                kind: Kind::Dir(root),
            })
        } else {
            lookup(&over, root, &dir)?
        };
        let id = was.as_ref().and_then(|e| e.kind.tree());
        let adds = changes.values().any(Option::is_some);
        if id.is_none() && !adds {
            continue;
        }
        let mut tree = match id {
            Some(id) => Tree::clone(over.read_tree(id)?.as_ref()),
            None => Tree::default(),
        };
        let had = !tree.entries.is_empty();
        for (name, entry) in changes {
            match entry {
                Some(entry) => tree.set(entry),
                None => drop(tree.remove(&name)),
            }
        }
        let gone = had && tree.entries.is_empty();
        let id = made.tree(tree);
        if dir.is_root() {
            new_root = id;
        } else if let Some(parent) = dir.parent() {
            let entry = (!gone).then(|| Entry {
                name: dir.name().to_vec(),
                mode: was
                    .filter(|e| e.kind.tree().is_some())
                    .map_or(0o755, |e| e.mode),
                kind: Kind::Dir(id),
            });
            // An entry given for the directory itself says more than what follows from below it.
            let slot = dirs
                .entry(key(parent))
                .or_default()
                .entry(dir.name().to_vec());
            slot.or_insert(entry);
        }
    }
    Ok(new_root)
}
