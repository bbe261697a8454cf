//! Git's conflict markers: written for other tools, and what those made of them read back into picks.
//!
//! The markers are longer than any run of the same characters that begins a line of the file, so that they are never taken for
//! text nor text for them (as jj does; git's `conflict-marker-size`). Reading back needs the pieces that were written: a text
//! between the settled parts that equals what a pick gives is that pick, everything else is an edit.

use std::collections::HashSet;

use super::conflict::{Hunk, Piece};
use super::resolve::{Pick, picked_text};

/// Git's shortest marker.
const SHORTEST: usize = 7;

/// What stands between the markers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Ours and theirs.
    Merge,
    /// The base too.
    Diff3,
    /// The base too; lines with which ours and theirs both begin or end stand outside.
    Zdiff3,
}

/// What stands after the markers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// After `<<<<<<<`.
    pub ours: String,
    /// After `|||||||`.
    pub base: String,
    /// After `>>>>>>>`.
    pub theirs: String,
}

impl Default for Labels {
    fn default() -> Self {
        Self {
            ours: "ours".into(),
            base: "base".into(),
            theirs: "theirs".into(),
        }
    }
}

/// A file with markers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its content.
    pub content: Vec<u8>,
    /// How long its markers are.
    pub size: usize,
}

/// Writes `pieces` with markers.
#[must_use]
pub fn write(pieces: &[Piece], style: Style, labels: &Labels) -> Written {
    let size = size(pieces);
    Written {
        content: write_sized(pieces, style, labels, size),
        size,
    }
}

/// The shortest markers that nothing in `pieces` looks like.
fn size(pieces: &[Piece]) -> usize {
    let longest = |text: &[u8]| {
        text.split(|b| *b == b'\n')
            .map(|line| match line.first() {
                Some(first @ (b'<' | b'=' | b'>' | b'|')) => {
                    line.iter().take_while(|b| *b == first).count()
                }
                _ => 0,
            })
            .max()
            .unwrap_or(0)
    };
    let longest = pieces
        .iter()
        .flat_map(|piece| match piece {
            Piece::Text(text) => vec![text],
            Piece::Hunk(h) => vec![&h.ours, &h.base, &h.theirs],
        })
        .map(|text| longest(text))
        .max()
        .unwrap_or(0);
    if longest >= SHORTEST {
        longest + 1
    } else {
        SHORTEST
    }
}

/// As [`write`], with markers of at least `size`.
#[must_use]
pub fn write_sized(pieces: &[Piece], style: Style, labels: &Labels, size: usize) -> Vec<u8> {
    let size = self::size(pieces).max(size);
    let crlf = is_crlf(pieces);
    let mut out = Vec::new();
    for piece in whole_lines(pieces) {
        match piece {
            Piece::Text(text) => out.extend_from_slice(&text),
            Piece::Hunk(hunk) => {
                out.extend_from_slice(&marked(&hunk, style, labels, size, crlf));
            }
        }
    }
    out
}

fn is_crlf(pieces: &[Piece]) -> bool {
    let ends = |text: &[u8]| {
        let at = text.iter().position(|b| *b == b'\n')?;
        Some(at > 0 && text[at - 1] == b'\r')
    };
    pieces
        .iter()
        .find_map(|piece| match piece {
            Piece::Text(text) => ends(text),
            Piece::Hunk(h) => ends(&h.ours).or_else(|| ends(&h.theirs)),
        })
        .unwrap_or(false)
}

/// One hunk with its markers.
fn marked(hunk: &Hunk, style: Style, labels: &Labels, size: usize, crlf: bool) -> Vec<u8> {
    let eol: &[u8] = if crlf { b"\r\n" } else { b"\n" };
    let (head, ours, theirs, tail) = match style {
        Style::Zdiff3 => trimmed(&hunk.ours, &hunk.theirs),
        _ => (&[][..], &hunk.ours[..], &hunk.theirs[..], &[][..]),
    };
    let mut out = head.to_vec();
    let marker = |out: &mut Vec<u8>, c: u8, label: &str| {
        out.extend(std::iter::repeat_n(c, size));
        if !label.is_empty() {
            out.push(b' ');
            // A label is one line, whatever it was made of.
            out.extend(label.bytes().map(|b| if b < b' ' { b' ' } else { b }));
        }
        out.extend_from_slice(eol);
    };
    let text = |out: &mut Vec<u8>, text: &[u8]| {
        out.extend_from_slice(text);
        if !text.is_empty() && !text.ends_with(b"\n") {
            out.extend_from_slice(eol);
        }
    };
    marker(&mut out, b'<', &labels.ours);
    text(&mut out, ours);
    if style != Style::Merge {
        marker(&mut out, b'|', &labels.base);
        text(&mut out, &hunk.base);
    }
    marker(&mut out, b'=', "");
    text(&mut out, theirs);
    marker(&mut out, b'>', &labels.theirs);
    out.extend_from_slice(tail);
    out
}

/// What both begin with, the rest of each, and what both end with; whole lines.
fn trimmed<'a>(ours: &'a [u8], theirs: &'a [u8]) -> (&'a [u8], &'a [u8], &'a [u8], &'a [u8]) {
    let cut = |text: &'a [u8]| text.split_inclusive(|b| *b == b'\n');
    let head: usize = cut(ours)
        .zip(cut(theirs))
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a.len())
        .sum();
    let (o, t) = (&ours[head..], &theirs[head..]);
    let lines = |text: &'a [u8]| cut(text).collect::<Vec<_>>();
    let tail: usize = lines(o)
        .iter()
        .rev()
        .zip(lines(t).iter().rev())
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a.len())
        .sum();
    (
        &ours[..head],
        &o[..o.len() - tail],
        &t[..t.len() - tail],
        &o[o.len() - tail..],
    )
}

/// Hunks that are parts of lines (a value of a structured file) become whole lines; those on one line become one.
#[must_use]
pub fn whole_lines(pieces: &[Piece]) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    for piece in pieces {
        match (piece, out.last_mut()) {
            // The rest of a line belongs to the hunk on it.
            (Piece::Text(text), Some(Piece::Hunk(hunk))) if hunk.key.is_some() => {
                let to = text
                    .iter()
                    .position(|b| *b == b'\n')
                    .map_or(text.len(), |at| at + 1);
                let (line, rest) = text.split_at(to);
                for side in [&mut hunk.ours, &mut hunk.base, &mut hunk.theirs] {
                    side.extend_from_slice(line);
                }
                if !rest.is_empty() || line.ends_with(b"\n") {
                    out.push(Piece::Text(rest.to_vec()));
                }
            }
            (Piece::Text(text), Some(Piece::Text(before))) => before.extend_from_slice(text),
            (Piece::Text(text), _) => out.push(Piece::Text(text.clone())),
            (Piece::Hunk(hunk), Some(Piece::Hunk(before)))
                if hunk.key.is_some() && before.key.is_some() =>
            {
                before.ours.extend_from_slice(&hunk.ours);
                before.base.extend_from_slice(&hunk.base);
                before.theirs.extend_from_slice(&hunk.theirs);
            }
            (Piece::Hunk(hunk), Some(Piece::Text(text))) if hunk.key.is_some() => {
                let from = text
                    .iter()
                    .rposition(|b| *b == b'\n')
                    .map_or(0, |at| at + 1);
                let start = text.split_off(from);
                let put = |side: &[u8]| [start.as_slice(), side].concat();
                let whole = Hunk {
                    ours: put(&hunk.ours),
                    base: put(&hunk.base),
                    theirs: put(&hunk.theirs),
                    key: hunk.key.clone(),
                    crlf: hunk.crlf,
                };
                out.push(Piece::Hunk(whole));
            }
            (Piece::Hunk(hunk), _) => out.push(Piece::Hunk(hunk.clone())),
        }
    }
    out
}

/// What another tool made of a file with markers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadBack {
    /// A pick for each hunk, in order; `None`: its markers are still there.
    Hunks(Vec<Option<Pick>>),
    /// More than the hunks was edited: this is the file.
    Whole(Vec<u8>),
    /// A marker is left where no hunk is as it was written: line, from 1. It must be settled before.
    StillMarked(usize),
}

/// Reads `content`, which was written of `pieces` in that way and then edited.
#[must_use]
pub fn read(
    content: &[u8],
    pieces: &[Piece],
    style: Style,
    labels: &Labels,
    size: usize,
) -> ReadBack {
    let crlf = is_crlf(pieces);
    let lines = whole_lines(pieces);
    let hunks = |p: &[Piece]| p.iter().filter(|p| matches!(p, Piece::Hunk(_))).count();
    // Hunks on one line were written as one: they cannot be told apart again.
    let apart = hunks(&lines) == hunks(pieces);
    // Picks alone first: where they make the file, nothing of it was edited.
    for edits in [false, true] {
        let mut search = Search {
            content,
            pieces: &lines,
            failed: HashSet::new(),
            written: &|hunk| marked(hunk, style, labels, size, crlf),
            edits,
            size,
        };
        if apart && let Some(picks) = search.run() {
            return ReadBack::Hunks(back(picks, pieces, &lines));
        }
    }
    match marker_line(content, size) {
        Some(line) => ReadBack::StillMarked(line),
        None => ReadBack::Whole(content.to_vec()),
    }
}

/// The first line that is a marker, from 1.
fn marker_line(text: &[u8], size: usize) -> Option<usize> {
    text.split(|b| *b == b'\n')
        .position(|line| {
            line.first().is_some_and(|first| {
                matches!(first, b'<' | b'|' | b'=' | b'>')
                    && line.iter().take_while(|b| *b == first).count() == size
                    && matches!(line.get(size), None | Some(b' ' | b'\r'))
            })
        })
        .map(|at| at + 1)
}

/// Edits of whole lines as edits of the values on them, where what stands around them is as it was.
fn back(picks: Vec<Option<Pick>>, pieces: &[Piece], lines: &[Piece]) -> Vec<Option<Pick>> {
    let hunks = |p: &[Piece]| -> Vec<Hunk> {
        p.iter()
            .filter_map(|p| match p {
                Piece::Hunk(h) => Some(h.clone()),
                Piece::Text(_) => None,
            })
            .collect()
    };
    picks
        .into_iter()
        .zip(hunks(pieces).iter().zip(hunks(lines).iter()))
        .map(|(pick, (part, line))| match pick {
            Some(Pick::Edited(text)) if part.key.is_some() => {
                let at = find(&line.ours, &part.ours)?;
                let (start, end) = (&line.ours[..at], &line.ours[at + part.ours.len()..]);
                let value = text.strip_prefix(start)?.strip_suffix(end)?;
                Some(Pick::Edited(value.to_vec()))
            }
            other => other,
        })
        .collect()
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, part)
}

/// A search for picks that make the pieces the content: the settled texts must be there, one after the other.
struct Search<'a> {
    content: &'a [u8],
    pieces: &'a [Piece],
    /// Pieces and places from which nothing was found: each is tried once.
    failed: HashSet<(usize, usize)>,
    written: &'a dyn Fn(&Hunk) -> Vec<u8>,
    /// Whether a hunk may have become something else than a pick gives.
    edits: bool,
    /// How long the markers are: an edit has none in it, else it would swallow hunks that are as they were written.
    size: usize,
}

impl Search<'_> {
    /// A depth-first search with a stack of its own: there may be many hunks.
    fn run(&mut self) -> Option<Vec<Option<Pick>>> {
        let mut path: Vec<Step> = Vec::new();
        let (mut piece, mut at) = (0, 0);
        loop {
            if piece == self.pieces.len() && at == self.content.len() {
                return Some(
                    path.into_iter()
                        .filter(|s| s.is_hunk)
                        .map(|s| s.chosen)
                        .collect(),
                );
            }
            let fresh = piece < self.pieces.len() && self.failed.insert((piece, at));
            if fresh {
                let step = self.step(piece, at);
                path.push(step);
            }
            // The next choice of the last step that has one.
            loop {
                let last = path.last_mut()?;
                if let Some((pick, end)) = last.choices.pop() {
                    last.chosen = pick;
                    (piece, at) = (last.piece + 1, end);
                    break;
                }
                path.pop();
            }
        }
    }

    fn step(&self, piece: usize, at: usize) -> Step {
        let rest = &self.content[at..];
        let mut choices: Vec<(Option<Pick>, usize)> = Vec::new();
        let mut is_hunk = false;
        match &self.pieces[piece] {
            Piece::Text(text) => {
                if rest.starts_with(text) {
                    choices.push((None, at + text.len()));
                }
            }
            Piece::Hunk(hunk) => {
                is_hunk = true;
                let mut add = |pick: Option<Pick>, text: &[u8]| {
                    let end = at + text.len();
                    if rest.starts_with(text) && !choices.iter().any(|(_, e)| *e == end) {
                        choices.push((pick, end));
                    }
                };
                add(None, &(self.written)(hunk));
                for pick in [Pick::Ours, Pick::Theirs, Pick::Both, Pick::Base] {
                    if let Some(text) = picked_text(hunk, &pick) {
                        add(Some(pick), &text);
                    }
                }
                // Anything up to where the next settled text begins a line.
                let end = match self.pieces.get(piece + 1) {
                    _ if !self.edits => None,
                    None => Some(self.content.len()),
                    Some(Piece::Text(next)) => self.line_with(next, at),
                    Some(Piece::Hunk(_)) => None,
                };
                if let Some(end) = end
                    && marker_line(&self.content[at..end], self.size).is_none()
                {
                    add(
                        Some(Pick::Edited(self.content[at..end].to_vec())),
                        &self.content[at..end],
                    );
                }
                // The first is tried first: it is the last of a stack.
                choices.reverse();
            }
        }
        Step {
            piece,
            is_hunk,
            choices,
            chosen: None,
        }
    }

    /// Where `text` begins a line at or after `at`; the last piece must also end the file.
    fn line_with(&self, text: &[u8], at: usize) -> Option<usize> {
        memchr::memmem::find_iter(&self.content[at..], text)
            .map(|found| at + found)
            .find(|found| {
                *found == 0 || *found == at || self.content.get(found - 1) == Some(&b'\n')
            })
    }
}

/// A piece under search, with what may still be tried.
struct Step {
    piece: usize,
    is_hunk: bool,
    choices: Vec<(Option<Pick>, usize)>,
    chosen: Option<Pick>,
}
