//! Patches as agents write them: the `apply_patch` grammar and unified diffs, read and applied.

/// One file's part of an `apply_patch` text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilePatch {
    /// `*** Add File`.
    Add {
        /// The whole new content.
        content: String,
    },
    /// `*** Update File`.
    Update {
        /// In order.
        hunks: Vec<Hunk>,
    },
    /// `*** Delete File`.
    Delete,
}

/// One `@@` part of an update.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hunk {
    /// The lines after `@@`, outermost first: each is searched for in turn before the hunk's own lines are.
    pub context: Vec<String>,
    /// Lines that must be there: ` ` and `-`.
    pub old: Vec<String>,
    /// Lines that take their place: ` ` and `+`.
    pub new: Vec<String>,
    /// `*** End of File`: the lines are the file's last.
    pub at_end: bool,
}
