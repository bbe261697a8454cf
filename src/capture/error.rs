//! What can go wrong in the recorder. Unreadable files are no errors: they are reported with what was captured.

use std::io;
use std::path::PathBuf;

use crate::diff;
use crate::model::RefTarget;
use crate::store;

/// The recorder's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the recorder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The project's directory cannot be opened.
    #[error("cannot open the project {}: {source}; check that it exists and may be read", path.display())]
    Open {
        /// Which directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store refused. What changed stays marked and is captured by the next checkpoint that succeeds.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Two trees could not be compared.
    #[error(transparent)]
    Diff(#[from] diff::tree::Error),
    /// A ref points to something that it cannot point to.
    #[error(
        "the ref {name} points to {found:?}, which is no {wanted}: the store was written by something else, or `backtrail verify` will say more"
    )]
    BadRef {
        /// Which ref.
        name: String,
        /// Where it points.
        found: RefTarget,
        /// What was expected.
        wanted: &'static str,
    },
    /// A thread could not be started.
    #[error("cannot start a thread for {what}: {source}; too many processes may be running")]
    Thread {
        /// What it was to do.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// What must be noted before a commit of a branch is published could not be.
    #[error("nothing was committed, as it could not be noted: {0}")]
    Unnoted(String),
    /// The directory cannot be watched at all.
    #[error("cannot watch the project for changes made outside: {0}")]
    Watch(String),
}
