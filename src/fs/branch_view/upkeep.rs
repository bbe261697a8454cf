//! What is done to a branch's view besides serving it: questions for its commits, and for what
//! it holds that is in none.

use super::super::attr::{FileKind, When};
use super::super::inode::ROOT;
use super::nodes::{Nodes, Slot};
use super::table::Layer;
use super::view::BranchView;
use crate::model::{Attr, RepoPath};

pub(super) const GIT: &[u8] = b".git";

impl BranchView {
    /// What a tree leaves out of a path's facts.
    #[must_use]
    pub fn side_facts(&self, path: &RepoPath) -> Option<Attr> {
        let nodes = self.nodes();
        let attr = self.attr(&nodes, nodes.at(path)?).ok()?;
        Some(Attr {
            path: path.clone(),
            mtime_ns: attr.mtime.nanoseconds(),
            uid: attr.uid,
            gid: attr.gid,
        })
    }

    /// Whether the repository inside has what the project's has not: objects made here, or refs that were written since
    /// the branch was made.
    #[must_use]
    pub fn has_own_history(&self) -> bool {
        let made = std::fs::metadata(self.dir.join("branch.json"))
            .and_then(|m| m.modified())
            .ok()
            .and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok())
            .and_then(|d| i64::try_from(d.as_nanos()).ok())
            .unwrap_or(i64::MAX);
        let nodes = self.nodes();
        let Some(git) = nodes.known(ROOT, GIT) else {
            return false;
        };
        let objects = nodes.known(git, b"objects").is_some_and(|id| {
            any_file(&nodes, id, &|id| {
                nodes.get(id).is_ok_and(|n| n.origin.is_none())
            })
        });
        let young = |id| {
            self.attr(&nodes, id)
                .is_ok_and(|a| When::nanoseconds(a.mtime) > made)
        };
        objects
            || [&b"refs"[..], b"packed-refs"]
                .into_iter()
                .filter_map(|name| nodes.known(git, name))
                .any(|id| any_file(&nodes, id, &young))
    }

    /// One of the branch's own files that capture leaves out, so that it is in no commit; what lies in directories whose
    /// name `passes` does not count.
    #[must_use]
    pub fn own_left_out(&self, passes: &dyn Fn(&[u8]) -> bool) -> Option<RepoPath> {
        let nodes = self.nodes();
        let mut todo = vec![(ROOT, RepoPath::root(), false)];
        while let Some((dir, at, out)) = todo.pop() {
            for (name, slot) in nodes.slots(dir) {
                let Slot::Named(id) = slot else { continue };
                let (Ok(node), Ok(path)) = (nodes.get(id), at.join(name)) else {
                    continue;
                };
                if dir == ROOT && name == GIT {
                    continue;
                }
                let is_dir = node.is_dir();
                let size = self.attr(&nodes, id).map_or(0, |attr| attr.size);
                let captured = node
                    .origin
                    .as_ref()
                    .is_some_and(|o| o.layer == Layer::Tree && o.path == path.as_bytes());
                let out = out || (!captured && (self.layers.left_out)(&path, is_dir, size));
                if is_dir {
                    if !(out && passes(name)) {
                        todo.push((id, path, out));
                    }
                } else if out && node.upper {
                    return Some(path);
                }
            }
        }
        None
    }
}

/// Whether `fits` holds for a file at or below `id` that the table names.
fn any_file(nodes: &Nodes, id: u64, fits: &dyn Fn(u64) -> bool) -> bool {
    let mut todo = vec![id];
    while let Some(id) = todo.pop() {
        match nodes.get(id) {
            Ok(node) if node.is_dir() => {
                todo.extend(nodes.slots(id).filter_map(|(_, slot)| match slot {
                    Slot::Named(id) => Some(id),
                    Slot::Hidden | Slot::Seen(_) => None,
                }));
            }
            Ok(node) if node.facts.kind == FileKind::File && fits(id) => return true,
            _ => {}
        }
    }
    false
}
