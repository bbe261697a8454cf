//! Following a recording that grows, or is replaced by another file of its name.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::model::{Ordinal, StepId};
use crate::trace::recording::Recording;

use super::super::api::Notice;
use super::super::replay::Replay;
use super::{POLL, Recorded, States};

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
        for at in places {
            if let Some(step) = recording.step(*at)
                && let Ok(row) = self.answers().row_now(&step)
            {
                self.tell(Notice::Row(Box::new(row)));
            }
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
        // The states of the old one stay in the store; the branch goes on from the new one's.
        let mut replay = Replay::new(Arc::clone(&self.store), &new, None);
        *self
            .recording
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::clone(&new);
        *self.states_mut() = States::default();
        match replay.take(&new).and_then(|()| replay.settle(&new)) {
            Ok(made) => {
                self.count(&made.commits);
                self.keep_made(made);
            }
            Err(e) => self.states_mut().problems.push(e.to_string()),
        }
        *self.replay.lock().unwrap_or_else(PoisonError::into_inner) = Some(replay);
        for (step, ordinal) in gone {
            self.tell(Notice::Gone { step, ordinal });
        }
        self.tell_all();
    }
}

/// Looks for more until nobody wants to know.
pub(super) fn follow_on(recorded: &Weak<Recorded>) {
    loop {
        std::thread::sleep(POLL);
        let Some(recorded) = recorded.upgrade() else {
            return;
        };
        recorded.look_again();
    }
}
