//! Answers to the questions that only read: rows, steps, commits, differences, listings, contents.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::debug::history::{History, Home, Homes, Which};
use crate::debug::rev;
use crate::diff::{text, tree};
use crate::model::{
    BlobId, Cause, CommitId, Entry, Kind, Link, Ordinal, RefTarget, RepoPath, Step, StepId,
    StepKind, Time, TreeId, neutral,
};
use crate::store::{self, CommitNode, Store, Tied};

use super::api::{
    ApiError, BlobPart, ChangeOp, Changes, CommitDetail, CommitInfo, Effect, EntryInfo, ErrorCode,
    FileChange, OpInfo, PackedRows, Resolved, Row, Rows, StepDetail, TextPart, pack,
};
use super::core::Failure;

/// First part of a text that comes with a step, in bytes.
const TEXT: usize = 64 << 10;
/// Largest part of a blob in one answer.
const PART: u64 = 8 << 20;
/// Most rows in one answer.
const ROWS: usize = 5_000;
/// Files whose lines are counted for one answer, and their largest size: counting must not hold up the engine.
const COUNTED: usize = 64;
const COUNTED_SIZE: u64 = 512 << 10;

/// Who points where, as long as no ref moves.
pub(super) struct Names {
    of_commit: HashMap<CommitId, Vec<String>>,
    of_step: HashMap<StepId, Vec<String>>,
    branch: String,
}

impl Names {
    /// Whether anything has a label.
    pub(super) fn has_labels(&self) -> bool {
        let mut all = self.of_commit.values().chain(self.of_step.values());
        all.any(|names| names.iter().any(|n| n.starts_with("label/")))
    }

    /// The labels of a step or of its commits, sorted.
    pub(super) fn labels(
        &self,
        step: StepId,
        commits: impl Iterator<Item = CommitId>,
    ) -> Vec<String> {
        let mut labels: Vec<String> = commits
            .filter_map(|c| self.of_commit.get(&c))
            .chain(self.of_step.get(&step))
            .flatten()
            .filter_map(|name| name.strip_prefix("label/"))
            .map(str::to_owned)
            .collect();
        labels.sort();
        labels
    }

    /// The branch that the workspace is on.
    pub(super) fn branch(&self) -> &str {
        &self.branch
    }
}

/// The names that were read last, so that a row does not read all refs.
#[derive(Default)]
pub struct NamesKept(Mutex<Option<(u64, Arc<Names>)>>);

/// Whoever answers: a store with the steps that belong to it.
#[derive(Clone, Copy)]
pub struct Answers<'a> {
    /// Commits, trees, contents and links.
    pub store: &'a Store,
    /// Steps and their texts.
    pub history: &'a dyn History,
    /// What was read of its refs.
    pub names: &'a NamesKept,
}

impl Answers<'_> {
    pub(super) fn names(&self) -> Result<Arc<Names>, store::Error> {
        // Before they are read: what moves meanwhile is read again.
        let version = self.store.refs_version();
        let kept = || self.names.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, names)) = &*kept()
            && *of == version
        {
            return Ok(Arc::clone(names));
        }
        let names = Arc::new(self.read_names()?);
        *kept() = Some((version, Arc::clone(&names)));
        Ok(names)
    }

    fn read_names(&self) -> Result<Names, store::Error> {
        let mut of_commit: HashMap<CommitId, Vec<String>> = HashMap::new();
        let mut of_step: HashMap<StepId, Vec<String>> = HashMap::new();
        for (name, target) in self.store.refs()? {
            match target {
                RefTarget::Commit(id) => of_commit.entry(id).or_default().push(name),
                RefTarget::Step(id) => of_step.entry(id).or_default().push(name),
                RefTarget::Branch(_) => {}
            }
        }
        Ok(Names {
            of_commit,
            of_step,
            branch: rev::branch(self.store)?,
        })
    }

    pub fn log(&self, before: Option<u64>, limit: usize) -> Result<Vec<CommitInfo>, Failure> {
        let names = self.names()?;
        self.store
            .commits(before, limit.min(ROWS))?
            .into_iter()
            .map(|node| self.info(node, &names))
            .collect()
    }

    pub fn commit_infos(&self, ids: &[CommitId]) -> Result<Vec<CommitInfo>, Failure> {
        self.infos(ids.iter().copied(), &*self.names()?)
    }

    fn infos(
        &self,
        ids: impl Iterator<Item = CommitId>,
        names: &Names,
    ) -> Result<Vec<CommitInfo>, Failure> {
        ids.map(|id| self.info(self.store.commit_node(id)?, names))
            .collect()
    }

    pub(super) fn info(&self, node: CommitNode, names: &Names) -> Result<CommitInfo, Failure> {
        let commit = &node.commit;
        let step = match self.store.link_of_commit(node.id)? {
            Some(link) => self.history.step(link.step)?.map(|s| s.ordinal),
            None => None,
        };
        Ok(CommitInfo {
            id: node.id,
            parents: commit.parents.clone(),
            tree: commit.tree,
            branch: commit.meta.get("branch").unwrap_or(&names.branch).clone(),
            time: commit.time,
            cause: commit.cause,
            message: commit.message.clone(),
            step,
            seq: node.seq,
            line: node.line,
            author: commit.author.clone(),
            effect: self.effect_of(node.id)?,
            refs: names.of_commit.get(&node.id).cloned().unwrap_or_default(),
        })
    }

    fn effect_of(&self, commit: CommitId) -> Result<Option<Effect>, store::Error> {
        Ok(self.store.stats(commit)?.map(|s| Effect {
            files: s.files,
            added: s.added,
            removed: s.removed,
        }))
    }

    pub fn rows(&self, after: Option<Ordinal>, limit: usize) -> Result<Rows, Failure> {
        let limit = limit.min(ROWS);
        let mut page = Page::new(self)?;
        let mut steps = self.history.steps_after(after, limit)?;
        let mut rows = Vec::with_capacity(steps.len());
        // A page is full unless it is the last one.
        while let Some(last) = steps.last().map(|s| s.ordinal) {
            page.rows(&steps, &mut rows)?;
            if rows.len() >= limit {
                break;
            }
            steps = self.history.steps_after(Some(last), limit - rows.len())?;
        }
        Ok(Rows {
            rows,
            total: self.history.step_count()?,
        })
    }

    /// The rows of the last steps before one.
    pub fn packed_rows(
        &self,
        before: Option<Ordinal>,
        limit: usize,
    ) -> Result<PackedRows, Failure> {
        let limit = limit.clamp(1, ROWS);
        let mut steps = self.history.steps_before(before, limit)?;
        steps.reverse();
        let mut rows = Vec::with_capacity(steps.len());
        Page::new(self)?.rows(&steps, &mut rows)?;
        let from = steps.first().map(|s| s.ordinal);
        Ok(PackedRows {
            rows: pack(&rows).into(),
            from: from.filter(|_| steps.len() == limit),
            total: self.history.step_count()?,
        })
    }

    /// The row of one step, for a notice.
    pub fn row_now(&self, step: &Step) -> Result<Row, Failure> {
        self.lone_row(step, &*self.names()?)
    }

    /// The rows of some steps, for notices; one that cannot be made is left out.
    pub fn rows_of(&self, steps: &[Step]) -> Result<Vec<Row>, Failure> {
        let names = self.names()?;
        Ok(steps
            .iter()
            .filter_map(|step| self.lone_row(step, &names).ok())
            .collect())
    }

    /// A row by itself: what comes before it has to be looked up.
    pub(super) fn lone_row(&self, step: &Step, names: &Names) -> Result<Row, Failure> {
        let tied = self.store.tied(std::slice::from_ref(step))?;
        let tied = tied.into_iter().next().unwrap_or_default();
        Ok(row(step, self.line_before(step)?, &tied, names))
    }

    /// The line of the graph on which the workspace was when `step` came.
    fn line_before(&self, step: &Step) -> Result<u32, store::Error> {
        match rev::state_at(self.store, self.history, step)? {
            Some(id) => Ok(self.store.commit_node(id)?.line),
            None => Ok(0),
        }
    }

    pub fn step_detail(&self, id: StepId) -> Result<StepDetail, Failure> {
        let step = self.history.step(id)?.ok_or_else(|| {
            ApiError::new(ErrorCode::NotFound, format!("no step has the id {id}"))
        })?;
        let links = self.store.links_of_step(id)?;
        let names = self.names()?;
        let infos = self.infos(links.iter().map(|l| l.commit), &names)?;
        let changes = match (infos.first(), infos.last()) {
            (Some(first), Some(last)) => {
                let before = self.parent_tree(first)?;
                self.changes(before, last.tree, &[])?
            }
            _ => Vec::new(),
        };
        let (thought, prompt) = self.reasons(&step)?;
        Ok(StepDetail {
            row: self.lone_row(&step, &names)?,
            body: self.text_part(&step, Which::Body)?,
            output: self.text_part(&step, Which::Output)?,
            commits: infos.into_iter().zip(links).collect(),
            changes,
            thought,
            prompt,
        })
    }

    pub(super) fn parent_tree(&self, commit: &CommitInfo) -> Result<TreeId, store::Error> {
        match commit.parents.first() {
            // A first state is a beginning, not thousands of new files.
            None if commit.cause == Cause::Initial => Ok(commit.tree),
            None => Ok(self.store.empty_tree()),
            Some(parent) => {
                // What it changed is told against the nearest state before it that is still there.
                let mut at = self.store.commit(*parent)?;
                while !self.store.has_tree(at.tree)? {
                    match at.parents.first() {
                        Some(before) => at = self.store.commit(*before)?,
                        None => return Ok(self.store.empty_tree()),
                    }
                }
                Ok(at.tree)
            }
        }
    }

    /// The nearest thought before `step` in its turn, and its turn's prompt.
    pub(super) fn reasons(&self, step: &Step) -> Result<(Option<Reason>, Option<Reason>), Failure> {
        let (mut thought, mut prompt) = (None, None);
        if step.session.is_none() {
            return Ok((thought, prompt));
        }
        let mut before = step.ordinal;
        // Turns are short beside this; a runaway one shows no prompt rather than holding up the engine.
        for _ in 0..20 {
            let page = self.history.steps_before(Some(before), 256)?;
            for earlier in page.iter().filter(|s| s.session == step.session) {
                match earlier.kind {
                    StepKind::Thought if thought.is_none() && earlier.turn == step.turn => {
                        thought = Some(self.reason(earlier)?);
                    }
                    StepKind::Prompt => prompt = Some(self.reason(earlier)?),
                    _ => {}
                }
                if prompt.is_some() || earlier.turn < step.turn {
                    return Ok((thought, prompt));
                }
            }
            match page.last() {
                Some(last) => before = last.ordinal,
                None => break,
            }
        }
        Ok((thought, prompt))
    }

    pub(super) fn reason(&self, step: &Step) -> Result<Reason, Failure> {
        let text = match self.text_part(step, Which::Body)? {
            Some(part) => part.text,
            None => step.title.clone(),
        };
        Ok((step.ordinal, text))
    }

    pub(super) fn text_part(&self, step: &Step, which: Which) -> Result<Option<TextPart>, Failure> {
        let text = self.history.text(step, which, TEXT)?;
        Ok(text.map(|text| TextPart {
            blob: text.blob,
            len: text.len,
            text: String::from_utf8_lossy(&text.bytes).into_owned(),
        }))
    }

    pub fn resolve(&self, text: &str) -> Result<Resolved, Failure> {
        let named = rev::resolve(self.store, self.history, text, Time::now())?;
        self.resolved(named.commit, named.step)
    }

    pub fn resolved(&self, commit: CommitId, step: Option<Ordinal>) -> Result<Resolved, Failure> {
        let step = match step {
            Some(s) => Some(s),
            None => self.workspace_step(Some(commit))?,
        };
        Ok(Resolved {
            commit,
            tree: self.store.commit(commit)?.tree,
            step,
        })
    }

    /// The step that `commit` is tied to.
    pub fn workspace_step(&self, commit: Option<CommitId>) -> Result<Option<Ordinal>, Failure> {
        let Some(commit) = commit else {
            return Ok(None);
        };
        Ok(match self.store.link_of_commit(commit)? {
            Some(link) => self.history.step(link.step)?.map(|s| s.ordinal),
            None => None,
        })
    }

    pub fn show(&self, text: &str) -> Result<CommitDetail, Failure> {
        let named = rev::resolve(self.store, self.history, text, Time::now())?;
        let link: Option<Link> = self.store.link_of_commit(named.commit)?;
        let commit = self.store.commit(named.commit)?;
        let infos = self.commit_infos(&[named.commit])?;
        let info = infos.into_iter().next().ok_or_else(|| {
            ApiError::new(ErrorCode::NotFound, format!("no commit is called {text:?}"))
        })?;
        let before = self.parent_tree(&info)?;
        let state = self.agent_state(&commit)?;
        Ok(CommitDetail {
            state,
            // Of a state whose content was let go nothing but this can be told.
            changes: if self.store.has_tree(info.tree)? {
                self.changes(before, info.tree, &[])?
            } else {
                Vec::new()
            },
            meta: commit.meta.clone(),
            commit: info,
            link,
        })
    }

    /// What differs between two revisions.
    pub fn diff(&self, a: &str, b: &str, paths: &[RepoPath]) -> Result<Changes, Failure> {
        let a = self.resolve(a)?;
        let b = self.resolve(b)?;
        let changes = self.changes(a.tree, b.tree, paths)?;
        Ok(Changes { a, b, changes })
    }

    /// What differs between two trees, renames of equal content found, lines counted where that is quick.
    pub fn changes(
        &self,
        a: TreeId,
        b: TreeId,
        within: &[RepoPath],
    ) -> Result<Vec<FileChange>, Failure> {
        let raw = tree::trees(self.store, a, b, within)?;
        file_changes(raw, &|blob| self.store.blob(blob))
    }

    /// The same without looking into the files.
    pub(super) fn uncounted(&self, a: TreeId, b: TreeId) -> Result<Vec<FileChange>, Failure> {
        Ok(uncounted(tree::trees(self.store, a, b, &[])?))
    }

    pub fn list(&self, text: &str, path: &RepoPath) -> Result<Vec<EntryInfo>, Failure> {
        let root = self.resolve(text)?.tree;
        let dir = if path.is_root() {
            root
        } else {
            let entry = self.find(root, path)?;
            entry.and_then(|e| e.kind.tree()).ok_or_else(|| {
                ApiError::new(
                    ErrorCode::NotFound,
                    format!("{path} is no directory at {text}"),
                )
            })?
        };
        let tree = self.store.tree(dir)?;
        Ok(tree
            .entries
            .iter()
            .filter_map(|e| Some(entry_info(&path.join(&e.name).ok()?, e)))
            .collect())
    }

    pub fn entry(&self, text: &str, path: &RepoPath) -> Result<Option<EntryInfo>, Failure> {
        let root = self.resolve(text)?.tree;
        Ok(self.find(root, path)?.map(|e| entry_info(path, &e)))
    }

    /// A link's target as bytes: entries show it with what is not text escaped.
    pub fn target(&self, text: &str, path: &RepoPath) -> Result<Option<BlobPart>, Failure> {
        let root = self.resolve(text)?.tree;
        Ok(self.find(root, path)?.and_then(|e| match e.kind {
            Kind::Symlink(bytes) => Some(BlobPart {
                len: bytes.len() as u64,
                bytes,
            }),
            _ => None,
        }))
    }

    pub(super) fn find(&self, root: TreeId, path: &RepoPath) -> Result<Option<Entry>, Failure> {
        let mut dir = Some(root);
        let mut found = None;
        for part in path.parts() {
            let Some(id) = dir else { return Ok(None) };
            let Some(entry) = self.store.tree(id)?.get(part).cloned() else {
                return Ok(None);
            };
            dir = entry.kind.tree();
            found = Some(entry);
        }
        Ok(found)
    }

    pub fn blob(&self, id: BlobId, offset: u64, len: u64) -> Result<BlobPart, Failure> {
        let len = usize::try_from(len.min(PART)).unwrap_or(usize::MAX);
        let (len, bytes) = self.history.part(id, offset, len)?;
        Ok(BlobPart { len, bytes })
    }

    pub fn operations(&self, before: Option<u64>, limit: usize) -> Result<Vec<OpInfo>, Failure> {
        self.store
            .operations(before, limit.min(ROWS))?
            .into_iter()
            .map(|(seq, id, op)| self.op_info(seq, id, op))
            .collect()
    }
}

/// Rows of steps that follow each other.
struct Page<'a> {
    answers: &'a Answers<'a>,
    names: Arc<Names>,
    homes: Homes,
    /// Where the workspace was, each fork, and each run that was recorded elsewhere.
    lines: HashMap<Home, u32>,
}

impl<'a> Page<'a> {
    fn new(answers: &'a Answers<'a>) -> Result<Self, Failure> {
        Ok(Self {
            names: answers.names()?,
            homes: Homes::of(answers.store)?,
            lines: HashMap::new(),
            answers,
        })
    }

    fn rows(&mut self, steps: &[Step], out: &mut Vec<Row>) -> Result<(), Failure> {
        let tied = self.answers.store.tied(steps)?;
        for (step, tied) in steps.iter().zip(&tied) {
            let home = self.homes.of_tied(step, tied);
            let line = match self.lines.get(&home) {
                Some(line) => *line,
                None => self.answers.line_before(step)?,
            };
            let row = row(step, line, tied, &self.names);
            self.lines.insert(home, row.line);
            // A step made for changes that were tied to their call since then.
            let superseded = row.kind == StepKind::Fs && row.commits == 0;
            if !superseded {
                out.push(row);
            }
        }
        Ok(())
    }
}

/// The row of a step; `line` is that of the graph on which it came.
fn row(step: &Step, line: u32, tied: &Tied, names: &Names) -> Row {
    let links = &tied.links;
    let state = links.last().map(|l| l.commit).or(step.state);
    let node = tied.node.as_ref();
    let parent = node.and_then(|n| n.commit.parents.first().copied());
    let line = node.map_or(line, |n| n.line);
    let from_line = tied
        .parent_line
        .filter(|of_parent| !links.is_empty() && *of_parent != line);
    let mut effect: Option<Effect> = None;
    for one in tied.stats.iter().flatten() {
        let sum = effect.get_or_insert_default();
        sum.files = sum.files.max(one.files);
        sum.added = sum.added.saturating_add(one.added);
        sum.removed = sum.removed.saturating_add(one.removed);
    }
    let mut labels: Vec<String> = links
        .iter()
        .filter_map(|l| names.of_commit.get(&l.commit))
        .chain(names.of_step.get(&step.id))
        .flatten()
        .filter_map(|name| name.strip_prefix("label/"))
        .map(str::to_owned)
        .collect();
    labels.sort();
    Row {
        step: step.id,
        ordinal: step.ordinal,
        session: step.session,
        kind: step.kind,
        call: step.call,
        tool: step.tool.clone(),
        title: step.title.clone(),
        time: step.time,
        end: step.end,
        status: step.status,
        exit_code: step.exit_code,
        turn: step.turn,
        commit: state,
        parent,
        commits: u32::try_from(links.len()).unwrap_or(u32::MAX),
        line,
        from_line,
        effect,
        labels,
        talk: step.talk,
    }
}

/// What differs between two trees as it crosses the socket: renames of equal content found, lines counted where that is
/// quick.
pub(super) fn file_changes(
    raw: Vec<tree::PathChange>,
    content: &dyn Fn(BlobId) -> Result<Vec<u8>, store::Error>,
) -> Result<Vec<FileChange>, Failure> {
    let mut out = uncounted(raw);
    let mut counted = 0;
    for change in &mut out {
        let size = |e: &Option<EntryInfo>| e.as_ref().map_or(0, |e| e.size);
        let small = size(&change.before).max(size(&change.after)) <= COUNTED_SIZE;
        if counted < COUNTED
            && small
            && matches!(
                change.op,
                ChangeOp::Create | ChangeOp::Delete | ChangeOp::Modify
            )
        {
            counted += 1;
            change.lines = lines(change, content)?;
        }
    }
    Ok(out)
}

/// The same, with no lines counted.
fn uncounted(raw: Vec<tree::PathChange>) -> Vec<FileChange> {
    let mut out = Vec::new();
    // A directory that comes or goes is said by the files in it, if there are any.
    let parents: BTreeSet<RepoPath> = raw.iter().filter_map(|c| c.path.parent()).collect();
    for change in raw {
        let only_dir = [&change.before, &change.after]
            .into_iter()
            .flatten()
            .all(|e| matches!(e.kind, Kind::Dir(_)));
        let comes_or_goes = change.before.is_none() || change.after.is_none();
        if only_dir && comes_or_goes && parents.contains(&change.path) {
            continue;
        }
        let op = match (&change.before, &change.after) {
            (None, Some(_)) => ChangeOp::Create,
            (Some(_), None) => ChangeOp::Delete,
            (Some(x), Some(y)) if x.kind.word() != y.kind.word() => ChangeOp::Kind,
            (Some(x), Some(y)) if only_dir || x.kind == y.kind => ChangeOp::Mode,
            _ => ChangeOp::Modify,
        };
        out.push(FileChange {
            before: change.before.as_ref().map(|e| entry_info(&change.path, e)),
            after: change.after.as_ref().map(|e| entry_info(&change.path, e)),
            path: change.path,
            op,
            from: None,
            lines: None,
        });
    }
    let mut out = find_renames(out);
    out.sort_by(|x, y| x.path.cmp(&y.path));
    out
}

fn lines(
    change: &FileChange,
    content: &dyn Fn(BlobId) -> Result<Vec<u8>, store::Error>,
) -> Result<Option<(u32, u32)>, Failure> {
    let sides = [&change.before, &change.after];
    if sides.into_iter().flatten().any(|e| e.kind == "unknown") {
        return Ok(None);
    }
    let whole = |e: &Option<EntryInfo>| match e.as_ref().and_then(|e| e.blob) {
        Some(blob) => content(blob),
        None => Ok(Vec::new()),
    };
    match (whole(&change.before), whole(&change.after)) {
        (Ok(before), Ok(after)) => Ok(text::count(&before, &after)),
        // That it changed is known still, if not by how much.
        (Err(store::Error::Gone { .. }), _) | (_, Err(store::Error::Gone { .. })) => Ok(None),
        (Err(e), _) | (_, Err(e)) => Err(e.into()),
    }
}

pub(super) type Reason = (Ordinal, String);

/// An entry as it crosses the socket.
pub(super) fn entry_info(path: &RepoPath, entry: &Entry) -> EntryInfo {
    EntryInfo {
        path: path.clone(),
        kind: entry.kind.word().to_owned(),
        mode: entry.mode,
        size: match &entry.kind {
            Kind::File { size, .. } => *size,
            Kind::Symlink(target) => target.len() as u64,
            _ => 0,
        },
        blob: entry.kind.blob(),
        target: match &entry.kind {
            Kind::Symlink(target) => Some(neutral(target)),
            _ => None,
        },
    }
}

/// Pairs a removed file with a new one of the same content. Empty files are never paired: they are all alike.
fn find_renames(changes: Vec<FileChange>) -> Vec<FileChange> {
    let mut gone: BTreeMap<BlobId, Vec<usize>> = BTreeMap::new();
    for (i, change) in changes.iter().enumerate() {
        if change.op == ChangeOp::Delete
            && let Some(before) = &change.before
            && let (Some(blob), true) = (before.blob, before.size > 0)
        {
            gone.entry(blob).or_default().push(i);
        }
    }
    let mut taken = BTreeSet::new();
    let mut pairs = HashMap::new();
    for (i, change) in changes.iter().enumerate() {
        if change.op == ChangeOp::Create
            && let Some(blob) = change.after.as_ref().and_then(|e| e.blob)
            && let Some(old) = gone.get_mut(&blob).and_then(Vec::pop)
        {
            pairs.insert(i, old);
            taken.insert(old);
        }
    }
    let olds: HashMap<usize, FileChange> =
        taken.iter().map(|i| (*i, changes[*i].clone())).collect();
    changes
        .into_iter()
        .enumerate()
        .filter(|(i, _)| !taken.contains(i))
        .map(|(i, mut change)| {
            if let Some(old) = pairs.get(&i).and_then(|o| olds.get(o)) {
                change.op = ChangeOp::Rename;
                change.from = Some(old.path.clone());
                change.before = old.before.clone();
            }
            change
        })
        .collect()
}
