//! `event_msg`: what the person saw. Only what no `response_item` tells is told from here.

use std::borrow::Cow;

use serde::Deserialize;

use super::ends::{command, patch, tool};
use super::{edits, leave_copy};
use crate::model::Time;
use crate::trace::event::{Body, Ending, Facts, MarkerKind, Outcome, State, Usage};
use crate::trace::raw::{self, Field, Teller};

/// An event's fields.
#[derive(Deserialize)]
pub(super) struct Note<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Field<'a>,
    #[serde(borrow, default)]
    message: Field<'a>,
    #[serde(borrow, default)]
    info: Field<'a>,
    #[serde(borrow, default)]
    turn_id: Field<'a>,
    #[serde(borrow, default)]
    started_at: Field<'a>,
    #[serde(borrow, default)]
    reason: Field<'a>,
    #[serde(borrow, default)]
    num_turns: Field<'a>,
    #[serde(borrow, default)]
    call_id: Field<'a>,
    #[serde(borrow, default)]
    exit_code: Field<'a>,
    #[serde(borrow, default)]
    status: Field<'a>,
    #[serde(borrow, default)]
    command: Field<'a>,
    #[serde(borrow, default)]
    aggregated_output: Field<'a>,
    #[serde(borrow, default)]
    invocation: Field<'a>,
    #[serde(borrow, default)]
    result: Field<'a>,
    #[serde(borrow, default)]
    error: Field<'a>,
    #[serde(borrow, default)]
    event_id: Field<'a>,
    #[serde(borrow, default)]
    agent_thread_id: Field<'a>,
    #[serde(borrow, default)]
    agent_path: Field<'a>,
    #[serde(borrow, default)]
    new_thread_id: Field<'a>,
    #[serde(borrow, default)]
    thread_settings: Field<'a>,
    #[serde(borrow, default)]
    thread_name: Field<'a>,
    #[serde(borrow, default)]
    goal: Field<'a>,
    #[serde(borrow, default)]
    user_facing_hint: Field<'a>,
    #[serde(borrow, default)]
    review_output: Field<'a>,
    #[serde(borrow, default)]
    from_model: Field<'a>,
    #[serde(borrow, default)]
    to_model: Field<'a>,
    #[serde(borrow, default)]
    item: Field<'a>,
    /// The whole, for what is read further.
    #[serde(skip)]
    whole: Field<'a>,
}

/// An item of `item_completed`, the form that newer versions write events in.
#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Field<'a>,
    #[serde(borrow, default)]
    id: Field<'a>,
    #[serde(borrow, default)]
    text: Field<'a>,
    #[serde(borrow, default)]
    command: Field<'a>,
    #[serde(borrow, default)]
    aggregated_output: Field<'a>,
    #[serde(borrow, default)]
    exit_code: Field<'a>,
    #[serde(borrow, default)]
    status: Field<'a>,
    #[serde(borrow, default)]
    server: Field<'a>,
    #[serde(borrow, default)]
    tool: Field<'a>,
    #[serde(borrow, default)]
    arguments: Field<'a>,
    #[serde(borrow, default)]
    result: Field<'a>,
    #[serde(borrow, default)]
    error: Field<'a>,
}

impl<'a> Note<'a> {
    /// Reads it, if it is an object.
    pub(super) fn read(payload: Field<'a>) -> Option<Self> {
        let mut note: Self = raw::object(payload)?;
        note.whole = payload;
        Some(note)
    }

    /// What it changes for the records that follow.
    pub(super) fn enter(&self, state: &mut State, time: Option<Time>) {
        if matches!(
            raw::string(self.kind).as_deref(),
            Some("task_started" | "turn_started")
        ) {
            leave_copy(state, self.turn_id, raw::number(self.started_at), time);
            state.turn = raw::owned(self.turn_id);
        }
    }

    /// The number of the answer that what is told belongs to. Answers have no ids, but each ends with its tokens; these
    /// may be told again, with the same sum.
    pub(super) fn answer(&self, state: &mut State) -> u64 {
        let now = state.answers;
        if raw::string(self.kind).as_deref() != Some("token_count") {
            return now;
        }
        match total(self.info) {
            None => now,
            Some(total) if total == state.total => now.saturating_sub(1),
            Some(total) => {
                state.total = total;
                state.answers += 1;
                now
            }
        }
    }

    /// Whether it tells what the person typed.
    pub(super) fn is_prompt(&self) -> bool {
        raw::string(self.kind).as_deref() == Some("user_message")
    }

    /// Tells it.
    pub(super) fn tell(&self, teller: &mut Teller<'a, '_>) {
        let kind = raw::string(self.kind).unwrap_or_default();
        match &*kind {
            "user_message" => {
                let text = raw::text(self.message);
                if !text.trim().is_empty() {
                    // Where the model was given the same text, that is told already.
                    teller.common.echo = true;
                    teller.say(Body::Prompt(text));
                }
            }
            "token_count" => usage(self.info, teller),
            "exec_command_end" => command(
                self.call_id,
                Cow::Owned(edits::command_line(self.command)),
                self.aggregated_output,
                (self.exit_code, self.status),
                teller,
            ),
            "patch_apply_end" => patch(self.whole, teller),
            "mcp_tool_call_end" => self.mcp(teller),
            "item_completed" => self.item(teller),
            "sub_agent_activity" | "collab_agent_spawn_end" => {
                let child = self.agent_thread_id.or(self.new_thread_id);
                let path = raw::owned(self.agent_path);
                let name = path.rsplit('/').next().unwrap_or("").to_owned();
                teller.say(Body::About(Outcome {
                    id: raw::string(self.event_id.or(self.call_id)).unwrap_or_default(),
                    end: Ending::Open,
                    child: raw::string(child),
                    agent: (!name.is_empty()).then_some(Cow::Owned(name)),
                    ..Outcome::default()
                }));
            }
            "turn_aborted" => marker(MarkerKind::Interrupt, raw::text(self.reason), teller),
            "thread_rolled_back" => {
                let n = raw::count(self.num_turns);
                teller.say(Body::Rewind {
                    to: Cow::Owned(format!("turns:{n}")),
                });
                let turns = if n == 1 { "turn was" } else { "turns were" };
                marker(
                    MarkerKind::Rewind,
                    Cow::Owned(format!("{n} {turns} taken back")),
                    teller,
                );
            }
            "thread_settings_applied" => {
                #[derive(Deserialize)]
                struct Settings<'a> {
                    #[serde(borrow, default)]
                    model: Field<'a>,
                }
                let settings: Option<Settings<'a>> = raw::object(self.thread_settings);
                facts(
                    Facts {
                        model: settings.map_or_else(String::new, |s| raw::owned(s.model)),
                        ..Facts::default()
                    },
                    teller,
                );
            }
            "thread_name_updated" => facts(
                Facts {
                    title: raw::owned(self.thread_name),
                    ..Facts::default()
                },
                teller,
            ),
            "thread_goal_updated" => self.goal(teller),
            "entered_review_mode" => {
                let hint = raw::text(self.user_facing_hint);
                marker(
                    MarkerKind::ModeChange,
                    Cow::Owned(format!("review begins: {hint}")),
                    teller,
                );
            }
            "exited_review_mode" => self.review(teller),
            "model_reroute" => {
                let [from, to] = [self.from_model, self.to_model].map(raw::owned);
                marker(
                    MarkerKind::ModelChange,
                    Cow::Owned(format!(
                        "{to} instead of {from}: {}",
                        raw::text(self.reason)
                    )),
                    teller,
                );
            }
            "error" | "stream_error" => {
                marker(MarkerKind::ApiError, raw::text(self.message), teller);
            }
            "task_complete" | "turn_complete" => {
                if self.error.is_some_and(|e| e.get() != "null") {
                    marker(MarkerKind::ApiError, raw::text(self.error), teller);
                }
            }
            "warning" | "guardian_warning" => {
                marker(MarkerKind::Note, raw::text(self.message), teller);
            }
            kind if SILENT.contains(&kind) => {}
            _ => teller.unknown(Cow::Owned(format!("event_msg {kind}"))),
        }
    }

    fn mcp(&self, teller: &mut Teller<'a, '_>) {
        #[derive(Deserialize)]
        struct Invocation<'a> {
            #[serde(borrow, default)]
            server: Field<'a>,
            #[serde(borrow, default)]
            tool: Field<'a>,
            #[serde(borrow, default)]
            arguments: Field<'a>,
        }
        let Some(by) = raw::object::<Invocation<'a>>(self.invocation) else {
            return;
        };
        tool(
            self.call_id,
            (by.server, by.tool, by.arguments),
            self.result,
            None,
            teller,
        );
    }

    fn item(&self, teller: &mut Teller<'a, '_>) {
        let Some(item) = raw::object::<Item<'a>>(self.item) else {
            return;
        };
        match raw::string(item.kind).as_deref() {
            Some("FileChange") => patch(self.item, teller),
            Some("CommandExecution") => command(
                item.id,
                Cow::Owned(edits::command_line(item.command)),
                item.aggregated_output,
                (item.exit_code, item.status),
                teller,
            ),
            Some("McpToolCall") => tool(
                item.id,
                (item.server, item.tool, item.arguments),
                item.error.filter(|e| e.get() != "null").or(item.result),
                item.status,
                teller,
            ),
            Some("Plan") => {
                teller.common.echo = true;
                teller.say(Body::Message(raw::text(item.text)));
            }
            // The others have items of their own among those that the model sees.
            _ => {}
        }
    }

    fn goal(&self, teller: &mut Teller<'a, '_>) {
        #[derive(Deserialize)]
        struct Goal<'a> {
            #[serde(borrow, default)]
            objective: Field<'a>,
            #[serde(borrow, default)]
            status: Field<'a>,
        }
        if let Some(goal) = raw::object::<Goal<'a>>(self.goal) {
            let [objective, status] = [goal.objective, goal.status].map(raw::owned);
            marker(
                MarkerKind::Note,
                Cow::Owned(format!("goal ({status}): {objective}")),
                teller,
            );
        }
    }

    fn review(&self, teller: &mut Teller<'a, '_>) {
        #[derive(Deserialize)]
        struct Review<'a> {
            #[serde(borrow, default)]
            overall_correctness: Field<'a>,
            #[serde(borrow, default)]
            overall_explanation: Field<'a>,
            #[serde(borrow, default)]
            findings: Field<'a>,
        }
        let text = match raw::object::<Review<'a>>(self.review_output) {
            None => "review ends without an answer".to_owned(),
            Some(review) => format!(
                "review ends: {}, findings: {}\n\n{}",
                raw::text(review.overall_correctness),
                raw::list(review.findings).len(),
                raw::text(review.overall_explanation)
            ),
        };
        marker(MarkerKind::ModeChange, Cow::Owned(text), teller);
    }
}

fn marker<'a>(kind: MarkerKind, text: Cow<'a, str>, teller: &mut Teller<'a, '_>) {
    teller.say(Body::Marker { kind, text });
}

fn facts(facts: Facts, teller: &mut Teller<'_, '_>) {
    teller.say(Body::Session(Box::new(facts)));
}

/// Events whose content is told elsewhere, or that say how things go on, not what happened.
const SILENT: &[&str] = &[
    "agent_message",
    "agent_message_content_delta",
    "agent_message_delta",
    "agent_reasoning",
    "agent_reasoning_delta",
    "agent_reasoning_raw_content",
    "agent_reasoning_raw_content_delta",
    "agent_reasoning_section_break",
    "apply_patch_approval_request",
    "background_event",
    "collab_agent_interaction_begin",
    "collab_agent_interaction_end",
    "collab_agent_spawn_begin",
    "collab_close_begin",
    "collab_close_end",
    "collab_resume_begin",
    "collab_resume_end",
    "collab_waiting_begin",
    "collab_waiting_end",
    "context_compacted",
    "conversation_path",
    "deprecation_notice",
    "dynamic_tool_call_request",
    "dynamic_tool_call_response",
    "elicitation_request",
    "exec_approval_request",
    "exec_command_begin",
    "exec_command_output_delta",
    "guardian_assessment",
    "hook_completed",
    "hook_started",
    "image_generation_begin",
    "image_generation_end",
    "item_started",
    "mcp_startup_complete",
    "mcp_startup_update",
    "mcp_tool_call_begin",
    "model_verification",
    "patch_apply_begin",
    "patch_apply_updated",
    "plan_delta",
    "plan_update",
    "raw_response_item",
    "realtime_conversation_closed",
    "realtime_conversation_list_voices_response",
    "realtime_conversation_realtime",
    "realtime_conversation_sdp",
    "realtime_conversation_started",
    "reasoning_content_delta",
    "reasoning_raw_content_delta",
    "request_permissions",
    "request_user_input",
    "safety_buffering",
    "session_configured",
    "shutdown_complete",
    "task_started",
    "terminal_interaction",
    "turn_diff",
    "turn_moderation_metadata",
    "turn_started",
    "undo_completed",
    "undo_started",
    "view_image_tool_call",
    "web_search_begin",
    "web_search_end",
];

#[derive(Deserialize)]
struct Info<'a> {
    #[serde(borrow, default)]
    last_token_usage: Field<'a>,
    #[serde(borrow, default)]
    total_token_usage: Field<'a>,
}

#[derive(Deserialize)]
struct Tokens<'a> {
    #[serde(borrow, default)]
    input_tokens: Field<'a>,
    #[serde(borrow, default)]
    cached_input_tokens: Field<'a>,
    #[serde(borrow, default)]
    output_tokens: Field<'a>,
    #[serde(borrow, default)]
    reasoning_output_tokens: Field<'a>,
    #[serde(borrow, default)]
    total_tokens: Field<'a>,
}

/// All tokens of the session so far.
fn total(info: Field<'_>) -> Option<u64> {
    let info: Info<'_> = raw::object(info)?;
    let tokens: Tokens<'_> = raw::object(info.total_token_usage)?;
    Some(raw::count(tokens.total_tokens))
}

fn usage(info: Field<'_>, teller: &mut Teller<'_, '_>) {
    let info: Option<Info<'_>> = raw::object(info);
    let Some(tokens) = info.and_then(|i| raw::object::<Tokens<'_>>(i.last_token_usage)) else {
        return;
    };
    let cached = raw::count(tokens.cached_input_tokens);
    teller.say(Body::Usage(Usage {
        input: raw::count(tokens.input_tokens).saturating_sub(cached),
        output: raw::count(tokens.output_tokens),
        cache_read: cached,
        cache_write: 0,
        reasoning: raw::count(tokens.reasoning_output_tokens),
        total: false,
    }));
}
