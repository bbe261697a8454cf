//! The gate that every mutating request passes, so that a checkpoint or a rollback finds a moment with nothing in flight.
//!
//! Invariants:
//! * A dispatching thread never waits here longer than a swap of epochs. A request that would wait longer is *parked*:
//!   it owns its reply and is answered later by another thread.
//! * Every request that came in is run exactly once, with `Ok(())` after being let through or with [`Expired`] once its
//!   deadline has passed; none is lost. The kernel offers no other way out: a process that waits for a parked request
//!   cannot even be killed.
//! * Parked requests run in the order in which they came.
//! * [`Gate::swap`] and [`Gate::close`] return (or call) only when nothing is in flight.
//!
//! A request must not call back into `swap` or `close`: it would wait for itself.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// How long a request may stay parked before it is answered with [`Expired`].
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How long a dispatching thread waits for a swap before it parks the request instead. A swap takes microseconds; it
/// takes longer only when a request in flight does.
const PATIENCE: Duration = Duration::from_millis(5);

/// The request stayed parked until its deadline and was not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the file system was held for too long; the request was given up")]
pub struct Expired;

/// Work to do right after a request has left the gate, on the same thread.
pub type After = Box<dyn FnOnce() + Send>;
type Job = Box<dyn FnOnce(Result<(), Expired>) -> Option<After> + Send>;

struct Parked {
    job: Job,
    due: Instant,
}

struct State {
    closed: bool,
    swapping: bool,
    in_flight: usize,
    parked: VecDeque<Parked>,
    /// Whether the worker thread lives. It does while something is parked.
    worker: bool,
    /// The thread that is answering parked requests while the gate is closed: it may pass.
    admitted: Option<ThreadId>,
    /// Counts swaps and closings.
    epoch: u64,
    deadline: Duration,
}

/// See the module's words. Shared by all views of a project.
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let s = self.lock();
        f.debug_struct("Gate")
            .field("closed", &s.closed)
            .field("in_flight", &s.in_flight)
            .field("parked", &s.parked.len())
            .finish_non_exhaustive()
    }
}

impl Gate {
    /// An open gate.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                closed: false,
                swapping: false,
                in_flight: 0,
                parked: VecDeque::new(),
                worker: false,
                admitted: None,
                epoch: 0,
                deadline: DEADLINE,
            }),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, s: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(s).unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for<'a>(&self, s: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        self.changed
            .wait_timeout(s, time)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    /// Sets how long a request parked from now on may wait.
    pub fn set_deadline(&self, deadline: Duration) {
        self.lock().deadline = deadline;
    }

    /// How many swaps and closings there were. What was prepared under one count must be prepared again under another.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// How many requests are parked.
    #[must_use]
    pub fn parked(&self) -> usize {
        self.lock().parked.len()
    }

    /// Runs `f` at once when open (it counts as in flight while it runs), else parks it. A parked one that passes its
    /// deadline is run with `Err(Expired)`, so that it answers its request with an error.
    pub fn pass(self: &Arc<Self>, f: Box<dyn FnOnce(Result<(), Expired>) + Send>) {
        self.enter(Box::new(move |entered| {
            f(entered);
            None
        }));
    }

    /// As [`Gate::pass`]; what `f` returns is run right after it has left the gate.
    pub fn enter(self: &Arc<Self>, job: Job) {
        let started = Instant::now();
        let mut s = self.lock();
        loop {
            let held = s.closed && s.admitted != Some(thread::current().id());
            if held || (s.swapping && started.elapsed() >= PATIENCE) {
                self.park(s, job);
                return;
            }
            if !s.swapping {
                break;
            }
            s = self.wait_for(s, PATIENCE);
        }
        s.in_flight += 1;
        drop(s);
        self.run(job);
    }

    /// For what must never be parked: the kernel's own write-back of shared mappings. Holding it would use up the
    /// kernel's background requests, and an invalidation of that file would wait for it. Excluded from a swap, but let
    /// through while closed.
    pub fn enter_always(self: &Arc<Self>, job: Job) {
        let mut s = self.lock();
        while s.swapping {
            s = self.wait(s);
        }
        s.in_flight += 1;
        drop(s);
        self.run(job);
    }

    /// Runs a job that is already counted as in flight.
    fn run(&self, job: Job) {
        let after = {
            let _in_flight = InFlight(self);
            job(Ok(()))
        };
        if let Some(after) = after {
            after();
        }
    }

    fn park(self: &Arc<Self>, mut s: MutexGuard<'_, State>, job: Job) {
        let due = Instant::now() + s.deadline;
        s.parked.push_back(Parked { job, due });
        if s.worker {
            drop(s);
            self.changed.notify_all();
            return;
        }
        s.worker = true;
        drop(s);
        let gate = Arc::clone(self);
        let worker = thread::Builder::new()
            .name("gate".to_owned())
            .spawn(move || gate.work());
        if worker.is_err() {
            // Without a thread nobody would keep the deadline: give up what is parked rather than hang it.
            let mut s = self.lock();
            s.worker = false;
            let parked = std::mem::take(&mut s.parked);
            drop(s);
            for p in parked {
                let _ = catch_unwind(AssertUnwindSafe(|| (p.job)(Err(Expired))));
            }
        }
    }

    /// Keeps the deadlines of what is parked, and runs it once the gate is open. Ends when nothing is parked.
    fn work(&self) {
        let mut s = self.lock();
        loop {
            let now = Instant::now();
            if let Some(i) = s.parked.iter().position(|p| p.due <= now) {
                if let Some(p) = s.parked.remove(i) {
                    drop(s);
                    let _ = catch_unwind(AssertUnwindSafe(|| (p.job)(Err(Expired))));
                    s = self.lock();
                }
                continue;
            }
            let Some(due) = s.parked.iter().map(|p| p.due).min() else {
                s.worker = false;
                return;
            };
            if s.closed || s.swapping {
                s = self.wait_for(s, due.saturating_duration_since(now));
                continue;
            }
            if let Some(p) = s.parked.pop_front() {
                s.in_flight += 1;
                drop(s);
                let _ = catch_unwind(AssertUnwindSafe(|| self.run(p.job)));
                s = self.lock();
            }
        }
    }

    /// Waits for what is in flight, then runs `f` with nothing in flight; requests of dispatching threads wait only for
    /// that moment.
    pub fn swap<R>(&self, f: impl FnOnce() -> R) -> R {
        let mut s = self.lock();
        while s.swapping {
            s = self.wait(s);
        }
        s.swapping = true;
        let _swapping = Swapping(self);
        while s.in_flight > 0 {
            s = self.wait(s);
        }
        s.epoch += 1;
        drop(s);
        f()
    }

    /// Closes the gate: from now on mutating requests are parked. Returns when nothing is in flight any more. A second
    /// closing waits until the first is over.
    pub fn close(self: &Arc<Self>) -> Closed {
        let mut s = self.lock();
        while s.closed {
            s = self.wait(s);
        }
        s.closed = true;
        s.epoch += 1;
        let closed = Closed(Arc::clone(self));
        while s.in_flight > 0 {
            s = self.wait(s);
        }
        drop(s);
        closed
    }
}

/// The gate is closed while this lives. Dropping it opens the gate; what is parked is then run on a worker thread.
#[derive(Debug)]
pub struct Closed(Arc<Gate>);

impl Closed {
    /// Lets through, in order and on this thread, everything that is parked now, although the gate stays closed: a
    /// process that waits for an answer cannot be frozen. What comes in meanwhile is parked and wants another call.
    pub fn answer_parked(&self) {
        let gate = &self.0;
        let mut s = gate.lock();
        let mut left = s.parked.len();
        s.admitted = Some(thread::current().id());
        let _admitted = Admitted(gate);
        while left > 0 {
            while s.swapping {
                s = gate.wait(s);
            }
            let Some(p) = s.parked.pop_front() else { break };
            s.in_flight += 1;
            drop(s);
            let _ = catch_unwind(AssertUnwindSafe(|| gate.run(p.job)));
            s = gate.lock();
            left -= 1;
        }
        drop(s);
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.lock().closed = false;
        self.0.changed.notify_all();
    }
}

struct InFlight<'a>(&'a Gate);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let mut s = self.0.lock();
        s.in_flight -= 1;
        let last = s.in_flight == 0;
        drop(s);
        if last {
            self.0.changed.notify_all();
        }
    }
}

struct Swapping<'a>(&'a Gate);

impl Drop for Swapping<'_> {
    fn drop(&mut self) {
        self.0.lock().swapping = false;
        self.0.changed.notify_all();
    }
}

struct Admitted<'a>(&'a Gate);

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.0.lock().admitted = None;
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
