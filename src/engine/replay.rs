//! Replays what a recording tells of files into a store, and again when more of it comes.
//!
//! The records that say something about files are known from the index; they are read again here, one at a time, so that
//! memory holds the files' contents and not the recording.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{CommitId, Ordinal, RepoPath, Status, StepId, Time};
use crate::store::Store;
use crate::trace::base::{self, Base, Dir, Git};
use crate::trace::event::{Body, FileEffect, Out, Record, Span, State};
use crate::trace::index::{EffectAt, Index, NO_TIME};
use crate::trace::rebuild::{self, Options, Rebuild, StepRef, Steps};
use crate::trace::recording::{self, Recording};

use super::api::EffectInfo;
use super::replay_order::Order;

/// Why states could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The recording cannot be read.
    #[error(transparent)]
    Read(#[from] recording::Error),
    /// The states cannot be made.
    #[error(transparent)]
    Rebuild(#[from] rebuild::Error),
    /// The start contents cannot be read.
    #[error(transparent)]
    Base(#[from] base::Error),
}

/// What came of a part of the recording.
#[derive(Debug, Default)]
pub struct Made {
    /// The state after the step of that number.
    pub by_step: BTreeMap<Ordinal, CommitId>,
    /// The state before a step, where that is not the state after the one with the number before it: numbers are not time
    /// where several agents work side by side.
    pub before: BTreeMap<Ordinal, CommitId>,
    /// The changes.
    pub effects: Vec<EffectInfo>,
    /// The commits.
    pub commits: Vec<CommitId>,
    /// The steps that they are tied to.
    pub steps: Vec<StepId>,
}

/// A replay that can go on.
pub struct Replay {
    rebuild: Rebuild,
    /// How many of the index's effects were taken.
    taken: usize,
    dry: bool,
    order: Order,
    /// Calls whose ids are used by others too: under what they go here, with the entry and the agent's id.
    again: HashMap<String, (u32, String)>,
}

/// The steps of a recording, for whoever makes commits of them.
struct Bridge<'a> {
    recording: &'a Recording,
    again: &'a HashMap<String, (u32, String)>,
    /// The record that is read.
    span: Span,
    /// Only looking: no step is made for what is inferred.
    dry: bool,
}

impl Bridge<'_> {
    fn step_ref(&self, at: u32) -> Option<StepRef> {
        let step = self.recording.step(at)?;
        Some(StepRef {
            id: step.id,
            session: step.session,
            time: step.time,
            title: step.title,
        })
    }
}

impl Steps for Bridge<'_> {
    fn of_call(&self, call: &str) -> Option<StepRef> {
        let at = match self.again.get(call) {
            Some((at, _)) => *at,
            None => self
                .recording
                .change(|a| a.entry_of_call(call).map(|(at, _)| at))?,
        };
        self.step_ref(at)
    }

    fn outside(&mut self, before: Option<&StepRef>, title: &str, time: Time) -> StepRef {
        if self.dry {
            return nobody(time, title);
        }
        let before = before.and_then(|s| self.recording.find(s.id));
        let span = Some(self.span);
        let at = self
            .recording
            .change(|a| a.insert_at(before, span, title, time.0));
        self.step_ref(at).unwrap_or_else(|| nobody(time, title))
    }
}

fn nobody(time: Time, title: &str) -> StepRef {
    StepRef {
        id: StepId([0; 32]),
        session: None,
        time,
        title: title.to_owned(),
    }
}

impl Replay {
    /// Begins; `base` says what was there at the start.
    #[must_use]
    pub fn new(store: Arc<Store>, recording: &Recording, base: Option<Box<dyn Base>>) -> Self {
        let options = recording.with(|index| {
            let facts = index.sessions.first().cloned().unwrap_or_default();
            let first = index.entries.iter().map(|e| e.time).find(|t| *t != NO_TIME);
            Options {
                cwd: facts.cwd,
                base,
                agent: if facts.agent.is_empty() {
                    index.format.clone()
                } else {
                    facts.agent
                },
                start: facts.start.or(first.map(Time)).unwrap_or_default(),
                session: Some(index.session_id(0)),
            }
        });
        Self {
            rebuild: Rebuild::new(store, options),
            taken: 0,
            dry: false,
            order: Order::default(),
            again: HashMap::new(),
        }
    }

    /// The start contents that the recording itself shows, with git's ids of them. Nothing is made.
    pub fn firsts(
        store: Arc<Store>,
        recording: &Recording,
    ) -> Result<Vec<(RepoPath, [u8; 20])>, Error> {
        let mut replay = Self::new(store, recording, None);
        replay.dry = true;
        replay.take(recording)?;
        Ok(replay.rebuild.firsts())
    }

    /// Takes what the index has that was not taken yet. Nothing becomes a commit before [`Replay::settle`].
    pub fn take(&mut self, recording: &Recording) -> Result<(), Error> {
        let todo: Vec<EffectAt> =
            recording.with(|index| index.effects.get(self.taken..).unwrap_or_default().to_vec());
        self.taken += todo.len();
        // Subagents' files are read after the main one; what happened to files goes by time.
        let todo = self.order.merge(todo);
        let mut states: BTreeMap<u16, State> = BTreeMap::new();
        let mut records = recording.records();
        for (clock, at) in todo {
            let bytes = records.read(at.span)?;
            let tag = recording.tag(at.tag);
            let record = Record {
                bytes: &bytes,
                span: at.span,
                tag: &tag,
            };
            let state = states.entry(at.session).or_insert_with(|| {
                recording.with(|index| {
                    let facts = index.sessions.get(usize::from(at.session));
                    let id = facts.map(|f| f.id.clone()).unwrap_or_default();
                    // What is copied from the session that this one goes on from is not of this one.
                    let copied = at.session != 0
                        && !id.is_empty()
                        && index.sessions.first().is_some_and(|own| own.parent == id);
                    State {
                        cwd: facts.map(|f| f.cwd.clone()).unwrap_or_default(),
                        origin: copied.then(|| id.clone()),
                        session: id,
                        ..State::default()
                    }
                })
            });
            let mut effects: Vec<FileEffect> = Vec::new();
            recording.format().effects(record, state, &mut effects);
            for effect in &mut effects {
                if effect.time.is_none() && at.time != NO_TIME {
                    effect.time = Some(Time(at.time));
                }
            }
            for effect in &mut effects {
                effect.call = self.own_call(recording, &effect.call, at);
            }
            let mut bridge = Bridge {
                recording,
                again: &self.again,
                span: at.span,
                dry: self.dry,
            };
            self.rebuild.take(effects, &mut bridge)?;
            if at.closes {
                let mut out = Out::default();
                recording
                    .format()
                    .events(record, &mut State::default(), &mut out);
                for event in out.events {
                    let Body::Result(outcome) = event.body else {
                        continue;
                    };
                    let ok = recording.change(|a| {
                        a.entry_of_call_in(&outcome.id, at.session, at.span)
                            .is_some_and(|(_, e)| e.status == Status::Ok)
                    });
                    let call = self.own_call(recording, &outcome.id, at);
                    let mut bridge = Bridge {
                        recording,
                        again: &self.again,
                        span: at.span,
                        dry: self.dry,
                    };
                    self.rebuild.closed(&call, ok, &mut bridge)?;
                }
            }
            self.order.took(at.span, clock, self.rebuild.groups());
        }
        Ok(())
    }

    /// The id under which a call goes here: the agent's own, and another one for a call that has the id of an earlier one.
    fn own_call(&mut self, recording: &Recording, call: &str, at: EffectAt) -> String {
        if call.is_empty() {
            return String::new();
        }
        let found = recording.change(|a| {
            let (place, entry) = a.entry_of_call_in(call, at.session, at.span)?;
            let plain = entry.native.strip_prefix("call:") == Some(call) && entry.session == 0;
            if !plain {
                return Some((place, format!("{} {}", entry.native, entry.session)));
            }
            // The first of several.
            let newest = a.entry_of_call(call).map(|(at, _)| at);
            (newest != Some(place)).then(|| (place, call.to_owned()))
        });
        let Some((place, own)) = found else {
            return call.to_owned();
        };
        self.again.insert(own.clone(), (place, call.to_owned()));
        own
    }

    /// Makes commits of what was taken.
    pub fn settle(&mut self, recording: &Recording) -> Result<Made, Error> {
        let settled = self.rebuild.settle()?;
        let ordinal = |id: StepId| {
            let at = recording.find(id)?;
            recording.with(|index| index.get(at).map(|e| e.ordinal()))
        };
        let mut made = Made::default();
        for ((commit, step), group) in settled.commits.iter().zip(&settled.groups) {
            made.commits.push(*commit);
            let own = step.and_then(ordinal);
            self.order.made(*commit, *group, own);
            match step {
                Some(step) => {
                    made.steps.push(*step);
                    if let Some(ordinal) = own {
                        made.by_step.insert(ordinal, *commit);
                    }
                }
                // The state at the start is that before the first step.
                None => {
                    made.by_step.entry(FIRST).or_insert(*commit);
                }
            }
        }
        made.before = recording.with(|index| self.order.before(index));
        made.effects = settled
            .effects
            .into_iter()
            .map(|e| EffectInfo {
                step: e.step.and_then(ordinal),
                tool_call_id: e.call.map(|call| match self.again.get(&call) {
                    Some((_, id)) => id.clone(),
                    None => call,
                }),
                path: e.path,
                op: e.op.to_owned(),
                evidence: e.evidence.word().to_owned(),
                before: e.before,
                after: e.after,
                writers: Vec::new(),
            })
            .collect();
        Ok(made)
    }
}

/// Before the first step.
pub(super) const FIRST: Ordinal = Ordinal { major: 0, minor: 0 };

/// What the start contents of a recording were taken from. They depend on more than the recording.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// The commit.
    pub commit: Option<String>,
    /// Where there was none: what the repository held, so that it is looked into again when it holds something else.
    /// Empty where there was no repository.
    pub refs: String,
    /// The search came to no end.
    #[serde(skip)]
    pub hasty: bool,
}

impl Chosen {
    /// Whether the same would be chosen now.
    #[must_use]
    pub fn fits(&self, index: &Index) -> bool {
        let cwd = index.sessions.first().map_or("", |s| s.cwd.as_str());
        self.commit.is_some() || index.effects.is_empty() || refs_of(Path::new(cwd)) == self.refs
    }
}

fn refs_of(dir: &Path) -> String {
    if !dir.is_absolute() || !dir.is_dir() {
        return String::new();
    }
    base::refs(dir).unwrap_or_default()
}

/// Where a recording's start contents come from: what was named, else a commit of the repository that it is of, where that
/// is on this machine.
pub fn base_of(
    store: &Arc<Store>,
    recording: &Recording,
    named: Option<&str>,
    repository: Option<&Path>,
) -> Result<(Option<Box<dyn Base>>, Chosen), Error> {
    let facts = recording.with(|index| index.sessions.first().cloned().unwrap_or_default());
    let dir = repository.map_or_else(|| PathBuf::from(&facts.cwd), Path::to_owned);
    let mut chosen = Chosen::default();
    if let Some(named) = named {
        let path = Path::new(named);
        let base: Box<dyn Base> = if path.is_dir() {
            Box::new(Dir::open(path)?)
        } else {
            Box::new(Git::open(&dir, named)?)
        };
        return Ok((Some(base), chosen));
    }
    if !dir.is_absolute() || !dir.is_dir() || recording.with(|index| index.effects.is_empty()) {
        return Ok((None, chosen));
    }
    // Before the search: what comes meanwhile is for the next one.
    chosen.refs = refs_of(&dir);
    let firsts = Replay::firsts(Arc::clone(store), recording)?;
    let start = recording.with(|index| {
        let first = index.entries.iter().map(|e| e.time).find(|t| *t != NO_TIME);
        facts.start.or(first.map(Time)).unwrap_or_default()
    });
    let commit = Some(facts.commit.as_str()).filter(|c| !c.is_empty());
    // Looking by ourselves must not fail what works without: a directory that is no repository is nothing unusual.
    let found = match base::search(&dir, start, commit, &firsts) {
        Ok(found) => {
            chosen.hasty = !found.complete;
            found.commit
        }
        Err(e) => {
            chosen.hasty = matches!(e, base::Error::Broken { .. } | base::Error::Io { .. });
            None
        }
    };
    let Some(rev) = found else {
        return Ok((None, chosen));
    };
    match Git::open(&dir, &rev) {
        Ok(git) => {
            chosen.commit = Some(rev);
            Ok((Some(Box::new(git)), chosen))
        }
        Err(_) => {
            chosen.hasty = true;
            Ok((None, chosen))
        }
    }
}
