//! Single operations: what one did, the state of everything before or after it brought back, and one of them reversed.
//!
//! The state of everything is the refs: `head` says which branch the workspace is on, that branch which commit it equals.
//! What the refs were at an operation follows from the operations since, newest first, each of which says where it found
//! what it moved. Bringing a state back is one operation, with the workspace's files as a rollback has them: its intent
//! holds where each ref shall be, so that a crash in the middle ends as it was meant. What is there now is committed
//! first and is where the operation found the refs, so that an undo is exact.

use std::collections::BTreeMap;

use crate::capture::journal::Switch;
use crate::debug::rev;
use crate::model::{
    Cause, CommitId, OpId, OpKind, Operation, Ordinal, RefChange, RefTarget, neutral,
};
use crate::store::Gone;

use super::answer::Answers;
use super::api::{ApiError, Changes, ErrorCode, OpDetail, OpInfo, OpReport, RefMove, Response};
use super::branch_name::clash;
use super::core::{Core, Failure};
use super::undo::Renamed;
use super::world::Move;

/// Operations read at a time.
const PAGE: usize = 256;

/// Later operations that a refusal names.
const NAMED: usize = 3;

const HEAD: &str = "head";
const BRANCH: &str = "branch/";

/// Where refs shall be; absent ones shall not be there.
type Wanted = BTreeMap<String, Option<RefTarget>>;

/// What is to be done with refs, and why.
struct Act<'a> {
    kind: OpKind,
    wanted: Wanted,
    description: &'a str,
    /// The operation that this is about.
    target: OpId,
    /// For an undo or redo: of what.
    of: Option<OpKind>,
    /// A branch that gets another name back: the one it has, the one it gets.
    renamed: Option<(String, String)>,
    dry_run: bool,
}

fn refused(why: String) -> Failure {
    ApiError::new(ErrorCode::Refused, why).into()
}

impl Answers<'_> {
    /// An operation for lists.
    pub(super) fn op_info(&self, seq: u64, id: OpId, op: Operation) -> Result<OpInfo, Failure> {
        let author = match (op.kind, op.refs.iter().find_map(|r| r.after.as_ref())) {
            (OpKind::Checkpoint, Some(RefTarget::Commit(commit))) => {
                self.store.commit(*commit)?.author.clone()
            }
            (OpKind::Checkpoint | OpKind::Init | OpKind::Gc, _) => String::new(),
            _ => "person".to_owned(),
        };
        let of = match op.target {
            Some(target) => Some(self.store.operation(target)?.0),
            None => None,
        };
        Ok(OpInfo {
            seq,
            id,
            time: op.time,
            kind: op.kind,
            description: op.description,
            who: author,
            of,
        })
    }

    /// The operation that a person names: `@` for the newest, its number, or the beginning of its id.
    pub(super) fn find_op(&self, text: &str) -> Result<(u64, OpId, Operation), Failure> {
        let text = text.trim();
        let newest = self.store.operations(None, 1)?.pop();
        let last = newest.as_ref().map_or(0, |(seq, ..)| *seq);
        let none = || {
            ApiError::new(
                ErrorCode::NotFound,
                format!(
                    "no operation is called {:?}: give its number or the beginning of its id, as `backtrail op log` shows them, or @ for the newest",
                    neutral(text.as_bytes())
                ),
            )
        };
        if text == "@" {
            return Ok(newest.ok_or_else(none)?);
        }
        if let Ok(seq) = text.parse::<u64>()
            && (1..=last).contains(&seq)
        {
            let found = self.store.operations(seq.checked_add(1), 1)?.pop();
            return Ok(found.filter(|(at, ..)| *at == seq).ok_or_else(none)?);
        }
        let hex = text.len() >= 4 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !hex {
            return Err(none().into());
        }
        let text = text.to_ascii_lowercase();
        let mut found: Option<(u64, OpId, Operation)> = None;
        let mut before = None;
        loop {
            let page = self.store.operations(before, PAGE)?;
            let Some((seq, ..)) = page.last() else { break };
            before = Some(*seq);
            for op in page {
                if !op.1.to_hex().starts_with(&text) {
                    continue;
                }
                if found.is_some() {
                    return Err(refused(format!(
                        "several operations begin with {text}: give more of the id, or the number"
                    )));
                }
                found = Some(op);
            }
        }
        Ok(found.ok_or_else(none)?)
    }

    fn step_at(&self, target: Option<&RefTarget>) -> Result<Option<Ordinal>, Failure> {
        Ok(match target {
            Some(RefTarget::Commit(id)) => self.resolved(*id, None)?.step,
            Some(RefTarget::Step(id)) => self.store.step(*id)?.map(|s| s.ordinal),
            _ => None,
        })
    }

    /// Moves of refs, with the steps that a person knows them by.
    fn ref_moves(&self, changes: Vec<RefChange>) -> Result<Vec<RefMove>, Failure> {
        let mut out = Vec::new();
        for change in changes {
            let steps = (
                self.step_at(change.before.as_ref())?,
                self.step_at(change.after.as_ref())?,
            );
            out.push(RefMove {
                steps,
                ..RefMove::of(change)
            });
        }
        Ok(out)
    }

    /// An operation with what it changed.
    pub(super) fn op_show(&self, text: &str) -> Result<OpDetail, Failure> {
        let (seq, id, op) = self.find_op(text)?;
        let stays = match self.revertible(seq, &op) {
            Ok(()) => None,
            Err(Failure::Api(e)) if e.code == ErrorCode::Refused => Some(e.message),
            Err(e) => return Err(e),
        };
        // What it did to files: of the workspace where it wrote that, else of the branch that it moved.
        let moved = op.refs.iter().find_map(|r| match (&r.before, &r.after) {
            (Some(RefTarget::Commit(a)), Some(RefTarget::Commit(b)))
                if r.name.starts_with(BRANCH) =>
            {
                Some((*a, *b))
            }
            _ => None,
        });
        let mut states = None;
        let mut changes = Vec::new();
        if let Some((a, b)) = op.workspace.or(moved) {
            let Changes { a, b, changes: all } = self.diff(&a.to_hex(), &b.to_hex(), &[])?;
            states = Some((a, b));
            changes = all;
        }
        Ok(OpDetail {
            parent: op.parent,
            refs: self.ref_moves(op.refs.clone())?,
            op: self.op_info(seq, id, op)?,
            states,
            changes,
            stays,
        })
    }

    /// Where the refs that have moved since were right after an operation, or before it.
    fn refs_then(&self, seq: u64, before_it: bool) -> Result<Wanted, Failure> {
        let mut wanted = Wanted::new();
        let mut before = None;
        loop {
            let page = self.store.operations(before, PAGE)?;
            let Some((last, ..)) = page.last() else {
                return Ok(wanted);
            };
            before = Some(*last);
            for (at, _, op) in page {
                if at < seq || (at == seq && !before_it) {
                    return Ok(wanted);
                }
                for change in op.refs {
                    wanted.insert(change.name, change.before);
                }
            }
        }
    }

    /// Refuses to revert what something later stands on, or what changed nothing.
    fn revertible(&self, seq: u64, op: &Operation) -> Result<(), Failure> {
        if matches!(op.kind, OpKind::Init | OpKind::Gc) {
            return Err(refused(format!(
                "operation {seq} ({}) cannot be reverted: there is nothing before it",
                neutral(op.description.as_bytes())
            )));
        }
        if op.refs.is_empty() {
            return Err(refused(format!(
                "operation {seq} ({}) moved nothing that could be set back",
                neutral(op.description.as_bytes())
            )));
        }
        for change in &op.refs {
            if self.store.get_ref(&change.name)? == change.after {
                continue;
            }
            let name = neutral(change.name.replacen('/', " ", 1).as_bytes());
            let later = self.later(seq, &change.name)?;
            return Err(refused(format!(
                "{name} has moved since, so operation {seq} cannot be reverted alone{later}; revert those first, restore the state before it (backtrail op restore {seq} --before), or undo step by step"
            )));
        }
        Ok(())
    }

    /// In words: the operations after one that moved a ref.
    fn later(&self, seq: u64, name: &str) -> Result<String, Failure> {
        let mut named: Vec<String> = Vec::new();
        let mut count = 0;
        let mut before = None;
        'all: loop {
            let page = self.store.operations(before, PAGE)?;
            let Some((last, ..)) = page.last() else { break };
            before = Some(*last);
            for (at, _, op) in page {
                if at <= seq {
                    break 'all;
                }
                if op.refs.iter().any(|r| r.name == name) {
                    count += 1;
                    named.insert(0, format!("{at} ({})", op.kind.word()));
                    named.truncate(NAMED);
                }
            }
        }
        if named.is_empty() {
            return Ok(String::new());
        }
        let more = count - named.len();
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        Ok(format!(": {}{more} stand on it", named.join(", ")))
    }
}

impl Core {
    /// Sets the workspace, `head`, branches and labels to what they were right after an operation, or before it.
    pub(super) fn op_restore(
        &self,
        text: &str,
        before: bool,
        dry_run: bool,
    ) -> Result<Response, Failure> {
        let _one = self.world();
        self.recover()?;
        let (seq, id, op) = self.answers().find_op(text)?;
        // What is there now is part of what an undo brings back.
        self.cut(Cause::Safety, None, None)?;
        let wanted = self.answers().refs_then(seq, before)?;
        let when = if before { "before" } else { "after" };
        let description = format!(
            "restored the state {when} operation {seq} ({})",
            op.description
        );
        self.set_refs(&Act {
            kind: OpKind::OpRestore,
            wanted,
            description: &description,
            target: id,
            of: None,
            renamed: None,
            dry_run,
        })
    }

    /// Reverses one operation and nothing else.
    pub(super) fn op_revert(&self, text: &str, dry_run: bool) -> Result<Response, Failure> {
        let _one = self.world();
        self.recover()?;
        let (seq, id, op) = self.answers().find_op(text)?;
        // What is there now may stand on it.
        self.cut(Cause::Safety, None, None)?;
        self.answers().revertible(seq, &op)?;
        let description = format!("reverted operation {seq} ({})", op.description);
        let before = |r: &RefChange| (r.name.clone(), r.before.clone());
        self.set_refs(&Act {
            kind: OpKind::OpRevert,
            wanted: op.refs.iter().map(before).collect(),
            description: &description,
            target: id,
            of: None,
            renamed: Renamed::of(&op).and_then(|r| r.branches()),
            dry_run,
        })
    }

    /// Undoes or does again what [`Self::op_restore`] or [`Self::op_revert`] did: `last` is what did or undid it last.
    pub(super) fn reverse_refs(
        &self,
        kind: OpKind,
        target: OpId,
        of: OpKind,
        last: &Operation,
        description: &str,
    ) -> Result<Response, Failure> {
        self.cut(Cause::Safety, None, None)?;
        let on = format!("{BRANCH}{}", rev::branch(&self.store)?);
        let mut wanted = Wanted::new();
        for change in &last.refs {
            // The workspace's branch may have grown: what came since is what this operation finds, and can be had again.
            if change.name.starts_with(BRANCH) && (change.name != on || last.workspace.is_none()) {
                self.reversible(last, change)?;
            }
            wanted.insert(change.name.clone(), change.before.clone());
        }
        // What a crash left half-way may have been committed since on the branch that was left: what was there before
        // anything was written is what comes back.
        if let Some((left, _)) = last.workspace {
            let head = last.refs.iter().find(|r| r.name == HEAD);
            let of = match head.and_then(|r| r.before.as_ref()) {
                Some(RefTarget::Branch(name)) => format!("{BRANCH}{name}"),
                _ => on,
            };
            wanted.insert(of, Some(RefTarget::Commit(left)));
        }
        let renamed = Renamed::of(last);
        if let Some(renamed) = &renamed {
            // A branch that got another name may have grown since.
            wanted.insert(renamed.old.to_owned(), self.store.get_ref(renamed.new)?);
        }
        let response = self.set_refs(&Act {
            kind,
            wanted,
            description,
            target,
            of: Some(of),
            renamed: renamed.and_then(|r| r.branches()),
            dry_run: false,
        })?;
        Ok(match response {
            Response::OpDone(report) => match report.rollback {
                Some(rollback) => Response::Rollback(rollback),
                None => Response::Done(report.description),
            },
            other => other,
        })
    }

    /// What would move.
    fn ref_changes(&self, wanted: &Wanted) -> Result<Vec<RefChange>, Failure> {
        let mut out = Vec::new();
        for (name, after) in wanted {
            let before = self.store.get_ref(name)?;
            if before != *after {
                out.push(RefChange {
                    name: name.clone(),
                    before,
                    after: after.clone(),
                });
            }
        }
        Ok(out)
    }

    /// The branch that the workspace would be on, and its commit. Refused where that is nothing that it could be.
    fn end_of(&self, wanted: &Wanted) -> Result<(String, CommitId), Failure> {
        let mut refs = self.store.refs()?;
        for (name, target) in wanted {
            // What was collected since cannot be pointed at again.
            if let Some(RefTarget::Commit(id)) = target
                && (self.store.tomb(Gone::Commit(*id))?.is_some()
                    || self.store.commit(*id).is_err())
            {
                return Err(refused(format!(
                    "the state of {} then ({}) is not kept any more",
                    neutral(name.replacen('/', " ", 1).as_bytes()),
                    id.short()
                )));
            }
            match target {
                Some(target) => _ = refs.insert(name.clone(), target.clone()),
                None => _ = refs.remove(name),
            }
        }
        let branches: Vec<&str> = refs.keys().filter_map(|n| n.strip_prefix(BRANCH)).collect();
        let new = wanted
            .iter()
            .filter(|(_, target)| target.is_some())
            .filter_map(|(name, _)| name.strip_prefix(BRANCH));
        for name in new {
            if let Some(other) = branches.iter().find(|b| clash(b, name)) {
                return Err(refused(format!(
                    "{name} cannot be a branch beside the branch {other}: one would be a directory of the other"
                )));
            }
        }
        let on = match refs.get(HEAD) {
            Some(RefTarget::Branch(name)) => name.clone(),
            _ => rev::branch(&self.store)?,
        };
        match refs.get(&format!("{BRANCH}{on}")) {
            Some(RefTarget::Commit(commit)) => Ok((on, *commit)),
            _ if wanted.contains_key(HEAD) || rev::branch(&self.store)? != on => {
                Err(refused("nothing was recorded then".to_owned()))
            }
            _ => Err(refused(format!(
                "the branch {on} would go, and the workspace is on it: switch to another branch first; before the first checkpoint there is nothing to go back to"
            ))),
        }
    }

    /// Moves refs, with the workspace where its state changes, as one operation.
    fn set_refs(&self, act: &Act<'_>) -> Result<Response, Failure> {
        // Before anybody is disturbed.
        let (to, tip) = self.end_of(&act.wanted)?;
        let on = rev::branch(&self.store)?;
        if tip != self.answers().tip(&on)? {
            self.refuse_imported(tip)?;
        }
        let mut released = Vec::new();
        let changes = self.ref_changes(&act.wanted)?;
        let moving = changes.iter().filter(|c| c.before.is_some());
        let mut branches: Vec<&str> = moving.filter_map(|c| c.name.strip_prefix(BRANCH)).collect();
        if to != on && !branches.contains(&to.as_str()) {
            branches.push(&to);
        }
        for branch in branches.iter().filter(|b| **b != on) {
            self.refuse_used(branch)?;
            if !act.dry_run && self.store.get_ref(&format!("{BRANCH}{branch}"))?.is_some() {
                released.push(((*branch).to_owned(), self.fork_release(branch)?));
            }
        }
        // What forks held has become commits; where one goes that was not to move, its present end counts.
        let (to, tip) = self.end_of(&act.wanted)?;
        let changes = self.ref_changes(&act.wanted)?;
        if changes.is_empty() {
            return Err(refused("everything is as it was then already".to_owned()));
        }
        let here = self.answers().tip(&on)?;
        let moves_workspace = to != on || tip != here;
        let mut report = OpReport {
            dry_run: act.dry_run,
            description: act.description.to_owned(),
            refs: self.answers().ref_moves(changes.clone())?,
            rollback: None,
            operation: None,
        };
        if act.dry_run {
            if moves_workspace {
                let preview = self.preview(Some(tip), None)?;
                report.rollback = Some(Box::new(preview));
            }
            return Ok(Response::OpDone(Box::new(report)));
        }
        if let Some((from, to)) = &act.renamed {
            self.fork_renames(from, to)?;
        }
        if moves_workspace {
            let done = self.go(&Move {
                kind: act.kind,
                target: Some(tip),
                description: act.description,
                reverses: Some(act.target),
                keep_mtime: false,
                keep_frozen: false,
                of: act.of,
                switch: Some(Switch {
                    to,
                    make: false,
                    drop: false,
                    refs: Some(act.wanted.clone().into_iter().collect()),
                }),
                make: None,
            })?;
            report.operation = done.operation;
            report.rollback = Some(Box::new(done));
        } else {
            report.operation = self.with_refs_still(|| {
                let refs = self.ref_changes(&act.wanted)?;
                self.refs_moved(act.kind, act.description.to_owned(), refs, Some(act.target))
            })?;
        }
        match &act.renamed {
            Some((from, to)) => self.fork_renamed(from, to),
            None => {
                for (branch, was) in released {
                    if self.store.get_ref(&format!("{BRANCH}{branch}"))?.is_none()
                        && let Some(kept) = self.fork_drop(&branch, was)
                    {
                        self.warn(format!("{branch}: {kept}"));
                    }
                }
            }
        }
        self.tell_labels(&changes);
        self.tell_status();
        Ok(Response::OpDone(Box::new(report)))
    }

    /// Tells of the steps at which labels came or went.
    pub(super) fn tell_labels(&self, changes: &[RefChange]) {
        let labels = changes.iter().filter(|c| c.name.starts_with("label/"));
        for target in labels.flat_map(|c| [&c.before, &c.after]).flatten() {
            let step = match target {
                RefTarget::Step(id) => self.store.step(*id).ok().flatten(),
                RefTarget::Commit(id) => {
                    let link = self.store.link_of_commit(*id).ok().flatten();
                    link.and_then(|l| self.store.step(l.step).ok().flatten())
                }
                RefTarget::Branch(_) => None,
            };
            if let Some(step) = step {
                self.tell_row(&step);
            }
        }
    }
}

/// The refs that an intent of this room names, as they are to be moved now.
pub(super) fn refs_of(
    core: &Core,
    refs: &[(String, Option<RefTarget>)],
) -> Result<Vec<RefChange>, Failure> {
    core.ref_changes(&refs.iter().cloned().collect())
}
