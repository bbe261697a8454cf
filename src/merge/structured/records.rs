//! Files of records, one a line: JSON lines and logs.
//!
//! Records with an id of their own (`id`, `uuid`, ...) are merged by it. Others are a sequence that only grows: what both sides
//! appended is kept, ours first, and what both begin or end their additions with is kept once.

use std::collections::HashMap;

use super::json::{Doc, IDS, Shape};

/// Merges three files of JSON lines; `None` where neither rule holds.
#[must_use]
pub(in crate::merge) fn json_lines(base: &[u8], ours: &[u8], theirs: &[u8]) -> Option<Vec<u8>> {
    by_id(base, ours, theirs).or_else(|| appended(base, ours, theirs))
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|b| *b == b'\n').collect()
}

/// The records of a file by id.
struct Records<'a> {
    order: Vec<(String, &'a [u8])>,
    at: HashMap<String, usize>,
}

impl<'a> Records<'a> {
    /// `None` unless every line is an object with an id of its own in `field`.
    fn read(text: &'a [u8], field: &str) -> Option<Self> {
        let mut order = Vec::new();
        let mut at = HashMap::new();
        for line in lines(text) {
            if line.trim_ascii().is_empty() {
                return None;
            }
            let doc = Doc::parse(std::str::from_utf8(line).ok()?)?;
            let id = doc.root.get(field)?;
            if id.shape != Shape::Scalar || id.text == "null" {
                return None;
            }
            let id = id.canonical();
            if at.insert(id.clone(), order.len()).is_some() {
                return None;
            }
            order.push((id, line));
        }
        Some(Self { order, at })
    }

    fn get(&self, id: &str) -> Option<&'a [u8]> {
        let at = *self.at.get(id)?;
        self.order.get(at).map(|(_, line)| line.trim_ascii_end())
    }
}

/// By id. `None` if both changed a record, or one deleted what the other changed.
fn by_id(base: &[u8], ours: &[u8], theirs: &[u8]) -> Option<Vec<u8>> {
    let [b, o, t] = IDS.iter().find_map(|field| {
        let read = |text| Records::read(text, field);
        Some([read(base)?, read(ours)?, read(theirs)?])
    })?;
    let mut kept: Vec<&[u8]> = Vec::new();
    let one = |id: &str| -> Option<Option<&[u8]>> {
        let row = [b.get(id), o.get(id), t.get(id)];
        crate::merge::trees::three(Some(&row[0]), &row[1], &row[2])
    };
    for (id, _) in &o.order {
        kept.extend(one(id)?);
    }
    for (id, _) in t.order.iter().filter(|(id, _)| !o.at.contains_key(id)) {
        kept.extend(one(id)?);
    }
    let crlf = ours.windows(2).any(|w| w == b"\r\n");
    let eol: &[u8] = if crlf { b"\r\n" } else { b"\n" };
    let mut out = kept.join(eol);
    let ends = |t: &[u8]| t.is_empty() || t.ends_with(b"\n");
    if !out.is_empty() && (ends(ours) || ends(theirs)) {
        out.extend_from_slice(eol);
    }
    Some(out)
}

/// What both appended, ours first. `None` unless both only appended.
#[must_use]
pub(in crate::merge) fn appended(base: &[u8], ours: &[u8], theirs: &[u8]) -> Option<Vec<u8>> {
    // A last line without an end may have been written on.
    if !base.is_empty() && !base.ends_with(b"\n") {
        return None;
    }
    let (o, t) = (ours.strip_prefix(base)?, theirs.strip_prefix(base)?);
    let (o, t) = (lines(o), lines(t));
    let head = o.iter().zip(&t).take_while(|(a, b)| a == b).count();
    let (more, rest) = (&o[head..], &t[head..]);
    let tail = more
        .iter()
        .rev()
        .zip(rest.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let mut out = base.to_vec();
    let own = &more[..more.len() - tail];
    for line in o[..head].iter().chain(own).chain(rest) {
        if !out.is_empty() && !out.ends_with(b"\n") {
            out.push(b'\n');
        }
        out.extend_from_slice(line);
    }
    Some(out)
}

/// The lines of all, each once and sorted: for files whose order says nothing, as `go.sum`. What one side removed is gone.
#[must_use]
pub(in crate::merge) fn union(base: &[u8], ours: &[u8], theirs: &[u8]) -> Vec<u8> {
    let set = |text| -> std::collections::BTreeSet<&[u8]> {
        lines(text)
            .into_iter()
            .map(<[u8]>::trim_ascii_end)
            .filter(|l| !l.is_empty())
            .collect()
    };
    let (b, o, t) = (set(base), set(ours), set(theirs));
    let mut out = Vec::new();
    for line in o.union(&t) {
        // Still on both sides, or added by one.
        if !b.contains(line) || (o.contains(line) && t.contains(line)) {
            out.extend_from_slice(line);
            out.push(b'\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn shown(text: Option<Vec<u8>>) -> String {
        String::from_utf8(text.unwrap()).unwrap()
    }

    #[test]
    fn records_by_id() {
        let base = b"{\"id\":1,\"v\":1}\n{\"id\":2,\"v\":2}\n";
        let ours = b"{\"id\":1,\"v\":9}\n{\"id\":2,\"v\":2}\n{\"id\":3}\n";
        let theirs = b"{\"id\":1,\"v\":1}\n{\"id\":4}\n";
        assert_eq!(
            shown(json_lines(base, ours, theirs)),
            "{\"id\":1,\"v\":9}\n{\"id\":3}\n{\"id\":4}\n"
        );
        let torn = b"{\"id\":1,\"v\":8}\n{\"id\":2,\"v\":2}\n";
        assert!(
            json_lines(base, ours, torn).is_none(),
            "both changed record 1"
        );
    }

    #[test]
    fn what_both_appended_is_kept() {
        assert_eq!(shown(appended(b"a\n", b"a\no\n", b"a\nt\n")), "a\no\nt\n");
        assert_eq!(
            shown(appended(b"a\n", b"a\nx\no\n", b"a\nx\nt")),
            "a\nx\no\nt"
        );
        assert_eq!(shown(appended(b"a\n", b"a\no", b"a\nt\n")), "a\no\nt\n");
        assert!(appended(b"a\n", b"b\n", b"a\nt\n").is_none());
    }

    #[test]
    fn a_set_has_each_line_once() {
        assert_eq!(
            String::from_utf8(union(b"b\nd\n", b"a\nb\nd\n", b"b\nc\n")).unwrap(),
            "a\nb\nc\n"
        );
    }
}
