//! What is shown: the agent runs under `backtrail run`, a person changes a file behind its back, and the screen (or,
//! into a pipe, the timeline as text) shows it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::link::{self, Project, Want};
use super::super::out::{Out, Tone, count};
use super::super::{Context, Ended, Fail, diff, history, runtime, state};
use super::{Place, watched};
use crate::engine::api::{Request, Response, Row};
use crate::engine::source::Source;
use crate::model::StepKind;

/// After this call of the recording the person changes a file.
const PERSON_AFTER: &str = "c9";
/// What the person writes, at the end of the README.
const NOTE: &[u8] = b"\nA lifetime of more than a year needs a reason in data/tokens.psv.\n";

/// `demo --stage DIR`
pub fn run(place: &Place, options: crate::ui::Options) -> Ended {
    let runtime = runtime(false)?;
    // First the engine: two that are started at the same moment would wait for each other's store.
    let cx = runtime.block_on(connect(place))?;
    let agent = start_agent(place)?;
    let word = place.top.join("person-may");
    let person = runtime.spawn(person(cx.source.clone(), place.project(), word));
    let code = if watched() {
        // The agent, if it still runs, is ended with the engine.
        state::open_screen(&runtime, place.project(), options)
    } else {
        runtime.block_on(print(&cx, place, agent))
    };
    person.abort();
    runtime.shutdown_background();
    code
}

async fn connect(place: &Place) -> Result<Context, Fail> {
    let project = Project::at(&place.project())?;
    let source = link::open(&project, Want::Engine).await?;
    Ok(Context {
        cwd: place.project(),
        project,
        source,
        _kept: None,
    })
}

fn start_agent(place: &Place) -> Result<Child, Fail> {
    let log = fs::File::create(place.top.join("agent.log"))?;
    let exe = std::env::current_exe()?;
    let child = place
        .backtrail(&["run", "--agent", "demo", "--", "sh"])
        .arg(place.top.join("agent.sh"))
        .current_dir(place.project())
        .env("DEMO", &place.top)
        .env("DEMO_PERSON", PERSON_AFTER)
        .env("BACKTRAIL", exe)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // What is typed at the screen is not for the agent.
        .process_group(0)
        .spawn()
        .map_err(|e| Fail::Message(format!("the agent cannot be started: {e}")))?;
    Ok(child)
}

/// Waits for the agent's word, changes a file on the real directory, and waits until that is recorded: the agent goes
/// on only then, so that every demo has the same order of things.
async fn person(source: Arc<dyn Source>, project: PathBuf, word: PathBuf) -> Result<(), Fail> {
    while !word.exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let readme = project.join("README.md");
    let mut text = fs::read(&readme)?;
    text.extend_from_slice(NOTE);
    fs::write(&readme, text)?;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        if rows(&*source).await?.iter().any(is_outside) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(fs::remove_file(word)?)
}

fn is_outside(row: &Row) -> bool {
    row.kind == StepKind::Outside && row.commit.is_some()
}

async fn rows(source: &dyn Source) -> Result<Vec<Row>, Fail> {
    match source
        .ask(Request::Rows {
            after: None,
            limit: 1000,
        })
        .await?
    {
        Response::Rows(rows) => Ok(rows.rows),
        other => Err(Fail::unexpected(&other)),
    }
}

/// Without a screen: waits for the end and prints what happened.
async fn print(cx: &Context, place: &Place, mut agent: Child) -> Ended {
    let status = loop {
        if let Some(status) = agent.try_wait()? {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    if !status.success() {
        return Err(Fail::Message(format!(
            "the demo's agent failed ({status}):\n{}",
            last_lines(&place.top.join("agent.log"))
        )));
    }
    let mut out = Out::stdout();
    out.line(&out.paint(
        Tone::Bold,
        "A recorded agent, really at work under `backtrail run`:",
    ))?;
    history::steps(cx, false, None, &mut out).await?;
    let rows = rows(&*cx.source).await?;
    let first = first_commit(cx).await?;
    let changes = match cx
        .ask(Request::Diff {
            a: first,
            b: Some("@".into()),
            paths: Vec::new(),
        })
        .await?
    {
        Response::Changes(changes) => changes.changes,
        other => return Err(Fail::unexpected(&other)),
    };
    out.line("")?;
    out.line(&out.paint(
        Tone::Bold,
        "What came of it, from the first state to the last:",
    ))?;
    diff::print_stat(&changes, &mut out)?;
    let commits: u32 = rows.iter().map(|row| row.commits).sum();
    let outside = rows.iter().filter(|row| is_outside(row)).count();
    out.line("")?;
    out.line(&format!(
        "{}, {}, {} from outside. In a terminal `backtrail demo` opens the screen on it.",
        count(rows.len(), "step"),
        count(commits as usize, "commit"),
        count(outside, "change"),
    ))?;
    out.flush()?;
    check(&rows, outside)?;
    Ok(0)
}

/// The story has happened as it is told, or something in the machinery does not work.
fn check(rows: &[Row], outside: usize) -> Result<(), Fail> {
    let wrong = |what: &str| Err(Fail::Message(format!("the demo did not work: {what}")));
    let call = |title: &str| {
        rows.iter()
            .find(|row| row.kind == StepKind::Call && row.title.contains(title))
    };
    if outside == 0 {
        return wrong("the change made outside the mount was not recorded");
    }
    match call("rm -rf build src") {
        Some(row) if row.effect.is_some_and(|e| e.files >= 3) => {}
        Some(_) => return wrong("the removal of src was not tied to the call that did it"),
        None => return wrong("a call is missing from the timeline"),
    }
    match rows.iter().rev().find(|row| row.kind == StepKind::Call) {
        Some(row) if row.exit_code == Some(0) => Ok(()),
        _ => wrong("the tests do not pass at the end"),
    }
}

async fn first_commit(cx: &Context) -> Result<String, Fail> {
    let commits = match cx
        .ask(Request::Log {
            before: None,
            limit: 1000,
        })
        .await?
    {
        Response::Log(commits) => commits,
        other => return Err(Fail::unexpected(&other)),
    };
    commits
        .last()
        .map(|commit| commit.id.to_hex())
        .ok_or_else(|| Fail::Message("the demo did not work: there is no commit".into()))
}

fn last_lines(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}
