//! What a checkpoint and a rollback of ten files cost in trees of 1,000 and of 100,000 files, beside git in the same run.
//!
//! `cargo bench --bench session` (root or an ordinary user with fusermount3). Medians and ratios are printed; these are
//! whole requests on the socket of a running engine whose first scan has finished, until the answer says durable.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark ends loudly"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use backtrail::engine::api::{Request, Response};
use backtrail::engine::source::Source;
use common::{Place, ask, rollback};

const ROUNDS: usize = 15;

fn main() {
    if !common::fuse() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sizes: Vec<usize> = match std::env::var("BENCH_FILES") {
        Ok(s) => s.split(',').map(|n| n.parse().unwrap()).collect(),
        Err(_) => vec![1_000, 100_000],
    };
    println!(
        "{:>8} {:>14} {:>14} {:>12} {:>12} {:>12} {:>12}",
        "files",
        "checkpoint ms",
        "git commit ms",
        "rollback ms",
        "git reset ms",
        "run hands ms",
        "scan ms"
    );
    for files in sizes {
        let row = runtime.block_on(one(files));
        println!(
            "{files:>8} {:>14.2} {:>14.1} {:>12.2} {:>12.1} {:>12.1} {:>12.0}",
            row[0], row[1], row[2], row[3], row[4], row[5]
        );
    }
}

async fn one(files: usize) -> [f64; 6] {
    let place = Place::new();
    let dirs = files / 100;
    for d in 0..dirs {
        let dir = place.project.join(format!("d{}/s{}", d / 32, d % 32));
        std::fs::create_dir_all(&dir).unwrap();
        for f in 0..100 {
            std::fs::write(
                dir.join(format!("f{f}.txt")),
                format!("file {d} {f}\n").repeat(20),
            )
            .unwrap();
        }
    }
    // The command is handed over to before the scan of the tree has finished.
    let start = Instant::now();
    let out = place
        .command(["run", "--", "date", "+%s%N"])
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let whole = start.elapsed();
    let began = std::time::SystemTime::now() - start.elapsed();
    let at: u128 = String::from_utf8_lossy(&out.stdout).trim().parse().unwrap();
    let handed = at as f64 / 1e6
        - began
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_nanos() as f64
            / 1e6;
    let _ = whole;
    place.bt(&["stop", "--force"]);
    let _ = std::fs::remove_dir_all(place.path("data"));

    let mut engine = place.engine(None);
    let begun = Instant::now();
    let client = place.client().await;
    let client = client.as_ref();
    loop {
        let Response::Status(status) = ask(client, Request::Status).await else {
            panic!()
        };
        if status.scan.done {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let scan = begun.elapsed();
    let Response::Status(status) = ask(client, Request::Status).await else {
        panic!()
    };
    let live = status.live.expect("mounted");

    let touch = |root: &Path, round: usize| {
        for i in 0..10 {
            let d = (i * 7919 + round * 31) % dirs;
            let path = root.join(format!(
                "d{}/s{}/f{}.txt",
                d / 32,
                d % 32,
                (i * 13 + round) % 100
            ));
            let mut text = std::fs::read(&path).unwrap();
            text.extend_from_slice(format!("round {round}\n").as_bytes());
            std::fs::write(&path, text).unwrap();
        }
    };
    let mut checkpoints = Vec::new();
    let mut rollbacks = Vec::new();
    for round in 0..ROUNDS {
        touch(Path::new(&live), round);
        checkpoints.push(timed(client, Request::Checkpoint { message: None }).await);
        let start = Instant::now();
        let report = rollback(client, "@~1", false).await;
        rollbacks.push(start.elapsed());
        assert_eq!(report.restored.len(), 10);
    }
    engine.kill();
    let _ = Command::new("umount").arg("-l").arg(&live).status();

    let git = |args: &[&str]| {
        let ok = Command::new("git")
            .args([
                "-c",
                "user.name=x",
                "-c",
                "user.email=x@example.org",
                "-c",
                "gc.auto=0",
            ])
            .args(args)
            .current_dir(&place.project)
            .output()
            .unwrap();
        assert!(
            ok.status.success(),
            "{}",
            String::from_utf8_lossy(&ok.stderr)
        );
    };
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    git(&["commit", "-qm", "first"]);
    let (mut commits, mut resets) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS.min(7) {
        touch(&place.project, round + 100);
        let start = Instant::now();
        git(&["add", "-A"]);
        git(&["commit", "-qm", "next"]);
        commits.push(start.elapsed());
        let start = Instant::now();
        git(&["reset", "-q", "--hard", "HEAD~1"]);
        resets.push(start.elapsed());
    }
    [
        median(checkpoints),
        median(commits),
        median(rollbacks),
        median(resets),
        handed,
        scan.as_secs_f64() * 1e3,
    ]
}

async fn timed(client: &dyn Source, request: Request) -> Duration {
    let start = Instant::now();
    let answer = ask(client, request).await;
    let took = start.elapsed();
    if let Response::Checkpoint(made) = answer {
        assert_eq!(made.len(), 1, "one commit was wanted");
    }
    took
}

fn median(mut all: Vec<Duration>) -> f64 {
    all.sort();
    all[all.len() / 2].as_secs_f64() * 1e3
}
