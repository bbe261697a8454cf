//! Steps that fit a query, slice by slice.
//!
//! A slice ends when its time is over or it has its hits; nothing is kept between slices, so a search that nobody asks to
//! go on is over. No lock is held while something is read. What a step's row knows is asked first; texts are read only
//! when the query asks for them and nothing else has decided, and contents of changes last: the lines that were added or
//! removed, of files up to a size.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::debug::history::{Home, Homes, Texts, Which};
use crate::debug::query::{
    EachText, Facts, How, Key, Pattern, Place, Plain, Query, Value, Verdict,
};
use crate::debug::rev;
use crate::diff::{text, tree};
use crate::model::{BlobId, Cause, Link, Session, SessionId, Step, StepKind};
use crate::store;

use super::answer::{Answers, Names};
use super::api::search::{tokens, took};
use super::api::{ApiError, ErrorCode, Found, Hit, Search};
use super::core::Failure;

/// Steps that are taken from the index at a time.
const PAGE: usize = 256;
/// Most hits of one answer.
const HITS: usize = 5_000;
/// Most steps that can be asked for by their numbers.
const ONLY: usize = 1_000;
/// Longest slice.
const BUDGET: Duration = Duration::from_secs(2);
/// Longest text of a step that is looked into, in bytes.
const TEXT: u64 = 64 << 20;
/// Largest file whose changes are looked into, in bytes.
const FILE: u64 = 1 << 20;

/// The query in words, or what is wrong with it, with the place.
pub(super) fn query(text: &str) -> Result<Query, ApiError> {
    text.parse::<Query>().map_err(|e| {
        ApiError::new(
            ErrorCode::Refused,
            format!("the query cannot be read:\n{}", e.pointed(text)),
        )
    })
}

impl Answers<'_> {
    /// One slice of a search.
    pub fn search(&self, ask: &Search) -> Result<Found, Failure> {
        let query = query(&ask.query)?;
        let until = Instant::now() + Duration::from_millis(ask.budget_ms).min(BUDGET);
        let mut result = Ok(Found::default());
        self.history.with_texts(&mut |texts| {
            result = Searching::new(self, &query, ask, until, texts).and_then(Searching::run);
        });
        result
    }
}

/// One slice.
struct Searching<'a> {
    answers: &'a Answers<'a>,
    query: &'a Query,
    ask: &'a Search,
    until: Instant,
    texts: &'a mut dyn Texts,
    names: Arc<Names>,
    labels: bool,
    directory: Option<String>,
    homes: Homes,
    sessions: HashMap<SessionId, Session>,
    /// The branch of each place where steps are made, as of the last one that was looked at.
    branches: HashMap<Home, String>,
    patterns: Vec<Pattern>,
    /// Contents in which nothing was found.
    barren: HashSet<BlobId>,
    passed_over: u64,
}

impl<'a> Searching<'a> {
    fn new(
        answers: &'a Answers<'a>,
        query: &'a Query,
        ask: &'a Search,
        until: Instant,
        texts: &'a mut dyn Texts,
    ) -> Result<Self, Failure> {
        let sessions = answers.history.sessions()?;
        let names = answers.names()?;
        Ok(Self {
            labels: names.has_labels(),
            names,
            directory: answers.history.directory(),
            homes: Homes::of(answers.store)?,
            sessions: sessions.into_iter().map(|s| (s.id, s)).collect(),
            branches: HashMap::new(),
            patterns: query
                .terms
                .iter()
                .filter(|t| t.key == Key::Text)
                .flat_map(|t| t.values.iter().filter_map(Value::pattern).cloned())
                .collect(),
            barren: HashSet::new(),
            passed_over: 0,
            answers,
            query,
            ask,
            until,
            texts,
        })
    }

    fn run(mut self) -> Result<Found, Failure> {
        let mut found = Found::default();
        if let Some(only) = &self.ask.only {
            for ordinal in only.iter().take(ONLY) {
                found.looked += 1;
                if let Some(step) = self.answers.history.step_by_ordinal(*ordinal)? {
                    found.hits.extend(self.hit(&step)?);
                }
            }
            found.passed_over = self.passed_over;
            return Ok(found);
        }
        let limit = self.ask.limit.clamp(1, HITS);
        let mut at = self.ask.after;
        loop {
            let history = self.answers.history;
            let page = if self.ask.backward {
                history.steps_before(at, PAGE)?
            } else {
                history.steps_after(at, PAGE)?
            };
            for step in &page {
                at = Some(step.ordinal);
                found.looked += 1;
                found.hits.extend(self.hit(step)?);
                if found.hits.len() >= limit || Instant::now() >= self.until {
                    found.next = at;
                    found.passed_over = self.passed_over;
                    return Ok(found);
                }
            }
            if page.is_empty() {
                found.passed_over = self.passed_over;
                return Ok(found);
            }
        }
    }

    /// The step as a hit, if it fits.
    fn hit(&mut self, step: &Step) -> Result<Option<Hit>, Failure> {
        // A step made for changes that were tied to their call since then is no row.
        if step.kind == StepKind::Fs && self.answers.store.links_of_step(step.id)?.is_empty() {
            return Ok(None);
        }
        let mut hit = Hit::new(step.id, step.ordinal);
        let query = self.query;
        let mut looked = Looked {
            search: self,
            step,
            changed: None,
        };
        if query.test(&mut looked, &mut |m| hit.note(&m))? != Verdict::Yes {
            return Ok(None);
        }
        if self.ask.rows {
            hit.row = Some(Box::new(self.answers.lone_row(step, &self.names)?));
        }
        Ok(Some(hit))
    }
}

/// A step that is being looked at.
struct Looked<'s, 'a> {
    search: &'s mut Searching<'a>,
    step: &'s Step,
    /// What it changed, once that was asked for.
    changed: Option<Vec<tree::PathChange>>,
}

impl Looked<'_, '_> {
    fn links(&self) -> Result<Vec<Link>, store::Error> {
        self.search.answers.store.links_of_step(self.step.id)
    }

    /// The paths that its commits changed together.
    fn changed(&mut self) -> Result<&[tree::PathChange], Failure> {
        if self.changed.is_none() {
            self.changed = Some(self.changes()?);
        }
        Ok(self.changed.as_deref().unwrap_or_default())
    }

    fn changes(&self) -> Result<Vec<tree::PathChange>, Failure> {
        let store = self.search.answers.store;
        let links = self.links()?;
        let (Some(first), Some(last)) = (links.first(), links.last()) else {
            return Ok(Vec::new());
        };
        let ends = (
            there(store.commit(first.commit))?,
            there(store.commit(last.commit))?,
        );
        let (Some(first), Some(last)) = ends else {
            return Ok(Vec::new());
        };
        let before = match first.parents.first() {
            Some(parent) => match there(store.commit(*parent))? {
                Some(parent) => parent.tree,
                None => return Ok(Vec::new()),
            },
            // A first state is a beginning, not thousands of new files.
            None if first.cause == Cause::Initial => return Ok(Vec::new()),
            None => store.empty_tree(),
        };
        let mut changes = match tree::trees(store, before, last.tree, &[]) {
            Err(tree::Error::Store(e)) => there(Err(e))?.unwrap_or_default(),
            other => other?,
        };
        changes.retain(tree::PathChange::has_leaf);
        Ok(changes)
    }

    fn session(&self) -> Option<&Session> {
        self.search.sessions.get(&self.step.session?)
    }

    /// Lines that the step added or removed.
    fn lines(&mut self, each: &mut EachText<'_>) -> Result<(), Failure> {
        self.changed()?;
        for change in self.changed.iter().flatten() {
            let blob = |e: &Option<crate::model::Entry>| e.as_ref().and_then(|e| e.kind.blob());
            let (before, after) = (blob(&change.before), blob(&change.after));
            if before == after {
                continue;
            }
            let Some(before) = self.search.content(before)? else {
                continue;
            };
            let Some(after) = self.search.content(after)? else {
                continue;
            };
            if !before.1 && !after.1 {
                continue;
            }
            let path = change.path.as_bytes();
            if !changed_lines(&before.0, &after.0, &mut |line| {
                each(Place::Change, Some(path), line)
            }) {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Searching<'_> {
    /// A content, and whether something that is searched for is in it; empty for none, `None` for one that is passed over.
    fn content(&mut self, id: Option<BlobId>) -> Result<Option<(Vec<u8>, bool)>, Failure> {
        let Some(id) = id else {
            return Ok(Some((Vec::new(), false)));
        };
        let store = self.answers.store;
        let Some(len) = there(store.blob_len(id))? else {
            return Ok(None);
        };
        if len > FILE {
            self.passed_over += 1;
            return Ok(None);
        }
        let Some(bytes) = there(store.blob(id))? else {
            return Ok(None);
        };
        if text::is_binary(&bytes) {
            return Ok(None);
        }
        let found = !self.barren.contains(&id)
            && self.patterns.iter().any(|p| anchored(p) || p.is_in(&bytes));
        if !found {
            self.barren.insert(id);
        }
        Ok(Some((bytes, found)))
    }
}

/// What is not in the store any more, or damaged, cannot be searched; everything else can.
fn there<T>(read: store::Result<T>) -> store::Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(
            store::Error::Gone { .. }
            | store::Error::NotFound { .. }
            | store::Error::Damaged { .. },
        ) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether a pattern may fit a line and not the text that the line is in.
fn anchored(pattern: &Pattern) -> bool {
    let source = pattern.source();
    pattern.how() == How::Regex && (source.contains("\\A") || source.contains("\\z"))
}

/// The lines that are on one side only. `false` when `each` wants no more.
fn changed_lines(before: &[u8], after: &[u8], each: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    let (old, new) = (text::lines(before), text::lines(after));
    let runs = text::equal_runs(&old, &new);
    let (mut i, mut j) = (0, 0);
    let ends = [(old.len(), new.len(), 0)];
    for (a, b, len) in runs.into_iter().chain(ends) {
        for line in new[j..b].iter().chain(&old[i..a]) {
            if !each(line.strip_suffix(b"\n").unwrap_or(line)) {
                return false;
            }
        }
        (i, j) = (a + len, b + len);
    }
    true
}

impl Facts for Looked<'_, '_> {
    type Error = Failure;

    fn plain(&self) -> Plain<'_> {
        let step = self.step;
        Plain {
            ordinal: step.ordinal,
            kind: step.kind,
            call: step.call,
            tool: &step.tool,
            title: &step.title,
            status: step.status,
            exit: step.exit_code,
            turn: step.turn,
            thread: step.talk.thread,
            dead: step.talk.dead,
            took: step.end.map(|end| took(step.time, end)),
            tokens: step.talk.tokens.as_ref().map(tokens),
            in_session: step.session.is_some(),
        }
    }

    fn effect(&mut self) -> Result<Option<(u64, u64)>, Failure> {
        let (mut files, mut lines) = (0, 0);
        for link in self.links()? {
            if let Some(stats) = self.search.answers.store.stats(link.commit)? {
                files = files.max(u64::from(stats.files));
                lines += u64::from(stats.added) + u64::from(stats.removed);
            }
        }
        Ok(Some((files, lines)))
    }

    fn labels(&mut self, each: &mut dyn FnMut(&str)) -> Result<bool, Failure> {
        if !self.search.labels {
            return Ok(true);
        }
        let links = self.links()?;
        let names = &self.search.names;
        for label in names.labels(self.step.id, links.iter().map(|l| l.commit)) {
            each(&label);
        }
        Ok(true)
    }

    fn session(&mut self, each: &mut dyn FnMut(&str)) -> Result<bool, Failure> {
        if let Some(id) = self.step.session {
            if let Some(session) = Looked::session(self) {
                for name in [&session.agent, &session.native] {
                    if !name.is_empty() {
                        each(name);
                    }
                }
            }
            each(&id.to_hex());
        }
        Ok(true)
    }

    fn branch(&mut self, each: &mut dyn FnMut(&str)) -> Result<bool, Failure> {
        let answers = self.search.answers;
        let home = self.search.homes.home_of(answers.store, self.step)?;
        if let Home::Fork(branch) = &home {
            each(branch);
            return Ok(true);
        }
        let own = self.links()?.last().map(|l| l.commit);
        // What a step without a commit is on is where the one before it was.
        let known = self
            .search
            .branches
            .get(&home)
            .filter(|_| !self.search.ask.backward);
        let branch =
            match (own, known) {
                (None, Some(known)) => Some(known.clone()),
                (own, _) => {
                    let state = match own {
                        Some(own) => Some(own),
                        None => rev::state_at(answers.store, answers.history, self.step)?,
                    };
                    match state {
                        Some(id) => {
                            let commit = answers.store.commit(id)?;
                            let named = commit.meta.get("branch");
                            Some(named.map_or_else(
                                || self.search.names.branch().to_owned(),
                                Clone::clone,
                            ))
                        }
                        None => None,
                    }
                }
            };
        if let Some(branch) = branch {
            each(&branch);
            self.search.branches.insert(home, branch);
        }
        Ok(true)
    }

    fn paths(&mut self, each: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool, Failure> {
        // Recordings name files by where they lay; what lies in the agent's directory is named from there.
        let directory = self.search.directory.as_deref();
        for path in &self.step.paths {
            let inside = directory
                .and_then(|d| path.strip_prefix(d.trim_end_matches('/')))
                .and_then(|p| p.strip_prefix('/'));
            if !each(inside.unwrap_or(path).as_bytes()) {
                return Ok(true);
            }
        }
        for change in self.changed()? {
            if !each(change.path.as_bytes()) {
                break;
            }
        }
        Ok(true)
    }

    fn texts(&mut self, each: &mut EachText<'_>) -> Result<bool, Failure> {
        let place = Place::of_kind(self.step.kind);
        let body = there(self.search.texts.text(self.step, Which::Body, TEXT))?;
        if let Some(body) = body.flatten() {
            let go_on = if self.step.kind == StepKind::Call {
                super::arguments::strings(&body, &mut |text| each(place, None, text.as_bytes()))
            } else {
                each(place, None, &body)
            };
            if !go_on {
                return Ok(true);
            }
        }
        let output = there(self.search.texts.text(self.step, Which::Output, TEXT))?;
        if let Some(output) = output.flatten()
            && !each(Place::Output, None, &output)
        {
            return Ok(true);
        }
        self.lines(each)?;
        Ok(true)
    }
}
