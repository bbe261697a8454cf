//! The scripted world as a source: what it answers, and what a rollback does to it.

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use crate::engine::api::{
    ApiError, BlobPart, ChangeOp, Changes, EngineStatus, EntryInfo, ErrorCode, LiveSession, Notice,
    PackedRows, Part, PastPlace, RawRecord, RecordingInfo, Request, Resolved, Response,
    RestoreReport, RollbackReport, Row, Rows, ScanStatus, pack,
};
use crate::engine::restore_lines::graft;
use crate::engine::source::{Answer, Source};
use crate::model::{
    BlobId, CommitId, OpId, OpKind, Ordinal, RefTarget, RepoPath, Session, Time, TreeId,
};

use super::script::{NOON, World, path};

impl World {
    fn resolved(&self, commit: Option<CommitId>, step: Option<Ordinal>) -> Resolved {
        let tree = self.tree_of(commit);
        Resolved {
            commit: commit.unwrap_or(CommitId([0; 32])),
            tree: TreeId::from(blake3::hash(format!("{tree:?}").as_bytes())),
            step,
        }
    }

    pub(super) fn set(
        &mut self,
        to: Option<CommitId>,
        at: Option<Ordinal>,
        dry_run: bool,
    ) -> RollbackReport {
        let target = self.tree_of(to);
        let changes = Self::changes(&self.tree, &target);
        let of = |gone: bool| {
            changes
                .iter()
                .filter(|c| (c.op == ChangeOp::Delete) == gone && c.op != ChangeOp::Mode)
                .map(|c| c.path.clone())
                .collect()
        };
        let modes = changes
            .iter()
            .filter(|c| c.op == ChangeOp::Mode)
            .map(|c| c.path.clone())
            .collect();
        let report = RollbackReport {
            dry_run,
            target: self.resolved(to, at),
            from: self.resolved(self.head, self.workspace),
            restored: of(false),
            removed: of(true),
            modes,
            kept: Vec::new(),
            operation: (!dry_run).then(|| OpId::from(blake3::hash(b"op"))),
            frozen: usize::from(self.running),
            of: None,
            switched: None,
        };
        if !dry_run {
            self.go(to);
            self.workspace = at;
            self.tell(Notice::Status(Box::new(self.status())));
        }
        report
    }

    /// A state by any name that a person may type.
    fn named(&self, rev: &str) -> Result<(Option<CommitId>, Option<Ordinal>), ApiError> {
        if rev == "@" || rev == "main" {
            return Ok((self.head, self.workspace));
        }
        if let Some(row) = self.rows.iter().find(|r| r.labels.iter().any(|l| l == rev)) {
            let (commit, at) = self.state(&format!("step:{}", row.ordinal))?;
            return Ok((commit, Some(at)));
        }
        if let Some(commit) = self.commits.keys().find(|c| c.to_hex() == rev) {
            let row = self.rows.iter().find(|r| r.commit == Some(*commit));
            return Ok((Some(*commit), row.map(|r| r.ordinal)));
        }
        let (commit, at) = self.state(rev)?;
        Ok((commit, Some(at)))
    }

    fn restore(
        &mut self,
        rev: &str,
        parts: &[Part],
        dry_run: bool,
    ) -> Result<RestoreReport, ApiError> {
        let (commit, at) = self.named(rev)?;
        let past = self.tree_of(commit);
        let mut new = self.tree.clone();
        for part in parts {
            let name = part.path().to_string();
            let then = past.get(&name);
            match (part, then) {
                (Part::Whole { .. }, None) => drop(new.remove(&name)),
                (Part::Lines { lines, .. }, Some(then)) => {
                    let now = new.get(&name).map(|f| f.content.clone());
                    let content = graft(&now.unwrap_or_default(), &then.content, lines);
                    self.blobs.insert(BlobId::of(&content), content.clone());
                    let file = new.entry(name).or_insert_with(|| then.clone());
                    file.content = content;
                }
                (_, Some(then)) => drop(new.insert(name, then.clone())),
                (Part::Lines { .. }, None) => {}
            }
        }
        let changes = Self::changes(&self.tree, &new);
        let past = self.resolved(commit, at);
        let mut report = self.set(self.head, self.workspace, true);
        report.dry_run = dry_run;
        if !dry_run && !changes.is_empty() {
            self.undo.push((self.workspace, self.head));
            self.tree = new;
        }
        Ok(RestoreReport {
            past,
            report,
            changes,
        })
    }

    fn session_info(&self) -> Session {
        Session {
            id: self.session,
            native: "s1".to_owned(),
            agent: "claude".to_owned(),
            command: "claude".to_owned(),
            cgroup: String::new(),
            start: Time(NOON),
            end: None,
            exit_code: None,
            imported: false,
            branch: None,
        }
    }

    pub(super) fn status(&self) -> EngineStatus {
        let session = self.session_info();
        EngineStatus {
            project: format!("/home/ada/{}", self.name),
            name: self.name.clone(),
            pid: if self.live { 4121 } else { 0 },
            live: self
                .live
                .then(|| "/run/user/1000/backtrail/live".to_owned()),
            capture: match (self.recording, self.live) {
                (true, _) => "recording",
                (false, true) => "fuse",
                (false, false) => "none",
            }
            .to_owned(),
            since: Time(NOON),
            branch: "main".to_owned(),
            head: self.head,
            workspace: self.workspace.filter(|_| !self.recording),
            dirty: 0,
            scan: ScanStatus {
                files: 11,
                done: true,
            },
            steps: self.rows.len() as u64,
            last: self.rows.last().map(|r| r.ordinal),
            commits: self.commits.len() as u64,
            sessions: if self.running {
                let first = LiveSession {
                    session,
                    frozen: self.frozen,
                    contained: true,
                    branch: None,
                };
                let mut all = vec![first];
                all.extend(self.terminal.more.iter().cloned());
                all
            } else {
                Vec::new()
            },
            forks: Vec::new(),
            merging: self.merge.unfinished(),
            overlaps: self.merge.met.clone(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn listing(&self, rev: &str, dir: &RepoPath) -> Result<Vec<EntryInfo>, ApiError> {
        let (commit, _) = self.state(rev)?;
        let mut out: Vec<EntryInfo> = Vec::new();
        for (name, file) in self.tree_of(commit) {
            let full = path(&name);
            if !full.is_within(dir) {
                continue;
            }
            if full.parent().as_ref() == Some(dir) {
                out.push(Self::entry(&name, &file));
                continue;
            }
            let mut at = full;
            while let Some(parent) = at.parent()
                && parent != *dir
            {
                at = parent;
            }
            if !out.iter().any(|e| e.path == at) {
                out.push(EntryInfo {
                    path: at,
                    kind: "dir".to_owned(),
                    mode: 0o755,
                    size: 0,
                    blob: None,
                    target: None,
                });
            }
        }
        Ok(out)
    }

    fn answer(&mut self, request: Request) -> Result<Response, ApiError> {
        self.asked.push(request.clone());
        if let Some(error) = &self.fail {
            return Err(error.clone());
        }
        if let Some(answer) = self.desk_answer(&request) {
            return answer;
        }
        let none = |what: &str| ApiError::new(ErrorCode::NotFound, format!("no {what}"));
        Ok(match request {
            Request::Status => Response::Status(Box::new(self.status())),
            Request::Rows { after, limit } => Response::Rows(Rows {
                rows: self
                    .rows
                    .iter()
                    .filter(|r| after.is_none_or(|a| r.ordinal > a))
                    .take(limit)
                    .cloned()
                    .collect(),
                total: self.rows.len() as u64,
            }),
            Request::PackedRows { before, limit } => {
                let earlier = |r: &&Row| before.is_none_or(|b| r.ordinal < b);
                let rows: Vec<Row> = self.rows.iter().filter(earlier).cloned().collect();
                let page = &rows[rows.len().saturating_sub(limit)..];
                let from = page.first().map(|r| r.ordinal);
                Response::PackedRows(PackedRows {
                    rows: pack(page).into(),
                    from: from.filter(|_| page.len() == limit),
                    total: self.rows.len() as u64,
                })
            }
            Request::Step { id } => {
                let detail = self
                    .details
                    .values()
                    .find(|d| d.row.step == id)
                    .ok_or_else(|| none("such step"))?;
                let mut detail = detail.clone();
                if let Some(row) = self.row(detail.row.ordinal) {
                    detail.row = row.clone();
                }
                Response::Step(Box::new(detail))
            }
            Request::Graph(query) => Response::Graph(self.graph(query)?),
            Request::Search(ask) => Response::Found(Box::new(self.search(&ask)?)),
            Request::List { rev, path } => Response::Listing(self.listing(&rev, &path)?),
            Request::Blob { id, offset, len } => {
                let bytes = self.blobs.get(&id).ok_or_else(|| none("such content"))?;
                let from = usize::try_from(offset).unwrap().min(bytes.len());
                let to = (from + usize::try_from(len).unwrap_or(usize::MAX / 2)).min(bytes.len());
                Response::Blob(BlobPart {
                    len: bytes.len() as u64,
                    bytes: bytes[from..to].to_vec(),
                })
            }
            Request::Rollback { rev, dry_run, .. } => {
                let (commit, at) = self.state(&rev)?;
                let before = (self.workspace, self.head);
                let report = self.set(commit, Some(at), dry_run);
                if !dry_run {
                    self.undo.push(before);
                }
                Response::Rollback(Box::new(report))
            }
            Request::Restore {
                rev,
                parts,
                dry_run,
                ..
            } => Response::Restored(Box::new(self.restore(&rev, &parts, dry_run)?)),
            Request::Diff { a, b, .. } => {
                let named = |rev: &str| self.named(rev);
                let (a, b) = (named(&a)?, named(b.as_deref().unwrap_or("@"))?);
                let changes = Self::changes(&self.tree_of(a.0), &self.tree_of(b.0));
                Response::Changes(Changes {
                    a: self.resolved(a.0, a.1),
                    b: self.resolved(b.0, b.1),
                    changes,
                })
            }
            Request::Sessions => Response::Sessions(vec![self.session_info()]),
            Request::PastPath { rev } => {
                let at = self.state(&rev.unwrap_or_default())?.1;
                Response::Past(PastPlace {
                    path: format!("/run/user/1000/backtrail/at/{at}"),
                    commit: None,
                })
            }
            Request::Refs => {
                let labels = self.rows.iter().flat_map(|r| {
                    let step = RefTarget::Step(r.step);
                    r.labels
                        .iter()
                        .map(move |l| (format!("label/{l}"), step.clone()))
                });
                let main = self.head.map(RefTarget::Commit);
                let main = main.map(|head| ("branch/main".to_owned(), head));
                Response::Refs(labels.chain(main).collect())
            }
            Request::Undo => {
                let Some((at, head)) = self.undo.pop() else {
                    return Err(ApiError::new(
                        ErrorCode::Refused,
                        "there is nothing to undo",
                    ));
                };
                let mut report = self.set(head, at, false);
                report.of = Some(OpKind::Rollback);
                Response::Rollback(Box::new(report))
            }
            Request::Redo => {
                return Err(ApiError::new(
                    ErrorCode::Refused,
                    "there is nothing to redo",
                ));
            }
            Request::Terminal(query) => Response::Terminal(self.terminal.answer(query)?),
            Request::Freeze { frozen, session } => {
                if session.is_none_or(|s| s == self.session) {
                    self.frozen = frozen;
                }
                self.tell(Notice::Status(Box::new(self.status())));
                Response::Done(String::new())
            }
            Request::Label { name, rev } => {
                let at = rev
                    .and_then(|r| r.strip_prefix("step:")?.parse().ok())
                    .ok_or_else(|| none("such step"))?;
                self.label(at, &name);
                Response::Done(String::new())
            }
            Request::Raw { id } => {
                let row = self.rows.iter().find(|r| r.step == id);
                let row = row.ok_or_else(|| none("such step"))?;
                let line = serde_json::json!({
                    "type": "assistant",
                    "uuid": row.ordinal.to_string(),
                    "message": { "role": "assistant", "content": [{ "type": "text", "text": row.title }] },
                    "usage": { "output_tokens": 12, "cached": null, "details": {} },
                });
                let bytes = line.to_string().into_bytes();
                Response::Raw(vec![RawRecord {
                    source: crate::model::Source {
                        file: "/home/ada/.claude/projects/-home-ada/7.jsonl".to_owned(),
                        blob: None,
                        offset: 81_234,
                        len: bytes.len() as u64,
                    },
                    bytes,
                }])
            }
            Request::Recordings { skip, limit } => Response::Recordings {
                total: self.recordings.len(),
                items: self
                    .recordings
                    .iter()
                    .skip(skip)
                    .take(limit)
                    .map(|item| RecordingInfo {
                        summary: None,
                        ..item.clone()
                    })
                    .collect(),
            },
            Request::Recording { path } => {
                let found = self.recordings.iter().find(|r| r.path == path);
                Response::Recording(Box::new(found.cloned().ok_or_else(|| none("recording"))?))
            }
            other => return self.merge_answer(other),
        })
    }
}

/// The world behind a lock, as a source.
#[derive(Clone)]
pub(super) struct Script(pub Arc<Mutex<World>>);

impl Script {
    pub(super) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub(super) fn with<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }
}

impl Source for Script {
    fn ask(&self, request: Request) -> Answer<'_> {
        let result = self.with(|w| w.answer(request));
        Box::pin(async move { result })
    }

    fn notices(&self) -> mpsc::UnboundedReceiver<Notice> {
        let (send, receive) = mpsc::unbounded_channel();
        self.with(|w| {
            if w.live {
                w.notices = Some(send);
            }
        });
        receive
    }

    fn is_live(&self) -> bool {
        self.with(|w| w.live)
    }
}
