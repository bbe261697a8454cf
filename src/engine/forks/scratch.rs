//! Scratch views: a state to look at and to try things in, which is no branch. Nothing in it is kept.

use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::sync::Arc;

use crate::capture::observe::Unobserved;
use crate::debug::rev;
use crate::engine::api::{ApiError, ErrorCode, Response};
use crate::engine::core::{Core, Failure};
use crate::engine::project::private_dir;
use crate::fs::branch_view::{Base, BranchView};
use crate::fs::{Gate, MountOptions, Mounted, clean_stale};
use crate::model::{Time, TreeId, neutral};

use super::place::{SCRATCH, failed};
use super::{lock, opening};

/// At most so many at once: nobody looks at more, and who forgets to discard them should be told.
const MOST: usize = 64;

/// One that is mounted.
pub struct Scratch {
    mounted: Mounted,
    dir: PathBuf,
}

impl Core {
    /// Mounts a view of a commit or of a tree that is nobody's branch.
    pub(in crate::engine) fn scratch(
        &self,
        text: Option<&str>,
        tree: Option<TreeId>,
    ) -> Result<Response, Failure> {
        if self.live().is_none() {
            return Err(no_mounts().into());
        }
        let mut base = Base {
            tree: self.store.empty_tree(),
            commit: None,
            present: rev::head(&self.store)?
                .map(|head| self.store.commit(head).map(|c| c.tree))
                .transpose()?,
        };
        match tree {
            Some(tree) => {
                // It may be damaged, or never have been there.
                self.store.tree(tree)?;
                base.tree = tree;
            }
            None => {
                let text = text.unwrap_or("@");
                let commit = rev::resolve(&self.store, &*self.store, text, Time::now())?.commit;
                base = self.base(commit)?;
            }
        }
        let mut all = lock(&self.forks.scratch);
        if all.len() >= MOST {
            return Err(ApiError::new(
                ErrorCode::Refused,
                format!("there are {MOST} scratch views already; discard those that nobody needs"),
            )
            .into());
        }
        let beside = self.beside("", base.tree)?;
        let ground = self.ground(&beside)?;
        let mounts = self.project.scratch_mounts();
        for n in 1.. {
            let name = format!("scratch-{n}");
            let Entry::Vacant(vacant) = all.entry(name.clone()) else {
                continue;
            };
            let kept = format!("{SCRATCH}{n}");
            let dir = ground.dir.join(&kept);
            if dir.exists() {
                std::fs::remove_dir_all(&dir).map_err(|e| failed("clear", &dir, &e))?;
            }
            let at = mounts.join(&name);
            let said = |e: crate::fs::Error| ApiError::new(ErrorCode::Failed, e.to_string());
            clean_stale(&at).map_err(said)?;
            private_dir(&at)?;
            let view = BranchView::create(&ground, &kept, base, Arc::new(Unobserved), Gate::new())
                .map_err(|e| opening::of_view(&e))?;
            let mounted = Mounted::mount(view, &at, MountOptions::default()).map_err(|e| {
                let _ = std::fs::remove_dir_all(&dir);
                said(e)
            })?;
            vacant.insert(Scratch { mounted, dir });
            let path = at.to_string_lossy().into_owned();
            return Ok(Response::Scratch { path, name });
        }
        Err(no_mounts().into())
    }

    /// Takes a scratch view away, with whatever was done in it.
    pub(in crate::engine) fn discard(&self, name: &str) -> Result<Response, Failure> {
        let Some(scratch) = lock(&self.forks.scratch).remove(name) else {
            return Err(ApiError::new(
                ErrorCode::NotFound,
                format!("there is no scratch view {:?}", neutral(name.as_bytes())),
            )
            .into());
        };
        self.discard_one(scratch);
        Ok(Response::Done(format!("discarded {name}")))
    }

    fn discard_one(&self, scratch: Scratch) {
        let at = scratch.mounted.at();
        if let Err(e) = scratch.mounted.unmount() {
            self.warn(e.to_string());
        }
        let _ = std::fs::remove_dir(&at);
        // Whoever is still in it sees what is left of it; at the next start the rest goes.
        let _ = std::fs::remove_dir_all(&scratch.dir);
    }

    pub(super) fn discard_all_scratch(&self) {
        let all = std::mem::take(&mut *lock(&self.forks.scratch));
        for scratch in all.into_values() {
            self.discard_one(scratch);
        }
    }

    /// At start: takes away what an engine that was killed left of mounts and scratch views.
    pub(in crate::engine) fn clean_forks(&self) {
        let dirs = [
            self.project.runtime_dir.join("branch"),
            self.project.scratch_mounts(),
        ];
        for entry in dirs.iter().flat_map(std::fs::read_dir).flatten().flatten() {
            if let Err(e) = clean_stale(&entry.path()) {
                self.warn(e.to_string());
            }
            // It is made again with the mount.
            let _ = std::fs::remove_dir(entry.path());
        }
        let kept = std::fs::read_dir(self.project.forks_dir());
        for entry in kept.into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(SCRATCH) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

pub(super) fn no_mounts() -> ApiError {
    ApiError::new(
        ErrorCode::Refused,
        "nothing can be mounted here, so that there is no view; `backtrail run` starts an engine that mounts",
    )
}
