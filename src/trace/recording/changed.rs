//! Whether what was read is still there: bytes of a file that say whether it only grew, and directories that say whether
//! files may have come.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{FileMark, mark, read_at};

/// So many bytes at the beginning of what was read are remembered, and as many at its end.
const REMEMBERED: usize = 1 << 10;
/// Directories are listed again after so long even if nothing about them has changed: a file may have been empty.
const AGAIN: Duration = Duration::from_secs(2);
/// And only so many times as long as listing took.
const IDLE: u32 = 50;

/// What was read of a file, as far as it is remembered.
#[derive(Debug, Clone, Default)]
pub(super) struct Seal {
    first: Vec<u8>,
    last: Vec<u8>,
    len: u64,
}

impl Seal {
    /// Takes what was read next.
    pub fn feed(&mut self, bytes: &[u8]) {
        let free = REMEMBERED.saturating_sub(self.first.len());
        self.first.extend(bytes.iter().take(free));
        let tail = bytes.len().saturating_sub(REMEMBERED);
        self.last.extend(bytes.iter().skip(tail));
        let more = self.last.len().saturating_sub(REMEMBERED);
        self.last.drain(..more);
        self.len += bytes.len() as u64;
    }

    /// Whether the file still holds it. What cannot be read is told where it is read.
    pub fn fits(&self, file: &File) -> bool {
        let same = |expected: &[u8], offset: u64| {
            let mut there = vec![0; expected.len()];
            match read_at(file, &mut there, offset) {
                Ok(got) => there.get(..got) == Some(expected),
                Err(_) => true,
            }
        };
        same(&self.first, 0) && same(&self.last, self.len - self.last.len() as u64)
    }
}

/// When the files of subagents were looked for.
#[derive(Debug, Default)]
pub(super) struct Sides {
    dirs: Vec<FileMark>,
    next: Option<Instant>,
}

impl Sides {
    /// Whether it is time to list them again: a directory where they may lie has changed, or some time has passed.
    pub fn is_due<'p>(&mut self, main: &Path, known: impl Iterator<Item = &'p Path>) -> bool {
        let own = main.with_extension("");
        let below = own.join("subagents");
        let mut dirs: Vec<PathBuf> = vec![below.join("workflows"), below, own];
        dirs.extend(main.parent().map(Path::to_owned));
        for dir in known.filter_map(Path::parent) {
            // They come sorted by their paths.
            if dirs.last().is_none_or(|last| last != dir) {
                dirs.push(dir.to_owned());
            }
        }
        let dirs: Vec<FileMark> = dirs.iter().map(|d| mark(d)).collect();
        let changed = dirs != self.dirs;
        self.dirs = dirs;
        changed || self.next.is_none_or(|next| Instant::now() >= next)
    }

    /// They were listed, which took so long.
    pub fn listed(&mut self, took: Duration) {
        self.next = Some(Instant::now() + AGAIN.max(took.saturating_mul(IDLE)));
    }
}
