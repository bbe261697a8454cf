//! A recording that is opened: its files read in one pass, its index kept in a cache, its texts read when they are looked
//! at, and followed when it grows.
//!
//! The source is only ever read. What is derived from it (the index, the rebuilt file states) lies in a directory of the
//! user's cache, can be thrown away at any time, and is used again only while every file it was made from is as it was.

mod cached;
mod changed;
mod records;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use crate::model::{BlobId, Step, StepId};

use super::assemble::Assembler;
use super::discover;
use super::event::{Out, Record, Side, Span, State};
use super::format::{Format, Shape};
use super::index::{FileMark, Index, Spot};
use super::records::Cutter;
pub use cached::{from_cache, to_cache};
use changed::{Seal, Sides};
pub use records::Records;
use records::{read_at, text_of};

/// How much is read at a time; the index is open for questions in between.
const PIECE: usize = 256 << 10;
/// How long, and how often, reading waits for those who want to look into the index.
const WAY: Duration = Duration::from_micros(50);
const WAYS: u32 = 20;
/// The longest record that a text is taken from.
const LONGEST: u64 = 1 << 30;

/// Why a recording cannot be opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No reader knows it.
    #[error(
        "{} is no recording that is known here; `backtrail formats` lists what is (name one with --format)", .0.display()
    )]
    Unknown(PathBuf),
    /// A directory without any.
    #[error("no recording is in {}", .0.display())]
    Empty(PathBuf),
}

/// Which text of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Which {
    /// Prompt, thought, arguments.
    Body,
    /// A call's output.
    Output,
}

/// One file of a recording, with where its reading stands.
struct Input {
    path: PathBuf,
    side: Option<Side>,
    cutter: Cutter,
    state: State,
    seal: Seal,
}

/// What is behind one lock: the index and where its reading stands.
struct Inside {
    assembler: Assembler,
    inputs: Vec<Input>,
}

/// How far reading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Bytes read.
    pub read: u64,
    /// Bytes there.
    pub of: u64,
    /// The whole index is made.
    pub done: bool,
    /// It came from the cache.
    pub cached: bool,
}

/// Told while a recording is read: entries that are new or have changed.
pub type Watcher<'a> = dyn Fn(&[u32]) + Send + Sync + 'a;

/// Places by the ids of steps. An id is a hash, so they are known for the steps that were shown, and for all once a step is
/// asked for that was not.
#[derive(Default)]
struct Ids {
    places: HashMap<StepId, u32>,
    /// All entries before this one are in `places`.
    all_before: usize,
}

/// An opened recording.
pub struct Recording {
    path: PathBuf,
    format: &'static dyn Format,
    inside: RwLock<Inside>,
    progress: Mutex<Progress>,
    ids: Mutex<Ids>,
    /// How many want to look into the index just now.
    asking: AtomicUsize,
    told: Mutex<HashMap<BlobId, (u32, Which)>>,
    sides: Mutex<Sides>,
}

impl Recording {
    /// Looks at what is there: the format, the files. Nothing is read yet but beginnings.
    pub fn open(path: &Path, format: &'static dyn Format) -> Result<Self, Error> {
        // A pipe would wait for ever, a device never end.
        open_file(path)?;
        let mut inputs = vec![Input::new(0, path.to_owned(), None)];
        for side in format.sides(path) {
            let Ok(n) = u16::try_from(inputs.len()) else {
                break;
            };
            inputs.push(Input::new(n, side.path.clone(), Some(side)));
        }
        let mut assembler = Assembler::new(format.name());
        assembler.index.files = inputs.iter().map(|i| mark(&i.path)).collect();
        let of = assembler.index.files.iter().map(|f| f.size).sum();
        Ok(Self {
            path: path.to_owned(),
            format,
            inside: RwLock::new(Inside { assembler, inputs }),
            progress: Mutex::new(Progress {
                of,
                ..Progress::default()
            }),
            ids: Mutex::default(),
            asking: AtomicUsize::new(0),
            told: Mutex::default(),
            sides: Mutex::default(),
        })
    }

    /// Its main file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its format.
    #[must_use]
    pub fn format(&self) -> &'static dyn Format {
        self.format
    }

    /// How far reading is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        *lock(&self.progress)
    }

    /// Looks into the index.
    pub fn with<R>(&self, look: impl FnOnce(&Index) -> R) -> R {
        look(&self.read().assembler.index)
    }

    fn read(&self) -> RwLockReadGuard<'_, Inside> {
        self.asking.fetch_add(1, Ordering::Relaxed);
        let inside = self.inside.read().unwrap_or_else(PoisonError::into_inner);
        self.asking.fetch_sub(1, Ordering::Relaxed);
        inside
    }

    /// Lets those go first who want to look into the index: the lock alone would let the reader of the file take it again
    /// before they have woken up.
    fn give_way(&self) {
        for _ in 0..WAYS {
            if self.asking.load(Ordering::Relaxed) == 0 {
                return;
            }
            std::thread::sleep(WAY);
        }
    }

    /// Works on the index.
    pub fn change<R>(&self, work: impl FnOnce(&mut Assembler) -> R) -> R {
        let mut inside = self.inside.write().unwrap_or_else(PoisonError::into_inner);
        work(&mut inside.assembler)
    }

    /// Takes the index over that was made before, if it fits what is there now.
    pub fn take_cached(&self, mut cached: Index) -> bool {
        let mut inside = self.inside.write().unwrap_or_else(PoisonError::into_inner);
        if cached.files != inside.assembler.index.files
            || cached.format != self.format.name()
            || cached.files.iter().any(|f| f.inode == 0)
        {
            return false;
        }
        cached.put_in_order();
        inside.assembler.index = cached;
        drop(inside);
        let mut progress = lock(&self.progress);
        progress.read = progress.of;
        progress.done = true;
        progress.cached = true;
        true
    }

    /// Reads everything that is there, file by file, telling of each piece. `last`: no more will come, so a torn last line
    /// is taken as it is.
    pub fn read_all(&self, last: bool, watcher: &Watcher<'_>) -> Result<(), Error> {
        let files = self.read().inputs.len();
        for n in 0..files {
            match self.format.shape() {
                Shape::Lines => self.read_lines(n, last, watcher)?,
                Shape::Document(split) => self.read_document(n, split, watcher)?,
            }
        }
        let changed = self.change(|a| {
            a.settle();
            a.take_changed()
        });
        lock(&self.progress).done = true;
        watcher(&changed);
        Ok(())
    }

    fn open_input(&self, n: usize) -> Result<(File, PathBuf, u64), Error> {
        let inside = self.read();
        let input = &inside.inputs[n];
        let (path, at) = (input.path.clone(), input.cutter.position());
        drop(inside);
        let file = open_file(&path)?;
        Ok((file, path, at))
    }

    fn read_lines(&self, n: usize, last: bool, watcher: &Watcher<'_>) -> Result<(), Error> {
        let (file, path, mut at) = match self.open_input(n) {
            Ok(opened) => opened,
            // A side file may be gone by now: the main one is what counts.
            Err(_) if n > 0 => return Ok(()),
            Err(e) => return Err(e),
        };
        let mut buffer = vec![0; PIECE];
        loop {
            let got = read_at(&file, &mut buffer, at).map_err(|source| Error::Read {
                path: path.clone(),
                source,
            })?;
            at += got as u64;
            self.give_way();
            let changed = self.feed(n, &buffer[..got], got == 0 && last);
            lock(&self.progress).read += got as u64;
            if !changed.is_empty() {
                watcher(&changed);
            }
            if got == 0 {
                return Ok(());
            }
        }
    }

    /// Feeds bytes of a file and gives the entries that came of them.
    fn feed(&self, n: usize, bytes: &[u8], last: bool) -> Vec<u32> {
        let mut guard = self.inside.write().unwrap_or_else(PoisonError::into_inner);
        let Inside { assembler, inputs } = &mut *guard;
        let Some(input) = inputs.get_mut(n) else {
            return Vec::new();
        };
        let Input {
            cutter,
            state,
            side,
            seal,
            ..
        } = input;
        seal.feed(bytes);
        let mut give = |record: Record<'_>| {
            take(self.format, assembler, state, side.as_ref(), record);
        };
        cutter.feed(bytes, &mut give);
        // An end without a newline is the end of the record all the same, if it is one.
        if bytes.is_empty() && (last || super::records::is_json(cutter.torn())) {
            cutter.finish(&mut give);
        }
        assembler.take_changed()
    }

    fn read_document(
        &self,
        n: usize,
        split: fn(&[u8]) -> Vec<super::format::Piece>,
        watcher: &Watcher<'_>,
    ) -> Result<(), Error> {
        let (mut file, path, _) = self.open_input(n)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|source| Error::Read { path, source })?;
        let mut guard = self.inside.write().unwrap_or_else(PoisonError::into_inner);
        let Inside { assembler, inputs } = &mut *guard;
        let Some(input) = inputs.get_mut(n) else {
            return Ok(());
        };
        for piece in split(&bytes) {
            let Some(part) = bytes.get(piece.range.clone()) else {
                continue;
            };
            let record = Record {
                bytes: part,
                span: Span {
                    file: u16::try_from(n).unwrap_or(u16::MAX),
                    offset: piece.range.start as u64,
                    len: u32::try_from(part.len()).unwrap_or(u32::MAX),
                },
                tag: piece.tag,
            };
            take(
                self.format,
                assembler,
                &mut input.state,
                input.side.as_ref(),
                record,
            );
        }
        let changed = assembler.take_changed();
        drop(guard);
        lock(&self.progress).read += bytes.len() as u64;
        watcher(&changed);
        Ok(())
    }

    /// Reads what was appended since, and files that are new. `Ok(false)`: a file is not what it was (shorter, another
    /// inode, other bytes where it was read), so the recording must be opened again.
    pub fn read_more(&self, watcher: &Watcher<'_>) -> Result<bool, Error> {
        for side in self.new_sides() {
            {
                let mut guard = self.inside.write().unwrap_or_else(PoisonError::into_inner);
                let Ok(n) = u16::try_from(guard.inputs.len()) else {
                    break;
                };
                guard.assembler.index.files.push(mark(&side.path));
                guard
                    .inputs
                    .push(Input::new(n, side.path.clone(), Some(side)));
            }
        }
        let count = self.read().inputs.len();
        if self.progress().cached {
            // What the assembler knew besides its index is not kept: what has grown is read anew.
            let inside = self.read();
            let files = &inside.assembler.index.files;
            return Ok(files.iter().all(|f| mark(Path::new(&f.path)) == *f));
        }
        let mut grew = false;
        for n in 0..count {
            let (path, position, old) = {
                let inside = self.read();
                let (input, files) = (&inside.inputs[n], &inside.assembler.index.files);
                (
                    input.path.clone(),
                    input.cutter.position(),
                    files[n].clone(),
                )
            };
            let now = mark(&path);
            let is_document = matches!(self.format.shape(), Shape::Document(_));
            if now == old && (is_document || position >= now.size) {
                continue;
            }
            if is_document || now.inode != old.inode || now.size < position {
                return Ok(false);
            }
            // Written anew in its place, it may be as long as it was or longer.
            let seal = self.read().inputs[n].seal.clone();
            if open_file(&path).is_ok_and(|file| !seal.fits(&file)) {
                return Ok(false);
            }
            if now.size > position {
                self.read_lines(n, false, watcher)?;
                grew = true;
            }
            self.change(|a| a.index.files[n] = now);
        }
        if grew {
            let changed = self.change(|a| {
                a.settle();
                a.take_changed()
            });
            if !changed.is_empty() {
                watcher(&changed);
            }
        }
        Ok(true)
    }

    /// Files that belong to it and are not read yet.
    fn new_sides(&self) -> Vec<Side> {
        let known: HashSet<PathBuf> = {
            let mut sides = lock(&self.sides);
            let inside = self.read();
            let paths = inside.inputs.iter().map(|i| i.path.as_path());
            if !sides.is_due(&self.path, paths.clone()) {
                return Vec::new();
            }
            paths.map(Path::to_owned).collect()
        };
        let began = Instant::now();
        let mut all = self.format.sides(&self.path);
        lock(&self.sides).listed(began.elapsed());
        all.retain(|side| !known.contains(&side.path));
        all
    }

    /// Whether every file of it was read to its end, with no line half there, so that what is cached of it will fit.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        if !self.progress().done {
            return false;
        }
        let inside = self.read();
        let files = &inside.assembler.index.files;
        files.iter().all(|f| mark(Path::new(&f.path)) == *f)
            && inside.inputs.iter().all(|i| i.cutter.torn().is_empty())
    }

    /// The place of a step.
    pub fn find(&self, id: StepId) -> Option<u32> {
        let mut ids = lock(&self.ids);
        if let Some(at) = ids.places.get(&id) {
            return Some(*at);
        }
        let inside = self.read();
        let index = &inside.assembler.index;
        for at in ids.all_before..index.entries.len() {
            let place = u32::try_from(at).unwrap_or(u32::MAX);
            ids.places.insert(index.step_id(&index.entries[at]), place);
        }
        ids.all_before = index.entries.len();
        ids.places.get(&id).copied()
    }

    /// The step at a place.
    pub fn step(&self, at: u32) -> Option<Step> {
        self.steps(|_| vec![at]).pop()
    }

    /// The steps at the places that `which` gives.
    pub fn steps(&self, which: impl FnOnce(&Index) -> Vec<u32>) -> Vec<Step> {
        let (places, steps): (Vec<u32>, Vec<Step>) = self.with(|index| {
            let at = which(index).into_iter();
            at.filter_map(|at| Some((at, index.step(at)?))).unzip()
        });
        let mut ids = lock(&self.ids);
        for (step, at) in steps.iter().zip(places) {
            ids.places.insert(step.id, at);
        }
        steps
    }

    /// The bytes of a record.
    pub fn record(&self, span: Span) -> Result<Vec<u8>, Error> {
        self.records().read(span)
    }

    /// Reads records one after the other.
    #[must_use]
    pub fn records(&self) -> Records<'_> {
        Records {
            recording: self,
            files: HashMap::new(),
            texts: Vec::new(),
        }
    }

    /// A whole text; `None` where the entry has none.
    pub fn text(&self, at: u32, which: Which) -> Result<Option<String>, Error> {
        let Some((spot, tag)) = self.spot(at, which) else {
            return Ok(None);
        };
        let bytes = self.record(spot.span)?;
        Ok(text_of(self.format, &bytes, spot, &tag, which))
    }

    fn spot(&self, at: u32, which: Which) -> Option<(Spot, String)> {
        self.with(|index| {
            let entry = index.get(at)?;
            let spot = match which {
                Which::Body => entry.body?,
                Which::Output => entry.output?,
            };
            let tag = match spot.tag {
                0 => String::new(),
                n => index.tags.get(usize::from(n) - 1)?.clone(),
            };
            Some((spot, tag))
        })
    }

    /// Remembers where a text is that was looked at, so that more of it can be asked for by its id.
    pub fn remember(&self, id: BlobId, at: u32, which: Which) {
        lock(&self.told).insert(id, (at, which));
    }

    /// A text that was looked at before.
    pub fn remembered(&self, id: BlobId) -> Result<Option<String>, Error> {
        let known = lock(&self.told).get(&id).copied();
        match known {
            Some((at, which)) => self.text(at, which),
            None => Ok(None),
        }
    }

    /// Names of the tags of records, for reading them again.
    #[must_use]
    pub fn tag(&self, tag: u8) -> String {
        self.with(|index| match tag {
            0 => String::new(),
            n => index
                .tags
                .get(usize::from(n) - 1)
                .cloned()
                .unwrap_or_default(),
        })
    }

    /// What was not understood, by name.
    #[must_use]
    pub fn unknown(&self) -> BTreeMap<String, u64> {
        self.with(|index| index.unknown.clone())
    }
}

impl Input {
    fn new(n: u16, path: PathBuf, side: Option<Side>) -> Self {
        Self {
            path,
            side,
            cutter: Cutter::new(n, 0),
            state: State::default(),
            seal: Seal::default(),
        }
    }
}

fn take(
    format: &dyn Format,
    assembler: &mut Assembler,
    state: &mut State,
    side: Option<&Side>,
    record: Record<'_>,
) {
    let mut out = Out::default();
    format.events(record, state, &mut out);
    state.records += 1;
    let effects = format.has_effects(record);
    assembler.take(record, out, effects, side);
}

/// Opens a file to read it, as [`discover::open_file`], with an error that says which.
pub fn open_file(path: &Path) -> Result<File, Error> {
    discover::open_file(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

fn mark(path: &Path) -> FileMark {
    let meta = std::fs::metadata(path).ok();
    FileMark {
        path: path.to_string_lossy().into_owned(),
        size: meta.as_ref().map_or(0, |m| m.size()),
        modified: meta.as_ref().map_or(0, |m| {
            i128::from(m.mtime()) * 1_000_000_000 + i128::from(m.mtime_nsec())
        }),
        inode: meta.as_ref().map_or(0, |m| m.ino()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A recording that several threads look at.
pub type Shared = Arc<Recording>;
