//! Taking in a session's reasoning: each event of `emit` becomes a step, and calls and results cut checkpoints.
//!
//! A call's beginning cuts what was changed before it, a result cuts what the call changed, both before the sender gets
//! its answer: a sender that waits knows that the state is durable and tied to the call.

use crate::model::{
    BlobId, Cause, EmitBody, EmitEvent, Session, SessionId, Status, Step, StepKind, Time,
};
use crate::trace::calls::{OpenCall, Running};
use crate::trace::emit::{call_title, first_line, kind_of, named_paths};

use super::api::{ApiError, ErrorCode};
use super::core::{Core, Failure};
use super::timeline::Draft;

/// Longest text kept of one event, in bytes: the longest line that `emit` takes.
const LONGEST: usize = 16 << 20;

impl Core {
    /// Takes events in order. `default` is the session of those that name none.
    pub(super) fn emit(
        &self,
        events: Vec<EmitEvent>,
        default: Option<SessionId>,
    ) -> Result<(), ApiError> {
        // One batch at a time: the order of two senders' events is the order of their batches.
        let _turn = self.emit_turn();
        for event in events {
            let session = self.session_of(event.session.as_deref(), default)?;
            self.take(session, event.time.unwrap_or_else(Time::now), event.body)
                .map_err(ApiError::from)?;
        }
        self.store.sync().map_err(Failure::from)?;
        Ok(())
    }

    /// The session that an event belongs to, made when its agent's own id is new.
    fn session_of(
        &self,
        native: Option<&str>,
        default: Option<SessionId>,
    ) -> Result<SessionId, ApiError> {
        let running = self.timeline.running();
        let host = default
            .and_then(|id| running.iter().find(|r| r.session == id))
            .or(match running.as_slice() {
                [one] => Some(one),
                _ => None,
            });
        let Some(native) = native else {
            if let Some(host) = host {
                return Ok(host.session);
            }
            if running.is_empty() {
                return self.emitted_session("emit", None);
            }
            return Err(ApiError::new(
                ErrorCode::Refused,
                "several sessions run; say with `--session ID` (or a \"session\" field) which one the events belong to",
            ));
        };
        if let Some(named) = running.iter().find(|r| r.session == SessionId::of(native)) {
            // An agent speaks for itself and for what it named itself, not for another one.
            if default.is_some() && host.is_some_and(|h| h.cgroup != named.cgroup) {
                return Err(ApiError::new(
                    ErrorCode::Forbidden,
                    "that session belongs to another agent",
                ));
            }
            return Ok(named.session);
        }
        self.emitted_session(native, host)
    }

    /// A session that is known from its events only; it shares the cgroup of the `run` it came from.
    fn emitted_session(&self, native: &str, host: Option<&Running>) -> Result<SessionId, ApiError> {
        let id = SessionId::of(native);
        let known = self.store.session(id).map_err(Failure::from)?;
        let session = known.unwrap_or_else(|| Session {
            id,
            native: native.to_owned(),
            agent: host.map_or_else(|| "emit".to_owned(), |h| h.agent.clone()),
            command: String::new(),
            cgroup: host.map_or_else(String::new, |h| h.cgroup.clone()),
            start: Time::now(),
            end: None,
            exit_code: None,
            imported: false,
            branch: host.and_then(|h| self.timeline.place_of(h.session)),
        });
        self.store.put_session(&session).map_err(Failure::from)?;
        self.timeline.begin(Running {
            session: id,
            agent: session.agent,
            cgroup: session.cgroup,
            host: host.map(|h| h.host.unwrap_or(h.session)),
        });
        Ok(id)
    }

    fn take(&self, session: SessionId, time: Time, body: EmitBody) -> Result<(), Failure> {
        let plain = |kind, title| Draft {
            session: Some(session),
            kind,
            native: String::new(),
            title,
            time,
        };
        match body {
            EmitBody::Prompt { text } => {
                self.say(plain(StepKind::Prompt, first_line(&text)), &text)
            }
            EmitBody::Thought { text } => {
                self.say(plain(StepKind::Thought, first_line(&text)), &text)
            }
            EmitBody::Message { text } => {
                self.say(plain(StepKind::Message, first_line(&text)), &text)
            }
            EmitBody::Marker { name, text } => {
                let title = first_line(&format!("{name} {text}"));
                self.say(plain(StepKind::Marker, title), &text)
            }
            EmitBody::Unknown(value) => {
                let text = value.to_string();
                let name = value.get("type").and_then(|t| t.as_str()).unwrap_or("?");
                let title = first_line(&format!("{name} (not understood)"));
                self.say(plain(StepKind::Unknown, title), &text)
            }
            EmitBody::Call {
                id,
                name,
                kind,
                input,
                title,
            } => {
                let stored = self.cut_for(Cause::PreTool, Some(session));
                if let Some(open) = self.timeline.call(session, &id) {
                    // The same id twice: the first call can no longer be told apart.
                    self.finish(&open, time, Status::Aborted, None, None)?;
                }
                let mut draft = plain(
                    StepKind::Call,
                    title.map_or_else(|| call_title(&name, &input), |t| first_line(&t)),
                );
                draft.native = format!("call:{id}");
                let mut step = self.timeline.step(draft);
                if let Some(told) = self.told_by_transcript(session, &step.native)? {
                    self.timeline.open_call(OpenCall {
                        step: told.id,
                        session,
                        native: id,
                        paths: told.paths,
                    });
                    return stored.map(|_| ());
                }
                if self.store.step(step.id)?.is_some() {
                    // An id used again after its result: another step, never a change of the old one.
                    step.native = format!("call:{id}#{}", step.ordinal);
                    step.id = crate::model::StepId::of(session, &step.native);
                }
                step.call = kind.unwrap_or_else(|| kind_of(&name));
                step.tool = first_line(&name);
                step.status = Status::Running;
                step.paths = named_paths(&input, &self.project.root);
                step.body = Some(self.text(&input.to_string())?);
                self.keep(&step)?;
                self.timeline.open_call(OpenCall {
                    step: step.id,
                    session,
                    native: id,
                    paths: step.paths,
                });
                // What is said is kept even when what was done cannot be, now.
                stored.map(|_| ())
            }
            EmitBody::Result {
                id,
                output,
                is_error,
                exit_code,
            } => {
                let stored = self.cut_for(Cause::PostTool, Some(session));
                let failed = is_error || exit_code.is_some_and(|c| c != 0);
                let status = if failed { Status::Error } else { Status::Ok };
                match self.timeline.call(session, &id) {
                    Some(open) => {
                        let blob = self.text(&output)?;
                        self.finish(&open, time, status, exit_code, Some(blob))?;
                    }
                    None => self.say(
                        plain(
                            StepKind::Unknown,
                            first_line(&format!("result of a call that is not open: {id}")),
                        ),
                        &output,
                    )?,
                }
                stored.map(|_| ())
            }
        }
    }

    /// The call's step, if the agent's transcript was quicker.
    fn told_by_transcript(
        &self,
        session: SessionId,
        native: &str,
    ) -> Result<Option<Step>, Failure> {
        let running = self.timeline.running();
        let host = running
            .iter()
            .find(|r| r.session == session)
            .map(|r| r.host.unwrap_or(r.session));
        let told = self.call_in_family(host, native)?;
        Ok(told.filter(|s| !s.sources.is_empty()))
    }

    fn text(&self, text: &str) -> Result<BlobId, Failure> {
        let bytes = text.as_bytes();
        Ok(self.store.put_blob(&bytes[..bytes.len().min(LONGEST)])?)
    }

    fn say(&self, draft: Draft, text: &str) -> Result<(), Failure> {
        let mut step = self.timeline.step(draft);
        if !text.is_empty() {
            step.body = Some(self.text(text)?);
        }
        self.keep(&step)
    }

    pub(super) fn keep(&self, step: &Step) -> Result<(), Failure> {
        self.store.put_step(step)?;
        self.tell_row(step);
        Ok(())
    }

    /// Gives a call its end and takes it off the open ones.
    pub(super) fn finish(
        &self,
        open: &OpenCall,
        time: Time,
        status: Status,
        exit_code: Option<i32>,
        output: Option<BlobId>,
    ) -> Result<(), Failure> {
        self.timeline.close_call(open.step);
        let Some(mut step) = self.store.step(open.step)? else {
            return Ok(());
        };
        step.end = Some(time);
        step.status = status;
        step.exit_code = exit_code;
        step.output = output;
        self.keep(&step)
    }
}
