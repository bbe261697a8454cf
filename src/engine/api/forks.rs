//! What is said of forks: branches with a view of their own, in which agents run beside the workspace.

use serde::{Deserialize, Serialize};

use super::{CommitInfo, Resolved};
use crate::model::{RepoPath, SessionId};

/// A branch that has a view of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForkInfo {
    /// The branch.
    pub branch: String,
    /// The commit that was forked.
    pub base: Resolved,
    /// The branch's latest commit.
    pub tip: CommitInfo,
    /// Where its view is mounted; `None` while nobody uses it.
    pub mounted: Option<String>,
    /// The sessions that run in it.
    pub sessions: Vec<SessionId>,
    /// How many paths its latest commit has otherwise than its base.
    pub changed: usize,
    /// Left-out paths at which the project has changed since the fork, as far as anybody looked.
    pub drift: Vec<RepoPath>,
    /// What its own files take up on disk, in bytes.
    pub disk: u64,
}
