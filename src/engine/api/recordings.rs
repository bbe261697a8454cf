//! What is said of recordings: which there are, what is in them, what they tell of files.

use serde::{Deserialize, Serialize};

use super::{Known, base64_bytes};
use crate::model::{Ordinal, Source, Time, Tokens, Writer};

/// What an import brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// The agent's ids of its sessions.
    pub sessions: Vec<String>,
    /// The branch that its states are on.
    pub branch: String,
    /// Steps that were new.
    pub steps: u64,
    /// States that were new.
    pub commits: u64,
}

/// One change of one file, as `backtrail effects` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectInfo {
    /// The step it belongs to.
    pub step: Option<Ordinal>,
    /// The tool call, by the agent's id.
    pub tool_call_id: Option<String>,
    /// Relative to the session's working directory (absolute when it lies outside of that).
    pub path: String,
    /// `create`, `modify`, `delete`, `rename` or `mode`.
    pub op: String,
    /// `transcript` (told by the trace), `outside` (inferred: no record explains it) or `filesystem` (captured).
    pub evidence: String,
    /// The content before.
    pub before: Known,
    /// The content after.
    pub after: Known,
    /// The processes that made the commit's changes, as far as the mount saw them.
    #[serde(default)]
    pub writers: Vec<Writer>,
}

/// A record of a trace as it lies in its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawRecord {
    /// Where.
    pub source: Source,
    /// Its bytes.
    #[serde(with = "base64_bytes")]
    pub bytes: Vec<u8>,
}

/// A recording on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingInfo {
    /// Its main file.
    pub path: String,
    /// The format, by its short name.
    pub format: String,
    /// When it was last written.
    pub modified: Time,
    /// Length of the main file in bytes.
    pub size: u64,
    /// What is in it, once it has been looked into.
    #[serde(default)]
    pub summary: Option<RecordingSummary>,
}

/// What is in a recording.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RecordingSummary {
    /// The agent's working directory.
    pub project: String,
    /// The agent's name.
    pub agent: String,
    /// Its version.
    pub version: String,
    /// The model.
    pub model: String,
    /// The git branch at the start.
    pub branch: String,
    /// The first and the last time in it.
    pub start: Option<Time>,
    /// See `start`.
    pub end: Option<Time>,
    /// Records read.
    pub records: u64,
    /// Steps.
    pub steps: u64,
    /// Prompts of the person.
    pub turns: u64,
    /// Tokens of all answers.
    pub tokens: Tokens,
    /// Files that it tells changes of.
    pub files: u64,
    /// The last thing that the person asked, first line.
    pub last_prompt: String,
    /// A title or summary.
    pub title: String,
    /// The agent's ids of the sessions in it.
    pub sessions: Vec<String>,
}
