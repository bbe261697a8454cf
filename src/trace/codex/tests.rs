#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]
//! The reader against real recordings and against records made here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::*;
use crate::model::StepKind;
use crate::trace::assemble::Assembler;
use crate::trace::event::{Stage, What};
use crate::trace::index::{Entry, Index};
use crate::trace::patch::{self, FilePatch};
use crate::trace::records;

struct Run {
    index: Index,
    effects: Vec<FileEffect>,
}

fn run(bytes: &[u8]) -> Run {
    let mut assembler = Assembler::new("codex");
    let mut state = State::default();
    let mut effects = Vec::new();
    records::lines(bytes, 0, 0, &mut |record| {
        let mut out = Out::default();
        Codex.events(record, &mut state, &mut out);
        let has = Codex.has_effects(record);
        let before = effects.len();
        Codex.effects(record, &state, &mut effects);
        assert!(
            has || effects.len() == before,
            "effects that were not promised"
        );
        // What a record gives does not depend on what came before it.
        let mut again = Out::default();
        Codex.events(record, &mut State::default(), &mut again);
        assert_eq!(out.events.len(), again.events.len());
        assembler.take(record, out, has, None);
    });
    assembler.settle();
    Run {
        index: assembler.index,
        effects,
    }
}

fn shared() -> Option<PathBuf> {
    let dir = std::env::var_os("BACKTRAIL_TRACES").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/traces")),
        PathBuf::from,
    );
    let there = dir.join("INDEX.json").exists();
    if !there {
        eprintln!("skipped: no real recordings at {}", dir.display());
    }
    there.then_some(dir)
}

#[test]
fn real_recordings_are_understood_whole() {
    let Some(dir) = shared() else { return };
    let index: Vec<Value> =
        serde_json::from_slice(&std::fs::read(dir.join("INDEX.json")).unwrap()).unwrap();
    let mut seen = 0;
    for entry in index.iter().filter(|e| e["agent"] == "codex") {
        let file = entry["file"].as_str().unwrap();
        let run = run(&std::fs::read(dir.join(file)).unwrap());
        assert_eq!(
            run.index.records,
            entry["events"].as_u64().unwrap(),
            "{file}"
        );
        assert!(
            run.index.unknown.is_empty(),
            "{file}: {:?}",
            run.index.unknown
        );
        let facts = &run.index.sessions[0];
        assert_eq!(facts.version, entry["agent_version"].as_str().unwrap());
        assert_eq!(facts.commit, entry["start_commit"].as_str().unwrap());
        seen += 1;
    }
    assert_eq!(seen, 7);
}

/// Git's id of a blob.
fn blob(text: &str) -> String {
    match crate::model::Known::of(text.as_bytes()) {
        crate::model::Known::Content { git_sha1, .. } => {
            git_sha1.iter().map(|b| format!("{b:02x}")).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// Files that a recording itself creates are known from then on, from the records of applied patches as well as from the
/// patches in the calls.
#[test]
fn created_files_are_as_the_truth_says() {
    let Some(dir) = shared() else { return };
    let mut checked = 0;
    for name in ["codex__graph__codemode-exec", "codex__agentv__2compacted"] {
        let run = run(&std::fs::read(dir.join(format!("codex/{name}.jsonl"))).unwrap());
        let truth: Value = serde_json::from_slice(
            &std::fs::read(dir.join(format!("oracle/{name}.json"))).unwrap(),
        )
        .unwrap();
        let cwd = truth["cwd"].as_str().unwrap();
        let steps = truth["steps"].as_array().unwrap();
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        let mut declared = 0;
        for effect in &run.effects {
            let path = effect
                .path
                .strip_prefix(cwd)
                .unwrap()
                .trim_start_matches('/');
            let before = files.get(path).cloned();
            let after = match (&effect.what, &before) {
                (What::Write(text), _) => text.clone(),
                (What::Unified(diff), Some(old)) => patch::apply_unified(old, diff).unwrap(),
                (What::Patch(FilePatch::Update { hunks }), Some(old)) => {
                    patch::apply(old, hunks).unwrap()
                }
                _ => continue,
            };
            if effect.stage == Stage::Declared {
                // The result that follows tells the same: the patch as it was written must lead to it.
                let id = &effect.call;
                let step = steps
                    .iter()
                    .find(|s| s["tool_use_id"] == **id && s["path"] == path);
                if let Some(step) = step {
                    assert_eq!(blob(&after), step["after"].as_str().unwrap());
                    declared += 1;
                }
                continue;
            }
            let step = steps
                .iter()
                .find(|s| s["tool_use_id"] == effect.call.as_str() && s["path"] == path)
                .unwrap();
            assert_eq!(
                step["before"].as_str(),
                before.as_deref().map(blob).as_deref()
            );
            assert_eq!(
                step["after"].as_str().unwrap(),
                blob(&after),
                "{name} {path}"
            );
            if let What::Unified(diff) = &effect.what {
                assert_eq!(patch::revert_unified(&after, diff).ok(), before);
            }
            files.insert(path.to_owned(), after);
            checked += 1;
        }
        assert!(declared > 0, "{name}");
    }
    assert_eq!(checked, 12);
}

fn count(entries: &[Entry], kind: StepKind, thread: u16) -> usize {
    entries
        .iter()
        .filter(|e| e.kind == kind && e.thread == thread)
        .count()
}

#[test]
fn a_subagent_is_told_apart_from_the_conversation_it_was_given() {
    let Some(dir) = shared() else { return };
    let run =
        run(&std::fs::read(dir.join("codex/codex__gitsync__spawned-subagent.jsonl")).unwrap());
    let entries = &run.index.entries;
    assert_eq!(count(entries, StepKind::Prompt, 0), 1);
    assert_eq!(count(entries, StepKind::Prompt, 1), 8);
    assert_eq!(count(entries, StepKind::Call, 0), 32);
    assert_eq!(run.index.sessions.len(), 2);
    assert_eq!(run.index.sessions[0].title, "explorer Carson");
    assert!(run.effects.iter().all(|e| e.stage == Stage::Declared));
    assert_eq!(run.effects.len(), 6);
}

#[test]
fn tokens_are_those_of_the_whole_session() {
    let Some(dir) = shared() else { return };
    let run = run(&std::fs::read(dir.join("codex/codex__gitsync__short-4patches.jsonl")).unwrap());
    let sum = run.index.answers.iter().fold((0, 0, 0), |a, x| {
        (
            a.0 + x.usage.input,
            a.1 + x.usage.output,
            a.2 + x.usage.cache_read,
        )
    });
    assert_eq!(sum, (48090, 3765, 235_648));
}
