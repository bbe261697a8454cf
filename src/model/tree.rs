//! A directory as it is kept: sorted entries, without times.

use super::{BlobId, RepoPath, TreeId};

/// What an entry is, with its content's identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file; size in bytes.
    File {
        /// Identity of the whole content.
        blob: BlobId,
        /// Length in bytes.
        size: u64,
    },
    /// A directory.
    Dir(TreeId),
    /// A symbolic link with its target's bytes, never followed.
    Symlink(Vec<u8>),
    /// A named pipe.
    Fifo,
    /// A Unix socket: shown, not restored.
    Socket,
    /// A character or block device: shown, not restored.
    Device {
        /// `true` for a block device.
        block: bool,
        /// Device number.
        rdev: u64,
    },
    /// A file of which only this is known, that it is there: a recording did not tell its content. Never captured.
    Unknown {
        /// Which of the contents that are not known: it differs where the content surely does not stay the same, so that
        /// a change from one to the next is a change.
        version: u32,
    },
}

impl Kind {
    /// One word for people: `file`, `dir`, `link`, `fifo`, `socket`, `device`, `unknown`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Dir(_) => "dir",
            Self::Symlink(_) => "link",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Device { .. } => "device",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// The directory's tree, if it is one.
    #[must_use]
    pub fn tree(&self) -> Option<TreeId> {
        match self {
            Self::Dir(t) => Some(*t),
            _ => None,
        }
    }

    /// The file's content, if it is one.
    #[must_use]
    pub fn blob(&self) -> Option<BlobId> {
        match self {
            Self::File { blob, .. } => Some(*blob),
            _ => None,
        }
    }
}

/// A named thing in a directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// One path component: any bytes but `/` and NUL.
    pub name: Vec<u8>,
    /// Permission bits, `0o7777` at most. Symbolic links always carry `0o777`.
    pub mode: u32,
    /// What it is.
    pub kind: Kind,
}

/// A directory's entries, sorted by name bytes, names unique. The mode of a directory is in its parent's entry; the
/// root's is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Tree {
    /// Sorted by `name`.
    pub entries: Vec<Entry>,
}

impl Tree {
    /// Makes a tree of entries in any order; a later entry replaces an earlier one of the same name.
    #[must_use]
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.reverse();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries.dedup_by(|later, kept| later.name == kept.name);
        Self { entries }
    }

    /// The entry of that name.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&Entry> {
        self.entries
            .binary_search_by(|e| e.name.as_slice().cmp(name))
            .ok()
            .and_then(|i| self.entries.get(i))
    }

    /// Inserts or replaces.
    pub fn set(&mut self, entry: Entry) {
        match self.entries.binary_search_by(|e| e.name.cmp(&entry.name)) {
            Ok(i) => self.entries[i] = entry,
            Err(i) => self.entries.insert(i, entry),
        }
    }

    /// Removes the entry of that name and returns it.
    pub fn remove(&mut self, name: &[u8]) -> Option<Entry> {
        self.entries
            .binary_search_by(|e| e.name.as_slice().cmp(name))
            .ok()
            .map(|i| self.entries.remove(i))
    }

    /// The path of `entry` when this tree is the directory `dir`; `None` for a hostile name.
    #[must_use]
    pub fn path_of(dir: &RepoPath, entry: &Entry) -> Option<RepoPath> {
        dir.join(&entry.name).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, n: u8) -> Entry {
        Entry {
            name: name.as_bytes().to_vec(),
            mode: 0o644,
            kind: Kind::File {
                blob: BlobId([n; 32]),
                size: 1,
            },
        }
    }

    #[test]
    fn sorted_unique_last_wins() {
        let t = Tree::new(vec![file("b", 1), file("a", 2), file("b", 3)]);
        assert_eq!(t.entries, vec![file("a", 2), file("b", 3)]);
        assert_eq!(t.get(b"b"), Some(&file("b", 3)));
        assert_eq!(t.get(b"c"), None);
    }
}
