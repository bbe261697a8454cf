//! A line that is typed at the bottom: the name of a fork, a question, an instruction.

use ratatui::buffer::Buffer;
use ratatui::crossterm::event::KeyCode;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::engine::api::{ApiError, Request, Response};
use crate::model::{Ordinal, RepoPath};

use super::action::Action;
use super::against;
use super::answer;
use super::app::{App, Overlay, Tone};
use super::desk::{self, Deed};
use super::keys::Key;
use super::merge_view::assist;
use super::msg::{Effect, Tag};
use super::paint;
use super::text;
use super::theme::Token;
use super::update::{failed, toast};

/// Longest line.
const MOST: usize = 2_000;

/// What the line is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The name of a branch that begins at this step.
    Fork {
        /// The state.
        rev: String,
        /// The step.
        at: Ordinal,
    },
    /// A branch's new name.
    Rename {
        /// The one that it has.
        from: String,
    },
    /// What a list is to be filtered for.
    DeskFilter,
    /// A question about what is selected.
    Question,
    /// A state with which the one that is looked at is compared.
    Against {
        /// Labels and branches.
        names: Vec<String>,
    },
    /// What a model is to do with a part in conflict.
    Instruct {
        /// Of this file.
        path: RepoPath,
        /// This part.
        part: usize,
    },
}

/// A line being typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LineInput {
    pub purpose: Purpose,
    pub text: String,
    /// What an empty line means.
    pub ghost: String,
    /// What was typed before a name was put there for it.
    pub stem: Option<String>,
}

impl LineInput {
    /// An empty one.
    pub(crate) fn new(purpose: Purpose) -> Self {
        Self {
            purpose,
            text: String::new(),
            ghost: String::new(),
            stem: None,
        }
    }

    /// Takes a pasted text, as one line.
    pub(crate) fn paste(&mut self, pasted: &str) {
        let room = MOST.saturating_sub(self.text.chars().count());
        let line = pasted.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        self.text
            .extend(line.chars().filter(|c| !c.is_control()).take(room));
    }
}

/// Asks for the name of a fork at the focus.
pub(crate) fn fork(app: &mut App, out: &mut Vec<Effect>) {
    let Some(row) = app.focus_row() else { return };
    let purpose = Purpose::Fork {
        rev: App::revision(row),
        at: row.ordinal,
    };
    app.overlay = Some(Overlay::Line(LineInput::new(purpose)));
    // Which names are free.
    out.push(Effect::Ask(None, Tag::ForkNames, Request::Branches));
}

/// A key was pressed while a line is typed.
pub(crate) fn key(app: &mut App, key: Key, out: &mut Vec<Effect>) {
    let Some(Overlay::Line(mut line)) = app.overlay.take() else {
        return;
    };
    if key.code != KeyCode::Tab {
        line.stem = None;
    }
    match key.code {
        KeyCode::Esc => {
            if line.purpose == Purpose::DeskFilter
                && let Some(desk) = desk::open_mut(app)
            {
                desk.set_filter("");
            }
            return;
        }
        KeyCode::Enter => return done(app, line, out),
        KeyCode::Backspace if line.text.is_empty() => return,
        KeyCode::Backspace => {
            line.text.pop();
        }
        KeyCode::Char('u') if key.ctrl => line.text.clear(),
        KeyCode::Char('w') if key.ctrl => {
            let kept = line.text.trim_end().rfind(' ').map_or(0, |at| at + 1);
            line.text.truncate(kept);
        }
        KeyCode::Tab if matches!(line.purpose, Purpose::Against { .. }) => {
            against::complete(&mut line);
        }
        KeyCode::Tab if line.text.is_empty() => line.text.clone_from(&line.ghost),
        _ => {
            if let Some(c) = key.typed()
                && line.text.chars().count() < MOST
            {
                line.text.push(c);
            }
        }
    }
    if line.purpose == Purpose::DeskFilter
        && let Some(desk) = desk::open_mut(app)
    {
        desk.set_filter(&line.text);
    }
    app.overlay = Some(Overlay::Line(line));
}

fn done(app: &mut App, line: LineInput, out: &mut Vec<Effect>) {
    let typed = line.text.trim().to_owned();
    match line.purpose {
        Purpose::Fork { rev, at } => {
            app.busy = Some("a fork");
            let name = (!typed.is_empty()).then_some(typed);
            out.push(Effect::Ask(
                None,
                Tag::Fork(at),
                Request::Fork { rev, name },
            ));
        }
        Purpose::Rename { from } if !typed.is_empty() && typed != from => {
            desk::send(app, Deed::Rename(from, typed), out);
        }
        Purpose::Rename { .. } => {}
        Purpose::DeskFilter => {
            if let Some(desk) = desk::open_mut(app) {
                desk.set_filter(&typed);
            }
        }
        Purpose::Question => answer::asked(app, typed, out),
        Purpose::Against { .. } => {
            let typed = if typed.is_empty() { line.ghost } else { typed };
            against::typed(app, &typed, out);
        }
        Purpose::Instruct { path, part } => {
            assist::instructed(app, (path, part), typed, out);
        }
    }
}

/// The branches are known: which name a fork would get.
pub(crate) fn names(app: &mut App, result: Result<Response, ApiError>) {
    if let Some(Overlay::Line(line)) = &mut app.overlay
        && matches!(line.purpose, Purpose::Fork { .. })
        && let Ok(Response::Branches(branches)) = result
    {
        let free = (1u32..).map(|n| format!("try-{n}"));
        let mut free = free.filter(|name| !branches.iter().any(|b| b.name == *name));
        line.ghost = free.next().unwrap_or_default();
    }
}

/// A fork was made, or not.
pub(crate) fn forked(
    app: &mut App,
    at: Ordinal,
    result: Result<Response, ApiError>,
    out: &mut Vec<Effect>,
) {
    app.busy = None;
    match result {
        Ok(Response::Forked(fork)) => {
            let name = text::one_line(&fork.branch);
            let words = format!("Forked {name} at {at}: backtrail run --branch {name} -- CMD");
            toast(app, Tone::Good, words, &[Action::Undo], out);
        }
        Ok(_) => {
            let words = "the engine gave an answer of another kind; is it of another version?";
            toast(app, Tone::Bad, words.to_owned(), &[], out);
        }
        Err(error) => failed(app, "no fork", &error, out),
    }
}

/// Draws the line in the footer. Returns where the text cursor is.
pub(crate) fn draw(app: &App, input: &LineInput, buf: &mut Buffer, area: Rect) -> u16 {
    let look = &app.look;
    let theme = look.theme;
    let dim = theme.style(Token::Dim);
    let (label, hint) = match &input.purpose {
        Purpose::Fork { at, .. } => (format!(" fork at {at}, name: "), "Enter make  Esc cancel"),
        Purpose::Rename { from } => (
            format!(" new name of {}: ", text::one_line(from)),
            "Enter rename  Esc cancel",
        ),
        Purpose::DeskFilter => (" /".to_owned(), "Enter keep  Esc cancel"),
        Purpose::Question => (" ask: ".to_owned(), "Enter ask  Esc cancel"),
        Purpose::Against { .. } => (
            " diff with: ".to_owned(),
            "label, branch, step  Tab complete  Enter  Esc",
        ),
        Purpose::Instruct { .. } => (" instruct: ".to_owned(), "Enter ask  Esc cancel"),
    };
    let taken = text::width(&label) + text::width(hint) + 5;
    let room = usize::from(area.width).saturating_sub(taken).max(12);
    let shown = text::piece(input.text.as_bytes(), &mut 0);
    let shown = text::clip_start(&shown, room, look.glyphs.ellipsis).into_owned();
    let at = text::width(&label) + text::width(&shown);
    let mut spans = vec![
        Span::styled(label, theme.style(Token::Key)),
        Span::raw(shown.clone()),
    ];
    if shown.is_empty() && !input.ghost.is_empty() {
        spans.push(Span::styled(text::one_line(&input.ghost), dim));
    }
    spans.push(Span::styled(format!("   {hint}"), dim));
    paint::line(buf, area, &Line::from(spans), 0, look.glyphs.ellipsis);
    let at = u16::try_from(at).unwrap_or(u16::MAX);
    area.x + at.min(area.width.saturating_sub(1))
}
