//! The verbs over the commit graph and over the history of paths.

use std::path::PathBuf;

use clap::Args;

/// `leaves`
#[derive(Debug, Args)]
pub struct Leaves {
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// At most N commits
    #[arg(short = 'n', long = "limit", value_name = "N")]
    pub limit: Option<usize>,
}

/// `lineage`
#[derive(Debug, Args)]
pub struct Lineage {
    /// Which commit
    #[arg(value_name = "REV", default_value = "@")]
    pub rev: String,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// At most N commits
    #[arg(short = 'n', long = "limit", value_name = "N")]
    pub limit: Option<usize>,
}

/// `children`
#[derive(Debug, Args)]
pub struct Children {
    /// Which commit
    #[arg(value_name = "REV")]
    pub rev: String,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `history`
#[derive(Debug, Args)]
pub struct History {
    /// A file or directory, there now or not
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Only the versions that led to this commit [default: those of all branches]
    #[arg(value_name = "REV")]
    pub rev: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// At most N versions
    #[arg(short = 'n', long = "limit", value_name = "N")]
    pub limit: Option<usize>,
}

/// `trace`
#[derive(Debug, Args)]
pub struct TraceOf {
    /// Which commit
    #[arg(value_name = "REV", default_value = "@")]
    pub rev: String,
    /// So many commits back, this one included
    #[arg(short = 'd', long, value_name = "N", default_value_t = 5)]
    pub depth: usize,
    /// One JSON object a line, one for each commit
    #[arg(long)]
    pub json: bool,
}

/// `blame`
#[derive(Debug, Args)]
pub struct Blame {
    /// Which file
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// In which state
    #[arg(value_name = "REV", default_value = "@")]
    pub rev: String,
    /// Also when the file is large or has many versions: it may take a minute
    #[arg(long)]
    pub force: bool,
    /// One JSON object a line, one for each line of the file
    #[arg(long)]
    pub json: bool,
}
