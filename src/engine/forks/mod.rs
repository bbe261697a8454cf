//! Forks: branches with a view of their own, in which agents run beside the workspace and beside each other.
//!
//! A fork is *open* while its view is mounted at `<runtime>/branch/NAME`. It is opened when somebody is to run in it, and
//! closed when nobody has used it for a while; what is kept of it in between lies in `<store>/branches/NAME`. What changes
//! in it becomes commits of its branch (`capture`); they move neither `head` nor anything of the workspace.
//!
//! Locks: `Core::world` before `opening`, that before a fork's `head`. The map of open forks is locked for a moment only.
//! A view is open once at most: two would write the same files. So a fork whose mount cannot be taken away, because
//! somebody is still in it, stays open.

mod answer;
mod capture;
mod opening;
mod place;
mod scratch;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::capture::beside::Beside;
use crate::fs::branch_view::BranchView;
use crate::fs::{Gate, Invalidate, Mounted};
use crate::model::{CommitId, TreeId};

use super::ties::Ties;
pub(super) use opening::Released;
use place::Note;
use scratch::Scratch;

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a fork's line of commits ends.
struct Head {
    commit: CommitId,
    tree: TreeId,
    /// The branch was moved away under the view: what is committed has no name any more.
    adrift: bool,
}

/// A fork whose view is open.
pub struct Fork {
    /// Its branch.
    pub branch: String,
    at: PathBuf,
    dir: PathBuf,
    base: CommitId,
    view: Arc<BranchView>,
    beside: Arc<Beside>,
    ties: Arc<Ties>,
    gate: Arc<Gate>,
    mounts: Mutex<Vec<Mounted>>,
    kernel: Mutex<Option<Arc<dyn Invalidate>>>,
    head: Mutex<Head>,
    used: Mutex<Instant>,
    over: AtomicBool,
}

impl Fork {
    /// Where its view is mounted; `None` while it has no place.
    fn mounted(&self) -> Option<String> {
        let mounts = lock(&self.mounts);
        mounts
            .iter()
            .any(|m| m.has_place() && m.is_alive())
            .then(|| self.at.to_string_lossy().into_owned())
    }

    /// Somebody is about to use it, or has.
    fn touch(&self) {
        *lock(&self.used) = Instant::now();
    }

    /// What is kept of it, standing at these commits.
    fn note(&self, at: Vec<CommitId>) -> Note {
        Note::new(&self.branch, self.base, at)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

/// All open forks.
#[derive(Default)]
pub struct Forks {
    open: Mutex<BTreeMap<String, Arc<Fork>>>,
    opening: Mutex<()>,
    scratch: Mutex<BTreeMap<String, Scratch>>,
    /// How many paths two trees have otherwise.
    changed: Mutex<HashMap<(TreeId, TreeId), usize>>,
    /// The project's objects of git are being pinned.
    pinning: AtomicBool,
}

impl Forks {
    /// The branches whose forks are open, by name.
    pub fn names(&self) -> Vec<String> {
        lock(&self.open).keys().cloned().collect()
    }

    /// The branches whose forks are open, with where they are mounted.
    pub fn places(&self) -> Vec<(String, String)> {
        self.all()
            .iter()
            .filter_map(|f| Some((f.branch.clone(), f.mounted()?)))
            .collect()
    }

    fn get(&self, branch: &str) -> Option<Arc<Fork>> {
        lock(&self.open).get(branch).cloned()
    }

    fn all(&self) -> Vec<Arc<Fork>> {
        lock(&self.open).values().cloned().collect()
    }

    /// A call has begun or ended: whoever waits for that is to look.
    pub fn hurry(&self) {
        for fork in self.all() {
            fork.beside.hurry();
        }
    }

    fn opening(&self) -> MutexGuard<'_, ()> {
        lock(&self.opening)
    }
}
