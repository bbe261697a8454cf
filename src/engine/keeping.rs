//! Acts and questions about how the store is kept, one line each; what they do is in rooms of their own.

use super::api::{ApiError, KeepAnswer, KeepQuery};
use super::core::Core;
use super::forget::Wish;

impl Core {
    /// Answers a [`KeepQuery`].
    pub(super) fn keeping(&self, query: KeepQuery) -> Result<KeepAnswer, ApiError> {
        Ok(match query {
            KeepQuery::Verify { rev, repair } => {
                KeepAnswer::Verified(self.verify(rev.as_deref(), repair)?)
            }
            KeepQuery::Doctor => KeepAnswer::Verified(self.doctor()?),
            KeepQuery::Stored { rev } => KeepAnswer::Stored(self.stored(&rev)?),
            KeepQuery::Delete { rev, force } => KeepAnswer::Collected(self.delete(&rev, force)?),
            KeepQuery::Gc {
                dry_run,
                keep_days,
                thorough,
            } => KeepAnswer::Collected(self.gc(dry_run, keep_days, thorough)?),
            KeepQuery::Du { limit } => KeepAnswer::Du(self.du(limit)?),
            KeepQuery::Forget {
                paths,
                rev,
                texts,
                force,
                dry_run,
            } => KeepAnswer::Forgotten(self.forget_contents(&Wish {
                paths,
                rev,
                texts,
                force,
                dry_run,
            })?),
            KeepQuery::Export { rev, path } => {
                KeepAnswer::Exported(self.export_trail(&rev, &path)?)
            }
        })
    }
}
