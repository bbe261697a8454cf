//! `e` and `!`: a past version in the person's own editor, and a shell in a past state. The terminal is lent for either.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::engine::api::{ApiError, EntryInfo, Request, Response};
use crate::model::neutral;

use super::action::Action;
use super::app::{App, Link, Tone, View};
use super::diffing::About;
use super::msg::{Effect, Slot, Tag};
use super::outside;
use super::update::{failed, toast};

/// Something that the terminal is lent for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Errand {
    /// A text to be looked at: what is written into its copy is gone afterwards.
    View {
        /// A name that tells its language.
        name: String,
        /// The text.
        text: Arc<Vec<u8>>,
    },
    /// A shell in a directory that is a past state.
    Shell {
        /// The directory.
        dir: String,
        /// Which state, in words.
        at: String,
    },
}

impl Errand {
    /// Does it. The terminal must have been given back. Blocks until it is over.
    pub(crate) fn run(&self) -> Result<(), String> {
        match self {
            Self::View { name, text } => outside::view(name, text),
            Self::Shell { dir, at } => shell(dir, at),
        }
    }
}

fn shell(dir: &str, at: &str) -> Result<(), String> {
    let shell = std::env::var_os("SHELL").filter(|s| !s.is_empty());
    let shell = shell.unwrap_or_else(|| "/bin/sh".into());
    let name = neutral(shell.as_encoded_bytes());
    let mut out = std::io::stdout();
    let _ = writeln!(
        out,
        "{at}, read-only: {}\nexit returns to backtrail",
        neutral(dir.as_bytes())
    );
    let _ = out.flush();
    // Its own code is that of its last command: no failure of ours.
    Command::new(&shell)
        .current_dir(Path::new(dir))
        .env("BACKTRAIL_AT", at)
        .status()
        .map(drop)
        .map_err(|error| {
            format!(
                "{name} cannot be run in {}: {error}; SHELL says which one is used",
                neutral(dir.as_bytes())
            )
        })
}

/// The version that the editor would show: of a file that went, the last one.
fn target(app: &App) -> Option<EntryInfo> {
    let of =
        |change: &crate::engine::api::FileChange| change.after.clone().or(change.before.clone());
    match &app.view {
        Some(View::Diff(diff)) => diff.selected().and_then(of),
        Some(View::State(state)) => state.selected()?.entry.clone(),
        Some(_) => None,
        None => app.focus_detail()?.changes.first().and_then(of),
    }
}

/// The state that a shell would be in, and in words.
fn place(app: &App) -> Option<(String, String)> {
    match &app.view {
        Some(View::Diff(diff)) if diff.pair.is_some() => {
            let pair = diff.pair.as_ref()?;
            let at = match pair.b.step {
                Some(step) => format!("step {step}"),
                None => pair.b.words(),
            };
            Some((diff.revs.1.clone()?, at))
        }
        Some(View::State(state)) => Some((state.rev.clone(), format!("step {}", state.ordinal))),
        _ => {
            let row = app.focus_row()?;
            Some((App::revision(row), format!("step {}", row.ordinal)))
        }
    }
}

/// Why it cannot be done now.
pub(crate) fn enabled(app: &App, action: Action) -> Result<(), String> {
    let no = |why: &str| Err(why.to_owned());
    match action {
        Action::Editor => match target(app) {
            None => no("no file is selected"),
            Some(entry) if entry.kind != "file" || entry.blob.is_none() => {
                no("this is no file with a content")
            }
            Some(_) => Ok(()),
        },
        Action::Shell if app.recording() => {
            no("a recording is not mounted; backtrail import keeps it in a project")
        }
        Action::Shell if app.link != (Link::Open { live: true }) => {
            no("no engine runs that could mount it: backtrail at step:N starts one")
        }
        Action::Shell if place(app).is_none() => no("no step is recorded yet"),
        _ => Ok(()),
    }
}

/// Does one of these actions.
pub(crate) fn act(app: &mut App, action: Action, out: &mut Vec<Effect>) {
    match action {
        Action::Editor => {
            if let Some(entry) = target(app) {
                out.push(Effect::Fetch(entry));
            }
        }
        _ => {
            if let Some((rev, at)) = place(app) {
                let tag = Tag::Diffing(Box::new(About::Shell(at)));
                let request = Request::PastPath { rev: Some(rev) };
                out.push(Effect::Ask(Some(Slot::Shell), tag, request));
            }
        }
    }
}

/// The file is here.
pub(crate) fn fetched(
    app: &mut App,
    entry: &EntryInfo,
    result: Result<Arc<Vec<u8>>, String>,
    out: &mut Vec<Effect>,
) {
    match result {
        Ok(text) => {
            let name = String::from_utf8_lossy(entry.path.name()).into_owned();
            out.push(Effect::Lend(Errand::View { name, text }));
        }
        Err(why) => toast(
            app,
            Tone::Bad,
            format!("the file cannot be read: {why}"),
            &[],
            out,
        ),
    }
}

/// The state is mounted, or not.
pub(crate) fn mounted(
    app: &mut App,
    at: String,
    result: Result<Response, ApiError>,
    out: &mut Vec<Effect>,
) {
    match result {
        Ok(Response::Past(place)) => {
            let dir = place.path;
            out.push(Effect::Lend(Errand::Shell { dir, at }));
        }
        Ok(_) => {
            let text = "the engine gave an answer of another kind; is it of another version?";
            toast(app, Tone::Bad, text.to_owned(), &[], out);
        }
        Err(error) => failed(app, "no shell", &error, out),
    }
}

/// The terminal is back.
pub(crate) fn over(app: &mut App, result: Result<(), String>, out: &mut Vec<Effect>) {
    if let Err(why) = result {
        toast(app, Tone::Bad, super::text::one_line(&why), &[], out);
    }
}
