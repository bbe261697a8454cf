//! Switching: the workspace goes to another branch. It is done as a rollback is (the same journal, safety commit, freeze
//! and gate), only that the ref `head` moves instead of a branch: the one that is left stays at its safety commit.
//!
//! A crash in the middle leaves a mixture, which the next start commits on the branch that was about to be left, as it does
//! with everything it finds. When the switch is then finished, that branch goes back to its safety commit, and what was
//! found stays in the graph beside it.

use crate::capture::journal::{Intent, Switch};
use crate::debug::rev;
use crate::model::{CommitId, OpKind, Operation, RefChange, RefTarget, neutral};

use super::api::{ApiError, ErrorCode, Response, Switched};
use super::branches::moves;
use super::core::{Core, Failure};
use super::ops;
use super::world::Move;

const HEAD: &str = "head";

impl Core {
    pub(super) fn switch(
        &self,
        name: &str,
        create: bool,
        dry_run: bool,
    ) -> Result<Response, Failure> {
        let _one = self.world();
        // One that failed half-way may end on another branch.
        self.recover()?;
        let from = rev::branch(&self.store)?;
        let target = if create {
            self.free_name(name, None)?;
            None
        } else {
            self.answers().tip(name)?;
            if from != name {
                self.let_go_for_workspace(name, dry_run)?;
            }
            let tip = self.answers().tip(name)?;
            self.refuse_imported(tip)?;
            Some(tip)
        };
        if from == name {
            return Ok(Response::Done(format!(
                "the workspace is on {name} already"
            )));
        }
        let switch = Switch {
            to: name.to_owned(),
            make: create,
            drop: false,
            refs: None,
        };
        let report = if dry_run {
            let mut report = self.preview(target, None)?;
            report.switched = Some(Switched {
                from,
                to: switch.to,
            });
            report
        } else {
            self.go(&Move {
                kind: OpKind::Switch,
                target,
                description: &format!("switched from {from} to {name}"),
                reverses: None,
                keep_mtime: false,
                keep_frozen: false,
                of: None,
                switch: Some(switch),
                make: None,
            })?
        };
        Ok(Response::Rollback(Box::new(report)))
    }

    /// The workspace is to go to a branch: its fork may not be in use, and what it holds is committed.
    fn let_go_for_workspace(&self, branch: &str, dry_run: bool) -> Result<(), Failure> {
        if dry_run {
            self.refuse_used(branch)?;
        } else {
            self.fork_release(branch)?;
        }
        Ok(())
    }

    /// The way back over a switch that `op` made, and the commit to go to: the tip of the branch that it left, which may
    /// have grown since. `None` where it did not leave its branch.
    pub(super) fn way_back(&self, op: &Operation) -> Result<Option<(Switch, CommitId)>, Failure> {
        let head = op.refs.iter().find(|r| r.name == HEAD);
        let Some((Some(RefTarget::Branch(to)), Some(RefTarget::Branch(left)))) =
            head.map(|r| (&r.before, &r.after))
        else {
            return Ok(None);
        };
        let on = rev::branch(&self.store)?;
        if on != *left {
            return Err(ApiError::new(
                ErrorCode::Refused,
                format!(
                    "the workspace is on {on} now, not on {left}, so this cannot be reversed: {}",
                    op.description
                ),
            )
            .into());
        }
        let of = |name: &str| {
            let name = format!("branch/{name}");
            op.refs.iter().find(move |r| r.name == name)
        };
        let dropped = of(to).filter(|r| r.after.is_none());
        let (make, tip) = match dropped.and_then(|r| r.before.as_ref()) {
            Some(RefTarget::Commit(tip)) => {
                self.free_name(to, Some(left))?;
                (true, *tip)
            }
            _ => {
                self.answers().tip(to)?;
                self.let_go_for_workspace(to, false)?;
                (false, self.answers().tip(to)?)
            }
        };
        let switch = Switch {
            to: to.clone(),
            make,
            drop: of(left).is_some_and(|r| r.before.is_none()),
            refs: None,
        };
        Ok(Some((switch, tip)))
    }

    /// Refuses to begin when the branch that `intent` goes to is not where it was when that was asked for.
    pub(super) fn still_there(&self, intent: &Intent) -> Result<(), Failure> {
        // What moves many refs looks at them in the turn in which it publishes.
        let Some(switch) = intent.switch.as_ref().filter(|s| s.refs.is_none()) else {
            return Ok(());
        };
        let now = self.store.get_ref(&format!("branch/{}", switch.to))?;
        let wanted = (!switch.make).then_some(RefTarget::Commit(intent.to_commit));
        if now == wanted {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorCode::Refused,
            format!(
                "the branch {} moved just now: try again",
                neutral(switch.to.as_bytes())
            ),
        )
        .into())
    }

    /// How the refs move when `intent` is done. `at` is where its branch is now: beyond the safety commit, if something was
    /// committed after a crash.
    pub(super) fn refs_of(&self, intent: &Intent, at: CommitId) -> Result<Vec<RefChange>, Failure> {
        let Some(switch) = &intent.switch else {
            return Ok(vec![moves(
                &intent.branch,
                Some(at),
                Some(intent.to_commit),
            )]);
        };
        if let Some(refs) = &switch.refs {
            return ops::refs_of(self, refs);
        }
        let mut refs = Vec::new();
        let stays = (!switch.drop).then_some(intent.from_commit);
        if stays != Some(at) {
            refs.push(moves(&intent.branch, Some(at), stays));
        }
        // Whatever the intent says, there must be such a branch afterwards: a recovery has no second way to end.
        let tip = self.answers().tips()?.get(&switch.to).copied();
        if tip.is_none() || switch.make {
            refs.push(moves(&switch.to, tip, Some(intent.to_commit)));
        }
        refs.push(RefChange {
            name: HEAD.to_owned(),
            before: self.store.get_ref(HEAD)?,
            after: Some(RefTarget::Branch(switch.to.clone())),
        });
        Ok(refs)
    }
}
