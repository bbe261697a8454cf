//! Lines of files and of differences as styled text.

use std::ops::Range;

use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::diff::text::{DiffLine, Hunk, Side};
use crate::engine::api::{ChangeOp, FileChange};

use super::app::Look;
use super::light::Light;
use super::text;
use super::theme::{Syntax, Token};

/// Longest part of a line that is shown, in bytes.
const MAX_LINE: usize = 4 << 10;

/// The recognised words of both sides, where they are known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lights<'a> {
    pub before: Option<&'a Light>,
    pub after: Option<&'a Light>,
}

impl<'a> Lights<'a> {
    fn runs(self, line: &DiffLine) -> Vec<(Range<usize>, Syntax)> {
        let found = match line.side {
            Side::Removed => self.before.zip(line.before),
            Side::Both | Side::Added => self.after.zip(line.after),
        };
        found
            .map(|(light, n)| light.line(n as usize - 1).collect())
            .unwrap_or_default()
    }
}

/// A line of code: its words in their colours, the changed ones marked.
pub(crate) fn code(
    look: &Look,
    bytes: &[u8],
    runs: &[(Range<usize>, Syntax)],
    words: &[Range<usize>],
    side: Side,
) -> Vec<Span<'static>> {
    let shown = &bytes[..bytes.len().min(MAX_LINE)];
    let shown = match side {
        Side::Both => shown.strip_suffix(b"\r").unwrap_or(shown),
        Side::Added | Side::Removed => shown,
    };
    let mut cuts: Vec<usize> = runs
        .iter()
        .map(|(r, _)| r)
        .chain(words)
        .flat_map(|r| [r.start, r.end])
        .filter(|at| *at <= shown.len())
        .chain([0, shown.len()])
        .collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut column = 0;
    let mut spans: Vec<Span<'static>> = Vec::new();
    for pair in cuts.windows(2) {
        let [start, end] = *pair else { continue };
        let syntax = runs
            .iter()
            .find(|(r, _)| r.contains(&start))
            .map(|(_, s)| *s)
            .unwrap_or_default();
        let mut style = look.theme.syntax(syntax);
        if words.iter().any(|w| w.contains(&start)) {
            style = style.patch(look.theme.word_tint(side == Side::Added));
        }
        let piece = text::piece(&shown[start..end], &mut column);
        match spans.last_mut() {
            Some(last) if last.style == style => last.content.to_mut().push_str(&piece),
            _ => spans.push(Span::styled(piece, style)),
        }
    }
    if bytes.len() > MAX_LINE {
        let more = text::bytes((bytes.len() - MAX_LINE) as u64);
        spans.push(Span::styled(
            format!("{} {more} more", look.glyphs.ellipsis),
            look.theme.style(Token::Dim),
        ));
    }
    spans
}

/// A line's number, right-aligned.
pub(crate) fn number(n: Option<u32>, digits: usize) -> String {
    n.map_or_else(|| " ".repeat(digits), |n| format!("{n:>digits$}"))
}

/// Digits that the line numbers of these hunks take.
pub(crate) fn digits(hunks: &[Hunk]) -> usize {
    let last = hunks.last().map_or(0, |h| h.before.end.max(h.after.end));
    last.max(100).to_string().len()
}

fn side_style(look: &Look, side: Side) -> (&'static str, Style, Style) {
    match side {
        Side::Both => (" ", look.theme.style(Token::Dim), Style::new()),
        Side::Added => (
            "+",
            look.theme.style(Token::Added),
            look.theme.line_tint(true),
        ),
        Side::Removed => (
            "-",
            look.theme.style(Token::Removed),
            look.theme.line_tint(false),
        ),
    }
}

/// A line of a unified difference: number, sign, text.
pub(crate) fn unified(
    look: &Look,
    line: &DiffLine,
    lights: Lights<'_>,
    digits: usize,
) -> Line<'static> {
    let (sign, ink, tint) = side_style(look, line.side);
    let n = match line.side {
        Side::Removed => line.before,
        Side::Both | Side::Added => line.after,
    };
    let mut spans = vec![
        Span::styled(format!("{} ", number(n, digits)), ink),
        Span::styled(format!("{sign} "), ink.add_modifier(Modifier::BOLD)),
    ];
    spans.extend(code(
        look,
        &line.text,
        &lights.runs(line),
        &line.words,
        line.side,
    ));
    if !line.newline && line.side != Side::Both {
        spans.push(Span::styled(
            " (no line feed at the end)",
            look.theme.style(Token::Dim),
        ));
    }
    Line::from(spans).style(tint)
}

/// One half of a side-by-side line; blank where the other side has more lines.
pub(crate) fn half(
    look: &Look,
    line: Option<&DiffLine>,
    lights: Lights<'_>,
    digits: usize,
    left: bool,
) -> Line<'static> {
    let dim = look.theme.style(Token::Frame);
    let bar = if look.glyphs.boxes {
        look.glyphs.lane
    } else {
        " "
    };
    let Some(line) = line else {
        return Line::from(vec![
            Span::raw(" ".repeat(digits)),
            Span::styled(format!(" {bar}"), dim),
        ]);
    };
    let (sign, ink, tint) = side_style(look, line.side);
    let n = if left { line.before } else { line.after };
    let mut spans = vec![
        Span::styled(number(n, digits), ink),
        Span::styled(format!(" {bar} "), dim),
        Span::styled(format!("{sign} "), ink.add_modifier(Modifier::BOLD)),
    ];
    spans.extend(code(
        look,
        &line.text,
        &lights.runs(line),
        &line.words,
        line.side,
    ));
    Line::from(spans).style(tint)
}

/// Whether a hunk needs a line above it: not when it is the beginning of its file, which says so itself.
pub(crate) fn has_heading(hunk: &Hunk) -> bool {
    !hunk.heading.is_empty() || hunk.before.start.max(hunk.after.start) > 0
}

/// The line above a hunk.
pub(crate) fn heading(look: &Look, hunk: &Hunk) -> Line<'static> {
    let dim = look.theme.style(Token::Dim);
    let name = text::piece(&hunk.heading, &mut 0);
    let name = if name.is_empty() {
        format!("line {}", hunk.after.start + 1)
    } else {
        name
    };
    Line::from(vec![
        Span::styled("@@ ", look.theme.style(Token::Kind)),
        Span::styled(name, dim),
    ])
}

/// How many lines a change added and removed, in columns: `+12   -3`.
pub(crate) fn counts(look: &Look, added: u64, removed: u64) -> Vec<Span<'static>> {
    let part = |sign: &str, n: u64, token: Token| {
        let text = if n == 0 {
            String::new()
        } else {
            format!("{sign}{n}")
        };
        Span::styled(format!("{text:>5}"), look.theme.style(token))
    };
    vec![
        part("+", added, Token::Added),
        part("-", removed, Token::Removed),
    ]
}

/// The letter of a change, as in `git status`.
pub(crate) fn letter(op: ChangeOp) -> &'static str {
    match op {
        ChangeOp::Create => "A",
        ChangeOp::Modify => "M",
        ChangeOp::Delete => "D",
        ChangeOp::Mode => "m",
        ChangeOp::Kind => "T",
        ChangeOp::Rename => "R",
    }
}

/// Where such a letter's colour comes from.
pub(crate) fn letter_token(op: ChangeOp) -> Token {
    match op {
        ChangeOp::Create => Token::Added,
        ChangeOp::Delete => Token::Removed,
        ChangeOp::Modify | ChangeOp::Mode | ChangeOp::Kind | ChangeOp::Rename => Token::Warn,
    }
}

/// What is to be said of a change beside (or instead of) its lines.
pub(crate) fn notes(look: &Look, change: &FileChange) -> Vec<String> {
    let mut out = Vec::new();
    let arrow = look.glyphs.arrow;
    if let Some(from) = &change.from {
        out.push(format!("renamed from {}", text::path(from)));
    }
    if let (Some(before), Some(after)) = (&change.before, &change.after) {
        if is_unknown(change) {
            // Said below, once.
        } else if before.kind != after.kind {
            out.push(format!("{} {arrow} {}", before.kind, after.kind));
        } else if before.mode != after.mode {
            out.push(format!(
                "mode {:o} {arrow} {:o}",
                before.mode & 0o7777,
                after.mode & 0o7777
            ));
        }
    }
    let target = |e: &Option<crate::engine::api::EntryInfo>| {
        e.as_ref()
            .and_then(|e| e.target.as_deref())
            .map(text::one_line)
    };
    match (target(&change.before), target(&change.after)) {
        (Some(a), Some(b)) if a != b => out.push(format!("link to {a} {arrow} {b}")),
        (None, Some(b)) => out.push(format!("link to {b}")),
        (Some(a), None) => out.push(format!("was a link to {a}")),
        _ => {}
    }
    let only = change.after.as_ref().or(change.before.as_ref());
    if is_unknown(change) {
        out.push(UNKNOWN.to_owned());
    } else if let Some(entry) = only
        && entry.kind != "file"
        && entry.kind != "link"
        && change.op != ChangeOp::Kind
    {
        let word = match change.op {
            ChangeOp::Create => "new",
            ChangeOp::Delete => "gone",
            ChangeOp::Modify | ChangeOp::Mode | ChangeOp::Kind | ChangeOp::Rename => "changed",
        };
        out.push(format!("{} {word}", kind_word(&entry.kind)));
    }
    out
}

/// What stands for a content that no record tells.
pub(crate) const UNKNOWN: &str = "content not known";

/// Whether one side's content is not known, so that nothing can be compared.
pub(crate) fn is_unknown(change: &FileChange) -> bool {
    [&change.before, &change.after]
        .into_iter()
        .flatten()
        .any(|e| e.kind == "unknown")
}

/// The kind of an entry in words.
pub(crate) fn kind_word(kind: &str) -> String {
    match kind {
        "dir" => "directory".to_owned(),
        "fifo" => "named pipe".to_owned(),
        "unknown" => UNKNOWN.to_owned(),
        other => text::one_line(other),
    }
}

/// What stands for contents that are not compared by lines.
pub(crate) fn sizes(look: &Look, change: &FileChange) -> String {
    let size = |e: &Option<crate::engine::api::EntryInfo>| e.as_ref().map(|e| text::bytes(e.size));
    match (size(&change.before), size(&change.after)) {
        (Some(a), Some(b)) => format!("{a} {} {b}", look.glyphs.arrow),
        (None, Some(b)) => format!("new, {b}"),
        (Some(a), None) => format!("removed, {a}"),
        (None, None) => String::new(),
    }
}
