//! What the screen keeps of every row: twenty bytes, and a little more of those that changed something.
//!
//! Folding, the overview and moving by kind look at all rows; they need only this. It is made of rows and never out of step
//! with them: [`super::rows::Rows`] is the only one who keeps it.

use crate::engine::api::{Row, kind_code, kind_of, status_code, status_of};
use crate::model::{CallKind, CommitId, Ordinal, SessionId, Status, StepId, StepKind, Talk, Time};

use super::rows::ZERO;
use super::sums::Sum;

/// What folding, filtering and moving ask of a row.
pub(crate) trait Facts {
    /// Whose run: see [`session_key`].
    fn session(&self) -> u32;
    /// What it is.
    fn kind(&self) -> StepKind;
    /// How it stands.
    fn status(&self) -> Status;
    /// The turn.
    fn turn(&self) -> u32;
    /// Who speaks.
    fn thread(&self) -> u32;
    /// On a branch of the conversation that was left.
    fn dead(&self) -> bool;
    /// It changed files.
    fn changed(&self) -> bool;
}

/// A session in four bytes: 0 for none. Two that are alike by chance would be folded together, no worse.
pub(crate) fn session_key(session: Option<SessionId>) -> u32 {
    session.map_or(0, |s| {
        let [a, b, c, d, ..] = s.0;
        u32::from_le_bytes([a, b, c, d]).max(1)
    })
}

impl Facts for Row {
    fn session(&self) -> u32 {
        session_key(self.session)
    }

    fn kind(&self) -> StepKind {
        self.kind
    }

    fn status(&self) -> Status {
        self.status
    }

    fn turn(&self) -> u32 {
        self.turn
    }

    fn thread(&self) -> u32 {
        self.talk.thread
    }

    fn dead(&self) -> bool {
        self.talk.dead
    }

    fn changed(&self) -> bool {
        self.effect.is_some_and(|e| e.files > 0)
    }
}

/// What is kept of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Brief {
    /// Its number.
    pub ordinal: Ordinal,
    /// Whose run: see [`session_key`].
    pub session: u32,
    /// What it is.
    pub kind: StepKind,
    /// How it stands.
    pub status: Status,
    /// The turn.
    pub turn: u32,
    /// Who speaks.
    pub thread: u32,
    /// How many agents stand above it.
    pub depth: u8,
    /// On a branch of the conversation that was left.
    pub dead: bool,
    /// It changed files.
    pub changed: bool,
    /// It, or its commit, has a label.
    pub labelled: bool,
}

impl Facts for Brief {
    fn session(&self) -> u32 {
        self.session
    }

    fn kind(&self) -> StepKind {
        self.kind
    }

    fn status(&self) -> Status {
        self.status
    }

    fn turn(&self) -> u32 {
        self.turn
    }

    fn thread(&self) -> u32 {
        self.thread
    }

    fn dead(&self) -> bool {
        self.dead
    }

    fn changed(&self) -> bool {
        self.changed
    }
}

impl Brief {
    /// Of a row.
    pub(crate) fn of(row: &Row) -> Self {
        Self {
            ordinal: row.ordinal,
            session: session_key(row.session),
            kind: row.kind,
            status: row.status,
            turn: row.turn,
            thread: row.talk.thread,
            depth: row.talk.depth,
            dead: row.talk.dead,
            changed: row.changed(),
            labelled: !row.labels.is_empty(),
        }
    }

    /// A row that says no more than this.
    pub(crate) fn to_row(self) -> Row {
        Row {
            step: StepId([0; 32]),
            ordinal: self.ordinal,
            session: None,
            kind: self.kind,
            call: CallKind::Other,
            tool: String::new(),
            title: String::new(),
            time: Time(0),
            end: None,
            status: self.status,
            exit_code: None,
            turn: self.turn,
            commit: None,
            parent: None,
            commits: 0,
            line: 0,
            from_line: None,
            effect: None,
            labels: Vec::new(),
            talk: Talk {
                thread: self.thread,
                depth: self.depth,
                dead: self.dead,
                ..Talk::default()
            },
        }
    }
}

const DEAD: u8 = 1;
const CHANGED: u8 = 2;
const LABELLED: u8 = 4;

/// A brief, as it is kept.
#[derive(Debug, Clone, Copy)]
struct Slim {
    /// Counted from the chunk's base.
    major: u32,
    minor: u32,
    turn: u32,
    thread: u32,
    /// Which of the chunk's sessions.
    session: u8,
    depth: u8,
    /// Kind, and status in the upper half.
    what: u8,
    flags: u8,
}

/// What only few rows have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edit {
    /// Which row of the chunk.
    at: u16,
    labelled: bool,
    files: u32,
    lines: u32,
    /// The beginning of its commit's id; 0 for none.
    pub commit: u64,
}

impl Edit {
    pub(super) fn key(id: CommitId) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = id.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1)
    }

    fn of(at: usize, row: &Row) -> Option<Self> {
        let effect = row.effect.unwrap_or_default();
        let edit = Self {
            at: u16::try_from(at).ok()?,
            labelled: !row.labels.is_empty(),
            files: effect.files,
            lines: effect.added.saturating_add(effect.removed),
            commit: row.commit.map_or(0, Self::key),
        };
        let says = edit.labelled || edit.files > 0 || edit.lines > 0 || edit.commit != 0;
        says.then_some(edit)
    }
}

/// The briefs of a chunk.
#[derive(Debug, Default)]
pub(crate) struct Slims {
    base: u64,
    all: Vec<Slim>,
    sessions: Vec<u32>,
    edits: Vec<Edit>,
}

impl Slims {
    /// Whether two numbers can be in one chunk, the lower first.
    pub(crate) fn spans(low: u64, high: u64) -> bool {
        high.checked_sub(low)
            .is_some_and(|n| u32::try_from(n).is_ok())
    }

    /// Of rows in order, when their numbers lie near enough.
    pub(crate) fn of(rows: &[Row]) -> Option<Self> {
        let base = rows.first()?.ordinal.major;
        if !Self::spans(base, rows.last()?.ordinal.major) {
            return None;
        }
        let mut slims = Self {
            base,
            all: Vec::with_capacity(rows.len()),
            ..Self::default()
        };
        for (at, row) in rows.iter().enumerate() {
            let slim = slims.slim(row);
            slims.all.push(slim);
            slims.edits.extend(Edit::of(at, row));
        }
        slims.edits.shrink_to_fit();
        Some(slims)
    }

    fn slim(&mut self, row: &Row) -> Slim {
        let brief = Brief::of(row);
        let known = self.sessions.iter().rposition(|s| *s == brief.session);
        let at = known.unwrap_or_else(|| {
            // Beyond what a byte can say they are all one.
            if self.sessions.len() < 255 {
                self.sessions.push(brief.session);
            }
            self.sessions.len() - 1
        });
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        Slim {
            major: u32::try_from(brief.ordinal.major.saturating_sub(self.base)).unwrap_or(u32::MAX),
            minor: brief.ordinal.minor,
            turn: brief.turn,
            thread: brief.thread,
            session: u8::try_from(at).unwrap_or(u8::MAX),
            depth: brief.depth,
            what: kind_code(brief.kind) | status_code(brief.status) << 4,
            flags: flag(brief.dead, DEAD)
                | flag(brief.changed, CHANGED)
                | flag(brief.labelled, LABELLED),
        }
    }

    fn brief(&self, slim: Slim) -> Brief {
        let session = self.sessions.get(usize::from(slim.session));
        Brief {
            ordinal: self.ordinal(slim),
            session: session.copied().unwrap_or(0),
            kind: kind_of(slim.what & 0xf),
            status: status_of(slim.what >> 4),
            turn: slim.turn,
            thread: slim.thread,
            depth: slim.depth,
            dead: slim.flags & DEAD != 0,
            changed: slim.flags & CHANGED != 0,
            labelled: slim.flags & LABELLED != 0,
        }
    }

    fn ordinal(&self, slim: Slim) -> Ordinal {
        Ordinal {
            major: self.base + u64::from(slim.major),
            minor: slim.minor,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn get(&self, at: usize) -> Option<Brief> {
        self.all.get(at).map(|s| self.brief(*s))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Brief> {
        self.all.iter().map(|s| self.brief(*s))
    }

    pub(crate) fn first(&self) -> Ordinal {
        self.all.first().map_or(ZERO, |s| self.ordinal(*s))
    }

    pub(crate) fn last(&self) -> Ordinal {
        self.all.last().map_or(ZERO, |s| self.ordinal(*s))
    }

    pub(crate) fn position(&self, ordinal: Ordinal) -> Result<usize, usize> {
        self.all
            .binary_search_by(|s| self.ordinal(*s).cmp(&ordinal))
    }

    /// The row at a place is now this one, with the same number.
    pub(crate) fn set(&mut self, at: usize, row: &Row) {
        let slim = self.slim(row);
        if let Some(slot) = self.all.get_mut(at) {
            *slot = slim;
        }
        let edit = Edit::of(at, row);
        let (Ok(i) | Err(i)) = self.edits.binary_search_by_key(&at, |e| usize::from(e.at));
        let there = self.edits.get(i).is_some_and(|e| usize::from(e.at) == at);
        self.edits.splice(i..i + usize::from(there), edit);
    }

    /// Whether a row of that number lies near enough to the others.
    pub(crate) fn takes(&self, major: u64) -> bool {
        Self::spans(self.base.min(major), self.last().major.max(major))
    }

    /// A row comes to a place; [`Slims::takes`] said that it can.
    pub(crate) fn insert(&mut self, at: usize, row: &Row) {
        let major = row.ordinal.major;
        if major < self.base {
            let by = u32::try_from(self.base - major).unwrap_or(0);
            for slim in &mut self.all {
                slim.major += by;
            }
            self.base = major;
        }
        let slim = self.slim(row);
        self.all.insert(at.min(self.all.len()), slim);
        let (Ok(i) | Err(i)) = self.edits.binary_search_by_key(&at, |e| usize::from(e.at));
        for edit in self.edits.get_mut(i..).unwrap_or_default() {
            edit.at += 1;
        }
        self.edits.splice(i..i, Edit::of(at, row));
    }

    /// What the overview shows of a row.
    pub(crate) fn sum(&self, at: usize) -> Sum {
        let Some(slim) = self.all.get(at).filter(|s| s.flags & DEAD == 0) else {
            return Sum::default();
        };
        let found = self.edits.binary_search_by_key(&at, |e| usize::from(e.at));
        let edit = found.ok().and_then(|i| self.edits.get(i));
        Sum {
            lines: edit.map_or(0, |e| u64::from(e.lines)),
            files: edit.map_or(0, |e| u64::from(e.files)),
            failed: u32::from(slim.what >> 4 == status_code(Status::Error)),
            label: slim.flags & LABELLED != 0,
        }
    }

    /// The rows that have more than a brief, in order.
    pub(crate) fn edits(&self) -> impl Iterator<Item = (Ordinal, Edit)> {
        self.edits.iter().filter_map(|e| {
            let slim = self.all.get(usize::from(e.at))?;
            Some((self.ordinal(*slim), *e))
        })
    }

    /// The places of those with labels.
    pub(crate) fn labelled(&self) -> impl Iterator<Item = usize> {
        let edits = self.edits.iter().filter(|e| e.labelled);
        edits.map(|e| usize::from(e.at))
    }
}
