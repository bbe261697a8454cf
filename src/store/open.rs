//! Opening a store: lock, format, packs, and the index brought up to them.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::error::{Error, Result};
use super::index::Index;
use super::pack::{self, Packs};
use super::record::{Kind, Place};
use super::scan::{Item, Scan, Scanned, Unit};
use super::tables::{self, Rec, Tables};

/// The format of the whole directory.
const FORMAT: u64 = 1;
const FORMAT_LINE: &str = "backtrail store ";
/// How many records go into one transaction while catching up.
const BATCH: usize = 20_000;
/// ... and how many bytes of payload.
const BATCH_BYTES: usize = 32 << 20;
/// More than this of a torn tail is not kept.
const KEEP: u64 = 64 << 20;

/// What opening had to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// The store did not exist before.
    pub created: bool,
    /// Records that were in the packs but not yet in the index.
    pub caught_up: u64,
    /// Bytes at the packs' end that were never acknowledged (the trace of a crash), and were cut off.
    pub torn: u64,
    /// Where they are kept, if they are.
    pub torn_kept: Option<PathBuf>,
    /// Why the index was made anew, if it was.
    pub rebuilt: Option<String>,
    /// Damaged spots that were stepped over.
    pub damaged: u64,
}

/// Checks or writes `FORMAT`.
pub(crate) fn format(dir: &Path) -> Result<bool> {
    let path = dir.join("FORMAT");
    match fs::read_to_string(&path) {
        Ok(text) => {
            let version = text
                .strip_prefix(FORMAT_LINE)
                .and_then(|v| v.trim().parse::<u64>().ok());
            match version {
                Some(v) if v > FORMAT => Err(Error::NewerFormat {
                    path,
                    found: v,
                    known: FORMAT,
                }),
                Some(FORMAT) => Ok(false),
                _ => Err(Error::NotAStore {
                    path,
                    what: "its first line is not that of a store".into(),
                }),
            }
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            write_format(dir).map_err(|e| Error::io("write", &path, e))?;
            Ok(true)
        }
        Err(e) if e.kind() == std::io::ErrorKind::InvalidData => Err(Error::NotAStore {
            path,
            what: "its first line is not that of a store".into(),
        }),
        Err(e) => Err(Error::io("read", &path, e)),
    }
}

/// Writes `FORMAT` anew where it is missing or not readable, in a directory that has packs. A newer format is refused.
pub fn restore_format(dir: &Path) -> Result<()> {
    match format(dir) {
        Ok(_) => Ok(()),
        Err(Error::NotAStore { path, .. }) => {
            write_format(dir).map_err(|e| Error::io("write", &path, e))
        }
        Err(e) => Err(e),
    }
}

fn write_format(dir: &Path) -> std::io::Result<()> {
    let staged = dir.join("FORMAT.new");
    let mut file = File::create(&staged)?;
    writeln!(file, "{FORMAT_LINE}{FORMAT}")?;
    file.sync_all()?;
    fs::rename(&staged, dir.join("FORMAT"))?;
    File::open(dir)?.sync_all()
}

/// Opens the index, brings it up to the packs, cuts a torn tail, and opens the packs for appending.
pub(crate) fn open_parts(
    dir: &Path,
    roll: Option<u64>,
    report: &mut OpenReport,
) -> Result<(Packs, Index)> {
    let packs_dir = dir.join("packs");
    fs::create_dir_all(&packs_dir)
        .and_then(|()| File::open(dir)?.sync_all())
        .map_err(|e| Error::io("make", &packs_dir, e))?;
    let index_path = dir.join("graph.redb");
    let had_index = index_path.exists();
    let has_records = pack::list(&packs_dir)?
        .iter()
        .any(|n| fs::metadata(pack::pack_path(&packs_dir, *n)).is_ok_and(|m| m.len() > 0));

    super::rewrite::sweep(&packs_dir);
    let attempt = open_index(&index_path, &packs_dir).and_then(|index| {
        if has_records && index.position()? == Place::default() {
            let why = if had_index { "empty" } else { "missing" };
            report.rebuilt = Some(format!("it was {why}"));
        }
        catch_up(&packs_dir, &index, None, report)?;
        Ok(index)
    });
    let index = match attempt {
        Err(Error::IndexDamaged { what, .. }) => {
            let index = Index::closed(&index_path);
            index.recreate()?;
            report.rebuilt = Some(what);
            report.caught_up = 0;
            report.damaged = 0;
            catch_up(&packs_dir, &index, None, report)?;
            index
        }
        attempt => attempt?,
    };
    index.trusted()?;
    let packs = Packs::open(&packs_dir, roll)?;
    Ok((packs, index))
}

/// Opens the index unless there is reason not to trust it.
fn open_index(path: &Path, packs: &Path) -> Result<Index> {
    let damaged = |what: &str| {
        Err(Error::IndexDamaged {
            path: path.to_owned(),
            what: what.to_owned(),
        })
    };
    if Index::doubt_path(path).exists() {
        return damaged("it had failed before");
    }
    let index = Index::open(path)?;
    let position = index.position()?;
    if position != Place::default() {
        let pack = pack::pack_path(packs, position.pack());
        let length = fs::metadata(&pack).map_or(0, |m| m.len());
        if length < position.offset() {
            return damaged("it knows of more than the packs hold");
        }
    }
    Ok(index)
}

/// Takes into the index what the packs hold behind its position. Up to `upto` in a store that is open; to the end in
/// one that is being opened, where the trace of a crash is then cut off.
pub(crate) fn catch_up(
    packs_dir: &Path,
    index: &Index,
    upto: Option<Place>,
    report: &mut OpenReport,
) -> Result<()> {
    let position = index.position()?;
    let numbers = pack::list(packs_dir)?;
    let last = numbers.last().copied();
    let mut batch = Batch::default();
    let mut end = position;
    for n in numbers {
        if n < position.pack() || upto.is_some_and(|upto| n > upto.pack()) {
            continue;
        }
        let from = if n == position.pack() {
            position.offset()
        } else {
            0
        };
        let path = pack::pack_path(packs_dir, n);
        let file = File::options()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|e| Error::io("open", &path, e))?;
        let scan = Scan {
            file: &file,
            path: &path,
            pack: n,
            last: upto.is_none() && Some(n) == last,
            upto: upto.filter(|u| u.pack() == n).map(Place::offset),
        };
        let scanned = scan.run(from, &mut |unit| {
            match unit {
                Unit::One(item) => {
                    end = item.place.plus(item.header.len());
                    batch.push(item);
                }
                Unit::Group(items, behind) => {
                    end = behind;
                    items.into_iter().for_each(|item| batch.push(item));
                }
            }
            if batch.items.len() >= BATCH || batch.bytes >= BATCH_BYTES {
                apply(index, &mut batch, end)?;
            }
            Ok(())
        })?;
        report.caught_up += scanned.records;
        report.damaged += scanned.damage.len() as u64;
        end = Place::new(n, scanned.good);
        if upto.is_none() {
            cut(&file, &path, &scanned, report)?;
        }
    }
    if !batch.items.is_empty() || end != position {
        apply(index, &mut batch, end)?;
        // What was just read may not be on disk yet; `Packs::open` syncs it, and the index is made durable later.
    }
    Ok(())
}

/// Cuts the trace of a crash off, keeping a copy of it aside.
fn cut(file: &File, path: &Path, scanned: &Scanned, report: &mut OpenReport) -> Result<()> {
    let torn = scanned.length - scanned.good;
    if torn == 0 {
        return Ok(());
    }
    if torn <= KEEP {
        use std::os::unix::fs::FileExt;
        let aside = path.with_extension(format!("torn-{}", scanned.good));
        let mut tail = vec![0; torn as usize];
        let copied = file
            .read_exact_at(&mut tail, scanned.good)
            .and_then(|()| fs::write(&aside, &tail));
        match copied {
            Ok(()) => report.torn_kept = Some(aside),
            Err(e) if super::error::is_full(&e) => {
                let _ = fs::remove_file(&aside);
            }
            Err(e) => return Err(Error::io("keep a torn tail in", &aside, e)),
        }
    }
    file.set_len(scanned.good)
        .and_then(|()| file.sync_all())
        .map_err(|e| Error::io("cut the torn tail of", path, e))?;
    report.torn += torn;
    Ok(())
}

#[derive(Default)]
struct Batch {
    items: Vec<Item>,
    bytes: usize,
}

impl Batch {
    /// Keeps only the payloads that the index wants: contents would not fit in memory.
    fn push(&mut self, mut item: Item) {
        let wanted =
            Kind::of(item.header.kind).is_some_and(|k| tables::wants_payload(k, item.header.flags));
        if !wanted {
            item.stored = Vec::new();
        }
        self.bytes += item.stored.len();
        self.items.push(item);
    }
}

fn apply(index: &Index, batch: &mut Batch, end: Place) -> Result<()> {
    index.write(false, |tx| {
        let mut tables = Tables::open(tx)?;
        batch.bytes = 0;
        for item in batch.items.drain(..) {
            let Some(kind) = Kind::of(item.header.kind) else {
                continue;
            };
            let header = item.header;
            let raw = if tables::wants_payload(kind, header.flags) {
                match header.decode(item.stored) {
                    Ok(raw) => raw,
                    Err(_) => continue,
                }
            } else {
                Vec::new()
            };
            tables.apply(&Rec {
                kind,
                flags: header.flags,
                id: &header.id,
                place: item.place,
                len: header.raw,
                raw: &raw,
            })?;
        }
        tables.position(end)
    })
}
