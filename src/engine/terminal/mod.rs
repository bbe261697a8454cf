//! Terminals of agents: where they are served and recorded, and reading the recordings.
//!
//! `run` serves and records its agent's terminal itself ([`crate::agent::terminal`]), so that it goes on without an engine;
//! the engine says where, hands recordings out, and takes the oldest away. [`client`] is for who watches or attaches,
//! [`reel`] for who looks at a recording.

pub mod client;
pub mod reel;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::agent::terminal::{MOST_OF_ALL, MOST_OF_ONE};
use crate::model::{Session, SessionId, Time};

use super::api::{ApiError, ErrorCode, TerminalAnswer, TerminalInfo, TerminalQuery, TerminalSpot};
use super::core::{Core, Failure};
use super::project::Project;

/// Most bytes of a recording in one answer.
const PART: u64 = 4 << 20;

/// Longest time that an agent may be given to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Names another size than [`MOST_OF_ONE`], in bytes; with 0 nothing is recorded.
const LIMIT: &str = "BACKTRAIL_TERMINAL_LIMIT";

impl Project {
    /// Where the sockets of terminals are: in the runtime directory, which agents do not see.
    #[must_use]
    pub fn terminal_dir(&self) -> PathBuf {
        self.runtime_dir.join("term")
    }

    /// Where terminals are recorded to: in the store's directory, which agents do not see either.
    fn cast_dir(&self) -> PathBuf {
        self.store_dir.join("terminal")
    }

    fn cast_of(&self, id: SessionId) -> PathBuf {
        self.cast_dir().join(format!("{}.cast", id.to_hex()))
    }

    fn socket_of(&self, id: SessionId) -> PathBuf {
        self.terminal_dir().join(format!("{}.sock", id.short()))
    }
}

impl Core {
    /// Where a new session's terminal goes. Makes room for its recording.
    pub(super) fn terminal_spot(&self, id: SessionId) -> TerminalSpot {
        let most = std::env::var(LIMIT)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(MOST_OF_ONE);
        prune(&self.project.cast_dir(), MOST_OF_ALL);
        TerminalSpot {
            socket: self.project.socket_of(id).to_string_lossy().into_owned(),
            cast: self.project.cast_of(id).to_string_lossy().into_owned(),
            most,
        }
    }

    pub(super) fn terminal(&self, query: TerminalQuery) -> Result<TerminalAnswer, ApiError> {
        match query {
            TerminalQuery::Of { session } => {
                let found = session.and_then(|id| self.terminal_of(id).transpose());
                Ok(TerminalAnswer::Info(found.transpose()?.map(Box::new)))
            }
            TerminalQuery::Read {
                session,
                offset,
                len,
            } => {
                let info = session.and_then(|id| self.terminal_of(id).transpose());
                let info = info.transpose()?.ok_or_else(none)?;
                let path = self.project.cast_of(info.session);
                Ok(TerminalAnswer::Part(
                    part(&path, offset, len)
                        .map_err(|e| unread(&path, &e))?
                        .into(),
                ))
            }
            TerminalQuery::Stop { session, patience } => {
                let patience = Duration::from_millis(patience).min(PATIENCE);
                self.stop_session(session, patience)
                    .map(TerminalAnswer::Done)
            }
        }
    }

    /// What there is of the terminal in which a session ran: its own, or that of the `run` whose agent it is.
    fn terminal_of(&self, id: SessionId) -> Result<Option<TerminalInfo>, ApiError> {
        let sessions = self.store.sessions().map_err(Failure::from)?;
        let Some(asked) = sessions.iter().find(|s| s.id == id) else {
            return Ok(None);
        };
        let running = self.sessions.list();
        let runs = |s: &Session| running.iter().any(|r| r.session.id == s.id);
        let has = |s: &Session| self.project.cast_of(s.id).exists() || runs(s);
        let host = if has(asked) {
            Some(asked)
        } else {
            host_of(asked, &sessions, &has)
        };
        let Some(host) = host else { return Ok(None) };
        let runs = runs(host);
        let socket = self.project.socket_of(host.id);
        let cast = self.project.cast_of(host.id);
        Ok(Some(TerminalInfo {
            session: host.id,
            // Processes are numbered upwards: the first is the one that was run, unless numbers have begun anew.
            pid: runs
                .then(|| self.sessions.processes(host.id).into_iter().min())
                .flatten(),
            socket: (runs && socket.exists()).then(|| socket.to_string_lossy().into_owned()),
            start: Some(host.start),
            recorded: cast.metadata().map_or(0, |m| m.len()),
        }))
    }
}

/// The session whose agent named another one: of the same cgroup, or where there are no cgroups the only one at that time.
fn host_of<'a>(
    asked: &Session,
    all: &'a [Session],
    has: &dyn Fn(&Session) -> bool,
) -> Option<&'a Session> {
    let others = || all.iter().filter(|s| s.id != asked.id && !s.imported);
    if !asked.cgroup.is_empty() {
        return others().find(|s| s.cgroup == asked.cgroup && has(s));
    }
    let mut at_that_time = others().filter(|s| {
        let ends = s.end.unwrap_or(Time(i64::MAX));
        !asked.imported && s.start <= asked.start && asked.start <= ends && has(s)
    });
    let first = at_that_time.next()?;
    at_that_time.next().is_none().then_some(first)
}

/// Part of a recording of a terminal.
pub(super) fn part(path: &Path, offset: u64, len: u64) -> std::io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let left = file.metadata()?.len().saturating_sub(offset);
    let want = usize::try_from(len.min(PART).min(left)).unwrap_or(0);
    let mut bytes = vec![0; want];
    let mut have = 0;
    while let Some(room) = bytes.get_mut(have..).filter(|r| !r.is_empty()) {
        match file.read_at(room, offset + have as u64)? {
            0 => break,
            n => have += n,
        }
    }
    bytes.truncate(have);
    Ok(bytes)
}

pub(super) fn none() -> ApiError {
    ApiError::new(
        ErrorCode::NotFound,
        "no terminal was recorded of this session",
    )
}

pub(super) fn unread(path: &Path, e: &std::io::Error) -> ApiError {
    ApiError::new(
        ErrorCode::Failed,
        format!(
            "the recorded terminal {} cannot be read: {e}",
            path.display()
        ),
    )
}

/// Takes the oldest recordings away until the rest has no more than so many bytes.
fn prune(dir: &Path, most: u64) {
    let mut all: Vec<(SystemTime, u64, PathBuf)> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let meta = entry.metadata().ok()?;
            Some((meta.modified().ok()?, meta.len(), entry.path()))
        })
        .collect();
    all.sort();
    let mut sum: u64 = all.iter().map(|(_, len, _)| len).sum();
    for (_, len, path) in all {
        if sum <= most {
            return;
        }
        if std::fs::remove_file(&path).is_ok() {
            sum = sum.saturating_sub(len);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_oldest_recordings_go_first() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..4u64 {
            let path = dir.path().join(format!("{n}.cast"));
            std::fs::write(&path, vec![b'x'; 100]).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 - n);
            File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_modified(time)
                .unwrap();
        }
        prune(dir.path(), 250);
        let mut left: Vec<String> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["0.cast", "1.cast"]);
    }

    #[test]
    fn parts_end_where_the_file_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "0123456789").unwrap();
        assert_eq!(part(&path, 8, u64::MAX).unwrap(), b"89");
        assert_eq!(part(&path, 0, 3).unwrap(), b"012");
        assert_eq!(part(&path, 11, 3).unwrap(), b"");
    }

    #[test]
    fn what_an_agent_named_is_found_by_its_cgroup_or_its_time() {
        let session = |name: &str, cgroup: &str, start: i64, end: Option<i64>| Session {
            id: SessionId::of(name),
            native: name.to_owned(),
            agent: name.to_owned(),
            command: String::new(),
            cgroup: cgroup.to_owned(),
            start: Time(start),
            end: end.map(Time),
            exit_code: None,
            imported: false,
            branch: None,
        };
        let all = [
            session("run1", "/a", 0, Some(10)),
            session("run2", "/b", 5, None),
            session("named", "/b", 6, None),
            session("old", "", 1, None),
            session("both", "", 7, None),
        ];
        let has = |s: &Session| s.native.starts_with("run");
        let host = |n: usize| host_of(&all[n], &all, &has).map(|s| s.native.as_str());
        assert_eq!(host(2), Some("run2"));
        assert_eq!(host(3), Some("run1"));
        assert_eq!(host(4), None);
    }
}
