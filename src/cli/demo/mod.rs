//! `demo`: a recorded agent really at work on a small real project, in a temporary directory with a store of its own.
//!
//! Two processes: this one makes the directory, waits, and cleans up whatever happens to the other; the other (`demo
//! --stage DIR`) has the directory's own data and runtime directories in its environment and does the showing. Nothing
//! of the user's is read or written.

mod files;
mod stage;

use std::fs;
use std::io::{IsTerminal, stdin, stdout};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Ended, Fail, args, code_byte, say};
use crate::agent;
use crate::model::neutral;

/// How long the stage's engine may take to end.
const END: Duration = Duration::from_secs(10);

/// The directories of one demo.
struct Place {
    top: PathBuf,
}

impl Place {
    fn project(&self) -> PathBuf {
        self.top.join("tokens")
    }

    fn data(&self) -> PathBuf {
        self.top.join("data")
    }

    fn runtime(&self) -> PathBuf {
        self.top.join("run")
    }

    /// `backtrail`, working in this place only.
    fn backtrail(&self, args: &[&str]) -> Command {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("backtrail")
            .args(args)
            .env("BACKTRAIL_DATA", self.data())
            .env("BACKTRAIL_RUNTIME", self.runtime())
            // The demo may be started by an agent under Backtrail, whose engine is not the demo's.
            .env_remove("BACKTRAIL_SOCKET")
            .env_remove("BACKTRAIL_SESSION")
            .env_remove("BACKTRAIL_PROJECT")
            .env_remove("BACKTRAIL_VIEW");
        command
    }
}

/// `demo`
pub fn demo(args: &args::Demo) -> Ended {
    if let Some(top) = &args.stage {
        agent::unblock_inherited();
        return stage::run(&Place { top: top.clone() }, args.screen.options());
    }
    let dir = tempfile::Builder::new()
        .prefix("backtrail-demo-")
        .tempdir()
        .map_err(|e| Fail::Message(format!("no temporary directory can be made: {e}")))?;
    let place = Place {
        top: dir.path().canonicalize()?,
    };
    files::lay_out(&place.project(), &place.top)?;
    let mut stage = place.backtrail(&["demo", "--stage"]);
    stage.arg(&place.top).args(args.screen.typed());
    if std::env::var_os("BACKTRAIL_DEMO_PACE").is_none() {
        stage.env("BACKTRAIL_DEMO_PACE", if watched() { "1" } else { "0" });
    }
    let ended = agent::stand_by(&mut stage);
    let cleaned = clean_up(&place);
    if args.keep || cleaned.is_err() {
        // From here on it is not removed by itself.
        let kept = dir.keep();
        say(&format!(
            "kept in {0}. To look at it: BACKTRAIL_DATA={0}/data BACKTRAIL_RUNTIME={0}/run backtrail -C {0}/tokens",
            neutral(kept.as_os_str().as_encoded_bytes())
        ));
    } else if let Err(e) = dir.close() {
        say(&format!(
            "the temporary directory could not be removed: {e}"
        ));
    }
    cleaned?;
    Ok(code_byte(ended?.exit_code))
}

/// Whether the screen can be opened.
fn watched() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// Ends the engine and makes sure that nothing is mounted any more.
fn clean_up(place: &Place) -> Result<(), Fail> {
    let stopped = place
        .backtrail(&["stop", "--force", "--project"])
        .arg(place.project())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()?;
    let begun = Instant::now();
    // The view goes away with the engine's end, which may be a moment after its answer.
    while !mounts_below(&place.top)?.is_empty() {
        if begun.elapsed() > END || !stopped.status.success() {
            detach(&place.top)?;
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    if stopped.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&stopped.stderr);
    Err(Fail::Message(format!(
        "the demo's engine did not end: {}",
        said.trim().trim_start_matches("backtrail: ")
    )))
}

/// Takes away what an engine that died has left mounted.
fn detach(top: &Path) -> Result<(), Fail> {
    for at in mounts_below(top)? {
        let detached = rustix::mount::unmount(&at, rustix::mount::UnmountFlags::DETACH).is_ok()
            || Command::new("fusermount3")
                .arg("-uz")
                .arg(&at)
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|s| s.success());
        if !detached {
            return Err(Fail::Message(format!(
                "{} is still mounted; take it away with: fusermount3 -uz {0}",
                neutral(at.as_os_str().as_encoded_bytes())
            )));
        }
    }
    Ok(())
}

/// Mount points in a directory. Its name is ours and holds nothing that mount tables escape, or nothing is found.
fn mounts_below(top: &Path) -> Result<Vec<PathBuf>, Fail> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .filter(|at| at.starts_with(top))
        .collect())
}
