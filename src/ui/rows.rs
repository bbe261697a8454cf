//! The timeline's rows, in order of their ordinals.
//!
//! Pages arrive newest first and then from the beginning, rows change in place, and a step may be found late between
//! two others: so rows lie in chunks, each insertion costs one chunk at most, and a row is found by its place or its
//! ordinal in logarithmic time. Each chunk keeps sums, so that the overview of a million steps reads a thousand chunks.

use crate::engine::api::Row;
use crate::model::{Ordinal, Status, StepKind};

/// Before the first step.
pub(crate) const ZERO: Ordinal = Ordinal { major: 0, minor: 0 };

/// Rows in a chunk before it is split.
const CHUNK: usize = 1024;

/// What the overview shows of a range of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    /// Lines changed.
    pub lines: u64,
    /// Files changed.
    pub files: u64,
    /// Something failed.
    pub failed: bool,
    /// Something has a label.
    pub label: bool,
}

impl Sum {
    fn of(row: &Row) -> Self {
        let effect = row.effect.unwrap_or_default();
        Self {
            lines: u64::from(effect.added) + u64::from(effect.removed),
            files: u64::from(effect.files),
            failed: row.status == Status::Error,
            label: !row.labels.is_empty(),
        }
    }

    fn add(&mut self, other: Self) {
        self.lines += other.lines;
        self.files += other.files;
        self.failed |= other.failed;
        self.label |= other.label;
    }
}

#[derive(Debug, Default)]
struct Chunk {
    rows: Vec<Row>,
    sum: Sum,
}

impl Chunk {
    fn new(rows: Vec<Row>) -> Self {
        let mut chunk = Self {
            rows,
            sum: Sum::default(),
        };
        chunk.count();
        chunk
    }

    fn count(&mut self) {
        self.sum = Sum::default();
        for row in &self.rows {
            self.sum.add(Sum::of(row));
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
    len: usize,
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

    /// Puts a row in its place, over the one with its ordinal if there is one.
    pub(crate) fn put(&mut self, row: Row) {
        // New steps come at the end: keep the last chunk open for them.
        let mut at = self.chunks.partition_point(|c| c.last() < row.ordinal);
        if at == self.chunks.len() && at > 0 && self.chunks[at - 1].rows.len() < CHUNK {
            at -= 1;
        }
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.push(Chunk::new(vec![row]));
            self.renumber();
            return;
        };
        match chunk.rows.binary_search_by(|r| r.ordinal.cmp(&row.ordinal)) {
            Ok(i) => {
                chunk.rows[i] = row;
                chunk.count();
            }
            Err(i) => {
                let appended = i == chunk.rows.len();
                chunk.sum.add(Sum::of(&row));
                chunk.rows.insert(i, row);
                if chunk.rows.len() > 2 * CHUNK {
                    let upper = chunk.rows.split_off(CHUNK);
                    chunk.count();
                    self.chunks.insert(at + 1, Chunk::new(upper));
                    self.renumber();
                } else if appended && at + 1 == self.chunks.len() {
                    self.len += 1;
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
            chunk.rows.remove(i);
            if chunk.rows.is_empty() {
                self.chunks.remove(at);
            } else {
                chunk.count();
            }
            self.renumber();
        }
    }

    /// Puts a page in its place. Rows for which `keep` says so stay as they are.
    pub(crate) fn put_page(&mut self, mut page: Vec<Row>, keep: impl Fn(Ordinal) -> bool) {
        page.sort_by_key(|r| r.ordinal);
        page.dedup_by_key(|r| r.ordinal);
        let (Some(first), Some(last)) = (page.first(), page.last()) else {
            return;
        };
        let at = self.chunks.partition_point(|c| c.last() < first.ordinal);
        let apart = self.chunks.get(at).is_none_or(|c| c.first() > last.ordinal);
        if apart {
            self.chunks.insert(at, Chunk::new(page));
            self.renumber();
        } else {
            for row in page {
                if !keep(row.ordinal) || self.position(row.ordinal).is_err() {
                    self.put(row);
                }
            }
        }
    }

    fn renumber(&mut self) {
        self.starts.clear();
        let mut at = 0;
        for chunk in &self.chunks {
            self.starts.push(at);
            at += chunk.rows.len();
        }
        self.len = at;
    }

    /// Sums for `cells` equal parts of all rows.
    pub(crate) fn overview(&self, cells: usize) -> Vec<Sum> {
        let mut out = vec![Sum::default(); cells];
        if self.len == 0 || cells == 0 {
            return out;
        }
        let coarse = self.len / cells >= 4 * CHUNK;
        for (chunk, start) in self.chunks.iter().zip(&self.starts) {
            if coarse {
                if let Some(sum) = out.get_mut(start * cells / self.len) {
                    sum.add(chunk.sum);
                }
                continue;
            }
            for (i, row) in chunk.rows.iter().enumerate() {
                if let Some(sum) = out.get_mut((start + i) * cells / self.len) {
                    sum.add(Sum::of(row));
                }
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

    /// The nearest place after (or before) `index` whose row fits.
    pub(crate) fn find(
        &self,
        index: usize,
        forward: bool,
        fits: impl Fn(&Row) -> bool,
    ) -> Option<usize> {
        if forward {
            self.from(index + 1).position(&fits).map(|n| index + 1 + n)
        } else {
            self.before(index).position(&fits).map(|n| index - 1 - n)
        }
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

/// Whether a step begins a turn.
pub(crate) fn begins_turn(row: &Row) -> bool {
    row.kind == StepKind::Prompt
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::model::{CallKind, SessionId, StepId, Time};
    use proptest::prelude::*;

    fn ordinal(major: u64, minor: u32) -> Ordinal {
        format!("{major}.{minor}").parse().unwrap()
    }

    fn row(major: u64, minor: u32, title: &str) -> Row {
        Row {
            step: StepId::of(SessionId::of("s"), &format!("{major}.{minor}")),
            ordinal: ordinal(major, minor),
            session: None,
            kind: StepKind::Fs,
            call: CallKind::Other,
            tool: String::new(),
            title: title.to_owned(),
            time: Time(0),
            end: None,
            status: Status::None,
            exit_code: None,
            turn: 0,
            commit: None,
            parent: None,
            commits: 0,
            line: 0,
            from_line: None,
            effect: None,
            labels: Vec::new(),
            talk: Default::default(),
        }
    }

    fn titles(rows: &Rows) -> Vec<String> {
        rows.from(0).map(|r| r.title.clone()).collect()
    }

    #[test]
    fn the_tail_comes_first_and_the_rest_before_it() {
        let mut rows = Rows::default();
        rows.put_page((3..5).map(|i| row(i, 0, &i.to_string())).collect(), |_| {
            false
        });
        rows.put_page((1..4).map(|i| row(i, 0, &i.to_string())).collect(), |_| {
            false
        });
        rows.put(row(5, 0, "5"));
        rows.put(row(2, 1, "2.1"));
        assert_eq!(titles(&rows), ["1", "2", "2.1", "3", "4", "5"]);
        assert_eq!(rows.len(), 6);
        assert_eq!(rows.position(ordinal(3, 0)), Ok(3));
        assert_eq!(rows.position(ordinal(9, 0)), Err(6));
    }

    #[test]
    fn a_page_does_not_overwrite_what_came_after_it_was_asked_for() {
        let mut rows = Rows::default();
        rows.put(row(2, 0, "new"));
        rows.put_page(vec![row(1, 0, "1"), row(2, 0, "old")], |o| {
            o == ordinal(2, 0)
        });
        assert_eq!(titles(&rows), ["1", "new"]);
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_map(puts in proptest::collection::vec((0u64..3000, 0u32..2), 1..400)) {
            let mut rows = Rows::default();
            let mut model = std::collections::BTreeMap::new();
            rows.put_page((500..2800).map(|i| row(i, 0, "page")).collect(), |_| false);
            for i in 500..2800 { model.insert((i, 0), "page".to_owned()); }
            for (n, (a, b)) in puts.into_iter().enumerate() {
                rows.put(row(a, b, &n.to_string()));
                model.insert((a, b), n.to_string());
            }
            let want: Vec<String> = model.values().cloned().collect();
            prop_assert_eq!(&titles(&rows), &want);
            prop_assert_eq!(rows.len(), want.len());
            for at in [0, 1, want.len() / 2, want.len() - 1] {
                prop_assert_eq!(&rows.get(at).unwrap().title, &want[at]);
                let back: Vec<String> = rows.before(at).map(|r| r.title.clone()).collect();
                let mut expected = want[..at].to_vec();
                expected.reverse();
                prop_assert_eq!(back, expected);
            }
        }
    }

    #[test]
    fn a_million_rows_are_quick() {
        let mut rows = Rows::default();
        for page in (0..1000u64).rev() {
            rows.put_page(
                (page * 1000..page * 1000 + 1000)
                    .map(|i| row(i, 0, ""))
                    .collect(),
                |_| false,
            );
        }
        let start = std::time::Instant::now();
        for i in 0..100u64 {
            rows.put(row(1_000_000 + i, 0, ""));
            assert_eq!(rows.overview(100).len(), 100);
            assert!(rows.get(500_000).is_some());
        }
        let each = start.elapsed() / 100;
        assert!(each < std::time::Duration::from_millis(5), "{each:?}");
    }
}
