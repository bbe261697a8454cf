//! Where forks lie on disk, and what the engine keeps of each beside the view's own files.
//!
//! `fork.json` says what the view was made of and at which commits it may stand: the last one that was made of it, and the
//! one that was about to be made when the engine ended. A branch whose tip is another one was moved by somebody else, and
//! its view is stale.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

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
    /// Its branch is being given this name, and the view is to go along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renaming: Option<String>,
    /// Since which start of the machine it was used last. What a view holds survives an engine, but not the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
}

/// Why a note says nothing.
#[derive(Debug)]
pub enum Unread {
    /// It is there and cannot be read now.
    Failed(ApiError),
    /// It is cut off or damaged.
    Damaged(String),
}

impl From<Unread> for ApiError {
    fn from(e: Unread) -> Self {
        match e {
            Unread::Failed(e) => e,
            Unread::Damaged(why) => Self::new(ErrorCode::Failed, why),
        }
    }
}

/// This start of the machine.
fn boot() -> Option<String> {
    static BOOT: OnceLock<Option<String>> = OnceLock::new();
    BOOT.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(text.trim().to_owned())
    })
    .clone()
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
    /// Of a fork that stands at one of these commits.
    pub fn new(branch: &str, base: CommitId, at: Vec<CommitId>) -> Self {
        Self {
            branch: branch.to_owned(),
            base,
            at,
            rebasing: None,
            renaming: None,
            boot: boot(),
        }
    }

    /// Whether the machine was started anew since it was written, so that the view may be older than what was committed
    /// of it.
    pub fn is_of_another_boot(&self) -> bool {
        self.boot.is_some() && self.boot != boot()
    }

    /// That of the fork in `dir`; `None` only where there is none: who takes one that cannot be read for none would
    /// destroy a fork.
    pub fn read(dir: &Path) -> Result<Option<Self>, Unread> {
        let file = dir.join(FILE);
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Unread::Failed(failed("read", &file, &e))),
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|e| Unread::Damaged(format!("{} is damaged: {e}", file.display())))
    }

    /// Puts it there as a whole, whatever becomes of the machine.
    pub fn write(&self, dir: &Path) -> Result<(), ApiError> {
        let file = dir.join(FILE);
        let beside = dir.join("fork.json.new");
        let text = serde_json::to_vec(self)
            .map_err(|e| ApiError::new(ErrorCode::Failed, e.to_string()))?;
        std::fs::File::create(&beside)
            .and_then(|mut f| f.write_all(&text).and_then(|()| f.sync_all()))
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
            if !there {
                return None;
            }
            match Note::read(&dir) {
                Ok(note) => note.map(|n| (dir, n)),
                Err(e) => {
                    tracing::warn!("a fork is passed over: {}", ApiError::from(e).message);
                    None
                }
            }
        })
        .collect()
}

/// Moves a directory out of the way of a fork that needs its name, and returns where to.
pub fn set_aside(dir: &Path) -> Result<PathBuf, ApiError> {
    let to = aside(dir)?;
    std::fs::rename(dir, &to)
        .map(|()| to)
        .map_err(|e| failed("move aside", dir, &e))
}

/// A free name beside that of a fork's directory.
pub fn aside(dir: &Path) -> Result<PathBuf, ApiError> {
    let name = dir
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let name: String = name.chars().take(100).collect();
    for n in 1..10_000 {
        let to = dir.with_file_name(format!("{ASIDE}{n}-{name}"));
        if to.symlink_metadata().is_err() {
            return Ok(to);
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
