//! What lies over a view: help, the question before a rollback, and what may follow a prefix.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::model::Ordinal;

use super::action::Action;
use super::answer;
use super::app::{App, Overlay};
use super::branches;
use super::desk;
use super::draw::key_of;
use super::help_view;
use super::merge_view::questions;
use super::mouse::{Hit, Side};
use super::paint;
use super::palette;
use super::restoring;
use super::text;
use super::theme::Token;
use super::which_key;
use super::world;

/// Draws what lies over the view. Returns where the text cursor is, if it is there.
pub(crate) fn draw(app: &App, buf: &mut Buffer, body: Rect) -> Option<(u16, u16)> {
    match &app.overlay {
        Some(Overlay::Palette(palette)) => return Some(palette::draw(app, palette, buf, body)),
        Some(Overlay::Help(view)) => help_view::draw(app, view, buf, body),
        Some(Overlay::Rollback { to, preview }) => rollback(app, buf, body, *to, preview.as_ref()),
        Some(Overlay::Stop { name, .. }) => stop(app, buf, body, name),
        Some(Overlay::Restore(asked)) => restoring::draw(app, asked, buf, body),
        Some(Overlay::Answer(found)) => answer::draw(app, found, buf, body),
        Some(Overlay::Branches(picker)) => branches::draw(app, picker, buf, body),
        Some(Overlay::Conflicts { cursor }) => questions::list(app, *cursor, buf, body),
        Some(Overlay::Merge(question)) => questions::draw(app, *question, buf, body),
        Some(Overlay::Question(question)) => desk::draw_question(app, question, buf, body),
        None if app.hint => which_key::draw(app, buf, body),
        Some(Overlay::Line(_)) | None => {}
    }
    None
}

/// Clears an area and frames it.
pub(crate) fn popup(
    app: &App,
    buf: &mut Buffer,
    area: Rect,
    title: &str,
    bottom: &[Span<'static>],
) -> Rect {
    // What lies below is out of the mouse's reach.
    app.feel.hits.put(*buf.area(), Hit::Cover);
    app.feel.hits.put(area, Hit::Pane(Side::Here));
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            if let Some(cell) = buf.cell_mut((x, y)) {
                cell.reset();
            }
        }
    }
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let title = [Span::styled(title.to_owned(), bold)];
    paint::frame(buf, area, &app.look, true, &title, bottom)
}

/// A place in the middle of the body.
pub(crate) fn centred(body: Rect, width: u16, height: u16) -> Rect {
    let (w, h) = (width.min(body.width), height.min(body.height));
    Rect::new(
        body.x + (body.width - w) / 2,
        body.y + (body.height - h) / 2,
        w,
        h,
    )
}

/// A key with what it does.
fn choice(app: &App, action: Action, words: &str) -> Line<'static> {
    Line::from(vec![
        Span::styled(
            format!("  {:<4}", key_of(app, action)),
            app.look.theme.style(Token::Key),
        ),
        Span::raw(words.to_owned()),
    ])
}

/// The question before a rollback under a running agent.
fn rollback(
    app: &App,
    buf: &mut Buffer,
    body: Rect,
    to: Ordinal,
    preview: Option<&Result<(usize, usize), String>>,
) {
    let dim = app.look.theme.style(Token::Dim);
    let (question, more) = match preview {
        Some(Ok((0, 0))) => {
            let words = format!("No file differs from step {to}. Roll back all the same?");
            (words, None)
        }
        Some(Ok((set, gone))) => {
            let files = text::plural((set + gone) as u64, "file");
            let more = match (set, gone) {
                (_, 0) => None,
                (0, 2..) => Some("They came later and are removed.".to_owned()),
                (_, 1) => Some("1 of them came later and is removed.".to_owned()),
                (_, gone) => {
                    let gone = text::grouped(*gone as u64);
                    Some(format!("{gone} of them came later and are removed."))
                }
            };
            (format!("Roll back {files} to step {to}?"), more)
        }
        None | Some(Err(_)) => (format!("Roll the files back to step {to}?"), None),
    };
    let saved = match world::own_edits(app, to) {
        Some((steps, last, files)) => {
            let files = text::plural(files, "file");
            let steps = match steps {
                1 => format!("step {last}"),
                n => format!("{n} steps, the last {last}"),
            };
            format!("Your own edits since {to} ({files}) are saved as {steps}.")
        }
        None => "What is there now is saved first; u brings it back.".to_owned(),
    };
    let mut lines = vec![Line::from(question)];
    if let Some(more) = more {
        lines.push(Line::from(Span::styled(more, dim)));
    }
    if let Some(Err(why)) = preview {
        let bad = app.look.theme.style(Token::Bad);
        lines.push(Line::from(Span::styled(why.clone(), bad)));
    }
    let fork = format!("fork instead: new worktree at {to}, agent keeps running");
    lines.extend([
        Line::default(),
        choice(
            app,
            Action::Confirm,
            "freeze the agent, roll back, let it go on",
        ),
        choice(app, Action::ConfirmFrozen, "the same, and keep it frozen"),
        choice(app, Action::ForkInstead, &fork),
        choice(
            app,
            Action::Close,
            "do nothing                    (default)",
        ),
        Line::default(),
        Line::from(Span::styled(saved, dim)),
    ]);
    let several = app.status.as_ref().map_or(0, |s| s.sessions.len()) > 1;
    let title = if several {
        "Agents are running"
    } else {
        "Agent is running"
    };
    dialog(app, buf, body, title, &lines);
}

/// The question before an agent is stopped.
fn stop(app: &App, buf: &mut Buffer, body: Rect, name: &str) {
    let dim = app.look.theme.style(Token::Dim);
    let lines = [
        Line::from(format!("Stop {name}?")),
        Line::default(),
        choice(
            app,
            Action::StopYes,
            "ask it to end, and kill after 5 s what is left",
        ),
        choice(
            app,
            Action::Close,
            "do nothing                    (default)",
        ),
        Line::default(),
        Line::from(Span::styled(
            "Its files and its recording stay. This cannot be undone.",
            dim,
        )),
    ];
    dialog(app, buf, body, "Stop the agent", &lines);
}

fn dialog(app: &App, buf: &mut Buffer, body: Rect, title: &str, lines: &[Line<'static>]) {
    let height = u16::try_from(lines.len()).unwrap_or(8) + 2;
    let width = lines
        .iter()
        .map(Line::width)
        .max()
        .and_then(|w| u16::try_from(w).ok())
        .unwrap_or(60);
    let area = centred(body, (width + 6).max(58), height);
    let inner = popup(app, buf, area, title, &[]);
    for (y, line) in (inner.y..inner.bottom()).zip(lines) {
        let place = Rect::new(inner.x + 2, y, inner.width.saturating_sub(3), 1);
        paint::line(buf, place, line, 0, app.look.glyphs.ellipsis);
    }
}
