//! `at`, `mount` and `umount`.

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
