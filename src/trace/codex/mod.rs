//! Codex rollouts: one JSON object a line, `{timestamp, type, payload}`.
//!
//! * Nearly everything is told twice: as `response_item` (what the model sees) and as `event_msg` (what the person saw).
//!   Prompts, messages, thoughts and calls are taken from the first; from the second comes what it alone tells: patches
//!   that were applied ([`edits`]), exit codes, tokens, interrupts, rewinds ([`notes`]).
//! * A forked session, and a subagent that was given its parent's conversation, begins with a copy of that, after a second
//!   `session_meta`. The copy is shown as the thread `parent` of the other session; its effects are not this session's.
//!   The copy ends with the first turn that was begun later than this session: ids are UUIDs that begin with their time.
//! * In code mode one call (`exec`) is a script that runs commands and patches. These tell their ends under ids of their
//!   own (`exec-...`), and are made calls of their own by that.

mod edits;
mod ends;
mod items;
mod notes;
mod script;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::event::{Body, Event, Facts, FileEffect, MarkerKind, Out, Record, State};
use super::format::{About, Format, Head, Home};
use super::raw::{self, Field, Teller};
use crate::model::Time;

/// The reader.
pub struct Codex;

/// The thread under which a copied conversation is shown.
const PARENT: &str = "parent";

/// A line, or a bare item of the first versions.
#[derive(Deserialize, Default)]
struct Line<'a> {
    #[serde(borrow, default)]
    timestamp: Field<'a>,
    #[serde(borrow, default, rename = "type")]
    kind: Field<'a>,
    #[serde(borrow, default)]
    payload: Field<'a>,
    #[serde(borrow, default)]
    record_type: Field<'a>,
    #[serde(borrow, default)]
    id: Field<'a>,
    #[serde(borrow, default)]
    instructions: Field<'a>,
}

/// What stands above a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Top {
    Meta,
    Turn,
    Item,
    Message,
    Compacted,
    /// Words from one agent to another.
    Agents,
    /// Says nothing to a person.
    Silent,
    Unknown,
}

/// A record's parts: what it is, its payload, and the line.
fn open<'a>(bytes: &'a [u8]) -> Option<(Top, Field<'a>, Line<'a>)> {
    let line: Line<'a> = serde_json::from_slice(bytes).ok()?;
    let kind = raw::string(line.kind);
    let top = match kind.as_deref() {
        Some("session_meta") => Top::Meta,
        Some("turn_context") => Top::Turn,
        Some("response_item") => Top::Item,
        Some("event_msg") => Top::Message,
        Some("compacted") => Top::Compacted,
        Some("inter_agent_communication") => Top::Agents,
        Some(
            "world_state"
            | "inter_agent_communication_metadata"
            | "token_usage_record"
            | "realtime_item"
            | "security_risk_score",
        ) => Top::Silent,
        // The first versions wrote the items themselves, after a line of facts.
        Some(_) if line.payload.is_none() && items::is_item(kind.as_deref()) => {
            let whole = serde_json::from_slice(bytes).ok()?;
            return Some((Top::Item, Some(whole), line));
        }
        None if line.record_type.is_some() => Top::Silent,
        None if line.id.is_some() && (line.instructions.is_some() || line.timestamp.is_some()) => {
            let whole = serde_json::from_slice(bytes).ok()?;
            return Some((Top::Meta, Some(whole), line));
        }
        _ => Top::Unknown,
    };
    Some((top, line.payload, line))
}

impl Format for Codex {
    fn name(&self) -> &'static str {
        "codex"
    }

    fn about(&self) -> About {
        About {
            title: "Codex rollouts",
            basis: "real recordings of 0.118, 0.121, 0.125, 0.139, 0.142 and 0.144; older and newer ones by description",
            real: true,
            gives: "prompts, thoughts, messages, calls with results and exit codes, patches, compaction, rewinds, \
                    interrupts, forks, subagents, models, tokens",
            lacks: "reasoning that is kept encrypted; the content of files before their first patch",
        }
    }

    fn sniff(&self, head: &Head<'_>) -> u8 {
        let mut sure = 0;
        for line in head.lines {
            let text = |key: &str| line.get(key).and_then(serde_json::Value::as_str);
            let sub = || line.get("payload")?.get("type")?.as_str();
            sure = sure.max(match text("type") {
                Some("session_meta") if line.get("payload").is_some() => 99,
                Some("turn_context" | "response_item" | "event_msg" | "compacted")
                    if line.get("payload").is_some() =>
                {
                    if sub().is_some() {
                        95
                    } else {
                        80
                    }
                }
                None if text("record_type") == Some("state") => 70,
                None if text("id").is_some()
                    && line.get("instructions").is_some()
                    && line.get("timestamp").is_some() =>
                {
                    75
                }
                _ => 0,
            });
        }
        sure
    }

    fn events<'a>(&self, record: Record<'a>, state: &mut State, out: &mut Out<'a>) {
        out.counted = 1;
        let Some((top, payload, line)) = open(record.bytes) else {
            Teller::new(out).unknown(raw::NOT_JSON);
            return;
        };
        let time = raw::time(line.timestamp);
        let meta = (top == Top::Meta).then(|| raw::object::<Meta<'a>>(payload));
        let turn = (top == Top::Turn).then(|| raw::object::<Turn<'a>>(payload));
        if let Some(meta) = meta.as_ref().and_then(Option::as_ref) {
            meta.enter(state);
        }
        if let Some(turn) = turn.as_ref().and_then(Option::as_ref) {
            if let Some(cwd) = raw::string(turn.cwd) {
                state.cwd = cwd.into_owned();
            }
            leave_copy(state, turn.turn_id, None, time);
        }
        let note = (top == Top::Message).then(|| notes::Note::read(payload));
        if let Some(note) = note.as_ref().and_then(Option::as_ref) {
            note.enter(state, time);
        }
        if raw::string(line.kind).as_deref() == Some("inter_agent_communication_metadata") {
            // Comes with the task that a subagent is given: what was copied lies before it.
            over(state);
        }
        let mut teller = Teller::new(out);
        teller.common.time = time;
        place(&mut teller.common, state);
        let note = note.flatten();
        let answer = match &note {
            Some(note) => note.answer(state),
            None => state.answers,
        };
        teller.common.answer = Cow::Owned(answer.to_string());
        let copied = teller.common.thread == PARENT;
        match top {
            Top::Meta => match meta.flatten() {
                Some(meta) => meta.tell(&mut teller),
                None => teller.unknown("session_meta"),
            },
            Top::Turn => match turn.flatten() {
                Some(turn) => teller.say(Body::Session(Box::new(Facts {
                    model: raw::owned(turn.model),
                    cwd: raw::owned(turn.cwd),
                    ..Facts::default()
                }))),
                None => teller.unknown("turn_context"),
            },
            Top::Item => items::tell(payload, &mut teller),
            Top::Message => match note {
                // In a subagent's thread nothing would tell that the model was given the same.
                Some(note) if copied && note.is_prompt() => teller.say(Body::Link),
                Some(note) => note.tell(&mut teller),
                None => teller.unknown("event_msg"),
            },
            Top::Compacted => compacted(payload, &mut teller),
            Top::Agents => items::between_agents(payload, &mut teller),
            Top::Silent => {}
            Top::Unknown => {
                let name = raw::string(line.kind).unwrap_or(Cow::Borrowed("record without a type"));
                teller.unknown(name);
            }
        }
    }

    fn has_effects(&self, record: Record<'_>) -> bool {
        edits::may_have(record.bytes)
    }

    fn effects(&self, record: Record<'_>, state: &State, out: &mut Vec<FileEffect>) {
        if state.origin.as_deref().is_some_and(|o| !o.is_empty()) {
            return;
        }
        if let Some((top, payload, line)) = open(record.bytes) {
            let before = out.len();
            edits::effects(top, payload, out);
            let time = raw::time(line.timestamp);
            for effect in out.iter_mut().skip(before) {
                effect.time = time;
                if effect.cwd.is_none() && !state.cwd.is_empty() {
                    effect.cwd = Some(state.cwd.clone());
                }
            }
        }
    }

    fn places(&self, home: &Home) -> Vec<PathBuf> {
        let dir = home.dir_or("CODEX_HOME", ".codex");
        vec![dir.join("sessions"), dir.join("archived_sessions")]
    }

    fn is_recording(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
        name.starts_with("rollout-") && name.ends_with(".jsonl")
    }
}

/// Says of an event whose it is.
fn place(event: &mut Event<'_>, state: &State) {
    match state.origin.as_deref() {
        None => {}
        Some("") => event.session = Cow::Owned(state.session.clone()),
        Some(origin) => {
            event.session = Cow::Owned(origin.to_owned());
            event.thread = Cow::Borrowed(PARENT);
        }
    }
}

/// A turn begins: if it was begun later than this session, it is no copy.
fn leave_copy(state: &mut State, turn: Field<'_>, started: Option<f64>, told: Option<Time>) {
    if state.origin.as_deref().is_none_or(str::is_empty) {
        return;
    }
    let turn = raw::string(turn).unwrap_or_default();
    let begun = started.map(|s| Time((s.clamp(0.0, 1e12) * 1e6) as i64));
    let later = match (uuid_time(&turn), uuid_time(&state.session)) {
        (Some(turn), Some(session)) => turn >= session,
        // Where ids tell no time: when it began, in whole seconds, else when that was written.
        _ => match (begun.or(told), state.start) {
            (Some(at), Some(start)) => at.0 >= start.0 - start.0.rem_euclid(1_000_000),
            // Better the other's words taken for this one's than this one's for the other's.
            _ => true,
        },
    };
    if later {
        over(state);
    }
}

/// What is copied has ended.
fn over(state: &mut State) {
    if let Some(origin) = &mut state.origin {
        origin.clear();
    }
}

/// The milliseconds that a UUID of version 7 begins with.
fn uuid_time(id: &str) -> Option<u64> {
    let (high, rest) = id.split_once('-')?;
    let (low, rest) = rest.split_once('-')?;
    if high.len() != 8 || low.len() != 4 || !rest.starts_with('7') {
        return None;
    }
    u64::from_str_radix(high, 16)
        .ok()?
        .checked_mul(0x1_0000)?
        .checked_add(u64::from_str_radix(low, 16).ok()?)
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default)]
    id: Field<'a>,
    #[serde(borrow, default)]
    timestamp: Field<'a>,
    #[serde(borrow, default)]
    cwd: Field<'a>,
    #[serde(borrow, default)]
    cli_version: Field<'a>,
    #[serde(borrow, default)]
    git: Field<'a>,
    #[serde(borrow, default)]
    source: Field<'a>,
    #[serde(borrow, default)]
    forked_from_id: Field<'a>,
    #[serde(borrow, default)]
    parent_thread_id: Field<'a>,
    #[serde(borrow, default)]
    agent_nickname: Field<'a>,
    #[serde(borrow, default)]
    agent_role: Field<'a>,
}

#[derive(Deserialize)]
struct Git<'a> {
    #[serde(borrow, default)]
    commit_hash: Field<'a>,
    #[serde(borrow, default)]
    branch: Field<'a>,
}

#[derive(Deserialize)]
struct Turn<'a> {
    #[serde(borrow, default)]
    turn_id: Field<'a>,
    #[serde(borrow, default)]
    cwd: Field<'a>,
    #[serde(borrow, default)]
    model: Field<'a>,
}

impl<'a> Meta<'a> {
    fn enter(&self, state: &mut State) {
        let id = raw::owned(self.id);
        if state.session.is_empty() {
            state.session = id;
            state.start = raw::time(self.timestamp);
            state.cwd = raw::owned(self.cwd);
        } else if id != state.session && state.origin.is_none() {
            state.origin = Some(id);
        } else if id == state.session {
            over(state);
        }
    }

    fn tell(&self, teller: &mut Teller<'a, '_>) {
        let git: Option<Git<'a>> = raw::object(self.git);
        let parent = [self.forked_from_id, self.parent_thread_id]
            .into_iter()
            .find_map(raw::string)
            .or_else(|| parent_in(self.source))
            .unwrap_or_default();
        let who = [self.agent_role, self.agent_nickname].map(raw::owned);
        let facts = Facts {
            id: raw::owned(self.id),
            agent: "codex".to_owned(),
            version: raw::owned(self.cli_version),
            cwd: raw::owned(self.cwd),
            branch: git
                .as_ref()
                .map_or_else(String::new, |g| raw::owned(g.branch)),
            commit: git
                .as_ref()
                .map_or_else(String::new, |g| raw::owned(g.commit_hash)),
            title: who.join(" ").trim().to_owned(),
            parent: parent.clone().into_owned(),
            start: raw::time(self.timestamp),
            ..Facts::default()
        };
        teller.say(Body::Session(Box::new(facts)));
        if let Some(from) = raw::string(self.forked_from_id) {
            teller.say(Body::Marker {
                kind: MarkerKind::Fork,
                text: Cow::Owned(format!("goes on from session {from}")),
            });
        }
    }
}

/// The parent in `{"subagent": {"thread_spawn": {"parent_thread_id": ...}}}`.
fn parent_in<'a>(source: Field<'a>) -> Option<Cow<'a, str>> {
    #[derive(Deserialize)]
    struct Source<'a> {
        #[serde(borrow, default)]
        subagent: Field<'a>,
    }
    #[derive(Deserialize)]
    struct Subagent<'a> {
        #[serde(borrow, default)]
        thread_spawn: Field<'a>,
    }
    #[derive(Deserialize)]
    struct Spawn<'a> {
        #[serde(borrow, default)]
        parent_thread_id: Field<'a>,
    }
    let source: Source<'a> = raw::object(source)?;
    let subagent: Subagent<'a> = raw::object(source.subagent)?;
    let spawn: Spawn<'a> = raw::object(subagent.thread_spawn)?;
    raw::string(spawn.parent_thread_id)
}

fn compacted<'a>(payload: Field<'a>, teller: &mut Teller<'a, '_>) {
    #[derive(Deserialize)]
    struct Compacted<'a> {
        #[serde(borrow, default)]
        message: Field<'a>,
        #[serde(borrow, default)]
        replacement_history: Field<'a>,
    }
    let read: Option<Compacted<'a>> = raw::object(payload);
    let text = match read {
        None => Cow::Borrowed(""),
        Some(c) => match raw::text(c.message) {
            Cow::Borrowed("") => {
                let kept = raw::list(c.replacement_history).len();
                Cow::Owned(format!("{kept} items of the conversation were kept"))
            }
            text => text,
        },
    };
    teller.say(Body::Marker {
        kind: MarkerKind::Compaction,
        text,
    });
}
