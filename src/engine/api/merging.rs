//! What is said of merges: one that is looked at or not finished yet, its conflicts with both sides and both reasons, what
//! was picked, and what a finished one did.
//!
//! At most one merge of a project is unfinished. It is kept durably beside the store and survives the engine. Picks are a
//! list of acts, taken back one by one; nothing of them is in the workspace or on a branch before the merge is finished.

use serde::{Deserialize, Serialize};

use super::{Bytes, CommitInfo, EntryInfo, FileChange, Resolved, RollbackReport};
use crate::merge::conflict::ConflictKind;
use crate::merge::resolve::Pick;
use crate::merge::state::{Note, StateChange, StateConflict};
use crate::model::{CommitId, OpId, Ordinal, RepoPath, Time};

/// How conflicts are settled at the start of a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolver {
    /// One by one, by somebody who looks at them.
    #[default]
    Manual,
    /// All as ours has it.
    Ours,
    /// All as theirs has it.
    Theirs,
}

/// Who picked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PickOrigin {
    /// A person.
    #[default]
    Person,
    /// `Resolver::Ours` or `Resolver::Theirs`.
    Rule,
    /// A language model.
    Llm {
        /// Which.
        model: String,
        /// A person has looked at it and accepted it.
        reviewed: bool,
    },
    /// Another tool, by git's markers.
    Markers,
}

impl PickOrigin {
    /// Whether nobody has looked at what was picked.
    #[must_use]
    pub fn is_unreviewed(&self) -> bool {
        matches!(
            self,
            Self::Llm {
                reviewed: false,
                ..
            }
        )
    }
}

/// A merge that is looked at, or that is not finished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MergeInfo {
    /// Another one whenever anything of it has changed.
    pub id: u64,
    /// What is merged: a branch, or a revision as it was asked for.
    pub branch: String,
    /// The branch that it is merged into.
    pub into: String,
    /// The latest commit of what is merged.
    pub theirs: Resolved,
    /// The latest commit of the branch that it is merged into.
    pub ours: Resolved,
    /// Their best common ancestors: none for unrelated histories (the base is the empty project then), several after merges
    /// that cross (a virtual base is made of them).
    pub bases: Vec<Resolved>,
    /// It is kept, and so unfinished; `false` for a dry run.
    pub kept: bool,
    /// A side has moved since the last act and the merge was made again over what is there now; the picks that still
    /// fit were kept.
    pub remade: bool,
    /// Hunks or conflicts of the state have other numbers since, and this is the first answer that says so.
    #[serde(default)]
    pub renumbered: bool,
    /// Theirs follows ours, so that nothing had to be put together.
    #[serde(default)]
    pub fast_forward: bool,
    /// What the result, as far as it is settled, changes in ours.
    pub changes: Vec<FileChange>,
    /// Files whose contents were put together, and how, in words: `by lines`.
    pub joined: Vec<(RepoPath, String)>,
    /// What is in conflict, settled or not, by path.
    pub conflicts: Vec<ConflictInfo>,
    /// The agent's own state, where there is something to be said of it.
    pub state: Option<StateMergeInfo>,
    /// Conflicts that are not settled, the state's included.
    pub left: usize,
    /// Acts that can be taken back.
    pub undoable: usize,
    /// The commit whose conflicts were taken up again by it.
    pub resumed: Option<CommitId>,
    /// The project's own check of a result: `check` of `[merge]` in `backtrail.toml`. It is the project's word: show it
    /// before it is run.
    pub check: Option<String>,
}

impl MergeInfo {
    /// Of which commits it tells, ours and theirs: a pick of what is seen here says so with `of`.
    #[must_use]
    pub fn of(&self) -> (CommitId, CommitId) {
        (self.ours.commit, self.theirs.commit)
    }
}

/// A conflict for lists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConflictInfo {
    /// Where.
    pub path: RepoPath,
    /// What about.
    pub kind: ConflictKind,
    /// That in words.
    pub words: String,
    /// Hunks; 0 where it is settled as a whole only.
    pub hunks: usize,
    /// Hunks that are settled; for one without hunks 0 or 1.
    pub settled: usize,
    /// All of it is settled.
    pub done: bool,
    /// Why a pick that was made does not settle it.
    pub why: Option<String>,
    /// Its path on either side where it is another one: ours, theirs.
    pub paths: [Option<RepoPath>; 2],
    /// Something of it was picked by a language model and nobody has looked at it.
    pub unreviewed: bool,
}

/// A conflict with all that is needed to look at it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConflictDetail {
    /// Of which commits it tells, ours and theirs: a pick of what is seen here says so with `of`.
    #[serde(default)]
    pub of: Option<(CommitId, CommitId)>,
    /// As in the list.
    pub info: ConflictInfo,
    /// What ours has there.
    pub ours: Option<EntryInfo>,
    /// What the base has there.
    pub base: Option<EntryInfo>,
    /// What theirs has there.
    pub theirs: Option<EntryInfo>,
    /// The file, settled parts and hunks; empty where it is settled as a whole only.
    pub pieces: Vec<PieceInfo>,
    /// The pick for all of it, where there is one.
    pub whole: Option<(Pick, PickOrigin)>,
    /// Why ours and theirs are as they are: newest first, at most 20 each.
    pub reasons: [Vec<Reason>; 2],
    /// Proposals of language models that were shown for it.
    pub proposals: Vec<(usize, ProposalRecord)>,
}

/// A part of a file in conflict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PieceInfo {
    /// Nobody disagrees.
    Text {
        /// It.
        text: Bytes,
    },
    /// The sides disagree. Hunks are numbered from 0 in order.
    Hunk {
        /// What ours has.
        ours: Bytes,
        /// What was there before.
        base: Bytes,
        /// What theirs has.
        theirs: Bytes,
        /// The key whose value it is (`/servers/0/port`), where the file is merged by structure: one value only.
        key: Option<String>,
        /// Lines end with CR LF.
        crlf: bool,
        /// What was picked.
        pick: Option<Pick>,
        /// Who picked.
        origin: PickOrigin,
        /// Both changes put together inside the line: to be shown and accepted, never applied by itself.
        propose: Option<Bytes>,
    },
}

/// Why a side is as it is: a commit that touched the path, with the reasoning behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The commit.
    pub commit: CommitId,
    /// The step that made it.
    pub step: Option<Ordinal>,
    /// The step's title, or the commit's message. As it came: neutralise when drawing.
    pub title: String,
    /// When.
    pub time: Time,
    /// The tool of the call.
    pub tool: String,
    /// The nearest thought before it.
    pub thought: Option<(Ordinal, String)>,
    /// The prompt of its turn.
    pub prompt: Option<(Ordinal, String)>,
    /// Who.
    pub author: String,
}

/// A proposal of a language model that was shown, for the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalRecord {
    /// Which model.
    pub model: String,
    /// Hash of what was sent.
    pub prompt_hash: String,
    /// The text that it proposed.
    pub text: Bytes,
    /// Why.
    pub explanation: String,
    /// The steps that it cites.
    pub cites: Vec<Ordinal>,
    /// What it says that it drops.
    pub drops: Vec<String>,
    /// How sure it says that it is.
    pub confidence: String,
    /// Tokens: in, out.
    pub tokens: (u64, u64),
    /// When.
    pub time: Time,
    /// It was taken.
    pub accepted: bool,
}

/// The agent's own state in a merge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateMergeInfo {
    /// What is in conflict, numbered from 0, with what was picked.
    pub conflicts: Vec<(StateConflict, Option<Pick>)>,
    /// Facts that were taken for one, and how.
    pub notes: Vec<Note>,
    /// What the merged state has otherwise than ours; empty while something is left.
    pub changes: Vec<StateChange>,
    /// The merged state, once nothing is left and it is not long.
    pub text: Option<String>,
    /// Why it cannot be merged; one side's is to be picked then (conflict 0).
    pub problem: Option<String>,
}

/// A commit whose conflicts were left open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenConflict {
    /// The commit.
    pub commit: CommitInfo,
    /// The branch that was merged into.
    pub branch: String,
    /// What was merged.
    pub theirs: String,
    /// What is open.
    pub conflicts: Vec<ConflictInfo>,
    /// Conflicts of the agent's state that are open.
    #[serde(default)]
    pub state: usize,
}

/// What a finished merge did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MergeReport {
    /// The merge's commit; `None` when there was nothing to merge.
    pub commit: Option<CommitInfo>,
    /// Theirs followed ours, so that nothing had to be put together.
    pub fast_forward: bool,
    /// Ours has all of theirs already.
    pub up_to_date: bool,
    /// The branch that was merged into.
    pub into: String,
    /// What was merged.
    pub branch: String,
    /// What changed in ours.
    pub changes: Vec<FileChange>,
    /// What a language model resolved and nobody has looked at.
    pub unreviewed: Vec<RepoPath>,
    /// Conflicts that the commit keeps.
    pub open: Vec<ConflictInfo>,
    /// What was written, where the workspace is on that branch.
    pub rollback: Option<RollbackReport>,
    /// The operation.
    pub operation: Option<OpId>,
}

/// That a merge is unfinished, for the status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnfinishedInfo {
    /// What is merged.
    pub branch: String,
    /// The branch that it is merged into.
    pub into: String,
    /// Conflicts that were not settled when it was last looked at.
    pub left: usize,
}
