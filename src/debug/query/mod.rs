//! The language in which steps are searched for: `kind:bash exit:!0 path:src/** text:~timeout`.
//!
//! Terms beside each other must all hold; `,` or `|` between values is *or*; `!` before a term turns it round. `!` before
//! values (`exit:!0`) asks for a step that *has* such a fact and it is another. A query knows nothing of stores or screens:
//! [`Query::test`] asks a step's [`Facts`], which may say that something is not known here, so that the same query decides
//! over rows that are on a screen, and over steps with their texts. What is printed reads back as the same query.

mod eval;
mod keys;
mod parse;
mod pattern;
mod print;
#[cfg(test)]
mod tests;
mod value;

pub use eval::{EachText, Facts, Match, Place, Plain, Verdict};
pub use keys::{FLAGS, Flag, KEYS, Key, KeyInfo, Takes, nearest};
pub use parse::{MAX_LEN, QueryError};
pub use pattern::{How, Pattern};
pub use value::{Span, Steps, Value};

/// A query that was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// All of them must hold.
    pub terms: Vec<Term>,
}

/// One thing that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// It must not hold.
    pub not: bool,
    /// About what.
    pub key: Key,
    /// Another value than these is asked for.
    pub other: bool,
    /// One of them must fit. Never empty.
    pub values: Vec<Value>,
}

impl Query {
    /// The query for a piece of text as it is, or for a regular expression when it begins with `~`.
    pub fn text(text: &str) -> Result<Self, QueryError> {
        let (rest, how) = match text.strip_prefix('~') {
            Some(rest) if !rest.is_empty() => (rest, How::Regex),
            _ => (text, How::Piece),
        };
        let whole = |message| QueryError::new(0, text.len(), message);
        if rest.is_empty() {
            return Err(whole("a text is expected".to_owned()));
        }
        if text.len() > MAX_LEN {
            return Err(whole(format!(
                "at most {MAX_LEN} bytes can be searched for"
            )));
        }
        let pattern = Pattern::new(rest, how).map_err(whole)?;
        Ok(Self {
            terms: vec![Term {
                not: false,
                key: Key::Text,
                other: false,
                values: vec![Value::Pattern(pattern)],
            }],
        })
    }

    /// Whether it asks for nothing, so that every step fits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether a step's row always decides: no text, path, branch or name of a session is asked for.
    #[must_use]
    pub fn needs_rows_only(&self) -> bool {
        self.terms.iter().all(Term::is_of_row)
    }

    /// Whether file states are asked about.
    #[must_use]
    pub fn needs_states(&self) -> bool {
        self.terms.iter().any(|t| {
            matches!(
                t.key,
                Key::Text | Key::Path | Key::Branch | Key::Is | Key::Files | Key::Lines
            )
        })
    }

    /// Whether steps of branches that were left are asked for.
    #[must_use]
    pub fn asks_for_dead(&self) -> bool {
        self.terms
            .iter()
            .any(|t| !t.not && t.values.contains(&Value::Flag(Flag::Dead)))
    }

    /// The texts that are searched for, for marks on the screen.
    pub fn texts(&self) -> impl Iterator<Item = &Pattern> {
        self.terms
            .iter()
            .filter(|t| t.key == Key::Text && !t.not)
            .flat_map(|t| &t.values)
            .filter_map(Value::pattern)
    }
}
