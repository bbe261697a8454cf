//! Sessions begun by `backtrail run`: their cgroups, their sockets, freezing and ending them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
            })
            .collect()
    }

    /// Whether any is running.
    pub fn any(&self) -> bool {
        !self.lock().is_empty()
    }

    /// Writes `freeze` to all that are not frozen yet, without waiting. Returns which.
    pub fn ask_freeze(&self) -> Vec<SessionId> {
        let mut asked = Vec::new();
        for held in self.lock().iter().filter(|h| !h.frozen) {
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

    /// Kills all processes of all sessions.
    pub fn kill_all(&self) {
        for held in self.lock().iter() {
            if let Some(group) = &held.cgroup
                && let Err(e) = group.kill(Duration::from_secs(2))
            {
                tracing::warn!("{} cannot be killed: {e}", held.session.native);
            }
        }
    }

    /// Forgets sessions whose first process has ended and whose cgroup is empty. Returns them.
    pub fn reap(&self) -> Vec<SessionId> {
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
                gone.push(h.session.id);
            }
            stays
        });
        gone
    }
}

impl Core {
    /// Begins a session.
    pub(super) fn begin(&self, agent: &str, command: &str) -> Result<Begun, ApiError> {
        let live = self.live().ok_or_else(|| {
            ApiError::new(
                ErrorCode::Refused,
                "nothing is mounted here, so that no agent can be run; `backtrail run` starts an engine that mounts",
            )
        })?;
        let start = Time::now();
        let native = format!("run-{}-{:x}", start.0, std::process::id());
        let id = SessionId::of(&native);
        let cgroup = match Cgroup::create(&format!("backtrail-{}", id.short())) {
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
        };
        self.store.put_session(&session).map_err(Failure::from)?;
        self.timeline.begin(Running {
            session: id,
            agent: session.agent.clone(),
            cgroup: session.cgroup.clone(),
        });
        let step = self.timeline.step(Draft {
            session: Some(id),
            kind: StepKind::Marker,
            native: "begin".to_owned(),
            title: format!("run {}", session.command),
            time: start,
        });
        self.store.put_step(&step).map_err(Failure::from)?;
        self.tell_row(&step);
        let dir = self.project.agent_dir(&id.short());
        super::project::private_dir(&dir)?;
        let begun = Begun {
            view: live.at.clone(),
            project: self.project.root.to_string_lossy().into_owned(),
            cgroup_dir: cgroup
                .as_ref()
                .map(|g| g.dir().to_string_lossy().into_owned()),
            socket: dir.join("agent.sock").to_string_lossy().into_owned(),
            mask: vec![
                self.project.store_dir.to_string_lossy().into_owned(),
                self.project.runtime_dir.to_string_lossy().into_owned(),
            ],
            session: session.clone(),
        };
        self.sessions.lock().push(Held {
            session,
            cgroup,
            frozen: false,
            over: false,
        });
        self.tell_status();
        Ok(begun)
    }

    /// A session's first process has ended.
    pub(super) fn end(&self, id: SessionId, exit_code: i32) -> Result<(), ApiError> {
        let Some(mut session) = self.store.session(id).map_err(Failure::from)? else {
            return Err(ApiError::new(
                ErrorCode::NotFound,
                format!("no session has the id {id}"),
            ));
        };
        self.cut(Cause::SessionEnd, None, Some(id))?;
        let now = Time::now();
        for open in self.timeline.end(id) {
            self.finish(&open, now, Status::Aborted, None, None)?;
        }
        // Sessions that its agent named by events end with it.
        if !session.cgroup.is_empty() {
            let named = self.timeline.running();
            for other in named.iter().filter(|r| r.cgroup == session.cgroup) {
                for open in self.timeline.end(other.session) {
                    self.finish(&open, now, Status::Aborted, None, None)?;
                }
            }
        }
        session.end = Some(now);
        session.exit_code = Some(exit_code);
        self.store.put_session(&session).map_err(Failure::from)?;
        let mut step = self.timeline.step(Draft {
            session: Some(id),
            kind: StepKind::Marker,
            native: "end".to_owned(),
            title: format!("{} ended", session.agent),
            time: now,
        });
        step.exit_code = Some(exit_code);
        step.status = if exit_code == 0 {
            Status::Ok
        } else {
            Status::Error
        };
        self.store.put_step(&step).map_err(Failure::from)?;
        self.tell_row(&step);
        self.store.sync().map_err(Failure::from)?;
        for held in self
            .sessions
            .lock()
            .iter_mut()
            .filter(|h| h.session.id == id)
        {
            held.over = true;
        }
        self.sessions.reap();
        self.tell_status();
        Ok(())
    }

    /// Freezes or thaws. Returns how many sessions that concerned.
    pub(super) fn freeze(&self, which: Option<SessionId>, frozen: bool) -> Result<usize, ApiError> {
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
            let _ = self.sessions.ask_freeze();
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
