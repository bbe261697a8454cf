//! An engine that has one unfinished merge, in memory, for tests of the assist.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "tests; not every test uses all of it"
)]

use std::collections::BTreeMap;
use std::sync::Mutex;

use backtrail::engine::api::{
    ApiError, Bytes, ConflictDetail, ConflictInfo, ErrorCode, MergeInfo, Notice, PickOrigin,
    PieceInfo, ProposalRecord, Reason, Request, Resolved, Response, Rows,
};
use backtrail::engine::source::{Answer, Source};
use backtrail::merge::conflict::ConflictKind;
use backtrail::merge::resolve::Pick;
use backtrail::model::{CommitId, Ordinal, RepoPath, Time, TreeId};
use tokio::sync::mpsc;

/// What was picked for which hunk, by whom.
pub type Picks = BTreeMap<(String, usize), (Pick, PickOrigin)>;

/// One unfinished merge.
pub struct Merge {
    pub files: Mutex<Vec<(RepoPath, Vec<PieceInfo>)>>,
    pub picks: Mutex<Picks>,
    pub records: Mutex<Vec<(String, usize, ProposalRecord)>>,
    pub reasons: [Vec<Reason>; 2],
}

/// A settled part.
pub fn settled(text: &str) -> PieceInfo {
    PieceInfo::Text {
        text: Bytes(text.as_bytes().to_vec()),
    }
}

/// A hunk.
pub fn hunk(ours: &[u8], base: &[u8], theirs: &[u8]) -> PieceInfo {
    PieceInfo::Hunk {
        ours: Bytes(ours.to_vec()),
        base: Bytes(base.to_vec()),
        theirs: Bytes(theirs.to_vec()),
        key: None,
        crlf: false,
        pick: None,
        origin: PickOrigin::Person,
        propose: None,
    }
}

/// A reason.
pub fn reason(step: u64, title: &str, thought: &str, prompt: &str) -> Reason {
    let number = |major| Ordinal { major, minor: 0 };
    Reason {
        commit: CommitId([u8::try_from(step % 256).unwrap(); 32]),
        step: Some(number(step)),
        title: title.to_owned(),
        time: Time(0),
        tool: "Edit".to_owned(),
        thought: Some((number(step - 1), thought.to_owned())),
        prompt: Some((number(step - 10), prompt.to_owned())),
        author: "claude".to_owned(),
    }
}

impl Merge {
    pub fn of(files: Vec<(&str, Vec<PieceInfo>)>) -> Self {
        Self {
            files: Mutex::new(
                files
                    .into_iter()
                    .map(|(path, pieces)| (RepoPath::try_from(path).unwrap(), pieces))
                    .collect(),
            ),
            picks: Mutex::default(),
            records: Mutex::default(),
            reasons: [
                vec![reason(
                    142,
                    "Edit src/token.rs",
                    "add a log line",
                    "log why tokens expire",
                )],
                vec![reason(
                    176,
                    "Edit src/token.rs",
                    "move the unit conversion",
                    "fix the expiry",
                )],
            ],
        }
    }

    /// The usual conflict: two lines in the middle of a file.
    pub fn usual() -> Self {
        Self::of(vec![(
            "src/token.rs",
            vec![
                settled("fn expired(&self, now: u64) -> bool {\n"),
                hunk(
                    b"    let exp = self.exp * 1000;\n    debug!(exp, now);\n",
                    b"    let exp = self.exp * 1000;\n",
                    b"    let exp = self.expires_at();\n",
                ),
                settled("    exp <= now\n}\n"),
            ],
        )])
    }

    fn info_of(&self, path: &RepoPath, pieces: &[PieceInfo]) -> ConflictInfo {
        let hunks = pieces
            .iter()
            .filter(|p| matches!(p, PieceInfo::Hunk { .. }))
            .count();
        let name = path.to_string();
        let picks = self.picks.lock().unwrap();
        let of = picks.iter().filter(|((p, _), _)| *p == name);
        let settled = of.clone().count();
        ConflictInfo {
            path: path.clone(),
            kind: ConflictKind::Content,
            words: ConflictKind::Content.words().to_owned(),
            hunks,
            settled,
            done: hunks > 0 && settled == hunks,
            why: None,
            paths: [None, None],
            unreviewed: of.into_iter().any(|(_, (_, o))| o.is_unreviewed()),
        }
    }

    pub fn info(&self) -> MergeInfo {
        let at = |n| Resolved {
            commit: CommitId([n; 32]),
            tree: TreeId([n; 32]),
            step: None,
        };
        let files = self.files.lock().unwrap();
        let conflicts: Vec<_> = files.iter().map(|(p, x)| self.info_of(p, x)).collect();
        MergeInfo {
            id: 1,
            branch: "try-2".to_owned(),
            into: "main".to_owned(),
            theirs: at(1),
            ours: at(2),
            bases: vec![at(3)],
            kept: true,
            remade: false,
            renumbered: false,
            fast_forward: false,
            changes: Vec::new(),
            joined: Vec::new(),
            left: conflicts.iter().filter(|c| !c.done).count(),
            conflicts,
            state: None,
            undoable: 0,
            resumed: None,
            check: None,
        }
    }

    fn answer(&self, request: Request) -> Result<Response, ApiError> {
        let lost = || ApiError::new(ErrorCode::NotFound, "no such conflict");
        Ok(match request {
            Request::Merging => Response::Merging(Some(Box::new(self.info()))),
            Request::MergeConflict { path } => {
                let files = self.files.lock().unwrap();
                let (_, pieces) = files.iter().find(|(p, _)| *p == path).ok_or_else(lost)?;
                let info = self.info_of(&path, pieces);
                let mut pieces = pieces.clone();
                let hunks = pieces.iter_mut().filter_map(|p| match p {
                    PieceInfo::Hunk { pick, origin, .. } => Some((pick, origin)),
                    PieceInfo::Text { .. } => None,
                });
                for (n, (pick, origin)) in hunks.enumerate() {
                    if let Some((p, o)) = self.picks.lock().unwrap().get(&(path.to_string(), n)) {
                        (*pick, *origin) = (Some(p.clone()), o.clone());
                    }
                }
                Response::MergeConflict(Box::new(ConflictDetail {
                    of: Some((CommitId([1; 32]), CommitId([2; 32]))),
                    info,
                    ours: None,
                    base: None,
                    theirs: None,
                    pieces,
                    whole: None,
                    reasons: self.reasons.clone(),
                    proposals: Vec::new(),
                }))
            }
            Request::MergePick {
                path,
                hunk: Some(hunk),
                pick: Some(pick),
                origin,
                ..
            } => {
                let key = (path.to_string(), hunk);
                self.picks.lock().unwrap().insert(key, (pick, origin));
                Response::Merging(Some(Box::new(self.info())))
            }
            Request::MergeProposal {
                path, hunk, record, ..
            } => {
                let one = (path.to_string(), hunk, record);
                self.records.lock().unwrap().push(one);
                Response::Done(String::new())
            }
            Request::Rows { .. } => Response::Rows(Rows {
                rows: Vec::new(),
                total: 0,
            }),
            _ => return Err(lost()),
        })
    }
}

impl Source for Merge {
    fn ask(&self, request: Request) -> Answer<'_> {
        let answer = self.answer(request);
        Box::pin(async move { answer })
    }

    fn notices(&self) -> mpsc::UnboundedReceiver<Notice> {
        mpsc::unbounded_channel().1
    }

    fn is_live(&self) -> bool {
        true
    }
}
