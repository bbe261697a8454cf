//! The order in which records tell of files, and which state was there when a step began.
//!
//! Numbers of steps are not time: what a subagent does at last may have a number before what the main agent did meanwhile.
//! So the states before steps are found by where their records lie: the files of a recording are merged by their times,
//! each in its own order, also where its clock steps back.

use std::collections::{BTreeMap, HashMap};

use crate::model::{CommitId, Ordinal};
use crate::trace::event::Span;
use crate::trace::index::{EffectAt, Entry, Index};

/// Where a record lies among all: the latest time that its file told until then, the file, the place in it.
type Key = (i64, u16, u64);

/// A record that was taken.
#[derive(Debug, Clone, Copy)]
struct Told {
    key: Key,
    /// How many changes were told until then, this record's included.
    groups: usize,
}

/// A commit that was made.
#[derive(Debug, Clone, Copy)]
struct Commit {
    id: CommitId,
    group: usize,
    step: Option<Ordinal>,
}

/// The order of one replay.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// How far the time of each file has come.
    clocks: HashMap<u16, i64>,
    /// In the order in which they were taken.
    told: Vec<Told>,
    /// For each file where its records are in `told`.
    of_file: HashMap<u16, Vec<usize>>,
    commits: Vec<Commit>,
    by_step: BTreeMap<Ordinal, CommitId>,
    /// How many entries were looked at, and how many commits there were.
    seen: (usize, usize),
}

impl Order {
    /// Merges the records of several files, each file in its own order.
    pub fn merge(&mut self, todo: Vec<EffectAt>) -> Vec<(i64, EffectAt)> {
        let mut all: Vec<(i64, EffectAt)> = todo
            .into_iter()
            .map(|at| {
                let clock = self.clocks.entry(at.span.file).or_insert(at.time);
                *clock = at.time.max(*clock);
                (*clock, at)
            })
            .collect();
        all.sort_by_key(|(clock, at)| (*clock, at.span.file));
        all
    }

    /// A record was taken; `groups` changes were told until now.
    pub fn took(&mut self, span: Span, clock: i64, groups: usize) {
        let at = self.told.len();
        self.told.push(Told {
            key: (clock, span.file, span.offset),
            groups,
        });
        self.of_file.entry(span.file).or_default().push(at);
    }

    /// A commit was made of the changes until `group`.
    pub fn made(&mut self, id: CommitId, group: usize, step: Option<Ordinal>) {
        self.commits.push(Commit { id, group, step });
        let at = step.unwrap_or(Ordinal { major: 0, minor: 0 });
        if step.is_some() {
            self.by_step.insert(at, id);
        } else {
            self.by_step.entry(at).or_insert(id);
        }
    }

    /// The states before steps where they are other ones than their numbers say.
    pub fn before(&mut self, index: &Index) -> BTreeMap<Ordinal, CommitId> {
        let mut out = BTreeMap::new();
        let seen = std::mem::replace(&mut self.seen, (index.entries.len(), self.commits.len()));
        // What has a lower number than all that is new stays as it was.
        let new = self.commits.get(seen.1..).unwrap_or_default();
        let steps = new.iter().filter_map(|c| c.step);
        let entries = index.entries.get(seen.0..).unwrap_or_default();
        let Some(from) = steps.chain(entries.iter().map(Entry::ordinal)).min() else {
            return out;
        };
        // By key, with the number of changes told by any record until there.
        let mut order: Vec<(Key, usize)> = self.told.iter().map(|t| (t.key, t.groups)).collect();
        order.sort_unstable();
        let mut most = 0;
        for (_, groups) in &mut order {
            most = most.max(*groups);
            *groups = most;
        }
        let mut firsts: BTreeMap<Ordinal, usize> = BTreeMap::new();
        for (at, commit) in self.commits.iter().enumerate() {
            if let Some(step) = commit.step {
                firsts.entry(step).or_insert(at);
            }
        }
        let mut by_number = self.by_step.range(..from).next_back().map(|(_, id)| *id);
        let places = index.find(from).into_iter().chain(index.after(Some(from)));
        for entry in places.filter_map(|at| index.get(at)) {
            let number = entry.ordinal();
            let own = firsts.get(&number).copied();
            let last = match own {
                Some(first) => first.checked_sub(1),
                None => self.last_before(entry, &order),
            };
            if let Some(state) = last.and_then(|at| self.commits.get(at))
                && Some(state.id) != by_number
            {
                out.insert(number, state.id);
            }
            by_number = self.by_step.get(&number).copied().or(by_number);
        }
        out
    }

    /// The last commit before an entry that has none of its own.
    fn last_before(&self, entry: &Entry, order: &[(Key, usize)]) -> Option<usize> {
        let span = entry.body?.span;
        let none = Vec::new();
        let own = self.of_file.get(&span.file).unwrap_or(&none);
        let key = |n: usize| own.get(n).and_then(|at| self.told.get(*at)).map(|t| t.key);
        // Its time, but never against the order of its file.
        let next =
            own.partition_point(|at| self.told.get(*at).is_some_and(|t| t.key.2 < span.offset));
        let least = next.checked_sub(1).and_then(key).map_or(i64::MIN, |k| k.0);
        let most = key(next).map_or(i64::MAX, |k| k.0);
        let at = (entry.time.min(most).max(least), span.file, span.offset);
        let told = order.partition_point(|(key, _)| *key < at);
        let groups = told
            .checked_sub(1)
            .and_then(|n| order.get(n))
            .map_or(0, |o| o.1);
        let mut last = self
            .commits
            .partition_point(|c| c.group <= groups)
            .checked_sub(1)?;
        // A record that tells several steps: those before this one have happened.
        if let Some(same) = own.get(next).and_then(|at| self.told.get(*at))
            && same.key.2 == span.offset
        {
            while let Some(commit) = self.commits.get(last + 1)
                && commit.group <= same.groups
                && commit.step.is_some_and(|step| step < entry.ordinal())
            {
                last += 1;
            }
        }
        Some(last)
    }
}
