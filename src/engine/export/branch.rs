//! A line of commits as a branch of the project's git repository: one commit for each step or turn.
//!
//! It begins at the repository's HEAD when the files there are those of the base (or at the commit that HEAD was at then),
//! else a first commit makes up the difference. Its last tree is the exported state, but for what stays behind.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::StreamExt;
use serde::Serialize;

use super::super::api::{CommitInfo, EntryInfo, Request, Response, Row};
use super::super::source::Source;
use super::filter::{Filter, becomes};
use super::git::{Held, Index, Repository};
use super::import::{Change, Facts, Import, line_feeds};
use super::message::{self, Story, first_line, person};
use super::patch::hex;
use super::read::{content, git_mode, listing};
use super::span::{Span, changes};
use super::{Error, LeftOut};
use crate::llm::redact::{self, Redactor};
use crate::model::{Cause, CommitId, Ordinal, RepoPath, Session, SessionId, StepKind};

/// Rows in one answer.
const PAGE: usize = 5_000;
/// Contents that are asked for at once, while they are compared.
const AT_ONCE: usize = 16;

/// What a commit of the branch stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Per {
    /// One step.
    Step,
    /// From one prompt to the next.
    Turn,
}

/// How the branch is wanted.
#[derive(Debug, Clone)]
pub struct BranchWish {
    /// Its name in git.
    pub name: String,
    /// What a commit stands for.
    pub per: Per,
    /// A branch of that name is moved.
    pub force: bool,
    /// Files that git ignores go along.
    pub ignored: bool,
    /// The states hold only some of the files: what they do not name stays as the repository has it.
    pub partial: bool,
}

/// Where a branch begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "start")]
pub enum Start {
    /// At a commit whose files are those of the base.
    Fits {
        /// Which.
        parent: String,
        /// It is the repository's HEAD.
        head: bool,
    },
    /// At the repository's HEAD, with a first commit of what differs from it.
    Difference {
        /// The parent.
        parent: String,
        /// The parent is the repository's HEAD.
        head: bool,
        /// Files that are new or other.
        changed: usize,
        /// Files that are gone.
        removed: usize,
    },
    /// At nothing: the repository has no commit. A first commit holds the files of the base.
    Orphan {
        /// How many there are.
        files: usize,
    },
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BranchMade {
    /// Its name.
    pub branch: String,
    /// Its last commit.
    pub commit: String,
    /// How many commits it has of its own.
    pub commits: usize,
    /// What each stands for.
    pub per: Per,
    /// Where it begins.
    #[serde(flatten)]
    pub start: Start,
    /// Files whose line ends were written as the repository has them.
    pub line_ends: usize,
    /// What stays behind.
    pub left_out: LeftOut,
    /// Secrets that were taken out of the messages.
    pub redacted: usize,
    /// Where a branch of that name was before.
    pub replaced: Option<String>,
}

type Becomes = Vec<(RepoPath, Option<EntryInfo>)>;

/// Commits that become one.
struct Part<'a> {
    commits: Vec<&'a CommitInfo>,
    rows: Vec<&'a Row>,
    key: Key,
    /// What a turn began with, which mostly changes nothing itself.
    prompt: Option<&'a Row>,
    becomes: Becomes,
    /// What was said of it by checkpoints that changed nothing.
    notes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Turn(SessionId, u32),
    Step(Ordinal),
    Outside,
    Alone(CommitId),
}

/// A parent, and what has to be done to its files to make them those of the base.
struct Parent {
    commit: String,
    becomes: Becomes,
    /// Files that differ from the repository's by carriage returns alone: git takes them away when it commits.
    unix: BTreeSet<RepoPath>,
}

/// Makes the branch.
pub async fn branch(
    source: &dyn Source,
    span: &Span,
    repo: &Repository,
    wish: &BranchWish,
) -> Result<BranchMade, Error> {
    let replaced = free(repo, wish)?;
    let rows = rows(source).await?;
    let sessions = sessions(source).await?;
    let mut parts = grouped(&span.line, &rows, wish.per);
    let mut at = span.base.as_ref().map(|b| b.id);
    for part in &mut parts {
        if let Some(last) = part.commits.last() {
            part.becomes = becomes(changes(source, at, last.id).await?);
            at = Some(last.id);
        }
    }
    let base = match &span.base {
        Some(base) => listing(source, base.id).await?,
        None => Vec::new(),
    };
    let head = repo.commit("HEAD")?;
    let held = match &head {
        Some(head) => repo.files(head)?,
        None => BTreeMap::new(),
    };
    let mut index = repo.index()?;
    let links = held.iter().filter(|(_, h)| h.mode == "160000");
    index.submodules.extend(links.map(|(path, _)| path.clone()));
    let of_parts = parts.iter().flat_map(|p| &p.becomes).map(|(path, _)| path);
    let named: BTreeSet<RepoPath> = base
        .iter()
        .map(|e| &e.path)
        .chain(of_parts)
        .filter(|path| !held.contains_key(*path))
        .cloned()
        .collect();
    let mut filter = Filter::new(source, repo, &index, span.tip.id, named, wish.ignored).await?;
    let base: Vec<EntryInfo> = base
        .into_iter()
        .filter(|e| {
            (git_mode(e).is_some() || e.kind == "unknown") && filter.keeps(&e.path, Some(e))
        })
        .collect();
    for part in &mut parts {
        part.becomes
            .retain(|(path, entry)| filter.keeps(path, entry.as_ref()));
    }
    let mut work = Work {
        source,
        span,
        repo,
        index: &index,
        partial: wish.partial,
        base: &base,
    };
    let (start, parent) = work.parent(head.as_deref(), &held).await?;
    let parts = with_changes(parts);
    if parts.is_empty() && parent.becomes.is_empty() {
        return Err(Error::Nothing {
            base: span.base_word(),
            tip: span.tip.id.short(),
        });
    }
    let mut import = Import::start(repo)?;
    if !redact::ready() {
        return Err(Error::Refused(
            "secrets cannot be recognised in this build, so that no messages are written"
                .to_owned(),
        ));
    }
    let mut redactor = Redactor::default();
    let written = work
        .write(&mut import, &parent, &parts, &sessions, &mut redactor)
        .await;
    let commits = match written {
        Ok(commits) => commits,
        Err(e) => return Err(import.abort(e).await),
    };
    let commit = import.finish().await?.ok_or_else(|| Error::Nothing {
        base: span.base_word(),
        tip: span.tip.id.short(),
    })?;
    repo.set_branch(&wish.name, &commit, replaced.as_deref())?;
    Ok(BranchMade {
        branch: wish.name.clone(),
        commit,
        commits,
        per: wish.per,
        start,
        line_ends: parent.unix.len(),
        left_out: filter.left_out(),
        redacted: redactor.counts().values().sum(),
        replaced,
    })
}

/// Refuses a name that cannot be taken; gives the commit that it names already.
fn free(repo: &Repository, wish: &BranchWish) -> Result<Option<String>, Error> {
    let name = &wish.name;
    repo.check_name(name)?;
    if let Some(other) = repo.stands_for(name)? {
        return Err(Error::Refused(format!(
            "{name} is only another name for {other}, which would be moved: choose another name"
        )));
    }
    if let Some(place) = repo.checked_out(name)? {
        return Err(Error::Refused(format!(
            "{name} is the branch that {place} is on, which must not move under it: choose another name"
        )));
    }
    let there = repo.branch(name)?;
    if let (Some(there), false) = (&there, wish.force) {
        return Err(Error::Refused(format!(
            "the repository has a branch {name} already, at {}: choose another name, or --force moves it",
            there.get(..10).unwrap_or(there)
        )));
    }
    Ok(there)
}

async fn rows(source: &dyn Source) -> Result<HashMap<Ordinal, Row>, Error> {
    let mut out = HashMap::new();
    let mut after = None;
    loop {
        let limit = PAGE;
        let page = match source.ask(Request::Rows { after, limit }).await? {
            Response::Rows(page) => page.rows,
            other => return Err(Error::unexpected(&other)),
        };
        let Some(last) = page.last().map(|r| r.ordinal) else {
            return Ok(out);
        };
        after = Some(last);
        out.extend(page.into_iter().map(|r| (r.ordinal, r)));
    }
}

async fn sessions(source: &dyn Source) -> Result<HashMap<SessionId, Session>, Error> {
    match source.ask(Request::Sessions).await? {
        Response::Sessions(all) => Ok(all.into_iter().map(|s| (s.id, s)).collect()),
        other => Err(Error::unexpected(&other)),
    }
}

/// The commits of the line, those together that become one.
fn grouped<'a>(line: &'a [CommitInfo], rows: &'a HashMap<Ordinal, Row>, per: Per) -> Vec<Part<'a>> {
    let prompts = prompts(rows);
    let mut out: Vec<Part<'a>> = Vec::new();
    for commit in line {
        let row = commit.step.and_then(|s| rows.get(&s));
        let key = match (row, per) {
            _ if commit.cause == Cause::Merge => Key::Alone(commit.id),
            (Some(row), Per::Step) => Key::Step(row.ordinal),
            (Some(row), Per::Turn) => match (row.session, row.kind) {
                (Some(session), _) => Key::Turn(session, row.turn),
                (None, StepKind::Outside | StepKind::Fs) => Key::Outside,
                _ => Key::Alone(commit.id),
            },
            (None, _) => Key::Alone(commit.id),
        };
        let part = match out.last_mut() {
            Some(last) if last.key == key => last,
            _ => {
                out.push(Part {
                    commits: Vec::new(),
                    rows: Vec::new(),
                    key,
                    prompt: prompts.get(&key).copied(),
                    becomes: Vec::new(),
                    notes: Vec::new(),
                });
                match out.last_mut() {
                    Some(new) => new,
                    None => continue,
                }
            }
        };
        part.commits.push(commit);
        if let Some(row) = row
            && part.rows.last().is_none_or(|r| r.ordinal != row.ordinal)
        {
            part.rows.push(row);
        }
    }
    out
}

/// The parts that change something; what a person said at a checkpoint that changed nothing goes to the one before.
fn with_changes(parts: Vec<Part<'_>>) -> Vec<Part<'_>> {
    let mut out: Vec<Part<'_>> = Vec::new();
    for part in parts {
        if !part.becomes.is_empty() {
            out.push(part);
            continue;
        }
        let said = part.commits.iter().filter(|c| c.cause == Cause::Manual);
        let said = said.map(|c| first_line(&c.message, 200));
        if let Some(before) = out.last_mut() {
            before.notes.extend(said.filter(|s| !s.is_empty()));
        }
    }
    out
}

/// The prompts that turns began with.
fn prompts(rows: &HashMap<Ordinal, Row>) -> HashMap<Key, &Row> {
    let mut out: HashMap<Key, &Row> = HashMap::new();
    for row in rows.values().filter(|r| r.kind == StepKind::Prompt) {
        let Some(session) = row.session else {
            continue;
        };
        let first = out.entry(Key::Turn(session, row.turn)).or_insert(row);
        if row.ordinal < first.ordinal {
            *first = row;
        }
    }
    out
}

struct Work<'a> {
    source: &'a dyn Source,
    span: &'a Span,
    repo: &'a Repository,
    index: &'a Index,
    partial: bool,
    base: &'a [EntryInfo],
}

impl Work<'_> {
    /// Where the branch is to begin: HEAD, unless the commit that HEAD was at then fits better.
    async fn parent(
        &mut self,
        head: Option<&str>,
        held: &BTreeMap<RepoPath, Held>,
    ) -> Result<(Start, Parent), Error> {
        let Some(head) = head else {
            let becomes: Becomes = self
                .base
                .iter()
                .filter(|e| e.kind != "unknown")
                .map(|e| (e.path.clone(), Some(e.clone())))
                .collect();
            let start = Start::Orphan {
                files: becomes.len(),
            };
            let parent = Parent {
                commit: String::new(),
                becomes,
                unix: BTreeSet::new(),
            };
            return Ok((start, parent));
        };
        let mut best = self.against(head, held).await?;
        let mut is_head = true;
        if !best.becomes.is_empty()
            && let Some(base) = &self.span.base
            && let Some(then) = self.repo.before(base.time)?
            && then != head
        {
            let of_then = self.against(&then, &self.repo.files(&then)?).await?;
            if of_then.becomes.len() < best.becomes.len() {
                best = of_then;
                is_head = false;
            }
        }
        let parent = best.commit.clone();
        let removed = best.becomes.iter().filter(|(_, e)| e.is_none()).count();
        let start = match best.becomes.len() {
            0 => Start::Fits {
                parent,
                head: is_head,
            },
            all => Start::Difference {
                parent,
                head: is_head,
                changed: all - removed,
                removed,
            },
        };
        Ok((start, best))
    }

    /// What has to be done to the files of a commit to make them those of the base.
    async fn against(
        &self,
        commit: &str,
        held: &BTreeMap<RepoPath, Held>,
    ) -> Result<Parent, Error> {
        let at = self.span.base.as_ref().map(|b| b.id);
        let source = self.source;
        let mut becomes = Vec::new();
        let mut unix = BTreeSet::new();
        let mut to_compare = Vec::new();
        let mut here = BTreeSet::new();
        for entry in self.base {
            here.insert(&entry.path);
            if entry.kind == "unknown" {
                continue;
            }
            match held.get(&entry.path) {
                Some(held) if Some(held.mode.as_str()) == git_mode(entry) => {
                    to_compare.push((entry, held));
                }
                _ => becomes.push((entry.path.clone(), Some(entry.clone()))),
            }
        }
        let mut compared = futures_util::stream::iter(to_compare)
            .map(|(entry, held)| async move {
                let bytes = content(source, Some(entry), at, u64::MAX).await?;
                let bytes = bytes.unwrap_or_default();
                let same = hex(&bytes) == held.id;
                let carriage = !same
                    && memchr::memmem::find(&bytes, b"\r\n").is_some()
                    && hex(&line_feeds(&bytes)) == held.id;
                Ok::<_, Error>((entry, same, carriage))
            })
            .buffer_unordered(AT_ONCE);
        while let Some(found) = compared.next().await {
            let (entry, same, carriage) = found?;
            if carriage {
                unix.insert(entry.path.clone());
            } else if !same {
                becomes.push((entry.path.clone(), Some(entry.clone())));
            }
        }
        drop(compared);
        if !self.partial {
            let gone = held.iter().filter(|(path, h)| {
                h.mode != "160000" && !here.contains(path) && !self.index.absent.contains(*path)
            });
            becomes.extend(gone.map(|(path, _)| (path.clone(), None)));
        }
        becomes.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Parent {
            commit: commit.to_owned(),
            becomes,
            unix,
        })
    }

    /// Writes every commit; gives how many.
    async fn write(
        &self,
        import: &mut Import,
        parent: &Parent,
        parts: &[Part<'_>],
        sessions: &HashMap<SessionId, Session>,
        redactor: &mut Redactor,
    ) -> Result<usize, Error> {
        let committer = self.repo.identity();
        let from = Some(parent.commit.as_str()).filter(|p| !p.is_empty());
        let mut commits = 0;
        if let Some(base) = self
            .span
            .base
            .as_ref()
            .filter(|_| !parent.becomes.is_empty())
        {
            let list = self
                .changes(import, &parent.becomes, base.id, &parent.unix)
                .await?;
            let story = Story {
                subject: Some(format!("The files as they were at {}", base.id.short())),
                commit: Some(base.id),
                ..Story::default()
            };
            let facts = Facts {
                author: &committer,
                committer: &committer,
                time: base.time,
                message: &message::message(self.source, &story, redactor).await?,
            };
            import.commit(&facts, from, &list).await?;
            commits += 1;
        }
        for part in parts {
            let Some(last) = part.commits.last() else {
                continue;
            };
            let list = self
                .changes(import, &part.becomes, last.id, &parent.unix)
                .await?;
            let session = part.rows.iter().find_map(|r| sessions.get(&r.session?));
            let story = Story {
                subject: subject(part),
                prompt: part.prompt,
                session,
                steps: part.rows.clone(),
                notes: &part.notes,
                commit: Some(last.id),
            };
            let author = session.map_or(&last.author, |s| &s.agent);
            let facts = Facts {
                author: &person(author),
                committer: &committer,
                time: last.time,
                message: &message::message(self.source, &story, redactor).await?,
            };
            import.commit(&facts, from, &list).await?;
            commits += 1;
        }
        Ok(commits)
    }

    /// What becomes of paths, with the contents given to git.
    async fn changes(
        &self,
        import: &mut Import,
        becomes: &Becomes,
        at: CommitId,
        unix: &BTreeSet<RepoPath>,
    ) -> Result<Vec<Change>, Error> {
        let mut out = Vec::with_capacity(becomes.len());
        for (path, entry) in becomes {
            let full = self.repo.full(path);
            match entry.as_ref().and_then(|e| Some((e, git_mode(e)?))) {
                Some((entry, mode)) => {
                    let unix = entry.kind == "file" && unix.contains(path);
                    let mark = import.content(self.source, entry, at, unix).await?;
                    out.push(Change::Now(full, mode, mark));
                }
                None => out.push(Change::Gone(full)),
            }
        }
        Ok(out)
    }
}

/// The subject of what is no step and no turn of an agent.
fn subject(part: &Part<'_>) -> Option<String> {
    match part.key {
        Key::Alone(_) => part
            .commits
            .iter()
            .map(|c| first_line(&c.message, 72))
            .find(|m| !m.is_empty()),
        Key::Outside if part.rows.len() > 1 => Some(format!(
            "{} changes outside of any session",
            part.rows.len()
        )),
        _ => None,
    }
}
