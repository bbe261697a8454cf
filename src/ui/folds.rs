//! What is folded away or filtered out of the list of steps.
//!
//! Three things hide a row: its turn is folded; the subagent that speaks, or one above it, is folded; it is of a kind
//! that is not to be seen now (thoughts, branches of the conversation that were left). A subagent of many steps is folded
//! until the person opens it. Rows come in any order: what is known of a subagent is kept here, and each change tells
//! which range of rows has to be looked at again, so that a fold among a hundred thousand rows costs what is in it.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use crate::engine::api::Row;
use crate::model::{Ordinal, StepKind};

use super::brief::{Brief, Facts};
use super::rows::{self, ZERO};

/// Longest subagent that is open without being asked for.
const OPEN: usize = 8;

/// Subagents above each other that are followed: a circle of them must end.
const DEEPEST: usize = 64;

/// A turn or subagent: its session (where numbers are each session's own) and its number.
type Key = (u32, u32);

/// The last possible step.
const LAST: Ordinal = Ordinal {
    major: u64::MAX,
    minor: u32::MAX,
};

/// What is known of a turn.
#[derive(Debug, Clone, Copy)]
struct Turn {
    /// Its first row and its last.
    range: (Ordinal, Ordinal),
    /// The row that it begins with is there: without it nothing could open the turn again.
    begun: bool,
}

/// What is known of a subagent.
#[derive(Debug, Clone, Copy)]
struct Thread {
    /// The call that started it, and the agent that made the call.
    call: Option<(Ordinal, u32)>,
    /// How many of its rows are there.
    rows: usize,
    /// Its first row and its last.
    range: (Ordinal, Ordinal),
    /// What the person wants.
    wish: Option<bool>,
    /// It or an agent above it is folded.
    closed: bool,
}

impl Default for Thread {
    fn default() -> Self {
        Self {
            call: None,
            rows: 0,
            range: (LAST, ZERO),
            wish: None,
            closed: false,
        }
    }
}

/// What is folded and filtered.
#[derive(Debug, Default)]
pub(crate) struct Folds {
    turns: HashSet<Key>,
    known: HashMap<Key, Turn>,
    threads: HashMap<Key, Thread>,
    /// What the person wants of all subagents.
    all: Option<bool>,
    /// Thoughts are not to be seen.
    pub no_thoughts: bool,
    /// Branches that were left are to be seen.
    pub dead: bool,
    /// Rows on branches that were left.
    dead_rows: usize,
    /// Numbers are the recording's, not each session's own.
    pub one_source: bool,
    /// Rows that have to be looked at again.
    changed: Option<(Ordinal, Ordinal)>,
    /// Something is known of subagents that their folds do not follow yet.
    unsettled: bool,
}

impl Folds {
    fn key(&self, row: &impl Facts, number: u32) -> Key {
        let session = if self.one_source { 0 } else { row.session() };
        (session, number)
    }

    fn turn_of(&self, row: &impl Facts) -> Option<Key> {
        (row.turn() > 0).then(|| self.key(row, row.turn()))
    }

    fn touch(&mut self, range: (Ordinal, Ordinal)) {
        if range.0 > range.1 {
            return;
        }
        let (from, to) = self.changed.unwrap_or(range);
        self.changed = Some((from.min(range.0), to.max(range.1)));
    }

    /// Rows have to be looked at again.
    pub(crate) fn look_again(&mut self, from: Ordinal, to: Ordinal) {
        self.touch((from, to));
    }

    /// The rows that have to be looked at again since this was asked last.
    pub(crate) fn take_changed(&mut self) -> Option<RangeInclusive<Ordinal>> {
        self.settle_now();
        self.changed.take().map(|(from, to)| from..=to)
    }

    /// Takes note of a row that is new, or has changed from `old`.
    pub(crate) fn see(&mut self, row: &Row, old: Option<Brief>) {
        let was_dead = usize::from(old.is_some_and(|o| o.dead));
        self.dead_rows = (self.dead_rows + usize::from(row.talk.dead)).saturating_sub(was_dead);
        if let Some(turn) = self.turn_of(row) {
            let turn = self.known.entry(turn).or_insert(Turn {
                range: (LAST, ZERO),
                begun: false,
            });
            turn.range.0 = turn.range.0.min(row.ordinal);
            turn.range.1 = turn.range.1.max(row.ordinal);
            turn.begun |= rows::begins_turn(row);
        }
        if row.talk.thread > 0 && old.is_none_or(|o| o.thread != row.talk.thread) {
            let key = self.key(row, row.talk.thread);
            let thread = self.threads.entry(key).or_default();
            thread.rows += 1;
            thread.range.0 = thread.range.0.min(row.ordinal);
            thread.range.1 = thread.range.1.max(row.ordinal);
            self.unsettled |= thread.rows == OPEN + 1 && thread.call.is_some();
        }
        if let Some(old) = old
            && old.thread > 0
            && old.thread != row.talk.thread
        {
            let key = self.key(&old, old.thread);
            if let Some(thread) = self.threads.get_mut(&key) {
                thread.rows = thread.rows.saturating_sub(1);
            }
        }
        if let Some(child) = row.talk.child {
            let key = self.key(row, child);
            let call = Some((row.ordinal, row.talk.thread));
            let thread = self.threads.entry(key).or_default();
            if thread.call != call {
                thread.call = call;
                self.unsettled = true;
            }
        }
    }

    /// All rows are no more, and others come.
    pub(crate) fn restart(&mut self) {
        *self = Self {
            all: self.all,
            no_thoughts: self.no_thoughts,
            dead: self.dead,
            one_source: self.one_source,
            ..Self::default()
        };
    }

    /// A row is no more.
    pub(crate) fn forget(&mut self, row: &impl Facts) {
        self.dead_rows = self.dead_rows.saturating_sub(usize::from(row.dead()));
        let key = self.key(row, row.thread());
        if let Some(thread) = self.threads.get_mut(&key) {
            thread.rows = thread.rows.saturating_sub(1);
        }
    }

    fn folded(&self, thread: &Thread) -> bool {
        // Without its call on the screen nothing could open it again.
        thread.call.is_some() && thread.wish.or(self.all).unwrap_or(thread.rows > OPEN)
    }

    /// Lets folds follow what was seen: after many rows once.
    pub(crate) fn settle_now(&mut self) {
        if self.unsettled {
            self.settle();
        }
    }

    /// Decides which subagents are closed; notes the rows of those for which that is new.
    fn settle(&mut self) {
        self.unsettled = false;
        let mut news = Vec::new();
        for (key, thread) in &self.threads {
            let mut closed = false;
            let mut at = *thread;
            for _ in 0..DEEPEST {
                closed |= self.folded(&at);
                let Some((_, above)) = at.call.filter(|(_, above)| *above > 0 && !closed) else {
                    break;
                };
                let Some(next) = self.threads.get(&(key.0, above)) else {
                    break;
                };
                at = *next;
            }
            if closed != thread.closed {
                news.push((*key, closed));
            }
        }
        for (key, closed) in news {
            if let Some(thread) = self.threads.get_mut(&key) {
                thread.closed = closed;
                let range = thread.range;
                self.touch(range);
            }
        }
    }

    /// Whether a row is of a kind that is not to be seen now, folded or not.
    pub(crate) fn filtered(&self, row: &impl Facts) -> bool {
        (row.dead() && !self.dead) || (self.no_thoughts && row.kind() == StepKind::Thought)
    }

    /// Whether a row is not in the list.
    pub(crate) fn hides(&self, row: &impl Facts) -> bool {
        if self.filtered(row) {
            return true;
        }
        if !self.turns.is_empty()
            && !rows::begins_turn(row)
            && self.turn_of(row).is_some_and(|t| self.turns.contains(&t))
        {
            return true;
        }
        row.thread() > 0 && self.closed(self.key(row, row.thread()))
    }

    fn closed(&self, thread: Key) -> bool {
        self.threads.get(&thread).is_some_and(|t| t.closed)
    }

    /// The same for very many rows: neighbours are of the same turn and agent, for which the answer is remembered.
    pub(crate) fn hider(&self) -> impl FnMut(&Brief) -> bool {
        let mut turn: Option<(Key, bool)> = None;
        let mut thread: Option<(Key, bool)> = None;
        move |row| {
            if self.filtered(row) {
                return true;
            }
            let remembered =
                |slot: &mut Option<(Key, bool)>, key: Key, is: &dyn Fn(Key) -> bool| match slot {
                    Some((known, answer)) if *known == key => *answer,
                    _ => slot.insert((key, is(key))).1,
                };
            if !self.turns.is_empty()
                && !rows::begins_turn(row)
                && let Some(key) = self.turn_of(row)
                && remembered(&mut turn, key, &|key| self.turns.contains(&key))
            {
                return true;
            }
            let key = self.key(row, row.thread);
            row.thread > 0 && remembered(&mut thread, key, &|key| self.closed(key))
        }
    }

    /// How many rows are on branches that were left.
    pub(crate) fn dead_rows(&self) -> usize {
        self.dead_rows
    }

    /// How many turns are folded.
    pub(crate) fn folded_turns(&self) -> usize {
        self.turns.len()
    }

    /// Whether the turn of a row is folded.
    pub(crate) fn turn_folded(&self, row: &impl Facts) -> bool {
        self.turn_of(row).is_some_and(|t| self.turns.contains(&t))
    }

    /// For a call that started a subagent: whether that is folded, and how many rows it has.
    pub(crate) fn child(&self, row: &Row) -> Option<(bool, usize)> {
        let thread = self.threads.get(&self.key(row, row.talk.child?))?;
        (thread.rows > 0).then(|| (self.folded(thread), thread.rows))
    }

    /// The call that started the subagent of a row.
    pub(crate) fn call_above(&self, row: &impl Facts) -> Option<Ordinal> {
        let thread = self.threads.get(&self.key(row, row.thread()))?;
        Some(thread.call?.0)
    }

    /// Folds (or opens) the turn of a row.
    pub(crate) fn fold_turn(&mut self, row: &impl Facts, fold: bool) {
        let Some(turn) = self.turn_of(row) else {
            return;
        };
        let new = if fold {
            self.turns.insert(turn)
        } else {
            self.turns.remove(&turn)
        };
        if new && let Some(turn) = self.known.get(&turn) {
            self.touch(turn.range);
        }
    }

    /// Folds (or opens) the subagent that a call started.
    pub(crate) fn fold_child(&mut self, row: &Row, fold: bool) {
        if let Some(child) = row.talk.child {
            self.wish(self.key(row, child), fold);
        }
    }

    fn wish(&mut self, key: Key, fold: bool) {
        if let Some(thread) = self.threads.get_mut(&key)
            && thread.wish != Some(fold)
        {
            thread.wish = Some(fold);
            self.settle();
        }
    }

    /// Opens everything that a row is folded into; a subagent that was entered stays open.
    pub(crate) fn reveal(&mut self, row: &impl Facts) {
        if self.filtered(row) {
            self.dead |= row.dead();
            self.no_thoughts &= row.kind() != StepKind::Thought;
            self.touch((ZERO, LAST));
        }
        if !rows::begins_turn(row) {
            self.fold_turn(row, false);
        }
        let mut number = row.thread();
        for _ in 0..DEEPEST {
            if number == 0 {
                break;
            }
            let key = self.key(row, number);
            self.wish(key, false);
            number = self
                .threads
                .get(&key)
                .and_then(|t| t.call)
                .map_or(0, |(_, above)| above);
        }
    }

    /// Folds all turns and subagents.
    pub(crate) fn fold_all(&mut self) {
        let begun = self.known.iter().filter(|(_, t)| t.begun);
        self.turns = begun.map(|(key, _)| *key).collect();
        self.every_thread(true);
    }

    /// Opens all turns and subagents.
    pub(crate) fn unfold_all(&mut self) {
        self.turns.clear();
        self.every_thread(false);
    }

    fn every_thread(&mut self, fold: bool) {
        self.all = Some(fold);
        for thread in self.threads.values_mut() {
            thread.wish = None;
        }
        self.settle();
        self.touch((ZERO, LAST));
    }

    /// Shows or hides thoughts.
    pub(crate) fn toggle_thoughts(&mut self) {
        self.no_thoughts = !self.no_thoughts;
        self.touch((ZERO, LAST));
    }

    /// Shows or hides branches that were left.
    pub(crate) fn toggle_dead(&mut self) {
        self.dead = !self.dead;
        self.touch((ZERO, LAST));
    }
}
