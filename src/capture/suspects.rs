//! The watch's worker: decides which of the events are others' changes.
//!
//! An event says only where to look. A path is looked at a moment later, so that an operation of the view has ended
//! and has been reported by then, and again until the looks agree.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::disk::{Stat, Type};
use super::ignore_rules::Reach;
use super::recorder::Recorder;
use super::watch::{IsOwn, Message, OnOutside, Seen, Shared, lock};
use crate::model::RepoPath;

/// How long after an event a path is looked at, and looked at again.
const PAUSE: Duration = Duration::from_millis(25);
/// A file changed within this time may be in the hands of the view right now.
const FRESH: Duration = Duration::from_millis(60);
/// So many looks must find a stranger's change before it is believed.
const LOOKS: u32 = 2;
/// The same for a file that keeps changing.
const LOOKS_FRESH: u32 = 5;

/// A path that is being looked at.
struct Suspect {
    due: Instant,
    looks: u32,
}

/// What the worker remembers.
pub(super) struct Worker {
    shared: Arc<Shared>,
    is_own: IsOwn,
    on_outside: OnOutside,
    waiting: HashMap<RepoPath, Suspect>,
    /// Who waits for which cookie.
    settling: Vec<(PathBuf, Sender<Vec<RepoPath>>)>,
}

impl Worker {
    pub fn new(shared: Arc<Shared>, is_own: IsOwn, on_outside: OnOutside) -> Self {
        Self {
            shared,
            is_own,
            on_outside,
            waiting: HashMap::new(),
            settling: Vec::new(),
        }
    }

    /// Until told to stop.
    pub fn run(mut self, messages: &Receiver<Message>) {
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
