//! What is said: messages to the model with results of calls, and the model's answers.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::events::Teller;
use super::line::{Args, Block, Content, Line, Message, Told};
use super::said::{Said, said};
use crate::model::CallKind;
use crate::trace::event::{Body, Call, Ending, MarkerKind, Outcome, Usage};
use crate::trace::lenient::{Text, lenient};

/// What third parties put in place of what they take for a secret: no id at all.
const REDACTED: &str = "REDACTED";

impl<'a> Teller<'_, 'a> {
    // --- what the person says, and what comes back from calls -------------------------------------------------------

    pub(super) fn user(&mut self, mut line: Line<'a>) {
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
    pub(super) fn told_to_model(
        &mut self,
        content: Content<'a>,
        told: Option<&'a RawValue>,
        manner: Manner,
    ) {
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

    pub(super) fn say(&mut self, said: Said<'a>) {
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

    pub(super) fn assistant(&mut self, mut line: Line<'a>) {
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
    pub(super) fn answered(&mut self, message: Message<'a>) {
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
}

/// How a message came to the model.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manner {
    /// Put there by the program.
    pub meta: bool,
    /// Sent by something that ended, not typed.
    pub from_system: bool,
    /// What is left of a conversation after its compaction.
    pub summary: bool,
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
    if !args.task_id.is_empty() && !args.status.is_empty() {
        return Some(format!("#{} {}", &*args.task_id, &*args.status).into());
    }
    // What tells most of these tools: for a search what is searched for, not where.
    let first = match name {
        "Grep" | "Glob" => &args.pattern,
        "TaskCreate" => &args.subject,
        _ => &args.command,
    };
    let question = args.questions.0.first().map(|q| &q.question);
    [
        first,
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
    ]
    .into_iter()
    .chain(question)
    .find(|t| !t.trim().is_empty())
    .map(|t| t.0.clone())
}
