//! What agents read: noted at the open, tied to the call that was open, on the live view and on a fork.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use std::collections::BTreeSet;
use std::process::Output;

use backtrail::engine::api::ReadInfo;
use common::{Place, fuse};

/// Reads one file in each call, one between the calls, and writes one, which is no reading.
const SCRIPT: &str = r#"
call() { printf '{"type":"call","id":"%s","name":"Bash","input":{"command":"x"}}\n' "$1" | $BT emit; }
result() { printf '{"type":"result","id":"%s","output":"","exit_code":0}\n' "$1" | $BT emit; }
call one
cat a dir/b >/dev/null; cat a >/dev/null
result one
cat between >/dev/null
call two
sh -c 'read line < c'; echo more > written; python3 -c 'open("d").read()'
result two
"#;

fn well(out: &Output) {
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
}

fn reads(place: &Place, args: &[&str]) -> Vec<ReadInfo> {
    let all = [&["reads", "--json"], args].concat();
    place
        .json(&all)
        .into_iter()
        .map(|v| serde_json::from_value(v).unwrap())
        .collect()
}

fn seen(all: &[ReadInfo]) -> BTreeSet<(String, String)> {
    all.iter()
        .map(|r| (r.comm.clone(), r.path.to_string()))
        .collect()
}

fn set(all: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    all.iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

fn files(place: &Place) {
    for name in ["a", "dir/b", "between", "c", "d", "written"] {
        place.write(name, "text\n");
    }
}

#[test]
fn each_call_knows_what_was_read_during_it() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    files(&place);
    place.ok(&["init"]);
    well(&place.run(SCRIPT));
    let steps: Vec<String> = place
        .json(&["steps", "--json"])
        .iter()
        .filter(|s| s["kind"] == "call")
        .map(|s| s["ordinal"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(steps.len(), 2);
    let (one, two) = (reads(&place, &[&steps[0]]), reads(&place, &[&steps[1]]));
    assert_eq!(seen(&one), set(&[("cat", "a"), ("cat", "dir/b")]));
    // Both times `a` was read, by two processes.
    assert_eq!(one.len(), 3);
    assert_eq!(seen(&two), set(&[("sh", "c"), ("python3", "d")]));
    for read in one.iter().chain(&two) {
        assert!(
            read.inside && read.pid > 0 && read.branch.is_none(),
            "{read:?}"
        );
        assert_eq!(read.steps.len(), 1, "{read:?}");
    }
    let cat = one.iter().find(|r| r.comm == "cat").unwrap();
    assert!(cat.exe.contains('/'), "{cat:?}");
    let all = reads(&place, &[]);
    let between = all
        .iter()
        .find(|r| r.path.to_string() == "between")
        .unwrap();
    assert!(between.steps.is_empty(), "{between:?}");
    assert!(all.iter().all(|r| r.path.to_string() != "written"));
    // They outlive the engine, and are in the order in which they were read.
    place.ok(&["stop"]);
    assert_eq!(reads(&place, &[]), all);
    assert!(all.is_sorted_by_key(|r| r.time));
    let text = place.ok(&["reads", &steps[1]]);
    assert!(
        text.contains("python3") && !text.contains("outside"),
        "{text}"
    );
    assert!(!place.bt(&["reads", "99"]).status.success());
}

#[test]
fn on_a_fork_and_by_somebody_else() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    files(&place);
    place.ok(&["init"]);
    let script = format!(
        "{SCRIPT}\n{}",
        r#"call three; cat "$BACKTRAIL_VIEW/a" >/dev/null 2>&1 || true; result three"#
    );
    well(
        &place
            .command(["run", "--branch", "side", "--", "sh", "-euc", &script])
            .output()
            .unwrap(),
    );
    let all = reads(&place, &[]);
    assert!(all.iter().all(|r| r.branch.as_deref() == Some("side")));
    let d = all.iter().find(|r| r.path.to_string() == "d").unwrap();
    assert_eq!(
        (d.comm.as_str(), d.inside, d.steps.len()),
        ("python3", true, 1)
    );
    // Somebody who is in no session, by the same mount.
    let live = place.runtime().join("live");
    assert_eq!(std::fs::read(live.join("c")).unwrap(), b"text\n");
    let all = reads(&place, &[]);
    let mine = all.iter().find(|r| r.pid == std::process::id()).unwrap();
    assert_eq!(
        (mine.path.to_string().as_str(), mine.branch.as_ref()),
        ("c", None)
    );
    assert!(mine.steps.is_empty());
}
