//! Writing a file in place, for those who hold it open.
//!
//! Only a regular file with one name, and only after its present content was compared with the recorded one: an exchange
//! would leave open descriptors on the old file. Between that look and the first byte written nobody can be kept out,
//! so a save of that microsecond into the same inode is lost; saves by rename are not.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{FileType, Mode, OFlags, Stat};

use super::beneath::{self, CHUNK, exchange, identify, look, type_of};
use super::work::{Job, Work};
use crate::diff::tree::PathChange;
use crate::model::{Entry, Kind, RepoPath};

impl Work<'_> {
    /// Whether the file must be written in place: someone holds it open, and nobody else sees it under another name.
    pub(super) fn is_held_open(&mut self, c: &PathChange) -> bool {
        let files = [&c.before, &c.after].into_iter().all(|e| {
            e.as_ref()
                .is_some_and(|e| matches!(e.kind, Kind::File { .. }))
        });
        files && self.world.open_count(&c.path) > 0 && {
            let stat = self
                .dirs
                .parent(&c.path)
                .and_then(|d| look(&*d, c.path.name()));
            matches!(stat, Ok(Some(s)) if s.st_nlink == 1 && type_of(&s) == FileType::RegularFile)
        }
    }

    pub(super) fn all_in_place(&mut self, jobs: &[&Job]) {
        if jobs.is_empty() {
            return;
        }
        let numbers: Vec<usize> = jobs.iter().map(|j| j.at).collect();
        let noted = self.journal.mark_in_place(&numbers);
        if let Err(e) = &noted {
            tracing::warn!("files that are open are exchanged, not rewritten: {e}");
        }
        self.step("restore.in-place-begin", &RepoPath::root());
        for job in jobs {
            let Some(c) = self.change(job.at) else {
                continue;
            };
            if noted.is_err() || !self.in_place(job, c) {
                self.replace(job, c);
            }
        }
    }

    /// Rewrites a file in place. `false`: it was not begun and cannot be done so.
    fn in_place(&mut self, job: &Job, c: &PathChange) -> bool {
        let (Some(before), Some(after)) = (&c.before, &c.after) else {
            return false;
        };
        let Ok(dir) = self.dirs.parent(&c.path) else {
            return false;
        };
        let (dir, name, staged) = (dir.as_fd(), c.path.name(), self.names.staged(&c.path));
        let Ok(source) = beneath::open_file(dir, &staged) else {
            return false;
        };
        let Ok(file) = beneath::open_regular(dir, name, OFlags::RDWR) else {
            return false;
        };
        if !matches!(identify(dir, name, &[Some(before)]), Ok(Some(_))) {
            return false;
        }
        let (Ok(held), Ok(Some(named))) = (rustix::fs::fstat(&file), look(dir, name)) else {
            return false;
        };
        if held.st_nlink != 1 || (held.st_dev, held.st_ino) != (named.st_dev, named.st_ino) {
            return false;
        }
        if let Err(e) = self.rewrite(&source, &file, c, after) {
            // The staged copy takes its place: that needs no space. Only open descriptors keep the torn content.
            tracing::warn!("{} could not be rewritten in place: {e}", c.path);
            match exchange(dir, &staged, name) {
                Ok(()) if same_inode(dir, &staged, &held) => {
                    let _ = self.graves.unlink(dir, &staged);
                    self.dirty(&c.path);
                    self.renamed(job);
                }
                Ok(()) => self.put_back_replaced(dir, &staged, c),
                Err(e) => self.keep_io(&c.path, &e),
            }
            return true;
        }
        self.dirty(&c.path);
        if let Err(e) = self.graves.unlink(dir, &staged) {
            tracing::warn!("a staged file is left beside {}: {e}", c.path);
        }
        self.step("restore.removed-one", &c.path);
        if !same_inode(dir, name, &held) {
            // Somebody saved by rename meanwhile: what was written is nowhere now, their file is.
            self.displaced(&c.path);
            return true;
        }
        self.out.touched.push(c.path.clone());
        self.out.content.push(c.path.clone());
        true
    }

    /// Copies `source` over `file`, from the start to the end, then cuts: so that at every moment the file is a
    /// beginning of the new content followed by the rest of the old, which recovery can recognise.
    fn rewrite(
        &mut self,
        source: &File,
        file: &File,
        c: &PathChange,
        after: &Entry,
    ) -> io::Result<()> {
        let size = source.metadata()?.len();
        let half = size / 2;
        let mut buffer = vec![0; CHUNK];
        let mut offset = 0;
        let mut said = false;
        loop {
            if offset >= half && !said {
                self.step("restore.in-place-half", &c.path);
                said = true;
            }
            let end = if offset < half { half } else { size };
            let want = usize::try_from(end - offset).map_or(CHUNK, |n| n.min(CHUNK));
            let part = buffer.get_mut(..want).unwrap_or_default();
            let n = source.read_at(part, offset)?;
            if n == 0 {
                break;
            }
            file.write_all_at(part.get(..n).unwrap_or_default(), offset)?;
            offset += n as u64;
        }
        self.step("restore.in-place-written", &c.path);
        rustix::fs::ftruncate(file, size)?;
        self.step("restore.in-place-cut", &c.path);
        rustix::fs::fchmod(file, Mode::from_raw_mode(after.mode & 0o7777))?;
        self.date(file.as_fd(), &c.path, after)?;
        file.sync_data()
    }
}

fn same_inode(dir: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> bool {
    let now = look(dir, name).ok().flatten();
    now.is_some_and(|n| (n.st_dev, n.st_ino) == (stat.st_dev, stat.st_ino))
}
