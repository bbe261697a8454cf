//! The UI on a real pseudo-terminal: its first frame, its keys, and that the terminal is given back however it ends.
//!
//! The UI runs in a child process: this test program again, told by an environment variable which part to play.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use backtrail::engine::api::{
    ApiError, EngineStatus, ErrorCode, Notice, RecordingInfo, RecordingSummary, Request, Response,
    Row, Rows, ScanStatus, StepDetail, TextPart,
};
use backtrail::engine::source::{Answer, Source};
use backtrail::model::{BlobId, CallKind, Ordinal, SessionId, Status, StepId, StepKind, Time};
use backtrail::ui;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use tokio::sync::mpsc;

/// Which part the child plays.
const PART: &str = "BACKTRAIL_TEST_UI_PART";

/// Longest wait for anything that must come.
const PATIENCE: Duration = Duration::from_secs(20);

struct Recording {
    rows: Vec<Row>,
    broken: bool,
    /// The screen itself fails: it asks this on its own thread.
    crash: bool,
    keep: Mutex<Option<mpsc::UnboundedSender<Notice>>>,
}

fn recording(broken: bool) -> Recording {
    let session = SessionId::of("pty");
    let rows = (1..=40u64)
        .map(|n| Row {
            step: StepId::of(session, &n.to_string()),
            ordinal: Ordinal { major: n, minor: 0 },
            session: Some(session),
            kind: if n % 10 == 1 {
                StepKind::Prompt
            } else {
                StepKind::Thought
            },
            call: CallKind::Other,
            tool: String::new(),
            title: format!("thought number {n}"),
            time: Time(1_773_489_600_000_000),
            end: None,
            status: Status::None,
            exit_code: None,
            turn: u32::try_from(n / 10 + 1).unwrap(),
            commit: None,
            parent: None,
            commits: 0,
            line: 0,
            from_line: None,
            effect: None,
            labels: Vec::new(),
            talk: Default::default(),
        })
        .collect();
    Recording {
        rows,
        broken,
        crash: false,
        keep: Mutex::new(None),
    }
}

impl Recording {
    fn answer(&self, request: Request) -> Result<Response, ApiError> {
        Ok(match request {
            Request::Status => Response::Status(Box::new(EngineStatus {
                project: "/home/ada/demo".to_owned(),
                name: "demo".to_owned(),
                pid: 1,
                live: None,
                capture: "fuse".to_owned(),
                since: Time(0),
                branch: "main".to_owned(),
                head: None,
                workspace: Some(Ordinal { major: 9, minor: 0 }),
                dirty: 0,
                scan: ScanStatus {
                    files: 1,
                    done: true,
                },
                steps: self.rows.len() as u64,
                last: self.rows.last().map(|r| r.ordinal),
                commits: 0,
                sessions: Vec::new(),
                forks: Vec::new(),
                overlaps: Vec::new(),
                merging: None,
                warnings: Vec::new(),
            })),
            Request::Rows { after, limit } => Response::Rows(Rows {
                rows: self
                    .rows
                    .iter()
                    .filter(|r| after.is_none_or(|a| r.ordinal > a))
                    .take(limit)
                    .cloned()
                    .collect(),
                total: self.rows.len() as u64,
            }),
            Request::Step { id } => {
                assert!(!self.broken, "this recording is broken on purpose");
                let row = self.rows.iter().find(|r| r.step == id).unwrap().clone();
                let text = format!("{}, in full", row.title);
                Response::Step(Box::new(StepDetail {
                    row,
                    body: Some(TextPart {
                        blob: BlobId::of(text.as_bytes()),
                        len: text.len() as u64,
                        text,
                    }),
                    output: None,
                    commits: Vec::new(),
                    changes: Vec::new(),
                    thought: None,
                    prompt: None,
                }))
            }
            Request::Refs => Response::Refs(BTreeMap::new()),
            _ => return Err(ApiError::new(ErrorCode::Unsupported, "not recorded")),
        })
    }
}

impl Source for Recording {
    fn ask(&self, request: Request) -> Answer<'_> {
        Box::pin(async move { self.answer(request) })
    }

    fn notices(&self) -> mpsc::UnboundedReceiver<Notice> {
        let (send, receive) = mpsc::unbounded_channel();
        *self.keep.lock().unwrap() = Some(send);
        receive
    }

    fn is_live(&self) -> bool {
        assert!(!self.crash, "the screen fails on purpose");
        true
    }
}

/// A machine with three recordings, of which one cannot be opened.
struct Machine;

impl Machine {
    fn info(n: i64) -> RecordingInfo {
        RecordingInfo {
            path: format!("/home/ada/{n}.jsonl"),
            format: "claude".to_owned(),
            modified: Time(1_773_489_600_000_000 - n * 60_000_000),
            size: 1000,
            summary: Some(RecordingSummary {
                project: format!("/home/ada/project-{n}"),
                agent: "claude".to_owned(),
                steps: 40,
                last_prompt: format!("the last thing asked in {n}"),
                ..RecordingSummary::default()
            }),
        }
    }
}

impl Source for Machine {
    fn ask(&self, request: Request) -> Answer<'_> {
        Box::pin(async move {
            Ok(match request {
                Request::Recordings { skip, limit } => Response::Recordings {
                    total: 3,
                    items: (1..=3).map(Self::info).skip(skip).take(limit).collect(),
                },
                Request::Recording { path } => {
                    let found = (1..=3).map(Self::info).find(|i| i.path == path);
                    Response::Recording(Box::new(found.unwrap()))
                }
                _ => return Err(ApiError::new(ErrorCode::Unsupported, "only a list")),
            })
        })
    }

    fn notices(&self) -> mpsc::UnboundedReceiver<Notice> {
        mpsc::unbounded_channel().1
    }

    fn is_live(&self) -> bool {
        false
    }
}

/// What the child does; nothing when this is run as a test.
#[test]
fn child() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let options = ui::Options {
        no_query: part != "query",
        plain: part == "screen reader",
        ..ui::Options::default()
    };
    if part == "browse" {
        let list = async { Ok(Arc::new(Machine) as Arc<dyn Source>) };
        let open = |path: String| async move {
            if path.ends_with("2.jsonl") {
                let why = format!("{path} cannot be read: it is a directory");
                return Err(ApiError::new(ErrorCode::Failed, why));
            }
            Ok(Arc::new(recording(false)) as Arc<dyn Source>)
        };
        let result = runtime.block_on(ui::browse(list, open, options));
        println!("the UI ended: {result:?}");
        return;
    }
    let result = runtime.block_on(ui::run(
        async move {
            match part.as_str() {
                "never" => std::future::pending().await,
                "panic" => panic!("connecting fails on purpose"),
                "crash" => Ok(Arc::new(Recording {
                    crash: true,
                    ..recording(false)
                }) as Arc<dyn Source>),
                part => Ok(Arc::new(recording(part == "broken")) as Arc<dyn Source>),
            }
        },
        options,
    ));
    println!("the UI ended: {result:?}");
}

struct Seen {
    parser: vt100::Parser,
    raw: Vec<u8>,
    closed: bool,
}

/// A child on a pseudo-terminal, with what its terminal shows.
struct Stage {
    child: Child,
    master: File,
    slave: OwnedFd,
    /// How the terminal was found.
    before: String,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    started: Instant,
    /// Where its settings are.
    home: tempfile::TempDir,
}

impl Stage {
    fn start(part: &str, answer: &'static [u8]) -> Self {
        Self::start_with(part, answer, &[], None)
    }

    fn start_with(
        part: &str,
        answer: &'static [u8],
        env: &[(&str, &str)],
        settings: Option<&str>,
    ) -> Self {
        let home = tempfile::tempdir().unwrap();
        if let Some(settings) = settings {
            settle(home.path(), settings);
        }
        let master = rustix::pty::openpt(
            rustix::pty::OpenptFlags::RDWR
                | rustix::pty::OpenptFlags::NOCTTY
                | rustix::pty::OpenptFlags::CLOEXEC,
        )
        .unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let slave: OwnedFd = File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap()
            .into();
        let master = File::from(master);
        size(&slave, 100, 24);
        let before = modes(&slave);
        let started = Instant::now();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(PART, part)
            .env("TERM", "xterm-256color")
            .env("COLORTERM", "truecolor")
            .env("XDG_CONFIG_HOME", home.path())
            .env_remove("NO_COLOR")
            .env_remove("ACCESSIBLE")
            .envs(env.iter().copied())
            .stdin(Stdio::from(slave.try_clone().unwrap()))
            .stdout(Stdio::from(slave.try_clone().unwrap()))
            .stderr(Stdio::from(slave.try_clone().unwrap()))
            .process_group(0)
            .spawn()
            .unwrap();
        let seen = Arc::new((
            Mutex::new(Seen {
                parser: vt100::Parser::new(24, 100, 0),
                raw: Vec::new(),
                closed: false,
            }),
            Condvar::new(),
        ));
        let (mut reader, mut writer) = (master.try_clone().unwrap(), master.try_clone().unwrap());
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0u8; 4096];
            let mut asked = false;
            loop {
                let n = reader.read(&mut buffer).unwrap_or(0);
                let (lock, changed) = &*shared;
                let mut seen = lock.lock().unwrap();
                if n == 0 {
                    seen.closed = true;
                    changed.notify_all();
                    return;
                }
                seen.parser.process(&buffer[..n]);
                seen.raw.extend_from_slice(&buffer[..n]);
                if !asked && !answer.is_empty() && holds(&seen.raw, b"\x1b[c") {
                    asked = true;
                    writer.write_all(answer).unwrap();
                }
                changed.notify_all();
            }
        });
        Self {
            child,
            master,
            slave,
            before,
            seen,
            started,
            home,
        }
    }

    /// Everything that was sent to the terminal so far.
    fn raw(&self) -> Vec<u8> {
        self.seen.0.lock().unwrap().raw.clone()
    }

    /// Waits until what was seen fits.
    fn until(&self, what: &str, fits: impl Fn(&Seen) -> bool) -> Duration {
        let (lock, changed) = &*self.seen;
        let mut seen = lock.lock().unwrap();
        let end = Instant::now() + PATIENCE;
        while !fits(&seen) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "waited for {what} in vain (alternate {}, hidden {}, paste {}), raw end {:?}:\n{}",
                seen.parser.screen().alternate_screen(),
                seen.parser.screen().hide_cursor(),
                seen.parser.screen().bracketed_paste(),
                String::from_utf8_lossy(&seen.raw[seen.raw.len().saturating_sub(300)..]),
                seen.parser.screen().contents()
            );
            seen = changed.wait_timeout(seen, left).unwrap().0;
        }
        self.started.elapsed()
    }

    fn shows(&self, text: &str) -> Duration {
        self.until(text, |seen| seen.parser.screen().contents().contains(text))
    }

    fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn is_given_back(&self) {
        self.until("the terminal given back", |seen| {
            let screen = seen.parser.screen();
            !screen.alternate_screen()
                && !screen.hide_cursor()
                && !screen.bracketed_paste()
                && screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
        });
        assert_eq!(modes(&self.slave), self.before);
    }

    fn ends(&mut self) -> std::process::ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a settings file, as an editor does: beside it, then in its place.
fn settle(home: &std::path::Path, text: &str) {
    let dir = home.join("backtrail");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join(".config.toml.new"), text).unwrap();
    std::fs::rename(dir.join(".config.toml.new"), dir.join("config.toml")).unwrap();
}

fn size(terminal: &OwnedFd, columns: u16, rows: u16) {
    tcsetwinsize(
        terminal,
        Winsize {
            ws_col: columns,
            ws_row: rows,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )
    .unwrap();
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|w| w == part)
}

fn modes(terminal: &OwnedFd) -> String {
    let t = tcgetattr(terminal).unwrap();
    format!(
        "{:?} {:?} {:?} {:?}",
        t.input_modes, t.output_modes, t.control_modes, t.local_modes
    )
}

#[test]
fn the_first_frame_comes_before_anything_is_known() {
    let mut stage = Stage::start("never", b"");
    let time = stage.shows("connecting");
    // The test program's own start is in this; 50 ms is the aim for the program.
    println!("first frame after {time:?}");
    assert!(time < Duration::from_secs(5), "{time:?}");
    stage.press("q");
    assert!(stage.ends().success());
    stage.is_given_back();
}

#[test]
fn keys_move_and_q_gives_the_terminal_back() {
    let mut stage = Stage::start("plain", b"");
    stage.shows("thought number 40, in full");
    assert!(stage.until("alternate screen", |s| s.parser.screen().alternate_screen()) < PATIENCE);
    stage.press("gg");
    stage.shows("thought number 1, in full");
    stage.press("\x1b[B\x1b[B");
    stage.shows("thought number 3, in full");
    stage.press("12G");
    stage.shows("step 12 of 40");
    // Pasted text is no command.
    stage.press("\x1b[200~qqq\x1b[201~j");
    stage.shows("step 13 of 40");
    stage.press("yy");
    stage.until("OSC 52", |s| holds(&s.raw, b"\x1b]52;c;"));
    stage.press("q");
    assert!(stage.ends().success());
    stage.shows("the UI ended: Ok(())");
    stage.is_given_back();
}

#[test]
fn a_recording_is_opened_from_the_list_and_left_again() {
    let mut stage = Stage::start("browse", b"");
    stage.shows("the last thing asked in 3");
    let taken = |s: &Seen| {
        let enter = b"\x1b[?1049h";
        s.raw.windows(enter.len()).filter(|w| w == enter).count()
    };
    stage.press("\r");
    stage.shows("thought number 40, in full");
    stage.press("\x1b");
    stage.shows("the last thing asked in 1");
    // One that cannot be opened says why, and is left the same way.
    stage.press("j\r");
    stage.shows("it is a directory");
    stage.press("q");
    stage.shows("2/3");
    stage.press("j\r");
    stage.shows("thought number 40, in full");
    stage.press("q");
    stage.shows("3/3");
    let seen = stage.seen.0.lock().unwrap();
    assert_eq!(taken(&seen), 1, "the terminal is taken over once");
    drop(seen);
    stage.press("q");
    assert!(stage.ends().success());
    stage.shows("the UI ended: Ok(())");
    stage.is_given_back();
}

#[test]
fn a_signal_gives_the_terminal_back() {
    for signal in [Signal::TERM, Signal::HUP] {
        let mut stage = Stage::start("plain", b"");
        stage.shows("thought number 40, in full");
        kill_process(stage.pid(), signal).unwrap();
        assert!(stage.ends().success());
        stage.is_given_back();
    }
}

#[test]
fn ctrl_z_goes_to_the_background_and_comes_back() {
    let mut stage = Stage::start("plain", b"");
    stage.shows("thought number 40, in full");
    stage.press("12G");
    stage.shows("step 12 of 40");
    stage.press("\x1a");
    let status = waitpid(Some(stage.pid()), WaitOptions::UNTRACED)
        .unwrap()
        .unwrap()
        .1;
    assert!(status.stopped());
    stage.is_given_back();
    kill_process(stage.pid(), Signal::CONT).unwrap();
    stage.until("the screen again", |s| {
        s.parser.screen().alternate_screen() && s.parser.screen().contents().contains("step 12")
    });
    stage.press("j");
    stage.shows("step 13 of 40");
    stage.press("q");
    assert!(stage.ends().success());
    stage.is_given_back();
}

#[test]
fn a_failing_task_leaves_the_screen_alone() {
    let mut stage = Stage::start("broken", b"");
    stage.shows("a part of the screen failed");
    assert!(stage.until("alternate screen", |s| s.parser.screen().alternate_screen()) < PATIENCE);
    stage.press("q");
    assert!(stage.ends().success());
    stage.is_given_back();

    let mut stage = Stage::start("panic", b"");
    stage.shows("connecting failed");
    stage.press("q");
    assert!(stage.ends().success());
    stage.is_given_back();
}

#[test]
fn a_new_size_is_drawn_at_once() {
    let mut stage = Stage::start("plain", b"");
    stage.shows("thought number 40, in full");
    {
        let mut seen = stage.seen.0.lock().unwrap();
        seen.parser.screen_mut().set_size(12, 60);
    }
    size(&stage.slave, 60, 12);
    kill_process(stage.pid(), Signal::WINCH).unwrap();
    stage.until("the narrow header", |s| {
        s.parser.screen().contents().contains("40/40 │ LIVE")
    });
    stage.press("q");
    assert!(stage.ends().success());
}

#[test]
fn the_background_is_asked_for_and_used() {
    let stage = Stage::start("query", b"\x1b]11;rgb:1e1e/1e1e/2e2e\x1b\\\x1b[?62;c");
    stage.shows("thought number 40, in full");
    stage.until("a tint", |s| holds(&s.raw, b"48;2;44;52;68"));
    // A terminal that does not answer is not waited for, and gets its own colours.
    let stage = Stage::start("query", b"");
    stage.shows("thought number 40, in full");
    let seen = stage.seen.0.lock().unwrap();
    assert!(!holds(&seen.raw, b"48;2;"));
}

/// How often the process has gone to sleep and been woken.
fn switches(pid: Pid) -> u64 {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let text = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default();
        for line in text.lines() {
            if let Some(n) = line.strip_prefix("voluntary_ctxt_switches:") {
                sum += n.trim().parse::<u64>().unwrap();
            }
        }
    }
    sum
}

#[test]
fn when_nothing_happens_nothing_wakes() {
    let stage = Stage::start("plain", b"");
    stage.shows("thought number 40, in full");
    let quiet = |time| {
        let before = switches(stage.pid());
        std::thread::sleep(Duration::from_millis(time));
        switches(stage.pid()) - before
    };
    // Let what the start began come to its end: at most so often.
    for _ in 0..50 {
        if quiet(100) == 0 {
            break;
        }
    }
    assert_eq!(quiet(700), 0);
}

#[test]
fn settings_are_taken_over_while_it_runs_and_a_broken_file_changes_nothing() {
    let mut stage = Stage::start("plain", b"");
    stage.shows("thought number 40, in full");
    // Not even the directory was there before.
    settle(stage.home.path(), "[keys.timeline]\nx = \"time.back\"\n");
    stage.shows("settings read");
    stage.press("x");
    stage.shows("step 39 of 40");
    settle(stage.home.path(), "[keys.timeline]\nx = \"time.bak\"\n");
    stage.shows("settings kept:");
    stage.press("x");
    stage.shows("step 38 of 40");
    settle(stage.home.path(), "glyphs = \"ascii\"\n");
    stage.until("no lines but ASCII", |s| {
        let screen = s.parser.screen().contents();
        screen.contains("settings read") && screen.is_ascii()
    });
    stage.press("q");
    assert!(stage.ends().success());
    stage.is_given_back();
}

#[test]
fn a_mistake_in_the_settings_is_told_at_the_start() {
    let stage = Stage::start_with("plain", b"", &[], Some("thme = 1\ntoast = 60\n"));
    stage.shows("config.toml:1: there is no setting \"thme\"; is theme meant?");
}

#[test]
fn the_mouse_clicks_and_can_be_given_back() {
    let mut stage = Stage::start("plain", b"");
    stage.shows("thought number 40, in full");
    assert!(holds(&stage.raw(), b"\x1b[?1006h"));
    // Not every movement: that would wake the program all the time.
    assert!(!holds(&stage.raw(), b"\x1b[?1003h"));
    let at = |seen: &Seen| {
        let screen = seen.parser.screen().contents();
        screen.lines().position(|l| l.contains("number 35"))
    };
    stage.until("step 35 in the list", |seen| at(seen).is_some());
    let row = at(&stage.seen.0.lock().unwrap()).unwrap() + 1;
    stage.press(&format!("\x1b[<0;10;{row}M\x1b[<0;10;{row}m"));
    stage.shows("step 35 of 40");
    stage.press("\x1b[<64;10;8M");
    stage.shows("step 32 of 40");
    stage.press("%");
    stage.until("the mouse given back", |s| {
        s.parser.screen().mouse_protocol_mode() == vt100::MouseProtocolMode::None
    });
    stage.press("%");
    stage.until("the mouse taken again", |s| {
        s.parser.screen().mouse_protocol_mode() != vt100::MouseProtocolMode::None
    });
    kill_process(stage.pid(), Signal::TERM).unwrap();
    assert!(stage.ends().success());
    stage.is_given_back();
    let stage = Stage::start_with("plain", b"", &[], Some("mouse = \"off\"\n"));
    stage.shows("thought number 40, in full");
    assert!(!holds(&stage.raw(), b"\x1b[?1006h"));
}

#[test]
fn without_colours_there_is_none() {
    let stage = Stage::start_with(
        "plain",
        b"",
        &[("NO_COLOR", "1")],
        Some("theme = \"night\"\n"),
    );
    stage.shows("thought number 40, in full");
    // The frame comes in pieces: the whole of it ends with the footer.
    stage.shows("? help");
    stage.until("the selection", |s| holds(&s.raw, b"\x1b[7m"));
    let raw = String::from_utf8_lossy(&stage.raw()).into_owned();
    let mut reversed = false;
    for part in raw.split("\x1b[").skip(1) {
        let Some((codes, _)) = part.split_once('m') else {
            continue;
        };
        if !codes.bytes().all(|b| b.is_ascii_digit() || b == b';') {
            continue;
        }
        for code in codes.split(';') {
            reversed |= code == "7";
            let colour = code.len() == 2
                && matches!(code.as_bytes()[0], b'3' | b'4')
                && code.as_bytes()[1] != b'9';
            assert!(!colour, "{codes}");
        }
    }
    assert!(reversed, "the selection is not to be seen");
}

#[test]
fn for_screen_readers_there_are_no_frames() {
    for (part, env) in [
        ("screen reader", &[][..]),
        ("plain", &[("ACCESSIBLE", "1")][..]),
    ] {
        let stage = Stage::start_with(part, b"", env, None);
        stage.shows("thought number 40, in full");
        let seen = stage.seen.0.lock().unwrap();
        let screen = seen.parser.screen().contents();
        assert!(screen.is_ascii(), "{screen}");
        assert!(!screen.contains("--"), "{screen}");
    }
}

#[test]
fn a_failure_of_the_screen_itself_gives_the_terminal_back_first() {
    let mut stage = Stage::start("crash", b"");
    assert!(!stage.ends().success());
    // A long backtrace may have moved it off the screen.
    stage.until("the message", |s| {
        holds(&s.raw, b"the screen fails on purpose")
    });
    stage.is_given_back();
}

#[test]
fn keyboards_of_all_kinds() {
    let mut stage = Stage::start("plain", b"");
    stage.shows("thought number 40, in full");
    // Home as xterm, rxvt and the console send it; arrows of both modes; function keys, with Shift.
    for (keys, step) in [
        ("\x1b[H", 1),
        ("\x1b[F", 40),
        ("\x1b[1~", 1),
        ("\x1bOB", 2),
        ("\x1b[B", 3),
        ("\x1b[23~", 4),
        ("\x1b[23;2~", 3),
        ("\x1b[7~", 1),
        // A key that is let go is no key; one that is held is.
        ("\x1b[106;1:3u\x1b[106;1:1u\x1b[106;1:3u", 2),
        ("\x1b[106;1:2u", 3),
        // The window is looked at or not.
        ("\x1b[O\x1b[Ij", 4),
    ] {
        stage.press(keys);
        stage.shows(&format!("step {step} of 40"));
    }
    stage.press("\x1bOP");
    stage.shows("Manual");
    stage.press("\x1b");
    stage.until("the timeline", |s| {
        !s.parser.screen().contents().contains("Manual")
    });
}

#[test]
fn any_size_at_any_time() {
    let mut stage = Stage::start("plain", b"");
    stage.shows("thought number 40, in full");
    stage.press("?");
    for (columns, rows) in [
        (1, 1),
        (3, 2),
        (20, 5),
        (300, 90),
        (40, 8),
        (2, 60),
        (200, 1),
        (60, 12),
    ] {
        {
            let mut seen = stage.seen.0.lock().unwrap();
            seen.parser.screen_mut().set_size(rows, columns);
        }
        size(&stage.slave, columns, rows);
        kill_process(stage.pid(), Signal::WINCH).unwrap();
        stage.press("\x1b[B");
    }
    stage.press("\x1b");
    stage.until("the narrow header", |s| {
        s.parser.screen().contents().contains("40/40 │ LIVE")
    });
    stage.press("q");
    assert!(stage.ends().success());
    stage.is_given_back();
}
