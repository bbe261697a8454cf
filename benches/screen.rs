//! How soon the screen is there and answers keys: the real program in a pseudo-terminal, its bytes timed.
//!
//! `cargo bench --bench screen`. A run of 5,000 steps is recorded first; a key's time is from the write to the terminal
//! until the last byte of the frame that it caused (nothing more for 30 ms).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark ends loudly"
)]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/common/pty.rs"]
mod pty;

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::Place;
use pty::Term;

const STEPS: usize = 5_000;
const LONG: Duration = Duration::from_secs(60);

fn main() {
    if !common::fuse() {
        return;
    }
    let place = Place::new();
    place.write("a.txt", "one\n");
    let mut emit = place
        .command(["emit"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut to = emit.stdin.take().unwrap();
    for n in 0..STEPS {
        let line = match n % 50 {
            0 => format!("{{\"type\":\"prompt\",\"text\":\"turn {n}\"}}"),
            _ => format!(
                "{{\"type\":\"thought\",\"text\":\"step {n} of a long run, in which much is said\"}}"
            ),
        };
        writeln!(to, "{line}").unwrap();
    }
    drop(to);
    assert!(emit.wait().unwrap().success());

    let mut first = Vec::new();
    let mut keys = Vec::new();
    for round in 0..7 {
        let start = Instant::now();
        let mut term = Term::start(&place.command::<&str>([]), 100, 30);
        while term.bytes.lock().unwrap().is_empty() {
            std::hint::spin_loop();
        }
        first.push(term.bytes.lock().unwrap()[0].0 - start);
        // The first state is a step, too.
        let all = format!("step {0} of", STEPS + 1);
        term.wait("all rows", LONG, |s| s.contains(&all));
        std::thread::sleep(Duration::from_millis(300));
        for n in 0..40 {
            let before = term.bytes.lock().unwrap().len();
            let pressed = Instant::now();
            term.keys(if (n + round) % 8 == 7 { "j" } else { "k" });
            std::thread::sleep(Duration::from_millis(30));
            let bytes = term.bytes.lock().unwrap();
            if bytes.len() > before {
                // The first write of the frame: later ones are the step pane, whose text is fetched.
                keys.push(bytes[before].0 - pressed);
            }
        }
        term.keys("q");
        term.ended(LONG);
    }
    first.sort();
    keys.sort();
    let at = |all: &[Duration], part: f64| {
        let i = ((all.len() - 1) as f64 * part).round() as usize;
        all[i].as_secs_f64() * 1e3
    };
    println!(
        "first bytes of the first frame: median {:.1} ms, longest {:.1} ms ({} starts)",
        at(&first, 0.5),
        at(&first, 1.0),
        first.len()
    );
    println!(
        "key to frame: median {:.1} ms, p99 {:.1} ms ({} keys, {STEPS} steps)",
        at(&keys, 0.5),
        at(&keys, 0.99),
        keys.len()
    );
}
