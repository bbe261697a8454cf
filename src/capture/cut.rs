//! Cutting a checkpoint: swap the dirty set, find out what the marked paths were, store the directories that changed,
//! and publish one commit for each author.
//!
//! Cost follows what is marked. If anything fails, nothing is lost: all marks of the epoch are given back, and what was
//! put into the store without a commit naming it is put again by the next checkpoint.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, PoisonError};

use super::dirty::{Mark, Move, Read};
use super::error::{Error, Result};
use super::found::Findings;
use super::group::Attribution;
use super::ignore_rules::Rules;
use super::recorder::Recorder;
use super::settings::{self, Settings};
use super::subtree;
use super::sweep::Sweep;
use crate::model::{BlobId, Cause, CommitId, Link, OpId, RepoPath, SessionId, Step, Writer};
use crate::store;

/// Writers of the rules that changed, by the directory in which the rule holds.
type RuleWriters = BTreeMap<RepoPath, Vec<Arc<Writer>>>;

/// Threads that read what changed, when it is much.
const WORKERS: usize = 2;

/// What a checkpoint is for, and how to reach those who write.
pub struct Cut<'a> {
    /// Why.
    pub cause: Cause,
    /// A line for people. With one, a commit is made even if nothing changed.
    pub message: Option<String>,
    /// Runs what it is given once, in a moment when no change is in flight.
    pub swap: &'a dyn Fn(&mut dyn FnMut()),
    /// Writes back what is dirty in shared mappings of these files, before the swap.
    pub flush: &'a dyn Fn(&[RepoPath]),
    /// Who made the changes.
    pub attribution: &'a dyn Attribution,
    /// The session of commits whose group names none.
    pub session: Option<SessionId>,
}

/// What a checkpoint made.
#[derive(Debug, Default, Clone)]
pub struct Made {
    /// New commits, first to last; none if nothing had changed.
    pub commits: Vec<CommitId>,
    /// The operation that moved the branch.
    pub operation: Option<(u64, OpId)>,
    /// Steps made for changes that no step claims.
    pub steps: Vec<Step>,
    /// Which step made which commit.
    pub links: Vec<Link>,
    /// What could not be captured, and why, for people.
    pub problems: Vec<String>,
}

impl Made {
    fn follow(mut self, later: Self) -> Self {
        self.commits.extend(later.commits);
        self.operation = later.operation.or(self.operation);
        self.steps.extend(later.steps);
        self.links.extend(later.links);
        self.problems.extend(later.problems);
        self
    }
}

/// How the commits of an epoch are to be made.
pub(super) struct How<'a> {
    pub cause: Cause,
    pub message: Option<String>,
    pub session: Option<SessionId>,
    pub attribution: &'a dyn Attribution,
    pub workers: usize,
    pub state: Option<BlobId>,
}

/// What is found out besides the files themselves.
#[derive(Default)]
pub(super) struct Notes {
    pub problems: Vec<String>,
    /// Directories below which rules changed or names moved.
    pub reconsider: BTreeSet<RepoPath>,
    pub rule_writers: RuleWriters,
}

impl Recorder {
    /// Cuts a checkpoint of all but the changes of the paths in `later`; the caller has the turn.
    ///
    /// `state` is the agent's own, to be kept with the last commit; without one it stays what it was.
    pub(super) fn cut_in_turn(
        &self,
        cut: &Cut<'_>,
        later: &HashSet<RepoPath>,
        state: Option<BlobId>,
    ) -> Result<Made> {
        let before = self.scan_in_turn(cut.attribution)?;
        let open = self.state().dirty.open();
        if !open.is_empty() {
            (cut.flush)(&open);
        }
        let (sweep, moves) = self.swap(cut, later);
        let made = self.store_epoch(
            &sweep,
            &moves,
            &How {
                cause: cut.cause,
                message: cut.message.clone(),
                session: cut.session,
                attribution: cut.attribution,
                workers: WORKERS,
                state,
            },
        )?;
        Ok(match before {
            Some(before) => before.follow(made),
            None => made,
        })
    }

    /// Ends the epoch. The workspace is held until its names are those of the swap, so that whoever asks the new sweep
    /// what was known finds it.
    fn swap(&self, cut: &Cut<'_>, later: &HashSet<RepoPath>) -> (Arc<Sweep>, Vec<Move>) {
        let mut workspace = self
            .workspace
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut taken = None;
        let mut swap = || {
            if taken.is_none() {
                let mut state = self.state();
                let epoch = state.dirty.swap_but(later);
                let sweep = Arc::new(Sweep::new(
                    self.ground.clone(),
                    Arc::clone(&self.workspace) as _,
                    epoch.marks,
                ));
                state.sweep = Some(Arc::clone(&sweep));
                taken = Some((sweep, epoch.moves));
            }
        };
        (cut.swap)(&mut swap);
        swap();
        let Some((sweep, moves)) = taken else {
            // The closure has run: this cannot be.
            let none = Sweep::new(
                self.ground.clone(),
                Arc::clone(&self.workspace) as _,
                BTreeMap::new(),
            );
            return (Arc::new(none), Vec::new());
        };
        for m in &moves {
            workspace.rename(&m.from, &m.to, m.exchange);
        }
        drop(workspace);
        let mut state = self.state();
        for m in &moves {
            subtree::rename(
                &mut state.left_out,
                &m.from,
                &m.to,
                m.exchange,
                |there, v| *there = v,
            );
        }
        (sweep, moves)
    }

    /// Finds out what the sweep is for and publishes it. The names of the workspace are those of the swap.
    pub(super) fn store_epoch(
        &self,
        sweep: &Arc<Sweep>,
        moves: &[Move],
        how: &How<'_>,
    ) -> Result<Made> {
        let mut notes = Notes::default();
        let settled = self.settle(sweep, moves, how, &mut notes);
        self.state().sweep = None;
        let mut findings = sweep.finish();
        let marks = std::mem::take(&mut findings.marks);
        let mut doubtful = Vec::new();
        let done = settled.and_then(|()| {
            for (dir, names) in &findings.names {
                doubtful.extend(names.keys().filter_map(|n| dir.join(n).ok()));
            }
            self.publish(&marks, findings, &mut notes, how)
        });
        match done {
            Ok(mut made) => {
                made.problems.splice(0..0, notes.problems);
                Ok(made)
            }
            Err(e) => {
                self.workspace
                    .write()
                    .unwrap_or_else(PoisonError::into_inner)
                    .doubt(&doubtful);
                self.state().dirty.give_back(marks);
                self.changed.notify_one();
                if matches!(e, Error::Store(store::Error::RefMoved { .. })) {
                    self.reposition()?;
                }
                Err(e)
            }
        }
    }

    fn settle(
        &self,
        sweep: &Arc<Sweep>,
        moves: &[Move],
        how: &How<'_>,
        notes: &mut Notes,
    ) -> Result<()> {
        let all_rules = self.refresh_rules(sweep, moves, notes);
        self.want_unknown_around(sweep);
        sweep.run(how.workers)?;
        // What a changed rule does not leave out any more.
        let rules = self.rules();
        let again: Vec<RepoPath> = {
            let state = self.state();
            state
                .left_out
                .iter()
                .filter(|(path, _)| all_rules || notes.reconsider.iter().any(|d| path.is_within(d)))
                .filter(|(path, is_dir)| rules.captures(path, **is_dir, u64::MAX))
                .map(|(path, _)| path.clone())
                .collect()
        };
        for path in &again {
            let mut at = path.parent();
            let mut writers: &[Arc<Writer>] = &[];
            while let Some(dir) = at {
                if let Some(w) = notes.rule_writers.get(&dir) {
                    writers = w;
                    break;
                }
                at = dir.parent();
            }
            sweep.want(path, Read::Check, true, writers);
        }
        let names = self.other_names(sweep);
        for path in &names {
            sweep.want(path, Read::Check, false, &[]);
        }
        if !again.is_empty() || !names.is_empty() {
            sweep.run(how.workers)?;
        }
        Ok(())
    }

    /// Something was changed in a directory that came to be behind the mount, and nobody has reported that yet: the
    /// outermost such directory is looked at with all it holds.
    fn want_unknown_around(&self, sweep: &Sweep) {
        let mut unknown = BTreeMap::new();
        {
            let workspace = self
                .workspace
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            for (path, writers) in sweep.marked() {
                let mut at = path.parent();
                let mut outermost = None;
                while let Some(dir) = at
                    && !workspace.is_dir(&dir)
                {
                    at = dir.parent();
                    outermost = Some(dir);
                }
                if let Some(dir) = outermost {
                    unknown.entry(dir).or_insert(writers);
                }
            }
        }
        for (dir, writers) in unknown {
            sweep.want(&dir, Read::Check, true, &writers);
        }
    }

    /// The other names of files that were found to have several.
    fn other_names(&self, sweep: &Sweep) -> BTreeSet<RepoPath> {
        let found = sweep.linked();
        let mut names = BTreeSet::new();
        let mut unknown = BTreeSet::new();
        {
            let state = self.state();
            for (_, inode) in &found {
                match state.dirty.names_of(*inode) {
                    Some(known) => names.extend(known),
                    None => _ = unknown.insert(*inode),
                }
            }
        }
        if !unknown.is_empty() {
            let workspace = self
                .workspace
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            names.extend(workspace.names_of(&unknown));
        }
        for (path, _) in &found {
            names.remove(path);
        }
        names
    }

    /// Takes in changed rules before they are applied; `true` if they may have changed everywhere.
    fn refresh_rules(&self, sweep: &Sweep, moves: &[Move], notes: &mut Notes) -> bool {
        let mut everywhere = false;
        for (path, mark) in sweep.marks_named(&[b".gitignore", settings::FILE.as_bytes()]) {
            let dir = path.parent().unwrap_or_default();
            if path.name() == b".gitignore" {
                self.rules().forget(&dir);
            } else if dir.is_root() {
                notes.problems.extend(self.reload_settings());
            } else {
                continue;
            }
            notes.rule_writers.insert(dir.clone(), mark.writers);
            notes.reconsider.insert(dir);
        }
        for m in moves {
            for path in [&m.from, &m.to] {
                self.rules().forget(path);
                let is_dir = self
                    .workspace
                    .read()
                    .unwrap_or_else(PoisonError::into_inner)
                    .is_dir(path);
                if is_dir {
                    notes.reconsider.insert(path.clone());
                }
            }
        }
        if self.rules().refresh_tracked() {
            everywhere = true;
        }
        everywhere
    }

    /// Reads `backtrail.toml` again. What is wrong with it, for people; a broken one changes nothing.
    pub(super) fn reload_settings(&self) -> Vec<String> {
        let path = match RepoPath::try_from(settings::FILE) {
            Ok(path) => path,
            Err(e) => return vec![e.to_string()],
        };
        let text = self.ground.disk.small_file(&path, 1 << 20);
        let (settings, mut problems) = match text.map(Option::unwrap_or_default) {
            Ok(text) => match Settings::parse(&text) {
                Ok(read) => read,
                Err(e) => return vec![e.to_string()],
            },
            Err(e) => return vec![settings::SettingsError::Read(e).to_string()],
        };
        if *self.rules().settings() != settings {
            let rules = Rules::of_disk(Arc::clone(&self.ground.disk), settings);
            problems.extend_from_slice(rules.problems());
            *self
                .ground
                .rules
                .write()
                .unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
        }
        problems
    }

    fn publish(
        &self,
        marks: &BTreeMap<RepoPath, Mark>,
        findings: Findings,
        notes: &mut Notes,
        how: &How<'_>,
    ) -> Result<Made> {
        let mut workspace = self
            .workspace
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let restless = self.apply(&mut workspace, findings, notes);
        self.drop_left_out(&mut workspace, notes);
        let tree = workspace.seal(&self.store)?;
        drop(workspace);

        let head = self.state().head;
        let base = head.map_or_else(|| self.store.empty_tree(), |(_, tree)| tree);
        let made = if tree == base && head.is_some() && how.message.is_none() && how.state.is_none()
        {
            Made::default()
        } else {
            self.commit(marks, notes, head, base, tree, how)?
        };
        self.workspace
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .settled();
        // What did not hold still is looked at again.
        let again: BTreeMap<RepoPath, Mark> = restless
            .into_iter()
            .map(|path| {
                let mut mark = marks.get(&path).cloned().unwrap_or_default();
                mark.read = Read::Always;
                (path, mark)
            })
            .collect();
        if !again.is_empty() {
            self.state().dirty.give_back(again);
            self.changed.notify_one();
        }
        Ok(made)
    }
}
