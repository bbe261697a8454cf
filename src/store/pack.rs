//! The packs: append-only files of records, `packs/00000001.pack` and on.
//!
//! Invariants:
//! * One appender (a mutex). Small records gather in a buffer, so that a checkpoint is one write and one fdatasync;
//!   what is still in the buffer can be read like anything else.
//! * `written` only grows, and what lies before it in the file is never changed: readers below it take no lock. A
//!   failed write is cut back to it, so the file never keeps half a record of a living process.
//! * A publication lies in one pack, in one piece, and ends with an end record.
//! * A pack is synced before the next one is begun.
//! * Nothing is allocated by a length that a file claims without that length being in the file.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::error::{Error, Result, is_full};
use super::record::{self, HEADER, Header, Kind, Place};
use super::wire::{In, Out};

/// The buffer is written through above this.
const BUFFER: usize = 1 << 20;
/// A pack is followed by a new one above this.
const ROLL: u64 = 512 << 20;
/// So much of the file system is left to the index, or an eighth of a small one.
const RESERVE: u64 = 16 << 20;
/// Hash over the checks of a publication's records.
const END_CONTEXT: &str = "backtrail 2026 end of publication";

/// All packs of a store.
pub(crate) struct Packs {
    dir: PathBuf,
    roll: u64,
    files: RwLock<HashMap<u32, Arc<File>>>,
    tail: Mutex<Tail>,
    /// The place up to which everything is in the files.
    written: AtomicU64,
}

struct Tail {
    pack: u32,
    file: Arc<File>,
    /// Length of the file.
    written: u64,
    /// What follows in memory.
    buf: Vec<u8>,
    /// Known to be on disk.
    synced: Place,
    /// A sync failed: what is on disk is not known.
    broken: bool,
}

impl Tail {
    fn end(&self) -> Place {
        Place::new(self.pack, self.written + self.buf.len() as u64)
    }
}

/// A publication that was appended.
pub(crate) struct Appended {
    /// Where each of its records lies.
    pub places: Vec<Place>,
    /// Where it ends.
    pub end: Place,
}

/// The path of a pack.
pub(crate) fn pack_path(dir: &Path, pack: u32) -> PathBuf {
    dir.join(format!("{pack:08}.pack"))
}

/// The numbers of the packs in `dir`, ascending.
pub(crate) fn list(dir: &Path) -> Result<Vec<u32>> {
    let mut packs = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| Error::io("list", dir, e))? {
        let entry = entry.map_err(|e| Error::io("list", dir, e))?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|n| n.strip_suffix(".pack"))
            .and_then(|n| n.parse::<u32>().ok());
        packs.extend(number.filter(|n| *n > 0 && *n < 1 << 24));
    }
    packs.sort_unstable();
    Ok(packs)
}

impl Packs {
    /// Opens the packs in `dir` for appending behind the last one, which ends at a record's end. What is there counts
    /// as synced.
    pub fn open(dir: &Path, roll: Option<u64>) -> Result<Self> {
        let numbers = list(dir)?;
        let mut files = HashMap::new();
        for n in &numbers {
            files.insert(*n, Arc::new(open_pack(dir, *n, false)?));
        }
        let last = match numbers.last() {
            Some(n) => *n,
            None => {
                files.insert(1, Arc::new(open_pack(dir, 1, true)?));
                1
            }
        };
        let path = pack_path(dir, last);
        let file = files
            .get(&last)
            .cloned()
            .ok_or_else(|| Error::io("open", &path, io::ErrorKind::NotFound.into()))?;
        let written = file
            .metadata()
            .map_err(|e| Error::io("read the length of", &path, e))?
            .len();
        // Whatever an earlier process wrote without syncing is made durable before anything is built on it.
        file.sync_data().map_err(|e| Error::io("sync", &path, e))?;
        Ok(Self {
            dir: dir.to_owned(),
            roll: roll.unwrap_or(ROLL),
            files: RwLock::new(files),
            written: AtomicU64::new(Place::new(last, written).0),
            tail: Mutex::new(Tail {
                pack: last,
                file,
                written,
                buf: Vec::new(),
                synced: Place::new(last, written),
                broken: false,
            }),
        })
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        // The tail is consistent at every point where a panic could happen in between.
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The path of a pack.
    pub fn path(&self, pack: u32) -> PathBuf {
        pack_path(&self.dir, pack)
    }

    /// The numbers of the packs, ascending.
    pub fn numbers(&self) -> Vec<u32> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let mut numbers: Vec<u32> = files.keys().copied().collect();
        numbers.sort_unstable();
        numbers
    }

    /// Appends one record to the buffer. `then` runs while nobody else can append.
    pub fn append(&self, mut record: Vec<u8>, then: impl FnOnce(Place)) -> Result<Place> {
        let mut tail = self.tail();
        self.ready(&mut tail)?;
        if tail.buf.len() + record.len() > BUFFER && !tail.buf.is_empty() {
            self.write_out(&mut tail)?;
        }
        self.roll(&mut tail, record.len() as u64)?;
        let place = tail.end();
        record::seal(&mut record, place);
        tail.buf.extend_from_slice(&record);
        then(place);
        Ok(place)
    }

    /// Appends a publication: these records and an end record, written in one piece with what is in the buffer.
    /// Nothing of it stays when that fails. `then` runs while nobody else can append.
    pub fn append_group(
        &self,
        records: &mut [Vec<u8>],
        then: impl FnOnce(&Appended),
    ) -> Result<Appended> {
        let mut tail = self.tail();
        self.ready(&mut tail)?;
        let total: usize = records.iter().map(Vec::len).sum();
        self.roll(&mut tail, total as u64)?;
        let start = tail.end();
        let kept = tail.buf.len();
        let mut places = Vec::with_capacity(records.len());
        let mut hasher = blake3::Hasher::new_derive_key(END_CONTEXT);
        for record in records.iter_mut() {
            let place = tail.end();
            record::seal(record, place);
            hasher.update(record.get(64..HEADER).unwrap_or_default());
            places.push(place);
            tail.buf.extend_from_slice(record);
        }
        let end = End {
            count: records.len() as u32,
            start,
            synced: tail.synced,
        };
        let mut record = record::encode(Kind::End, 0, hasher.finalize().as_bytes(), &end.encode());
        let place = tail.end();
        record::seal(&mut record, place);
        tail.buf.extend_from_slice(&record);
        if let Err(e) = self.write_out(&mut tail) {
            tail.buf.truncate(kept);
            return Err(e);
        }
        let appended = Appended {
            places,
            end: tail.end(),
        };
        then(&appended);
        Ok(appended)
    }

    /// Writes the buffer to the file (not synced) and says up to where everything is now in the files. `then` runs
    /// while nobody else can append.
    pub fn flush(&self, then: impl FnOnce(Place)) -> Result<Place> {
        let mut tail = self.tail();
        self.ready(&mut tail)?;
        self.write_out(&mut tail)?;
        let end = tail.end();
        then(end);
        Ok(end)
    }

    /// Everything appended so far is on disk when this returns. Appends and reads go on meanwhile.
    pub fn sync(&self) -> Result<()> {
        let (file, path, end) = {
            let mut tail = self.tail();
            self.ready(&mut tail)?;
            self.write_out(&mut tail)?;
            let end = tail.end();
            if tail.synced >= end {
                return Ok(());
            }
            (Arc::clone(&tail.file), self.path(tail.pack), end)
        };
        let synced = file.sync_data();
        let mut tail = self.tail();
        match synced {
            Ok(()) => {
                tail.synced = tail.synced.max(end);
                Ok(())
            }
            Err(e) => {
                tail.broken = true;
                Err(Error::io("sync", &path, e))
            }
        }
    }

    /// Up to where everything is in the files.
    pub fn end(&self) -> Place {
        Place(self.written.load(Ordering::Acquire))
    }

    /// Ends the pack that is appended to, so that it can be rewritten, and begins the next one.
    pub fn seal_tail(&self) -> Result<()> {
        let mut tail = self.tail();
        self.ready(&mut tail)?;
        if tail.end().offset() == 0 {
            return Ok(());
        }
        self.next_pack(&mut tail)
    }

    /// Puts a rewritten pack, which is on disk beside the old one, in its place. Who reads the old one goes on doing so.
    pub fn replace(&self, pack: u32, by: &Path) -> Result<()> {
        let path = self.path(pack);
        std::fs::rename(by, &path).map_err(|e| Error::io("replace", &path, e))?;
        let file = Arc::new(open_pack(&self.dir, pack, false)?);
        self.files
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(pack, file);
        Ok(())
    }

    /// The names in the packs' directory are on disk when this returns.
    pub fn sync_names(&self) -> Result<()> {
        File::open(&self.dir)
            .and_then(|d| d.sync_all())
            .map_err(|e| Error::io("sync", &self.dir, e))
    }

    fn ready(&self, tail: &mut Tail) -> Result<()> {
        if tail.broken {
            return Err(Error::Closed(self.dir.clone()));
        }
        Ok(())
    }

    /// Where the packs lie.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether `more` bytes can be written and still leave room for the index: it must never be the one to find the
    /// disk full, since what it is told of is already durable.
    pub fn room(&self, more: u64) -> Result<()> {
        let Ok(fs) = rustix::fs::statvfs(&self.dir) else {
            return Ok(());
        };
        let reserve = RESERVE.min(fs.f_blocks.saturating_mul(fs.f_frsize) / 8);
        if fs.f_bavail.saturating_mul(fs.f_frsize) < more.saturating_add(reserve) {
            return Err(Error::Full(self.dir.clone()));
        }
        Ok(())
    }

    fn write_out(&self, tail: &mut Tail) -> Result<()> {
        if tail.buf.is_empty() {
            return Ok(());
        }
        self.room(tail.buf.len() as u64)?;
        let path = self.path(tail.pack);
        if let Err(e) = tail.file.write_all_at(&tail.buf, tail.written) {
            if tail.file.set_len(tail.written).is_err() {
                tail.broken = true;
            }
            return Err(if is_full(&e) {
                Error::Full(self.dir.clone())
            } else {
                Error::io("write", &path, e)
            });
        }
        tail.written += tail.buf.len() as u64;
        tail.buf.clear();
        tail.buf.shrink_to(2 * BUFFER);
        self.written.store(tail.end().0, Ordering::Release);
        Ok(())
    }

    /// Begins a new pack when this one is large enough.
    fn roll(&self, tail: &mut Tail, more: u64) -> Result<()> {
        let length = tail.written + tail.buf.len() as u64;
        if length == 0 || length + more <= self.roll {
            return Ok(());
        }
        self.next_pack(tail)
    }

    fn next_pack(&self, tail: &mut Tail) -> Result<()> {
        self.write_out(tail)?;
        if let Err(e) = tail.file.sync_data() {
            tail.broken = true;
            return Err(Error::io("sync", &self.path(tail.pack), e));
        }
        let pack = tail.pack + 1;
        let file = Arc::new(open_pack(&self.dir, pack, true)?);
        self.files
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(pack, Arc::clone(&file));
        tail.pack = pack;
        tail.file = file;
        tail.written = 0;
        tail.synced = Place::new(pack, 0);
        self.written.store(tail.end().0, Ordering::Release);
        Ok(())
    }

    fn damaged(&self, place: Place, what: impl Into<String>) -> Error {
        Error::Damaged {
            path: self.path(place.pack()),
            offset: place.offset(),
            what: what.into(),
        }
    }

    /// Reads the record at `place`, of which about `hint` payload bytes are expected, and decodes its payload.
    pub fn read(&self, place: Place, hint: u64) -> Result<(Header, Vec<u8>)> {
        let (header, stored) = self.read_stored(place, hint)?;
        let raw = header
            .decode(stored)
            .map_err(|bad| self.damaged(place, bad.0))?;
        Ok((header, raw))
    }

    /// The same without decoding the payload.
    pub fn read_stored(&self, place: Place, hint: u64) -> Result<(Header, Vec<u8>)> {
        let first = HEADER + hint.min(2 << 20) as usize;
        let mut bytes = self.bytes_at(place, first)?;
        let header = Header::parse(&bytes, place)
            .ok_or_else(|| self.damaged(place, "a record's header is not readable"))?;
        if header.version > record::VERSION {
            return Err(Error::NewerFormat {
                path: self.path(place.pack()),
                found: u64::from(header.version),
                known: u64::from(record::VERSION),
            });
        }
        let wanted = usize::try_from(header.len())
            .map_err(|_| self.damaged(place, "a record is impossibly long"))?;
        if bytes.len() < wanted {
            let rest = self.bytes_at(place.plus(bytes.len() as u64), wanted - bytes.len())?;
            bytes.extend_from_slice(&rest);
        }
        if bytes.len() < wanted {
            return Err(self.damaged(place, "a record is cut short"));
        }
        bytes.truncate(wanted);
        let stored = bytes.split_off(HEADER);
        if !header.covers(&stored) {
            return Err(self.damaged(place, "a record's payload is not what was written"));
        }
        Ok((header, stored))
    }

    /// The header of the record at `place`.
    pub fn header(&self, place: Place) -> Result<Header> {
        let bytes = self.bytes_at(place, HEADER)?;
        Header::parse(&bytes, place)
            .ok_or_else(|| self.damaged(place, "a record's header is not readable"))
    }

    /// Up to `len` bytes at `place`, less at the end of what is there.
    fn bytes_at(&self, place: Place, len: usize) -> Result<Vec<u8>> {
        let written = Place(self.written.load(Ordering::Acquire));
        if place.pack() == written.pack() && place.plus(len as u64) > written {
            // Perhaps in the buffer: look under the lock, where the buffer does not move.
            let tail = self.tail();
            if place.pack() == tail.pack {
                let offset = place.offset();
                if offset >= tail.written {
                    let from = (offset - tail.written).min(tail.buf.len() as u64) as usize;
                    let to = from.saturating_add(len).min(tail.buf.len());
                    return Ok(tail.buf[from..to].to_vec());
                }
                // A record lies either in the file or in the buffer, never in both.
                let len = (len as u64).min(tail.written - offset) as usize;
                drop(tail);
                return self.file_bytes(place, len);
            }
        }
        self.file_bytes(place, len)
    }

    fn file_bytes(&self, place: Place, len: usize) -> Result<Vec<u8>> {
        let path = self.path(place.pack());
        let file = self
            .files
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&place.pack())
            .cloned()
            .ok_or_else(|| self.damaged(place, "the pack is missing"))?;
        let len = if len > 4 << 20 {
            let there = file
                .metadata()
                .map_err(|e| Error::io("read the length of", &path, e))?
                .len();
            (len as u64).min(there.saturating_sub(place.offset())) as usize
        } else {
            len
        };
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match file.read_at(&mut bytes[filled..], place.offset() + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("read", &path, e)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

fn open_pack(dir: &Path, pack: u32, create: bool) -> Result<File> {
    let path = pack_path(dir, pack);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(create)
        .truncate(false)
        .open(&path)
        .map_err(|e| Error::io("open", &path, e))?;
    if create {
        // The name must be durable before anything in the file is acknowledged.
        File::open(dir)
            .and_then(|d| d.sync_all())
            .map_err(|e| Error::io("sync", dir, e))?;
    }
    Ok(file)
}

/// What an end record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// How many records precede it.
    pub count: u32,
    /// Where the first of them lies.
    pub start: Place,
    /// What was known to be on disk before. A damaged spot before it cannot be the trace of a crash.
    pub synced: Place,
}

impl End {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Out::default();
        out.u32(self.count);
        out.u64(self.start.0);
        out.u64(self.synced.0);
        out.0
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut r = In::new(bytes);
        let end = Self {
            count: r.u32().ok()?,
            start: Place(r.u64().ok()?),
            synced: Place(r.u64().ok()?),
        };
        r.end().ok()?;
        Some(end)
    }

    /// The id of the end record of records with these checks.
    pub fn id<'a>(checks: impl Iterator<Item = &'a [u8; 8]>) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(END_CONTEXT);
        for check in checks {
            hasher.update(check);
        }
        *hasher.finalize().as_bytes()
    }
}
