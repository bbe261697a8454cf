//! Where the steps of a run come from: the store of a project, or the index of a recording that is read in place.
//!
//! Commits, trees and links are always in a store; only steps and their texts differ. Whatever asks about a run asks
//! this, so that a recorded run is looked at with the same code as a live one.

use std::collections::{HashMap, HashSet};

use crate::model::{BlobId, CommitId, FORK, Ordinal, Session, SessionId, Step, StepId};
use crate::store::{self, Store, Tied};

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

/// Reads the texts of many steps one after the other.
pub trait Texts {
    /// A whole text; `None` where the step has none, or one longer than `limit`.
    fn text(&mut self, step: &Step, which: Which, limit: u64) -> store::Result<Option<Vec<u8>>>;
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
    /// session: the states of a run that was recorded elsewhere are those of its own steps only, and what happens on a
    /// fork is not what happens in the workspace.
    fn state_before(
        &self,
        store: &Store,
        mut before: Ordinal,
        of: Option<SessionId>,
    ) -> store::Result<Option<CommitId>> {
        let homes = Homes::of(store)?;
        let home = homes.home(of);
        loop {
            let page = self.steps_before(Some(before), 256)?;
            for earlier in &page {
                if homes.home_of(store, earlier)? == home
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

    /// All sessions, newest first.
    fn sessions(&self) -> store::Result<Vec<Session>>;

    /// The directory from which absolute paths of calls are told; `None` where calls name paths of the project.
    fn directory(&self) -> Option<String> {
        None
    }

    /// Lends somebody who reads texts of many steps.
    fn with_texts(&self, work: &mut dyn FnMut(&mut dyn Texts));
}

/// Whose states a step has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Home {
    /// Those of the workspace.
    Workspace,
    /// Those of a run that was recorded elsewhere.
    Elsewhere(SessionId),
    /// Those of a fork, by its branch.
    Fork(String),
}

/// Where sessions went on that did not in the workspace.
pub struct Homes {
    imported: HashSet<SessionId>,
    forks: HashMap<SessionId, String>,
}

impl Homes {
    /// Of a store.
    pub fn of(store: &Store) -> store::Result<Self> {
        let mut homes = Self {
            imported: HashSet::new(),
            forks: HashMap::new(),
        };
        for session in store.sessions()? {
            if session.imported {
                homes.imported.insert(session.id);
            } else if let Some(branch) = session.branch {
                homes.forks.insert(session.id, branch);
            }
        }
        Ok(homes)
    }

    /// Whose states the steps of a session have.
    #[must_use]
    pub fn home(&self, session: Option<SessionId>) -> Home {
        match session {
            Some(s) if self.imported.contains(&s) => Home::Elsewhere(s),
            Some(s) => match self.forks.get(&s) {
                Some(branch) => Home::Fork(branch.clone()),
                None => Home::Workspace,
            },
            None => Home::Workspace,
        }
    }

    /// Whose states a step has: one that is of no session may have been made on a fork all the same.
    pub fn home_of(&self, store: &Store, step: &Step) -> store::Result<Home> {
        if step.session.is_none()
            && let Some(link) = store.links_of_step(step.id)?.last()
            && let Some(branch) = store.commit(link.commit)?.meta.get(FORK)
        {
            return Ok(Home::Fork(branch.clone()));
        }
        Ok(self.home(step.session))
    }

    /// The same for a step whose last commit was looked up.
    #[must_use]
    pub fn of_tied(&self, step: &Step, tied: &Tied) -> Home {
        let node = tied.node.as_ref().filter(|_| !tied.links.is_empty());
        match node.and_then(|n| n.commit.meta.get(FORK)) {
            Some(branch) if step.session.is_none() => Home::Fork(branch.clone()),
            _ => self.home(step.session),
        }
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

    fn sessions(&self) -> store::Result<Vec<Session>> {
        Self::sessions(self)
    }

    fn with_texts(&self, work: &mut dyn FnMut(&mut dyn Texts)) {
        work(&mut OfStore(self));
    }
}

struct OfStore<'a>(&'a Store);

impl Texts for OfStore<'_> {
    fn text(&mut self, step: &Step, which: Which, limit: u64) -> store::Result<Option<Vec<u8>>> {
        let blob = match which {
            Which::Body => step.body,
            Which::Output => step.output,
        };
        match blob {
            Some(blob) if self.0.blob_len(blob)? <= limit => Ok(Some(self.0.blob(blob)?)),
            _ => Ok(None),
        }
    }
}
