//! Where a path that a trace names lies: in the session's working directory, or outside of it.
//!
//! Paths come from other machines and from agents: they are taken as text, never looked up, and can never lead out of
//! the tree. Drive letters and backslashes are understood, since recordings are carried around.

use crate::model::RepoPath;

/// A path with more parts, or more bytes, is no file's: no system has such, and trees are walked by recursion.
const MOST_PARTS: usize = 255;
const MOST_BYTES: usize = 4096;

/// Where a file lies.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Place {
    /// In the working directory: it is in the states.
    Inside(RepoPath),
    /// Elsewhere, as an absolute path where it can be made one: told, but in no state.
    Outside(String),
}

impl Place {
    /// The path as it is told to people and programs.
    pub fn text(&self) -> String {
        match self {
            Self::Inside(path) => String::from_utf8_lossy(path.as_bytes()).into_owned(),
            Self::Outside(path) => path.clone(),
        }
    }

    /// The path within the states.
    pub fn inside(&self) -> Option<&RepoPath> {
        match self {
            Self::Inside(path) => Some(path),
            Self::Outside(_) => None,
        }
    }
}

/// The working directory that paths are relative to.
#[derive(Debug, Clone)]
pub(super) struct Root {
    /// Its parts; `None` when no absolute path is known.
    parts: Option<Vec<String>>,
}

impl Root {
    pub fn new(cwd: &str) -> Self {
        Self {
            parts: absolute(cwd).map(|rest| fold(Vec::new(), &rest).0),
        }
    }

    /// Where `path` lies; relative ones start from `cwd`, or from the root.
    pub fn place(&self, path: &str, cwd: Option<&str>) -> Place {
        let start = match cwd.and_then(absolute) {
            Some(rest) => Some(fold(Vec::new(), &rest).0),
            None => self.parts.clone(),
        };
        let (parts, above, rooted) = match absolute(path) {
            Some(rest) => {
                let (parts, _) = fold(Vec::new(), &rest);
                (parts, 0, true)
            }
            None => {
                let rooted = start.is_some();
                let (parts, above) = fold(start.unwrap_or_default(), &slashes(path));
                (parts, if rooted { 0 } else { above }, rooted)
            }
        };
        let below: Option<&[String]> = match (&self.parts, rooted) {
            (Some(root), true) => parts.strip_prefix(root.as_slice()),
            (None, false) if above == 0 => Some(&parts),
            _ => None,
        };
        let inside = below
            .filter(|p| !p.is_empty() && p.len() <= MOST_PARTS)
            .map(|p| p.join("/"))
            .filter(|p| p.len() <= MOST_BYTES)
            .and_then(|p| RepoPath::new(p).ok());
        match inside {
            Some(path) => Place::Inside(path),
            None if rooted => {
                let drive = parts.first().is_some_and(|p| is_drive(p));
                let lead = if drive { "" } else { "/" };
                Place::Outside(format!("{lead}{}", parts.join("/")))
            }
            None => Place::Outside(path.to_owned()),
        }
    }
}

fn is_drive(part: &str) -> bool {
    matches!(part.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic())
}

/// What follows the beginning of an absolute path, `/`-separated; `None` for a relative one. A drive stays its first part.
fn absolute(path: &str) -> Option<String> {
    if let Some(drive) = path.get(..2)
        && is_drive(drive)
        && matches!(path.as_bytes().get(2), None | Some(b'/' | b'\\'))
    {
        return Some(path.replace('\\', "/"));
    }
    path.strip_prefix('/').map(str::to_owned)
}

/// A relative path of a recording from a system with backslashes. One that holds a slash is left alone: there a
/// backslash is part of a name.
fn slashes(path: &str) -> String {
    if path.contains('\\') && !path.contains('/') {
        path.replace('\\', "/")
    } else {
        path.to_owned()
    }
}

/// `path` walked from `parts`, and how often it went above the top.
fn fold(mut parts: Vec<String>, path: &str) -> (Vec<String>, usize) {
    let mut above = 0;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    above += 1;
                }
            }
            part => parts.push(part.to_owned()),
        }
    }
    (parts, above)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_and_outside() {
        let root = Root::new("/w/p/");
        for (path, cwd, at) in [
            ("/w/p/src/a.rs", None, "src/a.rs"),
            ("src/./b//c", None, "src/b/c"),
            ("a", Some("/w/p/sub"), "sub/a"),
            ("../a", Some("/w/p/sub"), "a"),
            ("../a", None, "/w/a"),
            ("../../../../etc/passwd", None, "/etc/passwd"),
            ("/w/p/../q/a", None, "/w/q/a"),
            ("/w/pp/a", None, "/w/pp/a"),
            ("/w/p", None, "/w/p"),
            ("a", Some("/elsewhere"), "/elsewhere/a"),
            ("C:\\w\\a", None, "C:/w/a"),
        ] {
            let place = root.place(path, cwd);
            assert_eq!(place.text(), at, "{path} from {cwd:?}");
            assert_eq!(
                place.inside().is_some(),
                !at.starts_with('/') && !at.starts_with("C:"),
                "{path}"
            );
        }
        let root = Root::new("C:\\Users\\x\\p");
        assert_eq!(root.place("c\\d.txt", None).text(), "c/d.txt");
        assert!(root.place("C:\\Users\\x\\p\\a", None).inside().is_some());
        assert!(root.place("D:/Users/x/p/a", None).inside().is_none());
    }

    #[test]
    fn what_no_system_has_is_in_no_state() {
        let root = Root::new("/w");
        let deep = |parts: usize| format!("/w/{}f", "a/".repeat(parts - 1));
        assert!(root.place(&deep(MOST_PARTS), None).inside().is_some());
        assert!(root.place(&deep(MOST_PARTS + 1), None).inside().is_none());
        let long = |bytes: usize| format!("/w/{}", "a".repeat(bytes));
        assert!(root.place(&long(MOST_BYTES), None).inside().is_some());
        assert!(root.place(&long(MOST_BYTES + 1), None).inside().is_none());
    }

    #[test]
    fn without_a_working_directory() {
        let root = Root::new("");
        assert_eq!(root.place("a/b", None).text(), "a/b");
        assert!(root.place("a/b", None).inside().is_some());
        assert!(root.place("../b", None).inside().is_none());
        assert!(root.place("/a/b", None).inside().is_none());
        assert!(root.place("", None).inside().is_none());
        assert!(root.place("a\0b", None).inside().is_none());
    }
}
