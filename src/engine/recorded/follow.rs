//! Following a recording that grows, or is replaced by another file of its name.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::model::{Ordinal, Step, StepId};
use crate::trace::recording::Recording;

use super::super::api::Notice;
use super::{POLL, Recorded, States, broken, place};

impl Recorded {
    /// Takes what was appended.
    pub(super) fn look_again(&self) {
        let recording = self.recording();
        let news = Mutex::new(Vec::new());
        let watcher = |changed: &[u32]| {
            news.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(changed);
            self.tell_rows(&recording, changed);
            self.tell_status();
        };
        match recording.read_more(&watcher) {
            Ok(true) => {}
            Ok(false) => return self.reopen(&recording),
            // Gone for a moment (it is being replaced), or for good: what was read stays.
            Err(_) => return,
        }
        if news
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
        {
            return;
        }
        let mut replay = self.replay.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(replay) = replay.as_mut() {
            let made = replay
                .take(&recording)
                .and_then(|()| replay.settle(&recording));
            match made {
                Ok(made) => {
                    self.count(&made.commits);
                    let places: Vec<u32> = made
                        .steps
                        .iter()
                        .filter_map(|s| recording.find(*s))
                        .collect();
                    self.keep_made(made);
                    self.tell_rows(&recording, &places);
                    self.tell_status();
                }
                Err(e) => self.states_mut().problems.push(e.to_string()),
            }
        }
    }

    pub(super) fn tell_rows(&self, recording: &Recording, places: &[u32]) {
        let steps: Vec<Step> = places.iter().filter_map(|at| recording.step(*at)).collect();
        let rows = self.answers(&self.store()).rows_of(&steps);
        for row in rows.unwrap_or_default() {
            self.tell(Notice::Row(Box::new(row)));
        }
    }

    /// The file is another one now: read it from its beginning.
    pub(super) fn reopen(&self, old: &Recording) {
        let Ok(new) = Recording::open(old.path(), old.format()) else {
            return;
        };
        if new.read_all(false, &|_| {}).is_err() {
            return;
        }
        let new = Arc::new(new);
        let gone: Vec<(StepId, Ordinal)> = old.with(|old| {
            new.with(|new| {
                old.after(None)
                    .filter_map(|at| old.get(at))
                    .filter(|e| new.find(e.ordinal()).is_none())
                    .map(|e| (old.step_id(e), e.ordinal()))
                    .collect()
            })
        });
        // The states of the old one stay where they are, with their steps: the new one's are made apart from them.
        let made = place::scratch().and_then(|ready| {
            let store = Arc::new(ready.store);
            Ok((self.replayed(&store, &new)?, store, ready.scratch))
        });
        let put = |recording, states| {
            *self
                .recording
                .write()
                .unwrap_or_else(PoisonError::into_inner) = recording;
            *self.states_mut() = states;
        };
        let replay = match made {
            Ok(((replay, made, base), store, scratch)) => {
                let commits = made.commits.clone();
                *self.store.write().unwrap_or_else(PoisonError::into_inner) = store;
                let states = States {
                    by_step: made.by_step,
                    effects: made.effects,
                    base,
                    ..States::default()
                };
                put(Arc::clone(&new), states);
                self.hold(scratch);
                self.count(&commits);
                Some(replay)
            }
            Err(e) => {
                let states = States {
                    problems: vec![e.message],
                    ..States::default()
                };
                put(Arc::clone(&new), states);
                None
            }
        };
        *self.replay.lock().unwrap_or_else(PoisonError::into_inner) = replay;
        for (step, ordinal) in gone {
            self.tell(Notice::Gone { step, ordinal });
        }
        self.tell_all();
    }

    /// Holds the directory of a new store; that of the store before it may still be read, those before that one are not.
    fn hold(&self, scratch: Option<tempfile::TempDir>) {
        let mut held = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        held.extend(scratch);
        let over = held.len().saturating_sub(2);
        held.drain(..over);
        if self.is_closing() {
            held.clear();
        }
    }
}

/// Looks for more until nobody wants to know.
pub(super) fn follow_on(recorded: &Weak<Recorded>) {
    loop {
        std::thread::sleep(POLL);
        let Some(recorded) = recorded.upgrade() else {
            return;
        };
        if recorded.is_closing() {
            return;
        }
        if catch_unwind(AssertUnwindSafe(|| recorded.look_again())).is_err() {
            recorded.states_mut().problems.push(broken().message);
            recorded.tell_all();
            return;
        }
    }
}
