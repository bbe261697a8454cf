//! `at`, `mount`, `umount` and `reads`: the verbs about the file system.

use std::path::PathBuf;

use clap::Args;

/// `at`
#[derive(Debug, Args)]
pub struct At {
    /// The state [default: the directory of all states, where every REV is a name]
    #[arg(value_name = "REV")]
    pub rev: Option<String>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `mount`
#[derive(Debug, Args)]
pub struct Mount {
    /// An empty directory outside the project
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `umount`
#[derive(Debug, Args)]
pub struct Umount {
    /// Where it was mounted
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Also when somebody is in it: they keep what they have open
    #[arg(long)]
    pub force: bool,
}

/// `reads`
#[derive(Debug, Args)]
pub struct Reads {
    /// The number of a tool call's step [default: all that is known]
    #[arg(value_name = "STEP")]
    pub step: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Only the last N
    #[arg(short = 'n', long = "limit", value_name = "N")]
    pub limit: Option<usize>,
}
