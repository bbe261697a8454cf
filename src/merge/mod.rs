//! Three-way merges: of texts, of structured files, of trees and of an agent's state.
//!
//! Plain functions over values. A conflict is a value too: it can be listed, kept, shown and resolved later, in any
//! order. Nothing here writes a workspace, and nothing is put into a store until [`objects::Made::keep`] is asked to.

pub mod base;
pub mod conflict;
pub mod contents;
mod edits;
pub mod markers;
pub mod objects;
mod renames;
pub mod resolve;
pub mod state;
pub mod structured;
pub mod text;
pub mod trees;

use crate::diff;
use crate::model::RepoPath;
use crate::store;

/// Why a merge could not be made. What two sides disagree about is no error: see [`conflict::Conflict`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something could not be read from or put into the store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Trees could not be compared.
    #[error(transparent)]
    Diff(#[from] diff::tree::Error),
    /// A name that no file can have.
    #[error(
        "the directory \"{dir}\" holds an entry named \"{name}\", which no file can have: it is refused; `backtrail verify` lists what is damaged"
    )]
    HostileName {
        /// The directory.
        dir: RepoPath,
        /// The name, neutralised.
        name: String,
    },
    /// An agent's state cannot be merged.
    #[error(
        "the agent's state of {side} cannot be read: {why}; attach one that is JSON, or settle the merge with one side's state"
    )]
    State {
        /// Whose.
        side: &'static str,
        /// What is wrong with it.
        why: String,
    },
}
