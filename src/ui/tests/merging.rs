//! A merge for the scripted world: conflicts of every kind written by hand, picks kept as acts, as an engine does.

use crate::engine::api::{
    ApiError, BranchInfo, CommitInfo, Comparison, ConflictDetail, ConflictInfo, EntryInfo,
    ErrorCode, Meeting, MergeInfo, MergeReport, Overlap, PickOrigin, PieceInfo, Reason, Request,
    Resolved, Response, StateMergeInfo, UnfinishedInfo,
};
use crate::merge::conflict::{ConflictKind, Hunk};
use crate::merge::resolve::{Pick, picked_text};
use crate::merge::state::{Place, StateConflict, StateConflictKind};
use crate::model::{BlobId, Bytes, Cause, CommitId, Ordinal, RepoPath, Time, TreeId};

use super::script::{NOON, World, path};

/// Something that was picked.
#[derive(Debug, Clone)]
pub(super) enum Act {
    File(RepoPath, Option<usize>, Option<Pick>, PickOrigin),
    State(usize, Option<Pick>),
}

/// The merge.
#[derive(Debug, Clone, Default)]
pub(super) struct Merge {
    pub details: Vec<ConflictDetail>,
    pub state: Vec<StateConflict>,
    pub acts: Vec<Act>,
    /// It was begun and is not finished.
    pub kept: bool,
    pub remade: bool,
    /// Theirs has moved so often.
    pub moves: u64,
    /// In which merge each pick was made.
    pub of: Vec<Option<(CommitId, CommitId)>>,
    pub check: Option<String>,
    pub finished: Vec<bool>,
    pub id: u64,
    /// Branches that meet.
    pub met: Vec<Meeting>,
}

pub(super) fn at(n: u64) -> Ordinal {
    Ordinal { major: n, minor: 0 }
}

fn resolved(n: u64) -> Resolved {
    Resolved {
        commit: CommitId::from(blake3::hash(&n.to_le_bytes())),
        tree: TreeId::from(blake3::hash(&n.to_be_bytes())),
        step: Some(at(n)),
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes(text.as_bytes().to_vec())
}

pub(super) fn text(text: &str) -> PieceInfo {
    PieceInfo::Text { text: bytes(text) }
}

pub(super) fn hunk(ours: &str, base: &str, theirs: &str) -> PieceInfo {
    PieceInfo::Hunk {
        ours: bytes(ours),
        base: bytes(base),
        theirs: bytes(theirs),
        key: None,
        crlf: false,
        pick: None,
        origin: PickOrigin::Person,
        propose: None,
    }
}

fn entry(name: &str, size: u64, mode: u32) -> EntryInfo {
    EntryInfo {
        path: path(name),
        kind: "file".to_owned(),
        mode,
        size,
        blob: Some(BlobId::of(name.as_bytes())),
        target: None,
    }
}

fn reason(step: u64, tool: &str, title: &str, thought: &str, prompt: &str) -> Reason {
    Reason {
        commit: CommitId::from(blake3::hash(title.as_bytes())),
        step: Some(at(step)),
        title: title.to_owned(),
        time: Time(NOON + i64::try_from(step).unwrap() * 60_000_000),
        tool: tool.to_owned(),
        thought: Some((at(step - 1), thought.to_owned())),
        prompt: Some((at(2), prompt.to_owned())),
        author: "claude".to_owned(),
    }
}

pub(super) fn detail(name: &str, kind: ConflictKind, pieces: Vec<PieceInfo>) -> ConflictDetail {
    let hunks = pieces
        .iter()
        .filter(|p| matches!(p, PieceInfo::Hunk { .. }))
        .count();
    ConflictDetail {
        of: None,
        info: ConflictInfo {
            path: path(name),
            kind,
            words: kind.words().to_owned(),
            hunks,
            settled: 0,
            done: false,
            why: None,
            paths: [None, None],
            unreviewed: false,
        },
        ours: Some(entry(name, 1200, 0o644)),
        base: Some(entry(name, 1100, 0o644)),
        theirs: Some(entry(name, 1300, 0o644)),
        pieces,
        whole: None,
        reasons: [Vec::new(), Vec::new()],
        proposals: Vec::new(),
    }
}

const BEFORE: &str = "impl Token {\n    /// True once past expiry.\n    pub fn is_expired(&self, clock: &dyn Clock) -> bool {\n        let now = clock.now_ms();\n";
const AFTER: &str = "            return true;\n        }\n        false\n    }\n";

/// Conflicts of every kind.
pub(super) fn every_kind() -> Merge {
    let mut token = detail(
        "src/auth/token.rs",
        ConflictKind::Content,
        vec![
            text(BEFORE),
            hunk(
                "        let exp = self.exp * 1000;\n        if exp < now {\n            debug!(exp, now);\n",
                "        let exp = self.exp * 1000;\n        if exp < now {\n",
                "        let exp = self.expires_at();\n        if exp <= now {\n",
            ),
            text(AFTER),
            hunk("    // ours\n", "", "    // theirs\n"),
            text("}\n"),
        ],
    );
    token.reasons = [
        vec![reason(
            9,
            "Edit",
            "src/auth/token.rs",
            "Log both values, so that the next failure can be read.",
            "Users are logged out right after refresh. Find out why, and keep the tests honest.",
        )],
        vec![
            reason(
                28,
                "Edit",
                "src/auth/token.rs",
                "The boundary belongs to the past: exp == now is expired.",
                "Move the unit conversion to one place.",
            ),
            reason(
                15,
                "Edit",
                "src/auth/token.rs",
                "expires_at() says what unit it is in.",
                "Move the unit conversion to one place.",
            ),
        ],
    ];
    let mut json = detail(
        "package.json",
        ConflictKind::Content,
        vec![
            text("{\n  \"port\": "),
            PieceInfo::Hunk {
                ours: bytes("8080"),
                base: bytes("80"),
                theirs: bytes("443"),
                key: Some("/port".to_owned()),
                crlf: false,
                pick: None,
                origin: PickOrigin::Person,
                propose: None,
            },
            text("\n}\n"),
        ],
    );
    json.reasons[0] = vec![reason(
        5,
        "Write",
        "package.json",
        "A port that needs no rights.",
        "Serve it.",
    )];
    let mut line = detail(
        "README.md",
        ConflictKind::Content,
        vec![
            text("# demo\n"),
            PieceInfo::Hunk {
                ours: bytes("A small server with rotating tokens.\n"),
                base: bytes("A small server with tokens.\n"),
                theirs: bytes("A tiny server with tokens.\n"),
                key: None,
                crlf: false,
                pick: None,
                origin: PickOrigin::Person,
                propose: Some(bytes("A tiny server with rotating tokens.\n")),
            },
        ],
    );
    line.info.words = "both changed the same line".to_owned();
    let mut binary = detail("assets/logo.png", ConflictKind::Binary, Vec::new());
    binary.theirs = Some(entry("assets/logo.png", 84_000, 0o644));
    let mut gone = detail("src/old.rs", ConflictKind::DeletedByOurs, Vec::new());
    gone.ours = None;
    let mut dir = detail("src/http", ConflictKind::FileDirectory, Vec::new());
    if let Some(theirs) = &mut dir.theirs {
        theirs.kind = "dir".to_owned();
        theirs.mode = 0o755;
        theirs.blob = None;
    }
    let mut mode = detail("run.sh", ConflictKind::Mode, Vec::new());
    mode.ours = Some(entry("run.sh", 40, 0o755));
    mode.theirs = Some(entry("run.sh", 40, 0o600));
    let mut link = detail("latest", ConflictKind::Link, Vec::new());
    for (side, target) in [
        (&mut link.ours, "v2"),
        (&mut link.base, "v1"),
        (&mut link.theirs, "../\x1b[2Jv3"),
    ] {
        if let Some(entry) = side {
            entry.kind = "link".to_owned();
            entry.blob = None;
            entry.target = Some(target.to_owned());
        }
    }
    let mut twice = detail("src/store.rs", ConflictKind::RenamedTwice, Vec::new());
    twice.info.paths = [Some(path("src/store.rs")), Some(path("src/tokens.rs"))];
    let place = |pointer: &str, json: &str| {
        Some(Place {
            pointer: pointer.to_owned(),
            json: json.to_owned(),
        })
    };
    let state = vec![
        StateConflict {
            kind: StateConflictKind::Alike,
            base: None,
            ours: place("/memories/3", "\"The server listens on port 8080.\""),
            theirs: place("/memories/4", "\"The server listens on port 443.\""),
            methods: [None, Some(crate::merge::state::Method::Words(83))],
            both: true,
        },
        StateConflict {
            kind: StateConflictKind::DeletedByTheirs,
            base: place("/plan/goal", "\"fix expiry\""),
            ours: place("/plan/goal", "\"fix expiry and rotation\""),
            theirs: None,
            methods: [None, None],
            both: false,
        },
    ];
    Merge {
        details: vec![line, binary, link, json, mode, token, dir, gone, twice],
        state,
        ..Merge::default()
    }
}

impl Merge {
    /// One conflict as it stands.
    pub(super) fn detail(&self, path: &RepoPath) -> Option<ConflictDetail> {
        let mut detail = self.details.iter().find(|d| d.info.path == *path)?.clone();
        for act in &self.acts {
            let Act::File(of, hunk, pick, origin) = act else {
                continue;
            };
            if of != path {
                continue;
            }
            match hunk {
                None => detail.whole = pick.clone().map(|p| (p, origin.clone())),
                Some(n) => {
                    let hunks = detail.pieces.iter_mut().filter_map(|p| match p {
                        PieceInfo::Hunk { pick, origin, .. } => Some((pick, origin)),
                        PieceInfo::Text { .. } => None,
                    });
                    if let Some((was, by)) = hunks.into_iter().nth(*n) {
                        *was = pick.clone();
                        *by = origin.clone();
                    }
                }
            }
        }
        let (mut settled, mut unreviewed) = (0, false);
        for piece in &detail.pieces {
            if let PieceInfo::Hunk {
                pick: Some(_),
                origin,
                ..
            } = piece
            {
                settled += 1;
                unreviewed |= origin.is_unreviewed();
            }
        }
        if detail.info.hunks == 0 {
            settled = usize::from(detail.whole.is_some());
        }
        detail.info.settled = settled;
        detail.info.done = settled >= detail.info.hunks.max(1);
        detail.info.unreviewed = unreviewed;
        Some(detail)
    }

    fn state(&self) -> Vec<(StateConflict, Option<Pick>)> {
        let mut out: Vec<_> = self.state.iter().map(|c| (c.clone(), None)).collect();
        for act in &self.acts {
            if let Act::State(n, pick) = act {
                out[*n].1 = pick.clone();
            }
        }
        out
    }

    pub(super) fn info(&self) -> MergeInfo {
        let conflicts: Vec<ConflictInfo> = self
            .details
            .iter()
            .filter_map(|d| self.detail(&d.info.path))
            .map(|d| d.info)
            .collect();
        let state = self.state();
        let left = conflicts.iter().filter(|c| !c.done).count()
            + state.iter().filter(|(_, p)| p.is_none()).count();
        MergeInfo {
            id: self.id,
            branch: "try-2".to_owned(),
            into: "main".to_owned(),
            theirs: resolved(28 + self.moves),
            ours: resolved(31),
            bases: vec![resolved(8)],
            kept: self.kept,
            remade: self.remade,
            renumbered: false,
            fast_forward: false,
            changes: World::changes(
                &super::script::tree(&[("src/lib.rs", "a\n")]),
                &super::script::tree(&[("src/lib.rs", "a\nb\n"), ("src/new.rs", "x\n")]),
            ),
            joined: vec![(path("src/lib.rs"), "by lines".to_owned())],
            conflicts,
            state: (!state.is_empty()).then_some(StateMergeInfo {
                conflicts: state,
                notes: Vec::new(),
                changes: Vec::new(),
                text: None,
                problem: None,
            }),
            left,
            undoable: self.acts.len(),
            resumed: None,
            check: self.check.clone(),
        }
    }

    pub(super) fn unfinished(&self) -> Option<UnfinishedInfo> {
        self.kept.then(|| UnfinishedInfo {
            branch: "try-2".to_owned(),
            into: "main".to_owned(),
            left: self.info().left,
        })
    }

    fn merging(&self) -> Response {
        Response::Merging(self.kept.then(|| Box::new(self.info())))
    }

    /// A file as it stands, with markers for what is left: simple ones.
    fn markers(&self, path: &RepoPath) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for piece in self.detail(path)?.pieces {
            match piece {
                PieceInfo::Text { text } => out.extend(text.0),
                PieceInfo::Hunk {
                    ours,
                    base,
                    theirs,
                    key,
                    crlf,
                    pick,
                    ..
                } => {
                    let hunk = Hunk {
                        ours: ours.0,
                        base: base.0,
                        theirs: theirs.0,
                        key,
                        crlf,
                    };
                    match pick.and_then(|p| picked_text(&hunk, &p)) {
                        Some(text) => out.extend(text),
                        None => {
                            out.extend(b"<<<<<<< ours\n");
                            out.extend(&hunk.ours);
                            out.extend(b"=======\n");
                            out.extend(&hunk.theirs);
                            out.extend(b">>>>>>> theirs\n");
                        }
                    }
                }
            }
        }
        Some(out)
    }
}

fn refused(words: &str) -> ApiError {
    ApiError::new(ErrorCode::Refused, words)
}

impl World {
    /// Answers what is about merges and branches.
    pub(super) fn merge_answer(&mut self, request: Request) -> Result<Response, ApiError> {
        let none = || refused("no merge is unfinished");
        let branch = |name: &str, n: u64| BranchInfo {
            name: name.to_owned(),
            current: name == "main",
            commit: CommitInfo {
                id: resolved(n).commit,
                parents: Vec::new(),
                tree: resolved(n).tree,
                branch: name.to_owned(),
                time: Time(NOON + i64::try_from(n).unwrap() * 60_000_000),
                cause: Cause::PostTool,
                message: String::new(),
                step: Some(at(n)),
                seq: n,
                line: 0,
                author: "claude".to_owned(),
                effect: None,
                refs: Vec::new(),
            },
        };
        let merge = &mut self.merge;
        merge.id += 1;
        Ok(match request {
            Request::Branches => Response::Branches(vec![
                branch("main", 31),
                branch("try-1", 20),
                branch("try-2", 28),
                branch("\x1b[2Jevil", 3),
            ]),
            Request::Compare { a, b } => {
                let side = |rev: &str, ahead| crate::engine::api::Side {
                    rev: rev.to_owned(),
                    at: resolved(8),
                    ahead,
                    commits: Vec::new(),
                    changes: Vec::new(),
                };
                let both = usize::from(b == "try-2") * 3;
                let both = (0..both).map(|n| Overlap {
                    path: path(&format!("f{n}")),
                    alike: n == 2,
                });
                Response::Comparison(Box::new(Comparison {
                    bases: vec![resolved(8)],
                    a: side(&a, 4),
                    b: side(&b, 7),
                    both: both.collect(),
                }))
            }
            Request::Merge {
                branch, dry_run, ..
            } => match branch.as_str() {
                "try-2" => {
                    merge.kept |= !dry_run;
                    Response::Merging(Some(Box::new(merge.info())))
                }
                "try-1" if dry_run => Response::Merging(Some(Box::new(Merge::default().info()))),
                "try-1" => Response::Merged(Box::new(MergeReport {
                    up_to_date: true,
                    ..report(Vec::new())
                })),
                _ => return Err(refused("\x1b[2Jthat branch cannot be merged")),
            },
            Request::Merging => merge.merging(),
            Request::MergeConflict { path } if merge.kept => {
                let mut detail = merge.detail(&path).ok_or_else(none)?;
                detail.of = Some(merge.info().of());
                Response::MergeConflict(Box::new(detail))
            }
            Request::MergePick {
                path,
                hunk,
                pick,
                origin,
                of,
            } if merge.kept => {
                merge.of.push(of);
                merge.acts.push(Act::File(path, hunk, pick, origin));
                merge.merging()
            }
            Request::MergeStatePick {
                conflict, pick, of, ..
            } if merge.kept => {
                merge.of.push(of);
                merge.acts.push(Act::State(conflict, pick));
                merge.merging()
            }
            Request::MergeUnpick if merge.kept => {
                merge
                    .acts
                    .pop()
                    .ok_or_else(|| refused("no pick was made"))?;
                merge.merging()
            }
            Request::MergeMarkers { path, text: None } => {
                Response::Bytes(Bytes(merge.markers(&path).ok_or_else(none)?))
            }
            Request::MergeMarkers {
                path,
                text: Some(text),
            } => {
                // What it says in all becomes the first hunk: enough to see that it arrived.
                let pick = Some(Pick::Edited(text.0));
                merge
                    .acts
                    .push(Act::File(path, Some(0), pick, PickOrigin::Markers));
                merge.merging()
            }
            Request::MergeFinish { keep_conflicts, .. } if merge.kept => {
                let info = merge.info();
                if info.left > 0 && !keep_conflicts {
                    return Err(refused("something is left"));
                }
                merge.finished.push(keep_conflicts);
                merge.kept = false;
                let open = info.conflicts.into_iter().filter(|c| !c.done).collect();
                Response::Merged(Box::new(MergeReport {
                    changes: info.changes,
                    ..report(open)
                }))
            }
            Request::MergeProposal { .. } => Response::Done(String::new()),
            Request::MergeAbandon => {
                merge.kept = false;
                merge.acts.clear();
                Response::Done(String::new())
            }
            Request::Fork { name, rev: _ } => {
                let name = name.unwrap_or_else(|| "try-3".to_owned());
                Response::Forked(Box::new(crate::engine::api::ForkInfo {
                    tip: branch(&name, 9).commit,
                    branch: name,
                    base: resolved(9),
                    mounted: None,
                    sessions: Vec::new(),
                    changed: 0,
                    drift: Vec::new(),
                    disk: 0,
                }))
            }
            _ => return Err(ApiError::new(ErrorCode::Unsupported, "not in this script")),
        })
    }
}

fn report(open: Vec<ConflictInfo>) -> MergeReport {
    MergeReport {
        commit: None,
        fast_forward: false,
        up_to_date: false,
        into: "main".to_owned(),
        branch: "try-2".to_owned(),
        changes: Vec::new(),
        unreviewed: Vec::new(),
        open,
        rollback: None,
        operation: None,
    }
}
