//! Answers to questions over the commit graph and over the history of paths. Each is made of look-ups and range scans of
//! the store's index; no line of commits is walked further than what is asked for.

use std::collections::HashMap;

use crate::debug::history::Which;
use crate::debug::rev;
use crate::model::{CommitId, Entry, Ordinal, RepoPath, SessionId, Step, StepKind, Time};
use crate::store::{CommitNode, PathVersion};

use super::answer::{Answers, Reason, entry_info};
use super::api::{
    ApiError, ChangeOp, CommitInfo, ErrorCode, GraphAnswer, GraphQuery, LastChange, TraceInfo,
    VersionInfo,
};
use super::core::Failure;

/// Most commits or versions in one answer.
const MOST: usize = 5_000;
/// Most commits that are traced in one answer.
const DEPTH: usize = 200;
/// Most changes that are listed of one commit.
const CHANGES: usize = 300;
/// Most entries of a directory that are looked up.
const ENTRIES: usize = 20_000;
/// Steps that are looked through for a thought and a prompt: turns are short beside this.
const LOOKED: usize = 5_000;

/// Prompts of turns that were looked up already; `None` where it was not found.
type Prompts = HashMap<(Option<SessionId>, u32), Option<Reason>>;

impl Answers<'_> {
    /// Answers a question over the graph.
    pub fn graph(&self, query: GraphQuery) -> Result<GraphAnswer, Failure> {
        Ok(match query {
            GraphQuery::Leaves { before, limit } => {
                GraphAnswer::Commits(self.infos_of(self.store.leaves(before, limit.min(MOST))?)?)
            }
            GraphQuery::Lineage { rev, limit } => {
                let nodes = self
                    .store
                    .first_parents(self.named(&rev)?, limit.min(MOST))?;
                GraphAnswer::Commits(self.infos_of(nodes)?)
            }
            GraphQuery::Children { rev } => {
                let children = self.store.children(self.named(&rev)?)?;
                GraphAnswer::Commits(self.commit_infos(&children)?)
            }
            GraphQuery::Path {
                path,
                rev,
                before,
                limit,
            } => GraphAnswer::Versions(self.versions(&path, rev.as_deref(), before, limit)?),
            GraphQuery::Trace { rev, depth } => GraphAnswer::Trace(self.trace(&rev, depth)?),
            GraphQuery::LastChanges { rev, dir } => {
                GraphAnswer::LastChanges(self.last_changes(&rev, &dir)?)
            }
            GraphQuery::Blame { rev, path, force } => {
                GraphAnswer::Blame(Box::new(self.blame(&rev, &path, force)?))
            }
        })
    }

    pub(super) fn named(&self, text: &str) -> Result<CommitId, Failure> {
        Ok(rev::resolve(self.store, self.history, text, Time::now())?.commit)
    }

    fn infos_of(&self, nodes: Vec<CommitNode>) -> Result<Vec<CommitInfo>, Failure> {
        let names = self.names()?;
        nodes
            .into_iter()
            .map(|node| self.info(node, &names))
            .collect()
    }

    /// The step that made a commit.
    pub(super) fn step_of(&self, commit: CommitId) -> Result<Option<Step>, Failure> {
        Ok(match self.store.link_of_commit(commit)? {
            Some(link) => self.history.step(link.step)?,
            None => None,
        })
    }

    fn versions(
        &self,
        path: &RepoPath,
        rev: Option<&str>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>, Failure> {
        let limit = limit.min(MOST);
        let lineage = match rev {
            Some(rev) => Some(self.store.lineage(self.named(rev)?)?),
            None => None,
        };
        // One more: what a version did is seen beside the one before it.
        let versions = match &lineage {
            Some(of) => self.store.path_versions(path, of, before, limit + 1)?,
            None => self.store.path_history(path, before, limit)?,
        };
        let of: HashMap<CommitId, usize> = versions
            .iter()
            .enumerate()
            .map(|(i, v)| (v.commit, i))
            .collect();
        // Of a directory also what changed below it, in one order with what became of itself.
        let nodes = self.store.touched(path, lineage.as_ref(), before, limit)?;
        let names = self.names()?;
        nodes
            .into_iter()
            .map(|node| {
                let tree = node.commit.tree;
                let (op, after) = match of.get(&node.id).and_then(|i| Some((*i, versions.get(*i)?)))
                {
                    Some((i, version)) => {
                        let earlier = lineage.as_ref().map(|_| versions.get(i + 1));
                        let op = match earlier {
                            Some(earlier) => op_of(earlier, version.entry.as_ref()),
                            None => version.entry.is_none().then_some(ChangeOp::Delete),
                        };
                        (op, version.entry.clone())
                    }
                    None => (Some(ChangeOp::Modify), self.find(tree, path)?),
                };
                let step = self.step_of(node.id)?;
                Ok(VersionInfo {
                    commit: self.info(node, &names)?,
                    op,
                    after: after.map(|e| entry_info(path, &e)),
                    tool: step.as_ref().map(|s| s.tool.clone()).unwrap_or_default(),
                    title: step.map(|s| s.title).unwrap_or_default(),
                })
            })
            .collect()
    }

    fn last_changes(&self, rev: &str, dir: &RepoPath) -> Result<Vec<LastChange>, Failure> {
        let commit = self.named(rev)?;
        let lineage = self.store.lineage(commit)?;
        let root = self.store.commit(commit)?.tree;
        let tree = if dir.is_root() {
            Some(root)
        } else {
            self.find(root, dir)?.and_then(|e| e.kind.tree())
        };
        let tree = tree.ok_or_else(|| {
            ApiError::new(
                ErrorCode::NotFound,
                format!("{dir} is no directory at {rev}"),
            )
        })?;
        let paths: Vec<RepoPath> = self
            .store
            .tree(tree)?
            .entries
            .iter()
            .take(ENTRIES)
            .filter_map(|e| dir.join(&e.name).ok())
            .collect();
        let found = self.store.last_changes(&paths, &lineage)?;
        let mut known: HashMap<CommitId, (Option<Ordinal>, Time)> = HashMap::new();
        let mut out = Vec::with_capacity(paths.len());
        for (path, commit) in paths.into_iter().zip(found) {
            // What nothing tells of was there from the start.
            let Some(commit) = commit else { continue };
            let (step, time) = match known.get(&commit) {
                Some(known) => *known,
                None => {
                    let facts = (
                        self.workspace_step(Some(commit))?,
                        self.store.commit(commit)?.time,
                    );
                    known.insert(commit, facts);
                    facts
                }
            };
            out.push(LastChange {
                path,
                commit,
                step,
                time,
            });
        }
        Ok(out)
    }

    fn trace(&self, rev: &str, depth: usize) -> Result<Vec<TraceInfo>, Failure> {
        let nodes = self
            .store
            .first_parents(self.named(rev)?, depth.clamp(1, DEPTH))?;
        let names = self.names()?;
        let mut prompts = Prompts::new();
        let mut out = Vec::with_capacity(nodes.len());
        for node in nodes {
            let link = self.store.link_of_commit(node.id)?;
            let step = match &link {
                Some(link) => self.history.step(link.step)?,
                None => None,
            };
            let tree = node.commit.tree;
            let commit = self.info(node, &names)?;
            let mut effect = self.uncounted(self.parent_tree(&commit)?, tree)?;
            let changed = effect.len();
            effect.truncate(CHANGES);
            let mut one = TraceInfo {
                commit,
                prompt: None,
                thought: None,
                step: None,
                call: None,
                result: None,
                link,
                effect,
                changed,
            };
            if let Some(step) = step {
                (one.thought, one.prompt) = self.reasons_with(&step, &mut prompts)?;
                one.call = self.text_part(&step, Which::Body)?;
                one.result = self.text_part(&step, Which::Output)?;
                one.step = Some(Box::new(self.lone_row(&step, &names)?));
            }
            out.push(one);
        }
        Ok(out)
    }

    /// The nearest thought before `step` in its turn, and its turn's prompt; a turn's prompt is looked for once.
    fn reasons_with(
        &self,
        step: &Step,
        prompts: &mut Prompts,
    ) -> Result<(Option<Reason>, Option<Reason>), Failure> {
        if step.session.is_none() {
            return Ok((None, None));
        }
        let turn = (step.session, step.turn);
        let known = prompts.get(&turn).cloned();
        let (mut thought, mut prompt) = (None, known.clone().flatten());
        let mut before = step.ordinal;
        let mut looked = 0;
        let mut page_size = 32;
        'pages: while looked < LOOKED {
            let page = self.history.steps_before(Some(before), page_size)?;
            for earlier in page.iter().filter(|s| s.session == step.session) {
                if earlier.turn < step.turn {
                    break 'pages;
                }
                match earlier.kind {
                    StepKind::Thought if thought.is_none() && earlier.turn == step.turn => {
                        thought = Some(self.reason(earlier)?);
                    }
                    StepKind::Prompt => {
                        if known.is_none() {
                            prompt = Some(self.reason(earlier)?);
                        }
                        break 'pages;
                    }
                    _ => {}
                }
                if thought.is_some() && known.is_some() {
                    break 'pages;
                }
            }
            looked += page.len();
            match page.last() {
                Some(last) => before = last.ordinal,
                None => break,
            }
            page_size = 256;
        }
        prompts.entry(turn).or_insert_with(|| prompt.clone());
        Ok((thought, prompt))
    }
}

/// What a version did to the one before it; `None` when nothing tells.
fn op_of(earlier: Option<&PathVersion>, after: Option<&Entry>) -> Option<ChangeOp> {
    let before = earlier.and_then(|v| v.entry.as_ref());
    Some(match (before, after) {
        (None, None) => return None,
        (None, Some(_)) => ChangeOp::Create,
        (Some(_), None) => ChangeOp::Delete,
        (Some(x), Some(y)) if x.kind.word() != y.kind.word() => ChangeOp::Kind,
        (Some(x), Some(y)) if x.kind == y.kind && x.mode != y.mode => ChangeOp::Mode,
        _ => ChangeOp::Modify,
    })
}
