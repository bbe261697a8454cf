//! Draws the list of recordings: one line each, newest first, with as many columns as there is room for, and below it how
//! to begin.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::engine::api::{RecordingInfo, RecordingSummary};

use super::app::{App, Link};
use super::find::Query;
use super::list::ListView;
use super::paint;
use super::screen;
use super::text;
use super::theme::Token;
use super::welcome;
use super::words;

/// A column: its heading, its width, the least width of the list in which it is shown, and whether it holds numbers.
struct Column {
    name: &'static str,
    width: usize,
    from: usize,
    number: bool,
    text: fn(&RecordingSummary) -> String,
}

/// Between age and project, and the last prompt.
const COLUMNS: [Column; 6] = [
    Column {
        name: "agent",
        width: 8,
        from: 64,
        number: false,
        text: |s| text::one_line(&s.agent),
    },
    Column {
        name: "model",
        width: 17,
        from: 118,
        number: false,
        text: |s| words::model(&text::one_line(&s.model)),
    },
    Column {
        name: "length",
        width: 7,
        from: 84,
        number: true,
        text: |s| match (s.start, s.end) {
            (Some(start), Some(end)) => words::span(end.since(start)),
            _ => String::new(),
        },
    },
    Column {
        name: "steps",
        width: 6,
        from: 76,
        number: true,
        text: |s| text::grouped(s.steps),
    },
    Column {
        name: "tokens",
        width: 6,
        from: 100,
        number: true,
        text: |s| match words::all_tokens(&s.tokens) {
            0 => String::new(),
            n => words::count(n),
        },
    },
    Column {
        name: "files",
        width: 5,
        from: 92,
        number: true,
        text: |s| match s.files {
            0 => String::new(),
            n => text::grouped(n),
        },
    },
];

/// Cells of the age.
const AGE: usize = 6;

/// Lines that say how to begin, with the blank one above them.
const WAYS: u16 = 4;

/// Least height of the body that has room for them.
const ROOM_FOR_WAYS: u16 = 14;

/// The part of the body that the list takes.
pub(crate) fn place(body: Rect) -> Rect {
    let ways = if body.height >= ROOM_FOR_WAYS {
        WAYS
    } else {
        0
    };
    Rect {
        height: body.height.saturating_sub(ways),
        ..body
    }
}

/// Recordings that fit on the screen: a frame and a line of headings are around them.
pub(crate) fn rows(app: &App) -> usize {
    usize::from(place(screen::regions(app).body).height.saturating_sub(3))
}

/// Draws it.
pub(crate) fn draw(app: &App, list: &ListView, buf: &mut Buffer, body: Rect) {
    let look = &app.look;
    let dim = look.theme.style(Token::Dim);
    let failed = matches!(app.link, Link::Failed(_));
    let empty = list.items.is_empty() && !list.loading() && list.problem.is_none();
    if failed || empty {
        return welcome::draw(app, buf, body);
    }
    let area = place(body);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut title = vec![Span::styled("Recordings", bold)];
    if list.loading() {
        title.push(Span::styled("  loading", dim));
    }
    let bottom = bottom(app, list);
    let inner = paint::frame(buf, area, look, true, &title, &bottom);
    let width = usize::from(inner.width);
    if inner.height == 0 {
        return;
    }
    let head = Rect::new(inner.x, inner.y, inner.width, 1);
    paint::line(buf, head, &headings(app, width), 0, look.glyphs.ellipsis);
    if let Some(problem) = &list.problem {
        let place = Rect::new(inner.x + 1, inner.y + 1, inner.width.saturating_sub(2), 1);
        let words = format!("the recordings cannot be listed: {problem}");
        let line = Line::from(Span::styled(words, look.theme.style(Token::Bad)));
        paint::line(buf, place, &line, 0, look.glyphs.ellipsis);
    }
    let lines = inner.y + 1..inner.bottom();
    for (y, (i, at)) in lines.zip(list.shown.iter().enumerate().skip(list.top)) {
        let Some(item) = list.items.get(*at) else {
            continue;
        };
        let selected = i == list.cursor;
        let place = Rect::new(inner.x, y, inner.width, 1);
        let line = row(app, list, item, width, selected);
        paint::line(buf, place, &line, 0, look.glyphs.ellipsis);
        if selected {
            let rest = Rect::new(place.x + 1, y, place.width.saturating_sub(1), 1);
            buf.set_style(rest, look.theme.selection(true));
        }
    }
    let under = Rect::new(
        inner.x,
        inner.y + 1,
        inner.width,
        inner.height.saturating_sub(1),
    );
    for word in list.filter.split_whitespace() {
        paint::matches(buf, under, look, Some(&Query::new(word)));
    }
    let lines = area.bottom() + 1..body.bottom();
    for (y, way) in lines.zip(welcome::ways(app)) {
        let place = Rect::new(body.x + 2, y, body.width.saturating_sub(3), 1);
        paint::line(buf, place, &way, 0, look.glyphs.ellipsis);
    }
}

fn bottom(app: &App, list: &ListView) -> Vec<Span<'static>> {
    let dim = app.look.theme.style(Token::Dim);
    let dot = format!(" {} ", app.look.glyphs.dot);
    let mut parts = Vec::new();
    if !list.shown.is_empty() {
        let at = text::grouped(list.cursor as u64 + 1);
        parts.push(format!("{at}/{}", text::grouped(list.shown.len() as u64)));
    }
    if !list.filter.is_empty() {
        let all = text::grouped(list.items.len() as u64);
        parts.push(format!("/{} of {all}", text::one_line(&list.filter)));
    }
    if let Some(item) = list.selected() {
        let room = usize::from(app.size.width).saturating_sub(40).max(16);
        let path = text::one_line(&item.path);
        parts.push(text::clip_start(&path, room, app.look.glyphs.ellipsis).into_owned());
    }
    vec![Span::styled(parts.join(&dot), dim)]
}

fn project_width(width: usize) -> usize {
    (width / 6).clamp(12, 24)
}

fn headings(app: &App, width: usize) -> Line<'static> {
    let project = project_width(width);
    let mut out = format!(" {:>AGE$}  {:<project$}", "age", "project");
    for column in COLUMNS.iter().filter(|c| width >= c.from) {
        let cells = column.width;
        let cell = if column.number {
            format!("{:>cells$}", column.name)
        } else {
            format!("{:<cells$}", column.name)
        };
        out.push_str("  ");
        out.push_str(&cell);
    }
    out.push_str("  last prompt");
    Line::from(Span::styled(out, app.look.theme.style(Token::Dim)))
}

/// A text in exactly so many cells.
fn cell(app: &App, value: &str, width: usize, right: bool) -> String {
    let value = text::clip(value, width, app.look.glyphs.ellipsis);
    let pad = " ".repeat(width.saturating_sub(text::width(&value)));
    if right {
        format!("{pad}{value}")
    } else {
        format!("{value}{pad}")
    }
}

fn row(
    app: &App,
    list: &ListView,
    item: &RecordingInfo,
    width: usize,
    selected: bool,
) -> Line<'static> {
    let look = &app.look;
    let theme = look.theme;
    let dim = theme.style(Token::Dim);
    let mark = if selected { look.glyphs.cursor } else { " " };
    let age = words::age(list.now, item.modified);
    let project = match &item.summary {
        Some(s) if !s.project.is_empty() => last_name(&s.project),
        _ => last_name(&item.path),
    };
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut spans = vec![
        Span::styled(mark, theme.style(Token::Focus)),
        Span::styled(format!("{age:>AGE$}  "), dim),
        Span::styled(cell(app, &project, project_width(width), false), bold),
    ];
    let Some(summary) = &item.summary else {
        let words = if list.failed.contains(&item.path) {
            "cannot be read"
        } else {
            look.glyphs.ellipsis
        };
        let format = text::one_line(&item.format);
        let size = text::bytes(item.size);
        spans.push(Span::styled(format!("  {format}  {size}  {words}"), dim));
        return Line::from(spans);
    };
    for column in COLUMNS.iter().filter(|c| width >= c.from) {
        let value = (column.text)(summary);
        let style = if column.number {
            Style::new()
        } else {
            theme.style(Token::Kind)
        };
        let text = cell(app, &value, column.width, column.number);
        spans.push(Span::styled(format!("  {text}"), style));
    }
    let said = if summary.last_prompt.is_empty() {
        &summary.title
    } else {
        &summary.last_prompt
    };
    let used: usize = spans.iter().map(Span::width).sum();
    let said = text::one_line(said);
    let room = width.saturating_sub(used + 3);
    let said = text::clip(&said, room, look.glyphs.ellipsis).into_owned();
    spans.push(Span::raw(format!("  {said}")));
    Line::from(spans)
}

/// The last part of a path: of either kind, since recordings come from other machines.
fn last_name(path: &str) -> String {
    let name = path
        .rsplit(['/', '\\'])
        .find(|part| !part.is_empty())
        .unwrap_or(path);
    text::one_line(name)
}
