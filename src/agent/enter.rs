//! `backtrail enter`: puts its own process in an agent's place and becomes the command.
//!
//! Must run before any thread exists. What the place is comes as arguments (not in the environment, which the command
//! inherits). The order matters: the cgroup first, so that nothing is done outside it; the terminal before the
//! namespaces; rights are dropped last.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::stdio::stdin;

use super::namespace::{self, Entered};
use super::{NO_PLACE, NOT_FOUND, NOT_STARTED, say, unblock_inherited};
use crate::model::neutral;

/// Where and how a command is to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Directory of the cgroup to join.
    pub cgroup: Option<PathBuf>,
    /// What is to be seen at `project`.
    pub view: PathBuf,
    /// The project's own path.
    pub project: PathBuf,
    /// The working directory, relative to the project.
    pub below: PathBuf,
    /// The session's socket, which stays reachable when it lies in a masked directory.
    pub socket: Option<PathBuf>,
    /// Directories to hide.
    pub mask: Vec<PathBuf>,
    /// Begin a terminal session on standard input.
    pub terminal: bool,
    /// Without namespaces: in the mounted view itself.
    pub plain: bool,
}

impl Place {
    /// As arguments of `backtrail`, to be followed by `--` and the command.
    #[must_use]
    pub fn to_args(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec!["enter".into()];
        let mut pair = |name: &str, value: &Path| {
            args.push(name.into());
            args.push(value.into());
        };
        pair("--view", &self.view);
        pair("--at", &self.project);
        if !self.below.as_os_str().is_empty() {
            pair("--below", &self.below);
        }
        if let Some(dir) = &self.cgroup {
            pair("--cgroup", dir);
        }
        if let Some(socket) = &self.socket {
            pair("--socket", socket);
        }
        for dir in &self.mask {
            pair("--mask", dir);
        }
        if self.terminal {
            args.push("--terminal".into());
        }
        if self.plain {
            args.push("--plain".into());
        }
        args
    }
}

/// Puts this process in `place` and becomes `command`. Returns only when that failed, with the exit code.
///
/// `probe`: only tries the namespaces and returns 0 when they can be had.
#[must_use]
pub fn enter(place: &Place, command: &[OsString], probe: bool) -> i32 {
    if probe {
        return match namespace::enter_as_user(place) {
            Ok(()) => 0,
            Err(e) => {
                say(&e.to_string());
                NO_PLACE
            }
        };
    }
    unblock_inherited();
    let Some((program, args)) = command.split_first() else {
        say("no command to run");
        return NO_PLACE;
    };
    if let Some(dir) = &place.cgroup {
        // "0" means the writer itself.
        if let Err(e) = std::fs::write(dir.join("cgroup.procs"), "0") {
            say(&format!(
                "warning: cannot join the cgroup {}: {e}; this run cannot be frozen as a whole",
                shown(dir)
            ));
        }
    }
    if place.terminal {
        let begun = setsid().and_then(|_| ioctl_tiocsctty(stdin()));
        if let Err(e) = begun {
            say(&format!("warning: no controlling terminal: {e}"));
        }
    }
    let entered = match take_place(place) {
        Ok(entered) => entered,
        Err(message) => {
            say(&message);
            return NO_PLACE;
        }
    };
    let top = match entered {
        Entered::Namespace => &place.project,
        Entered::Plain => &place.view,
    };
    let mut cwd = top.clone();
    cwd.extend(&place.below);
    if let Err(e) = std::env::set_current_dir(&cwd) {
        say(&format!(
            "warning: {}: {e}; starting in the project's root",
            shown(&cwd)
        ));
        cwd.clone_from(top);
        if let Err(e) = std::env::set_current_dir(&cwd) {
            say(&format!("cannot go to {}: {e}", shown(&cwd)));
            return NO_PLACE;
        }
    }
    let error = Command::new(program).args(args).env("PWD", &cwd).exec();
    let name = neutral(program.as_encoded_bytes());
    if error.kind() == io::ErrorKind::NotFound {
        say(&format!("{name}: command not found"));
        NOT_FOUND
    } else {
        say(&format!("cannot start {name}: {error}"));
        NOT_STARTED
    }
}

/// Namespaces by the way that this system allows, or none with a warning.
fn take_place(place: &Place) -> Result<Entered, String> {
    if place.plain {
        return Ok(Entered::Plain);
    }
    let refused = match namespace::enter_as_root(place) {
        Ok(()) => return Ok(Entered::Namespace),
        Err(e) if e.is_refusal() => e,
        Err(e) => return Err(e.to_string()),
    };
    // A user namespace that turns out to be useless cannot be left again, so another process tries it first.
    let reason = match probe(place) {
        Ok(()) => match namespace::enter_as_user(place) {
            Ok(()) => return Ok(Entered::Namespace),
            Err(e) => return Err(e.to_string()),
        },
        Err(reason) if reason.is_empty() => refused.to_string(),
        Err(reason) => reason,
    };
    let elsewhere = if place.view == place.project {
        String::new()
    } else {
        let view = shown(&place.view);
        format!("runs in {view} instead of the project's own path, and ")
    };
    say(&format!(
        "warning: no mount namespace can be had here ({reason}). The command {elsewhere}can reach Backtrail's own files."
    ));
    Ok(Entered::Plain)
}

fn probe(place: &Place) -> Result<(), String> {
    let output = Command::new("/proc/self/exe")
        .arg0("backtrail")
        .args(place.to_args())
        .arg("--probe")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().last().unwrap_or_default();
    Err(neutral(
        line.strip_prefix("backtrail: ").unwrap_or(line).as_bytes(),
    ))
}

fn shown(path: &Path) -> String {
    neutral(path.as_os_str().as_encoded_bytes())
}
