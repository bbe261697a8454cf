//! Putting parts of a past state back into the workspace.

use serde::{Deserialize, Serialize};

use super::{FileChange, Resolved, RollbackReport};
use crate::model::{BlobId, RepoPath};

/// A part of a past state that is wanted back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// A path with all below it, as it was: content, mode, target; gone, where nothing was there.
    Whole {
        /// Which.
        path: RepoPath,
    },
    /// Lines of a text file. What the workspace has elsewhere in it stays.
    Lines {
        /// Which file.
        path: RepoPath,
        /// Its content then, of which the numbers are: another one is refused.
        of: BlobId,
        /// Which lines of that.
        lines: Vec<PastLines>,
    },
}

impl Part {
    /// The path that it is about.
    #[must_use]
    pub fn path(&self) -> &RepoPath {
        match self {
            Self::Whole { path } | Self::Lines { path, .. } => path,
        }
    }
}

/// A run of lines of a past content. None at all (`count` is 0) names the place before a line, where something came since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastLines {
    /// The first, from 0.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// Also take away what came right before and right after them.
    #[serde(default)]
    pub edges: bool,
}

/// What restoring does or did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoreReport {
    /// The past state.
    pub past: Resolved,
    /// What happens to the workspace, as for a rollback; without an operation when nothing differed.
    pub report: RollbackReport,
    /// The same with kinds and counts of lines.
    pub changes: Vec<FileChange>,
}
