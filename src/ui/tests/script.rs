//! A source that plays a recording written by hand: the same shapes that an engine gives, computed from real contents,
//! so that screens are drawn from true differences. It takes rollbacks, undos and labels as an engine does.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use crate::diff::text::count;
use crate::engine::api::{
    ApiError, ChangeOp, CommitInfo, Effect, EntryInfo, ErrorCode, FileChange, Notice,
    RecordingInfo, Request, Row, StepDetail, TextPart,
};
use crate::model::{
    BlobId, CallKind, Cause, CommitId, Link, LinkRule, Ordinal, RepoPath, SessionId, Status,
    StepId, StepKind, Time, TreeId,
};

/// 2026-03-14T12:00:00Z.
pub(super) const NOON: i64 = 1_773_489_600_000_000;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct File {
    pub mode: u32,
    pub content: Vec<u8>,
    pub link: bool,
}

pub(super) type Tree = BTreeMap<String, File>;

#[derive(Debug, Clone)]
pub(super) struct Commit {
    tree: Tree,
    line: u32,
    pub(super) parent: Option<CommitId>,
    link: (LinkRule, u8),
    author: String,
}

/// The recording and the state of its world.
pub(super) struct World {
    pub name: String,
    pub live: bool,
    /// It is a recording that lies in its file.
    pub recording: bool,
    pub session: SessionId,
    pub frozen: bool,
    pub running: bool,
    pub rows: Vec<Row>,
    pub(super) details: BTreeMap<Ordinal, StepDetail>,
    pub(super) commits: BTreeMap<CommitId, Commit>,
    pub(super) blobs: BTreeMap<BlobId, Vec<u8>>,
    pub tree: Tree,
    pub(super) head: Option<CommitId>,
    pub(super) line: u32,
    pub(super) lines: u32,
    pub(super) clock: i64,
    pub(super) turn: u32,
    pub(super) thought: Option<(Ordinal, String)>,
    pub(super) prompt: Option<(Ordinal, String)>,
    pub workspace: Option<Ordinal>,
    pub(super) undo: Vec<(Option<Ordinal>, Option<CommitId>)>,
    pub(super) notices: Option<mpsc::UnboundedSender<Notice>>,
    pub asked: Vec<Request>,
    pub fail: Option<ApiError>,
    /// The recordings of its machine, each with what is found when it is looked into.
    pub recordings: Vec<RecordingInfo>,
    pub merge: super::merging::Merge,
    /// The terminals of its agents.
    pub terminal: super::live::Terminals,
    /// Steps that one answer to a search is about.
    pub slice: usize,
    pub desk: super::desk::Fake,
}

/// Files by name.
pub(super) fn tree(files: &[(&str, &str)]) -> Tree {
    let file = |(name, text): &(&str, &str)| {
        let content = text.as_bytes().to_vec();
        let file = File {
            mode: 0o644,
            content,
            link: false,
        };
        ((*name).to_owned(), file)
    };
    files.iter().map(file).collect()
}

pub(super) fn path(text: &str) -> RepoPath {
    RepoPath::new(text.as_bytes()).unwrap()
}

impl World {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            live: false,
            recording: false,
            session: SessionId::of(name),
            frozen: false,
            running: false,
            rows: Vec::new(),
            details: BTreeMap::new(),
            commits: BTreeMap::new(),
            blobs: BTreeMap::new(),
            tree: Tree::new(),
            head: None,
            line: 0,
            lines: 1,
            clock: NOON,
            turn: 0,
            thought: None,
            prompt: None,
            workspace: None,
            undo: Vec::new(),
            notices: None,
            asked: Vec::new(),
            fail: None,
            recordings: Vec::new(),
            merge: super::merging::Merge::default(),
            terminal: super::live::Terminals::default(),
            slice: usize::MAX,
            desk: super::desk::Fake::default(),
        }
    }

    pub(super) fn put(&mut self, name: &str, content: impl AsRef<[u8]>) {
        let content = content.as_ref().to_vec();
        self.blobs.insert(BlobId::of(&content), content.clone());
        self.tree.insert(
            name.to_owned(),
            File {
                mode: 0o644,
                content,
                link: false,
            },
        );
    }

    pub(super) fn link(&mut self, name: &str, target: &str) {
        self.tree.insert(
            name.to_owned(),
            File {
                mode: 0o777,
                content: target.as_bytes().to_vec(),
                link: true,
            },
        );
    }

    pub(super) fn replace(&mut self, name: &str, from: &str, to: &str) {
        let old = String::from_utf8(self.tree[name].content.clone()).unwrap();
        assert!(old.contains(from), "{name} has no {from:?}");
        self.put(name, old.replacen(from, to, 1));
    }

    pub(super) fn wait(&mut self, seconds: f64) {
        #[allow(clippy::cast_possible_truncation, reason = "tests")]
        let micros = (seconds * 1e6) as i64;
        self.clock += micros;
    }

    pub(super) fn entry(name: &str, file: &File) -> EntryInfo {
        EntryInfo {
            path: path(name),
            kind: if file.link { "link" } else { "file" }.to_owned(),
            mode: file.mode,
            size: file.content.len() as u64,
            blob: (!file.link).then(|| BlobId::of(&file.content)),
            target: file
                .link
                .then(|| String::from_utf8_lossy(&file.content).into_owned()),
        }
    }

    pub(super) fn changes(before: &Tree, after: &Tree) -> Vec<FileChange> {
        let mut out = Vec::new();
        let names: std::collections::BTreeSet<&String> =
            before.keys().chain(after.keys()).collect();
        for name in names {
            let (b, a) = (before.get(name), after.get(name));
            if b == a {
                continue;
            }
            let op = match (b, a) {
                (None, _) => ChangeOp::Create,
                (_, None) => ChangeOp::Delete,
                (Some(b), Some(a)) if b.link != a.link => ChangeOp::Kind,
                (Some(b), Some(a)) if b.content == a.content => ChangeOp::Mode,
                _ => ChangeOp::Modify,
            };
            let bytes = |f: Option<&File>| {
                f.filter(|f| !f.link)
                    .map(|f| f.content.clone())
                    .unwrap_or_default()
            };
            out.push(FileChange {
                path: path(name),
                op,
                from: None,
                before: b.map(|f| Self::entry(name, f)),
                after: a.map(|f| Self::entry(name, f)),
                lines: count(&bytes(b), &bytes(a)),
            });
        }
        out
    }

    pub(super) fn tree_of(&self, commit: Option<CommitId>) -> Tree {
        commit
            .and_then(|c| self.commits.get(&c))
            .map(|c| c.tree.clone())
            .unwrap_or_default()
    }

    fn commit(
        &mut self,
        rule: LinkRule,
        confidence: u8,
        author: &str,
    ) -> (CommitId, u32, Option<u32>) {
        let id = CommitId::from(blake3::hash(
            format!("{:?}{}", self.head, self.commits.len()).as_bytes(),
        ));
        // A commit on a state that something followed already opens a new line.
        let taken = self
            .commits
            .values()
            .any(|c| c.parent == self.head && self.head.is_some());
        let from = taken.then_some(self.line);
        if taken {
            self.line = self.lines;
            self.lines += 1;
        }
        self.commits.insert(
            id,
            Commit {
                tree: self.tree.clone(),
                line: self.line,
                parent: self.head,
                link: (rule, confidence),
                author: author.to_owned(),
            },
        );
        self.head = Some(id);
        (id, self.line, from)
    }

    fn text(&mut self, text: &str) -> TextPart {
        let blob = BlobId::of(text.as_bytes());
        self.blobs.insert(blob, text.as_bytes().to_vec());
        TextPart {
            blob,
            len: text.len() as u64,
            text: text.chars().take(65536).collect(),
        }
    }

    /// Appends a step; what the tree holds now is its state.
    #[allow(clippy::too_many_arguments, reason = "tests")]
    pub(super) fn step(
        &mut self,
        kind: StepKind,
        call: CallKind,
        tool: &str,
        title: &str,
        body: &str,
        output: Option<&str>,
        exit: Option<i32>,
        seconds: f64,
    ) -> Ordinal {
        let ordinal = Ordinal {
            major: self.rows.last().map_or(0, |r| r.ordinal.major) + 1,
            minor: 0,
        };
        let start = Time(self.clock);
        self.wait(seconds);
        let before = self.tree_of(self.head);
        let changes = Self::changes(&before, &self.tree);
        let parent = self.head;
        let author = match kind {
            StepKind::Outside => "outside",
            StepKind::Fs => "rustfmt",
            _ => "claude",
        };
        let (rule, sure) = match kind {
            StepKind::Outside | StepKind::Fs => (LinkRule::Unclaimed, 100),
            _ if call == CallKind::Execute => (LinkRule::Process, 97),
            _ => (LinkRule::OnlyOpenCall, 100),
        };
        let made = (!changes.is_empty()).then(|| self.commit(rule, sure, author));
        let (commit, line, from_line) = match made {
            Some((id, line, from)) => (Some(id), line, from),
            None => (None, self.line, None),
        };
        let effect = commit.map(|_| {
            let lines = changes.iter().filter_map(|c| c.lines);
            let (added, removed) = lines.fold((0, 0), |(a, r), (x, y)| (a + x, r + y));
            Effect {
                files: u32::try_from(changes.len()).unwrap(),
                added,
                removed,
            }
        });
        let is_call = kind == StepKind::Call;
        let row = Row {
            step: StepId::of(self.session, &ordinal.to_string()),
            ordinal,
            session: Some(self.session),
            kind,
            call,
            tool: tool.to_owned(),
            title: title.to_owned(),
            time: start,
            end: is_call.then_some(Time(self.clock)),
            status: match (is_call, exit) {
                (false, _) => Status::None,
                (true, Some(code)) if code != 0 => Status::Error,
                _ => Status::Ok,
            },
            exit_code: exit,
            turn: self.turn,
            commit,
            parent: parent.filter(|_| commit.is_some()),
            commits: u32::from(commit.is_some()),
            line,
            from_line,
            effect,
            labels: Vec::new(),
            talk: Default::default(),
        };
        let body = (!body.is_empty()).then(|| self.text(body));
        let output = output.map(|o| self.text(o));
        self.add(row, body, output, changes);
        ordinal
    }

    fn add(
        &mut self,
        row: Row,
        body: Option<TextPart>,
        output: Option<TextPart>,
        changes: Vec<FileChange>,
    ) {
        let ordinal = row.ordinal;
        if row.commit.is_some() {
            self.workspace = Some(ordinal);
        }
        let commits = row
            .commit
            .and_then(|id| self.commits.get(&id).map(|c| (id, c.clone())))
            .map(|(id, c)| {
                let info = CommitInfo {
                    id,
                    parents: c.parent.into_iter().collect(),
                    tree: TreeId::from(blake3::hash(format!("{:?}", c.tree).as_bytes())),
                    branch: "main".to_owned(),
                    time: row.time,
                    cause: Cause::PostTool,
                    message: String::new(),
                    step: Some(ordinal),
                    seq: ordinal.major,
                    line: c.line,
                    author: c.author.clone(),
                    effect: row.effect,
                    refs: Vec::new(),
                };
                let link = Link {
                    step: row.step,
                    commit: id,
                    rule: c.link.0,
                    confidence: c.link.1,
                };
                (info, link)
            })
            .into_iter()
            .collect();
        let own = matches!(row.kind, StepKind::Prompt | StepKind::Thought);
        let detail = StepDetail {
            row: row.clone(),
            body,
            output,
            commits,
            changes,
            thought: self.thought.clone().filter(|_| !own),
            prompt: self.prompt.clone().filter(|_| row.kind != StepKind::Prompt),
        };
        self.details.insert(ordinal, detail);
        self.rows.push(row.clone());
        self.tell(Notice::Row(Box::new(row)));
        self.tell(Notice::Status(Box::new(self.status())));
    }

    pub(super) fn tell(&mut self, notice: Notice) {
        if let Some(send) = &self.notices {
            let _ = send.send(notice);
        }
    }

    pub(super) fn prompt(&mut self, text: &str) -> Ordinal {
        self.turn += 1;
        self.thought = None;
        let title: String = text.chars().take(240).collect();
        let at = self.step(
            StepKind::Prompt,
            CallKind::Other,
            "",
            &title,
            text,
            None,
            None,
            1.0,
        );
        self.prompt = Some((at, text.to_owned()));
        at
    }

    pub(super) fn think(&mut self, text: &str) -> Ordinal {
        let title: String = text.chars().take(240).collect();
        let at = self.step(
            StepKind::Thought,
            CallKind::Other,
            "",
            &title,
            text,
            None,
            None,
            4.0,
        );
        self.thought = Some((at, text.to_owned()));
        at
    }

    pub(super) fn say(&mut self, text: &str) -> Ordinal {
        let title: String = text.chars().take(240).collect();
        self.step(
            StepKind::Message,
            CallKind::Other,
            "",
            &title,
            text,
            None,
            None,
            2.0,
        )
    }

    pub(super) fn read(&mut self, file: &str) -> Ordinal {
        let content = String::from_utf8_lossy(&self.tree[file].content).into_owned();
        let body = serde_json::json!({ "file_path": file }).to_string();
        self.step(
            StepKind::Call,
            CallKind::Read,
            "Read",
            file,
            &body,
            Some(&content),
            None,
            0.1,
        )
    }

    pub(super) fn edit(&mut self, file: &str, from: &str, to: &str) -> Ordinal {
        self.replace(file, from, to);
        let body = serde_json::json!({ "file_path": file, "old_string": from, "new_string": to });
        self.step(
            StepKind::Call,
            CallKind::Edit,
            "Edit",
            file,
            &body.to_string(),
            None,
            None,
            0.3,
        )
    }

    pub(super) fn write(&mut self, file: &str, content: &str) -> Ordinal {
        self.put(file, content);
        let body = serde_json::json!({ "file_path": file, "content": content });
        self.step(
            StepKind::Call,
            CallKind::Edit,
            "Write",
            file,
            &body.to_string(),
            None,
            None,
            0.2,
        )
    }

    pub(super) fn bash(&mut self, command: &str, exit: i32, output: &str, seconds: f64) -> Ordinal {
        let body = serde_json::json!({ "command": command }).to_string();
        self.step(
            StepKind::Call,
            CallKind::Execute,
            "Bash",
            command,
            &body,
            Some(output),
            Some(exit),
            seconds,
        )
    }

    /// A call that has not ended.
    pub(super) fn begin(&mut self, command: &str) -> Ordinal {
        let at = self.bash(command, 0, "", 0.0);
        if let Some(row) = self.rows.last_mut() {
            row.status = Status::Running;
            row.exit_code = None;
            row.end = None;
        }
        let row = self.rows.last().cloned().unwrap();
        if let Some(detail) = self.details.get_mut(&at) {
            detail.row = row.clone();
            detail.output = None;
        }
        self.tell(Notice::Row(Box::new(row)));
        at
    }

    /// Goes back to a step, as the marker of a rollback does.
    pub(super) fn back(&mut self, to: Ordinal) -> Ordinal {
        let row = self.row(to).cloned().unwrap();
        self.go(row.commit);
        let at = self.step(
            StepKind::Marker,
            CallKind::Other,
            "",
            &format!("Rolled back to step {to}"),
            "",
            None,
            None,
            0.5,
        );
        self.workspace = Some(to);
        if let Some(row) = self.rows.last_mut() {
            row.commit = self.head;
        }
        at
    }

    pub(super) fn go(&mut self, commit: Option<CommitId>) {
        self.head = commit;
        self.tree = self.tree_of(commit);
        self.line = commit
            .and_then(|c| self.commits.get(&c))
            .map_or(0, |c| c.line);
    }

    pub(super) fn row(&self, at: Ordinal) -> Option<&Row> {
        self.rows.iter().find(|r| r.ordinal == at)
    }

    pub(super) fn label(&mut self, at: Ordinal, name: &str) {
        if let Some(row) = self.rows.iter_mut().find(|r| r.ordinal == at) {
            row.labels.push(name.to_owned());
            let row = row.clone();
            self.tell(Notice::Row(Box::new(row)));
        }
    }

    /// The state after the newest step at or before one.
    pub(super) fn state(&self, rev: &str) -> Result<(Option<CommitId>, Ordinal), ApiError> {
        let missing = || ApiError::new(ErrorCode::NotFound, format!("no revision {rev:?}"));
        let row = if let Some(number) = rev.strip_prefix("step:") {
            let at: Ordinal = number.parse().map_err(|_| missing())?;
            self.rows
                .iter()
                .rev()
                .filter(|r| r.ordinal <= at)
                .find(|r| r.commit.is_some())
        } else {
            let id: CommitId = rev.parse().map_err(|_| missing())?;
            self.rows.iter().find(|r| r.commit == Some(id))
        };
        row.map(|r| (r.commit, r.ordinal)).ok_or_else(missing)
    }
}
