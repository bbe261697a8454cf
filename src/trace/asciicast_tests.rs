//! Small casts of both versions, the real ones where they are there, and hostile bytes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use proptest::prelude::*;

use super::*;
use crate::trace::event::Span;

const V2: &str = include_str!("../../tests/recordings/asciicast/v2.cast");
const V3: &str = include_str!("../../tests/recordings/asciicast/v3.cast");

/// Every event of a cast with its time, and how many lines were counted.
fn read(bytes: &[u8]) -> (Vec<(Option<Time>, Body<'_>)>, u32) {
    let mut state = State::default();
    let mut out = Out::default();
    let mut last = 0;
    for piece in pieces(bytes) {
        assert!(piece.range.start >= last && piece.range.end <= bytes.len());
        last = piece.range.end;
        let record = Record {
            bytes: &bytes[piece.range],
            span: Span::default(),
            tag: piece.tag,
        };
        Asciicast.events(record, &mut state, &mut out);
    }
    let events = out.events.into_iter().map(|e| (e.time, e.body)).collect();
    (events, out.counted)
}

fn outline(cast: &str) -> Vec<String> {
    let (events, counted) = read(cast.as_bytes());
    let lines = cast.lines().filter(|l| !is_nothing(l.as_bytes())).count();
    assert_eq!(counted as usize, lines);
    let of = |t: Option<Time>| t.map_or(0, |t| t.0 - 1_700_000_000_000_000) / 1000;
    events
        .into_iter()
        .map(|(time, body)| match body {
            Body::Session(f) => format!("{} session {} {}", of(time), f.version, f.title),
            Body::Prompt(t) => format!("{} prompt {t:?}", of(time)),
            Body::Message(t) => format!("{} message {t:?}", of(time)),
            Body::Marker { kind, text } => format!("{} {} {text}", of(time), kind.word()),
            Body::Unknown { name } => format!("{} unknown {name}", of(time)),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn both_versions_tell_the_same() {
    let expected = [
        "session asciicast N the demo",
        "message \"$\"",
        "prompt \"make tset\"",
        "message \"make: *** No rule to make target 'tset'.\"",
        "message \"100 %\\ndone\"",
        "note first try",
        "session exit status 2",
    ];
    for (cast, version) in [(V2, "2"), (V3, "3")] {
        let lines = outline(cast);
        let words: Vec<&str> = lines.iter().map(|l| l.split_once(' ').unwrap().1).collect();
        let expected = expected.map(|l| l.replace("asciicast N", &format!("asciicast {version}")));
        assert_eq!(words, expected);
        let times: Vec<&str> = lines.iter().map(|l| l.split_once(' ').unwrap().0).collect();
        assert_eq!(times, ["0", "250", "2000", "2500", "4500", "5500", "6000"]);
    }
}

#[test]
fn what_a_person_could_read() {
    assert_eq!(plain("\u{1b}[1m\u{1b}[36mA:\u{1b}[0m b\r\nc"), "A: b\nc");
    assert_eq!(plain("\u{1b}]0;title\u{7}x\u{1b}]8;;u\u{1b}\\y"), "xy");
    assert_eq!(plain("10 %\r20 %\r\n"), "20 %");
    assert_eq!(plain("ab\u{8}c"), "ac");
    assert_eq!(plain("\u{1b}(Bok\u{1b}[?25l\u{1b}"), "ok");
    assert_eq!(typed("lss\u{7f} -l\u{1b}[A\u{1b}OB\r"), "ls -l");
    assert_eq!(typed("rm x\u{3}ls old\u{17}new\r"), "ls new");
}

#[test]
fn a_burst_has_its_limits() {
    let mut cast = String::from("{\"version\":2,\"width\":80,\"height\":24}\n");
    for n in 0..100 {
        cast += &format!("[{}.5,\"o\",\"x\"]\n", n);
    }
    let (events, _) = read(cast.as_bytes());
    assert_eq!(
        events.len(),
        1 + 4,
        "no pause is over a second, 30 s are a burst"
    );
    assert_eq!(events[1].0, None, "no time without a start");
}

#[test]
fn odd_lines_are_told() {
    let cast = "{\"version\":2,\"width\":8,\"height\":2}\n[0.1,\"o\",\"a\"]\nnonsense\n[0.2,\"o\",\"b\"]\n[-1,\"o\",\"c\"]\n[1e400]";
    let kinds: Vec<String> = outline(cast);
    assert_eq!(
        kinds[1..],
        [
            "0 message \"a\"",
            "0 unknown no event of a cast",
            "0 message \"b\"",
            "0 unknown no event of a cast",
            "0 unknown no event of a cast",
        ]
    );
}

#[test]
fn real_casts() {
    let dir = std::env::var_os("BACKTRAIL_TRACES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/traces"),
        std::path::PathBuf::from,
    );
    let Ok(index) = std::fs::read(dir.join("INDEX.json")) else {
        eprintln!("skipped: no real recordings here (BACKTRAIL_TRACES names their directory)");
        return;
    };
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    for entry in index.as_array().unwrap() {
        if entry["agent"] != "asciicast" {
            continue;
        }
        let file = entry["file"].as_str().unwrap();
        let bytes = std::fs::read(dir.join(file)).unwrap();
        let (events, counted) = read(&bytes);
        assert_eq!(
            u64::from(counted),
            entry["events"].as_u64().unwrap(),
            "{file}"
        );
        assert!(events.len() > 1);
        for (time, body) in &events {
            assert!(time.is_some());
            assert!(!matches!(body, Body::Unknown { .. }), "{file}");
            if let Body::Message(text) = body {
                assert!(!text.contains('\u{1b}'));
                println!("{file} {time:?} {}", text.lines().next().unwrap());
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read(&bytes);
    }

    #[test]
    fn any_casts(
        version in 0..5_u8,
        ticks in proptest::collection::vec((any::<f64>(), "[oimrxz]?", "\\PC{0,6}|[\u{1b}\\[\\]PO0m;\r\n\u{7f}]{0,8}"), 0..30),
    ) {
        let mut cast = format!("{{\"version\":{version},\"width\":8,\"height\":2,\"timestamp\":{}}}\n", u64::MAX);
        for (time, code, data) in ticks {
            cast += &serde_json::to_string(&(time, code, data)).unwrap();
            cast.push('\n');
        }
        let (_, counted) = read(cast.as_bytes());
        prop_assert_eq!(counted as usize, cast.lines().count());
    }
}
