//! `fork --run`: a race. The same command runs in several forks side by side; each is scored in its own view, the losers'
//! branches go (and can be had back by `undo`), and a table says how it went.
//!
//! Every runner is this program's own `run --branch` as a child with its output in a file, so that a race records what any
//! run does. An interrupt or a time-out first asks the command to end, and then kills the fork's session as a whole, by its
//! cgroup. What a command leaves running behind it goes too, before its fork is scored or pruned.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IsTerminal, Read, Seek, SeekFrom, Write, stderr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde::Serialize;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::args;
use super::fork::make;
use super::out::{Out, Tone, count, duration, one_line};
use super::{Context, Ended, Fail, say};
use crate::engine::api::{ForkInfo, Request, Response};
use crate::model::{CommitId, neutral};

/// How long a command may take to end once it was asked to, and what it left running.
const ASKED: Duration = Duration::from_secs(2);
/// How long a runner may take to end once its session was killed.
const GRACE: Duration = Duration::from_secs(10);
/// How often it is looked whether somebody has ended.
const POLL: Duration = Duration::from_millis(50);
/// How often the screen's lines are drawn anew.
const TICK: Duration = Duration::from_millis(250);
/// How much of an output's end is looked at.
const TAIL: u64 = 8 << 10;
/// Exit code after an interrupt, as shells have it.
const INTERRUPTED: u8 = 130;

/// What one command came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Outcome {
    /// Its exit code; `None` when it could not be started.
    exit: Option<i32>,
    /// It was ended because its time was over.
    timed_out: bool,
    /// How long it took.
    seconds: f64,
}

impl Outcome {
    fn is_well(&self) -> bool {
        self.exit == Some(0) && !self.timed_out
    }
}

/// What the scoring command said.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Score {
    #[serde(flatten)]
    outcome: Outcome,
    /// Its last line of output, where that is a number. Higher is better.
    number: Option<f64>,
}

/// A fork in the race.
#[derive(Debug, Clone, Serialize)]
struct Runner {
    fork: String,
    /// Its place in the end, from 1.
    rank: usize,
    run: Outcome,
    score: Option<Score>,
    /// Paths that the command left otherwise than it found them.
    files: usize,
    /// The branch's latest commit.
    tip: Option<CommitId>,
    /// Its branch is there still.
    kept: bool,
    /// What the command printed.
    output: String,
}

impl Runner {
    /// It did what it was to do.
    fn succeeded(&self) -> bool {
        self.run.is_well() && self.score.as_ref().is_none_or(|s| s.outcome.is_well())
    }
}

/// How far a fork is, for the lines that are shown meanwhile.
#[derive(Debug, Clone)]
enum Stage {
    Waiting,
    Running(Instant),
    Scoring(Instant),
    Done(Outcome),
}

/// What all runners share.
struct Track<'a> {
    cx: &'a Context,
    timeout: Option<Duration>,
    dir: PathBuf,
    stop: watch::Receiver<bool>,
}

/// `fork --run`
pub async fn race(cx: &Context, args: &args::Fork, out: &mut Out) -> Ended {
    let Some(command) = &args.race.run else {
        return Ok(0);
    };
    let timeout = args.race.timeout.as_deref().map(seconds).transpose()?;
    if args.race.keep == Some(0) {
        return Err(Fail::Usage("--keep is at least 1".into()));
    }
    let forks = make(cx, args).await?;
    let names: Vec<String> = forks.iter().map(|f| f.branch.clone()).collect();
    let dir = outputs(cx, &names)?;
    let (stop, stopped) = watch::channel(false);
    let interrupts = tokio::spawn(interrupts(stop));
    let track = Track {
        cx,
        timeout,
        dir,
        stop: stopped,
    };
    let jobs = args
        .race
        .jobs
        .unwrap_or(names.len())
        .clamp(1, names.len().max(1));
    let news = News::new(&names);
    let ticker = news.start();

    let runs = futures_util::stream::iter(names.iter().enumerate())
        .map(|(n, name)| track.run(n, name, command, &news))
        .buffer_unordered(jobs)
        .collect::<BTreeMap<usize, Outcome>>()
        .await;
    let mut runners = track.told(&names, &runs).await?;
    if let (Some(score), false) = (&args.race.score, track.is_stopped()) {
        let scores = futures_util::stream::iter(names.iter().enumerate())
            .map(|(n, name)| track.score(n, name, score, &news))
            .buffer_unordered(jobs)
            .collect::<BTreeMap<usize, Score>>()
            .await;
        for (runner, score) in runners.iter_mut().zip(scores.into_values()) {
            runner.score = Some(score);
        }
    }
    ticker.stop().await;
    interrupts.abort();
    let stopped = track.is_stopped();
    runners.sort_by(better);
    for (n, runner) in runners.iter_mut().enumerate() {
        runner.rank = n + 1;
    }
    if let (Some(keep), false) = (args.race.keep, stopped) {
        for loser in runners.iter_mut().skip(keep) {
            loser.kept = !forget(cx, &loser.fork).await?;
        }
    }
    if args.json {
        runners.iter().try_for_each(|r| out.json(r))?;
    } else {
        print(&runners, args.race.score.is_some(), &track.dir, out)?;
    }
    Ok(match (stopped, runners.iter().any(Runner::succeeded)) {
        (true, _) => INTERRUPTED,
        (false, true) => 0,
        (false, false) => 1,
    })
}

/// A directory of its own for what the commands print.
fn outputs(cx: &Context, names: &[String]) -> Result<PathBuf, Fail> {
    let first = names.first().map_or("race", String::as_str);
    let first: String = first
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '_'
            }
        })
        .take(60)
        .collect();
    let races = cx.project.store_dir.join("races");
    let cannot = |e: std::io::Error| {
        let races = neutral(races.as_os_str().as_encoded_bytes());
        Fail::Message(format!(
            "cannot make a directory for the outputs in {races}: {e}"
        ))
    };
    std::fs::create_dir_all(&races).map_err(cannot)?;
    let made = tempfile::Builder::new()
        .prefix(&format!("{first}."))
        .tempdir_in(&races)
        .map_err(cannot)?;
    Ok(made.keep())
}

/// Says on the channel that somebody wants it to end.
async fn interrupts(stop: watch::Sender<bool>) {
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    let (Ok(mut int), Ok(mut term), Ok(mut hup)) =
        (signal(kinds[0]), signal(kinds[1]), signal(kinds[2]))
    else {
        // Without them we end at once, as anybody does; the runners go on.
        std::future::pending::<()>().await;
        return;
    };
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
        _ = hup.recv() => {}
    }
    let _ = stop.send(true);
    // A second one must not end us before the sessions are gone; the sender stays open meanwhile.
    loop {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
            _ = hup.recv() => {}
        }
    }
}

impl Track<'_> {
    fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    fn file(&self, n: usize, name: &str, end: &str) -> PathBuf {
        let name: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '-' {
                    c
                } else {
                    '_'
                }
            })
            .take(100)
            .collect();
        self.dir.join(format!("{}-{name}.{end}", n + 1))
    }

    /// Runs the command in the fork.
    async fn run(&self, n: usize, name: &str, command: &str, news: &News) -> (usize, Outcome) {
        let output = self.file(n, name, "out");
        news.set(n, Stage::Running(Instant::now()), Some(output.clone()));
        let outcome = self.one(n, name, command, &output, None).await;
        news.set(n, Stage::Done(outcome.clone()), None);
        (n, outcome)
    }

    /// Scores the fork.
    async fn score(&self, n: usize, name: &str, command: &str, news: &News) -> (usize, Score) {
        let output = self.file(n, name, "score");
        news.set(n, Stage::Scoring(Instant::now()), Some(output.clone()));
        let errors = self.file(n, name, "score.err");
        let outcome = self.one(n, name, command, &output, Some(&errors)).await;
        news.set(n, Stage::Done(outcome.clone()), None);
        let number = last_line(&output).and_then(|l| number(&l));
        (n, Score { outcome, number })
    }

    /// One command in a fork, with its output in files.
    async fn one(
        &self,
        n: usize,
        name: &str,
        command: &str,
        output: &Path,
        errors: Option<&Path>,
    ) -> Outcome {
        let begun = Instant::now();
        let ended = |exit, timed_out| Outcome {
            exit,
            timed_out,
            seconds: (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        };
        if self.is_stopped() {
            return ended(None, false);
        }
        let mut child = match self.start(n, name, command, output, errors) {
            Ok(child) => child,
            Err(e) => {
                say(&format!("{name}: the command could not be started: {e}"));
                return ended(None, false);
            }
        };
        let mut stop = self.stop.clone();
        let over = async {
            match self.timeout {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let (outcome, patience) = tokio::select! {
            status = child.wait() => (ended(status.ok().map(code), false), ASKED),
            () = over => {
                let status = self.end(name, &mut child).await;
                (ended(status.map(code), true), Duration::ZERO)
            }
            _ = stop.wait_for(|s| *s) => {
                let status = self.end(name, &mut child).await;
                (ended(status.map(code), false), Duration::ZERO)
            }
        };
        self.clear(name, patience).await;
        outcome
    }

    fn start(
        &self,
        n: usize,
        name: &str,
        command: &str,
        output: &Path,
        errors: Option<&Path>,
    ) -> std::io::Result<Child> {
        let to = File::create(output)?;
        let said = match errors {
            Some(path) => File::create(path)?,
            None => to.try_clone()?,
        };
        let agent = match errors {
            Some(_) => "score",
            None => agent_of(command),
        };
        // Even a binary that was replaced since is found by this name.
        Command::new("/proc/self/exe")
            .arg0("backtrail")
            .args(["run", "--branch", name, "--agent", agent, "--"])
            .args(["sh", "-c", command])
            .current_dir(&self.cx.cwd)
            .env("BACKTRAIL_FORK", (n + 1).to_string())
            .env("BACKTRAIL_BRANCH", name)
            .stdin(Stdio::null())
            .stdout(to)
            .stderr(said)
            // An interrupt from the terminal is for us: we end them.
            .process_group(0)
            .spawn()
    }

    /// Asks the command to end; then kills the fork's sessions, and the runner when that does not end by it.
    async fn end(&self, name: &str, child: &mut Child) -> Option<std::process::ExitStatus> {
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = pid.and_then(rustix::process::Pid::from_raw) {
            // The runner leads the group and passes it on to a command that is in another one.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
        }
        if let Ok(status) = tokio::time::timeout(ASKED, child.wait()).await {
            return status.ok();
        }
        let until = Instant::now() + GRACE;
        while Instant::now() < until {
            for session in self.sessions(name).await {
                // One that has just ended is what is wanted.
                let _ = self.cx.ask(Request::Kill { session }).await;
            }
            // One that is only just beginning has no session yet: it is asked for again.
            let soon = Duration::from_millis(300);
            if let Ok(status) = tokio::time::timeout(soon, child.wait()).await {
                return status.ok();
            }
        }
        let _ = child.start_kill();
        child.wait().await.ok()
    }

    /// Waits until nobody is in the fork any more, and kills who is there still when patience is at its end.
    async fn clear(&self, name: &str, patience: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < patience + GRACE {
            let left = self.sessions(name).await;
            if left.is_empty() {
                return;
            }
            if begun.elapsed() >= patience {
                for session in left {
                    // One that has just ended is what is wanted.
                    let _ = self.cx.ask(Request::Kill { session }).await;
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn sessions(&self, name: &str) -> Vec<crate::model::SessionId> {
        // What forks take up on disk is of no interest here, and takes long to find out.
        match self.cx.ask(Request::Status).await {
            Ok(Response::Status(status)) => status
                .sessions
                .into_iter()
                .filter(|s| s.branch.as_deref() == Some(name))
                .map(|s| s.session.id)
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The runners with what the engine says of their forks.
    async fn told(
        &self,
        names: &[String],
        runs: &BTreeMap<usize, Outcome>,
    ) -> Result<Vec<Runner>, Fail> {
        let forks: BTreeMap<String, ForkInfo> = match self.cx.ask(Request::Forks).await? {
            Response::Forks(forks) => forks.into_iter().map(|f| (f.branch.clone(), f)).collect(),
            other => return Err(Fail::unexpected(&other)),
        };
        Ok(names
            .iter()
            .zip(runs.values())
            .enumerate()
            .map(|(n, (name, run))| {
                let info = forks.get(name);
                let output = self.file(n, name, "out");
                Runner {
                    fork: name.clone(),
                    rank: 0,
                    run: run.clone(),
                    score: None,
                    files: info.map_or(0, |f| f.changed),
                    tip: info.map(|f| f.tip.id),
                    kept: true,
                    output: neutral(output.as_os_str().as_encoded_bytes()),
                }
            })
            .collect())
    }
}

/// The name of the program that a command line begins with, where that can be told.
fn agent_of(command: &str) -> &str {
    let first = command
        .split_whitespace()
        .find(|word| !word.contains('='))
        .unwrap_or_default();
    let name = first.rsplit('/').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        "sh"
    } else {
        name
    }
}

/// Removes a loser's branch; `false`, with a word, when it cannot go.
async fn forget(cx: &Context, name: &str) -> Result<bool, Fail> {
    let name = name.to_owned();
    match cx.ask(Request::BranchDelete { name: name.clone() }).await {
        Ok(Response::Branched(_)) => Ok(true),
        Ok(other) => Err(Fail::unexpected(&other)),
        Err(Fail::Api(e)) => {
            say(&format!("{name} stays: {e}"));
            Ok(false)
        }
        Err(e) => Err(e),
    }
}

/// The better one first: by what the scoring says, then by the command's own end, then by time.
fn better(a: &Runner, b: &Runner) -> Ordering {
    let well = |r: &Runner| r.score.as_ref().is_some_and(|s| s.outcome.is_well());
    let number = |r: &Runner| r.score.as_ref().and_then(|s| s.number);
    let by_number = match (number(a), number(b)) {
        (Some(x), Some(y)) => y.total_cmp(&x),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    };
    well(b)
        .cmp(&well(a))
        .then(by_number)
        .then(b.run.is_well().cmp(&a.run.is_well()))
        .then(a.run.seconds.total_cmp(&b.run.seconds))
}

fn code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// `90`, `90s`, `15m`, `2h`.
fn seconds(text: &str) -> Result<Duration, Fail> {
    let bad = || {
        Fail::Usage(format!(
            "{:?} is not a time: 90, 90s, 15m or 2h is wanted",
            neutral(text.as_bytes())
        ))
    };
    let text = text.trim();
    let (digits, unit) = match text.char_indices().next_back() {
        Some((i, 's')) => (&text[..i], 1.0),
        Some((i, 'm')) => (&text[..i], 60.0),
        Some((i, 'h')) => (&text[..i], 3600.0),
        _ => (text, 1.0),
    };
    let n: f64 = digits.trim().parse().map_err(|_| bad())?;
    if n <= 0.0 {
        return Err(bad());
    }
    Duration::try_from_secs_f64(n * unit).map_err(|_| bad())
}

/// The last line of a file that says something.
fn last_line(file: &Path) -> Option<String> {
    let mut file = File::open(file).ok()?;
    let len = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(TAIL))).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    let line = bytes
        .split(|b| matches!(b, b'\n' | b'\r'))
        .rfind(|l| !l.trim_ascii().is_empty())?;
    Some(String::from_utf8_lossy(line.trim_ascii()).into_owned())
}

/// A number as a program prints one.
fn number(line: &str) -> Option<f64> {
    line.parse().ok().filter(|n: &f64| n.is_finite())
}

/// The lines that are shown meanwhile.
struct News {
    state: Arc<std::sync::Mutex<Vec<Lane>>>,
    terminal: bool,
}

struct Lane {
    name: String,
    stage: Stage,
    output: Option<PathBuf>,
}

/// What draws them.
struct Ticker {
    end: watch::Sender<bool>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl News {
    fn new(names: &[String]) -> Self {
        let lanes = names.iter().map(|name| Lane {
            name: neutral(name.as_bytes()),
            stage: Stage::Waiting,
            output: None,
        });
        Self {
            state: Arc::new(std::sync::Mutex::new(lanes.collect())),
            terminal: stderr().is_terminal(),
        }
    }

    /// A fork has come so far. Without a terminal that is a line.
    fn set(&self, n: usize, stage: Stage, output: Option<PathBuf>) {
        let mut lanes = self
            .state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(lane) = lanes.get_mut(n) else { return };
        if !self.terminal {
            say(&format!("{}: {}", lane.name, words(&stage)));
        }
        lane.stage = stage;
        if output.is_some() {
            lane.output = output;
        }
    }

    /// Draws the lines again and again, where a terminal shows them.
    fn start(&self) -> Ticker {
        let (end, mut ended) = watch::channel(false);
        let state = Arc::clone(&self.state);
        let task = self.terminal.then(|| {
            tokio::spawn(async move {
                let mut drawn = 0;
                loop {
                    let over = *ended.borrow();
                    drawn = draw(&state, drawn);
                    if over {
                        return;
                    }
                    let _ = tokio::time::timeout(TICK, ended.changed()).await;
                }
            })
        });
        Ticker { end, task }
    }
}

impl Ticker {
    async fn stop(self) {
        let _ = self.end.send(true);
        if let Some(task) = self.task {
            let _ = task.await;
        }
    }
}

fn words(stage: &Stage) -> String {
    match stage {
        Stage::Waiting => "waits".to_owned(),
        Stage::Running(since) if since.elapsed() < TICK => "runs".to_owned(),
        Stage::Running(since) => format!("runs, {}", duration(since.elapsed())),
        Stage::Scoring(since) if since.elapsed() < TICK => "is scored".to_owned(),
        Stage::Scoring(since) => format!("is scored, {}", duration(since.elapsed())),
        Stage::Done(outcome) => format!("{}, {}", exit_words(outcome), took(outcome)),
    }
}

fn took(outcome: &Outcome) -> String {
    duration(Duration::try_from_secs_f64(outcome.seconds).unwrap_or_default())
}

fn exit_words(outcome: &Outcome) -> String {
    match (outcome.timed_out, outcome.exit) {
        (true, _) => "out of time".to_owned(),
        (_, Some(code)) => format!("exit {code}"),
        (_, None) => "not run".to_owned(),
    }
}

/// Draws over what was drawn before; gives how many lines there are now.
fn draw(state: &std::sync::Mutex<Vec<Lane>>, before: usize) -> usize {
    let lanes = state
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let width =
        rustix::termios::tcgetwinsize(stderr()).map_or(80, |s| usize::from(s.ws_col.max(20)));
    let mut text = String::new();
    if before > 0 {
        text.push_str(&format!("\x1b[{before}A"));
    }
    for lane in lanes.iter() {
        let last = match &lane.stage {
            Stage::Running(_) | Stage::Scoring(_) => lane.output.as_deref().and_then(last_line),
            _ => None,
        };
        let line = format!(
            "{:<12} {:<20} {}",
            lane.name,
            words(&lane.stage),
            last.unwrap_or_default()
        );
        text.push_str(&format!("\r{}\x1b[K\n", cut(&line, width - 1)));
    }
    // Nothing can be done when it is closed.
    let _ = stderr().write_all(text.as_bytes());
    lanes.len()
}

/// The line, harmless, in so many cells: one that wraps would be drawn over wrongly.
fn cut(line: &str, width: usize) -> String {
    let line = one_line(line, width);
    let mut cells = 0;
    line.chars()
        .take_while(|c| {
            cells += unicode_width::UnicodeWidthChar::width(*c).unwrap_or(0);
            cells <= width
        })
        .collect()
}

fn print(runners: &[Runner], scored: bool, dir: &Path, out: &mut Out) -> Result<(), Fail> {
    let width = runners
        .iter()
        .map(|r| neutral(r.fork.as_bytes()).chars().count());
    let width = width.max().unwrap_or(0).max(4);
    let head = format!(
        "{:<width$}  {}{:>8}  {:>5}  {:<12}  tip",
        "fork",
        if scored { "   score  " } else { "" },
        "time",
        "files",
        "exit"
    );
    out.line(&out.paint(Tone::Dim, &head))?;
    for runner in runners {
        let name = format!("{:<width$}", neutral(runner.fork.as_bytes()));
        let score = match &runner.score {
            _ if !scored => String::new(),
            Some(score) => format!("{:>8}  ", score_words(score)),
            None => format!("{:>8}  ", "-"),
        };
        let tone = if runner.succeeded() {
            Tone::Good
        } else {
            Tone::Bad
        };
        let mut line = format!(
            "{}  {}{:>8}  {:>5}  {}  {}",
            out.paint(Tone::Name, &name),
            out.paint(Tone::Mark, &score),
            took(&runner.run),
            runner.files,
            out.paint(tone, &format!("{:<12}", exit_words(&runner.run))),
            out.paint(Tone::Id, &runner.tip.map(|t| t.short()).unwrap_or_default()),
        );
        if !runner.kept {
            line.push_str("  pruned");
        }
        out.line(&line)?;
    }
    let dir = neutral(dir.as_os_str().as_encoded_bytes());
    out.line(&format!("what they printed: {dir}"))?;
    let pruned = runners.iter().filter(|r| !r.kept).count();
    if pruned > 0 {
        out.line(&format!(
            "{} pruned; each is had back by: backtrail undo",
            count(pruned, "fork")
        ))?;
    }
    Ok(())
}

fn score_words(score: &Score) -> String {
    match (score.number, score.outcome.is_well()) {
        (Some(n), true) => format!("{n}"),
        (Some(n), false) => format!("{n} (bad)"),
        (None, true) => "ok".to_owned(),
        (None, false) => exit_words(&score.outcome),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::out::testing::Captured;
    use super::*;

    fn outcome(exit: i32, seconds: f64) -> Outcome {
        Outcome {
            exit: Some(exit),
            timed_out: exit == 137,
            seconds,
        }
    }

    fn runner(name: &str, run: Outcome, score: Option<(i32, Option<f64>)>) -> Runner {
        Runner {
            fork: name.to_owned(),
            rank: 0,
            run,
            score: score.map(|(exit, number)| Score {
                outcome: outcome(exit, 1.0),
                number,
            }),
            files: 2,
            tip: Some(CommitId([7; 32])),
            kept: name != "gone",
            output: String::new(),
        }
    }

    #[test]
    fn the_better_one_is_first() {
        let mut all = [
            runner("failed score", outcome(0, 1.0), Some((1, Some(99.0)))),
            runner("no number", outcome(0, 1.0), Some((0, None))),
            runner("low", outcome(0, 1.0), Some((0, Some(-2.0)))),
            runner("slow", outcome(0, 9.0), Some((0, Some(3.5)))),
            runner("fast", outcome(0, 2.0), Some((0, Some(3.5)))),
            runner("own end bad", outcome(1, 1.0), Some((0, Some(3.5)))),
            runner("not scored", outcome(0, 1.0), None),
        ];
        all.sort_by(better);
        let names: Vec<&str> = all.iter().map(|r| r.fork.as_str()).collect();
        assert_eq!(
            names,
            [
                "fast",
                "slow",
                "own end bad",
                "low",
                "no number",
                "failed score",
                "not scored"
            ]
        );
        assert!(!runner("x", outcome(0, 1.0), Some((1, None))).succeeded());
        assert!(!runner("x", outcome(137, 1.0), None).succeeded());
    }

    #[test]
    fn times_and_numbers() {
        assert_eq!(seconds("90").unwrap(), Duration::from_secs(90));
        assert_eq!(seconds("1.5m").unwrap(), Duration::from_secs(90));
        assert_eq!(seconds("2h").unwrap(), Duration::from_secs(7200));
        for bad in ["", "x", "-1", "0", "1d", "NaN", "1e400", "inf"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
        assert_eq!(agent_of("A=1 /usr/bin/claude -p x"), "claude");
        assert_eq!(agent_of("(cd x; y)"), "sh");
        assert_eq!(cut("a 漢字\x1b", 5), "a 漢");
        assert_eq!(number("3.5"), Some(3.5));
        assert_eq!(number("NaN"), None);
        assert_eq!(number("12 passed"), None);
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(last_line(file.path()), None);
        let text = format!("{}\nfirst\n 42 \n\n", "x".repeat(20_000));
        std::fs::write(file.path(), text).unwrap();
        assert_eq!(last_line(file.path()).as_deref(), Some("42"));
    }

    #[test]
    fn a_table_says_all_and_is_harmless() {
        let all = [
            runner("first\x1b[2J", outcome(0, 61.0), Some((0, Some(12.0)))),
            runner("gone", outcome(137, 300.0), Some((2, None))),
        ];
        let seen = Captured::default();
        print(&all, true, Path::new("/o\x1b"), &mut seen.out()).unwrap();
        let text = seen.text();
        assert!(!text.contains('\x1b'), "{text}");
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].contains("12") && lines[1].contains("exit 0"),
            "{text}"
        );
        assert!(
            lines[2].contains("out of time") && lines[2].ends_with("pruned"),
            "{text}"
        );
        assert!(text.contains("1 fork pruned"), "{text}");
    }
}
