//! Three-way merge of trees.
//!
//! Directory by directory, the three entries of each name decide, as in git's and jj's tree merges: what only one side
//! changed is taken as it is, whole subtrees included, so that the cost follows what both sides changed. Only where both
//! changed a directory it is entered, only where both changed a file its contents are read. Renames (`renames`) are put
//! right afterwards. The walk keeps its own stack, so that a deep tree cannot overflow ours.
//!
//! Until it is resolved, a conflict's place in the tree has what ours has.

use std::collections::BTreeMap;
use std::vec;

use crate::diff::tree::{PathChange, TreeReader, trees_of};
use crate::model::{Entry, Kind, RepoPath, Tree, TreeId, neutral};

use super::Error;
use super::conflict::{Conflict, ConflictKind};
use super::contents::{self, How, Outcome};
use super::objects::{Made, Objects};
use super::renames;
use super::text;

/// Two trees put together over their base.
#[derive(Debug, Clone)]
pub struct MergedTree {
    /// The tree, if nothing is in conflict.
    pub tree: Option<TreeId>,
    /// The tree so far: where something is in conflict it has what ours has.
    pub so_far: TreeId,
    /// What it changes in ours, conflicts left out.
    pub changes: Vec<PathChange>,
    /// The files whose contents were put together, and how.
    pub joined: BTreeMap<RepoPath, How>,
    /// What is in conflict, by path.
    pub conflicts: Vec<Conflict>,
    /// Trees and contents that were made, by the merge; [`Made::keep`] puts them into a store.
    pub made: Made,
}

/// Merges the trees `ours` and `theirs`, which both came from `base`.
pub fn merge(
    under: &dyn Objects,
    base: TreeId,
    ours: TreeId,
    theirs: TreeId,
) -> Result<MergedTree, Error> {
    merge_with(Made::default(), under, base, ours, theirs)
}

/// As [`merge`], where some of the trees are only `made` so far.
pub fn merge_with(
    made: Made,
    under: &dyn Objects,
    base: TreeId,
    ours: TreeId,
    theirs: TreeId,
) -> Result<MergedTree, Error> {
    let mut work = Work {
        made,
        under,
        conflicts: BTreeMap::new(),
        joined: BTreeMap::new(),
    };
    let walked = work.walk(base, ours, theirs)?;
    let so_far = renames::put_right(&mut work, [base, ours, theirs], walked)?;
    let changes = trees_of(&work.made.over(under), ours, so_far, &[])?;
    let Work {
        made,
        conflicts,
        joined,
        ..
    } = work;
    let conflicts: Vec<_> = conflicts.into_values().collect();
    Ok(MergedTree {
        tree: conflicts.is_empty().then_some(so_far),
        so_far,
        changes,
        joined,
        conflicts,
        made,
    })
}

/// A merge under way.
pub(super) struct Work<'a> {
    pub made: Made,
    pub under: &'a dyn Objects,
    pub conflicts: BTreeMap<RepoPath, Conflict>,
    pub joined: BTreeMap<RepoPath, How>,
}

/// The entries of one name: base, ours, theirs.
type Row = [Option<Entry>; 3];

/// A directory being merged.
struct Open {
    path: RepoPath,
    mode: u32,
    /// Whether it goes when nothing is left in it: one side deleted it, or neither has it empty, so that the merge emptied it.
    may_go: bool,
    rows: vec::IntoIter<Row>,
    out: Vec<Entry>,
}

/// What becomes of a name.
enum Next {
    Take(Option<Entry>),
    Enter {
        trees: [Option<TreeId>; 3],
        mode: u32,
        may_go: bool,
    },
}

/// What both have, or what the one that changed it has; `None` if both changed it.
pub(super) fn three<T: PartialEq + Clone>(base: Option<&T>, ours: &T, theirs: &T) -> Option<T> {
    if ours == theirs || base == Some(theirs) {
        Some(ours.clone())
    } else if base == Some(ours) {
        Some(theirs.clone())
    } else {
        None
    }
}

fn dir(entry: Option<&Entry>) -> Option<TreeId> {
    entry.and_then(|e| e.kind.tree())
}

impl Work<'_> {
    fn walk(&mut self, base: TreeId, ours: TreeId, theirs: TreeId) -> Result<TreeId, Error> {
        if let Some(id) = three(Some(&base), &ours, &theirs) {
            return Ok(id);
        }
        let root = [Some(base), Some(ours), Some(theirs)];
        let mut open = vec![self.open(RepoPath::root(), root, 0o755, false)?];
        let mut merged = ours;
        while let Some(top) = open.last_mut() {
            let Some(row) = top.rows.next() else {
                let Some(done) = open.pop() else { break };
                let gone = done.may_go && done.out.is_empty();
                let id = self.made.tree(Tree { entries: done.out });
                match open.last_mut() {
                    None => merged = id,
                    Some(_) if gone => {}
                    Some(parent) => parent.out.push(Entry {
                        name: done.path.name().to_vec(),
                        mode: done.mode,
                        kind: Kind::Dir(id),
                    }),
                }
                continue;
            };
            let Some(name) = row.iter().flatten().next().map(|e| e.name.clone()) else {
                continue;
            };
            let path = top.path.join(&name).map_err(|_| Error::HostileName {
                dir: top.path.clone(),
                name: neutral(&name),
            })?;
            match self.decide(&path, row)? {
                Next::Take(entry) => top.out.extend(entry),
                Next::Enter {
                    trees,
                    mode,
                    may_go,
                } => open.push(self.open(path, trees, mode, may_go)?),
            }
        }
        Ok(merged)
    }

    fn open(
        &self,
        path: RepoPath,
        trees: [Option<TreeId>; 3],
        mode: u32,
        may_go: bool,
    ) -> Result<Open, Error> {
        let over = self.made.over(self.under);
        let mut rows: BTreeMap<Vec<u8>, Row> = BTreeMap::new();
        for (side, id) in trees.into_iter().enumerate() {
            let Some(id) = id else { continue };
            for entry in &over.read_tree(id)?.entries {
                let row = rows.entry(entry.name.clone()).or_default();
                if let Some(slot) = row.get_mut(side) {
                    *slot = Some(entry.clone());
                }
            }
        }
        Ok(Open {
            path,
            mode,
            may_go,
            rows: rows.into_values().collect::<Vec<_>>().into_iter(),
            out: Vec::new(),
        })
    }

    fn decide(&mut self, path: &RepoPath, [base, ours, theirs]: Row) -> Result<Next, Error> {
        if let Some(entry) = three(Some(&base), &ours, &theirs) {
            return Ok(Next::Take(entry));
        }
        let trees = [&base, &ours, &theirs].map(|e| dir(e.as_ref()));
        match (&ours, &theirs, trees) {
            (Some(o), Some(t), [b, Some(left), Some(right)]) => {
                let base_mode = base.as_ref().filter(|_| b.is_some()).map(|e| &e.mode);
                let mode = three(base_mode, &o.mode, &t.mode);
                if mode.is_none() {
                    self.conflict(
                        path,
                        ConflictKind::Mode,
                        [base.clone(), ours.clone(), theirs.clone()],
                    );
                }
                let mode = mode.unwrap_or(o.mode);
                // A change of the permissions alone does not lead into the directory.
                if let Some(id) = three(b.as_ref(), &left, &right) {
                    return Ok(Next::Take(Some(Entry {
                        kind: Kind::Dir(id),
                        mode,
                        ..o.clone()
                    })));
                }
                let over = self.made.over(self.under);
                let may_go = !over.read_tree(left)?.entries.is_empty()
                    && !over.read_tree(right)?.entries.is_empty();
                Ok(Next::Enter {
                    trees,
                    mode,
                    may_go,
                })
            }
            // One side deleted the directory: what the other changed in it is in conflict, the rest goes.
            (Some(e), None, [Some(_), ..]) | (None, Some(e), [Some(_), ..])
                if e.kind.tree().is_some() =>
            {
                Ok(Next::Enter {
                    trees,
                    mode: e.mode,
                    may_go: true,
                })
            }
            // What stood in the directory's place went on both sides.
            (Some(e), None, _) | (None, Some(e), _) if e.kind.tree().is_some() => {
                Ok(Next::Take(Some(e.clone())))
            }
            // The other way round: a directory went on both sides, a leaf came on one.
            (Some(e), None, [Some(_), ..]) | (None, Some(e), [Some(_), ..]) => {
                Ok(Next::Take(Some(e.clone())))
            }
            (Some(o), Some(t), [b, left, right]) if left.is_some() != right.is_some() => {
                // A directory from which the other side only took something away has nothing to be kept.
                if let (Some(b), Some(dir)) = (b, left.or(right)) {
                    let changes = trees_of(&self.made.over(self.under), b, dir, &[])?;
                    if changes.iter().all(|c| c.after.is_none()) {
                        let leaf = if left.is_some() { t } else { o };
                        return Ok(Next::Take(Some(leaf.clone())));
                    }
                }
                self.conflict(
                    path,
                    ConflictKind::FileDirectory,
                    [base, ours.clone(), theirs],
                );
                Ok(Next::Take(ours))
            }
            _ => {
                let base = base.filter(|e| e.kind.tree().is_none());
                Ok(Next::Take(self.leaf(path, [base, ours, theirs])?))
            }
        }
    }

    /// Merges what is no directory on any side and what both sides changed. Records a conflict, and gives ours then.
    pub(super) fn leaf(
        &mut self,
        path: &RepoPath,
        [base, ours, theirs]: Row,
    ) -> Result<Option<Entry>, Error> {
        let (o, t) = match (&ours, &theirs) {
            (Some(o), Some(t)) => (o, t),
            (None, Some(_)) => {
                self.conflict(path, ConflictKind::DeletedByOurs, [base, None, theirs]);
                return Ok(None);
            }
            (Some(_), None) => {
                self.conflict(
                    path,
                    ConflictKind::DeletedByTheirs,
                    [base, ours.clone(), None],
                );
                return Ok(ours);
            }
            (None, None) => return Ok(None),
        };
        let mode = three(base.as_ref().map(|e| &e.mode), &o.mode, &t.mode);
        // Where both changed the permissions, ours stand until the conflict is settled.
        let merged = |kind: Kind| Entry {
            kind,
            mode: mode.unwrap_or(o.mode),
            name: o.name.clone(),
        };
        let (entry, found) = match three(base.as_ref().map(|e| &e.kind), &o.kind, &t.kind) {
            Some(kind) => (merged(kind), None),
            None => match self.contents(path, base.as_ref(), o, t)? {
                Outcome::Clean(content, how) => {
                    self.joined.insert(path.clone(), how);
                    (merged(self.made.blob(content)), None)
                }
                Outcome::Conflict(kind, pieces) => (merged(o.kind.clone()), Some((kind, pieces))),
            },
        };
        let found = found.or_else(|| mode.is_none().then(|| (ConflictKind::Mode, Vec::new())));
        if let Some((kind, pieces)) = found {
            self.conflict(path, kind, [base, ours, theirs]);
            if let Some(conflict) = self.conflicts.get_mut(path) {
                conflict.pieces = pieces;
            }
        }
        Ok(Some(entry))
    }

    fn contents(
        &self,
        path: &RepoPath,
        base: Option<&Entry>,
        ours: &Entry,
        theirs: &Entry,
    ) -> Result<Outcome, Error> {
        let whole = |kind| Ok(Outcome::Conflict(kind, Vec::new()));
        match (&ours.kind, &theirs.kind) {
            (Kind::File { blob: o, size: m }, Kind::File { blob: t, size: n }) => {
                let base = match base.map(|e| &e.kind) {
                    Some(Kind::File { blob, size }) => Some((*blob, *size)),
                    _ => None,
                };
                let longest = base.map_or(0, |(_, size)| size).max(*m).max(*n);
                if longest > text::MAX_BYTES as u64 {
                    return whole(ConflictKind::Binary);
                }
                let over = self.made.over(self.under);
                let base = base.map(|(blob, _)| over.read_blob(blob)).transpose()?;
                let (o, t) = (over.read_blob(*o)?, over.read_blob(*t)?);
                Ok(contents::merge(path, base.as_deref(), &o, &t))
            }
            (Kind::Symlink(_), Kind::Symlink(_)) => whole(ConflictKind::Link),
            // A content that is not known cannot be merged.
            (Kind::Unknown { .. }, Kind::File { .. } | Kind::Unknown { .. })
            | (Kind::File { .. }, Kind::Unknown { .. }) => whole(ConflictKind::Binary),
            _ => whole(ConflictKind::Type),
        }
    }

    /// Records a conflict.
    pub(super) fn conflict(
        &mut self,
        path: &RepoPath,
        kind: ConflictKind,
        [base, ours, theirs]: Row,
    ) {
        self.conflicts.insert(
            path.clone(),
            Conflict {
                path: path.clone(),
                kind,
                base,
                ours,
                theirs,
                paths: [None, None],
                pieces: Vec::new(),
            },
        );
    }
}
