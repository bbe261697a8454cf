//! Finishing a merge: its commit, and the one operation that moves the branch to it.
//!
//! Into the workspace's branch it is done as a rollback is (`engine::world`: journal, safety commit, freeze, gate), only
//! that the state to go to is made at the moment when nothing moves: what was changed until then is in the safety commit,
//! which is ours then. Into another branch only the ref moves.
//!
//! A merge always makes a commit, also where theirs simply follows ours. On each branch the first parents are then the
//! states that this branch had: `@~1` after a merge is what was there before it, the log shows where the work of a fork
//! came in, and one undo takes all of it back. Had the branch been moved along instead, the steps of the fork would from
//! then on look like those of the workspace.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::picks::{Settling, refit};
use super::plan::{Plan, RESOLVES, STATE_OPEN, SettledState};
use super::record::Record;
use super::show::{conflict_infos, left_of};
use crate::capture::failpoint::point;
use crate::debug::rev;
use crate::diff::tree::PathChange;
use crate::engine::answer::file_changes;
use crate::engine::api::{ApiError, ConflictInfo, ErrorCode, FileChange, MergeReport};
use crate::engine::branches::moves;
use crate::engine::core::{Core, Failure};
use crate::engine::timeline::Draft;
use crate::engine::world::Move;
use crate::merge::objects::Objects;
use crate::model::{
    Cause, Commit, CommitId, Link, LinkRule, OpId, OpKind, RepoPath, Status, Step, StepKind, Time,
};
use crate::store::{self, NewCommit, NewOperation, Publication};

/// Picks that are listed in the commit's metadata.
const LISTED: usize = 500;
/// How often a merge into a branch is tried that moves meanwhile.
const TRIES: usize = 5;

/// How a merge is to be finished.
#[derive(Debug, Clone, Default)]
pub(super) struct How {
    pub message: Option<String>,
    pub keep_conflicts: bool,
}

/// A merge whose objects are in the store and whose commit is not yet.
struct Ready {
    id: CommitId,
    commit: NewCommit,
    ours: CommitId,
    fast_forward: bool,
    changes: Vec<FileChange>,
    unreviewed: Vec<RepoPath>,
    open: Vec<ConflictInfo>,
}

/// A pick as the commit tells it.
#[derive(serde::Serialize)]
struct Told<'a> {
    path: &'a RepoPath,
    #[serde(skip_serializing_if = "Option::is_none")]
    hunk: Option<usize>,
    pick: &'static str,
    by: String,
}

/// A proposal as the commit tells it.
#[derive(serde::Serialize)]
struct Proposed<'a> {
    path: &'a RepoPath,
    hunk: usize,
    model: &'a str,
    prompt_hash: &'a str,
    accepted: bool,
    tokens: (u64, u64),
}

/// What a finished merge is called.
pub(super) fn described(record: &Record) -> String {
    match record.resumed {
        None => format!("merged {} into {}", record.branch, record.into),
        Some(commit) => format!("settled conflicts of {}", commit.short()),
    }
}

impl Core {
    /// Finishes `record`. The caller holds the world.
    pub(super) fn finish_merge(
        &self,
        record: &Record,
        plan: &Arc<Plan>,
        how: &How,
    ) -> Result<MergeReport, Failure> {
        let on_workspace = rev::branch(&self.store)? == record.into;
        if !on_workspace {
            // Its view shows the commit that it stands on: nobody may be in it when the branch moves.
            self.fork_release(&record.into)?;
        }
        // Refused before anybody has to stand still.
        let first = self.ready(record, plan, how)?;
        let (ready, rollback, operation) = if on_workspace {
            let made = RefCell::new(first);
            let make = |head: CommitId| -> Result<CommitId, Failure> {
                let mut ready = made.borrow_mut();
                if ready.ours != head {
                    // What was changed until this moment is a side of it.
                    *ready = self.ready_over(record, head, how)?;
                }
                self.store.publish(Publication {
                    commits: vec![ready.commit.clone()],
                    ..Publication::default()
                })?;
                point("merge.commit-stored");
                Ok(ready.id)
            };
            let report = self.go(&Move {
                kind: OpKind::Merge,
                target: None,
                make: Some(&make),
                description: &described(record),
                reverses: None,
                keep_mtime: false,
                keep_frozen: false,
                of: None,
                switch: None,
            })?;
            let operation = report.operation;
            (made.into_inner(), Some(report), operation)
        } else {
            let (ready, operation) = self.move_branch(record, first, how)?;
            (ready, None, operation)
        };
        if let Some(counter) = self.counter.get() {
            counter.count(&[ready.id]);
        }
        point("merge.before-forgotten");
        self.forget_merge()?;
        self.tell_status();
        let infos = self.answers().commit_infos(&[ready.id])?;
        Ok(MergeReport {
            commit: infos.into_iter().next(),
            fast_forward: ready.fast_forward,
            up_to_date: false,
            into: record.into.clone(),
            branch: record.branch.clone(),
            changes: ready.changes,
            unreviewed: ready.unreviewed,
            open: ready.open,
            rollback,
            operation,
        })
    }

    /// The merge over another latest commit of its branch.
    fn ready_over(&self, record: &Record, ours: CommitId, how: &How) -> Result<Ready, Failure> {
        let plan = self.plan_of(record.resumed, ours, record.theirs)?;
        let mut record = record.clone();
        record.acts = refit(&record.acts, &plan);
        self.ready(&record, &plan, how)
    }

    /// Moves a branch that the workspace is not on.
    fn move_branch(
        &self,
        record: &Record,
        first: Ready,
        how: &How,
    ) -> Result<(Ready, Option<OpId>), Failure> {
        // What its fork holds comes first; it cannot be moved under an agent.
        self.fork_release(&record.into)?;
        let description = described(record);
        let mut ready = first;
        for _ in 0..TRIES {
            let time = Time::now();
            let step = self.marker(&description, ready.id, time);
            let published = self.store.publish(Publication {
                commits: vec![ready.commit.clone()],
                operation: Some(NewOperation {
                    kind: OpKind::Merge,
                    description: description.clone(),
                    refs: vec![moves(&record.into, Some(ready.ours), Some(ready.id))],
                    target: None,
                    workspace: None,
                    time,
                }),
                steps: vec![step.clone()],
                links: vec![merge_link(&step, ready.id)],
            });
            match published {
                Ok(published) => {
                    point("merge.ref-moved");
                    self.tell_row(&step);
                    if let Some((seq, id)) = published.operation {
                        self.tell_operation(seq, id);
                    }
                    return Ok((ready, published.operation.map(|(_, id)| id)));
                }
                Err(store::Error::RefMoved { .. }) => {
                    let tip = self.answers().tip(&record.into)?;
                    ready = self.ready_over(record, tip, how)?;
                }
                Err(e) => return Err(e.into()),
            }
        }
        Err(ApiError::new(
            ErrorCode::Refused,
            format!(
                "{} moves too quickly to be merged into: freeze what runs on it and try again",
                record.into
            ),
        )
        .into())
    }

    /// The step that stands for a merge in the timeline.
    fn marker(&self, title: &str, commit: CommitId, time: Time) -> Step {
        let mut step = self.timeline.step(Draft {
            session: None,
            kind: StepKind::Marker,
            native: String::new(),
            title: title.to_owned(),
            time,
        });
        step.state = Some(commit);
        step.status = Status::Ok;
        step
    }

    /// Makes the commit and puts everything that it names into the store. Refused with what is left.
    fn ready(&self, record: &Record, plan: &Plan, how: &How) -> Result<Ready, Failure> {
        let settling = Settling::of(&record.acts, plan);
        let mut settled = plan.settle(&self.store, &settling)?;
        let left = left_of(plan, &settled, &settling);
        if left > 0 && !how.keep_conflicts {
            return Err(refused_with(left, &settled.left).into());
        }
        let picks = settling.state_picks();
        let state_is_open = left > settled.left.len();
        if record.resumed.is_some()
            && left > 0
            && settling.files.is_empty()
            && settling.state.is_empty()
        {
            return Err(ApiError::new(
                ErrorCode::Refused,
                "nothing of it was settled: there is nothing to be kept",
            )
            .into());
        }
        let conflict = if settled.left.is_empty() {
            Vec::new()
        } else {
            plan.open_terms(&self.store, &mut settled, &settling)?
                .to_vec()
        };
        settled.made.keep(&self.store, settled.tree)?;
        for term in &conflict {
            settled.made.keep(&self.store, *term)?;
        }
        let state = match plan.state.with_ours(&picks) {
            SettledState::Kept(blob) => blob,
            SettledState::New(text) => Some(self.store.put_blob(text.as_bytes())?),
            SettledState::Left(_) => None,
        };
        let changes = plan.changes(&self.store, &settled)?;
        let over = settled.made.over(&*self.store);
        let told = file_changes(changes.clone(), &|blob| over.read_blob(blob))?;
        let infos = conflict_infos(plan, &settling, &settled.left);
        let unreviewed: Vec<RepoPath> = infos
            .iter()
            .filter(|c| c.unreviewed)
            .map(|c| c.path.clone())
            .collect();
        let mut meta = meta(record, plan, &settling, &unreviewed);
        if state_is_open
            && let Some(terms) = plan.state.terms()
            && let Ok(json) = serde_json::to_string(terms)
        {
            meta.insert(STATE_OPEN.to_owned(), json);
        }
        let parents = match record.resumed {
            Some(_) => vec![plan.ours],
            None => vec![plan.ours, plan.theirs],
        };
        let message = how.message.clone().or_else(|| record.message.clone());
        let commit = Commit {
            parents,
            tree: settled.tree,
            git: None,
            state,
            author: "person".to_owned(),
            session: None,
            time: Time::now(),
            cause: Cause::Merge,
            message: message.unwrap_or_else(|| described(record)),
            meta,
            conflict,
        };
        let paths = |c: &PathChange| (c.path.clone(), c.after.clone());
        Ok(Ready {
            id: store::commit_id(&commit),
            commit: NewCommit {
                commit,
                attrs: Vec::new(),
                paths: changes.iter().map(paths).collect(),
            },
            ours: plan.ours,
            fast_forward: plan.is_fast_forward(),
            changes: told,
            unreviewed,
            open: infos.into_iter().filter(|c| !c.done).collect(),
        })
    }
}

/// The tie between a merge's commit and its marker in the timeline.
pub(in crate::engine) fn merge_link(step: &Step, commit: CommitId) -> Link {
    Link {
        step: step.id,
        commit,
        rule: LinkRule::Asked,
        confidence: 100,
    }
}

fn refused_with(left: usize, files: &[crate::merge::resolve::Left]) -> ApiError {
    let mut names: Vec<String> = files.iter().take(5).map(|l| l.path.to_string()).collect();
    if files.len() < left {
        names.push("the agent's state".to_owned());
    }
    let more = files.len().saturating_sub(5);
    let more = match more {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let word = if left == 1 {
        "conflict is"
    } else {
        "conflicts are"
    };
    ApiError::new(
        ErrorCode::Refused,
        format!("{left} {word} not settled: {}{more}", names.join(", ")),
    )
}

/// What the commit tells of how it came about.
fn meta(
    record: &Record,
    plan: &Plan,
    settling: &Settling,
    unreviewed: &[RepoPath],
) -> BTreeMap<String, String> {
    let mut meta = BTreeMap::from([
        ("branch".to_owned(), record.into.clone()),
        ("merged".to_owned(), record.branch.clone()),
    ]);
    if let Some(commit) = record.resumed {
        meta.insert(RESOLVES.to_owned(), commit.to_hex());
    }
    let mut told = Vec::new();
    for (path, s) in &settling.files {
        if plan.conflict(path).is_none() {
            continue;
        }
        let whole = s.whole.iter().map(|p| (None, p));
        let hunks = s.hunks.iter().map(|(n, p)| (Some(*n), p));
        told.extend(whole.chain(hunks).map(|(hunk, (pick, origin))| Told {
            path,
            hunk,
            pick: pick_word(pick),
            by: by(origin),
        }));
    }
    told.truncate(LISTED);
    let mut put = |key: &str, json: serde_json::Result<String>| {
        if let Ok(json) = json {
            meta.insert(key.to_owned(), json);
        }
    };
    if !told.is_empty() {
        put("settled", serde_json::to_string(&told));
    }
    if !settling.state.is_empty() {
        let picks: Vec<(usize, &str, String)> = settling
            .state
            .iter()
            .take(LISTED)
            .map(|(n, (pick, origin))| (*n, pick_word(pick), by(origin)))
            .collect();
        put("settled-state", serde_json::to_string(&picks));
    }
    if !unreviewed.is_empty() {
        put("unreviewed", serde_json::to_string(unreviewed));
    }
    if !record.proposals.is_empty() {
        let shown: Vec<Proposed<'_>> = record
            .proposals
            .iter()
            .take(LISTED)
            .map(|p| Proposed {
                path: &p.path,
                hunk: p.hunk,
                model: &p.record.model,
                prompt_hash: &p.record.prompt_hash,
                accepted: p.record.accepted,
                tokens: p.record.tokens,
            })
            .collect();
        put("proposals", serde_json::to_string(&shown));
    }
    meta
}

fn pick_word(pick: &crate::merge::resolve::Pick) -> &'static str {
    use crate::merge::resolve::Pick;
    match pick {
        Pick::Ours => "ours",
        Pick::Theirs => "theirs",
        Pick::Both => "both",
        Pick::Base => "base",
        Pick::Edited(_) => "edited",
    }
}

fn by(origin: &crate::engine::api::PickOrigin) -> String {
    use crate::engine::api::PickOrigin;
    match origin {
        PickOrigin::Person => "person".to_owned(),
        PickOrigin::Rule => "rule".to_owned(),
        PickOrigin::Markers => "markers".to_owned(),
        PickOrigin::Llm {
            model,
            reviewed: true,
        } => format!("{model}, reviewed"),
        PickOrigin::Llm { model, .. } => format!("{model}, unreviewed"),
    }
}
