//! Whose change is whose: one checkpoint's changed paths, split into one commit for each author.
//!
//! The commits follow each other, changes from outside first; each holds the tree in which its own changes and those
//! before it are made and the later ones are not yet. The last one's tree is the state that was found.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::dirty::Mark;
use crate::diff::tree::PathChange;
use crate::model::{
    Cause, CommitId, Entry, Kind, LinkRule, RepoPath, SessionId, Step, StepId, Tree, TreeId, Writer,
};
use crate::store::{self, NewCommit, Store};

/// Those whose changes go into one commit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Group {
    /// Behind the mount.
    pub outside: bool,
    /// The commit's author.
    pub author: String,
    /// The session in which the changes were made.
    pub session: Option<SessionId>,
    /// The step that made them, by which rule that is known, and how surely (0 to 100).
    pub step: Option<(StepId, LinkRule, u8)>,
    /// Among several commits of one checkpoint those with less come first: when the work began, in microseconds.
    pub order: i64,
    /// Keeps changes apart of which it is not known whether they belong together.
    pub part: u64,
}

impl Group {
    /// Whether the changes of both go into one commit: the same step's do, by whatever rules that is known.
    fn is_with(&self, other: &Self) -> bool {
        match (&self.step, &other.step) {
            (Some((a, ..)), Some((b, ..))) => a == b && self.part == other.part,
            (None, None) => {
                self.part == other.part
                    && (self.outside, &self.author, self.session)
                        == (other.outside, &other.author, other.session)
            }
            _ => false,
        }
    }

    /// A commit is tied no more surely than each of its changes.
    fn absorb(&mut self, other: &Self) {
        self.order = self.order.min(other.order);
        if let (Some(mine), Some(theirs)) = (&mut self.step, &other.step)
            && theirs.2 < mine.2
        {
            *mine = *theirs;
        }
    }
}

/// Who made a change: answered by the engine, which knows sessions and open calls.
pub trait Attribution: Send + Sync {
    /// The group of a changed path, which became `after`. `writers` may be empty: nobody touched it, a rule about it
    /// changed.
    fn group(&self, path: &RepoPath, after: Option<&Entry>, writers: &[Writer]) -> Group;

    /// A commit is about to be published.
    fn made(&self, commit: CommitId, new: &NewCommit) {
        let _ = (commit, new);
    }

    /// For a group without a step: the step to make for it, with the rule and how sure it is; `None` = no step.
    fn step_for(
        &self,
        group: &Group,
        commit: CommitId,
        new: &NewCommit,
        cause: Cause,
    ) -> Option<(Step, LinkRule, u8)>;
}

/// The changes of one group.
#[derive(Debug)]
pub struct Share {
    /// Whose.
    pub group: Group,
    /// Its changes, sorted by path.
    pub changes: Vec<PathChange>,
    /// Distinct writers, for the commit's metadata.
    pub writers: Vec<Writer>,
}

/// How many writers a commit lists.
const LISTED: usize = 32;

/// Who touched what, with the marks of the epoch.
pub struct Touched<'a> {
    /// The marks.
    pub marks: &'a BTreeMap<RepoPath, Mark>,
    /// For paths that nobody touched: below each directory, those who changed a rule about them.
    pub rules: &'a BTreeMap<RepoPath, Vec<Arc<Writer>>>,
}

impl Touched<'_> {
    /// Who touched `path`: those of its own mark and those who renamed a directory around it, else those of the nearest
    /// directory that is marked.
    #[must_use]
    pub fn writers(&self, path: &RepoPath) -> Vec<Writer> {
        let mut all: Vec<Arc<Writer>> = Vec::new();
        let mut add = |writers: &[Arc<Writer>]| {
            for w in writers {
                if !all.contains(w) {
                    all.push(Arc::clone(w));
                }
            }
            !all.is_empty()
        };
        let mut known = self.marks.get(path).is_some_and(|m| add(&m.writers));
        let mut at = path.parent();
        while let Some(dir) = at {
            if let Some(mark) = self.marks.get(&dir) {
                if mark.moved {
                    known |= add(&mark.writers);
                    break;
                }
                if !known {
                    known = add(&mark.writers);
                }
            }
            at = dir.parent();
        }
        let mut at = path.parent();
        while !known && let Some(dir) = at {
            known = self.rules.get(&dir).is_some_and(|w| add(w));
            at = dir.parent();
        }
        all.iter().map(|w| (**w).clone()).collect()
    }
}

/// Splits `changes` by group: those from outside first, then as their work began, then in order of appearance.
pub fn split(
    changes: Vec<PathChange>,
    touched: &Touched<'_>,
    attribution: &dyn Attribution,
) -> Vec<Share> {
    let mut shares: Vec<Share> = Vec::new();
    for change in changes {
        let writers = touched.writers(&change.path);
        let group = attribution.group(&change.path, change.after.as_ref(), &writers);
        let i = match shares.iter().position(|s| s.group.is_with(&group)) {
            Some(i) => {
                shares[i].group.absorb(&group);
                i
            }
            None => {
                shares.push(Share {
                    group,
                    changes: Vec::new(),
                    writers: Vec::new(),
                });
                shares.len() - 1
            }
        };
        let share = &mut shares[i];
        for w in writers {
            if share.writers.len() < LISTED && !share.writers.contains(&w) {
                share.writers.push(w);
            }
        }
        share.changes.push(change);
    }
    shares.sort_by_key(|s| (!s.group.outside, s.group.order));
    shares
}

/// The tree that `base` becomes by `changes` alone. Where they lie in a directory that `base` lacks, it is made.
pub fn edit(store: &Store, base: TreeId, changes: &[PathChange]) -> store::Result<TreeId> {
    let mut edit = Edit {
        store,
        trees: BTreeMap::from([(RepoPath::root(), (*store.tree(base)?).clone())]),
    };
    for change in changes {
        edit.apply(change)?;
    }
    edit.seal()
}

/// The directories of a tree that are being changed.
struct Edit<'a> {
    store: &'a Store,
    trees: BTreeMap<RepoPath, Tree>,
}

impl Edit<'_> {
    fn apply(&mut self, change: &PathChange) -> store::Result<()> {
        let Some(parent) = change.path.parent() else {
            return Ok(());
        };
        if change.after.is_none() && !self.holds(&parent)? {
            return Ok(());
        }
        self.open(&parent)?;
        let name = change.path.name();
        let is_dir = |e: &Entry| matches!(e.kind, Kind::Dir(_));
        let Some(tree) = self.trees.get_mut(&parent) else {
            return Ok(());
        };
        match &change.after {
            None => {
                tree.remove(name);
                self.close(&change.path);
            }
            Some(after) if is_dir(after) => {
                let kept = tree.get(name).filter(|e| is_dir(e)).cloned();
                let kind = kept.map_or(Kind::Dir(self.store.empty_tree()), |e| e.kind);
                tree.set(Entry {
                    name: name.to_vec(),
                    mode: after.mode,
                    kind,
                });
            }
            Some(after) => {
                tree.set(after.clone());
                self.close(&change.path);
            }
        }
        Ok(())
    }

    /// Whether the directory is there.
    fn holds(&mut self, dir: &RepoPath) -> store::Result<bool> {
        let mut at = RepoPath::root();
        for part in dir.parts() {
            if !self.enter(&at, part, false)? {
                return Ok(false);
            }
            match at.join(part) {
                Ok(next) => at = next,
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Makes the directory ready to be changed; makes it where it is missing.
    fn open(&mut self, dir: &RepoPath) -> store::Result<()> {
        let mut at = RepoPath::root();
        for part in dir.parts() {
            self.enter(&at, part, true)?;
            match at.join(part) {
                Ok(next) => at = next,
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    fn enter(&mut self, parent: &RepoPath, name: &[u8], make: bool) -> store::Result<bool> {
        let Ok(path) = parent.join(name) else {
            return Ok(false);
        };
        if self.trees.contains_key(&path) {
            return Ok(true);
        }
        let Some(tree) = self.trees.get_mut(parent) else {
            return Ok(false);
        };
        let id = match tree.get(name).map(|e| &e.kind) {
            Some(Kind::Dir(id)) => *id,
            _ if make => {
                let id = self.store.empty_tree();
                tree.set(Entry {
                    name: name.to_vec(),
                    mode: 0o755,
                    kind: Kind::Dir(id),
                });
                id
            }
            _ => return Ok(false),
        };
        let tree = (*self.store.tree(id)?).clone();
        self.trees.insert(path, tree);
        Ok(true)
    }

    fn close(&mut self, path: &RepoPath) {
        for below in super::subtree::keys_below(&self.trees, path) {
            self.trees.remove(&below);
        }
        self.trees.remove(path);
    }

    fn seal(mut self) -> store::Result<TreeId> {
        // In reverse order a directory comes after all that it holds.
        while let Some((path, tree)) = self.trees.pop_last() {
            let id = if tree.entries.is_empty() {
                self.store.empty_tree()
            } else {
                self.store.put_tree(&tree)?
            };
            let Some(parent) = path.parent() else {
                return Ok(id);
            };
            if let Some(around) = self.trees.get_mut(&parent)
                && let Some(mut entry) = around.remove(path.name())
            {
                entry.kind = Kind::Dir(id);
                around.set(entry);
            }
        }
        Ok(self.store.empty_tree())
    }
}
