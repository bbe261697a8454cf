//! A recording as something to ask: the same questions as to an engine, answered from the trace alone.
//!
//! Steps come from the recording's index, commits from a store that is made of what the trace says about files and lies in
//! the user's cache. Nothing here writes to a project or to the recording. Questions about steps are answered while the
//! file is still being read; questions about states wait until they are rebuilt.

mod follow;
mod history;
mod place;
mod source;
mod summary;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::debug::rev;
use crate::model::{CommitId, Ordinal, Session, StepId, Time};
use crate::store::Store;
use crate::trace::format::Format;
use crate::trace::recording::{self, Recording};

use super::answer::Answers;
use super::api::{
    ApiError, EffectInfo, EngineStatus, ErrorCode, Notice, RawRecord, RecordingSummary, Request,
    Response, ScanStatus,
};
use super::core::Failure;
use super::replay::{self, Replay};
use super::stats;
pub(super) use place::place_of;
pub use source::Opened;
pub use summary::summary_of;

use follow::follow_on;
use place::Place;
use summary::name_of;

/// How many notices a slow client may be behind before it is told to ask again.
const BACKLOG: usize = 8_192;
/// How often subscribers hear how far reading is.
const NEWS: Duration = Duration::from_millis(100);
/// How long a question about rows waits for the first ones.
const FIRST: Duration = Duration::from_millis(150);
/// How often a recording that may grow is looked at.
const POLL: Duration = Duration::from_millis(60);

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
}

/// An opened recording.
pub struct Recorded {
    recording: RwLock<Arc<Recording>>,
    pub(super) store: Arc<Store>,
    states: RwLock<States>,
    replay: Mutex<Option<Replay>>,
    stage: Mutex<Stage>,
    news: Condvar,
    notices: broadcast::Sender<Notice>,
    options: Options,
    since: Time,
    /// A directory that goes with it.
    _scratch: Option<tempfile::TempDir>,
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
        let place = Place::of(path, cache);
        let cached = place.cached();
        let fits = cached.is_some_and(|index| recording.take_cached(index));
        let (store, scratch) = place.store(fits)?;
        let fits = fits && scratch.is_none();
        if !fits && recording.progress().cached {
            // The steps were there, but their states are in use by another process: make both again, privately.
            return Self::begin(
                Recording::open(path, format).map_err(failed)?,
                store,
                scratch,
                options,
                place,
            );
        }
        Self::begin(recording, store, scratch, options, place)
    }

    /// The end of opening: everything is there but the reading.
    fn begin(
        recording: Recording,
        store: Store,
        scratch: Option<tempfile::TempDir>,
        options: Options,
        place: Place,
    ) -> Result<Arc<Self>, ApiError> {
        let (notices, _) = broadcast::channel(BACKLOG);
        let recorded = Arc::new(Self {
            recording: RwLock::new(Arc::new(recording)),
            store: Arc::new(store),
            states: RwLock::default(),
            replay: Mutex::default(),
            stage: Mutex::default(),
            news: Condvar::new(),
            notices,
            options,
            since: Time::now(),
            _scratch: scratch,
        });
        let weak = Arc::downgrade(&recorded);
        std::thread::Builder::new()
            .name("recording".to_owned())
            .spawn(move || {
                let Some(recorded) = weak.upgrade() else {
                    return;
                };
                if let Err(e) = recorded.read(&place) {
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
        self.rebuild(place)?;
        if !recording.progress().cached && recording.is_whole() {
            place.keep(&recording, &self.states());
        }
        Ok(())
    }

    /// Makes the file states, or takes those that were kept.
    fn rebuild(&self, place: &Place) -> Result<(), ApiError> {
        let recording = self.recording();
        if recording.progress().cached {
            *self.states_mut() = place.cached_states().unwrap_or_default();
            return Ok(());
        }
        let words = |e: replay::Error| ApiError::new(ErrorCode::Failed, e.to_string());
        let base = replay::base_of(
            &self.store,
            &recording,
            self.options.base.as_deref(),
            self.options.repository.as_deref(),
        )
        .map_err(words)?;
        let mut replay = Replay::new(Arc::clone(&self.store), &recording, base);
        replay.take(&recording).map_err(words)?;
        let made = replay.settle(&recording).map_err(words)?;
        let commits = made.commits.clone();
        self.keep_made(made);
        *self.replay.lock().unwrap_or_else(PoisonError::into_inner) = Some(replay);
        self.stage().rebuilt = true;
        self.news.notify_all();
        self.tell_all();
        self.count(&commits);
        self.store.flush_index().map_err(Failure::from)?;
        Ok(())
    }

    fn keep_made(&self, made: replay::Made) {
        let mut states = self.states_mut();
        states.by_step.extend(made.by_step);
        states.before.extend(made.before);
        states.effects.extend(made.effects);
    }

    /// Counts the lines of new commits, for the rows.
    fn count(&self, commits: &[CommitId]) {
        for id in commits {
            let counted = stats::count(&self.store, *id)
                .map_err(|e| e.to_string())
                .and_then(|s| self.store.put_stats(*id, &s).map_err(|e| e.to_string()));
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

    fn answers(&self) -> Answers<'_> {
        Answers {
            store: &self.store,
            history: self,
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
        let head = rev::head(&self.store).map_err(Failure::from)?;
        let workspace = self.states().by_step.last_key_value().map(|(o, _)| *o);
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
            branch: rev::branch(&self.store).map_err(Failure::from)?,
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
            commits: self.store.commit_count().map_err(Failure::from)?,
            sessions: Vec::new(),
            warnings,
        })
    }

    /// The sessions in it.
    pub(super) fn sessions(&self) -> Vec<Session> {
        self.recording().with(|index| {
            index
                .sessions
                .iter()
                .zip(0_u16..)
                .map(|(facts, n)| {
                    let mut times = index
                        .entries
                        .iter()
                        .filter(|e| e.session == n && e.time != crate::trace::index::NO_TIME)
                        .map(|e| e.time);
                    let first = times.next();
                    let last = times.next_back().or(first);
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
                        start: facts.start.or(first.map(Time)).unwrap_or_default(),
                        end: last.map(Time),
                        exit_code: None,
                        imported: false,
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

    fn handle(&self, request: Request) -> Result<Response, ApiError> {
        let states = !matches!(
            request,
            Request::Status
                | Request::Subscribe
                | Request::Rows { .. }
                | Request::Step { .. }
                | Request::Raw { .. }
                | Request::Blob { .. }
                | Request::Sessions
                | Request::Refs
                | Request::Operations { .. }
        );
        if states {
            self.wait()?;
        }
        let answers = self.answers();
        Ok(match request {
            Request::Status => Response::Status(Box::new(self.status()?)),
            Request::Subscribe => Response::Done(String::new()),
            Request::Log { before, limit } => Response::Log(answers.log(before, limit)?),
            Request::Rows { after, limit } => {
                self.wait_first();
                Response::Rows(answers.rows(after, limit)?)
            }
            Request::Step { id } => Response::Step(Box::new(answers.step_detail(id)?)),
            Request::Resolve { rev } => Response::Resolved(answers.resolve(&rev)?),
            Request::Show { rev } => Response::Commit(Box::new(answers.show(&rev)?)),
            Request::Diff { a, b, paths } => {
                Response::Changes(answers.diff(&a, b.as_deref().unwrap_or("@"), &paths)?)
            }
            Request::List { rev, path } => Response::Listing(answers.list(&rev, &path)?),
            Request::Entry { rev, path } => Response::Entry(answers.entry(&rev, &path)?),
            Request::Blob { id, offset, len } => Response::Blob(answers.blob(id, offset, len)?),
            Request::Refs => Response::Refs(self.store.refs().map_err(Failure::from)?),
            Request::Branches => Response::Branches(answers.branches()?),
            Request::Operations { before, limit } => {
                Response::Operations(answers.operations(before, limit)?)
            }
            Request::Sessions => {
                self.wait()?;
                Response::Sessions(self.sessions())
            }
            Request::Effects => Response::Effects(self.states().effects.clone()),
            Request::Raw { id } => Response::Raw(self.raw(id)?),
            _ => {
                return Err(ApiError::new(
                    ErrorCode::Refused,
                    "this is a recording: it can be looked at, not changed (backtrail import keeps it in a project)",
                ));
            }
        })
    }
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
