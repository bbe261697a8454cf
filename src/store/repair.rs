//! What can be saved of a damaged store: records that the index still has go back to their place in the packs, contents
//! that somebody else still has are stored again, and what is left is written down as lost, so that all else is sound.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use redb::ReadableTable;

use crate::model::{BlobId, CommitId, Kind as EntryKind, OpId, RepoPath, Time};

use super::error::{Error, Result};
use super::query::{PathVersion, corrupt, path_version, seq_of_path};
use super::record::{self, GROUPED, Kind, Place};
use super::rewrite::{Insert, Rewrite};
use super::tables::{self, object_key};
use super::tomb::{Gone, Tomb, Why};
use super::verify::Seen;
use super::{Store, commit_code, op_code};

/// Gives a content that the store lost, if it still exists anywhere: the id, and the paths where it was.
pub type Spare<'a> = &'a dyn Fn(BlobId, &[RepoPath]) -> Option<Vec<u8>>;

/// What a repair did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Packs that were written anew without their damaged spots.
    pub packs: u64,
    /// Records of the graph that came back from the index.
    pub records: u64,
    /// Contents that came back from elsewhere.
    pub contents: u64,
    /// What is lost, in words.
    pub lost: Vec<String>,
}

impl Store {
    /// Saves what can be saved, and makes the index anew.
    pub fn repair(&self, spare: Spare<'_>) -> Result<Repaired> {
        let mut out = Repaired::default();
        {
            let writer = self.core.writer();
            self.core.index_objects(&writer)?;
            let end = self.core.packs.flush(|_| {})?;
            let seen = self.look_through(end)?;
            let saved = self.saved(&seen)?;
            out.records = saved.count();
            let mut packs: BTreeSet<u32> = seen.spots.iter().map(|s| s.place.pack()).collect();
            packs.extend(seen.bad.iter().map(|p| p.pack()));
            packs.extend(saved.before.keys().map(|p| p.pack()));
            if packs.contains(&end.pack()) {
                self.core.packs.seal_tail()?;
            }
            let mut staged = Vec::new();
            for pack in packs {
                if !self.core.packs.path(pack).exists() {
                    continue;
                }
                let before = saved
                    .before
                    .range(Place::new(pack, 0)..Place::new(pack + 1, 0))
                    .map(|(place, records)| (*place, records.clone()))
                    .collect();
                staged.push(self.core.stage(&Rewrite {
                    pack,
                    keep: &|_, place| !seen.bad.contains(&place),
                    before: &before,
                })?);
            }
            out.packs = staged.len() as u64;
            if !staged.is_empty() {
                self.core.swap(&writer, staged, &|_| {})?;
            }
            if !saved.behind.is_empty() {
                let mut records: Vec<Vec<u8>> = saved
                    .behind
                    .iter()
                    .map(|i| record::encode(i.kind, GROUPED, &i.id, &i.raw))
                    .collect();
                self.core.packs.append_group(&mut records, |_| {})?;
                self.core.packs.sync()?;
            }
            self.core.remake(&writer)?;
        }
        self.forget_decoded();
        self.mourn(spare, &mut out)?;
        self.core.make_durable()?;
        Ok(out)
    }

    /// Makes the index anew from the packs alone.
    pub fn rebuild_index(&self) -> Result<()> {
        let writer = self.core.writer();
        self.core.remake(&writer)?;
        drop(writer);
        self.core.make_durable()
    }

    /// Contents from elsewhere; the rest is written down as lost.
    fn mourn(&self, spare: Spare<'_>, out: &mut Repaired) -> Result<()> {
        let missing = self.mark(&self.dropped()?, &[])?.missing;
        let mut gone = BTreeMap::new();
        let paths = self.paths_of(missing.iter().map(|(key, _)| *key))?;
        for (key, _) in missing {
            let Some(what) = Gone::of(&key) else { continue };
            if self.tomb(what)?.is_some() {
                continue;
            }
            let Gone::Blob(id) = what else {
                gone.insert(what, String::new());
                continue;
            };
            let at = paths.get(&id.0).map_or(&[][..], Vec::as_slice);
            let found = spare(id, at).filter(|content| BlobId::of(content) == id);
            match found {
                Some(content) => {
                    self.put_blob(&content)?;
                    out.contents += 1;
                }
                None => {
                    let note = at.first().map_or_else(String::new, ToString::to_string);
                    gone.insert(what, note);
                }
            }
        }
        let end = self.core.packs.flush(|_| {})?;
        for what in self.look_through(end)?.dangling() {
            gone.insert(what, String::new());
        }
        let time = Time::now();
        let tombs: Vec<Tomb> = gone
            .into_iter()
            .map(|(gone, note)| Tomb {
                gone,
                why: Why::Lost,
                time,
                note,
            })
            .collect();
        for tomb in &tombs {
            let [_, id @ ..] = tomb.gone.key();
            let at = match tomb.note.as_str() {
                "" => String::new(),
                path => format!(" ({path})"),
            };
            out.lost
                .push(format!("{} {}{at}", tomb.gone.word(), BlobId(id).to_hex()));
        }
        self.bury(&tombs, None)?;
        Ok(())
    }

    /// What the index has of the graph and the packs do not.
    fn saved(&self, seen: &Seen) -> Result<Saved> {
        let mut saved = Saved::default();
        let mut lacking: HashMap<[u8; 32], Place> = HashMap::new();
        self.core.index.read(|tx| {
            let nodes = tx.open_table(tables::NODES)?;
            // From the newest, so that the place of the next one that is there is known.
            let mut next = Place(u64::MAX);
            let mut lost = Vec::new();
            for row in nodes.iter()?.rev() {
                let (_, value) = row?;
                let (Some(id), Some(raw)) = (
                    value.value().first_chunk::<32>().copied(),
                    value.value().get(36..).map(<[u8]>::to_vec),
                ) else {
                    continue;
                };
                let at = seen.commits.get(&id).copied();
                if !seen.changes.contains(&id) {
                    // A commit without changes has no record of them either.
                    lacking.insert(id, next);
                }
                match at {
                    Some(at) => next = at,
                    None if commit_code::id_of(&raw) == CommitId(id) => lost.push((next, id, raw)),
                    None => {}
                }
            }
            for (next, id, raw) in lost.into_iter().rev() {
                // Before what is left of its own publication, too: what belongs to a commit comes after it.
                let wanted = seen.first_wanted(&object_key(Kind::Commit, &id));
                saved.put(next.min(wanted), Kind::Commit, id, raw);
            }
            let log = tx.open_table(tables::OPLOG)?;
            let mut next = Place(u64::MAX);
            let mut lost = Vec::new();
            for row in log.iter()?.rev() {
                let (_, value) = row?;
                let (Some(id), Some(raw)) = (
                    value.value().first_chunk::<32>().copied(),
                    value.value().get(32..).map(<[u8]>::to_vec),
                ) else {
                    continue;
                };
                match seen.ops.get(&id).copied() {
                    Some(at) => next = at,
                    None if op_code::id_of(&raw) == OpId(id) => lost.push((next, id, raw)),
                    None => {}
                }
            }
            for (next, id, raw) in lost.into_iter().rev() {
                saved.put(next, Kind::Operation, id, raw);
            }
            for row in tx.open_table(tables::STEPS)?.iter()? {
                let (key, value) = row?;
                let Some(id) = key.value().last_chunk::<32>().copied() else {
                    continue;
                };
                if !seen.newest.contains_key(&object_key(Kind::Step, &id)) {
                    saved.put(Place(u64::MAX), Kind::Step, id, value.value().to_vec());
                }
            }
            for row in tx.open_table(tables::LINKS)?.iter()? {
                let (key, value) = row?;
                let id = *key.value();
                if !seen.newest.contains_key(&object_key(Kind::Link, &id)) {
                    let raw = value.value().get(32..).unwrap_or_default().to_vec();
                    saved.put(Place(u64::MAX), Kind::Link, id, raw);
                }
            }
            for row in tx.open_table(tables::SESSIONS)?.iter()? {
                let (key, value) = row?;
                let id = *key.value();
                if !seen.newest.contains_key(&object_key(Kind::Session, &id)) {
                    saved.put(Place(u64::MAX), Kind::Session, id, value.value().to_vec());
                }
            }
            for row in tx.open_table(tables::TOMBS)?.iter()? {
                let (key, value) = row?;
                let [_, id @ ..] = *key.value();
                if !seen.tombs.contains_key(key.value()) {
                    saved.put(Place(u64::MAX), Kind::Tombstone, id, value.value().to_vec());
                }
            }
            Ok(())
        })?;
        self.saved_changes(&lacking, &mut saved)?;
        Ok(saved)
    }

    /// The changed paths of commits whose record of them is gone, from the history of each path.
    fn saved_changes(&self, lacking: &HashMap<[u8; 32], Place>, saved: &mut Saved) -> Result<()> {
        if lacking.is_empty() {
            return Ok(());
        }
        let mut of: HashMap<[u8; 32], Vec<commit_code::PathChange>> = HashMap::new();
        self.each_version(&mut |path, version| {
            if lacking.contains_key(&version.commit.0) {
                let change = (path.clone(), version.entry.clone());
                of.entry(version.commit.0).or_default().push(change);
            }
        })?;
        for (id, changes) in of {
            let next = lacking.get(&id).copied().unwrap_or(Place(u64::MAX));
            saved.put(
                next,
                Kind::Changes,
                id,
                commit_code::encode_changes(&changes),
            );
        }
        Ok(())
    }

    /// Every content that a commit brought to a path: path, the commit's number in the order of storing, the commit, the
    /// content.
    pub fn each_content(&self, f: &mut dyn FnMut(&RepoPath, u64, CommitId, BlobId)) -> Result<()> {
        self.each_version(&mut |path, version| {
            if let Some(EntryKind::File { blob, .. }) = version.entry.as_ref().map(|e| &e.kind) {
                f(path, version.seq, version.commit, *blob);
            }
        })
    }

    /// Removes an index that was set aside.
    pub fn drop_leftovers(&self) -> Result<()> {
        let aside = self.core.index.path().with_extension("redb.damaged");
        match std::fs::remove_file(&aside) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", &aside, e))
            }
            _ => Ok(()),
        }
    }

    /// Every version of every path that the index has.
    pub(crate) fn each_version(&self, f: &mut dyn FnMut(&RepoPath, &PathVersion)) -> Result<()> {
        self.core.index.read(|tx| {
            for row in tx.open_table(tables::PATHS)?.iter()? {
                let (key, value) = row?;
                let key = key.value();
                let Some(path) = key.len().checked_sub(9).and_then(|n| key.get(..n)) else {
                    continue;
                };
                let Ok(path) = RepoPath::new(path) else {
                    continue;
                };
                let version = path_version(seq_of_path(key), value.value()).map_err(corrupt)?;
                f(&path, &version);
            }
            Ok(())
        })
    }
}

/// Records that are put back.
#[derive(Default)]
struct Saved {
    /// By the place that they must come before.
    before: BTreeMap<Place, Vec<Insert>>,
    /// At the end.
    behind: Vec<Insert>,
    known: HashSet<(u8, [u8; 32])>,
}

impl Saved {
    fn put(&mut self, before: Place, kind: Kind, id: [u8; 32], raw: Vec<u8>) {
        if !self.known.insert((kind as u8, id)) {
            return;
        }
        let insert = Insert { kind, id, raw };
        if before == Place(u64::MAX) {
            self.behind.push(insert);
        } else {
            self.before.entry(before).or_default().push(insert);
        }
    }

    fn count(&self) -> u64 {
        self.known.len() as u64
    }
}
