//! From text to a query. Every mistake has a place, says what is expected there, and names what is near.

use crate::model::Ordinal;

use super::keys::{FLAGS, KEYS, Key, Takes, nearest};
use super::pattern::{How, Pattern};
use super::value::{Span, Steps, Value};
use super::{Query, Term};

/// Longest query, in bytes.
pub const MAX_LEN: usize = 4096;
/// Most patterns in a query: each is a program of its own.
const MOST: usize = 64;

/// Why a text is no query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// The first byte that is wrong.
    pub at: usize,
    /// The byte behind what is wrong; never before `at`.
    pub end: usize,
    /// What is expected there.
    pub message: String,
}

impl QueryError {
    pub(super) fn new(at: usize, end: usize, message: String) -> Self {
        Self {
            at,
            end: end.max(at),
            message,
        }
    }

    /// The text in one line and, below the place, what is wrong there. For terminals: what is not printable is shown.
    #[must_use]
    pub fn pointed(&self, text: &str) -> String {
        let show = |part: Option<&str>| crate::model::neutral(part.unwrap_or_default().as_bytes());
        let before = show(text.get(..self.at));
        let wrong = show(text.get(self.at..self.end));
        let after = show(text.get(self.end..));
        let width = |s: &str| s.chars().count();
        format!(
            "{before}{wrong}{after}\n{}{} {}",
            " ".repeat(width(&before)),
            "^".repeat(width(&wrong).max(1)),
            self.message
        )
    }
}

impl std::str::FromStr for Query {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        if text.len() > MAX_LEN {
            let mut at = MAX_LEN;
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            let message = format!("a query has at most {MAX_LEN} bytes");
            return Err(QueryError::new(at, text.len(), message));
        }
        let mut parser = Parser {
            text,
            at: 0,
            patterns: 0,
        };
        let mut terms = Vec::new();
        loop {
            parser.blanks();
            if parser.rest().is_empty() {
                return Ok(Self { terms });
            }
            terms.push(parser.term()?);
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    patterns: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn at_end_of_term(&self) -> bool {
        self.peek().is_none_or(char::is_whitespace)
    }

    /// An error from a byte up to here.
    fn wrong<T>(&self, from: usize, message: impl Into<String>) -> Result<T, QueryError> {
        Err(QueryError::new(from, self.at, message.into()))
    }

    fn term(&mut self) -> Result<Term, QueryError> {
        let start = self.at;
        let mut not = self.eat('!');
        if self.at_end_of_term() {
            return self.wrong(start, "! turns the term behind it round: !kind:bash");
        }
        if self.peek() == Some('!') {
            self.at += 1;
            return self.wrong(start, "one ! is enough");
        }
        let key = self.key()?;
        let mut other = key.is_some() && self.eat('!');
        let key = key.unwrap_or(Key::Text);
        let mut values = vec![self.value(key)?];
        while self.eat(',') || self.eat('|') {
            values.push(self.value(key)?);
        }
        if !self.at_end_of_term() {
            let from = self.at;
            self.at += self.peek().map_or(0, char::len_utf8);
            return self.wrong(
                from,
                "a blank, or , or | for another value, is expected here",
            );
        }
        // Of these there are no others.
        if matches!(key, Key::Text | Key::Is) {
            not ^= other;
            other = false;
        }
        Ok(Term {
            not,
            key,
            other,
            values,
        })
    }

    /// A word with a colon is a key.
    fn key(&mut self) -> Result<Option<Key>, QueryError> {
        let rest = self.rest();
        let letters = rest
            .find(|c: char| !(c.is_ascii_alphabetic() || matches!(c, '_' | '-')))
            .unwrap_or(rest.len());
        if letters == 0 || !rest[letters..].starts_with(':') {
            return Ok(None);
        }
        let (from, name) = (self.at, &rest[..letters]);
        self.at += letters;
        if let Some(key) = Key::named(name) {
            self.at += 1;
            return Ok(Some(key));
        }
        let near = match nearest(name, KEYS.iter().map(|k| k.name)) {
            Some(near) => format!("did you mean {near}?"),
            None => "keys are kind, exit, path, text, ...".to_owned(),
        };
        self.wrong(
            from,
            format!("there is no key {name}: {near} (as text: \"{name}:...\", in quotes)"),
        )
    }

    fn value(&mut self, key: Key) -> Result<Value, QueryError> {
        let takes = key.info().takes;
        let from = self.at;
        let how = match takes {
            Takes::Text => Some(How::Piece),
            Takes::Name => Some(How::Name),
            Takes::Path => Some(How::Path),
            Takes::Number | Takes::Step | Takes::Time | Takes::Flag => None,
        };
        let Some(how) = how else {
            let word = self.bare(false).to_owned();
            return self.plain(key, &word, from);
        };
        let (how, from) = if self.eat('~') {
            (How::Regex, self.at)
        } else {
            (how, from)
        };
        let source = if self.peek() == Some('"') {
            self.quoted()?
        } else if how == How::Regex {
            // It has bars and commas of its own.
            let rest = self.rest();
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            self.at += end;
            rest[..end].to_owned()
        } else {
            self.bare(how != How::Piece).to_owned()
        };
        if source.is_empty() {
            return self.wrong(from, self.expected(key));
        }
        if how != How::Regex && how != How::Piece && source.starts_with('!') {
            return self.wrong(from, "! stands before the first value, for all of them");
        }
        self.patterns += 1;
        if self.patterns > MOST {
            return self.wrong(from, format!("a query has at most {MOST} values"));
        }
        match Pattern::new(&source, how) {
            Ok(pattern) => Ok(Value::Pattern(pattern)),
            Err(message) => self.wrong(from, message),
        }
    }

    fn expected(&self, key: Key) -> String {
        let info = key.info();
        let next = match self.peek() {
            Some(c @ (',' | '|')) => format!(" before {c}"),
            _ => String::new(),
        };
        let what = match info.takes {
            Takes::Text => "a text",
            Takes::Name => "a name",
            Takes::Path => "a path",
            Takes::Number | Takes::Step => "a number",
            Takes::Time => "a time",
            Takes::Flag => "a word",
        };
        format!("{what} is expected{next}, as in {}", info.example)
    }

    /// Up to a blank or a separator; within brackets and braces of a pattern separators are the pattern's own.
    fn bare(&mut self, nested: bool) -> &'a str {
        let rest = self.rest();
        let mut depth = 0_usize;
        let mut end = rest.len();
        for (i, c) in rest.char_indices() {
            match c {
                '{' | '[' if nested => depth += 1,
                '}' | ']' if nested => depth = depth.saturating_sub(1),
                ',' | '|' if depth == 0 => {
                    end = i;
                    break;
                }
                c if c.is_whitespace() => {
                    end = i;
                    break;
                }
                _ => {}
            }
        }
        self.at += end;
        &rest[..end]
    }

    fn quoted(&mut self) -> Result<String, QueryError> {
        let from = self.at;
        let mut out = String::new();
        let mut chars = self.rest().char_indices().skip(1).peekable();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += i + 1;
                    return Ok(out);
                }
                '\\' => match chars.next_if(|(_, next)| matches!(next, '"' | '\\')) {
                    Some((_, next)) => out.push(next),
                    None => out.push(c),
                },
                c => out.push(c),
            }
        }
        self.at = self.text.len();
        self.wrong(
            from,
            "the quotes that begin here are not closed: \" is expected",
        )
    }

    /// What is neither text nor name.
    fn plain(&self, key: Key, word: &str, from: usize) -> Result<Value, QueryError> {
        if word.is_empty() {
            return self.wrong(from, self.expected(key));
        }
        let read = match key.info().takes {
            Takes::Flag => {
                let known = FLAGS.iter().find(|(name, ..)| *name == word);
                known.map(|(_, flag, _)| Value::Flag(*flag))
            }
            Takes::Step => steps(word).map(Value::Steps),
            Takes::Time => span(word, milliseconds).map(Value::Time),
            _ => span(word, number).map(Value::Number),
        };
        if let Some(value) = read {
            return Ok(value);
        }
        self.wrong(
            from,
            match key.info().takes {
                Takes::Flag => {
                    let names: Vec<&str> = FLAGS.iter().map(|(name, ..)| *name).collect();
                    match nearest(word, names.iter().copied()) {
                        Some(near) => format!("did you mean {near}?"),
                        None => format!("one of these is expected: {}", names.join(", ")),
                    }
                }
                Takes::Time => {
                    "a time is expected: 500ms, 30s, 2m, 1h, <30s, >2m, 1m..5m".to_owned()
                }
                Takes::Step => "a step's number is expected: 142, 10..20, <20, >100".to_owned(),
                _ => "a number is expected: 1, 10..20, <20, >=100, >50k".to_owned(),
            },
        )
    }
}

fn number(word: &str) -> Option<i64> {
    let (digits, unit) = match word.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => match word.strip_suffix('M') {
            Some(digits) => (digits, 1_000_000),
            None => (word, 1),
        },
    };
    digits.parse::<i64>().ok()?.checked_mul(unit)
}

fn milliseconds(word: &str) -> Option<i64> {
    let units = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("", 1_000),
    ];
    let (unit, by) = units.iter().find(|(unit, _)| word.ends_with(unit))?;
    let digits = &word[..word.len() - unit.len()];
    digits.parse::<i64>().ok()?.checked_mul(*by)
}

/// A number, a comparison or a range.
fn span(word: &str, read: impl Fn(&str) -> Option<i64>) -> Option<Span> {
    let (from, to) = if let Some(rest) = word.strip_prefix("<=") {
        (None, Some(read(rest)?))
    } else if let Some(rest) = word.strip_prefix(">=") {
        (Some(read(rest)?), None)
    } else if let Some(rest) = word.strip_prefix('<') {
        (None, Some(read(rest)?.checked_sub(1)?))
    } else if let Some(rest) = word.strip_prefix('>') {
        (Some(read(rest)?.checked_add(1)?), None)
    } else if let Some((from, to)) = word.split_once("..") {
        let end = |s: &str| match s {
            "" => Some(None),
            s => read(s).map(Some),
        };
        (end(from)?, end(to)?)
    } else {
        let n = read(word)?;
        (Some(n), Some(n))
    };
    Some(Span { from, to })
}

fn steps(word: &str) -> Option<Steps> {
    // A number stands for all that lies behind it: its first and its last.
    let ends = |s: &str| -> Option<(Ordinal, Ordinal)> {
        let first: Ordinal = s.parse().ok()?;
        let last = Ordinal {
            minor: if s.contains('.') {
                first.minor
            } else {
                u32::MAX
            },
            ..first
        };
        Some((first, last))
    };
    let (from, to) = if let Some(rest) = word.strip_prefix("<=") {
        (None, Some(ends(rest)?.1))
    } else if let Some(rest) = word.strip_prefix(">=") {
        (Some(ends(rest)?.0), None)
    } else if let Some(rest) = word.strip_prefix('<') {
        (None, Some(before(ends(rest)?.0)?))
    } else if let Some(rest) = word.strip_prefix('>') {
        (Some(after(ends(rest)?.1)?), None)
    } else if let Some((from, to)) = word.split_once("..") {
        let from = (!from.is_empty()).then(|| ends(from));
        let to = (!to.is_empty()).then(|| ends(to));
        let from = match from {
            Some(ends) => Some(ends?.0),
            None => None,
        };
        let to = match to {
            Some(ends) => Some(ends?.1),
            None => None,
        };
        (from, to)
    } else {
        let (first, last) = ends(word)?;
        (Some(first), Some(last))
    };
    Some(Steps { from, to })
}

fn before(o: Ordinal) -> Option<Ordinal> {
    Some(match o.minor.checked_sub(1) {
        Some(minor) => Ordinal { minor, ..o },
        None => Ordinal {
            major: o.major.checked_sub(1)?,
            minor: u32::MAX,
        },
    })
}

fn after(o: Ordinal) -> Option<Ordinal> {
    Some(match o.minor.checked_add(1) {
        Some(minor) => Ordinal { minor, ..o },
        None => Ordinal {
            major: o.major.checked_add(1)?,
            minor: 0,
        },
    })
}
