//! Packs written anew without what is not needed any more, or with what was saved put back in its place.
//!
//! Only a pack that nothing is appended to is rewritten, under its own number and with its records in their order: so an
//! index that is made anew from the packs is the same before and after. The new file is written beside the old one,
//! synced, and takes its name; from before the first name changes until the index knows the new places, a note
//! (`graph.doubt`) has the next start make the index anew. So a crash at any point leaves old packs, new packs, or some of
//! each, all of them whole, and an index that fits.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;

use super::core::Core;
use super::error::{Error, Result};
use super::index::Index;
use super::pack::End;
use super::record::{self, GROUPED, Header, Kind, Place};
use super::scan::{Item, Scan, Unit};
use super::tables::{Key, Tables, object_key};

/// What the name of a pack that is being written ends in.
const STAGED: &str = "pack.new";

/// A record of the graph that is put back.
#[derive(Clone)]
pub(super) struct Insert {
    pub kind: Kind,
    pub id: [u8; 32],
    pub raw: Vec<u8>,
}

/// What a rewritten pack is to hold.
pub(super) struct Rewrite<'a> {
    pub pack: u32,
    /// Whether a record stays.
    pub keep: &'a dyn Fn(&Header, Place) -> bool,
    /// What comes before the unit that begins at that place or holds it.
    pub before: &'a BTreeMap<Place, Vec<Insert>>,
}

/// A pack that was written beside the one that it is to replace.
#[derive(Default)]
pub(super) struct Staged {
    pub pack: u32,
    path: PathBuf,
    /// Objects and attributes: kind, id, where they lay and where they will lie.
    moved: Vec<(Kind, [u8; 32], Place, Place)>,
    /// Objects that are left out, with where they lay.
    pub dropped: Vec<(Key, Place)>,
    pub was: u64,
    pub is: u64,
}

/// Appends records to a file that is going to be a pack.
pub(super) struct Writer {
    out: BufWriter<File>,
    path: PathBuf,
    pack: u32,
    at: u64,
}

impl Writer {
    /// The pack begins where the file is now.
    pub fn new(out: BufWriter<File>, path: &Path, pack: u32) -> Self {
        Self {
            out,
            path: path.to_owned(),
            pack,
            at: 0,
        }
    }

    /// Everything is in the file, if not on disk.
    pub fn finish(self) -> Result<File> {
        let path = self.path;
        self.out
            .into_inner()
            .map_err(|e| Error::io("write", &path, e.into_error()))
    }

    fn place(&self) -> Place {
        Place::new(self.pack, self.at)
    }

    pub fn write(&mut self, mut record: Vec<u8>) -> Result<Vec<u8>> {
        record::seal(&mut record, self.place());
        self.out
            .write_all(&record)
            .map_err(|e| Error::io("write", &self.path, e))?;
        self.at += record.len() as u64;
        Ok(record)
    }

    /// Records of a publication with their end.
    pub fn group(&mut self, records: Vec<Vec<u8>>) -> Result<Vec<Place>> {
        let start = self.place();
        let mut places = Vec::with_capacity(records.len());
        let mut checks = Vec::with_capacity(records.len());
        for record in records {
            places.push(self.place());
            let sealed = self.write(record)?;
            let check = sealed.get(64..72).and_then(<[u8]>::first_chunk::<8>);
            checks.push(check.copied().unwrap_or_default());
        }
        let end = End {
            count: places.len() as u32,
            start,
            synced: start,
        };
        let id = End::id(checks.iter());
        self.write(record::encode(Kind::End, 0, &id, &end.encode()))?;
        Ok(places)
    }
}

/// Removes what a crash left of packs that were being written.
pub(super) fn sweep(packs_dir: &Path) {
    let Ok(entries) = std::fs::read_dir(packs_dir) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().ends_with(STAGED) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

impl Core {
    /// Writes the pack anew beside the old one. Nothing changes yet.
    pub fn stage(&self, plan: &Rewrite<'_>) -> Result<Staged> {
        let path = self.packs.path(plan.pack);
        let beside = path.with_extension(STAGED);
        let file = File::open(&path).map_err(|e| Error::io("open", &path, e))?;
        let out = File::create(&beside).map_err(|e| Error::io("make", &beside, e))?;
        let mut staged = Staged {
            pack: plan.pack,
            path: beside.clone(),
            ..Staged::default()
        };
        let out = BufWriter::with_capacity(1 << 20, out);
        let mut to = Writer::new(out, &beside, plan.pack);
        let written = self.write_staged(plan, &file, &path, &mut to, &mut staged);
        let finished = written.and_then(|()| {
            to.out
                .flush()
                .and_then(|()| to.out.get_ref().sync_all())
                .map_err(|e| Error::io("sync", &beside, e))
        });
        if let Err(e) = finished {
            let _ = std::fs::remove_file(&beside);
            return Err(e);
        }
        staged.is = to.at;
        Ok(staged)
    }

    fn write_staged(
        &self,
        plan: &Rewrite<'_>,
        file: &File,
        path: &Path,
        to: &mut Writer,
        staged: &mut Staged,
    ) -> Result<()> {
        let scan = Scan {
            file,
            path,
            pack: plan.pack,
            last: false,
            upto: None,
        };
        let mut inserts = plan.before.iter().peekable();
        let scanned = scan.run(0, &mut |unit| {
            let (items, grouped) = match unit {
                Unit::One(item) => (vec![item], false),
                Unit::Group(items, _) => (items, true),
            };
            let last = items.last().map_or(Place::default(), |i| i.place);
            let mut saved = Vec::new();
            while let Some((_, records)) = inserts.next_if(|(place, _)| **place <= last) {
                saved.extend(records.iter());
            }
            if !saved.is_empty() {
                to.group(saved.into_iter().map(encode).collect())?;
            }
            self.room_for(&items)?;
            let mut records = Vec::with_capacity(items.len());
            let mut kept = Vec::with_capacity(items.len());
            for item in items {
                let kind = Kind::of(item.header.kind);
                if (plan.keep)(&item.header, item.place) {
                    records.push(record::assemble(&item.header, &item.stored));
                    kept.push((kind, item.header.id, item.place));
                } else if let Some(kind @ (Kind::Blob | Kind::Chunk | Kind::Tree)) = kind {
                    let key = object_key(kind, &item.header.id);
                    staged.dropped.push((key, item.place));
                }
            }
            if records.is_empty() {
                return Ok(());
            }
            let places = if grouped {
                to.group(records)?
            } else {
                let place = to.place();
                for record in records {
                    to.write(record)?;
                }
                vec![place]
            };
            for ((kind, id, from), now) in kept.into_iter().zip(places) {
                if let Some(kind @ (Kind::Blob | Kind::Chunk | Kind::Tree | Kind::Attrs)) = kind {
                    staged.moved.push((kind, id, from, now));
                }
            }
            Ok(())
        })?;
        let rest: Vec<_> = inserts.flat_map(|(_, records)| records).collect();
        if !rest.is_empty() {
            to.group(rest.into_iter().map(encode).collect())?;
        }
        staged.was = scanned.length;
        Ok(())
    }

    fn room_for(&self, items: &[Item]) -> Result<()> {
        self.packs
            .room(items.iter().map(|i| i.header.len()).sum::<u64>())
    }

    /// Puts staged packs in the places of the old ones. `hurt` is told of each step by name, for tests. Gives how many were
    /// put there: one that holds something which was wanted again meanwhile stays as it is.
    pub fn swap(
        &self,
        writer: &MutexGuard<'_, ()>,
        staged: Vec<Staged>,
        hurt: &dyn Fn(&str),
    ) -> Result<Vec<Staged>> {
        self.swap_but(writer, staged, &HashSet::new(), hurt)
    }

    /// The same when some objects go even if somebody wants them again.
    pub fn swap_but(
        &self,
        writer: &MutexGuard<'_, ()>,
        staged: Vec<Staged>,
        condemned: &HashSet<Key>,
        hurt: &dyn Fn(&str),
    ) -> Result<Vec<Staged>> {
        self.index_objects(writer)?;
        let doubt = Index::doubt_path(self.index.path());
        std::fs::write(&doubt, b"")
            .and_then(|()| File::open(&doubt)?.sync_all())
            .and_then(|()| File::open(doubt.parent().unwrap_or(Path::new("/")))?.sync_all())
            .map_err(|e| Error::io("write", &doubt, e))?;
        hurt("noted");
        let done = {
            let _alone = self.index.keep_out();
            let wanted = self.recent();
            let (ready, late): (Vec<Staged>, Vec<Staged>) = staged.into_iter().partition(|s| {
                !s.dropped
                    .iter()
                    .any(|(key, at)| !condemned.contains(key) && wanted.holds(key, *at))
            });
            drop(wanted);
            for staged in late {
                let _ = std::fs::remove_file(&staged.path);
            }
            let swapped = self.swap_alone(&ready, hurt);
            if swapped.is_err() {
                // Which names changed is not known here; the packs know.
                self.index.doubt();
            }
            swapped.map(|()| ready)
        };
        let done = match done {
            Ok(done) => done,
            Err(e) => {
                self.fail();
                return Err(e);
            }
        };
        hurt("indexed");
        self.index.trusted()?;
        hurt("trusted");
        Ok(done)
    }

    fn swap_alone(&self, ready: &[Staged], hurt: &dyn Fn(&str)) -> Result<()> {
        for staged in ready {
            self.packs.replace(staged.pack, &staged.path)?;
            hurt("renamed");
        }
        self.packs.sync_names()?;
        hurt("named");
        self.index.write(true, |tx| {
            let mut tables = Tables::open(tx)?;
            for staged in ready {
                for (kind, id, from, now) in &staged.moved {
                    if *kind == Kind::Attrs {
                        tables.attrs_moved(id, *from, *now)?;
                    } else {
                        tables.object_moved(&object_key(*kind, id), *from, Some(*now))?;
                    }
                }
                for (key, from) in &staged.dropped {
                    tables.object_moved(key, *from, None)?;
                }
            }
            Ok(())
        })
    }

    /// Has the index made anew from the packs, now.
    pub fn remake(&self, writer: &MutexGuard<'_, ()>) -> Result<()> {
        self.packs.flush(|_| {})?;
        self.doubt();
        self.ready_with(writer)
    }
}

fn encode(insert: &Insert) -> Vec<u8> {
    record::encode(insert.kind, GROUPED, &insert.id, &insert.raw)
}
