//! The tree of the latest state, held so that a change of one file writes only the directories above it.

use std::collections::BTreeMap;

use crate::model::{Entry, Kind, RepoPath, Tree, TreeId};
use crate::store::{self, Store};

use super::files::State;

/// Nobody tells the modes of files.
const FILE: u32 = 0o644;
const DIR: u32 = 0o755;

/// A directory in memory.
#[derive(Default)]
pub(super) struct Dirs {
    entries: BTreeMap<Vec<u8>, Node>,
    /// Its tree, while it is as it was when it was stored.
    tree: Option<TreeId>,
}

enum Node {
    Leaf(Kind),
    Dir(Dirs),
}

impl Dirs {
    /// Sets a file, or removes it. A file that stands where a directory is wanted goes, and the other way round.
    pub fn set(&mut self, path: &RepoPath, state: State) {
        let parts: Vec<&[u8]> = path.parts().collect();
        self.set_parts(&parts, leaf(state));
    }

    fn set_parts(&mut self, parts: &[&[u8]], leaf: Option<Kind>) {
        let Some((name, rest)) = parts.split_first() else {
            return;
        };
        self.tree = None;
        match (rest.is_empty(), leaf) {
            (true, Some(kind)) => {
                self.entries.insert(name.to_vec(), Node::Leaf(kind));
            }
            (true, None) => {
                // A file that goes takes no directory along that has its name by now.
                if matches!(self.entries.get(*name), Some(Node::Leaf(_))) {
                    self.entries.remove(*name);
                }
            }
            (false, leaf) => {
                let node = match self.entries.get_mut(*name) {
                    Some(Node::Dir(dir)) => Some(dir),
                    _ if leaf.is_none() => None,
                    _ => {
                        self.entries
                            .insert(name.to_vec(), Node::Dir(Self::default()));
                        match self.entries.get_mut(*name) {
                            Some(Node::Dir(dir)) => Some(dir),
                            _ => None,
                        }
                    }
                };
                if let Some(dir) = node {
                    dir.set_parts(rest, leaf);
                    if dir.entries.is_empty() {
                        self.entries.remove(*name);
                    }
                }
            }
        }
    }

    /// The entry at a path.
    pub fn entry(&self, path: &RepoPath) -> Option<Entry> {
        let mut dir = self;
        let mut parts = path.parts().peekable();
        while let Some(part) = parts.next() {
            match dir.entries.get(part)? {
                Node::Leaf(kind) if parts.peek().is_none() => {
                    return Some(Entry {
                        name: part.to_vec(),
                        mode: FILE,
                        kind: kind.clone(),
                    });
                }
                Node::Leaf(_) => return None,
                Node::Dir(below) => dir = below,
            }
        }
        None
    }

    /// Stores what changed.
    pub fn store(&mut self, store: &Store) -> store::Result<TreeId> {
        if let Some(tree) = self.tree {
            return Ok(tree);
        }
        let mut entries = Vec::with_capacity(self.entries.len());
        for (name, node) in &mut self.entries {
            let (mode, kind) = match node {
                Node::Leaf(kind) => (FILE, kind.clone()),
                Node::Dir(dir) => (DIR, Kind::Dir(dir.store(store)?)),
            };
            entries.push(Entry {
                name: name.clone(),
                mode,
                kind,
            });
        }
        let tree = if entries.is_empty() {
            store.empty_tree()
        } else {
            store.put_tree(&Tree { entries })?
        };
        self.tree = Some(tree);
        Ok(tree)
    }
}

fn leaf(state: State) -> Option<Kind> {
    match state {
        State::Absent | State::Unsure => None,
        State::Unknown(version) => Some(Kind::Unknown { version }),
        State::Content(known) => Some(match known {
            crate::model::Known::Content { blake3, size, .. } => Kind::File { blob: blake3, size },
            _ => Kind::Unknown { version: 0 },
        }),
    }
}
