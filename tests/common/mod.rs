//! A project in a temporary directory with a data and a runtime directory of its own, and the program run on it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests; each test binary uses a part of this"
)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use backtrail::engine::api::{EntryInfo, Request, Response, RollbackReport};
use backtrail::engine::client::Client;
use backtrail::engine::source::Source;
use backtrail::model::RepoPath;

/// Whether FUSE can be used here; says so when not.
pub fn fuse() -> bool {
    let there = Path::new("/dev/fuse").exists()
        && (rustix::process::geteuid().is_root()
            || Command::new("fusermount3").arg("-V").output().is_ok());
    if !there {
        eprintln!("skipped: no /dev/fuse (or no fusermount3) here");
    }
    there
}

/// What is at a path: kind, mode (not for links), content or target.
pub type Tree = BTreeMap<PathBuf, (String, u32, Vec<u8>)>;

pub struct Place {
    temp: tempfile::TempDir,
    pub project: PathBuf,
}

impl Place {
    pub fn new() -> Self {
        let temp = tempfile::Builder::new()
            .prefix("bt-test-")
            .tempdir()
            .unwrap();
        let project = temp.path().join("project");
        std::fs::create_dir(&project).unwrap();
        Self { temp, project }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut c = Command::new(env!("CARGO_BIN_EXE_backtrail"));
        c.args(args)
            .current_dir(&self.project)
            .env("BACKTRAIL_DATA", self.path("data"))
            .env("BACKTRAIL_RUNTIME", self.path("run"))
            .env("BACKTRAIL_IDLE", "2")
            .env("BT", env!("CARGO_BIN_EXE_backtrail"))
            .env("HOME", self.path("home"))
            .env("TZ", "UTC")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env_remove("BACKTRAIL_SOCKET")
            .env_remove("BACKTRAIL_SESSION")
            .env_remove("BACKTRAIL_FAIL")
            .env_remove("XDG_RUNTIME_DIR")
            .stdin(Stdio::null());
        c
    }

    pub fn bt(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs, wants success, gives standard output.
    pub fn ok(&self, args: &[&str]) -> String {
        let out = self.bt(args);
        assert!(
            out.status.success(),
            "backtrail {args:?}: {}\n{}\n{}",
            out.status,
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    pub fn json(&self, args: &[&str]) -> Vec<serde_json::Value> {
        self.ok(args)
            .lines()
            .map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{l:?}: {e}")))
            .collect()
    }

    /// Runs a shell script under `backtrail run`.
    pub fn run(&self, script: &str) -> Output {
        self.command(["run", "--", "sh", "-euc", script])
            .output()
            .unwrap()
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.project.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn runtime(&self) -> PathBuf {
        let key = blake3::hash(
            self.project
                .canonicalize()
                .unwrap()
                .as_os_str()
                .as_encoded_bytes(),
        );
        self.path("run").join(&key.to_hex()[..16])
    }

    /// Starts an engine in the foreground of the test, so that it can be killed.
    pub fn engine(&self, fail: Option<&str>) -> Engine {
        let mut c = self.command(["engine", "--project"]);
        c.arg(&self.project)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        c.env("BACKTRAIL_IDLE", "60");
        if let Some(fail) = fail {
            c.env("BACKTRAIL_FAIL", fail);
        }
        Engine {
            child: c.spawn().unwrap(),
        }
    }

    /// Connects to the running engine, waiting for it to be there.
    pub async fn client(&self) -> Arc<Client> {
        self.try_client(Duration::from_secs(20))
            .await
            .expect("no engine came up")
    }

    pub async fn try_client(&self, patience: Duration) -> Option<Arc<Client>> {
        let start = Instant::now();
        loop {
            if let Ok(c) = Client::connect(&self.runtime().join("engine.sock")).await {
                return Some(Arc::new(c));
            }
            if start.elapsed() > patience {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.bt(&["stop", "--force"]);
        // A mount that a killed engine left would keep the directory from being removed.
        let mut mounts = vec![self.runtime().join("live")];
        for dir in ["branch", "scratch"] {
            let entries = std::fs::read_dir(self.runtime().join(dir));
            mounts.extend(entries.into_iter().flatten().flatten().map(|e| e.path()));
        }
        for at in mounts {
            let _ = Command::new("umount")
                .arg("-l")
                .arg(at)
                .stderr(Stdio::null())
                .status();
        }
    }
}

pub struct Engine {
    pub child: Child,
}

impl Engine {
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for it to end by itself.
    pub fn gone(&mut self, patience: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < patience {
            if self.child.try_wait().unwrap().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        false
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}

pub async fn ask(client: &dyn Source, request: Request) -> Response {
    let shown = format!("{request:?}");
    client
        .ask(request)
        .await
        .unwrap_or_else(|e| panic!("{shown}: {e}"))
}

pub async fn rollback(client: &dyn Source, rev: &str, keep_frozen: bool) -> RollbackReport {
    match ask(
        client,
        Request::Rollback {
            rev: rev.to_owned(),
            dry_run: false,
            keep_mtime: false,
            keep_frozen,
        },
    )
    .await
    {
        Response::Rollback(report) => *report,
        other => panic!("{other:?}"),
    }
}

/// A recorded state as the engine tells it.
pub async fn tree_at(client: &dyn Source, rev: &str) -> Tree {
    let mut out = Tree::new();
    let mut dirs = vec![RepoPath::root()];
    while let Some(dir) = dirs.pop() {
        let Response::Listing(entries) = ask(
            client,
            Request::List {
                rev: rev.to_owned(),
                path: dir,
            },
        )
        .await
        else {
            panic!("no listing")
        };
        for entry in entries {
            let content = content_of(client, &entry).await;
            if entry.kind == "dir" {
                dirs.push(entry.path.clone());
            }
            let mode = if entry.kind == "link" { 0 } else { entry.mode };
            out.insert(
                entry.path.as_path().to_path_buf(),
                (entry.kind, mode, content),
            );
        }
    }
    out
}

async fn content_of(client: &dyn Source, entry: &EntryInfo) -> Vec<u8> {
    let Some(id) = entry.blob else {
        return entry.target.clone().unwrap_or_default().into_bytes();
    };
    let mut out = Vec::new();
    while (out.len() as u64) < entry.size {
        let Response::Blob(part) = ask(
            client,
            Request::Blob {
                id,
                offset: out.len() as u64,
                len: 4 << 20,
            },
        )
        .await
        else {
            panic!("no blob")
        };
        assert!(!part.bytes.is_empty());
        out.extend_from_slice(&part.bytes);
    }
    out
}

/// A directory as it is, without `.git`, staging files and what `skip` names at the top.
pub fn walk(root: &Path, skip: &[&str]) -> Tree {
    let mut out = Tree::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(root.join(&dir)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            if name == ".git" || skip.iter().any(|s| name == *s) {
                continue;
            }
            let path = dir.join(&name);
            let meta = entry.path().symlink_metadata().unwrap();
            let kind = meta.file_type();
            let item = if kind.is_dir() {
                dirs.push(path.clone());
                (
                    "dir".to_owned(),
                    meta.permissions().mode() & 0o7777,
                    Vec::new(),
                )
            } else if kind.is_symlink() {
                let target = std::fs::read_link(entry.path()).unwrap();
                (
                    "link".to_owned(),
                    0,
                    target.as_os_str().as_encoded_bytes().to_vec(),
                )
            } else if kind.is_file() {
                let content = std::fs::read(entry.path()).unwrap();
                (
                    "file".to_owned(),
                    meta.permissions().mode() & 0o7777,
                    content,
                )
            } else {
                (
                    "fifo".to_owned(),
                    meta.permissions().mode() & 0o7777,
                    Vec::new(),
                )
            };
            out.insert(path, item);
        }
    }
    out
}

/// Where two trees differ, in words.
pub fn differences(a: &Tree, b: &Tree) -> Vec<String> {
    let mut out = Vec::new();
    for path in a.keys().chain(b.keys().filter(|p| !a.contains_key(*p))) {
        let (x, y) = (a.get(path), b.get(path));
        if x != y {
            let word = |t: Option<&(String, u32, Vec<u8>)>| {
                t.map_or_else(
                    || "absent".to_owned(),
                    |(k, m, c)| {
                        format!(
                            "{k} {m:o} {} bytes {:?}",
                            c.len(),
                            String::from_utf8_lossy(&c[..c.len().min(40)])
                        )
                    },
                )
            };
            out.push(format!("{}: {} / {}", path.display(), word(x), word(y)));
        }
    }
    out
}
