//! Which lines of which transcripts are taken: resumed, forked, rewritten and foreign ones; calls that `emit` tells too;
//! changes whose calls are told late.
//!
//! The agent is a script that does as it is told; the test itself writes the transcripts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use backtrail::engine::api::{Notice, Request, Response, Row};
use backtrail::engine::client::Client;
use backtrail::engine::source::Source as _;
use backtrail::model::{LinkRule, SessionId, StepId, StepKind};
use common::{Place, ask, fuse};
use serde_json::{Value, json};

/// A `run` whose agent waits, and does what it finds in files.
struct Stage {
    place: Place,
    child: Child,
    runtime: tokio::runtime::Runtime,
    client: Arc<Client>,
    orders: u32,
}

impl Stage {
    fn new() -> Self {
        let place = Place::new();
        place.write("f.txt", "zero\n");
        Self::of(place)
    }

    /// Begins to run in a place that is prepared.
    fn of(place: Place) -> Self {
        let dir = place.path("orders");
        std::fs::create_dir_all(&dir).unwrap();
        let script = format!(
            "n=1; while true; do if test -e {0}/$n; then sh {0}/$n; touch {0}/$n.done; n=$((n+1)); fi; sleep 0.02; done",
            dir.display()
        );
        let config = place.path("config");
        let child = place
            .command(["run", "--agent", "claude", "--"])
            .arg("env")
            .arg(format!("CLAUDE_CONFIG_DIR={}", config.display()))
            .args(["sh", "-c", &script])
            .spawn()
            .unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let client = runtime.block_on(place.client());
        let mut stage = Self {
            place,
            child,
            runtime,
            client,
            orders: 0,
        };
        stage.order("true");
        stage
    }

    /// Has the agent run a script, and waits for it.
    fn order(&mut self, script: &str) {
        self.orders += 1;
        let file = self.place.path("orders").join(self.orders.to_string());
        let tmp = file.with_extension("tmp");
        std::fs::write(&tmp, script).unwrap();
        std::fs::rename(&tmp, &file).unwrap();
        let done = file.with_extension("done");
        until("the agent", || done.exists());
    }

    fn transcript(&self, session: &str) -> PathBuf {
        transcript(&self.place, session)
    }

    fn rows(&self) -> Vec<Row> {
        let request = Request::Rows {
            after: None,
            limit: 1000,
        };
        let Response::Rows(page) = self.runtime.block_on(ask(self.client.as_ref(), request)) else {
            panic!("no rows")
        };
        page.rows
    }

    /// The titles of a session's steps.
    fn titles(&self, session: &str) -> Vec<String> {
        let id = Some(SessionId::of(session));
        let rows = self.rows().into_iter();
        rows.filter(|r| r.session == id).map(|r| r.title).collect()
    }

    fn until_titles(&self, session: &str, wanted: &[&str]) {
        let start = Instant::now();
        while self.titles(session) != wanted {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "{session}: {:?} instead of {wanted:?}",
                self.titles(session)
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.place.bt(&["stop", "--force"]);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(what: &str, wanted: impl Fn() -> bool) {
    let start = Instant::now();
    while !wanted() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "waited in vain for {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn transcript(place: &Place, session: &str) -> PathBuf {
    place
        .path("config/projects/-some-project")
        .join(format!("{session}.jsonl"))
}

fn stamp(ago: Duration) -> String {
    let t = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - ago;
    let t = jiff::Timestamp::from_millisecond(t.as_millis() as i64).unwrap();
    t.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// A line of a transcript.
fn line(session: &str, cwd: &Path, id: u32, kind: &str, content: &Value, ago: Duration) -> Value {
    json!({"parentUuid": (id > 1).then(|| uuid(id - 1)), "isSidechain": false, "userType": "external",
        "cwd": cwd, "sessionId": session, "version": "2.1.22", "gitBranch": "", "type": kind,
        "message": {"role": kind, "id": format!("msg_{id}"), "model": "m", "content": content},
        "uuid": uuid(id), "timestamp": stamp(ago)})
}

fn uuid(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

fn append(path: &Path, lines: &[Value]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create(true).append(true).open(path).unwrap();
    for line in lines {
        writeln!(file, "{line}").unwrap();
    }
}

const NOW: Duration = Duration::ZERO;
const LONG_AGO: Duration = Duration::from_secs(86_400);

#[test]
fn resumed_forked_rewritten_and_foreign_transcripts() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("f.txt", "zero\n");
    let cwd = place.project.clone();
    let prompt =
        |session: &str, id, text: &str, ago| line(session, &cwd, id, "user", &json!(text), ago);
    // One that was there before, and goes on.
    let old = transcript(&place, "old");
    append(
        &old,
        &[
            prompt("old", 1, "long ago", LONG_AGO),
            prompt("old", 2, "then", LONG_AGO),
        ],
    );
    let stage = Stage::of(place);
    append(&old, &[prompt("old", 3, "go on", NOW)]);
    stage.until_titles("old", &["go on"]);
    // A fork: a new file that begins with copies.
    let fork = stage.transcript("fork");
    append(
        &fork,
        &[
            prompt("fork", 1, "long ago", LONG_AGO),
            prompt("fork", 2, "then", LONG_AGO),
            prompt("fork", 4, "another way", NOW),
        ],
    );
    stage.until_titles("fork", &["another way"]);
    // Of another project; and of a directory below this one.
    let mut foreign = prompt("foreign", 1, "elsewhere", NOW);
    foreign["cwd"] = json!("/somewhere/else");
    append(&stage.transcript("foreign"), &[foreign]);
    let mut below = prompt("below", 1, "below", NOW);
    below["cwd"] = json!(cwd.join("sub"));
    append(&stage.transcript("below"), &[below]);
    stage.until_titles("below", &["below"]);
    // Written anew with more in it: nothing comes twice.
    let mut all = std::fs::read_to_string(&fork).unwrap();
    all.push_str(&format!("{}\n", prompt("fork", 5, "and on", NOW)));
    let tmp = fork.with_extension("tmp");
    std::fs::write(&tmp, format!("{}\n{all}", json!({"type": "mode"}))).unwrap();
    std::fs::rename(&tmp, &fork).unwrap();
    stage.until_titles("fork", &["another way", "and on"]);
    // A line comes once its end is there.
    let torn = prompt("below", 2, "in two parts", NOW).to_string();
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(stage.transcript("below"))
        .unwrap();
    file.write_all(&torn.as_bytes()[..40]).unwrap();
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(stage.titles("below"), ["below"]);
    file.write_all(&torn.as_bytes()[40..]).unwrap();
    file.write_all(b"\n").unwrap();
    stage.until_titles("below", &["below", "in two parts"]);
    assert!(stage.titles("foreign").is_empty());
    let sources: Vec<Row> = stage.rows();
    assert_eq!(
        sources
            .iter()
            .filter(|r| r.kind == StepKind::Unknown)
            .count(),
        0
    );
}

fn call(name: &str, id: &str, input: &Value) -> Value {
    json!([{"type": "tool_use", "id": id, "name": name, "input": input}])
}

fn result(id: &str) -> Value {
    json!([{"type": "tool_result", "tool_use_id": id, "content": "done"}])
}

#[test]
fn what_emit_tells_too_is_one_call() {
    if !fuse() {
        return;
    }
    let mut stage = Stage::new();
    let cwd = stage.place.project.clone();
    let path = stage.transcript("s");
    let bash = |id: u32, call_id: &str| {
        let input = json!({"command": "ls"});
        line(
            "s",
            &cwd,
            id,
            "assistant",
            &call("Bash", call_id, &input),
            NOW,
        )
    };
    append(&path, &[line("s", &cwd, 1, "user", &json!("go"), NOW)]);
    stage.until_titles("s", &["go"]);
    let emit = |id: &str| {
        let call = json!({"type": "call", "id": id, "name": "Bash", "input": {"command": "ls"}});
        let result = json!({"type": "result", "id": id, "output": "done"});
        format!("printf '%s\\n' '{call}' '{result}' | $BT emit")
    };
    // By `emit` first, then by the transcript; and the other way round.
    stage.order(&emit("t1"));
    append(&path, &[bash(2, "t1")]);
    append(&path, &[bash(3, "t2")]);
    stage.until_titles("s", &["go", "ls"]);
    stage.order(&emit("t2"));
    append(&path, &[line("s", &cwd, 4, "user", &result("t2"), NOW)]);
    append(&path, &[line("s", &cwd, 5, "user", &json!("end"), NOW)]);
    stage.until_titles("s", &["go", "ls", "end"]);
    let calls: Vec<Row> = stage
        .rows()
        .into_iter()
        .filter(|r| r.kind == StepKind::Call)
        .collect();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(calls.iter().all(|c| c.end.is_some()));
}

#[test]
fn a_call_told_late_takes_its_changes() {
    if !fuse() {
        return;
    }
    let mut stage = Stage::new();
    let cwd = stage.place.project.clone();
    let path = stage.transcript("s");
    append(&path, &[line("s", &cwd, 1, "user", &json!("go"), NOW)]);
    stage.until_titles("s", &["go"]);
    let mut notices = stage.client.notices();
    let begun = Instant::now();
    stage.order("echo late > f.txt");
    let fs = |stage: &Stage| {
        let rows = stage.rows().into_iter();
        rows.filter(|r| r.kind == StepKind::Fs)
            .collect::<Vec<Row>>()
    };
    until("the change", || !fs(&stage).is_empty());
    let unclaimed = fs(&stage).remove(0);
    let ago = begun.elapsed() + Duration::from_millis(20);
    let input = json!({"file_path": cwd.join("f.txt"), "content": "late\n"});
    append(
        &path,
        &[
            line("s", &cwd, 2, "assistant", &call("Write", "w", &input), ago),
            line("s", &cwd, 3, "user", &result("w"), NOW),
        ],
    );
    until("the tie", || fs(&stage).is_empty());
    let id = StepId::of(SessionId::of("s"), "call:w");
    let request = Request::Step { id };
    let Response::Step(detail) = stage.runtime.block_on(ask(stage.client.as_ref(), request)) else {
        panic!("no step")
    };
    let (_, tie) = &detail.commits[0];
    assert!(matches!(tie.rule, LinkRule::Content | LinkRule::Path));
    assert_eq!(detail.changes.len(), 1);
    let gone = stage.runtime.block_on(async {
        loop {
            match notices.recv().await {
                Some(Notice::Gone { step, .. }) => return Some(step),
                Some(_) => {}
                None => return None,
            }
        }
    });
    assert_eq!(gone, Some(unclaimed.step));
    // Told as it is, in words as well.
    let shown = stage.place.ok(&["steps"]);
    assert!(!shown.contains("sh: f.txt"), "{shown}");
}
