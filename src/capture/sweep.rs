//! Finds out what a set of marked paths was at one moment, while the files go on changing.
//!
//! The moment is the swap of the dirty set (or the start of the first scan). Whoever is about to change a path first
//! has it looked at and stored here ([`Sweep::protect`]), in its own thread, unless that has been done; each path is
//! looked at once, by whoever comes first, and the others wait. So the answers are exact for everything that passes
//! through the mount; what is changed behind it is seen as it is when its turn comes.
//!
//! Directories marked with everything below are listed the same way: a name that came to be after the moment has an
//! answer ("was not there") from before its creation, and one that went away has its old content.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use super::dirty::{Mark, Read};
use super::disk::{self, Disk, ReadError, Stat, Type};
use super::found::{Content, Findings, Found, Known, Prior, Seen};
use super::ignore_rules::Rules;
use super::subtree::keys_below;
use crate::model::{RepoPath, Touch, Writer};
use crate::store::{self, Store};

/// A thread more is worth so many paths.
const SHARE: usize = 64;

#[derive(Debug)]
enum Slot {
    /// Somebody is looking.
    Claimed,
    Done(Found),
}

#[derive(Default)]
struct Inner {
    marks: BTreeMap<RepoPath, Mark>,
    slots: HashMap<RepoPath, BTreeMap<Box<[u8]>, Slot>>,
    listing: HashSet<RepoPath>,
    listed: HashSet<RepoPath>,
    queue: VecDeque<RepoPath>,
    working: usize,
    failed: Option<store::Error>,
    problems: Vec<String>,
}

impl Inner {
    fn slot(&self, path: &RepoPath) -> Option<&Slot> {
        self.slots.get(&path.parent()?)?.get(path.name())
    }

    /// Whether a directory around `path` is wanted with everything below.
    fn in_tree(&self, path: &RepoPath) -> bool {
        let mut at = path.parent();
        while let Some(dir) = at {
            if self.marks.get(&dir).is_some_and(|m| m.tree) {
                return true;
            }
            at = dir.parent();
        }
        false
    }

    fn wanted(&self, path: &RepoPath) -> bool {
        self.marks.contains_key(path) || self.in_tree(path)
    }

    fn wanted_tree(&self, path: &RepoPath) -> bool {
        self.marks.get(path).is_some_and(|m| m.tree) || self.in_tree(path)
    }

    /// Whether a directory around `path` turned out not to be one: then `path` was not there.
    fn orphan(&self, path: &RepoPath) -> bool {
        let mut at = path.parent();
        while let Some(dir) = at {
            if let Some(Slot::Done(found)) = self.slot(&dir)
                && !found.is_dir()
                && !matches!(found, Found::Unreadable(_))
            {
                return true;
            }
            at = dir.parent();
        }
        false
    }

    /// Whether `path` is a directory to be listed: asked for, or never known before.
    fn is_tree_root(&mut self, path: &RepoPath, fresh: bool) -> bool {
        let tree = self.marks.get(path).is_some_and(|m| m.tree);
        if path.is_root() {
            return tree;
        }
        let is_dir = matches!(self.slot(path), Some(Slot::Done(found)) if found.is_dir());
        if is_dir && (tree || fresh) {
            if let Some(mark) = self.marks.get_mut(path) {
                mark.tree = true;
            }
            return true;
        }
        false
    }

    fn done(&mut self, path: &RepoPath, found: Found) {
        let parent = path.parent().unwrap_or_default();
        self.slots
            .entry(parent)
            .or_default()
            .insert(path.name().into(), Slot::Done(found));
    }
}

/// Called with a directory before it is listed.
pub type ListHook = Arc<dyn Fn(&RepoPath) + Send + Sync>;

/// Where a sweep looks and what it is to know.
#[derive(Clone)]
pub struct Ground {
    /// The real directory.
    pub disk: Arc<Disk>,
    /// Where content goes.
    pub store: Arc<Store>,
    /// The rules in force; may be replaced while it runs.
    pub rules: Arc<RwLock<Arc<Rules>>>,
    /// Called with each directory before it is listed.
    pub on_list: Arc<RwLock<Option<ListHook>>>,
}

impl Ground {
    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A sweep under way.
pub struct Sweep {
    ground: Ground,
    known: Arc<dyn Known>,
    inner: Mutex<Inner>,
    settled: Condvar,
    files: AtomicU64,
}

impl Sweep {
    /// A sweep for `marks`, which hold as of now.
    #[must_use]
    pub fn new(ground: Ground, known: Arc<dyn Known>, marks: BTreeMap<RepoPath, Mark>) -> Self {
        Self {
            ground,
            known,
            inner: Mutex::new(Inner {
                marks,
                ..Inner::default()
            }),
            settled: Condvar::new(),
            files: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        self.settled
            .wait(inner)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How many things have been looked at.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    /// Also asks for `path`.
    pub fn want(&self, path: &RepoPath, read: Read, tree: bool, writers: &[Arc<Writer>]) {
        let mut inner = self.lock();
        let mark = inner.marks.entry(path.clone()).or_default();
        mark.read = mark.read.max(read);
        mark.tree |= tree;
        if mark.writers.is_empty() {
            mark.writers.extend_from_slice(writers);
        }
    }

    /// Looks at all that is asked for and has not been looked at, with up to `workers` threads.
    pub fn run(&self, workers: usize) -> store::Result<()> {
        let paths: Vec<RepoPath> = self.lock().marks.keys().cloned().collect();
        self.settle_all(&paths, workers);
        for path in &paths {
            let fresh = self.known.known(path) != Some(Prior::Dir);
            let mut inner = self.lock();
            if inner.is_tree_root(path, fresh) {
                inner.queue.push_back(path.clone());
            }
        }
        if workers <= 1 || self.lock().queue.is_empty() {
            self.work();
        } else {
            std::thread::scope(|scope| {
                for _ in 1..workers {
                    scope.spawn(|| self.work());
                }
                self.work();
            });
        }
        match self.lock().failed.take() {
            Some(e) => Err(e),
            None => Ok(()),
        }
    }

    fn settle_all(&self, paths: &[RepoPath], workers: usize) {
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                if self.lock().failed.is_some() {
                    return;
                }
                self.settle(path);
            }
        };
        let extra = workers.min(paths.len() / SHARE).saturating_sub(1);
        std::thread::scope(|scope| {
            for _ in 0..extra {
                scope.spawn(work);
            }
            work();
        });
    }

    fn work(&self) {
        loop {
            let mut inner = self.lock();
            let dir = loop {
                if inner.failed.is_some() {
                    return;
                }
                if let Some(dir) = inner.queue.pop_front() {
                    break dir;
                }
                if inner.working == 0 {
                    return;
                }
                inner = self.wait(inner);
            };
            inner.working += 1;
            drop(inner);
            self.list(&dir);
            self.lock().working -= 1;
            self.settled.notify_all();
        }
    }

    /// Must be called before `path` is changed by `touch`: returns when what it was at the moment is safe, or does not
    /// matter.
    pub fn protect(&self, path: &RepoPath, touch: Touch) {
        self.settle(path);
        if !matches!(touch, Touch::Remove | Touch::Create) {
            return;
        }
        // A name goes away, or means something else: everything below it goes with it.
        let below = keys_below(&self.lock().marks, path);
        for p in &below {
            self.settle(p);
        }
        let mut dirs = vec![path.clone()];
        dirs.extend(below);
        while let Some(dir) = dirs.pop() {
            let inner = self.lock();
            let is_dir = matches!(inner.slot(&dir), Some(Slot::Done(f)) if f.is_dir());
            if !is_dir || !inner.wanted_tree(&dir) {
                continue;
            }
            drop(inner);
            self.list(&dir);
            let inner = self.lock();
            if let Some(names) = inner.slots.get(&dir) {
                for (name, slot) in names {
                    if matches!(slot, Slot::Done(f) if f.is_dir())
                        && let Ok(child) = dir.join(name)
                    {
                        dirs.push(child);
                    }
                }
            }
        }
    }

    /// Makes sure that `path` has been looked at, if it is asked for.
    fn settle(&self, path: &RepoPath) {
        let Some(parent) = path.parent() else { return };
        if !self.claim(path) {
            return;
        }
        let found = match self.ground.disk.dir(&parent) {
            Ok(Some(dir)) => self.look(dir.as_fd(), path),
            Ok(None) => Found::Absent,
            Err(e) => unreadable(path, &e),
        };
        self.lock().done(path, found);
        self.settled.notify_all();
    }

    /// `true` if it is for the caller to look at `path`; `false` once somebody has, or nobody needs to.
    fn claim(&self, path: &RepoPath) -> bool {
        let Some(parent) = path.parent() else {
            return false;
        };
        let mut inner = self.lock();
        loop {
            match inner.slot(path) {
                Some(Slot::Done(_)) => return false,
                Some(Slot::Claimed) => inner = self.wait(inner),
                None => break,
            }
        }
        if inner.listed.contains(&parent) || !inner.wanted(path) {
            return false;
        }
        if inner.orphan(path) {
            inner.done(path, Found::Absent);
            return false;
        }
        inner
            .slots
            .entry(parent)
            .or_default()
            .insert(path.name().into(), Slot::Claimed);
        true
    }

    /// Lists `dir` and looks at all it held, or waits for whoever does.
    fn list(&self, dir: &RepoPath) {
        let mut inner = self.lock();
        loop {
            if inner.listed.contains(dir) {
                return;
            }
            if inner.listing.insert(dir.clone()) {
                break;
            }
            inner = self.wait(inner);
        }
        drop(inner);
        let hook = self
            .ground
            .on_list
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(hook) = hook {
            hook(dir);
        }
        let complete = self.list_names(dir);
        let was_known = self.known.known(dir) == Some(Prior::Dir);
        let mut inner = self.lock();
        inner.listing.remove(dir);
        if let Err(e) = &complete {
            inner.problems.push(format!(
                "cannot list {}: {e}; what it holds is not captured",
                shown(dir)
            ));
        }
        // One that cannot be listed keeps what was known of it.
        if complete.is_ok() || !was_known {
            inner.listed.insert(dir.clone());
        }
        let below: Vec<RepoPath> = inner
            .slots
            .get(dir)
            .into_iter()
            .flatten()
            .filter(|(_, slot)| matches!(slot, Slot::Done(f) if f.is_dir()))
            .filter_map(|(name, _)| dir.join(name).ok())
            .collect();
        inner.queue.extend(below);
        drop(inner);
        self.settled.notify_all();
    }

    fn list_names(&self, dir: &RepoPath) -> io::Result<()> {
        let Some(fd) = self.ground.disk.listable(dir)? else {
            return Ok(());
        };
        for name in disk::names_in(fd.as_fd())? {
            let Ok(path) = dir.join(&name) else { continue };
            if !self.claim(&path) {
                continue;
            }
            let found = self.look(fd.as_fd(), &path);
            let mut inner = self.lock();
            inner.done(&path, found);
            let stop = inner.failed.is_some();
            drop(inner);
            self.settled.notify_all();
            if stop {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Looks at `path`, which lies in the open directory `dir`, and stores its content.
    fn look(&self, dir: BorrowedFd<'_>, path: &RepoPath) -> Found {
        // Between look and read it may be replaced: look again.
        for _ in 0..8 {
            match self.look_once(dir, path) {
                Ok(Some(found)) => {
                    self.files.fetch_add(1, Ordering::Relaxed);
                    return found;
                }
                Ok(None) => {}
                Err(ReadError::File(e)) => return unreadable(path, &e),
                Err(ReadError::Store(e)) => {
                    let text = e.to_string();
                    self.lock().failed.get_or_insert(e);
                    return Found::Unreadable(text);
                }
            }
        }
        Found::Unreadable(format!(
            "{} is replaced again and again: it is captured when it holds still",
            shown(path)
        ))
    }

    fn look_once(&self, dir: BorrowedFd<'_>, path: &RepoPath) -> Result<Option<Found>, ReadError> {
        let name = path.name();
        let Some(stat) = disk::stat_in(dir, name).map_err(ReadError::File)? else {
            return Ok(Some(Found::Absent));
        };
        let is_dir = stat.kind == Type::Dir;
        if !self.ground.rules().captures(path, is_dir, stat.stamp.size) {
            return Ok(Some(Found::LeftOut(is_dir)));
        }
        let there = |stat: Stat, stamp, content| {
            Ok(Some(Found::There(Box::new(Seen {
                stat,
                stamp,
                content,
            }))))
        };
        match stat.kind {
            Type::File => {}
            Type::Symlink => {
                return match disk::link_in(dir, name) {
                    Ok(target) => there(stat, stat.stamp, Content::Target(target)),
                    Err(_) => Ok(None),
                };
            }
            _ => return there(stat, stat.stamp, Content::Nothing),
        }
        let read = match self.lock().marks.get(path) {
            Some(mark) => mark.read,
            None => Read::Check,
        };
        let prior = match read {
            Read::Always => None,
            Read::Check | Read::Trust => self.known.known(path),
        };
        let now = stat.stamp;
        let reuse = match prior.and_then(|p| p.unchanged(&now)) {
            Some(blob) => Some((blob, now)),
            None if read == Read::Trust => prior
                .and_then(|p| p.untouched(&now))
                .map(|blob| (blob, now.trusted())),
            None => None,
        };
        if let Some((blob, stamp)) = reuse {
            let content = Content::Blob {
                blob,
                size: stat.stamp.size,
                still: true,
            };
            return there(stat, stamp, content);
        }
        match disk::store_in(&self.ground.store, dir, name) {
            Ok(c) => there(
                c.stat,
                c.stat.stamp.trusted(),
                Content::Blob {
                    blob: c.blob,
                    size: c.size,
                    still: c.still,
                },
            ),
            Err(ReadError::File(e)) if disk::is_absent(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The files found so far that have several names, with their device and inode.
    pub fn linked(&self) -> Vec<(RepoPath, (u64, u64))> {
        let inner = self.lock();
        let mut linked = Vec::new();
        for (dir, names) in &inner.slots {
            for (name, slot) in names {
                if let Slot::Done(Found::There(seen)) = slot
                    && seen.stat.kind == Type::File
                    && seen.stat.nlink > 1
                    && let Ok(path) = dir.join(name)
                {
                    linked.push((path, (seen.stamp.dev, seen.stamp.ino)));
                }
            }
        }
        linked
    }

    /// The marked paths, with who marked them.
    pub fn marked(&self) -> Vec<(RepoPath, Vec<Arc<Writer>>)> {
        let inner = self.lock();
        inner
            .marks
            .iter()
            .map(|(path, mark)| (path.clone(), mark.writers.clone()))
            .collect()
    }

    /// The marks of paths with one of these names.
    pub fn marks_named(&self, names: &[&[u8]]) -> Vec<(RepoPath, Mark)> {
        let inner = self.lock();
        inner
            .marks
            .iter()
            .filter(|(path, _)| names.contains(&path.name()))
            .map(|(path, mark)| (path.clone(), mark.clone()))
            .collect()
    }

    /// Takes out what was found. Nobody may ask any more.
    #[must_use]
    pub fn finish(&self) -> Findings {
        let mut inner = self.lock();
        let mut names = BTreeMap::new();
        for (dir, slots) in std::mem::take(&mut inner.slots) {
            let found = slots
                .into_iter()
                .filter_map(|(name, slot)| match slot {
                    Slot::Done(found) => Some((name, found)),
                    Slot::Claimed => None,
                })
                .collect();
            names.insert(dir, found);
        }
        for dir in &inner.listed {
            names.entry(dir.clone()).or_default();
        }
        Findings {
            marks: std::mem::take(&mut inner.marks),
            names,
            listed: std::mem::take(&mut inner.listed),
            problems: std::mem::take(&mut inner.problems),
        }
    }
}

fn shown(path: &RepoPath) -> String {
    if path.is_root() {
        "the project's root".to_owned()
    } else {
        format!("\"{path}\"")
    }
}

fn unreadable(path: &RepoPath, e: &io::Error) -> Found {
    Found::Unreadable(format!(
        "cannot read {}: {e}; it keeps the state captured before, if any",
        shown(path)
    ))
}
