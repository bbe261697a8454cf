//! Which commit each line of a file is from, found through the history of its path.
//!
//! The versions of a path in a commit's lineage are rows of the index, newest first; a version's content is compared with
//! the one before it, and where a merge made it also with those of the other parents. Where a path begins, the file may have
//! had another name: what the same commit removed elsewhere is looked at, first with the same content, then alike.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::debug::blame::{self, Limits, Versions};
use crate::diff::text::{equal_runs, is_binary, lines};
use crate::diff::tree;
use crate::model::{BlobId, CommitId, Entry, Kind, RepoPath};
use crate::store::{Lineage, PathVersion};

use super::answer::{Answers, entry_info};
use super::api::{ApiError, BlameInfo, BlameProblem, ErrorCode, Origin};
use super::core::Failure;

/// A larger file is looked into only when asked for although it is.
const LARGE: u64 = 1 << 20;
/// Beyond this none is.
const TOO_LARGE: u64 = 16 << 20;
/// How many versions are compared, and for how long; then for large files, and others that are asked for again.
const USUAL: (usize, Duration) = (2_000, Duration::from_secs(2));
const FORCED: (usize, Duration) = (100_000, Duration::from_secs(60));
/// Versions of a path that are read from the index at a time.
const PAGE: usize = 64;
/// Removed files that a new one is held against, and their largest size.
const CANDIDATES: usize = 20;
const CANDIDATE_SIZE: u64 = 256 << 10;
/// Of a hundred lines so many must be the same for a file to be a renamed one.
const ALIKE: usize = 60;

impl Answers<'_> {
    /// Where the lines of a file are from.
    pub(super) fn blame(
        &self,
        rev: &str,
        path: &RepoPath,
        force: bool,
    ) -> Result<BlameInfo, Failure> {
        let commit = self.named(rev)?;
        let entry = self
            .find(self.store.commit(commit)?.tree, path)?
            .ok_or_else(|| {
                ApiError::new(ErrorCode::NotFound, format!("{path} is not there at {rev}"))
            })?;
        let mut out = BlameInfo {
            entry: entry_info(path, &entry),
            runs: Vec::new(),
            origins: Vec::new(),
            versions: 0,
            problem: None,
        };
        let (blob, size) = match &entry.kind {
            Kind::File { blob, size } => (*blob, *size),
            Kind::Unknown { .. } => return Ok(with(out, BlameProblem::Unknown)),
            _ => return Ok(with(out, BlameProblem::NoFile)),
        };
        if size > TOO_LARGE {
            return Ok(with(out, BlameProblem::TooLarge));
        }
        if size > LARGE && !force {
            return Ok(with(out, BlameProblem::Large));
        }
        let content = self.store.blob(blob)?;
        if is_binary(&content) {
            return Ok(with(out, BlameProblem::Binary));
        }
        let mut past = Past::new(self);
        let start = past.first(commit, path, &entry)?;
        let (versions, time) = if force { FORCED } else { USUAL };
        let limits = Limits {
            versions,
            until: Instant::now() + time,
        };
        let found = blame::blame(&mut past, start, content, &limits)?;
        out.versions = found.loaded;
        self.fill(&mut out, &past, &found)?;
        Ok(out)
    }

    fn fill(
        &self,
        out: &mut BlameInfo,
        past: &Past<'_>,
        found: &blame::Blame,
    ) -> Result<(), Failure> {
        let mut used: Vec<usize> = found.lines.clone();
        used.sort_unstable_by_key(|at| past.age(*at));
        used.dedup();
        let places: HashMap<usize, u32> = used
            .iter()
            .enumerate()
            .map(|(place, at)| (*at, u32::try_from(place).unwrap_or(u32::MAX)))
            .collect();
        let names = self.names()?;
        for at in &used {
            let Some(node) = past.nodes.get(*at) else {
                continue;
            };
            let step = self.step_of(node.commit)?;
            let name = past.paths.get(node.path);
            out.origins.push(Origin {
                commit: self.info(self.store.commit_node(node.commit)?, &names)?,
                path: name.filter(|p| **p != out.entry.path).cloned(),
                older: found.older.contains(at),
                step: step.as_ref().map(|s| s.id),
                kind: step.as_ref().map(|s| s.kind),
                tool: step.as_ref().map(|s| s.tool.clone()).unwrap_or_default(),
                title: step.map(|s| s.title).unwrap_or_default(),
            });
        }
        for at in &found.lines {
            let place = places.get(at).copied().unwrap_or(0);
            match out.runs.last_mut() {
                Some((count, of)) if *of == place => *count += 1,
                _ => out.runs.push((1, place)),
            }
        }
        Ok(())
    }
}

fn with(mut info: BlameInfo, problem: BlameProblem) -> BlameInfo {
    info.problem = Some(problem);
    info
}

/// A version of the file.
struct Node {
    commit: CommitId,
    seq: u64,
    entry: Option<Entry>,
    /// Which of the names.
    path: usize,
    /// The rows that it was found in, and its place there; none for one that no row tells of.
    chain: Option<(usize, usize)>,
}

/// The rows of a path in one lineage, read as far as they were asked for.
struct Chain {
    path: usize,
    lineage: Lineage,
    versions: Vec<PathVersion>,
    whole: bool,
}

/// The versions of a file as far as they were looked at.
struct Past<'a> {
    answers: &'a Answers<'a>,
    paths: Vec<RepoPath>,
    nodes: Vec<Node>,
    chains: Vec<Chain>,
    known: HashMap<(usize, CommitId), usize>,
    parents: HashMap<usize, Vec<usize>>,
}

impl<'a> Past<'a> {
    fn new(answers: &'a Answers<'a>) -> Self {
        Self {
            answers,
            paths: Vec::new(),
            nodes: Vec::new(),
            chains: Vec::new(),
            known: HashMap::new(),
            parents: HashMap::new(),
        }
    }

    /// The version that `commit` has.
    fn first(
        &mut self,
        commit: CommitId,
        path: &RepoPath,
        entry: &Entry,
    ) -> Result<usize, Failure> {
        let newest = self.newest(commit, path)?;
        let same = newest.is_some_and(|at| {
            let known = self.nodes.get(at).and_then(|n| n.entry.as_ref());
            known.is_some_and(|e| e.kind == entry.kind)
        });
        if let (true, Some(at)) = (same, newest) {
            return Ok(at);
        }
        // No row tells of it: it is the commit's own as far as anybody can say.
        let path = self.name(path);
        let seq = self.answers.store.commit_node(commit)?.seq;
        let at = self.nodes.len();
        self.nodes.push(Node {
            commit,
            seq,
            entry: Some(entry.clone()),
            path,
            chain: None,
        });
        let older = newest.filter(|n| self.nodes.get(*n).is_some_and(|n| n.seq < seq));
        self.parents.insert(at, older.into_iter().collect());
        Ok(at)
    }

    fn name(&mut self, path: &RepoPath) -> usize {
        if let Some(at) = self.paths.iter().position(|p| p == path) {
            return at;
        }
        self.paths.push(path.clone());
        self.paths.len() - 1
    }

    /// The newest version of a path in a commit's lineage, if it has a content.
    fn newest(&mut self, commit: CommitId, path: &RepoPath) -> Result<Option<usize>, Failure> {
        let chain = Chain {
            path: self.name(path),
            lineage: self.answers.store.lineage(commit)?,
            versions: Vec::new(),
            whole: false,
        };
        self.chains.push(chain);
        self.of_chain(self.chains.len() - 1, 0)
    }

    fn of_chain(&mut self, at: usize, place: usize) -> Result<Option<usize>, Failure> {
        let Some(chain) = self.chains.get_mut(at) else {
            return Ok(None);
        };
        while chain.versions.len() <= place && !chain.whole {
            let Some(path) = self.paths.get(chain.path) else {
                return Ok(None);
            };
            let before = chain.versions.last().map(|v| v.seq);
            // The first is often the only one that is wanted.
            let limit = if before.is_none() { 2 } else { PAGE };
            let page = self
                .answers
                .store
                .path_versions(path, &chain.lineage, before, limit)?;
            chain.whole = page.len() < limit;
            chain.versions.extend(page);
        }
        let Some(version) = chain.versions.get(place) else {
            return Ok(None);
        };
        let key = (chain.path, version.commit);
        if let Some(known) = self.known.get(&key) {
            return Ok(Some(*known));
        }
        let node = self.nodes.len();
        self.nodes.push(Node {
            commit: version.commit,
            seq: version.seq,
            entry: version.entry.clone(),
            path: chain.path,
            chain: Some((at, place)),
        });
        self.known.insert(key, node);
        Ok(Some(node))
    }

    fn is_there(&self, at: usize) -> bool {
        self.nodes.get(at).is_some_and(|n| n.entry.is_some())
    }

    fn find_parents(&mut self, at: usize) -> Result<Vec<usize>, Failure> {
        let Some(node) = self.nodes.get(at) else {
            return Ok(Vec::new());
        };
        let (id, path, chain) = (node.commit, node.path, node.chain);
        let commit = self.answers.store.commit(id)?;
        let mut out = Vec::new();
        // The version before it in the same lineage is what its first parent has.
        if let Some((chain, place)) = chain
            && let Some(before) = self.of_chain(chain, place + 1)?
        {
            out.push(before);
        }
        let Some(name) = self.paths.get(path).cloned() else {
            return Ok(out);
        };
        for parent in commit.parents.iter().skip(1) {
            out.extend(self.newest(*parent, &name)?);
        }
        out.retain(|p| self.is_there(*p));
        if let (true, Some(parent)) = (out.is_empty(), commit.parents.first())
            && let Some(old) = self.old_name(at, *parent, commit.tree)?
        {
            out.extend(self.newest(*parent, &old)?);
            out.retain(|p| self.is_there(*p));
        }
        Ok(out)
    }

    /// What the file was called in the parent of the commit that made this version.
    fn old_name(
        &self,
        at: usize,
        parent: CommitId,
        now: crate::model::TreeId,
    ) -> Result<Option<RepoPath>, Failure> {
        let store = self.answers.store;
        let Some((blob, size)) = self.nodes.get(at).and_then(|n| file(n.entry.as_ref())) else {
            return Ok(None);
        };
        if size == 0 {
            return Ok(None);
        }
        let before = store.commit(parent)?.tree;
        let mut gone = Vec::new();
        for change in tree::trees(store, before, now, &[])? {
            if change.after.is_none()
                && let Some((was, size)) = file(change.before.as_ref())
            {
                if was == blob {
                    return Ok(Some(change.path));
                }
                gone.push((change.path, was, size));
            }
        }
        if size > CANDIDATE_SIZE {
            return Ok(None);
        }
        gone.retain(|(_, _, old)| *old <= CANDIDATE_SIZE && *old > 0);
        let content = store.blob(blob)?;
        let new = lines(&content);
        let mut best = None;
        for (path, was, _) in gone.into_iter().take(CANDIDATES) {
            let content = store.blob(was)?;
            let old = lines(&content);
            let same: usize = equal_runs(&old, &new).iter().map(|(_, _, len)| len).sum();
            let share = same * 100 / old.len().max(new.len()).max(1);
            if share >= ALIKE && best.as_ref().is_none_or(|(most, _)| share > *most) {
                best = Some((share, path));
            }
        }
        Ok(best.map(|(_, path)| path))
    }
}

fn file(entry: Option<&Entry>) -> Option<(BlobId, u64)> {
    match entry.map(|e| &e.kind) {
        Some(Kind::File { blob, size }) => Some((*blob, *size)),
        _ => None,
    }
}

impl Versions for Past<'_> {
    type Error = Failure;

    fn parents(&mut self, at: usize) -> Result<Vec<usize>, Failure> {
        if let Some(known) = self.parents.get(&at) {
            return Ok(known.clone());
        }
        let found = self.find_parents(at)?;
        self.parents.insert(at, found.clone());
        Ok(found)
    }

    fn content(&mut self, at: usize) -> Result<Option<Vec<u8>>, Failure> {
        match self.nodes.get(at).and_then(|n| file(n.entry.as_ref())) {
            Some((blob, size)) if size <= TOO_LARGE => Ok(Some(self.answers.store.blob(blob)?)),
            _ => Ok(None),
        }
    }

    fn age(&self, at: usize) -> u64 {
        self.nodes.get(at).map_or(0, |n| n.seq)
    }
}
