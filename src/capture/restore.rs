//! Bringing the project's files from one recorded state to another, without ever losing what somebody just saved.
//!
//! The order of an [`apply`]:
//!
//! 1. The intent is written to the journal, durably.
//! 2. *Everything* is staged: each file to come is written beside its destination under a staging name, with mode and
//!    owner. A directory that comes is staged whole. If the disk is full now, all of it is removed again and nothing of
//!    the workspace has changed.
//! 3. What was staged is synced, and only then gets the name under which it is swapped in. So a rename can never reach
//!    the disk before the content it names, and recovery never has to guess whether an odd file was torn by a power cut
//!    or written by a person. (The alternative, to leave it unsynced and compare hashes at recovery, would save some
//!    milliseconds, but a file that is empty because of a power cut and one that a person has just emptied look the
//!    same.) `sync` says what it costs.
//! 4. Each path is swapped: RENAME_EXCHANGE where something is, RENAME_NOREPLACE where nothing is, a rename to the
//!    staging name for what goes. Then what was displaced is compared with what the intent says was there: if it is
//!    something new, it is put back. Nothing is unlinked that is not, byte for byte, in the store.
//! 5. Files that somebody holds open are written in place, last, after their numbers were noted in the journal; their
//!    staged copy stays until that is done, so that a failed write is repaired by an exchange that needs no space.
//! 6. Modes of directories, deepest first; the directories are synced. The journal's entry stays: the caller removes
//!    it with [`Journal::done`](super::journal::Journal::done) after the refs have moved.
//!
//! A directory that exists is never replaced: processes have their working directory in it, and mounts below it.
//! `.git` at any depth, sockets and devices are left as they are.

mod beneath;
mod bury;
mod in_place;
mod plan;
mod recover;
mod stage;
mod swap;
mod sync;
mod work;

use std::io;

use super::journal;
use crate::diff;
use crate::model::RepoPath;
use crate::store;

pub use super::journal::{Intent, Options, Switch};
pub use plan::{Plan, plan, plan_of};
pub use recover::{Recovered, put_back, recover};
pub use work::apply;

/// Why files could not be restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Two trees could not be compared.
    #[error(transparent)]
    Diff(#[from] diff::tree::Error),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// The disk is full. What had been staged is removed again.
    #[error("no space left to restore {0}: no file was changed; free some space and try again")]
    Full(RepoPath),
    /// The file system failed while files were being staged. What had been staged is removed again.
    #[error("cannot {what} {path}: {source}; no file was changed")]
    Io {
        /// A verb.
        what: &'static str,
        /// On which path of the project.
        path: RepoPath,
        /// Why.
        source: io::Error,
    },
}

/// What a restore asks about the living world, and tells it. Methods must not wait for the restore itself.
pub trait World {
    /// How many descriptors are open on the file at `path` through a view. A file with any is rewritten in place, so
    /// that they see the new content.
    fn open_count(&self, path: &RepoPath) -> usize;

    /// The stat with which the file at `path` was last read for the state that is being left, if it is known. It saves
    /// reading a large file again; small ones are always compared by content.
    fn known(&self, path: &RepoPath) -> Option<KnownStat> {
        let _ = path;
        None
    }

    /// Called at each step with its name (those of [`failpoint::NAMES`](super::failpoint::NAMES)), for progress and
    /// for tests that change files at the worst moment.
    fn at(&self, step: &'static str, path: &RepoPath) {
        let _ = (step, path);
    }
}

/// A world in which nobody has anything open.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl World for Nobody {
    fn open_count(&self, _: &RepoPath) -> usize {
        0
    }
}

/// What identifies one version of a file on disk without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownStat {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since the epoch.
    pub ctime_ns: i64,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// Every path that was changed.
    pub touched: Vec<RepoPath>,
    /// The same inode with new content or mode: the kernel must forget what it cached of it.
    pub content: Vec<RepoPath>,
    /// The name means something else now (or nothing): the kernel must look it up again.
    pub entries: Vec<RepoPath>,
    /// Left as they were although the plan names them, and why. They differ from the target.
    pub kept: Vec<(RepoPath, String)>,
    /// Something newer than the state that was left was there (a user saved just then): it stays, or was put back.
    pub displaced: Vec<RepoPath>,
}

const STAGING: &[u8] = b".backtrail-stage-";
/// Follows the staging name while its content is being written.
const PART: &[u8] = b".part";

/// Whether `name` is one under which files are staged: hidden from views and from capture, cleaned at recovery.
#[must_use]
pub fn is_staging_name(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(STAGING) else {
        return false;
    };
    let digits = rest.strip_suffix(PART).unwrap_or(rest);
    digits.len() == 16
        && digits
            .iter()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The staging names of one operation. They follow from its intent and the path, so that recovery finds what was left
/// without listing directories; nobody else can foresee them.
#[derive(Debug, Clone, Copy)]
struct Names(blake3::Hash);

impl Names {
    /// Holds the complete new content before a swap, what was displaced after it.
    fn staged(self, path: &RepoPath) -> Vec<u8> {
        let hash = blake3::Hasher::new_keyed(self.0.as_bytes())
            .update(path.as_bytes())
            .finalize();
        let mut name = STAGING.to_vec();
        name.extend_from_slice(&hash.to_hex().as_bytes()[..16]);
        name
    }

    /// Holds content that is still being written. Never a thing of the user's: it may always be removed.
    fn part(self, path: &RepoPath) -> Vec<u8> {
        let mut name = self.staged(path);
        name.extend_from_slice(PART);
        name
    }
}

/// An I/O error in words for people, without the code.
fn reason(e: &io::Error) -> String {
    match rustix::io::Errno::from_io_error(e) {
        Some(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => {
            "no permission to change it".to_owned()
        }
        Some(rustix::io::Errno::ROFS) => "the file system is read-only".to_owned(),
        Some(rustix::io::Errno::BUSY) => "it is in use by the system (a mount point?)".to_owned(),
        Some(rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) => {
            "something that is not a directory stands in its path".to_owned()
        }
        Some(rustix::io::Errno::NOENT) => "its directory is gone".to_owned(),
        Some(rustix::io::Errno::NAMETOOLONG) => "its path is too long".to_owned(),
        _ => e.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_staging_names_only() {
        let names = Names(blake3::hash(b"x"));
        let path = RepoPath::default();
        assert!(is_staging_name(&names.staged(&path)));
        assert!(is_staging_name(&names.part(&path)));
        for other in [
            &b".backtrail-stage-"[..],
            b".backtrail-stage-0123456789abcde",
            b".backtrail-stage-0123456789ABCDEF",
            b".backtrail-stage-0123456789abcdef.old",
            b".backtrail-stage-0123456789abcdef0",
            b"backtrail-stage-0123456789abcdef",
            b"a.backtrail-saved-1",
        ] {
            assert!(!is_staging_name(other), "{}", other.escape_ascii());
        }
    }
}
