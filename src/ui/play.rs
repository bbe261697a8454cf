//! Playback: a run that is over (or the past of one that goes on), step by step in its own time, with idle gaps cut.
//!
//! It moves the focus, and everything that hangs on it moves along: code, thought, and the terminal between two steps as
//! well. The position is its own; time comes in the portions that it asked to be woken after, so that nothing here reads a
//! clock. One timer runs while something plays, none otherwise. Any other movement pauses.

use std::time::Duration;

use crate::model::{Ordinal, Time};

use super::action::Action;
use super::app::{App, Link, Tone};
use super::live;
use super::msg::{Effect, Timer};
use super::travel;
use super::update::toast;

/// Shortest time that a step is shown, before speed: steps of one moment are still seen one after the other.
const LEAST: Duration = Duration::from_millis(40);

/// Shortest time between two frames.
const FRAME: Duration = Duration::from_millis(16);

/// Time between two frames of a terminal that plays.
const SMOOTH: Duration = Duration::from_millis(66);

/// How much faster than it was, in quarters.
const SPEEDS: [u32; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/// The speed of life.
const ONE: usize = 2;

/// Something that plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Play {
    /// Its timer.
    stamp: u64,
    /// How long the timer was asked for.
    portion: Duration,
    /// The step that it has come to.
    row: Ordinal,
    /// Time since that step, before speed, with the gap cut.
    into: Duration,
}

fn quarters(app: &App) -> u32 {
    let at = app.live.speed.unwrap_or(ONE);
    SPEEDS.get(at).copied().unwrap_or(4)
}

/// The speed, as it is shown.
pub(crate) fn speed(app: &App) -> String {
    match quarters(app) {
        1 => "0.25x".to_owned(),
        2 => "0.5x".to_owned(),
        n => format!("{}x", n / 4),
    }
}

/// Why nothing can be played.
pub(crate) fn enabled(app: &App) -> Result<(), String> {
    if !matches!(app.link, Link::Open { .. }) && app.rows.is_empty() {
        return Err("there is no connection to a recording".to_owned());
    }
    if app.rows.is_empty() {
        return Err("no step is recorded yet".to_owned());
    }
    Ok(())
}

/// The row after the one that plays, in the list as it is folded, with the time until it.
fn next(app: &App, row: Ordinal) -> Option<(Ordinal, Time, Time, Duration)> {
    let at = app.rows.position(row).ok()?;
    let here = app.rows.get(at)?;
    let after = app.row_of(app.line_of(at) + 1)?;
    let there = app.rows.get(after).filter(|r| r.ordinal > row)?;
    let (from, to) = (live::time_of(here), live::time_of(there));
    // Idle gaps are cut.
    let most = app.feel.settings.idle_gap.max(LEAST);
    let gap = to.since(from).clamp(LEAST, most);
    Some((there.ordinal, from, to, gap))
}

/// Begins to play, or pauses.
pub(crate) fn toggle(app: &mut App, out: &mut Vec<Effect>) {
    if app.live.play.take().is_some() {
        return;
    }
    let Some(row) = app.focus_row().map(|r| r.ordinal) else {
        return;
    };
    if next(app, row).is_none() {
        let words = "this is the last step: gg goes to the first".to_owned();
        return toast(app, Tone::Note, words, &[Action::First], out);
    }
    app.follow = false;
    app.live.play = Some(Play {
        stamp: 0,
        portion: Duration::ZERO,
        row,
        into: Duration::ZERO,
    });
    wait(app, out);
}

/// Another speed; at once.
pub(crate) fn change_speed(app: &mut App, faster: bool, out: &mut Vec<Effect>) {
    let at = app.live.speed.unwrap_or(ONE);
    let to = if faster {
        (at + 1).min(SPEEDS.len() - 1)
    } else {
        at.saturating_sub(1)
    };
    app.live.speed = Some(to);
    if app.live.play.is_some() {
        wait(app, out);
    } else {
        let words = format!("playback at {}; Space plays", speed(app));
        toast(app, Tone::Note, words, &[], out);
    }
}

/// Asks to be woken when something is to be shown next.
fn wait(app: &mut App, out: &mut Vec<Effect>) {
    let speed = quarters(app);
    let Some(play) = &app.live.play else { return };
    let Some((.., gap)) = next(app, play.row) else {
        app.live.play = None;
        return;
    };
    let left = gap.saturating_sub(play.into) * 4 / speed;
    let most = if smooth(app) { SMOOTH } else { left };
    let portion = left.min(most).max(FRAME);
    app.stamp += 1;
    let stamp = app.stamp;
    if let Some(play) = &mut app.live.play {
        (play.stamp, play.portion) = (stamp, portion);
    }
    out.push(Effect::Later(portion, Timer::Play(stamp)));
}

/// Whether something moves between two steps: a recorded terminal that is on the screen.
fn smooth(app: &App) -> bool {
    let shown = live::open(app).is_some() && app.live.shown.then.is_some();
    shown && !live::still(app)
}

/// The time that was asked for has passed.
pub(crate) fn timer(app: &mut App, stamp: u64, out: &mut Vec<Effect>) {
    let speed = quarters(app);
    let Some(mut play) = app.live.play.take().filter(|p| p.stamp == stamp) else {
        return;
    };
    play.into += play.portion * speed / 4;
    while let Some((to, _, _, gap)) = next(app, play.row) {
        if play.into < gap {
            break;
        }
        play.into -= gap;
        play.row = to;
    }
    if let Ok(at) = app.rows.position(play.row)
        && app.focus != Some(play.row)
    {
        travel::to_index(app, at);
    }
    let over = next(app, play.row).is_none();
    app.live.play = (!over).then_some(play);
    if over {
        let words = "played to the last step".to_owned();
        toast(app, Tone::Good, words, &[Action::First], out);
    }
    wait(app, out);
}

/// Pauses when somebody else moved.
pub(crate) fn check(app: &mut App) {
    let moved = |p: &Play| app.focus != Some(p.row) || app.follow;
    if app.live.play.as_ref().is_some_and(moved) {
        app.live.play = None;
    }
}

/// The time at which the terminal is to be shown: between two steps while something plays, else that of the selected one.
pub(crate) fn time(app: &App) -> Option<Time> {
    let row = app.focus_row()?;
    let still = live::time_of(row);
    let Some(play) = app.live.play.as_ref().filter(|_| !live::still(app)) else {
        return Some(still);
    };
    let Some((_, from, to, gap)) = next(app, play.row) else {
        return Some(still);
    };
    let all = to.since(from).as_micros();
    let part = all * play.into.as_micros() / gap.as_micros().max(1);
    let part = i64::try_from(part.min(all)).unwrap_or(0);
    Some(Time(from.0.saturating_add(part)))
}
