//! The agent's terminal for others than the person who started it: recorded, watched, attached to.
//!
//! `backtrail run` carries bytes between its own terminal and the agent's ([`super::pty`]). What the agent prints also goes
//! to a [`Host`], a task that keeps the screen as it is now ([`emulator`]), records it ([`cast`]), and serves whoever
//! connects to its socket ([`wire`]). Invariants:
//!
//! * Nobody who watches can hold the agent up: who is slow loses what came meanwhile and gets the whole screen instead.
//! * What is typed is never recorded; only what the terminal shows is.
//! * The socket and the recording lie in directories that the agent cannot see.

mod cast;
mod emulator;
mod host;
pub mod wire;

pub use emulator::{Emulator, LARGEST, SMALLEST};
pub use host::{Command, Host, Start};

use serde::{Deserialize, Serialize};

use crate::model::{SessionId, Time};

/// Most bytes that are recorded of one session's terminal.
pub const MOST_OF_ONE: u64 = 256 << 20;

/// Most bytes that recordings of terminals take together in a project; the oldest go first.
pub const MOST_OF_ALL: u64 = 2 << 30;

/// Where a session's terminal is served and recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spot {
    /// The socket.
    pub socket: String,
    /// The file that it is recorded to, in asciicast's second version.
    pub cast: String,
    /// Most bytes of that file; with 0 nothing is recorded.
    pub most: u64,
}

/// What is told to who connects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Whose terminal it is.
    pub session: SessionId,
    /// The agent's name.
    pub agent: String,
    /// Its command line, for people.
    pub command: String,
    /// Its first process.
    pub pid: u32,
    /// When it began.
    pub start: Time,
    /// `run` has a terminal itself, whose size counts.
    pub outer: bool,
}
