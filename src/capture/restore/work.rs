//! One run over the files: from an intent in the journal to files that are swapped and synced. [`apply`] runs all
//! changes of an intent, recovery those that are still to be done.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, OFlags};

use super::beneath::{
    self, Dirs, look, mode_of, names_in, open_readable, remove_tree, set_mode_of,
};
use super::bury::Graves;
use super::plan::only_mode;
use super::stage::Attrs;
use super::sync::{self, Syncer};
use super::{Applied, Error, Intent, Names, World, reason};
use crate::capture::failpoint::point;
use crate::capture::journal::{Journal, Record};
use crate::diff::tree::PathChange;
use crate::model::{Kind, RepoPath};
use crate::store::Store;

/// Does what `intent` says, and leaves its entry in `journal` for the caller to remove when the refs have moved.
///
/// `root` is the real project directory. On an error no file was changed and the journal is empty again. Paths that
/// could not be changed are in [`Applied::kept`], newer files in [`Applied::displaced`]: the caller must look at both
/// again, because they differ from the target.
pub fn apply(
    store: &Store,
    root: BorrowedFd<'_>,
    journal: &Journal,
    intent: &Intent,
    world: &dyn World,
) -> Result<Applied, Error> {
    step(world, "restore.before-intent", &RepoPath::root());
    let all: Vec<usize> = (0..intent.changes.len()).collect();
    let jobs = jobs(&intent.changes, &all);
    let relaxed = closed_to_us(root, &intent.changes, &jobs);
    let record = journal.begin(intent, relaxed)?;
    step(world, "restore.after-intent", &RepoPath::root());
    let mut work = Work::new(store, root, journal, &record, world);
    match work.run(jobs) {
        Ok(()) => Ok(work.out),
        Err(e) => {
            // Nothing was swapped. If even this fails, the next start finds an intent of which nothing was done.
            if let Err(again) = journal.done(intent) {
                tracing::error!("the journal keeps an operation that failed: {again}");
            }
            Err(e)
        }
    }
}

fn step(world: &dyn World, name: &'static str, path: &RepoPath) {
    world.at(name, path);
    point(name);
}

/// What is to be done for one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Nothing was there.
    Create,
    /// Something else was there.
    Replace,
    /// A file, link or the like goes.
    Remove,
    /// A directory goes, once it is empty.
    RemoveDir,
    /// Only the mode of a file changes.
    Mode,
    /// Only the mode of a directory changes.
    ModeDir,
}

/// A change with how it is done.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// Number of the change in the intent.
    pub at: usize,
    pub how: How,
    /// Changes that come with this one, because a directory that comes is staged whole.
    pub nested: Vec<usize>,
    /// Its content lies under the staging name.
    pub staged: bool,
}

/// The jobs for the changes with the numbers `chosen` (in order).
pub(super) fn jobs(changes: &[PathChange], chosen: &[usize]) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    let mut top: Option<(usize, &RepoPath)> = None;
    for &at in chosen {
        let Some(c) = changes.get(at) else { continue };
        if let Some((job, path)) = top
            && c.path.is_within(path)
        {
            if let Some(job) = jobs.get_mut(job) {
                job.nested.push(at);
            }
            continue;
        }
        let is_dir = |e: &crate::model::Entry| e.kind.tree().is_some();
        let how = match (&c.before, &c.after) {
            (None, Some(_)) => How::Create,
            (Some(b), None) if is_dir(b) => How::RemoveDir,
            (Some(_), None) => How::Remove,
            (Some(b), Some(a)) if only_mode(b, a) && is_dir(b) => How::ModeDir,
            (Some(b), Some(a)) if only_mode(b, a) => How::Mode,
            (Some(_), Some(_)) => How::Replace,
            (None, None) => continue,
        };
        if matches!(how, How::Create | How::Replace) && c.after.as_ref().is_some_and(is_dir) {
            top = Some((jobs.len(), &c.path));
        }
        jobs.push(Job {
            at,
            how,
            nested: Vec::new(),
            staged: false,
        });
    }
    jobs
}

/// Directories in which names must change but which their owner, us, may not write in.
fn closed_to_us(
    root: BorrowedFd<'_>,
    changes: &[PathChange],
    jobs: &[Job],
) -> Vec<(RepoPath, u32)> {
    let us = rustix::process::geteuid();
    if us.is_root() {
        return Vec::new();
    }
    let parents: BTreeSet<RepoPath> = jobs
        .iter()
        .filter(|j| !matches!(j.how, How::Mode | How::ModeDir))
        .filter_map(|j| changes.get(j.at)?.path.parent())
        .collect();
    let mut dirs = Dirs::new(root);
    let mut found = Vec::new();
    for path in parents {
        let Ok(stat) = dirs.get(&path).and_then(|d| Ok(rustix::fs::fstat(&*d)?)) else {
            continue;
        };
        let mode = mode_of(&stat);
        if stat.st_uid == us.as_raw() && mode & 0o700 != 0o700 {
            found.push((path, mode));
        }
    }
    found
}

/// A run.
pub(super) struct Work<'a> {
    pub store: &'a Store,
    pub root: BorrowedFd<'a>,
    pub dirs: Dirs<'a>,
    pub journal: &'a Journal,
    pub record: &'a Record,
    pub world: &'a dyn World,
    pub names: Names,
    pub attrs: Attrs<'a>,
    pub graves: Graves,
    pub out: Applied,
    /// Directories in which names changed.
    pub renamed_in: BTreeSet<RepoPath>,
    /// Whether the file system lacks RENAME_EXCHANGE.
    pub no_exchange: bool,
    by_path: HashMap<&'a RepoPath, usize>,
}

impl<'a> Work<'a> {
    pub(super) fn new(
        store: &'a Store,
        root: BorrowedFd<'a>,
        journal: &'a Journal,
        record: &'a Record,
        world: &'a dyn World,
    ) -> Self {
        let changes = record.intent.changes.iter().enumerate();
        Self {
            store,
            root,
            dirs: Dirs::new(root),
            journal,
            record,
            world,
            names: Names(record.id),
            attrs: Attrs::new(store, record.intent.to_commit),
            graves: Graves::default(),
            out: Applied::default(),
            renamed_in: BTreeSet::new(),
            no_exchange: false,
            by_path: changes.map(|(i, c)| (&c.path, i)).collect(),
        }
    }

    /// The change with that number; the numbers come from the intent itself.
    pub(super) fn change(&self, at: usize) -> Option<&'a PathChange> {
        self.record.intent.changes.get(at)
    }

    pub(super) fn step(&self, name: &'static str, path: &RepoPath) {
        step(self.world, name, path);
    }

    pub(super) fn keep(&mut self, path: &RepoPath, why: impl Into<String>) {
        self.out.kept.push((path.clone(), why.into()));
    }

    pub(super) fn keep_io(&mut self, path: &RepoPath, e: &io::Error) {
        self.keep(path, reason(e));
    }

    /// Something newer is at `path`; it stays.
    pub(super) fn displaced(&mut self, path: &RepoPath) {
        self.out.displaced.push(path.clone());
        self.out.entries.push(path.clone());
    }

    /// The name of a job's path, and of what came with it, means something else now.
    pub(super) fn renamed(&mut self, job: &Job) {
        for at in std::iter::once(job.at).chain(job.nested.iter().copied()) {
            if let Some(c) = self.change(at)
                && !self.out.kept.iter().any(|(p, _)| *p == c.path)
            {
                self.out.touched.push(c.path.clone());
                self.out.entries.push(c.path.clone());
            }
        }
    }

    /// Names changed in the directory of `path`.
    pub(super) fn dirty(&mut self, path: &RepoPath) {
        self.renamed_in.insert(path.parent().unwrap_or_default());
    }

    /// Stages, swaps, syncs. An error means that nothing was swapped and nothing staged is left.
    pub(super) fn run(&mut self, mut jobs: Vec<Job>) -> Result<(), Error> {
        self.open_closed();
        if let Err(e) = self.stage_all(&mut jobs) {
            self.unstage(&jobs);
            self.close_again(false);
            return Err(e);
        }
        self.swap_all(&jobs);
        self.step("restore.swapped-all", &RepoPath::root());
        self.finish(&jobs);
        self.step("restore.applied", &RepoPath::root());
        Ok(())
    }

    /// Removes what was staged. Only before the first swap: afterwards these names may hold what was displaced.
    fn unstage(&mut self, jobs: &[Job]) {
        for job in jobs {
            let Some(c) = self.change(job.at) else {
                continue;
            };
            if !matches!(job.how, How::Create | How::Replace) {
                continue;
            }
            let Ok(dir) = self.dirs.parent(&c.path) else {
                continue;
            };
            for name in [self.names.part(&c.path), self.names.staged(&c.path)] {
                if let Err(e) = remove_tree(&*dir, &name) {
                    tracing::warn!("a staged file is left beside {}: {e}", c.path);
                }
            }
        }
    }

    fn open_closed(&mut self) {
        for (path, mode) in &self.record.relaxed {
            if let Ok(dir) = self.dirs.get(path)
                && let Ok(stat) = rustix::fs::fstat(&*dir)
                && mode_of(&stat) == *mode
            {
                let _ = set_mode_of(&*dir, mode | 0o700);
            }
        }
    }

    /// Gives directories that [`Self::open_closed`] changed the modes that they shall have: after the work (`done`)
    /// those of the target, else those that they had.
    fn close_again(&mut self, done: bool) {
        for (path, mode) in self.record.relaxed.iter().rev() {
            let change = self.by_path.get(path).and_then(|at| self.change(*at));
            let target = match change.map(|c| (&c.before, &c.after)) {
                Some((Some(b), Some(a))) if done && only_mode(b, a) => a.mode,
                _ => *mode,
            };
            if let Ok(dir) = self.dirs.get(path)
                && let Ok(stat) = rustix::fs::fstat(&*dir)
                && mode_of(&stat) == mode | 0o700
                && let Err(e) = set_mode_of(&*dir, target)
            {
                tracing::warn!("{path} keeps the mode {:o}: {e}", mode | 0o700);
            }
        }
    }

    /// Modes of directories, then everything durable.
    fn finish(&mut self, jobs: &[Job]) {
        let renamed_in = std::mem::take(&mut self.renamed_in);
        let mut sync = Syncer::new(renamed_in.len());
        // Opened first: a mode about to be set may forbid it.
        for path in renamed_in.iter().take(sync::FEW + 1) {
            match self.dirs.get(path).and_then(|d| open_readable(&*d, b".")) {
                Ok(fd) => sync.push(fd),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => tracing::warn!("cannot sync {path}: {e}"),
            }
        }
        for job in jobs.iter().rev().filter(|j| j.how == How::ModeDir) {
            if let Some(c) = self.change(job.at) {
                self.set_mode(c);
            }
        }
        self.close_again(true);
        if let Err(e) = sync.finish(self.root) {
            tracing::warn!("the restored files may not survive a power cut: {e}");
        }
    }

    /// Sets the mode of something that keeps its content.
    pub(super) fn set_mode(&mut self, c: &PathChange) {
        let (Some(before), Some(after)) = (&c.before, &c.after) else {
            return;
        };
        let opened = self.dirs.parent(&c.path).and_then(|dir| {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(&*dir, c.path.name(), flags, rustix::fs::Mode::empty())?;
            let stat = rustix::fs::fstat(&fd)?;
            Ok((fd, stat))
        });
        let (fd, stat) = match opened {
            Ok(found) => found,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.displaced(&c.path);
                return;
            }
            Err(e) => {
                self.keep_io(&c.path, &e);
                return;
            }
        };
        let mode = mode_of(&stat);
        let same_type = matches!(
            (&before.kind, beneath::type_of(&stat)),
            (Kind::File { .. }, FileType::RegularFile)
                | (Kind::Dir(_), FileType::Directory)
                | (Kind::Fifo, FileType::Fifo)
        );
        let opened_by_us = self
            .record
            .relaxed
            .iter()
            .any(|(p, m)| *p == c.path && m | 0o700 == mode);
        if !same_type || (mode != before.mode && mode != after.mode && !opened_by_us) {
            self.out.displaced.push(c.path.clone());
            return;
        }
        if mode != after.mode
            && let Err(e) = set_mode_of(&fd, after.mode)
        {
            self.keep_io(&c.path, &e);
            return;
        }
        self.out.touched.push(c.path.clone());
        self.out.content.push(c.path.clone());
    }

    /// Whether the thing called `name` is what the intent puts at `path`, with nothing added below.
    pub(super) fn is_target(&self, dir: BorrowedFd<'_>, name: &[u8], path: &RepoPath) -> bool {
        let after = self
            .by_path
            .get(path)
            .and_then(|at| self.change(*at))
            .and_then(|c| c.after.as_ref());
        if !matches!(beneath::identify(dir, name, &[after]), Ok(Some(_))) {
            return false;
        }
        if after.is_some_and(|e| e.kind.tree().is_none()) {
            return true;
        }
        let Ok(inside) = beneath::open_path(dir, name) else {
            return false;
        };
        let Ok(names) = names_in(&inside) else {
            return false;
        };
        names.iter().all(|n| {
            path.join(n)
                .is_ok_and(|p| self.is_target(std::os::fd::AsFd::as_fd(&inside), n, &p))
        })
    }
}

/// Whether there is something called `name`.
pub(super) fn exists(dir: BorrowedFd<'_>, name: &[u8]) -> bool {
    matches!(look(dir, name), Ok(Some(_)))
}
