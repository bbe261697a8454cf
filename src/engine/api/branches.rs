//! What is said of branches: lists, comparisons, what became of them.

use serde::{Deserialize, Serialize};

use super::{CommitInfo, FileChange, Resolved};
use crate::model::{CommitId, OpId, RepoPath};

/// The workspace went from one branch to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switched {
    /// The one that it left.
    pub from: String,
    /// The one that it is on now.
    pub to: String,
}

/// A branch for lists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BranchInfo {
    /// Its name.
    pub name: String,
    /// The workspace is on it.
    pub current: bool,
    /// Its latest commit.
    pub commit: CommitInfo,
}

/// How two revisions stand to each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Their best common ancestors: none for unrelated histories, several where merges cross. Changes are counted from the
    /// first, or from an empty project.
    pub bases: Vec<Resolved>,
    /// One.
    pub a: Side,
    /// The other.
    pub b: Side,
    /// Paths that both sides changed.
    pub both: Vec<Overlap>,
}

/// What one revision has that the other has not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// The revision as it was asked for.
    pub rev: String,
    /// What it names.
    pub at: Resolved,
    /// How many commits only this side has.
    pub ahead: u64,
    /// The newest of them.
    pub commits: Vec<CommitInfo>,
    /// What it changed since the base.
    pub changes: Vec<FileChange>,
}

/// A path that two sides changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// The path.
    pub path: RepoPath,
    /// Both made the same of it.
    pub alike: bool,
}

/// What was done to branches, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchReport {
    /// Nothing was done.
    pub dry_run: bool,
    /// A line for people.
    pub description: String,
    /// The branches that came, went or were renamed.
    pub changes: Vec<BranchChange>,
    /// The operation, once done.
    pub operation: Option<OpId>,
}

/// What became of a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchChange {
    /// Its name.
    pub name: String,
    /// Its latest commit before; `None` for a new one.
    pub before: Option<CommitId>,
    /// Its latest commit now; `None` when there is no branch of that name any more.
    pub after: Option<CommitId>,
    /// For one that was pruned: a branch that has all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by: Option<String>,
}
