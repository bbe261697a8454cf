//! The first scan: finds the whole state at start, in the background, while agents work already.
//!
//! It is a sweep for the root with everything below, so it is exact as of the call of [`Recorder::start_scan`]: what is
//! changed through the mount before the scan gets there is stored first. Without a commit its result is the first one;
//! otherwise what differs from the branch's head was changed while no engine ran. A file whose size and modification
//! time are those that the store noted is not read again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::cut::{How, Made};
use super::dirty::{Mark, Read};
use super::error::Result;
use super::found::{Known, Prior};
use super::group::Attribution;
use super::recorder::Recorder;
use super::sweep::Sweep;
use crate::model::{Cause, CommitId, Kind, RepoPath, Tree, TreeId, Writer};
use crate::store::{self, Store};

/// Threads of a first scan.
const WORKERS: usize = 2;
/// A modification time this close to its commit's may hide a later change within one tick of the clock.
const YOUNG_NS: i64 = 2_000_000_000;
/// So many commits are asked for modification times; what changed before them only is read again.
const COMMITS: usize = 20_000;

/// How the first scan stands.
#[derive(Default)]
pub(super) enum Stage {
    #[default]
    NotStarted,
    Running(Arc<Sweep>),
    /// How many things were looked at.
    Done(u64),
    /// Why; the next checkpoint does it again.
    Failed(String),
}

/// How far the first scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanProgress {
    /// Things looked at.
    pub files: u64,
    /// Whether it is over.
    pub done: bool,
}

impl Recorder {
    /// Begins the first scan; what it finds is committed when it is done. Later calls do nothing.
    pub fn start_scan(self: &Arc<Self>, attribution: Arc<dyn Attribution>) {
        if self.started.set(()).is_err() {
            return;
        }
        let turn = self.turns.take();
        let sweep = self.begin_scan();
        let me = Arc::clone(self);
        let (own, other) = (Arc::clone(&sweep), Arc::clone(&attribution));
        let turn = Arc::new(Mutex::new(Some(turn)));
        let given = Arc::clone(&turn);
        let spawned = std::thread::Builder::new()
            .name("first scan".to_owned())
            .spawn(move || {
                let turn = given.lock().unwrap_or_else(PoisonError::into_inner).take();
                me.scan_ended(&own, other.as_ref());
                drop(turn);
            });
        if spawned.is_err() {
            // Too many threads: better late than never.
            self.scan_ended(&sweep, attribution.as_ref());
            turn.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }

    /// From here on, what is changed is stored first.
    fn begin_scan(&self) -> Arc<Sweep> {
        let head = self.state().head;
        let known: Arc<dyn Known> = match head {
            Some((commit, tree)) => Arc::new(Baseline::new(&self.store, commit, tree)),
            None => Arc::new(Nothing),
        };
        let mark = Mark {
            writers: vec![Arc::new(Writer::outside())],
            read: Read::Check,
            tree: true,
            moved: false,
        };
        let marks = BTreeMap::from([(RepoPath::root(), mark)]);
        let sweep = Arc::new(Sweep::new(self.ground.clone(), known, marks));
        let mut state = self.state();
        state.sweep = Some(Arc::clone(&sweep));
        state.scan = Stage::Running(Arc::clone(&sweep));
        sweep
    }

    fn finish_scan(&self, sweep: &Arc<Sweep>, attribution: &dyn Attribution) -> Result<Made> {
        let cause = match self.head() {
            None => Cause::Initial,
            Some(_) => Cause::Found,
        };
        let made = self.store_epoch(
            sweep,
            &[],
            &How {
                cause,
                message: None,
                session: None,
                attribution,
                workers: WORKERS,
                state: None,
            },
        );
        let mut state = self.state();
        state.scan = match &made {
            Ok(_) => Stage::Done(sweep.files()),
            Err(e) => Stage::Failed(e.to_string()),
        };
        // Changes that came meanwhile wait for a checkpoint.
        let waiting = state.dirty.burst().is_some();
        drop(state);
        if waiting {
            self.changed.notify_one();
        }
        made
    }

    /// Does the scan and keeps what it made for whoever asks.
    fn scan_ended(&self, sweep: &Arc<Sweep>, attribution: &dyn Attribution) {
        match self.finish_scan(sweep, attribution) {
            Ok(made) => self.state().scan_made = Some(made),
            Err(e) => tracing::warn!("the first scan failed: {e}"),
        }
    }

    /// What the first scan made, once.
    #[must_use]
    pub fn take_scan_made(&self) -> Option<Made> {
        self.state().scan_made.take()
    }

    /// Makes sure that the whole state is known, in the caller's thread and turn.
    pub(super) fn scan_in_turn(&self, attribution: &dyn Attribution) -> Result<Option<Made>> {
        if matches!(self.state().scan, Stage::Done(_)) {
            return Ok(None);
        }
        self.started.set(()).ok();
        let sweep = self.begin_scan();
        self.finish_scan(&sweep, attribution).map(Some)
    }

    /// How far the first scan is.
    #[must_use]
    pub fn scan(&self) -> ScanProgress {
        match &self.state().scan {
            Stage::NotStarted => ScanProgress {
                files: 0,
                done: false,
            },
            Stage::Running(sweep) => ScanProgress {
                files: sweep.files(),
                done: false,
            },
            Stage::Done(files) => ScanProgress {
                files: *files,
                done: true,
            },
            Stage::Failed(_) => ScanProgress {
                files: 0,
                done: false,
            },
        }
    }

    pub(super) fn scan_is_running(&self) -> bool {
        matches!(self.state().scan, Stage::Running(_))
    }

    /// Why the first scan could not be finished. The next checkpoint tries again.
    #[must_use]
    pub fn scan_failure(&self) -> Option<String> {
        match &self.state().scan {
            Stage::Failed(why) => Some(why.clone()),
            _ => None,
        }
    }

    /// Waits for the end of the first scan; `false` if it has not been finished after `timeout`.
    #[must_use]
    pub fn wait_scan(&self, timeout: Duration) -> bool {
        if self.scan_is_running() && !self.quiet_within(timeout) {
            return false;
        }
        matches!(self.state().scan, Stage::Done(_))
    }
}

/// Nothing is known: there is no commit yet.
struct Nothing;

impl Known for Nothing {
    fn known(&self, _: &RepoPath) -> Option<Prior> {
        None
    }
}

/// What the branch's head says.
struct Baseline {
    store: Arc<Store>,
    root: TreeId,
    commit: CommitId,
    trees: Mutex<HashMap<RepoPath, Option<Arc<Tree>>>>,
    /// Modification times that can be relied on; read when first asked for.
    times: std::sync::OnceLock<HashMap<RepoPath, Option<i64>>>,
}

impl Baseline {
    fn new(store: &Arc<Store>, commit: CommitId, root: TreeId) -> Self {
        Self {
            store: Arc::clone(store),
            root,
            commit,
            trees: Mutex::default(),
            times: std::sync::OnceLock::new(),
        }
    }

    fn tree(&self, dir: &RepoPath) -> Option<Arc<Tree>> {
        let cached = |d: &RepoPath| {
            self.trees
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(d)
                .cloned()
        };
        if let Some(tree) = cached(dir) {
            return tree;
        }
        let mut path = RepoPath::root();
        let mut tree = self.store.tree(self.root).ok();
        for part in dir.parts() {
            path = path.join(part).ok()?;
            tree = match cached(&path) {
                Some(tree) => tree,
                None => {
                    let id = tree.and_then(|t| t.get(part)?.kind.tree());
                    id.and_then(|id| self.store.tree(id).ok())
                }
            };
        }
        self.trees
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(dir.clone(), tree.clone());
        tree
    }

    /// The newest times along the branch. A store that cannot answer makes the scan slower, not wrong.
    fn read_times(&self) -> HashMap<RepoPath, Option<i64>> {
        let mut times = HashMap::new();
        let mut next = Some(self.commit);
        for _ in 0..COMMITS {
            let Some(id) = next else { break };
            let step =
                || -> store::Result<_> { Ok((self.store.commit(id)?, self.store.attrs(id)?)) };
            let Ok((commit, attrs)) = step() else { break };
            let limit = commit.time.0.saturating_mul(1000).saturating_sub(YOUNG_NS);
            for a in attrs {
                times
                    .entry(a.path)
                    .or_insert_with(|| (a.mtime_ns < limit).then_some(a.mtime_ns));
            }
            next = commit.parents.first().copied();
        }
        times
    }
}

impl Known for Baseline {
    fn known(&self, path: &RepoPath) -> Option<Prior> {
        let parent = path.parent()?;
        let tree = self.tree(&parent)?;
        Some(match tree.get(path.name())?.kind {
            Kind::Dir(_) => Prior::Dir,
            Kind::File { blob, size } => Prior::File {
                blob,
                size,
                stamp: None,
                mtime_ns: self
                    .times
                    .get_or_init(|| self.read_times())
                    .get(path)
                    .copied()
                    .flatten(),
            },
            _ => Prior::Other,
        })
    }
}
