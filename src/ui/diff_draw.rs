//! Draws the full diff: what it compares, and the selected file's lines with the cursor and the selection in them.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::diff::text::{DiffLine, Side, Space, TextDiff};
use crate::engine::api::{EntryInfo, FileChange};

use super::app::App;
use super::changes::lights;
use super::code;
use super::diff_files;
use super::diff_rows::BodyRow;
use super::diff_view::{DiffView, text_of};
use super::find::Query;
use super::msg::Compared;
use super::paint;
use super::screen;
use super::state_view::{Content, line_at};
use super::text;
use super::theme::Token;

/// Rows that one line takes at most when it is wrapped.
const WRAPPED: usize = 200;

/// What is compared, for the header.
pub(crate) fn title(app: &App, diff: &DiffView) -> Vec<Span<'static>> {
    let theme = app.look.theme;
    let dim = theme.style(Token::Dim);
    let focus = theme.style(Token::Focus);
    let mut spans = vec![Span::styled("DIFF ", dim)];
    match (&diff.pair, diff.step) {
        (Some(pair), _) => {
            spans.push(Span::styled(pair.a.words(), focus));
            let arrow = format!(" {} ", app.look.glyphs.arrow);
            spans.push(Span::styled(arrow, dim));
            spans.push(Span::styled(pair.b.words(), focus));
        }
        (None, Some((_, at))) => spans.push(Span::styled(format!("step {at}"), focus)),
        (None, None) => {
            spans.push(Span::styled("loading", dim));
            return spans;
        }
    }
    let lines = diff.changes.iter().filter_map(|c| c.lines);
    let (added, removed) = lines.fold((0u64, 0u64), |(a, r), (x, y)| {
        (a + u64::from(x), r + u64::from(y))
    });
    let files = text::plural(diff.changes.len() as u64, "file");
    spans.push(Span::styled(
        format!(" {} {files}", app.look.glyphs.separator),
        dim,
    ));
    for (sign, n, token) in [('+', added, Token::Added), ('-', removed, Token::Removed)] {
        if n > 0 {
            let text = format!(" {sign}{}", text::grouped(n));
            spans.push(Span::styled(text, theme.style(token)));
        }
    }
    spans
}

/// How it is shown, for the header.
pub(crate) fn modes(app: &App) -> Vec<Span<'static>> {
    let dim = app.look.theme.style(Token::Dim);
    let mut words = vec![if screen::split(app) {
        "side-by-side"
    } else {
        "unified"
    }];
    if app.diffing.wrap {
        words.push("wrap");
    }
    words.push(match app.diffing.space {
        Space::Show => "ws:show",
        Space::Changes => "ws:ignore changes",
        Space::All => "ws:ignore all",
    });
    let dot = format!(" {} ", app.look.glyphs.dot);
    vec![Span::styled(words.join(&dot), dim)]
}

/// Draws the view.
pub(crate) fn draw(app: &App, diff: &DiffView, buf: &mut Buffer, query: Option<&Query>) {
    let (list, body) = screen::beside(app, diff.in_files);
    if let Some(area) = list {
        diff_files::draw(app, diff, buf, area, query);
    }
    if let Some(area) = body {
        match diff.selected() {
            Some(change) => self::body(app, diff, change, buf, area, query),
            None => {
                let words = match (&diff.pair, diff.step) {
                    (Some(_), _) => "both states are the same",
                    (None, Some(_)) => "this step changed no files",
                    (None, None) => "loading",
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
    let ready = text_of(compared);
    if ready.is_some() {
        for note in code::notes(look, change) {
            title.push(Span::styled(format!("  {note}"), dim));
        }
    }
    let mut bottom = Vec::new();
    if let Some(diff) = ready
        && !diff.hunks.is_empty()
    {
        let mut text = format!("hunk {} of {}", view.hunk() + 1, diff.hunks.len());
        if view.mark.is_some() {
            let rows = view.range();
            let n = rows.end() - rows.start() + 1;
            text.push_str(&format!(
                " {} {} selected",
                look.glyphs.dot,
                text::plural(n as u64, "row")
            ));
        }
        bottom.push(Span::styled(text, dim));
    }
    let inner = paint::frame(buf, area, look, active, &title, &bottom);
    let Some(diff) = ready else {
        return note(app, buf, inner, &instead(app, change, compared));
    };
    if diff.hunks.is_empty() {
        let words = if app.diffing.space == Space::Show {
            "no lines: the file is empty"
        } else {
            "only white space differs: zi shows it"
        };
        return note(app, buf, inner, words);
    }
    let brush = Brush::new(app, view, change, diff, inner.width);
    let chosen = view.range();
    let mut y = inner.y;
    'rows: for (at, row) in view.body.iter().enumerate().skip(view.scroll) {
        for part in 0..brush.parts(*row) {
            if y >= inner.bottom() {
                break 'rows;
            }
            let place = Rect::new(inner.x, y, inner.width, 1);
            brush.draw(*row, part, buf, place);
            if active && chosen.contains(&at) {
                let mark = Line::from(Span::styled(look.glyphs.cursor, theme.style(Token::Focus)));
                let rest = Rect::new(place.x + 1, y, place.width.saturating_sub(1), 1);
                buf.set_style(rest, theme.selection(view.mark.is_some()));
                let first = Rect::new(place.x, y, 1, 1);
                paint::line(buf, first, &mark, 0, "");
            }
            y += 1;
        }
    }
    if active {
        paint::matches(buf, inner, look, query);
    }
}

/// What stands there when no lines can.
fn instead(app: &App, change: &FileChange, compared: Option<&Compared>) -> String {
    let look = &app.look;
    match compared {
        None => code::notes(look, change)
            .first()
            .cloned()
            .unwrap_or_else(|| "no content differs".to_owned()),
        Some(Compared::Waiting) => "comparing".to_owned(),
        Some(Compared::Large) => {
            format!("large ({}): Enter shows it", code::sizes(look, change))
        }
        Some(Compared::Failed(why)) => text::one_line(why),
        Some(Compared::Pictures(a, b)) => pictures(app, change, *a, *b),
        Some(Compared::Ready(diff)) => {
            let what = match diff.outcome {
                crate::diff::text::Outcome::TooLarge => "too large to compare",
                _ => "binary",
            };
            format!("{what} ({})", code::sizes(look, change))
        }
    }
}

/// `<image 400 KB 640x480> -> <image 412 KB 800x600>`.
pub(crate) fn pictures(
    app: &App,
    change: &FileChange,
    before: Option<(usize, usize)>,
    after: Option<(usize, usize)>,
) -> String {
    let side = |entry: &Option<EntryInfo>, size: Option<(usize, usize)>| {
        let entry = entry.as_ref()?;
        let bytes = text::bytes(entry.size);
        Some(match size {
            Some((width, height)) => format!("<image {bytes} {width}x{height}>"),
            None => format!("binary ({bytes})"),
        })
    };
    match (side(&change.before, before), side(&change.after, after)) {
        (Some(a), Some(b)) => format!("{a} {} {b}", app.look.glyphs.arrow),
        (None, Some(b)) => format!("new {b}"),
        (Some(a), None) => format!("removed {a}"),
        (None, None) => String::new(),
    }
}

/// How many rows of the screen a row of the body takes in a pane of that width.
pub(crate) fn height(app: &App, view: &DiffView, row: usize, width: u16) -> usize {
    let found = view.selected().and_then(|change| {
        let diff = text_of(app.compared(change))?;
        let brush = Brush::new(app, view, change, diff, width);
        Some(brush.parts(*view.body.get(row)?))
    });
    found.unwrap_or(1)
}

/// Draws rows of one difference.
struct Brush<'a> {
    app: &'a App,
    view: &'a DiffView,
    diff: &'a TextDiff,
    lights: code::Lights<'a>,
    digits: usize,
    width: u16,
    wrap: bool,
}

/// What stands in a row: what stays when it is scrolled or wrapped, and the rest.
struct Piece {
    head: Line<'static>,
    tail: Vec<Line<'static>>,
    left: usize,
}

impl<'a> Brush<'a> {
    fn new(
        app: &'a App,
        view: &'a DiffView,
        change: &FileChange,
        diff: &'a TextDiff,
        width: u16,
    ) -> Self {
        let mut digits = code::digits(&diff.hunks);
        if view.unfolded.any() {
            let last = diff.before_lines.max(diff.after_lines).max(100);
            digits = last.to_string().len();
        }
        Self {
            app,
            view,
            diff,
            lights: lights(app, change),
            digits,
            width,
            wrap: app.diffing.wrap,
        }
    }

    fn half(&self) -> u16 {
        self.width / 2
    }

    /// One line, or its two halves, with the width of each.
    fn pieces(&self, row: BodyRow) -> Vec<(Piece, u16, u16)> {
        let look = &self.app.look;
        let full = self.width;
        match row {
            BodyRow::Gap(_, n) => {
                let words = format!(
                    "{} {}",
                    look.glyphs.dot.repeat(self.digits),
                    text::plural(n as u64, "unchanged line")
                );
                let line = Line::from(Span::styled(words, look.theme.style(Token::Frame)));
                vec![(whole(line), 0, full)]
            }
            BodyRow::Heading(h) => match self.diff.hunks.get(h) {
                Some(hunk) => vec![(whole(code::heading(look, hunk)), 0, full)],
                None => Vec::new(),
            },
            BodyRow::Line(h, i) => {
                let line = self.diff.hunks.get(h).and_then(|h| h.lines.get(i));
                let line = line.map(|l| code::unified(look, l, self.lights, self.digits));
                let piece = line.map(|line| self.piece(line, 2, full));
                piece.into_iter().map(|p| (p, 0, full)).collect()
            }
            BodyRow::Pair(h, left, right) => {
                let lines = self.diff.hunks.get(h).map(|h| &h.lines);
                let find = |i: Option<usize>| lines.zip(i).and_then(|(l, i)| l.get(i));
                self.halves(find(left), find(right))
            }
            BodyRow::Plain(old, new) => self.plain(old, new),
        }
    }

    fn halves(&self, left: Option<&DiffLine>, right: Option<&DiffLine>) -> Vec<(Piece, u16, u16)> {
        let look = &self.app.look;
        let half = self.half();
        let sides = [
            (left, 0, half, true),
            (right, half, self.width - half, false),
        ];
        sides
            .into_iter()
            .map(|(line, at, width, is_left)| {
                let line = code::half(look, line, self.lights, self.digits, is_left);
                (self.piece(line, 3, width), at, width)
            })
            .collect()
    }

    /// A line that is in no hunk: it is the same on both sides.
    fn plain(&self, old: usize, new: usize) -> Vec<(Piece, u16, u16)> {
        let number = |n: usize| u32::try_from(n + 1).ok();
        let text = match &self.view.content {
            Some((_, Content::Ready(bytes, starts))) => line_at(bytes, starts, new),
            _ => None,
        };
        let line = DiffLine {
            side: Side::Both,
            before: number(old),
            after: number(new),
            text: text.unwrap_or_default().to_vec(),
            newline: true,
            words: Vec::new(),
        };
        if screen::split(self.app) {
            return self.halves(Some(&line), Some(&line));
        }
        let line = code::unified(&self.app.look, &line, self.lights, self.digits);
        vec![(self.piece(line, 2, self.width), 0, self.width)]
    }

    /// A line whose first spans stay.
    fn piece(&self, line: Line<'static>, fixed: usize, width: u16) -> Piece {
        let at = fixed.min(line.spans.len());
        let (head, tail) = line.spans.split_at(at);
        let head = Line::from(head.to_vec()).style(line.style);
        let room = usize::from(width).saturating_sub(head.width() + 2).max(8);
        let tail = if self.wrap {
            paint::wrapped(tail, room, WRAPPED)
        } else {
            vec![Line::from(tail.to_vec())]
        };
        let tail = tail.into_iter().map(|t| t.style(line.style)).collect();
        Piece {
            head,
            tail,
            left: if self.wrap { 0 } else { self.view.left },
        }
    }

    /// Rows of the screen.
    fn parts(&self, row: BodyRow) -> usize {
        if !self.wrap {
            return 1;
        }
        let pieces = self.pieces(row);
        let most = pieces.iter().map(|(p, ..)| p.tail.len()).max();
        most.unwrap_or(1).max(1)
    }

    fn draw(&self, row: BodyRow, part: usize, buf: &mut Buffer, place: Rect) {
        let cut = self.app.look.glyphs.ellipsis;
        for (piece, at, width) in self.pieces(row) {
            let area = Rect::new(place.x + at, place.y, width, 1);
            let style = piece.head.style;
            buf.set_style(area, style);
            let inside = Rect::new(area.x + 1, area.y, area.width.saturating_sub(2), 1);
            let used = u16::try_from(piece.head.width()).unwrap_or(0);
            if part == 0 {
                paint::line(buf, inside, &piece.head, 0, "");
            }
            let rest = Rect::new(
                inside.x + used.min(inside.width),
                inside.y,
                inside.width.saturating_sub(used),
                1,
            );
            if let Some(tail) = piece.tail.get(part) {
                paint::line(buf, rest, tail, piece.left, cut);
            }
        }
    }
}

fn whole(line: Line<'static>) -> Piece {
    Piece {
        head: Line::default(),
        tail: vec![line],
        left: 0,
    }
}
