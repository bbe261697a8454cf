//! Branches by the command line: made, renamed, removed, pruned, and each of that undone; what is captured goes on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use std::collections::BTreeMap;

use common::{Place, ask, fuse};

use backtrail::engine::api::{Request, Response};
use backtrail::engine::source::Source;

/// Name to (latest commit, current) of every branch.
fn branches(place: &Place) -> BTreeMap<String, (String, bool)> {
    place
        .json(&["branch", "list", "--json"])
        .into_iter()
        .map(|b| {
            (
                b["name"].as_str().unwrap().to_owned(),
                (
                    b["commit"]["id"].as_str().unwrap().to_owned(),
                    b["current"].as_bool().unwrap(),
                ),
            )
        })
        .collect()
}

fn refused(place: &Place, args: &[&str]) -> String {
    let out = place.bt(args);
    assert!(!out.status.success(), "{args:?} was not refused");
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn checkpoint(place: &Place, text: &str) -> String {
    place.write("f.txt", text);
    let made = place.json(&["checkpoint", "-m", text, "--json"]);
    made.last().unwrap()["id"].as_str().unwrap().to_owned()
}

#[test]
fn each_change_of_branches_is_undone_and_done_again() {
    let place = Place::new();
    place.write("f.txt", "zero\n");
    let said = refused(&place, &["branch", "list"]);
    assert!(said.contains("nothing recorded"), "{said}");
    place.ok(&["init"]);
    let one = checkpoint(&place, "one");
    let two = checkpoint(&place, "two");

    let before = branches(&place);
    assert_eq!(before, [("main".to_owned(), (two.clone(), true))].into());
    let walk = [
        vec!["branch", "create", "old", one.as_str()],
        vec!["branch", "create", "here"],
        vec!["branch", "rename", "old", "older"],
        vec!["branch", "delete", "here"],
        vec!["branch", "rename", "main", "trunk"],
        vec!["branch", "prune"],
    ];
    let mut states = vec![before];
    for args in &walk {
        place.ok(args);
        states.push(branches(&place));
    }
    assert_eq!(states[1]["old"], (one.clone(), false));
    assert_eq!(states[2]["here"], (two.clone(), false));
    assert_eq!(states[3]["older"].0, one);
    assert!(!states[3].contains_key("old") && !states[4].contains_key("here"));
    assert_eq!(states[5]["trunk"], (two.clone(), true));
    assert_eq!(
        states[6],
        [("trunk".to_owned(), (two, true))].into(),
        "only `older` was on another branch"
    );
    for _ in 0..2 {
        for state in states.iter().rev().skip(1) {
            place.ok(&["undo"]);
            assert_eq!(branches(&place), *state);
        }
        assert!(refused(&place, &["undo"]).contains("nothing to undo"));
        for state in &states[1..] {
            place.ok(&["redo"]);
            assert_eq!(branches(&place), *state);
        }
        assert!(refused(&place, &["redo"]).contains("nothing to redo"));
    }
    let kinds: Vec<String> = place
        .json(&["op", "log", "--json"])
        .iter()
        .map(|op| op["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds.iter().filter(|k| *k == "branch").count(), walk.len());
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let place = Place::new();
    place.write("f.txt", "zero\n");
    place.ok(&["init"]);
    place.ok(&["branch", "create", "a/b"]);
    let before = branches(&place);
    for (args, word) in [
        (&["branch", "create", "a/b"][..], "already"),
        (&["branch", "create", "a"], "directory"),
        (&["branch", "create", "a/b/c"], "directory"),
        (&["branch", "create", "x\x1b[2J"], "control character"),
        (&["branch", "create", "x..y"], ".."),
        (&["branch", "create", "x", "nonsense"], "nonsense"),
        (&["branch", "delete", "main"], "workspace is on main"),
        (&["branch", "delete", "no"], "no branch"),
        (&["branch", "rename", "no", "yes"], "no branch"),
        (&["branch", "rename", "main", "a/b"], "already"),
        (&["branch", "rename", "main", "@"], "latest commit"),
    ] {
        let said = refused(&place, args);
        assert!(said.contains(word), "{args:?}: {said}");
        assert!(!said.contains('\x1b'), "{said:?}");
        assert_eq!(branches(&place), before, "{args:?}");
    }
    // The place that a rename frees is free.
    place.ok(&["branch", "rename", "a/b", "a"]);
    place.ok(&["branch", "rename", "a", "a/b"]);
    assert_eq!(branches(&place), before);
}

#[test]
fn pruning_keeps_the_workspace_s_branch_and_one_of_equals() {
    let place = Place::new();
    place.write("f.txt", "zero\n");
    place.ok(&["init"]);
    checkpoint(&place, "one");
    for (name, rev) in [("z", "@"), ("b", "@~1"), ("a", "@~1")] {
        place.ok(&["branch", "create", name, rev]);
    }
    let preview = place.json(&["branch", "prune", "--dry-run", "--json"]);
    let names = |report: &serde_json::Value| -> Vec<String> {
        let changes = report["changes"].as_array().unwrap();
        changes
            .iter()
            .map(|c| c["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&preview[0]), ["a", "b", "z"]);
    assert_eq!(branches(&place).len(), 4, "a preview removes nothing");
    place.ok(&["branch", "prune"]);
    assert_eq!(branches(&place).keys().collect::<Vec<_>>(), ["main"]);
    assert!(place.ok(&["branch", "prune"]).contains("no branch"));
    place.ok(&["undo"]);
    assert_eq!(branches(&place).len(), 4);
    // Rolled back, the old end of the line is on `z` alone; of `a` and `b` the workspace's branch has all.
    place.ok(&["rollback", "@~1"]);
    place.ok(&["branch", "prune"]);
    assert_eq!(
        branches(&place).keys().collect::<Vec<_>>(),
        ["main", "z"],
        "z has a commit of its own now"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_under_a_running_engine_loses_no_commit() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("f.txt", "zero\n");
    let _engine = place.engine(None);
    let client = place.client().await;
    let client: &dyn Source = client.as_ref();
    let cut = async |text: &str| {
        place.write("f.txt", text);
        let request = Request::Checkpoint {
            message: Some(text.to_owned()),
        };
        match ask(client, request).await {
            Response::Checkpoint(made) => made.last().unwrap().clone(),
            other => panic!("{other:?}"),
        }
    };
    let one = cut("one").await;
    assert_eq!(one.branch, "main");
    ask(
        client,
        Request::BranchRename {
            from: "main".into(),
            to: "trunk".into(),
        },
    )
    .await;
    let two = cut("two").await;
    assert_eq!(two.branch, "trunk");
    assert_eq!(two.parents, [one.id]);
    // The rename is undone, the checkpoint after it is not: the branch has it under its old name.
    ask(client, Request::Undo).await;
    let at = branches(&place);
    assert_eq!(at, [("main".to_owned(), (two.id.to_hex(), true))].into());
    let three = cut("three").await;
    assert_eq!(three.parents, [two.id]);
    assert_eq!(three.branch, "main");
    ask(client, Request::Redo).await;
    let at = branches(&place);
    assert_eq!(at, [("trunk".to_owned(), (three.id.to_hex(), true))].into());
    assert_eq!(cut("four").await.parents, [three.id]);
}

#[test]
fn the_time_of_a_workspace_is_not_that_of_other_branches() {
    let place = Place::new();
    place.write("f.txt", "zero\n");
    place.ok(&["init"]);
    let one = checkpoint(&place, "one");
    let two = checkpoint(&place, "two");
    place.ok(&["branch", "create", "old", "@~1"]);
    place.ok(&["branch", "rename", "main", "trunk"]);
    let now = place.json(&["show", "0s ago", "--json"]);
    assert_eq!(now[0]["commit"]["id"], two.as_str(), "not {one}");
    // Also as the log has it before the rename.
    let log = place.json(&["log", "--json"]);
    let of_one = log.iter().find(|c| c["id"] == one.as_str()).unwrap();
    let at = of_one["time"].as_str().unwrap();
    let then = place.json(&["show", at, "--json"]);
    assert_eq!(then[0]["commit"]["id"], one.as_str());
}

#[test]
fn a_comparison_counts_from_where_the_branches_parted() {
    let place = Place::new();
    for name in ["both", "alike", "mine", "theirs"] {
        place.write(name, "zero\n");
    }
    place.write("moved", "the content that moves\n");
    place.ok(&["init"]);
    let base = place.json(&["log", "--json"])[0]["id"].clone();
    place.ok(&["switch", "-c", "other"]);
    place.write("both", "other\n");
    place.write("alike", "same\n");
    place.write("theirs", "other\n");
    std::fs::rename(place.project.join("moved"), place.project.join("away")).unwrap();
    place.ok(&["switch", "main"]);
    place.write("both", "main\n");
    place.write("alike", "same\n");
    place.write("mine", "main\n");
    place.write("moved", "edited here\n");
    place.ok(&["checkpoint"]);

    let found = place
        .json(&["compare", "other", "main", "--json"])
        .remove(0);
    assert_eq!(found["bases"].as_array().unwrap().len(), 1);
    assert_eq!(found["bases"][0]["commit"], base);
    let paths = |side: &str| -> Vec<String> {
        let changes = found[side]["changes"].as_array().unwrap();
        changes
            .iter()
            .map(|c| c["path"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(paths("a"), ["alike", "away", "both", "theirs"]);
    assert_eq!(paths("b"), ["alike", "both", "mine", "moved"]);
    let both: Vec<(&str, bool)> = found["both"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| (o["path"].as_str().unwrap(), o["alike"].as_bool().unwrap()))
        .collect();
    assert_eq!(both, [("alike", true), ("both", false), ("moved", false)]);
    let said = place.ok(&["compare", "other"]);
    for words in [
        "other is ahead of @ by 1 commit and behind by 1",
        "they parted at",
        "3 files changed on both sides",
        "differs  both",
        "alike    alike",
    ] {
        assert!(said.contains(words), "{words:?} is missing in\n{said}");
    }
    let said = place.ok(&["compare", "main", "main"]);
    assert!(said.contains("are the same commit"), "{said}");
    place.ok(&["rollback", "@~1"]);
    let said = place.ok(&["compare", "main", "other"]);
    assert!(said.contains("main is behind other by 1 commit"), "{said}");
    assert!(!said.contains("on both sides"), "{said}");
    assert!(refused(&place, &["compare", "main", "no"]).contains("no"));
}
