//! What assembling keeps apart and together, and what it costs with recordings that were made to cost much.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::time::{Duration, Instant};

use super::*;
use crate::trace::event::{Call, Outcome, Span, Usage};

/// Feeds records that lie one after the other.
struct Feed {
    assembler: Assembler,
    offset: u64,
}

impl Feed {
    fn new() -> Self {
        Self {
            assembler: Assembler::new("test"),
            offset: 0,
        }
    }

    fn record(&mut self, events: Vec<Event<'_>>) -> Span {
        let span = Span {
            file: 0,
            offset: self.offset,
            len: 10,
        };
        self.offset += 10;
        let record = Record {
            bytes: b"",
            span,
            tag: "",
        };
        let out = Out { events, counted: 1 };
        self.assembler.take(record, out, false, None);
        span
    }

    fn say(&mut self, body: Body<'_>) -> Span {
        self.record(vec![Event::new(0, body)])
    }

    fn node(&mut self, id: &str, parent: Option<&str>, body: Body<'_>) {
        let mut event = Event::new(0, body);
        event.native = id.to_owned().into();
        event.parent = parent.map(|p| p.to_owned().into());
        self.record(vec![event]);
    }

    fn natives(&self) -> Vec<&str> {
        let all = &self.assembler.index.entries;
        all.iter().map(|e| &*e.native).collect()
    }
}

fn call<'a>(id: &'a str, input: &'a str) -> Body<'a> {
    Body::Call(Call {
        id: id.into(),
        name: "shell".into(),
        input: input.into(),
        ..Call::default()
    })
}

fn result(id: &str) -> Body<'_> {
    Body::Result(Outcome {
        id: id.into(),
        output: "done".into(),
        ..Outcome::default()
    })
}

#[test]
fn a_record_of_very_many_parts() {
    let mut feed = Feed::new();
    let many = (0..70_000_u32).map(|n| {
        let part = u16::try_from(n).unwrap_or(u16::MAX);
        let mut event = Event::new(part, Body::Message("text".into()));
        event.native = "same".into();
        event
    });
    feed.record(many.collect());
    let index = &feed.assembler.index;
    assert_eq!(index.entries.len(), usize::from(u16::MAX) + 1);
    let last = index.entries.last().unwrap();
    assert_eq!(last.kind, StepKind::Unknown);
    assert!(last.title.contains("4465 more parts"), "{}", last.title);
}

#[test]
fn an_id_used_again_is_another_call() {
    let mut feed = Feed::new();
    let mut spans = Vec::new();
    for n in 0..5 {
        let input = format!("{{\"cmd\":\"ls {n}\"}}");
        spans.push(feed.say(call("call_0", &input)));
        spans.push(feed.say(result("call_0")));
    }
    assert_eq!(
        feed.natives(),
        [
            "call:call_0",
            "call:call_0#2",
            "call:call_0#3",
            "call:call_0#4",
            "call:call_0#5"
        ]
    );
    assert!(
        feed.assembler
            .index
            .entries
            .iter()
            .all(|e| e.output.is_some())
    );
    for (n, span) in spans.iter().enumerate() {
        let (at, _) = feed.assembler.entry_of_call_in("call_0", 0, *span).unwrap();
        assert_eq!(at as usize, n / 2);
    }
    // Also with the same arguments each time.
    let mut feed = Feed::new();
    for _ in 0..3 {
        feed.say(call("call_0", "{\"cmd\":\"make\"}"));
        feed.say(result("call_0"));
    }
    assert_eq!(feed.natives().len(), 3);
}

#[test]
fn the_same_call_told_again() {
    // While it runs: with the same arguments, or those that were not known at first.
    let mut feed = Feed::new();
    feed.say(call("call_0", "{}"));
    feed.say(call("call_0", "{\"cmd\":\"ls\"}"));
    feed.say(call("call_0", "{\"cmd\":\"ls\"}"));
    assert_eq!(feed.natives(), ["call:call_0"]);
    // By the same event, whatever it says now.
    let mut feed = Feed::new();
    feed.node("n1", None, call("c", "{\"cmd\":\"l\"}"));
    feed.say(result("c"));
    feed.node("n1", None, call("c", "{\"cmd\":\"ls\"}"));
    assert_eq!(feed.natives(), ["call:c"]);
    // A copy of a call whose id is random.
    let mut feed = Feed::new();
    let id = "call_0123456789abcdef";
    for _ in 0..2 {
        feed.say(call(id, "{\"cmd\":\"ls\"}"));
        feed.say(result(id));
    }
    assert_eq!(feed.natives().len(), 1);
}

#[test]
fn sessions_of_one_file_have_their_own_ids() {
    let mut feed = Feed::new();
    for session in ["one", "two"] {
        for body in [
            Body::Prompt("do it".into()),
            call("call_0", "{\"cmd\":\"ls\"}"),
        ] {
            let mut event = Event::new(0, body);
            event.session = session.into();
            event.native = "msg_0".into();
            feed.record(vec![event]);
        }
    }
    feed.say(result("call_0"));
    let index = &feed.assembler.index;
    assert_eq!(index.entries.len(), 4);
    let sessions: Vec<u16> = index.entries.iter().map(|e| e.session).collect();
    assert_eq!(sessions, [0, 0, 1, 1]);
    assert!(index.entries[1].output.is_none());
    assert!(index.entries[3].output.is_some());
}

#[test]
fn more_sessions_than_there_are_numbers() {
    let mut feed = Feed::new();
    let began = Instant::now();
    for n in 0..70_000 {
        let mut event = Event::new(0, Body::Message("hi".into()));
        event.session = format!("s{n}").into();
        feed.record(vec![event]);
    }
    assert_eq!(feed.assembler.index.sessions.len(), 65_536);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn outside_changes_stand_before_what_shows_them() {
    let mut feed = Feed::new();
    let mut task = Call {
        id: "task".into(),
        name: "Task".into(),
        kind: Some(CallKind::Agent),
        ..Call::default()
    };
    task.input = "{\"prompt\":\"look\"}".into();
    feed.say(Body::Prompt("go".into()));
    feed.say(Body::Call(task));
    for body in [Body::Prompt("look".into()), call("sub", "{}")] {
        let mut event = Event::new(0, body);
        event.thread = "agent".into();
        feed.record(vec![event]);
    }
    feed.say(call("next", "{}"));
    let a = &mut feed.assembler;
    let numbers = |a: &Assembler| -> Vec<(u32, u32)> {
        a.index
            .after(None)
            .map(|at| {
                let e = a.index.get(at).unwrap();
                (e.major, e.minor)
            })
            .collect()
    };
    assert_eq!(numbers(a), [(1, 0), (2, 0), (2, 1), (2, 2), (3, 0)]);
    // Before the subagent's call: still behind the call that started the agent.
    let at = a.insert(Some(3), "x changed", 0);
    let e = a.index.get(at).unwrap();
    assert_eq!((e.major, e.minor), (2, 3));
    assert_eq!(&*e.native, "outside:call:sub");
    let at = a.insert(Some(4), "y changed", 0);
    let e = a.index.get(at).unwrap();
    assert_eq!((e.major, e.minor), (2, 4));
    assert_eq!(&*e.native, "outside:call:next");
    let at = a.insert(Some(4), "z changed", 0);
    assert_eq!(&*a.index.get(at).unwrap().native, "outside:call:next#2");
    let span = Span {
        file: 1,
        offset: 20,
        len: 1,
    };
    let at = a.insert_at(None, Some(span), "w changed", 0);
    assert_eq!(&*a.index.get(at).unwrap().native, "outside:record:1:20");
}

#[test]
fn two_agents_with_the_same_words() {
    let mut feed = Feed::new();
    for id in ["t1", "t2"] {
        feed.say(Body::Call(Call {
            id: id.into(),
            name: "Task".into(),
            kind: Some(CallKind::Agent),
            input: "{\"prompt\":\"look\"}".into(),
            ..Call::default()
        }));
    }
    for thread in ["a", "b"] {
        let mut event = Event::new(0, Body::Prompt("look".into()));
        event.thread = thread.into();
        feed.record(vec![event]);
    }
    let calls: Vec<_> = feed.assembler.index.threads[1..]
        .iter()
        .map(|t| t.call)
        .collect();
    assert_eq!(calls, [Some(0), Some(1)]);
}

#[test]
fn token_sums_have_an_end() {
    let mut feed = Feed::new();
    for n in 0..2 {
        feed.say(Body::Prompt("go".into()));
        feed.say(Body::Message(format!("m{n}").into()));
        feed.say(Body::Usage(Usage {
            input: u64::MAX,
            output: u64::MAX,
            ..Usage::default()
        }));
    }
    assert_eq!(feed.assembler.index.tokens().input, u64::MAX);
}

fn dead(feed: &Feed) -> String {
    let all = &feed.assembler.index.entries;
    all.iter().map(|e| if e.dead { 'x' } else { '.' }).collect()
}

#[test]
fn rewinds_end_what_they_say() {
    let mut feed = Feed::new();
    for n in 0..4 {
        feed.node(&format!("p{n}"), None, Body::Prompt(format!("{n}").into()));
        feed.node(&format!("m{n}"), None, Body::Message("ok".into()));
    }
    let rewind = |feed: &mut Feed, to: &str| {
        feed.say(Body::Rewind {
            to: to.to_owned().into(),
        })
    };
    rewind(&mut feed, "turns:1");
    assert_eq!(dead(&feed), "......xx");
    feed.node("p4", None, Body::Prompt("4".into()));
    rewind(&mut feed, "turns:2");
    assert_eq!(dead(&feed), "....xxxxx");
    rewind(&mut feed, "p1");
    assert_eq!(dead(&feed), "...xxxxxx");
    rewind(&mut feed, "before:m0");
    assert_eq!(dead(&feed), ".xxxxxxxx");
    feed.node("m0", None, Body::Message("ok".into()));
    assert_eq!(dead(&feed), "..xxxxxxx");
    rewind(&mut feed, "turns:9");
    assert_eq!(dead(&feed), "xxxxxxxxx");
}

#[test]
fn many_rewinds_and_many_looks_cost_little() {
    let began = Instant::now();
    let mut feed = Feed::new();
    for n in 0..30_000 {
        feed.node(&format!("p{n}"), None, Body::Prompt(format!("{n}").into()));
        feed.say(Body::Rewind {
            to: if n % 2 == 0 { "turns:1" } else { "p0" }.into(),
        });
    }
    let mut feed = Feed::new();
    feed.node("n0", None, Body::Prompt("go".into()));
    for n in 1..30_000 {
        feed.node(
            &format!("n{n}"),
            Some(&format!("n{}", n - 1)),
            Body::Message("x".into()),
        );
        feed.assembler.settle();
    }
    // As quadratic work it takes minutes.
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn branches_are_settled_when_they_fork() {
    let mut feed = Feed::new();
    feed.node("a", None, Body::Prompt("1".into()));
    feed.node("b", Some("a"), Body::Prompt("2".into()));
    feed.assembler.settle();
    feed.node("c", Some("b"), Body::Prompt("3".into()));
    feed.assembler.settle();
    assert_eq!(dead(&feed), "...");
    feed.node("d", Some("a"), Body::Prompt("4".into()));
    feed.assembler.settle();
    assert_eq!(dead(&feed), ".xx.");
    feed.node("e", Some("d"), Body::Prompt("5".into()));
    feed.assembler.settle();
    assert_eq!(dead(&feed), ".xx..");
    feed.say(Body::Leaf("c".into()));
    feed.assembler.settle();
    assert_eq!(dead(&feed), "...xx");
}
