//! The recorder: takes note of changes and makes checkpoints of them.
//!
//! Three things are kept apart. The *workspace* is the tree as of the last checkpoint; only whoever has the turn
//! changes it. The *dirty set* is what changed since; it is swapped at the start of a checkpoint, in a moment when
//! nothing is in flight. The *sweep* then finds out what the dirty paths were at the swap, while changes go on; whoever
//! is about to change one of them again has it stored first.
//!
//! Locks, in the order in which they may be taken: the turn, the workspace, the state, the sweep's own. The state is
//! never held while a file is read.

use std::collections::{BTreeMap, HashSet};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::dirty::{Dirty, Move, Read};
use super::disk::{Disk, Type};
use super::found::{Known, Prior};
use super::ignore_rules::{Reach, Rules};
use super::observe::Observer;
use super::sweep::{Ground, ListHook, Sweep};
use super::turn::Turns;
use super::workspace::{What, Workspace};
use crate::model::{CommitId, RefTarget, RepoPath, Touch, TreeId, Writer};
use crate::store::{self, Store};

pub use super::adopt::Exclusive;
pub use super::cut::{Cut, Made};
pub use super::error::{Error, Result};
pub use super::group::{Attribution, Group};
pub use super::scan::ScanProgress;
pub use super::settings::Settings;

/// The branch of a store that has none yet.
const FIRST_BRANCH: &str = "main";

/// What changes while requests come in.
#[derive(Default)]
pub(super) struct State {
    pub dirty: Dirty,
    /// The sweep that must be asked before a change.
    pub sweep: Option<Arc<Sweep>>,
    pub head: Option<(CommitId, TreeId)>,
    pub branch: String,
    /// Left-out things that were met, and whether each is a directory: looked at again when a rule changes.
    pub left_out: BTreeMap<RepoPath, bool>,
    pub scan: super::scan::Stage,
    pub scan_made: Option<Made>,
}

/// Takes note of what a mounted view or the watch report, and makes commits of it. Use it as `Arc<Recorder>`.
pub struct Recorder {
    pub(super) store: Arc<Store>,
    pub(super) ground: Ground,
    pub(super) workspace: Arc<RwLock<Workspace>>,
    pub(super) state: Mutex<State>,
    pub(super) turns: Turns,
    pub(super) changed: Arc<Notify>,
    /// Set once the first scan has been begun.
    pub(super) started: OnceLock<()>,
}

impl Known for RwLock<Workspace> {
    fn known(&self, path: &RepoPath) -> Option<Prior> {
        let workspace = self.read().unwrap_or_else(PoisonError::into_inner);
        let node = workspace.get(path)?;
        Some(match node.what {
            What::Dir { .. } => Prior::Dir,
            What::File { blob, size, .. } => Prior::File {
                blob,
                size,
                stamp: node.stamp(),
                mtime_ns: None,
            },
            What::Other(_) => Prior::Other,
        })
    }
}

/// The head of the branch that the store's `head` names.
fn position(store: &Store) -> Result<(String, Option<(CommitId, TreeId)>)> {
    let branch = match store.get_ref("head")? {
        None => FIRST_BRANCH.to_owned(),
        Some(RefTarget::Branch(name)) => name,
        Some(found) => {
            return Err(Error::BadRef {
                name: "head".to_owned(),
                found,
                wanted: "branch",
            });
        }
    };
    let name = format!("branch/{branch}");
    let head = match store.get_ref(&name)? {
        None => None,
        Some(RefTarget::Commit(id)) => Some((id, store.commit(id)?.tree)),
        Some(found) => {
            return Err(Error::BadRef {
                name,
                found,
                wanted: "commit",
            });
        }
    };
    Ok((branch, head))
}

impl Recorder {
    /// A recorder of the directory `root`, which goes on from the head of the store's branch. The directory's handle is
    /// opened here; what is mounted over its path later does not matter.
    pub fn open(store: Arc<Store>, root: &Path, settings: Settings) -> Result<Arc<Self>> {
        let disk = Arc::new(Disk::open(root).map_err(|source| Error::Open {
            path: root.to_owned(),
            source,
        })?);
        let (branch, head) = position(&store)?;
        let rules = Rules::of_disk(Arc::clone(&disk), settings);
        Ok(Arc::new(Self {
            ground: Ground {
                disk,
                store: Arc::clone(&store),
                rules: Arc::new(RwLock::new(Arc::new(rules))),
                on_list: Arc::default(),
            },
            store,
            workspace: Arc::default(),
            state: Mutex::new(State {
                branch,
                head,
                ..State::default()
            }),
            turns: Turns::default(),
            changed: Arc::default(),
            started: OnceLock::new(),
        }))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn rules(&self) -> Arc<Rules> {
        self.ground.rules()
    }

    /// Reads the branch and its head from the store again, after somebody else moved them.
    pub(super) fn reposition(&self) -> Result<()> {
        let (branch, head) = position(&self.store)?;
        let mut state = self.state();
        state.branch = branch;
        state.head = head;
        Ok(())
    }

    /// The handle of the real directory.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.ground.disk.root()
    }

    /// The path that the real directory was opened by.
    #[must_use]
    pub fn root_path(&self) -> &Path {
        self.ground.disk.path()
    }

    /// The present branch's head and its tree.
    #[must_use]
    pub fn head(&self) -> Option<(CommitId, TreeId)> {
        self.state().head
    }

    /// The present branch.
    #[must_use]
    pub fn branch(&self) -> String {
        self.state().branch.clone()
    }

    /// How many paths have changed since the last checkpoint.
    #[must_use]
    pub fn dirty(&self) -> usize {
        self.state().dirty.len()
    }

    /// When the present burst of changes began and when its last change was.
    #[must_use]
    pub fn burst(&self) -> Option<(Instant, Instant)> {
        self.state().dirty.burst()
    }

    /// Notified at the first change of each burst.
    #[must_use]
    pub fn changed_signal(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// Whether the present rules leave out what is at `path` on disk.
    #[must_use]
    pub fn is_left_out(&self, path: &RepoPath) -> bool {
        let (is_dir, size) = match self.ground.disk.stat(path) {
            Ok(Some(s)) => (s.kind == Type::Dir, s.stamp.size),
            _ => (false, 0),
        };
        self.leaves_out(path, is_dir, size)
    }

    /// Whether the present rules leave out such a path.
    #[must_use]
    pub fn leaves_out(&self, path: &RepoPath, is_dir: bool, size: u64) -> bool {
        self.rules().leaves_out(path, is_dir, size)
    }

    /// The rules of a past state, with what git tracks and the person's own ignore file as they are now.
    pub fn rules_then(&self, tree: TreeId) -> store::Result<Rules> {
        self.rules().then(&self.store, tree)
    }

    /// What is wrong with the settings or with git's index, for people.
    #[must_use]
    pub fn rule_problems(&self) -> Vec<String> {
        self.rules().problems().to_vec()
    }

    /// Has `hook` called with every directory before it is listed.
    pub(super) fn on_list(&self, hook: Option<ListHook>) {
        *self
            .ground
            .on_list
            .write()
            .unwrap_or_else(PoisonError::into_inner) = hook;
    }

    /// How far capture reaches into the directory `dir`.
    pub(super) fn reach(&self, dir: &RepoPath) -> Reach {
        self.rules().reach(dir)
    }

    /// Whether the rules leave out all that a path of this name could be.
    pub(crate) fn out(&self, path: &RepoPath) -> bool {
        match path.parent() {
            Some(parent) => path.name() == b".git" || self.rules().reach(&parent) == Reach::Out,
            None => false,
        }
    }

    fn pulse(&self, first: bool) {
        if first {
            self.changed.notify_one();
        }
    }

    pub(super) fn mark(&self, path: &RepoPath, read: Read, tree: bool, who: &Writer) {
        let first = self.state().dirty.mark(path, read, tree, who);
        self.pulse(first);
    }

    /// Runs `f` with checkpoints excluded.
    pub fn exclusive<R>(&self, f: impl FnOnce(&Exclusive<'_>) -> R) -> R {
        let _turn = self.turns.take();
        f(&Exclusive::new(self))
    }

    /// Cuts a checkpoint. While the first scan runs, waits for it.
    pub fn cut(&self, cut: Cut<'_>) -> Result<Made> {
        let _turn = self.turns.take();
        self.cut_in_turn(&cut, &HashSet::new(), None)
    }

    /// Waits until no checkpoint, scan or rollback is under way.
    pub(super) fn quiet_within(&self, timeout: Duration) -> bool {
        self.turns.free_within(timeout)
    }
}

impl Observer for Recorder {
    fn before(&self, path: &RepoPath, touch: Touch) {
        let (sweep, siblings) = {
            let state = self.state();
            let Some(sweep) = state.sweep.clone() else {
                return;
            };
            (sweep, state.dirty.siblings(path))
        };
        if self.out(path) {
            return;
        }
        sweep.protect(path, touch);
        for other in siblings {
            sweep.protect(&other, Touch::Content);
        }
    }

    fn changed(&self, path: &RepoPath, touch: Touch, who: &Writer) {
        if self.out(path) {
            return;
        }
        let (read, tree) = match touch {
            Touch::Meta => (Read::Trust, false),
            Touch::Content | Touch::Remove => (Read::Always, false),
            Touch::Create => (Read::Always, true),
        };
        let mut state = self.state();
        if touch == Touch::Remove {
            state.dirty.forget_open(path);
        }
        let first = state.dirty.mark(path, read, tree, who);
        drop(state);
        self.pulse(first);
    }

    fn renamed(&self, from: &RepoPath, to: &RepoPath, exchange: bool, who: &Writer) {
        let (from_out, to_out) = (self.out(from), self.out(to));
        let rules = self.rules();
        rules.forget(from);
        rules.forget(to);
        let first = match (from_out, to_out) {
            (true, true) => return,
            (false, true) => {
                let mut state = self.state();
                state.dirty.forget_open(from);
                state.dirty.mark(from, Read::Always, exchange, who)
            }
            (true, false) => self.state().dirty.mark(to, Read::Always, true, who),
            (false, false) => {
                let m = Move {
                    from: from.clone(),
                    to: to.clone(),
                    exchange,
                };
                // What a rule leaves out by its name was never stored under it.
                let unknown =
                    rules.reach(from) == Reach::Out || (exchange && rules.reach(to) == Reach::Out);
                self.state().dirty.rename(m, unknown, who)
            }
        };
        self.pulse(first);
    }

    fn opened_for_write(&self, path: &RepoPath, who: &Writer) {
        if !self.out(path) {
            self.state().dirty.opened(path, who);
        }
    }

    fn closed_for_write(&self, path: &RepoPath) {
        let first = self.state().dirty.closed(path);
        self.pulse(first);
    }
}
