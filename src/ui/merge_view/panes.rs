//! The panes of the conflict screen: the three sides, and the result. Only what is visible is drawn.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::diff::text::Side;
use crate::engine::api::{EntryInfo, PickOrigin};
use crate::merge::conflict::ConflictKind;
use crate::merge::resolve::Pick;
use crate::ui::action::Action;
use crate::ui::app::App;
use crate::ui::code;
use crate::ui::draw::key_of;
use crate::ui::paint;
use crate::ui::text;
use crate::ui::theme::Token;

use super::result::{Mark, Shown};
use super::subject::{About, Subject};
use super::{Focus, MergeView};

/// Cells at the right of the result that say where a line comes from.
const GUTTER: u16 = 4;

/// Which side, by its place.
pub(crate) const SIDES: [Focus; 3] = [Focus::Ours, Focus::Base, Focus::Theirs];

fn title_style(active: bool) -> Style {
    if active {
        Style::new().add_modifier(Modifier::BOLD)
    } else {
        Style::new()
    }
}

/// A side's name with its branch and step.
fn side_title(app: &App, view: &MergeView, side: usize, active: bool) -> Vec<Span<'static>> {
    let dim = app.look.theme.style(Token::Dim);
    let word = ["OURS", "BASE", "THEIRS"].get(side).copied().unwrap_or("");
    let mut spans = vec![Span::styled(word, title_style(active))];
    let Some(info) = &view.info else { return spans };
    let at = |r: &crate::engine::api::Resolved| {
        r.step.map_or_else(
            || r.commit.to_hex().chars().take(7).collect(),
            |s| s.to_string(),
        )
    };
    let words = match side {
        0 => format!(" {}@{}", text::one_line(&info.into), at(&info.ours)),
        1 => match info.bases.as_slice() {
            [] => " nothing in common".to_owned(),
            [one] => format!(" {}", at(one)),
            several => format!(" of {}", several.len()),
        },
        _ => format!(" {}@{}", text::one_line(&info.branch), at(&info.theirs)),
    };
    spans.push(Span::styled(words, dim));
    spans
}

/// The text of a side of the part that is looked at; `None` where it is a whole.
fn side_text(view: &MergeView, side: usize) -> Option<&[u8]> {
    let part = view.subject.as_ref()?.part(view.part)?;
    Some(match side {
        0 => &part.sides.ours,
        1 => &part.sides.base,
        _ => &part.sides.theirs,
    })
}

/// Whether a side is what stands in the result.
fn taken(view: &MergeView, side: usize) -> bool {
    let picked = view.subject.as_ref().and_then(|s| s.picked(view.part));
    matches!(
        (picked.map(|(p, _)| p), side),
        (Some(Pick::Ours | Pick::Both), 0)
            | (Some(Pick::Base), 1)
            | (Some(Pick::Theirs | Pick::Both), 2)
    )
}

/// Draws a side.
pub(crate) fn side(
    app: &App,
    view: &MergeView,
    buf: &mut Buffer,
    area: Rect,
    side: usize,
    active: bool,
) {
    let look = &app.look;
    let theme = look.theme;
    let title = side_title(app, view, side, active);
    let action = [Action::MergeOurs, Action::MergeBase, Action::MergeTheirs];
    let action = action.get(side).copied().unwrap_or(Action::MergeOurs);
    let mut bottom = Vec::new();
    if view.subject.is_some() {
        bottom.push(Span::styled(key_of(app, action), theme.style(Token::Key)));
        let word = if taken(view, side) { " taken" } else { " take" };
        let token = if taken(view, side) {
            Token::Good
        } else {
            Token::Dim
        };
        bottom.push(Span::styled(word, theme.style(token)));
        let count = side_text(view, side).map_or(0, |t| memchr::memchr_iter(b'\n', t).count());
        let height = usize::from(area.height.saturating_sub(2));
        if count > height {
            let from = (view.sides.top + 1).min(count);
            let to = (view.sides.top + height).min(count);
            let words = format!("  {from}-{to} of {}", text::grouped(count as u64));
            bottom.push(Span::styled(words, theme.style(Token::Dim)));
        }
    }
    let inner = paint::frame(buf, area, look, active, &title, &bottom);
    let Some(subject) = &view.subject else {
        return;
    };
    let lines: Vec<Line<'static>> = match side_text(view, side) {
        Some(bytes) => side_lines(app, view, subject, bytes, side, usize::from(inner.height)),
        None => entry_lines(
            app,
            subject,
            side,
            usize::from(inner.width).saturating_sub(2),
        ),
    };
    for (y, line) in (inner.y..inner.bottom()).zip(&lines) {
        let place = Rect::new(inner.x, y, inner.width, 1);
        paint::line(buf, place, line, view.sides.left, look.glyphs.ellipsis);
    }
}

/// The visible lines of a side, what differs from the base marked.
fn side_lines(
    app: &App,
    view: &MergeView,
    subject: &Subject,
    bytes: &[u8],
    side: usize,
    height: usize,
) -> Vec<Line<'static>> {
    let look = &app.look;
    let theme = look.theme;
    if bytes.is_empty() {
        let there = match (&subject.about, side) {
            (About::State(_), 1) => "it was not there",
            (About::State(_), _) => "it was removed",
            (About::File(_), _) => "nothing here",
        };
        return vec![Line::from(Span::styled(
            format!(" {there}"),
            theme.style(Token::Dim),
        ))];
    }
    let known = view.words.as_ref().and_then(|(_, w)| w.as_ref());
    let changed = known.and_then(|w| w.changed.get(side));
    // What all lines begin with takes room and says nothing.
    let indent = known.map_or(0, |w| w.indent);
    let (sign, token, kind) = if side == 1 {
        ("-", Token::Removed, Side::Removed)
    } else {
        ("+", Token::Added, Side::Added)
    };
    lines_from(bytes, view.sides.top, height)
        .enumerate()
        .map(|(i, line)| {
            let n = u32::try_from(view.sides.top + i).unwrap_or(u32::MAX);
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let words = changed.and_then(|c| c.get(&n));
            let mut spans = match words {
                Some(_) => vec![Span::styled(sign, theme.style(token))],
                None => vec![Span::raw(" ")],
            };
            let kind = if words.is_some() { kind } else { Side::Both };
            let line = line.get(indent..).unwrap_or_default();
            let words: Vec<_> = words
                .into_iter()
                .flatten()
                .map(|r| r.start.saturating_sub(indent)..r.end.saturating_sub(indent))
                .collect();
            spans.extend(code::code(look, line, &[], &words, kind));
            let tint = if kind == Side::Both {
                Style::new()
            } else {
                theme.line_tint(side != 1)
            };
            Line::from(spans).style(tint)
        })
        .collect()
}

/// Lines of a text from the `top`-th on. Costs a search for line feeds, not a list of lines.
fn lines_from(bytes: &[u8], top: usize, height: usize) -> impl Iterator<Item = &[u8]> {
    let start = match top {
        0 => 0,
        n => memchr::memchr_iter(b'\n', bytes)
            .nth(n - 1)
            .map_or(bytes.len(), |at| at + 1),
    };
    let rest = bytes.get(start..).unwrap_or_default();
    rest.split_inclusive(|b| *b == b'\n').take(height)
}

/// What a side has of something that is no text to be taken apart, in words.
fn entry_lines(app: &App, subject: &Subject, side: usize, width: usize) -> Vec<Line<'static>> {
    let theme = app.look.theme;
    let mut out = Vec::new();
    let mut say = |words: &str, token: Token| {
        for line in text::wrap(words, width) {
            out.push(Line::from(Span::styled(
                format!(" {line}"),
                theme.style(token),
            )));
        }
    };
    match subject.entries.get(side).and_then(Option::as_ref) {
        Some(entry) => {
            say(&entry_words(entry), Token::Text);
            if let Some(target) = &entry.target {
                say(&format!("to {}", text::one_line(target)), Token::Text);
            }
            let mode = entry.mode & 0o7777;
            if entry.kind != "link" {
                let token = if subject.kind == Some(ConflictKind::Mode) {
                    Token::Warn
                } else {
                    Token::Dim
                };
                say(&format!("permissions {mode:o}"), token);
            }
        }
        None if side == 1 => say("it was not there", Token::Dim),
        None => say("deleted", Token::Removed),
    }
    let path = match side {
        0 => subject.paths[0].as_ref(),
        2 => subject.paths[1].as_ref(),
        _ => None,
    };
    if let Some(path) = path {
        say(&format!("as {}", text::path(path)), Token::Warn);
    }
    out
}

/// An entry in words.
fn entry_words(entry: &EntryInfo) -> String {
    match entry.kind.as_str() {
        "file" => format!("file, {}", text::bytes(entry.size)),
        "link" => "symbolic link".to_owned(),
        other => code::kind_word(other),
    }
}

/// What a pick does to something that is taken as a whole.
fn whole_words(subject: &Subject) -> (String, Token) {
    let Some((pick, _)) = subject.picked(0) else {
        let take = "take a side; until then it is as ours has it".to_owned();
        return (take, Token::Warn);
    };
    let of = |side: usize, who: &str| {
        let entry = subject.entries.get(side).and_then(Option::as_ref);
        let name = match side {
            0 => subject.paths[0].as_ref(),
            2 => subject.paths[1].as_ref(),
            _ => None,
        };
        match (entry, name) {
            (None, _) => format!("{who}: it is not there"),
            (Some(entry), _) if subject.kind == Some(ConflictKind::Mode) => {
                format!("{who}: permissions {:o}", entry.mode & 0o7777)
            }
            (Some(_), Some(name)) => format!("{who}: as {}", text::path(name)),
            (Some(entry), None) => format!("{who}: {}", entry_words(entry)),
        }
    };
    let words = match pick {
        Pick::Ours => of(0, "as ours has it"),
        Pick::Theirs => of(2, "as theirs has it"),
        Pick::Base => of(1, "as it was before"),
        Pick::Both if subject.kind == Some(ConflictKind::RenamedTwice) => {
            "both names stay".to_owned()
        }
        Pick::Both => "both: what theirs has comes beside it, under a name of its own".to_owned(),
        Pick::Edited(text) => format!("written: {}", text::bytes(text.len() as u64)),
    };
    (words, Token::Good)
}

/// How the part stands, for the edge of the result.
fn standing(view: &MergeView) -> (String, Token) {
    if view.editor.is_some() {
        return ("being edited".to_owned(), Token::Warn);
    }
    if let Some(n) = view.shown {
        return (format!("proposal {}, not accepted", n + 1), Token::Warn);
    }
    let picked = view.subject.as_ref().and_then(|s| s.picked(view.part));
    let (word, token) = match picked {
        None => ("not settled: ours until then", Token::Warn),
        Some((
            _,
            PickOrigin::Llm {
                reviewed: false, ..
            },
        )) => ("by a model, not reviewed", Token::Warn),
        Some((_, PickOrigin::Llm { .. })) => ("accepted proposal", Token::Good),
        Some((Pick::Ours, _)) => ("ours", Token::Good),
        Some((Pick::Theirs, _)) => ("theirs", Token::Good),
        Some((Pick::Both, _)) => ("both", Token::Good),
        Some((Pick::Base, _)) => ("base", Token::Good),
        Some((Pick::Edited(_), PickOrigin::Markers)) => ("from your editor", Token::Good),
        Some((Pick::Edited(_), _)) => ("edited", Token::Good),
    };
    (word.to_owned(), token)
}

/// Draws the result. Returns where the text cursor is while a part is edited.
pub(crate) fn result(
    app: &App,
    view: &MergeView,
    buf: &mut Buffer,
    area: Rect,
) -> Option<(u16, u16)> {
    let look = &app.look;
    let theme = look.theme;
    let active = view.focus == Focus::Result || view.editor.is_some();
    let mut title = vec![Span::styled("RESULT", title_style(active))];
    let parts = view.subject.as_ref().map_or(0, Subject::len);
    if parts > 1 && view.part < parts {
        let words = format!("  part {} of {parts}", view.part + 1);
        title.push(Span::styled(words, theme.style(Token::Dim)));
    }
    if view.subject.is_some() {
        let (words, token) = standing(view);
        title.push(Span::styled(format!("  ({words})"), theme.style(token)));
    }
    let hints: Vec<(String, String)> = result_hints(app, view);
    let bottom = paint::hints(look, &hints, usize::from(area.width.saturating_sub(6)));
    let inner = paint::frame(buf, area, look, active, &title, &bottom);
    let Some(subject) = &view.subject else {
        let words = match &view.missing {
            Some((_, why)) => why.clone(),
            None => "loading".to_owned(),
        };
        say(app, buf, inner, &words, Token::Dim);
        return None;
    };
    if let Some(editor) = &view.editor {
        return edited(app, editor, buf, inner);
    }
    if subject.is_whole() {
        let (words, token) = whole_words(subject);
        say(app, buf, inner, &words, token);
        return None;
    }
    let digits = view.doc.rows.len().max(100).to_string().len();
    let part = view.doc.parts.get(view.part);
    let text_width = inner.width.saturating_sub(GUTTER);
    for (y, n) in (inner.y..inner.bottom()).zip(view.result.top..) {
        let Some(row) = view.doc.rows.get(n) else {
            break;
        };
        let here = part.is_some_and(|p| p.contains(&n));
        let mark = if here { look.glyphs.cursor } else { " " };
        let (sign, token, kind) = match row.shown {
            Shown::Added => ("+", Token::Added, Side::Added),
            Shown::Removed => ("-", Token::Removed, Side::Removed),
            Shown::Line | Shown::Nothing => (" ", Token::Dim, Side::Both),
        };
        let number = (row.number > 0).then_some(row.number);
        let lead = Line::from(vec![
            Span::styled(mark, theme.style(Token::Focus)),
            Span::styled(code::number(number, digits), theme.style(Token::Dim)),
            Span::styled(format!(" {sign} "), theme.style(token)),
        ]);
        let place = Rect::new(inner.x, y, text_width, 1);
        let used = paint::line(buf, place, &lead, 0, "");
        let place = Rect::new(inner.x + used, y, text_width.saturating_sub(used), 1);
        let line = if row.shown == Shown::Nothing {
            Line::from(Span::styled("nothing stands here", theme.style(Token::Dim)))
        } else {
            let lit = view.light.as_ref().filter(|_| row.number > 0);
            let runs: Vec<_> = lit
                .map(|l| l.line(row.number as usize - 1).collect())
                .unwrap_or_default();
            let none = Vec::new();
            let words = view.doc.words.get(&n).unwrap_or(&none);
            let spans = code::code(look, view.doc.line(row), &runs, words, kind);
            let tint = match row.shown {
                Shown::Added => theme.line_tint(true),
                Shown::Removed => theme.line_tint(false),
                _ => Style::new(),
            };
            Line::from(spans).style(tint)
        };
        paint::line(buf, place, &line, view.result.left, look.glyphs.ellipsis);
        if row.mark != Mark::None {
            let token = match row.mark {
                Mark::Open => Token::Warn,
                Mark::Assist => Token::Foreign,
                Mark::Edited => Token::Label,
                _ => Token::Kind,
            };
            let back = if look.glyphs.cursor == ">" {
                "<-"
            } else {
                "←"
            };
            let words = format!("{back} {}", row.mark.letter());
            let x = inner.right().saturating_sub(GUTTER);
            let place = Rect::new(x, y, GUTTER, 1);
            let line = Line::from(Span::styled(words, theme.style(token)));
            paint::line(buf, place, &line, 0, "");
        }
    }
    None
}

/// What can be done with the result, for its edge.
fn result_hints(app: &App, view: &MergeView) -> Vec<(String, String)> {
    let hint = |action: Action, word: &str| (key_of(app, action), word.to_owned());
    if view.editor.is_some() {
        return vec![
            ("Esc".to_owned(), "take".to_owned()),
            ("Ctrl-z".to_owned(), "undo".to_owned()),
            ("Ctrl-c".to_owned(), "forget".to_owned()),
        ];
    }
    if view.shown.is_some() {
        return vec![
            hint(Action::MergeAccept, "accept"),
            hint(Action::MergeEdit, "edit"),
            hint(Action::MergeDiscard, "discard"),
        ];
    }
    let mut out = Vec::new();
    if view.subject.as_ref().is_some_and(|s| !s.is_whole()) {
        out.push(hint(Action::MergeEdit, "edit"));
        out.push(hint(Action::MergeEditor, "$EDITOR"));
    }
    out
}

/// The part being edited.
fn edited(
    app: &App,
    editor: &super::editor::Editor,
    buf: &mut Buffer,
    inner: Rect,
) -> Option<(u16, u16)> {
    let look = &app.look;
    let dim = look.theme.style(Token::Dim);
    let height = usize::from(inner.height);
    let room = usize::from(inner.width.saturating_sub(2));
    let digits = editor.lines().len().max(10).to_string().len();
    let column = {
        let line = editor
            .lines()
            .get(editor.cursor.row)
            .map_or("", String::as_str);
        let before = line.get(..editor.cursor.at).unwrap_or_default();
        let mut column = 0;
        let shown = text::piece(before.as_bytes(), &mut column);
        text::width(&shown)
    };
    let text_room = room.saturating_sub(digits + 1);
    let left = (column + 1).saturating_sub(text_room.max(1));
    let mut cursor = None;
    let lines = editor.lines().iter().enumerate().skip(editor.top);
    for (y, (n, line)) in (inner.y..inner.bottom()).zip(lines.take(height)) {
        let number = format!("{:>digits$} ", n + 1);
        let at = inner.x + 1;
        let place = Rect::new(at, y, inner.width.saturating_sub(2), 1);
        let used = paint::line(buf, place, &Line::from(Span::styled(number, dim)), 0, "");
        let place = Rect::new(at + used, y, place.width.saturating_sub(used), 1);
        let shown = text::piece(line.as_bytes(), &mut 0);
        paint::line(buf, place, &Line::from(shown), left, look.glyphs.ellipsis);
        if n == editor.cursor.row {
            let x = u16::try_from(column - left.min(column)).unwrap_or(0);
            let x = (place.x + x).min(inner.right().saturating_sub(1));
            cursor = Some((x, y));
        }
    }
    cursor
}

/// Words in a pane.
pub(crate) fn say(app: &App, buf: &mut Buffer, inner: Rect, words: &str, token: Token) {
    let width = usize::from(inner.width.saturating_sub(2));
    let style = app.look.theme.style(token);
    for (y, line) in (inner.y..inner.bottom()).zip(text::wrap(&text::one_line(words), width)) {
        let place = Rect::new(inner.x + 1, y, inner.width.saturating_sub(2), 1);
        let line = Line::from(Span::styled(line, style));
        paint::line(buf, place, &line, 0, app.look.glyphs.ellipsis);
    }
}
