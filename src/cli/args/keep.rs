//! The verbs that keep the store: verified, repaired, cleaned up, carried elsewhere.

use clap::Args;

/// `verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// Only this state, as it lies on the disk
    #[arg(value_name = "REV")]
    pub rev: Option<String>,
    /// Save what can be saved, and note the rest as lost
    #[arg(long, conflicts_with = "rev")]
    pub repair: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}
