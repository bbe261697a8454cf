//! Makes the store of a long run: steps in turns, with subagents, failures, thoughts, changes made outside, rollbacks and
//! labels; the same for the same numbers.
//!
//! It goes through the store's own interface, a thousand steps in one publication, so that a million steps with a hundred
//! thousand commits are there in a minute. The files of the last commit are also written to the project's directory, so
//! that an engine finds nothing changed.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "for benchmarks and tests; each takes what it needs"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use backtrail::model::{
    BlobId, CallKind, Cause, Commit, CommitId, Entry, Kind, Link, LinkRule, OpKind, Ordinal,
    RefChange, RefTarget, RepoPath, Session, SessionId, Status, Step, StepId, StepKind, Talk, Time,
    Tokens, Tree, TreeId,
};
use backtrail::store::{CommitStats, NewCommit, NewOperation, Publication, Store, commit_id};

/// How large it is to be.
#[derive(Debug, Clone, Copy)]
pub struct Want {
    /// Steps in all.
    pub steps: u64,
    /// So many of them changed files.
    pub commits: u64,
    /// Lines of the file that one of the last steps changed: see [`Want::long_step`].
    pub long_file: usize,
}

/// Steps from the one that changed the long file to the end.
const AFTER: u64 = 10;

impl Want {
    /// What the screen is measured with.
    pub const MILLION: Self = Self {
        steps: 1_000_000,
        commits: 100_000,
        long_file: 20_000,
    };

    /// The step that changed the long file.
    pub fn long_step(self) -> u64 {
        self.steps - AFTER + 1
    }

    /// The same shape, so many steps.
    pub fn steps(steps: u64) -> Self {
        Self {
            steps,
            commits: steps / 10,
            long_file: 400,
        }
    }
}

/// Where a program that runs in `project`, with this directory as its `BACKTRAIL_DATA`, looks for the store.
pub fn store_dir(data: &Path, project: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let real = project.canonicalize().unwrap();
    let key = blake3::hash(real.as_os_str().as_bytes()).to_hex()[..16].to_owned();
    data.join("projects").join(key)
}

/// Makes the store in `store` (which must not be there yet) and the files in `project`.
pub fn make(store: &Path, project: &Path, want: Want) {
    let opened = Store::open(store).unwrap();
    let mut maker = Maker::new(&opened, want);
    maker.all();
    maker.write(project);
    opened.flush_index().unwrap();
}

const DIRS: usize = 20;
const FILES: usize = 12;
const BATCH: usize = 2000;

/// What is said, from which titles and texts are put together.
const WORDS: [&str; 32] = [
    "expiry",
    "token",
    "compares",
    "seconds",
    "with",
    "milliseconds",
    "the",
    "parser",
    "returns",
    "early",
    "when",
    "list",
    "is",
    "empty",
    "cargo",
    "test",
    "retry",
    "http",
    "index",
    "lock",
    "before",
    "reader",
    "sees",
    "old",
    "state",
    "naïve",
    "日本語",
    "→",
    "refresh",
    "session",
    "cache",
    "miss",
];

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn words(&mut self, n: u64) -> String {
        let mut out = String::new();
        for i in 0..n {
            if i > 0 {
                out.push(' ');
            }
            let word = self.below(WORDS.len() as u64);
            out.push_str(WORDS[usize::try_from(word).unwrap()]);
        }
        out
    }
}

struct Maker<'a> {
    store: &'a Store,
    want: Want,
    random: Random,
    batch: Publication,
    stats: Vec<(CommitId, CommitStats)>,
    files: Vec<Vec<String>>,
    dirs: Vec<Tree>,
    dir_ids: Vec<TreeId>,
    long: Vec<String>,
    long_blob: Option<(BlobId, u64)>,
    /// The commits of the line that the workspace is on, newest last, at most some hundred, with their trees.
    line: Vec<(CommitId, Vec<TreeId>)>,
    tip: Option<CommitId>,
    made: u64,
    commits: u64,
    session: Option<SessionId>,
    turn: u32,
    answer: u32,
    threads: u32,
    thread: Option<(u32, u64)>,
    clock: i64,
    /// Texts that steps share.
    texts: Vec<BlobId>,
    head: Option<RefTarget>,
}

fn file_name(f: usize) -> String {
    format!("f{f:02}.rs")
}

fn path(at: usize) -> String {
    format!("src/d{:02}/{}", at / FILES, file_name(at % FILES))
}

fn file(name: String, blob: BlobId, size: u64) -> Entry {
    Entry {
        name: name.into_bytes(),
        mode: 0o644,
        kind: Kind::File { blob, size },
    }
}

fn dir(name: String, tree: TreeId) -> Entry {
    Entry {
        name: name.into_bytes(),
        mode: 0o755,
        kind: Kind::Dir(tree),
    }
}

impl<'a> Maker<'a> {
    fn new(store: &'a Store, want: Want) -> Self {
        let mut random = Random(7);
        let files: Vec<Vec<String>> = (0..DIRS * FILES)
            .map(|_| {
                (0..30)
                    .map(|_| format!("    let {};\n", random.words(5)))
                    .collect()
            })
            .collect();
        let texts = (0..500)
            .map(|_| {
                let text = random.words(120);
                store.put_blob(text.as_bytes()).unwrap()
            })
            .collect();
        let long = (0..want.long_file)
            .map(|n| format!("line {n}: {}\n", random.words(4)))
            .collect();
        let mut maker = Self {
            store,
            want,
            random,
            batch: Publication::default(),
            stats: Vec::new(),
            files,
            dirs: Vec::new(),
            dir_ids: Vec::new(),
            long,
            long_blob: None,
            line: Vec::new(),
            tip: None,
            made: 0,
            commits: 0,
            session: None,
            turn: 0,
            answer: 0,
            threads: 0,
            thread: None,
            clock: 1_767_225_600_000_000,
            texts,
            head: None,
        };
        for d in 0..DIRS {
            let entries = (0..FILES).map(|f| maker.entry(d * FILES + f)).collect();
            let tree = Tree::new(entries);
            maker.dir_ids.push(store.put_tree(&tree).unwrap());
            maker.dirs.push(tree);
        }
        maker.keep_long();
        maker
    }

    fn keep_long(&mut self) {
        let text = self.long.concat();
        let blob = self.store.put_blob(text.as_bytes()).unwrap();
        self.long_blob = Some((blob, text.len() as u64));
    }

    fn entry(&self, at: usize) -> Entry {
        let text = self.files[at].concat();
        let blob = self.store.put_blob(text.as_bytes()).unwrap();
        file(file_name(at % FILES), blob, text.len() as u64)
    }

    fn root(&self) -> TreeId {
        let below = self
            .dir_ids
            .iter()
            .enumerate()
            .map(|(d, tree)| dir(format!("d{d:02}"), *tree))
            .collect();
        let src = self.store.put_tree(&Tree::new(below)).unwrap();
        let (blob, size) = self.long_blob.unwrap();
        let root = Tree::new(vec![
            file("long.txt".to_owned(), blob, size),
            dir("src".to_owned(), src),
        ]);
        self.store.put_tree(&root).unwrap()
    }

    fn commit(
        &mut self,
        cause: Cause,
        author: &str,
        paths: Vec<(RepoPath, Option<Entry>)>,
        stats: CommitStats,
    ) -> CommitId {
        let commit = Commit {
            parents: self.tip.into_iter().collect(),
            tree: self.root(),
            git: None,
            state: None,
            author: author.to_owned(),
            session: self.session,
            time: Time(self.clock),
            cause,
            message: String::new(),
            meta: BTreeMap::from([("branch".to_owned(), "main".to_owned())]),
            conflict: Vec::new(),
        };
        let id = commit_id(&commit);
        self.batch.commits.push(NewCommit {
            commit,
            attrs: Vec::new(),
            paths,
        });
        self.stats.push((id, stats));
        self.tip = Some(id);
        self.line.push((id, self.dir_ids.clone()));
        if self.line.len() > 400 {
            self.line.drain(..200);
        }
        self.commits += 1;
        id
    }

    /// Changes a line or a few of one file.
    fn edit(&mut self, author: &str) -> (String, CommitId) {
        let at = usize::try_from(self.random.below((DIRS * FILES) as u64)).unwrap();
        let lines = 1 + self.random.below(3);
        for _ in 0..lines {
            let line = usize::try_from(self.random.below(30)).unwrap();
            let words = self.random.words(5);
            self.files[at][line] = format!("    let {words} = {};\n", self.made);
        }
        let entry = self.entry(at);
        let d = at / FILES;
        self.dirs[d] = (*self.store.tree(self.dir_ids[d]).unwrap()).clone();
        self.dirs[d].set(entry.clone());
        self.dir_ids[d] = self.store.put_tree(&self.dirs[d]).unwrap();
        let n = u32::try_from(lines).unwrap();
        let stats = CommitStats {
            files: 1,
            added: n,
            removed: n,
            binary: 0,
        };
        let name = path(at);
        let paths = vec![(RepoPath::new(name.clone()).unwrap(), Some(entry))];
        (name, self.commit(Cause::PostTool, author, paths, stats))
    }

    /// Changes some lines of the long file.
    fn edit_long(&mut self) -> (String, CommitId) {
        let len = self.long.len();
        for at in (0..len).step_by((len / 40).max(1)) {
            self.long[at] = format!("line {at}, changed\n");
        }
        self.keep_long();
        let (blob, size) = self.long_blob.unwrap();
        let name = "long.txt".to_owned();
        let entry = file(name.clone(), blob, size);
        let paths = vec![(RepoPath::new(name.clone()).unwrap(), Some(entry))];
        let stats = CommitStats {
            files: 1,
            added: 40,
            removed: 40,
            binary: 0,
        };
        (name, self.commit(Cause::PostTool, "claude", paths, stats))
    }

    fn text(&mut self) -> BlobId {
        self.texts[usize::try_from(self.random.below(self.texts.len() as u64)).unwrap()]
    }

    fn step(&mut self, kind: StepKind, title: String) -> Step {
        self.made += 1;
        self.clock += 700_000 + i64::try_from(self.random.below(9_000_000)).unwrap();
        let native = format!("{}", self.made);
        let session = self.session.unwrap_or(SessionId([0; 32]));
        Step {
            id: StepId::of(session, &native),
            ordinal: Ordinal {
                major: self.made,
                minor: 0,
            },
            session: self.session,
            kind,
            call: CallKind::Other,
            tool: String::new(),
            native,
            title,
            time: Time(self.clock),
            end: None,
            status: Status::None,
            exit_code: None,
            turn: self.turn,
            body: None,
            output: None,
            paths: Vec::new(),
            state: None,
            talk: Talk {
                answer: self.answer,
                thread: self.thread.map_or(0, |t| t.0),
                depth: u8::from(self.thread.is_some()),
                ..Talk::default()
            },
            sources: Vec::new(),
        }
    }

    fn call(&mut self, call: CallKind, tool: &str, title: String) -> Step {
        let mut step = self.step(StepKind::Call, title);
        step.call = call;
        step.tool = tool.to_owned();
        step.status = Status::Ok;
        step.end = Some(Time(self.clock + 300_000));
        step.body = Some(self.text());
        step
    }

    fn put(&mut self, step: Step, commit: Option<CommitId>) {
        if let Some(commit) = commit {
            self.batch.links.push(Link {
                step: step.id,
                commit,
                rule: LinkRule::Content,
                confidence: 99,
            });
        }
        self.batch.steps.push(step);
    }

    fn all(&mut self) {
        let first = self.commit(
            Cause::Initial,
            "outside",
            Vec::new(),
            CommitStats::default(),
        );
        let step = self.step(StepKind::Outside, "the state at the start".to_owned());
        self.put(step, Some(first));
        while self.made + AFTER < self.want.steps {
            let due = self.commits * self.want.steps < self.want.commits * self.made;
            self.one(due);
            if self.batch.steps.len() >= BATCH {
                self.publish();
            }
        }
        // The end is not part of a subagent, which would be folded.
        self.thread = None;
        let (name, commit) = self.edit_long();
        let mut step = self.call(CallKind::Edit, "Edit", name);
        // Nothing stands before its differences.
        step.body = None;
        self.put(step, Some(commit));
        while self.made < self.want.steps {
            let title = self.random.words(6);
            let step = self.step(StepKind::Message, title);
            self.put(step, None);
        }
        self.publish();
    }

    fn one(&mut self, due: bool) {
        let n = self.made;
        let per_session = (self.want.steps / 40).max(500);
        if n % per_session == 1 || self.session.is_none() {
            self.new_session(n);
        }
        if self.thread.is_none() && (self.turn == 0 || self.random.below(45) == 0) {
            self.turn += 1;
            let title = self.random.words(7);
            let mut step = self.step(StepKind::Prompt, title);
            step.body = Some(self.text());
            return self.put(step, None);
        }
        if let Some((_, left)) = &mut self.thread {
            *left -= 1;
            if *left == 0 {
                self.thread = None;
            }
        }
        if due {
            if self.commits > 100 && self.commits.is_multiple_of(1000) {
                return self.roll_back();
            }
            if self.random.below(50) == 0 {
                let (name, commit) = self.edit("outside");
                let mut step = self.step(StepKind::Outside, name);
                step.session = None;
                step.turn = 0;
                step.talk = Talk::default();
                return self.put(step, Some(commit));
            }
            let (name, commit) = self.edit("claude");
            let mut step = self.call(CallKind::Edit, "Edit", name);
            step.output = Some(self.text());
            return self.put(step, Some(commit));
        }
        self.answer += u32::from(self.random.below(3) == 0);
        match self.random.below(100) {
            0..30 => {
                let words = 6 + self.random.below(8);
                let title = self.random.words(words);
                let mut step = self.step(StepKind::Thought, title);
                step.body = Some(self.text());
                step.talk.tokens = Some(Tokens {
                    input: 40,
                    output: 300 + self.random.below(2000),
                    cache_read: 30_000 + self.random.below(50_000),
                    cache_write: 0,
                });
                self.put(step, None);
            }
            30..60 => {
                let at = usize::try_from(self.random.below((DIRS * FILES) as u64)).unwrap();
                let mut step = self.call(CallKind::Read, "Read", path(at));
                step.output = Some(self.text());
                self.put(step, None);
            }
            60..92 => {
                let title = format!("cargo test {}", self.random.words(2));
                let mut step = self.call(CallKind::Execute, "Bash", title);
                let failed = self.random.below(12) == 0;
                step.exit_code = Some(if failed { 101 } else { 0 });
                if failed {
                    step.status = Status::Error;
                }
                step.output = Some(self.text());
                self.put(step, None);
            }
            92..95 if self.thread.is_none() => {
                self.threads += 1;
                let child = self.threads;
                let title = self.random.words(4);
                let mut step = self.call(CallKind::Agent, "Task", title);
                step.talk.child = Some(child);
                self.put(step, None);
                self.thread = Some((child, 6 + self.random.below(20)));
            }
            _ => {
                let title = self.random.words(9);
                let mut step = self.step(StepKind::Message, title);
                step.body = Some(self.text());
                self.put(step, None);
            }
        }
    }

    fn new_session(&mut self, n: u64) {
        let native = format!("run-{n}");
        let id = SessionId::of(&native);
        self.session = Some(id);
        (self.turn, self.answer, self.threads, self.thread) = (0, 0, 0, None);
        self.store
            .put_session(&Session {
                id,
                native,
                agent: "claude".to_owned(),
                command: "claude".to_owned(),
                cgroup: String::new(),
                start: Time(self.clock),
                end: Some(Time(self.clock + 1_000_000)),
                exit_code: Some(0),
                imported: false,
                branch: None,
            })
            .unwrap();
    }

    fn roll_back(&mut self) {
        let back = usize::try_from(5 + self.random.below(60)).unwrap();
        let at = self.line.len().saturating_sub(1 + back);
        let (to, trees) = self.line[at].clone();
        self.line.truncate(at + 1);
        self.dir_ids = trees;
        self.tip = Some(to);
        for d in 0..DIRS {
            let tree = self.store.tree(self.dir_ids[d]).unwrap();
            for f in 0..FILES {
                if let Some(blob) = tree.entries[f].kind.blob() {
                    let bytes = self.store.blob(blob).unwrap();
                    let text = String::from_utf8(bytes).unwrap();
                    self.files[d * FILES + f] =
                        text.split_inclusive('\n').map(str::to_owned).collect();
                }
            }
        }
        let mut step = self.step(StepKind::Marker, "rollback to an earlier step".to_owned());
        step.session = None;
        step.turn = 0;
        step.talk = Talk::default();
        step.state = Some(to);
        self.put(step, None);
        // The next commit is on a line of its own.
        self.commits += 1;
    }

    fn publish(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        let after = self.tip.map(RefTarget::Commit);
        let mut refs = Vec::new();
        if self.head.is_none() {
            refs.push(RefChange {
                name: "head".to_owned(),
                before: None,
                after: Some(RefTarget::Branch("main".to_owned())),
            });
        }
        if self.head != after {
            refs.push(RefChange {
                name: "branch/main".to_owned(),
                before: self.head.clone(),
                after: after.clone(),
            });
        }
        if let Some(step) = batch.steps.first().filter(|_| self.made.is_multiple_of(20)) {
            refs.push(RefChange {
                name: format!("label/at-{}", step.ordinal),
                before: None,
                after: Some(RefTarget::Step(step.id)),
            });
        }
        batch.operation = Some(NewOperation {
            kind: if self.head.is_none() {
                OpKind::Init
            } else {
                OpKind::Checkpoint
            },
            description: String::new(),
            refs,
            target: None,
            workspace: None,
            time: Time(self.clock),
        });
        self.head = after;
        self.store.publish(batch).unwrap();
        for (id, stats) in self.stats.drain(..) {
            self.store.put_stats(id, &stats).unwrap();
        }
    }

    /// The files of the last commit.
    fn write(&self, root: &Path) {
        let put = |name: &str, text: &str| {
            let at = root.join(name);
            for dir in at.parent().unwrap().ancestors() {
                if dir == root {
                    break;
                }
                std::fs::create_dir_all(dir).unwrap();
                std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
            }
            std::fs::write(&at, text).unwrap();
            std::fs::set_permissions(&at, std::fs::Permissions::from_mode(0o644)).unwrap();
        };
        for (at, lines) in self.files.iter().enumerate() {
            put(&path(at), &lines.concat());
        }
        put("long.txt", &self.long.concat());
    }
}
