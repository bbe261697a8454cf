//! A real mount over a temporary directory, and an observer that writes down what it is told.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests; each file uses a part"
)]

pub mod ops;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use backtrail::capture::observe::Observer;
use backtrail::fs::{Error, Gate, Invalidate, LiveView, MountOptions, Mounted};
use backtrail::model::{RepoPath, Touch, Writer};
use rustix::fs::{Mode, OFlags};

/// What an observer was told, one line each: `create a`, `content a`, `rename a b`, ...
#[derive(Default)]
pub struct Notes {
    lines: Mutex<Vec<(String, Writer)>>,
    before: Mutex<Vec<String>>,
}

impl Notes {
    fn add(&self, line: String, who: &Writer) {
        self.lines.lock().unwrap().push((line, who.clone()));
    }

    /// Everything told so far, forgetting it.
    pub fn take(&self) -> Vec<String> {
        self.take_with().into_iter().map(|(l, _)| l).collect()
    }

    pub fn take_with(&self) -> Vec<(String, Writer)> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }

    /// How many changes; a release is none.
    pub fn changes(&self) -> usize {
        let lines = self.lines.lock().unwrap();
        lines
            .iter()
            .filter(|(l, _)| !l.starts_with("closed"))
            .count()
    }

    pub fn take_before(&self) -> Vec<String> {
        std::mem::take(&mut self.before.lock().unwrap())
    }
}

fn word(touch: Touch) -> &'static str {
    match touch {
        Touch::Content => "content",
        Touch::Meta => "meta",
        Touch::Create => "create",
        Touch::Remove => "remove",
    }
}

impl Observer for Notes {
    fn before(&self, path: &RepoPath, touch: Touch) {
        self.before
            .lock()
            .unwrap()
            .push(format!("{} {path}", word(touch)));
    }
    fn changed(&self, path: &RepoPath, touch: Touch, who: &Writer) {
        self.add(format!("{} {path}", word(touch)), who);
    }
    fn renamed(&self, from: &RepoPath, to: &RepoPath, exchange: bool, who: &Writer) {
        let how = if exchange { "exchange" } else { "rename" };
        self.add(format!("{how} {from} {to}"), who);
    }
    fn opened_for_write(&self, path: &RepoPath, who: &Writer) {
        self.add(format!("opened {path}"), who);
    }
    fn closed_for_write(&self, path: &RepoPath) {
        self.add(format!("closed {path}"), &Writer::outside());
    }
}

/// Staging files of the tests.
pub fn hidden(name: &[u8]) -> bool {
    name.starts_with(b".bt-staging-")
}

/// A mount of `real` at `live`.
pub struct World {
    pub dir: tempfile::TempDir,
    pub real: PathBuf,
    pub live: PathBuf,
    pub view: Arc<LiveView>,
    pub gate: Arc<Gate>,
    pub notes: Arc<Notes>,
    pub tell: Arc<dyn Invalidate>,
    pub mounted: Option<Mounted>,
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(m) = self.mounted.take()
            && let Err(e) = m.unmount()
        {
            eprintln!("unmount: {e}");
        }
    }
}

/// Whether mounts can be tested here; prints why not.
pub fn fuse_is_here() -> bool {
    if let Err(e) = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/fuse")
    {
        eprintln!("skipped: /dev/fuse cannot be opened: {e}");
        return false;
    }
    true
}

pub fn open_dir(path: &Path) -> std::os::fd::OwnedFd {
    rustix::fs::open(
        path,
        OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .unwrap()
}

/// `None` where FUSE is missing.
pub fn world() -> Option<World> {
    world_in(tempfile::tempdir().unwrap())
}

pub fn world_in(dir: tempfile::TempDir) -> Option<World> {
    if !fuse_is_here() {
        return None;
    }
    let real = dir.path().join("real");
    let live = dir.path().join("live");
    std::fs::create_dir_all(&real).unwrap();
    std::fs::create_dir_all(&live).unwrap();
    let notes = Arc::new(Notes::default());
    let gate = Gate::new();
    let view = LiveView::new(
        open_dir(&real),
        Arc::clone(&notes) as Arc<dyn Observer>,
        Arc::clone(&gate),
        hidden,
    );
    let mounted = match Mounted::mount(Arc::clone(&view), &live, MountOptions::default()) {
        Ok(m) => m,
        Err(
            e @ (Error::NoDevice
            | Error::DeviceDenied(_)
            | Error::NoFusermount
            | Error::Refused { .. }),
        ) => {
            eprintln!("skipped: {e}");
            return None;
        }
        Err(e) => panic!("{e}"),
    };
    Some(World {
        dir,
        real,
        live,
        view,
        gate,
        notes,
        tell: mounted.invalidator(),
        mounted: Some(mounted),
    })
}

/// Waits for something that another thread or process brings about.
pub fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !so() {
        assert!(std::time::Instant::now() < until, "never: {what}");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

pub fn p(s: &str) -> RepoPath {
    RepoPath::try_from(s).unwrap()
}

/// Runs a script in `dir`; panics with its output when it fails.
pub fn sh(dir: &Path, script: &str) -> String {
    let out = try_sh(dir, script);
    assert!(
        out.status.success(),
        "{script}\n{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8_lossy(&out.stdout).into_owned()
}

pub fn try_sh(dir: &Path, script: &str) -> Output {
    Command::new("sh")
        .args(["-euc", script])
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C")
        .output()
        .unwrap()
}

/// Whether the program is installed; prints that a part is skipped when not.
pub fn have(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program} >/dev/null")])
        .status()
        .unwrap()
        .success();
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}
