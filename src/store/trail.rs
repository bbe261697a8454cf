//! The portable file: one state with all that led to it, in one piece with a hash over it.
//!
//! ```text
//! trail = "backtrail trail 1\n" manifest:bytes pack hash:[32]
//! ```
//!
//! `manifest` is JSON, for people and lists; `pack` is what would be the only pack of a store that holds just this, its
//! places counted from its first byte; `hash` is blake3 in key-derivation mode with the context `backtrail 2026 trail`
//! over everything before it. So a trail is opened by copying its pack into an empty store, and everything that can be
//! asked of a store can be asked of it.
//!
//! A trail comes from somebody else. It is looked through before anything of it is used: kinds, lengths, the order of
//! directories (what is in one comes before it, so that none can hold itself or be deeper than a path can be).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::model::{
    BlobId, CommitId, Kind as EntryKind, OpKind, Operation, RefChange, RefTarget, SessionId, Step,
    StepId, Time, TreeId,
};

use super::error::{Error, Result};
use super::open;
use super::pack;
use super::publish::json;
use super::record::{self, GROUPED, Kind, LISTED, Place};
use super::rewrite::Writer;
use super::scan::{Scan, Unit};
use super::tables::{Key, object_key};
use super::tomb::{self, Gone, Why};
use super::{Store, commit_code, op_code, tree_code};

/// What a trail begins with.
pub const MAGIC: &[u8] = b"backtrail trail 1\n";
/// What any version's begins with.
const ANY: &[u8] = b"backtrail trail ";
const CONTEXT: &str = "backtrail 2026 trail";
/// Longest manifest.
const MANIFEST: u32 = 1 << 20;
/// A content's record is never longer than this, decoded.
const PART: u64 = 4 << 20;
/// Nor any other record than this.
const MOST: u64 = 64 << 20;
/// No path has more parts.
const DEEP: u32 = 255;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Length of the file.
    pub bytes: u64,
    /// Commits in it.
    pub commits: u64,
    /// Steps in it.
    pub steps: u64,
    /// The hash at its end.
    pub hash: BlobId,
}

/// Whether a file begins like a trail.
#[must_use]
pub fn is_trail(path: &Path) -> bool {
    let mut head = [0; ANY.len()];
    File::open(path).is_ok_and(|mut f| {
        f.metadata().is_ok_and(|m| m.is_file()) && f.read_exact(&mut head).is_ok() && head == *ANY
    })
}

impl Store {
    /// Writes the state `tip` with its lineage, their contents and steps. `refs` are names that go along.
    pub fn export_trail(
        &self,
        tip: CommitId,
        refs: Vec<(String, RefTarget)>,
        manifest: &[u8],
        mut file: File,
        path: &Path,
    ) -> Result<Exported> {
        let io = |what: &'static str| move |e| Error::io(what, path, e);
        file.write_all(MAGIC)
            .and_then(|()| file.write_all(&(manifest.len() as u32).to_le_bytes()))
            .and_then(|()| file.write_all(manifest))
            .map_err(io("write"))?;
        let copy = file.try_clone().map_err(io("write"))?;
        let mut to = Copier {
            store: self,
            to: Writer::new(BufWriter::with_capacity(1 << 20, copy), path, 1),
            known: HashSet::new(),
            tombs: BTreeMap::new(),
        };
        to.known
            .insert(object_key(Kind::Tree, &self.empty_tree().0));
        let mut lineage: BTreeMap<u64, CommitId> = BTreeMap::new();
        let mut inside: HashSet<CommitId> = HashSet::from([tip]);
        let mut todo = vec![tip];
        while let Some(id) = todo.pop() {
            let node = self.commit_node(id)?;
            lineage.insert(node.seq, id);
            let parents = node.commit.parents.iter();
            todo.extend(parents.copied().filter(|p| inside.insert(*p)));
        }
        let mut out = Exported {
            bytes: 0,
            commits: lineage.len() as u64,
            steps: 0,
            hash: BlobId([0; 32]),
        };
        let changes = self.changes_of(&inside)?;
        for id in lineage.values() {
            to.commit(*id, changes.get(id))?;
        }
        out.steps = self.export_steps(&inside, &mut to)?;
        let named = |target: &RefTarget| match target {
            RefTarget::Commit(id) => inside.contains(id),
            RefTarget::Step(_) => false,
            RefTarget::Branch(_) => true,
        };
        to.end(refs.into_iter().filter(|(_, t)| named(t)).collect())?;
        let mut writer = to.to.finish()?;
        writer.flush().map_err(io("write"))?;
        drop(writer);
        file.seek(SeekFrom::Start(0)).map_err(io("read"))?;
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        let bytes = std::io::copy(&mut BufReader::with_capacity(1 << 20, &file), &mut hasher)
            .map_err(io("read"))?;
        let hash = hasher.finalize();
        file.write_all(hash.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(io("write"))?;
        out.bytes = bytes + 32;
        out.hash = hash.into();
        Ok(out)
    }

    fn export_steps(&self, inside: &HashSet<CommitId>, to: &mut Copier<'_>) -> Result<u64> {
        let mut linked: HashSet<StepId> = HashSet::new();
        let mut sessions: HashSet<SessionId> = HashSet::new();
        let mut links = Vec::new();
        let mut last = None;
        for id in inside {
            sessions.extend(self.commit(*id)?.session);
            if let Some(link) = self.link_of_commit(*id)?
                && let Some(step) = self.step(link.step)?
            {
                last = last.max(Some(step.ordinal));
                sessions.extend(step.session);
                linked.insert(step.id);
                links.push(link);
            }
        }
        for session in &sessions {
            if let Some(session) = self.session(*session)? {
                to.loose(Kind::Session, &session.id.0, &json("a session", &session)?)?;
            }
        }
        let mut count = 0;
        let mut after = None;
        loop {
            let page = self.steps_after(after, 1_000)?;
            for step in &page {
                let of_session = step.session.is_some_and(|s| sessions.contains(&s));
                let wanted = linked.contains(&step.id)
                    || (of_session && last.is_some_and(|last| step.ordinal <= last));
                if wanted {
                    to.step(step, inside)?;
                    count += 1;
                }
            }
            match page.last() {
                Some(last) => after = Some(last.ordinal),
                None => break,
            }
        }
        for link in links {
            to.loose(Kind::Link, &link.commit.0, &json("a link", &link)?)?;
        }
        Ok(count)
    }

    /// The changed paths of these commits, from the history of each path.
    pub fn changes_of(
        &self,
        of: &HashSet<CommitId>,
    ) -> Result<HashMap<CommitId, Vec<commit_code::PathChange>>> {
        let mut out: HashMap<CommitId, Vec<commit_code::PathChange>> = HashMap::new();
        self.each_version(&mut |path, version| {
            if of.contains(&version.commit) {
                let change = (path.clone(), version.entry.clone());
                out.entry(version.commit).or_default().push(change);
            }
        })?;
        Ok(out)
    }
}

/// Writes records of a store into a trail.
struct Copier<'a> {
    store: &'a Store,
    to: Writer,
    known: HashSet<Key>,
    tombs: BTreeMap<Gone, tomb::Tomb>,
}

impl Copier<'_> {
    fn loose(&mut self, kind: Kind, id: &[u8; 32], raw: &[u8]) -> Result<()> {
        self.to.write(record::encode(kind, 0, id, raw))?;
        Ok(())
    }

    /// A record as it lies.
    fn same(&mut self, key: &Key) -> Result<bool> {
        let Some((header, stored)) = self.store.core.as_stored(key)? else {
            return Ok(false);
        };
        self.to.write(record::assemble(&header, &stored))?;
        Ok(true)
    }

    fn is_gone(&mut self, gone: Gone) -> Result<bool> {
        let Some(tomb) = self.store.tomb(gone)? else {
            return Ok(false);
        };
        self.tombs.insert(gone, tomb);
        Ok(true)
    }

    fn blob(&mut self, id: BlobId) -> Result<()> {
        let key = object_key(Kind::Blob, &id.0);
        if !self.known.insert(key) {
            return Ok(());
        }
        let Some(loc) = self.store.core.find(&key)? else {
            self.is_gone(Gone::Blob(id))?;
            return Ok(());
        };
        if loc.listed {
            for part in self.store.parts(id, loc)?.iter() {
                let key = object_key(Kind::Chunk, &part.id);
                if self.known.insert(key) && !self.same(&key)? {
                    self.is_gone(Gone::Blob(id))?;
                }
            }
        }
        self.same(&key)?;
        Ok(())
    }

    /// What is in a directory comes before it.
    fn tree(&mut self, id: TreeId) -> Result<()> {
        let mut todo = vec![(id, false)];
        while let Some((id, inner)) = todo.pop() {
            let key = object_key(Kind::Tree, &id.0);
            if self.known.contains(&key) {
                continue;
            }
            if self.store.core.find(&key)?.is_none() {
                self.known.insert(key);
                self.is_gone(Gone::Tree(id))?;
                continue;
            }
            let (loc, raw, _) = self.store.tree_bytes(id)?;
            let tree = tree_code::decode(&raw).map_err(|b| self.store.wrong(loc.place, b.0))?;
            if !inner {
                todo.push((id, true));
                todo.extend(
                    tree.entries
                        .iter()
                        .filter_map(|e| Some((e.kind.tree()?, false))),
                );
                continue;
            }
            for entry in &tree.entries {
                if let EntryKind::File { blob, .. } = entry.kind {
                    self.blob(blob)?;
                }
            }
            self.known.insert(key);
            self.loose(Kind::Tree, &id.0, &raw)?;
        }
        Ok(())
    }

    fn commit(
        &mut self,
        id: CommitId,
        changes: Option<&Vec<commit_code::PathChange>>,
    ) -> Result<()> {
        let commit = self.store.commit(id)?;
        self.is_gone(Gone::Commit(id))?;
        for tree in [Some(commit.tree), commit.git]
            .into_iter()
            .flatten()
            .chain(commit.conflict.iter().copied())
        {
            self.tree(tree)?;
        }
        if let Some(state) = commit.state {
            self.blob(state)?;
        }
        let grouped = |kind, raw: &[u8]| record::encode(kind, GROUPED, &id.0, raw);
        let mut records = vec![grouped(Kind::Commit, &commit_code::encode(&commit))];
        let attrs = self.store.attrs(id)?;
        if !attrs.is_empty() {
            records.push(grouped(Kind::Attrs, &commit_code::encode_attrs(&attrs)));
        }
        if let Some(changes) = changes {
            records.push(grouped(
                Kind::Changes,
                &commit_code::encode_changes(changes),
            ));
        }
        self.to.group(records)?;
        Ok(())
    }

    fn step(&mut self, step: &Step, inside: &HashSet<CommitId>) -> Result<()> {
        for text in super::mark::texts_of(step) {
            self.blob(text)?;
        }
        let mut step = step.clone();
        step.state = step.state.filter(|s| inside.contains(s));
        self.loose(Kind::Step, &step.id.0, &json("a step", &step)?)
    }

    fn end(&mut self, refs: Vec<(String, RefTarget)>) -> Result<()> {
        for tomb in std::mem::take(&mut self.tombs).into_values() {
            let [_, id @ ..] = tomb.gone.key();
            self.loose(Kind::Tombstone, &id, &tomb::encode(&tomb))?;
        }
        let operation = op_code::encode(&Operation {
            parent: None,
            time: Time::now(),
            kind: OpKind::Import,
            description: "taken out of a store".to_owned(),
            refs: refs
                .into_iter()
                .map(|(name, target)| RefChange {
                    name,
                    before: None,
                    after: Some(target),
                })
                .collect(),
            target: None,
            workspace: None,
        });
        let id = op_code::id_of(&operation);
        let record = record::encode(Kind::Operation, GROUPED, &id.0, &operation);
        self.to.group(vec![record])?;
        Ok(())
    }
}

/// Looks a trail through and makes a store of it in `dir`, which is empty. Gives its manifest.
pub fn unpack(path: &Path, dir: &Path) -> Result<Vec<u8>> {
    let bad = |what: &str| Error::NotATrail {
        path: path.to_owned(),
        what: what.to_owned(),
    };
    let io = |what: &'static str| move |e| Error::io(what, path, e);
    let mut file = File::open(path).map_err(io("open"))?;
    let meta = file.metadata().map_err(io("look at"))?;
    if !meta.is_file() {
        return Err(bad("it is no ordinary file"));
    }
    let length = meta.len();
    let mut head = [0; MAGIC.len() + 4];
    file.read_exact(&mut head)
        .map_err(|_| bad("it is too short"))?;
    let (magic, len) = head.split_at(MAGIC.len());
    if magic != MAGIC {
        if magic.starts_with(ANY) {
            return Err(bad(
                "it is of another version: use the backtrail that wrote it",
            ));
        }
        return Err(bad("it does not begin like one"));
    }
    let len = u32::from_le_bytes(len.try_into().unwrap_or_default());
    let start = head.len() as u64 + u64::from(len);
    if len > MANIFEST || start + 32 > length {
        return Err(bad("it is cut short"));
    }
    let mut manifest = vec![0; len as usize];
    file.read_exact(&mut manifest).map_err(io("read"))?;
    // Hashed while it is copied: what is looked at afterwards is the copy, which nobody changes.
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(&head);
    hasher.update(&manifest);
    let packs = dir.join("packs");
    fs::create_dir_all(&packs).map_err(|e| Error::io("make", &packs, e))?;
    let copy_path = pack::pack_path(&packs, 1);
    let mut copy = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&copy_path)
        .map_err(|e| Error::io("make", &copy_path, e))?;
    let mut left = length - 32 - start;
    let mut part = vec![0; 1 << 20];
    while left > 0 {
        let want = left.min(part.len() as u64) as usize;
        let part = part.get_mut(..want).unwrap_or_default();
        file.read_exact(part).map_err(|_| bad("it is cut short"))?;
        hasher.update(part);
        copy.write_all(part)
            .map_err(|e| Error::io("write", &copy_path, e))?;
        left -= want as u64;
    }
    let mut said = [0; 32];
    file.read_exact(&mut said)
        .map_err(|_| bad("it is cut short"))?;
    if *hasher.finalize().as_bytes() != said {
        return Err(bad(
            "its content does not have the hash at its end: it was cut, damaged or changed on the way",
        ));
    }
    look_through(&copy, &copy_path, path)?;
    open::format(dir)?;
    Ok(manifest)
}

/// Refuses what no export writes.
fn look_through(file: &File, at: &Path, path: &Path) -> Result<()> {
    let bad = |what: &str| Error::NotATrail {
        path: path.to_owned(),
        what: what.to_owned(),
    };
    let mut deep: HashMap<[u8; 32], u32> = HashMap::new();
    let mut awaited: HashSet<[u8; 32]> = HashSet::new();
    let scan = Scan {
        file,
        path: at,
        pack: 1,
        last: false,
        upto: None,
    };
    let scanned = scan.run(0, &mut |unit| {
        let items = match unit {
            Unit::One(item) => vec![item],
            Unit::Group(items, _) => items,
        };
        for item in items {
            let header = item.header;
            let Some(kind) = Kind::of(header.kind) else {
                continue;
            };
            let content = matches!(kind, Kind::Blob | Kind::Chunk) && header.flags & LISTED == 0;
            if header.raw > if content { PART } else { MOST } {
                return Err(bad("a record in it is longer than any can be"));
            }
            if content {
                continue;
            }
            let raw = header.decode(item.stored).map_err(|b| bad(b.0))?;
            let known = match kind {
                Kind::Tree => {
                    let tree = tree_code::decode(&raw).map_err(|b| bad(b.0))?;
                    if awaited.contains(&header.id) {
                        return Err(bad("a directory comes after one that holds it"));
                    }
                    let mut depth = 1;
                    for below in tree.entries.iter().filter_map(|e| e.kind.tree()) {
                        match deep.get(&below.0) {
                            Some(d) => depth = depth.max(d + 1),
                            None => _ = awaited.insert(below.0),
                        }
                    }
                    deep.insert(header.id, depth);
                    depth <= DEEP && tree_code::id_of(&raw).0 == header.id
                }
                Kind::Commit => commit_code::decode(&raw).is_ok(),
                Kind::Attrs => commit_code::decode_attrs(&raw).is_ok(),
                Kind::Changes => commit_code::decode_changes(&raw).is_ok(),
                Kind::Operation => op_code::decode(&raw).is_ok(),
                Kind::Tombstone => tomb::decode(&header.id, &raw).is_ok_and(|t| t.why != Why::Back),
                _ => true,
            };
            if !known {
                return Err(bad("a record in it is not what it says"));
            }
        }
        Ok(())
    })?;
    match scanned.damage.first() {
        Some(spot) if spot.place != Place::default() => Err(bad(spot.what)),
        _ => Ok(()),
    }
}
