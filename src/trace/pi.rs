//! pi: a session file with a header line and then entries, which form a tree since its second version.
//!
//! * Entries name their parent, so going back to an earlier one adds a second child and nothing is rewritten: what the
//!   last entry does not come from is a dead branch. Files of the first version have no ids and are linear.
//! * An assistant's message holds its calls; results are entries of their own, without the call's arguments. Edits are
//!   therefore what the arguments ask for.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::edits;
use super::event::{
    Body, Call, Ending, Facts, FileEffect, MarkerKind, Out, Outcome, Record, State, Usage,
};
use super::format::{About, Format, Head, Home};
use super::raw::{self, Field, Teller};
use crate::model::CallKind;

/// The reader.
pub struct Pi;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Field<'a>,
    #[serde(borrow, default)]
    id: Field<'a>,
    #[serde(borrow, default)]
    parent_id: Field<'a>,
    #[serde(borrow, default)]
    timestamp: Field<'a>,
    #[serde(borrow, default)]
    message: Field<'a>,
    #[serde(borrow, default)]
    version: Field<'a>,
    #[serde(borrow, default)]
    cwd: Field<'a>,
    #[serde(borrow, default)]
    parent_session: Field<'a>,
    #[serde(borrow, default)]
    branched_from: Field<'a>,
    #[serde(borrow, default)]
    model_id: Field<'a>,
    #[serde(borrow, default)]
    thinking_level: Field<'a>,
    #[serde(borrow, default)]
    summary: Field<'a>,
    #[serde(borrow, default)]
    content: Field<'a>,
    #[serde(borrow, default)]
    label: Field<'a>,
    #[serde(borrow, default)]
    name: Field<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    #[serde(borrow, default)]
    role: Field<'a>,
    #[serde(borrow, default)]
    content: Field<'a>,
    #[serde(borrow, default)]
    model: Field<'a>,
    #[serde(borrow, default)]
    usage: Field<'a>,
    #[serde(borrow, default)]
    stop_reason: Field<'a>,
    #[serde(borrow, default)]
    error_message: Field<'a>,
    #[serde(borrow, default)]
    tool_call_id: Field<'a>,
    #[serde(borrow, default)]
    is_error: Field<'a>,
    #[serde(borrow, default)]
    command: Field<'a>,
    #[serde(borrow, default)]
    output: Field<'a>,
    #[serde(borrow, default)]
    exit_code: Field<'a>,
    #[serde(borrow, default)]
    cancelled: Field<'a>,
    #[serde(borrow, default)]
    summary: Field<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Block<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Field<'a>,
    #[serde(borrow, default)]
    text: Field<'a>,
    #[serde(borrow, default)]
    thinking: Field<'a>,
    #[serde(borrow, default)]
    id: Field<'a>,
    #[serde(borrow, default)]
    name: Field<'a>,
    #[serde(borrow, default)]
    arguments: Field<'a>,
    #[serde(borrow, default)]
    data: Field<'a>,
    #[serde(borrow, default)]
    mime_type: Field<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Used<'a> {
    #[serde(borrow, default)]
    input: Field<'a>,
    #[serde(borrow, default)]
    output: Field<'a>,
    #[serde(borrow, default)]
    cache_read: Field<'a>,
    #[serde(borrow, default)]
    cache_write: Field<'a>,
}

impl Format for Pi {
    fn name(&self) -> &'static str {
        "pi"
    }

    fn about(&self) -> About {
        About {
            title: "pi sessions",
            basis: "a file of the first, linear version; the tree of versions 2 and 3 from its documentation",
            real: true,
            gives: "prompts, thoughts, answers, calls with results, edits, branches, compactions, tokens",
            lacks: "what was in a file before an edit, and what a read showed of which file",
        }
    }

    fn sniff(&self, head: &Head<'_>) -> u8 {
        let Some(first) = head.lines.first() else {
            return 0;
        };
        let is = |key: &str| first.get(key).is_some_and(serde_json::Value::is_string);
        let session = first.get("type").is_some_and(|t| t == "session");
        if session && is("id") && is("cwd") && is("timestamp") {
            return 96;
        }
        let entry = |l: &serde_json::Value| {
            l.get("type").is_some_and(|t| t == "message")
                && l.get("message").and_then(|m| m.get("role")).is_some()
                && l.get("timestamp").is_some()
        };
        if head.lines.iter().any(entry) { 40 } else { 0 }
    }

    fn events<'a>(&self, record: Record<'a>, state: &mut State, out: &mut Out<'a>) {
        out.counted = 1;
        let mut tell = Teller::new(out);
        match serde_json::from_slice::<Line<'a>>(record.bytes) {
            Ok(line) => tell_line(&line, state, &mut tell),
            Err(_) => tell.unknown(raw::NOT_JSON),
        }
    }

    fn has_effects(&self, record: Record<'_>) -> bool {
        raw::has(record.bytes, "\"toolCall\"")
            && ["\"edit\"", "\"write\""]
                .iter()
                .any(|w| raw::has(record.bytes, w))
    }

    fn effects(&self, record: Record<'_>, state: &State, out: &mut Vec<FileEffect>) {
        if !self.has_effects(record) {
            return;
        }
        let Ok(line) = serde_json::from_slice::<Line<'_>>(record.bytes) else {
            return;
        };
        let message: Message<'_> = raw::object(line.message).unwrap_or_default();
        if raw::string(message.role).as_deref() != Some("assistant") {
            return;
        }
        let cwd = Some(state.cwd.as_str()).filter(|c| !c.is_empty());
        let time = raw::time(line.timestamp);
        for block in raw::list(message.content) {
            let block: Block<'_> = raw::object(Some(block)).unwrap_or_default();
            if raw::string(block.kind).as_deref() == Some("toolCall") {
                let tool = raw::text(block.name);
                let id = raw::text(block.id);
                edits::declared(&tool, block.arguments, &id, cwd, time, out);
            }
        }
    }

    fn places(&self, home: &Home) -> Vec<PathBuf> {
        let dir = home.dir_or("PI_CODING_AGENT_DIR", ".pi/agent");
        vec![dir.join("sessions"), home.dir.join(".omp/agent/sessions")]
    }

    fn is_recording(&self, path: &Path) -> bool {
        path.extension().is_some_and(|e| e == "jsonl")
            && path
                .parent()
                .and_then(Path::file_name)
                .is_some_and(|n| n.to_string_lossy().starts_with("--"))
    }
}

fn tell_line<'a>(line: &Line<'a>, state: &mut State, tell: &mut Teller<'a, '_>) {
    let Some(kind) = raw::string(line.kind) else {
        return tell.unknown("record without a type");
    };
    tell.common.time = raw::time(line.timestamp);
    if kind == "session" {
        return header(line, state, tell);
    }
    tell.common.native = raw::text(line.id);
    tell.common.parent = raw::string(line.parent_id);
    let marker = |kind, text| Body::Marker { kind, text };
    match kind.as_ref() {
        "message" => {
            let message: Message<'a> = raw::object(line.message).unwrap_or_default();
            tell_message(&message, line, tell);
        }
        "compaction" => tell.say(marker(MarkerKind::Compaction, raw::text(line.summary))),
        "branch_summary" => tell.say(marker(MarkerKind::Rewind, raw::text(line.summary))),
        "model_change" => {
            let model = raw::owned(line.model_id);
            tell.say(Body::Session(Box::new(Facts {
                model,
                ..Facts::default()
            })));
        }
        "thinking_level_change" => {
            let text = format!("thinking {}", raw::text(line.thinking_level));
            tell.say(marker(MarkerKind::ModelChange, Cow::Owned(text)));
        }
        "custom_message" => {
            tell.say(marker(MarkerKind::Context, raw::message(line.content)));
        }
        "label" => {
            let label = raw::text(line.label);
            tell.say(if label.is_empty() {
                Body::Link
            } else {
                marker(MarkerKind::Note, Cow::Owned(format!("label {label}")))
            });
        }
        "session_info" => tell.say(Body::Session(Box::new(Facts {
            title: raw::owned(line.name),
            ..Facts::default()
        }))),
        // What extensions keep for themselves.
        "custom" => tell.say(Body::Link),
        _ => tell.unknown(kind),
    }
}

fn header<'a>(line: &Line<'a>, state: &mut State, tell: &mut Teller<'a, '_>) {
    let parent = raw::string(line.parent_session).or_else(|| raw::string(line.branched_from));
    // Older sessions are named by the path of their file, which ends in their id.
    let parent = parent.as_deref().map_or("", |path| {
        let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
        let name = name.strip_suffix(".jsonl").unwrap_or(name);
        name.rsplit('_').next().unwrap_or(name)
    });
    let facts = Facts {
        id: raw::owned(line.id),
        agent: "pi".to_owned(),
        model: raw::owned(line.model_id),
        cwd: raw::owned(line.cwd),
        parent: parent.to_owned(),
        start: raw::time(line.timestamp),
        ..Facts::default()
    };
    state.version = u32::try_from(raw::count(line.version)).unwrap_or(0).max(1);
    state.cwd.clone_from(&facts.cwd);
    state.session.clone_from(&facts.id);
    state.start = facts.start;
    let fork = (!facts.parent.is_empty()).then(|| format!("from session {}", facts.parent));
    // A fork is younger than the entries that were copied into it: its own time is no place among theirs.
    tell.common.time = None;
    tell.say(Body::Session(Box::new(facts)));
    if let Some(text) = fork {
        tell.say(Body::Marker {
            kind: MarkerKind::Fork,
            text: Cow::Owned(text),
        });
    }
}

fn tell_message<'a>(message: &Message<'a>, line: &Line<'a>, tell: &mut Teller<'a, '_>) {
    let marker = |kind, text| Body::Marker { kind, text };
    match raw::string(message.role).as_deref() {
        Some("user") => {
            tell.say(Body::Prompt(raw::message(message.content)));
            images(message.content, tell);
        }
        Some("assistant") => answered(message, tell),
        Some("toolResult") => {
            let output = raw::message(message.content);
            let failed = raw::truth(message.is_error);
            let aborted = failed && output.trim_end().ends_with("Command aborted");
            // The shell tool says so in its last line, if the code is not 0.
            let exit_code = failed
                .then(|| raw::number_after(&output, "Command exited with code"))
                .flatten();
            tell.say(Body::Result(Outcome {
                id: raw::text(message.tool_call_id),
                output,
                end: match (aborted, failed) {
                    (true, _) => Ending::Aborted,
                    (_, true) => Ending::Error,
                    _ => Ending::Ok,
                },
                exit_code,
                ..Outcome::default()
            }));
            images(message.content, tell);
        }
        Some("bashExecution") => ran(message, line, tell),
        Some("custom" | "hookMessage") => {
            tell.say(marker(MarkerKind::Context, raw::message(message.content)));
        }
        Some("branchSummary") => tell.say(marker(MarkerKind::Rewind, raw::text(message.summary))),
        Some("compactionSummary") => {
            tell.say(marker(MarkerKind::Compaction, raw::text(message.summary)));
        }
        Some(role) => {
            let name = format!("message of {role}");
            tell.unknown(name);
        }
        None => tell.unknown("message without a role"),
    }
}

/// A command that the person ran.
fn ran<'a>(message: &Message<'a>, line: &Line<'a>, tell: &mut Teller<'a, '_>) {
    let id = match raw::text(line.id) {
        id if id.is_empty() => Cow::Owned(format!("bash at {}", raw::text(line.timestamp))),
        id => id,
    };
    let command = raw::text(message.command);
    tell.say(Body::Call(Call {
        id: id.clone(),
        name: Cow::Borrowed("bash"),
        kind: Some(CallKind::Execute),
        input: command.clone(),
        title: Some(Cow::Owned(format!("! {command}"))),
        paths: Vec::new(),
        ended: true,
    }));
    let exit_code = raw::number(message.exit_code).map(|n| n as i32);
    tell.say(Body::Result(Outcome {
        id,
        output: raw::text(message.output),
        end: if raw::truth(message.cancelled) {
            Ending::Aborted
        } else {
            Ending::Ok
        },
        exit_code,
        ..Outcome::default()
    }));
}

fn answered<'a>(message: &Message<'a>, tell: &mut Teller<'a, '_>) {
    tell.common.answer = tell.common.native.clone();
    let model = raw::owned(message.model);
    if !model.is_empty() {
        tell.say(Body::Session(Box::new(Facts {
            model,
            ..Facts::default()
        })));
    }
    for block in raw::list(message.content) {
        let block: Block<'a> = raw::object(Some(block)).unwrap_or_default();
        match raw::text(block.kind).as_ref() {
            "text" => {
                let text = raw::text(block.text);
                if !text.trim().is_empty() {
                    tell.say(Body::Message(text));
                }
            }
            "thinking" => {
                let text = raw::text(block.thinking);
                if !text.is_empty() {
                    tell.say(Body::Thought(text));
                }
            }
            "toolCall" => {
                let told = edits::told(block.arguments);
                tell.say(Body::Call(Call {
                    id: raw::text(block.id),
                    name: raw::text(block.name),
                    kind: None,
                    input: raw::text(block.arguments),
                    title: told.title,
                    paths: told.paths,
                    ended: false,
                }));
            }
            "image" => image(&block, tell),
            kind => {
                let name = format!("block {kind}");
                tell.unknown(name);
            }
        }
    }
    let used: Used<'_> = raw::object(message.usage).unwrap_or_default();
    let usage = Usage {
        input: raw::count(used.input),
        output: raw::count(used.output),
        cache_read: raw::count(used.cache_read),
        cache_write: raw::count(used.cache_write),
        ..Usage::default()
    };
    if usage != Usage::default() {
        tell.say(Body::Usage(usage));
    }
    let error = raw::text(message.error_message);
    match raw::string(message.stop_reason).as_deref() {
        Some("aborted") => tell.say(Body::Marker {
            kind: MarkerKind::Interrupt,
            text: error,
        }),
        Some("error") => tell.say(Body::Marker {
            kind: MarkerKind::ApiError,
            text: error,
        }),
        _ => {}
    }
}

fn images<'a>(content: Field<'a>, tell: &mut Teller<'a, '_>) {
    if !content.is_some_and(|c| c.get().contains("\"image\"")) {
        return;
    }
    for block in raw::list(content) {
        let block: Block<'a> = raw::object(Some(block)).unwrap_or_default();
        if raw::string(block.kind).as_deref() == Some("image") {
            image(&block, tell);
        }
    }
}

fn image<'a>(block: &Block<'a>, tell: &mut Teller<'a, '_>) {
    tell.say(Body::Image {
        media: raw::text(block.mime_type),
        bytes: raw::base64_size(&raw::text(block.data)),
    });
}
