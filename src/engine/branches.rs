//! Branches: listed, made, renamed, removed, pruned. Each change is an operation that moves refs only; the workspace stays
//! as it is, and commits stay in the store whatever becomes of the names.

use std::collections::{BTreeMap, BTreeSet};

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

pub(super) fn change(
    name: &str,
    before: Option<CommitId>,
    after: Option<CommitId>,
) -> BranchChange {
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
        self.answers().tip(from)?;
        self.fork_release(from)?;
        let rename = || {
            let tip = self.answers().tip(from)?;
            self.fork_renames(from, to)?;
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
        self.fork_renamed(from, to);
        self.tell_status();
        Ok(report)
    }

    pub(super) fn branch_delete(&self, name: &str) -> Result<BranchReport, Failure> {
        let _one = self.world();
        self.recover()?;
        self.answers().tip(name)?;
        if rev::branch(&self.store)? == name {
            return Err(ApiError::new(
                ErrorCode::Refused,
                format!("the workspace is on {name}: switch to another branch before it goes"),
            )
            .into());
        }
        // What its fork holds becomes a commit first.
        let fork = self.fork_release(name)?;
        let tip = self.answers().tip(name)?;
        let mut report = self.branched(
            format!("removed the branch {name} (it was at {})", tip.short()),
            vec![change(name, Some(tip), None)],
            Vec::new(),
        )?;
        if let Some(kept) = self.fork_drop(name, fork) {
            report.description = format!("{}; {kept}", report.description);
        }
        Ok(report)
    }

    pub(super) fn branch_prune(&self, dry_run: bool) -> Result<BranchReport, Failure> {
        let _one = self.world();
        self.recover()?;
        let current = rev::branch(&self.store)?;
        let names = self.answers().tips()?.into_keys();
        let used: Vec<String> = names.filter(|n| self.refuse_used(n).is_err()).collect();
        let mut stay: BTreeSet<String> = used.iter().cloned().collect();
        stay.insert(current);
        let (mut forks, mut held) = (BTreeMap::new(), Vec::new());
        let mut changes = self.to_prune(&stay)?;
        // What their forks hold becomes commits first, after which it may be another ones that can go. The others' forks
        // are left alone.
        loop {
            let new: Vec<String> = changes
                .iter()
                .map(|c| c.name.clone())
                .filter(|name| !forks.contains_key(name))
                .collect();
            if dry_run || new.is_empty() {
                break;
            }
            for name in new {
                match self.fork_release(&name) {
                    Ok(was) => _ = forks.insert(name, was),
                    Err(e) => {
                        held.push(format!("; {name} stays: {}", ApiError::from(e).message));
                        stay.insert(name);
                    }
                }
            }
            changes = self.to_prune(&stay)?;
        }
        let mut description = match changes.as_slice() {
            [] => "no branch can be pruned: each has commits of its own".to_owned(),
            [one] => format!("pruned the branch {}", one.name),
            several => format!("pruned {} branches", several.len()),
        };
        if !used.is_empty() {
            description = format!(
                "{description}; an agent runs on the fork of {}, so that stays",
                used.join(", ")
            );
        }
        description.extend(held);
        if dry_run || changes.is_empty() {
            return Ok(BranchReport {
                dry_run,
                description,
                changes,
                operation: None,
            });
        }
        let mut report = self.branched(description, changes, Vec::new())?;
        for change in &report.changes {
            let was = forks.remove(&change.name).unwrap_or_default();
            if let Some(kept) = self.fork_drop(&change.name, was) {
                report.description = format!("{}; {}: {kept}", report.description, change.name);
            }
        }
        Ok(report)
    }

    /// The branches whose latest commit another branch has, but for those that stay. Of several at the same commit the
    /// first by name stays, or one that has to.
    fn to_prune(&self, stay: &BTreeSet<String>) -> Result<Vec<BranchChange>, Failure> {
        let (names, tips): (Vec<String>, Vec<CommitId>) =
            self.answers().tips()?.into_iter().unzip();
        let holders = ancestry::held_by(&self.store, &tips)?;
        let mut stays = vec![true; names.len()];
        let mut changes = Vec::new();
        for (i, name) in names.iter().enumerate().rev() {
            let holder = holders
                .get(i)
                .into_iter()
                .flatten()
                .find(|j| stays.get(**j).copied().unwrap_or(false))
                .and_then(|j| names.get(*j));
            if let (Some(holder), false) = (holder, stay.contains(name)) {
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
        Ok(changes)
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
    pub(super) fn branched(
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
