//! The watch: sees changes made behind the mount, by an editor on the real directory, a container, a daemon.
//!
//! Every captured directory has an inotify watch of its own, none inside of what is left out; a directory gets it
//! before it is listed, so that nothing falls between. Most events are our own writes going through: the engine knows
//! what the view did last at a path and says so. An operation of the view may still be under way when its event
//! comes, so a stranger's change is believed only after it has been looked at several times, a moment apart.
//!
//! The watched paths go through the handle of the root: what is mounted over the project's path, or that it is moved,
//! does not matter.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::disk::Stat;
use super::error::{Error, Result};
use super::recorder::Recorder;
use super::subtree::keys_below;
use super::suspects::Worker;
use crate::model::{RepoPath, neutral};

/// What the disk shows at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Length in bytes.
    pub size: u64,
    /// Modification time, nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since the epoch.
    pub ctime_ns: i64,
}

impl Seen {
    pub(super) fn of(stat: &Stat) -> Self {
        let s = stat.stamp;
        Self {
            dev: s.dev,
            ino: s.ino,
            size: s.size,
            mtime_ns: s.mtime_ns,
            ctime_ns: s.ctime_ns,
        }
    }

    /// Whether it is exactly this.
    #[must_use]
    pub fn is(&self, ino: u64, size: u64, mtime_ns: i64, ctime_ns: i64) -> bool {
        (self.ino, self.size, self.mtime_ns, self.ctime_ns) == (ino, size, mtime_ns, ctime_ns)
    }
}

/// Says whether what the disk shows at a path is what the mounted view itself left there.
pub type IsOwn = Arc<dyn Fn(&RepoPath, &Seen) -> bool + Send + Sync>;

/// Told of each path that was changed from outside, after the recorder was.
pub type OnOutside = Arc<dyn Fn(&RepoPath) + Send + Sync>;

/// A watch under way; ends when dropped.
pub struct Watch {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
    is_own: IsOwn,
    on_outside: OnOutside,
}

pub(super) struct Shared {
    pub recorder: Weak<Recorder>,
    watcher: Mutex<Option<RecommendedWatcher>>,
    /// The directories watched.
    pub watched: Mutex<BTreeMap<RepoPath, ()>>,
    base: PathBuf,
    full: AtomicBool,
    pub stop: AtomicBool,
    warning: Mutex<Option<String>>,
    to_worker: Sender<Message>,
    /// A directory of our own, watched with the others: an event in it comes after all that happened before.
    cookies: Option<PathBuf>,
    next_cookie: AtomicU64,
}

/// What the worker is told.
pub(super) enum Message {
    /// Something happened at this path.
    Event(RepoPath),
    /// Everything that happened before this cookie was made has been heard.
    Cookie(PathBuf),
    /// Say when this cookie has come, with what has not been decided yet.
    Settle(PathBuf, Sender<Vec<RepoPath>>),
    /// Events were lost.
    Lost,
    /// The first scan is over: watch what it found without us.
    Attach,
    Stop,
}

pub(super) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// Watches the recorder's directory. Best called before [`Recorder::start_scan`]: the scan then adds the watches as
    /// it goes; otherwise they are added when it is over.
    ///
    /// `cookies`: an existing directory of our own outside the tree, which [`Watch::settle`] needs.
    pub fn start(
        recorder: &Arc<Recorder>,
        is_own: IsOwn,
        on_outside: OnOutside,
        cookies: Option<&Path>,
    ) -> Result<Self> {
        let (to_worker, messages) = mpsc::channel();
        let by_handle = PathBuf::from(format!("/proc/self/fd/{}", recorder.root().as_raw_fd()));
        let base = if by_handle.exists() {
            by_handle
        } else {
            recorder.root_path().to_owned()
        };
        let shared = Arc::new(Shared {
            recorder: Arc::downgrade(recorder),
            watcher: Mutex::new(None),
            watched: Mutex::default(),
            base,
            full: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            warning: Mutex::new(None),
            to_worker,
            cookies: cookies.map(Path::to_owned),
            next_cookie: AtomicU64::new(0),
        });
        let handler = Arc::downgrade(&shared);
        let mut watcher = notify::recommended_watcher(move |event| {
            if let Some(shared) = handler.upgrade() {
                shared.heard(event);
            }
        })
        .map_err(|e| Error::Watch(neutral(e.to_string().as_bytes())))?;
        if let Some(dir) = cookies {
            watcher
                .watch(dir, RecursiveMode::NonRecursive)
                .map_err(|e| Error::Watch(neutral(e.to_string().as_bytes())))?;
        }
        *lock(&shared.watcher) = Some(watcher);
        let own = Arc::clone(&shared);
        let (is_own_too, on_outside_too) = (Arc::clone(&is_own), Arc::clone(&on_outside));
        let worker = std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || {
                Worker::new(own, is_own, on_outside).run(&messages);
            })
            .map_err(|source| Error::Thread {
                what: "the watch",
                source,
            })?;
        let hook = Arc::downgrade(&shared);
        recorder.on_list(Some(Arc::new(move |dir| {
            if let Some(shared) = hook.upgrade() {
                shared.watch(dir);
            }
        })));
        // What was listed before the hook was there.
        shared.tell(Message::Attach);
        Ok(Self {
            shared,
            worker: Some(worker),
            is_own: is_own_too,
            on_outside: on_outside_too,
        })
    }

    /// Takes note of everything that was changed behind the mount before this was called, without waiting to see
    /// whether it was one of our own operations: `still` runs what it is given while no operation is in flight, so that
    /// nothing has to be looked at twice. Gives up after `patience`; what comes later is seen as always.
    pub fn settle(&self, still: &dyn Fn(&mut dyn FnMut()), patience: Duration) {
        let (Some(dir), Some(recorder)) = (&self.shared.cookies, self.shared.recorder.upgrade())
        else {
            return;
        };
        let number = self.shared.next_cookie.fetch_add(1, Ordering::Relaxed);
        let cookie = dir.join(format!("{}-{number}", std::process::id()));
        let (tell, told) = mpsc::channel();
        self.shared.tell(Message::Settle(cookie.clone(), tell));
        if std::fs::write(&cookie, b"").is_err() {
            return;
        }
        let suspects = told.recv_timeout(patience).unwrap_or_default();
        // Only its event counts.
        let _ = std::fs::remove_file(&cookie);
        if suspects.is_empty() {
            return;
        }
        let mut believed = Vec::new();
        still(&mut || {
            for path in &suspects {
                let now = recorder.stat(path);
                let own = now
                    .as_ref()
                    .is_some_and(|s| (self.is_own)(path, &Seen::of(s)));
                if let (false, Some(difference)) = (own, recorder.differs(path, now.as_ref())) {
                    believed.extend(recorder.believe(path, difference));
                    believed.push(path.clone());
                }
            }
        });
        for path in &believed {
            (self.on_outside)(path);
        }
    }

    /// Why not all is watched, for people; `None` while all is.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        lock(&self.shared.warning).clone()
    }

    /// How many directories are watched.
    #[must_use]
    pub fn directories(&self) -> usize {
        lock(&self.shared.watched).len()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(recorder) = self.shared.recorder.upgrade() {
            recorder.on_list(None);
        }
        self.shared.stop.store(true, Ordering::Release);
        self.shared.tell(Message::Stop);
        *lock(&self.shared.watcher) = None;
        if let Some(worker) = self.worker.take() {
            // A worker that panicked has nothing more to say.
            let _ = worker.join();
        }
    }
}

impl Shared {
    pub fn tell(&self, message: Message) {
        // Without a worker nobody needs to know.
        let _ = self.to_worker.send(message);
    }

    pub fn warn(&self, text: String) {
        lock(&self.warning).get_or_insert(text);
    }

    fn repo_path(&self, path: &Path) -> Option<RepoPath> {
        let below = path.strip_prefix(&self.base).ok()?;
        RepoPath::new(below.as_os_str().as_bytes()).ok()
    }

    /// Called in the thread that reads the events: takes note, no more.
    fn heard(&self, event: notify::Result<notify::Event>) {
        let event = match event {
            Ok(event) => event,
            Err(e) => {
                self.failed(&e);
                return;
            }
        };
        if event.need_rescan() {
            self.tell(Message::Lost);
            return;
        }
        let gone = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
            EventKind::Access(_) => return,
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => true,
            _ => false,
        };
        for path in &event.paths {
            if self
                .cookies
                .as_ref()
                .is_some_and(|dir| path.starts_with(dir))
            {
                if matches!(event.kind, EventKind::Create(_)) {
                    self.tell(Message::Cookie(path.clone()));
                }
                continue;
            }
            let Some(path) = self.repo_path(path) else {
                continue;
            };
            if gone {
                self.unwatched(&path);
            }
            self.tell(Message::Event(path));
        }
    }

    fn failed(&self, e: &notify::Error) {
        if matches!(e.kind, ErrorKind::MaxFilesWatch) {
            self.full.store(true, Ordering::Release);
            self.warn(format!(
                "not all directories can be watched for changes made outside ({} are): raise fs.inotify.max_user_watches (sysctl), or leave more out in backtrail.toml; what runs under backtrail is seen all the same",
                lock(&self.watched).len()
            ));
        } else {
            self.warn(format!(
                "changes made outside may be missed: {}",
                neutral(e.to_string().as_bytes())
            ));
        }
    }

    /// The watches at `dir` and below went with it: a name that came back is another directory.
    fn unwatched(&self, dir: &RepoPath) {
        let mut watched = lock(&self.watched);
        for below in keys_below(&watched, dir) {
            watched.remove(&below);
        }
        watched.remove(dir);
    }

    /// Watches `dir`; `true` if it was not watched before and is now.
    pub fn watch(&self, dir: &RepoPath) -> bool {
        if self.full.load(Ordering::Acquire) || lock(&self.watched).contains_key(dir) {
            return false;
        }
        let path = if dir.is_root() {
            self.base.clone()
        } else {
            self.base.join(OsStr::from_bytes(dir.as_bytes()))
        };
        let mut watcher = lock(&self.watcher);
        let Some(watcher) = watcher.as_mut() else {
            return false;
        };
        match watcher.watch(&path, RecursiveMode::NonRecursive) {
            Ok(()) => lock(&self.watched).insert(dir.clone(), ()).is_none(),
            Err(e) => {
                // One that went away meanwhile needs none.
                if !matches!(e.kind, ErrorKind::PathNotFound) && path.exists() {
                    self.failed(&e);
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::capture::recorder::{Attribution, Group, Settings};
    use crate::model::{Cause, CommitId, LinkRule, Step, Writer};
    use crate::store::{NewCommit, Store};
    use notify::Event;
    use notify::event::Flag;
    use std::sync::mpsc::Receiver;

    struct One;

    impl Attribution for One {
        fn group(&self, _: &RepoPath, _: Option<&crate::model::Entry>, _: &[Writer]) -> Group {
            Group {
                outside: true,
                author: String::new(),
                session: None,
                step: None,
                order: 0,
                part: 0,
            }
        }

        fn step_for(
            &self,
            _: &Group,
            _: CommitId,
            _: &NewCommit,
            _: Cause,
        ) -> Option<(Step, LinkRule, u8)> {
            None
        }
    }

    fn watched() -> (tempfile::TempDir, Arc<Recorder>, Watch, Receiver<RepoPath>) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("d")).unwrap();
        std::fs::write(root.join("d/f"), "1").unwrap();
        let store = Arc::new(Store::open(&dir.path().join("store")).unwrap());
        let recorder = Recorder::open(store, &root, Settings::default()).unwrap();
        let (to, reports) = mpsc::channel();
        let to = Mutex::new(to);
        let watch = Watch::start(
            &recorder,
            Arc::new(|_, _| false),
            Arc::new(move |path| to.lock().unwrap().send(path.clone()).unwrap()),
            None,
        )
        .unwrap();
        recorder.start_scan(Arc::new(One));
        assert!(recorder.wait_scan(Duration::from_secs(60)));
        (dir, recorder, watch, reports)
    }

    #[test]
    fn lost_events_lead_to_a_look_at_what_is_watched() {
        let (dir, _recorder, watch, reports) = watched();
        *lock(&watch.shared.watcher) = None;
        std::fs::write(dir.path().join("root/d/f"), "changed").unwrap();
        std::fs::write(dir.path().join("root/new"), "new").unwrap();
        watch
            .shared
            .heard(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)));
        let wait = Duration::from_secs(20);
        let mut seen = [
            reports.recv_timeout(wait).unwrap(),
            reports.recv_timeout(wait).unwrap(),
        ];
        seen.sort_unstable();
        assert_eq!(seen, ["d/f", "new"].map(|p| RepoPath::try_from(p).unwrap()));
    }

    #[test]
    fn the_limit_of_watches_is_a_warning_and_no_more_are_tried() {
        let (dir, _recorder, watch, _reports) = watched();
        assert_eq!(watch.directories(), 2);
        assert!(watch.warning().is_none());
        watch
            .shared
            .heard(Err(notify::Error::new(ErrorKind::MaxFilesWatch)));
        let warning = watch.warning().unwrap();
        assert!(warning.contains("max_user_watches"), "{warning}");
        std::fs::create_dir(dir.path().join("root/more")).unwrap();
        assert!(!watch.shared.watch(&RepoPath::try_from("more").unwrap()));
    }
}
