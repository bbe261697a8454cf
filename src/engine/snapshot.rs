//! The agent's own state: JSON that an agent or a script attaches to a commit. It is checked, kept as the bytes it came as,
//! and holds for the commits that follow until another is attached.

use std::collections::HashSet;

use crate::model::{Cause, Commit, SessionId};

use super::answer::Answers;
use super::api::{ApiError, CommitInfo, ErrorCode, StateInfo};
use super::core::{Core, Failure};

/// Largest state, in bytes: it is read whole to be compared and merged.
const LARGEST: usize = 16 << 20;

impl Core {
    pub(super) fn snapshot(
        &self,
        message: Option<String>,
        state: &str,
        session: Option<SessionId>,
    ) -> Result<Vec<CommitInfo>, Failure> {
        let refused = |why: String| ApiError::new(ErrorCode::Refused, why);
        if state.len() > LARGEST {
            return Err(refused(format!(
                "a state of {} bytes is too large: 16 MiB at most",
                state.len()
            ))
            .into());
        }
        // What is kept can be read again: with the reader's own limits of depth and numbers.
        serde_json::from_str::<serde_json::Value>(state)
            .map_err(|e| refused(format!("the state is not JSON: {e}")))?;
        let state = self.store.put_blob(state.as_bytes())?;
        let message = message.unwrap_or_else(|| "state of the agent".to_owned());
        let made = self.cut_how(
            Cause::Manual,
            Some(message),
            session,
            &HashSet::new(),
            None,
            Some(state),
        )?;
        self.answers().commit_infos(&made.commits)
    }
}

impl Answers<'_> {
    /// The agent's own state as of `commit`.
    pub(super) fn agent_state(&self, commit: &Commit) -> Result<Option<StateInfo>, Failure> {
        let Some(blob) = commit.state else {
            return Ok(None);
        };
        let before = match commit.parents.first() {
            Some(parent) => self.store.commit(*parent)?.state,
            None => None,
        };
        Ok(Some(StateInfo {
            blob,
            size: self.store.blob_len(blob)?,
            new: before != Some(blob),
        }))
    }
}
