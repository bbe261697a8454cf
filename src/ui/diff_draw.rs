//! Draws the full diff: the changed files, and the selected one's lines.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::diff::text::{Outcome, TextDiff};
use crate::engine::api::FileChange;
use crate::model::RepoPath;

use super::app::App;
use super::changes::lights;
use super::code;
use super::diff_view::{BodyRow, DiffView};
use super::find::Query;
use super::mouse::{Hit, Side};
use super::msg::Compared;
use super::paint;
use super::screen;
use super::text;
use super::theme::Token;

/// The view's words in the header.
pub(crate) fn title(app: &App, diff: &DiffView) -> Vec<Span<'static>> {
    let theme = app.look.theme;
    let mut spans = vec![Span::styled("DIFF ", theme.style(Token::Dim))];
    let Some((_, at)) = diff.step else {
        spans.push(Span::styled("loading", theme.style(Token::Dim)));
        return spans;
    };
    spans.push(Span::styled(
        format!("step {at}"),
        theme.style(Token::Focus),
    ));
    let lines = diff.changes.iter().filter_map(|c| c.lines);
    let (added, removed) = lines.fold((0u64, 0u64), |(a, r), (x, y)| {
        (a + u64::from(x), r + u64::from(y))
    });
    spans.push(Span::styled(
        format!(
            " {} {}",
            app.look.glyphs.separator,
            text::plural(diff.changes.len() as u64, "file")
        ),
        theme.style(Token::Dim),
    ));
    for (sign, n, token) in [('+', added, Token::Added), ('-', removed, Token::Removed)] {
        if n > 0 {
            let text = format!(" {sign}{}", text::grouped(n));
            spans.push(Span::styled(text, theme.style(token)));
        }
    }
    spans
}

/// Draws the view.
pub(crate) fn draw(app: &App, diff: &DiffView, buf: &mut Buffer, query: Option<&Query>) {
    let (list, body) = screen::beside(app, diff.in_files);
    if let Some(area) = list {
        files(app, diff, buf, area, query);
    }
    if let Some(area) = body {
        match diff.selected() {
            Some(change) => self::body(app, diff, change, buf, area, query),
            None => {
                let words = if diff.step.is_some() {
                    "this step changed no files"
                } else {
                    "loading"
                };
                let inner = paint::frame(buf, area, &app.look, !diff.in_files, &[], &[]);
                note(app, buf, inner, words);
            }
        }
    }
}

fn note(app: &App, buf: &mut Buffer, inner: Rect, words: &str) {
    let dim = app.look.theme.style(Token::Dim);
    let place = Rect::new(inner.x + 1, inner.y, inner.width.saturating_sub(2), 1);
    let line = Line::from(Span::styled(words.to_owned(), dim));
    paint::line(buf, place, &line, 0, app.look.glyphs.ellipsis);
}

/// The list: a line for each directory, its files below it.
fn files(app: &App, diff: &DiffView, buf: &mut Buffer, area: Rect, query: Option<&Query>) {
    let look = &app.look;
    let theme = look.theme;
    let title = vec![Span::styled("Files", theme.style(Token::Title))];
    let bottom = if diff.changes.is_empty() {
        Vec::new()
    } else {
        let text = format!("{} of {}", diff.cursor + 1, diff.changes.len());
        vec![Span::styled(text, theme.style(Token::Dim))]
    };
    let inner = paint::frame(buf, area, look, diff.in_files, &title, &bottom);
    let height = usize::from(inner.height);
    // Rows of the list around the cursor only: a step may have changed ten thousand files.
    let start = diff.cursor.saturating_sub(height);
    let mut lines: Vec<(Option<usize>, Line<'static>)> = Vec::new();
    let mut dir: Option<RepoPath> = None;
    let shown = diff.changes.iter().enumerate().skip(start);
    for (i, change) in shown.take(2 * height + 1) {
        let parent = change.path.parent().unwrap_or_default();
        if dir.as_ref() != Some(&parent) {
            if !parent.is_root() {
                let words = format!(" {}/", text::path(&parent));
                let room = usize::from(inner.width);
                let words = text::clip_start(&words, room, look.glyphs.ellipsis).into_owned();
                lines.push((
                    None,
                    Line::from(Span::styled(words, theme.style(Token::Dim))),
                ));
            }
            dir = Some(parent);
        }
        lines.push((
            Some(i),
            file_line(app, change, usize::from(inner.width), i == diff.cursor),
        ));
    }
    let at = lines
        .iter()
        .position(|(i, _)| *i == Some(diff.cursor))
        .unwrap_or(0);
    let top = screen::scrolled(0, at, lines.len(), height);
    for (y, (i, line)) in (inner.y..inner.bottom()).zip(lines.iter().skip(top)) {
        let place = Rect::new(inner.x, y, inner.width, 1);
        paint::line(buf, place, line, 0, look.glyphs.ellipsis);
        if let Some(by) = i.and_then(|i| isize::try_from(i).ok()) {
            let by = by - isize::try_from(diff.cursor).unwrap_or(0);
            app.feel.hits.put(place, Hit::Row(Side::First(true), by));
        }
        if *i == Some(diff.cursor) {
            let rest = Rect::new(place.x + 1, y, place.width.saturating_sub(1), 1);
            buf.set_style(rest, theme.selection(diff.in_files));
        }
    }
    if diff.in_files {
        paint::matches(buf, inner, look, query);
    }
}

fn file_line(app: &App, change: &FileChange, width: usize, selected: bool) -> Line<'static> {
    let look = &app.look;
    let theme = look.theme;
    let indent = if change.path.parent().is_none_or(|p| p.is_root()) {
        ""
    } else {
        "  "
    };
    let (added, removed) = change.lines.unwrap_or((0, 0));
    let counts = if change.lines.is_some() {
        code::counts(look, added.into(), removed.into())
    } else {
        vec![Span::raw(" ".repeat(10))]
    };
    let counts_width: usize = counts.iter().map(Span::width).sum();
    let room = width.saturating_sub(counts_width + indent.len() + 4);
    let name = text::piece(change.path.name(), &mut 0);
    let name = text::clip(&name, room, look.glyphs.ellipsis).into_owned();
    let pad = room.saturating_sub(text::width(&name));
    let mark = if selected { look.glyphs.cursor } else { " " };
    let mut spans = vec![
        Span::styled(mark, theme.style(Token::Focus)),
        Span::raw(indent),
        Span::styled(
            format!("{} ", code::letter(change.op)),
            theme.style(code::letter_token(change.op)),
        ),
        Span::raw(name),
        Span::raw(" ".repeat(pad)),
    ];
    spans.extend(counts);
    Line::from(spans)
}

fn body(
    app: &App,
    view: &DiffView,
    change: &FileChange,
    buf: &mut Buffer,
    area: Rect,
    query: Option<&Query>,
) {
    let look = &app.look;
    let theme = look.theme;
    let dim = theme.style(Token::Dim);
    let active = !view.in_files;
    let mut name = Style::new();
    if active {
        name = name.add_modifier(Modifier::BOLD);
    }
    let mut title = vec![Span::styled(text::path(&change.path), name)];
    let compared = app.compared(change);
    let ready = match compared {
        Some(Compared::Ready(diff)) if diff.outcome == Outcome::Text => Some(diff),
        _ => None,
    };
    if ready.is_some() {
        for note in code::notes(look, change) {
            title.push(Span::styled(format!("  {note}"), dim));
        }
    }
    let mut bottom = Vec::new();
    if let Some(diff) = ready
        && !diff.hunks.is_empty()
    {
        let text = format!("hunk {} of {}", view.hunk() + 1, diff.hunks.len());
        bottom.push(Span::styled(text, dim));
    }
    let inner = paint::frame(buf, area, look, active, &title, &bottom);
    let Some(diff) = ready else {
        let notes = code::notes(look, change);
        let words = match compared {
            None => notes
                .first()
                .cloned()
                .unwrap_or_else(|| "no content differs".to_owned()),
            Some(Compared::Waiting) => "comparing".to_owned(),
            Some(Compared::Large) => {
                format!("large ({}): Enter compares it", code::sizes(look, change))
            }
            Some(Compared::Failed(why)) => text::one_line(why),
            Some(Compared::Ready(diff)) => {
                let what = match diff.outcome {
                    Outcome::TooLarge => "too large to compare",
                    Outcome::Binary | Outcome::Text => "binary",
                };
                format!("{what} ({})", code::sizes(look, change))
            }
        };
        return note(app, buf, inner, &words);
    };
    if diff.hunks.is_empty() {
        return note(app, buf, inner, "no lines: the file is empty");
    }
    for y in 0..inner.height {
        let Some(row) = view.body.get(view.scroll + usize::from(y)) else {
            break;
        };
        let place = Rect::new(inner.x, inner.y + y, inner.width, 1);
        body_row(app, view, change, diff, row, buf, place);
    }
    if active {
        paint::matches(buf, inner, look, query);
    }
}

fn body_row(
    app: &App,
    view: &DiffView,
    change: &FileChange,
    diff: &TextDiff,
    row: &BodyRow,
    buf: &mut Buffer,
    place: Rect,
) {
    let look = &app.look;
    let cut = look.glyphs.ellipsis;
    let digits = code::digits(&diff.hunks);
    let lights = lights(app, change);
    let padded = |place: Rect| Rect::new(place.x + 1, place.y, place.width.saturating_sub(2), 1);
    match *row {
        BodyRow::Gap(n) => {
            let words = format!(
                "{} {}",
                look.glyphs.dot.repeat(digits),
                text::plural(n as u64, "unchanged line")
            );
            let line = Line::from(Span::styled(words, look.theme.style(Token::Frame)));
            paint::line(buf, padded(place), &line, 0, cut);
        }
        BodyRow::Heading(h) => {
            if let Some(hunk) = diff.hunks.get(h) {
                paint::line(buf, padded(place), &code::heading(look, hunk), 0, cut);
            }
        }
        BodyRow::Line(h, i) => {
            if let Some(line) = diff.hunks.get(h).and_then(|h| h.lines.get(i)) {
                let line = code::unified(look, line, lights, digits);
                buf.set_style(place, line.style);
                // Numbers and signs stay where they are.
                shifted(buf, padded(place), &line, 2, view.left, cut);
            }
        }
        BodyRow::Pair(h, left, right) => {
            let Some(hunk) = diff.hunks.get(h) else {
                return;
            };
            let half = place.width / 2;
            let sides = [
                (left, Rect::new(place.x, place.y, half, 1), true),
                (
                    right,
                    Rect::new(place.x + half, place.y, place.width - half, 1),
                    false,
                ),
            ];
            for (i, place, is_left) in sides {
                let line = i.and_then(|i| hunk.lines.get(i));
                let drawn = code::half(look, line, lights, digits, is_left);
                buf.set_style(place, drawn.style);
                shifted(buf, padded(place), &drawn, 3, view.left, cut);
            }
        }
    }
}

/// Draws a line whose first spans stay while the rest is scrolled sideways.
fn shifted(
    buf: &mut Buffer,
    place: Rect,
    line: &Line<'static>,
    fixed: usize,
    left: usize,
    cut: &str,
) {
    let at = fixed.min(line.spans.len());
    let (head, tail) = line.spans.split_at(at);
    let head = Line::from(head.to_vec()).style(line.style);
    let used = paint::line(buf, place, &head, 0, "");
    let rest = Rect::new(place.x + used, place.y, place.width.saturating_sub(used), 1);
    let tail = Line::from(tail.to_vec()).style(line.style);
    paint::line(buf, rest, &tail, left, cut);
}
