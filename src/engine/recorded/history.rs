//! A recording's steps as a history: from its index, with texts read from the records.

use std::path::PathBuf;

use crate::debug::history::{History, Text, Texts, Which};
use crate::model::{BlobId, CommitId, Ordinal, Session, SessionId, Step, StepId};
use crate::store::{self, Store};
use crate::trace::index::Index;
use crate::trace::recording::{self, Recording, Records};

use super::Recorded;

impl History for Recorded {
    fn step(&self, id: StepId) -> store::Result<Option<Step>> {
        let recording = self.recording();
        Ok(recording.find(id).and_then(|at| recording.step(at)))
    }

    fn step_by_ordinal(&self, ordinal: Ordinal) -> store::Result<Option<Step>> {
        let recording = self.recording();
        let at = recording.with(|index| index.find(ordinal));
        Ok(at.and_then(|at| recording.step(at)))
    }

    fn steps_of_call(&self, call: &str) -> store::Result<Vec<Step>> {
        let recording = self.recording();
        // An id that is used again: `call:ID`, `call:ID#2`, ...
        let is_it = |native: &str| {
            let rest = native
                .strip_prefix("call:")
                .and_then(|n| n.strip_prefix(call));
            rest.is_some_and(|rest| {
                rest.is_empty()
                    || rest
                        .strip_prefix('#')
                        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
            })
        };
        Ok(recording.steps(|index| {
            index
                .after(None)
                .filter(|at| index.get(*at).is_some_and(|e| is_it(&e.native)))
                .collect()
        }))
    }

    fn steps_after(&self, after: Option<Ordinal>, limit: usize) -> store::Result<Vec<Step>> {
        Ok(self
            .recording()
            .steps(|index| index.after(after).take(limit).collect()))
    }

    fn steps_before(&self, before: Option<Ordinal>, limit: usize) -> store::Result<Vec<Step>> {
        Ok(self
            .recording()
            .steps(|index| index.before(before).take(limit).collect()))
    }

    fn step_count(&self) -> store::Result<u64> {
        Ok(self.recording().with(|index| index.entries.len() as u64))
    }

    fn last_ordinal(&self) -> store::Result<Option<Ordinal>> {
        Ok(self.recording().with(Index::last))
    }

    fn state_before(
        &self,
        _store: &Store,
        before: Ordinal,
        _of: Option<SessionId>,
    ) -> store::Result<Option<CommitId>> {
        let states = self.states();
        // Numbers are not time: see `engine::replay_order`.
        if let Some(id) = states.before.get(&before) {
            return Ok(Some(*id));
        }
        Ok(states
            .by_step
            .range(..before)
            .next_back()
            .map(|(_, id)| *id))
    }

    fn text(&self, step: &Step, which: Which, limit: usize) -> store::Result<Option<Text>> {
        let recording = self.recording();
        let Some(at) = recording.find(step.id) else {
            return Ok(None);
        };
        let which = place_of(which);
        let Some(text) = recording.text(at, which).map_err(as_store)? else {
            return Ok(None);
        };
        let blob = BlobId::of(text.as_bytes());
        recording.remember(blob, at, which);
        let mut bytes = text.into_bytes();
        let len = bytes.len() as u64;
        bytes.truncate(limit);
        Ok(Some(Text { blob, len, bytes }))
    }

    fn part(&self, id: BlobId, offset: u64, len: usize) -> store::Result<(u64, Vec<u8>)> {
        if let Some(text) = self.recording().remembered(id).map_err(as_store)? {
            let bytes = text.as_bytes();
            let from = usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let to = from.saturating_add(len).min(bytes.len());
            return Ok((bytes.len() as u64, bytes[from..to].to_vec()));
        }
        History::part(&*self.store(), id, offset, len)
    }

    fn sessions(&self) -> store::Result<Vec<Session>> {
        Ok(Self::sessions(self))
    }

    fn directory(&self) -> Option<String> {
        self.recording().with(|index| {
            let dirs = index.sessions.iter().map(|s| &s.cwd);
            dirs.filter(|d| d.starts_with('/'))
                .min_by_key(|d| d.len())
                .cloned()
        })
    }

    fn with_texts(&self, work: &mut dyn FnMut(&mut dyn Texts)) {
        let recording = self.recording();
        work(&mut OfRecords {
            recording: &recording,
            records: recording.records(),
        });
    }
}

/// Keeps the files open between one step and the next.
struct OfRecords<'a> {
    recording: &'a Recording,
    records: Records<'a>,
}

impl Texts for OfRecords<'_> {
    fn text(&mut self, step: &Step, which: Which, limit: u64) -> store::Result<Option<Vec<u8>>> {
        let Some(at) = self.recording.find(step.id) else {
            return Ok(None);
        };
        let which = place_of(which);
        let text = self.records.text(at, which).map_err(as_store)?;
        Ok(text
            .map(String::into_bytes)
            .filter(|t| t.len() as u64 <= limit))
    }
}

fn place_of(which: Which) -> recording::Which {
    match which {
        Which::Body => recording::Which::Body,
        Which::Output => recording::Which::Output,
    }
}

/// A source that cannot be read any more, as the answers' own error.
fn as_store(e: recording::Error) -> store::Error {
    match e {
        recording::Error::Read { path, source } => store::Error::Io {
            what: "read",
            path,
            source,
        },
        other => store::Error::Io {
            what: "read",
            path: PathBuf::new(),
            source: std::io::Error::other(other.to_string()),
        },
    }
}
