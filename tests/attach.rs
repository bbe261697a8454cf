//! The agent's terminal in two pseudo-terminals: one that `run` was started from, one that attaches. Typing, sizes,
//! detaching, hostile output, and the ends of everybody who takes part.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;
#[path = "common/pty.rs"]
mod pty;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Place, fuse};
use pty::Term;
use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(30);

/// An agent that draws a screen of its own, says what is typed and how large its terminal is, and ends at `quit`.
const AGENT: &str = r#"
trap 'printf "size %s\n" "$(stty size)"' WINCH
printf '\033[?1049h\033[2J\033[H\033[1mready\033[0m %s\n' "$(stty size)"
while :; do
    if read -r -t 0.05 line; then
        case "$line" in
            quit) printf 'bye\n'; exit 7 ;;
            *) printf 'heard <%s>\n' "$line" ;;
        esac
    fi
done
"#;

fn run(place: &Place, script: &str) -> Command {
    place.command(["run", "--agent", "standin", "--", "bash", "-c", script])
}

fn attach(place: &Place) -> Command {
    place.command(["attach"])
}

fn wait(what: &str, is: impl Fn() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn sockets(place: &Place) -> Vec<PathBuf> {
    std::fs::read_dir(place.runtime().join("term"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .collect()
}

fn cast(place: &Place) -> String {
    let mut text = String::new();
    for project in std::fs::read_dir(place.path("data/projects")).unwrap() {
        let dir = project.unwrap().path().join("terminal");
        for file in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            text.push_str(&std::fs::read_to_string(file.path()).unwrap());
        }
    }
    text
}

#[test]
fn two_terminals_share_one_agent() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    let mut own = Term::start(&run(&place, AGENT), 80, 24);
    own.wait("the agent", PATIENCE, |s| s.contains("ready 24 80"));
    let mut other = Term::start(&attach(&place), 100, 30);
    // What was there before shows, in the size of the terminal that the agent was started in.
    other.wait("the agent's screen", PATIENCE, |s| {
        s.contains("ready 24 80")
    });
    other.keys("from afar\r");
    own.wait("what was typed there", PATIENCE, |s| {
        s.contains("heard <from afar>")
    });
    own.keys("from here\r");
    other.wait("what was typed here", PATIENCE, |s| {
        s.contains("heard <from here>")
    });
    // Its size follows its own terminal, not who is attached.
    other.resize(90, 20);
    own.resize(70, 22);
    other.wait("the new size", PATIENCE, |s| s.contains("size 22 70"));
    assert!(!other.screen().contains("size 20 90"));
    other.keys("\x1d");
    assert_eq!(other.ended(PATIENCE), Some(0));
    assert!(!other.alternate(), "the terminal was not given back");
    assert!(other.screen().contains("detached; standin goes on"));
    own.keys("still here\r");
    own.wait("the agent after that", PATIENCE, |s| {
        s.contains("heard <still here>")
    });
    // Again, and this time its end is seen.
    let mut again = Term::start(&attach(&place), 80, 24);
    again.wait("the screen again", PATIENCE, |s| s.contains("still here"));
    again.keys("quit\r");
    assert_eq!(again.ended(PATIENCE), Some(7));
    assert_eq!(own.ended(PATIENCE), Some(7));
    assert_eq!(sockets(&place), Vec::<PathBuf>::new());
    let cast = cast(&place);
    assert!(
        cast.starts_with("{\"version\":2") || cast.contains("\"version\":2"),
        "{cast}"
    );
    assert!(cast.contains("\"r\",\"70x22\""), "{cast}");
    assert!(
        cast.contains("bye") && cast.ends_with("\"x\",\"7\"]\n"),
        "{cast}"
    );
    // The project holds nothing of it, and its files are as they were.
    assert_eq!(std::fs::read_dir(&place.project).unwrap().count(), 0);
}

#[test]
fn an_agent_in_the_background_has_the_size_of_who_sits_down() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    let out = place
        .command(["run", "-d", "--agent", "standin", "--", "bash", "-c", AGENT])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{said}");
    assert!(said.contains("backtrail attach"), "{said}");
    let screen = || {
        let out = place.bt(&["attach", "--print"]);
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    // A new size that comes before the agent listens for one is not said by it.
    wait("the agent", || screen().contains("ready 24 80"));
    let mut term = Term::start(&attach(&place), 90, 20);
    term.wait("the size of this one", PATIENCE, |s| {
        s.contains("size 20 90")
    });
    term.resize(60, 11);
    term.wait("the next size", PATIENCE, |s| s.contains("size 11 60"));
    // Killed, not detached: the agent goes on.
    term.child.kill().unwrap();
    let _ = term.child.wait();
    wait("the screen as text", || screen().contains("size 11 60"));
    // By name, and not by another.
    let out = place.bt(&["attach", "--print", "nobody"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && said.contains("standin"), "{said}");
    let mut term = Term::start(&place.command(["attach", "standin"]), 80, 24);
    term.wait("the screen", PATIENCE, |s| s.contains("size"));
    term.keys("quit\r");
    assert_eq!(term.ended(PATIENCE), Some(7));
    wait("its end", || sockets(&place).is_empty());
    let out = place.bt(&["attach"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("no agent has a terminal here"), "{said}");
}

#[test]
fn hostile_output_is_recorded_and_printed_as_text() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    let script = r#"
        printf '\033]0;evil title\007\033]52;c;ZXZpbA==\007'
        head -c 16000000 /dev/zero | tr '\0' 'y'
        printf '\033[?1049h\033[2J\033[Hhello \xff\xe2\x80\xae there\033[6n'
        read -r line
    "#;
    let mut own = Term::start(&run(&place, script), 80, 24);
    own.wait("the end of the flood", PATIENCE * 2, |s| {
        s.contains("hello")
    });
    let out = place.bt(&["attach", "--print"]);
    assert!(out.status.success());
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.contains("hello"), "{text:?}");
    assert!(
        !text.contains('\x1b') && !text.contains('\x07') && !text.contains('\u{202e}'),
        "{text:?}"
    );
    own.keys("\r");
    assert_eq!(own.ended(PATIENCE), Some(0));
    assert!(cast(&place).contains("evil title"));
}

#[test]
fn watchers_that_stall_or_die_do_not_hold_the_agent_up() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    let script =
        "read -r go; head -c 8000000 /dev/zero | tr '\\0' 'z'; echo; echo done; read -r end";
    let mut own = Term::start(&run(&place, script), 80, 24);
    wait("its socket", || sockets(&place).len() == 1);
    let stalled = Term::start(&attach(&place), 80, 24);
    stalled.wait("the screen", PATIENCE, |_| stalled.alternate());
    let child = Pid::from_child(&stalled.child);
    kill_process(child, Signal::STOP).unwrap();
    own.keys("\r");
    own.wait("the end of the flood", PATIENCE, |s| s.contains("done"));
    kill_process(child, Signal::CONT).unwrap();
    // It has lost what came meanwhile, and shows what is there now.
    stalled.wait("the screen after that", PATIENCE, |s| s.contains("done"));
    kill_process(child, Signal::KILL).unwrap();
    own.keys("\r");
    assert_eq!(own.ended(PATIENCE), Some(0));
}

#[test]
fn who_is_attached_hears_that_run_was_killed() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    let own = Term::start(&run(&place, AGENT), 80, 24);
    own.wait("the agent", PATIENCE, |s| s.contains("ready"));
    let mut other = Term::start(&attach(&place), 80, 24);
    other.wait("the agent's screen", PATIENCE, |s| s.contains("ready"));
    kill_process(Pid::from_child(&own.child), Signal::KILL).unwrap();
    assert_eq!(other.ended(PATIENCE), Some(1));
    assert!(!other.alternate());
    assert!(
        other.screen().contains("the terminal of standin is gone"),
        "{}",
        other.screen()
    );
    // What is left of it is no terminal.
    let out = place.bt(&["attach"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("no agent has a terminal here"), "{said}");
}

#[test]
fn the_terminal_goes_on_without_the_engine() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    // Nothing in the project is touched: without the engine nothing there would answer.
    let mut own = Term::start(
        &run(
            &place,
            "cd /; echo ready; while read -r line; do echo \"heard <$line>\"; done",
        ),
        80,
        24,
    );
    own.wait("the agent", PATIENCE, |s| s.contains("ready"));
    let status = place.json(&["status", "--json"]);
    let pid = status[0]["pid"].as_i64().unwrap();
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let mut other = Term::start(&attach(&place), 80, 24);
    other.wait("the agent's screen", PATIENCE, |s| s.contains("ready"));
    other.keys("anybody there\r");
    own.wait("what was typed", PATIENCE, |s| {
        s.contains("heard <anybody there>")
    });
    other.keys("\x1d");
    assert_eq!(other.ended(PATIENCE), Some(0));
    own.keys("\x04");
    assert!(own.ended(PATIENCE).is_some());
}

#[test]
fn the_agent_sees_neither_its_socket_nor_its_recording() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    let script = format!(
        "echo socket: $(ls {0}/term 2>&1 | wc -l); ls {0}/term {1} 2>/dev/null; find {1} {0} -name '*.cast' -o -name '*.sock' 2>/dev/null; {2} attach; echo tried $?; read -r end",
        place.runtime().display(),
        place.path("data").display(),
        env!("CARGO_BIN_EXE_backtrail"),
    );
    let mut own = Term::start(&run(&place, &script), 120, 24);
    let screen = own.wait("its look around", PATIENCE, |s| s.contains("tried"));
    assert!(
        !screen.contains(".cast") && !screen.contains(".sock"),
        "{screen}"
    );
    assert!(screen.contains("no agent has a terminal here"), "{screen}");
    own.keys("\r");
    assert_eq!(own.ended(PATIENCE), Some(0));
}
