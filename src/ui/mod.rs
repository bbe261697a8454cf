//! The terminal UI.
//!
//! An Elm core: a message changes [`app::App`] in [`update`] and asks for effects; [`draw`] reads it. Neither knows a
//! terminal. Around it is one loop ([`event_loop`]) that waits for keys, notices, results and time, and draws at most
//! sixty times a second and only when something changed. Effects run as tasks ([`runner`]).
//!
//! * [`action`] is the table of everything a key can do: dispatch, footer, help and key list come from it.
//! * [`text`] is the only way from somebody's bytes to the screen.
//! * [`theme`] is the only place that knows colours.

mod action;
mod again;
mod against;
mod answer;
mod app;
mod asking;
mod axis;
mod branches;
mod branches_view;
mod brief;
mod cache;
mod changes;
mod code;
mod desk;
mod detail;
mod diff_draw;
mod diff_files;
mod diff_rows;
mod diff_view;
mod diffing;
mod draw;
mod errand;
mod event_loop;
mod feel;
mod filter;
mod find;
mod folds;
mod fuzzy;
mod help_view;
mod hits;
mod hits_draw;
mod input;
mod keymap;
mod keys;
mod keys_text;
mod labels_view;
mod lanes;
mod light;
mod line;
mod list;
mod list_draw;
mod live;
mod load;
mod merge_view;
mod mouse;
mod msg;
mod offers;
mod ops_view;
mod outside;
mod overlay;
mod paint;
mod palette;
mod places;
mod play;
mod query;
mod raw;
mod raw_view;
mod restoring;
mod rows;
mod runner;
mod screen;
mod sessions_view;
mod sizes;
mod state_draw;
mod state_tabs;
mod state_view;
mod sums;
mod sweep;
mod sync;
mod term_pane;
mod terminal;
mod text;
mod theme;
mod timeline;
mod travel;
mod update;
mod welcome;
mod which_key;
mod whole;
mod why;
mod why_draw;
mod words;
mod world;
mod yank;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::engine::api::ApiError;
use crate::engine::source::Source;

pub use again::Again;
pub use keys_text::{keys_grouped, keys_json, keys_markdown, keys_settings, keys_text};

/// How the UI is to behave.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Ask the terminal nothing (its background decides about finer colours).
    pub no_query: bool,
    /// For screen readers: ASCII and no frames. Also set by `ACCESSIBLE=1`.
    pub plain: bool,
    /// Draw with ASCII only.
    pub ascii: bool,
    /// The theme, instead of the one in the settings.
    pub theme: Option<String>,
    /// How to go on after the engine has ended.
    pub again: Option<Again>,
}

/// What ends the UI other than the person.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The terminal cannot be used.
    #[error(
        "the terminal cannot be used: {0} (the UI needs standard input and output on a terminal)"
    )]
    Terminal(#[from] std::io::Error),
}

/// What is wrong with the person's settings: each with file and line.
#[must_use]
pub fn settings_problems() -> Vec<String> {
    feel::load(&Options::default(), true).problems
}

/// Lists the recordings of this machine, and shows the one that the person opens, until the person quits. `connect` gives
/// what answers `Recordings` and `Recording`; `open` gives the source of the recording with that main file, and is called
/// each time that one is opened. Like in [`run`], both are awaited while something is on the screen already.
pub async fn browse<F>(
    connect: impl Future<Output = Result<Arc<dyn Source>, ApiError>> + Send + 'static,
    open: impl Fn(String) -> F,
    options: Options,
) -> Result<(), Error>
where
    F: Future<Output = Result<Arc<dyn Source>, ApiError>> + Send + 'static,
{
    event_loop::browse(connect, open, options).await
}

/// Runs the UI until the person quits. `connect` is awaited after the first frame is on the screen; what it gives is
/// asked for everything else.
pub async fn run(
    connect: impl Future<Output = Result<Arc<dyn Source>, ApiError>> + Send + 'static,
    options: Options,
) -> Result<(), Error> {
    event_loop::run(connect, options).await
}
