//! Places that were visited, and going back and forward among them; and the last way that was gone through time, to go it
//! again.
//!
//! A place is a step with the view that it was looked at in, and there the file and line. It is remembered when something
//! leads far away from it: a number, a label, a search, a list, a reason, another view. A step, a line or a page up and
//! down is none of these, nor is closing a view.

use crate::model::{Ordinal, RepoPath};

use super::action::{self, Action, Context, Group};
use super::app::{App, View};
use super::desk;
use super::diff_view::DiffView;
use super::live;
use super::msg::Effect;
use super::raw_view::RawView;
use super::state_view::StateView;
use super::travel;
use super::why::Walk;

/// Places that are kept either way.
const MOST: usize = 100;

/// Where one looks.
#[derive(Debug, Clone, PartialEq)]
enum Spot {
    Home,
    Diff(Option<RepoPath>),
    State {
        path: Option<RepoPath>,
        line: usize,
        in_file: bool,
        walk: Option<Walk>,
    },
    Raw,
    /// The live view.
    Live,
    List(Context),
}

/// A place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    focus: Ordinal,
    spot: Spot,
}

/// What is remembered of the way so far.
#[derive(Debug, Default)]
pub(crate) struct Places {
    back: Vec<Place>,
    forward: Vec<Place>,
    /// The last way through time.
    last: Option<(Action, Option<u64>)>,
}

/// The place that is looked at; none where there is nothing to come back to.
fn here(app: &App) -> Option<Place> {
    let spot = match &app.view {
        None => Spot::Home,
        Some(View::Diff(diff)) => Spot::Diff(diff.selected().map(|c| c.path.clone())),
        Some(View::State(state)) => Spot::State {
            path: state.shown.as_ref().map(|e| e.path.clone()),
            line: state.line,
            in_file: state.in_file,
            walk: state.walk.clone(),
        },
        Some(View::Raw(_)) => Spot::Raw,
        Some(View::Live(_)) => Spot::Live,
        Some(View::Desk(desk)) => Spot::List(desk.context()),
        Some(_) => return None,
    };
    Some(Place {
        focus: app.focus?,
        spot,
    })
}

/// Whether an action only moves a little, or goes back by itself.
fn is_small(action: Action) -> bool {
    matches!(
        action,
        Action::Down
            | Action::Up
            | Action::PageDown
            | Action::PageUp
            | Action::Left
            | Action::Right
            | Action::Step
            | Action::Back
            | Action::Over
            | Action::BackOver
            | Action::Again
            | Action::NextHunk
            | Action::PrevHunk
            | Action::NextFile
            | Action::PrevFile
            | Action::NextPane
            | Action::PrevPane
            | Action::WalkBack
            | Action::WalkForward
            | Action::ViewTimeline
            | Action::Close
            | Action::Quit
            | Action::Interrupt
    )
}

/// Before an action: the place that it may lead away from.
pub(crate) fn before(app: &App, action: Action) -> Option<Place> {
    if is_small(action) { None } else { here(app) }
}

/// After it: whether it has.
pub(crate) fn after(app: &mut App, before: Option<Place>) {
    if let Some(place) = before
        && here(app).is_some_and(|now| now != place)
    {
        remember(app, place);
    }
}

/// What is about to happen leads away from here.
pub(crate) fn leave(app: &mut App) {
    if let Some(place) = here(app) {
        remember(app, place);
    }
}

fn remember(app: &mut App, place: Place) {
    let places = &mut app.places;
    places.forward.clear();
    if places.back.last() != Some(&place) {
        push(&mut places.back, place);
    }
}

fn push(stack: &mut Vec<Place>, place: Place) {
    if stack.len() >= MOST {
        stack.remove(0);
    }
    stack.push(place);
}

/// Why there is no way back, forward or to be gone again.
pub(crate) fn enabled(app: &App, action: Action) -> Result<(), String> {
    let no = |why: &str| Err(why.to_owned());
    let now = here(app);
    let other = |stack: &[Place]| stack.iter().any(|p| Some(p) != now.as_ref());
    match action {
        Action::WalkBack if !other(&app.places.back) => no("no place was left before this one"),
        Action::WalkForward if !other(&app.places.forward) => {
            no("no place was gone back from: H goes back")
        }
        Action::Again if app.places.last.is_none() => no("nothing was gone through time yet"),
        _ => Ok(()),
    }
}

/// Goes so many places back, or forward again.
pub(crate) fn walk(app: &mut App, n: usize, forward: bool, out: &mut Vec<Effect>) {
    for _ in 0..n.min(MOST) {
        let now = here(app);
        let places = &mut app.places;
        let (from, to) = if forward {
            (&mut places.forward, &mut places.back)
        } else {
            (&mut places.back, &mut places.forward)
        };
        let found = loop {
            match from.pop() {
                // What was left without a word is here already.
                Some(place) if Some(&place) == now.as_ref() => {}
                other => break other,
            }
        };
        let Some(place) = found else { return };
        if let Some(now) = now {
            push(to, now);
        }
        go(app, place, out);
    }
}

fn go(app: &mut App, place: Place, out: &mut Vec<Effect>) {
    let (Ok(at) | Err(at)) = app.rows.position(place.focus);
    travel::to_index(app, at.min(app.rows.len().saturating_sub(1)));
    match place.spot {
        Spot::Home => app.view = None,
        Spot::Raw => {
            if !matches!(app.view, Some(View::Raw(_))) {
                app.view = Some(View::Raw(Box::<RawView>::default()));
            }
        }
        Spot::Live => {
            if !matches!(app.view, Some(View::Live(_))) {
                live::update::enter(app);
            }
        }
        Spot::Diff(path) => {
            let mut diff = DiffView::new();
            diff.keep = path;
            app.view = Some(View::Diff(Box::new(diff)));
        }
        Spot::List(context) => {
            let open = match context {
                Context::Operations => Action::ViewOperations,
                Context::BranchList => Action::ViewBranches,
                Context::Sessions => Action::ViewSessions,
                _ => Action::ViewLabels,
            };
            if desk::open(app).map(desk::Desk::context) != Some(context) {
                desk::act(app, open, out);
            }
        }
        Spot::State {
            path,
            line,
            in_file,
            walk,
        } => {
            let shown = match &app.view {
                Some(View::State(state)) => state.shown.as_ref().map(|e| e.path.clone()),
                _ => None,
            };
            if shown.is_none() || shown != path {
                let Some(row) = app.focus_row() else { return };
                let mut state = StateView::new(row);
                if let Some(path) = path {
                    state.seek_to(path, line);
                }
                app.view = Some(View::State(Box::new(state)));
            }
            if let Some(View::State(state)) = &mut app.view {
                state.line = line;
                state.in_file = in_file;
                state.walk = walk;
            }
        }
    }
}

/// An action was done: it may be a way through time.
pub(crate) fn note(app: &mut App, action: Action, count: Option<u64>) {
    let time = action::entry(action).is_some_and(|e| e.group == Group::Time);
    if time && action != Action::Again {
        app.places.last = Some((action, count));
    }
}

/// The last way through time, to be gone again; as many times as before, or as is asked for now.
pub(crate) fn again(app: &App, count: Option<u64>) -> Option<(Action, Option<u64>)> {
    let (action, before) = app.places.last?;
    Some((action, count.or(before)))
}
