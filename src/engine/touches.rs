//! Who touched which path, when, and what they descend from: the evidence by which a change finds its call.
//!
//! It stands between the mounted view and the recorder, and is written while a session runs. A path's acts are kept from one
//! checkpoint to the next, in epochs that change at the very moment at which the recorder's do, with nothing in flight.
//! Processes are looked at while they wait for the answer to their request: a moment later they may be gone.
//!
//! A burst of changes is one checkpoint, and of a path that is written twice in it only the last state would be kept:
//! an agent's two quick edits of one file would be one, and belong to one call. So while a transcript is followed, whoever
//! is about to write a path again waits until a checkpoint has been cut between. That is paid from a purse, so that a
//! loop that writes one file a thousand times is not held up.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::reads::Reads;
use crate::capture::observe::Observer;
use crate::capture::recorder::Recorder;
use crate::capture::subtree;
use crate::model::{Origin, RepoPath, Time, Touch, Writer};
use crate::trace::link::{Act, COMMAND, Process, squeezed};

/// Requests of one process at one path with no longer pause than this are one act, in microseconds.
const PAUSE: i64 = 20_000;
/// Acts kept of a path: the first and the last ones.
const ACTS: usize = 24;
/// Paths kept in an epoch.
const PATHS: usize = 100_000;
/// A process is looked at again after this: it may have become another program.
const FRESH: Duration = Duration::from_millis(50);
/// How many processes are remembered, and how far up is looked.
const PROCESSES: usize = 4096;
const HIGHEST: usize = 12;
/// Checkpoints that may be asked for at once, and in a second.
const MOST: f64 = 16.0;
const EARNED: f64 = 4.0;
/// The longest wait for one.
const PATIENCE: Duration = Duration::from_millis(500);
/// What a wait in vain costs, and how many may wait at once.
const LATE: f64 = 4.0;
const WAITING: usize = 2;

/// What happened at a path.
#[derive(Debug, Clone, Default)]
struct Trace {
    acts: Vec<Act>,
    pids: Vec<u32>,
    /// It got or lost its name by a rename: its acts are those of everything below.
    moved: bool,
    /// Nobody has had it open for writing since its last act.
    closed: bool,
}

impl Trace {
    fn add(&mut self, act: Act, pid: u32) {
        if let (Some(last), Some(by)) = (self.acts.last_mut(), self.pids.last())
            && *by == pid
            && !self.closed
            && act.first.0 - last.last.0 <= PAUSE
        {
            last.last = act.last;
            return;
        }
        if self.acts.len() >= ACTS {
            self.acts.remove(ACTS / 2);
            self.pids.remove(ACTS / 2);
        }
        self.acts.push(act);
        self.pids.push(pid);
        self.closed = false;
    }

    fn absorb(&mut self, other: Self) {
        self.moved |= other.moved;
        let mut all: Vec<(Act, u32)> = std::mem::take(&mut self.acts)
            .into_iter()
            .zip(std::mem::take(&mut self.pids))
            .chain(other.acts.into_iter().zip(other.pids))
            .collect();
        all.sort_by_key(|(a, _)| a.first);
        for (act, pid) in all {
            self.add(act, pid);
        }
    }
}

type Epoch = BTreeMap<RepoPath, Trace>;

#[derive(Default)]
struct Epochs {
    /// Since the last checkpoint.
    now: Epoch,
    /// What the checkpoint under way is about.
    cut: Epoch,
    /// Files that are open for writing: since when, and by whom.
    open: BTreeMap<RepoPath, (Time, u32)>,
}

struct Known {
    start: u64,
    above: u32,
    process: Process,
    looked: Instant,
}

/// Acts by path.
#[derive(Default)]
pub struct Log {
    /// Opens for reading.
    pub reads: Reads,
    on: AtomicBool,
    /// A file that is written again is to keep the state between: checkpoints are cut for it.
    finely: AtomicBool,
    epochs: Mutex<Epochs>,
    known: Mutex<HashMap<u32, Known>>,
    purse: Mutex<Purse>,
    /// Threads that wait for a checkpoint.
    waiting: AtomicUsize,
    /// Nobody may wait for a checkpoint.
    paused: AtomicBool,
    /// Processes older than this (in microseconds) are no session's.
    since: AtomicI64,
    cutter: OnceLock<Mutex<Sender<Between>>>,
}

/// A checkpoint is asked for, of the state between two acts at one path.
pub struct Between {
    path: RepoPath,
    /// The end of the first act.
    end: Time,
    /// Paths whose changes all came after that.
    pub later: HashSet<RepoPath>,
    /// To be told when changes do not matter to it any more.
    pub swapped: Sender<()>,
}

/// How many checkpoints may be asked for: some at once, few in the long run.
struct Purse {
    left: f64,
    at: Instant,
}

impl Default for Purse {
    fn default() -> Self {
        Self {
            left: MOST,
            at: Instant::now(),
        }
    }
}

impl Purse {
    fn pay(&mut self) -> bool {
        let now = Instant::now();
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * EARNED;
        self.left = (self.left + earned).min(MOST);
        self.at = now;
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    /// Begins to take note, of processes that were born since then; `None` ends it.
    pub fn watch(&self, since: Option<Time>) {
        if let Some(since) = since {
            let known = self.since.load(Ordering::Acquire);
            let earliest = if self.is_on() {
                known.min(since.0)
            } else {
                since.0
            };
            self.since.store(earliest, Ordering::Release);
        }
        self.on.store(since.is_some(), Ordering::Release);
        if since.is_none() {
            self.finely.store(false, Ordering::Release);
            *lock(&self.epochs) = Epochs::default();
            lock(&self.known).clear();
        }
    }

    /// Nobody waits for checkpoints while `f` runs.
    pub fn paused<R>(&self, f: impl FnOnce() -> R) -> R {
        self.paused.store(true, Ordering::Release);
        let out = f();
        self.paused.store(false, Ordering::Release);
        out
    }

    /// From now on the states between two acts at one path are kept.
    pub fn finely(&self) {
        self.finely.store(true, Ordering::Release);
    }

    /// Whether they are.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.finely.load(Ordering::Acquire)
    }

    /// Who cuts checkpoints when they are asked for.
    pub fn cutter(&self) -> Receiver<Between> {
        let (ask, asked) = channel();
        // A second one would never be asked.
        let _ = self.cutter.set(Mutex::new(ask));
        asked
    }

    /// Whether nobody has cut meanwhile what was asked for.
    #[must_use]
    pub fn still_wanted(&self, between: &Between) -> bool {
        let epochs = lock(&self.epochs);
        let last = epochs.now.get(&between.path).and_then(|t| t.acts.last());
        last.is_some_and(|a| a.last == between.end)
    }

    /// The end of the last act at `path`, if what comes now is another one.
    fn ended(epochs: &Epochs, path: &RepoPath) -> Option<Time> {
        let trace = epochs.now.get(path)?;
        let (last, by) = (trace.acts.last()?.last, trace.pids.last()?);
        let another = match epochs.open.get(path) {
            // Opened since then, and not by whoever is at it.
            Some((at, pid)) => *at > last && (pid != by || at.0 - last.0 > PAUSE),
            None => trace.closed || Time::now().0 - last.0 > PAUSE,
        };
        another.then_some(last)
    }

    /// `path` is about to change. If that is another act than the last one, waits until the state between is safe, but
    /// never long.
    fn between(&self, path: &RepoPath, touch: Touch) {
        if !self.is_fine() || self.paused.load(Ordering::Acquire) {
            return;
        }
        let (swapped, wait) = channel();
        let between = {
            let epochs = lock(&self.epochs);
            let Some(end) = Self::ended(&epochs, path) else {
                return;
            };
            // A file that gets its name once it is written.
            if touch == Touch::Remove && Time::now().0 - end.0 <= PAUSE {
                return;
            }
            let young = |t: &Trace| t.acts.first().is_some_and(|a| a.first > end);
            let later = epochs.now.iter().filter(|(_, t)| young(t));
            Between {
                path: path.clone(),
                end,
                later: later.map(|(p, _)| p.clone()).collect(),
                swapped,
            }
        };
        // Requests that a checkpoint may wait for must find a thread that is free.
        if self.waiting.fetch_add(1, Ordering::AcqRel) < WAITING
            && let Some(cutter) = self.cutter.get()
            && lock(&self.purse).pay()
            && lock(cutter).send(between).is_ok()
            && wait.recv_timeout(PATIENCE).is_err()
        {
            // Checkpoints cannot be cut now: little is gained by waiting for the next ones.
            lock(&self.purse).left -= LATE;
        }
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    fn opened(&self, path: &RepoPath, who: &Writer) {
        if self.is_fine() {
            lock(&self.epochs)
                .open
                .insert(path.clone(), (Time::now(), who.pid));
        }
    }

    fn closed(&self, path: &RepoPath) {
        if self.is_fine() {
            let mut epochs = lock(&self.epochs);
            epochs.open.remove(path);
            if let Some(trace) = epochs.now.get_mut(path) {
                trace.closed = true;
            }
        }
    }

    fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    fn act(&self, who: &Writer) -> Act {
        let now = Time::now();
        Act {
            first: now,
            last: now,
            cgroup: who.cgroup.clone(),
            line: self.line(who.pid),
        }
    }

    fn touched(&self, path: &RepoPath, who: &Writer) {
        if !self.is_on() || who.origin != Origin::Inside {
            return;
        }
        let act = self.act(who);
        let mut epochs = lock(&self.epochs);
        if epochs.now.len() < PATHS || epochs.now.contains_key(path) {
            epochs
                .now
                .entry(path.clone())
                .or_default()
                .add(act, who.pid);
        }
    }

    fn renamed(&self, from: &RepoPath, to: &RepoPath, exchange: bool, who: &Writer) {
        if !self.is_on() || who.origin != Origin::Inside {
            return;
        }
        let act = self.act(who);
        let mut epochs = lock(&self.epochs);
        subtree::rename(&mut epochs.now, from, to, exchange, Trace::absorb);
        subtree::rename(&mut epochs.open, from, to, exchange, |there, o| *there = o);
        for path in [from, to] {
            let trace = epochs.now.entry(path.clone()).or_default();
            trace.add(act.clone(), who.pid);
            trace.moved = true;
        }
    }

    /// A checkpoint begins, but for the paths in `later`; called while nothing is in flight.
    pub fn swap(&self, later: &HashSet<RepoPath>) {
        let mut epochs = lock(&self.epochs);
        let now = std::mem::take(&mut epochs.now);
        for (path, trace) in now {
            if later.contains(&path) && !trace.moved {
                epochs.now.insert(path, trace);
            } else {
                epochs.cut.entry(path).or_default().absorb(trace);
            }
        }
    }

    /// The checkpoint is over. If nothing was stored, its acts belong to the next one.
    pub fn over(&self, stored: bool) {
        if stored {
            lock(&self.epochs).cut.clear();
        }
    }

    /// The acts that made the change of `path` in the checkpoint under way, oldest first.
    #[must_use]
    pub fn of(&self, path: &RepoPath) -> Vec<Act> {
        let epochs = lock(&self.epochs);
        // Left for later, but taken along with a directory that is new.
        if !epochs.cut.contains_key(path) && epochs.now.contains_key(path) {
            return acts_of(&epochs.now, path);
        }
        acts_of(&epochs.cut, path)
    }

    /// What was done since the last checkpoint, at most at `limit` paths, and whether that is all.
    #[must_use]
    pub fn present(&self, limit: usize) -> (Vec<(RepoPath, Vec<Act>)>, bool) {
        let epochs = lock(&self.epochs);
        let some = epochs
            .now
            .iter()
            .take(limit)
            .map(|(path, t)| (path.clone(), t.acts.clone()))
            .collect();
        (some, epochs.now.len() <= limit)
    }

    /// The process and those that it descends from.
    fn line(&self, pid: u32) -> Arc<[Process]> {
        let mut known = lock(&self.known);
        if known.len() >= PROCESSES {
            known.clear();
        }
        let mut line = Vec::new();
        let mut at = pid;
        let now = Instant::now();
        while at > 1 && line.len() < HIGHEST {
            let fresh = known
                .get(&at)
                .is_some_and(|k| now.saturating_duration_since(k.looked) < FRESH);
            if !fresh {
                match look(at) {
                    Some(found) => _ = known.insert(at, found),
                    // Gone: what is remembered of it is the best there is.
                    None if known.contains_key(&at) => {}
                    None => break,
                }
            }
            let Some(k) = known.get(&at) else { break };
            // Whoever started the agent is none of our business.
            if k.process.born.0 < self.since.load(Ordering::Acquire) - PAUSE {
                break;
            }
            line.push(k.process.clone());
            // A parent is older than its child; else its number was given to another one.
            if known.get(&k.above).is_some_and(|p| p.start > k.start) {
                break;
            }
            at = k.above;
        }
        line.into()
    }
}

fn acts_of(epoch: &Epoch, path: &RepoPath) -> Vec<Act> {
    let mut acts = epoch.get(path).map_or_else(Vec::new, |t| t.acts.clone());
    let mut at = path.parent();
    while let Some(dir) = at {
        if let Some(trace) = epoch.get(&dir)
            && (trace.moved || acts.is_empty())
        {
            acts.extend(trace.acts.iter().cloned());
        }
        at = dir.parent();
    }
    acts.sort_by_key(|a| a.last);
    acts
}

/// What `/proc` shows of a process.
fn look(pid: u32) -> Option<Known> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, parentheses too: what follows the last one is numbers.
    let after = stat.iter().rposition(|b| *b == b')')? + 1;
    let mut fields = std::str::from_utf8(stat.get(after..)?)
        .ok()?
        .split_ascii_whitespace();
    let above = fields.nth(1)?.parse().ok()?;
    let start: u64 = fields.nth(17)?.parse().ok()?;
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = line.get(..4 * COMMAND).unwrap_or(&line);
    Some(Known {
        start,
        above,
        process: Process {
            pid,
            born: born(start),
            command: squeezed(&String::from_utf8_lossy(line)),
        },
        looked: Instant::now(),
    })
}

/// When a process began whose start is so many clock ticks after the machine's.
fn born(ticks: u64) -> Time {
    let up = clock_gettime(ClockId::Boottime);
    let up = up.tv_sec * 1_000_000 + up.tv_nsec / 1000;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let start = i64::try_from(ticks.saturating_mul(1_000_000) / per_second).unwrap_or(i64::MAX);
    Time(Time::now().0.saturating_sub(up.saturating_sub(start)))
}

/// Writes the log, and passes everything on to the recorder.
pub struct Touches {
    next: Arc<dyn Observer>,
    out: Box<dyn Fn(&RepoPath) -> bool + Send + Sync>,
    log: Arc<Log>,
}

impl Touches {
    /// Before `recorder`.
    #[must_use]
    pub fn new(recorder: Arc<Recorder>, log: Arc<Log>) -> Self {
        let of = Arc::clone(&recorder);
        Self::before(recorder, Box::new(move |path| of.out(path)), log)
    }

    /// Before anybody else who takes note of changes, but for those where `out` holds.
    #[must_use]
    pub fn before(
        next: Arc<dyn Observer>,
        out: Box<dyn Fn(&RepoPath) -> bool + Send + Sync>,
        log: Arc<Log>,
    ) -> Self {
        Self { next, out, log }
    }
}

impl Observer for Touches {
    fn before(&self, path: &RepoPath, touch: Touch) {
        if touch != Touch::Meta {
            self.log.between(path, touch);
        }
        self.next.before(path, touch);
    }

    // The log first: a checkpoint that comes between finds the act, if too early, never a change without one.
    fn changed(&self, path: &RepoPath, touch: Touch, who: &Writer) {
        if self.log.is_on() && !(self.out)(path) {
            self.log.touched(path, who);
        }
        self.next.changed(path, touch, who);
    }

    fn renamed(&self, from: &RepoPath, to: &RepoPath, exchange: bool, who: &Writer) {
        self.log.renamed(from, to, exchange, who);
        self.next.renamed(from, to, exchange, who);
    }

    fn opened_for_write(&self, path: &RepoPath, who: &Writer) {
        self.log.opened(path, who);
        self.next.opened_for_write(path, who);
    }

    fn wants_reads(&self) -> bool {
        true
    }

    fn opened_for_read(&self, path: &RepoPath, who: &Writer) {
        self.log.reads.add(path, who);
    }

    fn closed_for_write(&self, path: &RepoPath) {
        self.log.closed(path);
        self.next.closed_for_write(path);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn p(s: &str) -> RepoPath {
        RepoPath::try_from(s).unwrap()
    }

    fn me() -> Writer {
        Writer {
            origin: Origin::Inside,
            pid: std::process::id(),
            comm: "me".into(),
            cgroup: "/x".into(),
        }
    }

    #[test]
    fn acts_follow_renames_and_epochs() {
        let log = Log::default();
        log.touched(&p("a"), &me());
        assert!(log.present(10).0.is_empty(), "nobody runs");
        log.watch(Some(Time(0)));
        log.touched(&p("d/a"), &me());
        log.touched(&p("d/a"), &me());
        log.touched(&p("d/a"), &Writer::outside());
        std::thread::sleep(Duration::from_millis(30));
        log.renamed(&p("d"), &p("e"), false, &me());
        log.swap(&HashSet::new());
        assert!(log.present(10).0.is_empty());
        log.touched(&p("e/a"), &me());
        assert_eq!(log.of(&p("e/a")).len(), 2, "its own, and the directory's");
        assert_eq!(log.of(&p("e/b")).len(), 1, "the directory's");
        assert_eq!(log.of(&p("x")).len(), 0);
        log.over(false);
        log.swap(&HashSet::new());
        assert!(log.of(&p("e/a")).len() >= 2, "nothing was stored");
        log.over(true);
        assert!(log.of(&p("e/a")).is_empty());
    }

    #[test]
    fn another_act_is_told_from_one_that_goes_on() {
        let log = Log::default();
        log.watch(Some(Time(0)));
        log.finely();
        let (f, me, other) = (p("f"), me(), Writer { pid: 1, ..me() });
        let ended = || Log::ended(&lock(&log.epochs), &f).is_some();
        // Opened and emptied at once, then written.
        log.touched(&f, &me);
        log.opened(&f, &me);
        assert!(!ended());
        log.touched(&f, &me);
        std::thread::sleep(Duration::from_millis(30));
        assert!(!ended(), "a slow writer");
        log.closed(&f);
        assert!(ended());
        log.swap(&HashSet::new());
        assert!(!ended(), "nothing since the checkpoint");
        log.touched(&f, &me);
        log.opened(&f, &other);
        assert!(ended(), "somebody else's turn");
    }

    #[test]
    fn processes_are_known_with_their_birth_and_command() {
        let log = Log::default();
        let before = Time::now();
        let strangers = || {
            log.since
                .store(Time::now().0 + 1_000_000, Ordering::Release);
        };
        let mut child = std::process::Command::new("sh")
            .args(["-c", "sleep 5; true 'a b'"])
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(30));
        let line = log.line(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(line[0].command, "sh-csleep5;trueab");
        assert!((line[0].born.0 - before.0).abs() < 40_000, "{line:?}");
        assert_eq!(line[1].pid, std::process::id());
        assert_eq!(log.line(child.id())[0], line[0], "remembered");
        strangers();
        assert!(log.line(child.id()).is_empty(), "older than every session");
    }
}
