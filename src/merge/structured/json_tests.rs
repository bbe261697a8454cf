//! What merging JSON by key promises.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::merge::conflict::Piece;

use super::json::*;

fn clean(base: &str, ours: &str, theirs: &str) -> String {
    match merge(base, ours, theirs).unwrap().as_slice() {
        [Piece::Text(text)] => String::from_utf8(text.clone()).unwrap(),
        other => panic!("{other:?}"),
    }
}

const BASE: &str =
    "{\n  \"name\": \"x\",\n  \"version\": \"1.0.0\",\n  \"deps\": {\n    \"a\": \"1\"\n  }\n}\n";

#[test]
fn keys_beside_one_another_are_put_together() {
    let ours = BASE.replace("1.0.0", "1.1.0");
    let theirs = BASE.replace("\"x\"", "\"y\"").replace(
        "    \"a\": \"1\"\n",
        "    \"a\": \"1\",\n    \"b\": \"2\"\n",
    );
    assert_eq!(
        clean(BASE, &ours, &theirs),
        theirs.replace("1.0.0", "1.1.0"),
        "lines that touch, and the blanks are as they were"
    );
    let added = BASE.replace(
        "    \"a\": \"1\"\n",
        "    \"a\": \"1\",\n    \"c\": \"3\"\n",
    );
    assert_eq!(
        clean(BASE, &added, &theirs),
        theirs.replace(
            "    \"b\": \"2\"\n",
            "    \"c\": \"3\",\n    \"b\": \"2\"\n"
        ),
        "both added at the end"
    );
}

#[test]
fn one_value_in_conflict_is_one_hunk() {
    let pieces = merge(
        BASE,
        &BASE.replace("1.0.0", "1.1.0"),
        &BASE.replace("1.0.0", "2.0.0").replace("\"x\"", "\"y\""),
    )
    .unwrap();
    let [Piece::Text(before), Piece::Hunk(hunk), Piece::Text(_)] = pieces.as_slice() else {
        panic!("{pieces:?}");
    };
    assert!(before.ends_with(b"\"name\": \"y\",\n  \"version\": "));
    assert_eq!(hunk.key.as_deref(), Some("/version"));
    assert_eq!(
        [&hunk.ours[..], &hunk.base, &hunk.theirs],
        [&b"\"1.1.0\""[..], b"\"1.0.0\"", b"\"2.0.0\""]
    );
}

#[test]
fn lists_by_id_and_by_position() {
    let base = r#"[{"id": 1, "v": "a"}, {"id": 2, "v": "b"}]"#;
    let ours = r#"[{"id": 1, "v": "A"}, {"id": 2, "v": "b"}, {"id": 3, "v": "o"}]"#;
    let theirs = r#"[{"id": 2, "v": "B"}, {"id": 1, "v": "a"}, {"id": 4, "v": "t"}]"#;
    assert_eq!(
        clean(base, ours, theirs),
        r#"[{"id": 1, "v": "A"}, {"id": 4, "v": "t"}, {"id": 2, "v": "B"}, {"id": 3, "v": "o"}]"#
    );
    assert_eq!(clean("[1, 2, 3]", "[0, 2, 3]", "[1, 2, 4]"), "[0, 2, 4]");
    let pieces = merge("[1, 2]", "[1, 2, 3]", "[1, 2, 4]").unwrap();
    assert!(matches!(
        pieces.as_slice(),
        [Piece::Text(_), Piece::Hunk(_)]
            | [Piece::Hunk(_)]
            | [Piece::Text(_), Piece::Hunk(_), Piece::Text(_)]
    ));
}

#[test]
fn what_cannot_be_said_by_key_is_refused() {
    let deleted = r#"{"b": 1}"#;
    assert!(merge(r#"{"a": 1, "b": 1}"#, deleted, r#"{"a": 2, "b": 1}"#).is_none());
    assert!(merge(r#"{"a": 1}"#, r#"{"a": 1, "a": 2}"#, r#"{"a": 3}"#).is_none());
    assert!(merge("{", "{}", "{}").is_none());
    let deep = "[".repeat(5000) + &"]".repeat(5000);
    assert!(merge(&deep, "[1]", "[2]").is_none());
}

type Flat = BTreeMap<u8, u8>;

fn flat() -> impl Strategy<Value = Flat> {
    prop::collection::btree_map(0..6u8, 0..3u8, 0..6)
}

fn shown(map: &Flat, wide: bool) -> String {
    let rows: Vec<_> = map.iter().map(|(k, v)| format!("\"k{k}\": {v}")).collect();
    match (rows.is_empty(), wide) {
        (true, _) => "{}".into(),
        (_, true) => format!("{{\n  {}\n}}\n", rows.join(",\n  ")),
        _ => format!("{{{}}}", rows.join(", ")),
    }
}

proptest! {
    #[test]
    fn every_key_is_merged_by_itself(b in flat(), o in flat(), t in flat(), wide: bool) {
        let keys = (0..6u8).map(|k| (k, [b.get(&k), o.get(&k), t.get(&k)]));
        let mut want = Some(Flat::new());
        for (k, [x, y, z]) in keys {
            let one = crate::merge::trees::three(Some(&x), &y, &z);
            match (one, &mut want) {
                (Some(value), Some(map)) => drop(value.map(|v| map.insert(k, *v))),
                _ => want = None,
            }
        }
        let texts = [&b, &o, &t].map(|m| shown(m, wide));
        let merged = merge(&texts[0], &texts[1], &texts[2]);
        match want {
            Some(want) => {
                let pieces = merged.unwrap();
                let [Piece::Text(text)] = pieces.as_slice() else { panic!("{pieces:?}") };
                let text = String::from_utf8(text.clone()).unwrap();
                let read: BTreeMap<String, u8> = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(read, want.iter().map(|(k, v)| (format!("k{k}"), *v)).collect());
                prop_assert!(is_sound(&text));
            }
            None => prop_assert!(merged.is_none_or(|p| p.iter().any(|p| matches!(p, Piece::Hunk(_))))),
        }
    }
}
