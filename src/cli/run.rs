//! `run`, and the engine's own process.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::link::{self, Project, Want};
use super::out::count;
use super::{Ended, Fail, args, code_byte, detach, locate, runtime, say, start_log};
use crate::agent::{self, Io};
use crate::engine::api::{Begun, Request, Response};
use crate::engine::source::Source;
use crate::model::neutral;

/// `run`
pub fn run(cwd: PathBuf, args: &args::Run) -> Ended {
    if args.detach && !args.unseen {
        return detach::leave_behind(&cwd, args);
    }
    if args.unseen {
        // Whoever closes the terminal that this was started from must not end it.
        let _ = rustix::process::setsid();
    }
    let (project, cwd) = locate(cwd)?;
    let agent = match &args.agent {
        Some(name) => name.clone(),
        None => agent_name(&args.command),
    };
    let command = command_line(&args.command);
    let home = home(std::env::vars_os(), &args.command);
    let branch = args.branch.clone();
    let watch = args.capture == args::Capture::Watch;
    let runtime = runtime(true)?;
    // On a helper thread, so that an interrupt meanwhile reaches this one and ends us, as anybody expects.
    let begin = runtime.spawn(async move {
        let source = link::open(&project, Want::Engine).await?;
        start_log(&project);
        let begun = match source
            .ask(Request::Begin {
                agent,
                command,
                home,
                branch,
                watch,
            })
            .await?
        {
            Response::Session(begun) => begun,
            other => return Err(Fail::unexpected(&other)),
        };
        let before = totals(&source).await;
        Ok::<_, Fail>((source, begun, before))
    });
    let (source, begun, before) = runtime
        .block_on(begin)
        .map_err(|e| Fail::Message(e.to_string()))??;
    warn_of_root(&begun);
    let io = if args.unseen {
        detach::tell(&begun);
        Io::Unseen
    } else {
        Io::Auto
    };
    let ended = agent::run(&begun, &cwd, &args.command, io, runtime.handle());
    let exit_code = ended.as_ref().map_or(agent::NO_PLACE, |end| end.exit_code);
    runtime.block_on(finish(&source, &begun, exit_code, before));
    runtime.shutdown_background();
    Ok(code_byte(ended?.exit_code))
}

/// Tells the engine, waits until the last changes are durable, and says what was recorded.
async fn finish(source: &Arc<dyn Source>, begun: &Begun, exit_code: i32, before: Totals) {
    let session = begun.session.id;
    if let Err(e) = source.ask(Request::End { session, exit_code }).await {
        say(&format!(
            "the command has ended, but its last changes may not be recorded: {e}"
        ));
        return;
    }
    if stderr().is_terminal() {
        let after = totals(source).await;
        let new = |a: u64, b: u64| usize::try_from(a.saturating_sub(b)).unwrap_or(usize::MAX);
        let place = match &begun.session.branch {
            Some(branch) => format!(" on {branch}"),
            None => String::new(),
        };
        say(&format!(
            "session {}{place}: {}, {}. Look at it: backtrail",
            session.short(),
            count(new(after.commits, before.commits), "commit"),
            count(new(after.steps, before.steps), "step"),
        ));
    }
}

#[derive(Clone, Copy, Default)]
struct Totals {
    commits: u64,
    steps: u64,
}

async fn totals(source: &Arc<dyn Source>) -> Totals {
    match source.ask(Request::Status).await {
        Ok(Response::Status(s)) => Totals {
            commits: s.commits,
            steps: s.steps,
        },
        _ => Totals::default(),
    }
}

fn warn_of_root(begun: &Begun) {
    if rustix::process::geteuid().is_root() && !begun.mask.is_empty() && stderr().is_terminal() {
        say(
            "note: the command runs as root, so hiding Backtrail's own files from it does not protect them",
        );
    }
}

/// The last part of the command's name.
fn agent_name(command: &[OsString]) -> String {
    let first = command.first().map_or(OsStr::new(""), |c| c.as_os_str());
    let name = Path::new(first).file_name().unwrap_or(first);
    neutral(name.as_encoded_bytes())
}

/// Directories that say where the command's agent keeps its transcripts: from the environment, and as `env` in the
/// command sets them.
fn home(
    vars: impl Iterator<Item = (OsString, OsString)>,
    command: &[OsString],
) -> BTreeMap<String, String> {
    let of_command = command.iter().map_while(|word| {
        let text = word.to_str()?;
        match text.split_once('=') {
            Some((name, value)) => Some((OsString::from(name), OsString::from(value))),
            None => (agent_name(std::slice::from_ref(word)) == "env")
                .then(|| (OsString::new(), OsString::new())),
        }
    });
    vars.chain(of_command)
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, value)| {
            let told = name == "HOME" || name.ends_with("_HOME") || name.ends_with("_DIR");
            told && value.starts_with('/') && value.len() < 4096
        })
        .collect()
}

/// The command line for people: quoted where a shell would want it.
fn command_line(command: &[OsString]) -> String {
    let words: Vec<String> = command
        .iter()
        .map(|word| {
            let text = neutral(word.as_encoded_bytes());
            let plain = !text.is_empty()
                && text
                    .chars()
                    .all(|c| c.is_alphanumeric() || "-_./=:,+@%^".contains(c));
            if plain {
                text
            } else {
                format!("'{}'", text.replace('\'', "'\\''"))
            }
        })
        .collect();
    words.join(" ")
}

/// `engine`
pub fn engine(root: &Path) -> Ended {
    // Whoever started it may close their terminal or interrupt what runs there; fails only where it is so already.
    let _ = rustix::process::setsid();
    link::serve(Project::at(root)?)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_for_people() {
        let words = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(
            command_line(&words(&["sh", "-c", "echo 'a' > b", ""])),
            "sh -c 'echo '\\''a'\\'' > b' ''"
        );
        assert_eq!(agent_name(&words(&["/usr/bin/claude", "-p"])), "claude");
        assert_eq!(agent_name(&words(&[".."])), "..");
        let vars = [
            ("HOME", "/h"),
            ("LANG", "/x"),
            ("CODEX_HOME", "c"),
            ("A_DIR", "/a"),
        ];
        let vars = vars.map(|(n, v)| (OsString::from(n), OsString::from(v)));
        let told = home(
            vars.into_iter(),
            &words(&["env", "A_DIR=/b", "claude", "C_DIR=/c"]),
        );
        let told: Vec<(&str, &str)> = told.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(told, [("A_DIR", "/b"), ("HOME", "/h")]);
    }
}
