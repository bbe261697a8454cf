//! What a reader says of one record of a recording: neutral events, the same for every agent's format.
//!
//! A reader looks at one record at a time. What events a record gives, in which order and with which texts, depends on
//! the record alone, so that the index keeps titles only and reads a text again from its record when it is looked at.
//! Only times and names that a format writes once for many records may come from [`State`].

use std::borrow::Cow;
use std::path::PathBuf;

use crate::model::{CallKind, Time};

/// Where a record lies in its source.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Span {
    /// Which of the recording's files, from 0.
    pub file: u16,
    /// First byte.
    pub offset: u64,
    /// Length in bytes.
    pub len: u32,
}

/// One record as it lies in its source.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its bytes, without the line's end.
    pub bytes: &'a [u8],
    /// Where they lie.
    pub span: Span,
    /// What the format's splitter called it; empty for lines.
    pub tag: &'a str,
}

/// What a format says once for many records. Readers may set it and use it for times and names, never for texts.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Version of the format, from a header.
    pub version: u32,
    /// When the recording began.
    pub start: Option<Time>,
    /// Seconds since then, for formats that count intervals.
    pub elapsed: f64,
    /// The agent's working directory.
    pub cwd: String,
    /// The session that records without one belong to.
    pub session: String,
    /// The turn that records belong to, by the agent's own id.
    pub turn: String,
    /// The other session whose conversation is copied at the beginning: its id while records are copied, empty after.
    pub origin: Option<String>,
    /// How many answers were told to be over, in formats that give answers no ids.
    pub answers: u64,
    /// Tokens of the session so far, where the format tells such a sum.
    pub total: u64,
    /// How many records were read.
    pub records: u64,
}

/// What a record gives.
#[derive(Debug, Default)]
pub struct Out<'a> {
    /// The events, in order.
    pub events: Vec<Event<'a>>,
    /// How many records of the agent this stands for: 1, unless a message with its parts is one record for us.
    pub counted: u32,
}

/// One neutral event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    /// Which of its record's events: unique within the record.
    pub part: u16,
    /// Its own id (uuid, message id); empty when it has none. Several events of one record may share it.
    pub native: Cow<'a, str>,
    /// The event that it continues, by native id: what makes the conversation a tree. `None` where the format is linear.
    pub parent: Option<Cow<'a, str>>,
    /// The subagent that speaks; empty for the main agent.
    pub thread: Cow<'a, str>,
    /// The session, by the agent's own id; empty for the recording's own.
    pub session: Cow<'a, str>,
    /// The model's answer that it is part of (all blocks of one response share it); empty to go by position.
    pub answer: Cow<'a, str>,
    /// When it happened, by the agent's clock.
    pub time: Option<Time>,
    /// The same thing may be told by another record in another form: kept only if no event of the same kind and text
    /// was there since the last prompt.
    pub echo: bool,
    /// What it says.
    pub body: Body<'a>,
}

impl<'a> Event<'a> {
    /// An event with nothing but a body.
    #[must_use]
    pub fn new(part: u16, body: Body<'a>) -> Self {
        Self {
            part,
            native: Cow::Borrowed(""),
            parent: None,
            thread: Cow::Borrowed(""),
            session: Cow::Borrowed(""),
            answer: Cow::Borrowed(""),
            time: None,
            echo: false,
            body,
        }
    }
}

/// What an event says.
#[derive(Debug, Clone, PartialEq)]
pub enum Body<'a> {
    /// Facts about the session; later ones add to and replace earlier ones.
    Session(Box<Facts>),
    /// The person asked: a turn begins (in the main thread).
    Prompt(Cow<'a, str>),
    /// Reasoning.
    Thought(Cow<'a, str>),
    /// Text for the person.
    Message(Cow<'a, str>),
    /// An image: shown as a line (`<image 412 KB png>`). Its owner is the event before it.
    Image {
        /// Media type, as `image/png`.
        media: Cow<'a, str>,
        /// Size of the image in bytes (not of its base64).
        bytes: u64,
    },
    /// A tool call.
    Call(Call<'a>),
    /// A call's result.
    Result(Outcome<'a>),
    /// More about a call that was told before: its title, kind, child or exit code. Makes no step.
    About(Outcome<'a>),
    /// Tokens of an answer: counted once for each answer id.
    Usage(Usage),
    /// Something worth a line.
    Marker {
        /// Which kind.
        kind: MarkerKind,
        /// A line for people (may be long: the summary of a compaction).
        text: Cow<'a, str>,
    },
    /// The conversation goes on from an earlier event: what came after it is a dead branch.
    Rewind {
        /// The native id of the event that is the last one to live; empty: all of it is dead. `before:ID`: that event is
        /// dead as well. `turns:N`: the last N turns are.
        to: Cow<'a, str>,
    },
    /// The current leaf of the conversation, by native id.
    Leaf(Cow<'a, str>),
    /// Only a link of the tree (an attachment, a hook's output): makes no step, but others may have it as their parent.
    Link,
    /// Not understood: kept raw and shown as unknown.
    Unknown {
        /// The type that the record gives, or what is wrong with it.
        name: Cow<'a, str>,
    },
}

/// A tool call.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Call<'a> {
    /// The agent's id of the call.
    pub id: Cow<'a, str>,
    /// The tool's name.
    pub name: Cow<'a, str>,
    /// What kind; guessed from the name when absent.
    pub kind: Option<CallKind>,
    /// The arguments as JSON text (or as free text, for tools that take such).
    pub input: Cow<'a, str>,
    /// A line for people; made from the arguments when absent.
    pub title: Option<Cow<'a, str>>,
    /// The paths that the arguments name, as written.
    pub paths: Vec<String>,
    /// The record tells the call only after it ended (formats without a separate result).
    pub ended: bool,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome<'a> {
    /// The call's id.
    pub id: Cow<'a, str>,
    /// What it gave, as the model saw it.
    pub output: Cow<'a, str>,
    /// How it ended.
    pub end: Ending,
    /// Exit code of a command, where it is told.
    pub exit_code: Option<i32>,
    /// The subagent's thread that it started.
    pub child: Option<Cow<'a, str>>,
    /// Kind of agent, for such a thread (`explorer`).
    pub agent: Option<Cow<'a, str>>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ending {
    /// Well.
    #[default]
    Ok,
    /// With an error.
    Error,
    /// The person did not allow it, or it was interrupted.
    Aborted,
    /// Not yet, or not told: the status stays as it is.
    Open,
}

/// What is told about a session.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Facts {
    /// The agent's own id.
    pub id: String,
    /// The agent's name (`claude`, `codex`, ...).
    pub agent: String,
    /// Its version.
    pub version: String,
    /// The model (the last one told).
    pub model: String,
    /// Its working directory.
    pub cwd: String,
    /// The git branch.
    pub branch: String,
    /// The git commit at the start.
    pub commit: String,
    /// A title or summary.
    pub title: String,
    /// What it may do without asking (`plan`, `acceptEdits`).
    pub mode: String,
    /// The session that it was forked from or spawned by.
    pub parent: String,
    /// When it began.
    pub start: Option<Time>,
}

/// Tokens of one answer. All are counts; what a format does not tell is 0. `input` is without what came from the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// Fresh input.
    pub input: u64,
    /// Output, with reasoning.
    pub output: u64,
    /// Read from the cache.
    pub cache_read: u64,
    /// Written to the cache.
    pub cache_write: u64,
    /// Of the output: reasoning.
    pub reasoning: u64,
    /// The figures are of the whole session so far, not of one answer.
    pub total: bool,
}

/// What kind of marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MarkerKind {
    /// The conversation was compacted.
    Compaction,
    /// The conversation was set back.
    Rewind,
    /// The conversation was forked, or resumed from another one.
    Fork,
    /// The person interrupted.
    Interrupt,
    /// The model's service failed.
    ApiError,
    /// Another model, or another effort.
    ModelChange,
    /// Another mode (plan, permissions).
    ModeChange,
    /// A file was changed behind the agent's back, says the agent.
    OutsideEdit,
    /// A session begins or ends.
    Session,
    /// Text put before the model that the person did not type (instructions, environment, reminders).
    Context,
    /// Anything else worth a line.
    Note,
}

impl MarkerKind {
    /// One word for people and queries.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Compaction => "compaction",
            Self::Rewind => "rewind",
            Self::Fork => "fork",
            Self::Interrupt => "interrupt",
            Self::ApiError => "api-error",
            Self::ModelChange => "model",
            Self::ModeChange => "mode",
            Self::OutsideEdit => "outside-edit",
            Self::Session => "session",
            Self::Context => "context",
            Self::Note => "note",
        }
    }
}

/// What a record says about a file, for rebuilding the states. Read in a pass of its own: see
/// [`super::format::Format::effects`].
#[derive(Debug, Clone, PartialEq)]
pub struct FileEffect {
    /// The call it belongs to, by the agent's id; empty where there is none.
    pub call: String,
    /// The path as written: absolute, or relative to `cwd`.
    pub path: String,
    /// The directory that relative paths start from, where the record tells it.
    pub cwd: Option<String>,
    /// When.
    pub time: Option<Time>,
    /// Whether it has happened.
    pub stage: Stage,
    /// What was there before.
    pub before: Before,
    /// What was done.
    pub what: What,
}

/// Whether a told effect has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is what a call asks for: it counts only if the call ended well and its result tells no effect itself.
    Declared,
    /// The record is a result that says it was done.
    Applied,
}

/// What was at a path before an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// The record does not tell.
    NotTold,
    /// Nothing.
    Absent,
    /// This.
    Content(String),
}

/// What an effect did.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Nothing: the whole content was read, and is this.
    Seen(String),
    /// Part of the content was read: these whole lines, from this line on (from 1), of so many (0: not told).
    SeenPart {
        /// The text of the lines, with the end of each that has one in the file.
        text: String,
        /// The first line's number.
        from: usize,
        /// How many lines the file has, counted as pieces between line ends (one more than `wc -l` counts in a file that
        /// ends with one).
        of: usize,
    },
    /// The whole new content.
    Write(String),
    /// Strings replaced, one pair after the other.
    Replace(Vec<Replacement>),
    /// A unified diff (hunks only, or with a header).
    Unified(String),
    /// One file's part of an `apply_patch` text.
    Patch(super::patch::FilePatch),
    /// One cell of a notebook.
    Notebook {
        /// `replace`, `insert` or `delete`.
        mode: String,
        /// The cell, by id or number.
        cell: String,
        /// `code` or `markdown`; empty to keep.
        kind: String,
        /// Its new source.
        source: String,
    },
    /// Removed.
    Delete,
    /// Has another name now (absolute, or relative to `cwd`); changed as said, if so.
    Rename {
        /// The new name.
        to: String,
        /// What changed besides.
        change: Option<Box<Self>>,
    },
    /// Changed, but the record does not say how.
    Changed,
}

/// One replacement of strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// What is searched for; empty: the file is created with `new`.
    pub old: String,
    /// What it becomes.
    pub new: String,
    /// All of them, not only the first.
    pub all: bool,
}

/// A file that belongs to a recording besides its main one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// Where it is.
    pub path: PathBuf,
    /// The subagent's thread whose records it holds.
    pub thread: String,
    /// The call that started it, by the agent's id, where that is known.
    pub call: Option<String>,
    /// Kind of agent.
    pub agent: String,
}
