//! What lies over the conflict screen: the question before a merge is written or given up, and the list of conflicts.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::ui::action::Action;
use crate::ui::app::App;
use crate::ui::draw::key_of;
use crate::ui::overlay::{centred, popup};
use crate::ui::paint;
use crate::ui::screen;
use crate::ui::text;
use crate::ui::theme::Token;

use super::{Item, MergeView, open};

/// Conflicts that the question names.
const NAMED: usize = 8;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// Whether the merge is to be written although something is left, or an agent runs.
    Finish {
        /// Conflicts that are left.
        left: usize,
        /// An agent runs in the workspace.
        agent: bool,
    },
    /// Whether it is to be given up.
    Abandon,
}

/// Draws the question.
pub(crate) fn draw(app: &App, question: Question, buf: &mut Buffer, body: Rect) {
    let dim = app.look.theme.style(Token::Dim);
    let warn = app.look.theme.style(Token::Warn);
    let key = |action: Action, words: &str| {
        let key = format!("  {:<5}", key_of(app, action));
        Line::from(vec![
            Span::styled(key, app.look.theme.style(Token::Key)),
            Span::raw(words.to_owned()),
        ])
    };
    let mut lines = Vec::new();
    let title = match question {
        Question::Finish { left, agent } => {
            if left > 0 {
                let n = text::plural(left as u64, "conflict");
                let verb = if left == 1 { "is" } else { "are" };
                lines.push(Line::from(format!("{n} {verb} not settled:")));
                for words in left_words(app) {
                    lines.push(Line::from(Span::styled(format!("  {words}"), warn)));
                }
                lines.push(Line::default());
            }
            if agent {
                lines.push(Line::from(
                    "An agent is running: it is frozen while files are written.",
                ));
                lines.push(Line::default());
            }
            let words = if left > 0 {
                "write the merge all the same: what is left stays open in its commit"
            } else {
                "write the merge"
            };
            lines.push(key(Action::MergeConfirm, words));
            lines.push(key(Action::Close, "do nothing"));
            lines.push(Line::default());
            let what = if left > 0 {
                "Until it is settled, open places have what ours has. u undoes the merge."
            } else {
                "What is there now is saved first; u brings it back."
            };
            lines.push(Line::from(Span::styled(what, dim)));
            if left > 0 {
                "Something is left"
            } else {
                "An agent is running"
            }
        }
        Question::Abandon => {
            lines.push(Line::from(
                "Give this merge up? All picks are forgotten; no file was written.",
            ));
            lines.push(Line::default());
            lines.push(key(Action::MergeConfirm, "give it up"));
            lines.push(key(Action::Close, "do nothing"));
            "Give the merge up"
        }
    };
    let height = u16::try_from(lines.len()).unwrap_or(8) + 2;
    let width = lines.iter().map(Line::width).max().unwrap_or(60);
    let width = u16::try_from(width).unwrap_or(60).saturating_add(6).max(48);
    let area = centred(body, width, height);
    let inner = popup(app, buf, area, title, &[]);
    for (y, line) in (inner.y..inner.bottom()).zip(&lines) {
        let place = Rect::new(inner.x + 2, y, inner.width.saturating_sub(3), 1);
        paint::line(buf, place, line, 0, app.look.glyphs.ellipsis);
    }
}

/// Which conflicts are left, in words.
fn left_words(app: &App) -> Vec<String> {
    let Some(view) = open(app) else {
        return Vec::new();
    };
    let left: Vec<Item> = (0..view.len())
        .filter_map(|at| view.item(at))
        .filter(|i| !i.done)
        .collect();
    let mut out: Vec<String> = left
        .iter()
        .take(NAMED)
        .map(|item| {
            let (all, settled) = item.parts;
            if all > 1 {
                format!(
                    "{}  {} of {all} parts",
                    item.name,
                    all.saturating_sub(settled)
                )
            } else {
                item.name.clone()
            }
        })
        .collect();
    if left.len() > NAMED {
        out.push(format!("and {} more", left.len() - NAMED));
    }
    out
}

/// A conflict as a line of the list.
pub(crate) fn item_line(app: &App, item: &Item, width: usize, here: bool) -> Line<'static> {
    let look = &app.look;
    let theme = look.theme;
    let (mark, token) = match (item.done, item.unreviewed) {
        (true, true) => ("!", Token::Warn),
        (true, false) => (look.glyphs.done, Token::Good),
        (false, _) => (look.glyphs.turn, Token::Warn),
    };
    let (all, settled) = item.parts;
    let state = if item.unreviewed {
        "unreviewed".to_owned()
    } else if item.done {
        String::new()
    } else if all > 1 {
        format!("{settled}/{all}")
    } else {
        "left".to_owned()
    };
    let room = width.saturating_sub(text::width(&state) + 5);
    let name = text::clip_start(&item.name, room, look.glyphs.ellipsis).into_owned();
    let pad = room.saturating_sub(text::width(&name));
    let cursor = if here { look.glyphs.cursor } else { " " };
    Line::from(vec![
        Span::styled(cursor, theme.style(Token::Focus)),
        Span::styled(format!("{mark} "), theme.style(token)),
        Span::raw(name),
        Span::raw(" ".repeat(pad + 1)),
        Span::styled(state, theme.style(token)),
    ])
}

/// Draws all conflicts into an area, `cursor` among them.
pub(crate) fn items(
    app: &App,
    view: &MergeView,
    buf: &mut Buffer,
    inner: Rect,
    cursor: usize,
    active: bool,
) {
    let height = usize::from(inner.height);
    let top = screen::scrolled(0, cursor, view.len(), height);
    for (y, at) in (inner.y..inner.bottom()).zip(top..view.len()) {
        let Some(item) = view.item(at) else { break };
        let place = Rect::new(inner.x, y, inner.width, 1);
        let line = item_line(app, &item, usize::from(inner.width), at == cursor);
        paint::line(buf, place, &line, 0, app.look.glyphs.ellipsis);
        if at == cursor {
            let rest = Rect::new(place.x + 1, y, place.width.saturating_sub(1), 1);
            buf.set_style(rest, app.look.theme.selection(active));
        }
    }
}

/// The list of all conflicts, over the screen.
pub(crate) fn list(app: &App, cursor: usize, buf: &mut Buffer, body: Rect) {
    let Some(view) = open(app) else { return };
    let height = u16::try_from(view.len())
        .unwrap_or(u16::MAX)
        .saturating_add(4);
    let width = body.width.saturating_sub(6).clamp(30, 96);
    let area = centred(body, width, height.min(body.height));
    let bottom = paint::hints(
        &app.look,
        &[
            (key_of(app, Action::ListOpen), "go there".to_owned()),
            (key_of(app, Action::Close), "close".to_owned()),
        ],
        usize::from(width),
    );
    let inner = popup(app, buf, area, "Conflicts", &bottom);
    let rows = Rect {
        height: inner.height.saturating_sub(2),
        ..inner
    };
    items(app, view, buf, rows, cursor, true);
    if let Some(item) = view.item(cursor) {
        let place = Rect::new(
            inner.x + 2,
            inner.bottom().saturating_sub(1),
            inner.width.saturating_sub(3),
            1,
        );
        let dim = app.look.theme.style(Token::Dim);
        let line = Line::from(Span::styled(text::one_line(&item.words), dim));
        paint::line(buf, place, &line, 0, app.look.glyphs.ellipsis);
    }
}
