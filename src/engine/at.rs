//! Past states, mounted when somebody first asks for one: `<runtime>/at` for tools, the screen and scripts, and wherever
//! else a person wants them.
//!
//! The first costs nothing to have and goes when the engine ends; the engine stays for as long as somebody is in it or
//! used it a while ago. What a person mounted somewhere stays, and the engine with it, until they take it away. Where that is
//! stands in a file of the runtime directory, so that the next engine can clean up after one that was killed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::debug::rev;
use crate::fs::at::{MountedPast, Owner, Past, PastView, Top};
use crate::fs::clean_stale;
use crate::model::{CommitId, Time, neutral};
use crate::store::Store;

use super::api::{ApiError, ErrorCode, PastPlace};
use super::core::{Core, Failure};
use super::project::private_dir;

/// Nobody is thought to come back to a past state after so many times the time that an engine waits for clients.
const LEASE: u32 = 60;
/// At most so many mounts elsewhere.
const MOST: usize = 16;
/// Where those are written down.
const FILE: &str = "mounts.json";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is mounted.
#[derive(Default)]
pub struct Pasts {
    at: Mutex<Option<MountedPast>>,
    elsewhere: Mutex<Vec<MountedPast>>,
    used: Arc<Mutex<Option<Instant>>>,
}

impl Pasts {
    /// The directories that a person chose.
    pub fn elsewhere(&self) -> Vec<String> {
        lock(&self.elsewhere)
            .iter()
            .map(|m| m.at().to_string_lossy().into_owned())
            .collect()
    }
}

/// An engine's states.
struct States {
    store: Arc<Store>,
    core: Weak<Core>,
    used: Arc<Mutex<Option<Instant>>>,
}

/// A revision as one name of a file: a branch may have slashes.
pub(super) fn as_name(rev: &str) -> Vec<u8> {
    rev.replace('%', "%25").replace('/', "%2F").into_bytes()
}

/// And back. `None` where it is nothing that [`as_name`] gave.
pub(super) fn from_name(name: &str) -> Option<String> {
    let mut parts = name.split('%');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        out.push(match code {
            "25" => '%',
            "2F" | "2f" => '/',
            _ => return None,
        });
        out.push_str(rest);
    }
    Some(out)
}

/// The commit that a name in the directory of states means now.
pub(super) fn find(
    store: &Store,
    history: &dyn crate::debug::history::History,
    name: &[u8],
) -> Option<CommitId> {
    let name = std::str::from_utf8(name).ok()?;
    // Tools look for their own files in every directory above; none of these is a revision.
    if name.starts_with('.') {
        return None;
    }
    let ask = |text: &str| rev::resolve(store, history, text, Time::now()).ok();
    let found = from_name(name).and_then(|text| ask(&text));
    found.or_else(|| ask(name)).map(|named| named.commit)
}

/// What a listing of states shows: the latest commit, branches and labels.
pub(super) fn names(store: &Store) -> Vec<Vec<u8>> {
    let refs = store.refs().unwrap_or_default();
    let named = refs.keys().filter_map(|name| {
        let short = name
            .strip_prefix("branch/")
            .or_else(|| name.strip_prefix("label/"))?;
        let name = as_name(short);
        (name.len() <= 255 && !name.starts_with(b".")).then_some(name)
    });
    let mut all: Vec<_> = std::iter::once(b"@".to_vec()).chain(named).collect();
    all.sort();
    all.dedup();
    all
}

impl Past for States {
    fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    fn find(&self, name: &[u8]) -> Option<CommitId> {
        *lock(&self.used) = Some(Instant::now());
        find(&self.store, &*self.store, name)
    }

    fn names(&self) -> Vec<Vec<u8>> {
        *lock(&self.used) = Some(Instant::now());
        names(&self.store)
    }

    fn live(&self) -> Option<PathBuf> {
        let core = self.core.upgrade()?;
        core.live().map(|l| PathBuf::from(&l.at))
    }

    fn branches(&self) -> Vec<(Vec<u8>, PathBuf)> {
        let Some(core) = self.core.upgrade() else {
            return Vec::new();
        };
        let all = core.forks.places().into_iter();
        all.map(|(name, at)| (as_name(&name), at.into())).collect()
    }
}

fn said(e: crate::fs::Error) -> ApiError {
    let e = format!("past states cannot be mounted: {e}");
    ApiError::new(ErrorCode::Failed, e)
}

fn refused(why: String) -> ApiError {
    ApiError::new(ErrorCode::Refused, why)
}

fn shown(path: &Path) -> String {
    neutral(path.as_os_str().as_encoded_bytes())
}

/// Who the files of the past belong to: the project's owner as far as we may speak for them, with the permissions of the
/// project's own directory.
pub(super) fn owner(root: &Path) -> Owner {
    use std::os::unix::fs::MetadataExt as _;
    let meta = std::fs::metadata(root).ok();
    let (uid, gid) = match &meta {
        Some(meta) if rustix::process::geteuid().is_root() => (meta.uid(), meta.gid()),
        _ => (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        ),
    };
    Owner {
        uid,
        gid,
        root: meta.map_or(0o755, |m| m.mode() & 0o7777),
    }
}

impl Core {
    fn past_view(&self, top: Top) -> Result<Arc<PastView>, ApiError> {
        if self.counter.get().is_none() {
            return Err(refused(
                "past states are mounted by an engine, and none runs: `backtrail at REV` starts one".to_owned(),
            ));
        }
        let states = States {
            store: Arc::clone(&self.store),
            core: self.me(),
            used: Arc::clone(&self.pasts.used),
        };
        PastView::new(Arc::new(states), owner(&self.project.root), top)
            .map_err(|e| ApiError::new(ErrorCode::Failed, format!("the store: {e}")))
    }

    /// Where a state can be read as a directory; without a revision, where all of them are.
    pub(super) fn past_path(&self, rev: Option<&str>) -> Result<PastPlace, Failure> {
        let now = Time::now();
        let commit = rev
            .map(|text| rev::resolve(&self.store, &*self.store, text, now))
            .transpose()?
            .map(|named| named.commit);
        let mut path = self.past_mounted()?;
        if let Some(commit) = commit {
            path.push(commit.to_hex());
        }
        Ok(PastPlace {
            path: path.to_string_lossy().into_owned(),
            commit,
        })
    }

    fn past_mounted(&self) -> Result<PathBuf, ApiError> {
        *lock(&self.pasts.used) = Some(Instant::now());
        let mut mounted = lock(&self.pasts.at);
        if let Some(there) = mounted.as_ref().filter(|m| m.is_alive() && m.has_place()) {
            return Ok(there.at());
        }
        *mounted = None;
        let at = self.project.past_dir();
        clean_stale(&at).map_err(said)?;
        private_dir(&at)?;
        let view = self.past_view(Top::States)?;
        let made = MountedPast::mount(view, &at, false).map_err(said)?;
        let at = made.at();
        *mounted = Some(made);
        Ok(at)
    }

    /// Mounts everything that can be looked at in a directory that a person chose.
    pub(super) fn past_mount(&self, dir: &Path) -> Result<PastPlace, ApiError> {
        let at = self.fit_for_mount(dir)?;
        let mut all = lock(&self.pasts.elsewhere);
        all.retain(MountedPast::is_alive);
        if all.len() >= MOST {
            return Err(refused(format!(
                "{MOST} directories show this project already: take one away with `backtrail umount DIR`"
            )));
        }
        let view = self.past_view(Top::Places)?;
        all.push(MountedPast::mount(view, &at, false).map_err(said)?);
        self.note_mounts(&all);
        Ok(PastPlace {
            path: at.to_string_lossy().into_owned(),
            commit: None,
        })
    }

    /// Nothing must be hidden by the mount, and the project must not lie in itself.
    fn fit_for_mount(&self, dir: &Path) -> Result<PathBuf, ApiError> {
        clean_stale(dir).map_err(said)?;
        let look = |e: std::io::Error| {
            ApiError::new(
                ErrorCode::NotFound,
                format!(
                    "{} cannot be mounted on: {e} (it has to be an empty directory)",
                    shown(dir)
                ),
            )
        };
        let at = dir.canonicalize().map_err(look)?;
        let ours = [
            &self.project.root,
            &self.project.store_dir,
            &self.project.runtime_dir,
        ];
        if let Some(of) = ours
            .iter()
            .find(|d| at.starts_with(d) || d.starts_with(&at))
        {
            return Err(refused(format!(
                "{} and {} lie in each other: choose a directory elsewhere",
                shown(&at),
                shown(of)
            )));
        }
        if lock(&self.pasts.elsewhere)
            .iter()
            .any(|m| m.is_alive() && m.at() == at)
        {
            return Err(refused(format!(
                "this project is mounted at {} already",
                shown(&at)
            )));
        }
        if std::fs::read_dir(&at).map_err(look)?.next().is_some() {
            return Err(refused(format!(
                "{} is not empty: what is in it would be hidden",
                shown(&at)
            )));
        }
        Ok(at)
    }

    /// Takes away what [`Core::past_mount`] mounted.
    pub(super) fn past_unmount(&self, dir: &Path, force: bool) -> Result<String, ApiError> {
        let mut all = lock(&self.pasts.elsewhere);
        let at = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
        let Some(n) = all.iter().position(|m| m.at() == at) else {
            return match clean_stale(dir) {
                Ok(true) => Ok(format!("{}: a dead mount was taken away", shown(dir))),
                _ => Err(ApiError::new(
                    ErrorCode::NotFound,
                    format!("this project is not mounted at {}", shown(dir)),
                )),
            };
        };
        if let Some(mounted) = all.get_mut(n)
            && !force
            && !mounted.try_unmount().map_err(said)?
            && mounted.has_place()
        {
            return Err(refused(format!(
                "somebody is in {}: leave it first, or take it away with --force (who is in it keeps what they have open)",
                shown(&at)
            )));
        }
        let mounted = all.swap_remove(n);
        self.note_mounts(&all);
        mounted.unmount().map_err(said)?;
        Ok(format!("{} is an empty directory again", shown(&at)))
    }

    fn note_mounts(&self, all: &[MountedPast]) {
        let dirs: Vec<PathBuf> = all.iter().map(MountedPast::at).collect();
        let file = self.project.runtime_dir.join(FILE);
        let written = match dirs.is_empty() {
            true => std::fs::remove_file(&file),
            false => serde_json::to_vec(&dirs)
                .map_err(std::io::Error::other)
                .and_then(|text| std::fs::write(&file, text)),
        };
        if let Err(e) = written
            && e.kind() != std::io::ErrorKind::NotFound
        {
            // Only somebody who kills the engine will miss it.
            tracing::warn!("{}: {e}", file.display());
        }
    }

    /// At start: takes away what an engine that was killed left.
    pub(super) fn clean_pasts(&self) {
        let file = self.project.runtime_dir.join(FILE);
        let noted: Vec<PathBuf> = std::fs::read(&file)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        for at in noted.iter().chain([&self.project.past_dir()]) {
            if let Err(e) = clean_stale(at) {
                self.warn(e.to_string());
            }
        }
        let _ = std::fs::remove_file(file);
    }

    /// Whether the engine stays for the sake of what is mounted. `over`: nothing else keeps it.
    pub(super) fn tend_pasts(&self, idle: Duration, over: bool) -> bool {
        {
            let mut all = lock(&self.pasts.elsewhere);
            let before = all.len();
            // Taken away by other means.
            all.retain(MountedPast::is_alive);
            if all.len() != before {
                self.note_mounts(&all);
            }
            if !all.is_empty() {
                return true;
            }
        }
        if !over {
            return false;
        }
        let mut mounted = lock(&self.pasts.at);
        let Some(at) = mounted.as_mut() else {
            return false;
        };
        let used = *lock(&self.pasts.used);
        if at.is_alive() && used.is_some_and(|u| u.elapsed() < idle * LEASE) {
            return true;
        }
        match at.try_unmount() {
            // Somebody has its working directory or a file there.
            Ok(false) if at.has_place() => true,
            _ => {
                *mounted = None;
                false
            }
        }
    }

    /// Contents were forgotten: the kernel still has pages of them, which go with the mounts. What a person chose is mounted
    /// again at once, the other when somebody asks.
    pub(super) fn past_renew(&self) {
        let at = lock(&self.pasts.at).take();
        let mut all = lock(&self.pasts.elsewhere);
        let chosen = std::mem::take(&mut *all);
        let places: Vec<PathBuf> = chosen.iter().map(MountedPast::at).collect();
        for mounted in at.into_iter().chain(chosen) {
            if let Err(e) = mounted.unmount() {
                self.warn(e.to_string());
            }
        }
        for place in places {
            let again = self
                .past_view(Top::Places)
                .and_then(|view| MountedPast::mount(view, &place, false).map_err(said));
            match again {
                Ok(mounted) => all.push(mounted),
                Err(e) => self.warn(e.message),
            }
        }
        self.note_mounts(&all);
    }

    /// At the end of the engine: takes everything away, in use or not.
    pub(super) fn close_pasts(&self) {
        let at = lock(&self.pasts.at).take();
        let elsewhere = std::mem::take(&mut *lock(&self.pasts.elsewhere));
        for mounted in at.into_iter().chain(elsewhere) {
            if let Err(e) = mounted.unmount() {
                tracing::warn!("{e}");
            }
        }
        self.note_mounts(&[]);
        let _ = std::fs::remove_dir(self.project.past_dir());
    }
}

/// Without an engine: takes a dead mount away that a killed one left. Returns whether there was one.
pub fn clean_mount(dir: &Path) -> Result<bool, ApiError> {
    clean_stale(dir).map_err(|e| ApiError::new(ErrorCode::Failed, e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_with_slashes_is_one_name() {
        for rev in ["@", "a/b", "a%2Fb", "100%", "%25", "10m ago", "\u{e9}/x"] {
            let name = as_name(rev);
            assert!(!name.contains(&b'/'), "{rev}");
            let back = std::str::from_utf8(&name).ok().and_then(from_name);
            assert_eq!(back.as_deref(), Some(rev));
        }
        assert_eq!(from_name("50%"), None);
        assert_eq!(from_name("%\u{e9}"), None);
    }
}
