//! The workspace on another branch and back, while agents work; and the engine killed at every point of it.
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

use common::{Place, Tree, ask, differences, fuse, walk};

use backtrail::capture::failpoint;
use backtrail::engine::api::{Request, Response, RollbackReport};
use backtrail::engine::source::Source;

const NONE: &[String] = &[];

async fn cut(client: &dyn Source, message: &str) -> String {
    let request = Request::Checkpoint {
        message: Some(message.to_owned()),
    };
    match ask(client, request).await {
        Response::Checkpoint(made) => made.last().unwrap().id.to_hex(),
        other => panic!("{other:?}"),
    }
}

fn switch_to(branch: &str, create: bool) -> Request {
    Request::Switch {
        branch: branch.to_owned(),
        create,
        dry_run: false,
    }
}

async fn switch(client: &dyn Source, branch: &str, create: bool) -> RollbackReport {
    match ask(client, switch_to(branch, create)).await {
        Response::Rollback(report) => *report,
        other => panic!("{other:?}"),
    }
}

/// Every branch with its tip, and the one that the workspace is on.
async fn branches(client: &dyn Source) -> (BTreeMap<String, String>, String) {
    let Response::Branches(all) = ask(client, Request::Branches).await else {
        panic!()
    };
    let current = all.iter().find(|b| b.current).unwrap().name.clone();
    let tips = all.into_iter().map(|b| (b.name, b.commit.id.to_hex()));
    (tips.collect(), current)
}

fn files(place: &Place) -> Tree {
    walk(&place.project, &[])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_and_back_keeps_what_each_branch_had() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("f.txt", "zero\n");
    place.write("dir/a", "a\n");
    let _engine = place.engine(None);
    let client = place.client().await;
    let client: &dyn Source = client.as_ref();
    cut(client, "zero").await;

    // A new branch begins where the workspace is: what was not committed yet is on the old one.
    place.write("f.txt", "not committed\n");
    let report = switch(client, "other", true).await;
    assert!(
        report.restored.is_empty() && report.removed.is_empty(),
        "{report:?}"
    );
    let (tips, on) = branches(client).await;
    assert_eq!((on.as_str(), &tips["main"]), ("other", &tips["other"]));
    let of_main = files(&place);

    // What follows is on the new branch.
    place.write("f.txt", "on the other\n");
    place.write("new/b", "b\n");
    std::fs::remove_file(place.project.join("dir/a")).unwrap();
    let theirs = cut(client, "other").await;
    let (after, _) = branches(client).await;
    assert_eq!((&after["main"], &after["other"]), (&tips["main"], &theirs));

    // Back, with something unsaved: it is kept on the branch that is left.
    place.write("new/c", "unsaved\n");
    let with_unsaved = files(&place);
    let preview = ask(
        client,
        Request::Switch {
            branch: "main".into(),
            create: false,
            dry_run: true,
        },
    )
    .await;
    let Response::Rollback(preview) = preview else {
        panic!()
    };
    assert_eq!(files(&place), with_unsaved, "a preview writes nothing");
    assert_eq!(branches(client).await.1, "other");
    let report = switch(client, "main", false).await;
    assert_eq!(report.removed, preview.removed);
    assert_eq!(report.restored, preview.restored);
    assert_eq!(differences(&files(&place), &of_main), NONE);
    let (tips, on) = branches(client).await;
    assert_eq!(on, "main");
    assert_ne!(
        tips["other"], theirs,
        "the unsaved file is a commit of its own"
    );

    // Undo and redo are each other's reverse, also the branch, also with work in between.
    for _ in 0..2 {
        ask(client, Request::Undo).await;
        assert_eq!(branches(client).await, (tips.clone(), "other".to_owned()));
        assert_eq!(differences(&files(&place), &with_unsaved), NONE);
        ask(client, Request::Redo).await;
        assert_eq!(branches(client).await, (tips.clone(), "main".to_owned()));
        assert_eq!(differences(&files(&place), &of_main), NONE);
    }
    place.write("f.txt", "later on main\n");
    let later = files(&place);
    ask(client, Request::Undo).await;
    assert_eq!(differences(&files(&place), &with_unsaved), NONE);
    ask(client, Request::Redo).await;
    assert_eq!(
        differences(&files(&place), &later),
        NONE,
        "what came after is on main"
    );
    ask(client, Request::Undo).await;
    // The switch that made the branch is undone: it goes, its commits do not.
    let (tips, _) = branches(client).await;
    ask(client, Request::Undo).await;
    let (fewer, on) = branches(client).await;
    assert_eq!(fewer.into_keys().collect::<Vec<_>>(), ["main"]);
    assert_eq!(on, "main");
    assert_eq!(differences(&files(&place), &later), NONE);
    ask(client, Request::Redo).await;
    let (again, on) = branches(client).await;
    assert_eq!((again, on.as_str()), (tips, "other"));
    assert_eq!(differences(&files(&place), &with_unsaved), NONE);
    let Response::Verify { faults, .. } = ask(client, Request::Verify).await else {
        panic!()
    };
    assert_eq!(faults, NONE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollback_then_undo_then_redo_keeps_what_came_between() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("f.txt", "zero\n");
    let _engine = place.engine(None);
    let client = place.client().await;
    let client: &dyn Source = client.as_ref();
    let zero = cut(client, "zero").await;
    place.write("f.txt", "one\n");
    let one = files(&place);
    common::rollback(client, &zero, false).await;
    place.write("g.txt", "after the rollback\n");
    let after = files(&place);
    ask(client, Request::Undo).await;
    assert_eq!(differences(&files(&place), &one), NONE);
    place.write("h.txt", "after the undo\n");
    let undone = files(&place);
    ask(client, Request::Redo).await;
    assert_eq!(differences(&files(&place), &after), NONE);
    ask(client, Request::Undo).await;
    assert_eq!(differences(&files(&place), &undone), NONE);
}

#[test]
fn an_agent_at_work_goes_on_on_the_other_branch() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("f.txt", "zero\n");
    let (go, stop) = (place.path("go"), place.path("stop"));
    let script = format!(
        r#"
        exec 3<f.txt
        echo agent > f.txt; echo > ready
        while ! test -e {go}; do sleep 0.02; done
        cat <&3; cat f.txt; ls
        echo more > agent.txt
        $BT switch main 2>&1 || echo may not switch
        while ! test -e {stop}; do sleep 0.02; done
        "#,
        go = go.display(),
        stop = stop.display()
    );
    let child = place
        .command(["run", "--", "sh", "-euc", &script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let until = |what: &str, wanted: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !wanted() {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "waited in vain for {what}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    until("the agent", &|| place.project.join("ready").exists());
    place.ok(&["checkpoint", "-m", "agent"]);
    place.ok(&["branch", "create", "before", "@~1"]);
    let said = place.ok(&["switch", "before", "--dry-run"]);
    assert!(said.contains("would go to the branch before"), "{said}");
    let said = place.ok(&["switch", "before"]);
    assert!(said.contains("on before now; it was on main"), "{said}");
    assert!(said.contains("1 session stood still"), "{said}");
    assert!(place.ok(&["switch", "before"]).contains("already"));
    std::fs::write(&go, "").unwrap();
    until("the agent's write", &|| {
        place.project.join("agent.txt").exists()
    });
    place.ok(&["checkpoint", "-m", "goes on"]);
    std::fs::write(&stop, "").unwrap();
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{said}");
    // The file that it held open, a fresh look, and the listing are those of the branch.
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..3], ["zero", "zero", "f.txt"], "{said}");
    assert!(said.contains("may not switch"), "{said}");
    let log = place.json(&["log", "--json"]);
    let of = |message: &str| log.iter().find(|c| c["message"] == message).unwrap();
    assert_eq!(of("agent")["branch"], "main");
    assert_eq!(of("goes on")["branch"], "before");
    place.ok(&["undo"]);
    assert_eq!(
        std::fs::read_to_string(place.project.join("f.txt")).unwrap(),
        "agent\n"
    );
    for (args, word) in [
        (&["switch", "no"][..], "no branch"),
        (&["switch", "-c", "before"], "already"),
        (&["switch", "-c", "a b"], "space"),
    ] {
        let out = place.bt(args);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            !out.status.success() && said.contains(word),
            "{args:?}: {said}"
        );
    }
}

/// What is asked for while the engine dies.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Task {
    Switch,
    Create,
    UndoCreate,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_anywhere_the_workspace_is_on_the_one_branch_or_the_other() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    for i in 0..3 {
        place.write(&format!("same/{i}"), format!("main {i}\n"));
    }
    place.write("only-main", "x\n");
    let of_main;
    let of_other;
    {
        let _engine = place.engine(None);
        let client = place.client().await;
        let client: &dyn Source = client.as_ref();
        cut(client, "main").await;
        of_main = files(&place);
        switch(client, "other", true).await;
        for i in 0..3 {
            place.write(&format!("same/{i}"), format!("other {i}\n"));
        }
        std::fs::remove_file(place.project.join("only-main")).unwrap();
        place.write("only-other/y", "y\n");
        cut(client, "other").await;
        of_other = files(&place);
        switch(client, "main", false).await;
    }
    let mut rounds = Vec::new();
    for name in failpoint::WORLD.iter().chain(failpoint::NAMES) {
        if !name.starts_with("recover.") {
            rounds.push((*name, Task::Switch));
        }
    }
    for name in failpoint::WORLD.iter().copied().chain([
        "restore.after-intent",
        "restore.applied",
        "journal.removed",
    ]) {
        rounds.extend([(name, Task::Create), (name, Task::UndoCreate)]);
    }
    let (mut kills, mut finished) = (0, 0);
    for (n, (name, task)) in rounds.into_iter().enumerate() {
        let what = format!("{task:?} killed at {name}");
        let (tips, from);
        {
            // Where it begins: on `main` or `other` in turn, or on a branch that a switch made.
            let _engine = place.engine(None);
            let client = place.client().await;
            let client: &dyn Source = client.as_ref();
            if task == Task::UndoCreate {
                switch(client, "made", true).await;
            }
            (tips, from) = branches(client).await;
        }
        let before = files(&place);
        let (request, to) = match task {
            Task::Switch if from == "main" => (switch_to("other", false), "other"),
            Task::Switch => (switch_to("main", false), "main"),
            Task::Create => (switch_to("made", true), "made"),
            Task::UndoCreate => (
                Request::Undo,
                if before == of_main { "main" } else { "other" },
            ),
        };
        let after = match (task, to) {
            (Task::Switch, "main") => &of_main,
            (Task::Switch, _) => &of_other,
            _ => &before,
        };
        let mut engine = place.engine(Some(name));
        let client = place.client().await;
        let killed = client.ask(request).await.is_err();
        if killed {
            assert!(engine.gone(Duration::from_secs(5)), "{what}");
            kills += 1;
        }
        engine.kill();
        // Every third time a person goes on while nothing runs; half of those are then killed once more.
        let edit = n % 3 == 0;
        if edit {
            place.write("users-own", &what);
        }
        if killed && n % 6 == 0 {
            let mut second = place.engine(Some("world.before-refs"));
            let _ = place.try_client(Duration::from_millis(500)).await;
            second.kill();
        }

        let _engine = place.engine(None);
        let client = place.client().await;
        let client: &dyn Source = client.as_ref();
        let said = loop {
            let Response::Status(status) = ask(client, Request::Status).await else {
                panic!()
            };
            if status.scan.done {
                break status
                    .warnings
                    .iter()
                    .any(|w| w.contains("a switch was interrupted"));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        finished += usize::from(said);
        if edit {
            let own = place.project.join("users-own");
            assert_eq!(std::fs::read_to_string(&own).unwrap(), what);
            std::fs::remove_file(own).unwrap();
        }
        cut(client, "after the crash").await;
        let (now, on) = branches(client).await;
        let found = files(&place);
        let arrived = on == to;
        assert!(arrived || on == from, "{what}: on {on}");
        let wanted = if arrived { after } else { &before };
        assert_eq!(differences(&found, wanted), NONE, "{what}: on {on}");
        if said {
            assert!(arrived, "{what}: what is finished has arrived");
        }
        // The branches that the workspace is not on are where they were.
        for (branch, tip) in tips.iter().filter(|(b, _)| **b != on) {
            if arrived && task == Task::UndoCreate && branch == "made" {
                assert!(!now.contains_key(branch), "{what}");
            } else {
                assert_eq!(now.get(branch), Some(tip), "{what}: {branch}");
            }
        }
        if arrived && killed {
            // Undone like any other, to the branch that was left, as it was.
            let (back, again) = match task {
                Task::UndoCreate => (Request::Redo, Request::Undo),
                _ => (Request::Undo, Request::Redo),
            };
            ask(client, back).await;
            let (undone, on) = branches(client).await;
            assert_eq!(on, from, "{what}");
            assert_eq!(undone.get(&from), tips.get(&from), "{what}");
            assert_eq!(differences(&files(&place), &before), NONE, "{what}");
            ask(client, again).await;
        }
        // Away with the branch that was made.
        if branches(client).await.1 == "made" {
            let back = if before == of_main { "main" } else { "other" };
            switch(client, back, false).await;
        }
        if branches(client).await.0.contains_key("made") {
            let name = "made".to_owned();
            ask(client, Request::BranchDelete { name }).await;
        }
    }
    println!("{kills} kills, {finished} finished by the next start");
    assert!(
        kills >= 20 && finished >= 10,
        "{kills} kills, {finished} finished"
    );
}
