//! The timeline's rows, in order of their ordinals.
//!
//! Pages arrive newest first and then from the beginning, rows change in place, and a step may be found late between
//! two others: so rows lie in chunks, each insertion costs one chunk at most, and a row is found by its place or its
//! ordinal in logarithmic time. Which rows are folded away or filtered out is kept beside them, with how many of a chunk
//! are not: the list on the screen is a view of the others, and a fold costs the rows that are in it.

use std::ops::RangeInclusive;

use crate::engine::api::Row;
use crate::model::{Ordinal, Status, StepKind};

use super::sums::{Sum, Sums};

/// Before the first step.
pub(crate) const ZERO: Ordinal = Ordinal { major: 0, minor: 0 };

/// Rows in a chunk before it is split.
const CHUNK: usize = 1024;

#[derive(Debug, Default)]
struct Chunk {
    rows: Vec<Row>,
    /// For each row, whether it is not in the list.
    hidden: Vec<bool>,
    /// How many are.
    shown: usize,
    sums: Sums,
}

impl Chunk {
    fn new(rows: Vec<Row>, hidden: Vec<bool>) -> Self {
        let mut chunk = Self {
            shown: hidden.iter().filter(|h| !**h).count(),
            rows,
            hidden,
            sums: Sums::default(),
        };
        chunk.sums.renew(&chunk.rows, 0, false);
        chunk
    }

    fn split(&mut self) -> Self {
        let rows = self.rows.split_off(CHUNK);
        let hidden = self.hidden.split_off(CHUNK);
        let upper = Self::new(rows, hidden);
        self.shown -= upper.shown;
        self.sums.renew(&self.rows, 0, false);
        upper
    }

    fn hide(&mut self, at: usize, hidden: bool) {
        if let Some(slot) = self.hidden.get_mut(at)
            && *slot != hidden
        {
            *slot = hidden;
            if hidden {
                self.shown -= 1;
            } else {
                self.shown += 1;
            }
        }
    }

    fn first(&self) -> Ordinal {
        self.rows.first().map_or(ZERO, |r| r.ordinal)
    }

    fn last(&self) -> Ordinal {
        self.rows.last().map_or(ZERO, |r| r.ordinal)
    }
}

/// All rows that have been loaded.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    chunks: Vec<Chunk>,
    /// Where each chunk begins.
    starts: Vec<usize>,
    /// How many rows before each chunk are in the list.
    shown: Vec<usize>,
    len: usize,
    shown_len: usize,
}

impl Rows {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The row at a place.
    pub(crate) fn get(&self, index: usize) -> Option<&Row> {
        if index >= self.len {
            return None;
        }
        let chunk = self
            .starts
            .partition_point(|s| *s <= index)
            .checked_sub(1)?;
        self.chunks[chunk].rows.get(index - self.starts[chunk])
    }

    /// The first row.
    pub(crate) fn first(&self) -> Option<&Row> {
        self.get(0)
    }

    /// The last row.
    pub(crate) fn last(&self) -> Option<&Row> {
        self.get(self.len.checked_sub(1)?)
    }

    /// The place of the row with this ordinal, or where it would be.
    pub(crate) fn position(&self, ordinal: Ordinal) -> Result<usize, usize> {
        let chunk = self.chunks.partition_point(|c| c.last() < ordinal);
        let Some(found) = self.chunks.get(chunk) else {
            return Err(self.len);
        };
        match found.rows.binary_search_by(|r| r.ordinal.cmp(&ordinal)) {
            Ok(i) => Ok(self.starts[chunk] + i),
            Err(i) => Err(self.starts[chunk] + i),
        }
    }

    /// The row with this ordinal.
    pub(crate) fn at(&self, ordinal: Ordinal) -> Option<&Row> {
        self.get(self.position(ordinal).ok()?)
    }

    /// Rows from a place on.
    pub(crate) fn from(&self, index: usize) -> impl Iterator<Item = &Row> {
        let chunk = self
            .starts
            .partition_point(|s| *s <= index)
            .saturating_sub(1);
        let skip = index - self.starts.get(chunk).copied().unwrap_or(0);
        self.chunks
            .get(chunk..)
            .unwrap_or_default()
            .iter()
            .flat_map(|c| c.rows.iter())
            .skip(skip)
    }

    /// Rows before a place, nearest first.
    pub(crate) fn before(&self, index: usize) -> impl Iterator<Item = &Row> {
        let index = index.min(self.len);
        let chunk = self.starts.partition_point(|s| *s < index);
        let within = index - chunk.checked_sub(1).map_or(0, |c| self.starts[c]);
        let (whole, part) = match chunk.checked_sub(1) {
            Some(c) => (&self.chunks[..c], &self.chunks[c].rows[..within]),
            None => (&self.chunks[..0], &[][..]),
        };
        part.iter()
            .rev()
            .chain(whole.iter().rev().flat_map(|c| c.rows.iter().rev()))
    }

    /// How many rows are in the list.
    pub(crate) fn shown_len(&self) -> usize {
        self.shown_len
    }

    /// The place of the row in a line of the list.
    pub(crate) fn nth_shown(&self, line: usize) -> Option<usize> {
        if line >= self.shown_len {
            return None;
        }
        let chunk = self.shown.partition_point(|s| *s <= line).checked_sub(1)?;
        let within = line - self.shown[chunk];
        let hidden = &self.chunks[chunk].hidden;
        let mut shown = (0..hidden.len()).filter(|i| !hidden[*i]);
        Some(self.starts[chunk] + shown.nth(within)?)
    }

    /// How many rows of the list lie before a place.
    pub(crate) fn shown_before(&self, index: usize) -> usize {
        if index >= self.len {
            return self.shown_len;
        }
        let Some(chunk) = self.starts.partition_point(|s| *s <= index).checked_sub(1) else {
            return 0;
        };
        let within = index - self.starts[chunk];
        let hidden = self.chunks[chunk].hidden.iter().take(within);
        self.shown[chunk] + hidden.filter(|h| !**h).count()
    }

    /// Whether the row at a place is not in the list.
    pub(crate) fn is_hidden(&self, index: usize) -> bool {
        let Some(chunk) = self.starts.partition_point(|s| *s <= index).checked_sub(1) else {
            return false;
        };
        let hidden = &self.chunks[chunk].hidden;
        hidden.get(index - self.starts[chunk]).is_some_and(|h| *h)
    }

    /// Decides anew which rows of a range are in the list.
    pub(crate) fn rehide(&mut self, range: &RangeInclusive<Ordinal>, hides: impl Fn(&Row) -> bool) {
        for chunk in &mut self.chunks {
            if chunk.last() < *range.start() || chunk.first() > *range.end() {
                continue;
            }
            for i in 0..chunk.rows.len() {
                let row = &chunk.rows[i];
                if range.contains(&row.ordinal) {
                    let hidden = hides(row);
                    chunk.hide(i, hidden);
                }
            }
        }
        self.renumber();
    }

    /// Puts a row in its place, over the one with its ordinal if there is one.
    pub(crate) fn put(&mut self, row: Row, hidden: bool) {
        // New steps come at the end: keep the last chunk open for them.
        let mut at = self.chunks.partition_point(|c| c.last() < row.ordinal);
        if at == self.chunks.len() && at > 0 && self.chunks[at - 1].rows.len() < CHUNK {
            at -= 1;
        }
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.push(Chunk::new(vec![row], vec![hidden]));
            self.renumber();
            return;
        };
        match chunk.rows.binary_search_by(|r| r.ordinal.cmp(&row.ordinal)) {
            Ok(i) => {
                chunk.rows[i] = row;
                chunk.sums.renew(&chunk.rows, i, true);
                let before = chunk.shown;
                chunk.hide(i, hidden);
                if chunk.shown != before {
                    self.renumber();
                }
            }
            Err(i) => {
                let appended = i == chunk.rows.len();
                chunk.rows.insert(i, row);
                chunk.hidden.insert(i, hidden);
                chunk.shown += usize::from(!hidden);
                if chunk.rows.len() > 2 * CHUNK {
                    let upper = chunk.split();
                    self.chunks.insert(at + 1, upper);
                    self.renumber();
                    return;
                }
                chunk.sums.renew(&chunk.rows, i, appended);
                if appended && at + 1 == self.chunks.len() {
                    self.len += 1;
                    self.shown_len += usize::from(!hidden);
                } else {
                    self.renumber();
                }
            }
        }
    }

    /// Takes a row out.
    pub(crate) fn remove(&mut self, ordinal: Ordinal) {
        let at = self.chunks.partition_point(|c| c.last() < ordinal);
        let Some(chunk) = self.chunks.get_mut(at) else {
            return;
        };
        if let Ok(i) = chunk.rows.binary_search_by(|r| r.ordinal.cmp(&ordinal)) {
            let (mut rows, mut hidden) = (
                std::mem::take(&mut chunk.rows),
                std::mem::take(&mut chunk.hidden),
            );
            rows.remove(i);
            hidden.remove(i);
            if rows.is_empty() {
                self.chunks.remove(at);
            } else {
                *chunk = Chunk::new(rows, hidden);
            }
            self.renumber();
        }
    }

    /// Puts a page in its place when no row is there yet; else gives it back, to be put row by row.
    pub(crate) fn put_page(
        &mut self,
        page: Vec<Row>,
        hides: impl Fn(&Row) -> bool,
    ) -> Result<(), Vec<Row>> {
        let (Some(first), Some(last)) = (page.first(), page.last()) else {
            return Ok(());
        };
        let at = self.chunks.partition_point(|c| c.last() < first.ordinal);
        let apart = self.chunks.get(at).is_none_or(|c| c.first() > last.ordinal);
        let sorted = page.is_sorted_by(|a, b| a.ordinal < b.ordinal);
        if !apart || !sorted || page.len() > 2 * CHUNK {
            return Err(page);
        }
        let hidden = page.iter().map(hides).collect();
        self.chunks.insert(at, Chunk::new(page, hidden));
        self.renumber();
        Ok(())
    }

    fn renumber(&mut self) {
        self.starts.clear();
        self.shown.clear();
        let (mut at, mut shown) = (0, 0);
        for chunk in &self.chunks {
            self.starts.push(at);
            self.shown.push(shown);
            at += chunk.rows.len();
            shown += chunk.shown;
        }
        self.len = at;
        self.shown_len = shown;
    }

    /// Sums for `cells` equal parts of all rows.
    pub(crate) fn overview(&self, cells: usize) -> Vec<Sum> {
        let mut out = vec![Sum::default(); cells];
        if self.len > 0 && cells > 0 {
            for (chunk, start) in self.chunks.iter().zip(&self.starts) {
                chunk.sums.spread(&chunk.rows, *start, self.len, &mut out);
            }
        }
        out
    }

    /// The cell of the overview in which a place lies.
    pub(crate) fn cell_of(&self, index: usize, cells: usize) -> usize {
        if self.len == 0 {
            return 0;
        }
        (index * cells / self.len).min(cells.saturating_sub(1))
    }

    /// The n-th place after (or before) `index` whose row fits, or the last that there is.
    pub(crate) fn nth_fit(
        &self,
        index: usize,
        n: usize,
        forward: bool,
        fits: impl Fn(&Row) -> bool,
    ) -> Option<usize> {
        if forward {
            let fitting = (index + 1..).zip(self.from(index + 1));
            fitting.filter(|(_, r)| fits(r)).take(n).last()
        } else {
            let fitting = (0..index).rev().zip(self.before(index));
            fitting.filter(|(_, r)| fits(r)).take(n).last()
        }
        .map(|(at, _)| at)
    }
}

/// Whether a step changed files.
pub(crate) fn changed(row: &Row) -> bool {
    row.effect.is_some_and(|e| e.files > 0)
}

/// Whether a step failed.
pub(crate) fn failed(row: &Row) -> bool {
    row.status == Status::Error
}

/// Whether a step begins a turn: what a subagent is asked does not.
pub(crate) fn begins_turn(row: &Row) -> bool {
    row.kind == StepKind::Prompt && row.talk.thread == 0
}
