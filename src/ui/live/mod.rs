//! The live view: what happens, beside the agent's terminal; and the same for a run that is over.
//!
//! The terminal shows what is there now while the list follows an agent at work, and what was there at the selected step
//! otherwise, from the recording that `run` made (or from a recording that is one of a terminal). Its bytes have been
//! through an emulator when they come here: cells, no control sequences. While the person is attached, keys go to the agent.

pub(crate) mod draw;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod update;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::api::{Row, TerminalInfo};
use crate::model::{Ordinal, SessionId, Time};

use super::app::{App, View};
use super::detail::DocPane;
use super::play::Play;

/// What of the view lasts as long as it is open.
#[derive(Debug, Default)]
pub(crate) struct LiveView {
    /// The first row of the list on the screen.
    pub top: usize,
    /// The terminal has the keys that scroll.
    pub in_terminal: bool,
    /// Only the terminal is shown.
    pub zoom: bool,
    /// Keys go to the agent.
    pub attached: bool,
    /// Row and column of the terminal's first shown cell, where the person has scrolled it.
    pub crop: Option<(u16, u16)>,
    /// What the selected step is.
    pub step: DocPane,
}

/// What is known of a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Known {
    /// It was asked for.
    #[default]
    Asked,
    /// There is none.
    Nothing,
    /// There is one.
    Terminal(Box<TerminalInfo>),
    /// It cannot be had; why.
    Failed(String),
}

/// The terminal that is shown.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// Whose it is.
    pub who: Option<SessionId>,
    pub known: Known,
    /// As it is now.
    pub now: Option<Arc<vt100::Screen>>,
    /// As it was at that time.
    pub then: Option<(Time, Arc<vt100::Screen>)>,
    /// The time that was asked for last.
    pub asked: Option<Time>,
    /// The agent ended with this exit code while it was watched.
    pub over: Option<i32>,
    /// Why there is nothing to see.
    pub problem: Option<String>,
}

/// What of it lasts as long as the program.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// The present, as of the last message; zero before the first.
    pub now: Time,
    /// Running sessions get letters, in the order in which they were seen.
    pub letters: Vec<SessionId>,
    /// In which session that was run each session is that an agent named.
    pub hosts: HashMap<SessionId, SessionId>,
    /// Sessions of rows that were asked about.
    pub asked_hosts: HashSet<SessionId>,
    /// Whose terminal the person chose.
    pub chosen: Option<SessionId>,
    pub shown: Shown,
    /// When the engine told the newest of the rows that are not drawn yet.
    pub heard: Option<Time>,
    /// From the engine's news to the drawn row.
    pub lag: Option<Duration>,
    /// Frames that could not be drawn in time.
    pub dropped: u64,
    /// The clock's timer, by its stamp, while it runs.
    pub second: Option<u64>,
    pub play: Option<Play>,
    /// Place among the speeds.
    pub speed: Option<usize>,
    /// Whom the last freeze or thaw meant.
    pub meant: String,
    /// Where the workspace was before the last rollback.
    pub was: Option<Ordinal>,
    /// The live view lies behind the one that is open.
    pub behind: bool,
}

impl Live {
    /// A frame was drawn at this time. `true` when figures on it have changed by that.
    pub(crate) fn drawn(&mut self, at: Time, late: u64) -> bool {
        self.dropped += late;
        let Some(heard) = self.heard.take() else {
            return false;
        };
        let lag = at.since(heard);
        let before = self.lag.replace(lag);
        before.is_none_or(|b| b.as_millis() != lag.as_millis())
    }

    /// The letter of a session that runs or was seen running, with its place.
    pub(crate) fn letter(&self, id: SessionId) -> Option<(char, usize)> {
        let host = self.hosts.get(&id).copied().unwrap_or(id);
        let at = self.letters.iter().position(|l| *l == host)?;
        let letter = u32::try_from(at % 26)
            .ok()
            .and_then(|n| char::from_u32(u32::from(b'a') + n))?;
        Some((letter, at))
    }

    /// The session that was run, of a session that a row names.
    pub(crate) fn host(&self, id: SessionId) -> SessionId {
        self.hosts.get(&id).copied().unwrap_or(id)
    }
}

/// The open live view.
pub(crate) fn open(app: &App) -> Option<&LiveView> {
    match &app.view {
        Some(View::Live(view)) => Some(view),
        _ => None,
    }
}

/// The open live view, to change.
pub(crate) fn open_mut(app: &mut App) -> Option<&mut LiveView> {
    match &mut app.view {
        Some(View::Live(view)) => Some(view),
        _ => None,
    }
}

/// Whether keys go to the agent.
pub(crate) fn attached(app: &App) -> bool {
    app.overlay.is_none() && open(app).is_some_and(|v| v.attached)
}

/// Whether a session runs now.
pub(crate) fn runs(app: &App, id: SessionId) -> bool {
    app.live()
        && app
            .status
            .as_ref()
            .is_some_and(|s| s.sessions.iter().any(|l| l.session.id == id))
}

/// Whether the terminal shows what is there now.
pub(crate) fn is_now(app: &App) -> bool {
    let attached = open(app).is_some_and(|v| v.attached);
    let runs = app.live.shown.who.is_some_and(|w| runs(app, w));
    runs && (attached || app.follow)
}

/// The time at which a row's terminal is shown: when its result was there, or when it began.
pub(crate) fn time_of(row: &Row) -> Time {
    row.end.unwrap_or(row.time)
}

/// Whether nothing is to move by itself.
pub(crate) fn still(app: &App) -> bool {
    !app.look.glyphs.boxes || app.feel.settings.reduce_motion
}
