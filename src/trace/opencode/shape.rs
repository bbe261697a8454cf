//! The fields that are read of an exported session. Every one may be missing, or of another type than it should be.

use serde::Deserialize;

use super::super::raw::Field;

/// What is read of a message.
#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow, default)]
    pub info: Field<'a>,
    #[serde(borrow, default)]
    pub parts: Field<'a>,
}

/// A session's or a message's own facts.
#[derive(Deserialize, Default)]
pub(super) struct Info<'a> {
    #[serde(borrow, default)]
    pub id: Field<'a>,
    #[serde(borrow, default)]
    pub role: Field<'a>,
    #[serde(borrow, default)]
    pub time: Field<'a>,
    #[serde(borrow, default, rename = "modelID")]
    pub model: Field<'a>,
    #[serde(borrow, default)]
    pub mode: Field<'a>,
    #[serde(borrow, default)]
    pub tokens: Field<'a>,
    #[serde(borrow, default)]
    pub error: Field<'a>,
    #[serde(borrow, default)]
    pub summary: Field<'a>,
    #[serde(borrow, default)]
    pub directory: Field<'a>,
    #[serde(borrow, default, rename = "parentID")]
    pub parent: Field<'a>,
    #[serde(borrow, default)]
    pub title: Field<'a>,
    #[serde(borrow, default)]
    pub version: Field<'a>,
    #[serde(borrow, default)]
    pub revert: Field<'a>,
    #[serde(borrow, default)]
    pub path: Field<'a>,
}

#[derive(Deserialize, Default)]
pub(super) struct Times<'a> {
    #[serde(borrow, default)]
    pub created: Field<'a>,
    #[serde(borrow, default)]
    pub completed: Field<'a>,
    #[serde(borrow, default)]
    pub start: Field<'a>,
    #[serde(borrow, default)]
    pub end: Field<'a>,
}

#[derive(Deserialize, Default)]
pub(super) struct Part<'a> {
    #[serde(borrow, default, rename = "type")]
    pub kind: Field<'a>,
    #[serde(borrow, default)]
    pub id: Field<'a>,
    #[serde(borrow, default)]
    pub text: Field<'a>,
    #[serde(borrow, default)]
    pub synthetic: Field<'a>,
    #[serde(borrow, default)]
    pub ignored: Field<'a>,
    #[serde(borrow, default)]
    pub time: Field<'a>,
    #[serde(borrow, default, rename = "callID")]
    pub call: Field<'a>,
    #[serde(borrow, default)]
    pub tool: Field<'a>,
    #[serde(borrow, default)]
    pub state: Field<'a>,
    #[serde(borrow, default)]
    pub tokens: Field<'a>,
    #[serde(borrow, default)]
    pub prompt: Field<'a>,
    #[serde(borrow, default)]
    pub description: Field<'a>,
    #[serde(borrow, default)]
    pub command: Field<'a>,
    #[serde(borrow, default)]
    pub mime: Field<'a>,
    #[serde(borrow, default)]
    pub filename: Field<'a>,
    #[serde(borrow, default)]
    pub url: Field<'a>,
    #[serde(borrow, default)]
    pub error: Field<'a>,
    #[serde(borrow, default)]
    pub files: Field<'a>,
}

#[derive(Deserialize, Default)]
pub(super) struct ToolState<'a> {
    #[serde(borrow, default)]
    pub status: Field<'a>,
    #[serde(borrow, default)]
    pub input: Field<'a>,
    #[serde(borrow, default)]
    pub output: Field<'a>,
    #[serde(borrow, default)]
    pub error: Field<'a>,
    #[serde(borrow, default)]
    pub metadata: Field<'a>,
    #[serde(borrow, default)]
    pub time: Field<'a>,
    #[serde(borrow, default)]
    pub attachments: Field<'a>,
}

#[derive(Deserialize, Default)]
pub(super) struct Metadata<'a> {
    #[serde(borrow, default)]
    pub exit: Field<'a>,
    #[serde(borrow, default, rename = "sessionId")]
    pub session: Field<'a>,
    #[serde(borrow, default)]
    pub files: Field<'a>,
    #[serde(borrow, default)]
    pub filediff: Field<'a>,
    #[serde(borrow, default)]
    pub diff: Field<'a>,
    #[serde(borrow, default)]
    pub exists: Field<'a>,
    #[serde(borrow, default)]
    pub results: Field<'a>,
}

/// What an edit tool tells of one file.
#[derive(Deserialize, Default)]
pub(super) struct FileDiff<'a> {
    #[serde(borrow, default, rename = "filePath")]
    pub path: Field<'a>,
    #[serde(borrow, default, rename = "movePath")]
    pub to: Field<'a>,
    #[serde(borrow, default, rename = "type")]
    pub kind: Field<'a>,
    #[serde(borrow, default)]
    pub before: Field<'a>,
    #[serde(borrow, default)]
    pub after: Field<'a>,
    #[serde(borrow, default)]
    pub diff: Field<'a>,
    #[serde(borrow, default)]
    pub patch: Field<'a>,
    #[serde(borrow, default)]
    pub filediff: Field<'a>,
}

#[derive(Deserialize, Default)]
pub(super) struct Input<'a> {
    #[serde(borrow, default, rename = "filePath")]
    pub path: Field<'a>,
    #[serde(borrow, default)]
    pub content: Field<'a>,
    #[serde(borrow, default, rename = "oldString")]
    pub old: Field<'a>,
    #[serde(borrow, default)]
    pub subagent_type: Field<'a>,
}

#[derive(Deserialize, Default)]
pub(super) struct Tokens<'a> {
    #[serde(borrow, default)]
    pub total: Field<'a>,
    #[serde(borrow, default)]
    pub input: Field<'a>,
    #[serde(borrow, default)]
    pub output: Field<'a>,
    #[serde(borrow, default)]
    pub reasoning: Field<'a>,
    #[serde(borrow, default)]
    pub cache: Field<'a>,
}

#[derive(Deserialize, Default)]
pub(super) struct Cache {
    #[serde(default)]
    pub read: f64,
    #[serde(default)]
    pub write: f64,
}

#[derive(Deserialize, Default)]
pub(super) struct Named<'a> {
    #[serde(borrow, default)]
    pub name: Field<'a>,
    #[serde(borrow, default)]
    pub message: Field<'a>,
    #[serde(borrow, default)]
    pub data: Field<'a>,
    #[serde(borrow, default, rename = "messageID")]
    pub message_id: Field<'a>,
    #[serde(borrow, default, rename = "partID")]
    pub part_id: Field<'a>,
    #[serde(borrow, default)]
    pub cwd: Field<'a>,
}
