//! Running an agent: its terminal, its place (mount namespace, cgroup), its signals and its exit code.
//!
//! `backtrail run` stays outside as the parent and owns the terminal; what it starts is `backtrail enter`, which puts
//! *itself* in place while it still has a single thread (a namespace cannot be entered with several) and then becomes
//! the command. Nothing here speaks to the engine: it gets what it needs in a [`Begun`].
//!
//! Not done here: recording, freezing on demand, telling the engine that a session ended.

mod cgroup;
mod enter;
mod namespace;
mod pty;
mod signals;
pub mod terminal;

pub use cgroup::{Cgroup, CgroupError};
pub use enter::{Place, enter};
pub use pty::RawMode;
pub use signals::{block_in_helper_threads, unblock_inherited};

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use tokio::runtime::Handle;

use crate::engine::api::Begun;
use pty::{Pty, Pump};
use signals::Relay;
use terminal::{About, Host, Start};

/// Exit code when the command was not found, as shells have it.
pub const NOT_FOUND: i32 = 127;
/// Exit code when the command was found but cannot be started.
pub const NOT_STARTED: i32 = 126;
/// Exit code when the place for it could not be made.
pub const NO_PLACE: i32 = 125;

/// What can keep an agent from being run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The signals cannot be taken over.
    #[error("cannot take over signals: {0}")]
    Signals(#[source] std::io::Error),
    /// No pseudo-terminal.
    #[error(
        "cannot make a pseudo-terminal: {0}; is /dev/pts mounted? With standard input from a file or pipe none is needed"
    )]
    Terminal(#[source] std::io::Error),
    /// `backtrail enter` cannot be started.
    #[error("cannot start the command's process: {0}")]
    Spawn(#[source] std::io::Error),
    /// The process was started and then lost sight of.
    #[error("cannot wait for the command: {0}")]
    Wait(#[source] std::io::Error),
}

/// What standard input, output and error of the command are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Io {
    /// A pseudo-terminal when our standard input is a terminal whose foreground is ours, else what we have ourselves.
    Auto,
    /// Always what we have ourselves.
    Inherit,
    /// A pseudo-terminal that nobody sits before: others attach to it.
    Unseen,
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunEnd {
    /// Its exit code; 128+n when signal n ended it.
    pub exit_code: i32,
}

/// Runs `command` in the session that `begun` describes, from the directory `cwd`, and waits for it.
///
/// Takes over this thread's signals meanwhile: all other threads of the process must have been started with
/// [`block_in_helper_threads`], or a signal that reaches one of them ends us instead of being passed on.
///
/// Where the command gets a pseudo-terminal, it is recorded and served by tasks of `runtime`.
pub fn run(
    begun: &Begun,
    cwd: &Path,
    command: &[OsString],
    io: Io,
    runtime: &Handle,
) -> Result<RunEnd, Error> {
    let place = Place {
        cgroup: begun.cgroup_dir.as_ref().map(PathBuf::from),
        view: PathBuf::from(&begun.view),
        project: PathBuf::from(&begun.project),
        below: cwd
            .strip_prefix(&begun.project)
            .map(Path::to_path_buf)
            .unwrap_or_default(),
        socket: Some(PathBuf::from(&begun.socket)),
        mask: begun.mask.iter().map(PathBuf::from).collect(),
        terminal: false,
        plain: false,
    };
    let mut envs = vec![
        ("BACKTRAIL_SOCKET", OsString::from(&begun.socket)),
        ("BACKTRAIL_PROJECT", OsString::from(&begun.project)),
        ("BACKTRAIL_VIEW", OsString::from(&begun.view)),
        (
            "BACKTRAIL_SESSION",
            OsString::from(begun.session.id.to_hex()),
        ),
    ];
    if begun.session.native != begun.session.id.to_hex() {
        envs.push((
            "BACKTRAIL_SESSION_NAME",
            OsString::from(&begun.session.native),
        ));
    }
    let serve = |pid: u32, size: (u16, u16), outer: bool| {
        let start = Start {
            runtime: runtime.clone(),
            spot: begun.terminal.clone()?,
            about: About {
                session: begun.session.id,
                agent: begun.session.agent.clone(),
                command: begun.session.command.clone(),
                pid,
                start: begun.session.start,
                outer,
            },
            size,
        };
        // The agent runs all the same when nobody can watch it.
        Host::start(start)
            .inspect_err(|e| tracing::warn!("the terminal is not served: {e}"))
            .ok()
    };
    run_in(place, &envs, command, io, &serve)
}

/// Serves the terminal of a process: its id, the terminal's size, and whether we have one ourselves.
type Serve<'a> = dyn Fn(u32, (u16, u16), bool) -> Option<Host> + 'a;

/// [`run`] with the place spelled out.
fn run_in(
    mut place: Place,
    envs: &[(&str, OsString)],
    command: &[OsString],
    io: Io,
    serve: &Serve<'_>,
) -> Result<RunEnd, Error> {
    let relay = Relay::take_over().map_err(Error::Signals)?;
    let pty = match io {
        Io::Auto if pty::is_our_terminal() => Some(Pty::like_ours().map_err(Error::Terminal)?),
        Io::Unseen => Some(Pty::unseen().map_err(Error::Terminal)?),
        Io::Auto | Io::Inherit => None,
    };
    place.terminal = pty.is_some();
    // Even a binary that was replaced since is found by this name.
    let mut child = Command::new("/proc/self/exe");
    child
        .arg0("backtrail")
        .args(place.to_args())
        .arg("--")
        .args(command)
        .envs(envs.iter().map(|(k, v)| (k, v)));
    let mut own_group = true;
    if let Some(pty) = &pty {
        let given = match io {
            Io::Unseen => pty.give_all_to(&mut child),
            _ => pty.give_to(&mut child),
        };
        given.map_err(Error::Terminal)?;
    } else {
        child
            .stdin(Stdio::inherit())
            .stdout(Stdio::inherit())
            .stderr(Stdio::inherit());
        // With a controlling terminal a group of its own would be a background group, which may not read from it (a
        // password prompt would hang), so the command stays in ours and gets the terminal's signals by itself.
        own_group = !pty::has_controlling_terminal();
        if own_group {
            child.process_group(0);
        }
    }
    let mut child_process = child.spawn().map_err(Error::Spawn)?;
    drop(child); // Holds the inner side of the pseudo-terminal.
    let mut pump = match pty {
        Some(pty) => {
            let raw = match io {
                Io::Unseen => None,
                _ => Some(RawMode::enter().map_err(Error::Terminal)?),
            };
            let host = serve(child_process.id(), pty.size(), raw.is_some());
            Some(Pump::new(pty, raw, host))
        }
        None => None,
    };
    let watched = relay.watch(&child_process, own_group, pump.as_mut());
    if watched.is_err() {
        // Nobody would see it any more.
        let _ = child_process.kill();
    }
    let status = child_process.wait().map_err(Error::Wait)?;
    if let Some(pump) = pump {
        pump.end(exit_code(status));
    }
    watched.map_err(Error::Wait)?;
    Ok(RunEnd {
        exit_code: exit_code(status),
    })
}

/// Runs `command` with everything we have ourselves and waits for it, passing on the signals that it does not get by
/// itself, so that we outlive it whatever happens. The same condition holds as for [`run`]; the child is to call
/// [`unblock_inherited`] at its start.
pub fn stand_by(command: &mut Command) -> Result<RunEnd, Error> {
    let relay = Relay::take_over().map_err(Error::Signals)?;
    let mut child = command.spawn().map_err(Error::Spawn)?;
    let watched = relay.watch(&child, false, None);
    if watched.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(Error::Wait)?;
    watched.map_err(Error::Wait)?;
    Ok(RunEnd {
        exit_code: exit_code(status),
    })
}

/// One line on standard error. Nothing can be done when that is closed.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "backtrail: {line}");
}

/// The exit code that a shell would show.
fn exit_code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        assert_eq!(exit_code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(exit_code(ExitStatus::from_raw(15)), 128 + 15);
    }
}
