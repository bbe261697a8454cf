//! The demo from end to end: engine, mount, namespace, agent, emit, capture, timeline, screen. Into a pipe and in a
//! real pseudo-terminal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

const LIMIT: Duration = Duration::from_secs(60);

fn has_fuse() -> bool {
    let usable = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .is_ok();
    if !usable {
        eprintln!("skipped: /dev/fuse cannot be opened");
    }
    usable
}

/// `backtrail ARGS`, whose temporary files lie in `tmp`.
fn backtrail(tmp: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backtrail"));
    command.args(args).env("TMPDIR", tmp);
    for name in [
        "BACKTRAIL_SOCKET",
        "BACKTRAIL_PROJECT",
        "BACKTRAIL_DEMO_PACE",
    ] {
        command.env_remove(name);
    }
    command
}

fn assert_nothing_left(tmp: &Path) {
    let left: Vec<_> = fs::read_dir(tmp).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(tmp.to_str().unwrap()), "{mounts}");
}

#[test]
fn into_a_pipe_it_prints_the_timeline_and_cleans_up() {
    if !has_fuse() {
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let output = backtrail(tmp.path(), &["demo"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}\n{text}");
    assert_eq!(said, "");
    let line = |part: &str| {
        text.lines()
            .find(|l| l.contains(part))
            .unwrap_or_else(|| panic!("no {part:?} in\n{text}"))
    };
    assert!(line("rm -rf build src").contains("3 files"));
    assert!(line("sed -i").contains("1 file +1 -1"));
    assert!(line("outside").contains("README.md"));
    assert!(line("Edit: src/days.awk").contains("1 file +1 -1"));
    assert!(line("ln -s").contains("1 file"));
    let tests: Vec<&str> = text
        .lines()
        .filter(|l| l.contains("Bash: sh tests/run.sh"))
        .collect();
    let failed = |l: &&&str| l.contains("[exit 1]");
    assert_eq!(tests.iter().filter(failed).count(), 3, "{text}");
    assert!(
        !tests.last().unwrap().contains("exit"),
        "the last one passes"
    );
    assert!(!text.contains('\x1b'), "no colours in a pipe");
    assert_nothing_left(tmp.path());
}

/// What `--keep` leaves is a recording that every verb reads, without an engine.
#[test]
fn a_kept_demo_can_be_looked_at_afterwards() {
    if !has_fuse() {
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let output = backtrail(tmp.path(), &["demo", "--keep"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success());
    let kept = fs::read_dir(tmp.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let ask = |args: &[&str]| {
        let output = backtrail(tmp.path(), args)
            .current_dir(kept.join("tokens"))
            .env("BACKTRAIL_DATA", kept.join("data"))
            .env("BACKTRAIL_RUNTIME", kept.join("run"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        output.stdout
    };
    let objects = |args: &[&str]| -> Vec<serde_json::Value> {
        ask(args)
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| serde_json::from_slice(l).unwrap())
            .collect()
    };
    let commits = objects(&["log", "--json"]);
    let first = commits.last().unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(commits.last().unwrap()["parents"], serde_json::json!([]));

    // The removed source, from before its removal and as it was at first.
    let removal = objects(&["steps", "--json"])
        .into_iter()
        .find(|row| row["title"] == "rm -rf build src")
        .unwrap();
    let before = removal["parent"].as_str().unwrap();
    let now = fs::read(kept.join("tokens/src/expiry.awk")).unwrap();
    assert_eq!(ask(&["cat", &format!("{before}:src/expiry.awk")]), now);
    let at_first = ask(&["cat", &format!("{first}:src/expiry.awk")]);
    assert!(String::from_utf8(at_first).unwrap().contains("age >= $3"));

    // The whole difference as a patch, taken back by git over the first state.
    let patch = ask(&["diff", &first, "@"]);
    let copy = tmp.path().join("copy");
    for change in objects(&["diff", &first, "@", "--json"]) {
        let path = change["path"].as_str().unwrap();
        if change["before"].is_null() {
            continue;
        }
        let file = copy.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, ask(&["cat", &format!("{first}:{path}")])).unwrap();
    }
    fs::create_dir_all(&copy).unwrap();
    fs::write(tmp.path().join("patch"), patch).unwrap();
    let applied = Command::new("git")
        .args(["apply", "../patch"])
        .current_dir(&copy)
        .env("GIT_CEILING_DIRECTORIES", tmp.path())
        .output()
        .unwrap();
    assert!(applied.status.success(), "{applied:?}");
    assert_eq!(fs::read(copy.join("src/expiry.awk")).unwrap(), now);
    assert_eq!(
        fs::read_link(copy.join("bin/tokens")).unwrap(),
        Path::new("../src/tokens.sh")
    );
    let graph = String::from_utf8(ask(&["log", "--graph"])).unwrap();
    assert_eq!(graph.lines().count(), commits.len());
    assert!(
        String::from_utf8(ask(&["verify"]))
            .unwrap()
            .contains("all well")
    );
    ask(&["show", "step:22"]);
}

/// The whole program on a screen: it comes up, shows the agent's steps as they arrive, takes keys, and leaves the
/// terminal as it was.
#[test]
fn in_a_terminal_it_opens_the_screen() {
    if !has_fuse() {
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let inner = ioctl_tiocgptpeer(&master, flags).unwrap();
    tcsetwinsize(
        &master,
        Winsize {
            ws_row: 30,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )
    .unwrap();
    let child = backtrail(
        tmp.path(),
        &[
            "enter",
            "--plain",
            "--terminal",
            "--view",
            "/",
            "--at",
            "/",
            "--",
        ],
    )
    .arg(env!("CARGO_BIN_EXE_backtrail"))
    .arg("demo")
    .env("BACKTRAIL_DEMO_PACE", "0.1")
    .env("TERM", "xterm-256color")
    .env("LC_ALL", "C.UTF-8")
    .stdin(inner.try_clone().unwrap())
    .stdout(inner.try_clone().unwrap())
    .stderr(inner.try_clone().unwrap())
    .spawn()
    .unwrap();
    let mut screen = Screen {
        master,
        child,
        parser: vt100::Parser::new(30, 100, 0),
    };
    screen.expect("rm -rf build src");
    screen.expect("demo ended");
    screen.press("?");
    screen.expect("TIME");
    screen.press("?");
    screen.until("no TIME", |text| !text.contains("TIME"));
    screen.press("q");
    assert_eq!(screen.end(), Some(0));
    let modes = tcgetattr(&inner).unwrap().local_modes;
    assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO));
    assert_nothing_left(tmp.path());
}

struct Screen {
    master: OwnedFd,
    child: Child,
    parser: vt100::Parser,
}

impl Screen {
    fn read(&mut self, limit: Duration) -> bool {
        let limit = Timespec::try_from(limit).unwrap();
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        if poll(&mut fds, Some(&limit)).unwrap() == 0 {
            return false;
        }
        let mut buffer = [0; 8192];
        match rustix::io::read(&self.master, &mut buffer) {
            Ok(n) => self.parser.process(&buffer[..n]),
            Err(_) => return false,
        }
        true
    }

    fn expect(&mut self, text: &str) {
        self.until(text, |seen| seen.contains(text));
    }

    fn until(&mut self, what: &str, met: impl Fn(&str) -> bool) {
        let until = Instant::now() + LIMIT;
        while !met(&self.parser.screen().contents()) {
            assert!(
                Instant::now() < until,
                "not {what:?}:\n{}",
                self.parser.screen().contents()
            );
            self.read(Duration::from_millis(100));
        }
    }

    fn press(&self, keys: &str) {
        rustix::io::write(&self.master, keys.as_bytes()).unwrap();
    }

    fn end(&mut self) -> Option<i32> {
        let until = Instant::now() + LIMIT;
        loop {
            self.read(Duration::from_millis(20));
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(
                Instant::now() < until,
                "still there:\n{}",
                self.parser.screen().contents()
            );
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
