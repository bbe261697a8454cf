//! Staging: everything that is to come is written beside its destination, synced, and only then gets the name under
//! which it will be swapped in. Nothing of the workspace changes here.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::beneath::{self, Dirs, look, open_readable, remove_tree, set_mode_of};
use super::sync::Syncer;
use super::work::{How, Job, Work};
use super::{Error, reason};
use crate::diff::tree::PathChange;
use crate::model::{Attr, CommitId, Entry, Kind, RepoPath};
use crate::store::{self, Store};

/// Why a path could not be staged.
enum Trouble {
    /// It is left as it is.
    Kept(String),
    /// The whole operation is given up.
    Fatal(Error),
}

/// Whether an error means that there is no space.
fn is_full(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Sorts an I/O error: what lies in the nature of one path leaves that path as it is, what may hit all of them stops.
fn trouble(what: &'static str, path: &RepoPath, e: io::Error) -> Trouble {
    if is_full(&e) {
        return Trouble::Fatal(Error::Full(path.clone()));
    }
    match Errno::from_io_error(&e) {
        Some(
            Errno::ACCESS
            | Errno::PERM
            | Errno::ROFS
            | Errno::NOENT
            | Errno::NOTDIR
            | Errno::LOOP
            | Errno::NAMETOOLONG
            | Errno::XDEV
            | Errno::INVAL
            | Errno::ILSEQ
            | Errno::OPNOTSUPP,
        ) => Trouble::Kept(reason(&e)),
        _ => Trouble::Fatal(Error::Io {
            what,
            path: path.clone(),
            source: e,
        }),
    }
}

impl Work<'_> {
    /// Stages every job that brings content. On an error what was staged is still there.
    pub(super) fn stage_all(&mut self, jobs: &mut [Job]) -> Result<(), Error> {
        let comes = |j: &Job| matches!(j.how, How::Create | How::Replace);
        let count: usize = jobs
            .iter()
            .filter(|j| comes(j))
            .map(|j| 1 + j.nested.len())
            .sum();
        let mut sync = Syncer::new(count);
        for job in jobs.iter_mut().filter(|j| comes(j)) {
            let Some(c) = self.change(job.at) else {
                continue;
            };
            match self.stage(job, c, &mut sync) {
                Ok(()) => job.staged = true,
                Err(Trouble::Kept(why)) => {
                    self.keep(&c.path, why);
                    self.drop_part(c);
                }
                Err(Trouble::Fatal(e)) => return Err(e),
            }
        }
        self.step("restore.staged-all", &RepoPath::root());
        let root = RepoPath::root();
        sync.finish(self.root)
            .map_err(|e| io_error("sync", &root, e))?;
        self.step("restore.synced", &root);
        for job in jobs.iter().filter(|j| j.staged) {
            let Some(c) = self.change(job.at) else {
                continue;
            };
            let (part, staged) = (self.names.part(&c.path), self.names.staged(&c.path));
            self.dirs
                .parent(&c.path)
                .and_then(|dir| beneath::rename_new(&*dir, &part, &staged))
                .map_err(|e| io_error("stage", &c.path, e))?;
            self.step("restore.named-one", &c.path);
        }
        Ok(())
    }

    fn drop_part(&mut self, c: &PathChange) {
        if let Ok(dir) = self.dirs.parent(&c.path)
            && let Err(e) = remove_tree(&*dir, &self.names.part(&c.path))
        {
            tracing::warn!("a staged file is left beside {}: {e}", c.path);
        }
    }

    /// Stages one job with all that comes with it.
    fn stage(&mut self, job: &Job, c: &PathChange, sync: &mut Syncer) -> Result<(), Trouble> {
        let Some(after) = &c.after else { return Ok(()) };
        let dir = self
            .dirs
            .parent(&c.path)
            .map_err(|e| trouble("reach", &c.path, e))?;
        let part = self.names.part(&c.path);
        // Only a run of this very intent can have left one.
        remove_tree(&*dir, &part).map_err(|e| trouble("stage", &c.path, e))?;
        let present = c.before.as_ref().map(|_| (dir.as_fd(), c.path.name()));
        if after.kind.tree().is_none() {
            self.stage_leaf(dir.as_fd(), &part, &c.path, after, present, sync)?;
            self.step("restore.staged-one", &c.path);
            return Ok(());
        }
        self.make_dir(dir.as_fd(), &part)
            .map_err(|e| trouble("stage", &c.path, e))?;
        let top = beneath::open_path(&*dir, &part).map_err(|e| trouble("stage", &c.path, e))?;
        let nested = job.nested.iter().filter_map(|at| self.change(*at));
        let nested: Vec<&PathChange> = nested.collect();
        self.stage_below(top.as_fd(), c, &nested, sync)
    }

    /// Stages what comes with the directory of `c`, which is staged as `top`; then sets the modes, deepest first.
    fn stage_below(
        &mut self,
        top: BorrowedFd<'_>,
        c: &PathChange,
        nested: &[&PathChange],
        sync: &mut Syncer,
    ) -> Result<(), Trouble> {
        let root = RepoPath::root();
        let mut inner = Dirs::new(top);
        let mut made = vec![(c, root.clone())];
        for n in nested {
            let (Some(entry), Some(below)) = (&n.after, n.path.moved(&c.path, &root)) else {
                continue;
            };
            let dir = match inner.parent(&below) {
                Ok(dir) => dir,
                Err(e) => match trouble("stage", &n.path, e) {
                    Trouble::Kept(why) => {
                        self.keep(&n.path, why);
                        continue;
                    }
                    fatal @ Trouble::Fatal(_) => return Err(fatal),
                },
            };
            let staged = if entry.kind.tree().is_some() {
                made.push((n, below.clone()));
                self.make_dir(dir.as_fd(), below.name())
                    .map_err(|e| trouble("stage", &n.path, e))
            } else {
                self.stage_leaf(dir.as_fd(), below.name(), &n.path, entry, None, sync)
            };
            match staged {
                Ok(()) => self.step("restore.staged-one", &n.path),
                Err(Trouble::Kept(why)) => self.keep(&n.path, why),
                Err(fatal) => return Err(fatal),
            }
        }
        for (d, below) in made.iter().rev() {
            let Some(entry) = &d.after else { continue };
            let mut dress = |dir: Rc<OwnedFd>| -> io::Result<()> {
                let readable = open_readable(&*dir, b".")?;
                self.own(readable.as_fd(), &d.path, entry, None)?;
                set_mode_of(&readable, entry.mode)?;
                sync.push(readable);
                Ok(())
            };
            // One that could not be made was reported above.
            match inner.get(below) {
                Ok(dir) => dress(dir).map_err(|e| trouble("stage", &d.path, e))?,
                Err(_) if !below.is_root() => {}
                Err(e) => return Err(trouble("stage", &d.path, e)),
            }
        }
        self.step("restore.staged-one", &c.path);
        Ok(())
    }

    fn make_dir(&self, dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
        rustix::fs::mkdirat(dir, name, Mode::RWXU).map_err(Into::into)
    }

    /// Writes one file, link or pipe under `name`. `present` is what it will replace.
    fn stage_leaf(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &RepoPath,
        entry: &Entry,
        present: Option<(BorrowedFd<'_>, &[u8])>,
        sync: &mut Syncer,
    ) -> Result<(), Trouble> {
        let fail = |e: io::Error| trouble("stage", path, e);
        match &entry.kind {
            Kind::File { blob, size } => {
                let flags = OFlags::CREATE
                    | OFlags::EXCL
                    | OFlags::WRONLY
                    | OFlags::NOFOLLOW
                    | OFlags::CLOEXEC;
                let fd = rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)
                    .map_err(|e| fail(e.into()))?;
                self.step("restore.staging-one", path);
                let mut sink = Sink {
                    file: File::from(fd),
                    failed: None,
                };
                let written = self.store.write_blob_to(*blob, &mut sink);
                if let Some(e) = sink.failed {
                    return Err(fail(e));
                }
                match written {
                    Ok(n) if n == *size => {}
                    Ok(n) => {
                        return Err(Trouble::Kept(format!(
                            "its recorded content has {n} bytes instead of {size}"
                        )));
                    }
                    Err(e @ (store::Error::Damaged { .. } | store::Error::NotFound { .. })) => {
                        return Err(Trouble::Kept(e.to_string()));
                    }
                    Err(e) => return Err(Trouble::Fatal(e.into())),
                }
                let file = sink.file;
                let was = self.own(file.as_fd(), path, entry, present).map_err(fail)?;
                if was && let Some((dir, name)) = present {
                    copy_extras(dir, name, &file);
                }
                rustix::fs::fchmod(&file, Mode::from_raw_mode(entry.mode & 0o7777))
                    .map_err(|e| fail(e.into()))?;
                self.date(file.as_fd(), path, entry).map_err(fail)?;
                sync.push(file.into());
                Ok(())
            }
            Kind::Symlink(target) => {
                rustix::fs::symlinkat(target.as_slice(), dir, name).map_err(|e| fail(e.into()))?;
                if let Some((uid, gid)) = self.owner(path, entry, present) {
                    let flags = AtFlags::SYMLINK_NOFOLLOW;
                    rustix::fs::chownat(dir, name, Some(uid), Some(gid), flags)
                        .map_err(|e| fail(e.into()))?;
                }
                Ok(())
            }
            Kind::Fifo => {
                rustix::fs::mknodat(dir, name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
                    .map_err(|e| fail(e.into()))?;
                if let Some((uid, gid)) = self.owner(path, entry, present) {
                    let flags = AtFlags::SYMLINK_NOFOLLOW;
                    rustix::fs::chownat(dir, name, Some(uid), Some(gid), flags)
                        .map_err(|e| fail(e.into()))?;
                }
                beneath::set_mode(dir, name, entry.mode).map_err(fail)
            }
            Kind::Unknown { .. } => Err(Trouble::Kept("its content is not known".to_owned())),
            Kind::Socket | Kind::Device { .. } | Kind::Dir(_) => Err(Trouble::Kept(format!(
                "a {} is not restored",
                entry.kind.word()
            ))),
        }
    }

    /// Gives `fd` the owner that it should have. Returns whether a regular file is there to be replaced.
    fn own(
        &mut self,
        fd: BorrowedFd<'_>,
        path: &RepoPath,
        entry: &Entry,
        present: Option<(BorrowedFd<'_>, &[u8])>,
    ) -> io::Result<bool> {
        if let Some((uid, gid)) = self.owner(path, entry, present) {
            let now = rustix::fs::fstat(fd)?;
            if (now.st_uid, now.st_gid) != (uid.as_raw(), gid.as_raw()) {
                rustix::fs::fchown(fd, Some(uid), Some(gid))?;
            }
        }
        let is_file = |s: rustix::fs::Stat| beneath::type_of(&s) == FileType::RegularFile;
        Ok(present.is_some_and(|(dir, name)| matches!(look(dir, name), Ok(Some(s)) if is_file(s))))
    }

    /// Whose it should be: its present owner's, or the recorded one's. Only root can give files away.
    fn owner(
        &mut self,
        path: &RepoPath,
        entry: &Entry,
        present: Option<(BorrowedFd<'_>, &[u8])>,
    ) -> Option<(Uid, Gid)> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        if let Some((dir, name)) = present
            && let Ok(Some(stat)) = look(dir, name)
        {
            return Some((Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid)));
        }
        let attr = self.attrs.of(path, entry)?;
        Some((Uid::from_raw(attr.uid), Gid::from_raw(attr.gid)))
    }

    /// Sets the recorded modification time, if that is wanted.
    pub(super) fn date(
        &mut self,
        fd: BorrowedFd<'_>,
        path: &RepoPath,
        entry: &Entry,
    ) -> io::Result<()> {
        if !self.record.intent.options.keep_mtime {
            return Ok(());
        }
        let Some(attr) = self.attrs.of(path, entry) else {
            return Ok(());
        };
        let times = Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
            last_modification: Timespec {
                tv_sec: attr.mtime_ns.div_euclid(1_000_000_000),
                tv_nsec: attr.mtime_ns.rem_euclid(1_000_000_000),
            },
        };
        rustix::fs::futimens(fd, &times).map_err(Into::into)
    }
}

fn io_error(what: &'static str, path: &RepoPath, source: io::Error) -> Error {
    if is_full(&source) {
        return Error::Full(path.clone());
    }
    Error::Io {
        what,
        path: path.clone(),
        source,
    }
}

/// Takes over what a replaced file carries beside its content: user attributes and an access list. What cannot be
/// carried (another file system's rules) is dropped, as an editor that saves by rename does.
fn copy_extras(dir: BorrowedFd<'_>, name: &[u8], to: &File) {
    let Ok(from) = beneath::open_file(dir, name) else {
        return;
    };
    let Ok(size @ 1..) = rustix::fs::flistxattr_query(&from) else {
        return;
    };
    let mut list = vec![0; size];
    let Ok(size) = rustix::fs::flistxattr(&from, &mut list[..]) else {
        return;
    };
    for key in list.get(..size).unwrap_or_default().split(|b| *b == 0) {
        if !key.starts_with(b"user.") && key != b"system.posix_acl_access" {
            continue;
        }
        let mut value = vec![0; 65_536];
        if let Ok(n) = rustix::fs::fgetxattr(&from, key, &mut value[..]) {
            let value = value.get(..n).unwrap_or_default();
            let _ = rustix::fs::fsetxattr(to, key, value, XattrFlags::empty());
        }
    }
}

/// Writes into a staged file and remembers that it was the file that failed, not the store.
struct Sink {
    file: File,
    failed: Option<io::Error>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).inspect_err(|e| {
            if e.kind() != io::ErrorKind::Interrupted {
                self.failed = Some(match e.raw_os_error() {
                    Some(code) => io::Error::from_raw_os_error(code),
                    None => io::Error::from(e.kind()),
                });
            }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Owners and times of the versions of paths, looked up when they are needed.
pub(super) struct Attrs<'a> {
    store: &'a Store,
    /// The state whose versions are meant.
    to: CommitId,
    seq: Option<Option<u64>>,
    of_commit: HashMap<CommitId, Rc<HashMap<RepoPath, Attr>>>,
}

impl<'a> Attrs<'a> {
    pub(super) fn new(store: &'a Store, to: CommitId) -> Self {
        Self {
            store,
            to,
            seq: None,
            of_commit: HashMap::new(),
        }
    }

    /// The attributes of the version of `path` that equals `entry`, the newest not later than the target.
    fn of(&mut self, path: &RepoPath, entry: &Entry) -> Option<Attr> {
        let (store, to) = (self.store, self.to);
        let seq = *self
            .seq
            .get_or_insert_with(|| store.commit_node(to).ok().map(|n| n.seq));
        let versions = store.path_history(path, seq.map(|s| s + 1), 64).ok()?;
        let version = versions.iter().find(|v| {
            let kind = v.entry.as_ref().map(|e| &e.kind);
            match (kind, &entry.kind) {
                (Some(Kind::Dir(_)), Kind::Dir(_)) => true,
                (found, wanted) => found == Some(wanted),
            }
        })?;
        let attrs = match self.of_commit.get(&version.commit) {
            Some(known) => Rc::clone(known),
            None => {
                let list = store.attrs(version.commit).ok()?;
                let map = Rc::new(list.into_iter().map(|a| (a.path.clone(), a)).collect());
                self.of_commit.insert(version.commit, Rc::clone(&map));
                map
            }
        };
        attrs.get(path).cloned()
    }
}
