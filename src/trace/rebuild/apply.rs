//! What an effect makes of a content: text in, text out.
//!
//! An answer is a content only when it follows from what the record says; whatever the tool might have done otherwise
//! (line endings, places that are not certain) gives [`Made::Unknown`], and a record that does not fit the content
//! gives [`Made::Misfit`]: then the content is not what we think.

use crate::trace::event::{Replacement, What};
use crate::trace::patch::{self, FilePatch};

use super::notebook;

/// A content that an edit makes is worked out up to this many bytes. A few replacements of everything by something longer
/// would else make more than any machine holds.
pub(super) const MOST: usize = 32 << 20;

/// What was there before.
#[derive(Debug, Clone, Copy)]
pub(super) enum Had<'a> {
    /// No file.
    Nothing,
    /// A file with this content.
    Bytes(&'a [u8]),
    /// Perhaps a file; its content is not known.
    Unknown,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Made {
    /// This content.
    Text(String),
    /// No file is there any more.
    Gone,
    /// A file whose content is not known.
    Unknown,
    /// The record does not fit what was there.
    Misfit,
}

/// How an agent's edit tools treat a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    /// Edits are made in the text with plain line feeds, and the file's own line endings are kept; a string that occurs
    /// more than once is refused; with a line's whole text its line feed goes too.
    pub claude: bool,
}

/// What `what` makes of `had`. `sure`: the record itself tells what was there.
pub(super) fn apply(what: &What, had: Had<'_>, manner: Manner, sure: bool) -> Made {
    match made(what, had, manner, sure) {
        // What a record holds whole is as long as the record.
        Made::Text(text) if text.len() > MOST && !is_whole(what) => Made::Unknown,
        made => made,
    }
}

fn made(what: &What, had: Had<'_>, manner: Manner, sure: bool) -> Made {
    match what {
        What::Seen(_) | What::SeenPart { .. } => Made::Misfit,
        What::Write(text) => write(text, had, manner),
        What::Patch(FilePatch::Add { content }) => Made::Text(content.clone()),
        What::Delete | What::Patch(FilePatch::Delete) => Made::Gone,
        What::Changed => Made::Unknown,
        What::Rename { change, .. } => match change {
            Some(change) => match &**change {
                // A rename within a rename says nothing more.
                What::Rename { .. } => Made::Unknown,
                change => apply(change, had, manner, sure),
            },
            None => match had {
                Had::Bytes(bytes) => match std::str::from_utf8(bytes) {
                    Ok(text) => Made::Text(text.to_owned()),
                    Err(_) => Made::Unknown,
                },
                Had::Nothing => Made::Misfit,
                Had::Unknown => Made::Unknown,
            },
        },
        What::Replace(pairs) => match had {
            Had::Bytes(bytes) => in_text(bytes, manner, |text| replace(text, pairs, manner, sure)),
            Had::Nothing | Had::Unknown if creates(what) => {
                match replace("", pairs, manner, true) {
                    Made::Misfit => Made::Unknown,
                    made => made,
                }
            }
            Had::Nothing => Made::Misfit,
            Had::Unknown => Made::Unknown,
        },
        What::Unified(diff) => match had {
            Had::Bytes(bytes) => raw(bytes, |text| patch::apply_unified(text, diff).ok()),
            Had::Nothing | Had::Unknown if creates(what) => {
                patch::apply_unified("", diff).map_or(Made::Unknown, Made::Text)
            }
            Had::Nothing => Made::Misfit,
            Had::Unknown => Made::Unknown,
        },
        What::Patch(FilePatch::Update { hunks }) => match had {
            Had::Bytes(bytes) => raw(bytes, |text| patch::apply(text, hunks).ok()),
            Had::Nothing => Made::Misfit,
            Had::Unknown => Made::Unknown,
        },
        What::Notebook {
            mode,
            cell,
            kind,
            source,
        } => match had {
            Had::Bytes(bytes) => {
                let edit = notebook::Edit {
                    mode,
                    cell,
                    kind,
                    source,
                };
                let crlf = endings(bytes) != Endings::Lf;
                match std::str::from_utf8(bytes) {
                    // How a notebook with other line endings is written is not known.
                    Ok(text) if !crlf => match notebook::edit(text, &edit) {
                        Ok(text) => Made::Text(text),
                        Err(notebook::Bad::Uncertain) => Made::Unknown,
                        Err(notebook::Bad::NotSuch) => Made::Misfit,
                    },
                    _ => Made::Unknown,
                }
            }
            Had::Nothing => Made::Misfit,
            Had::Unknown => Made::Unknown,
        },
    }
}

/// Whether the effect says by itself that no file was there.
pub(super) fn creates(what: &What) -> bool {
    match what {
        What::Patch(FilePatch::Add { .. }) => true,
        What::Replace(pairs) => pairs.first().is_some_and(|p| p.old.is_empty()),
        What::Unified(diff) => diff
            .lines()
            .find(|l| l.starts_with("@@"))
            .is_some_and(|l| l.starts_with("@@ -0,0 ")),
        _ => false,
    }
}

/// Whether the content after the effect does not depend on what was there.
pub(super) fn is_whole(what: &What) -> bool {
    matches!(
        what,
        What::Write(_) | What::Delete | What::Patch(FilePatch::Add { .. } | FilePatch::Delete)
    )
}

fn write(text: &str, had: Had<'_>, manner: Manner) -> Made {
    if let Had::Bytes(bytes) = had
        && manner.claude
        && endings(bytes) != Endings::Lf
        && text.contains('\n')
        && !text.contains('\r')
    {
        // Some versions keep the file's line endings, some write the text as it is.
        return Made::Unknown;
    }
    Made::Text(text.to_owned())
}

fn raw(bytes: &[u8], f: impl FnOnce(&str) -> Option<String>) -> Made {
    match std::str::from_utf8(bytes) {
        Ok(text) => f(text).map_or(Made::Misfit, Made::Text),
        Err(_) => Made::Unknown,
    }
}

/// Edits the text as the agent sees it: with plain line feeds.
fn in_text(bytes: &[u8], manner: Manner, f: impl FnOnce(&str) -> Made) -> Made {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Made::Unknown;
    };
    match endings(bytes) {
        Endings::Lf => f(text),
        Endings::Crlf if manner.claude => match f(&text.replace("\r\n", "\n")) {
            Made::Text(t) => Made::Text(t.replace("\r\n", "\n").replace('\n', "\r\n")),
            made => made,
        },
        // Which lines would be written how is not known.
        Endings::Crlf | Endings::Mixed => match f(text) {
            Made::Text(made) if endings(made.as_bytes()) == Endings::Crlf => Made::Text(made),
            _ => Made::Unknown,
        },
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endings {
    /// No line ends with a carriage return.
    Lf,
    /// All lines do.
    Crlf,
    /// Some do.
    Mixed,
}

pub(super) fn endings(bytes: &[u8]) -> Endings {
    let (mut feeds, mut both, mut last) = (0_usize, 0_usize, 0_u8);
    for b in bytes {
        if *b == b'\n' {
            feeds += 1;
            both += usize::from(last == b'\r');
        }
        last = *b;
    }
    match both {
        0 => Endings::Lf,
        n if n == feeds => Endings::Crlf,
        _ => Endings::Mixed,
    }
}

fn replace(text: &str, pairs: &[Replacement], manner: Manner, sure: bool) -> Made {
    let mut text = text.to_owned();
    for pair in pairs {
        match replace_one(&text, pair, manner, sure) {
            Made::Text(made) => text = made,
            made => return made,
        }
    }
    Made::Text(text)
}

fn replace_one(text: &str, pair: &Replacement, manner: Manner, sure: bool) -> Made {
    if pair.old.is_empty() {
        return match text.is_empty() {
            true => Made::Text(pair.new.clone()),
            false => Made::Misfit,
        };
    }
    let mut old = pair.old.clone();
    if manner.claude && pair.new.is_empty() && !old.ends_with('\n') {
        old.push('\n');
        if !text.contains(&old) {
            old.pop();
        }
    }
    let Some(at) = text.find(&old) else {
        return Made::Misfit;
    };
    let times = match pair.all {
        true => text.matches(&old).count(),
        false => 1,
    };
    // Before it is made: it might not fit into memory.
    let longer = pair.new.len().saturating_sub(old.len());
    if text.len().saturating_add(times.saturating_mul(longer)) > MOST {
        return Made::Unknown;
    }
    if pair.all {
        return Made::Text(text.replace(&old, &pair.new));
    }
    // Where the tool would have refused, the content was another one, unless the record tells it.
    if manner.claude && !sure && text.matches(&pair.old).nth(1).is_some() {
        return Made::Misfit;
    }
    Made::Text(format!(
        "{}{}{}",
        &text[..at],
        pair.new,
        &text[at + old.len()..]
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests")]
    use super::*;

    const CLAUDE: Manner = Manner { claude: true };
    const OTHER: Manner = Manner { claude: false };

    fn pair(old: &str, new: &str, all: bool) -> What {
        What::Replace(vec![Replacement {
            old: old.into(),
            new: new.into(),
            all,
        }])
    }

    fn edit(text: &str, what: &What, manner: Manner, sure: bool) -> Option<String> {
        match apply(what, Had::Bytes(text.as_bytes()), manner, sure) {
            Made::Text(text) => Some(text),
            Made::Misfit => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn replacements() {
        let one = pair("a", "b", false);
        assert_eq!(edit("xay", &one, CLAUDE, false).as_deref(), Some("xby"));
        assert_eq!(edit("aa", &one, CLAUDE, true).as_deref(), Some("ba"));
        assert_eq!(edit("aa", &one, CLAUDE, false), None);
        assert_eq!(edit("aa", &one, OTHER, false).as_deref(), Some("ba"));
        assert_eq!(
            edit("aa", &pair("a", "aa", true), CLAUDE, false).as_deref(),
            Some("aaaa")
        );
        assert_eq!(edit("x", &one, CLAUDE, true), None);
        // A line that is taken out takes its line feed along.
        let cut = pair("b", "", false);
        assert_eq!(
            edit("a\nb\nc\n", &cut, CLAUDE, true).as_deref(),
            Some("a\nc\n")
        );
        assert_eq!(
            edit("a\nb\nc\n", &cut, OTHER, true).as_deref(),
            Some("a\n\nc\n")
        );
        assert_eq!(edit("a b c", &cut, CLAUDE, true).as_deref(), Some("a  c"));
    }

    #[test]
    fn more_than_fits_is_not_made() {
        let mut text = "a".repeat(1000);
        let bomb = pair("a", &"a".repeat(100), true);
        let mut times = 0;
        for _ in 0..8 {
            match apply(&bomb, Had::Bytes(text.as_bytes()), CLAUDE, true) {
                Made::Text(made) => text = made,
                made => {
                    assert_eq!(made, Made::Unknown);
                    break;
                }
            }
            times += 1;
        }
        assert_eq!((times, text.len()), (2, 10_000_000));
        // In one record too.
        let What::Replace(one) = bomb else {
            panic!("no replacement")
        };
        let many = What::Replace(vec![one[0].clone(); 8]);
        let had = Had::Bytes(b"aaaa");
        assert_eq!(apply(&many, had, OTHER, true), Made::Unknown);
        // What the record itself holds is there.
        let long = "b".repeat(MOST + 1);
        let write = What::Write(long.clone());
        assert_eq!(apply(&write, had, OTHER, true), Made::Text(long.clone()));
        let edit = pair("b", "c", false);
        assert_eq!(
            apply(&edit, Had::Bytes(long.as_bytes()), OTHER, true),
            Made::Unknown
        );
    }

    #[test]
    fn line_endings_stay() {
        let what = pair("b\nc", "x\ny\nz", false);
        assert_eq!(
            edit("a\r\nb\r\nc\r\n", &what, CLAUDE, true).as_deref(),
            Some("a\r\nx\r\ny\r\nz\r\n")
        );
        let mixed = Had::Bytes(b"a\nb\nc\r\n");
        assert_eq!(apply(&what, mixed, CLAUDE, true), Made::Unknown);
        let crlf = Had::Bytes(b"a\r\nb\r\nc\r\n");
        assert_eq!(apply(&what, crlf, OTHER, true), Made::Unknown);
        assert_eq!(
            apply(&What::Write("a\nb\n".into()), crlf, CLAUDE, true),
            Made::Unknown
        );
        assert_eq!(
            apply(&What::Write("a\nb\n".into()), crlf, OTHER, true),
            Made::Text("a\nb\n".into())
        );
    }

    #[test]
    fn what_creates() {
        let new = pair("", "x", false);
        for had in [Had::Nothing, Had::Unknown, Had::Bytes(b"")] {
            assert_eq!(apply(&new, had, CLAUDE, false), Made::Text("x".into()));
        }
        assert_eq!(apply(&new, Had::Bytes(b"y"), CLAUDE, false), Made::Misfit);
        assert_eq!(
            apply(&pair("a", "b", false), Had::Nothing, CLAUDE, false),
            Made::Misfit
        );
        assert_eq!(
            apply(&pair("a", "b", false), Had::Unknown, CLAUDE, false),
            Made::Unknown
        );
        let not_text = Had::Bytes(&[0xff, b'a']);
        assert_eq!(
            apply(&pair("a", "b", false), not_text, CLAUDE, false),
            Made::Unknown
        );
    }
}
