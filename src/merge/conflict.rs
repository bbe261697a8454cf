//! Conflicts as values: what two sides disagree about, with all that is needed to look at it and to settle it.
//!
//! The same three trees always give the same conflicts in the same order, so that a resolution may name one by its path
//! and a hunk by its number, and an unfinished merge is kept as its three trees and the picks made so far.

use serde::{Deserialize, Serialize};

use crate::model::{Entry, RepoPath};

use super::text::{Merged, Part, Sides};

/// What kind of disagreement it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConflictKind {
    /// Both changed the same lines or keys.
    Content,
    /// Both made a file of that name, with different contents.
    BothAdded,
    /// Both changed a file that cannot be merged by lines.
    Binary,
    /// Ours deleted what theirs changed.
    DeletedByOurs,
    /// Theirs deleted what ours changed.
    DeletedByTheirs,
    /// One side has a directory where the other has something else.
    FileDirectory,
    /// The sides made different kinds of thing of it: a file and a link, ...
    Type,
    /// Both changed where a link points.
    Link,
    /// Both changed the permissions, differently.
    Mode,
    /// The sides gave one file two different names.
    RenamedTwice,
    /// One side renamed what the other deleted.
    RenamedDeleted,
    /// A lock file that both changed: take either, and make it anew with its tool.
    LockFile,
}

impl ConflictKind {
    /// What it is, for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Content => "both changed the same part",
            Self::BothAdded => "both added it, differently",
            Self::Binary => "both changed it, and it cannot be merged by lines",
            Self::DeletedByOurs => "ours deleted it, theirs changed it",
            Self::DeletedByTheirs => "theirs deleted it, ours changed it",
            Self::FileDirectory => "a directory on one side, not on the other",
            Self::Type => "the sides made different kinds of thing of it",
            Self::Link => "both changed where the link points",
            Self::Mode => "both changed its permissions, differently",
            Self::RenamedTwice => "the sides gave it two different names",
            Self::RenamedDeleted => "one side renamed it, the other deleted it",
            Self::LockFile => {
                "both changed this lock file: take either, then make it anew with its tool"
            }
        }
    }
}

/// Something that two sides disagree about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Where: in the merged tree, so the new name of a renamed file. Each conflict has a path of its own.
    pub path: RepoPath,
    /// What about.
    pub kind: ConflictKind,
    /// What the base has.
    pub base: Option<Entry>,
    /// What ours has.
    pub ours: Option<Entry>,
    /// What theirs has.
    pub theirs: Option<Entry>,
    /// The path on either side, where it is not `path`: ours, then theirs.
    pub paths: [Option<RepoPath>; 2],
    /// The file in pieces, settled ones and those in conflict; empty where there is nothing to be taken apart.
    pub pieces: Vec<Piece>,
}

impl Conflict {
    /// The parts of the file that are in conflict, first to last.
    pub fn hunks(&self) -> impl Iterator<Item = &Hunk> {
        self.pieces.iter().filter_map(|p| match p {
            Piece::Hunk(hunk) => Some(hunk),
            Piece::Text(_) => None,
        })
    }
}

/// A piece of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Settled.
    Text(Vec<u8>),
    /// In conflict.
    Hunk(Hunk),
}

/// The three forms of a part of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hunk {
    /// On our side.
    pub ours: Vec<u8>,
    /// Before either changed it.
    pub base: Vec<u8>,
    /// On their side.
    pub theirs: Vec<u8>,
    /// Which key it is the value of (`/servers/0/port`), where the file was merged by structure. Such a hunk is one value:
    /// both sides cannot stand there one after the other.
    pub key: Option<String>,
    /// Whether the file's lines end with CR LF: for what has to end a line.
    pub crlf: bool,
}

impl Hunk {
    /// The sides, for what works on lines.
    #[must_use]
    pub fn sides(&self) -> Sides<'_> {
        Sides {
            ours: &self.ours,
            base: &self.base,
            theirs: &self.theirs,
        }
    }
}

/// A merge by lines as pieces: neighbouring settled parts are one.
#[must_use]
pub fn pieces(merged: &Merged<'_>) -> Vec<Piece> {
    let ends = |text: &[u8]| {
        let at = text.iter().position(|b| *b == b'\n')?;
        Some(text[..at].ends_with(b"\r"))
    };
    let crlf = merged.parts.iter().find_map(|part| match part {
        Part::Conflict(s) => [s.ours, s.theirs, s.base].into_iter().find_map(ends),
        settled => ends(settled.settled()?),
    });
    let mut out: Vec<Piece> = Vec::new();
    for part in &merged.parts {
        match (part, out.last_mut()) {
            (Part::Conflict(sides), _) => out.push(Piece::Hunk(Hunk {
                ours: sides.ours.to_vec(),
                base: sides.base.to_vec(),
                theirs: sides.theirs.to_vec(),
                key: None,
                crlf: crlf.unwrap_or(false),
            })),
            (settled, Some(Piece::Text(text))) => {
                text.extend_from_slice(settled.settled().unwrap_or_default());
            }
            (settled, _) => out.push(Piece::Text(settled.settled().unwrap_or_default().to_vec())),
        }
    }
    out
}
