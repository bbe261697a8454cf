//! Which objects are needed: everything that can be reached from the commits whose content is kept, from the texts of
//! steps, and from ids that others hold.

use std::collections::HashSet;

use redb::ReadableTable;

use crate::model::{BlobId, Commit, CommitId, Kind as EntryKind, Step, Tree, TreeId};

use super::error::{Error, Result};
use super::object::decode_list;
use super::record::Kind;
use super::tables::{self, Key, object_key};
use super::tomb::Gone;
use super::{Store, tree_code};

/// Commits read at a time.
const PAGE: usize = 1_000;

/// Objects that are needed, by half of their id: one too many may be kept, with a chance that is none.
#[derive(Default)]
pub(crate) struct Live {
    keys: HashSet<u128>,
    /// Records that others are built on. They stay, but what they hold as directories is needed only where somebody needs
    /// it: kept apart, so that they are walked when they are met as what they are.
    bases: HashSet<u128>,
    /// What is not needed, whoever refers to it.
    but: HashSet<Key>,
    /// What is needed and not there, with the commit (or nothing, for a step's text) that needs it.
    pub missing: Vec<(Key, Option<CommitId>)>,
}

fn short(key: &Key) -> u128 {
    let bytes = key[1..].first_chunk::<16>().copied().unwrap_or_default();
    u128::from_le_bytes(bytes) ^ u128::from(key[0])
}

impl Live {
    pub fn has(&self, key: &Key) -> bool {
        let key = short(key);
        self.keys.contains(&key) || self.bases.contains(&key)
    }

    fn add(&mut self, key: &Key) -> bool {
        self.keys.insert(short(key))
    }

    fn add_base(&mut self, key: &Key) {
        self.bases.insert(short(key));
    }

    pub fn len(&self) -> usize {
        self.keys.union(&self.bases).count()
    }
}

/// Every run of 64 hexadecimal digits in a text, as an id. Who holds ids in files of their own gives them in so.
#[must_use]
pub fn ids_in(text: &[u8]) -> Vec<[u8; 32]> {
    let mut out = Vec::new();
    for run in text.split(|b| !b.is_ascii_hexdigit()) {
        if run.len() == 64
            && let Ok(text) = std::str::from_utf8(run)
            && let Ok(hash) = blake3::Hash::from_hex(text)
        {
            out.push(*hash.as_bytes());
        }
    }
    out
}

impl Store {
    /// Hands on every commit, newest first.
    pub(crate) fn each_commit(
        &self,
        f: &mut dyn FnMut(CommitId, u64, &Commit) -> Result<()>,
    ) -> Result<()> {
        let mut before = None;
        loop {
            let page = self.commits(before, PAGE)?;
            for node in &page {
                f(node.id, node.seq, &node.commit)?;
            }
            match page.last() {
                Some(last) => before = Some(last.seq),
                None => return Ok(()),
            }
        }
    }

    /// The commits whose content is not kept any more.
    pub fn dropped(&self) -> Result<HashSet<CommitId>> {
        Ok(self
            .tombs()?
            .into_iter()
            .filter_map(|t| match t.gone {
                Gone::Commit(id) => Some(id),
                _ => None,
            })
            .collect())
    }

    /// Marks what is needed when the commits in `without` are not, and `extra` ids are, whatever they are of.
    pub(crate) fn mark(&self, without: &HashSet<CommitId>, extra: &[[u8; 32]]) -> Result<Live> {
        self.mark_but(without, extra, &HashSet::new())
    }

    /// The same when some contents are to go, whoever refers to them.
    pub(crate) fn mark_but(
        &self,
        without: &HashSet<CommitId>,
        extra: &[[u8; 32]],
        but: &HashSet<Key>,
    ) -> Result<Live> {
        let blobs = but.iter().filter(|k| k[0] == Kind::Blob as u8);
        let mut live = Live {
            but: blobs.copied().collect(),
            ..Live::default()
        };
        live.add(&object_key(Kind::Tree, &self.empty_tree().0));
        self.each_commit(&mut |id, _, commit| {
            if !without.contains(&id) {
                self.mark_commit(id, commit, &mut live)?;
            }
            Ok(())
        })?;
        self.mark_texts(&mut live)?;
        for id in extra {
            if self.core.find(&object_key(Kind::Blob, id))?.is_some() {
                self.mark_blob(BlobId(*id), None, &mut live)?;
            }
            if self.core.find(&object_key(Kind::Tree, id))?.is_some() {
                self.mark_tree(TreeId(*id), None, &mut live)?;
            }
        }
        Ok(live)
    }

    pub(crate) fn mark_commit(&self, id: CommitId, commit: &Commit, live: &mut Live) -> Result<()> {
        for tree in [Some(commit.tree), commit.git]
            .into_iter()
            .flatten()
            .chain(commit.conflict.iter().copied())
        {
            self.mark_tree(tree, Some(id), live)?;
        }
        if let Some(state) = commit.state {
            self.mark_blob(state, Some(id), live)?;
        }
        for value in commit.meta.values() {
            for blob in ids_in(value.as_bytes()) {
                if self.core.find(&object_key(Kind::Blob, &blob))?.is_some() {
                    self.mark_blob(BlobId(blob), Some(id), live)?;
                }
            }
        }
        Ok(())
    }

    /// The texts of steps and the files that they were read from.
    fn mark_texts(&self, live: &mut Live) -> Result<()> {
        let mut wanted = Vec::new();
        self.core.index.read(|tx| {
            for row in tx.open_table(tables::STEPS)?.iter()? {
                let (_, value) = row?;
                if let Ok(step) = serde_json::from_slice::<Step>(value.value()) {
                    wanted.extend(texts_of(&step));
                }
            }
            Ok(())
        })?;
        for blob in wanted {
            self.mark_blob(blob, None, live)?;
        }
        Ok(())
    }

    fn mark_blob(&self, id: BlobId, by: Option<CommitId>, live: &mut Live) -> Result<()> {
        let key = object_key(Kind::Blob, &id.0);
        if live.but.contains(&key) || !live.add(&key) {
            return Ok(());
        }
        let Some(loc) = self.core.find(&key)? else {
            live.missing.push((key, by));
            return Ok(());
        };
        if !loc.listed {
            return Ok(());
        }
        let parts = match self
            .core
            .fetch(&key, loc, 4096)
            .map(|(_, raw)| decode_list(&raw))
        {
            Ok(Ok((_, parts))) => parts,
            // What is damaged is `verify`'s to tell.
            Ok(Err(_)) | Err(Error::Damaged { .. }) => return Ok(()),
            Err(e) => return Err(e),
        };
        for part in parts {
            let key = object_key(Kind::Chunk, &part.id);
            // Without a part the whole cannot be read.
            if live.add(&key) && self.core.find(&key)?.is_none() {
                live.missing.push((object_key(Kind::Blob, &id.0), by));
            }
        }
        Ok(())
    }

    pub(crate) fn mark_tree(
        &self,
        id: TreeId,
        by: Option<CommitId>,
        live: &mut Live,
    ) -> Result<()> {
        let mut todo = vec![id];
        while let Some(id) = todo.pop() {
            let key = object_key(Kind::Tree, &id.0);
            if !live.add(&key) {
                continue;
            }
            if self.core.find(&key)?.is_none() {
                live.missing.push((key, by));
                continue;
            }
            let tree = match self.tree_once(id, live) {
                Ok(tree) => tree,
                Err(Error::Damaged { .. }) => continue,
                Err(e) => return Err(e),
            };
            for entry in &tree.entries {
                match entry.kind {
                    EntryKind::Dir(below) => todo.push(below),
                    EntryKind::File { blob, .. } => self.mark_blob(blob, by, live)?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// A directory, past the cache: a walk over all would empty it. What its record builds on is needed too.
    fn tree_once(&self, id: TreeId, live: &mut Live) -> Result<Tree> {
        let (loc, raw, base) = self.tree_bytes(id)?;
        if let Some(base) = base {
            live.add_base(&object_key(Kind::Tree, &base.0));
        }
        tree_code::decode(&raw).map_err(|bad| self.wrong(loc.place, bad.0))
    }
}

/// The texts of a step, and what they were read from.
pub(crate) fn texts_of(step: &Step) -> impl Iterator<Item = BlobId> {
    let sources: Vec<BlobId> = step.sources.iter().filter_map(|s| s.blob).collect();
    [step.body, step.output]
        .into_iter()
        .flatten()
        .chain(sources)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::model::Entry;

    #[test]
    fn a_base_stays_and_is_still_walked_when_it_is_needed_itself() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let blob = store.put_blob(b"below the base").unwrap();
        let tree = Tree {
            entries: vec![Entry {
                name: b"f".to_vec(),
                kind: EntryKind::File { blob, size: 14 },
                mode: 0o644,
            }],
        };
        let id = store.put_tree(&tree).unwrap();
        let (tree, blob) = (
            object_key(Kind::Tree, &id.0),
            object_key(Kind::Blob, &blob.0),
        );
        let mut live = Live::default();
        live.add_base(&tree);
        assert!(live.has(&tree) && !live.has(&blob));
        store.mark_tree(id, None, &mut live).unwrap();
        assert!(live.has(&tree) && live.has(&blob));
        assert_eq!(live.len(), 2);
    }

    #[test]
    fn ids_are_found_in_any_text() {
        let id = BlobId::of(b"x");
        let text = format!("{{\"tree\":\"{}\",\"short\":\"abcd\"}}", id.to_hex());
        assert_eq!(ids_in(text.as_bytes()), vec![id.0]);
        assert!(ids_in("a".repeat(63).as_bytes()).is_empty());
        assert!(ids_in("a".repeat(128).as_bytes()).is_empty());
        assert!(ids_in(&[0xff; 200]).is_empty());
    }
}
