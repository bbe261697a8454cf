//! One cell of a notebook edited as Claude Code's tool does it: the file is JSON, read, changed, and written again with
//! an indentation of one space and no line feed at its end.
//!
//! The order of keys is kept as it was in the file. Numbers that the tool might write in another way than we do, and
//! ids that it makes up, give [`Bad::Uncertain`].

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::apply::MOST;

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edit<'a> {
    /// `replace`, `insert` or `delete`; empty means `replace`.
    pub mode: &'a str,
    /// The cell, by id, `cell-N` or number; for `insert`, the one before. Empty: the beginning.
    pub cell: &'a str,
    /// `code` or `markdown`; empty to keep.
    pub kind: &'a str,
    /// Its new source.
    pub source: &'a str,
}

/// Why there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bad {
    /// It is not a notebook, or has no such cell.
    NotSuch,
    /// What the tool writes does not follow from what is known.
    Uncertain,
}

/// JSON with the keys in the order of the file.
#[derive(Debug, Clone, PartialEq)]
enum Json {
    Null,
    Bool(bool),
    /// As it is written.
    Number(String),
    Text(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

/// The notebook after the edit.
pub(super) fn edit(text: &str, edit: &Edit<'_>) -> Result<String, Bad> {
    let mut book: Json = serde_json::from_str(text).map_err(|e| {
        // A number that cannot be written with certainty is told as bad data.
        if e.is_data() {
            Bad::Uncertain
        } else {
            Bad::NotSuch
        }
    })?;
    let new_ids = has_ids(&book);
    let cells = match book.get_mut("cells") {
        Some(Json::List(cells)) => cells,
        _ => return Err(Bad::NotSuch),
    };
    let found = find(cells, edit.cell);
    match edit.mode {
        "delete" => {
            cells.remove(found.ok_or(Bad::NotSuch)?);
        }
        "insert" => {
            let at = match (edit.cell, found) {
                ("", _) => 0,
                (_, Some(at)) => at + 1,
                (_, None) => return Err(Bad::NotSuch),
            };
            if new_ids {
                return Err(Bad::Uncertain);
            }
            cells.insert(at, new_cell(edit)?);
        }
        "replace" | "" => {
            let at = found.ok_or(Bad::NotSuch)?;
            match cells.get_mut(at) {
                Some(cell) => replace(cell, edit)?,
                None => return Err(Bad::NotSuch),
            }
        }
        _ => return Err(Bad::Uncertain),
    }
    let mut out = String::with_capacity(text.len() + edit.source.len());
    book.write(&mut out, 0);
    // What was left out must not be taken for the whole.
    if out.len() > MOST {
        return Err(Bad::Uncertain);
    }
    Ok(out)
}

/// Whether a new cell gets an id of its own, which nobody can foresee.
fn has_ids(book: &Json) -> bool {
    let number = |key: &str| match book.get(key) {
        Some(Json::Number(n)) => n.parse::<i64>().unwrap_or(0),
        _ => 0,
    };
    let (major, minor) = (number("nbformat"), number("nbformat_minor"));
    major > 4 || (major == 4 && minor >= 5)
}

fn find(cells: &[Json], name: &str) -> Option<usize> {
    let by_id = cells
        .iter()
        .position(|c| matches!(c.get("id"), Some(Json::Text(id)) if id == name && !id.is_empty()));
    by_id.or_else(|| {
        let number = name.strip_prefix("cell-").unwrap_or(name);
        number.parse().ok().filter(|n| *n < cells.len())
    })
}

fn new_cell(edit: &Edit<'_>) -> Result<Json, Bad> {
    let text = |t: &str| Json::Text(t.to_owned());
    let mut cell = vec![
        ("cell_type".to_owned(), text(edit.kind)),
        ("source".to_owned(), text(edit.source)),
        ("metadata".to_owned(), Json::Map(Vec::new())),
    ];
    match edit.kind {
        "markdown" => {}
        "code" => {
            cell.push(("execution_count".to_owned(), Json::Null));
            cell.push(("outputs".to_owned(), Json::List(Vec::new())));
        }
        _ => return Err(Bad::Uncertain),
    }
    Ok(Json::Map(cell))
}

fn replace(cell: &mut Json, edit: &Edit<'_>) -> Result<(), Bad> {
    let was_code = matches!(cell.get("cell_type"), Some(Json::Text(kind)) if kind == "code");
    cell.set("source", Json::Text(edit.source.to_owned()))?;
    if was_code {
        cell.set("execution_count", Json::Null)?;
        cell.set("outputs", Json::List(Vec::new()))?;
    }
    if !edit.kind.is_empty() {
        cell.set("cell_type", Json::Text(edit.kind.to_owned()))?;
    }
    Ok(())
}

impl Json {
    fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(map) => map.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match self {
            Self::Map(map) => map.iter_mut().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    fn set(&mut self, key: &str, value: Self) -> Result<(), Bad> {
        let Self::Map(map) = self else {
            return Err(Bad::NotSuch);
        };
        match map.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => *old = value,
            None => map.push((key.to_owned(), value)),
        }
        Ok(())
    }

    /// Ends early behind [`MOST`] bytes: indentation can make a hundred of one.
    fn write(&self, out: &mut String, depth: usize) {
        if out.len() > MOST {
            return;
        }
        let line = |out: &mut String, depth: usize| {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', depth));
        };
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(n) => out.push_str(n),
            Self::Text(t) => quote(t, out),
            Self::List(list) if list.is_empty() => out.push_str("[]"),
            Self::List(list) => {
                out.push('[');
                for (i, item) in list.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    line(out, depth + 1);
                    item.write(out, depth + 1);
                }
                line(out, depth);
                out.push(']');
            }
            Self::Map(map) if map.is_empty() => out.push_str("{}"),
            Self::Map(map) => {
                out.push('{');
                for (i, (key, value)) in map.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    line(out, depth + 1);
                    quote(key, out);
                    out.push_str(": ");
                    value.write(out, depth + 1);
                }
                line(out, depth);
                out.push('}');
            }
        }
    }
}

/// A string as JavaScript writes it: only quotes, backslashes and control characters are escaped, as with us.
fn quote(text: &str, out: &mut String) {
    match serde_json::to_string(text) {
        Ok(quoted) => out.push_str(&quoted),
        Err(_) => out.push_str("\"\""),
    }
}

/// A key that JavaScript moves to the front of its object.
fn is_index(key: &str) -> bool {
    key.parse::<u32>()
        .is_ok_and(|n| n != u32::MAX && n.to_string() == key)
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

/// Above this, JavaScript's numbers are not exact.
const EXACT: u64 = 1 << 53;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Json, E> {
        Ok(Json::Bool(b))
    }

    fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<Json, E> {
        if n > EXACT {
            return Err(E::custom("a number that is not exact"));
        }
        Ok(Json::Number(n.to_string()))
    }

    fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Json, E> {
        if n.unsigned_abs() > EXACT {
            return Err(E::custom("a number that is not exact"));
        }
        Ok(Json::Number(n.to_string()))
    }

    fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<Json, E> {
        if n == 0.0 {
            return Ok(Json::Number("0".to_owned()));
        }
        if !(1e-6..1e15).contains(&n.abs()) {
            return Err(E::custom("a number whose form is not certain"));
        }
        // Both write the shortest decimal that reads as this number, and a whole one without a point. A longer one may
        // have been read one unit off.
        let text = n.to_string();
        if text.bytes().filter(u8::is_ascii_digit).count() > 15 {
            return Err(E::custom("a number whose form is not certain"));
        }
        Ok(Json::Number(text))
    }

    fn visit_str<E>(self, s: &str) -> Result<Json, E> {
        Ok(Json::Text(s.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = seq.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut map: Vec<(String, Json)> = Vec::new();
        while let Some((key, value)) = access.next_entry::<String, Json>()? {
            if is_index(&key) || key == "__proto__" {
                return Err(A::Error::custom("a key whose place is not certain"));
            }
            // A linear search is quick for what notebooks hold; an object with very many keys is not one of theirs.
            if map.len() > 10_000 {
                return Err(A::Error::custom("an object with very many keys"));
            }
            match map.iter_mut().find(|(k, _)| *k == key) {
                Some((_, old)) => *old = value,
                None => map.push((key, value)),
            }
        }
        Ok(Json::Map(map))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const BOOK: &str = r#"{
 "cells": [
  {
   "cell_type": "code",
   "execution_count": 3,
   "id": "aa",
   "metadata": {},
   "outputs": [
    {
     "text": "é\u001b"
    }
   ],
   "source": [
    "print(1)\n"
   ]
  },
  {
   "cell_type": "markdown",
   "metadata": {},
   "source": "hi"
  }
 ],
 "metadata": {
  "z": 1.5,
  "a": 1.0
 },
 "nbformat": 4,
 "nbformat_minor": 4
}
"#;

    fn run(mode: &str, cell: &str, kind: &str, source: &str) -> Result<String, Bad> {
        edit(
            BOOK,
            &Edit {
                mode,
                cell,
                kind,
                source,
            },
        )
    }

    #[test]
    fn a_cell_is_replaced() {
        let text = run("replace", "aa", "", "x\n").unwrap();
        let expected = BOOK
            .replace("[\n    {\n     \"text\": \"é\\u001b\"\n    }\n   ]", "[]")
            .replace("\"execution_count\": 3", "\"execution_count\": null")
            .replace("[\n    \"print(1)\\n\"\n   ]", "\"x\\n\"")
            .replace("1.0", "1");
        assert_eq!(text, expected.trim_end());
        let text = run("replace", "cell-1", "code", "y").unwrap();
        assert!(
            text.contains("\"cell_type\": \"code\",\n   \"metadata\": {},\n   \"source\": \"y\"")
        );
    }

    #[test]
    fn cells_come_and_go() {
        let text = run("insert", "aa", "markdown", "new").unwrap();
        let at = |what: &str| text.find(what).unwrap();
        assert!(at("print(1)") < at("\"new\"") && at("\"new\"") < at("\"hi\""));
        assert!(run("insert", "", "code", "new").unwrap().find("\"new\"") < text.find("print(1)"));
        let text = run("delete", "1", "", "").unwrap();
        assert!(!text.contains("hi") && text.contains("print"));
    }

    #[test]
    fn indentation_is_no_bomb() {
        let deep = format!(
            "{}{}{}",
            "[".repeat(100),
            vec!["1"; 400_000].join(","),
            "]".repeat(100)
        );
        let book = format!("{{\"cells\":[{{\"id\":\"aa\"}}],\"metadata\":{{\"x\":{deep}}}}}");
        let delete = Edit {
            mode: "delete",
            cell: "aa",
            kind: "",
            source: "",
        };
        assert_eq!(edit(&book, &delete), Err(Bad::Uncertain));
        assert!(edit(&book.replacen("1,", "", 399_900), &delete).is_ok());
    }

    #[test]
    fn what_does_not_follow_is_not_told() {
        assert_eq!(run("replace", "zz", "", "x"), Err(Bad::NotSuch));
        assert_eq!(run("delete", "7", "", ""), Err(Bad::NotSuch));
        let newer = BOOK.replace("\"nbformat_minor\": 4", "\"nbformat_minor\": 5");
        let insert = Edit {
            mode: "insert",
            cell: "aa",
            kind: "code",
            source: "x",
        };
        assert_eq!(edit(&newer, &insert), Err(Bad::Uncertain));
        let odd = BOOK.replace("1.5", "1e300");
        assert_eq!(
            edit(
                &odd,
                &Edit {
                    mode: "delete",
                    ..insert
                }
            ),
            Err(Bad::Uncertain)
        );
        assert_eq!(edit("[1]", &insert), Err(Bad::NotSuch));
        assert_eq!(edit("not json", &insert), Err(Bad::NotSuch));
    }
}
