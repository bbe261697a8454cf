//! One small interface to language models: a prompt goes out, text comes back in pieces.
//!
//! OpenAI-compatible servers, Anthropic and Ollama, by configuration ([`config`]); the wire formats are those of a client
//! crate, everything around them is here: keys, time-outs, a token budget, typed errors, secrets ([`redact`]). Nothing is
//! sent unless [`Client::stream`] is called, and dropping its future ends the connection at once. Nothing here knows of
//! merges or steps.

mod budget;
mod client;
pub mod config;
mod error;
mod escapes;
mod faults;
mod key;
pub mod redact;
mod secrets;

pub use budget::{Budget, estimate};
pub use client::Client;
pub use config::{Config, KeyFrom, Loaded, Provider};
pub use error::Error;

use serde::{Deserialize, Serialize};

/// Who said a part of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Speaker {
    /// The person (us).
    User,
    /// The model, earlier.
    Model,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Prompt {
    /// The rules.
    pub system: String,
    /// What was said, in order; the last is the person's.
    pub said: Vec<(Speaker, String)>,
}

impl Prompt {
    /// Length of all texts in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.system.len() + self.said.iter().map(|(_, t)| t.len()).sum::<usize>()
    }

    /// Whether nothing would be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Tokens of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// What was sent.
    pub input: u64,
    /// What came.
    pub output: u64,
    /// The provider did not say: counted from lengths.
    pub estimated: bool,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its text as it came: hostile until it was checked.
    pub text: String,
    /// What it cost.
    pub usage: Usage,
}
