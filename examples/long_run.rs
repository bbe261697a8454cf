//! Makes a project with a long history, to try the screen on: `cargo run --release --example long_run -- DIR [STEPS]`.
//!
//! A million steps with a hundred thousand commits unless told otherwise. Says how to look at it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a tool for those who work on the program"
)]

#[path = "../benches/generate/project.rs"]
mod project;

use std::path::PathBuf;
use std::time::Instant;

fn main() {
    let mut args = std::env::args().skip(1);
    let Some(dir) = args.next().map(PathBuf::from) else {
        eprintln!("usage: long_run DIR [STEPS]");
        std::process::exit(2);
    };
    let want = match args.next().and_then(|n| n.parse().ok()) {
        Some(steps) => project::Want::steps(steps),
        None => project::Want::MILLION,
    };
    let (files, data) = (dir.join("project"), dir.join("data"));
    std::fs::create_dir_all(&files).unwrap();
    let start = Instant::now();
    let store = project::store_dir(&data, &files);
    project::make(&store, &files, want);
    println!(
        "{} steps, {} commits, made in {:.1?}",
        want.steps,
        want.commits,
        start.elapsed()
    );
    println!(
        "cd {} && BACKTRAIL_DATA={} backtrail",
        files.display(),
        data.display()
    );
}
