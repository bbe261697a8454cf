//! How things stand: status, stop, verify, and the screen.

use std::io::{IsTerminal, stdin, stdout};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::args::Verb;
use super::link::{self, Project, Want};
use super::out::{Out, Tone, count, duration};
use super::{Context, Ended, Fail, locate, runtime, start_log};
use crate::engine::api::{ApiError, EngineStatus, ErrorCode, Request, Response};
use crate::model::{Time, neutral};
use crate::ui;

/// No command: the screen.
pub fn screen(cwd: PathBuf, options: ui::Options) -> Ended {
    let runtime = runtime(false)?;
    let code = open_screen(&runtime, cwd, options);
    runtime.shutdown_background();
    code
}

/// Opens the screen on the project that lies at `cwd`, and returns when it is closed.
pub fn open_screen(runtime: &tokio::runtime::Runtime, cwd: PathBuf, options: ui::Options) -> Ended {
    if !stdin().is_terminal() || !stdout().is_terminal() {
        return Err(Fail::Usage(
            "the screen needs a terminal. As text: backtrail steps, backtrail log; all verbs: backtrail --help".into(),
        ));
    }
    let (project, _) = locate(cwd)?;
    if !project.exists() && std::env::var_os("BACKTRAIL_SOCKET").is_none() {
        // No project here: what agents recorded on this machine is there to be looked at.
        runtime
            .block_on(super::trace::browse(
                link::shelf(),
                link::Opening::default(),
                options,
            ))
            .map_err(|e| Fail::Message(e.to_string()))?;
        return Ok(0);
    }
    let next = project.clone();
    let options = ui::Options {
        again: Some(ui::Again::new(move || {
            let project = next.clone();
            async move { link::open(&project, Want::Running).await }
        })),
        ..options
    };
    // In the background: the first frame does not wait for an engine to start.
    let connect = async move {
        // Only an engine: a store that we held open ourselves would be in the way of every other command.
        let source = link::open(&project, Want::Engine).await?;
        start_log(&project);
        Ok(source)
    };
    runtime
        .block_on(ui::run(connect, options))
        .map_err(|e| Fail::Message(e.to_string()))?;
    Ok(0)
}

/// Nothing was ever recorded here: say how to begin.
pub fn nothing_here(project: &Project, verb: &Verb, out: &mut Out) -> Ended {
    let root = neutral(project.root.as_os_str().as_encoded_bytes());
    match verb {
        Verb::Status(args) => {
            if args.json {
                out.json(&serde_json::json!({ "project": root, "recorded": false }))?;
            } else {
                out.line(&format!(
                    "{root}: nothing recorded yet. Begin with: backtrail run -- CMD"
                ))?;
            }
            Ok(0)
        }
        Verb::Stop(_) => {
            out.line(&format!("no engine runs for {root}"))?;
            Ok(0)
        }
        _ => Err(Fail::Message(format!(
            "nothing recorded in {root} yet. Begin with: backtrail run -- CMD (or backtrail init)"
        ))),
    }
}

/// `stop` without an engine is what was wanted already.
pub fn not_running(project: &Project, error: &ApiError, out: &mut Out) -> Ended {
    if !matches!(error.code, ErrorCode::Gone | ErrorCode::NotFound) {
        return Err(error.clone().into());
    }
    let root = neutral(project.root.as_os_str().as_encoded_bytes());
    out.line(&format!("no engine runs for {root}"))?;
    Ok(0)
}

async fn ask_status(cx: &Context) -> Result<Box<EngineStatus>, Fail> {
    match cx.ask(Request::Status).await? {
        Response::Status(status) => Ok(status),
        other => Err(Fail::unexpected(&other)),
    }
}

/// `status`
pub async fn status(cx: &Context, json: bool, out: &mut Out) -> Ended {
    let status = ask_status(cx).await?;
    if json {
        out.json(&*status)?;
        return Ok(0);
    }
    print_status(&status, Time::now(), out)?;
    Ok(0)
}

fn print_status(s: &EngineStatus, now: Time, out: &mut Out) -> Result<(), Fail> {
    let safe = |text: &str| neutral(text.as_bytes());
    let mut row = |name: &str, text: String| {
        let name = out.paint(Tone::Dim, &format!("{name:<10}"));
        out.line(&format!("{name} {text}"))
    };
    let recording = s.capture == "recording";
    row(
        if recording { "recording" } else { "project" },
        safe(&s.project),
    )?;
    if recording {
        // Nothing captures: what is there was read.
    } else if s.pid == 0 {
        row("engine", "not running".to_owned())?;
    } else {
        let up = duration(now.since(s.since));
        row(
            "engine",
            format!(
                "process {}, up {up}, captures by {}",
                s.pid,
                safe(&s.capture)
            ),
        )?;
    }
    if let Some(live) = &s.live {
        row("view", safe(live))?;
    }
    if !s.scan.done && s.pid != 0 {
        row(
            "scan",
            format!(
                "{} so far",
                count(usize::try_from(s.scan.files).unwrap_or(usize::MAX), "file")
            ),
        )?;
    }
    let head = match (s.head, s.workspace) {
        (Some(head), Some(step)) => format!("{} at {}, step {step}", safe(&s.branch), head.short()),
        (Some(head), None) => format!("{} at {}", safe(&s.branch), head.short()),
        (None, _) => format!("{}, no commit yet", safe(&s.branch)),
    };
    row("branch", head)?;
    if let Some(merging) = &s.merging {
        row(
            "merging",
            format!(
                "{} into {}, {} left: backtrail merge --status",
                safe(&merging.branch),
                safe(&merging.into),
                count(merging.left, "conflict")
            ),
        )?;
    }
    if s.dirty > 0 {
        row("changed", format!("{} since", count(s.dirty, "path")))?;
    }
    row(
        "recorded",
        format!("{} steps, {} commits", s.steps, s.commits),
    )?;
    for live in &s.sessions {
        let mut text = format!("{} {}", safe(&live.session.agent), live.session.id.short());
        text.push_str(&format!(", since {}", live.session.start.clock()));
        if let Some(branch) = &live.branch {
            text.push_str(&format!(", on the fork of {}", safe(branch)));
        }
        if live.frozen {
            text.push_str(", frozen");
        }
        if !live.contained {
            text.push_str(", without a cgroup");
        }
        row("session", text)?;
    }
    for meeting in &s.overlaps {
        row("overlap", meeting.words())?;
    }
    for warning in &s.warnings {
        row("warning", safe(warning))?;
    }
    Ok(())
}

/// How long an engine may take to end once it was told to.
const END: Duration = Duration::from_secs(15);

/// `stop`
pub async fn stop(cx: &Context, force: bool, out: &mut Out) -> Ended {
    // Opened before it is told, so that no other process can be taken for it.
    let process = ask_status(cx)
        .await
        .ok()
        .and_then(|status| i32::try_from(status.pid).ok())
        .and_then(Pid::from_raw)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let mut notices = cx.source.notices();
    match cx.ask(Request::Stop { force }).await {
        Ok(Response::Done(_)) => {}
        Ok(other) => return Err(Fail::unexpected(&other)),
        Err(Fail::Api(e)) if e.code == ErrorCode::Gone => {}
        Err(e) => return Err(e),
    }
    // It answers first and ends then; scripts want it gone, with its mount and its lock.
    let gone = async {
        while notices.recv().await.is_some() {}
        match process {
            Some(process) => tokio::task::spawn_blocking(move || ended(&process))
                .await
                .unwrap_or(false),
            None => true,
        }
    };
    if !tokio::time::timeout(END, gone).await.unwrap_or(false) {
        return Err(Fail::Message(format!(
            "the engine was told to end and has not done so within {} s; see backtrail status",
            END.as_secs()
        )));
    }
    out.line("stopped")?;
    Ok(0)
}

/// Waits for a process that is not our child.
fn ended(process: &OwnedFd) -> bool {
    let limit = Timespec::try_from(END).ok();
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    matches!(poll(&mut fds, limit.as_ref()), Ok(n) if n > 0)
}
