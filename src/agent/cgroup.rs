//! A session's cgroup (version 2): who belongs to it, freezing and killing it as a whole.
//!
//! No controller is needed, only the core files, so a plain directory below our own group is enough. Where that may
//! not be made (no version 2 hierarchy, no delegation to the user) there is none, and that is not an error. The
//! hierarchy may be mounted anywhere; `/proc/self/mountinfo` says where, and which part of it.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use crate::model::neutral;

/// What a cgroup could not do.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A control file could not be used.
    #[error("cgroup {path}: cannot {what}: {source}")]
    Io {
        /// What was to be done.
        what: &'static str,
        /// The cgroup's directory.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It did not get there in time.
    #[error(
        "cgroup {path}: not {state} after {waited:?}; a process in it may be waiting for the disk or for the mount"
    )]
    Timeout {
        /// The cgroup's directory.
        path: String,
        /// The state that was wanted.
        state: &'static str,
        /// How long was waited.
        waited: Duration,
    },
}

/// A cgroup of our own making. Dropping it leaves it there: see [`Cgroup::remove`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    dir: PathBuf,
    path: String,
}

impl Cgroup {
    /// Makes `name` below this process's own cgroup. `None` where none can be had.
    pub fn create(name: &str) -> Result<Option<Self>, CgroupError> {
        let (Ok(mounts), Ok(own)) = (
            fs::read_to_string("/proc/self/mountinfo"),
            fs::read_to_string("/proc/self/cgroup"),
        ) else {
            return Ok(None);
        };
        let Some((dir, own)) = own_directory(&mounts, &own) else {
            return Ok(None);
        };
        let group = Self {
            dir: dir.join(name),
            path: format!("{}/{name}", own.trim_end_matches('/')),
        };
        match fs::create_dir(&group.dir) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                return Ok(None);
            }
            Err(source) => return Err(group.error("make it", source)),
        }
        if !group.dir.join("cgroup.freeze").exists() {
            let _ = fs::remove_dir(&group.dir);
            return Ok(None); // A kernel before 5.2.
        }
        Ok(Some(group))
    }

    /// Its directory, where processes join it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its path as in `/proc/PID/cgroup`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Asks for the freeze without waiting. Processes that wait for an answer of ours stop only after it, so whoever
    /// holds answers back must give them before [`Cgroup::wait_frozen`].
    pub fn begin_freeze(&self) -> Result<(), CgroupError> {
        self.write("cgroup.freeze", "1", "freeze it")
    }

    /// Waits until no process in it runs any more.
    pub fn wait_frozen(&self, limit: Duration) -> Result<(), CgroupError> {
        self.wait("frozen", true, "frozen", limit)
    }

    /// Freezes it and waits.
    pub fn freeze(&self, limit: Duration) -> Result<(), CgroupError> {
        self.begin_freeze()?;
        self.wait_frozen(limit)
    }

    /// Lets it run again.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.write("cgroup.freeze", "0", "thaw it")
    }

    /// Whether it stands still.
    #[must_use]
    pub fn frozen(&self) -> bool {
        self.event("frozen").unwrap_or(false)
    }

    /// Whether any living process is in it.
    #[must_use]
    pub fn populated(&self) -> bool {
        self.event("populated").unwrap_or(false)
    }

    /// The processes in it. Those of groups that it has made below itself are not listed.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        fs::read_to_string(self.dir.join("cgroup.procs"))
            .map(|text| text.lines().filter_map(|l| l.parse().ok()).collect())
            .unwrap_or_default()
    }

    /// Kills all in it and waits until it is empty.
    pub fn kill(&self, limit: Duration) -> Result<(), CgroupError> {
        if self.write("cgroup.kill", "1", "kill it").is_err() {
            // Before Linux 5.14: one by one, frozen so that nothing forks past us.
            let _ = self.freeze(Duration::from_millis(500));
            for pid in self.processes() {
                if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            let _ = self.thaw();
        }
        self.wait("populated", false, "empty", limit)
    }

    /// Waits until no process is in it.
    pub fn wait_empty(&self, limit: Duration) -> Result<(), CgroupError> {
        self.wait("populated", false, "empty", limit)
    }

    /// Removes it, with groups made below it. Fails while a process is in it.
    pub fn remove(&self) -> Result<(), CgroupError> {
        fn below(dir: &Path) -> io::Result<()> {
            for entry in fs::read_dir(dir)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    below(&entry.path())?;
                }
            }
            fs::remove_dir(dir)
        }
        match below(&self.dir) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(self.error("remove it", e)),
            _ => Ok(()),
        }
    }

    fn event(&self, key: &str) -> Option<bool> {
        value(
            &fs::read_to_string(self.dir.join("cgroup.events")).ok()?,
            key,
        )
    }

    fn wait(
        &self,
        key: &str,
        wanted: bool,
        state: &'static str,
        limit: Duration,
    ) -> Result<(), CgroupError> {
        let begun = Instant::now();
        let cannot = |e: io::Error| self.error("read its events", e);
        let mut file = fs::File::open(self.dir.join("cgroup.events")).map_err(cannot)?;
        loop {
            // Reading arms the notification for what comes after it.
            let text = {
                use io::{Read, Seek};
                let mut text = String::new();
                file.rewind().map_err(cannot)?;
                file.read_to_string(&mut text).map_err(cannot)?;
                text
            };
            if value(&text, key) == Some(wanted) {
                return Ok(());
            }
            let left = limit.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(CgroupError::Timeout {
                    path: shown(&self.dir),
                    state,
                    waited: limit,
                });
            }
            let left = Timespec::try_from(left).ok();
            let mut fds = [PollFd::from_borrowed_fd(file.as_fd(), PollFlags::PRI)];
            match poll(&mut fds, left.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(cannot(e.into())),
            }
        }
    }

    fn write(&self, file: &str, text: &str, what: &'static str) -> Result<(), CgroupError> {
        fs::write(self.dir.join(file), text).map_err(|e| self.error(what, e))
    }

    fn error(&self, what: &'static str, source: io::Error) -> CgroupError {
        CgroupError::Io {
            what,
            path: shown(&self.dir),
            source,
        }
    }
}

fn shown(path: &Path) -> String {
    neutral(path.as_os_str().as_encoded_bytes())
}

/// The flag `key` in a file of `key value` lines.
fn value(text: &str, key: &str) -> Option<bool> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(k, _)| *k == key)
        .map(|(_, v)| v == "1")
}

/// From `/proc/self/mountinfo` and `/proc/self/cgroup`: the directory of our own version 2 cgroup, and its path.
fn own_directory(mounts: &str, own: &str) -> Option<(PathBuf, String)> {
    let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        // ID PARENT DEV ROOT POINT OPTIONS [TAGS] - TYPE SOURCE SUPER
        let (before, after) = line.split_once(" - ")?;
        if after.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut fields = before.split(' ').skip(3);
        let root = unescape(fields.next()?);
        let point = unescape(fields.next()?);
        // Only the part of the hierarchy below `root` is mounted there.
        let below = Path::new(own).strip_prefix(&root).ok()?;
        Some((Path::new(&point).join(below), own.to_owned()))
    })
}

/// Undoes the octal escapes (`\040`) of mount tables.
pub(super) fn unescape(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        match after
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok())
        {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &after[3..];
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};

    #[test]
    fn finds_the_hierarchy_wherever_it_is() {
        let plain = "30 23 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw";
        assert_eq!(
            own_directory(plain, "0::/user.slice/x.scope\n"),
            Some((
                "/sys/fs/cgroup/user.slice/x.scope".into(),
                "/user.slice/x.scope".into()
            ))
        );
        let hybrid = "1 0 0:1 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
                      2 1 0:2 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      3 1 0:3 / /sys/fs/cgroup/my\\040unified rw shared:4 - cgroup2 cgroup2 rw";
        assert_eq!(
            own_directory(hybrid, "4:cpu:/\n0::/\n"),
            Some(("/sys/fs/cgroup/my unified".into(), "/".into()))
        );
        let part = "30 23 0:27 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw";
        assert_eq!(
            own_directory(part, "0::/docker/abc/s"),
            Some(("/sys/fs/cgroup/s".into(), "/docker/abc/s".into()))
        );
        assert_eq!(own_directory(part, "0::/elsewhere"), None);
        assert_eq!(own_directory(plain, "4:cpu:/\n"), None);
    }

    /// A real process is stopped, let go and killed; it counts up as long as it is told to.
    #[test]
    fn freezes_and_kills_for_real() {
        let name = format!("backtrail-test-{}", std::process::id());
        let Some(group) = Cgroup::create(&name).unwrap() else {
            eprintln!("skipped: no cgroup v2 that we may use");
            return;
        };
        let mut child = Command::new("sh")
            .arg("-c")
            .arg("echo 0 > \"$1\"/cgroup.procs || exit 9; while read x; do echo $x; done")
            .arg("sh")
            .arg(group.dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        writeln!(input, "one").unwrap();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "one\n");
        assert!(group.populated());
        assert_eq!(group.processes(), [child.id()]);
        let seen = fs::read_to_string(format!("/proc/{}/cgroup", child.id())).unwrap();
        assert!(
            seen.lines()
                .any(|l| l.strip_prefix("0::") == Some(group.path())),
            "{seen}"
        );
        assert!(group.remove().is_err(), "a process is still in it");

        let limit = Duration::from_secs(5);
        group.freeze(limit).unwrap();
        assert!(group.frozen());
        writeln!(input, "two").unwrap();
        let mut fds = [PollFd::new(output.get_ref(), PollFlags::IN)];
        let short = Timespec::try_from(Duration::from_millis(50)).unwrap();
        assert_eq!(
            poll(&mut fds, Some(&short)).unwrap(),
            0,
            "it ran while frozen"
        );
        group.thaw().unwrap();
        line.clear();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "two\n");
        assert!(!group.frozen());

        group.freeze(limit).unwrap();
        group.kill(limit).unwrap();
        assert!(!group.populated());
        child.wait().unwrap();
        group.remove().unwrap();
        assert!(!group.dir().exists());
        group.remove().unwrap(); // Gone already: well.
    }
}
