//! The tables of the index, and what each record of the packs does to them.
//!
//! Everything in them comes from [`Tables::apply`], which is fed the same records in the same order by a publication, by
//! catching up at start and by a rebuild, so all three give the same index (line counts excepted: they are derived,
//! and lost with it). `position` says up to which place in the packs it has seen everything; it moves in the same
//! transaction. Records behind `position` may be in it already: applying them again changes nothing.
//!
//! Numbers inside keys are big-endian, so that they sort; elsewhere little-endian.
//!
//! | table | key | value |
//! |---|---|---|
//! | meta | name | u64: `schema`, `position` |
//! | objects | kind u8, id | place u64, content length u64, listed u8 |
//! | commits | id | seq u64 |
//! | nodes | seq | id, line u32, encoded commit |
//! | children | parent, seq | child, first parent u8 |
//! | times | time (sign flipped), seq | id |
//! | attrs | commit | place u64 |
//! | refs | name | encoded target |
//! | ops | id | seq u64 |
//! | oplog | seq | id, encoded operation |
//! | steps | ordinal (u64, u32), id | JSON |
//! | step_ids | id | ordinal (u64, u32) |
//! | links | commit | step, JSON |
//! | step_links | step, commit's seq | commit |
//! | sessions | id | JSON |
//! | paths | path, 0, inverted seq | commit, then 0 or 1 with an encoded entry |
//! | dirs | directory, 0, inverted seq of a commit that changed a path below it | |
//! | leaves | seq of a commit without children | id |
//! | lines | line | seq of its first commit, that of what the first one follows (0: nothing), and its line, as u64 |
//! | stats | commit | files, added, removed, binary as u32 |
//! | tombs | kind u8, id | the tombstone |

use std::collections::BTreeSet;

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use super::commit_code;
use super::op_code;
use super::record::{Kind, LISTED, Place};
use super::tomb;
use super::tree_code;
use super::wire::{In, Out};
use crate::model::{CommitId, Link, Ordinal, RefTarget, Session, Step};

/// Version of the tables. `migrate` brings older ones up to it.
pub(crate) const SCHEMA: u64 = 3;

pub(crate) type Key = [u8; 33];

pub(crate) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
pub(crate) const OBJECTS: TableDefinition<&Key, &[u8; 17]> = TableDefinition::new("objects");
pub(crate) const COMMITS: TableDefinition<&[u8; 32], u64> = TableDefinition::new("commits");
pub(crate) const NODES: TableDefinition<u64, &[u8]> = TableDefinition::new("nodes");
pub(crate) const CHILDREN: TableDefinition<&[u8; 40], &[u8; 33]> = TableDefinition::new("children");
pub(crate) const TIMES: TableDefinition<&[u8; 16], &[u8; 32]> = TableDefinition::new("times");
pub(crate) const ATTRS: TableDefinition<&[u8; 32], u64> = TableDefinition::new("attrs");
pub(crate) const REFS: TableDefinition<&str, &[u8]> = TableDefinition::new("refs");
pub(crate) const OPS: TableDefinition<&[u8; 32], u64> = TableDefinition::new("ops");
pub(crate) const OPLOG: TableDefinition<u64, &[u8]> = TableDefinition::new("oplog");
pub(crate) const STEPS: TableDefinition<&[u8; 44], &[u8]> = TableDefinition::new("steps");
pub(crate) const STEP_IDS: TableDefinition<&[u8; 32], &[u8; 12]> = TableDefinition::new("step_ids");
pub(crate) const LINKS: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("links");
pub(crate) const STEP_LINKS: TableDefinition<&[u8; 40], &[u8; 32]> =
    TableDefinition::new("step_links");
pub(crate) const SESSIONS: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("sessions");
pub(crate) const PATHS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("paths");
pub(crate) const DIRS: TableDefinition<&[u8], ()> = TableDefinition::new("dirs");
pub(crate) const LEAVES: TableDefinition<u64, &[u8; 32]> = TableDefinition::new("leaves");
pub(crate) const LINES: TableDefinition<u64, &[u8; 24]> = TableDefinition::new("lines");
pub(crate) const TOMBS: TableDefinition<&Key, &[u8]> = TableDefinition::new("tombs");
pub(crate) const STATS: TableDefinition<&[u8; 32], &[u8; 16]> = TableDefinition::new("stats");

/// Where an object lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loc {
    pub place: Place,
    /// Length of the content.
    pub len: u64,
    /// The payload lists chunks.
    pub listed: bool,
}

impl Loc {
    fn encode(self) -> [u8; 17] {
        let mut b = [0; 17];
        b[..8].copy_from_slice(&self.place.0.to_le_bytes());
        b[8..16].copy_from_slice(&self.len.to_le_bytes());
        b[16] = u8::from(self.listed);
        b
    }

    pub fn decode(b: &[u8; 17]) -> Self {
        let [p @ .., _, _, _, _, _, _, _, _, listed] = *b;
        let mut len = [0; 8];
        len.copy_from_slice(&b[8..16]);
        Self {
            place: Place(u64::from_le_bytes(p)),
            len: u64::from_le_bytes(len),
            listed: listed != 0,
        }
    }
}

/// A record as the index takes it.
pub(crate) struct Rec<'a> {
    pub kind: Kind,
    pub flags: u8,
    pub id: &'a [u8; 32],
    pub place: Place,
    /// Length of the decoded payload.
    pub len: u64,
    /// The decoded payload; not needed for unlisted objects and attributes.
    pub raw: &'a [u8],
}

/// Whether the index wants the payload of such a record.
pub(crate) fn wants_payload(kind: Kind, flags: u8) -> bool {
    match kind {
        Kind::Blob => flags & LISTED != 0,
        Kind::Chunk | Kind::Tree | Kind::Attrs | Kind::End => false,
        _ => true,
    }
}

/// The key of an object.
pub(crate) fn object_key(kind: Kind, id: &[u8; 32]) -> Key {
    let mut key = [0; 33];
    key[0] = kind as u8;
    key[1..].copy_from_slice(id);
    key
}

pub(crate) fn key40(id: &[u8; 32], seq: u64) -> [u8; 40] {
    let mut key = [0; 40];
    key[..32].copy_from_slice(id);
    key[32..].copy_from_slice(&seq.to_be_bytes());
    key
}

pub(crate) fn time_key(micros: i64, seq: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&(micros ^ i64::MIN).to_be_bytes());
    key[8..].copy_from_slice(&seq.to_be_bytes());
    key
}

pub(crate) fn ordinal_bytes(o: Ordinal) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&o.major.to_be_bytes());
    key[8..].copy_from_slice(&o.minor.to_be_bytes());
    key
}

pub(crate) fn step_key(ordinal: &[u8; 12], id: &[u8; 32]) -> [u8; 44] {
    let mut key = [0; 44];
    key[..12].copy_from_slice(ordinal);
    key[12..].copy_from_slice(id);
    key
}

/// `path 0 inverted-seq`: the newest version of a path comes first.
pub(crate) fn path_key(path: &[u8], seq: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(path.len() + 9);
    key.extend_from_slice(path);
    key.push(0);
    key.extend_from_slice(&(!seq).to_be_bytes());
    key
}

/// The line in a node's value.
pub(crate) fn line_of(node: &[u8]) -> Option<u32> {
    let bytes = node.get(32..36)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*bytes))
}

/// The value of a line: its first commit, and the commit that this one follows with its line.
pub(crate) fn line_value(first: u64, from: Option<(u64, u32)>) -> [u8; 24] {
    let (parent, line) = from.unwrap_or((0, 0));
    let mut value = [0; 24];
    for (to, n) in value
        .chunks_exact_mut(8)
        .zip([first, parent, u64::from(line)])
    {
        to.copy_from_slice(&n.to_le_bytes());
    }
    value
}

/// The directories that `path` lies in, the project's root included.
pub(crate) fn add_dirs(path: &[u8], to: &mut BTreeSet<Vec<u8>>) {
    let mut end = path.len();
    while let Some(at) = path
        .get(..end)
        .and_then(|p| p.iter().rposition(|b| *b == b'/'))
    {
        end = at;
        if !to.insert(path.get(..at).unwrap_or_default().to_vec()) {
            // Whatever added it added those above it.
            return;
        }
    }
    to.insert(Vec::new());
}

/// All tables, open in one write transaction.
pub(crate) struct Tables<'t> {
    pub meta: Table<'t, &'static str, u64>,
    objects: Table<'t, &'static Key, &'static [u8; 17]>,
    commits: Table<'t, &'static [u8; 32], u64>,
    nodes: Table<'t, u64, &'static [u8]>,
    children: Table<'t, &'static [u8; 40], &'static [u8; 33]>,
    times: Table<'t, &'static [u8; 16], &'static [u8; 32]>,
    attrs: Table<'t, &'static [u8; 32], u64>,
    refs: Table<'t, &'static str, &'static [u8]>,
    ops: Table<'t, &'static [u8; 32], u64>,
    oplog: Table<'t, u64, &'static [u8]>,
    steps: Table<'t, &'static [u8; 44], &'static [u8]>,
    step_ids: Table<'t, &'static [u8; 32], &'static [u8; 12]>,
    links: Table<'t, &'static [u8; 32], &'static [u8]>,
    step_links: Table<'t, &'static [u8; 40], &'static [u8; 32]>,
    sessions: Table<'t, &'static [u8; 32], &'static [u8]>,
    paths: Table<'t, &'static [u8], &'static [u8]>,
    dirs: Table<'t, &'static [u8], ()>,
    leaves: Table<'t, u64, &'static [u8; 32]>,
    lines: Table<'t, u64, &'static [u8; 24]>,
    tombs: Table<'t, &'static Key, &'static [u8]>,
}

type Done = Result<(), redb::Error>;

impl<'t> Tables<'t> {
    pub fn open(tx: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            meta: tx.open_table(META)?,
            objects: tx.open_table(OBJECTS)?,
            commits: tx.open_table(COMMITS)?,
            nodes: tx.open_table(NODES)?,
            children: tx.open_table(CHILDREN)?,
            times: tx.open_table(TIMES)?,
            attrs: tx.open_table(ATTRS)?,
            refs: tx.open_table(REFS)?,
            ops: tx.open_table(OPS)?,
            oplog: tx.open_table(OPLOG)?,
            steps: tx.open_table(STEPS)?,
            step_ids: tx.open_table(STEP_IDS)?,
            links: tx.open_table(LINKS)?,
            step_links: tx.open_table(STEP_LINKS)?,
            sessions: tx.open_table(SESSIONS)?,
            paths: tx.open_table(PATHS)?,
            dirs: tx.open_table(DIRS)?,
            leaves: tx.open_table(LEAVES)?,
            lines: tx.open_table(LINES)?,
            tombs: tx.open_table(TOMBS)?,
        })
    }

    pub fn object(&mut self, key: &Key, loc: Loc) -> Done {
        self.objects.insert(key, &loc.encode())?;
        Ok(())
    }

    pub fn position(&mut self, place: Place) -> Done {
        self.meta.insert("position", place.0)?;
        Ok(())
    }

    /// Takes one record in. Records that it does not understand are left to `verify`.
    pub fn apply(&mut self, rec: &Rec<'_>) -> Done {
        match rec.kind {
            Kind::Blob | Kind::Chunk | Kind::Tree => {
                let listed = rec.flags & LISTED != 0;
                let len = if listed {
                    In::new(rec.raw).u64().unwrap_or(0)
                } else {
                    rec.len
                };
                let loc = Loc {
                    place: rec.place,
                    len,
                    listed,
                };
                self.object(&object_key(rec.kind, rec.id), loc)
            }
            Kind::Commit => self.commit(rec),
            Kind::Attrs => {
                self.attrs.insert(rec.id, rec.place.0)?;
                Ok(())
            }
            Kind::Changes => self.changes(rec),
            Kind::Operation => self.operation(rec),
            Kind::Step => self.step(rec),
            Kind::Link => self.link(rec),
            Kind::Session => {
                if serde_json::from_slice::<Session>(rec.raw).is_ok() {
                    self.sessions.insert(rec.id, rec.raw)?;
                }
                Ok(())
            }
            Kind::Tombstone => self.tomb(rec),
            Kind::Ref | Kind::AgentState | Kind::Event | Kind::End => Ok(()),
        }
    }

    /// Where an object lies now that lay at `from`; nowhere if `now` is nothing. One that lies elsewhere as well stays.
    pub fn object_moved(&mut self, key: &Key, from: Place, now: Option<Place>) -> Done {
        let loc = self.objects.get(key)?.map(|v| Loc::decode(v.value()));
        match (loc, now) {
            (Some(loc), Some(place)) if loc.place == from => self.object(key, Loc { place, ..loc }),
            (Some(loc), None) if loc.place == from => {
                self.objects.remove(key)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Where the attributes of a commit lie now that lay at `from`.
    pub fn attrs_moved(&mut self, commit: &[u8; 32], from: Place, now: Place) -> Done {
        let at = self.attrs.get(commit)?.map(|p| p.value());
        if at == Some(from.0) {
            self.attrs.insert(commit, now.0)?;
        }
        Ok(())
    }

    fn tomb(&mut self, rec: &Rec<'_>) -> Done {
        let Ok(tomb) = tomb::decode(rec.id, rec.raw) else {
            return Ok(());
        };
        let key = tomb.gone.key();
        if tomb.why == tomb::Why::Back {
            self.tombs.remove(&key)?;
        } else {
            self.tombs.insert(&key, rec.raw)?;
        }
        Ok(())
    }

    fn seq_of(&self, commit: &[u8; 32]) -> Result<Option<u64>, redb::Error> {
        Ok(self.commits.get(commit)?.map(|s| s.value()))
    }

    fn commit(&mut self, rec: &Rec<'_>) -> Done {
        if self.seq_of(rec.id)?.is_some() {
            return Ok(());
        }
        let Ok(commit) = commit_code::decode(rec.raw) else {
            return Ok(());
        };
        let last = self.nodes.last()?.map(|(k, _)| k.value());
        let seq = last.unwrap_or(0) + 1;
        let line = self.line_for(commit.parents.first(), seq)?;
        self.commits.insert(rec.id, seq)?;
        // A commit that was put back in its place by a repair may come after its children.
        let childless = self
            .children
            .range::<&[u8; 40]>(&key40(rec.id, 0)..=&key40(rec.id, u64::MAX))?
            .next()
            .is_none();
        if childless {
            self.leaves.insert(seq, rec.id)?;
        }
        for parent in &commit.parents {
            if let Some(parent) = self.seq_of(&parent.0)? {
                self.leaves.remove(parent)?;
            }
        }
        let mut node = Out::default();
        node.raw(rec.id);
        node.u32(line);
        node.raw(rec.raw);
        self.nodes.insert(seq, node.0.as_slice())?;
        self.times.insert(&time_key(commit.time.0, seq), rec.id)?;
        for (i, parent) in commit.parents.iter().enumerate() {
            let mut child = [0; 33];
            child[..32].copy_from_slice(rec.id);
            child[32] = u8::from(i == 0);
            // A parent named twice keeps its first mention.
            let key = key40(&parent.0, seq);
            if self.children.get(&key)?.is_none() {
                self.children.insert(&key, &child)?;
            }
        }
        Ok(())
    }

    /// The line of the first parent if this, the commit `first`, is the first to continue it, else a new one.
    fn line_for(&mut self, parent: Option<&CommitId>, first: u64) -> Result<u32, redb::Error> {
        let mut from = None;
        if let Some(parent) = parent
            && let Some(seq) = self.seq_of(&parent.0)?
        {
            let mut continued = false;
            for child in self
                .children
                .range::<&[u8; 40]>(&key40(&parent.0, 0)..=&key40(&parent.0, u64::MAX))?
            {
                continued |= child?.1.value()[32] == 1;
            }
            let line = self.nodes.get(seq)?.and_then(|n| line_of(n.value()));
            if let (false, Some(line)) = (continued, line) {
                return Ok(line);
            }
            from = line.map(|line| (seq, line));
        }
        let line = self.meta.get("lines")?.map_or(0, |v| v.value());
        self.meta.insert("lines", line + 1)?;
        self.lines.insert(line, &line_value(first, from))?;
        Ok(u32::try_from(line).unwrap_or(u32::MAX))
    }

    fn changes(&mut self, rec: &Rec<'_>) -> Done {
        let (Some(seq), Ok(changes)) = (self.seq_of(rec.id)?, commit_code::decode_changes(rec.raw))
        else {
            return Ok(());
        };
        let mut dirs = BTreeSet::new();
        for (path, entry) in changes {
            let mut value = Out::default();
            value.raw(rec.id);
            match &entry {
                None => value.u8(0),
                Some(e) => {
                    value.u8(1);
                    tree_code::encode_entry(&mut value, e);
                }
            }
            self.paths.insert(
                path_key(path.as_bytes(), seq).as_slice(),
                value.0.as_slice(),
            )?;
            add_dirs(path.as_bytes(), &mut dirs);
        }
        for dir in dirs {
            self.dirs.insert(path_key(&dir, seq).as_slice(), ())?;
        }
        Ok(())
    }

    fn operation(&mut self, rec: &Rec<'_>) -> Done {
        if self.ops.get(rec.id)?.is_some() {
            return Ok(());
        }
        let Ok(op) = op_code::decode(rec.raw) else {
            return Ok(());
        };
        let last = self.oplog.last()?.map(|(k, _)| k.value());
        let seq = last.unwrap_or(0) + 1;
        self.ops.insert(rec.id, seq)?;
        let mut entry = Out::default();
        entry.raw(rec.id);
        entry.raw(rec.raw);
        self.oplog.insert(seq, entry.0.as_slice())?;
        for change in &op.refs {
            match &change.after {
                None => {
                    self.refs.remove(change.name.as_str())?;
                }
                Some(target) => self.set_ref(&change.name, target)?,
            }
        }
        Ok(())
    }

    fn set_ref(&mut self, name: &str, target: &RefTarget) -> Done {
        let mut out = Out::default();
        op_code::encode_target(&mut out, Some(target));
        self.refs.insert(name, out.0.as_slice())?;
        Ok(())
    }

    fn step(&mut self, rec: &Rec<'_>) -> Done {
        let Ok(step) = serde_json::from_slice::<Step>(rec.raw) else {
            return Ok(());
        };
        let ordinal = ordinal_bytes(step.ordinal);
        let before = self.step_ids.get(rec.id)?.map(|o| *o.value());
        if let Some(before) = before
            && before != ordinal
        {
            self.steps.remove(&step_key(&before, rec.id))?;
        }
        if before != Some(ordinal) {
            self.step_ids.insert(rec.id, &ordinal)?;
        }
        self.steps.insert(&step_key(&ordinal, rec.id), rec.raw)?;
        Ok(())
    }

    fn link(&mut self, rec: &Rec<'_>) -> Done {
        let Ok(link) = serde_json::from_slice::<Link>(rec.raw) else {
            return Ok(());
        };
        let Some(seq) = self.seq_of(rec.id)? else {
            return Ok(());
        };
        let before = self.links.get(rec.id)?.and_then(|l| {
            let bytes = l.value();
            bytes.first_chunk::<32>().copied()
        });
        if let Some(before) = before {
            self.step_links.remove(&key40(&before, seq))?;
        }
        let mut value = Out::default();
        value.raw(&link.step.0);
        value.raw(rec.raw);
        self.links.insert(rec.id, value.0.as_slice())?;
        self.step_links.insert(&key40(&link.step.0, seq), rec.id)?;
        Ok(())
    }
}
