//! What lies over a view: help, the question before a rollback, and what may follow a prefix.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

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

/// Draws what lies over the view. Returns where the text cursor is, if it is there.
pub(crate) fn draw(app: &App, buf: &mut Buffer, body: Rect) -> Option<(u16, u16)> {
    match &app.overlay {
        Some(Overlay::Palette(palette)) => return Some(palette::draw(app, palette, buf, body)),
        Some(Overlay::Help(view)) => help_view::draw(app, view, buf, body),
        Some(Overlay::Rollback { to, preview }) => {
            let question = match preview {
                Some(Ok((0, 0))) => {
                    format!("No file differs from step {to}. Roll back all the same?")
                }
                Some(Ok((set, 0))) => {
                    format!(
                        "Set {} back to step {to}?",
                        text::plural(*set as u64, "file")
                    )
                }
                Some(Ok((set, gone))) => format!(
                    "Set {} back to step {to}, and remove {} that came later?",
                    text::plural(*set as u64, "file"),
                    text::grouped(*gone as u64)
                ),
                None | Some(Err(_)) => format!("Set the files back to step {to}?"),
            };
            let problem = match preview {
                Some(Err(why)) => Some(why.as_str()),
                _ => None,
            };
            dialog(app, buf, body, &question, problem);
        }
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

fn dialog(app: &App, buf: &mut Buffer, body: Rect, question: &str, problem: Option<&str>) {
    let dim = app.look.theme.style(Token::Dim);
    let key = |action: Action, words: &str| {
        Line::from(vec![
            Span::styled(
                format!("  {:<4}", key_of(app, action)),
                app.look.theme.style(Token::Key),
            ),
            Span::raw(words.to_owned()),
        ])
    };
    let mut lines = vec![
        Line::from(question.to_owned()),
        Line::default(),
        key(Action::Confirm, "freeze the agent, roll back, let it go on"),
        key(Action::ConfirmFrozen, "the same, and keep it frozen"),
        key(Action::Close, "do nothing"),
        Line::default(),
        Line::from(Span::styled(
            "What is there now is saved first; u brings it back.",
            dim,
        )),
    ];
    if let Some(problem) = problem {
        let bad = app.look.theme.style(Token::Bad);
        lines.insert(1, Line::from(Span::styled(problem.to_owned(), bad)));
    }
    let height = u16::try_from(lines.len()).unwrap_or(8) + 2;
    let width = lines
        .iter()
        .map(Line::width)
        .max()
        .and_then(|w| u16::try_from(w).ok())
        .unwrap_or(60);
    let area = centred(body, (width + 6).max(58), height);
    let inner = popup(app, buf, area, "An agent is running", &[]);
    for (y, line) in (inner.y..inner.bottom()).zip(&lines) {
        let place = Rect::new(inner.x + 2, y, inner.width.saturating_sub(3), 1);
        paint::line(buf, place, line, 0, app.look.glyphs.ellipsis);
    }
}
