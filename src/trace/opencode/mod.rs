//! OpenCode: the document that `opencode export` writes, a session with its messages and their parts.
//!
//! A record is a message with its parts, so that a tool call and its result are told by the same record. Ids of calls
//! and parts may stand for nothing (some hands that pass recordings on overwrite them), so a call whose id is no id is
//! named after its message and place.

mod effects;
mod shape;

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::edits;
use super::event::{
    Body, Call, Ending, Facts, FileEffect, MarkerKind, Out, Outcome, Record, State, Usage,
};
use super::format::{About, Format, Head, Home, Piece, Shape};
use super::raw::{self, Field, Teller};
use crate::model::Time;
use effects::file_effects;
use shape::{Cache, Info, Input, Message, Metadata, Named, Part, Times, Tokens, ToolState};

/// The reader.
pub struct OpenCode;

const INFO: &str = "info";
const MESSAGE: &str = "message";
const REVERT: &str = "revert";

impl Format for OpenCode {
    fn name(&self) -> &'static str {
        "opencode"
    }

    fn about(&self) -> About {
        About {
            title: "OpenCode sessions (opencode export)",
            basis: "exports of 1.2.20 to 1.2.24; other parts from its documentation",
            real: true,
            gives: "prompts, thoughts, answers, calls with results, files before and after each edit, tokens, titles",
            lacks: "the live store (a database): export a session to read it. Commands' changes are known by path only",
        }
    }

    fn sniff(&self, head: &Head<'_>) -> u8 {
        let Some(at) = raw::start(head.bytes) else {
            return 0;
        };
        let mut keys = raw::members(head.bytes, at);
        let Some((b"info", info)) = keys.next() else {
            return 0;
        };
        let has = |key: &[u8]| raw::members(head.bytes, info.start).any(|(k, _)| k == key);
        let messages = keys.any(|(k, _)| k == b"messages")
            || raw::open_member(head.bytes, at).is_some_and(|(k, _)| k == b"messages");
        match (messages, has(b"projectID") || has(b"directory"), has(b"id")) {
            (true, true, true) => 95,
            (true, _, true) => 60,
            _ => 0,
        }
    }

    fn shape(&self) -> Shape {
        Shape::Document(pieces)
    }

    fn events<'a>(&self, record: Record<'a>, state: &mut State, out: &mut Out<'a>) {
        let mut tell = Teller::new(out);
        match record.tag {
            INFO | REVERT => {
                let Ok(info) = serde_json::from_slice::<Info<'a>>(record.bytes) else {
                    return tell.unknown(raw::NOT_JSON);
                };
                if record.tag == INFO {
                    session(&info, state, &mut tell);
                } else {
                    reverted(&info, &mut tell);
                }
            }
            _ => match serde_json::from_slice::<Message<'a>>(record.bytes) {
                Ok(message) => {
                    let parts = raw::list(message.parts);
                    let counted = u32::try_from(parts.len()).unwrap_or(u32::MAX);
                    tell_message(&message, &parts, &mut tell);
                    out.counted = counted.saturating_add(1);
                }
                Err(_) => {
                    tell.unknown(raw::NOT_JSON);
                    out.counted = 1;
                }
            },
        }
    }

    fn has_effects(&self, record: Record<'_>) -> bool {
        record.tag == MESSAGE
            && (raw::has(record.bytes, "filePath") || raw::has(record.bytes, "\"files\""))
    }

    fn effects(&self, record: Record<'_>, state: &State, out: &mut Vec<FileEffect>) {
        if let Ok(message) = serde_json::from_slice::<Message<'_>>(record.bytes) {
            file_effects(&message, state, out);
        }
    }

    fn places(&self, home: &Home) -> Vec<PathBuf> {
        // Exports lie wherever the person put them; the agent's own directory holds a database.
        let _ = home;
        Vec::new()
    }

    fn is_recording(&self, path: &Path) -> bool {
        path.extension().is_some_and(|e| e == "json")
    }
}

/// The session's facts, each message, and at the end what of them was taken back.
fn pieces(bytes: &[u8]) -> Vec<Piece> {
    let mut out = Vec::new();
    let Some(at) = raw::start(bytes) else {
        return out;
    };
    let piece = |range: Range<usize>, tag| Piece { range, tag };
    let mut info = None;
    let mut messages = None;
    for (key, range) in raw::members(bytes, at) {
        match key {
            b"info" => info = Some(range),
            b"messages" => messages = Some(range.start),
            _ => {}
        }
    }
    if messages.is_none() {
        messages = raw::open_member(bytes, at)
            .filter(|(key, _)| *key == b"messages")
            .map(|(_, start)| start);
    }
    if let Some(range) = info.clone() {
        out.push(piece(range, INFO));
    }
    if let Some(start) = messages {
        out.extend(
            raw::elements(bytes, start)
                .take(super::raw::MOST_PIECES)
                .map(|r| piece(r, MESSAGE)),
        );
    }
    if let Some(range) = info
        && raw::members(bytes, range.start).any(|(key, _)| key == b"revert")
    {
        out.push(piece(range, REVERT));
    }
    out
}

fn session<'a>(info: &Info<'a>, state: &mut State, tell: &mut Teller<'a, '_>) {
    let times: Times<'_> = raw::object(info.time).unwrap_or_default();
    let start = raw::time(times.created);
    let facts = Facts {
        id: raw::owned(info.id),
        agent: "opencode".to_owned(),
        version: raw::owned(info.version),
        cwd: raw::owned(info.directory),
        title: raw::owned(info.title),
        parent: raw::owned(info.parent),
        start,
        ..Facts::default()
    };
    state.start = start;
    state.cwd.clone_from(&facts.cwd);
    state.session.clone_from(&facts.id);
    tell.common.time = start;
    tell.say(Body::Session(Box::new(facts)));
}

/// `revert` names the first message that was taken back, or the message with the first such part.
fn reverted<'a>(info: &Info<'a>, tell: &mut Teller<'a, '_>) {
    let revert: Named<'a> = raw::object(info.revert).unwrap_or_default();
    let Some(id) = raw::string(revert.message_id) else {
        return;
    };
    let to = if raw::string(revert.part_id).is_some() {
        id
    } else {
        raw::before(&id)
    };
    tell.say(Body::Rewind { to });
    tell.say(Body::Marker {
        kind: MarkerKind::Rewind,
        text: Cow::Borrowed("the conversation was set back"),
    });
}

fn tell_message<'a>(
    message: &Message<'a>,
    parts: &[&'a serde_json::value::RawValue],
    tell: &mut Teller<'a, '_>,
) {
    let info: Info<'a> = raw::object(message.info).unwrap_or_default();
    let id = raw::text(info.id);
    let times: Times<'a> = raw::object(info.time).unwrap_or_default();
    tell.common.time = raw::time(times.created);
    tell.common.native = id.clone();
    let parts: Vec<Part<'a>> = parts
        .iter()
        .map(|p| raw::object(Some(p)).unwrap_or_default())
        .collect();
    match raw::string(info.role).as_deref() {
        Some("user") => asked(&parts, tell),
        Some("assistant") => {
            tell.common.answer = id;
            let model = raw::owned(info.model);
            if !model.is_empty() {
                tell.say(Body::Session(Box::new(Facts {
                    model,
                    ..Facts::default()
                })));
            }
            answered(&info, &parts, tell);
            let end = raw::time(times.completed);
            ended(&info, end, tell);
        }
        other => {
            let name = match other {
                Some(role) => format!("message of {role}"),
                None => "message without a role".to_owned(),
            };
            tell.unknown(name);
        }
    }
}

/// What the person said: one prompt, however many texts it came in.
fn asked<'a>(parts: &[Part<'a>], tell: &mut Teller<'a, '_>) {
    let typed = |part: &&Part<'a>| {
        raw::string(part.kind).as_deref() == Some("text")
            && !raw::truth(part.synthetic)
            && !raw::truth(part.ignored)
    };
    let words = parts.iter().filter(typed).map(|p| raw::text(p.text));
    let mut prompt = raw::join(words, "\n\n");
    if prompt.is_empty() {
        prompt = raw::join(parts.iter().filter_map(ordered), "\n\n");
    }
    if !prompt.is_empty() {
        tell.say(Body::Prompt(prompt));
    }
    for part in parts {
        match raw::text(part.kind).as_ref() {
            "text" if raw::truth(part.synthetic) && !raw::text(part.text).is_empty() => {
                tell.say(Body::Marker {
                    kind: MarkerKind::Context,
                    text: raw::text(part.text),
                });
            }
            "file" => file(part, tell),
            "text" | "agent" | "subtask" => {}
            // The summary itself is the next answer.
            "compaction" => {}
            kind => other_part(kind, part, tell),
        }
    }
}

/// A subtask is what a person's `/command` becomes.
fn ordered<'a>(part: &Part<'a>) -> Option<Cow<'a, str>> {
    if raw::string(part.kind).as_deref() != Some("subtask") {
        return None;
    }
    let command = raw::text(part.command);
    let prompt = raw::text(part.prompt);
    Some(if command.is_empty() {
        raw::join([raw::text(part.description), prompt].into_iter(), "\n\n")
    } else {
        Cow::Owned(format!("/{command}\n\n{prompt}"))
    })
}

fn file<'a>(part: &Part<'a>, tell: &mut Teller<'a, '_>) {
    let media = raw::text(part.mime);
    let url = raw::text(part.url);
    if media.starts_with("image/") {
        let bytes = url
            .split_once(";base64,")
            .map_or(0, |(_, data)| raw::base64_size(data));
        tell.say(Body::Image { media, bytes });
    } else {
        let name = raw::string(part.filename).unwrap_or(url);
        tell.say(Body::Marker {
            kind: MarkerKind::Context,
            text: Cow::Owned(format!("attached: {name}")),
        });
    }
}

fn answered<'a>(info: &Info<'a>, parts: &[Part<'a>], tell: &mut Teller<'a, '_>) {
    let summary =
        raw::truth(info.summary) || raw::string(info.mode).as_deref() == Some("compaction");
    let mut used: Option<Usage> = None;
    for (place, part) in parts.iter().enumerate() {
        let times: Times<'a> = raw::object(part.time).unwrap_or_default();
        let at = raw::time(times.start);
        match raw::text(part.kind).as_ref() {
            "text" => {
                let text = raw::text(part.text);
                if text.is_empty() {
                } else if summary {
                    tell.say_at(
                        at,
                        Body::Marker {
                            kind: MarkerKind::Compaction,
                            text,
                        },
                    );
                } else {
                    tell.say_at(at, Body::Message(text));
                }
            }
            "reasoning" => {
                let text = raw::text(part.text);
                if !text.is_empty() {
                    tell.say_at(at, Body::Thought(text));
                }
            }
            "tool" => tool(info, place, part, tell),
            "step-finish" => {
                let step = usage(part.tokens);
                used = Some(used.map_or(step, |sum| Usage {
                    input: sum.input + step.input,
                    output: sum.output + step.output,
                    cache_read: sum.cache_read + step.cache_read,
                    cache_write: sum.cache_write + step.cache_write,
                    reasoning: sum.reasoning + step.reasoning,
                    total: false,
                }));
            }
            "file" => file(part, tell),
            kind => other_part(kind, part, tell),
        }
    }
    let used = used.unwrap_or_else(|| usage(info.tokens));
    if used != Usage::default() {
        tell.say(Body::Usage(used));
    }
}

fn other_part<'a>(kind: &str, part: &Part<'a>, tell: &mut Teller<'a, '_>) {
    match kind {
        // Snapshots are trees of the agent's own shadow repository; the files of a patch are read with the effects.
        "step-start" | "step-finish" | "snapshot" | "patch" | "agent" | "subtask"
        | "compaction" | "tool" | "text" | "reasoning" => {}
        "retry" => {
            let error: Named<'a> = raw::object(part.error).unwrap_or_default();
            tell.say(Body::Marker {
                kind: MarkerKind::ApiError,
                text: error_text(&error),
            });
        }
        "" => tell.unknown("part without a type"),
        other => tell.unknown(format!("part {other}")),
    }
}

fn ended<'a>(info: &Info<'a>, end: Option<Time>, tell: &mut Teller<'a, '_>) {
    let Some(error) = raw::object::<Named<'a>>(info.error) else {
        return;
    };
    let kind = if raw::text(error.name).contains("Abort") {
        MarkerKind::Interrupt
    } else {
        MarkerKind::ApiError
    };
    tell.say_at(
        end,
        Body::Marker {
            kind,
            text: error_text(&error),
        },
    );
}

fn error_text<'a>(error: &Named<'a>) -> Cow<'a, str> {
    let inner: Named<'a> = raw::object(error.data).unwrap_or_default();
    raw::join(
        [error.name, inner.message, error.message]
            .into_iter()
            .map(raw::text),
        ": ",
    )
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id != "REDACTED"
}

/// The call's id, or one made of its message's id (else of its time) and its place.
fn call_id<'a>(message: &Info<'_>, place: usize, part: &Part<'a>) -> Cow<'a, str> {
    let mut own = [part.call, part.id].into_iter().map(raw::text);
    own.find(|id| is_id(id)).unwrap_or_else(|| {
        let mut id = raw::text(message.id);
        if !is_id(&id) {
            let times: Times<'_> = raw::object(message.time).unwrap_or_default();
            id = raw::text(times.created);
        }
        Cow::Owned(format!("{id}/{place}"))
    })
}

fn tool<'a>(message: &Info<'a>, place: usize, part: &Part<'a>, tell: &mut Teller<'a, '_>) {
    let id = call_id(message, place, part);
    let state: ToolState<'a> = raw::object(part.state).unwrap_or_default();
    let times: Times<'a> = raw::object(state.time).unwrap_or_default();
    let meta: Metadata<'a> = raw::object(state.metadata).unwrap_or_default();
    let input: Input<'a> = raw::object(state.input).unwrap_or_default();
    let status = raw::text(state.status);
    let over = matches!(status.as_ref(), "completed" | "error");
    let told = edits::told(state.input);
    tell.say_at(
        raw::time(times.start),
        Body::Call(Call {
            id: id.clone(),
            name: raw::text(part.tool),
            kind: None,
            input: raw::text(state.input),
            title: told.title,
            paths: told.paths,
            ended: over,
        }),
    );
    if !over {
        return;
    }
    let error = raw::text(state.error);
    let end = match status.as_ref() {
        "completed" => Ending::Ok,
        _ if ["abort", "reject", "denied", "interrupt"]
            .iter()
            .any(|w| error.to_ascii_lowercase().contains(w)) =>
        {
            Ending::Aborted
        }
        _ => Ending::Error,
    };
    tell.say_at(
        raw::time(times.end),
        Body::Result(Outcome {
            id,
            output: if end == Ending::Ok {
                raw::text(state.output)
            } else {
                error
            },
            end,
            exit_code: raw::number(meta.exit).map(|n| n as i32),
            child: raw::string(meta.session),
            agent: raw::string(input.subagent_type),
        }),
    );
    for attached in raw::list(state.attachments) {
        let part: Part<'a> = raw::object(Some(attached)).unwrap_or_default();
        file(&part, tell);
    }
}

fn usage(field: Field<'_>) -> Usage {
    let tokens: Tokens<'_> = raw::object(field).unwrap_or_default();
    let cache: Cache = raw::object(tokens.cache).unwrap_or_default();
    let mut out = Usage {
        input: raw::count(tokens.input),
        output: raw::count(tokens.output),
        cache_read: cache.read as u64,
        cache_write: cache.write as u64,
        reasoning: raw::count(tokens.reasoning),
        total: false,
    };
    // Whether the output holds the reasoning differs between versions: the total tells.
    let total = raw::count(tokens.total);
    let parts = [
        out.input,
        out.output,
        out.cache_read,
        out.cache_write,
        out.reasoning,
    ];
    if total != 0 && total == parts.iter().fold(0u64, |a, b| a.saturating_add(*b)) {
        out.output = out.output.saturating_add(out.reasoning);
    }
    out
}
