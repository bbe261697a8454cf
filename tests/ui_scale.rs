//! The real program on a long run, and under an engine that dies: in a pseudo-terminal, on a store of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

#[path = "common/mod.rs"]
mod common;
#[path = "../benches/generate/project.rs"]
mod project;
#[path = "common/pty.rs"]
mod pty;

use std::time::{Duration, Instant};

use common::Place;
use project::Want;
use pty::Term;

/// How long a busy machine may take for anything.
const LONG: Duration = Duration::from_secs(60);

fn long_run(steps: u64) -> Place {
    let place = Place::new();
    let store = project::store_dir(&place.path("data"), &place.project);
    project::make(&store, &place.project, Want::steps(steps));
    place
}

fn at_step(n: &str) -> impl Fn(&str) -> bool {
    let shown = format!("step {n} of");
    move |screen| screen.contains(&shown)
}

#[test]
fn a_long_run_is_shown_whole() {
    if !common::fuse() {
        return;
    }
    let place = long_run(9_000);
    let mut term = Term::start(&place.command::<&str>([]), 100, 30);
    term.wait("the newest step", LONG, at_step("9000"));
    // Every page comes, and the numbers of the overview are those of all of them.
    let screen = term.wait("all rows", LONG, |s| {
        s.contains("9,000/9,000") && !s.contains("loading")
    });
    assert!(
        screen.lines().nth(1).unwrap().starts_with(" 1 "),
        "{screen}"
    );
    term.keys("gg");
    let first = term.wait("the first step", LONG, at_step("1"));
    assert!(first.contains("the state at the start"), "{first}");
    term.keys("4500G");
    term.wait("a step in the middle", LONG, at_step("4500"));
    // From anywhere in the run to the next change, error and turn.
    for keys in ["]c", "]e", "]t", "[c", "[e", "[t"] {
        let before = term.screen();
        term.keys(keys);
        term.wait(keys, LONG, |s| s != before);
    }
    term.keys("zm");
    term.wait("turns folded", LONG, |s| s.contains("turns folded"));
    term.keys("zr");
    term.wait("turns open", LONG, |s| !s.contains("folded"));
    term.keys("8991Gd");
    term.wait("the diff of a long file", LONG, |s| {
        s.contains("line 0, changed")
    });
    term.keys("qq");
    assert_eq!(term.ended(LONG), Some(0));
}

#[test]
fn when_the_engine_dies_the_screen_says_so_and_connects_again() {
    if !common::fuse() {
        return;
    }
    let place = long_run(1_000);
    let mut engine = place.engine(None);
    // The screen would start one of its own.
    let begin = Instant::now();
    while std::os::unix::net::UnixStream::connect(place.runtime().join("engine.sock")).is_err() {
        assert!(begin.elapsed() < LONG, "the engine does not answer");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut term = Term::start(&place.command::<&str>([]), 100, 30);
    term.wait("all rows", LONG, |s| {
        s.contains("1,000/1,000") && !s.contains("loading")
    });
    term.keys("SS");
    term.wait("two steps back", LONG, at_step("998"));

    engine.kill();
    term.wait("the news", LONG, |s| s.contains("ENGINE GONE"));
    // What is here can be read: rows, and steps that were looked at.
    term.keys("gg");
    term.wait("the first step", LONG, at_step("1"));
    term.keys("zm");
    term.wait("turns folded", LONG, |s| s.contains("turns folded"));
    term.keys("zr");
    term.keys("998G");
    term.wait("a step that was seen", LONG, at_step("998"));
    // What would change the world says why it cannot be done.
    term.keys("r");
    term.wait("why not", LONG, |s| s.contains("no connection"));

    // While nobody is there, a change is made, and the next engine finds it.
    place.write("src/d00/new.rs", "fn new() {}\n");
    let mut next = place.engine(None);
    let screen = term.wait("the connection", LONG, |s| {
        !s.contains("ENGINE GONE") && s.contains("of 1,001")
    });
    assert!(at_step("998")(&screen), "where it was:\n{screen}");
    term.keys("G");
    term.wait("what came meanwhile", LONG, at_step("1001"));
    // And once more.
    next.kill();
    term.wait("the news", LONG, |s| s.contains("ENGINE GONE"));
    let _last = place.engine(None);
    term.wait("the connection", LONG, |s| !s.contains("ENGINE GONE"));
    term.keys("q");
    assert_eq!(term.ended(LONG), Some(0));
}

#[test]
fn a_store_that_vanishes_leaves_the_screen_usable() {
    if !common::fuse() {
        return;
    }
    let place = long_run(1_000);
    let _engine = place.engine(None);
    let mut term = Term::start(&place.command::<&str>([]), 100, 30);
    term.wait("all rows", LONG, |s| {
        s.contains("1,000/1,000") && !s.contains("loading")
    });
    let store = project::store_dir(&place.path("data"), &place.project);
    std::fs::remove_dir_all(&store).unwrap();
    // Steps that were never looked at: their texts are gone or still in the engine's open files; either is drawn.
    let begin = Instant::now();
    for keys in ["gg", "500G", "]c", "j", "G", "S", "s"] {
        term.keys(keys);
    }
    term.wait("the keys", LONG, at_step("1000"));
    term.keys("3");
    term.wait("the state", LONG, |s| s.contains("STATE"));
    term.keys("1");
    term.wait("home again", LONG, |s| !s.contains("STATE"));
    println!("usable {:.1?} after the store went", begin.elapsed());
    term.resize(60, 11);
    term.wait("the narrow screen", LONG, |s| s.contains("1,000"));
    term.keys("q");
    assert_eq!(term.ended(LONG), Some(0));
}
