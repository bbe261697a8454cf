//! How the store is kept: what is asked and answered about its integrity, its size, and what leaves it.

use serde::{Deserialize, Serialize};

use crate::model::{BlobId, CommitId, RepoPath, Time, TreeId};

/// Questions and acts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KeepQuery {
    /// Re-hashes everything, or one state.
    Verify {
        /// Only this state.
        #[serde(default)]
        rev: Option<String>,
        /// Saves what can be saved first.
        #[serde(default)]
        repair: bool,
    },
    /// Makes the index anew from the packs.
    Doctor,
    /// How a state lies in the store, and whether it is there.
    Stored {
        /// Which.
        rev: String,
    },
    /// Lets the content of a state go; the commit stays in the graph.
    Delete {
        /// Which.
        rev: String,
        /// Also when a label or a branch names it.
        #[serde(default)]
        force: bool,
    },
    /// Collects what the policy does not keep.
    Gc {
        /// Only says what would be done.
        #[serde(default)]
        dry_run: bool,
        /// Instead of what the settings say: states younger than this are all kept.
        #[serde(default)]
        keep_days: Option<u32>,
        /// Also packs that are mostly needed.
        #[serde(default)]
        thorough: bool,
    },
    /// What takes up how much.
    Du {
        /// At most so many rows of each kind.
        limit: usize,
    },
    /// Removes contents from everywhere.
    Forget {
        /// All recorded contents of these paths.
        #[serde(default)]
        paths: Vec<RepoPath>,
        /// The contents that this state brought.
        #[serde(default)]
        rev: Option<String>,
        /// Texts of steps that hold them, too.
        #[serde(default)]
        texts: bool,
        /// Although the workspace still has them.
        #[serde(default)]
        force: bool,
        /// Only says what would be done.
        #[serde(default)]
        dry_run: bool,
    },
    /// Writes a state with all that led to it into one file.
    Export {
        /// Which.
        rev: String,
        /// The file.
        path: String,
    },
}

impl KeepQuery {
    /// Whether it changes nothing, so that an agent may ask it.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        matches!(
            self,
            Self::Verify { repair: false, .. } | Self::Stored { .. } | Self::Du { .. }
        )
    }
}

/// Answers to [`KeepQuery`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KeepAnswer {
    /// See [`KeepQuery::Verify`] and [`KeepQuery::Doctor`].
    Verified(VerifyInfo),
    /// See [`KeepQuery::Stored`].
    Stored(StoredInfo),
    /// See [`KeepQuery::Gc`] and [`KeepQuery::Delete`].
    Collected(CollectInfo),
    /// See [`KeepQuery::Du`].
    Du(DuInfo),
    /// See [`KeepQuery::Forget`].
    Forgotten(ForgetInfo),
    /// See [`KeepQuery::Export`].
    Exported(ExportInfo),
}

/// What `verify` found, and what a repair did before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyInfo {
    /// Records read.
    pub records: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Commits among them.
    pub commits: u64,
    /// States whose content was let go on purpose.
    pub dropped: u64,
    /// Contents that were forgotten on purpose.
    pub forgotten: u64,
    /// Things that were noted as lost by an earlier repair.
    pub lost: u64,
    /// What is wrong.
    pub faults: Vec<FaultInfo>,
    /// What was done about it, in sentences.
    pub done: Vec<String>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultInfo {
    /// In which file.
    pub file: String,
    /// At which byte.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
    /// What it affects and what can be saved; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub saved: String,
}

/// How a state lies in the store. Nothing of its content is read for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredInfo {
    /// The commit.
    pub commit: CommitId,
    /// Its place in the order of storing, from 1.
    pub index: u64,
    /// When it was made.
    pub time: Time,
    /// The hash of its files.
    pub tree: TreeId,
    /// What is said of it.
    pub description: String,
    /// The agent of its session, and the session by the agent's own name.
    #[serde(default)]
    pub session: Option<(String, String)>,
    /// The agent's own state, if it has one.
    #[serde(default)]
    pub state: Option<StateStored>,
    /// Version of the store's format.
    pub format: u64,
    /// Why its content is not there any more: `deleted on ...`.
    #[serde(default)]
    pub gone: Option<String>,
}

/// How an agent's state lies in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateStored {
    /// Hash of its bytes.
    pub hash: BlobId,
    /// Its length.
    pub size: u64,
    /// Bytes that it takes.
    pub stored: u64,
    /// `raw`, `zstd`, or `parts`.
    pub codec: String,
}

/// What was collected, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectInfo {
    /// Nothing was done.
    pub dry_run: bool,
    /// States whose content goes.
    pub states: u64,
    /// States that stay.
    pub kept: u64,
    /// Bytes of the packs before.
    pub before: u64,
    /// Bytes of the packs afterwards.
    pub after: u64,
    /// Objects that went.
    pub removed: u64,
    /// Packs that were written anew.
    pub packs: u64,
    /// Bytes that nothing needs and that still stay.
    pub waiting: u64,
    /// What lay beside the store and went: where, and how many bytes.
    pub beside: Vec<(String, u64)>,
}

/// What takes up how much, in bytes of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DuInfo {
    /// The packs.
    pub packs: u64,
    /// The index.
    pub index: u64,
    /// Beside them: views of forks, outputs, what was set aside.
    pub beside: Vec<(String, u64)>,
    /// By the session that brought the contents; contents of no session under `outside`.
    pub sessions: Vec<(String, u64)>,
    /// By branch.
    pub branches: Vec<(String, u64)>,
    /// By path.
    pub paths: Vec<(String, u64)>,
    /// The limit that was set, if one was.
    #[serde(default)]
    pub budget: Option<u64>,
}

/// What was forgotten, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetInfo {
    /// Nothing was done.
    pub dry_run: bool,
    /// Contents that went.
    pub contents: u64,
    /// Paths that had them.
    pub paths: Vec<String>,
    /// How many states changed a path to one of them.
    pub states: u64,
    /// Packs that were written anew.
    pub packs: u64,
    /// Bytes that went.
    pub bytes: u64,
    /// Files beside the store that held them and went.
    pub removed: Vec<String>,
    /// Steps whose texts hold them.
    pub texts: Vec<String>,
    /// Where else they still lie, and what to do.
    pub left: Vec<String>,
}

/// A file that was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportInfo {
    /// Where.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Commits in it.
    pub commits: u64,
    /// Steps in it.
    pub steps: u64,
    /// Hash over all of it.
    pub hash: String,
}
