//! The index of a recording: every step in a few hundred bytes, with the places of its texts in the source.
//!
//! It is made by [`super::assemble`] in one pass and kept in a cache file. Texts are not in it: they are read from their
//! records when they are looked at. An entry never moves and never changes its number; what is found later gets a number
//! between two others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{
    CallKind, Ordinal, SessionId, Source, Status, Step, StepId, StepKind, Talk, Time, Tokens,
};

use super::event::{Facts, Span, Usage};

/// Version of the cached form: another one is made again.
pub const VERSION: u32 = 2;

/// No time was told.
pub const NO_TIME: i64 = i64::MIN;

/// Where a text is: an event of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Spot {
    /// The record.
    pub span: Span,
    /// Which of its events.
    pub part: u16,
    /// Which of the index's tags the record had, from 1; 0 for none.
    pub tag: u8,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub major: u32,
    /// See [`Ordinal::minor`].
    pub minor: u32,
    /// What it is.
    pub kind: StepKind,
    /// What kind of call.
    pub call: CallKind,
    /// How it stands.
    pub status: Status,
    /// On a branch of the conversation that was left.
    pub dead: bool,
    /// Which of the index's threads.
    pub thread: u16,
    /// Which of the index's sessions.
    pub session: u16,
    /// Which of the index's tools, from 1; 0 for none.
    pub tool: u16,
    /// The thread that this call started; 0 for none.
    pub child: u16,
    /// Which of the index's answers, from 1; 0 for none.
    pub answer: u32,
    /// The turn, from 1.
    pub turn: u32,
    /// When, in microseconds since 1970; [`NO_TIME`] where neither it nor anything before it tells.
    pub time: i64,
    /// When its result came; [`NO_TIME`] if it has not, or does not tell.
    pub end: i64,
    /// Exit code of a command.
    pub exit: Option<i32>,
    /// One line.
    pub title: Box<str>,
    /// The id its source gave it, as [`Step::native`].
    pub native: Box<str>,
    /// The paths that a call names, as written.
    pub paths: Box<[Box<str>]>,
    /// Its text; `None` for what no record tells (an inferred change).
    pub body: Option<Spot>,
    /// A call's output.
    pub output: Option<Spot>,
}

/// One agent of a session: the main one (number 0) or a subagent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Thread {
    /// The agent's own id of it.
    pub native: String,
    /// Kind of agent (`explorer`).
    pub agent: String,
    /// The entry of the call that started it.
    pub call: Option<u32>,
    /// How many agents stand above it.
    pub depth: u8,
    /// Its steps.
    pub steps: u32,
}

/// One answer of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Answer {
    /// Its first entry.
    pub first: u32,
    /// What it cost.
    pub usage: Usage,
}

/// A record that says something about files, or ends a call that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectAt {
    /// The record.
    pub span: Span,
    /// Its tag, as in [`Spot`].
    pub tag: u8,
    /// When, as far as is known.
    pub time: i64,
    /// The session that it belongs to.
    pub session: u16,
    /// It has results of calls.
    pub closes: bool,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FileMark {
    /// Its path as it was given (what is not UTF-8 is lost: it is shown only).
    pub path: String,
    /// Length when it was read.
    pub size: u64,
    /// Modification time then, in nanoseconds since 1970.
    pub modified: i128,
    /// Its inode.
    pub inode: u64,
}

/// The index.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// Short name of the format.
    pub format: String,
    /// What was read, the main file first.
    pub files: Vec<FileMark>,
    /// The sessions in it, in the order of their first record.
    pub sessions: Vec<Facts>,
    /// The agents; number 0 is the main one.
    pub threads: Vec<Thread>,
    /// The steps, in the order in which they were found.
    pub entries: Vec<Entry>,
    /// The answers.
    pub answers: Vec<Answer>,
    /// Names of tools.
    pub tools: Vec<String>,
    /// Tags of records.
    pub tags: Vec<String>,
    /// Records that say something about files, in order.
    pub effects: Vec<EffectAt>,
    /// Records read, as the agent counts them.
    pub records: u64,
    /// What was not understood, by name.
    pub unknown: BTreeMap<String, u64>,
    /// Entries by number; made from `entries`.
    #[serde(skip)]
    order: BTreeMap<u64, u32>,
}

fn key(major: u32, minor: u32) -> u64 {
    u64::from(major) << 32 | u64::from(minor)
}

fn key_of(o: Ordinal) -> u64 {
    key(u32::try_from(o.major).unwrap_or(u32::MAX), o.minor)
}

impl Index {
    /// An empty one.
    #[must_use]
    pub fn new(format: &str) -> Self {
        Self {
            format: format.to_owned(),
            threads: vec![Thread::default()],
            ..Self::default()
        }
    }

    /// Adds an entry, and gives its place. Its number must be new.
    pub fn push(&mut self, entry: Entry) -> u32 {
        let at = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.order.insert(key(entry.major, entry.minor), at);
        if let Some(thread) = self.threads.get_mut(usize::from(entry.thread)) {
            thread.steps += 1;
        }
        self.entries.push(entry);
        at
    }

    /// After reading from a cache.
    pub fn put_in_order(&mut self) {
        self.order = self
            .entries
            .iter()
            .zip(0..)
            .map(|(e, i)| (key(e.major, e.minor), i))
            .collect();
    }

    /// The first free number after `major` that lies before the next whole one.
    #[must_use]
    pub fn next_minor(&self, major: u32) -> u32 {
        self.order
            .range(key(major, 0)..=key(major, u32::MAX))
            .next_back()
            .map_or(0, |(k, _)| (*k & u64::from(u32::MAX)) as u32 + 1)
    }

    /// A free number right before that one with the same whole number; where there is none, the first free one after it.
    #[must_use]
    pub fn minor_before(&self, o: Ordinal) -> u32 {
        let major = u32::try_from(o.major).unwrap_or(u32::MAX);
        let before = self.order.range(key(major, 0)..key_of(o)).next_back();
        let before = before.map_or(0, |(k, _)| (*k & u64::from(u32::MAX)) as u32);
        if before.saturating_add(1) < o.minor {
            o.minor - 1
        } else {
            self.next_minor(major)
        }
    }

    /// The entry at a place.
    #[must_use]
    pub fn get(&self, at: u32) -> Option<&Entry> {
        self.entries.get(at as usize)
    }

    /// The place of the entry of that number.
    #[must_use]
    pub fn find(&self, o: Ordinal) -> Option<u32> {
        self.order.get(&key_of(o)).copied()
    }

    /// Places in order of their numbers, after `after`.
    pub fn after(&self, after: Option<Ordinal>) -> impl Iterator<Item = u32> + '_ {
        let from = after.map_or(0, |o| key_of(o).saturating_add(1));
        self.order.range(from..).map(|(_, at)| *at)
    }

    /// Places in descending order of their numbers, before `before`.
    pub fn before(&self, before: Option<Ordinal>) -> impl Iterator<Item = u32> + '_ {
        let to = before.map_or(u64::MAX, key_of);
        self.order.range(..to).rev().map(|(_, at)| *at)
    }

    /// The highest number.
    #[must_use]
    pub fn last(&self) -> Option<Ordinal> {
        let at = *self.order.last_key_value()?.1;
        self.get(at).map(Entry::ordinal)
    }

    /// The session of an entry.
    #[must_use]
    pub fn session_id(&self, session: u16) -> SessionId {
        let native = self
            .sessions
            .get(usize::from(session))
            .map_or("", |s| s.id.as_str());
        if native.is_empty() {
            // A recording without an id is known by its file.
            let file = self.files.first().map_or("", |f| f.path.as_str());
            SessionId::of(&format!("recording:{file}"))
        } else {
            SessionId::of(native)
        }
    }

    /// Identity of the step at a place.
    #[must_use]
    pub fn step_id(&self, entry: &Entry) -> StepId {
        StepId::of(self.session_id(entry.session), &entry.native)
    }

    /// The step at a place, without texts.
    #[must_use]
    pub fn step(&self, at: u32) -> Option<Step> {
        let e = self.get(at)?;
        let answer = (e.answer > 0)
            .then(|| self.answers.get(e.answer as usize - 1))
            .flatten();
        let tokens = answer.filter(|a| a.first == at).map(|a| Tokens {
            input: a.usage.input,
            output: a.usage.output,
            cache_read: a.usage.cache_read,
            cache_write: a.usage.cache_write,
        });
        let mut sources = Vec::new();
        for spot in [e.body, e.output].into_iter().flatten() {
            let source = self.source(spot.span);
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        let thread = self.threads.get(usize::from(e.thread));
        Some(Step {
            id: self.step_id(e),
            ordinal: e.ordinal(),
            session: Some(self.session_id(e.session)),
            kind: e.kind,
            call: e.call,
            tool: match e.tool {
                0 => String::new(),
                n => self
                    .tools
                    .get(usize::from(n) - 1)
                    .cloned()
                    .unwrap_or_default(),
            },
            native: e.native.to_string(),
            title: e.title.to_string(),
            time: Time(if e.time == NO_TIME { 0 } else { e.time }),
            end: (e.end != NO_TIME).then_some(Time(e.end)),
            status: e.status,
            exit_code: e.exit,
            turn: e.turn,
            body: None,
            output: None,
            paths: e.paths.iter().map(ToString::to_string).collect(),
            state: None,
            talk: Talk {
                answer: e.answer,
                thread: u32::from(e.thread),
                depth: thread.map_or(0, |t| t.depth),
                child: (e.child > 0).then_some(u32::from(e.child)),
                dead: e.dead,
                tokens: tokens.filter(|t| *t != Tokens::default()),
            },
            sources,
        })
    }

    /// A record's place, for people.
    #[must_use]
    pub fn source(&self, span: Span) -> Source {
        Source {
            file: self
                .files
                .get(usize::from(span.file))
                .map(|f| f.path.clone())
                .unwrap_or_default(),
            blob: None,
            offset: span.offset,
            len: u64::from(span.len),
        }
    }

    /// Tokens of all answers together.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        let mut sum = Tokens::default();
        for a in &self.answers {
            // What a recording claims may be any number.
            sum.input = sum.input.saturating_add(a.usage.input);
            sum.output = sum.output.saturating_add(a.usage.output);
            sum.cache_read = sum.cache_read.saturating_add(a.usage.cache_read);
            sum.cache_write = sum.cache_write.saturating_add(a.usage.cache_write);
        }
        sum
    }
}

impl Entry {
    /// Its number.
    #[must_use]
    pub fn ordinal(&self) -> Ordinal {
        Ordinal {
            major: u64::from(self.major),
            minor: self.minor,
        }
    }
}
