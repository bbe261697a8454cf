//! Times of unchanged files: a tree has none, so they come from beside the commits that made the files.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use super::super::attr::When;
use super::layers::{Layers, Lower, path};
use super::table::Origin;
use crate::model::{CommitId, Kind, RepoPath, TreeId};

/// How many versions of a path are looked at to find the one that was forked.
const VERSIONS: usize = 16;

/// The times of commits' files, read once a commit.
pub(super) type Times = HashMap<CommitId, Arc<HashMap<RepoPath, i64>>>;

impl Layers {
    /// The time of last change of something in the forked tree.
    pub(super) fn time(&self, origin: &Origin, lower: &Lower) -> When {
        let (Lower::Blob { id, size }, Ok(path)) = (lower, path(&origin.path)) else {
            return self.created;
        };
        let kind = Kind::File {
            blob: *id,
            size: *size,
        };
        if self.present.is_some_and(|p| !self.holds(p, &path, &kind)) {
            return self.created;
        }
        self.committed(&path, &kind).unwrap_or(self.created)
    }

    fn holds(&self, tree: TreeId, path: &RepoPath, kind: &Kind) -> bool {
        let mut at = Kind::Dir(tree);
        for name in path.parts() {
            let Some(Ok(tree)) = at.tree().map(|t| self.store.tree(t)) else {
                return false;
            };
            match tree.get(name) {
                Some(e) => at = e.kind.clone(),
                None => return false,
            }
        }
        at == *kind
    }

    /// The time noted with the newest commit that gave `path` this content.
    fn committed(&self, path: &RepoPath, kind: &Kind) -> Option<When> {
        let upto = self.store.commit_node(self.commit?).ok()?.seq;
        let versions = self
            .store
            .path_history(path, upto.checked_add(1), VERSIONS)
            .ok()?;
        let version = versions
            .iter()
            .find(|v| v.entry.as_ref().is_some_and(|e| e.kind == *kind))?;
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let of = match times.get(&version.commit) {
            Some(of) => Arc::clone(of),
            None => {
                let of: HashMap<RepoPath, i64> = self
                    .store
                    .attrs(version.commit)
                    .ok()?
                    .into_iter()
                    .map(|a| (a.path, a.mtime_ns))
                    .collect();
                let of = Arc::new(of);
                times.insert(version.commit, Arc::clone(&of));
                of
            }
        };
        of.get(path).copied().map(from_ns)
    }
}

/// From nanoseconds since the epoch.
pub(crate) fn from_ns(ns: i64) -> When {
    When {
        secs: ns.div_euclid(1_000_000_000),
        nanos: u32::try_from(ns.rem_euclid(1_000_000_000)).unwrap_or(0),
    }
}
