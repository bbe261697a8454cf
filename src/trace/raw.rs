//! Reading JSON that others wrote without believing it: fields by type when they have it, ranges of a document's values.
//!
//! * A field of another type than expected is worth nothing; it never spoils its record. So records are read into
//!   structs of `Option<&RawValue>`, and each field is taken with the functions here.
//! * Strings are borrowed where they hold no escape. Escapes that are no text (lone surrogates) become U+FFFD.
//! * [`members`] and [`elements`] find values in a document that may be cut off. They keep no stack and copy nothing, so
//!   neither depth nor size of hostile input matters.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::event::{Body, Event, Out};
use crate::model::Time;

/// A field as it lies in its record.
pub(super) type Field<'a> = Option<&'a RawValue>;

#[derive(Deserialize)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

/// The string, if it is one.
pub(super) fn string<'a>(field: Field<'a>) -> Option<Cow<'a, str>> {
    let text = field?.get();
    if !text.starts_with('"') {
        return None;
    }
    Some(match serde_json::from_str::<Borrowed<'a>>(text) {
        Ok(Borrowed(s)) => s,
        Err(_) => Cow::Owned(lossy(text)),
    })
}

/// The string; nothing for `null` and for no field, the JSON text for anything else.
pub(super) fn text<'a>(field: Field<'a>) -> Cow<'a, str> {
    match field {
        None => Cow::Borrowed(""),
        Some(raw) => match string(field) {
            Some(s) => s,
            None if raw.get() == "null" => Cow::Borrowed(""),
            None => Cow::Borrowed(raw.get()),
        },
    }
}

/// The string as an owned one; empty if it is none.
pub(super) fn owned(field: Field<'_>) -> String {
    string(field).map_or_else(String::new, Cow::into_owned)
}

/// The number, if it is one.
pub(super) fn number(field: Field<'_>) -> Option<f64> {
    serde_json::from_str(field?.get()).ok()
}

/// The number as a count; 0 if it is none.
pub(super) fn count(field: Field<'_>) -> u64 {
    let Some(raw) = field else { return 0 };
    serde_json::from_str(raw.get()).unwrap_or_else(|_| {
        let n = number(field).unwrap_or(0.0);
        // Some writers count in floats; what is negative or absurd counts nothing.
        if (0.0..1e15).contains(&n) {
            n as u64
        } else {
            0
        }
    })
}

/// Whether it is `true`.
pub(super) fn truth(field: Field<'_>) -> bool {
    field.is_some_and(|raw| raw.get() == "true")
}

/// An object read into `T`, if it is one.
pub(super) fn object<'a, T: Deserialize<'a>>(field: Field<'a>) -> Option<T> {
    let text = field?.get();
    if text.starts_with('{') {
        serde_json::from_str(text).ok()
    } else {
        None
    }
}

/// The elements, if it is an array.
pub(super) fn list<'a>(field: Field<'a>) -> Vec<&'a RawValue> {
    match field {
        Some(raw) if raw.get().starts_with('[') => {
            serde_json::from_str(raw.get()).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// An RFC 3339 text, or a number of milliseconds.
pub(super) fn time(field: Field<'_>) -> Option<Time> {
    let raw = field?.get();
    if let Some(rest) = raw.strip_prefix('"') {
        return Time::parse(rest.strip_suffix('"')?);
    }
    let ms = number(field)?;
    (ms.abs() < 1e14 && ms != 0.0).then_some(Time((ms * 1000.0) as i64))
}

/// The text of a message: a string, or an array of parts of which those with a `text` count.
pub(super) fn message<'a>(field: Field<'a>) -> Cow<'a, str> {
    if field.is_some_and(|raw| raw.get().starts_with('[')) {
        let texts = list(field).into_iter().map(|part| {
            string(Some(part))
                .or_else(|| {
                    let part: TextPart<'a> = object(Some(part))?;
                    string(part.text)
                })
                .unwrap_or_default()
        });
        return join(texts, "\n");
    }
    if let Some(part) = object::<TextPart<'a>>(field)
        && let Some(text) = string(part.text)
    {
        return text;
    }
    text(field)
}

#[derive(Deserialize)]
struct TextPart<'a> {
    #[serde(borrow, default)]
    text: Field<'a>,
}

/// The texts that are not empty, one after the other; borrowed where there is but one.
pub(super) fn join<'a>(texts: impl Iterator<Item = Cow<'a, str>>, between: &str) -> Cow<'a, str> {
    let mut all: Cow<'a, str> = Cow::Borrowed("");
    for text in texts.filter(|t| !t.is_empty()) {
        if all.is_empty() {
            all = text;
        } else {
            let all = all.to_mut();
            all.push_str(between);
            all.push_str(&text);
        }
    }
    all
}

/// Whether the bytes hold this text.
pub(super) fn has(bytes: &[u8], needle: &str) -> bool {
    memchr::memmem::find(bytes, needle.as_bytes()).is_some()
}

/// How many bytes this much base64 stands for.
pub(super) fn base64_size(encoded: &str) -> u64 {
    let len = encoded.trim_end_matches('=').len() as u64;
    len * 3 / 4
}

/// The number that stands after the last `marker` in the text.
pub(super) fn number_after(text: &str, marker: &str) -> Option<i32> {
    let rest = &text[text.rfind(marker)? + marker.len()..];
    let rest = rest.trim_start();
    let digits = rest
        .char_indices()
        .find(|(at, c)| !(c.is_ascii_digit() || (*at == 0 && *c == '-')))
        .map_or(rest.len(), |(at, _)| at);
    rest[..digits].parse().ok()
}

/// Longest id. What is longer is no id: it is cut, for it may be kept with each of a record's events.
const LONGEST_ID: usize = 512;

/// Cuts an id that is too long.
pub(super) fn cut(id: &mut String) {
    if id.len() > LONGEST_ID {
        let end = (0..=LONGEST_ID).rev().find(|at| id.is_char_boundary(*at));
        id.truncate(end.unwrap_or(0));
    }
}

/// Gives a record's events, each with the next part and what they have in common.
pub(super) struct Teller<'a, 'o> {
    out: &'o mut Out<'a>,
    next: u16,
    /// What the events have in common.
    pub common: Event<'a>,
}

impl<'a, 'o> Teller<'a, 'o> {
    pub(super) fn new(out: &'o mut Out<'a>) -> Self {
        Self {
            out,
            next: 0,
            common: Event::new(0, Body::Link),
        }
    }

    /// One event. A record with more of them than there are numbers ends there.
    pub(super) fn say(&mut self, body: Body<'a>) {
        let time = self.common.time;
        self.say_at(time, body);
    }

    /// One event at another time than the record's.
    pub(super) fn say_at(&mut self, time: Option<Time>, body: Body<'a>) {
        if self.next == u16::MAX {
            return;
        }
        let common = &mut self.common;
        for id in [
            Some(&mut common.native),
            common.parent.as_mut(),
            Some(&mut common.thread),
            Some(&mut common.answer),
        ] {
            // What is borrowed costs nothing, however often.
            if let Some(Cow::Owned(id)) = id {
                cut(id);
            }
        }
        let mut event = self.common.clone();
        event.part = self.next;
        event.time = time.or(self.common.time);
        event.body = body;
        self.next += 1;
        self.out.events.push(event);
    }

    /// A record that is not understood.
    pub(super) fn unknown(&mut self, name: impl Into<Cow<'a, str>>) {
        self.say(Body::Unknown { name: name.into() });
    }
}

/// What a record that is no JSON object is called.
pub(super) const NOT_JSON: &str = "not JSON";

/// Most records of one document; what comes after them is not read. No agent writes as many, but hostile bytes may.
pub(super) const MOST_PIECES: usize = 1 << 20;

/// What a rewind goes to in formats that take back "this message and all after it".
pub(super) fn before<'a>(id: &str) -> Cow<'a, str> {
    Cow::Owned(format!("before:{id}"))
}

/// Decodes a JSON string as far as it goes.
fn lossy(json: &str) -> String {
    let inner = json
        .strip_prefix('"')
        .map_or(json, |s| s.strip_suffix('"').unwrap_or(s));
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let mut chars = rest[at + 1..].chars();
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let (c, after) = escaped(chars.as_str());
                out.push(c);
                rest = after;
                continue;
            }
            Some(c) => out.push(c),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out
}

/// The character of a `\u` escape whose digits begin here, and what follows it.
fn escaped(text: &str) -> (char, &str) {
    let unit = |s: &str| s.get(..4).and_then(|h| u32::from_str_radix(h, 16).ok());
    let Some(first) = unit(text) else {
        return (char::REPLACEMENT_CHARACTER, text);
    };
    let after = &text[4..];
    if (0xd800..0xdc00).contains(&first)
        && let Some(low) = after.strip_prefix("\\u")
        && let Some(second) = unit(low)
        && (0xdc00..0xe000).contains(&second)
        && let Some(c) = char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
    {
        return (c, &low[4..]);
    }
    (
        char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER),
        after,
    )
}

/// Where the first value of a document begins: after a byte order mark and anything that is said before it.
pub(super) fn start(bytes: &[u8]) -> Option<usize> {
    bytes
        .iter()
        .take(4096)
        .position(|b| matches!(b, b'{' | b'['))
}

/// The members of the object that begins at `at`, as (key without quotes, value). Ends at the object's end, where the
/// document is cut off (a value that is cut off is not given), or where it is no JSON.
pub(super) fn members(bytes: &[u8], at: usize) -> impl Iterator<Item = (&[u8], Range<usize>)> {
    let mut pos = (bytes.get(at) == Some(&b'{')).then_some(at + 1);
    std::iter::from_fn(move || {
        let from = skip(bytes, pos?, b",");
        if bytes.get(from) != Some(&b'"') {
            pos = None;
            return None;
        }
        let found = (|| {
            let key_end = value_end(bytes, from)?;
            let colon = skip(bytes, key_end, b"");
            if bytes.get(colon) != Some(&b':') {
                return None;
            }
            let value = skip(bytes, colon + 1, b"");
            Some((
                &bytes[from + 1..key_end - 1],
                value,
                value_end(bytes, value),
            ))
        })();
        match found {
            Some((key, value, Some(end))) if end > value => {
                pos = Some(end);
                Some((key, value..end))
            }
            _ => {
                pos = None;
                None
            }
        }
    })
}

/// The key of the last member of the object at `at` and where its value begins, if the document is cut off within it.
pub(super) fn open_member(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let last = members(bytes, at).last().map_or(at + 1, |(_, r)| r.end);
    let from = skip(bytes, last, b",");
    if bytes.get(from) != Some(&b'"') {
        return None;
    }
    let key_end = value_end(bytes, from)?;
    let colon = skip(bytes, key_end, b"");
    if bytes.get(colon) != Some(&b':') {
        return None;
    }
    let value = skip(bytes, colon + 1, b"");
    (value < bytes.len()).then_some((&bytes[from + 1..key_end - 1], value))
}

/// The elements of the array that begins at `at`, with the same rules.
pub(super) fn elements(bytes: &[u8], at: usize) -> impl Iterator<Item = Range<usize>> {
    let mut pos = (bytes.get(at) == Some(&b'[')).then_some(at + 1);
    std::iter::from_fn(move || {
        let from = skip(bytes, pos?, b",");
        pos = value_end(bytes, from).filter(|end| *end > from);
        pos.map(|end| from..end)
    })
}

fn skip(bytes: &[u8], mut at: usize, also: &[u8]) -> usize {
    while bytes
        .get(at)
        .is_some_and(|b| b.is_ascii_whitespace() || also.contains(b))
    {
        at += 1;
    }
    at
}

/// Where the value that begins at `at` ends; `None` if the document ends first.
pub(super) fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut i = at;
    while let Some(&b) = bytes.get(i) {
        match b {
            b'"' => {
                i = string_end(bytes, i)?;
                if depth == 0 {
                    return Some(i);
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                if depth == 0 {
                    return Some(i);
                }
                depth -= 1;
                if depth == 0 {
                    return Some(i + 1);
                }
            }
            b',' if depth == 0 => return Some(i),
            b if depth == 0 && b.is_ascii_whitespace() => return Some(i),
            _ => {}
        }
        i += 1;
    }
    None
}

fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut i = at + 1;
    loop {
        match bytes.get(i)? {
            b'"' => return Some(i + 1),
            b'\\' => i += 2,
            _ => i += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )]
    use super::*;
    use proptest::prelude::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn fields_by_type() {
        assert_eq!(string(Some(&raw("\"a\\n\""))).unwrap(), "a\n");
        assert_eq!(string(Some(&raw("3"))), None);
        assert_eq!(text(Some(&raw("{\"a\":1}"))), "{\"a\":1}");
        assert_eq!(text(Some(&raw("null"))), "");
        assert_eq!(count(Some(&raw("12.0"))), 12);
        assert_eq!(count(Some(&raw("-3"))), 0);
        assert_eq!(count(Some(&raw("1e300"))), 0);
        assert_eq!(
            message(Some(&raw(
                r#"[{"type":"text","text":"a"},{"x":1},"b",{"text":"c"}]"#
            ))),
            "a\nb\nc"
        );
        assert_eq!(message(Some(&raw(r#"{"text":"c"}"#))), "c");
        assert_eq!(
            time(Some(&raw("1773380333273"))),
            Time::parse("2026-03-13T05:38:53.273Z")
        );
        assert_eq!(
            time(Some(&raw("\"2026-03-13T05:38:53.273Z\""))),
            Time::parse("2026-03-13T05:38:53.273Z")
        );
        assert_eq!(time(Some(&raw("\"soon\""))), None);
    }

    #[test]
    fn ids_that_are_none() {
        let mut out = Out::default();
        let mut tell = Teller::new(&mut out);
        tell.common.native = Cow::Owned("é".repeat(100_000));
        tell.say(Body::Link);
        assert_eq!(out.events[0].native.len(), LONGEST_ID);
        assert_eq!(
            join(["a", "", "b", "c"].map(Cow::Borrowed).into_iter(), "-"),
            "a-b-c"
        );
    }

    #[test]
    fn escapes_that_are_no_text() {
        let json = r#""a\ud800b\ud83d\ude00\u00e9\\\"""#;
        assert_eq!(string(Some(&raw(json))).unwrap(), "a\u{fffd}b😀é\\\"");
    }

    #[test]
    fn numbers_in_texts() {
        assert_eq!(number_after("x\nExit Code: 3\n", "Exit Code:"), Some(3));
        assert_eq!(
            number_after("<shellId: 0 completed with exit code -1>", "exit code"),
            Some(-1)
        );
        assert_eq!(number_after("Exit Code: (none)", "Exit Code:"), None);
    }

    #[test]
    fn values_of_a_document() {
        let doc = br#" {"a" : [1, {"b":"]}\""} ,"x"], "c":null,"d":{"e":[]}} "#;
        let at = start(doc).unwrap();
        let all: Vec<(String, String)> = members(doc, at)
            .map(|(k, r)| {
                (
                    String::from_utf8_lossy(k).into_owned(),
                    String::from_utf8_lossy(&doc[r]).into_owned(),
                )
            })
            .collect();
        assert_eq!(all[0].0, "a");
        assert_eq!(all[1], ("c".into(), "null".into()));
        assert_eq!(all[2], ("d".into(), r#"{"e":[]}"#.into()));
        let list = members(doc, at).next().unwrap().1;
        let texts: Vec<&[u8]> = elements(doc, list.start).map(|r| &doc[r]).collect();
        assert_eq!(texts.len(), 3);
        assert_eq!(texts[1], br#"{"b":"]}\""}"#);
        // Cut off within a member: it is not given whole, but its beginning is found.
        let cut = &doc[..20];
        assert_eq!(members(cut, at).count(), 0);
        assert_eq!(open_member(cut, at).unwrap().0, b"a");
        assert_eq!(elements(cut, open_member(cut, at).unwrap().1).count(), 1);
    }

    #[test]
    fn depth_does_not_matter() {
        let doc = vec![b'['; 200_000];
        assert_eq!(elements(&doc, 0).count(), 0);
        let mut whole = doc;
        whole.extend(vec![b']'; 200_000]);
        assert_eq!(elements(&whole, 0).count(), 1);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(
            prop_oneof![Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b'"'), Just(b','), Just(b':'), Just(b'\\'), any::<u8>()], 0..200)
        ) {
            for at in 0..=bytes.len().min(3) {
                for (_, r) in members(&bytes, at) { prop_assert!(r.end <= bytes.len() && r.start < r.end); }
                for r in elements(&bytes, at) { prop_assert!(r.end <= bytes.len() && r.start < r.end); }
                let _ = open_member(&bytes, at);
            }
            let _ = lossy(&String::from_utf8_lossy(&bytes));
        }
    }
}
