#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use super::*;
use crate::trace::event::{Out, Record, State};
use crate::trace::format::{About, Head};

/// A reader with a mistake in it.
struct Careless;

impl Format for Careless {
    fn name(&self) -> &'static str {
        "careless"
    }

    fn about(&self) -> About {
        crate::trace::format::FORMATS[0].about()
    }

    fn sniff(&self, _: &Head<'_>) -> u8 {
        0
    }

    fn events<'a>(&self, _: Record<'a>, _: &mut State, _: &mut Out<'a>) {
        panic!("a mistake");
    }
}

#[test]
fn a_mistake_on_the_reading_thread_is_told_and_nobody_waits_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("run.jsonl");
    std::fs::write(&file, "{}\n").unwrap();
    let recorded = Recorded::open(&file, &Careless, Options::default()).unwrap();
    let (give, take) = std::sync::mpsc::channel();
    std::thread::spawn({
        let recorded = Arc::clone(&recorded);
        move || give.send(recorded.wait_whole())
    });
    let said = take.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(said.unwrap_err().message.contains("failed inside"));
    assert!(!recorded.status().unwrap().warnings.is_empty());
}

#[test]
fn more_sessions_than_have_numbers_are_listed_in_one_pass() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("run.jsonl");
    std::fs::write(&file, "{\"type\":\"prompt\",\"text\":\"x\"}\n").unwrap();
    let format = crate::trace::format::by_name("ndjson").unwrap();
    let recorded = Recorded::open(&file, format, Options::default()).unwrap();
    recorded.wait_whole().unwrap();
    recorded.recording().change(|a| {
        let own = a.index.sessions.first().cloned().unwrap_or_default();
        a.index.sessions = vec![own; 70_000];
        let entry = a.index.entries[0].clone();
        a.index.entries = vec![entry; 70_000];
    });
    assert_eq!(recorded.sessions().len(), 70_000);
    assert!(recorded.sessions().iter().all(|s| s.end.is_some()));
}
