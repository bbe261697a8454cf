//! ATIF, the Agent Trajectory Interchange Format: one document with a session's steps, or the same steps as lines. A data set
//! may hold many such documents, a line each: each is a session of its own.
//!
//! * A step of the agent is one model answer with its reasoning, calls and what they gave.
//! * Trajectories of subagents stand in the document beside the steps of the main agent; their steps are a thread that is
//!   called like the trajectory.
//! * `cached_tokens` are part of `prompt_tokens`.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::edits;
use super::event::{
    Body, Call, Ending, Facts, FileEffect, MarkerKind, Out, Outcome, Record, State, Usage,
};
use super::format::{About, Format, Head, Home, Piece, Shape};
use super::raw::{self, Field, Teller};

/// The reader of documents.
pub struct Atif;

/// The reader of lines: the document's facts, then a step a line.
pub struct AtifLines;

const STEP: &str = "step";
/// A step of a subagent; it belongs to the trajectory whose name came last.
const SUBSTEP: &str = "substep";
const SUBNAME: &str = "subagent";
/// A trajectory begins: only its brace, so that it holds nothing itself.
const BEGIN: &str = "trajectory";
/// How deep subagents may have subagents.
const DEPTH: u8 = 8;

#[derive(Deserialize, Default)]
struct Step<'a> {
    #[serde(borrow, default)]
    step_id: Field<'a>,
    #[serde(borrow, default)]
    timestamp: Field<'a>,
    #[serde(borrow, default)]
    source: Field<'a>,
    #[serde(borrow, default)]
    model_name: Field<'a>,
    #[serde(borrow, default)]
    message: Field<'a>,
    #[serde(borrow, default)]
    reasoning_content: Field<'a>,
    #[serde(borrow, default)]
    tool_calls: Field<'a>,
    #[serde(borrow, default)]
    observation: Field<'a>,
    #[serde(borrow, default)]
    metrics: Field<'a>,
    // In lines, the facts have a line of their own.
    #[serde(borrow, default)]
    schema_version: Field<'a>,
    #[serde(borrow, default)]
    session_id: Field<'a>,
    #[serde(borrow, default)]
    trajectory_id: Field<'a>,
    #[serde(borrow, default)]
    agent: Field<'a>,
    #[serde(borrow, default)]
    final_metrics: Field<'a>,
    #[serde(borrow, default)]
    steps: Field<'a>,
    #[serde(borrow, default)]
    subagent_trajectories: Field<'a>,
}

#[derive(Deserialize, Default)]
struct Agent<'a> {
    #[serde(borrow, default)]
    name: Field<'a>,
    #[serde(borrow, default)]
    version: Field<'a>,
    #[serde(borrow, default)]
    model_name: Field<'a>,
}

#[derive(Deserialize, Default)]
struct ToolCall<'a> {
    #[serde(borrow, default)]
    tool_call_id: Field<'a>,
    #[serde(borrow, default)]
    function_name: Field<'a>,
    #[serde(borrow, default)]
    arguments: Field<'a>,
}

#[derive(Deserialize, Default)]
struct Given<'a> {
    #[serde(borrow, default)]
    results: Field<'a>,
    #[serde(borrow, default)]
    source_call_id: Field<'a>,
    #[serde(borrow, default)]
    content: Field<'a>,
    #[serde(borrow, default)]
    subagent_trajectory_ref: Field<'a>,
    #[serde(borrow, default)]
    extra: Field<'a>,
    #[serde(borrow, default)]
    is_error: Field<'a>,
    #[serde(borrow, default)]
    exit_code: Field<'a>,
    #[serde(borrow, default)]
    session_id: Field<'a>,
    #[serde(borrow, default)]
    trajectory_id: Field<'a>,
}

#[derive(Deserialize, Default)]
struct Metrics<'a> {
    #[serde(borrow, default)]
    prompt_tokens: Field<'a>,
    #[serde(borrow, default)]
    completion_tokens: Field<'a>,
    #[serde(borrow, default)]
    cached_tokens: Field<'a>,
}

#[derive(Deserialize, Default)]
struct Part<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Field<'a>,
    #[serde(borrow, default)]
    source: Field<'a>,
    #[serde(borrow, default)]
    media_type: Field<'a>,
    #[serde(borrow, default)]
    data: Field<'a>,
}

impl Format for Atif {
    fn name(&self) -> &'static str {
        "atif"
    }

    fn about(&self) -> About {
        About {
            title: "ATIF trajectories (document)",
            basis: "documents of version 1.7; earlier ones by their specification",
            real: true,
            gives: "prompts, thoughts, answers, calls with results, edits by well-known tools, subagents, tokens",
            lacks: "the working directory; what was in a file before an edit",
        }
    }

    fn sniff(&self, head: &Head<'_>) -> u8 {
        let Some(at) = raw::start(head.bytes) else {
            return 0;
        };
        let mut version = false;
        let mut steps = false;
        for (key, range) in raw::members(head.bytes, at) {
            version |= key == b"schema_version" && head.bytes[range].starts_with(b"\"ATIF");
            steps |= key == b"steps";
        }
        steps |= raw::open_member(head.bytes, at).is_some_and(|(key, _)| key == b"steps");
        match (version, steps) {
            (true, true) => 98,
            (true, false) if head.lines.len() < 2 => 70,
            _ => 0,
        }
    }

    fn shape(&self) -> Shape {
        Shape::Document(pieces)
    }

    fn events<'a>(&self, record: Record<'a>, state: &mut State, out: &mut Out<'a>) {
        out.counted = u32::from(matches!(record.tag, STEP | SUBSTEP));
        let mut tell = Teller::new(out);
        match record.tag {
            STEP | SUBSTEP => match serde_json::from_slice::<Step<'a>>(record.bytes) {
                Ok(step) => {
                    let thread = if record.tag == SUBSTEP {
                        state.turn.clone()
                    } else {
                        String::new()
                    };
                    tell_step(&step, thread, state.records, &mut tell);
                }
                Err(_) => tell.unknown(raw::NOT_JSON),
            },
            BEGIN => state.records += 1,
            tag => {
                let field = serde_json::from_slice::<&RawValue>(record.bytes).ok();
                if tag == SUBNAME {
                    state.turn = raw::owned(field);
                    raw::cut(&mut state.turn);
                    return;
                }
                let facts = if tag == "agent" {
                    Step {
                        agent: field,
                        ..Step::default()
                    }
                } else {
                    Step {
                        session_id: field,
                        ..Step::default()
                    }
                };
                tell_facts(&facts, state, &mut tell);
            }
        }
    }

    fn has_effects(&self, record: Record<'_>) -> bool {
        matches!(record.tag, STEP | SUBSTEP) && raw::has(record.bytes, "\"tool_calls\"")
    }

    fn effects(&self, record: Record<'_>, _state: &State, out: &mut Vec<FileEffect>) {
        if self.has_effects(record) {
            file_effects(record, out);
        }
    }

    fn places(&self, home: &Home) -> Vec<PathBuf> {
        // No agent keeps them as its own; they lie where an evaluation put them.
        let _ = home;
        Vec::new()
    }

    fn is_recording(&self, path: &Path) -> bool {
        path.extension().is_some_and(|e| e == "json")
    }
}

impl Format for AtifLines {
    fn name(&self) -> &'static str {
        "atif-lines"
    }

    fn about(&self) -> About {
        About {
            title: "ATIF trajectories (lines)",
            basis: "the documents' fields, as some producers write them while they run",
            real: false,
            ..Atif.about()
        }
    }

    fn sniff(&self, head: &Head<'_>) -> u8 {
        let Some(first) = head.lines.first() else {
            return 0;
        };
        let versioned = first
            .get("schema_version")
            .and_then(serde_json::Value::as_str)
            .is_some_and(|v| v.starts_with("ATIF"));
        let step = |l: &serde_json::Value| {
            l.get("step_id").is_some() && l.get("source").is_some() && l.get("message").is_some()
        };
        match (versioned, first.get("steps").is_some()) {
            (true, false) if head.lines.len() > 1 => 97,
            (false, _) if head.lines.iter().all(step) => 75,
            _ => 0,
        }
    }

    fn events<'a>(&self, record: Record<'a>, state: &mut State, out: &mut Out<'a>) {
        out.counted = 1;
        let mut tell = Teller::new(out);
        match serde_json::from_slice::<Step<'a>>(record.bytes) {
            Ok(step) if step.source.is_some() => tell_step(&step, String::new(), 0, &mut tell),
            Ok(whole) if whole.steps.is_some() => {
                state.records += 1;
                tell_facts(&whole, state, &mut tell);
                let mut steps = 0;
                walk(&whole, "", 0, &mut |step, thread| {
                    steps += 1;
                    tell_step(step, thread.to_owned(), state.records, &mut tell);
                });
                out.counted = steps;
            }
            Ok(step) if step.schema_version.is_some() || step.agent.is_some() => {
                tell_facts(&step, state, &mut tell);
            }
            Ok(step) if step.final_metrics.is_some() => {
                tell.say(Body::Link);
            }
            Ok(_) => tell.unknown("record without a source"),
            Err(_) => tell.unknown(raw::NOT_JSON),
        }
    }

    fn has_effects(&self, record: Record<'_>) -> bool {
        raw::has(record.bytes, "\"tool_calls\"")
    }

    fn effects(&self, record: Record<'_>, _state: &State, out: &mut Vec<FileEffect>) {
        if self.has_effects(record) {
            file_effects(record, out);
        }
    }
}

/// The facts, the main agent's steps, then the subagents' names each with its steps.
fn pieces(bytes: &[u8]) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut next = raw::start(bytes);
    while let Some(at) = next.filter(|_| out.len() < raw::MOST_PIECES) {
        out.push(Piece {
            range: at..at + 1,
            tag: BEGIN,
        });
        trajectory(bytes, at, 0, &mut out);
        next = raw::value_end(bytes, at)
            .and_then(|end| Some(end + memchr::memchr(b'{', bytes.get(end..)?)?));
    }
    out
}

/// The steps of a trajectory in one line, and of its subagents with their names.
fn walk<'a>(whole: &Step<'a>, thread: &str, depth: u8, give: &mut dyn FnMut(&Step<'a>, &str)) {
    for step in raw::list(whole.steps) {
        if let Some(step) = raw::object(Some(step)) {
            give(&step, thread);
        }
    }
    if depth >= DEPTH {
        return;
    }
    for below in raw::list(whole.subagent_trajectories) {
        let below: Step<'a> = raw::object(Some(below)).unwrap_or_default();
        let mut name = raw::string(below.trajectory_id)
            .or_else(|| raw::string(below.session_id))
            .map_or_else(String::new, Cow::into_owned);
        raw::cut(&mut name);
        if !name.is_empty() {
            walk(&below, &name, depth + 1, give);
        }
    }
}

fn trajectory(bytes: &[u8], at: usize, depth: u8, out: &mut Vec<Piece>) {
    let mut ids: [Option<Range<usize>>; 2] = [None, None];
    let mut agent = None;
    let mut steps = None;
    let mut below = None;
    for (key, range) in raw::members(bytes, at) {
        match key {
            b"trajectory_id" => ids[0] = Some(range),
            b"session_id" => ids[1] = Some(range),
            b"agent" => agent = Some(range),
            b"steps" => steps = Some(range.start),
            b"subagent_trajectories" => below = Some(range.start),
            _ => {}
        }
    }
    // Only the whole document may be cut off.
    if depth == 0
        && steps.is_none()
        && let Some((b"steps", start)) = raw::open_member(bytes, at)
    {
        steps = Some(start);
    }
    let mut add = |range, tag| out.push(Piece { range, tag });
    let tag = if depth == 0 {
        let [trajectory, session] = ids;
        if let Some(range) = session.or(trajectory) {
            add(range, "session_id");
        }
        if let Some(range) = agent {
            add(range, "agent");
        }
        STEP
    } else {
        let [trajectory, session] = ids;
        match trajectory.or(session) {
            Some(range) => add(range, SUBNAME),
            None => return,
        }
        SUBSTEP
    };
    if let Some(start) = steps {
        for range in raw::elements(bytes, start) {
            if out.len() >= raw::MOST_PIECES {
                return;
            }
            out.push(Piece { range, tag });
        }
    }
    if depth < DEPTH
        && let Some(start) = below
    {
        for range in raw::elements(bytes, start) {
            if out.len() >= raw::MOST_PIECES {
                return;
            }
            trajectory(bytes, range.start, depth + 1, out);
        }
    }
}

fn tell_facts<'a>(step: &Step<'a>, state: &mut State, tell: &mut Teller<'a, '_>) {
    let agent: Agent<'_> = raw::object(step.agent).unwrap_or_default();
    let id = raw::string(step.session_id).or_else(|| raw::string(step.trajectory_id));
    let facts = Facts {
        id: id.unwrap_or_default().into_owned(),
        agent: raw::owned(agent.name),
        version: raw::owned(agent.version),
        model: raw::owned(agent.model_name),
        ..Facts::default()
    };
    if !facts.id.is_empty() {
        state.session.clone_from(&facts.id);
    }
    tell.say(Body::Session(Box::new(facts)));
}

/// A step of the file's `nth` trajectory.
fn tell_step<'a>(step: &Step<'a>, thread: String, nth: u64, tell: &mut Teller<'a, '_>) {
    let id = raw::text(step.step_id);
    // Steps are counted anew in each trajectory.
    tell.common.native = match (thread.is_empty(), nth) {
        _ if id.is_empty() => id,
        (true, 0 | 1) => id,
        (false, 0 | 1) => Cow::Owned(format!("{thread}/{id}")),
        (true, _) => Cow::Owned(format!("{nth}/{id}")),
        (false, _) => Cow::Owned(format!("{nth}/{thread}/{id}")),
    };
    tell.common.thread = Cow::Owned(thread);
    tell.common.time = raw::time(step.timestamp);
    match raw::string(step.source).as_deref() {
        Some("user") => {
            tell.say(Body::Prompt(raw::message(step.message)));
            images(step.message, tell);
        }
        Some("system") => {
            tell.say(Body::Marker {
                kind: MarkerKind::Context,
                text: raw::message(step.message),
            });
            images(step.message, tell);
            given(step, 0, tell);
        }
        Some("agent") => answered(step, tell),
        Some(other) => {
            let name = format!("step of {other}");
            tell.unknown(name);
        }
        None => tell.unknown("step without a source"),
    }
}

fn answered<'a>(step: &Step<'a>, tell: &mut Teller<'a, '_>) {
    tell.common.answer = tell.common.native.clone();
    let model = raw::owned(step.model_name);
    if !model.is_empty() {
        tell.say(Body::Session(Box::new(Facts {
            model,
            ..Facts::default()
        })));
    }
    let thought = raw::message(step.reasoning_content);
    if !thought.is_empty() {
        tell.say(Body::Thought(thought));
    }
    let text = raw::message(step.message);
    if !text.is_empty() {
        tell.say(Body::Message(text));
    }
    images(step.message, tell);
    let calls = raw::list(step.tool_calls);
    for call in &calls {
        let call: ToolCall<'a> = raw::object(Some(call)).unwrap_or_default();
        let told = edits::told(call.arguments);
        tell.say(Body::Call(Call {
            id: raw::text(call.tool_call_id),
            name: raw::text(call.function_name),
            kind: None,
            input: raw::text(call.arguments),
            title: told.title,
            paths: told.paths,
            ended: true,
        }));
    }
    given(step, calls.len(), tell);
    let metrics: Metrics<'_> = raw::object(step.metrics).unwrap_or_default();
    let cached = raw::count(metrics.cached_tokens);
    let usage = Usage {
        input: raw::count(metrics.prompt_tokens).saturating_sub(cached),
        output: raw::count(metrics.completion_tokens),
        cache_read: cached,
        ..Usage::default()
    };
    if usage != Usage::default() {
        tell.say(Body::Usage(usage));
    }
}

/// What the calls gave. What names no call is its only call's result, else a note.
fn given<'a>(step: &Step<'a>, calls: usize, tell: &mut Teller<'a, '_>) {
    let observation: Given<'a> = raw::object(step.observation).unwrap_or_default();
    let only: ToolCall<'a> = raw::list(step.tool_calls)
        .first()
        .and_then(|c| raw::object(Some(c)))
        .unwrap_or_default();
    for result in raw::list(observation.results) {
        let result: Given<'a> = raw::object(Some(result)).unwrap_or_default();
        let id = raw::string(result.source_call_id)
            .or_else(|| (calls == 1).then(|| raw::text(only.tool_call_id)));
        let output = raw::message(result.content);
        let Some(id) = id else {
            if !output.is_empty() {
                tell.say(Body::Marker {
                    kind: MarkerKind::Note,
                    text: output,
                });
            }
            continue;
        };
        let extra: Given<'a> = raw::object(result.extra).unwrap_or_default();
        let failed = raw::truth(extra.is_error) || raw::truth(result.is_error);
        let refs = raw::list(result.subagent_trajectory_ref);
        let child: Given<'a> = match refs.first() {
            Some(first) => raw::object(Some(first)),
            None => raw::object(result.subagent_trajectory_ref),
        }
        .unwrap_or_default();
        tell.say(Body::Result(Outcome {
            id,
            output,
            end: if failed { Ending::Error } else { Ending::Ok },
            exit_code: raw::number(extra.exit_code).map(|n| n as i32),
            child: raw::string(child.trajectory_id).or_else(|| raw::string(child.session_id)),
            agent: None,
        }));
        images(result.content, tell);
    }
}

fn images<'a>(message: Field<'a>, tell: &mut Teller<'a, '_>) {
    for part in raw::list(message) {
        let part: Part<'a> = raw::object(Some(part)).unwrap_or_default();
        if raw::string(part.kind).as_deref() == Some("image") {
            let source: Part<'a> = raw::object(part.source).unwrap_or_default();
            tell.say(Body::Image {
                media: raw::text(source.media_type),
                bytes: raw::base64_size(&raw::text(source.data)),
            });
        }
    }
}

fn file_effects(record: Record<'_>, out: &mut Vec<FileEffect>) {
    let Ok(step) = serde_json::from_slice::<Step<'_>>(record.bytes) else {
        return;
    };
    if record.tag.is_empty() && step.source.is_none() {
        walk(&step, "", 0, &mut |step, _| step_effects(step, out));
    } else {
        step_effects(&step, out);
    }
}

fn step_effects(step: &Step<'_>, out: &mut Vec<FileEffect>) {
    let time = raw::time(step.timestamp);
    for call in raw::list(step.tool_calls) {
        let call: ToolCall<'_> = raw::object(Some(call)).unwrap_or_default();
        let tool = raw::text(call.function_name);
        let id = raw::text(call.tool_call_id);
        edits::declared(&tool, call.arguments, &id, None, time, out);
    }
}
