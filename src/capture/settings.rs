//! What a project's own `backtrail.toml` says about capture: which left-out things are wanted, which captured ones
//! are not.
//!
//! The file belongs to the person and may be half written at any moment, so reading it never fails the recorder: an
//! unreadable one is an error for whoever asked, an unknown key is reported and otherwise ignored.

use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::Deserialize;

use crate::model::neutral;

/// The name of the settings file in the project's root.
pub const FILE: &str = "backtrail.toml";

/// Ignored files up to this many bytes are kept beside captured ones.
pub const IGNORED_FILE_LIMIT: u64 = 1024 * 1024;

/// What is captured beyond the built-in rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Capture everything but `.git`.
    pub all: bool,
    /// Patterns, as in `.gitignore`, of what is captured although a rule leaves it out.
    pub include: Vec<String>,
    /// Patterns, as in `.gitignore`, of what is left out although no rule does. They win over everything else.
    pub exclude: Vec<String>,
    /// Ignored files above this size are left out.
    pub ignored_file_limit: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            all: false,
            include: Vec::new(),
            exclude: Vec::new(),
            ignored_file_limit: IGNORED_FILE_LIMIT,
        }
    }
}

/// Why `backtrail.toml` could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It is there but cannot be read.
    #[error("cannot read backtrail.toml: {0}; check its permissions")]
    Read(#[source] io::Error),
    /// It is not TOML, or a known key holds a value of the wrong type.
    #[error(
        "backtrail.toml is not understood: {0}; correct it, the built-in rules hold until then"
    )]
    Syntax(String),
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct File {
    capture: Capture,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct Capture {
    all: bool,
    include: Vec<String>,
    exclude: Vec<String>,
    ignored_file_limit: Option<u64>,
}

/// The table that says how merges are made.
const MERGE: &str = "merge";
/// In it: the command that checks a result.
const CHECK: &str = "check";
/// The table that says how long states are kept.
const STORE: &str = "store";
/// Largest settings file that is read.
const LARGEST: u64 = 1 << 20;
/// Longest command that is taken.
const LONGEST_CHECK: usize = 4 << 10;

/// The command by which the project checks the result of a merge, if its `backtrail.toml` names one. An unreadable file
/// names none: the recorder says what is wrong with it.
#[must_use]
pub fn merge_check(root: &Path) -> Option<String> {
    let bytes = read(&root.join(FILE)).ok()?;
    let table: toml::Table = toml::from_str(std::str::from_utf8(&bytes).ok()?).ok()?;
    let check = table.get(MERGE)?.get(CHECK)?.as_str()?.trim();
    (!check.is_empty() && check.len() <= LONGEST_CHECK && !check.contains('\0'))
        .then(|| check.to_owned())
}

/// What the project's `backtrail.toml` says about its store, as it is written there. An unreadable file says nothing: the
/// recorder tells what is wrong with it.
#[must_use]
pub fn store_table(root: &Path) -> Option<toml::Table> {
    let bytes = read(&root.join(FILE)).ok()?;
    let table: toml::Table = toml::from_str(std::str::from_utf8(&bytes).ok()?).ok()?;
    table.get(STORE)?.as_table().cloned()
}

/// Reads an ordinary file. A pipe would be waited for, already when it is opened.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no ordinary file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other("it is longer than 1 MiB"));
    }
    Ok(bytes)
}

const KNOWN: [&str; 4] = ["all", "include", "exclude", "ignored-file-limit"];

impl Settings {
    /// Reads `backtrail.toml` in `root`; the defaults where there is none. The strings name keys that mean nothing.
    pub fn load(root: &Path) -> Result<(Self, Vec<String>), SettingsError> {
        match read(&root.join(FILE)) {
            Ok(bytes) => Self::parse(&bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok((Self::default(), Vec::new())),
            Err(e) => Err(SettingsError::Read(e)),
        }
    }

    /// Reads the text of a `backtrail.toml`.
    pub fn parse(bytes: &[u8]) -> Result<(Self, Vec<String>), SettingsError> {
        let text = std::str::from_utf8(bytes)
            .map_err(|e| SettingsError::Syntax(format!("it is not UTF-8 ({e})")))?;
        let syntax = |e: toml::de::Error| SettingsError::Syntax(neutral(e.message().as_bytes()));
        let table: toml::Table = toml::from_str(text).map_err(syntax)?;
        let mut unknown = Vec::new();
        for (key, value) in &table {
            match value.as_table() {
                Some(inner) if key == "capture" => unknown.extend(
                    inner
                        .keys()
                        .filter(|k| !KNOWN.contains(&k.as_str()))
                        .map(|k| format!("capture.{k}")),
                ),
                _ if key == "capture" => {}
                Some(inner) if key == MERGE => unknown.extend(
                    inner
                        .keys()
                        .filter(|k| *k != CHECK)
                        .map(|k| format!("{MERGE}.{k}")),
                ),
                // Read by the client that asks a language model.
                _ if key == "llm" => {}
                // Read by whoever keeps the store small.
                _ if key == STORE => {}
                _ => unknown.push(key.clone()),
            }
        }
        let unknown = unknown
            .into_iter()
            .map(|key| {
                format!(
                    "backtrail.toml: nothing is called {:?}",
                    neutral(key.as_bytes())
                )
            })
            .collect();
        let file: File = toml::from_str(text).map_err(syntax)?;
        let c = file.capture;
        Ok((
            Self {
                all: c.all,
                include: c.include,
                exclude: c.exclude,
                ignored_file_limit: c.ignored_file_limit.unwrap_or(IGNORED_FILE_LIMIT),
            },
            unknown,
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_pipe_in_its_place_is_an_error_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&dir.path().join(FILE), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let root = dir.path().to_owned();
        std::thread::spawn(move || {
            let found = Settings::load(&root).map_err(|e| e.to_string());
            let _ = tell.send((found, merge_check(&root)));
        });
        let wait = std::time::Duration::from_secs(30);
        let (found, check) = told.recv_timeout(wait).unwrap();
        assert!(found.unwrap_err().contains("no ordinary file"));
        assert_eq!(check, None);
    }

    #[test]
    fn reads_every_key_and_reports_unknown_ones() {
        let (s, unknown) = Settings::parse(
            b"colour = 1\n[capture]\nall = true\ninclude = [\"dist/\"]\nexclude = [\"*.iso\"]\nignored-file-limit = 10\nextra = 2\n",
        )
        .unwrap();
        assert!(s.all);
        assert_eq!(s.include, ["dist/"]);
        assert_eq!(s.exclude, ["*.iso"]);
        assert_eq!(s.ignored_file_limit, 10);
        assert_eq!(unknown.len(), 2);
        assert!(unknown.iter().any(|u| u.contains("capture.extra")));
        assert!(unknown.iter().any(|u| u.contains("colour")));
    }

    #[test]
    fn a_missing_file_means_the_defaults_and_a_bad_one_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            Settings::load(dir.path()).unwrap(),
            (Settings::default(), Vec::new())
        );
        for bad in [
            &b"[capture"[..],
            b"\xff",
            b"[capture]\nall = 3",
            b"capture = 1",
        ] {
            std::fs::write(dir.path().join(FILE), bad).unwrap();
            let e = Settings::load(dir.path()).unwrap_err();
            assert!(matches!(e, SettingsError::Syntax(_)), "{e}");
        }
    }
}
