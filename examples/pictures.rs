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
    // A branch from the step before the mistake, and what was done so far.
    term.keys("t");
    term.wait("the question for a name", LONG, |s| s.contains("name:"));
    term.keys("\r");
    term.wait("the fork", LONG, |s| s.contains("Forked"));
    term.keys("4");
    term.wait("the branches", LONG, |s| {
        s.contains("BRANCHES") && s.contains("try-1")
    });
    term.keys("j");
    save(&term, "branches.svg", "The branches, and how they stand");
    term.keys("6");
    term.wait("the operations", LONG, |s| {
        s.contains("OPERATIONS") && s.contains("forked")
    });
    save(
        &term,
        "operations.svg",
        "What was done to workspace, branches and labels",
    );
    term.keys("q");
    term.keys("q");
    let _ = term.ended(Duration::from_secs(10));
    merge(&program, &save);
}

/// Two branches that changed the same lines, and the screen on which that is settled.
fn merge(program: &Path, save: &dyn Fn(&Term, &str, &str)) {
    let temp = tempfile::tempdir().unwrap();
    let project = temp.path().join("token-service");
    std::fs::create_dir_all(project.join("src/auth")).unwrap();
    let own = |args: &[&str]| {
        let mut c = Command::new(program);
        c.args(args)
            .current_dir(&project)
            .env("BACKTRAIL_DATA", temp.path().join("data"))
            .env("BACKTRAIL_RUNTIME", temp.path().join("run"))
            .env("BACKTRAIL_IDLE", "2")
            .env("HOME", temp.path())
            .env("TZ", "UTC")
            .env("COLORTERM", "truecolor");
        c
    };
    let ok = |args: &[&str]| assert!(own(args).status().unwrap().success(), "{args:?}");
    let code = |check: &str| {
        format!(
            "impl Token {{\n    /// True once past expiry.\n    fn is_expired(&self) -> bool {{\n        let now = clock.now_ms();\n{check}        false\n    }}\n}}\n"
        )
    };
    let base = "        if self.exp < now {\n            return true;\n        }\n";
    let ours = "        let exp = self.exp * 1000;\n        if exp < now {\n            debug!(exp, now);\n            return true;\n        }\n";
    let theirs = "        let exp = self.expires_at();\n        if exp <= now {\n            return true;\n        }\n";
    let file = project.join("src/auth/token.rs");
    std::fs::write(&file, code(base)).unwrap();
    ok(&["init"]);
    std::fs::write(temp.path().join("theirs"), code(theirs)).unwrap();
    let script = format!("cp {}/theirs src/auth/token.rs", temp.path().display());
    ok(&["run", "--branch", "try-2", "--", "sh", "-c", &script]);
    std::fs::write(&file, code(ours)).unwrap();
    ok(&["checkpoint", "-m", "convert once, and log"]);
    let mut term = Term::start(&own(&[]), 118, 32);
    term.wait("the timeline", LONG, |s| s.contains("Timeline"));
    term.keys("M");
    term.wait("the branches", LONG, |s| s.contains("conflict"));
    term.keys("\r");
    term.wait("the conflict", LONG, |s| s.contains("OURS"));
    save(&term, "merge.svg", "Two branches changed the same lines");
    term.keys("q");
    term.keys("q");
    let _ = term.ended(Duration::from_secs(10));
    let _ = own(&["stop", "--force"]).status();
}
