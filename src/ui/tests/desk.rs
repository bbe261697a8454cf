//! The lists over the timeline: operations, branches, sessions, labels; by keys, over a source that tells of them.

use crate::engine::api::{
    ApiError, BranchChange, BranchReport, ChangeOp, CommitInfo, Comparison, ErrorCode, FileChange,
    ForkInfo, GraphAnswer, GraphQuery, Meeting, MergeTry, Notice, OpDetail, OpInfo, OpReport,
    Overlap, RefMove, Request, Resolved, Response, Side,
};
use crate::model::{
    Cause, CommitId, OpId, OpKind, Ordinal, RefTarget, Session, SessionId, Time, TreeId,
};
use crate::ui::theme::{ASCII, PLAIN};

use super::script::{NOON, World, path};
use super::stage::{Stage, assert_screen};
use super::story::{live, story};

/// What a source tells of operations and sessions.
#[derive(Default)]
pub(super) struct Fake {
    pub on: bool,
    ops: Vec<OpInfo>,
}

fn commit(n: u8) -> CommitId {
    CommitId([n; 32])
}

fn at(major: u64) -> Ordinal {
    Ordinal { major, minor: 0 }
}

fn minutes(n: i64) -> Time {
    Time(NOON + n * 60_000_000)
}

fn op(seq: u64, kind: OpKind, description: &str, who: &str, of: Option<u64>) -> OpInfo {
    OpInfo {
        seq,
        id: OpId([u8::try_from(seq % 250).unwrap(); 32]),
        time: minutes(i64::try_from(seq).unwrap()),
        kind,
        description: description.to_owned(),
        who: who.to_owned(),
        of,
    }
}

fn operations() -> Vec<OpInfo> {
    let mut ops = vec![
        op(1, OpKind::Init, "began to record on main", "", None),
        op(2, OpKind::Checkpoint, "checkpoint on main", "claude", None),
        op(3, OpKind::Label, "labelled step:12 a", "person", None),
        op(4, OpKind::Checkpoint, "checkpoint on main", "claude", None),
        op(
            5,
            OpKind::Rollback,
            "rolled back to step 12",
            "person",
            None,
        ),
        op(
            6,
            OpKind::Undo,
            "undid: rolled back to step 12",
            "person",
            Some(5),
        ),
        op(
            7,
            OpKind::Branch,
            "made the branch \x1b[2Jtry-1 at 0c0c0c0c",
            "person",
            None,
        ),
        op(
            8,
            OpKind::Switch,
            "switched from main to try-1",
            "person",
            None,
        ),
        op(
            9,
            OpKind::Checkpoint,
            "checkpoint on try-1",
            "outside",
            None,
        ),
        op(10, OpKind::Merge, "merged try-2 into main", "person", None),
    ];
    ops.reverse();
    ops
}

fn change(name: &str, op: ChangeOp, lines: (u32, u32)) -> FileChange {
    FileChange {
        path: path(name),
        op,
        from: None,
        before: None,
        after: None,
        lines: Some(lines),
    }
}

fn resolved(n: u64) -> Resolved {
    Resolved {
        commit: commit(u8::try_from(n).unwrap()),
        tree: TreeId([u8::try_from(n).unwrap(); 32]),
        step: Some(at(n)),
    }
}

fn info(n: u64, message: &str) -> CommitInfo {
    CommitInfo {
        id: resolved(n).commit,
        parents: Vec::new(),
        tree: resolved(n).tree,
        branch: "try-2".to_owned(),
        time: minutes(i64::try_from(n).unwrap()),
        cause: Cause::PostTool,
        message: message.to_owned(),
        step: Some(at(n)),
        seq: n,
        line: 0,
        author: "claude".to_owned(),
        effect: None,
        refs: Vec::new(),
    }
}

impl World {
    fn newer(&mut self, kind: OpKind, description: &str) {
        let seq = self.desk.ops.first().map_or(1, |o| o.seq + 1);
        let new = op(seq, kind, description, "person", None);
        self.desk.ops.insert(0, new.clone());
        self.tell(Notice::Operation(new));
    }

    /// Answers what the lists ask, where they are told of.
    pub(super) fn desk_answer(&mut self, request: &Request) -> Option<Result<Response, ApiError>> {
        if !self.desk.on {
            return None;
        }
        Some(Ok(match request {
            Request::Operations { before, limit } => {
                let older = |o: &&OpInfo| before.is_none_or(|b| o.seq < b);
                let page = self.desk.ops.iter().filter(older).take(*limit);
                Response::Operations(page.cloned().collect())
            }
            Request::OpShow { op: text } => {
                let found = self.desk.ops.iter().find(|o| o.seq.to_string() == *text);
                let op = found.cloned().unwrap();
                let moved = |name: &str, from: u64, to: u64| RefMove {
                    name: name.to_owned(),
                    before: Some(RefTarget::Commit(resolved(from).commit)),
                    after: Some(RefTarget::Commit(resolved(to).commit)),
                    steps: (Some(at(from)), Some(at(to))),
                };
                let wrote = matches!(op.kind, OpKind::Rollback | OpKind::Switch | OpKind::Merge);
                Response::Operation(Box::new(OpDetail {
                    parent: None,
                    refs: match op.kind {
                        OpKind::Init => Vec::new(),
                        OpKind::Label => vec![moved("label/a", 8, 12)],
                        OpKind::Switch => vec![RefMove {
                            name: "head".to_owned(),
                            before: Some(RefTarget::Branch("main".to_owned())),
                            after: Some(RefTarget::Branch("try-1".to_owned())),
                            steps: (None, None),
                        }],
                        _ => vec![moved("branch/main", 20, 12)],
                    },
                    states: wrote.then(|| (resolved(20), resolved(12))),
                    changes: if wrote {
                        vec![
                            change("src/auth/mod.rs", ChangeOp::Modify, (8, 1)),
                            change("src/auth/token.rs", ChangeOp::Modify, (3, 12)),
                            change("tests/new.rs", ChangeOp::Delete, (0, 40)),
                        ]
                    } else {
                        Vec::new()
                    },
                    stays: (op.seq < 8).then(|| {
                        format!("branch main has moved since, so operation {} cannot be reverted alone: 8 (switch) stands on it", op.seq)
                    }),
                    op,
                }))
            }
            Request::OpRestore { op, .. } => {
                let text = format!("restored the state before operation {op}");
                self.newer(OpKind::OpRestore, &text);
                Response::OpDone(Box::new(done(&text)))
            }
            Request::OpRevert { op, .. } => {
                let text = format!("reverted operation {op}");
                self.newer(OpKind::OpRevert, &text);
                Response::OpDone(Box::new(done(&text)))
            }
            Request::Compare { a, b } => {
                let side = |rev: &str, ahead, changes: Vec<FileChange>| Side {
                    rev: rev.to_owned(),
                    at: resolved(8),
                    ahead,
                    commits: match rev {
                        "main" => Vec::new(),
                        _ => vec![
                            info(28, "keep the key"),
                            info(27, ""),
                            info(24, "a first try"),
                        ],
                    },
                    changes,
                };
                let changes = vec![
                    change("src/auth/token.rs", ChangeOp::Modify, (9, 9)),
                    change("src/auth/refresh.rs", ChangeOp::Create, (64, 0)),
                ];
                let both = usize::from(b == "try-2") * 2;
                let both = (0..both).map(|n| Overlap {
                    path: path(&format!("src/f{n}.rs")),
                    alike: false,
                });
                Response::Comparison(Box::new(Comparison {
                    bases: vec![resolved(8)],
                    a: side(a, 4, Vec::new()),
                    b: side(b, 7, changes),
                    both: both.collect(),
                }))
            }
            Request::ForkPlaces | Request::Forks => Response::Forks(vec![ForkInfo {
                branch: "try-2".to_owned(),
                base: resolved(8),
                tip: info(28, "keep the key"),
                mounted: Some("/run/user/1000/backtrail/branch/try-2".to_owned()),
                sessions: Vec::new(),
                changed: 2,
                drift: vec![path("target/debug/app")],
                disk: if *request == Request::Forks {
                    4 << 20
                } else {
                    0
                },
            }]),
            Request::Graph(GraphQuery::Leaves { .. }) => {
                Response::Graph(GraphAnswer::Commits(vec![info(19, "left by a rollback")]))
            }
            Request::BranchPrune { dry_run } => Response::Branched(Box::new(BranchReport {
                dry_run: *dry_run,
                description: "pruned the branch try-1".to_owned(),
                changes: vec![BranchChange {
                    name: "try-1".to_owned(),
                    before: Some(commit(1)),
                    after: None,
                    held_by: Some("main".to_owned()),
                }],
                operation: None,
            })),
            Request::BranchDelete { name } | Request::BranchRename { from: name, .. } => {
                let description = match request {
                    Request::BranchRename { to, .. } => format!("renamed {name} to {to}"),
                    _ => format!("removed the branch {name}"),
                };
                Response::Branched(Box::new(BranchReport {
                    dry_run: false,
                    description,
                    changes: Vec::new(),
                    operation: None,
                }))
            }
            Request::Switch { .. } => {
                let report = self.set(self.head, self.workspace, true);
                Response::Rollback(Box::new(report))
            }
            Request::Label { name, rev: None } => {
                for row in &mut self.rows {
                    row.labels.retain(|l| l != name);
                }
                let rows = self.rows.clone();
                for row in rows {
                    self.tell(Notice::Row(Box::new(row)));
                }
                Response::Done(format!("removed the label {name}"))
            }
            Request::Sessions => {
                let session = |id, agent: &str, end, code| Session {
                    id,
                    native: format!("{agent}-7f"),
                    agent: agent.to_owned(),
                    command: format!("{agent} --model x"),
                    cgroup: String::new(),
                    start: Time(NOON),
                    end,
                    exit_code: code,
                    imported: false,
                    branch: None,
                };
                let other = Session {
                    branch: Some("try-2".to_owned()),
                    ..session(
                        SessionId::of("other"),
                        "co\x1b[2Jdex",
                        Some(minutes(90)),
                        Some(2),
                    )
                };
                Response::Sessions(vec![
                    session(self.session, "claude", Some(minutes(12)), Some(0)),
                    other,
                ])
            }
            _ => return None,
        }))
    }
}

fn done(text: &str) -> OpReport {
    OpReport {
        dry_run: false,
        description: text.to_owned(),
        refs: Vec::new(),
        rollback: None,
        operation: None,
    }
}

/// With all of it, or nothing.
pub(super) fn told_of(on: bool) -> Fake {
    Fake {
        on,
        ops: operations(),
    }
}

fn told(mut w: World) -> World {
    w.desk = told_of(true);
    w.live = true;
    w.merge.met = vec![Meeting {
        a: "main".to_owned(),
        b: "try-2".to_owned(),
        count: 2,
        paths: vec![path("src/f0.rs")],
        merge: MergeTry::Conflicts {
            count: 1,
            paths: vec![path("src/f0.rs")],
        },
    }];
    w
}

async fn stage(width: u16, height: u16) -> Stage {
    Stage::open(told(story()), width, height).await
}

fn asked(stage: &Stage, fits: impl Fn(&Request) -> bool) -> usize {
    stage
        .script
        .with(|w| w.asked.iter().filter(|r| fits(r)).count())
}

#[tokio::test]
async fn operations_at_every_size() {
    let mut stage = stage(100, 30).await;
    assert_screen("operations", &stage.keys("6").await.pause().await.screen());
    assert_screen("operations_switch", &stage.keys("jj").await.screen());
    assert_screen("operations_styles", &stage.styled());
    for (width, height) in [(200, 50), (80, 24), (60, 11)] {
        stage.resize(width, height).await;
        let name = format!("operations_{width}x{height}");
        assert_screen(&name, &stage.screen());
    }
    assert_screen(
        "operations_60x11_one",
        &stage.keys("<enter>").await.screen(),
    );
    stage.resize(20, 5).await;
    stage.screen();
    stage.resize(100, 30).await;
    let mut stage = stage.glyphs(PLAIN);
    assert_screen("operations_plain", &stage.keys("<esc>").await.screen());
    // A second time closes, and Esc goes back to the timeline too.
    let home = stage.keys("go").await.screen();
    assert!(home.contains("Timeline"), "{home}");
    stage.keys("go<esc>").await;
    assert!(stage.screen().contains("Timeline"));
}

#[tokio::test]
async fn an_operation_is_restored_reverted_or_refused() {
    let mut stage = stage(100, 30).await;
    stage.keys("gojj").await;
    let screen = stage.keys("r").await.screen();
    assert!(
        screen.contains("Everything is as before operation 8"),
        "{screen}"
    );
    assert!(screen.contains("u undo"), "{screen}");
    assert!(screen.contains("   11 "), "the new one is listed: {screen}");
    assert!(screen.contains("switched from main to try-1"), "{screen}");
    let restored = |r: &Request| {
        *r == Request::OpRestore {
            op: "8".to_owned(),
            before: true,
            dry_run: false,
        }
    };
    assert_eq!(asked(&stage, restored), 1);
    let screen = stage.keys("x").await.screen();
    assert!(screen.contains("Reverted operation 8"), "{screen}");
    // One that later ones stand on says so and stays.
    let screen = stage.keys("5Gx").await.screen();
    assert!(
        screen.contains("operation 5 cannot be reverted"),
        "{screen}"
    );
    let reverts = asked(&stage, |r| matches!(r, Request::OpRevert { .. }));
    assert_eq!(reverts, 1);
    // The first one cannot be gone behind.
    let screen = stage.keys("1Gr").await.screen();
    assert!(screen.contains("there was nothing"), "{screen}");
    // What was undone is marked.
    let screen = stage.keys("zc/roll").await.screen();
    assert!(screen.contains("undone"), "{screen}");
    assert!(!screen.contains("checkpoint on"), "{screen}");
    assert!(!screen.contains("merged"), "{screen}");
    stage.keys("<esc>").await;
    assert!(stage.screen().contains("merged try-2"));
}

#[tokio::test]
async fn with_an_agent_at_work_it_is_asked_first() {
    let mut stage = Stage::open(told(live()), 100, 30).await;
    stage.keys("gor").await;
    assert_screen("operations_question", &stage.screen());
    let restores = |s: &Stage| asked(s, |r| matches!(r, Request::OpRestore { .. }));
    stage.keys("r<enter>n").await;
    assert_eq!(restores(&stage), 0, "only y says yes");
    stage.keys("<esc>").await;
    assert_eq!(restores(&stage), 0);
    stage.keys("ry").await;
    assert_eq!(restores(&stage), 1);
}

#[tokio::test]
async fn branches_at_every_size() {
    let mut stage = stage(100, 30).await;
    stage.keys("4").await.pause().await;
    assert_screen("branches", &stage.screen());
    stage.keys("j").await;
    assert_screen("branches_one", &stage.screen());
    assert_screen("branches_styles", &stage.styled());
    for (width, height) in [(200, 50), (80, 24), (60, 11)] {
        stage.resize(width, height).await;
        let name = format!("branches_{width}x{height}");
        assert_screen(&name, &stage.screen());
    }
    stage.resize(100, 30).await;
    stage.keys("zlzu").await;
    let mut stage = stage.glyphs(ASCII);
    assert_screen("branches_leaves_ascii", &stage.screen());
    let dear = |r: &Request| *r == Request::Forks;
    assert_eq!(asked(&stage, dear), 1, "only when it is asked for");
}

#[tokio::test]
async fn what_is_done_with_a_branch() {
    let mut stage = stage(100, 30).await;
    // The workspace's own is not switched to, removed or merged.
    for key in ["s", "x", "M"] {
        stage.keys("4").await.pause().await;
        stage.keys(key).await;
        let screen = stage.screen();
        assert!(screen.contains("BRANCHES"), "{screen}");
        stage.keys("<esc>").await;
    }
    assert_eq!(asked(&stage, |r| matches!(r, Request::Switch { .. })), 0);
    stage.keys("4").await.pause().await;
    let screen = stage.keys("js").await.screen();
    assert!(screen.contains("The workspace is on try-2"), "{screen}");
    // Removing asks first, and Esc is no.
    assert_screen("branches_remove", &stage.keys("x").await.screen());
    let removed = |r: &Request| matches!(r, Request::BranchDelete { .. });
    stage.keys("<esc>").await;
    assert_eq!(asked(&stage, removed), 0);
    let screen = stage.keys("xy").await.screen();
    assert!(screen.contains("Removed the branch try-2"), "{screen}");
    stage.keys("R<bs>3<enter>").await;
    let renamed = |r: &Request| {
        *r == Request::BranchRename {
            from: "try-2".to_owned(),
            to: "try-3".to_owned(),
        }
    };
    assert_eq!(asked(&stage, renamed), 1);
    let screen = stage.keys("P").await.screen();
    assert!(screen.contains("try-1 (held by main)"), "{screen}");
    let pruned = |r: &Request| *r == Request::BranchPrune { dry_run: false };
    assert_eq!(asked(&stage, pruned), 0);
    stage.keys("y").await;
    assert_eq!(asked(&stage, pruned), 1);
    stage.keys("yp").await;
    assert_eq!(stage.copied, ["/run/user/1000/backtrail/branch/try-2"]);
    let screen = stage.keys("t").await.screen();
    assert!(screen.contains("fork at 28"), "{screen}");
    stage.keys("<esc><enter>").await;
    assert_eq!(stage.focus(), 28, "Enter goes to its tip");
    assert!(stage.screen().contains("Timeline"));
}

#[tokio::test]
async fn sessions_and_their_first_steps() {
    let mut stage = stage(100, 30).await;
    assert_screen("sessions", &stage.keys("gs").await.screen());
    for (width, height) in [(200, 50), (60, 11)] {
        stage.resize(width, height).await;
        let name = format!("sessions_{width}x{height}");
        assert_screen(&name, &stage.screen());
    }
    stage.resize(100, 30).await;
    let screen = stage.keys("j<enter>").await.screen();
    assert!(screen.contains("no step of it is recorded"), "{screen}");
    stage.keys("k<enter>").await;
    assert_eq!(stage.focus(), 1);
    let screen = stage.keys("gs/codex").await.screen();
    assert!(!screen.contains("claude-7f"), "{screen}");
    stage.keys("<enter><esc>").await;
    assert!(
        stage.screen().contains("claude-7f"),
        "Esc ends the filter first"
    );
}

#[tokio::test]
async fn labels_are_gone_to_and_taken_away() {
    let mut world = told(story());
    world.label(at(12), "b");
    world.label(at(5), "before the fall");
    let mut stage = Stage::open(world, 100, 30).await;
    assert_screen("labels", &stage.keys("gm").await.screen());
    stage.resize(60, 11).await;
    assert_screen("labels_60x11", &stage.screen());
    stage.resize(100, 30).await;
    stage.keys("j<enter>").await;
    assert_eq!(stage.focus(), 12);
    let screen = stage.keys("gmx").await.screen();
    assert!(
        screen.contains("Removed the label before the fall"),
        "{screen}"
    );
    assert!(!screen.contains("5 12:0"), "{screen}");
    let screen = stage.keys("xx").await.screen();
    assert!(screen.contains("no label yet"), "{screen}");
}

#[tokio::test]
async fn a_recording_is_only_looked_at() {
    let mut world = told(story());
    world.live = false;
    world.recording = true;
    let mut stage = Stage::open(world, 100, 30).await;
    for keys in ["gor", "x<esc>", "4", "<esc>"] {
        stage.keys(keys).await.pause().await;
    }
    let changes = |r: &Request| {
        matches!(
            r,
            Request::OpRestore { .. } | Request::OpRevert { .. } | Request::Switch { .. }
        )
    };
    assert_eq!(asked(&stage, changes), 0);
}

#[tokio::test]
async fn what_cannot_be_had_is_said() {
    let mut stage = stage(100, 30).await;
    stage.script.with(|w| {
        w.fail = Some(ApiError::new(ErrorCode::Failed, "the disk \x1b[2Jis gone"));
    });
    for keys in ["go", "<esc>4", "<esc>gs"] {
        stage.keys(keys).await.pause().await;
        let screen = stage.screen();
        assert!(screen.contains("is gone"), "{keys}: {screen}");
    }
}
