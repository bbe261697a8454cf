//! What is no conversation: news of the system, attachments, progress.

use std::borrow::Cow;

use super::events::Teller;
use super::line::{Attachment, Failure, Line, Progress};
use super::said::{Said, said};
use super::talk::Manner;
use crate::model::Time;
use crate::trace::event::{Body, Ending, MarkerKind, Outcome};
use crate::trace::lenient::{Text, lenient};

impl<'a> Teller<'_, 'a> {
    pub(super) fn system(&mut self, line: Line<'a>) {
        match &*line.subtype {
            "compact_boundary" => {
                let told = line.compact_metadata.0.unwrap_or_default();
                let text = match (&*told.trigger, told.pre_tokens.0) {
                    (_, 0) => line.content.0,
                    ("", n) => format!("{} ({n} tokens before)", &*line.content).into(),
                    (by, n) => format!("{} ({by}, {n} tokens before)", &*line.content).into(),
                };
                self.marker(MarkerKind::Compaction, text);
            }
            "microcompact_boundary" => {
                let told = line.microcompact_metadata.0.unwrap_or_default();
                let text = match told.tokens_saved.0 {
                    0 => line.content.0,
                    n => format!("{} ({n} tokens saved)", &*line.content).into(),
                };
                self.marker(MarkerKind::Compaction, text);
            }
            "api_error" => {
                let error: Failure<'a> = lenient(line.error);
                let text = [&error.formatted, &error.message, &line.content]
                    .into_iter()
                    .find(|t| !t.is_empty())
                    .map_or("the model's service failed", |t| &**t);
                let text = match (line.retry_attempt.0, line.max_retries.0) {
                    (0, _) => text.to_owned(),
                    (n, 0) => format!("{text} (retry {n})"),
                    (n, of) => format!("{text} (retry {n} of {of})"),
                };
                self.marker(MarkerKind::ApiError, text);
            }
            "local_command" => match said(line.content.0) {
                Said::Prompt(text) => self.marker(MarkerKind::Note, text),
                other => self.say(other),
            },
            "model_fallback" | "model_refusal_fallback" | "model_switch" => {
                self.marker(MarkerKind::ModelChange, line.content.0);
            }
            "stop_hook_summary" if line.prevented_continuation.0 => {
                let why = &*line.stop_reason;
                self.marker(MarkerKind::Note, format!("a hook held it back: {why}"));
            }
            "init" => self.facts(&line, &line.model),
            "away_summary"
            | "informational"
            | "scheduled_task_fire"
            | "agents_killed"
            | "memory_saved" => {
                if !line.content.is_empty() {
                    self.marker(MarkerKind::Note, line.content.0);
                }
            }
            subtype if SILENT_SYSTEM.contains(&subtype) => {}
            subtype => {
                let name = format!("system/{subtype}");
                self.unknown(name);
            }
        }
    }

    pub(super) fn attachment(&mut self, told: Attachment<'a>, cwd: &str) {
        let kind = &*told.kind;
        match kind {
            "edited_text_file" | "edited_image_file" => {
                let name = told
                    .filename
                    .strip_prefix(cwd)
                    .and_then(|rest| rest.strip_prefix('/'))
                    .unwrap_or(&told.filename);
                let text = format!("{name}\n{}", &*told.snippet);
                self.marker(MarkerKind::OutsideEdit, text);
            }
            "queued_command" => {
                let from_system = !told.command_mode.is_empty() && &*told.command_mode != "prompt";
                let manner = Manner {
                    from_system,
                    ..Manner::default()
                };
                self.told_to_model(told.prompt, None, manner);
            }
            "hook_blocking_error" => {
                let why: Blocking<'a> = lenient(told.blocking_error);
                let text = format!("blocked by {}: {}", &*told.hook_name, &*why.why);
                self.marker(MarkerKind::Note, text);
            }
            _ if is_context(kind) => {}
            _ => {
                let name = format!("attachment/{kind}");
                self.unknown(name);
            }
        }
    }

    pub(super) fn progress(&mut self, told: Progress<'a>, call: Cow<'a, str>) {
        // The line itself is a link of the parent's conversation whatever it tells.
        if !self.native.is_empty() {
            self.add(Body::Link);
        }
        let Some(inner) = told.message.0 else { return };
        let (Some(message), false) = (inner.message.0, told.agent_id.is_empty()) else {
            return;
        };
        if !call.is_empty() {
            self.add(Body::About(Outcome {
                id: call,
                end: Ending::Open,
                child: Some(told.agent_id.0.clone()),
                ..Outcome::default()
            }));
        }
        self.thread = told.agent_id.0;
        self.native = inner.uuid.0;
        self.parent = None;
        self.time = Time::parse(&inner.timestamp).or(self.time);
        if &*inner.kind == "assistant" {
            self.answer = message.id.0.clone();
            self.answered(message);
        } else {
            let manner = Manner {
                meta: inner.is_meta.0,
                ..Manner::default()
            };
            self.told_to_model(message.content, inner.tool_use_result, manner);
        }
    }
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Blocking<'a> {
    #[serde(borrow, rename = "blockingError")]
    why: Text<'a>,
}

/// Lines about the system that say nothing to a person.
const SILENT_SYSTEM: &[&str] = &[
    "stop_hook_summary",
    "turn_duration",
    "bridge_status",
    "permission_retry",
    "api_metrics",
    "thinking",
    "thinking_tokens",
    "status",
    "hook_started",
    "hook_progress",
    "hook_response",
    "task_started",
    "task_progress",
    "task_notification",
    "task_updated",
    "session_state_changed",
    "files_persisted",
    "post_turn_summary",
];

/// Whether an attachment of this type only puts something before the model.
fn is_context(kind: &str) -> bool {
    const BEGIN: [&str; 8] = [
        "hook_",
        "plan_",
        "auto_mode",
        "task_",
        "todo",
        "skill_",
        "team",
        "file",
    ];
    const END: [&str; 7] = [
        "_delta",
        "_reminder",
        "_listing",
        "_reference",
        "_usage",
        "_in_ide",
        "_discovery",
    ];
    const WHOLE: [&str; 26] = [
        "directory",
        "new_directory",
        "already_read_file",
        "nested_memory",
        "relevant_memories",
        "current_session_memory",
        "memory",
        "dynamic_skill",
        "invoked_skills",
        "output_style",
        "diagnostics",
        "lsp_diagnostics",
        "mcp_resource",
        "command_permissions",
        "agent_mention",
        "async_hook_response",
        "budget_usd",
        "structured_output",
        "max_turns_reached",
        "context_efficiency",
        "date_change",
        "ultrathink_effort",
        "companion_intro",
        "ultramemory",
        "teammate_mailbox",
        "image",
    ];
    WHOLE.contains(&kind)
        || BEGIN.iter().any(|b| kind.starts_with(b))
        || END.iter().any(|e| kind.ends_with(e))
}
