//! A question about a step or a selection, and its answer: read-only, with the steps that it cites.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::diff::text::Side;
use crate::engine::assist::{About, Answered, Ask, News, Sent};
use crate::llm::Usage;
use crate::model::Ordinal;

use super::action::Action;
use super::app::{App, Overlay, View};
use super::draw::key_of;
use super::line::{LineInput, Purpose};
use super::merge_view;
use super::msg::{Compared, Effect, Slot};
use super::overlay::{centred, popup};
use super::paint;
use super::screen;
use super::state_view::{Content, line_at};
use super::text;
use super::theme::Token;
use super::words;

/// Lines of a selection that are sent.
const MOST_LINES: usize = 200;

/// Bytes of the file around a selection that are looked through for secrets.
const AROUND: usize = 2 << 20;

/// A question under way, or answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub stamp: u64,
    pub question: String,
    sent: Option<Sent>,
    streamed: String,
    usage: Option<Usage>,
    over: Option<Result<Answered, String>>,
    pub scroll: usize,
    /// The selected one of the steps that it cites.
    pub cite: usize,
}

/// `a` outside the conflict screen: a line for the question.
pub(crate) fn ask(app: &mut App) {
    app.overlay = Some(Overlay::Line(LineInput::new(Purpose::Question)));
}

/// The question was typed.
pub(crate) fn asked(app: &mut App, question: String, out: &mut Vec<Effect>) {
    if question.is_empty() {
        return;
    }
    app.stamp += 1;
    let stamp = app.stamp;
    let about = about(app);
    let root = merge_view::assist::root(app);
    app.overlay = Some(Overlay::Answer(Box::new(Answer {
        stamp,
        question: question.clone(),
        sent: None,
        streamed: String::new(),
        usage: None,
        over: None,
        scroll: 0,
        cite: 0,
    })));
    let ask = Ask::Question { question, about };
    out.push(Effect::Assist(stamp, ask, root));
}

/// What is selected: the step, and the lines on the screen in the diff and the state browser.
fn about(app: &App) -> Vec<About> {
    let Some(row) = app.focus_row() else {
        return Vec::new();
    };
    let mut out = vec![About::Step(row.ordinal)];
    let at = row.ordinal;
    match &app.view {
        Some(View::Diff(diff)) => {
            if let Some(change) = diff.selected()
                && let Some(Compared::Ready(found)) = app.compared(change)
            {
                let lines = found.hunks.iter().flat_map(|h| &h.lines).take(MOST_LINES);
                let lines: Vec<String> = lines
                    .map(|l| {
                        let sign = match l.side {
                            Side::Both => ' ',
                            Side::Added => '+',
                            Side::Removed => '-',
                        };
                        format!("{sign}{}", String::from_utf8_lossy(&l.text))
                    })
                    .collect();
                out.push(About::Text {
                    title: format!("what step {at} changed in {}", change.path),
                    text: lines.join("\n"),
                });
                for one in [Side::Removed, Side::Added] {
                    let all = found.hunks.iter().flat_map(|h| &h.lines);
                    let all = all.filter(|l| l.side == Side::Both || l.side == one);
                    let all = all.map(|l| String::from_utf8_lossy(&l.text).into_owned());
                    out.push(About::Around(all.collect::<Vec<_>>().join("\n")));
                }
            }
        }
        Some(View::State(state)) => {
            if let (Some(entry), Some((_, Content::Ready(bytes, starts)))) =
                (&state.shown, &state.content)
            {
                let height = screen::list_height(app).min(MOST_LINES);
                let to = (state.scroll + height).min(starts.len());
                let lines: Vec<String> = (state.scroll..to)
                    .filter_map(|n| line_at(bytes, starts, n))
                    .map(|l| String::from_utf8_lossy(l).into_owned())
                    .collect();
                out.push(About::Text {
                    title: format!(
                        "{} after step {at}, lines {}-{to}",
                        entry.path,
                        state.scroll + 1
                    ),
                    text: lines.join("\n"),
                });
                let all = bytes.get(..bytes.len().min(AROUND)).unwrap_or_default();
                out.push(About::Around(String::from_utf8_lossy(all).into_owned()));
            }
        }
        _ => {}
    }
    out
}

/// Something came.
pub(crate) fn news(app: &mut App, stamp: u64, news: News) {
    let Some(Overlay::Answer(answer)) = &mut app.overlay else {
        return;
    };
    if answer.stamp != stamp {
        return;
    }
    match news {
        News::Prompt(sent) => answer.sent = Some(sent),
        News::Text(piece) => answer.streamed.push_str(&piece),
        News::Usage(usage) => answer.usage = Some(usage),
        News::Answer(answered) => answer.over = Some(Ok(answered)),
        News::Failed(error) => answer.over = Some(Err(error.to_string())),
        News::Proposals(_) => {}
    }
}

/// What lies over the view was closed: what is under way ends.
pub(crate) fn closed(overlay: &Overlay, out: &mut Vec<Effect>) {
    if let Overlay::Answer(answer) = overlay
        && answer.over.is_none()
    {
        out.push(Effect::Cancel(Slot::Ask));
    }
}

impl Answer {
    /// The steps that it cites.
    pub(crate) fn cites(&self) -> &[Ordinal] {
        match &self.over {
            Some(Ok(answered)) => &answered.cites,
            _ => &[],
        }
    }

    /// Selects another one.
    pub(crate) fn select(&mut self, forward: bool) {
        let len = self.cites().len().max(1);
        let by = if forward { 1 } else { len - 1 };
        self.cite = (self.cite + by) % len;
    }
}

/// Goes to the selected step.
pub(crate) fn go(app: &mut App, out: &mut Vec<Effect>) {
    let Some(Overlay::Answer(answer)) = &app.overlay else {
        return;
    };
    if let Some(at) = answer.cites().get(answer.cite).copied() {
        merge_view::update::jump(app, at, out);
    }
}

fn lines(app: &App, answer: &Answer, width: usize) -> Vec<Line<'static>> {
    let theme = app.look.theme;
    let mut out = Vec::new();
    let mut say = |words: &str, token: Token| {
        for line in text::wrap(words, width) {
            out.push(Line::from(Span::styled(line, theme.style(token))));
        }
    };
    say(&text::one_line(&answer.question), Token::Prompt);
    say("", Token::Text);
    match &answer.over {
        Some(Ok(answered)) => {
            for line in answered.text.lines() {
                say(&text::piece(line.as_bytes(), &mut 0), Token::Text);
            }
            for note in &answered.notes {
                say(&text::one_line(note), Token::Warn);
            }
        }
        Some(Err(why)) => {
            for line in why.lines() {
                say(&text::one_line(line), Token::Bad);
            }
        }
        None => {
            match &answer.sent {
                None => say("gathering what it is to know", Token::Dim),
                Some(sent) => say(&merge_view::assist::sent_words(sent), Token::Dim),
            }
            for line in answer.streamed.lines() {
                say(&text::piece(line.as_bytes(), &mut 0), Token::Text);
            }
            say(app.look.glyphs.ellipsis, Token::Warn);
        }
    }
    out
}

/// Draws it over a view.
pub(crate) fn draw(app: &App, answer: &Answer, buf: &mut Buffer, body: Rect) {
    let look = &app.look;
    let theme = look.theme;
    let width = body.width.saturating_sub(4).min(96);
    let lines = lines(app, answer, usize::from(width.saturating_sub(4)).max(8));
    let cites = answer.cites();
    let more = u16::from(!cites.is_empty()) * 2;
    let tall = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let height = tall.saturating_add(2 + more).clamp(8, body.height.max(8));
    let area = centred(body, width, height);
    let hint = |action: Action, word: &str| (key_of(app, action), word.to_owned());
    let mut hints = Vec::new();
    if answer.over.is_none() {
        hints.push(hint(Action::Close, "cancel"));
    } else {
        if !cites.is_empty() {
            hints.push(hint(Action::NextPane, "next step"));
            hints.push(hint(Action::ListOpen, "go there"));
        }
        hints.push(hint(Action::Ask, "ask again"));
        hints.push(hint(Action::Close, "close"));
    }
    let bottom = paint::hints(look, &hints, usize::from(width.saturating_sub(6)));
    let mut title = "Ask".to_owned();
    if let Some(sent) = &answer.sent {
        title.push_str(&format!("  {}", text::one_line(&sent.model)));
    }
    if let Some(usage) = &answer.usage {
        let n = words::count(usage.input.saturating_add(usage.output));
        title.push_str(&format!("  {n} tok"));
    }
    let inner = popup(app, buf, area, &title, &bottom);
    let room = usize::from(inner.height.saturating_sub(more));
    // While it streams, the end is on the screen.
    let last = lines.len().saturating_sub(room);
    let top = if answer.over.is_none() {
        last
    } else {
        answer.scroll.min(last)
    };
    for (y, line) in (inner.y..inner.bottom()).zip(lines.iter().skip(top).take(room)) {
        let place = Rect::new(inner.x + 1, y, inner.width.saturating_sub(2), 1);
        paint::line(buf, place, line, 0, look.glyphs.ellipsis);
    }
    if more > 0 {
        let mut spans = vec![Span::styled("cites ", theme.style(Token::Dim))];
        for (n, at) in cites.iter().enumerate() {
            let style = if n == answer.cite {
                theme.selection(true)
            } else {
                theme.style(Token::Focus)
            };
            spans.push(Span::styled(at.to_string(), style));
            spans.push(Span::raw(" "));
        }
        if let Some(row) = cites.get(answer.cite).and_then(|at| app.rows.at(*at)) {
            let words = format!(" {} {}", words::kind(row), text::one_line(&row.title));
            spans.push(Span::styled(words, theme.style(Token::Dim)));
        }
        let y = inner.bottom().saturating_sub(1);
        let place = Rect::new(inner.x + 1, y, inner.width.saturating_sub(2), 1);
        paint::line(buf, place, &Line::from(spans), 0, look.glyphs.ellipsis);
    }
}
