//! Who touched which path, when, and what they descend from: the evidence by which a change finds its call.
//!
//! It stands between the mounted view and the recorder, and is written while a session runs. A path's acts are kept from one
//! checkpoint to the next, in epochs that change at the very moment at which the recorder's do, with nothing in flight.
//! Processes are looked at while they wait for the answer to their request: a moment later they may be gone.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

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

/// What happened at a path.
#[derive(Debug, Clone, Default)]
struct Trace {
    acts: Vec<Act>,
    pids: Vec<u32>,
    /// It got or lost its name by a rename: its acts are those of everything below.
    moved: bool,
}

impl Trace {
    fn add(&mut self, act: Act, pid: u32) {
        if let (Some(last), Some(by)) = (self.acts.last_mut(), self.pids.last())
            && *by == pid
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
    on: AtomicBool,
    epochs: Mutex<Epochs>,
    known: Mutex<HashMap<u32, Known>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    /// Begins or ends to take note.
    pub fn watch(&self, on: bool) {
        self.on.store(on, Ordering::Release);
        if !on {
            *lock(&self.epochs) = Epochs::default();
            lock(&self.known).clear();
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
        for path in [from, to] {
            let trace = epochs.now.entry(path.clone()).or_default();
            trace.add(act.clone(), who.pid);
            trace.moved = true;
        }
    }

    /// A checkpoint begins; called while nothing is in flight.
    pub fn swap(&self) {
        let mut epochs = lock(&self.epochs);
        let now = std::mem::take(&mut epochs.now);
        for (path, trace) in now {
            epochs.cut.entry(path).or_default().absorb(trace);
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
        acts_of(&lock(&self.epochs).cut, path)
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
    recorder: Arc<Recorder>,
    log: Arc<Log>,
}

impl Touches {
    /// Before `recorder`.
    #[must_use]
    pub fn new(recorder: Arc<Recorder>, log: Arc<Log>) -> Self {
        Self { recorder, log }
    }
}

impl Observer for Touches {
    fn before(&self, path: &RepoPath, touch: Touch) {
        self.recorder.before(path, touch);
    }

    // The log first: a checkpoint that comes between finds the act, if too early, never a change without one.
    fn changed(&self, path: &RepoPath, touch: Touch, who: &Writer) {
        self.log.touched(path, who);
        self.recorder.changed(path, touch, who);
    }

    fn renamed(&self, from: &RepoPath, to: &RepoPath, exchange: bool, who: &Writer) {
        self.log.renamed(from, to, exchange, who);
        self.recorder.renamed(from, to, exchange, who);
    }

    fn opened_for_write(&self, path: &RepoPath, who: &Writer) {
        self.recorder.opened_for_write(path, who);
    }

    fn closed_for_write(&self, path: &RepoPath) {
        self.recorder.closed_for_write(path);
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
        log.watch(true);
        log.touched(&p("d/a"), &me());
        log.touched(&p("d/a"), &me());
        log.touched(&p("d/a"), &Writer::outside());
        std::thread::sleep(Duration::from_millis(30));
        log.renamed(&p("d"), &p("e"), false, &me());
        log.swap();
        assert!(log.present(10).0.is_empty());
        log.touched(&p("e/a"), &me());
        assert_eq!(log.of(&p("e/a")).len(), 2, "its own, and the directory's");
        assert_eq!(log.of(&p("e/b")).len(), 1, "the directory's");
        assert_eq!(log.of(&p("x")).len(), 0);
        log.over(false);
        log.swap();
        assert!(log.of(&p("e/a")).len() >= 2, "nothing was stored");
        log.over(true);
        assert!(log.of(&p("e/a")).is_empty());
    }

    #[test]
    fn processes_are_known_with_their_birth_and_command() {
        let log = Log::default();
        let before = Time::now();
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
    }
}
