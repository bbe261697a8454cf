//! What an engine knows, and the dispatch of requests. No sockets and no mounts are made here, so that the same core
//! answers in the engine, in a command that opened the store for a moment, and in tests.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, broadcast};

use crate::capture::journal::Journal;
use crate::capture::recorder::{Cut, Made, Recorder, Settings};
use crate::capture::watch::Watch;
use crate::capture::{self};
use crate::debug::rev;
use crate::fs::{Gate, Invalidate, LiveView};
use crate::merge;
use crate::model::{BlobId, Cause, OpId, RepoPath, SessionId, Step, Time};
use crate::store::{self, Store};

use super::answer::{Answers, NamesKept};
use super::api::{
    ApiError, Changes, EngineStatus, ErrorCode, Notice, Request, Response, Role, ScanStatus,
};
use super::at::Pasts;
use super::follow::Follower;
use super::forks::Forks;
use super::merging::Merges;
use super::overlap::Overlaps;
use super::project::Project;
use super::sessions::Sessions;
use super::shelf::Opening;
use super::stats::Counter;
use super::timeline::Timeline;

/// How long a checkpoint waits at most for news of the real directory that are on their way. They come within a few
/// milliseconds, but not while everything else wants the processor too, and a fork or a rollback that missed what a person
/// has just saved would be wrong.
const SETTLE: Duration = Duration::from_secs(2);
/// How many notices a slow client may be behind before it is told to ask again.
const BACKLOG: usize = 8_192;

/// Why a request failed, before it is put into words for the socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Capture or restoring failed.
    #[error(transparent)]
    Capture(#[from] capture::recorder::Error),
    /// Restoring failed.
    #[error(transparent)]
    Restore(#[from] capture::restore::Error),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] capture::journal::Error),
    /// The settings are not readable.
    #[error(transparent)]
    Settings(#[from] capture::settings::SettingsError),
    /// Trees could not be compared.
    #[error(transparent)]
    Diff(#[from] crate::diff::tree::Error),
    /// Trees could not be merged.
    #[error(transparent)]
    Merge(#[from] crate::merge::Error),
    /// A revision names nothing.
    #[error(transparent)]
    Rev(#[from] rev::Error),
    /// Already in words.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        let code = match &failure {
            Failure::Api(e) => return e.clone(),
            Failure::Store(e) => store_code(e),
            Failure::Rev(rev::Error::Store(e)) | Failure::Merge(merge::Error::Store(e)) => {
                store_code(e)
            }
            Failure::Rev(_) => ErrorCode::NotFound,
            _ => ErrorCode::Failed,
        };
        let mut message = failure.to_string();
        let mut source = std::error::Error::source(&failure);
        while let Some(e) = source {
            let text = e.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            source = e.source();
        }
        Self::new(code, message)
    }
}

fn store_code(e: &store::Error) -> ErrorCode {
    match e {
        store::Error::Full(_) => ErrorCode::Full,
        store::Error::NotFound { .. } => ErrorCode::NotFound,
        _ => ErrorCode::Failed,
    }
}

/// The mounted live view, where there is one.
pub struct Live {
    /// The view.
    pub view: Arc<LiveView>,
    /// Makes the kernel forget.
    pub kernel: Arc<dyn Invalidate>,
    /// Where it is mounted.
    pub at: String,
}

/// What an engine knows.
pub struct Core {
    /// Which project.
    pub project: Project,
    /// Its history.
    pub store: Arc<Store>,
    /// What mutating requests pass.
    pub gate: Arc<Gate>,
    /// The run as it stands.
    pub timeline: Arc<Timeline>,
    /// Sessions begun by `run`.
    pub(super) sessions: Sessions,
    /// Branches with a view of their own.
    pub(super) forks: Forks,
    /// Past states that are mounted.
    pub(super) pasts: Pasts,
    /// Held by whoever is at the file of what was read.
    pub(super) reads: Mutex<()>,
    pub(super) journal: Journal,
    pub(super) merges: Merges,
    me: Weak<Self>,
    pub(super) counter: OnceLock<Counter>,
    /// Which branches at work meet.
    pub(super) overlaps: OnceLock<Overlaps>,
    pub(super) follower: OnceLock<Follower>,
    /// A call has ended whose changes can be committed.
    pub(super) due: Notify,
    recorder: OnceLock<Arc<Recorder>>,
    making: Mutex<()>,
    /// What was read of the refs.
    names: NamesKept,
    live: OnceLock<Live>,
    watch: OnceLock<Watch>,
    unmounted: OnceLock<String>,
    notices: broadcast::Sender<Notice>,
    turn: Mutex<()>,
    world: Mutex<()>,
    since: Time,
    warnings: Mutex<Vec<String>>,
}

impl Core {
    /// A core over an open store. Nothing is scanned or mounted yet.
    pub fn new(project: Project, store: Store) -> Result<Arc<Self>, ApiError> {
        let journal = Journal::open(&project.store_dir.join("journal")).map_err(Failure::from)?;
        let timeline = Arc::new(Timeline::open(&store).map_err(Failure::from)?);
        let (notices, _) = broadcast::channel(BACKLOG);
        Ok(Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            forks: Forks::default(),
            pasts: Pasts::default(),
            reads: Mutex::default(),
            project,
            store: Arc::new(store),
            gate: Gate::new(),
            timeline,
            sessions: Sessions::default(),
            journal,
            merges: Merges::default(),
            counter: OnceLock::new(),
            overlaps: OnceLock::new(),
            follower: OnceLock::new(),
            due: Notify::new(),
            recorder: OnceLock::new(),
            making: Mutex::new(()),
            names: NamesKept::default(),
            live: OnceLock::new(),
            watch: OnceLock::new(),
            unmounted: OnceLock::new(),
            notices,
            turn: Mutex::new(()),
            world: Mutex::new(()),
            since: Time::now(),
            warnings: Mutex::new(Vec::new()),
        }))
    }

    /// Itself, for threads that must not keep it.
    pub(super) fn me(&self) -> Weak<Self> {
        Weak::clone(&self.me)
    }

    /// Answers from the store.
    pub(super) fn answers(&self) -> Answers<'_> {
        Answers {
            store: &self.store,
            history: &*self.store,
            names: &self.names,
        }
    }

    /// What differs between two revisions, or one and the workspace as it is now.
    fn diff(
        &self,
        a: &str,
        b: Option<&str>,
        paths: &[RepoPath],
        role: Role,
        session: Option<SessionId>,
    ) -> Result<Changes, Failure> {
        // What is not yet committed is, as it would be in half a second anyway. An agent may not cut checkpoints, so it
        // sees the last one. First what was typed: a mistake must not make a commit.
        let answers = self.answers();
        if b.is_none() && role == Role::Person {
            answers.resolve(a)?;
            self.cut(Cause::Safety, None, None)?;
        }
        // To an agent on a fork the workspace is what it sees itself.
        let place = session.and_then(|s| self.timeline.place_of(s));
        let here = place.as_deref().unwrap_or("@");
        answers.diff(a, b.unwrap_or(here), paths)
    }

    /// Much is different: subscribers are to ask again.
    pub(super) fn tell_all(&self) {
        self.tell(Notice::Lagged { missed: 0 });
        self.tell_status();
    }

    pub(super) fn tell_operation(&self, seq: u64, id: OpId) {
        if let Ok((_, op)) = self.store.operation(id)
            && let Ok(info) = self.answers().op_info(seq, id, op)
        {
            self.tell(Notice::Operation(info));
        }
    }

    /// The recorder, made and set scanning at the first call.
    pub fn recorder(&self) -> Result<Arc<Recorder>, ApiError> {
        if let Some(r) = self.recorder.get() {
            return Ok(Arc::clone(r));
        }
        let _one = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(r) = self.recorder.get() {
            return Ok(Arc::clone(r));
        }
        let (settings, problems) = Settings::load(&self.project.root).map_err(Failure::from)?;
        for problem in problems {
            self.warn(problem);
        }
        let recorder = Recorder::open(Arc::clone(&self.store), &self.project.root, settings)
            .map_err(Failure::from)?;
        recorder.start_scan(Arc::clone(&self.timeline) as _);
        let _ = self.recorder.set(Arc::clone(&recorder));
        Ok(recorder)
    }

    /// The recorder, if it is there already.
    pub fn recording(&self) -> Option<&Arc<Recorder>> {
        self.recorder.get()
    }

    /// The recorder with its first scan over. A scan that failed (a full disk, say) is done again by the next checkpoint,
    /// which then says why if it fails again.
    pub(super) fn scanned(&self) -> Result<Arc<Recorder>, ApiError> {
        let recorder = self.recorder()?;
        while !recorder.wait_scan(Duration::from_secs(1)) && recorder.scan_failure().is_none() {}
        Ok(recorder)
    }

    /// The live view has been mounted.
    pub fn mounted(&self, live: Live) {
        let _ = self.live.set(live);
    }

    /// Nothing could be mounted, for that reason.
    pub(super) fn not_mounted(&self, why: String) {
        self.warn(format!(
            "nothing is mounted, so that agents can be recorded by `backtrail run --capture watch` only: {why}"
        ));
        let _ = self.unmounted.set(why);
    }

    /// Why nothing is mounted, and what can be done.
    pub(super) fn no_view(&self) -> ApiError {
        let why = self.unmounted.get().map_or_else(
            || "the store was opened without an engine".to_owned(),
            Clone::clone,
        );
        ApiError::new(
            ErrorCode::Refused,
            format!(
                "nothing can be mounted here, so there is no view to run in: {why}. `backtrail run --capture watch -- CMD` records without one, by watching the directory"
            ),
        )
    }

    /// Whether changes of the directory are seen.
    pub(super) fn is_watched(&self) -> bool {
        self.watch.get().is_some()
    }

    /// Changes behind the mount are seen from now on.
    pub fn watched(&self, watch: Watch) {
        let _ = self.watch.set(watch);
    }

    /// Takes note of what was changed behind the mount a moment ago, so that who asks for a state gets all of it.
    /// `still` runs its argument with no request in flight.
    pub(super) fn settle_outside(&self, still: &dyn Fn(&mut dyn FnMut())) {
        if let Some(watch) = self.watch.get() {
            watch.settle(still, SETTLE);
        }
    }

    /// Waits for the first scan and tells of the commit it made.
    pub(super) fn tell_scan(&self) {
        let Ok(recorder) = self.scanned() else {
            self.tell_status();
            return;
        };
        if let Some(made) = recorder.take_scan_made() {
            self.tell_made(&made);
        }
        if let Some(warning) = self.watch.get().and_then(Watch::warning) {
            self.warn(warning);
        }
        self.tell_status();
    }

    /// The mounted live view.
    pub fn live(&self) -> Option<&Live> {
        self.live.get()
    }

    /// Something that a person should know.
    pub fn warn(&self, text: String) {
        let mut all = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains(&text) && all.len() < 100 {
            tracing::warn!("{text}");
            all.push(text);
        }
    }

    pub(super) fn emit_turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notices from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    pub(super) fn tell(&self, notice: Notice) {
        // Nobody listening is no error.
        let _ = self.notices.send(notice);
    }

    pub(super) fn tell_row(&self, step: &Step) {
        if self.notices.receiver_count() == 0 {
            return;
        }
        match self.answers().row_now(step) {
            Ok(row) => self.tell(Notice::Row(Box::new(row))),
            Err(e) => self.warn(format!("step {} cannot be shown: {e}", step.ordinal)),
        }
    }

    /// Tells how things stand.
    pub fn tell_status(&self) {
        if let Some(overlaps) = self.overlaps.get() {
            overlaps.look();
        }
        if self.notices.receiver_count() > 0
            && let Ok(status) = self.status()
        {
            self.tell(Notice::Status(Box::new(status)));
        }
    }

    /// Cuts a checkpoint, and tells of what it made.
    pub fn cut(
        &self,
        cause: Cause,
        message: Option<String>,
        session: Option<SessionId>,
    ) -> Result<Made, Failure> {
        self.cut_how(cause, message, session, &HashSet::new(), None, None)
    }

    /// Cuts a checkpoint for somebody who is about to write: it leaves the changes of the paths in `later` for the next one,
    /// and says when what is changed from then on is not in it any more. Mappings are not written back: the kernel may
    /// be holding the file that is about to be written.
    pub(super) fn cut_before(
        &self,
        later: &HashSet<RepoPath>,
        swapped: &dyn Fn(),
    ) -> Result<Made, Failure> {
        self.cut_how(Cause::Quiet, None, None, later, Some(swapped), None)
    }

    /// A checkpoint that keeps the agent's own state, if one is given.
    pub(super) fn cut_how(
        &self,
        cause: Cause,
        message: Option<String>,
        session: Option<SessionId>,
        later: &HashSet<RepoPath>,
        swapped: Option<&dyn Fn()>,
        state: Option<BlobId>,
    ) -> Result<Made, Failure> {
        let recorder = self.scanned()?;
        let ties = &self.timeline.ties;
        let swap = |f: &mut dyn FnMut()| {
            self.gate.swap(|| {
                f();
                ties.log.swap(later);
            });
            if let Some(swapped) = swapped {
                swapped();
            }
        };
        let cut = Cut {
            cause,
            message,
            swap: &swap,
            flush: &|paths| {
                if swapped.is_none() {
                    self.flush(paths);
                }
            },
            attribution: self.timeline.as_ref(),
            session,
        };
        // Asked for by somebody who wants all of what is there now, edits of a moment ago included. In one turn with
        // the cut: settling stops requests as a cut does, and two that do so at once would wait for each other.
        // A session without a view has nothing but such news.
        let all_of_it = match cause {
            Cause::Manual | Cause::SessionEnd | Cause::Safety => true,
            Cause::PreTool | Cause::PostTool => self.timeline.is_watching(),
            _ => false,
        };
        let made = if all_of_it {
            recorder.exclusive(|workspace| {
                self.settle_outside(&|f| self.gate.swap(f));
                ties.begin();
                let made = match state {
                    Some(state) => workspace.cut_with_state(cut, state),
                    None => workspace.cut(cut),
                };
                ties.over(&made);
                made
            })?
        } else {
            recorder.exclusive(|workspace| {
                ties.begin();
                let made = workspace.cut_but(cut, later);
                ties.over(&made);
                made
            })?
        };
        self.tell_made(&made);
        Ok(made)
    }

    /// One change of the world at a time: rollback, undo, redo, freezing. Taken before anything else.
    pub(super) fn world(&self) -> MutexGuard<'_, ()> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn flush(&self, paths: &[RepoPath]) {
        if let Some(live) = self.live() {
            for path in paths {
                live.kernel.flush_mapping(path);
            }
            if !paths.is_empty() {
                live.kernel.settle();
            }
        }
    }

    pub(super) fn tell_made(&self, made: &Made) {
        for problem in &made.problems {
            self.warn(problem.clone());
        }
        if made.commits.is_empty() {
            return;
        }
        for step in &made.steps {
            self.tell_row(step);
        }
        for link in &made.links {
            if !made.steps.iter().any(|s| s.id == link.step)
                && let Ok(Some(step)) = self.store.step(link.step)
            {
                self.tell_row(&step);
            }
        }
        if let Some((seq, id)) = made.operation {
            self.tell_operation(seq, id);
        }
        if let Some(counter) = self.counter.get() {
            counter.count(&made.commits);
        }
        self.tell_status();
    }

    /// How things stand.
    pub fn status(&self) -> Result<EngineStatus, ApiError> {
        let recorder = self.recording();
        let head = rev::head(&self.store).map_err(Failure::from)?;
        let merging = self.unfinished_brief();
        let mut warnings = self
            .warnings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(problem) = recorder.and_then(|r| r.scan_failure()) {
            warnings.push(problem);
        }
        warnings.extend(self.over_budget());
        let scan = recorder.map(|r| r.scan());
        Ok(EngineStatus {
            project: self.project.root.to_string_lossy().into_owned(),
            name: self.project.name(),
            pid: if self.counter.get().is_some() {
                std::process::id()
            } else {
                0
            },
            live: self.live().map(|l| l.at.clone()),
            capture: match self.live() {
                Some(_) => "fuse",
                None if self.watch.get().is_some() => "watch",
                None => "none",
            }
            .to_owned(),
            since: self.since,
            branch: rev::branch(&self.store).map_err(Failure::from)?,
            head,
            workspace: self.answers().workspace_step(head)?,
            dirty: recorder.map_or(0, |r| r.dirty()),
            scan: scan.map_or(ScanStatus::default(), |s| ScanStatus {
                files: s.files,
                done: s.done,
            }),
            steps: self.store.step_count().map_err(Failure::from)?,
            last: self.store.last_ordinal().map_err(Failure::from)?,
            commits: self.store.commit_count().map_err(Failure::from)?,
            sessions: self.sessions.list(),
            merging,
            forks: self.forks.names(),
            overlaps: self.overlaps.get().map(Overlaps::found).unwrap_or_default(),
            warnings,
        })
    }

    /// Answers one request. `session` is the one whose agent asks, when it does.
    pub fn handle(
        &self,
        request: Request,
        role: Role,
        session: Option<SessionId>,
    ) -> Result<Response, ApiError> {
        if role == Role::Agent && !for_agents(&request) {
            return Err(ApiError::new(
                ErrorCode::Forbidden,
                "an agent may read and emit, but not change the workspace or its history; ask the person who watches to do it",
            ));
        }
        Ok(match request {
            Request::Status => Response::Status(Box::new(self.status()?)),
            // The connection that asks sets itself up; there is nothing to do here.
            Request::Subscribe => Response::Done(String::new()),
            Request::Stop { .. } => Response::Done("the engine ends".to_owned()),
            Request::Log { before, limit } => Response::Log(self.answers().log(before, limit)?),
            Request::Rows { after, limit } => Response::Rows(self.answers().rows(after, limit)?),
            Request::PackedRows { before, limit } => {
                Response::PackedRows(self.answers().packed_rows(before, limit)?)
            }
            Request::Step { id } => Response::Step(Box::new(self.answers().step_detail(id)?)),
            Request::Resolve { rev } => Response::Resolved(self.answers().resolve(&rev)?),
            Request::Show { rev } => Response::Commit(Box::new(self.answers().show(&rev)?)),
            Request::Diff { a, b, paths } => {
                Response::Changes(self.diff(&a, b.as_deref(), &paths, role, session)?)
            }
            Request::List { rev, path } => Response::Listing(self.answers().list(&rev, &path)?),
            Request::Entry { rev, path } => Response::Entry(self.answers().entry(&rev, &path)?),
            Request::Target { rev, path } => Response::Target(self.answers().target(&rev, &path)?),
            Request::Blob { id, offset, len } => {
                Response::Blob(self.answers().blob(id, offset, len)?)
            }
            Request::Checkpoint { message } => {
                let made = self.cut(Cause::Manual, message, session)?;
                Response::Checkpoint(self.answers().commit_infos(&made.commits)?)
            }
            Request::Snapshot { message, state } => {
                Response::Checkpoint(self.snapshot(message, &state, session)?)
            }
            Request::Rollback {
                rev,
                dry_run,
                keep_mtime,
                keep_frozen,
            } => Response::Rollback(Box::new(self.rollback(
                &rev,
                dry_run,
                keep_mtime,
                keep_frozen,
            )?)),
            Request::Restore {
                rev,
                parts,
                dry_run,
                keep_frozen,
            } => Response::Restored(Box::new(self.restore(
                &rev,
                &parts,
                dry_run,
                keep_frozen,
            )?)),
            Request::Switch {
                branch,
                create,
                dry_run,
            } => self.switch(&branch, create, dry_run)?,
            Request::Undo => self.undo()?,
            Request::UndoSkip => self.undo_skip()?,
            Request::Redo => self.redo()?,
            Request::Label { name, rev } => Response::Done(self.label(&name, rev.as_deref())?),
            Request::Refs => Response::Refs(self.store.refs().map_err(Failure::from)?),
            Request::Branches => Response::Branches(self.answers().branches()?),
            Request::Compare { a, b } => {
                Response::Comparison(Box::new(self.answers().compare(&a, &b)?))
            }
            Request::BranchCreate { name, rev } => {
                Response::Branched(Box::new(self.branch_create(&name, rev.as_deref())?))
            }
            Request::BranchRename { from, to } => {
                Response::Branched(Box::new(self.branch_rename(&from, &to)?))
            }
            Request::BranchDelete { name } => {
                Response::Branched(Box::new(self.branch_delete(&name)?))
            }
            Request::BranchPrune { dry_run } => {
                Response::Branched(Box::new(self.branch_prune(dry_run)?))
            }
            Request::Search(ask) => Response::Found(Box::new(self.answers().search(&ask)?)),
            Request::Graph(query) => Response::Graph(self.answers().graph(query)?),
            Request::Operations { before, limit } => {
                Response::Operations(self.answers().operations(before, limit)?)
            }
            Request::OpShow { op } => Response::Operation(Box::new(self.answers().op_show(&op)?)),
            Request::OpRestore {
                op,
                before,
                dry_run,
            } => self.op_restore(&op, before, dry_run)?,
            Request::OpRevert { op, dry_run } => self.op_revert(&op, dry_run)?,
            Request::Emit { events } => {
                self.emit(events, session)?;
                Response::Done(String::new())
            }
            Request::Begin {
                agent,
                command,
                home,
                branch,
                watch,
            } => Response::Session(Box::new(self.begin(
                &agent,
                &command,
                home,
                branch.as_deref(),
                watch,
            )?)),
            Request::End { session, exit_code } => {
                self.end(session, exit_code)?;
                Response::Done(String::new())
            }
            Request::Freeze { session, frozen } => {
                let n = self.freeze(session, frozen)?;
                let word = if frozen { "frozen" } else { "running again" };
                Response::Done(format!(
                    "{n} session{} {word}",
                    if n == 1 { "" } else { "s" }
                ))
            }
            Request::Kill { session } => Response::Done(self.kill(session)?),
            Request::Terminal(query) => Response::Terminal(self.terminal(query)?),
            Request::Fork { rev, name } => {
                Response::Forked(Box::new(self.fork(&rev, name.as_deref())?))
            }
            Request::Forks => Response::Forks(self.fork_list(true)?),
            Request::ForkPlaces => Response::Forks(self.fork_list(false)?),
            Request::ForkScratch { rev, tree } => self.scratch(rev.as_deref(), tree)?,
            Request::PastPath { rev } => Response::Past(self.past_path(rev.as_deref())?),
            Request::PastMount { dir } => Response::Past(self.past_mount(dir.as_ref())?),
            Request::PastUnmount { dir, force } => {
                Response::Done(self.past_unmount(dir.as_ref(), force)?)
            }
            Request::ForkDiscard { name } => self.discard(&name)?,
            request @ (Request::Merge { .. }
            | Request::Merging
            | Request::MergeConflict { .. }
            | Request::MergePick { .. }
            | Request::MergeStatePick { .. }
            | Request::MergeUnpick
            | Request::MergeMarkers { .. }
            | Request::MergeProposal { .. }
            | Request::MergeResult { .. }
            | Request::MergeTree
            | Request::MergeFinish { .. }
            | Request::MergeAbandon
            | Request::MergeResume { .. }
            | Request::Conflicts { .. }) => self.merge_request(request)?,
            Request::Sessions => Response::Sessions(self.store.sessions().map_err(Failure::from)?),
            Request::Import {
                path,
                format,
                base,
                repository,
            } => {
                let how = Opening {
                    format,
                    base,
                    repository: repository.map(Into::into),
                    ..Opening::default()
                };
                Response::Imported(Box::new(self.import(&path, &how)?))
            }
            Request::Effects => Response::Effects(self.answers().effects()?),
            Request::Reads { step } => Response::Reads(self.reads(step)?),
            Request::Raw { id } => Response::Raw(self.answers().raw(id)?),
            Request::Recordings { .. } | Request::Recording { .. } => {
                return Err(ApiError::new(
                    ErrorCode::Unsupported,
                    "an engine keeps no list of recordings: backtrail sessions --all",
                ));
            }
            Request::Keep(query) => Response::Kept(Box::new(self.keeping(query)?)),
            Request::Verify => {
                let report = self.store.verify().map_err(Failure::from)?;
                Response::Verify {
                    records: report.records,
                    faults: report
                        .faults
                        .iter()
                        .map(|f| format!("{} at byte {}: {}", f.path.display(), f.offset, f.what))
                        .collect(),
                }
            }
        })
    }
}

fn for_agents(request: &Request) -> bool {
    if let Request::Keep(query) = request {
        return query.only_reads();
    }
    matches!(
        request,
        Request::Status
            | Request::Subscribe
            | Request::Log { .. }
            | Request::Rows { .. }
            | Request::PackedRows { .. }
            | Request::Step { .. }
            | Request::Resolve { .. }
            | Request::Show { .. }
            | Request::Diff { .. }
            | Request::List { .. }
            | Request::Entry { .. }
            | Request::Target { .. }
            | Request::Blob { .. }
            | Request::Refs
            | Request::Branches
            | Request::Compare { .. }
            | Request::Graph(_)
            | Request::Search(_)
            | Request::Forks
            | Request::ForkPlaces
            | Request::Operations { .. }
            | Request::OpShow { .. }
            | Request::Sessions
            | Request::Emit { .. }
    )
}
