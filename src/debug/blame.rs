//! Which version of a file each of its lines is from.
//!
//! Versions are nodes of a graph: a version has those it was made from, several where branches were merged. From the newest
//! on, the lines that a version has in common with one that it was made from are handed to that one; what nothing
//! explains is the version's own. A line that came by a merge is handed to the side it came from. Versions are loaded only
//! while lines wait to be explained, the newest first, so that each is compared once. Bounded in versions and in
//! time: what still waits then stays with the version that it waits at, which says so.
//!
//! Pure but for what [`Versions`] loads.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use crate::diff::text::{equal_runs, is_binary, lines};

/// The versions of a file, by any numbers.
pub trait Versions {
    /// Why one cannot be loaded.
    type Error;

    /// What a version was made from: the version in the commit's first parent, then those in others. All of them are
    /// older.
    fn parents(&mut self, at: usize) -> Result<Vec<usize>, Self::Error>;

    /// The content of a version; `None` where it is not known, or not text.
    fn content(&mut self, at: usize) -> Result<Option<Vec<u8>>, Self::Error>;

    /// A number that is smaller for whatever a version was made from.
    fn age(&self, at: usize) -> u64;
}

/// Where to stop.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// So many versions are loaded.
    pub versions: usize,
    /// No comparison begins after this.
    pub until: Instant,
}

/// Where lines are from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blame {
    /// For each line, the version.
    pub lines: Vec<usize>,
    /// Versions whose lines may be older: the search ended at them.
    pub older: HashSet<usize>,
    /// How many versions were loaded.
    pub loaded: usize,
}

/// A line of the file that was asked about, and which line it is of the version that it waits at.
type Waiting = (usize, usize);

/// Finds which version each line of `content`, the content of version `start`, is from.
pub fn blame<V: Versions>(
    versions: &mut V,
    start: usize,
    content: Vec<u8>,
    limits: &Limits,
) -> Result<Blame, V::Error> {
    let count = lines(&content).len();
    let mut out = Blame {
        lines: vec![start; count],
        loaded: 1,
        ..Blame::default()
    };
    // The newest is taken next: everything that hands lines to it was looked at before.
    let mut open: BTreeMap<(u64, usize), Vec<Waiting>> = BTreeMap::new();
    let mut contents: HashMap<usize, Vec<u8>> = HashMap::from([(start, content)]);
    open.insert(
        (versions.age(start), start),
        (0..count).map(|i| (i, i)).collect(),
    );
    while let Some(((_, at), mut waiting)) = open.pop_last() {
        let text = contents.remove(&at).unwrap_or_default();
        if waiting.is_empty() {
            continue;
        }
        if out.loaded >= limits.versions || Instant::now() >= limits.until {
            if !versions.parents(at)?.is_empty() {
                out.older.insert(at);
            }
            own(&mut out, at, &waiting);
            continue;
        }
        let newer = lines(&text);
        for parent in versions.parents(at)? {
            if waiting.is_empty() {
                break;
            }
            let loaded = match contents.entry(parent) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let Some(loaded) = versions.content(parent)?.filter(|c| !is_binary(c)) else {
                        continue;
                    };
                    out.loaded += 1;
                    place.insert(loaded)
                }
            };
            let handed = hand_over(&lines(loaded), &newer, &mut waiting);
            open.entry((versions.age(parent), parent))
                .or_default()
                .extend(handed);
        }
        own(&mut out, at, &waiting);
    }
    Ok(out)
}

fn own(out: &mut Blame, at: usize, waiting: &[Waiting]) {
    for (line, _) in waiting {
        if let Some(of) = out.lines.get_mut(*line) {
            *of = at;
        }
    }
}

/// Takes out of `waiting` (in the order of their lines) what the older version has as well; gives it by the older one's lines.
fn hand_over(older: &[&[u8]], newer: &[&[u8]], waiting: &mut Vec<Waiting>) -> Vec<Waiting> {
    waiting.sort_unstable_by_key(|(_, line)| *line);
    let runs = equal_runs(older, newer);
    let mut runs = runs.iter().peekable();
    let mut handed = Vec::new();
    waiting.retain(|(of, line)| {
        while runs.next_if(|(_, new, len)| new + len <= *line).is_some() {}
        match runs.peek() {
            Some((old, new, _)) if new <= line => {
                handed.push((*of, old + (line - new)));
                false
            }
            _ => true,
        }
    });
    handed
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )]
    use std::convert::Infallible;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// Lines with the version that wrote each.
    type Written = Vec<(String, usize)>;

    /// Each version: those it was made from, and its lines.
    #[derive(Debug, Default)]
    struct Model {
        versions: Vec<(Vec<usize>, Written)>,
        loads: usize,
    }

    impl Model {
        fn text(&self, at: usize) -> Vec<u8> {
            let lines = self.versions[at].1.iter().map(|(l, _)| format!("{l}\n"));
            lines.collect::<String>().into_bytes()
        }
    }

    impl Versions for Model {
        type Error = Infallible;

        fn parents(&mut self, at: usize) -> Result<Vec<usize>, Infallible> {
            Ok(self.versions[at].0.clone())
        }

        fn content(&mut self, at: usize) -> Result<Option<Vec<u8>>, Infallible> {
            self.loads += 1;
            Ok(Some(self.text(at)))
        }

        fn age(&self, at: usize) -> u64 {
            at as u64
        }
    }

    fn limits() -> Limits {
        Limits {
            versions: usize::MAX,
            until: Instant::now() + Duration::from_secs(600),
        }
    }

    /// What one version does to the lines it found: what to drop, where to put new ones.
    type Edit = (Vec<prop::sample::Index>, Vec<(prop::sample::Index, u8)>);

    fn edits()
    -> impl Strategy<Value = Vec<(prop::sample::Index, Option<prop::sample::Index>, Edit)>> {
        let drop = prop::collection::vec(any::<prop::sample::Index>(), 0..4);
        let put = prop::collection::vec((any::<prop::sample::Index>(), 1..4u8), 0..4);
        let one = (
            any::<prop::sample::Index>(),
            proptest::option::weighted(0.3, any::<prop::sample::Index>()),
            (drop, put),
        );
        prop::collection::vec(one, 1..24)
    }

    /// Lines of `ours` with those of `theirs` that are not in it, each behind the line that it stands behind in theirs.
    fn joined(ours: &[(String, usize)], theirs: &[(String, usize)]) -> Vec<(String, usize)> {
        let mut out = ours.to_vec();
        let mut behind = 0;
        for line in theirs {
            match out.iter().position(|l| l == line) {
                Some(at) => behind = behind.max(at + 1),
                None => {
                    out.insert(behind, line.clone());
                    behind += 1;
                }
            }
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        // No two lines are alike and none moves, so that there is one right answer.
        #[test]
        fn every_line_is_from_the_version_that_wrote_it(edits in edits()) {
            let mut model = Model::default();
            let mut fresh = 0;
            for (n, (first, second, (drop, put))) in edits.into_iter().enumerate() {
                let mut parents = Vec::new();
                let mut text = Vec::new();
                if n > 0 {
                    let first = first.index(n);
                    parents.push(first);
                    text.clone_from(&model.versions[first].1);
                    if let Some(second) = second.map(|s| s.index(n)).filter(|s| *s != first) {
                        // Lines that both have must be in the same order on both sides.
                        let other = &model.versions[second].1;
                        let common = |of: &[(String, usize)], with: &[(String, usize)]| -> Vec<_> {
                            of.iter().filter(|l| with.contains(l)).cloned().collect()
                        };
                        if common(&text, other) == common(other, &text) {
                            parents.push(second);
                            text = joined(&text, other);
                        }
                    }
                }
                for at in drop {
                    if !text.is_empty() {
                        text.remove(at.index(text.len()));
                    }
                }
                for (at, count) in put {
                    let at = at.index(text.len() + 1);
                    for _ in 0..count {
                        fresh += 1;
                        text.insert(at, (format!("line {fresh}"), n));
                    }
                }
                model.versions.push((parents, text));
            }
            let last = model.versions.len() - 1;
            let content = model.text(last);
            let expected: Vec<usize> = model.versions[last].1.iter().map(|(_, n)| *n).collect();
            let found = blame(&mut model, last, content, &limits()).unwrap();
            prop_assert_eq!(found.lines, expected);
            prop_assert!(found.older.is_empty());
            prop_assert!(model.loads <= last, "no version is loaded twice");
        }
    }

    fn straight(texts: &[&[&str]]) -> Model {
        let versions = texts.iter().enumerate().map(|(n, lines)| {
            let lines = lines.iter().map(|l| ((*l).to_owned(), n)).collect();
            (n.checked_sub(1).into_iter().collect(), lines)
        });
        Model {
            versions: versions.collect(),
            loads: 0,
        }
    }

    #[test]
    fn a_search_that_ends_early_says_so() {
        let mut model = straight(&[&["a"], &["a", "b"], &["a", "b", "c"], &["a", "b", "c", "d"]]);
        let content = model.text(3);
        let limits = Limits {
            versions: 2,
            ..limits()
        };
        let found = blame(&mut model, 3, content, &limits).unwrap();
        assert_eq!(found.lines, [2, 2, 2, 3]);
        assert_eq!(found.older, HashSet::from([2]));
        assert_eq!(model.loads, 1);
    }

    #[test]
    fn nothing_more_is_loaded_once_all_is_explained() {
        let mut model = straight(&[&["x"], &["x", "y"], &["a", "b"], &["a", "b", "c"]]);
        let content = model.text(3);
        let found = blame(&mut model, 3, content, &limits()).unwrap();
        assert_eq!(found.lines, [2, 2, 3]);
        assert_eq!(model.loads, 2);
        let none = blame(&mut model, 0, Vec::new(), &limits()).unwrap();
        assert!(none.lines.is_empty());
    }
}
