//! Three-way merge of two texts by lines.
//!
//! Works on bytes: nothing assumes UTF-8. Lines are compared with their line ends, so CRLF and a missing final newline
//! stay as the side that is taken has them. Two changes are put together only where at least one unchanged line lies
//! between them; nothing is ever merged inside a line, except as a [`Proposal`] that a person looks at.
//!
//! What a merge gives is made of whole lines of the three texts and borrows from them.

use super::edits::{self, Change, Numbers};

/// Longest text that is merged by lines, in bytes; anything longer is a conflict as a whole.
pub const MAX_BYTES: usize = 16 << 20;

/// Longest conflict for which words are compared, in bytes of all three sides.
const MAX_PROPOSAL: usize = 64 << 10;

/// Two texts put together over their base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged<'a> {
    /// In order; together they are the whole text.
    pub parts: Vec<Part<'a>>,
}

/// A run of lines and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// Nobody changed these.
    Same(&'a [u8]),
    /// Only ours changed what was here; this is what it became.
    Ours(&'a [u8]),
    /// Only theirs changed what was here; this is what it became.
    Theirs(&'a [u8]),
    /// Both made the same change.
    Both(&'a [u8]),
    /// Both changed it, differently.
    Conflict(Sides<'a>),
}

/// The three forms of a run of lines in conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sides<'a> {
    /// On our side.
    pub ours: &'a [u8],
    /// Before either changed it.
    pub base: &'a [u8],
    /// On their side.
    pub theirs: &'a [u8],
}

impl<'a> Merged<'a> {
    /// Whether nothing is in conflict.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.conflicts().next().is_none()
    }

    /// What is in conflict, first to last.
    pub fn conflicts(&self) -> impl Iterator<Item = Sides<'a>> {
        self.parts.iter().filter_map(|part| match part {
            Part::Conflict(sides) => Some(*sides),
            _ => None,
        })
    }

    /// The merged text, if nothing is in conflict.
    #[must_use]
    pub fn text(&self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for part in &self.parts {
            out.extend_from_slice(part.settled()?);
        }
        Some(out)
    }
}

impl<'a> Part<'a> {
    /// Its lines, if it is not in conflict.
    #[must_use]
    pub fn settled(&self) -> Option<&'a [u8]> {
        match self {
            Self::Same(lines) | Self::Ours(lines) | Self::Theirs(lines) | Self::Both(lines) => {
                Some(lines)
            }
            Self::Conflict(_) => None,
        }
    }
}

/// Merges `ours` and `theirs`, which both came from `base`.
#[must_use]
pub fn merge<'a>(base: &'a [u8], ours: &'a [u8], theirs: &'a [u8]) -> Merged<'a> {
    let whole = |part| Merged { parts: vec![part] };
    // These need no comparing, whatever the size.
    if ours == theirs {
        return whole(if ours == base {
            Part::Same(ours)
        } else {
            Part::Both(ours)
        });
    }
    if base == ours {
        return whole(Part::Theirs(theirs));
    }
    if base == theirs {
        return whole(Part::Ours(ours));
    }
    if [base, ours, theirs].iter().any(|t| t.len() > MAX_BYTES) {
        return whole(Part::Conflict(Sides { ours, base, theirs }));
    }
    let lines = [Cut::lines(base), Cut::lines(ours), Cut::lines(theirs)];
    Merged {
        parts: tokens(&lines),
    }
}

/// A text cut into tokens, with the place of each.
struct Cut<'a> {
    text: &'a [u8],
    tokens: Vec<&'a [u8]>,
    /// Where each token begins, and the end of the text.
    starts: Vec<usize>,
}

impl<'a> Cut<'a> {
    fn new(text: &'a [u8], tokens: Vec<&'a [u8]>) -> Self {
        let mut starts = Vec::with_capacity(tokens.len() + 1);
        let mut at = 0;
        starts.push(0);
        for token in &tokens {
            at += token.len();
            starts.push(at);
        }
        Self {
            text,
            tokens,
            starts,
        }
    }

    fn lines(text: &'a [u8]) -> Self {
        Self::new(text, text.split_inclusive(|b| *b == b'\n').collect())
    }

    fn words(text: &'a [u8]) -> Self {
        Self::new(text, words(text))
    }

    fn get(&self, range: std::ops::Range<usize>) -> &'a [u8] {
        &self.text[self.starts[range.start]..self.starts[range.end]]
    }
}

/// Merges tokens of base, ours and theirs.
fn tokens<'a>([base, ours, theirs]: &[Cut<'a>; 3]) -> Vec<Part<'a>> {
    let mut numbers = Numbers::new();
    let [b, o, t] = [base, ours, theirs].map(|cut| numbers.of(&cut.tokens));
    let (left, right) = (edits::edits(&b, &o), edits::edits(&b, &t));
    let same = |x: std::ops::Range<usize>, y: std::ops::Range<usize>| o[x] == t[y];
    edits::regions(b.len(), &left, &right, same)
        .into_iter()
        .map(|region| match region.change {
            Change::Same => Part::Same(base.get(region.base)),
            Change::Ours => Part::Ours(ours.get(region.ours)),
            Change::Theirs => Part::Theirs(theirs.get(region.theirs)),
            Change::Both => Part::Both(ours.get(region.ours)),
            Change::Conflict => Part::Conflict(Sides {
                ours: ours.get(region.ours),
                base: base.get(region.base),
                theirs: theirs.get(region.theirs),
            }),
        })
        .collect()
}

/// What a conflict might become: something to be shown and accepted by a person, never applied by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The text that would stand in place of the conflict.
    pub text: Vec<u8>,
    /// How it was found, for people.
    pub reason: &'static str,
}

/// Tries to put both changes of a conflict together by words.
///
/// Only where each side changed other words of lines that both still have: a line that one side rewrote is not guessed at.
#[must_use]
pub fn propose(sides: &Sides<'_>) -> Option<Proposal> {
    let Sides { ours, base, theirs } = *sides;
    if base.is_empty() || ours.is_empty() || theirs.is_empty() {
        return None;
    }
    if base.len() + ours.len() + theirs.len() > MAX_PROPOSAL {
        return None;
    }
    let parts = tokens(&[Cut::words(base), Cut::words(ours), Cut::words(theirs)]);
    let merged = Merged { parts };
    // What holds the words together must be words, not blanks and brackets: at least half of the base is untouched.
    let solid = |bytes: &[u8]| bytes.iter().filter(|b| !b.is_ascii_whitespace()).count();
    let kept: usize = merged
        .parts
        .iter()
        .map(|p| match p {
            Part::Same(text) => solid(text),
            _ => 0,
        })
        .sum();
    if kept * 2 < solid(base) {
        return None;
    }
    Some(Proposal {
        text: merged.text()?,
        reason: "the two sides changed different words",
    })
}

/// Words, runs of blanks, and every other byte or character by itself.
fn words(text: &[u8]) -> Vec<&[u8]> {
    let class = |b: u8| match b {
        b if b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80 => 1,
        b' ' | b'\t' => 2,
        _ => 0,
    };
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.first() {
        let kind = class(*first);
        let len = if kind == 0 {
            1
        } else {
            rest.iter().take_while(|b| class(**b) == kind).count()
        };
        let (word, after) = rest.split_at(len);
        out.push(word);
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )]
    use super::*;

    fn clean(base: &str, ours: &str, theirs: &str) -> String {
        let merged = merge(base.as_bytes(), ours.as_bytes(), theirs.as_bytes());
        String::from_utf8(merged.text().expect("no conflict")).unwrap()
    }

    fn conflict(base: &str, ours: &str, theirs: &str) -> [String; 3] {
        let merged = merge(base.as_bytes(), ours.as_bytes(), theirs.as_bytes());
        let all: Vec<_> = merged.conflicts().collect();
        assert_eq!(all.len(), 1, "{merged:?}");
        [all[0].ours, all[0].base, all[0].theirs].map(|t| String::from_utf8(t.to_vec()).unwrap())
    }

    #[test]
    fn changes_apart_are_put_together() {
        assert_eq!(clean("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n"), "A\nb\nC\n");
        assert_eq!(clean("a\nb\n", "x\na\nb\n", "a\nb\ny\n"), "x\na\nb\ny\n");
        assert_eq!(clean("a\nb\nc\n", "b\nc\n", "a\nb\n"), "b\n");
    }

    #[test]
    fn changes_that_touch_are_a_conflict() {
        assert_eq!(
            conflict("a\nb\n", "A\nb\n", "a\nB\n"),
            ["A\nb\n", "a\nb\n", "a\nB\n"]
        );
        assert_eq!(
            conflict("a\n", "x\na\n", "A\n"),
            ["x\na\n", "a\n", "A\n"],
            "an insertion beside a replaced line"
        );
    }

    #[test]
    fn two_insertions_at_one_place_conflict_without_base() {
        assert_eq!(
            conflict("a\nb\n", "a\nx\nb\n", "a\ny\nb\n"),
            ["x\n", "", "y\n"]
        );
        assert_eq!(clean("a\nb\n", "a\nx\nb\n", "a\nx\nb\n"), "a\nx\nb\n");
    }

    #[test]
    fn line_ends_stay_as_the_side_has_them() {
        assert_eq!(
            clean("a\r\nb\r\nc\r\n", "A\r\nb\r\nc\r\n", "a\r\nb\r\nC"),
            "A\r\nb\r\nC"
        );
        assert_eq!(clean("a\nb\nc", "A\nb\nc", "a\nb\nc\n"), "A\nb\nc\n");
        assert_eq!(
            conflict("a\nb", "a\nb\n", "a\nB"),
            ["b\n", "b", "B"],
            "a final newline is part of its line"
        );
    }

    #[test]
    fn an_equal_deletion_beside_equal_lines_is_one_change() {
        // Which of three equal lines went is the same question on both sides, so it has the same answer.
        assert_eq!(
            clean("x\nx\nx\nend\n", "x\nx\nend\n", "x\nx\nend\n"),
            "x\nx\nend\n"
        );
        assert_eq!(
            clean("top\nx\nx\nend\n", "top\nx\nend\n", "TOP\nx\nx\nend\n"),
            "TOP\nx\nend\n"
        );
    }

    #[test]
    fn words_are_only_proposed() {
        let (base, ours, theirs) = (
            "    let exp = self.exp * 1000;\n",
            "    let expiry = self.exp * 1000;\n",
            "    let exp = self.exp * MILLIS;\n",
        );
        conflict(base, ours, theirs);
        let sides = Sides {
            ours: ours.as_bytes(),
            base: base.as_bytes(),
            theirs: theirs.as_bytes(),
        };
        assert_eq!(
            propose(&sides).expect("a proposal").text,
            b"    let expiry = self.exp * MILLIS;\n"
        );
        let rewritten = Sides {
            theirs: b"return None;\n",
            ..sides
        };
        assert_eq!(propose(&rewritten), None);
    }

    #[test]
    fn a_conflict_of_50_000_lines_is_cheap() {
        let text = |word: &str| -> Vec<u8> {
            (0..50_000)
                .flat_map(|i| format!("{word} {i}\n").into_bytes())
                .collect()
        };
        let (base, ours, theirs) = (text("base"), text("ours"), text("theirs"));
        let started = std::time::Instant::now();
        assert_eq!(merge(&base, &ours, &theirs).conflicts().count(), 1);
        // Every other line changed: many regions must not cost their square.
        let odd: Vec<u8> = (0..50_000)
            .flat_map(|i| {
                let word = if i % 4 == 0 { "odd" } else { "base" };
                format!("{word} {i}\n").into_bytes()
            })
            .collect();
        let two: Vec<u8> = (0..50_000)
            .flat_map(|i| {
                let word = if i % 4 == 2 { "two" } else { "base" };
                format!("{word} {i}\n").into_bytes()
            })
            .collect();
        assert!(merge(&base, &odd, &two).is_clean());
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    }
}
