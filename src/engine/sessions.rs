//! Sessions begun by `backtrail run`: their cgroups, their sockets, freezing and ending them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::agent::Cgroup;
use crate::model::{Cause, Session, SessionId, Status, StepKind, Time};
use crate::trace::calls::Running;
use crate::trace::emit::first_line;

use super::api::{ApiError, Begun, ErrorCode, LiveSession};
use super::core::{Core, Failure};
use super::timeline::Draft;

/// One running session.
struct Held {
    session: Session,
    cgroup: Option<Cgroup>,
    frozen: bool,
    /// Its first process has ended; others may live on in its cgroup.
    over: bool,
}

impl Held {
    fn is_in(&self, branch: Option<&str>) -> bool {
        self.session.branch.as_deref() == branch
    }
}

/// All running sessions.
#[derive(Default)]
pub struct Sessions {
    held: Mutex<Vec<Held>>,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, Vec<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For status.
    pub fn list(&self) -> Vec<LiveSession> {
        self.lock()
            .iter()
            .map(|h| LiveSession {
                session: h.session.clone(),
                frozen: h.frozen,
                contained: h.cgroup.is_some(),
                branch: h.session.branch.clone(),
            })
            .collect()
    }

    /// Those that run on the fork of `branch`.
    pub fn in_fork(&self, branch: &str) -> Vec<Session> {
        self.lock()
            .iter()
            .filter(|h| h.is_in(Some(branch)))
            .map(|h| h.session.clone())
            .collect()
    }

    /// Those that run in the workspace itself.
    pub fn in_workspace(&self) -> Vec<SessionId> {
        self.lock()
            .iter()
            .filter(|h| h.is_in(None))
            .map(|h| h.session.id)
            .collect()
    }

    /// The processes of a session: those in its cgroup, or where it has none those that have its id in their environment.
    pub fn processes(&self, id: SessionId) -> Vec<u32> {
        let group = {
            let held = self.lock();
            held.iter()
                .find(|h| h.session.id == id)
                .and_then(|h| h.cgroup.clone())
        };
        match group {
            Some(group) => group.processes(),
            None => with_variable(&format!("BACKTRAIL_SESSION={}", id.to_hex())),
        }
    }

    /// Whether any is running.
    pub fn any(&self) -> bool {
        !self.lock().is_empty()
    }

    /// Writes `freeze` to those of `which` (all when absent) that are not frozen yet, without waiting. Returns them.
    pub fn ask_freeze(&self, which: Option<&[SessionId]>) -> Vec<SessionId> {
        let mut asked = Vec::new();
        let wanted = |id| which.is_none_or(|w| w.contains(&id));
        for held in self.lock().iter() {
            if held.frozen || !wanted(held.session.id) {
                continue;
            }
            if let Some(group) = &held.cgroup {
                match group.begin_freeze() {
                    Ok(()) => asked.push(held.session.id),
                    Err(e) => tracing::warn!("{} cannot be frozen: {e}", held.session.native),
                }
            }
        }
        asked
    }

    /// Whether all of these stand still.
    pub fn frozen(&self, which: &[SessionId]) -> bool {
        self.lock()
            .iter()
            .filter(|h| which.contains(&h.session.id))
            .all(|h| h.cgroup.as_ref().is_none_or(Cgroup::frozen))
    }

    /// Lets these go on.
    pub fn thaw(&self, which: &[SessionId]) {
        for held in self
            .lock()
            .iter_mut()
            .filter(|h| which.contains(&h.session.id))
        {
            held.frozen = false;
            if let Some(group) = &held.cgroup
                && let Err(e) = group.thaw()
            {
                tracing::warn!("{} cannot be thawed: {e}", held.session.native);
            }
        }
    }

    /// Notes that these stay frozen.
    pub fn keep_frozen(&self, which: &[SessionId]) {
        for held in self
            .lock()
            .iter_mut()
            .filter(|h| which.contains(&h.session.id))
        {
            held.frozen = true;
        }
    }

    /// Kills all processes of all sessions. `Err` names a session that cannot be killed as a whole.
    pub fn kill_all(&self) -> Result<(), String> {
        let groups: Vec<(String, Option<Cgroup>)> = self
            .lock()
            .iter_mut()
            .map(|held| {
                held.over = true;
                (held.session.agent.clone(), held.cgroup.clone())
            })
            .collect();
        // Not under the lock: what is killed may wait for a request that a rollback is to answer, which needs it.
        for (agent, group) in groups {
            match group {
                Some(group) => group
                    .kill(Duration::from_secs(2))
                    .map_err(|e| format!("{agent}: {e}"))?,
                None => {
                    return Err(format!("{agent} has no cgroup of its own; end it by hand"));
                }
            }
        }
        Ok(())
    }

    /// Kills all processes of one session, and waits until they are gone.
    pub fn kill(&self, id: SessionId) -> Result<String, ApiError> {
        let (name, group) = {
            let mut all = self.lock();
            let held = all.iter_mut().find(|h| h.session.id == id).ok_or_else(|| {
                ApiError::new(
                    ErrorCode::NotFound,
                    format!("no running session has the id {}", id.short()),
                )
            })?;
            let name = format!("{} ({})", held.session.agent, id.short());
            (name, held.cgroup.clone())
        };
        // Not under the lock: what is killed may wait for a request that a rollback is to answer, which needs it.
        let Some(group) = group else {
            return if kill_each(id) {
                Ok(name)
            } else {
                Err(ApiError::new(
                    ErrorCode::Failed,
                    format!("{name} has processes that did not end; end them by hand"),
                ))
            };
        };
        group
            .kill(Duration::from_secs(5))
            .map_err(|e| ApiError::new(ErrorCode::Failed, format!("{name}: {e}")))?;
        Ok(name)
    }

    /// Asks all processes of a session to end, and kills after `patience` what is left. Waits until they are gone.
    pub fn stop(&self, id: SessionId, patience: Duration) -> Result<String, ApiError> {
        // What stands still cannot hear that it is to end.
        self.thaw(&[id]);
        for pid in self.processes(id) {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        let start = Instant::now();
        while start.elapsed() < patience {
            if !self.lock().iter().any(|h| h.session.id == id) {
                return Ok("it ended by itself".to_owned());
            }
            if self.processes(id).is_empty() {
                return Ok("it ended when it was asked to".to_owned());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill(id).map(|name| format!("killed {name}"))
    }

    /// Lets all go on: nobody would be there to do it later.
    pub fn thaw_all(&self) {
        let all: Vec<SessionId> = self.lock().iter().map(|h| h.session.id).collect();
        self.thaw(&all);
    }

    /// Forgets the cgroup of a session that never joined it. `true` if that was so.
    fn uncontain(&self, id: SessionId) -> bool {
        let mut held = self.lock();
        let Some(one) = held.iter_mut().find(|h| h.session.id == id && !h.over) else {
            return false;
        };
        let empty = one.cgroup.as_ref().is_some_and(|g| !g.populated());
        if empty && let Some(group) = one.cgroup.take() {
            one.session.cgroup = String::new();
            if let Err(e) = group.remove() {
                tracing::info!("a cgroup stays behind: {e}");
            }
        }
        empty
    }

    /// Notes that a session's first process has ended. `false` if no such session is held.
    fn over(&self, id: SessionId, exit_code: Option<i32>) -> bool {
        let mut held = self.lock();
        let Some(one) = held.iter_mut().find(|h| h.session.id == id) else {
            return false;
        };
        if !one.over {
            one.over = true;
            one.session.exit_code = exit_code;
        }
        true
    }

    /// Lets go of sessions whose first process has ended and whose cgroup is empty. Returns them with the exit code of
    /// that process, where it is known.
    fn take_empty(&self) -> Vec<(SessionId, Option<i32>)> {
        let mut gone = Vec::new();
        self.lock().retain(|h| {
            let alive = h.cgroup.as_ref().is_some_and(Cgroup::populated);
            let stays = !h.over || alive;
            if !stays {
                if let Some(group) = &h.cgroup
                    && let Err(e) = group.remove()
                {
                    tracing::info!("a cgroup stays behind: {e}");
                }
                gone.push((h.session.id, h.session.exit_code));
            }
            stays
        });
        gone
    }
}

/// Kills the processes that have a session's id in their environment, until there are none. For sessions without a cgroup;
/// who has cleared its environment is not found.
fn kill_each(id: SessionId) -> bool {
    let wanted = format!("BACKTRAIL_SESSION={}", id.to_hex());
    let patience = Instant::now();
    while patience.elapsed() < Duration::from_secs(5) {
        let left = with_variable(&wanted);
        if left.is_empty() {
            return true;
        }
        for pid in left {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

/// The processes that have this in their environment.
fn with_variable(wanted: &str) -> Vec<u32> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            std::fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|text| text.split(|b| *b == 0).any(|v| v == wanted.as_bytes()))
        })
        .collect()
}

impl Core {
    /// The project's own directory, for an agent that is recorded by watching what happens there.
    fn place_by_watching(&self, branch: Option<&str>) -> Result<String, ApiError> {
        if branch.is_some() {
            return Err(ApiError::new(
                ErrorCode::Refused,
                "a fork is a mounted view: --capture watch records in the workspace only",
            ));
        }
        if !self.is_watched() {
            return Err(ApiError::new(
                ErrorCode::Failed,
                "the directory cannot be watched here; `backtrail status` says why",
            ));
        }
        // Nobody keeps an old content back for a scan under way, as a view would.
        self.scanned()?;
        Ok(self.project.root.to_string_lossy().into_owned())
    }

    /// Begins a session.
    pub(super) fn begin(
        &self,
        agent: &str,
        command: &str,
        home: BTreeMap<String, String>,
        branch: Option<&str>,
        watch: bool,
    ) -> Result<Begun, ApiError> {
        // Until the session is known, nothing else says that its branch is in use.
        let _still = branch.map(|_| self.world());
        let view = match (branch, self.live()) {
            _ if watch => self.place_by_watching(branch)?,
            (Some(branch), Some(_)) => self.place_in_fork(branch)?,
            (None, Some(live)) => live.at.clone(),
            (_, None) => return Err(self.no_view()),
        };
        let start = Time::now();
        let native = format!("run-{}-{:x}", start.0, std::process::id());
        let id = SessionId::of(&native);
        let wanted = std::env::var_os("BACKTRAIL_CGROUP").is_none_or(|v| v != "off");
        let made = if wanted {
            Cgroup::create(&format!("backtrail-{}", id.short()))
        } else {
            Ok(None)
        };
        let cgroup = match made {
            Ok(group) => group,
            Err(e) => {
                tracing::info!("no cgroup for the session: {e}");
                None
            }
        };
        if cgroup.is_none() {
            self.warn("sessions have no cgroup of their own here: changes are tied to calls by time only, and an agent cannot be frozen".to_owned());
        }
        let session = Session {
            id,
            native,
            agent: first_line(agent),
            command: first_line(command),
            cgroup: cgroup
                .as_ref()
                .map_or_else(String::new, |g| g.path().to_owned()),
            start,
            end: None,
            exit_code: None,
            imported: false,
            branch: branch.map(str::to_owned),
        };
        self.store.put_session(&session).map_err(Failure::from)?;
        if let Some(branch) = branch {
            self.timeline.settle_in(id, branch);
        }
        self.timeline.begin(Running {
            session: id,
            agent: session.agent.clone(),
            // Who changed what is not told by a watch: its changes find their call by time alone.
            cgroup: if watch {
                String::new()
            } else {
                session.cgroup.clone()
            },
            host: None,
        });
        if watch {
            self.timeline.watch_only(id);
        }
        let dir = self.project.agent_dir(&id.short());
        if let Err(e) = self.begun(&session, &dir) {
            // It has not begun: nobody waits for its end.
            self.timeline.end(id);
            self.timeline.leave(id);
            let over = Session {
                end: Some(Time::now()),
                ..session
            };
            if let Err(e) = self.store.put_session(&over) {
                tracing::warn!("{e}");
            }
            return Err(e);
        }
        let begun = Begun {
            view,
            project: self.project.root.to_string_lossy().into_owned(),
            cgroup_dir: cgroup
                .as_ref()
                .map(|g| g.dir().to_string_lossy().into_owned()),
            socket: dir.join("agent.sock").to_string_lossy().into_owned(),
            // Those of all projects: another project's socket would give the agent a person's rights there.
            mask: [&self.project.store_dir, &self.project.runtime_dir]
                .into_iter()
                .filter_map(|dir| dir.parent())
                .map(|dir| dir.to_string_lossy().into_owned())
                .chain(self.pasts.elsewhere())
                .collect(),
            terminal: Some(self.terminal_spot(id)),
            session: session.clone(),
        };
        if let Some(follower) = self.follower.get() {
            follower.begin(&session, home);
        }
        self.sessions.lock().push(Held {
            session,
            cgroup,
            frozen: false,
            over: false,
        });
        self.tell_status();
        Ok(begun)
    }

    /// What is kept of the beginning of a session.
    fn begun(&self, session: &Session, dir: &std::path::Path) -> Result<(), ApiError> {
        let mut step = self.timeline.step(Draft {
            session: Some(session.id),
            kind: StepKind::Marker,
            native: "begin".to_owned(),
            title: match &session.branch {
                Some(branch) => format!("run on {branch}: {}", session.command),
                None => format!("run {}", session.command),
            },
            time: session.start,
        });
        if let Some(branch) = &session.branch {
            // What it finds is not what is in the workspace.
            step.state = Some(self.answers().tip(branch)?);
        }
        self.store.put_step(&step).map_err(Failure::from)?;
        // A session that is cut off in its first second has still been there.
        self.store.sync().map_err(Failure::from)?;
        self.tell_row(&step);
        super::project::private_dir(dir)
    }

    /// The session should have joined its cgroup by now. If it has not (the engine's part of the hierarchy may be out of
    /// its reach), it is treated as one without, or nothing would be tied to it.
    pub(super) fn check_contained(&self, id: SessionId) {
        if !self.sessions.uncontain(id) {
            return;
        }
        if let Some(mut running) = self
            .timeline
            .running()
            .into_iter()
            .find(|r| r.session == id)
        {
            running.cgroup = String::new();
            self.timeline.begin(running);
        }
        self.warn("a session could not join its cgroup: changes are tied to calls by time only, and its agent cannot be frozen".to_owned());
        self.tell_status();
    }

    /// A session's first process has ended. The session itself ends when nothing is left in its cgroup: what its agent
    /// left running in the background is still its work.
    pub(super) fn end(&self, id: SessionId, exit_code: i32) -> Result<(), ApiError> {
        self.hear_out();
        // The session ends also when its last changes cannot be stored now (a full disk); the error is told after.
        let stored = self.cut_for(Cause::SessionEnd, Some(id));
        if !self.sessions.over(id, Some(exit_code)) {
            return Err(ApiError::new(
                ErrorCode::NotFound,
                format!("no running session has the id {id}"),
            ));
        }
        self.reap()?;
        stored?;
        Ok(())
    }

    /// Whoever ran the session is gone without a word (killed, say).
    pub(super) fn abandon(&self, id: SessionId) -> Result<(), ApiError> {
        if self.sessions.over(id, None) {
            self.reap()?;
        }
        Ok(())
    }

    /// Ends the sessions in which nothing runs any more.
    pub(super) fn reap(&self) -> Result<(), ApiError> {
        for (id, exit_code) in self.sessions.take_empty() {
            self.conclude(id, exit_code)?;
        }
        Ok(())
    }

    /// Reads what transcripts hold by now, so that what is cut next finds its calls.
    fn hear_out(&self) {
        if let Some(follower) = self.follower.get() {
            follower.hear_out();
        }
    }

    fn conclude(&self, id: SessionId, exit_code: Option<i32>) -> Result<(), ApiError> {
        self.hear_out();
        let stored = self.cut_for(Cause::SessionEnd, Some(id));
        let _ = std::fs::remove_dir_all(self.project.agent_dir(&id.short()));
        if let Some(follower) = self.follower.get() {
            follower.end(id);
        }
        let now = Time::now();
        let Some(mut session) = self.store.session(id).map_err(Failure::from)? else {
            return Ok(());
        };
        // Sessions that its agent named by events end with it.
        let named = self.timeline.running().into_iter().filter(|r| {
            r.session == id
                || r.host == Some(id)
                || (!session.cgroup.is_empty() && r.cgroup == session.cgroup)
        });
        for each in named {
            for ties in self.timeline.ties_of(None) {
                ties.end(each.session, now);
            }
            for open in self.timeline.end(each.session) {
                self.finish(&open, now, Status::Aborted, None, None)?;
            }
            if each.session != id
                && let Some(mut other) = self.store.session(each.session).map_err(Failure::from)?
            {
                other.end = Some(now);
                self.store.put_session(&other).map_err(Failure::from)?;
            }
        }
        self.timeline.leave(id);
        session.end = Some(now);
        session.exit_code = exit_code;
        self.store.put_session(&session).map_err(Failure::from)?;
        let mut step = self.timeline.step(Draft {
            session: Some(id),
            kind: StepKind::Marker,
            native: "end".to_owned(),
            title: match exit_code {
                Some(_) => format!("{} ended", session.agent),
                None => format!("{} was cut off", session.agent),
            },
            time: now,
        });
        step.exit_code = exit_code;
        step.status = match exit_code {
            Some(0) => Status::Ok,
            Some(_) => Status::Error,
            None => Status::Aborted,
        };
        self.store.put_step(&step).map_err(Failure::from)?;
        self.tell_row(&step);
        self.store.sync().map_err(Failure::from)?;
        self.tell_status();
        stored?;
        Ok(())
    }

    /// At start: sessions that an engine which died never ended.
    pub(super) fn close_old_sessions(&self) -> Result<(), ApiError> {
        for mut session in self.store.sessions().map_err(Failure::from)? {
            if session.end.is_none() {
                // An engine that died in the middle of a rollback left its agents frozen.
                if !session.cgroup.is_empty()
                    && let Ok(Some(group)) =
                        Cgroup::create(&format!("backtrail-{}", session.id.short()))
                {
                    if let Err(e) = group.thaw() {
                        tracing::warn!("{} cannot be thawed: {e}", session.native);
                    }
                    if !group.populated() {
                        let _ = group.remove();
                    }
                }
                session.end = Some(Time::now());
                self.store.put_session(&session).map_err(Failure::from)?;
            }
        }
        Ok(())
    }

    /// Kills a session's processes, however they take it.
    pub(super) fn kill(&self, id: SessionId) -> Result<String, ApiError> {
        let name = self.sessions.kill(id)?;
        self.reap()?;
        Ok(format!("killed {name}"))
    }

    /// Ends a session's processes, by asking first.
    pub(super) fn stop_session(
        &self,
        id: SessionId,
        patience: Duration,
    ) -> Result<String, ApiError> {
        if !self.sessions.list().iter().any(|s| s.session.id == id) {
            return Err(ApiError::new(
                ErrorCode::NotFound,
                format!("no running session has the id {}", id.short()),
            ));
        }
        let how = self.sessions.stop(id, patience)?;
        self.reap()?;
        self.tell_status();
        Ok(how)
    }

    /// Freezes or thaws. Returns how many sessions that concerned.
    pub(super) fn freeze(&self, which: Option<SessionId>, frozen: bool) -> Result<usize, ApiError> {
        let _one = self.world();
        let all: Vec<SessionId> = self
            .sessions
            .list()
            .iter()
            .filter(|s| s.contained && which.is_none_or(|w| w == s.session.id))
            .map(|s| s.session.id)
            .collect();
        if all.is_empty() {
            return Err(ApiError::new(
                ErrorCode::Refused,
                "no running session has a cgroup, which freezing needs",
            ));
        }
        if frozen {
            let _ = self.sessions.ask_freeze(Some(&all));
            let patience = Instant::now();
            while !self.sessions.frozen(&all) {
                if patience.elapsed() > Duration::from_secs(5) {
                    self.sessions.thaw(&all);
                    return Err(ApiError::new(
                        ErrorCode::Failed,
                        "the agent's processes did not come to a stop within 5 s; they go on",
                    ));
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            self.sessions.keep_frozen(&all);
        } else {
            self.sessions.thaw(&all);
        }
        self.tell_status();
        Ok(all.len())
    }
}
