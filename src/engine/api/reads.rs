//! What was read.

use serde::{Deserialize, Serialize};

use crate::model::{Ordinal, RepoPath, Time};

/// A file that was opened for reading through a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadInfo {
    /// When; opens of the same file by the same process within a second are one.
    pub time: Time,
    /// Which file.
    pub path: RepoPath,
    /// The process.
    pub pid: u32,
    /// Its short name.
    pub comm: String,
    /// The program that it ran; empty when it could not be seen.
    pub exe: String,
    /// Its cgroup.
    pub cgroup: String,
    /// It belongs to a session. If not, it only came by the same mount: a container, a daemon, the person.
    pub inside: bool,
    /// The calls that were open: of its own session, or of any if it belongs to none.
    pub steps: Vec<Ordinal>,
    /// The fork in whose view it was; the workspace's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}
