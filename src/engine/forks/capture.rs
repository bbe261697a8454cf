//! Commits of what changes in a fork: the rule of bursts, as in the workspace, and the checkpoint itself.
//!
//! A checkpoint closes the fork's own gate for as long as it takes to put what was changed into the store; nobody else
//! waits. Before it is published the note beside the view says where the view is going to stand, so that after a crash
//! between the two the view is known to be that of its branch.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::capture::beside::{Noted, Sealed};
use crate::capture::recorder::Made;
use crate::engine::api::{ApiError, ErrorCode};
use crate::engine::core::{Core, Failure};
use crate::engine::serve::{LAG, LONGEST_BURST, QUIET};
use crate::engine::timeline::Aside;
use crate::model::{Cause, SessionId, TreeId};
use crate::store;

use super::{Fork, lock};

/// How often a fork without news is looked at.
const LOOK: Duration = Duration::from_secs(1);

impl Core {
    /// Commits what has changed in the place where a session goes on: in its fork, or in the workspace.
    pub(in crate::engine) fn cut_for(
        &self,
        cause: Cause,
        session: Option<SessionId>,
    ) -> Result<Made, Failure> {
        match session.and_then(|s| self.timeline.place_of(s)) {
            Some(branch) => match self.forks.get(&branch) {
                Some(fork) => self.fork_cut(&fork, cause, session),
                // It is closed; what was in it has been committed.
                None => Ok(Made::default()),
            },
            None => self.cut(cause, None, session),
        }
    }

    /// Commits what has changed in the fork of a branch, if its view is open: while it is closed, all of it is committed.
    pub(in crate::engine) fn cut_fork(&self, branch: &str, cause: Cause) -> Result<(), Failure> {
        if let Some(fork) = self.forks.get(branch) {
            self.fork_cut(&fork, cause, None)?;
        }
        Ok(())
    }

    /// Commits what has changed in a fork.
    pub(super) fn fork_cut(
        &self,
        fork: &Fork,
        cause: Cause,
        session: Option<SessionId>,
    ) -> Result<Made, Failure> {
        self.fork_cut_how(fork, cause, session, None)
    }

    /// With `swapped`: for somebody who is about to write, and is told as soon as what comes from then on is not in it any
    /// more. Mappings are not written back then: the kernel may be holding the file that is about to be written.
    fn fork_cut_how(
        &self,
        fork: &Fork,
        cause: Cause,
        session: Option<SessionId>,
        swapped: Option<&dyn Fn()>,
    ) -> Result<Made, Failure> {
        let mut head = lock(&fork.head);
        if fork.is_over() {
            // Its view may be open anew, with a head of its own; what was in this one is committed.
            return Ok(Made::default());
        }
        let kernel = lock(&fork.kernel).clone();
        if let (None, Some(kernel)) = (swapped, kernel) {
            let open = fork.view.writable();
            for path in &open {
                kernel.flush_mapping(path);
            }
            if !open.is_empty() {
                kernel.settle();
            }
        }
        fork.ties.begin();
        let (noted, sealed) = {
            let _closed = fork.gate.close();
            let noted = fork.beside.take();
            fork.ties.log.swap(&HashSet::new());
            let sealed = self.seal(fork, &noted);
            (noted, sealed)
        };
        if let Some(swapped) = swapped {
            swapped();
        }
        let done = sealed.and_then(|tree| {
            if tree == head.tree {
                return Ok((Made::default(), tree));
            }
            let at = (head.commit, head.tree);
            let publish = |adrift| {
                fork.beside.publish(
                    &noted,
                    &mut Sealed {
                        cause,
                        session,
                        attribution: &Aside {
                            timeline: &self.timeline,
                            ties: &fork.ties,
                            branch: &fork.branch,
                        },
                        head: at,
                        tree,
                        attr: &|path| fork.view.side_facts(path),
                        before: &mut |id| {
                            fork.note(vec![at.0, id])
                                .write(&fork.dir)
                                .map_err(|e| e.message)
                        },
                        adrift,
                    },
                )
            };
            match publish(head.adrift) {
                Err(crate::capture::recorder::Error::Store(store::Error::RefMoved { .. })) => {
                    self.warn(format!(
                        "the branch {} was moved while its fork was open: what the fork holds from now on is kept as commits that are on no branch",
                        fork.branch
                    ));
                    head.adrift = true;
                    publish(true).map(|made| (made, tree))
                }
                other => other.map(|made| (made, tree)),
            }
            .map_err(Failure::from)
        });
        match done {
            Ok((made, tree)) => {
                if let Some(last) = made.commits.last() {
                    head.commit = *last;
                    head.tree = tree;
                    // From now on there only: a branch that is moved back is one that was moved.
                    if let Err(e) = fork.note(vec![*last]).write(&fork.dir) {
                        self.warn(format!("a fork's note could not be written: {e}"));
                    }
                }
                fork.ties.over(&Ok::<_, Failure>(made.clone()));
                drop(head);
                self.tell_made(&made);
                Ok(made)
            }
            Err(e) => {
                fork.beside.give_back(noted);
                fork.ties.log.over(false);
                Err(e)
            }
        }
    }

    /// What the view holds, with nothing in flight.
    fn seal(&self, fork: &Fork, noted: &Noted) -> Result<TreeId, Failure> {
        let seal = || {
            fork.view.seal().map_err(|e| {
                ApiError::new(
                    ErrorCode::Failed,
                    format!("what is in the fork of {} cannot be read: {e}", fork.branch),
                )
            })
        };
        let tree = seal()?;
        if !noted.has_rules() {
            return Ok(tree);
        }
        // By the rules that it now holds itself.
        fork.beside.set_rules(self.recorder()?.rules_then(tree)?);
        Ok(seal()?)
    }

    /// Cuts checkpoints as bursts end, until the fork is closed.
    fn fork_bursts(core: &Weak<Self>, fork: &Fork) {
        while !fork.is_over() {
            fork.beside.wait(LOOK);
            while let Some((first, last)) = fork.beside.burst() {
                let Some(core) = core.upgrade() else { return };
                if fork.is_over() {
                    return;
                }
                let now = Instant::now();
                let (quiet, limit) = (last + QUIET, first + LONGEST_BURST);
                let place = Some(fork.branch.as_str());
                let cause = if now >= limit {
                    if now >= quiet {
                        Cause::Quiet
                    } else {
                        Cause::Timer
                    }
                } else if core.work_is_over(place, &fork.ties, last) {
                    Cause::PostTool
                } else if now < quiet {
                    drop(core);
                    fork.beside.wait(quiet.min(limit) - now);
                    continue;
                } else if core.may_wait(place, &fork.ties, last, LONGEST_BURST) {
                    // The transcript lags behind.
                    drop(core);
                    fork.beside.wait(LAG.min(limit - now));
                    continue;
                } else {
                    Cause::Quiet
                };
                fork.touch();
                if let Err(e) = core.fork_cut(fork, cause, None) {
                    let e = ApiError::from(e);
                    core.warn(format!(
                        "a checkpoint on the fork of {} failed: {e}",
                        fork.branch
                    ));
                    core.tell_status();
                    drop(core);
                    // Disk full, say: do not spin on it.
                    std::thread::sleep(LONGEST_BURST);
                }
            }
        }
    }

    /// Starts what watches over an open fork.
    pub(super) fn fork_watch(self: &Arc<Self>, fork: &Arc<Fork>) -> std::io::Result<()> {
        let (core, watched) = (Arc::downgrade(self), Arc::clone(fork));
        std::thread::Builder::new()
            .name("fork".to_owned())
            .spawn(move || Self::fork_bursts(&core, &watched))?;
        let (core, watched) = (Arc::downgrade(self), Arc::downgrade(fork));
        // Of the log, which ends with the fork: so does this.
        let asked = fork.ties.log.cutter();
        std::thread::Builder::new()
            .name("fork-between".to_owned())
            .spawn(move || {
                while let Ok(between) = asked.recv() {
                    let (Some(core), Some(fork)) = (core.upgrade(), watched.upgrade()) else {
                        return;
                    };
                    // Who asked may have lost patience.
                    let swapped = || _ = between.swapped.send(());
                    if fork.ties.log.still_wanted(&between)
                        && let Err(e) = core.fork_cut_how(&fork, Cause::Quiet, None, Some(&swapped))
                    {
                        core.warn(format!(
                            "a checkpoint on the fork of {} failed: {e}",
                            fork.branch
                        ));
                    }
                    swapped();
                }
            })?;
        Ok(())
    }
}
