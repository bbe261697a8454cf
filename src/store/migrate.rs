//! Tables of an earlier schema brought up to the present one, in one transaction: either all of it is there afterwards, or
//! the index is as it was. What is derived from other tables is made from those, so that the packs need not be read again.

use std::collections::BTreeSet;

use redb::{ReadableTable, WriteTransaction};

use super::commit_code;
use super::query::seq_of_path;
use super::tables::{self, Tables, add_dirs, key40, line_of, line_value, path_key};

/// Brings the tables of schema `older` up to this version's.
pub(super) fn from(tx: &WriteTransaction, older: u64) -> Result<(), redb::Error> {
    if older < 2 {
        lines_and_leaves(tx)?;
        directories(tx)?;
    }
    // Schema 3 has tombstones, of which there were none before: opening the tables makes that one.
    let mut t = Tables::open(tx)?;
    t.meta.insert("schema", tables::SCHEMA)?;
    Ok(())
}

/// Schema 2: which commits are leaves, and where the lines of the graph begin.
fn lines_and_leaves(tx: &WriteTransaction) -> Result<(), redb::Error> {
    let commits = tx.open_table(tables::COMMITS)?;
    let nodes = tx.open_table(tables::NODES)?;
    let children = tx.open_table(tables::CHILDREN)?;
    let mut leaves = tx.open_table(tables::LEAVES)?;
    let mut lines = tx.open_table(tables::LINES)?;
    let mut known = BTreeSet::new();
    for row in nodes.iter()? {
        let (seq, node) = row?;
        let (seq, node) = (seq.value(), node.value());
        let (Some(id), Some(line)) = (node.first_chunk::<32>(), line_of(node)) else {
            continue;
        };
        if children
            .range::<&[u8; 40]>(&key40(id, 0)..=&key40(id, u64::MAX))?
            .next()
            .is_none()
        {
            leaves.insert(seq, id)?;
        }
        if !known.insert(line) {
            continue;
        }
        let commit = commit_code::decode(node.get(36..).unwrap_or_default()).ok();
        let parent = commit.as_ref().and_then(|c| c.parents.first());
        let mut from = None;
        if let Some(parent) = parent
            && let Some(at) = commits.get(&parent.0)?.map(|s| s.value())
            && let Some(node) = nodes.get(at)?
        {
            from = line_of(node.value()).map(|line| (at, line));
        }
        lines.insert(u64::from(line), &line_value(seq, from))?;
    }
    Ok(())
}

/// Schema 2: which commits changed something in a directory.
fn directories(tx: &WriteTransaction) -> Result<(), redb::Error> {
    let paths = tx.open_table(tables::PATHS)?;
    let mut dirs = tx.open_table(tables::DIRS)?;
    let mut of_path = BTreeSet::new();
    for row in paths.iter()? {
        let key = row?.0;
        let key = key.value();
        let seq = seq_of_path(key);
        let Some(path) = key.len().checked_sub(9).and_then(|n| key.get(..n)) else {
            continue;
        };
        add_dirs(path, &mut of_path);
        while let Some(dir) = of_path.pop_first() {
            dirs.insert(path_key(&dir, seq).as_slice(), ())?;
        }
    }
    Ok(())
}
