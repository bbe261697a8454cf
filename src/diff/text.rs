//! Line differences of two file contents: hunks with context, words that changed within a line, line counts.
//!
//! Pure functions over bytes. Nothing here assumes UTF-8: lines and words are byte ranges, and drawing decides how odd
//! bytes look. Every entry point is bounded (size caps, a deadline), so that a hostile file costs time in proportion to
//! the caps and never more. A difference cut short by its deadline is still correct, only not the shortest one.

use std::borrow::Cow;
use std::ops::Range;
use std::time::{Duration, Instant};

use similar::{DiffOp, DiffTag, group_diff_ops};

use super::{ops, words};

/// Longest content that is compared, in bytes; beyond it [`Outcome::TooLarge`] is answered.
pub const MAX_BYTES: usize = 16 << 20;

/// How long all comparisons of words in one file may take together.
const WORD_TIME: Duration = Duration::from_millis(60);

/// Longest heading kept of a hunk, in bytes.
const MAX_HEADING: usize = 200;

/// Whether the contents could be compared by lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Compared; no hunks means equal.
    Text,
    /// At least one side holds a NUL byte near its beginning.
    Binary,
    /// At least one side is longer than [`MAX_BYTES`].
    TooLarge,
}

/// What differs between two contents, by lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextDiff {
    /// Whether they could be compared.
    pub outcome: Outcome,
    /// In order; never overlapping.
    pub hunks: Vec<Hunk>,
    /// Lines added in all.
    pub added: u32,
    /// Lines removed in all.
    pub removed: u32,
    /// Lines in the old content.
    pub before_lines: usize,
    /// Lines in the new content.
    pub after_lines: usize,
}

/// A run of changes with the lines around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// Which lines of the old content it covers, from 0.
    pub before: Range<usize>,
    /// Which lines of the new content it covers, from 0.
    pub after: Range<usize>,
    /// The nearest line above that begins a function, a section, ...; empty when none was found.
    pub heading: Vec<u8>,
    /// The lines in reading order.
    pub lines: Vec<DiffLine>,
}

/// On which side a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// On both.
    Both,
    /// Only in the old content.
    Removed,
    /// Only in the new content.
    Added,
}

/// One line of a hunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffLine {
    /// On which side it is.
    pub side: Side,
    /// Its number in the old content, from 1.
    pub before: Option<u32>,
    /// Its number in the new content, from 1.
    pub after: Option<u32>,
    /// Its bytes without the line feed.
    pub text: Vec<u8>,
    /// Whether a line feed follows (only a last line may lack it).
    pub newline: bool,
    /// Byte ranges of `text` whose words differ from the other side; empty when the line as a whole is new or gone.
    pub words: Vec<Range<usize>>,
}

/// Which differences of white space count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Space {
    /// All.
    #[default]
    Show,
    /// Not how much of it there is between words, nor at the end of a line.
    Changes,
    /// None.
    All,
}

impl Space {
    /// A line as it is compared.
    fn of(self, line: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Show => Cow::Borrowed(line),
            Self::Changes => {
                let end = line.trim_ascii_end();
                let mut out = Vec::with_capacity(end.len());
                for byte in end {
                    match (byte.is_ascii_whitespace(), out.last()) {
                        (true, Some(b' ')) => {}
                        (true, _) => out.push(b' '),
                        (false, _) => out.push(*byte),
                    }
                }
                Cow::Owned(out)
            }
            Self::All => {
                let kept = line.iter().filter(|b| !b.is_ascii_whitespace());
                Cow::Owned(kept.copied().collect())
            }
        }
    }
}

/// Whether `content` is shown as bytes rather than as lines: a NUL within its first 8,000 bytes, as git has it.
#[must_use]
pub fn is_binary(content: &[u8]) -> bool {
    content[..content.len().min(8000)].contains(&0)
}

/// The lines of `content`, each with its line feed.
#[must_use]
pub fn lines(content: &[u8]) -> Vec<&[u8]> {
    content.split_inclusive(|b| *b == b'\n').collect()
}

fn outcome(before: &[u8], after: &[u8]) -> Outcome {
    if before.len() > MAX_BYTES || after.len() > MAX_BYTES {
        Outcome::TooLarge
    } else if is_binary(before) || is_binary(after) {
        Outcome::Binary
    } else {
        Outcome::Text
    }
}

/// Compares two contents; each hunk carries `context` unchanged lines on either side where there are so many.
#[must_use]
pub fn hunks(before: &[u8], after: &[u8], context: usize) -> TextDiff {
    hunks_with(before, after, context, Space::Show)
}

/// The same; lines that differ in white space that does not count are unchanged, and stand there as they are now.
#[must_use]
pub fn hunks_with(before: &[u8], after: &[u8], context: usize, space: Space) -> TextDiff {
    let mut diff = TextDiff {
        outcome: outcome(before, after),
        hunks: Vec::new(),
        added: 0,
        removed: 0,
        before_lines: 0,
        after_lines: 0,
    };
    if diff.outcome != Outcome::Text {
        return diff;
    }
    let old = lines(before);
    let new = lines(after);
    diff.before_lines = old.len();
    diff.after_lines = new.len();
    let ops = if space == Space::Show {
        ops::of_lines(&old, &new)
    } else {
        let as_compared = |lines: &[&[u8]]| -> Vec<Vec<u8>> {
            lines.iter().map(|l| space.of(l).into_owned()).collect()
        };
        let (a, b) = (as_compared(&old), as_compared(&new));
        let a: Vec<&[u8]> = a.iter().map(Vec::as_slice).collect();
        let b: Vec<&[u8]> = b.iter().map(Vec::as_slice).collect();
        ops::of_lines(&a, &b)
    };
    (diff.added, diff.removed) = totals(&ops);
    let until = Instant::now() + WORD_TIME;
    diff.hunks = group_diff_ops(ops, context)
        .iter()
        .map(|group| hunk(group, &old, &new, until))
        .collect();
    diff
}

/// The runs of lines that both have, in order: where each begins in the old and in the new, and how many lines it has.
#[must_use]
pub fn equal_runs(old: &[&[u8]], new: &[&[u8]]) -> Vec<(usize, usize, usize)> {
    ops::of_lines(old, new)
        .iter()
        .filter(|op| op.tag() == DiffTag::Equal)
        .map(|op| {
            (
                op.old_range().start,
                op.new_range().start,
                op.new_range().len(),
            )
        })
        .collect()
}

/// Lines added and removed; `None` where the contents are not compared by lines.
#[must_use]
pub fn count(before: &[u8], after: &[u8]) -> Option<(u32, u32)> {
    if outcome(before, after) != Outcome::Text {
        return None;
    }
    if before == after {
        return Some((0, 0));
    }
    Some(totals(&ops::of_lines(&lines(before), &lines(after))))
}

/// The difference in the unified format that `patch` and people read; empty when the contents are equal.
///
/// `old_name` and `new_name` are the words after `---` and `+++`, as they are to be shown; the lines keep their bytes.
#[must_use]
pub fn unified(
    before: &[u8],
    after: &[u8],
    old_name: &str,
    new_name: &str,
    context: usize,
) -> Vec<u8> {
    if before == after {
        return Vec::new();
    }
    let diff = hunks(before, after, context);
    match diff.outcome {
        Outcome::Text => {}
        Outcome::Binary => {
            return format!("Binary files {old_name} and {new_name} differ\n").into_bytes();
        }
        Outcome::TooLarge => {
            return format!("Files {old_name} and {new_name} differ (too large to compare)\n")
                .into_bytes();
        }
    }
    let mut out = format!("--- {old_name}\n+++ {new_name}\n").into_bytes();
    for hunk in &diff.hunks {
        let header = format!(
            "@@ -{} +{} @@",
            unified_range(&hunk.before),
            unified_range(&hunk.after)
        );
        out.extend_from_slice(header.as_bytes());
        if !hunk.heading.is_empty() {
            out.push(b' ');
            out.extend_from_slice(&hunk.heading);
        }
        out.push(b'\n');
        for line in &hunk.lines {
            out.push(match line.side {
                Side::Both => b' ',
                Side::Removed => b'-',
                Side::Added => b'+',
            });
            out.extend_from_slice(&line.text);
            out.push(b'\n');
            if !line.newline {
                out.extend_from_slice(b"\\ No newline at end of file\n");
            }
        }
    }
    out
}

/// `start,len` as the unified format wants it: an empty range names the line before it.
fn unified_range(range: &Range<usize>) -> String {
    match range.len() {
        0 => format!("{},0", range.start),
        1 => format!("{}", range.start + 1),
        len => format!("{},{len}", range.start + 1),
    }
}

fn totals(ops: &[DiffOp]) -> (u32, u32) {
    let mut added = 0;
    let mut removed = 0;
    for op in ops {
        if op.tag() != DiffTag::Equal {
            added += op.new_range().len();
            removed += op.old_range().len();
        }
    }
    (small(added), small(removed))
}

fn small(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn hunk(group: &[DiffOp], old: &[&[u8]], new: &[&[u8]], until: Instant) -> Hunk {
    let span = |range: fn(&DiffOp) -> Range<usize>| {
        let start = group.first().map_or(0, |op| range(op).start);
        let end = group.last().map_or(0, |op| range(op).end);
        start..end
    };
    let before = span(|op| op.old_range());
    let after = span(|op| op.new_range());
    let mut out = Vec::new();
    for op in group {
        let (tag, o, n) = op.as_tag_tuple();
        if tag == DiffTag::Equal {
            for (i, j) in o.zip(n) {
                out.push(diff_line(Side::Both, Some(i), Some(j), new[j], Vec::new()));
            }
            continue;
        }
        let (old_words, new_words) = if tag == DiffTag::Replace && Instant::now() < until {
            words::changed(&old[o.clone()], &new[n.clone()], until)
        } else {
            (Vec::new(), Vec::new())
        };
        let take = |words: &Vec<Vec<Range<usize>>>, i: usize| words.get(i).cloned();
        for (k, i) in o.enumerate() {
            let words = take(&old_words, k).unwrap_or_default();
            out.push(diff_line(Side::Removed, Some(i), None, old[i], words));
        }
        for (k, j) in n.enumerate() {
            let words = take(&new_words, k).unwrap_or_default();
            out.push(diff_line(Side::Added, None, Some(j), new[j], words));
        }
    }
    Hunk {
        heading: heading(old, first_change(group)),
        before,
        after,
        lines: out,
    }
}

/// The old line before which the first change of a hunk lies: what encloses it names the hunk, even where it begins
/// within the lines around the change.
fn first_change(group: &[DiffOp]) -> usize {
    group
        .iter()
        .find(|op| op.tag() != DiffTag::Equal)
        .map_or(0, |op| op.old_range().start)
}

fn diff_line(
    side: Side,
    before: Option<usize>,
    after: Option<usize>,
    line: &[u8],
    words: Vec<Range<usize>>,
) -> DiffLine {
    let (text, newline) = match line.strip_suffix(b"\n") {
        Some(text) => (text, true),
        None => (line, false),
    };
    DiffLine {
        side,
        before: before.map(|i| small(i + 1)),
        after: after.map(|i| small(i + 1)),
        text: text.to_vec(),
        newline,
        words,
    }
}

/// The nearest line before `start` that is not indented and begins with a letter, `_`, `$` or `#`: as git shows after
/// the second `@@`. Indented function heads are taken too, where nothing further left is near.
fn heading(lines: &[&[u8]], start: usize) -> Vec<u8> {
    let opens = |line: &[u8]| {
        line.first()
            .is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'$' | b'#'))
    };
    let found = lines[..start.min(lines.len())]
        .iter()
        .rev()
        .take(2000)
        .find(|line| opens(line) || is_function_head(line));
    let Some(line) = found else {
        return Vec::new();
    };
    let line = line.trim_ascii();
    let line = line.strip_suffix(b"{").unwrap_or(line).trim_ascii_end();
    let mut end = line.len().min(MAX_HEADING);
    while end > 0 && end < line.len() && (line[end] & 0xc0) == 0x80 {
        end -= 1;
    }
    line[..end].to_vec()
}

fn is_function_head(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    let words: [&[u8]; 8] = [
        b"fn ",
        b"pub fn ",
        b"async fn ",
        b"pub async fn ",
        b"def ",
        b"async def ",
        b"func ",
        b"function ",
    ];
    words.iter().any(|w| line.starts_with(w))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn shown(before: &str, after: &str) -> String {
        String::from_utf8(unified(
            before.as_bytes(),
            after.as_bytes(),
            "a/f",
            "b/f",
            3,
        ))
        .unwrap()
    }

    /// Applies the hunks to `before`: what must come out is `after`.
    fn applied(before: &[u8], diff: &TextDiff) -> Vec<u8> {
        let old = lines(before);
        let mut out = Vec::new();
        let mut at = 0;
        for hunk in &diff.hunks {
            for line in &old[at..hunk.before.start] {
                out.extend_from_slice(line);
            }
            for line in &hunk.lines {
                if line.side != Side::Removed {
                    out.extend_from_slice(&line.text);
                    if line.newline {
                        out.push(b'\n');
                    }
                }
            }
            at = hunk.before.end;
        }
        for line in &old[at..] {
            out.extend_from_slice(line);
        }
        out
    }

    #[test]
    fn white_space_counts_as_far_as_it_is_asked_for() {
        let before = b"fn a() {\n  x = 1;\n  y(a, b);\n}\n";
        let after = b"fn a() {\n    x = 1;\t\r\n  y(a,b);\n}\n";
        let changed = |space| {
            let diff = hunks_with(before, after, 3, space);
            (diff.added, diff.removed)
        };
        assert_eq!(changed(Space::Show), (2, 2));
        assert_eq!(changed(Space::Changes), (1, 1));
        assert_eq!(changed(Space::All), (0, 0));
        // What is unchanged so stands there as it is now.
        let diff = hunks_with(before, after, 3, Space::Changes);
        let kept: Vec<&[u8]> = diff.hunks[0]
            .lines
            .iter()
            .filter(|l| l.side == Side::Both)
            .map(|l| l.text.as_slice())
            .collect();
        assert_eq!(kept, [&b"fn a() {"[..], b"    x = 1;\t\r", b"}"]);
    }

    #[test]
    fn unified_reads_like_git() {
        let before = "fn is_expired(&self) -> bool {\n    let now = clock.now_ms();\n    if self.exp < now {\n        return true;\n    }\n    false\n}\n";
        let after = before.replace(
            "    if self.exp < now {\n",
            "    let exp = self.exp * 1000;\n    if exp < now {\n",
        );
        assert_eq!(
            shown(before, &after),
            "--- a/f\n+++ b/f\n@@ -1,6 +1,7 @@ fn is_expired(&self) -> bool\n fn is_expired(&self) -> bool {\n     let now = clock.now_ms();\n-    if self.exp < now {\n+    let exp = self.exp * 1000;\n+    if exp < now {\n         return true;\n     }\n     false\n"
        );
    }

    #[test]
    fn headings_and_ranges() {
        let body: String = (0..20).map(|i| format!("    line {i}\n")).collect();
        let before = format!("fn long() {{\n{body}}}\n");
        let after = before.replace("line 15", "line fifteen");
        let text = shown(&before, &after);
        assert!(text.contains("@@ -14,7 +14,7 @@ fn long()\n"), "{text}");
        assert!(shown("", "a\nb\n").contains("@@ -0,0 +1,2 @@\n"));
        assert!(shown("a\n", "").contains("@@ -1 +0,0 @@\n"));
    }

    #[test]
    fn missing_final_line_feed_is_said() {
        assert!(shown("a\nb", "a\nb\n").ends_with("-b\n\\ No newline at end of file\n+b\n"));
    }

    #[test]
    fn an_added_function_begins_with_its_head() {
        let before = "fn a() {\n    one();\n}\n\nfn c() {\n    three();\n}\n";
        let after =
            "fn a() {\n    one();\n}\n\nfn b() {\n    two();\n}\n\nfn c() {\n    three();\n}\n";
        let diff = hunks(before.as_bytes(), after.as_bytes(), 1);
        let added: Vec<_> = diff.hunks[0]
            .lines
            .iter()
            .filter(|l| l.side == Side::Added)
            .map(|l| String::from_utf8_lossy(&l.text).into_owned())
            .collect();
        assert_eq!(added, ["fn b() {", "    two();", "}", ""]);
    }

    #[test]
    fn counts_and_binaries() {
        assert_eq!(count(b"a\nb\n", b"a\nc\nd\n"), Some((2, 1)));
        assert_eq!(count(b"same\n", b"same\n"), Some((0, 0)));
        assert_eq!(count(b"", b"x"), Some((1, 0)));
        assert_eq!(count(b"a\0b", b"a"), None);
        assert_eq!(hunks(b"\0", b"x", 3).outcome, Outcome::Binary);
        assert_eq!(
            unified(b"\0", b"x", "a", "b", 3),
            b"Binary files a and b differ\n"
        );
        let big = vec![b'x'; MAX_BYTES + 1];
        assert_eq!(hunks(&big, b"x", 3).outcome, Outcome::TooLarge);
        assert_eq!(count(&big, b"x"), None);
    }

    #[test]
    fn pathological_input_ends_in_time() {
        let a: Vec<u8> = (0..60_000u32)
            .flat_map(|i| format!("{}\n", i.wrapping_mul(2_654_435_761) % 97).into_bytes())
            .collect();
        let b: Vec<u8> = (0..60_000u32)
            .flat_map(|i| format!("{}\n", i.wrapping_mul(40_503) % 89).into_bytes())
            .collect();
        let start = Instant::now();
        let diff = hunks(&a, &b, 3);
        assert_eq!(applied(&a, &diff), b);
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    proptest! {
        #[test]
        fn applying_the_hunks_gives_the_new_content(
            a in proptest::collection::vec("[ab{} ]{0,3}(\n|\r\n|\u{e9}\n)?", 0..30),
            b in proptest::collection::vec("[ab{} ]{0,3}(\n|\r\n|\u{e9}\n)?", 0..30),
            context in 0usize..4,
        ) {
            let (a, b) = (a.concat().into_bytes(), b.concat().into_bytes());
            let diff = hunks(&a, &b, context);
            prop_assert_eq!(&applied(&a, &diff), &b);
            let (added, removed) = count(&a, &b).unwrap();
            prop_assert_eq!((diff.added, diff.removed), (added, removed));
            let of = |side| diff.hunks.iter().flat_map(|h| &h.lines).filter(|l| l.side == side).count();
            prop_assert_eq!(of(Side::Added), added as usize);
            prop_assert_eq!(of(Side::Removed), removed as usize);
        }

        #[test]
        fn bytes_that_are_not_text_are_kept(
            a in proptest::collection::vec(any::<u8>(), 0..200),
            b in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let diff = hunks(&a, &b, 3);
            if diff.outcome == Outcome::Text {
                prop_assert_eq!(applied(&a, &diff), b);
            }
            for line in diff.hunks.iter().flat_map(|h| &h.lines) {
                for word in &line.words {
                    prop_assert!(word.start < word.end && word.end <= line.text.len());
                }
            }
        }
    }
}
