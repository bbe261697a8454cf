//! Draws the line in which searches and filters are typed, what is wrong with it and what it can say, and what the footer
//! tells of a search.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::engine::api::search::{KEYS, Place, Query, QueryError};

use super::action::Action;
use super::app::{App, View};
use super::asking::Asking;
use super::draw::key_of;
use super::hits::{Spot, over_steps};
use super::paint;
use super::text;
use super::theme::Token;

/// Cells for what is typed, at least.
const ROOM: usize = 12;

/// Draws the line that is typed, in the footer. Returns where the text cursor is.
pub(crate) fn prompt(app: &App, typed: &str, buf: &mut Buffer, area: Rect) -> u16 {
    let look = &app.look;
    let theme = look.theme;
    let dim = theme.style(Token::Dim);
    let listed = matches!(app.view, Some(View::List(_)));
    let filter = app.hunt.typed.asking == Asking::Filter && !listed;
    let sign = if filter { " &" } else { " /" };
    let mut after: Vec<Span<'static>> = Vec::new();
    let hint = if listed {
        "Enter keep  Esc cancel"
    } else if filter {
        "Enter filter  Esc cancel"
    } else if over_steps(app) {
        "Enter keep  Esc back"
    } else {
        "Enter find  Esc cancel"
    };
    if let Some(problem) = app
        .hunt
        .typed
        .problem
        .as_ref()
        .filter(|_| !listed && !filter)
    {
        after.push(Span::styled(
            text::one_line(problem),
            theme.style(Token::Bad),
        ));
    } else if !filter && !listed && over_steps(app) && !typed.is_empty() {
        after.extend(progress(app));
    }
    if !after.is_empty() {
        after.push(Span::raw("   "));
    }
    after.push(Span::styled(hint, dim));
    let width = usize::from(area.width);
    let taken: usize = after.iter().map(Span::width).sum();
    let room = width.saturating_sub(taken + 7).max(ROOM.min(width / 2));
    let clean = text::piece(typed.as_bytes(), &mut 0);
    let shown = text::clip_start(&clean, room, look.glyphs.ellipsis).into_owned();
    let cells = text::width(&shown);
    let mut spans = vec![
        Span::styled(sign, theme.style(Token::Key)),
        Span::raw(shown),
        Span::raw("   "),
    ];
    spans.extend(after);
    paint::line(buf, area, &Line::from(spans), 0, look.glyphs.ellipsis);
    if filter && area.y >= 3 {
        let cut = text::width(&clean).saturating_sub(cells);
        let above = Rect::new(area.x, area.y - 2, area.width, 2);
        help(app, typed, cut, buf, above);
    }
    let at = u16::try_from(cells).unwrap_or(0) + 2;
    area.x + at.min(area.width.saturating_sub(1))
}

/// Two lines above a filter that is typed: what the language knows, and what is wrong at which place, or else what the
/// last term asks.
fn help(app: &App, typed: &str, cut: usize, buf: &mut Buffer, area: Rect) {
    let look = &app.look;
    let theme = look.theme;
    let dim = theme.style(Token::Dim);
    let key = theme.style(Token::Key);
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            if let Some(cell) = buf.cell_mut((x, y)) {
                cell.reset();
            }
        }
    }
    let room = usize::from(area.width).saturating_sub(1);
    let mut keys = vec![Span::raw(" ")];
    let mut used = 1;
    let signs = [("!", "not"), ("a,b", "or"), ("~", "regex")];
    let signs_width: usize = signs.iter().map(|(a, b)| a.len() + b.len() + 3).sum();
    for info in KEYS {
        let cells = info.name.len() + 2;
        if used + cells + signs_width > room {
            break;
        }
        used += cells;
        keys.push(Span::styled(format!("{}: ", info.name), key));
    }
    for (sign, word) in signs {
        keys.push(Span::styled(format!(" {sign} "), key));
        keys.push(Span::styled(word, dim));
    }
    let place = Rect { height: 1, ..area };
    paint::line(buf, place, &Line::from(keys), 0, look.glyphs.ellipsis);
    let below = Rect::new(area.x, area.y + 1, area.width, 1);
    let words = match typed.parse::<Query>() {
        Err(error) => pointer(app, typed, &error, cut, room),
        Ok(query) => {
            let about = query.terms.last().filter(|_| !typed.ends_with(' '));
            let said = about.map(|t| {
                let info = t.key.info();
                format!(" {}: {}, such as {}", info.name, info.about, info.example)
            });
            let said = said.unwrap_or_else(|| {
                " terms beside each other must all hold; words alone are text".to_owned()
            });
            vec![Span::styled(said, dim)]
        }
    };
    paint::line(buf, below, &Line::from(words), 0, look.glyphs.ellipsis);
}

/// A mark below (here: above) the place of a mistake, and what is expected there.
fn pointer(
    app: &App,
    typed: &str,
    error: &QueryError,
    cut: usize,
    room: usize,
) -> Vec<Span<'static>> {
    let bad = app.look.theme.style(Token::Bad);
    let cells = |to: usize| {
        text::width(&text::piece(
            typed.get(..to).unwrap_or_default().as_bytes(),
            &mut 0,
        ))
    };
    let (from, to) = (
        cells(error.at).saturating_sub(cut),
        cells(error.end).saturating_sub(cut),
    );
    let marks = "v".repeat((to - from).clamp(1, 24));
    let message = text::one_line(&error.message);
    let before = from + 2;
    // Where there is no room behind the mark, the words stand before it.
    if before + marks.len() + 1 + text::width(&message) > room && text::width(&message) + 2 < before
    {
        let gap = before - text::width(&message) - 1;
        return vec![
            Span::styled(format!("{}{message} ", " ".repeat(gap)), Style::new()),
            Span::styled(marks, bad),
        ];
    }
    vec![
        Span::styled(format!("{}{marks}", " ".repeat(before)), bad),
        Span::styled(format!(" {message}"), Style::new()),
    ]
}

/// How far a search through the steps is.
fn progress(app: &App) -> Vec<Span<'static>> {
    let theme = app.look.theme;
    let dim = theme.style(Token::Dim);
    let Some(run) = &app.hunt.run else {
        return Vec::new();
    };
    let mut spans = vec![Span::styled(
        text::plural(run.hits.len() as u64, "hit"),
        theme.style(if run.hits.is_empty() {
            Token::Warn
        } else {
            Token::Focus
        }),
    )];
    if run.sweep.goes_on() {
        let all = app.status.as_ref().map_or(0, |s| s.steps);
        let of = format!(
            " {} {} of {}",
            app.look.glyphs.dot,
            text::grouped(run.sweep.looked.min(all)),
            text::grouped(all)
        );
        spans.push(Span::styled(of, dim));
    }
    spans
}

/// What the footer tells of a search after it was typed. `false` when there is nothing to be told.
pub(crate) fn strip(app: &App, buf: &mut Buffer, area: Rect) -> bool {
    let Some(search) = app.search.as_ref() else {
        return false;
    };
    let going = app.hunt.goes_on() && over_steps(app);
    if !app.hunt.strip && !going {
        return false;
    }
    let look = &app.look;
    let theme = look.theme;
    let dim = theme.style(Token::Dim);
    let dot = look.glyphs.dot;
    let width = usize::from(area.width);
    let name = text::one_line(search);
    let name = text::clip(&name, (width / 3).max(ROOM), look.glyphs.ellipsis).into_owned();
    let mut spans = vec![Span::styled(format!(" /{name}  "), theme.style(Token::Key))];
    let mut hints: Vec<(String, String)> = Vec::new();
    if going {
        spans.extend(progress(app));
        hints.push((key_of(app, Action::Close), "stops".to_owned()));
    } else if over_steps(app) {
        let Some((at, of)) = app.focus.and_then(|f| app.hunt.number(f)) else {
            return false;
        };
        let counted = format!(
            "{} of {}",
            text::grouped(at as u64),
            text::grouped(of as u64)
        );
        spans.push(Span::styled(counted, theme.style(Token::Focus)));
    } else {
        let Some((at, of)) = app.hunt.count else {
            return false;
        };
        let counted = format!(
            "{} of {}",
            text::grouped(at as u64),
            text::plural(of as u64, "line")
        );
        spans.push(Span::styled(counted, theme.style(Token::Focus)));
    }
    if !going {
        let both = [Action::SearchNext, Action::SearchPrev].map(|a| key_of(app, a));
        hints.push((both.join("/"), "next".to_owned()));
    }
    let hints = paint::hints(look, &hints, width / 3);
    let hints_width: usize = hints.iter().map(Span::width).sum();
    let used: usize = spans.iter().map(Span::width).sum();
    let room = width.saturating_sub(used + hints_width + 6);
    if let Some(spot) = app
        .focus
        .and_then(|f| app.hunt.spot(f))
        .filter(|_| over_steps(app) && room > 20)
    {
        spans.push(Span::styled(format!(" {dot} "), dim));
        spans.extend(excerpt(app, spot, room - 3));
    }
    spans.push(Span::raw("   "));
    spans.extend(hints);
    paint::line(buf, area, &Line::from(spans), 0, look.glyphs.ellipsis);
    true
}

/// Where it was found, and what stands around it; what was found stays in sight.
fn excerpt(app: &App, spot: &Spot, room: usize) -> Vec<Span<'static>> {
    let theme = app.look.theme;
    let dim = theme.style(Token::Dim);
    let Some(place) = spot.place else {
        return Vec::new();
    };
    let clean = |a: usize, b: usize| {
        text::piece(
            spot.excerpt.get(a..b).unwrap_or_default().as_bytes(),
            &mut 0,
        )
    };
    let mut head = place.word().to_owned();
    if let (Some(path), Place::Change) = (&spot.path, place) {
        let path = text::one_line(path);
        head = format!(
            "{head} {}",
            text::clip_start(&path, room / 3, app.look.glyphs.ellipsis)
        );
    }
    head.push(' ');
    let (from, to) = spot.span;
    let (before, found) = (clean(0, from), clean(from, to));
    let behind = clean(to, spot.excerpt.len());
    let room = room.saturating_sub(text::width(&head));
    let found = text::clip(&found, room, app.look.glyphs.ellipsis).into_owned();
    let left = room.saturating_sub(text::width(&found));
    let lead = left / 2 + (left / 2).saturating_sub(text::width(&behind));
    let before = text::clip_start(&before, lead, app.look.glyphs.ellipsis).into_owned();
    let rest = left.saturating_sub(text::width(&before));
    let behind = text::clip(&behind, rest, app.look.glyphs.ellipsis).into_owned();
    vec![
        Span::styled(head, dim),
        Span::raw(before),
        Span::styled(found, theme.style(Token::Match)),
        Span::raw(behind),
    ]
}

/// What the title of the list tells of a filter.
pub(crate) fn filter_title(app: &App) -> Vec<Span<'static>> {
    let theme = app.look.theme;
    let Some(typed) = app.filter.text() else {
        return Vec::new();
    };
    let counted = format!(
        " {} {} of {}{}",
        app.look.glyphs.dot,
        text::grouped(app.filter.len() as u64),
        text::grouped(app.rows.len() as u64),
        if app.filter.goes_on() {
            app.look.glyphs.ellipsis
        } else {
            ""
        }
    );
    let name = text::one_line(typed);
    let name = text::clip(&name, 40, app.look.glyphs.ellipsis);
    vec![
        Span::styled(format!("  & {name}"), theme.style(Token::Focus)),
        Span::styled(counted, theme.style(Token::Dim)),
    ]
}
