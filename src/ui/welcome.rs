//! What is shown while there are no steps: nothing yet, a few lines that say how to begin, or what went wrong.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::engine::api::ErrorCode;

use super::app::{App, Link, View};
use super::paint;
use super::text;
use super::theme::Token;

/// The ways to begin.
pub(crate) fn ways(app: &App) -> Vec<Line<'static>> {
    let theme = app.look.theme;
    let ways = [
        ("1", "watch an agent", "backtrail run -- claude"),
        ("2", "open a recording", "backtrail open FILE"),
        ("3", "see it work", "backtrail demo"),
    ];
    ways.into_iter()
        .map(|(n, what, command)| {
            Line::from(vec![
                Span::styled(format!("{n}  "), theme.style(Token::Dim)),
                Span::raw(format!("{what:<18}")),
                Span::styled(command, theme.style(Token::Focus)),
            ])
        })
        .collect()
}

/// Draws it.
pub(crate) fn draw(app: &App, buf: &mut Buffer, body: Rect) {
    let theme = app.look.theme;
    let dim = theme.style(Token::Dim);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let listed = matches!(app.view, Some(View::List(_)));
    let loading = matches!(app.link, Link::Connecting)
        || (matches!(app.link, Link::Open { .. }) && !app.loading.tail && !listed);
    let width = usize::from(body.width).saturating_sub(8).min(76);
    let mut lines: Vec<Line<'static>> = Vec::new();
    if loading {
        lines.push(Line::from(Span::styled("loading", dim)));
    } else {
        match &app.link {
            Link::Failed(error) if error.code != ErrorCode::NotFound => {
                lines.push(Line::from(Span::styled(
                    "The recording cannot be opened.",
                    theme.style(Token::Bad),
                )));
                lines.push(Line::default());
                for line in text::wrap(&text::one_line(&error.message), width) {
                    lines.push(Line::from(line));
                }
            }
            _ => {
                let title = if listed {
                    "No recordings of agents are on this machine."
                } else if app.live() {
                    "Watching. Nothing has happened yet."
                } else {
                    "Nothing is recorded here yet."
                };
                lines.push(Line::from(Span::styled(title, bold)));
                lines.push(Line::default());
                lines.extend(ways(app));
            }
        }
    }
    let height = u16::try_from(lines.len()).unwrap_or(1);
    let widest = lines.iter().map(Line::width).max().unwrap_or(0);
    let widest = u16::try_from(widest).unwrap_or(body.width).min(body.width);
    let x = body.x + (body.width - widest) / 2;
    let y = body.y + body.height.saturating_sub(height) / 3;
    for (i, line) in lines.iter().enumerate() {
        let y = y + u16::try_from(i).unwrap_or(0);
        if y < body.bottom() {
            let place = Rect::new(x, y, body.right() - x, 1);
            paint::line(buf, place, line, 0, app.look.glyphs.ellipsis);
        }
    }
}
