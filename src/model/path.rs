//! Paths inside a project: any bytes but NUL, relative, without `.` or `..`, so that they can never leave the tree.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why bytes are not a path inside a project.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Absolute, or with an empty, `.` or `..` component.
    #[error("not a path inside the project: {0:?} (no leading '/', no '.', '..' or empty part)")]
    Outside(String),
    /// Contains a NUL byte.
    #[error("a path cannot hold a NUL byte: {0:?}")]
    Nul(String),
}

/// A path relative to the project's root, `/`-separated; empty means the root itself.
///
/// Invariant: no leading or trailing slash, no empty, `.` or `..` component, no NUL. Any other bytes are allowed, so
/// it may not be UTF-8; [`fmt::Display`] neutralises what a terminal would act on.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct RepoPath(Vec<u8>);

impl RepoPath {
    /// The project's root.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Checks `bytes` and makes a path of them.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, PathError> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Ok(Self(bytes));
        }
        if bytes.contains(&0) {
            return Err(PathError::Nul(neutral(&bytes)));
        }
        for part in bytes.split(|b| *b == b'/') {
            if part.is_empty() || part == b"." || part == b".." {
                return Err(PathError::Outside(neutral(&bytes)));
            }
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As a relative file-system path. The root is the empty path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Whether this is the project's root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The components, first to last.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|b| *b == b'/').filter(|p| !p.is_empty())
    }

    /// The path of `name` in this directory. `name` must be one component; anything else is refused.
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        if name.is_empty() || name.contains(&b'/') {
            return Err(PathError::Outside(neutral(name)));
        }
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(&self.0);
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Self::new(bytes)
    }

    /// The directory this lies in; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        let at = self.0.iter().rposition(|b| *b == b'/').unwrap_or(0);
        Some(Self(self.0[..at].to_vec()))
    }

    /// The last component; empty for the root.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        match self.0.iter().rposition(|b| *b == b'/') {
            Some(at) => &self.0[at + 1..],
            None => &self.0,
        }
    }

    /// Whether this is `dir` or lies below it.
    #[must_use]
    pub fn is_within(&self, dir: &Self) -> bool {
        dir.0.is_empty()
            || self.0 == dir.0
            || (self.0.len() > dir.0.len()
                && self.0.starts_with(&dir.0)
                && self.0[dir.0.len()] == b'/')
    }

    /// This path with the leading `from` replaced by `to`; `None` if it does not lie within `from`.
    #[must_use]
    pub fn moved(&self, from: &Self, to: &Self) -> Option<Self> {
        if !self.is_within(from) {
            return None;
        }
        let rest = &self.0[from.0.len()..];
        let rest = rest.strip_prefix(b"/").unwrap_or(rest);
        let mut out = to.0.clone();
        if !out.is_empty() && !rest.is_empty() {
            out.push(b'/');
        }
        out.extend_from_slice(rest);
        Some(Self(out))
    }
}

impl TryFrom<&str> for RepoPath {
    type Error = PathError;

    fn try_from(s: &str) -> Result<Self, PathError> {
        Self::new(s.as_bytes())
    }
}

/// Characters of which nothing is seen, or a blank, although they are no white space. Variation selectors are none: they say
/// how the character before them looks.
fn is_filler(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{180e}'
            | '\u{2061}'..='\u{2064}'
            | '\u{206a}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
    )
}

/// Whether a person who looks at a text may not see that this is in it: what [`neutral`] shows as an escape, and variation
/// selectors, of which any number hides behind one character.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    let selector = matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}');
    let mut buffer = [0; 4];
    let text = c.encode_utf8(&mut buffer);
    selector || neutral(text.as_bytes()) != *text
}

/// `bytes` as text that is safe on a terminal: control characters, bidirectional controls and bytes that are not UTF-8
/// become visible escapes (`\n`, `\x1b`, `\u{202e}`, `\xff`); everything else stays as it is.
#[must_use]
pub fn neutral(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let bidi = matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let invisible = matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{e0000}'..='\u{e007f}')
                || is_filler(c);
            match c {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if (c as u32) < 0x20 || c == '\x7f' => {
                    out.push_str(&format!("\\x{:02x}", c as u32));
                }
                c if c.is_control() || bidi || invisible => {
                    out.push_str(&format!("\\u{{{:x}}}", c as u32));
                }
                c => out.push(c),
            }
        }
        for b in chunk.invalid() {
            out.push_str(&format!("\\x{b:02x}"));
        }
    }
    out
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&neutral(&self.0))
    }
}

impl fmt::Debug for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RepoPath({self})")
    }
}

/// JSON form: a string where the path is UTF-8, else `{"bytes": [..]}`, so that no name is lost.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Wire {
    Text(String),
    Bytes { bytes: Vec<u8> },
}

impl Serialize for RepoPath {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(t) => Wire::Text(t.to_owned()),
            Err(_) => Wire::Bytes {
                bytes: self.0.clone(),
            },
        }
        .serialize(s)
    }
}

impl<'de> Deserialize<'de> for RepoPath {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let bytes = match Wire::deserialize(d)? {
            Wire::Text(t) => t.into_bytes(),
            Wire::Bytes { bytes } => bytes,
        };
        Self::new(bytes).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn p(s: &str) -> RepoPath {
        RepoPath::try_from(s).unwrap()
    }

    #[test]
    fn refuses_what_leaves_the_tree() {
        for bad in ["/etc", "a/../b", "..", ".", "a//b", "a/", "a\0b"] {
            assert!(RepoPath::try_from(bad).is_err(), "{bad:?}");
        }
        assert!(p("a").join(b"b/c").is_err());
        assert!(p("a").join(b"..").is_err());
    }

    #[test]
    fn parents_and_moves() {
        assert_eq!(p("a/b/c").parent(), Some(p("a/b")));
        assert_eq!(p("a").parent(), Some(RepoPath::root()));
        assert_eq!(RepoPath::root().parent(), None);
        assert!(p("a/b").is_within(&p("a")));
        assert!(!p("ab").is_within(&p("a")));
        assert_eq!(p("a/b/c").moved(&p("a/b"), &p("x")), Some(p("x/c")));
        assert_eq!(p("a/b").moved(&p("a/b"), &p("x/y")), Some(p("x/y")));
        assert_eq!(p("c").moved(&p("a"), &p("x")), None);
    }

    #[test]
    fn json_keeps_any_bytes() {
        for bytes in [&b"a/b"[..], b"\xff\xfe", b"new\nline", b""] {
            let path = RepoPath::new(bytes).unwrap();
            let json = serde_json::to_string(&path).unwrap();
            assert_eq!(serde_json::from_str::<RepoPath>(&json).unwrap(), path);
        }
    }

    #[test]
    fn shows_no_control_sequences() {
        let shown = RepoPath::new(&b"a\x1b[2Jb\n\xff\xe2\x80\xae"[..])
            .unwrap()
            .to_string();
        assert_eq!(shown, "a\\x1b[2Jb\\n\\xff\\u{202e}");
        assert_eq!(
            neutral("a\u{3164}\u{ad}\u{2800}\u{206a}b".as_bytes()),
            "a\\u{3164}\\u{ad}\\u{2800}\\u{206a}b"
        );
        assert_eq!(neutral("\u{2764}\u{fe0f}".as_bytes()), "\u{2764}\u{fe0f}");
    }
}
