//! Three-way merges: of texts, of structured files, of trees and of an agent's state.
//!
//! Plain functions over values. A conflict is a value too: it can be listed, kept, shown and resolved later, in any
//! order. Nothing here writes a workspace.

mod edits;
pub mod text;
