//! The ledger's changes as commits: the first holds every file as it was at the start, then one for each group.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::model::{
    Cause, Commit, CommitId, Link, LinkRule, OpKind, RefChange, RefTarget, StepId, Time, TreeId,
};
use crate::store::{self, NewCommit, NewOperation, Publication};

use super::ledger::{Group, GroupKind};
use super::{Effect, Rebuild, Result};

/// So many commits are published together: one sync for all of them.
const TOGETHER: usize = 1000;
/// The branch that they are on.
const BRANCH: &str = "main";
/// How sure an inferred change is tied to the step that was made for it.
const INFERRED: u8 = 90;

/// What settling made.
#[derive(Debug, Clone, Default)]
pub struct Settled {
    /// The new commits, in order, each with its step.
    pub commits: Vec<(CommitId, Option<StepId>)>,
    /// For each commit how many of [`Rebuild::groups`] it comes after, itself included; 0 for the first.
    pub groups: Vec<usize>,
    /// The changes that they hold.
    pub effects: Vec<Effect>,
}

impl Rebuild {
    /// Makes commits of all that was taken since the last time. Nothing about them changes any more.
    pub fn settle(&mut self) -> Result<Settled> {
        let first = self.settled_groups;
        let mut out = Settled::default();
        if self.head.is_none() {
            let new = self.initial()?;
            out.groups.push(0);
            self.publish(vec![new], Vec::new(), &mut out)?;
        }
        while self.settled_groups < self.groups.len() {
            let range =
                self.settled_groups..(self.settled_groups + TOGETHER).min(self.groups.len());
            self.settle_groups(range, &mut out)?;
        }
        out.effects = self.effects_from(first);
        Ok(out)
    }

    fn initial(&mut self) -> Result<NewCommit> {
        for file in &self.files {
            if let Some(path) = file.place.inside() {
                self.dirs.set(path, file.start);
            }
        }
        let paths = self
            .files
            .iter()
            .filter_map(|f| f.place.inside())
            .filter_map(|path| Some((path.clone(), Some(self.dirs.entry(path)?))))
            .collect();
        let tree = self.dirs.store(&self.store)?;
        Ok(NewCommit {
            commit: Commit {
                parents: Vec::new(),
                tree,
                git: None,
                state: None,
                author: self.options.agent.clone(),
                session: self.options.session,
                time: self.options.start,
                cause: Cause::Initial,
                message: "the files at the start, as far as the recording tells them".to_owned(),
                meta: BTreeMap::new(),
                conflict: Vec::new(),
            },
            attrs: Vec::new(),
            paths,
        })
    }

    fn settle_groups(&mut self, range: Range<usize>, out: &mut Settled) -> Result<()> {
        let mut commits = Vec::with_capacity(range.len());
        let mut links = Vec::with_capacity(range.len());
        let mut head = self.head;
        for at in range.clone() {
            let Some(group) = self.groups.get(at) else {
                continue;
            };
            let mut paths = Vec::with_capacity(group.ops.len());
            for op in &group.ops {
                let Some(op) = self.ops.get_mut(*op) else {
                    continue;
                };
                op.settled = true;
                if let Some(path) = self.files.get(op.file).and_then(|f| f.place.inside()) {
                    self.dirs.set(path, op.after);
                    paths.push((path.clone(), self.dirs.entry(path)));
                }
            }
            if paths.is_empty() {
                continue;
            }
            let tree = self.dirs.store(&self.store)?;
            let commit = self.commit(group, head.map(|(id, _)| id), tree);
            let id = store::commit_id(&commit);
            head = Some((id, tree));
            out.groups.push(at + 1);
            if let Some(step) = &group.step {
                let (rule, confidence) = match group.kind {
                    GroupKind::Told | GroupKind::Found => (LinkRule::Told, 100),
                    GroupKind::Outside => (LinkRule::Inferred, INFERRED),
                };
                links.push(Link {
                    step: step.id,
                    commit: id,
                    rule,
                    confidence,
                });
            }
            commits.push(NewCommit {
                commit,
                attrs: Vec::new(),
                paths,
            });
        }
        self.publish(commits, links, out)?;
        self.settled_groups = range.end;
        Ok(())
    }

    fn commit(&self, group: &Group, parent: Option<CommitId>, tree: TreeId) -> Commit {
        let (author, cause, message) = match group.kind {
            GroupKind::Told => (
                self.options.agent.clone(),
                Cause::PostTool,
                group
                    .step
                    .as_ref()
                    .map(|s| s.title.clone())
                    .unwrap_or_default(),
            ),
            GroupKind::Outside => (
                "outside".to_owned(),
                Cause::Found,
                group
                    .step
                    .as_ref()
                    .map(|s| s.title.clone())
                    .unwrap_or_default(),
            ),
            GroupKind::Found => (
                self.options.agent.clone(),
                Cause::Found,
                "contents that were there before and are told only now".to_owned(),
            ),
        };
        Commit {
            parents: parent.into_iter().collect(),
            tree,
            git: None,
            state: None,
            author,
            session: group
                .step
                .as_ref()
                .and_then(|s| s.session)
                .or(self.options.session),
            time: group.time,
            cause,
            message,
            meta: BTreeMap::new(),
            conflict: Vec::new(),
        }
    }

    /// Publishes commits that follow each other and moves the branch to the last.
    fn publish(
        &mut self,
        commits: Vec<NewCommit>,
        links: Vec<Link>,
        out: &mut Settled,
    ) -> Result<()> {
        let Some(last) = commits.last() else {
            return Ok(());
        };
        let head = (store::commit_id(&last.commit), last.commit.tree);
        let time = last.commit.time;
        let steps: BTreeMap<CommitId, StepId> = links.iter().map(|l| (l.commit, l.step)).collect();
        let operation = self.operation(head.0, time)?;
        let published = self.store.publish(Publication {
            commits,
            operation,
            steps: Vec::new(),
            links,
        })?;
        self.head = Some(head);
        out.commits.extend(
            published
                .commits
                .into_iter()
                .map(|id| (id, steps.get(&id).copied())),
        );
        Ok(())
    }

    fn operation(&self, to: CommitId, time: Time) -> Result<Option<NewOperation>> {
        let name = format!("branch/{BRANCH}");
        let before = self.store.get_ref(&name)?;
        let after = Some(RefTarget::Commit(to));
        let mut refs = Vec::new();
        if before != after {
            refs.push(RefChange {
                name,
                before,
                after,
            });
        }
        if self.store.get_ref("head")?.is_none() {
            refs.push(RefChange {
                name: "head".to_owned(),
                before: None,
                after: Some(RefTarget::Branch(BRANCH.to_owned())),
            });
        }
        Ok((!refs.is_empty()).then(|| NewOperation {
            kind: OpKind::Import,
            description: "read from a recording".to_owned(),
            refs,
            target: None,
            workspace: None,
            time,
        }))
    }
}
