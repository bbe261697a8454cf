//! Which project a directory belongs to, and where its store and its runtime files live.
//!
//! The store lies outside the tree, under the user's data directory, named after the project's path; a `project.json`
//! in it keeps the path *and* the directory's identity (device, inode), so that a project that was moved is found again
//! with its history, and another directory at the same path is not silently given somebody else's.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use serde::{Deserialize, Serialize};

use super::api::{ApiError, ErrorCode};

/// A directory under Backtrail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its directory, without symbolic links in it.
    pub root: PathBuf,
    /// Where its history is.
    pub store_dir: PathBuf,
    /// Where its socket and its mounts are, while an engine runs.
    pub runtime_dir: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Identity {
    path: String,
    dev: u64,
    ino: u64,
}

fn failed(what: &str, path: &Path, e: &io::Error) -> ApiError {
    let code = if e.kind() == io::ErrorKind::StorageFull {
        ErrorCode::Full
    } else {
        ErrorCode::Failed
    };
    ApiError::new(code, format!("cannot {what} {}: {e}", path.display()))
}

impl Project {
    /// The project that `start` lies in: the nearest directory upwards that has a store, else the nearest with a
    /// `.git`, else `start` itself.
    pub fn locate(start: &Path) -> Result<Self, ApiError> {
        let start = real(start)?;
        for dir in start.ancestors() {
            if refusal(dir).is_none() {
                let project = Self::named(dir)?;
                if project.exists() {
                    return Self::at(dir);
                }
            }
        }
        let git = start
            .ancestors()
            .find(|d| refusal(d).is_none() && d.join(".git").symlink_metadata().is_ok());
        Self::at(git.unwrap_or(&start))
    }

    /// Exactly this directory.
    pub fn at(root: &Path) -> Result<Self, ApiError> {
        let root = real(root)?;
        if let Some(why) = refusal(&root) {
            return Err(ApiError::new(
                ErrorCode::Refused,
                format!("{} cannot be a project: {why}", root.display()),
            ));
        }
        let project = Self::named(&root)?;
        if project.store_dir.starts_with(&project.root) {
            return Err(ApiError::new(
                ErrorCode::Refused,
                format!(
                    "{} cannot be a project: the store ({}) would lie inside it; set BACKTRAIL_DATA to a directory elsewhere",
                    root.display(),
                    project.store_dir.display()
                ),
            ));
        }
        project.check_identity()?;
        Ok(project)
    }

    fn named(root: &Path) -> Result<Self, ApiError> {
        let key = blake3::hash(root.as_os_str().as_bytes()).to_hex()[..16].to_owned();
        Ok(Self {
            root: root.to_path_buf(),
            store_dir: data_dir()?.join("projects").join(&key),
            runtime_dir: runtime_base().join(&key),
        })
    }

    /// Whether it has a store.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.store_dir.join("FORMAT").exists()
    }

    /// The person's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.runtime_dir.join("engine.sock")
    }

    /// Where the live view is mounted.
    #[must_use]
    pub fn live_dir(&self) -> PathBuf {
        self.runtime_dir.join("live")
    }

    /// Where past states are mounted.
    #[must_use]
    pub fn past_dir(&self) -> PathBuf {
        self.runtime_dir.join("at")
    }

    /// A path in one of the project's views, as the project's own: in a session without a namespace the agent is in the
    /// mounted view itself. Any other path as it is.
    #[must_use]
    pub fn own_path(&self, path: &Path) -> PathBuf {
        let branches = self.runtime_dir.join("branch");
        let below = path.strip_prefix(self.live_dir()).ok().or_else(|| {
            let mut parts = path.strip_prefix(branches).ok()?.components();
            parts.next()?;
            Some(parts.as_path())
        });
        match below {
            Some(below) => self.root.join(below),
            None => path.to_path_buf(),
        }
    }

    /// What the engine writes when it cannot tell anyone.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.runtime_dir.join("engine.log")
    }

    /// The directory's name, for headers.
    #[must_use]
    pub fn name(&self) -> String {
        self.root
            .file_name()
            .map_or_else(|| "/".to_owned(), |n| crate::model::neutral(n.as_bytes()))
    }

    /// Where the socket of a session's agent is: beside the runtime directory, which is masked in its namespace.
    #[must_use]
    pub fn agent_dir(&self, short: &str) -> PathBuf {
        let key = self.runtime_dir.file_name().unwrap_or(OsStr::new("x"));
        runtime_base().join(format!("agent-{}-{short}", key.to_string_lossy()))
    }

    /// Makes the store's and the runtime directory, for their owner only.
    pub fn make_dirs(&self) -> Result<(), ApiError> {
        private_dir(&runtime_base())?;
        private_dir(&self.runtime_dir)?;
        // An engine that was killed leaves a dead mount, which answers nothing but errors.
        crate::fs::clean_stale(&self.live_dir())
            .map_err(|e| ApiError::new(ErrorCode::Failed, e.to_string()))?;
        private_dir(&self.live_dir())?;
        self.make_store_dir()
    }

    /// Makes the store's directory and writes down whose it is.
    pub fn make_store_dir(&self) -> Result<(), ApiError> {
        private_dir(&self.store_dir)?;
        let file = self.store_dir.join("project.json");
        if !file.exists() {
            self.write_identity()?;
        }
        Ok(())
    }

    fn write_identity(&self) -> Result<(), ApiError> {
        let file = self.store_dir.join("project.json");
        let meta = fs::metadata(&self.root).map_err(|e| failed("look at", &self.root, &e))?;
        let text = serde_json::to_string_pretty(&Identity {
            path: self.root.to_string_lossy().into_owned(),
            dev: meta.dev(),
            ino: meta.ino(),
        })
        .map_err(|e| ApiError::new(ErrorCode::Failed, e.to_string()))?;
        fs::write(&file, text).map_err(|e| failed("write", &file, &e))
    }

    /// Finds the store of a project that was moved here, and refuses one that belongs to another directory.
    fn check_identity(&self) -> Result<(), ApiError> {
        let meta = fs::metadata(&self.root).map_err(|e| failed("look at", &self.root, &e))?;
        let file = self.store_dir.join("project.json");
        match fs::read_to_string(&file) {
            Ok(text) => {
                let Ok(id) = serde_json::from_str::<Identity>(&text) else {
                    // Torn by a crash while it was written: the path's hash already names this store.
                    return self.write_identity();
                };
                // A device number changes with a reboot on some systems, an inode does not.
                if id.ino == meta.ino() {
                    return Ok(());
                }
                if env::var_os("BACKTRAIL_ADOPT").is_some() {
                    return self.write_identity();
                }
                Err(ApiError::new(
                    ErrorCode::Refused,
                    format!(
                        "{} is not the directory that was recorded under this name (it was replaced since). To go on with its history, run the command once with BACKTRAIL_ADOPT=1; to begin anew, move {} away",
                        self.root.display(),
                        self.store_dir.display()
                    ),
                ))
            }
            Err(_) if !self.exists() => self.adopt_moved(&meta),
            Err(_) => self.write_identity(),
        }
    }

    fn adopt_moved(&self, meta: &fs::Metadata) -> Result<(), ApiError> {
        let Some(all) = self.store_dir.parent() else {
            return Ok(());
        };
        let Ok(entries) = fs::read_dir(all) else {
            return Ok(());
        };
        for entry in entries.flatten() {
            let dir = entry.path();
            let Some(id) = fs::read_to_string(dir.join("project.json"))
                .ok()
                .and_then(|t| serde_json::from_str::<Identity>(&t).ok())
            else {
                continue;
            };
            let here = id.ino == meta.ino() && id.dev == meta.dev();
            if here && !Path::new(&id.path).exists() && dir.join("FORMAT").exists() {
                fs::rename(&dir, &self.store_dir)
                    .map_err(|e| failed("take over the moved project's store", &dir, &e))?;
                return self.write_identity();
            }
        }
        Ok(())
    }
}

fn real(path: &Path) -> Result<PathBuf, ApiError> {
    let real = fs::canonicalize(path).map_err(|e| {
        ApiError::new(
            ErrorCode::NotFound,
            format!("cannot look at {}: {e}", path.display()),
        )
    })?;
    if !real.is_dir() {
        return Err(ApiError::new(
            ErrorCode::Refused,
            format!("{} is not a directory", real.display()),
        ));
    }
    Ok(real)
}

/// Why `dir` cannot be a project.
fn refusal(dir: &Path) -> Option<&'static str> {
    if dir == Path::new("/") {
        return Some(
            "it is the root of the file system; go into the directory that the agent works in",
        );
    }
    let home = env::var_os("HOME").and_then(|h| fs::canonicalize(h).ok());
    if home.as_deref() == Some(dir) {
        return Some("it is your home directory; go into the directory that the agent works in");
    }
    if home.is_some_and(|h| h.starts_with(dir)) {
        return Some("it holds your home directory; go into the directory that the agent works in");
    }
    if ["/proc", "/sys", "/dev"].iter().any(|d| dir.starts_with(d)) {
        return Some("it belongs to the kernel");
    }
    None
}

fn data_dir() -> Result<PathBuf, ApiError> {
    if let Some(dir) = absolute("BACKTRAIL_DATA") {
        return Ok(dir);
    }
    if let Some(dir) = absolute("XDG_DATA_HOME") {
        return Ok(dir.join("backtrail"));
    }
    absolute("HOME")
        .map(|home| home.join(".local/share/backtrail"))
        .ok_or_else(|| {
            ApiError::new(
                ErrorCode::Failed,
                "neither BACKTRAIL_DATA, XDG_DATA_HOME nor HOME names a directory for the store; set one of them",
            )
        })
}

/// Where what can be made again is kept; `None` where the environment names no place.
#[must_use]
pub fn cache_dir() -> Option<PathBuf> {
    absolute("BACKTRAIL_CACHE")
        .or_else(|| Some(absolute("XDG_CACHE_HOME")?.join("backtrail")))
        .or_else(|| Some(absolute("HOME")?.join(".cache/backtrail")))
}

pub(super) fn runtime_base() -> PathBuf {
    if let Some(dir) = absolute("BACKTRAIL_RUNTIME") {
        return dir;
    }
    if let Some(dir) = absolute("XDG_RUNTIME_DIR") {
        return dir.join("backtrail");
    }
    PathBuf::from(format!(
        "/tmp/backtrail-{}",
        rustix::process::getuid().as_raw()
    ))
}

fn absolute(var: &str) -> Option<PathBuf> {
    env::var_os(var)
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
}

/// Makes `dir` with mode 0700, or checks that the one there is ours alone: a directory prepared by another user under
/// /tmp would let them answer in the engine's place.
pub fn private_dir(dir: &Path) -> Result<(), ApiError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| failed("make the directory", dir, &e))?;
    let meta = fs::symlink_metadata(dir).map_err(|e| failed("look at", dir, &e))?;
    if !meta.is_dir() || meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(ApiError::new(
            ErrorCode::Refused,
            format!(
                "{} is not a directory of yours; remove it or set BACKTRAIL_RUNTIME elsewhere",
                dir.display()
            ),
        ));
    }
    if meta.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
            .map_err(|e| failed("make private", dir, &e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_project() {
        assert!(refusal(Path::new("/")).is_some());
        assert!(refusal(Path::new("/proc/1")).is_some());
        assert!(refusal(Path::new("/srv/project")).is_none());
        if let Some(home) = env::var_os("HOME").and_then(|h| fs::canonicalize(h).ok()) {
            assert!(refusal(&home).is_some());
        }
    }

    #[test]
    fn paths_in_views_are_the_projects() {
        let project = Project {
            root: "/p".into(),
            store_dir: "/s".into(),
            runtime_dir: "/r".into(),
        };
        for (path, own) in [
            ("/r/live/a/b", "/p/a/b"),
            ("/r/branch/x/a", "/p/a"),
            ("/r/branch/x", "/p"),
            ("/r/branch", "/r/branch"),
            ("/p/a", "/p/a"),
            ("a", "a"),
        ] {
            assert_eq!(project.own_path(Path::new(path)), Path::new(own), "{path}");
        }
    }

    #[test]
    fn private_means_private() {
        let dir = tempfile::tempdir().map(|d| d.path().join("a/b"));
        let Ok(dir) = dir else { return };
        assert!(private_dir(&dir).is_ok());
        let _ = fs::set_permissions(&dir, fs::Permissions::from_mode(0o755));
        assert!(private_dir(&dir).is_ok());
        let mode = fs::metadata(&dir).map(|m| m.permissions().mode() & 0o777);
        assert_eq!(mode.ok(), Some(0o700));
    }
}
