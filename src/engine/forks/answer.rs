//! What is asked of forks: making one, listing them, and a place in one for an agent.

use crate::debug::rev;
use crate::diff::tree;
use crate::engine::api::{ApiError, ErrorCode, ForkInfo};
use crate::engine::branches::change;
use crate::engine::core::{Core, Failure};
use crate::model::{Cause, CommitId, Time, TreeId, neutral};

use super::place::{self, Note};
use super::{lock, scratch};

/// How many pairs of trees are remembered with what differs.
const REMEMBERED: usize = 1_000;

impl Core {
    /// Makes a branch with a view of its own. Nothing of its files is copied.
    pub(in crate::engine) fn fork(
        &self,
        text: &str,
        name: Option<&str>,
    ) -> Result<ForkInfo, Failure> {
        let _one = self.world();
        // First what was typed: a mistake must not make a commit.
        let mut at = rev::resolve(&self.store, &*self.store, text, Time::now())?;
        if rev::head(&self.store)? == Some(at.commit) {
            // What is not yet committed is part of what is there. An id still names what it named.
            self.cut(Cause::Safety, None, None)?;
            at = rev::resolve(&self.store, &*self.store, text, Time::now())?;
        }
        let name = match name {
            Some(name) => {
                self.free_name(name, None)?;
                name.to_owned()
            }
            None => self.next_name()?,
        };
        self.fork_at(&name, at.commit)?;
        let note = Note::read(&self.project.fork_dir(&name))
            .map_err(ApiError::from)?
            .ok_or_else(|| {
                ApiError::new(
                    ErrorCode::Failed,
                    format!("the fork {name} went away while it was made"),
                )
            })?;
        Ok(ForkInfo {
            disk: place::disk(&self.project.fork_dir(&name)),
            ..self.fork_info(&name, &note)?
        })
    }

    /// The view first: a branch without one gets it when it is needed, a view without a branch is never seen.
    fn fork_at(&self, name: &str, commit: CommitId) -> Result<(), Failure> {
        self.refuse_imported(commit)?;
        self.refuse_gone(commit)?;
        let _opening = self.forks.opening();
        self.fork_make(name, commit)?;
        let published = self.branched(
            format!("forked {name} from {}", commit.short()),
            vec![change(name, None, Some(commit))],
            Vec::new(),
        );
        if published.is_err() {
            let dir = self.project.fork_dir(name);
            let _ = std::fs::remove_dir_all(dir);
        }
        published.map(|_| ())
    }

    /// The first free one of `try-1`, `try-2`, ...
    fn next_name(&self) -> Result<String, Failure> {
        let tips = self.answers().tips()?;
        let free = (1_u64..)
            .map(|n| format!("try-{n}"))
            .find(|name| !tips.contains_key(name));
        let name = free.unwrap_or_default();
        // A branch called `try` leaves none.
        self.free_name(&name, None)?;
        Ok(name)
    }

    /// A place for an agent in the fork of a branch, which is made of the workspace's present state when there is none:
    /// where its view is mounted. The caller holds the world, and until who is to run there is known as a session:
    /// nobody may move the branch in between.
    pub(in crate::engine) fn place_in_fork(&self, branch: &str) -> Result<String, Failure> {
        if self.live().is_none() {
            return Err(scratch::no_mounts().into());
        }
        self.recover()?;
        if rev::branch(&self.store)? == branch {
            return Err(ApiError::new(
                ErrorCode::Refused,
                format!(
                    "the workspace itself is on {}: run without --branch, or take another branch",
                    neutral(branch.as_bytes())
                ),
            )
            .into());
        }
        if self.store.get_ref(&format!("branch/{branch}"))?.is_none() {
            self.free_name(branch, None)?;
            self.cut(Cause::Safety, None, None)?;
            let head = rev::head(&self.store)?.ok_or(rev::Error::Empty)?;
            self.fork_at(branch, head)?;
        }
        let tip = self.answers().tip(branch)?;
        self.refuse_imported(tip)?;
        self.refuse_gone(tip)?;
        let fork = self.fork_open(branch)?;
        fork.mounted().ok_or_else(|| {
            ApiError::new(
                ErrorCode::Failed,
                format!("the view of {branch} was unmounted at once"),
            )
            .into()
        })
    }

    /// The branches that have a view of their own; `sized`: with what they take up on disk.
    pub(in crate::engine) fn fork_list(&self, sized: bool) -> Result<Vec<ForkInfo>, Failure> {
        let tips = self.answers().tips()?;
        let mut out = Vec::new();
        for (dir, note) in place::all(&self.project) {
            let there = tips.contains_key(&note.branch);
            if there && dir == self.project.fork_dir(&note.branch) {
                let disk = if sized { place::disk(&dir) } else { 0 };
                out.push(ForkInfo {
                    disk,
                    ..self.fork_info(&note.branch, &note)?
                });
            }
        }
        out.sort_by(|a, b| a.branch.cmp(&b.branch));
        Ok(out)
    }

    /// Without what it takes up on disk, for which every file of it is looked at.
    fn fork_info(&self, branch: &str, note: &Note) -> Result<ForkInfo, Failure> {
        let answers = self.answers();
        let base = answers.resolved(note.base, None)?;
        let tip = answers
            .commit_infos(&[answers.tip(branch)?])?
            .pop()
            .ok_or(rev::Error::Empty)?;
        let fork = self.forks.get(branch);
        Ok(ForkInfo {
            branch: branch.to_owned(),
            changed: self.changed_paths(base.tree, tip.tree)?,
            base,
            tip,
            mounted: fork.as_ref().and_then(|f| f.mounted()),
            sessions: self.sessions.in_fork(branch).iter().map(|s| s.id).collect(),
            drift: fork.map(|f| f.view.drift()).unwrap_or_default(),
            disk: 0,
        })
    }

    fn changed_paths(&self, a: TreeId, b: TreeId) -> Result<usize, Failure> {
        if let Some(known) = lock(&self.forks.changed).get(&(a, b)) {
            return Ok(*known);
        }
        let changes = tree::trees(&self.store, a, b, &[])?;
        let count = changes.iter().filter(|c| c.has_leaf()).count();
        let mut known = lock(&self.forks.changed);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert((a, b), count);
        Ok(count)
    }
}
