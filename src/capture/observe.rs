//! What a mounted view tells capture, and when: the seam between the file system and the recorder.
//!
//! Every mutating request is bracketed: [`Observer::before`] runs first and may read the old content (it must not be
//! called with the gate held, because it can take as long as a copy of a file), then the request passes the gate and
//! changes the real directory, then [`Observer::changed`] runs *before the reply is sent*, so that whoever sees the
//! reply finds the change in the dirty set.

use crate::model::{RepoPath, Touch, Writer};

/// Takes note of changes. Methods are called from many threads at once and must never wait for the mount itself.
pub trait Observer: Send + Sync {
    /// `path` is about to change by `touch`. Returns when its old state is safe (or was already). For a rename this is
    /// called for both names; for the removal or rename of a directory its whole subtree is meant.
    fn before(&self, path: &RepoPath, touch: Touch);

    /// `path` has changed by `touch`, done by `who`. A rename is reported by [`Observer::renamed`] instead.
    fn changed(&self, path: &RepoPath, touch: Touch, who: &Writer);

    /// `from` now has the name `to` (files and directories alike; with `exchange`, the two swapped names).
    fn renamed(&self, from: &RepoPath, to: &RepoPath, exchange: bool, who: &Writer);

    /// A descriptor that can write `path` was opened. Until the matching [`Observer::closed_for_write`] the path counts
    /// as dirty at every checkpoint, because stores through a shared mapping reach us late.
    fn opened_for_write(&self, path: &RepoPath, who: &Writer);

    /// Whether [`Observer::opened_for_read`] is to be called. Finding out who reads costs something at each open.
    fn wants_reads(&self) -> bool {
        false
    }

    /// `path` was opened for reading only, by `who`, which waits for the answer.
    fn opened_for_read(&self, _path: &RepoPath, _who: &Writer) {}

    /// The last such descriptor was released. The path is the file's present name.
    fn closed_for_write(&self, path: &RepoPath);
}

/// An observer that takes no note: for views that are not recorded, and for tests of the mount alone.
#[derive(Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn before(&self, _: &RepoPath, _: Touch) {}
    fn changed(&self, _: &RepoPath, _: Touch, _: &Writer) {}
    fn renamed(&self, _: &RepoPath, _: &RepoPath, _: bool, _: &Writer) {}
    fn opened_for_write(&self, _: &RepoPath, _: &Writer) {}
    fn closed_for_write(&self, _: &RepoPath) {}
}
