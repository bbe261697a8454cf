//! How soon a large recording is on the screen, read whole, and there again; and how soon a key is answered on it.
//!
//! `cargo bench --bench recording [-- FILE]`. The recording is made first: 100 MB in 200,000 lines, shaped like real ones
//! (the shape is described where it is made), and one with a line of 16 MB. FILE, if given, is a recording to step through
//! besides. Times are from the program's start, in a pseudo-terminal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark ends loudly"
)]

#[path = "generate/mod.rs"]
mod generate;
#[path = "../tests/common/pty.rs"]
mod pty;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use backtrail::trace::discover;
use backtrail::trace::recording::Recording;
use pty::Term;

const LONG: Duration = Duration::from_secs(60);
const ROUNDS: usize = 5;

fn command(dir: &Path, file: &Path) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_backtrail"));
    c.arg("open")
        .arg(file)
        .current_dir(dir)
        .env("HOME", dir)
        .env("BACKTRAIL_CACHE", dir.join("cache"))
        .env("BACKTRAIL_DATA", dir.join("data"))
        .env("BACKTRAIL_RUNTIME", dir.join("run"))
        .env("TZ", "UTC");
    c
}

/// The most memory that the program had, in MB.
fn peak(term: &Term) -> u64 {
    // The terminal's child is the one that gave it its session; the program is below.
    let children = |pid: u32| -> Vec<u32> {
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|p| p.parse().ok())
            .collect()
    };
    let own = term.child.id();
    std::iter::once(own)
        .chain(children(own))
        .filter_map(|pid| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find(|l| l.starts_with("VmHWM"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .max()
        .unwrap_or(0)
        / 1024
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// The header says that nothing is left to be read.
fn read_whole(screen: &str) -> bool {
    screen.contains("REPLAY") || screen.contains("FOLLOWING")
}

fn ms(t: Duration) -> f64 {
    t.as_secs_f64() * 1e3
}

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("large.jsonl");
    let made = generate::claude(&file, 200_000, 100_000_000, 1).unwrap();
    println!(
        "made: {} lines, {} MB, {} calls, {} changes of files",
        made.lines,
        made.bytes / 1_000_000,
        made.calls,
        made.changes
    );

    // The index alone.
    let mut index = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let format = discover::recognise_file(&file).unwrap();
        let recording = Recording::open(&file, format).unwrap();
        recording.read_all(true, &|_| {}).unwrap();
        index.push(ms(start.elapsed()));
    }
    println!(
        "whole index: median {:.0} ms ({ROUNDS} times)",
        median(index)
    );

    let (mut first, mut whole, mut again, mut memory) = (vec![], vec![], vec![], 0);
    for _ in 0..ROUNDS {
        let _ = std::fs::remove_dir_all(dir.path().join("cache"));
        let start = Instant::now();
        let mut term = Term::start(&command(dir.path(), &file), 110, 30);
        term.wait("rows", LONG, |s| {
            s.contains("turn") && s.contains("Timeline")
        });
        first.push(ms(start.elapsed()));
        term.wait("all read", LONG, read_whole);
        whole.push(ms(start.elapsed()));
        // Until states are rebuilt, counted and kept.
        let kept = || {
            let dirs = std::fs::read_dir(dir.path().join("cache/recordings")).ok()?;
            Some(dirs.flatten().any(|d| d.path().join("index").exists()))
        };
        while kept() != Some(true) {
            assert!(start.elapsed() < LONG, "nothing is kept");
            std::thread::sleep(Duration::from_millis(20));
        }
        memory = memory.max(peak(&term));
        term.keys("q");
        term.ended(LONG);
        let start = Instant::now();
        let mut term = Term::start(&command(dir.path(), &file), 110, 30);
        term.wait("the last rows", LONG, |s| {
            s.contains("turn") && read_whole(s)
        });
        again.push(ms(start.elapsed()));
        memory = memory.max(peak(&term));
        term.keys("q");
        term.ended(LONG);
    }
    println!(
        "on the screen: first rows {:.0} ms, all read {:.0} ms, opened again {:.0} ms (medians of {ROUNDS}); at most {memory} MB",
        median(first),
        median(whole),
        median(again)
    );

    let long = dir.path().join("long-line.jsonl");
    generate::claude_with(&long, 2_000, 1_000_000, 2, 16 << 20).unwrap();
    let start = Instant::now();
    let mut term = Term::start(&command(dir.path(), &long), 110, 30);
    term.wait("all read", LONG, read_whole);
    println!(
        "with a line of 16 MB: read after {:.0} ms, {} MB",
        ms(start.elapsed()),
        peak(&term)
    );
    term.keys("q");
    term.ended(LONG);

    keys(dir.path(), &file, "the large one");
    if let Some(real) = std::env::args().skip(1).find(|a| !a.starts_with("--")) {
        keys(dir.path(), Path::new(&real), &real);
    }
}

/// Steps back through a recording.
fn keys(dir: &Path, file: &Path, name: &str) {
    let mut term = Term::start(&command(dir, file), 110, 30);
    term.wait("all read", LONG, read_whole);
    std::thread::sleep(Duration::from_secs(2));
    let mut times = Vec::new();
    for _ in 0..200 {
        let before = term.bytes.lock().unwrap().len();
        let pressed = Instant::now();
        term.keys("S");
        std::thread::sleep(Duration::from_millis(25));
        let bytes = term.bytes.lock().unwrap();
        if bytes.len() > before {
            times.push(ms(bytes[before].0 - pressed));
        }
    }
    term.keys("q");
    term.ended(LONG);
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    println!(
        "step to step in {name}: median {:.1} ms, p99 {:.1} ms ({} keys)",
        at(0.5),
        at(0.99),
        times.len()
    );
}
