//! Following recordings while agents write them: which files grew, and the complete lines that they grew by.
//!
//! The operating system's news say where to look and make it quick; they are hints only. What counts is what a look at
//! the file finds, and files that are being written are looked at every now and then without any news, so that a lost
//! or missing one costs time, never a line. Invariants:
//!
//! * a line is told once its end is there, and not before (the last line of a file that nobody writes any more: when
//!   [`Tail::finish`] is asked for it);
//! * a file that got shorter, was replaced, or holds other bytes before the place that was read up to, is told again from its
//!   start, with [`Chunk::again`] set: its reader knows by the ids of records which ones are new;
//! * what a file held before its place was added is not told. Such a file may have grown between the moment that
//!   matters and the first look, so one that was written since that moment is told from its start: times tell the rest.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

/// How often files that are being written are looked at without news: when news come at all, and when they do not.
const GLANCE: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(100)];
/// How often directories are looked at without news.
const WALK: [Duration; 2] = [Duration::from_secs(2), Duration::from_millis(250)];
/// How often places that are not there yet are looked for.
const MISSING: Duration = Duration::from_millis(100);
/// A file that did not grow for this long is looked at on news only, or with its directory.
const WARM: Duration = Duration::from_secs(600);
/// How deep below a place recordings are looked for, and how many files are known at most.
const DEEPEST: usize = 8;
const FILES: usize = 100_000;
/// Read at once.
const PIECE: usize = 1 << 20;
/// Longest line waited for; a longer one is told in parts, which no reader understands, but memory stays bounded.
const LONGEST: usize = 64 << 20;
/// Bytes before the place read up to that must still be the same.
const ANCHOR: usize = 128;

/// Complete lines that a file grew by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Which file.
    pub path: &'a Path,
    /// Where in the file they begin.
    pub offset: u64,
    /// The lines with their ends.
    pub bytes: &'a [u8],
    /// The file is told from its start again: forget what was read from it.
    pub again: bool,
    /// The file held lines before these that are not told.
    pub rest: bool,
}

/// What the operating system said.
enum News {
    At(PathBuf),
    Lost,
    Wake,
}

/// Ends a [`Tail::wait`] early.
#[derive(Clone)]
pub struct Waker(Sender<News>);

impl Waker {
    /// Ends the present or the next wait.
    pub fn wake(&self) {
        // A tail that is gone waits for nothing.
        let _ = self.0.send(News::Wake);
    }
}

/// What is known of a file.
#[derive(Debug, Default)]
struct Seen {
    /// Device and inode.
    id: (u64, u64),
    /// Told up to here; what was read beyond is in `part`.
    told: u64,
    /// Lines before `told` were never told.
    rest: bool,
    /// The beginning of a line whose end is not there yet.
    part: Vec<u8>,
    /// The last bytes before `told` plus `part`, as they were.
    anchor: Vec<u8>,
    size: u64,
    mtime: Option<SystemTime>,
    grew: Option<Instant>,
    again: bool,
}

impl Seen {
    fn read_to(&self) -> u64 {
        self.told + self.part.len() as u64
    }

    fn restart(&mut self) {
        *self = Self {
            id: self.id,
            again: true,
            grew: self.grew,
            ..Self::default()
        };
    }

    fn remember(&mut self, bytes: &[u8]) {
        self.anchor
            .extend_from_slice(&bytes[bytes.len().saturating_sub(ANCHOR)..]);
        let surplus = self.anchor.len().saturating_sub(ANCHOR);
        self.anchor.drain(..surplus);
    }
}

/// A directory.
struct Listed {
    /// Its last change; `None` if another one may still have come at the same time.
    changed: Option<SystemTime>,
    below: Vec<PathBuf>,
}

/// Follows the recordings below some directories.
pub struct Tail {
    places: BTreeMap<PathBuf, SystemTime>,
    is_recording: Box<dyn Fn(&Path) -> bool + Send>,
    files: BTreeMap<PathBuf, Seen>,
    /// Directories as they were listed.
    dirs: HashMap<PathBuf, Listed>,
    /// Places that are not there yet, and when they were last looked for.
    missing: BTreeSet<PathBuf>,
    looked: Option<Instant>,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    sender: Sender<News>,
    news: Receiver<News>,
    hints: BTreeSet<PathBuf>,
    walk: bool,
    walked: Option<Instant>,
    glanced: Option<Instant>,
    full: bool,
}

impl Tail {
    /// Follows files for whose path `is_recording` holds, below places that are added later.
    pub fn new(is_recording: impl Fn(&Path) -> bool + Send + 'static) -> Self {
        let (sender, news) = channel();
        let told = sender.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let lost = match event {
                Ok(event) if event.need_rescan() => true,
                Ok(event) => {
                    if !matches!(
                        event.kind,
                        notify::EventKind::Access(notify::event::AccessKind::Open(_))
                            | notify::EventKind::Access(notify::event::AccessKind::Read)
                    ) {
                        for path in event.paths {
                            // A tail that is gone needs no news.
                            let _ = told.send(News::At(path));
                        }
                    }
                    false
                }
                Err(_) => true,
            };
            if lost {
                let _ = told.send(News::Lost);
            }
        })
        .ok();
        Self {
            places: BTreeMap::new(),
            is_recording: Box::new(is_recording),
            files: BTreeMap::new(),
            dirs: HashMap::new(),
            missing: BTreeSet::new(),
            looked: None,
            watcher,
            watched: BTreeSet::new(),
            sender,
            news,
            hints: BTreeSet::new(),
            walk: true,
            walked: None,
            glanced: None,
            full: false,
        }
    }

    /// Without the operating system's news: only by looking again and again.
    #[must_use]
    pub fn deaf(mut self) -> Self {
        self.watcher = None;
        self
    }

    /// Ends waits early.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(self.sender.clone())
    }

    /// Adds a directory (which need not exist yet). What its files held before `since` is not told. A place that is there
    /// already stays as it is.
    pub fn add(&mut self, dir: &Path, since: SystemTime) {
        let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        if self.places.keys().any(|p| dir.starts_with(p)) {
            return;
        }
        self.places.insert(dir.clone(), since);
        if dir.is_dir() {
            self.watch(&dir);
            self.visit(&dir, 0);
        } else {
            self.missing.insert(dir);
        }
    }

    /// The places followed.
    pub fn places(&self) -> impl Iterator<Item = &Path> {
        self.places.keys().map(PathBuf::as_path)
    }

    /// Whether nothing is followed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Follows nothing any more.
    pub fn clear(&mut self) {
        if let Some(watcher) = &mut self.watcher {
            for dir in std::mem::take(&mut self.watched) {
                // Gone, perhaps, and its watch with it.
                let _ = watcher.unwatch(&dir);
            }
        }
        self.places.clear();
        self.files.clear();
        self.dirs.clear();
        self.missing.clear();
        self.hints.clear();
    }

    fn watch(&mut self, dir: &Path) {
        if self.watched.contains(dir) {
            return;
        }
        if let Some(watcher) = &mut self.watcher
            && dir.is_dir()
        {
            if watcher.watch(dir, RecursiveMode::Recursive).is_ok() {
                self.watched.insert(dir.to_owned());
            } else {
                // No watches are left: from now on looking has to do.
                self.watcher = None;
            }
        }
    }

    fn pace(&self, of: [Duration; 2]) -> Duration {
        let is_heard = |p: &PathBuf| self.watched.contains(p) || self.missing.contains(p);
        let heard = self.watcher.is_some() && self.places.keys().all(is_heard);
        of[usize::from(!heard)]
    }

    /// Waits for news, at most for `patience`; shorter when it is time for a look without any.
    pub fn wait(&mut self, patience: Duration) {
        let now = Instant::now();
        let due = |last: Option<Instant>, every: Duration| {
            last.map_or(Duration::ZERO, |t| {
                (t + every).saturating_duration_since(now)
            })
        };
        let patience = if self.places.is_empty() {
            patience
        } else if !self.missing.is_empty() {
            patience.min(due(self.looked, MISSING))
        } else {
            patience
        };
        let patience = if self.places.is_empty() {
            patience
        } else {
            patience
                .min(due(self.glanced, self.pace(GLANCE)))
                .min(due(self.walked, self.pace(WALK)))
        };
        match self.news.recv_timeout(patience) {
            Ok(news) => self.take(news),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
        while let Ok(news) = self.news.try_recv() {
            self.take(news);
        }
    }

    fn take(&mut self, news: News) {
        match news {
            News::At(path) => {
                if self.files.contains_key(&path) || (self.is_recording)(&path) {
                    self.hints.insert(path);
                } else if !path.is_file() {
                    self.walk = true;
                }
            }
            News::Lost => {
                self.walk = true;
                self.glanced = None;
            }
            News::Wake => {}
        }
    }

    /// The next look is at everything.
    pub fn hurry(&mut self) {
        self.walk = true;
        self.glanced = None;
    }

    /// Looks where news came from, and elsewhere when it is time, and tells what grew.
    pub fn look(&mut self, told: &mut dyn FnMut(Chunk<'_>)) {
        let now = Instant::now();
        let over = |last: Option<Instant>, every: Duration| last.is_none_or(|t| now >= t + every);
        if over(self.looked, MISSING) {
            self.looked = Some(now);
            for place in self.missing.clone() {
                if place.is_dir() {
                    self.missing.remove(&place);
                    self.watch(&place);
                    self.visit(&place, 0);
                }
            }
        }
        if self.walk || over(self.walked, self.pace(WALK)) {
            self.walk = false;
            self.walked = Some(now);
            self.walk();
        }
        if over(self.glanced, self.pace(GLANCE)) {
            self.glanced = Some(now);
            let warm = self.files.iter().filter(|(_, f)| {
                f.grew
                    .is_some_and(|t| now.saturating_duration_since(t) < WARM)
            });
            self.hints.extend(warm.map(|(path, _)| path.clone()));
        }
        for path in std::mem::take(&mut self.hints) {
            self.one(&path, told);
        }
    }

    /// Tells the last line of `path` although it has no end.
    pub fn finish(&mut self, path: &Path, told: &mut dyn FnMut(Chunk<'_>)) {
        self.one(path, told);
        if let Some(seen) = self.files.get_mut(path)
            && !seen.part.is_empty()
        {
            let part = std::mem::take(&mut seen.part);
            told(Chunk {
                path,
                offset: seen.told,
                bytes: &part,
                again: std::mem::take(&mut seen.again),
                rest: seen.rest,
            });
            seen.told += part.len() as u64;
        }
    }

    /// Looks for files in all directories that changed.
    fn walk(&mut self) {
        for place in self.places.keys().cloned().collect::<Vec<_>>() {
            if !self.missing.contains(&place) {
                self.visit(&place, 0);
            }
        }
        // Files of directories that did not change may have grown all the same, where no news come.
        if self.pace(WALK) == WALK[1] {
            let all: Vec<PathBuf> = self.files.keys().cloned().collect();
            for path in all {
                if let (Ok(meta), Some(seen)) = (fs::metadata(&path), self.files.get(&path))
                    && (meta.len() != seen.size || meta.modified().ok() != seen.mtime)
                {
                    self.hints.insert(path);
                }
            }
        }
    }

    fn visit(&mut self, dir: &Path, depth: usize) {
        let Ok(meta) = fs::symlink_metadata(dir) else {
            self.dirs.remove(dir);
            return;
        };
        if !meta.is_dir() || depth > DEEPEST {
            return;
        }
        let changed = meta.modified().ok();
        // A change within the clock's last tick may still be followed by another one at the same time.
        let settled = changed
            .and_then(|t| SystemTime::now().duration_since(t).ok())
            .is_some_and(|age| age > Duration::from_millis(50));
        if let Some(listed) = self.dirs.get(dir)
            && changed.is_some()
            && listed.changed == changed
        {
            for each in listed.below.clone() {
                self.visit(&each, depth + 1);
            }
            return;
        }
        let Ok(entries) = fs::read_dir(dir) else {
            return;
        };
        let mut below = Vec::new();
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let path = entry.path();
            if kind.is_dir() {
                self.visit(&path, depth + 1);
                below.push(path);
            } else if kind.is_file()
                && !self.files.contains_key(&path)
                && (self.is_recording)(&path)
            {
                self.meet(&path);
            }
        }
        let changed = changed.filter(|_| settled);
        self.dirs.insert(dir.to_owned(), Listed { changed, below });
    }

    /// Takes up a file: from its start if it was written since its place matters.
    fn meet(&mut self, path: &Path) -> bool {
        if self.files.len() >= FILES {
            self.full = true;
            return false;
        }
        let Ok(meta) = fs::symlink_metadata(path) else {
            return false;
        };
        if !meta.is_file() {
            return false;
        }
        let since = self
            .places
            .iter()
            .filter(|(place, _)| path.starts_with(place))
            .map(|(_, since)| *since)
            .min();
        let Some(since) = since else { return false };
        // Clocks of file systems are coarse: a little earlier counts as since then.
        let old = meta
            .modified()
            .is_ok_and(|t| t + Duration::from_millis(20) < since);
        let mut seen = Seen {
            id: (meta.dev(), meta.ino()),
            ..Seen::default()
        };
        if old {
            seen.told = meta.len();
            seen.size = meta.len();
            seen.mtime = meta.modified().ok();
            seen.rest = meta.len() > 0;
            if let Ok(file) = File::open(path) {
                let from = meta.len().saturating_sub(ANCHOR as u64);
                let mut anchor = vec![0; usize::try_from(meta.len() - from).unwrap_or(0)];
                if file.read_exact_at(&mut anchor, from).is_ok() {
                    // Nobody may have ended its last line: what follows is the rest of it.
                    seen.remember(&anchor);
                }
            }
        } else {
            self.hints.insert(path.to_owned());
        }
        self.files.insert(path.to_owned(), seen);
        true
    }

    /// Looks at one file and tells what it grew by.
    fn one(&mut self, path: &Path, told: &mut dyn FnMut(Chunk<'_>)) {
        if !self.files.contains_key(path) && !self.meet(path) {
            return;
        }
        let Some(seen) = self.files.get_mut(path) else {
            return;
        };
        match grow(path, seen, told) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                // If it comes back, it is another one.
                self.files.remove(path);
            }
            // In the way now; the next look may do better.
            Err(e) => tracing::debug!("{} cannot be followed now: {e}", path.display()),
        }
    }
}

fn grow(path: &Path, seen: &mut Seen, told: &mut dyn FnMut(Chunk<'_>)) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_file() {
        return Ok(());
    }
    let same = seen.id == (meta.dev(), meta.ino()) && meta.len() >= seen.read_to();
    if same && meta.len() == seen.size && meta.modified().ok() == seen.mtime {
        return Ok(());
    }
    let file = File::open(path)?;
    let meta: Metadata = file.metadata()?;
    if meta.len() < seen.read_to() || !still_there(&file, seen)? {
        seen.restart();
    }
    seen.id = (meta.dev(), meta.ino());
    seen.size = meta.len();
    seen.mtime = meta.modified().ok();
    let mut buffer = vec![0; PIECE];
    loop {
        let n = match file.read_at(&mut buffer, seen.read_to()) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if n == 0 {
            return Ok(());
        }
        seen.grew = Some(Instant::now());
        let new = &buffer[..n];
        seen.remember(new);
        let end = match new.iter().rposition(|b| *b == b'\n') {
            Some(at) => at + 1,
            None if seen.part.len() + n > LONGEST => n,
            None => {
                seen.part.extend_from_slice(new);
                continue;
            }
        };
        let (whole, part) = new.split_at(end);
        let mut chunk = Chunk {
            path,
            offset: seen.told,
            bytes: whole,
            again: std::mem::take(&mut seen.again),
            rest: seen.rest,
        };
        if seen.part.is_empty() {
            told(chunk);
            seen.told += end as u64;
        } else {
            seen.part.extend_from_slice(whole);
            chunk.bytes = &seen.part;
            told(chunk);
            seen.told += seen.part.len() as u64;
            seen.part.clear();
            seen.part.shrink_to(PIECE);
        }
        seen.part.extend_from_slice(part);
    }
}

/// Whether the bytes before the place read up to are those that were read.
fn still_there(file: &File, seen: &Seen) -> io::Result<bool> {
    let Some(from) = seen.read_to().checked_sub(seen.anchor.len() as u64) else {
        return Ok(false);
    };
    let mut now = vec![0; seen.anchor.len()];
    match file.read_exact_at(&mut now, from) {
        Ok(()) => Ok(now == seen.anchor),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::io::Write as _;

    /// Everything told within a moment, as `offset:text`, with `!` for what is told again.
    fn told(tail: &mut Tail) -> Vec<String> {
        let mut out = Vec::new();
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(300) {
            tail.wait(Duration::from_millis(20));
            tail.look(&mut |c| {
                let text = String::from_utf8_lossy(c.bytes).replace('\n', "/");
                out.push(format!(
                    "{}{}:{text}",
                    if c.again { "!" } else { "" },
                    c.offset
                ));
            });
            if !out.is_empty() && start.elapsed() > Duration::from_millis(60) {
                break;
            }
        }
        out
    }

    fn append(path: &Path, text: &str) {
        let mut f = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        f.write_all(text.as_bytes()).unwrap();
    }

    fn is_jsonl(path: &Path) -> bool {
        path.extension().is_some_and(|e| e == "jsonl")
    }

    fn each_way(run: impl Fn(Tail, &Path)) {
        for deaf in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let tail = Tail::new(is_jsonl);
            run(if deaf { tail.deaf() } else { tail }, dir.path());
        }
    }

    #[test]
    fn lines_are_told_once_they_are_complete() {
        each_way(|mut tail, dir| {
            let (old, new) = (dir.join("old.jsonl"), dir.join("sub/deep/new.jsonl"));
            append(&old, "before\n");
            let since = SystemTime::now() + Duration::from_millis(50);
            std::thread::sleep(Duration::from_millis(60));
            tail.add(dir, since);
            assert!(told(&mut tail).is_empty(), "what was there is not told");
            append(&old, "more\nhal");
            assert_eq!(told(&mut tail), ["7:more/"]);
            append(&old, "f\n");
            assert_eq!(told(&mut tail), ["12:half/"]);
            fs::create_dir_all(new.parent().unwrap()).unwrap();
            append(&new, "one\ntwo\n");
            append(&new.with_extension("txt"), "not ours\n");
            assert_eq!(told(&mut tail), ["0:one/two/"]);
            append(&new, "no end");
            assert!(told(&mut tail).is_empty());
            let mut last = Vec::new();
            tail.finish(&new, &mut |c| last.push((c.offset, c.bytes.to_vec())));
            assert_eq!(last, [(8, b"no end".to_vec())]);
        });
    }

    #[test]
    fn shortened_replaced_and_rewritten_files_are_told_again() {
        each_way(|mut tail, dir| {
            tail.add(dir, SystemTime::UNIX_EPOCH);
            let path = dir.join("a.jsonl");
            append(&path, "one\ntwo\n");
            assert_eq!(told(&mut tail), ["0:one/two/"]);
            fs::write(&path, "three\n").unwrap();
            assert_eq!(told(&mut tail), ["!0:three/"]);
            // Replaced by one that begins alike: only what is new.
            fs::write(dir.join("tmp"), "three\nfour\n").unwrap();
            fs::rename(dir.join("tmp"), &path).unwrap();
            assert_eq!(told(&mut tail), ["6:four/"]);
            // Replaced by another, and longer, one.
            fs::write(dir.join("tmp"), "quite another, and longer\n").unwrap();
            fs::rename(dir.join("tmp"), &path).unwrap();
            assert_eq!(told(&mut tail), ["!0:quite another, and longer/"]);
            // In place, no shorter.
            fs::write(&path, "in place: the same inode, and longer\n").unwrap();
            assert_eq!(
                told(&mut tail),
                ["!0:in place: the same inode, and longer/"]
            );
            fs::remove_file(&path).unwrap();
            assert!(told(&mut tail).is_empty());
            append(&path, "back\n");
            assert_eq!(told(&mut tail).len(), 1);
        });
    }

    #[test]
    fn a_place_that_comes_later_and_a_file_written_before_the_first_look() {
        each_way(|mut tail, dir| {
            let place = dir.join("not/yet");
            tail.add(&place, SystemTime::now());
            assert!(told(&mut tail).is_empty());
            fs::create_dir_all(&place).unwrap();
            append(&place.join("x.jsonl"), "x\n");
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(told(&mut tail), ["0:x/"]);
            let other = dir.join("other");
            fs::create_dir(&other).unwrap();
            let since = SystemTime::now();
            append(&other.join("y.jsonl"), "y\n");
            tail.add(&other, since);
            assert_eq!(told(&mut tail), ["0:y/"]);
        });
    }

    #[test]
    fn ten_thousand_files_are_no_burden() {
        let dir = tempfile::tempdir().unwrap();
        for d in 0..100 {
            let d = dir.path().join(format!("d{d}"));
            fs::create_dir(&d).unwrap();
            (0..100).for_each(|f| append(&d.join(format!("{f}.jsonl")), "old\n"));
        }
        std::thread::sleep(Duration::from_millis(30));
        let mut tail = Tail::new(is_jsonl);
        let start = Instant::now();
        tail.add(dir.path(), SystemTime::now() + Duration::from_millis(100));
        assert!(told(&mut tail).is_empty());
        let used = Instant::now();
        for _ in 0..20 {
            tail.walk();
        }
        let walks = used.elapsed();
        append(&dir.path().join("d7/7.jsonl"), "new\n");
        assert_eq!(told(&mut tail), ["4:new/"]);
        assert!(start.elapsed() < Duration::from_secs(5), "{walks:?}");
        assert!(walks < Duration::from_secs(1), "{walks:?}");
    }

    #[test]
    fn long_lines_come_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut tail = Tail::new(is_jsonl);
        tail.add(dir.path(), SystemTime::UNIX_EPOCH);
        let path = dir.path().join("a.jsonl");
        let long = "x".repeat(3 << 20);
        append(&path, &long);
        assert!(told(&mut tail).is_empty());
        append(&path, &format!("\n{long}\nend\n"));
        let mut lines = Vec::new();
        for _ in 0..20 {
            tail.wait(Duration::from_millis(20));
            tail.look(&mut |c| {
                lines.extend(c.bytes.split(|b| *b == b'\n').map(<[u8]>::len));
            });
        }
        lines.retain(|n| *n > 0);
        assert_eq!(lines, [3 << 20, 3 << 20, 3]);
    }
}
