//! The events of one line.
//!
//! A line holds one block of an answer as a rule, but every number of blocks is read. The order is: facts about the
//! session, what the line says, what it cost. A line of the conversation that says nothing to a person still gives a
//! link, because later lines may have it as their parent.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::line::{
    Args, Attachment, Block, Content, Failure, Line, Maybe, Message, Progress, Text, Told, lenient,
};
use super::said::{Said, said};
use crate::model::{CallKind, Time};
use crate::trace::event::{
    Body, Call, Ending, Event, Facts, MarkerKind, Out, Outcome, Record, Usage,
};

/// The thread of the subagents of early versions, which wrote no id of the subagent. Their conversations are told apart
/// by their roots.
pub const SIDECHAIN: &str = "sidechain";

/// What third parties put in place of what they take for a secret: no id at all.
const REDACTED: &str = "REDACTED";

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
struct Teller<'o, 'a> {
    out: &'o mut Out<'a>,
    part: u16,
    native: Cow<'a, str>,
    parent: Option<Cow<'a, str>>,
    thread: Cow<'a, str>,
    session: Cow<'a, str>,
    answer: Cow<'a, str>,
    time: Option<Time>,
}

impl<'o, 'a> Teller<'o, 'a> {
    fn of(line: &Line<'a>, out: &'o mut Out<'a>) -> Self {
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

    fn add(&mut self, body: Body<'a>) {
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

    fn marker(&mut self, kind: MarkerKind, text: impl Into<Cow<'a, str>>) {
        self.add(Body::Marker {
            kind,
            text: text.into(),
        });
    }

    fn unknown(&mut self, name: String) {
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
                    self.attachment(attachment);
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

    fn facts(&mut self, line: &Line<'a>, model: &str) {
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

    // --- what the person says, and what comes back from calls -------------------------------------------------------

    fn user(&mut self, mut line: Line<'a>) {
        let Some(message) = line.message.0.take() else {
            return self.unknown("user without a message".to_owned());
        };
        let told = line.tool_use_result.or(line.result_told);
        let meta = line.is_meta.0 || line.is_visible_in_transcript_only.0;
        let from_system = &*line.prompt_source == "system"
            || line
                .origin
                .0
                .as_ref()
                .is_some_and(|o| !o.kind.is_empty() && &*o.kind != "human");
        let summary = line.is_compact_summary.0;
        let only_results = matches!(&message.content, Content::Blocks(b)
            if b.iter().all(|b| b.kind.ends_with("tool_result")));
        if !only_results {
            self.facts(&line, "");
        }
        self.told_to_model(
            message.content,
            told,
            Manner {
                meta,
                from_system,
                summary,
            },
        );
    }

    /// A message to the model: results first, then what was put before it, then the person's words, then images.
    fn told_to_model(&mut self, content: Content<'a>, told: Option<&'a RawValue>, manner: Manner) {
        let blocks = match content {
            Content::None => return,
            Content::Text(text) => {
                let said = manner.hear(text);
                return self.say(said);
            }
            Content::Blocks(blocks) => blocks,
        };
        let mut prompts: Vec<Cow<'a, str>> = Vec::new();
        let mut images = Vec::new();
        for block in blocks {
            match &*block.kind {
                "text" => match manner.hear(block.text.0) {
                    Said::Prompt(text) => prompts.push(text),
                    other => self.say(other),
                },
                "image" | "document" => images.push(block),
                kind if kind.ends_with("tool_result") => self.result(block, told),
                kind => {
                    let name = kind.to_owned();
                    self.unknown(name);
                }
            }
        }
        if !prompts.is_empty() {
            let text = if prompts.len() == 1 {
                prompts.swap_remove(0)
            } else {
                Cow::Owned(prompts.join("\n\n"))
            };
            self.add(Body::Prompt(text));
        }
        for block in images {
            self.image(&block);
        }
    }

    fn say(&mut self, said: Said<'a>) {
        match said {
            Said::Nothing => {}
            Said::Prompt(text) => {
                self.add(Body::Prompt(text));
            }
            Said::Marker(kind, text) => self.marker(kind, text),
        }
    }

    fn image(&mut self, block: &Block<'a>) {
        let (media, bytes) = match &block.source.0 {
            Some(source) => {
                let text = source.data.trim_end_matches('=');
                // Three bytes are four characters of base64.
                (
                    source.media_type.0.clone(),
                    (text.len() as u64).saturating_mul(3) / 4,
                )
            }
            None => (Cow::Borrowed(""), 0),
        };
        let media = if media.is_empty() {
            Cow::Owned((*block.kind).to_owned())
        } else {
            media
        };
        self.add(Body::Image { media, bytes });
    }

    fn result(&mut self, block: Block<'a>, told: Option<&'a RawValue>) {
        let mut images = Vec::new();
        let output = match block.content {
            Content::None => Cow::Borrowed(""),
            Content::Text(text) => text,
            Content::Blocks(blocks) => {
                let mut parts: Vec<Cow<'a, str>> = Vec::new();
                for inner in blocks {
                    match &*inner.kind {
                        "image" | "document" => images.push(inner),
                        "text" => parts.push(inner.text.0),
                        "tool_reference" => parts.push(inner.tool_name.0),
                        kind => {
                            let words = [kind, &*inner.title, &*inner.url, &*inner.text];
                            let words: Vec<&str> =
                                words.into_iter().filter(|w| !w.is_empty()).collect();
                            parts.push(Cow::Owned(words.join(" ")));
                        }
                    }
                }
                if parts.len() == 1 {
                    parts.swap_remove(0)
                } else {
                    Cow::Owned(parts.join("\n"))
                }
            }
        };
        // Most of what a result tells is large and is not needed here; only agents and interrupts are.
        let raw = told.map_or("", RawValue::get);
        let more: Told<'a> = if raw.starts_with('{')
            && (raw.contains("\"agentId\"") || raw.contains("\"interrupted\":true"))
        {
            lenient(told)
        } else {
            Told::default()
        };
        let refused = raw == "\"User rejected tool use\""
            || output.starts_with("The user doesn't want to ")
            || output.starts_with("[Request interrupted by user");
        let end = if refused || more.interrupted.0 {
            Ending::Aborted
        } else if block.is_error.0 {
            Ending::Error
        } else {
            Ending::Ok
        };
        let exit_code = output
            .strip_prefix("Exit code ")
            .filter(|_| block.is_error.0)
            .and_then(|rest| rest.split(['\n', ' ']).next())
            .and_then(|code| code.parse().ok());
        self.add(Body::Result(Outcome {
            id: block.tool_use_id.0,
            output,
            end,
            exit_code,
            child: some(more.agent_id),
            agent: some(more.agent_type),
        }));
        for image in images {
            self.image(&image);
        }
    }

    // --- what the model says ----------------------------------------------------------------------------------------

    fn assistant(&mut self, mut line: Line<'a>) {
        let Some(message) = line.message.0.take() else {
            return self.unknown("assistant without a message".to_owned());
        };
        let made_up = &*message.model == "<synthetic>";
        if made_up || line.is_api_error_message.0 {
            let kind = if line.is_api_error_message.0 {
                MarkerKind::ApiError
            } else {
                MarkerKind::Note
            };
            for text in texts(message.content) {
                // What the program says to itself after a command that asked nothing of the model.
                if text != "No response requested." {
                    self.marker(kind, text);
                }
            }
            return;
        }
        self.answer = match (&*message.id, &*line.request_id) {
            ("" | REDACTED, "" | REDACTED) => Cow::Borrowed(""),
            ("" | REDACTED, _) => line.request_id.0.clone(),
            _ => message.id.0.clone(),
        };
        self.facts(&line, &message.model);
        self.answered(message);
    }

    /// The blocks and the cost of an answer, whose id is set.
    fn answered(&mut self, message: Message<'a>) {
        let first = self.out.events.len();
        let blocks = match message.content {
            Content::None => Vec::new(),
            Content::Text(text) => {
                self.add(Body::Message(text));
                Vec::new()
            }
            Content::Blocks(blocks) => blocks,
        };
        for block in blocks {
            match &*block.kind {
                "text" if block.text.trim().is_empty() => {}
                "text" => {
                    self.add(Body::Message(block.text.0));
                }
                // Late versions keep the signature of a thought, but not its text.
                "thinking" if block.thinking.trim().is_empty() => {}
                "thinking" => {
                    self.add(Body::Thought(block.thinking.0));
                }
                "redacted_thinking" => {}
                "image" | "document" => self.image(&block),
                "tool_use" | "server_tool_use" | "mcp_tool_use" => self.call(block),
                kind if kind.ends_with("tool_result") => self.result(block, None),
                kind => {
                    let name = kind.to_owned();
                    self.unknown(name);
                }
            }
        }
        if self.out.events.len() == first && !self.native.is_empty() {
            self.add(Body::Link);
        }
        if let Some(usage) = message.usage.0 {
            self.add(Body::Usage(Usage {
                input: usage.input_tokens.0,
                output: usage.output_tokens.0,
                cache_read: usage.cache_read_input_tokens.0,
                cache_write: usage.cache_creation_input_tokens.0,
                reasoning: 0,
                total: false,
            }));
        }
    }

    fn call(&mut self, block: Block<'a>) {
        let args: Args<'a> = lenient(block.input);
        let name = block.name.0;
        let id = block.id.0;
        let mut paths = Vec::new();
        for path in [&args.file_path, &args.notebook_path, &args.path] {
            if !path.is_empty() {
                paths.push((**path).to_owned());
            }
        }
        let title = title(&name, &args);
        let agent = some(args.subagent_type);
        self.add(Body::Call(Call {
            id: id.clone(),
            kind: kind(&name),
            name,
            input: Cow::Borrowed(block.input.map_or("{}", RawValue::get)),
            title,
            paths,
            ended: false,
        }));
        if agent.is_some() {
            self.add(Body::About(Outcome {
                id,
                end: Ending::Open,
                agent,
                ..Outcome::default()
            }));
        }
    }

    // --- everything else --------------------------------------------------------------------------------------------

    fn system(&mut self, line: Line<'a>) {
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

    fn attachment(&mut self, told: Attachment<'a>) {
        let kind = &*told.kind;
        match kind {
            "edited_text_file" | "edited_image_file" => {
                let text = if told.snippet.is_empty() {
                    told.filename.0
                } else {
                    format!("{}\n{}", &*told.filename, &*told.snippet).into()
                };
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

    fn progress(&mut self, told: Progress<'a>, call: Cow<'a, str>) {
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

/// How a message came to the model.
#[derive(Debug, Clone, Copy, Default)]
struct Manner {
    /// Put there by the program.
    meta: bool,
    /// Sent by something that ended, not typed.
    from_system: bool,
    /// What is left of a conversation after its compaction.
    summary: bool,
}

impl Manner {
    fn hear(self, text: Cow<'_, str>) -> Said<'_> {
        if self.summary {
            return Said::Marker(MarkerKind::Compaction, text);
        }
        match said(text) {
            Said::Prompt(text) if self.meta => Said::Marker(MarkerKind::Context, text),
            Said::Prompt(text) if self.from_system => Said::Marker(MarkerKind::Note, text),
            other => other,
        }
    }
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Blocking<'a> {
    #[serde(borrow, rename = "blockingError")]
    why: Text<'a>,
}

fn some(text: Text<'_>) -> Option<Cow<'_, str>> {
    (!text.is_empty()).then_some(text.0)
}

fn texts(content: Content<'_>) -> Vec<Cow<'_, str>> {
    match content {
        Content::None => Vec::new(),
        Content::Text(text) => vec![text],
        Content::Blocks(blocks) => blocks
            .into_iter()
            .filter(|b| !b.text.is_empty())
            .map(|b| b.text.0)
            .collect(),
    }
}

/// The kind of a tool whose name misleads the general rule; `None` leaves it to that.
fn kind(name: &str) -> Option<CallKind> {
    match name {
        "TodoWrite" | "TodoRead" | "TaskCreate" | "TaskUpdate" | "TaskList" | "TaskGet"
        | "EnterPlanMode" | "ExitPlanMode" => Some(CallKind::Think),
        "BashOutput" | "TaskOutput" | "KillBash" | "KillShell" | "TaskStop" | "Monitor" => {
            Some(CallKind::Execute)
        }
        "Task" | "Agent" => Some(CallKind::Agent),
        "Skill" | "AskUserQuestion" | "SendMessage" => Some(CallKind::Other),
        _ => None,
    }
}

/// A line for people; `None` leaves it to the general rule.
fn title<'a>(name: &str, args: &Args<'a>) -> Option<Cow<'a, str>> {
    let order: [&Text<'a>; 10] = match name {
        // For a search what is searched for tells more than where.
        "Grep" | "Glob" => [
            &args.pattern,
            &args.path,
            &args.command,
            &args.file_path,
            &args.notebook_path,
            &args.query,
            &args.url,
            &args.description,
            &args.subject,
            &args.skill,
        ],
        "TaskCreate" => [
            &args.subject,
            &args.description,
            &args.command,
            &args.file_path,
            &args.notebook_path,
            &args.path,
            &args.pattern,
            &args.query,
            &args.url,
            &args.skill,
        ],
        _ => [
            &args.command,
            &args.file_path,
            &args.notebook_path,
            &args.path,
            &args.pattern,
            &args.query,
            &args.url,
            &args.description,
            &args.subject,
            &args.skill,
        ],
    };
    order
        .into_iter()
        .find(|t| !t.trim().is_empty())
        .map(|t| t.0.clone())
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
