//! Draws the state. Reads only; costs what fits on the screen.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::engine::api::{MergeTry, Row};

use super::action::{self, Action};
use super::app::{App, Link, Overlay, Pane, Tone, View};
use super::axis::Axis;
use super::desk;
use super::keys;
use super::line;
use super::live;
use super::merge_view;
use super::mouse::{self, Hit, Side};
use super::offers::offers;
use super::paint;
use super::play;
use super::screen::{self, Shape};
use super::sums::Sum;
use super::text;
use super::theme::Token;
use super::words;
use super::{diff_draw, hits_draw, list_draw, overlay, raw_view, state_draw, timeline, welcome};

/// Draws everything.
pub(crate) fn draw(app: &App, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buf = frame.buffer_mut();
    app.feel.hits.clear();
    if screen::shape(app.size) == Shape::TooSmall || area.width < 40 || area.height < 8 {
        let words = "too small: 40x8 is needed";
        let place = Rect::new(0, 0, area.width, 1.min(area.height));
        paint::line(buf, place, &Line::from(words), 0, app.look.glyphs.ellipsis);
        return;
    }
    let parts = screen::regions(app);
    let look = &app.look;
    let query = app.hunt.marks.as_ref().map(|(_, query)| query);
    let mut editing = None;
    header(app, buf, parts.header);
    app.feel.hits.put(parts.body, Hit::Pane(Side::Here));
    panes(app);
    match &app.view {
        None if app.rows.is_empty() => welcome::draw(app, buf, parts.body),
        None => {
            minimap(app, buf, parts.minimap);
            for (pane, rect) in screen::home(app) {
                match pane {
                    Pane::Timeline => timeline::draw(app, buf, rect, query),
                    Pane::Detail | Pane::Changes => {
                        timeline::draw_doc(app, buf, rect, pane, query);
                    }
                }
            }
        }
        Some(View::List(list)) => list_draw::draw(app, list, buf, parts.body),
        Some(View::Diff(diff)) => diff_draw::draw(app, diff, buf, query),
        Some(View::Raw(raw)) => raw_view::draw(app, raw, buf, query),
        Some(View::State(state)) => state_draw::draw(app, state, buf, query),
        Some(View::Live(live)) => editing = live::draw::draw(app, live, buf, query),
        Some(View::Merge(merge)) => editing = merge_view::draw::draw(app, merge, buf),
        Some(View::Desk(desk)) => desk::draw(app, desk, buf),
    }
    let over = overlay::draw(app, buf, parts.body);
    let cursor = footer(app, buf, parts.footer).map(|x| (x, parts.footer.y));
    app.feel
        .hits
        .find_marks(buf, parts.body, look.glyphs.cursor);
    look.theme.paint(buf);
    if let Some(cursor) = over.or(cursor).or(editing) {
        frame.set_cursor_position(cursor);
    }
}

/// Notes for the mouse where the panes are.
fn panes(app: &App) {
    let hits = &app.feel.hits;
    let beside = |list, body| {
        for (rect, first) in [(list, true), (body, false)] {
            if let Some(rect) = rect {
                hits.put(rect, Hit::Pane(Side::First(first)));
            }
        }
        if let Some(rect) = list {
            mouse::border(app, rect);
        }
    };
    match &app.view {
        None if app.rows.is_empty() => {}
        None => {
            let panes = screen::home(app);
            for (pane, rect) in &panes {
                hits.put(*rect, Hit::Pane(Side::Home(*pane)));
            }
            if let Some((_, first)) = panes.first() {
                mouse::border(app, *first);
            }
        }
        Some(View::Diff(diff)) => {
            let (list, body) = screen::beside(app, diff.in_files);
            beside(list, body);
        }
        Some(View::State(state)) => {
            let panes = screen::state(app, state);
            beside(panes.tree, panes.file);
        }
        Some(_) => {}
    }
}

struct Segment {
    spans: Vec<Span<'static>>,
    /// Lower stays longer.
    rank: u8,
}

/// What is looked at, and what is on disk.
fn header(app: &App, buf: &mut Buffer, area: Rect) {
    let theme = app.look.theme;
    let span = |text: String, token| Span::styled(text, theme.style(token));
    let mut segments = vec![Segment {
        spans: vec![span("backtrail".to_owned(), Token::Brand)],
        rank: 7,
    }];
    let mut add = |rank: u8, spans: Vec<Span<'static>>| segments.push(Segment { spans, rank });
    let merging = matches!(app.view, Some(View::Merge(_)));
    if let Some(status) = &app.status {
        let rank = if merging { 8 } else { 2 };
        add(rank, vec![span(text::one_line(&status.name), Token::Text)]);
        if !status.branch.is_empty() && app.view.is_none() {
            add(
                6,
                vec![
                    span("branch ".to_owned(), Token::Dim),
                    span(text::one_line(&status.branch), Token::Text),
                ],
            );
        }
    }
    match &app.view {
        Some(View::List(list)) => {
            let all = list.total.unwrap_or(list.items.len()) as u64;
            if all > 0 {
                let text = text::plural(all, "recording");
                add(0, vec![span(text, Token::Text)]);
                add(3, vec![span("on this machine".to_owned(), Token::Dim)]);
            }
        }
        Some(View::Diff(diff)) => {
            add(0, diff_draw::title(app, diff));
            add(4, diff_draw::modes(app));
        }
        Some(View::State(state)) => add(0, state_draw::title(app, state)),
        Some(View::Raw(_)) => add(0, raw_view::title(app)),
        Some(View::Live(_)) => {
            for (rank, spans) in live::draw::title(app) {
                add(rank, spans);
            }
        }
        Some(View::Desk(desk)) => add(0, desk::title(app, desk)),
        Some(View::Merge(merge)) => {
            for (rank, spans) in merge_view::draw::title(app, merge) {
                add(rank, spans);
            }
        }
        None => {
            if let Some(row) = app.focus_row() {
                let last = app
                    .last_ordinal()
                    .map_or(row.ordinal, |l| l.max(row.ordinal));
                let narrow = area.width < 80;
                let mut spans = vec![span(row.ordinal.to_string(), Token::Focus)];
                if narrow {
                    spans.push(span(format!("/{}", last.major), Token::Dim));
                } else {
                    spans.insert(0, span("step ".to_owned(), Token::Dim));
                    spans.push(span(
                        format!(" of {}", text::grouped(last.major)),
                        Token::Dim,
                    ));
                }
                add(0, spans);
            }
        }
    }
    let listed = matches!(app.view, Some(View::List(_)));
    let in_live = live::open(app).is_some();
    if (!listed && !in_live) || (listed && !matches!(app.link, Link::Open { .. })) {
        add(if merging { 9 } else { 1 }, mode(app));
    }
    if let Some(at) = app.workspace() {
        let rank = if merging { 10 } else { 3 };
        add(
            if in_live { 11 } else { rank },
            vec![
                span("workspace = ".to_owned(), Token::Dim),
                span(at.to_string(), Token::Workspace),
            ],
        );
    }
    if let Some(status) = &app.status {
        if app.recording() {
            // How far it is read stands elsewhere, and it has no workspace.
        } else if !status.scan.done && app.live() {
            let files = text::plural(status.scan.files, "file");
            add(4, vec![span(format!("scanning, {files}"), Token::Warn)]);
        } else if status.dirty > 0 {
            let text = format!("{} changed since", text::grouped(status.dirty as u64));
            add(5, vec![span(text, Token::Warn)]);
        }
    }
    if let Some(merge) = app.status.as_ref().and_then(|s| s.merging.as_ref())
        && !merging
    {
        let name = text::one_line(&merge.branch);
        let words = format!("merge of {name} not finished");
        let key = format!(" {}", key_of(app, Action::Merge));
        add(2, vec![span(words, Token::Warn), span(key, Token::Key)]);
    }
    if let Some((words, token)) = meeting(app).filter(|_| app.view.is_none()) {
        add(4, vec![span(words, token)]);
    }
    if let Some(what) = app.busy {
        add(1, vec![span(format!("{what} is under way"), Token::Warn)]);
    }
    let separator = format!(" {} ", app.look.glyphs.separator);
    let gap = text::width(&separator);
    let room = usize::from(area.width).saturating_sub(2);
    let width = |s: &Segment| s.spans.iter().map(Span::width).sum::<usize>();
    while segments.len() > 1 {
        let total: usize = segments.iter().map(|s| width(s) + gap).sum::<usize>() - gap;
        if total <= room {
            break;
        }
        let least = segments
            .iter()
            .enumerate()
            .max_by_key(|(_, s)| s.rank)
            .map(|(i, _)| i);
        if let Some(i) = least {
            segments.remove(i);
        }
    }
    let mut spans = vec![Span::raw(" ")];
    for (i, segment) in segments.into_iter().enumerate() {
        if i > 0 {
            spans.push(span(separator.clone(), Token::Frame));
        }
        spans.extend(segment.spans);
    }
    paint::line(buf, area, &Line::from(spans), 0, app.look.glyphs.ellipsis);
}

/// Branches at work that meet: an early warning, before anybody merges them.
fn meeting(app: &App) -> Option<(String, Token)> {
    let met = &app.status.as_ref()?.overlaps;
    let clash: Vec<_> = met.iter().filter(|m| m.merge != MergeTry::Clean).collect();
    let key = key_of(app, Action::Merge);
    match (clash.as_slice(), met.as_slice()) {
        ([one], _) => {
            let (a, b) = (text::one_line(&one.a), text::one_line(&one.b));
            Some((format!("! {a} and {b} conflict {key}"), Token::Warn))
        }
        ([], []) => None,
        ([], [one]) => {
            let (a, b) = (text::one_line(&one.a), text::one_line(&one.b));
            Some((format!("{a} and {b} meet"), Token::Dim))
        }
        ([], all) => Some((format!("{} pairs of branches meet", all.len()), Token::Dim)),
        (several, _) => {
            let words = format!("! {} pairs of branches conflict {key}", several.len());
            Some((words, Token::Warn))
        }
    }
}

/// Live, with how far behind the focus is, or a recording.
pub(crate) fn mode(app: &App) -> Vec<Span<'static>> {
    let theme = app.look.theme;
    let span = |text: String, token| Span::styled(text, theme.style(token));
    let dot = app.look.glyphs.live;
    if app.live.play.is_some() {
        let words = format!("PLAYING {}", play::speed(app));
        return vec![span(words, Token::Replay)];
    }
    match &app.link {
        Link::Connecting => vec![span("connecting".to_owned(), Token::Dim)],
        Link::Failed(_) => vec![span("not connected".to_owned(), Token::Bad)],
        Link::Gone => vec![span("ENGINE GONE".to_owned(), Token::Bad)],
        Link::Open { live: true } if app.recording() && !read(app) => {
            // Per cent, in this case.
            let files = app.status.as_ref().map_or(0, |s| s.scan.files);
            let word = match files {
                n @ 1..=100 => format!("READING {n} %"),
                _ => "READING".to_owned(),
            };
            vec![span(word, Token::Replay)]
        }
        Link::Open { .. } if !app.live() => vec![span("REPLAY".to_owned(), Token::Replay)],
        Link::Open { .. } => {
            let (word, token) = if app.recording() {
                (format!("FOLLOWING {dot}"), Token::Live)
            } else if app.frozen() {
                ("FROZEN".to_owned(), Token::Warn)
            } else if app.agent_runs() {
                (format!("LIVE {dot}"), Token::Live)
            } else {
                ("LIVE".to_owned(), Token::Live)
            };
            let mut spans = vec![span(word, token)];
            let behind = app
                .focus_index()
                .map_or(0, |i| app.rows.len().saturating_sub(i + 1));
            if !app.follow
                && behind > 0
                && let Some(row) = app.focus_row()
            {
                let text = format!(
                    " (viewing {}, +{})",
                    row.ordinal,
                    text::grouped(behind as u64)
                );
                spans.push(span(text, Token::Dim));
            }
            spans
        }
    }
}

/// Whether the whole recording has been read.
fn read(app: &App) -> bool {
    app.status.as_ref().is_some_and(|s| s.scan.done)
}

/// The whole run in one line: bars of changed lines, failures, labels, and where the focus is.
fn minimap(app: &App, buf: &mut Buffer, area: Rect) {
    let theme = app.look.theme;
    let (Some(first), Some(last)) = (app.rows.first(), app.rows.last()) else {
        return;
    };
    let narrow = area.width < 80;
    let clocked = app.sizes.clock && words::told(first.time);
    let end = |row: &Row| {
        if clocked {
            words::clock(&app.look.zone, row.time, false)
        } else {
            row.ordinal.to_string()
        }
    };
    let (first, last) = (end(first), end(last));
    let ends = if narrow {
        2
    } else {
        first.len() + last.len() + 4
    };
    let cells = usize::from(area.width).saturating_sub(ends);
    let axis = clocked.then(|| Axis::of(&app.rows, cells)).flatten();
    let parts = match &axis {
        Some(_) => cells,
        None => cells.min(app.rows.len()),
    };
    if parts == 0 {
        return;
    }
    let sums = match &axis {
        Some(axis) => axis.sums(&app.rows),
        None => app.rows.overview(parts),
    };
    let cell_of = |i| match &axis {
        Some(axis) => axis.cell_of(i),
        None => app.rows.cell_of(i, parts),
    };
    let most = sums.iter().map(|s| s.lines + s.files).max().unwrap_or(0);
    let few = unremarkable(&sums, app.rows.len());
    let focus = app.focus_index().map(cell_of);
    let here = app
        .workspace()
        .and_then(|o| app.rows.position(o).ok())
        .map(cell_of);
    let dim = theme.style(Token::Dim);
    let ordinal = |at: usize| app.rows.brief(at).map(|r| r.ordinal);
    let begin = |part: usize| {
        // Where the first row of a part is: parts follow each other as rows do.
        let (mut low, mut high) = (0, app.rows.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if cell_of(middle) < part {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        ordinal(low)
    };
    let found = |part: usize| {
        app.hunt.run.is_some()
            && begin(part).is_some_and(|from| app.hunt.any_in(from, begin(part + 1)))
    };
    let mut spans = vec![Span::raw(" ")];
    let begins = 1 + if narrow { 0 } else { first.len() + 1 };
    let place = Rect {
        x: area.x + u16::try_from(begins).unwrap_or(0),
        width: u16::try_from(cells).unwrap_or(0),
        ..area
    };
    app.feel.hits.put(place, Hit::Map(parts));
    if !narrow {
        spans.push(Span::styled(format!("{first} "), dim));
    }
    for cell in 0..cells {
        // A part may be drawn in several cells: its mark in the first.
        let part = cell * parts / cells;
        let begins = cell == 0 || (cell - 1) * parts / cells != part;
        let sum = sums.get(part).copied().unwrap_or_default();
        let mark = if focus == Some(part) && begins {
            Some((app.look.glyphs.focus, theme.style(Token::Focus)))
        } else if sum.label && begins {
            Some((app.look.glyphs.label, theme.style(Token::Label)))
        } else if sum.failed > few && begins {
            Some(("!", theme.style(Token::Bad)))
        } else {
            None
        };
        // Where something was found is what is looked for just now.
        let mark = match mark {
            Some((glyph, _)) if glyph == app.look.glyphs.focus => mark,
            _ if begins && found(part) => Some((app.look.glyphs.hit, theme.style(Token::Focus))),
            _ => mark,
        };
        let (glyph, style) = mark.unwrap_or_else(|| {
            let style = if here == Some(part) {
                theme.style(Token::Workspace)
            } else if sum.lines + sum.files == 0 {
                theme.style(Token::Frame)
            } else {
                theme.style(Token::Kind)
            };
            (bar(app, sum, most), style)
        });
        spans.push(Span::styled(glyph, style));
    }
    if !narrow {
        spans.push(Span::styled(format!(" {last}"), dim));
    }
    paint::line(buf, area, &Line::from(spans), 0, "");
}

/// How many failures are nothing special in a part of a long run: where most parts have some, only those with many are
/// marked.
fn unremarkable(sums: &[Sum], rows: usize) -> u32 {
    if rows <= sums.len() {
        return 0;
    }
    let mut counts: Vec<u32> = sums.iter().map(|s| s.failed).collect();
    counts.sort_unstable_by_key(|n| std::cmp::Reverse(*n));
    counts.get(sums.len() / 3).copied().unwrap_or(0)
}

/// A bar by the logarithm of what changed: one file rewritten must not flatten all the rest.
fn bar(app: &App, sum: Sum, most: u64) -> &'static str {
    let n = sum.lines + sum.files;
    let bars = app.look.glyphs.bars;
    if n == 0 || most == 0 {
        return bars[0];
    }
    let log = |n: u64| u64::from(u64::BITS - n.leading_zeros());
    let level = 1 + (log(n) * 6 / log(most)).min(6);
    bars[usize::try_from(level).unwrap_or(1)]
}

/// The key that is shown for an action.
pub(crate) fn key_of(app: &App, action: Action) -> String {
    let ascii = app.look.glyphs.cursor == ">";
    app.feel
        .keymap
        .key(action, app.context())
        .map(|b| keys::shown_strokes(&b.strokes, ascii))
        .unwrap_or_default()
}

/// Some cells of a line.
fn cells_of(area: Rect, at: usize, cells: usize) -> Rect {
    let at = u16::try_from(at).unwrap_or(u16::MAX).min(area.width);
    let cells = u16::try_from(cells).unwrap_or(0).min(area.width - at);
    Rect::new(area.x + at, area.y, cells, area.height.min(1))
}

/// The bottom line: the search being typed, a toast, or what the keys do. Returns where the text cursor is.
fn footer(app: &App, buf: &mut Buffer, area: Rect) -> Option<u16> {
    let look = &app.look;
    let theme = look.theme;
    let room = usize::from(area.width).saturating_sub(2);
    if let Some(prompt) = &app.prompt {
        return Some(hits_draw::prompt(app, prompt, buf, area));
    }
    // It says itself what its keys do.
    if matches!(app.overlay, Some(Overlay::Palette(_))) {
        return None;
    }
    if let Some(Overlay::Line(input)) = &app.overlay {
        return Some(line::draw(app, input, buf, area));
    }
    if let Some(toast) = &app.toast {
        let (mark, token) = match toast.tone {
            Tone::Good => (look.glyphs.done, Token::Good),
            Tone::Note => (look.glyphs.dot, Token::Warn),
            Tone::Bad => (look.glyphs.failed, Token::Bad),
        };
        let able: Vec<Action> = toast
            .hints
            .iter()
            .copied()
            .filter(|a| app.enabled(*a).is_ok())
            .collect();
        let offers: Vec<(String, String)> = able
            .iter()
            .filter_map(|a| {
                let title = match a {
                    Action::ViewDiff => "show diff",
                    a => action::entry(*a)?.title,
                };
                Some((key_of(app, *a), title.to_owned()))
            })
            .collect();
        let (hints, places) = paint::placed(look, &offers, room / 2);
        let taken: usize = hints.iter().map(Span::width).sum::<usize>() + 9;
        let words = text::clip(
            &toast.text,
            room.saturating_sub(taken),
            look.glyphs.ellipsis,
        );
        let mut spans = vec![
            Span::styled(format!(" {mark} "), theme.style(token)),
            Span::styled(words.into_owned(), Style::new()),
            Span::raw("   "),
        ];
        let from: usize = spans.iter().map(Span::width).sum();
        for (i, at, cells) in places {
            if let Some(action) = able.get(i) {
                let hit = Hit::Act(*action);
                app.feel.hits.put(cells_of(area, from + at, cells), hit);
            }
        }
        spans.extend(hints);
        if app.feel.mouse.on {
            let at: usize = spans.iter().map(Span::width).sum();
            let gap = if offers.is_empty() { "" } else { "   " };
            let style = theme.style(Token::Dim);
            spans.push(Span::styled(format!("{gap}{}", look.glyphs.close), style));
            let hit = Hit::Toast;
            app.feel.hits.put(cells_of(area, at, gap.len() + 2), hit);
        }
        paint::line(buf, area, &Line::from(spans), 0, look.glyphs.ellipsis);
        return None;
    }
    if app.pending.is_empty() && app.count.is_none() && hits_draw::strip(app, buf, area) {
        return None;
    }
    let mut spans = vec![Span::raw(" ")];
    let mut used = 0;
    if app.count.is_some() || !app.pending.is_empty() {
        let mut typed = app.count.map(|n| n.to_string()).unwrap_or_default();
        for key in &app.pending {
            typed.extend(key.typed());
        }
        let what = if app.pending.is_empty() {
            "G goes there, s steps so many"
        } else {
            look.glyphs.ellipsis
        };
        used = text::width(&typed) + text::width(what) + 4;
        spans.push(Span::styled(typed, theme.style(Token::Focus)));
        spans.push(Span::styled(format!(" {what}   "), theme.style(Token::Dim)));
    }
    let empty = app.rows.is_empty() && app.view.is_none();
    let editing = app.overlay.is_none() && merge_view::edits(app);
    let offered: Vec<_> = offers(app.context())
        .iter()
        .filter(|(actions, word)| {
            let shown = actions.iter().all(|a| app.enabled(*a).is_ok());
            let follows = actions.contains(&Action::Last) && (app.follow || !app.live());
            let plays = *word == "play" || actions.contains(&Action::Slower);
            let other = actions.contains(&Action::Freeze) || actions.contains(&Action::Slower);
            let other = other && plays == app.agent_runs();
            let attached = live::attached(app) && !actions.contains(&Action::Detach);
            let idle = empty && !matches!(actions[0], Action::Help | Action::Quit);
            // While a part is edited, its pane says what keys do.
            shown && !follows && !idle && !editing && !other && !attached
        })
        .collect();
    let hints: Vec<(String, String)> = offered
        .iter()
        .map(|(actions, word)| {
            let keys: Vec<String> = actions.iter().map(|a| key_of(app, *a)).collect();
            let asks = app.agent_runs();
            let word = match actions.contains(&Action::Freeze) {
                false if actions.contains(&Action::Rollback) && !asks => "roll back",
                false => word,
                true if app.live.play.is_some() => "pause",
                true if app.frozen() => "go on",
                true => word,
            };
            (keys.join("/"), word.to_owned())
        })
        .collect();
    let (hints, places) = paint::placed(look, &hints, room.saturating_sub(used));
    let from: usize = spans.iter().map(Span::width).sum();
    for (i, at, cells) in places {
        let Some((actions, _)) = offered.get(i) else {
            continue;
        };
        // The first one's key and the word; then what lies on top of it, the other ones' keys.
        let mut x = from + at;
        let first = actions.first().map(|a| Hit::Act(*a));
        let whole = cells_of(area, x, cells);
        if let Some(hit) = first {
            app.feel.hits.put(whole, hit);
        }
        for action in *actions {
            let wide = text::width(&key_of(app, *action));
            app.feel
                .hits
                .put(cells_of(area, x, wide), Hit::Act(*action));
            x += wide + 1;
        }
    }
    spans.extend(hints);
    paint::line(buf, area, &Line::from(spans), 0, look.glyphs.ellipsis);
    None
}
