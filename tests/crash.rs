//! The engine killed in the middle of rollbacks, at every named point and at random moments, sometimes with a user's edit
//! in between: the workspace is the old or the new state plus that edit, never a mixture, and the next start says which.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use common::{Place, Tree, ask, differences, fuse, rollback, walk};

use backtrail::capture::failpoint;
use backtrail::engine::api::{Request, Response};
use backtrail::engine::source::Source;

const RANDOM: usize = 140;
const HITS: usize = 4;

/// The first state: some of everything.
fn first(place: &Place) {
    let p = |name: &str| place.project.join(name);
    for i in 0..8 {
        place.write(
            &format!("same/f{i}.txt"),
            format!("first {i}\n").repeat(i + 1),
        );
    }
    place.write("only-first/x.txt", "x\n");
    place.write("becomes-dir", "a file\n");
    place.write("mode.sh", "#!/bin/sh\n");
    std::fs::create_dir_all(p("empty-first")).unwrap();
    symlink("same/f1.txt", p("link")).unwrap();
    std::fs::set_permissions(p("mode.sh"), std::fs::Permissions::from_mode(0o644)).unwrap();
}

fn second(place: &Place) {
    let p = |name: &str| place.project.join(name);
    for i in 0..6 {
        place.write(&format!("same/f{i}.txt"), format!("second {i}\n").repeat(3));
    }
    std::fs::remove_dir_all(p("only-first")).unwrap();
    std::fs::remove_dir(p("empty-first")).unwrap();
    std::fs::remove_file(p("becomes-dir")).unwrap();
    place.write("becomes-dir/inner.txt", "inner\n");
    place.write("only-second/deep/y.txt", "y\n");
    std::fs::create_dir_all(p("empty-second")).unwrap();
    std::fs::remove_file(p("link")).unwrap();
    symlink("only-second", p("link")).unwrap();
    std::fs::set_permissions(p("mode.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
}

async fn checkpoint(client: &dyn Source, message: &str) -> String {
    let request = Request::Checkpoint {
        message: Some(message.to_owned()),
    };
    let Response::Checkpoint(made) = ask(client, request).await else {
        panic!()
    };
    made.last().unwrap().id.to_hex()
}

async fn scanned(client: &dyn Source) -> Vec<String> {
    loop {
        let Response::Status(status) = ask(client, Request::Status).await else {
            panic!()
        };
        if status.scan.done {
            return status.warnings;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_rollbacks_leave_the_old_or_the_new_state() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    first(&place);
    let a = walk(&place.project, &[]);
    let (old, new);
    {
        let _engine = place.engine(None);
        let client = place.client().await;
        old = checkpoint(client.as_ref(), "first").await;
        second(&place);
        new = checkpoint(client.as_ref(), "second").await;
    }
    let b = walk(&place.project, &[]);
    let mut points: Vec<Option<String>> = Vec::new();
    for name in failpoint::NAMES
        .iter()
        .chain(failpoint::WORLD)
        .filter(|n| !n.starts_with("recover."))
    {
        points.extend((1..=HITS).map(|hit| Some(format!("{name}:{hit}"))));
    }
    points.extend((0..RANDOM).map(|_| None));
    let total = points.len();
    assert!(total >= 200, "{total} kills are too few");

    let mut seed = 42_u64;
    let mut random = move |n: u64| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    let (mut interrupted, mut kills, mut edits, mut at_old) = (0, 0, 0, 0);
    let mut here_is_new = true;
    for (n, point) in points.into_iter().enumerate() {
        let target = if here_is_new { &old } else { &new };
        let mut engine = place.engine(point.as_deref());
        let client = place.client().await;
        scanned(client.as_ref()).await;
        let request = Request::Rollback {
            rev: target.clone(),
            dry_run: false,
            keep_mtime: false,
            keep_frozen: false,
        };
        let answer = if point.is_some() {
            client.ask(request).await
        } else {
            let wait = Duration::from_micros(random(9_000));
            let asked = client.ask(request);
            tokio::select! {
                biased;
                answer = asked => answer,
                () = tokio::time::sleep(wait) => { engine.kill(); Err(backtrail::engine::api::ApiError::new(backtrail::engine::api::ErrorCode::Gone, "killed")) }
            }
        };
        if answer.is_err() {
            assert!(engine.gone(Duration::from_secs(5)), "{point:?}: {answer:?}");
            kills += 1;
        } else {
            engine.kill();
        }
        // The user goes on working while nothing runs.
        let edit = match random(4) {
            0 => Some("same/f2.txt"),
            1 => Some("users-own.txt"),
            _ => None,
        };
        let words = format!("edited by the user after kill {n}\n");
        if let Some(path) = edit {
            place.write(path, &words);
            edits += 1;
        }
        let mut engine = place.engine(None);
        let client = place.client().await;
        let warnings = scanned(client.as_ref()).await;
        let said = warnings.iter().any(|w| w.contains("interrupted"));
        interrupted += usize::from(said);
        let mut found = walk(&place.project, &[]);
        if let Some(path) = edit {
            let (_, _, content) = &found[std::path::Path::new(path)];
            assert_eq!(
                String::from_utf8_lossy(content),
                words,
                "{point:?}: the edit of {path}"
            );
        }
        let without = |tree: &Tree| {
            let mut tree = tree.clone();
            if let Some(path) = edit {
                tree.remove(std::path::Path::new(path));
            }
            tree
        };
        found = without(&found);
        let (to_a, to_b) = (
            differences(&found, &without(&a)),
            differences(&found, &without(&b)),
        );
        assert!(
            to_a.is_empty() || to_b.is_empty(),
            "a mixture after {point:?} (edit {edit:?}, said {said}, warnings {warnings:?}):\nagainst the first {to_a:#?}\nagainst the second {to_b:#?}"
        );
        at_old += usize::from(to_a.is_empty());
        // A rollback that was finished after the crash can be undone like any other: back to the state before it.
        if said {
            let before = if here_is_new { &b } else { &a };
            ask(client.as_ref(), Request::Undo).await;
            let differs = differences(&walk(&place.project, &[]), before);
            assert_eq!(differs, Vec::<String>::new(), "undo after {point:?}");
        }
        // Back to a clean state, by the same machinery; nothing else may be there afterwards.
        let clean = if n % 2 == 0 { (&old, &a) } else { (&new, &b) };
        rollback(client.as_ref(), clean.0, false).await;
        assert_eq!(
            differences(&walk(&place.project, &[]), clean.1),
            Vec::<String>::new(),
            "after {point:?}"
        );
        here_is_new = n % 2 != 0;
        if n % 50 == 49 {
            let Response::Verify { faults, .. } = ask(client.as_ref(), Request::Verify).await
            else {
                panic!()
            };
            assert_eq!(faults, Vec::<String>::new());
        }
        engine.kill();
    }
    println!(
        "{total} rounds, {kills} kills during a rollback, {edits} edits in between, {interrupted} recoveries announced, {at_old} ended in the first state"
    );
    assert!(
        kills >= 100 && interrupted >= 40,
        "{kills} kills, {interrupted} recoveries: the points are not reached"
    );
}
