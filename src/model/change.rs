//! What happened to a path, and who did it.

use serde::{Deserialize, Serialize};

/// From which side of the mount a change came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Through a mounted view.
    Inside,
    /// Behind the mount: an editor on the real directory, a container, a daemon.
    Outside,
}

/// A process that changed something.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Writer {
    /// Inside or outside the mount.
    pub origin: Origin,
    /// Process id as the engine sees it; 0 when not known.
    pub pid: u32,
    /// The process's short name; empty when not known.
    pub comm: String,
    /// Its cgroup v2 path; empty when not known.
    pub cgroup: String,
}

impl Writer {
    /// Someone behind the mount; nothing more is known of them.
    #[must_use]
    pub fn outside() -> Self {
        Self {
            origin: Origin::Outside,
            pid: 0,
            comm: String::new(),
            cgroup: String::new(),
        }
    }
}

/// How much of a path a mutating request changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Touch {
    /// The file's content (write, truncate, fallocate).
    Content,
    /// Mode, owner or times.
    Meta,
    /// The name came to be: create, mkdir, symlink, mknod, link, the new name of a rename.
    Create,
    /// The name went away: unlink, rmdir, the old name of a rename.
    Remove,
}
