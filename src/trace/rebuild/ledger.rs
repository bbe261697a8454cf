//! The ledger: what changed, in order, until it becomes commits; and which told effects are the same one.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::model::Time;
use crate::trace::event::{Before, FileEffect, What};

use super::StepRef;
use super::files::State;

/// A file's change in the ledger.
#[derive(Debug, Clone)]
pub(super) struct Op {
    pub file: usize,
    pub op: &'static str,
    pub before: State,
    pub after: State,
    /// It is in a commit: nothing about it changes any more.
    pub settled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupKind {
    /// Contents that were there all along and were told late.
    Found,
    /// An inferred outside change.
    Outside,
    /// What a call did.
    Told,
}

/// Changes that belong together: one commit.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub kind: GroupKind,
    pub step: Option<StepRef>,
    pub call: Option<String>,
    pub time: Time,
    pub ops: Vec<usize>,
}

/// The changes that one record tells, as far as they are worked out.
#[derive(Default)]
pub(super) struct Round {
    pub found: Vec<usize>,
    pub outside: Vec<usize>,
    pub told: Vec<Op>,
    /// Those of `told` that rest on the replay alone.
    pub loose: Vec<bool>,
    pub files: HashSet<usize>,
    /// What was replayed of a file that has another name now.
    pub carried: Vec<(usize, Vec<usize>)>,
}

impl Round {
    pub fn push(
        &mut self,
        file: usize,
        op: &'static str,
        before: State,
        after: State,
        certain: bool,
    ) {
        self.told.push(Op {
            file,
            op,
            before,
            after,
            settled: false,
        });
        self.loose.push(certain);
    }
}

pub(super) fn is_seen(what: &What) -> bool {
    matches!(what, What::Seen(_) | What::SeenPart { .. })
}

/// Two effects of one call with the same hash are the same effect, told twice. Copies may carry another time.
pub(super) fn hash(effect: &FileEffect) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&effect.call, &effect.path).hash(&mut hasher);
    match &effect.before {
        Before::NotTold => 0_u8.hash(&mut hasher),
        Before::Absent => 1_u8.hash(&mut hasher),
        Before::Content(text) => text.hash(&mut hasher),
    }
    hash_what(&effect.what, &mut hasher);
    hasher.finish()
}

fn hash_what(what: &What, hasher: &mut DefaultHasher) {
    std::mem::discriminant(what).hash(hasher);
    match what {
        What::Seen(text) | What::Write(text) | What::Unified(text) => text.hash(hasher),
        What::SeenPart { text, from, of } => (text, from, of).hash(hasher),
        What::Replace(pairs) => {
            for pair in pairs {
                (&pair.old, &pair.new, pair.all).hash(hasher);
            }
        }
        What::Patch(patch) => format!("{patch:?}").hash(hasher),
        What::Notebook {
            mode,
            cell,
            kind,
            source,
        } => (mode, cell, kind, source).hash(hasher),
        What::Rename { to, change } => {
            to.hash(hasher);
            if let Some(change) = change {
                hash_what(change, hasher);
            }
        }
        What::Delete | What::Changed => {}
    }
}
