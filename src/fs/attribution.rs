//! Who asked: from the thread id in a request to the process, its short name and its cgroup.
//!
//! The kernel sends the id of the *thread*. What people and sessions know is the process, so the thread is mapped to it.
//! Reading `/proc` costs ten microseconds or more, a third of a request; answers are kept, and trusted without a look for
//! two milliseconds only, because a shell forks, opens the output file and then becomes another program within a few.
//! A process that is gone, or one that the engine cannot see, yields empty strings.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::{Origin, Writer};

/// For how long an answer is used without any look at `/proc`.
const FRESH: Duration = Duration::from_millis(2);
/// For how long a cgroup is believed once the thread was seen to be the same.
const CGROUP: Duration = Duration::from_millis(200);
/// Threads remembered; all are forgotten when there are more.
const LIMIT: usize = 4096;

struct Known {
    start: u64,
    checked: Instant,
    cgroup_read: Instant,
    writer: Writer,
}

/// Finds the writer behind a request.
#[derive(Default)]
pub struct Attribution {
    known: Mutex<HashMap<u32, Known>>,
}

impl std::fmt::Debug for Attribution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attribution").finish_non_exhaustive()
    }
}

impl Attribution {
    /// The writer behind thread `tid`.
    pub fn of(&self, tid: u32) -> Writer {
        if tid == 0 {
            return unknown(0);
        }
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(k) = known.get(&tid)
            && now.duration_since(k.checked) < FRESH
        {
            return k.writer.clone();
        }
        let Some(stat) = Stat::read(tid) else {
            // Gone already; what is remembered of it is the best there is.
            return known
                .remove(&tid)
                .map_or_else(|| unknown(tid), |k| k.writer);
        };
        if let Some(k) = known.get_mut(&tid)
            && k.start == stat.start
        {
            k.checked = now;
            k.writer.comm = if k.writer.pid == tid {
                stat.comm
            } else {
                Stat::read(k.writer.pid).map_or(stat.comm, |s| s.comm)
            };
            if now.duration_since(k.cgroup_read) >= CGROUP {
                k.cgroup_read = now;
                k.writer.cgroup = cgroup(tid);
            }
            return k.writer.clone();
        }
        let pid = process(tid).unwrap_or(tid);
        let comm = if pid == tid {
            stat.comm
        } else {
            Stat::read(pid).map_or(stat.comm, |s| s.comm)
        };
        let writer = Writer {
            origin: Origin::Inside,
            pid,
            comm,
            cgroup: cgroup(tid),
        };
        if known.len() >= LIMIT {
            known.clear();
        }
        known.insert(
            tid,
            Known {
                start: stat.start,
                checked: now,
                cgroup_read: now,
                writer: writer.clone(),
            },
        );
        writer
    }
}

/// A process of which nothing more is known.
pub(crate) fn unknown(pid: u32) -> Writer {
    Writer {
        origin: Origin::Inside,
        pid,
        comm: String::new(),
        cgroup: String::new(),
    }
}

/// The two fields of `/proc/TID/stat` that matter here.
struct Stat {
    comm: String,
    /// In clock ticks since boot; with the id it names one thread for good.
    start: u64,
}

impl Stat {
    fn read(tid: u32) -> Option<Self> {
        Self::parse(&std::fs::read(format!("/proc/{tid}/stat")).ok()?)
    }

    /// `1234 (name) S 1 ...`: the name may hold anything, parentheses and spaces too.
    fn parse(line: &[u8]) -> Option<Self> {
        let open = line.iter().position(|b| *b == b'(')?;
        let close = line.iter().rposition(|b| *b == b')')?;
        let comm = String::from_utf8_lossy(line.get(open + 1..close)?).into_owned();
        // After the name come fields 3, 4, ...; the start time is field 22.
        let start = std::str::from_utf8(line.get(close + 1..)?)
            .ok()?
            .split_ascii_whitespace()
            .nth(19)?
            .parse()
            .ok()?;
        Some(Self { comm, start })
    }
}

/// The process that thread `tid` belongs to.
fn process(tid: u32) -> Option<u32> {
    let status = std::fs::read(format!("/proc/{tid}/status")).ok()?;
    String::from_utf8_lossy(&status)
        .lines()
        .find_map(|l| l.strip_prefix("Tgid:")?.trim().parse().ok())
}

/// The cgroup v2 path: the line of hierarchy 0.
fn cgroup(tid: u32) -> String {
    std::fs::read(format!("/proc/{tid}/cgroup"))
        .ok()
        .and_then(|text| {
            String::from_utf8_lossy(&text)
                .lines()
                .find_map(|l| l.strip_prefix("0::").map(str::to_owned))
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn names_hold_anything() {
        let line = b"7 (a) (b\xff c) R 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 2";
        let s = Stat::parse(line).unwrap();
        assert_eq!(s.comm, "a) (b\u{fffd} c");
        assert_eq!(s.start, 4711);
        assert!(Stat::parse(b"7 (a").is_none());
        assert!(Stat::parse(b"").is_none());
    }

    #[test]
    fn a_thread_counts_as_its_process() {
        let a = Attribution::default();
        let tid = std::thread::spawn(|| rustix::thread::gettid().as_raw_nonzero().get())
            .join()
            .unwrap();
        // That thread is gone now: nothing is known, and nothing fails.
        let gone = a.of(u32::try_from(tid).unwrap());
        assert_eq!(gone.cgroup, "");
        let (send, receive) = std::sync::mpsc::channel();
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let t = std::thread::spawn(move || {
            send.send(rustix::thread::gettid().as_raw_nonzero().get())
                .unwrap();
            let _ = wait.recv();
        });
        let tid = u32::try_from(receive.recv().unwrap()).unwrap();
        let who = a.of(tid);
        assert_eq!(who.pid, std::process::id());
        assert_eq!(who, a.of(tid));
        let me = std::fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(who.comm, me.trim_end());
        drop(done);
        t.join().unwrap();
        assert_eq!(a.of(0).pid, 0);
    }
}
