//! Searching steps: what is asked, what is found, and a row as something that a query can be asked about.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};

pub use crate::debug::query::{
    EachText, FLAGS, Facts, KEYS, KeyInfo, MAX_LEN, Match, Pattern, Place, Plain, Query,
    QueryError, Takes, Verdict, nearest,
};
use crate::model::{Ordinal, StepId};

use super::Row;

/// What is searched for. One answer is one slice of the work: whoever wants more asks again, whoever does not is done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Search {
    /// In the language of queries.
    pub query: String,
    /// Only steps after this one (before it, when going backward); from the first (the last) when absent.
    #[serde(default)]
    pub after: Option<Ordinal>,
    /// From later steps to earlier ones.
    #[serde(default)]
    pub backward: bool,
    /// Only these steps, whatever else is said; at most a thousand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<Ordinal>>,
    /// At most so many hits.
    pub limit: usize,
    /// After so many milliseconds the answer is what was found until then. At least one step is looked at.
    pub budget_ms: u64,
    /// Give the rows of the hits, too.
    #[serde(default)]
    pub rows: bool,
}

/// What was found in one slice.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Found {
    /// In the direction of the search.
    pub hits: Vec<Hit>,
    /// Steps that were looked at.
    pub looked: u64,
    /// Where to go on: `after` of the next question. `None` when all has been looked at.
    pub next: Option<Ordinal>,
    /// Nothing was looked at yet, because what is asked about is still being read: ask the same again.
    #[serde(default)]
    pub waiting: bool,
    /// Files that were not looked into, because they are large.
    #[serde(default)]
    pub passed_over: u64,
}

/// A step that fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Which.
    pub step: StepId,
    /// Its number.
    pub ordinal: Ordinal,
    /// Where the text (or else the path) was found; `None` when none was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Of a change: the file (what is not UTF-8 is replaced).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What stands around it in its line (as it came: neutralise when drawing).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub excerpt: String,
    /// Where in the excerpt it is, in bytes.
    #[serde(default)]
    pub span: (usize, usize),
    /// Its row, when that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<Box<Row>>,
}

/// Bytes of an excerpt before what was found, and of all of it.
const BEFORE: usize = 48;
const ALL: usize = 200;

impl Hit {
    /// A hit without a place.
    #[must_use]
    pub fn new(step: StepId, ordinal: Ordinal) -> Self {
        Self {
            step,
            ordinal,
            place: None,
            path: None,
            excerpt: String::new(),
            span: (0, 0),
            row: None,
        }
    }

    /// Notes where it was found. A text says more than a path, and what was found first more than what came after.
    pub fn note(&mut self, found: &Match<'_>) {
        if self
            .place
            .is_some_and(|p| p != Place::Path || found.place == Place::Path)
        {
            return;
        }
        self.place = Some(found.place);
        self.path = found.path.map(|p| String::from_utf8_lossy(p).into_owned());
        let (from, to) = found.span;
        let text = found.text;
        let line = |b: &u8| *b == b'\n';
        let begin = text[..from].iter().rposition(line).map_or(0, |at| at + 1);
        let mut start = begin.max(from.saturating_sub(BEFORE));
        // Blanks at the beginning of a line say nothing.
        while start < from && matches!(text[start], b' ' | b'\t') {
            start += 1;
        }
        while start < from && text[start] & 0xc0 == 0x80 {
            start += 1;
        }
        let to = text[from..to]
            .iter()
            .position(line)
            .map_or(to, |at| from + at);
        let end = text[to..]
            .iter()
            .position(line)
            .map_or(text.len(), |at| to + at);
        let last = end.min(
            start
                .saturating_add(ALL)
                .max(to.min(from.saturating_add(ALL))),
        );
        let mut last = last.max(from);
        while last > to && last < text.len() && text[last] & 0xc0 == 0x80 {
            last -= 1;
        }
        let to = to.min(last);
        let mut excerpt = String::from_utf8_lossy(&text[start..from]).into_owned();
        let begins = excerpt.len();
        excerpt.push_str(&String::from_utf8_lossy(&text[from..to]));
        self.span = (begins, excerpt.len());
        excerpt.push_str(String::from_utf8_lossy(&text[to..last]).trim_end());
        self.excerpt = excerpt;
    }
}

/// A row, asked by itself: it knows no texts, paths, branches or names of sessions.
pub struct OfRow<'a>(pub &'a Row);

impl Row {
    /// What a query can ask every row.
    #[must_use]
    pub fn plain(&self) -> Plain<'_> {
        Plain {
            ordinal: self.ordinal,
            kind: self.kind,
            call: self.call,
            tool: &self.tool,
            title: &self.title,
            status: self.status,
            exit: self.exit_code,
            turn: self.turn,
            thread: self.talk.thread,
            dead: self.talk.dead,
            took: self.end.map(|end| took(self.time, end)),
            tokens: self.talk.tokens.as_ref().map(tokens),
            in_session: self.session.is_some(),
        }
    }

    /// Whether it fits a query, as far as a row knows.
    #[must_use]
    pub fn fits(&self, query: &Query) -> Verdict {
        let Ok(verdict) = query.test(&mut OfRow(self), &mut |_| {});
        verdict
    }
}

/// From one time to another, in milliseconds.
pub(in crate::engine) fn took(from: crate::model::Time, to: crate::model::Time) -> i64 {
    to.0.saturating_sub(from.0) / 1000
}

/// What was worked on, without what came from the cache.
pub(in crate::engine) fn tokens(tokens: &crate::model::Tokens) -> u64 {
    tokens
        .input
        .saturating_add(tokens.output)
        .saturating_add(tokens.cache_write)
}

impl Facts for OfRow<'_> {
    type Error = Infallible;

    fn plain(&self) -> Plain<'_> {
        self.0.plain()
    }

    fn effect(&mut self) -> Result<Option<(u64, u64)>, Infallible> {
        let effect = self.0.effect.unwrap_or_default();
        let lines = u64::from(effect.added) + u64::from(effect.removed);
        Ok(Some((u64::from(effect.files), lines)))
    }

    fn labels(&mut self, each: &mut dyn FnMut(&str)) -> Result<bool, Infallible> {
        for label in &self.0.labels {
            each(label);
        }
        Ok(true)
    }

    fn session(&mut self, _: &mut dyn FnMut(&str)) -> Result<bool, Infallible> {
        Ok(false)
    }

    fn branch(&mut self, _: &mut dyn FnMut(&str)) -> Result<bool, Infallible> {
        Ok(false)
    }

    fn paths(&mut self, _: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool, Infallible> {
        Ok(false)
    }

    fn texts(&mut self, _: &mut EachText<'_>) -> Result<bool, Infallible> {
        Ok(false)
    }
}
