//! Reads what the generator of large transcripts makes: so that benchmarks measure what the reader takes for real.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;

use super::*;
use crate::trace::event::{Before, Body, Span, Stage, What};

#[path = "../../../benches/generate/mod.rs"]
mod generate;

#[derive(serde::Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    name: String,
}

#[test]
fn made_transcripts_read_and_replay() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("made.jsonl");
    let made = generate::claude_with(&path, 6_000, 3_000_000, 7, 200_000).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!((made.lines, made.bytes), (6_000, bytes.len() as u64));
    assert!(
        bytes.len().abs_diff(3_200_000) < 150_000,
        "{} bytes",
        bytes.len()
    );
    let (mut prompts, mut calls, mut results, mut changes, mut outside) = (0, 0, 0, 0, 0);
    let mut longest = 0;
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for line in bytes.strip_suffix(b"\n").unwrap().split(|b| *b == b'\n') {
        longest = longest.max(line.len());
        let record = Record {
            bytes: line,
            span: Span::default(),
            tag: "",
        };
        let kind: Kind = serde_json::from_slice(line).unwrap();
        *kinds.entry(kind.name).or_default() += 1;
        let mut out = Out::default();
        Claude.events(record, &mut State::default(), &mut out);
        for event in out.events {
            let main = event.thread.is_empty();
            match event.body {
                Body::Prompt(_) => prompts += 1,
                Body::Call(_) if main => calls += 1,
                Body::Result(_) if main => results += 1,
                Body::Unknown { name } => panic!("unknown {name}"),
                _ => {}
            }
        }
        let mut effects = Vec::new();
        Claude.effects(record, &State::default(), &mut effects);
        assert!(effects.is_empty() || Claude.has_effects(record));
        for effect in effects.into_iter().filter(|e| e.stage == Stage::Applied) {
            let known = files.get(&effect.path);
            let text = match effect.what {
                What::Seen(text) => {
                    assert_eq!(Some(&text), known);
                    continue;
                }
                What::Write(text) => {
                    let before = match effect.before {
                        Before::Content(text) => Some(text),
                        _ => None,
                    };
                    assert_eq!(before.as_ref(), known);
                    text
                }
                What::Replace(all) => {
                    let Before::Content(before) = effect.before else {
                        panic!("an edit without a before")
                    };
                    outside += u64::from(Some(&before) != known);
                    assert!(before.contains(&all[0].old));
                    before.replacen(&all[0].old, &all[0].new, 1)
                }
                other => panic!("{other:?}"),
            };
            changes += 1;
            files.insert(effect.path, text);
        }
    }
    assert_eq!(prompts, made.prompts);
    assert!(
        made.calls - calls <= 1 && calls - results <= 2,
        "the last ones may be cut off"
    );
    assert_eq!((changes, outside), (made.changes, made.outside));
    assert_eq!(files, made.files);
    assert!(changes > 40, "{changes}");
    assert!(outside > 0 && made.rewinds > 0);
    assert!(longest > 200_000);
    let share = |kind: &str| kinds[kind] * 100 / made.lines;
    println!("{kinds:?} {changes} changes");
    assert!((35..50).contains(&share("assistant")), "{kinds:?}");
    assert!((18..30).contains(&share("user")), "{kinds:?}");
    assert!((18..32).contains(&share("progress")), "{kinds:?}");
    let again = dir.path().join("again.jsonl");
    generate::claude_with(&again, 6_000, 3_000_000, 7, 200_000).unwrap();
    assert!(
        std::fs::read(again).unwrap() == bytes,
        "the same for the same seed"
    );
}
