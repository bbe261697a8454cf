//! What the scripted world says of the history of its files, found by walking all of it.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use crate::debug::blame::{Limits, Versions, blame};
use crate::engine::api::{
    ApiError, BlameInfo, CommitInfo, ErrorCode, GraphAnswer, GraphQuery, LastChange, Origin, Row,
    VersionInfo,
};
use crate::model::{Cause, CommitId, RepoPath, TreeId};

use super::script::World;

/// A file along a line of commits, the newest first.
struct Line(Vec<Option<Vec<u8>>>);

impl Versions for Line {
    type Error = Infallible;

    fn parents(&mut self, at: usize) -> Result<Vec<usize>, Infallible> {
        let next = at + 1;
        Ok((next < self.0.len()).then_some(next).into_iter().collect())
    }

    fn content(&mut self, at: usize) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.0[at].clone())
    }

    fn age(&self, at: usize) -> u64 {
        (self.0.len() - at) as u64
    }
}

impl World {
    fn row_of(&self, commit: CommitId) -> Option<&Row> {
        self.rows
            .iter()
            .find(|r| r.commit == Some(commit) && r.commits > 0)
    }

    fn info(&self, id: CommitId) -> CommitInfo {
        let of_details = self
            .details
            .values()
            .flat_map(|d| &d.commits)
            .find(|(info, _)| info.id == id);
        if let Some((info, _)) = of_details {
            return info.clone();
        }
        let row = self.row_of(id);
        CommitInfo {
            id,
            parents: self.commits[&id].parent.into_iter().collect(),
            tree: TreeId([0; 32]),
            branch: "main".to_owned(),
            time: row.map(|r| r.time).unwrap_or_default(),
            cause: Cause::Quiet,
            message: String::new(),
            step: row.map(|r| r.ordinal),
            seq: 0,
            line: 0,
            author: "claude".to_owned(),
            effect: None,
            refs: Vec::new(),
        }
    }

    /// A commit and those it continues, the newest first.
    fn lineage(&self, rev: &str) -> Result<Vec<CommitId>, ApiError> {
        let mut out = Vec::new();
        let mut next = self.state(rev)?.0;
        while let Some(id) = next {
            out.push(id);
            next = self.commits[&id].parent;
        }
        Ok(out)
    }

    fn touches(&self, id: CommitId, path: &RepoPath) -> bool {
        let (before, after) = (
            self.tree_of(self.commits[&id].parent),
            self.tree_of(Some(id)),
        );
        Self::changes(&before, &after)
            .iter()
            .any(|c| c.path.is_within(path))
    }

    pub(super) fn graph(&self, query: GraphQuery) -> Result<GraphAnswer, ApiError> {
        Ok(match query {
            GraphQuery::LastChanges { rev, dir } => {
                let line = self.lineage(&rev)?;
                let last = |path: RepoPath| {
                    let commit = *line.iter().find(|id| self.touches(**id, &path))?;
                    let row = self.row_of(commit);
                    Some(LastChange {
                        path,
                        commit,
                        step: row.map(|r| r.ordinal),
                        time: row.map(|r| r.time).unwrap_or_default(),
                    })
                };
                let entries = self.listing(&rev, &dir)?;
                GraphAnswer::LastChanges(entries.into_iter().filter_map(|e| last(e.path)).collect())
            }
            GraphQuery::Path { path, .. } => {
                let mut found: Vec<CommitInfo> = self
                    .commits
                    .keys()
                    .filter(|id| self.touches(**id, &path))
                    .map(|id| self.info(*id))
                    .collect();
                found.sort_by_key(|i| std::cmp::Reverse(i.step));
                let version = |commit| VersionInfo {
                    commit,
                    op: None,
                    after: None,
                    tool: String::new(),
                    title: String::new(),
                };
                GraphAnswer::Versions(found.into_iter().map(version).collect())
            }
            GraphQuery::Blame { rev, path, .. } => {
                let line = self.lineage(&rev)?;
                let name = path.to_string();
                let of = |id: &CommitId| {
                    let tree = self.tree_of(Some(*id));
                    tree.get(&name).map(|f| f.content.clone())
                };
                let tree = self.tree_of(line.first().copied());
                let file = tree
                    .get(&name)
                    .ok_or_else(|| ApiError::new(ErrorCode::NotFound, "no such file"))?;
                let mut versions = Line(line.iter().map(of).collect());
                let limits = Limits {
                    versions: usize::MAX,
                    until: Instant::now() + Duration::from_secs(60),
                };
                let Ok(found) = blame(&mut versions, 0, file.content.clone(), &limits);
                let mut used = found.lines.clone();
                used.sort_unstable_by_key(|at| std::cmp::Reverse(*at));
                used.dedup();
                let origin = |at: &usize| {
                    let row = self.row_of(line[*at]);
                    Origin {
                        commit: self.info(line[*at]),
                        path: None,
                        older: false,
                        step: row.map(|r| r.step),
                        kind: row.map(|r| r.kind),
                        tool: row.map(|r| r.tool.clone()).unwrap_or_default(),
                        title: row.map(|r| r.title.clone()).unwrap_or_default(),
                    }
                };
                let place = |at: &usize| used.iter().position(|u| u == at).unwrap_or(0);
                GraphAnswer::Blame(Box::new(BlameInfo {
                    entry: Self::entry(&name, file),
                    runs: found
                        .lines
                        .iter()
                        .map(|at| (1, u32::try_from(place(at)).unwrap()))
                        .collect(),
                    origins: used.iter().map(origin).collect(),
                    versions: found.loaded,
                    problem: None,
                }))
            }
            _ => return Err(ApiError::new(ErrorCode::Unsupported, "not in this script")),
        })
    }
}
