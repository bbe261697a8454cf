//! The command line: what was typed ([`args`]), what it means (one file a verb family), how it is printed ([`out`]).
//!
//! No logic of its own: every verb asks a [`Source`] and prints the answer. Exit codes: 0 well, 1 failed, 2 not
//! understood; `run` has the code of its command. A reader that closes the pipe early is no failure.

pub mod args;
mod ask;
mod attach;
mod blame;
mod branch;
mod cat;
mod change;
mod compare;
mod config;
mod demo;
mod detach;
mod diff;
mod emit;
mod export;
mod facts;
mod filter;
mod fork;
mod graph;
mod history;
mod keep;
mod keys;
mod lineage;
mod link;
mod man;
mod markers;
mod merge;
mod merge_out;
mod mount;
mod ops;
pub mod out;
mod race;
mod reads;
mod restore;
mod run;
mod session;
mod state;
#[cfg(test)]
mod testing;
mod trace;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser};

use crate::engine::api::{ApiError, Request, Response};
use crate::engine::source::Source;
use crate::model::neutral;
use args::{Cli, Verb};
use link::{Project, Want};
use out::Out;

/// Exit code for a command line that was not understood.
const USAGE: u8 = 2;

/// Why a verb ends early.
#[derive(Debug, thiserror::Error)]
pub enum Fail {
    /// The engine or the store says no.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Our own input or output.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The command cannot be run.
    #[error(transparent)]
    Agent(#[from] crate::agent::Error),
    /// What was typed makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Anything else, in a sentence.
    #[error("{0}")]
    Message(String),
}

impl Fail {
    /// The answer was to another question.
    fn unexpected(response: &Response) -> Self {
        let kind = format!("{response:?}");
        let kind: String = kind.chars().take_while(char::is_ascii_alphabetic).collect();
        Self::Message(format!(
            "the engine gave an answer that does not fit ({kind}); is it of another version? backtrail stop ends it"
        ))
    }
}

/// How a verb ended: its exit code.
type Ended = Result<u8, Fail>;

/// What a verb needs to know besides its own arguments.
pub struct Context {
    /// Where we are, by `-C` or by the current directory.
    pub cwd: PathBuf,
    /// The project that lies there.
    pub project: Project,
    /// The engine or the store.
    pub source: Arc<dyn Source>,
    /// A file that must stay as long as it is read.
    _kept: Option<tempfile::NamedTempFile>,
}

/// Parses, does, and gives the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Nothing can be done when the pipe is closed.
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { USAGE } else { 0 });
        }
    };
    // Before anything else: this process must still have one thread.
    if let Some(Verb::Enter(enter)) = &cli.verb {
        let code = crate::agent::enter(&enter.place(), &enter.command, enter.probe);
        return ExitCode::from(code_byte(code));
    }
    match dispatch(cli) {
        Ok(code) => ExitCode::from(code),
        Err(Fail::Io(e)) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(fail) => {
            say(&fail.to_string());
            ExitCode::from(if matches!(fail, Fail::Usage(_)) {
                USAGE
            } else {
                1
            })
        }
    }
}

fn dispatch(cli: Cli) -> Ended {
    let cwd = working_directory(cli.project)?;
    let Some(verb) = cli.verb else {
        return match &cli.trace.trace {
            Some(file) => {
                let what = file.clone();
                let screen = cli.screen;
                trace::open(cwd, &args::Open { what, screen }, &cli.trace)
            }
            None => state::screen(cwd, cli.screen.options()),
        };
    };
    let mut out = Out::stdout();
    match verb {
        // These do without an engine or have their own way to one.
        Verb::Run(args) => return run::run(cwd, &args),
        Verb::Attach(args) => return attach::attach(cwd, &args, &mut out),
        Verb::Engine => return run::engine(&cwd),
        Verb::Demo(args) => return demo::demo(&args),
        Verb::Open(args) => return trace::open(cwd, &args, &cli.trace),
        Verb::Formats(args) => trace::formats(args.json, &mut out)?,
        Verb::Completions { shell } => {
            // Into memory: it cannot cope with a closed pipe.
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "backtrail", &mut text);
            out.raw(&text)?;
        }
        Verb::Keys(args) => keys::keys(&args, &mut out)?,
        Verb::Man(args) => return man::man(&args, &mut out),
        Verb::Config(args) => return config::config(&args, &mut out),
        verb => {
            let runtime = runtime(false)?;
            let code = runtime.block_on(ask(cwd, verb, &cli.trace, &mut out));
            // A task that still reads a closed standard input must not keep us.
            runtime.shutdown_background();
            let code = code?;
            out.flush()?;
            return Ok(code);
        }
    }
    out.flush()?;
    Ok(0)
}

/// The verbs that ask a source.
async fn ask(cwd: PathBuf, verb: Verb, trace: &args::Trace, out: &mut Out) -> Ended {
    if let Some(file) = &trace.trace {
        let cx = trace::context(cwd, trace, file)?;
        return answer(&cx, verb, true, trace, out).await;
    }
    if let Verb::Sessions(args) = &verb
        && args.all
    {
        return trace::recordings(args.json, args.limit, out).await;
    }
    let (project, cwd) = locate(cwd)?;
    let want = match &verb {
        Verb::Stop(_) | Verb::Umount(_) => Want::Running,
        Verb::Emit(_) | Verb::Fork(_) | Verb::At(_) | Verb::Mount(_) => Want::Engine,
        _ => Want::Any,
    };
    // Looking must not leave anything behind.
    let makes = matches!(
        verb,
        Verb::Emit(_) | Verb::Init(_) | Verb::Checkpoint(_) | Verb::Import(_)
    );
    if matches!(verb, Verb::Doctor(_)) {
        link::before_doctor(&project)?;
    }
    if !project.exists() && !makes && std::env::var_os("BACKTRAIL_SOCKET").is_none() {
        return state::nothing_here(&project, &verb, out);
    }
    let existed = project.exists();
    let source = match link::open(&project, want).await {
        Ok(source) => source,
        Err(e) => match verb {
            Verb::Stop(_) => return state::not_running(&project, &e, out),
            Verb::Umount(args) => return mount::dead(&cwd, &args, &e, out),
            _ => return Err(e.into()),
        },
    };
    start_log(&project);
    let cx = Context {
        cwd,
        project,
        source,
        _kept: None,
    };
    answer(&cx, verb, existed, trace, out).await
}

/// What each of them does with a source.
async fn answer(
    cx: &Context,
    verb: Verb,
    existed: bool,
    trace: &args::Trace,
    out: &mut Out,
) -> Ended {
    match verb {
        Verb::Status(args) => state::status(cx, args.json, out).await,
        Verb::Stop(args) => state::stop(cx, args.force, out).await,
        Verb::Verify(args) => keep::verify(cx, &args, out).await,
        Verb::Doctor(args) => keep::doctor(cx, args.json, out).await,
        Verb::Gc(args) => keep::gc(cx, &args, out).await,
        Verb::Du(args) => keep::du(cx, &args, out).await,
        Verb::Forget(args) => keep::forget(cx, &args, out).await,
        Verb::Delete(args) => keep::delete(cx, &args, out).await,
        Verb::Exists(args) => keep::exists(cx, &args, out).await,
        Verb::Log(args) => history::log(cx, &args, out).await,
        Verb::Steps(args::Steps {
            json,
            limit,
            filter: Some(query),
        }) => filter::steps(cx, &query, json, limit, out).await,
        Verb::Steps(args) => history::steps(cx, args.json, args.limit, out).await,
        Verb::Search(args) => filter::search(cx, &args, out).await,
        Verb::Sessions(args) => history::sessions(cx, args.json, out).await,
        Verb::Op(args) => ops::op(cx, args.verb, out).await,
        Verb::Leaves(args) => lineage::leaves(cx, &args, out).await,
        Verb::Lineage(args) => lineage::lineage(cx, &args, out).await,
        Verb::Children(args) => lineage::children(cx, &args, out).await,
        Verb::History(args) => lineage::history(cx, &args, out).await,
        Verb::Trace(args) => lineage::trace(cx, &args, out).await,
        Verb::Blame(args) => blame::blame(cx, &args, out).await,
        Verb::Show(args) if args.raw => trace::raw(cx, &args.rev, args.json, out).await,
        Verb::Show(args) => diff::show(cx, &args, out).await,
        Verb::Import(args) => trace::import(cx, &args, trace, out).await,
        Verb::Reads(args) => reads::reads(cx, &args, out).await,
        Verb::Effects(args) => trace::effects(cx, args.json, out).await,
        Verb::Diff(args) if args.state => facts::diff(cx, &args, out).await,
        Verb::Restore(args) => restore::restore(cx, &args, out).await,
        Verb::Diff(args) => diff::diff(cx, &args, out).await,
        Verb::Cat(args) => cat::cat(cx, &args.what, out).await,
        Verb::Rollback(args) => change::rollback(cx, &args, out).await,
        Verb::Undo(args) => change::undo(cx, args, out).await,
        Verb::Redo(args) => change::redo(cx, args.json, out).await,
        Verb::Checkpoint(args) => change::checkpoint(cx, &args, out).await,
        Verb::Label(args) => change::label(cx, &args, out).await,
        Verb::Branch(args) => branch::branch(cx, args.verb, out).await,
        Verb::Switch(args) => change::switch(cx, &args, out).await,
        Verb::Fork(args) if args.race.run.is_some() => race::race(cx, &args, out).await,
        Verb::Fork(args) => fork::fork(cx, &args, out).await,
        // It would be gone with this process.
        Verb::At(_) | Verb::Mount(_) if trace.trace.is_some() => Err(Fail::Message(
            "the states of a recording are mounted only while its screen is open; backtrail cat writes a file of one"
                .to_owned(),
        )),
        Verb::At(args) => mount::at(cx, &args, out).await,
        Verb::Mount(args) => mount::mount(cx, &args, out).await,
        Verb::Umount(args) => mount::umount(cx, &args, out).await,
        Verb::Forks(args) => fork::forks(cx, args.json, out).await,
        Verb::Freeze(args) => session::freeze(cx, &args, true, out).await,
        Verb::Thaw(args) => session::freeze(cx, &args, false, out).await,
        Verb::Kill(args) => session::kill(cx, &args, out).await,
        Verb::Compare(args) => compare::compare(cx, &args, out).await,
        Verb::Merge(args) => merge::merge(cx, &args, out).await,
        Verb::Land(args) => merge::land(cx, &args, out).await,
        Verb::Conflicts(args) => merge::conflicts(cx, &args, out).await,
        Verb::Resolve(args) => merge::resolve(cx, &args, out).await,
        Verb::Ask(args) => ask::ask(cx, &args, trace.trace.is_some(), out).await,
        Verb::Export(args) if args.output.is_some() => keep::export(cx, &args, out).await,
        Verb::Export(args) => export::export(cx, &args, trace, out).await,
        Verb::Init(args) => change::init(cx, existed, args.json, out).await,
        Verb::Emit(args) => emit::emit(cx, &args).await,
        Verb::Run(_)
        | Verb::Attach(_)
        | Verb::Open(_)
        | Verb::Formats(_)
        | Verb::Keys(_)
        | Verb::Config(_)
        | Verb::Man(_)
        | Verb::Demo(_)
        | Verb::Engine
        | Verb::Enter(_)
        | Verb::Completions { .. } => Ok(0),
    }
}

impl Context {
    /// Asks and waits.
    pub async fn ask(&self, request: Request) -> Result<Response, Fail> {
        Ok(self.source.ask(request).await?)
    }
}

/// The directory to work in, as an absolute path without links.
fn working_directory(given: Option<PathBuf>) -> Result<PathBuf, Fail> {
    let dir = match given {
        Some(dir) => dir,
        None => std::env::current_dir().map_err(|e| {
            Fail::Message(format!(
                "the current directory cannot be found: {e}; was it removed?"
            ))
        })?,
    };
    let full = dir.canonicalize().map_err(|e| {
        Fail::Message(format!(
            "{}: {e}",
            neutral(dir.as_os_str().as_encoded_bytes())
        ))
    })?;
    if !full.is_dir() {
        return Err(Fail::Message(format!(
            "{}: not a directory",
            neutral(full.as_os_str().as_encoded_bytes())
        )));
    }
    Ok(full)
}

/// Where futures run. `runs_command`: the main thread is going to take signals over, so the others keep off them.
fn runtime(runs_command: bool) -> Result<tokio::runtime::Runtime, Fail> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all();
    if runs_command {
        builder.on_thread_start(crate::agent::block_in_helper_threads);
    }
    Ok(builder.build()?)
}

/// The project that lies at `cwd`, and `cwd` as seen from its own path.
///
/// Inside a session the store is hidden, so that it cannot be looked for: the session says which project it is in. In
/// a session without a namespace, `cwd` is in the view.
fn locate(cwd: PathBuf) -> Result<(Project, PathBuf), Fail> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
    if let Some(root) = named("BACKTRAIL_PROJECT") {
        if cwd.starts_with(&root) {
            return Ok((Project::at(&root)?, cwd));
        }
        if let Some(below) = named("BACKTRAIL_VIEW").and_then(|v| cwd.strip_prefix(v).ok()) {
            let mut cwd = root.clone();
            cwd.extend(below);
            return Ok((Project::at(&root)?, cwd));
        }
    }
    Ok((Project::locate(&cwd)?, cwd))
}

/// With `BACKTRAIL_LOG` (a filter, as in `debug` or `backtrail::agent=trace`) diagnostics go to a file beside the
/// engine's own; never to the terminal, which may be a screen.
fn start_log(project: &Project) {
    let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("BACKTRAIL_LOG") else {
        return;
    };
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(project.runtime_dir.join("client.log"));
    if let Ok(file) = file {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .with_writer(Arc::new(file))
            .try_init();
    }
}

/// Says something on standard error; nothing can be done when that is closed.
fn say(text: &str) {
    for (i, line) in text.lines().enumerate() {
        let prefix = if i == 0 { "backtrail: " } else { "  " };
        let _ = writeln!(io::stderr(), "{prefix}{}", neutral(line.as_bytes()));
    }
}

fn code_byte(code: i32) -> u8 {
    u8::try_from(code & 0xff).unwrap_or(1)
}
