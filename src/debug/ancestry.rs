//! Who descends from whom: merge bases, what one commit has that another has not, and which tips another tip holds.
//!
//! Every question is one walk from the newest commit down. A parent is always stored before its children, so the order of
//! storing (`seq`) is a topological order: when a commit is taken from the heap, all marks that its descendants give it are
//! there. The walk ends where only what both sides have is left, so its cost follows what differs, not the history.

use std::collections::{BinaryHeap, HashMap};

use crate::model::CommitId;
use crate::store::{self, CommitNode, Store};

const A: u8 = 1;
const B: u8 = 2;
/// Below a common commit that was found.
const BELOW: u8 = 4;

/// How two commits stand to each other.
#[derive(Debug, Clone, Default)]
pub struct Relation {
    /// The best common ancestors: none for unrelated histories, several after merges that cross.
    pub bases: Vec<CommitId>,
    /// What only the first has, newest first.
    pub only_a: Vec<CommitNode>,
    /// What only the second has, newest first.
    pub only_b: Vec<CommitNode>,
}

/// Commits to be looked at, newest first, each once.
struct Queue<'a> {
    store: &'a Store,
    order: BinaryHeap<u64>,
    nodes: HashMap<u64, CommitNode>,
}

impl<'a> Queue<'a> {
    fn new(store: &'a Store) -> Self {
        Self {
            store,
            order: BinaryHeap::new(),
            nodes: HashMap::new(),
        }
    }

    fn add(&mut self, id: CommitId, seqs: &mut HashMap<CommitId, u64>) -> store::Result<u64> {
        if let Some(seq) = seqs.get(&id) {
            return Ok(*seq);
        }
        let node = self.store.commit_node(id)?;
        let seq = node.seq;
        seqs.insert(id, seq);
        self.order.push(seq);
        self.nodes.insert(seq, node);
        Ok(seq)
    }

    fn next(&mut self) -> Option<CommitNode> {
        let seq = self.order.pop()?;
        self.nodes.remove(&seq)
    }
}

/// How `a` and `b` stand to each other.
pub fn relation(store: &Store, a: CommitId, b: CommitId) -> store::Result<Relation> {
    Ok(walk(store, a, b)?.0)
}

/// The relation, and how many commits were read for it.
fn walk(store: &Store, a: CommitId, b: CommitId) -> store::Result<(Relation, usize)> {
    let mut out = Relation::default();
    let mut queue = Queue::new(store);
    let mut seqs = HashMap::new();
    let mut marks: HashMap<u64, u8> = HashMap::new();
    // How many in the queue are not below a common one.
    let mut open = 0_usize;
    for (id, mark) in [(a, A), (b, B)] {
        let seq = queue.add(id, &mut seqs)?;
        let old = marks.entry(seq).or_insert(0);
        open += usize::from(*old == 0);
        *old |= mark;
    }
    while open > 0 {
        let Some(node) = queue.next() else { break };
        let mark = marks.remove(&node.seq).unwrap_or(0);
        open -= usize::from(mark & BELOW == 0);
        let mut give = mark;
        match mark {
            A => out.only_a.push(node.clone()),
            B => out.only_b.push(node.clone()),
            _ if mark & BELOW == 0 => {
                out.bases.push(node.id);
                give |= BELOW;
            }
            _ => {}
        }
        for parent in &node.commit.parents {
            let seq = queue.add(*parent, &mut seqs)?;
            let fresh = !marks.contains_key(&seq);
            let old = marks.entry(seq).or_insert(0);
            let was_open = !fresh && *old & BELOW == 0;
            *old |= give;
            let is_open = *old & BELOW == 0;
            open = open + usize::from(is_open) - usize::from(was_open);
        }
    }
    Ok((out, seqs.len()))
}

/// For each of `tips`, the places of the others among them that descend from it or are the same commit.
pub fn held_by(store: &Store, tips: &[CommitId]) -> store::Result<Vec<Vec<usize>>> {
    let words = tips.len().div_ceil(64);
    let mut queue = Queue::new(store);
    let mut seqs = HashMap::new();
    let mut marks: HashMap<u64, Vec<u64>> = HashMap::new();
    let mut wanted: HashMap<u64, Vec<usize>> = HashMap::new();
    for (i, tip) in tips.iter().enumerate() {
        let seq = queue.add(*tip, &mut seqs)?;
        wanted.entry(seq).or_default().push(i);
        if let Some(word) = marks
            .entry(seq)
            .or_insert_with(|| vec![0; words])
            .get_mut(i / 64)
        {
            *word |= 1 << (i % 64);
        }
    }
    let mut out = vec![Vec::new(); tips.len()];
    // Below the oldest tip nobody asks.
    while !wanted.is_empty() {
        let Some(node) = queue.next() else { break };
        let mark = marks.remove(&node.seq).unwrap_or_default();
        for i in wanted.remove(&node.seq).unwrap_or_default() {
            let holders = (0..tips.len())
                .filter(|j| *j != i && mark.get(j / 64).is_some_and(|w| w >> (j % 64) & 1 == 1));
            if let Some(place) = out.get_mut(i) {
                *place = holders.collect();
            }
        }
        for parent in &node.commit.parents {
            let seq = queue.add(*parent, &mut seqs)?;
            let old = marks.entry(seq).or_insert_with(|| vec![0; words]);
            for (old, new) in old.iter_mut().zip(&mark) {
                *old |= new;
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )]
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::model::{Cause, Commit, Time};
    use crate::store::{NewCommit, Publication};

    /// A store whose commit `i` has the parents `graph[i]`, all smaller than `i`.
    fn build(graph: &[Vec<usize>]) -> (tempfile::TempDir, Store, Vec<CommitId>) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut ids: Vec<CommitId> = Vec::new();
        let mut commits = Vec::new();
        for (i, parents) in graph.iter().enumerate() {
            let commit = Commit {
                parents: parents.iter().map(|p| ids[*p]).collect(),
                tree: store.empty_tree(),
                git: None,
                state: None,
                author: String::new(),
                session: None,
                time: Time(i64::try_from(i).unwrap()),
                cause: Cause::Quiet,
                message: i.to_string(),
                meta: BTreeMap::new(),
                conflict: Vec::new(),
            };
            ids.push(store::commit_id(&commit));
            commits.push(NewCommit {
                commit,
                attrs: Vec::new(),
                paths: Vec::new(),
            });
        }
        store
            .publish(Publication {
                commits,
                ..Publication::default()
            })
            .unwrap();
        (dir, store, ids)
    }

    /// Itself and all its ancestors.
    fn reach(graph: &[Vec<usize>], from: usize) -> BTreeSet<usize> {
        let mut out = BTreeSet::from([from]);
        let mut todo = vec![from];
        while let Some(at) = todo.pop() {
            todo.extend(graph[at].iter().filter(|p| out.insert(**p)));
        }
        out
    }

    fn graph() -> impl Strategy<Value = Vec<Vec<usize>>> {
        prop::collection::vec(
            prop::collection::vec(any::<prop::sample::Index>(), 0..3),
            1..24,
        )
        .prop_map(|picks| {
            picks
                .into_iter()
                .enumerate()
                .map(|(i, parents)| {
                    let mut parents: Vec<usize> = parents
                        .into_iter()
                        .filter(|_| i > 0)
                        .map(|p| p.index(i))
                        .collect();
                    parents.sort_unstable();
                    parents.dedup();
                    parents
                })
                .collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn as_by_definition(graph in graph(), a: prop::sample::Index, b: prop::sample::Index) {
            let (a, b) = (a.index(graph.len()), b.index(graph.len()));
            let (_dir, store, ids) = build(&graph);
            let found = relation(&store, ids[a], ids[b]).unwrap();
            let (of_a, of_b) = (reach(&graph, a), reach(&graph, b));
            let both: BTreeSet<usize> = of_a.intersection(&of_b).copied().collect();
            let best: BTreeSet<CommitId> = both
                .iter()
                .filter(|c| !both.iter().any(|d| d != *c && reach(&graph, *d).contains(c)))
                .map(|c| ids[*c])
                .collect();
            prop_assert_eq!(found.bases.iter().copied().collect::<BTreeSet<_>>(), best);
            prop_assert_eq!(found.bases.len(), found.bases.iter().collect::<BTreeSet<_>>().len());
            let names = |nodes: &[CommitNode]| nodes.iter().map(|n| n.id).collect::<Vec<_>>();
            let newest = |only: BTreeSet<usize>| only.into_iter().rev().map(|c| ids[c]).collect::<Vec<_>>();
            prop_assert_eq!(names(&found.only_a), newest(&of_a - &of_b));
            prop_assert_eq!(names(&found.only_b), newest(&of_b - &of_a));
        }

        #[test]
        fn holders_by_definition(graph in graph(), picks in prop::collection::vec(any::<prop::sample::Index>(), 1..6)) {
            let (_dir, store, ids) = build(&graph);
            let tips: Vec<usize> = picks.iter().map(|p| p.index(graph.len())).collect();
            let of: Vec<CommitId> = tips.iter().map(|t| ids[*t]).collect();
            let found = held_by(&store, &of).unwrap();
            for (i, tip) in tips.iter().enumerate() {
                let wanted: Vec<usize> = (0..tips.len())
                    .filter(|j| *j != i && reach(&graph, tips[*j]).contains(tip))
                    .collect();
                prop_assert_eq!(&found[i], &wanted);
            }
        }
    }

    #[test]
    fn the_walk_follows_what_differs() {
        // A long history below, three commits on each side: what is shared is not walked.
        let mut graph: Vec<Vec<usize>> = (0..300)
            .map(|i: usize| i.checked_sub(1).into_iter().collect())
            .collect();
        for side in 0..2 {
            for i in 0..3 {
                let parent = if i == 0 { 299 } else { 300 + side * 3 + i - 1 };
                graph.push(vec![parent]);
            }
        }
        let (_dir, store, ids) = build(&graph);
        let (found, read) = walk(&store, ids[302], ids[305]).unwrap();
        assert_eq!(found.bases, [ids[299]]);
        assert_eq!((found.only_a.len(), found.only_b.len()), (3, 3));
        assert!(read <= 8, "{read} commits were read");
    }
}
