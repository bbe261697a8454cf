//! A recording as something to ask: the same questions as to an engine, answered from the trace alone.
//!
//! Steps come from the recording's index, commits from a store that is made of what the trace says about files and lies in
//! the user's cache. Nothing here writes to a project or to the recording. Questions about steps are answered while the
//! file is still being read; questions about states wait until they are rebuilt.

mod follow;
mod history;
mod past;
mod place;
mod source;
mod summary;
mod terminal;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::debug::rev;
use crate::model::{CommitId, Ordinal, Session, StepId, Time};
use crate::store::Store;
use crate::trace::format::Format;
use crate::trace::recording::{self, Recording};

use super::answer::{Answers, NamesKept};
use super::api::{
    ApiError, EffectInfo, EngineStatus, ErrorCode, Found, Notice, RawRecord, RecordingSummary,
    Request, Response, ScanStatus, Search,
};
use super::core::Failure;
use super::replay::{self, Replay};
use super::search::query;
use super::stats;
pub(super) use place::place_of;
pub use source::Opened;
pub use summary::summary_of;

use follow::follow_on;
use place::{Place, Ready};
use summary::name_of;

/// How many notices a slow client may be behind before it is told to ask again.
const BACKLOG: usize = 8_192;
/// How often subscribers hear how far reading is.
const NEWS: Duration = Duration::from_millis(100);
/// How long a question about rows waits for the first ones.
const FIRST: Duration = Duration::from_millis(150);
/// How often a recording that may grow is looked at.
const POLL: Duration = Duration::from_millis(60);
/// How long whoever leaves waits for the reading thread to let go of a temporary directory.
const LEAVE: Duration = Duration::from_millis(500);

/// How a recording is to be opened.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where derived things are kept; nowhere (a temporary directory) when absent.
    pub cache: Option<PathBuf>,
    /// Look for what is appended, until the source is dropped.
    pub follow: bool,
    /// What the files were at the start: a directory, or a revision of the repository that the recording is of.
    pub base: Option<String>,
    /// The repository to look into instead of the session's working directory.
    pub repository: Option<PathBuf>,
}

/// How far it is.
#[derive(Debug, Default)]
struct Stage {
    indexed: bool,
    rebuilt: bool,
    /// Lines are counted, and all of it is kept in the cache.
    whole: bool,
    failed: Option<ApiError>,
}

/// What was rebuilt.
#[derive(Debug, Default, Serialize, Deserialize)]
struct States {
    /// The state after the step of that number, where it made one.
    by_step: BTreeMap<Ordinal, CommitId>,
    /// The state before the step of that number, where it is another one than the number says.
    #[serde(default)]
    before: BTreeMap<Ordinal, CommitId>,
    effects: Vec<EffectInfo>,
    /// What could not be done, in words.
    problems: Vec<String>,
    /// The newest commit: a store without it is not theirs.
    #[serde(default)]
    head: Option<CommitId>,
    /// What the start contents came from.
    #[serde(default)]
    base: replay::Chosen,
}

/// An opened recording.
pub struct Recorded {
    recording: RwLock<Arc<Recording>>,
    store: RwLock<Arc<Store>>,
    states: RwLock<States>,
    replay: Mutex<Option<Replay>>,
    stage: Mutex<Stage>,
    news: Condvar,
    notices: broadcast::Sender<Notice>,
    options: Options,
    since: Time,
    /// Nobody wants to know any more.
    closing: AtomicBool,
    /// Its states as directories, once somebody asked for them.
    past: Mutex<Option<past::Seat>>,
    /// What was read of the refs.
    names: NamesKept,
    /// Directories that go with it: that of the store, and before it that of an earlier one which somebody may still read.
    scratch: Mutex<Vec<tempfile::TempDir>>,
}

impl Recorded {
    /// Opens a recording and begins to read it on a thread of its own.
    pub fn open(
        path: &Path,
        format: &'static dyn Format,
        options: Options,
    ) -> Result<Arc<Self>, ApiError> {
        let recording = Recording::open(path, format).map_err(failed)?;
        // What is named by hand is not in what was kept, and does not belong there.
        let by_hand = options.base.is_some() || options.repository.is_some();
        let cache = options.cache.as_deref().filter(|_| !by_hand);
        let mut place = Place::of(path, cache);
        let ready = place.open(&recording)?;
        Self::begin(recording, ready, options, place)
    }

    /// The end of opening: everything is there but the reading.
    fn begin(
        recording: Recording,
        ready: Ready,
        options: Options,
        place: Place,
    ) -> Result<Arc<Self>, ApiError> {
        let (notices, _) = broadcast::channel(BACKLOG);
        let recorded = Arc::new(Self {
            recording: RwLock::new(Arc::new(recording)),
            store: RwLock::new(Arc::new(ready.store)),
            states: RwLock::new(ready.states.unwrap_or_default()),
            replay: Mutex::default(),
            stage: Mutex::default(),
            news: Condvar::new(),
            notices,
            options,
            since: Time::now(),
            closing: AtomicBool::new(false),
            past: Mutex::default(),
            names: NamesKept::default(),
            scratch: Mutex::new(ready.scratch.into_iter().collect()),
        });
        let weak = Arc::downgrade(&recorded);
        std::thread::Builder::new()
            .name("recording".to_owned())
            .spawn(move || {
                let Some(recorded) = weak.upgrade() else {
                    return;
                };
                // Whatever happens here, nobody must wait for it for ever.
                let read = catch_unwind(AssertUnwindSafe(|| recorded.read(&place)));
                if let Err(e) = read.unwrap_or_else(|_| Err(broken())) {
                    recorded.stage().failed = Some(e);
                }
                {
                    let mut stage = recorded.stage();
                    stage.indexed = true;
                    stage.rebuilt = true;
                    stage.whole = true;
                }
                recorded.news.notify_all();
                recorded.tell_all();
                let follow = recorded.options.follow;
                drop(recorded);
                if follow {
                    follow_on(&weak);
                }
            })
            .map_err(|e| {
                ApiError::new(
                    ErrorCode::Failed,
                    format!("no thread can be started to read the recording: {e}"),
                )
            })?;
        Ok(recorded)
    }

    /// Reads the whole of it and rebuilds its states.
    fn read(&self, place: &Place) -> Result<(), ApiError> {
        let recording = self.recording();
        if !recording.progress().cached {
            let said = Mutex::new(Instant::now());
            let watcher = |_: &[u32]| {
                self.news.notify_all();
                let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                if said.elapsed() >= NEWS {
                    *said = Instant::now();
                    self.tell_status();
                }
            };
            recording
                .read_all(!self.options.follow, &watcher)
                .map_err(failed)?;
        }
        self.stage().indexed = true;
        self.news.notify_all();
        self.tell_all();
        if recording.progress().cached {
            return Ok(());
        }
        self.rebuild()?;
        // What a search found that ran out of time is not what the next one finds.
        if recording.is_whole() && !self.states().base.hasty {
            place.keep(&recording, &self.states());
        }
        Ok(())
    }

    /// Makes the file states.
    fn rebuild(&self) -> Result<(), ApiError> {
        let recording = self.recording();
        let store = self.store();
        let (replay, made, chosen) = self.replayed(&store, &recording)?;
        let commits = made.commits.clone();
        {
            let mut states = self.states_mut();
            states.base = chosen;
            states.head = rev::head(&store).map_err(Failure::from)?;
        }
        self.keep_made(made);
        *self.replay.lock().unwrap_or_else(PoisonError::into_inner) = Some(replay);
        self.stage().rebuilt = true;
        self.news.notify_all();
        self.tell_all();
        self.count(&commits);
        store.flush_index().map_err(Failure::from)?;
        Ok(())
    }

    /// The states of a recording that was read, made in `store`.
    fn replayed(
        &self,
        store: &Arc<Store>,
        recording: &Recording,
    ) -> Result<(Replay, replay::Made, replay::Chosen), ApiError> {
        if self.is_closing() {
            return Err(ApiError::new(ErrorCode::Gone, "the recording is closed"));
        }
        let words = |e: replay::Error| ApiError::new(ErrorCode::Failed, e.to_string());
        let (base, chosen) = replay::base_of(
            store,
            recording,
            self.options.base.as_deref(),
            self.options.repository.as_deref(),
        )
        .map_err(words)?;
        let mut replay = Replay::new(Arc::clone(store), recording, base);
        replay.take(recording).map_err(words)?;
        let made = replay.settle(recording).map_err(words)?;
        Ok((replay, made, chosen))
    }

    /// Where the states are.
    pub(super) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Nobody will ask any more: nothing stays behind in the directory for temporary files, also when the process ends
    /// before its reading thread does.
    pub fn leave(&self) {
        self.closing.store(true, Ordering::Relaxed);
        drop(
            self.past
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        if scratch.is_empty() {
            return;
        }
        let until = Instant::now() + LEAVE;
        let mut stage = self.stage();
        // While it only reads, it writes nothing there.
        while stage.indexed && !stage.whole && Instant::now() < until {
            stage = self
                .news
                .wait_timeout(stage, Duration::from_millis(5))
                .map_or_else(|e| e.into_inner().0, |(stage, _)| stage);
        }
        drop(stage);
        for dir in scratch.drain(..) {
            let path = dir.path().to_owned();
            drop(dir);
            // Something may have been written while it was being emptied.
            let _ = std::fs::remove_dir_all(path);
        }
    }

    fn keep_made(&self, made: replay::Made) {
        let mut states = self.states_mut();
        states.by_step.extend(made.by_step);
        states.before.extend(made.before);
        states.effects.extend(made.effects);
    }

    /// Counts the lines of new commits, for the rows.
    fn count(&self, commits: &[CommitId]) {
        let store = self.store();
        for id in commits {
            if self.is_closing() {
                return;
            }
            let counted = stats::count(&store, *id)
                .map_err(|e| e.to_string())
                .and_then(|s| store.put_stats(*id, &s).map_err(|e| e.to_string()));
            if let Err(e) = counted {
                tracing::warn!("{id} could not be counted: {e}");
            }
        }
    }

    fn states_mut(&self) -> std::sync::RwLockWriteGuard<'_, States> {
        self.states.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The recording as it is now.
    pub fn recording(&self) -> Arc<Recording> {
        Arc::clone(
            &self
                .recording
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn states(&self) -> std::sync::RwLockReadGuard<'_, States> {
        self.states.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, notice: Notice) {
        // Nobody listening is no failure.
        let _ = self.notices.send(notice);
    }

    fn tell_status(&self) {
        if let Ok(status) = self.status() {
            self.tell(Notice::Status(Box::new(status)));
        }
    }

    /// Everything may be different: ask again.
    fn tell_all(&self) {
        self.tell_status();
        self.tell(Notice::Lagged { missed: 1 });
    }

    /// Waits until the first rows are there, the index is whole, or some time has passed.
    fn wait_first(&self) {
        let recording = self.recording();
        let until = Instant::now() + FIRST;
        let mut stage = self.stage();
        while !stage.indexed && recording.with(|i| i.entries.is_empty()) && Instant::now() < until {
            stage = self
                .news
                .wait_timeout(stage, Duration::from_millis(5))
                .map_or_else(|e| e.into_inner().0, |(stage, _)| stage);
        }
    }

    /// Waits until the states are rebuilt, and says what failed if something did.
    pub fn wait(&self) -> Result<(), ApiError> {
        self.wait_until(|stage| stage.rebuilt)
    }

    /// Waits until there is nothing left to do: lines are counted, and what was made is kept.
    pub fn wait_whole(&self) -> Result<(), ApiError> {
        self.wait_until(|stage| stage.whole)
    }

    fn wait_until(&self, there: impl Fn(&Stage) -> bool) -> Result<(), ApiError> {
        let mut stage = self.stage();
        while !there(&stage) {
            stage = self
                .news
                .wait_timeout(stage, Duration::from_millis(50))
                .map_or_else(|e| e.into_inner().0, |(stage, _)| stage);
        }
        stage.failed.clone().map_or(Ok(()), Err)
    }

    fn answers<'a>(&'a self, store: &'a Store) -> Answers<'a> {
        Answers {
            store,
            history: self,
            names: &self.names,
        }
    }

    fn status(&self) -> Result<EngineStatus, ApiError> {
        let recording = self.recording();
        let progress = recording.progress();
        let (steps, last, name) = recording.with(|index| {
            (
                index.entries.len() as u64,
                index.last(),
                name_of(index, recording.path()),
            )
        });
        let store = self.store();
        let head = rev::head(&store).map_err(Failure::from)?;
        let last_made = self.states().by_step.last_key_value().map(|(o, _)| *o);
        // The state at the start is no step's.
        let workspace = last_made.filter(|o| *o != replay::FIRST);
        let mut warnings = self.states().problems.clone();
        if let Some(e) = &self.stage().failed {
            warnings.push(e.message.clone());
        }
        for (what, count) in recording.unknown().iter().take(5) {
            warnings.push(format!("{count} records not understood: {what}"));
        }
        Ok(EngineStatus {
            project: recording.path().to_string_lossy().into_owned(),
            name,
            pid: 0,
            live: None,
            capture: "recording".to_owned(),
            since: self.since,
            branch: rev::branch(&store).map_err(Failure::from)?,
            head,
            workspace,
            dirty: 0,
            scan: ScanStatus {
                files: (progress.read * 100)
                    .checked_div(progress.of)
                    .unwrap_or(100)
                    .min(100),
                done: progress.done,
            },
            steps,
            last,
            commits: store.commit_count().map_err(Failure::from)?,
            sessions: Vec::new(),
            forks: Vec::new(),
            overlaps: Vec::new(),
            merging: None,
            warnings,
        })
    }

    /// The sessions in it.
    pub(super) fn sessions(&self) -> Vec<Session> {
        self.recording().with(|index| {
            let mut times = vec![(i64::MAX, i64::MIN); index.sessions.len()];
            for entry in &index.entries {
                if let Some((first, last)) = times.get_mut(usize::from(entry.session))
                    && entry.time != crate::trace::index::NO_TIME
                {
                    *first = (*first).min(entry.time);
                    *last = (*last).max(entry.time);
                }
            }
            index
                .sessions
                .iter()
                .zip(times)
                .enumerate()
                .map(|(n, (facts, (first, last)))| {
                    let n = u16::try_from(n).unwrap_or(u16::MAX);
                    let told = (first <= last).then_some((Time(first), Time(last)));
                    let start = facts.start.or(told.map(|(first, _)| first));
                    let start = start.unwrap_or_default();
                    Session {
                        id: index.session_id(n),
                        native: facts.id.clone(),
                        agent: [&facts.agent, &index.format]
                            .into_iter()
                            .find(|a| !a.is_empty())
                            .cloned()
                            .unwrap_or_default(),
                        command: [&facts.title, &facts.cwd]
                            .into_iter()
                            .find(|a| !a.is_empty())
                            .cloned()
                            .unwrap_or_default(),
                        cgroup: String::new(),
                        start,
                        // What is in a file does not run, whether it tells when it ended or not.
                        end: Some(told.map_or(start, |(_, last)| last)),
                        exit_code: None,
                        imported: false,
                        branch: None,
                    }
                })
                .collect()
        })
    }

    /// What is in it, for lists.
    #[must_use]
    pub fn summary(&self) -> RecordingSummary {
        self.recording().with(summary_of)
    }

    fn raw(&self, id: StepId) -> Result<Vec<RawRecord>, ApiError> {
        let recording = self.recording();
        let at = recording.find(id).ok_or_else(|| no_step(id))?;
        let spans = recording.with(|index| {
            let mut spans = Vec::new();
            if let Some(entry) = index.get(at) {
                for spot in [entry.body, entry.output].into_iter().flatten() {
                    if !spans.contains(&spot.span) {
                        spans.push(spot.span);
                    }
                }
            }
            spans
        });
        spans
            .into_iter()
            .map(|span| {
                Ok(RawRecord {
                    source: recording.with(|index| index.source(span)),
                    bytes: recording.record(span).map_err(failed)?,
                })
            })
            .collect()
    }

    /// A slice of a search. While what it asks about is still being read, nothing is found yet: nobody waits for long.
    fn search(&self, ask: &Search) -> Result<Found, ApiError> {
        let states = query(&ask.query)?.needs_states();
        let until = Instant::now() + Duration::from_millis(ask.budget_ms);
        let mut stage = self.stage();
        while !(stage.rebuilt || (stage.indexed && !states)) {
            if Instant::now() >= until {
                return Ok(Found {
                    next: ask.after,
                    waiting: true,
                    ..Found::default()
                });
            }
            stage = self
                .news
                .wait_timeout(stage, Duration::from_millis(5))
                .map_or_else(|e| e.into_inner().0, |(stage, _)| stage);
        }
        drop(stage);
        let store = self.store();
        Ok(self.answers(&store).search(ask)?)
    }

    fn handle(&self, request: Request) -> Result<Response, ApiError> {
        let states = !matches!(
            request,
            Request::Status
                | Request::Subscribe
                | Request::Rows { .. }
                | Request::PackedRows { .. }
                | Request::Step { .. }
                | Request::Raw { .. }
                | Request::Blob { .. }
                | Request::Sessions
                | Request::Refs
                | Request::Operations { .. }
                | Request::Search(_)
                | Request::Terminal(_)
        );
        if states {
            self.wait()?;
        }
        let store = self.store();
        let answers = self.answers(&store);
        Ok(match request {
            Request::Status => Response::Status(Box::new(self.status()?)),
            Request::Subscribe => Response::Done(String::new()),
            Request::Log { before, limit } => Response::Log(answers.log(before, limit)?),
            Request::Rows { after, limit } => {
                self.wait_first();
                Response::Rows(answers.rows(after, limit)?)
            }
            Request::PackedRows { before, limit } => {
                self.wait_first();
                Response::PackedRows(answers.packed_rows(before, limit)?)
            }
            Request::Step { id } => Response::Step(Box::new(answers.step_detail(id)?)),
            Request::Resolve { rev } => Response::Resolved(answers.resolve(&rev)?),
            Request::Show { rev } => Response::Commit(Box::new(answers.show(&rev)?)),
            Request::Diff { a, b, paths } => {
                Response::Changes(answers.diff(&a, b.as_deref().unwrap_or("@"), &paths)?)
            }
            Request::List { rev, path } => Response::Listing(answers.list(&rev, &path)?),
            Request::Entry { rev, path } => Response::Entry(answers.entry(&rev, &path)?),
            Request::Target { rev, path } => Response::Target(answers.target(&rev, &path)?),
            Request::Blob { id, offset, len } => Response::Blob(answers.blob(id, offset, len)?),
            Request::Refs => Response::Refs(store.refs().map_err(Failure::from)?),
            Request::Branches => Response::Branches(answers.branches()?),
            Request::Compare { a, b } => Response::Comparison(Box::new(answers.compare(&a, &b)?)),
            Request::Search(ask) => Response::Found(Box::new(self.search(&ask)?)),
            Request::Graph(query) => Response::Graph(answers.graph(query)?),
            Request::Operations { before, limit } => {
                Response::Operations(answers.operations(before, limit)?)
            }
            Request::Sessions => {
                self.wait()?;
                Response::Sessions(self.sessions())
            }
            Request::Effects => Response::Effects(self.states().effects.clone()),
            Request::Raw { id } => Response::Raw(self.raw(id)?),
            Request::Terminal(query) => Response::Terminal(terminal::answer(self, &query)?),
            _ => {
                return Err(ApiError::new(
                    ErrorCode::Refused,
                    "this is a recording: it can be looked at, not changed (backtrail import keeps it in a project)",
                ));
            }
        })
    }
}

/// The reading thread came to an end that nobody foresaw.
fn broken() -> ApiError {
    ApiError::new(
        ErrorCode::Failed,
        "reading the recording failed inside, which is a mistake of this program; what was read until then is shown",
    )
}

fn no_step(id: StepId) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("no step has the id {id}"))
}

pub(super) fn failed(e: recording::Error) -> ApiError {
    let code = match &e {
        recording::Error::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            ErrorCode::NotFound
        }
        recording::Error::Unknown(_) | recording::Error::Empty(_) => ErrorCode::NotFound,
        _ => ErrorCode::Failed,
    };
    ApiError::new(code, e.to_string())
}

#[cfg(test)]
mod tests;
