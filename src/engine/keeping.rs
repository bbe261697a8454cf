//! Acts and questions about how the store is kept, one line each; what they do is in rooms of their own.

use super::api::{ApiError, KeepAnswer, KeepQuery};
use super::core::Core;

impl Core {
    /// Answers a [`KeepQuery`].
    pub(super) fn keeping(&self, query: KeepQuery) -> Result<KeepAnswer, ApiError> {
        Ok(match query {
            KeepQuery::Verify { rev, repair } => {
                KeepAnswer::Verified(self.verify(rev.as_deref(), repair)?)
            }
            KeepQuery::Doctor => KeepAnswer::Verified(self.doctor()?),
        })
    }
}
