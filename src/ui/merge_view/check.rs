//! The configured check, run on the result as it would be written now, in a scratch view of it: nothing of the project or
//! of the merge is touched, and the view goes when the check ends or is cancelled.

use std::process::Stdio;
use std::sync::Arc;

use ratatui::text::{Line, Span};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::UnboundedSender;

use crate::engine::api::{ApiError, ErrorCode, Request, Response};
use crate::engine::source::Source;
use crate::ui::app::App;
use crate::ui::msg::Msg;
use crate::ui::text;
use crate::ui::theme::Token;
use crate::ui::words;

use super::MergeView;
use super::jobs::News;
use super::right::Text;

/// Lines of output that are kept: the last ones.
const KEPT: usize = 2_000;

/// Longest line that is kept, in bytes.
const MAX_LINE: usize = 4_096;

/// How a check goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    /// It ended with this code; `None` when a signal ended it.
    Ended(Option<i32>),
    /// It could not be run.
    Failed(String),
    /// The person has stopped it.
    Cancelled,
}

/// A check.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub stamp: u64,
    pub state: State,
    pub lines: Vec<String>,
    /// The merge as it was when the check began.
    pub of: u64,
}

/// Something came of a check.
#[derive(Debug)]
pub(crate) enum Progress {
    /// A line of its output.
    Line(String),
    /// It is over.
    Over(State),
}

impl Check {
    /// Takes what came.
    pub(crate) fn take(&mut self, progress: Progress) {
        match progress {
            Progress::Line(line) => {
                self.lines.push(line);
                if self.lines.len() > 2 * KEPT {
                    self.lines.drain(..KEPT);
                }
            }
            Progress::Over(state) => {
                if self.state == State::Running {
                    self.state = state;
                }
            }
        }
    }
}

/// Takes the scratch view and the processes in it away, however the check ends.
struct Guard {
    source: Arc<dyn Source>,
    name: String,
    group: Option<rustix::process::Pid>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let source = Arc::clone(&self.source);
        let name = std::mem::take(&mut self.name);
        tokio::spawn(async move {
            let _ = source.ask(Request::ForkDiscard { name }).await;
        });
    }
}

fn other() -> ApiError {
    let message = "the engine gave an answer of another kind; is it of another version?";
    ApiError::new(ErrorCode::Failed, message)
}

/// Runs the check and tells what comes of it. Dropping the future ends it.
pub(crate) async fn run(
    source: Arc<dyn Source>,
    stamp: u64,
    command: String,
    send: UnboundedSender<Msg>,
) {
    let tell = |progress| {
        let _ = send.send(Msg::Merge(News::Check(stamp, progress)));
    };
    let state = match scratch(&source).await {
        Ok((name, path)) => {
            let mut guard = Guard {
                source,
                name,
                group: None,
            };
            match start(&command, &path) {
                Ok(mut child) => {
                    guard.group = child
                        .id()
                        .and_then(|id| i32::try_from(id).ok())
                        .and_then(rustix::process::Pid::from_raw);
                    let (out, err) = (child.stdout.take(), child.stderr.take());
                    tokio::join!(lines(out, &tell), lines(err, &tell));
                    match child.wait().await {
                        Ok(status) => State::Ended(status.code()),
                        Err(error) => State::Failed(format!("the check was lost: {error}")),
                    }
                }
                Err(error) => State::Failed(format!("the check cannot be run: {error}")),
            }
        }
        Err(error) => State::Failed(text::one_line(&error.message)),
    };
    tell(Progress::Over(state));
}

/// A view of the result as it is now.
async fn scratch(source: &Arc<dyn Source>) -> Result<(String, String), ApiError> {
    let tree = match source.ask(Request::MergeTree).await? {
        Response::Resolved(resolved) => resolved.tree,
        _ => return Err(other()),
    };
    let request = Request::ForkScratch {
        rev: None,
        tree: Some(tree),
    };
    match source.ask(request).await? {
        Response::Scratch { path, name } => Ok((name, path)),
        _ => Err(other()),
    }
}

fn start(command: &str, path: &str) -> std::io::Result<Child> {
    Command::new("sh")
        .arg("-c")
        .arg(command)
        .current_dir(path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Of its own, so that all of it can be ended; and no key of this terminal reaches it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

async fn lines(from: Option<impl AsyncRead + Unpin>, tell: &impl Fn(Progress)) {
    let Some(from) = from else { return };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        // Bounded: a line may be endless.
        let (done, used) = match from.fill_buf().await {
            Ok([]) | Err(_) => break,
            Ok(bytes) => {
                let end = memchr::memchr(b'\n', bytes);
                let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
                let room = MAX_LINE.saturating_sub(line.len()).min(part.len());
                line.extend_from_slice(part.get(..room).unwrap_or_default());
                (end.is_some(), end.map_or(bytes.len(), |n| n + 1))
            }
        };
        from.consume(used);
        if done {
            tell(Progress::Line(String::from_utf8_lossy(&line).into_owned()));
            line.clear();
        }
    }
    if !line.is_empty() {
        tell(Progress::Line(String::from_utf8_lossy(&line).into_owned()));
    }
}

/// How the check stands, in a line.
pub(crate) fn standing(app: &App, view: &MergeView) -> Option<(String, Token)> {
    let info = view.info.as_ref()?;
    let command = text::one_line(info.check.as_ref()?);
    let done = app.look.glyphs.done;
    let Some(check) = &view.check else {
        return Some((format!("{command}  not run"), Token::Dim));
    };
    let (word, token) = match &check.state {
        State::Running => ("running".to_owned(), Token::Warn),
        State::Cancelled => ("cancelled".to_owned(), Token::Warn),
        State::Failed(_) => ("could not be run".to_owned(), Token::Bad),
        State::Ended(Some(0)) => (format!("{done} passed"), Token::Good),
        State::Ended(Some(code)) => (format!("failed, exit {code}"), Token::Bad),
        State::Ended(None) => ("killed".to_owned(), Token::Bad),
    };
    let old = if check.of == info.id || check.state == State::Running {
        ""
    } else {
        ", before the last pick"
    };
    Some((format!("{command}  {word}{old}"), token))
}

/// What the pane says of it.
pub(crate) fn text(app: &App, view: &MergeView, width: usize) -> Text {
    let mut out = Text::default();
    if let Some((words, token)) = standing(app, view) {
        out.wrapped(app, &words, width, token);
    }
    let Some(check) = &view.check else { return out };
    if let State::Failed(why) = &check.state {
        out.wrapped(app, why, width, Token::Bad);
    }
    let skip = check.lines.len().saturating_sub(KEPT);
    for line in check.lines.iter().skip(skip) {
        for line in text::printed_lines(line, 1) {
            let style = app.look.theme.style(words::output_token(&line));
            out.push(Line::from(Span::styled(line, style)));
        }
    }
    out
}
