//! OpenHands: the output of an evaluation, one finished run a line, with all its events in `history`.
//!
//! A line is one record and one session of its own, named after its instance. An action and what came of it are two
//! events, the second with the first's number as its `cause`. Edits are told by their arguments, with the strings that
//! were replaced; whether one was made stands in what came of it.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;

use super::event::{
    Before, Body, Call, Ending, Facts, FileEffect, MarkerKind, Out, Outcome, Record, Replacement,
    Stage, State, Usage, What,
};
use super::format::{About, Format, Head};
use super::raw::{self, Field, Teller};
use crate::model::{CallKind, Time};

/// The reader.
pub struct OpenHands;

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    instance_id: Field<'a>,
    #[serde(borrow, default)]
    instance: Field<'a>,
    #[serde(borrow, default)]
    metadata: Field<'a>,
    #[serde(borrow, default)]
    history: Field<'a>,
    #[serde(borrow, default)]
    error: Field<'a>,
}

#[derive(Deserialize, Default)]
struct Instance<'a> {
    #[serde(borrow, default)]
    base_commit: Field<'a>,
}

#[derive(Deserialize, Default)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    llm_config: Field<'a>,
}

#[derive(Deserialize, Default)]
struct Llm<'a> {
    #[serde(borrow, default)]
    model: Field<'a>,
}

#[derive(Deserialize)]
struct Metrics<'a> {
    #[serde(borrow, default)]
    accumulated_token_usage: Field<'a>,
}

#[derive(Deserialize)]
struct Tokens<'a> {
    #[serde(borrow, default)]
    prompt_tokens: Field<'a>,
    #[serde(borrow, default)]
    completion_tokens: Field<'a>,
    #[serde(borrow, default)]
    cache_read_tokens: Field<'a>,
    #[serde(borrow, default)]
    cache_write_tokens: Field<'a>,
}

/// An action or an observation.
#[derive(Deserialize)]
struct Happened<'a> {
    #[serde(borrow, default)]
    id: Field<'a>,
    #[serde(borrow, default)]
    timestamp: Field<'a>,
    #[serde(borrow, default)]
    source: Field<'a>,
    #[serde(borrow, default)]
    message: Field<'a>,
    #[serde(borrow, default)]
    action: Field<'a>,
    #[serde(borrow, default)]
    args: Field<'a>,
    #[serde(borrow, default)]
    observation: Field<'a>,
    #[serde(borrow, default)]
    content: Field<'a>,
    #[serde(borrow, default)]
    extras: Field<'a>,
    #[serde(borrow, default)]
    cause: Field<'a>,
    #[serde(borrow, default)]
    tool_call_metadata: Field<'a>,
    #[serde(borrow, default)]
    llm_metrics: Field<'a>,
}

#[derive(Deserialize, Default)]
struct Args<'a> {
    #[serde(borrow, default)]
    content: Field<'a>,
    #[serde(borrow, default)]
    thought: Field<'a>,
    #[serde(borrow, default)]
    final_thought: Field<'a>,
    #[serde(borrow, default)]
    command: Field<'a>,
    #[serde(borrow, default)]
    code: Field<'a>,
    #[serde(borrow, default)]
    url: Field<'a>,
    #[serde(borrow, default)]
    path: Field<'a>,
    #[serde(borrow, default)]
    file_text: Field<'a>,
    #[serde(borrow, default)]
    old_str: Field<'a>,
    #[serde(borrow, default)]
    new_str: Field<'a>,
    #[serde(borrow, default)]
    openhands_version: Field<'a>,
}

#[derive(Deserialize, Default)]
struct Extras<'a> {
    #[serde(borrow, default)]
    metadata: Field<'a>,
    #[serde(borrow, default)]
    exit_code: Field<'a>,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow, default)]
    function_name: Field<'a>,
}

impl Format for OpenHands {
    fn name(&self) -> &'static str {
        "openhands"
    }

    fn about(&self) -> About {
        About {
            title: "OpenHands evaluation outputs",
            basis: "a real output.jsonl of 0.35",
            real: true,
            gives: "several runs in one file: tasks, thoughts, actions with what they gave, edits by strings, tokens",
            lacks: "the content of files; insertions are named only; trajectories that are saved as one list",
        }
    }

    fn sniff(&self, head: &Head<'_>) -> u8 {
        // A line is longer than what is looked at, most often.
        let has = |text: &str| memchr::memmem::find(head.bytes, text.as_bytes()).is_some();
        let begins = raw::start(head.bytes).is_some_and(|at| {
            raw::members(head.bytes, at)
                .next()
                .is_some_and(|(key, _)| key == b"instance_id")
        });
        let event = has("\"observation\"") || has("\"action\"");
        match (begins, has("\"history\"") && event) {
            (true, true) => 95,
            (true, false) if has("\"instruction\"") => 60,
            (false, true) if has("\"instance_id\"") => 70,
            _ => 0,
        }
    }

    fn events<'a>(&self, record: Record<'a>, _state: &mut State, out: &mut Out<'a>) {
        out.counted = 1;
        let mut teller = Teller::new(out);
        let Ok(line) = serde_json::from_slice::<Line<'a>>(record.bytes) else {
            teller.unknown(raw::NOT_JSON);
            return;
        };
        if line.history.is_none() {
            teller.unknown("run without a history");
            return;
        }
        let name = session(&line);
        teller.common.session = Cow::Owned(name.clone());
        let happened = happened(&line);
        facts(&line, &name, &happened, &mut teller);
        for event in &happened {
            teller.common.time = time(event.timestamp);
            if event.action.is_some() {
                action(event, &name, &mut teller);
            } else if event.observation.is_some() {
                observation(event, &name, &mut teller);
            }
        }
        if let Some(error) = raw::string(line.error).filter(|e| !e.is_empty()) {
            teller.say(Body::Marker {
                kind: MarkerKind::ApiError,
                text: error,
            });
        }
    }

    fn has_effects(&self, record: Record<'_>) -> bool {
        memchr::memmem::find(record.bytes, b"\"edit\"").is_some()
            || memchr::memmem::find(record.bytes, b"\"write\"").is_some()
    }

    fn effects(&self, record: Record<'_>, _state: &State, out: &mut Vec<FileEffect>) {
        let Ok(line) = serde_json::from_slice::<Line<'_>>(record.bytes) else {
            return;
        };
        let name = session(&line);
        // Edits in the order in which they were made: what was asked for is found again by its number.
        let mut asked: HashMap<u64, Args<'_>> = HashMap::new();
        for event in happened(&line) {
            if matches!(raw::string(event.action).as_deref(), Some("edit" | "write")) {
                asked.insert(
                    raw::count(event.id),
                    raw::object(event.args).unwrap_or_default(),
                );
            }
            if !matches!(
                raw::string(event.observation).as_deref(),
                Some("edit" | "write")
            ) || failed(&event)
            {
                continue;
            }
            let cause = raw::count(event.cause);
            let Some(args) = asked.remove(&cause) else {
                continue;
            };
            let Some(path) = raw::string(args.path).filter(|p| !p.is_empty()) else {
                continue;
            };
            let (before, what) = change(&args);
            out.push(FileEffect {
                call: call_id(&name, cause),
                path: path.into_owned(),
                cwd: None,
                time: time(event.timestamp),
                stage: Stage::Applied,
                before,
                what,
            });
        }
    }
}

fn change(args: &Args<'_>) -> (Before, What) {
    match raw::string(args.command).as_deref() {
        Some("create") => match raw::string(args.file_text) {
            Some(text) => (Before::Absent, What::Write(text.into_owned())),
            None => (Before::NotTold, What::Changed),
        },
        Some("str_replace") => match raw::string(args.old_str) {
            Some(old) => (
                Before::NotTold,
                What::Replace(vec![Replacement {
                    old: old.into_owned(),
                    new: raw::owned(args.new_str),
                    all: false,
                }]),
            ),
            None => (Before::NotTold, What::Changed),
        },
        _ => (Before::NotTold, What::Changed),
    }
}

/// The run's name. Numbers of events begin anew in each run, so they are told with it.
fn session(line: &Line<'_>) -> String {
    let name = raw::owned(line.instance_id);
    if name.is_empty() {
        "run".to_owned()
    } else {
        name
    }
}

fn call_id(session: &str, number: u64) -> String {
    format!("{session}:{number}")
}

/// The events; older outputs have pairs of an action and what came of it.
fn happened<'a>(line: &Line<'a>) -> Vec<Happened<'a>> {
    let mut out = Vec::new();
    for entry in raw::list(line.history) {
        let inner = raw::list(Some(entry));
        let one = inner.is_empty().then_some(entry);
        for event in one.into_iter().chain(inner) {
            out.extend(raw::object::<Happened<'a>>(Some(event)));
        }
    }
    out
}

/// Times are written without a zone; they are of the evaluation's machine, and taken as UTC.
fn time(field: Field<'_>) -> Option<Time> {
    let text = raw::string(field)?;
    Time::parse(&text).or_else(|| Time::parse(&format!("{text}Z")))
}

fn facts<'a>(line: &Line<'a>, name: &str, happened: &[Happened<'a>], teller: &mut Teller<'a, '_>) {
    let instance: Instance<'a> = raw::object(line.instance).unwrap_or_default();
    let metadata: Metadata<'a> = raw::object(line.metadata).unwrap_or_default();
    let llm: Llm<'a> = raw::object(metadata.llm_config).unwrap_or_default();
    let version = happened
        .iter()
        .take(3)
        .filter_map(|e| raw::object::<Args<'a>>(e.args))
        .map(|a| raw::owned(a.openhands_version))
        .find(|v| !v.is_empty());
    let start = happened.first().and_then(|e| time(e.timestamp));
    teller.common.time = start;
    teller.say(Body::Session(Box::new(Facts {
        id: name.to_owned(),
        agent: "openhands".to_owned(),
        version: version.unwrap_or_default(),
        model: raw::owned(llm.model),
        commit: raw::owned(instance.base_commit),
        title: name.to_owned(),
        start,
        ..Facts::default()
    })));
}

fn action<'a>(event: &Happened<'a>, name: &str, teller: &mut Teller<'a, '_>) {
    let args: Args<'a> = raw::object(event.args).unwrap_or_default();
    let kind = raw::string(event.action).unwrap_or_default();
    let number = raw::count(event.id);
    let id = call_id(name, number);
    let user = raw::string(event.source).as_deref() == Some("user");
    let marker = |kind, text| Body::Marker { kind, text };
    let content = || match raw::string(args.content) {
        Some(text) => text,
        None => raw::text(event.message),
    };
    teller.common.answer = Cow::Owned(id.clone());
    match &*kind {
        "system" => return teller.say(marker(MarkerKind::Context, content())),
        "message" if user => return teller.say(Body::Prompt(content())),
        "message" => return teller.say(Body::Message(content())),
        // What it finds comes as an observation; a change of state says nothing to a person.
        "recall" | "change_agent_state" | "null" => return,
        "condensation" | "condensation_request" => {
            return teller.say(marker(MarkerKind::Compaction, raw::text(event.message)));
        }
        _ => {}
    }
    if let Some(thought) = raw::string(args.thought).filter(|t| !t.trim().is_empty()) {
        teller.say(Body::Thought(thought));
    }
    match &*kind {
        "finish" | "reject" => {
            let text = raw::string(args.final_thought).filter(|t| !t.is_empty());
            teller.say(Body::Message(text.unwrap_or_else(content)));
        }
        // Thinking is told as what was thought.
        "think" => return,
        _ => {
            let path = raw::string(args.path).filter(|p| !p.is_empty());
            let text = [args.code, args.url]
                .into_iter()
                .find_map(raw::string)
                .or_else(|| path.clone())
                .or_else(|| raw::string(args.command))
                .unwrap_or_else(|| raw::text(event.message));
            let tool: Option<Tool<'a>> = raw::object(event.tool_call_metadata);
            let tool = tool.and_then(|t| raw::string(t.function_name));
            teller.say(Body::Call(Call {
                id: Cow::Owned(id),
                kind: Some(match &*kind {
                    "run" | "run_ipython" => CallKind::Execute,
                    "read" => CallKind::Read,
                    "edit" | "write" => CallKind::Edit,
                    "browse" | "browse_interactive" => CallKind::Fetch,
                    "delegate" => CallKind::Agent,
                    _ => CallKind::Other,
                }),
                name: tool.unwrap_or(kind),
                input: raw::text(event.args),
                title: Some(Cow::Owned(super::emit::first_line(&text))),
                paths: path.into_iter().map(Cow::into_owned).collect(),
                ended: false,
            }));
        }
    }
    if let Some(metrics) = raw::object::<Metrics<'a>>(event.llm_metrics)
        && let Some(tokens) = raw::object::<Tokens<'a>>(metrics.accumulated_token_usage)
    {
        let [read, written] = [tokens.cache_read_tokens, tokens.cache_write_tokens].map(raw::count);
        teller.say(Body::Usage(Usage {
            input: raw::count(tokens.prompt_tokens).saturating_sub(read + written),
            output: raw::count(tokens.completion_tokens),
            cache_read: read,
            cache_write: written,
            reasoning: 0,
            total: true,
        }));
    }
}

/// Whether an action did not do what was asked.
fn failed(event: &Happened<'_>) -> bool {
    let text = raw::text(event.content);
    text.starts_with("ERROR:") || text.starts_with("[ERROR")
}

fn observation<'a>(event: &Happened<'a>, name: &str, teller: &mut Teller<'a, '_>) {
    let kind = raw::string(event.observation).unwrap_or_default();
    let text = raw::text(event.content);
    let marker = |kind, text| Body::Marker { kind, text };
    match &*kind {
        "null" | "agent_state_changed" | "think" | "finish" => {}
        "recall" => {
            let extras = raw::text(event.extras).into_owned();
            teller.say(marker(
                MarkerKind::Context,
                Cow::Owned(format!("{text}\n{extras}")),
            ));
        }
        "condense" => teller.say(marker(MarkerKind::Compaction, text)),
        // Without a cause: the call could not even be understood.
        "error" if event.cause.is_none() => {
            teller.say(marker(
                MarkerKind::Note,
                Cow::Owned(format!("error: {text}")),
            ));
        }
        _ if event.cause.is_none() => teller.say(marker(MarkerKind::Note, text)),
        _ => {
            let extras: Extras<'a> = raw::object(event.extras).unwrap_or_default();
            let metadata: Extras<'a> = raw::object(extras.metadata).unwrap_or_default();
            let exit = raw::number(metadata.exit_code.or(extras.exit_code)).map(|n| n as i32);
            let bad = kind == "error" || failed(event) || exit.is_some_and(|c| c != 0);
            teller.say(Body::Result(Outcome {
                id: Cow::Owned(call_id(name, raw::count(event.cause))),
                output: text,
                end: if bad { Ending::Error } else { Ending::Ok },
                exit_code: exit,
                ..Outcome::default()
            }));
        }
    }
}
