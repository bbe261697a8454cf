//! Removing contents from everywhere: a secret that was recorded by mistake.
//!
//! What a state says of its files stays (names, sizes, hashes), the bytes go: from the packs, from the index, from what
//! decoded copies there are, from files that were written out for forks. Where else they lie is searched for and said; what
//! belongs to an agent's view or to the project is not touched.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use crate::model::{BlobId, Kind, Ordinal, RepoPath, Step, Time, TreeId, neutral};
use crate::store::{self, Collect, Gone, Tomb, Why};

use super::api::{ApiError, ErrorCode, ForgetInfo};
use super::core::{Core, Failure};
use super::retention::{files, operation};

/// Lines shorter than this say nothing: they occur anywhere.
const LINE: usize = 12;
/// Most lines of a content that are looked for in texts.
const LINES: usize = 200;
/// Contents above this are not read to look for their lines.
const LARGEST: u64 = 8 << 20;
/// Most steps that are named.
const NAMED: usize = 200;

/// What to forget.
#[derive(Debug, Clone, Default)]
pub(super) struct Wish {
    pub paths: Vec<RepoPath>,
    pub rev: Option<String>,
    pub texts: bool,
    pub force: bool,
    pub dry_run: bool,
}

impl Core {
    /// `forget`
    pub(super) fn forget_contents(&self, wish: &Wish) -> Result<ForgetInfo, ApiError> {
        let _world = self.world();
        let mut found = Found::default();
        let commit = match &wish.rev {
            Some(rev) => Some(self.answers().resolve(rev)?.commit),
            None => None,
        };
        self.find(wish, commit, &mut found).map_err(Failure::from)?;
        if found.blobs.is_empty() {
            return Err(ApiError::new(
                ErrorCode::NotFound,
                "nothing that is recorded there has a content: backtrail history PATH lists the versions of a file",
            ));
        }
        // What the workspace has now at these paths stays: it would be recorded again, and is no secret any more if
        // somebody has taken that out.
        let present = self.present(&found)?;
        let mut left = Vec::new();
        for (path, blob) in &present {
            let own = wish.rev.is_some() || wish.paths.iter().any(|p| path.is_within(p));
            if wish.force {
                left.push(format!(
                    "the workspace still has it: {path} is recorded again when it changes"
                ));
            } else if own {
                found.blobs.remove(blob);
                left.push(format!(
                    "what {path} holds now stays: change it first if it is meant as well"
                ));
            }
        }
        let elsewhere = present.iter().find(|(_, b)| found.blobs.contains(b));
        let held = elsewhere.or(present.first().filter(|_| found.blobs.is_empty()));
        if let Some((path, _)) = held
            && !wish.force
        {
            return Err(ApiError::new(
                ErrorCode::Refused,
                format!(
                    "{path} still has such a content in the workspace, and would be recorded again: change or remove it first, and checkpoint (or leave it out: [capture] exclude in backtrail.toml); --force forgets it all the same",
                ),
            ));
        }
        self.find_paths(&mut found).map_err(Failure::from)?;
        let mut info = ForgetInfo {
            dry_run: wish.dry_run,
            contents: found.blobs.len() as u64,
            paths: found.paths.iter().map(ToString::to_string).collect(),
            states: found.states,
            left,
            ..ForgetInfo::default()
        };
        let texts = self.texts(&found).map_err(Failure::from)?;
        info.texts = texts
            .iter()
            .take(NAMED)
            .map(|(ordinal, title, _)| format!("step {ordinal}: {}", neutral(title.as_bytes())))
            .collect();
        if !texts.is_empty() && !wish.texts {
            info.left.push(
                "the texts of the steps above hold parts of it: --texts forgets these texts too"
                    .to_owned(),
            );
        }
        let mut condemned = found.blobs.clone();
        if wish.texts {
            condemned.extend(texts.iter().flat_map(|(_, _, blobs)| blobs.iter().copied()));
        }
        self.elsewhere(&condemned, wish.dry_run, &mut info)
            .map_err(Failure::from)?;
        let time = Time::now();
        let bury = condemned
            .iter()
            .map(|blob| Tomb {
                gone: Gone::Blob(*blob),
                why: Why::Forgotten,
                time,
                note: String::new(),
            })
            .collect();
        let held = self.held().map_err(Failure::from)?;
        let collected = self
            .store
            .collect(Collect {
                bury,
                operation: Some(operation(
                    format!("forgot {} contents", condemned.len()),
                    time,
                )),
                extra: &held.ids,
                percent: 100,
                dry_run: wish.dry_run,
                hurt: &|_| {},
            })
            .map_err(Failure::from)?;
        info.packs = collected.packs;
        info.bytes = collected.before.saturating_sub(collected.after);
        if !wish.dry_run {
            // Pages of the index that are free may still hold what stood in them.
            self.store.rebuild_index().map_err(Failure::from)?;
            self.store.drop_leftovers().map_err(Failure::from)?;
            self.past_renew();
            self.tell_all();
        }
        Ok(info)
    }

    fn find(
        &self,
        wish: &Wish,
        commit: Option<crate::model::CommitId>,
        found: &mut Found,
    ) -> Result<(), store::Error> {
        self.store.each_content(&mut |path, _, by, blob| {
            if wish.paths.iter().any(|p| path.is_within(p)) || commit == Some(by) {
                found.blobs.insert(blob);
            }
        })?;
        // What went earlier is told of by the history all the same.
        found
            .blobs
            .retain(|blob| self.store.has_blob(*blob).unwrap_or(true));
        self.find_paths(found)
    }

    /// The same content under other names goes as well.
    fn find_paths(&self, found: &mut Found) -> Result<(), store::Error> {
        found.paths.clear();
        found.states = 0;
        self.store.each_content(&mut |path, _, _, blob| {
            if found.blobs.contains(&blob) {
                found.states += 1;
                if !found.paths.contains(path) {
                    found.paths.insert(path.clone());
                }
            }
        })
    }

    /// The paths of the workspace's latest state that hold it, and which.
    fn present(&self, found: &Found) -> Result<Vec<(RepoPath, BlobId)>, ApiError> {
        let Some(head) = crate::debug::rev::head(&self.store).map_err(Failure::from)? else {
            return Ok(Vec::new());
        };
        let tree: TreeId = self.store.commit(head).map_err(Failure::from)?.tree;
        let mut out = Vec::new();
        for path in &found.paths {
            let entry = self.answers().find(tree, path)?;
            if let Some(Kind::File { blob, .. }) = entry.map(|e| e.kind)
                && found.blobs.contains(&blob)
            {
                out.push((path.clone(), blob));
            }
        }
        Ok(out)
    }

    /// Steps whose texts hold a line of it.
    fn texts(&self, found: &Found) -> Result<Vec<(Ordinal, String, Vec<BlobId>)>, store::Error> {
        let mut lines: BTreeSet<Vec<u8>> = BTreeSet::new();
        for blob in &found.blobs {
            if self.store.blob_len(*blob).unwrap_or(u64::MAX) > LARGEST {
                continue;
            }
            let Ok(content) = self.store.blob(*blob) else {
                continue;
            };
            let telling = content
                .split(|b| *b == b'\n')
                .map(<[u8]>::trim_ascii)
                .filter(|l| l.len() >= LINE)
                .take(LINES);
            lines.extend(telling.map(<[u8]>::to_vec));
        }
        let finders: Vec<_> = lines
            .iter()
            .map(|line| memchr::memmem::Finder::new(line.as_slice()))
            .collect();
        // In JSON a line's quotes are escaped.
        let escaped: Vec<Vec<u8>> = lines
            .iter()
            .filter_map(|l| serde_json::to_vec(&String::from_utf8_lossy(l)).ok())
            .filter_map(|l| l.get(1..l.len().saturating_sub(1)).map(<[u8]>::to_vec))
            .collect();
        let holds = |text: &[u8]| {
            finders.iter().any(|f| f.find(text).is_some())
                || escaped
                    .iter()
                    .any(|l| memchr::memmem::find(text, l).is_some())
        };
        let mut out = Vec::new();
        let mut after = None;
        loop {
            let page: Vec<Step> = self.store.steps_after(after, 500)?;
            for step in &page {
                let mut blobs = Vec::new();
                let sources = step.sources.iter().filter_map(|s| s.blob);
                for blob in [step.body, step.output]
                    .into_iter()
                    .flatten()
                    .chain(sources)
                {
                    if found.blobs.contains(&blob) {
                        blobs.push(blob);
                        continue;
                    }
                    if self.store.blob_len(blob).unwrap_or(u64::MAX) <= LARGEST
                        && let Ok(text) = self.store.blob(blob)
                        && holds(&text)
                    {
                        blobs.push(blob);
                    }
                }
                if !blobs.is_empty() || holds(step.title.as_bytes()) {
                    out.push((step.ordinal, step.title.clone(), blobs));
                }
            }
            match page.last() {
                Some(last) => after = Some(last.ordinal),
                None => return Ok(out),
            }
        }
    }

    /// Files beside the store that hold it: written-out contents and what was set aside go, a view's own are named.
    fn elsewhere(
        &self,
        condemned: &HashSet<BlobId>,
        dry_run: bool,
        info: &mut ForgetInfo,
    ) -> Result<(), store::Error> {
        let lengths: HashSet<u64> = condemned
            .iter()
            .filter_map(|b| self.store.blob_len(*b).ok())
            .collect();
        let dir = &self.project.store_dir;
        let mut all = Vec::new();
        files(&self.project.forks_dir(), 64, &mut all);
        files(&dir.join("races"), 8, &mut all);
        for path in all {
            let fits = path
                .symlink_metadata()
                .is_ok_and(|m| lengths.contains(&m.len()));
            if !fits || !hash_of(&path).is_some_and(|id| condemned.contains(&id)) {
                continue;
            }
            let shown = path.strip_prefix(dir).unwrap_or(&path);
            let ours = shown.components().any(|c| {
                let c = c.as_os_str().to_string_lossy();
                c == "materialised" || c.starts_with("%aside-")
            });
            let shown = neutral(shown.as_os_str().as_encoded_bytes());
            if ours {
                if !dry_run && let Err(e) = std::fs::remove_file(&path) {
                    info.left.push(format!("{shown} could not be removed: {e}"));
                    continue;
                }
                info.removed.push(shown);
            } else {
                info.left.push(format!(
                    "{shown} in the store's directory holds it: remove it there"
                ));
            }
        }
        // What a crash left is not looked into: it goes.
        let mut torn: Vec<PathBuf> = Vec::new();
        files(&dir.join("packs"), 0, &mut torn);
        torn.retain(|p| p.to_string_lossy().contains(".torn-"));
        for path in torn {
            let shown = path.strip_prefix(dir).unwrap_or(&path);
            let shown = neutral(shown.as_os_str().as_encoded_bytes());
            if !dry_run {
                let _ = std::fs::remove_file(&path);
            }
            info.removed.push(shown);
        }
        Ok(())
    }
}

fn hash_of(path: &Path) -> Option<BlobId> {
    let mut hasher = blake3::Hasher::new();
    let mut file = std::fs::File::open(path).ok()?;
    std::io::copy(&mut file, &mut hasher).ok()?;
    Some(BlobId::from(hasher.finalize()))
}

/// What is to go.
#[derive(Default)]
struct Found {
    blobs: HashSet<BlobId>,
    paths: BTreeSet<RepoPath>,
    states: u64,
}
