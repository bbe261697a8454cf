//! Where the panes of the conflict screen are, for every size of terminal, and its words in the header.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use crate::ui::action::Action;
use crate::ui::app::App;
use crate::ui::code;
use crate::ui::draw::key_of;
use crate::ui::paint;
use crate::ui::screen;
use crate::ui::text;
use crate::ui::theme::Token;

use super::subject::About;
use super::{Focus, MergeView, open_mut, panes, questions, right};

/// From this width on, the list of conflicts is beside the panes.
const WITH_LIST: u16 = 140;

/// Least height in which sides and result are both shown.
const BOTH: u16 = 14;

/// Where the panes are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Areas {
    pub list: Option<Rect>,
    /// Ours, base, theirs.
    pub sides: [Option<Rect>; 3],
    pub result: Option<Rect>,
    pub right: Option<Rect>,
}

/// Whether panes are shown one after the other for want of room.
pub(crate) fn stacked(app: &App) -> bool {
    app.size.width < 80 || screen::regions(app).body.height < BOTH
}

/// Where everything is.
pub(crate) fn areas(app: &App, view: &MergeView) -> Areas {
    let body = screen::regions(app).body;
    let mut out = Areas::default();
    let side = panes::SIDES.iter().position(|f| *f == view.focus);
    let focus = if view.editor.is_some() {
        Focus::Result
    } else {
        view.focus
    };
    if stacked(app) {
        let mut put = |focus: Focus, area: Rect| match focus {
            Focus::Ours => out.sides[0] = Some(area),
            Focus::Base => out.sides[1] = Some(area),
            Focus::Theirs => out.sides[2] = Some(area),
            Focus::Result => out.result = Some(area),
            Focus::Right => out.right = Some(area),
        };
        if body.height < BOTH {
            put(focus, body);
        } else {
            let top = body.height * 2 / 5;
            let (upper, lower) = split(body, top);
            let side = side.and_then(|n| panes::SIDES.get(n)).copied();
            put(side.unwrap_or(Focus::Theirs), upper);
            let low = if focus == Focus::Right {
                Focus::Right
            } else {
                Focus::Result
            };
            put(low, lower);
        }
        return out;
    }
    let mut rest = body;
    if body.width >= WITH_LIST && view.len() > 0 {
        let width = (body.width / 6).clamp(26, 44);
        out.list = Some(Rect { width, ..body });
        rest = Rect::new(body.x + width, body.y, body.width - width, body.height);
    }
    let (upper, lower) = split(rest, (rest.height * 2 / 5).clamp(5, 24));
    let third = upper.width / 3;
    for (n, place) in out.sides.iter_mut().enumerate() {
        let x = upper.x + third * u16::try_from(n).unwrap_or(0);
        let width = if n == 2 { upper.right() - x } else { third };
        *place = Some(Rect { x, width, ..upper });
    }
    let left = lower.width * 56 / 100;
    out.result = Some(Rect {
        width: left,
        ..lower
    });
    out.right = Some(Rect::new(
        lower.x + left,
        lower.y,
        lower.width - left,
        lower.height,
    ));
    out
}

fn split(area: Rect, top: u16) -> (Rect, Rect) {
    let top = top.min(area.height);
    let upper = Rect {
        height: top,
        ..area
    };
    let lower = Rect::new(area.x, area.y + top, area.width, area.height - top);
    (upper, lower)
}

/// Fits what is scrolled to the panes.
pub(crate) fn arrange(app: &mut App) {
    let Some(view) = super::open(app) else { return };
    let areas = areas(app, view);
    let height = |r: Option<Rect>| r.map_or(1, |r| usize::from(r.height.saturating_sub(2)));
    let sides = areas.sides.iter().copied().map(height).max().unwrap_or(1);
    let result = height(areas.result);
    if let Some(view) = open_mut(app) {
        view.fit(sides, result);
    }
}

/// The screen's words in the header, each with its rank.
pub(crate) fn title(app: &App, view: &MergeView) -> Vec<(u8, Vec<Span<'static>>)> {
    let theme = app.look.theme;
    let span = |text: String, token| Span::styled(text, theme.style(token));
    let Some(info) = &view.info else {
        return vec![(0, vec![span("MERGE".to_owned(), Token::Dim)])];
    };
    let arrow = app.look.glyphs.arrow;
    let mut out = vec![(
        2,
        vec![
            span("MERGE ".to_owned(), Token::Dim),
            span(text::one_line(&info.branch), Token::Focus),
            span(format!(" {arrow} "), Token::Dim),
            span(text::one_line(&info.into), Token::Workspace),
        ],
    )];
    let base = info.bases.first().and_then(|b| b.step);
    if let Some(base) = base {
        out.push((5, vec![span(format!("base {base}"), Token::Dim)]));
    }
    if let Some(item) = view.item(view.at) {
        let dot = app.look.glyphs.dot;
        let left = match info.left {
            0 => span("all settled".to_owned(), Token::Good),
            n => span(format!("{n} left"), Token::Warn),
        };
        let words = format!("conflict {} of {}", view.at + 1, view.len());
        let room = usize::from(app.size.width / 3).max(12);
        let name = text::clip_start(&item.name, room, app.look.glyphs.ellipsis).into_owned();
        let gap = span(format!(" {dot} "), Token::Dim);
        out.push((1, vec![span(words, Token::Text), gap, left]));
        out.push((0, vec![span(name, Token::Text)]));
    }
    out.push((4, vec![span("nothing written yet".to_owned(), Token::Dim)]));
    out
}

/// Draws the screen. Returns where the text cursor is.
pub(crate) fn draw(app: &App, view: &MergeView, buf: &mut Buffer) -> Option<(u16, u16)> {
    let body = screen::regions(app).body;
    if let Some(problem) = &view.problem {
        let title = [Span::raw("Merge")];
        let inner = paint::frame(buf, body, &app.look, true, &title, &[]);
        panes::say(app, buf, inner, problem, Token::Bad);
        return None;
    }
    let Some(info) = &view.info else {
        let title = [Span::raw("Merge")];
        let inner = paint::frame(buf, body, &app.look, true, &title, &[]);
        panes::say(app, buf, inner, "loading", Token::Dim);
        return None;
    };
    if view.len() == 0 {
        changes(app, view, info, buf, body);
        return None;
    }
    let areas = areas(app, view);
    if let Some(area) = areas.list {
        let left = format!("{} left", info.left);
        let bottom = [Span::styled(left, app.look.theme.style(Token::Dim))];
        let title = [Span::raw("Conflicts")];
        let inner = paint::frame(buf, area, &app.look, false, &title, &bottom);
        questions::items(app, view, buf, inner, view.at, false);
    }
    for (n, area) in areas.sides.iter().enumerate() {
        if let Some(area) = area {
            let active = if stacked(app) {
                panes::SIDES.get(n) == Some(&view.focus)
            } else {
                panes::SIDES.contains(&view.focus)
            };
            panes::side(app, view, buf, *area, n, active && view.editor.is_none());
        }
    }
    if let Some(area) = areas.right {
        right::draw(app, view, buf, area);
    }
    areas
        .result
        .and_then(|area| panes::result(app, view, buf, area))
}

/// What a merge without conflicts changes.
fn changes(
    app: &App,
    view: &MergeView,
    info: &crate::engine::api::MergeInfo,
    buf: &mut Buffer,
    body: Rect,
) {
    let look = &app.look;
    let theme = look.theme;
    let title = [Span::styled(
        "Nothing is in conflict",
        theme.style(Token::Title).add_modifier(Modifier::BOLD),
    )];
    let bottom = paint::hints(
        look,
        &[
            (key_of(app, Action::MergeFinish), "write it".to_owned()),
            (key_of(app, Action::MergeAbandon), "give it up".to_owned()),
        ],
        usize::from(body.width.saturating_sub(6)),
    );
    let inner = paint::frame(buf, body, look, true, &title, &bottom);
    let mut lines = vec![Line::from(Span::styled(
        format!(
            "{} changed in {}",
            text::plural(info.changes.len() as u64, "file"),
            text::one_line(&info.into)
        ),
        theme.style(Token::Dim),
    ))];
    if info.fast_forward {
        let words = "theirs follows ours: nothing had to be put together";
        lines.push(Line::from(Span::styled(words, theme.style(Token::Dim))));
    }
    let from = view.sides.top.min(info.changes.len().saturating_sub(1));
    for change in info
        .changes
        .iter()
        .skip(from)
        .take(usize::from(inner.height))
    {
        let how = info.joined.iter().find(|(p, _)| *p == change.path);
        let (added, removed) = change.lines.unwrap_or((0, 0));
        let mut spans = code::counts(look, added.into(), removed.into());
        spans.push(Span::styled(
            format!("  {} ", code::letter(change.op)),
            theme.style(code::letter_token(change.op)),
        ));
        spans.push(Span::raw(text::path(&change.path)));
        if let Some((_, how)) = how {
            let words = format!("  merged {}", text::one_line(how));
            spans.push(Span::styled(words, theme.style(Token::Dim)));
        }
        lines.push(Line::from(spans));
    }
    for (y, line) in (inner.y..inner.bottom()).zip(&lines) {
        let place = Rect::new(inner.x + 1, y, inner.width.saturating_sub(2), 1);
        paint::line(buf, place, line, 0, look.glyphs.ellipsis);
    }
}

/// The path that is looked at.
pub(crate) fn path(view: &MergeView) -> Option<String> {
    match view.about(view.at)? {
        About::File(path) => Some(path.to_string()),
        About::State(_) => None,
    }
}
