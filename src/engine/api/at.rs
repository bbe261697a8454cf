//! Past states as directories.

use serde::{Deserialize, Serialize};

use crate::model::CommitId;

/// Where a past state can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastPlace {
    /// The directory: that of the state, or that of all of them.
    pub path: String,
    /// The commit that it is.
    pub commit: Option<CommitId>,
}
