//! Where two lines of commits parted: the base of a merge.
//!
//! The best common ancestors are found as git's `paint_down_to_common` finds them: both sides are followed newest first,
//! each commit marked with the sides that reach it; the first that both reach are the best, and what lies behind them is
//! stale. The order is that in which commits were stored, parents first, so that a commit's marks are complete when its
//! turn comes, and only what lies after the base is read.
//!
//! When there are several (criss-cross merges), they are merged with one another into a virtual base, as git's `recursive`
//! and `ort` do. A conflict in it is kept as text with markers: whatever a side made of it is then a change.

use std::collections::{BTreeMap, BinaryHeap, HashMap};

use crate::model::{CommitId, TreeId};
use crate::store::{self, Store};

use super::Error;
use super::conflict::Piece;
use super::markers::{self, Labels, Style};
use super::objects::{Made, Objects, with_entries};
use super::trees::{self, MergedTree};

/// So deep virtual bases of virtual bases are made; below, the newest common ancestor alone is the base.
pub(crate) const MAX_DEPTH: usize = 4;
/// With more common ancestors than this, the newest alone is the base.
pub(crate) const MAX_BASES: usize = 8;

/// What a walk over commits asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// A number that is higher than those of all ancestors.
    pub order: u64,
    /// The commits it follows.
    pub parents: Vec<CommitId>,
    /// Its files.
    pub tree: TreeId,
}

/// Where commits are read.
pub trait History {
    /// The commit of that id.
    fn node(&self, id: CommitId) -> Result<Node, store::Error>;
}

impl History for Store {
    fn node(&self, id: CommitId) -> Result<Node, store::Error> {
        let node = self.commit_node(id)?;
        Ok(Node {
            order: node.seq,
            parents: node.commit.parents.clone(),
            tree: node.commit.tree,
        })
    }
}

const OURS: u8 = 1;
const THEIRS: u8 = 2;
const STALE: u8 = 4;

/// Commits reached so far, with the sides that reach them.
struct Paint<'a> {
    history: &'a dyn History,
    marks: HashMap<CommitId, u8>,
    /// Reached and not followed yet, newest first.
    open: BinaryHeap<(u64, CommitId)>,
    parents: HashMap<CommitId, Vec<CommitId>>,
    /// How many in `open` are not stale: when none is left, nothing better can come.
    fresh: usize,
}

impl Paint<'_> {
    fn reach(&mut self, id: CommitId, mark: u8) -> Result<(), Error> {
        match self.marks.get_mut(&id) {
            Some(marked) => {
                if *marked & STALE == 0 && mark & STALE != 0 {
                    self.fresh = self.fresh.saturating_sub(1);
                }
                *marked |= mark;
            }
            None => {
                let node = self.history.node(id)?;
                self.open.push((node.order, id));
                self.parents.insert(id, node.parents);
                self.marks.insert(id, mark);
                self.fresh += usize::from(mark & STALE == 0);
            }
        }
        Ok(())
    }
}

/// The best common ancestors of `ours` (any of them) and `theirs`, newest first. None: the histories are unrelated.
pub fn common(
    history: &dyn History,
    ours: &[CommitId],
    theirs: CommitId,
) -> Result<Vec<CommitId>, Error> {
    let mut paint = Paint {
        history,
        marks: HashMap::new(),
        open: BinaryHeap::new(),
        parents: HashMap::new(),
        fresh: 0,
    };
    for id in ours {
        paint.reach(*id, OURS)?;
    }
    paint.reach(theirs, THEIRS)?;
    let mut best = Vec::new();
    while paint.fresh > 0 {
        let Some((_, id)) = paint.open.pop() else {
            break;
        };
        let mut mark = paint.marks.get(&id).copied().unwrap_or_default();
        if mark & STALE == 0 {
            paint.fresh -= 1;
            if mark == OURS | THEIRS {
                best.push(id);
                mark |= STALE;
            }
        }
        for parent in paint.parents.remove(&id).unwrap_or_default() {
            paint.reach(parent, mark)?;
        }
    }
    Ok(best)
}

/// The base of a merge.
#[derive(Debug, Clone)]
pub struct Base {
    /// The common ancestors that it was made of; none when the histories are unrelated.
    pub commits: Vec<CommitId>,
    /// Its files.
    pub tree: TreeId,
    /// What was made for it, when it is virtual.
    pub made: Made,
}

/// The base of a merge of `theirs` into `ours`. `empty` is the tree without entries: the base of unrelated histories.
pub fn find(
    objects: &dyn Objects,
    history: &dyn History,
    empty: TreeId,
    ours: CommitId,
    theirs: CommitId,
) -> Result<Base, Error> {
    find_at(objects, history, empty, &[ours], theirs, Made::default(), 0)
}

fn find_at(
    objects: &dyn Objects,
    history: &dyn History,
    empty: TreeId,
    ours: &[CommitId],
    theirs: CommitId,
    mut made: Made,
    depth: usize,
) -> Result<Base, Error> {
    let mut commits = common(history, ours, theirs)?;
    if depth >= MAX_DEPTH || commits.len() > MAX_BASES {
        commits.truncate(1);
    }
    let mut tree = match commits.first() {
        None => empty,
        Some(first) => history.node(*first)?.tree,
    };
    for (i, next) in commits.iter().enumerate().skip(1) {
        let below = commits.get(..i).unwrap_or_default();
        let base = find_at(objects, history, empty, below, *next, made, depth + 1)?;
        let side = history.node(*next)?.tree;
        let merged = trees::merge_with(base.made, objects, base.tree, tree, side)?;
        (tree, made) = settled(objects, merged, depth)?;
    }
    Ok(Base {
        commits,
        tree,
        made,
    })
}

/// A merged tree without conflicts, for a virtual base: texts with markers, of the base's form where there are no texts.
fn settled(
    objects: &dyn Objects,
    merged: MergedTree,
    depth: usize,
) -> Result<(TreeId, Made), Error> {
    let MergedTree {
        so_far,
        conflicts,
        mut made,
        ..
    } = merged;
    let mut entries = BTreeMap::new();
    for conflict in conflicts {
        let is_text = conflict.pieces.iter().any(|p| matches!(p, Piece::Hunk(_)));
        let entry = match &conflict.ours {
            Some(ours) if is_text => {
                let labels = Labels::default();
                // Deeper ones have longer markers, so that they never look like those around them.
                let written = markers::write_sized(
                    &conflict.pieces,
                    Style::Merge,
                    &labels,
                    7 + 2 * (depth + 1),
                );
                let mut entry = ours.clone();
                entry.kind = made.blob(written);
                Some(entry)
            }
            _ => conflict.base.clone(),
        };
        entries.insert(conflict.path, entry);
    }
    let tree = with_entries(&mut made, objects, so_far, &entries)?;
    Ok((tree, made))
}

/// Merges commit `theirs` into commit `ours`: finds the base and merges the files. Gives the base too.
pub fn merge(
    objects: &dyn Objects,
    history: &dyn History,
    empty: TreeId,
    ours: CommitId,
    theirs: CommitId,
) -> Result<(Vec<CommitId>, MergedTree), Error> {
    let base = find(objects, history, empty, ours, theirs)?;
    let (left, right) = (history.node(ours)?.tree, history.node(theirs)?.tree);
    let merged = trees::merge_with(base.made, objects, base.tree, left, right)?;
    Ok((base.commits, merged))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// Commits by number, each with its parents; the order is the number.
    struct Numbered(Vec<Vec<u8>>);

    fn id(n: u8) -> CommitId {
        CommitId([n; 32])
    }

    impl History for Numbered {
        fn node(&self, commit: CommitId) -> Result<Node, store::Error> {
            let n = commit.0[0];
            Ok(Node {
                order: u64::from(n),
                parents: self.0[usize::from(n)].iter().map(|p| id(*p)).collect(),
                tree: TreeId([n; 32]),
            })
        }
    }

    impl Numbered {
        fn common(&self, a: u8, b: u8) -> Vec<u8> {
            common(self, &[id(a)], id(b))
                .unwrap()
                .iter()
                .map(|c| c.0[0])
                .collect()
        }

        /// All ancestors of a commit, itself included.
        fn reach(&self, from: u8) -> std::collections::BTreeSet<u8> {
            let mut seen = std::collections::BTreeSet::from([from]);
            let mut open = vec![from];
            while let Some(n) = open.pop() {
                for p in &self.0[usize::from(n)] {
                    if seen.insert(*p) {
                        open.push(*p);
                    }
                }
            }
            seen
        }
    }

    #[test]
    fn forks_lines_and_strangers() {
        let graph = Numbered(vec![vec![], vec![0], vec![1], vec![1], vec![2], vec![]]);
        assert_eq!(graph.common(4, 3), [1]);
        assert_eq!(graph.common(4, 2), [2], "one is behind the other");
        assert_eq!(graph.common(3, 3), [3]);
        assert!(graph.common(4, 5).is_empty(), "unrelated");
    }

    #[test]
    fn a_criss_cross_has_two() {
        let graph = Numbered(vec![vec![], vec![0], vec![0], vec![1, 2], vec![2, 1]]);
        assert_eq!(graph.common(3, 4), [2, 1]);
    }

    proptest::proptest! {
        #[test]
        fn the_best_are_the_common_ones_that_no_other_follows(
            links in proptest::collection::vec(proptest::collection::vec(0..255u8, 0..3), 2..20),
        ) {
            let graph = Numbered(
                links
                    .iter()
                    .enumerate()
                    .map(|(n, parents)| {
                        let mut p: Vec<u8> = parents.iter().filter(|_| n > 0).map(|p| p % n.max(1) as u8).collect();
                        p.dedup();
                        p
                    })
                    .collect(),
            );
            let last = links.len() as u8 - 1;
            let (a, b) = (last, last - 1);
            let both: Vec<u8> = graph.reach(a).intersection(&graph.reach(b)).copied().collect();
            let mut best: Vec<u8> = both
                .iter()
                .copied()
                .filter(|n| !both.iter().any(|m| m != n && graph.reach(*m).contains(n)))
                .collect();
            best.sort_unstable_by(|x, y| y.cmp(x));
            proptest::prop_assert_eq!(graph.common(a, b), best);
        }
    }
}
