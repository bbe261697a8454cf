//! Changing the workspace: rollback, and the rollback that an undo or redo comes to. Each is an operation, journaled, and
//! undone by another.
//!
//! The order of a rollback: ask the agents' cgroups to freeze; flush shared mappings; close the gate, so that mutating
//! requests are parked; answer what is parked until the agents stand still (a task that waits for us cannot freeze);
//! commit what is there; write the intent; write the files; move the refs; open the gate; make the kernel forget; let
//! the agents go on. Where there is no cgroup the gate alone keeps others' changes apart.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::capture::failpoint::point;
use crate::capture::journal::{Intent, Options, Switch};
use crate::capture::recorder::{Cut, Exclusive, Recorder};
use crate::capture::restore::{self, Applied, Plan, World};
use crate::debug::rev;
use crate::fs::Closed;
use crate::model::{Cause, CommitId, OpId, OpKind, RepoPath, SessionId, Status, StepKind, Time};
use crate::store::{Gone, NewOperation, Publication};

use super::api::{ApiError, ErrorCode, Resolved, RollbackReport, Switched};
use super::core::{Core, Failure};
use super::merging::merge_link;
use super::sessions::Sessions;
use super::timeline::Draft;

/// How long agents may take to stand still before a rollback goes on without.
const FREEZE: Duration = Duration::from_secs(2);

/// What a change of the workspace is to do.
pub(super) struct Move<'a> {
    /// What a person asked for.
    pub kind: OpKind,
    /// The state to go to; the one that is there (as the safety commit has it) when absent.
    pub target: Option<CommitId>,
    /// A line for people.
    pub description: &'a str,
    /// For undo and redo: the operation that is reversed or done again.
    pub reverses: Option<OpId>,
    /// Give files their old modification times.
    pub keep_mtime: bool,
    /// Leave the agents frozen.
    pub keep_frozen: bool,
    /// For undo and redo: what is reversed or done again.
    pub of: Option<OpKind>,
    /// The branch to go to.
    pub switch: Option<Switch>,
    /// Makes the state to go to, once nothing moves any more, of the commit that is left then. It must be in the store
    /// when this returns.
    pub make: Option<&'a Make<'a>>,
}

/// What makes the state to go to.
pub(super) type Make<'a> = dyn Fn(CommitId) -> Result<CommitId, Failure> + 'a;

/// Agents asked to stand still; they go on when this is dropped, whatever happened meanwhile.
struct Frozen<'a> {
    sessions: &'a Sessions,
    which: Vec<SessionId>,
    /// They are to stay frozen.
    stay: bool,
}

impl<'a> Frozen<'a> {
    fn ask(sessions: &'a Sessions) -> Self {
        Self {
            sessions,
            // Those on forks are not concerned.
            which: sessions.ask_freeze(Some(&sessions.in_workspace())),
            stay: false,
        }
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        if self.stay {
            self.sessions.keep_frozen(&self.which);
        } else {
            self.sessions.thaw(&self.which);
        }
    }
}

/// Which files are open, as far as the mount knows.
struct Open<'a>(&'a Core);

impl World for Open<'_> {
    fn open_count(&self, path: &RepoPath) -> usize {
        self.0.live().map_or(0, |l| l.view.open_count(path))
    }
}

impl Core {
    pub(super) fn rollback(
        &self,
        text: &str,
        dry_run: bool,
        keep_mtime: bool,
        keep_frozen: bool,
    ) -> Result<RollbackReport, Failure> {
        let _one = self.world();
        // Named before anything is cut: `@~1` and `10m ago` mean what the person saw.
        let named = rev::resolve(&self.store, &*self.store, text, Time::now())?;
        self.refuse_imported(named.commit)?;
        self.refuse_gone(named.commit)?;
        if dry_run {
            return self.preview(Some(named.commit), named.step);
        }
        let target = self.answers().resolved(named.commit, named.step)?;
        let to = target
            .step
            .map_or_else(|| named.commit.short(), |s| format!("step {s}"));
        let mut report = self.go(&Move {
            kind: OpKind::Rollback,
            target: Some(named.commit),
            description: &format!("rolled back to {to}"),
            reverses: None,
            keep_mtime,
            keep_frozen,
            of: None,
            switch: None,
            make: None,
        })?;
        report.target = target;
        Ok(report)
    }

    /// What going there would do; nowhere, when `commit` is absent.
    pub(super) fn preview(
        &self,
        commit: Option<CommitId>,
        step: Option<crate::model::Ordinal>,
    ) -> Result<RollbackReport, Failure> {
        // What is not committed yet will be half a second from now; without it the preview would not be exact.
        if let Some(commit) = commit {
            self.refuse_gone(commit)?;
        }
        self.cut(Cause::Safety, None, None)?;
        let recorder = self.scanned()?;
        let (head, tree) = recorder.head().ok_or(rev::Error::Empty)?;
        let target = self.answers().resolved(commit.unwrap_or(head), step)?;
        let plan = self.plan(&recorder, tree, target.tree)?;
        Ok(report(
            true,
            self.answers().resolved(head, None)?,
            target,
            plan,
            None,
        ))
    }

    /// Refuses a state whose content was let go. It may still be there, because another state has the same files or it
    /// was stored a moment ago, but nothing keeps it: a branch there would lose its files with the next collection.
    pub(super) fn refuse_gone(&self, commit: CommitId) -> Result<(), Failure> {
        let Some(tomb) = self.store.tomb(Gone::Commit(commit))? else {
            return Ok(());
        };
        Err(ApiError::new(
            ErrorCode::Refused,
            format!(
                "the content of {} is not kept any more ({} on {}): take another state, as `backtrail log` lists them",
                commit.short(),
                tomb.why.word(),
                tomb.time.local()
            ),
        )
        .into())
    }

    pub(super) fn plan(
        &self,
        recorder: &Recorder,
        from: crate::model::TreeId,
        to: crate::model::TreeId,
    ) -> Result<Plan, Failure> {
        let then = recorder.rules_then(to)?;
        Ok(restore::plan(&self.store, from, to, &|path, dir, size| {
            recorder.leaves_out(path, dir, size) || then.leaves_out(path, dir, size)
        })?)
    }

    /// Brings the workspace to a commit, as one operation. The caller holds [`Core::world`].
    pub(super) fn go(&self, mv: &Move<'_>) -> Result<RollbackReport, Failure> {
        // One that failed half-way is finished first; its intent says how.
        self.recover()?;
        if let Some(target) = mv.target {
            self.refuse_gone(target)?;
        }
        let recorder = self.scanned()?;
        // Most of what is there is committed before anything stands still, so that the stillness is short. News of the
        // real directory are waited for once, below.
        self.cut(Cause::Quiet, None, None)?;
        // The turn before the gate: a checkpoint under way may wait for requests that a closed gate would park.
        let mut report = self.timeline.ties.log.paused(|| {
            recorder.exclusive(|workspace| {
                let mut frozen = Frozen::ask(&self.sessions);
                if let Some(live) = self.live() {
                    self.flush(&live.view.writable());
                }
                let closed = self.gate.close();
                self.settle(&closed, &frozen.which);
                // Nothing is in flight now.
                self.settle_outside(&|f| f());
                let mut applied = Applied::default();
                let outcome = self.write(workspace, &recorder, mv, &mut applied);
                // Open first: the kernel cannot be told about a directory in which a request is still parked.
                drop(closed);
                self.forget(&applied);
                let mut report = outcome?;
                report.frozen = frozen.which.len();
                frozen.stay = mv.keep_frozen;
                Ok::<_, Failure>(report)
            })
        })?;
        report.of = mv.of;
        self.tell_status();
        Ok(report)
    }

    /// Answers what is parked until every agent stands still.
    fn settle(&self, closed: &Closed, asked: &[SessionId]) {
        if asked.is_empty() {
            return;
        }
        let patience = Instant::now();
        while !self.sessions.frozen(asked) {
            closed.answer_parked();
            if patience.elapsed() > FREEZE {
                self.warn("an agent did not stand still within 2 s; its changes were only held at the gate during the rollback".to_owned());
                break;
            }
            std::thread::sleep(Duration::from_micros(300));
        }
        closed.answer_parked();
    }

    fn write(
        &self,
        workspace: &Exclusive<'_>,
        recorder: &Arc<Recorder>,
        mv: &Move<'_>,
        out_applied: &mut Applied,
    ) -> Result<RollbackReport, Failure> {
        let ties = &self.timeline.ties;
        ties.begin();
        let safety = workspace.cut(Cut {
            cause: Cause::Safety,
            message: None,
            swap: &|f| {
                f();
                ties.log.swap(&HashSet::new());
            },
            flush: &|_| {},
            attribution: self.timeline.as_ref(),
            session: None,
        });
        ties.over(&safety);
        let safety = safety?;
        self.tell_made(&safety);
        let (head, tree) = recorder.head().ok_or(rev::Error::Empty)?;
        let target = match mv.make {
            Some(make) => make(head)?,
            None => mv.target.unwrap_or(head),
        };
        let to = self.store.commit(target)?.tree;
        let plan = self.plan(recorder, tree, to)?;
        let intent = Intent {
            operation: mv.kind,
            description: mv.description.to_owned(),
            branch: recorder.branch(),
            time: Time::now(),
            target: mv.reverses,
            from_commit: head,
            to_commit: target,
            options: Options {
                keep_mtime: mv.keep_mtime,
            },
            changes: plan.changes().to_vec(),
            switch: mv.switch.clone(),
        };
        self.still_there(&intent)?;
        *out_applied = restore::apply(
            &self.store,
            recorder.root().as_fd(),
            &self.journal,
            &intent,
            &Open(self),
        )?;
        let applied = &*out_applied;
        // From here on the files are those of the target. If the refs cannot follow (a full disk), the intent stays, and
        // the next change of the world or the next start finishes it.
        let operation = self.moved(&intent, head, mv.description)?;
        // Before the intent goes: whatever fails now, the recorder must know on which branch it is.
        workspace.adopt(target, to, &applied.touched)?;
        point("world.adopted");
        self.journal.done(&intent)?;
        // What stays although the plan names it is a change against the target, to be committed next.
        for path in applied
            .kept
            .iter()
            .map(|(p, _)| p)
            .chain(&applied.displaced)
        {
            recorder.outside(path);
        }
        let mut out = report(
            false,
            self.answers().resolved(head, None)?,
            self.answers().resolved(target, None)?,
            plan,
            Some(operation),
        );
        let elsewhere = mv.switch.as_ref().filter(|s| s.to != intent.branch);
        out.switched = elsewhere.map(|s| Switched {
            from: intent.branch.clone(),
            to: s.to.clone(),
        });
        // What could not be done was not done.
        let left: HashSet<&RepoPath> = applied.kept.iter().map(|(p, _)| p).collect();
        for done in [&mut out.restored, &mut out.removed, &mut out.modes] {
            done.retain(|path| !left.contains(path));
        }
        out.kept.extend(applied.kept.iter().cloned());
        Ok(out)
    }

    /// Moves the refs as `intent` says and records the operation with its marker in the timeline. `at` is where the branch
    /// is now.
    fn moved(&self, intent: &Intent, at: CommitId, description: &str) -> Result<OpId, Failure> {
        let time = Time::now();
        let mut step = self.timeline.step(Draft {
            session: None,
            kind: StepKind::Marker,
            native: String::new(),
            title: description.to_owned(),
            time,
        });
        step.state = Some(intent.to_commit);
        step.status = Status::Ok;
        let refs = self.refs_of(intent, at)?;
        // The commit that a merge or a restoring made is this step's; other states have steps of their own.
        let links = match intent.operation {
            OpKind::Merge => vec![merge_link(&step, intent.to_commit)],
            OpKind::Restore if intent.to_commit != intent.from_commit => {
                vec![merge_link(&step, intent.to_commit)]
            }
            _ => Vec::new(),
        };
        point("world.before-refs");
        let published = self.store.publish(Publication {
            commits: Vec::new(),
            operation: Some(NewOperation {
                kind: intent.operation,
                description: description.to_owned(),
                refs,
                target: intent.target,
                // What an undo is to bring back is what was there before anything was written.
                workspace: Some((intent.from_commit, intent.to_commit)),
                time,
            }),
            steps: vec![step.clone()],
            links,
        })?;
        point("world.refs-moved");
        self.tell_row(&step);
        let (seq, id) = published.operation.ok_or_else(|| {
            ApiError::new(ErrorCode::Failed, "the store did not record the operation")
        })?;
        self.tell_operation(seq, id);
        Ok(id)
    }

    /// Makes the kernel forget what the rollback replaced.
    fn forget(&self, applied: &Applied) {
        let Some(live) = self.live() else { return };
        for path in &applied.content {
            live.kernel.content(path);
        }
        for path in &applied.entries {
            live.kernel.entry(path);
        }
        live.kernel.settle();
    }

    /// At start: finishes what a crash interrupted. What is on disk has been committed before.
    pub(super) fn recover(&self) -> Result<(), Failure> {
        let Some(intent) = self.journal.pending()? else {
            return Ok(());
        };
        // What the user had saved in the last moment goes back to its name before anybody looks at the tree.
        let root = std::fs::File::open(&self.project.root).map_err(|e| {
            ApiError::new(
                ErrorCode::Failed,
                format!("cannot open {}: {e}", self.project.root.display()),
            )
        })?;
        restore::put_back(&self.store, root.as_fd(), &self.journal, &intent)?;
        let recorder = self.scanned()?;
        let done = recorder.exclusive(|workspace| -> Result<_, Failure> {
            let found =
                restore::recover(&self.store, recorder.root().as_fd(), &self.journal, &intent)?;
            let to = self.store.commit(intent.to_commit)?.tree;
            let (head, _) = recorder.head().ok_or(rev::Error::Empty)?;
            let touched: Vec<RepoPath> = intent.changes.iter().map(|c| c.path.clone()).collect();
            if !self.is_recorded(&intent)? {
                let description = format!("{} (interrupted, then finished)", intent.description);
                self.moved(&intent, head, &description)?;
                workspace.adopt(intent.to_commit, to, &touched)?;
            }
            self.journal.done(&intent)?;
            for path in &touched {
                recorder.outside(path);
            }
            Ok(found)
        })?;
        self.warn(format!(
            "{} was interrupted and has been finished: {} ({} paths set, {} were already, {} changed since and kept)",
            match (&intent.switch, intent.operation) {
                (Some(s), _) if s.refs.is_some() => "a change of the whole state",
                (Some(_), _) => "a switch",
                (None, OpKind::Merge) => "a merge",
                (None, OpKind::Restore) => "a restore",
                _ => "a rollback",
            },
            intent.description,
            done.finished.len(),
            done.already.len(),
            done.changed_since.len()
        ));
        self.cut(Cause::Found, None, None)?;
        Ok(())
    }

    /// Whether the operation of `intent` has reached the operation log, so that only its end was cut off.
    fn is_recorded(&self, intent: &Intent) -> Result<bool, Failure> {
        let mut before = None;
        loop {
            let page = self.store.operations(before, 64)?;
            for (_, _, op) in &page {
                if op.kind == intent.operation
                    && op.time >= intent.time
                    && op.workspace == Some((intent.from_commit, intent.to_commit))
                {
                    return Ok(true);
                }
            }
            match page.last() {
                Some((seq, _, op)) if op.time >= intent.time => before = Some(*seq),
                _ => return Ok(false),
            }
        }
    }
}

/// What a change of the workspace does or did.
pub(super) fn report(
    dry_run: bool,
    from: Resolved,
    target: Resolved,
    plan: Plan,
    operation: Option<OpId>,
) -> RollbackReport {
    RollbackReport {
        dry_run,
        target,
        from,
        restored: plan.restored,
        removed: plan.removed,
        modes: plan.modes,
        kept: plan.kept,
        operation,
        frozen: 0,
        of: None,
        switched: None,
    }
}
