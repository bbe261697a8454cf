//! The verbs that keep the store: verified, repaired, cleaned up, carried elsewhere.

use std::path::PathBuf;

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

/// `gc`
#[derive(Debug, Args)]
pub struct Gc {
    /// Only say what would be done
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Keep all states of the last N days [default: what backtrail.toml says, else 30]
    #[arg(long, value_name = "N")]
    pub keep_days: Option<u32>,
    /// Also write packs anew of which little is not needed
    #[arg(long)]
    pub thorough: bool,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `du`
#[derive(Debug, Args)]
pub struct Du {
    /// At most N rows of sessions, branches and paths each
    #[arg(short = 'n', long = "limit", value_name = "N", default_value_t = 10)]
    pub limit: usize,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `forget`
#[derive(Debug, Args)]
pub struct Forget {
    /// Files or directories of which every recorded content goes, or a revision: what that state brought
    #[arg(value_name = "PATH|REV", required = true)]
    pub what: Vec<PathBuf>,
    /// Forget the texts of steps that hold parts of it, too
    #[arg(long)]
    pub texts: bool,
    /// Although the workspace still has it, so that it is recorded again
    #[arg(long)]
    pub force: bool,
    /// Only say what would be done
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `delete`
#[derive(Debug, Args)]
pub struct Delete {
    /// Which state
    #[arg(value_name = "REV")]
    pub rev: String,
    /// Although a label or a branch names it, or lines part there
    #[arg(long)]
    pub force: bool,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `exists`
#[derive(Debug, Args)]
pub struct Exists {
    /// Which state
    #[arg(value_name = "REV")]
    pub rev: String,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}
