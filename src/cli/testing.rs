//! A source that answers from a script, for tests of what the verbs print.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use super::link::Project;
use super::{Context, Fail};
use crate::engine::api::{
    ApiError, BlobPart, ChangeOp, CommitInfo, EntryInfo, ErrorCode, FileChange, Notice, Request,
    Resolved, Response,
};
use crate::engine::source::{Answer, Source};
use crate::model::{BlobId, Cause, CommitId, RepoPath, Time, TreeId};

type Script = Box<dyn Fn(&Request) -> Option<Response> + Send + Sync>;

/// Answers blobs by itself and everything else by its script.
#[derive(Default)]
pub struct Scripted {
    pub blobs: HashMap<BlobId, Vec<u8>>,
    pub script: Option<Script>,
    pub asked: Mutex<Vec<Request>>,
    /// Longest part of a blob that is given at once.
    pub part: Option<u64>,
}

impl Scripted {
    pub fn new(script: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static) -> Self {
        Self {
            script: Some(Box::new(script)),
            ..Self::default()
        }
    }

    pub fn blob(&mut self, content: &[u8]) -> BlobId {
        let id = BlobId::of(content);
        self.blobs.insert(id, content.to_vec());
        id
    }

    /// As a verb gets it.
    pub fn context(self) -> (Context, Arc<Self>) {
        let source = Arc::new(self);
        let cx = Context {
            cwd: "/p/sub".into(),
            project: Project {
                root: "/p".into(),
                store_dir: "/store".into(),
                runtime_dir: "/run".into(),
            },
            source: source.clone(),
            _kept: None,
        };
        (cx, source)
    }
}

impl Source for Scripted {
    fn ask(&self, request: Request) -> Answer<'_> {
        self.asked.lock().unwrap().push(request.clone());
        let answer = match &request {
            Request::Blob { id, offset, len } => self.blobs.get(id).map(|bytes| {
                let from = usize::try_from(*offset).unwrap();
                let len = (*len).min(self.part.unwrap_or(u64::MAX));
                let to = bytes.len().min(from + usize::try_from(len).unwrap());
                Response::Blob(BlobPart {
                    len: bytes.len() as u64,
                    bytes: bytes[from..to].to_vec(),
                })
            }),
            _ => None,
        };
        let answer = answer.or_else(|| self.script.as_ref().and_then(|s| s(&request)));
        Box::pin(async move {
            answer.ok_or_else(|| ApiError::new(ErrorCode::NotFound, "not in the script"))
        })
    }

    fn notices(&self) -> mpsc::UnboundedReceiver<Notice> {
        mpsc::unbounded_channel().1
    }

    fn is_live(&self) -> bool {
        false
    }
}

/// A path of any bytes.
pub fn path(bytes: &[u8]) -> RepoPath {
    RepoPath::new(bytes).unwrap()
}

/// A file's entry with its content made known to `source`.
pub fn file(source: &mut Scripted, at: &[u8], mode: u32, content: &[u8]) -> EntryInfo {
    EntryInfo {
        path: path(at),
        kind: "file".into(),
        mode,
        size: content.len() as u64,
        blob: Some(source.blob(content)),
        target: None,
    }
}

/// A link's entry.
pub fn link(at: &[u8], target: &str) -> EntryInfo {
    EntryInfo {
        path: path(at),
        kind: "link".into(),
        mode: 0o777,
        size: 0,
        blob: None,
        target: Some(target.into()),
    }
}

/// A change of the path that `after` (or `before`) has.
pub fn change(op: ChangeOp, before: Option<EntryInfo>, after: Option<EntryInfo>) -> FileChange {
    let at = after.as_ref().or(before.as_ref()).unwrap().path.clone();
    let from = (op == ChangeOp::Rename).then(|| before.as_ref().unwrap().path.clone());
    FileChange {
        path: at,
        op,
        from,
        before,
        after,
        lines: None,
    }
}

/// What a revision names.
pub fn resolved(n: u8) -> Resolved {
    Resolved {
        commit: CommitId([n; 32]),
        tree: TreeId([n; 32]),
        step: None,
    }
}

/// A commit for lists.
pub fn commit(n: u8, parents: &[u8]) -> CommitInfo {
    CommitInfo {
        id: CommitId([n; 32]),
        parents: parents.iter().map(|p| CommitId([*p; 32])).collect(),
        tree: TreeId([n; 32]),
        branch: "main".into(),
        time: Time(1_760_000_000_000_000 + i64::from(n) * 1_000_000),
        cause: Cause::Quiet,
        message: format!("commit \x1b[31m{n}"),
        step: None,
        seq: u64::from(n),
        line: 0,
        author: "sh".into(),
        effect: None,
        refs: Vec::new(),
    }
}

/// Runs a verb to its end.
pub fn wait<T>(verb: impl Future<Output = Result<T, Fail>>) -> Result<T, Fail> {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(verb)
}
