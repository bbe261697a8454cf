//! The run as it stands now: numbers of steps, running sessions, open calls; and so, who made a change.
//!
//! Only what has not ended lives here, in memory; everything that has is in the store. Ordinals are given out here and
//! nowhere else, so that no two steps get the same.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::capture::recorder::{Attribution, Group};
use crate::model::{
    CallKind, Cause, CommitId, Entry, LinkRule, Ordinal, Origin, RepoPath, SessionId, Status, Step,
    StepId, StepKind, Talk, Time, Writer,
};
use crate::store::{self, NewCommit, Store};
use crate::trace::calls::{OpenCall, Running, claim};

use super::ties::Ties;

#[derive(Default)]
struct Present {
    /// The number that the next step gets.
    next: u64,
    turns: HashMap<SessionId, u32>,
    /// The last number given out between a whole one and the next.
    minors: HashMap<u64, u32>,
    calls: Vec<OpenCall>,
    running: Vec<Running>,
    /// Branches on whose forks sessions of `run` go on; those in the workspace are not here.
    places: HashMap<SessionId, String>,
    /// Sessions in the workspace that are recorded by watching alone.
    watched: HashSet<SessionId>,
    /// What is known of calls and changes in each open fork.
    spaces: Vec<(String, Arc<Ties>)>,
}

impl Present {
    /// The branch on whose fork a session goes on; `None` in the workspace.
    fn place(&self, session: SessionId) -> Option<&str> {
        if let Some(branch) = self.places.get(&session) {
            return Some(branch);
        }
        let own = self.running.iter().find(|r| r.session == session)?;
        self.places.get(&own.host?).map(String::as_str)
    }
}

/// Numbers, sessions and open calls.
pub struct Timeline {
    present: Mutex<Present>,
    /// Calls that transcripts tell, and who touched what in the workspace.
    pub(super) ties: Arc<Ties>,
}

/// What a step is made of, besides its number.
pub struct Draft {
    /// Whose run.
    pub session: Option<SessionId>,
    /// What it is.
    pub kind: StepKind,
    /// The id its source gave it; made from its number when empty.
    pub native: String,
    /// One line.
    pub title: String,
    /// When.
    pub time: Time,
}

impl Timeline {
    /// Takes up the numbering where the store ends.
    pub fn open(store: &Store) -> Result<Self, store::Error> {
        let next = store.last_ordinal()?.map_or(1, |o| o.major + 1);
        Ok(Self {
            present: Mutex::new(Present {
                next,
                ..Present::default()
            }),
            ties: Arc::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the next number to a new step. The caller stores it.
    pub fn step(&self, draft: Draft) -> Step {
        let mut now = self.lock();
        let major = now.next;
        now.next += 1;
        let session = draft.session;
        let turn = match session {
            Some(id) => {
                let turn = now.turns.entry(id).or_insert(0);
                if draft.kind == StepKind::Prompt {
                    *turn += 1;
                }
                *turn
            }
            None => 0,
        };
        drop(now);
        let native = if draft.native.is_empty() {
            format!("step:{major}")
        } else {
            draft.native
        };
        Step {
            id: StepId::of(session.unwrap_or(SessionId([0; 32])), &native),
            ordinal: Ordinal { major, minor: 0 },
            session,
            kind: draft.kind,
            call: CallKind::Other,
            tool: String::new(),
            native,
            title: draft.title,
            time: draft.time,
            end: None,
            status: Status::None,
            exit_code: None,
            turn,
            body: None,
            output: None,
            paths: Vec::new(),
            state: None,
            talk: Talk::default(),
            sources: Vec::new(),
        }
    }

    /// The next number, for a step that is made elsewhere; behind that of the step `after`, if one is given.
    pub fn number(&self, after: Option<Ordinal>) -> Ordinal {
        let mut now = self.lock();
        match after {
            Some(Ordinal { major, .. }) => {
                let minor = now.minors.entry(major).or_insert(0);
                *minor += 1;
                Ordinal {
                    major,
                    minor: *minor,
                }
            }
            None => {
                now.next += 1;
                Ordinal {
                    major: now.next - 1,
                    minor: 0,
                }
            }
        }
    }

    /// A session is in that turn now.
    pub fn turn(&self, session: SessionId, turn: u32) {
        self.lock().turns.insert(session, turn);
    }

    /// A session's agent runs from now on.
    pub fn begin(&self, running: Running) {
        let mut now = self.lock();
        now.running.retain(|r| r.session != running.session);
        now.running.push(running);
    }

    /// A session of `run` goes on in the fork of that branch.
    pub fn settle_in(&self, session: SessionId, branch: &str) {
        self.lock().places.insert(session, branch.to_owned());
    }

    /// A session of `run` has no view: what a watch sees of it has no writer.
    pub fn watch_only(&self, session: SessionId) {
        self.lock().watched.insert(session);
    }

    /// Whether there is such a session.
    pub fn is_watching(&self) -> bool {
        !self.lock().watched.is_empty()
    }

    /// A session of `run` is over.
    pub fn leave(&self, session: SessionId) {
        let mut now = self.lock();
        now.places.remove(&session);
        now.watched.remove(&session);
    }

    /// The branch on whose fork a session goes on; `None` in the workspace.
    pub fn place_of(&self, session: SessionId) -> Option<String> {
        self.lock().place(session).map(str::to_owned)
    }

    /// A fork is opened: what is known of changes in it.
    pub(super) fn open_space(&self, branch: &str) -> Arc<Ties> {
        let ties: Arc<Ties> = Arc::default();
        let mut now = self.lock();
        now.spaces.retain(|(b, _)| b != branch);
        now.spaces.push((branch.to_owned(), Arc::clone(&ties)));
        ties
    }

    /// A fork is closed.
    pub(super) fn close_space(&self, branch: &str) {
        self.lock().spaces.retain(|(b, _)| b != branch);
    }

    /// What is known of changes, in the workspace and in each open fork (by its branch).
    pub(super) fn all_ties(&self) -> Vec<(Option<String>, Arc<Ties>)> {
        let now = self.lock();
        let forks = now
            .spaces
            .iter()
            .map(|(b, t)| (Some(b.clone()), Arc::clone(t)));
        std::iter::once((None, Arc::clone(&self.ties)))
            .chain(forks)
            .collect()
    }

    /// What the calls of a session are to be held against: the changes where it goes on, or all while that is not known.
    pub(super) fn ties_of(&self, home: Option<SessionId>) -> Vec<Arc<Ties>> {
        let all = self.all_ties();
        let Some(home) = home else {
            return all.into_iter().map(|(_, ties)| ties).collect();
        };
        let place = self.place_of(home);
        all.into_iter()
            .filter(|(branch, _)| *branch == place)
            .map(|(_, ties)| ties)
            .collect()
    }

    /// In which `run` (by its id and cgroup) each session goes on of which that is not known, as far as what was done tells.
    pub(super) fn homes(&self, runs: &[(SessionId, String)]) -> Vec<(SessionId, SessionId)> {
        let mut votes: HashMap<(SessionId, SessionId), u32> = HashMap::new();
        for (branch, ties) in self.all_ties() {
            let here: Vec<(SessionId, String)> = runs
                .iter()
                .filter(|(run, _)| self.place_of(*run) == branch)
                .cloned()
                .collect();
            for (session, run, n) in ties.votes(&here) {
                *votes.entry((session, run)).or_default() += n;
            }
        }
        let mut found: HashMap<SessionId, (u32, Option<SessionId>)> = HashMap::new();
        for ((session, run), n) in votes {
            let best = found.entry(session).or_default();
            if n > best.0 {
                *best = (n, Some(run));
            } else if n == best.0 {
                best.1 = None;
            }
        }
        found
            .into_iter()
            .filter_map(|(session, (_, run))| Some((session, run?)))
            .collect()
    }

    /// A session has ended: its open calls, which will never get a result, are given back.
    pub fn end(&self, session: SessionId) -> Vec<OpenCall> {
        let mut now = self.lock();
        now.running.retain(|r| r.session != session);
        let (ended, rest) = std::mem::take(&mut now.calls)
            .into_iter()
            .partition(|c| c.session == session);
        now.calls = rest;
        ended
    }

    /// Sessions whose agent runs.
    pub fn running(&self) -> Vec<Running> {
        self.lock().running.clone()
    }

    /// A call has begun.
    pub fn open_call(&self, call: OpenCall) {
        self.lock().calls.push(call);
    }

    /// The open call of that id.
    pub fn call(&self, session: SessionId, native: &str) -> Option<OpenCall> {
        let now = self.lock();
        now.calls
            .iter()
            .find(|c| c.session == session && c.native == native)
            .cloned()
    }

    /// A call has its result.
    pub fn close_call(&self, step: StepId) {
        self.lock().calls.retain(|c| c.step != step);
    }
}

/// The timeline as it looks from the fork of a branch.
pub(super) struct Aside<'a> {
    /// Numbers, sessions and calls.
    pub timeline: &'a Timeline,
    /// What is known of changes there.
    pub ties: &'a Ties,
    /// Which branch.
    pub branch: &'a str,
}

impl Attribution for Aside<'_> {
    fn group(&self, path: &RepoPath, after: Option<&Entry>, writers: &[Writer]) -> Group {
        self.timeline
            .group_in(self.ties, Some(self.branch), path, after, writers)
    }

    fn made(&self, commit: CommitId, new: &NewCommit) {
        self.ties.made(commit, &new.paths);
    }

    fn step_for(
        &self,
        group: &Group,
        commit: CommitId,
        new: &NewCommit,
        cause: Cause,
    ) -> Option<(Step, LinkRule, u8)> {
        self.timeline.step_for(group, commit, new, cause)
    }
}

impl Timeline {
    /// Whose a change is that was made in the workspace, or in the fork of `branch`.
    fn group_in(
        &self,
        ties: &Ties,
        branch: Option<&str>,
        path: &RepoPath,
        after: Option<&Entry>,
        writers: &[Writer],
    ) -> Group {
        let outside = || Group {
            outside: true,
            author: "outside".to_owned(),
            session: None,
            step: None,
            order: 0,
            part: 0,
        };
        let inside = writers.iter().rev().find(|w| w.origin == Origin::Inside);
        let now = self.lock();
        let nobody = Writer::outside();
        let writer = match inside {
            Some(writer) => writer,
            // A session without a view changes files behind the mount, as anybody.
            None if branch.is_none() && !now.watched.is_empty() => &nobody,
            None => return outside(),
        };
        let (some_running, some_calls);
        let (running, calls) = if now.places.is_empty() && branch.is_none() {
            (&now.running, &now.calls)
        } else {
            // Those elsewhere cannot reach it.
            let here = |s: SessionId| now.place(s) == branch;
            let running = now.running.iter().filter(|r| here(r.session));
            some_running = running.cloned().collect::<Vec<_>>();
            let calls = now.calls.iter().filter(|c| here(c.session));
            some_calls = calls.cloned().collect::<Vec<_>>();
            (&some_running, &some_calls)
        };
        let mut found = claim(path, writer, running, calls);
        if inside.is_none() && found.session.is_none() {
            return outside();
        }
        let (mut order, mut part) = (0, 0);
        // What was told at that moment is better than what a transcript tells afterwards.
        if found.step.is_none()
            && let Some(session) = found.session
        {
            let blob = after.and_then(|e| e.kind.blob());
            match ties.judge(path, blob) {
                Some((verdict, begun)) => {
                    found.session = Some(verdict.session);
                    found.step = Some((verdict.step, verdict.rule, verdict.sure));
                    order = begun.0;
                    if verdict.is_shaky() {
                        part = ties.apart(path).1;
                    }
                }
                // The agent's own session, where it has one, rather than the `run` around it.
                None => {
                    let own = running.iter().rev().find(|r| r.host == Some(session));
                    found.session = own.map(|r| r.session).or(found.session);
                    if ties.log.is_fine() {
                        (order, part) = ties.apart(path);
                    }
                }
            }
        }
        let agent = found
            .session
            .and_then(|s| now.running.iter().find(|r| r.session == s))
            .map(|r| r.agent.clone());
        Group {
            outside: false,
            author: agent.unwrap_or_else(|| {
                if writer.comm.is_empty() {
                    "unknown".to_owned()
                } else {
                    writer.comm.clone()
                }
            }),
            session: found.session,
            step: found.step,
            order,
            part,
        }
    }
}

impl Attribution for Timeline {
    fn group(&self, path: &RepoPath, after: Option<&Entry>, writers: &[Writer]) -> Group {
        self.group_in(&self.ties, None, path, after, writers)
    }

    fn made(&self, commit: CommitId, new: &NewCommit) {
        self.ties.made(commit, &new.paths);
    }

    fn step_for(
        &self,
        group: &Group,
        _commit: CommitId,
        new: &NewCommit,
        cause: Cause,
    ) -> Option<(Step, LinkRule, u8)> {
        let files = paths_in_words(new);
        let (kind, title, rule) = match cause {
            Cause::Initial => (
                StepKind::Marker,
                format!("first state: {files}"),
                LinkRule::Asked,
            ),
            Cause::Found => (
                StepKind::Outside,
                format!("changed while nobody watched: {files}"),
                LinkRule::Unclaimed,
            ),
            Cause::Manual if !new.commit.message.is_empty() => (
                StepKind::Marker,
                format!(
                    "checkpoint: {}",
                    crate::trace::emit::first_line(&new.commit.message)
                ),
                LinkRule::Asked,
            ),
            _ if group.outside => (StepKind::Outside, files, LinkRule::Unclaimed),
            _ => (
                StepKind::Fs,
                format!("{}: {files}", group.author),
                LinkRule::Unclaimed,
            ),
        };
        let step = self.step(Draft {
            session: group.session,
            kind,
            native: String::new(),
            title,
            time: new.commit.time,
        });
        Some((step, rule, 100))
    }
}

/// `src/a.rs`, `src/a.rs and b.rs`, `14 files in src`: what a commit touched, in a few words.
fn paths_in_words(new: &NewCommit) -> String {
    let paths = &new.paths;
    match paths.as_slice() {
        [] => "nothing changed".to_owned(),
        [(one, entry)] => format!("{one}{}", if entry.is_none() { " removed" } else { "" }),
        [(a, _), (b, _)] => format!("{a} and {b}"),
        [(first, _), rest @ ..] => {
            let mut common = first.parent().unwrap_or_default();
            for (path, _) in rest {
                while !path.is_within(&common) {
                    common = common.parent().unwrap_or_default();
                }
            }
            let n = paths.len();
            if common.is_root() {
                format!("{n} files")
            } else {
                format!("{n} files in {common}")
            }
        }
    }
}
