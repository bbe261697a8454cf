//! The palette: every action by its words, and a step by its number.
//!
//! It lists what the view under it can do, also what it cannot do now, with the reason. Running an entry is pressing its
//! key.

use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::crossterm::event::KeyCode;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::action::{Action, Entry, TABLE};
use super::app::{App, Overlay};
use super::draw::key_of;
use super::input;
use super::keys::{Key, Stroke};
use super::msg::Effect;
use super::overlay;
use super::paint;
use super::text;
use super::theme::Token;
use super::travel;

/// Entries shown at a time.
const SHOWN: usize = 10;

/// Longest query.
const MAX_QUERY: usize = 80;

/// What has been typed, and which entry is selected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Palette {
    pub query: String,
    pub cursor: usize,
}

/// Something that can be run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Item {
    /// An action of the table.
    Action(&'static Entry),
    /// A step by its number.
    Step(u64),
}

/// How well an entry fits; lower is better.
fn rank(app: &App, entry: &Entry, query: &str) -> Option<usize> {
    let title = entry.title.to_lowercase();
    let at = |text: &str| text.find(query);
    if query.is_empty() {
        return Some(0);
    }
    if key_of(app, entry.action).to_lowercase() == query {
        return Some(1);
    }
    if let Some(place) = at(&title) {
        let word = place == 0 || title.as_bytes().get(place - 1) == Some(&b' ');
        return Some(if place == 0 {
            2
        } else if word {
            3
        } else {
            4
        });
    }
    // The first letters of its words: `nc` for next change.
    let initials: String = title.split(' ').filter_map(|w| w.chars().next()).collect();
    if query.len() > 1 && initials.starts_with(query) {
        return Some(5);
    }
    at(&entry.description.to_lowercase()).map(|_| 6)
}

/// What fits, the best first.
pub(crate) fn items(app: &App, query: &str) -> Vec<Item> {
    let query = query.trim().to_lowercase();
    let mut out = Vec::new();
    if let Ok(number) = query.parse::<u64>() {
        out.push(Item::Step(number));
    }
    let context = app.view_context();
    let mut found: Vec<(usize, bool, &Entry)> = TABLE
        .iter()
        .filter(|e| e.contexts.contains(&context) && e.action != Action::Palette)
        .filter_map(|e| Some((rank(app, e, &query)?, app.enabled(e.action).is_err(), e)))
        .collect();
    found.sort_by_key(|(rank, off, _)| (*rank, *off));
    out.extend(found.into_iter().map(|(_, _, e)| Item::Action(e)));
    out
}

/// A key was pressed while the palette is open.
pub(crate) fn key(app: &mut App, key: Key, out: &mut Vec<Effect>) {
    let Some(Overlay::Palette(mut palette)) = app.overlay.take() else {
        return;
    };
    let count = items(app, &palette.query).len();
    match key.code {
        KeyCode::Esc => return,
        KeyCode::Enter => {
            if let Some(item) = items(app, &palette.query).get(palette.cursor) {
                run(app, *item, out);
            }
            return;
        }
        KeyCode::Backspace if palette.query.is_empty() => return,
        KeyCode::Backspace => {
            palette.query.pop();
            palette.cursor = 0;
        }
        KeyCode::Char('u') if key.ctrl => palette = Palette::default(),
        KeyCode::Down => palette.cursor = (palette.cursor + 1).min(count.saturating_sub(1)),
        KeyCode::Char('n') if key.ctrl => {
            palette.cursor = (palette.cursor + 1).min(count.saturating_sub(1));
        }
        KeyCode::Up => palette.cursor = palette.cursor.saturating_sub(1),
        KeyCode::Char('p') if key.ctrl => palette.cursor = palette.cursor.saturating_sub(1),
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

fn run(app: &mut App, item: Item, out: &mut Vec<Effect>) {
    match item {
        Item::Step(number) => travel::to_number(app, number),
        Item::Action(entry) => match entry.action {
            // These want a letter: go on as if their first key had been pressed.
            Action::Label | Action::Jump if app.enabled(entry.action).is_ok() => {
                let keymap = Arc::clone(&app.feel.keymap);
                let strokes = keymap.key(entry.action, app.context()).map(|b| &b.strokes);
                app.pending
                    .extend(strokes.into_iter().flatten().filter_map(|s| match s {
                        Stroke::Key(key) => Some(*key),
                        Stroke::Letter => None,
                    }));
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
    let items = items(app, &palette.query);
    let rows = items.len().clamp(
        1,
        SHOWN.min(usize::from(body.height.saturating_sub(4)).max(1)),
    );
    let height = u16::try_from(rows + 4).unwrap_or(8).min(body.height);
    let width = body.width.saturating_sub(4).min(72);
    let area = Rect::new(
        body.x + (body.width - width) / 2,
        body.y + 1.min(body.height),
        width,
        height,
    );
    let area = area.intersection(body);
    let keys = if look.glyphs.boxes {
        "Enter run  Esc close"
    } else {
        "Enter runs, Esc closes"
    };
    let bottom = [Span::styled(keys, dim)];
    let inner = overlay::popup(app, buf, area, "Do", &bottom);
    let line_at = |y: u16| Rect::new(inner.x + 1, y, inner.width.saturating_sub(2), 1);
    let query = text::piece(palette.query.as_bytes(), &mut 0);
    let room = usize::from(inner.width.saturating_sub(6));
    let query = text::clip_start(&query, room, look.glyphs.ellipsis).into_owned();
    let x = inner.x + 3 + u16::try_from(text::width(&query)).unwrap_or(0);
    let head = Line::from(vec![
        Span::styled("> ", theme.style(Token::Focus)),
        Span::raw(query),
    ]);
    paint::line(buf, line_at(inner.y), &head, 0, look.glyphs.ellipsis);
    let top = super::screen::scrolled(0, palette.cursor, items.len(), rows);
    let list = inner.y + 1..inner.bottom().saturating_sub(1);
    for (y, (i, item)) in list.zip(items.iter().enumerate().skip(top)) {
        let selected = i == palette.cursor;
        let place = Rect::new(inner.x, y, inner.width, 1);
        let line = item_line(app, *item, usize::from(inner.width), selected);
        paint::line(buf, place, &line, 0, look.glyphs.ellipsis);
        if selected {
            let rest = Rect::new(place.x + 1, y, place.width.saturating_sub(1), 1);
            buf.set_style(rest, theme.selection(true));
        }
    }
    let words = match items.get(palette.cursor) {
        None => "nothing fits".to_owned(),
        Some(Item::Step(_)) => "Go to that step, or the last before it.".to_owned(),
        Some(Item::Action(entry)) => match app.enabled(entry.action) {
            Ok(()) => entry.description.to_owned(),
            Err(why) => format!("Not now: {why}."),
        },
    };
    let last = line_at(inner.bottom().saturating_sub(1));
    let line = Line::from(Span::styled(words, dim));
    paint::line(buf, last, &line, 0, look.glyphs.ellipsis);
    (x.min(inner.right().saturating_sub(1)), inner.y)
}

fn item_line(app: &App, item: Item, width: usize, selected: bool) -> Line<'static> {
    let look = &app.look;
    let (title, key, off) = match item {
        Item::Step(n) => (format!("go to step {n}"), format!("{n}G"), false),
        Item::Action(e) => (
            e.title.to_owned(),
            key_of(app, e.action),
            app.enabled(e.action).is_err(),
        ),
    };
    let style = look.theme.style(if off { Token::Dim } else { Token::Text });
    let mark = if selected { look.glyphs.cursor } else { " " };
    let pad = width.saturating_sub(text::width(&title) + text::width(&key) + 3);
    Line::from(vec![
        Span::styled(mark, look.theme.style(Token::Focus)),
        Span::styled(format!(" {title}"), style),
        Span::raw(" ".repeat(pad)),
        Span::styled(
            key,
            look.theme.style(if off { Token::Dim } else { Token::Key }),
        ),
    ])
}
