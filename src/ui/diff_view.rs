//! The full diff: of the step that is looked at, or of two states. Which file is selected, its rows, the cursor in them and
//! what is selected with it.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::diff::text::{Outcome, Space, TextDiff};
use crate::engine::api::{CommitInfo, FileChange, StepDetail};
use crate::model::{BlobId, Ordinal, RepoPath, StepId};

use super::against::Pair;
use super::app::diff_key;
use super::diff_rows::{self, BodyRow, Unfolded};
use super::msg::{Compared, DiffKey};
use super::state_view::{Content, line_starts};

/// From this width of the body on, sides lie beside each other unless asked otherwise.
pub(crate) const SIDE_BY_SIDE: u16 = 110;

/// What the rows were built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BodyKey {
    pub diff: DiffKey,
    pub shelf: u64,
    pub split: bool,
    pub unfolded: Unfolded,
}

/// A step that made a version of the selected file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Touch {
    pub step: Ordinal,
    pub tool: String,
    /// Lines added and removed, where the step changed nothing else.
    pub lines: Option<(u32, u32)>,
}

impl Touch {
    /// Of a commit, if it is tied to a step.
    pub(crate) fn of(commit: &CommitInfo, tool: &str) -> Option<Self> {
        let lines = commit.effect.filter(|e| e.files == 1);
        Some(Self {
            step: commit.step?,
            tool: tool.to_owned(),
            lines: lines.map(|e| (e.added, e.removed)),
        })
    }
}

/// The view's state.
#[derive(Debug, Default)]
pub(crate) struct DiffView {
    /// Two states that are compared, where it is not a step's own change.
    pub pair: Option<Pair>,
    /// The step whose changes are listed; `None` while they are loaded.
    pub step: Option<(StepId, Ordinal)>,
    pub changes: Vec<FileChange>,
    /// The states on both sides, as the engine takes them.
    pub revs: (Option<String>, Option<String>),
    /// Where the changes are from.
    taken: Option<Arc<StepDetail>>,
    /// The path to select again when another step's changes come.
    pub keep: Option<RepoPath>,
    pub cursor: usize,
    /// The keys go to the list of files.
    pub in_files: bool,
    /// The row at the top, and the one under the cursor.
    pub scroll: usize,
    pub line: usize,
    /// Where the selection begins.
    pub mark: Option<usize>,
    pub left: usize,
    /// Large comparisons that were asked for.
    pub forced: HashSet<DiffKey>,
    pub body: Vec<BodyRow>,
    /// Where hunks begin in the body, and where something changed in them first.
    pub hunks: Vec<usize>,
    pub firsts: Vec<usize>,
    pub key: Option<BodyKey>,
    /// Scroll to the first hunk once it is there (or the last).
    pub want: Option<bool>,
    pub unfolded: Unfolded,
    /// The new content, once lines that are in no hunk were asked for.
    pub content: Option<(BlobId, Content)>,
    pub reading: Option<BlobId>,
    /// The steps that touch a file, and of which file that was asked, at which step.
    pub touches: Vec<Touch>,
    pub touching: Option<(RepoPath, Option<Ordinal>)>,
    /// Directories at the top of the state, and of which state.
    pub top_dirs: Vec<RepoPath>,
    pub top_of: Option<String>,
    /// Those of them in which nothing changed.
    pub same: Vec<RepoPath>,
    /// How many of the changes were on the screen already; `None` when they have to be counted again.
    pub seen: Option<usize>,
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
            self.reset();
        }
        self.keep = self.selected().map(|c| c.path.clone());
    }

    /// Another difference is shown.
    fn reset(&mut self) {
        self.scroll = 0;
        self.line = 0;
        self.left = 0;
        self.mark = None;
        self.key = None;
        self.want = Some(true);
        self.unfolded = Unfolded::default();
    }

    /// Takes a step's changes.
    pub(crate) fn take(&mut self, detail: &Arc<StepDetail>) {
        if self.taken.as_ref().is_some_and(|t| Arc::ptr_eq(t, detail)) {
            return;
        }
        self.taken = Some(Arc::clone(detail));
        let same = self.step.map(|(id, _)| id) == Some(detail.row.step);
        self.step = Some((detail.row.step, detail.row.ordinal));
        let first = detail.commits.first().map(|(c, _)| c);
        let last = detail.commits.last().map(|(c, _)| c);
        self.revs = (
            first.and_then(|c| c.parents.first()).map(|p| p.to_hex()),
            last.map(|c| c.id.to_hex()),
        );
        self.put(detail.changes.clone(), same);
    }

    /// Lists changes; the file that was selected stays so, if it is among them.
    pub(crate) fn put(&mut self, changes: Vec<FileChange>, same: bool) {
        let was = self.selected().cloned();
        self.changes = changes;
        self.changes.sort_by_key(|c| order(&c.path));
        self.seen = None;
        self.settle_same();
        let kept = self
            .keep
            .as_ref()
            .and_then(|path| self.changes.iter().position(|c| c.path == *path));
        self.cursor = kept.unwrap_or(0);
        if self.keep.is_none() {
            self.keep = self.selected().map(|c| c.path.clone());
        }
        self.key = None;
        if !same || self.selected() != was.as_ref() {
            self.reset();
        }
    }

    /// Finds out in which directories at the top nothing changed: once, since there may be very many changes.
    pub(crate) fn settle_same(&mut self) {
        let paths = self
            .changes
            .iter()
            .flat_map(|c| [Some(&c.path), c.from.as_ref()]);
        let touched: HashSet<&[u8]> = paths.flatten().filter_map(|p| p.parts().next()).collect();
        let all = self.top_dirs.iter();
        let same = all.filter(|d| !touched.contains(d.as_bytes()));
        self.same = same.cloned().collect();
    }

    /// Enter in the body: more of what is folded, or what is large.
    pub(crate) fn enter(&mut self, space: Space) {
        match self.body.get(self.line) {
            Some(BodyRow::Gap(gap, _)) => {
                let gap = *gap;
                self.unfolded.more(gap);
            }
            _ => {
                if let Some(change) = self.selected() {
                    let key = diff_key(change, space);
                    self.forced.insert(key);
                }
            }
        }
    }

    /// Folds or unfolds the unchanged lines at the cursor.
    pub(crate) fn fold(&mut self) {
        // Those that are nearest.
        let gap = match self.body.get(self.line) {
            Some(BodyRow::Gap(gap, _)) => *gap,
            _ => self.firsts.partition_point(|at| *at <= self.line),
        };
        self.unfolded.toggle(gap);
    }

    /// Builds the rows again if what they show has changed.
    pub(crate) fn arrange(
        &mut self,
        compared: Option<&Compared>,
        shelf: u64,
        split: bool,
        space: Space,
    ) {
        let Some(change) = self.selected() else {
            self.body.clear();
            self.hunks.clear();
            self.firsts.clear();
            return;
        };
        let key = BodyKey {
            diff: diff_key(change, space),
            shelf,
            split,
            unfolded: self.unfolded.clone(),
        };
        if self.key.as_ref() == Some(&key) {
            return;
        }
        // What the cursor is on stays under it.
        let at = self.anchor();
        let below = self.line.saturating_sub(self.scroll);
        self.key = Some(key);
        let built = match compared {
            Some(Compared::Ready(diff)) if diff.outcome == Outcome::Text => {
                diff_rows::body(diff, split, &self.unfolded)
            }
            _ => diff_rows::Body::default(),
        };
        (self.body, self.hunks, self.firsts) = (built.rows, built.hunks, built.firsts);
        let found = at.and_then(|at| self.body.iter().position(|row| at.is(*row)));
        if let Some(line) = found.filter(|line| *line != self.line) {
            self.line = line;
            self.scroll = line.saturating_sub(below);
        }
        if let Some(first) = self.want.take_if(|_| !self.hunks.is_empty()) {
            self.go_hunk(if first { 0 } else { self.hunks.len() - 1 });
        }
        self.line = self.line.min(self.body.len().saturating_sub(1));
        self.mark = self.mark.filter(|m| *m < self.body.len());
    }

    fn anchor(&self) -> Option<Anchor> {
        let row = *self.body.get(self.line)?;
        Some(match row {
            BodyRow::Gap(gap, _) => Anchor::Gap(gap),
            BodyRow::Plain(..) | BodyRow::Heading(_) => Anchor::Row(row),
            BodyRow::Line(h, i) => Anchor::Line(h, i),
            BodyRow::Pair(h, a, b) => Anchor::Line(h, a.or(b)?),
        })
    }

    /// Puts the cursor into a hunk, with its beginning on the screen.
    pub(crate) fn go_hunk(&mut self, hunk: usize) {
        if let (Some(start), Some(first)) = (self.hunks.get(hunk), self.firsts.get(hunk)) {
            self.line = *first;
            self.scroll = *start;
        }
    }

    /// To the n-th next hunk. `false` when there is none.
    pub(crate) fn step_hunk(&mut self, n: usize, forward: bool) -> bool {
        let here = self.line;
        let to = if forward {
            let next = self.firsts.partition_point(|at| *at <= here);
            next.saturating_add(n.max(1) - 1)
        } else {
            let before = self.firsts.partition_point(|at| *at < here);
            match before.checked_sub(n.max(1)) {
                Some(to) => to,
                None if before > 0 => 0,
                None => return false,
            }
        };
        let last = self.firsts.len().saturating_sub(1);
        let is_there = self.firsts.get(to.min(last)).is_some_and(|at| *at != here);
        let further = !forward || self.firsts.get(last).is_some_and(|at| *at > here);
        if is_there && further {
            self.go_hunk(to.min(last));
        }
        is_there && further
    }

    /// The hunk under the cursor, or the next one above it.
    pub(crate) fn hunk(&self) -> usize {
        self.hunks
            .partition_point(|at| *at <= self.line)
            .saturating_sub(1)
    }

    /// The rows that are selected; the one under the cursor when none are.
    pub(crate) fn range(&self) -> RangeInclusive<usize> {
        let mark = self.mark.unwrap_or(self.line);
        mark.min(self.line)..=mark.max(self.line)
    }

    /// Whether lines of the new content are wanted that no hunk holds, and are not there.
    pub(crate) fn content_wanted(&mut self) -> Option<crate::engine::api::EntryInfo> {
        if !self.unfolded.any() {
            return None;
        }
        let entry = self.selected()?.after.clone()?;
        let blob = entry.blob?;
        let known = self.content.as_ref().map(|(b, _)| *b) == Some(blob);
        if known || self.reading == Some(blob) {
            return None;
        }
        self.reading = Some(blob);
        Some(entry)
    }

    /// The new content came.
    pub(crate) fn read(&mut self, blob: BlobId, result: Result<Arc<Vec<u8>>, String>) {
        if self.reading == Some(blob) {
            self.reading = None;
            let content = match result {
                Ok(bytes) => {
                    let starts = Arc::new(line_starts(&bytes));
                    Content::Ready(bytes, starts)
                }
                Err(why) => Content::Failed(why),
            };
            self.content = Some((blob, content));
        }
    }
}

/// What the cursor is on, whatever rows there are.
enum Anchor {
    Gap(usize),
    Row(BodyRow),
    Line(usize, usize),
}

impl Anchor {
    fn is(&self, row: BodyRow) -> bool {
        match (self, row) {
            (Self::Gap(a), BodyRow::Gap(b, _)) => *a == b,
            (Self::Row(a), b) => *a == b,
            (Self::Line(h, i), BodyRow::Line(g, k)) => (*h, *i) == (g, k),
            (Self::Line(h, i), BodyRow::Pair(g, a, b)) => {
                *h == g && (a == Some(*i) || b == Some(*i))
            }
            _ => false,
        }
    }
}

/// Files of a directory come together, before the directories in it.
pub(crate) fn order(path: &RepoPath) -> (RepoPath, RepoPath) {
    (path.parent().unwrap_or_default(), path.clone())
}

/// The comparison of the selected file, if it is there by lines.
pub(crate) fn text_of(compared: Option<&Compared>) -> Option<&Arc<TextDiff>> {
    match compared {
        Some(Compared::Ready(diff)) if diff.outcome == Outcome::Text => Some(diff),
        _ => None,
    }
}
