//! The rows of a file's difference: hunks, the unchanged lines between them, folded or not, and sides beside each other.
//!
//! Rows point into the comparison and are styled when they are drawn, so that a difference of a hundred thousand lines
//! costs what fits on the screen.

use std::collections::HashMap;

use crate::diff::text::{DiffLine, Side, TextDiff};

use super::code;

/// Lines that are unfolded at a time, at either end of a fold.
const MORE: usize = 20;

/// A row of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyRow {
    /// In this gap, before the hunk of that number, so many unchanged lines are not shown.
    Gap(usize, usize),
    /// An unchanged line that was unfolded: its place in the old and in the new content, from 0.
    Plain(usize, usize),
    /// The heading of a hunk.
    Heading(usize),
    /// A line of a hunk.
    Line(usize, usize),
    /// Two lines of a hunk beside each other.
    Pair(usize, Option<usize>, Option<usize>),
}

impl BodyRow {
    /// The lines of hunks that stand in it.
    pub(crate) fn lines(self, diff: &TextDiff) -> impl Iterator<Item = &DiffLine> {
        let (hunk, both) = match self {
            Self::Line(h, i) => (h, [Some(i), None]),
            // A line that both have stands there twice.
            Self::Pair(h, a, b) if a == b => (h, [a, None]),
            Self::Pair(h, a, b) => (h, [a, b]),
            Self::Gap(..) | Self::Plain(..) | Self::Heading(_) => (0, [None, None]),
        };
        both.into_iter()
            .flatten()
            .filter_map(move |i| diff.hunks.get(hunk)?.lines.get(i))
    }

    /// Whether something changed in it.
    fn changed(self, diff: &TextDiff) -> bool {
        self.lines(diff).any(|l| l.side != Side::Both)
    }
}

/// How much of the gaps is unfolded: lines after the hunk above, and before the one below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unfolded {
    all: bool,
    gaps: HashMap<usize, usize>,
}

impl Unfolded {
    /// More of one gap.
    pub(crate) fn more(&mut self, gap: usize) {
        let lines = self.gaps.entry(gap).or_default();
        *lines = lines.saturating_add(MORE);
    }

    /// All of one, or none of it.
    pub(crate) fn toggle(&mut self, gap: usize) {
        if self.gaps.remove(&gap).is_none() {
            self.gaps.insert(gap, usize::MAX / 4);
        }
    }

    /// All of all, or nothing.
    pub(crate) fn set_all(&mut self, all: bool) {
        self.all = all;
        self.gaps.clear();
    }

    /// Whether anything is.
    pub(crate) fn any(&self) -> bool {
        self.all || !self.gaps.is_empty()
    }

    fn lines(&self, gap: usize) -> usize {
        if self.all {
            usize::MAX / 4
        } else {
            self.gaps.get(&gap).copied().unwrap_or(0)
        }
    }
}

/// Rows, and where hunks are among them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Body {
    pub rows: Vec<BodyRow>,
    /// Where hunks begin.
    pub hunks: Vec<usize>,
    /// The first row of each in which something changed.
    pub firsts: Vec<usize>,
}

/// The rows of a comparison.
pub(crate) fn body(diff: &TextDiff, split: bool, unfolded: &Unfolded) -> Body {
    let mut out = Body::default();
    // Where the shown part of both contents ends.
    let (mut old, mut new) = (0, 0);
    for (h, hunk) in diff.hunks.iter().enumerate() {
        gap(
            &mut out.rows,
            (old, new),
            hunk.after.start,
            h,
            unfolded,
            h == 0,
        );
        let start = out.rows.len();
        out.hunks.push(start);
        // What is right above it says where it is.
        let above = matches!(out.rows.last(), Some(BodyRow::Plain(..)));
        if code::has_heading(hunk) && !above {
            out.rows.push(BodyRow::Heading(h));
        }
        (old, new) = (hunk.before.end, hunk.after.end);
        if split {
            pairs(&mut out.rows, h, &hunk.lines);
        } else {
            let lines = 0..hunk.lines.len();
            out.rows.extend(lines.map(|i| BodyRow::Line(h, i)));
        }
        let first = (start..out.rows.len()).find(|i| out.rows[*i].changed(diff));
        out.firsts.push(first.unwrap_or(start));
    }
    if !diff.hunks.is_empty() {
        let last = diff.hunks.len();
        gap(
            &mut out.rows,
            (old, new),
            diff.after_lines,
            last,
            unfolded,
            false,
        );
    }
    out
}

fn gap(
    rows: &mut Vec<BodyRow>,
    (old, new): (usize, usize),
    end: usize,
    number: usize,
    unfolded: &Unfolded,
    first: bool,
) {
    let len = end.saturating_sub(new);
    let shown = unfolded.lines(number);
    let plain = |k: usize| BodyRow::Plain(old + k, new + k);
    // Before the first hunk there is none above.
    let head = if first { 0 } else { shown.min(len) };
    let tail = shown.min(len - head);
    rows.extend((0..head).map(plain));
    let hidden = len - head - tail;
    if hidden > 0 {
        rows.push(BodyRow::Gap(number, hidden));
    }
    rows.extend((len - tail..len).map(plain));
}

fn pairs(rows: &mut Vec<BodyRow>, h: usize, lines: &[DiffLine]) {
    let mut at = 0;
    while at < lines.len() {
        if lines[at].side == Side::Both {
            rows.push(BodyRow::Pair(h, Some(at), Some(at)));
            at += 1;
            continue;
        }
        let run =
            |from: usize, side: Side| lines[from..].iter().take_while(|l| l.side == side).count();
        let removed = run(at, Side::Removed);
        let added = run(at + removed, Side::Added);
        for k in 0..removed.max(added) {
            let left = (k < removed).then_some(at + k);
            let right = (k < added).then_some(at + removed + k);
            rows.push(BodyRow::Pair(h, left, right));
        }
        at += removed + added;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::text::hunks;

    #[test]
    fn sides_are_paired_and_gaps_counted() {
        let before = "a\nb\nc\nd\ne\nf\ng\nh\n";
        let after = "a\nb\nc\nD1\nD2\ne\nf\ng\nh\n";
        let diff = hunks(before.as_bytes(), after.as_bytes(), 1);
        let mut unfolded = Unfolded::default();
        let found = body(&diff, true, &unfolded);
        assert_eq!(
            found.rows,
            [
                BodyRow::Gap(0, 2),
                BodyRow::Heading(0),
                BodyRow::Pair(0, Some(0), Some(0)),
                BodyRow::Pair(0, Some(1), Some(2)),
                BodyRow::Pair(0, None, Some(3)),
                BodyRow::Pair(0, Some(4), Some(4)),
                BodyRow::Gap(1, 3),
            ]
        );
        assert_eq!((found.hunks, found.firsts), (vec![1], vec![3]));
        assert_eq!(body(&diff, false, &unfolded).rows.len(), 8);
        // Unfolded, every line of the new content is there once, and every one of the old.
        unfolded.more(1);
        let rows = body(&diff, true, &unfolded).rows;
        assert_eq!(
            rows[rows.len() - 3..],
            [
                BodyRow::Plain(5, 6),
                BodyRow::Plain(6, 7),
                BodyRow::Plain(7, 8)
            ]
        );
        unfolded.set_all(true);
        let rows = body(&diff, true, &unfolded).rows;
        assert_eq!(rows.len(), 9, "{rows:?}");
        assert_eq!(rows[..2], [BodyRow::Plain(0, 0), BodyRow::Plain(1, 1)]);
        unfolded.set_all(false);
        assert!(!unfolded.any());
    }

    #[test]
    fn a_long_gap_opens_at_both_ends() {
        let old: String = (0..200).map(|n| format!("{n}\n")).collect();
        let new = old.replace("\n5\n", "\nfive\n").replace("\n190\n", "\nx\n");
        let diff = hunks(old.as_bytes(), new.as_bytes(), 0);
        let mut unfolded = Unfolded::default();
        unfolded.more(1);
        let rows = body(&diff, false, &unfolded).rows;
        assert!(rows.contains(&BodyRow::Plain(6, 6)));
        assert!(rows.contains(&BodyRow::Plain(189, 189)));
        assert!(rows.contains(&BodyRow::Gap(1, 184 - 2 * MORE)));
    }
}
