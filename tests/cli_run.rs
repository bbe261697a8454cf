//! `backtrail run` as a process: terminal, window size, signals, exit codes, pipes. The engine is a scripted one that
//! answers on a real socket, so that these need no mount.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use backtrail::engine::api::{
    Begun, Call, EngineStatus, Hello, Message, PROTOCOL, Reply, Request, Response, Role, ScanStatus,
};
use backtrail::model::{Session, SessionId, Time};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// Nothing here takes a second; a machine that is busy may.
const LIMIT: Duration = Duration::from_secs(20);

/// An engine that begins one session whose view is the project itself.
struct Engine {
    dir: tempfile::TempDir,
    /// Exit codes that it was told.
    ended: Receiver<i32>,
}

impl Engine {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().canonicalize().unwrap().join("project");
        fs::create_dir(&project).unwrap();
        let listener = UnixListener::bind(dir.path().join("socket")).unwrap();
        let (tell, ended) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (project, tell) = (project.clone(), tell.clone());
                std::thread::spawn(move || talk(stream.unwrap(), &project, &tell));
            }
        });
        Self { dir, ended }
    }

    fn project(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("project")
    }

    /// `backtrail run -- sh -c SCRIPT`
    fn run(&self, script: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backtrail"));
        command.args(["run", "--", "sh", "-c", script]);
        self.settle(&mut command);
        command
    }

    fn settle(&self, command: &mut Command) {
        command
            .current_dir(self.project())
            .env("BACKTRAIL_SOCKET", self.dir.path().join("socket"))
            .env("BACKTRAIL_PROJECT", self.project())
            .env("BACKTRAIL_DATA", self.dir.path().join("data"))
            .env("BACKTRAIL_RUNTIME", self.dir.path().join("run"));
    }

    fn told(&self) -> i32 {
        self.ended.recv_timeout(LIMIT).unwrap()
    }
}

fn talk(stream: UnixStream, project: &Path, tell: &Sender<i32>) {
    let mut to = stream.try_clone().unwrap();
    let mut say = |line: String| writeln!(to, "{line}").is_ok();
    let path = project.to_str().unwrap().to_owned();
    for (n, line) in BufReader::new(stream).lines().enumerate() {
        let Ok(line) = line else { return };
        if n == 0 {
            say(serde_json::to_string(&Hello {
                backtrail: PROTOCOL,
                version: "test".into(),
                role: Some(Role::Person),
                project: Some(path.clone()),
            })
            .unwrap());
            continue;
        }
        let call: Call = serde_json::from_str(&line).unwrap();
        let answer = match call.request {
            Request::Begin { agent, command, .. } => Response::Session(Box::new(Begun {
                session: session(agent, command),
                view: path.clone(),
                project: path.clone(),
                cgroup_dir: None,
                socket: "/nowhere".into(),
                mask: Vec::new(),
                terminal: None,
            })),
            Request::End { exit_code, .. } => {
                let _ = tell.send(exit_code);
                Response::Done(String::new())
            }
            Request::Status => Response::Status(Box::new(status(&path))),
            other => panic!("{other:?}"),
        };
        let reply = Message::Reply(Reply {
            id: call.id,
            result: Ok(answer),
        });
        if !say(serde_json::to_string(&reply).unwrap()) {
            return;
        }
    }
}

fn session(agent: String, command: String) -> Session {
    Session {
        id: SessionId::of("test"),
        native: "test".into(),
        agent,
        command,
        cgroup: String::new(),
        start: Time::now(),
        end: None,
        exit_code: None,
        imported: false,
        branch: None,
    }
}

fn status(project: &str) -> EngineStatus {
    EngineStatus {
        project: project.into(),
        name: "project".into(),
        pid: 1,
        live: None,
        capture: "none".into(),
        since: Time::now(),
        branch: "main".into(),
        head: None,
        workspace: None,
        dirty: 0,
        scan: ScanStatus::default(),
        steps: 0,
        last: None,
        commits: 0,
        sessions: Vec::new(),
        forks: Vec::new(),
        overlaps: Vec::new(),
        merging: None,
        warnings: Vec::new(),
    }
}

/// A terminal with a program in it that has it as its controlling terminal.
struct Terminal {
    master: OwnedFd,
    /// Kept, so that its settings can be looked at.
    inner: OwnedFd,
    child: Child,
    seen: Vec<u8>,
}

impl Terminal {
    fn open(engine: &Engine, script: &str) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let inner = ioctl_tiocgptpeer(&master, flags).unwrap();
        tcsetwinsize(&master, size(33, 77)).unwrap();
        // `enter` makes the terminal session in which `run` then is an ordinary program, as in a shell.
        let mut command = Command::new(env!("CARGO_BIN_EXE_backtrail"));
        command
            .args(["enter", "--plain", "--terminal", "--view"])
            .arg(engine.project())
            .arg("--at")
            .arg(engine.project())
            .arg("--")
            .arg(env!("CARGO_BIN_EXE_backtrail"))
            .args(["run", "--", "sh", "-c", script])
            .stdin(inner.try_clone().unwrap())
            .stdout(inner.try_clone().unwrap())
            .stderr(inner.try_clone().unwrap());
        engine.settle(&mut command);
        let child = command.spawn().unwrap();
        Self {
            master,
            inner,
            child,
            seen: Vec::new(),
        }
    }

    /// Reads until `text` has been seen.
    fn expect(&mut self, text: &str) {
        let until = Instant::now() + LIMIT;
        while !self.text().contains(text) {
            assert!(Instant::now() < until, "no {text:?} in {:?}", self.text());
            self.read(Duration::from_millis(100));
        }
    }

    fn read(&mut self, limit: Duration) -> bool {
        let limit = Timespec::try_from(limit).unwrap();
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        if poll(&mut fds, Some(&limit)).unwrap() == 0 {
            return false;
        }
        let mut buffer = [0; 4096];
        let n = rustix::io::read(&self.master, &mut buffer).unwrap();
        self.seen.extend_from_slice(&buffer[..n]);
        n > 0
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    fn type_in(&self, bytes: &[u8]) {
        assert_eq!(rustix::io::write(&self.master, bytes).unwrap(), bytes.len());
    }

    /// Waits for the end, reading all that is shown; the terminal must be as it was.
    fn end(mut self) -> (Option<i32>, String) {
        let until = Instant::now() + LIMIT;
        let code = loop {
            while self.read(Duration::ZERO) {}
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.code();
            }
            assert!(Instant::now() < until, "still running: {:?}", self.text());
            self.read(Duration::from_millis(20));
        };
        while self.read(Duration::ZERO) {}
        let modes = tcgetattr(&self.inner).unwrap().local_modes;
        assert!(
            modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG),
            "the terminal was left raw"
        );
        (code, self.text())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

#[test]
fn a_terminal_inside_with_its_size_and_its_changes() {
    let engine = Engine::start();
    let mut terminal = Terminal::open(
        &engine,
        "test -t 0 && test -t 1 && test -t 2 && echo tty; stty size; read x; stty size; \
         trap 'echo resized; exit 5' WINCH; echo wait; while :; do sleep 0.02; done",
    );
    terminal.expect("tty\r\n33 77\r\n");
    tcsetwinsize(&terminal.master, size(44, 99)).unwrap();
    terminal.type_in(b"\n");
    terminal.expect("44 99\r\nwait");
    tcsetwinsize(&terminal.master, size(45, 99)).unwrap();
    let (code, text) = terminal.end();
    assert_eq!(code, Some(5), "{text}");
    assert!(text.contains("resized"), "{text}");
    assert!(text.contains("Look at it: backtrail"), "{text}");
    assert_eq!(engine.told(), 5);
}

#[test]
fn control_keys_are_bytes_for_the_inside() {
    let engine = Engine::start();
    let mut terminal = Terminal::open(
        &engine,
        "trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.02; done",
    );
    terminal.expect("ready");
    terminal.type_in(b"\x03");
    let (code, text) = terminal.end();
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("interrupted"), "{text}");

    // The end of input; and a stopped job that is continued, which needs the terminal to be its own.
    let mut terminal = Terminal::open(
        &engine,
        "set -m; echo ready; cat; echo \"stopped $?\"; fg >/dev/null; echo \"ended $?\"",
    );
    terminal.expect("ready");
    terminal.type_in(b"one\n");
    terminal.expect("one\r\none\r\n");
    terminal.type_in(b"\x1a");
    terminal.expect("stopped 148");
    terminal.type_in(b"two\n");
    terminal.expect("two\r\ntwo\r\n");
    terminal.type_in(b"\x04");
    let (code, text) = terminal.end();
    assert!(text.contains("ended 0"), "{text}");
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn all_output_is_shown_although_the_command_ends_at_once() {
    let engine = Engine::start();
    let terminal = Terminal::open(&engine, "head -c 300000 /dev/zero | tr '\\0' x; exit 9");
    let (code, text) = terminal.end();
    assert_eq!(code, Some(9));
    assert_eq!(text.bytes().filter(|b| *b == b'x').count(), 300_000);
}

/// A paste is longer than what a terminal takes at once, and the command prints while it is being fed.
#[test]
fn a_long_paste_does_not_get_stuck() {
    let engine = Engine::start();
    let mut terminal = Terminal::open(
        &engine,
        "stty -echo; echo ready; n=0; while read line; do n=$((n + 1)); echo \"got $line\"; \
         [ \"$line\" = end ] && break; done; exit $((n % 100))",
    );
    terminal.expect("ready");
    let mut paste: Vec<u8> = Vec::new();
    for n in 0..6000 {
        paste.extend(format!("line {n}\n").bytes());
    }
    paste.extend(b"end\n");
    let master = terminal.master.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        File::from(master).write_all(&paste).unwrap();
    });
    terminal.expect("got end");
    writer.join().unwrap();
    let (code, text) = terminal.end();
    assert_eq!(code, Some(1), "6001 lines");
    assert!(text.contains("got line 5999"));
}

#[test]
fn signals_to_us_reach_the_command() {
    let engine = Engine::start();
    for (signal, name, code) in [
        (Signal::TERM, "TERM", 11),
        (Signal::USR1, "USR1", 12),
        (Signal::HUP, "HUP", 13),
        (Signal::QUIT, "QUIT", 14),
    ] {
        let script = format!(
            "trap 'echo got {name}; exit {code}' {name}; echo ready; while :; do sleep 0.02; done"
        );
        // In a terminal.
        let mut terminal = Terminal::open(&engine, &script);
        terminal.expect("ready");
        send(terminal.child.id(), signal);
        let (ended, text) = terminal.end();
        assert_eq!(ended, Some(code), "{text}");
        assert_eq!(engine.told(), code);
        // With pipes.
        let mut child = engine
            .run(&script)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        send(child.id(), signal);
        line.clear();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, format!("got {name}\n"));
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert_eq!(engine.told(), code);
    }
}

fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn a_terminal_that_goes_away_hangs_the_command_up() {
    let engine = Engine::start();
    let mark = engine.dir.path().join("hung-up");
    let script = format!(
        "trap 'echo > {}; exit 1' HUP; echo ready; while :; do sleep 0.02; done",
        mark.display()
    );
    let mut terminal = Terminal::open(&engine, &script);
    terminal.expect("ready");
    let Terminal { master, inner, .. } = &mut terminal;
    // The master's last descriptor closes: what closing the window does.
    let null: OwnedFd = File::open("/dev/null").unwrap().into();
    drop(std::mem::replace(inner, null.try_clone().unwrap()));
    drop(std::mem::replace(master, null));
    assert_eq!(engine.told(), 1);
    assert!(mark.exists());
    assert_eq!(terminal.child.wait().unwrap().code(), Some(1));
}

fn with_input(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn pipes_stay_pipes() {
    let engine = Engine::start();
    let output = with_input(
        &mut engine.run("test -t 0 || echo pipe; cat; echo err >&2; exit 7"),
        b"a\x03\x04\r\n\xff",
    );
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(output.stdout, b"pipe\na\x03\x04\r\n\xff");
    assert_eq!(output.stderr, b"err\n");
    assert_eq!(engine.told(), 7);
}

#[test]
fn exit_codes_are_the_commands() {
    let engine = Engine::start();
    for (script, code) in [
        ("exit 0", 0),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
    ] {
        let output = with_input(&mut engine.run(script), b"");
        assert_eq!(output.status.code(), Some(code), "{script}");
        assert_eq!(engine.told(), code);
    }
    let mut missing = Command::new(env!("CARGO_BIN_EXE_backtrail"));
    missing.args(["run", "--", "no-such-command-here", "--json"]);
    engine.settle(&mut missing);
    let output = with_input(&mut missing, b"");
    assert_eq!(output.status.code(), Some(127));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("no-such-command-here: command not found")
    );
}

/// The command starts where we are, knows its session, and inherits no descriptor of ours.
#[test]
fn what_the_command_finds() {
    let engine = Engine::start();
    fs::create_dir(engine.project().join("sub")).unwrap();
    let descriptors = "ls /proc/self/fd | wc -l";
    let mut run = engine.run(&format!(
        "pwd; echo $PWD; echo $BACKTRAIL_SOCKET; echo $BACKTRAIL_SESSION; {descriptors}"
    ));
    run.current_dir(engine.project().join("sub"));
    let output = with_input(&mut run, b"");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let sub = engine.project().join("sub");
    assert_eq!(lines[0], sub.to_str().unwrap());
    assert_eq!(lines[1], lines[0]);
    assert_eq!(lines[2], "/nowhere");
    assert_eq!(lines[3], SessionId::of("test").to_hex());
    let direct = with_input(Command::new("sh").args(["-c", descriptors]), b"");
    assert_eq!(
        lines[4].trim(),
        String::from_utf8_lossy(&direct.stdout).trim()
    );
}

/// A reader of the output that goes away ends the command as it would without us.
#[test]
fn a_closed_pipe_is_the_commands_own_matter() {
    let engine = Engine::start();
    let mut child = engine
        .run("while echo y; do :; done 2>/dev/null; exit 6")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut first = [0; 2];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    // The shell's own echo is killed by the pipe's signal: nobody ignores it on the way.
    assert_eq!(child.wait().unwrap().code(), Some(128 + 13));
}
