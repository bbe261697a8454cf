//! Where things are: the panes for every size of terminal, and everything that must be fitted to them before drawing.

use ratatui::layout::{Rect, Size};

use super::app::{App, Pane, View};
use super::desk;
use super::detail::{self, DocKey, DocPane, Parts};
use super::diff_draw;
use super::diff_view::SIDE_BY_SIDE;
use super::hits;
use super::list_draw;
use super::live;
use super::merge_view;
use super::sizes;
use super::state_view::StateView;

/// How many panes there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Not even for one.
    TooSmall,
    One,
    Two,
    Three,
}

/// The shape of a terminal of this size.
pub(crate) fn shape(size: Size) -> Shape {
    match (size.width, size.height) {
        (w, h) if w < 40 || h < 8 => Shape::TooSmall,
        (w, _) if w < 80 => Shape::One,
        (w, _) if w < 120 => Shape::Two,
        _ => Shape::Three,
    }
}

/// The parts of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Regions {
    pub header: Rect,
    /// Empty in views that have none.
    pub minimap: Rect,
    pub body: Rect,
    pub footer: Rect,
}

/// The parts for the present view.
pub(crate) fn regions(app: &App) -> Regions {
    let Size { width, height } = app.size;
    let row = |y: u16, h: u16| Rect::new(0, y, width, h);
    let map = u16::from(app.view.is_none());
    let body = height.saturating_sub(2 + map);
    Regions {
        header: row(0, 1.min(height)),
        minimap: row(1, map),
        body: row(1 + map, body),
        footer: row(height.saturating_sub(1), 1.min(height)),
    }
}

fn columns(area: Rect, widths: &[u16]) -> Vec<Rect> {
    let mut x = area.x;
    widths
        .iter()
        .map(|w| {
            let rect = Rect::new(x, area.y, *w, area.height);
            x += w;
            rect
        })
        .collect()
}

/// Narrowest pane.
const NARROWEST: u16 = 20;

/// Cells of the first pane: as the person has put the border, or what is usual. The other panes keep some room.
fn left(app: &App, of: usize, usual: u16, room: u16) -> u16 {
    let own = app.feel.borders.get(of).copied().flatten();
    let wide = own.map_or(usual, |b| {
        u16::try_from(u32::from(app.size.width) * u32::from(b) / 1000).unwrap_or(usual)
    });
    wide.clamp(NARROWEST, room.saturating_sub(NARROWEST).max(NARROWEST))
}

/// Puts the border between the first two panes into a column.
pub(crate) fn set_border(app: &mut App, column: u16) {
    let of = usize::from(app.view.is_some());
    let width = u32::from(app.size.width.max(1));
    let at = u16::try_from((u32::from(column) * 1000).div_ceil(width)).unwrap_or(500);
    if let Some(border) = app.feel.borders.get_mut(of) {
        *border = Some(at);
        // What keys have added to it is in it now.
        match of {
            0 => app.sizes.home = 0,
            _ => app.sizes.side = 0,
        }
    }
}

/// The panes of the home screen that are shown, left to right.
pub(crate) fn home(app: &App) -> Vec<(Pane, Rect)> {
    let body = regions(app).body;
    let w = body.width;
    match shape(app.size) {
        Shape::TooSmall => Vec::new(),
        Shape::One => {
            let pane = if app.pane == Pane::Timeline {
                Pane::Timeline
            } else {
                Pane::Detail
            };
            vec![(pane, body)]
        }
        Shape::Two => {
            let left = left(app, 0, (w * 56 / 100).clamp(44, 64), w);
            let left = sizes::width(left, app.sizes.home, w);
            let rects = columns(body, &[left, w - left]);
            vec![(Pane::Timeline, rects[0]), (Pane::Detail, rects[1])]
        }
        Shape::Three => {
            let left = left(app, 0, (w * 2 / 5).clamp(50, 84), w - 40);
            // The others keep their least widths too.
            let left = sizes::width(left, app.sizes.home, w - 24);
            let rest = w - left;
            let middle = (rest * 9 / 20).clamp(24, 72);
            let middle = sizes::width(middle, app.sizes.middle, rest);
            let rects = columns(body, &[left, middle, rest - middle]);
            vec![
                (Pane::Timeline, rects[0]),
                (Pane::Detail, rects[1]),
                (Pane::Changes, rects[2]),
            ]
        }
    }
}

/// List and body of the diff or state view. Where there is room for one only, it is the one with the keys.
pub(crate) fn beside(app: &App, list_has_keys: bool) -> (Option<Rect>, Option<Rect>) {
    let body = regions(app).body;
    if shape(app.size) == Shape::One {
        return if list_has_keys {
            (Some(body), None)
        } else {
            (None, Some(body))
        };
    }
    let left = left(app, 1, (body.width * 26 / 100).clamp(24, 44), body.width);
    let left = sizes::width(left, app.sizes.side, body.width);
    let rects = columns(body, &[left, body.width - left]);
    (Some(rects[0]), Some(rects[1]))
}

/// The panes of the state browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatePanes {
    pub tree: Option<Rect>,
    pub file: Option<Rect>,
    /// Where the reasons of a line are told.
    pub why: Option<Rect>,
}

/// Where the parts of the state browser are: tree and file beside each other, the reasons below them.
pub(crate) fn state(app: &App, state: &StateView) -> StatePanes {
    let body = regions(app).body;
    let one = shape(app.size) == Shape::One;
    let file = state.shown.as_ref().is_some_and(|e| e.kind == "file");
    let bar = match body.height {
        16.. if file && (!one || state.in_file) => 4,
        6.. if file && state.in_file => 1,
        _ => 0,
    };
    let panes = Rect {
        height: body.height.saturating_sub(bar),
        ..body
    };
    let why = (bar > 0).then(|| Rect::new(body.x, panes.bottom(), body.width, bar));
    if one {
        let (tree, file) = if state.in_file {
            (None, Some(panes))
        } else {
            (Some(panes), None)
        };
        return StatePanes { tree, file, why };
    }
    let left = left(app, 1, (panes.width * 30 / 100).clamp(26, 50), panes.width);
    let left = sizes::width(left, app.sizes.side, panes.width);
    let rects = columns(panes, &[left, panes.width.saturating_sub(left)]);
    StatePanes {
        tree: Some(rects[0]),
        file: Some(rects[1]),
        why,
    }
}

/// What is left of a pane inside its frame.
pub(crate) fn inner(area: Rect) -> Rect {
    Rect::new(
        area.x + 1,
        area.y + 1,
        area.width.saturating_sub(2),
        area.height.saturating_sub(2),
    )
}

/// Lines of text of a framed pane that has the keys.
pub(crate) fn list_height(app: &App) -> usize {
    usize::from(regions(app).body.height.saturating_sub(2))
}

/// Lines of text of the pane that has the keys.
pub(crate) fn page_height(app: &App) -> usize {
    match &app.view {
        Some(View::State(of)) => {
            let panes = state(app, of);
            let pane = if of.in_file { panes.file } else { panes.tree };
            pane.map_or(0, |p| usize::from(inner(p).height))
        }
        Some(View::Live(_)) => live::draw::page_height(app),
        _ => list_height(app),
    }
}

/// Whether the diff view shows sides beside each other.
pub(crate) fn split(app: &App) -> bool {
    let Some(View::Diff(diff)) = &app.view else {
        return false;
    };
    let (_, body) = beside(app, diff.in_files);
    let wide = body.is_some_and(|b| b.width >= SIDE_BY_SIDE);
    app.diffing.split.unwrap_or(wide)
}

/// Fits everything to the screen. Called before each drawing; costs what has changed.
pub(crate) fn arrange(app: &mut App) {
    if shape(app.size) == Shape::TooSmall {
        return;
    }
    super::help_view::arrange(app, regions(app).body);
    if app.pane == Pane::Changes && shape(app.size) != Shape::Three {
        app.pane = Pane::Detail;
    }
    match app.view {
        None => {
            arrange_home(app);
            hits::arrange(app);
        }
        Some(View::List(_)) => {
            let height = list_draw::rows(app);
            if let Some(View::List(list)) = &mut app.view {
                list.height = height;
                list.top = scrolled(list.top, list.cursor, list.shown.len(), height);
            }
        }
        Some(View::Raw(_)) => {
            let height = list_height(app);
            if let Some(View::Raw(raw)) = &mut app.view {
                raw.scroll = raw.scroll.min(raw.len().saturating_sub(height));
            }
        }
        Some(View::Merge(_)) => merge_view::draw::arrange(app),
        Some(View::Live(_)) => live::draw::arrange(app),
        Some(View::Desk(_)) => desk::arrange(app),
        Some(View::Diff(_)) => arrange_diff(app),
        Some(View::State(_)) => arrange_state(app),
    }
}

fn arrange_home(app: &mut App) {
    for (pane, rect) in home(app) {
        let area = inner(rect);
        match pane {
            Pane::Timeline => {
                let height = usize::from(area.height);
                let line = app.focus_index().map_or(0, |i| app.line_of(i));
                app.top = scrolled(app.top, line, app.visible_len(), height);
            }
            Pane::Detail => {
                let parts = if shape(app.size) == Shape::Three {
                    Parts::Info
                } else {
                    Parts::Both
                };
                let mut held = std::mem::take(&mut app.detail);
                arrange_doc(app, &mut held, parts, area);
                app.detail = held;
            }
            Pane::Changes => {
                let mut held = std::mem::take(&mut app.changes);
                arrange_doc(app, &mut held, Parts::Changes, area);
                app.changes = held;
            }
        }
    }
}

fn arrange_doc(app: &App, pane: &mut DocPane, parts: Parts, area: Rect) {
    let key = DocKey {
        row: app.focus_row().cloned(),
        shelf: app.shelf.version,
        width: area.width.saturating_sub(2),
        parts,
    };
    if pane.key.as_ref() != Some(&key) {
        let step = |key: &DocKey| key.row.as_ref().map(|r| r.step);
        if pane.key.as_ref().and_then(step) != step(&key) {
            pane.scroll = 0;
            pane.left = 0;
        }
        pane.doc = detail::build(app, parts, key.width);
        pane.key = Some(key);
    }
    pane.clamp(usize::from(area.height));
}

fn arrange_diff(app: &mut App) {
    let split = split(app);
    let height = list_height(app);
    let version = app.shelf.version;
    let space = app.diffing.space;
    let Some(View::Diff(diff)) = &app.view else {
        return;
    };
    let compared = diff.selected().and_then(|c| app.compared(c)).cloned();
    let (_, body) = beside(app, diff.in_files);
    let width = body.map_or(0, |b| inner(b).width);
    let Some(View::Diff(diff)) = &mut app.view else {
        return;
    };
    diff.arrange(compared.as_ref(), version, split, space);
    diff.scroll = scrolled(diff.scroll, diff.line, diff.body.len(), height);
    if app.diffing.wrap {
        let top = unwrapped(app, height, width);
        if let Some(View::Diff(diff)) = &mut app.view {
            diff.scroll = top;
        }
    }
}

/// The first row of the diff, so that all of the row under the cursor is on the screen although rows before it are wrapped.
fn unwrapped(app: &App, height: usize, width: u16) -> usize {
    let Some(View::Diff(diff)) = &app.view else {
        return 0;
    };
    let mut top = diff.line;
    let mut used = diff_draw::height(app, diff, top, width);
    while top > diff.scroll {
        used += diff_draw::height(app, diff, top - 1, width);
        if used > height {
            break;
        }
        top -= 1;
    }
    top
}

fn arrange_state(app: &mut App) {
    let Some(View::State(of)) = &app.view else {
        return;
    };
    let panes = state(app, of);
    let height = |pane: Option<Rect>| pane.map(|p| usize::from(inner(p).height));
    let (tree, file) = (height(panes.tree), height(panes.file));
    let Some(View::State(state)) = &mut app.view else {
        return;
    };
    if let Some(height) = tree {
        state.top = scrolled(state.top, state.cursor, state.nodes.len(), height);
    }
    if let Some(height) = file {
        let count = state.line_count();
        state.line = state.line.min(count.saturating_sub(1));
        state.scroll = scrolled(state.scroll, state.line, count, height);
    }
}

/// Scrolls a list just so far that the cursor is on it, with a little of what follows; never past its end.
pub(crate) fn scrolled(top: usize, cursor: usize, len: usize, height: usize) -> usize {
    if height == 0 {
        return cursor;
    }
    let margin = (height / 6).min(3);
    let low = (cursor + margin + 1).saturating_sub(height);
    let high = cursor.saturating_sub(margin);
    top.clamp(low.min(high), high.max(low))
        .min(len.saturating_sub(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_stays_on_the_list() {
        for len in [0usize, 1, 5, 30, 1000] {
            for height in 1usize..12 {
                for cursor in 0..len.min(60) {
                    for top in [0, 3, len] {
                        let top = scrolled(top, cursor, len, height);
                        assert!(
                            top <= cursor && cursor < top + height,
                            "{top} {cursor} {len} {height}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn shapes() {
        assert_eq!(shape(Size::new(39, 50)), Shape::TooSmall);
        assert_eq!(shape(Size::new(60, 11)), Shape::One);
        assert_eq!(shape(Size::new(100, 30)), Shape::Two);
        assert_eq!(shape(Size::new(200, 50)), Shape::Three);
    }
}
