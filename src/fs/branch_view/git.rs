//! The repository inside a branch: complete, and its own.
//!
//! What changes in a repository (HEAD, refs, logs, settings) is copied when the branch is made. Objects never change: they
//! show through, and are *pinned* by hard links beside the branches, so that a clean-up in the project takes nothing
//! away from a branch. The index and the packed refs are replaced as a whole by git and never written in place: the
//! branch keeps a link to the file that was there. Locks, other worktrees and sample hooks are left out.
//!
//! A `.git` that is a file (a worktree, a submodule) is resolved to the two directories that it means.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::super::attr::FileKind;
use super::super::inode::ROOT;
use super::super::resolve::Root;
use super::content::private;
use super::layers::{Below, Lower};
use super::open::{BranchError, io as failed};
use super::table::{Facts, Layer, Origin};
use super::view::BranchView;

/// Larger files of a repository that may change are refused: nothing that git keeps is.
const FILE_LIMIT: u64 = 64 << 20;
/// Directories that show through and are copied on write.
const THROUGH: [&[u8]; 3] = [b"objects", b"lfs", b"modules"];
/// Left out: administration of other worktrees, and locks of theirs.
const LEFT: [&[u8]; 2] = [b"worktrees", b"commondir"];
/// Replaced as a whole by git: the branch keeps the file that was there.
const REPLACED: [&[u8]; 2] = [b"index", b"packed-refs"];
/// Up to this length such a file is copied after all: a link shows in the project as one name more.
const SMALL: u64 = 16 * 1024;
/// What makes git look at times and sizes only: the numbers and times of change of files are others in a branch, and
/// every file would be read at the first status.
const SETTINGS: &str = "\n[core]\n\ttrustctime = false\n\tcheckStat = minimal\n";

/// Where a project's repository is: what is one worktree's, and what all have in common.
struct Repository {
    own: PathBuf,
    common: PathBuf,
}

fn locate(project: &Path) -> Result<Option<Repository>, BranchError> {
    let at = project.join(".git");
    let Ok(meta) = fs::symlink_metadata(&at) else {
        return Ok(None);
    };
    let own = if meta.is_file() {
        let text = fs::read(&at).map_err(failed("read", &at))?;
        let line = text.strip_prefix(b"gitdir:").ok_or_else(|| {
            BranchError::Git(format!("{at:?} is a file, but does not name a directory"))
        })?;
        project.join(std::ffi::OsStr::from_bytes(line.trim_ascii()))
    } else {
        at
    };
    if !own.is_dir() {
        return Err(BranchError::Git(format!("{own:?} is no directory")));
    }
    let common = match fs::read(own.join("commondir")) {
        Ok(text) => own.join(std::ffi::OsStr::from_bytes(text.trim_ascii())),
        Err(_) => own.clone(),
    };
    Ok(Some(Repository { own, common }))
}

fn dir_root(path: &Path) -> Result<Root, BranchError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd =
        rustix::fs::open(path, flags, Mode::empty()).map_err(|e| failed("open", path)(e.into()))?;
    Ok(Root::new(fd))
}

/// The directories in which a branch finds objects, pins first.
pub(crate) fn roots(project: &Path, pins: &Path) -> Result<Vec<Root>, BranchError> {
    let Some(repository) = locate(project)? else {
        return Ok(Vec::new());
    };
    private(pins).map_err(failed("make", pins))?;
    Ok(vec![dir_root(pins)?, dir_root(&repository.common)?])
}

/// Makes `.git` in a new branch.
pub(crate) fn transplant(
    view: &BranchView,
    project: &Path,
    kept: &Path,
) -> Result<(), BranchError> {
    let Some(repository) = locate(project)? else {
        return Ok(());
    };
    let meta = fs::metadata(&repository.own).map_err(failed("look at", &repository.own))?;
    let top = plant(view, ROOT, b".git", &dir_facts(&meta), None)?;
    let mut done: Vec<Vec<u8>> = Vec::new();
    // A worktree's own files hide those of the main one.
    for dir in [&repository.own, &repository.common] {
        for entry in fs::read_dir(dir).map_err(failed("list", dir))? {
            let entry = entry.map_err(failed("list", dir))?;
            let name = entry.file_name();
            let name = name.as_bytes();
            let merged = name == b"logs" || name == b"refs";
            if LEFT.contains(&name)
                || name == b"gitdir"
                || (done.iter().any(|d| d == name) && !merged)
            {
                continue;
            }
            done.push(name.to_vec());
            let path = entry.path();
            let meta = fs::symlink_metadata(&path).map_err(failed("look at", &path))?;
            if THROUGH.contains(&name) && meta.is_dir() {
                let origin = Origin {
                    layer: Layer::Git,
                    path: name.to_vec(),
                };
                plant(view, top, name, &dir_facts(&meta), Some(origin))?;
            } else if REPLACED.contains(&name) && meta.is_file() && meta.len() > SMALL {
                keep(view, top, name, &path, &meta, kept)?;
            } else {
                copy(view, top, name, &path)?;
            }
        }
        if repository.own == repository.common {
            break;
        }
    }
    Ok(())
}

fn dir_facts(meta: &fs::Metadata) -> Facts {
    Facts {
        kind: FileKind::Dir,
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        rdev: (0, 0),
    }
}

/// Makes a directory, empty or showing `origin`.
fn plant(
    view: &BranchView,
    dir: u64,
    name: &[u8],
    facts: &Facts,
    origin: Option<Origin>,
) -> Result<u64, BranchError> {
    let made = match origin {
        Some(origin) => view.plant_dir(
            dir,
            name,
            Below {
                origin,
                facts: *facts,
                lower: Lower::Real,
                which: 0,
            },
        ),
        None => match view.planted(dir, name) {
            // Both the worktree and the main one have it.
            Some(id) => Ok(id),
            None => view.plant_file(dir, name, facts, &[]),
        },
    };
    made.map_err(|e| BranchError::Layer(e.into()))
}

/// Links a file that is never written in place into what the branch keeps.
fn keep(
    view: &BranchView,
    dir: u64,
    name: &[u8],
    path: &Path,
    meta: &fs::Metadata,
    kept: &Path,
) -> Result<(), BranchError> {
    let to = kept.join(std::ffi::OsStr::from_bytes(name));
    if fs::hard_link(path, &to).is_err() {
        fs::copy(path, &to).map_err(failed("copy", path))?;
    }
    let below = Below {
        origin: Origin {
            layer: Layer::Kept,
            path: name.to_vec(),
        },
        facts: Facts {
            kind: FileKind::File,
            ..dir_facts(meta)
        },
        lower: Lower::Real,
        which: 0,
    };
    view.plant_dir(dir, name, below)
        .map(|_| ())
        .map_err(|e| BranchError::Layer(e.into()))
}

/// Copies a file or directory that may change.
fn copy(view: &BranchView, dir: u64, name: &[u8], path: &Path) -> Result<(), BranchError> {
    let gone = |e: &io::Error| e.kind() == io::ErrorKind::NotFound;
    if name.ends_with(b".lock") || name.ends_with(b".sample") {
        return Ok(());
    }
    let meta = match fs::symlink_metadata(path) {
        Err(e) if gone(&e) => return Ok(()),
        other => other.map_err(failed("look at", path))?,
    };
    let kind = meta.file_type();
    if kind.is_dir() {
        let made = plant(view, dir, name, &dir_facts(&meta), None)?;
        for entry in fs::read_dir(path).map_err(failed("list", path))? {
            let entry = entry.map_err(failed("list", path))?;
            copy(view, made, entry.file_name().as_bytes(), &entry.path())?;
        }
        return Ok(());
    }
    if view.planted(dir, name).is_some() || kind.is_socket() || kind.is_fifo() {
        return Ok(());
    }
    let mut facts = Facts {
        kind: FileKind::File,
        ..dir_facts(&meta)
    };
    let mut content = if kind.is_symlink() {
        facts.kind = FileKind::Symlink;
        let target = fs::read_link(path).map_err(failed("read", path))?;
        target.as_os_str().as_bytes().to_vec()
    } else {
        if meta.len() > FILE_LIMIT {
            return Err(BranchError::Git(format!(
                "{path:?} is unexpectedly large ({} bytes)",
                meta.len()
            )));
        }
        match fs::read(path) {
            Err(e) if gone(&e) => return Ok(()),
            other => other.map_err(failed("read", path))?,
        }
    };
    if name == b"config" && kind.is_file() {
        content.extend_from_slice(SETTINGS.as_bytes());
    }
    view.plant_file(dir, name, &facts, &content)
        .map(|_| ())
        .map_err(|e| BranchError::Layer(e.into()))
}

/// Links every object of the project's repository into `pins` (copies it where it cannot be linked), so that branches
/// keep it whatever the project cleans up. Takes as long as there are objects that are not pinned yet; to be called
/// aside. Returns how many were pinned.
pub fn pin(project: &Path, pins: &Path) -> Result<usize, BranchError> {
    let Some(repository) = locate(project)? else {
        return Ok(0);
    };
    let from = repository.common.join("objects");
    let to = pins.join("objects");
    let mut count = 0;
    private(&to).map_err(failed("make", &to))?;
    for entry in fs::read_dir(&from).map_err(failed("list", &from))? {
        let entry = entry.map_err(failed("list", &from))?;
        let name = entry.file_name();
        let objects = name.len() == 2 || name == "pack";
        if objects && entry.file_type().is_ok_and(|t| t.is_dir()) {
            count += pin_dir(&entry.path(), &to.join(&name))?;
        }
    }
    Ok(count)
}

fn pin_dir(from: &Path, to: &Path) -> Result<usize, BranchError> {
    let mut count = 0;
    let Ok(entries) = fs::read_dir(from) else {
        return Ok(0);
    };
    private(to).map_err(failed("make", to))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    // A pack before its index: whoever sees the index finds the pack.
    paths.sort_by_key(|p| p.extension().is_some_and(|e| e == "idx"));
    for path in paths {
        let Some(name) = path.file_name() else {
            continue;
        };
        let lasting = !name.as_bytes().starts_with(b"tmp_") && !name.as_bytes().ends_with(b".lock");
        let there = to.join(name);
        if !lasting || there.exists() {
            continue;
        }
        match fs::hard_link(&path, &there) {
            Ok(()) => count += 1,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(_) => {
                let beside = to.join(".new");
                fs::copy(&path, &beside).map_err(failed("copy", &path))?;
                fs::rename(&beside, &there).map_err(failed("write", &there))?;
                count += 1;
            }
        }
    }
    Ok(count)
}
