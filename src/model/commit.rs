//! Commits: immutable nodes of the commit graph.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BlobId, CommitId, RepoPath, SessionId, Time, TreeId};

/// Why a commit was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Cause {
    /// The state in which the project was found.
    Initial,
    /// A burst of changes went quiet.
    Quiet,
    /// A long burst was cut at its time limit.
    Timer,
    /// A call is about to begin.
    PreTool,
    /// A call's result came.
    PostTool,
    /// A person or a script asked.
    Manual,
    /// Saved before a rollback, an undo or a redo.
    Safety,
    /// A session ended.
    SessionEnd,
    /// Found at start: changes made while no engine ran.
    Found,
    /// A merge of branches.
    Merge,
}

impl Cause {
    /// The word on screens and in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Quiet => "quiet",
            Self::Timer => "timer",
            Self::PreTool => "pre-tool",
            Self::PostTool => "post-tool",
            Self::Manual => "manual",
            Self::Safety => "safety",
            Self::SessionEnd => "session-end",
            Self::Found => "found",
            Self::Merge => "merge",
        }
    }
}

/// The key in [`Commit::meta`] that says on the fork of which branch a commit was made.
pub const FORK: &str = "fork";

/// An immutable state of the project with where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Commits this one follows; the first is the line it continues. Empty for a first commit.
    pub parents: Vec<CommitId>,
    /// The project's files.
    pub tree: TreeId,
    /// The captured `.git`, when there is one.
    pub git: Option<TreeId>,
    /// The agent's own state, when it was attached.
    pub state: Option<BlobId>,
    /// Who made the changes: a session's agent, a process name, `outside`, or a person.
    pub author: String,
    /// The session in which it was made.
    pub session: Option<SessionId>,
    /// When.
    pub time: Time,
    /// Why.
    pub cause: Cause,
    /// A line for people; may be empty.
    pub message: String,
    /// Free facts, covered by the id.
    pub meta: BTreeMap<String, String>,
    /// The terms of a conflicted state (an odd number of trees, alternately added and removed, as jj keeps them);
    /// empty when the state is not conflicted.
    pub conflict: Vec<TreeId>,
}

/// What a tree leaves out of a path's facts, kept beside the commit that last changed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attr {
    /// Which path.
    pub path: RepoPath,
    /// Modification time, nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}
