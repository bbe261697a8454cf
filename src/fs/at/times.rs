//! When a file of a state was changed last: the time of the newest commit, from that state backwards, that touched it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::fs::When;
use crate::model::{CommitId, RepoPath};
use crate::store::{self, Store};

use super::nodes::State;

/// Times of commits that are remembered.
const REMEMBERED: usize = 4096;

/// Times of commits, each looked up once.
#[derive(Debug, Default)]
pub(super) struct Times {
    of: Mutex<HashMap<CommitId, i64>>,
}

impl Times {
    /// When each of `paths` was changed last; the state's own time where the index does not say.
    pub fn changed(
        &self,
        store: &Store,
        state: &State,
        paths: &[RepoPath],
    ) -> store::Result<Vec<i64>> {
        store
            .last_changes(paths, &state.lineage)?
            .into_iter()
            .map(|commit| match commit {
                Some(commit) => self.of_commit(store, commit),
                None => Ok(state.time),
            })
            .collect()
    }

    fn of_commit(&self, store: &Store, id: CommitId) -> store::Result<i64> {
        let known = |all: &HashMap<CommitId, i64>| all.get(&id).copied();
        if let Some(time) = known(&self.of.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(time);
        }
        let time = store.commit(id)?.time.0;
        let mut all = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(id, time);
        Ok(time)
    }
}

/// Microseconds as the kernel wants them.
pub(super) fn when(micros: i64) -> When {
    When {
        secs: micros.div_euclid(1_000_000),
        nanos: u32::try_from(micros.rem_euclid(1_000_000)).unwrap_or(0) * 1_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_count_forward_too() {
        let w = |secs, nanos| When { secs, nanos };
        assert_eq!(when(1_500_000), w(1, 500_000_000));
        assert_eq!(when(-250_000), w(-1, 750_000_000));
    }
}
