//! Cuts a source into records: lines, and JSON values glued on one line; fed in pieces, as a file is read or grows.
//!
//! Nothing is lost: what is no JSON is a record as well. Memory holds one line at most beside the piece that is fed, and
//! nothing is allocated by a length that the source claims.

use serde::Deserialize as _;
use serde_json::value::RawValue;

use super::event::{Record, Span};

/// Cuts one file.
#[derive(Debug, Default)]
pub struct Cutter {
    file: u16,
    /// Where `rest` begins.
    offset: u64,
    /// The beginning of a line whose end has not come.
    rest: Vec<u8>,
}

impl Cutter {
    /// For the file of that number, from a byte at which a line begins.
    #[must_use]
    pub fn new(file: u16, offset: u64) -> Self {
        Self {
            file,
            offset,
            rest: Vec::new(),
        }
    }

    /// Where the next byte to be fed lies.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.offset + self.rest.len() as u64
    }

    /// The beginning of a line that has no end yet.
    #[must_use]
    pub fn torn(&self) -> &[u8] {
        &self.rest
    }

    /// Takes the next bytes and gives the records of all lines that end in them.
    pub fn feed(&mut self, mut bytes: &[u8], give: &mut dyn FnMut(Record<'_>)) {
        if !self.rest.is_empty() {
            let Some(end) = memchr::memchr(b'\n', bytes) else {
                self.rest.extend_from_slice(bytes);
                return;
            };
            self.rest.extend_from_slice(&bytes[..end]);
            let whole = std::mem::take(&mut self.rest);
            line(&whole, self.file, self.offset, give);
            self.offset += whole.len() as u64 + 1;
            bytes = &bytes[end + 1..];
        }
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            line(
                &bytes[begin..end],
                self.file,
                self.offset + begin as u64,
                give,
            );
            begin = end + 1;
        }
        self.offset += begin as u64;
        self.rest.extend_from_slice(&bytes[begin..]);
    }

    /// The source has ended: gives the last line, which may be torn.
    pub fn finish(&mut self, give: &mut dyn FnMut(Record<'_>)) {
        let rest = std::mem::take(&mut self.rest);
        line(&rest, self.file, self.offset, give);
        self.offset += rest.len() as u64;
    }
}

/// Cuts a whole source at once.
pub fn lines(bytes: &[u8], file: u16, offset: u64, give: &mut dyn FnMut(Record<'_>)) {
    let mut begin = 0;
    for end in memchr::memchr_iter(b'\n', bytes).chain([bytes.len()]) {
        line(&bytes[begin..end], file, offset + begin as u64, give);
        begin = end + 1;
    }
}

/// The records of one line: none of an empty one, several where values are glued.
fn line(bytes: &[u8], file: u16, offset: u64, give: &mut dyn FnMut(Record<'_>)) {
    let begin = bytes.iter().position(|b| !b.is_ascii_whitespace());
    let Some(begin) = begin else { return };
    let end = bytes
        .iter()
        .rposition(|b| !b.is_ascii_whitespace())
        .map_or(begin, |i| i + 1);
    let mut one = |from: usize, to: usize| {
        // A record of 4 GiB is no record of an agent: its beginning is looked at.
        let len = u32::try_from(to - from).unwrap_or(u32::MAX);
        give(Record {
            bytes: &bytes[from..from + len as usize],
            span: Span {
                file,
                offset: offset + from as u64,
                len,
            },
            tag: "",
        });
    };
    let bytes_in = &bytes[begin..end];
    // Only where one value may end and another begin is it worth to look closer: the same two characters also stand in
    // texts.
    if memchr::memmem::find(bytes_in, b"}{").is_none()
        && memchr::memmem::find(bytes_in, b"} {").is_none()
    {
        one(begin, end);
        return;
    }
    let mut values = serde_json::Deserializer::from_slice(bytes_in).into_iter::<&RawValue>();
    let mut last = 0;
    while let Some(value) = values.next() {
        let Ok(value) = value else { break };
        let to = values.byte_offset();
        one(begin + to - value.get().len(), begin + to);
        last = to;
    }
    let rest = &bytes_in[last..];
    if let Some(skip) = rest.iter().position(|b| !b.is_ascii_whitespace()) {
        one(begin + last + skip, end);
    }
}

/// Whether bytes are exactly one JSON value.
#[must_use]
pub fn is_json(bytes: &[u8]) -> bool {
    let mut d = serde_json::Deserializer::from_slice(bytes);
    serde::de::IgnoredAny::deserialize(&mut d).is_ok() && d.end().is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn cut(bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut out = Vec::new();
        lines(bytes, 0, 0, &mut |r| {
            assert_eq!(r.bytes.len(), r.span.len as usize);
            out.push((r.span.offset, r.bytes.to_vec()));
        });
        out
    }

    fn text(bytes: &[u8]) -> Vec<String> {
        cut(bytes)
            .into_iter()
            .map(|(_, b)| String::from_utf8(b).unwrap())
            .collect()
    }

    #[test]
    fn lines_glued_values_and_torn_ends() {
        assert_eq!(
            text(b"{\"a\":1}\n\n  {\"b\":2}  \r\n{\"c\":\"}{\"}{\"d\":4} {\"e\":5}\n{\"f\":"),
            [
                r#"{"a":1}"#,
                r#"{"b":2}"#,
                r#"{"c":"}{"}"#,
                r#"{"d":4}"#,
                r#"{"e":5}"#,
                r#"{"f":"#
            ]
        );
        assert_eq!(text(b"{\"a\":1}{oops"), [r#"{"a":1}"#, "{oops"]);
        assert_eq!(text(b"no }{ json"), ["no }{ json"]);
        assert!(is_json(b" {\"a\":[1,2]} ") && !is_json(b"{}{}") && !is_json(b"{"));
    }

    proptest! {
        #[test]
        fn fed_in_pieces_it_is_the_same(
            parts in proptest::collection::vec(prop_oneof![
                Just("{\"k\":\"v\"}".to_owned()), Just("}{".to_owned()), Just("\n".to_owned()),
                Just("{\"x\":\"}{\"}".to_owned()), Just(" ".to_owned()), ".{0,5}",
            ], 0..30),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
        ) {
            let bytes = parts.concat().into_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|i| i.index(bytes.len() + 1)).collect();
            at.sort_unstable();
            let mut cutter = Cutter::new(0, 0);
            let mut out = Vec::new();
            let mut give = |r: Record<'_>| out.push((r.span.offset, r.bytes.to_vec()));
            let mut from = 0;
            for to in at.into_iter().chain([bytes.len()]) {
                cutter.feed(&bytes[from..to], &mut give);
                from = to;
            }
            cutter.finish(&mut give);
            for (offset, b) in &out {
                let from = *offset as usize;
                prop_assert_eq!(&bytes[from..from + b.len()], b.as_slice());
            }
            prop_assert_eq!(out, cut(&bytes));
        }
    }
}
