//! What is asked about the terminals of agents.

use serde::{Deserialize, Serialize};

use crate::model::{Bytes, SessionId, Time};

/// Where a session's terminal is served and recorded: what `run` is told.
pub type TerminalSpot = crate::agent::terminal::Spot;

/// A question about a session's terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TerminalQuery {
    /// What there is of it. -> `Info`
    Of {
        /// The session, or one that its agent named. In a recording there is one terminal at most: absent.
        #[serde(default)]
        session: Option<SessionId>,
    },
    /// Part of its recording, an asciicast of version 2 or 3. -> `Part`
    Read {
        /// As in `Of`.
        #[serde(default)]
        session: Option<SessionId>,
        /// From this byte.
        offset: u64,
        /// At most so many bytes (capped at 4 MiB an answer).
        len: u64,
    },
    /// Ends the agent: asks its processes to end, and kills what is left of them after a while. -> `Done`
    Stop {
        /// Which session.
        session: SessionId,
        /// How long they have, in milliseconds.
        patience: u64,
    },
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TerminalAnswer {
    /// See [`TerminalQuery::Of`]; `None` where the session had no terminal that we know of.
    Info(Option<Box<TerminalInfo>>),
    /// See [`TerminalQuery::Read`].
    Part(Bytes),
    /// See [`TerminalQuery::Stop`].
    Done(String),
}

/// What there is of a session's terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalInfo {
    /// The session that was run.
    pub session: SessionId,
    /// The agent's first process, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Where it is served, while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// When it began; what the recording's times are after.
    pub start: Option<Time>,
    /// Bytes of the recording.
    pub recorded: u64,
}
