//! What is said of single operations: what one moved, and what restoring or reverting it would come to.

use serde::{Deserialize, Serialize};

use super::{FileChange, OpInfo, Resolved, RollbackReport};
use crate::model::{OpId, Ordinal, RefChange, RefTarget};

/// An operation with what it changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpDetail {
    /// The operation.
    pub op: OpInfo,
    /// The one before it.
    pub parent: Option<OpId>,
    /// The branches, labels and `head` that it moved.
    pub refs: Vec<RefMove>,
    /// The states that its files went from and to, where it changed files.
    pub states: Option<(Resolved, Resolved)>,
    /// What differs between them.
    pub changes: Vec<FileChange>,
    /// Why it cannot be reverted as things stand; absent when it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stays: Option<String>,
}

/// How a ref moved, with what a person knows of where it points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefMove {
    /// Its full name: `head`, `branch/NAME` or `label/NAME`.
    pub name: String,
    /// Where it pointed; absent if it was not there.
    pub before: Option<RefTarget>,
    /// Where it points since; absent if it was removed.
    pub after: Option<RefTarget>,
    /// The steps that these are tied to.
    #[serde(default)]
    pub steps: (Option<Ordinal>, Option<Ordinal>),
}

impl RefMove {
    /// Without steps.
    #[must_use]
    pub fn of(change: RefChange) -> Self {
        Self {
            name: change.name,
            before: change.before,
            after: change.after,
            steps: (None, None),
        }
    }

    /// The move in words, such as `branch try-1: 12 → 14`; `arrow` is put between the two ends.
    #[must_use]
    pub fn words(&self, arrow: &str) -> String {
        let neutral = |text: &str| crate::model::neutral(text.as_bytes());
        let name = match self.name.split_once('/') {
            Some((kind @ ("branch" | "label"), name)) => format!("{kind} {}", neutral(name)),
            _ if self.name == "head" => "the workspace".to_owned(),
            _ => neutral(&self.name),
        };
        let end = |target: &Option<RefTarget>, step: Option<Ordinal>| match (target, step) {
            (None, _) => None,
            (_, Some(step)) => Some(format!("step {step}")),
            (Some(RefTarget::Commit(id)), None) => Some(id.short()),
            (Some(RefTarget::Branch(name)), None) => Some(format!("on {}", neutral(name))),
            (Some(RefTarget::Step(_)), None) => Some("a step".to_owned()),
        };
        match (
            end(&self.before, self.steps.0),
            end(&self.after, self.steps.1),
        ) {
            (Some(before), Some(after)) => format!("{name}: {before} {arrow} {after}"),
            (None, Some(after)) => format!("{name}: made at {after}"),
            (Some(before), None) => format!("{name}: removed, was at {before}"),
            (None, None) => name,
        }
    }
}

/// What restoring a state or reverting an operation did, or would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpReport {
    /// Nothing was done.
    pub dry_run: bool,
    /// A line for people.
    pub description: String,
    /// The refs that move.
    pub refs: Vec<RefMove>,
    /// What becomes of the workspace's files, where its state changes.
    pub rollback: Option<Box<RollbackReport>>,
    /// The operation, once done.
    pub operation: Option<OpId>,
}
