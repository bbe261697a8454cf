//! Recordings that change while they are read, and texts that are read together.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::io::Write as _;
use std::time::Duration;

use super::*;
use crate::trace::format::by_name;

fn line(n: usize, text: &str) -> String {
    format!(
        "{{\"type\":\"user\",\"uuid\":\"u{n}\",\"sessionId\":\"s\",\"timestamp\":\"2026-01-01T00:00:{n:02}Z\",\"message\":{{\"role\":\"user\",\"content\":\"{text}\"}}}}\n"
    )
}

fn opened(path: &Path) -> Recording {
    let recording = Recording::open(path, by_name("claude").unwrap()).unwrap();
    recording.read_all(false, &|_| {}).unwrap();
    recording
}

#[test]
fn a_file_written_anew_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.jsonl");
    std::fs::write(&path, line(0, "one") + &line(1, "two")).unwrap();
    let recording = opened(&path);
    let more = || recording.read_more(&|_| {}).unwrap();
    assert!(more());
    // It grew, or was only touched.
    let mut file = File::options().append(true).open(&path).unwrap();
    file.write_all(line(2, "three").as_bytes()).unwrap();
    assert!(more());
    assert_eq!(recording.with(|i| i.entries.len()), 3);
    file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    assert!(more());
    // As long as it was, and longer.
    let same = line(0, "ONE") + &line(1, "TWO") + &line(2, "THREE");
    std::fs::write(&path, &same).unwrap();
    assert!(!more());
    std::fs::write(&path, same + &line(3, "FOUR")).unwrap();
    assert!(!more());
}

#[test]
fn new_files_are_seen_and_old_ones_not_listed_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.jsonl");
    std::fs::write(&path, line(0, "one")).unwrap();
    let recording = opened(&path);
    assert!(recording.read_more(&|_| {}).unwrap());
    let below = dir.path().join("s/subagents");
    std::fs::create_dir_all(&below).unwrap();
    std::fs::write(below.join("agent-a.jsonl"), line(1, "look")).unwrap();
    assert!(recording.read_more(&|_| {}).unwrap());
    assert_eq!(recording.with(|i| i.files.len()), 2);
    assert!(recording.new_sides().is_empty());
    let due = |sides: &mut Sides| sides.is_due(&path, std::iter::empty());
    let mut sides = Sides::default();
    assert!(due(&mut sides));
    sides.listed(Duration::from_millis(1));
    assert!(!due(&mut sides));
    std::fs::write(dir.path().join("agent-b.jsonl"), "").unwrap();
    assert!(due(&mut sides));
}

#[test]
fn texts_of_a_record_are_the_same_read_together() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.jsonl");
    let blocks: Vec<String> = (0..50)
        .map(|n| format!("{{\"type\":\"text\",\"text\":\"block {n}\"}}"))
        .collect();
    let many = format!(
        "{{\"type\":\"assistant\",\"uuid\":\"a\",\"sessionId\":\"s\",\"message\":{{\"id\":\"m\",\"role\":\"assistant\",\"content\":[{}]}}}}\n",
        blocks.join(",")
    );
    std::fs::write(
        &path,
        line(0, "one") + &many + "not json\n" + &line(1, "two"),
    )
    .unwrap();
    let recording = opened(&path);
    let count = recording.with(|i| u32::try_from(i.entries.len()).unwrap());
    assert_eq!(count, 53);
    let mut records = recording.records();
    for at in 0..count {
        for which in [Which::Body, Which::Output] {
            let one = recording.text(at, which).unwrap();
            assert_eq!(records.text(at, which).unwrap(), one);
        }
    }
    assert_eq!(records.text(5, Which::Body).unwrap().unwrap(), "block 4");
}
