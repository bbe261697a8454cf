//! Where the contents at a session's start come from when its trace does not tell them.

use crate::model::RepoPath;

/// Why a base cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {}

/// The files as they were when a session began.
pub trait Base: Send {
    /// The content of a file; `None` where there is none (or one that is too large to be worth it).
    fn content(&mut self, path: &RepoPath) -> Result<Option<Vec<u8>>, Error>;
}
