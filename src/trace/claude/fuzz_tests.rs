//! A small recording with every kind of line, and the reader on what is left of it after damage.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use proptest::prelude::*;

use super::*;
use crate::trace::assemble::Assembler;
use crate::trace::event::Span;
use crate::trace::records;

const CLOCK: &str = include_str!("../../../tests/recordings/claude/clock.jsonl");
const REVIEW: &str =
    include_str!("../../../tests/recordings/claude/clock/subagents/agent-b8d0ffe.jsonl");

/// Everything the reader does with a record; how many events came.
fn read(bytes: &[u8]) -> usize {
    let record = Record {
        bytes,
        span: Span::default(),
        tag: "",
    };
    let mut out = Out::default();
    Claude.events(record, &mut State::default(), &mut out);
    assert_eq!(out.counted, 1);
    let mut effects = Vec::new();
    if Claude.has_effects(record) {
        Claude.effects(record, &State::default(), &mut effects);
    }
    out.events.len()
}

fn sniff(bytes: &[u8], lines: &[Value]) -> u8 {
    Claude.sniff(&Head {
        bytes,
        whole: true,
        lines,
        name: "",
    })
}

#[test]
fn a_small_session_in_outline() {
    let mut assembler = Assembler::new("claude");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings/claude/clock.jsonl");
    let sides = Claude.sides(&path);
    let side = sides.first();
    for (text, file, side) in [(CLOCK, 0, None), (REVIEW, 1, side)] {
        records::lines(text.as_bytes(), file, 0, &mut |record| {
            let mut out = Out::default();
            Claude.events(record, &mut State::default(), &mut out);
            let effects = Claude.has_effects(record);
            assembler.take(record, out, effects, side);
        });
    }
    assembler.settle();
    let lines: Vec<String> = assembler
        .index
        .entries
        .iter()
        .map(|e| {
            let dead = if e.dead { " (dead)" } else { "" };
            format!("{}.{} {:?} {}{dead}", e.major, e.minor, e.kind, e.title)
        })
        .collect();
    let expected = include_str!("../../../tests/recordings/claude/clock.outline");
    assert_eq!(lines.join("\n"), expected.trim_end());
    let threads: Vec<_> = assembler
        .index
        .threads
        .iter()
        .map(|t| (t.agent.as_str(), t.call.is_some(), t.steps))
        .collect();
    assert_eq!(
        threads[1..],
        [("Explore", true, 3), ("reviewer", true, 3)],
        "{threads:?}"
    );
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(read(&bytes) <= 400);
        sniff(&bytes, &[]);
    }

    #[test]
    fn any_json_in_any_field(
        line in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        with in prop::sample::select(&[
            "null", "true", "-1", "1e300", "\"\"", "\"\\ud800\"", "\"x\\n\"", "[]", "[[[1]]]", "[null,{}]", "{}",
            "{\"type\":\"text\",\"text\":[]}", "{\"content\":{\"content\":{}}}", "18446744073709551616",
        ][..]),
    ) {
        let lines: Vec<&str> = CLOCK.lines().chain(REVIEW.lines()).collect();
        let line = lines[line.index(lines.len())];
        // Every value begins behind a colon or a comma; some of those stand in texts, which is as good.
        let places: Vec<usize> = line.match_indices("\":").map(|(at, _)| at + 2).collect();
        let from = places[at.index(places.len())];
        let mut stream = serde_json::Deserializer::from_str(&line[from..]).into_iter::<Value>();
        if let Some(Ok(_)) = stream.next() {
            let to = from + stream.byte_offset();
            let changed = format!("{}{with}{}", &line[..from], &line[to..]);
            prop_assert!(read(changed.as_bytes()) < 20);
            if let Ok(value) = serde_json::from_str::<Value>(&changed) {
                sniff(b"", &[value]);
            }
        }
    }

    #[test]
    fn torn_and_flipped(
        line in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        let lines: Vec<&str> = CLOCK.lines().collect();
        let mut bytes = lines[line.index(lines.len())].as_bytes().to_vec();
        let at = at.index(bytes.len());
        read(&bytes[..at]);
        read(&bytes[at..]);
        bytes[at] = with;
        read(&bytes);
    }
}

#[test]
fn deep_nesting_is_no_trouble() {
    for (open, close) in [("[", "]"), ("{\"content\":", "}")] {
        let deep = format!("{}1{}", open.repeat(5000), close.repeat(5000));
        for field in ["message", "toolUseResult", "data", "attachment", "odd"] {
            let line = format!("{{\"type\":\"user\",\"uuid\":\"u\",\"{field}\":{deep}}}");
            assert_eq!(read(line.as_bytes()), 1);
        }
    }
}
