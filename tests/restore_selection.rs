//! Parts of a past state brought back into a real project: files, modes, links, absence and lines; undone; while an agent
//! writes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Place, Tree, ask, differences, fuse, walk};

use backtrail::capture::failpoint;
use backtrail::engine::api::{Part, PastLines, Request, Response, RestoreReport};
use backtrail::engine::source::Source;
use backtrail::model::{BlobId, OpKind, RepoPath};

const NONE: &[String] = &[];

async fn cut(client: &dyn Source) -> String {
    let request = Request::Checkpoint {
        message: Some("state".to_owned()),
    };
    match ask(client, request).await {
        Response::Checkpoint(made) => made.last().unwrap().id.to_hex(),
        other => panic!("{other:?}"),
    }
}

fn path(path: &str) -> RepoPath {
    RepoPath::new(path).unwrap()
}

fn whole(name: &str) -> Part {
    Part::Whole { path: path(name) }
}

fn request(rev: &str, parts: Vec<Part>, dry_run: bool) -> Request {
    Request::Restore {
        rev: rev.to_owned(),
        parts,
        dry_run,
        keep_frozen: false,
    }
}

async fn restore(client: &dyn Source, rev: &str, parts: Vec<Part>, dry_run: bool) -> RestoreReport {
    match ask(client, request(rev, parts, dry_run)).await {
        Response::Restored(report) => *report,
        other => panic!("{other:?}"),
    }
}

fn files(place: &Place) -> Tree {
    walk(&place.project, &[])
}

fn set_mode(place: &Place, name: &str, mode: u32) {
    let rights = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(place.project.join(name), rights).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_come_back_as_they_were_and_nothing_else_changes() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("src/a.rs", "one\n");
    place.write("src/b.rs", "b\n");
    place.write("run.sh", "#!/bin/sh\n");
    set_mode(&place, "run.sh", 0o755);
    place.write("gone/deep/file", "deep\n");
    set_mode(&place, "gone/deep", 0o700);
    symlink("src/a.rs", place.project.join("link")).unwrap();
    let _engine = place.engine(None);
    let client = place.client().await;
    let client: &dyn Source = client.as_ref();
    let past = cut(client).await;
    let then = files(&place);

    place.write("src/a.rs", "two\n");
    place.write("src/b.rs", "other\n");
    place.write("src/new.rs", "new\n");
    set_mode(&place, "run.sh", 0o644);
    std::fs::remove_dir_all(place.project.join("gone")).unwrap();
    std::fs::remove_file(place.project.join("link")).unwrap();
    symlink("elsewhere", place.project.join("link")).unwrap();
    cut(client).await;
    // Not committed: what is there at that moment counts.
    place.write("src/b.rs", "unsaved\n");
    let now = files(&place);

    let parts = || {
        ["src/a.rs", "src/new.rs", "run.sh", "link", "gone/deep/file"]
            .map(whole)
            .to_vec()
    };
    let preview = restore(client, &past, parts(), true).await;
    assert_eq!(
        differences(&files(&place), &now),
        NONE,
        "a preview writes nothing"
    );
    let report = restore(client, &past, parts(), false).await;
    assert_eq!(report.changes, preview.changes);
    assert_eq!(report.report.restored, preview.report.restored);
    assert_eq!(report.report.removed, [path("src/new.rs")]);
    assert_eq!(report.report.modes, [path("run.sh")]);
    let mut wanted = then.clone();
    let b = std::path::Path::new("src/b.rs").to_path_buf();
    wanted.insert(b.clone(), now[&b].clone());
    // The directory that came with the file is as it was then.
    assert_eq!(differences(&files(&place), &wanted), NONE);

    // In the log, and undone and done again like a rollback.
    let Response::Operations(ops) = ask(
        client,
        Request::Operations {
            before: None,
            limit: 1,
        },
    )
    .await
    else {
        panic!()
    };
    assert_eq!(ops[0].kind, OpKind::Restore);
    assert!(
        ops[0].description.starts_with("restored 5 files as at "),
        "{ops:?}"
    );
    for _ in 0..2 {
        let Response::Rollback(undone) = ask(client, Request::Undo).await else {
            panic!()
        };
        assert_eq!(undone.of, Some(OpKind::Restore));
        assert_eq!(differences(&files(&place), &now), NONE);
        ask(client, Request::Redo).await;
        assert_eq!(differences(&files(&place), &wanted), NONE);
    }
    // Its commit is tied to its step in the timeline.
    let Response::Log(log) = ask(
        client,
        Request::Log {
            before: None,
            limit: 5,
        },
    )
    .await
    else {
        panic!()
    };
    let made = log
        .iter()
        .find(|c| c.id == report.report.target.commit)
        .unwrap();
    assert!(made.step.is_some(), "{made:?}");

    // Once more: nothing differs, nothing is done.
    let again = restore(client, &past, parts(), false).await;
    assert!(
        again.changes.is_empty() && again.report.operation.is_none(),
        "{again:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_come_back_into_what_is_there_now() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    let text = |marks: &[(usize, &str)]| -> String {
        (0..30)
            .map(|n| match marks.iter().find(|(at, _)| *at == n) {
                Some((_, word)) => format!("{word}\n"),
                None => format!("line {n}\n"),
            })
            .collect()
    };
    let past_text = text(&[(3, "old three"), (20, "old twenty")]);
    place.write("f.txt", &past_text);
    let _engine = place.engine(None);
    let client = place.client().await;
    let client: &dyn Source = client.as_ref();
    let past = cut(client).await;
    place.write(
        "f.txt",
        text(&[(3, "new three"), (20, "new twenty"), (28, "mine")]),
    );
    set_mode(&place, "f.txt", 0o755);
    cut(client).await;
    let lines = |of: &str| Part::Lines {
        path: path("f.txt"),
        of: BlobId::of(of.as_bytes()),
        lines: vec![PastLines {
            first: 20,
            count: 1,
            edges: true,
        }],
    };
    let report = restore(client, &past, vec![lines(&past_text)], false).await;
    assert_eq!(report.changes[0].lines, Some((1, 1)));
    let file = place.project.join("f.txt");
    let read = || std::fs::read_to_string(&file).unwrap();
    assert_eq!(
        read(),
        text(&[(3, "new three"), (20, "old twenty"), (28, "mine")])
    );
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o755);
    ask(client, Request::Undo).await;
    assert_eq!(
        read(),
        text(&[(3, "new three"), (20, "new twenty"), (28, "mine")])
    );
    // Of another content the numbers mean something else.
    let error = client
        .ask(request(&past, vec![lines("other\n")], false))
        .await
        .unwrap_err();
    assert!(error.message.contains("look at it again"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_writes_loses_nothing() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("target.txt", "zero\n");
    let (stop, up) = (place.path("stop"), place.project.join("up"));
    let child = place
        .command(["run", "--", "sh", "-euc"])
        .arg(format!(
            "echo changed > target.txt; i=0; while ! test -e {}; do i=$((i+1)); echo $i >> counter.txt; if test $i = 20; then : > up; fi; done; echo $i",
            stop.display()
        ))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let patience = Instant::now();
    while !up.exists() {
        assert!(
            patience.elapsed() < Duration::from_secs(30),
            "the agent does not write"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let client = place.client().await;
    let client: &dyn Source = client.as_ref();
    let Response::Log(log) = ask(
        client,
        Request::Log {
            before: None,
            limit: 1000,
        },
    )
    .await
    else {
        panic!()
    };
    let first = log.last().unwrap().id.to_hex();
    let target = place.project.join("target.txt");
    for _ in 0..5 {
        let report = restore(client, &first, vec![whole("target.txt")], false).await;
        assert_eq!(report.report.frozen, 1);
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "zero\n");
        ask(client, Request::Undo).await;
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "changed\n");
        restore(client, &first, vec![whole("target.txt")], false).await;
        std::fs::write(&target, "changed\n").unwrap();
    }
    std::fs::write(&stop, "").unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let last: u64 = String::from_utf8_lossy(&out.stdout).trim().parse().unwrap();
    // Undoing goes back over what the agent wrote meanwhile; restoring itself never does. What was written after the last
    // undo is all there, without a gap.
    let counted: Vec<u64> = std::fs::read_to_string(place.project.join("counter.txt"))
        .unwrap()
        .lines()
        .map(|l| l.parse().unwrap())
        .collect();
    assert_eq!(counted.last(), Some(&last));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restoring_takes_nothing_from_an_agent_that_appends() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("target.txt", "zero\n");
    let (stop, up) = (place.path("stop"), place.project.join("up"));
    let child = place
        .command(["run", "--", "sh", "-euc"])
        .arg(format!(
            "echo changed > target.txt; i=0; while ! test -e {}; do i=$((i+1)); echo $i >> counter.txt; if test $i = 20; then : > up; fi; done",
            stop.display()
        ))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let patience = Instant::now();
    while !up.exists() {
        assert!(
            patience.elapsed() < Duration::from_secs(30),
            "the agent does not write"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let client = place.client().await;
    let client: &dyn Source = client.as_ref();
    let Response::Log(log) = ask(
        client,
        Request::Log {
            before: None,
            limit: 1000,
        },
    )
    .await
    else {
        panic!()
    };
    let first = log.last().unwrap().id.to_hex();
    let target = place.project.join("target.txt");
    for n in 0..8 {
        restore(client, &first, vec![whole("target.txt")], false).await;
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "zero\n");
        std::fs::write(&target, format!("changed {n}\n")).unwrap();
    }
    std::fs::write(&stop, "").unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let counted: Vec<u64> = std::fs::read_to_string(place.project.join("counter.txt"))
        .unwrap()
        .lines()
        .map(|l| l.parse().unwrap())
        .collect();
    let wanted: Vec<u64> = (1..=counted.len() as u64).collect();
    assert_eq!(
        counted, wanted,
        "every line that the agent wrote is there, once"
    );
}

#[test]
fn the_command_line_restores_and_agents_may_not() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("dir/a", "a\n");
    place.write("dir/b", "b\n");
    place.ok(&["init"]);
    place.ok(&["label", "start", "@"]);
    place.write("dir/a", "changed\n");
    place.write("dir/c", "new\n");
    place.ok(&["checkpoint", "-m", "later"]);
    let said = place.ok(&["restore", "start", "--dry-run", "--", "dir"]);
    assert!(said.contains("dir/a") && said.contains("dir/c"), "{said}");
    assert_eq!(
        std::fs::read_to_string(place.project.join("dir/a")).unwrap(),
        "changed\n"
    );
    let said = place.ok(&["restore", "start", "--", "dir/a"]);
    assert!(said.contains("undo with: backtrail undo"), "{said}");
    assert_eq!(
        std::fs::read_to_string(place.project.join("dir/a")).unwrap(),
        "a\n"
    );
    assert!(place.project.join("dir/c").exists());
    let said = place.ok(&["restore", "start", "--", "dir/a"]);
    assert!(said.contains("already"), "{said}");
    place.ok(&["restore", "start", "--", "dir"]);
    assert!(!place.project.join("dir/c").exists());
    let found = place.json(&["restore", "@~1", "--json", "--", "dir/c"]);
    assert_eq!(found[0]["changes"][0]["op"], "create", "{found:?}");
    assert!(place.project.join("dir/c").exists());
    let out = place.bt(&["restore", "start", "--", "nowhere"]);
    assert!(!out.status.success());
    assert!(String::from_utf8_lossy(&out.stderr).contains("neither at"));
    assert!(!place.bt(&["restore", "start"]).status.success());

    let out = place.run("$BT restore start -- dir/c 2>&1 || echo may not restore");
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        said.contains("may not restore") && said.contains("ask the person"),
        "{said}"
    );
    assert!(place.project.join("dir/c").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_point_it_is_done_or_not_done() {
    if !fuse() {
        return;
    }
    let inner = [
        "restore.after-intent",
        "restore.swapped-one",
        "restore.applied",
        "journal.removed",
    ];
    let points = failpoint::SELECTION
        .iter()
        .chain(failpoint::WORLD)
        .chain(&inner);
    for point in points {
        let place = Place::new();
        place.write("a", "old a\n");
        place.write("b", "old b\n");
        place.write("c", "old c\n");
        place.ok(&["init"]);
        place.ok(&["label", "start", "@"]);
        place.write("a", "new a\n");
        std::fs::remove_file(place.project.join("b")).unwrap();
        place.write("c", "new c\n");
        place.ok(&["checkpoint", "-m", "later"]);
        place.ok(&["stop"]);
        let now = files(&place);
        let mut engine = place.engine(Some(point));
        let client = place.client().await;
        let _ = client
            .ask(request("start", vec![whole("a"), whole("b")], false))
            .await;
        assert!(
            engine.gone(Duration::from_secs(30)),
            "{point} was never passed"
        );
        drop(engine);
        let _engine = place.engine(None);
        let client = place.client().await;
        let client: &dyn Source = client.as_ref();
        // Whatever was under way is finished before anything is answered that changes the world.
        cut(client).await;
        let after = files(&place);
        let read = |name: &str| std::fs::read_to_string(place.project.join(name)).ok();
        let done = after != now;
        if done {
            assert_eq!(read("a").as_deref(), Some("old a\n"), "{point}");
            assert_eq!(read("b").as_deref(), Some("old b\n"), "{point}");
        }
        assert_eq!(read("c").as_deref(), Some("new c\n"), "{point}");
        assert_eq!(done, *point != "selection.commit-stored", "{point}");
        if done {
            ask(client, Request::Undo).await;
            assert_eq!(differences(&files(&place), &now), NONE, "{point}");
        }
        let verified = place.json(&["verify", "--json"]);
        assert!(
            verified[0]["faults"].as_array().unwrap().is_empty(),
            "{point}: {verified:?}"
        );
    }
}
