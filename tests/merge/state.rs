//! The agent's own state in a merge: put together by what it says, conflicts picked by number, kept by the merge's commit.

use serde_json::{Value, json};

use crate::common::Place;
use crate::support::*;

fn snapshot(place: &Place, state: &Value) {
    std::fs::write(place.path("state.json"), state.to_string()).unwrap();
    let file = place.path("state.json");
    place.ok(&["snapshot", "--state", file.to_str().unwrap()]);
}

fn state(place: &Place) -> Value {
    serde_json::from_str(&place.ok(&["restore", "@", "-o", "-"])).unwrap()
}

fn memories(list: &[(&str, &str)]) -> Value {
    let all: Vec<Value> = list
        .iter()
        .map(|(id, text)| json!({ "id": id, "text": text }))
        .collect();
    json!({ "goal": "ship", "memories": all })
}

fn with_states(base: &Value, theirs: &Value, ours: &Value) -> Place {
    let place = Place::new();
    place.write("f.txt", "f\n");
    place.ok(&["init"]);
    snapshot(&place, base);
    place.ok(&["switch", "-c", "try"]);
    snapshot(&place, theirs);
    place.ok(&["switch", "main"]);
    snapshot(&place, ours);
    place
}

#[test]
fn facts_are_put_together_and_the_commit_has_the_merged_state() {
    let base = memories(&[
        ("1", "tests live in tests/"),
        ("2", "use tabs"),
        ("3", "old fact"),
    ]);
    let theirs = memories(&[
        ("1", "tests live in tests/"),
        ("2", "use tabs"),
        ("4", "theirs is new"),
    ]);
    let mut ours = memories(&[
        ("1", "tests live in tests/ and src"),
        ("2", "use tabs"),
        ("3", "old fact"),
        ("5", "ours is new"),
    ]);
    ours["goal"] = json!("ship it");
    let place = with_states(&base, &theirs, &ours);
    let report = json_of(&place, &["merge", "try"], 0);
    assert_eq!(report["changes"].as_array().unwrap().len(), 0);
    let merged = state(&place);
    let texts: Vec<&str> = merged["memories"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["text"].as_str().unwrap())
        .collect();
    assert_eq!(merged["goal"], "ship it");
    for wanted in [
        "tests live in tests/ and src",
        "use tabs",
        "theirs is new",
        "ours is new",
    ] {
        assert!(texts.contains(&wanted), "{texts:?}");
    }
    assert!(
        !texts.contains(&"old fact"),
        "a deletion is respected: {texts:?}"
    );
    let said = place.ok(&["diff", "@~1", "@", "--state"]);
    assert!(
        said.contains("+ /memories/id=4") && said.contains("- /memories/id=3"),
        "{said}"
    );
    place.ok(&["undo"]);
    assert_eq!(state(&place), ours);
    place.ok(&["redo"]);
    assert_eq!(state(&place), merged);
}

#[test]
fn contradictions_are_picked_by_number() {
    let base = memories(&[("1", "port is 1"), ("2", "a")]);
    let theirs = memories(&[("1", "port is 2"), ("2", "theirs")]);
    let ours = memories(&[("1", "port is 3"), ("2", "ours")]);
    let place = with_states(&base, &theirs, &ours);
    let info = json_of(&place, &["merge", "try"], 1);
    assert_eq!(info["left"], 2);
    let text = place.ok(&["merge", "--status"]);
    assert!(
        text.contains("@state#1") && text.contains("the same id"),
        "{text}"
    );
    assert!(refused(&place, &["merge", "--pick", "@state=ours"]).contains("2 conflicts"));
    assert!(refused(&place, &["merge", "--pick", "@state#3=ours"]).contains("2 conflicts"));
    json_of(&place, &["merge", "--pick", "@state#1=theirs"], 0);
    let info = json_of(&place, &["merge", "--pick", "@state#2=both"], 0);
    assert_eq!(info["left"], 0, "{info}");
    place.ok(&["merge", "--continue"]);
    let merged = state(&place);
    let texts: Vec<&str> = merged["memories"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts, ["port is 2", "ours", "theirs"]);
    assert!(
        show(&place, "@")["meta"]["settled-state"]
            .as_str()
            .unwrap()
            .contains("theirs")
    );
}

#[test]
fn a_state_in_conflict_can_be_kept_open() {
    let place = with_states(&json!({"a": 1}), &json!({"a": 2}), &json!({"a": 3, "b": 1}));
    let report = json_of(&place, &["merge", "try", "--keep-conflicts"], 0);
    assert!(report["commit"]["id"].is_string());
    assert_eq!(state(&place), json!({"a": 3, "b": 1}));
    let open = place.json(&["conflicts", "--json"]);
    assert_eq!((open.len(), open[0]["state"].as_u64()), (1, Some(1)));
    // It goes on meanwhile.
    snapshot(&place, &json!({"a": 3, "b": 1, "c": 1}));
    let info = json_of(&place, &["resolve"], 0);
    assert_eq!(info["left"], 1);
    json_of(&place, &["merge", "--pick", "@state=theirs"], 0);
    place.ok(&["merge", "--continue"]);
    assert_eq!(state(&place), json!({"a": 2, "b": 1, "c": 1}));
    assert!(place.ok(&["conflicts"]).contains("no conflict"));
}

#[test]
fn one_state_alone_stands() {
    let place = parted(|p| p.write("f", "f"), |_| {}, |_| {});
    place.ok(&["switch", "try"]);
    snapshot(&place, &json!({"only": "theirs"}));
    place.ok(&["switch", "main"]);
    place.write("g", "g");
    place.ok(&["merge", "try"]);
    assert_eq!(state(&place), json!({"only": "theirs"}));
}

#[test]
fn a_fact_of_one_of_two_bases_does_not_come_back_once_it_is_deleted() {
    let place = Place::new();
    place.write("f.txt", "f\n");
    place.ok(&["init"]);
    snapshot(&place, &memories(&[("1", "root")]));
    place.ok(&["branch", "create", "try"]);
    snapshot(
        &place,
        &memories(&[("1", "root"), ("9", "deploys go out on fridays")]),
    );
    let first = tips(&place)["main"].clone();
    // The newest of the two bases does not have that fact.
    place.ok(&["switch", "try"]);
    snapshot(&place, &memories(&[("1", "root"), ("8", "use tabs")]));
    let second = tips(&place)["try"].clone();
    json_of(&place, &["merge", &first], 0);
    place.ok(&["switch", "main"]);
    json_of(&place, &["merge", &second], 0);
    let both = memories(&[
        ("1", "root"),
        ("8", "use tabs"),
        ("9", "deploys go out on fridays"),
    ]);
    let ids = |state: &Value| -> Vec<String> {
        let all = state["memories"].as_array().unwrap().iter();
        let mut ids: Vec<_> = all.map(|m| m["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&state(&place)), ids(&both));
    place.ok(&["switch", "try"]);
    snapshot(&place, &memories(&[("1", "root"), ("8", "use tabs")]));
    place.ok(&["switch", "main"]);
    let dry = json_of(&place, &["merge", "try", "--dry-run"], 0);
    assert_eq!(dry["bases"].as_array().unwrap().len(), 2, "{dry}");
    json_of(&place, &["merge", "try"], 0);
    assert_eq!(ids(&state(&place)), ["1", "8"]);
    sound(&place);
}
