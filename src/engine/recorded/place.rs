//! Where what is derived from a recording is kept: its index, its states, its summary; and when that may be used again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::debug::rev;
use crate::store::{self, Store};
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

/// What was not used for so long is removed, and what was used longest ago when all of it together is so large.
const AGE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const MOST: u64 = 2 << 30;
/// How often the cache is looked through.
const ROUND: Duration = Duration::from_secs(60 * 60);

/// Where what is derived from a recording is kept.
pub(super) struct Place {
    dir: Option<PathBuf>,
}

/// A store for the states of a recording.
pub(super) struct Ready {
    pub store: Store,
    /// Its directory, when it goes with us.
    pub scratch: Option<tempfile::TempDir>,
    /// What it holds, when it was kept: the recording has taken the index that belongs to it.
    pub states: Option<States>,
}

impl Place {
    pub fn of(path: &Path, cache: Option<&Path>) -> Self {
        Self {
            dir: cache.and_then(|cache| place_of(path, cache)),
        }
    }

    /// Opens what was kept where it may be used, an empty store in its place where not, and one that goes when we do
    /// where that one is in use: nothing is kept then, for the place is another process's.
    pub fn open(&mut self, recording: &Recording) -> Result<Ready, ApiError> {
        if let Some(ready) = self.dir.as_ref().and_then(|dir| kept(dir, recording)) {
            return Ok(ready);
        }
        self.dir = None;
        scratch()
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
        if let Some(all) = dir.parent()
            && is_due(all)
        {
            evict(all, dir, AGE, MOST);
        }
    }
}

/// A store in a directory of its own.
pub(super) fn scratch() -> Result<Ready, ApiError> {
    let dir = tempfile::Builder::new()
        .prefix("backtrail-recording-")
        .tempdir()
        .map_err(|e| {
            ApiError::new(
                ErrorCode::Failed,
                format!("no temporary directory can be made for the recording's states: {e}"),
            )
        })?;
    Ok(Ready {
        store: Store::open(dir.path()).map_err(Failure::from)?,
        scratch: Some(dir),
        states: None,
    })
}

/// The store in `dir`, with what was kept of it or empty; `None` while another process has it.
fn kept(dir: &Path, recording: &Recording) -> Option<Ready> {
    let at = dir.join("store");
    let ready = |store, states| Ready {
        store,
        scratch: None,
        states,
    };
    // The rest is looked at under the store's lock, so that all of it is of one time.
    match Store::open(&at) {
        Ok(store) => {
            if let Some(states) = take_kept(dir, &store, recording) {
                let used = File::options().append(true).open(dir.join("index"));
                let _ = used.and_then(|index| index.set_modified(SystemTime::now()));
                return Some(ready(store, Some(states)));
            }
            let _ = std::fs::remove_file(dir.join("index"));
            if matches!(store.commit_count(), Ok(0)) {
                return Some(ready(store, None));
            }
        }
        Err(store::Error::Locked { .. }) => return None,
        Err(_) => {
            let _ = std::fs::remove_file(dir.join("index"));
        }
    }
    // Made of another state of the file, or damaged: begin again.
    let _ = std::fs::remove_dir_all(&at);
    Some(ready(Store::open(&at).ok()?, None))
}

/// What was kept, if index, states and store belong together and are of what the recording is now.
fn take_kept(dir: &Path, store: &Store, recording: &Recording) -> Option<States> {
    // Side by side: whoever opens a recording again waits for the slower of the two only.
    let (index, states) = std::thread::scope(|scope| {
        let states = scope.spawn(|| -> Option<States> {
            serde_json::from_slice(&std::fs::read(dir.join("states.json")).ok()?).ok()
        });
        let index = std::fs::read(dir.join("index"));
        let index = index.ok().and_then(|bytes| recording::from_cache(&bytes));
        (index, states.join().ok().flatten())
    });
    let (index, states) = (index?, states?);
    let head = rev::head(store).ok()??;
    let whole = states.head == Some(head) && store.commit(head).is_ok();
    if !whole || !states.base.fits(&index) {
        return None;
    }
    recording.take_cached(index).then_some(states)
}

/// Whether the cache was not looked through for a while; if so, it is said to be now.
fn is_due(all: &Path) -> bool {
    let mark = all.join("looked-through");
    let age = std::fs::metadata(&mark)
        .and_then(|m| m.modified())
        .ok()
        .and_then(|then| then.elapsed().ok());
    if age.is_some_and(|age| age < ROUND) {
        return false;
    }
    std::fs::write(&mark, "").is_ok()
}

/// Removes from the cache what was not used for longer than `age`, and what was used longest ago until no more than `most`
/// bytes are left. What is in use stays, and `but`.
fn evict(all: &Path, but: &Path, age: Duration, most: u64) {
    let Ok(entries) = std::fs::read_dir(all) else {
        return;
    };
    let mut kept: Vec<(SystemTime, u64, PathBuf)> = entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .filter_map(|e| {
            let (used, size) = used_and_size(&e.path(), 2);
            Some((used?, size, e.path()))
        })
        .collect();
    kept.sort();
    let mut total: u64 = kept.iter().map(|(_, size, _)| *size).sum();
    for (used, size, dir) in kept {
        let old = used.elapsed().is_ok_and(|unused| unused > age);
        if dir == but || (!old && total <= most) {
            continue;
        }
        let store = dir.join("store");
        if store.exists() && matches!(Store::open(&store), Err(store::Error::Locked { .. })) {
            continue;
        }
        let _ = std::fs::remove_file(dir.join("index"));
        if std::fs::remove_dir_all(&dir).is_ok() {
            total -= size;
        }
    }
}

/// When a file of a directory was last written, and the bytes of all files in it and `deep` levels below.
fn used_and_size(dir: &Path, deep: u32) -> (Option<SystemTime>, u64) {
    let own = |at: &Path| std::fs::symlink_metadata(at).ok();
    let mut used = own(dir).and_then(|m| m.modified().ok());
    let mut size = 0;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let Some(meta) = own(&entry.path()) else {
            continue;
        };
        if meta.is_dir() && deep > 0 {
            size += used_and_size(&entry.path(), deep - 1).1;
        } else if meta.is_file() {
            size += meta.len();
            used = used.max(meta.modified().ok());
        }
    }
    (used, size)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_old_or_too_much_is_removed_and_what_is_in_use_stays() {
        let all = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let make = |name: &str, days: u64, bytes: usize| {
            let dir = all.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            std::fs::write(dir.join("index"), vec![0; bytes]).unwrap();
            let then = now - Duration::from_secs(days * 24 * 60 * 60);
            for at in [dir.join("index"), dir.clone()] {
                File::open(at).unwrap().set_modified(then).unwrap();
            }
            dir
        };
        let old = make("old", 91, 10);
        let (third, second, first) = (make("c", 3, 600), make("b", 2, 600), make("a", 1, 600));
        let own = make("own", 50, 600);
        let used = make("used", 60, 0);
        let _held = Store::open(&used.join("store")).unwrap();
        let there = || [&old, &third, &second, &first, &own, &used].map(|d| d.exists());
        evict(all.path(), &own, AGE, MOST);
        assert_eq!(there(), [false, true, true, true, true, true]);
        // The store's own files count as well.
        let store = used_and_size(&used, 2).1;
        evict(all.path(), &own, AGE, store + 1_900);
        assert_eq!(there(), [false, false, true, true, true, true]);
        assert!(is_due(all.path()) && !is_due(all.path()));
    }
}
