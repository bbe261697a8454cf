//! The fields that are read of a session file. Every one may be missing, or of another type than it should be.

use serde::Deserialize;

use super::super::raw::Field;

#[derive(Deserialize, Default)]
pub(super) struct Line<'a> {
    #[serde(borrow, default)]
    pub id: Field<'a>,
    #[serde(borrow, default)]
    pub timestamp: Field<'a>,
    #[serde(borrow, default, rename = "type")]
    pub kind: Field<'a>,
    #[serde(borrow, default)]
    pub content: Field<'a>,
    #[serde(borrow, default, rename = "displayContent")]
    pub display: Field<'a>,
    #[serde(borrow, default, rename = "toolCalls")]
    pub calls: Field<'a>,
    #[serde(borrow, default)]
    pub thoughts: Field<'a>,
    #[serde(borrow, default)]
    pub tokens: Field<'a>,
    #[serde(borrow, default)]
    pub model: Field<'a>,
    #[serde(borrow, default, rename = "$set")]
    pub set: Field<'a>,
    #[serde(borrow, default, rename = "$rewindTo")]
    pub rewind: Field<'a>,
    #[serde(borrow, default, rename = "sessionId")]
    pub session: Field<'a>,
    #[serde(borrow, default, rename = "startTime")]
    pub start: Field<'a>,
    #[serde(borrow, default)]
    pub summary: Field<'a>,
    #[serde(borrow, default)]
    pub directories: Field<'a>,
    #[serde(borrow, default)]
    pub messages: Field<'a>,
}

#[derive(Deserialize, Default)]
pub(super) struct ToolCall<'a> {
    #[serde(borrow, default)]
    pub id: Field<'a>,
    #[serde(borrow, default)]
    pub name: Field<'a>,
    #[serde(borrow, default)]
    pub args: Field<'a>,
    #[serde(borrow, default)]
    pub result: Field<'a>,
    #[serde(borrow, default)]
    pub status: Field<'a>,
    #[serde(borrow, default)]
    pub timestamp: Field<'a>,
    #[serde(borrow, default, rename = "agentId")]
    pub agent: Field<'a>,
    #[serde(borrow, default, rename = "resultDisplay")]
    pub shown: Field<'a>,
}

/// What is shown of an edit.
#[derive(Deserialize, Default)]
pub(super) struct Shown<'a> {
    #[serde(borrow, default, rename = "filePath")]
    pub path: Field<'a>,
    #[serde(borrow, default, rename = "fileDiff")]
    pub diff: Field<'a>,
    #[serde(borrow, default, rename = "originalContent")]
    pub before: Field<'a>,
    #[serde(borrow, default, rename = "newContent")]
    pub after: Field<'a>,
    #[serde(borrow, default, rename = "isNewFile")]
    pub new: Field<'a>,
}

#[derive(Deserialize, Default)]
pub(super) struct Part<'a> {
    #[serde(borrow, default)]
    pub text: Field<'a>,
    #[serde(borrow, default)]
    pub thought: Field<'a>,
    #[serde(borrow, default, rename = "functionResponse")]
    pub response: Field<'a>,
    #[serde(borrow, default, rename = "inlineData")]
    pub inline: Field<'a>,
}

#[derive(Deserialize, Default)]
pub(super) struct Response<'a> {
    #[serde(borrow, default)]
    pub response: Field<'a>,
    #[serde(borrow, default)]
    pub output: Field<'a>,
    #[serde(borrow, default)]
    pub error: Field<'a>,
    #[serde(borrow, default, rename = "mimeType")]
    pub media: Field<'a>,
    #[serde(borrow, default)]
    pub data: Field<'a>,
}

#[derive(Deserialize, Default)]
pub(super) struct Thought<'a> {
    #[serde(borrow, default)]
    pub subject: Field<'a>,
    #[serde(borrow, default)]
    pub description: Field<'a>,
    #[serde(borrow, default)]
    pub timestamp: Field<'a>,
}

#[derive(Deserialize, Default)]
pub(super) struct Tokens<'a> {
    #[serde(borrow, default)]
    pub input: Field<'a>,
    #[serde(borrow, default)]
    pub output: Field<'a>,
    #[serde(borrow, default)]
    pub cached: Field<'a>,
    #[serde(borrow, default)]
    pub thoughts: Field<'a>,
    #[serde(borrow, default)]
    pub tool: Field<'a>,
}

#[derive(Deserialize, Default)]
pub(super) struct Args<'a> {
    #[serde(borrow, default)]
    pub file_path: Field<'a>,
    #[serde(borrow, default)]
    pub absolute_path: Field<'a>,
    #[serde(borrow, default)]
    pub path: Field<'a>,
    #[serde(borrow, default)]
    pub content: Field<'a>,
    #[serde(borrow, default)]
    pub offset: Field<'a>,
    #[serde(borrow, default)]
    pub limit: Field<'a>,
    #[serde(borrow, default)]
    pub start_line: Field<'a>,
    #[serde(borrow, default)]
    pub end_line: Field<'a>,
}
