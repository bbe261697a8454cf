//! The laws of numbering and of branches, on events of any kind in any order.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::HashSet;

use proptest::prelude::*;

use super::super::event::{
    Body, Call, Ending, Event, Facts, MarkerKind, Out, Outcome, Record, Span, Usage,
};
use super::super::recording::{from_cache, to_cache};
use super::*;
use crate::model::Time;

fn record(at: u64) -> Record<'static> {
    Record {
        bytes: b"{}",
        span: Span {
            file: 0,
            offset: at * 10,
            len: 2,
        },
        tag: "",
    }
}

fn take(a: &mut Assembler, at: u64, events: Vec<Event<'_>>) {
    let out = Out { events, counted: 1 };
    a.take(record(at), out, at.is_multiple_of(3), None);
}

fn text(words: &'static str) -> std::borrow::Cow<'static, str> {
    words.into()
}

fn event(
    native: &'static str,
    parent: Option<&'static str>,
    body: Body<'static>,
) -> Event<'static> {
    Event {
        native: native.into(),
        parent: parent.map(Into::into),
        ..Event::new(0, body)
    }
}

fn titles(a: &Assembler, dead: bool) -> Vec<&str> {
    let index = &a.index;
    index
        .after(None)
        .filter_map(|at| index.get(at))
        .filter(|e| e.dead == dead)
        .map(|e| &*e.title)
        .collect()
}

#[test]
fn a_rewind_by_a_sibling_leaves_a_branch() {
    let mut a = Assembler::new("x");
    let say = |t: &'static str| Body::Message(text(t));
    take(
        &mut a,
        0,
        vec![event("p1", None, Body::Prompt(text("first")))],
    );
    take(&mut a, 1, vec![event("m1", Some("p1"), say("one"))]);
    take(
        &mut a,
        2,
        vec![event("p2", Some("m1"), Body::Prompt(text("wrong way")))],
    );
    take(&mut a, 3, vec![event("m2", Some("p2"), say("gone"))]);
    take(
        &mut a,
        4,
        vec![event("p3", Some("m1"), Body::Prompt(text("right way")))],
    );
    take(&mut a, 5, vec![event("m3", Some("p3"), say("there"))]);
    a.settle();
    assert_eq!(titles(&a, true), ["wrong way", "gone"]);
    assert_eq!(titles(&a, false), ["first", "one", "right way", "there"]);
    // The person goes back to the other branch: what is told as the leaf counts.
    take(&mut a, 6, vec![event("", None, Body::Leaf(text("m2")))]);
    a.settle();
    assert_eq!(titles(&a, true), ["right way", "there"]);
    // And goes on from there.
    take(&mut a, 7, vec![event("m4", Some("m2"), say("on"))]);
    a.settle();
    assert_eq!(titles(&a, true), ["right way", "there"]);
    assert_eq!(
        titles(&a, false),
        ["first", "one", "wrong way", "gone", "on"]
    );
}

#[test]
fn parallel_calls_and_their_results_live_together() {
    let mut a = Assembler::new("x");
    let call = |id: &'static str| {
        Body::Call(Call {
            id: id.into(),
            name: "Bash".into(),
            input: "{}".into(),
            ..Call::default()
        })
    };
    let result = |id: &'static str| {
        Body::Result(Outcome {
            id: id.into(),
            ..Outcome::default()
        })
    };
    let answer = |mut e: Event<'static>| {
        e.answer = "msg".into();
        e
    };
    take(&mut a, 0, vec![event("p", None, Body::Prompt(text("go")))]);
    take(&mut a, 1, vec![answer(event("c1", Some("p"), call("one")))]);
    take(
        &mut a,
        2,
        vec![answer(event("c2", Some("c1"), call("two")))],
    );
    take(&mut a, 3, vec![event("r1", Some("c1"), result("one"))]);
    take(&mut a, 4, vec![event("r2", Some("c2"), result("two"))]);
    // The next answer continues the first result: the second call is beside its chain, and alive.
    take(
        &mut a,
        5,
        vec![event("m", Some("r1"), Body::Message(text("done")))],
    );
    a.settle();
    assert_eq!(titles(&a, true), Vec::<&str>::new());
    assert_eq!(a.index.answers.len(), 2);
}

#[test]
fn a_subagents_steps_lie_behind_the_call_that_started_it() {
    let mut a = Assembler::new("x");
    take(&mut a, 0, vec![event("p", None, Body::Prompt(text("go")))]);
    let task = Body::Call(Call {
        id: "t".into(),
        name: "Task".into(),
        input: r#"{"prompt":"look around","description":"explorer"}"#.into(),
        ..Call::default()
    });
    take(&mut a, 1, vec![event("c", Some("p"), task)]);
    take(
        &mut a,
        2,
        vec![event("m", Some("c"), Body::Message(text("meanwhile")))],
    );
    // It has no id: its first words say whose it is.
    let mut first = event("s1", None, Body::Prompt(text("look around")));
    first.thread = "sidechain".into();
    let mut second = event("s2", Some("s1"), Body::Message(text("found it")));
    second.thread = "sidechain".into();
    take(&mut a, 3, vec![first]);
    take(&mut a, 4, vec![second]);
    let numbers: Vec<String> = a
        .index
        .after(None)
        .map(|at| a.index.get(at).unwrap().ordinal().to_string())
        .collect();
    assert_eq!(numbers, ["1", "2", "2.1", "2.2", "3"]);
    let call = a.index.step(1).unwrap();
    assert_eq!(call.talk.child, Some(1));
    let inner = a.index.step(4).unwrap();
    assert_eq!((inner.talk.thread, inner.talk.depth, inner.turn), (1, 1, 1));
}

#[test]
fn the_same_told_again_is_the_same() {
    let mut a = Assembler::new("x");
    for at in 0..2 {
        take(&mut a, at, vec![event("p", None, Body::Prompt(text("go")))]);
        let mut first = event("m", Some("p"), Body::Message(text("a")));
        let mut second = event("m", Some("p"), Body::Message(text("b")));
        (first.part, second.part) = (0, 1);
        take(&mut a, at, vec![first, second]);
    }
    assert_eq!(titles(&a, false), ["go", "a", "b"]);
    // Ids that a cleaner has overwritten name nothing.
    for at in 10..12 {
        take(
            &mut a,
            at,
            vec![event("REDACTED", None, Body::Message(text("c")))],
        );
    }
    assert_eq!(titles(&a, false), ["go", "a", "b", "c", "c"]);
}

fn body() -> impl Strategy<Value = Body<'static>> {
    let id = prop::sample::select(vec!["a", "b", "c", "d", "", "REDACTED"]);
    let words = prop::sample::select(vec!["", "x", "two\nlines", "look"]);
    let end = prop::sample::select(vec![
        Ending::Ok,
        Ending::Error,
        Ending::Aborted,
        Ending::Open,
    ]);
    let to = prop::sample::select(vec!["", "n1", "n2", "before:n3", "turns:1", "turns:x"]);
    prop_oneof![
        words.clone().prop_map(|t| Body::Prompt(t.into())),
        words.clone().prop_map(|t| Body::Thought(t.into())),
        words.clone().prop_map(|t| Body::Message(t.into())),
        (id.clone(), words.clone(), any::<bool>()).prop_map(|(id, input, ended)| {
            Body::Call(Call {
                id: id.into(),
                name: if ended { "Task" } else { "Edit" }.into(),
                input: input.into(),
                ended,
                ..Call::default()
            })
        }),
        (id.clone(), end, id.clone()).prop_map(|(id, end, child)| {
            Body::Result(Outcome {
                id: id.into(),
                end,
                child: Some(child.into()),
                ..Outcome::default()
            })
        }),
        id.clone().prop_map(|id| Body::About(Outcome {
            id: id.into(),
            child: Some("t2".into()),
            end: Ending::Open,
            ..Outcome::default()
        })),
        any::<(u64, bool)>().prop_map(|(n, total)| Body::Usage(Usage {
            input: n,
            total,
            ..Usage::default()
        })),
        words.clone().prop_map(|t| Body::Marker {
            kind: MarkerKind::Note,
            text: t.into()
        }),
        to.prop_map(|t| Body::Rewind { to: t.into() }),
        id.clone().prop_map(|t| Body::Leaf(t.into())),
        id.prop_map(|id| Body::Session(Box::new(Facts {
            id: id.into(),
            model: id.into(),
            ..Facts::default()
        }))),
        Just(Body::Link),
        words.prop_map(|t| Body::Unknown { name: t.into() }),
        Just(Body::Image {
            media: "image/png".into(),
            bytes: u64::MAX
        }),
    ]
}

fn any_event() -> impl Strategy<Value = Event<'static>> {
    let native = prop::sample::select(vec!["", "n1", "n2", "n3", "n4", "REDACTED"]);
    let thread = prop::sample::select(vec!["", "", "t1", "t2", "sidechain"]);
    let session = prop::sample::select(vec!["", "", "s1", "s2"]);
    (
        (native.clone(), prop::option::of(native), thread, session),
        any::<(bool, Option<i64>)>(),
        body(),
    )
        .prop_map(
            |((native, parent, thread, session), (echo, time), body)| Event {
                native: native.into(),
                parent: parent.map(Into::into),
                thread: thread.into(),
                session: session.into(),
                echo,
                time: time.map(Time),
                ..Event::new(0, body)
            },
        )
}

proptest! {
    #[test]
    fn any_events_give_a_sound_index(
        records in prop::collection::vec(prop::collection::vec(any_event(), 0..4), 0..40),
    ) {
        let mut a = Assembler::new("x");
        let mut known: Vec<(String, crate::model::Ordinal)> = Vec::new();
        for (at, mut events) in records.into_iter().enumerate() {
            for (part, event) in events.iter_mut().enumerate() {
                event.part = part as u16;
            }
            take(&mut a, at as u64, events);
            if at.is_multiple_of(7) {
                a.settle();
            }
            // No step ever changes its number.
            for (i, (native, ordinal)) in known.iter().enumerate() {
                prop_assert_eq!(native.as_str(), &*a.index.entries[i].native);
                prop_assert_eq!(*ordinal, a.index.entries[i].ordinal());
            }
            known = a.index.entries.iter().map(|e| (e.native.to_string(), e.ordinal())).collect();
        }
        a.settle();
        let index = &a.index;
        let order: Vec<u32> = index.after(None).collect();
        prop_assert_eq!(order.len(), index.entries.len(), "every entry has a number of its own");
        let numbers: Vec<_> = order.iter().map(|at| index.get(*at).unwrap().ordinal()).collect();
        prop_assert!(numbers.windows(2).all(|w| w[0] < w[1]));
        let mut back: Vec<u32> = index.before(None).collect();
        back.reverse();
        prop_assert_eq!(&back, &order);
        let ids: HashSet<_> = index.entries.iter().map(|e| index.step_id(e)).collect();
        prop_assert_eq!(ids.len(), index.entries.len(), "every step has an id of its own");
        for at in &order {
            let step = index.step(*at).unwrap();
            prop_assert_eq!(index.find(step.ordinal), Some(*at));
            let known = index.threads.len() as u32;
            prop_assert!(step.talk.thread < known && step.talk.child.is_none_or(|c| c < known));
        }
        let mut read = from_cache(&to_cache(index).unwrap()).unwrap();
        read.put_in_order();
        prop_assert_eq!(&read, index);
    }

    #[test]
    fn a_damaged_cache_is_no_cache(cut in 0..2_000_usize, flip in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut a = Assembler::new("x");
        for at in 0..20 {
            take(&mut a, at, vec![event("", None, Body::Prompt(text("go on")))]);
        }
        let mut bytes = to_cache(&a.index).unwrap();
        bytes.truncate(bytes.len().saturating_sub(cut));
        if !bytes.is_empty() {
            let at = flip.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        // It may still be one, of other content; it is never a panic, and never memory by a claimed length.
        if let Some(mut index) = from_cache(&bytes) {
            index.put_in_order();
        }
    }
}
