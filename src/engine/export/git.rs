//! The repository that the project lies in, asked and changed through `git` itself.
//!
//! Every command runs without hooks, without clean-up afterwards, and with the repository named outright. Only what reads
//! ignore rules or the person's name sees their configuration. The one thing that is ever changed is one branch.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::{Error, shown};
use crate::model::{RepoPath, Time, neutral};
use crate::trace::base;

/// Who stands for a commit when git knows nobody.
const NOBODY: &str = "Backtrail <backtrail@backtrail.invalid>";
/// A longer file of ignore rules is none that a person wrote.
const RULES: u64 = 1 << 20;

/// A repository.
#[derive(Debug, Clone)]
pub struct Repository {
    /// The project's directory.
    dir: PathBuf,
    git_dir: PathBuf,
    /// The top of the working tree; `None` for a bare one.
    top: Option<PathBuf>,
    /// The project's directory in it, with its slash.
    prefix: Vec<u8>,
}

/// A file in a commit of git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) mode: String,
    pub(super) id: String,
}

/// What the index says that a commit does not.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Where submodules are.
    pub(super) submodules: BTreeSet<RepoPath>,
    /// Files that are left out of the working tree on purpose (sparse checkout).
    pub(super) absent: BTreeSet<RepoPath>,
}

impl Repository {
    /// The repository that holds `dir`.
    pub fn find(dir: &Path) -> Result<Self, Error> {
        let none = |said: String| base::Error::NotARepository {
            dir: dir.to_owned(),
            said,
        };
        let ask = |what: &str| -> Result<Option<Vec<u8>>, Error> {
            let out = base::git(dir)
                .args(["rev-parse", what])
                .output()
                .map_err(base::Error::NoGit)?;
            let mut bytes = out.stdout;
            if bytes.last() == Some(&b'\n') {
                bytes.pop();
            }
            match out.status.success() {
                true => Ok(Some(bytes)),
                false if what == "--show-toplevel" => Ok(None),
                false => Err(none(neutral(out.stderr.trim_ascii())).into()),
            }
        };
        let path = |bytes: Vec<u8>| PathBuf::from(OsString::from_vec(bytes));
        let git_dir = path(ask("--absolute-git-dir")?.unwrap_or_default());
        let prefix = ask("--show-prefix")?.unwrap_or_default();
        let format = ask("--show-object-format")?.unwrap_or_default();
        if format != b"sha1" {
            return Err(Error::Refused(format!(
                "the repository {} names its objects by {}: only sha1 can be written yet",
                shown(&git_dir),
                neutral(&format)
            )));
        }
        Ok(Self {
            dir: dir.to_owned(),
            top: ask("--show-toplevel")?.filter(|t| !t.is_empty()).map(path),
            git_dir,
            prefix,
        })
    }

    /// The project's directory within the repository, with its slash; empty at the top.
    #[must_use]
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Where it keeps what it holds.
    pub(super) fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// The path as git has it.
    pub(super) fn full(&self, path: &RepoPath) -> Vec<u8> {
        [&self.prefix, path.as_bytes()].concat()
    }

    /// `git`, with the configuration of the person and of the machine.
    fn reader(&self) -> Command {
        let mut git = base::git(&self.dir);
        git.args(["-c", "core.hooksPath=/dev/null"])
            .env("GIT_DIR", &self.git_dir);
        for name in ["GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS"] {
            git.env_remove(name);
        }
        git
    }

    /// `git`, with the repository's own configuration alone.
    pub(super) fn command(&self) -> Command {
        let mut git = self.reader();
        git.args(["-c", "gc.auto=0", "-c", "maintenance.auto=false"])
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        git
    }

    /// What a command prints; `None` when it says no without an error.
    fn ask(&self, what: &'static str, args: &[&OsStr]) -> Result<Option<Vec<u8>>, Error> {
        let out = self
            .command()
            .arg(what)
            .args(args)
            .output()
            .map_err(base::Error::NoGit)?;
        answer(what, out)
    }

    /// A commit's full id.
    pub(super) fn commit(&self, rev: &str) -> Result<Option<String>, Error> {
        let rev = format!("{rev}^{{commit}}");
        let args = ["--verify", "--quiet", "--end-of-options", &rev].map(OsStr::new);
        Ok(self.ask("rev-parse", &args)?.map(|id| text(&id)))
    }

    /// The newest commit on HEAD's own line that was made before `time`.
    pub(super) fn before(&self, time: Time) -> Result<Option<String>, Error> {
        let until = format!("--min-age={}", time.0.div_euclid(1_000_000).max(0));
        let args = ["--first-parent", "--max-count=1", &until, "HEAD"].map(OsStr::new);
        let found = self.ask("rev-list", &args)?.map(|id| text(&id));
        Ok(found.filter(|id| !id.is_empty()))
    }

    /// The files of a commit that lie in the project.
    pub(super) fn files(&self, commit: &str) -> Result<BTreeMap<RepoPath, Held>, Error> {
        let args = ["-r", "-z", "--full-tree", commit].map(OsStr::new);
        let listed = self.ask("ls-tree", &args)?.unwrap_or_default();
        let mut out = BTreeMap::new();
        for line in listed.split(|b| *b == 0).filter(|l| !l.is_empty()) {
            let Some((facts, path)) = cut(line, b'\t') else {
                continue;
            };
            let facts = text(facts);
            let mut words = facts.split(' ');
            let (Some(mode), _, Some(id)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            if let Some(path) = self.inside(path) {
                let held = Held {
                    mode: mode.to_owned(),
                    id: id.to_owned(),
                };
                out.insert(path, held);
            }
        }
        Ok(out)
    }

    /// A path of git's as one of the project.
    fn inside(&self, path: &[u8]) -> Option<RepoPath> {
        RepoPath::new(path.strip_prefix(self.prefix.as_slice())?).ok()
    }

    pub(super) fn index(&self) -> Result<Index, Error> {
        let args = ["-z", "-s", "-v", "--full-name"].map(OsStr::new);
        let listed = self.ask("ls-files", &args)?.unwrap_or_default();
        let mut out = Index::default();
        for line in listed.split(|b| *b == 0) {
            let Some((facts, path)) = cut(line, b'\t') else {
                continue;
            };
            let Some(path) = self.inside(path) else {
                continue;
            };
            let facts = text(facts);
            if facts.contains(" 160000 ") {
                out.submodules.insert(path);
            } else if facts.starts_with(['S', 's']) {
                out.absent.insert(path);
            }
        }
        Ok(out)
    }

    /// Which of `paths` git ignores and does not track, when the project's directories hold `rules` (a directory's path and
    /// its `.gitignore`). Those of the repository above the project, and the person's own, hold as they are now.
    pub(super) fn ignored(
        &self,
        paths: &[RepoPath],
        rules: &[(RepoPath, Vec<u8>)],
    ) -> Result<BTreeSet<RepoPath>, Error> {
        if paths.is_empty() {
            return Ok(BTreeSet::new());
        }
        let cannot = || Error::io("cannot lay out the ignore rules in a temporary directory");
        let place = tempfile::tempdir().map_err(cannot())?;
        let write = |dir: &Path, content: &[u8]| {
            let dir = place.path().join(dir);
            std::fs::create_dir_all(&dir)?;
            std::fs::write(dir.join(".gitignore"), content)
        };
        let prefix = Path::new(OsStr::from_bytes(&self.prefix));
        if let Some(top) = &self.top {
            for above in prefix.ancestors().skip(1) {
                let file = top.join(above).join(".gitignore");
                let plain = file.symlink_metadata();
                if plain.is_ok_and(|m| m.is_file() && m.len() <= RULES)
                    && let Ok(content) = std::fs::read(&file)
                {
                    write(above, &content).map_err(cannot())?;
                }
            }
        }
        for (dir, content) in rules {
            write(&prefix.join(dir.as_path()), content).map_err(cannot())?;
        }
        let mut git = self.reader();
        // Asked in the temporary directory, as if that were the working tree.
        git.arg("-C")
            .arg(place.path())
            .env("GIT_WORK_TREE", place.path())
            .args(["check-ignore", "-z", "--stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = git.spawn().map_err(base::Error::NoGit)?;
        let mut list = Vec::new();
        for path in paths {
            list.extend_from_slice(&self.full(path));
            list.push(0);
        }
        let to = child.stdin.take();
        let feed = std::thread::spawn(move || to.map_or(Ok(()), |mut to| to.write_all(&list)));
        let out = child
            .wait_with_output()
            .map_err(Error::io("git check-ignore was lost"))?;
        // What it did not take it has complained about.
        let _ = feed.join();
        let found = answer("check-ignore", out)?.unwrap_or_default();
        Ok(found
            .split(|b| *b == 0)
            .filter(|p| !p.is_empty())
            .filter_map(|p| self.inside(p))
            .collect())
    }

    /// Refuses what cannot be a branch's name.
    pub(super) fn check_name(&self, name: &str) -> Result<(), Error> {
        let full = branch_ref(name);
        let args = [OsStr::new(&full)];
        if name == "HEAD" || name.starts_with('-') || self.ask("check-ref-format", &args)?.is_none()
        {
            return Err(Error::Refused(format!(
                "{:?} cannot be the name of a branch in git",
                neutral(name.as_bytes())
            )));
        }
        Ok(())
    }

    /// The commit of a branch, if there is one of that name.
    pub(super) fn branch(&self, name: &str) -> Result<Option<String>, Error> {
        let full = branch_ref(name);
        let args = ["--verify", "--quiet", "--end-of-options", &full].map(OsStr::new);
        Ok(self.ask("rev-parse", &args)?.map(|id| text(&id)))
    }

    /// What a branch of that name is another name for: to move it would move that one.
    pub(super) fn stands_for(&self, name: &str) -> Result<Option<String>, Error> {
        let full = branch_ref(name);
        let found = self.ask("symbolic-ref", &["-q", &full].map(OsStr::new))?;
        Ok(found.map(|to| neutral(to.trim_ascii())))
    }

    /// The working tree that has the branch checked out, or will have once it is there.
    pub(super) fn checked_out(&self, name: &str) -> Result<Option<String>, Error> {
        let args = ["list", "--porcelain", "-z"].map(OsStr::new);
        let listed = self.ask("worktree", &args)?.unwrap_or_default();
        let wanted = format!("branch {}", branch_ref(name));
        let mut place = String::new();
        for line in listed.split(|b| *b == 0) {
            if let Some(path) = line.strip_prefix(b"worktree ") {
                place = neutral(path);
            } else if line == wanted.as_bytes() {
                return Ok(Some(place));
            }
        }
        // A branch that is not born yet is not always in that list.
        let head = self.ask("symbolic-ref", &["-q", "HEAD"].map(OsStr::new))?;
        let here = head.is_some_and(|h| h.trim_ascii() == branch_ref(name).as_bytes());
        Ok(here.then(|| shown(&self.dir)))
    }

    /// `Name <email>` of whoever exports.
    pub(super) fn identity(&self) -> String {
        let said = self.reader().args(["var", "GIT_COMMITTER_IDENT"]).output();
        let said = said.ok().filter(|o| o.status.success());
        said.and_then(|o| {
            let line = text(&o.stdout);
            let end = line.rfind('>')?;
            let person = line.get(..=end)?;
            let fine = person.contains(" <") && !person.contains(['\n', '\r']);
            fine.then(|| person.to_owned())
        })
        .unwrap_or_else(|| NOBODY.to_owned())
    }

    /// Sets a branch, if it still is where it was.
    pub(super) fn set_branch(&self, name: &str, to: &str, was: Option<&str>) -> Result<(), Error> {
        let nothing = "0".repeat(to.len());
        let full = branch_ref(name);
        let args = [
            "--no-deref",
            "--create-reflog",
            "-m",
            "backtrail: export",
            &full,
            to,
            was.unwrap_or(&nothing),
        ];
        match self.ask("update-ref", &args.map(OsStr::new))? {
            Some(_) => Ok(()),
            None => Err(Error::Git {
                what: "update-ref",
                said: "it gave no reason".to_owned(),
            }),
        }
    }
}

pub(super) fn branch_ref(name: &str) -> String {
    format!("refs/heads/{name}")
}

/// What came out; `None` for the exit code 1 without a word, which is a no.
fn answer(what: &'static str, out: Output) -> Result<Option<Vec<u8>>, Error> {
    let said = neutral(out.stderr.trim_ascii());
    match out.status.code() {
        Some(0) => Ok(Some(out.stdout)),
        Some(1) if said.is_empty() => Ok(None),
        _ => Err(Error::Git { what, said }),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

fn cut(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let i = memchr::memchr(at, bytes)?;
    Some((bytes.get(..i)?, bytes.get(i + 1..)?))
}
