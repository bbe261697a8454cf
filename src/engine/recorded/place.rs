//! Where what is derived from a recording is kept: its index, its states, its summary; and when that may be used again.

use std::path::{Path, PathBuf};

use crate::store::{self, Store};
use crate::trace::index::Index;
use crate::trace::recording::{self, Recording};

use super::super::api::{ApiError, ErrorCode};
use super::super::core::Failure;
use super::super::project::private_dir;
use super::States;

/// The directory for what is derived from the recording at `path`, made; `None` where the cache cannot be written, which
/// is no reason not to look.
pub(in crate::engine) fn place_of(path: &Path, cache: &Path) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    let real = path.canonicalize().ok()?;
    let key = blake3::hash(real.as_os_str().as_bytes()).to_hex();
    let all = cache.join("recordings");
    let dir = all.join(&key[..32]);
    for dir in [cache, &all, &dir] {
        private_dir(dir).ok()?;
    }
    Some(dir)
}

/// Where what is derived from a recording is kept.
pub(super) struct Place {
    dir: Option<PathBuf>,
}

impl Place {
    pub fn of(path: &Path, cache: Option<&Path>) -> Self {
        Self {
            dir: cache.and_then(|cache| place_of(path, cache)),
        }
    }

    pub fn cached(&self) -> Option<Index> {
        let bytes = std::fs::read(self.dir.as_ref()?.join("index")).ok()?;
        recording::from_cache(&bytes)
    }

    /// The store of the states: the kept one where it may be used, else one that goes when we do.
    pub fn store(&self, fits: bool) -> Result<(Store, Option<tempfile::TempDir>), ApiError> {
        if let Some(dir) = &self.dir {
            let at = dir.join("store");
            let opened = if fits {
                Store::open(&at)
            } else {
                match Store::open(&at) {
                    // Made of another state of the file: begin again.
                    Ok(old) => {
                        drop(old);
                        let _ = std::fs::remove_file(dir.join("index"));
                        let _ = std::fs::remove_dir_all(&at);
                        Store::open(&at)
                    }
                    Err(store::Error::Locked { dir, pid }) => {
                        Err(store::Error::Locked { dir, pid })
                    }
                    Err(_) => {
                        let _ = std::fs::remove_dir_all(&at);
                        Store::open(&at)
                    }
                }
            };
            if let Ok(store) = opened {
                return Ok((store, None));
            }
        }
        let scratch = tempfile::Builder::new()
            .prefix("backtrail-recording-")
            .tempdir()
            .map_err(|e| {
                ApiError::new(
                    ErrorCode::Failed,
                    format!("no temporary directory can be made for the recording's states: {e}"),
                )
            })?;
        let store = Store::open(scratch.path()).map_err(Failure::from)?;
        Ok((store, Some(scratch)))
    }

    /// Keeps the index for the next time. Failing to is no failure.
    pub fn keep(&self, recording: &Recording, states: &States) {
        let Some(dir) = &self.dir else { return };
        let index = recording.with(recording::to_cache);
        let (Some(index), Ok(states)) = (index, serde_json::to_vec(states)) else {
            return;
        };
        // The index comes last: where it is, the rest is too.
        for (name, bytes) in [("states.json", states), ("index", index)] {
            let new = dir.join(format!("{name}.{}", std::process::id()));
            if std::fs::write(&new, bytes).is_err()
                || std::fs::rename(&new, dir.join(name)).is_err()
            {
                let _ = std::fs::remove_file(&new);
                return;
            }
        }
    }

    pub fn cached_states(&self) -> Option<States> {
        let bytes = std::fs::read(self.dir.as_ref()?.join("states.json")).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}
