//! The one way from somebody's bytes to cells on the screen.
//!
//! Titles, outputs, file names and file contents come from agents and are hostile until they have been through here.
//! What comes out holds no control character, no bidirectional or invisible character, at most two combining marks on
//! a letter, and its width is known: one cell or two for a character, never an argument with the terminal about it.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};

use unicode_width::UnicodeWidthChar;

use crate::model::{RepoPath, neutral};

/// Columns between tab stops: one for the whole program, since texts are set out in many places.
static TAB: AtomicUsize = AtomicUsize::new(4);

/// Sets the columns between tab stops.
pub(crate) fn set_tab(columns: u8) {
    TAB.store(usize::from(columns.max(1)), Ordering::Relaxed);
}

/// Most combining marks that are kept on one character.
const MAX_MARKS: usize = 2;

/// Cells a cleaned character takes.
pub(crate) fn char_width(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// Cells a cleaned text takes.
pub(crate) fn width(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    text.chars().map(char_width).sum()
}

/// Cleans a piece of a longer line. `column` is where it begins and is moved on, so that tabs meet their stops.
pub(crate) fn piece(bytes: &[u8], column: &mut usize) -> String {
    if bytes.iter().all(|b| (0x20..0x7f).contains(b)) {
        *column += bytes.len();
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut out = String::with_capacity(bytes.len() + 8);
    let mut marks = usize::from(*column == 0) * MAX_MARKS;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let before = out.len();
            clean_char(c, *column, &mut marks, &mut out);
            *column += width(out.get(before..).unwrap_or_default());
        }
        if !chunk.invalid().is_empty() {
            let shown = neutral(chunk.invalid());
            *column += shown.len();
            marks = 0;
            out.push_str(&shown);
        }
    }
    out
}

fn clean_char(c: char, column: usize, marks: &mut usize, out: &mut String) {
    match c {
        '\t' => {
            let tab = TAB.load(Ordering::Relaxed);
            out.extend(std::iter::repeat_n(' ', tab - column % tab));
            *marks = 0;
        }
        // Variation selectors and skin tones change how wide an emoji is, differently on every terminal.
        '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}' => {}
        // Pairs of regional indicators make a flag on some terminals only: their letters say the same everywhere.
        '\u{1f1e6}'..='\u{1f1ff}' => {
            let letter = u8::try_from(c as u32 - 0x1f1e6).unwrap_or(0) + b'A';
            out.push(char::from(letter));
            *marks = 0;
        }
        c if is_blank_or_format(c) => {
            out.push_str(&format!("\\u{{{:x}}}", c as u32));
            *marks = 0;
        }
        c if !c.is_control() && char_width(c) == 0 => {
            let mut buffer = [0; 4];
            let shown = neutral(c.encode_utf8(&mut buffer).as_bytes());
            if shown.len() > c.len_utf8() {
                out.push_str(&shown);
                *marks = 0;
            } else if *marks < MAX_MARKS {
                out.push(c);
                *marks += 1;
            } else if column == 0 {
                out.push_str(&format!("\\u{{{:x}}}", c as u32));
                *marks = 0;
            }
        }
        c => {
            let mut buffer = [0; 4];
            out.push_str(&neutral(c.encode_utf8(&mut buffer).as_bytes()));
            *marks = 0;
        }
    }
}

/// Characters that look like nothing or steer the ones beside them, beyond those that [`neutral`] knows.
fn is_blank_or_format(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{2061}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{ffa0}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0100}'..='\u{e01ef}'
    )
}

/// A text as one line: runs of white space become one blank, the rest is cleaned.
pub(crate) fn one_line(text: &str) -> String {
    let mut joined = String::with_capacity(text.len().min(512));
    for (i, word) in text
        .split([' ', '\t', '\n', '\r'])
        .filter(|w| !w.is_empty())
        .enumerate()
    {
        if i > 0 {
            joined.push(' ');
        }
        joined.push_str(word);
        // Nothing on a screen is longer.
        if joined.len() > 4096 {
            break;
        }
    }
    piece(joined.as_bytes(), &mut 0)
}

/// A path, cleaned.
pub(crate) fn path(path: &RepoPath) -> String {
    piece(path.as_bytes(), &mut 0)
}

/// A cleaned text cut to `cells`, with `mark` as its last character where something is missing.
pub(crate) fn clip<'a>(text: &'a str, cells: usize, mark: &str) -> Cow<'a, str> {
    if width(text) <= cells {
        return Cow::Borrowed(text);
    }
    let room = cells.saturating_sub(width(mark));
    let mut used = 0;
    let mut end = 0;
    for (i, c) in text.char_indices() {
        let w = char_width(c);
        if used + w > room {
            break;
        }
        used += w;
        end = i + c.len_utf8();
    }
    let mut out = text.get(..end).unwrap_or_default().to_owned();
    if width(mark) <= cells {
        out.push_str(mark);
    }
    Cow::Owned(out)
}

/// Cut like [`clip`], but at the beginning: of a path the end says more.
pub(crate) fn clip_start<'a>(text: &'a str, cells: usize, mark: &str) -> Cow<'a, str> {
    if width(text) <= cells {
        return Cow::Borrowed(text);
    }
    let room = cells.saturating_sub(width(mark));
    let mut used = 0;
    let mut start = text.len();
    for (i, c) in text.char_indices().rev() {
        let w = char_width(c);
        if used + w > room {
            break;
        }
        used += w;
        start = i;
    }
    Cow::Owned(format!("{mark}{}", text.get(start..).unwrap_or_default()))
}

/// Breaks a cleaned text into lines of at most `cells`, at blanks where it can.
pub(crate) fn wrap(text: &str, cells: usize) -> Vec<String> {
    let cells = cells.max(4);
    let mut out = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        let solid = word.trim_end_matches(' ');
        if used > 0 && used + width(solid) > cells {
            out.push(std::mem::take(&mut line).trim_end().to_owned());
            used = 0;
        }
        for c in word.chars() {
            let w = char_width(c);
            if used + w > cells {
                if c == ' ' {
                    continue;
                }
                out.push(std::mem::take(&mut line).trim_end().to_owned());
                used = 0;
            }
            line.push(c);
            used += w;
        }
    }
    if !line.trim_end().is_empty() || out.is_empty() {
        out.push(line.trim_end().to_owned());
    }
    out
}

/// The lines of a longer text, cleaned; at most `limit` of them.
pub(crate) fn clean_lines(text: &str, limit: usize) -> Vec<String> {
    text.lines()
        .take(limit)
        .map(|line| piece(line.as_bytes(), &mut 0))
        .collect()
}

/// What a program printed, as it would stand on its terminal: colours are dropped, and of a line that was written over
/// (a progress bar) the last state is kept. Everything else that is not text stays visible.
pub(crate) fn printed_lines(text: &str, limit: usize) -> Vec<String> {
    text.split('\n')
        .take(limit)
        .map(|line| {
            let line = line.strip_suffix('\r').unwrap_or(line);
            let line = line.rsplit('\r').next().unwrap_or(line);
            piece(without_colours(line).as_bytes(), &mut 0)
        })
        .collect()
}

/// Drops `ESC [ ... m` (colours) and `ESC [ K` (erase to the end of the line); nothing else.
fn without_colours(line: &str) -> Cow<'_, str> {
    if !line.contains('\x1b') {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("\x1b[") {
        let (before, sequence) = rest.split_at(at);
        out.push_str(before);
        let tail = &sequence[2..];
        let end = tail
            .find(|c: char| !c.is_ascii_digit() && c != ';')
            .unwrap_or(tail.len());
        if tail[end..].starts_with(['m', 'K']) {
            rest = &tail[end + 1..];
        } else {
            out.push_str("\x1b[");
            rest = tail;
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A length in bytes for people.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut scaled = n;
    let mut unit = "KB";
    let mut rest = 0;
    for name in UNITS {
        unit = name;
        rest = scaled % 1000;
        scaled /= 1000;
        if scaled < 1000 {
            break;
        }
    }
    if scaled < 10 {
        format!("{scaled}.{} {unit}", rest / 100)
    } else {
        format!("{scaled} {unit}")
    }
}

/// `1 file`, `2 files`.
pub(crate) fn plural(n: u64, one: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {one}{s}", grouped(n))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn clean(s: &str) -> String {
        piece(s.as_bytes(), &mut 0)
    }

    #[test]
    fn hostile_text_becomes_visible() {
        assert_eq!(clean("\x1b]0;owned\x07"), "\\x1b]0;owned\\x07");
        assert_eq!(clean("a\u{202e}b\u{200d}c"), "a\\u{202e}b\\u{200d}c");
        assert_eq!(clean("\u{301}x"), "\\u{301}x");
        assert_eq!(clean("soft\u{ad}hyphen"), "soft\\u{ad}hyphen");
        let zalgo = format!("a{}", "\u{301}".repeat(50));
        assert_eq!(clean(&zalgo), "a\u{301}\u{301}");
        assert_eq!(clean("🇩🇪 👍🏽 ❤️"), "DE 👍 ❤");
        assert_eq!(piece(b"a\xffb", &mut 0), "a\\xffb");
    }

    #[test]
    fn tabs_meet_their_stops() {
        assert_eq!(clean("\ta\tbc\td"), "    a   bc  d");
        let mut column = 0;
        let a = piece(b"ab", &mut column);
        let b = piece(b"\tc", &mut column);
        assert_eq!(a + &b, "ab  c");
        assert_eq!(column, 5);
    }

    #[test]
    fn wide_characters_are_cut_whole() {
        assert_eq!(clip("日本語のタイトル", 7, "…"), "日本語…");
        assert_eq!(width(&clip("日本語のタイトル", 8, "…")), 7);
        assert_eq!(clip("abc", 3, "…"), "abc");
        assert_eq!(clip("abcd", 1, "…"), "…");
        assert_eq!(clip("abcd", 0, "…"), "");
        assert_eq!(clip_start("src/auth/token.rs", 10, "…"), "…/token.rs");
    }

    #[test]
    fn lines_are_broken_at_blanks() {
        assert_eq!(wrap("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("", 10), [""]);
        assert_eq!(wrap("ab  cd", 4), ["ab", "cd"]);
    }

    #[test]
    fn printed_text_stands_as_on_a_terminal() {
        assert_eq!(
            printed_lines(
                "\x1b[1;31merror\x1b[0m: no\r\n10%\r50%\r100%\x1b[K\nx\x1b[2J",
                10
            ),
            ["error: no", "100%", "x\\x1b[2J"]
        );
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(12), "12");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(2_100), "2.1 KB");
        assert_eq!(bytes(412_000), "412 KB");
        assert_eq!(bytes(3_000_000_000), "3.0 GB");
    }

    proptest! {
        #[test]
        fn nothing_that_acts_on_a_terminal_comes_through(s in "\\PC*|.*") {
            let out = clean(&s);
            for c in out.chars() {
                prop_assert!(!c.is_control(), "{c:?} in {out:?}");
                let steers = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
                prop_assert!(!steers, "{c:?}");
            }
        }

        #[test]
        fn a_clipped_text_fits(s in ".*", cells in 0usize..40) {
            let out = clean(&s);
            prop_assert!(width(&clip(&out, cells, "…")) <= cells);
            for line in wrap(&out, cells.max(4)) {
                prop_assert!(width(&line) <= cells.max(4));
            }
        }
    }
}
