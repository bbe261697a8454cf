//! The durable part of a branch view: which names were set or taken away, and what is known of the nodes behind them.
//!
//! A file of frames, each the operations of one change of the tree, appended in one write:
//!
//! ```text
//! frame = length:u32le check:[8] postcard(Vec<Op>)
//! ```
//!
//! What is written survives the process; [`Table::sync`] makes it survive the machine. A torn or damaged frame ends the
//! file: what lies before it is a state that was there. When it is opened, a file that has grown much larger than the
//! state it says is written anew.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::attr::{FileKind, Stamp};

/// Length and check of a frame.
const HEAD: usize = 12;
/// A table below this size is never written anew.
const SMALL: u64 = 256 * 1024;

/// Where the content of something that was not changed lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Layer {
    /// In the tree of the commit that was forked; below it, what capture leaves out shows through.
    Tree,
    /// In the project's real directory.
    Project,
    /// In the project's repository.
    Git,
    /// In a file that the branch keeps for itself and that nobody writes.
    Kept,
}

/// A place in a layer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub layer: Layer,
    /// The path there.
    pub path: Vec<u8>,
}

/// What is known of a node besides its content and times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub kind: FileKind,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub rdev: (u32, u32),
}

/// A node as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub facts: Facts,
    pub origin: Option<Origin>,
    /// Whether content and times are the branch's own.
    pub upper: bool,
    /// The project's file when it was copied, by which its drift is seen.
    pub copied: Option<Stamp>,
}

/// One step of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Op {
    /// The node is this.
    Node { id: u64, saved: Saved },
    /// The name is that node's.
    Name { dir: u64, name: Vec<u8>, id: u64 },
    /// The name is gone, also where a layer below has it.
    Hide { dir: u64, name: Vec<u8> },
    /// Nothing is said of the name any more.
    Bare { dir: u64, name: Vec<u8> },
}

/// The file.
#[derive(Debug)]
pub(crate) struct Table {
    file: File,
    path: PathBuf,
    len: u64,
}

impl Table {
    /// Makes the empty table of a new branch.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = options().create_new(true).open(path)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            len: 0,
        })
    }

    /// Opens a table and tells what it says, in order.
    pub fn open(path: &Path, each: &mut dyn FnMut(Op)) -> io::Result<Self> {
        let mut file = options().open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut at = 0;
        while let Some((ops, next)) = frame(&bytes, at) {
            ops.into_iter().for_each(&mut *each);
            at = next;
        }
        if at < bytes.len() {
            tracing::warn!(
                "the last change of a branch was cut off and is dropped ({} bytes)",
                bytes.len() - at
            );
            file.set_len(at as u64)?;
        }
        Ok(Self {
            file,
            path: path.to_owned(),
            len: at as u64,
        })
    }

    /// Appends one change. When that fails nothing of it stays.
    pub fn append(&mut self, ops: &[Op]) -> io::Result<()> {
        let bytes = encode(ops)?;
        if let Err(e) = self.file.write_all_at(&bytes, self.len) {
            self.file.set_len(self.len)?;
            return Err(e);
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// A handle by which everything appended so far is made durable.
    pub fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Writes `ops`, which say the whole state, in place of a file that has grown beyond it.
    pub fn rewrite(&mut self, ops: &[Op]) -> io::Result<()> {
        let bytes = encode(ops)?;
        if self.len < SMALL || self.len / 4 < bytes.len() as u64 {
            return Ok(());
        }
        let beside = self.path.with_extension("new");
        let mut file = options().create(true).truncate(true).open(&beside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        self.file = file;
        self.len = bytes.len() as u64;
        Ok(())
    }
}

fn options() -> OpenOptions {
    let mut o = OpenOptions::new();
    o.read(true).write(true).mode(0o600);
    o
}

fn encode(ops: &[Op]) -> io::Result<Vec<u8>> {
    let body = postcard::to_stdvec(ops).map_err(io::Error::other)?;
    let len = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(HEAD + body.len());
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(&blake3::hash(&body).as_bytes()[..8]);
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// The operations of the frame at `at`, and where the next begins.
fn frame(bytes: &[u8], at: usize) -> Option<(Vec<Op>, usize)> {
    let head = bytes.get(at..at.checked_add(HEAD)?)?;
    let (len, check) = head.split_at(4);
    let len = u32::from_le_bytes(len.try_into().ok()?) as usize;
    let start = at + HEAD;
    let body = bytes.get(start..start.checked_add(len)?)?;
    if blake3::hash(body).as_bytes()[..8] != *check {
        return None;
    }
    Some((postcard::from_bytes(body).ok()?, start + len))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn hide(n: u64) -> Op {
        Op::Hide {
            dir: n,
            name: b"x\xff".to_vec(),
        }
    }

    fn read(path: &Path) -> Vec<Op> {
        let mut all = Vec::new();
        Table::open(path, &mut |op| all.push(op)).unwrap();
        all
    }

    #[test]
    fn a_torn_end_costs_only_the_last_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("names");
        let mut t = Table::create(&path).unwrap();
        t.append(&[hide(1), hide(2)]).unwrap();
        t.append(&[hide(3), hide(4)]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let first = frame(&whole, 0).unwrap().1;
        for cut in first..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(read(&path), vec![hide(1), hide(2)], "cut at {cut}");
            // And it goes on from there.
            let mut t = Table::open(&path, &mut |_| {}).unwrap();
            t.append(&[hide(9)]).unwrap();
            assert_eq!(read(&path), vec![hide(1), hide(2), hide(9)]);
        }
        for at in first..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 0x10;
            std::fs::write(&path, &bad).unwrap();
            assert_eq!(read(&path), vec![hide(1), hide(2)], "bit at {at}");
        }
    }

    #[test]
    fn a_grown_table_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("names");
        let mut t = Table::create(&path).unwrap();
        let many: Vec<Op> = (0..30_000).map(hide).collect();
        for _ in 0..4 {
            t.append(&many).unwrap();
        }
        let before = t.len;
        t.rewrite(&[hide(7)]).unwrap();
        assert!(t.len < before);
        t.append(&[hide(8)]).unwrap();
        assert_eq!(read(&path), vec![hide(7), hide(8)]);
    }
}
