//! What a line of a Claude Code transcript may hold, as far as it is read here.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::trace::lenient::{Count, Flag, Link, Maybe, Objects, Text, anything_else, expecting};

/// One line.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Line<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub subtype: Text<'a>,
    #[serde(borrow)]
    pub uuid: Text<'a>,
    #[serde(borrow)]
    pub parent_uuid: Link<'a>,
    #[serde(borrow)]
    pub logical_parent_uuid: Text<'a>,
    pub is_sidechain: Flag,
    #[serde(borrow)]
    pub agent_id: Text<'a>,
    #[serde(borrow)]
    pub session_id: Text<'a>,
    /// The same in the output of print mode.
    #[serde(borrow, rename = "session_id")]
    pub session: Text<'a>,
    #[serde(borrow, rename = "parent_tool_use_id")]
    pub under_call: Text<'a>,
    #[serde(borrow)]
    pub cwd: Text<'a>,
    #[serde(borrow)]
    pub version: Text<'a>,
    #[serde(borrow)]
    pub git_branch: Text<'a>,
    #[serde(borrow)]
    pub timestamp: Text<'a>,
    #[serde(borrow)]
    pub request_id: Text<'a>,
    #[serde(borrow)]
    pub message: Maybe<Message<'a>>,
    #[serde(borrow)]
    pub tool_use_result: Option<&'a RawValue>,
    /// The same in the output of print mode.
    #[serde(borrow, rename = "tool_use_result")]
    pub result_told: Option<&'a RawValue>,
    pub is_meta: Flag,
    pub is_compact_summary: Flag,
    pub is_visible_in_transcript_only: Flag,
    pub is_api_error_message: Flag,
    #[serde(borrow)]
    pub prompt_source: Text<'a>,
    #[serde(borrow)]
    pub origin: Maybe<Origin<'a>>,
    // Lines of the session's state.
    #[serde(borrow)]
    pub summary: Text<'a>,
    #[serde(borrow)]
    pub ai_title: Text<'a>,
    #[serde(borrow)]
    pub custom_title: Text<'a>,
    #[serde(borrow)]
    pub leaf_uuid: Text<'a>,
    #[serde(borrow)]
    pub permission_mode: Text<'a>,
    #[serde(borrow)]
    pub model: Text<'a>,
    // System lines.
    #[serde(borrow)]
    pub content: Text<'a>,
    #[serde(borrow)]
    pub error: Option<&'a RawValue>,
    pub retry_attempt: Count,
    pub max_retries: Count,
    pub prevented_continuation: Flag,
    #[serde(borrow)]
    pub stop_reason: Text<'a>,
    #[serde(borrow)]
    pub compact_metadata: Maybe<Compaction<'a>>,
    #[serde(borrow)]
    pub microcompact_metadata: Maybe<Compaction<'a>>,
    #[serde(borrow)]
    pub result: Text<'a>,
    pub is_error: Flag,
    #[serde(borrow)]
    pub attachment: Maybe<Attachment<'a>>,
    #[serde(borrow)]
    pub data: Maybe<Progress<'a>>,
    #[serde(borrow, rename = "parentToolUseID")]
    pub parent_tool_use_id: Text<'a>,
}

/// Where a prompt came from.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct Origin<'a> {
    #[serde(borrow)]
    pub kind: Text<'a>,
}

/// What a compaction tells of itself.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Compaction<'a> {
    #[serde(borrow)]
    pub trigger: Text<'a>,
    pub pre_tokens: Count,
    pub tokens_saved: Count,
}

/// What a failed request says.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct Failure<'a> {
    #[serde(borrow)]
    pub formatted: Text<'a>,
    #[serde(borrow)]
    pub message: Text<'a>,
}

/// A message of the model or to it.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct Message<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    #[serde(borrow)]
    pub model: Text<'a>,
    #[serde(borrow)]
    pub content: Content<'a>,
    pub usage: Maybe<Usage>,
}

/// What an answer cost.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct Usage {
    pub input_tokens: Count,
    pub output_tokens: Count,
    pub cache_creation_input_tokens: Count,
    pub cache_read_input_tokens: Count,
}

/// One block of a message.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct Block<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub text: Text<'a>,
    #[serde(borrow)]
    pub thinking: Text<'a>,
    #[serde(borrow)]
    pub id: Text<'a>,
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub input: Option<&'a RawValue>,
    #[serde(borrow)]
    pub tool_use_id: Text<'a>,
    #[serde(borrow)]
    pub content: Content<'a>,
    pub is_error: Flag,
    #[serde(borrow)]
    pub source: Maybe<Media<'a>>,
    #[serde(borrow)]
    pub tool_name: Text<'a>,
    #[serde(borrow)]
    pub title: Text<'a>,
    #[serde(borrow)]
    pub url: Text<'a>,
}

impl<'a> Block<'a> {
    fn text(text: Cow<'a, str>) -> Self {
        Self {
            kind: Text(Cow::Borrowed("text")),
            text: Text(text),
            ..Self::default()
        }
    }
}

/// An image or a document.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct Media<'a> {
    #[serde(borrow)]
    pub media_type: Text<'a>,
    #[serde(borrow)]
    pub data: Text<'a>,
}

/// What was put before the model besides the conversation.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Attachment<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub filename: Text<'a>,
    #[serde(borrow)]
    pub snippet: Text<'a>,
    #[serde(borrow)]
    pub prompt: Content<'a>,
    #[serde(borrow)]
    pub command_mode: Text<'a>,
    #[serde(borrow)]
    pub hook_name: Text<'a>,
    #[serde(borrow)]
    pub blocking_error: Option<&'a RawValue>,
    #[serde(borrow)]
    pub content: Option<&'a RawValue>,
}

/// News of a call that runs.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Progress<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub agent_id: Text<'a>,
    #[serde(borrow)]
    pub message: Maybe<Inner<'a>>,
}

/// A subagent's message inside such news.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Inner<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub uuid: Text<'a>,
    #[serde(borrow)]
    pub timestamp: Text<'a>,
    #[serde(borrow)]
    pub message: Maybe<Message<'a>>,
    #[serde(borrow)]
    pub tool_use_result: Option<&'a RawValue>,
    pub is_meta: Flag,
}

/// What a call's result tells about agents and interrupts.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Told<'a> {
    #[serde(borrow)]
    pub agent_id: Text<'a>,
    #[serde(borrow)]
    pub agent_type: Text<'a>,
    pub interrupted: Flag,
}

/// A call's arguments, as far as they name or title something.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct Args<'a> {
    #[serde(borrow)]
    pub command: Text<'a>,
    #[serde(borrow)]
    pub file_path: Text<'a>,
    #[serde(borrow)]
    pub notebook_path: Text<'a>,
    #[serde(borrow)]
    pub path: Text<'a>,
    #[serde(borrow)]
    pub pattern: Text<'a>,
    #[serde(borrow)]
    pub query: Text<'a>,
    #[serde(borrow)]
    pub url: Text<'a>,
    #[serde(borrow)]
    pub description: Text<'a>,
    #[serde(borrow)]
    pub subject: Text<'a>,
    #[serde(borrow)]
    pub skill: Text<'a>,
    #[serde(borrow)]
    pub subagent_type: Text<'a>,
    #[serde(borrow)]
    pub questions: Objects<Question<'a>>,
    #[serde(borrow, rename = "taskId")]
    pub task_id: Text<'a>,
    #[serde(borrow)]
    pub status: Text<'a>,
}

/// One question to the person.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct Question<'a> {
    #[serde(borrow)]
    pub question: Text<'a>,
}

/// What a message or a result holds.
#[derive(Debug, Clone, Default)]
pub enum Content<'a> {
    /// Nothing that is understood.
    #[default]
    None,
    /// A plain text.
    Text(Cow<'a, str>),
    /// Blocks.
    Blocks(Vec<Block<'a>>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Content<'de>;
            expecting!();
            anything_else!(bool number unit);
            fn visit_borrowed_str<E>(self, s: &'de str) -> Result<Self::Value, E> {
                Ok(Content::Text(Cow::Borrowed(s)))
            }
            fn visit_str<E>(self, s: &str) -> Result<Self::Value, E> {
                Ok(Content::Text(Cow::Owned(s.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut blocks = Vec::new();
                while let Some(one) = seq.next_element::<Item<'de>>()? {
                    blocks.extend(one.0);
                }
                Ok(Content::Blocks(blocks))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let block = Block::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Content::Blocks(vec![block]))
            }
        }
        d.deserialize_any(V)
    }
}

/// A block, or a bare text where a block should be.
#[derive(Default)]
struct Item<'a>(Option<Block<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Item<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Item<'de>;
            expecting!();
            anything_else!(bool number unit seq);
            fn visit_borrowed_str<E>(self, s: &'de str) -> Result<Self::Value, E> {
                Ok(Item(Some(Block::text(Cow::Borrowed(s)))))
            }
            fn visit_str<E>(self, s: &str) -> Result<Self::Value, E> {
                Ok(Item(Some(Block::text(Cow::Owned(s.to_owned())))))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Block::deserialize(MapAccessDeserializer::new(map)).map(|b| Item(Some(b)))
            }
        }
        d.deserialize_any(V)
    }
}
