//! What two sides changed in a common base, and how these changes meet: the part of a three-way merge that does not
//! care whether it merges lines or words.
//!
//! This is the diff3 of Khanna, Kunal and Pierce ("A Formal Investigation of Diff3", 2007), with the rule of git's
//! xdiff for changes that merely touch: without an unchanged token between them, two changes are one region. The
//! differences come from `similar` (Myers with bounded search, so the work is bounded without a clock and the same
//! merge always has the same result). `similar::TextMerge` has the same rules, but finds every region by walking all
//! edits from the start, which is quadratic in a file with many changes.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;

use similar::{Algorithm, DiffTag, capture_diff_slices};

/// A run of base tokens and what one side has in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edit {
    pub base: Range<usize>,
    pub side: Range<usize>,
}

/// How a region came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nobody changed it.
    Same,
    /// Only ours.
    Ours,
    /// Only theirs.
    Theirs,
    /// Both, in the same way.
    Both,
    /// Both, differently.
    Conflict,
}

/// One region of a merge, as ranges of tokens. Regions cover all three sides completely and in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Region {
    pub change: Change,
    pub base: Range<usize>,
    pub ours: Range<usize>,
    pub theirs: Range<usize>,
}

/// Gives equal tokens equal numbers, so that comparing two of them costs nothing.
pub(super) struct Numbers<'a, T: ?Sized> {
    seen: HashMap<&'a T, u32>,
}

impl<'a, T: Hash + Eq + ?Sized> Numbers<'a, T> {
    pub fn new() -> Self {
        Self {
            seen: HashMap::new(),
        }
    }

    pub fn of(&mut self, tokens: &[&'a T]) -> Vec<u32> {
        tokens
            .iter()
            .map(|token| {
                let next = u32::try_from(self.seen.len()).unwrap_or(u32::MAX);
                *self.seen.entry(token).or_insert(next)
            })
            .collect()
    }
}

/// What `side` changed in `base`: in order, never touching one another.
pub(super) fn edits(base: &[u32], side: &[u32]) -> Vec<Edit> {
    if base == side {
        return Vec::new();
    }
    let head = base.iter().zip(side).take_while(|(a, b)| a == b).count();
    let tail = base[head..]
        .iter()
        .rev()
        .zip(side[head..].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let mut gone = vec![false; base.len()];
    let mut new = vec![false; side.len()];
    let (base_mid, side_mid) = (
        &base[head..base.len() - tail],
        &side[head..side.len() - tail],
    );
    for op in capture_diff_slices(Algorithm::Myers, base_mid, side_mid) {
        if op.tag() != DiffTag::Equal {
            let shift = |r: Range<usize>| r.start + head..r.end + head;
            gone[shift(op.old_range())].fill(true);
            new[shift(op.new_range())].fill(true);
        }
    }
    settle(base, &mut gone, &new);
    settle(side, &mut new, &gone);
    paired(&gone, &new)
}

/// A run of marked tokens on one side, found by walking. An empty run stands between two unmarked tokens; the runs of both
/// sides, empty ones included, correspond one to one, because the unmarked tokens do.
#[derive(Clone, Copy)]
struct Run {
    start: usize,
    end: usize,
}

impl Run {
    fn first(marks: &[bool]) -> Self {
        Self::from(marks, 0)
    }

    fn from(marks: &[bool], start: usize) -> Self {
        let len = marks[start..].iter().take_while(|m| **m).count();
        Self {
            start,
            end: start + len,
        }
    }

    fn next(self, marks: &[bool]) -> Option<Self> {
        (self.end < marks.len()).then(|| Self::from(marks, self.end + 1))
    }

    fn previous(self, marks: &[bool]) -> Option<Self> {
        let end = self.start.checked_sub(1)?;
        let len = marks[..end].iter().rev().take_while(|m| **m).count();
        Some(Self {
            start: end - len,
            end,
        })
    }

    fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Moves one token up if what is there reads the same, swallowing a run that it meets.
    fn up(&mut self, tokens: &[u32], marks: &mut [bool]) -> bool {
        if self.start == 0 || tokens[self.start - 1] != tokens[self.end - 1] {
            return false;
        }
        self.start -= 1;
        self.end -= 1;
        marks[self.start] = true;
        marks[self.end] = false;
        while self.start > 0 && marks[self.start - 1] {
            self.start -= 1;
        }
        true
    }

    /// Moves one token down if what is there reads the same, swallowing a run that it meets.
    fn down(&mut self, tokens: &[u32], marks: &mut [bool]) -> bool {
        if self.end == tokens.len() || tokens[self.start] != tokens[self.end] {
            return false;
        }
        marks[self.start] = false;
        marks[self.end] = true;
        self.start += 1;
        self.end += 1;
        while self.end < marks.len() && marks[self.end] {
            self.end += 1;
        }
        true
    }
}

/// Puts every run where git puts it (the rule, not the code, is that of `xdl_change_compact` without its indent
/// heuristic): as far down as it reads the same, or back up to where it faces a change of the other side. Without one
/// fixed place, an equal change on both sides could look like two different ones.
fn settle(tokens: &[u32], marks: &mut [bool], other: &[bool]) {
    let mut run = Run::first(marks);
    let mut facing = Run::first(other);
    loop {
        if !run.is_empty() {
            let (top, faced) = slide(tokens, marks, other, &mut run, &mut facing);
            if run.end != top && faced {
                while facing.is_empty() {
                    if !run.up(tokens, marks) {
                        break;
                    }
                    let Some(back) = facing.previous(other) else {
                        break;
                    };
                    facing = back;
                }
            }
        }
        match (run.next(marks), facing.next(other)) {
            (Some(r), Some(f)) => (run, facing) = (r, f),
            _ => return,
        }
    }
}

/// Slides a run up and then down as far as it goes, again when it grew. Gives its end at the top, and whether it faced
/// a change of the other side anywhere.
fn slide(
    tokens: &[u32],
    marks: &mut [bool],
    other: &[bool],
    run: &mut Run,
    facing: &mut Run,
) -> (usize, bool) {
    loop {
        let size = run.end - run.start;
        while run.up(tokens, marks) {
            if let Some(back) = facing.previous(other) {
                *facing = back;
            }
        }
        let top = run.end;
        let mut faced = !facing.is_empty();
        while run.down(tokens, marks) {
            if let Some(on) = facing.next(other) {
                *facing = on;
            }
            faced |= !facing.is_empty();
        }
        if run.end - run.start == size {
            return (top, faced);
        }
    }
}

/// The edits that two sides' marks say: unmarked tokens are the same on both, one after the other.
fn paired(gone: &[bool], new: &[bool]) -> Vec<Edit> {
    let mut out = Vec::new();
    let (mut b, mut s) = (Run::first(gone), Run::first(new));
    loop {
        if !b.is_empty() || !s.is_empty() {
            out.push(Edit {
                base: b.start..b.end,
                side: s.start..s.end,
            });
        }
        match (b.next(gone), s.next(new)) {
            (Some(x), Some(y)) => (b, s) = (x, y),
            _ => return out,
        }
    }
}

/// How the edits of both sides meet. `same` says whether two ranges, of ours and of theirs, read the same.
pub(super) fn regions(
    base_len: usize,
    ours: &[Edit],
    theirs: &[Edit],
    same: impl Fn(Range<usize>, Range<usize>) -> bool,
) -> Vec<Region> {
    let mut out = Vec::new();
    let (mut b, mut o, mut t) = (0, 0, 0);
    let (mut left, mut right) = (ours, theirs);
    let keep = |out: &mut Vec<Region>, b: &mut usize, o: &mut usize, t: &mut usize, to: usize| {
        let len = to.saturating_sub(*b);
        if len > 0 {
            out.push(Region {
                change: Change::Same,
                base: *b..*b + len,
                ours: *o..*o + len,
                theirs: *t..*t + len,
            });
            (*b, *o, *t) = (*b + len, *o + len, *t + len);
        }
    };
    while let Some(start) = [left.first(), right.first()]
        .into_iter()
        .flatten()
        .map(|e| e.base.start)
        .min()
    {
        keep(&mut out, &mut b, &mut o, &mut t, start);
        // Everything that overlaps or touches is one region.
        let mut end = start;
        let (mut by_ours, mut by_theirs) = (None, None);
        loop {
            let taken = take(&mut left, &mut end, &mut by_ours)
                || take(&mut right, &mut end, &mut by_theirs);
            if !taken {
                break;
            }
        }
        let len = end - start;
        let to = |by: &Option<Sum>, from: usize| {
            let (gone, new) = by.as_ref().map_or((0, 0), |s| (s.gone, s.new));
            from..from + len + new - gone
        };
        let (ours_range, theirs_range) = (to(&by_ours, o), to(&by_theirs, t));
        let change = match (&by_ours, &by_theirs) {
            (Some(_), None) => Change::Ours,
            (None, _) => Change::Theirs,
            (Some(_), Some(_)) if same(ours_range.clone(), theirs_range.clone()) => Change::Both,
            (Some(_), Some(_)) => Change::Conflict,
        };
        (b, o, t) = (end, ours_range.end, theirs_range.end);
        out.push(Region {
            change,
            base: start..end,
            ours: ours_range,
            theirs: theirs_range,
        });
    }
    keep(&mut out, &mut b, &mut o, &mut t, base_len);
    out
}

/// How many tokens one side took away and put there in a region.
#[derive(Default)]
struct Sum {
    gone: usize,
    new: usize,
}

fn take(edits: &mut &[Edit], end: &mut usize, sum: &mut Option<Sum>) -> bool {
    let Some((first, rest)) = edits.split_first() else {
        return false;
    };
    if first.base.start > *end {
        return false;
    }
    *end = (*end).max(first.base.end);
    let sum = sum.get_or_insert_default();
    sum.gone += first.base.len();
    sum.new += first.side.len();
    *edits = rest;
    true
}
