//! Where the contents at a session's start come from when its trace does not tell them: a directory, or a commit of the
//! project's repository.
//!
//! Repositories are read through the `git` command, one process for all files. It is told to use no network, no locks and
//! nothing of our environment; what it is asked comes from recordings, so nothing of that can be an option.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::model::{RepoPath, Time, neutral};

/// A larger file is not worth it.
const LARGEST: u64 = 32 << 20;
/// So many commits are looked at to find the one a session began with, and for so long.
const COMMITS: usize = 500;
const LONGEST: Duration = Duration::from_millis(1500);
/// So many files are compared in each.
const COMPARED: usize = 40;

/// Why a base cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no `git`.
    #[error("git cannot be started: {0}; install it, or name a directory as the base")]
    NoGit(io::Error),
    /// Not a repository, or one that git refuses.
    #[error("{} is not a repository that git reads: {said}", dir.display())]
    NotARepository {
        /// Where.
        dir: PathBuf,
        /// What git said, neutralised.
        said: String,
    },
    /// The revision is not there.
    #[error("{} has no commit called {rev:?}; fetch it, or name another", dir.display())]
    NoRevision {
        /// Where.
        dir: PathBuf,
        /// What was asked for, neutralised.
        rev: String,
    },
    /// Git ended, or answered something else.
    #[error("git stopped answering in {}: {what}; try again", dir.display())]
    Broken {
        /// Where.
        dir: PathBuf,
        /// What went wrong.
        what: String,
    },
    /// The directory cannot be read.
    #[error("cannot read {}: {source}; name another directory as the base", path.display())]
    Io {
        /// Which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The files as they were when a session began.
pub trait Base: Send {
    /// The content of a file; `None` where there is none (or one that is too large to be worth it).
    fn content(&mut self, path: &RepoPath) -> Result<Option<Vec<u8>>, Error>;
}

/// A directory that holds the files as they were.
#[derive(Debug)]
pub struct Dir {
    path: PathBuf,
    dir: File,
}

impl Dir {
    /// Opens it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let fail = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        let dir = File::open(path).map_err(fail)?;
        if !dir.metadata().map_err(fail)?.is_dir() {
            return Err(fail(io::ErrorKind::NotADirectory.into()));
        }
        Ok(Self {
            path: path.to_owned(),
            dir,
        })
    }
}

impl Base for Dir {
    fn content(&mut self, path: &RepoPath) -> Result<Option<Vec<u8>>, Error> {
        // Links that lead out of the directory are not followed; opening a pipe does not wait for a writer.
        let opened = rustix::fs::openat2(
            &self.dir,
            path.as_path(),
            OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        );
        let Ok(fd) = opened else { return Ok(None) };
        let file = File::from(fd);
        let regular = |f: &File| {
            f.metadata()
                .is_ok_and(|m| m.is_file() && m.len() <= LARGEST)
        };
        if !regular(&file) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.take(LARGEST)
            .read_to_end(&mut bytes)
            .map_err(|source| Error::Io {
                path: self.path.join(path.as_path()),
                source,
            })?;
        Ok(Some(bytes))
    }
}

/// A commit of a repository.
#[derive(Debug)]
pub struct Git {
    dir: PathBuf,
    rev: String,
    /// The directory within the repository, with its slash.
    prefix: String,
    batch: Batch,
}

impl Git {
    /// The commit `rev` of the repository that holds `dir`; paths are relative to `dir`.
    pub fn open(dir: &Path, rev: &str) -> Result<Self, Error> {
        let prefix = prefix(dir)?;
        let id = commit(dir, rev)?.ok_or_else(|| Error::NoRevision {
            dir: dir.to_owned(),
            rev: neutral(rev.as_bytes()),
        })?;
        Ok(Self {
            batch: Batch::start(dir, "--batch")?,
            dir: dir.to_owned(),
            rev: id,
            prefix,
        })
    }

    /// The commit's full id.
    #[must_use]
    pub fn rev(&self) -> &str {
        &self.rev
    }
}

impl Base for Git {
    fn content(&mut self, path: &RepoPath) -> Result<Option<Vec<u8>>, Error> {
        let Some(name) = object(&self.rev, &self.prefix, path) else {
            return Ok(None);
        };
        let broken = |what: io::Error| Error::Broken {
            dir: self.dir.clone(),
            what: what.to_string(),
        };
        let found = self.batch.ask(&name).map_err(broken)?;
        let Some((kind, size)) = found.kind_and_size() else {
            return Ok(None);
        };
        let wanted = kind == "blob" && size <= LARGEST;
        let content = self.batch.content(size, wanted).map_err(broken)?;
        Ok(content)
    }
}

/// What came of looking for the commit that a session began with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// The commit.
    pub commit: Option<String>,
    /// The search came to its end; else another one may find a better commit.
    pub complete: bool,
}

impl Search {
    fn done(commit: Option<String>) -> Self {
        Self {
            commit,
            complete: true,
        }
    }
}

/// What the repository that holds `dir` has, in a few letters: as long as they are the same, a search finds the same.
pub fn refs(dir: &Path) -> Result<String, Error> {
    match run(dir, &["for-each-ref", "--format=%(objectname)"])? {
        Ok(listed) => Ok(blake3::hash(listed.as_bytes()).to_hex()[..16].to_owned()),
        Err(said) => Err(Error::NotARepository {
            dir: dir.to_owned(),
            said,
        }),
    }
}

/// As [`search`], without a word on how it ended.
pub fn find(
    dir: &Path,
    start: Time,
    named: Option<&str>,
    firsts: &[(RepoPath, [u8; 20])],
) -> Result<Option<String>, Error> {
    Ok(search(dir, start, named, firsts)?.commit)
}

/// The commit that a session began with, in the repository that holds `dir`: the one that its trace names, if it is
/// there; else the newest one made before `start` whose files are those that the trace showed first (by git's ids).
pub fn search(
    dir: &Path,
    start: Time,
    named: Option<&str>,
    firsts: &[(RepoPath, [u8; 20])],
) -> Result<Search, Error> {
    let prefix = prefix(dir)?;
    let named = named.filter(|n| n.len() >= 7 && n.bytes().all(|b| b.is_ascii_hexdigit()));
    if let Some(named) = named
        && let Some(id) = commit(dir, named)?
    {
        return Ok(Search::done(Some(id)));
    }
    if firsts.is_empty() {
        return Ok(Search::done(None));
    }
    let before = format!("--min-age={}", start.0.div_euclid(1_000_000).max(0));
    let limit = format!("--max-count={COMMITS}");
    let listed = run(dir, &["rev-list", "--all", "--date-order", &limit, &before])?;
    let Ok(listed) = listed else {
        return Ok(Search::done(None));
    };
    let mut batch = Batch::start(dir, "--batch-check")?;
    let broken = |what: io::Error| Error::Broken {
        dir: dir.to_owned(),
        what: what.to_string(),
    };
    let until = Instant::now() + LONGEST;
    let firsts = &firsts[..firsts.len().min(COMPARED)];
    let mut best: Option<(usize, usize, &str)> = None;
    let mut complete = true;
    for id in listed.lines() {
        let (mut same, mut there) = (0, 0);
        for (path, sha1) in firsts {
            let Some(name) = object(id, &prefix, path) else {
                continue;
            };
            let found = batch.ask(&name).map_err(broken)?;
            if found.kind_and_size().is_some() {
                there += 1;
                same += usize::from(found.is(sha1));
            }
        }
        // Newest first: a later one must match better.
        if same > best.map_or(0, |(same, _, _)| same) {
            best = Some((same, there, id));
        }
        if same == firsts.len() {
            break;
        }
        if Instant::now() > until {
            complete = false;
            break;
        }
    }
    // Files may have been changed before the session or before they were first shown, but not most of them.
    let commit = best
        .filter(|(same, there, _)| same * 2 > *there)
        .map(|(_, _, id)| id.to_owned());
    Ok(Search { commit, complete })
}

/// How `cat-file` is asked for a file; `None` for a path that it cannot be asked for.
fn object(rev: &str, prefix: &str, path: &RepoPath) -> Option<Vec<u8>> {
    let bytes = path.as_bytes();
    if bytes.contains(&b'\n') {
        return None;
    }
    let mut name = format!("{rev}:{prefix}").into_bytes();
    name.extend_from_slice(bytes);
    Some(name)
}

/// `git`, about to run in `dir`: it asks nobody, and what the environment says of repositories does not reach it.
pub(crate) fn git(dir: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("--no-replace-objects")
        .args(["-c", "core.fsmonitor=false", "-C"])
        .arg(dir)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    for name in [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_NAMESPACE",
        "GIT_PREFIX",
    ] {
        git.env_remove(name);
    }
    git
}

/// What git prints, or what it complains about.
fn run(dir: &Path, args: &[&str]) -> Result<Result<String, String>, Error> {
    let out = git(dir).args(args).output().map_err(Error::NoGit)?;
    Ok(if out.status.success() {
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    } else {
        Err(neutral(out.stderr.trim_ascii()))
    })
}

/// Where `dir` lies in its repository.
fn prefix(dir: &Path) -> Result<String, Error> {
    match run(dir, &["rev-parse", "--show-prefix"])? {
        Ok(prefix) => Ok(prefix.trim_end_matches('\n').to_owned()),
        Err(said) => Err(Error::NotARepository {
            dir: dir.to_owned(),
            said,
        }),
    }
}

/// The full id of a commit.
fn commit(dir: &Path, rev: &str) -> Result<Option<String>, Error> {
    let rev = format!("{rev}^{{commit}}");
    let args = ["rev-parse", "--verify", "--quiet", "--end-of-options", &rev];
    Ok(run(dir, &args)?.ok().map(|id| id.trim().to_owned()))
}

/// `git cat-file`, kept open.
#[derive(Debug)]
struct Batch {
    child: Child,
    ask: Option<ChildStdin>,
    answer: BufReader<ChildStdout>,
}

/// The line that it answers: `ID KIND SIZE`, or something else when there is no such object.
struct Found(String);

impl Found {
    fn kind_and_size(&self) -> Option<(&str, u64)> {
        let mut words = self.0.split(' ');
        let (id, kind, size) = (words.next()?, words.next()?, words.next()?);
        let object = id.len() >= 40 && id.bytes().all(|b| b.is_ascii_hexdigit());
        match words.next() {
            None if object => Some((kind, size.parse().ok()?)),
            _ => None,
        }
    }

    fn is(&self, sha1: &[u8; 20]) -> bool {
        let id = self.0.split(' ').next().unwrap_or_default();
        id.len() == 40
            && sha1
                .iter()
                .zip(id.as_bytes().chunks(2))
                .all(|(b, hex)| format!("{b:02x}").as_bytes() == hex)
    }
}

impl Batch {
    fn start(dir: &Path, mode: &str) -> Result<Self, Error> {
        let mut child = git(dir)
            .args(["cat-file", mode])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::NoGit)?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(ask), Some(answer)) => Ok(Self {
                child,
                ask: Some(ask),
                answer: BufReader::new(answer),
            }),
            _ => Err(Error::Broken {
                dir: dir.to_owned(),
                what: "it has no pipes".to_owned(),
            }),
        }
    }

    fn ask(&mut self, name: &[u8]) -> io::Result<Found> {
        let ask = self.ask.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut line = name.to_vec();
        line.push(b'\n');
        ask.write_all(&line)?;
        ask.flush()?;
        // What is asked for is repeated where nothing is found: no line is longer than that and a few words.
        let limit = name.len() as u64 + 256;
        let mut answer = Vec::new();
        (&mut self.answer)
            .take(limit)
            .read_until(b'\n', &mut answer)?;
        if answer.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Found(String::from_utf8_lossy(&answer).into_owned()))
    }

    /// The bytes that follow the line, and the line feed behind them.
    fn content(&mut self, size: u64, wanted: bool) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let mut rest = (&mut self.answer).take(size + 1);
        let read = if wanted {
            rest.read_to_end(&mut bytes)? as u64
        } else {
            io::copy(&mut rest, &mut io::sink())?
        };
        if read != size + 1 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.pop();
        Ok(wanted.then_some(bytes))
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // It ends when nobody can ask it any more.
        self.ask = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use crate::model::git_sha1;

    struct Repo(tempfile::TempDir);

    impl Repo {
        fn new() -> Self {
            let repo = Self(tempfile::tempdir().unwrap());
            repo.git(&["init", "-q"], 0);
            repo
        }

        fn git(&self, args: &[&str], time: i64) -> String {
            let date = format!("@{time} +0000");
            let out = git(self.0.path())
                .args(["-c", "user.name=x", "-c", "user.email=x@example.com"])
                .args(args)
                .env("GIT_AUTHOR_DATE", &date)
                .env("GIT_COMMITTER_DATE", &date)
                .output()
                .unwrap();
            assert!(out.status.success(), "{args:?}: {out:?}");
            String::from_utf8(out.stdout).unwrap().trim().to_owned()
        }

        fn commit(&self, files: &[(&str, &str)], time: i64) -> String {
            for (path, text) in files {
                let path = self.0.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            self.git(&["add", "-A"], time);
            self.git(&["commit", "-q", "-m", "x"], time);
            self.git(&["rev-parse", "HEAD"], time)
        }
    }

    fn path(text: &str) -> RepoPath {
        RepoPath::new(text).unwrap()
    }

    #[test]
    fn a_commit_gives_its_files() {
        let repo = Repo::new();
        let first = repo.commit(
            &[("a", "one\n"), ("sub/b c", "two"), ("sub/empty", "")],
            100,
        );
        repo.commit(&[("a", "later\n")], 200);
        let mut base = Git::open(repo.0.path(), &first[..10]).unwrap();
        assert_eq!(base.rev(), first);
        for (name, content) in [
            ("a", Some("one\n")),
            ("sub/b c", Some("two")),
            ("nothing", None),
            ("sub", None),
            ("sub/empty", Some("")),
            ("a\nb", None),
            ("a", Some("one\n")),
        ] {
            let found = base.content(&path(name)).unwrap();
            assert_eq!(found.as_deref(), content.map(str::as_bytes), "{name}");
        }
        // Below the repository's root, paths start from there.
        let mut below = Git::open(&repo.0.path().join("sub"), "HEAD").unwrap();
        assert_eq!(below.content(&path("b c")).unwrap().unwrap(), b"two");
        assert_eq!(below.content(&path("a")).unwrap(), None);
    }

    #[test]
    fn what_is_not_there_is_said() {
        let repo = Repo::new();
        repo.commit(&[("a", "x")], 100);
        for rev in ["nowhere", "--all", "", "HEAD:a"] {
            let error = Git::open(repo.0.path(), rev).unwrap_err();
            assert!(matches!(error, Error::NoRevision { .. }), "{rev}: {error}");
        }
        let none = tempfile::tempdir().unwrap();
        let error = Git::open(none.path(), "HEAD").unwrap_err().to_string();
        assert!(error.contains("is not a repository"), "{error}");
    }

    #[test]
    fn the_commit_of_a_session_is_found() {
        let repo = Repo::new();
        let one = repo.commit(&[("a", "1"), ("b", "1"), ("c", "1")], 100);
        let two = repo.commit(&[("a", "2")], 200);
        let three = repo.commit(&[("c", "3")], 300);
        let late = repo.commit(&[("b", "4")], 400);
        let at = |seconds: i64| Time(seconds * 1_000_000);
        let first = |name: &str, text: &str| (path(name), git_sha1(text.as_bytes()));
        let find = |start, named: Option<&str>, firsts: &[_]| {
            super::find(repo.0.path(), start, named, firsts).unwrap()
        };
        assert_eq!(
            find(at(350), None, &[first("a", "2"), first("b", "1")]),
            Some(three.clone())
        );
        assert_eq!(
            find(at(250), None, &[first("a", "2"), first("b", "1")]),
            Some(two.clone())
        );
        assert_eq!(find(at(350), None, &[first("a", "1")]), Some(one.clone()));
        // One of several was changed before the session.
        let firsts = [first("a", "2"), first("b", "dirty"), first("c", "1")];
        assert_eq!(find(at(350), None, &firsts), Some(two));
        assert_eq!(find(at(350), None, &[first("a", "other")]), None);
        assert_eq!(find(at(350), None, &[]), None);
        assert_eq!(find(at(50), None, &[first("a", "1")]), None);
        // What the trace names comes first, if it is there.
        assert_eq!(find(at(350), Some(&late), &firsts), Some(late.clone()));
        assert_eq!(
            find(at(350), Some(&"0".repeat(40)), &[first("a", "2")]),
            Some(three)
        );
        assert_eq!(find(at(350), Some("--all"), &[first("a", "1")]), Some(one));
    }

    #[test]
    fn a_directory_keeps_to_itself() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("in");
        std::fs::create_dir_all(inside.join("d")).unwrap();
        std::fs::write(dir.path().join("secret"), "s").unwrap();
        std::fs::write(inside.join("d/a"), "a").unwrap();
        std::os::unix::fs::symlink("../secret", inside.join("out")).unwrap();
        std::os::unix::fs::symlink("d/a", inside.join("link")).unwrap();
        let mut base = Dir::open(&inside).unwrap();
        assert_eq!(base.content(&path("d/a")).unwrap().unwrap(), b"a");
        assert_eq!(base.content(&path("link")).unwrap().unwrap(), b"a");
        for none in ["out", "d", "nothing", "d/a/b"] {
            assert_eq!(base.content(&path(none)).unwrap(), None, "{none}");
        }
        assert!(Dir::open(&inside.join("d/a")).is_err());
        assert!(Dir::open(&inside.join("nothing")).is_err());
    }
}
