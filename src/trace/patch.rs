//! Patches as agents write them: the `apply_patch` grammar, read, applied, and taken back. Unified diffs are in
//! [`super::unified`].
//!
//! Hunks are placed as Codex places them, for a patch that it applied must give here what it gave there: in order,
//! each after the one before; exact lines first, then without spaces at their ends, then without spaces around them,
//! then with typographic signs read as plain ones. What is taken back ([`revert`]) is told only when it is certain.

use thiserror::Error;

pub use super::unified::{apply_unified, revert_unified};

/// What is wrong with a patch, or why it does not fit.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum Error {
    /// The text is not a patch, or breaks off.
    #[error("not a patch that can be read: line {line}: {what}; look at the raw record")]
    Grammar {
        /// The line of the patch's text, from 1.
        line: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// A hunk's context or lines are not in the content.
    #[error(
        "hunk {hunk} does not fit: {line:?} is not where it is expected; the content is not what the patch was made for"
    )]
    NoPlace {
        /// Which hunk, from 1.
        hunk: usize,
        /// The first line that was searched for.
        line: String,
    },
    /// Several contents could have been there before.
    #[error(
        "hunk {hunk} can be taken back in more than one way; the content before is not certain"
    )]
    Ambiguous {
        /// Which hunk, from 1.
        hunk: usize,
    },
    /// A diff of one file was expected.
    #[error("the diff is of {0} files, not of one; take its parts one by one")]
    Files(usize),
}

/// One file's part of an `apply_patch` text, with its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The file, as written.
    pub path: String,
    /// Its new name, as written (`*** Move to`).
    pub move_to: Option<String>,
    /// What is done.
    pub patch: FilePatch,
}

/// One file's part of an `apply_patch` text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilePatch {
    /// `*** Add File`.
    Add {
        /// The whole new content.
        content: String,
    },
    /// `*** Update File`.
    Update {
        /// In order.
        hunks: Vec<Hunk>,
    },
    /// `*** Delete File`.
    Delete,
}

/// One `@@` part of an update.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hunk {
    /// The lines after `@@`, outermost first: each is searched for in turn before the hunk's own lines are.
    pub context: Vec<String>,
    /// Lines that must be there: ` ` and `-`.
    pub old: Vec<String>,
    /// Lines that take their place: ` ` and `+`.
    pub new: Vec<String>,
    /// `*** End of File`: the lines are the file's last.
    pub at_end: bool,
}

const BEGIN: &str = "*** Begin Patch";
const END: &str = "*** End Patch";
const END_OF_FILE: &str = "*** End of File";

/// Reads an `apply_patch` text; also one in a heredoc (`apply_patch <<'EOF'`).
///
/// # Errors
/// When it has no beginning or end, or a line that fits nowhere.
pub fn parse(text: &str) -> Result<Vec<Part>, Error> {
    let lines: Vec<&str> = text.trim().lines().collect();
    let (first, lines) = within(&lines)?;
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let line = line.trim();
        let from = at;
        at += 1;
        if let Some(path) = line.strip_prefix("*** Add File: ") {
            let mut content = String::new();
            while let Some(add) = lines.get(at).and_then(|l| l.strip_prefix('+')) {
                content.push_str(add);
                content.push('\n');
                at += 1;
            }
            parts.push(Part {
                path: path.to_owned(),
                move_to: None,
                patch: FilePatch::Add { content },
            });
        } else if let Some(path) = line.strip_prefix("*** Delete File: ") {
            parts.push(Part {
                path: path.to_owned(),
                move_to: None,
                patch: FilePatch::Delete,
            });
        } else if let Some(path) = line.strip_prefix("*** Update File: ") {
            let move_to = lines
                .get(at)
                .and_then(|l| l.trim().strip_prefix("*** Move to: "))
                .map(str::to_owned);
            at += usize::from(move_to.is_some());
            let mut hunks = Vec::new();
            while let Some(next) = lines.get(at) {
                if next.trim().is_empty() {
                    at += 1;
                } else if next.starts_with('*') {
                    break;
                } else {
                    let (hunk, used) =
                        one_hunk(lines.get(at..).unwrap_or_default(), hunks.is_empty()).map_err(
                            |(line, what)| Error::Grammar {
                                line: first + at + line,
                                what,
                            },
                        )?;
                    hunks.push(hunk);
                    at += used;
                }
            }
            if hunks.is_empty() && move_to.is_none() {
                return Err(Error::Grammar {
                    line: first + from,
                    what: "an update without a change",
                });
            }
            parts.push(Part {
                path: path.to_owned(),
                move_to,
                patch: FilePatch::Update { hunks },
            });
        } else if !line.is_empty() && !line.starts_with("*** Environment ID: ") {
            return Err(Error::Grammar {
                line: first + from,
                what: "'*** Add File: ', '*** Update File: ' or '*** Delete File: ' is expected",
            });
        }
    }
    Ok(parts)
}

/// The lines between the patch's first and last, and the number (from 1) of the first of them.
fn within<'a, 'b>(lines: &'b [&'a str]) -> Result<(usize, &'b [&'a str]), Error> {
    let bare = |lines: &'b [&'a str]| match lines {
        [first, inner @ .., last] if first.trim() == BEGIN && last.trim() == END => Some(inner),
        _ => None,
    };
    if let Some(inner) = bare(lines) {
        return Ok((2, inner));
    }
    if let [first, inner @ .., last] = lines {
        let mark = first
            .split_once("<<")
            .map(|(_, m)| m.trim_start_matches('-').trim().trim_matches(['\'', '"']));
        if mark.is_some_and(|m| !m.is_empty() && last.trim().ends_with(m))
            && let Some(inner) = bare(inner)
        {
            return Ok((3, inner));
        }
    }
    let begun = lines.first().is_some_and(|l| l.trim() == BEGIN);
    Err(Error::Grammar {
        line: if begun { lines.len() } else { 1 },
        what: if begun {
            "'*** End Patch' is missing at the end"
        } else {
            "'*** Begin Patch' is missing at the beginning"
        },
    })
}

/// Reads one hunk; gives how many lines it has. An error counts its line from the hunk's first.
fn one_hunk(lines: &[&str], first: bool) -> Result<(Hunk, usize), (usize, &'static str)> {
    let mut hunk = Hunk::default();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        if *line == "@@" {
            // Nothing to search for.
        } else if let Some(context) = line.strip_prefix("@@ ") {
            hunk.context.push(context.to_owned());
        } else {
            break;
        }
        at += 1;
    }
    if at == 0 && !first {
        return Err((0, "'@@' is expected before a further hunk"));
    }
    let body = at;
    while let Some(line) = lines.get(at) {
        if *line == END_OF_FILE && at > body {
            hunk.at_end = true;
            at += 1;
            break;
        }
        let rest = || line.get(1..).unwrap_or_default().to_owned();
        match line.chars().next() {
            // Editors and models drop the single space of an empty line of context.
            None => {
                hunk.old.push(String::new());
                hunk.new.push(String::new());
            }
            Some(' ') => {
                hunk.old.push(rest());
                hunk.new.push(rest());
            }
            Some('+') => hunk.new.push(rest()),
            Some('-') => hunk.old.push(rest()),
            Some(_) => break,
        }
        at += 1;
    }
    if at == body {
        return Err((at, "a line that begins with ' ', '+' or '-' is expected"));
    }
    Ok((hunk, at))
}

/// Applies the hunks of an update.
///
/// # Errors
/// When a hunk does not fit.
pub fn apply(content: &str, hunks: &[Hunk]) -> Result<String, Error> {
    let lines = split(content);
    let mut changes: Vec<(usize, usize, &[String])> = Vec::new();
    let mut at = 0;
    for (i, hunk) in hunks.iter().enumerate() {
        let missing = |line: &str| Error::NoPlace {
            hunk: i + 1,
            line: line.to_owned(),
        };
        for context in &hunk.context {
            at = 1 + seek(&lines, std::slice::from_ref(context), at)
                .ok_or_else(|| missing(context))?;
        }
        let (mut old, mut new) = (hunk.old.as_slice(), hunk.new.as_slice());
        if old.is_empty() {
            // Only additions: they go to the end, before an empty last line.
            let blank = usize::from(lines.last().is_some_and(|l| l.is_empty()));
            changes.push((lines.len() - blank, 0, new));
            continue;
        }
        let mut found = place(&lines, old, at, hunk.at_end);
        if found.is_none()
            && let [head @ .., last] = old
            && last.is_empty()
        {
            // An empty last line often stands for the end of the file's last line only.
            old = head;
            if let [head @ .., last] = new
                && last.is_empty()
            {
                new = head;
            }
            found = place(&lines, old, at, hunk.at_end);
        }
        let found = found.ok_or_else(|| missing(old.first().map_or("", String::as_str)))?;
        changes.push((found, old.len(), new));
        at = found + old.len();
    }
    changes.sort_by_key(|(at, _, _)| *at);
    let mut out: Vec<&str> = Vec::with_capacity(lines.len());
    let mut done = 0;
    for (at, len, new) in changes {
        out.extend(lines.get(done..at).unwrap_or_default());
        out.extend(new.iter().map(String::as_str));
        done = done.max(at + len);
    }
    out.extend(lines.get(done..).unwrap_or_default());
    Ok(join(&out))
}

/// Lines without their ends; the end of the last one makes no line.
fn split(content: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = content.split('\n').collect();
    if lines.last().is_some_and(|l| l.is_empty()) {
        lines.pop();
    }
    lines
}

/// The content of these lines. It always ends with a line's end; an empty last line is taken for that end.
fn join(lines: &[&str]) -> String {
    let mut text = lines.join("\n");
    if lines.last().is_some_and(|l| !l.is_empty()) {
        text.push('\n');
    }
    text
}

fn place(lines: &[&str], pattern: &[String], from: usize, at_end: bool) -> Option<usize> {
    if at_end && let Some(last) = lines.len().checked_sub(pattern.len()) {
        return seek(lines, pattern, last).or_else(|| seek(lines, pattern, from));
    }
    seek(lines, pattern, from)
}

/// Where the lines are, at or after `from`: the strictest way of comparing that finds them anywhere wins.
fn seek(lines: &[&str], pattern: &[String], from: usize) -> Option<usize> {
    if pattern.is_empty() {
        return Some(from.min(lines.len()));
    }
    let find = |same: &dyn Fn(&str, &str) -> bool| {
        let fits = |w: &[&str]| w.iter().zip(pattern).all(|(a, b)| same(a, b));
        let at = lines.get(from..)?.windows(pattern.len()).position(fits)?;
        Some(from + at)
    };
    find(&|a, b| a == b)
        .or_else(|| find(&|a, b| a.trim_end() == b.trim_end()))
        .or_else(|| find(&|a, b| a.trim() == b.trim()))
        .or_else(|| find(&|a, b| plain(a.trim()).eq(plain(b.trim()))))
}

/// Typographic dashes, quotes and spaces as the plain ones.
fn plain(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().map(|c| match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{2018}'..='\u{201b}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        '\u{a0}' | '\u{2002}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ' ',
        c => c,
    })
}

/// How many whole reversals, and how many steps towards one, are tried before it counts as uncertain.
const TRIES: (usize, usize) = (64, 10_000);

/// With more hunks than this, nothing is taken back.
const HUNKS: usize = 1000;

/// The content that was there before the hunks were applied to it and gave `content`.
///
/// Every place where the new lines stand is tried; of what could have been before, only such counts that gives
/// `content` again. The lines are taken to have been as the patch has them, and the last one to have had an end.
///
/// # Errors
/// When a hunk's new lines are not there, or when more than one content could have been before.
pub fn revert(content: &str, hunks: &[Hunk]) -> Result<String, Error> {
    if hunks.len() > HUNKS {
        return Err(Error::Ambiguous { hunk: HUNKS });
    }
    let lines = split(content);
    let mut places = Vec::with_capacity(hunks.len());
    for (i, hunk) in hunks.iter().enumerate() {
        let fits = |at: &usize| {
            let here = lines.get(*at..at + hunk.new.len());
            here.is_some_and(|h| h.iter().zip(&hunk.new).all(|(a, b)| a == b))
        };
        let end = (lines.len() + 1).saturating_sub(hunk.new.len());
        // What is only added goes to the end, perhaps before an empty line.
        let from = if hunk.old.is_empty() {
            end.saturating_sub(2)
        } else {
            0
        };
        let found: Vec<usize> = (from..end).filter(fits).collect();
        if found.is_empty() {
            return Err(Error::NoPlace {
                hunk: i + 1,
                line: hunk.new.first().cloned().unwrap_or_default(),
            });
        }
        places.push(found);
    }
    let mut search = Search {
        lines: &lines,
        content,
        hunks,
        places: &places,
        tries: TRIES,
        found: None,
    };
    search.go(0, &mut Vec::new())?;
    search.found.ok_or_else(|| Error::NoPlace {
        hunk: 1,
        line: hunks
            .first()
            .and_then(|h| h.new.first())
            .cloned()
            .unwrap_or_default(),
    })
}

struct Search<'a> {
    lines: &'a [&'a str],
    content: &'a str,
    hunks: &'a [Hunk],
    places: &'a [Vec<usize>],
    tries: (usize, usize),
    found: Option<String>,
}

impl Search<'_> {
    /// Tries all places of the next hunk, with the earlier ones at `chosen`.
    fn go(&mut self, from: usize, chosen: &mut Vec<usize>) -> Result<(), Error> {
        let i = chosen.len();
        let uncertain = Error::Ambiguous {
            hunk: (i + 1).min(self.hunks.len().max(1)),
        };
        let places = self.places;
        let (Some(hunk), Some(places)) = (self.hunks.get(i), places.get(i)) else {
            let before = self.before(chosen);
            if apply(&before, self.hunks).as_deref() == Ok(self.content) {
                if self.found.as_ref().is_some_and(|other| *other != before) {
                    return Err(uncertain);
                }
                self.found = Some(before);
            }
            self.tries.0 = self.tries.0.checked_sub(1).ok_or(uncertain)?;
            return Ok(());
        };
        let first = if hunk.old.is_empty() {
            0
        } else {
            places.partition_point(|p| *p < from)
        };
        for at in places.iter().skip(first) {
            self.tries.1 = self
                .tries
                .1
                .checked_sub(1)
                .ok_or_else(|| uncertain.clone())?;
            chosen.push(*at);
            let next = if hunk.old.is_empty() {
                from
            } else {
                at + hunk.new.len()
            };
            let done = self.go(next, chosen);
            chosen.pop();
            done?;
        }
        Ok(())
    }

    fn before(&self, chosen: &[usize]) -> String {
        let mut order: Vec<(usize, &Hunk)> = chosen.iter().copied().zip(self.hunks).collect();
        order.sort_by_key(|(at, _)| *at);
        let mut out: Vec<&str> = Vec::with_capacity(self.lines.len());
        let mut done = 0;
        for (at, hunk) in order {
            out.extend(self.lines.get(done..at).unwrap_or_default());
            out.extend(hunk.old.iter().map(String::as_str));
            done = at + hunk.new.len();
        }
        out.extend(self.lines.get(done..).unwrap_or_default());
        let mut text = out.join("\n");
        if !out.is_empty() {
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
#[path = "patch_tests.rs"]
mod tests;
