//! Searching the steps, as it is typed: the nearest hit is gone to while the search still streams, and what was found is
//! kept, so that `n` and `N` go through it.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::engine::api::search::{Place, Query};
use crate::engine::api::{ApiError, Hit, Request, Response, Row};
use crate::model::Ordinal;

use super::app::{App, Pane, Tone, View};
use super::asking::{self, Asking, Typed};
use super::msg::{Effect, Slot, Tag};
use super::sweep::Sweep;
use super::update::{failed, toast};
use super::{find, text, travel};

/// Hits that are kept.
const MOST: usize = 100_000;
/// Where in a step something was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spot {
    pub place: Option<Place>,
    pub path: Option<Box<str>>,
    pub excerpt: Box<str>,
    pub span: (usize, usize),
}

/// A search through the steps.
#[derive(Debug)]
pub(crate) struct Run {
    pub text: String,
    pub sweep: Sweep,
    pub hits: BTreeMap<Ordinal, Spot>,
    /// The first hit is still to be gone to: on from there, or back.
    jump: Option<(Option<Ordinal>, bool)>,
    failed: bool,
}

/// All about searching that outlives a key.
#[derive(Debug, Default)]
pub(crate) struct Hunt {
    /// The line that is typed, and those before it.
    pub typed: Typed,
    pub run: Option<Run>,
    /// The text that is marked on the screen, made ready.
    pub marks: Option<(String, find::Query)>,
    /// The footer tells of the search: until another key does something else.
    pub strip: bool,
    /// In a text: the line that was found last. A text that fits on the screen is not scrolled to it.
    pub line: Option<usize>,
    /// In a text: which of how many lines with a match.
    pub count: Option<(usize, usize)>,
    /// The step whose text is to be scrolled to what was found, and which texts were looked through for that.
    pub show: Option<(Ordinal, Option<u64>)>,
}

impl Hunt {
    /// A row is new or has changed: it may fit now, or no longer.
    pub(crate) fn see(&mut self, row: &Row) {
        if let Some(run) = self.run.as_mut().filter(|r| !r.failed) {
            run.sweep.again(row.ordinal);
        }
    }

    /// A row is no more.
    pub(crate) fn forget(&mut self, step: Ordinal) {
        if let Some(run) = &mut self.run {
            run.hits.remove(&step);
        }
    }

    /// Whether a search is still going through the steps.
    pub(crate) fn goes_on(&self) -> bool {
        self.run.as_ref().is_some_and(|r| r.sweep.goes_on())
    }

    /// What was found in a step.
    pub(crate) fn spot(&self, step: Ordinal) -> Option<&Spot> {
        self.run.as_ref()?.hits.get(&step)
    }

    /// Which of the hits a step is, from 1, and of how many.
    pub(crate) fn number(&self, step: Ordinal) -> Option<(usize, usize)> {
        let hits = &self.run.as_ref()?.hits;
        hits.contains_key(&step)
            .then(|| (hits.range(..=step).count(), hits.len()))
    }

    /// Whether any hit lies between two steps, the later one not with them.
    pub(crate) fn any_in(&self, from: Ordinal, to: Option<Ordinal>) -> bool {
        let to = to.map_or(Bound::Unbounded, Bound::Excluded);
        let run = self.run.as_ref();
        run.is_some_and(|r| r.hits.range((Bound::Included(from), to)).next().is_some())
    }
}

/// Whether keys that search go to the steps, not to a text.
pub(crate) fn over_steps(app: &App) -> bool {
    match &app.view {
        None => app.pane == Pane::Timeline,
        Some(View::Live(_)) => true,
        Some(_) => false,
    }
}

/// The number before all that a step could have behind it.
pub(crate) fn before(step: Ordinal) -> Option<Ordinal> {
    match step.minor.checked_sub(1) {
        Some(minor) => Some(Ordinal { minor, ..step }),
        None => step.major.checked_sub(1).map(|major| Ordinal {
            major,
            minor: u32::MAX,
        }),
    }
}

/// To where the person was before the search.
pub(crate) fn back(app: &mut App) {
    if let Some(origin) = app.hunt.typed.origin.as_ref().filter(|_| over_steps(app)) {
        app.focus = origin.focus;
        app.follow = origin.follow;
        app.top = origin.top;
    }
    app.hunt.show = None;
}

/// Begins to go through the steps.
pub(crate) fn start(
    app: &mut App,
    typed: &str,
    from: Option<Ordinal>,
    backward: bool,
    out: &mut Vec<Effect>,
) {
    let Ok(query) = Query::text(typed) else {
        stop(app, out);
        app.hunt.run = None;
        return;
    };
    app.stamp += 1;
    app.hunt.run = Some(Run {
        text: typed.to_owned(),
        sweep: Sweep::new(query.to_string(), app.stamp, from, backward),
        hits: BTreeMap::new(),
        jump: Some((from, !backward)),
        failed: false,
    });
    sync(app, out);
}

/// Ends a search that goes through the steps; what it found stays. `false` when none does.
pub(crate) fn stop(app: &mut App, out: &mut Vec<Effect>) -> bool {
    let Some(run) = app.hunt.run.as_mut().filter(|r| r.sweep.goes_on()) else {
        return false;
    };
    run.sweep.stop();
    run.jump = None;
    out.push(Effect::Cancel(Slot::Search));
    true
}

/// Asks for more, when there is more; goes to the first hit as soon as it can be gone to.
pub(crate) fn sync(app: &mut App, out: &mut Vec<Effect>) {
    jump(app);
    if let Some(run) = app.hunt.run.as_mut().filter(|r| !r.failed)
        && let Some(search) = run.sweep.ask()
    {
        out.push(Effect::Ask(
            Some(Slot::Search),
            Tag::Search(run.sweep.stamp),
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
    let Some(run) = app.hunt.run.as_mut().filter(|r| r.sweep.stamp == stamp) else {
        return;
    };
    let found = match result {
        Ok(Response::Found(found)) => *found,
        Ok(_) => {
            run.failed = true;
            run.sweep.stop();
            let text =
                "the search got an answer of another kind; is the engine of another version?";
            return toast(app, Tone::Bad, text.to_owned(), &[], out);
        }
        Err(error) => {
            run.failed = true;
            run.sweep.stop();
            return failed(app, "the search cannot go on", &error, out);
        }
    };
    let began = run.sweep.goes_on();
    let taken = run.sweep.take(found);
    for step in &taken.again {
        run.hits.remove(step);
    }
    for hit in taken.hits {
        run.hits.insert(hit.ordinal, Spot::from(hit));
    }
    if run.hits.len() >= MOST {
        run.sweep.stop();
    }
    jump(app);
    if began && !app.hunt.goes_on() {
        done(app, out);
    }
}

impl From<Hit> for Spot {
    fn from(hit: Hit) -> Self {
        Self {
            place: hit.place,
            path: hit.path.map(String::into_boxed_str),
            excerpt: hit.excerpt.into_boxed_str(),
            span: hit.span,
        }
    }
}

/// All steps were looked at, and the line is not typed any more: says when nothing was found, or not everything seen.
pub(crate) fn done(app: &mut App, out: &mut Vec<Effect>) {
    let Some(run) = &app.hunt.run else { return };
    if run.failed || run.sweep.goes_on() {
        return;
    }
    let (none, passed_over) = (run.hits.is_empty(), run.sweep.passed_over);
    let what = text::one_line(&run.text);
    let typing = app.prompt.is_some();
    if none && typing {
        back(app);
    }
    if none && !typing {
        let also = match passed_over {
            0 => String::new(),
            n => format!(
                " ({} above 1 MiB not looked into)",
                text::plural(n, "changed file")
            ),
        };
        toast(
            app,
            Tone::Note,
            format!("not found: {what}{also}"),
            &[],
            out,
        );
    }
}

/// Whether a hit can be gone to: it is loaded and not filtered out.
fn can_go(app: &App, step: Ordinal) -> bool {
    app.rows.position(step).is_ok() && !app.filter.hides(step)
}

fn jump(app: &mut App) {
    let Some(run) = &app.hunt.run else { return };
    let Some((from, forward)) = run.jump else {
        return;
    };
    let open = |o: Option<Ordinal>| o.map_or(Bound::Unbounded, Bound::Excluded);
    let ahead = if forward {
        let mut hits = run.hits.range((open(from), Bound::Unbounded));
        hits.find(|(step, _)| can_go(app, **step))
    } else {
        let mut hits = run.hits.range((Bound::Unbounded, open(from))).rev();
        hits.find(|(step, _)| can_go(app, **step))
    };
    let around = || {
        let mut hits = run.hits.iter().filter(|(step, _)| can_go(app, **step));
        if forward {
            hits.next()
        } else {
            hits.next_back()
        }
    };
    let all = !run.sweep.goes_on();
    let found = ahead
        .or_else(|| around().filter(|_| all))
        .map(|(step, _)| *step);
    if let Some(step) = found {
        if let Some(run) = &mut app.hunt.run {
            run.jump = None;
        }
        go(app, step);
    }
}

fn go(app: &mut App, step: Ordinal) {
    if let Ok(at) = app.rows.position(step) {
        travel::to_index(app, at);
        app.hunt.show = Some((step, None));
    }
}

/// The n-th of these that can be gone to, once around and on.
fn nth(app: &App, steps: impl Iterator<Item = Ordinal>, n: usize) -> Option<Ordinal> {
    let mut steps = steps.filter(|step| can_go(app, *step));
    if n <= 1 {
        return steps.next();
    }
    let all: Vec<Ordinal> = steps.collect();
    all.get((n - 1) % all.len().max(1)).copied()
}

/// To the n-th next (or previous) hit among the steps.
pub(crate) fn next(app: &mut App, forward: bool, n: usize, out: &mut Vec<Effect>) {
    let (Some(typed), Some(focus)) = (app.search.clone(), app.focus) else {
        return;
    };
    app.hunt.strip = true;
    let Some(run) = app.hunt.run.as_ref().filter(|r| r.text == typed) else {
        return start(app, &typed, Some(focus), !forward, out);
    };
    let later = run.hits.range((Bound::Excluded(focus), Bound::Unbounded));
    let until = run.hits.range(..=focus);
    let earlier = run.hits.range(..focus).rev();
    let from = run.hits.range(focus..).rev();
    let numbers = |(step, _): (&Ordinal, &Spot)| *step;
    let found = if forward {
        nth(app, later.chain(until).map(numbers), n)
    } else {
        nth(app, earlier.chain(from).map(numbers), n)
    };
    let (goes_on, empty) = (run.sweep.goes_on(), run.hits.is_empty());
    match found {
        Some(step) => {
            if let Some(run) = &mut app.hunt.run {
                run.jump = None;
            }
            go(app, step);
        }
        None if goes_on => {
            let text = "no hit yet: the search goes on".to_owned();
            toast(app, Tone::Note, text, &[], out);
        }
        None => {
            let what = text::one_line(&typed);
            let which = if empty {
                "not found"
            } else {
                "not in what is shown"
            };
            toast(app, Tone::Note, format!("{which}: {what}"), &[], out);
        }
    }
}

/// Searches for the word under the cursor.
pub(crate) fn word(app: &mut App, out: &mut Vec<Effect>) {
    let Some(word) = find::word(app) else { return };
    asking::remember(app, Asking::Search, &word);
    find::set(app, Some(word.clone()));
    app.hunt.strip = true;
    if over_steps(app) {
        let from = app.focus;
        start(app, &word, from, false, out);
    } else {
        find::next(app, true, false, 1, out);
    }
}

/// After the panes were fitted: scrolls the step's text to what was found, once it is there.
pub(crate) fn arrange(app: &mut App) {
    let Some((step, tried)) = app.hunt.show else {
        return;
    };
    if app.focus != Some(step) {
        app.hunt.show = None;
        return;
    }
    let version = app.shelf.version;
    if tried == Some(version) || app.focus_detail().is_none() {
        return;
    }
    app.hunt.show = Some((step, Some(version)));
    let Some((_, query)) = &app.hunt.marks else {
        return;
    };
    for pane in [&mut app.detail, &mut app.changes] {
        let found = pane.doc.lines.iter().position(|line| {
            let words: String = line.spans.iter().map(|s| s.content.as_ref()).collect();
            query.is_in(&words)
        });
        if let Some(at) = found {
            // Where it is near the beginning, that stays on the screen.
            let above = 3;
            pane.scroll = if at < 2 * above { 0 } else { at - above };
        }
    }
}
