//! Contents at hand, and whether one can be what a record shows.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{BlobId, Known};
use crate::store::{self, Store};

use super::apply::{self, Endings};

/// So many bytes of contents are kept at hand.
const AT_HAND: usize = 24 << 20;
/// Longer lines may have been cut by the tool that showed them.
const LONG_LINE: usize = 500;

/// A part of a content that was read.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub text: String,
    pub from: usize,
    pub of: usize,
}

/// Contents at hand, by file.
#[derive(Default)]
pub(super) struct Texts {
    map: HashMap<usize, (BlobId, Arc<Vec<u8>>)>,
    bytes: usize,
}

impl Texts {
    /// The content of `file`, which is `known`.
    pub fn get(
        &mut self,
        store: &Store,
        file: usize,
        known: &Known,
    ) -> store::Result<Arc<Vec<u8>>> {
        let Some(blob) = known.blob() else {
            return Ok(Arc::default());
        };
        if let Some((id, text)) = self.map.get(&file)
            && *id == blob
        {
            return Ok(Arc::clone(text));
        }
        let text = Arc::new(store.blob(blob)?);
        self.put(file, blob, Arc::clone(&text));
        Ok(text)
    }

    pub fn put(&mut self, file: usize, blob: BlobId, text: Arc<Vec<u8>>) {
        if self.bytes + text.len() > AT_HAND {
            self.map.clear();
            self.bytes = 0;
        }
        self.bytes += text.len();
        if let Some((_, old)) = self.map.insert(file, (blob, text)) {
            self.bytes -= old.len();
        }
    }

    /// The content went to another file.
    pub fn moved(&mut self, from: usize, to: usize) {
        if let Some((blob, text)) = self.map.remove(&from) {
            self.bytes -= text.len();
            self.put(to, blob, text);
        }
    }
}

/// Whether a content is the one that a record tells. Agents see texts with plain line feeds.
pub(super) fn same(bytes: &[u8], text: &str) -> bool {
    if bytes == text.as_bytes() {
        return true;
    }
    if text.contains('\r') || apply::endings(bytes) == Endings::Lf {
        return false;
    }
    let plain = bytes
        .iter()
        .enumerate()
        .filter(|(i, b)| !(**b == b'\r' && bytes.get(i + 1) == Some(&b'\n')))
        .map(|(_, b)| b);
    plain.eq(text.as_bytes())
}

/// Whether a content can be the one that a part was read of.
pub(super) fn fits(bytes: &[u8], part: &Part) -> bool {
    let lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').map(no_return).collect();
    let count = lines.len();
    // Some count the nothing behind the last line feed as a line.
    let fewer = count - usize::from(bytes.ends_with(b"\n"));
    if part.of > 0 && part.of != count && part.of != fewer {
        return false;
    }
    if part.text.is_empty() {
        return true;
    }
    let text = part.text.strip_suffix('\n').unwrap_or(&part.text);
    let from = part.from.max(1) - 1;
    text.split('\n').enumerate().all(|(i, line)| {
        let line = no_return(line.as_bytes());
        match lines.get(from.saturating_add(i)) {
            Some(here) if line.len() > LONG_LINE => here.starts_with(&line[..LONG_LINE]),
            Some(here) => *here == line,
            None => false,
        }
    })
}

fn no_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fit_or_not() {
        let part = |text: &str, from, of| Part {
            text: text.into(),
            from,
            of,
        };
        let file = b"a\r\nb\nc\n";
        assert!(fits(file, &part("b\nc", 2, 4)));
        assert!(fits(file, &part("b\nc\n", 2, 3)));
        assert!(fits(file, &part("a", 1, 0)));
        assert!(!fits(file, &part("b", 1, 0)));
        assert!(!fits(file, &part("b\nc", 2, 5)));
        assert!(!fits(file, &part("c\nd", 3, 0)));
        assert!(!fits(file, &part("x", usize::MAX, 0)));
        assert!(fits(b"", &part("", 1, 0)));
    }

    #[test]
    fn line_endings_are_not_seen() {
        assert!(same(b"a\r\nb\r\n", "a\nb\n"));
        assert!(same(b"a\nb", "a\nb"));
        assert!(!same(b"a\nb", "a\r\nb"));
        assert!(!same(b"a\rb\r\n", "ab\n"));
    }
}
