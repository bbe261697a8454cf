//! What a reader of one agent's format is, and the list of all of them: adding one touches its own file and one line here.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::event::{FileEffect, Out, Record, Side, State};

/// How a format lies in its file.
pub enum Shape {
    /// One JSON value a line (two glued on one line are two records).
    Lines,
    /// The whole file is one document; this finds its records. Bytes that it does not name are not lost: `show --raw`
    /// reads the file.
    Document(fn(&[u8]) -> Vec<Piece>),
}

/// A record within a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Which bytes.
    pub range: Range<usize>,
    /// What it is, for the reader.
    pub tag: &'static str,
}

/// The beginning of a file, for telling formats apart.
pub struct Head<'a> {
    /// Its first bytes (up to 64 KiB), perhaps ending inside a line.
    pub bytes: &'a [u8],
    /// Whether that is the whole file.
    pub whole: bool,
    /// The first JSON objects of its lines (up to 20), where it has such lines.
    pub lines: &'a [serde_json::Value],
    /// The file's name, without directories; empty for standard input.
    pub name: &'a str,
}

/// What is known of a format, for `backtrail formats`.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// For people: `Claude Code transcripts`.
    pub title: &'static str,
    /// The versions met in real recordings, or where the knowledge comes from.
    pub basis: &'static str,
    /// Built and tested with real recordings.
    pub real: bool,
    /// What it gives, in words (`prompts, thoughts, calls, file states, subagents, tokens`).
    pub gives: &'static str,
    /// What it does not give.
    pub lacks: &'static str,
}

/// A reader of one format.
pub trait Format: Sync {
    /// Its short name: what `formats` lists and `--format` takes.
    fn name(&self) -> &'static str;

    /// What is known of it.
    fn about(&self) -> About;

    /// How sure it is, from the content, that this is its format: 0 no, 100 certainly.
    fn sniff(&self, head: &Head<'_>) -> u8;

    /// How its files are cut into records.
    fn shape(&self) -> Shape {
        Shape::Lines
    }

    /// The events of one record. Never fails: what is not understood becomes [`super::event::Body::Unknown`].
    fn events<'a>(&self, record: Record<'a>, state: &mut State, out: &mut Out<'a>);

    /// Whether [`Format::effects`] may have something to say of this record. Called in the index pass: it must be quick.
    fn has_effects(&self, record: Record<'_>) -> bool {
        let _ = record;
        false
    }

    /// What the record says about files.
    fn effects(&self, record: Record<'_>, state: &State, out: &mut Vec<FileEffect>) {
        let _ = (record, state, out);
    }

    /// Further files that belong to the recording whose main file is `main`.
    fn sides(&self, main: &Path) -> Vec<Side> {
        let _ = main;
        Vec::new()
    }

    /// Directories where its agent keeps recordings on this machine, most usual first.
    fn places(&self, home: &Home) -> Vec<PathBuf> {
        let _ = home;
        Vec::new()
    }

    /// Whether a file found below one of its places may be one of its recordings, by name alone.
    fn is_recording(&self, path: &Path) -> bool {
        let _ = path;
        false
    }
}

/// Where the user's things are; tests set it.
#[derive(Debug, Clone, Default)]
pub struct Home {
    /// The home directory.
    pub dir: PathBuf,
    /// Environment variables that move an agent's directory, as they are set.
    pub vars: std::collections::BTreeMap<String, PathBuf>,
}

impl Home {
    /// This user's, with the variables by which agents' directories are moved: those called `..._HOME` and `..._DIR` that
    /// hold an absolute path. Without a home directory there are no places but theirs.
    #[must_use]
    pub fn from_env() -> Self {
        let vars = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let path = PathBuf::from(value);
            let moves = name.ends_with("_HOME") || name.ends_with("_DIR");
            (moves && path.is_absolute()).then_some((name, path))
        });
        Self {
            dir: std::env::home_dir().unwrap_or_default(),
            vars: vars.collect(),
        }
    }

    /// The variable's directory, else `dir` joined with `below`.
    #[must_use]
    pub fn dir_or(&self, var: &str, below: &str) -> PathBuf {
        self.vars
            .get(var)
            .cloned()
            .unwrap_or_else(|| self.dir.join(below))
    }
}

/// All formats. The first of the surest wins; the generic one comes last.
pub static FORMATS: &[&dyn Format] = &[
    &super::claude::Claude,
    &super::codex::Codex,
    &super::opencode::OpenCode,
    &super::gemini::Gemini,
    &super::gemini::GeminiDocument,
    &super::copilot::Copilot,
    &super::pi::Pi,
    &super::atif::Atif,
    &super::atif::AtifLines,
    &super::asciicast::Asciicast,
    &super::swe_agent::SweAgent,
    &super::mini_swe::MiniSwe,
    &super::openhands::OpenHands,
    &super::aider::Aider,
    // The last resort.
    &super::ndjson::Ndjson,
];

/// The format of that name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|f| f.name() == name)
}

/// The format that is surest of the content.
#[must_use]
pub fn recognise(head: &Head<'_>) -> Option<&'static dyn Format> {
    let mut best: Option<(u8, &'static dyn Format)> = None;
    for format in FORMATS.iter().copied() {
        let sure = format.sniff(head);
        if sure > best.map_or(0, |(s, _)| s) {
            best = Some((sure, format));
        }
    }
    best.map(|(_, format)| format)
}
