//! The palette: every action by its words, its name or its key; and places: steps by number and words, files, branches,
//! labels, sessions.
//!
//! It lists what the view under it can do, also what it cannot do now, with the reason. Running an entry is pressing its
//! key. Places are looked for only once something is typed.

use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::crossterm::event::KeyCode;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::engine::api::{ApiError, Request, Response};
use crate::model::{Ordinal, RepoPath, SessionId};

use super::action::{Action, Entry, TABLE};
use super::app::{App, Overlay, View};
use super::brief::{Facts as _, session_key};
use super::draw::key_of;
use super::fuzzy;
use super::input;
use super::keys::{Key, Stroke};
use super::msg::{Effect, Tag};
use super::overlay;
use super::paint;
use super::state_view::StateView;
use super::text;
use super::theme::Token;
use super::travel;
use super::words;

/// Entries shown at a time.
const SHOWN: usize = 10;

/// Longest query.
const MAX_QUERY: usize = 80;

/// Steps whose titles are looked through, the newest first: a key must not wait for a million of them.
const LOOKED: usize = 4_000;

/// Places of a kind that are listed.
const MOST: usize = 8;

/// Labels and files that are kept to be looked through.
const KEPT: usize = 2_000;

/// What has been typed, and which entry is selected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Palette {
    pub query: String,
    pub cursor: usize,
}

/// Places that can be gone to, gathered when the palette opens.
#[derive(Debug, Default)]
pub(crate) struct Places {
    labels: Vec<(String, Ordinal)>,
    files: Vec<RepoPath>,
    branches: Vec<(String, Option<Ordinal>)>,
    sessions: Vec<(String, SessionId)>,
}

/// Something that can be run.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    /// An action of the table.
    Action(&'static Entry),
    /// A step by its number.
    Step(u64),
    /// A step by its words.
    Row(Ordinal, String),
    /// A file of the state at the step.
    File(RepoPath),
    /// A branch, with the step of its latest commit.
    Branch(String, Option<Ordinal>),
    /// A label.
    Label(String, Ordinal),
    /// A session.
    Session(String, SessionId),
}

/// Opens it, and gathers the places.
pub(crate) fn open(app: &mut App, out: &mut Vec<Effect>) {
    let mut labels = Vec::new();
    for at in app.rows.labelled().into_iter().take(KEPT) {
        if let Some(row) = app.rows.get(at) {
            labels.extend(row.labels.iter().map(|l| (words::label(l), row.ordinal)));
        }
    }
    let mut files: Vec<RepoPath> = Vec::new();
    if let Some(detail) = app.focus_detail() {
        files.extend(detail.changes.iter().take(KEPT).map(|c| c.path.clone()));
    }
    match &app.view {
        Some(View::State(state)) => {
            let nodes = state.nodes.iter().take(KEPT);
            files.extend(nodes.filter(|n| !n.dir).map(|n| n.path.clone()));
        }
        Some(View::Diff(diff)) => {
            files.extend(diff.changes.iter().take(KEPT).map(|c| c.path.clone()));
        }
        _ => {}
    }
    files.sort();
    files.dedup();
    let before = std::mem::take(&mut app.feel.places);
    app.feel.places = Places {
        labels,
        files,
        // Until the new ones are there.
        branches: before.branches,
        sessions: before.sessions,
    };
    if !matches!(app.view, Some(View::List(_))) {
        if !app.recording() {
            out.push(Effect::Ask(None, Tag::PaletteBranches, Request::Branches));
        }
        out.push(Effect::Ask(None, Tag::PaletteSessions, Request::Sessions));
    }
    app.overlay = Some(Overlay::Palette(Palette::default()));
}

/// Branches or sessions are known. Where they cannot be had, there are none to go to.
pub(crate) fn answer(app: &mut App, result: Result<Response, ApiError>) {
    match result {
        Ok(Response::Branches(all)) => {
            app.feel.places.branches = all.into_iter().map(|b| (b.name, b.commit.step)).collect();
        }
        Ok(Response::Sessions(all)) => {
            app.feel.places.sessions = all
                .into_iter()
                .map(|s| {
                    let command = if s.command.is_empty() {
                        s.native
                    } else {
                        s.command
                    };
                    (format!("{} {command}", s.agent), s.id)
                })
                .collect();
        }
        _ => {}
    }
}

/// How well an action fits; more is better.
fn action_score(app: &App, entry: &Entry, query: &str, words: &[&str]) -> Option<u32> {
    let context = app.view_context();
    let ascii = app.look.glyphs.cursor == ">";
    // Its key, as it is shown and as the table writes it. What begins with Shift is another key than without.
    let key = app.feel.keymap.keys(entry.action, context).any(|b| {
        let shown = super::keys::shown_strokes(&b.strokes, ascii);
        shown == query || shown.to_lowercase() == query && shown.chars().count() > 1
    });
    if key {
        return Some(u32::MAX);
    }
    let title = fuzzy::score(words, &fuzzy::folded(entry.title)).map(|s| s + 2000);
    let name = fuzzy::score(words, entry.id).map(|s| s / 2);
    let about = || {
        let about = fuzzy::folded(entry.description);
        let begins = |word: &&str| {
            about
                .split(|c: char| !c.is_alphanumeric())
                .any(|w| w.starts_with(*word))
        };
        words
            .iter()
            .all(begins)
            .then(|| fuzzy::score(words, &about).unwrap_or(1) / 8)
    };
    title.max(name).or_else(about)
}

/// What fits, the best first.
pub(crate) fn items(app: &App, query: &str) -> Vec<Item> {
    let typed = query.trim();
    let query = typed.to_lowercase();
    let words: Vec<&str> = query.split_whitespace().collect();
    let mut out = Vec::new();
    if let Ok(number) = query.parse::<u64>() {
        out.push(Item::Step(number));
    }
    let context = app.view_context();
    let mut found: Vec<(u32, bool, Item)> = TABLE
        .iter()
        .filter(|e| e.contexts.contains(&context) && e.action != Action::Palette)
        .filter_map(|e| {
            let score = if query.is_empty() {
                0
            } else {
                // A key is meant as it was typed: R is not r.
                let with = if typed.chars().count() == 1 {
                    typed
                } else {
                    &query
                };
                action_score(app, e, with, &words)?
            };
            Some((score, app.enabled(e.action).is_err(), Item::Action(e)))
        })
        .collect();
    if !query.is_empty() && !matches!(app.view, Some(View::List(_))) {
        places(app, &words, &mut found);
    }
    found.sort_by_key(|(score, off, _)| (std::cmp::Reverse(*score), *off));
    out.extend(found.into_iter().map(|(.., item)| item));
    out
}

/// Places that fit.
fn places(app: &App, words: &[&str], out: &mut Vec<(u32, bool, Item)>) {
    let known = &app.feel.places;
    let mut add = |mut some: Vec<(u32, Item)>| {
        some.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        out.extend(
            some.into_iter()
                .take(MOST)
                .map(|(s, item)| (s, false, item)),
        );
    };
    let fits = |text: &str| fuzzy::score(words, &fuzzy::folded(text));
    add(known
        .labels
        .iter()
        .filter_map(|(name, at)| Some((fits(name)? + 1000, Item::Label(name.clone(), *at))))
        .collect());
    add(known
        .branches
        .iter()
        .filter_map(|(name, at)| Some((fits(name)? + 500, Item::Branch(name.clone(), *at))))
        .collect());
    add(known
        .sessions
        .iter()
        .filter_map(|(name, id)| Some((fits(name)?, Item::Session(name.clone(), *id))))
        .collect());
    add(known
        .files
        .iter()
        .filter_map(|path| Some((fits(&path.to_string())? + 500, Item::File(path.clone()))))
        .collect());
    // Of steps only what holds the words as they are: scattered letters are in every title.
    if words.iter().map(|w| w.chars().count()).sum::<usize>() < 3 {
        return;
    }
    let mut rows = Vec::new();
    for row in app.rows.before(app.rows.len()).take(LOOKED) {
        let title = fuzzy::folded(&row.title);
        if words.iter().all(|w| title.contains(w)) {
            let shown = text::one_line(&row.title);
            rows.push((
                fuzzy::score(words, &title).unwrap_or(1),
                Item::Row(row.ordinal, shown),
            ));
            if rows.len() >= MOST {
                break;
            }
        }
    }
    add(rows);
}

/// A key was pressed while the palette is open.
pub(crate) fn key(app: &mut App, key: Key, out: &mut Vec<Effect>) {
    let Some(Overlay::Palette(mut palette)) = app.overlay.take() else {
        return;
    };
    let found = items(app, &palette.query);
    let last = found.len().saturating_sub(1);
    match key.code {
        KeyCode::Esc => return,
        KeyCode::Enter => {
            if let Some(item) = found.into_iter().nth(palette.cursor) {
                run(app, item, out);
            }
            return;
        }
        KeyCode::Backspace if palette.query.is_empty() => return,
        KeyCode::Backspace => {
            palette.query.pop();
            palette.cursor = 0;
        }
        KeyCode::Tab => {
            if let Some(item) = found.get(palette.cursor) {
                palette.query = name(item).chars().take(MAX_QUERY).collect();
                palette.cursor = 0;
            }
        }
        KeyCode::Char('u') if key.ctrl => palette = Palette::default(),
        KeyCode::Char('w') if key.ctrl => {
            let kept = palette.query.trim_end().rfind(' ').map_or(0, |at| at + 1);
            palette.query.truncate(kept);
            palette.cursor = 0;
        }
        KeyCode::Down => palette.cursor = (palette.cursor + 1).min(last),
        KeyCode::Char('n') if key.ctrl => palette.cursor = (palette.cursor + 1).min(last),
        KeyCode::PageDown => palette.cursor = (palette.cursor + SHOWN).min(last),
        KeyCode::Up => palette.cursor = palette.cursor.saturating_sub(1),
        KeyCode::Char('p') if key.ctrl => palette.cursor = palette.cursor.saturating_sub(1),
        KeyCode::PageUp => palette.cursor = palette.cursor.saturating_sub(SHOWN),
        _ => {
            if let Some(c) = key.typed()
                && palette.query.chars().count() < MAX_QUERY
            {
                palette.query.push(c);
                palette.cursor = 0;
            }
        }
    }
    app.overlay = Some(Overlay::Palette(palette));
}

/// What Tab puts into the query.
fn name(item: &Item) -> String {
    match item {
        Item::Action(entry) => entry.title.to_owned(),
        Item::Step(n) => n.to_string(),
        Item::Row(at, _) => at.to_string(),
        Item::File(path) => text::path(path),
        Item::Branch(name, _) | Item::Label(name, _) | Item::Session(name, _) => {
            text::one_line(name)
        }
    }
}

fn run(app: &mut App, item: Item, out: &mut Vec<Effect>) {
    let go = |app: &mut App, at: Ordinal| {
        if let Ok(index) = app.rows.position(at) {
            travel::to_index(app, index);
        }
    };
    match item {
        Item::Step(number) => travel::to_number(app, number),
        Item::Row(at, _) | Item::Label(_, at) => go(app, at),
        Item::Branch(_, Some(at)) => go(app, at),
        // Its latest commit is no step's: it has not begun yet.
        Item::Branch(_, None) => {}
        Item::Session(_, id) => {
            let key = session_key(Some(id));
            let first = app.rows.briefs().position(|r| r.session() == key);
            if let Some(index) = first {
                travel::to_index(app, index);
            }
        }
        Item::File(path) => {
            if app.enabled(Action::ViewState).is_ok()
                && let Some(row) = app.focus_row().cloned()
            {
                let mut state = match app.view.take() {
                    Some(View::State(state)) => state,
                    _ => Box::new(StateView::new(&row)),
                };
                state.seek_to(path, 0);
                app.view = Some(View::State(state));
            }
        }
        Item::Action(entry) => match entry.action {
            // These want a letter: go on as if their first key had been pressed.
            Action::Label | Action::Jump if app.enabled(entry.action).is_ok() => {
                let keymap = Arc::clone(&app.feel.keymap);
                let strokes = keymap.key(entry.action, app.context()).map(|b| &b.strokes);
                let keys = strokes.into_iter().flatten().filter_map(|s| match s {
                    Stroke::Key(key) => Some(*key),
                    Stroke::Letter => None,
                });
                app.pending.extend(keys);
                app.hint = true;
            }
            action => input::act(app, action, None, None, out),
        },
    }
}

/// Draws the palette; returns where the text cursor is.
pub(crate) fn draw(app: &App, palette: &Palette, buf: &mut Buffer, body: Rect) -> (u16, u16) {
    let look = &app.look;
    let theme = look.theme;
    let dim = theme.style(Token::Dim);
    let dots = look.glyphs.ellipsis;
    let items = items(app, &palette.query);
    // Frame, rule and two lines of explanation.
    let room = usize::from(body.height.saturating_sub(5)).max(1);
    let rows = items.len().clamp(1, SHOWN.min(room));
    let height = u16::try_from(rows + 5).unwrap_or(8).min(body.height);
    let width = body.width.saturating_sub(4).min(72);
    let area = Rect::new(
        body.x + (body.width - width) / 2,
        body.y + 1.min(body.height - height),
        width,
        height,
    );
    let dot = look.glyphs.dot;
    let arrows = if look.glyphs.cursor == ">" {
        "Up Down"
    } else {
        "↑↓"
    };
    let keys = format!("{arrows} select {dot} Enter run {dot} Tab complete {dot} Esc");
    let query = text::piece(palette.query.as_bytes(), &mut 0);
    let query = text::clip_start(&query, usize::from(width.saturating_sub(10)), dots).into_owned();
    let x = area.x + 4 + u16::try_from(text::width(&query)).unwrap_or(0);
    let title = format!("> {query} ");
    let inner = overlay::popup(app, buf, area, &title, &[Span::styled(keys, dim)]);
    let top = super::screen::scrolled(0, palette.cursor, items.len(), rows);
    let list = inner.y..inner.bottom().saturating_sub(3).max(inner.y + 1);
    for (y, (i, item)) in list.zip(items.iter().enumerate().skip(top)) {
        let selected = i == palette.cursor;
        let place = Rect::new(inner.x, y, inner.width, 1);
        let line = item_line(app, item, usize::from(inner.width), selected);
        paint::line(buf, place, &line, 0, dots);
        if selected {
            let rest = Rect::new(place.x + 1, y, place.width.saturating_sub(1), 1);
            buf.set_style(rest, theme.selection(true));
        }
    }
    if inner.height < 4 {
        return (x.min(area.right().saturating_sub(2)), area.y);
    }
    let rule = look
        .glyphs
        .rule
        .repeat(usize::from(inner.width.saturating_sub(2)));
    let below = |n: u16| {
        Rect::new(
            inner.x + 1,
            inner.bottom() - n,
            inner.width.saturating_sub(2),
            1,
        )
    };
    let rule = Line::from(Span::styled(rule, theme.style(Token::Frame)));
    paint::line(buf, below(3), &rule, 0, "");
    let words = match items.get(palette.cursor) {
        None => "Nothing fits. Actions, steps, files, branches, labels and sessions are found by their words.".to_owned(),
        Some(item) => explanation(app, item),
    };
    let wrapped = text::wrap(&words, usize::from(inner.width.saturating_sub(4)));
    for (n, line) in [2, 1].into_iter().zip(wrapped) {
        let line = Line::from(Span::styled(format!(" {line}"), dim));
        paint::line(buf, below(n), &line, 0, dots);
    }
    (x.min(area.right().saturating_sub(2)), area.y)
}

/// What the selected entry does, or why it cannot be done.
fn explanation(app: &App, item: &Item) -> String {
    match item {
        Item::Step(_) => "Go to that step, or the last before it.".to_owned(),
        Item::Row(..) => "Go to that step.".to_owned(),
        Item::File(_) => "Show the file as it was after the step that is looked at.".to_owned(),
        Item::Branch(name, Some(at)) => {
            let name = text::one_line(name);
            format!("Go to the latest step of {name}, {at}. The workspace stays where it is.")
        }
        Item::Branch(..) => {
            "Nothing has been done on that branch yet: it has no step to go to.".to_owned()
        }
        Item::Label(_, at) => format!("Go to the step with that label, {at}."),
        Item::Session(..) => "Go to the first step of that session.".to_owned(),
        Item::Action(entry) => {
            let undo = key_of(app, Action::Undo);
            match app.enabled(entry.action) {
                Err(why) => format!("Not now: {why}. {}", entry.description),
                Ok(()) if entry.world && entry.action != Action::Undo => {
                    format!("{} {undo} takes it back.", entry.description)
                }
                Ok(()) => entry.description.to_owned(),
            }
        }
    }
}

fn item_line(app: &App, item: &Item, width: usize, selected: bool) -> Line<'static> {
    let look = &app.look;
    let dots = look.glyphs.ellipsis;
    let (title, key, off) = match item {
        Item::Step(n) => (format!("go to step {n}"), format!("{n}G"), None),
        Item::Row(at, words) => (format!("step {at}  {words}"), String::new(), None),
        Item::File(path) => (format!("file  {}", text::path(path)), String::new(), None),
        Item::Branch(name, at) => {
            let name = format!("branch  {}", text::one_line(name));
            let at = at.map(|a| a.to_string()).unwrap_or_default();
            (name, at, None)
        }
        Item::Label(name, at) => {
            let name = format!("label  {}", text::one_line(name));
            (name, at.to_string(), None)
        }
        Item::Session(name, _) => {
            let name = format!("session  {}", text::one_line(name));
            (name, String::new(), None)
        }
        Item::Action(e) => (
            e.title.to_owned(),
            key_of(app, e.action),
            app.enabled(e.action).err(),
        ),
    };
    let dim = look.theme.style(Token::Dim);
    let style = if off.is_some() {
        dim
    } else {
        look.theme.style(Token::Text)
    };
    let mark = if selected { look.glyphs.cursor } else { " " };
    let room = width.saturating_sub(text::width(&key) + 4);
    let title = text::clip(&title, room, dots).into_owned();
    // Why it is off, as far as there is room between its name and its key.
    let left = room.saturating_sub(text::width(&title) + 3);
    let why = match &off {
        Some(why) if left >= 8 => text::clip(why, left, dots).into_owned(),
        _ => String::new(),
    };
    let pad = width.saturating_sub(text::width(&title) + text::width(&why) + text::width(&key) + 5);
    Line::from(vec![
        Span::styled(mark, look.theme.style(Token::Focus)),
        Span::styled(format!(" {title}"), style),
        Span::raw(" ".repeat(pad)),
        Span::styled(why, dim),
        Span::raw("  "),
        Span::styled(
            key,
            look.theme.style(if off.is_some() {
                Token::Dim
            } else {
                Token::Key
            }),
        ),
    ])
}
