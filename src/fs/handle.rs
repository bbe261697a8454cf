//! Open files: each handle holds a real descriptor, so an unlinked or replaced file goes on working for those who have
//! it open.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::model::Writer;

/// One open file.
#[derive(Debug)]
pub(crate) struct Handle {
    fd: OwnedFd,
    /// The node it was opened on.
    pub ino: u64,
    /// Whether it can write.
    pub writes: bool,
    /// Who opened it: the writer of what comes back from a shared mapping, whose requests name no process.
    pub opener: Writer,
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// All open files of a view.
#[derive(Debug, Default)]
pub(crate) struct Handles {
    open: RwLock<HashMap<u64, Arc<Handle>>>,
    last: AtomicU64,
}

impl Handles {
    pub fn add(&self, fd: OwnedFd, ino: u64, writes: bool, opener: Writer) -> u64 {
        let fh = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let handle = Arc::new(Handle {
            fd,
            ino,
            writes,
            opener,
        });
        self.open
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(fh, handle);
        fh
    }

    pub fn get(&self, fh: u64) -> Option<Arc<Handle>> {
        self.open
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&fh)
            .cloned()
    }

    pub fn len(&self) -> usize {
        self.open
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    pub fn remove(&self, fh: u64) -> Option<Arc<Handle>> {
        self.open
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&fh)
    }
}
