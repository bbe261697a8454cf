//! Merges: computed in memory, kept as an unfinished one while conflicts are settled, finished as one operation.
//!
//! The workspace and the branches stay as they are until a merge is finished. What is kept of an unfinished one are the
//! commits and the acts (`record`); everything else follows from them (`plan`). When a side moves meanwhile, the merge is
//! made again over what is there, and the picks that still fit are kept (`picks`). A merge may be finished with conflicts:
//! its commit keeps them as values, and they are taken up again whenever somebody likes (`open`).
//!
//! Order of locks: the world, then the slot of the unfinished merge, then whatever the store takes. Nothing is told to
//! subscribers while the slot is held.

mod finish;
#[cfg(test)]
mod laws;
mod open;
mod picks;
mod plan;
mod reasons;
mod record;
mod show;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::api::{
    ApiError, Bytes, ErrorCode, MergeInfo, MergeReport, PickOrigin, ProposalRecord, Request,
    Resolver, Response, UnfinishedInfo,
};
use super::core::{Core, Failure};
use crate::capture::settings;
use crate::debug::rev;
use crate::merge::conflict::Piece;
use crate::merge::markers;
use crate::merge::resolve::Pick;
use crate::model::{Cause, CommitId, RefTarget, RepoPath, Time, neutral};

use finish::How;
pub(super) use finish::merge_link;
use picks::{Picker, Settling, refit, same_numbers};
use plan::Plan;
use record::{Act, At, Found, Keeper, OnePick, Record, Shown, Written};

/// The unfinished merge of a project, if there is one.
#[derive(Default)]
pub(super) struct Merges {
    slot: Mutex<Slot>,
}

#[derive(Default)]
enum Slot {
    /// Nobody has asked yet.
    #[default]
    Unread,
    Nothing,
    Kept {
        record: Box<Record>,
        plan: Option<Arc<Plan>>,
    },
}

/// A merge that is asked for.
struct Asked {
    branch: String,
    into: Option<String>,
    resolver: Resolver,
    dry_run: bool,
    finish: bool,
    how: How,
}

/// The latest commits of both sides of a merge: ours, theirs.
type Tips = (CommitId, CommitId);

fn refused(why: impl Into<String>) -> Failure {
    ApiError::new(ErrorCode::Refused, why).into()
}

fn none_unfinished() -> Failure {
    refused("no merge is unfinished; `backtrail merge BRANCH` begins one")
}

impl Core {
    /// Answers the requests of merges.
    pub(super) fn merge_request(&self, request: Request) -> Result<Response, Failure> {
        let mut response = self.merge_answer(request)?;
        if let Response::Merging(Some(info)) = &mut response
            && info.kept
        {
            info.renumbered = self.told_renumbered()?;
        }
        Ok(response)
    }

    fn merge_answer(&self, request: Request) -> Result<Response, Failure> {
        match request {
            Request::Merge {
                branch,
                into,
                resolver,
                dry_run,
                finish,
                message,
                keep_conflicts,
            } => self.begin_merge(Asked {
                branch,
                into,
                resolver,
                dry_run,
                finish,
                how: How {
                    message,
                    keep_conflicts,
                },
            }),
            Request::Merging => Ok(Response::Merging(match self.unfinished()? {
                Some((record, plan)) => Some(Box::new(self.merge_info(&record, &plan, true)?)),
                None => None,
            })),
            Request::MergeConflict { path } => {
                let (record, plan) = self.unfinished()?.ok_or_else(none_unfinished)?;
                let detail = self.conflict_detail(&record, &plan, &path)?;
                Ok(Response::MergeConflict(Box::new(detail)))
            }
            Request::MergePick {
                path,
                hunk,
                pick,
                origin,
                of,
            } => {
                let at = match hunk {
                    Some(hunk) => At::Hunk { path, hunk },
                    None => At::Whole { path },
                };
                self.act(vec![(at, pick, origin)], of)
            }
            Request::MergeStatePick {
                conflict,
                pick,
                origin,
                of,
            } => self.act(vec![(At::State { conflict }, pick, origin)], of),
            Request::MergeUnpick => self.unpick(),
            Request::MergeMarkers { path, text: None } => self.write_markers(&path),
            Request::MergeMarkers {
                path,
                text: Some(text),
            } => self.read_markers(&path, &text),
            Request::MergeProposal {
                path,
                hunk,
                record,
                of,
            } => self.propose(path, hunk, record, of),
            Request::MergeResult { path } => {
                let (record, plan) = self.unfinished()?.ok_or_else(none_unfinished)?;
                Ok(Response::Bytes(self.merge_result(&record, &plan, &path)?))
            }
            Request::MergeTree => {
                let (record, plan) = self.unfinished()?.ok_or_else(none_unfinished)?;
                let settling = Settling::of(&record.acts, &plan);
                let settled = plan.settle(&self.store, &settling)?;
                settled.made.keep(&self.store, settled.tree)?;
                let mut resolved = self.answers().resolved(plan.ours, None)?;
                resolved.tree = settled.tree;
                Ok(Response::Resolved(resolved))
            }
            Request::MergeFinish {
                message,
                keep_conflicts,
            } => {
                let _one = self.world();
                self.recover()?;
                let (record, _) = self.unfinished()?.ok_or_else(none_unfinished)?;
                self.cut_sides(&record.into, &record.branch)?;
                let (record, plan) = self.unfinished()?.ok_or_else(none_unfinished)?;
                let how = How {
                    message,
                    keep_conflicts,
                };
                let report = self.finish_merge(&record, &plan, &how)?;
                Ok(Response::Merged(Box::new(report)))
            }
            Request::MergeAbandon => self.abandon_merge(),
            Request::MergeResume { rev } => self.resume(rev.as_deref()),
            Request::Conflicts { rev } => {
                Ok(Response::Conflicts(self.open_conflicts(rev.as_deref())?))
            }
            other => Err(ApiError::new(
                ErrorCode::Unsupported,
                format!("not a request of merges: {other:?}"),
            )
            .into()),
        }
    }

    fn keeper(&self) -> Keeper {
        Keeper::new(&self.project.store_dir)
    }

    /// The slot, with what the file says.
    fn slot(&self) -> Result<MutexGuard<'_, Slot>, Failure> {
        let mut slot = self
            .merges
            .slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if matches!(*slot, Slot::Unread) {
            *slot = match self.keeper().load()? {
                Found::Nothing => Slot::Nothing,
                Found::Merge(record) => Slot::Kept { record, plan: None },
                Found::Damaged(said) => {
                    self.warn(said);
                    Slot::Nothing
                }
            };
        }
        Ok(slot)
    }

    /// That a merge is unfinished, for the status.
    pub(super) fn unfinished_brief(&self) -> Option<UnfinishedInfo> {
        match self.slot() {
            Ok(slot) => match &*slot {
                Slot::Kept { record, .. } => Some(UnfinishedInfo {
                    branch: record.branch.clone(),
                    into: record.into.clone(),
                    left: record.left,
                }),
                _ => None,
            },
            Err(e) => {
                self.warn(e.to_string());
                None
            }
        }
    }

    /// The merge of `theirs` into `ours`, or of what `resumed` left open.
    fn plan_of(
        &self,
        resumed: Option<CommitId>,
        ours: CommitId,
        theirs: CommitId,
    ) -> Result<Arc<Plan>, Failure> {
        Ok(Arc::new(match resumed {
            Some(conflicted) => Plan::resumed(&self.store, ours, conflicted)?,
            None => Plan::of(&self.store, ours, theirs)?,
        }))
    }

    fn branch_tip(&self, name: &str) -> Result<Option<CommitId>, Failure> {
        Ok(match self.store.get_ref(&format!("branch/{name}"))? {
            Some(RefTarget::Commit(id)) => Some(id),
            _ => None,
        })
    }

    /// The unfinished merge over what its branches are now.
    fn unfinished(&self) -> Result<Option<(Record, Arc<Plan>)>, Failure> {
        let mut slot = self.slot()?;
        let Slot::Kept { record, plan } = &mut *slot else {
            return Ok(None);
        };
        let ours = self.branch_tip(&record.into)?.ok_or_else(|| {
            refused(format!(
                "the branch {} into which the unfinished merge goes is gone: `backtrail merge --abort` forgets the merge, `backtrail undo` may bring the branch back",
                neutral(record.into.as_bytes())
            ))
        })?;
        let theirs = match record.follows {
            true => self.branch_tip(&record.branch)?.unwrap_or(record.theirs),
            false => record.theirs,
        };
        let moved = (ours, theirs) != (record.ours, record.theirs);
        if !moved && let Some(plan) = plan {
            return Ok(Some(((**record).clone(), Arc::clone(plan))));
        }
        let before = match (moved, plan.as_ref()) {
            (true, Some(plan)) => Some(Arc::clone(plan)),
            // What cannot be made again is as if it had been another.
            (true, None) => self
                .plan_of(record.resumed, record.ours, record.theirs)
                .ok(),
            (false, _) => None,
        };
        let fresh = self.plan_of(record.resumed, ours, theirs)?;
        // It was finished, and the engine died before it could forget it; or somebody has merged otherwise.
        let over = match record.resumed {
            Some(commit) => moved && !open::open_at(&self.store, ours)?.contains(&commit),
            None => fresh.is_up_to_date(),
        };
        if over {
            self.keeper().forget()?;
            *slot = Slot::Nothing;
            return Ok(None);
        }
        if moved {
            record.ours = ours;
            record.theirs = fresh.theirs;
            record.acts = refit(&record.acts, &fresh);
            record.remade = true;
            record.untold |= before.is_none_or(|before| !same_numbers(&before, &fresh));
            record.id += 1;
            self.keeper().save(record)?;
        }
        *plan = Some(Arc::clone(&fresh));
        Ok(Some(((**record).clone(), fresh)))
    }

    /// Keeps `record` as the unfinished merge; gives what is to be said of it.
    fn keep_merge(&self, mut record: Record, plan: Arc<Plan>) -> Result<Box<MergeInfo>, Failure> {
        let info = self.merge_info(&record, &plan, true)?;
        record.left = info.left;
        {
            let mut slot = self.slot()?;
            self.keeper().save(&record)?;
            *slot = Slot::Kept {
                record: Box::new(record),
                plan: Some(plan),
            };
        }
        self.tell_status();
        Ok(Box::new(info))
    }

    /// Whether numbers mean other things since a side moved and nobody has been told; now somebody is.
    fn told_renumbered(&self) -> Result<bool, Failure> {
        let mut slot = self.slot()?;
        let Slot::Kept { record, .. } = &mut *slot else {
            return Ok(false);
        };
        let untold = std::mem::take(&mut record.untold);
        if untold {
            self.keeper().save(record)?;
        }
        Ok(untold)
    }

    fn forget_merge(&self) -> Result<(), Failure> {
        let mut slot = self.slot()?;
        self.keeper().forget()?;
        *slot = Slot::Nothing;
        Ok(())
    }

    /// What is in the workspace, or in the view of a fork, is committed where its branch is a side.
    fn cut_sides(&self, into: &str, branch: &str) -> Result<(), Failure> {
        let current = rev::branch(&self.store)?;
        for side in [into, branch] {
            if side == current {
                self.cut(Cause::Safety, None, None)?;
            } else {
                self.cut_fork(side, Cause::Safety)?;
            }
        }
        // The same for what is in their forks.
        for side in [into, branch] {
            if side != current && self.branch_tip(side)?.is_some() {
                self.fork_settle(side)?;
            }
        }
        Ok(())
    }

    fn begin_merge(&self, asked: Asked) -> Result<Response, Failure> {
        let _one = self.world();
        self.recover()?;
        let into = match &asked.into {
            Some(into) => into.clone(),
            None => rev::branch(&self.store)?,
        };
        self.refuse_imported(self.answers().tip(&into)?)?;
        // Named before anything is cut: `@~1` and `10m ago` mean what the person saw.
        let follows = self.branch_tip(&asked.branch)?.is_some();
        if follows && asked.branch == into {
            return Err(refused(format!(
                "{} cannot be merged into itself",
                neutral(into.as_bytes())
            )));
        }
        let named = rev::resolve(&self.store, &*self.store, &asked.branch, Time::now())?.commit;
        self.refuse_imported(named)?;
        self.refuse_gone(named)?;
        self.cut_sides(&into, &asked.branch)?;
        let unfinished = match asked.dry_run {
            true => None,
            false => self.unfinished()?,
        };
        let was_unfinished = unfinished.is_some();
        let (mut record, plan) = match unfinished {
            Some((record, plan)) if record.branch == asked.branch && record.into == into => {
                (record, plan)
            }
            Some((other, _)) => {
                return Err(refused(format!(
                    "another merge is unfinished ({} into {}): `backtrail merge --continue` or `backtrail merge --abort` first",
                    neutral(other.branch.as_bytes()),
                    neutral(other.into.as_bytes())
                )));
            }
            None => {
                let ours = self.answers().tip(&into)?;
                let theirs = match follows {
                    true => self.answers().tip(&asked.branch)?,
                    false => named,
                };
                let plan = self.plan_of(None, ours, theirs)?;
                if plan.is_up_to_date() {
                    return Ok(Response::Merged(Box::new(up_to_date(asked.branch, into))));
                }
                let began = Time::now();
                let record = Record {
                    // Never that of an earlier one.
                    id: u64::try_from(began.0).unwrap_or_default(),
                    branch: asked.branch.clone(),
                    follows,
                    into,
                    ours,
                    theirs,
                    resumed: None,
                    message: None,
                    acts: Vec::new(),
                    proposals: Vec::new(),
                    remade: false,
                    untold: false,
                    written: Vec::new(),
                    left: 0,
                    began,
                };
                (record, plan)
            }
        };
        if asked.how.message.is_some() {
            record.message.clone_from(&asked.how.message);
        }
        if let Some(act) = self.by_rule(&record, &plan, asked.resolver)? {
            record.acts.push(act);
            record.id += 1;
        }
        if asked.dry_run {
            let info = self.merge_info(&record, &plan, false)?;
            return Ok(Response::Merging(Some(Box::new(info))));
        }
        if asked.finish {
            match self.finish_merge(&record, &plan, &asked.how) {
                Ok(report) => return Ok(Response::Merged(Box::new(report))),
                // Something is left, perhaps only since a moment ago.
                Err(Failure::Api(e)) if e.code == ErrorCode::Refused => {
                    self.keep_merge(record, plan)?;
                    let info = match self.unfinished()? {
                        Some((record, plan)) => Some(self.merge_info(&record, &plan, true)?),
                        None => None,
                    };
                    return match info.filter(|info| info.left > 0) {
                        Some(info) => Ok(Response::Merging(Some(Box::new(info)))),
                        // It was refused for something else.
                        None => {
                            if !was_unfinished {
                                self.forget_merge()?;
                                self.tell_status();
                            }
                            Err(e.into())
                        }
                    };
                }
                Err(e) => return Err(e),
            }
        }
        Ok(Response::Merging(Some(self.keep_merge(record, plan)?)))
    }

    /// All that is left, taken from one side.
    fn by_rule(
        &self,
        record: &Record,
        plan: &Plan,
        resolver: Resolver,
    ) -> Result<Option<Act>, Failure> {
        let side = match resolver {
            Resolver::Manual => return Ok(None),
            Resolver::Ours => Pick::Ours,
            Resolver::Theirs => Pick::Theirs,
        };
        let settling = Settling::of(&record.acts, plan);
        let settled = plan.settle(&self.store, &settling)?;
        let mut places: Vec<At> = Vec::new();
        for left in settled.left {
            let path = left.path;
            // What somebody settled stays.
            if left.hunks.is_empty() || !settling.files.contains_key(&path) {
                places.push(At::Whole { path });
            } else {
                let hunk = |hunk| At::Hunk {
                    path: path.clone(),
                    hunk,
                };
                places.extend(left.hunks.into_iter().map(hunk));
            }
        }
        if let plan::SettledState::Left(left) = plan.state.settled(&settling.state_picks()) {
            places.extend(left.into_iter().map(|conflict| At::State { conflict }));
        }
        if places.is_empty() {
            return Ok(None);
        }
        let mut picker = Picker::new(plan);
        let picks = places
            .into_iter()
            .map(|at| picker.pick(at, Some(side.clone()), PickOrigin::Rule))
            .collect::<Result<_, _>>()?;
        Ok(Some(Act { picks }))
    }

    /// The commits that the unfinished merge was last made of.
    fn last_tips(&self) -> Result<Option<Tips>, Failure> {
        Ok(match &*self.slot()? {
            Slot::Kept { record, .. } => Some((record.ours, record.theirs)),
            _ => None,
        })
    }

    /// The merge that a client looked at, of these commits: `now`, or an earlier one.
    fn seen_plan(
        &self,
        record: &Record,
        now: &Arc<Plan>,
        of: Option<Tips>,
    ) -> Result<Arc<Plan>, Failure> {
        match of {
            Some(of) if of != (now.ours, now.theirs) => {
                self.plan_of(record.resumed, of.0, of.1).map_err(|e| {
                    refused(format!(
                        "the merge that was looked at cannot be made again ({e}): look at it again"
                    ))
                })
            }
            _ => Ok(Arc::clone(now)),
        }
    }

    /// One act: these picks, which are taken back together. Numbers mean what they mean in the merge `of` these commits;
    /// a client that does not say which means the one that was made last.
    fn act(
        &self,
        wanted: Vec<(At, Option<Pick>, PickOrigin)>,
        of: Option<Tips>,
    ) -> Result<Response, Failure> {
        let _one = self.world();
        let last = self.last_tips()?;
        let (mut record, plan) = self.unfinished()?.ok_or_else(none_unfinished)?;
        let on = self.seen_plan(&record, &plan, of.or(last))?;
        let mut picker = Picker::new(&on);
        let picks: Vec<OnePick> = wanted
            .into_iter()
            .map(|(at, pick, origin)| picker.pick(at, pick, origin))
            .collect::<Result<_, _>>()?;
        let mut act = Act { picks };
        let is_old = !Arc::ptr_eq(&on, &plan);
        if is_old {
            let wanted = act.picks.len();
            let fits = refit(&[act], &plan).pop();
            act = fits
                .filter(|a| a.picks.len() == wanted)
                .ok_or_else(|| refused(moved_words(&record, &on)))?;
        }
        record.acts.push(act);
        record.id += 1;
        record.remade = is_old;
        Ok(Response::Merging(Some(self.keep_merge(record, plan)?)))
    }

    fn unpick(&self) -> Result<Response, Failure> {
        let _one = self.world();
        let (mut record, plan) = self.unfinished()?.ok_or_else(none_unfinished)?;
        if record.acts.pop().is_none() {
            return Err(refused("there is no pick to take back"));
        }
        record.id += 1;
        record.remade = false;
        Ok(Response::Merging(Some(self.keep_merge(record, plan)?)))
    }

    /// A file with markers. Of which commits it was written is kept: when it comes back, a side may have moved.
    fn write_markers(&self, path: &RepoPath) -> Result<Response, Failure> {
        let _one = self.world();
        let (record, plan) = self.unfinished()?.ok_or_else(none_unfinished)?;
        let text = self.merge_markers(&record, &plan, path)?;
        let mut slot = self.slot()?;
        if let Slot::Kept { record, .. } = &mut *slot {
            let written = Written {
                path: path.clone(),
                ours: plan.ours,
                theirs: plan.theirs,
            };
            if !record.written.contains(&written) {
                record.written.retain(|w| w.path != *path);
                record.written.push(written);
                self.keeper().save(record)?;
            }
        }
        Ok(Response::Bytes(text))
    }

    fn read_markers(&self, path: &RepoPath, text: &Bytes) -> Result<Response, Failure> {
        let (now, present) = self.unfinished()?.ok_or_else(none_unfinished)?;
        let written = now.written.iter().find(|w| w.path == *path);
        let of = written.map(|w| (w.ours, w.theirs));
        let stale = || {
            refused(format!(
                "{path}: a side has moved since this file was written, and what it says does not fit any more: write it again with `backtrail merge --markers DIR`"
            ))
        };
        let plan = self.seen_plan(&now, &present, of).map_err(|_| stale())?;
        let is_old = !Arc::ptr_eq(&plan, &present);
        let mut record = now.clone();
        if is_old {
            record.acts = refit(&record.acts, &plan);
        }
        let conflict = show::with_hunks(&plan, path)?;
        let settling = Settling::of(&record.acts, &plan);
        let settlement = settling.files.get(path);
        // Untouched it says nothing, also where hunks on one line could not be told apart again.
        if *text == self.merge_markers(&record, &plan, path)? {
            return Ok(Response::Merging(Some(Box::new(
                self.merge_info(&now, &present, true)?,
            ))));
        }
        let labels = show::labels(&record);
        let read = |pieces: &[Piece]| {
            let style = markers::Style::Diff3;
            let size = markers::write(pieces, style, &labels).size;
            markers::read(text, pieces, style, &labels, size)
        };
        let (pieces, left) = show::unsettled(conflict, settlement);
        let origin = PickOrigin::Markers;
        let mut found = (read(&pieces), left);
        // It may have been written before something was picked here.
        if settlement.is_some() && !matches!(found.0, markers::ReadBack::Hunks(_)) {
            let all = (0..conflict.hunks().count()).collect();
            let again = read(&conflict.pieces);
            if matches!(again, markers::ReadBack::Hunks(_)) {
                found = (again, all);
            }
        }
        let wanted: Vec<_> = match found {
            (markers::ReadBack::Hunks(picks), hunks) => hunks
                .into_iter()
                .zip(picks)
                .filter_map(|(hunk, pick)| Some((hunk, pick?)))
                .map(|(hunk, pick)| {
                    let path = path.clone();
                    (At::Hunk { path, hunk }, Some(pick), origin.clone())
                })
                .collect(),
            (markers::ReadBack::Whole(text), _) => {
                let path = path.clone();
                vec![(At::Whole { path }, Some(Pick::Edited(text)), origin)]
            }
            (markers::ReadBack::StillMarked(line), _) => {
                return Err(refused(format!(
                    "{path}: line {line} is still a conflict marker, but what stands around it is no hunk as it was written; settle it there first"
                )));
            }
        };
        if wanted.is_empty() {
            return Ok(Response::Merging(Some(Box::new(
                self.merge_info(&now, &present, true)?,
            ))));
        }
        let tips = (plan.ours, plan.theirs);
        self.act(wanted, Some(tips)).map_err(|e| match e {
            Failure::Api(e) if is_old && e.code == ErrorCode::Refused => stale(),
            e => e,
        })
    }

    fn propose(
        &self,
        path: RepoPath,
        hunk: usize,
        record: ProposalRecord,
        of: Option<Tips>,
    ) -> Result<Response, Failure> {
        let _one = self.world();
        let last = self.last_tips()?;
        let (mut merge, plan) = self.unfinished()?.ok_or_else(none_unfinished)?;
        let on = self.seen_plan(&merge, &plan, of.or(last))?;
        let (print, nth) = Picker::new(&on).hunk(&path, hunk)?;
        merge.keep_shown(Shown {
            path,
            hunk,
            print,
            nth,
            record,
        });
        merge.id += 1;
        self.keep_merge(merge, plan)?;
        Ok(Response::Done(String::new()))
    }

    fn abandon_merge(&self) -> Result<Response, Failure> {
        let _one = self.world();
        let said = match &*self.slot()? {
            Slot::Kept { record, .. } => format!(
                "the merge of {} into {} is forgotten; nothing of it was written",
                record.branch, record.into
            ),
            _ => return Err(none_unfinished()),
        };
        self.forget_merge()?;
        self.tell_status();
        Ok(Response::Done(said))
    }

    fn resume(&self, rev: Option<&str>) -> Result<Response, Failure> {
        let _one = self.world();
        self.recover()?;
        let (into, conflicted) = self.to_resume(rev)?;
        if let Some((record, plan)) = self.unfinished()? {
            if record.resumed == Some(conflicted) {
                let info = self.merge_info(&record, &plan, true)?;
                return Ok(Response::Merging(Some(Box::new(info))));
            }
            return Err(refused(format!(
                "a merge is unfinished ({} into {}): `backtrail merge --continue` or `backtrail merge --abort` first",
                neutral(record.branch.as_bytes()),
                neutral(record.into.as_bytes())
            )));
        }
        self.cut_sides(&into, &into)?;
        let ours = self.answers().tip(&into)?;
        let plan = self.plan_of(Some(conflicted), ours, ours)?;
        let commit = self.store.commit(conflicted)?;
        let began = Time::now();
        let record = Record {
            id: u64::try_from(began.0).unwrap_or_default(),
            branch: commit
                .meta
                .get("merged")
                .cloned()
                .unwrap_or_else(|| conflicted.short()),
            follows: false,
            into,
            ours,
            theirs: plan.theirs,
            resumed: Some(conflicted),
            message: None,
            acts: Vec::new(),
            proposals: Vec::new(),
            remade: false,
            untold: false,
            written: Vec::new(),
            left: 0,
            began,
        };
        Ok(Response::Merging(Some(self.keep_merge(record, plan)?)))
    }

    /// The project's own check of a result.
    fn merge_check(&self) -> Option<String> {
        settings::merge_check(&self.project.root)
    }
}

/// Why a pick of what was seen in `on` cannot be made in the merge as it is now.
fn moved_words(now: &Record, on: &Plan) -> String {
    let name = |name: &str| neutral(name.as_bytes());
    let who = match (now.ours != on.ours, now.theirs != on.theirs) {
        (true, false) => format!("{} has moved", name(&now.into)),
        (false, true) => format!("{} has moved", name(&now.branch)),
        _ => format!("{} and {} have moved", name(&now.into), name(&now.branch)),
    };
    format!("{who} since, and what was picked is another thing there now: look at it again")
}

fn up_to_date(branch: String, into: String) -> MergeReport {
    MergeReport {
        commit: None,
        fast_forward: false,
        up_to_date: true,
        into,
        branch,
        changes: Vec::new(),
        unreviewed: Vec::new(),
        open: Vec::new(),
        rollback: None,
        operation: None,
    }
}
