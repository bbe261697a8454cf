//! Draws the state browser: the tree after the step, and a file in it.

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::diff::text::{Side, is_binary};
use crate::engine::api::EntryInfo;

use super::app::App;
use super::code;
use super::find::Query;
use super::light::Light;
use super::msg::LightKey;
use super::paint;
use super::screen;
use super::state_tabs::{self, Tab};
use super::state_view::{Content, Node, StateView, line_at};
use super::sync::LARGE;
use super::text;
use super::theme::{Syntax, Token};
use super::why_draw;

/// The view's words in the header.
pub(crate) fn title(app: &App, state: &StateView) -> Vec<Span<'static>> {
    let theme = app.look.theme;
    vec![
        Span::styled("STATE ", theme.style(Token::Dim)),
        Span::styled(
            format!("after step {}", state.ordinal),
            theme.style(Token::Focus),
        ),
        Span::styled(" (read-only)", theme.style(Token::Dim)),
    ]
}

/// Draws the view.
pub(crate) fn draw(app: &App, state: &StateView, buf: &mut Buffer, query: Option<&Query>) {
    let panes = screen::state(app, state);
    if let Some(area) = panes.tree {
        tree(app, state, buf, area, query);
    }
    if let Some(area) = panes.file {
        file(app, state, buf, area, query);
    }
    if let Some(area) = panes.why {
        why_draw::bar(app, state, buf, area);
    }
}

fn tree(app: &App, state: &StateView, buf: &mut Buffer, area: Rect, query: Option<&Query>) {
    let look = &app.look;
    let theme = look.theme;
    let active = !state.in_file;
    let title = state_tabs::titles(app, &state.tabs);
    let changed = app.focus_detail().map_or(0, |d| d.changes.len());
    let bottom = if changed > 0 {
        let text = format!("{changed} changed here");
        vec![Span::styled(text, theme.style(Token::Dim))]
    } else {
        Vec::new()
    };
    let inner = paint::frame(buf, area, look, active, &title, &bottom);
    if state.tabs.tab != Tab::Files {
        let width = usize::from(inner.width);
        let lines = state_tabs::lines(app, &state.tabs, width);
        let last = lines.len().saturating_sub(usize::from(inner.height));
        let shown = lines.iter().skip(state.tabs.scroll.min(last));
        for (y, line) in (inner.y..inner.bottom()).zip(shown) {
            let place = Rect::new(inner.x, y, inner.width, 1);
            paint::line(buf, place, line, 0, look.glyphs.ellipsis);
        }
        return;
    }
    let on_screen = || {
        state
            .nodes
            .iter()
            .skip(state.top)
            .take(usize::from(inner.height))
    };
    let steps: usize = on_screen()
        .filter_map(|n| state.last_step(n))
        .map(|s| s.to_string().len())
        .max()
        .unwrap_or(0)
        .min(9);
    for y in 0..inner.height {
        let at = state.top + usize::from(y);
        let Some(node) = state.nodes.get(at) else {
            break;
        };
        let place = Rect::new(inner.x, inner.y + y, inner.width, 1);
        let selected = at == state.cursor;
        let step = state.last_step(node).map(|s| s.to_string());
        let step = format!("{:>steps$}", step.unwrap_or_default());
        let line = node_line(app, node, usize::from(inner.width), selected, &step);
        paint::line(buf, place, &line, 0, look.glyphs.ellipsis);
        if selected {
            let rest = Rect::new(place.x + 1, place.y, place.width.saturating_sub(1), 1);
            buf.set_style(rest, theme.selection(active));
        }
    }
    if active {
        paint::matches(buf, inner, look, query);
    }
}

fn title_style(active: bool) -> Style {
    if active {
        Style::new().add_modifier(Modifier::BOLD)
    } else {
        Style::new()
    }
}

fn node_line(app: &App, node: &Node, width: usize, selected: bool, step: &str) -> Line<'static> {
    let look = &app.look;
    let theme = look.theme;
    let dim = theme.style(Token::Dim);
    let mark = if selected { look.glyphs.cursor } else { " " };
    let mut spans = vec![
        Span::styled(mark, theme.style(Token::Focus)),
        Span::raw("  ".repeat(node.depth.min(20))),
    ];
    if let Some(note) = &node.note {
        spans.push(Span::styled(format!("  {note}"), dim));
        return Line::from(spans);
    }
    let (sign, style) = match (node.dir, node.open) {
        (true, true) => (look.glyphs.open, theme.style(Token::Kind)),
        (true, false) => (look.glyphs.shut, theme.style(Token::Kind)),
        (false, _) => (" ", Style::new()),
    };
    spans.push(Span::styled(format!("{sign} "), style));
    let kind = node.entry.as_ref().map_or("", |e| e.kind.as_str());
    let tail = match kind {
        "dir" => "/",
        "link" => "@",
        "fifo" => "|",
        "socket" => "=",
        "unknown" => "?",
        _ => "",
    };
    let letter = match node.mark {
        Some(op) => Span::styled(
            format!(" {} ", code::letter(op)),
            theme.style(code::letter_token(op)),
        ),
        None if node.below => {
            Span::styled(format!(" {} ", look.glyphs.dot), theme.style(Token::Warn))
        }
        None => Span::raw("   "),
    };
    let used: usize = spans.iter().map(Span::width).sum();
    // The name is worth more than the step.
    let column = match step.len() {
        0 => 0,
        n if width < used + letter.width() + n + 9 => 0,
        n => n + 1,
    };
    let room = width.saturating_sub(used + letter.width() + column);
    let name = text::piece(&node.name, &mut 0);
    let name = text::clip(&format!("{name}{tail}"), room, look.glyphs.ellipsis).into_owned();
    let pad = room.saturating_sub(text::width(&name));
    let style = if node.gone {
        dim.add_modifier(Modifier::CROSSED_OUT)
    } else if node.dir {
        theme.style(Token::Kind)
    } else {
        Style::new()
    };
    spans.push(Span::styled(name, style));
    spans.push(Span::raw(" ".repeat(pad)));
    spans.push(letter);
    if column > 0 {
        spans.push(Span::styled(format!("{step} "), dim));
    }
    Line::from(spans)
}

fn file(app: &App, state: &StateView, buf: &mut Buffer, area: Rect, query: Option<&Query>) {
    let look = &app.look;
    let theme = look.theme;
    let dim = theme.style(Token::Dim);
    let active = state.in_file;
    let Some(entry) = &state.shown else {
        let inner = paint::frame(buf, area, look, active, &[], &[]);
        return says(app, buf, inner, "");
    };
    let title = vec![
        Span::styled(text::path(&entry.path), title_style(active)),
        Span::styled(format!("  {}", facts(entry)), dim),
        Span::styled(
            match state.selected() {
                Some(node) if node.gone && node.path == entry.path => "  removed by this step",
                _ => "",
            },
            theme.style(Token::Removed),
        ),
    ];
    let ready = match &state.content {
        Some((_, Content::Ready(bytes, starts))) if !is_binary(bytes) => Some((bytes, starts)),
        _ => None,
    };
    let bottom = match ready {
        Some((_, starts)) => {
            let all = text::grouped(starts.len() as u64);
            let mut text = format!("line {} of {all}", state.line + 1);
            if let Some(mark) = state.mark {
                let n = mark.abs_diff(state.line) + 1;
                text.push_str(&format!(" {} {n} selected", look.glyphs.dot));
            }
            if let Some(status) = why_draw::status(state) {
                text.push_str(&format!(" {} {status}", look.glyphs.dot));
            }
            vec![Span::styled(text, dim)]
        }
        None => Vec::new(),
    };
    let inner = paint::frame(buf, area, look, active, &title, &bottom);
    let Some((bytes, starts)) = ready else {
        return says(app, buf, inner, &instead(app, state, entry));
    };
    if bytes.is_empty() {
        return says(app, buf, inner, "empty");
    }
    let light = state.content.as_ref().and_then(|(blob, _)| {
        let name = entry.path.name().to_vec();
        app.shelf.lights.peek(&LightKey { blob: *blob, name })
    });
    let digits = starts.len().max(100).to_string().len();
    let gutter = why_draw::Gutter::new(app, state, inner.width);
    for y in 0..inner.height {
        let at = state.scroll + usize::from(y);
        let Some(line) = line_at(bytes, starts, at) else {
            break;
        };
        let runs: Vec<(Range<usize>, Syntax)> = light
            .map(|l: &std::sync::Arc<Light>| l.line(at).collect())
            .unwrap_or_default();
        let mark = state.mark.unwrap_or(state.line);
        let chosen = mark.min(state.line)..=mark.max(state.line);
        let selected = active && chosen.contains(&at);
        let mark = if selected { look.glyphs.cursor } else { " " };
        let row = Rect::new(inner.x, inner.y + y, inner.width, 1);
        let cursor = Line::from(Span::styled(mark, theme.style(Token::Focus)));
        paint::line(buf, row, &cursor, 0, "");
        let number = Rect::new(inner.x + 1, inner.y + y, inner.width.saturating_sub(2), 1);
        let mut head = gutter.spans(look, at);
        head.push(Span::styled(format!("{:>digits$}  ", at + 1), dim));
        let head = Line::from(head);
        let used = paint::line(buf, number, &head, 0, "");
        let place = Rect::new(
            number.x + used,
            number.y,
            number.width.saturating_sub(used),
            1,
        );
        let spans = code::code(look, line, &runs, &[], Side::Both);
        paint::line(
            buf,
            place,
            &Line::from(spans),
            state.left,
            look.glyphs.ellipsis,
        );
        if selected {
            let rest = Rect::new(row.x + 1, row.y, row.width.saturating_sub(1), 1);
            buf.set_style(rest, theme.selection(active));
        }
    }
    if active {
        paint::matches(buf, inner, look, query);
    }
}

fn says(app: &App, buf: &mut Buffer, inner: Rect, words: &str) {
    let dim = app.look.theme.style(Token::Dim);
    let place = Rect::new(inner.x + 1, inner.y, inner.width.saturating_sub(2), 1);
    let line = Line::from(Span::styled(words.to_owned(), dim));
    paint::line(buf, place, &line, 0, app.look.glyphs.ellipsis);
}

fn facts(entry: &EntryInfo) -> String {
    match entry.kind.as_str() {
        "file" if entry.mode & 0o111 != 0 => format!("{}, executable", text::bytes(entry.size)),
        "file" => text::bytes(entry.size),
        kind => code::kind_word(kind),
    }
}

/// What is said where there are no lines.
fn instead(app: &App, state: &StateView, entry: &EntryInfo) -> String {
    match (&state.content, entry.kind.as_str()) {
        (_, "dir") => "Enter opens the directory".to_owned(),
        (_, "link") => {
            let target = entry.target.as_deref().unwrap_or_default();
            format!("{} {}", app.look.glyphs.arrow, text::one_line(target))
        }
        (Some((_, Content::Failed(why))), _) => text::one_line(why),
        (Some((_, Content::Ready(..))), _) => format!("binary ({})", text::bytes(entry.size)),
        (None, "file") if entry.size > LARGE => {
            format!("large ({}): Enter twice shows it", text::bytes(entry.size))
        }
        (None, "file") => "loading".to_owned(),
        (None, kind) => code::kind_word(kind),
    }
}
