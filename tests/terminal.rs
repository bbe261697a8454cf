//! The program in a real pseudo-terminal: opened, keys pressed, rolled back, undone, resized, ended; and the demo.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;
#[path = "common/pty.rs"]
mod pty;

use std::time::Duration;

use common::{Place, fuse};
use pty::Term;

const PATIENCE: Duration = Duration::from_secs(20);

/// A recorded run of three calls.
fn recorded() -> Place {
    let place = Place::new();
    place.write("a.txt", "one\n");
    let out = place.run(
        r#"
        say() { printf '%s\n' "$1" | $BT emit; }
        say '{"type":"prompt","text":"make it two"}'
        say '{"type":"thought","text":"a.txt says one; it should say two"}'
        say '{"type":"call","id":"1","name":"Edit","input":{"file_path":"a.txt"}}'
        echo two > a.txt
        say '{"type":"result","id":"1","output":"ok"}'
        say '{"type":"call","id":"2","name":"Bash","input":{"command":"rm -rf everything"}}'
        rm a.txt
        say '{"type":"result","id":"2","output":"gone \u001b[2J\u001b]0;evil\u0007","exit_code":3}'
        "#,
    );
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    place
}

#[test]
fn open_look_roll_back_undo_and_leave() {
    if !fuse() {
        return;
    }
    let place = recorded();
    let mut term = Term::start(&place.command::<&str>([]), 100, 30);
    let screen = term.wait("the timeline", PATIENCE, |s| {
        s.contains("rm -rf everything") && s.contains("make it two")
    });
    assert!(term.alternate());
    assert!(screen.contains("project"), "{screen}");
    // From the first state to the next change: the edit.
    term.keys("gg");
    term.keys("]c");
    term.wait("the edit in the step pane", PATIENCE, |s| {
        s.contains("+two") || s.contains("+ two") || s.contains("two")
    });
    term.keys("d");
    term.wait("the diff view", PATIENCE, |s| {
        s.contains("DIFF") || s.contains("hunk")
    });
    term.keys("\x1b");
    term.wait("the timeline again", PATIENCE, |s| s.contains("Timeline"));
    term.keys("?");
    term.wait("help", PATIENCE, |s| s.contains("Help"));
    term.keys("\x1b");
    assert!(!place.project.join("a.txt").exists());
    term.wait("the timeline again", PATIENCE, |s| !s.contains("Help"));
    term.keys("r");
    term.wait("the toast", PATIENCE, |s| s.contains("✓ Rolled back"));
    assert_eq!(
        std::fs::read_to_string(place.project.join("a.txt")).unwrap(),
        "two\n"
    );
    term.keys("u");
    let file = place.project.join("a.txt");
    term.wait("the undo", PATIENCE, |_| !file.exists());
    term.resize(60, 11);
    term.wait("the small screen", PATIENCE, |s| s.contains("project │ 5/"));
    term.resize(200, 50);
    term.wait("the large screen", PATIENCE, |s| {
        s.contains("backtrail │ project")
    });
    term.keys("q");
    let ended = term.ended(Duration::from_secs(5));
    assert_eq!(ended, Some(0), "still there:\n{}", term.screen());
    term.wait("the terminal to be restored", PATIENCE, |_| {
        !term.alternate()
    });
    // Nothing of the agent's control sequences reached the terminal.
    let raw = term.raw.lock().unwrap().clone();
    assert!(!raw.windows(4).any(|w| w == b"evil") || !raw.windows(4).any(|w| w == b"\x1b]0;"));
}

#[test]
fn a_signal_restores_the_terminal() {
    if !fuse() {
        return;
    }
    let place = recorded();
    let term = Term::start(&place.command::<&str>([]), 100, 30);
    term.wait("the timeline", PATIENCE, |s| {
        s.contains("rm -rf everything")
    });
    // `setsid` becomes the program where it can, and else is its parent.
    let pid = term.child.id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let child: i32 = match children.split_whitespace().next() {
        Some(child) => child.parse().unwrap(),
        None => i32::try_from(pid).unwrap(),
    };
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(child).unwrap(),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    term.wait("the end", PATIENCE, |_| !term.alternate());
}

#[test]
fn the_demo_in_a_pipe_prints_its_timeline() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    let out = place.bt(&["demo"]);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&out.stderr)
    );
    for word in ["prompt", "thought", "rm -rf", "outside"] {
        assert!(text.contains(word), "{word} is missing in\n{text}");
    }
}
