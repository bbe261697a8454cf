//! Looking the store over, and mending it: what the index still has, and what the workspace still holds, comes back.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::model::{BlobId, RepoPath};
use crate::store::{self, Repaired, VerifyReport};

use super::api::{ApiError, FaultInfo, VerifyInfo};
use super::core::{Core, Failure};
use super::project::Project;

/// Largest file of the workspace that is read to see whether it is a content that the store lost.
const LARGEST: u64 = 1 << 30;

/// Puts back what keeps a store from being opened at all: the line that says which format it has. What the packs hold says
/// it again.
pub fn before(project: &Project) -> Result<(), ApiError> {
    let dir = &project.store_dir;
    let has_packs = std::fs::read_dir(dir.join("packs")).is_ok_and(|mut d| d.next().is_some());
    if !has_packs {
        return Ok(());
    }
    store::restore_format(dir).map_err(|e| Failure::from(e).into())
}

impl Core {
    /// `verify`, with a repair before it if that is wanted.
    pub(super) fn verify(&self, rev: Option<&str>, repair: bool) -> Result<VerifyInfo, ApiError> {
        if let Some(rev) = rev {
            let commit = self.answers().resolve(rev)?.commit;
            let report = self.store.verify_commit(commit).map_err(Failure::from)?;
            return Ok(info(&report, Vec::new()));
        }
        let mut done = Vec::new();
        if repair {
            let spare = |id: BlobId, paths: &[RepoPath]| self.spare(id, paths);
            let repaired = self.store.repair(&spare).map_err(Failure::from)?;
            done = words(&repaired);
            self.tell_all();
        }
        let report = self.store.verify().map_err(Failure::from)?;
        Ok(info(&report, done))
    }

    /// Makes the index anew, and looks everything over.
    pub(super) fn doctor(&self) -> Result<VerifyInfo, ApiError> {
        self.store.rebuild_index().map_err(Failure::from)?;
        let count = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let s = &self.store;
        let found = || -> Result<String, store::Error> {
            let operations = s.operations(None, 1)?.first().map_or(0, |(seq, ..)| *seq);
            Ok(format!(
                "the index was made anew from the packs: {}, {}, {}, {}, {}",
                count(s.commit_count()?, "commit"),
                count(s.refs()?.len() as u64, "ref"),
                count(operations, "operation"),
                count(s.step_count()?, "step"),
                count(s.sessions()?.len() as u64, "session"),
            ))
        };
        let done = vec![found().map_err(Failure::from)?];
        self.tell_all();
        let report = self.store.verify().map_err(Failure::from)?;
        Ok(info(&report, done))
    }

    /// A content from the workspace, or from where it was written out for forks.
    fn spare(&self, id: BlobId, paths: &[RepoPath]) -> Option<Vec<u8>> {
        let hex = id.to_hex();
        let (head, tail) = hex.split_at(2);
        let written = self.project.forks_dir().join("materialised");
        let written = std::fs::read_dir(&written).into_iter().flatten().flatten();
        written
            .map(|dir| dir.path().join(head).join(tail))
            .chain(paths.iter().map(|p| self.project.root.join(p.as_path())))
            .find_map(|path| read(&path).filter(|content| BlobId::of(content) == id))
    }
}

/// An ordinary file, if it is one: a pipe would be waited for.
fn read(path: &Path) -> Option<Vec<u8>> {
    use rustix::fs::OFlags;
    let file = File::options()
        .read(true)
        .custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed())
        .open(path)
        .ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut content = Vec::new();
    file.take(LARGEST).read_to_end(&mut content).ok()?;
    Some(content)
}

fn words(r: &Repaired) -> Vec<String> {
    let count = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let mut out = Vec::new();
    if r.packs > 0 {
        out.push(format!("{} written anew", count(r.packs, "pack")));
    }
    if r.records > 0 {
        out.push(format!(
            "{} saved from the index",
            count(r.records, "record")
        ));
    }
    if r.contents > 0 {
        out.push(format!(
            "{} taken from the workspace",
            count(r.contents, "content")
        ));
    }
    out.extend(r.lost.iter().map(|what| format!("lost: {what}")));
    if out.is_empty() {
        out.push("nothing had to be mended".to_owned());
    }
    out
}

fn info(report: &VerifyReport, done: Vec<String>) -> VerifyInfo {
    VerifyInfo {
        records: report.records,
        bytes: report.bytes,
        commits: report.commits,
        dropped: report.dropped,
        forgotten: report.forgotten,
        lost: report.lost,
        faults: report
            .faults
            .iter()
            .map(|f| FaultInfo {
                file: f.path.display().to_string(),
                offset: f.offset,
                what: f.what.clone(),
                saved: f.saved.clone(),
            })
            .collect(),
        done,
    }
}
