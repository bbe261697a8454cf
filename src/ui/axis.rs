//! The overview by the clock: each cell is a span of time, so that pauses are seen as such.

use crate::model::Time;

use super::rows::Rows;
use super::sums::Sum;

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
        let mut bounds: Vec<usize> = (0..cells)
            .map(|cell| {
                let share = i128::from(span) * cell as i128 / cells.max(1) as i128;
                let from = first.saturating_add(i64::try_from(share).unwrap_or(i64::MAX));
                place_of(rows, Time(from))
            })
            .collect();
        // Steps of several agents may overlap in time.
        for i in 1..bounds.len() {
            bounds[i] = bounds[i].max(bounds[i - 1]);
        }
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

/// The first row at or after a time.
fn place_of(rows: &Rows, time: Time) -> usize {
    let (mut low, mut high) = (0, rows.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if rows.get(middle).is_some_and(|r| r.time < time) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
