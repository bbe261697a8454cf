//! Differences of two agents' states, by structure: which facts came, went or changed.
//!
//! A fact is what stands at a place of the JSON: a value that is no object, or an element of a list. Elements of lists are
//! matched by their `id` (or `uuid`, or `key`) where all have one, else as they are; their order says nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What happened to a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FactOp {
    /// New.
    Added,
    /// Gone.
    Removed,
    /// Another value.
    Changed,
}

/// A fact that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// Where, as a JSON pointer; an element of a list by its id as `id=...`, else by its number.
    pub path: String,
    /// What happened.
    pub op: FactOp,
    /// Before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// After.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// What differs between two states; `None` where there is none.
#[must_use]
pub fn facts(a: Option<&Value>, b: Option<&Value>) -> Vec<Fact> {
    let mut out = Vec::new();
    let empty = |like: &Value| match like {
        Value::Object(_) => Some(Value::Object(Map::new())),
        Value::Array(_) => Some(Value::Array(Vec::new())),
        _ => None,
    };
    let (blank_a, blank_b) = (b.and_then(empty), a.and_then(empty));
    compare("", a.or(blank_a.as_ref()), b.or(blank_b.as_ref()), &mut out);
    out
}

fn compare(path: &str, a: Option<&Value>, b: Option<&Value>, out: &mut Vec<Fact>) {
    if a == b {
        return;
    }
    match (a, b) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let escaped = name.replace('~', "~0").replace('/', "~1");
                compare(&format!("{path}/{escaped}"), a.get(name), b.get(name), out);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => lists(path, a, b, out),
        _ => out.push(fact(path.to_owned(), a, b)),
    }
}

fn fact(path: String, before: Option<&Value>, after: Option<&Value>) -> Fact {
    Fact {
        path,
        op: match (before, after) {
            (None, _) => FactOp::Added,
            (_, None) => FactOp::Removed,
            _ => FactOp::Changed,
        },
        before: before.cloned(),
        after: after.cloned(),
    }
}

fn lists(path: &str, a: &[Value], b: &[Value], out: &mut Vec<Fact>) {
    for key in ["id", "uuid", "key"] {
        if let (Some(a), Some(b)) = (by_key(key, a), by_key(key, b)) {
            let ids: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for id in ids {
                let (before, after) = (a.get(id).copied(), b.get(id).copied());
                if before != after {
                    out.push(fact(format!("{path}/{key}={id}"), before, after));
                }
            }
            return;
        }
    }
    // As often as an element stands on both sides it is the same.
    let mut there: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, value) in b.iter().enumerate().rev() {
        there.entry(form(value)).or_default().push(i);
    }
    for (i, value) in a.iter().enumerate() {
        let same = there.get_mut(&form(value)).and_then(Vec::pop);
        if same.is_none() {
            out.push(fact(format!("{path}/{i}"), Some(value), None));
        }
    }
    let mut new: Vec<usize> = there.into_values().flatten().collect();
    new.sort_unstable();
    for i in new {
        out.push(fact(format!("{path}/{i}"), None, b.get(i)));
    }
}

/// A value as text, whatever the order of its keys.
fn form(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    value.to_string()
}

/// The elements by the value of `key`; `None` unless each is an object with a value of its own there.
fn by_key<'a>(key: &str, list: &'a [Value]) -> Option<BTreeMap<String, &'a Value>> {
    let mut out = BTreeMap::new();
    for value in list {
        let id = match value.get(key)? {
            Value::String(id) => id.clone(),
            Value::Number(id) => id.to_string(),
            _ => return None,
        };
        if out.insert(id, value).is_some() {
            return None;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn said(a: Option<Value>, b: Option<Value>) -> Vec<String> {
        facts(a.as_ref(), b.as_ref())
            .into_iter()
            .map(|f| {
                let sign = match f.op {
                    FactOp::Added => '+',
                    FactOp::Removed => '-',
                    FactOp::Changed => '~',
                };
                format!("{sign}{}", f.path)
            })
            .collect()
    }

    #[test]
    fn objects_by_key_lists_by_id_or_by_value() {
        let a = json!({"goal": "x", "n": {"deep": 1, "same": 2}, "old": 1,
            "memories": [{"id": "m1", "text": "a"}, {"id": "m2", "text": "b"}],
            "notes": ["one", "two", "two"], "a/b": 1});
        let b = json!({"goal": "y", "n": {"deep": 3, "same": 2}, "new": null,
            "memories": [{"id": "m3", "text": "c"}, {"id": "m2", "text": "B"}],
            "notes": ["two", "three", "one"], "a/b": 2});
        assert_eq!(
            said(Some(a.clone()), Some(b)),
            [
                "~/a~1b",
                "~/goal",
                "-/memories/id=m1",
                "~/memories/id=m2",
                "+/memories/id=m3",
                "~/n/deep",
                "+/new",
                "-/notes/2",
                "+/notes/1",
                "-/old",
            ]
        );
        assert!(said(Some(a.clone()), Some(a)).is_empty());
    }

    #[test]
    fn a_state_that_is_not_there_has_no_facts() {
        let a = json!({"x": 1, "y": [1]});
        assert_eq!(said(None, Some(a.clone())), ["+/x", "+/y"]);
        assert_eq!(said(Some(a), None), ["-/x", "-/y"]);
        assert_eq!(said(None, Some(json!([1, 2]))), ["+/0", "+/1"]);
        assert_eq!(said(Some(json!(1)), None), ["-"]);
        assert!(said(None, None).is_empty());
    }

    #[test]
    fn the_order_of_keys_makes_no_fact() {
        let read = |text: &str| serde_json::from_str(text).ok();
        let a = read(r#"["x", {"a": 1, "b": {"c": 2, "d": 3}}]"#);
        let b = read(r#"["y", {"b": {"d": 3, "c": 2}, "a": 1}]"#);
        assert_eq!(said(a, b), ["-/0", "+/0"]);
    }

    #[test]
    fn ids_that_are_not_alone_are_not_trusted() {
        let a = json!([{"id": 1, "t": "a"}, {"id": 1, "t": "b"}]);
        let b = json!([{"id": 1, "t": "b"}]);
        assert_eq!(said(Some(a), Some(b)), ["-/0"]);
    }
}
