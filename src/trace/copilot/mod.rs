//! GitHub Copilot CLI: `events.jsonl` of a session, one event of its engine a line.
//!
//! * Each event names the one before it; that is an order, not a tree, so the conversation is read as linear.
//! * A call is told three times: asked for in an answer, begun (with the arguments as they ran), ended. The first two are
//!   the same call by its id, the end is its result.
//! * Types are many and grow. Those that say nothing to a person are listed as such; others are unknown.

mod effects;
mod shape;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::edits;
use super::event::{
    Body, Call, Ending, Facts, FileEffect, MarkerKind, Out, Outcome, Record, State, Usage,
};
use super::format::{About, Format, Head, Home};
use super::raw::{self, Field, Teller};
use effects::file_effects;
use shape::{Data, Line};

/// The reader.
pub struct Copilot;

impl Format for Copilot {
    fn name(&self) -> &'static str {
        "copilot"
    }

    fn about(&self) -> About {
        About {
            title: "GitHub Copilot CLI sessions (events.jsonl)",
            basis: "1.0.64; other types from the published event schema",
            real: true,
            gives: "prompts, thoughts, answers, calls with results and exit codes, edits, subagents, start commit, output tokens",
            lacks: "input tokens of each answer; what was there before an edit, unless it was viewed",
        }
    }

    fn sniff(&self, head: &Head<'_>) -> u8 {
        let event = |l: &serde_json::Value| {
            l.get("data").is_some_and(serde_json::Value::is_object)
                && l.get("id").is_some()
                && l.get("timestamp").is_some()
                && l.get("type")
                    .and_then(serde_json::Value::as_str)
                    .is_some_and(|t| t.contains('.'))
        };
        let of = |name: &str| head.lines.first().and_then(|l| l.get("data")?.get(name));
        if of("copilotVersion").is_some()
            || of("producer").is_some_and(|p| p.as_str().is_some_and(|p| p.contains("copilot")))
        {
            return 98;
        }
        let some = head.lines.iter().filter(|l| event(l)).count();
        if some > 0
            && some == head.lines.len()
            && head.lines.iter().all(|l| l.get("parentId").is_some())
        {
            85
        } else {
            0
        }
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
        // The type comes first.
        let head = &record.bytes[..record.bytes.len().min(400)];
        let head = String::from_utf8_lossy(head);
        head.contains("\"tool.execution_start\"")
            || (head.contains("\"tool.execution_complete\"")
                && raw::has(record.bytes, "\"detailedContent\""))
    }

    fn effects(&self, record: Record<'_>, state: &State, out: &mut Vec<FileEffect>) {
        if self.has_effects(record)
            && let Ok(line) = serde_json::from_slice::<Line<'_>>(record.bytes)
        {
            file_effects(&line, state, out);
        }
    }

    fn places(&self, home: &Home) -> Vec<PathBuf> {
        let dir = home.dir_or("COPILOT_HOME", ".copilot");
        vec![dir.join("session-state"), dir.join("history-session-state")]
    }

    fn is_recording(&self, path: &Path) -> bool {
        path.file_name().is_some_and(|n| n == "events.jsonl")
    }
}

fn tell_line<'a>(line: &Line<'a>, state: &mut State, tell: &mut Teller<'a, '_>) {
    let Some(kind) = raw::string(line.kind) else {
        return tell.unknown("record without a type");
    };
    let data: Data<'a> = raw::object(line.data).unwrap_or_default();
    tell.common.native = raw::text(line.id);
    tell.common.time = raw::time(line.timestamp);
    tell.common.thread = raw::string(data.parent_tool_call_id)
        .or_else(|| raw::string(line.agent))
        .unwrap_or_default();
    let marker = |kind, text| Body::Marker { kind, text };
    match kind.as_ref() {
        "session.start" | "session.resume" | "session.context_changed" => {
            let context: Data<'a> = raw::object(data.context).unwrap_or_default();
            let place = if kind == "session.context_changed" {
                &data
            } else {
                &context
            };
            let facts = Facts {
                id: raw::owned(data.session_id),
                agent: "copilot".to_owned(),
                version: raw::owned(data.copilot_version),
                model: raw::owned(data.selected_model),
                cwd: raw::owned(place.cwd),
                branch: raw::owned(place.branch),
                commit: raw::owned(place.head_commit),
                start: raw::time(data.start_time),
                ..Facts::default()
            };
            if !facts.id.is_empty() {
                state.session.clone_from(&facts.id);
            }
            if !facts.cwd.is_empty() {
                state.cwd.clone_from(&facts.cwd);
            }
            state.start = state.start.or(facts.start);
            tell.say(Body::Session(Box::new(facts)));
            if kind == "session.resume" {
                tell.say(marker(MarkerKind::Session, Cow::Borrowed("resumed")));
            }
        }
        "session.model_change" => {
            model(data.new_model, tell);
            let effort = raw::text(data.reasoning_effort);
            let before = raw::text(data.previous_reasoning_effort);
            if !effort.is_empty() && !before.is_empty() && effort != before {
                let text = format!("effort {effort} instead of {before}");
                tell.say(marker(MarkerKind::ModelChange, Cow::Owned(text)));
            } else {
                tell.say(Body::Link);
            }
        }
        "session.title_changed" => tell.say(Body::Session(Box::new(Facts {
            title: raw::owned(data.title),
            ..Facts::default()
        }))),
        "session.mode_changed" => {
            let text = raw::join(
                [data.previous_mode, data.new_mode]
                    .into_iter()
                    .map(raw::text),
                " to ",
            );
            tell.say(marker(MarkerKind::ModeChange, text));
        }
        "session.permissions_changed" => {
            let text = if raw::truth(data.allow_all_permissions) {
                "everything is allowed"
            } else {
                "permissions are asked for"
            };
            tell.say(marker(MarkerKind::ModeChange, Cow::Borrowed(text)));
        }
        "session.compaction_complete" => {
            let text = if raw::truth(data.success) || data.success.is_none() {
                raw::text(data.summary_content)
            } else {
                raw::join(
                    [Cow::Borrowed("failed"), error_text(data.error)].into_iter(),
                    ": ",
                )
            };
            tell.say(marker(MarkerKind::Compaction, text));
        }
        "session.truncation" => tell.say(marker(
            MarkerKind::Compaction,
            Cow::Borrowed("old messages were cut off"),
        )),
        "session.snapshot_rewind" => {
            let to = raw::text(data.up_to_event_id);
            tell.say(Body::Rewind { to });
            let text = Cow::Borrowed("the conversation was set back");
            tell.say(marker(MarkerKind::Rewind, text));
        }
        "session.handoff" => {
            tell.say(marker(MarkerKind::Fork, raw::text(data.summary)));
        }
        "session.error" => tell.say(marker(MarkerKind::ApiError, raw::text(data.message))),
        "session.info" | "session.warning" => {
            tell.say(marker(MarkerKind::Note, raw::text(data.message)));
        }
        "session.shutdown" => tell.say(marker(MarkerKind::Session, ended(&data))),
        "abort" => tell.say(marker(MarkerKind::Interrupt, raw::text(data.reason))),
        "user.message" => asked(&data, tell),
        "system.message" => tell.say(marker(MarkerKind::Context, raw::text(data.content))),
        "system.notification" => {
            tell.say(marker(MarkerKind::Note, untagged(raw::text(data.content))));
        }
        "skill.invoked" => {
            let text = raw::join(
                [
                    Cow::Owned(format!("skill {}", raw::text(data.name))),
                    raw::text(data.content),
                ]
                .into_iter(),
                "\n",
            );
            tell.say(marker(MarkerKind::Context, text));
        }
        "assistant.message" => answered(&data, state, tell),
        "assistant.reasoning" => {
            // The answer tells it again.
            let text = raw::text(data.content);
            if !text.is_empty() {
                tell.common.echo = true;
                tell.say(Body::Thought(text));
            }
        }
        "tool.execution_start" => {
            tell.common.answer = Cow::Owned(state.turn.clone());
            call(data.tool_name, &data, tell);
        }
        "tool.execution_complete" => result(&data, tell),
        "subagent.started" => {
            let call = raw::text(data.tool_call_id);
            tell.common.thread = Cow::Borrowed("");
            tell.say(Body::About(Outcome {
                child: Some(call.clone()),
                agent: raw::string(data.agent_name),
                id: call,
                end: Ending::Open,
                ..Outcome::default()
            }));
        }
        "session.task_complete" => tell.say(marker(MarkerKind::Note, raw::text(data.summary))),
        other if says_nothing(other) => tell.say(Body::Link),
        _ => tell.unknown(kind),
    }
}

/// Known types that tell a person nothing that others do not.
fn says_nothing(kind: &str) -> bool {
    const WHOLE: [&str; 27] = [
        "assistant.turn_start",
        "assistant.turn_end",
        "assistant.intent",
        "assistant.usage",
        "assistant.thinking",
        "assistant.message_delta",
        "assistant.reasoning_delta",
        "assistant.streaming_delta",
        "assistant.message_start",
        "tool.execution_partial_result",
        "tool.execution_progress",
        "tool.user_requested",
        "subagent.completed",
        "subagent.failed",
        "subagent.selected",
        "subagent.deselected",
        "session.idle",
        "session.usage_info",
        "session.compaction_start",
        "session.plan_changed",
        "session.workspace_file_changed",
        "session.tools_updated",
        "session.background_tasks_changed",
        "session.skills_loaded",
        "session.custom_agents_updated",
        "session.extensions_loaded",
        "pending_messages.modified",
    ];
    // Asking and being answered, whatever is asked: the call's own events tell what came of it.
    const FAMILIES: [&str; 10] = [
        "hook.",
        "permission.",
        "user_input.",
        "elicitation.",
        "external_tool.",
        "exit_plan_mode.",
        "command.",
        "commands.",
        "mcp.",
        "session.mcp_",
    ];
    WHOLE.contains(&kind) || FAMILIES.iter().any(|f| kind.starts_with(f))
}

fn model(field: Field<'_>, tell: &mut Teller<'_, '_>) {
    let model = raw::owned(field);
    if !model.is_empty() {
        tell.say(Body::Session(Box::new(Facts {
            model,
            ..Facts::default()
        })));
    }
}

fn asked<'a>(data: &Data<'a>, tell: &mut Teller<'a, '_>) {
    let text = raw::text(data.content);
    // Skills and the program itself also speak in the person's place, and say so.
    let typed = raw::string(data.source).is_none_or(|s| s == "user");
    tell.say(if typed {
        Body::Prompt(text)
    } else {
        Body::Marker {
            kind: MarkerKind::Context,
            text,
        }
    });
    for attached in raw::list(data.attachments) {
        let file: Data<'a> = raw::object(Some(attached)).unwrap_or_default();
        let media = raw::text(file.mime_type);
        if media.starts_with("image/") {
            let bytes = raw::base64_size(&raw::text(file.data));
            tell.say(Body::Image { media, bytes });
        } else {
            let name = raw::string(file.path)
                .or_else(|| raw::string(file.display_name))
                .unwrap_or_default();
            tell.say(Body::Marker {
                kind: MarkerKind::Context,
                text: Cow::Owned(format!("attached: {name}")),
            });
        }
    }
}

fn answered<'a>(data: &Data<'a>, state: &mut State, tell: &mut Teller<'a, '_>) {
    let id = raw::text(data.message_id);
    state.turn = id.to_string();
    raw::cut(&mut state.turn);
    tell.common.answer = id;
    if tell.common.thread.is_empty() {
        model(data.model, tell);
    }
    let thought = raw::text(data.reasoning_text);
    if !thought.is_empty() {
        // It may have been told while it came.
        tell.common.echo = true;
        tell.say(Body::Thought(thought));
        tell.common.echo = false;
    }
    let text = raw::text(data.content);
    if !text.trim().is_empty() {
        tell.say(Body::Message(text));
    }
    for request in raw::list(data.tool_requests) {
        let request: Data<'a> = raw::object(Some(request)).unwrap_or_default();
        call(request.name, &request, tell);
    }
    let output = raw::count(data.output_tokens);
    if output != 0 {
        tell.say(Body::Usage(Usage {
            output,
            ..Usage::default()
        }));
    }
}

fn call<'a>(name: Field<'a>, data: &Data<'a>, tell: &mut Teller<'a, '_>) {
    let told = edits::told(data.arguments);
    tell.say(Body::Call(Call {
        id: raw::text(data.tool_call_id),
        name: raw::text(name),
        kind: None,
        input: raw::text(data.arguments),
        title: told.title,
        paths: told.paths,
        ended: false,
    }));
}

fn result<'a>(data: &Data<'a>, tell: &mut Teller<'a, '_>) {
    let given: Data<'a> = raw::object(data.result).unwrap_or_default();
    let error: Data<'a> = raw::object(data.error).unwrap_or_default();
    let code = raw::text(error.code);
    let (output, end) = if raw::truth(data.success) {
        let text = if given.content.is_some() {
            raw::text(given.content)
        } else {
            raw::text(data.result)
        };
        (text, Ending::Ok)
    } else {
        let refused = ["denied", "rejected", "abort", "cancel", "interrupt"]
            .iter()
            .any(|w| code.contains(w));
        (
            error_text(data.error),
            if refused {
                Ending::Aborted
            } else {
                Ending::Error
            },
        )
    };
    // Shell tools end their output with `<shellId: 4 completed with exit code 0>`.
    let exit_code = output
        .trim_end()
        .ends_with('>')
        .then(|| raw::number_after(&output, "with exit code"))
        .flatten();
    tell.say(Body::Result(Outcome {
        id: raw::text(data.tool_call_id),
        output,
        end,
        exit_code,
        ..Outcome::default()
    }));
}

fn error_text<'a>(field: Field<'a>) -> Cow<'a, str> {
    match raw::object::<Data<'a>>(field) {
        Some(error) if error.message.is_some() => raw::text(error.message),
        _ => raw::text(field),
    }
}

/// Without the tags around it.
fn untagged(text: Cow<'_, str>) -> Cow<'_, str> {
    let inner = text
        .trim()
        .strip_prefix("<system_notification>")
        .map(|t| t.strip_suffix("</system_notification>").unwrap_or(t).trim());
    match inner {
        Some(inner) => Cow::Owned(inner.to_owned()),
        None => text,
    }
}

/// What a session cost, told at its end only.
fn ended<'a>(data: &Data<'a>) -> Cow<'a, str> {
    #[derive(Deserialize)]
    struct Metrics {
        #[serde(default)]
        usage: Used,
    }
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Used {
        input_tokens: f64,
        output_tokens: f64,
        cache_read_tokens: f64,
    }
    let all: std::collections::BTreeMap<String, Metrics> =
        raw::object(data.model_metrics).unwrap_or_default();
    let mut text = "ended".to_owned();
    for (model, metrics) in all {
        let used = metrics.usage;
        text.push_str(&format!(
            "; {model}: {} tokens in ({} from the cache), {} out",
            used.input_tokens, used.cache_read_tokens, used.output_tokens
        ));
    }
    Cow::Owned(text)
}
