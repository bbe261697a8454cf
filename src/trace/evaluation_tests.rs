//! The readers of aider's histories and of what evaluations write, against real recordings and small ones made here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value;

use super::assemble::Assembler;
use super::event::{FileEffect, Out, Record, Span, Stage, State, What};
use super::format::{Format, Head, Shape, by_name, recognise};
use super::index::Index;
use super::records;

fn head<'a>(bytes: &'a [u8], lines: &'a [Value], name: &'a str) -> Head<'a> {
    Head {
        bytes: &bytes[..bytes.len().min(65536)],
        whole: bytes.len() <= 65536,
        lines,
        name,
    }
}

fn each(format: &dyn Format, bytes: &[u8], give: &mut dyn FnMut(Record<'_>)) {
    match format.shape() {
        Shape::Lines => records::lines(bytes, 0, 0, give),
        Shape::Document(cut) => {
            for piece in cut(bytes) {
                give(Record {
                    bytes: &bytes[piece.range.clone()],
                    span: Span {
                        file: 0,
                        offset: piece.range.start as u64,
                        len: u32::try_from(piece.range.len()).unwrap(),
                    },
                    tag: piece.tag,
                });
            }
        }
    }
}

fn run(format: &dyn Format, bytes: &[u8]) -> (Index, Vec<FileEffect>) {
    let mut assembler = Assembler::new(format.name());
    let mut state = State::default();
    let mut effects = Vec::new();
    each(format, bytes, &mut |record| {
        let mut out = Out::default();
        format.events(record, &mut state, &mut out);
        let has = format.has_effects(record);
        let before = effects.len();
        format.effects(record, &state, &mut effects);
        assert!(has || effects.len() == before);
        // What a record gives does not depend on what came before it.
        let mut again = Out::default();
        format.events(record, &mut State::default(), &mut again);
        assert_eq!(out.events.len(), again.events.len());
        for (one, other) in out.events.iter().zip(&again.events) {
            assert_eq!(one.part, other.part);
            let kinds = [&one.body, &other.body].map(std::mem::discriminant);
            // But that what is copied from another session is told more shortly.
            assert!(kinds[0] == kinds[1] || matches!(one.body, super::event::Body::Link));
        }
        assembler.take(record, out, has, None);
    });
    assembler.settle();
    (assembler.index, effects)
}

fn outline(index: &Index) -> Vec<String> {
    let line = |e: &super::index::Entry| {
        let status = format!("{:?}", e.status).replace("None", "");
        format!("{:?} {status} {}", e.kind, e.title)
            .to_lowercase()
            .replace("  ", " ")
    };
    index.entries.iter().map(line).collect()
}

fn made(path: &str) -> Vec<u8> {
    std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/recordings")
            .join(path),
    )
    .unwrap()
}

#[test]
fn real_recordings_are_recognised_and_counted() {
    let dir = std::env::var_os("BACKTRAIL_TRACES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/traces"),
        PathBuf::from,
    );
    let Ok(index) = std::fs::read(dir.join("INDEX.json")) else {
        eprintln!("skipped: no real recordings here (BACKTRAIL_TRACES names their directory)");
        return;
    };
    let index: Vec<Value> = serde_json::from_slice(&index).unwrap();
    let mut seen = 0;
    for entry in &index {
        let agent = entry["agent"].as_str().unwrap();
        if !["aider", "swe-agent", "mini-swe-agent", "openhands", "codex"].contains(&agent) {
            continue;
        }
        let file = entry["file"].as_str().unwrap();
        let bytes = std::fs::read(dir.join(file)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<Value> = text
            .lines()
            .take(20)
            .filter_map(|l| serde_json::from_str(l).ok())
            .filter(Value::is_object)
            .collect();
        let format = recognise(&head(&bytes, &lines, file)).unwrap();
        assert_eq!(format.name(), agent, "{file}");
        let (index, _) = run(format, &bytes);
        assert_eq!(index.records, entry["events"].as_u64().unwrap(), "{file}");
        assert!(index.unknown.is_empty(), "{file}: {:?}", index.unknown);
        seen += 1;
    }
    assert_eq!(seen, 12);
}

#[test]
fn a_history_of_aider() {
    let (index, effects) = run(by_name("aider").unwrap(), &made("aider/small.md"));
    assert_eq!(
        outline(&index),
        [
            "marker session: started at 2026-03-01 10:00:00",
            "marker note: git repo: .git with 3 files",
            "prompt say hello louder",
            "message here is the change:",
            "call ok hello.py",
            "call error other.py",
            "marker note: commit fd43cd4 feat: say hello louder",
            "prompt /exit",
            "marker session: started at 2026-03-02 09:00:00",
            "marker interrupt: ^c keyboardinterrupt",
        ]
    );
    assert_eq!(index.records, 3, "lines that were typed");
    assert_eq!(index.sessions[0].model, "sonnet");
    let usage = index.answers[0].usage;
    assert_eq!(
        (usage.input, usage.output, usage.cache_read),
        (5244, 604, 1500)
    );
    // Only what the tool says it applied.
    assert_eq!(effects.len(), 1);
    let What::Replace(pairs) = &effects[0].what else {
        panic!("{effects:?}")
    };
    assert_eq!(pairs[0].old, "print(\"hello\")\n");
    assert!(pairs[0].new.starts_with("> not the tool's"));
}

#[test]
fn a_trajectory_of_swe_agent() {
    let (index, effects) = run(by_name("swe-agent").unwrap(), &made("swe-agent/small.traj"));
    assert_eq!(
        outline(&index),
        [
            "marker context: you are a programmer.",
            "marker context: a demonstration.",
            "prompt fix the thing.",
            "thought i begin.",
            "call ok create a.py",
            "thought now the text.",
            "call error edit 1:1",
            "thought another file.",
            "call ok str_replace_editor create /w/b.py --file_text 'it'\"'\"'s",
            "thought done.",
            "call ok submit",
            "marker session: ended: submitted",
        ]
    );
    assert_eq!(index.records, 4);
    let whats: Vec<(&str, &What)> = effects.iter().map(|e| (&*e.path, &e.what)).collect();
    assert_eq!(
        whats,
        [
            ("a.py", &What::Changed),
            ("/w/b.py", &What::Write("it's\n".into()))
        ]
    );
}

#[test]
fn a_trajectory_of_mini_swe_agent() {
    let format = by_name("mini-swe-agent").unwrap();
    let bytes = made("mini-swe-agent/small.traj.json");
    assert!(format.sniff(&head(&bytes, &[], "")) > 90);
    let (index, _) = run(format, &bytes);
    assert_eq!(
        outline(&index),
        [
            "marker context: you are helpful.",
            "prompt fix the thing.",
            "message thought: look",
            "call error ls -l",
            "message i am lost.",
            "call ok no command",
            "call ok echo done",
            "marker session: ended: submitted",
        ]
    );
    assert_eq!(index.entries[3].exit, Some(2));
    assert_eq!(index.sessions[0].version, "1.9");
    assert_eq!(index.records, 9);
}

#[test]
fn an_output_of_openhands() {
    let (index, effects) = run(
        by_name("openhands").unwrap(),
        &made("openhands/small.jsonl"),
    );
    assert_eq!(
        outline(&index),
        [
            "marker context: you are.",
            "prompt fix it.",
            "thought i run it.",
            "call error false",
            "call ok /w/a",
            "call ok /w/a",
            "call error /w/a",
            "marker note: error: parameter missing",
            "message done.",
            "prompt fix it.",
        ]
    );
    assert_eq!(index.records, 2);
    let ids: Vec<&str> = index.sessions.iter().map(|s| &*s.id).collect();
    assert_eq!(ids, ["a-1", "a-2"]);
    assert_eq!(effects.len(), 2);
    assert!(effects.iter().all(|e| e.stage == Stage::Applied));
    assert_eq!(effects[0].what, What::Write("x\n".into()));
    assert_eq!(effects[1].call, "a-1:6");
    let sum: u64 = index.answers.iter().map(|a| a.usage.input).sum();
    assert_eq!(sum, 30);
}

const MADE: [(&str, &str); 4] = [
    ("aider", "aider/small.md"),
    ("swe-agent", "swe-agent/small.traj"),
    ("mini-swe-agent", "mini-swe-agent/small.traj.json"),
    ("openhands", "openhands/small.jsonl"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn mutated_recordings_do_no_harm(
        which in 0usize..4,
        end in any::<prop::sample::Index>(),
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0u8..3, any::<u8>()), 0..10)
    ) {
        let (name, path) = MADE[which];
        let mut bytes = made(path);
        for (at, what, byte) in cuts {
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => { bytes.remove(at); }
                _ => bytes.insert(at, b"\"{}[]\\,:>#`\n"[usize::from(byte) % 12]),
            }
        }
        bytes.truncate(1 + end.index(bytes.len() * 2));
        let format = by_name(name).unwrap();
        format.sniff(&head(&bytes, &[], name));
        run(format, &bytes);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        for (name, _) in MADE {
            let format = by_name(name).unwrap();
            format.sniff(&head(&bytes, &[], name));
            run(format, &bytes);
        }
    }
}
