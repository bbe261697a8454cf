//! The line in which searches and filters are typed, with what was typed before.
//!
//! A search begins with the first letter; the person's place is kept until Enter, and Esc goes back to it.

use ratatui::crossterm::event::KeyCode;

use crate::engine::api::search::Query;
use crate::model::Ordinal;

use super::app::{App, Tone, View};
use super::hits::{back, before, done, over_steps, start, stop};
use super::keys::Key;
use super::msg::Effect;
use super::update::toast;
use super::{filter, find};

/// Longest text of a search.
const MAX_QUERY: usize = 200;
/// Longest filter.
const MAX_FILTER: usize = 1_000;
/// Texts that are remembered.
const HISTORY: usize = 100;

/// What is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Asking {
    /// A text to be found.
    #[default]
    Search,
    /// A query that rows must fit.
    Filter,
}

/// Where the person was when the search began.
#[derive(Debug)]
pub(crate) struct Origin {
    pub focus: Option<Ordinal>,
    pub follow: bool,
    pub top: usize,
    search: Option<String>,
}

/// The line that is typed.
#[derive(Debug, Default)]
pub(crate) struct Typed {
    pub asking: Asking,
    /// What was typed before, of either kind.
    history: [Vec<String>; 2],
    /// Which of these is shown.
    at: Option<usize>,
    /// What was typed before history was looked into.
    draft: String,
    pub origin: Option<Origin>,
    /// What is typed is no pattern.
    pub problem: Option<String>,
}

/// `/` or `&`: a line is typed.
pub(crate) fn begin(app: &mut App, asking: Asking) {
    app.hunt.typed.asking = asking;
    app.hunt.typed.at = None;
    app.hunt.typed.problem = None;
    app.hunt.typed.origin = Some(Origin {
        focus: app.focus,
        follow: app.follow,
        top: app.top,
        search: app.search.clone(),
    });
    app.prompt = Some(String::new());
}

/// A key was pressed while a line is typed.
pub(crate) fn key(app: &mut App, key: Key, out: &mut Vec<Effect>) {
    let Some(prompt) = &mut app.prompt else {
        return;
    };
    let most = match app.hunt.typed.asking {
        Asking::Search => MAX_QUERY,
        Asking::Filter => MAX_FILTER,
    };
    match key.code {
        KeyCode::Esc => return cancel(app, out),
        KeyCode::Backspace if prompt.is_empty() => return cancel(app, out),
        KeyCode::Backspace => {
            prompt.pop();
        }
        KeyCode::Char('u') if key.ctrl => prompt.clear(),
        KeyCode::Char('w') if key.ctrl => {
            let kept = prompt.trim_end().rfind(' ').map_or(0, |at| at + 1);
            prompt.truncate(kept);
        }
        KeyCode::Up | KeyCode::Down if matches!(app.view, Some(View::List(_))) => {}
        KeyCode::Up => recall(app, true),
        KeyCode::Down => recall(app, false),
        KeyCode::Enter => return enter(app, out),
        _ => {
            if let Some(c) = key.typed()
                && prompt.chars().count() < most
            {
                prompt.push(c);
            }
        }
    }
    typed(app, out);
}

/// Text was pasted into the line.
pub(crate) fn paste(app: &mut App, pasted: &str, out: &mut Vec<Effect>) {
    if let Some(prompt) = &mut app.prompt {
        let line = pasted.lines().next().unwrap_or_default();
        let room = MAX_QUERY.saturating_sub(prompt.chars().count());
        prompt.extend(line.chars().filter(|c| !c.is_control()).take(room));
        typed(app, out);
    }
}

/// What was typed before, an earlier or a later one.
fn recall(app: &mut App, earlier: bool) {
    let hunt = &mut app.hunt.typed;
    let known = &hunt.history[usize::from(hunt.asking == Asking::Filter)];
    let at = match (hunt.at, earlier) {
        (None, true) => {
            hunt.draft = app.prompt.clone().unwrap_or_default();
            known.len().checked_sub(1)
        }
        (Some(at), true) => Some(at.saturating_sub(1)),
        (Some(at), false) => Some(at + 1).filter(|at| *at < known.len()),
        (None, false) => return,
    };
    hunt.at = at;
    let text = at.and_then(|at| known.get(at)).unwrap_or(&hunt.draft);
    app.prompt = Some(text.clone());
}

/// Keeps what was typed for the next time.
pub(crate) fn remember(app: &mut App, asking: Asking, typed: &str) {
    let known = &mut app.hunt.typed.history[usize::from(asking == Asking::Filter)];
    known.retain(|k| k != typed);
    known.push(typed.to_owned());
    if known.len() > HISTORY {
        known.remove(0);
    }
}

/// What is typed has changed.
fn typed(app: &mut App, out: &mut Vec<Effect>) {
    let Some(typed) = app.prompt.clone() else {
        return;
    };
    if let Some(View::List(list)) = &mut app.view {
        return list.filter(&typed);
    }
    if app.hunt.typed.asking == Asking::Filter {
        return;
    }
    app.hunt.typed.problem = Query::text(&typed)
        .err()
        .filter(|_| !typed.is_empty())
        .map(|e| e.message);
    find::set(app, Some(typed.clone()).filter(|t| !t.is_empty()));
    if !over_steps(app) {
        return;
    }
    let from = app.hunt.typed.origin.as_ref().and_then(|o| o.focus);
    if typed.is_empty() {
        stop(app, out);
        app.hunt.run = None;
        back(app);
    } else {
        start(app, &typed, from.and_then(before), false, out);
    }
}

/// Esc while a line is typed: everything is as it was.
pub(crate) fn cancel(app: &mut App, out: &mut Vec<Effect>) {
    if app.prompt.take().is_none() {
        return;
    }
    if let Some(View::List(list)) = &mut app.view {
        return list.filter("");
    }
    if app.hunt.typed.asking == Asking::Search {
        stop(app, out);
        back(app);
        let search = app.hunt.typed.origin.take().and_then(|o| o.search);
        if app.hunt.run.as_ref().map(|r| &r.text) != search.as_ref() {
            app.hunt.run = None;
        }
        find::set(app, search);
    }
    app.hunt.typed.problem = None;
}

fn enter(app: &mut App, out: &mut Vec<Effect>) {
    let Some(typed) = app.prompt.take() else {
        return;
    };
    if let Some(View::List(list)) = &mut app.view {
        return list.filter(&typed);
    }
    if !typed.trim().is_empty() {
        remember(app, app.hunt.typed.asking, &typed);
    }
    if app.hunt.typed.asking == Asking::Filter {
        return filter::set(app, &typed, out);
    }
    if let Some(problem) = app.hunt.typed.problem.take() {
        return toast(app, Tone::Bad, problem, &[], out);
    }
    find::set(app, Some(typed.clone()).filter(|t| !t.is_empty()));
    if typed.is_empty() {
        return;
    }
    app.hunt.strip = true;
    if !over_steps(app) {
        return find::next(app, true, true, 1, out);
    }
    if app.hunt.run.as_ref().is_none_or(|r| r.text != typed) {
        let from = app.hunt.typed.origin.as_ref().and_then(|o| o.focus);
        start(app, &typed, from.and_then(before), false, out);
    }
    done(app, out);
}
