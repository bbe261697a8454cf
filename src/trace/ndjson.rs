//! The generic format: one JSON object a line, as `backtrail emit` takes them. What is no such event is told as unknown
//! by its type, so that any log of objects can at least be looked at.
//!
//! It is the last resort: every other format is surer of its own files.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::path::Path;

use super::emit::named_paths;
use super::event::{Body, Call, Ending, Event, MarkerKind, Out, Outcome, Record, State};
use super::format::{About, Format, Head};
use super::lenient::{Flag, Maybe, Text};
use crate::model::{CallKind, Time};

/// The reader.
pub struct Ndjson;

/// A line: the fields of all events together.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Line<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    time: Text<'a>,
    #[serde(borrow)]
    session: Text<'a>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, rename = "kind")]
    call: Text<'a>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    title: Text<'a>,
    #[serde(borrow)]
    output: Text<'a>,
    is_error: Flag,
    #[serde(borrow)]
    exit_code: Option<&'a RawValue>,
}

impl Format for Ndjson {
    fn name(&self) -> &'static str {
        "ndjson"
    }

    fn about(&self) -> About {
        About {
            title: "NDJSON as `backtrail emit` takes it",
            basis: "docs/emit.md",
            real: false,
            gives: "prompts, thoughts, messages, calls with results, markers; any other object as it is",
            lacks: "subagents, dead branches, tokens, file states",
        }
    }

    fn sniff(&self, head: &Head<'_>) -> u8 {
        let typed = |l: &&Value| l.get("type").is_some_and(Value::is_string);
        if head.lines.is_empty() || !head.lines.iter().all(|l| typed(&l)) {
            return 0;
        }
        if head.lines.iter().any(is_emitted) {
            30
        } else {
            2
        }
    }

    fn events<'a>(&self, record: Record<'a>, _state: &mut State, out: &mut Out<'a>) {
        out.counted += 1;
        let line = match serde_json::from_slice::<Maybe<Line<'a>>>(record.bytes) {
            Ok(Maybe(Some(line))) => line,
            Ok(Maybe(None)) => return out.events.push(unknown("no object")),
            Err(_) => {
                let json = serde_json::from_slice::<serde::de::IgnoredAny>(record.bytes).is_ok();
                let name = if json { "no event" } else { "not JSON" };
                return out.events.push(unknown(name));
            }
        };
        let (time, session) = (Time::parse(&line.time), line.session.0.clone());
        let mut event = Event::new(0, body(line));
        event.time = time;
        event.session = session;
        out.events.push(event);
    }
}

/// Whether a line is an event of `emit`, by its type and the fields that this type cannot do without.
fn is_emitted(line: &Value) -> bool {
    let text = |key: &str| line.get(key).is_some_and(Value::is_string);
    match line.get("type").and_then(Value::as_str) {
        Some("prompt" | "thought" | "message") => text("text"),
        Some("call") => text("id") && text("name"),
        Some("result") => text("id"),
        Some("marker") => text("name"),
        _ => false,
    }
}

fn unknown(name: &'static str) -> Event<'static> {
    Event::new(0, Body::Unknown { name: name.into() })
}

fn body(line: Line<'_>) -> Body<'_> {
    let text = line
        .text
        .and_then(|raw| serde_json::from_str::<Text<'_>>(raw.get()).ok())
        .filter(|_| line.text.is_some_and(|raw| raw.get().starts_with('"')));
    match (&*line.kind, text) {
        ("prompt", Some(text)) => Body::Prompt(text.0),
        ("thought", Some(text)) => Body::Thought(text.0),
        ("message", Some(text)) => Body::Message(text.0),
        ("call", _) if !line.id.is_empty() && !line.name.is_empty() => Body::Call(Call {
            id: line.id.0,
            name: line.name.0,
            kind: kind(&line.call),
            paths: line.input.map(paths).unwrap_or_default(),
            input: Cow::Borrowed(line.input.map_or("null", RawValue::get)),
            title: (!line.title.is_empty()).then_some(line.title.0),
            ended: false,
        }),
        ("result", _) if !line.id.is_empty() => {
            let exit_code: Option<i32> = line
                .exit_code
                .and_then(|raw| serde_json::from_str(raw.get()).ok());
            let failed = line.is_error.0 || exit_code.is_some_and(|code| code != 0);
            Body::Result(Outcome {
                id: line.id.0,
                output: line.output.0,
                end: if failed { Ending::Error } else { Ending::Ok },
                exit_code,
                child: None,
                agent: None,
            })
        }
        ("marker", text) if !line.name.is_empty() => {
            let text = text.unwrap_or_default();
            match marker(&line.name) {
                Some(kind) => Body::Marker { kind, text: text.0 },
                None => Body::Marker {
                    kind: MarkerKind::Note,
                    text: match text.is_empty() {
                        true => line.name.0,
                        false => format!("{}: {}", &*line.name, &*text).into(),
                    },
                },
            }
        }
        ("", _) => Body::Unknown {
            name: "no type".into(),
        },
        _ => Body::Unknown { name: line.kind.0 },
    }
}

fn kind(word: &str) -> Option<CallKind> {
    use serde::de::value::{Error, StrDeserializer};
    CallKind::deserialize(StrDeserializer::<Error>::new(word)).ok()
}

/// The marker of that name, by the words that screens show and the names that agents use.
fn marker(name: &str) -> Option<MarkerKind> {
    [
        MarkerKind::Compaction,
        MarkerKind::Rewind,
        MarkerKind::Fork,
        MarkerKind::Interrupt,
        MarkerKind::ApiError,
        MarkerKind::ModelChange,
        MarkerKind::ModeChange,
        MarkerKind::OutsideEdit,
        MarkerKind::Session,
        MarkerKind::Context,
        MarkerKind::Note,
    ]
    .into_iter()
    .find(|kind| {
        let long = serde_json::to_value(kind).ok();
        kind.word() == name || long.as_ref().and_then(Value::as_str) == Some(name)
    })
}

fn paths(input: &RawValue) -> Vec<String> {
    serde_json::from_str::<Value>(input.get())
        .map(|input| named_paths(&input, Path::new("")))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )]
    use super::*;
    use crate::trace::event::Span;
    use proptest::prelude::*;

    const SESSION: &str = include_str!("../../tests/recordings/ndjson/emit.ndjson");

    fn event(line: &[u8]) -> Event<'_> {
        let mut out = Out::default();
        let record = Record {
            bytes: line,
            span: Span::default(),
            tag: "",
        };
        Ndjson.events(record, &mut State::default(), &mut out);
        assert_eq!((out.counted, out.events.len()), (1, 1));
        out.events.swap_remove(0)
    }

    fn sure(lines: &str) -> u8 {
        let lines: Vec<Value> = lines
            .lines()
            .filter_map(|l| serde_json::from_str(l).ok())
            .collect();
        Ndjson.sniff(&Head {
            bytes: b"",
            whole: true,
            lines: &lines,
            name: "x",
        })
    }

    #[test]
    fn a_small_session() {
        let told: Vec<String> = SESSION
            .lines()
            .map(|l| match event(l.as_bytes()).body {
                Body::Prompt(t) => format!("prompt {t}"),
                Body::Thought(t) => format!("thought {t}"),
                Body::Message(t) => format!("message {t}"),
                Body::Call(c) => format!("call {} {:?} {:?} {}", c.id, c.kind, c.paths, c.input),
                Body::Result(r) => format!("result {} {:?} {:?}", r.id, r.end, r.exit_code),
                Body::Marker { kind, text } => format!("{} {text}", kind.word()),
                Body::Unknown { name } => format!("unknown {name}"),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            told,
            [
                "prompt Tokens expire a day early.",
                "thought Off by one?",
                "call c1 None [] {\"command\":\"sh tests/run.sh\"}",
                "result c1 Error Some(1)",
                "call c2 Some(Edit) [\"src/expiry.awk\"] {\"path\":\"src/expiry.awk\"}",
                "result c2 Ok None",
                "compaction kept 20 messages",
                "model opus",
                "note weather: fine",
                "message Fixed.",
                "unknown weather",
                "unknown prompt",
            ]
        );
        let first = event(SESSION.lines().next().unwrap().as_bytes());
        assert_eq!(first.time, Time::parse("2026-03-11T09:30:00Z"));
        assert_eq!(&*first.session, "a1b2");
        assert_eq!(sure(SESSION), 30);
    }

    #[test]
    fn anything_else_is_unknown_and_least_sure() {
        assert_eq!(sure("{\"type\":\"a\"}\n{\"type\":\"b\"}"), 2);
        assert_eq!(sure("{\"type\":\"a\"}\n{\"kind\":\"b\"}"), 0);
        assert_eq!(sure(""), 0);
        for (line, name) in [
            ("[1]", "no object"),
            ("{\"type\":\"x\"", "not JSON"),
            ("{\"type\":\"x\",\"type\":\"y\"}", "no event"),
            ("{\"a\":1}", "no type"),
        ] {
            assert_eq!(
                event(line.as_bytes()).body,
                Body::Unknown { name: name.into() }
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            event(&bytes);
        }

        #[test]
        fn mutated_lines(line in 0..12_usize, at in any::<prop::sample::Index>(), with in any::<u8>()) {
            let mut bytes = SESSION.lines().nth(line).unwrap().as_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = with;
            event(&bytes);
            event(&bytes[..at]);
        }
    }
}
