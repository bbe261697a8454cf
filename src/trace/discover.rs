//! Finding recordings: what a file is, which are in a directory, which the agents keep on this machine.
//!
//! * In the places of agents a file's name decides, so that ten thousand of them cost no more than looking at their
//!   names. In a directory that a person names, the content decides.
//! * Links within a place are not followed, depth and number are bounded, and what cannot be read is reported and left
//!   out: other programs write and remove these files while we look.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use serde_json::Value;

use super::format::{self, FORMATS, Format, Head, Home};
use crate::model::Time;

/// How much of a file is looked at.
const HEAD: usize = 64 * 1024;
/// How much is read to find the end of a first line that is longer than that.
const FIRST_LINE: u64 = 4 * 1024 * 1024;
/// How many of its lines.
const LINES: usize = 20;
/// How deep a directory is walked.
const DEPTH: usize = 8;
/// How many names are looked at in one place.
const MOST: usize = 200_000;
/// How many files of a directory are opened to see what they are.
const MOST_OPENED: usize = 10_000;
/// How sure a format must be of a file that nobody named: less is what the generic reader says of any typed lines.
const SURE: u8 = 10;

/// A recording on disk.
#[derive(Clone)]
pub struct Found {
    /// Its main file.
    pub path: PathBuf,
    /// What it is.
    pub format: &'static dyn Format,
    /// When it was last written.
    pub modified: Time,
    /// Its length in bytes.
    pub size: u64,
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.path.display(), self.format.name())
    }
}

/// A directory or file that could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be looked at: {source}; check its permissions")]
pub struct Trouble {
    /// Which, made harmless for a terminal.
    pub path: String,
    /// Why.
    pub source: io::Error,
}

/// The recordings that the agents keep on this machine, and those in the directories of `extra`; newest first. What
/// cannot be read is left out, and told to the log.
#[must_use]
pub fn list(home: &Home, extra: &[PathBuf]) -> Vec<Found> {
    list_all(home, extra, &mut |trouble| tracing::warn!("{trouble}"))
}

/// As [`list`], telling what cannot be read.
pub fn list_all(home: &Home, extra: &[PathBuf], troubles: &mut dyn FnMut(Trouble)) -> Vec<Found> {
    // Formats may share a place: it is walked once.
    let mut places: BTreeMap<PathBuf, Vec<&'static dyn Format>> = BTreeMap::new();
    for format in FORMATS.iter().copied() {
        for place in format.places(home) {
            // The place itself may be a link; a relative one would depend on where we were started.
            if place.is_absolute()
                && let Ok(place) = place.canonicalize()
            {
                places.entry(place).or_default().push(format);
            }
        }
    }
    let mut out = Vec::new();
    for (place, formats) in &places {
        walk(place, troubles, &mut |path, meta| {
            if let Some(format) = formats.iter().find(|f| f.is_recording(path)) {
                out.extend(found(path, *format, meta()));
            }
            true
        });
    }
    for dir in extra {
        out.extend(list_dir_all(dir, troubles));
    }
    in_order(out)
}

/// The recordings in a directory and below it, recognised by their content; newest first. Files that belong to another
/// recording (its subagents') are not listed themselves.
#[must_use]
pub fn list_dir(dir: &Path) -> Vec<Found> {
    list_dir_all(dir, &mut |trouble| tracing::warn!("{trouble}"))
}

/// As [`list_dir`], telling what cannot be read.
pub fn list_dir_all(dir: &Path, troubles: &mut dyn FnMut(Trouble)) -> Vec<Found> {
    let mut out: Vec<Found> = Vec::new();
    let mut unreadable = Vec::new();
    let mut opened = 0;
    walk(dir, troubles, &mut |path, meta| {
        if !may_be(path) {
            return true;
        }
        opened += 1;
        match recognise_by(path, SURE) {
            Ok(Some(format)) => out.extend(found(path, format, meta())),
            Ok(None) => {}
            // It went since it was named, or something else has its name now.
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::InvalidInput
                ) => {}
            Err(source) => unreadable.push((path.to_owned(), source)),
        }
        opened < MOST_OPENED
    });
    for (path, source) in unreadable {
        let path = crate::model::neutral(path.as_os_str().as_encoded_bytes());
        troubles(Trouble { path, source });
    }
    let sides: HashSet<PathBuf> = out
        .iter()
        .flat_map(|f| f.format.sides(&f.path))
        .map(|s| s.path)
        .collect();
    out.retain(|f| !sides.contains(&f.path));
    in_order(out)
}

/// What the file is, from its content; nothing where it cannot be read. Only files are opened: a pipe would wait for ever.
#[must_use]
pub fn recognise_file(path: &Path) -> Option<&'static dyn Format> {
    recognise(path).ok().flatten()
}

/// What the file is, from its content; nothing if it is no recording that is known.
///
/// # Errors
/// As [`head`].
pub fn recognise(path: &Path) -> io::Result<Option<&'static dyn Format>> {
    recognise_by(path, 1)
}

fn recognise_by(path: &Path, sure: u8) -> io::Result<Option<&'static dyn Format>> {
    let beginning = head(path)?;
    let view = beginning.view();
    Ok(format::recognise(&view).filter(|f| f.sniff(&view) >= sure))
}

/// The beginning of a file, as [`Head`] shows it.
#[derive(Debug, Clone, Default)]
pub struct Beginning {
    bytes: Vec<u8>,
    whole: bool,
    lines: Vec<Value>,
    name: String,
}

impl Beginning {
    /// Of what is there already (standard input): `bytes` may be more than is looked at.
    #[must_use]
    pub fn of(bytes: &[u8], whole: bool, name: &str) -> Self {
        let lines = first_lines(bytes);
        let cut = bytes.len().min(HEAD);
        Self {
            bytes: bytes[..cut].to_vec(),
            whole: whole && cut == bytes.len(),
            lines,
            name: name.to_owned(),
        }
    }

    /// To recognise it by.
    #[must_use]
    pub fn view(&self) -> Head<'_> {
        Head {
            bytes: &self.bytes,
            whole: self.whole,
            lines: &self.lines,
            name: &self.name,
        }
    }
}

/// The beginning of a file.
///
/// # Errors
/// It is no file, or it cannot be read.
pub fn head(path: &Path) -> io::Result<Beginning> {
    let mut file = open_file(path)?;
    let mut bytes = Vec::new();
    (&mut file).take(HEAD as u64).read_to_end(&mut bytes)?;
    let whole = bytes.len() < HEAD;
    // A first line may hold an agent's whole instructions: it is read to its end.
    if !whole && !bytes.contains(&b'\n') {
        let mut part = vec![0; HEAD];
        let mut more = (&mut file).take(FIRST_LINE);
        loop {
            let n = more.read(&mut part)?;
            bytes.extend_from_slice(&part[..n]);
            if n == 0 || part[..n].contains(&b'\n') {
                break;
            }
        }
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(Beginning::of(&bytes, whole, &name))
}

/// Opens a file for reading, and nothing but a file: a pipe would wait for ever, a device might do anything.
///
/// # Errors
/// It is no file, or it cannot be opened.
pub fn open_file(path: &Path) -> io::Result<File> {
    let check = |meta: std::fs::Metadata| match meta.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        )),
    };
    // Opening a device may do something already.
    check(std::fs::metadata(path)?)?;
    let file = File::options()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
        .open(path)?;
    // It may have become something else in between.
    check(file.metadata()?)?;
    Ok(file)
}

/// The first JSON objects of the lines; the first one of a line where several are glued.
fn first_lines(bytes: &[u8]) -> Vec<Value> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes
        .split(|b| *b == b'\n')
        .take(4 * LINES)
        .filter(|line| line.trim_ascii_start().first() == Some(&b'{'))
        .filter_map(|line| Value::deserialize(&mut serde_json::Deserializer::from_slice(line)).ok())
        .filter(Value::is_object)
        .take(LINES)
        .collect()
}

/// Whether a file of this name is worth opening.
fn may_be(path: &Path) -> bool {
    const EXTENSIONS: [&str; 8] = [
        "jsonl", "json", "ndjson", "cast", "traj", "md", "log", "txt",
    ];
    match path.extension() {
        None => path.file_name().is_some_and(|n| !hidden(n)),
        Some(extension) => EXTENSIONS.iter().any(|e| extension.eq_ignore_ascii_case(e)),
    }
}

fn hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().first() == Some(&b'.')
}

fn found(
    path: &Path,
    format: &'static dyn Format,
    meta: io::Result<std::fs::Metadata>,
) -> Option<Found> {
    // It may be gone by now.
    let meta = meta.ok().filter(|m| m.is_file() && m.len() > 0)?;
    Some(Found {
        path: path.to_owned(),
        format,
        modified: meta.modified().map(Time::from).unwrap_or_default(),
        size: meta.len(),
    })
}

fn in_order(mut all: Vec<Found>) -> Vec<Found> {
    all.sort_by(|a, b| {
        b.modified
            .cmp(&a.modified)
            .then_with(|| a.path.cmp(&b.path))
    });
    let mut seen = HashSet::new();
    all.retain(|f| seen.insert(f.path.clone()));
    all
}

/// What [`walk`] calls for each file: its path, and a way to ask for its metadata. Ends the walk by `false`.
type Visit<'a> = dyn FnMut(&Path, &dyn Fn() -> io::Result<std::fs::Metadata>) -> bool + 'a;

/// Calls `visit` for each file below `root`.
fn walk(root: &Path, troubles: &mut dyn FnMut(Trouble), visit: &mut Visit<'_>) {
    let mut left = MOST;
    let mut open = vec![(root.to_owned(), 0)];
    while let Some((dir, depth)) = open.pop() {
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            // Gone since it was named.
            Err(e) if depth > 0 && e.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => {
                let path = crate::model::neutral(dir.as_os_str().as_encoded_bytes());
                troubles(Trouble { path, source });
                continue;
            }
        };
        for entry in entries.flatten() {
            if left == 0 {
                return;
            }
            left -= 1;
            // Of the entry itself: a link is neither a directory nor a file.
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() {
                let skipped = [".git", "node_modules", "target"];
                if depth + 1 < DEPTH && !skipped.iter().any(|s| entry.file_name() == *s) {
                    open.push((entry.path(), depth + 1));
                }
            } else if kind.is_file() && !visit(&entry.path(), &|| entry.metadata()) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )]
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn root() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
    }

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn names(all: &[Found]) -> Vec<String> {
        let mut all: Vec<String> = all
            .iter()
            .map(|f| {
                let name = f.path.file_name().unwrap().to_string_lossy();
                format!("{}: {name}", f.format.name())
            })
            .collect();
        all.sort();
        all
    }

    fn at(home: &Path) -> Home {
        Home {
            dir: home.to_owned(),
            ..Home::default()
        }
    }

    const CLAUDE: &str = r#"{"parentUuid":null,"isSidechain":false,"cwd":"/w","sessionId":"s","version":"2.1.0","type":"user","message":{"role":"user","content":"hi"},"uuid":"a","timestamp":"2026-06-18T13:49:14.482Z"}"#;

    #[test]
    fn the_places_of_agents() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path();
        for path in [
            ".claude/projects/-w/0a.jsonl",
            ".claude/projects/-w/0a/subagents/agent-1.jsonl",
            ".claude/projects/-w/notes.txt",
            ".codex/sessions/2026/01/02/rollout-2026-01-02T03-04-05-x.jsonl",
            ".codex/history.jsonl",
            ".gemini/tmp/hash/chats/session-2026-01-02T03-04-x.jsonl",
            ".gemini/tmp/hash/chats/session-2025-01-02T03-04-x.json",
            ".gemini/tmp/hash/chats/parent/sub.jsonl",
            ".gemini/tmp/hash/logs.json",
            ".copilot/session-state/id/events.jsonl",
            ".pi/agent/sessions/--w--/2026_x.jsonl",
            "elsewhere/0b.jsonl",
        ] {
            write(&home.join(path), "{}\n");
        }
        write(&home.join(".claude/projects/-w/empty.jsonl"), "");
        // A link out of a place is not followed.
        std::os::unix::fs::symlink(home.join("elsewhere"), home.join(".claude/projects/out"))
            .unwrap();
        let mut troubles = 0;
        let all = list_all(&at(home), &[], &mut |_| troubles += 1);
        assert_eq!(
            names(&all),
            [
                "claude: 0a.jsonl",
                "codex: rollout-2026-01-02T03-04-05-x.jsonl",
                "copilot: events.jsonl",
                "gemini-json: session-2025-01-02T03-04-x.json",
                "gemini: session-2026-01-02T03-04-x.jsonl",
                "pi: 2026_x.jsonl",
            ]
        );
        assert_eq!(troubles, 0, "places that are not there are no trouble");
        assert!(list(&at(&home.join("nobody")), &[]).is_empty());
        // A variable moves an agent's directory.
        let mut moved = at(home);
        moved.vars.insert("CODEX_HOME".into(), home.join("other"));
        assert_eq!(list(&moved, &[]).len(), 5);
    }

    #[test]
    fn newest_first_and_each_once() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join(".claude/projects/-w");
        for (name, age) in [("old", 300), ("new", 100), ("mid", 200)] {
            let path = place.join(format!("{name}.jsonl"));
            write(&path, CLAUDE);
            let then = std::time::SystemTime::now() - Duration::from_secs(age);
            let times = std::fs::FileTimes::new().set_modified(then);
            File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_times(times)
                .unwrap();
        }
        let extra = [dir.path().canonicalize().unwrap()];
        let all = list(&at(&extra[0]), &extra);
        let order: Vec<_> = all.iter().map(|f| f.path.file_stem().unwrap()).collect();
        assert_eq!(order, ["new", "mid", "old"]);
    }

    #[test]
    fn a_directory_by_content() {
        let dir = tempfile::tempdir().unwrap();
        let recordings = root().join("tests/recordings");
        let mut all: Vec<String> = names(&list_dir(&recordings));
        all.retain(|n| {
            ["atif", "copilot", "gemini", "opencode", "pi"]
                .iter()
                .any(|f| n.starts_with(f))
        });
        assert_eq!(
            all,
            [
                "atif-lines: lines.jsonl",
                "atif: subagents.json",
                "copilot: events.jsonl",
                "gemini: session-2026-03-01T10-00-aaaa0001.jsonl",
                "opencode: revert.json",
                "pi: 2026-03-02T09-00-00-000Z_bbbb0001-0000-4000-8000-000000000001.jsonl",
            ]
        );
        write(&dir.path().join("deep/er/any-name"), CLAUDE);
        write(
            &dir.path().join("package.json"),
            "{\"name\":\"x\",\"type\":\"module\"}",
        );
        write(&dir.path().join("lines.jsonl"), "{\"type\":\"x\"}\n");
        assert_eq!(names(&list_dir(dir.path())), ["claude: any-name"]);
        assert!(list_dir(&dir.path().join("none")).is_empty());
    }

    /// Every real recording of a known format is recognised as what it is.
    #[test]
    fn real_recordings_are_recognised() {
        let dir = std::env::var_os("BACKTRAIL_TRACES")
            .map_or_else(|| root().join("../shared/traces"), PathBuf::from);
        if !dir.is_dir() {
            eprintln!("skipped: no real recordings at {}", dir.display());
            return;
        }
        for (place, format, count) in [
            ("claude-code", "claude", 12),
            ("codex", "codex", 7),
            ("opencode", "opencode", 2),
            ("gemini-cli", "gemini-json", 2),
            ("copilot-cli", "copilot", 1),
            ("pi", "pi", 1),
            ("atif", "atif", 1),
            ("derived", "atif", 1),
            ("asciicast", "asciicast", 3),
            ("aider", "aider", 1),
        ] {
            let all = list_dir(&dir.join(place));
            assert_eq!(all.len(), count, "{place}");
            assert!(all.iter().all(|f| f.format.name() == format), "{all:?}");
        }
    }

    #[test]
    fn long_first_lines_pipes_and_marks() {
        let dir = tempfile::tempdir().unwrap();
        let long = CLAUDE.replace("\"hi\"", &format!("\"{}\"", "x".repeat(3 * HEAD)));
        let path = dir.path().join("long.jsonl");
        write(&path, &format!("{long}\n{CLAUDE}\n"));
        assert_eq!(recognise_file(&path).unwrap().name(), "claude");
        let beginning = head(&path).unwrap();
        assert!(!beginning.view().whole && beginning.view().bytes.len() == HEAD);
        let marked = Beginning::of(format!("\u{feff}{CLAUDE}{CLAUDE}\n").as_bytes(), true, "");
        assert_eq!(marked.lines.len(), 1);
        assert_eq!(format::recognise(&marked.view()).unwrap().name(), "claude");
        assert!(head(dir.path()).is_err());
        let pipe = dir.path().join("pipe.jsonl");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(recognise_file(&pipe).is_none());
        assert_eq!(list_dir(dir.path()).len(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let mut troubles = Vec::new();
        list_dir_all(&dir.path().join("no\u{1b}ne"), &mut |t| {
            troubles.push(t.to_string());
        });
        assert_eq!(troubles.len(), 1);
        assert!(!troubles[0].contains('\u{1b}') && troubles[0].contains("permissions"));
    }

    #[test]
    fn files_without_permission_are_reported() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("mine.jsonl"), CLAUDE);
        let closed = dir.path().join("closed.jsonl");
        write(&closed, CLAUDE);
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o0)).unwrap();
        if File::open(&closed).is_ok() {
            eprintln!("skipped: nothing is closed to this user");
            return;
        }
        assert_eq!(
            recognise(&closed).err().map(|e| e.kind()),
            Some(io::ErrorKind::PermissionDenied)
        );
        let mut troubles = Vec::new();
        let all = list_dir_all(dir.path(), &mut |t| troubles.push(t.to_string()));
        assert_eq!(names(&all), ["claude: mine.jsonl"]);
        assert!(troubles.len() == 1 && troubles[0].contains("closed.jsonl"));
    }

    #[test]
    fn ten_thousand_files_and_others_that_vanish() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join(".claude/projects");
        for d in 0..50 {
            let sub = place.join(format!("-w-{d}"));
            std::fs::create_dir_all(&sub).unwrap();
            for f in 0..200 {
                std::fs::write(sub.join(format!("{f}.jsonl")), "{}\n").unwrap();
            }
        }
        let home = at(dir.path());
        let start = Instant::now();
        assert_eq!(list(&home, &[]).len(), 10_000);
        // Generous: a slow machine with other work. It is some tens of milliseconds.
        assert!(start.elapsed() < Duration::from_secs(3));
        std::thread::scope(|scope| {
            let gone = scope.spawn(|| {
                for d in 0..50 {
                    std::fs::remove_dir_all(place.join(format!("-w-{d}"))).unwrap();
                }
            });
            while !gone.is_finished() {
                assert!(list(&home, &[]).len() <= 10_000);
            }
        });
        assert!(list(&home, &[]).is_empty());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_something_or_nothing(
            parts in proptest::collection::vec(prop_oneof![
                Just(CLAUDE.as_bytes().to_vec()), Just(b"\n".to_vec()), Just(b"{".to_vec()), Just(b"\"messages\":[".to_vec()),
                Just(b"{\"info\":{\"id\":1},".to_vec()), Just(b"{\"version\":2}".to_vec()), Just(vec![b'['; 3000]),
                proptest::collection::vec(any::<u8>(), 0..20),
            ], 0..12),
            whole in any::<bool>(),
        ) {
            let bytes = parts.concat();
            let beginning = Beginning::of(&bytes, whole, "x.json");
            let view = beginning.view();
            for format in FORMATS {
                prop_assert!(format.sniff(&view) <= 100);
            }
            let _ = format::recognise(&view);
        }
    }
}
