//! Why each side of a conflict is as it is: the commits that touched its path since the sides parted, with the steps,
//! thoughts and prompts behind them.

use std::collections::{BTreeSet, HashSet};

use super::plan::Plan;
use crate::debug::ancestry;
use crate::engine::api::Reason;
use crate::engine::core::{Core, Failure};
use crate::merge::conflict::Conflict;
use crate::model::{CommitId, Ordinal, RepoPath};

/// Most reasons that are told of a side.
const TOLD: usize = 20;
/// Versions of a path that are looked at in one go, and in all.
const PAGE: usize = 256;
const LOOKED_AT: usize = 8_192;
/// Longest thought or prompt that is told, in bytes.
const TEXT: usize = 4 << 10;

impl Core {
    /// The reasons of ours and of theirs.
    pub(super) fn conflict_reasons(
        &self,
        plan: &Plan,
        conflict: &Conflict,
    ) -> Result<[Vec<Reason>; 2], Failure> {
        let only = match plan.only.get() {
            Some(only) => only,
            None => {
                let [ours, theirs] = plan.lines;
                let relation = ancestry::relation(&self.store, ours, theirs)?;
                let ids = |nodes: &[crate::store::CommitNode]| -> HashSet<CommitId> {
                    nodes.iter().map(|n| n.id).collect()
                };
                let _ = plan
                    .only
                    .set([ids(&relation.only_a), ids(&relation.only_b)]);
                match plan.only.get() {
                    Some(only) => only,
                    None => return Ok(Default::default()),
                }
            }
        };
        let mut out: [Vec<Reason>; 2] = Default::default();
        for ((out, only), other) in out.iter_mut().zip(only).zip(&conflict.paths) {
            let paths: BTreeSet<&RepoPath> = std::iter::once(&conflict.path)
                .chain(other.as_ref())
                .collect();
            let mut found: Vec<(u64, CommitId)> = Vec::new();
            for path in paths {
                self.touched(path, only, &mut found)?;
            }
            found.sort_unstable_by(|a, b| b.cmp(a));
            found.dedup();
            for (_, id) in found.into_iter().take(TOLD) {
                out.push(self.reason_of(id)?);
            }
        }
        Ok(out)
    }

    /// The commits among `only` that touched `path`, with their order.
    fn touched(
        &self,
        path: &RepoPath,
        only: &HashSet<CommitId>,
        out: &mut Vec<(u64, CommitId)>,
    ) -> Result<(), Failure> {
        let (mut before, mut looked_at, mut found) = (None, 0, 0);
        while looked_at < LOOKED_AT && found < TOLD {
            let page = self.store.path_history(path, before, PAGE)?;
            let Some(last) = page.last() else { break };
            before = Some(last.seq);
            looked_at += page.len();
            let full = page.len() == PAGE;
            for version in page.into_iter().filter(|v| only.contains(&v.commit)) {
                out.push((version.seq, version.commit));
                found += 1;
            }
            if !full {
                break;
            }
        }
        Ok(())
    }

    fn reason_of(&self, id: CommitId) -> Result<Reason, Failure> {
        let commit = self.store.commit(id)?;
        let step = match self.store.link_of_commit(id)? {
            Some(link) => self.store.step(link.step)?,
            None => None,
        };
        let mut reason = Reason {
            commit: id,
            step: None,
            title: commit.message.clone(),
            time: commit.time,
            tool: String::new(),
            thought: None,
            prompt: None,
            author: commit.author.clone(),
        };
        if let Some(step) = step {
            let (thought, prompt) = self.answers().reasons(&step)?;
            reason.thought = thought.map(short);
            reason.prompt = prompt.map(short);
            reason.step = Some(step.ordinal);
            if !step.title.is_empty() {
                reason.title = step.title;
            }
            reason.tool = step.tool;
        }
        if reason.title.is_empty() {
            reason.title = commit.cause.word().to_owned();
        }
        Ok(reason)
    }
}

fn short((ordinal, mut text): (Ordinal, String)) -> (Ordinal, String) {
    if text.len() > TEXT {
        let end = (0..=TEXT).rev().find(|n| text.is_char_boundary(*n));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    (ordinal, text)
}
