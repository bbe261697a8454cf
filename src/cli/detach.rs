//! `run --detach`: the same command once more, left behind in the background with a terminal of its own.
//!
//! The process that is left tells on its standard output when the session has begun; then nobody waits for it any more.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Ended, Fail, args, say};
use crate::engine::api::Begun;
use crate::model::neutral;

/// The beginning of the line that tells.
const TOLD: &str = "begun ";

/// Starts the process that stays, and waits until its session has begun.
pub fn leave_behind(cwd: &Path, args: &args::Run) -> Ended {
    let mut command = Command::new("/proc/self/exe");
    command.arg("--project").arg(cwd).args(["run", "--unseen"]);
    for (option, value) in [("--agent", &args.agent), ("--branch", &args.branch)] {
        if let Some(value) = value {
            command.arg(option).arg(value);
        }
    }
    let mut child = command
        .arg("--")
        .args(&args.command)
        .current_dir(cwd)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out.take(4096)).read_line(&mut line)?;
    }
    let Some(id) = line.trim().strip_prefix(TOLD) else {
        let mut said = Vec::new();
        if let Some(err) = child.stderr.take() {
            err.take(64 << 10).read_to_end(&mut said)?;
        }
        let _ = child.wait();
        let said = neutral(said.trim_ascii());
        return Err(Fail::Message(
            said.trim_start_matches("backtrail: ").to_owned(),
        ));
    };
    say(&format!(
        "session {id} runs in the background. Sit down at it: backtrail attach; look at it: backtrail"
    ));
    Ok(0)
}

/// Says that the session has begun.
pub fn tell(begun: &Begun) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{TOLD}{}", begun.session.id.short()).and_then(|()| out.flush());
}
