//! Taking what was recorded out of Backtrail, only when asked: as a patch that `git apply` takes, or as a branch of the
//! project's git repository with the reasoning in its messages.
//!
//! All of it runs in the process that asked, over a [`Source`], so that projects and recordings are the same. The
//! repository is only written to by `git` itself, which gets no hooks and no configuration of a person or of the machine; HEAD,
//! the index and the working tree are never written.
//!
//! [`Source`]: super::source::Source

mod binary;
mod branch;
mod filter;
mod git;
mod import;
mod message;
pub mod patch;
mod read;
mod span;

use std::io;
use std::path::Path;

use serde::Serialize;

use super::api::{ApiError, Response};
use crate::model::{CommitId, RepoPath, neutral};

pub use branch::{BranchMade, BranchWish, Per, Start, branch};
pub use filter::kept;
pub use git::Repository;
pub use read::{Sides, content};
pub use span::{Span, changes, span};

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine or the recording says no.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The answer was to another question.
    #[error(
        "the engine gave an answer that does not fit ({0}); is it of another version? backtrail stop ends it"
    )]
    Unexpected(String),
    /// A content that is not as long as its entry says.
    #[error("content {0} is shorter than recorded; try backtrail verify")]
    Short(String),
    /// Something cannot be written or read.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, on what.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// There is no `git`, or no repository.
    #[error(transparent)]
    Base(#[from] crate::trace::base::Error),
    /// git says no.
    #[error("git {what} failed: {said}")]
    Git {
        /// Which of its commands.
        what: &'static str,
        /// What it said, neutralised.
        said: String,
    },
    /// The branch cannot be made as it was asked for.
    #[error("{0}")]
    Refused(String),
    /// There is nothing to export.
    #[error("nothing differs between {base} and {tip}: no branch was made")]
    Nothing {
        /// From.
        base: String,
        /// To.
        tip: String,
    },
}

impl Error {
    fn unexpected(response: &Response) -> Self {
        let kind = format!("{response:?}");
        Self::Unexpected(kind.chars().take_while(char::is_ascii_alphabetic).collect())
    }

    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// What an export leaves out, by the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LeftOut {
    /// Files that git ignores and does not track.
    pub ignored: usize,
    /// Files whose content the recording does not tell.
    pub unknown: usize,
    /// Names that git refuses (`.git` and its like).
    pub refused: usize,
    /// Files in submodules.
    pub submodules: usize,
    /// Files that are too large for a patch.
    pub large: usize,
}

impl LeftOut {
    /// A line for people for each reason that there is.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let files = |n: usize| match n {
            1 => "1 file".to_owned(),
            n => format!("{n} files"),
        };
        [
            (
                self.ignored,
                "that git ignores and does not track (--ignored takes them along)",
            ),
            (self.unknown, "whose content the recording does not tell"),
            (self.refused, "whose names git refuses"),
            (self.submodules, "in submodules"),
            (self.large, "too large for a patch"),
        ]
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, why)| format!("left out: {} {why}", files(n)))
        .collect()
    }
}

/// A revision as a request takes it.
fn rev(id: CommitId) -> String {
    id.to_hex()
}

/// Whether git would refuse the path, in any of the spellings that some file system takes for `.git`.
fn refused(path: &RepoPath, link: bool) -> bool {
    let bad = path.parts().any(|part| {
        let lower = part.to_ascii_lowercase();
        let end = lower.strip_prefix(b".git").or(lower.strip_prefix(b"git~1"));
        end.is_some_and(|end| end.iter().all(|b| matches!(b, b' ' | b'.')) || end.starts_with(b":"))
    });
    // A link in their place would lead git to read another file.
    bad || (link && path.name().eq_ignore_ascii_case(b".gitmodules"))
}

fn shown(path: &Path) -> String {
    neutral(path.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn names_that_git_refuses() {
        let path = |name: &str| RepoPath::new(name).unwrap();
        for bad in [".git", "a/.GIT/config", ".git. ", "GIT~1/x", ".git::$INDEX"] {
            assert!(refused(&path(bad), false), "{bad}");
        }
        for good in [".gitignore", ".github/x", "a.git", "git", ".gitmodules"] {
            assert!(!refused(&path(good), false), "{good}");
        }
        assert!(refused(&path(".gitmodules"), true));
    }

    #[test]
    fn what_is_left_out_is_said() {
        let left = LeftOut {
            ignored: 1,
            unknown: 2,
            ..LeftOut::default()
        };
        let lines = left.lines();
        assert!(
            lines[0].starts_with("left out: 1 file that git ignores"),
            "{lines:?}"
        );
        assert!(lines[1].starts_with("left out: 2 files whose"), "{lines:?}");
        assert_eq!(lines.len(), 2);
    }
}
