//! The one API: what the CLI, the TUI, scripts and (later) MCP say to an engine, as one JSON line per message.
//!
//! A connection begins with a [`Hello`] from either side; then the client sends [`Call`]s and gets one [`Reply`] for
//! each, in any order, matched by `id`. After [`Request::Subscribe`] the engine also sends [`Notice`]s. A message of a
//! kind that the other side does not know is answered with [`ErrorCode::Unsupported`], so that adding requests does
//! not need a new protocol number; changing the meaning of one does.

mod at;
mod branches;
mod forks;
mod graph;
mod keeping;
mod merging;
mod ops;
mod overlaps;
mod packed;
mod reads;
mod recordings;
mod restore;
pub mod search;
mod terminal;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::merge::resolve::Pick;
use crate::model::base64_bytes;
use crate::model::{
    BlobId, CallKind, Cause, CommitId, EmitEvent, Link, LinkRule, OpId, OpKind, Ordinal, RefTarget,
    RepoPath, Session, SessionId, Status, StepId, StepKind, Talk, Time, TreeId, Writer,
};
pub use crate::model::{Bytes, Known};
pub use at::PastPlace;
pub use branches::{BranchChange, BranchInfo, BranchReport, Comparison, Overlap, Side, Switched};
pub use forks::ForkInfo;
pub use graph::{
    BlameInfo, BlameProblem, GraphAnswer, GraphQuery, LastChange, Origin, TraceInfo, VersionInfo,
};
pub use keeping::{
    CollectInfo, DuInfo, ExportInfo, FaultInfo, ForgetInfo, KeepAnswer, KeepQuery, StateStored,
    StoredInfo, VerifyInfo,
};
pub use merging::{
    ConflictDetail, ConflictInfo, MergeInfo, MergeReport, OpenConflict, PickOrigin, PieceInfo,
    ProposalRecord, Reason, Resolver, StateMergeInfo, UnfinishedInfo,
};
pub use ops::{OpDetail, OpReport, RefMove};
pub use overlaps::{Meeting, MergeTry};
pub use packed::{PackedRows, UnpackError, pack, unpack};
pub(crate) use packed::{kind_code, kind_of, status_code, status_of};
pub use reads::ReadInfo;
pub use recordings::{EffectInfo, Imported, RawRecord, RecordingInfo, RecordingSummary};
pub use restore::{Part, PastLines, RestoreReport};
pub use search::{Found, Hit, Search};
pub use terminal::{TerminalAnswer, TerminalInfo, TerminalQuery, TerminalSpot};

/// Number of the protocol's meaning. Both sides must have the same.
pub const PROTOCOL: u32 = 1;

/// Longest line either side accepts, in bytes (a 16 MiB line of NDJSON, escaped, must fit).
pub const MAX_LINE: usize = 64 << 20;

/// The first line of each side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the sender.
    pub backtrail: u32,
    /// The sender's program version, for messages.
    pub version: String,
    /// From the engine: what this connection may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// From the engine: the project's directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

/// What a connection may do: it depends on the socket it came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The developer: everything.
    Person,
    /// An agent inside its view: it may read and emit; it may not change the workspace or the refs.
    Agent,
}

/// A client's line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Chosen by the client; comes back in the reply.
    pub id: u64,
    /// What is asked.
    pub request: Request,
}

/// An engine's line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// The answer to a call.
    Reply(Reply),
    /// Something happened.
    Notice(Notice),
}

/// The answer to one call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The call's id.
    pub id: u64,
    /// What came of it.
    pub result: Result<Response, ApiError>,
}

/// What can go wrong, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The request cannot be understood.
    Unsupported,
    /// A revision, path, step or session is not there, or is ambiguous.
    NotFound,
    /// Not with this connection's role.
    Forbidden,
    /// The request makes no sense now (nothing to undo, a rollback is under way).
    Refused,
    /// The store, the mount or the system failed.
    Failed,
    /// The disk is full.
    Full,
    /// The engine is gone.
    Gone,
}

/// An error as it crosses the socket: a sentence for people, a code for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// For programs.
    pub code: ErrorCode,
    /// What failed, on what, and what to do.
    pub message: String,
}

impl ApiError {
    /// Makes one.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// What a client can ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Request {
    /// How things stand. -> `Status`
    Status,
    /// Send notices on this connection from now on. -> `Done`
    Subscribe,
    /// End the engine. Refused while a session runs unless `force`. -> `Done`
    Stop {
        /// End running sessions too (their processes are killed).
        #[serde(default)]
        force: bool,
    },
    /// Commits, newest first. -> `Log`
    Log {
        /// Only commits stored before this number.
        #[serde(default)]
        before: Option<u64>,
        /// At most so many.
        limit: usize,
    },
    /// Rows of the timeline in order. -> `Rows`
    Rows {
        /// Only steps after this one; from the first when absent.
        #[serde(default)]
        after: Option<Ordinal>,
        /// At most so many.
        limit: usize,
    },
    /// Rows of the timeline in few bytes, in order: the last ones before a step. -> `PackedRows`
    PackedRows {
        /// Only steps before this one; up to the last when absent.
        #[serde(default)]
        before: Option<Ordinal>,
        /// At most so many.
        limit: usize,
    },
    /// One step with its texts and changes. -> `Step`
    Step {
        /// Which.
        id: StepId,
    },
    /// What a revision names. -> `Resolved`
    Resolve {
        /// As a person types it: id or prefix, branch, label, `@`, `@~3`, `step:N`, `10m ago`, a time.
        rev: String,
    },
    /// A commit with its changes. -> `Commit`
    Show {
        /// A revision.
        rev: String,
    },
    /// What differs between two revisions. -> `Changes`
    Diff {
        /// From.
        a: String,
        /// To; the workspace as it is now when absent.
        #[serde(default)]
        b: Option<String>,
        /// Only within these paths, when any.
        #[serde(default)]
        paths: Vec<RepoPath>,
    },
    /// A directory of a past state. -> `Listing`
    List {
        /// A revision.
        rev: String,
        /// Which directory.
        path: RepoPath,
    },
    /// Looks a path up in a past state. -> `Entry`
    Entry {
        /// A revision.
        rev: String,
        /// Which path.
        path: RepoPath,
    },
    /// The target of a link in a past state, byte for byte. -> `Target`
    Target {
        /// A revision.
        rev: String,
        /// Which path.
        path: RepoPath,
    },
    /// Part of a blob. -> `Blob`
    Blob {
        /// Which.
        id: BlobId,
        /// From this byte.
        #[serde(default)]
        offset: u64,
        /// At most so many bytes (the engine caps it at 8 MiB an answer).
        len: u64,
    },
    /// Makes a checkpoint now. -> `Checkpoint`
    Checkpoint {
        /// A line for people. A commit is made even when nothing changed if one is given.
        #[serde(default)]
        message: Option<String>,
    },
    /// Makes a checkpoint that keeps the agent's own state. -> `Checkpoint`
    Snapshot {
        /// A line for people.
        #[serde(default)]
        message: Option<String>,
        /// The state, as JSON text; it is kept as it is.
        state: String,
    },
    /// Sets the workspace to a revision. -> `Rollback`
    Rollback {
        /// A revision.
        rev: String,
        /// Only say what would be done.
        #[serde(default)]
        dry_run: bool,
        /// Give rolled-back files their old modification times.
        #[serde(default)]
        keep_mtime: bool,
        /// Leave the agents frozen afterwards.
        #[serde(default)]
        keep_frozen: bool,
    },
    /// Takes the workspace to another branch, as a rollback would; what is there is committed on the one that it leaves.
    /// -> `Rollback` (or `Done` when it is there already)
    Switch {
        /// Which branch.
        branch: String,
        /// It is new: it begins where the workspace is.
        #[serde(default)]
        create: bool,
        /// Only say what would be done.
        #[serde(default)]
        dry_run: bool,
    },
    /// Brings parts of a past state back into the workspace. -> `Restored`
    Restore {
        /// A revision.
        rev: String,
        /// Which parts.
        parts: Vec<Part>,
        /// Only say what would be done.
        #[serde(default)]
        dry_run: bool,
        /// Leave the agents frozen afterwards.
        #[serde(default)]
        keep_frozen: bool,
    },
    /// Reverses the last undoable operation. -> `Rollback` (or `Done` when it moved refs only)
    Undo,
    /// Passes over what `Undo` would reverse next, so that what was done before it can be undone; a `Redo` takes that
    /// back. -> `Done`
    UndoSkip,
    /// Reverses the last undo. -> `Rollback` (or `Done`)
    Redo,
    /// Sets, moves (`rev` given) or removes (absent) a label. -> `Done`
    Label {
        /// The label's name.
        name: String,
        /// A revision.
        #[serde(default)]
        rev: Option<String>,
    },
    /// All labels and branches. -> `Refs`
    Refs,
    /// The branches with their latest commits, by name. -> `Branches`
    Branches,
    /// Makes a branch. -> `Branched`
    BranchCreate {
        /// Its name, as git would allow it.
        name: String,
        /// Where it begins; at the latest commit of the workspace's branch when absent.
        #[serde(default)]
        rev: Option<String>,
    },
    /// Gives a branch another name. -> `Branched`
    BranchRename {
        /// Its name now.
        from: String,
        /// The new one.
        to: String,
    },
    /// Removes a branch; its commits stay. Refused for the one that the workspace is on. -> `Branched`
    BranchDelete {
        /// Its name.
        name: String,
    },
    /// Removes the branches whose latest commit is on another branch as well. -> `Branched`
    BranchPrune {
        /// Only say which.
        #[serde(default)]
        dry_run: bool,
    },
    /// How two revisions stand to each other since their histories parted. -> `Comparison`
    Compare {
        /// One.
        a: String,
        /// The other.
        b: String,
    },
    /// Merges a branch into another one. -> `Merged` when it was finished; `Merging` for a dry run, when something is left,
    /// or when it shall not be finished yet: then it is kept as the unfinished merge
    Merge {
        /// A branch or another revision.
        branch: String,
        /// Into which branch; the workspace's when absent.
        #[serde(default)]
        into: Option<String>,
        /// How conflicts are settled.
        #[serde(default)]
        resolver: Resolver,
        /// Only look.
        #[serde(default)]
        dry_run: bool,
        /// Finish it when nothing is left.
        #[serde(default)]
        finish: bool,
        /// A line for people.
        #[serde(default)]
        message: Option<String>,
        /// Finish it with its conflicts: the commit keeps them.
        #[serde(default)]
        keep_conflicts: bool,
    },
    /// The unfinished merge. -> `Merging`
    Merging,
    /// One of its conflicts in full. -> `MergeConflict`
    MergeConflict {
        /// Which.
        path: RepoPath,
    },
    /// Settles a conflict, or a hunk of it. -> `Merging`
    MergePick {
        /// Which conflict.
        path: RepoPath,
        /// Which hunk, from 0; all of it when absent.
        #[serde(default)]
        hunk: Option<usize>,
        /// What is picked; unsettled again when absent.
        pick: Option<Pick>,
        /// Who picks.
        #[serde(default)]
        origin: PickOrigin,
        /// In which merge that was seen, by the latest commits of ours and theirs: numbers mean what they meant there.
        #[serde(default)]
        of: Option<(CommitId, CommitId)>,
    },
    /// Settles a conflict of the agent's state. -> `Merging`
    MergeStatePick {
        /// Which, from 0.
        conflict: usize,
        /// What is picked; unsettled again when absent.
        pick: Option<Pick>,
        /// Who picks.
        #[serde(default)]
        origin: PickOrigin,
        /// In which merge that was seen, by the latest commits of ours and theirs: numbers mean what they meant there.
        #[serde(default)]
        of: Option<(CommitId, CommitId)>,
    },
    /// Takes the last act back. -> `Merging`
    MergeUnpick,
    /// A file in conflict with git's markers where it is not settled. -> `Bytes`; with a text, reads back what another
    /// tool made of that. -> `Merging`
    MergeMarkers {
        /// Which conflict.
        path: RepoPath,
        /// The file as it came back.
        #[serde(default)]
        text: Option<Bytes>,
    },
    /// Keeps a proposal that was shown in the record. -> `Done`
    MergeProposal {
        /// Which conflict.
        path: RepoPath,
        /// Which hunk.
        hunk: usize,
        /// The proposal.
        record: ProposalRecord,
        /// In which merge that was seen, by the latest commits of ours and theirs: numbers mean what they meant there.
        #[serde(default)]
        of: Option<(CommitId, CommitId)>,
    },
    /// A file as it would be written now; what is not settled reads as ours. -> `Bytes`
    MergeResult {
        /// Which path.
        path: RepoPath,
    },
    /// The result so far as a tree that is in the store, with ours where something is left. -> `Resolved` (the commit is
    /// that of ours)
    MergeTree,
    /// Finishes the merge. -> `Merged`
    MergeFinish {
        /// A line for people.
        #[serde(default)]
        message: Option<String>,
        /// Also with conflicts left: the commit keeps them.
        #[serde(default)]
        keep_conflicts: bool,
    },
    /// Forgets the unfinished merge. -> `Done`
    MergeAbandon,
    /// Takes the conflicts that a commit left open up again. -> `Merging`
    MergeResume {
        /// Which commit; the nearest of the workspace's branch when absent.
        #[serde(default)]
        rev: Option<String>,
    },
    /// Conflicts that commits left open, newest first. -> `Conflicts`
    Conflicts {
        /// As of this revision; of the workspace's branch when absent.
        #[serde(default)]
        rev: Option<String>,
    },
    /// A question over the commit graph or the history of a path. -> `Graph`
    Graph(GraphQuery),
    /// The operation log, newest first. -> `Operations`
    Operations {
        /// Only those before this number.
        #[serde(default)]
        before: Option<u64>,
        /// At most so many.
        limit: usize,
    },
    /// One operation with what it changed. -> `Operation`
    OpShow {
        /// Its number, the beginning of its id, or `@` for the newest.
        op: String,
    },
    /// Sets the workspace and all refs to what they were at an operation, as an operation of its own. -> `OpDone`
    OpRestore {
        /// Which operation.
        op: String,
        /// Before it; else right after it.
        #[serde(default)]
        before: bool,
        /// Only say what would be done.
        #[serde(default)]
        dry_run: bool,
    },
    /// Reverses one operation and nothing else; refused when later ones stand on it. -> `OpDone`
    OpRevert {
        /// Which operation.
        op: String,
        /// Only say what would be done.
        #[serde(default)]
        dry_run: bool,
    },
    /// Takes events of a session's reasoning. -> `Done` once each is recorded and its checkpoint durable
    Emit {
        /// In order.
        events: Vec<EmitEvent>,
    },
    /// Begins a session for `backtrail run`. -> `Session`
    Begin {
        /// The agent's name.
        agent: String,
        /// The command line, for people.
        command: String,
        /// Directories in the command's environment, where its agent may keep its transcripts: `HOME`, and variables
        /// that end in `_HOME` or `_DIR`.
        #[serde(default)]
        home: BTreeMap<String, String>,
        /// The branch on whose fork it runs, made of the workspace's present state when there is none of that name; in
        /// the workspace itself when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        branch: Option<String>,
        /// In the project's own directory, recorded by watching it: no view, and so no branch.
        #[serde(default)]
        watch: bool,
    },
    /// Its first process ended. -> `Done` once the last changes are durable
    End {
        /// Which session.
        session: SessionId,
        /// The exit code.
        exit_code: i32,
    },
    /// Freezes or thaws a session's processes. -> `Done`
    Freeze {
        /// Which session; all when absent.
        #[serde(default)]
        session: Option<SessionId>,
        /// `false` thaws.
        frozen: bool,
    },
    /// Kills all processes of a session. -> `Done`
    Kill {
        /// Which session.
        session: SessionId,
    },
    /// A question about a session's terminal. -> `Terminal`
    Terminal(TerminalQuery),
    /// Makes a branch with a view of its own, in which agents run beside the workspace. -> `Forked`
    Fork {
        /// The state that it begins with.
        rev: String,
        /// The branch's name; the first free one of `try-1`, `try-2`, ... when absent.
        #[serde(default)]
        name: Option<String>,
    },
    /// The branches that have a view of their own, by name. -> `Forks`
    Forks,
    /// The same without what they take up on disk, which costs a look at every file of them. -> `Forks`
    ForkPlaces,
    /// Mounts a view that is no branch: nothing in it is kept, left-out directories show the project's own,
    /// copy-on-write. -> `Scratch`
    ForkScratch {
        /// A revision; `tree` wins over it, and without both it is the workspace's latest commit.
        #[serde(default)]
        rev: Option<String>,
        /// A tree of the store that need not be of any commit.
        #[serde(default)]
        tree: Option<TreeId>,
    },
    /// Takes such a view away. -> `Done`
    ForkDiscard {
        /// Its name, as `Scratch` gave it.
        name: String,
    },
    /// Where a past state can be read as a directory; it is mounted when it is first asked for. -> `Past`
    PastPath {
        /// A revision; the directory of all states when absent.
        #[serde(default)]
        rev: Option<String>,
    },
    /// Mounts past states, with links to the live view and to open branches, at a directory. -> `Past`
    PastMount {
        /// An empty directory, absolute.
        dir: String,
    },
    /// Takes that away. -> `Done`
    PastUnmount {
        /// Where.
        dir: String,
        /// Also when somebody is in it.
        #[serde(default)]
        force: bool,
    },
    /// All sessions, newest first. -> `Sessions`
    Sessions,
    /// Re-hashes the store. -> `Verify`
    Verify,
    /// How the store is kept: verified, repaired, cleaned up, carried elsewhere.
    Keep(KeepQuery),
    /// Takes a recording into the store for good. -> `Imported`
    Import {
        /// Its main file, or a directory with just one recording; absolute.
        path: String,
        /// The format by name; recognised when absent.
        #[serde(default)]
        format: Option<String>,
        /// What the files were at its start; see `--base`.
        #[serde(default)]
        base: Option<String>,
        /// The repository that it is of.
        #[serde(default)]
        repository: Option<String>,
    },
    /// Every change of a file that is known, in order. -> `Effects`
    Effects,
    /// What was opened for reading, oldest first. -> `Reads`
    Reads {
        /// Only during this call.
        #[serde(default)]
        step: Option<Ordinal>,
    },
    /// The records of the trace that a step was read from, as they are. -> `Raw`
    Raw {
        /// Which step.
        id: StepId,
    },
    /// Steps that fit a query, a slice of the work at a time. -> `Found`
    Search(Search),
    /// The recordings that agents keep on this machine, newest first. -> `Recordings`
    Recordings {
        /// Without so many of the newest.
        #[serde(default)]
        skip: usize,
        /// At most so many.
        limit: usize,
    },
    /// What is in one recording. -> `Recording`
    Recording {
        /// Its main file, as `Recordings` gave it.
        path: String,
    },
}

/// What the engine answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Response {
    /// It was done; a line for people, may be empty.
    Done(String),
    /// See [`EngineStatus`].
    Status(Box<EngineStatus>),
    /// See [`Request::Log`].
    Log(Vec<CommitInfo>),
    /// See [`Request::PackedRows`].
    PackedRows(PackedRows),
    /// See [`Request::Rows`].
    Rows(Rows),
    /// See [`Request::Step`].
    Step(Box<StepDetail>),
    /// See [`Request::Resolve`].
    Resolved(Resolved),
    /// See [`Request::Show`].
    Commit(Box<CommitDetail>),
    /// See [`Request::Diff`].
    Changes(Changes),
    /// See [`Request::List`].
    Listing(Vec<EntryInfo>),
    /// See [`Request::Entry`]; `None` where the state has no such path.
    Entry(Option<EntryInfo>),
    /// See [`Request::Target`]; `None` where the state has no link of that path.
    Target(Option<BlobPart>),
    /// See [`Request::Blob`].
    Blob(BlobPart),
    /// The commits made, oldest first; empty when nothing had changed.
    Checkpoint(Vec<CommitInfo>),
    /// See [`Request::Rollback`].
    Rollback(Box<RollbackReport>),
    /// See [`Request::Refs`].
    Refs(BTreeMap<String, RefTarget>),
    /// See [`Request::Branches`].
    Branches(Vec<BranchInfo>),
    /// The new fork.
    Forked(Box<ForkInfo>),
    /// See [`Request::Forks`].
    Forks(Vec<ForkInfo>),
    /// See [`Request::ForkScratch`].
    Scratch {
        /// Where it is mounted.
        path: String,
        /// By which it is taken away.
        name: String,
    },
    /// See [`Request::PastPath`].
    Past(PastPlace),
    /// See [`Request::Compare`].
    Comparison(Box<Comparison>),
    /// What became of which branches.
    Branched(Box<BranchReport>),
    /// See [`Request::Merging`]; `None` when no merge is unfinished.
    Merging(Option<Box<MergeInfo>>),
    /// See [`Request::MergeFinish`].
    Merged(Box<MergeReport>),
    /// See [`Request::MergeConflict`].
    MergeConflict(Box<ConflictDetail>),
    /// See [`Request::Conflicts`].
    Conflicts(Vec<OpenConflict>),
    /// See [`Request::MergeResult`].
    Bytes(Bytes),
    /// See [`Request::Graph`].
    Graph(GraphAnswer),
    /// See [`Request::Restore`].
    Restored(Box<RestoreReport>),
    /// See [`Request::Operations`].
    Operations(Vec<OpInfo>),
    /// See [`Request::OpShow`].
    Operation(Box<OpDetail>),
    /// What became of it, see [`Request::OpRestore`].
    OpDone(Box<OpReport>),
    /// See [`Request::Begin`].
    Session(Box<Begun>),
    /// See [`Request::Sessions`].
    Sessions(Vec<Session>),
    /// See [`Request::Keep`].
    Kept(Box<KeepAnswer>),
    /// See [`Request::Verify`].
    Verify {
        /// Records that were read.
        records: u64,
        /// What is wrong, a line each; empty when all is well.
        faults: Vec<String>,
    },
    /// See [`Request::Import`].
    Imported(Box<Imported>),
    /// See [`Request::Effects`].
    Effects(Vec<EffectInfo>),
    /// See [`Request::Reads`].
    Reads(Vec<ReadInfo>),
    /// See [`Request::Raw`].
    Raw(Vec<RawRecord>),
    /// See [`Request::Search`].
    Found(Box<Found>),
    /// See [`Request::Recordings`].
    Recordings {
        /// How many there are in all.
        total: usize,
        /// This page.
        items: Vec<RecordingInfo>,
    },
    /// See [`Request::Recording`].
    Recording(Box<RecordingInfo>),
    /// See [`Request::Terminal`].
    Terminal(TerminalAnswer),
}

/// What the engine tells subscribers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Notice {
    /// A row is new or has changed (by its step's id).
    Row(Box<Row>),
    /// A row is no more: what its step stood for was tied to another one.
    Gone {
        /// Which step.
        step: StepId,
        /// Its number.
        ordinal: Ordinal,
    },
    /// How things stand has changed.
    Status(Box<EngineStatus>),
    /// The row that follows was told by the engine at this time: sent now and then, so that a client can say how far behind
    /// it is.
    Told {
        /// When.
        at: Time,
    },
    /// An operation was done.
    Operation(OpInfo),
    /// Notices were dropped because this client was slow: ask for rows again.
    Lagged {
        /// How many.
        missed: u64,
    },
}

/// How an engine and its project stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineStatus {
    /// The project's directory.
    pub project: String,
    /// Its name for headers (the directory's last part, neutralised).
    pub name: String,
    /// The engine's process; 0 when no engine runs and the store was read directly.
    pub pid: u32,
    /// Where `live` is mounted; `None` when it is not.
    pub live: Option<String>,
    /// How changes are captured: `fuse`, `watch`, or `none` without an engine.
    pub capture: String,
    /// The engine's start.
    pub since: Time,
    /// The branch the workspace is on.
    pub branch: String,
    /// The commit the workspace was last known to equal.
    pub head: Option<CommitId>,
    /// The step that commit is tied to.
    pub workspace: Option<Ordinal>,
    /// Paths changed since.
    pub dirty: usize,
    /// The first scan: files seen so far, and whether it has finished.
    pub scan: ScanStatus,
    /// Steps recorded.
    pub steps: u64,
    /// The newest step.
    pub last: Option<Ordinal>,
    /// Commits stored.
    pub commits: u64,
    /// Running sessions.
    pub sessions: Vec<LiveSession>,
    /// Branches whose forks are open now.
    #[serde(default)]
    pub forks: Vec<String>,
    /// Which of the branches at work meet: the open forks and the workspace's branch, pair by pair.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overlaps: Vec<Meeting>,
    /// The unfinished merge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merging: Option<UnfinishedInfo>,
    /// What a person should know (protection off, a watch limit reached, an interrupted rollback finished at start).
    pub warnings: Vec<String>,
}

/// The first scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ScanStatus {
    /// Files seen.
    pub files: u64,
    /// All seen.
    pub done: bool,
}

/// A running session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveSession {
    /// The session.
    pub session: Session,
    /// Its processes are frozen.
    pub frozen: bool,
    /// It has a cgroup, so that it can be frozen and killed as a whole.
    pub contained: bool,
    /// The branch on whose fork it runs; `None` in the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// What `Begin` gives to `backtrail run`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    /// The new session.
    pub session: Session,
    /// Where its view is mounted.
    pub view: String,
    /// The project's own path, over which the view is to be bound.
    pub project: String,
    /// Directory of the session's cgroup, to be entered; `None` where none could be made.
    pub cgroup_dir: Option<String>,
    /// The session's own socket, with an agent's rights.
    pub socket: String,
    /// Directories to be masked in the agent's namespace (the store, the runtime directory).
    pub mask: Vec<String>,
    /// Where its terminal is served and recorded, should it get one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<TerminalSpot>,
}

/// A commit for lists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommitInfo {
    /// Its id.
    pub id: CommitId,
    /// Its parents, the continued line first.
    pub parents: Vec<CommitId>,
    /// The files.
    pub tree: TreeId,
    /// The branch on which it was made, by its name then.
    pub branch: String,
    /// When.
    pub time: Time,
    /// Why.
    pub cause: Cause,
    /// A line for people.
    pub message: String,
    /// The step it is tied to.
    pub step: Option<Ordinal>,
    /// Order of storing.
    pub seq: u64,
    /// Which line of the graph it lies on.
    pub line: u32,
    /// Who.
    pub author: String,
    /// Files changed, lines added and removed, where counted.
    #[serde(default)]
    pub effect: Option<Effect>,
    /// Branches and labels that point at it (full ref names).
    #[serde(default)]
    pub refs: Vec<String>,
}

/// How much a commit or step changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Effect {
    /// Files changed.
    pub files: u32,
    /// Lines added.
    pub added: u32,
    /// Lines removed.
    pub removed: u32,
}

/// A commit with its changes against its first parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommitDetail {
    /// The commit.
    pub commit: CommitInfo,
    /// Free facts: writers (`pid`, `comm`, `cgroup`), metadata.
    pub meta: BTreeMap<String, String>,
    /// The tie to its step, with the rule that decided.
    pub link: Option<Link>,
    /// What it changed.
    pub changes: Vec<FileChange>,
    /// The agent's own state as of this commit, if one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateInfo>,
}

/// The agent's own state at a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateInfo {
    /// Its JSON text.
    pub blob: BlobId,
    /// Length in bytes.
    pub size: u64,
    /// It came with this commit; else it is what the commit before had.
    pub new: bool,
}

/// One row of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The step.
    pub step: StepId,
    /// Its number.
    pub ordinal: Ordinal,
    /// Whose run.
    pub session: Option<SessionId>,
    /// What it is.
    pub kind: StepKind,
    /// For calls, the kind of call.
    pub call: CallKind,
    /// For calls, the tool's name.
    pub tool: String,
    /// One line (as it came: neutralise when drawing).
    pub title: String,
    /// When.
    pub time: Time,
    /// When its result came.
    pub end: Option<Time>,
    /// How it stands.
    pub status: Status,
    /// Exit code of a command.
    pub exit_code: Option<i32>,
    /// The turn, from 1.
    pub turn: u32,
    /// The state after this step: the last commit tied to it.
    pub commit: Option<CommitId>,
    /// That commit's first parent.
    pub parent: Option<CommitId>,
    /// How many commits are tied to it.
    pub commits: u32,
    /// The line of the graph that its commit (or, without one, the newest commit before it) lies on.
    pub line: u32,
    /// For a commit that opens a new line: the line of its parent.
    pub from_line: Option<u32>,
    /// What all its commits changed together.
    pub effect: Option<Effect>,
    /// Labels on it or on its commits.
    pub labels: Vec<String>,
    /// Its place in the conversation.
    #[serde(default, skip_serializing_if = "Talk::is_plain")]
    pub talk: Talk,
}

/// A page of rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    /// In order.
    pub rows: Vec<Row>,
    /// Steps in all.
    pub total: u64,
}

/// A step in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepDetail {
    /// Its row.
    pub row: Row,
    /// Its whole text (prompt, thought, the call's arguments), first 64 KiB.
    pub body: Option<TextPart>,
    /// The call's output, first 64 KiB.
    pub output: Option<TextPart>,
    /// The commits tied to it, in order, with the links.
    pub commits: Vec<(CommitInfo, Link)>,
    /// What its commits changed together: from the first one's parent to the last.
    pub changes: Vec<FileChange>,
    /// The nearest thought before it in its session and turn.
    pub thought: Option<(Ordinal, String)>,
    /// The prompt of its turn.
    pub prompt: Option<(Ordinal, String)>,
}

/// The beginning of a text, with where the whole is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextPart {
    /// The whole.
    pub blob: BlobId,
    /// Length of the whole in bytes.
    pub len: u64,
    /// Its beginning, with what is not UTF-8 replaced.
    pub text: String,
}

/// What a revision names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The commit.
    pub commit: CommitId,
    /// Its files.
    pub tree: TreeId,
    /// The step it is tied to, or that was named.
    pub step: Option<Ordinal>,
}

/// A difference of two states.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// From.
    pub a: Resolved,
    /// To. For the workspace: a commit made of it first, or the head when nothing had changed.
    pub b: Resolved,
    /// What differs, by path.
    pub changes: Vec<FileChange>,
}

/// What happened to one path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileChange {
    /// The path (the new one of a rename).
    pub path: RepoPath,
    /// What happened.
    pub op: ChangeOp,
    /// For a rename: the old path.
    #[serde(default)]
    pub from: Option<RepoPath>,
    /// Before.
    pub before: Option<EntryInfo>,
    /// After.
    pub after: Option<EntryInfo>,
    /// Lines added and removed, where counted.
    #[serde(default)]
    pub lines: Option<(u32, u32)>,
}

/// What can happen to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeOp {
    /// New.
    Create,
    /// Content or target changed.
    Modify,
    /// Gone.
    Delete,
    /// Only the mode changed.
    Mode,
    /// Another kind of thing now (a file became a link, ...).
    Kind,
    /// Same content under another name.
    Rename,
}

/// An entry of a past state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryInfo {
    /// The whole path.
    pub path: RepoPath,
    /// `file`, `dir`, `link`, `fifo`, `socket`, `device`, or `unknown` for a file whose content is not known.
    pub kind: String,
    /// Permission bits.
    pub mode: u32,
    /// Length of a file.
    pub size: u64,
    /// Content of a file.
    pub blob: Option<BlobId>,
    /// Target of a link (as shown; what is not UTF-8 is escaped).
    pub target: Option<String>,
}

/// Part of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobPart {
    /// Length of the whole.
    pub len: u64,
    /// The bytes, as base64.
    #[serde(with = "base64_bytes")]
    pub bytes: Vec<u8>,
}

/// What a rollback does or did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RollbackReport {
    /// Nothing was written.
    pub dry_run: bool,
    /// The state gone to.
    pub target: Resolved,
    /// The state left: the safety commit, or the head when nothing had changed since.
    pub from: Resolved,
    /// Files whose content is set back (or that come back).
    pub restored: Vec<RepoPath>,
    /// Files that came later and go.
    pub removed: Vec<RepoPath>,
    /// Paths where only the mode changes.
    pub modes: Vec<RepoPath>,
    /// Paths left as they are, with the reason (left out of capture, saved by the user just then, in use).
    pub kept: Vec<(RepoPath, String)>,
    /// The operation, once done.
    pub operation: Option<OpId>,
    /// Sessions that were frozen meanwhile.
    pub frozen: usize,
    /// What was undone or done again, for undo and redo.
    pub of: Option<OpKind>,
    /// The branches that the workspace left and is on now, where it went to another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switched: Option<Switched>,
}

/// An operation for lists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpInfo {
    /// Order, from 1.
    pub seq: u64,
    /// Its id.
    pub id: OpId,
    /// When.
    pub time: Time,
    /// What.
    pub kind: OpKind,
    /// A line for people.
    pub description: String,
    /// Who: an agent's name, `outside`, or `person`; empty where nobody asked for it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub who: String,
    /// The number of the operation that it reverses, does again or restores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
}

/// Facts about who made a commit, kept in its metadata as JSON under `writers`.
pub type Writers = Vec<Writer>;

/// The rule of a link in words, for people.
#[must_use]
pub fn rule_words(rule: LinkRule) -> &'static str {
    match rule {
        LinkRule::OnlyOpenCall => "the only call open when it was written",
        LinkRule::Process => "written by the session's process while the call was open",
        LinkRule::Path => "the call's arguments name the path",
        LinkRule::Time => "the time fits; several calls were open",
        LinkRule::Unclaimed => "no call claims it",
        LinkRule::Asked => "asked for",
        LinkRule::Told => "the trace tells the change",
        LinkRule::Content => "the trace tells the content that was captured",
        LinkRule::Inferred => "no record explains it: a later one shows other content",
    }
}
