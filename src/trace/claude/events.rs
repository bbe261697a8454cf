//! The events of one line.
//!
//! A line holds one block of an answer as a rule, but every number of blocks is read. The order is: facts about the
//! session, what the line says, what it cost. A line of the conversation that says nothing to a person still gives a
//! link, because later lines may have it as their parent.

use std::borrow::Cow;

use super::line::Line;
use crate::model::Time;
use crate::trace::event::{Body, Event, Facts, MarkerKind, Out, Record};
use crate::trace::lenient::{Maybe, Text};

/// The thread of the subagents of early versions, which wrote no id of the subagent. Their conversations are told apart
/// by their roots.
pub const SIDECHAIN: &str = "sidechain";

/// Gives the events of `record`.
pub fn events<'a>(record: Record<'a>, out: &mut Out<'a>) {
    out.counted += 1;
    let unknown = |name: &'static str| {
        Event::new(
            0,
            Body::Unknown {
                name: Cow::Borrowed(name),
            },
        )
    };
    let Ok(text) = std::str::from_utf8(record.bytes) else {
        out.events.push(unknown("not UTF-8"));
        return;
    };
    match serde_json::from_str::<Maybe<Line<'a>>>(text) {
        Ok(Maybe(Some(line))) => Teller::of(&line, out).line(line),
        Ok(Maybe(None)) => out.events.push(unknown("not a line of a transcript")),
        // A field that is there twice is JSON, but no line that Claude Code writes.
        Err(_) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => {
            out.events.push(unknown("not a line of a transcript"));
        }
        Err(_) => out.events.push(unknown("not JSON")),
    }
}

/// Adds the events of one line, each with what is common to all of them.
pub(super) struct Teller<'o, 'a> {
    pub(super) out: &'o mut Out<'a>,
    pub(super) part: u16,
    pub(super) native: Cow<'a, str>,
    pub(super) parent: Option<Cow<'a, str>>,
    pub(super) thread: Cow<'a, str>,
    pub(super) session: Cow<'a, str>,
    pub(super) answer: Cow<'a, str>,
    pub(super) time: Option<Time>,
}

impl<'o, 'a> Teller<'o, 'a> {
    pub(super) fn of(line: &Line<'a>, out: &'o mut Out<'a>) -> Self {
        let mut parent = line.parent_uuid.0.clone();
        if parent.as_deref() == Some("") && !line.logical_parent_uuid.is_empty() {
            parent = Some(line.logical_parent_uuid.0.clone());
        }
        let thread = if !line.under_call.is_empty() {
            line.under_call.0.clone()
        } else if !line.is_sidechain.0 {
            Cow::Borrowed("")
        } else if line.agent_id.is_empty() {
            Cow::Borrowed(SIDECHAIN)
        } else {
            line.agent_id.0.clone()
        };
        let session = if line.session_id.is_empty() {
            &line.session
        } else {
            &line.session_id
        };
        Self {
            out,
            part: 0,
            native: line.uuid.0.clone(),
            parent,
            thread,
            session: session.0.clone(),
            answer: Cow::Borrowed(""),
            time: Time::parse(&line.timestamp),
        }
    }

    pub(super) fn add(&mut self, body: Body<'a>) {
        let event = Event {
            part: self.part,
            native: self.native.clone(),
            parent: self.parent.clone(),
            thread: self.thread.clone(),
            session: self.session.clone(),
            answer: self.answer.clone(),
            time: self.time,
            echo: false,
            body,
        };
        self.part = self.part.saturating_add(1);
        self.out.events.push(event);
    }

    pub(super) fn marker(&mut self, kind: MarkerKind, text: impl Into<Cow<'a, str>>) {
        self.add(Body::Marker {
            kind,
            text: text.into(),
        });
    }

    pub(super) fn unknown(&mut self, name: String) {
        self.add(Body::Unknown { name: name.into() });
    }

    fn line(&mut self, line: Line<'a>) {
        let first = self.out.events.len();
        match &*line.kind {
            "user" => self.user(line),
            "assistant" => self.assistant(line),
            "system" => self.system(line),
            "attachment" => {
                if let Some(attachment) = line.attachment.0 {
                    self.attachment(attachment, &line.cwd);
                }
            }
            "progress" => {
                let call = line.parent_tool_use_id.0;
                if let Some(data) = line.data.0 {
                    self.progress(data, call);
                }
            }
            "summary" => self.title(line.summary),
            "ai-title" => self.title(line.ai_title),
            "custom-title" => self.title(line.custom_title),
            "last-prompt" => {
                if !line.leaf_uuid.is_empty() {
                    self.add(Body::Leaf(line.leaf_uuid.0));
                }
            }
            "permission-mode" if !line.permission_mode.is_empty() => {
                self.add(Body::Session(Box::new(Facts {
                    mode: line.permission_mode.0.into_owned(),
                    ..Facts::default()
                })));
            }
            "result" if !line.session.is_empty() => {
                let text = if line.is_error.0 {
                    format!("ended: {}", &*line.subtype)
                } else {
                    "ended".to_owned()
                };
                self.marker(MarkerKind::Session, text);
            }
            name if SILENT.contains(&name) => {}
            "" => self.unknown("no type".to_owned()),
            name => {
                let name = name.to_owned();
                self.unknown(name);
            }
        }
        if self.out.events.len() == first && !self.native.is_empty() {
            self.add(Body::Link);
        }
    }

    fn title(&mut self, title: Text<'a>) {
        if !title.is_empty() {
            self.add(Body::Session(Box::new(Facts {
                title: title.0.into_owned(),
                ..Facts::default()
            })));
        }
    }

    pub(super) fn facts(&mut self, line: &Line<'a>, model: &str) {
        self.add(Body::Session(Box::new(Facts {
            id: self.session.clone().into_owned(),
            agent: "claude".to_owned(),
            version: (*line.version).to_owned(),
            model: model.to_owned(),
            cwd: (*line.cwd).to_owned(),
            branch: (*line.git_branch).to_owned(),
            mode: (*line.permission_mode).to_owned(),
            ..Facts::default()
        })));
    }
}

/// Lines of the session's state that say nothing to a person.
const SILENT: &[&str] = &[
    "file-history-snapshot",
    "file-history-delta",
    "attribution-snapshot",
    "content-replacement",
    "worktree-state",
    "speculation-accept",
    "agent-name",
    "agent-color",
    "agent-setting",
    "tag",
    "task-summary",
    "bridge-session",
    "pr-link",
    "queue-operation",
    "mode",
    "permission-mode",
    "started",
    "stream_event",
    "rate_limit_event",
    "tool_progress",
    "keep_alive",
    "control_request",
    "control_response",
];
