//! A change as a patch in git's format, piece by piece, so that whoever prints it decides on colours.
//!
//! What git does not keep (empty directories, pipes, finer modes) is a comment line between the files, which patch tools
//! skip. For people, contents that are no lines are only named; for `git apply` they are given in full.

use crate::diff::text::{self, MAX_BYTES, Outcome, Side};
use crate::model::{RepoPath, git_sha1, neutral};

use super::super::api::{ChangeOp, FileChange};
use super::super::source::Source;
use super::read::{Sides, content, git_mode};
use super::{Error, binary};

/// Unchanged lines around a change.
const CONTEXT: usize = 3;
/// Largest content that is put in a patch in full; `git apply` takes files below 1 GiB.
const MOST: u64 = 512 << 20;

/// One piece of a patch. Its text is harmless on a terminal but for [`Piece::Line`] and is one line without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A comment.
    Note(&'a str),
    /// A line of a file's head.
    Head(&'a str),
    /// Where a hunk lies, and the heading that is found above it.
    Place(&'a str, &'a str),
    /// A line of a hunk with its bytes as they are.
    Line(Side, &'a [u8]),
    /// Anything else that belongs to the patch.
    Said(&'a str),
    /// Whole lines with their ends: a content that is no text, in letters.
    Whole(&'a [u8]),
}

/// Whom it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// Somebody who reads it.
    People,
    /// `git apply`: ids are given, and every content in full.
    Git,
}

/// What came of one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Printed {
    /// It is in the patch.
    Whole,
    /// Only a comment says it.
    Noted,
    /// Its content is not known: a comment says so.
    Unknown,
    /// It is too large.
    TooLarge,
}

/// Gives the pieces of one change to `take`.
pub async fn change<E: From<Error>>(
    source: &dyn Source,
    change: &FileChange,
    sides: Sides,
    whom: For,
    take: &mut dyn FnMut(Piece<'_>) -> Result<(), E>,
) -> Result<Printed, E> {
    if [&change.before, &change.after]
        .into_iter()
        .flatten()
        .any(|e| e.kind == "unknown")
    {
        // Neither gone nor empty: no lines can be shown.
        let text = format!("# content not known: {}", change.path);
        take(Piece::Note(&text))?;
        return Ok(Printed::Unknown);
    }
    // A thing of another kind goes and comes.
    if change.op == ChangeOp::Kind && change.before.is_some() && change.after.is_some() {
        let mut printed = Printed::Whole;
        for (before, after) in [(change.before.clone(), None), (None, change.after.clone())] {
            let half = FileChange {
                before,
                after,
                ..change.clone()
            };
            if file(source, &half, sides, whom, take).await? == Printed::TooLarge {
                printed = Printed::TooLarge;
            }
        }
        return Ok(printed);
    }
    file(source, change, sides, whom, take).await
}

/// One file's part of a patch.
async fn file<E: From<Error>>(
    source: &dyn Source,
    change: &FileChange,
    sides: Sides,
    whom: For,
    take: &mut dyn FnMut(Piece<'_>) -> Result<(), E>,
) -> Result<Printed, E> {
    let (before, after) = (change.before.as_ref(), change.after.as_ref());
    let (old_mode, new_mode) = (before.and_then(git_mode), after.and_then(git_mode));
    if old_mode.is_none() && new_mode.is_none() {
        take(Piece::Note(&unkept(change)))?;
        return Ok(Printed::Noted);
    }
    let from = change.from.as_ref().unwrap_or(&change.path);
    let (a, b) = (quoted("a/", from), quoted("b/", &change.path));
    let mut head = vec![format!("diff --git {a} {b}")];
    match (old_mode, new_mode) {
        (None, Some(mode)) => head.push(format!("new file mode {mode}")),
        (Some(mode), None) => head.push(format!("deleted file mode {mode}")),
        (Some(old), Some(new)) if old != new => {
            head.push(format!("old mode {old}"));
            head.push(format!("new mode {new}"));
        }
        _ => {}
    }
    if let (Some(before), Some(after)) = (before, after)
        && before.mode != after.mode
        && old_mode == new_mode
    {
        // Finer than git's modes.
        let text = format!(
            "# mode {:04o} -> {:04o}: {}",
            before.mode, after.mode, change.path
        );
        take(Piece::Note(&text))?;
        if before.blob == after.blob && before.target == after.target && change.from.is_none() {
            return Ok(Printed::Noted);
        }
    }
    let same = match (before, after) {
        (Some(b), Some(a)) => b.blob == a.blob && b.target == a.target,
        _ => false,
    };
    if change.from.is_some() {
        if same {
            head.push("similarity index 100%".to_owned());
        }
        head.push(format!("rename from {}", quoted("", from)));
        head.push(format!("rename to {}", quoted("", &change.path)));
    }
    if same {
        give_head(&head, take)?;
        return Ok(Printed::Whole);
    }
    let most = match whom {
        For::People => MAX_BYTES as u64,
        For::Git => MOST,
    };
    let name = |there: bool, name: String| if there { name } else { "/dev/null".to_owned() };
    let (old_name, new_name) = (name(before.is_some(), a), name(after.is_some(), b));
    let old = content(source, before, sides.before, most).await?;
    let new = content(source, after, sides.after, most).await?;
    let (Some(old), Some(new)) = (old, new) else {
        if whom == For::Git {
            let text = format!("# too large for a patch: {}", change.path);
            take(Piece::Note(&text))?;
            return Ok(Printed::TooLarge);
        }
        give_head(&head, take)?;
        take(Piece::Said(&format!(
            "Files {old_name} and {new_name} differ (too large to compare)"
        )))?;
        return Ok(Printed::TooLarge);
    };
    if whom == For::Git {
        head.push(ids(
            before.map(|_| &*old),
            after.map(|_| &*new),
            old_mode,
            new_mode,
        ));
    }
    give_head(&head, take)?;
    // In full wherever lines could be misread: also a NUL far behind the beginning.
    let no_lines = |bytes: &[u8]| bytes.len() > MAX_BYTES || memchr::memchr(0, bytes).is_some();
    if whom == For::Git && (no_lines(&old) || no_lines(&new)) {
        take(Piece::Said("GIT binary patch"))?;
        for side in [&new, &old] {
            let letters = binary::literal(side).map_err(Error::io("cannot deflate a content"))?;
            take(Piece::Whole(&letters))?;
        }
        return Ok(Printed::Whole);
    }
    lines(&old, &new, &old_name, &new_name, take)
}

fn give_head<E>(
    head: &[String],
    take: &mut dyn FnMut(Piece<'_>) -> Result<(), E>,
) -> Result<(), E> {
    head.iter().try_for_each(|line| take(Piece::Head(line)))
}

/// What git does not keep, in a comment.
fn unkept(change: &FileChange) -> String {
    let (before, after) = (change.before.as_ref(), change.after.as_ref());
    let entry = after.or(before);
    let word = match (before, after) {
        (None, _) => "new",
        (_, None) => "removed",
        _ => "changed",
    };
    let kind = entry.map_or("thing", |e| e.kind.as_str());
    let modes = match (before, after) {
        (Some(b), Some(a)) if b.mode != a.mode => format!(" ({:04o} -> {:04o})", b.mode, a.mode),
        _ => String::new(),
    };
    format!(
        "# {word} {}{modes}: {}",
        neutral(kind.as_bytes()),
        change.path
    )
}

/// git's line of the contents' ids, in full: a content that is no text is checked by them.
fn ids(
    old: Option<&[u8]>,
    new: Option<&[u8]>,
    old_mode: Option<&str>,
    new_mode: Option<&str>,
) -> String {
    let id = |bytes: Option<&[u8]>| bytes.map_or_else(|| "0".repeat(40), hex);
    let mode = match (old_mode, new_mode) {
        (Some(old), Some(new)) if old == new => format!(" {new}"),
        _ => String::new(),
    };
    format!("index {}..{}{mode}", id(old), id(new))
}

/// git's id of a content.
pub(super) fn hex(content: &[u8]) -> String {
    git_sha1(content).map(|b| format!("{b:02x}")).concat()
}

fn lines<E>(
    old: &[u8],
    new: &[u8],
    a: &str,
    b: &str,
    take: &mut dyn FnMut(Piece<'_>) -> Result<(), E>,
) -> Result<Printed, E> {
    let diff = text::hunks(old, new, CONTEXT);
    match diff.outcome {
        Outcome::Text => {}
        Outcome::Binary => {
            take(Piece::Said(&format!("Binary files {a} and {b} differ")))?;
            return Ok(Printed::Whole);
        }
        Outcome::TooLarge => {
            take(Piece::Said(&format!(
                "Files {a} and {b} differ (too large to compare)"
            )))?;
            return Ok(Printed::TooLarge);
        }
    }
    if diff.hunks.is_empty() {
        return Ok(Printed::Whole);
    }
    // A name with a space is ended by a tab, or patch tools would take what follows for a time.
    for (sign, name) in [("---", a), ("+++", b)] {
        let tab = if name.contains(' ') { "\t" } else { "" };
        take(Piece::Head(&format!("{sign} {name}{tab}")))?;
    }
    for hunk in &diff.hunks {
        let place = format!(
            "@@ -{} +{} @@",
            range(hunk.before.start, hunk.before.len()),
            range(hunk.after.start, hunk.after.len())
        );
        let heading = neutral(hunk.heading.trim_ascii_start());
        take(Piece::Place(&place, &heading))?;
        for line in &hunk.lines {
            take(Piece::Line(line.side, &line.text))?;
            if !line.newline {
                take(Piece::Said("\\ No newline at end of file"))?;
            }
        }
    }
    Ok(Printed::Whole)
}

/// `start,len` as the unified format has it: an empty range names the line before it.
fn range(start: usize, len: usize) -> String {
    match len {
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        len => format!("{},{len}", start + 1),
    }
}

/// A name in a patch as git writes it: in quotes with escapes where it holds anything that is not plain text.
fn quoted(prefix: &str, path: &RepoPath) -> String {
    let bytes = path.as_bytes();
    let shown = neutral(bytes);
    if shown.as_bytes() == bytes && !bytes.contains(&b'"') && !bytes.contains(&b'\\') {
        return format!("{prefix}{shown}");
    }
    String::from_utf8_lossy(&escaped(prefix.as_bytes(), bytes)).into_owned()
}

/// In quotes, with everything that is not printable ASCII escaped.
pub(super) fn escaped(prefix: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for b in prefix.iter().chain(bytes) {
        match b {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x20..=0x7e => out.push(*b),
            b => out.extend_from_slice(format!("\\{b:03o}").as_bytes()),
        }
    }
    out.push(b'"');
    out
}
