//! The readers of documents and of the smaller agents, each against real recordings and against made ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::assemble::Assembler;
use super::event::{FileEffect, Out, Record, Span, Stage, State, What};
use super::format::{Format, Shape};
use super::gemini::GeminiDocument;
use super::index::Index;
use super::opencode::OpenCode;
use super::records;

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

    fn count(&self, kind: &str) -> usize {
        self.kinds().get(kind).copied().unwrap_or(0)
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

fn read(format: &dyn Format, bytes: &[u8]) -> Run {
    let mut assembler = Assembler::new(format.name());
    let mut state = State::default();
    let mut effects = Vec::new();
    each(format, bytes, &mut |record| {
        let mut out = Out::default();
        format.events(record, &mut state, &mut out);
        let mut parts: Vec<u16> = out.events.iter().map(|e| e.part).collect();
        parts.dedup();
        assert_eq!(parts.len(), out.events.len(), "parts are unique");
        let may = format.has_effects(record);
        let before = effects.len();
        format.effects(record, &state, &mut effects);
        assert!(
            may || effects.len() == before,
            "effects without has_effects"
        );
        assembler.take(record, out, may, None);
    });
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

#[test]
fn opencode_exports() {
    for (name, records, prompts, calls, edits) in [
        (
            "opencode/opencode__nimbus__36patches.json",
            680,
            25,
            107,
            36,
        ),
        (
            "opencode/opencode__nimbus__subtask-2patches.json",
            82,
            1,
            25,
            2,
        ),
    ] {
        let Some(bytes) = real(name) else { continue };
        let run = read(&OpenCode, &bytes);
        println!("{:?}", run.kinds());
        assert_eq!(run.index.records, records, "{name}");
        assert!(run.index.unknown.is_empty(), "{:?}", run.index.unknown);
        assert_eq!(run.count("prompt"), prompts);
        assert_eq!(run.count("call"), calls);
        let facts = &run.index.sessions[0];
        assert_eq!(facts.cwd, "/Users/nickdejesus/Code/nimbus");
        assert!(facts.id.starts_with("ses_") && facts.version.starts_with("1.2."));
        assert!(facts.model.contains("codex") && facts.start.is_some());
        let writes: Vec<_> = run
            .effects
            .iter()
            .filter(|e| matches!(e.what, What::Write(_)))
            .collect();
        assert_eq!(writes.len(), edits);
        assert!(writes.iter().all(|e| e.stage == Stage::Applied));
    }
}

#[test]
fn gemini_documents() {
    for (name, messages, calls) in [
        ("gemini-cli/gemini-cli__cli__13msgs.json", 13, 9),
        ("gemini-cli/gemini-cli__cli__6msgs.json", 6, 2),
    ] {
        let Some(bytes) = real(name) else { continue };
        let run = read(&GeminiDocument, &bytes);
        println!("{}", run.outline().join("\n"));
        assert_eq!(run.index.records, messages, "{name}");
        assert!(run.index.unknown.is_empty(), "{:?}", run.index.unknown);
        assert_eq!(run.count("call"), calls);
        let facts = &run.index.sessions[0];
        assert_eq!(facts.model, "gemini-2.5-flash");
        assert!(facts.start.is_some() && facts.id.len() == 36);
        println!("{:?}", run.effects);
    }
}
