//! Conflicts that commits left open: which commits keep some that no later one has settled.

use std::collections::{BinaryHeap, HashSet};

use super::plan::{Plan, keeps_conflicts, resolves, state_terms, terms_of};
use super::show;
use crate::debug::rev;
use crate::engine::api::{ApiError, ErrorCode, OpenConflict};
use crate::engine::core::{Core, Failure};
use crate::merge::trees;
use crate::model::{CommitId, Time};
use crate::store::Store;

/// So many commits are looked through, newest first; what is older is not found any more.
const MOST: usize = 200_000;

/// The commits that `tip` follows, itself included, whose conflicts nobody has settled; newest first.
pub(super) fn open_at(store: &Store, tip: CommitId) -> Result<Vec<CommitId>, Failure> {
    let mut queue = BinaryHeap::new();
    let mut seen = HashSet::from([tip]);
    let mut settled = HashSet::new();
    let mut out = Vec::new();
    queue.push((store.commit_node(tip)?.seq, tip));
    while let Some((_, id)) = queue.pop() {
        if seen.len() > MOST {
            break;
        }
        // What settles a conflict was stored after it.
        let commit = store.commit(id)?;
        settled.extend(resolves(&commit));
        if keeps_conflicts(&commit) && !settled.contains(&id) {
            out.push(id);
        }
        for parent in &commit.parents {
            if seen.insert(*parent) {
                queue.push((store.commit_node(*parent)?.seq, *parent));
            }
        }
    }
    Ok(out)
}

impl Core {
    /// The conflicts that are open as of `rev`.
    pub(super) fn open_conflicts(&self, rev: Option<&str>) -> Result<Vec<OpenConflict>, Failure> {
        let tip = match rev {
            Some(rev) => self.answers().resolve(rev)?.commit,
            None => match rev::head(&self.store)? {
                Some(head) => head,
                None => return Ok(Vec::new()),
            },
        };
        let ids = open_at(&self.store, tip)?;
        let infos = self.answers().commit_infos(&ids)?;
        ids.iter()
            .zip(infos)
            .map(|(id, info)| {
                let commit = self.store.commit(*id)?;
                let conflicts = match terms_of(&commit) {
                    Some([ours, base, theirs]) => {
                        let merged = trees::merge(&*self.store, base, ours, theirs)?;
                        merged
                            .conflicts
                            .iter()
                            .map(|c| show::conflict_info(c, None, None))
                            .collect()
                    }
                    None => Vec::new(),
                };
                let state = match state_terms(&commit) {
                    Some(_) => Plan::resumed(&self.store, *id, *id)?
                        .state
                        .conflicts()
                        .len(),
                    None => 0,
                };
                let told = |key: &str| commit.meta.get(key).cloned().unwrap_or_default();
                Ok(OpenConflict {
                    commit: info,
                    branch: told("branch"),
                    theirs: told("merged"),
                    conflicts,
                    state,
                })
            })
            .collect()
    }

    /// What `MergeResume` takes up: the branch and the commit on it.
    pub(super) fn to_resume(&self, text: Option<&str>) -> Result<(String, CommitId), Failure> {
        let current = rev::branch(&self.store)?;
        let tips = self.answers().tips()?;
        let (into, named) = match text {
            None => (current, None),
            Some(text) if tips.contains_key(text) => (text.to_owned(), None),
            Some(text) => {
                let named = rev::resolve(&self.store, &*self.store, text, Time::now())?;
                (current, Some(named.commit))
            }
        };
        let tip = self.answers().tip(&into)?;
        let open = open_at(&self.store, tip)?;
        let found = match named {
            None => open.first().copied(),
            Some(named) => open.iter().copied().find(|id| *id == named),
        };
        match (found, named) {
            (Some(found), _) => Ok((into, found)),
            (None, None) => Err(ApiError::new(
                ErrorCode::NotFound,
                format!("no conflict is open on {into}"),
            )
            .into()),
            (None, Some(named)) => Err(ApiError::new(
                ErrorCode::NotFound,
                format!(
                    "{} is no commit of {into} that leaves conflicts open; `backtrail conflicts` lists them",
                    named.short()
                ),
            )
            .into()),
        }
    }
}
