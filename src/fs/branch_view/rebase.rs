//! Putting a branch's view on another commit.
//!
//! What was captured is in commits, so it goes. What is in none stays: the repository inside, and what capture leaves out,
//! with the directories that lead there. Where the other commit has something at the place of such a file, both cannot be
//! there: the branch's own is written out to a directory beside the view, and its path is told.
//!
//! What stays stands on nothing of the old tree: a captured file that was moved to a left-out place is written out first.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::super::attr::FileKind;
use super::super::inode::ROOT;
use super::layers::LeftOut;
use super::open::{Base, BranchError, Description, Ground, check_name, io};
use super::table::{Layer, Op, Origin, Saved, Table};
use super::upkeep::GIT;
use super::view::{BranchView, hex};
use crate::model::{Entry, Kind, RepoPath, Tree, TreeId};
use crate::store::Store;

/// What the table says of one name: whose it is, or that it is gone.
type Names = BTreeMap<Vec<u8>, Option<u64>>;

impl BranchView {
    /// Puts the branch `name`, which nobody must have open, on another commit. `ground` tells what was left out until
    /// now. Returns what had to make room for something of the new commit; it is in `aside` then, which is made for it.
    pub fn rebase(
        ground: &Ground,
        name: &str,
        base: Base,
        aside: &Path,
    ) -> Result<Vec<RepoPath>, BranchError> {
        check_name(name)?;
        let dir = ground.dir.join(name);
        let file = dir.join("branch.json");
        let made = std::fs::metadata(&file)
            .and_then(|m| m.modified())
            .map_err(io("look at", &file))?;
        let names = dir.join("names");
        let mut keeping = Keeping {
            store: &ground.store,
            left_out: &ground.left_out,
            dir: &dir,
            aside,
            old: Description::read(&dir)?.tree()?,
            nodes: HashMap::new(),
            dirs: HashMap::new(),
            told: HashSet::new(),
            kept: Vec::new(),
            displaced: Vec::new(),
        };
        keeping.read(&names).map_err(io("read", &names))?;
        let root = Place {
            dir: ROOT,
            path: RepoPath::root(),
            there: There::Dir(base.tree),
            out: false,
        };
        keeping.walk(&root).map_err(io("keep what is in", &dir))?;
        let beside = dir.join("names.new");
        match std::fs::remove_file(&beside) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(io("clear", &beside)(e));
            }
            _ => {}
        }
        let write = || {
            let mut table = Table::create(&beside)?;
            table.append(&keeping.kept)?;
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
            .map_err(io("write", &file))?;
        Ok(keeping.displaced)
    }
}

/// What the new commit has at the place of a directory.
#[derive(Clone, Copy)]
enum There {
    Nothing,
    Dir(TreeId),
    /// Something that nothing can lie in.
    Other,
}

/// A directory of the branch.
struct Place {
    dir: u64,
    path: RepoPath,
    there: There,
    /// All in it is left out, the directory as well.
    out: bool,
}

struct Keeping<'a> {
    store: &'a Store,
    left_out: &'a LeftOut,
    dir: &'a Path,
    aside: &'a Path,
    old: TreeId,
    nodes: HashMap<u64, Saved>,
    dirs: HashMap<u64, Names>,
    told: HashSet<u64>,
    kept: Vec<Op>,
    displaced: Vec<RepoPath>,
}

fn of_store(e: crate::store::Error) -> std::io::Error {
    std::io::Error::other(e)
}

impl Keeping<'_> {
    fn read(&mut self, names: &Path) -> std::io::Result<()> {
        let (nodes, dirs) = (&mut self.nodes, &mut self.dirs);
        Table::open(names, &mut |op| match op {
            Op::Node { id, saved } => _ = nodes.insert(id, saved),
            Op::Name { dir, name, id } => _ = dirs.entry(dir).or_default().insert(name, Some(id)),
            Op::Hide { dir, name } => _ = dirs.entry(dir).or_default().insert(name, None),
            Op::Bare { dir, name } => {
                if let Some(names) = dirs.get_mut(&dir) {
                    names.remove(&name);
                }
            }
        })?;
        Ok(())
    }

    fn upper(&self, id: u64) -> PathBuf {
        self.dir.join("upper").join(hex(id))
    }

    /// Keeps what is left out in a directory; whether there was anything.
    fn walk(&mut self, place: &Place) -> std::io::Result<bool> {
        let tree = match place.there {
            There::Dir(id) => self.store.tree(id).map_err(of_store)?,
            There::Nothing | There::Other => Tree::default().into(),
        };
        let mut any = false;
        for (name, slot) in self.dirs.remove(&place.dir).unwrap_or_default() {
            if place.dir == ROOT && name == GIT {
                self.whole(ROOT, name, slot)?;
                continue;
            }
            let Ok(path) = place.path.join(&name) else {
                continue;
            };
            let there = tree.get(&name).cloned();
            let left_out = self.left_out;
            let Some(id) = slot else {
                // Where the project has it, it would show again.
                let out = place.out || left_out(&path, true, 0) || left_out(&path, false, 0);
                if out && there.is_none() && !matches!(place.there, There::Other) {
                    any |= place.out || matches!(place.there, There::Dir(_));
                    let dir = place.dir;
                    self.kept.push(Op::Hide { dir, name });
                }
                continue;
            };
            let Some(saved) = self.nodes.get(&id).cloned() else {
                continue;
            };
            let is_dir = saved.facts.kind == FileKind::Dir;
            let size = match saved.upper {
                true => std::fs::metadata(self.upper(id)).map_or(0, |m| m.len()),
                false => 0,
            };
            // What git tracks in a left-out place was captured there.
            let captured = saved
                .origin
                .as_ref()
                .is_some_and(|o| o.layer == Layer::Tree && o.path == path.as_bytes());
            let out = place.out || (!captured && left_out(&path, is_dir, size));
            let below = match (&there, place.there) {
                (Some(e), _) => e.kind.tree().map_or(There::Other, There::Dir),
                (None, There::Other) => There::Other,
                (None, _) => There::Nothing,
            };
            match below {
                There::Nothing if out => {
                    self.whole(place.dir, name, Some(id))?;
                    any = true;
                }
                There::Dir(_) | There::Nothing if is_dir => {
                    let inner = Place {
                        dir: id,
                        path: path.clone(),
                        there: below,
                        out,
                    };
                    if self.walk(&inner)? {
                        self.lead(place.dir, name, (id, saved), (&path, there.as_ref()));
                        any = true;
                    }
                }
                _ if out => {
                    let before = self.displaced.len();
                    self.put_aside(&path, id)?;
                    if self.displaced.len() > before {
                        self.displaced.truncate(before);
                        self.displaced.push(path);
                    }
                }
                There::Other if is_dir => {
                    let inner = Place {
                        dir: id,
                        path,
                        there: below,
                        out,
                    };
                    self.walk(&inner)?;
                }
                _ => {}
            }
        }
        Ok(any)
    }

    /// Keeps a directory because of what is kept in it: it is that of the new commit, where that has one.
    fn lead(
        &mut self,
        dir: u64,
        name: Vec<u8>,
        (id, mut saved): (u64, Saved),
        (path, there): (&RepoPath, Option<&Entry>),
    ) {
        saved.copied = None;
        saved.origin = there.map(|_| Origin {
            layer: Layer::Tree,
            path: path.as_bytes().to_vec(),
        });
        if let Some(entry) = there {
            saved.facts.mode = entry.mode & 0o7777;
            saved.upper = false;
        }
        self.kept.push(Op::Node { id, saved });
        self.kept.push(Op::Name { dir, name, id });
    }

    /// Keeps a name with all that the table says below it.
    fn whole(&mut self, dir: u64, name: Vec<u8>, slot: Option<u64>) -> std::io::Result<()> {
        let mut todo = vec![(dir, name, slot)];
        while let Some((dir, name, slot)) = todo.pop() {
            let Some(id) = slot else {
                self.kept.push(Op::Hide { dir, name });
                continue;
            };
            // One with several names is said once.
            if self.told.insert(id)
                && let Some(mut saved) = self.nodes.get(&id).cloned()
            {
                if let Some(origin) = saved.origin.take_if(|o| o.layer == Layer::Tree)
                    && (saved.facts.kind == FileKind::Dir || !saved.upper)
                {
                    saved.origin = self.carry(id, &origin.path)?;
                }
                self.kept.push(Op::Node { id, saved });
                for (name, slot) in self.dirs.remove(&id).unwrap_or_default() {
                    todo.push((id, name, slot));
                }
            }
            self.kept.push(Op::Name { dir, name, id });
        }
        Ok(())
    }

    /// Writes out something of the tree that was forked, and returns where it is then.
    fn carry(&self, id: u64, path: &[u8]) -> std::io::Result<Option<Origin>> {
        let mut entry = Entry {
            name: Vec::new(),
            mode: 0o755,
            kind: Kind::Dir(self.old),
        };
        for name in path.split(|b| *b == b'/') {
            let Some(tree) = entry.kind.tree() else {
                return Ok(None);
            };
            match self.store.tree(tree).map_err(of_store)?.get(name) {
                Some(found) => entry = found.clone(),
                None => return Ok(None),
            }
        }
        let name = format!("carried-{}", hex(id));
        let at = self.dir.join("kept").join(&name);
        // Of a try that was cut off.
        let _ = std::fs::remove_file(&at).or_else(|_| std::fs::remove_dir_all(&at));
        self.write_out(&entry, &at)?;
        Ok(at.symlink_metadata().is_ok().then(|| Origin {
            layer: Layer::Kept,
            path: name.into_bytes(),
        }))
    }

    fn write_out(&self, entry: &Entry, at: &Path) -> std::io::Result<()> {
        let mode = std::fs::Permissions::from_mode(entry.mode & 0o7777);
        match &entry.kind {
            Kind::File { blob, .. } => {
                let mut file = std::fs::File::create_new(at)?;
                self.store
                    .write_blob_to(*blob, &mut file)
                    .map_err(of_store)?;
                file.set_permissions(mode)?;
                file.sync_all()
            }
            Kind::Symlink(target) => std::os::unix::fs::symlink(OsStr::from_bytes(target), at),
            Kind::Dir(tree) => {
                std::fs::create_dir(at)?;
                for below in &self.store.tree(*tree).map_err(of_store)?.entries {
                    self.write_out(below, &at.join(OsStr::from_bytes(&below.name)))?;
                }
                std::fs::set_permissions(at, mode)
            }
            // They hold nothing.
            _ => Ok(()),
        }
    }

    /// Writes out the branch's own of what cannot stay.
    fn put_aside(&mut self, path: &RepoPath, id: u64) -> std::io::Result<()> {
        let mut todo = vec![(path.clone(), id)];
        while let Some((path, id)) = todo.pop() {
            let Some(saved) = self.nodes.get(&id) else {
                continue;
            };
            let kind = saved.facts.kind;
            if kind == FileKind::Dir {
                for (name, slot) in self.dirs.remove(&id).unwrap_or_default() {
                    if let (Ok(path), Some(id)) = (path.join(&name), slot) {
                        todo.push((path, id));
                    }
                }
                continue;
            }
            if !saved.upper {
                continue;
            }
            let to = self.aside.join(OsStr::from_bytes(path.as_bytes()));
            if let Some(parent) = to.parent() {
                std::fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(parent)?;
            }
            std::fs::copy(self.upper(id), &to)?;
            self.displaced.push(path);
        }
        Ok(())
    }
}
