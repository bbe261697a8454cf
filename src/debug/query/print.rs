//! A query as text: the shortest that reads back as the same one.

use std::fmt;

use super::keys::Key;
use super::pattern::{How, Pattern};
use super::value::Value;
use super::{Query, Term};

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, term) in self.terms.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            term.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.not {
            f.write_str("!")?;
        }
        // Text is what is meant without a key, unless it begins like something else.
        let first = self.values.first().and_then(Value::pattern);
        let bare = self.key == Key::Text && first.is_some_and(|p| p.how() == How::Piece);
        if !bare {
            write!(f, "{}:", self.key.name())?;
        }
        if self.other {
            f.write_str("!")?;
        }
        for (i, value) in self.values.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            match value {
                Value::Pattern(pattern) => {
                    write_pattern(f, pattern, i + 1 == self.values.len())?;
                }
                Value::Number(span) => span.write(f, "")?,
                Value::Time(span) => span.write(f, "ms")?,
                Value::Steps(steps) => steps.fmt(f)?,
                Value::Flag(flag) => f.write_str(flag.name())?,
            }
        }
        Ok(())
    }
}

fn write_pattern(f: &mut fmt::Formatter<'_>, pattern: &Pattern, last: bool) -> fmt::Result {
    let source = pattern.source();
    let regex = pattern.how() == How::Regex;
    if regex {
        f.write_str("~")?;
    }
    let plain = |c: char| {
        c.is_alphanumeric()
            || matches!(
                c,
                '_' | '-' | '.' | '/' | '*' | '?' | '+' | '=' | '@' | '#' | '%'
            )
    };
    // Up to the next blank everything is the expression's own.
    let fine = if regex {
        last && !source.starts_with('"') && !source.contains(char::is_whitespace)
    } else {
        source.chars().all(plain)
    };
    if fine && !source.is_empty() {
        return f.write_str(source);
    }
    f.write_str("\"")?;
    for c in source.chars() {
        if matches!(c, '"' | '\\') {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str("\"")
}
