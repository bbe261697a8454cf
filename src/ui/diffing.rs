//! What a person has chosen for differences (kept from one to the next), what they have selected in the timeline, and what
//! is asked of the engine for all that.

use std::collections::HashSet;

use crate::diff::text::Space;
use crate::engine::api::{ApiError, FileChange, GraphAnswer, GraphQuery, Request, Response};
use crate::model::{Ordinal, RepoPath};

use super::action::Action;
use super::against;
use super::app::{App, View, diff_key};
use super::diff_view::Touch;
use super::errand;
use super::msg::{DiffKey, Effect, Slot, Tag};
use super::restoring::{self, Asked};
use super::yank;

/// Versions of a file that are listed.
const TOUCHES: usize = 300;

/// The actions of this and its neighbours.
pub(crate) const OWN: &[Action] = &[
    Action::Against,
    Action::Select,
    Action::Restore,
    Action::RestoreNow,
    Action::RestoreFrozen,
    Action::RestoreOther,
    Action::CopyLine,
    Action::CopyDiff,
    Action::CopyCommand,
    Action::CopyReason,
    Action::Wrap,
    Action::WhiteSpace,
    Action::Editor,
    Action::Shell,
    Action::NextTab,
];

/// What an answer is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum About {
    /// The steps that touch a file.
    Touching(RepoPath),
    /// What lies at the top of a state.
    Top(String),
    /// What would be restored, by the number of the question.
    Look(u64),
    /// What was restored.
    Done(Box<restoring::Wish>),
    /// Names that a state can be called by.
    Names,
    /// A past state as a directory, in words which one.
    Shell(String),
    /// The sessions, for the facts of a state.
    Sessions,
    /// The difference of two states.
    Pair(against::Pair),
}

/// See the file's first lines.
#[derive(Debug, Default)]
pub(crate) struct Diffing {
    /// Side by side or not, where a person has said so.
    pub split: Option<bool>,
    pub wrap: bool,
    pub space: Space,
    /// Files whose difference was on the screen.
    pub viewed: HashSet<(RepoPath, DiffKey)>,
    /// The step of the timeline at which the selection begins.
    pub range: Option<Ordinal>,
    /// What is to be restored, while it is looked up what that would do.
    pub asked: Option<Box<Asked>>,
}

/// Why an action cannot be done now.
pub(crate) fn enabled(app: &App, action: Action) -> Result<(), String> {
    let no = |why: &str| Err(why.to_owned());
    match action {
        Action::Select => match &app.view {
            None if app.focus_row().is_none() => no("no step is recorded yet"),
            Some(View::Diff(diff)) if diff.in_files || diff.body.is_empty() => {
                no("the keys are not in lines of a file")
            }
            Some(View::State(state)) if !state.in_file || state.line_count() == 0 => {
                no("the keys are not in lines of a file")
            }
            _ => Ok(()),
        },
        Action::Editor | Action::Shell => errand::enabled(app, action),
        Action::NextTab => match &app.view {
            Some(View::State(state)) if state.tabs.there().len() > 1 => Ok(()),
            _ => no("only the files are known of it"),
        },
        Action::Against if app.focus_row().is_none() => no("no step is recorded yet"),
        Action::Restore | Action::RestoreFrozen | Action::RestoreOther | Action::RestoreNow => {
            restoring::enabled(app, action)
        }
        Action::CopyLine | Action::CopyDiff | Action::CopyCommand | Action::CopyReason => {
            yank::enabled(app, action)
        }
        _ => Ok(()),
    }
}

/// Does one of these actions.
pub(crate) fn act(app: &mut App, action: Action, out: &mut Vec<Effect>) {
    match action {
        Action::Against => against::ask(app, out),
        Action::Editor | Action::Shell => errand::act(app, action, out),
        Action::NextTab => {
            if let Some(View::State(state)) = &mut app.view {
                state.tabs.turn();
                state.in_file = false;
            }
        }
        Action::Select => select(app),
        Action::Wrap => app.diffing.wrap = !app.diffing.wrap,
        Action::WhiteSpace => {
            app.diffing.space = match app.diffing.space {
                Space::Show => Space::Changes,
                Space::Changes => Space::All,
                Space::All => Space::Show,
            };
            if let Some(View::Diff(diff)) = &mut app.view {
                diff.mark = None;
                diff.want = Some(true);
            }
        }
        Action::Restore => restoring::begin(app, out),
        Action::RestoreNow => restoring::confirm(app, false, out),
        Action::RestoreFrozen => restoring::confirm(app, true, out),
        Action::RestoreOther => restoring::other(app, out),
        own => yank::copy(app, own, out),
    }
}

fn select(app: &mut App) {
    match &mut app.view {
        Some(View::Diff(diff)) => {
            diff.mark = match diff.mark {
                None => Some(diff.line),
                Some(_) => None,
            };
        }
        Some(View::State(state)) => {
            state.mark = match state.mark {
                None => Some(state.line),
                Some(_) => None,
            };
        }
        _ => {
            app.diffing.range = match app.diffing.range {
                None => app.focus_row().map(|r| r.ordinal),
                Some(_) => None,
            };
        }
    }
}

/// Ends a selection. `false` when there is none.
pub(crate) fn unselect(app: &mut App) -> bool {
    match &mut app.view {
        Some(View::Diff(diff)) => diff.mark.take().is_some(),
        Some(View::State(state)) => state.mark.take().is_some(),
        None => app.diffing.range.take().is_some(),
        Some(_) => false,
    }
}

/// The first and the last of the steps that are selected in the timeline.
pub(crate) fn range(app: &App) -> Option<(Ordinal, Ordinal)> {
    let (mark, focus) = (app.diffing.range?, app.focus_row()?.ordinal);
    Some((mark.min(focus), mark.max(focus)))
}

/// Asks for what the diff view needs and does not have.
pub(crate) fn sync(app: &mut App, out: &mut Vec<Effect>) {
    let shown = match &app.view {
        Some(View::Diff(diff)) => diff.selected().cloned(),
        _ => None,
    };
    if let Some(change) = &shown
        && app
            .compared(change)
            .is_none_or(|c| !matches!(c, super::msg::Compared::Waiting))
    {
        let key = diff_key(change, Space::Show);
        let new = app.diffing.viewed.insert((change.path.clone(), key));
        if let Some(View::Diff(diff)) = &mut app.view
            && let Some(seen) = &mut diff.seen
            && new
        {
            *seen += 1;
        }
    }
    if let Some(View::Diff(diff)) = &mut app.view
        && diff.seen.is_none()
    {
        let viewed = &app.diffing.viewed;
        let is_seen = |c: &&FileChange| {
            !viewed.is_empty() && viewed.contains(&(c.path.clone(), diff_key(c, Space::Show)))
        };
        diff.seen = Some(diff.changes.iter().filter(is_seen).count());
    }
    let focus = app.focus_row().map(|r| r.ordinal);
    let row = app.focus_row().cloned();
    let Some(View::Diff(diff)) = &mut app.view else {
        return;
    };
    if let (Some(pair), Some(row)) = (&mut diff.pair, &row)
        && let Some(next) = pair.follow(row)
    {
        against::send(next, out);
    }
    if let Some(entry) = diff.content_wanted() {
        out.push(Effect::Read(entry));
    }
    let wanted = shown.map(|c| (c.path, focus));
    if let Some((path, at)) = wanted
        && diff.touching != Some((path.clone(), at))
    {
        if diff.touching.as_ref().map(|(p, _)| p) != Some(&path) {
            diff.touches.clear();
        }
        diff.touching = Some((path.clone(), at));
        let query = GraphQuery::Path {
            path: path.clone(),
            rev: None,
            before: None,
            limit: TOUCHES,
        };
        let tag = Tag::Diffing(Box::new(About::Touching(path)));
        out.push(Effect::Ask(
            Some(Slot::Touching),
            tag,
            Request::Graph(query),
        ));
    }
    if let Some(rev) = diff.revs.1.clone()
        && diff.top_of.as_ref() != Some(&rev)
    {
        diff.top_of = Some(rev.clone());
        let request = Request::List {
            rev: rev.clone(),
            path: RepoPath::root(),
        };
        let tag = Tag::Diffing(Box::new(About::Top(rev)));
        out.push(Effect::Ask(Some(Slot::Same), tag, request));
    }
}

/// Takes an answer.
pub(crate) fn answer(
    app: &mut App,
    about: About,
    result: Result<Response, ApiError>,
    out: &mut Vec<Effect>,
) {
    match about {
        About::Touching(path) => {
            // Without it the list stays empty.
            if let (Some(View::Diff(diff)), Ok(Response::Graph(GraphAnswer::Versions(all)))) =
                (&mut app.view, result)
                && diff.touching.as_ref().is_some_and(|(p, _)| *p == path)
            {
                let mut touches: Vec<Touch> = all
                    .iter()
                    .filter_map(|v| Touch::of(&v.commit, &v.tool))
                    .collect();
                touches.sort_by_key(|t| t.step);
                touches.dedup_by_key(|t| t.step);
                diff.touches = touches;
            }
        }
        About::Top(rev) => {
            if let (Some(View::Diff(diff)), Ok(Response::Listing(entries))) =
                (&mut app.view, result)
                && diff.top_of.as_ref() == Some(&rev)
            {
                let dirs = entries.into_iter().filter(|e| e.kind == "dir");
                diff.top_dirs = dirs.map(|e| e.path).collect();
                diff.settle_same();
            }
        }
        About::Look(stamp) => restoring::looked(app, stamp, result, out),
        About::Done(wish) => restoring::done(app, &wish, result, out),
        About::Names => against::names(app, result),
        About::Shell(at) => errand::mounted(app, at, result, out),
        About::Sessions => {
            // Without them the tab is not there.
            if let (Some(View::State(state)), Ok(Response::Sessions(all))) = (&mut app.view, result)
            {
                state.tabs.sessions = all;
            }
        }
        About::Pair(pair) => against::answer(app, pair, result, out),
    }
}
