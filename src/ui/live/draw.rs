//! The live view on the screen: events, the agent's terminal, and what the selected step is.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::engine::api::Row;
use crate::model::{Status, StepKind};

use super::{Known, LiveView, is_now, open, open_mut, runs, update};
use crate::ui::action::Action;
use crate::ui::app::App;
use crate::ui::detail::{self, DocKey, Parts};
use crate::ui::draw::key_of;
use crate::ui::find::Query;
use crate::ui::paint;
use crate::ui::play;
use crate::ui::rows;
use crate::ui::screen::{self, Shape};
use crate::ui::term_pane;
use crate::ui::text;
use crate::ui::theme::Token;
use crate::ui::timeline;
use crate::ui::words;

/// Cells of the kind of a step.
const KIND: usize = 7;

/// Least width of a list with whole clocks.
const CLOCKS: u16 = 40;

/// Least height of the body in which the step has a pane of its own.
const TALL: u16 = 20;

/// Where the parts are.
#[derive(Debug, Clone, Copy, Default)]
struct Panes {
    list: Option<Rect>,
    terminal: Option<Rect>,
    step: Option<Rect>,
}

fn panes(app: &App, view: &LiveView) -> Panes {
    let body = screen::regions(app).body;
    let only = |terminal: bool| Panes {
        list: (!terminal).then_some(body),
        terminal: terminal.then_some(body),
        step: None,
    };
    if view.zoom {
        return only(true);
    }
    if screen::shape(app.size) == Shape::One {
        return only(view.in_terminal || view.attached);
    }
    let below = if body.height >= TALL {
        (body.height * 2 / 5).min(16)
    } else {
        0
    };
    let above = body.height - below;
    // As wide as the agent's terminal is, but the list keeps what it needs.
    let cols = of(app).map_or(0, |s| s.size().1).saturating_add(2);
    let least = (body.width * 48 / 100).max(38);
    let right = cols.clamp(least, (body.width * 60 / 100).max(least));
    let left = body.width - right;
    Panes {
        list: Some(Rect::new(body.x, body.y, left, above)),
        terminal: Some(Rect::new(body.x + left, body.y, right, above)),
        step: (below > 0).then(|| Rect::new(body.x, body.y + above, body.width, below)),
    }
}

/// The screen that is shown: as it is, or as it was at the selected step.
fn of(app: &App) -> Option<&std::sync::Arc<vt100::Screen>> {
    let shown = &app.live.shown;
    if is_now(app) {
        return shown.now.as_ref();
    }
    let then = shown.then.as_ref().map(|(_, screen)| screen);
    then.or(shown.now.as_ref().filter(|_| shown.over.is_some()))
}

/// Where the terminal is cut, with a wish of the person's.
pub(crate) fn cut(app: &App, wish: Option<(u16, u16)>) -> Option<(u16, u16)> {
    let area = screen::inner(panes(app, open(app)?).terminal?);
    Some(term_pane::cut(of(app)?, area, wish))
}

/// Columns and rows that there are for the terminal.
pub(crate) fn room(app: &App) -> (u16, u16) {
    let pane = open(app).and_then(|v| panes(app, v).terminal);
    let area = pane.map_or(Rect::new(0, 0, 80, 24), screen::inner);
    (area.width, area.height)
}

/// Lines of the list, or of the terminal when that is scrolled.
pub(crate) fn page_height(app: &App) -> usize {
    let height = |r: Option<Rect>| r.map_or(1, |r| usize::from(screen::inner(r).height));
    match open(app) {
        Some(view) => {
            let panes = panes(app, view);
            height(panes.list.filter(|_| !view.in_terminal).or(panes.terminal))
        }
        None => 1,
    }
}

/// Fits the list and the step to the screen.
pub(crate) fn arrange(app: &mut App) {
    let Some(view) = open(app) else { return };
    let places = panes(app, view);
    let line = app.focus_index().map_or(0, |i| app.line_of(i));
    let len = app.visible_len();
    if let Some(list) = places.list {
        let height = usize::from(screen::inner(list).height);
        if let Some(view) = open_mut(app) {
            view.top = screen::scrolled(view.top, line, len, height);
        }
    }
    let Some(step) = places.step.map(screen::inner) else {
        return;
    };
    let key = DocKey {
        row: app.focus_row().cloned(),
        shelf: app.shelf.version,
        width: step.width.saturating_sub(2),
        parts: Parts::Both,
    };
    let mut held = open_mut(app).map(|v| std::mem::take(&mut v.step));
    if let Some(pane) = &mut held
        && pane.key.as_ref() != Some(&key)
    {
        pane.doc = detail::build(app, Parts::Both, key.width);
        pane.key = Some(key);
        pane.scroll = 0;
    }
    if let (Some(view), Some(held)) = (open_mut(app), held) {
        view.step = held;
    }
}

/// The words of the header, each with its rank.
pub(crate) fn title(app: &App) -> Vec<(u8, Vec<Span<'static>>)> {
    let theme = app.look.theme;
    let span = |text: String, token| Span::styled(text, theme.style(token));
    let mut out = Vec::new();
    let sessions = update::sessions(app);
    if let Some(first) = sessions.first() {
        let chosen = app.live.shown.who;
        let session = sessions
            .iter()
            .find(|s| Some(s.session.id) == chosen)
            .unwrap_or(first);
        let mut mode = crate::ui::draw::mode(app);
        if app.follow && app.live.now.0 > 0 {
            let age = app.live.now.since(session.session.start);
            mode.push(span(format!(" {}", elapsed(age)), Token::Text));
        }
        out.push((0, mode));
        let several = app.live.letters.len() > 1;
        let mut names = Vec::new();
        for one in sessions {
            let id = one.session.id;
            let is = id == session.session.id;
            if !names.is_empty() {
                names.push(span("  ".to_owned(), Token::Dim));
            }
            if let Some((letter, at)) = app.live.letter(id).filter(|_| several) {
                let style = theme
                    .style(Token::Lane(at + 1))
                    .add_modifier(Modifier::BOLD);
                let style = if is {
                    style.add_modifier(Modifier::REVERSED)
                } else {
                    style
                };
                names.push(Span::styled(letter.to_string(), style));
                names.push(Span::raw(" "));
            }
            let token = if is { Token::Text } else { Token::Dim };
            names.push(span(text::one_line(&one.session.agent), token));
            if is
                && let Known::Terminal(info) = &app.live.shown.known
                && let Some(pid) = info.pid
            {
                names.push(span(format!(" pid {pid}"), Token::Dim));
            }
            if one.frozen && !app.frozen() {
                names.push(span(" frozen".to_owned(), Token::Warn));
            }
        }
        out.push((1, names));
    } else {
        out.push((0, crate::ui::draw::mode(app)));
    }
    if let Some(last) = app.last_ordinal() {
        let followed = app.follow && app.agent_runs();
        let words = match app.focus_row().filter(|_| !followed) {
            Some(row) => format!("{} of {}", row.ordinal, text::grouped(last.major)),
            None => text::grouped(last.major),
        };
        out.push((
            2,
            vec![
                span("step ".to_owned(), Token::Dim),
                span(words, Token::Focus),
            ],
        ));
    }
    if !sessions.is_empty() {
        let lag = app.live.lag.map_or_else(
            || "-".to_owned(),
            |lag| format!("{} ms", lag.as_millis().max(1)),
        );
        let slow = app.live.lag.is_some_and(|l| l > Duration::from_millis(100));
        let token = if slow { Token::Warn } else { Token::Text };
        out.push((
            4,
            vec![span("lag ".to_owned(), Token::Dim), span(lag, token)],
        ));
        let dropped = text::grouped(app.live.dropped);
        let words = vec![
            span("dropped ".to_owned(), Token::Dim),
            span(dropped, Token::Text),
        ];
        out.push((5, words));
    } else if let Some(row) = app.focus_row().filter(|r| words::told(r.time)) {
        let time = play::time(app).unwrap_or(row.time);
        let clock = words::clock(&app.look.zone, time, true);
        out.push((3, vec![span(clock, Token::Dim)]));
    }
    out
}

/// `00:12:41`
fn elapsed(d: Duration) -> String {
    let s = d.as_secs();
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

/// Draws the view. Returns where the agent's cursor is while the person types to it.
pub(crate) fn draw(
    app: &App,
    view: &LiveView,
    buf: &mut Buffer,
    query: Option<&Query>,
) -> Option<(u16, u16)> {
    let places = panes(app, view);
    if let Some(area) = places.list {
        list(app, view, buf, area, query);
    }
    if let Some(area) = places.step {
        step(app, view, buf, area, query);
    }
    let cursor = places
        .terminal
        .and_then(|area| terminal(app, view, buf, area));
    cursor.filter(|_| view.attached)
}

fn heading(app: &App, words: &str, active: bool) -> Span<'static> {
    let style = app.look.theme.style(Token::Title);
    let style = if active {
        style.add_modifier(Modifier::BOLD)
    } else {
        style
    };
    Span::styled(words.to_owned(), style)
}

fn list(app: &App, view: &LiveView, buf: &mut Buffer, area: Rect, query: Option<&Query>) {
    let look = &app.look;
    let active = !view.in_terminal && !view.attached;
    let dim = look.theme.style(Token::Dim);
    let mut title = vec![heading(app, "Events", active)];
    if app.follow && app.agent_runs() {
        title.push(Span::styled("  following", look.theme.style(Token::Live)));
    } else if app.live() {
        let key = key_of(app, Action::Last);
        title.push(Span::styled(format!("  {key} follows"), dim));
    }
    let mut parts = Vec::new();
    if let Some(status) = app
        .status
        .as_ref()
        .filter(|_| app.live() && !app.recording())
    {
        if status.capture == "fuse" {
            parts.push("auto-commit on".to_owned());
        }
        if status.dirty > 0 {
            let since = app
                .workspace()
                .map_or_else(String::new, |at| format!(" since {at}"));
            let files = text::plural(status.dirty as u64, "file");
            parts.push(format!("{files}{since}"));
        }
    }
    if parts.is_empty()
        && let Some(index) = app.focus_index()
    {
        let of = text::grouped(app.rows.len() as u64);
        parts.push(format!("{}/{of}", text::grouped(index as u64 + 1)));
    }
    let bottom = parts.join(&format!(" {} ", look.glyphs.dot));
    let bottom = [Span::styled(bottom, dim)];
    let inner = paint::frame(buf, area, look, active, &title, &bottom);
    let digits = app
        .last_ordinal()
        .map_or(1, |o| o.major.to_string().len())
        .max(3);
    for y in 0..inner.height {
        let line = view.top + usize::from(y);
        let Some(row) = app.row_of(line).and_then(|i| app.rows.get(i)) else {
            break;
        };
        let place = Rect::new(inner.x, inner.y + y, inner.width, 1);
        let selected = app.focus_row().is_some_and(|f| f.step == row.step);
        let drawn = event(app, row, selected, digits, inner.width);
        paint::line(buf, place, &drawn, 0, look.glyphs.ellipsis);
        if selected {
            let rest = Rect::new(place.x + 1, place.y, place.width.saturating_sub(1), 1);
            buf.set_style(rest, look.theme.selection(active));
        }
    }
    paint::matches(buf, inner, look, query);
}

/// One event: number, clock, whose, kind, title, what came of it.
fn event(app: &App, row: &Row, selected: bool, digits: usize, width: u16) -> Line<'static> {
    let look = &app.look;
    let theme = look.theme;
    let dim = theme.style(Token::Dim);
    let mark = if selected { look.glyphs.cursor } else { " " };
    let number = match row.talk.thread {
        0 => row.ordinal.to_string(),
        _ => format!(".{}", row.ordinal.minor),
    };
    let here = app.workspace() == Some(row.ordinal);
    let number_style = if here {
        theme.style(Token::Workspace)
    } else {
        dim
    };
    let mut spans = vec![
        Span::styled(mark, theme.style(Token::Focus)),
        Span::styled(format!("{number:>digits$} "), number_style),
    ];
    if width >= CLOCKS {
        let clock = words::clock(&look.zone, row.time, width >= CLOCKS + 8);
        spans.push(Span::styled(format!("{clock} "), dim));
    }
    if app.live.letters.len() > 1 {
        let letter = row.session.and_then(|s| app.live.letter(s));
        spans.push(match letter {
            Some((letter, at)) => {
                let style = theme
                    .style(Token::Lane(at + 1))
                    .add_modifier(Modifier::BOLD);
                Span::styled(format!("{letter} "), style)
            }
            None => Span::raw("  "),
        });
    }
    let running = (row.status == Status::Running).then(|| running(app, row));
    let mut effect = match running {
        Some(running) => vec![Span::styled(running, theme.style(Token::Live))],
        None => timeline::effect(app, row, row.talk.dead),
    };
    if !row.labels.is_empty() {
        effect.push(Span::styled(
            format!(" {}", look.glyphs.label),
            theme.style(Token::Label),
        ));
    }
    let taken: usize = spans.iter().map(Span::width).sum();
    let effect_width: usize = effect.iter().map(Span::width).sum();
    let kind = if rows::begins_turn(row) {
        "prompt".to_owned()
    } else {
        words::kind(row)
    };
    let indent = " ".repeat(usize::from(row.talk.depth).min(4));
    let head = format!("{indent}{kind:<KIND$} ");
    let token = if rows::begins_turn(row) {
        Token::Prompt
    } else {
        words::kind_token(row)
    };
    let head_width = text::width(&head);
    spans.push(Span::styled(head, theme.style(token)));
    let room = usize::from(width).saturating_sub(taken + head_width + effect_width + 2);
    let title = text::one_line(&row.title);
    let (title, style) = match row.kind {
        StepKind::Thought => (format!("\"{title}\""), theme.style(Token::Thought)),
        StepKind::Prompt | StepKind::Message => (format!("\"{title}\""), Style::new()),
        StepKind::Marker => {
            let rest = words::marker(&title).map(|(_, rest)| rest.to_owned());
            (rest.unwrap_or(title), theme.style(Token::Warn))
        }
        _ => (title, Style::new()),
    };
    let is_path = title.contains('/') && !title.contains(' ');
    let title = if is_path {
        text::clip_start(&title, room, look.glyphs.ellipsis).into_owned()
    } else {
        text::clip(&title, room, look.glyphs.ellipsis).into_owned()
    };
    let gap = (room + 1).saturating_sub(text::width(&title));
    let style = if row.talk.dead { dim } else { style };
    spans.push(Span::styled(title, style));
    spans.push(Span::raw(" ".repeat(gap)));
    spans.extend(effect);
    Line::from(spans)
}

/// How long a call has been open.
fn running(app: &App, row: &Row) -> String {
    if app.live.now < row.time || !words::told(row.time) {
        return format!("running{}", app.look.glyphs.ellipsis);
    }
    let since = words::span(app.live.now.since(row.time));
    format!("{} {since}", app.look.glyphs.shut)
}

fn step(app: &App, view: &LiveView, buf: &mut Buffer, area: Rect, query: Option<&Query>) {
    let look = &app.look;
    let mut title = vec![heading(app, "Step", false)];
    if let Some(row) = app.focus_row() {
        title = vec![
            heading(app, &format!("Step {}", row.ordinal), false),
            Span::styled(
                format!("  {} ", words::kind(row)),
                look.theme.style(words::kind_token(row)),
            ),
            Span::styled(text::one_line(&row.title), look.theme.style(Token::Dim)),
        ];
    }
    let inner = paint::frame(buf, area, look, false, &title, &[]);
    for y in 0..inner.height {
        let Some(line) = view.step.doc.lines.get(usize::from(y)) else {
            break;
        };
        let place = Rect::new(inner.x, inner.y + y, inner.width, 1);
        let words = Rect::new(inner.x + 1, inner.y + y, inner.width.saturating_sub(2), 1);
        buf.set_style(place, line.style);
        paint::line(buf, words, line, 0, look.glyphs.ellipsis);
    }
    paint::matches(buf, inner, look, query);
}

fn terminal(app: &App, view: &LiveView, buf: &mut Buffer, area: Rect) -> Option<(u16, u16)> {
    let look = &app.look;
    let theme = look.theme;
    let dim = theme.style(Token::Dim);
    let shown = &app.live.shown;
    let active = view.in_terminal || view.attached;
    let mut title = vec![heading(app, "Agent terminal", active)];
    let can = app.enabled(Action::Attach).is_ok();
    let words = if view.attached {
        let name = shown.who.map_or_else(String::new, |w| update::name(app, w));
        let key = key_of(app, Action::Detach);
        let words = format!("  attached to {name}");
        title.push(Span::styled(words, theme.style(Token::Live)));
        format!(", {key} detaches")
    } else if is_now(app) && can {
        let (enter, leave) = (key_of(app, Action::Attach), key_of(app, Action::Detach));
        format!("  {enter} attach, {leave} detach")
    } else if let Some((at, _)) = &shown.then {
        let clock = words::clock(&look.zone, *at, true);
        let live = shown.who.is_some_and(|w| runs(app, w));
        let key = key_of(app, Action::Last);
        let back = if live {
            format!(", {key} shows now")
        } else {
            String::new()
        };
        format!("  as of {clock}{back}")
    } else {
        String::new()
    };
    title.push(Span::styled(words, dim));
    let screen = of(app);
    let mut bottom = Vec::new();
    if let Some(screen) = screen {
        let (rows, cols) = screen.size();
        bottom.push(format!("cols {cols}"));
        let room = screen::inner(area);
        if cols > room.width || rows > room.height {
            bottom.push("cut".to_owned());
        }
        let word = if view.zoom { "all" } else { "zoom" };
        if !view.attached {
            bottom.push(format!("{} {word}", key_of(app, Action::Zoom)));
        }
    }
    let bottom = bottom.join(&format!(" {} ", look.glyphs.dot));
    let bottom = [Span::styled(bottom, dim)];
    let inner = paint::frame(buf, area, look, active, &title, &bottom);
    if let Some(screen) = screen {
        return term_pane::draw(screen, theme, buf, inner, view.crop);
    }
    let words = match (&shown.known, &shown.problem) {
        (_, Some(why)) => format!("The terminal cannot be shown: {why}."),
        (Known::Asked, None) => String::new(),
        (Known::Failed(why), None) => format!("The terminal cannot be shown: {why}."),
        (Known::Nothing, None) if app.recording() => {
            "This recording holds no terminal; one made by asciinema would.".to_owned()
        }
        (Known::Nothing, None) => {
            "This run had no terminal: it was started in a pipe, or before terminals were recorded."
                .to_owned()
        }
        (Known::Terminal(info), None) if info.recorded == 0 && info.socket.is_none() => {
            "The terminal of this run was not recorded.".to_owned()
        }
        (Known::Terminal(_), None) => String::new(),
    };
    let width = usize::from(inner.width.saturating_sub(2));
    for (y, line) in (inner.y..inner.bottom()).zip(text::wrap(&words, width)) {
        let place = Rect::new(inner.x + 1, y, inner.width.saturating_sub(2), 1);
        let line = Line::from(Span::styled(line, dim));
        paint::line(buf, place, &line, 0, look.glyphs.ellipsis);
    }
    None
}
