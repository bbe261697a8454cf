//! The person's settings: `~/.config/backtrail/config.toml`.
//!
//! [`table`] names every setting of every section, with its default and what it does: the printed defaults, the check for
//! unknown names and the reading of the file come from it. This room reads and checks; what a key of the screen or a
//! model means is for those who use it. Nothing is ever written: a person who has no file gets the defaults.
//!
//! What the command line and the environment say goes before the file.

pub mod file;
mod nearest;
mod read;
pub mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

pub use nearest::nearest;
pub use read::{KeyLine, Said, read};

/// Which characters the screen is drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GlyphSet {
    /// By the terminal.
    #[default]
    Auto,
    /// Lines and marks that common fonts have.
    Unicode,
    /// ASCII only.
    Ascii,
    /// For screen readers: ASCII, no frames.
    Plain,
}

/// What the person has settled, with defaults for the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The name of the theme, or `auto`.
    pub theme: String,
    /// Which characters.
    pub glyphs: GlyphSet,
    /// The mouse is asked for.
    pub mouse: bool,
    /// Nothing moves by itself.
    pub reduce_motion: bool,
    /// Columns between tab stops.
    pub tab_width: u8,
    /// The longest pause that is kept when a recorded session is played.
    pub idle_gap: Duration,
    /// How long a prefix waits before it says what may follow.
    pub which_key_delay: Duration,
    /// How long a message stays at the bottom.
    pub toast: Duration,
    /// Two clicks within this time are one double click.
    pub double_click: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: "auto".to_owned(),
            glyphs: GlyphSet::Auto,
            mouse: true,
            reduce_motion: false,
            tab_width: 4,
            idle_gap: Duration::from_secs(1),
            which_key_delay: Duration::from_millis(350),
            toast: Duration::from_secs(8),
            double_click: Duration::from_millis(400),
        }
    }
}

/// Something in the file that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// In which line, counted from 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}
