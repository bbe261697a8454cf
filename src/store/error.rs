//! What can go wrong in the store. Every message says what failed, on what, and what to do.

use std::io;
use std::path::{Path, PathBuf};

/// The store's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// A verb: `read`, `write`, ...
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No space is left. What was acknowledged before is intact; nothing of the refused write is visible.
    #[error("no space left for the store in {}: free some and try again; what was recorded before is intact", .0.display())]
    Full(PathBuf),
    /// Another process has the store open.
    #[error("the store in {} is in use{}; stop that engine (`backtrail stop`) or wait for it", dir.display(), by(*pid))]
    Locked {
        /// The store's directory.
        dir: PathBuf,
        /// Who holds it, where it said so.
        pid: Option<u32>,
    },
    /// Written by a later version of this program.
    #[error("{} has format {found}, this program knows up to {known}: use the newer backtrail that wrote it", path.display())]
    NewerFormat {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The newest known here.
        known: u64,
    },
    /// Something that is not a store is in the way.
    #[error("{} is not a store of backtrail: {what}", path.display())]
    NotAStore {
        /// Where.
        path: PathBuf,
        /// Why not.
        what: String,
    },
    /// Not a portable file, or not as it was written.
    #[error("{} is no trail of backtrail that can be used: {what}", path.display())]
    NotATrail {
        /// Which file.
        path: PathBuf,
        /// Why not.
        what: String,
    },
    /// A record is not what was written.
    #[error("damaged: {what} in {} at byte {offset}; `backtrail verify` lists all that is affected", path.display())]
    Damaged {
        /// The pack.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// Nothing of that id is in the store.
    #[error("no {what} {id} in the store")]
    NotFound {
        /// `blob`, `tree`, `commit`, ...
        what: &'static str,
        /// Its id, in hexadecimal digits.
        id: String,
    },
    /// It was there once, and went because somebody wanted that or because a disk damaged it.
    #[error("{what} {id} is not in the store any more: {why}{}", on(when))]
    Gone {
        /// `blob`, `tree`, ...
        what: &'static str,
        /// Its id, in hexadecimal digits.
        id: String,
        /// In a word or a few.
        why: &'static str,
        /// Since when, for people; may be empty.
        when: String,
    },
    /// A ref was moved by somebody else since the caller looked.
    #[error("{name} has moved meanwhile: look again and repeat the command")]
    RefMoved {
        /// Which ref.
        name: String,
    },
    /// The caller gave something that cannot be stored.
    #[error("cannot store {what}: {why}")]
    Invalid {
        /// What kind of thing.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The index is not what was written to it. Nothing is lost: it is made anew from the packs.
    #[error("the index {} is damaged ({what}); it is being made anew from the packs: run the command again", path.display())]
    IndexDamaged {
        /// The redb file.
        path: PathBuf,
        /// How that was noticed.
        what: String,
    },
    /// The index failed.
    #[error("the index {} failed: {source}; if that happens again, remove this file: it is made anew from the packs", path.display())]
    Index {
        /// The redb file.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
    /// An earlier write failed in a way that leaves unknown what reached the disk.
    #[error("the store in {} takes no more writes after a failed sync: open it again", .0.display())]
    Closed(PathBuf),
}

fn on(when: &str) -> String {
    if when.is_empty() {
        String::new()
    } else {
        format!(" on {when}")
    }
}

fn by(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |p| format!(" by process {p}"))
}

impl Error {
    /// An I/O error on `path`; a full disk becomes [`Error::Full`].
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        if is_full(&source) {
            Self::Full(path.to_owned())
        } else {
            Self::Io {
                what,
                path: path.to_owned(),
                source,
            }
        }
    }
}

/// Whether an I/O error means that there is no space (also: quota, file size limit).
pub(crate) fn is_full(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
