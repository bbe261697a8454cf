//! Branch views: a commit's tree that can be changed without anything being copied or anybody else noticing.
//!
//! ```text
//! branches/
//!   materialised/   contents of unchanged files, written out once for all branches       content
//!   pins/objects/   the project's git objects, held for all branches                     git
//!   NAME/
//!     branch.json   what was forked; the branch is there once this is                    open
//!     names         names set and taken away, facts of nodes                             table
//!     upper/ID      own content and times, one file a node                               write
//!     kept/         git's index and packed refs as they were at the fork                 git
//! ```
//!
//! A node is found by its name in a directory: in what was set here (`nodes`), else in the layers below (`layers`): the
//! forked tree, the project's real directory for what capture leaves out, the project's repository. The first change of
//! content copies it; a name or a directory's place is changed in the table alone. The present state is a tree of the
//! store again (`seal`), at the cost of what was changed.

mod content;
mod copy;
mod git;
mod layers;
mod names;
mod nodes;
mod open;
mod read;
mod rebase;
mod seal;
mod serve;
mod table;
#[cfg(test)]
mod tests;
mod times;
mod upkeep;
mod view;
mod write;

pub use git::pin;
pub use layers::LeftOut;
pub use open::{Base, BranchError, Ground};
pub use view::BranchView;
