//! The mouse: what lies where, and what the wheel, a click or a drag there does.
//!
//! Drawing notes what it has put where ([`Hits`]); the last one noted lies on top. Most of it needs no knowledge of the
//! views: the wheel is lines up or down in the pane below the pointer, a click on a row is so many lines from the marked
//! one, a double click is Enter. Nothing needs the mouse: whatever it does, keys do.

use std::cell::RefCell;
use std::time::Instant;

use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::action::{Action, Meaning};
use super::app::{App, Overlay, Pane, View};
use super::input;
use super::keys::Key;
use super::msg::Effect;
use super::screen::{self, Shape};
use super::travel;

/// Lines that a notch of the wheel moves.
const NOTCH: u64 = 3;

/// A pane, as far as the mouse has to tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Whichever has the keys.
    Here,
    /// A pane of the home screen.
    Home(Pane),
    /// The list or tree of a view, or what is beside it.
    First(bool),
}

/// Something that was drawn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Hit {
    /// Does that.
    Act(Action),
    /// Is scrolled, and takes the keys.
    Pane(Side),
    /// A row so many lines above or below the marked one.
    Row(Side, isize),
    /// The whole run: so many parts over the width.
    Map(usize),
    /// Moves the panes' border.
    Border,
    /// Takes the message at the bottom away.
    Toast,
    /// Lies over what is below it.
    Cover,
}

/// What was drawn where, and where rows are marked.
#[derive(Debug, Default)]
pub(crate) struct Hits {
    places: RefCell<Vec<(Rect, Hit)>>,
    marks: RefCell<Vec<Position>>,
}

impl Hits {
    /// Before everything is drawn anew.
    pub(crate) fn clear(&self) {
        self.places.borrow_mut().clear();
        self.marks.borrow_mut().clear();
    }

    /// Notes that something was drawn.
    pub(crate) fn put(&self, area: Rect, hit: Hit) {
        self.places.borrow_mut().push((area, hit));
    }

    /// After everything was drawn: where rows are marked.
    pub(crate) fn find_marks(&self, buf: &Buffer, area: Rect, mark: &str) {
        let mut marks = self.marks.borrow_mut();
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                if buf.cell((x, y)).is_some_and(|c| c.symbol() == mark) {
                    marks.push(Position::new(x, y));
                }
            }
        }
    }

    fn at(&self, at: Position) -> Option<(Rect, Hit)> {
        let places = self.places.borrow();
        let found = places.iter().rev().find(|(area, _)| area.contains(at));
        found.cloned()
    }

    /// The marked row of a pane: how far the pointer is from it.
    fn beyond_mark(&self, area: Rect, at: Position) -> Option<isize> {
        let marks = self.marks.borrow();
        let mark = marks
            .iter()
            .filter(|m| area.contains(**m) && m.x <= area.x + 2)
            .min_by_key(|m| m.x)?;
        let (to, from) = (isize::try_from(at.y).ok()?, isize::try_from(mark.y).ok()?);
        Some(to - from)
    }
}

/// What the mouse has done so far.
#[derive(Debug, Default)]
pub(crate) struct Mouse {
    /// The mouse is asked for; `%` changes that.
    pub on: bool,
    /// The last click: where and when.
    click: Option<(Position, Instant)>,
    /// The border between panes is held.
    held: bool,
}

/// Which pane has the keys.
fn side(app: &App) -> Side {
    match &app.view {
        None => Side::Home(app.pane),
        Some(View::Diff(diff)) => Side::First(diff.in_files),
        Some(View::State(state)) => Side::First(!state.in_file),
        Some(_) => Side::Here,
    }
}

/// Gives the keys to a pane.
fn give(app: &mut App, to: Side) {
    match (to, &mut app.view) {
        (Side::Home(pane), None) => app.pane = pane,
        (Side::First(first), Some(View::Diff(diff))) => diff.in_files = first,
        (Side::First(first), Some(View::State(state))) => {
            state.in_file = !first && state.shown.is_some();
        }
        _ => {}
    }
}

/// Something was done with the mouse.
pub(crate) fn event(app: &mut App, event: MouseEvent, now: Instant, out: &mut Vec<Effect>) {
    if !app.feel.mouse.on {
        return;
    }
    let at = Position::new(event.column, event.row);
    match event.kind {
        MouseEventKind::ScrollDown => wheel(app, at, true, out),
        MouseEventKind::ScrollUp => wheel(app, at, false, out),
        MouseEventKind::Down(MouseButton::Left) => {
            let double = app.feel.settings.double_click;
            let twice = app
                .feel
                .mouse
                .click
                .is_some_and(|(place, when)| place == at && now.duration_since(when) <= double);
            app.feel.mouse.click = (!twice).then_some((at, now));
            if twice {
                twice_at(app, at, out);
            } else {
                click(app, at, out);
            }
        }
        MouseEventKind::Drag(MouseButton::Left) => {
            if app.feel.mouse.held {
                screen::set_border(app, at.x);
                return;
            }
            // Along the run: the steps go by as the pointer does.
            if let Some((area, Hit::Map(parts))) = app.feel.hits.at(at) {
                map(app, area, parts, at);
            }
        }
        MouseEventKind::Up(MouseButton::Left) => app.feel.mouse.held = false,
        _ => {}
    }
}

fn wheel(app: &mut App, at: Position, down: bool, out: &mut Vec<Effect>) {
    let to = match app.feel.hits.at(at) {
        Some((_, Hit::Pane(to) | Hit::Row(to, _))) => to,
        _ => return,
    };
    let before = side(app);
    if app.overlay.is_none() {
        give(app, to);
    }
    lines(
        app,
        if down { NOTCH } else { 0 },
        if down { 0 } else { NOTCH },
        out,
    );
    if app.overlay.is_none() {
        give(app, before);
    }
}

/// So many lines down or up, where the keys go.
fn lines(app: &mut App, down: u64, up: u64, out: &mut Vec<Effect>) {
    if matches!(app.overlay, Some(Overlay::Palette(_))) {
        let code = if down > 0 { KeyCode::Down } else { KeyCode::Up };
        for _ in 0..down.max(up).min(200) {
            input::key(app, Key::code(code), out);
        }
        return;
    }
    if app.prompt.is_some() || matches!(app.overlay, Some(Overlay::Line(_))) {
        return;
    }
    let toast = app.toast.take();
    if down > 0 {
        input::act(app, Action::Down, None, Some(down), out);
    } else if up > 0 {
        input::act(app, Action::Up, None, Some(up), out);
    }
    // Who scrolls has not done with what is said at the bottom.
    app.toast = app.toast.take().or(toast);
}

fn click(app: &mut App, at: Position, out: &mut Vec<Effect>) {
    let Some((area, hit)) = app.feel.hits.at(at) else {
        return;
    };
    match hit {
        Hit::Act(action) => input::act(app, action, None, None, out),
        Hit::Toast => app.toast = None,
        Hit::Map(parts) => map(app, area, parts, at),
        Hit::Border => app.feel.mouse.held = true,
        Hit::Pane(to) => {
            if app.overlay.is_none() {
                give(app, to);
            }
            if let Some(by) = app.feel.hits.beyond_mark(area, at) {
                row(app, by, out);
            }
        }
        Hit::Row(to, by) => {
            if app.overlay.is_none() {
                give(app, to);
            }
            row(app, by, out);
        }
        Hit::Cover => {}
    }
}

fn row(app: &mut App, by: isize, out: &mut Vec<Effect>) {
    let n = u64::try_from(by.unsigned_abs()).unwrap_or(0);
    if by > 0 {
        lines(app, n, 0, out);
    } else {
        lines(app, 0, n, out);
    }
}

/// A double click is Enter; on what one click has done already it is nothing more.
fn twice_at(app: &mut App, at: Position, out: &mut Vec<Effect>) {
    match app.feel.hits.at(at) {
        Some((_, Hit::Pane(_) | Hit::Row(..))) => {}
        _ => return,
    }
    let enter = Key::code(KeyCode::Enter);
    if matches!(app.overlay, Some(Overlay::Palette(_))) {
        return input::key(app, enter, out);
    }
    if app.prompt.is_some() || matches!(app.overlay, Some(Overlay::Line(_))) {
        return;
    }
    if let Meaning::Action(action, _) = app.feel.keymap.meaning(app.context(), &[enter]) {
        input::act(app, action, None, None, out);
    }
}

/// To the first step of the part below the pointer.
fn map(app: &mut App, area: Rect, parts: usize, at: Position) {
    let cell = usize::from(at.x.saturating_sub(area.x));
    let cells = usize::from(area.width).max(1);
    let part = cell * parts / cells;
    let len = app.rows.len();
    let first = (part * len)
        .div_ceil(parts.max(1))
        .min(len.saturating_sub(1));
    travel::to_index(app, first);
}

/// Notes the border between the first two panes, where there are two.
pub(crate) fn border(app: &App, first: Rect) {
    if screen::shape(app.size) != Shape::One {
        let area = Rect::new(
            first.right().saturating_sub(1),
            first.y + 1,
            2,
            first.height.saturating_sub(2),
        );
        app.feel.hits.put(area, Hit::Border);
    }
}

/// Gives the mouse back to the terminal, or takes it again.
pub(crate) fn toggle(app: &mut App) -> &'static str {
    app.feel.mouse.on = !app.feel.mouse.on;
    if app.feel.mouse.on {
        "the mouse is used here; % gives it back to the terminal"
    } else {
        "the mouse is the terminal's: select and copy as usual; % takes it back"
    }
}
