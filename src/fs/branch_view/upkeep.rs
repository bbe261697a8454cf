//! What is done to a branch's view besides serving it: questions for its commits, and putting it on another commit.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::super::attr::{FileKind, When};
use super::super::inode::ROOT;
use super::nodes::{Nodes, Slot};
use super::open::{Base, BranchError, Description, Ground, check_name, io};
use super::table::{Op, Saved, Table};
use super::view::BranchView;
use crate::model::{Attr, RepoPath};

const GIT: &[u8] = b".git";

/// What the table says of one name: whose it is, or that it is gone.
type Names = BTreeMap<Vec<u8>, Option<u64>>;

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

    /// Puts the branch `name`, which nobody must have open, on another commit: all that was changed goes, but for the
    /// repository inside, which stays as it is.
    pub fn rebase(ground: &Ground, name: &str, base: Base) -> Result<(), BranchError> {
        check_name(name)?;
        let dir = ground.dir.join(name);
        let file = dir.join("branch.json");
        let made = std::fs::metadata(&file)
            .and_then(|m| m.modified())
            .map_err(io("look at", &file))?;
        let names = dir.join("names");
        let kept = of_the_repository(&names)?;
        let beside = dir.join("names.new");
        match std::fs::remove_file(&beside) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(io("clear", &beside)(e));
            }
            _ => {}
        }
        let write = || {
            let mut table = Table::create(&beside)?;
            table.append(&kept)?;
            table.handle()?.sync_all()?;
            std::fs::rename(&beside, &names)
        };
        write().map_err(io("write", &names))?;
        Description::of(&base).write(&dir)?;
        // By which refs that were written since are told from those that were copied.
        std::fs::File::options()
            .append(true)
            .open(&file)
            .and_then(|f| f.set_modified(made))
            .map_err(io("write", &file))
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

/// What the table says of `.git` and below.
fn of_the_repository(names: &Path) -> Result<Vec<Op>, BranchError> {
    let mut nodes: HashMap<u64, Saved> = HashMap::new();
    let mut dirs: HashMap<u64, Names> = HashMap::new();
    Table::open(names, &mut |op| match op {
        Op::Node { id, saved } => _ = nodes.insert(id, saved),
        Op::Name { dir, name, id } => _ = dirs.entry(dir).or_default().insert(name, Some(id)),
        Op::Hide { dir, name } => _ = dirs.entry(dir).or_default().insert(name, None),
        Op::Bare { dir, name } => {
            if let Some(names) = dirs.get_mut(&dir) {
                names.remove(&name);
            }
        }
    })
    .map_err(io("read", names))?;
    let mut kept = Vec::new();
    let git = dirs.get(&ROOT).and_then(|names| names.get(GIT)).copied();
    let mut todo = vec![(ROOT, GIT.to_vec(), git)];
    while let Some((dir, name, slot)) = todo.pop() {
        let Some(slot) = slot else { continue };
        let Some(id) = slot else {
            kept.push(Op::Hide { dir, name });
            continue;
        };
        // One with several names is said once.
        if let Some(saved) = nodes.remove(&id) {
            kept.push(Op::Node { id, saved });
            for (name, slot) in dirs.remove(&id).unwrap_or_default() {
                todo.push((id, name, Some(slot)));
            }
        }
        kept.push(Op::Name { dir, name, id });
    }
    Ok(kept)
}
