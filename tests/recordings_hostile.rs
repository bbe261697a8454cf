//! Recordings that somebody made to do harm, or that nobody meant: none may take the machine's memory, wait for ever or
//! bring the program down. Each is read under a limit of memory and of time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Memory that a command may ask for, in KiB: some times what any of these recordings needs.
const MEMORY: u64 = 3 << 20;
/// A loaded machine keeps it; what goes wrong would take for ever.
const TIME: Duration = Duration::from_secs(60);

/// A place of one's own to run commands in.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["here", "home"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.path("here").join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut c = Command::new("sh");
        c.arg("-c")
            .arg(format!("ulimit -v {MEMORY} && exec \"$0\" \"$@\""))
            .arg(program)
            .args(args)
            .current_dir(self.path("here"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.path("home"))
            .env("TZ", "UTC")
            .env("LC_ALL", "C.UTF-8")
            .env("BACKTRAIL_DATA", self.path("data"))
            .env("BACKTRAIL_RUNTIME", self.path("run"))
            .env("BACKTRAIL_IDLE", "1")
            .stdin(Stdio::null());
        c
    }

    fn run(&self, args: &[&str]) -> Output {
        let program = Path::new(env!("CARGO_BIN_EXE_backtrail"));
        in_time(self.command(program, args), &format!("{args:?}"))
    }

    /// What a command prints; it must end well.
    fn ok(&self, args: &[&str]) -> String {
        let out = self.run(args);
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{args:?}: {}: {said}", out.status);
        String::from_utf8(out.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Vec<Value> {
        let text = self.ok(args);
        let lines = text.lines();
        lines.map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// What a command says of its failure, which must be one that it meant.
    fn refused(&self, args: &[&str]) -> String {
        let out = self.run(args);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(
            out.status.code(),
            Some(1),
            "{args:?}: {}: {said}",
            out.status
        );
        assert!(!said.contains("panicked"), "{said}");
        said
    }
}

/// Waits for a command, at most [`TIME`]. Its output may be long: it goes to files.
fn in_time(mut command: Command, what: &str) -> Output {
    let (out, err) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    let mut child: Child = command
        .stdout(out.try_clone().unwrap())
        .stderr(err.try_clone().unwrap())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > TIME {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{what} did not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let all = |mut file: std::fs::File| {
        use std::io::{Read as _, Seek as _};
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    };
    Output {
        status,
        stdout: all(out),
        stderr: all(err),
    }
}

/// A line of a transcript in the shape of Claude Code's, after the line before it.
fn line(n: usize, extra: Value) -> String {
    let mut line = json!({
        "uuid": format!("u{n}"), "parentUuid": n.checked_sub(1).map(|n| format!("u{n}")), "isSidechain": false,
        "userType": "external", "cwd": "/w", "sessionId": "5e551011-0000-4000-8000-000000000002", "version": "2.1.40",
        "timestamp": format!("2026-03-01T10:{:02}:{:02}.000Z", n / 60 % 60, n % 60),
    });
    for (key, value) in extra.as_object().unwrap() {
        line[key] = value.clone();
    }
    line.to_string()
}

fn prompt(n: usize, text: &str) -> String {
    line(
        n,
        json!({"type": "user", "message": {"role": "user", "content": text}}),
    )
}

/// A call as line `n`, and its good result as the next.
fn call(n: usize, tool: &str, input: &Value) -> [String; 2] {
    let id = format!("toolu_{n}");
    let call = json!({"type": "assistant", "message": {"id": format!("msg_{n}"), "role": "assistant", "model": "m-1",
        "content": [{"type": "tool_use", "id": id, "name": tool, "input": input}]}});
    let result = json!({"type": "user", "message": {"role": "user",
        "content": [{"type": "tool_result", "tool_use_id": id, "content": "done"}]}});
    [line(n, call), line(n + 1, result)]
}

fn write(n: usize, path: &str, text: &str) -> [String; 2] {
    call(n, "Write", &json!({"file_path": path, "content": text}))
}

fn replace(n: usize, path: &str, old: &str, new: &str) -> [String; 2] {
    let input =
        json!({"file_path": path, "old_string": old, "new_string": new, "replace_all": true});
    call(n, "Edit", &input)
}

fn run_of(calls: impl IntoIterator<Item = [String; 2]>) -> String {
    let mut lines = vec![prompt(0, "begin")];
    lines.extend(calls.into_iter().flatten());
    lines.join("\n") + "\n"
}

#[test]
fn a_path_as_deep_as_no_system_has() {
    let desk = Desk::new();
    let deep = |parts: usize| format!("/w/{}f", "a/".repeat(parts));
    let text = run_of([
        write(1, &deep(2_000), "x"),
        write(3, &deep(100_000), "x"),
        write(5, "/w/b", "y"),
    ]);
    let file = desk.write("run.jsonl", text);
    let effects = desk.json(&["effects", "--json", "--trace", &file]);
    let paths: Vec<&str> = effects
        .iter()
        .map(|e| e["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths.len(), 3);
    assert!(paths[0].len() > 4000 && paths[0].starts_with("/w/a/"));
    assert_eq!(paths[2], "b");
    assert_eq!(desk.ok(&["cat", "@:b", "--trace", &file]), "y");
}

#[test]
fn replacements_that_multiply() {
    let desk = Desk::new();
    let (bomb, hundred) = ("a".repeat(1000), "a".repeat(100));
    let mut calls = vec![write(1, "/w/a", &bomb)];
    calls.extend((0..8).map(|i| replace(3 + 2 * i, "/w/a", "a", &hundred)));
    calls.push(write(30, "/w/a", "small again"));
    let file = desk.write("run.jsonl", run_of(calls));
    let effects = desk.json(&["effects", "--json", "--trace", &file]);
    assert_eq!(effects.len(), 10);
    let sizes: Vec<&Value> = effects.iter().map(|e| &e["after"]["size"]).collect();
    assert_eq!(sizes[..3], [1_000, 100_000, 10_000_000]);
    assert_eq!(effects[3]["after"], "unknown");
    assert_eq!(effects[8]["after"], "unknown");
    assert_eq!(desk.ok(&["cat", "@:a", "--trace", &file]), "small again");
}

#[test]
fn what_is_no_file_is_not_read() {
    let desk = Desk::new();
    let pipe = desk.path("here").join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let link = desk.path("here").join("zero");
    std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
    for path in [pipe.to_str().unwrap(), link.to_str().unwrap(), "/dev/zero"] {
        for format in [&[][..], &["--format", "claude"], &["--format", "atif"]] {
            let said = desk.refused(&[&["steps", "--trace", path], format].concat());
            assert!(said.contains("it is not a "), "{path} {format:?}: {said}");
        }
    }
}

#[test]
fn what_may_not_be_read_is_told_so() {
    let desk = Desk::new();
    let file = desk.write("closed.jsonl", prompt(0, "secret"));
    let dir = desk.path("here");
    let open = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(Path::new(&file), 0);
    // Nothing is closed to root, but root can be somebody else, who must be able to reach the program.
    let root = nix::unistd::geteuid().is_root();
    let program = desk.path("backtrail");
    std::fs::copy(env!("CARGO_BIN_EXE_backtrail"), &program).unwrap();
    for place in [desk.dir.path(), &dir] {
        open(place, 0o755);
    }
    open(&desk.path("home"), 0o777);
    let run = |args: &[&str]| {
        let mut command = desk.command(&program, args);
        if root {
            command.uid(65_534).gid(65_534);
        }
        let out = in_time(command, &format!("{args:?}"));
        assert_eq!(out.status.code(), Some(1), "{out:?}");
        String::from_utf8(out.stderr).unwrap()
    };
    let said = run(&["steps", "--trace", &file]);
    assert!(said.contains("ermission denied"), "{said}");
    let said = run(&["steps", "--format", "claude", "--trace", &file]);
    assert!(said.contains("ermission denied"), "{said}");
    // In a directory it is named as well.
    let said = run(&["steps", "--trace", dir.to_str().unwrap()]);
    assert!(
        said.contains("closed.jsonl") && said.contains("ermission denied"),
        "{said}"
    );
}

#[test]
fn json_as_deep_as_it_goes() {
    let desk = Desk::new();
    let nested = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
    let deep = nested(100_000);
    let with = |input: &str| call(1, "Write", &json!("HERE"))[0].replace("\"HERE\"", input);
    let notebook = |n: usize| format!("{{\"cells\":[{}]}}", nested(n));
    let edit = json!({"notebook_path": "/w/n.ipynb", "cell_id": "0", "new_source": "x", "edit_mode": "replace"});
    let calls = [
        write(10, "/w/n.ipynb", &notebook(100_000)),
        call(12, "NotebookEdit", &edit),
        write(14, "/w/n.ipynb", &notebook(100)),
        call(16, "NotebookEdit", &edit),
    ];
    let mut text = [prompt(0, "begin"), with(&deep), deep.clone()].join("\n");
    text.push('\n');
    text.push_str(&run_of(calls));
    text.push_str(&"{\"a\":".repeat(100_000));
    let file = desk.write("run.jsonl", text);
    assert!(desk.ok(&["steps", "--trace", &file]).contains("begin"));
    let effects = desk.json(&["effects", "--json", "--trace", &file]);
    let told = effects.iter().filter(|e| e["evidence"] == "transcript");
    assert_eq!(told.count(), 4);
    for (name, format, text) in [
        (
            "a.json",
            "atif",
            format!(
                "{{\"schema_version\":\"ATIF-v1.7\",\"steps\":[{{\"source\":\"user\",\"message\":{deep}}},{deep}],\"subagent_trajectories\":{deep}}}"
            ),
        ),
        (
            "o.json",
            "opencode",
            format!("{{\"info\":{{\"id\":\"x\"}},\"messages\":{deep}}}"),
        ),
        (
            "g.json",
            "gemini-json",
            format!("{{\"sessionId\":\"x\",\"messages\":[{{\"content\":{deep}}}]}}"),
        ),
        (
            "t.traj",
            "swe-agent",
            format!("{{\"trajectory\":{deep},\"history\":{deep}}}"),
        ),
    ] {
        let file = desk.write(name, text);
        desk.ok(&["steps", "--format", format, "--trace", &file]);
    }
}
