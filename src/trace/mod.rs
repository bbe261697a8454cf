//! Traces: what agents say of their runs, read into one neutral model.
//!
//! * [`event`] is what a reader gives, [`format`] what a reader is and the list of all of them.
//! * One file a format; [`records`] cuts a source into records for them.
//! * [`lenient`]: types that take any JSON value, for readers.
//! * [`assemble`] makes the steps of the events, [`index`] keeps them compactly.
//! * [`rebuild`] makes file states of what the records say about files.
//! * [`patch`] and [`unified`]: patches in both notations, applied and taken back.
//! * [`emit`] and [`calls`]: reasoning told live, and which open call made a change.
//! * [`tail`] and [`link`]: recordings while they are written, and which of their calls made a change.

pub mod aider;
pub mod asciicast;
pub mod assemble;
pub mod atif;
pub mod base;
pub mod calls;
pub mod claude;
pub mod codex;
pub mod copilot;
pub mod discover;
mod edits;
pub mod emit;
pub mod event;
pub mod format;
pub mod gemini;
pub mod index;
pub mod lenient;
pub mod link;
pub mod mini_swe;
pub mod ndjson;
pub mod opencode;
pub mod openhands;
pub mod patch;
pub mod pi;
mod raw;
pub mod rebuild;
pub mod recording;
pub mod records;
pub mod swe_agent;
pub mod tail;
pub mod unified;

#[cfg(test)]
mod evaluation_tests;
#[cfg(test)]
mod readers_tests;
