//! The readers of documents and of the smaller agents, each against real recordings and against made ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::assemble::Assembler;
use super::atif::{Atif, AtifLines};
use super::copilot::Copilot;
use super::event::{Before, FileEffect, Out, Record, Side, Span, Stage, State, What};
use super::format::{Format, Head, Shape};
use super::gemini::{Gemini, GeminiDocument};
use super::index::Index;
use super::opencode::OpenCode;
use super::pi::Pi;
use super::records;
use proptest::strategy::Strategy as _;

use crate::model::{Status, StepKind};

/// What reading a recording gave.
struct Run {
    index: Index,
    effects: Vec<FileEffect>,
}

impl Run {
    /// How many steps of each kind (with calls by kind), markers by their first word.
    fn kinds(&self) -> BTreeMap<String, usize> {
        let mut out = BTreeMap::new();
        for e in &self.index.entries {
            let mut word = format!("{:?}", e.kind).to_lowercase();
            if word == "marker" {
                word = e.title.split(':').next().unwrap().to_owned();
            }
            *out.entry(word).or_default() += 1;
        }
        out
    }

    /// The steps as lines: number, `x` for dead, kind, status, title.
    fn outline(&self) -> Vec<String> {
        let mut entries: Vec<_> = self.index.entries.iter().collect();
        entries.sort_by_key(|e| (e.major, e.minor));
        entries
            .iter()
            .map(|e| {
                let n = e.ordinal();
                let dead = if e.dead { " dead" } else { "" };
                let agent = if e.thread == 0 { "" } else { " sub" };
                let kind = format!("{:?}", e.kind).to_lowercase();
                let status = format!("{:?}", e.status).to_lowercase();
                let status = if status == "none" {
                    String::new()
                } else {
                    format!(" {status}")
                };
                format!("{n}{dead}{agent} {kind}{status} {}", e.title)
            })
            .collect()
    }
}

fn each(format: &dyn Format, bytes: &[u8], give: &mut dyn FnMut(Record<'_>)) {
    match format.shape() {
        Shape::Lines => records::lines(bytes, 0, 0, give),
        Shape::Document(pieces) => {
            for piece in pieces(bytes) {
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

fn feed(
    format: &dyn Format,
    bytes: &[u8],
    side: Option<&Side>,
    assembler: &mut Assembler,
    effects: &mut Vec<FileEffect>,
) {
    let mut state = State::default();
    each(format, bytes, &mut |record| {
        let mut out = Out::default();
        format.events(record, &mut state, &mut out);
        let parts: HashSet<u16> = out.events.iter().map(|e| e.part).collect();
        assert_eq!(parts.len(), out.events.len(), "parts are unique");
        // Texts are read again from the record alone, by their part.
        let mut again = Out::default();
        format.events(record, &mut State::default(), &mut again);
        assert_eq!(out.events.len(), again.events.len());
        for (one, other) in out.events.iter().zip(&again.events) {
            assert_eq!((one.part, &one.body), (other.part, &other.body));
        }
        let may = format.has_effects(record);
        let before = effects.len();
        format.effects(record, &state, effects);
        assert!(
            may || effects.len() == before,
            "effects, but none announced"
        );
        assembler.take(record, out, may, side);
    });
}

fn read(format: &dyn Format, bytes: &[u8]) -> Run {
    let mut assembler = Assembler::new(format.name());
    let mut effects = Vec::new();
    feed(format, bytes, None, &mut assembler, &mut effects);
    assembler.settle();
    Run {
        index: assembler.index,
        effects,
    }
}

/// A recording of the set of real ones, if it is on this machine.
fn real(name: &str) -> Option<Vec<u8>> {
    let dir = std::env::var_os("BACKTRAIL_TRACES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/traces"),
        PathBuf::from,
    );
    let bytes = std::fs::read(dir.join(name)).ok();
    if bytes.is_none() {
        eprintln!("skipped: {name} is not here");
    }
    bytes
}

/// Kinds of steps and how many, as `call 68, prompt 1`.
fn kinds(run: &Run) -> String {
    let all: Vec<String> = run
        .kinds()
        .iter()
        .map(|(kind, n)| format!("{kind} {n}"))
        .collect();
    all.join(", ")
}

/// Reads a real recording; checks the count of its records and that all of it was understood.
fn real_run(format: &dyn Format, name: &str, records: u64) -> Option<Run> {
    let run = read(format, &real(name)?);
    assert_eq!(run.index.records, records, "{name}");
    assert!(run.index.unknown.is_empty(), "{:?}", run.index.unknown);
    let facts = &run.index.sessions[0];
    assert!(!facts.id.is_empty() && !facts.agent.is_empty(), "{facts:?}");
    assert!(!facts.model.is_empty(), "{facts:?}");
    let tokens = run.index.tokens();
    assert!(
        tokens.output > 0 || name.contains("login-trace"),
        "{tokens:?}"
    );
    let open = run
        .index
        .entries
        .iter()
        .filter(|e| e.kind == StepKind::Call && e.output.is_none())
        .count();
    // The derived document ends with a call whose result it does not have; the others were interrupted.
    assert_eq!(
        open,
        if name.contains("derived") {
            1
        } else if name.contains("pi__") {
            6
        } else {
            0
        },
        "{name}"
    );
    Some(run)
}

/// The effects that write whole contents and tell what was there fit to one another: each finds what the one before left.
fn chained(effects: &[FileEffect]) -> usize {
    let mut files: BTreeMap<&str, &str> = BTreeMap::new();
    let mut checked = 0;
    for e in effects {
        let What::Write(after) = &e.what else {
            continue;
        };
        if let (Before::Content(before), Some(known)) = (&e.before, files.get(e.path.as_str())) {
            assert_eq!(before, known, "{}", e.path);
            checked += 1;
        }
        files.insert(&e.path, after);
    }
    checked
}

#[test]
fn opencode_exports() {
    let name = "opencode/opencode__nimbus__36patches.json";
    if let Some(run) = real_run(&OpenCode, name, 680) {
        assert_eq!(
            kinds(&run),
            "call 107, context 3, message 24, prompt 25, thought 88"
        );
        let facts = &run.index.sessions[0];
        assert_eq!(facts.cwd, "/Users/nickdejesus/Code/nimbus");
        assert_eq!(facts.model, "gpt-5.3-codex");
        assert!(facts.start.is_some() && facts.title.contains("Report UI"));
        let told = |e: &&FileEffect| matches!(e.what, What::Write(_));
        assert_eq!(run.effects.iter().filter(told).count(), 36);
        assert!(chained(&run.effects) > 5);
        let calls: HashSet<&str> = run.effects.iter().filter(told).map(|e| &*e.call).collect();
        assert_eq!(calls.len(), 36, "each edit has a call of its own");
    }
    let name = "opencode/opencode__nimbus__subtask-2patches.json";
    if let Some(run) = real_run(&OpenCode, name, 82) {
        assert_eq!(kinds(&run), "call 25, message 1, prompt 1, thought 12");
        assert_eq!(
            run.index.sessions[0].parent,
            "ses_336ebe11bffePlPIwBobiYzDoC"
        );
    }
}

#[test]
fn gemini_documents() {
    let name = "gemini-cli/gemini-cli__cli__13msgs.json";
    if let Some(run) = real_run(&GeminiDocument, name, 13) {
        assert_eq!(
            kinds(&run),
            "call 9, message 10, note 1, prompt 1, thought 15"
        );
        assert!(
            run.index
                .entries
                .iter()
                .all(|e| e.exit.is_none_or(|c| c == 0))
        );
        assert_eq!(run.effects.len(), 3);
        assert_eq!(run.effects[0].before, Before::Absent);
    }
    let name = "gemini-cli/gemini-cli__cli__6msgs.json";
    if let Some(run) = real_run(&GeminiDocument, name, 6) {
        assert_eq!(kinds(&run), "call 2, message 2, prompt 2, thought 6");
    }
}

#[test]
fn copilot_events() {
    let name = "copilot-cli/copilot-cli__agentv__68tools.jsonl";
    let Some(run) = real_run(&Copilot, name, 551) else {
        return;
    };
    assert_eq!(
        kinds(&run),
        "call 68, context 1, message 9, mode 1, note 1, prompt 1, thought 22"
    );
    assert_eq!(run.index.answers.len(), 54);
    let facts = &run.index.sessions[0];
    assert_eq!(facts.commit, "cbee02b54dc39c0c5333939d77d5c4bbe02d2d74");
    // The file was viewed, then edited in one place.
    let [seen, edit] = run.effects.as_slice() else {
        panic!("{:?}", run.effects);
    };
    let What::SeenPart { text, from: 1, of } = &seen.what else {
        panic!("{seen:?}");
    };
    assert_eq!(text.lines().count(), *of);
    let What::Replace(pairs) = &edit.what else {
        panic!("{edit:?}");
    };
    assert_eq!((edit.stage, seen.stage), (Stage::Declared, Stage::Applied));
    assert_eq!(seen.path, edit.path);
    assert!(
        text.contains(&pairs[0].old) && serde_json::from_str::<serde_json::Value>(text).is_ok()
    );
}

#[test]
fn pi_sessions() {
    let Some(run) = real_run(&Pi, "pi/pi__before-compaction.jsonl", 1003) else {
        return;
    };
    assert_eq!(
        kinds(&run),
        "api-error 1, call 457, compaction 2, fork 1, interrupt 18, message 253, model 10, prompt 55, thought 49"
    );
    assert!(run.index.entries.iter().all(|e| !e.dead));
    assert_eq!(run.effects.len(), 141);
    let unlike = |e: &&FileEffect| e.cwd.as_deref() != Some("/Users/badlogic/workspaces/pi-mono");
    assert_eq!(run.effects.iter().find(unlike), None);
}

#[test]
fn atif_documents() {
    if let Some(run) = real_run(&Atif, "atif/atif__openagents-login-trace.json", 7) {
        assert_eq!(kinds(&run), "call 6, message 6, prompt 1, thought 6");
    }
    let name = "derived/atif__from-claude-markdown-10edits.json";
    if let Some(run) = real_run(&Atif, name, 12) {
        assert_eq!(kinds(&run), "call 28, message 6, prompt 2");
        assert_eq!(run.effects.len(), 11);
        let failed = |e: &&super::index::Entry| e.status == Status::Error;
        assert_eq!(run.index.entries.iter().filter(failed).count(), 1);
    }
}

/// Reads a made recording with the files that belong to it; its steps and effects are as they were written down.
fn made(format: &dyn Format, name: &str, written: &str) -> Run {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("tests/recordings").join(name);
    let bytes = std::fs::read(&path).unwrap();
    let mut assembler = Assembler::new(format.name());
    let mut effects = Vec::new();
    feed(format, &bytes, None, &mut assembler, &mut effects);
    for side in format.sides(&path) {
        let bytes = std::fs::read(&side.path).unwrap();
        feed(format, &bytes, Some(&side), &mut assembler, &mut effects);
    }
    assembler.settle();
    let index = assembler.index;
    let run = Run { index, effects };
    let mut text = run.outline().join("\n");
    for e in &run.effects {
        let call = if e.call.is_empty() {
            "no call"
        } else {
            &e.call
        };
        text.push_str(&format!(
            "\n{:?} by {call}: {} was {:?}: {:?}",
            e.stage, e.path, e.before, e.what
        ));
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(root.join("snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(format!("trace__{written}"), text));
    run
}

#[test]
fn made_gemini_with_rewind_and_replaced_history() {
    let name = "gemini/session-2026-03-01T10-00-aaaa0001.jsonl";
    let run = made(&Gemini, name, "gemini");
    let facts = &run.index.sessions[0];
    assert_eq!(
        (&*facts.cwd, &*facts.title),
        ("/home/ann/shop", "Greeting Ann")
    );
    // Messages that were written several times cost once; what came from the cache is no fresh input.
    let tokens = run.index.tokens();
    assert_eq!(
        (tokens.input, tokens.cache_read),
        (600 + 200 + 150 + 300 + 100, 400 + 900 + 900)
    );
    assert_eq!(run.index.records, 20);
}

#[test]
fn made_pi_tree() {
    let name = "pi/2026-03-02T09-00-00-000Z_bbbb0001-0000-4000-8000-000000000001.jsonl";
    let run = made(&Pi, name, "pi");
    let facts = &run.index.sessions[0];
    assert_eq!(facts.parent, "bbbb0000-0000-4000-8000-000000000000");
    assert_eq!(facts.title, "Prices are numbers");
    assert_eq!(run.index.entries.iter().find_map(|e| e.exit), Some(3));
}

#[test]
fn made_copilot() {
    let run = made(&Copilot, "copilot/events.jsonl", "copilot");
    assert_eq!(run.index.sessions[0].branch, "main");
    assert_eq!(run.index.threads[1].agent, "explore");
    assert_eq!(run.index.tokens().output, 77);
}

#[test]
fn made_opencode() {
    let run = made(&OpenCode, "opencode/revert.json", "opencode");
    // The output holds the reasoning or not: the total tells.
    // A compaction is no answer.
    assert_eq!(run.index.tokens().output, 30);
    assert_eq!(run.index.records, 24);
}

#[test]
fn made_atif() {
    let run = made(&Atif, "atif/subagents.json", "atif");
    let tokens = run.index.tokens();
    assert_eq!((tokens.input, tokens.cache_read), (250, 800));
    made(&AtifLines, "atif/lines.jsonl", "atif_lines");
}

/// A data set: a whole document in each line. Each is read, whichever of the two readers is taken.
#[test]
fn atif_documents_a_line_each() {
    let document = |session: &str, call: &str, text: &str| {
        serde_json::json!({"schema_version": "ATIF-v1.7", "session_id": session, "agent": {"name": "tester"}, "steps": [
            {"step_id": 1, "source": "user", "message": text},
            {"step_id": 2, "source": "agent", "message": "done", "tool_calls": [{"tool_call_id": call,
                "function_name": "Write", "arguments": {"file_path": format!("/w/{call}"), "content": "y"}}],
                "observation": {"results": [{"source_call_id": call, "content": "ok"}]}},
        ], "subagent_trajectories": [{"trajectory_id": format!("sub-{session}"), "steps": [
            {"step_id": 1, "source": "agent", "message": "below"}]}]})
        .to_string()
    };
    let lines = format!(
        "{}\n{}\n\n{}\n",
        document("s-1", "c1", "one"),
        document("s-2", "c2", "two"),
        document("s-3", "c3", "three {")
    );
    for format in [&Atif as &dyn Format, &AtifLines] {
        let run = read(format, lines.as_bytes());
        let name = format.name();
        assert_eq!(kinds(&run), "call 3, message 6, prompt 3", "{name}");
        let ids: Vec<&str> = run.index.sessions.iter().map(|s| s.id.as_str()).collect();
        assert_eq!(ids, ["s-1", "s-2", "s-3"], "{name}");
        let paths: Vec<&str> = run.effects.iter().map(|e| e.path.as_str()).collect();
        assert_eq!(paths, ["/w/c1", "/w/c2", "/w/c3"], "{name}");
        assert_eq!(run.index.records, 9, "{name}");
        // Each step lies in its own session.
        let own = |title: &str| {
            let entry = run.index.entries.iter().find(|e| &*e.title == title);
            entry.unwrap().session
        };
        assert_eq!(
            [own("one"), own("two"), own("three {")],
            [0, 1, 2],
            "{name}"
        );
    }
}

const MINE: [&dyn Format; 7] = [
    &OpenCode,
    &Gemini,
    &GeminiDocument,
    &Copilot,
    &Pi,
    &Atif,
    &AtifLines,
];

/// Every made recording cut off anywhere, and with bytes turned over, reads without harm.
#[test]
fn damaged_recordings_do_no_harm() {
    for (format, name) in [
        (MINE[0], "opencode/revert.json"),
        (MINE[1], "gemini/session-2026-03-01T10-00-aaaa0001.jsonl"),
        (MINE[3], "copilot/events.jsonl"),
        (MINE[5], "atif/subagents.json"),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
        let bytes = std::fs::read(path.join(name)).unwrap();
        let whole = read(format, &bytes).index.entries.len();
        for cut in (0..bytes.len()).step_by(97) {
            let run = read(format, &bytes[..cut]);
            assert!(run.index.entries.len() <= whole + 2, "{name} cut at {cut}");
        }
        for at in (0..bytes.len()).step_by(61) {
            let mut other = bytes.clone();
            other[at] ^= 0x24;
            read(format, &other);
        }
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(
        parts in proptest::collection::vec(proptest::prop_oneof![
            proptest::sample::select(&[
                "{", "}", "[", "]", ",", ":", "\"", "\n", "null", "1e999", "-1", "true", "\"\\ud800\"",
                "\"messages\":[", "\"parts\":[", "\"steps\":[", "\"info\":{", "\"type\":", "\"tool\"",
                "\"role\":\"assistant\"", "\"toolCalls\":[", "\"$set\":{", "\"$rewindTo\":\"x\"", "\"data\":{",
                "\"session.start\"", "\"id\":\"x\"", "\"message\":{", "\"content\":[", "\"source\":\"agent\"",
                "\"subagent_trajectories\":[", "\"trajectory_id\":\"x\"", "\"state\":{", "\"filePath\":\"../x\"",
            ][..]).prop_map(|s| s.as_bytes().to_vec()),
            proptest::collection::vec(proptest::prelude::any::<u8>(), 0..6),
        ], 0..40)
    ) {
        let bytes = parts.concat();
        let head = Head { bytes: &bytes, whole: true, lines: &[], name: "" };
        for format in MINE {
            format.sniff(&head);
            read(format, &bytes);
        }
    }
}
