//! What may follow the keys pressed so far: shown when a prefix has waited.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::app::App;
use super::keys::{self, Key};
use super::overlay::popup;
use super::paint;
use super::text;
use super::theme::Token;

/// Cells of a column.
const COLUMN: usize = 26;

/// Entries from which there are two columns.
const TWO: usize = 6;

/// What a prefix is about, and the words that its entries then need not say again.
fn about(prefix: &str) -> (&'static str, &'static [&'static str]) {
    match prefix {
        "]" => ("next", &["next ", "file's next"]),
        "[" => ("previous", &["previous ", "prev. ", "file's previous"]),
        "g" => ("go to", &["go to "]),
        "z" => ("view", &[]),
        "y" => ("copy", &["copy "]),
        "m" => ("label", &[]),
        "'" => ("go to label", &[]),
        _ => ("", &[]),
    }
}

/// A title without what the prefix says.
fn short(title: &'static str, said: &[&str]) -> &'static str {
    if title.starts_with("file's ") && said.contains(&title) {
        return "change of this file";
    }
    said.iter()
        .find_map(|word| title.strip_prefix(word))
        .unwrap_or(title)
}

/// Draws it, at the lower right.
pub(crate) fn draw(app: &App, buf: &mut Buffer, body: Rect) {
    let found = app.feel.keymap.continuations(app.context(), &app.pending);
    if found.is_empty() {
        return;
    }
    let look = &app.look;
    let ascii = look.glyphs.cursor == ">";
    let prefix: String = app.pending.iter().copied().filter_map(Key::typed).collect();
    let (what, said) = about(&prefix);
    let mut seen: Vec<&str> = Vec::new();
    let mut entries: Vec<(String, &'static str, bool)> = Vec::new();
    for (rest, entry) in found {
        let keys = keys::shown_strokes(rest, ascii).replace("{a}", "a-z");
        if seen.contains(&entry.id) && keys.len() > 3 {
            continue;
        }
        seen.push(entry.id);
        let off = app.enabled(entry.action).is_err();
        entries.push((keys, short(entry.title, said), off));
    }
    let room = usize::from(body.height.saturating_sub(2)).max(1);
    let columns = if (entries.len() >= TWO || entries.len() > room) && body.width >= 60 {
        2
    } else {
        1
    };
    let rows = entries.len().div_ceil(columns).min(room);
    let key_width = entries
        .iter()
        .map(|(k, ..)| text::width(k))
        .max()
        .unwrap_or(1)
        .max(2);
    let width = u16::try_from(columns * COLUMN + 4)
        .unwrap_or(60)
        .min(body.width);
    let height = u16::try_from(rows + 2).unwrap_or(u16::MAX).min(body.height);
    let area = Rect::new(body.right() - width, body.bottom() - height, width, height);
    let dots = look.glyphs.ellipsis;
    let title = if what.is_empty() {
        format!("{prefix} {dots}")
    } else {
        format!("{prefix} {what} {dots}")
    };
    let inner = popup(app, buf, area, &title, &[]);
    for (i, (keys, title, off)) in entries.iter().enumerate().take(rows * columns) {
        let (column, row) = (i / rows, i % rows);
        let style = |token| look.theme.style(if *off { Token::Dim } else { token });
        let line = Line::from(vec![
            Span::styled(format!("{keys:<key_width$} "), style(Token::Key)),
            Span::styled(*title, style(Token::Text)),
        ]);
        let x = inner.x + 1 + u16::try_from(column * COLUMN).unwrap_or(0);
        let y = inner.y + u16::try_from(row).unwrap_or(0);
        let wide = u16::try_from(COLUMN - 1).unwrap_or(25);
        let place = Rect::new(x, y, wide.min(inner.right().saturating_sub(x)), 1);
        paint::line(buf, place, &line, 0, dots);
    }
}
