//! How long states are kept, what takes up how much, and the acts that let content go.
//!
//! The policy: every state of the last days is kept; of older ones the last of each hour, then of each day, on each
//! branch. Always kept are what branches and labels name, what operations name that are young enough to be undone, what
//! views are made of, where lines part, first states, unresolved conflicts, and the states of imported recordings. What is
//! let go stays in the graph with its reasons: only its files are gone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::capture::settings;
use crate::model::{BlobId, CommitId, OpKind, RefTarget, Time};
use crate::store::{self, Collect, Collected, Gone, NewOperation, Tomb, Why, ids_in};

use super::api::{ApiError, CollectInfo, DuInfo, ErrorCode, StateStored, StoredInfo};
use super::core::{Core, Failure};

const DAY: i64 = 86_400_000_000;
const HOUR: i64 = 3_600_000_000;
/// Version of the store's format, as it is told.
const FORMAT: u64 = 1;
/// A pack is written anew when so much of it, in hundredths, is not needed.
const PERCENT: u64 = 25;
/// Files with ids that are larger are no notes of ours.
const NOTE: u64 = 16 << 20;

/// What `backtrail.toml` says in its table `[store]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    /// All states younger than this stay.
    pub keep_days: u32,
    /// After that, the last of each hour up to this age; then the last of each day.
    pub hourly_days: u32,
    /// What operations younger than this name stays, so that they can be undone.
    pub operations_days: u32,
    /// A warning is given when the packs are larger.
    pub budget: Option<u64>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            keep_days: 30,
            hourly_days: 90,
            operations_days: 30,
            budget: None,
        }
    }
}

impl Policy {
    /// That of a project.
    pub fn of(root: &Path) -> Self {
        settings::store_table(root).map_or_else(Self::default, |table| Self::read(&table))
    }

    fn read(table: &toml::Table) -> Self {
        let default = Self::default();
        let days = |name: &str, default: u32| {
            let value = table.get(name).and_then(toml::Value::as_integer);
            value.and_then(|n| u32::try_from(n).ok()).unwrap_or(default)
        };
        let keep_days = days("keep-days", default.keep_days);
        Self {
            keep_days,
            hourly_days: days("hourly-days", default.hourly_days).max(keep_days),
            operations_days: days("operations-days", keep_days),
            budget: table.get("budget").and_then(|v| match v {
                toml::Value::String(text) => size(text),
                v => v.as_integer().and_then(|n| u64::try_from(n).ok()),
            }),
        }
    }

    /// The span that a state of that time shares with others of which one stays; `None` if it stays anyhow.
    fn span(&self, time: Time, now: Time) -> Option<i64> {
        let age = now.0.saturating_sub(time.0);
        if age < i64::from(self.keep_days) * DAY {
            None
        } else if age < i64::from(self.hourly_days) * DAY {
            Some(time.0.div_euclid(HOUR))
        } else {
            // Apart from the hours, which are counted from 1970 as well.
            Some(-1 - time.0.div_euclid(DAY).max(0))
        }
    }
}

/// `500 MB`, `2 GiB`, `10G`.
fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let n: u64 = text.get(..digits)?.parse().ok()?;
    let unit = text.get(digits..)?.trim().to_ascii_uppercase();
    let unit = unit.trim_end_matches("IB").trim_end_matches('B');
    let shift = match unit {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    n.checked_mul(1 << shift)
}

impl Core {
    /// How a state lies in the store.
    pub(super) fn stored(&self, rev: &str) -> Result<StoredInfo, ApiError> {
        let id = self.answers().resolve(rev)?.commit;
        self.stored_of(id).map_err(|e| Failure::from(e).into())
    }

    fn stored_of(&self, id: CommitId) -> Result<StoredInfo, store::Error> {
        let node = self.store.commit_node(id)?;
        let session = match node.commit.session {
            Some(session) => self.store.session(session)?,
            None => None,
        };
        let state = match node.commit.state {
            Some(blob) => match self.store.stored(blob) {
                Ok(at) => Some(StateStored {
                    hash: blob,
                    size: at.len,
                    stored: at.stored,
                    codec: at.codec.to_owned(),
                }),
                Err(store::Error::Gone { .. }) => None,
                Err(e) => return Err(e),
            },
            None => None,
        };
        let tomb = self.store.tomb(Gone::Commit(id))?;
        Ok(StoredInfo {
            commit: id,
            index: node.seq,
            time: node.commit.time,
            tree: node.commit.tree,
            description: node.commit.message.clone(),
            session: session.map(|s| (s.agent, s.native)),
            state,
            format: FORMAT,
            gone: tomb.map(|t| format!("{} on {}", t.why.word(), t.time.local())),
        })
    }

    /// `delete`
    pub(super) fn delete(&self, rev: &str, force: bool) -> Result<CollectInfo, ApiError> {
        let id = self.answers().resolve(rev)?.commit;
        let refused = |why: String| Err(ApiError::new(ErrorCode::Refused, why));
        let _world = self.world();
        let held = self.held().map_err(Failure::from)?;
        if let Some(why) = held.always.get(&id) {
            return refused(format!("{} is needed: {why}", id.short()));
        }
        let names: Vec<String> = self
            .store
            .refs()
            .map_err(Failure::from)?
            .into_iter()
            .filter(|(_, target)| *target == RefTarget::Commit(id))
            .map(|(name, _)| name)
            .collect();
        let children = self.store.children(id).map_err(Failure::from)?.len();
        let mut needs = Vec::new();
        if !names.is_empty() {
            needs.push(format!("{} names it", names.join(" and ")));
        }
        if children > 1 {
            needs.push("lines part there, and merging them needs it".to_owned());
        }
        if !needs.is_empty() && !force {
            return refused(format!(
                "{} is needed by others: {}; --force deletes it all the same",
                id.short(),
                needs.join("; ")
            ));
        }
        if self
            .store
            .tomb(Gone::Commit(id))
            .map_err(Failure::from)?
            .is_some()
        {
            return refused(format!("the content of {} is gone already", id.short()));
        }
        let time = Time::now();
        let tomb = Tomb {
            gone: Gone::Commit(id),
            why: Why::Deleted,
            time,
            note: String::new(),
        };
        let collected = self
            .store
            .collect(Collect {
                bury: vec![tomb],
                operation: Some(operation(
                    format!("deleted the content of {}", id.short()),
                    time,
                )),
                extra: &held.ids,
                percent: 0,
                dry_run: false,
                hurt: &|_| {},
            })
            .map_err(Failure::from)?;
        self.tell_all();
        Ok(collect_info(&collected, 1, false))
    }

    /// `gc`
    pub(super) fn gc(
        &self,
        dry_run: bool,
        keep_days: Option<u32>,
        thorough: bool,
    ) -> Result<CollectInfo, ApiError> {
        if let Some(recorder) = self.recording()
            && !recorder.scan().done
        {
            return Err(ApiError::new(
                ErrorCode::Refused,
                "the first scan is not over: what it stores is not referred to yet; try again then",
            ));
        }
        let mut policy = Policy::of(&self.project.root);
        if let Some(days) = keep_days {
            policy.keep_days = days;
            policy.hourly_days = policy.hourly_days.max(days);
            policy.operations_days = policy.operations_days.min(days);
        }
        let now = Time::now();
        let _world = self.world();
        let held = self.held().map_err(Failure::from)?;
        let (thin, kept) = self.thinned(&policy, &held, now).map_err(Failure::from)?;
        let states = thin.len() as u64;
        let bury = thin
            .into_iter()
            .map(|id| Tomb {
                gone: Gone::Commit(id),
                why: Why::Thinned,
                time: now,
                note: String::new(),
            })
            .collect();
        let collected = self
            .store
            .collect(Collect {
                bury,
                operation: (states > 0).then(|| {
                    operation(format!("let the content of {states} older states go"), now)
                }),
                extra: &held.ids,
                percent: if thorough { 0 } else { PERCENT },
                dry_run,
                hurt: &|_| {},
            })
            .map_err(Failure::from)?;
        let mut info = collect_info(&collected, states, dry_run);
        info.kept = kept;
        info.beside = self.sweep_beside(&policy, dry_run);
        if !dry_run && states > 0 {
            self.tell_all();
        }
        Ok(info)
    }

    /// The states that the policy does not keep, and how many it does.
    fn thinned(
        &self,
        policy: &Policy,
        held: &Held,
        now: Time,
    ) -> Result<(Vec<CommitId>, u64), store::Error> {
        let mut protected: HashSet<CommitId> = held.always.keys().copied().collect();
        for target in self.store.refs()?.into_values() {
            match target {
                RefTarget::Commit(id) => _ = protected.insert(id),
                RefTarget::Step(step) => {
                    for link in self.store.links_of_step(step)? {
                        protected.insert(link.commit);
                    }
                }
                RefTarget::Branch(_) => {}
            }
        }
        let young = i64::from(policy.operations_days) * DAY;
        let mut before = None;
        'ops: loop {
            let page = self.store.operations(before, 500)?;
            for (_, _, op) in &page {
                if now.0.saturating_sub(op.time.0) >= young {
                    break 'ops;
                }
                let refs = op.refs.iter().flat_map(|r| [&r.before, &r.after]);
                protected.extend(refs.flatten().filter_map(|t| match t {
                    RefTarget::Commit(id) => Some(*id),
                    _ => None,
                }));
                protected.extend(op.workspace.iter().flat_map(|(a, b)| [*a, *b]));
            }
            match page.last() {
                Some((seq, ..)) => before = Some(*seq),
                None => break,
            }
        }
        let imported: HashSet<_> = self
            .store
            .sessions()?
            .into_iter()
            .filter(|s| s.imported)
            .map(|s| s.id)
            .collect();
        let dropped = self.store.dropped()?;
        let mut spans: HashSet<(String, i64)> = HashSet::new();
        let (mut thin, mut kept) = (Vec::new(), 0);
        // Newest first: the first of a span is its last state.
        let mut before = None;
        loop {
            let page = self.store.commits(before, 1_000)?;
            for node in &page {
                let commit = &node.commit;
                if dropped.contains(&node.id) {
                    continue;
                }
                let branch = commit.meta.get("branch").cloned().unwrap_or_default();
                let stays = protected.contains(&node.id)
                    || commit.parents.is_empty()
                    || !commit.conflict.is_empty()
                    || branch.starts_with("imported/")
                    || commit.session.is_some_and(|s| imported.contains(&s))
                    || match policy.span(commit.time, now) {
                        None => true,
                        Some(span) => spans.insert((branch, span)),
                    }
                    || self.store.children(node.id)?.len() > 1;
                if stays {
                    kept += 1;
                } else {
                    thin.push(node.id);
                }
            }
            match page.last() {
                Some(last) => before = Some(last.seq),
                None => return Ok((thin, kept)),
            }
        }
    }

    /// What must stay whatever the policy says, and the ids in notes of views, of an unfinished merge and of the journal.
    pub(super) fn held(&self) -> Result<Held, store::Error> {
        let mut held = Held::default();
        if let Some(head) = crate::debug::rev::head(&self.store)? {
            held.always.insert(head, "the workspace is there");
        }
        let dir = &self.project.store_dir;
        let mut notes = Vec::new();
        files(&dir.join("journal"), 3, &mut notes);
        notes.push(dir.join("merge"));
        if let Ok(forks) = std::fs::read_dir(self.project.forks_dir()) {
            for fork in forks.flatten() {
                notes.push(fork.path().join("fork.json"));
                notes.push(fork.path().join("branch.json"));
            }
        }
        for note in notes {
            let small = note.metadata().is_ok_and(|m| m.is_file() && m.len() < NOTE);
            if small && let Ok(text) = std::fs::read(&note) {
                held.ids.extend(ids_in(&text));
            }
        }
        for id in &held.ids {
            if self.store.commit_node(CommitId(*id)).is_ok() {
                held.always
                    .insert(CommitId(*id), "a view or an unfinished act is made of it");
            }
        }
        Ok(held)
    }

    /// What lies beside the store and nobody needs: views set aside, contents written out for forks that are no more,
    /// outputs of races, torn ends and damaged files that were kept.
    fn sweep_beside(&self, policy: &Policy, dry_run: bool) -> Vec<(String, u64)> {
        let dir = &self.project.store_dir;
        let forks = self.project.forks_dir();
        let old = Duration::from_secs(u64::from(policy.keep_days) * 86_400);
        let mut due: Vec<PathBuf> = Vec::new();
        let mut views = 0;
        for entry in std::fs::read_dir(&forks).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("%aside-") {
                due.extend(Some(entry.path()).filter(|p| is_older(p, old)));
            } else if entry.path().join("branch.json").exists() {
                views += 1;
            }
        }
        if views == 0 && self.forks.names().is_empty() {
            due.extend(["materialised", "pins"].map(|n| forks.join(n)));
        }
        for parent in [dir.join("races"), dir.join("packs"), dir.clone()] {
            for entry in std::fs::read_dir(&parent).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let wanted = parent.ends_with("races")
                    || name.contains(".pack.torn-")
                    || name.contains(".torn-")
                    || name == "graph.redb.damaged"
                    || name.starts_with("merge.damaged-")
                    || name.starts_with("verify-");
                if wanted && is_older(&entry.path(), old) {
                    due.push(entry.path());
                }
            }
        }
        let mut out = Vec::new();
        for path in due.into_iter().filter(|p| p.exists()) {
            let bytes = size_of(&path);
            let shown = path.strip_prefix(dir).unwrap_or(&path);
            let shown = crate::model::neutral(shown.as_os_str().as_encoded_bytes());
            if !dry_run {
                let gone = if path.is_dir() {
                    std::fs::remove_dir_all(&path)
                } else {
                    std::fs::remove_file(&path)
                };
                if let Err(e) = gone {
                    tracing::warn!("{} could not be removed: {e}", path.display());
                    continue;
                }
            }
            out.push((shown, bytes));
        }
        out
    }

    /// `du`
    pub(super) fn du(&self, limit: usize) -> Result<DuInfo, ApiError> {
        self.du_of(limit.min(10_000))
            .map_err(|e| Failure::from(e).into())
    }

    fn du_of(&self, limit: usize) -> Result<DuInfo, store::Error> {
        // Each content counts for whoever brought it first.
        let mut first: HashMap<BlobId, (u64, CommitId, String)> = HashMap::new();
        self.store.each_content(&mut |path, seq, commit, blob| {
            let entry = first
                .entry(blob)
                .or_insert((u64::MAX, commit, String::new()));
            if seq < entry.0 {
                *entry = (seq, commit, path.to_string());
            }
        })?;
        let sizes = self.store.blob_sizes(first.keys().copied())?;
        let mut whose: HashMap<CommitId, (String, String)> = HashMap::new();
        let mut sessions: BTreeMap<String, u64> = BTreeMap::new();
        let mut branches: BTreeMap<String, u64> = BTreeMap::new();
        let mut paths: BTreeMap<String, u64> = BTreeMap::new();
        for (blob, (_, commit, path)) in first {
            let Some(bytes) = sizes.get(&blob).copied() else {
                continue;
            };
            let (session, branch) = match whose.get(&commit) {
                Some(known) => known.clone(),
                None => {
                    let c = self.store.commit(commit)?;
                    let session = match c.session {
                        Some(id) => self
                            .store
                            .session(id)?
                            .map_or_else(|| id.short(), |s| format!("{} {}", s.agent, id.short())),
                        None => "outside".to_owned(),
                    };
                    let branch = c
                        .meta
                        .get("branch")
                        .cloned()
                        .unwrap_or_else(|| "main".into());
                    whose.insert(commit, (session.clone(), branch.clone()));
                    (session, branch)
                }
            };
            *sessions.entry(session).or_default() += bytes;
            *branches.entry(branch).or_default() += bytes;
            *paths.entry(path).or_default() += bytes;
        }
        let dir = &self.project.store_dir;
        let mut beside = Vec::new();
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !matches!(
                name.as_str(),
                "packs" | "graph.redb" | "FORMAT" | "lock" | "project.json"
            ) {
                beside.push((name, size_of(&entry.path())));
            }
        }
        Ok(DuInfo {
            packs: self.store.packed(),
            index: self.store.index_size(),
            beside: largest(beside, limit),
            sessions: largest(sessions, limit),
            branches: largest(branches, limit),
            paths: largest(paths, limit),
            budget: Policy::of(&self.project.root).budget,
        })
    }

    /// Says so when the store has grown beyond what the settings allow.
    pub(super) fn over_budget(&self) -> Option<String> {
        let budget = Policy::of(&self.project.root).budget?;
        let size = self.store.packed() + self.store.index_size();
        (size > budget).then(|| {
            format!(
                "the store has {} MiB, more than the {} MiB of its budget: backtrail du says what takes them up, backtrail gc lets older states go",
                size >> 20,
                budget >> 20
            )
        })
    }
}

/// What must stay.
#[derive(Default)]
pub(super) struct Held {
    /// Commits, and why.
    pub always: HashMap<CommitId, &'static str>,
    /// Ids of whatever that stand in notes.
    pub ids: Vec<[u8; 32]>,
}

pub(super) fn operation(description: String, time: Time) -> NewOperation {
    NewOperation {
        kind: OpKind::Gc,
        description,
        refs: Vec::new(),
        target: None,
        workspace: None,
        time,
    }
}

fn collect_info(c: &Collected, states: u64, dry_run: bool) -> CollectInfo {
    CollectInfo {
        dry_run,
        states,
        kept: 0,
        before: c.before,
        after: c.after,
        removed: c.removed,
        packs: c.packs,
        waiting: c.waiting,
        beside: Vec::new(),
    }
}

fn largest(of: impl IntoIterator<Item = (String, u64)>, limit: usize) -> Vec<(String, u64)> {
    let mut all: Vec<_> = of.into_iter().collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all.truncate(limit);
    all
}

fn is_older(path: &Path, than: Duration) -> bool {
    let changed = path.symlink_metadata().and_then(|m| m.modified());
    changed.is_ok_and(|t| SystemTime::now().duration_since(t).unwrap_or_default() >= than)
}

/// The ordinary files below `dir`.
pub(super) fn files(dir: &Path, deep: u32, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(t) if t.is_file() => out.push(entry.path()),
            Ok(t) if t.is_dir() && deep > 0 => files(&entry.path(), deep - 1, out),
            _ => {}
        }
    }
}

fn size_of(path: &Path) -> u64 {
    let Ok(meta) = path.symlink_metadata() else {
        return 0;
    };
    if !meta.is_dir() {
        return meta.len();
    }
    let mut all = Vec::new();
    files(path, 64, &mut all);
    all.iter()
        .filter_map(|f| f.symlink_metadata().ok())
        .map(|m| m.len())
        .sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(size("5"), Some(5));
        assert_eq!(size("2 GiB"), Some(2 << 30));
        assert_eq!(size("500MB"), Some(500 << 20));
        assert_eq!(size("1k"), Some(1024));
        for bad in ["", "GB", "1 X", "99999999999999 T"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn settings_are_read_and_what_makes_no_sense_is_the_default() {
        let table = "keep-days = 7\nbudget = \"1 GB\"\nhourly-days = -3\n";
        let policy = Policy::read(&toml::from_str(table).unwrap());
        assert_eq!(
            policy,
            Policy {
                keep_days: 7,
                hourly_days: 90,
                operations_days: 7,
                budget: Some(1 << 30)
            }
        );
    }

    #[test]
    fn older_states_share_longer_spans() {
        let policy = Policy::default();
        let now = Time(400 * DAY);
        let ago = |days: i64, hours: i64| policy.span(Time(now.0 - days * DAY - hours * HOUR), now);
        assert_eq!(ago(29, 0), None);
        // A clock that was set back makes states of the future.
        assert_eq!(ago(-5, 0), None);
        assert!(ago(31, 0).is_some() && ago(31, 0) != ago(31, 1));
        assert_eq!(ago(100, 1), ago(100, 2));
        assert_ne!(ago(100, 1), ago(101, 1));
    }
}
