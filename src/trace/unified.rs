//! Unified diffs, read, applied, and taken back.
//!
//! A hunk with line numbers fits at its numbers or not at all: if its lines stand elsewhere, the content is not the one
//! that the diff was made of, and what would come out was never there. A hunk without numbers (models write such)
//! fits where its lines stand, if that is one place only.

use super::patch::Error;

/// The diff of one file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileDiff {
    /// The old name, without `a/`; empty when there is no header, `None` for `/dev/null`.
    pub old: Option<String>,
    /// The new name, without `b/`; empty when there is no header, `None` for `/dev/null`.
    pub new: Option<String>,
    /// In order.
    pub hunks: Vec<Change>,
}

/// One hunk. Lines have their ends, but for a last one without (`\ No newline at end of file`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// First old line, counted from 0, and first new one; `None` for a hunk without numbers.
    pub at: Option<(usize, usize)>,
    /// Lines that must be there.
    pub old: Vec<String>,
    /// Lines that take their place.
    pub new: Vec<String>,
}

/// Applies the diff of one file, with or without header.
///
/// # Errors
/// When it is not a diff, is of several files, or does not fit.
pub fn apply_unified(content: &str, diff: &str) -> Result<String, Error> {
    change(content, &one(diff)?, false)
}

/// The content that was there before the diff of one file was applied and gave `content`.
///
/// # Errors
/// As [`apply_unified`].
pub fn revert_unified(content: &str, diff: &str) -> Result<String, Error> {
    change(content, &one(diff)?, true)
}

fn one(diff: &str) -> Result<FileDiff, Error> {
    let mut files = parse_unified(diff)?;
    match (files.pop(), files.len()) {
        (Some(file), 0) => Ok(file),
        (_, others) => Err(Error::Files(others + 1)),
    }
}

/// Applies (or takes back) the hunks of one file.
///
/// # Errors
/// When a hunk does not fit.
pub fn change(content: &str, diff: &FileDiff, back: bool) -> Result<String, Error> {
    let lines: Vec<&str> = content.split_inclusive('\n').collect();
    let mut out = String::with_capacity(content.len());
    let mut done = 0;
    for (i, hunk) in diff.hunks.iter().enumerate() {
        let (old, new) = if back {
            (&hunk.new, &hunk.old)
        } else {
            (&hunk.old, &hunk.new)
        };
        let fits = |at: usize| {
            at >= done
                && lines
                    .get(at..at.saturating_add(old.len()))
                    .is_some_and(|here| here.iter().zip(old).all(|(a, b)| a == b))
        };
        let at = match hunk.at {
            Some((a, b)) => Some(if back { b } else { a }).filter(|at| fits(*at)),
            None => {
                let mut places = (done..=lines.len()).filter(|at| fits(*at));
                match (places.next(), places.next()) {
                    (Some(_), Some(_)) => return Err(Error::Ambiguous { hunk: i + 1 }),
                    (one, _) => one,
                }
            }
        };
        let at = at.ok_or_else(|| Error::NoPlace {
            hunk: i + 1,
            line: old.first().cloned().unwrap_or_default(),
        })?;
        for line in lines.get(done..at).unwrap_or_default() {
            out.push_str(line);
        }
        for line in new {
            out.push_str(line);
        }
        done = at + old.len();
    }
    for line in lines.get(done..).unwrap_or_default() {
        out.push_str(line);
    }
    Ok(out)
}

/// Reads a unified diff of any number of files. Lines between the files (git's `index`, modes) are passed over.
///
/// # Errors
/// When there is no hunk and no header, or a hunk breaks off.
pub fn parse_unified(diff: &str) -> Result<Vec<FileDiff>, Error> {
    let lines: Vec<&str> = diff.split_inclusive('\n').collect();
    let mut files: Vec<FileDiff> = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let next = lines.get(at + 1);
        if let (Some(old), Some(new)) = (
            line.strip_prefix("--- "),
            next.and_then(|n| n.strip_prefix("+++ ")),
        ) {
            files.push(FileDiff {
                old: name(old, "a/"),
                new: name(new, "b/"),
                hunks: Vec::new(),
            });
            at += 2;
        } else if line.starts_with("@@") {
            if files.is_empty() {
                files.push(FileDiff {
                    old: Some(String::new()),
                    new: Some(String::new()),
                    hunks: Vec::new(),
                });
            }
            let (hunk, used) =
                one_hunk(lines.get(at..).unwrap_or_default()).map_err(|(line, what)| {
                    Error::Grammar {
                        line: at + line + 1,
                        what,
                    }
                })?;
            if let Some(file) = files.last_mut() {
                file.hunks.push(hunk);
            }
            at += used;
        } else {
            at += 1;
        }
    }
    if files.is_empty() && !diff.trim().is_empty() {
        return Err(Error::Grammar {
            line: 1,
            what: "'--- ' or '@@' is expected",
        });
    }
    if files.is_empty() {
        // Nothing changed: what an empty diff says.
        files.push(FileDiff::default());
    }
    Ok(files)
}

/// A header's file name: without the time that some tools put after a tab, and without git's prefix.
fn name(text: &str, prefix: &str) -> Option<String> {
    let text = text.trim_end_matches(['\n', '\r']);
    let text = text.split('\t').next().unwrap_or_default();
    (text != "/dev/null").then(|| text.strip_prefix(prefix).unwrap_or(text).to_owned())
}

/// `-12,3`: the first line counted from 0, and how many. A range of no lines names the line before it.
fn range(text: &str) -> Option<(usize, usize)> {
    let (start, len) = match text.split_once(',') {
        Some((start, len)) => (start.parse().ok()?, len.parse().ok()?),
        None => (text.parse().ok()?, 1),
    };
    let start: usize = start;
    Some((start.saturating_sub(usize::from(len > 0)), len))
}

/// The numbers of `@@ -1,2 +3,4 @@`: old and new.
fn numbers(line: &str) -> Option<[(usize, usize); 2]> {
    let mut words = line.strip_prefix("@@")?.split_whitespace();
    let old = range(words.next()?.strip_prefix('-')?)?;
    let new = range(words.next()?.strip_prefix('+')?)?;
    Some([old, new])
}

fn one_hunk(lines: &[&str]) -> Result<(Change, usize), (usize, &'static str)> {
    let numbers = numbers(lines.first().copied().unwrap_or_default());
    let mut hunk = Change {
        at: numbers.map(|[old, new]| (old.0, new.0)),
        ..Change::default()
    };
    let full = |hunk: &Change| {
        numbers.is_some_and(|[old, new]| hunk.old.len() >= old.1 && hunk.new.len() >= new.1)
    };
    let mut at = 1;
    // What the last line was: a note that it has no end is about it.
    let mut last = ' ';
    while let Some(line) = lines.get(at) {
        let first = line.chars().next().unwrap_or('\n');
        if first == '\\' {
            for (side, lines) in [('-', &mut hunk.old), ('+', &mut hunk.new)] {
                if let Some(line) = lines.last_mut().filter(|_| last == ' ' || last == side) {
                    line.truncate(line.trim_end_matches('\n').len());
                }
            }
            at += 1;
            continue;
        }
        if full(&hunk) {
            break;
        }
        let ended = |text: &str| {
            let mut text = text.to_owned();
            // The diff's own last line may lack an end that the file's line has.
            if !text.ends_with('\n') {
                text.push('\n');
            }
            text
        };
        let rest = line.get(1..).unwrap_or_default();
        match first {
            ' ' => {
                hunk.old.push(ended(rest));
                hunk.new.push(ended(rest));
            }
            '\n' | '\r' => {
                hunk.old.push(ended(line));
                hunk.new.push(ended(line));
            }
            '-' => hunk.old.push(ended(rest)),
            '+' => hunk.new.push(ended(rest)),
            _ if numbers.is_some() => {
                return Err((at, "a line that begins with ' ', '+' or '-' is expected"));
            }
            _ => break,
        }
        last = if matches!(first, '-' | '+') {
            first
        } else {
            ' '
        };
        at += 1;
    }
    if numbers.is_some() && !full(&hunk) {
        return Err((at, "the hunk has fewer lines than it says"));
    }
    Ok((hunk, at))
}
