//! What the index knows of many steps at once: one transaction, each table opened once.
//!
//! A page of the timeline asks this for all of its steps; one question a step and table would cost more than the answers.

use crate::model::{CommitId, Link, Step};

use super::Store;
use super::error::Result;
use super::query::{CommitNode, CommitStats, node, stats_of};
use super::tables::{self, key40};
use super::trace::parse;

/// What the index knows of a step beside the step itself.
#[derive(Debug, Clone, Default)]
pub struct Tied {
    /// The links to its commits, in the order in which those were stored.
    pub links: Vec<Link>,
    /// For each of them, its derived figures, if they are known.
    pub stats: Vec<Option<CommitStats>>,
    /// The state after it: its last commit, or that which a marker went to.
    pub node: Option<CommitNode>,
    /// The line of that one's first parent.
    pub parent_line: Option<u32>,
}

impl Store {
    /// What is tied to each of these steps, in their order.
    pub fn tied(&self, steps: &[Step]) -> Result<Vec<Tied>> {
        self.core.index.read(|tx| {
            let by_step = tx.open_table(tables::STEP_LINKS)?;
            let links = tx.open_table(tables::LINKS)?;
            let commits = tx.open_table(tables::COMMITS)?;
            let nodes = tx.open_table(tables::NODES)?;
            let stats = tx.open_table(tables::STATS)?;
            let seq = |id: CommitId| -> Result<Option<u64>, redb::Error> {
                Ok(commits.get(&id.0)?.map(|s| s.value()))
            };
            let mut out = Vec::with_capacity(steps.len());
            for step in steps {
                let mut tied = Tied::default();
                let id = &step.id.0;
                for row in by_step.range::<&[u8; 40]>(&key40(id, 0)..=&key40(id, u64::MAX))? {
                    let (_, commit) = row?;
                    let Some(link) = links.get(commit.value())? else {
                        continue;
                    };
                    let link: Link = parse(link.value().get(32..).unwrap_or_default())?;
                    let figures = stats.get(&link.commit.0)?;
                    tied.stats
                        .push(figures.map(|v| stats_of(v.value())).transpose()?);
                    tied.links.push(link);
                }
                let state = tied.links.last().map(|l| l.commit).or(step.state);
                if let Some(seq) = state.map(seq).transpose()?.flatten()
                    && let Some(value) = nodes.get(seq)?
                {
                    tied.node = Some(node(seq, value.value())?);
                }
                let parent = tied.node.as_ref().and_then(|n| n.commit.parents.first());
                if let Some(seq) = parent.map(|p| seq(*p)).transpose()?.flatten()
                    && let Some(value) = nodes.get(seq)?
                {
                    let line = value.value().get(32..36).and_then(|b| b.first_chunk());
                    tied.parent_line = line.map(|b| u32::from_le_bytes(*b));
                }
                out.push(tied);
            }
            Ok(out)
        })
    }
}
