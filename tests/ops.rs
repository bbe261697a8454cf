//! The operation log by the command line and by a running engine: one shown, the state at one restored, one reverted, while
//! agents work; and the engine killed at every point of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Place, ask, differences, fuse, walk};

use backtrail::capture::failpoint;
use backtrail::engine::api::{Request, Response};
use backtrail::engine::source::Source;
use backtrail::model::RefTarget;

const NONE: &[String] = &[];

fn refused(place: &Place, args: &[&str]) -> String {
    let out = place.bt(args);
    assert!(!out.status.success(), "{args:?} was not refused");
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// The number of the newest operation.
fn newest(place: &Place) -> u64 {
    place.json(&["op", "log", "--json", "-n", "1"])[0]["seq"]
        .as_u64()
        .unwrap()
}

fn read(place: &Place, name: &str) -> Option<String> {
    std::fs::read_to_string(place.project.join(name)).ok()
}

#[test]
fn by_the_command_line_without_an_engine() {
    let place = Place::new();
    place.write("f.txt", "one\n");
    place.ok(&["init"]);
    place.ok(&["label", "x", "@"]);
    let then = newest(&place);
    place.write("f.txt", "two\n");
    place.write("new.txt", "new\n");
    place.ok(&["checkpoint", "-m", "two"]);
    place.ok(&["label", "x", "@"]);
    place.ok(&["branch", "create", "side", "@~1"]);
    place.ok(&["branch", "rename", "main", "trunk"]);

    let said = place.ok(&["op", "show"]);
    assert!(said.contains("renamed the branch main to trunk"), "{said}");
    assert!(said.contains("branch main: removed"), "{said}");
    assert!(said.contains("branch trunk: made"), "{said}");
    assert!(
        said.contains("the workspace: on main -> on trunk"),
        "{said}"
    );
    assert!(
        said.contains("revert it with: backtrail op revert"),
        "{said}"
    );

    // Only looked at.
    let at = then.to_string();
    let said = place.ok(&["op", "restore", &at, "--dry-run"]);
    assert!(
        said.contains("would have: restored the state after"),
        "{said}"
    );
    assert!(said.contains("label x"), "{said}");
    assert!(said.contains("remove  new.txt"), "{said}");
    assert_eq!(read(&place, "f.txt").unwrap(), "two\n");

    let said = place.ok(&["op", "restore", &at]);
    assert!(said.contains("undo with"), "{said}");
    assert_eq!(read(&place, "f.txt").unwrap(), "one\n");
    assert_eq!(read(&place, "new.txt"), None);
    let names = |place: &Place| -> Vec<String> {
        let all = place.json(&["branch", "list", "--json"]);
        all.iter()
            .map(|b| b["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&place), ["main"]);
    let said = place.ok(&["undo"]);
    assert!(said.contains("op-restore"), "{said}");
    assert_eq!(names(&place), ["side", "trunk"]);
    assert_eq!(read(&place, "new.txt").unwrap(), "new\n");

    // One in the middle: the others stay.
    let side = newest_of(&place, "made the branch side");
    place.ok(&["op", "revert", &side]);
    assert_eq!(names(&place), ["trunk"]);
    place.ok(&["undo"]);
    let renamed = newest_of(&place, "renamed the branch");
    place.ok(&["op", "revert", &renamed]);
    assert_eq!(names(&place), ["main", "side"]);
    let label = newest_of(&place, "labelled");
    place.ok(&["op", "revert", &label]);
    let shown = place.ok(&["cat", "x:f.txt"]);
    assert_eq!(shown, "one\n", "the label is where it was before");

    place.ok(&["undo"]);
    let said = refused(&place, &["op", "revert", &at]);
    assert!(said.contains("label x has moved since"), "{said}");
    assert!(said.contains("(label)"), "{said}");
    let label = newest_of(&place, "labelled");
    place.ok(&["op", "revert", &label]);
    let said = refused(&place, &["op", "restore", "1", "--before"]);
    assert!(said.contains("nothing"), "{said}");
    let said = refused(&place, &["op", "show", "no-such"]);
    assert!(said.contains("op log"), "{said}");
    let detail = &place.json(&["op", "show", "@", "--json"])[0];
    assert_eq!(detail["op"]["kind"], "op-revert");
    assert_eq!(detail["op"]["who"], "person");
    assert!(detail["op"]["of"].as_u64().is_some());
}

/// The number of the newest operation whose line begins so.
fn newest_of(place: &Place, begins: &str) -> String {
    let all = place.json(&["op", "log", "--json"]);
    let found = all
        .iter()
        .find(|o| o["description"].as_str().unwrap().starts_with(begins));
    found.unwrap()["seq"].to_string()
}

#[test]
fn agents_stand_still_and_a_fork_in_use_is_not_moved() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("f.txt", "one\n");
    place.ok(&["init"]);
    let then = newest(&place).to_string();
    let go = place.path("go");
    let script = format!(
        "echo agent > f.txt; echo > ready; while ! test -e {}; do sleep 0.02; done; cat f.txt; \
         $BT op restore 1 2>&1 || echo may not restore; $BT op show 1",
        go.display()
    );
    let begin = |args: &[&str]| {
        place
            .command(args.iter().copied().chain(["--", "sh", "-euc", &script]))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let until = |what: &str, wanted: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !wanted() {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "waited in vain for {what}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let child = begin(&["run"]);
    until("the agent", &|| place.project.join("ready").exists());
    place.ok(&["checkpoint", "-m", "agent"]);
    let said = place.ok(&["op", "restore", &then]);
    assert!(said.contains("1 session stood still"), "{said}");
    assert_eq!(read(&place, "ready"), None);
    std::fs::write(&go, "").unwrap();
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(said.starts_with("one\n"), "{said}");
    assert!(said.contains("may not restore"), "{said}");
    assert!(said.contains("operation 1"), "an agent may look: {said}");
    place.ok(&["undo"]);
    assert_eq!(read(&place, "f.txt").unwrap(), "agent\n");

    // On a fork: while it runs there nothing moves that branch.
    std::fs::remove_file(&go).unwrap();
    let child = begin(&["run", "--branch", "side"]);
    let view = || {
        let forks = place.json(&["forks", "--json"]);
        let at = forks.first()?["mounted"].as_str()?.to_owned();
        Some(std::path::PathBuf::from(at))
    };
    until("the agent in the fork", &|| {
        view().is_some_and(|v| v.join("ready").exists())
    });
    let said = refused(&place, &["op", "restore", &then]);
    assert!(said.contains("runs on the fork of side"), "{said}");
    assert_eq!(read(&place, "f.txt").unwrap(), "agent\n");
    std::fs::write(&go, "").unwrap();
    child.wait_with_output().unwrap();
    place.ok(&["op", "restore", &then]);
    assert_eq!(read(&place, "f.txt").unwrap(), "one\n");
    assert_eq!(place.json(&["branch", "list", "--json"]).len(), 1);
    place.ok(&["undo"]);
    assert_eq!(place.ok(&["cat", "side:f.txt"]), "agent\n");
    let said = place.ok(&["verify"]);
    assert!(!said.contains("fault"), "{said}");
}

async fn refs(client: &dyn Source) -> BTreeMap<String, RefTarget> {
    match ask(client, Request::Refs).await {
        Response::Refs(refs) => refs,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_anywhere_everything_is_as_it_was_or_as_it_is_to_be() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    for i in 0..3 {
        place.write(&format!("same/{i}"), format!("main {i}\n"));
    }
    place.write("only-main", "x\n");
    let (then, of_then, refs_then, of_now, refs_now);
    {
        let _engine = place.engine(None);
        let client = place.client().await;
        let client: &dyn Source = client.as_ref();
        ask(client, Request::Checkpoint { message: None }).await;
        let label = |name: &str| Request::Label {
            name: name.to_owned(),
            rev: Some("@".to_owned()),
        };
        ask(client, label("x")).await;
        then = newest(&place).to_string();
        of_then = walk(&place.project, &[]);
        refs_then = refs(client).await;
        let create = Request::Switch {
            branch: "other".to_owned(),
            create: true,
            dry_run: false,
        };
        ask(client, create).await;
        place.write("same/1", "other\n");
        std::fs::remove_file(place.project.join("only-main")).unwrap();
        place.write("only-other/y", "y\n");
        ask(client, Request::Checkpoint { message: None }).await;
        ask(client, label("x")).await;
        of_now = walk(&place.project, &[]);
        refs_now = refs(client).await;
    }
    let (mut kills, mut done) = (0, 0);
    let points = failpoint::WORLD.iter().chain(failpoint::NAMES);
    for name in points.filter(|n| !n.starts_with("recover.")) {
        let mut engine = place.engine(Some(name));
        let client = place.client().await;
        let request = Request::OpRestore {
            op: then.clone(),
            before: false,
            dry_run: false,
        };
        let answer = client.ask(request).await;
        if answer.is_err() {
            assert!(engine.gone(Duration::from_secs(30)), "{name}");
            kills += 1;
        }
        drop(engine);
        let _engine = place.engine(None);
        let client = place.client().await;
        let client: &dyn Source = client.as_ref();
        let (files, refs_after) = (walk(&place.project, &[]), refs(client).await);
        if refs_after == refs_then {
            assert_eq!(differences(&files, &of_then), NONE, "{name}");
            done += 1;
            ask(client, Request::Undo).await;
        } else {
            assert!(answer.is_err(), "{name}");
        }
        assert_eq!(refs(client).await, refs_now, "{name}");
        let files = walk(&place.project, &[]);
        assert_eq!(differences(&files, &of_now), NONE, "{name}");
    }
    assert!(kills > 8 && done > 4, "{kills} kills, {done} done");
}
