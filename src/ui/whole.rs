//! Long texts: the first 64 KiB come with their step, the rest is read part by part when it is asked for.
//!
//! Parts are kept as bytes by the text's id and put together before they become characters, so that it does not matter
//! where they were cut.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::engine::api::{Request, TextPart};
use crate::model::BlobId;

use super::app::App;
use super::cache::Cache;
use super::msg::{Effect, Tag};

/// Bytes of a text that come with its step, and that are read at a time.
const FIRST: u64 = 64 << 10;

/// Most bytes of a text that are read at a time.
const MOST: u64 = 4 << 20;

/// The arguments of a call by name. Of a text that was cut what is there counts.
pub(crate) fn object(text: &str, cut: bool) -> Option<Map<String, Value>> {
    if let Ok(map) = serde_json::from_str(text) {
        return Some(map);
    }
    if !cut {
        return None;
    }
    // It ends within a string, most likely: perhaps in the middle of an escape.
    let text = text.trim_end_matches('\\');
    ["\"}", "}", "\"]}", "\"}]}", "\"}}", "]}"]
        .iter()
        .find_map(|end| serde_json::from_str(&format!("{text}{end}")).ok())
}

/// A text as far as it was read.
pub(crate) struct Whole<'a> {
    pub text: Cow<'a, str>,
    /// How many bytes of it that is.
    pub end: u64,
}

impl<'a> Whole<'a> {
    /// What is there of a text.
    pub(crate) fn of(part: &'a TextPart, more: &Cache<BlobId, Arc<Vec<u8>>>) -> Self {
        let (head, end) = beginning(part);
        let Some(more) = more.peek(&part.blob) else {
            let text = if end < part.len { head } else { &part.text };
            return Self {
                text: Cow::Borrowed(text),
                end,
            };
        };
        let end = end + more.len() as u64;
        let mut text = head.to_owned();
        text.push_str(&String::from_utf8_lossy(more));
        if end < part.len {
            // Half a character is not shown before its other half is there.
            let kept = text.trim_end_matches(char::REPLACEMENT_CHARACTER).len();
            text.truncate(kept);
        }
        Self {
            text: Cow::Owned(text),
            end,
        }
    }
}

/// The first part of a text without half a character at its end, and how many bytes that is.
fn beginning(part: &TextPart) -> (&str, u64) {
    if part.len <= FIRST {
        return (&part.text, part.len);
    }
    let head = part.text.trim_end_matches(char::REPLACEMENT_CHARACTER);
    if head.contains(char::REPLACEMENT_CHARACTER) {
        // Bytes that are no text were replaced by other numbers of bytes: the length is what is always sent.
        return (head, FIRST.min(part.len));
    }
    (head, head.len() as u64)
}

/// Asks for more of the text whose end is nearest below what is on the screen.
pub(crate) fn ask_more(app: &mut App, times: usize, out: &mut Vec<Effect>) {
    let doc = &app.detail;
    let below = doc.doc.more.iter().find(|(line, ..)| *line >= doc.scroll);
    let Some((_, blob, from)) = below.or(doc.doc.more.last()).copied() else {
        return;
    };
    if app.asked_more.is_some() {
        return;
    }
    app.asked_more = Some(blob);
    let len = FIRST.saturating_mul(times as u64).min(MOST);
    let request = Request::Blob {
        id: blob,
        offset: from,
        len,
    };
    out.push(Effect::Ask(None, Tag::More(blob, from), request));
}

/// More of a text came.
pub(crate) fn more_came(app: &mut App, blob: BlobId, from: u64, bytes: &[u8]) {
    let before = app.shelf.more.peek(&blob);
    let known = app
        .detail
        .doc
        .more
        .iter()
        .any(|m| (m.1, m.2) == (blob, from));
    if !known {
        return;
    }
    let mut all = before.map(|b| b.as_ref().clone()).unwrap_or_default();
    all.extend_from_slice(bytes);
    app.shelf.more.put(blob, Arc::new(all));
    app.shelf.version += 1;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn part(whole: &[u8]) -> TextPart {
        let first = &whole[..whole.len().min(64 << 10)];
        TextPart {
            blob: BlobId::of(whole),
            len: whole.len() as u64,
            text: String::from_utf8_lossy(first).into_owned(),
        }
    }

    /// Reads on until nothing is left; gives what is shown then, and how often it read.
    fn read(whole: &[u8]) -> (String, usize) {
        let part = part(whole);
        let mut more: Cache<BlobId, Arc<Vec<u8>>> = Cache::new(4);
        for reads in 0..100 {
            let now = Whole::of(&part, &more);
            if now.end >= part.len {
                return (now.text.into_owned(), reads);
            }
            let from = usize::try_from(now.end).unwrap();
            let to = whole.len().min(from + (64 << 10));
            let mut all = more
                .peek(&part.blob)
                .map(|a| a.as_ref().clone())
                .unwrap_or_default();
            all.extend_from_slice(&whole[from..to]);
            more.put(part.blob, Arc::new(all));
        }
        (String::new(), usize::MAX)
    }

    #[test]
    fn parts_make_the_whole_wherever_they_are_cut() {
        for text in [
            "x".repeat(10),
            "x".repeat(200_000),
            "ä日😀".repeat(30_000),
            format!("a{}", "😀".repeat(50_000)),
        ] {
            let (shown, reads) = read(text.as_bytes());
            assert!(shown == text, "{} bytes", text.len());
            assert!(reads <= text.len() / (64 << 10) + 1);
        }
        // Bytes that are no text: nothing is lost, nothing goes on for ever.
        let (shown, reads) = read(&[0xff; 150_000]);
        assert_eq!(shown.chars().count(), 150_000);
        assert!(reads < 4);
    }

    #[test]
    fn arguments_that_were_cut_are_told_as_far_as_they_go() {
        let map = object(r#"{"path":"a.rs","content":"fn main() {\n  x"#, true).unwrap();
        assert_eq!(map["content"], "fn main() {\n  x");
        assert!(object(r#"{"a":"b\"#, true).is_some());
        assert!(object(r#"{"edits":[{"old":"x"#, true).is_some());
        assert!(object("{\"a\":", false).is_none());
        assert!(object("plain", true).is_none());
    }
}
