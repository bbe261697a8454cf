//! The commits of a checkpoint: one for each group, the last with the state that was found, published together with
//! the operation that moves the branch.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::cut::{How, Made, Notes};
use super::dirty::Mark;
use super::error::Result;
use super::group::{self, Share, Touched};
use super::recorder::Recorder;
use crate::diff;
use crate::model::{
    Cause, Commit, CommitId, Link, OpKind, RefChange, RefTarget, RepoPath, Time, TreeId, Writer,
};
use crate::store::{self, NewCommit, NewOperation, Publication};

impl Recorder {
    /// Publishes what differs between the head's tree `base` and `tree`.
    pub(super) fn commit(
        &self,
        marks: &BTreeMap<RepoPath, Mark>,
        notes: &Notes,
        head: Option<(CommitId, TreeId)>,
        base: TreeId,
        tree: TreeId,
        how: &How<'_>,
    ) -> Result<Made> {
        let changes = diff::tree::trees(&self.store, base, tree, &[])?;
        let shares = self.shares(changes, marks, notes, how);
        let time = Time::now();
        let mut publication = Publication::default();
        let mut made = Made::default();
        let mut parent = head.map(|(id, _)| id);
        // What the agent knew goes on until it says something else.
        let known = match head {
            Some((id, _)) => self.store.commit(id)?.state,
            None => None,
        };
        let mut state_before = base;
        let last = shares.len() - 1;
        for (i, share) in shares.into_iter().enumerate() {
            let state = if i == last {
                tree
            } else {
                group::edit(&self.store, state_before, &share.changes)?
            };
            let mut new = self.new_commit(&share, parent, state, i == last, time, how);
            new.commit.state = how.state.filter(|_| i == last).or(known);
            let id = store::commit_id(&new.commit);
            how.attribution.made(id, &new);
            let link = |step, rule, confidence| Link {
                step,
                commit: id,
                rule,
                confidence,
            };
            if let Some((step, rule, sure)) = share.group.step {
                made.links.push(link(step, rule, sure));
            } else if let Some((step, rule, sure)) =
                how.attribution.step_for(&share.group, id, &new, how.cause)
            {
                made.links.push(link(step.id, rule, sure));
                made.steps.push(step);
            }
            publication.commits.push(new);
            parent = Some(id);
            state_before = state;
        }
        let Some(id) = parent else {
            return Ok(made);
        };
        publication.steps.clone_from(&made.steps);
        publication.links.clone_from(&made.links);
        publication.operation = Some(self.operation(head, id, publication.commits.len(), time)?);
        let published = self.store.publish(publication)?;
        self.state().head = Some((id, tree));
        made.commits = published.commits;
        made.operation = published.operation;
        Ok(made)
    }

    /// Whose changes these are; always at least one share.
    fn shares(
        &self,
        changes: Vec<diff::tree::PathChange>,
        marks: &BTreeMap<RepoPath, Mark>,
        notes: &Notes,
        how: &How<'_>,
    ) -> Vec<Share> {
        // The first state has one origin, and so has a commit that only carries a message.
        if changes.is_empty() || how.cause == Cause::Initial {
            let writers = match how.cause {
                Cause::Initial => vec![Writer::outside()],
                _ => Vec::new(),
            };
            return vec![Share {
                group: how.attribution.group(&RepoPath::root(), None, &writers),
                changes,
                writers: Vec::new(),
            }];
        }
        let touched = Touched {
            marks,
            rules: &notes.rule_writers,
        };
        group::split(changes, &touched, how.attribution)
    }

    fn new_commit(
        &self,
        share: &Share,
        parent: Option<CommitId>,
        tree: TreeId,
        last: bool,
        time: Time,
        how: &How<'_>,
    ) -> NewCommit {
        // A commit may later be on several branches, or on none: on which it was made is kept in it.
        let mut meta = BTreeMap::from([("branch".to_owned(), self.branch())]);
        if !share.writers.is_empty()
            && let Ok(json) = serde_json::to_string(&share.writers)
        {
            meta.insert("writers".to_owned(), json);
        }
        let workspace = self
            .workspace
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let attrs = share
            .changes
            .iter()
            .filter(|c| c.after.is_some())
            .filter_map(|c| workspace.attr(&c.path))
            .collect();
        NewCommit {
            commit: Commit {
                parents: parent.into_iter().collect(),
                tree,
                git: None,
                state: None,
                author: share.group.author.clone(),
                session: share.group.session.or(how.session),
                time,
                cause: how.cause,
                message: match &how.message {
                    Some(message) if last => message.clone(),
                    _ => String::new(),
                },
                meta,
                conflict: Vec::new(),
            },
            attrs,
            paths: share
                .changes
                .iter()
                .map(|c| (c.path.clone(), c.after.clone()))
                .collect(),
        }
    }

    /// The operation that moves the branch to `to`.
    fn operation(
        &self,
        head: Option<(CommitId, TreeId)>,
        to: CommitId,
        commits: usize,
        time: Time,
    ) -> Result<NewOperation> {
        let branch = self.branch();
        let mut refs = vec![RefChange {
            name: format!("branch/{branch}"),
            before: head.map(|(id, _)| RefTarget::Commit(id)),
            after: Some(RefTarget::Commit(to)),
        }];
        let at = self.store.get_ref("head")?;
        let (kind, description) = if at.is_none() {
            refs.push(RefChange {
                name: "head".to_owned(),
                before: None,
                after: Some(RefTarget::Branch(branch.clone())),
            });
            (OpKind::Init, format!("began to record on {branch}"))
        } else if commits == 1 {
            (OpKind::Checkpoint, format!("checkpoint on {branch}"))
        } else {
            (
                OpKind::Checkpoint,
                format!("checkpoint on {branch}: {commits} commits"),
            )
        };
        Ok(NewOperation {
            kind,
            description,
            refs,
            target: None,
            workspace: None,
            time,
        })
    }
}
