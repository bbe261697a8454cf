//! What goes along: not what git ignores and does not track, nor what it could not take.

use std::collections::BTreeSet;

use super::super::api::{ChangeOp, EntryInfo, FileChange, Request, Response};
use super::super::source::Source;
use super::git::{Index, Repository};
use super::read::{content, git_mode};
use super::{Error, LeftOut, refused, rev};
use crate::model::{CommitId, RepoPath};

/// A longer file of ignore rules is none that a person wrote.
const RULES: u64 = 1 << 20;

/// Decides, and remembers what it kept back.
#[derive(Debug, Default)]
pub(super) struct Filter {
    ignored: BTreeSet<RepoPath>,
    submodules: BTreeSet<RepoPath>,
    left: [BTreeSet<RepoPath>; 4],
}

impl Filter {
    /// A filter for `paths`, by the rules of the state `tip`. `all`: what git ignores goes along.
    pub(super) async fn new(
        source: &dyn Source,
        repo: &Repository,
        index: &Index,
        tip: CommitId,
        paths: BTreeSet<RepoPath>,
        all: bool,
    ) -> Result<Self, Error> {
        let mut out = Self {
            submodules: index.submodules.clone(),
            ..Self::default()
        };
        // git does not answer for them.
        let paths: Vec<RepoPath> = paths
            .into_iter()
            .filter(|p| !out.in_submodule(p) && !refused(p, false))
            .collect();
        if !all && !paths.is_empty() {
            let rules = rules(source, tip, &paths).await?;
            out.ignored = repo.ignored(&paths, &rules)?;
        }
        Ok(out)
    }

    fn in_submodule(&self, path: &RepoPath) -> bool {
        let mut at = Some(path.clone());
        while let Some(p) = at {
            if self.submodules.contains(&p) {
                return true;
            }
            at = p.parent();
        }
        false
    }

    /// Whether the path goes along as what it is now (`None`: it is gone).
    pub(super) fn keeps(&mut self, path: &RepoPath, now: Option<&EntryInfo>) -> bool {
        let link = now.is_some_and(|e| e.kind == "link");
        let why = if self.ignored.contains(path) {
            0
        } else if now.is_some_and(|e| e.kind == "unknown") {
            1
        } else if refused(path, link) {
            2
        } else if self.in_submodule(path) {
            3
        } else {
            return true;
        };
        if let Some(left) = self.left.get_mut(why) {
            left.insert(path.clone());
        }
        false
    }

    pub(super) fn left_out(&self) -> LeftOut {
        let [ignored, unknown, refused, submodules] = &self.left;
        LeftOut {
            ignored: ignored.len(),
            unknown: unknown.len(),
            refused: refused.len(),
            submodules: submodules.len(),
            large: 0,
        }
    }
}

/// The files of ignore rules in the directories above `paths`, as they are in the state `tip`.
async fn rules(
    source: &dyn Source,
    tip: CommitId,
    paths: &[RepoPath],
) -> Result<Vec<(RepoPath, Vec<u8>)>, Error> {
    let mut dirs = BTreeSet::new();
    for path in paths {
        let mut at = path.parent();
        while let Some(dir) = at {
            at = dir.parent();
            if !dirs.insert(dir) {
                break;
            }
        }
    }
    let mut out = Vec::new();
    for dir in dirs {
        let Ok(path) = dir.join(b".gitignore") else {
            continue;
        };
        let rev = rev(tip);
        let entry = match source.ask(Request::Entry { rev, path }).await? {
            Response::Entry(entry) => entry,
            other => return Err(Error::unexpected(&other)),
        };
        if let Some(entry) = entry.filter(|e| e.kind == "file")
            && let Some(bytes) = content(source, Some(&entry), Some(tip), RULES).await?
        {
            out.push((dir, bytes));
        }
    }
    Ok(out)
}

/// The changes without what stays behind. `all`: what git ignores goes along.
pub async fn kept(
    source: &dyn Source,
    repo: &Repository,
    tip: CommitId,
    changes: Vec<FileChange>,
    all: bool,
) -> Result<(Vec<FileChange>, LeftOut), Error> {
    let index = repo.index()?;
    let paths = changes
        .iter()
        .flat_map(|c| [Some(&c.path), c.from.as_ref()])
        .flatten()
        .cloned()
        .collect();
    let mut filter = Filter::new(source, repo, &index, tip, paths, all).await?;
    let mut out = Vec::with_capacity(changes.len());
    for mut change in changes {
        let new = filter.keeps(&change.path, None);
        let old = change.from.as_ref().is_none_or(|f| filter.keeps(f, None));
        match (change.from.take(), old, new) {
            (Some(from), true, true) => change.from = Some(from),
            // Half of a rename is a file that comes, or one that goes.
            (Some(_), false, true) => {
                change.op = ChangeOp::Create;
                change.before = None;
            }
            (Some(from), true, false) => {
                change.op = ChangeOp::Delete;
                change.path = from;
                change.after = None;
            }
            (None, _, true) => {}
            (_, _, false) => continue,
        }
        out.push(change);
    }
    Ok((out, filter.left_out()))
}

/// What becomes of each path, where git keeps something of it: `None` is gone.
pub(super) fn becomes(changes: Vec<FileChange>) -> Vec<(RepoPath, Option<EntryInfo>)> {
    let mut out = Vec::new();
    for change in changes {
        let was = change.before.as_ref().and_then(git_mode).is_some();
        let renamed = change.from.is_some();
        if let Some(from) = change.from {
            out.push((from, None));
        }
        match change.after {
            Some(after) if git_mode(&after).is_some() || after.kind == "unknown" => {
                out.push((change.path, Some(after)));
            }
            _ if was && !renamed => out.push((change.path, None)),
            _ => {}
        }
    }
    out
}
