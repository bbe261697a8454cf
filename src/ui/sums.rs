//! What the overview shows of ranges of rows, kept for blocks of them, so that the overview of a million steps does not
//! look at each.

#[cfg(test)]
use crate::engine::api::Row;
#[cfg(test)]
use crate::model::Status;

/// Rows that are summed up together.
pub(crate) const BLOCK: usize = 32;

/// What the overview shows of a range of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    /// Lines changed.
    pub lines: u64,
    /// Files changed.
    pub files: u64,
    /// Steps that failed.
    pub failed: u32,
    /// Something has a label.
    pub label: bool,
}

impl Sum {
    /// Of one row. What was left behind does not count.
    #[cfg(test)]
    pub(crate) fn of(row: &Row) -> Self {
        if row.talk.dead {
            return Self::default();
        }
        let effect = row.effect.unwrap_or_default();
        Self {
            lines: u64::from(effect.added) + u64::from(effect.removed),
            files: u64::from(effect.files),
            failed: u32::from(row.status == Status::Error),
            label: !row.labels.is_empty(),
        }
    }

    /// Takes another range in.
    pub(crate) fn add(&mut self, other: Self) {
        self.lines += other.lines;
        self.files += other.files;
        self.failed = self.failed.saturating_add(other.failed);
        self.label |= other.label;
    }
}

/// The sums of a run of rows, block by block.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    blocks: Vec<Sum>,
    all: Sum,
}

impl Sums {
    /// After the rows from `at` on have changed (or only that one, when their places are the same); `of` gives a row's.
    pub(crate) fn renew(&mut self, len: usize, at: usize, only: bool, of: impl Fn(usize) -> Sum) {
        let first = at / BLOCK;
        self.blocks.resize(len.div_ceil(BLOCK), Sum::default());
        let last = if only { first + 1 } else { self.blocks.len() };
        for (n, block) in self.blocks.iter_mut().enumerate().take(last).skip(first) {
            *block = Sum::default();
            for i in n * BLOCK..len.min((n + 1) * BLOCK) {
                block.add(of(i));
            }
        }
        self.all = Sum::default();
        for block in &self.blocks {
            self.all.add(*block);
        }
    }

    /// Of all rows.
    pub(crate) fn whole(&self) -> Sum {
        self.all
    }

    /// Adds each part of the rows, which begin at place `start` of `all`, to its cell.
    pub(crate) fn spread(
        &self,
        len: usize,
        of: impl Fn(usize) -> Sum,
        start: usize,
        all: usize,
        out: &mut [Sum],
    ) {
        let cells = out.len();
        let cell_of = |at: usize| at * cells / all.max(1);
        let ends = (cell_of(start), cell_of(start + len.saturating_sub(1)));
        if ends.0 == ends.1 {
            if let Some(cell) = out.get_mut(ends.0) {
                cell.add(self.all);
            }
            return;
        }
        for (n, block) in self.blocks.iter().enumerate() {
            let (from, to) = (n * BLOCK, len.min((n + 1) * BLOCK));
            let (first, last) = (cell_of(start + from), cell_of(start + to.saturating_sub(1)));
            if first == last {
                if let Some(cell) = out.get_mut(first) {
                    cell.add(*block);
                }
                continue;
            }
            for i in from..to {
                if let Some(cell) = out.get_mut(cell_of(start + i)) {
                    cell.add(of(i));
                }
            }
        }
    }
}
