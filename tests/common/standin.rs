//! A stand-in for an agent: a process that changes files as agents do and writes a transcript in a real format, lagging
//! behind as real ones do. What it did is known exactly, so that what was recorded of it can be scored.
//!
//! Edits and writes happen in its own process, commands in children. Gaps between calls have the distribution measured
//! in real sessions, scaled down.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Where the stand-in finds its plan.
pub const PLAN: &str = "BACKTRAIL_STANDIN";

/// What it is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// `claude` or `codex`.
    pub agent: String,
    pub session: String,
    pub project: PathBuf,
    pub transcript: PathBuf,
    /// Where the truth goes.
    pub truth: PathBuf,
    pub seed: u64,
    /// How many answers with calls.
    pub answers: usize,
    /// Several calls in an answer.
    pub parallel: bool,
    /// Its own files lie here.
    pub dir: String,
    /// Real gaps are divided by this, and no longer than `longest` milliseconds.
    pub faster: f64,
    pub longest: u64,
    /// Results of edits do not hold the whole file (as in newer versions).
    pub bare: bool,
    /// The transcript lags by up to so many milliseconds.
    pub lag: u64,
    /// The branch on whose fork it runs.
    #[serde(default)]
    pub branch: Option<String>,
}

/// What a call did to a path.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Deed {
    pub session: String,
    pub call: String,
    pub what: String,
    pub path: String,
    /// The content it left; `None`: it removed it.
    pub after: Option<String>,
    /// When that was known, in microseconds.
    pub at: i64,
}

/// What is known of a run.
#[derive(Debug, Clone, Serialize, Deserialize, Default)]
pub struct Truth {
    pub deeds: Vec<Deed>,
    /// When the line of a call was complete in the file, in microseconds.
    pub written: Vec<(String, i64)>,
}

pub fn micros() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_micros() as i64
}

fn stamp() -> String {
    let t = jiff::Timestamp::from_millisecond(micros() / 1000).unwrap();
    t.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// A small generator: the same plan does the same.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        (0..8).for_each(|_| _ = dice.roll(2));
        dice
    }

    pub fn roll(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }

    fn unit(&mut self) -> f64 {
        self.roll(1 << 30) as f64 / f64::from(1 << 30)
    }

    /// A gap between calls that change files, in seconds, as measured.
    fn gap(&mut self) -> f64 {
        const AT: [(f64, f64); 9] = [
            (0.0, 0.05),
            (0.01, 0.10),
            (0.05, 2.5),
            (0.10, 4.5),
            (0.25, 7.5),
            (0.50, 14.9),
            (0.75, 43.0),
            (0.90, 319.0),
            (1.0, 3000.0),
        ];
        let u = self.unit();
        let i = AT.iter().position(|(p, _)| *p > u).unwrap_or(8).max(1);
        let ((p0, t0), (p1, t1)) = (AT[i - 1], AT[i]);
        t0 + (t1 - t0) * (u - p0) / (p1 - p0)
    }
}

/// Writes lines in order, each a while after it was made.
struct Pen {
    lines: Sender<(Instant, String, String)>,
    writer: JoinHandle<Vec<(String, i64)>>,
}

impl Pen {
    fn new(path: &Path, keep_open: bool) -> Self {
        let (lines, queue) = channel::<(Instant, String, String)>();
        let path = path.to_owned();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let writer = spawn(move || {
            let open = || {
                let mut options = fs::OpenOptions::new();
                options.create(true).append(true).open(&path).unwrap()
            };
            let mut held = keep_open.then(open);
            let mut written = Vec::new();
            let mut torn = Dice::new(path.as_os_str().len() as u64);
            while let Ok((due, line, id)) = queue.recv() {
                sleep(due.saturating_duration_since(Instant::now()));
                let mut once = None;
                let file = match &mut held {
                    Some(file) => file,
                    None => once.insert(open()),
                };
                let line = format!("{line}\n");
                // Now and then a line comes in two parts.
                let half = if torn.roll(8) == 0 { line.len() / 2 } else { 0 };
                if half > 0 {
                    file.write_all(&line.as_bytes()[..half]).unwrap();
                    sleep(Duration::from_millis(8));
                }
                file.write_all(&line.as_bytes()[half..]).unwrap();
                written.push((id, micros()));
            }
            written
        });
        Self { lines, writer }
    }
}

/// A call that is to be made.
#[derive(Clone)]
struct Call {
    id: String,
    what: &'static str,
    name: String,
    input: Value,
    /// In-process: path, old content, new content, by a temporary file.
    edit: Option<(String, String, String, bool)>,
    command: Option<String>,
    /// Paths whose content after it counts; the content where it is known beforehand.
    paths: Vec<(String, Option<String>)>,
    took: Duration,
}

struct Agent {
    plan: Plan,
    pen: Option<Pen>,
    dice: Dice,
    lines: u64,
    calls: u64,
    answers: u64,
    last: Option<String>,
    files: Vec<String>,
    deeds: Vec<Deed>,
    late: Vec<JoinHandle<()>>,
}

/// Does what the plan says. Called in the process that `backtrail run` started.
pub fn act() {
    let plan = fs::read(std::env::var_os(PLAN).unwrap()).unwrap();
    let plan: Plan = serde_json::from_slice(&plan).unwrap();
    std::env::set_current_dir(&plan.project).unwrap();
    fs::create_dir_all(&plan.dir).unwrap();
    let mut agent = Agent {
        pen: Some(Pen::new(&plan.transcript, plan.agent == "codex")),
        dice: Dice::new(plan.seed),
        plan,
        lines: 0,
        calls: 0,
        answers: 0,
        last: None,
        files: Vec::new(),
        deeds: Vec::new(),
        late: Vec::new(),
    };
    agent.run();
}

impl Agent {
    fn run(&mut self) {
        sleep(Duration::from_millis(300));
        self.open();
        for n in 0..self.plan.answers {
            if n % 12 == 0 {
                self.prompt(&format!("do part {n}"));
            }
            let wait = Duration::from_secs_f64(self.dice.gap() / self.plan.faster);
            sleep(wait.min(Duration::from_millis(self.plan.longest)));
            self.answer();
        }
        for late in self.late.drain(..) {
            late.join().unwrap();
        }
        let pen = self.pen.take().unwrap();
        drop(pen.lines);
        let truth = Truth {
            deeds: std::mem::take(&mut self.deeds),
            written: pen.writer.join().unwrap(),
        };
        fs::write(&self.plan.truth, serde_json::to_vec(&truth).unwrap()).unwrap();
    }

    /// Makes a line; it is written later, but in order.
    fn line(&mut self, line: &Value, id: &str) {
        let lag = Duration::from_millis(self.dice.roll(self.plan.lag + 1));
        let pen = self.pen.as_ref().unwrap();
        let told = (Instant::now() + lag, line.to_string(), id.to_owned());
        pen.lines.send(told).unwrap();
    }

    /// A line of Claude Code's conversation.
    fn talk(&mut self, kind: &str, message: Value, more: Value, id: &str) -> String {
        self.lines += 1;
        let uuid = format!("{:08x}-0000-4000-8000-{:012x}", self.plan.seed, self.lines);
        let mut line = json!({
            "parentUuid": self.last, "isSidechain": false, "userType": "external",
            "cwd": self.plan.project, "sessionId": self.plan.session, "version": "2.1.22",
            "gitBranch": "main", "type": kind, "message": message, "uuid": uuid, "timestamp": stamp(),
        });
        for (key, value) in more.as_object().unwrap() {
            line[key] = value.clone();
        }
        self.line(&line, id);
        self.last = Some(uuid.clone());
        uuid
    }

    fn item(&mut self, kind: &str, payload: Value, id: &str) {
        let line = json!({"timestamp": stamp(), "type": kind, "payload": payload});
        self.line(&line, id);
    }

    fn is_codex(&self) -> bool {
        self.plan.agent == "codex"
    }

    fn open(&mut self) {
        if self.is_codex() {
            let meta = json!({"id": self.plan.session, "timestamp": stamp(), "cwd": self.plan.project,
                "originator": "codex-tui", "cli_version": "0.125.0", "source": "cli",
                "model_provider": "openai"});
            self.item("session_meta", meta, "");
            let context = json!({"turn_id": "t1", "cwd": self.plan.project, "model": "gpt-5.4"});
            self.item("turn_context", context, "");
        } else {
            let line = json!({"type": "file-history-snapshot", "messageId": "x",
                "isSnapshotUpdate": false,
                "snapshot": {"messageId": "x", "trackedFileBackups": {}, "timestamp": stamp()}});
            self.line(&line, "");
        }
    }

    fn prompt(&mut self, text: &str) {
        if self.is_codex() {
            let said = json!({"type": "user_message", "message": text, "images": []});
            self.item("event_msg", said, "");
        } else {
            let said = json!({"role": "user", "content": text});
            self.talk("user", said, json!({}), "");
        }
    }

    /// One answer of the model with its calls, and their results.
    fn answer(&mut self) {
        self.answers += 1;
        let n = match self.plan.parallel {
            true => 2 + self.dice.roll(2) as usize,
            false => 1,
        };
        let mut calls: Vec<Call> = Vec::new();
        while calls.len() < n {
            let call = self.choose();
            let taken = |p: &String| calls.iter().any(|c| c.paths.iter().any(|(q, _)| p == q));
            if !call.paths.iter().any(|(p, _)| taken(p)) {
                calls.push(call);
            }
        }
        let at_once = self.plan.parallel && self.dice.roll(3) > 0;
        let mut lines = Vec::new();
        for call in &calls {
            lines.push(self.tell_call(call));
            sleep(Duration::from_millis(2));
        }
        if !at_once {
            for (call, line) in calls.iter().zip(&lines) {
                let said = perform(call);
                self.tell_result(call, &said, line);
            }
            return;
        }
        let mut running: Vec<_> = calls
            .iter()
            .map(|call| {
                let call = call.clone();
                spawn(move || {
                    let said = perform(&call);
                    (call, said)
                })
            })
            .collect();
        // Results in the order in which they come.
        while !running.is_empty() {
            let Some(i) = running.iter().position(JoinHandle::is_finished) else {
                sleep(Duration::from_millis(1));
                continue;
            };
            let (call, said) = running.remove(i).join().unwrap();
            let at = calls.iter().position(|c| c.id == call.id).unwrap();
            self.tell_result(&call, &said, &lines[at]);
        }
    }

    fn tell_call(&mut self, call: &Call) -> String {
        if self.is_codex() {
            let payload = if call.edit.is_some() {
                json!({"type": "custom_tool_call", "status": "completed", "call_id": call.id,
                    "name": "apply_patch", "input": call.input["patch"]})
            } else {
                json!({"type": "function_call", "name": "exec_command", "call_id": call.id,
                    "arguments": call.input.to_string()})
            };
            self.item("response_item", payload, &call.id);
            return String::new();
        }
        let message = json!({"model": "claude-opus-4-5",
            "id": format!("msg_{}_{}", self.plan.seed, self.answers),
            "type": "message", "role": "assistant", "stop_reason": null,
            "content": [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}],
            "usage": {"input_tokens": 8, "output_tokens": 1}});
        let request = json!({"requestId": format!("req_{}", self.answers)});
        self.talk("assistant", message, request, &call.id)
    }

    fn tell_result(&mut self, call: &Call, said: &str, line: &str) {
        for (path, known) in &call.paths {
            let after = match known {
                Some(text) => Some(text.clone()),
                None => fs::read_to_string(path).ok(),
            };
            self.deeds.push(Deed {
                session: self.plan.session.clone(),
                call: call.id.clone(),
                what: call.what.to_owned(),
                path: path.clone(),
                after,
                at: micros(),
            });
        }
        if call.what == "background" {
            let wait = || sleep(Duration::from_millis(1200));
            self.late.push(spawn(wait));
        }
        if self.is_codex() {
            if let Some((path, ..)) = &call.edit {
                let full = self.plan.project.join(path).to_string_lossy().into_owned();
                let change = json!({"type": "update", "unified_diff": "", "move_path": null});
                let end = json!({"type": "patch_apply_end", "call_id": call.id, "stdout": "Success.",
                    "stderr": "", "success": true, "status": "completed", "changes": {full: change}});
                self.item("event_msg", end, "");
                let out = json!({"output": said, "metadata": {"exit_code": 0}}).to_string();
                let out =
                    json!({"type": "custom_tool_call_output", "call_id": call.id, "output": out});
                self.item("response_item", out, "");
            } else {
                let said =
                    format!("Wall time: 0.1 seconds\nProcess exited with code 0\nOutput:\n{said}");
                let out =
                    json!({"type": "function_call_output", "call_id": call.id, "output": said});
                self.item("response_item", out, "");
            }
            return;
        }
        let before = |old: &String| (!self.plan.bare).then(|| old.clone());
        let told = match &call.edit {
            Some((path, old, _, _)) if call.name == "Edit" => json!({
                "filePath": self.plan.project.join(path), "oldString": call.input["old_string"],
                "newString": call.input["new_string"], "originalFile": before(old),
                "structuredPatch": [], "userModified": false, "replaceAll": false}),
            Some((path, old, new, _)) => json!({"type": "update",
                "filePath": self.plan.project.join(path), "content": new, "originalFile": before(old),
                "structuredPatch": []}),
            None => json!({"stdout": said, "stderr": "", "interrupted": false, "isImage": false}),
        };
        let result = json!({"tool_use_id": call.id, "type": "tool_result", "content": said});
        let message = json!({"role": "user", "content": [result]});
        let more = json!({"toolUseResult": told, "sourceToolAssistantUUID": line});
        self.talk("user", message, more, "");
    }

    fn new_file(&mut self) -> String {
        let name = format!("{}/file{}.txt", self.plan.dir, self.calls);
        self.files.push(name.clone());
        name
    }

    fn some_file(&mut self) -> String {
        if self.files.len() < 4 || self.dice.roll(8) == 0 {
            return self.new_file();
        }
        // Some files are worked on more than others, as it is.
        let n = self.files.len() as u64;
        let mut least = || self.dice.roll(n);
        let i = least().min(least()).min(least());
        self.files[i as usize].clone()
    }

    /// What the next call does.
    fn choose(&mut self) -> Call {
        self.calls += 1;
        let id = match self.is_codex() {
            true => format!("call_{}x{}", self.plan.seed, self.calls),
            false => format!("toolu_{}x{}", self.plan.seed, self.calls),
        };
        let mark = format!("{}-{}", self.plan.seed, self.calls);
        let kind = self.dice.roll(100);
        if kind < 52 {
            return self.edit(id, &mark, kind < 38);
        }
        let there = |p: &&String| Path::new(p.as_str()).exists();
        let alive: Vec<String> = self.files.iter().filter(there).cloned().collect();
        let path = self.some_file();
        let any = |dice: &mut Dice| alive[dice.roll(alive.len() as u64) as usize].clone();
        let slow = format!("sleep 0.{:02}", self.dice.roll(30));
        let heredoc = |word: &str| {
            let command = format!("{slow}; cat > {path} <<'EOF'\n{word} {mark}\nEOF");
            let left = format!("{word} {mark}\n");
            ("heredoc", command, vec![(path.clone(), Some(left))])
        };
        let (what, command, paths) = match kind {
            _ if alive.len() < 4 => heredoc("new"),
            52..=62 => {
                let path = any(&mut self.dice);
                let command = format!("sed -i '1s/.*/sed {mark}/' {path}");
                ("sed -i", command, vec![(path, None)])
            }
            63..=72 => heredoc("here"),
            73..=77 => {
                let path = any(&mut self.dice);
                self.files.retain(|p| *p != path);
                ("rm", format!("rm {path}"), vec![(path, None)])
            }
            78..=82 => {
                let path = any(&mut self.dice);
                self.files.retain(|p| *p != path);
                let to = self.new_file();
                let command = format!("{slow}; mv {path} {to}");
                ("mv", command, vec![(path, None), (to, None)])
            }
            83..=92 => {
                let mut some: Vec<String> = (0..3).map(|_| any(&mut self.dice)).collect();
                some.sort();
                some.dedup();
                let list = some.join(" ");
                let command =
                    format!("for f in {list}; do sleep 0.03; echo 'fmt {mark}' >> $f; done");
                let paths = some.into_iter().map(|p| (p, None)).collect();
                ("formatter", command, paths)
            }
            _ => {
                let path = format!("{}/log{}.txt", self.plan.dir, self.calls);
                let command = format!("(sleep 0.7; echo late {mark} > {path}) >/dev/null 2>&1 &");
                let left = format!("late {mark}\n");
                ("background", command, vec![(path, Some(left))])
            }
        };
        let input = match self.is_codex() {
            true => json!({"cmd": command, "workdir": self.plan.project}),
            false => json!({"command": command, "description": "works"}),
        };
        Call {
            id,
            what,
            name: "Bash".into(),
            input,
            edit: None,
            command: Some(command),
            paths,
            took: Duration::ZERO,
        }
    }

    fn edit(&mut self, id: String, mark: &str, small: bool) -> Call {
        let path = self.some_file();
        let old = fs::read_to_string(&path).unwrap_or_default();
        let small = small && !old.is_empty();
        let line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        let new = if small {
            old.replacen(&line(&old), &format!("edit {mark}"), 1)
        } else {
            format!("write {mark}\nline\nline\n")
        };
        let full = self.plan.project.join(&path);
        let input = if self.is_codex() {
            let shown = full.to_string_lossy();
            let lines = |text: &str, sign: char| -> String {
                text.lines().map(|l| format!("{sign}{l}\n")).collect()
            };
            let body = if old.is_empty() {
                format!("*** Add File: {shown}\n{}", lines(&new, '+'))
            } else {
                let (minus, plus) = (lines(&old, '-'), lines(&new, '+'));
                format!("*** Update File: {shown}\n@@\n{minus}{plus}")
            };
            json!({"patch": format!("*** Begin Patch\n{body}*** End Patch\n")})
        } else if small {
            json!({"replace_all": false, "file_path": full, "old_string": line(&old),
                "new_string": line(&new)})
        } else {
            json!({"file_path": full, "content": new})
        };
        Call {
            id,
            what: "edit",
            name: if small { "Edit" } else { "Write" }.into(),
            input,
            edit: Some((path.clone(), old, new.clone(), self.dice.roll(2) == 0)),
            command: None,
            paths: vec![(path, Some(new))],
            took: Duration::from_millis(10 + self.dice.roll(80)),
        }
    }
}

/// Does it, and gives what it says.
fn perform(call: &Call) -> String {
    if let Some((path, _, new, beside)) = &call.edit {
        sleep(call.took / 2);
        let path = Path::new(path);
        if *beside {
            let name = path.file_name().unwrap().to_string_lossy();
            let tmp = path.with_file_name(format!("{name}.tmp.{}", call.id));
            fs::write(&tmp, new).unwrap();
            fs::rename(&tmp, path).unwrap();
        } else {
            fs::write(path, new).unwrap();
        }
        sleep(call.took / 2);
        return "The file has been updated".into();
    }
    let out = Command::new("bash")
        .args(["-c", call.command.as_ref().unwrap()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&out.stdout).into_owned()
}
