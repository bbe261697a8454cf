//! What git tracks, read from its index and never written: nothing that git tracks is ever left out.
//!
//! The index belongs to git and may be rewritten or cut short at any moment, so it is read into memory first (a mapped
//! file that shrinks would kill the process). Kept compact, about the length of the paths themselves.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use gix_index::{State, decode, hash::Kind};

use crate::model::{RepoPath, neutral};

/// An index larger than this is not read.
const LIMIT: u64 = 1 << 30;

/// Where a project's git repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// The directory that holds `index`.
    pub git_dir: PathBuf,
    /// The directory that holds `info/exclude` (another one in a linked worktree).
    pub common_dir: PathBuf,
    /// The working tree's root.
    pub top: PathBuf,
    /// The project's root below `top`; empty when they are the same.
    pub prefix: RepoPath,
}

impl Repository {
    /// The repository whose working tree holds `root`: its own, or that of a directory above.
    #[must_use]
    pub fn of(root: &Path) -> Option<Self> {
        let root = root.canonicalize().ok()?;
        for top in root.ancestors() {
            let Some(git_dir) = git_dir(&top.join(".git")) else {
                continue;
            };
            let common_dir = match read_small(&git_dir.join("commondir")) {
                Some(text) => git_dir.join(as_path(&text)),
                None => git_dir.clone(),
            };
            let prefix = root.strip_prefix(top).ok()?;
            return Some(Self {
                git_dir,
                common_dir,
                top: top.to_owned(),
                prefix: RepoPath::new(prefix.as_os_str().as_bytes()).ok()?,
            });
        }
        None
    }
}

fn as_path(text: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(text.trim_ascii()))
}

fn read_small(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(4096)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(bytes)
}

fn git_dir(dot_git: &Path) -> Option<PathBuf> {
    let meta = dot_git.metadata().ok()?;
    let dir = if meta.is_dir() {
        dot_git.to_owned()
    } else if meta.is_file() {
        let text = read_small(dot_git)?;
        let to = as_path(text.strip_prefix(b"gitdir:")?);
        dot_git.parent()?.join(to)
    } else {
        return None;
    };
    dir.join("HEAD").exists().then_some(dir)
}

/// What tells two versions of the index apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    ino: u64,
    size: u64,
    mtime: (i64, i64),
}

fn version(path: &Path) -> Option<Version> {
    let m = path.metadata().ok()?;
    Some(Version {
        ino: m.ino(),
        size: m.len(),
        mtime: (m.mtime(), m.mtime_nsec()),
    })
}

/// The paths in git's index, as seen from the project's root.
#[derive(Debug, Default)]
pub struct Tracked {
    /// All paths, one after the other.
    bytes: Vec<u8>,
    /// Where each path ends; sorted by path.
    ends: Vec<u32>,
    version: Option<Version>,
    /// Why the index could not be used, if so.
    problem: Option<String>,
}

impl Tracked {
    /// Reads the index of `repository`.
    #[must_use]
    pub fn read(repository: &Repository) -> Self {
        let path = repository.git_dir.join("index");
        let version = version(&path);
        match read_index(&path, &repository.prefix) {
            Ok((bytes, ends)) => Self {
                bytes,
                ends,
                version,
                problem: None,
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(e) => Self {
                version,
                problem: Some(format!(
                    "git's index {} cannot be used ({}): what git tracks in ignored directories is not known",
                    neutral(path.as_os_str().as_bytes()),
                    neutral(e.to_string().as_bytes())
                )),
                ..Self::default()
            },
        }
    }

    /// Whether the index is another one than when this was read.
    #[must_use]
    pub fn is_stale(&self, repository: &Repository) -> bool {
        version(&repository.git_dir.join("index")) != self.version
    }

    /// Why the index could not be used, if so.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    fn path(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        &self.bytes[start..self.ends[i] as usize]
    }

    /// The first path that is not before `key`.
    fn lower(&self, key: &[u8]) -> usize {
        let (mut lo, mut hi) = (0, self.ends.len());
        while lo < hi {
            let mid = lo + (hi - lo) / 2;
            if self.path(mid) < key {
                lo = mid + 1;
            } else {
                hi = mid;
            }
        }
        lo
    }

    /// Whether git tracks `path` itself.
    #[must_use]
    pub fn contains(&self, path: &RepoPath) -> bool {
        let i = self.lower(path.as_bytes());
        i < self.ends.len() && self.path(i) == path.as_bytes()
    }

    /// Whether git tracks something below the directory `dir`.
    #[must_use]
    pub fn below(&self, dir: &RepoPath) -> bool {
        let mut key = dir.as_bytes().to_vec();
        if !key.is_empty() {
            key.push(b'/');
        }
        let i = self.lower(&key);
        i < self.ends.len() && self.path(i).starts_with(&key)
    }
}

type Paths = (Vec<u8>, Vec<u32>);

fn read_index(path: &Path, prefix: &RepoPath) -> io::Result<Paths> {
    let file = File::open(path)?;
    let mut data = Vec::new();
    if file.take(LIMIT + 1).read_to_end(&mut data)? as u64 > LIMIT {
        return Err(io::Error::other("it is too large"));
    }
    let options = || decode::Options {
        thread_limit: Some(1),
        alloc_limit_bytes: Some(4 << 30),
        ..decode::Options::default()
    };
    let time = State::new(Kind::Sha1).timestamp();
    let (mut state, _) = State::from_bytes(&data, time, Kind::Sha1, options())
        .map_err(|e| io::Error::other(e.to_string()))?;
    if state.link().is_some() {
        // A split index: the rest lies in a second file, which only this call joins.
        state = gix_index::File::at(path, Kind::Sha1, true, options())
            .map_err(|e| io::Error::other(e.to_string()))?
            .into();
    }
    let mut below = prefix.as_bytes().to_vec();
    if !below.is_empty() {
        below.push(b'/');
    }
    let mut paths: Vec<&[u8]> = state
        .entries()
        .iter()
        .filter_map(|e| {
            let p: &[u8] = e.path(&state);
            p.strip_prefix(below.as_slice())
        })
        .collect();
    // Sorted already, but a hand-made index may lie; conflicts list a path up to three times.
    paths.sort_unstable();
    paths.dedup();
    let mut bytes = Vec::with_capacity(paths.iter().map(|p| p.len()).sum());
    let mut ends = Vec::with_capacity(paths.len());
    for p in paths {
        bytes.extend_from_slice(p);
        ends.push(
            u32::try_from(bytes.len())
                .map_err(|_| io::Error::other("its paths are too long together"))?,
        );
    }
    Ok((bytes, ends))
}

/// The person's own ignore file, which git reads for every repository.
#[must_use]
pub fn personal_excludes() -> Option<Vec<u8>> {
    let path = ignore::gitignore::gitconfig_excludes_path()?;
    path.is_file().then(|| std::fs::read(path).ok())?
}

/// `bytes` as a path of the operating system.
#[must_use]
pub fn os_path(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::process::Command;

    fn git(dir: &Path, args: &[&str]) -> bool {
        Command::new("git")
            .args(args)
            .current_dir(dir)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .is_ok_and(|o| o.status.success())
    }

    fn p(s: &str) -> RepoPath {
        RepoPath::try_from(s).unwrap()
    }

    #[test]
    fn reads_a_real_index_also_from_a_directory_below_and_a_worktree() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        std::fs::create_dir_all(top.join("sub/deep")).unwrap();
        std::fs::write(top.join("a"), "a").unwrap();
        std::fs::write(top.join("sub/deep/x"), "x").unwrap();
        if !git(&top, &["init", "-q"]) {
            eprintln!("skipped: git is not installed");
            return;
        }
        assert!(git(&top, &["add", "-A"]));
        let repo = Repository::of(&top).unwrap();
        let t = Tracked::read(&repo);
        assert!(t.problem().is_none());
        assert!(t.contains(&p("a")) && t.contains(&p("sub/deep/x")));
        assert!(!t.contains(&p("sub")) && !t.contains(&p("b")));
        assert!(t.below(&p("sub")) && t.below(&RepoPath::root()) && !t.below(&p("a")));
        assert!(!t.is_stale(&repo));

        let below = Repository::of(&top.join("sub")).unwrap();
        assert_eq!(below.prefix, p("sub"));
        let t2 = Tracked::read(&below);
        assert!(t2.contains(&p("deep/x")) && !t2.contains(&p("a")));

        std::fs::write(top.join("b"), "b").unwrap();
        assert!(git(&top, &["add", "b"]));
        assert!(t.is_stale(&repo));

        assert!(git(
            &top,
            &[
                "-c",
                "user.name=n",
                "-c",
                "user.email=e",
                "commit",
                "-qm",
                "m"
            ]
        ));
        assert!(git(&top, &["worktree", "add", "-q", "../other"]));
        let other = Repository::of(&dir.path().join("other")).unwrap();
        assert!(Tracked::read(&other).contains(&p("b")));
        assert!(other.common_dir.join("info").exists());
    }

    #[test]
    fn a_damaged_index_is_a_problem_and_no_panic() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(".git")).unwrap();
        std::fs::write(dir.path().join(".git/HEAD"), "ref: refs/heads/main").unwrap();
        let repo = Repository::of(dir.path()).unwrap();
        assert!(
            Tracked::read(&repo).problem().is_none(),
            "no index: nothing tracked"
        );
        for bad in [
            &b"DIRC"[..],
            b"",
            b"DIRC\0\0\0\x02\xff\xff\xff\xffxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ] {
            std::fs::write(dir.path().join(".git/index"), bad).unwrap();
            let t = Tracked::read(&repo);
            assert!(t.problem().is_some());
            assert!(!t.contains(&p("a")) && !t.below(&p("a")));
        }
    }
}
