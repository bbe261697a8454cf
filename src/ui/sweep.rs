//! Going through all steps with a query, a slice at a time: what searches and filters have in common.
//!
//! One question is under way at most. Who does not want to go on asks no more. Steps that are new or have changed since
//! they were looked at are asked about once more at the end.

use std::collections::BTreeSet;

use crate::engine::api::{Found, Hit, Search};
use crate::model::Ordinal;

/// Hits of one answer.
const LIMIT: usize = 2_000;
/// How long one answer may take: so often the screen hears of it.
const SLICE: u64 = 40;
/// Steps that are asked about once more, at a time.
const LATE: usize = 1_000;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// From where it began.
    Ahead,
    /// Past the end, and on from the other one.
    Around,
    /// All steps were looked at.
    Done,
}

/// A query on its way through the steps.
#[derive(Debug)]
pub(crate) struct Sweep {
    /// In the language of queries.
    query: String,
    /// Tells its answers from those of an earlier one.
    pub stamp: u64,
    backward: bool,
    /// Where it began; `None` at the end that it goes away from.
    begin: Option<Ordinal>,
    at: Option<Ordinal>,
    phase: Phase,
    /// Steps that were looked at.
    pub looked: u64,
    /// Files that were passed over because they are large.
    pub passed_over: u64,
    late: BTreeSet<Ordinal>,
    asked: Option<Vec<Ordinal>>,
    under_way: bool,
}

/// What an answer came to.
pub(crate) struct Taken {
    /// Steps that fit.
    pub hits: Vec<Hit>,
    /// All steps that this was about, from one to another; `None` up to that end.
    pub range: (Option<Ordinal>, Option<Ordinal>),
    /// Steps that were asked about once more: those without a hit do not fit (any more).
    pub again: Vec<Ordinal>,
}

impl Sweep {
    /// From a step on (or back), and around; from the first step when absent.
    pub(crate) fn new(query: String, stamp: u64, begin: Option<Ordinal>, backward: bool) -> Self {
        Self {
            query,
            stamp,
            backward,
            begin,
            at: begin,
            phase: Phase::Ahead,
            looked: 0,
            passed_over: 0,
            late: BTreeSet::new(),
            asked: None,
            under_way: false,
        }
    }

    /// Whether steps are left that were never looked at.
    pub(crate) fn goes_on(&self) -> bool {
        self.phase != Phase::Done
    }

    /// Ends it.
    pub(crate) fn stop(&mut self) {
        self.phase = Phase::Done;
        self.under_way = false;
        self.asked = None;
        self.late.clear();
    }

    /// A step is new or has changed.
    pub(crate) fn again(&mut self, step: Ordinal) {
        self.late.insert(step);
    }

    /// The next question, when none is under way and something is left.
    pub(crate) fn ask(&mut self) -> Option<Search> {
        if self.under_way {
            return None;
        }
        let mut search = Search {
            query: self.query.clone(),
            limit: LIMIT,
            budget_ms: SLICE,
            ..Search::default()
        };
        if self.goes_on() {
            search.after = self.at;
            search.backward = self.backward;
        } else {
            let some: Vec<Ordinal> = self.late.iter().take(LATE).copied().collect();
            if some.is_empty() {
                return None;
            }
            self.late.retain(|o| some.binary_search(o).is_err());
            search.only = Some(some.clone());
            self.asked = Some(some);
        }
        self.under_way = true;
        Some(search)
    }

    /// An answer came.
    pub(crate) fn take(&mut self, found: Found) -> Taken {
        self.under_way = false;
        self.passed_over += found.passed_over;
        if let Some(again) = self.asked.take() {
            return Taken {
                hits: found.hits,
                range: (None, None),
                again,
            };
        }
        self.looked += found.looked;
        let from = self.at;
        if found.waiting {
            return Taken {
                hits: Vec::new(),
                range: (from, from),
                again: Vec::new(),
            };
        }
        let to = found.next;
        let (phase, at) = match (self.phase, to) {
            (Phase::Ahead, None) if self.begin.is_some() => (Phase::Around, None),
            (_, None) => (Phase::Done, None),
            (Phase::Around, Some(next)) if self.is_past(next) => (Phase::Done, None),
            (phase, next) => (phase, next),
        };
        self.phase = phase;
        self.at = at;
        let range = if self.backward {
            (to, from)
        } else {
            (from, to)
        };
        Taken {
            hits: found.hits,
            range,
            again: Vec::new(),
        }
    }

    /// Whether it has come around to where it began.
    fn is_past(&self, next: Ordinal) -> bool {
        self.begin.is_some_and(|begin| {
            if self.backward {
                next <= begin
            } else {
                next >= begin
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn at(major: u64) -> Option<Ordinal> {
        Some(Ordinal { major, minor: 0 })
    }

    fn answer(next: Option<Ordinal>) -> Found {
        Found {
            looked: 10,
            next,
            ..Found::default()
        }
    }

    #[test]
    fn it_goes_on_from_where_it_began_and_around() {
        let mut sweep = Sweep::new("x".to_owned(), 1, at(50), false);
        assert_eq!(sweep.ask().unwrap().after, at(50));
        assert!(sweep.ask().is_none(), "one at a time");
        assert_eq!(sweep.take(answer(at(80))).range, (at(50), at(80)));
        assert_eq!(sweep.ask().unwrap().after, at(80));
        assert_eq!(sweep.take(answer(None)).range, (at(80), None));
        assert_eq!(sweep.ask().unwrap().after, None);
        sweep.take(answer(at(30)));
        sweep.ask().unwrap();
        sweep.take(answer(at(51)));
        assert!(!sweep.goes_on());
        assert!(sweep.ask().is_none());
    }

    #[test]
    fn what_came_late_is_asked_about_when_all_is_done() {
        let mut sweep = Sweep::new("x".to_owned(), 1, None, false);
        sweep.again(at(7).unwrap());
        assert!(sweep.ask().unwrap().only.is_none());
        sweep.take(answer(None));
        let again = sweep.ask().unwrap().only.unwrap();
        assert_eq!(again, [at(7).unwrap()]);
        sweep.again(at(8).unwrap());
        assert!(sweep.ask().is_none());
        assert_eq!(sweep.take(answer(None)).again, again);
        assert_eq!(sweep.ask().unwrap().only.unwrap(), [at(8).unwrap()]);
    }

    #[test]
    fn what_is_still_being_read_is_asked_for_again() {
        let mut sweep = Sweep::new("x".to_owned(), 1, at(3), true);
        sweep.ask().unwrap();
        sweep.take(Found {
            waiting: true,
            next: at(3),
            ..Found::default()
        });
        assert!(sweep.goes_on());
        let search = sweep.ask().unwrap();
        assert_eq!((search.after, search.backward), (at(3), true));
    }
}
