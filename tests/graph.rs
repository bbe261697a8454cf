//! Questions over the graph and over single files, by the command line: leaves, lineages, children, the versions of a path,
//! the reasoning behind a commit, and which step each line is from. On a project and on a recording.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use std::collections::BTreeSet;

use common::{Place, fuse};
use serde_json::{Value, json};

fn ids(rows: &[Value]) -> Vec<String> {
    let id = |row: &Value| {
        let commit = row.get("commit").filter(|c| c.is_object()).unwrap_or(row);
        commit["id"].as_str().unwrap().to_owned()
    };
    rows.iter().map(id).collect()
}

/// Commits what is there: the state that is found is one commit, whoever finds it.
fn checkpoint(place: &Place) -> String {
    place.ok(&["checkpoint"]);
    ids(&place.json(&["log", "-n", "1", "--json"]))[0].clone()
}

fn refused(place: &Place, args: &[&str]) -> String {
    let out = place.bt(args);
    assert!(!out.status.success(), "{args:?} was not refused");
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// The commits that the lines are from, with their numbers and texts.
fn blamed(place: &Place, args: &[&str]) -> Vec<(String, String)> {
    let mut line = vec!["blame", "--json"];
    line.extend(args);
    let of = |(i, row): (usize, &Value)| {
        assert_eq!(row["line"], i + 1);
        (
            row["commit"].as_str().unwrap().to_owned(),
            row["text"].as_str().unwrap().to_owned(),
        )
    };
    place.json(&line).iter().enumerate().map(of).collect()
}

/// The lines with the names of the commits they are expected to be from.
fn want(lines: &[(&String, &str)]) -> Vec<(String, String)> {
    lines
        .iter()
        .map(|(id, text)| ((*id).clone(), (*text).to_owned()))
        .collect()
}

#[test]
fn a_rollback_leaves_a_leaf_and_each_line_has_its_commit() {
    let place = Place::new();
    place.write("src/a.rs", "one\ntwo\nthree\n");
    place.write("other.txt", "x\n");
    place.ok(&["init"]);
    let first = ids(&place.json(&["log", "--json"]))[0].clone();
    place.write("src/a.rs", "one\nTWO\nthree\n");
    let second = checkpoint(&place);
    place.write("src/a.rs", "zero\none\nTWO\nthree\n");
    let third = checkpoint(&place);
    place.ok(&["rollback", &second]);
    place.write("src/a.rs", "one\nTWO\nthree\nfour\n");
    let fourth = checkpoint(&place);
    std::fs::rename(
        place.project.join("src/a.rs"),
        place.project.join("src/b.rs"),
    )
    .unwrap();
    let fifth = checkpoint(&place);
    place.write("src/b.rs", "one\nTWO\nthree\nfour\nfive\n");
    let sixth = checkpoint(&place);

    assert_eq!(
        ids(&place.json(&["leaves", "--json"])),
        [sixth.clone(), third.clone()]
    );
    assert_eq!(
        ids(&place.json(&["leaves", "-n", "1", "--json"])),
        std::slice::from_ref(&sixth)
    );
    let line = [&sixth, &fifth, &fourth, &second, &first].map(Clone::clone);
    assert_eq!(ids(&place.json(&["lineage", "--json"])), line);
    assert_eq!(
        ids(&place.json(&["lineage", "@~1", "-n", "2", "--json"])),
        line[1..3]
    );
    assert_eq!(
        ids(&place.json(&["children", &second, "--json"])),
        [third.clone(), fourth.clone()]
    );
    assert!(place.json(&["children", "@", "--json"]).is_empty());

    // Every version of the file, of all branches or of one; what happened is told along a line.
    let all = ["history", "src/a.rs", "--json"];
    let versions = [&fifth, &fourth, &third, &second, &first].map(Clone::clone);
    assert_eq!(ids(&place.json(&all)), versions);
    let of_line = place.json(&["history", "src/a.rs", "@", "--json"]);
    assert_eq!(
        ids(&of_line),
        [&fifth, &fourth, &second, &first].map(Clone::clone)
    );
    let ops: Vec<_> = of_line.iter().map(|v| v["op"].as_str().unwrap()).collect();
    assert_eq!(ops, ["delete", "modify", "modify", "create"]);
    assert!(of_line[0]["after"].is_null() && of_line[1]["after"]["size"] == 19);
    let below = place.json(&["history", "src", "@", "--json"]);
    assert_eq!(ids(&below), line);
    let text = place.ok(&["history", "src/a.rs", "@~2"]);
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(refused(&place, &["history", "no/such"]).contains("no commit changed no/such"));
    assert!(refused(&place, &["history", "../x"]).contains("not in the project"));

    // The other line's change is not in it; a renamed file keeps what it had under its old name.
    let expected = want(&[
        (&first, "one"),
        (&second, "TWO"),
        (&first, "three"),
        (&fourth, "four"),
        (&sixth, "five"),
    ]);
    assert_eq!(blamed(&place, &["src/b.rs"]), expected);
    let old = place.json(&["blame", "src/b.rs", "--json"]);
    assert_eq!(old[0]["path"], "src/a.rs");
    assert!(old[4].get("path").is_none());
    assert_eq!(
        blamed(&place, &["src/a.rs", &third])[0],
        (third, "zero".to_owned())
    );
    let text = place.ok(&["blame", "src/b.rs"]);
    assert_eq!(text.lines().count(), 5);
    assert!(text.lines().next().unwrap().ends_with("1  one"), "{text}");

    place.write("bin", b"a\0b");
    place.write("large", "a longer line\n".repeat(80_000));
    place.ok(&["checkpoint"]);
    assert!(refused(&place, &["blame", "bin"]).contains("binary"));
    assert!(refused(&place, &["blame", "large"]).contains("--force"));
    assert!(refused(&place, &["blame", "src"]).contains("no file"));
    assert!(refused(&place, &["blame", "gone"]).contains("not there"));
    assert_eq!(
        place.json(&["blame", "large", "--force", "--json"]).len(),
        80_000
    );
}

#[test]
fn a_similar_file_under_another_name_keeps_its_lines() {
    let place = Place::new();
    let body: String = (0..20).map(|n| format!("line {n}\n")).collect();
    place.write("old", &body);
    place.write("unlike", "a\nb\nc\n");
    place.ok(&["init"]);
    let first = ids(&place.json(&["log", "--json"]))[0].clone();
    std::fs::remove_file(place.project.join("old")).unwrap();
    std::fs::remove_file(place.project.join("unlike")).unwrap();
    place.write("new", body.replace("line 7\n", "LINE 7\n"));
    let second = checkpoint(&place);
    let lines = blamed(&place, &["new"]);
    for (n, (commit, _)) in lines.iter().enumerate() {
        assert_eq!(*commit, if n == 7 { &second } else { &first }.clone());
    }
}

#[test]
fn a_merged_file_keeps_the_lines_of_both_sides() {
    let place = Place::new();
    let body = "one\ntwo\nthree\nfour\nfive\nsix\nseven\n";
    place.write("f", body);
    place.ok(&["init"]);
    let first = ids(&place.json(&["log", "--json"]))[0].clone();
    place.ok(&["switch", "-c", "side"]);
    place.write("f", body.replace("two\n", "TWO\n"));
    place.write("only", "theirs\n");
    let theirs = checkpoint(&place);
    place.ok(&["switch", "main"]);
    place.write("f", body.replace("six\n", "SIX\n"));
    let ours = checkpoint(&place);
    place.ok(&["merge", "side"]);
    let merged = ids(&place.json(&["log", "-n", "1", "--json"]))[0].clone();
    assert!(![&first, &ours, &theirs].contains(&&merged));

    let lines = blamed(&place, &["f"]);
    let from: Vec<&String> = lines.iter().map(|(commit, _)| commit).collect();
    assert_eq!(
        from,
        [&first, &theirs, &first, &first, &first, &ours, &first]
    );
    assert_eq!(blamed(&place, &["only"])[0].0, theirs);
    let past = ids(&place.json(&["history", "f", "@", "--json"]));
    assert_eq!(past, [&merged, &ours, &first].map(Clone::clone));
    assert_eq!(ids(&place.json(&["leaves", "--json"])), [merged]);
}

#[test]
fn the_reasoning_behind_a_commit_is_told() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("f.txt", "old\n");
    let out = place.run(
        r#"
        say() { printf '%s\n' "$1" | $BT emit; }
        say '{"type":"prompt","text":"Please fix the greeting.\nIt must be loud."}'
        say '{"type":"thought","text":"It should shout."}'
        say '{"type":"call","id":"c1","name":"Write","input":{"file_path":"f.txt"}}'
        echo HELLO > f.txt
        say '{"type":"result","id":"c1","output":"written\u001b[2J","exit_code":0}'
        say '{"type":"thought","text":"And a second file."}'
        say '{"type":"call","id":"c2","name":"Bash","input":{"command":"echo more > g.txt"}}'
        echo more > g.txt
        say '{"type":"result","id":"c2","output":"","exit_code":0}'
    "#,
    );
    assert!(out.status.success(), "{out:?}");
    let trace = place.json(&["trace", "call:c2", "--depth", "2", "--json"]);
    assert_eq!(trace.len(), 2);
    for one in &trace {
        let (_, prompt) = (&one["prompt"][0], one["prompt"][1].as_str().unwrap());
        assert!(prompt.starts_with("Please fix"), "{one}");
        assert_eq!(one["changed"], 1);
    }
    assert_eq!(trace[0]["thought"][1], "And a second file.");
    assert_eq!(trace[0]["step"]["tool"], "Bash");
    assert_eq!(trace[1]["thought"][1], "It should shout.");
    assert_eq!(trace[1]["step"]["tool"], "Write");
    assert!(trace[1]["call"]["text"].as_str().unwrap().contains("f.txt"));
    assert_eq!(trace[1]["effect"][0]["path"], "f.txt");
    let text = place.ok(&["trace", "call:c1", "-d", "1"]);
    for part in [
        "prompt", "greeting", "loud", "thought", "shout", "Write", "result", "written", "M f.txt",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains('\x1b'));

    let blamed = place.json(&["blame", "f.txt", "--json"]);
    assert_eq!(blamed[0]["tool"], "Write");
    assert_eq!(blamed[0]["step"], trace[1]["step"]["ordinal"]);
    let history = place.json(&["history", "g.txt", "--json"]);
    assert_eq!(history[0]["tool"], "Bash");
}

#[test]
fn a_recording_answers_the_same_questions() {
    let place = Place::new();
    let at = |n: u32| format!("2026-01-01T10:00:{n:02}Z");
    let base = |uuid: &str, parent: Option<&str>, n: u32, rest: Value| {
        let mut line = json!({"uuid": uuid, "parentUuid": parent, "timestamp": at(n), "sessionId": "s-1",
            "cwd": "/w/app", "version": "1.0.0", "isSidechain": false, "userType": "external"});
        line.as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        line.to_string()
    };
    let mut lines = vec![base(
        "p",
        None,
        0,
        json!({"type": "user", "message": {"role": "user", "content": "Count."}}),
    )];
    let mut text = "one\n".to_owned();
    for (n, more) in ["two", "three"].iter().enumerate() {
        let n = u32::try_from(n).unwrap() + 1;
        let (id, call, result) = (format!("toolu_{n}"), format!("c{n}"), format!("r{n}"));
        let before = text.clone();
        let last = text.lines().last().unwrap().to_owned();
        let new = format!("{last}\n{more}");
        text = format!("{before}{more}\n");
        let parent = if n == 1 {
            "p".to_owned()
        } else {
            format!("r{}", n - 1)
        };
        lines.push(base(&call, Some(&parent), n * 10, json!({"type": "assistant", "message": {"id": format!("m{n}"),
            "role": "assistant", "model": "m-1", "content": [{"type": "tool_use", "id": id, "name": "Edit",
            "input": {"file_path": "/w/app/a.txt", "old_string": last, "new_string": new}}]}})));
        lines.push(base(&result, Some(&call), n * 10 + 1, json!({"type": "user", "message": {"role": "user",
            "content": [{"type": "tool_result", "tool_use_id": id, "content": "done"}]},
            "toolUseResult": {"filePath": "/w/app/a.txt", "oldString": last, "newString": new, "originalFile": before,
                "structuredPatch": [], "userModified": false, "replaceAll": false}})));
    }
    let file = place.path("run.jsonl");
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    let file = file.to_str().unwrap();

    let rows = place.json(&["blame", "a.txt", "--json", "--trace", file]);
    let texts: Vec<_> = rows.iter().map(|r| r["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    let commits: BTreeSet<_> = rows.iter().map(|r| r["commit"].as_str().unwrap()).collect();
    assert_eq!(commits.len(), 3);
    assert_eq!(rows[1]["tool"], "Edit");
    let versions = place.json(&["history", "/w/app/a.txt", "--json", "--trace", file]);
    assert_eq!(versions.len(), 3);
    let lineage = ids(&place.json(&["lineage", "--json", "--trace", file]));
    assert_eq!(lineage, ids(&versions));
    assert_eq!(
        ids(&place.json(&["leaves", "--json", "--trace", file])),
        lineage[..1]
    );
    assert_eq!(
        ids(&place.json(&["children", &lineage[2], "--json", "--trace", file])),
        lineage[1..2]
    );
    let trace = place.json(&["trace", "@", "--depth", "9", "--json", "--trace", file]);
    assert_eq!(trace.len(), 3);
    assert_eq!(trace[0]["prompt"][1], "Count.");
    assert_eq!(trace[0]["result"]["text"], "done");
    assert!(trace[2]["step"].is_null());
}
