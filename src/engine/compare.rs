//! How two revisions stand to each other: what each has that the other has not, since their histories parted, and which
//! paths both changed. The cost follows what differs: the walk ends at the merge base, and equal subtrees are not entered.

use std::collections::BTreeMap;

use crate::debug::ancestry;
use crate::model::{BlobId, CommitId, RepoPath, TreeId};
use crate::store::CommitNode;

use super::answer::Answers;
use super::api::{Comparison, FileChange, Overlap, Resolved, Side};
use super::core::Failure;

/// Most commits that are listed for a side; all of them are counted.
const LISTED: usize = 500;

impl Answers<'_> {
    /// Compares what `a` and `b` name.
    pub fn compare(&self, a: &str, b: &str) -> Result<Comparison, Failure> {
        let (at_a, at_b) = (self.resolve(a)?, self.resolve(b)?);
        let relation = ancestry::relation(self.store, at_a.commit, at_b.commit)?;
        let bases = relation
            .bases
            .iter()
            .map(|id| self.resolved(*id, None))
            .collect::<Result<Vec<_>, _>>()?;
        let base = bases
            .first()
            .map_or_else(|| self.store.empty_tree(), |b| b.tree);
        let a = self.side(a, at_a, &relation.only_a, base)?;
        let b = self.side(b, at_b, &relation.only_b, base)?;
        let both = overlap(&a.changes, &b.changes);
        Ok(Comparison { bases, a, b, both })
    }

    fn side(
        &self,
        rev: &str,
        at: Resolved,
        only: &[CommitNode],
        base: TreeId,
    ) -> Result<Side, Failure> {
        let listed: Vec<CommitId> = only.iter().take(LISTED).map(|n| n.id).collect();
        Ok(Side {
            rev: rev.to_owned(),
            ahead: only.len() as u64,
            commits: self.commit_infos(&listed)?,
            changes: self.changes(base, at.tree, &[])?,
            at,
        })
    }
}

/// What a path has become; `None` where it is gone.
type Became<'a> = Option<(&'a str, u32, Option<BlobId>, Option<&'a str>)>;

/// Every path that was changed, with what it has become: a rename is an end and a beginning.
fn became(changes: &[FileChange]) -> BTreeMap<&RepoPath, Became<'_>> {
    let mut out = BTreeMap::new();
    for change in changes {
        if let Some(from) = &change.from {
            out.entry(from).or_insert(None);
        }
        let after = change.after.as_ref();
        out.insert(
            &change.path,
            after.map(|e| (e.kind.as_str(), e.mode, e.blob, e.target.as_deref())),
        );
    }
    out
}

fn overlap(a: &[FileChange], b: &[FileChange]) -> Vec<Overlap> {
    let (a, b) = (became(a), became(b));
    a.into_iter()
        .filter_map(|(path, of_a)| {
            let of_b = b.get(path)?;
            Some(Overlap {
                path: path.clone(),
                alike: of_a == *of_b,
            })
        })
        .collect()
}
