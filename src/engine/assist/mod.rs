//! The assist: a language model proposes how a conflict might be settled, or answers a question about steps.
//!
//! A library over a [`Source`], for the process of the person: the keys are in its environment, and a recording has no
//! engine. It gathers evidence ([`evidence`], [`question`]), takes secrets out and fences the rest ([`prompt`]), lets
//! the answer stream, reads it strictly ([`answer`]) and checks it ([`check`]) before anybody sees it. What a model says
//! is hostile text until then. It changes nothing by itself: [`Assistant::accept`] is called by who has decided, and puts the
//! model's name to it.

mod answer;
mod assistant;
mod check;
mod evidence;
mod peek;
mod prompt;
mod question;
mod resolve;

pub use assistant::{Asking, Assistant};
pub use check::Refused;
pub use resolve::{Outcome, Progress, Settled, resolve_all};

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::llm::{self, Prompt, Usage};
use crate::model::{Ordinal, RepoPath};

use super::api::ApiError;
#[cfg(doc)]
use super::source::Source;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// How a hunk of the unfinished merge might be settled. -> [`News::Proposals`]
    Hunk(HunkAsk),
    /// A question; nothing comes of it but words. -> [`News::Answer`]
    Question {
        /// The person's words.
        question: String,
        /// What it is about; the latest steps when empty.
        about: Vec<About>,
    },
}

/// A hunk, and what the person has said of it so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HunkAsk {
    /// Which conflict.
    pub path: RepoPath,
    /// Which hunk of it, from 0.
    pub hunk: usize,
    /// How many proposals are wanted, to compare them; 1 to 5.
    pub want: usize,
    /// What the person has instructed, oldest first.
    pub instructions: Vec<String>,
    /// What was proposed before: it is to propose otherwise.
    pub earlier: Vec<Proposal>,
    /// The hunk as the person sees it: ours, base, theirs. Another one that has its number by now is not asked about.
    pub seen: Option<[Vec<u8>; 3]>,
}

impl HunkAsk {
    /// The first question about a hunk.
    #[must_use]
    pub fn new(path: RepoPath, hunk: usize) -> Self {
        Self {
            path,
            hunk,
            want: 3,
            instructions: Vec::new(),
            earlier: Vec::new(),
            seen: None,
        }
    }
}

/// What a question is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// A step by its number.
    Step(Ordinal),
    /// A revision: its step, else its commit's changes.
    Rev(String),
    /// Text that the person has selected.
    Text {
        /// What it is: `src/a.rs at step 12, lines 3-9`.
        title: String,
        /// The text.
        text: String,
    },
    /// What such a text is a part of. It is not sent: what is secret is often told by what stands around it.
    Around(String),
}

/// What comes while a question is under way, in this order. The last is `Proposals`, `Answer` or `Failed`; then the
/// channel closes.
#[derive(Debug, Clone)]
pub enum News {
    /// It is being sent.
    Prompt(Sent),
    /// A piece of the answer in words (of proposals: their explanations), harmless; lines end with a line feed.
    Text(String),
    /// What it cost.
    Usage(Usage),
    /// Checked proposals, the best first.
    Proposals(Proposals),
    /// The whole answer to a question.
    Answer(Answered),
    /// There is no answer.
    Failed(Error),
}

/// What is sent, for people and for the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// To which provider: its name and address.
    pub to: String,
    /// Which model.
    pub model: String,
    /// Hash (blake3) of all that is sent.
    pub hash: String,
    /// Bytes.
    pub bytes: usize,
    /// Tokens, about.
    pub tokens: u64,
    /// How many secrets were taken out, by kind.
    pub redacted: Vec<(String, usize)>,
    /// What was left out because it is too long.
    pub left_out: Vec<String>,
}

/// What would be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// About it.
    pub sent: Sent,
    /// All of it, as it would be sent.
    pub prompt: Prompt,
}

/// What a model proposes for a hunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposals {
    /// Which conflict.
    pub path: RepoPath,
    /// Which hunk.
    pub hunk: usize,
    /// Those that are sound, the best first.
    pub proposals: Vec<Proposal>,
    /// Those that are not, and why. They are not shown as proposals and cannot be accepted.
    pub refused: Vec<Refused>,
}

/// A checked proposal. All its words are harmless for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// What would stand in place of the hunk.
    pub text: Vec<u8>,
    /// Why; may have several lines.
    pub explanation: String,
    /// The steps that it cites, all of them among those it was given.
    pub cites: Vec<Ordinal>,
    /// What of either side it says to drop.
    pub drops: Vec<String>,
    /// How sure it says to be.
    pub confidence: Confidence,
    /// What the check has to say: steps it made up, line ends set right, equal to a side.
    pub notes: Vec<String>,
    /// Who proposed it, and what that cost.
    pub by: By,
}

/// Where a proposal is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// Which model.
    pub model: String,
    /// Hash of what was sent.
    pub prompt_hash: String,
    /// What the question cost; all proposals of one answer have the same.
    pub usage: Usage,
    /// The hunk as it was then (hash of its sides): it is for no other one.
    pub hunk: String,
}

/// How sure a model says to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Hardly.
    Low,
    /// Rather.
    Medium,
    /// Quite.
    High,
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        })
    }
}

/// An answer in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// It, harmless; lines end with a line feed.
    pub text: String,
    /// The steps that it cites, all of them among those it was given.
    pub cites: Vec<Ordinal>,
    /// What the check has to say.
    pub notes: Vec<String>,
}

/// Who would be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// Its name and address.
    pub to: String,
    /// Which model.
    pub model: String,
    /// Tokens that this process has used, and may use.
    pub tokens: (u64, u64),
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model did not answer.
    #[error(transparent)]
    Llm(#[from] llm::Error),
    /// The engine or the recording does not say.
    #[error(transparent)]
    Source(#[from] ApiError),
    /// No merge is unfinished, or it has no such hunk.
    #[error("{path} has no hunk {hunk} that could be asked about: {why}")]
    NoHunk {
        /// Which conflict.
        path: RepoPath,
        /// Which hunk.
        hunk: usize,
        /// Why not.
        why: &'static str,
    },
    /// It is not for a model.
    #[error("{path}, hunk {hunk}: {why}; settle it by hand")]
    Unfit {
        /// Which conflict.
        path: RepoPath,
        /// Which hunk.
        hunk: usize,
        /// Why.
        why: String,
    },
    /// The hunk is not what it was.
    #[error("{path}, hunk {hunk} has changed since it was asked about; ask again")]
    Stale {
        /// Which conflict.
        path: RepoPath,
        /// Which hunk.
        hunk: usize,
    },
    /// The answer cannot be read.
    #[error("the model's answer cannot be used: {0}; ask again, or instruct it")]
    Unreadable(String),
    /// Secrets cannot be found, so nothing is sent.
    #[error("secrets cannot be recognised in this build, so nothing is sent")]
    Unguarded,
}
