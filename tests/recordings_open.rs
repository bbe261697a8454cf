//! Real recordings of agents' runs: each opens, with as many records as it has, and can be walked from end to end. They are
//! no part of the project; where they are missing, this says so and passes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backtrail::engine::api::{Request, Response};
use backtrail::engine::recorded::{Opened, Options, Recorded};
use backtrail::engine::source::Source as _;
use backtrail::model::StepKind;
use backtrail::trace::discover;

/// Where the real recordings are.
fn shared() -> Option<PathBuf> {
    let dir = std::env::var_os("BACKTRAIL_TRACES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/traces"),
        PathBuf::from,
    );
    if dir.join("INDEX.json").exists() {
        return Some(dir);
    }
    eprintln!(
        "skipped: no real recordings in {} (BACKTRAIL_TRACES names another place)",
        dir.display()
    );
    None
}

fn open(path: &Path, cache: &Path) -> Arc<Recorded> {
    let format = discover::recognise_file(path)
        .unwrap_or_else(|| panic!("{} is not recognised", path.display()));
    let options = Options {
        cache: Some(cache.to_owned()),
        ..Options::default()
    };
    let recorded = Recorded::open(path, format, options).unwrap();
    recorded.wait_whole().unwrap();
    recorded
}

async fn ask(source: &Opened, request: Request) -> Response {
    source
        .ask(request.clone())
        .await
        .unwrap_or_else(|e| panic!("{request:?}: {e}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_real_recording_opens_whole() {
    let Some(dir) = shared() else { return };
    let index = std::fs::read(dir.join("INDEX.json")).unwrap();
    let index: Vec<serde_json::Value> = serde_json::from_slice(&index).unwrap();
    let cache = tempfile::tempdir().unwrap();
    let mut checked = 0;
    for known in &index {
        let (Some(file), Some(events)) = (known["file"].as_str(), known["events"].as_u64()) else {
            continue;
        };
        let path = dir.join(file);
        let recorded = open(&path, cache.path());
        let summary = recorded.summary();
        assert_eq!(summary.records, events, "records of {file}");
        let source = Opened(Arc::clone(&recorded));
        let Response::Rows(page) = ask(
            &source,
            Request::Rows {
                after: None,
                limit: 5_000,
            },
        )
        .await
        else {
            panic!("no rows")
        };
        assert_eq!(page.rows.len() as u64, summary.steps, "{file}");
        assert!(page.rows.windows(2).all(|w| w[0].ordinal < w[1].ordinal));
        for row in &page.rows {
            let Response::Step(step) = ask(&source, Request::Step { id: row.step }).await else {
                panic!("no step")
            };
            // What a title says stands in the text that it was taken from, and the record is there to be read.
            let Response::Raw(raw) = ask(&source, Request::Raw { id: row.step }).await else {
                panic!("no raw")
            };
            assert_eq!(
                raw.is_empty(),
                row.kind == StepKind::Outside,
                "{file} {}",
                row.ordinal
            );
            assert!(raw.iter().all(|r| r.bytes.len() as u64 == r.source.len));
            if matches!(
                row.kind,
                StepKind::Prompt | StepKind::Thought | StepKind::Message
            ) && !row.title.is_empty()
            {
                let body = step
                    .body
                    .unwrap_or_else(|| panic!("{file} {}: no text", row.ordinal));
                let title = row.title.trim_end_matches('…');
                assert!(
                    body.text.contains(title) || body.len > body.text.len() as u64,
                    "{file} {}: {title:?} is not in its text",
                    row.ordinal
                );
            }
        }
        // A second time it comes from the cache, and is the same.
        drop((source, recorded));
        let again = open(&path, cache.path());
        assert!(again.recording().progress().cached, "{file} was not kept");
        assert_eq!(again.summary(), summary, "{file} from the cache");
        checked += 1;
    }
    assert!(checked >= 30, "only {checked} recordings were found");
}
