//! Files that are more than lines: which they are, by name, and what is done with them where a merge by lines fails.

pub(super) mod json;
#[cfg(test)]
mod json_tests;
pub(super) mod records;
pub(super) mod toml;

use crate::model::RepoPath;

/// What a file is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nature {
    /// Nothing that we know more of.
    Plain,
    /// JSON: one document.
    Json,
    /// JSON, one record a line.
    JsonLines,
    /// TOML.
    Toml,
    /// Lines are only ever appended.
    Log,
    /// A set of lines: the order says nothing.
    Set,
    /// Made by a tool from other files.
    Lock,
}

/// Lock files that are made anew by their tools.
const LOCKS: [&str; 20] = [
    "Cargo.lock",
    "Gemfile.lock",
    "Pipfile.lock",
    "Podfile.lock",
    "bun.lock",
    "composer.lock",
    "deno.lock",
    "flake.lock",
    "gradle.lockfile",
    "mix.lock",
    "npm-shrinkwrap.json",
    "package-lock.json",
    "packages.lock.json",
    "pdm.lock",
    "pnpm-lock.yaml",
    "poetry.lock",
    "pubspec.lock",
    "rebar.lock",
    "uv.lock",
    "yarn.lock",
];

/// What the file at `path` is.
#[must_use]
pub fn nature(path: &RepoPath) -> Nature {
    let name = path.name();
    if LOCKS.iter().any(|l| l.as_bytes() == name) {
        return Nature::Lock;
    }
    if name == b"go.sum" {
        return Nature::Set;
    }
    let end = |ext: &[u8]| name.len() > ext.len() && name.ends_with(ext);
    if end(b".json") {
        Nature::Json
    } else if end(b".jsonl") || end(b".ndjson") {
        Nature::JsonLines
    } else if end(b".toml") {
        Nature::Toml
    } else if end(b".log") {
        Nature::Log
    } else {
        Nature::Plain
    }
}
