//! The fields that are read of an event. Every one may be missing, or of another type than it should be.

use serde::Deserialize;

use super::super::raw::Field;

#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow, default, rename = "type")]
    pub kind: Field<'a>,
    #[serde(borrow, default)]
    pub data: Field<'a>,
    #[serde(borrow, default)]
    pub id: Field<'a>,
    #[serde(borrow, default)]
    pub timestamp: Field<'a>,
    #[serde(borrow, default, rename = "agentId")]
    pub agent: Field<'a>,
}

/// What is read of all types' data; each has some of it.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Data<'a> {
    #[serde(borrow, default)]
    pub session_id: Field<'a>,
    #[serde(borrow, default)]
    pub copilot_version: Field<'a>,
    #[serde(borrow, default)]
    pub start_time: Field<'a>,
    #[serde(borrow, default)]
    pub context: Field<'a>,
    #[serde(borrow, default)]
    pub selected_model: Field<'a>,
    #[serde(borrow, default)]
    pub new_model: Field<'a>,
    #[serde(borrow, default)]
    pub model: Field<'a>,
    #[serde(borrow, default)]
    pub reasoning_effort: Field<'a>,
    #[serde(borrow, default)]
    pub previous_reasoning_effort: Field<'a>,
    #[serde(borrow, default)]
    pub content: Field<'a>,
    #[serde(borrow, default)]
    pub source: Field<'a>,
    #[serde(borrow, default)]
    pub attachments: Field<'a>,
    #[serde(borrow, default)]
    pub message_id: Field<'a>,
    #[serde(borrow, default)]
    pub reasoning_text: Field<'a>,
    #[serde(borrow, default)]
    pub output_tokens: Field<'a>,
    #[serde(borrow, default)]
    pub tool_call_id: Field<'a>,
    #[serde(borrow, default)]
    pub parent_tool_call_id: Field<'a>,
    #[serde(borrow, default)]
    pub tool_name: Field<'a>,
    #[serde(borrow, default)]
    pub tool_requests: Field<'a>,
    #[serde(borrow, default)]
    pub arguments: Field<'a>,
    #[serde(borrow, default)]
    pub success: Field<'a>,
    #[serde(borrow, default)]
    pub result: Field<'a>,
    #[serde(borrow, default)]
    pub error: Field<'a>,
    #[serde(borrow, default)]
    pub agent_name: Field<'a>,
    #[serde(borrow, default)]
    pub message: Field<'a>,
    #[serde(borrow, default)]
    pub reason: Field<'a>,
    #[serde(borrow, default)]
    pub summary_content: Field<'a>,
    #[serde(borrow, default)]
    pub summary: Field<'a>,
    #[serde(borrow, default)]
    pub title: Field<'a>,
    #[serde(borrow, default)]
    pub name: Field<'a>,
    #[serde(borrow, default)]
    pub previous_mode: Field<'a>,
    #[serde(borrow, default)]
    pub new_mode: Field<'a>,
    #[serde(borrow, default)]
    pub allow_all_permissions: Field<'a>,
    #[serde(borrow, default)]
    pub up_to_event_id: Field<'a>,
    #[serde(borrow, default)]
    pub cwd: Field<'a>,
    #[serde(borrow, default)]
    pub branch: Field<'a>,
    #[serde(borrow, default)]
    pub head_commit: Field<'a>,
    #[serde(borrow, default)]
    pub code: Field<'a>,
    #[serde(borrow, default)]
    pub detailed_content: Field<'a>,
    #[serde(borrow, default)]
    pub model_metrics: Field<'a>,
    #[serde(borrow, default)]
    pub mime_type: Field<'a>,
    #[serde(borrow, default)]
    pub data: Field<'a>,
    #[serde(borrow, default)]
    pub display_name: Field<'a>,
    #[serde(borrow, default)]
    pub path: Field<'a>,
}
