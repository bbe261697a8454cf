//! Changes made behind the mount: told from what the recorder knows by comparing the disk with it.

use std::os::fd::AsFd;
use std::sync::PoisonError;

use super::dirty::Read;
use super::disk::{self, Stat, Type};
use super::recorder::Recorder;
use crate::model::{RepoPath, Writer};

/// How a path differs from what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Difference {
    /// It is a directory that is not known, with whatever it holds.
    tree: bool,
    /// The directory around it is not known either.
    astray: bool,
}

impl Recorder {
    /// Takes note of a change behind the mount at `path`, if the disk differs from what is known.
    pub fn outside(&self, path: &RepoPath) {
        if path.is_root() {
            self.outside_dir(path);
            return;
        }
        let now = self.stat(path);
        if let Some(difference) = self.differs(path, now.as_ref()) {
            self.believe(path, difference);
        }
    }

    /// Takes note of all changes behind the mount in the directory `dir`: one level, and what is new below.
    pub fn outside_dir(&self, dir: &RepoPath) {
        if !dir.is_root() {
            self.outside(dir);
        }
        for path in self.inhabitants(dir) {
            self.outside(&path);
        }
    }

    /// What is at `path`; an unreadable one counts as absent.
    pub(super) fn stat(&self, path: &RepoPath) -> Option<Stat> {
        self.ground.disk.stat(path).unwrap_or_default()
    }

    /// Whether `path`, of which the disk says `now`, is another than what is known of it, where that counts.
    pub(super) fn differs(&self, path: &RepoPath, now: Option<&Stat>) -> Option<Difference> {
        if path.is_root() || self.out(path) {
            return None;
        }
        let (marked, known, parent_known) = {
            // The workspace first: names change in both together, at a swap.
            let workspace = self
                .workspace
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            let state = self.state();
            let former = state.dirty.former_name(path);
            let parent = former.parent().unwrap_or_default();
            (
                state.dirty.is_marked(path),
                workspace.get(&former).cloned(),
                workspace.is_dir(&parent),
            )
        };
        if let Some(s) = now
            && known.is_none()
            && self.leaves_out(path, s.kind == Type::Dir, s.stamp.size)
        {
            let mut state = self.state();
            state.left_out.insert(path.clone(), s.kind == Type::Dir);
            return None;
        }
        let plain = Difference {
            tree: false,
            astray: !parent_known && !marked,
        };
        match (now, &known) {
            (None, None) => None,
            // Its removal through the mount has been reported already.
            (None, Some(_)) => (!marked).then_some(plain),
            (Some(s), Some(k)) if s.kind == Type::Dir && k.is_this_dir(&s.stamp) => {
                (u32::from(k.mode) != s.mode).then_some(plain)
            }
            // Made or brought here through the mount, and not stored yet.
            (Some(s), _) if s.kind == Type::Dir => (!marked).then_some(Difference {
                tree: true,
                ..plain
            }),
            (Some(s), Some(k)) => {
                let mode = s.kind == Type::Symlink || u32::from(k.mode) == s.mode;
                (k.stamp() != Some(s.stamp) || !mode).then_some(plain)
            }
            (Some(_), None) => Some(plain),
        }
    }

    /// Marks `path` as changed from outside, and the outermost directory around it that is not known, if there is one.
    pub(super) fn believe(&self, path: &RepoPath, difference: Difference) -> Option<RepoPath> {
        let outside = Writer::outside();
        self.mark(path, Read::Always, difference.tree, &outside);
        if !difference.astray {
            return None;
        }
        let mut outermost = None;
        let mut at = path.parent();
        while let Some(dir) = at {
            let workspace = self
                .workspace
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            let state = self.state();
            if workspace.is_dir(&state.dirty.former_name(&dir)) || state.dirty.is_marked(&dir) {
                break;
            }
            at = dir.parent();
            outermost = Some(dir);
        }
        if let Some(dir) = &outermost {
            self.mark(dir, Read::Always, true, &outside);
        }
        outermost
    }

    /// The paths directly in `dir`, on disk or as far as is known.
    pub(super) fn inhabitants(&self, dir: &RepoPath) -> Vec<RepoPath> {
        let mut names = match self.ground.disk.listable(dir) {
            Ok(Some(fd)) => disk::names_in(fd.as_fd()).unwrap_or_default(),
            _ => Vec::new(),
        };
        {
            let workspace = self
                .workspace
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            let former = self.state().dirty.former_name(dir);
            names.extend(workspace.children(&former).map(|(n, _)| n.to_vec()));
        }
        names.sort_unstable();
        names.dedup();
        names.iter().filter_map(|n| dir.join(n).ok()).collect()
    }

    /// The directories that are captured, as of the last checkpoint, outer ones first.
    pub(super) fn known_dirs(&self) -> Vec<RepoPath> {
        self.workspace
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .dirs_within(&RepoPath::root())
    }
}
