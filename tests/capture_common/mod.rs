//! What the tests of capture share: a project with a recorder, a hand that changes files as a mounted view does, and
//! two independent ways to describe a state.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests; not every test file uses all of it"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use backtrail::capture::observe::Observer;
use backtrail::capture::recorder::{Attribution, Cut, Group, Made, Recorder, Settings};
use backtrail::model::{
    Cause, CommitId, Kind, LinkRule, Origin, RepoPath, Step, Touch, TreeId, Writer,
};
use backtrail::store::{NewCommit, Store};

/// A state: each path with its kind, mode and content.
pub type State = BTreeMap<Vec<u8>, String>;

pub fn p(path: impl AsRef<[u8]>) -> RepoPath {
    RepoPath::new(path.as_ref()).unwrap()
}

/// Names the commit after its writers.
pub struct ByWriter;

impl Attribution for ByWriter {
    fn group(
        &self,
        _: &RepoPath,
        _: Option<&backtrail::model::Entry>,
        writers: &[Writer],
    ) -> Group {
        let inside = writers.iter().find(|w| w.origin == Origin::Inside);
        Group {
            outside: inside.is_none(),
            author: inside.map_or("outside".to_owned(), |w| w.comm.clone()),
            session: None,
            step: None,
            order: 0,
            part: 0,
        }
    }

    fn step_for(
        &self,
        _: &Group,
        _: CommitId,
        _: &NewCommit,
        _: Cause,
    ) -> Option<(Step, LinkRule, u8)> {
        None
    }
}

pub struct Project {
    pub dir: tempfile::TempDir,
    pub root: PathBuf,
    pub store: Arc<Store>,
    pub recorder: Arc<Recorder>,
    /// Held for reading by every change, for writing by a swap; counts the swaps.
    pub gate: RwLock<u64>,
    /// Held for writing by renames, so that a name means the same while something is done to it and reported.
    pub names: RwLock<()>,
}

impl Project {
    /// An empty project, not scanned.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// A project that `fill` makes before the recorder is opened.
    pub fn with(fill: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("project");
        fs::create_dir(&root).unwrap();
        fill(&root);
        let store = Arc::new(Store::open(&dir.path().join("store")).unwrap());
        let (settings, _) = Settings::load(&root).unwrap();
        let recorder = Recorder::open(Arc::clone(&store), &root, settings).unwrap();
        Self {
            dir,
            root,
            store,
            recorder,
            gate: RwLock::new(0),
            names: RwLock::new(()),
        }
    }

    /// The same project and store, in another recorder: a new start of the engine.
    pub fn reopened(&self) -> Arc<Recorder> {
        let (settings, _) = Settings::load(&self.root).unwrap();
        Recorder::open(Arc::clone(&self.store), &self.root, settings).unwrap()
    }

    pub fn scanned(self) -> Self {
        self.scan();
        self
    }

    pub fn scan(&self) {
        self.recorder.start_scan(Arc::new(ByWriter));
        assert!(self.recorder.wait_scan(Duration::from_secs(60)));
    }

    pub fn cut(&self) -> Made {
        self.cut_with(Cause::Manual, None, &|| {}).unwrap()
    }

    /// Cuts with `at_swap` run in the moment of the swap, nothing else being in flight.
    pub fn cut_with(
        &self,
        cause: Cause,
        message: Option<&str>,
        at_swap: &dyn Fn(),
    ) -> Result<Made, backtrail::capture::recorder::Error> {
        self.recorder.cut(Cut {
            cause,
            message: message.map(str::to_owned),
            swap: &|swap| {
                let mut gate = self.gate.write().unwrap();
                *gate += 1;
                at_swap();
                swap();
            },
            flush: &|_| {},
            attribution: &ByWriter,
            session: None,
        })
    }

    pub fn head_tree(&self) -> TreeId {
        self.recorder.head().unwrap().1
    }

    pub fn head_state(&self) -> State {
        unfold(&self.store, self.head_tree())
    }

    pub fn path(&self, path: impl AsRef<[u8]>) -> PathBuf {
        self.root.join(std::ffi::OsStr::from_bytes(path.as_ref()))
    }

    pub fn hand(&self, comm: &str) -> Hand<'_> {
        Hand {
            project: self,
            who: Writer {
                origin: Origin::Inside,
                pid: 7,
                comm: comm.to_owned(),
                cgroup: String::new(),
            },
        }
    }

    pub fn commits(&self) -> u64 {
        self.store.commit_count().unwrap()
    }
}

/// Changes files as a mounted view does: tells before, changes inside the gate, tells after.
pub struct Hand<'a> {
    project: &'a Project,
    pub who: Writer,
}

impl Hand<'_> {
    pub fn act<R>(
        &self,
        touches: &[(&RepoPath, Touch)],
        renames: bool,
        act: impl FnOnce() -> std::io::Result<R>,
        told: impl FnOnce(&Recorder, &Writer),
    ) -> std::io::Result<R> {
        let p = self.project;
        loop {
            let swaps = *p.gate.read().unwrap();
            for (path, touch) in touches {
                p.recorder.before(path, *touch);
            }
            let gate = p.gate.read().unwrap();
            if *gate != swaps {
                continue;
            }
            let (_all, _one) = if renames {
                (Some(p.names.write().unwrap()), None)
            } else {
                (None, Some(p.names.read().unwrap()))
            };
            let done = act()?;
            told(&p.recorder, &self.who);
            return Ok(done);
        }
    }

    /// Whether a link stands where the path needs a directory, or, with `itself`, is the path.
    pub fn through_link(&self, path: &[u8], itself: bool) -> bool {
        let path = p(path);
        let mut at = if itself { Some(path) } else { path.parent() };
        while let Some(dir) = at {
            if self.project.path(dir.as_bytes()).is_symlink() && !dir.is_root() {
                return true;
            }
            at = dir.parent();
        }
        false
    }

    fn one(
        &self,
        path: &[u8],
        touch: Touch,
        act: impl FnOnce(&Path) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        if self.through_link(path, touch == Touch::Content) {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        let (repo, real) = (p(path), self.project.path(path));
        self.act(
            &[(&repo, touch)],
            false,
            || act(&real),
            |r, who| {
                r.changed(&repo, touch, who);
            },
        )
    }

    pub fn write(&self, path: impl AsRef<[u8]>, content: &[u8]) -> std::io::Result<()> {
        let path = path.as_ref();
        if self.project.path(path).symlink_metadata().is_err() {
            self.one(path, Touch::Create, |real| fs::write(real, b""))?;
        }
        self.one(path, Touch::Content, |real| fs::write(real, content))
    }

    pub fn append(&self, path: impl AsRef<[u8]>, content: &[u8]) -> std::io::Result<()> {
        use std::io::Write;
        self.one(path.as_ref(), Touch::Content, |real| {
            fs::OpenOptions::new()
                .append(true)
                .open(real)?
                .write_all(content)
        })
    }

    pub fn mkdir(&self, path: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.one(path.as_ref(), Touch::Create, |real| fs::create_dir(real))
    }

    pub fn rmdir(&self, path: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.one(path.as_ref(), Touch::Remove, |real| fs::remove_dir(real))
    }

    pub fn unlink(&self, path: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.one(path.as_ref(), Touch::Remove, |real| fs::remove_file(real))
    }

    pub fn chmod(&self, path: impl AsRef<[u8]>, mode: u32) -> std::io::Result<()> {
        self.one(path.as_ref(), Touch::Meta, |real| {
            if real.symlink_metadata()?.is_symlink() {
                return Err(std::io::ErrorKind::InvalidInput.into());
            }
            fs::set_permissions(real, fs::Permissions::from_mode(mode))
        })
    }

    pub fn symlink(&self, target: &str, path: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.one(path.as_ref(), Touch::Create, |real| {
            std::os::unix::fs::symlink(target, real)
        })
    }

    pub fn link(&self, from: impl AsRef<[u8]>, path: impl AsRef<[u8]>) -> std::io::Result<()> {
        if self.through_link(from.as_ref(), true) {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        let from = self.project.path(from);
        self.one(path.as_ref(), Touch::Create, |real| {
            fs::hard_link(from, real)
        })
    }

    /// rename(2), with EXCHANGE if so.
    pub fn rename(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
        exchange: bool,
    ) -> std::io::Result<()> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        let (from, to) = (from.as_ref(), to.as_ref());
        if self.through_link(from, false) || self.through_link(to, false) {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        let (a, b) = (p(from), p(to));
        let (real_a, real_b) = (self.project.path(from), self.project.path(to));
        let flags = if exchange {
            RenameFlags::EXCHANGE
        } else {
            RenameFlags::empty()
        };
        let same = match (real_a.symlink_metadata(), real_b.symlink_metadata()) {
            (Ok(x), Ok(y)) => x.ino() == y.ino(),
            _ => false,
        };
        if same {
            return Ok(());
        }
        let first = if exchange {
            Touch::Create
        } else {
            Touch::Remove
        };
        self.act(
            &[(&a, first), (&b, Touch::Create)],
            true,
            || Ok(renameat_with(CWD, &real_a, CWD, &real_b, flags)?),
            |r, who| r.renamed(&a, &b, exchange, who),
        )
    }

    /// As `rm -r` does it: what is inside first.
    pub fn remove_all(&self, path: &[u8]) -> std::io::Result<()> {
        let real = self.project.path(path);
        if self.through_link(path, false) {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        if !real.symlink_metadata()?.is_dir() {
            return self.unlink(path);
        }
        for entry in fs::read_dir(&real)? {
            let mut below = path.to_vec();
            below.push(b'/');
            below.extend_from_slice(entry?.file_name().as_bytes());
            self.remove_all(&below)?;
        }
        self.rmdir(path)
    }
}

/// What is on disk, `.git` and what `skip` names left out, read without any of the code under test.
pub fn walk(root: &Path, skip: &[&str]) -> State {
    let mut state = State::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = fs::read_dir(&dir) else {
            continue;
        };
        for entry in entries {
            let entry = entry.unwrap();
            let path = entry.path();
            let relative = path.strip_prefix(root).unwrap();
            let name = relative.file_name().unwrap();
            if name == ".git" || skip.iter().any(|s| Path::new(s) == relative) {
                continue;
            }
            let meta = path.symlink_metadata().unwrap();
            let mode = meta.mode() & 0o7777;
            let t = meta.file_type();
            let text = if t.is_dir() {
                dirs.push(path.clone());
                format!("dir {mode:o}")
            } else if t.is_symlink() {
                format!("link {:?}", fs::read_link(&path).unwrap())
            } else if t.is_fifo() {
                format!("fifo {mode:o}")
            } else if t.is_socket() {
                format!("socket {mode:o}")
            } else {
                describe(mode, &fs::read(&path).unwrap())
            };
            state.insert(relative.as_os_str().as_bytes().to_vec(), text);
        }
    }
    state
}

fn describe(mode: u32, content: &[u8]) -> String {
    if content.len() > 40 {
        return format!(
            "file {mode:o} {} bytes {}",
            content.len(),
            blake3::hash(content)
        );
    }
    format!("file {mode:o} {:?}", String::from_utf8_lossy(content))
}

/// The same of a tree in the store.
pub fn unfold(store: &Store, tree: TreeId) -> State {
    let mut state = State::new();
    let mut dirs = vec![(RepoPath::root(), tree)];
    while let Some((dir, id)) = dirs.pop() {
        for e in &store.tree(id).unwrap().entries {
            let path = dir.join(&e.name).unwrap();
            let text = match &e.kind {
                Kind::Dir(id) => {
                    dirs.push((path.clone(), *id));
                    format!("dir {:o}", e.mode)
                }
                Kind::Symlink(target) => {
                    format!("link {:?}", std::ffi::OsStr::from_bytes(target))
                }
                Kind::Fifo => format!("fifo {:o}", e.mode),
                Kind::Socket => format!("socket {:o}", e.mode),
                Kind::Device { .. } => "device".to_owned(),
                Kind::Unknown { .. } => "never captured".to_owned(),
                Kind::File { blob, size } => {
                    let content = store.blob(*blob).unwrap();
                    assert_eq!(content.len() as u64, *size);
                    describe(e.mode, &content)
                }
            };
            state.insert(path.as_bytes().to_vec(), text);
        }
    }
    state
}

/// A difference in words that a person can read.
pub fn assert_same(found: &State, wanted: &State, what: &str) {
    let mut lines = Vec::new();
    for path in found.keys().chain(wanted.keys()) {
        let (f, w) = (found.get(path), wanted.get(path));
        if f != w {
            let line = format!(
                "{:?}: captured {f:?}, on disk {w:?}",
                path.escape_ascii().to_string()
            );
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    assert!(lines.is_empty(), "{what}:\n{}", lines.join("\n"));
}
