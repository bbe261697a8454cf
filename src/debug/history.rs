//! Where the steps of a run come from: the store of a project, or the index of a recording that is read in place.
//!
//! Commits, trees and links are always in a store; only steps and their texts differ. Whatever asks about a run asks
//! this, so that a recorded run is looked at with the same code as a live one.

use std::collections::HashSet;

use crate::model::{BlobId, CommitId, Ordinal, SessionId, Step, StepId};
use crate::store::{self, Store};

/// Which text of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Which {
    /// The prompt, the thought, the arguments of a call.
    Body,
    /// A call's output.
    Output,
}

/// The beginning of a step's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Identity of the whole; [`History::part`] reads on by it.
    pub blob: BlobId,
    /// Length of the whole in bytes.
    pub len: u64,
    /// The first bytes.
    pub bytes: Vec<u8>,
}

/// Steps in order, and their texts.
pub trait History: Send + Sync {
    /// A step.
    fn step(&self, id: StepId) -> store::Result<Option<Step>>;

    /// The step of that number.
    fn step_by_ordinal(&self, ordinal: Ordinal) -> store::Result<Option<Step>>;

    /// The steps of the calls with that id, by the agent's own words; several agents may use the same.
    fn steps_of_call(&self, call: &str) -> store::Result<Vec<Step>>;

    /// Steps after `after` (from the first if `None`), oldest first.
    fn steps_after(&self, after: Option<Ordinal>, limit: usize) -> store::Result<Vec<Step>>;

    /// Steps before `before` (from the last if `None`), newest first.
    fn steps_before(&self, before: Option<Ordinal>, limit: usize) -> store::Result<Vec<Step>>;

    /// How many steps there are.
    fn step_count(&self) -> store::Result<u64>;

    /// The highest step number.
    fn last_ordinal(&self) -> store::Result<Option<Ordinal>>;

    /// The state before the step of that number: that of the nearest step before it that has one. `of` is the step's
    /// session: the states of a run that was recorded elsewhere are those of its own steps only.
    fn state_before(
        &self,
        store: &Store,
        mut before: Ordinal,
        of: Option<SessionId>,
    ) -> store::Result<Option<CommitId>> {
        let imported = Imported::of(store)?;
        loop {
            let page = self.steps_before(Some(before), 256)?;
            for earlier in &page {
                if imported.home(earlier.session) == imported.home(of)
                    && let Some(state) = own_state(store, earlier)?
                {
                    return Ok(Some(state));
                }
            }
            match page.last() {
                Some(last) => before = last.ordinal,
                None => return Ok(None),
            }
        }
    }

    /// The first `limit` bytes of a step's text; `None` where it has none.
    fn text(&self, step: &Step, which: Which, limit: usize) -> store::Result<Option<Text>>;

    /// Part of a text or of a file's content, with the length of the whole.
    fn part(&self, id: BlobId, offset: u64, len: usize) -> store::Result<(u64, Vec<u8>)>;
}

/// The sessions that were recorded elsewhere.
pub struct Imported(HashSet<SessionId>);

impl Imported {
    /// Of a store.
    pub fn of(store: &Store) -> store::Result<Self> {
        Ok(Self(
            store
                .sessions()?
                .into_iter()
                .filter(|s| s.imported)
                .map(|s| s.id)
                .collect(),
        ))
    }

    /// Whose states a step of that session has: the workspace's (`None`), or those of a run recorded elsewhere.
    #[must_use]
    pub fn home(&self, session: Option<SessionId>) -> Option<SessionId> {
        session.filter(|s| self.0.contains(s))
    }
}

/// The state that `step` itself made, or moved to.
pub fn own_state(store: &Store, step: &Step) -> store::Result<Option<CommitId>> {
    Ok(match store.links_of_step(step.id)?.last() {
        Some(link) => Some(link.commit),
        None => step.state,
    })
}

impl History for Store {
    fn step(&self, id: StepId) -> store::Result<Option<Step>> {
        Self::step(self, id)
    }

    fn step_by_ordinal(&self, ordinal: Ordinal) -> store::Result<Option<Step>> {
        Self::step_by_ordinal(self, ordinal)
    }

    fn steps_of_call(&self, call: &str) -> store::Result<Vec<Step>> {
        // A call's step is named by its session and the call's id: one look-up a session.
        let native = format!("call:{call}");
        let sessions = self.sessions()?;
        let ids = sessions.iter().map(|s| s.id).chain([SessionId([0; 32])]);
        let mut steps = Vec::new();
        for session in ids {
            steps.extend(Self::step(self, StepId::of(session, &native))?);
        }
        Ok(steps)
    }

    fn steps_after(&self, after: Option<Ordinal>, limit: usize) -> store::Result<Vec<Step>> {
        Self::steps_after(self, after, limit)
    }

    fn steps_before(&self, before: Option<Ordinal>, limit: usize) -> store::Result<Vec<Step>> {
        Self::steps_before(self, before, limit)
    }

    fn step_count(&self) -> store::Result<u64> {
        Self::step_count(self)
    }

    fn last_ordinal(&self) -> store::Result<Option<Ordinal>> {
        Self::last_ordinal(self)
    }

    fn text(&self, step: &Step, which: Which, limit: usize) -> store::Result<Option<Text>> {
        let blob = match which {
            Which::Body => step.body,
            Which::Output => step.output,
        };
        let Some(blob) = blob else { return Ok(None) };
        let (len, bytes) = self.part(blob, 0, limit)?;
        Ok(Some(Text { blob, len, bytes }))
    }

    fn part(&self, id: BlobId, offset: u64, len: usize) -> store::Result<(u64, Vec<u8>)> {
        Ok((self.blob_len(id)?, self.blob_range(id, offset, len)?))
    }
}
