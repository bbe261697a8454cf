//! What lies over a view: help, the question before a rollback, and what may follow a prefix.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::model::Ordinal;

use super::action::{Action, Context, Group, TABLE};
use super::answer;
use super::app::{App, Overlay};
use super::branches;
use super::draw::key_of;
use super::keys;
use super::merge_view::questions;
use super::paint;
use super::palette;
use super::text;
use super::theme::Token;
use super::world;

/// Draws what lies over the view. Returns where the text cursor is, if it is there.
pub(crate) fn draw(app: &App, buf: &mut Buffer, body: Rect) -> Option<(u16, u16)> {
    match &app.overlay {
        Some(Overlay::Palette(palette)) => return Some(palette::draw(app, palette, buf, body)),
        Some(Overlay::Help { scroll }) => help(app, buf, body, *scroll),
        Some(Overlay::Rollback { to, preview }) => rollback(app, buf, body, *to, preview.as_ref()),
        Some(Overlay::Stop { name, .. }) => stop(app, buf, body, name),
        Some(Overlay::Answer(found)) => answer::draw(app, found, buf, body),
        Some(Overlay::Branches(picker)) => branches::draw(app, picker, buf, body),
        Some(Overlay::Conflicts { cursor }) => questions::list(app, *cursor, buf, body),
        Some(Overlay::Merge(question)) => questions::draw(app, *question, buf, body),
        None if app.hint => follow(app, buf, body),
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

/// What may follow the keys pressed so far.
fn follow(app: &App, buf: &mut Buffer, body: Rect) {
    let found = app.feel.keymap.continuations(app.context(), &app.pending);
    if found.is_empty() {
        return;
    }
    let ascii = app.look.glyphs.cursor == ">";
    let title: String = app.pending.iter().filter_map(|k| k.typed()).collect();
    let lines: Vec<Line<'static>> = found
        .iter()
        .map(|(rest, entry)| {
            let rest = keys::shown_strokes(rest, ascii).replace("{a}", "a-z");
            Line::from(vec![
                Span::styled(format!("{rest:<4}"), app.look.theme.style(Token::Key)),
                Span::raw(entry.title),
            ])
        })
        .collect();
    let height = u16::try_from(lines.len()).unwrap_or(8) + 2;
    let (w, h) = (28.min(body.width), height.min(body.height));
    let area = Rect::new(body.right() - w, body.bottom() - h, w, h);
    let inner = popup(app, buf, area, &title, &[]);
    for (y, line) in (inner.y..inner.bottom()).zip(&lines) {
        let place = Rect::new(inner.x + 1, y, inner.width.saturating_sub(2), 1);
        paint::line(buf, place, line, 0, app.look.glyphs.ellipsis);
    }
}

/// One group of the help as lines: keys and titles.
fn group(app: &App, group: Group, context: Context) -> Vec<Line<'static>> {
    let theme = app.look.theme;
    let ascii = app.look.glyphs.cursor == ">";
    let title = match group {
        Group::World => format!("{} (all undoable)", group.title()),
        _ => group.title().to_owned(),
    };
    let mut out = vec![Line::from(Span::styled(title, theme.style(Token::Focus)))];
    for entry in TABLE
        .iter()
        .filter(|e| e.group == group && e.contexts.contains(&context))
    {
        let keys: Vec<String> = app
            .feel
            .keymap
            .keys(entry.action, context)
            .map(|b| keys::shown_strokes(&b.strokes, ascii))
            .collect();
        if keys.is_empty() {
            continue;
        }
        let off = app.enabled(entry.action).is_err();
        let words = if off {
            theme.style(Token::Dim)
        } else {
            Style::new()
        };
        out.push(Line::from(vec![
            Span::styled(
                format!("{:<11} ", keys.join(" ")),
                theme.style(if off { Token::Dim } else { Token::Key }),
            ),
            Span::styled(entry.title, words),
        ]));
    }
    out
}

/// Why keys of this view do nothing now.
fn disabled(app: &App, context: Context) -> Vec<String> {
    let mut seen: Vec<(String, String)> = Vec::new();
    for entry in TABLE.iter().filter(|e| e.contexts.contains(&context)) {
        if let Err(why) = app.enabled(entry.action) {
            let key = key_of(app, entry.action);
            match seen.iter_mut().find(|(_, w)| *w == why) {
                Some((keys, _)) => {
                    keys.push(' ');
                    keys.push_str(&key);
                }
                None => seen.push((key, why)),
            }
        }
    }
    seen.into_iter()
        .map(|(keys, why)| format!("{keys} ({why})"))
        .collect()
}

/// Puts groups of lines into columns of about the same height. In a column, and from column to column, they keep their
/// order as far as that goes.
fn stacked(groups: Vec<Vec<Line<'static>>>, columns: usize) -> Vec<Vec<Line<'static>>> {
    let mut tallest_first: Vec<usize> = (0..groups.len()).collect();
    tallest_first.sort_by_key(|g| std::cmp::Reverse(groups.get(*g).map_or(0, Vec::len)));
    let mut stacks: Vec<(usize, Vec<usize>)> = vec![(0, Vec::new()); columns];
    for g in tallest_first {
        if let Some(stack) = stacks.iter_mut().min_by_key(|(height, _)| *height) {
            stack.0 += groups.get(g).map_or(0, Vec::len) + 1;
            stack.1.push(g);
        }
    }
    for (_, held) in &mut stacks {
        held.sort_unstable();
    }
    stacks.sort_by_key(|(_, held)| held.first().copied().unwrap_or(usize::MAX));
    stacks
        .into_iter()
        .map(|(_, held)| {
            let parts: Vec<Vec<Line<'static>>> = held
                .into_iter()
                .filter_map(|g| groups.get(g).cloned())
                .collect();
            parts.join(&Line::default())
        })
        .collect()
}

fn help(app: &App, buf: &mut Buffer, body: Rect, scroll: usize) {
    let look = &app.look;
    let dim = look.theme.style(Token::Dim);
    let context = app.view_context();
    let inner_width = usize::from(body.width.saturating_sub(4));
    let columns = (inner_width / 28).clamp(1, 3);
    let width = inner_width / columns;
    let groups: Vec<_> = Group::ALL
        .into_iter()
        .map(|g| group(app, g, context))
        .filter(|lines| lines.len() > 1)
        .collect();
    let stacks = stacked(groups, columns);
    let tall = stacks.iter().map(Vec::len).max().unwrap_or(0);
    let mut tail: Vec<Line<'static>> = vec![
        Line::default(),
        Line::from(Span::styled(
            "A number before a key repeats it: 5s, 10j. 142G goes to step 142.",
            dim,
        )),
    ];
    let off = disabled(app, context);
    if !off.is_empty() {
        let words = format!("not now:  {}", off.join("   "));
        for line in text::wrap(&words, inner_width) {
            tail.push(Line::from(Span::styled(line, dim)));
        }
    }
    if let Some(status) = &app.status {
        for warning in &status.warnings {
            let words = format!("! {}", text::one_line(warning));
            for line in text::wrap(&words, inner_width) {
                let warn = look.theme.style(Token::Warn);
                tail.push(Line::from(Span::styled(line, warn)));
            }
        }
    }
    let total = tall + tail.len();
    let height = u16::try_from(total + 2).unwrap_or(u16::MAX);
    let area = Rect::new(body.x, body.y, body.width, height.min(body.height));
    let visible = usize::from(area.height.saturating_sub(2));
    let scroll = scroll.min(total.saturating_sub(visible));
    let more = if scroll + visible < total {
        "j k scroll, ? or Esc closes"
    } else {
        "? or Esc closes"
    };
    let title = format!("Help  {}", context.heading());
    let bottom = [Span::styled(more.to_owned(), dim)];
    let inner = popup(app, buf, area, &title, &bottom);
    for y in 0..inner.height {
        let at = scroll + usize::from(y);
        let place = Rect::new(inner.x + 1, inner.y + y, inner.width.saturating_sub(2), 1);
        if at >= tall {
            if let Some(line) = tail.get(at - tall) {
                paint::line(buf, place, line, 0, look.glyphs.ellipsis);
            }
            continue;
        }
        for (i, stack) in stacks.iter().enumerate() {
            let Some(line) = stack.get(at) else { continue };
            let x = place.x + u16::try_from(i * width).unwrap_or(0);
            let cell = Rect::new(x, place.y, u16::try_from(width - 1).unwrap_or(0), 1);
            paint::line(buf, cell, line, 0, look.glyphs.ellipsis);
        }
    }
}
