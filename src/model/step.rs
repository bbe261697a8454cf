//! Steps: what a person can stand on in a run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{BlobId, CommitId, SessionId, StepId, Time};

/// A step's place in the timeline. It never shifts: a step found later between 142 and 143 is 142.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ordinal {
    /// Counts from 1.
    pub major: u64,
    /// 0 for a step in its turn, else the place among those found later.
    pub minor: u32,
}

impl fmt::Display for Ordinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.minor == 0 {
            write!(f, "{}", self.major)
        } else {
            write!(f, "{}.{}", self.major, self.minor)
        }
    }
}

impl FromStr for Ordinal {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let bad = || format!("not a step's number: {s:?} (142 or 142.1 is wanted)");
        let (major, minor) = match s.split_once('.') {
            Some((a, b)) => (a.parse(), b.parse()),
            None => (s.parse(), Ok(0)),
        };
        Ok(Self {
            major: major.map_err(|_| bad())?,
            minor: minor.map_err(|_| bad())?,
        })
    }
}

impl Serialize for Ordinal {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ordinal {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// What kind of thing a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StepKind {
    /// What the person asked. Begins a turn.
    Prompt,
    /// Reasoning of the agent.
    Thought,
    /// Text of the agent meant for the person.
    Message,
    /// A tool call, with its result once that is there.
    Call,
    /// A change through the mount that no call claims.
    Fs,
    /// A change made behind the mount.
    Outside,
    /// Compaction, rewind, fork, rollback, session start and end, ...
    Marker,
    /// A record that was not understood; kept raw.
    Unknown,
}

/// The ACP kinds of a tool call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CallKind {
    /// Reads a file.
    Read,
    /// Changes a file.
    Edit,
    /// Removes a file.
    Delete,
    /// Renames a file.
    Move,
    /// Searches.
    Search,
    /// Runs a command.
    Execute,
    /// Fetches from the network.
    Fetch,
    /// Thinks aloud.
    Think,
    /// Starts another agent.
    Agent,
    /// Anything else.
    #[default]
    Other,
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Has no outcome (a prompt, a thought).
    #[default]
    None,
    /// Begun, no result yet.
    Running,
    /// Ended well.
    Ok,
    /// Ended badly.
    Error,
    /// Never got a result.
    Aborted,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Stable identity.
    pub id: StepId,
    /// Place in the timeline.
    pub ordinal: Ordinal,
    /// Whose run it belongs to; `None` for what happened outside every session.
    #[serde(default)]
    pub session: Option<SessionId>,
    /// What it is.
    pub kind: StepKind,
    /// For calls: what kind of call.
    #[serde(default)]
    pub call: CallKind,
    /// For calls: the tool's name as the agent gave it (`Bash`, `Edit`, ...).
    #[serde(default)]
    pub tool: String,
    /// The id its source gave it (tool call id, message id).
    #[serde(default)]
    pub native: String,
    /// One line, at most 240 characters, as the source gave it (not neutralised: drawing does that).
    pub title: String,
    /// When it began.
    pub time: Time,
    /// When its result came.
    #[serde(default)]
    pub end: Option<Time>,
    /// How it stands.
    #[serde(default)]
    pub status: Status,
    /// Exit code of a command, where known.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// Count of the turn it belongs to, from 1; 0 before the first prompt.
    #[serde(default)]
    pub turn: u32,
    /// The whole text: prompt, thought, or the call's arguments as JSON.
    #[serde(default)]
    pub body: Option<BlobId>,
    /// A call's whole output.
    #[serde(default)]
    pub output: Option<BlobId>,
    /// Paths that the call names in its arguments, relative to the project where they lie in it.
    #[serde(default)]
    pub paths: Vec<String>,
    /// For a marker that set the workspace (rollback, undo, switch): the state it went to.
    #[serde(default)]
    pub state: Option<CommitId>,
    /// Its place in the conversation.
    #[serde(default, skip_serializing_if = "Talk::is_plain")]
    pub talk: Talk,
    /// The records of the trace that it was read from: what began it, then its result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
}

/// A step's place in the conversation: whose answer it is part of, which agent speaks, whether it still counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Talk {
    /// The model's answer it is part of, counted from 1 in its session; 0 for none.
    #[serde(default)]
    pub answer: u32,
    /// Who speaks: 0 the main agent, else the subagent of that number in its session.
    #[serde(default)]
    pub thread: u32,
    /// How many agents stand above it: 0 for the main agent.
    #[serde(default)]
    pub depth: u8,
    /// For a call that started a subagent: its number.
    #[serde(default)]
    pub child: Option<u32>,
    /// On a branch of the conversation that was left by a rewind or a retry.
    #[serde(default)]
    pub dead: bool,
    /// What the answer cost, on its first step only.
    #[serde(default)]
    pub tokens: Option<Tokens>,
}

impl Talk {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// Tokens; what a trace does not tell is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tokens {
    /// Fresh input, without what came from the cache.
    pub input: u64,
    /// Output, with reasoning.
    pub output: u64,
    /// Read from the cache.
    pub cache_read: u64,
    /// Written to the cache.
    pub cache_write: u64,
}

/// A record of a trace that a step was read from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Source {
    /// The file, as it was called when it was read (what is not UTF-8 is escaped).
    pub file: String,
    /// The whole file's content, where it is kept in the store (`import`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<BlobId>,
    /// First byte.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

/// Which rule tied a change to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LinkRule {
    /// A hook or result named the call at the moment of the checkpoint, and it was the only one open.
    OnlyOpenCall,
    /// The writing process belongs to the session whose call was open.
    Process,
    /// The path is named in the arguments of exactly one open call.
    Path,
    /// Only the time fits: several calls were open.
    Time,
    /// Nobody claims it: the step was made for the change.
    Unclaimed,
    /// The step itself asked for the commit (rollback, manual checkpoint, ...).
    Asked,
    /// The trace itself tells the change (an edit's text, a patch).
    Told,
    /// The content that the trace tells is the content that was captured.
    Content,
    /// Nothing in the trace explains it: a later record shows other content than the last one left.
    Inferred,
}

/// A link from a step to a commit, with its evidence. Better evidence may replace it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Which step.
    pub step: StepId,
    /// Which commit it made.
    pub commit: CommitId,
    /// The rule that decided.
    pub rule: LinkRule,
    /// 0 to 100.
    pub confidence: u8,
}

/// One run of one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Identity.
    pub id: SessionId,
    /// The id its source gave it.
    pub native: String,
    /// The agent's name (`claude`, `codex`, the command's name).
    pub agent: String,
    /// The command line, for people.
    #[serde(default)]
    pub command: String,
    /// The session's cgroup v2 path; empty where it has none.
    #[serde(default)]
    pub cgroup: String,
    /// When it began.
    pub start: Time,
    /// When it ended.
    #[serde(default)]
    pub end: Option<Time>,
    /// Exit code of its first process.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// It was recorded elsewhere and taken in: its states are not those of the workspace.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
    /// The branch on whose fork it ran; `None` in the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn ordinals_read_and_sort() {
        let a: Ordinal = "142".parse().unwrap();
        let b: Ordinal = "142.1".parse().unwrap();
        let c: Ordinal = "143".parse().unwrap();
        assert!(a < b && b < c);
        assert_eq!(b.to_string(), "142.1");
        assert!("x".parse::<Ordinal>().is_err());
    }
}
