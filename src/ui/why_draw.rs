//! Draws where lines are from: the gutter of a file, and the bar with the way from a line to its reasons.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::engine::api::BlameProblem;
use crate::model::Ordinal;
use crate::model::Time;

use super::app::{App, Look};
use super::paint;
use super::state_view::StateView;
use super::text;
use super::theme::Token;
use super::why::{self, Blamed, Lines, Link};
use super::words;

/// From this width of a file's pane on, the gutter tells how old a line is.
const WITH_AGE: u16 = 56;
/// Below this width the gutter is left out.
const WITH_STEP: u16 = 30;

/// How the gutter of a file is laid out.
pub(super) struct Gutter<'a> {
    blamed: Option<&'a Blamed>,
    /// Cells for a step's number; 0 leaves it out.
    step: usize,
    age: bool,
    now: Option<Time>,
    here: Ordinal,
}

impl<'a> Gutter<'a> {
    /// For a pane of that width.
    pub(super) fn new(app: &App, state: &'a StateView, width: u16) -> Self {
        let blamed = state.blamed();
        let possible = why::wanted(state).is_some() && blamed.is_none_or(|b| b.problem().is_none());
        let told = blamed.map_or(0, |b| {
            let wide = |o: &crate::engine::api::Origin| {
                usize::from(o.older) + o.commit.step.map_or(1, |s| s.to_string().len())
            };
            b.origins().iter().map(wide).max().unwrap_or(0)
        });
        let usual = app.last_ordinal().map_or(1, |o| o.major.to_string().len());
        let step = if possible && width >= WITH_STEP {
            told.max(usual).clamp(3, 9)
        } else {
            0
        };
        Self {
            blamed,
            step,
            age: width >= WITH_AGE,
            now: app.focus_row().map(|r| r.time).filter(|t| words::told(*t)),
            here: state.ordinal,
        }
    }

    /// What stands before a line.
    pub(super) fn spans(&self, look: &Look, line: usize) -> Vec<Span<'static>> {
        if self.step == 0 {
            return Vec::new();
        }
        let dim = look.theme.style(Token::Dim);
        let rule = Span::styled(
            format!(" {} ", look.glyphs.separator),
            look.theme.style(Token::Frame),
        );
        let origin = self.blamed.and_then(|b| b.origin(line));
        let wide = self.step;
        let (step, style) = match origin {
            None => (String::new(), dim),
            Some(o) => {
                let before = if o.older { "<" } else { "" };
                let step = o
                    .commit
                    .step
                    .map_or_else(|| look.glyphs.dot.to_owned(), |s| format!("{before}{s}"));
                let here = o.commit.step == Some(self.here);
                (
                    step,
                    look.theme
                        .style(if here { Token::Focus } else { Token::Dim }),
                )
            }
        };
        let step = text::clip(&step, wide, look.glyphs.ellipsis).into_owned();
        let pad = wide.saturating_sub(text::width(&step));
        let mut out = vec![Span::styled(format!("{}{step}", " ".repeat(pad)), style)];
        if self.age {
            let age = match (origin, self.now) {
                (Some(o), Some(now)) if words::told(o.commit.time) => brief(now, o.commit.time),
                _ => String::new(),
            };
            out.push(rule.clone());
            out.push(Span::styled(format!("{age:>3}"), dim));
        }
        out.push(rule);
        out
    }
}

/// How long before, in three cells: `0s`, `4m`, `2h`, `3d`, `99y`.
fn brief(now: Time, then: Time) -> String {
    let s = now.since(then).as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3_600 => format!("{}m", s / 60),
        3_600..86_400 => format!("{}h", s / 3_600),
        86_400..8_553_600 => format!("{}d", s / 86_400),
        8_553_600..63_072_000 => format!("{}w", s / 604_800),
        _ => format!("{}y", (s / 31_536_000).min(99)),
    }
}

/// What the lower edge of the file says of it.
pub(super) fn status(state: &StateView) -> Option<String> {
    if state.blaming.is_some() && state.blamed().is_none() {
        return Some("finding out who wrote it".to_owned());
    }
    let (key, lines) = state.blame.as_ref()?;
    if why::wanted(state).as_ref() != Some(key) {
        return None;
    }
    match lines {
        Lines::Failed(why) => Some(why.clone()),
        Lines::Known(blamed) => match blamed.problem()? {
            BlameProblem::Large => Some("large: Enter asks who wrote it".to_owned()),
            BlameProblem::TooLarge => Some("too large to ask who wrote it".to_owned()),
            BlameProblem::Binary | BlameProblem::NoFile | BlameProblem::Unknown => None,
        },
    }
}

/// The bar with the way from the line to its reasons.
pub(super) fn bar(app: &App, state: &StateView, buf: &mut Buffer, area: Rect) {
    let look = &app.look;
    let chain = why::chain(app, state);
    let at = state.walk.as_ref().map_or(0, |w| w.at);
    let title = title(look, &chain, at, state.in_file);
    if area.height < 3 {
        let mut spans = vec![Span::raw(" ")];
        spans.extend(title);
        paint::line(buf, area, &Line::from(spans), 0, look.glyphs.ellipsis);
        return;
    }
    let inner = paint::frame(buf, area, look, false, &title, &[]);
    let dim = look.theme.style(Token::Dim);
    // The reasons; where there are none, the step itself.
    let mut said: Vec<&Link> = chain.iter().skip(2).collect();
    if said.len() < usize::from(inner.height) {
        said.splice(0..0, chain.get(1));
    }
    for (y, link) in (0..inner.height).zip(said) {
        let place = Rect::new(inner.x + 1, inner.y + y, inner.width.saturating_sub(2), 1);
        let words = match link.step {
            Some(_) => link.words.clone(),
            None => "no step is known of it".to_owned(),
        };
        let words = text::clip(&words, 16, look.glyphs.ellipsis).into_owned();
        let pad = 17usize.saturating_sub(text::width(&words));
        let token = match link.kind {
            Some(crate::model::StepKind::Thought) => Token::Thought,
            Some(crate::model::StepKind::Prompt) => Token::Prompt,
            _ => Token::Text,
        };
        let spans = vec![
            Span::styled(format!("{words}{}", " ".repeat(pad)), dim),
            Span::styled(text::one_line(&link.text), look.theme.style(token)),
        ];
        paint::line(buf, place, &Line::from(spans), 0, look.glyphs.ellipsis);
    }
}

fn title(look: &Look, chain: &[Link], at: usize, keys: bool) -> Vec<Span<'static>> {
    let dim = look.theme.style(Token::Dim);
    let arrow = if look.glyphs.arrow.is_ascii() {
        " <- "
    } else {
        " ← "
    };
    let mut out = Vec::new();
    for (i, link) in chain.iter().enumerate() {
        if i > 0 {
            out.push(Span::styled(arrow, dim));
        }
        let style = if i == at && keys {
            look.theme
                .style(Token::Focus)
                .add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
        } else {
            Style::new()
        };
        out.push(Span::styled(link.words.clone(), style));
    }
    out
}
