//! How fast steps are searched: a text over a recording of 100 MB, beside reading the file's lines for it, and a filter
//! over a million rows.
//!
//! `cargo bench --bench search [-- FILE]`. The recording is made first (see `generate`); FILE, if given, is searched as well.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark ends loudly"
)]

#[path = "generate/mod.rs"]
mod generate;

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backtrail::engine::api::search::{Query, Verdict};
use backtrail::engine::api::{Found, Request, Response, Row, Search};
use backtrail::engine::shelf::{Opening, open_recording, opened};
use backtrail::engine::source::Source;
use backtrail::model::{CallKind, Ordinal, SessionId, Status, StepId, StepKind, Time};

const ROUNDS: usize = 5;
const ROWS: u64 = 1_000_000;

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn ms(t: Duration) -> f64 {
    t.as_secs_f64() * 1e3
}

/// All slices of a search: hits, steps, slices, and the longest one.
fn sweep(
    runtime: &tokio::runtime::Runtime,
    source: &Arc<dyn Source>,
    query: &str,
) -> (usize, u64, usize, f64) {
    let mut search = Search {
        query: query.to_owned(),
        limit: 2_000,
        budget_ms: 40,
        ..Search::default()
    };
    let (mut hits, mut looked, mut slices, mut longest) = (0, 0, 0, 0.0_f64);
    loop {
        let start = Instant::now();
        let found: Found = match runtime
            .block_on(source.ask(Request::Search(search.clone())))
            .unwrap()
        {
            Response::Found(found) => *found,
            other => panic!("{other:?}"),
        };
        longest = longest.max(ms(start.elapsed()));
        hits += found.hits.len();
        looked += found.looked;
        slices += 1;
        match found.next {
            Some(next) => search.after = Some(next),
            None => return (hits, looked, slices, longest),
        }
    }
}

fn recording(runtime: &tokio::runtime::Runtime, file: &Path) {
    let recorded = open_recording(
        file,
        &Opening {
            once: true,
            ..Opening::default()
        },
    )
    .unwrap();
    let source = opened(Arc::clone(&recorded));
    recorded.wait_whole().unwrap();
    for query in [
        "zzznowhere",
        "append",
        "text:~\"fn \\w+_append\"",
        "kind:bash exit:!0",
        "path:src/** is:change",
    ] {
        let mut times = Vec::new();
        let mut last = (0, 0, 0, 0.0);
        for _ in 0..ROUNDS {
            let start = Instant::now();
            last = sweep(runtime, &source, query);
            times.push(ms(start.elapsed()));
        }
        let (hits, looked, slices, longest) = last;
        println!(
            "{query:<28} median {:>6.0} ms  {hits} hits in {looked} steps, {slices} slices, the longest {longest:.0} ms",
            median(times)
        );
    }
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let finder = memchr::memmem::Finder::new("zzznowhere");
        let mut found = 0;
        let mut reader = std::io::BufReader::new(std::fs::File::open(file).unwrap());
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).unwrap() > 0 {
            let value: serde_json::Result<serde::de::IgnoredAny> = serde_json::from_slice(&line);
            found += usize::from(value.is_ok() && finder.find(&line).is_some());
            line.clear();
        }
        assert_eq!(found, 0);
        times.push(ms(start.elapsed()));
    }
    println!(
        "{:<28} median {:>6.0} ms",
        "(each line as JSON, and memmem)",
        median(times)
    );
}

fn rows() {
    let session = SessionId::of("bench");
    let all: Vec<Row> = (1..=ROWS)
        .map(|n| Row {
            step: StepId::of(session, &n.to_string()),
            ordinal: Ordinal { major: n, minor: 0 },
            session: Some(session),
            kind: if n % 3 == 0 {
                StepKind::Thought
            } else {
                StepKind::Call
            },
            call: if n % 3 == 1 {
                CallKind::Execute
            } else {
                CallKind::Edit
            },
            tool: if n % 3 == 1 { "Bash" } else { "Edit" }.to_owned(),
            title: format!("cargo test --package part{} -- case{n}", n % 97),
            time: Time(n as i64 * 1_000_000),
            end: Some(Time(n as i64 * 1_000_000 + 500_000)),
            status: if n % 10 == 0 {
                Status::Error
            } else {
                Status::Ok
            },
            exit_code: Some(i32::from(n % 10 == 0)),
            turn: (n / 100) as u32,
            commit: None,
            parent: None,
            commits: 0,
            line: 0,
            from_line: None,
            effect: None,
            labels: Vec::new(),
            talk: Default::default(),
        })
        .collect();
    for query in [
        "kind:bash exit:!0",
        "is:failed turn:>5000",
        "took:>400ms by:agent",
        "case99999",
    ] {
        let query: Query = query.parse().unwrap();
        let mut times = Vec::new();
        let mut fit = 0;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            fit = all
                .iter()
                .filter(|r| r.fits(&query) == Verdict::Yes)
                .count();
            times.push(ms(start.elapsed()));
        }
        println!(
            "{:<28} median {:>6.0} ms  {fit} of {ROWS} rows",
            query.to_string(),
            median(times)
        );
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    rows();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("large.jsonl");
    let made = generate::claude(&file, 200_000, 100_000_000, 1).unwrap();
    println!("made: {} lines, {} MB", made.lines, made.bytes / 1_000_000);
    recording(&runtime, &file);
    // Cargo adds a word of its own.
    for given in std::env::args().skip(1).filter(|a| !a.starts_with('-')) {
        println!("{given}");
        recording(&runtime, Path::new(&given));
    }
}
