//! After a crash in the middle of an [`apply`](super::apply): finishing it.
//!
//! Always forwards. A path that equals the journal's "before" is finished, one that equals "after" is left, anything
//! else was changed by somebody since and stays. What lies under staging names is removed only if it is, byte for byte,
//! one of the two recorded states; a newer save that was displaced when the process died gets its name back.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Stat};

use super::beneath::{self, cannot_hold, identify, look, mode_of, remove_tree, type_of};
use super::plan::only_mode;
use super::sync::sync_all;
use super::work::{Work, exists, jobs};
use super::{Applied, Error, Intent, Nobody};
use crate::capture::failpoint::point;
use crate::capture::journal::{self, Journal, Record};
use crate::diff::tree::PathChange;
use crate::model::{Kind, RepoPath};
use crate::store::Store;

/// Content is compared in blocks of this size: what the kernel writes back at once.
const BLOCK: usize = 4096;

/// What a recovery found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Was still as before, and is as after now.
    pub finished: Vec<RepoPath>,
    /// Was as after already.
    pub already: Vec<RepoPath>,
    /// Is neither: somebody changed it since. Left as it is.
    pub changed_since: Vec<RepoPath>,
    /// Could not be finished, and why.
    pub kept: Vec<(RepoPath, String)>,
}

/// Gives newer saves that were displaced at the moment of the crash their names back, and removes what else is left of
/// the staging. To be called before what is found is committed, so that the commit has them; [`recover`] does it too.
/// Returns the paths that were put back.
pub fn put_back(
    store: &Store,
    root: BorrowedFd<'_>,
    journal: &Journal,
    intent: &Intent,
) -> Result<Vec<RepoPath>, Error> {
    let record = record_of(journal, intent)?;
    let mut work = Work::new(store, root, journal, &record, &Nobody);
    work.sweep();
    Ok(work.out.displaced)
}

/// Finishes `intent`, which the journal holds. The caller has committed what was found, and calls
/// [`Journal::done`] afterwards.
pub fn recover(
    store: &Store,
    root: BorrowedFd<'_>,
    journal: &Journal,
    intent: &Intent,
) -> Result<Recovered, Error> {
    let record = record_of(journal, intent)?;
    point("recover.begin");
    let mut work = Work::new(store, root, journal, &record, &Nobody);
    work.sweep();
    point("recover.swept");
    let swept = std::mem::take(&mut work.out);
    let mut found = Recovered {
        kept: swept.kept,
        ..Recovered::default()
    };
    let mut chosen = Vec::new();
    for (at, c) in intent.changes.iter().enumerate() {
        match work.standing(c) {
            Standing::Before => chosen.push(at),
            Standing::After => found.already.push(c.path.clone()),
            Standing::Else => found.changed_since.push(c.path.clone()),
        }
    }
    work.run(jobs(&record.intent.changes, &chosen))?;
    // What was swapped before the crash may not have been synced.
    if let Err(e) = sync_all(root) {
        tracing::warn!("the restored files may not survive a power cut: {e}");
    }
    let Applied {
        touched,
        kept,
        displaced,
        ..
    } = work.out;
    found.finished = touched;
    found.kept.extend(kept);
    found.changed_since.extend(displaced);
    point("recover.finished");
    Ok(found)
}

fn record_of(journal: &Journal, intent: &Intent) -> Result<Record, Error> {
    match journal.read()? {
        Some(record) if record.intent == *intent => Ok(record),
        _ => Err(journal::Error::other(journal).into()),
    }
}

/// How a path stands to the journal.
enum Standing {
    Before,
    After,
    Else,
}

impl Work<'_> {
    /// Clears every staging name of the intent.
    fn sweep(&mut self) {
        let changes: Vec<&PathChange> = (0..self.record.intent.changes.len())
            .filter_map(|at| self.change(at))
            .collect();
        for c in changes {
            let Ok(dir) = self.dirs.parent(&c.path) else {
                continue;
            };
            let dir = dir.as_fd();
            let (part, staged) = (self.names.part(&c.path), self.names.staged(&c.path));
            let mut swept = false;
            if exists(dir, &part) {
                swept = true;
                if let Err(e) = remove_tree(dir, &part) {
                    tracing::warn!("a staged file is left beside {}: {e}", c.path);
                }
            }
            if let Ok(Some(stat)) = look(dir, &staged) {
                swept = true;
                self.sweep_one(dir, &staged, &stat, c);
            }
            if swept {
                point("recover.swept-one");
            }
        }
    }

    fn sweep_one(&mut self, dir: BorrowedFd<'_>, staged: &[u8], stat: &Stat, c: &PathChange) {
        let ours = if type_of(stat) == FileType::Directory {
            // A directory that gave way to a file was empty: if it is not, it has got something since.
            let was_dir = c.before.as_ref().is_some_and(|e| e.kind.tree().is_some());
            if was_dir && rustix::fs::unlinkat(dir, staged, AtFlags::REMOVEDIR).is_ok() {
                return;
            }
            !was_dir && self.is_target(dir, staged, &c.path)
        } else {
            let candidates = [c.before.as_ref(), c.after.as_ref()];
            matches!(identify(dir, staged, &candidates), Ok(Some(_)))
                || self.is_torn(dir, staged, c)
        };
        if ours {
            if let Err(e) = remove_tree(dir, staged) {
                tracing::warn!("a staged file is left beside {}: {e}", c.path);
            }
            return;
        }
        if !exists(dir, c.path.name()) {
            self.put_back_removed(dir, staged, c);
        } else if self.is_target(dir, c.path.name(), &c.path) {
            self.put_back_replaced(dir, staged, c);
        } else {
            self.save_aside(dir, staged, c);
        }
    }

    fn standing(&mut self, c: &PathChange) -> Standing {
        let dir = self.dirs.parent(&c.path);
        let found = dir.and_then(|d| Ok((look(&*d, c.path.name())?, d)));
        let (stat, dir) = match found {
            Ok((Some(stat), dir)) => (stat, dir),
            Ok((None, _)) => return absent(c),
            Err(e) if cannot_hold(&e) => return absent(c),
            Err(_) => return Standing::Else,
        };
        let dir = dir.as_fd();
        let present_dir = type_of(&stat) == FileType::Directory;
        let mode = mode_of(&stat);
        let is_dir =
            |e: &Option<crate::model::Entry>| e.as_ref().is_some_and(|e| e.kind.tree().is_some());
        match (&c.before, &c.after) {
            (Some(b), Some(a)) if only_mode(b, a) => {
                let same_type = present_dir == is_dir(&c.before);
                let relaxed = self.record.relaxed.iter();
                let by_us = relaxed
                    .filter(|(p, _)| *p == c.path)
                    .any(|(_, m)| m | 0o700 == mode);
                match () {
                    () if !same_type => Standing::Else,
                    () if mode == a.mode => Standing::After,
                    () if mode == b.mode || by_us => Standing::Before,
                    () => Standing::Else,
                }
            }
            // What it holds stands for itself; whether it is empty shows when it is removed.
            (Some(_), _) if is_dir(&c.before) && present_dir => Standing::Before,
            (_, Some(_)) if is_dir(&c.after) && present_dir => Standing::After,
            (before, after) => {
                let name = c.path.name();
                match identify(dir, name, &[before.as_ref(), after.as_ref()]) {
                    Ok(Some(0)) => Standing::Before,
                    Ok(Some(_)) => Standing::After,
                    Ok(None) if self.is_torn(dir, name, c) => Standing::Before,
                    _ => Standing::Else,
                }
            }
        }
    }

    /// Whether the file called `name` is what an interrupted writing in place of `c` leaves: block by block the new
    /// content or the old one, one block being part of both. Only for files of which the journal says that they were
    /// about to be written in place; a power cut may have kept any of the blocks.
    pub(super) fn is_torn(&self, dir: BorrowedFd<'_>, name: &[u8], c: &PathChange) -> bool {
        let in_place = self.record.in_place.iter();
        let noted = in_place
            .filter_map(|at| self.change(*at))
            .any(|n| n.path == c.path);
        noted && self.mixes(dir, name, c).unwrap_or(false)
    }

    fn mixes(&self, dir: BorrowedFd<'_>, name: &[u8], c: &PathChange) -> io::Result<bool> {
        let file_of = |e: &Option<crate::model::Entry>| match e.as_ref().map(|e| &e.kind) {
            Some(Kind::File { blob, size }) => Some((*blob, *size)),
            _ => None,
        };
        let (Some((old, old_size)), Some((new, new_size))) =
            (file_of(&c.before), file_of(&c.after))
        else {
            return Ok(false);
        };
        let file = beneath::open_file(dir, name)?;
        let size = file.metadata()?.len();
        if size < old_size.min(new_size) || size > old_size.max(new_size) {
            return Ok(false);
        }
        let range = |blob, offset| {
            self.store
                .blob_range(blob, offset, beneath::CHUNK)
                .map_err(io::Error::other)
        };
        let mut buffer = vec![0; beneath::CHUNK];
        let mut offset = 0;
        while offset < size {
            let n = read_full(&file, &mut buffer, offset)?;
            let (old, new) = (range(old, offset)?, range(new, offset)?);
            let present = buffer.get(..n).unwrap_or_default();
            for (i, block) in present.chunks(BLOCK).enumerate() {
                let part = |side: &[u8]| -> Vec<u8> {
                    let from = (i * BLOCK).min(side.len());
                    let to = (from + block.len()).min(side.len());
                    side.get(from..to).unwrap_or_default().to_vec()
                };
                if !mixed(block, &part(&old), &part(&new)) {
                    return Ok(false);
                }
            }
            if n == 0 {
                return Ok(false);
            }
            offset += n as u64;
        }
        Ok(true)
    }
}

/// Whether `block` is a beginning of `new` followed by the rest of `old`, or zeros that were never written.
fn mixed(block: &[u8], old: &[u8], new: &[u8]) -> bool {
    let head = block.iter().zip(new).take_while(|(a, b)| a == b).count();
    // As much of the old content as there is below the block: it must reach the block's end.
    let tail = match old.get(..block.len()) {
        Some(old) => block
            .iter()
            .rev()
            .zip(old.iter().rev())
            .take_while(|(a, b)| a == b)
            .count(),
        None => 0,
    };
    head + tail >= block.len() || block.iter().all(|b| *b == 0)
}

fn read_full(file: &std::fs::File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    use std::os::unix::fs::FileExt;
    let mut n = 0;
    while let Some(rest) = buffer.get_mut(n..).filter(|r| !r.is_empty()) {
        match file.read_at(rest, offset + n as u64)? {
            0 => break,
            more => n += more,
        }
    }
    Ok(n)
}

fn absent(c: &PathChange) -> Standing {
    match (&c.before, &c.after) {
        (_, None) => Standing::After,
        (None, Some(_)) => Standing::Before,
        (Some(_), Some(_)) => Standing::Else,
    }
}
