//! Re-hashing everything and following every reference.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::PathBuf;

use crate::model::{BlobId, CommitId, Kind as EntryKind, Link, OpId, RefTarget, TreeId};

use super::error::{Error, Result};
use super::object::decode_list;
use super::record::{Kind, LISTED, Place};
use super::scan::{Item, Scan, Unit};
use super::tables::{Key, object_key};
use super::{Store, commit_code, op_code, tree_code};

/// What `verify` found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Records read.
    pub records: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Commits among them.
    pub commits: u64,
    /// What is wrong; empty when all is well.
    pub faults: Vec<Fault>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// In which file.
    pub path: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

#[derive(Default)]
struct Seen {
    objects: HashMap<Key, Place>,
    commits: HashSet<[u8; 32]>,
    ops: HashSet<[u8; 32]>,
    /// What must be there, and who wants it.
    wanted: Vec<(Want, Place)>,
    faults: Vec<(Place, String)>,
}

enum Want {
    Object(Key, &'static str),
    Commit([u8; 32]),
    Op([u8; 32]),
}

impl Store {
    /// Re-hashes every record, checks every reference and the index against the packs.
    pub fn verify(&self) -> Result<VerifyReport> {
        // Appends go on; what was there when this began is looked at.
        let end = self.core.packs.flush(|_| {})?;
        let mut report = VerifyReport::default();
        let mut seen = Seen::default();
        seen.objects
            .insert(object_key(Kind::Tree, &self.empty.0), Place::default());
        for n in self.core.packs.numbers() {
            if n > end.pack() {
                break;
            }
            let path = self.core.packs.path(n);
            let file = File::open(&path).map_err(|e| Error::io("open", &path, e))?;
            let scan = Scan {
                file: &file,
                path: &path,
                pack: n,
                last: false,
                upto: (n == end.pack()).then_some(end.offset()),
            };
            let scanned = scan.run(0, &mut |unit| {
                match unit {
                    Unit::One(item) => seen.take(item),
                    Unit::Group(items, _) => items.into_iter().for_each(|i| seen.take(i)),
                }
                Ok(())
            })?;
            report.records += scanned.records;
            report.bytes += scanned.length;
            for spot in scanned.damage {
                seen.faults.push((spot.place, spot.what.to_owned()));
            }
        }
        report.commits = seen.commits.len() as u64;
        seen.follow();
        match self.check_index(&mut seen) {
            Err(Error::IndexDamaged { what, .. }) => {
                seen.faults
                    .push((Place::default(), format!("the index is damaged: {what}")));
            }
            checked => checked?,
        }
        seen.faults.sort();
        report.faults = seen
            .faults
            .into_iter()
            .map(|(place, what)| Fault {
                path: if place == Place::default() {
                    self.dir.join("graph.redb")
                } else {
                    self.core.packs.path(place.pack())
                },
                offset: place.offset(),
                what,
            })
            .collect();
        Ok(report)
    }

    fn check_index(&self, seen: &mut Seen) -> Result<()> {
        self.core.make_durable()?;
        let writer = self.core.writer();
        let sound = self.core.index.check()?;
        drop(writer);
        if !sound {
            // What redb mended is older than what was asked of it.
            self.core.index.doubt();
            let what = "redb found its file inconsistent and mended it".to_owned();
            seen.faults.push((Place::default(), what));
        }
        for (key, place) in &seen.objects {
            if *place != Place::default() && self.core.find(key)?.is_none() {
                let what = format!("the index lacks {}", hex(&key[1..]));
                seen.faults.push((*place, what));
            }
        }
        for id in &seen.commits {
            if self.seq(CommitId(*id))?.is_none() {
                let what = format!("the index lacks commit {}", hex(id));
                seen.faults.push((Place::default(), what));
            }
        }
        if self.commit_count()? != seen.commits.len() as u64 {
            let what = "the index knows of other commits than the packs hold".to_owned();
            seen.faults.push((Place::default(), what));
        }
        for (name, target) in self.refs()? {
            if let RefTarget::Commit(id) = target
                && !seen.commits.contains(&id.0)
            {
                let what = format!("{name} points to commit {id}, which is not there");
                seen.faults.push((Place::default(), what));
            }
        }
        Ok(())
    }
}

fn hex(id: &[u8]) -> String {
    id.first_chunk::<32>()
        .map_or_else(String::new, |b| BlobId(*b).to_hex())
}

impl Seen {
    fn fault(&mut self, place: Place, what: &str) {
        self.faults.push((place, what.to_owned()));
    }

    fn take(&mut self, item: Item) {
        let header = item.header;
        let place = item.place;
        let Some(kind) = Kind::of(header.kind) else {
            return;
        };
        let raw = match header.decode(item.stored) {
            Ok(raw) => raw,
            Err(bad) => return self.fault(place, bad.0),
        };
        let id = header.id;
        match kind {
            Kind::Blob if header.flags & LISTED != 0 => {
                self.objects.insert(object_key(Kind::Blob, &id), place);
                match decode_list(&raw) {
                    Ok((_, parts)) => {
                        for part in parts {
                            let key = object_key(Kind::Chunk, &part.id);
                            self.wanted.push((Want::Object(key, "chunk"), place));
                        }
                    }
                    Err(bad) => self.fault(place, bad.0),
                }
            }
            Kind::Blob | Kind::Chunk => {
                self.objects.insert(object_key(kind, &id), place);
                if *blake3::hash(&raw).as_bytes() != id {
                    self.fault(place, "a content does not have its id");
                }
            }
            Kind::Tree => self.tree(place, id, &raw),
            Kind::Commit => self.commit(place, id, &raw),
            Kind::Operation => self.operation(place, id, &raw),
            Kind::Attrs => {
                if let Err(bad) = commit_code::decode_attrs(&raw) {
                    self.fault(place, bad.0);
                }
                self.wanted.push((Want::Commit(id), place));
            }
            Kind::Changes => {
                if let Err(bad) = commit_code::decode_changes(&raw) {
                    self.fault(place, bad.0);
                }
                self.wanted.push((Want::Commit(id), place));
            }
            Kind::Link => match serde_json::from_slice::<Link>(&raw) {
                Ok(link) => self.wanted.push((Want::Commit(link.commit.0), place)),
                Err(_) => self.fault(place, "a link that cannot be read"),
            },
            Kind::Step => {
                if serde_json::from_slice::<crate::model::Step>(&raw).is_err() {
                    self.fault(place, "a step that cannot be read");
                }
            }
            Kind::Session => {
                if serde_json::from_slice::<crate::model::Session>(&raw).is_err() {
                    self.fault(place, "a session that cannot be read");
                }
            }
            Kind::Ref | Kind::AgentState | Kind::Tombstone | Kind::Event | Kind::End => {}
        }
    }

    fn tree(&mut self, place: Place, id: [u8; 32], raw: &[u8]) {
        self.objects.insert(object_key(Kind::Tree, &id), place);
        if tree_code::id_of(raw) != TreeId(id) {
            return self.fault(place, "a tree does not have its id");
        }
        match tree_code::decode(raw) {
            Err(bad) => self.fault(place, bad.0),
            Ok(tree) => {
                for e in tree.entries {
                    let want = match e.kind {
                        EntryKind::File { blob, .. } => (Kind::Blob, blob.0, "blob"),
                        EntryKind::Dir(tree) => (Kind::Tree, tree.0, "tree"),
                        _ => continue,
                    };
                    let key = object_key(want.0, &want.1);
                    self.wanted.push((Want::Object(key, want.2), place));
                }
            }
        }
    }

    fn commit(&mut self, place: Place, id: [u8; 32], raw: &[u8]) {
        self.commits.insert(id);
        if commit_code::id_of(raw) != CommitId(id) {
            return self.fault(place, "a commit does not have its id");
        }
        match commit_code::decode(raw) {
            Err(bad) => self.fault(place, bad.0),
            Ok(c) => {
                for p in c.parents {
                    self.wanted.push((Want::Commit(p.0), place));
                }
                for t in [Some(c.tree), c.git]
                    .into_iter()
                    .flatten()
                    .chain(c.conflict)
                {
                    let key = object_key(Kind::Tree, &t.0);
                    self.wanted.push((Want::Object(key, "tree"), place));
                }
                if let Some(b) = c.state {
                    let key = object_key(Kind::Blob, &b.0);
                    self.wanted.push((Want::Object(key, "blob"), place));
                }
            }
        }
    }

    fn operation(&mut self, place: Place, id: [u8; 32], raw: &[u8]) {
        self.ops.insert(id);
        if op_code::id_of(raw) != OpId(id) {
            return self.fault(place, "an operation does not have its id");
        }
        match op_code::decode(raw) {
            Err(bad) => self.fault(place, bad.0),
            Ok(op) => {
                self.wanted
                    .extend(op.parent.map(|p| (Want::Op(p.0), place)));
                for change in op.refs {
                    if let Some(RefTarget::Commit(c)) = change.after {
                        self.wanted.push((Want::Commit(c.0), place));
                    }
                }
            }
        }
    }

    fn follow(&mut self) {
        for (want, place) in std::mem::take(&mut self.wanted) {
            let missing = match &want {
                Want::Object(key, what) => {
                    (!self.objects.contains_key(key)).then(|| (*what, hex(&key[1..])))
                }
                Want::Commit(id) => (!self.commits.contains(id)).then(|| ("commit", hex(id))),
                Want::Op(id) => (!self.ops.contains(id)).then(|| ("operation", hex(id))),
            };
            if let Some((what, id)) = missing {
                self.faults.push((place, format!("{what} {id} is missing")));
            }
        }
    }
}
