//! Branches: listed, made, renamed, removed, pruned. Each change is an operation that moves refs only; the workspace stays
//! as it is, and commits stay in the store whatever becomes of the names.

use std::collections::BTreeMap;

use crate::debug::{ancestry, rev};
use crate::model::{CommitId, OpKind, RefChange, RefTarget, Time};

use super::answer::Answers;
use super::api::{ApiError, BranchChange, BranchInfo, BranchReport, ErrorCode};
use super::branch_name::{check, clash};
use super::core::{Core, Failure};

const PREFIX: &str = "branch/";

impl Answers<'_> {
    /// Every branch with its latest commit.
    pub fn branches(&self) -> Result<Vec<BranchInfo>, Failure> {
        let current = rev::branch(self.store)?;
        let tips = self.tips()?;
        let commits = self.commit_infos(&tips.values().copied().collect::<Vec<_>>())?;
        Ok(tips
            .into_keys()
            .zip(commits)
            .map(|(name, commit)| BranchInfo {
                current: name == current,
                name,
                commit,
            })
            .collect())
    }

    /// The latest commit of every branch.
    pub(super) fn tips(&self) -> Result<BTreeMap<String, CommitId>, Failure> {
        let refs = self.store.refs()?.into_iter();
        Ok(refs
            .filter_map(|(name, target)| match target {
                RefTarget::Commit(id) => Some((name.strip_prefix(PREFIX)?.to_owned(), id)),
                _ => None,
            })
            .collect())
    }

    /// The latest commit of the branch `name`.
    pub(super) fn tip(&self, name: &str) -> Result<CommitId, Failure> {
        match self.store.get_ref(&format!("{PREFIX}{name}"))? {
            Some(RefTarget::Commit(id)) => Ok(id),
            _ => Err(ApiError::new(
                ErrorCode::NotFound,
                format!(
                    "there is no branch {:?}; `backtrail branch list` shows them",
                    crate::model::neutral(name.as_bytes())
                ),
            )
            .into()),
        }
    }
}

/// The move of one branch's ref.
pub(super) fn moves(name: &str, before: Option<CommitId>, after: Option<CommitId>) -> RefChange {
    RefChange {
        name: format!("{PREFIX}{name}"),
        before: before.map(RefTarget::Commit),
        after: after.map(RefTarget::Commit),
    }
}

fn change(name: &str, before: Option<CommitId>, after: Option<CommitId>) -> BranchChange {
    BranchChange {
        name: name.to_owned(),
        before,
        after,
        held_by: None,
    }
}

impl Core {
    pub(super) fn branch_create(
        &self,
        name: &str,
        text: Option<&str>,
    ) -> Result<BranchReport, Failure> {
        let _one = self.world();
        self.free_name(name, None)?;
        let text = text.unwrap_or("@");
        let at = rev::resolve(&self.store, &*self.store, text, Time::now())?.commit;
        self.branched(
            format!("made the branch {name} at {}", at.short()),
            vec![change(name, None, Some(at))],
            Vec::new(),
        )
    }

    pub(super) fn branch_rename(&self, from: &str, to: &str) -> Result<BranchReport, Failure> {
        let _one = self.world();
        // What was left half-way names the branch as it is now.
        self.recover()?;
        self.free_name(to, Some(from))?;
        let rename = || {
            let tip = self.answers().tip(from)?;
            let mut others = Vec::new();
            if rev::branch(&self.store)? == from {
                others.push(RefChange {
                    name: "head".to_owned(),
                    before: self.store.get_ref("head")?,
                    after: Some(RefTarget::Branch(to.to_owned())),
                });
            }
            self.branched(
                format!("renamed the branch {from} to {to}"),
                vec![change(from, Some(tip), None), change(to, None, Some(tip))],
                others,
            )
        };
        let report = self.with_refs_still(rename)?;
        self.tell_status();
        Ok(report)
    }

    pub(super) fn branch_delete(&self, name: &str) -> Result<BranchReport, Failure> {
        let _one = self.world();
        self.recover()?;
        let tip = self.answers().tip(name)?;
        if rev::branch(&self.store)? == name {
            return Err(ApiError::new(
                ErrorCode::Refused,
                format!("the workspace is on {name}: switch to another branch before it goes"),
            )
            .into());
        }
        self.branched(
            format!("removed the branch {name} (it was at {})", tip.short()),
            vec![change(name, Some(tip), None)],
            Vec::new(),
        )
    }

    pub(super) fn branch_prune(&self, dry_run: bool) -> Result<BranchReport, Failure> {
        let _one = self.world();
        self.recover()?;
        let current = rev::branch(&self.store)?;
        let (names, tips): (Vec<String>, Vec<CommitId>) =
            self.answers().tips()?.into_iter().unzip();
        let holders = ancestry::held_by(&self.store, &tips)?;
        let mut stays = vec![true; names.len()];
        let mut changes = Vec::new();
        // Of several at the same commit the first by name stays, or the one that the workspace is on.
        for (i, name) in names.iter().enumerate().rev() {
            let holder = holders
                .get(i)
                .into_iter()
                .flatten()
                .find(|j| stays.get(**j).copied().unwrap_or(false))
                .and_then(|j| names.get(*j));
            if let (Some(holder), true) = (holder, *name != current) {
                if let Some(stay) = stays.get_mut(i) {
                    *stay = false;
                }
                changes.push(BranchChange {
                    held_by: Some(holder.clone()),
                    ..change(name, tips.get(i).copied(), None)
                });
            }
        }
        changes.reverse();
        let description = match changes.as_slice() {
            [] => "no branch can be pruned: each has commits of its own".to_owned(),
            [one] => format!("pruned the branch {}", one.name),
            several => format!("pruned {} branches", several.len()),
        };
        if dry_run || changes.is_empty() {
            return Ok(BranchReport {
                dry_run,
                description,
                changes,
                operation: None,
            });
        }
        self.branched(description, changes, Vec::new())
    }

    /// Refuses a name that no new branch can have; `instead` is the branch whose place it takes.
    pub(super) fn free_name(&self, name: &str, instead: Option<&str>) -> Result<(), Failure> {
        check(name)?;
        for there in self.answers().tips()?.keys() {
            let why = if there == name {
                format!("there is a branch {there} already")
            } else if clash(there, name) && instead != Some(there) {
                format!(
                    "{name} cannot be a branch beside the branch {there}: one would be a directory of the other"
                )
            } else {
                continue;
            };
            return Err(ApiError::new(ErrorCode::Refused, why).into());
        }
        Ok(())
    }

    /// Publishes what became of branches; `others` are refs that move with them.
    fn branched(
        &self,
        description: String,
        changes: Vec<BranchChange>,
        others: Vec<RefChange>,
    ) -> Result<BranchReport, Failure> {
        let refs = changes
            .iter()
            .map(|c| moves(&c.name, c.before, c.after))
            .chain(others)
            .collect();
        let operation = self.refs_moved(OpKind::Branch, description.clone(), refs, None)?;
        Ok(BranchReport {
            dry_run: false,
            description,
            changes,
            operation,
        })
    }
}
