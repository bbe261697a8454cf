//! `response_item`: what the model sees. Messages, thoughts, calls and their outputs.

use std::borrow::Cow;

use serde::Deserialize;

use super::edits;
use crate::model::CallKind;
use crate::trace::emit::first_line;
use crate::trace::event::{Body, Call, Ending, MarkerKind, Outcome};
use crate::trace::raw::{self, Field, Teller};

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Field<'a>,
    #[serde(borrow, default)]
    id: Field<'a>,
    #[serde(borrow, default)]
    role: Field<'a>,
    #[serde(borrow, default)]
    content: Field<'a>,
    #[serde(borrow, default)]
    summary: Field<'a>,
    #[serde(borrow, default)]
    name: Field<'a>,
    #[serde(borrow, default)]
    arguments: Field<'a>,
    #[serde(borrow, default)]
    input: Field<'a>,
    #[serde(borrow, default)]
    call_id: Field<'a>,
    #[serde(borrow, default)]
    output: Field<'a>,
    #[serde(borrow, default)]
    action: Field<'a>,
    #[serde(borrow, default)]
    status: Field<'a>,
    #[serde(borrow, default)]
    tools: Field<'a>,
    #[serde(borrow, default)]
    result: Field<'a>,
    #[serde(borrow, default)]
    revised_prompt: Field<'a>,
}

/// The types of items.
pub(super) fn is_item(kind: Option<&str>) -> bool {
    matches!(
        kind,
        Some(
            "message"
                | "reasoning"
                | "function_call"
                | "function_call_output"
                | "custom_tool_call"
                | "custom_tool_call_output"
                | "local_shell_call"
                | "local_shell_call_output"
                | "web_search_call"
                | "tool_search_call"
                | "tool_search_output"
                | "image_generation_call"
                | "agent_message"
                | "additional_tools"
                | "ghost_snapshot"
                | "compaction"
                | "compaction_summary"
                | "compaction_trigger"
                | "context_compaction"
        )
    )
}

/// Tells an item.
pub(super) fn tell<'a>(payload: Field<'a>, teller: &mut Teller<'a, '_>) {
    let Some(item) = raw::object::<Item<'a>>(payload) else {
        teller.unknown("response_item");
        return;
    };
    let kind = raw::string(item.kind).unwrap_or_default();
    match &*kind {
        "message" => message(&item, teller),
        "reasoning" => {
            teller.common.native = native(&item);
            let texts = |field| raw::list(field).into_iter().map(|p| raw::message(Some(p)));
            let mut text = raw::join(texts(item.summary), "\n\n");
            if text.is_empty() {
                text = raw::join(texts(item.content), "\n\n");
            }
            // What is kept encrypted says nothing.
            if !text.is_empty() {
                teller.say(Body::Thought(text));
            }
        }
        "function_call" => {
            let name = raw::string(item.name).unwrap_or_default();
            say_call(item.call_id, name, raw::text(item.arguments), teller);
        }
        "custom_tool_call" => {
            let name = raw::string(item.name).unwrap_or_default();
            say_call(item.call_id, name, raw::text(item.input), teller);
        }
        "local_shell_call" => {
            let id = item.call_id.or(item.id);
            say_call(
                id,
                Cow::Borrowed("local_shell"),
                raw::text(item.action),
                teller,
            );
        }
        "tool_search_call" => {
            let name = Cow::Borrowed("tool_search");
            say_call(
                item.call_id.or(item.id),
                name,
                raw::text(item.arguments),
                teller,
            );
        }
        "function_call_output" | "custom_tool_call_output" | "local_shell_call_output" => {
            output(item.call_id.or(item.id), item.output, teller);
        }
        "tool_search_output" => teller.say(Body::Result(Outcome {
            id: raw::string(item.call_id).unwrap_or_default(),
            output: raw::text(item.tools),
            ..Outcome::default()
        })),
        "web_search_call" => web_search(&item, teller),
        "image_generation_call" => {
            teller.say(Body::Call(Call {
                id: raw::string(item.id).unwrap_or_default(),
                name: Cow::Borrowed("image_generation"),
                input: raw::text(item.revised_prompt),
                ended: true,
                ..Call::default()
            }));
            let image = raw::string(item.result).unwrap_or_default();
            teller.say(Body::Image {
                media: Cow::Borrowed("image/png"),
                bytes: raw::base64_size(&image),
            });
        }
        "agent_message" => between_agents(payload, teller),
        kind if is_item(Some(kind)) => {}
        _ => teller.unknown(Cow::Owned(format!("response_item {kind}"))),
    }
}

/// A part of a message.
#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Field<'a>,
    #[serde(borrow, default)]
    text: Field<'a>,
    #[serde(borrow, default)]
    image_url: Field<'a>,
}

/// The item's id, if it is one that the model's service gave: what Codex itself writes (`review_rollout_assistant`)
/// names many.
fn native<'a>(item: &Item<'a>) -> Cow<'a, str> {
    raw::string(item.id)
        .filter(|id| id.starts_with("msg_") || id.starts_with("rs_"))
        .unwrap_or_default()
}

fn message<'a>(item: &Item<'a>, teller: &mut Teller<'a, '_>) {
    teller.common.native = native(item);
    let role = raw::string(item.role).unwrap_or_default();
    let parts: Vec<Part<'a>> = raw::list(item.content)
        .into_iter()
        .filter_map(|p| raw::object(Some(p)))
        .collect();
    if parts.is_empty() {
        // A plain string, as other writers have it.
        let text = raw::string(item.content).unwrap_or_default();
        say_text(&role, text, teller);
        return;
    }
    // What the person typed may lie in several parts; what was put around it is told part by part.
    let texts: Vec<Cow<'a, str>> = parts.iter().filter_map(|p| raw::string(p.text)).collect();
    if role == "user" {
        let (context, typed): (Vec<_>, Vec<_>) = texts.into_iter().partition(|t| is_context(t));
        for text in context {
            say_text("user", text, teller);
        }
        let typed = raw::join(typed.into_iter().filter(|t| !is_image_tag(t)), "\n");
        say_text("user", typed, teller);
    } else {
        say_text(&role, raw::join(texts.into_iter(), "\n"), teller);
    }
    for part in &parts {
        if let Some(url) = raw::string(part.image_url) {
            image(&url, teller);
        } else if part.text.is_none()
            && raw::string(part.kind).as_deref() != Some("encrypted_content")
        {
            let kind = raw::string(part.kind).unwrap_or_default();
            teller.unknown(Cow::Owned(format!("message part {kind}")));
        }
    }
}

fn say_text<'a>(role: &str, text: Cow<'a, str>, teller: &mut Teller<'a, '_>) {
    if text.trim().is_empty() {
        return;
    }
    let body = match role {
        "assistant" => Body::Message(text),
        // An event of its own tells it.
        "user" if text.starts_with("<turn_aborted>") => return,
        "user" if text.starts_with("<subagent_notification>") => Body::Marker {
            kind: MarkerKind::Note,
            text,
        },
        "user" if !is_context(&text) => Body::Prompt(text),
        _ => Body::Marker {
            kind: MarkerKind::Context,
            text,
        },
    };
    teller.say(body);
}

/// Whether the person did not type it: instructions, the environment, what a tool put there.
fn is_context(text: &str) -> bool {
    let text = text.trim();
    if text.starts_with("# AGENTS.md instructions") {
        return true;
    }
    // A whole in tags: `<environment_context>...</environment_context>`. People paste HTML too; its tags have no `_`.
    let Some((name, _)) = text.strip_prefix('<').and_then(|t| t.split_once('>')) else {
        return false;
    };
    let word = name.split_whitespace().next().unwrap_or("");
    let known =
        word.contains('_') || matches!(word, "INSTRUCTIONS" | "skill" | "permissions" | "plugin");
    known
        && [name, word]
            .iter()
            .any(|n| text.ends_with(&format!("</{n}>")))
}

/// Codex puts tags around images.
fn is_image_tag(text: &str) -> bool {
    let text = text.trim();
    (text.starts_with("<image") && text.ends_with('>') && text.len() < 256) || text == "</image>"
}

fn image<'a>(url: &str, teller: &mut Teller<'a, '_>) {
    let (media, bytes) = match url.strip_prefix("data:").and_then(|u| u.split_once(',')) {
        Some((head, data)) => (
            head.split(';').next().unwrap_or("").to_owned(),
            raw::base64_size(data),
        ),
        None => (String::new(), 0),
    };
    teller.say(Body::Image {
        media: Cow::Owned(media),
        bytes,
    });
}

fn say_call<'a>(
    id: Field<'a>,
    name: Cow<'a, str>,
    input: Cow<'a, str>,
    teller: &mut Teller<'a, '_>,
) {
    let known = edits::look(&name, &input);
    let kind = match &*name {
        "apply_patch" => Some(CallKind::Edit),
        "update_plan" => Some(CallKind::Think),
        "spawn_agent" => Some(CallKind::Agent),
        "write_stdin" | "exec" | "exec_command" | "wait" => Some(CallKind::Execute),
        "view_image" | "list_dir" => Some(CallKind::Read),
        "wait_agent" | "send_input" | "send_message" | "close_agent" | "resume_agent"
        | "followup_task" | "interrupt_agent" | "list_agents" => Some(CallKind::Other),
        _ if known.paths.is_empty() => None,
        _ => Some(CallKind::Edit),
    };
    teller.say(Body::Call(Call {
        id: raw::string(id).unwrap_or_default(),
        kind,
        title: known.title.map(Cow::Owned),
        paths: known.paths,
        name,
        input,
        ended: false,
    }));
}

fn web_search<'a>(item: &Item<'a>, teller: &mut Teller<'a, '_>) {
    #[derive(Deserialize)]
    struct Action<'a> {
        #[serde(borrow, default, rename = "type")]
        kind: Field<'a>,
        #[serde(borrow, default)]
        query: Field<'a>,
        #[serde(borrow, default)]
        url: Field<'a>,
        #[serde(borrow, default)]
        pattern: Field<'a>,
    }
    let action: Option<Action<'a>> = raw::object(item.action);
    let search = action
        .as_ref()
        .is_none_or(|a| raw::string(a.kind).as_deref() == Some("search"));
    let title = action.and_then(|a| {
        let texts = [a.query, a.url, a.pattern]
            .into_iter()
            .filter_map(raw::string);
        let title = first_line(&raw::join(texts, " "));
        (!title.is_empty()).then_some(Cow::Owned(title))
    });
    teller.say(Body::Call(Call {
        id: raw::string(item.id).unwrap_or_default(),
        name: Cow::Borrowed("web_search"),
        kind: Some(if search {
            CallKind::Search
        } else {
            CallKind::Fetch
        }),
        input: raw::text(item.action),
        title,
        paths: Vec::new(),
        ended: raw::string(item.status).as_deref() != Some("in_progress"),
    }));
}

/// Words from one agent to another: a task for the first agent below `/root`, else a note.
pub(super) fn between_agents<'a>(payload: Field<'a>, teller: &mut Teller<'a, '_>) {
    #[derive(Deserialize)]
    struct Words<'a> {
        #[serde(borrow, default)]
        author: Field<'a>,
        #[serde(borrow, default)]
        recipient: Field<'a>,
        #[serde(borrow, default)]
        content: Field<'a>,
    }
    let Some(words) = raw::object::<Words<'a>>(payload) else {
        teller.unknown("words between agents");
        return;
    };
    let [author, recipient] = [words.author, words.recipient].map(raw::owned);
    let text = raw::message(words.content);
    if author == "/root" && recipient != "/root" && !text.trim().is_empty() {
        teller.say(Body::Prompt(text));
        return;
    }
    let line = format!("{author} to {recipient}: {}", first_line(&text));
    let text = match first_line(&text).is_empty() {
        true => format!("{author} to {recipient} (encrypted)"),
        false => format!("{line}\n\n{text}"),
    };
    teller.say(Body::Marker {
        kind: MarkerKind::Note,
        text: Cow::Owned(text),
    });
}

/// What a call gave: a text with or without a head, parts, or an object.
fn output<'a>(id: Field<'a>, field: Field<'a>, teller: &mut Teller<'a, '_>) {
    #[derive(Deserialize)]
    struct Wrapped<'a> {
        #[serde(borrow, default)]
        output: Field<'a>,
        #[serde(borrow, default)]
        metadata: Field<'a>,
        #[serde(borrow, default)]
        content: Field<'a>,
        #[serde(borrow, default)]
        success: Field<'a>,
    }
    #[derive(Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow, default)]
        exit_code: Field<'a>,
    }
    let mut outcome = Outcome {
        id: raw::string(id).unwrap_or_default(),
        ..Outcome::default()
    };
    let mut images = Vec::new();
    match field.map(|f| f.get().as_bytes().first().copied()) {
        Some(Some(b'[')) => {
            let parts: Vec<Part<'a>> = raw::list(field)
                .into_iter()
                .filter_map(|p| raw::object(Some(p)))
                .collect();
            images = parts
                .iter()
                .filter_map(|p| raw::string(p.image_url))
                .collect();
            outcome.output = join_parts(parts.iter().filter_map(|p| raw::string(p.text)));
            ending(&mut outcome);
        }
        Some(Some(b'{')) => {
            let wrapped: Option<Wrapped<'a>> = raw::object(field);
            outcome.output = match wrapped.as_ref().map(|w| w.content.or(w.output)) {
                Some(Some(inner)) => raw::message(Some(inner)),
                _ => raw::text(field),
            };
            ending(&mut outcome);
            if wrapped.is_some_and(|w| w.success.is_some_and(|s| s.get() == "false")) {
                outcome.end = Ending::Error;
            }
        }
        _ => {
            outcome.output = raw::text(field);
            // Commands and patches of some versions give JSON in the text: what they printed, and the exit code.
            if ["{\"output\":", "{\"metadata\":"]
                .iter()
                .any(|begin| outcome.output.starts_with(begin))
                && let Ok(wrapped) = serde_json::from_str::<Wrapped<'_>>(&outcome.output)
                && let Some(metadata) = raw::object::<Metadata<'_>>(wrapped.metadata)
                && let Some(inner) = raw::string(wrapped.output)
            {
                outcome.exit_code = raw::number(metadata.exit_code).map(|n| n as i32);
                outcome.output = Cow::Owned(inner.into_owned());
            }
            ending(&mut outcome);
        }
    }
    teller.say(Body::Result(outcome));
    for url in images {
        image(&url, teller);
    }
}

/// Parts of an output follow each other on lines of their own.
fn join_parts<'a>(texts: impl Iterator<Item = Cow<'a, str>>) -> Cow<'a, str> {
    let mut all = Cow::Borrowed("");
    for text in texts {
        if all.is_empty() {
            all = text;
        } else {
            let all = all.to_mut();
            if !all.ends_with('\n') {
                all.push('\n');
            }
            all.push_str(&text);
        }
    }
    all
}

/// Finds in the output's text how the call ended, and which agent it started.
fn ending(outcome: &mut Outcome<'_>) {
    const FAILED: [&str; 14] = [
        "apply_patch verification failed",
        "patch rejected",
        "exec_command failed",
        "write_stdin failed",
        "execution error",
        "failed to ",
        "Failed to ",
        "unsupported call",
        "unsupported custom tool",
        "Script failed",
        "error:",
        "Error:",
        "collab ",
        "err: ",
    ];
    let text = &*outcome.output;
    // The head ends with a line `Output:`; what the command printed may say anything.
    let head = match text.find("\nOutput:\n") {
        Some(at) => &text[..at],
        None if text.ends_with("\nOutput:") => text,
        None => "",
    };
    if outcome.exit_code.is_none() {
        outcome.exit_code = raw::number_after(head, "Process exited with code ")
            .or_else(|| raw::number_after(head, "Exit code: "));
    }
    outcome.end = match outcome.exit_code {
        Some(0) => Ending::Ok,
        Some(_) => Ending::Error,
        None if text.starts_with("aborted") || first_line(text).contains("rejected by user") => {
            Ending::Aborted
        }
        None if FAILED.iter().any(|f| text.starts_with(f)) => Ending::Error,
        None => Ending::Ok,
    };
    if text.starts_with("{\"agent_id\":") {
        #[derive(Deserialize)]
        struct Started {
            agent_id: String,
            #[serde(default)]
            nickname: Option<String>,
        }
        if let Ok(started) = serde_json::from_str::<Started>(text) {
            outcome.child = Some(Cow::Owned(started.agent_id));
            outcome.agent = started.nickname.map(Cow::Owned);
        }
    }
}
