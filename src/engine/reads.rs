//! Who opened which file for reading, and during which call.
//!
//! An open that reaches a view is noted while the process waits for its answer, so that it is there to be looked at; a file
//! that the same process opens again within a second is noted once. Each second what was noted goes to a file beside the
//! store, of which the newest megabytes are kept: what was read explains a step, it is no history that anything else is
//! made of. Which call it was is worked out when somebody asks, from the times of the calls: a transcript tells of them late.
//!
//! What is opened behind the mount reaches nobody here, nor does what the kernel reads of a file that is open already.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Ordinal, RepoPath, Session, Step, StepKind, Time, Writer};

use super::api::{ApiError, ErrorCode, ReadInfo};
use super::core::{Core, Failure};

/// How often what was noted is kept.
const EVERY: Duration = Duration::from_secs(1);
/// Opens noted in that time; more are counted.
const MOST: usize = 20_000;
/// A file of notes is put aside at this length, and the one that was aside goes.
const LONGEST: u64 = 24 << 20;
/// Most opens in one answer; the newest.
const ANSWER: usize = 100_000;
/// Steps looked at together.
const PAGE: usize = 1_000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens of one view since they were last kept.
#[derive(Debug, Default)]
pub struct Reads {
    now: Mutex<Batch>,
}

#[derive(Debug, Default)]
struct Batch {
    readers: HashMap<(u32, String), Reader>,
    noted: usize,
}

#[derive(Debug)]
struct Reader {
    exe: String,
    cgroup: String,
    seen: HashMap<RepoPath, i64>,
    more: u64,
}

/// What one process read in a second, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    /// The branch of the fork; the workspace when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    branch: Option<String>,
    pid: u32,
    comm: String,
    exe: String,
    cgroup: String,
    /// When, and which.
    paths: Vec<(Time, RepoPath)>,
    /// So many were not noted.
    #[serde(default, skip_serializing_if = "is_zero")]
    more: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Reads {
    /// `who` has opened `path`, and waits for the answer.
    pub fn add(&self, path: &RepoPath, who: &Writer) {
        let now = Time::now().0;
        let mut batch = lock(&self.now);
        let full = batch.noted >= MOST;
        let reader = batch
            .readers
            .entry((who.pid, who.comm.clone()))
            .or_insert_with(|| Reader {
                exe: executable(who.pid),
                cgroup: who.cgroup.clone(),
                seen: HashMap::new(),
                more: 0,
            });
        if reader.seen.contains_key(path) {
            return;
        }
        if full {
            reader.more += 1;
            return;
        }
        reader.seen.insert(path.clone(), now);
        batch.noted += 1;
    }

    fn take(&self, branch: Option<&str>) -> Vec<Line> {
        let batch = std::mem::take(&mut *lock(&self.now));
        batch
            .readers
            .into_iter()
            .map(|((pid, comm), reader)| {
                let mut paths: Vec<_> = reader
                    .seen
                    .into_iter()
                    .map(|(path, at)| (Time(at), path))
                    .collect();
                paths.sort();
                Line {
                    branch: branch.map(str::to_owned),
                    pid,
                    comm,
                    exe: reader.exe,
                    cgroup: reader.cgroup,
                    paths,
                    more: reader.more,
                }
            })
            .collect()
    }
}

/// The program that a process runs; empty when it cannot be seen.
fn executable(pid: u32) -> String {
    std::fs::read_link(format!("/proc/{pid}/exe"))
        .map(|path| path.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// A call, as far as reads are concerned.
struct Call {
    step: Ordinal,
    begin: i64,
    end: i64,
    /// Where the session's processes are; empty where that is not known.
    cgroup: String,
    branch: Option<String>,
}

impl Call {
    fn of(step: &Step, session: Option<&Session>) -> Self {
        Self {
            step: step.ordinal,
            begin: step.time.0,
            // It runs still, or its session ended without a result.
            end: step
                .end
                .or(session.and_then(|s| s.end))
                .map_or(i64::MAX, |t| t.0),
            cgroup: session.map(|s| s.cgroup.clone()).unwrap_or_default(),
            branch: session.and_then(|s| s.branch.clone()),
        }
    }
}

/// Whether a process in `cgroup` belongs to what was put into `of`.
fn within(cgroup: &str, of: &str) -> bool {
    cgroup
        .strip_prefix(of)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether the process belongs to that session; where sessions have no cgroup of their own, whoever reads while one runs
/// is taken for it.
fn belongs(line: &Line, session: &Session, at: Time) -> bool {
    if session.imported || session.branch != line.branch {
        return false;
    }
    if session.cgroup.is_empty() {
        return session.start <= at && session.end.is_none_or(|end| at <= end);
    }
    within(&line.cgroup, &session.cgroup)
}

impl Core {
    /// Begins to keep what is noted.
    pub(super) fn keep_reads(self: &Arc<Self>) {
        let core = Arc::downgrade(self);
        let run = move || {
            loop {
                std::thread::sleep(EVERY);
                let Some(core) = core.upgrade() else { return };
                core.flush_reads();
            }
        };
        if let Err(e) = std::thread::Builder::new()
            .name("reads".to_owned())
            .spawn(run)
        {
            tracing::warn!("what is read is not kept: {e}");
        }
    }

    fn reads_file(&self) -> PathBuf {
        self.project.store_dir.join("reads.ndjson")
    }

    /// Keeps what was noted until now.
    pub(super) fn flush_reads(&self) {
        let lines: Vec<Line> = self
            .timeline
            .all_ties()
            .iter()
            .flat_map(|(branch, ties)| ties.log.reads.take(branch.as_deref()))
            .collect();
        if lines.is_empty() {
            return;
        }
        if let Err(e) = self.append_reads(&lines) {
            self.warn(format!("what agents read is not noted: {e}"));
        }
    }

    fn append_reads(&self, lines: &[Line]) -> std::io::Result<()> {
        let path = self.reads_file();
        let _one = lock(&self.reads);
        if path.metadata().is_ok_and(|m| m.len() > LONGEST) {
            std::fs::rename(&path, path.with_extension("1.ndjson"))?;
        }
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)?
            .write_all(&text)
    }

    /// What was opened for reading, oldest first: all that is known, or during one call.
    pub(super) fn reads(&self, step: Option<Ordinal>) -> Result<Vec<ReadInfo>, Failure> {
        self.flush_reads();
        let sessions: HashMap<_, _> = self
            .store
            .sessions()?
            .into_iter()
            .map(|s| (s.id, s))
            .collect();
        let session_of = |step: &Step| step.session.and_then(|id| sessions.get(&id));
        let mut calls = Vec::new();
        let mut after = None;
        loop {
            let page = self.store.steps_after(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.ordinal);
            calls.extend(
                page.iter()
                    .filter(|s| s.kind == StepKind::Call)
                    .map(|s| Call::of(s, session_of(s))),
            );
        }
        let only = step
            .map(|n| {
                calls.iter().find(|c| c.step == n).ok_or_else(|| {
                    ApiError::new(
                        ErrorCode::NotFound,
                        format!(
                            "step {n} is no tool call: `backtrail reads` lists all that was read"
                        ),
                    )
                })
            })
            .transpose()?;
        let only = only.map(|c| (c.step, c.begin, c.end));
        calls.sort_by_key(|c| c.begin);
        let mut out = Vec::new();
        let _one = lock(&self.reads);
        let path = self.reads_file();
        for file in [path.with_extension("1.ndjson"), path] {
            let Ok(file) = File::open(file) else { continue };
            // A line that a crash cut off, or that is no text, ends nothing.
            for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
                let Ok(line) = serde_json::from_slice::<Line>(&line) else {
                    continue;
                };
                let inside = |at: Time| sessions.values().any(|s| belongs(&line, s, at));
                for (at, path) in &line.paths {
                    if only.is_some_and(|(_, begin, end)| at.0 < begin || at.0 > end) {
                        continue;
                    }
                    let (ours, steps) = during(&calls, &line, *at);
                    if only.is_some_and(|(n, _, _)| !steps.contains(&n)) {
                        continue;
                    }
                    out.push(ReadInfo {
                        time: *at,
                        path: path.clone(),
                        pid: line.pid,
                        comm: line.comm.clone(),
                        exe: line.exe.clone(),
                        cgroup: line.cgroup.clone(),
                        inside: ours || inside(*at),
                        steps,
                        branch: line.branch.clone(),
                    });
                }
            }
        }
        out.sort_by(|a, b| (a.time, &a.path).cmp(&(b.time, &b.path)));
        if out.len() > ANSWER {
            out.drain(..out.len() - ANSWER);
        }
        Ok(out)
    }
}

/// The calls that were open when it was read, of those whose session the process belongs to; when it belongs to none,
/// all that were open in that view. And whether it belongs to one.
fn during(calls: &[Call], line: &Line, at: Time) -> (bool, Vec<Ordinal>) {
    let begun = calls.partition_point(|c| c.begin <= at.0);
    let open: Vec<&Call> = calls
        .get(..begun)
        .unwrap_or_default()
        .iter()
        .filter(|c| c.end >= at.0 && c.branch == line.branch)
        .collect();
    let own = |c: &&&Call| c.cgroup.is_empty() || within(&line.cgroup, &c.cgroup);
    let ours: Vec<Ordinal> = open.iter().filter(own).map(|c| c.step).collect();
    if ours.is_empty() {
        return (false, open.iter().map(|c| c.step).collect());
    }
    (true, ours)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::model::Origin;

    fn p(s: &str) -> RepoPath {
        RepoPath::try_from(s).unwrap()
    }

    fn who(pid: u32, comm: &str) -> Writer {
        Writer {
            origin: Origin::Inside,
            pid,
            comm: comm.to_owned(),
            cgroup: "/s/1/x".into(),
        }
    }

    #[test]
    fn once_a_second_each_and_never_without_bound() {
        let reads = Reads::default();
        for _ in 0..3 {
            reads.add(&p("a"), &who(1, "cat"));
        }
        reads.add(&p("a"), &who(1, "rg"));
        for n in 0..MOST + 10 {
            reads.add(&p(&format!("f{n}")), &who(2, "find"));
        }
        let mut lines = reads.take(Some("b"));
        lines.sort_by(|a, b| a.comm.cmp(&b.comm));
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0].paths.len(), 1);
        assert_eq!(lines[1].paths.len(), MOST - 2);
        assert_eq!(lines[1].more, 12);
        assert_eq!(lines[2].branch.as_deref(), Some("b"));
        assert!(reads.take(None).is_empty());
        let text = serde_json::to_string(&lines[0]).unwrap();
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), lines[0]);
    }

    fn call(step: u64, begin: i64, end: i64, cgroup: &str) -> Call {
        Call {
            step: Ordinal {
                major: step,
                minor: 0,
            },
            begin,
            end,
            cgroup: cgroup.into(),
            branch: None,
        }
    }

    #[test]
    fn whose_process_it_is() {
        let session = |cgroup: &str, end| Session {
            id: crate::model::SessionId([1; 32]),
            native: "n".into(),
            agent: "a".into(),
            command: String::new(),
            cgroup: cgroup.into(),
            start: Time(10),
            end,
            exit_code: None,
            imported: false,
            branch: None,
        };
        let line = |cgroup: &str, branch: Option<&str>| Line {
            branch: branch.map(str::to_owned),
            pid: 1,
            comm: "x".into(),
            exe: String::new(),
            cgroup: cgroup.into(),
            paths: Vec::new(),
            more: 0,
        };
        let known = session("/s/1", None);
        assert!(belongs(&line("/s/1/deep", None), &known, Time(0)));
        assert!(!belongs(&line("/s/12", None), &known, Time(50)));
        assert!(!belongs(&line("/s/1", Some("b")), &known, Time(50)));
        // Without a group only the time can tell.
        let loose = session("", Some(Time(20)));
        assert!(belongs(&line("/any", None), &loose, Time(15)));
        assert!(!belongs(&line("/any", None), &loose, Time(21)));
        assert!(!belongs(&line("/any", None), &loose, Time(9)));
    }

    #[test]
    fn the_open_call_of_the_own_session_else_any() {
        let calls = [
            call(1, 10, 20, "/s/1"),
            call(2, 15, 40, "/s/2"),
            call(3, 18, i64::MAX, "/s/1"),
        ];
        let line = |cgroup: &str| Line {
            branch: None,
            pid: 1,
            comm: "x".into(),
            exe: String::new(),
            cgroup: cgroup.into(),
            paths: Vec::new(),
            more: 0,
        };
        let steps = |cgroup: &str, at| {
            let (ours, steps) = during(&calls, &line(cgroup), Time(at));
            (ours, steps.iter().map(|o| o.major).collect::<Vec<_>>())
        };
        assert_eq!(steps("/s/1/sub", 12), (true, vec![1]));
        assert_eq!(steps("/s/1", 19), (true, vec![1, 3]));
        assert_eq!(steps("/s/2", 19), (true, vec![2]));
        // A group whose name only begins alike is another one.
        assert_eq!(steps("/s/11", 19), (false, vec![1, 2, 3]));
        assert_eq!(steps("/s/2", 5), (false, vec![]));
    }
}
