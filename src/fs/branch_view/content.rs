//! Contents of unchanged files, written out once each, so that reads, mappings and the page cache are those of a plain
//! file. All branches of a project share them; nobody writes them.
//!
//! They lie in a directory named after the running system: after a crash of the machine a file may have its length but not
//! its content, and nothing is synced here, so what an earlier start of the system left is taken away.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::layers::damaged;
use crate::model::BlobId;
use crate::store::Store;

/// The written-out contents.
#[derive(Debug, Clone)]
pub(crate) struct Contents {
    dir: PathBuf,
}

pub(crate) fn private(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

pub(crate) fn errno(e: &io::Error) -> Errno {
    Errno::from_io_error(e).unwrap_or(Errno::IO)
}

impl Contents {
    /// Contents below `dir`.
    pub fn new(dir: &Path) -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot: String = boot.chars().filter(char::is_ascii_alphanumeric).collect();
        let here = dir.join(if boot.is_empty() { "any" } else { &boot });
        private(&here)?;
        for old in fs::read_dir(dir)?.flatten() {
            if old.path() != here {
                // It only takes up space.
                let _ = fs::remove_dir_all(old.path());
            }
        }
        Ok(Self { dir: here })
    }

    /// Opens the content, writing it out first if nobody has yet.
    pub fn open(&self, store: &Store, id: BlobId, size: u64) -> Result<File, Errno> {
        let hex = blake3::Hash::from_bytes(id.0).to_hex();
        let dir = self.dir.join(&hex[..2]);
        let path = dir.join(&hex[2..]);
        if let Ok(file) = File::open(&path)
            && file.metadata().is_ok_and(|m| m.len() == size)
        {
            return Ok(file);
        }
        private(&dir).map_err(|e| errno(&e))?;
        let mut beside = tempfile::NamedTempFile::new_in(&dir).map_err(|e| errno(&e))?;
        store
            .write_blob_to(id, beside.as_file_mut())
            .map_err(|e| damaged(&e))?;
        let made = beside.as_file().metadata().map_err(|e| errno(&e))?;
        if made.len() != size {
            return Err(Errno::IO);
        }
        beside
            .as_file()
            .set_permissions(Permissions::from_mode(0o400))
            .map_err(|e| errno(&e))?;
        beside.persist(&path).map_err(|e| errno(&e.error))?;
        File::open(&path).map_err(|e| errno(&e))
    }

    /// A file that holds nothing.
    pub fn empty(&self) -> Result<File, Errno> {
        File::open("/dev/null").map_err(|e| errno(&e))
    }
}
