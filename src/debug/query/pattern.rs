//! What a value looks for in a text, a name or a path: one regular expression each, bounded in size.
//!
//! A pattern without a capital letter minds no case.

use globset::GlobBuilder;
use regex::bytes::{Regex, RegexBuilder};

/// Largest program of a pattern, in bytes.
const SIZE: usize = 1 << 20;
/// Largest table that matching may build, in bytes.
const TABLE: usize = 4 << 20;

/// How a pattern is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    /// A piece of text.
    Piece,
    /// A whole name with wildcards.
    Name,
    /// A path with wildcards.
    Path,
    /// A regular expression.
    Regex,
}

/// A pattern made ready. Two are equal when they are written the same.
#[derive(Debug, Clone)]
pub struct Pattern {
    source: String,
    how: How,
    matcher: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.how == other.how && self.source == other.source
    }
}

impl Eq for Pattern {}

impl Pattern {
    /// Makes one, or says in a few words why it is none.
    pub fn new(source: &str, how: How) -> Result<Self, String> {
        let expression = match how {
            How::Piece => regex::escape(source),
            How::Regex => source.to_owned(),
            How::Name => glob(source, false)?,
            How::Path => {
                let anchored = source.trim_start_matches("./").trim_start_matches('/');
                let bare = anchored.trim_end_matches('/');
                let inside = format!("{bare}/**");
                let mut all = vec![bare.to_owned(), inside.clone()];
                // A name lies in any directory; what is written with a slash begins at the root.
                if anchored.len() == source.len() && !bare.contains('/') {
                    all.push(format!("**/{bare}"));
                    all.push(format!("**/{inside}"));
                }
                let all: Result<Vec<String>, String> = all.iter().map(|g| glob(g, true)).collect();
                all?.join("|")
            }
        };
        let matcher = RegexBuilder::new(&expression)
            .case_insensitive(!source.chars().any(char::is_uppercase))
            .multi_line(how == How::Regex)
            .size_limit(SIZE)
            .dfa_size_limit(TABLE)
            .build()
            .map_err(|e| match e {
                regex::Error::CompiledTooBig(_) => {
                    "this regular expression is too large".to_owned()
                }
                e => reason(&e.to_string()),
            })?;
        Ok(Self {
            source: source.to_owned(),
            how,
            matcher,
        })
    }

    /// As it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How it is written.
    #[must_use]
    pub fn how(&self) -> How {
        self.how
    }

    /// Whether it is in there.
    #[must_use]
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        self.matcher.is_match(bytes)
    }

    /// Where it is first.
    #[must_use]
    pub fn find(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        self.matcher.find(bytes).map(|m| (m.start(), m.end()))
    }

    /// Where it is first from a byte on.
    #[must_use]
    pub fn find_at(&self, bytes: &[u8], from: usize) -> Option<(usize, usize)> {
        if from > bytes.len() {
            return None;
        }
        self.matcher
            .find_at(bytes, from)
            .map(|m| (m.start(), m.end()))
    }

    /// Whether it is a word without wildcards that is one of these.
    pub(super) fn is_word(&self, words: &[&str]) -> bool {
        self.how == How::Name && words.contains(&self.source.as_str())
    }
}

fn glob(source: &str, slashes: bool) -> Result<String, String> {
    let glob = GlobBuilder::new(source)
        .literal_separator(slashes)
        .build()
        .map_err(|e| reason(&e.kind().to_string()))?;
    Ok(glob.regex().to_owned())
}

/// The last line of an error: the others draw the expression, which is on the screen already.
fn reason(error: &str) -> String {
    let line = error.lines().last().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    format!(
        "this pattern cannot be read: {}",
        line.trim_end_matches('.')
    )
}
