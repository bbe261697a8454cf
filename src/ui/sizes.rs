//! How wide the person has made panes: cells more or fewer than they would have by themselves, kept while the program
//! runs, and how the overview is laid out.

use ratatui::layout::Size;

use super::app::{App, Pane, View};
use super::screen::{Shape, shape};

/// Cells that a key adds or takes.
const BY: i32 = 4;

/// A pane keeps so many cells.
const LEAST: i32 = 24;

/// What was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sizes {
    /// The timeline.
    pub home: i32,
    /// The step beside it, where the diff has a pane of its own.
    pub middle: i32,
    /// The list of the diff, the state browser and other views of two panes.
    pub side: i32,
    /// The overview is laid out by the clock, not by steps.
    pub clock: bool,
}

/// A width with what the person has added to it, so that `all` cells are enough for the rest too.
pub(crate) fn width(own: u16, more: i32, all: u16) -> u16 {
    let most = (i32::from(all) - LEAST).max(i32::from(own.min(all)));
    let least = LEAST.min(i32::from(own));
    let wanted = (i32::from(own) + more).clamp(least, most.max(least));
    u16::try_from(wanted).unwrap_or(own).min(all)
}

/// Why panes cannot be made wider.
pub(crate) fn enabled(app: &App) -> Result<(), String> {
    let one = matches!(shape(app.size), Shape::One | Shape::TooSmall);
    match &app.view {
        _ if one => Err("there is room for one pane only".to_owned()),
        Some(View::List(_) | View::Raw(_) | View::Merge(_)) => {
            Err("the panes of this view are as wide as they can be".to_owned())
        }
        _ => Ok(()),
    }
}

/// Makes the pane with the keys wider or narrower.
pub(crate) fn change(app: &mut App, n: usize, wider: bool) {
    let n = i32::try_from(n.min(100)).unwrap_or(1);
    let by = if wider { BY * n } else { -BY * n };
    let Size { width, .. } = app.size;
    let three = shape(app.size) == Shape::Three;
    let sizes = &mut app.sizes;
    let (which, by) = match &app.view {
        None => match app.pane {
            Pane::Timeline => (&mut sizes.home, by),
            Pane::Detail if three => (&mut sizes.middle, by),
            Pane::Detail => (&mut sizes.home, -by),
            Pane::Changes => (&mut sizes.middle, -by),
        },
        Some(View::Diff(diff)) => (&mut sizes.side, if diff.in_files { by } else { -by }),
        Some(View::State(state)) => (&mut sizes.side, if state.in_file { -by } else { by }),
        Some(View::Desk(desk)) => (&mut sizes.side, if desk.in_preview { -by } else { by }),
        Some(_) => return,
    };
    *which = (*which + by).clamp(-i32::from(width), i32::from(width));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pane_keeps_some_cells() {
        for all in [40u16, 80, 100, 200] {
            for own in [10u16, 30, all / 2, all] {
                for more in [-500, -20, 0, 20, 500] {
                    let width = width(own, more, all);
                    assert!(width <= all, "{own} {more} {all}");
                    assert!(width >= own.min(24), "{own} {more} {all}");
                    if more == 0 {
                        assert_eq!(width, own.min(all));
                    }
                }
            }
        }
    }
}
