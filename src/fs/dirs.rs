//! Directory listings between two requests.
//!
//! The kernel does not ask before it lists (ENOSYS to OPENDIR, the largest single gain measured), so a listing is named
//! only by its directory and the offset it has come to. The open directory is kept under that pair until the next
//! request asks for it: some file systems (overlayfs, older tmpfs) give offsets that stay right only on the same open
//! directory while entries are removed, which is what `rm -rf` does. When it is not kept any more, the directory is
//! opened again and the offset sought.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{RawDir, SeekFrom, seek};
use rustix::io::Errno;

use super::attr::{FileKind, Stamp};
use super::resolve::Root;

/// How many listings are kept under way.
const KEPT: usize = 64;
/// Read from the directory at once.
const CHUNK: usize = 32 * 1024;

/// One entry as the directory gave it.
#[derive(Debug, Clone)]
pub(crate) struct RawEntry {
    pub name: Vec<u8>,
    pub ino: u64,
    pub next: u64,
    pub kind: Option<FileKind>,
}

/// A listing under way.
#[derive(Debug)]
pub(crate) struct Listing {
    fd: OwnedFd,
    ahead: VecDeque<RawEntry>,
    ended: bool,
    /// The directory's stamp when `ahead` was read.
    read: Option<Stamp>,
}

impl Listing {
    pub fn new(fd: OwnedFd, offset: u64) -> Result<Self, Errno> {
        if offset != 0 {
            seek(&fd, SeekFrom::Start(offset))?;
        }
        Ok(Self {
            fd,
            ahead: VecDeque::new(),
            ended: false,
            read: None,
        })
    }

    /// Before going on at `offset`: if the directory has changed, what was read ahead is read again.
    pub fn refresh(&mut self, root: &Root, offset: u64) -> Result<(), Errno> {
        if root.stable_offsets && self.read != Some(root.stat(self.fd())?.attr.stamp()) {
            seek(&self.fd, SeekFrom::Start(offset))?;
            self.ahead.clear();
            self.ended = false;
        }
        Ok(())
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The next entry, without taking it.
    pub fn peek(&mut self, root: &Root) -> Result<Option<&RawEntry>, Errno> {
        if self.ahead.is_empty() && !self.ended {
            self.read = Some(root.stat(self.fd())?.attr.stamp());
            self.fill()?;
        }
        Ok(self.ahead.front())
    }

    pub fn take(&mut self) {
        self.ahead.pop_front();
    }

    fn fill(&mut self) -> Result<(), Errno> {
        let mut buffer = Vec::with_capacity(CHUNK);
        let mut dir = RawDir::new(&self.fd, buffer.spare_capacity_mut());
        loop {
            match dir.next() {
                None => {
                    self.ended = true;
                    return Ok(());
                }
                Some(Err(e)) => return Err(e),
                Some(Ok(e)) => self.ahead.push_back(RawEntry {
                    name: e.file_name().to_bytes().to_vec(),
                    ino: e.ino(),
                    next: e.next_entry_cookie(),
                    kind: FileKind::from_type(e.file_type()),
                }),
            }
            if dir.is_buffer_empty() {
                return Ok(());
            }
        }
    }
}

/// Listings that wait for their next request, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Listings(VecDeque<(u64, u64, Listing)>);

impl Listings {
    pub fn take(&mut self, ino: u64, offset: u64) -> Option<Listing> {
        // The newest: an older one may have been given up by whoever began it.
        let at = self
            .0
            .iter()
            .rposition(|(i, o, _)| *i == ino && *o == offset)?;
        self.0.remove(at).map(|(_, _, l)| l)
    }

    pub fn keep(&mut self, ino: u64, offset: u64, listing: Listing) {
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back((ino, offset, listing));
    }
}
