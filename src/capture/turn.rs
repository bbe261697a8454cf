//! Whose turn it is: checkpoints, the first scan and rollbacks exclude each other.
//!
//! Not a plain mutex, because the first scan takes its turn in the caller's thread and ends it in its own.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
struct Taken {
    taken: Mutex<bool>,
    freed: Condvar,
}

/// One turn at a time.
#[derive(Debug, Clone, Default)]
pub struct Turns(Arc<Taken>);

/// A turn; ends when dropped.
#[derive(Debug)]
pub struct Turn(Arc<Taken>);

impl Turns {
    /// Waits for its turn.
    #[must_use]
    pub fn take(&self) -> Turn {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken {
            taken = self
                .0
                .freed
                .wait(taken)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *taken = true;
        Turn(Arc::clone(&self.0))
    }

    /// Waits until nobody has the turn; `false` if somebody still has after `timeout`.
    #[must_use]
    pub fn free_within(&self, timeout: Duration) -> bool {
        let end = Instant::now() + timeout;
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            taken = self
                .0
                .freed
                .wait_timeout(taken, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.freed.notify_all();
    }
}
