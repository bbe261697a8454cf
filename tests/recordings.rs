//! Recordings from the command line: outlines of those that are part of the project, every verb that reads, damage of all
//! kinds, files that grow and are replaced, importing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;
#[path = "common/pty.rs"]
mod pty;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use pty::Term;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

/// A place without a project, with a home of its own.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("here")).unwrap();
        std::fs::create_dir(dir.path().join("home")).unwrap();
        Self { dir }
    }

    fn here(&self) -> PathBuf {
        self.dir.path().join("here")
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut c = Command::new(env!("CARGO_BIN_EXE_backtrail"));
        c.args(args)
            .current_dir(self.here())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.home())
            .env("TZ", "UTC")
            .env("LC_ALL", "C.UTF-8")
            .env("BACKTRAIL_DATA", self.dir.path().join("data"))
            .env("BACKTRAIL_RUNTIME", self.dir.path().join("run"))
            .stdin(Stdio::null());
        c
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What a command prints; it must end well.
    fn ok(&self, args: &[&str]) -> String {
        let out = self.run(args);
        assert!(
            out.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8(out.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Vec<Value> {
        self.ok(args)
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.here().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings")
}

/// The main files of the recordings that are part of the project.
fn own_recordings() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut formats: Vec<PathBuf> = std::fs::read_dir(own())
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    formats.sort();
    for format in formats {
        let mut inside: Vec<PathBuf> = std::fs::read_dir(&format)
            .unwrap()
            .map(|e| e.unwrap().path())
            // An outline beside a recording is what its reader is to make of it.
            .filter(|p| p.is_file() && p.extension().is_none_or(|e| e != "outline"))
            .collect();
        inside.sort();
        files.extend(inside);
    }
    assert!(files.len() >= 10, "{files:?}");
    files
}

/// A line of a transcript in the shape of Claude Code's.
fn line(uuid: &str, parent: Option<&str>, second: u32, extra: Value) -> String {
    let mut line = json!({
        "uuid": uuid, "parentUuid": parent, "isSidechain": false, "userType": "external", "cwd": "/w/app",
        "sessionId": "5e551011-0000-4000-8000-000000000001", "version": "2.1.40", "gitBranch": "main",
        "timestamp": format!("2026-03-01T10:{:02}:{:02}.000Z", second / 60, second % 60),
    });
    for (key, value) in extra.as_object().unwrap() {
        line[key] = value.clone();
    }
    line.to_string()
}

fn prompt(uuid: &str, parent: Option<&str>, second: u32, text: &str) -> String {
    line(
        uuid,
        parent,
        second,
        json!({"type": "user", "message": {"role": "user", "content": text}}),
    )
}

fn says(uuid: &str, parent: &str, second: u32, text: &str) -> String {
    line(
        uuid,
        Some(parent),
        second,
        json!({"type": "assistant", "message": {"id": format!("msg_{uuid}"), "role": "assistant", "model": "m-1",
            "content": [{"type": "text", "text": text}], "usage": {"input_tokens": 3, "output_tokens": 5}}}),
    )
}

/// An edit: the call and its result.
fn edit(n: u32, parent: &str, second: u32, before: &str, old: &str, new: &str) -> [String; 2] {
    let id = format!("toolu_{n}");
    let call = line(
        &format!("c{n}"),
        Some(parent),
        second,
        json!({"type": "assistant", "message": {"id": format!("msg_{n}"), "role": "assistant", "model": "m-1",
            "content": [{"type": "tool_use", "id": id, "name": "Edit",
                "input": {"file_path": "/w/app/a.txt", "old_string": old, "new_string": new}}]}}),
    );
    let result = line(
        &format!("r{n}"),
        Some(&format!("c{n}")),
        second + 1,
        json!({"type": "user",
            "message": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "done"}]},
            "toolUseResult": {"filePath": "/w/app/a.txt", "oldString": old, "newString": new, "originalFile": before,
                "structuredPatch": [], "userModified": false, "replaceAll": false}}),
    );
    [call, result]
}

/// A short run with three edits; the third finds a change that nothing explains.
fn story() -> Vec<String> {
    let mut lines = vec![
        prompt("p1", None, 0, "Please count to three."),
        says("s1", "p1", 1, "I begin."),
    ];
    lines.extend(edit(1, "s1", 2, "one\n", "one", "one\ntwo"));
    lines.extend(edit(2, "r1", 5, "one\ntwo\n", "two", "two\nthree"));
    lines.extend(edit(3, "r2", 8, "ONE\ntwo\nthree\n", "three", "three!"));
    lines.push(says("s2", "r3", 12, "That is all."));
    lines
}

#[test]
fn outlines_of_our_own_recordings() {
    let desk = Desk::new();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    for path in own_recordings() {
        let file = path.to_str().unwrap();
        let name = path.strip_prefix(own()).unwrap().to_str().unwrap();
        let mut text = String::new();
        for row in desk.json(&["steps", "--json", "--trace", file]) {
            let talk = &row["talk"];
            let depth = talk["depth"].as_u64().unwrap_or(0) as usize;
            let _ = write!(
                text,
                "{}{:<6} {:<8} {:<6} {} {}",
                "    ".repeat(depth),
                row["ordinal"].as_str().unwrap(),
                row["kind"].as_str().unwrap(),
                row["status"].as_str().unwrap(),
                row["tool"].as_str().unwrap(),
                row["title"].as_str().unwrap(),
            );
            if let Some(effect) = row["effect"].as_object() {
                let _ = write!(text, "  +{} -{}", effect["added"], effect["removed"]);
            }
            if talk["dead"] == true {
                text.push_str("  (left)");
            }
            text.push('\n');
        }
        for effect in desk.json(&["effects", "--json", "--trace", file]) {
            let size = |v: &Value| match v {
                Value::Null => "-".to_owned(),
                Value::String(word) => word.clone(),
                other => format!("{} bytes", other["size"]),
            };
            let _ = writeln!(
                text,
                "{} {} {} {} -> {}",
                effect["op"].as_str().unwrap(),
                effect["path"].as_str().unwrap(),
                effect["evidence"].as_str().unwrap(),
                size(&effect["before"]),
                size(&effect["after"])
            );
        }
        let name = name.replace(['/', '.'], "_");
        settings.bind(|| insta::assert_snapshot!(format!("outline__{name}"), text));
    }
}

#[test]
fn every_verb_that_reads_works_on_a_recording() {
    let desk = Desk::new();
    let file = desk.write("run.jsonl", story().join("\n"));
    let t = ["--trace", file.as_str()];
    let with = |args: &[&str]| desk.ok(&[args, &t].concat());

    let effects = desk.json(&["effects", "--json", "--trace", &file]);
    let evidence: Vec<&str> = effects
        .iter()
        .map(|e| e["evidence"].as_str().unwrap())
        .collect();
    assert_eq!(
        evidence,
        ["transcript", "transcript", "outside", "transcript"]
    );
    assert_eq!(effects[0]["path"], "a.txt");
    assert_eq!(effects[0]["tool_call_id"], "toolu_1");
    // What git says of "one\n".
    assert_eq!(
        effects[0]["before"]["git_sha1"],
        "5626abf0f72e58d7a153368ba57db4c673c0e171"
    );

    assert_eq!(with(&["cat", "call:toolu_1:a.txt"]), "one\ntwo\n");
    assert_eq!(with(&["cat", "call:toolu_1^:a.txt"]), "one\n");
    assert_eq!(with(&["cat", "call:toolu_3^:a.txt"]), "ONE\ntwo\nthree\n");
    assert_eq!(with(&["cat", "@:a.txt"]), "ONE\ntwo\nthree!\n");
    let diff = with(&["diff", "call:toolu_2", "call:toolu_3^"]);
    assert!(diff.contains("-one\n+ONE\n"), "{diff}");
    let steps = with(&["steps"]);
    assert!(
        steps.contains("outside") && steps.contains("a.txt changed outside the trace"),
        "{steps}"
    );
    assert!(with(&["log"]).lines().count() >= 5);
    assert!(with(&["show", "call:toolu_2"]).contains("+three"));
    let raw = with(&["show", "--raw", "call:toolu_2"]);
    assert_eq!(raw, format!("{}\n{}\n", story()[4], story()[5]));
    assert!(with(&["sessions"]).contains("claude"));
    assert!(with(&["status"]).contains("run.jsonl"));
    // Standard input is a recording as well.
    let mut child = desk
        .command(&["steps", "--trace", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(story().join("\n").as_bytes()).unwrap();
    drop(input);
    let out = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(out.stdout).unwrap(), steps);
    // What would change something is refused, and nothing was written beside the recording.
    let out = desk.run(&["rollback", "@~1", "--trace", &file]);
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("import"));
    let names: Vec<_> = std::fs::read_dir(desk.here()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn a_base_gives_what_the_recording_does_not_tell() {
    let desk = Desk::new();
    // Nothing says what was there before the first edit.
    let lines: Vec<String> = story()
        .iter()
        .take(4)
        .map(|l| l.replace("\"originalFile\":\"one\\n\"", "\"originalFile\":null"))
        .collect();
    let file = desk.write("run.jsonl", lines.join("\n"));
    let known = |args: &[&str]| {
        let all = [&["effects", "--json", "--trace", &file], args].concat();
        desk.json(&all)[0]["after"].clone()
    };
    assert_eq!(known(&[]), "unknown");
    let base = desk.dir.path().join("base");
    std::fs::create_dir(&base).unwrap();
    std::fs::write(base.join("a.txt"), "one\n").unwrap();
    assert_eq!(known(&["--base", base.to_str().unwrap()])["size"], 8);
    // The same from a repository's revision.
    let git = |args: &[&str]| {
        let done = Command::new("git")
            .args(["-c", "user.name=n", "-c", "user.email=e@x", "-C"])
            .arg(&base)
            .args(args)
            .output();
        done.unwrap().status.success()
    };
    assert!(git(&["init", "-q"]) && git(&["add", "."]) && git(&["commit", "-qm", "x"]));
    std::fs::write(base.join("a.txt"), "other\n").unwrap();
    let at = ["--repo", base.to_str().unwrap(), "--base", "HEAD"];
    assert_eq!(known(&at)["size"], 8);
    let out = desk.run(&[&["effects", "--trace", &file], &at[..3], &["nonsense"]].concat());
    assert_eq!(out.status.code(), Some(1));
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        said.contains("no commit called") && said.contains("nonsense"),
        "{said}"
    );
}

/// Lines in any state: nothing is lost, nothing fails, and what is not understood is shown.
#[test]
fn damaged_recordings_are_shown_as_far_as_they_go() {
    let desk = Desk::new();
    let story = story();
    let steps = |name: &str, bytes: &[u8]| {
        let file = desk.write(name, bytes);
        desk.json(&["steps", "--json", "--trace", &file])
    };
    let whole = steps("whole.jsonl", story.join("\n").as_bytes());
    let titles = |rows: &[Value]| -> Vec<String> {
        rows.iter()
            .map(|r| r["title"].as_str().unwrap().to_owned())
            .collect()
    };

    // Torn in the last line: one step that was not understood, the rest as it was.
    let text = story.join("\n");
    let torn = steps("torn.jsonl", &text.as_bytes()[..text.len() - 40]);
    assert_eq!(torn.last().unwrap()["kind"], "unknown");
    assert_eq!(
        titles(&torn)[..torn.len() - 1],
        titles(&whole)[..whole.len() - 1]
    );
    // Every line twice, as after a careless copy: the same steps.
    let twice: Vec<&str> = story
        .iter()
        .flat_map(|l| [l.as_str(), l.as_str()])
        .collect();
    assert_eq!(
        titles(&steps("twice.jsonl", twice.join("\n").as_bytes())),
        titles(&whole)
    );
    // Results before their calls, parents after their children: every line still gives its step.
    let mut back = story.clone();
    back.reverse();
    let rows = steps("back.jsonl", back.join("\n").as_bytes());
    for wanted in ["Please count to three.", "I begin.", "That is all."] {
        assert!(
            titles(&rows).contains(&wanted.to_owned()),
            "{:?}",
            titles(&rows)
        );
    }
    // Parents in a circle, and one that is nowhere.
    let circle = [
        prompt("x", Some("y"), 0, "round"),
        says("y", "x", 1, "and round"),
        says("z", "nowhere", 2, "and out"),
    ];
    assert_eq!(steps("circle.jsonl", circle.join("\n").as_bytes()).len(), 3);
    // Noise between, also NULs and what is no UTF-8.
    let mut noisy = text.into_bytes();
    noisy.extend_from_slice(b"\n\0\0\0\n\xff\xfe{\"a\n[1,2]\n\"text\"\n{}\n");
    let rows = steps("noise.jsonl", &noisy);
    assert!(rows.len() > whole.len());
    assert_eq!(titles(&rows)[..whole.len()], titles(&whole));
    // Hostile texts and paths outside: shown harmless, never in a tree.
    let evil = [
        prompt("p", None, 0, "\u{1b}[2J\u{1b}]0;owned\u{7} \u{202e}evil"),
        edit(1, "p", 1, "x\n", "x", "y")[1].replace("/w/app/a.txt", "/etc/../etc/passwd"),
        edit(2, "p", 2, "x\n", "x", "y")[1]
            .replace("/w/app/a.txt", "/w/app/../../../../root/.bashrc"),
    ];
    let file = desk.write("evil.jsonl", evil.join("\n"));
    let shown = desk.ok(&["steps", "--trace", &file]);
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}') && !shown.contains('\u{7}'));
    for effect in desk.json(&["effects", "--json", "--trace", &file]) {
        assert!(
            effect["path"].as_str().unwrap().starts_with('/'),
            "{effect}"
        );
    }
    let listed = desk.ok(&["diff", "--stat", "@", "@", "--trace", &file]);
    assert_eq!(listed.trim(), "0 files changed");
}

#[test]
fn what_is_no_recording_is_said_clearly() {
    let desk = Desk::new();
    let says = |args: &[&str], wanted: &str| {
        let out = desk.run(args);
        assert_eq!(out.status.code(), Some(1), "{args:?}");
        let said = String::from_utf8(out.stderr).unwrap();
        assert!(said.contains(wanted), "{args:?}: {said}");
        assert_eq!(
            said.lines()
                .filter(|l| l.starts_with("backtrail: "))
                .count(),
            1,
            "{said}"
        );
    };
    says(&["steps", "--trace", "nothing.jsonl"], "nothing.jsonl");
    let file = desk.write("prose.txt", "Dear diary,\nnothing happened.\n");
    says(&["steps", "--trace", &file], "no recording that is known");
    let file = desk.write("empty.jsonl", "");
    says(&["steps", "--trace", &file], "no recording that is known");
    says(&["steps", "--trace", "."], "no recording is in");
    let file = desk.write("ok.jsonl", story().join("\n"));
    says(
        &["steps", "--trace", &file, "--format", "klingon"],
        "known are claude",
    );
    says(&["cat", "call:toolu_9:a.txt", "--trace", &file], "toolu_9");
    says(&["show", "--raw", "step:99", "--trace", &file], "99");
}

#[test]
fn recordings_of_this_machine_are_listed_newest_first() {
    let desk = Desk::new();
    let dir = desk.home().join(".claude/projects/-w-app");
    std::fs::create_dir_all(&dir).unwrap();
    let now = std::time::SystemTime::now();
    for (n, age) in [(1_u64, 300), (2, 100), (3, 200)] {
        let path = dir.join(format!("{n:08}-0000-4000-8000-000000000001.jsonl"));
        let text = story()
            .join("\n")
            .replace("count to three", &format!("count to {n}"));
        std::fs::write(&path, text).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(now - Duration::from_secs(age)).unwrap();
    }
    // Others leave files there that are none.
    std::fs::write(dir.join("notes.txt"), "x").unwrap();
    std::os::unix::fs::symlink("/", dir.join("loop")).unwrap();
    let all = desk.json(&["sessions", "--all", "--json"]);
    let prompts: Vec<&str> = all
        .iter()
        .map(|r| r["summary"]["last_prompt"].as_str().unwrap())
        .collect();
    assert_eq!(
        prompts,
        [
            "Please count to 2.",
            "Please count to 3.",
            "Please count to 1."
        ]
    );
    let one = &all[0]["summary"];
    assert_eq!(
        (&one["project"], &one["agent"]),
        (&json!("/w/app"), &json!("claude"))
    );
    assert_eq!((&one["model"], &one["files"]), (&json!("m-1"), &json!(1)));
    assert_eq!(one["tokens"]["output"], 10);
    assert!(
        desk.ok(&["sessions", "--all"])
            .contains("Please count to 2.")
    );
    // Elsewhere, when that is wanted.
    let out = desk
        .command(&["sessions", "--all", "--json"])
        .env("BACKTRAIL_RECORDINGS", own().join("ndjson"))
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(
        text.contains("emit.ndjson") && !text.contains("-w-app"),
        "{text}"
    );
}

#[test]
fn ten_thousand_files_are_listed() {
    let desk = Desk::new();
    let dir = desk.home().join(".claude/projects/-w-many");
    std::fs::create_dir_all(&dir).unwrap();
    for n in 0..10_000 {
        let name = format!("{n:08}-0000-4000-8000-000000000001.jsonl");
        std::fs::write(dir.join(name), "{}\n").unwrap();
    }
    let all = desk.json(&["sessions", "--all", "--json", "-n", "3"]);
    assert_eq!(all.len(), 3);
}

#[test]
fn an_import_is_kept_and_can_grow() {
    let desk = Desk::new();
    desk.write("mine.txt", "mine\n");
    desk.ok(&["init"]);
    let file = desk.dir.path().join("run.jsonl");
    let name = file.to_str().unwrap();
    std::fs::write(&file, story()[..6].join("\n")).unwrap();
    let first = &desk.json(&["import", "--json", name])[0];
    assert_eq!(first["commits"], 3);
    let before = desk.json(&["steps", "--json"]);
    // Again: nothing new. Then it has grown: only that is.
    assert_eq!(desk.json(&["import", "--json", name])[0]["steps"], 0);
    std::fs::write(&file, story().join("\n")).unwrap();
    let grown = &desk.json(&["import", "--json", name])[0];
    assert_eq!(
        (&grown["commits"], &grown["branch"]),
        (&json!(2), &first["branch"])
    );
    let after = desk.json(&["steps", "--json"]);
    let numbers = |rows: &[Value]| -> Vec<(Value, Value)> {
        rows.iter()
            .map(|r| (r["step"].clone(), r["ordinal"].clone()))
            .collect()
    };
    for known in numbers(&before) {
        assert!(
            numbers(&after).contains(&known),
            "{known:?} has another number"
        );
    }
    // It is there without its file, also the records; the workspace and its branch are as they were.
    std::fs::remove_file(&file).unwrap();
    assert_eq!(
        desk.ok(&["cat", "call:toolu_3:a.txt"]),
        "ONE\ntwo\nthree!\n"
    );
    assert!(
        desk.ok(&["show", "--raw", "call:toolu_2"])
            .starts_with(&story()[4])
    );
    assert_eq!(desk.ok(&["cat", "@:mine.txt"]), "mine\n");
    assert_eq!(desk.ok(&["diff", "--stat", "@"]).trim(), "0 files changed");
    assert!(desk.ok(&["op", "log"]).contains("import of"));
    // Nobody can go there by mistake: all that the recording does not mention would be removed.
    for go in ["switch", "rollback"] {
        let out = desk.run(&[go, first["branch"].as_str().unwrap()]);
        let said = String::from_utf8(out.stderr).unwrap();
        assert!(
            !out.status.success() && said.contains("imported recording"),
            "{go}: {said}"
        );
    }
    // The thought after the last state of our own still stands on it.
    desk.write("mine.txt", "changed\n");
    desk.ok(&["checkpoint", "-m", "later"]);
    let last = desk.json(&["steps", "--json", "-n", "1"]);
    let rev = format!("step:{}", last[0]["ordinal"].as_str().unwrap());
    assert_eq!(desk.ok(&["cat", &format!("{rev}:mine.txt")]), "changed\n");
    assert!(desk.ok(&["verify"]).contains("all well"));
}

#[test]
fn the_screen_follows_a_recording_that_grows_and_is_replaced() {
    let desk = Desk::new();
    let story = story();
    let text = story[..4].join("\n");
    // The last line is only half there.
    let file = desk.write("run.jsonl", format!("{text}\n{}", &story[4][..50]));
    let mut term = Term::start(&desk.command(&["open", &file]), 110, 30);
    term.wait("the first steps", SOON, |s| {
        s.contains("Please count to three.") && s.contains("a.txt")
    });
    assert!(
        !term.screen().contains("not understood"),
        "{}",
        term.screen()
    );
    let mut grow = std::fs::File::options().append(true).open(&file).unwrap();
    writeln!(grow, "{}\n{}", &story[4][50..], story[5..].join("\n")).unwrap();
    term.wait("what was appended", SOON, |s| s.contains("That is all."));
    // Another file at its place, as an editor or a copy leaves it.
    let other = [
        prompt("n1", None, 0, "Another story."),
        says("n2", "n1", 1, "Yes."),
    ];
    let new = desk.write("new.jsonl", other.join("\n"));
    std::fs::rename(&new, &file).unwrap();
    term.wait("the other story", SOON, |s| {
        s.contains("Another story.") && !s.contains("That is all.")
    });
    term.keys("q");
    term.ended(SOON);
}

#[test]
fn without_a_project_the_screen_lists_recordings_and_opens_one() {
    let desk = Desk::new();
    let dir = desk.home().join(".claude/projects/-w-app");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("a.jsonl"), story().join("\n")).unwrap();
    let mut term = Term::start(&desk.command(&[]), 120, 30);
    term.wait("the list", SOON, |s| s.contains("Please count to three."));
    term.keys("\r");
    term.wait("the recording", SOON, |s| {
        s.contains("That is all.") && s.contains("Timeline")
    });
    term.keys("q");
    let until = Instant::now() + SOON;
    term.wait("the list again", until - Instant::now(), |s| {
        s.contains("Please count to three.") && !s.contains("Timeline")
    });
    term.keys("q");
    term.ended(SOON);
}
