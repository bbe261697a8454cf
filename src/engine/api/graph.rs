//! Questions over the commit graph and over the history of single paths.

use serde::{Deserialize, Serialize};

use crate::model::{CommitId, Link, Ordinal, RepoPath, StepId, StepKind, Time};

use super::{ChangeOp, CommitInfo, EntryInfo, FileChange, Row, TextPart};

/// What can be asked of the graph. Each is a look-up or a range scan of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum GraphQuery {
    /// The commits that nothing follows, newest first. -> `Commits`
    Leaves {
        /// Only those stored before this number.
        #[serde(default)]
        before: Option<u64>,
        /// At most so many.
        limit: usize,
    },
    /// A commit and what it continues, by first parents, newest first. -> `Commits`
    Lineage {
        /// A revision.
        rev: String,
        /// At most so many.
        limit: usize,
    },
    /// The commits that follow one directly, in the order in which they were made. -> `Commits`
    Children {
        /// A revision.
        rev: String,
    },
    /// What commits made of a path, newest first; of a directory, those that changed something below it. -> `Versions`
    Path {
        /// Which path.
        path: RepoPath,
        /// Only what this revision continues, by first parents; all branches when absent.
        #[serde(default)]
        rev: Option<String>,
        /// Only those stored before this number.
        #[serde(default)]
        before: Option<u64>,
        /// At most so many.
        limit: usize,
    },
    /// The reasoning that led to a commit, and to those that it continues. -> `Trace`
    Trace {
        /// A revision.
        rev: String,
        /// So many commits, this one included.
        depth: usize,
    },
    /// When each entry of a directory changed last. -> `LastChanges`
    LastChanges {
        /// A revision.
        rev: String,
        /// Which directory.
        dir: RepoPath,
    },
    /// Which commit each line of a file is from. -> `Blame`
    Blame {
        /// A revision.
        rev: String,
        /// Which file.
        path: RepoPath,
        /// Also when it is large.
        #[serde(default)]
        force: bool,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum GraphAnswer {
    /// Commits in the order that the question names.
    Commits(Vec<CommitInfo>),
    /// See [`GraphQuery::Path`].
    Versions(Vec<VersionInfo>),
    /// See [`GraphQuery::Trace`]; newest first.
    Trace(Vec<TraceInfo>),
    /// See [`GraphQuery::LastChanges`]; in the order of the directory.
    LastChanges(Vec<LastChange>),
    /// See [`GraphQuery::Blame`].
    Blame(Box<BlameInfo>),
}

/// What a commit made of a path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// The commit.
    pub commit: CommitInfo,
    /// What happened, where the version before it was looked at; of a directory, that something below it changed.
    pub op: Option<ChangeOp>,
    /// What is there since; `None` when it was removed.
    pub after: Option<EntryInfo>,
    /// The tool of the step that made it, when that is a call.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tool: String,
    /// The step in a line (as it came: neutralise when printing).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
}

/// How one commit came about: what was asked, thought, called, answered, and what it did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceInfo {
    /// The commit.
    pub commit: CommitInfo,
    /// The prompt of the turn.
    pub prompt: Option<(Ordinal, String)>,
    /// The nearest thought before the step, in its turn.
    pub thought: Option<(Ordinal, String)>,
    /// The step that made it.
    pub step: Option<Box<Row>>,
    /// The step's text: the arguments of a call.
    pub call: Option<TextPart>,
    /// A call's result.
    pub result: Option<TextPart>,
    /// Why it is that step.
    pub link: Option<Link>,
    /// What it changed; at most some hundreds.
    pub effect: Vec<FileChange>,
    /// How many paths it changed.
    pub changed: usize,
}

/// When something changed last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastChange {
    /// An entry of the directory.
    pub path: RepoPath,
    /// The commit that changed it, or something below it.
    pub commit: CommitId,
    /// The step of that commit.
    pub step: Option<Ordinal>,
    /// When.
    pub time: Time,
}

/// Where the lines of a file are from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlameInfo {
    /// The file as it is asked about.
    pub entry: EntryInfo,
    /// Runs of lines in the file's order: how many, and which of `origins` they are from.
    pub runs: Vec<(u32, u32)>,
    /// The commits that lines are from, oldest first.
    pub origins: Vec<Origin>,
    /// How many versions of the file were compared.
    pub versions: usize,
    /// Why there are no lines, in words: it is no text, or large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<BlameProblem>,
}

impl BlameInfo {
    /// What line `line` (from 0) is from, as a place in `origins`.
    #[must_use]
    pub fn at(&self, line: usize) -> Option<usize> {
        let mut left = line;
        for (count, origin) in &self.runs {
            let count = usize::try_from(*count).unwrap_or(usize::MAX);
            if left < count {
                return usize::try_from(*origin).ok();
            }
            left -= count;
        }
        None
    }
}

/// Why it is not known where lines are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlameProblem {
    /// It has no lines: its content is binary.
    Binary,
    /// It is large: it is looked into when asked with `force`.
    Large,
    /// It is larger than files that are compared at all.
    TooLarge,
    /// It is no file.
    NoFile,
    /// Its content is not known.
    Unknown,
}

impl BlameProblem {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Binary => "it is binary: it has no lines",
            Self::Large => "it is large",
            Self::TooLarge => "it is too large to be compared line by line",
            Self::NoFile => "it is no file",
            Self::Unknown => "its content is not known",
        }
    }
}

/// A commit that lines are from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The commit.
    pub commit: CommitInfo,
    /// What the file was called then, where it had another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<RepoPath>,
    /// The lines may be older: the search ended here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub older: bool,
    /// The step that made the commit.
    pub step: Option<StepId>,
    /// What that step is.
    pub kind: Option<StepKind>,
    /// Its tool, when it is a call.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tool: String,
    /// The step in a line (as it came: neutralise when printing).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
}
