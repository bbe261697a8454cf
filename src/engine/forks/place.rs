//! Where forks lie on disk, and what the engine keeps of each beside the view's own files.
//!
//! `fork.json` says what the view was made of and at which commits it may stand: the last one that was made of it, and the
//! one that was about to be made when the engine ended. A branch whose tip is another one was moved by somebody else, and
//! its view is stale.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::engine::api::{ApiError, ErrorCode};
use crate::engine::project::Project;
use crate::model::CommitId;

const FILE: &str = "fork.json";
/// What the names of directories begin with that are no branch's: no name of a branch becomes one.
const ASIDE: &str = "%aside-";
/// The same for scratch views.
pub const SCRATCH: &str = "%scratch-";

/// What is kept of a fork.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Its branch, by its name then.
    pub branch: String,
    /// What was forked.
    pub base: CommitId,
    /// Where its view may stand, the newest last.
    pub at: Vec<CommitId>,
    /// It is being put on this commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebasing: Option<CommitId>,
}

pub fn failed(what: &str, path: &Path, e: &std::io::Error) -> ApiError {
    let code = if e.kind() == std::io::ErrorKind::StorageFull {
        ErrorCode::Full
    } else {
        ErrorCode::Failed
    };
    ApiError::new(code, format!("cannot {what} {}: {e}", path.display()))
}

impl Note {
    /// That of the fork in `dir`; `None` where there is none that can be read.
    pub fn read(dir: &Path) -> Option<Self> {
        let text = std::fs::read(dir.join(FILE)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Puts it there as a whole.
    pub fn write(&self, dir: &Path) -> Result<(), ApiError> {
        let file = dir.join(FILE);
        let beside = dir.join("fork.json.new");
        let text = serde_json::to_vec(self)
            .map_err(|e| ApiError::new(ErrorCode::Failed, e.to_string()))?;
        std::fs::write(&beside, text)
            .and_then(|()| std::fs::rename(&beside, &file))
            .map_err(|e| failed("write", &file, &e))
    }
}

/// The name of a branch as that of a directory, the same for no two branches.
pub fn dir_name(branch: &str) -> String {
    let mut out = branch.replace('%', "%25").replace('/', "%2F");
    if ["materialised", "pins"].contains(&branch) {
        out.insert(0, '%');
    }
    if out.len() > 200 {
        out = format!("%long-{}", blake3::hash(branch.as_bytes()).to_hex());
    }
    out
}

impl Project {
    /// Where forks keep what is theirs.
    #[must_use]
    pub fn forks_dir(&self) -> PathBuf {
        self.store_dir.join("branches")
    }

    /// Where the fork of a branch keeps what is its own.
    #[must_use]
    pub fn fork_dir(&self, branch: &str) -> PathBuf {
        self.forks_dir().join(dir_name(branch))
    }

    /// Where the fork of a branch is mounted.
    #[must_use]
    pub fn fork_mount(&self, branch: &str) -> PathBuf {
        self.runtime_dir.join("branch").join(dir_name(branch))
    }

    /// Where scratch views are mounted.
    #[must_use]
    pub fn scratch_mounts(&self) -> PathBuf {
        self.runtime_dir.join("scratch")
    }
}

/// The forks that there are, with where they lie.
pub fn all(project: &Project) -> Vec<(PathBuf, Note)> {
    let Ok(entries) = std::fs::read_dir(project.forks_dir()) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|e| {
            let dir = e.path();
            let there = dir.join("branch.json").exists();
            there.then(|| Note::read(&dir)).flatten().map(|n| (dir, n))
        })
        .collect()
}

/// Moves a directory out of the way of a fork that needs its name, and returns where to.
pub fn set_aside(dir: &Path) -> Result<PathBuf, ApiError> {
    let name = dir
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let name: String = name.chars().take(100).collect();
    for n in 1..10_000 {
        let to = dir.with_file_name(format!("{ASIDE}{n}-{name}"));
        if !to.exists() {
            return std::fs::rename(dir, &to)
                .map(|()| to)
                .map_err(|e| failed("move aside", dir, &e));
        }
    }
    Err(ApiError::new(
        ErrorCode::Failed,
        format!(
            "{} cannot be moved aside: remove some of its like",
            dir.display()
        ),
    ))
}

/// What the files below `dir` take up that are nowhere else, in bytes.
pub fn disk(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let mut sum = 0;
    let mut todo = vec![dir.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.path().symlink_metadata() else {
                continue;
            };
            if meta.is_dir() {
                todo.push(entry.path());
            } else if meta.nlink() > 1 {
                // The project's own, held by a link.
                continue;
            }
            sum += meta.blocks() * 512;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_branches_share_a_directory() {
        let long = format!("{}/x", "%".repeat(150));
        let names = [
            "a",
            "a/b",
            "a%2Fb",
            "a%252Fb",
            "pins",
            "%pins",
            "materialised",
            &long,
        ];
        let mut dirs: Vec<String> = names.iter().map(|n| dir_name(n)).collect();
        assert!(dirs.iter().all(|d| !d.contains('/') && d.len() <= 200));
        assert!(
            dirs.iter()
                .all(|d| !d.starts_with(ASIDE) && !d.starts_with(SCRATCH))
        );
        dirs.sort();
        dirs.dedup();
        assert_eq!(dirs.len(), names.len());
    }
}
