//! The portable file of one state and all that led to it: written, opened to be looked at, taken into a project.
//!
//! Opening unpacks it into a directory of its own that goes when it is closed; nothing of the file is trusted before
//! [`store::unpack`] has looked it through.

use std::collections::{BTreeMap, HashSet};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::debug::rev;
use crate::model::{BlobId, Commit, CommitId, Kind, RefTarget, Step, Time, TreeId, neutral};
use crate::store::{self, Gone, NewCommit, Publication, Store, Tomb, Why};

use super::answer::{Answers, NamesKept};
use super::api::{
    ApiError, EngineStatus, ErrorCode, ExportInfo, Imported, Notice, Request, Response, ScanStatus,
};
use super::core::{Core, Failure};
use super::import::TOGETHER;
use super::source::{Answer, Source};

pub use crate::store::is_trail;

/// What a trail says of itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Manifest {
    /// Version of the program that wrote it.
    written_by: String,
    /// The project's directory then.
    project: String,
    /// The branch that the state was on, or the name that it was asked for by.
    branch: String,
    /// When it was written.
    time: Option<Time>,
}

/// A trail, opened.
pub struct Trail {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    path: PathBuf,
    manifest: Manifest,
    names: NamesKept,
    since: Time,
    _dir: tempfile::TempDir,
}

/// Opens a trail to be looked at.
pub fn open_trail(path: &Path) -> Result<Trail, ApiError> {
    let failed = |e: std::io::Error| {
        ApiError::new(
            ErrorCode::Failed,
            format!(
                "cannot make a directory to unpack {} in: {e}",
                path.display()
            ),
        )
    };
    let dir = tempfile::Builder::new()
        .prefix("backtrail-trail-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .map_err(failed)?;
    let text = store::unpack(path, dir.path()).map_err(Failure::from)?;
    let manifest = serde_json::from_slice(&text).unwrap_or_default();
    let store = Store::open(dir.path()).map_err(Failure::from)?;
    Ok(Trail {
        inner: Arc::new(Inner {
            store,
            path: path.to_owned(),
            manifest,
            names: NamesKept::default(),
            since: Time::now(),
            _dir: dir,
        }),
    })
}

impl Trail {
    /// The directory that its paths are below, as far as it says.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        match &self.inner.manifest.project {
            dir if dir.starts_with('/') => PathBuf::from(dir),
            _ => PathBuf::from("/"),
        }
    }
}

impl Inner {
    fn status(&self) -> Result<EngineStatus, Failure> {
        let answers = self.answers();
        let head = rev::head(&self.store)?;
        Ok(EngineStatus {
            project: self.path.to_string_lossy().into_owned(),
            name: self
                .path
                .file_name()
                .map_or_else(String::new, |n| neutral(n.as_encoded_bytes())),
            pid: 0,
            live: None,
            capture: "recording".to_owned(),
            since: self.since,
            branch: rev::branch(&self.store)?,
            head,
            workspace: answers.workspace_step(head)?,
            dirty: 0,
            scan: ScanStatus {
                files: 100,
                done: true,
            },
            steps: self.store.step_count()?,
            last: self.store.last_ordinal()?,
            commits: self.store.commit_count()?,
            sessions: Vec::new(),
            forks: Vec::new(),
            overlaps: Vec::new(),
            merging: None,
            warnings: Vec::new(),
        })
    }

    fn answers(&self) -> Answers<'_> {
        Answers {
            store: &self.store,
            history: &self.store,
            names: &self.names,
        }
    }

    fn handle(&self, request: Request) -> Result<Response, ApiError> {
        let answers = self.answers();
        Ok(match request {
            Request::Status => Response::Status(Box::new(self.status()?)),
            Request::Subscribe => Response::Done(String::new()),
            Request::Log { before, limit } => Response::Log(answers.log(before, limit)?),
            Request::Rows { after, limit } => Response::Rows(answers.rows(after, limit)?),
            Request::PackedRows { before, limit } => {
                Response::PackedRows(answers.packed_rows(before, limit)?)
            }
            Request::Step { id } => Response::Step(Box::new(answers.step_detail(id)?)),
            Request::Resolve { rev } => Response::Resolved(answers.resolve(&rev)?),
            Request::Show { rev } => Response::Commit(Box::new(answers.show(&rev)?)),
            Request::Diff { a, b, paths } => {
                Response::Changes(answers.diff(&a, b.as_deref().unwrap_or("@"), &paths)?)
            }
            Request::List { rev, path } => Response::Listing(answers.list(&rev, &path)?),
            Request::Entry { rev, path } => Response::Entry(answers.entry(&rev, &path)?),
            Request::Target { rev, path } => Response::Target(answers.target(&rev, &path)?),
            Request::Blob { id, offset, len } => Response::Blob(answers.blob(id, offset, len)?),
            Request::Refs => Response::Refs(self.store.refs().map_err(Failure::from)?),
            Request::Branches => Response::Branches(answers.branches()?),
            Request::Compare { a, b } => Response::Comparison(Box::new(answers.compare(&a, &b)?)),
            Request::Search(ask) => Response::Found(Box::new(answers.search(&ask)?)),
            Request::Graph(query) => Response::Graph(answers.graph(query)?),
            Request::Operations { before, limit } => {
                Response::Operations(answers.operations(before, limit)?)
            }
            Request::Sessions => Response::Sessions(self.store.sessions().map_err(Failure::from)?),
            Request::Effects => Response::Effects(answers.effects()?),
            Request::Raw { id } => Response::Raw(answers.raw(id)?),
            _ => {
                return Err(ApiError::new(
                    ErrorCode::Refused,
                    "this is a portable file: it can be looked at, not changed (backtrail import keeps it in a project)",
                ));
            }
        })
    }
}

impl Source for Trail {
    fn ask(&self, request: Request) -> Answer<'_> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            tokio::task::spawn_blocking(move || inner.handle(request))
                .await
                .unwrap_or_else(|e| {
                    Err(ApiError::new(
                        ErrorCode::Failed,
                        format!("failed inside: {e}"),
                    ))
                })
        })
    }

    fn notices(&self) -> mpsc::UnboundedReceiver<Notice> {
        mpsc::unbounded_channel().1
    }

    fn is_live(&self) -> bool {
        false
    }
}

impl Core {
    /// Writes a trail of what `rev` names; the file is there only when it is whole.
    pub(super) fn export_trail(&self, rev: &str, path: &str) -> Result<ExportInfo, ApiError> {
        let path = Path::new(path);
        let tip = self.answers().resolve(rev)?.commit;
        self.export_to(tip, path).map_err(Into::into)
    }

    fn export_to(&self, tip: CommitId, path: &Path) -> Result<ExportInfo, Failure> {
        let cannot = |e: std::io::Error| {
            Failure::from(ApiError::new(
                ErrorCode::Failed,
                format!("cannot write {}: {e}", path.display()),
            ))
        };
        let commit = self.store.commit(tip)?;
        let branch = commit.meta.get("branch").cloned();
        let branch = branch.map_or_else(|| rev::branch(&self.store), Ok)?;
        let mut refs = vec![
            ("head".to_owned(), RefTarget::Branch(branch.clone())),
            (format!("branch/{branch}"), RefTarget::Commit(tip)),
        ];
        for (name, target) in self.store.refs()? {
            // Those of other lines are left out.
            if name.starts_with("label/") {
                refs.push((name, target));
            }
        }
        let manifest = serde_json::to_vec(&Manifest {
            written_by: env!("CARGO_PKG_VERSION").to_owned(),
            project: self.project.root.to_string_lossy().into_owned(),
            branch,
            time: Some(Time::now()),
        })
        .map_err(|e| ApiError::new(ErrorCode::Failed, e.to_string()))?;
        let dir = path.parent().filter(|p| !p.as_os_str().is_empty());
        // For its owner only: it holds what the project held.
        let to = tempfile::Builder::new()
            .prefix(".backtrail-export-")
            .tempfile_in(dir.unwrap_or(Path::new(".")))
            .map_err(cannot)?;
        let file = to.as_file().try_clone().map_err(cannot)?;
        let made = self.store.export_trail(tip, refs, &manifest, file, path)?;
        to.persist(path).map_err(|e| cannot(e.error))?;
        Ok(ExportInfo {
            path: path.display().to_string(),
            bytes: made.bytes,
            commits: made.commits,
            steps: made.steps,
            hash: made.hash.to_hex(),
        })
    }

    /// Takes a trail in: its commits under their ids, on a branch of their own, its steps with their texts.
    pub(super) fn import_trail(&self, path: &Path) -> Result<Imported, ApiError> {
        let trail = open_trail(path)?;
        let _turn = self.emit_turn();
        let taken = self.take_trail(&trail.inner, path);
        self.tell_all();
        taken
    }

    fn take_trail(&self, trail: &Inner, path: &Path) -> Result<Imported, ApiError> {
        let from = &trail.store;
        let sessions = from.sessions().map_err(Failure::from)?;
        let mut own = HashSet::new();
        for session in &sessions {
            if !self.keep_session(session)? {
                own.insert(session.id);
            }
        }
        let head = rev::head(from).map_err(Failure::from)?;
        let Some(head) = head else {
            return Err(ApiError::new(
                ErrorCode::NotFound,
                format!("{} names no state", path.display()),
            ));
        };
        let commits = self.take_commits(from)?;
        let steps = self.take_steps(from, &own)?;
        self.take_links(from)?;
        let branch = self.trail_branch(path, head)?;
        self.keep_branch(&branch, head, neutral(path.as_os_str().as_encoded_bytes()))?;
        self.store.sync().map_err(Failure::from)?;
        Ok(Imported {
            sessions: sessions.into_iter().map(|s| s.native).collect(),
            branch,
            steps,
            commits,
        })
    }

    fn trail_branch(&self, path: &Path, head: CommitId) -> Result<String, ApiError> {
        let stem = path.file_stem().map_or_else(String::new, |s| {
            s.to_string_lossy()
                .chars()
                .filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_')
                .take(40)
                .collect()
        });
        let stem = if stem.is_empty() {
            "trail".to_owned()
        } else {
            stem
        };
        let plain = format!("imported/{stem}");
        // Another state of that name stays where it is.
        let there = self
            .store
            .get_ref(&format!("branch/{plain}"))
            .map_err(Failure::from)?;
        Ok(match there {
            None => plain,
            Some(RefTarget::Commit(id)) if id == head => plain,
            Some(_) => format!("{plain}-{}", head.short()),
        })
    }

    fn take_commits(&self, from: &Store) -> Result<u64, Failure> {
        let dropped = from.dropped()?;
        let tombs: BTreeMap<Gone, Tomb> = from.tombs()?.into_iter().map(|t| (t.gone, t)).collect();
        let mut all: Vec<(u64, CommitId)> = Vec::new();
        let mut before = None;
        loop {
            let page = from.commits(before, 1_000)?;
            all.extend(page.iter().map(|n| (n.seq, n.id)));
            match page.last() {
                Some(last) => before = Some(last.seq),
                None => break,
            }
        }
        all.reverse();
        let changes = from.changes_of(&all.iter().map(|(_, id)| *id).collect())?;
        let mut copied = HashSet::new();
        let mut fresh = 0;
        for (_, id) in all {
            let known = self.store.commit_node(id).is_ok();
            let buried = self.store.tomb(Gone::Commit(id))?;
            let commit: Arc<Commit> = from.commit(id)?;
            let mut bury = Vec::new();
            for tree in std::iter::once(commit.tree)
                .chain(commit.git)
                .chain(commit.conflict.iter().copied())
            {
                self.take_tree(from, tree, &mut copied)?;
            }
            if let Some(state) = commit.state {
                self.take_blob(from, state)?;
            }
            if dropped.contains(&id) {
                // A state that is whole here stays so.
                if !known && let Some(tomb) = tombs.get(&Gone::Commit(id)) {
                    bury.push(tomb.clone());
                }
            } else if let Some(tomb) = buried {
                bury.push(Tomb {
                    why: Why::Back,
                    time: Time::now(),
                    ..tomb
                });
            }
            if !known {
                fresh += 1;
                self.store.take_commit(
                    NewCommit {
                        commit: (*commit).clone(),
                        attrs: from.attrs(id)?,
                        paths: changes.get(&id).cloned().unwrap_or_default(),
                    },
                    dropped.contains(&id),
                    &bury,
                )?;
            } else if !bury.is_empty() {
                self.store.bury(&bury, None)?;
            }
        }
        let gone: Vec<Tomb> = tombs
            .into_values()
            .filter(|t| !matches!(t.gone, Gone::Commit(_)))
            .filter(|t| match t.gone {
                Gone::Blob(id) => !self.store.has_blob(id).unwrap_or(true),
                Gone::Tree(id) => !self.store.has_tree(id).unwrap_or(true),
                _ => true,
            })
            .collect();
        self.store.bury(&gone, None)?;
        Ok(fresh)
    }

    fn take_blob(&self, from: &Store, id: BlobId) -> Result<(), Failure> {
        if self.store.has_blob(id)? {
            return Ok(());
        }
        match from.blob(id) {
            Ok(content) => {
                self.store.put_blob(&content)?;
                Ok(())
            }
            Err(store::Error::Gone { .. } | store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn take_tree(
        &self,
        from: &Store,
        id: TreeId,
        copied: &mut HashSet<TreeId>,
    ) -> Result<(), Failure> {
        let mut todo = vec![(id, false)];
        while let Some((id, inner)) = todo.pop() {
            if copied.contains(&id) {
                continue;
            }
            let tree = match from.tree(id) {
                Ok(tree) => tree,
                Err(store::Error::Gone { .. } | store::Error::NotFound { .. }) => {
                    copied.insert(id);
                    continue;
                }
                Err(e) => return Err(e.into()),
            };
            if !inner {
                todo.push((id, true));
                let below = tree.entries.iter().filter_map(|e| e.kind.tree());
                todo.extend(below.map(|t| (t, false)));
                continue;
            }
            for entry in &tree.entries {
                if let Kind::File { blob, .. } = entry.kind {
                    self.take_blob(from, blob)?;
                }
            }
            self.store.put_tree(&tree)?;
            copied.insert(id);
        }
        Ok(())
    }

    fn take_steps(
        &self,
        from: &Store,
        own: &HashSet<crate::model::SessionId>,
    ) -> Result<u64, ApiError> {
        let mut majors: BTreeMap<u64, u64> = BTreeMap::new();
        let mut batch: Vec<Step> = Vec::new();
        let (mut fresh, mut after) = (0, None);
        loop {
            let page = from.steps_after(after, 500).map_err(Failure::from)?;
            for step in &page {
                after = Some(step.ordinal);
                let mut step = step.clone();
                let theirs = step.ordinal;
                match self.store.step(step.id).map_err(Failure::from)? {
                    Some(known) => {
                        majors.entry(theirs.major).or_insert(known.ordinal.major);
                        if step.session.is_none_or(|s| own.contains(&s)) {
                            continue;
                        }
                        step.ordinal = known.ordinal;
                    }
                    None => {
                        fresh += 1;
                        step.ordinal = self.ordinal(theirs, &mut majors)?;
                    }
                }
                let sources = step.sources.iter().filter_map(|s| s.blob);
                for text in [step.body, step.output]
                    .into_iter()
                    .flatten()
                    .chain(sources)
                {
                    self.take_blob(from, text)?;
                }
                batch.push(step);
                if batch.len() == TOGETHER {
                    self.publish_steps(std::mem::take(&mut batch))?;
                }
            }
            if page.is_empty() {
                break;
            }
        }
        self.publish_steps(batch)?;
        Ok(fresh)
    }

    fn take_links(&self, from: &Store) -> Result<(), Failure> {
        let mut links = Vec::new();
        let mut before = None;
        loop {
            let page = from.commits(before, 1_000)?;
            for node in &page {
                if let Some(link) = from.link_of_commit(node.id)?
                    && self.store.link_of_commit(node.id)?.is_none()
                    && self.store.step(link.step)?.is_some()
                {
                    links.push(link);
                }
            }
            match page.last() {
                Some(last) => before = Some(last.seq),
                None => break,
            }
        }
        if !links.is_empty() {
            self.store.publish(Publication {
                links,
                ..Publication::default()
            })?;
        }
        Ok(())
    }
}
