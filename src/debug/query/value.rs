//! What a term compares with: patterns, spans of numbers and of steps, flags.

use std::fmt;

use crate::model::Ordinal;

use super::keys::Flag;
use super::pattern::Pattern;

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text, a name, a path.
    Pattern(Pattern),
    /// Numbers.
    Number(Span),
    /// Milliseconds.
    Time(Span),
    /// Steps.
    Steps(Steps),
    /// How it stands.
    Flag(Flag),
}

impl Value {
    /// The pattern, if it is one.
    #[must_use]
    pub fn pattern(&self) -> Option<&Pattern> {
        match self {
            Self::Pattern(pattern) => Some(pattern),
            _ => None,
        }
    }
}

/// Numbers from one to another, both with them; without an end it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The least.
    pub from: Option<i64>,
    /// The greatest.
    pub to: Option<i64>,
}

impl Span {
    /// Whether a number is in it.
    #[must_use]
    pub fn has(self, n: i64) -> bool {
        self.from.is_none_or(|from| from <= n) && self.to.is_none_or(|to| n <= to)
    }

    /// Writes it with a unit behind each number.
    pub(super) fn write(self, f: &mut fmt::Formatter<'_>, unit: &str) -> fmt::Result {
        match (self.from, self.to) {
            (Some(from), Some(to)) if from == to => write!(f, "{from}{unit}"),
            (Some(from), Some(to)) => write!(f, "{from}{unit}..{to}{unit}"),
            (Some(from), None) => write!(f, "{from}{unit}.."),
            (None, Some(to)) => write!(f, "..{to}{unit}"),
            (None, None) => f.write_str(".."),
        }
    }
}

/// Steps from one to another, both with them. A number alone stands for the step with what was found later behind it:
/// 136 is also 136.1 and 136.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// The first.
    pub from: Option<Ordinal>,
    /// The last.
    pub to: Option<Ordinal>,
}

impl Steps {
    /// Whether a step is in it.
    #[must_use]
    pub fn has(self, n: Ordinal) -> bool {
        self.from.is_none_or(|from| from <= n) && self.to.is_none_or(|to| n <= to)
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An end that takes all behind a number is written as the number.
        let end = |o: Ordinal| {
            if o.minor == u32::MAX {
                o.major.to_string()
            } else {
                exact(o)
            }
        };
        match (self.from, self.to) {
            (Some(a), Some(b)) if a.major == b.major && a.minor == 0 && b.minor == u32::MAX => {
                write!(f, "{}", a.major)
            }
            (Some(a), Some(b)) if a == b => f.write_str(&exact(a)),
            (Some(a), Some(b)) => write!(f, "{a}..{}", end(b)),
            (Some(a), None) => write!(f, "{a}.."),
            (None, Some(b)) => write!(f, "..{}", end(b)),
            (None, None) => f.write_str(".."),
        }
    }
}

fn exact(o: Ordinal) -> String {
    format!("{}.{}", o.major, o.minor)
}
