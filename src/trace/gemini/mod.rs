//! Gemini CLI: session files, as the lines of today and as the one document of before.
//!
//! * A line is the session's facts, a message, or an operation on what came before: `$set` changes facts and may replace
//!   the history that the model has, `$rewindTo` takes back a message and all after it.
//! * A message is written again, whole and under the same id, whenever something is added to it. It is the same message:
//!   the id says so.
//! * Calls and their results stand in the message that made them. Edits tell the file before and after in what is shown
//!   of them, where the person could have changed the text; else in their arguments.

mod effects;
mod shape;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use super::edits;
use super::event::{
    Body, Call, Ending, Facts, FileEffect, MarkerKind, Out, Outcome, Record, Side, State, Usage,
};
use super::format::{About, Format, Head, Home, Piece, Shape};
use super::raw::{self, Field, Teller};
use crate::model::CallKind;
use effects::file_effects;
use shape::{Line, Part, Response, Shown, Thought, Tokens, ToolCall};

/// The reader of session files made of lines.
pub struct Gemini;

/// The reader of the older session files, one document each.
pub struct GeminiDocument;

const MESSAGE: &str = "message";

impl Format for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn about(&self) -> About {
        About {
            title: "Gemini CLI sessions (lines)",
            basis: "its source code (chatRecordingService) at 0.2x to 0.4x",
            real: false,
            gives: "prompts, thoughts, answers, calls with results, files before and after, rewinds, replaced history, subagents, tokens",
            lacks: "the working directory (the file holds a hash of it)",
        }
    }

    fn sniff(&self, head: &Head<'_>) -> u8 {
        let first = head.lines.first();
        let has = |key: &str| first.is_some_and(|l| l.get(key).is_some());
        if has("sessionId") && has("projectHash") && !has("messages") {
            return 97;
        }
        // A file that was cut at the front still has its operations and messages.
        let told = |l: &serde_json::Value| {
            l.get("$rewindTo").is_some()
                || l.get("$set").is_some()
                || (l.get("type").is_some_and(|t| t == "gemini") && l.get("id").is_some())
        };
        if head.lines.iter().any(told) { 80 } else { 0 }
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
        // Messages that a `$set` replaces were told before.
        raw::has(record.bytes, "\"toolCalls\"") && !record.bytes.starts_with(b"{\"$set\"")
    }

    fn effects(&self, record: Record<'_>, state: &State, out: &mut Vec<FileEffect>) {
        if !self.has_effects(record) {
            return;
        }
        if let Ok(line) = serde_json::from_slice::<Line<'_>>(record.bytes) {
            file_effects(&line, state, out);
        }
    }

    fn sides(&self, main: &Path) -> Vec<Side> {
        subagents(main)
    }

    fn places(&self, home: &Home) -> Vec<PathBuf> {
        chats(home)
    }

    fn is_recording(&self, path: &Path) -> bool {
        is_session(path, "jsonl")
    }
}

impl Format for GeminiDocument {
    fn name(&self) -> &'static str {
        "gemini-json"
    }

    fn about(&self) -> About {
        About {
            title: "Gemini CLI sessions (document)",
            basis: "files of 0.23, and its source code",
            real: true,
            gives: "prompts, thoughts, answers, calls with results, files before and after where it shows them, tokens",
            lacks: "the working directory (the file holds a hash of it); what was rewound is gone from it",
        }
    }

    fn sniff(&self, head: &Head<'_>) -> u8 {
        let Some(at) = raw::start(head.bytes) else {
            return 0;
        };
        let mut keys: Vec<&[u8]> = raw::members(head.bytes, at).map(|(k, _)| k).collect();
        keys.extend(raw::open_member(head.bytes, at).map(|(k, _)| k));
        let has = |key: &[u8]| keys.contains(&key);
        if has(b"sessionId") && has(b"projectHash") && has(b"messages") {
            98
        } else {
            0
        }
    }

    fn shape(&self) -> Shape {
        Shape::Document(pieces)
    }

    fn events<'a>(&self, record: Record<'a>, state: &mut State, out: &mut Out<'a>) {
        out.counted = u32::from(record.tag == MESSAGE);
        let mut tell = Teller::new(out);
        if record.tag == MESSAGE {
            match serde_json::from_slice::<Line<'a>>(record.bytes) {
                Ok(line) => tell_message(&line, &mut tell),
                Err(_) => tell.unknown(raw::NOT_JSON),
            }
            return;
        }
        // A member of the document that says something of the session.
        let field = serde_json::from_slice::<&RawValue>(record.bytes).ok();
        let mut line = Line::default();
        match record.tag {
            "sessionId" => line.session = field,
            "startTime" => line.start = field,
            "summary" => line.summary = field,
            "directories" => line.directories = field,
            _ => return,
        }
        tell_facts(&line, state, &mut tell);
    }

    fn has_effects(&self, record: Record<'_>) -> bool {
        record.tag == MESSAGE && raw::has(record.bytes, "\"toolCalls\"")
    }

    fn effects(&self, record: Record<'_>, state: &State, out: &mut Vec<FileEffect>) {
        Gemini.effects(record, state, out);
    }

    fn places(&self, home: &Home) -> Vec<PathBuf> {
        chats(home)
    }

    fn is_recording(&self, path: &Path) -> bool {
        is_session(path, "json")
    }
}

/// The facts that stand beside the messages, then the messages.
fn pieces(bytes: &[u8]) -> Vec<Piece> {
    let mut out = Vec::new();
    let Some(at) = raw::start(bytes) else {
        return out;
    };
    let mut messages = None;
    for (key, range) in raw::members(bytes, at) {
        let tag = match key {
            b"sessionId" => "sessionId",
            b"startTime" => "startTime",
            b"summary" => "summary",
            b"directories" => "directories",
            b"messages" => {
                messages = Some(range.start);
                continue;
            }
            _ => continue,
        };
        out.push(Piece { range, tag });
    }
    let messages = messages.or_else(|| {
        let (key, start) = raw::open_member(bytes, at)?;
        (key == b"messages").then_some(start)
    });
    if let Some(start) = messages {
        out.extend(
            raw::elements(bytes, start)
                .take(raw::MOST_PIECES)
                .map(|range| Piece {
                    range,
                    tag: MESSAGE,
                }),
        );
    }
    out
}

fn chats(home: &Home) -> Vec<PathBuf> {
    vec![home.dir_or("GEMINI_CLI_HOME", "").join(".gemini/tmp")]
}

fn is_session(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e == extension)
        && path
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with("session-"))
        && path.parent().is_some_and(|p| p.ends_with("chats"))
}

/// Subagents' files lie in a directory that is called like the session.
fn subagents(main: &Path) -> Vec<Side> {
    let Some(id) = session_id(main) else {
        return Vec::new();
    };
    // Ids become names as they are; one that is no plain name leads nowhere.
    if id.is_empty() || id.contains(['/', '\\', '\0']) || id.starts_with('.') {
        return Vec::new();
    }
    let Some(dir) = main.parent().map(|p| p.join(&id)) else {
        return Vec::new();
    };
    let mut out: Vec<Side> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_file()))
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "jsonl"))
        .filter_map(|path| {
            let thread = path.file_stem()?.to_str()?.to_owned();
            Some(Side {
                path,
                thread,
                call: None,
                agent: String::new(),
            })
        })
        .collect();
    out.sort_by(|a, b| a.path.cmp(&b.path));
    out
}

/// The id in a file's first line.
fn session_id(path: &Path) -> Option<String> {
    use std::io::Read as _;
    let mut head = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(16 * 1024).read_to_end(&mut head).ok()?;
    let line = head.split(|b| *b == b'\n').next()?;
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    raw::string(line.session).map(Cow::into_owned)
}

fn tell_line<'a>(line: &Line<'a>, state: &mut State, tell: &mut Teller<'a, '_>) {
    if let Some(id) = raw::string(line.rewind) {
        tell.say(Body::Rewind {
            to: raw::before(&id),
        });
        tell.say(Body::Marker {
            kind: MarkerKind::Rewind,
            text: Cow::Borrowed("the conversation was set back"),
        });
    } else if raw::string(line.id).is_some() {
        tell_message(line, tell);
    } else if let Some(set) = raw::object::<Line<'a>>(line.set) {
        tell_facts(&set, state, tell);
        if set.messages.is_some() {
            replaced(&set, tell);
        }
    } else if line.session.is_some() {
        tell_facts(line, state, tell);
    } else {
        tell.unknown("record without an id");
    }
}

/// The model has another history now. What it no longer has was said nonetheless and stays; what stays is told again, some
/// of it with outputs taken out, so that calls are better read where they were told first; what is new is a summary.
fn replaced<'a>(set: &Line<'a>, tell: &mut Teller<'a, '_>) {
    let messages = raw::list(set.messages);
    tell.say(Body::Marker {
        kind: MarkerKind::Compaction,
        text: Cow::Owned(format!(
            "the agent replaced its history: {} messages now",
            messages.len()
        )),
    });
    for message in messages {
        if let Some(mut message) = raw::object::<Line<'a>>(Some(message)) {
            message.calls = None;
            message.tokens = None;
            tell_message(&message, tell);
        }
    }
}

fn tell_facts<'a>(line: &Line<'a>, state: &mut State, tell: &mut Teller<'a, '_>) {
    let cwd = raw::list(line.directories)
        .first()
        .map_or_else(String::new, |d| raw::owned(Some(d)));
    let facts = Facts {
        id: raw::owned(line.session),
        agent: "gemini".to_owned(),
        title: raw::owned(line.summary),
        start: raw::time(line.start),
        cwd,
        ..Facts::default()
    };
    state.start = state.start.or(facts.start);
    if !facts.cwd.is_empty() {
        state.cwd.clone_from(&facts.cwd);
    }
    if !facts.id.is_empty() {
        state.session.clone_from(&facts.id);
    }
    tell.common.time = None;
    tell.say_at(facts.start, Body::Session(Box::new(facts)));
}

fn tell_message<'a>(line: &Line<'a>, tell: &mut Teller<'a, '_>) {
    let id = raw::text(line.id);
    tell.common.native = id.clone();
    tell.common.time = raw::time(line.timestamp);
    tell.common.answer = Cow::Borrowed("");
    match raw::string(line.kind).as_deref() {
        Some("user") => {
            let shown = if line.display.is_some() {
                line.display
            } else {
                line.content
            };
            let text = said(shown);
            if text.is_empty() {
                // Results that are given back to the model: they stand at their calls.
                tell.say(Body::Link);
            } else {
                tell.say(Body::Prompt(text));
            }
            images(line.content, tell);
        }
        Some("gemini") => {
            tell.common.answer = id;
            answered(line, tell);
        }
        Some("error") => tell.say(Body::Marker {
            kind: MarkerKind::ApiError,
            text: said(line.content),
        }),
        Some("info" | "warning") => {
            let text = said(line.content);
            let kind = if text.contains("cancelled") {
                MarkerKind::Interrupt
            } else {
                MarkerKind::Note
            };
            tell.say(Body::Marker { kind, text });
        }
        Some(other) => {
            let name = format!("message of type {other}");
            tell.unknown(name);
        }
        None => tell.unknown("message without a type"),
    }
}

fn answered<'a>(line: &Line<'a>, tell: &mut Teller<'a, '_>) {
    let model = raw::owned(line.model);
    if !model.is_empty() {
        tell.say(Body::Session(Box::new(Facts {
            model,
            ..Facts::default()
        })));
    }
    for thought in raw::list(line.thoughts) {
        let thought: Thought<'a> = raw::object(Some(thought)).unwrap_or_default();
        let text = raw::join(
            [thought.subject, thought.description]
                .into_iter()
                .map(raw::text),
            "\n",
        );
        if !text.is_empty() {
            tell.say_at(raw::time(thought.timestamp), Body::Thought(text));
        }
    }
    let text = said(line.content);
    if !text.is_empty() {
        tell.say(Body::Message(text));
    }
    images(line.content, tell);
    for call in raw::list(line.calls) {
        let call: ToolCall<'a> = raw::object(Some(call)).unwrap_or_default();
        called(&call, tell);
    }
    let tokens: Tokens<'_> = raw::object(line.tokens).unwrap_or_default();
    let cached = raw::count(tokens.cached);
    let reasoning = raw::count(tokens.thoughts);
    let usage = Usage {
        input: (raw::count(tokens.input).saturating_sub(cached))
            .saturating_add(raw::count(tokens.tool)),
        output: raw::count(tokens.output).saturating_add(reasoning),
        cache_read: cached,
        cache_write: 0,
        reasoning,
        total: false,
    };
    if usage != Usage::default() {
        tell.say(Body::Usage(usage));
    }
}

fn called<'a>(call: &ToolCall<'a>, tell: &mut Teller<'a, '_>) {
    let id = raw::text(call.id);
    let status = raw::text(call.status);
    let over = matches!(status.as_ref(), "success" | "error" | "cancelled");
    let told = edits::told(call.args);
    let agent = raw::string(call.agent).filter(|a| !a.is_empty());
    // Calls have one time, that of their end: the message's is nearer to their beginning.
    tell.say(Body::Call(Call {
        id: id.clone(),
        name: raw::text(call.name),
        kind: agent.is_some().then_some(CallKind::Agent),
        input: raw::text(call.args),
        title: told.title,
        paths: told.paths,
        ended: over,
    }));
    if !over {
        return;
    }
    let output = output(call);
    tell.say_at(
        raw::time(call.timestamp),
        Body::Result(Outcome {
            exit_code: raw::number_after(&output, "Exit Code:"),
            id,
            output,
            end: match status.as_ref() {
                "success" => Ending::Ok,
                "error" => Ending::Error,
                _ => Ending::Aborted,
            },
            agent: agent.is_some().then(|| raw::text(call.name)),
            child: agent,
        }),
    );
    images(call.result, tell);
}

/// What the model got back, else what was shown.
fn output<'a>(call: &ToolCall<'a>) -> Cow<'a, str> {
    let given = parts(call.result).into_iter().map(|part| {
        if let Some(outer) = raw::object::<Response<'a>>(part.response) {
            let inner: Response<'a> = raw::object(outer.response).unwrap_or_default();
            return match (inner.output, inner.error) {
                (Some(_), _) => raw::text(inner.output),
                (_, Some(_)) => raw::text(inner.error),
                _ => raw::text(outer.response),
            };
        }
        raw::text(part.text)
    });
    let text = raw::join(given, "\n");
    if !text.is_empty() {
        return text;
    }
    match raw::object::<Shown<'a>>(call.shown) {
        Some(shown) => raw::text(shown.diff),
        None => raw::text(call.shown),
    }
}

/// The parts of a list of parts, or of one that stands alone.
fn parts<'a>(field: Field<'a>) -> Vec<Part<'a>> {
    if let Some(one) = raw::object::<Part<'a>>(field) {
        return vec![one];
    }
    raw::list(field)
        .into_iter()
        .map(|part| {
            raw::object(Some(part)).unwrap_or(Part {
                text: Some(part).filter(|p| p.get().starts_with('"')),
                ..Part::default()
            })
        })
        .collect()
}

/// The text of a message: a string, a part or parts.
fn said<'a>(field: Field<'a>) -> Cow<'a, str> {
    if let Some(text) = raw::string(field) {
        return text;
    }
    let texts = parts(field)
        .into_iter()
        .filter(|p| !raw::truth(p.thought))
        .map(|p| raw::text(p.text));
    raw::join(texts, "\n")
}

fn images<'a>(field: Field<'a>, tell: &mut Teller<'a, '_>) {
    if !field.is_some_and(|f| f.get().contains("\"inlineData\"")) {
        return;
    }
    for part in parts(field) {
        if let Some(inline) = raw::object::<Response<'a>>(part.inline) {
            tell.say(Body::Image {
                media: raw::text(inline.media),
                bytes: raw::base64_size(&raw::text(inline.data)),
            });
        }
    }
}
