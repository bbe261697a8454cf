//! The pane beside the result: why either side is as it is, what is proposed, or what the check said.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use crate::engine::api::Reason;
use crate::model::Ordinal;
use crate::ui::action::Action;
use crate::ui::app::App;
use crate::ui::draw::key_of;
use crate::ui::paint;
use crate::ui::screen;
use crate::ui::text;
use crate::ui::theme::Token;
use crate::ui::words;

use super::{Focus, MergeView, Right, assist, check, offers};

/// Lines that a thought or a prompt takes at most.
const MOST: usize = 4;

/// Lines, and the steps that can be gone to from some of them.
#[derive(Debug, Default)]
pub(crate) struct Text {
    pub lines: Vec<Line<'static>>,
    pub targets: Vec<(usize, Ordinal)>,
}

impl Text {
    /// A line.
    pub(crate) fn push(&mut self, line: Line<'static>) {
        self.lines.push(line);
    }

    /// A line from which a step can be gone to.
    pub(crate) fn goes(&mut self, line: Line<'static>, to: Ordinal) {
        self.targets.push((self.lines.len(), to));
        self.lines.push(line);
    }

    /// A blank one between others.
    pub(crate) fn blank(&mut self) {
        if self.lines.last().is_some_and(|l| l.width() > 0) {
            self.lines.push(Line::default());
        }
    }

    /// Words under one token, wrapped.
    pub(crate) fn wrapped(&mut self, app: &App, words: &str, width: usize, token: Token) {
        let style = app.look.theme.style(token);
        for line in text::wrap(words, width) {
            self.push(Line::from(Span::styled(line, style)));
        }
    }
}

/// What the pane shows.
pub(crate) fn text(app: &App, view: &MergeView, width: usize) -> Text {
    let width = width.max(8);
    match view.right {
        Right::Reasons => reasons(app, view, width),
        Right::Assist => assist::text(app, view, width),
        Right::Check => check::text(app, view, width),
    }
}

/// Why either side is as it is.
fn reasons(app: &App, view: &MergeView, width: usize) -> Text {
    let mut out = Text::default();
    let Some(subject) = &view.subject else {
        return out;
    };
    out.wrapped(app, &text::one_line(&subject.words), width, Token::Text);
    for note in &subject.notes {
        out.wrapped(app, &text::one_line(note), width, Token::Warn);
    }
    let branches = view.info.as_ref();
    let names = [
        ("OURS", branches.map(|i| i.into.as_str())),
        ("THEIRS", branches.map(|i| i.branch.as_str())),
    ];
    for ((word, branch), reasons) in names.into_iter().zip(&subject.reasons) {
        out.blank();
        let branch = text::one_line(branch.unwrap_or_default());
        let theme = app.look.theme;
        out.push(Line::from(vec![
            Span::styled(word, theme.style(Token::Title).add_modifier(Modifier::BOLD)),
            Span::styled(format!("  {branch}"), theme.style(Token::Dim)),
        ]));
        if reasons.is_empty() {
            out.wrapped(app, "no step is known", width, Token::Dim);
        }
        for reason in reasons {
            self::reason(app, &mut out, reason, width);
        }
    }
    out
}

fn reason(app: &App, out: &mut Text, reason: &Reason, width: usize) {
    let theme = app.look.theme;
    let dim = theme.style(Token::Dim);
    let number = reason.step.map_or_else(
        || reason.commit.to_hex().chars().take(7).collect(),
        |s| s.to_string(),
    );
    let clock = words::clock(&app.look.zone, reason.time, false);
    let tool = text::one_line(&reason.tool).to_lowercase();
    let tool = if tool.is_empty() {
        text::one_line(&reason.author)
    } else {
        tool
    };
    let head = format!("{number:>5} ");
    let room = width.saturating_sub(text::width(&head) + text::width(&tool) + clock.len() + 2);
    let title = text::one_line(&reason.title);
    let title = text::clip(&title, room, app.look.glyphs.ellipsis).into_owned();
    let line = Line::from(vec![
        Span::styled(head, theme.style(Token::Focus)),
        Span::styled(clock, dim),
        Span::styled(format!(" {tool} "), theme.style(Token::Kind)),
        Span::raw(title),
    ]);
    match reason.step {
        Some(step) => out.goes(line, step),
        None => out.push(line),
    }
    for (said, token) in [
        (&reason.thought, Token::Thought),
        (&reason.prompt, Token::Prompt),
    ] {
        let Some((at, said)) = said else { continue };
        let head = format!("{:>7} ", at.to_string());
        let indent = head.len();
        let said = text::one_line(said);
        let mut lines = text::wrap(&said, width.saturating_sub(indent));
        if lines.len() > MOST {
            lines.truncate(MOST);
            if let Some(last) = lines.last_mut() {
                let room = width.saturating_sub(indent + 1);
                *last = text::clip(last, room, "").into_owned() + app.look.glyphs.ellipsis;
            }
        }
        for (i, words) in lines.into_iter().enumerate() {
            let lead = if i == 0 {
                head.clone()
            } else {
                " ".repeat(indent)
            };
            let line = Line::from(vec![
                Span::styled(lead, dim),
                Span::styled(words, theme.style(token)),
            ]);
            if i == 0 {
                out.goes(line, *at);
            } else {
                out.push(line);
            }
        }
    }
}

/// Its name, and what can be done in it.
fn edges(app: &App, view: &MergeView) -> (Vec<Span<'static>>, Vec<Span<'static>>) {
    let hint = |action: Action, word: &str| (key_of(app, action), word.to_owned());
    let (word, hints) = match view.right {
        Right::Reasons => {
            let mut hints = vec![hint(Action::MergeReasons, "select")];
            if view.focus == Focus::Right {
                hints = vec![hint(Action::MergeAccept, "go to the step")];
            }
            let n = offers::offers(view).len();
            if n > 0 {
                let words = text::plural(n as u64, "proposal");
                hints.push(hint(Action::Offer1, &words));
            } else {
                hints.push(hint(Action::Ask, "ask"));
            }
            ("REASONS", hints)
        }
        Right::Assist => (
            "ASSIST",
            vec![
                hint(Action::Ask, "ask again"),
                hint(Action::AskAll, "all"),
                hint(Action::Instruct, "instruct"),
                hint(Action::MergeReasons, "reasons"),
            ],
        ),
        Right::Check => (
            "CHECK",
            vec![
                hint(Action::MergeCheck, "run again"),
                hint(Action::MergeReasons, "reasons"),
            ],
        ),
    };
    let mut title = vec![Span::styled(word, Modifier::BOLD)];
    if view.right == Right::Assist {
        let dim = app.look.theme.style(Token::Dim);
        title.push(Span::styled(assist::cost(view), dim));
    }
    (title, paint::hints(&app.look, &hints, 60))
}

/// Draws the pane.
pub(crate) fn draw(app: &App, view: &MergeView, buf: &mut Buffer, area: Rect) {
    let look = &app.look;
    let active = view.focus == Focus::Right;
    let (title, bottom) = edges(app, view);
    let inner = paint::frame(buf, area, look, active, &title, &bottom);
    let width = usize::from(inner.width.saturating_sub(2));
    let text = text(app, view, width);
    let height = usize::from(inner.height);
    let selected = text
        .targets
        .get(view.target)
        .filter(|_| active)
        .map(|(l, _)| *l);
    let running = matches!(view.right, Right::Check)
        && view
            .check
            .as_ref()
            .is_some_and(|c| c.state == check::State::Running);
    let top = match selected {
        // What comes last is what is waited for.
        None if running => text.lines.len().saturating_sub(height),
        Some(line) => screen::scrolled(view.right_top, line, text.lines.len(), height),
        None => view.right_top.min(text.lines.len().saturating_sub(height)),
    };
    for (y, (n, line)) in (inner.y..inner.bottom()).zip(text.lines.iter().enumerate().skip(top)) {
        let place = Rect::new(inner.x + 1, y, inner.width.saturating_sub(2), 1);
        paint::line(buf, place, line, 0, look.glyphs.ellipsis);
        if selected == Some(n) {
            let mark = Line::from(Span::styled(
                look.glyphs.cursor,
                look.theme.style(Token::Focus),
            ));
            paint::line(buf, Rect::new(inner.x, y, 1, 1), &mark, 0, "");
            buf.set_style(place, look.theme.selection(true));
        }
    }
}
