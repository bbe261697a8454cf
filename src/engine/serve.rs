//! The engine's life: lock the store, mount, listen, cut checkpoints at bursts, end when nobody is left.

use std::fs::OpenOptions;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use tokio::signal::unix::{SignalKind, signal};

use crate::capture::recorder::Recorder;
use crate::capture::restore::is_staging_name;
use crate::capture::watch::Watch;
use crate::fs::{LiveView, MountOptions, Mounted, clean_stale};
use crate::model::Cause;
use crate::store::{self, Store};

use super::api::{ApiError, ErrorCode, Role};
use super::core::{Core, Failure, Live};
use super::follow::Follower;
use super::overlap::Overlaps;
use super::project::Project;
use super::server::{self, Door};
use super::stats::Counter;
use super::touches::Touches;

/// A burst has ended when nothing changed for this long.
pub const QUIET: Duration = Duration::from_millis(500);
/// A longer burst is cut at this age.
pub const LONGEST_BURST: Duration = Duration::from_secs(2);
/// How often changes that wait for their transcript are looked at again.
pub(super) const LAG: Duration = Duration::from_millis(100);
/// An engine without sessions and clients ends after this long; `BACKTRAIL_IDLE` gives other seconds.
const IDLE: Duration = Duration::from_secs(10);

/// Runs the engine of `project` until it ends.
pub fn serve(project: Project) -> Result<(), ApiError> {
    hear_signals();
    project.make_dirs()?;
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(project.log_file());
    if let Ok(log) = log {
        let filter = tracing_subscriber::EnvFilter::try_from_env("BACKTRAIL_LOG")
            .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
        // A second call in one process (tests) keeps the first one's log.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .with_writer(std::sync::Mutex::new(log))
            .try_init();
    }
    let store = open_store(&project)?;
    let core = Core::new(project, store)?;
    let counter = Counter::start(&core).map_err(|e| {
        ApiError::new(
            ErrorCode::Failed,
            format!("no thread could be started: {e}"),
        )
    })?;
    let _ = core.counter.set(counter);
    match Overlaps::start(&core) {
        Ok(overlaps) => _ = core.overlaps.set(overlaps),
        Err(e) => core.warn(format!("forks are not held against each other: {e}")),
    }
    match Follower::start(&core) {
        Ok(follower) => _ = core.follower.set(follower),
        Err(e) => core.warn(format!("transcripts are not followed: {e}")),
    }
    cut_between(&core);
    core.keep_reads();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| {
            ApiError::new(
                ErrorCode::Failed,
                format!("the runtime could not be started: {e}"),
            )
        })?;
    let result = runtime.block_on(live(&core));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// `run` keeps signals off itself, for it takes them one by one, and the engine that it starts inherits that: without this
/// one nobody could end the engine but by killing it. Before there are threads, which inherit it as well. A closed terminal
/// stays unheard, as it is no reason to end.
fn hear_signals() {
    let mut all = SigSet::all();
    all.remove(Signal::SIGHUP);
    if let Err(e) = all.thread_unblock() {
        tracing::warn!("signals cannot be heard: {e}");
    }
}

/// Cuts the checkpoints that are asked for between two acts at one path.
fn cut_between(core: &Arc<Core>) {
    let asked = core.timeline.ties.log.cutter();
    let core = Arc::downgrade(core);
    let run = move || {
        while let Ok(between) = asked.recv() {
            let Some(core) = core.upgrade() else { return };
            // Who asked may have lost patience.
            let swapped = || _ = between.swapped.send(());
            if core.timeline.ties.log.still_wanted(&between)
                && let Err(e) = core.cut_before(&between.later, &swapped)
            {
                core.warn(format!("a checkpoint failed: {e}"));
            }
            swapped();
        }
    };
    if let Err(e) = std::thread::Builder::new()
        .name("between".to_owned())
        .spawn(run)
    {
        tracing::warn!("states between quick writes are not kept: {e}");
    }
}

/// Opens the store, waiting for a command that has it open for a moment, but not behind another engine: that one may
/// end meanwhile, and nobody would want this one then.
fn open_store(project: &Project) -> Result<Store, ApiError> {
    let patience = Instant::now();
    loop {
        match Store::open_wait(&project.store_dir, Duration::from_millis(50)) {
            Ok(store) => return Ok(store),
            Err(e @ store::Error::Locked { .. }) => {
                let answers = std::os::unix::net::UnixStream::connect(project.socket()).is_ok();
                if answers || patience.elapsed() > Duration::from_secs(5) {
                    return Err(ApiError::new(
                        ErrorCode::Refused,
                        format!(
                            "another engine already serves {}: {e}",
                            project.root.display()
                        ),
                    ));
                }
            }
            Err(e) => return Err(Failure::from(e).into()),
        }
    }
}

async fn live(core: &Arc<Core>) -> Result<(), ApiError> {
    let recorder = core.recorder()?;
    // What a crash left half done is finished before anyone can look at it.
    let here = Arc::clone(core);
    blocking(move || {
        here.clean_forks();
        here.clean_pasts();
        here.close_old_sessions()?;
        here.recover().map_err(ApiError::from)
    })
    .await?;
    let mounted = mount(core, &recorder)?;
    watch(core, &recorder);
    let door = Arc::new(Door::default());
    let listener = server::listen(&core.project.socket())?;
    let accept = tokio::spawn(server::serve(
        listener,
        Arc::clone(core),
        Arc::clone(&door),
        Role::Person,
        None,
    ));
    let here = Arc::clone(core);
    // The first state's row and the finished scan are news.
    tokio::task::spawn_blocking(move || here.tell_scan());
    let bursts = tokio::spawn(bursts(Arc::clone(core), Arc::clone(&recorder)));
    let outcome = until_over(core, &door, mounted.as_ref()).await;
    accept.abort();
    bursts.abort();
    core.sessions.thaw_all();
    let here = Arc::clone(core);
    let last = blocking(move || {
        here.flush_reads();
        here.close_forks();
        here.close_pasts();
        here.cut(Cause::Quiet, None, None).map_err(ApiError::from)?;
        Ok(())
    })
    .await;
    let _ = std::fs::remove_file(core.project.socket());
    if let Some(mounted) = mounted {
        let gone = blocking(move || {
            mounted
                .unmount()
                .map_err(|e| ApiError::new(ErrorCode::Failed, e.to_string()))
        })
        .await;
        if let Err(e) = gone {
            tracing::warn!("{e}");
        }
    }
    // Changes that came while the mount went away. What an agent writes after this through a view that is still bound in
    // its namespace reaches the project, and is found at the next start.
    let here = Arc::clone(core);
    let late = blocking(move || {
        here.cut(Cause::Quiet, None, None).map_err(ApiError::from)?;
        here.store.flush_index().map_err(Failure::from)?;
        Ok(())
    })
    .await;
    outcome.and(last).and(late)
}

async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(f).await.unwrap_or_else(|e| {
        Err(ApiError::new(
            ErrorCode::Failed,
            format!("the engine failed inside: {e}"),
        ))
    })
}

/// Mounts the live view. Without FUSE the engine still serves the history, and says why nothing can be run.
fn mount(core: &Arc<Core>, recorder: &Arc<Recorder>) -> Result<Option<Mounted>, ApiError> {
    let at = core.project.live_dir();
    let failed = |e: crate::fs::Error| ApiError::new(ErrorCode::Failed, e.to_string());
    clean_stale(&at).map_err(failed)?;
    let root = recorder
        .root()
        .as_fd()
        .try_clone_to_owned()
        .map_err(|e| ApiError::new(ErrorCode::Failed, format!("no descriptor is left: {e}")))?;
    let log = Arc::clone(&core.timeline.ties.log);
    let view = LiveView::new(
        root,
        Arc::new(Touches::new(Arc::clone(recorder), log)),
        Arc::clone(&core.gate),
        is_staging_name,
    );
    match Mounted::mount(Arc::clone(&view), &at, MountOptions::default()) {
        Ok(mounted) => {
            core.mounted(Live {
                view,
                kernel: mounted.invalidator(),
                at: at.to_string_lossy().into_owned(),
            });
            Ok(Some(mounted))
        }
        Err(e) => {
            core.not_mounted(e.to_string());
            Ok(None)
        }
    }
}

/// Watches the real directory for changes made behind the mount.
fn watch(core: &Arc<Core>, recorder: &Arc<Recorder>) {
    let (own, told) = (Arc::downgrade(core), Arc::downgrade(core));
    let is_own = move |path: &crate::model::RepoPath, stat: &crate::capture::watch::Seen| {
        own.upgrade()
            .as_ref()
            .and_then(|c| c.live())
            .and_then(|l| l.view.own_stat(path))
            .is_some_and(|o| stat.is(o.ino, o.size, o.mtime_ns, o.ctime_ns))
    };
    let on_outside = move |path: &crate::model::RepoPath| {
        if let Some(core) = told.upgrade()
            && let Some(live) = core.live()
        {
            live.kernel.content(path);
            live.kernel.entry(path);
        }
    };
    let cookies = core.project.runtime_dir.join("cookies");
    let cookies = super::project::private_dir(&cookies)
        .is_ok()
        .then_some(cookies);
    match Watch::start(
        recorder,
        Arc::new(is_own),
        Arc::new(on_outside),
        cookies.as_deref(),
    ) {
        Ok(watch) => core.watched(watch),
        Err(e) => core.warn(format!(
            "changes made outside the mount are not seen at once: {e}"
        )),
    }
}

/// Cuts a checkpoint when a burst of changes has gone quiet, and in a long one at its age limit.
async fn bursts(core: Arc<Core>, recorder: Arc<Recorder>) {
    let signal = recorder.changed_signal();
    loop {
        tokio::select! {
            () = signal.notified() => {}
            () = core.due.notified() => {}
        }
        // The status line shows that something is going on.
        core.tell_status();
        while let Some((first, last)) = recorder.burst() {
            let now = Instant::now();
            let quiet = last + QUIET;
            let limit = first + LONGEST_BURST;
            let cause = if now >= limit {
                if now >= quiet {
                    Cause::Quiet
                } else {
                    Cause::Timer
                }
            } else if core.work_is_over(None, &core.timeline.ties, last) {
                Cause::PostTool
            } else if now < quiet {
                // A result ends a burst at once.
                let _ = tokio::time::timeout_at(quiet.min(limit).into(), core.due.notified()).await;
                continue;
            } else if core.may_wait(None, &core.timeline.ties, last, LONGEST_BURST) {
                // The transcript lags behind.
                let later = now + LAG;
                let _ = tokio::time::timeout_at(later.min(limit).into(), core.due.notified()).await;
                continue;
            } else {
                Cause::Quiet
            };
            let here = Arc::clone(&core);
            let cut = blocking(move || here.cut(cause, None, None).map_err(ApiError::from)).await;
            if let Err(e) = cut {
                core.warn(format!("a checkpoint failed: {e}"));
                core.tell_status();
                // Disk full, say: do not spin on it, and try again even if nothing more changes.
                tokio::time::sleep(LONGEST_BURST).await;
            }
        }
        // Also when nothing had really changed.
        core.tell_status();
    }
}

/// Waits until the engine is to end: asked to, signalled, unmounted under us, or left alone.
async fn until_over(
    core: &Arc<Core>,
    door: &Door,
    mounted: Option<&Mounted>,
) -> Result<(), ApiError> {
    let idle = std::env::var("BACKTRAIL_IDLE")
        .ok()
        .and_then(|s| s.parse().ok())
        .map_or(IDLE, Duration::from_secs);
    let trap = |kind| {
        signal(kind)
            .map_err(|e| ApiError::new(ErrorCode::Failed, format!("signals cannot be heard: {e}")))
    };
    let mut term = trap(SignalKind::terminate())?;
    let mut int = trap(SignalKind::interrupt())?;
    // A closed terminal is no reason to end: agents live in here.
    let _hup = trap(SignalKind::hangup())?;
    let mut alone_since = Instant::now();
    loop {
        tokio::select! {
            _ = term.recv() => return Ok(()),
            _ = int.recv() => return Ok(()),
            () = door.changed.notified() => {}
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
        if door.stopping() {
            return Ok(());
        }
        let here = Arc::clone(core);
        if let Err(e) = blocking(move || here.reap()).await {
            core.warn(format!("the end of a session could not be recorded: {e}"));
        }
        let here = Arc::clone(core);
        let _ = tokio::task::spawn_blocking(move || here.tend_forks(idle)).await;
        if mounted.is_some_and(|m| !m.is_alive()) {
            return Err(ApiError::new(
                ErrorCode::Failed,
                "the live view was unmounted from outside; the engine ends, the project is as it is on disk",
            ));
        }
        let here = Arc::clone(core);
        let over = !door.busy() && !core.sessions.any() && alone_since.elapsed() >= idle;
        let held = tokio::task::spawn_blocking(move || here.tend_pasts(idle, over)).await;
        if door.busy() || core.sessions.any() || held.unwrap_or(false) {
            alone_since = Instant::now();
        } else if over {
            return Ok(());
        }
    }
}
