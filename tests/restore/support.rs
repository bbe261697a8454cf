//! States of a directory as plain maps: written to disk, read back, kept in a store.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use backtrail::capture::journal::{Intent, Journal, Options};
use backtrail::capture::restore::{
    Applied, Error, Plan, World, apply, is_staging_name, plan, put_back, recover,
};
use backtrail::model::{CommitId, Entry, Kind, OpKind, RepoPath, Time, Tree, TreeId};
use backtrail::store::Store;
use rustix::fs::{FileType, Mode, OFlags};

#[derive(Clone, PartialEq, Eq)]
pub enum Node {
    File(Vec<u8>, u32),
    Link(Vec<u8>),
    Fifo(u32),
    Dir(u32),
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(c, m) => {
                let start = c.get(..24.min(c.len())).unwrap().escape_ascii();
                write!(f, "File({m:o}, {} bytes \"{start}\")", c.len())
            }
            Self::Link(t) => write!(f, "Link({})", t.escape_ascii()),
            Self::Fifo(m) => write!(f, "Fifo({m:o})"),
            Self::Dir(m) => write!(f, "Dir({m:o})"),
        }
    }
}

/// Every path with what is there; parents are listed.
pub type State = BTreeMap<RepoPath, Node>;

pub fn p(path: &str) -> RepoPath {
    RepoPath::try_from(path).unwrap()
}

pub fn file(content: &str) -> Node {
    Node::File(content.into(), 0o644)
}

/// A state of paths and things; directories that are not named get mode 755.
pub fn state(things: &[(&str, Node)]) -> State {
    let mut out = State::new();
    for (path, node) in things {
        let path = p(path);
        let mut up = path.parent().unwrap();
        while !up.is_root() {
            out.entry(up.clone()).or_insert(Node::Dir(0o755));
            up = up.parent().unwrap();
        }
        out.insert(path, node.clone());
    }
    out
}

pub fn at(root: &Path, path: &RepoPath) -> PathBuf {
    root.join(path.as_path())
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub fn write(root: &Path, state: &State) {
    for (path, node) in state {
        let to = at(root, path);
        match node {
            Node::Dir(_) => fs::create_dir(&to).unwrap(),
            Node::File(content, mode) => {
                fs::write(&to, content).unwrap();
                chmod(&to, *mode);
            }
            Node::Link(target) => symlink(OsStr::from_bytes(target), &to).unwrap(),
            Node::Fifo(mode) => {
                let cwd = rustix::fs::CWD;
                rustix::fs::mknodat(cwd, &to, FileType::Fifo, Mode::RWXU, 0).unwrap();
                chmod(&to, *mode);
            }
        }
    }
    for (path, node) in state.iter().rev() {
        if let Node::Dir(mode) = node {
            chmod(&at(root, path), *mode);
        }
    }
}

pub fn read(root: &Path) -> State {
    let mut out = State::new();
    let mut open = vec![RepoPath::root()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(at(root, &dir)).unwrap() {
            let entry = entry.unwrap();
            let path = dir.join(entry.file_name().as_bytes()).unwrap();
            let full = entry.path();
            let meta = fs::symlink_metadata(&full).unwrap();
            let mode = meta.mode() & 0o7777;
            let node = if meta.is_dir() {
                open.push(path.clone());
                Node::Dir(mode)
            } else if meta.is_symlink() {
                Node::Link(
                    fs::read_link(&full)
                        .unwrap()
                        .as_os_str()
                        .as_bytes()
                        .to_vec(),
                )
            } else if meta.file_type().is_fifo() {
                Node::Fifo(mode)
            } else {
                assert!(meta.is_file(), "{path}");
                Node::File(fs::read(&full).unwrap(), mode)
            };
            out.insert(path, node);
        }
    }
    out
}

pub fn keep(store: &Store, state: &State) -> TreeId {
    let mut trees: BTreeMap<RepoPath, Vec<Entry>> = BTreeMap::new();
    trees.insert(RepoPath::root(), Vec::new());
    // Deepest first, so that a directory's own tree is complete when it is put into its parent's.
    let mut paths: Vec<_> = state.iter().collect();
    paths.sort_by_key(|(p, _)| std::cmp::Reverse(p.parts().count()));
    for (path, node) in paths {
        let (mode, kind) = match node {
            Node::File(content, mode) => {
                let blob = store.put_blob(content).unwrap();
                let size = content.len() as u64;
                (*mode, Kind::File { blob, size })
            }
            Node::Link(target) => (0o777, Kind::Symlink(target.clone())),
            Node::Fifo(mode) => (*mode, Kind::Fifo),
            Node::Dir(mode) => {
                let entries = trees.remove(path).unwrap_or_default();
                let id = store.put_tree(&Tree::new(entries)).unwrap();
                (*mode, Kind::Dir(id))
            }
        };
        let entry = Entry {
            name: path.name().to_vec(),
            mode,
            kind,
        };
        trees.entry(path.parent().unwrap()).or_default().push(entry);
    }
    let root = trees.remove(&RepoPath::root()).unwrap();
    store.put_tree(&Tree::new(root)).unwrap()
}

/// A store, a journal, and a project directory beside them.
pub struct Lab {
    pub dir: tempfile::TempDir,
    pub store: Store,
    pub journal: Journal,
}

impl Lab {
    /// On the disk.
    pub fn new() -> Self {
        Self::in_dir(tempfile::tempdir().unwrap())
    }

    /// In memory where that is possible: for tests that do hundreds of restores and no power cut.
    pub fn in_memory() -> Self {
        Self::in_dir(memory_dir())
    }

    fn in_dir(dir: tempfile::TempDir) -> Self {
        fs::create_dir(dir.path().join("project")).unwrap();
        let (store, journal) = open(dir.path());
        Self {
            dir,
            store,
            journal,
        }
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("project")
    }

    /// An empty project directory.
    pub fn clear(&self) {
        let root = self.root();
        fs::remove_dir_all(&root).unwrap();
        fs::create_dir(&root).unwrap();
    }

    pub fn plan(&self, from: &State, to: &State) -> Plan {
        let (from, to) = (keep(&self.store, from), keep(&self.store, to));
        self.store.sync().unwrap();
        plan(&self.store, from, to, &|_, _, _| false).unwrap()
    }

    pub fn apply(&self, plan: &Plan, world: &dyn World) -> Result<Applied, Error> {
        let root = open_root(&self.root());
        let intent = intent(plan);
        let applied = apply(&self.store, root.as_fd(), &self.journal, &intent, world)?;
        assert_eq!(self.journal.pending().unwrap().as_ref(), Some(&intent));
        self.journal.done(&intent).unwrap();
        Ok(applied)
    }
}

pub fn memory_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

pub fn open(dir: &Path) -> (Store, Journal) {
    // A child of another test holds our lock too between its fork and its exec.
    let store = Store::open_wait(&dir.join("store"), Duration::from_secs(20)).unwrap();
    let journal = Journal::open(&dir.join("journal")).unwrap();
    (store, journal)
}

pub fn open_root(root: &Path) -> OwnedFd {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(root, flags, Mode::empty()).unwrap()
}

pub fn intent(plan: &Plan) -> Intent {
    Intent {
        operation: OpKind::Rollback,
        description: "roll back".into(),
        branch: "main".into(),
        time: Time::now(),
        target: None,
        from_commit: CommitId([1; 32]),
        to_commit: CommitId([2; 32]),
        options: Options::default(),
        changes: plan.changes().to_vec(),
        switch: None,
    }
}

/// What the next start does. `false`: there was nothing to finish.
pub fn finish(dir: &Path) -> bool {
    let (store, journal) = open(dir);
    let Some(intent) = journal.pending().unwrap() else {
        return false;
    };
    let root = open_root(&dir.join("project"));
    put_back(&store, root.as_fd(), &journal, &intent).unwrap();
    recover(&store, root.as_fd(), &journal, &intent).unwrap();
    journal.done(&intent).unwrap();
    true
}

pub fn assert_no_staging(state: &State) {
    for path in state.keys() {
        assert!(!path.parts().any(is_staging_name), "left behind: {path}");
    }
}

/// A world in which every file is held open through the view.
pub struct AllOpen;

impl World for AllOpen {
    fn open_count(&self, _: &RepoPath) -> usize {
        1
    }
}
