//! Renames: a file that one side moved and the other changed is changed at its new place.
//!
//! A rename is what went at one path and came at another with exactly the same content (git's `--find-renames=100%`); where
//! several files have that content, only those of the same name are paired. A rename that leads to where the other side
//! has something of its own is not followed: the conflict stays at the old path, where nothing is lost.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::diff::tree::{PathChange, trees_of};
use crate::model::{BlobId, Entry, Kind, RepoPath, TreeId};

use super::Error;
use super::conflict::ConflictKind;
use super::objects::{lookup, with_entries};
use super::trees::Work;

/// Corrects the walked tree for renames, and the conflicts. Gives the new tree.
pub(super) fn put_right(
    work: &mut Work<'_>,
    [base, ours, theirs]: [TreeId; 3],
    walked: TreeId,
) -> Result<TreeId, Error> {
    if base == ours || base == theirs || ours == theirs {
        return Ok(walked);
    }
    let sides = {
        let over = work.made.over(work.under);
        [
            Side::new(trees_of(&over, base, ours, &[])?),
            Side::new(trees_of(&over, base, theirs, &[])?),
        ]
    };
    // As the walk found them: what is put right for one side must not decide for the other. At or below one of them the
    // walked tree has what ours has, so nothing that is looked up there is the merge's.
    let walked_conflicts: BTreeSet<RepoPath> = work.conflicts.keys().cloned().collect();
    let open = |path: &RepoPath| at_or_below(&walked_conflicts, path);
    let mut edits = BTreeMap::new();
    for mover in [0, 1] {
        let [moved, other] = match mover {
            0 => [&sides[0], &sides[1]],
            _ => [&sides[1], &sides[0]],
        };
        for (from, to) in &moved.renames {
            let Some(before) = moved.changes.get(from).and_then(|c| c.before.clone()) else {
                continue;
            };
            let here = moved.changes.get(to).and_then(|c| c.after.clone());
            let rename = Rename {
                from,
                to,
                before,
                here,
                mover,
            };
            if let Some(second) = other.renames.get(from) {
                if second != to && mover == 0 && !open(to) && !open(second) {
                    rename.twice(work, second, other);
                }
                continue;
            }
            let Some(change) = other.changes.get(from) else {
                continue;
            };
            // What the other side has at the new name is not ours to overwrite.
            let untouched = lookup(&work.made.over(work.under), walked, to)? == rename.here;
            let stuck = open(to) || from.parent().is_some_and(|dir| open(&dir));
            if other.changes.contains_key(to) || stuck || !untouched {
                continue;
            }
            match &change.after {
                None => rename.deleted(work),
                Some(after) if after.kind.blob().is_some() => {
                    let merged = rename.follow(work, after)?;
                    // The conflict at the old path is gone, and with it what stood there for it.
                    work.conflicts.remove(from);
                    edits.insert(from.clone(), None);
                    edits.insert(to.clone(), merged);
                }
                Some(_) => {}
            }
        }
    }
    if edits.is_empty() {
        return Ok(walked);
    }
    with_entries(&mut work.made, work.under, walked, &edits)
}

/// Whether the path, or a directory that it is in, is one of them.
fn at_or_below(paths: &BTreeSet<RepoPath>, path: &RepoPath) -> bool {
    let mut at = Some(path.clone());
    while let Some(here) = at {
        if paths.contains(&here) {
            return true;
        }
        at = here.parent();
    }
    false
}

/// What one side did to the base.
struct Side {
    changes: BTreeMap<RepoPath, PathChange>,
    /// Old path, new path.
    renames: BTreeMap<RepoPath, RepoPath>,
}

impl Side {
    fn new(changes: Vec<PathChange>) -> Self {
        let renames = renames(&changes);
        Self {
            changes: changes.into_iter().map(|c| (c.path.clone(), c)).collect(),
            renames,
        }
    }
}

fn content(entry: Option<&Entry>) -> Option<BlobId> {
    match entry.map(|e| &e.kind) {
        // Empty files are all alike: that two of them are empty says nothing.
        Some(Kind::File { blob, size }) if *size > 0 => Some(*blob),
        _ => None,
    }
}

fn renames(changes: &[PathChange]) -> BTreeMap<RepoPath, RepoPath> {
    let mut of: HashMap<BlobId, [Vec<&RepoPath>; 2]> = HashMap::new();
    // A directory in the place of a file is as good as nothing: the file went.
    let free = |entry: Option<&Entry>| entry.is_none_or(|e| e.kind.tree().is_some());
    for change in changes {
        let (before, after) = (change.before.as_ref(), change.after.as_ref());
        match (content(before), content(after)) {
            (Some(blob), None) if free(after) => {
                of.entry(blob).or_default()[0].push(&change.path);
            }
            (None, Some(blob)) if free(before) => {
                of.entry(blob).or_default()[1].push(&change.path);
            }
            _ => {}
        }
    }
    let mut out = BTreeMap::new();
    for [gone, come] in of.into_values() {
        if let ([from], [to]) = (gone.as_slice(), come.as_slice()) {
            out.insert((*from).clone(), (*to).clone());
            continue;
        }
        let mut names: HashMap<&[u8], [Vec<&RepoPath>; 2]> = HashMap::new();
        for (side, paths) in [gone, come].into_iter().enumerate() {
            for path in paths {
                names.entry(path.name()).or_default()[side].push(path);
            }
        }
        for [gone, come] in names.into_values() {
            if let ([from], [to]) = (gone.as_slice(), come.as_slice()) {
                out.insert((*from).clone(), (*to).clone());
            }
        }
    }
    out
}

/// One side's rename.
struct Rename<'a> {
    from: &'a RepoPath,
    to: &'a RepoPath,
    /// At the old path, in the base.
    before: Entry,
    /// At the new path, on the side that renamed.
    here: Option<Entry>,
    /// 0: ours renamed; 1: theirs.
    mover: usize,
}

impl Rename<'_> {
    /// By side: what the mover has, what the other has.
    fn by_side<T>(&self, mine: T, others: T) -> [T; 2] {
        if self.mover == 0 {
            [mine, others]
        } else {
            [others, mine]
        }
    }

    fn named(&self, entry: Entry) -> Entry {
        Entry {
            name: self.to.name().to_vec(),
            ..entry
        }
    }

    /// The other side changed the file: merges at the new path.
    fn follow(&self, work: &mut Work<'_>, changed: &Entry) -> Result<Option<Entry>, Error> {
        let base = Some(self.named(self.before.clone()));
        let [ours, theirs] = self.by_side(self.here.clone(), Some(self.named(changed.clone())));
        let merged = work.leaf(self.to, [base, ours, theirs])?;
        if let Some(conflict) = work.conflicts.get_mut(self.to) {
            conflict.paths = self.by_side(None, Some(self.from.clone()));
        }
        Ok(merged)
    }

    /// The other side deleted the file.
    fn deleted(&self, work: &mut Work<'_>) {
        let [ours, theirs] = self.by_side(self.here.clone(), None);
        let row = [Some(self.before.clone()), ours, theirs];
        work.conflict(self.to, ConflictKind::RenamedDeleted, row);
        if let Some(conflict) = work.conflicts.get_mut(self.to) {
            conflict.paths = self.by_side(None, Some(self.from.clone()));
        }
    }

    /// The other side (theirs) gave the file another name.
    fn twice(&self, work: &mut Work<'_>, second: &RepoPath, other: &Side) {
        let theirs = other.changes.get(second).and_then(|c| c.after.clone());
        let row = [Some(self.before.clone()), self.here.clone(), theirs];
        work.conflict(self.to, ConflictKind::RenamedTwice, row);
        if let Some(conflict) = work.conflicts.get_mut(self.to) {
            conflict.paths = [None, Some(second.clone())];
        }
    }
}
