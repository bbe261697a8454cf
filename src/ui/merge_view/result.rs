//! The result as lines: the file as it would be written now, with where each line of a part in conflict comes from.
//!
//! Lines are ranges of one text, so that a file of 50,000 lines costs what fits on the screen when it is drawn. A proposal
//! is shown as a difference from what stands there: nothing of it is in the result until it is accepted.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use crate::diff::text::{Side, hunks};
use crate::engine::api::PickOrigin;
use crate::merge::resolve::Pick;

use super::subject::{Part, Piece, Subject};

/// Longer parts are not compared line by line with a proposal: the old lines stand above the new ones.
const COMPARED: usize = 256 << 10;

/// Where a line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Mark {
    /// It is in no conflict.
    None,
    /// Nobody has said: it is ours until then.
    Open,
    Ours,
    Theirs,
    /// Both sides have this line.
    Both,
    Base,
    /// A person wrote it.
    Edited,
    /// A proposal's own.
    Assist,
}

impl Mark {
    /// The letter in the gutter: the key that takes it.
    pub(crate) fn letter(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Open => "?",
            Self::Ours => "o",
            Self::Theirs => "t",
            Self::Both => "b",
            Self::Base => "0",
            Self::Edited => "e",
            Self::Assist => "a",
        }
    }
}

/// What a row shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A line of the result.
    Line,
    /// A line that a shown proposal would add.
    Added,
    /// A line that it would take away.
    Removed,
    /// The part is empty.
    Nothing,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// In the text, or for a removed line in what is removed.
    pub range: Range<usize>,
    /// The line's number from 1; 0 for what is not in the text.
    pub number: u32,
    pub mark: Mark,
    pub shown: Shown,
}

/// The lines.
#[derive(Debug, Clone, Default)]
pub(crate) struct Doc {
    /// All that stands there now, with a shown proposal in its place.
    pub text: Arc<Vec<u8>>,
    removed: Vec<u8>,
    pub rows: Vec<Row>,
    /// The rows of each part.
    pub parts: Vec<Range<usize>>,
    /// Changed words of rows that a proposal changes.
    pub words: HashMap<usize, Vec<Range<usize>>>,
}

/// A text under one mark.
struct Run {
    range: Range<usize>,
    mark: Mark,
}

impl Doc {
    /// The bytes of a row, without its line end.
    pub(crate) fn line(&self, row: &Row) -> &[u8] {
        let text: &[u8] = match row.shown {
            Shown::Removed => &self.removed,
            _ => &self.text,
        };
        let line = text.get(row.range.clone()).unwrap_or_default();
        line.strip_suffix(b"\n").unwrap_or(line)
    }

    /// Of a conflict, with a proposal for one of its parts where one is shown.
    pub(crate) fn of(subject: &Subject, proposal: Option<(usize, &[u8])>) -> Self {
        let mut text = Vec::new();
        let mut runs: Vec<Run> = Vec::new();
        let mut places: Vec<Range<usize>> = Vec::new();
        let mut old: Option<(usize, Vec<u8>)> = None;
        for piece in &subject.pieces {
            match piece {
                Piece::Text(settled) => text.extend_from_slice(settled),
                Piece::Part(part) => {
                    let n = places.len();
                    let start = text.len();
                    match proposal {
                        Some((at, new)) if at == n => {
                            old = Some((n, part.text()));
                            marked(part, new, Mark::Assist, start, &mut runs);
                            text.extend_from_slice(new);
                        }
                        _ => {
                            let now = part.text();
                            marks(part, &now, start, &mut runs);
                            text.extend_from_slice(&now);
                        }
                    }
                    places.push(start..text.len());
                }
            }
        }
        let mut doc = Self {
            text: Arc::new(text),
            ..Self::default()
        };
        doc.lay_out(&runs, &places, old.as_ref());
        doc
    }

    fn lay_out(&mut self, runs: &[Run], places: &[Range<usize>], old: Option<&(usize, Vec<u8>)>) {
        let text = Arc::clone(&self.text);
        let mut run = 0;
        let mut place = 0;
        let mut at = 0;
        let mut number = 0u32;
        self.parts = vec![0..0; places.len()];
        while at < text.len() {
            let end = memchr::memchr(b'\n', text.get(at..).unwrap_or_default())
                .map_or(text.len(), |n| at + n + 1);
            number = number.saturating_add(1);
            while let Some(p) = places.get(place)
                && p.is_empty()
                && p.start <= at
            {
                self.nothing(place, runs_mark(runs, run, p.start));
                place += 1;
            }
            let row = self.rows.len();
            while runs.get(run).is_some_and(|r| r.range.end <= at) {
                run += 1;
            }
            let mark = runs
                .get(run)
                .filter(|r| r.range.start < end)
                .map_or(Mark::None, |r| r.mark);
            self.rows.push(Row {
                range: at..end,
                number,
                mark,
                shown: Shown::Line,
            });
            while let Some(p) = places.get(place)
                && p.start < end
                && !(p.is_empty() && p.start == at)
            {
                if let Some(rows) = self.parts.get_mut(place) {
                    if rows.start == rows.end {
                        rows.start = row;
                    }
                    rows.end = row + 1;
                }
                if p.end > end {
                    break;
                }
                place += 1;
            }
            at = end;
        }
        while let Some(p) = places.get(place) {
            self.nothing(place, runs_mark(runs, run, p.start));
            place += 1;
        }
        if let Some((n, old)) = old
            && let Some(place) = places.get(*n)
        {
            self.compare(*n, place, old);
        }
    }

    /// A part of which nothing is left has a row of its own, so that it can be seen.
    fn nothing(&mut self, part: usize, mark: Mark) {
        let row = self.rows.len();
        self.rows.push(Row {
            range: 0..0,
            number: 0,
            mark,
            shown: Shown::Nothing,
        });
        if let Some(rows) = self.parts.get_mut(part) {
            *rows = row..row + 1;
        }
    }

    /// Replaces the rows of a part by the difference between what stood there and what stands there now.
    fn compare(&mut self, part: usize, place: &Range<usize>, old: &[u8]) {
        let Some(rows) = self.parts.get(part).cloned() else {
            return;
        };
        let old_rows: Vec<Row> = self.rows.get(rows.clone()).unwrap_or_default().to_vec();
        let lines: Vec<&Row> = old_rows.iter().filter(|r| r.shown == Shown::Line).collect();
        let (start, end) = match (lines.first(), lines.last()) {
            (Some(first), Some(last)) => (first.range.start, last.range.end),
            _ => (place.start, place.end),
        };
        let text = Arc::clone(&self.text);
        let cut = |range: Range<usize>| text.get(range).unwrap_or_default();
        // A part may begin within a line: whole lines are compared.
        let before = [cut(start..place.start), old, cut(place.end..end)].concat();
        let after = cut(start..end);
        let mut made: Vec<(Row, Vec<Range<usize>>)> = Vec::new();
        let mut news = lines.iter().map(|r| (*r).clone());
        let gone = |doc: &mut Self, line: &[u8]| {
            let from = doc.removed.len();
            doc.removed.extend_from_slice(line);
            doc.removed.push(b'\n');
            Row {
                range: from..doc.removed.len(),
                number: 0,
                mark: Mark::None,
                shown: Shown::Removed,
            }
        };
        if before.len().max(after.len()) > COMPARED {
            for line in before.split_inclusive(|b| *b == b'\n') {
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                made.push((gone(self, line), Vec::new()));
            }
            made.extend(news.map(|row| {
                let shown = Shown::Added;
                (Row { shown, ..row }, Vec::new())
            }));
        } else {
            let diff = hunks(&before, after, usize::MAX / 4);
            if diff.hunks.is_empty() {
                return;
            }
            for line in diff.hunks.iter().flat_map(|h| &h.lines) {
                match line.side {
                    Side::Removed => made.push((gone(self, &line.text), line.words.clone())),
                    Side::Added => {
                        if let Some(row) = news.next() {
                            let shown = Shown::Added;
                            made.push((Row { shown, ..row }, line.words.clone()));
                        }
                    }
                    Side::Both => made.extend(news.next().map(|row| (row, Vec::new()))),
                }
            }
            made.extend(news.map(|row| (row, Vec::new())));
        }
        if made.is_empty() {
            return;
        }
        let grown = made.len();
        for (i, (_, words)) in made.iter().enumerate() {
            if !words.is_empty() {
                self.words.insert(rows.start + i, words.clone());
            }
        }
        self.rows
            .splice(rows.clone(), made.into_iter().map(|(row, _)| row));
        for (n, other) in self.parts.iter_mut().enumerate() {
            if n == part {
                other.end = other.start + grown;
            } else if other.start >= rows.end {
                other.start = other.start + grown - rows.len();
                other.end = other.end + grown - rows.len();
            }
        }
    }
}

fn runs_mark(runs: &[Run], from: usize, at: usize) -> Mark {
    let found = runs
        .get(from.saturating_sub(1)..)
        .unwrap_or_default()
        .iter()
        .take_while(|r| r.range.start <= at)
        .find(|r| r.range.start == at && r.range.is_empty());
    found.map_or(Mark::None, |r| r.mark)
}

/// The marks of what a part's pick put there.
fn marks(part: &Part, now: &[u8], start: usize, runs: &mut Vec<Run>) {
    let whole = |mark| Run {
        range: start..start + now.len(),
        mark,
    };
    match &part.pick {
        None => runs.push(whole(Mark::Open)),
        Some(Pick::Ours) => runs.push(whole(Mark::Ours)),
        Some(Pick::Theirs) => runs.push(whole(Mark::Theirs)),
        Some(Pick::Base) => runs.push(whole(Mark::Base)),
        Some(Pick::Both) => {
            let at = start + now.len() - part.sides.theirs.len().min(now.len());
            runs.push(Run {
                range: start..at,
                mark: Mark::Ours,
            });
            runs.push(Run {
                range: at..start + now.len(),
                mark: Mark::Theirs,
            });
        }
        Some(Pick::Edited(_)) => {
            let own = match part.origin {
                PickOrigin::Llm { .. } => Mark::Assist,
                _ => Mark::Edited,
            };
            marked(part, now, own, start, runs);
        }
    }
}

/// The marks of a text that somebody wrote: a line that a side has is that side's.
fn marked(part: &Part, text: &[u8], own: Mark, start: usize, runs: &mut Vec<Run>) {
    let set = |text: &'_ [u8]| -> HashSet<Vec<u8>> { lines(text).map(<[u8]>::to_vec).collect() };
    let sides = [
        set(&part.sides.ours),
        set(&part.sides.theirs),
        set(&part.sides.base),
    ];
    let mut at = start;
    for line in text.split_inclusive(|b| *b == b'\n') {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        let has = |n: usize| sides.get(n).is_some_and(|s| s.contains(bare));
        let mark = match (has(0), has(1), has(2)) {
            (true, true, _) => Mark::Both,
            (true, false, _) => Mark::Ours,
            (false, true, _) => Mark::Theirs,
            (false, false, true) => Mark::Base,
            (false, false, false) => own,
        };
        match runs.last_mut() {
            Some(last) if last.mark == mark && last.range.end == at && at > start => {
                last.range.end += line.len();
            }
            _ => runs.push(Run {
                range: at..at + line.len(),
                mark,
            }),
        }
        at += line.len();
    }
    if text.is_empty() {
        runs.push(Run {
            range: start..start,
            mark: own,
        });
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|b| *b == b'\n')
        .map(|l| l.strip_suffix(b"\n").unwrap_or(l))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::engine::api::PickOrigin;
    use crate::merge::conflict::Hunk;
    use crate::model::RepoPath;
    use crate::ui::merge_view::subject::About;

    fn part(ours: &str, base: &str, theirs: &str, pick: Option<Pick>) -> Piece {
        Piece::Part(Box::new(Part {
            sides: Hunk {
                ours: ours.into(),
                base: base.into(),
                theirs: theirs.into(),
                key: None,
                crlf: false,
            },
            pick,
            origin: PickOrigin::Person,
            within: None,
        }))
    }

    fn subject(pieces: Vec<Piece>) -> Subject {
        Subject {
            about: About::File(RepoPath::new(b"a.txt").unwrap()),
            of: None,
            words: String::new(),
            kind: None,
            pieces,
            entries: [None, None, None],
            paths: [None, None],
            whole: None,
            reasons: [Vec::new(), Vec::new()],
            proposals: Vec::new(),
            notes: Vec::new(),
            both: true,
            version: 0,
        }
    }

    fn shown(doc: &Doc) -> Vec<String> {
        doc.rows
            .iter()
            .map(|r| {
                let sign = match r.shown {
                    Shown::Line => " ",
                    Shown::Added => "+",
                    Shown::Removed => "-",
                    Shown::Nothing => "~",
                };
                let line = String::from_utf8_lossy(doc.line(r)).into_owned();
                format!("{sign}{line}|{}", r.mark.letter())
            })
            .collect()
    }

    #[test]
    fn lines_say_where_they_come_from() {
        let both = part("o\n", "b\n", "t\n", Some(Pick::Both));
        let edited = Pick::Edited(b"x\no\nt\nb\n".to_vec());
        let doc = Doc::of(
            &subject(vec![
                Piece::Text(b"top\n".to_vec()),
                both,
                Piece::Text(b"mid\n".to_vec()),
                part("o\n", "b\n", "t\n", Some(edited)),
                part("", "b\n", "t\n", None),
            ]),
            None,
        );
        let lines = shown(&doc);
        let wanted = [
            " top|", " o|o", " t|t", " mid|", " x|e", " o|o", " t|t", " b|0", "~|?",
        ];
        assert_eq!(lines, wanted);
        assert_eq!(doc.parts, [1..3, 4..8, 8..9]);
    }

    #[test]
    fn a_proposal_is_a_difference() {
        let subject = subject(vec![
            Piece::Text(b"top\n".to_vec()),
            part("same\nold\n", "", "same\nnew\n", None),
            Piece::Text(b"end".to_vec()),
            part("z", "", "y", None),
        ]);
        let doc = Doc::of(&subject, Some((0, b"same\nnew\nmore\n")));
        let lines = shown(&doc);
        let wanted = [" top|", " same|b", "-old|", "+new|t", "+more|a", " endz|?"];
        assert_eq!(lines, wanted);
        assert_eq!(doc.parts, [1..5, 5..6]);
        // Nothing of it is there without being shown.
        let doc = Doc::of(&subject, None);
        assert_eq!(shown(&doc), [" top|", " same|?", " old|?", " endz|?"]);
    }

    #[test]
    fn a_part_within_a_line_is_its_line() {
        let subject = subject(vec![
            Piece::Text(b"{\n  \"port\": ".to_vec()),
            part("80", "1", "443", Some(Pick::Theirs)),
            Piece::Text(b",\n}\n".to_vec()),
        ]);
        let doc = Doc::of(&subject, None);
        assert_eq!(shown(&doc), [" {|", "   \"port\": 443,|t", " }|"]);
        let doc = Doc::of(&subject, Some((0, b"8080")));
        let lines = shown(&doc);
        let wanted = [" {|", "-  \"port\": 443,|", "+  \"port\": 8080,|a", " }|"];
        assert_eq!(lines, wanted);
    }
}
