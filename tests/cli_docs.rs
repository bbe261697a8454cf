//! What the documents say is what the program does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use backtrail::engine::api::{Call, Hello, Message};
use backtrail::model::{EmitBody, EmitEvent};

const EMIT: &str = include_str!("../docs/emit.md");

/// The lines in code blocks of a language.
fn blocks(text: &'static str, language: &str) -> Vec<&'static str> {
    let mut inside = None;
    let mut found = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("```"), inside) {
            (Some(_), Some(_)) => inside = None,
            (Some(name), None) => inside = Some(name),
            (None, Some(name)) if name == language => found.push(line),
            _ => {}
        }
    }
    found
}

#[test]
fn every_example_of_an_event_is_read_as_what_it_is() {
    let mut kinds = std::collections::BTreeMap::new();
    for line in blocks(EMIT, "json") {
        let event: EmitEvent = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        let kind = match event.body {
            EmitBody::Prompt { .. } => "prompt",
            EmitBody::Thought { .. } => "thought",
            EmitBody::Message { .. } => "message",
            EmitBody::Call { .. } => "call",
            EmitBody::Result { .. } => "result",
            EmitBody::Marker { .. } => "marker",
            EmitBody::Unknown(_) => "unknown",
        };
        if kind != "unknown" {
            assert!(line.contains(&format!("\"type\":\"{kind}\"")), "{line}");
            assert!(EMIT.contains(&format!("### `{kind}`")), "{kind}");
        }
        *kinds.entry(kind).or_insert(0) += 1;
    }
    assert_eq!(kinds.len(), 7, "each kind has an example: {kinds:?}");
}

#[test]
fn the_conversation_on_the_socket_is_the_protocol() {
    let lines = blocks(EMIT, "text");
    let of = |prefix: &str| {
        lines
            .iter()
            .filter_map(|l| l.strip_prefix(prefix))
            .collect::<Vec<_>>()
    };
    let (sent, received) = (of("-> "), of("<- "));
    serde_json::from_str::<Hello>(sent[0]).unwrap();
    serde_json::from_str::<Call>(sent[1]).unwrap();
    let hello: Hello = serde_json::from_str(received[0]).unwrap();
    assert_eq!(hello.backtrail, backtrail::engine::api::PROTOCOL);
    serde_json::from_str::<Message>(received[1]).unwrap();
}
