//! Which words of a changed line differ, so that the eye finds `exp * 1000` in an otherwise equal line.
//!
//! Within one change, each removed line is compared with the added one that it most likely became, so that an edit which
//! also adds lines still finds its equal parts. Where little is equal, nothing is marked: a line of which all is marked
//! says nothing.

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
    range: Range<usize>,
}

/// For each old and each new line: the byte ranges that differ. Both empty when the change is not worth marking.
pub(super) fn changed(old: &[&[u8]], new: &[&[u8]], until: Instant) -> (Words, Words) {
    let nothing = (Vec::new(), Vec::new());
    let bytes: usize = old.iter().chain(new).map(|l| l.len()).sum();
    if old.len() + new.len() > MAX_LINES || bytes > MAX_BYTES {
        return nothing;
    }
    let a: Vec<Vec<Word<'_>>> = old.iter().map(|l| split(l)).collect();
    let b: Vec<Vec<Word<'_>>> = new.iter().map(|l| split(l)).collect();
    let mut old_words = vec![Vec::new(); old.len()];
    let mut new_words = vec![Vec::new(); new.len()];
    for (i, j) in pairs(&a, &b) {
        if Instant::now() > until {
            break;
        }
        let texts = |words: &[Word<'_>]| words.iter().map(|w| w.text.to_vec()).collect::<Vec<_>>();
        let (x, y) = (texts(&a[i]), texts(&b[j]));
        for op in capture_diff_slices_deadline(Algorithm::Myers, &x, &y, Some(until)) {
            let (tag, o, n) = op.as_tag_tuple();
            if tag != DiffTag::Equal {
                mark(&mut old_words[i], &a[i][o]);
                mark(&mut new_words[j], &b[j][n]);
            }
        }
        settle(&mut old_words[i], old[i]);
        settle(&mut new_words[j], new[j]);
    }
    (old_words, new_words)
}

/// Which old line became which new one: the order-keeping pairing of lines that are most alike. Lines that are less than
/// half alike stay without a partner.
fn pairs(old: &[Vec<Word<'_>>], new: &[Vec<Word<'_>>]) -> Vec<(usize, usize)> {
    let width = new.len() + 1;
    let mut best = vec![0u32; (old.len() + 1) * width];
    let alike: Vec<u32> = old
        .iter()
        .flat_map(|a| new.iter().map(move |b| likeness(a, b)))
        .collect();
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            let skip = best[(i + 1) * width + j].max(best[i * width + j + 1]);
            let score = alike[i * new.len() + j];
            let take = if score >= 50 {
                score + best[(i + 1) * width + j + 1]
            } else {
                0
            };
            best[i * width + j] = skip.max(take);
        }
    }
    let mut out = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < old.len() && j < new.len() {
        let here = best[i * width + j];
        let score = alike[i * new.len() + j];
        if score >= 50 && here == score + best[(i + 1) * width + j + 1] {
            out.push((i, j));
            i += 1;
            j += 1;
        } else if here == best[(i + 1) * width + j] {
            i += 1;
        } else {
            j += 1;
        }
    }
    out
}

/// How alike two lines are, in per cent: the part of their bytes that lies in words both have.
fn likeness(a: &[Word<'_>], b: &[Word<'_>]) -> u32 {
    let mut left: Vec<&[u8]> = b.iter().map(|w| w.text).collect();
    let solid = |words: &[Word<'_>]| -> usize {
        words
            .iter()
            .filter(|w| !w.text.trim_ascii().is_empty())
            .map(|w| w.text.len())
            .sum()
    };
    let total = solid(a) + solid(b);
    let mut shared = 0;
    for word in a.iter().filter(|w| !w.text.trim_ascii().is_empty()) {
        if let Some(at) = left.iter().position(|t| *t == word.text) {
            left.swap_remove(at);
            shared += 2 * word.text.len();
        }
    }
    if total == 0 {
        return 0;
    }
    u32::try_from(shared * 100 / total).unwrap_or(0)
}

fn mark(line: &mut Vec<Range<usize>>, words: &[Word<'_>]) {
    for word in words {
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
fn split(line: &[u8]) -> Vec<Word<'_>> {
    let class = |b: u8| match b {
        b if b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80 => 0,
        b' ' | b'\t' => 1,
        _ => 2,
    };
    let mut out = Vec::new();
    let mut start = 0;
    while start < line.len() {
        let kind = class(line[start]);
        let mut end = start + 1;
        while kind != 2 && end < line.len() && class(line[end]) == kind {
            end += 1;
        }
        out.push(Word {
            text: &line[start..end],
            range: start..end,
        });
        start = end;
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
    fn lines_find_their_partners() {
        let (old, new) = marks(
            "    if self.exp < now {\n",
            "    // in seconds\n    let exp = self.exp * 1000;\n    if exp < now {\n",
        );
        assert_eq!(old, ["self."]);
        assert!(new.is_empty(), "{new:?}");
    }

    #[test]
    fn characters_are_not_torn() {
        let (old, new) = marks("naïve = «café» + one;\n", "naïve = «cafés» + one;\n");
        assert_eq!(old, ["«café»"]);
        assert_eq!(new, ["«cafés»"]);
    }
}
