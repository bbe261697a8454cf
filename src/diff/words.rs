//! Which words of a changed line differ, so that the eye finds `exp * 1000` in an otherwise equal line.
//!
//! The removed and the added lines of one change are compared as one run of words each: an edit that splits a line in
//! three still finds its equal parts. Where little is equal, nothing is marked: a line of which all is marked says
//! nothing.

use std::ops::Range;
use std::time::Instant;

use similar::{Algorithm, DiffTag, capture_diff_slices_deadline};

/// Changes with more lines or bytes than this are not compared by words.
const MAX_LINES: usize = 60;
const MAX_BYTES: usize = 16 << 10;

type Words = Vec<Vec<Range<usize>>>;

/// A word with where it is.
struct Word<'a> {
    text: &'a [u8],
    line: usize,
    range: Range<usize>,
}

/// For each old and each new line: the byte ranges that differ. Both empty when the change is not worth marking.
pub(super) fn changed(old: &[&[u8]], new: &[&[u8]], until: Instant) -> (Words, Words) {
    let nothing = (Vec::new(), Vec::new());
    let bytes: usize = old.iter().chain(new).map(|l| l.len()).sum();
    if old.len() + new.len() > MAX_LINES || bytes > MAX_BYTES {
        return nothing;
    }
    let (a, b) = (split(old), split(new));
    let texts = |words: &[Word<'_>]| words.iter().map(|w| w.text.to_vec()).collect::<Vec<_>>();
    let ops = capture_diff_slices_deadline(Algorithm::Myers, &texts(&a), &texts(&b), Some(until));
    let mut old_words = vec![Vec::new(); old.len()];
    let mut new_words = vec![Vec::new(); new.len()];
    for op in ops {
        let (tag, o, n) = op.as_tag_tuple();
        if tag != DiffTag::Equal {
            mark(&mut old_words, &a[o]);
            mark(&mut new_words, &b[n]);
        }
    }
    for (words, line) in old_words.iter_mut().zip(old) {
        settle(words, line);
    }
    for (words, line) in new_words.iter_mut().zip(new) {
        settle(words, line);
    }
    (old_words, new_words)
}

fn mark(lines: &mut Words, words: &[Word<'_>]) {
    for word in words {
        let Some(line) = lines.get_mut(word.line) else {
            continue;
        };
        match line.last_mut() {
            Some(last) if last.end == word.range.start => last.end = word.range.end,
            _ => line.push(word.range.clone()),
        }
    }
}

/// Joins marks with only blanks between them, trims blanks at their ends, and drops all of them when most of the line is marked.
fn settle(words: &mut Vec<Range<usize>>, line: &[u8]) {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let blank = |range: Range<usize>| {
        line.get(range)
            .is_some_and(|bytes| bytes.trim_ascii().is_empty())
    };
    let mut joined: Vec<Range<usize>> = Vec::new();
    for word in words.drain(..) {
        let word = word.start..word.end.min(line.len());
        if word.is_empty() {
            continue;
        }
        match joined.last_mut() {
            Some(last) if blank(last.end..word.start) => last.end = word.end,
            _ => joined.push(word),
        }
    }
    let solid = |bytes: &[u8]| bytes.iter().filter(|b| !b.is_ascii_whitespace()).count();
    let marked: usize = joined
        .iter()
        .filter_map(|w| line.get(w.clone()))
        .map(solid)
        .sum();
    if marked * 10 <= solid(line) * 7 {
        *words = joined;
    }
}

/// Words, runs of blanks, single signs. A byte above ASCII counts as part of a word, so that no character is torn.
fn split<'a>(lines: &[&'a [u8]]) -> Vec<Word<'a>> {
    let class = |b: u8| match b {
        b if b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80 => 0,
        b' ' | b'\t' => 1,
        _ => 2,
    };
    let mut out = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let mut start = 0;
        while start < line.len() {
            let kind = class(line[start]);
            let mut end = start + 1;
            while kind != 2 && end < line.len() && class(line[end]) == kind {
                end += 1;
            }
            out.push(Word {
                text: &line[start..end],
                line: number,
                range: start..end,
            });
            start = end;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn marks(old: &str, new: &str) -> (Vec<String>, Vec<String>) {
        let a: Vec<&[u8]> = old.as_bytes().split_inclusive(|b| *b == b'\n').collect();
        let b: Vec<&[u8]> = new.as_bytes().split_inclusive(|b| *b == b'\n').collect();
        let (x, y) = changed(&a, &b, Instant::now() + Duration::from_secs(5));
        let show = |lines: &[&[u8]], words: Words| {
            lines
                .iter()
                .zip(words)
                .flat_map(|(line, ranges)| {
                    ranges
                        .into_iter()
                        .map(|r| String::from_utf8_lossy(&line[r]).into_owned())
                        .collect::<Vec<_>>()
                })
                .collect()
        };
        (show(&a, x), show(&b, y))
    }

    #[test]
    fn finds_the_changed_word() {
        let (old, new) = marks("    if self.exp < now {\n", "    if exp <= now {\n");
        assert_eq!(old, ["self."]);
        assert_eq!(new, ["="]);
    }

    #[test]
    fn a_rewritten_line_is_not_marked() {
        let (old, new) = marks("return true;\n", "panic!(\"no such key\")\n");
        assert!(old.is_empty(), "{old:?}");
        assert!(new.is_empty(), "{new:?}");
    }

    #[test]
    fn characters_are_not_torn() {
        let (old, new) = marks("naïve = «café» + one;\n", "naïve = «cafés» + one;\n");
        assert_eq!(old, ["«café»"]);
        assert_eq!(new, ["«cafés»"]);
    }
}
