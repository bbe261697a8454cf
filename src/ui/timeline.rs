//! The timeline's pane and the panes of text beside it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::engine::api::Row;
use crate::model::{Status, StepKind};

use super::app::{App, Pane};
use super::diffing;
use super::find::Query;
use super::hits_draw;
use super::lanes::Cell;
use super::paint;
use super::screen;
use super::text;
use super::theme::Token;
use super::words;

/// Cells of the kind of a step.
const KIND: usize = 7;

/// Least width of a list that says what answers cost.
const COST_FROM: usize = 52;

/// How far in subagents are drawn.
const DEEPEST: usize = 6;

/// Cells of lines added, and of lines removed.
const COUNT: usize = 4;

/// Draws the list of steps.
pub(crate) fn draw(app: &App, buf: &mut Buffer, area: Rect, query: Option<&Query>) {
    let look = &app.look;
    let active = app.pane == Pane::Timeline;
    let dim = look.theme.style(Token::Dim);
    let mut title = vec![Span::styled("Timeline", title_style(app, active))];
    if app.loading.busy {
        let text = format!(
            "  loading {} of {}",
            text::grouped(app.rows.len() as u64),
            text::grouped(app.status.as_ref().map_or(0, |s| s.steps))
        );
        title.push(Span::styled(text, dim));
    }
    title.extend(hits_draw::filter_title(app));
    let bottom = bottom(app);
    let inner = paint::frame(buf, area, look, active, &title, &bottom);
    let history = app
        .workspace()
        .and_then(|at| app.rows.at(at))
        .map(|row| app.lanes.history(row.line, row.ordinal));
    let columns = Columns::new(app, usize::from(inner.width));
    if app.visible_len() == 0 && app.filter.is_on() && !app.filter.goes_on() {
        let words = Line::from(Span::styled(" no step fits; Esc shows all again", dim));
        paint::line(
            buf,
            Rect {
                height: 1.min(inner.height),
                ..inner
            },
            &words,
            0,
            look.glyphs.ellipsis,
        );
    }
    let range = diffing::range(app);
    for y in 0..inner.height {
        let line = app.top + usize::from(y);
        let Some(row) = app.row_of(line).and_then(|i| app.rows.get(i)) else {
            break;
        };
        let place = Rect::new(inner.x, inner.y + y, inner.width, 1);
        let selected = match range {
            Some((from, to)) => (from..=to).contains(&row.ordinal),
            None => app.focus_row().is_some_and(|f| f.step == row.step),
        };
        let behind = history
            .as_ref()
            .is_some_and(|h| app.lanes.left_behind(row, h));
        let near = Near {
            selected,
            quiet: behind || row.talk.dead,
            answer: in_answer(app, row, line),
            hit: app.hunt.spot(row.ordinal).is_some(),
        };
        let drawn = columns.row(app, row, near);
        paint::line(buf, place, &drawn, 0, look.glyphs.ellipsis);
        if selected {
            let rest = Rect::new(place.x + 1, place.y, place.width.saturating_sub(1), 1);
            buf.set_style(rest, look.theme.selection(active));
        }
    }
    paint::matches(buf, inner, look, query);
}

fn title_style(app: &App, active: bool) -> Style {
    let style = app.look.theme.style(Token::Title);
    if active {
        style.add_modifier(Modifier::BOLD)
    } else {
        style
    }
}

fn bottom(app: &App) -> Vec<Span<'static>> {
    let dim = app.look.theme.style(Token::Dim);
    let dot = app.look.glyphs.dot;
    let mut parts = Vec::new();
    if let Some(index) = app.focus_index() {
        let of = text::grouped(app.rows.len() as u64);
        parts.push(format!("{}/{of}", text::grouped(index as u64 + 1)));
    }
    if app.follow && app.live() {
        parts.push("following".to_owned());
    }
    if app.folds.folded_turns() > 0 {
        let turns = text::plural(app.folds.folded_turns() as u64, "turn");
        parts.push(format!("{turns} folded"));
    }
    if app.folds.no_thoughts {
        parts.push("no thoughts".to_owned());
    }
    if app.folds.dead_rows() > 0 && !app.folds.dead {
        let n = text::grouped(app.folds.dead_rows() as u64);
        parts.push(format!("{n} in left branches: zd"));
    }
    if let Some((from, to)) = diffing::range(app) {
        parts.push(format!("{from}-{to} selected"));
    }
    if let Some(search) = &app.search {
        let mut part = format!("/{}", text::one_line(search));
        if let Some((at, of)) = app.focus.and_then(|f| app.hunt.number(f)) {
            let (at, of) = (text::grouped(at as u64), text::grouped(of as u64));
            part.push_str(&format!(" {at} of {of}"));
        }
        parts.push(part);
    }
    vec![Span::styled(parts.join(&format!(" {dot} ")), dim)]
}

/// What a row's surroundings say about it.
#[derive(Debug, Clone, Copy)]
struct Near {
    selected: bool,
    /// It is not part of what is there now.
    quiet: bool,
    /// Its place in an answer of several steps: first, middle or last.
    answer: Option<usize>,
    /// Something was found in it.
    hit: bool,
}

/// The place of a row in an answer that has several rows of the list.
fn in_answer(app: &App, row: &Row, line: usize) -> Option<usize> {
    if row.talk.answer == 0 {
        return None;
    }
    let same = |line: Option<usize>| {
        let other = line
            .and_then(|l| app.row_of(l))
            .and_then(|i| app.rows.get(i));
        other.is_some_and(|o| {
            o.talk.answer == row.talk.answer
                && o.talk.thread == row.talk.thread
                && o.session == row.session
        })
    };
    match (same(line.checked_sub(1)), same(line.checked_add(1))) {
        (false, true) => Some(0),
        (true, true) => Some(1),
        (true, false) => Some(2),
        (false, false) => None,
    }
}

/// Widths that are the same for all rows.
struct Columns {
    width: usize,
    graph: usize,
    ordinal: usize,
    clock: bool,
}

impl Columns {
    fn new(app: &App, width: usize) -> Self {
        let digits = app
            .last_ordinal()
            .map_or(1, |o| o.major.to_string().len())
            .max(3);
        // A step found late has a number of its own, which must not move all others.
        Self {
            width,
            graph: if width < 58 && app.lanes.columns() == 1 {
                1
            } else {
                app.lanes.columns() * 2 - 1
            },
            ordinal: digits,
            clock: width >= 48,
        }
    }

    fn row(&self, app: &App, row: &Row, near: Near) -> Line<'static> {
        let behind = near.quiet;
        let look = &app.look;
        let theme = look.theme;
        let dim = theme.style(Token::Dim);
        let quiet = |style: Style| if behind { dim } else { style };
        let mut spans = Vec::new();
        let mark = match (near.selected, near.hit) {
            (true, _) => look.glyphs.cursor,
            (false, true) => look.glyphs.hit,
            (false, false) => " ",
        };
        spans.push(Span::styled(mark, theme.style(Token::Focus)));
        spans.extend(self.graph(app, row, behind));
        spans.push(Span::raw(" "));
        let mut number = row.ordinal.to_string();
        if number.len() > self.ordinal && row.talk.thread > 0 {
            // A subagent's steps stand below the call that has the rest of the number.
            number = format!(".{}", row.ordinal.minor);
        }
        let here = app.workspace() == Some(row.ordinal);
        let number_style = if here {
            theme.style(Token::Workspace)
        } else {
            dim
        };
        spans.push(Span::styled(
            format!("{number:>width$} ", width = self.ordinal),
            number_style,
        ));
        if self.clock {
            let clock = words::clock(&look.zone, row.time, false);
            spans.push(Span::styled(format!("{clock} "), dim));
        }
        let used: usize = spans.iter().map(Span::width).sum();
        let mut effect = effect(app, row, behind);
        // What an answer cost stands where nothing more important does.
        if effect.is_empty()
            && self.width >= COST_FROM
            && let Some(tokens) = &row.talk.tokens
        {
            effect.push(Span::styled(words::cost(tokens), dim));
        }
        let effect_width: usize = effect.iter().map(Span::width).sum();
        let flags = flags(app, row);
        let flags_width: usize = flags.iter().map(Span::width).sum();
        // One blank before what it led to, one at the edge.
        let taken = used + effect_width + flags_width + 2;
        let room = self.width.saturating_sub(taken);
        let words = self.words(app, row, near, room);
        let words_width: usize = words.iter().map(Span::width).sum();
        spans.extend(words.into_iter().map(|s| {
            let style = quiet(s.style);
            s.style(style)
        }));
        let gap = (room + 1).saturating_sub(words_width);
        spans.push(Span::raw(" ".repeat(gap)));
        spans.extend(effect);
        spans.extend(flags);
        Line::from(spans)
    }

    fn graph(&self, app: &App, row: &Row, behind: bool) -> Vec<Span<'static>> {
        let glyphs = &app.look.glyphs;
        let theme = app.look.theme;
        let [across, down_left, down, cross] = glyphs.branch;
        let cells = app.lanes.cells(row);
        cells
            .into_iter()
            .take(self.graph)
            .map(|(cell, lane)| {
                let style = theme.style(Token::Lane(lane));
                match cell {
                    Cell::Blank => Span::raw(" "),
                    Cell::Pass => Span::styled(glyphs.lane, style),
                    Cell::Across => Span::styled(across, style),
                    Cell::Down => Span::styled(down, style),
                    Cell::DownLeft => Span::styled(down_left, style),
                    Cell::Cross => Span::styled(cross, style),
                    Cell::Own => {
                        let changed = super::rows::changed(row);
                        let (glyph, token) = match row.kind {
                            _ if row.talk.dead => (glyphs.dead, Token::Dim),
                            StepKind::Prompt if row.talk.thread == 0 => {
                                (glyphs.turn, Token::Prompt)
                            }
                            StepKind::Marker => (glyphs.note, Token::Warn),
                            _ if changed && row.status == Status::Error => {
                                (glyphs.change, Token::Bad)
                            }
                            _ if changed => (glyphs.change, Token::Kind),
                            _ => (glyphs.other, Token::Lane(lane)),
                        };
                        let style = theme.style(if behind { Token::Dim } else { token });
                        Span::styled(glyph, style)
                    }
                }
            })
            .collect()
    }

    /// Kind and title.
    fn words(&self, app: &App, row: &Row, near: Near, room: usize) -> Vec<Span<'static>> {
        let look = &app.look;
        let theme = look.theme;
        let cut =
            |text: &str, room: usize| text::clip(text, room, look.glyphs.ellipsis).into_owned();
        let title = text::one_line(&row.title);
        let sign = |shut| match shut {
            true => look.glyphs.shut,
            false => look.glyphs.open,
        };
        if super::rows::begins_turn(row) {
            let head = format!("{} turn {} ", sign(app.folds.turn_folded(row)), row.turn);
            let head_width = text::width(&head);
            let quoted = format!("\"{title}\"");
            return vec![
                Span::styled(head, theme.style(Token::Prompt)),
                Span::styled(
                    cut(&quoted, room.saturating_sub(head_width)),
                    Style::new().add_modifier(Modifier::BOLD),
                ),
            ];
        }
        // Everything but turns is indented, in a turn or not: kinds are read down their column. What subagents do is
        // indented further. In the cell before the kind is what folds, or how far an answer reaches.
        let wide = self.width >= 48;
        let depth = usize::from(row.talk.depth).min(DEEPEST);
        let indent = " ".repeat(if wide { depth * 2 } else { depth });
        let child = app.folds.child(row);
        let mark = match (child, near.answer) {
            (Some((shut, _)), _) => {
                Span::styled(format!("{} ", sign(shut)), theme.style(Token::Prompt))
            }
            (None, Some(place)) if wide => {
                let glyph = look.glyphs.answer.get(place).copied().unwrap_or(" ");
                Span::styled(format!("{glyph} "), theme.style(Token::Frame))
            }
            (None, _) if wide => Span::raw("  "),
            (None, _) => Span::raw(""),
        };
        let kind = words::kind(row);
        let head = format!("{kind:<KIND$} ");
        let note = match child {
            Some((true, rows)) => format!(" ({})", text::plural(rows as u64, "event")),
            _ => String::new(),
        };
        let used = indent.len() + mark.width() + text::width(&head) + note.len();
        let rest = room.saturating_sub(used);
        let (title, style) = match row.kind {
            StepKind::Thought => (format!("\"{title}\""), theme.style(Token::Thought)),
            StepKind::Message | StepKind::Prompt => (format!("\"{title}\""), Style::new()),
            StepKind::Marker => {
                let rest = words::marker(&title).map(|(_, rest)| rest.to_owned());
                (rest.unwrap_or(title), theme.style(Token::Warn))
            }
            _ => (title, Style::new()),
        };
        // The end of a path says more than its beginning.
        let is_path = title.contains('/') && !title.contains(' ');
        let title = if row.kind == StepKind::Call && is_path {
            text::clip_start(&title, rest, look.glyphs.ellipsis).into_owned()
        } else {
            cut(&title, rest)
        };
        vec![
            Span::raw(indent),
            mark,
            Span::styled(head, theme.style(words::kind_token(row))),
            Span::styled(title, style),
            Span::styled(note, theme.style(Token::Dim)),
        ]
    }
}

/// What a step led to: lines, a failure, ok.
pub(crate) fn effect(app: &App, row: &Row, behind: bool) -> Vec<Span<'static>> {
    let look = &app.look;
    let theme = look.theme;
    let style = |token| theme.style(if behind { Token::Dim } else { token });
    let failed = match row.status {
        Status::Error => {
            let code = row.exit_code.map(|c| c.to_string()).unwrap_or_default();
            Some(Span::styled(
                format!("{}{code}", look.glyphs.failed),
                style(Token::Bad),
            ))
        }
        Status::Aborted => Some(Span::styled("aborted", style(Token::Warn))),
        Status::Running => Some(Span::styled("running", style(Token::Live))),
        Status::None | Status::Ok => None,
    };
    let mut out = Vec::new();
    let effect = row.effect.filter(|e| e.files > 0);
    if let Some(effect) = effect {
        if effect.added == 0 && effect.removed == 0 {
            let text = text::plural(effect.files.into(), "file");
            out.push(Span::styled(text, style(Token::Kind)));
        } else if failed.is_some() {
            let text = format!("{}{}", look.glyphs.change, effect.files);
            out.push(Span::styled(text, style(Token::Kind)));
        } else {
            let part = |sign: char, n: u32, width: usize, token| {
                let text = if n == 0 {
                    String::new()
                } else {
                    format!("{sign}{}", short(n))
                };
                Span::styled(format!("{text:>width$}"), style(token))
            };
            out.push(part('+', effect.added, COUNT, Token::Added));
            out.push(part('-', effect.removed, COUNT + 1, Token::Removed));
        }
    }
    if let Some(failed) = failed {
        if !out.is_empty() {
            out.push(Span::raw(" "));
        }
        out.push(failed);
    } else if out.is_empty() && row.status == Status::Ok && row.exit_code.is_some() {
        out.push(Span::styled("ok", style(Token::Good)));
    }
    out
}

/// A number in at most three characters, up to a million.
fn short(n: u32) -> String {
    match n {
        0..=999 => n.to_string(),
        1_000..=999_999 => format!("{}k", n / 1000),
        _ => format!("{}M", n / 1_000_000),
    }
}

/// Labels, and whether the workspace is here.
fn flags(app: &App, row: &Row) -> Vec<Span<'static>> {
    let look = &app.look;
    let mut out = Vec::new();
    if app.workspace() == Some(row.ordinal) {
        out.push(Span::styled(
            format!(" {}", look.glyphs.here),
            look.theme.style(Token::Workspace),
        ));
    }
    if !row.labels.is_empty() {
        let names: Vec<String> = row.labels.iter().map(|l| words::label(l)).collect();
        let names = names.join(",");
        let names = text::clip(&names, 10, look.glyphs.ellipsis).into_owned();
        out.push(Span::styled(
            format!(" {}{names}", look.glyphs.label),
            look.theme.style(Token::Label),
        ));
    }
    out
}

/// Draws a pane of text about the step.
pub(crate) fn draw_doc(app: &App, buf: &mut Buffer, area: Rect, pane: Pane, query: Option<&Query>) {
    let look = &app.look;
    let active = app.pane == pane;
    let dim = look.theme.style(Token::Dim);
    let held = if pane == Pane::Changes {
        &app.changes
    } else {
        &app.detail
    };
    let title = match (pane, app.focus_row()) {
        (Pane::Changes, _) => {
            let files = app.focus_detail().map_or(0, |d| d.changes.len());
            let mut title = vec![Span::styled("Changes", title_style(app, active))];
            if files > 0 {
                let text = format!("  {}", text::plural(files as u64, "file"));
                title.push(Span::styled(text, dim));
            }
            title
        }
        (_, Some(row)) => {
            let title = text::one_line(&row.title);
            let title = match words::marker(&title) {
                Some((_, rest)) if row.kind == StepKind::Marker => rest.to_owned(),
                _ => title,
            };
            vec![
                Span::styled(format!("Step {}", row.ordinal), title_style(app, active)),
                Span::styled(
                    format!("  {} ", words::kind(row)),
                    look.theme.style(words::kind_token(row)),
                ),
                Span::styled(title, dim),
            ]
        }
        (_, None) => vec![Span::styled("Step", title_style(app, active))],
    };
    let height = usize::from(screen::inner(area).height);
    let len = held.doc.lines.len();
    let bottom = if len > height {
        let last = (held.scroll + height).min(len);
        vec![Span::styled(
            format!(
                "{}-{last} of {}",
                held.scroll + 1,
                text::grouped(len as u64)
            ),
            dim,
        )]
    } else {
        Vec::new()
    };
    let inner = paint::frame(buf, area, look, active, &title, &bottom);
    for y in 0..inner.height {
        let Some(line) = held.doc.lines.get(held.scroll + usize::from(y)) else {
            break;
        };
        let place = Rect::new(inner.x, inner.y + y, inner.width, 1);
        let text = Rect::new(inner.x + 1, inner.y + y, inner.width.saturating_sub(2), 1);
        buf.set_style(place, line.style);
        paint::line(buf, text, line, held.left, look.glyphs.ellipsis);
    }
    paint::matches(buf, inner, look, query);
}
