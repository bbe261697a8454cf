//! Which way two contents of a file are put together.
//!
//! By lines first, as git does it: where that is clean and what comes out is still what the file's name says, it stands.
//! Else the structure of the file may help (`structured`), or a rule for files of its kind.

use crate::diff::text::is_binary;
use crate::model::RepoPath;

use super::conflict::{ConflictKind, Piece, pieces};
use super::text;

/// How a file was put together, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    /// By lines.
    Lines,
}

impl How {
    /// As a word of a sentence: "merged by lines".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Lines => "by lines",
        }
    }
}

/// What became of two contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// One content, and how it came about.
    Clean(Vec<u8>, How),
    /// Parts are in conflict, or all of it (no pieces).
    Conflict(ConflictKind, Vec<Piece>),
}

/// Puts two contents of the file `path` together. Without a base both sides made the file.
#[must_use]
pub fn merge(path: &RepoPath, base: Option<&[u8]>, ours: &[u8], theirs: &[u8]) -> Outcome {
    let _ = path;
    let kind = if base.is_some() {
        ConflictKind::Content
    } else {
        ConflictKind::BothAdded
    };
    let base = base.unwrap_or_default();
    if [base, ours, theirs]
        .iter()
        .any(|c| is_binary(c) || c.len() > text::MAX_BYTES)
    {
        return Outcome::Conflict(ConflictKind::Binary, Vec::new());
    }
    let merged = text::merge(base, ours, theirs);
    match merged.text() {
        Some(text) => Outcome::Clean(text, How::Lines),
        None => Outcome::Conflict(kind, pieces(&merged)),
    }
}
