//! What is known of each file, and what a record's telling does to it.

use std::sync::Arc;

use crate::model::{Known, RepoPath};
use crate::trace::event::What;

use super::apply;
use super::ledger::{Op, Round};
use super::place::Place;
use super::texts::{Part, fits, same};
use super::{Rebuild, Result};

/// So many parts that were read are kept of a file.
const PARTS: usize = 64;

/// A file at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Not there.
    Absent,
    /// There, with this content.
    Content(Known),
    /// There; which of the contents that nobody told.
    Unknown(u32),
    /// Perhaps there (only at the start).
    Unsure,
}

impl State {
    pub fn known(&self) -> Known {
        match self {
            Self::Absent => Known::Absent,
            Self::Content(known) => *known,
            Self::Unknown(_) | Self::Unsure => Known::Unknown,
        }
    }
}

/// A file that the trace mentions.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub place: Place,
    /// What it was at the start, and what it is now; `None` until something is told of it.
    pub now: Option<State>,
    pub start: State,
    /// The record told what it was at the start, not a base.
    pub start_told: bool,
    /// The op that says what it was at the start, for a file that turned up after the first commit.
    pub late: Option<usize>,
    /// The op that made it what it is.
    pub last: Option<usize>,
    /// Whether that op is an inferred one.
    pub last_outside: bool,
    /// Ops replayed since a content was told: nothing but the replay says what they found and left.
    pub loose: Vec<usize>,
    /// What was read of the content since it last changed, while it is not known.
    pub parts: Vec<Part>,
    /// For the next unknown content.
    pub version: u32,
}

impl Rebuild {
    /// The number of the file at `place`.
    pub(super) fn file(&mut self, place: Place) -> usize {
        if let Some(file) = self.by_place.get(&place) {
            return *file;
        }
        let file = self.files.len();
        self.by_place.insert(place.clone(), file);
        self.files.push(File {
            place,
            now: None,
            start: State::Unsure,
            start_told: false,
            late: None,
            last: None,
            last_outside: false,
            loose: Vec::new(),
            parts: Vec::new(),
            version: 0,
        });
        file
    }

    pub(super) fn now(&self, file: usize) -> State {
        self.files
            .get(file)
            .and_then(|f| f.now)
            .unwrap_or(State::Unsure)
    }

    pub(super) fn mentioned(&self, file: usize) -> bool {
        self.files.get(file).is_some_and(|f| f.now.is_some())
    }

    pub(super) fn next_unknown(&mut self, file: usize) -> State {
        match self.files.get_mut(file) {
            Some(f) => {
                f.version += 1;
                State::Unknown(f.version)
            }
            None => State::Unknown(0),
        }
    }

    /// Stores a content of `file`.
    pub(super) fn content(&mut self, file: usize, bytes: Vec<u8>) -> Result<State> {
        let known = Known::of(&bytes);
        let blob = self.store.put_blob(&bytes)?;
        self.texts.put(file, blob, Arc::new(bytes));
        Ok(State::Content(known))
    }

    /// The file is first heard of: it has been `state` from the start.
    fn begin(&mut self, file: usize, state: State, told: bool) {
        let late = self.head.is_some() && !matches!(state, State::Absent | State::Unsure);
        let late = late.then(|| {
            self.ops.push(Op {
                file,
                op: "found",
                before: State::Absent,
                after: state,
                settled: false,
            });
            self.ops.len() - 1
        });
        if let Some(f) = self.files.get_mut(file) {
            f.now = Some(state);
            f.start = state;
            f.start_told = told;
            f.late = late;
        }
        if let Some(op) = late {
            self.late.push(op);
        }
    }

    /// The content at the start that the base gives.
    fn base_content(&mut self, file: usize) -> Result<Option<Vec<u8>>> {
        let Some(base) = &mut self.options.base else {
            return Ok(None);
        };
        let path: Option<RepoPath> = self.files.get(file).and_then(|f| f.place.inside().cloned());
        match path {
            Some(path) => Ok(base.content(&path)?),
            None => Ok(None),
        }
    }

    /// The file is first heard of, and its record tells nothing of it: it is what the base says, or `otherwise`.
    pub(super) fn begin_from_base(&mut self, file: usize, otherwise: State) -> Result<()> {
        let state = match self.base_content(file)? {
            Some(bytes) => self.content(file, bytes)?,
            None => otherwise,
        };
        self.begin(file, state, false);
        Ok(())
    }

    /// A record changes the file without telling what was there.
    pub(super) fn untold(&mut self, file: usize, what: &What) -> Result<()> {
        if self.mentioned(file) {
            return Ok(());
        }
        if apply::creates(what) {
            self.begin(file, State::Absent, false);
            return Ok(());
        }
        let otherwise = match what {
            What::Write(_) => State::Unsure,
            _ => State::Unknown(0),
        };
        self.begin_from_base(file, otherwise)
    }

    /// A record tells the file's whole content, or that there is none.
    pub(super) fn told(
        &mut self,
        file: usize,
        text: Option<&str>,
        round: &mut Round,
    ) -> Result<()> {
        if !self.mentioned(file) {
            let state = match text {
                Some(text) => {
                    let bytes = match self.base_content(file)? {
                        Some(bytes) if same(&bytes, text) => bytes,
                        _ => text.as_bytes().to_vec(),
                    };
                    self.content(file, bytes)?
                }
                None => State::Absent,
            };
            self.begin(file, state, true);
            return Ok(());
        }
        let now = self.now(file);
        let Some(text) = text else {
            if now == State::Absent {
                self.confirmed(file);
            } else {
                self.doubt(file);
                self.outside(file, State::Absent, round);
            }
            return Ok(());
        };
        if let State::Content(known) = now {
            let bytes = self.texts.get(&self.store, file, &known)?;
            if same(&bytes, text) {
                self.confirmed(file);
                return Ok(());
            }
        }
        let state = self.content(file, text.as_bytes().to_vec())?;
        let unknown = matches!(now, State::Unknown(_)) && self.fits_parts(file, text);
        match now {
            _ if unknown && self.fill(file, state) => {}
            _ if unknown => {
                // Nobody told what it was, and now somebody does: only our knowledge changes.
                let op = self.enter(
                    Op {
                        file,
                        op: "found",
                        before: now,
                        after: state,
                        settled: false,
                    },
                    true,
                );
                round.found.push(op);
            }
            _ => {
                self.doubt(file);
                self.outside(file, state, round);
            }
        }
        Ok(())
    }

    fn fits_parts(&self, file: usize, text: &str) -> bool {
        self.files
            .get(file)
            .is_some_and(|f| f.parts.iter().all(|p| fits(text.as_bytes(), p)))
    }

    /// Whether what is now told was there already when the file was last heard of: its content at the start, or what an
    /// outside change left, was not known then.
    fn fill(&mut self, file: usize, state: State) -> bool {
        let initial = self.head.is_none();
        let Some(f) = self.files.get_mut(file) else {
            return false;
        };
        let op = match f.last {
            Some(op) if f.last_outside => Some(op),
            Some(_) => return false,
            None => f.late,
        };
        match op {
            Some(op) => match self.ops.get_mut(op) {
                Some(op) if !op.settled => op.after = state,
                _ => return false,
            },
            None if initial => {}
            None => return false,
        }
        if f.last.is_none() {
            f.start = state;
            f.start_told = true;
        }
        f.now = Some(state);
        f.parts.clear();
        f.loose.clear();
        true
    }

    /// A record tells some lines of the content.
    pub(super) fn part(
        &mut self,
        file: usize,
        text: &str,
        from: usize,
        of: usize,
        round: &mut Round,
    ) -> Result<()> {
        let part = Part {
            text: text.to_owned(),
            from,
            of,
        };
        if !self.mentioned(file) {
            self.begin_from_base(file, State::Unknown(0))?;
        }
        match self.now(file) {
            State::Content(known) => {
                let bytes = self.texts.get(&self.store, file, &known)?;
                if fits(&bytes, &part) {
                    return Ok(());
                }
                self.refuted(file, round);
            }
            State::Absent | State::Unsure => {
                let state = self.next_unknown(file);
                self.outside(file, state, round);
            }
            State::Unknown(_) => {}
        }
        if let Some(f) = self.files.get_mut(file)
            && f.parts.len() < PARTS
        {
            f.parts.push(part);
        }
        Ok(())
    }

    /// The content is not what we think, and what it is nobody tells.
    pub(super) fn refuted(&mut self, file: usize, round: &mut Round) {
        self.doubt(file);
        let state = self.next_unknown(file);
        self.outside(file, state, round);
    }

    /// A record agrees with the replay: what was replayed up to here is certain.
    fn confirmed(&mut self, file: usize) {
        if let Some(f) = self.files.get_mut(file) {
            f.loose.clear();
        }
    }

    /// A record disagrees with the replay. When the file changed nobody can tell, so what was replayed since the last
    /// content that was told is not known.
    fn doubt(&mut self, file: usize) {
        let Some(f) = self.files.get_mut(file) else {
            return;
        };
        for op in std::mem::take(&mut f.loose) {
            let Some(op) = self.ops.get_mut(op) else {
                continue;
            };
            f.version += 1;
            let after = State::Unknown(f.version);
            f.now = Some(after);
            if op.settled {
                continue;
            }
            for state in [&mut op.before, &mut op.after] {
                if matches!(state, State::Content(_)) {
                    *state = after;
                }
            }
        }
    }

    /// An inferred change.
    fn outside(&mut self, file: usize, after: State, round: &mut Round) {
        let before = self.now(file);
        let op = self.enter(
            Op {
                file,
                op: match (before, after) {
                    (_, State::Absent) => "delete",
                    (State::Absent, _) => "create",
                    _ => "modify",
                },
                before,
                after,
                settled: false,
            },
            true,
        );
        if let Some(f) = self.files.get_mut(file) {
            f.last_outside = true;
        }
        round.outside.push(op);
    }

    /// Enters an op into the ledger: the file is now what it left. `certain`: that does not rest on the replay.
    pub(super) fn enter(&mut self, op: Op, certain: bool) -> usize {
        let at = self.ops.len();
        if let Some(f) = self.files.get_mut(op.file) {
            f.now = Some(op.after);
            f.last = Some(at);
            f.last_outside = false;
            f.parts.clear();
            if certain {
                f.loose.clear();
            } else {
                f.loose.push(at);
            }
        }
        self.ops.push(op);
        at
    }
}
