//! The watch: sees changes made behind the mount, by an editor on the real directory, a container, a daemon.
//!
//! Every captured directory has an inotify watch of its own, none inside of what is left out; a directory gets it
//! before it is listed, so that nothing falls between. Most events are our own writes going through: the engine knows
//! what the view did last at a path and says so. An operation of the view may still be under way when its event
//! comes, so a stranger's change is believed only after it has been looked at several times, a moment apart.
//!
//! The watched paths go through the handle of the root: what is mounted over the project's path, or that it is moved,
//! does not matter.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::disk::{Stat, Type};
use super::error::{Error, Result};
use super::ignore_rules::Reach;
use super::recorder::Recorder;
use super::subtree::keys_below;
use crate::model::{RepoPath, neutral};

/// How long after an event a path is looked at, and looked at again.
const PAUSE: Duration = Duration::from_millis(25);
/// A file changed within this time may be in the hands of the view right now.
const FRESH: Duration = Duration::from_millis(60);
/// So many looks must find a stranger's change before it is believed.
const LOOKS: u32 = 2;
/// The same for a file that keeps changing.
const LOOKS_FRESH: u32 = 5;

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
    fn of(stat: &Stat) -> Self {
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

struct Shared {
    recorder: Weak<Recorder>,
    watcher: Mutex<Option<RecommendedWatcher>>,
    /// The directories watched.
    watched: Mutex<BTreeMap<RepoPath, ()>>,
    base: PathBuf,
    full: AtomicBool,
    stop: AtomicBool,
    warning: Mutex<Option<String>>,
    to_worker: Sender<Message>,
    /// A directory of our own, watched with the others: an event in it comes after all that happened before.
    cookies: Option<PathBuf>,
    next_cookie: AtomicU64,
}

enum Message {
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

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
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
                Worker {
                    shared: own,
                    is_own,
                    on_outside,
                    waiting: HashMap::new(),
                    settling: Vec::new(),
                }
                .run(&messages);
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
    fn tell(&self, message: Message) {
        // Without a worker nobody needs to know.
        let _ = self.to_worker.send(message);
    }

    fn warn(&self, text: String) {
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
    fn watch(&self, dir: &RepoPath) -> bool {
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

/// A path that is being looked at.
struct Suspect {
    due: Instant,
    looks: u32,
}

struct Worker {
    shared: Arc<Shared>,
    is_own: IsOwn,
    on_outside: OnOutside,
    waiting: HashMap<RepoPath, Suspect>,
    /// Who waits for which cookie.
    settling: Vec<(PathBuf, Sender<Vec<RepoPath>>)>,
}

impl Worker {
    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let now = Instant::now();
            let next = self.waiting.values().map(|s| s.due).min();
            let message = match next {
                None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => messages.recv_timeout(due.saturating_duration_since(now)),
            };
            match message {
                Ok(message) => {
                    if self.take(message) {
                        return;
                    }
                    // A burst comes in one go.
                    while let Ok(more) = messages.try_recv() {
                        if self.take(more) {
                            return;
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let Some(recorder) = self.shared.recorder.upgrade() else {
                return;
            };
            self.look(&recorder);
        }
    }

    /// `true` to end.
    fn take(&mut self, message: Message) -> bool {
        match message {
            Message::Event(path) => self.suspect(path),
            Message::Settle(cookie, who) => self.settling.push((cookie, who)),
            Message::Cookie(cookie) => {
                let suspects: Vec<RepoPath> = self.waiting.keys().cloned().collect();
                self.settling.retain(|(wanted, who)| {
                    let come = *wanted == cookie;
                    if come {
                        // One who no longer waits needs no answer.
                        let _ = who.send(suspects.clone());
                    }
                    !come
                });
            }
            Message::Stop => return true,
            Message::Lost => {
                if let Some(recorder) = self.shared.recorder.upgrade() {
                    let watched: Vec<RepoPath> =
                        lock(&self.shared.watched).keys().cloned().collect();
                    for dir in watched {
                        self.compare(&recorder, &dir);
                    }
                }
            }
            Message::Attach => self.attach(),
        }
        self.shared.stop.load(Ordering::Acquire)
    }

    fn suspect(&mut self, path: RepoPath) {
        self.waiting.entry(path).or_insert_with(|| Suspect {
            due: Instant::now() + PAUSE,
            looks: 0,
        });
    }

    /// All in `dir` that is not as known is looked at.
    fn compare(&mut self, recorder: &Recorder, dir: &RepoPath) {
        for path in recorder.inhabitants(dir) {
            let now = recorder.stat(&path);
            if recorder.differs(&path, now.as_ref()).is_some() {
                self.suspect(path);
            }
        }
    }

    /// Watches what the first scan listed before the hook was there.
    fn attach(&mut self) {
        let Some(recorder) = self.shared.recorder.upgrade() else {
            return;
        };
        if recorder.scan_is_running() {
            let (again, waiting) = (Arc::clone(&self.shared), Arc::downgrade(&recorder));
            drop(recorder);
            let waits = std::thread::Builder::new()
                .name("watch later".to_owned())
                .spawn(move || {
                    while !again.stop.load(Ordering::Acquire)
                        && let Some(recorder) = waiting.upgrade()
                    {
                        if recorder.wait_scan(Duration::from_millis(200))
                            || !recorder.scan_is_running()
                        {
                            again.tell(Message::Attach);
                            return;
                        }
                    }
                });
            if let Err(e) = waits {
                self.shared
                    .warn(format!("changes made outside may be missed: {e}"));
            }
            return;
        }
        for dir in recorder.known_dirs() {
            if self.shared.stop.load(Ordering::Acquire) {
                return;
            }
            if self.shared.watch(&dir) {
                self.compare(&recorder, &dir);
            }
        }
    }

    /// Looks at the paths whose time has come.
    fn look(&mut self, recorder: &Recorder) {
        let now = Instant::now();
        let mut due: Vec<RepoPath> = self
            .waiting
            .iter()
            .filter(|(_, s)| s.due <= now)
            .map(|(p, _)| p.clone())
            .collect();
        if due.is_empty() {
            return;
        }
        // A directory before what it holds.
        due.sort_unstable();
        // While a checkpoint stores what was changed, the recorder knows less than it will in a moment.
        if !recorder.scan_is_running() && !recorder.quiet_within(PAUSE) {
            for path in due {
                if let Some(s) = self.waiting.get_mut(&path) {
                    s.due = Instant::now() + PAUSE;
                }
            }
            return;
        }
        for path in due {
            let looks = self.waiting.remove(&path).map_or(0, |s| s.looks) + 1;
            self.look_at(recorder, path, looks);
        }
    }

    fn look_at(&mut self, recorder: &Recorder, path: RepoPath, looks: u32) {
        let now = recorder.stat(&path);
        if let Some(stat) = &now
            && stat.kind == Type::Dir
        {
            self.enter(recorder, &path);
        }
        if now
            .as_ref()
            .is_some_and(|s| (self.is_own)(&path, &Seen::of(s)))
        {
            return;
        }
        let Some(difference) = recorder.differs(&path, now.as_ref()) else {
            return;
        };
        let needed = if now.as_ref().is_some_and(is_fresh) {
            LOOKS_FRESH
        } else {
            LOOKS
        };
        if looks < needed {
            self.waiting.insert(
                path,
                Suspect {
                    due: Instant::now() + PAUSE,
                    looks,
                },
            );
            return;
        }
        if let Some(around) = recorder.believe(&path, difference) {
            (self.on_outside)(&around);
        }
        (self.on_outside)(&path);
    }

    /// A directory that is not watched yet is, with all directories below it, and what they hold is looked at.
    fn enter(&mut self, recorder: &Recorder, dir: &RepoPath) {
        let mut dirs = vec![dir.clone()];
        while let Some(dir) = dirs.pop() {
            if recorder.reach(&dir) == Reach::Out || !self.shared.watch(&dir) {
                continue;
            }
            for path in recorder.inhabitants(&dir) {
                match recorder.stat(&path) {
                    Some(s) if s.kind == Type::Dir => {
                        dirs.push(path.clone());
                        self.suspect(path);
                    }
                    _ => self.suspect(path),
                }
            }
        }
    }
}

fn is_fresh(stat: &Stat) -> bool {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX));
    let age = now.saturating_sub(stat.stamp.ctime_ns);
    age < i64::try_from(FRESH.as_nanos()).unwrap_or(i64::MAX)
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

    struct One;

    impl Attribution for One {
        fn group(&self, _: &RepoPath, _: &[Writer]) -> Group {
            Group {
                outside: true,
                author: String::new(),
                session: None,
                step: None,
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
