//! The order of what several agents did to files, and ids of calls that are used again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::replay::{Made, Replay};
use crate::model::{CommitId, Entry, Kind, Ordinal};
use crate::store::Store;
use crate::trace::format::by_name;
use crate::trace::recording::Recording;

/// A call that writes a file, at that second.
fn call(second: u32, id: &str, path: &str, content: &str) -> String {
    line(
        second,
        &format!("c-{id}-{second}"),
        "assistant",
        &json!([
            {"type": "tool_use", "id": id, "name": "Write",
             "input": {"file_path": format!("/w/{path}"), "content": content}}
        ]),
    )
}

fn done(second: u32, id: &str) -> String {
    line(
        second,
        &format!("r-{id}-{second}"),
        "user",
        &json!([
            {"type": "tool_result", "tool_use_id": id, "content": "File created successfully"}
        ]),
    )
}

fn say(second: u32, text: &str) -> String {
    line(
        second,
        &format!("t-{second}"),
        "assistant",
        &json!([{"type": "text", "text": text}]),
    )
}

fn line(second: u32, uuid: &str, role: &str, content: &serde_json::Value) -> String {
    json!({
        "type": role, "uuid": uuid, "sessionId": "s", "cwd": "/w",
        "timestamp": format!("2026-01-01T00:00:{second:02}Z"),
        "message": {"role": role, "id": uuid, "content": content},
    })
    .to_string()
        + "\n"
}

struct Run {
    recording: Recording,
    store: Arc<Store>,
    made: Made,
    _dir: tempfile::TempDir,
}

fn run(main: &str, side: Option<(&str, &str)>) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.jsonl");
    std::fs::write(&path, main).unwrap();
    if let Some((call, lines)) = side {
        let below = dir.path().join("s/subagents");
        std::fs::create_dir_all(&below).unwrap();
        std::fs::write(below.join("agent-a.jsonl"), lines).unwrap();
        let meta = json!({"agentType": "x", "toolUseId": call}).to_string();
        std::fs::write(below.join("agent-a.meta.json"), meta).unwrap();
    }
    let recording = Recording::open(Path::new(&path), by_name("claude").unwrap()).unwrap();
    recording.read_all(true, &|_| {}).unwrap();
    let store = Arc::new(Store::open(&dir.path().join("store")).unwrap());
    let mut replay = Replay::new(Arc::clone(&store), &recording, None);
    replay.take(&recording).unwrap();
    let made = replay.settle(&recording).unwrap();
    Run {
        recording,
        store,
        made,
        _dir: dir,
    }
}

impl Run {
    /// The content of a file in a state.
    fn cat(&self, commit: CommitId, path: &str) -> Option<String> {
        let tree = self.store.commit(commit).unwrap().tree;
        let tree = self.store.tree(tree).unwrap();
        let found = |e: &&Entry| e.name == path.as_bytes();
        match &tree.entries.iter().find(found)?.kind {
            Kind::File { blob, .. } => {
                Some(String::from_utf8(self.store.blob(*blob).unwrap()).unwrap())
            }
            _ => None,
        }
    }

    fn before(&self, major: u64, minor: u32) -> CommitId {
        let at = Ordinal { major, minor };
        let by_number = || self.made.by_step.range(..at).next_back().map(|(_, id)| *id);
        self.made
            .before
            .get(&at)
            .copied()
            .or_else(by_number)
            .unwrap()
    }
}

#[test]
fn numbers_are_not_time() {
    let task = line(
        1,
        "task",
        "assistant",
        &json!([
            {"type": "tool_use", "id": "toolu_task", "name": "Task", "input": {"prompt": "look"}}
        ]),
    );
    let side =
        call(9, "toolu_side_0123456789", "late", "late\n") + &done(10, "toolu_side_0123456789");
    let main = task + &say(2, "meanwhile") + &say(20, "and then");
    let run = run(&main, Some(("toolu_task", &side)));
    assert!(
        run.made
            .by_step
            .contains_key(&Ordinal { major: 1, minor: 1 })
    );
    assert_eq!(run.cat(run.before(2, 0), "late"), None);
    assert_eq!(run.cat(run.before(3, 0), "late").as_deref(), Some("late\n"));
}

#[test]
fn a_clock_that_steps_back_changes_no_order() {
    let a = "toolu_a_0123456789abc";
    let b = "toolu_b_0123456789abc";
    let main = call(30, a, "f", "one\n") + &done(31, a) + &call(5, b, "f", "two\n") + &done(6, b);
    let side = say(1, "here");
    let run = run(&main, Some(("none", &side)));
    let head = *run.made.commits.last().unwrap();
    assert_eq!(run.cat(head, "f").as_deref(), Some("two\n"));
}

#[test]
fn calls_with_the_same_id_all_count() {
    let mut main = String::new();
    for n in 0..5 {
        main += &call(n * 2, "call_0", &format!("f{n}"), "x\n");
        main += &done(n * 2 + 1, "call_0");
    }
    let run = run(&main, None);
    assert_eq!(run.recording.with(|i| i.entries.len()), 5);
    // The state at the start, and one for each.
    assert_eq!(run.made.commits.len(), 6);
    let ids: Vec<_> = run
        .made
        .effects
        .iter()
        .map(|e| e.tool_call_id.as_deref())
        .collect();
    assert_eq!(ids, [Some("call_0"); 5]);
    let steps: Vec<_> = run
        .made
        .effects
        .iter()
        .map(|e| e.step.unwrap().major)
        .collect();
    assert_eq!(steps, [1, 2, 3, 4, 5]);
}
