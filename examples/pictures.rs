//! Makes the README's pictures from the real program: runs the demo in a pseudo-terminal, presses keys, draws the cells of
//! the screen as SVG into `assets/screens`.
//!
//! `cargo build --release && cargo run --release --example pictures`
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a tool for developers ends loudly"
)]

#[path = "../tests/common/pty.rs"]
mod pty;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use pty::Term;

const LONG: Duration = Duration::from_secs(90);

fn main() {
    let here = std::env::current_exe().unwrap();
    let program = here.parent().unwrap().parent().unwrap().join("backtrail");
    assert!(
        program.exists(),
        "build the program first: {}",
        program.display()
    );
    let to = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/screens");
    std::fs::create_dir_all(&to).unwrap();
    let mut demo = Command::new(&program);
    demo.arg("demo")
        .env("TZ", "UTC")
        .env("COLORTERM", "truecolor");
    let mut term = Term::start(&demo, 118, 32);
    let save = |term: &Term, name: &str, title: &str| {
        std::thread::sleep(Duration::from_millis(400));
        std::fs::write(to.join(name), term.svg(title)).unwrap();
        println!("assets/screens/{name}");
    };
    term.wait("the agent at work", LONG, |s| {
        s.contains("tests/run.sh") && s.contains('✗')
    });
    save(&term, "live.svg", "The screen while an agent works");
    term.wait("the end of the demo", LONG, |s| s.contains("demo ended"));
    // The mistaken removal, with the reason for it.
    term.keys("k");
    term.keys("/rm -rf\r");
    save(
        &term,
        "home.svg",
        "The timeline, what the step at hand did, and why",
    );
    term.keys("G");
    term.keys("[c");
    term.keys("d");
    term.wait("the diff", LONG, |s| s.contains("DIFF"));
    save(&term, "diff.svg", "What a step changed");
    term.keys("\x1b");
    term.wait("the timeline", LONG, |s| s.contains("Timeline"));
    term.keys("3");
    term.wait("the state", LONG, |s| s.contains("STATE"));
    save(&term, "state.svg", "All files as they were at a step");
    term.keys("q");
    term.keys("q");
    let _ = term.ended(Duration::from_secs(10));
}
