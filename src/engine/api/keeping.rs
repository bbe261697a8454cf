//! How the store is kept: what is asked and answered about its integrity, its size, and what leaves it.

use serde::{Deserialize, Serialize};

/// Questions and acts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KeepQuery {
    /// Re-hashes everything, or one state.
    Verify {
        /// Only this state.
        #[serde(default)]
        rev: Option<String>,
        /// Saves what can be saved first.
        #[serde(default)]
        repair: bool,
    },
    /// Makes the index anew from the packs.
    Doctor,
}

impl KeepQuery {
    /// Whether it changes nothing, so that an agent may ask it.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        matches!(self, Self::Verify { repair: false, .. })
    }
}

/// Answers to [`KeepQuery`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KeepAnswer {
    /// See [`KeepQuery::Verify`] and [`KeepQuery::Doctor`].
    Verified(VerifyInfo),
}

/// What `verify` found, and what a repair did before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyInfo {
    /// Records read.
    pub records: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Commits among them.
    pub commits: u64,
    /// States whose content was let go on purpose.
    pub dropped: u64,
    /// Contents that were forgotten on purpose.
    pub forgotten: u64,
    /// Things that were noted as lost by an earlier repair.
    pub lost: u64,
    /// What is wrong.
    pub faults: Vec<FaultInfo>,
    /// What was done about it, in sentences.
    pub done: Vec<String>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultInfo {
    /// In which file.
    pub file: String,
    /// At which byte.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
    /// What it affects and what can be saved; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub saved: String,
}
