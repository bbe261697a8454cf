//! How many tokens this process may use. What a question will cost is taken before it is sent and set right afterwards,
//! so that questions side by side cannot overdraw, and one that was cancelled is still paid.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use super::Error;

/// Tokens used by one process.
#[derive(Debug, Default)]
pub struct Budget {
    spent: AtomicU64,
}

/// About how many tokens `bytes` of text are: rather too many than too few.
#[must_use]
pub fn estimate(bytes: usize) -> u64 {
    bytes.div_ceil(3) as u64
}

impl Budget {
    /// The one of this process.
    #[must_use]
    pub fn of_process() -> Arc<Self> {
        static PROCESS: LazyLock<Arc<Budget>> = LazyLock::new(Arc::default);
        Arc::clone(&PROCESS)
    }

    /// Used so far, with what questions under way will use at least.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }

    /// Takes `input` tokens for a question of at most `output` more; gives how many of those may be used.
    pub(super) fn take(
        self: &Arc<Self>,
        limit: u64,
        input: u64,
        output: u64,
    ) -> Result<(Hold, u64), Error> {
        // An answer of less is not worth asking for.
        let least = output.min(256);
        let mut spent = self.spent();
        loop {
            let left = limit.saturating_sub(spent).saturating_sub(input);
            if left < least || spent + input > limit {
                return Err(Error::Budget {
                    spent,
                    budget: limit,
                    needs: input + least,
                });
            }
            let output = output.min(left);
            let taken = input + output;
            match self.spent.compare_exchange_weak(
                spent,
                spent + taken,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    let hold = Hold {
                        budget: Arc::clone(self),
                        taken,
                        used: input,
                    };
                    return Ok((hold, output));
                }
                Err(now) => spent = now,
            }
        }
    }
}

/// What one question took; gives back what it did not use.
pub(super) struct Hold {
    budget: Arc<Budget>,
    taken: u64,
    used: u64,
}

impl Hold {
    /// It has used so many in all.
    pub(super) fn used(&mut self, tokens: u64) {
        self.used = tokens;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.used >= self.taken {
            self.budget
                .spent
                .fetch_add(self.used - self.taken, Ordering::Relaxed);
        } else {
            self.budget
                .spent
                .fetch_sub(self.taken - self.used, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_was_not_used_comes_back_and_the_end_is_an_error() {
        let budget = Arc::new(Budget::default());
        let (mut hold, output) = budget.take(10_000, 1_000, 4_000).unwrap();
        assert_eq!((budget.spent(), output), (5_000, 4_000));
        hold.used(1_500);
        drop(hold);
        assert_eq!(budget.spent(), 1_500);
        // Cancelled: what was sent is paid.
        drop(budget.take(10_000, 500, 4_000).unwrap());
        assert_eq!(budget.spent(), 2_000);
        // Less room than asked for: a shorter answer.
        let (hold, output) = budget.take(4_000, 1_000, 4_000).unwrap();
        assert_eq!(output, 1_000);
        let e = budget.take(4_000, 1_000, 4_000).err().unwrap();
        assert!(matches!(
            e,
            Error::Budget {
                spent: 4_000,
                budget: 4_000,
                ..
            }
        ));
        drop(hold);
        assert!(budget.take(3_200, 100, 4_000).is_err());
    }
}
