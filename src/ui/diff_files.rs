//! The left side of the diff: the changed files as a tree, what stayed the same, and the steps that touch the selected one.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use crate::diff::text::Space;
use crate::engine::api::FileChange;
use crate::model::RepoPath;

use super::app::{App, diff_key};
use super::code;
use super::diff_view::{DiffView, Touch};
use super::find::Query;
use super::mouse::{Hit, Side};
use super::paint;
use super::screen;
use super::text;
use super::theme::Token;

/// From this height of the pane on, there is room for more than the files.
const ROOMY: usize = 14;

/// Directories that are said to be the same.
const SAME: usize = 4;

/// Draws the list.
pub(crate) fn draw(
    app: &App,
    diff: &DiffView,
    buf: &mut Buffer,
    area: Rect,
    query: Option<&Query>,
) {
    let look = &app.look;
    let theme = look.theme;
    let title = vec![Span::styled("Files", theme.style(Token::Title))];
    let mut bottom = Vec::new();
    if !diff.changes.is_empty() {
        let seen = diff.seen.unwrap_or(0);
        let text = format!(
            "{} of {} viewed",
            text::grouped(seen as u64),
            text::grouped(diff.changes.len() as u64)
        );
        bottom.push(Span::styled(text, theme.style(Token::Dim)));
    }
    let inner = paint::frame(buf, area, look, diff.in_files, &title, &bottom);
    let width = usize::from(inner.width);
    let height = usize::from(inner.height);
    let (lines, at) = tree(app, diff, width, height);
    let mut below = Vec::new();
    if height >= ROOMY {
        below = steps(app, diff, width, height / 2);
    }
    let room = height - below.len().min(height);
    let mut shown: Vec<(Option<usize>, Line<'static>)> = lines;
    let tall = shown.len();
    let top = screen::scrolled(0, at, tall, room);
    shown.drain(..top.min(tall));
    // What stayed the same stands where there is room left.
    let left = room.saturating_sub(shown.len());
    if left > 2 {
        let same = same(app, diff, left - 1);
        if !same.is_empty() {
            shown.push((None, Line::default()));
            shown.extend(same.into_iter().map(|line| (None, line)));
        }
    }
    for (y, (i, line)) in (inner.y..inner.bottom()).zip(shown.iter().take(room)) {
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
    let from = inner.y + u16::try_from(room).unwrap_or(0);
    for (y, line) in (from..inner.bottom()).zip(&below) {
        let place = Rect::new(inner.x, y, inner.width, 1);
        paint::line(buf, place, line, 0, look.glyphs.ellipsis);
    }
    if diff.in_files {
        paint::matches(buf, inner, look, query);
    }
}

fn viewed(app: &App, change: &FileChange) -> bool {
    let key = (change.path.clone(), diff_key(change, Space::Show));
    app.diffing.viewed.contains(&key)
}

/// A line for each directory, its files below it: those around the cursor only, since a step may have changed ten thousand
/// files. And the line of the cursor.
fn tree(
    app: &App,
    diff: &DiffView,
    width: usize,
    height: usize,
) -> (Vec<(Option<usize>, Line<'static>)>, usize) {
    let look = &app.look;
    let dim = look.theme.style(Token::Dim);
    let start = diff.cursor.saturating_sub(height);
    let mut lines: Vec<(Option<usize>, Line<'static>)> = Vec::new();
    let mut dir: Option<RepoPath> = None;
    let shown = diff.changes.iter().enumerate().skip(start);
    for (i, change) in shown.take(2 * height + 1) {
        let parent = change.path.parent().unwrap_or_default();
        if dir.as_ref() != Some(&parent) {
            if !parent.is_root() {
                let words = format!(" {}/", text::path(&parent));
                let words = text::clip_start(&words, width, look.glyphs.ellipsis).into_owned();
                lines.push((None, Line::from(Span::styled(words, dim))));
            }
            dir = Some(parent);
        }
        let line = file_line(app, change, width, i == diff.cursor);
        lines.push((Some(i), line));
    }
    let at = lines
        .iter()
        .position(|(i, _)| *i == Some(diff.cursor))
        .unwrap_or(0);
    (lines, at)
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
    // What was looked at is quieter.
    let ink = if viewed(app, change) && !selected {
        theme.style(Token::Dim)
    } else {
        theme.style(Token::Text)
    };
    let mut spans = vec![
        Span::styled(mark, theme.style(Token::Focus)),
        Span::raw(indent),
        Span::styled(
            format!("{} ", code::letter(change.op)),
            theme.style(code::letter_token(change.op)),
        ),
        Span::styled(name, ink),
        Span::raw(" ".repeat(pad)),
    ];
    spans.extend(counts);
    Line::from(spans)
}

/// Directories in which nothing changed.
fn same(app: &App, diff: &DiffView, room: usize) -> Vec<Line<'static>> {
    let dim = app.look.theme.style(Token::Dim);
    let all = &diff.same;
    let most = SAME.min(room);
    let mut out: Vec<Line<'static>> = Vec::new();
    for (i, dir) in all.iter().enumerate() {
        if i + 1 == most && all.len() > most {
            let words = format!(
                " {} {} more (same)",
                app.look.glyphs.ellipsis,
                all.len() - i
            );
            out.push(Line::from(Span::styled(words, dim)));
            break;
        }
        let words = format!(" {}/ (same)", text::path(dir));
        out.push(Line::from(Span::styled(words, dim)));
    }
    out
}

/// The steps that touch the selected file, around the one that is looked at.
fn steps(app: &App, diff: &DiffView, width: usize, most: usize) -> Vec<Line<'static>> {
    let look = &app.look;
    let theme = look.theme;
    let dim = theme.style(Token::Dim);
    let Some(change) = diff.selected() else {
        return Vec::new();
    };
    if diff.touches.is_empty() || most < 4 {
        return Vec::new();
    }
    let name = text::piece(change.path.name(), &mut 0);
    let head = format!(" steps touching {name}:");
    let head = text::clip(&head, width, look.glyphs.ellipsis).into_owned();
    let mut out = vec![Line::default(), Line::from(Span::styled(head, dim))];
    let focus = app.focus_row().map(|r| r.ordinal);
    let here = focus.map_or(0, |f| diff.touches.partition_point(|t| t.step < f));
    let room = most - 2;
    let top = screen::scrolled(0, here, diff.touches.len(), room);
    for touch in diff.touches.iter().skip(top).take(room) {
        out.push(touch_line(app, touch, width, Some(touch.step) == focus));
    }
    out
}

fn touch_line(app: &App, touch: &Touch, width: usize, here: bool) -> Line<'static> {
    let look = &app.look;
    let theme = look.theme;
    let counts = match touch.lines {
        Some((added, removed)) => code::counts(look, added.into(), removed.into()),
        None => Vec::new(),
    };
    let used: usize = counts.iter().map(Span::width).sum();
    let kind = match app.rows.at(touch.step) {
        Some(row) => super::words::kind(row),
        None => text::one_line(&touch.tool).to_lowercase(),
    };
    let words = format!("{:>5} {kind}", touch.step.to_string());
    let room = width.saturating_sub(used + 2);
    let words = text::clip(&words, room, look.glyphs.ellipsis).into_owned();
    let pad = room.saturating_sub(text::width(&words));
    let mark = if here { look.glyphs.here } else { " " };
    let mut ink = theme.style(Token::Dim);
    if here {
        ink = theme.style(Token::Text).add_modifier(Modifier::BOLD);
    }
    let mut spans = vec![
        Span::styled(mark, theme.style(Token::Focus)),
        Span::styled(words, ink),
        Span::raw(" ".repeat(pad)),
    ];
    spans.extend(counts);
    Line::from(spans)
}
