//! Moving: through time, through lists, through texts.

use super::app::{App, Overlay, Pane, Tone, View};
use super::brief::Brief;
use super::filter;
use super::live;
use super::merge_view;
use super::msg::Effect;
use super::rows;
use super::screen;
use super::state_tabs::Tab;
use super::update::{numbered, toast};
use super::why;
use super::words;

/// Looks at the step at a place; folds over it open, and what it is filtered out by ends.
pub(crate) fn to_index(app: &mut App, index: usize) {
    let Some(row) = app.rows.brief(index) else {
        return;
    };
    let ordinal = row.ordinal;
    app.focus = Some(ordinal);
    app.follow = false;
    if app.filter.is_on() {
        if app.filter.welcome(ordinal) {
            app.folds.look_again(ordinal, ordinal);
        }
    } else {
        app.folds.reveal(&row);
    }
    app.refold();
}

fn moved(at: usize, n: usize, forward: bool, len: usize) -> usize {
    let to = if forward {
        at.saturating_add(n)
    } else {
        at.saturating_sub(n)
    };
    to.min(len.saturating_sub(1))
}

/// Lines up or down where the keys go.
pub(crate) fn scroll(app: &mut App, n: usize, forward: bool) {
    if let Some(Overlay::Help(help)) = &mut app.overlay {
        help.scrolled(n, forward);
        return;
    }
    match &mut app.overlay {
        Some(Overlay::Answer(answer)) => {
            answer.scroll = moved(answer.scroll, n, forward, 10_000);
            return;
        }
        Some(Overlay::Branches(picker)) => {
            picker.cursor = moved(picker.cursor, n, forward, picker.len());
            return;
        }
        Some(Overlay::Conflicts { cursor }) => {
            let len = merge_view::view_len(app.view.as_ref());
            *cursor = moved(*cursor, n, forward, len);
            return;
        }
        _ => {}
    }
    if live::update::scroll(app, n, forward) {
        return;
    }
    match &mut app.view {
        Some(View::Live(_)) => list(app, n, forward),
        Some(View::Merge(_)) => merge_view::update::scroll(app, n, forward),
        Some(View::Desk(desk)) => desk.scroll(n, forward),
        Some(View::Raw(raw)) => raw.scroll = moved(raw.scroll, n, forward, raw.len()),
        Some(View::List(list)) => {
            list.cursor = moved(list.cursor, n, forward, list.shown.len());
        }
        Some(View::Diff(diff)) => {
            if diff.in_files {
                let to = moved(diff.cursor, n, forward, diff.changes.len());
                diff.select(to);
            } else {
                diff.line = moved(diff.line, n, forward, diff.body.len());
            }
        }
        Some(View::State(state)) => {
            if !state.in_file && state.tabs.tab != Tab::Files {
                state.tabs.scroll = moved(state.tabs.scroll, n, forward, 10_000);
            } else if state.in_file {
                state.walk = None;
                state.line = moved(state.line, n, forward, state.line_count());
            } else {
                let to = moved(state.cursor, n, forward, state.nodes.len());
                state.select(to);
            }
        }
        None => match app.pane {
            Pane::Timeline => list(app, n, forward),
            Pane::Detail => {
                let len = app.detail.doc.lines.len();
                app.detail.scroll = moved(app.detail.scroll, n, forward, len);
            }
            Pane::Changes => {
                let len = app.changes.doc.lines.len();
                app.changes.scroll = moved(app.changes.scroll, n, forward, len);
            }
        },
    }
}

/// Rows of the list of steps up or down.
fn list(app: &mut App, n: usize, forward: bool) {
    let Some(index) = app.focus_index() else {
        return;
    };
    let line = moved(app.line_of(index), n, forward, app.visible_len());
    if let Some(to) = app.row_of(line)
        && to != index
    {
        to_index(app, to);
    }
}

/// Screens up or down.
pub(crate) fn page(app: &mut App, n: usize, forward: bool) {
    let height = screen::page_height(app).saturating_sub(1).max(1);
    scroll(app, height.saturating_mul(n), forward);
}

/// To the beginning or the end of what has the keys. At the end of the timeline, what comes is followed.
pub(crate) fn end(app: &mut App, last: bool) {
    scroll(app, usize::MAX / 2, last);
    let listed = match &app.view {
        None => app.pane == Pane::Timeline,
        Some(View::Live(view)) => !view.in_terminal && !view.zoom,
        Some(_) => false,
    };
    if last && listed && app.overlay.is_none() {
        app.follow = true;
    }
}

/// To the step with that number, or the last before it.
pub(crate) fn to_number(app: &mut App, number: u64) {
    if let Some(View::List(list)) = &mut app.view {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        list.cursor = at.min(list.shown.len()).saturating_sub(1);
        return;
    }
    if let Some(View::Desk(desk)) = &mut app.view {
        return desk.select_number(number);
    }
    let at = match app.rows.position(numbered(number)) {
        Ok(at) => at,
        Err(at) => at.saturating_sub(1),
    };
    // Of what is shown, the nearest.
    let shown = app.rows.is_hidden(at) && app.filter.is_on();
    let at = match app.row_of(app.line_of(at)).filter(|_| shown) {
        Some(near) => near,
        None => at,
    };
    to_index(app, at);
}

/// One or more steps through time, into subagents; `over` passes them by. In the diff only steps that changed files count.
pub(crate) fn step(app: &mut App, n: usize, forward: bool, over: bool, out: &mut Vec<Effect>) {
    let Some(row) = app.focus_row() else {
        return;
    };
    let depth = if over { row.talk.depth } else { u8::MAX };
    if matches!(app.view, Some(View::Diff(_))) {
        if !over && why::has_file(app) {
            return why::of_file(app, forward, n, out);
        }
        let fits = move |r: &Brief| r.changed && r.depth <= depth;
        return next(app, n, forward, "change", fits, out);
    }
    if !go(app, n, forward, |r| r.depth <= depth) {
        let text = if forward {
            "this is the last step"
        } else {
            "this is the first step"
        };
        toast(app, Tone::Note, text.to_owned(), &[], out);
    }
}

/// To the end of a turn, or out of a subagent behind its last step; or back to where either began.
pub(crate) fn finish(app: &mut App, n: usize, forward: bool, out: &mut Vec<Effect>) {
    for done in 0..n {
        let Some((at, depth)) = app
            .focus_index()
            .and_then(|at| Some((at, app.rows.brief(at)?.depth)))
        else {
            return;
        };
        let to = if depth > 0 {
            app.rows.nth_brief(at, 1, forward, |r| r.depth < depth)
        } else if forward {
            end_of_turn(app, at)
        } else {
            app.rows.nth_brief(at, 1, false, rows::begins_turn)
        };
        match to.filter(|to| *to != at) {
            Some(to) => to_index(app, to),
            None if done > 0 => return,
            None => {
                let text = if forward {
                    "this is the end of the last turn"
                } else {
                    "this is the start of the first turn"
                };
                return toast(app, Tone::Note, text.to_owned(), &[], out);
            }
        }
    }
}

/// The last step of the turn at a place; at its end already, that of the next one.
fn end_of_turn(app: &App, at: usize) -> Option<usize> {
    let listed = |i: &usize| app.rows.brief(*i).is_some_and(|r| !app.folds.filtered(&r));
    let mut from = at;
    loop {
        let next = app.rows.nth_brief(from, 1, true, rows::begins_turn);
        let end = next.unwrap_or(app.rows.len());
        let last = (at + 1..end).rev().take_while(|i| *i > at).find(listed);
        match (last, next) {
            (Some(last), _) => return Some(last),
            (None, Some(next)) => from = next,
            (None, None) => return None,
        }
    }
}

/// To the n-th next (or previous) step that fits.
pub(crate) fn next(
    app: &mut App,
    n: usize,
    forward: bool,
    what: &str,
    fits: impl Fn(&Brief) -> bool,
    out: &mut Vec<Effect>,
) {
    if app.focus_index().is_some() && !go(app, n, forward, fits) {
        let which = if forward { "later" } else { "earlier" };
        let more = if app.loading.busy { " loaded yet" } else { "" };
        let text = format!("no {which} {what}{more}");
        toast(app, Tone::Note, text, &[], out);
    }
}

/// Goes to the n-th step that fits, or the last that there is; what is filtered out does not count. `false` when there is
/// none.
fn go(app: &mut App, n: usize, forward: bool, fits: impl Fn(&Brief) -> bool) -> bool {
    let Some(start) = app.focus_index() else {
        return false;
    };
    let (folds, filter) = (&app.folds, &app.filter);
    let left_out = |row: &Brief| {
        if filter.is_on() {
            filter::hides(folds, filter, row.ordinal, row)
        } else {
            folds.filtered(row)
        }
    };
    let fits = |row: &Brief| fits(row) && !left_out(row);
    let found = app.rows.nth_brief(start, n, forward, fits);
    if let Some(found) = found {
        to_index(app, found);
    }
    found.is_some()
}

/// To the step with a label.
pub(crate) fn to_label(app: &mut App, letter: Option<char>, out: &mut Vec<Effect>) {
    let Some(letter) = letter else { return };
    let name = letter.to_string();
    let has = |at: &usize| {
        let row = app.rows.get(*at);
        row.is_some_and(|r| r.labels.iter().any(|l| words::label(l) == name))
    };
    let found = app.rows.labelled().into_iter().find(has);
    match found {
        Some(at) => to_index(app, at),
        None => toast(app, Tone::Note, format!("no label {name}"), &[], out),
    }
}

/// Hunks up or down.
pub(crate) fn hunk(app: &mut App, n: usize, forward: bool) {
    match &mut app.view {
        Some(View::Diff(diff)) => {
            let past = !diff.step_hunk(n, forward);
            // Past the last hunk of a file comes the first of the next one.
            let to = if forward {
                diff.cursor + 1
            } else {
                diff.cursor.wrapping_sub(1)
            };
            if past && to < diff.changes.len() {
                diff.select(to);
                diff.want = Some(forward);
            }
        }
        Some(View::Merge(merge)) => merge_view::update::part(merge, n, forward),
        Some(View::State(_) | View::List(_) | View::Raw(_) | View::Desk(_) | View::Live(_)) => {}
        None => {
            let pane = if app.pane == Pane::Changes {
                &mut app.changes
            } else {
                &mut app.detail
            };
            let stops = pane.doc.hunks.clone();
            jump(&mut pane.scroll, &stops, n, forward);
        }
    }
}

/// Files up or down.
pub(crate) fn file(app: &mut App, n: usize, forward: bool) {
    match &mut app.view {
        Some(View::List(_) | View::Raw(_) | View::Merge(_) | View::Desk(_) | View::Live(_)) => {}
        Some(View::Diff(diff)) => {
            let to = moved(diff.cursor, n, forward, diff.changes.len());
            if to != diff.cursor {
                diff.select(to);
                diff.want = Some(true);
            }
        }
        Some(View::State(state)) => {
            for _ in 0..n {
                if !state.select_change(forward) {
                    break;
                }
            }
        }
        None => {
            let pane = if app.pane == Pane::Changes {
                &mut app.changes
            } else {
                &mut app.detail
            };
            let stops = pane.doc.files.clone();
            jump(&mut pane.scroll, &stops, n, forward);
        }
    }
}

/// Scrolls to the n-th next stop. `false` when there is none.
fn jump(scroll: &mut usize, stops: &[usize], n: usize, forward: bool) -> bool {
    let mut done = false;
    for _ in 0..n {
        let to = if forward {
            stops.iter().find(|s| **s > *scroll)
        } else {
            stops.iter().rev().find(|s| **s < *scroll)
        };
        let Some(to) = to else { break };
        *scroll = *to;
        done = true;
    }
    done
}

/// Scrolls so that the focus, or the line under the cursor, is in the middle.
pub(crate) fn centre(app: &mut App) {
    let page = screen::page_height(app);
    match &mut app.view {
        Some(View::Diff(diff)) if !diff.in_files => {
            diff.scroll = diff.line.saturating_sub(page / 2);
            return;
        }
        Some(View::State(state)) if state.in_file => {
            state.scroll = state.line.saturating_sub(page / 2);
            return;
        }
        Some(View::State(state)) => {
            state.top = state.cursor.saturating_sub(page / 2);
            return;
        }
        _ => {}
    }
    if let Some(index) = app.focus_index() {
        let height = screen::list_height(app);
        app.top = app.line_of(index).saturating_sub(height / 2);
    }
}
