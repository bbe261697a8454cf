//! What is kept of recordings and what is made again: caches that fit no more, other processes, temporary directories,
//! imports of runs that are known already, and what is shown of recordings that tell little.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;
#[path = "common/pty.rs"]
mod pty;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use backtrail::engine::api::{Known, Request, Response};
use backtrail::engine::shelf::{Opening, open_recording, opened};
use backtrail::store::Store;
use common::{Place, ask, fuse};
use pty::Term;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
const SESSION: &str = "5e551011-0000-4000-8000-000000000001";

/// A line of a transcript in the shape of Claude Code's.
fn line(uuid: &str, parent: Option<&str>, second: u32, cwd: &str, extra: Value) -> String {
    let mut line = json!({
        "uuid": uuid, "parentUuid": parent, "isSidechain": false, "userType": "external", "cwd": cwd,
        "sessionId": SESSION, "version": "2.1.40", "gitBranch": "main",
        "timestamp": format!("2026-03-01T10:00:{second:02}.000Z"),
    });
    for (key, value) in extra.as_object().unwrap() {
        line[key] = value.clone();
    }
    line.to_string()
}

fn prompt(cwd: &str) -> String {
    let message = json!({"role": "user", "content": "Please change it."});
    line(
        "p1",
        None,
        0,
        cwd,
        json!({"type": "user", "message": message}),
    )
}

/// An edit of a file: the call and its result. Without `before` nobody tells what was there.
fn edit(n: u32, cwd: &str, file: &str, before: Option<&str>, old: &str, new: &str) -> [String; 2] {
    let id = format!("toolu_{n}");
    let path = format!("{cwd}/{file}");
    let parent = if n == 1 {
        "p1".to_owned()
    } else {
        format!("r{}", n - 1)
    };
    let input = json!({"file_path": path, "old_string": old, "new_string": new});
    let content = json!([{"type": "tool_use", "id": id, "name": "Edit", "input": input}]);
    let message =
        json!({"id": format!("m{n}"), "role": "assistant", "model": "m-1", "content": content});
    let call = json!({"type": "assistant", "message": message});
    let content = json!([{"type": "tool_result", "tool_use_id": id, "content": "done"}]);
    let result = json!({
        "type": "user", "message": {"role": "user", "content": content},
        "toolUseResult": {"filePath": path, "oldString": old, "newString": new, "originalFile": before,
            "structuredPatch": [], "userModified": false, "replaceAll": false},
    });
    [
        line(&format!("c{n}"), Some(&parent), 2 * n, cwd, call),
        line(
            &format!("r{n}"),
            Some(&format!("c{n}")),
            2 * n + 1,
            cwd,
            result,
        ),
    ]
}

/// Two edits of one file.
fn story() -> Vec<String> {
    let mut lines = vec![prompt("/w/app")];
    lines.extend(edit(1, "/w/app", "a.txt", Some("one\n"), "one", "two"));
    lines.extend(edit(2, "/w/app", "a.txt", Some("two\n"), "two", "three"));
    lines
}

fn outside(place: &Place, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = place.path(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The places in the cache.
fn kept(place: &Place) -> Vec<PathBuf> {
    let all = place.path("home").join(".cache/backtrail/recordings");
    std::fs::read_dir(all)
        .into_iter()
        .flatten()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_dir())
        .collect()
}

#[test]
fn an_imported_run_that_was_recorded_here_keeps_its_states() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("mine.txt", "mine\n");
    let say = |event: Value| format!("printf '%s\\n' '{event}' | $BT emit --session {SESSION}\n");
    let script = [
        say(json!({"type": "prompt", "text": "Please change it."})),
        say(
            json!({"type": "call", "id": "toolu_1", "name": "Edit", "title": "as it was seen", "input": {"file_path": "a.txt"}}),
        ),
        "echo two > a.txt\n".to_owned(),
        say(json!({"type": "result", "id": "toolu_1"})),
    ];
    let out = place.run(&script.concat());
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let call = |place: &Place| -> Value {
        let rows = place.json(&["steps", "--json"]);
        rows.into_iter().find(|r| r["kind"] == "call").unwrap()
    };
    let before = call(&place);
    assert!(before["commit"].is_string(), "{before}");
    let file = outside(&place, "run.jsonl", story().join("\n"));
    let imported = &place.json(&["import", "--json", &file])[0];
    let after = call(&place);
    for what in ["commit", "commits", "title", "ordinal", "step"] {
        assert_eq!(before[what], after[what], "{what}");
    }
    assert_eq!(place.ok(&["cat", "call:toolu_1:mine.txt"]), "mine\n");
    place.write("a.txt", "later\n");
    place.ok(&["rollback", "call:toolu_1"]);
    let read = |name: &str| std::fs::read_to_string(place.project.join(name)).unwrap();
    assert_eq!(
        (read("mine.txt").as_str(), read("a.txt").as_str()),
        ("mine\n", "two\n")
    );
    // The recording's own states are there under the branch, to be looked at.
    let branch = imported["branch"].as_str().unwrap();
    assert_eq!(place.ok(&["cat", &format!("{branch}:a.txt")]), "three\n");
    let out = place.bt(&["rollback", branch]);
    assert!(!out.status.success(), "the workspace would lose mine.txt");
    assert_eq!(read("mine.txt"), "mine\n");
}

#[test]
fn a_rollback_to_an_imported_state_is_refused() {
    let place = Place::new();
    place.write("mine.txt", "mine\n");
    place.ok(&["init"]);
    let file = outside(&place, "run.jsonl", story().join("\n"));
    let imported = &place.json(&["import", "--json", &file])[0];
    for rev in [imported["branch"].as_str().unwrap(), "call:toolu_1"] {
        for more in [&[][..], &["--dry-run"]] {
            let out = place.bt(&[&["rollback", rev], more].concat());
            let said = String::from_utf8_lossy(&out.stderr).into_owned();
            assert!(!out.status.success(), "{rev}");
            assert!(
                said.contains("imported recording") && said.contains("diff"),
                "{said}"
            );
        }
    }
    assert!(place.project.join("mine.txt").exists());
    place.ok(&["rollback", "@"]);
}

#[test]
fn a_recording_that_tells_its_beginning_late_has_each_state_once() {
    let place = Place::new();
    place.ok(&["init"]);
    let mut lines = story();
    let file = outside(&place, "run.jsonl", lines.join("\n"));
    place.ok(&["import", &file]);
    let commits = || -> Vec<(String, u64)> {
        let rows = place.json(&["steps", "--json"]);
        let calls = rows.iter().filter(|r| r["kind"] == "call");
        calls
            .map(|r| {
                let commit = r["commit"].as_str().unwrap_or_default().to_owned();
                (commit, r["commits"].as_u64().unwrap())
            })
            .collect()
    };
    let first = commits();
    assert_eq!(first.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [1, 1]);
    // Another file was there from the beginning: the first state is another one, and so are all.
    lines.extend(edit(3, "/w/app", "b.txt", Some("b\n"), "b", "B"));
    outside(&place, "run.jsonl", lines.join("\n"));
    place.ok(&["import", &file]);
    let second = commits();
    assert_eq!(
        second.iter().map(|(_, n)| *n).collect::<Vec<_>>(),
        [1, 1, 1]
    );
    assert_ne!(first[0].0, second[0].0);
    assert_eq!(place.ok(&["cat", "call:toolu_1:b.txt"]), "b\n");
    assert_eq!(place.ok(&["cat", "call:toolu_1^:a.txt"]), "one\n");
    // And back: what was tied before is again.
    outside(&place, "run.jsonl", story().join("\n"));
    place.ok(&["import", &file]);
    assert_eq!(commits()[..2], first);
    assert!(place.ok(&["verify"]).contains("all well"));
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let place = Place::new();
    let pipe = place.path("pipe.jsonl");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for file in [Path::new("/dev/zero"), &pipe] {
        let mut child = place
            .command(["steps", "--format", "claude", "--trace"])
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let until = Instant::now() + SOON;
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > until {
                child.kill().unwrap();
                panic!("{} is still being read", file.display());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let out = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(said.contains("not a regular file"), "{said}");
    }
}

#[test]
fn a_store_that_another_process_uses_is_left_alone() {
    let place = Place::new();
    let file = outside(&place, "run.jsonl", story()[..3].join("\n"));
    let cat = || place.ok(&["cat", "--trace", &file, "@:a.txt"]);
    assert_eq!(cat(), "two\n");
    let dir = kept(&place).pop().unwrap();
    let index = std::fs::read(dir.join("index")).unwrap();
    {
        let _other = Store::open(&dir.join("store")).unwrap();
        outside(&place, "run.jsonl", story().join("\n"));
        assert_eq!(cat(), "three\n");
        assert_eq!(std::fs::read(dir.join("index")).unwrap(), index);
    }
    assert_eq!(cat(), "three\n");
    // Now it is kept, and used again.
    assert_ne!(std::fs::read(dir.join("index")).unwrap(), index);
    assert_eq!(cat(), "three\n");
    // States that are of another store are not taken for this one's.
    let states = std::fs::read_to_string(dir.join("states.json")).unwrap();
    let mut of_other: Value = serde_json::from_str(&states).unwrap();
    of_other["head"] = json!("0".repeat(64));
    std::fs::write(dir.join("states.json"), of_other.to_string()).unwrap();
    assert_eq!(cat(), "three\n");
}

#[test]
fn a_cache_with_a_part_missing_is_made_again() {
    let place = Place::new();
    let file = outside(&place, "run.jsonl", story().join("\n"));
    let told = || {
        let trace = ["--trace", file.as_str()];
        let effects = place.ok(&[&["effects"][..], &trace].concat());
        assert_eq!(effects.lines().count(), 2, "{effects}");
        (
            effects,
            place.ok(&[&["cat", "@:a.txt"][..], &trace].concat()),
        )
    };
    let whole = told();
    let dir = kept(&place).pop().unwrap();
    for part in ["states.json", "index"] {
        std::fs::remove_file(dir.join(part)).unwrap();
        assert_eq!(told(), whole, "without {part}");
        assert!(dir.join(part).exists());
    }
    std::fs::write(dir.join("states.json"), "{").unwrap();
    assert_eq!(told(), whole);
    std::fs::remove_dir_all(dir.join("store")).unwrap();
    assert_eq!(told(), whole);
}

#[test]
fn a_repository_that_comes_later_is_looked_into() {
    let place = Place::new();
    let repo = place.path("repo");
    std::fs::create_dir(&repo).unwrap();
    let cwd = repo.to_str().unwrap();
    let mut lines = vec![prompt(cwd)];
    lines.extend(edit(1, cwd, "b.txt", Some("b\n"), "b", "B"));
    lines.extend(edit(2, cwd, "a.txt", None, "one", "two"));
    let file = outside(&place, "run.jsonl", lines.join("\n"));
    let after = || place.json(&["effects", "--json", "--trace", &file])[1]["after"].clone();
    assert_eq!(after(), "unknown");
    assert_eq!(after(), "unknown");
    std::fs::write(repo.join("a.txt"), "one\n").unwrap();
    std::fs::write(repo.join("b.txt"), "b\n").unwrap();
    let git = |args: &[&str]| {
        let done = Command::new("git")
            .args(["-c", "user.name=n", "-c", "user.email=e@x", "-C", cwd])
            .args(args)
            .env("GIT_COMMITTER_DATE", "2026-02-01T10:00:00Z")
            .output();
        assert!(done.unwrap().status.success(), "{args:?}");
    };
    git(&["init", "-q"]);
    // Without a commit there is nothing in it.
    assert_eq!(after(), "unknown");
    git(&["add", "."]);
    git(&["commit", "-qm", "x"]);
    assert_eq!(after()["size"], 4);
    // What was found stays, also when the repository is gone.
    std::fs::remove_dir_all(repo.join(".git")).unwrap();
    assert_eq!(after()["size"], 4);
}

#[test]
fn nothing_is_left_of_what_is_not_kept() {
    let place = Place::new();
    let temp = place.path("tmp");
    std::fs::create_dir(&temp).unwrap();
    let base = place.path("base");
    std::fs::create_dir(&base).unwrap();
    let file = outside(&place, "run.jsonl", story().join("\n"));
    let left = || std::fs::read_dir(&temp).unwrap().count();
    for _ in 0..5 {
        let mut child = place
            .command(["effects", "--trace", "-"])
            .env("TMPDIR", &temp)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(story().join("\n").as_bytes()).unwrap();
        drop(input);
        assert!(child.wait().unwrap().success());
        assert_eq!(left(), 0, "after reading standard input");
        let out = place
            .command(["effects", "--trace", &file, "--base"])
            .arg(&base)
            .env("TMPDIR", &temp)
            .output()
            .unwrap();
        assert!(out.status.success());
        assert_eq!(left(), 0, "after a base that was named");
    }
    assert_eq!(kept(&place), [] as [PathBuf; 0]);
    // A screen that is closed leaves nothing either.
    let mut command = place.command(["open", &file, "--base"]);
    command
        .arg(&base)
        .env("TMPDIR", &temp)
        .env("LC_ALL", "C.UTF-8");
    let mut term = Term::start(&command, 110, 30);
    term.wait("the steps", SOON, |s| s.contains("Please change it."));
    term.keys("q");
    term.ended(SOON);
    assert_eq!(left(), 0, "after the screen");
}

#[test]
fn half_a_line_is_not_kept_as_the_end() {
    let place = Place::new();
    let story = story();
    let torn = format!("{}\n{}", story[..3].join("\n"), &story[3][..60]);
    let file = outside(&place, "run.jsonl", torn);
    let mut command = place.command(["open", &file]);
    command.env("LC_ALL", "C.UTF-8");
    let mut term = Term::start(&command, 110, 30);
    term.wait("the steps", SOON, |s| {
        s.contains("Please change it.") && s.contains("a.txt")
    });
    // Long enough for what is kept to be kept.
    std::thread::sleep(Duration::from_millis(500));
    term.keys("q");
    term.ended(SOON);
    let rows = place.json(&["steps", "--json", "--trace", &file]);
    assert_eq!(rows.last().unwrap()["kind"], "unknown", "{rows:?}");
}

#[test]
fn a_recording_that_is_replaced_keeps_its_base() {
    let place = Place::new();
    let base = place.path("base");
    std::fs::create_dir(&base).unwrap();
    std::fs::write(base.join("a.txt"), "one\n").unwrap();
    let first = edit(1, "/w/app", "a.txt", None, "one", "two");
    let second = edit(2, "/w/app", "a.txt", None, "two", "three");
    let lines = [&[prompt("/w/app")][..], &first].concat();
    let file = outside(&place, "run.jsonl", lines.join("\n") + "\n");
    let how = Opening {
        base: Some(base.to_str().unwrap().to_owned()),
        follow: true,
        ..Opening::default()
    };
    let source = opened(open_recording(Path::new(&file), &how).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let afters = || -> Vec<Known> {
        let Response::Effects(all) = runtime.block_on(ask(&*source, Request::Effects)) else {
            panic!("no effects")
        };
        all.into_iter().map(|e| e.after).collect()
    };
    assert!(matches!(afters()[..], [Known::Content { size: 4, .. }]));
    let all = [&lines[..], &second].concat();
    let new = outside(&place, "new.jsonl", all.join("\n") + "\n");
    std::fs::rename(new, &file).unwrap();
    let until = Instant::now() + SOON;
    while afters().len() < 2 {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(
        matches!(
            afters()[..],
            [
                Known::Content { size: 4, .. },
                Known::Content { size: 6, .. }
            ]
        ),
        "{:?}",
        afters()
    );
}

#[test]
fn a_recording_without_times_has_none() {
    let place = Place::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/recordings/mini-swe-agent/small.traj.json");
    let file = file.to_str().unwrap();
    for verb in ["steps", "sessions", "log"] {
        let said = place.ok(&[verb, "--trace", file]);
        assert!(!said.trim().is_empty());
        for wrong in ["1970", "00:00:00", "running"] {
            assert!(!said.contains(wrong), "{verb}: {said}");
        }
    }
}

#[test]
fn a_recording_without_changes_is_at_no_step() {
    let place = Place::new();
    let file = outside(&place, "run.jsonl", prompt("/w/app"));
    let said = place.ok(&["status", "--trace", &file]);
    assert!(
        said.contains("main at") && !said.contains("step 0"),
        "{said}"
    );
    let file = outside(&place, "more.jsonl", story().join("\n"));
    assert!(place.ok(&["status", "--trace", &file]).contains("step 3"));
}

#[test]
fn a_name_that_nobody_could_ask_for_is_not_listed() {
    use std::os::unix::ffi::OsStrExt as _;
    let place = Place::new();
    let dir = place.path("all");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("a.jsonl"), story().join("\n")).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"b\xff.jsonl");
    std::fs::write(dir.join(odd), story().join("\n")).unwrap();
    let out = place
        .command(["sessions", "--all", "--json"])
        .env("BACKTRAIL_RECORDINGS", &dir)
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    // By its name it can be read all the same.
    let out = place
        .command(["steps", "--trace"])
        .arg(dir.join(odd))
        .output()
        .unwrap();
    assert!(out.status.success());
}
