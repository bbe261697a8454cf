//! Which way two contents of a file are put together.
//!
//! By lines first, as git does it: where that is clean and what comes out is still what the file's name says, it stands.
//! Else the structure of the file may help (`structured`), or a rule for files of its kind.

use std::borrow::Cow;

use crate::diff::text::is_binary;
use crate::model::RepoPath;

use super::conflict::{ConflictKind, Hunk, Piece, pieces};
use super::structured::{self, Nature, json, records, toml};
use super::text;

/// How a file was put together, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    /// By lines.
    Lines,
    /// By key.
    Keys,
    /// Records by their ids, or all that both appended.
    Records,
    /// As a set of lines.
    Set,
    /// By lines, after one side had changed all line ends.
    LineEnds,
    /// By lines, but it is a lock file.
    LockLines,
}

impl How {
    /// As words of a sentence: "merged by lines".
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Lines => "by lines",
            Self::Keys => "by key",
            Self::Records => "by record",
            Self::Set => "as a set of lines",
            Self::LineEnds => "by lines, with the line ends that one side changed",
            Self::LockLines => "by lines; make it anew with its tool to be sure",
        }
    }
}

/// What became of two contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// One content, and how it came about.
    Clean(Vec<u8>, How),
    /// Parts are in conflict, or all of it (no pieces).
    Conflict(ConflictKind, Vec<Piece>),
}

/// Puts two contents of the file `path` together. Without a base both sides made the file.
#[must_use]
pub fn merge(path: &RepoPath, base: Option<&[u8]>, ours: &[u8], theirs: &[u8]) -> Outcome {
    let kind = if base.is_some() {
        ConflictKind::Content
    } else {
        ConflictKind::BothAdded
    };
    let both_added = base.is_none();
    let base = base.unwrap_or_default();
    let sides = [base, ours, theirs];
    if sides
        .iter()
        .any(|c| is_binary(c) || c.len() > text::MAX_BYTES)
    {
        return Outcome::Conflict(ConflictKind::Binary, Vec::new());
    }
    let nature = structured::nature(path);
    let merged = text::merge(base, ours, theirs);
    if let Some(text) = merged.text() {
        if is_sound(nature, &text) || ![ours, theirs].iter().all(|s| is_sound(nature, s)) {
            let how = match nature {
                Nature::Lock => How::LockLines,
                _ => How::Lines,
            };
            return Outcome::Clean(text, how);
        }
        // Put together by lines it is no longer what it was on either side: that is no merge.
        return by_nature(nature, sides, both_added).unwrap_or_else(|| whole(kind, sides));
    }
    by_nature(nature, sides, both_added)
        .or_else(|| other_ends(sides))
        .unwrap_or_else(|| Outcome::Conflict(kind, pieces(&merged)))
}

/// All of a file in conflict.
fn whole(kind: ConflictKind, [base, ours, theirs]: [&[u8]; 3]) -> Outcome {
    let hunk = Hunk {
        ours: ours.to_vec(),
        base: base.to_vec(),
        theirs: theirs.to_vec(),
        key: None,
        crlf: line_end(ours) == Some(b"\r\n"),
    };
    Outcome::Conflict(kind, vec![Piece::Hunk(hunk)])
}

fn is_sound(nature: Nature, content: &[u8]) -> bool {
    let text = || std::str::from_utf8(content).ok();
    match nature {
        Nature::Json => text().is_some_and(json::is_sound),
        Nature::Toml => text().is_some_and(toml::is_sound),
        _ => true,
    }
}

/// What the structure of the file, or a rule, gives; `None` if they do not help.
fn by_nature(nature: Nature, sides: [&[u8]; 3], both_added: bool) -> Option<Outcome> {
    let [base, ours, theirs] = sides;
    let text = |bytes| std::str::from_utf8(bytes).ok();
    match nature {
        Nature::Plain => None,
        Nature::Lock => Some(Outcome::Conflict(ConflictKind::LockFile, Vec::new())),
        Nature::Set => Some(Outcome::Clean(records::union(base, ours, theirs), How::Set)),
        Nature::Log => {
            records::appended(base, ours, theirs).map(|t| Outcome::Clean(t, How::Records))
        }
        Nature::JsonLines => {
            records::json_lines(base, ours, theirs).map(|t| Outcome::Clean(t, How::Records))
        }
        Nature::Toml => {
            let merged = toml::merge(text(base)?, text(ours)?, text(theirs)?)?;
            Some(Outcome::Clean(merged.into_bytes(), How::Keys))
        }
        Nature::Json if both_added => None,
        Nature::Json => {
            let pieces = json::merge(text(base)?, text(ours)?, text(theirs)?)?;
            match pieces.as_slice() {
                [Piece::Text(only)] if json::is_sound(text(only)?) => {
                    Some(Outcome::Clean(only.clone(), How::Keys))
                }
                [Piece::Text(_)] => None,
                _ => Some(Outcome::Conflict(ConflictKind::Content, pieces)),
            }
        }
    }
}

/// The line ends of a text, if it has only one kind.
fn line_end(text: &[u8]) -> Option<&'static [u8]> {
    let all = text.iter().filter(|b| **b == b'\n').count();
    let crlf = text.windows(2).filter(|w| w == b"\r\n").count();
    match (all, crlf) {
        (0, _) => None,
        (_, 0) => Some(b"\n"),
        (a, c) if a == c => Some(b"\r\n"),
        _ => None,
    }
}

fn with_end<'a>(text: &'a [u8], end: &[u8]) -> Cow<'a, [u8]> {
    if line_end(text).is_none_or(|e| e == end) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|b| *b == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(line) => {
                out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
                out.extend_from_slice(end);
            }
            None => out.extend_from_slice(line),
        }
    }
    Cow::Owned(out)
}

/// One side changed every line end and the other none: that is one change, not one of every line.
fn other_ends([base, ours, theirs]: [&[u8]; 3]) -> Option<Outcome> {
    let (b, o, t) = (line_end(base)?, line_end(ours)?, line_end(theirs)?);
    if o == t {
        return None;
    }
    let end = if b == o { t } else { o };
    let [base, ours, theirs] = [base, ours, theirs].map(|s| with_end(s, end));
    let merged = text::merge(&base, &ours, &theirs);
    Some(match merged.text() {
        Some(text) => Outcome::Clean(text, How::LineEnds),
        None => Outcome::Conflict(ConflictKind::Content, pieces(&merged)),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    fn merged(path: &str, base: &str, ours: &str, theirs: &str) -> Outcome {
        let path = RepoPath::try_from(path).unwrap();
        merge(
            &path,
            Some(base.as_bytes()),
            ours.as_bytes(),
            theirs.as_bytes(),
        )
    }

    fn clean(path: &str, base: &str, ours: &str, theirs: &str) -> (String, How) {
        match merged(path, base, ours, theirs) {
            Outcome::Clean(text, how) => (String::from_utf8(text).unwrap(), how),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_sides_line_ends_are_one_change() {
        assert_eq!(
            clean("f", "a\nb\nc\n", "a\r\nb\r\nc\r\n", "a\nb\nC\n"),
            ("a\r\nb\r\nC\r\n".into(), How::LineEnds)
        );
        assert_eq!(
            clean("f", "a\r\nb\r\nc\r\n", "A\r\nb\r\nc\r\n", "a\nb\nc\n"),
            ("A\nb\nc\n".into(), How::LineEnds)
        );
    }

    #[test]
    fn lines_that_merge_to_nonsense_do_not_stand() {
        // Each side adds the same key elsewhere: by lines that is clean, and the key is there twice.
        let base = "{\n\"a\": 1,\n\"b\": 1,\n\"c\": 1\n}\n";
        let ours = base.replace("\"a\"", "\"n\": 1,\n\"a\"");
        let theirs = base.replace("\"c\"", "\"n\": 1,\n\"c\"");
        assert_eq!(
            clean("f.json", base, &ours, &theirs),
            (ours.clone(), How::Keys)
        );
        let other = theirs.replace("\"n\": 1", "\"n\": 2");
        let Outcome::Conflict(_, pieces) = merged("f.json", base, &ours, &other) else {
            panic!("it must not be clean");
        };
        assert_eq!(pieces.len(), 3);
    }

    #[test]
    fn kinds_of_files() {
        let lock = merged("x/Cargo.lock", "a\n", "b\n", "c\n");
        assert_eq!(lock, Outcome::Conflict(ConflictKind::LockFile, Vec::new()));
        assert_eq!(clean("run.log", "a\n", "a\nb\n", "a\nc\n").0, "a\nb\nc\n");
        assert_eq!(clean("go.sum", "b\n", "a\nb\n", "b\nc\n").0, "a\nb\nc\n");
        assert!(matches!(
            merged("f", "a\n", "b\0", "c\n"),
            Outcome::Conflict(ConflictKind::Binary, _)
        ));
    }
}
