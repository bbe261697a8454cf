//! Operations: every change to the refs or to the workspace, so that each can be listed and undone.

use serde::{Deserialize, Serialize};

use super::{CommitId, OpId, StepId, Time};

/// What an operation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OpKind {
    /// A store was made.
    Init,
    /// A checkpoint moved a branch forward. Not undone by `undo`: nothing would be won.
    Checkpoint,
    /// The workspace was set to an earlier state.
    Rollback,
    /// The last undoable operation was reversed.
    Undo,
    /// The last undo was reversed.
    Redo,
    /// A label was set, moved or removed.
    Label,
    /// A branch was made, moved, renamed or removed.
    Branch,
    /// The workspace moved to another branch.
    Switch,
    /// Branches were merged.
    Merge,
    /// A recording was imported.
    Import,
    /// A part of a past state was restored.
    Restore,
    /// Workspace and refs were set to what they were at an operation.
    OpRestore,
    /// One operation was reversed, whatever came after it.
    OpRevert,
    /// Unneeded objects were dropped.
    Gc,
}

impl OpKind {
    /// The word on screens and in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Checkpoint => "checkpoint",
            Self::Rollback => "rollback",
            Self::Undo => "undo",
            Self::Redo => "redo",
            Self::Label => "label",
            Self::Branch => "branch",
            Self::Switch => "switch",
            Self::Merge => "merge",
            Self::Import => "import",
            Self::Restore => "restore",
            Self::OpRestore => "op-restore",
            Self::OpRevert => "op-revert",
            Self::Gc => "gc",
        }
    }
}

/// Where a ref points.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefTarget {
    /// A commit: branches, and labels of commits.
    Commit(CommitId),
    /// A branch by name: the ref `head` says which branch the workspace is on.
    Branch(String),
    /// A step: labels given to a step that changed nothing.
    Step(StepId),
}

/// One ref's move. Names: `head`, `branch/NAME`, `label/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefChange {
    /// Full name of the ref.
    pub name: String,
    /// Where it pointed; `None` if it did not exist.
    pub before: Option<RefTarget>,
    /// Where it points now; `None` if it was removed.
    pub after: Option<RefTarget>,
}

/// One entry of the operation log. Its id is the hash of its encoding, which names the operation before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The operation before this one; `None` for the first.
    pub parent: Option<OpId>,
    /// When.
    pub time: Time,
    /// What.
    pub kind: OpKind,
    /// A line for people.
    pub description: String,
    /// The refs that moved.
    pub refs: Vec<RefChange>,
    /// For undo and redo: the operation that was reversed or done again.
    pub target: Option<OpId>,
    /// The workspace's commit before and after, where the operation wrote the workspace.
    pub workspace: Option<(CommitId, CommitId)>,
}
