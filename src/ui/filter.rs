//! The filter over the list of steps: only rows that fit a query are shown.
//!
//! The source is asked which steps fit, slice by slice, so that no key waits for a long run; which do is kept as a bit each.
//! Until a step has been looked at its row stays as it was. Rows that come or change are looked at as they come, and asked
//! about once more where they do not decide by themselves. The one row to which a person jumps although it does not fit
//! is shown.

use std::collections::{HashMap, HashSet};

use crate::engine::api::search::{Query, Verdict};
use crate::engine::api::{ApiError, Request, Response, Row};
use crate::model::Ordinal;

use super::app::{App, Tone};
use super::brief::Facts;
use super::folds::Folds;
use super::msg::{Effect, Slot, Tag};
use super::rows::ZERO;
use super::sweep::Sweep;
use super::update::{failed, toast};

/// The last possible step.
const LAST: Ordinal = Ordinal {
    major: u64::MAX,
    minor: u32::MAX,
};

/// Steps, by their numbers: a bit each.
#[derive(Debug, Default)]
struct Steps {
    /// Whole numbers, 64 at a time.
    whole: HashMap<u64, u64>,
    /// What was found later.
    between: HashSet<Ordinal>,
    len: usize,
}

impl Steps {
    fn has(&self, step: Ordinal) -> bool {
        if step.minor > 0 {
            return self.between.contains(&step);
        }
        let bits = self.whole.get(&(step.major / 64)).copied().unwrap_or(0);
        bits >> (step.major % 64) & 1 == 1
    }

    /// Those from one to another, both with them, in no order.
    fn within(&self, from: Ordinal, to: Ordinal) -> Vec<Ordinal> {
        let bits = |(block, bits): (&u64, &u64)| {
            let (block, bits) = (*block, *bits);
            let set = (0..64_u64).filter(move |n| bits >> n & 1 == 1);
            set.map(move |n| Ordinal {
                major: block * 64 + n,
                minor: 0,
            })
        };
        let near = |block: &u64| (from.major / 64..=to.major / 64).contains(block);
        let whole = self.whole.iter().filter(|(block, _)| near(block));
        let all = whole.flat_map(bits).chain(self.between.iter().copied());
        all.filter(|o| (from..=to).contains(o)).collect()
    }

    fn set(&mut self, step: Ordinal, here: bool) {
        if self.has(step) == here {
            return;
        }
        if here {
            self.len += 1;
        } else {
            self.len -= 1;
        }
        if step.minor > 0 {
            if here {
                self.between.insert(step);
            } else {
                self.between.remove(&step);
            }
        } else {
            *self.whole.entry(step.major / 64).or_default() ^= 1 << (step.major % 64);
        }
    }
}

#[derive(Debug)]
struct Active {
    text: String,
    query: Query,
    fitting: Steps,
    sweep: Sweep,
    /// The row that is shown although it does not fit.
    guest: Option<Ordinal>,
    /// Steps of branches that were left are asked for.
    dead: bool,
    failed: bool,
}

/// The filter, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    on: Option<Active>,
}

impl Filter {
    /// Whether there is one.
    pub(crate) fn is_on(&self) -> bool {
        self.on.is_some()
    }

    /// As it was typed.
    pub(crate) fn text(&self) -> Option<&str> {
        self.on.as_ref().map(|on| on.text.as_str())
    }

    /// Whether it is still looking at rows for the first time.
    pub(crate) fn goes_on(&self) -> bool {
        self.on.as_ref().is_some_and(|on| on.sweep.goes_on())
    }

    /// Rows that fit.
    pub(crate) fn len(&self) -> usize {
        self.on.as_ref().map_or(0, |on| on.fitting.len)
    }

    /// Whether a row does not fit.
    pub(crate) fn hides(&self, step: Ordinal) -> bool {
        self.on
            .as_ref()
            .is_some_and(|on| on.guest != Some(step) && !on.fitting.has(step))
    }

    /// Whether steps of branches that were left are shown although they are hidden otherwise.
    pub(crate) fn shows_dead(&self) -> bool {
        self.on.as_ref().is_some_and(|on| on.dead)
    }

    /// A row is new or has changed.
    pub(crate) fn see(&mut self, row: &Row) {
        let Some(on) = &mut self.on else { return };
        match row.fits(&on.query) {
            Verdict::Yes => on.fitting.set(row.ordinal, true),
            Verdict::No => on.fitting.set(row.ordinal, false),
            Verdict::Unknown => on.sweep.again(row.ordinal),
        }
    }

    /// News were missed: all steps are asked about again, and what is known stays until then.
    pub(crate) fn restart(&mut self, out: &mut Vec<Effect>) {
        if let Some(on) = &mut self.on {
            out.push(Effect::Cancel(Slot::Filter));
            on.sweep = Sweep::new(on.query.to_string(), on.sweep.stamp, None, false);
        }
    }

    /// A row is no more.
    pub(crate) fn forget(&mut self, step: Ordinal) {
        if let Some(on) = &mut self.on {
            on.fitting.set(step, false);
        }
    }

    /// A row is gone to although it does not fit. `true` when it has to be shown now.
    pub(crate) fn welcome(&mut self, step: Ordinal) -> bool {
        let hidden = self.hides(step);
        if let Some(on) = self.on.as_mut().filter(|_| hidden) {
            on.guest = Some(step);
        }
        hidden
    }
}

/// Whether a row is not in the list. A filter shows what fits, also what is folded away.
pub(crate) fn hides(folds: &Folds, filter: &Filter, step: Ordinal, row: &impl Facts) -> bool {
    if filter.is_on() {
        return filter.hides(step) || (folds.filtered(row) && !(row.dead() && filter.shows_dead()));
    }
    folds.hides(row)
}

/// Sets the filter that was typed, or ends it when that is empty.
pub(crate) fn set(app: &mut App, text: &str, out: &mut Vec<Effect>) {
    let query = match text.parse::<Query>() {
        Ok(query) => query,
        Err(error) => return toast(app, Tone::Bad, error.message, &[], out),
    };
    if app.filter.is_on() {
        out.push(Effect::Cancel(Slot::Filter));
    }
    if query.is_empty() {
        app.filter.on = None;
        app.folds.look_again(ZERO, LAST);
        return app.refold();
    }
    app.stamp += 1;
    let sweep = Sweep::new(query.to_string(), app.stamp, None, false);
    app.filter.on = Some(Active {
        text: text.trim().to_owned(),
        dead: query.asks_for_dead(),
        query,
        fitting: Steps::default(),
        sweep,
        guest: None,
        failed: false,
    });
    sync(app, out);
}

/// Asks for more, when there is more.
pub(crate) fn sync(app: &mut App, out: &mut Vec<Effect>) {
    if let Some(on) = &mut app.filter.on
        && !on.failed
        && let Some(search) = on.sweep.ask()
    {
        out.push(Effect::Ask(
            Some(Slot::Filter),
            Tag::Filter(on.sweep.stamp),
            Request::Search(search),
        ));
    }
}

/// A slice of the steps was looked at.
pub(crate) fn answer(
    app: &mut App,
    stamp: u64,
    result: Result<Response, ApiError>,
    out: &mut Vec<Effect>,
) {
    let Some(on) = app.filter.on.as_mut().filter(|on| on.sweep.stamp == stamp) else {
        return;
    };
    let found = match result {
        Ok(Response::Found(found)) => *found,
        Ok(_) => {
            on.failed = true;
            on.sweep.stop();
            let text =
                "the filter got an answer of another kind; is the engine of another version?";
            return toast(app, Tone::Bad, text.to_owned(), &[], out);
        }
        Err(error) => {
            on.failed = true;
            on.sweep.stop();
            return failed(app, "the filter cannot go on", &error, out);
        }
    };
    let taken = on.sweep.take(found);
    let (from, to) = match (taken.again.first(), taken.again.last()) {
        (Some(first), Some(last)) => (*first, *last),
        _ => (taken.range.0.unwrap_or(ZERO), taken.range.1.unwrap_or(LAST)),
    };
    for step in &taken.again {
        on.fitting.set(*step, false);
    }
    // What fitted when this was looked at before may not any more.
    if taken.again.is_empty() && taken.range.0 != taken.range.1 {
        for step in on.fitting.within(from, to) {
            if taken.range.0 != Some(step) {
                on.fitting.set(step, false);
            }
        }
    }
    for hit in &taken.hits {
        on.fitting.set(hit.ordinal, true);
    }
    app.folds.look_again(from, to);
    app.refold();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_in_it_or_not() {
        let mut steps = Steps::default();
        let at = |major, minor| Ordinal { major, minor };
        for step in [
            at(0, 0),
            at(63, 0),
            at(64, 0),
            at(64, 3),
            at(u64::MAX, u32::MAX),
        ] {
            assert!(!steps.has(step));
            steps.set(step, true);
            steps.set(step, true);
            assert!(steps.has(step));
        }
        assert_eq!(steps.len, 5);
        let mut within = steps.within(at(63, 0), at(64, 2));
        within.sort();
        assert_eq!(within, [at(63, 0), at(64, 0)]);
        steps.set(at(64, 0), false);
        steps.set(at(64, 0), false);
        assert!(!steps.has(at(64, 0)) && steps.has(at(64, 3)) && steps.has(at(63, 0)));
        assert_eq!(steps.len, 4);
    }
}
