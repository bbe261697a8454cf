//! The full diff of the step that is looked at: which file is selected, and its rows.
//!
//! Rows point into the comparison and are styled when they are drawn, so that a difference of a hundred thousand lines
//! costs what fits on the screen.

use std::collections::HashSet;
use std::sync::Arc;

use crate::diff::text::{Outcome, Side, TextDiff};
use crate::engine::api::{FileChange, StepDetail};
use crate::model::{Ordinal, RepoPath, StepId};

use super::app::diff_key;
use super::code;
use super::msg::{Compared, DiffKey};

/// From this width of the body on, sides lie beside each other unless asked otherwise.
pub(crate) const SIDE_BY_SIDE: u16 = 110;

/// A row of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BodyRow {
    /// So many unchanged lines are not shown.
    Gap(usize),
    /// The heading of a hunk.
    Heading(usize),
    /// A line of a hunk.
    Line(usize, usize),
    /// Two lines of a hunk beside each other.
    Pair(usize, Option<usize>, Option<usize>),
}

/// What the rows were built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BodyKey {
    pub diff: DiffKey,
    pub shelf: u64,
    pub split: bool,
}

/// The view's state.
#[derive(Debug, Default)]
pub(crate) struct DiffView {
    /// The step whose changes are listed; `None` while they are loaded.
    pub step: Option<(StepId, Ordinal)>,
    pub changes: Vec<FileChange>,
    /// Where the changes are from.
    taken: Option<Arc<StepDetail>>,
    /// The path to select again when another step's changes come.
    pub keep: Option<RepoPath>,
    pub cursor: usize,
    /// The keys go to the list of files.
    pub in_files: bool,
    pub scroll: usize,
    pub left: usize,
    /// Side by side or not, where a person has said so.
    pub split: Option<bool>,
    /// Large comparisons that were asked for.
    pub forced: HashSet<DiffKey>,
    pub body: Vec<BodyRow>,
    /// Where hunks begin in the body.
    pub hunks: Vec<usize>,
    pub key: Option<BodyKey>,
    /// Scroll to the first hunk once it is there (negative: the last).
    pub want: Option<bool>,
}

impl DiffView {
    /// Opened: to show the first hunk.
    pub(crate) fn new() -> Self {
        Self {
            want: Some(true),
            ..Self::default()
        }
    }

    /// The change that is selected.
    pub(crate) fn selected(&self) -> Option<&FileChange> {
        self.changes.get(self.cursor)
    }

    /// Selects another change.
    pub(crate) fn select(&mut self, at: usize) {
        let at = at.min(self.changes.len().saturating_sub(1));
        if at != self.cursor {
            self.cursor = at;
            self.scroll = 0;
            self.left = 0;
            self.key = None;
        }
        self.keep = self.selected().map(|c| c.path.clone());
    }

    /// Takes a step's changes.
    pub(crate) fn take(&mut self, detail: &Arc<StepDetail>) {
        if self.taken.as_ref().is_some_and(|t| Arc::ptr_eq(t, detail)) {
            return;
        }
        self.taken = Some(Arc::clone(detail));
        let same = self.step.map(|(id, _)| id) == Some(detail.row.step);
        self.step = Some((detail.row.step, detail.row.ordinal));
        self.changes.clone_from(&detail.changes);
        self.changes.sort_by_key(|c| order(&c.path));
        let kept = self
            .keep
            .as_ref()
            .and_then(|path| self.changes.iter().position(|c| c.path == *path));
        self.cursor = kept.unwrap_or(0);
        if self.keep.is_none() {
            self.keep = self.selected().map(|c| c.path.clone());
        }
        self.key = None;
        if !same {
            self.scroll = 0;
            self.left = 0;
        }
    }

    /// The selected change, to be compared although it is large.
    pub(crate) fn force(&mut self) -> Option<FileChange> {
        let change = self.selected()?.clone();
        self.forced.insert(diff_key(&change));
        Some(change)
    }

    /// Builds the rows again if what they show has changed.
    pub(crate) fn arrange(&mut self, compared: Option<&Compared>, shelf: u64, split: bool) {
        let Some(change) = self.selected() else {
            self.body.clear();
            self.hunks.clear();
            return;
        };
        let key = BodyKey {
            diff: diff_key(change),
            shelf,
            split,
        };
        if self.key.as_ref() == Some(&key) {
            return;
        }
        self.key = Some(key);
        (self.body, self.hunks) = match compared {
            Some(Compared::Ready(diff)) if diff.outcome == Outcome::Text => rows(diff, split),
            _ => (Vec::new(), Vec::new()),
        };
        if let Some(first) = self.want.take_if(|_| !self.hunks.is_empty()) {
            let at = if first {
                self.hunks.first()
            } else {
                self.hunks.last()
            };
            self.scroll = at.copied().unwrap_or(0);
        }
    }

    /// The hunk at the top of the screen.
    pub(crate) fn hunk(&self) -> usize {
        self.hunks
            .partition_point(|at| *at <= self.scroll + 1)
            .saturating_sub(1)
    }
}

/// Files of a directory come together, before the directories in it.
pub(crate) fn order(path: &RepoPath) -> (RepoPath, RepoPath) {
    (path.parent().unwrap_or_default(), path.clone())
}

/// The rows of a comparison.
fn rows(diff: &TextDiff, split: bool) -> (Vec<BodyRow>, Vec<usize>) {
    let mut out = Vec::new();
    let mut starts = Vec::new();
    let mut shown = 0;
    for (h, hunk) in diff.hunks.iter().enumerate() {
        let gap = hunk.after.start.saturating_sub(shown);
        if gap > 0 {
            out.push(BodyRow::Gap(gap));
        }
        starts.push(out.len());
        if code::has_heading(hunk) {
            out.push(BodyRow::Heading(h));
        }
        shown = hunk.after.end;
        if !split {
            out.extend((0..hunk.lines.len()).map(|i| BodyRow::Line(h, i)));
            continue;
        }
        let mut at = 0;
        while at < hunk.lines.len() {
            if hunk.lines[at].side == Side::Both {
                out.push(BodyRow::Pair(h, Some(at), Some(at)));
                at += 1;
                continue;
            }
            let run = |from: usize, side: Side| {
                hunk.lines[from..]
                    .iter()
                    .take_while(|l| l.side == side)
                    .count()
            };
            let removed = run(at, Side::Removed);
            let added = run(at + removed, Side::Added);
            for k in 0..removed.max(added) {
                let left = (k < removed).then_some(at + k);
                let right = (k < added).then_some(at + removed + k);
                out.push(BodyRow::Pair(h, left, right));
            }
            at += removed + added;
        }
    }
    let rest = diff.after_lines.saturating_sub(shown);
    if rest > 0 && !diff.hunks.is_empty() {
        out.push(BodyRow::Gap(rest));
    }
    (out, starts)
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
        let (body, starts) = rows(&diff, true);
        assert_eq!(
            body,
            [
                BodyRow::Gap(2),
                BodyRow::Heading(0),
                BodyRow::Pair(0, Some(0), Some(0)),
                BodyRow::Pair(0, Some(1), Some(2)),
                BodyRow::Pair(0, None, Some(3)),
                BodyRow::Pair(0, Some(4), Some(4)),
                BodyRow::Gap(3),
            ]
        );
        assert_eq!(starts, [1]);
        let (body, _) = rows(&diff, false);
        assert_eq!(body.len(), 8);
    }
}
