#![allow(clippy::unwrap_used, reason = "tests")]
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn merged(base: &Value, ours: &Value, theirs: &Value) -> MergedState {
    let [b, o, t] = [base, ours, theirs].map(ToString::to_string);
    merge(Some(&b), &o, &t).unwrap()
}

fn clean(base: &Value, ours: &Value, theirs: &Value) -> Value {
    let merged = merged(base, ours, theirs);
    assert_eq!(merged.conflicts, []);
    serde_json::from_str(&merged.text().unwrap()).unwrap()
}

#[test]
fn facts_are_followed_and_duplicates_joined() {
    let base = json!({"memories": ["Uses tabs.", "Lives in Ulm", "Likes tea"], "turn": 1});
    let ours = json!({"memories": ["Uses tabs.", "Lives in Ulm", "Has a cat"], "turn": 2});
    let theirs = json!({"memories": ["Likes tea", "uses  tabs", "Lives in Ulm now", "has a cat."], "turn": 1});
    let merged = merged(&base, &ours, &theirs);
    assert_eq!(merged.conflicts, []);
    let text: Value = serde_json::from_str(&merged.text().unwrap()).unwrap();
    assert_eq!(
        text,
        json!({"memories": ["uses  tabs", "Lives in Ulm now", "Has a cat"], "turn": 2}),
        "ours deleted the tea, theirs reworded Ulm, both have a cat"
    );
    let joined: Vec<_> = merged.notes.iter().filter(|n| n.joined).collect();
    assert_eq!(joined.len(), 1);
    assert_eq!(
        (joined[0].fact.as_str(), joined[0].method),
        ("Has a cat", Method::Text)
    );
    assert!(
        merged
            .notes
            .iter()
            .any(|n| matches!(n.method, Method::Words(_)) && n.fact == "Lives in Ulm")
    );
}

#[test]
fn contradictions_are_conflicts_with_where_they_come_from() {
    let base = json!([{"id": "m1", "text": "Deploys on Monday", "by": "step 3"}]);
    let ours = json!([{"id": "m1", "text": "Deploys on Tuesday", "by": "step 12"}]);
    let theirs = json!([{"id": "m0", "text": "Other"}, {"id": "m1", "text": "Deploys on Friday", "by": "step 9"}]);
    let merged = merged(&base, &ours, &theirs);
    assert_eq!(merged.text(), None);
    let [conflict] = merged.conflicts.as_slice() else {
        unreachable!("{:?}", merged.conflicts);
    };
    assert_eq!(conflict.kind, StateConflictKind::Changed);
    assert_eq!(conflict.methods, [Some(Method::Id); 2]);
    assert_eq!(conflict.theirs.as_ref().unwrap().pointer, "/1");
    assert!(conflict.ours.as_ref().unwrap().json.contains("step 12"));
    for (pick, want) in [
        (Pick::Ours, vec!["Other", "Deploys on Tuesday"]),
        (
            Pick::Both,
            vec!["Other", "Deploys on Tuesday", "Deploys on Friday"],
        ),
        (Pick::Base, vec!["Other", "Deploys on Monday"]),
        (
            Pick::Edited(b"{\"text\": \"Asks\"}".to_vec()),
            vec!["Other", "Asks"],
        ),
    ] {
        let text = merged.resolved(&BTreeMap::from([(0, pick)])).unwrap();
        let read: Vec<Value> = serde_json::from_str(&text).unwrap();
        let said: Vec<_> = read.iter().map(|v| v["text"].as_str().unwrap()).collect();
        assert_eq!(said, want);
    }
    assert_eq!(
        merged.resolved(&BTreeMap::from([(0, Pick::Edited(b"{".to_vec()))])),
        Err(vec![0])
    );
}

#[test]
fn a_deletion_stands_unless_the_other_side_changed_the_fact() {
    let base = json!(["The build takes two minutes", "Ask before pushing"]);
    let without = json!(["Ask before pushing"]);
    assert_eq!(clean(&base, &without, &base), without);
    let changed = json!(["The build takes ten minutes", "Ask before pushing"]);
    let torn = merged(&base, &without, &changed);
    assert_eq!(torn.conflicts[0].kind, StateConflictKind::DeletedByOurs);
    assert_eq!(
        torn.resolved(&BTreeMap::from([(0, Pick::Ours)])).unwrap(),
        r#"["Ask before pushing"]"#
    );
    assert_eq!(
        torn.resolved(&BTreeMap::from([(0, Pick::Theirs)])).unwrap(),
        changed.to_string()
    );
}

#[test]
fn nearly_the_same_added_twice_is_for_a_person() {
    let torn = merged(
        &json!({"facts": []}),
        &json!({"facts": ["the user wants tabs in this project"]}),
        &json!({"facts": ["the user wants spaces in this project"]}),
    );
    assert_eq!(torn.conflicts[0].kind, StateConflictKind::Alike);
    assert!(matches!(
        torn.conflicts[0].methods[0],
        Some(Method::Words(85))
    ));
    assert!(torn.conflicts[0].both);
}

#[test]
fn a_conversation_is_no_list_of_facts() {
    let said = |text: &str| json!({"role": "user", "content": text});
    let base = json!([said("hi"), said("go on")]);
    let ours = json!([said("hi"), said("go on"), said("go on")]);
    let theirs = json!([said("hi"), said("go on"), said("stop")]);
    assert_eq!(
        clean(&base, &ours, &theirs),
        json!([said("hi"), said("go on"), said("go on"), said("stop")])
    );
}

#[test]
fn differences_are_listed() {
    let a = json!({"facts": ["Uses tabs", "Lives in Ulm", "Old"], "n": 1});
    let b = json!({"facts": ["New thing", "uses tabs.", "Lives in Bonn"], "n": 1, "m": [1]});
    let changes = diff(&a.to_string(), &b.to_string()).unwrap();
    let shown: Vec<_> = changes
        .iter()
        .map(|c| [&c.before, &c.after].map(|p| p.as_ref().map_or("-", |p| p.json.as_str())))
        .collect();
    assert_eq!(
        shown,
        [
            ["-", "\"New thing\""],
            ["\"Uses tabs\"", "\"uses tabs.\""],
            ["\"Lives in Ulm\"", "\"Lives in Bonn\""],
            ["\"Old\"", "-"],
            ["-", "[1]"],
        ]
    );
    assert_eq!(diff(&a.to_string(), &a.to_string()).unwrap(), []);
}

#[test]
fn what_is_no_json_is_said() {
    let error = merge(None, "{", "{}").unwrap_err().to_string();
    assert!(error.contains("ours"), "{error}");
    assert!(diff("1", &"[".repeat(1_000_000)).is_err());
}

fn state() -> impl Strategy<Value = Value> {
    let words = prop::collection::vec(0..4usize, 1..4).prop_map(|w| {
        w.iter()
            .map(|n| ["red", "cat", "runs", "home"][*n])
            .collect::<Vec<_>>()
            .join(" ")
    });
    let fact = prop_oneof![
        words.clone().prop_map(Value::from),
        (0..4u8, words).prop_map(|(id, text)| json!({"id": id, "text": text})),
    ];
    let list = prop::collection::vec(fact, 0..5).prop_map(Value::from);
    let scalar = (0..3u8).prop_map(Value::from);
    prop::collection::btree_map("[a-c]", prop_oneof![list, scalar], 0..3)
        .prop_map(|m| Value::Object(m.into_iter().collect()))
}

proptest! {
    #[test]
    fn what_one_side_left_alone_is_the_others(a in state(), b in state()) {
        for [base, ours, theirs] in [[&a, &a, &b], [&a, &b, &a], [&a, &b, &b]] {
            prop_assert_eq!(&clean(base, ours, theirs), &b);
        }
    }

    /// Whatever is picked, what comes out is JSON; and both directions have as many conflicts.
    #[test]
    fn conflicts_can_be_settled(a in state(), b in state(), c in state()) {
        let there = merged(&a, &b, &c);
        prop_assert_eq!(there.conflicts.len(), merged(&a, &c, &b).conflicts.len());
        for pick in [Pick::Ours, Pick::Theirs, Pick::Base] {
            let picks = (0..there.conflicts.len()).map(|n| (n, pick.clone())).collect();
            let text = there.resolved(&picks).unwrap();
            prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
        }
    }

    #[test]
    fn a_difference_goes_both_ways(a in state(), b in state()) {
        let [there, back] = [(&a, &b), (&b, &a)].map(|(x, y)| diff(&x.to_string(), &y.to_string()).unwrap());
        let count = |all: &[StateChange]| {
            let added = all.iter().filter(|c| c.before.is_none()).count();
            (added, all.iter().filter(|c| c.after.is_none()).count())
        };
        prop_assert_eq!(there.len(), back.len());
        let (added, removed) = count(&there);
        prop_assert_eq!(count(&back), (removed, added));
        prop_assert_eq!(diff(&a.to_string(), &a.to_string()).unwrap(), []);
    }
}
