//! How the screen feels on a run of a million steps: the real program in a pseudo-terminal, its bytes timed.
//!
//! `cargo bench --bench screen [-- STEPS]`. A store of a million steps and a hundred thousand commits is made once and kept
//! below the target directory. Measured are the first frame, when rows and all rows are there, keys while rows are loaded
//! and afterwards, a held key, the memory, and how often anything wakes when nothing happens; then the same of the
//! largest recording below `BACKTRAIL_TRACES`, where that is set. A key's time is from the write to the terminal until the
//! first bytes of the frame that it caused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark ends loudly"
)]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "generate/project.rs"]
mod project;
#[path = "../tests/common/pty.rs"]
mod pty;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use project::Want;
use pty::Term;

const LONG: Duration = Duration::from_secs(120);
/// After this long without a byte, whatever a key caused is over.
const QUIET: Duration = Duration::from_millis(40);

fn main() {
    let steps = std::env::args().skip(1).find_map(|a| a.parse().ok());
    let want = steps.map_or(Want::MILLION, Want::steps);
    println!("load before: {}", load());
    let at = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("long-run-2-{}", want.steps));
    if !at.join("made").exists() {
        let _ = std::fs::remove_dir_all(&at);
        let files = at.join("project");
        std::fs::create_dir_all(&files).unwrap();
        let begin = Instant::now();
        project::make(&project::store_dir(&at.join("data"), &files), &files, want);
        std::fs::write(at.join("made"), "").unwrap();
        println!("{} steps made in {:.1?}", want.steps, begin.elapsed());
    }
    run(&at, want);
    println!("load after: {}", load());
    if let Some(traces) = std::env::var_os("BACKTRAIL_TRACES") {
        let mut largest = (0, PathBuf::new());
        find_largest(Path::new(&traces), &mut largest);
        recording(&at, &largest.1, largest.0);
    }
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn command(at: &Path, args: &[&str]) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_backtrail"));
    c.args(args)
        .current_dir(at.join("project"))
        .env("BACKTRAIL_DATA", at.join("data"))
        .env("BACKTRAIL_RUNTIME", at.join("run"))
        .env("BACKTRAIL_IDLE", "5")
        .env("HOME", at.join("home"))
        .env("XDG_CACHE_HOME", at.join("cache"))
        .env("TZ", "UTC")
        .env_remove("BACKTRAIL_SOCKET")
        .env_remove("BACKTRAIL_SESSION")
        .stdin(Stdio::null());
    c
}

fn say(what: &str, times: &mut [Duration], aim: f64) {
    times.sort();
    let at = |part: f64| {
        let i = ((times.len().saturating_sub(1)) as f64 * part).round() as usize;
        times.get(i).map_or(f64::NAN, |t| t.as_secs_f64() * 1e3)
    };
    let mark = if at(0.99) < aim { "" } else { "   MISSED" };
    println!(
        "{what:<44} median {:>7.1} ms  p99 {:>7.1} ms  of {:<4} (aim {aim} ms){mark}",
        at(0.5),
        at(0.99),
        times.len()
    );
}

/// When the first byte came after there were `before` reads.
fn first_after(term: &Term, before: usize, patience: Duration) -> Option<Instant> {
    let begin = Instant::now();
    while begin.elapsed() < patience {
        if let Some((at, _)) = term.bytes.lock().unwrap().get(before) {
            return Some(*at);
        }
        std::thread::sleep(Duration::from_micros(300));
    }
    None
}

fn until_quiet(term: &Term) {
    let mut seen = term.bytes.lock().unwrap().len();
    let mut since = Instant::now();
    while since.elapsed() < QUIET {
        std::thread::sleep(Duration::from_millis(2));
        let now = term.bytes.lock().unwrap().len();
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
}

/// From the keys to the first bytes of what they caused.
fn press(term: &mut Term, keys: &str) -> Option<Duration> {
    let before = term.bytes.lock().unwrap().len();
    let pressed = Instant::now();
    term.keys(keys);
    let first = first_after(term, before, Duration::from_millis(300));
    until_quiet(term);
    first.map(|at| at.saturating_duration_since(pressed))
}

/// The process that `setsid` started.
fn pid(term: &Term) -> u32 {
    let setsid = term.child.id();
    let children = format!("/proc/{setsid}/task/{setsid}/children");
    let text = std::fs::read_to_string(children).unwrap_or_default();
    text.split_whitespace()
        .next()
        .and_then(|p| p.parse().ok())
        .unwrap_or(setsid)
}

fn status(pid: u32, key: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix(key));
    line.and_then(|l| l.trim_matches([':', '\t', ' ', 'k', 'B']).parse().ok())
        .unwrap_or(0)
}

/// How often any thread of it went to sleep and was woken.
fn switches(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .map(|task| {
            let text = std::fs::read_to_string(task.unwrap().path().join("status"));
            text.unwrap_or_default()
                .lines()
                .find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"))
                .and_then(|n| n.trim().parse::<u64>().ok())
                .unwrap_or(0)
        })
        .sum()
}

fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// The step that is looked at, as the header says.
fn focus(screen: &str) -> u64 {
    let after = screen.split("step ").nth(1).unwrap_or_default();
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

fn run(at: &Path, want: Want) {
    let all = grouped(want.steps);
    let mut first = Vec::new();
    let mut rows = Vec::new();
    // An engine that is there already, as when an agent runs.
    let mut warm = Term::start(&command(at, &[]), 100, 30);
    let begin = Instant::now();
    warm.wait("rows", LONG, |s| s.contains(&all) && s.contains("Timeline"));
    println!(
        "first start, with the engine: rows after {:.0?}",
        begin.elapsed()
    );
    for _ in 0..7 {
        let start = Instant::now();
        let mut term = Term::start(&command(at, &[]), 100, 30);
        first.extend(first_after(&term, 0, LONG).map(|t| t - start));
        term.wait("rows", LONG, |s| s.contains(&format!(" of {all} ")));
        rows.push(start.elapsed());
        term.keys("q");
        term.ended(LONG);
    }
    warm.keys("q");
    say("first bytes of the first frame", &mut first, 50.0);
    say("rows on the screen", &mut rows, 200.0);

    let start = Instant::now();
    let mut term = Term::start(&command(at, &[]), 100, 30);
    term.wait("rows", LONG, |s| s.contains(&all) && s.contains("Timeline"));
    // While everything else is loaded: until the screen shows what the key did.
    let mut loading = Vec::new();
    while term.screen().contains("loading") && loading.len() < 60 {
        let before = focus(&term.screen());
        let pressed = Instant::now();
        term.keys("S");
        term.wait("a step back", LONG, |s| focus(s) != before);
        loading.push(pressed.elapsed());
    }
    term.wait("all rows", LONG, |s| !s.contains("loading"));
    println!("all {all} rows there after {:.2?}", start.elapsed());
    say(
        "a step back while rows are loaded (polled)",
        &mut loading,
        16.0,
    );
    let of = pid(&term);
    println!(
        "resident after loading: {} MB (at most {} MB) (aim 150 MB)",
        status(of, "VmRSS") / 1024,
        status(of, "VmHWM") / 1024
    );
    std::thread::sleep(Duration::from_millis(300));

    let middle = want.steps / 2;
    let mut every = Vec::new();
    let lists: [(&str, &[&str], usize); 14] = [
        ("j k", &["j", "k", "k", "j"], 15),
        ("s S", &["s", "S"], 20),
        ("G gg", &["gg", "G"], 15),
        ("{n}G", &["\u{1}"], 25),
        ("]c [c", &["]c", "]c", "[c"], 12),
        ("]e [e", &["]e", "]e", "[e"], 12),
        ("]t [t", &["]t", "]t", "[t"], 8),
        ("za", &["za"], 20),
        ("zm zr", &["zm", "zr"], 8),
        ("zt", &["zt"], 8),
        ("d Esc", &["d", "\x1b"], 12),
        ("3 Esc", &["3j", "\x1b"], 6),
        ("page", &["\x1b[6~", "\x1b[5~"], 12),
        ("? Esc", &["?", "\x1b"], 6),
    ];
    press(&mut term, &format!("{middle}G"));
    for (name, keys, rounds) in lists {
        let mut times = Vec::new();
        for round in 0..rounds {
            for key in keys {
                let step = (round as u64 * 7_919_773) % want.steps + 1;
                let typed = match *key {
                    "\u{1}" => format!("{step}G"),
                    key => key.to_owned(),
                };
                if let Some(time) = press(&mut term, &typed) {
                    times.push(time);
                }
            }
        }
        every.extend(times.iter().copied());
        say(&format!("key to frame: {name}"), &mut times, 16.0);
        // Where a key led is no place for the next ones.
        press(&mut term, &format!("{middle}G"));
    }
    say("key to frame: all of these", &mut every, 16.0);

    // A key that is held: as fast as a keyboard repeats, and what is left when it is let go.
    let frames = term.bytes.lock().unwrap().len();
    let from = focus(&term.screen());
    let begin = Instant::now();
    for _ in 0..90 {
        term.keys("s");
        std::thread::sleep(Duration::from_millis(33));
    }
    term.wait("where it was let go", LONG, |s| focus(s) == from + 90);
    let late = begin
        .elapsed()
        .saturating_sub(Duration::from_millis(33 * 90));
    let frames = term.bytes.lock().unwrap().len() - frames;
    println!("held for 3 s: {frames} reads of frames, the last {late:.0?} after the key");

    // The step that changed a long file, from nothing known of it.
    press(&mut term, "gg");
    let begin = Instant::now();
    term.keys(&format!("{}G", want.long_step()));
    term.wait("the diff of a long file", LONG, |s| {
        s.contains("line 0, changed")
    });
    println!(
        "diff of {} lines beside the timeline after {:.1?} (aim 30 ms)",
        grouped(want.long_file as u64),
        begin.elapsed()
    );
    let begin = Instant::now();
    term.keys("d");
    term.wait("the diff of a long file", LONG, |s| {
        s.contains("DIFF") && s.contains("line 0, changed")
    });
    println!("the whole view of it after {:.1?}", begin.elapsed());
    press(&mut term, "\x1b");

    press(&mut term, &format!("{middle}G"));
    println!(
        "resident after all of it: {} MB (at most {} MB) (aim 150 MB)",
        status(of, "VmRSS") / 1024,
        status(of, "VmHWM") / 1024
    );
    // Toasts go away by themselves.
    std::thread::sleep(Duration::from_secs(18));
    let before = switches(of);
    std::thread::sleep(Duration::from_secs(10));
    println!(
        "wake-ups in 10 s of nothing: {} (aim 0)",
        switches(of) - before
    );
    term.keys("q");
    term.ended(LONG);
    let _ = command(at, &["stop"]).output();
}

fn find_largest(dir: &Path, largest: &mut (u64, PathBuf)) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.metadata() {
            Ok(m) if m.is_dir() => find_largest(&path, largest),
            Ok(m) if path.extension().is_some_and(|e| e == "jsonl") && m.len() > largest.0 => {
                *largest = (m.len(), path);
            }
            _ => {}
        }
    }
}

fn recording(at: &Path, path: &Path, size: u64) {
    println!("a recording of {} MB", size >> 20);
    let path = path.to_string_lossy();
    for name in ["unknown before", "known from the cache"] {
        let start = Instant::now();
        let mut term = Term::start(&command(at, &["open", &path]), 100, 30);
        let first = first_after(&term, 0, LONG).map(|t| t - start);
        term.wait("rows", LONG, |s| s.contains("Step "));
        let rows = start.elapsed();
        term.wait("all rows", LONG, |s| {
            !s.contains("loading") && !s.contains("READING")
        });
        let whole = start.elapsed();
        until_quiet(&term);
        let of = pid(&term);
        println!(
            "{name}: first frame {:.1?}, rows {rows:.1?}, all {whole:.2?}, resident {} MB (at most {} MB)",
            first.unwrap_or_default(),
            status(of, "VmRSS") / 1024,
            status(of, "VmHWM") / 1024
        );
        let mut times = Vec::new();
        for key in [
            "k", "j", "gg", "G", "S", "]e", "[e", "zm", "zr", "d", "\x1b",
        ]
        .repeat(6)
        {
            times.extend(press(&mut term, key));
        }
        say("key to frame", &mut times, 16.0);
        term.keys("q");
        term.ended(LONG);
    }
}
