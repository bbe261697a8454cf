//! The engine killed at every named point of a merge: the workspace is as before or merged, never between, whichever it is
//! can be gone on from, and what was picked is not lost before it is written.

use std::time::Duration;

use backtrail::capture::failpoint;
use backtrail::engine::api::{PickOrigin, Request, Response};
use backtrail::engine::source::Source;
use backtrail::merge::resolve::Pick;
use backtrail::model::RepoPath;

use crate::common::{Place, ask, differences, fuse};
use crate::support::{files, parted};

const NONE: &[String] = &[];

fn place() -> Place {
    parted(
        |p| {
            for n in 0..3 {
                p.write(&format!("same/{n}"), format!("base {n}\n"));
            }
            p.write("gone", "x\n");
            p.write("f.txt", "base\n");
        },
        |p| {
            for n in 0..3 {
                p.write(&format!("same/{n}"), format!("theirs {n}\n"));
            }
            std::fs::remove_file(p.project.join("gone")).unwrap();
            p.write("new/t", "t\n");
            p.write("f.txt", "theirs\n");
        },
        |p| {
            p.write("ours", "o\n");
            p.write("f.txt", "ours\n");
        },
    )
}

async fn tip(client: &dyn Source, name: &str) -> String {
    let Response::Branches(all) = ask(client, Request::Branches).await else {
        panic!()
    };
    all.iter()
        .find(|b| b.name == name)
        .unwrap()
        .commit
        .id
        .to_hex()
}

fn begin() -> Request {
    Request::Merge {
        branch: "try".into(),
        into: None,
        resolver: Default::default(),
        dry_run: false,
        finish: false,
        message: None,
        keep_conflicts: false,
    }
}

fn pick() -> Request {
    Request::MergePick {
        path: RepoPath::try_from("f.txt").unwrap(),
        hunk: None,
        pick: Some(Pick::Edited(b"merged\n".to_vec())),
        origin: PickOrigin::Person,
        of: None,
    }
}

fn finish() -> Request {
    Request::MergeFinish {
        message: None,
        keep_conflicts: false,
    }
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
async fn killed_anywhere_it_is_merged_or_as_before() {
    if !fuse() {
        return;
    }
    let place = place();
    let before = files(&place);
    let merged;
    {
        let _engine = place.engine(None);
        let client = place.client().await;
        let client: &dyn Source = client.as_ref();
        for request in [begin(), pick(), finish()] {
            ask(client, request).await;
        }
        merged = files(&place);
        ask(client, Request::Undo).await;
        assert_eq!(differences(&files(&place), &before), NONE);
    }
    let names = failpoint::MERGE
        .iter()
        .chain(failpoint::WORLD)
        .chain(failpoint::NAMES)
        .filter(|n| !n.starts_with("recover."));
    let (mut kills, mut finished, mut lost) = (0, 0, 0);
    for (n, name) in names.enumerate() {
        let start;
        {
            let _engine = place.engine(None);
            let client = place.client().await;
            let client: &dyn Source = client.as_ref();
            start = tip(client, "main").await;
        }
        let mut engine = place.engine(Some(name));
        let client = place.client().await;
        // It may die at any of these.
        let mut done = 0;
        for request in [begin(), pick(), finish()] {
            if client.ask(request).await.is_err() {
                break;
            }
            done += 1;
        }
        let killed = done < 3;
        if killed {
            assert!(engine.gone(Duration::from_secs(30)), "{name}");
            kills += 1;
        }
        engine.kill();
        let edit = n % 3 == 0;
        if edit {
            place.write("users-own", name);
        }
        let _engine = place.engine(None);
        let client = place.client().await;
        let client: &dyn Source = client.as_ref();
        let warnings = scanned(client).await;
        finished += usize::from(
            warnings
                .iter()
                .any(|w| w.contains("a merge was interrupted")),
        );
        if edit {
            let own = place.project.join("users-own");
            assert_eq!(std::fs::read_to_string(&own).unwrap(), *name);
            std::fs::remove_file(own).unwrap();
        }
        let found = files(&place);
        let arrived = differences(&found, &merged).is_empty();
        if !arrived {
            assert_eq!(differences(&found, &before), NONE, "{name}: a mixture");
        }
        let Response::Merging(info) = ask(client, Request::Merging).await else {
            panic!()
        };
        match info {
            None if arrived => {}
            None => {
                assert!(done == 0, "{name}: what was kept is gone");
                lost += 1;
            }
            Some(info) => {
                assert!(!arrived, "{name}: merged, and still unfinished");
                if done >= 2 {
                    assert_eq!(
                        (info.left, info.undoable),
                        (0, 1),
                        "{name}: the pick is kept"
                    );
                }
            }
        }
        if !arrived {
            // It can be gone on from where it stopped.
            if done < 2 {
                ask(client, begin()).await;
                ask(client, pick()).await;
            }
            ask(client, finish()).await;
            assert_eq!(differences(&files(&place), &merged), NONE, "{name}");
        }
        let Response::Commit(shown) = ask(client, Request::Show { rev: "@".into() }).await else {
            panic!()
        };
        let theirs = tip(client, "try").await;
        let is_merge = shown
            .commit
            .parents
            .get(1)
            .is_some_and(|p| p.to_hex() == theirs);
        assert!(is_merge || edit, "{name}: {:?}", shown.commit);
        ask(client, Request::Undo).await;
        assert_eq!(differences(&files(&place), &before), NONE, "{name}");
        if !edit {
            assert_eq!(tip(client, "main").await, start, "{name}");
        }
    }
    println!(
        "{kills} kills, {finished} finished by the next start, {lost} before anything was kept"
    );
    assert!(
        kills >= 20 && finished >= 8,
        "{kills} kills, {finished} finished"
    );
}

#[test]
fn an_agent_that_writes_meanwhile_loses_nothing() {
    if !fuse() {
        return;
    }
    let place = place();
    place.ok(&["merge", "try", "--resolver", "theirs", "--dry-run"]);
    let (go, stop) = (place.path("go"), place.path("stop"));
    let script = format!(
        r#"
        n=0
        while ! test -e {stop}; do n=$((n+1)); echo $n > count; echo line $n >> log.txt; done
        echo $n > {go}
        "#,
        stop = stop.display(),
        go = go.display()
    );
    let child = place
        .command(["run", "--", "sh", "-euc", &script])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let start = std::time::Instant::now();
    while !place.project.join("log.txt").exists() {
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(5));
    }
    place.ok(&["merge", "try", "--resolver", "theirs"]);
    std::fs::write(&stop, "").unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    let n: usize = std::fs::read_to_string(&go)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let log = std::fs::read_to_string(place.project.join("log.txt")).unwrap();
    let wanted: String = (1..=n).map(|i| format!("line {i}\n")).collect();
    assert_eq!(log, wanted, "every line of the agent is there");
    assert_eq!(
        std::fs::read_to_string(place.project.join("f.txt")).unwrap(),
        "theirs\n"
    );
    assert_eq!(
        std::fs::read_to_string(place.project.join("same/1")).unwrap(),
        "theirs 1\n"
    );
    crate::support::sound(&place);
}
