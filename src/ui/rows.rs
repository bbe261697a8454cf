//! The timeline's rows, in order of their ordinals: a million of them in little room.
//!
//! Pages arrive newest first, rows change in place, and a step may be found late between two others: so rows lie in chunks,
//! each insertion costs one chunk at most, and a row is found by its place or its ordinal in logarithmic time. Which rows are
//! folded away or filtered out is kept beside them, with how many of a chunk are not: the list on the screen is a view of the
//! others.
//!
//! Of a chunk that nobody looks at only a [`Brief`] of each row is in memory, and the rows themselves packed. [`Rows::get`]
//! unpacks a chunk when one of its rows is asked for; [`Rows::trim`] packs again what was not used for longest. So who walks
//! over many rows asks for their briefs ([`Rows::nth_brief`], [`Rows::briefs`]), not for the rows.

use std::cell::{Cell, OnceCell};
use std::collections::HashSet;
use std::ops::RangeInclusive;

use crate::engine::api::{Row, pack, unpack};
use crate::model::{CommitId, Ordinal, Status, StepKind, Time};

use super::brief::{Brief, Edit, Facts, Slims};
use super::sums::{Sum, Sums};

/// Before the first step.
pub(crate) const ZERO: Ordinal = Ordinal { major: 0, minor: 0 };

/// Rows in a chunk before it is split; a page may be twice as long.
const CHUNK: usize = 1024;

/// Chunks whose rows stay unpacked.
const OPEN: usize = 12;

#[derive(Debug)]
struct Chunk {
    /// What is kept of each row.
    slims: Slims,
    /// For each row, whether it is not in the list.
    hidden: Vec<bool>,
    /// How many are.
    shown: usize,
    sums: Sums,
    /// The rows, packed; `None` when they have changed since. Then they are unpacked below.
    packed: Option<Box<[u8]>>,
    rows: OnceCell<Vec<Row>>,
    /// When one of its rows was asked for last.
    used: Cell<u64>,
    /// When its first row was.
    began: Time,
}

impl Chunk {
    /// Of rows in order. `None` when their numbers lie too far apart for one chunk.
    fn new(
        rows: Vec<Row>,
        packed: Option<Box<[u8]>>,
        hides: impl Fn(&Brief) -> bool,
    ) -> Option<Self> {
        let slims = Slims::of(&rows)?;
        let hidden: Vec<bool> = slims.iter().map(|b| hides(&b)).collect();
        let mut chunk = Self {
            shown: hidden.iter().filter(|h| !**h).count(),
            slims,
            hidden,
            sums: Sums::default(),
            packed,
            began: rows.first().map_or(Time(0), |r| r.time),
            rows: OnceCell::from(rows),
            used: Cell::default(),
        };
        chunk.renew(0, false);
        Some(chunk)
    }

    fn renew(&mut self, at: usize, only: bool) {
        let Self { sums, slims, .. } = self;
        sums.renew(slims.len(), at, only, |i| slims.sum(i));
    }

    fn len(&self) -> usize {
        self.slims.len()
    }

    fn rows(&self) -> &Vec<Row> {
        self.rows.get_or_init(|| self.unpacked())
    }

    fn unpacked(&self) -> Vec<Row> {
        let rows = self.packed.as_deref().map(unpack);
        match rows {
            Some(Ok(rows)) if rows.len() == self.len() => rows,
            // They were read once, so this is a fault of the machine: what is known is shown.
            _ => self.slims.iter().map(|b| b.to_row()).collect(),
        }
    }

    /// Changes its rows. Whoever also changes what is kept of them does so afterwards.
    fn change<T>(&mut self, change: impl FnOnce(&mut Vec<Row>) -> T) -> T {
        let mut rows = self.rows.take().unwrap_or_else(|| self.unpacked());
        self.packed = None;
        let out = change(&mut rows);
        self.rows = OnceCell::from(rows);
        out
    }

    /// Rows that are packed and unpacked are only packed afterwards.
    fn close(&mut self) {
        if self.packed.is_none()
            && let Some(rows) = self.rows.get()
        {
            self.packed = Some(pack(rows).into());
        }
        self.rows.take();
    }

    /// Its rows with whether they are hidden, in two parts.
    fn cut(mut self, at: usize) -> [Vec<(Row, bool)>; 2] {
        let rows = self.change(std::mem::take);
        let mut all: Vec<(Row, bool)> = rows.into_iter().zip(self.hidden).collect();
        let upper = all.split_off(at.min(all.len()));
        [all, upper]
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
}

/// Chunks of rows that are in order; more than one where their numbers lie far apart.
fn chunks_of(rows: Vec<(Row, bool)>) -> Vec<Chunk> {
    let mut out: Vec<Chunk> = Vec::new();
    let mut part: Vec<(Row, bool)> = Vec::new();
    let mut all = rows.into_iter().peekable();
    while let Some(row) = all.next() {
        part.push(row);
        let first = part.first().map_or(0, |(r, _)| r.ordinal.major);
        let full = part.len() >= CHUNK;
        let apart = |next: &(Row, bool)| !Slims::spans(first, next.0.ordinal.major);
        if full || all.peek().is_none_or(apart) {
            let (rows, hidden): (Vec<Row>, Vec<bool>) =
                std::mem::take(&mut part).into_iter().unzip();
            let marks: HashSet<Ordinal> = rows
                .iter()
                .zip(&hidden)
                .filter(|(_, h)| **h)
                .map(|(r, _)| r.ordinal)
                .collect();
            out.extend(Chunk::new(rows, None, |b| marks.contains(&b.ordinal)));
        }
    }
    out
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
    /// Counts what was asked for.
    clock: Cell<u64>,
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

    /// The chunk of a place, and the place in it.
    fn chunk(&self, index: usize) -> Option<(&Chunk, usize)> {
        if index >= self.len {
            return None;
        }
        let at = self
            .starts
            .partition_point(|s| *s <= index)
            .checked_sub(1)?;
        Some((self.chunks.get(at)?, index - self.starts.get(at)?))
    }

    fn open<'a>(&self, chunk: &'a Chunk) -> &'a Vec<Row> {
        self.clock.set(self.clock.get() + 1);
        chunk.used.set(self.clock.get());
        chunk.rows()
    }

    /// The row at a place.
    pub(crate) fn get(&self, index: usize) -> Option<&Row> {
        let (chunk, at) = self.chunk(index)?;
        self.open(chunk).get(at)
    }

    /// What is kept of the row at a place.
    pub(crate) fn brief(&self, index: usize) -> Option<Brief> {
        let (chunk, at) = self.chunk(index)?;
        chunk.slims.get(at)
    }

    /// The first row.
    pub(crate) fn first(&self) -> Option<&Row> {
        self.get(0)
    }

    /// The last row.
    #[allow(dead_code, reason = "part of what a list offers; tests use it")]
    pub(crate) fn last(&self) -> Option<&Row> {
        self.get(self.len.checked_sub(1)?)
    }

    /// The numbers of the first row and the last.
    pub(crate) fn ends(&self) -> Option<(Ordinal, Ordinal)> {
        Some((
            self.chunks.first()?.slims.first(),
            self.chunks.last()?.slims.last(),
        ))
    }

    /// The place of the row with this ordinal, or where it would be.
    pub(crate) fn position(&self, ordinal: Ordinal) -> Result<usize, usize> {
        let chunk = self.chunks.partition_point(|c| c.slims.last() < ordinal);
        let Some(found) = self.chunks.get(chunk) else {
            return Err(self.len);
        };
        let start = self.starts.get(chunk).copied().unwrap_or(self.len);
        match found.slims.position(ordinal) {
            Ok(i) => Ok(start + i),
            Err(i) => Err(start + i),
        }
    }

    /// The row with this ordinal.
    pub(crate) fn at(&self, ordinal: Ordinal) -> Option<&Row> {
        self.get(self.position(ordinal).ok()?)
    }

    /// What is kept of the row with this ordinal.
    pub(crate) fn brief_at(&self, ordinal: Ordinal) -> Option<Brief> {
        self.brief(self.position(ordinal).ok()?)
    }

    /// Rows from a place on: for some of them. Whoever walks far takes [`Rows::briefs`].
    #[allow(dead_code, reason = "part of what a list offers; tests use it")]
    pub(crate) fn from(&self, index: usize) -> impl Iterator<Item = &Row> {
        (index..self.len).filter_map(|i| self.get(i))
    }

    /// Rows before a place, nearest first: for some of them.
    pub(crate) fn before(&self, index: usize) -> impl Iterator<Item = &Row> {
        (0..index.min(self.len)).rev().filter_map(|i| self.get(i))
    }

    /// What is kept of all rows, in order.
    pub(crate) fn briefs(&self) -> impl Iterator<Item = Brief> {
        self.chunks.iter().flat_map(|c| c.slims.iter())
    }

    /// The steps that have a commit, in order, each with the beginning of its commit's id: see [`commit_key`].
    pub(crate) fn commits(&self) -> impl Iterator<Item = (Ordinal, u64)> {
        let edits = self.chunks.iter().flat_map(|c| c.slims.edits());
        edits
            .filter(|(_, e)| e.commit != 0)
            .map(|(o, e)| (o, e.commit))
    }

    /// The places of the rows that have labels.
    pub(crate) fn labelled(&self) -> Vec<usize> {
        let mut out = Vec::new();
        for (chunk, start) in self.chunks.iter().zip(&self.starts) {
            out.extend(chunk.slims.labelled().map(|at| start + at));
        }
        out
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
        self.chunk(index)
            .is_some_and(|(chunk, at)| chunk.hidden.get(at).is_some_and(|h| *h))
    }

    /// Decides anew which rows of a range are in the list.
    pub(crate) fn rehide(
        &mut self,
        range: &RangeInclusive<Ordinal>,
        mut hides: impl FnMut(&Brief) -> bool,
    ) {
        for chunk in &mut self.chunks {
            if chunk.slims.last() < *range.start() || chunk.slims.first() > *range.end() {
                continue;
            }
            let (Ok(from) | Err(from)) = chunk.slims.position(*range.start());
            for at in from..chunk.len() {
                let Some(brief) = chunk.slims.get(at).filter(|b| b.ordinal <= *range.end()) else {
                    break;
                };
                chunk.hide(at, hides(&brief));
            }
        }
        self.renumber();
    }

    /// Puts a row in its place, over the one with its ordinal if there is one.
    pub(crate) fn put(&mut self, row: Row, hidden: bool) {
        // New steps come at the end: keep the last chunk open for them.
        let mut at = self
            .chunks
            .partition_point(|c| c.slims.last() < row.ordinal);
        if at == self.chunks.len() && at > 0 && self.chunks[at - 1].len() < CHUNK {
            at -= 1;
        }
        self.clock.set(self.clock.get() + 1);
        let clock = self.clock.get();
        let alone = |row| Chunk::new(vec![row], None, |_| hidden);
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.extend(alone(row));
            return self.renumber();
        };
        chunk.used.set(clock);
        // Before what is kept of its rows changes.
        chunk.change(|_| ());
        let i = match chunk.slims.position(row.ordinal) {
            Err(i) => i,
            Ok(i) => {
                chunk.slims.set(i, &row);
                chunk.change(|rows| {
                    if let Some(slot) = rows.get_mut(i) {
                        *slot = row;
                    }
                });
                chunk.renew(i, true);
                let before = chunk.shown;
                chunk.hide(i, hidden);
                if chunk.shown != before {
                    self.renumber();
                }
                return;
            }
        };
        if !chunk.slims.takes(row.ordinal.major) {
            // Its number is too far from the others'.
            let [lower, upper] = self.chunks.remove(at).cut(i);
            let mut parts = chunks_of(lower);
            parts.extend(alone(row));
            parts.extend(chunks_of(upper));
            self.chunks.splice(at..at, parts);
            return self.renumber();
        }
        let appended = i == chunk.len();
        if i == 0 {
            chunk.began = row.time;
        }
        let slims = &mut chunk.slims;
        let mut rows = chunk.rows.take().unwrap_or_default();
        slims.insert(i, &row);
        rows.insert(i, row);
        chunk.rows = OnceCell::from(rows);
        chunk.hidden.insert(i, hidden);
        chunk.shown += usize::from(!hidden);
        if chunk.len() > 2 * CHUNK {
            let [lower, upper] = self.chunks.remove(at).cut(CHUNK);
            let mut parts = chunks_of(lower);
            parts.extend(chunks_of(upper));
            for part in &parts {
                part.used.set(clock);
            }
            self.chunks.splice(at..at, parts);
            return self.renumber();
        }
        chunk.renew(i, appended);
        if appended && at + 1 == self.chunks.len() {
            self.len += 1;
            self.shown_len += usize::from(!hidden);
        } else {
            self.renumber();
        }
    }

    /// Takes a row out.
    pub(crate) fn remove(&mut self, ordinal: Ordinal) {
        let at = self.chunks.partition_point(|c| c.slims.last() < ordinal);
        if let Some(chunk) = self.chunks.get(at)
            && let Ok(i) = chunk.slims.position(ordinal)
        {
            let chunk = self.chunks.remove(at);
            let [mut lower, upper] = chunk.cut(i);
            lower.extend(upper.into_iter().skip(1));
            self.chunks.splice(at..at, chunks_of(lower));
            self.renumber();
        }
    }

    /// Puts a page in its place when no row is there yet; else gives it back, to be put row by row.
    #[cfg(test)]
    pub(crate) fn put_page(
        &mut self,
        page: Vec<Row>,
        hides: impl Fn(&Brief) -> bool,
    ) -> Result<(), Vec<Row>> {
        let (Some(first), Some(last)) = (page.first(), page.last()) else {
            return Ok(());
        };
        let at = self
            .chunks
            .partition_point(|c| c.slims.last() < first.ordinal);
        let apart = self
            .chunks
            .get(at)
            .is_none_or(|c| c.slims.first() > last.ordinal);
        let sorted = page.is_sorted_by(|a, b| a.ordinal < b.ordinal);
        if !apart || !sorted || page.len() > 2 * CHUNK {
            return Err(page);
        }
        let range = first.ordinal..=last.ordinal;
        let _ = self.take_page(page, None, range, &HashSet::new(), hides);
        self.trim();
        Ok(())
    }

    /// Puts a page in the place of all rows of a range; what is to be kept of them is newer than the page. `packed` is the
    /// page, packed. Gives what is not there any more.
    pub(crate) fn take_page(
        &mut self,
        page: Vec<Row>,
        packed: Option<Box<[u8]>>,
        range: RangeInclusive<Ordinal>,
        keep: &HashSet<Ordinal>,
        hides: impl Fn(&Brief) -> bool,
    ) -> Vec<Brief> {
        let from = self
            .chunks
            .partition_point(|c| c.slims.last() < *range.start());
        let to = self
            .chunks
            .partition_point(|c| c.slims.first() <= *range.end())
            .max(from);
        let sorted = page.is_sorted_by(|a, b| a.ordinal < b.ordinal);
        if from == to && sorted && page.len() <= 2 * CHUNK && !page.is_empty() {
            if let Some(chunk) = Chunk::new(page, packed, hides) {
                // Nobody asked for its rows yet, and those that are looked at stay unpacked.
                self.chunks.insert(from, chunk);
            }
            self.renumber();
            return Vec::new();
        }
        let mut rows: Vec<(Row, bool)> = Vec::new();
        let mut lost: Vec<Brief> = Vec::new();
        let old: Vec<Chunk> = self.chunks.drain(from..to).collect();
        for chunk in old {
            let [all, _] = chunk.cut(usize::MAX);
            for (row, hidden) in all {
                if !range.contains(&row.ordinal) || keep.contains(&row.ordinal) {
                    rows.push((row, hidden));
                } else {
                    lost.push(Brief::of(&row));
                }
            }
        }
        let come: HashSet<Ordinal> = page.iter().map(|r| r.ordinal).collect();
        lost.retain(|b| !come.contains(&b.ordinal));
        let kept: HashSet<Ordinal> = rows.iter().map(|(r, _)| r.ordinal).collect();
        for row in page.into_iter().filter(|r| !kept.contains(&r.ordinal)) {
            let hidden = hides(&Brief::of(&row));
            rows.push((row, hidden));
        }
        rows.sort_by_key(|(r, _)| r.ordinal);
        rows.dedup_by_key(|(r, _)| r.ordinal);
        self.chunks.splice(from..from, chunks_of(rows));
        self.renumber();
        lost
    }

    /// Packs what was not looked at for longest.
    pub(crate) fn trim(&mut self) {
        let mut open: Vec<(u64, usize)> = Vec::new();
        for (at, chunk) in self.chunks.iter().enumerate() {
            if chunk.rows.get().is_some() {
                open.push((chunk.used.get(), at));
            }
        }
        if open.len() <= OPEN {
            return;
        }
        open.sort_unstable();
        for (_, at) in open.iter().rev().skip(OPEN) {
            if let Some(chunk) = self.chunks.get_mut(*at) {
                chunk.close();
            }
        }
    }

    /// How many chunks have their rows unpacked.
    #[cfg(test)]
    pub(crate) fn unpacked(&self) -> usize {
        self.chunks
            .iter()
            .filter(|c| c.rows.get().is_some())
            .count()
    }

    fn renumber(&mut self) {
        self.starts.clear();
        self.shown.clear();
        let (mut at, mut shown) = (0, 0);
        for chunk in &self.chunks {
            self.starts.push(at);
            self.shown.push(shown);
            at += chunk.len();
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
                let of = |i| chunk.slims.sum(i);
                chunk
                    .sums
                    .spread(chunk.len(), of, *start, self.len, &mut out);
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

    /// What the overview shows of the rows from a place to before another.
    pub(crate) fn sum(&self, from: usize, to: usize) -> Sum {
        let mut out = Sum::default();
        let to = to.min(self.len);
        let first = self
            .starts
            .partition_point(|s| *s <= from)
            .saturating_sub(1);
        for (chunk, start) in self.chunks.iter().zip(&self.starts).skip(first) {
            let end = start + chunk.len();
            if *start >= to {
                break;
            }
            if from <= *start && end <= to {
                out.add(chunk.sums.whole());
                continue;
            }
            for at in from.saturating_sub(*start)..to.min(end) - start {
                out.add(chunk.slims.sum(at));
            }
        }
        out
    }

    /// Where each chunk begins, and when its first row was.
    pub(crate) fn times(&self) -> impl Iterator<Item = (usize, Time)> {
        let times = self.chunks.iter().map(|c| c.began);
        self.starts.iter().copied().zip(times)
    }

    /// The n-th place after (or before) `index` whose row fits, or the last that there is. Rows that are packed are
    /// unpacked for it, and not kept: among very many rows [`Rows::nth_brief`] is quicker.
    #[cfg(test)]
    pub(crate) fn nth_fit(
        &self,
        index: usize,
        n: usize,
        forward: bool,
        fits: impl Fn(&Row) -> bool,
    ) -> Option<usize> {
        let mut walk = Walk::new(index, n, forward);
        for chunk in self.way(index, forward) {
            let (chunk, start) = (self.chunks.get(chunk)?, *self.starts.get(chunk)?);
            let unpacked;
            let rows = match chunk.rows.get() {
                Some(rows) => rows,
                None => {
                    unpacked = chunk.unpacked();
                    &unpacked
                }
            };
            if walk.through(start, chunk.len(), |i| rows.get(i).is_some_and(&fits)) {
                break;
            }
        }
        walk.found
    }

    /// The n-th place after (or before) `index` whose row fits by what is kept of it, or the last that there is.
    pub(crate) fn nth_brief(
        &self,
        index: usize,
        n: usize,
        forward: bool,
        fits: impl Fn(&Brief) -> bool,
    ) -> Option<usize> {
        let mut walk = Walk::new(index, n, forward);
        for chunk in self.way(index, forward) {
            let (chunk, start) = (self.chunks.get(chunk)?, *self.starts.get(chunk)?);
            let fits = |i| chunk.slims.get(i).is_some_and(|b| fits(&b));
            if walk.through(start, chunk.len(), fits) {
                break;
            }
        }
        walk.found
    }

    /// The chunks from that of a place on, or back.
    fn way(&self, index: usize, forward: bool) -> Box<dyn Iterator<Item = usize>> {
        let at = self
            .starts
            .partition_point(|s| *s <= index)
            .saturating_sub(1);
        let len = self.chunks.len();
        if forward {
            Box::new(at..len)
        } else {
            Box::new((0..len.min(at + 1)).rev())
        }
    }
}

/// A walk to the n-th row that fits.
struct Walk {
    from: usize,
    forward: bool,
    left: usize,
    found: Option<usize>,
}

impl Walk {
    fn new(from: usize, n: usize, forward: bool) -> Self {
        Self {
            from,
            forward,
            left: n,
            found: None,
        }
    }

    /// Goes on through a chunk. `true` when it is over.
    fn through(&mut self, start: usize, len: usize, fits: impl Fn(usize) -> bool) -> bool {
        if self.left == 0 {
            return true;
        }
        let mut look = |at: usize| {
            if fits(at) {
                self.found = Some(start + at);
                self.left -= 1;
            }
            self.left == 0
        };
        if self.forward {
            let first = (self.from + 1).saturating_sub(start);
            (first..len).any(&mut look)
        } else {
            let end = self.from.saturating_sub(start).min(len);
            (0..end).rev().any(&mut look)
        }
    }
}

/// The beginning of a commit's id as a number: enough to tell those of one project apart. Never 0.
pub(crate) fn commit_key(id: CommitId) -> u64 {
    Edit::key(id)
}

/// Whether a step changed files.
pub(crate) fn changed(row: &impl Facts) -> bool {
    row.changed()
}

/// Whether a step failed.
pub(crate) fn failed(row: &impl Facts) -> bool {
    row.status() == Status::Error
}

/// Whether a step begins a turn: what a subagent is asked does not.
pub(crate) fn begins_turn(row: &impl Facts) -> bool {
    row.kind() == StepKind::Prompt && row.thread() == 0
}
