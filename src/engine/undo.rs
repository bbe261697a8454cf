//! Undo and redo. Each reverses the operation that last did (or undid) a thing: its refs go back to where it found them,
//! and the workspace to the commit that it left. So undo and redo are each other's reverse, whatever was captured between
//! them.
//!
//! Operations are reversed in order, newest first. What captures (checkpoints, imports) is never reversed, and so a branch
//! may have grown since an operation made, renamed or removed it: then the branch's present end counts, never the recorded
//! one, or commits would fall off it.

use std::collections::HashMap;

use crate::model::{OpId, OpKind, Operation, RefChange, Time};
use crate::store::{NewOperation, Publication};

use super::api::{ApiError, ErrorCode, Response};
use super::core::{Core, Failure};
use super::forks::Released;
use super::world::Move;

/// An operation that can be reversed.
struct Standing {
    id: OpId,
    /// What a person asked for.
    asked: Operation,
    /// What did or undid it last: the operation itself, or an undo or redo of it.
    last: Operation,
}

impl Core {
    pub(super) fn undo(&self) -> Result<Response, Failure> {
        let _one = self.world();
        // What was left half-way is the newest operation once it is finished.
        self.recover()?;
        let it = self
            .standing()?
            .0
            .ok_or_else(|| ApiError::new(ErrorCode::Refused, "there is nothing to undo"))?;
        self.reverse(OpKind::Undo, &it)
    }

    /// Passes over what undo would reverse next, which stays as it is: what was done before it can be undone then.
    pub(super) fn undo_skip(&self) -> Result<Response, Failure> {
        let _one = self.world();
        self.recover()?;
        let it = self
            .standing()?
            .0
            .ok_or_else(|| ApiError::new(ErrorCode::Refused, "there is nothing to undo"))?;
        let description = format!("passed over: {}", it.asked.description);
        self.refs_moved(OpKind::Undo, description.clone(), Vec::new(), Some(it.id))?;
        Ok(Response::Done(description))
    }

    pub(super) fn redo(&self) -> Result<Response, Failure> {
        let _one = self.world();
        // What was left half-way is the newest operation once it is finished.
        self.recover()?;
        let it = self
            .standing()?
            .1
            .ok_or_else(|| ApiError::new(ErrorCode::Refused, "there is nothing to redo"))?;
        self.reverse(OpKind::Redo, &it)
    }

    fn reverse(&self, kind: OpKind, it: &Standing) -> Result<Response, Failure> {
        let word = if kind == OpKind::Undo {
            "undid"
        } else {
            "did again"
        };
        let description = format!("{word}: {}", it.asked.description);
        if it.last.kind == OpKind::Undo && passes_over(&it.last) {
            let description = format!("no longer passed over: {}", it.asked.description);
            self.refs_moved(kind, description.clone(), Vec::new(), Some(it.id))?;
            return Ok(Response::Done(description));
        }
        if matches!(it.asked.kind, OpKind::OpRestore | OpKind::OpRevert) {
            return self.reverse_refs(kind, it.id, it.asked.kind, &it.last, &description);
        }
        if let Some((left, _)) = it.last.workspace {
            let way = self.way_back(&it.last)?;
            let target = way.as_ref().map_or(left, |(_, tip)| *tip);
            return Ok(Response::Rollback(Box::new(self.go(&Move {
                kind,
                target: Some(target),
                description: &description,
                reverses: Some(it.id),
                keep_mtime: false,
                keep_frozen: false,
                of: Some(it.asked.kind),
                switch: way.map(|(switch, _)| switch),
                make: None,
            })?)));
        }
        let mut forks = Vec::new();
        let mut reverse = || {
            let refs = self.reversed(&it.last, &mut forks)?;
            self.refs_moved(kind, description.clone(), refs, Some(it.id))
        };
        if it.last.refs.iter().all(|r| r.name.starts_with("label/")) {
            reverse()?;
            self.tell_labels(&it.last.refs);
        } else {
            self.with_refs_still(reverse)?;
            self.forks_follow(&it.last, forks)?;
            self.tell_status();
        }
        Ok(Response::Done(description))
    }

    /// After `op` was reversed: the views of branches that have another name go along, those of branches that are gone go.
    fn forks_follow(&self, op: &Operation, forks: Vec<(String, Released)>) -> Result<(), Failure> {
        let bare = |name: &str| name.strip_prefix("branch/").map(str::to_owned);
        if let Some(renamed) = Renamed::of(op) {
            if let (Some(old), Some(new)) = (bare(renamed.old), bare(renamed.new)) {
                self.fork_renamed(&new, &old);
            }
            return Ok(());
        }
        for (branch, was) in forks {
            if self.store.get_ref(&format!("branch/{branch}"))?.is_none()
                && let Some(kept) = self.fork_drop(&branch, was)
            {
                self.warn(format!("{branch}: {kept}"));
            }
        }
        Ok(())
    }

    /// The moves of refs that take back those of `op`. `forks`: what became of the forks of its branches.
    fn reversed(
        &self,
        op: &Operation,
        forks: &mut Vec<(String, Released)>,
    ) -> Result<Vec<RefChange>, Failure> {
        let renamed = Renamed::of(op);
        let mut refs = Vec::new();
        // First: for what cannot be reversed no fork is closed.
        for change in op.refs.iter().filter(|c| c.name.starts_with("branch/")) {
            self.reversible(op, change)?;
        }
        // What forks hold becomes commits before their branches move.
        for change in &op.refs {
            if let Some(branch) = change.name.strip_prefix("branch/")
                && self.store.get_ref(&change.name)?.is_some()
            {
                forks.push((branch.to_owned(), self.fork_release(branch)?));
            }
        }
        if let Some(renamed) = &renamed
            && let Some(new) = renamed.new.strip_prefix("branch/")
            && let Some(old) = renamed.old.strip_prefix("branch/")
        {
            self.fork_renames(new, old)?;
        }
        for change in op.refs.iter().rev() {
            let now = self.store.get_ref(&change.name)?;
            let mut after = change.before.clone();
            if change.name.starts_with("branch/") {
                // Again: what the fork held has become commits.
                self.reversible(op, change)?;
                if let Some(renamed) = &renamed
                    && renamed.old == change.name
                {
                    after = self.store.get_ref(renamed.new)?;
                }
            }
            refs.push(RefChange {
                name: change.name.clone(),
                before: now,
                after,
            });
        }
        Ok(refs)
    }

    /// Refuses what would take commits off a branch, or undo what somebody else has done to it since.
    pub(super) fn reversible(&self, op: &Operation, change: &RefChange) -> Result<(), Failure> {
        let now = self.store.get_ref(&change.name)?;
        if now.is_some() != change.after.is_some() {
            let word = if now.is_some() {
                "is there again"
            } else {
                "is gone"
            };
            return Err(ApiError::new(
                ErrorCode::Refused,
                format!(
                    "{} {word}, so this cannot be reversed: {}; let it be and undo what was done before it, after `backtrail undo --skip`",
                    change.name, op.description
                ),
            )
            .into());
        }
        // A branch that an operation moved has gone on: what came since must not fall off it.
        if change.before.is_some() && change.after.is_some() && now != change.after {
            return Err(ApiError::new(
                        ErrorCode::Refused,
                        format!(
                            "{} has gone on since, so this cannot be reversed: {}; make a branch where it was instead, or let it be and undo what was done before it, after `backtrail undo --skip`",
                            change.name, op.description
                        ),
                    )
                    .into());
        }
        Ok(())
    }

    /// Runs `f` while no checkpoint moves the branch that the workspace is on, and lets the recorder read afterwards
    /// which branch that is.
    pub(super) fn with_refs_still<T>(
        &self,
        f: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self.recording() {
            // Nobody captures here.
            None => f(),
            Some(recorder) => recorder.exclusive(|workspace| {
                let done = f();
                workspace.refs_moved()?;
                done
            }),
        }
    }

    /// Publishes an operation that moves refs only.
    pub(super) fn refs_moved(
        &self,
        kind: OpKind,
        description: String,
        refs: Vec<RefChange>,
        target: Option<OpId>,
    ) -> Result<Option<OpId>, Failure> {
        let published = self.store.publish(Publication {
            commits: Vec::new(),
            operation: Some(NewOperation {
                kind,
                description,
                refs,
                target,
                workspace: None,
                time: Time::now(),
            }),
            steps: Vec::new(),
            links: Vec::new(),
        })?;
        if let Some((seq, id)) = published.operation {
            self.tell_operation(seq, id);
        }
        Ok(published.operation.map(|(_, id)| id))
    }

    /// What undo would reverse, and what redo would.
    fn standing(&self) -> Result<(Option<Standing>, Option<Standing>), Failure> {
        // The newest word on an operation counts.
        let mut last: HashMap<OpId, Operation> = HashMap::new();
        let mut to_redo = None;
        let mut before = None;
        loop {
            let page = self.store.operations(before, 256)?;
            let Some((seq, _, _)) = page.last() else {
                return Ok((None, to_redo));
            };
            before = Some(*seq);
            for (_, id, op) in page {
                match op.kind {
                    OpKind::Checkpoint | OpKind::Init | OpKind::Gc | OpKind::Import => {}
                    OpKind::Undo | OpKind::Redo => {
                        let Some(target) = op.target else { continue };
                        if let Some(word) = last.get_mut(&target) {
                            // It was passed over and is no longer: what did it before that counts.
                            if word.kind == OpKind::Redo && passes_over(word) && !passes_over(&op) {
                                *word = op;
                            }
                            continue;
                        }
                        if op.kind == OpKind::Undo && to_redo.is_none() {
                            let (_, asked) = self.store.operation(target)?;
                            to_redo = Some(Standing {
                                id: target,
                                asked,
                                last: op.clone(),
                            });
                        }
                        last.insert(target, op);
                    }
                    _ => match last.remove(&id) {
                        Some(word) if word.kind == OpKind::Undo => {}
                        word => {
                            let to_undo = Standing {
                                id,
                                last: word
                                    .filter(|word| !passes_over(word))
                                    .unwrap_or_else(|| op.clone()),
                                asked: op,
                            };
                            return Ok((Some(to_undo), to_redo));
                        }
                    },
                }
            }
        }
    }
}

/// Whether an undo or redo is one that changed nothing: what it names was only passed over, or is no longer.
fn passes_over(word: &Operation) -> bool {
    word.refs.is_empty() && word.workspace.is_none()
}

/// A branch that an operation gave another name: gone under one, there under another, at the same commit.
pub(super) struct Renamed<'a> {
    pub old: &'a str,
    pub new: &'a str,
}

impl<'a> Renamed<'a> {
    pub(super) fn of(op: &'a Operation) -> Option<Self> {
        let branches = || op.refs.iter().filter(|r| r.name.starts_with("branch/"));
        let mut gone = branches().filter(|r| r.after.is_none());
        let mut new = branches().filter(|r| r.before.is_none());
        let pair = (gone.next()?, new.next()?);
        let alone = gone.next().is_none() && new.next().is_none();
        (alone && pair.0.before == pair.1.after).then_some(Self {
            old: &pair.0.name,
            new: &pair.1.name,
        })
    }

    /// The branch's new name and its old one.
    pub(super) fn branches(&self) -> Option<(String, String)> {
        let bare = |name: &str| name.strip_prefix("branch/").map(str::to_owned);
        Some((bare(self.new)?, bare(self.old)?))
    }
}
