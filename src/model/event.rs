//! The lines that `backtrail emit` takes: an agent's reasoning as NDJSON, one event a line.
//!
//! The schema, with an example of each, is documented in `docs/emit.md`; a test reads those examples. Unknown types
//! and fields are kept raw and shown as unknown, never refused.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CallKind, Time};

/// One line of `emit`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmitEvent {
    /// When it happened; the time of arrival when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The session it belongs to, by the agent's own id; the session that asked when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub body: EmitBody,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum EmitBody {
    /// The person asked something: a new turn begins.
    Prompt {
        /// Their words.
        text: String,
    },
    /// The agent reasoned.
    Thought {
        /// Its words.
        text: String,
    },
    /// The agent answered the person.
    Message {
        /// Its words.
        text: String,
    },
    /// A tool call began.
    Call {
        /// Unique in the session.
        id: String,
        /// The tool's name.
        name: String,
        /// What kind of call; guessed from the name when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<CallKind>,
        /// Its arguments.
        #[serde(default)]
        input: Value,
        /// One line for people; made from the arguments when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
    },
    /// A tool call ended.
    Result {
        /// The call's id.
        id: String,
        /// What it printed or returned.
        #[serde(default)]
        output: String,
        /// Whether it failed.
        #[serde(default)]
        is_error: bool,
        /// Exit code of a command.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
    },
    /// Something worth a line: compaction, rewind, model change, ...
    Marker {
        /// Which kind.
        name: String,
        /// A line for people.
        #[serde(default)]
        text: String,
    },
    /// Anything else, kept as it came.
    #[serde(untagged)]
    Unknown(Value),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn known_and_unknown_lines() {
        let e: EmitEvent = serde_json::from_str(
            r#"{"type":"call","id":"c1","name":"Bash","input":{"command":"ls"}}"#,
        )
        .unwrap();
        assert!(matches!(e.body, EmitBody::Call { .. }));
        let e: EmitEvent = serde_json::from_str(r#"{"type":"weather","sky":"blue"}"#).unwrap();
        assert!(matches!(e.body, EmitBody::Unknown(_)), "{e:?}");
        assert!(serde_json::from_str::<EmitEvent>("[1]").is_err());
    }
}
