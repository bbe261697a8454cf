//! Swapping staged things in, and taking away what goes, so that a newer save is never lost.
//!
//! The rule everywhere: first a rename that nobody can come between, then a look at what it displaced. Only what is,
//! by type, mode and whole content, the recorded state before or after is unlinked.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use super::KnownStat;
use super::beneath::{
    self, cannot_hold, ctime_of, exchange, identify, look, mtime_of, names_in, open_path,
    plausible, remove_tree, rename_between, rename_new, type_of,
};
use super::work::{How, Job, Work, exists};
use crate::diff::tree::PathChange;
use crate::model::{Entry, RepoPath, neutral};

/// Files up to this size are always compared by content: it costs less than being wrong about a stat.
const READ_ALWAYS: u64 = 1 << 20;
/// A stat proves nothing about a file that changed so shortly before it: the next write may leave the same times.
const SETTLED_NS: i64 = 2_000_000_000;
/// The longest name that file systems take.
const NAME_MAX: usize = 255;

fn is_dir(entry: Option<&Entry>) -> bool {
    entry.is_some_and(|e| e.kind.tree().is_some())
}

fn size_of(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

impl Work<'_> {
    /// Does all jobs but modes of directories. Nothing stops it: what fails is reported.
    pub(super) fn swap_all(&mut self, jobs: &[Job]) {
        let all = |work: &mut Self, how: How, f: &mut dyn FnMut(&mut Self, &PathChange)| {
            for job in jobs.iter().filter(|j| j.how == how) {
                if let Some(c) = work.change(job.at) {
                    f(work, c);
                }
            }
        };
        all(self, How::Remove, &mut |w, c| w.remove(c));
        for job in jobs.iter().rev().filter(|j| j.how == How::RemoveDir) {
            if let Some(c) = self.change(job.at) {
                self.remove_dir(c);
            }
        }
        let mut in_place = Vec::new();
        for job in jobs.iter().filter(|j| j.staged) {
            let Some(c) = self.change(job.at) else {
                continue;
            };
            match job.how {
                How::Replace if self.is_held_open(c) => in_place.push(job),
                How::Replace => self.replace(job, c),
                _ => self.create(job, c),
            }
        }
        all(self, How::Mode, &mut |w, c| {
            w.set_mode(c);
            w.step("restore.mode-one", &c.path);
        });
        self.all_in_place(&in_place);
    }

    /// Removes what lies under the staging name of `c`: it is ours.
    fn drop_staged(&mut self, c: &PathChange) {
        if let Ok(dir) = self.dirs.parent(&c.path)
            && let Err(e) = remove_tree(&*dir, &self.names.staged(&c.path))
        {
            tracing::warn!("a staged file is left beside {}: {e}", c.path);
        }
    }

    /// `c` stays as it is because of `e`.
    fn give_up(&mut self, c: &PathChange, e: &io::Error) {
        self.drop_staged(c);
        self.keep_io(&c.path, e);
    }

    /// `c` stays as it is because it is newer.
    fn stays(&mut self, c: &PathChange) {
        self.drop_staged(c);
        self.displaced(&c.path);
    }

    /// Whether what is called `name` is recorded: the state before or after, or what an interrupted writing in place
    /// left of the two.
    fn is_recorded(&self, dir: BorrowedFd<'_>, name: &[u8], c: &PathChange) -> bool {
        match identify(dir, name, &[c.before.as_ref(), c.after.as_ref()]) {
            Ok(Some(_)) => true,
            Ok(None) => self.is_torn(dir, name, c),
            Err(_) => false,
        }
    }

    /// Whether the file at `c` is, by its stat alone, the one that was read for the state before.
    fn is_known(&self, c: &PathChange, stat: &Stat) -> bool {
        if size_of(stat) <= READ_ALWAYS {
            return false;
        }
        let changed = mtime_of(stat).max(ctime_of(stat));
        let now = crate::model::Time::now().0.saturating_mul(1_000);
        changed.saturating_add(SETTLED_NS) < now
            && self.world.known(&c.path)
                == Some(KnownStat {
                    dev: stat.st_dev,
                    ino: stat.st_ino,
                    size: size_of(stat),
                    mtime_ns: mtime_of(stat),
                    ctime_ns: ctime_of(stat),
                })
    }

    fn remove(&mut self, c: &PathChange) {
        let Some(before) = &c.before else { return };
        let dir = match self.dirs.parent(&c.path) {
            Ok(dir) => dir,
            Err(e) if cannot_hold(&e) => return,
            Err(e) => return self.keep_io(&c.path, &e),
        };
        let (dir, name, aside) = (dir.as_fd(), c.path.name(), self.names.staged(&c.path));
        self.step("restore.before-swap", &c.path);
        let stat = match look(dir, name) {
            Ok(Some(stat)) => stat,
            Ok(None) => return,
            Err(e) => return self.keep_io(&c.path, &e),
        };
        if !plausible(&stat, before) && !self.is_torn(dir, name, c) {
            return self.displaced(&c.path);
        }
        let known = self.is_known(c, &stat);
        match rename_new(dir, name, &aside) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return,
            Err(e) => return self.keep_io(&c.path, &e),
        }
        self.dirty(&c.path);
        self.step("restore.swapped-one", &c.path);
        let ours = (known && same_file(dir, &aside, &stat)) || self.is_recorded(dir, &aside, c);
        self.step("restore.compared-one", &c.path);
        if !ours {
            self.put_back_removed(dir, &aside, c);
            return;
        }
        if let Err(e) = self.graves.unlink(dir, &aside) {
            tracing::warn!("{} is left under another name: {e}", c.path);
        }
        self.step("restore.removed-one", &c.path);
        self.out.touched.push(c.path.clone());
        self.out.entries.push(c.path.clone());
    }

    /// Gives something that was moved away its name back; if that is taken again, a name beside it.
    pub(super) fn put_back_removed(&mut self, dir: BorrowedFd<'_>, aside: &[u8], c: &PathChange) {
        self.dirty(&c.path);
        if rename_new(dir, aside, c.path.name()).is_err() {
            self.save_aside(dir, aside, c);
        }
        self.step("restore.put-back-one", &c.path);
        self.displaced(&c.path);
    }

    /// Two saves came while files were being restored: the newest has the name, this older one gets one beside it.
    pub(super) fn save_aside(&mut self, dir: BorrowedFd<'_>, aside: &[u8], c: &PathChange) {
        let name = c.path.name();
        for n in 1..10_000_u32 {
            let suffix = format!(".backtrail-saved-{n}");
            let stem = name.get(..NAME_MAX - suffix.len()).unwrap_or(name);
            let saved = [stem, suffix.as_bytes()].concat();
            match rename_new(dir, aside, &saved) {
                Ok(()) => {
                    let parent = c.path.parent().unwrap_or_default();
                    let saved = parent.join(&saved).unwrap_or_default();
                    self.out.entries.push(saved.clone());
                    let why = format!(
                        "saved as {} while files were being restored; that name has something newer",
                        neutral(name)
                    );
                    return self.keep(&saved, why);
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => {
                    let why = format!("an earlier save stays as {}: {e}", neutral(aside));
                    return self.keep(&c.path, why);
                }
            }
        }
    }

    fn remove_dir(&mut self, c: &PathChange) {
        let dir = match self.dirs.parent(&c.path) {
            Ok(dir) => dir,
            Err(e) if cannot_hold(&e) => return,
            Err(e) => return self.keep_io(&c.path, &e),
        };
        let removed = rustix::fs::unlinkat(&*dir, c.path.name(), AtFlags::REMOVEDIR);
        match removed.map_err(io::Error::from) {
            Ok(()) => {
                self.dirs.forget(&c.path);
                self.dirty(&c.path);
                self.out.touched.push(c.path.clone());
                self.out.entries.push(c.path.clone());
                self.step("restore.removed-one", &c.path);
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => match Errno::from_io_error(&e) {
                Some(Errno::NOTEMPTY | Errno::EXIST) => self.keep_full(c),
                // A file has taken its place.
                Some(Errno::NOTDIR) => self.displaced(&c.path),
                _ => self.keep_io(&c.path, &e),
            },
        }
    }

    /// A directory that should go still holds something. Said once: not again for the directories above.
    fn keep_full(&mut self, c: &PathChange) {
        let below = |p: &RepoPath| *p != c.path && p.is_within(&c.path);
        let said = self.out.kept.iter().map(|(p, _)| p);
        if said.chain(&self.out.displaced).any(below) {
            return;
        }
        let inside = self
            .dirs
            .get(&c.path)
            .and_then(|d| names_in(&*d))
            .unwrap_or_default();
        let shown: Vec<String> = inside.iter().take(3).map(|n| neutral(n)).collect();
        let more = if inside.len() > shown.len() {
            ", ..."
        } else {
            ""
        };
        let why = format!("it still holds {}{more}", shown.join(", "));
        self.keep(&c.path, why);
    }

    fn create(&mut self, job: &Job, c: &PathChange) {
        let dir = match self.dirs.parent(&c.path) {
            Ok(dir) => dir,
            Err(e) => return self.keep_io(&c.path, &e),
        };
        let (dir, staged) = (dir.as_fd(), self.names.staged(&c.path));
        self.step("restore.before-swap", &c.path);
        match rename_new(dir, &staged, c.path.name()) {
            Ok(()) => {
                self.dirty(&c.path);
                self.renamed(job);
                self.step("restore.swapped-one", &c.path);
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => self.meet(dir, job, c),
            Err(e) => self.give_up(c, &e),
        }
    }

    /// Something is where nothing was: somebody made it just now.
    fn meet(&mut self, dir: BorrowedFd<'_>, job: &Job, c: &PathChange) {
        let present = look(dir, c.path.name()).ok().flatten();
        let present_dir = present.is_some_and(|s| type_of(&s) == FileType::Directory);
        if is_dir(c.after.as_ref()) && present_dir {
            self.merge(dir, job, c);
        } else if matches!(
            identify(dir, c.path.name(), &[c.after.as_ref()]),
            Ok(Some(_))
        ) {
            self.drop_staged(c);
            self.renamed(job);
        } else {
            self.stays(c);
        }
    }

    /// A directory that was to come is there already: what was staged in it moves into it, name by name.
    fn merge(&mut self, dir: BorrowedFd<'_>, job: &Job, c: &PathChange) {
        let staged = self.names.staged(&c.path);
        let root = RepoPath::root();
        let top = match open_path(dir, &staged) {
            Ok(top) => top,
            Err(e) => return self.give_up(c, &e),
        };
        let mut from = beneath::Dirs::new(top.as_fd());
        let mut moved: Option<RepoPath> = None;
        for at in &job.nested {
            let Some(n) = self.change(*at) else { continue };
            let Some(below) = n.path.moved(&c.path, &root) else {
                continue;
            };
            let whole = moved.as_ref().is_some_and(|m| n.path.is_within(m));
            let done = whole || {
                let both = from
                    .parent(&below)
                    .and_then(|f| Ok((f, self.dirs.parent(&n.path)?)));
                match both.and_then(|(f, t)| {
                    rename_between(&*f, below.name(), &*t, n.path.name()).map(|()| t)
                }) {
                    Ok(_) => {
                        moved = is_dir(n.after.as_ref()).then(|| n.path.clone());
                        self.dirty(&n.path);
                        true
                    }
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                        self.is_there(n) || {
                            self.displaced(&n.path);
                            false
                        }
                    }
                    Err(e) => {
                        self.keep_io(&n.path, &e);
                        false
                    }
                }
            };
            if done {
                self.out.touched.push(n.path.clone());
                self.out.entries.push(n.path.clone());
            }
        }
        drop(from);
        self.drop_staged(c);
        self.step("restore.swapped-one", &c.path);
    }

    /// Whether what a change brings is there already (of a directory: a directory).
    fn is_there(&mut self, c: &PathChange) -> bool {
        let Ok(dir) = self.dirs.parent(&c.path) else {
            return false;
        };
        if is_dir(c.after.as_ref()) {
            return open_path(&*dir, c.path.name()).is_ok();
        }
        matches!(
            identify(&*dir, c.path.name(), &[c.after.as_ref()]),
            Ok(Some(_))
        )
    }

    pub(super) fn replace(&mut self, job: &Job, c: &PathChange) {
        let Some(before) = &c.before else { return };
        let dir = match self.dirs.parent(&c.path) {
            Ok(dir) => dir,
            Err(e) => return self.keep_io(&c.path, &e),
        };
        let (dir, name, staged) = (dir.as_fd(), c.path.name(), self.names.staged(&c.path));
        self.step("restore.before-swap", &c.path);
        let stat = match look(dir, name) {
            Ok(Some(stat)) => stat,
            // Removed just now: that is newer.
            Ok(None) => return self.stays(c),
            Err(e) => return self.give_up(c, &e),
        };
        if !plausible(&stat, before) && !self.is_torn(dir, name, c) {
            // Spared an exchange, and above all: a directory made just now is not moved under anybody's feet.
            return self.meet(dir, job, c);
        }
        let from_dir = is_dir(Some(before));
        if from_dir && self.is_full(c) {
            self.drop_staged(c);
            return self.keep_full(c);
        }
        let known = self.is_known(c, &stat);
        if self.no_exchange {
            return self.replace_plainly(dir, job, c);
        }
        match exchange(dir, &staged, name) {
            Ok(()) => {}
            Err(e) => match Errno::from_io_error(&e) {
                Some(Errno::NOENT) => return self.stays(c),
                Some(Errno::INVAL | Errno::NOSYS) => {
                    self.no_exchange = true;
                    return self.replace_plainly(dir, job, c);
                }
                _ => return self.give_up(c, &e),
            },
        }
        self.dirs.forget(&c.path);
        self.dirty(&c.path);
        self.step("restore.swapped-one", &c.path);
        let ours = if from_dir {
            rustix::fs::unlinkat(dir, &staged, AtFlags::REMOVEDIR).is_ok()
        } else {
            (known && same_file(dir, &staged, &stat)) || self.is_recorded(dir, &staged, c)
        };
        self.step("restore.compared-one", &c.path);
        if !ours {
            return self.put_back_replaced(dir, &staged, c);
        }
        if !from_dir && let Err(e) = self.graves.unlink(dir, &staged) {
            tracing::warn!("the former {} is left under another name: {e}", c.path);
        }
        self.step("restore.removed-one", &c.path);
        self.renamed(job);
    }

    fn is_full(&mut self, c: &PathChange) -> bool {
        let names = self.dirs.get(&c.path).and_then(|d| names_in(&*d));
        names.is_ok_and(|n| !n.is_empty())
    }

    /// What was displaced is newer: it gets its name back. If somebody saves again in that moment, the newest wins and
    /// the one before it is kept beside it.
    pub(super) fn put_back_replaced(&mut self, dir: BorrowedFd<'_>, staged: &[u8], c: &PathChange) {
        let name = c.path.name();
        self.dirty(&c.path);
        match exchange(dir, staged, name) {
            Ok(()) => {
                self.step("restore.put-back-one", &c.path);
                if self.is_target(dir, staged, &c.path) {
                    if let Err(e) = remove_tree(dir, staged) {
                        tracing::warn!("a staged file is left beside {}: {e}", c.path);
                    }
                } else {
                    if exists(dir, staged) {
                        let _ = exchange(dir, staged, name);
                    }
                    self.save_aside(dir, staged, c);
                }
            }
            // What was put there is gone again.
            Err(_) => {
                if rename_new(dir, staged, name).is_err() {
                    self.save_aside(dir, staged, c);
                }
            }
        }
        self.dirs.forget(&c.path);
        self.displaced(&c.path);
    }

    /// For file systems without RENAME_EXCHANGE: compare, then rename over. A save in between would be lost, so the
    /// two calls follow one another at once; git has the same gap on every file system.
    fn replace_plainly(&mut self, dir: BorrowedFd<'_>, job: &Job, c: &PathChange) {
        let (name, staged) = (c.path.name(), self.names.staged(&c.path));
        if is_dir(c.before.as_ref()) || is_dir(c.after.as_ref()) {
            self.drop_staged(c);
            let why = "this file system cannot exchange a file for a directory";
            return self.keep(&c.path, why);
        }
        if !self.is_recorded(dir, name, c) {
            return self.stays(c);
        }
        match rustix::fs::renameat(dir, &staged, dir, name) {
            Ok(()) => {
                self.dirty(&c.path);
                self.renamed(job);
                self.step("restore.swapped-one", &c.path);
            }
            Err(e) => self.give_up(c, &e.into()),
        }
    }
}

/// Whether `name` is the inode of `stat`, with the same size and modification time. (A rename changes the change time.)
fn same_file(dir: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> bool {
    let now = look(dir, name).ok().flatten();
    now.is_some_and(|n| {
        (n.st_dev, n.st_ino, n.st_size) == (stat.st_dev, stat.st_ino, stat.st_size)
            && mtime_of(&n) == mtime_of(stat)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use std::fs;
    use std::os::fd::AsFd;

    use super::super::work::jobs;
    use super::super::{Intent, Nobody, Options, World};
    use super::*;
    use crate::capture::journal::Journal;
    use crate::model::{CommitId, OpKind, Time};
    use crate::store::Store;

    /// Saves `edited` right before it would be replaced.
    struct Saver(std::path::PathBuf);

    impl World for Saver {
        fn open_count(&self, _: &RepoPath) -> usize {
            0
        }

        fn at(&self, step: &'static str, path: &RepoPath) {
            if step == "restore.before-swap" && path.as_bytes() == b"edited" {
                fs::write(self.0.join("edited"), "u").unwrap();
            }
        }
    }

    fn change(store: &Store, name: &str, before: Option<&str>, after: Option<&str>) -> PathChange {
        let entry = |text: &str| Entry {
            name: name.into(),
            mode: 0o644,
            kind: crate::model::Kind::File {
                blob: store.put_blob(text.as_bytes()).unwrap(),
                size: text.len() as u64,
            },
        };
        PathChange {
            path: RepoPath::new(name).unwrap(),
            before: before.map(entry),
            after: after.map(entry),
        }
    }

    /// File systems without RENAME_EXCHANGE are not at hand in a test: the flag that they set is.
    #[test]
    fn without_exchange_files_are_compared_and_renamed_over() {
        for save in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let root_path = dir.path().join("project");
            fs::create_dir(&root_path).unwrap();
            for (name, text) in [("edited", "1"), ("gone", "1"), ("other", "1")] {
                fs::write(root_path.join(name), text).unwrap();
            }
            let store = Store::open(&dir.path().join("store")).unwrap();
            let journal = Journal::open(&dir.path().join("journal")).unwrap();
            let intent = Intent {
                operation: OpKind::Rollback,
                description: String::new(),
                branch: "main".into(),
                time: Time::now(),
                target: None,
                from_commit: CommitId([0; 32]),
                to_commit: CommitId([1; 32]),
                options: Options::default(),
                switch: None,
                changes: vec![
                    change(&store, "came", None, Some("2")),
                    change(&store, "edited", Some("1"), Some("2")),
                    change(&store, "gone", Some("1"), None),
                    change(&store, "other", Some("1"), Some("2")),
                ],
            };
            let record = journal.begin(&intent, Vec::new()).unwrap();
            let root = fs::File::open(&root_path).unwrap();
            let saver = Saver(root_path.clone());
            let world: &dyn World = if save { &saver } else { &Nobody };
            let mut work = Work::new(&store, root.as_fd(), &journal, &record, world);
            work.no_exchange = true;
            work.run(jobs(&record.intent.changes, &[0, 1, 2, 3]))
                .unwrap();
            let read = |name: &str| fs::read_to_string(root_path.join(name)).ok();
            assert_eq!(read("came").as_deref(), Some("2"));
            assert_eq!(read("gone"), None);
            assert_eq!(read("other").as_deref(), Some("2"));
            assert_eq!(
                read("edited").as_deref(),
                Some(if save { "u" } else { "2" })
            );
            assert_eq!(!work.out.displaced.is_empty(), save);
            assert_eq!(
                fs::read_dir(&root_path).unwrap().count(),
                3,
                "nothing staged is left"
            );
        }
    }
}
