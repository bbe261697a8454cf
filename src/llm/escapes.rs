//! Texts within texts: the arguments of a call are JSON, in which a file's lines and quotes are escaped, and a file may hold
//! JSON again. Secrets are looked for in each of these as it is meant, and taken out where they stand.
//!
//! Read loosely, since what is recorded may be cut anywhere: whatever looks like an escape is read as one.

use std::ops::Range;

/// How deep texts lie in each other.
const DEEP: usize = 3;

/// A text as it reads without its escapes, with where each of its bytes is from.
pub(super) struct Meant {
    pub(super) text: String,
    from: Vec<usize>,
}

impl Meant {
    /// Where a part of it stands in the text that it is from.
    pub(super) fn back(&self, at: &Range<usize>) -> Range<usize> {
        let place = |n: usize| self.from.get(n).copied().unwrap_or_default();
        place(at.start)..place(at.end)
    }
}

/// What a text means when its escapes are read once, twice, ...; nothing where it has none.
pub(super) fn meant(text: &str) -> Vec<Meant> {
    let mut out: Vec<Meant> = Vec::new();
    while out.len() < DEEP {
        let (now, before) = match out.last() {
            Some(last) => (last.text.as_str(), Some(&last.from)),
            None => (text, None),
        };
        let Some(next) = once(now, before) else { break };
        out.push(next);
    }
    out
}

fn once(text: &str, before: Option<&Vec<usize>>) -> Option<Meant> {
    text.contains('\\').then_some(())?;
    let from_of = |n: usize| before.map_or(n, |b| b.get(n).copied().unwrap_or_default());
    let mut out = String::with_capacity(text.len());
    let mut from = Vec::with_capacity(text.len() + 1);
    let mut changed = false;
    let mut at = 0;
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let (read, len) = match escape(text.as_bytes().get(at..).unwrap_or_default()) {
            Some(found) => {
                changed = true;
                found
            }
            None => (c, c.len_utf8()),
        };
        out.push(read);
        from.resize(out.len(), from_of(at));
        at += len;
    }
    from.push(from_of(at));
    changed.then_some(Meant { text: out, from })
}

/// The character that an escape at the beginning stands for, and how long it is.
fn escape(bytes: &[u8]) -> Option<(char, usize)> {
    let [b'\\', kind, rest @ ..] = bytes else {
        return None;
    };
    Some(match kind {
        b'n' => ('\n', 2),
        b'r' => ('\r', 2),
        b't' => ('\t', 2),
        b'"' | b'\'' | b'\\' | b'/' => (char::from(*kind), 2),
        b'u' => {
            let hex = std::str::from_utf8(rest.get(..4)?).ok()?;
            let code = u32::from_str_radix(hex, 16).ok()?;
            (char::from_u32(code).unwrap_or('\u{fffd}'), 6)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn each_depth_is_read_and_leads_back() {
        let text = r#"{"c":"é\n{\"p\": \"a\\nb\u0041\"}"}"#;
        let all = meant(text);
        assert_eq!(all[0].text, "{\"c\":\"é\n{\"p\": \"a\\nbA\"}\"}");
        assert_eq!(all[1].text, "{\"c\":\"é\n{\"p\": \"a\nbA\"}\"}");
        assert_eq!(all.len(), 2);
        let at = all[1].text.find("a\nbA").unwrap();
        assert_eq!(&text[all[1].back(&(at..at + 4))], r"a\\nb\u0041");
        let whole = all[0].back(&(0..all[0].text.len()));
        assert_eq!(&text[whole], text);
        assert!(meant("plain").is_empty() && meant(r"\d \u12").is_empty());
    }
}
