//! A merge as it is computed: in memory, of two commits over what they have in common, or of the conflicts that a commit
//! left open over what came after it. The same commits always give the same one.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::OnceLock;

use super::picks::Settling;
use crate::diff::tree::{PathChange, trees_of};
use crate::engine::core::Failure;
use crate::merge::conflict::{Conflict, ConflictKind};
use crate::merge::objects::{Made, Objects, lookup, with_entries};
use crate::merge::resolve::{self, Left, Pick};
use crate::merge::state::{self, MergedState, Place, StateConflict, StateConflictKind};
use crate::merge::trees::{self, MergedTree};
use crate::merge::{self, base};
use crate::model::{BlobId, Commit, CommitId, Entry, Kind, RepoPath, TreeId};
use crate::store::Store;

/// In a commit's metadata: the commit whose conflicts it takes over or settles.
pub(super) const RESOLVES: &str = "resolves";
/// In a commit's metadata: the states of an agent that it keeps in conflict, as JSON.
pub(super) const STATE_OPEN: &str = "state-conflict";

/// The three states of an agent that a commit keeps in conflict.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct StateTerms {
    pub ours: BlobId,
    pub base: Option<BlobId>,
    pub theirs: BlobId,
}

/// A computed merge.
pub(super) struct Plan {
    pub ours: CommitId,
    pub theirs: CommitId,
    /// Best common ancestors.
    pub bases: Vec<CommitId>,
    /// The files of the branch that is merged into: what the result is told against.
    pub against: TreeId,
    /// The trees that were merged: ours, base, theirs.
    pub terms: [TreeId; 3],
    pub merged: MergedTree,
    pub state: StatePlan,
    /// The commits whose lines tell why: ours, theirs.
    pub lines: [CommitId; 2],
    /// The commit whose conflicts are taken up.
    pub resumed: Option<CommitId>,
    /// Which commits are only on each of the lines; looked up when somebody asks for reasons.
    pub only: OnceLock<[HashSet<CommitId>; 2]>,
}

/// The agent's state in a merge.
pub(super) enum StatePlan {
    /// Nothing to be put together: this is it.
    Plain(Option<BlobId>),
    /// Both changed it.
    Both {
        terms: StateTerms,
        ours_text: String,
        merged: Box<MergedState>,
    },
    /// Both changed it, and it cannot be read: one conflict, settled with one of them.
    Unreadable {
        terms: StateTerms,
        problem: String,
        conflict: Box<StateConflict>,
    },
}

/// What has become of a merge with what was picked.
pub(super) struct Settled {
    /// The files as they would be written now: what is not settled is as ours has it.
    pub tree: TreeId,
    pub left: Vec<Left>,
    pub made: Made,
}

/// The agent's state with what was picked.
pub(super) enum SettledState {
    /// One that is in the store.
    Kept(Option<BlobId>),
    /// A new one.
    New(String),
    /// These are left.
    Left(Vec<usize>),
}

impl StatePlan {
    /// What is in conflict.
    pub fn conflicts(&self) -> &[StateConflict] {
        match self {
            Self::Plain(_) => &[],
            Self::Both { merged, .. } => &merged.conflicts,
            Self::Unreadable { conflict, .. } => std::slice::from_ref(conflict),
        }
    }

    /// The state with these picks.
    pub fn settled(&self, picks: &BTreeMap<usize, Pick>) -> SettledState {
        match self {
            Self::Plain(blob) => SettledState::Kept(*blob),
            Self::Both { merged, .. } => match merged.resolved(picks) {
                Ok(text) => SettledState::New(text),
                Err(left) => SettledState::Left(left),
            },
            Self::Unreadable { terms, .. } => match picks.get(&0) {
                Some(Pick::Ours) => SettledState::Kept(Some(terms.ours)),
                Some(Pick::Theirs) => SettledState::Kept(Some(terms.theirs)),
                Some(Pick::Base) if terms.base.is_some() => SettledState::Kept(terms.base),
                Some(Pick::Edited(text)) => match std::str::from_utf8(text) {
                    Ok(text) if serde_json::from_str::<serde_json::Value>(text).is_ok() => {
                        SettledState::New(text.to_owned())
                    }
                    _ => SettledState::Left(vec![0]),
                },
                _ => SettledState::Left(vec![0]),
            },
        }
    }

    /// The state with these picks, and ours where something is left.
    pub fn with_ours(&self, picks: &BTreeMap<usize, Pick>) -> SettledState {
        let mut picks = picks.clone();
        // A pick that cannot be leaves its conflict open as well.
        for _ in 0..2 {
            match self.settled(&picks) {
                SettledState::Left(left) => {
                    picks.extend(left.into_iter().map(|n| (n, Pick::Ours)));
                }
                done => return done,
            }
        }
        match self {
            Self::Plain(blob) => SettledState::Kept(*blob),
            Self::Both { terms, .. } | Self::Unreadable { terms, .. } => {
                SettledState::Kept(Some(terms.ours))
            }
        }
    }

    /// The states that were merged.
    pub fn terms(&self) -> Option<&StateTerms> {
        match self {
            Self::Plain(_) => None,
            Self::Both { terms, .. } | Self::Unreadable { terms, .. } => Some(terms),
        }
    }

    fn of(store: &Store, [base, ours, theirs]: [Option<BlobId>; 3]) -> Result<Self, Failure> {
        if let Some(taken) = state::unmerged(&base, &ours, &theirs) {
            return Ok(Self::Plain(taken));
        }
        // None is no state that says nothing, it is none: the one that is there stands.
        let (Some(ours), Some(theirs)) = (ours, theirs) else {
            return Ok(Self::Plain(ours.or(theirs)));
        };
        Self::merge(store, StateTerms { ours, base, theirs })
    }

    fn merge(store: &Store, terms: StateTerms) -> Result<Self, Failure> {
        let text = |blob: BlobId| -> Result<String, Failure> {
            // What is not UTF-8 is not JSON either: the merge says so.
            Ok(String::from_utf8(store.blob(blob)?).unwrap_or_else(|_| "\u{fffd}".to_owned()))
        };
        let base = terms.base.map(text).transpose()?;
        let (ours, theirs) = (text(terms.ours)?, text(terms.theirs)?);
        match state::merge(base.as_deref(), &ours, &theirs) {
            Ok(merged) => Ok(Self::Both {
                terms,
                ours_text: ours,
                merged: Box::new(merged),
            }),
            Err(e) => {
                let whole = |text: &str| {
                    Some(Place {
                        pointer: String::new(),
                        json: text.chars().take(2_000).collect(),
                    })
                };
                Ok(Self::Unreadable {
                    terms,
                    problem: e.to_string(),
                    conflict: Box::new(StateConflict {
                        kind: StateConflictKind::Changed,
                        base: base.as_deref().and_then(whole),
                        ours: whole(&ours),
                        theirs: whole(&theirs),
                        methods: [None, None],
                        both: false,
                    }),
                })
            }
        }
    }
}

/// The state that several common ancestors have in common, as [`base::find`] puts their files together; where they
/// contradict one another the newest is right. A made one is put into the store: a commit may have to keep it.
fn base_state(
    store: &Store,
    commits: &[CommitId],
    depth: usize,
) -> Result<Option<BlobId>, Failure> {
    let commits = match depth >= base::MAX_DEPTH || commits.len() > base::MAX_BASES {
        true => commits.get(..1).unwrap_or_default(),
        false => commits,
    };
    let Some(first) = commits.first() else {
        return Ok(None);
    };
    let mut so_far = store.commit(*first)?.state;
    for (i, next) in commits.iter().enumerate().skip(1) {
        let side = store.commit(*next)?.state;
        if side == so_far {
            continue;
        }
        let below = base::common(store, commits.get(..i).unwrap_or_default(), *next)?;
        let before = base_state(store, &below, depth + 1)?;
        let plan = StatePlan::of(store, [before, so_far, side])?;
        so_far = match plan.with_ours(&BTreeMap::new()) {
            SettledState::Kept(blob) => blob,
            SettledState::New(text) => Some(store.put_blob(text.as_bytes())?),
            SettledState::Left(_) => so_far,
        };
    }
    Ok(so_far)
}

fn merging(e: merge::Error) -> Failure {
    Failure::from(e)
}

impl Plan {
    /// The merge of `theirs` into `ours`.
    pub fn of(store: &Store, ours: CommitId, theirs: CommitId) -> Result<Self, Failure> {
        let base = base::find(store, store, store.empty_tree(), ours, theirs)?;
        let (left, right) = (store.commit(ours)?, store.commit(theirs)?);
        let merged = trees::merge_with(base.made, store, base.tree, left.tree, right.tree)?;
        let before = base_state(store, &base.commits, 0)?;
        Ok(Self {
            ours,
            theirs,
            bases: base.commits,
            against: left.tree,
            terms: [left.tree, base.tree, right.tree],
            merged,
            state: StatePlan::of(store, [before, left.state, right.state])?,
            lines: [ours, theirs],
            resumed: None,
            only: OnceLock::new(),
        })
    }

    /// What `conflicted` left open, over `tip`, which follows it. Where nobody has touched what is in conflict since then
    /// the sides are as they were; else what was made of it there is ours.
    pub fn resumed(store: &Store, tip: CommitId, conflicted: CommitId) -> Result<Self, Failure> {
        let (now, then) = (store.commit(tip)?, store.commit(conflicted)?);
        let mut made = Made::default();
        let terms = match terms_of(&then) {
            Some(terms) => over(store, &mut made, terms, then.tree, now.tree)?,
            None => [now.tree; 3],
        };
        let [ours, base, theirs] = terms;
        let merged = trees::merge_with(made, store, base, ours, theirs)?;
        let state = match state_terms(&then) {
            Some(mut kept) => {
                // What the agent has come to know since then is ours.
                if now.state != then.state
                    && let Some(state) = now.state
                {
                    kept.ours = state;
                }
                StatePlan::merge(store, kept)?
            }
            None => StatePlan::Plain(now.state),
        };
        let lines = origin(store, conflicted)?;
        Ok(Self {
            ours: tip,
            theirs: lines[1],
            bases: base::common(store, &[lines[0]], lines[1])?,
            against: now.tree,
            terms,
            merged,
            state,
            lines,
            resumed: Some(conflicted),
            only: OnceLock::new(),
        })
    }

    /// Ours has all of theirs already.
    pub fn is_up_to_date(&self) -> bool {
        self.resumed.is_none() && self.bases == [self.theirs]
    }

    /// Theirs follows ours.
    pub fn is_fast_forward(&self) -> bool {
        self.resumed.is_none() && self.bases == [self.ours]
    }

    /// The conflict at that path.
    pub fn conflict(&self, path: &RepoPath) -> Option<&Conflict> {
        let all = &self.merged.conflicts;
        all.binary_search_by(|c| c.path.cmp(path))
            .ok()
            .and_then(|at| all.get(at))
    }

    /// What has become of the files.
    pub fn settle(&self, store: &Store, settling: &Settling) -> Result<Settled, Failure> {
        let applied = resolve::apply(&self.merged, store, &settling.resolutions())?;
        let mut made = applied.made;
        // A file of which some hunks are settled has those, and the parts that nobody disagrees about.
        let mut entries = BTreeMap::new();
        for left in &applied.left {
            let Some(conflict) = self.conflict(&left.path) else {
                continue;
            };
            let base = |_| None;
            let here = lookup(&made.over(store), applied.so_far, &conflict.path)?;
            if let Some(entry) = partly(&mut made, here, conflict, settling, &base) {
                entries.insert(conflict.path.clone(), Some(entry));
            }
        }
        let tree = if entries.is_empty() {
            applied.so_far
        } else {
            with_entries(&mut made, store, applied.so_far, &entries).map_err(merging)?
        };
        Ok(Settled {
            tree,
            left: applied.left,
            made,
        })
    }

    /// What the files have otherwise than the branch that is merged into.
    pub fn changes(&self, store: &Store, settled: &Settled) -> Result<Vec<PathChange>, Failure> {
        Ok(trees_of(
            &settled.made.over(store),
            self.against,
            settled.tree,
            &[],
        )?)
    }

    /// The three trees that a commit with `settled`'s files keeps for what is left: they differ only there. Ours is what
    /// the commit has, but where names are in question.
    pub fn open_terms(
        &self,
        store: &Store,
        settled: &mut Settled,
        settling: &Settling,
    ) -> Result<[TreeId; 3], Failure> {
        let mut whole = BTreeSet::new();
        loop {
            let terms = self.terms_with(store, settled, settling, &whole)?;
            let [ours, base, theirs] = terms;
            let again = trees::merge_with(settled.made.clone(), store, base, ours, theirs)?;
            // Parts of a file that stand by themselves may merge where together they did not. What would vanish so is kept
            // with all of its three contents.
            let mut more = false;
            for left in &settled.left {
                let hunks = match self.conflict(&left.path) {
                    Some(conflict) if conflict.hunks().next().is_some() => left.hunks.len().max(1),
                    _ => 1,
                };
                let found = again
                    .conflicts
                    .binary_search_by(|c| c.path.cmp(&left.path))
                    .ok()
                    .and_then(|at| again.conflicts.get(at))
                    .map_or(0, |c| c.hunks().count().max(1));
                more |= found < hunks && whole.insert(left.path.clone());
            }
            if !more {
                return Ok(terms);
            }
        }
    }

    fn terms_with(
        &self,
        store: &Store,
        settled: &mut Settled,
        settling: &Settling,
        whole: &BTreeSet<RepoPath>,
    ) -> Result<[TreeId; 3], Failure> {
        let mut entries: [BTreeMap<RepoPath, Option<Entry>>; 3] = Default::default();
        for left in &settled.left {
            let Some(conflict) = self.conflict(&left.path) else {
                continue;
            };
            let keyed: BTreeSet<usize> = conflict
                .hunks()
                .enumerate()
                .filter(|(_, h)| h.key.is_some() && h.base.is_empty())
                .map(|(n, _)| n)
                .collect();
            if !whole.contains(&left.path) && conflict.hunks().next().is_some() {
                // A key that the base does not have: as near to nothing as a value can be.
                let base = |n| match keyed.contains(&n) {
                    true => Some(Pick::Edited(b"null".to_vec())),
                    false => Some(Pick::Base),
                };
                let theirs = |_| Some(Pick::Theirs);
                let here = lookup(&settled.made.over(store), settled.tree, &conflict.path)?;
                let b = partly(&mut settled.made, here.clone(), conflict, settling, &base);
                let t = partly(&mut settled.made, here, conflict, settling, &theirs);
                if let (Some(b), Some(t)) = (b, t) {
                    entries[1].insert(conflict.path.clone(), Some(b));
                    entries[2].insert(conflict.path.clone(), Some(t));
                    continue;
                }
            }
            for path in self.places(store, settled, conflict)? {
                for (entries, term) in entries.iter_mut().zip(self.terms) {
                    let mut entry = lookup(&settled.made.over(store), term, &path)?;
                    let here = lookup(&settled.made.over(store), settled.tree, &path)?;
                    // Of a directory only its permissions are in question: what it holds is as it is.
                    if let (ConflictKind::Mode, Some(e), Some(h)) =
                        (conflict.kind, &mut entry, &here)
                        && e.kind.tree().is_some()
                        && h.kind.tree().is_some()
                    {
                        e.kind = h.kind.clone();
                    }
                    entries.insert(path.clone(), entry);
                }
                // What was settled of a file stays ours.
                if conflict.hunks().next().is_some() {
                    let here = lookup(&settled.made.over(store), settled.tree, &path)?;
                    entries[0].insert(path.clone(), here);
                }
            }
        }
        let mut out = [settled.tree; 3];
        for (out, entries) in out.iter_mut().zip(&entries) {
            if !entries.is_empty() {
                *out = with_entries(&mut settled.made, store, settled.tree, entries)?;
            }
        }
        Ok(out)
    }

    /// Every path that a conflict without hunks is about.
    fn places(
        &self,
        store: &Store,
        settled: &Settled,
        conflict: &Conflict,
    ) -> Result<BTreeSet<RepoPath>, Failure> {
        let mut out = BTreeSet::from([conflict.path.clone()]);
        out.extend(conflict.paths.iter().flatten().cloned());
        if conflict.kind == ConflictKind::RenamedTwice {
            let [ours, base, _] = self.terms;
            let kind = conflict.base.as_ref().map(|e| &e.kind);
            for change in trees_of(&settled.made.over(store), base, ours, &[])? {
                if change.after.is_none() && change.before.as_ref().map(|e| &e.kind) == kind {
                    out.insert(change.path);
                }
            }
        }
        Ok(out)
    }
}

/// The entry of a file in conflict put together of its pieces: picks where there are some, `else_` for the other hunks (ours
/// where that gives nothing). `here` is what is at its path so far. `None`: it has no hunks.
fn partly(
    made: &mut Made,
    here: Option<Entry>,
    conflict: &Conflict,
    settling: &Settling,
    else_: &dyn Fn(usize) -> Option<Pick>,
) -> Option<Entry> {
    conflict.hunks().next()?;
    // What is there has the permissions that were merged.
    let like = [&here, &conflict.ours, &conflict.theirs]
        .into_iter()
        .flatten()
        .find(|e| matches!(e.kind, Kind::File { .. }))?
        .clone();
    let settlement = settling.files.get(&conflict.path);
    // In one pass: there may be 50,000 hunks. A pick that cannot be is as good as none.
    let picks: Vec<Option<Pick>> = conflict
        .hunks()
        .enumerate()
        .map(|(n, hunk)| {
            let picked = settlement.and_then(|s| s.hunk(n)).map(|(pick, _)| pick);
            let stands = picked.filter(|pick| resolve::picked_text(hunk, pick).is_some());
            stands.cloned().or_else(|| else_(n))
        })
        .collect();
    let (text, ..) = resolve::text(&conflict.pieces, &|n| picks.get(n).cloned().flatten());
    let kind = made.blob(text);
    Some(Entry { kind, ..like })
}

/// The trees that a commit keeps in conflict: ours, base, theirs.
pub(super) fn terms_of(commit: &Commit) -> Option<[TreeId; 3]> {
    match commit.conflict.as_slice() {
        [ours, base, theirs] => Some([*ours, *base, *theirs]),
        _ => None,
    }
}

/// The agent's states that a commit keeps in conflict.
pub(super) fn state_terms(commit: &Commit) -> Option<StateTerms> {
    serde_json::from_str(commit.meta.get(STATE_OPEN)?).ok()
}

/// Whether a commit keeps conflicts.
pub(super) fn keeps_conflicts(commit: &Commit) -> bool {
    !commit.conflict.is_empty() || commit.meta.contains_key(STATE_OPEN)
}

/// The commit whose conflicts this one takes over.
pub(super) fn resolves(commit: &Commit) -> Option<CommitId> {
    commit.meta.get(RESOLVES)?.parse().ok()
}

/// The two lines whose merge left the conflicts of `conflicted`: of the merge itself, also where later commits settled a
/// part of it.
fn origin(store: &Store, conflicted: CommitId) -> Result<[CommitId; 2], Failure> {
    let mut at = conflicted;
    for _ in 0..1_000 {
        let commit = store.commit(at)?;
        if let [ours, theirs, ..] = commit.parents.as_slice() {
            return Ok([*ours, *theirs]);
        }
        match resolves(&commit) {
            Some(earlier) => at = earlier,
            None => break,
        }
    }
    Ok([conflicted, conflicted])
}

/// The trees in conflict put over a later state: where they differ they are as they were kept, all else is as it is now.
fn over(
    store: &Store,
    made: &mut Made,
    terms: [TreeId; 3],
    then: TreeId,
    now: TreeId,
) -> Result<[TreeId; 3], Failure> {
    let [ours, base, theirs] = terms;
    let mut paths = BTreeSet::new();
    for (a, b) in [(ours, base), (base, theirs), (ours, theirs)] {
        paths.extend(trees_of(store, a, b, &[])?.into_iter().map(|c| c.path));
    }
    let mut entries: [BTreeMap<RepoPath, Option<Entry>>; 3] = Default::default();
    for path in paths {
        let at = |tree| lookup(store as &dyn Objects, tree, &path);
        let (was, is) = (at(then)?, at(now)?);
        let mut here = [at(ours)?, at(base)?, at(theirs)?];
        let is_dir = |e: &Entry| e.kind.tree().is_some();
        if here.iter().flatten().all(is_dir) {
            // Only its permissions can be in question; that it comes or goes follows from what it holds.
            let Some(dir) = is.as_ref().filter(|e| is_dir(e)) else {
                continue;
            };
            if here.iter().any(Option::is_none) {
                continue;
            }
            for entry in here.iter_mut().flatten() {
                entry.kind = dir.kind.clone();
            }
            if was.as_ref().map(|e| e.mode) != Some(dir.mode) {
                here[0] = Some(dir.clone());
            }
        } else if was != is {
            here[0] = is;
        }
        for (entries, entry) in entries.iter_mut().zip(here) {
            entries.insert(path.clone(), entry);
        }
    }
    let mut out = [now; 3];
    for (out, entries) in out.iter_mut().zip(&entries) {
        if !entries.is_empty() {
            *out = with_entries(made, store, now, entries)?;
        }
    }
    Ok(out)
}
