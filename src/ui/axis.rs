//! The overview by the clock: each cell is a span of time, so that pauses are seen as such.
//!
//! Rows know their times only unpacked. So among many the times of their chunks are taken, and what lies between two of these
//! is spread evenly.

use crate::model::Time;

use super::rows::Rows;
use super::sums::Sum;

/// Runs of so many rows are looked at row by row.
const EXACT: usize = 8_192;

/// Where cells begin among the rows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    /// The place of each cell's first row; one more at the end.
    bounds: Vec<usize>,
}

impl Axis {
    /// Spreads the rows over cells by when they were. `None` where no times were told, or all at once.
    pub(crate) fn of(rows: &Rows, cells: usize) -> Option<Self> {
        let (first, last) = (rows.first()?.time.0, rows.last()?.time.0);
        let span = last.checked_sub(first).filter(|s| *s > 0 && first != 0)?;
        let mut known: Vec<(usize, i64)> = if rows.len() <= EXACT {
            (0..rows.len())
                .filter_map(|at| Some((at, rows.get(at)?.time.0)))
                .collect()
        } else {
            rows.times().map(|(at, Time(time))| (at, time)).collect()
        };
        known.push((rows.len(), last.saturating_add(1)));
        // Steps of several agents may overlap in time.
        let mut latest = i64::MIN;
        for (_, time) in &mut known {
            latest = latest.max(*time);
            *time = latest;
        }
        let mut bounds: Vec<usize> = (0..cells)
            .map(|cell| {
                let share = i128::from(span) * cell as i128 / cells.max(1) as i128;
                place_of(&known, i128::from(first) + share)
            })
            .collect();
        bounds.push(rows.len());
        Some(Self { bounds })
    }

    /// What was in each cell.
    pub(crate) fn sums(&self, rows: &Rows) -> Vec<Sum> {
        self.bounds
            .windows(2)
            .map(|ends| rows.sum(ends[0], ends[1]))
            .collect()
    }

    /// The cell of a row.
    pub(crate) fn cell_of(&self, index: usize) -> usize {
        let cells = self.bounds.len().saturating_sub(1);
        let after = self.bounds[..cells].partition_point(|b| *b <= index);
        after.saturating_sub(1)
    }
}

/// The first row at or after a time, between places whose times are known.
fn place_of(known: &[(usize, i64)], time: i128) -> usize {
    let after = known.partition_point(|(_, t)| i128::from(*t) < time);
    let Some((to, end)) = known.get(after) else {
        return known.last().map_or(0, |(at, _)| *at);
    };
    let Some((from, start)) = after.checked_sub(1).and_then(|at| known.get(at)) else {
        return *to;
    };
    let (start, end) = (i128::from(*start), i128::from(*end));
    let rows = (to - from) as i128;
    // Rounded up: one that was before the time is not in its cell.
    let part = ((time - start) * rows + (end - start) - 1) / (end - start).max(1);
    from + usize::try_from(part).unwrap_or(0).min(to - from)
}
