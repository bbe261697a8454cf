//! File states made from what a trace says about files: commits in a store, and the list of all changes.
//!
//! What a record tells of a file is taken at its word; everything else is replayed from there. The first content that
//! is told of a file is taken for what it held at the start, so that the first commit holds it. Where a record shows
//! other content than the replay left, something changed the file that the trace does not tell: that becomes an
//! inferred *outside* step before the record's own. What does not follow is unknown and stays so:
//!
//! * Edits whose records do not tell what was there before are replayed on what was known, as long as nothing speaks
//!   against it. If a later record does, an outside change happened at a moment that nobody can tell, and all replayed
//!   since the last content that was told becomes unknown.
//! * Nothing is computed backwards from a later content: an outside change in between could not be excluded.
//! * A part that was read confirms or refutes; it never fills in.
//!
//! Commits are immutable, so they are made late: [`Rebuild::settle`] turns all that was taken since the last time into
//! commits. A recording is taken whole and settled once; one that grows is settled again and again, and what turns up
//! late is then added where it turned up (a commit with the cause `found`) instead of at the start.
//!
//! The result depends on the records and their order alone.

mod apply;
mod commits;
mod dirs;
mod files;
mod ledger;
mod notebook;
mod place;
#[cfg(test)]
mod tests;
mod texts;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::model::{CommitId, Known, RepoPath, SessionId, StepId, Time, TreeId};
use crate::store::{self, Store};

use super::base::{self, Base};
use super::event::{Before, FileEffect, Stage, What};
use apply::{Had, Made, Manner};
use dirs::Dirs;
use files::{File, State};
use ledger::{Group, GroupKind, Op, Round, hash, is_seen};
use place::{Place, Root};
use texts::Texts;

pub use commits::Settled;

/// Why states could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The start contents could not be read.
    #[error(transparent)]
    Base(#[from] base::Error),
}

/// This room's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is known of a recording before its effects are read.
pub struct Options {
    /// The session's working directory; the states hold what lies below it.
    pub cwd: String,
    /// Where contents at the start come from that the trace does not tell.
    pub base: Option<Box<dyn Base>>,
    /// The agent's name: who makes the commits, and how its edit tools behave.
    pub agent: String,
    /// When the session began.
    pub start: Time,
    /// The recording's own session, for commits without a step.
    pub session: Option<SessionId>,
}

/// A step, as far as commits need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRef {
    /// Its identity.
    pub id: StepId,
    /// Whose run it belongs to.
    pub session: Option<SessionId>,
    /// When it began.
    pub time: Time,
    /// Its line, for the commit's message.
    pub title: String,
}

/// Whoever makes the steps.
pub trait Steps {
    /// The step of a call.
    fn of_call(&self, call: &str) -> Option<StepRef>;

    /// Makes the step of an inferred outside change, which comes before the step `before`, or after all steps.
    fn outside(&mut self, before: Option<&StepRef>, title: &str, time: Time) -> StepRef;
}

/// How a change is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// The trace tells it.
    Transcript,
    /// Inferred: a record shows a content that nothing explains.
    Outside,
}

impl Evidence {
    /// The word for programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Transcript => "transcript",
            Self::Outside => "outside",
        }
    }
}

/// One change of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The step it belongs to.
    pub step: Option<StepId>,
    /// The call, by the agent's id.
    pub call: Option<String>,
    /// Relative to the working directory, absolute where it lies outside.
    pub path: String,
    /// `create`, `modify`, `delete` or `rename`.
    pub op: &'static str,
    /// How it is known.
    pub evidence: Evidence,
    /// The content before.
    pub before: Known,
    /// The content after.
    pub after: Known,
    /// When.
    pub time: Time,
}

/// Makes file states of file effects.
pub struct Rebuild {
    store: Arc<Store>,
    options: Options,
    root: Root,
    manner: Manner,
    files: Vec<File>,
    by_place: HashMap<Place, usize>,
    texts: Texts,
    ops: Vec<Op>,
    groups: Vec<Group>,
    /// What calls ask for that have no result yet.
    declared: HashMap<String, Vec<FileEffect>>,
    /// Calls whose effects have happened, and by what they were told.
    done: HashMap<String, Stage>,
    /// What happened, by a hash: a record that is there twice happened once.
    happened: HashSet<u64>,
    /// Ops that say what files were at the start that turned up after the first commit, not yet in a group.
    late: Vec<usize>,
    last_time: Time,
    dirs: Dirs,
    settled_groups: usize,
    head: Option<(CommitId, TreeId)>,
}

impl Rebuild {
    /// Begins without any file.
    #[must_use]
    pub fn new(store: Arc<Store>, options: Options) -> Self {
        let manner = Manner {
            claude: options.agent.to_ascii_lowercase().contains("claude"),
        };
        Self {
            root: Root::new(&options.cwd),
            manner,
            files: Vec::new(),
            by_place: HashMap::new(),
            texts: Texts::default(),
            ops: Vec::new(),
            groups: Vec::new(),
            declared: HashMap::new(),
            done: HashMap::new(),
            happened: HashSet::new(),
            late: Vec::new(),
            last_time: options.start,
            dirs: Dirs::default(),
            settled_groups: 0,
            head: None,
            store,
            options,
        }
    }

    /// Takes what one record says, in order. What a call only asks for waits for [`Rebuild::closed`].
    pub fn take(&mut self, effects: Vec<FileEffect>, steps: &mut dyn Steps) -> Result<()> {
        let mut applied = Vec::new();
        for effect in effects {
            let call = effect.call.as_str();
            match effect.stage {
                Stage::Declared => {
                    if call.is_empty() || self.done.contains_key(call) {
                        continue;
                    }
                    let waiting = self.declared.entry(call.to_owned()).or_default();
                    // Some formats tell the same call in two records.
                    if !waiting.contains(&effect) {
                        waiting.push(effect);
                    }
                }
                Stage::Applied => {
                    if self.done.get(call) == Some(&Stage::Declared) {
                        // It was taken to have happened when the call ended.
                        continue;
                    }
                    if !call.is_empty() && !is_seen(&effect.what) {
                        if !self.happened.insert(hash(&effect)) {
                            continue;
                        }
                        self.done.insert(call.to_owned(), Stage::Applied);
                        self.declared.remove(call);
                    }
                    applied.push(effect);
                }
            }
        }
        self.happen(applied, steps)
    }

    /// A call's result was read: what it asked for has happened if it ended well and nothing told it already.
    pub fn closed(&mut self, call: &str, ok: bool, steps: &mut dyn Steps) -> Result<()> {
        let Some(effects) = self.declared.remove(call) else {
            return Ok(());
        };
        if !ok || self.done.contains_key(call) {
            return Ok(());
        }
        self.done.insert(call.to_owned(), Stage::Declared);
        self.happen(effects, steps)
    }

    /// Every change so far, in order.
    #[must_use]
    pub fn effects(&self) -> Vec<Effect> {
        self.effects_from(0)
    }

    /// The changes of the groups from this one on; see [`Settled::effects`].
    fn effects_from(&self, first: usize) -> Vec<Effect> {
        let mut out = Vec::new();
        for group in self.groups.get(first..).unwrap_or_default() {
            let evidence = match group.kind {
                GroupKind::Found => continue,
                GroupKind::Outside => Evidence::Outside,
                GroupKind::Told => Evidence::Transcript,
            };
            for op in group.ops.iter().filter_map(|i| self.ops.get(*i)) {
                let Some(file) = self.files.get(op.file) else {
                    continue;
                };
                out.push(Effect {
                    step: group.step.as_ref().map(|s| s.id),
                    call: group.call.clone(),
                    path: file.place.text(),
                    op: op.op,
                    evidence,
                    before: op.before.known(),
                    after: op.after.known(),
                    time: group.time,
                });
            }
        }
        out
    }

    /// The first content that the trace told of each file, with git's id: what a repository's commit is recognised by.
    #[must_use]
    pub fn firsts(&self) -> Vec<(RepoPath, [u8; 20])> {
        let told = self.files.iter().filter(|f| f.start_told);
        told.filter_map(|f| match (f.place.inside(), f.start.known()) {
            (Some(path), Known::Content { git_sha1, .. }) => Some((path.clone(), git_sha1)),
            _ => None,
        })
        .collect()
    }

    /// Whether a content at the start is missing that a base could give.
    #[must_use]
    pub fn wants_base(&self) -> bool {
        self.files.iter().any(|f| {
            f.place.inside().is_some() && matches!(f.start, State::Unknown(_) | State::Unsure)
        })
    }

    /// How many changes were entered so far: each may become a commit, see [`Settled::groups`].
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The newest commit, and its tree.
    #[must_use]
    pub fn head(&self) -> Option<(CommitId, TreeId)> {
        self.head
    }

    /// What the effects of one record do to the files.
    fn happen(&mut self, effects: Vec<FileEffect>, steps: &mut dyn Steps) -> Result<()> {
        let mut rest = effects.as_slice();
        while !rest.is_empty() {
            let mut round = Round::default();
            let of = rest.first().map(|e| e.call.clone()).unwrap_or_default();
            let mut taken = 0;
            for effect in rest {
                let place = self.root.place(&effect.path, effect.cwd.as_deref());
                let file = self.file(place);
                let to = match &effect.what {
                    What::Rename { to, .. } => {
                        let place = self.root.place(to, effect.cwd.as_deref());
                        Some(self.file(place)).filter(|to| *to != file)
                    }
                    _ => None,
                };
                // What comes of a file's first change is known only when it is made: a second one is for another round.
                let touched = [Some(file), to].into_iter().flatten();
                let again = touched.clone().any(|f| round.files.contains(&f));
                if taken > 0 && (again || effect.call != of) {
                    break;
                }
                round.files.extend(touched);
                self.plan(effect, file, to, &mut round)?;
                taken += 1;
            }
            let (now, later) = rest.split_at(taken);
            let time = now.iter().find_map(|e| e.time);
            self.close(round, &of, time, steps);
            rest = later;
        }
        Ok(())
    }

    /// Works out what one effect does. Only `round.told` is left to be done.
    fn plan(
        &mut self,
        effect: &FileEffect,
        file: usize,
        to: Option<usize>,
        round: &mut Round,
    ) -> Result<()> {
        match &effect.what {
            What::Seen(text) => return self.told(file, Some(text), round),
            What::SeenPart { text, from, of } => return self.part(file, text, *from, *of, round),
            _ => {}
        }
        let sure = match &effect.before {
            Before::Content(text) => {
                self.told(file, Some(text), round)?;
                true
            }
            Before::Absent => {
                self.told(file, None, round)?;
                true
            }
            Before::NotTold => {
                self.untold(file, &effect.what)?;
                false
            }
        };
        let mut made = self.make(&effect.what, file, sure)?;
        if made == Made::Misfit && !sure {
            // The record is right, the replay is not: something else was there.
            self.refuted(file, round);
            made = self.make(&effect.what, file, sure)?;
        }
        let after = match made {
            Made::Text(text) => self.content(file, text.into_bytes())?,
            Made::Gone => State::Absent,
            Made::Unknown | Made::Misfit => self.next_unknown(file),
        };
        let whole = sure || apply::is_whole(&effect.what);
        let before = self.now(file);
        if let (Some(to), What::Rename { .. }) = (to, &effect.what) {
            if !self.mentioned(to) {
                self.begin_from_base(to, State::Absent)?;
            }
            let replaced = self.now(to);
            let after = match after {
                State::Unknown(_) => self.next_unknown(to),
                other => other,
            };
            self.texts.moved(file, to);
            if let Some(f) = self.files.get_mut(file) {
                round.carried.push((to, std::mem::take(&mut f.loose)));
            }
            round.push(file, "delete", before, State::Absent, whole);
            round.push(to, "rename", replaced, after, whole);
            return Ok(());
        }
        let op = match (before, after) {
            (_, State::Absent) => "delete",
            (State::Absent, _) => "create",
            _ => "modify",
        };
        round.push(file, op, before, after, whole);
        Ok(())
    }

    fn make(&mut self, what: &What, file: usize, sure: bool) -> Result<Made> {
        let now = self.now(file);
        let text;
        let had = match now {
            State::Absent => Had::Nothing,
            State::Unknown(_) | State::Unsure => Had::Unknown,
            State::Content(known) => {
                text = self.texts.get(&self.store, file, &known)?;
                Had::Bytes(&text)
            }
        };
        Ok(apply::apply(what, had, self.manner, sure))
    }

    /// Enters a round into the ledger.
    fn close(&mut self, round: Round, call: &str, time: Option<Time>, steps: &mut dyn Steps) {
        let step = (!call.is_empty()).then(|| steps.of_call(call)).flatten();
        let time = time
            .or_else(|| step.as_ref().map(|s| s.time))
            .unwrap_or(self.last_time);
        self.last_time = time;
        let group = |kind, step, call, ops| Group {
            kind,
            step,
            call,
            time,
            ops,
        };
        let mut found = std::mem::take(&mut self.late);
        found.extend(round.found);
        if !found.is_empty() {
            self.groups.push(group(GroupKind::Found, None, None, found));
        }
        if !round.outside.is_empty() {
            let title = self.outside_title(&round.outside);
            let own = steps.outside(step.as_ref(), &title, time);
            self.groups
                .push(group(GroupKind::Outside, Some(own), None, round.outside));
        }
        for (to, ops) in round.carried {
            if let Some(f) = self.files.get_mut(to) {
                f.loose = ops;
            }
        }
        let mut ops = Vec::new();
        for (op, certain) in round.told.into_iter().zip(round.loose) {
            ops.push(self.enter(op, certain));
        }
        if !ops.is_empty() {
            let call = (!call.is_empty()).then(|| call.to_owned());
            self.groups.push(group(GroupKind::Told, step, call, ops));
        }
    }

    /// One line for people about an inferred change.
    fn outside_title(&self, ops: &[usize]) -> String {
        let one = match ops {
            [one] => self.ops.get(*one),
            _ => None,
        };
        match one.and_then(|op| Some((op, self.files.get(op.file)?))) {
            Some((op, file)) => {
                let what = match op.op {
                    "create" => "appeared",
                    "delete" => "deleted",
                    _ => "changed",
                };
                format!("{} {what} outside the trace", file.place.text())
            }
            None => format!("{} files changed outside the trace", ops.len()),
        }
    }
}
