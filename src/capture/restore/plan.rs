//! What must be done to bring the workspace from one tree to another.

use super::Error;
use super::is_staging_name;
use crate::diff::tree::{PathChange, TreeReader, trees_of};
use crate::model::{Entry, Kind, RepoPath, TreeId};
use crate::store::Store;

/// What must be done to bring a directory from tree `from` to tree `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The state that is left.
    pub from: TreeId,
    /// The state to come.
    pub to: TreeId,
    /// Files and links (and directories that hold nothing) that come back or get other content.
    pub restored: Vec<RepoPath>,
    /// Files and links (and directories that held nothing) that go.
    pub removed: Vec<RepoPath>,
    /// Paths of which only the mode changes.
    pub modes: Vec<RepoPath>,
    /// Paths that differ and are left as they are, with the reason. Of a directory that is left as a whole, only it.
    pub kept: Vec<(RepoPath, String)>,
    changes: Vec<PathChange>,
}

impl Plan {
    /// Every path that will change; a directory before what it holds. Goes into the
    /// [`Intent`](super::Intent).
    #[must_use]
    pub fn changes(&self) -> &[PathChange] {
        &self.changes
    }

    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// Plans the way from `from` to `to`.
///
/// `left_out(path, is_dir, size)`: do the rules of the target or of the present leave this path out, by itself or by a
/// directory above it? Such a path is never touched.
pub fn plan(
    store: &Store,
    from: TreeId,
    to: TreeId,
    left_out: &dyn Fn(&RepoPath, bool, u64) -> bool,
) -> Result<Plan, Error> {
    plan_of(store, from, to, left_out)
}

/// As [`plan`], reading from any source of trees.
pub fn plan_of(
    reader: &dyn TreeReader,
    from: TreeId,
    to: TreeId,
    left_out: &dyn Fn(&RepoPath, bool, u64) -> bool,
) -> Result<Plan, Error> {
    let mut plan = Plan {
        from,
        to,
        restored: Vec::new(),
        removed: Vec::new(),
        modes: Vec::new(),
        kept: Vec::new(),
        changes: Vec::new(),
    };
    // The last path that is kept with all below it: the walk brings those next.
    let mut above: Option<RepoPath> = None;
    // The last directory of which was said that it is left out.
    let mut said: Option<RepoPath> = None;
    for change in trees_of(reader, from, to, &[])? {
        let path = &change.path;
        if above.as_ref().is_some_and(|a| path.is_within(a)) {
            continue;
        }
        match why_kept(&change, left_out) {
            None => plan.changes.push(change),
            Some(Kept::Hidden) => above = Some(path.clone()),
            // Below it there may be exceptions (files that git tracks), so each is asked about, but not named.
            Some(Kept::LeftOut) if said.as_ref().is_some_and(|s| path.is_within(s)) => {}
            Some(Kept::LeftOut) => {
                said = Some(path.clone());
                let why = "left out by the project's rules";
                plan.kept.push((path.clone(), why.to_owned()));
            }
            Some(Kept::Alone(why)) => plan.kept.push((path.clone(), why.to_owned())),
            Some(Kept::WithAllBelow(why)) => {
                above = Some(path.clone());
                plan.kept.push((path.clone(), why.to_owned()));
            }
        }
    }
    plan.count();
    Ok(plan)
}

enum Kept {
    /// Not worth a word: it is ours.
    Hidden,
    LeftOut,
    Alone(&'static str),
    WithAllBelow(&'static str),
}

fn why_kept(change: &PathChange, left_out: &dyn Fn(&RepoPath, bool, u64) -> bool) -> Option<Kept> {
    let path = &change.path;
    if path.parts().any(is_staging_name) {
        return Some(Kept::Hidden);
    }
    if path.parts().any(|p| p == b".git") {
        return Some(Kept::WithAllBelow("a rollback leaves .git alone"));
    }
    let sides = [change.before.as_ref(), change.after.as_ref()];
    let out = |e: &Entry| left_out(path, e.kind.tree().is_some(), size_of(e));
    if sides.into_iter().flatten().any(out) {
        return Some(Kept::LeftOut);
    }
    let special = |e: &Option<Entry>| match e.as_ref().map(|e| &e.kind) {
        Some(Kind::Socket) => Some("a socket is not restored"),
        Some(Kind::Device { .. }) => Some("a device is not restored"),
        Some(Kind::Unknown { .. }) => Some("its content is not known"),
        _ => None,
    };
    // What would be created below a socket that stays cannot be; what is to be removed below a directory that shall
    // become one can.
    if let Some(why) = special(&change.before) {
        return Some(Kept::WithAllBelow(why));
    }
    special(&change.after).map(Kept::Alone)
}

fn size_of(entry: &Entry) -> u64 {
    match &entry.kind {
        Kind::File { size, .. } => *size,
        _ => 0,
    }
}

impl Plan {
    /// Sorts the changes into what people are told beforehand.
    fn count(&mut self) {
        for (i, c) in self.changes.iter().enumerate() {
            let below = self.changes.get(i + 1).map(|n| &n.path);
            // The next path of the walk is below it, or nothing is.
            let bare = !below.is_some_and(|n| n.is_within(&c.path));
            let is_dir = |e: &Entry| e.kind.tree().is_some();
            match (&c.before, &c.after) {
                (None, Some(a)) if bare || !is_dir(a) => self.restored.push(c.path.clone()),
                (Some(b), None) if bare || !is_dir(b) => self.removed.push(c.path.clone()),
                (Some(b), Some(a)) if only_mode(b, a) => self.modes.push(c.path.clone()),
                (Some(_), Some(_)) => self.restored.push(c.path.clone()),
                _ => {}
            }
        }
    }
}

/// Whether two entries differ in nothing but the mode (what directories hold does not count).
pub(super) fn only_mode(before: &Entry, after: &Entry) -> bool {
    match (&before.kind, &after.kind) {
        (Kind::Dir(_), Kind::Dir(_)) => true,
        (b, a) => b == a,
    }
}
