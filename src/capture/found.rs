//! What was known of a path, and what it was found to be: the words between a sweep and those who ask it.

use std::collections::{BTreeMap, HashSet};

use super::dirty::Mark;
use super::disk::{Stamp, Stat, Type};
use crate::model::{BlobId, RepoPath};

/// What was known of a path before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prior {
    /// A directory.
    Dir,
    /// A file with this content.
    File {
        /// Its content.
        blob: BlobId,
        /// Its length.
        size: u64,
        /// What it looked like then, as far as that is known.
        stamp: Option<Stamp>,
        /// Its modification time, when that is all that is known.
        mtime_ns: Option<i64>,
    },
    /// Something else.
    Other,
}

impl Prior {
    /// The content, if a file that only got another mode or name is meant and its other facts agree. The change time
    /// does not count then; but one that equals nothing stands for a content that is in doubt.
    pub(super) fn untouched(&self, now: &Stamp) -> Option<BlobId> {
        match self {
            Self::File {
                blob,
                stamp: Some(then),
                ..
            } if then.ctime_ns != i64::MIN => {
                let ctime_ns = now.ctime_ns;
                (Stamp { ctime_ns, ..*then } == *now).then_some(*blob)
            }
            _ => None,
        }
    }

    /// The content, if the file looks exactly as it did when that was read.
    pub(super) fn unchanged(&self, now: &Stamp) -> Option<BlobId> {
        match self {
            Self::File {
                blob,
                size,
                stamp,
                mtime_ns,
            } => {
                let same = match (stamp, mtime_ns) {
                    (Some(stamp), _) => stamp == now,
                    (None, Some(mtime)) => *mtime == now.mtime_ns && *size == now.size,
                    (None, None) => false,
                };
                same.then_some(*blob)
            }
            _ => None,
        }
    }
}

/// Answers what was known of a path.
pub trait Known: Send + Sync {
    /// What was known of `path`; `None` if nothing was.
    fn known(&self, path: &RepoPath) -> Option<Prior>;
}

/// What a path was.
#[derive(Debug, Clone)]
pub enum Found {
    /// Nothing was there.
    Absent,
    /// The rules leave it out; whether it is a directory.
    LeftOut(bool),
    /// It was there and cannot be read.
    Unreadable(String),
    /// It was this.
    There(Box<Seen>),
}

/// A thing that was looked at.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The look.
    pub stat: Stat,
    /// The stamp to compare with later.
    pub stamp: Stamp,
    /// What it holds.
    pub content: Content,
}

/// What a thing holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file's content; `still` is false if it changed while it was read, every time.
    Blob {
        /// Its identity.
        blob: BlobId,
        /// Its length.
        size: u64,
        /// Whether it held still.
        still: bool,
    },
    /// A link's target.
    Target(Vec<u8>),
    /// Nothing of its own.
    Nothing,
}

impl Found {
    pub(super) fn is_dir(&self) -> bool {
        matches!(self, Self::There(s) if s.stat.kind == Type::Dir)
    }
}

/// What a directory's names were.
pub type Names = BTreeMap<Box<[u8]>, Found>;

/// What a sweep found.
#[derive(Default)]
pub struct Findings {
    /// The marks that were asked for.
    pub marks: BTreeMap<RepoPath, Mark>,
    /// What the names in each directory were.
    pub names: BTreeMap<RepoPath, Names>,
    /// Directories whose names are all there.
    pub listed: HashSet<RepoPath>,
    /// What went wrong, for people.
    pub problems: Vec<String>,
}
