//! Questions over the shape of the graph and over the history of single paths, without walking commits.
//!
//! First parents are found by pieces: along a line of the graph (see [`CommitNode::line`]) every commit follows the one
//! before it, so the first parents of a commit are, for some lines, all commits up to a certain one. A [`Lineage`] holds
//! these limits; it costs a look-up for each line that was parted from, not one for each commit. Whether the commit of
//! a path's version belongs to it is then one comparison.

use std::collections::HashMap;

use redb::{ReadTransaction, ReadableTable};

use crate::model::{CommitId, RepoPath};

use super::error::{Error, Result};
use super::query::{corrupt, node, path_version, seq_of_path};
use super::tables::{self, line_of, path_key};
use super::{CommitNode, PathVersion, Store};

/// A commit with its first parents, as far as they go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// For each line the newest commit that belongs to it.
    upto: HashMap<u32, u64>,
    /// The sequence number of the commit itself.
    newest: u64,
}

impl Lineage {
    /// Whether the commit of that line and number is the one, or a first parent.
    #[must_use]
    pub fn has(&self, line: u32, seq: u64) -> bool {
        self.upto.get(&line).is_some_and(|upto| seq <= *upto)
    }

    /// The sequence number of the newest of them.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// How many lines of the graph it goes along.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.upto.len()
    }
}

/// The line of a commit, by its number.
fn line_at(
    nodes: &impl ReadableTable<u64, &'static [u8]>,
    seq: u64,
) -> Result<Option<u32>, redb::Error> {
    Ok(nodes.get(seq)?.and_then(|n| line_of(n.value())))
}

fn lineage(tx: &ReadTransaction, seq: u64) -> Result<Lineage, redb::Error> {
    let nodes = tx.open_table(tables::NODES)?;
    let lines = tx.open_table(tables::LINES)?;
    let mut upto = HashMap::new();
    let mut at = line_at(&nodes, seq)?.map(|line| (line, seq));
    while let Some((line, last)) = at {
        // A line that comes twice would be a mistake in the index: it must not keep us for ever.
        if upto.insert(line, last).is_some() {
            break;
        }
        let Some(value) = lines.get(u64::from(line))? else {
            break;
        };
        let mut numbers = value.value().chunks_exact(8).map(|n| {
            n.first_chunk::<8>()
                .map_or(0, |n: &[u8; 8]| u64::from_le_bytes(*n))
        });
        let (_first, parent, of) = (numbers.next(), numbers.next(), numbers.next());
        at = match (parent, of.and_then(|n| u32::try_from(n).ok())) {
            (Some(parent), Some(of)) if parent > 0 => Some((of, parent)),
            _ => None,
        };
    }
    Ok(Lineage { upto, newest: seq })
}

impl Store {
    /// The commits that nothing follows, newest first, before sequence number `before`.
    pub fn leaves(&self, before: Option<u64>, limit: usize) -> Result<Vec<CommitNode>> {
        self.core.index.read(|tx| {
            let leaves = tx.open_table(tables::LEAVES)?;
            let nodes = tx.open_table(tables::NODES)?;
            let mut out = Vec::new();
            for row in leaves
                .range(..before.unwrap_or(u64::MAX))?
                .rev()
                .take(limit)
            {
                let seq = row?.0.value();
                if let Some(value) = nodes.get(seq)? {
                    out.push(node(seq, value.value())?);
                }
            }
            Ok(out)
        })
    }

    /// A commit and its first parents, newest first, at most `limit`.
    pub fn first_parents(&self, id: CommitId, limit: usize) -> Result<Vec<CommitNode>> {
        self.core.index.read(|tx| {
            let commits = tx.open_table(tables::COMMITS)?;
            let nodes = tx.open_table(tables::NODES)?;
            let mut out: Vec<CommitNode> = Vec::new();
            let mut next = Some(id);
            while let Some(id) = next
                && out.len() < limit
            {
                let Some(seq) = commits.get(&id.0)?.map(|s| s.value()) else {
                    break;
                };
                let Some(value) = nodes.get(seq)? else { break };
                let found = node(seq, value.value())?;
                next = found.commit.parents.first().copied();
                out.push(found);
            }
            Ok(out)
        })
    }

    /// A commit with its first parents, to be asked about.
    pub fn lineage(&self, id: CommitId) -> Result<Lineage> {
        let seq = self.seq(id)?.ok_or_else(|| Error::NotFound {
            what: "commit",
            id: id.to_hex(),
        })?;
        self.core.index.read(|tx| lineage(tx, seq))
    }

    /// What the commits of a lineage made of a path, newest first, before sequence number `before`.
    pub fn path_versions(
        &self,
        path: &RepoPath,
        of: &Lineage,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<PathVersion>> {
        let first = before.map_or(of.newest, |b| b.saturating_sub(1).min(of.newest));
        if first == 0 {
            return Ok(Vec::new());
        }
        self.core.index.read(|tx| {
            let nodes = tx.open_table(tables::NODES)?;
            let paths = tx.open_table(tables::PATHS)?;
            let (low, high) = (
                path_key(path.as_bytes(), first),
                path_key(path.as_bytes(), 0),
            );
            let mut out = Vec::new();
            for row in paths.range(low.as_slice()..=high.as_slice())? {
                if out.len() >= limit {
                    break;
                }
                let (key, value) = row?;
                let seq = seq_of_path(key.value());
                if line_at(&nodes, seq)?.is_some_and(|line| of.has(line, seq)) {
                    out.push(path_version(seq, value.value()).map_err(corrupt)?);
                }
            }
            Ok(out)
        })
    }

    /// The newest commit of a lineage that changed the path, or something below it; one for each path, in their order.
    pub fn last_changes(&self, paths: &[RepoPath], of: &Lineage) -> Result<Vec<Option<CommitId>>> {
        self.core.index.read(|tx| {
            let nodes = tx.open_table(tables::NODES)?;
            let versions = tx.open_table(tables::PATHS)?;
            let dirs = tx.open_table(tables::DIRS)?;
            let mut out = Vec::with_capacity(paths.len());
            for path in paths {
                let low = path_key(path.as_bytes(), of.newest);
                let high = path_key(path.as_bytes(), 0);
                let mut newest = 0;
                for row in versions.range(low.as_slice()..=high.as_slice())? {
                    let seq = seq_of_path(row?.0.value());
                    if line_at(&nodes, seq)?.is_some_and(|line| of.has(line, seq)) {
                        newest = seq;
                        break;
                    }
                }
                for row in dirs.range(low.as_slice()..=high.as_slice())? {
                    let seq = seq_of_path(row?.0.value());
                    if seq <= newest {
                        break;
                    }
                    if line_at(&nodes, seq)?.is_some_and(|line| of.has(line, seq)) {
                        newest = seq;
                        break;
                    }
                }
                let id = nodes
                    .get(newest)?
                    .and_then(|n| n.value().first_chunk::<32>().copied());
                out.push(id.map(CommitId));
            }
            Ok(out)
        })
    }

    /// The commits that changed the path or something below it, newest first, before sequence number `before`: of a
    /// lineage, or all of them.
    pub fn touched(
        &self,
        path: &RepoPath,
        of: Option<&Lineage>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<CommitNode>> {
        let newest = of.map_or(u64::MAX, Lineage::newest);
        let first = before.map_or(newest, |b| b.saturating_sub(1).min(newest));
        if first == 0 {
            return Ok(Vec::new());
        }
        self.core.index.read(|tx| {
            let nodes = tx.open_table(tables::NODES)?;
            let versions = tx.open_table(tables::PATHS)?;
            let dirs = tx.open_table(tables::DIRS)?;
            let (low, high) = (
                path_key(path.as_bytes(), first),
                path_key(path.as_bytes(), 0),
            );
            let mut a = versions.range(low.as_slice()..=high.as_slice())?;
            let mut b = dirs.range(low.as_slice()..=high.as_slice())?;
            let mut of_path = || -> Result<Option<u64>, redb::Error> {
                Ok(a.next().transpose()?.map(|(k, _)| seq_of_path(k.value())))
            };
            let mut of_dir = || -> Result<Option<u64>, redb::Error> {
                Ok(b.next().transpose()?.map(|(k, _)| seq_of_path(k.value())))
            };
            let (mut x, mut y) = (of_path()?, of_dir()?);
            let mut out = Vec::new();
            while let Some(seq) = x.max(y)
                && out.len() < limit
            {
                if x == Some(seq) {
                    x = of_path()?;
                }
                if y == Some(seq) {
                    y = of_dir()?;
                }
                let Some(value) = nodes.get(seq)? else {
                    continue;
                };
                let bytes = value.value();
                let wanted = of.is_none_or(|of| line_of(bytes).is_some_and(|l| of.has(l, seq)));
                if wanted {
                    out.push(node(seq, bytes)?);
                }
            }
            Ok(out)
        })
    }
}
