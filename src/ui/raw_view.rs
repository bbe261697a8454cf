//! The records of the trace that a step was read from, as they lie in their file: for who wants to know what was really
//! said.

use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::text::{Line, Span};

use crate::engine::api::RawRecord;
use crate::model::StepId;

use super::app::App;
use super::find::Query;
use super::paint;
use super::raw::{self, Runs};
use super::screen;
use super::text;
use super::theme::{Syntax, Token};

/// A line of a record, or the line above it that says where it lies.
#[derive(Debug, Clone)]
pub(crate) enum RawLine {
    /// Where the record is.
    Head(String),
    /// Part of it.
    Line(Runs),
}

impl RawLine {
    /// Its words.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Head(text) => text.clone(),
            Self::Line(runs) => runs.iter().map(|(_, t)| t.as_str()).collect(),
        }
    }
}

/// The lines of a step's records, or why there are none.
pub(crate) type RawLines = Result<Arc<Vec<RawLine>>, String>;

/// The view.
#[derive(Debug, Default)]
pub(crate) struct RawView {
    /// What was asked for: the step, and for which width.
    pub asked: Option<(StepId, usize)>,
    pub lines: Option<RawLines>,
    pub scroll: usize,
    pub left: usize,
}

impl RawView {
    /// How many lines there are.
    pub(crate) fn len(&self) -> usize {
        match &self.lines {
            Some(Ok(lines)) => lines.len(),
            _ => 0,
        }
    }
}

/// Records as lines.
pub(crate) fn lines(records: &[RawRecord], width: usize) -> Vec<RawLine> {
    let mut out = Vec::new();
    for record in records {
        let source = &record.source;
        out.push(RawLine::Head(format!(
            "{}  from byte {}, {}",
            text::one_line(&source.file),
            text::grouped(source.offset),
            text::bytes(source.len)
        )));
        let room = raw::LINES.saturating_sub(out.len());
        let set_out = raw::set_out(&record.bytes, width, room.max(1));
        out.extend(set_out.into_iter().map(RawLine::Line));
        if out.len() >= raw::LINES {
            break;
        }
    }
    out
}

/// Cells that a line of the view has on this screen.
pub(crate) fn width(app: &App) -> usize {
    usize::from(screen::regions(app).body.width).saturating_sub(4)
}

/// Words for the header.
pub(crate) fn title(app: &App) -> Vec<Span<'static>> {
    let theme = app.look.theme;
    let mut spans = vec![Span::styled("RAW", theme.style(Token::Replay))];
    if let Some(row) = app.focus_row() {
        let of = format!(" record of step {}", row.ordinal);
        spans.push(Span::styled(of, theme.style(Token::Dim)));
    }
    spans
}

/// Draws it.
pub(crate) fn draw(app: &App, view: &RawView, buf: &mut Buffer, query: Option<&Query>) {
    let look = &app.look;
    let theme = look.theme;
    let area = screen::regions(app).body;
    let dim = theme.style(Token::Dim);
    let height = screen::list_height(app);
    let len = view.len();
    let bottom = if len > height {
        let last = (view.scroll + height).min(len);
        let at = format!(
            "{}-{last} of {}",
            view.scroll + 1,
            text::grouped(len as u64)
        );
        vec![Span::styled(at, dim)]
    } else {
        Vec::new()
    };
    let name = [Span::styled(
        "As it was recorded",
        theme.style(Token::Title),
    )];
    let inner = paint::frame(buf, area, look, true, &name, &bottom);
    let message = match &view.lines {
        None => Some((String::new(), Token::Dim)),
        Some(Err(why)) => Some((why.clone(), Token::Bad)),
        Some(Ok(lines)) if lines.is_empty() => {
            let words = "no record of a trace is behind this step";
            Some((words.to_owned(), Token::Dim))
        }
        Some(Ok(_)) => None,
    };
    if let Some((words, token)) = message {
        let place = ratatui::layout::Rect::new(
            inner.x + 1,
            inner.y,
            inner.width.saturating_sub(2),
            1.min(inner.height),
        );
        let line = Line::from(Span::styled(words, theme.style(token)));
        paint::line(buf, place, &line, 0, look.glyphs.ellipsis);
        return;
    }
    let Some(Ok(lines)) = &view.lines else {
        return;
    };
    for (y, line) in (inner.y..inner.bottom()).zip(lines.iter().skip(view.scroll)) {
        let place = ratatui::layout::Rect::new(inner.x + 1, y, inner.width.saturating_sub(2), 1);
        let line = match line {
            RawLine::Head(text) => Line::from(Span::styled(text.clone(), dim)),
            RawLine::Line(runs) => Line::from(
                runs.iter()
                    .map(|(syntax, t)| Span::styled(t.clone(), style(app, *syntax)))
                    .collect::<Vec<_>>(),
            ),
        };
        paint::line(buf, place, &line, view.left, look.glyphs.ellipsis);
    }
    paint::matches(buf, inner, look, query);
}

fn style(app: &App, syntax: Syntax) -> ratatui::style::Style {
    match syntax {
        // The names of fields are what is looked for.
        Syntax::Attribute => app.look.theme.syntax(Syntax::Function),
        other => app.look.theme.syntax(other),
    }
}
