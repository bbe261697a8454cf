//! The graph beside the timeline: which column each line of commits is drawn in.
//!
//! A line begins at the step whose state it forked from and ends at its last commit. After a rollback the old line ends
//! there and stays to be seen; the new one runs beside it for as long as both are there, and columns are used again.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::api::Row;
use crate::model::{CommitId, Ordinal, StepKind};

use super::rows::{Rows, ZERO};

/// Most columns that are drawn; further lines share the last.
pub(crate) const MAX_COLUMNS: usize = 5;

/// One line of commits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lane {
    /// The step it forked from, once known; before, its own first step.
    start: Ordinal,
    /// Its own first step.
    born: Ordinal,
    /// Its last step with a commit.
    tip: Ordinal,
    /// Its last step.
    last: Ordinal,
    /// The line and the commit it forked from.
    from: Option<(u32, CommitId)>,
    /// The fork's step was found.
    tied: bool,
    /// Rows among which it was not found: not looked for again until there are more.
    sought: usize,
    column: usize,
}

/// What one cell of the graph holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cell {
    /// Nothing.
    Blank,
    /// A line that passes.
    Pass,
    /// The row's own place.
    Own,
    /// A branch passing to the right of its parent.
    Across,
    /// A line that begins here, to the right of its parent.
    Down,
    /// A line that begins here, to the left of its parent.
    DownLeft,
    /// A branch crossing another line.
    Cross,
}

/// The lines of the graph.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    lanes: BTreeMap<u32, Lane>,
    columns: usize,
    /// Steps that are markers: a rollback is one.
    markers: BTreeSet<Ordinal>,
}

impl Lanes {
    /// Takes note of a row that is new or has changed. Call [`Lanes::settle`] afterwards.
    pub(crate) fn see(&mut self, row: &Row) {
        let from = row.from_line.zip(row.parent);
        let at = row.ordinal;
        let lane = self.lanes.entry(row.line).or_insert_with(|| Lane {
            start: at,
            born: at,
            tip: ZERO,
            last: at,
            from: None,
            tied: false,
            sought: 0,
            column: 0,
        });
        if at < lane.born {
            lane.born = at;
            if !lane.tied {
                lane.start = at;
            }
        }
        lane.last = lane.last.max(at);
        if row.kind == StepKind::Marker {
            self.markers.insert(at);
        }
        if row.commit.is_some() && row.kind != StepKind::Marker {
            lane.tip = lane.tip.max(at);
        }
        if from.is_some() && lane.from.is_none() {
            lane.from = from;
        }
    }

    /// Finds forks that are not known yet and gives each line its column.
    pub(crate) fn settle(&mut self, rows: &Rows) {
        for lane in self.lanes.values_mut() {
            if lane.tied {
                continue;
            }
            let Some((_, parent)) = lane.from else {
                continue;
            };
            let before = rows.position(lane.born).unwrap_or_else(|i| i);
            if lane.sought == before {
                continue;
            }
            lane.sought = before;
            if let Some(row) = rows
                .before(before)
                .find(|r| r.commit == Some(parent) && r.kind != StepKind::Marker)
            {
                lane.start = row.ordinal;
                lane.tied = true;
            }
        }
        let mut order: Vec<u32> = self.lanes.keys().copied().collect();
        order.sort_by_key(|id| self.lanes.get(id).map(|l| (l.start, l.born)));
        let mut taken: Vec<Vec<(Ordinal, Ordinal)>> = Vec::new();
        for id in order {
            let Some(lane) = self.lanes.get_mut(&id) else {
                continue;
            };
            let (start, end) = (lane.start, lane.last);
            let free = |spans: &Vec<(Ordinal, Ordinal)>| {
                spans.iter().all(|(a, b)| *b <= start || end <= *a)
            };
            let column = taken.iter().position(free).unwrap_or(taken.len());
            if column == taken.len() {
                taken.push(Vec::new());
            }
            if let Some(spans) = taken.get_mut(column) {
                spans.push((start, end));
            }
            lane.column = column.min(MAX_COLUMNS - 1);
        }
        self.columns = taken.len().clamp(1, MAX_COLUMNS);
    }

    /// How many columns the graph has.
    pub(crate) fn columns(&self) -> usize {
        self.columns.max(1)
    }

    /// The column of a line.
    pub(crate) fn column(&self, line: u32) -> usize {
        self.lanes.get(&line).map_or(0, |l| l.column)
    }

    /// Which lines lead to the workspace, each with the last step of it that the workspace holds.
    pub(crate) fn history(&self, line: u32, at: Ordinal) -> Vec<(u32, Ordinal)> {
        let mut out = vec![(line, at)];
        let mut line = line;
        while let Some(lane) = self.lanes.get(&line)
            && let Some((from, _)) = lane.from
            && lane.tied
            && out.len() <= self.lanes.len()
        {
            out.push((from, lane.start));
            line = from;
        }
        out
    }

    /// Whether a row's state is not part of the workspace's history: it was rolled back.
    pub(crate) fn left_behind(&self, row: &Row, history: &[(u32, Ordinal)]) -> bool {
        let Some(lane) = self.lanes.get(&row.line) else {
            return false;
        };
        let held = history
            .iter()
            .find(|(line, _)| *line == row.line)
            .map_or(ZERO, |(_, at)| *at);
        // What was tried after the last commit, up to the rollback, went with it.
        let end = self
            .markers
            .range(lane.tip..)
            .next()
            .copied()
            .unwrap_or(ZERO);
        row.ordinal > held && (row.ordinal <= lane.tip || row.ordinal < end)
    }

    /// The cells of a row's graph, each column followed by the one between it and the next.
    pub(crate) fn cells(&self, row: &Row) -> Vec<(Cell, usize)> {
        let columns = self.columns();
        let own = self.column(row.line);
        let mut cells = vec![(Cell::Blank, 0); columns * 2 - 1];
        let mut set = |at: usize, cell: Cell, lane: usize| {
            if let Some(slot) = cells.get_mut(at) {
                *slot = (cell, lane);
            }
        };
        for lane in self.lanes.values() {
            if lane.start < row.ordinal && row.ordinal <= lane.last && lane.column != own {
                set(lane.column * 2, Cell::Pass, lane.column);
            }
        }
        set(own * 2, Cell::Own, own);
        let children = self
            .lanes
            .values()
            .filter(|l| l.tied && l.start == row.ordinal && l.column != own);
        for child in children {
            let (low, high) = (own.min(child.column) * 2, own.max(child.column) * 2);
            for at in low + 1..high {
                let cell = match cells.get(at) {
                    Some((Cell::Pass, lane)) => (Cell::Cross, *lane),
                    _ => (Cell::Across, child.column),
                };
                if let Some(slot) = cells.get_mut(at) {
                    *slot = cell;
                }
            }
            let end = if child.column > own {
                Cell::Down
            } else {
                Cell::DownLeft
            };
            if let Some(slot) = cells.get_mut(child.column * 2) {
                *slot = (end, child.column);
            }
        }
        cells
    }
}
