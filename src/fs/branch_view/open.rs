//! Making, opening and removing branch views: what is kept of each on disk, and how it is taken up again.
//!
//! `branch.json` is written last and removed first, so a branch is either there as a whole or not at all. Content that no
//! name in the table leads to is taken away when the branch is opened.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::super::gate::Gate;
use super::super::resolve::Root;
use super::content::{Contents, private};
use super::git;
use super::layers::{Layers, LeftOut, Lower, exists};
use super::nodes::Nodes;
use super::table::{Layer, Op, Origin, Table};
use super::times::from_ns;
use super::view::{BranchView, hex};
use crate::capture::observe::Observer;
use crate::model::{CommitId, Time, TreeId};
use crate::store::Store;

/// Why a branch's view cannot be made or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BranchError {
    /// A file of its own.
    #[error("cannot {what} {path:?} for the branch: {source}")]
    Io {
        /// What was to be done.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// There is one of that name.
    #[error("there is a branch view in {0:?} already; open it, or take another name")]
    Exists(PathBuf),
    /// What is kept of it cannot be read.
    #[error(
        "{0:?} is not the description of a branch view: {1}; remove the directory to begin anew"
    )]
    Bad(PathBuf, String),
    /// The project's repository cannot be made a part of it.
    #[error("the project's repository cannot be used in a branch: {0}")]
    Git(String),
    /// A layer below cannot be read.
    #[error("what the branch begins with cannot be read: {0}")]
    Layer(std::io::Error),
}

pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BranchError {
    let path = path.to_owned();
    move |source| BranchError::Io { what, path, source }
}

/// On what branches of a project stand.
#[derive(Clone)]
pub struct Ground {
    /// Where the forked commits are.
    pub store: Arc<Store>,
    /// The project's real directory: a path at which nothing of ours is mounted when the view is made.
    pub project: PathBuf,
    /// Where branches keep what is theirs: `NAME/` each, `materialised/` and `pins/` for all. Must not lie in the project.
    pub dir: PathBuf,
    /// What capture leaves out of the forked state; there the project's own shows through.
    pub left_out: LeftOut,
}

impl std::fmt::Debug for Ground {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ground")
            .field("project", &self.project)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// What was forked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// The files.
    pub tree: TreeId,
    /// The commit they are of, for the times of files.
    pub commit: Option<CommitId>,
    /// What the project holds at the time of the fork: files that are others there get the present time, so that what was
    /// built in the project is built anew in the branch.
    pub present: Option<TreeId>,
}

/// What is kept of a branch besides its table.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Description {
    version: u32,
    tree: String,
    commit: Option<String>,
    present: Option<String>,
    created_ns: i64,
}

impl Description {
    /// Of a branch that is made now.
    pub fn of(base: &Base) -> Self {
        let text = |id: &[u8; 32]| blake3::Hash::from_bytes(*id).to_hex().to_string();
        Self {
            version: 1,
            tree: text(&base.tree.0),
            commit: base.commit.map(|c| text(&c.0)),
            present: base.present.map(|t| text(&t.0)),
            created_ns: Time::now().0.saturating_mul(1000),
        }
    }

    /// That of the branch in `dir`.
    pub fn read(dir: &Path) -> Result<Self, BranchError> {
        let file = dir.join("branch.json");
        let json = std::fs::read(&file).map_err(io("read", &file))?;
        let description: Self = serde_json::from_slice(&json)
            .map_err(|e| BranchError::Bad(file.clone(), e.to_string()))?;
        if description.version != 1 {
            let why = format!("version {} is newer than this program", description.version);
            return Err(BranchError::Bad(file, why));
        }
        Ok(description)
    }

    /// The files that were forked.
    pub fn tree(&self) -> Result<TreeId, BranchError> {
        blake3::Hash::from_hex(&self.tree)
            .map(|h| TreeId(*h.as_bytes()))
            .map_err(|e| BranchError::Bad(PathBuf::from("branch.json"), e.to_string()))
    }

    /// Puts it in the branch's directory as a whole, whatever becomes of the machine.
    pub fn write(&self, dir: &Path) -> Result<(), BranchError> {
        let file = dir.join("branch.json");
        let json = serde_json::to_vec_pretty(self)
            .map_err(|e| BranchError::Bad(file.clone(), e.to_string()))?;
        let beside = dir.join("branch.json.new");
        std::fs::File::create(&beside)
            .and_then(|mut f| f.write_all(&json).and_then(|()| f.sync_all()))
            .map_err(io("write", &beside))?;
        std::fs::rename(&beside, &file).map_err(io("write", &file))
    }
}

/// A name that is one part of a path and hides nothing.
pub(super) fn check_name(name: &str) -> Result<(), BranchError> {
    let fine = !name.is_empty()
        && !name.starts_with('.')
        && name.len() <= 200
        && !["materialised", "pins"].contains(&name)
        && !name.contains(['/', '\0']);
    if fine {
        Ok(())
    } else {
        Err(BranchError::Bad(
            PathBuf::from(name),
            "the name must be one part of a path, not begin with a dot, and not be `materialised` or `pins`".to_owned(),
        ))
    }
}

fn open_dir(path: &Path) -> Result<OwnedFd, BranchError> {
    fs::open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|e| io("open", path)(e.into()))
}

impl BranchView {
    /// Makes the branch `name` of `base`. Nothing of its files is copied; of the project's repository, what changes.
    pub fn create(
        ground: &Ground,
        name: &str,
        base: Base,
        observer: Arc<dyn Observer>,
        gate: Arc<Gate>,
    ) -> Result<Arc<Self>, BranchError> {
        check_name(name)?;
        let dir = ground.dir.join(name);
        if dir.join("branch.json").exists() {
            return Err(BranchError::Exists(dir));
        }
        // The rest of one that was cut off while it was made.
        match std::fs::remove_dir_all(&dir) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(io("clear", &dir)(e));
            }
            _ => {}
        }
        for d in [&dir, &dir.join("upper"), &dir.join("kept")] {
            private(d).map_err(io("make", d))?;
        }
        let names = dir.join("names");
        let table = Table::create(&names).map_err(io("make", &names))?;
        let description = Description::of(&base);
        let view = Self::build(ground, &dir, &description, table, observer, gate)?;
        git::transplant(&view, &ground.project, &dir.join("kept"))?;
        // Last: from here on the branch is there.
        description.write(&dir)?;
        Ok(view)
    }

    /// Opens the branch `name` as it was left.
    pub fn open(
        ground: &Ground,
        name: &str,
        observer: Arc<dyn Observer>,
        gate: Arc<Gate>,
    ) -> Result<Arc<Self>, BranchError> {
        check_name(name)?;
        let dir = ground.dir.join(name);
        let description = Description::read(&dir)?;
        let names = dir.join("names");
        let mut ops = Vec::new();
        let table = Table::open(&names, &mut |op| ops.push(op)).map_err(io("read", &names))?;
        let view = Self::build(ground, &dir, &description, table, observer, gate)?;
        view.resume(&ops)?;
        Ok(view)
    }

    /// Takes away what is kept of the branch `name`, which nobody must have open.
    pub fn remove(ground: &Ground, name: &str) -> Result<(), BranchError> {
        check_name(name)?;
        let dir = ground.dir.join(name);
        let file = dir.join("branch.json");
        // First: a half-removed one is no branch.
        std::fs::remove_file(&file).map_err(io("remove", &file))?;
        std::fs::remove_dir_all(&dir).map_err(io("remove", &dir))
    }

    fn build(
        ground: &Ground,
        dir: &Path,
        of: &Description,
        table: Table,
        observer: Arc<dyn Observer>,
        gate: Arc<Gate>,
    ) -> Result<Arc<Self>, BranchError> {
        let id = |text: &str| {
            blake3::Hash::from_hex(text)
                .map(|h| *h.as_bytes())
                .map_err(|e| BranchError::Bad(dir.join("branch.json"), e.to_string()))
        };
        let project = Root::new(open_dir(&ground.project)?);
        let owner = project
            .stat(project.fd())
            .map_err(|e| BranchError::Layer(e.into()))?;
        let cache = ground.dir.join("materialised");
        let layers = Layers {
            base: TreeId(id(&of.tree)?),
            commit: of.commit.as_deref().map(id).transpose()?.map(CommitId),
            present: of.present.as_deref().map(id).transpose()?.map(TreeId),
            git: git::roots(&ground.project, &ground.dir.join("pins"))?,
            kept: Root::new(open_dir(&dir.join("kept"))?),
            left_out: Arc::clone(&ground.left_out),
            contents: Contents::new(&cache).map_err(io("make", &cache))?,
            created: from_ns(of.created_ns),
            uid: owner.attr.uid,
            gid: owner.attr.gid,
            times: Mutex::default(),
            store: Arc::clone(&ground.store),
            project,
        };
        let mut root = layers
            .at(&Origin {
                layer: Layer::Tree,
                path: Vec::new(),
            })
            .map_err(|e| BranchError::Layer(e.into()))?
            .ok_or_else(|| BranchError::Layer(Errno::NOENT.into()))?;
        // The root's mode is not kept with a tree.
        root.facts.mode = owner.attr.perm;
        Ok(Arc::new(Self {
            layers,
            observer,
            gate,
            upper: open_dir(&dir.join("upper"))?,
            handles: Mutex::default(),
            copying: Mutex::default(),
            listings: Mutex::default(),
            sealed: Mutex::default(),
            drifted: Mutex::default(),
            dir: dir.to_owned(),
            nodes: Mutex::new(Nodes::new(root)),
            table: Mutex::new(table),
            space: RwLock::new(()),
        }))
    }

    /// Takes up what the table says.
    fn resume(&self, ops: &[Op]) -> Result<(), BranchError> {
        let mut nodes = self.nodes();
        for op in ops {
            nodes.apply(op);
        }
        let own = nodes
            .settle(|origin| self.layers.at(origin))
            .map_err(|e| BranchError::Layer(e.into()))?;
        for id in &own {
            if !exists(&self.upper, &hex(*id)) {
                // The machine went down before the file was on disk, and nobody had asked for that: as with any file
                // system, what was there before shows, or an empty file.
                tracing::warn!("the content of a file of a branch was lost");
                let Ok(node) = nodes.get_mut(*id) else {
                    continue;
                };
                if node.is_dir() || node.lower != Lower::None {
                    node.upper = false;
                } else {
                    self.make_upper(*id)
                        .map_err(|e| io("write", &self.dir.join("upper"))(e.into()))?;
                }
            }
        }
        let own: BTreeSet<String> = own.into_iter().map(hex).collect();
        let upper = self.dir.join("upper");
        for entry in std::fs::read_dir(&upper)
            .map_err(io("list", &upper))?
            .flatten()
        {
            if !entry.file_name().to_str().is_some_and(|n| own.contains(n)) {
                // Of a file that was removed while it was open, or of a change that was cut off.
                let _ = std::fs::remove_file(entry.path());
            }
        }
        let dump = nodes.dump();
        drop(nodes);
        let names = self.dir.join("names");
        self.table().rewrite(&dump).map_err(io("write", &names))
    }
}
