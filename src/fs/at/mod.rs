//! Past states as directories: what any tool can read with no word to us.
//!
//! One read-only file system for all states of a store. A directory is named by a commit's 64 digits; every other name is a
//! revision (`@`, `@~3`, `step:142`, `10m-ago`, a label, a branch) and is a symbolic link to the directory of the commit
//! that it means *now*: the kernel keeps neither the name nor its target, so it is worked out at every use. What lies in a
//! commit never changes, and the kernel may keep all of it: names, attributes and pages.
//!
//! Nothing is written out. Names and kinds come from the commit's trees, contents from the store, piece by piece as they are
//! read. Trees keep no times: a file has the time of the commit that changed it last, seen from the state it is in, so
//! `ls -t` shows what was new then and a file that two states share looks alike in both. Such a file also has one inode
//! number in all states: the kernel keeps its pages once, and tools that compare states see that it is the same file.
//!
//! Who lists the top sees `@`, the branches and the labels; the commits are too many to be listed.

mod mount;
mod nodes;
mod serve;
mod times;
mod view;

use std::path::PathBuf;
use std::sync::Arc;

use crate::model::CommitId;
use crate::store::Store;

pub use mount::MountedPast;
pub use view::{Owner, PastView};

/// What past states there are, and what lies beside them.
pub trait Past: Send + Sync + 'static {
    /// Where commits, trees and contents are.
    fn store(&self) -> Arc<Store>;
    /// The commit that a name means now.
    fn find(&self, name: &[u8]) -> Option<CommitId>;
    /// The names that a listing shows.
    fn names(&self) -> Vec<Vec<u8>>;
    /// Where the live view is mounted.
    fn live(&self) -> Option<PathBuf> {
        None
    }
    /// The views of branches that are open: by which name, and where they are mounted.
    fn branches(&self) -> Vec<(Vec<u8>, PathBuf)> {
        Vec::new()
    }
}

/// What the top of the mount shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Top {
    /// The states.
    States,
    /// `at/` with the states; `live` and `branches/NAME`, links to where those views are mounted. They are links and not
    /// mounts of their own because a second kernel cache of one view would show stale contents, and because binding a
    /// mount elsewhere is root's alone.
    Places,
}
