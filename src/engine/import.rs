//! Takes a recording into a project's store for good: its files as they are, its steps with their texts, its states.
//!
//! Nothing of the workspace and of the project's own branches changes: the states get a branch of their own, and the steps
//! come after those that are there, under numbers that keep their order. Taking the same recording again brings what it
//! has grown by; what was there keeps its number. Ids are those that the recording has when it is only looked at.
//!
//! A session that ran here and is taken in as well has the workspace's states already, and those are the whole ones: its
//! steps stay as they are, and the recording's states are tied to none of them. Where a recording that has grown gives
//! other states than before, the earlier ones stay on record but belong to no step any more.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use crate::diff::tree;
use crate::model::{
    BlobId, CommitId, Kind, Link, OpKind, Ordinal, RefChange, RefTarget, Session, SessionId, Step,
    StepId, Time, Tree, TreeId,
};
use crate::store::{NewCommit, NewOperation, Publication, Store};
use crate::trace::recording::{self, Recording, Records, Which};

use super::api::{ApiError, ErrorCode, Imported};
use super::core::{Core, Failure};
use super::recorded::{Recorded, failed};
use super::shelf::{self, Opening};

/// Steps that are made durable together.
pub(super) const TOGETHER: usize = 500;
/// Nobody's step: a link cannot be taken away, only replaced.
const RETIRED: StepId = StepId([0; 32]);
/// Commits that are read together.
const PAGE: usize = 1_000;

impl Core {
    /// Imports the recording at `path`.
    pub(super) fn import(&self, path: &str, how: &Opening) -> Result<Imported, ApiError> {
        if super::portable::is_trail(Path::new(path)) {
            return self.import_trail(Path::new(path));
        }
        let recorded = shelf::open_recording(Path::new(path), how)?;
        let imported = recorded.wait_whole().and_then(|()| {
            let _turn = self.emit_turn();
            self.take_over(&recorded)
        });
        recorded.leave();
        self.tell_all();
        imported
    }

    fn take_over(&self, recorded: &Recorded) -> Result<Imported, ApiError> {
        let recording = recorded.recording();
        let files = self.keep_files(&recording)?;
        let sessions = recorded.sessions();
        // Those that were run here.
        let mut own = HashSet::new();
        for session in &sessions {
            if !self.keep_session(session)? {
                own.insert(session.id);
            }
        }
        let steps = self.keep_steps(&recording, &files, &own)?;
        let tied = |link: Option<Link>| {
            link.filter(|l| {
                let at = recording.find(l.step).and_then(|at| recording.step(at));
                at.is_some_and(|s| s.session.is_none_or(|s| !own.contains(&s)))
            })
        };
        let (commits, all) = self.keep_commits(&recorded.store(), &tied)?;
        let branch = branch_name(sessions.first(), &recording.with(|i| i.format.clone()));
        if let Some(head) = all.first().copied() {
            self.retire(&branch, &all)?;
            self.keep_branch(&branch, head, path_of(&recording))?;
        }
        self.store.sync().map_err(Failure::from)?;
        Ok(Imported {
            sessions: sessions.into_iter().map(|s| s.native).collect(),
            branch,
            steps,
            commits,
        })
    }

    /// The recording's files, byte for byte.
    fn keep_files(&self, recording: &Recording) -> Result<Vec<(String, BlobId)>, ApiError> {
        let marks = recording.with(|index| index.files.clone());
        let mut kept = Vec::new();
        for mark in marks {
            let mut file = recording::open_file(Path::new(&mark.path)).map_err(failed)?;
            let (blob, _) = self
                .store
                .put_blob_from(&mut file, mark.size)
                .map_err(Failure::from)?;
            kept.push((mark.path, blob));
        }
        Ok(kept)
    }

    /// Gives whether it is one that was recorded elsewhere. One that was run here stays what it is.
    pub(super) fn keep_session(&self, session: &Session) -> Result<bool, ApiError> {
        let known = self.store.session(session.id).map_err(Failure::from)?;
        if known.as_ref().is_some_and(|s| !s.imported) {
            return Ok(false);
        }
        let session = Session {
            imported: true,
            branch: None,
            ..session.clone()
        };
        self.store.put_session(&session).map_err(Failure::from)?;
        Ok(true)
    }

    fn keep_steps(
        &self,
        recording: &Recording,
        files: &[(String, BlobId)],
        own: &HashSet<SessionId>,
    ) -> Result<u64, ApiError> {
        let blobs: HashMap<&str, BlobId> = files
            .iter()
            .map(|(path, blob)| (path.as_str(), *blob))
            .collect();
        // The steps of one record come one after the other: it is read once for them.
        let mut records = recording.records();
        let places: Vec<u32> = recording.with(|index| index.after(None).collect());
        // A whole number of the recording gets a whole number here, however many lie behind it.
        let mut majors: BTreeMap<u64, u64> = BTreeMap::new();
        let mut batch = Vec::with_capacity(TOGETHER);
        let mut fresh = 0;
        for at in places {
            let Some(mut step) = recording.step(at) else {
                continue;
            };
            let theirs = step.ordinal;
            match self.store.step(step.id).map_err(Failure::from)? {
                Some(known) => {
                    step.ordinal = known.ordinal;
                    majors.entry(theirs.major).or_insert(known.ordinal.major);
                    // What was seen when it ran is more than what its recording tells.
                    if step.session.is_some_and(|s| own.contains(&s)) {
                        continue;
                    }
                }
                None => {
                    fresh += 1;
                    step.ordinal = self.ordinal(theirs, &mut majors)?;
                }
            }
            for source in &mut step.sources {
                source.blob = blobs.get(source.file.as_str()).copied();
            }
            step.body = self.keep_text(&mut records, at, Which::Body)?;
            step.output = self.keep_text(&mut records, at, Which::Output)?;
            batch.push(step);
            if batch.len() == TOGETHER {
                self.publish_steps(std::mem::take(&mut batch))?;
            }
        }
        self.publish_steps(batch)?;
        Ok(fresh)
    }

    pub(super) fn ordinal(
        &self,
        theirs: Ordinal,
        majors: &mut BTreeMap<u64, u64>,
    ) -> Result<Ordinal, ApiError> {
        if theirs.minor == 0 || !majors.contains_key(&theirs.major) {
            majors
                .entry(theirs.major)
                .or_insert_with(|| self.timeline.number(None).major);
        }
        let major = majors.get(&theirs.major).copied().unwrap_or_default();
        let mut ours = Ordinal {
            major,
            minor: theirs.minor,
        };
        // A recording that has grown may have put something else in that place meanwhile.
        while self
            .store
            .step_by_ordinal(ours)
            .map_err(Failure::from)?
            .is_some()
        {
            ours.minor += 1;
        }
        Ok(ours)
    }

    fn keep_text(
        &self,
        records: &mut Records<'_>,
        at: u32,
        which: Which,
    ) -> Result<Option<BlobId>, ApiError> {
        let text = records.text(at, which).map_err(failed)?;
        Ok(text
            .map(|t| self.store.put_blob(t.as_bytes()))
            .transpose()
            .map_err(Failure::from)?)
    }

    pub(super) fn publish_steps(&self, steps: Vec<Step>) -> Result<(), ApiError> {
        if !steps.is_empty() {
            self.store
                .publish(Publication {
                    steps,
                    ..Publication::default()
                })
                .map_err(Failure::from)?;
        }
        Ok(())
    }

    /// The states, with the ids that they have, each tied to the step that `tied` leaves it. Gives how many are new, and
    /// all of them, the newest first.
    fn keep_commits(
        &self,
        from: &Store,
        tied: &dyn Fn(Option<Link>) -> Option<Link>,
    ) -> Result<(u64, Vec<CommitId>), Failure> {
        let mut nodes = Vec::new();
        let mut before = None;
        loop {
            let page = from.commits(before, PAGE)?;
            let Some(last) = page.last() else { break };
            before = Some(last.seq);
            nodes.extend(page);
        }
        let all = nodes.iter().map(|n| n.id).collect();
        let mut copied = HashSet::new();
        let mut fresh = 0;
        for batch in nodes.into_iter().rev().collect::<Vec<_>>().chunks(TOGETHER) {
            let mut publication = Publication::default();
            let mut stats = Vec::new();
            for node in batch {
                let link = tied(from.link_of_commit(node.id)?);
                if self.store.commit_node(node.id).is_ok() {
                    // It may have been without a step since another import.
                    if link.is_some() && self.store.link_of_commit(node.id)? != link {
                        publication.links.extend(link);
                    }
                    continue;
                }
                fresh += 1;
                self.copy_tree(from, node.commit.tree, &mut copied)?;
                let parent = match node.commit.parents.first() {
                    Some(parent) => from.commit(*parent)?.tree,
                    None => from.empty_tree(),
                };
                let paths = tree::trees(from, parent, node.commit.tree, &[])?
                    .into_iter()
                    .map(|c| (c.path, c.after))
                    .collect();
                publication.commits.push(NewCommit {
                    commit: (*node.commit).clone(),
                    attrs: Vec::new(),
                    paths,
                });
                publication.links.extend(link);
                stats.extend(from.stats(node.id)?.map(|s| (node.id, s)));
            }
            self.store.publish(publication)?;
            for (id, stats) in stats {
                self.store.put_stats(id, &stats)?;
            }
        }
        Ok((fresh, all))
    }

    /// Takes the steps from the states that the branch had and `now` does not: what is told late of a file's beginning
    /// changes the first state, and with it the ids of all others.
    fn retire(&self, branch: &str, now: &[CommitId]) -> Result<(), Failure> {
        let Some(RefTarget::Commit(head)) = self.store.get_ref(&format!("branch/{branch}"))? else {
            return Ok(());
        };
        let now: HashSet<CommitId> = now.iter().copied().collect();
        let mut links = Vec::new();
        let mut next = Some(head);
        while let Some(id) = next.filter(|id| !now.contains(id)) {
            links.extend(self.store.link_of_commit(id)?.map(|link| Link {
                step: RETIRED,
                ..link
            }));
            next = self.store.commit(id)?.parents.first().copied();
        }
        if !links.is_empty() {
            self.store.publish(Publication {
                links,
                ..Publication::default()
            })?;
        }
        Ok(())
    }

    fn copy_tree(
        &self,
        from: &Store,
        id: TreeId,
        copied: &mut HashSet<TreeId>,
    ) -> Result<(), Failure> {
        if !copied.insert(id) {
            return Ok(());
        }
        let tree: std::sync::Arc<Tree> = from.tree(id)?;
        for entry in &tree.entries {
            match &entry.kind {
                Kind::Dir(below) => self.copy_tree(from, *below, copied)?,
                Kind::File { blob, .. } => {
                    self.store.put_blob(&from.blob(*blob)?)?;
                }
                _ => {}
            }
        }
        self.store.put_tree(&tree)?;
        Ok(())
    }

    pub(super) fn keep_branch(
        &self,
        branch: &str,
        head: CommitId,
        path: String,
    ) -> Result<(), Failure> {
        let name = format!("branch/{branch}");
        let before = self.store.get_ref(&name)?;
        let after = Some(RefTarget::Commit(head));
        if before == after {
            return Ok(());
        }
        let published = self.store.publish(Publication {
            operation: Some(NewOperation {
                kind: OpKind::Import,
                description: format!("import of {path}"),
                refs: vec![RefChange {
                    name,
                    before,
                    after,
                }],
                target: None,
                workspace: None,
                time: Time::now(),
            }),
            ..Publication::default()
        })?;
        if let Some((seq, id)) = published.operation {
            self.tell_operation(seq, id);
        }
        Ok(())
    }
}

fn path_of(recording: &Recording) -> String {
    crate::model::neutral(recording.path().as_os_str().as_encoded_bytes())
}

impl Core {
    /// Says why the workspace cannot become what `commit` holds, if that is a state of a recording that was taken in: it
    /// holds only the files that the recording tells of, so all others would be removed.
    pub(super) fn refuse_imported(&self, commit: CommitId) -> Result<(), Failure> {
        let elsewhere = match self.store.commit(commit)?.session {
            Some(session) => self.store.session(session)?.is_some_and(|s| s.imported),
            None => false,
        };
        if !elsewhere && !self.is_on_import(commit)? {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorCode::Refused,
            "this is a state of an imported recording and holds only the files that it tells of: going to it would remove all others; look at it with diff, show or cat",
        )
        .into())
    }

    /// Whether `commit` is on a branch that an import made. Those of a session that also ran here are of that session.
    fn is_on_import(&self, commit: CommitId) -> Result<bool, Failure> {
        for (name, target) in self.store.refs()? {
            let RefTarget::Commit(head) = target else {
                continue;
            };
            if !name.starts_with("branch/imported/") {
                continue;
            }
            let mut next = Some(head);
            while let Some(id) = next {
                if id == commit {
                    return Ok(true);
                }
                next = self.store.commit(id)?.parents.first().copied();
            }
        }
        Ok(false)
    }
}

/// `imported/claude-31b1be44`.
fn branch_name(session: Option<&Session>, format: &str) -> String {
    let native = session.map_or("", |s| s.native.as_str());
    let id = session.map_or(SessionId([0; 32]), |s| s.id);
    let short: String = native
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(8)
        .collect();
    let short = if short.len() < 8 { id.short() } else { short };
    format!("imported/{format}-{short}")
}
