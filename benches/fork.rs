//! What a fork costs in trees of 1,000 and of 100,000 files: time of the request in the engine, and bytes on disk.
//!
//! `cargo bench --bench fork` (root or an ordinary user with fusermount3; `BENCH_FILES` names other sizes). Times are those
//! of whole requests on the socket of a running engine whose first scan has finished.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark ends loudly"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use backtrail::engine::api::{Request, Response};
use backtrail::engine::source::Source;
use common::{Place, ask};

const FORKS: usize = 10;

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
        "{:>8} {:>10} {:>10} {:>12} {:>12}",
        "files", "fork ms", "most ms", "KiB a fork", "run ms"
    );
    for files in sizes {
        runtime.block_on(one(files));
    }
}

async fn one(files: usize) {
    let place = Place::new();
    for d in 0..files / 100 {
        let dir = place.project.join(format!("d{}/s{}", d / 32, d % 32));
        std::fs::create_dir_all(&dir).unwrap();
        for f in 0..100 {
            let text = format!("file {d} {f}\n").repeat(20);
            std::fs::write(dir.join(format!("f{f}.txt")), text).unwrap();
        }
    }
    for args in [&["init", "-q"][..], &["add", "-A"], &["commit", "-qm", "x"]] {
        let ok = Command::new("git")
            .args(["-c", "user.name=x", "-c", "user.email=x@example.org"])
            .args(args)
            .current_dir(&place.project)
            .status();
        assert!(ok.unwrap().success());
    }
    let _engine = place.engine(None);
    let client = place.client().await;
    let client: &dyn Source = client.as_ref();
    loop {
        let Response::Status(status) = ask(client, Request::Status).await else {
            panic!()
        };
        if status.scan.done {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let Response::Resolved(head) = ask(client, Request::Resolve { rev: "@".into() }).await else {
        panic!()
    };
    let mut times = Vec::new();
    let mut disk = 0;
    for _ in 0..FORKS {
        let start = Instant::now();
        let request = Request::Fork {
            rev: head.commit.to_hex(),
            name: None,
        };
        let Response::Forked(fork) = ask(client, request).await else {
            panic!()
        };
        times.push(start.elapsed().as_secs_f64() * 1e3);
        disk += fork.disk;
    }
    let start = Instant::now();
    let ran = place
        .command(["run", "--branch", "try-1", "--", "true"])
        .status();
    assert!(ran.unwrap().success());
    let run = start.elapsed().as_secs_f64() * 1e3;
    times.sort_by(f64::total_cmp);
    println!(
        "{files:>8} {:>10.2} {:>10.2} {:>12.1} {run:>12.1}",
        times[FORKS / 2],
        times[FORKS - 1],
        disk as f64 / FORKS as f64 / 1024.0
    );
}
