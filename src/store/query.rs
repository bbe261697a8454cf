//! Questions over refs, operations and commits: each a look-up or a range scan of the index.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition};
use serde::{Deserialize, Serialize};

use crate::model::{Attr, Commit, CommitId, Entry, OpId, Operation, RefTarget, RepoPath, Time};

use super::error::{Error, Result};
use super::record::{Kind, Place};
use super::tables::{self, key40, path_key, time_key};
use super::wire::{Bad, In};
use super::{Store, commit_code, op_code, tree_code};

/// A commit in the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitNode {
    /// Its id.
    pub id: CommitId,
    /// Order of storing, from 1.
    pub seq: u64,
    /// The lane it is drawn in: the first commit to continue its first parent inherits that one's line, any other
    /// opens a new one.
    pub line: u32,
    /// The commit.
    pub commit: Arc<Commit>,
}

/// A path as a commit left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathVersion {
    /// The commit's sequence number.
    pub seq: u64,
    /// The commit.
    pub commit: CommitId,
    /// What the path became; `None` if it was removed.
    pub entry: Option<Entry>,
}

/// Derived figures of a commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitStats {
    /// Files changed.
    pub files: u32,
    /// Lines added.
    pub added: u32,
    /// Lines removed.
    pub removed: u32,
    /// Binary files changed.
    pub binary: u32,
}

/// What is not as it was written to the index.
pub(crate) fn corrupt(bad: Bad) -> redb::Error {
    redb::Error::Corrupted(bad.0.to_owned())
}

pub(super) fn node(seq: u64, bytes: &[u8]) -> Result<CommitNode, redb::Error> {
    let read = || -> Result<CommitNode, Bad> {
        let mut r = In::new(bytes);
        let id = CommitId(r.id()?);
        let line = r.u32()?;
        let raw = r.rest();
        if commit_code::id_of(raw) != id {
            return Err(Bad("a commit does not have its id"));
        }
        let commit = commit_code::decode(raw)?;
        Ok(CommitNode {
            id,
            seq,
            line,
            commit: Arc::new(commit),
        })
    };
    read().map_err(corrupt)
}

fn operation(bytes: &[u8]) -> Result<(OpId, Operation), redb::Error> {
    let read = || -> Result<_, Bad> {
        let mut r = In::new(bytes);
        let id = OpId(r.id()?);
        let raw = r.rest();
        if op_code::id_of(raw) != id {
            return Err(Bad("an operation does not have its id"));
        }
        Ok((id, op_code::decode(raw)?))
    };
    read().map_err(corrupt)
}

fn target(bytes: &[u8]) -> Result<Option<RefTarget>, redb::Error> {
    op_code::decode_target(&mut In::new(bytes)).map_err(corrupt)
}

/// The newest values of a table by sequence number, before `before`.
fn newest<T>(
    tx: &ReadTransaction,
    table: TableDefinition<'static, u64, &'static [u8]>,
    before: Option<u64>,
    limit: usize,
    read: impl Fn(u64, &[u8]) -> Result<T, redb::Error>,
) -> Result<Vec<T>, redb::Error> {
    let table = tx.open_table(table)?;
    let mut out = Vec::new();
    for row in table.range(..before.unwrap_or(u64::MAX))?.rev().take(limit) {
        let (seq, value) = row?;
        out.push(read(seq.value(), value.value())?);
    }
    Ok(out)
}

impl Store {
    /// All refs: `head`, `branch/NAME`, `label/NAME`.
    pub fn refs(&self) -> Result<BTreeMap<String, RefTarget>> {
        self.core.index.read(|tx| {
            let mut refs = BTreeMap::new();
            for row in tx.open_table(tables::REFS)?.iter()? {
                let (name, value) = row?;
                if let Some(target) = target(value.value())? {
                    refs.insert(name.value().to_owned(), target);
                }
            }
            Ok(refs)
        })
    }

    /// Where a ref points.
    pub fn get_ref(&self, name: &str) -> Result<Option<RefTarget>> {
        self.core
            .index
            .read(|tx| match tx.open_table(tables::REFS)?.get(name)? {
                None => Ok(None),
                Some(value) => target(value.value()),
            })
    }

    /// The operation log, newest first, before sequence number `before`.
    pub fn operations(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, OpId, Operation)>> {
        self.core.index.read(|tx| {
            newest(tx, tables::OPLOG, before, limit, |seq, bytes| {
                let (id, op) = operation(bytes)?;
                Ok((seq, id, op))
            })
        })
    }

    /// An operation with its sequence number.
    pub fn operation(&self, id: OpId) -> Result<(u64, Operation)> {
        let found = self.core.index.read(|tx| {
            let seq = tx.open_table(tables::OPS)?.get(&id.0)?.map(|s| s.value());
            let Some(seq) = seq else { return Ok(None) };
            match tx.open_table(tables::OPLOG)?.get(seq)? {
                None => Ok(None),
                Some(value) => Ok(Some((seq, operation(value.value())?.1))),
            }
        })?;
        found.ok_or_else(|| Error::NotFound {
            what: "operation",
            id: id.to_hex(),
        })
    }

    /// A commit's sequence number, if it is in the store.
    pub(crate) fn seq(&self, id: CommitId) -> Result<Option<u64>> {
        self.core.index.read(|tx| {
            let commits = tx.open_table(tables::COMMITS)?;
            Ok(commits.get(&id.0)?.map(|s| s.value()))
        })
    }

    /// A commit.
    pub fn commit(&self, id: CommitId) -> Result<Arc<Commit>> {
        Ok(self.commit_node(id)?.commit)
    }

    /// A commit with its place in the graph.
    pub fn commit_node(&self, id: CommitId) -> Result<CommitNode> {
        let found = self.core.index.read(|tx| {
            let seq = tx
                .open_table(tables::COMMITS)?
                .get(&id.0)?
                .map(|s| s.value());
            let Some(seq) = seq else { return Ok(None) };
            match tx.open_table(tables::NODES)?.get(seq)? {
                None => Ok(None),
                Some(value) => Ok(Some(node(seq, value.value())?)),
            }
        })?;
        found.ok_or_else(|| Error::NotFound {
            what: "commit",
            id: id.to_hex(),
        })
    }

    /// Commits, newest first, before sequence number `before`.
    pub fn commits(&self, before: Option<u64>, limit: usize) -> Result<Vec<CommitNode>> {
        self.core
            .index
            .read(|tx| newest(tx, tables::NODES, before, limit, node))
    }

    /// How many commits there are.
    pub fn commit_count(&self) -> Result<u64> {
        self.core
            .index
            .read(|tx| Ok(tx.open_table(tables::NODES)?.len()?))
    }

    /// The commits that name `id` as a parent, in the order in which they were stored.
    pub fn children(&self, id: CommitId) -> Result<Vec<CommitId>> {
        self.core.index.read(|tx| {
            let children = tx.open_table(tables::CHILDREN)?;
            let mut out = Vec::new();
            for row in children.range::<&[u8; 40]>(&key40(&id.0, 0)..=&key40(&id.0, u64::MAX))? {
                let (_, child) = row?;
                out.extend(child.value().first_chunk::<32>().copied().map(CommitId));
            }
            Ok(out)
        })
    }

    /// The commits whose id begins with these hexadecimal digits, at most `limit`.
    pub fn find_commits(&self, hex_prefix: &str, limit: usize) -> Result<Vec<CommitId>> {
        let Some((low, high)) = prefix_range(hex_prefix) else {
            return Ok(Vec::new());
        };
        self.core.index.read(|tx| {
            let commits = tx.open_table(tables::COMMITS)?;
            let mut out = Vec::new();
            for row in commits.range::<&[u8; 32]>(&low..=&high)?.take(limit) {
                out.push(CommitId(*row?.0.value()));
            }
            Ok(out)
        })
    }

    /// The newest commit not later than `t`.
    pub fn commit_at(&self, t: Time) -> Result<Option<CommitId>> {
        self.core.index.read(|tx| {
            let times = tx.open_table(tables::TIMES)?;
            let last = times
                .range::<&[u8; 16]>(..=&time_key(t.0, u64::MAX))?
                .next_back();
            Ok(match last {
                None => None,
                Some(row) => Some(CommitId(*row?.1.value())),
            })
        })
    }

    /// Times and owners of the paths that a commit changed.
    pub fn attrs(&self, id: CommitId) -> Result<Vec<Attr>> {
        let lookup = || {
            self.core.index.read(|tx| {
                let attrs = tx.open_table(tables::ATTRS)?;
                Ok(attrs.get(&id.0)?.map(|p| Place(p.value())))
            })
        };
        let Some(mut place) = lookup()? else {
            return Ok(Vec::new());
        };
        // Packs are rewritten while they are read.
        let raw = loop {
            let read = self.core.packs.read(place, 4096);
            match read {
                Ok((header, raw)) if header.kind == Kind::Attrs as u8 && header.id == id.0 => {
                    break raw;
                }
                read => match lookup()? {
                    Some(now) if now != place => place = now,
                    _ => {
                        return Err(read.err().unwrap_or_else(|| Error::Damaged {
                            path: self.core.packs.path(place.pack()),
                            offset: place.offset(),
                            what: "another record than the index says".to_owned(),
                        }));
                    }
                },
            }
        };
        commit_code::decode_attrs(&raw).map_err(|bad| Error::Damaged {
            path: self.core.packs.path(place.pack()),
            offset: place.offset(),
            what: bad.0.to_owned(),
        })
    }

    /// What commits made of a path, newest first, before the commit of sequence number `before_seq`.
    pub fn path_history(
        &self,
        path: &RepoPath,
        before_seq: Option<u64>,
        limit: usize,
    ) -> Result<Vec<PathVersion>> {
        let first = match before_seq {
            None => u64::MAX,
            Some(0) => return Ok(Vec::new()),
            Some(seq) => seq - 1,
        };
        let low = path_key(path.as_bytes(), first);
        let high = path_key(path.as_bytes(), 0);
        self.core.index.read(|tx| {
            let paths = tx.open_table(tables::PATHS)?;
            let mut out = Vec::new();
            for row in paths.range(low.as_slice()..=high.as_slice())?.take(limit) {
                let (key, value) = row?;
                let seq = seq_of_path(key.value());
                out.push(path_version(seq, value.value()).map_err(corrupt)?);
            }
            Ok(out)
        })
    }

    /// Keeps derived figures of a commit, in the index only.
    pub fn put_stats(&self, c: CommitId, s: &CommitStats) -> Result<()> {
        let mut value = [0; 16];
        for (to, n) in value
            .chunks_exact_mut(4)
            .zip([s.files, s.added, s.removed, s.binary])
        {
            to.copy_from_slice(&n.to_le_bytes());
        }
        let writer = self.core.writer();
        self.core.ready_with(&writer)?;
        self.core.index.write(false, |tx| {
            tx.open_table(tables::STATS)?.insert(&c.0, &value)?;
            Ok(())
        })
    }

    /// Derived figures of a commit, if they are known.
    pub fn stats(&self, c: CommitId) -> Result<Option<CommitStats>> {
        self.core.index.read(|tx| {
            let stats = tx.open_table(tables::STATS)?;
            stats
                .get(&c.0)?
                .map(|value| stats_of(value.value()))
                .transpose()
        })
    }

    /// A number that is another one whenever a ref has moved, also among stores: what was read of the refs before is still
    /// so while it is the same.
    #[must_use]
    pub fn refs_version(&self) -> u64 {
        self.core.refs_version()
    }
}

pub(super) fn stats_of(value: &[u8; 16]) -> Result<CommitStats, redb::Error> {
    let mut r = In::new(value);
    let mut next = || r.u32().map_err(corrupt);
    Ok(CommitStats {
        files: next()?,
        added: next()?,
        removed: next()?,
        binary: next()?,
    })
}

/// The sequence number at the end of a path's key.
pub(super) fn seq_of_path(key: &[u8]) -> u64 {
    key.last_chunk::<8>().map_or(0, |b| !u64::from_be_bytes(*b))
}

pub(super) fn path_version(seq: u64, bytes: &[u8]) -> Result<PathVersion, Bad> {
    let mut r = In::new(bytes);
    Ok(PathVersion {
        seq,
        commit: CommitId(r.id()?),
        entry: match r.u8()? {
            0 => None,
            _ => Some(tree_code::decode_entry(&mut r)?),
        },
    })
}

/// The lowest and highest id with these leading digits; `None` if they are not up to 64 hexadecimal digits.
fn prefix_range(hex: &str) -> Option<([u8; 32], [u8; 32])> {
    if hex.len() > 64 {
        return None;
    }
    let (mut low, mut high) = ([0; 32], [0xff; 32]);
    for (i, c) in hex.chars().enumerate() {
        let digit = u8::try_from(c.to_digit(16)?).ok()?;
        let shift = if i % 2 == 0 { 4 } else { 0 };
        let (l, h) = (low.get_mut(i / 2)?, high.get_mut(i / 2)?);
        *l |= digit << shift;
        *h &= !(0xf << shift) | (digit << shift);
    }
    Some((low, high))
}
