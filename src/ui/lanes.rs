//! The graph beside the timeline: which column each line of commits is drawn in.
//!
//! A line begins at the step whose state it forked from and ends at its last commit. After a rollback the old line ends
//! there and stays to be seen; the new one runs beside it for as long as both are there, and columns are used again.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::api::Row;
use crate::model::{CommitId, Ordinal, StepKind};

use super::rows::{self, Rows, ZERO};

/// Most columns that are drawn; further lines share the last.
pub(crate) const MAX_COLUMNS: usize = 5;

/// Columns up to which a line is drawn from where it forked. Many tries from one step would otherwise fill the screen
/// with lines that only wait for their beginning.
const JOINED_COLUMNS: usize = 3;

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
    /// It is drawn from where it forked, not from its own first step.
    joined: bool,
    column: usize,
}

impl Lane {
    /// The step after which it is drawn.
    fn drawn_from(&self) -> Ordinal {
        if self.joined { self.start } else { self.born }
    }
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
            joined: false,
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

    /// Gives each line its column; once all rows are there (`complete`), finds the steps that lines forked from.
    pub(crate) fn settle(&mut self, rows: &Rows, complete: bool) {
        if complete {
            self.tie(rows);
        }
        let mut order: Vec<u32> = self.lanes.keys().copied().collect();
        order.sort_by_key(|id| self.lanes.get(id).map(|l| (l.start, l.born)));
        let mut taken: Vec<Vec<(Ordinal, Ordinal)>> = Vec::new();
        for id in order {
            let Some(lane) = self.lanes.get_mut(&id) else {
                continue;
            };
            let end = lane.last;
            let place = |start: Ordinal| {
                let free = |spans: &Vec<(Ordinal, Ordinal)>| {
                    spans.iter().all(|(a, b)| *b <= start || end <= *a)
                };
                taken.iter().position(free).unwrap_or(taken.len())
            };
            let mut start = lane.start;
            let mut column = place(start);
            lane.joined = lane.tied;
            if column >= JOINED_COLUMNS {
                start = lane.born;
                column = place(start);
                lane.joined = false;
            }
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

    /// Finds the first step with the commit that each line forked from: later ones are rollbacks to it.
    fn tie(&mut self, rows: &Rows) {
        let mut wanted: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        for (id, lane) in &mut self.lanes {
            let Some((_, parent)) = lane.from.filter(|_| !lane.tied) else {
                continue;
            };
            let before = rows.position(lane.born).unwrap_or_else(|i| i);
            if lane.sought != before {
                lane.sought = before;
                let key = rows::commit_key(parent);
                wanted.entry(key).or_default().push(*id);
            }
        }
        if wanted.is_empty() {
            return;
        }
        for (ordinal, commit) in rows.commits() {
            let Some(lines) = wanted.remove(&commit) else {
                continue;
            };
            for line in lines {
                if let Some(lane) = self.lanes.get_mut(&line)
                    && ordinal < lane.born
                {
                    lane.start = ordinal;
                    lane.tied = true;
                }
            }
            if wanted.is_empty() {
                return;
            }
        }
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
            if lane.drawn_from() < row.ordinal && row.ordinal <= lane.last && lane.column != own {
                set(lane.column * 2, Cell::Pass, lane.column);
            }
        }
        set(own * 2, Cell::Own, own);
        let children = self
            .lanes
            .values()
            .filter(|l| l.joined && l.start == row.ordinal && l.column != own);
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::model::{CallKind, SessionId, Status, StepId, Time};

    fn commit(n: u64) -> CommitId {
        CommitId::from(blake3::hash(&n.to_le_bytes()))
    }

    /// A row with a commit on a line; `from` is the line and the step that the line forked from.
    fn row(n: u64, line: u32, from: Option<(u32, u64)>) -> Row {
        Row {
            step: StepId::of(SessionId::of("s"), &n.to_string()),
            ordinal: Ordinal { major: n, minor: 0 },
            session: None,
            kind: StepKind::Fs,
            call: CallKind::Other,
            tool: String::new(),
            title: String::new(),
            time: Time(0),
            end: None,
            status: Status::None,
            exit_code: None,
            turn: 0,
            commit: Some(commit(n)),
            parent: from.map(|(_, at)| commit(at)),
            commits: 1,
            line,
            from_line: from.map(|(line, _)| line),
            effect: None,
            labels: Vec::new(),
            talk: Default::default(),
        }
    }

    fn marker(n: u64, line: u32, to: u64) -> Row {
        Row {
            kind: StepKind::Marker,
            commit: Some(commit(to)),
            ..row(n, line, None)
        }
    }

    fn graph(list: Vec<Row>) -> (Rows, Lanes) {
        let mut rows = Rows::default();
        let mut lanes = Lanes::default();
        for row in list {
            lanes.see(&row);
            rows.put(row, false);
        }
        lanes.settle(&rows, true);
        (rows, lanes)
    }

    fn drawn(rows: &Rows, lanes: &Lanes) -> Vec<String> {
        rows.from(0)
            .map(|r| {
                let cells = lanes.cells(r);
                let text: String = cells
                    .iter()
                    .map(|(cell, _)| match cell {
                        Cell::Blank => ' ',
                        Cell::Pass => '|',
                        Cell::Own => '*',
                        Cell::Across => '-',
                        Cell::Down => '.',
                        Cell::DownLeft => ',',
                        Cell::Cross => '+',
                    })
                    .collect();
                text.trim_end().to_owned()
            })
            .collect()
    }

    #[test]
    fn a_line_that_was_rolled_back_stays_beside() {
        let (rows, lanes) = graph(vec![
            row(1, 0, None),
            row(2, 0, None),
            row(3, 0, None),
            marker(4, 0, 2),
            row(5, 1, Some((0, 2))),
            row(6, 1, None),
        ]);
        assert_eq!(
            drawn(&rows, &lanes),
            ["*", "*-.", "* |", "* |", "  *", "  *"]
        );
        let history = lanes.history(1, Ordinal { major: 6, minor: 0 });
        let behind: Vec<bool> = rows
            .from(0)
            .map(|r| lanes.left_behind(r, &history))
            .collect();
        assert_eq!(behind, [false, false, true, false, false, false]);
    }

    #[test]
    fn columns_are_used_again() {
        let (rows, lanes) = graph(vec![
            row(1, 0, None),
            row(2, 0, None),
            row(3, 1, Some((0, 1))),
            row(4, 1, None),
            row(5, 2, Some((1, 3))),
            row(6, 2, None),
        ]);
        assert_eq!(drawn(&rows, &lanes), ["*-.", "* |", ",-*", "| *", "*", "*"]);
        assert_eq!(lanes.columns(), 2);
    }

    #[test]
    fn very_many_lines_stay_within_their_columns() {
        let list = (1..=60)
            .map(|n| {
                let line = u32::try_from(n).unwrap();
                row(n, line, (n > 1).then_some((1, 1)))
            })
            .collect();
        let (rows, lanes) = graph(list);
        assert_eq!(lanes.columns(), 3);
        for line in drawn(&rows, &lanes) {
            assert!(line.chars().count() < 2 * MAX_COLUMNS);
        }
    }
}
