//! Recording a branch that is not the workspace's: what its view reports is noted, and what its view holds, sealed as a
//! tree, becomes commits on that branch.
//!
//! Nothing is scanned or read here: the view knows its own tree at the cost of what was changed. So the notes only say
//! *when* there is something to seal and *who* made it. They may name more than what really changed, never less.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::cut::Made;
use super::dirty::{Dirty, Mark, Move, Read};
use super::error::{Error, Result};
use super::group::{self, Attribution, Touched};
use super::ignore_rules::{Reach, Rules};
use super::observe::Observer;
use super::settings;
use crate::diff;
use crate::model::{
    Attr, Cause, Commit, CommitId, FORK, Link, OpKind, RefChange, RefTarget, RepoPath, SessionId,
    Time, Touch, TreeId, Writer,
};
use crate::store::{self, NewCommit, NewOperation, Publication, Store};

/// What was noted of a branch's view between two checkpoints.
#[derive(Debug, Default)]
pub struct Noted {
    marks: BTreeMap<RepoPath, Mark>,
}

impl Noted {
    /// Whether a file that holds capture's rules was among what changed.
    #[must_use]
    pub fn has_rules(&self) -> bool {
        self.marks.iter().any(|(path, mark)| {
            mark.moved || path.name() == b".gitignore" || path.name() == settings::FILE.as_bytes()
        })
    }
}

/// What a checkpoint of a branch is to be made of.
pub struct Sealed<'a> {
    /// Why.
    pub cause: Cause,
    /// The session of commits whose group names none.
    pub session: Option<SessionId>,
    /// Who made the changes.
    pub attribution: &'a dyn Attribution,
    /// What the view held at the last checkpoint.
    pub head: (CommitId, TreeId),
    /// What it holds now.
    pub tree: TreeId,
    /// Times and owner of a path in the view.
    pub attr: &'a dyn Fn(&RepoPath) -> Option<Attr>,
    /// Told of the new end of the line before it is there. Nothing is published where that cannot be noted.
    pub before: &'a mut dyn FnMut(CommitId) -> Result<(), String>,
    /// The branch was moved away under the view: the commits get no name.
    pub adrift: bool,
}

/// Takes note of what a branch's view reports, and makes commits of it.
pub struct Beside {
    store: Arc<Store>,
    branch: String,
    rules: RwLock<Arc<Rules>>,
    dirty: Mutex<Dirty>,
    news: Mutex<bool>,
    told: Condvar,
}

impl std::fmt::Debug for Beside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Beside")
            .field("branch", &self.branch)
            .finish_non_exhaustive()
    }
}

impl Beside {
    /// For the branch `branch`, of which `rules` say what is left out.
    #[must_use]
    pub fn new(store: Arc<Store>, branch: &str, rules: Rules) -> Self {
        Self {
            store,
            branch: branch.to_owned(),
            rules: RwLock::new(Arc::new(rules)),
            dirty: Mutex::default(),
            news: Mutex::new(false),
            told: Condvar::new(),
        }
    }

    fn dirty(&self) -> MutexGuard<'_, Dirty> {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on these say what is left out.
    pub fn set_rules(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// Whether such a path is left out.
    #[must_use]
    pub fn leaves_out(&self, path: &RepoPath, is_dir: bool, size: u64) -> bool {
        self.rules().leaves_out(path, is_dir, size)
    }

    /// Whether all that a path of this name could be is left out.
    pub(crate) fn out(&self, path: &RepoPath) -> bool {
        match path.parent() {
            Some(parent) => path.name() == b".git" || self.rules().reach(&parent) == Reach::Out,
            None => false,
        }
    }

    /// When the present burst of changes began and when its last change was.
    #[must_use]
    pub fn burst(&self) -> Option<(Instant, Instant)> {
        self.dirty().burst()
    }

    /// Waits for something new, at most so long.
    pub fn wait(&self, longest: Duration) {
        let news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut news, _) = self
            .told
            .wait_timeout_while(news, longest, |news| !*news)
            .unwrap_or_else(PoisonError::into_inner);
        *news = false;
    }

    /// There is something new: who waits is to look.
    pub fn hurry(&self) {
        *self.news.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
    }

    fn pulse(&self, first: bool) {
        if first {
            self.hurry();
        }
    }

    /// Ends what is noted; to be called with nothing in flight.
    #[must_use]
    pub fn take(&self) -> Noted {
        Noted {
            marks: self.dirty().swap_but(&HashSet::new()).marks,
        }
    }

    /// The checkpoint could not be made: what was noted belongs to the next one.
    pub fn give_back(&self, noted: Noted) {
        self.dirty().give_back(noted.marks);
    }

    /// Publishes what differs between the last checkpoint and what the view holds now.
    pub fn publish(&self, noted: &Noted, sealed: &mut Sealed<'_>) -> Result<Made> {
        let (at, base) = sealed.head;
        let changes = diff::tree::trees(&self.store, base, sealed.tree, &[])?;
        if changes.is_empty() {
            return Ok(Made::default());
        }
        let nobody = BTreeMap::new();
        let touched = Touched {
            marks: &noted.marks,
            rules: &nobody,
        };
        let shares = group::split(changes, &touched, sealed.attribution);
        let time = Time::now();
        let known = self.store.commit(at)?.state;
        let mut made = Made::default();
        let mut publication = Publication::default();
        let (mut parent, mut before) = (at, base);
        let last = shares.len().saturating_sub(1);
        for (i, share) in shares.into_iter().enumerate() {
            let tree = if i == last {
                sealed.tree
            } else {
                group::edit(&self.store, before, &share.changes)?
            };
            let mut meta = BTreeMap::from([
                ("branch".to_owned(), self.branch.clone()),
                (FORK.to_owned(), self.branch.clone()),
            ]);
            if !share.writers.is_empty()
                && let Ok(json) = serde_json::to_string(&share.writers)
            {
                meta.insert("writers".to_owned(), json);
            }
            let there = share.changes.iter().filter(|c| c.after.is_some());
            let new = NewCommit {
                commit: Commit {
                    parents: vec![parent],
                    tree,
                    git: None,
                    state: known,
                    author: share.group.author.clone(),
                    session: share.group.session.or(sealed.session),
                    time,
                    cause: sealed.cause,
                    message: String::new(),
                    meta,
                    conflict: Vec::new(),
                },
                attrs: there.filter_map(|c| (sealed.attr)(&c.path)).collect(),
                paths: share
                    .changes
                    .iter()
                    .map(|c| (c.path.clone(), c.after.clone()))
                    .collect(),
            };
            let id = store::commit_id(&new.commit);
            sealed.attribution.made(id, &new);
            let link = |step, rule, confidence| Link {
                step,
                commit: id,
                rule,
                confidence,
            };
            if let Some((step, rule, sure)) = share.group.step {
                made.links.push(link(step, rule, sure));
            } else if let Some((step, rule, sure)) =
                sealed
                    .attribution
                    .step_for(&share.group, id, &new, sealed.cause)
            {
                made.links.push(link(step.id, rule, sure));
                made.steps.push(step);
            }
            publication.commits.push(new);
            (parent, before) = (id, tree);
        }
        (sealed.before)(parent).map_err(Error::Unnoted)?;
        publication.steps.clone_from(&made.steps);
        publication.links.clone_from(&made.links);
        if !sealed.adrift {
            publication.operation = Some(self.operation(at, parent, publication.commits.len()));
        }
        let published = self.store.publish(publication)?;
        made.commits = published.commits;
        made.operation = published.operation;
        Ok(made)
    }

    /// The operation that moves the branch. The workspace and its branch stay as they are.
    fn operation(&self, from: CommitId, to: CommitId, commits: usize) -> NewOperation {
        let branch = &self.branch;
        NewOperation {
            kind: OpKind::Checkpoint,
            description: if commits == 1 {
                format!("checkpoint on {branch}")
            } else {
                format!("checkpoint on {branch}: {commits} commits")
            },
            refs: vec![RefChange {
                name: format!("branch/{branch}"),
                before: Some(RefTarget::Commit(from)),
                after: Some(RefTarget::Commit(to)),
            }],
            target: None,
            workspace: None,
            time: Time::now(),
        }
    }
}

impl Observer for Beside {
    /// The view keeps what was there until it is sealed.
    fn before(&self, _path: &RepoPath, _touch: Touch) {}

    fn changed(&self, path: &RepoPath, touch: Touch, who: &Writer) {
        if self.out(path) {
            return;
        }
        let mut dirty = self.dirty();
        if touch == Touch::Remove {
            dirty.forget_open(path);
        }
        let first = dirty.mark(path, Read::Always, touch == Touch::Create, who);
        drop(dirty);
        self.pulse(first);
    }

    fn renamed(&self, from: &RepoPath, to: &RepoPath, exchange: bool, who: &Writer) {
        let (from_out, to_out) = (self.out(from), self.out(to));
        let mut dirty = self.dirty();
        let first = match (from_out, to_out) {
            (true, true) => return,
            (false, true) => {
                dirty.forget_open(from);
                dirty.mark(from, Read::Always, exchange, who)
            }
            (true, false) => dirty.mark(to, Read::Always, true, who),
            (false, false) => {
                let (from, to) = (from.clone(), to.clone());
                dirty.rename(Move { from, to, exchange }, true, who)
            }
        };
        drop(dirty);
        self.pulse(first);
    }

    fn opened_for_write(&self, path: &RepoPath, who: &Writer) {
        if !self.out(path) {
            self.dirty().opened(path, who);
        }
    }

    fn closed_for_write(&self, path: &RepoPath) {
        let first = self.dirty().closed(path);
        self.pulse(first);
    }
}
