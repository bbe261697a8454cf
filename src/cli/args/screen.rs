//! What is typed about the screen itself, and about its settings, keys and manual.

use std::path::PathBuf;

use clap::Args;

use crate::ui;

/// How the screen is to be drawn. Goes before the settings file.
#[derive(Debug, Clone, Default, Args)]
pub struct Screen {
    /// For screen readers: ASCII, no frames, nothing moves (also with ACCESSIBLE=1)
    #[arg(long, help_heading = "Screen")]
    pub plain: bool,
    /// Draw with ASCII only
    #[arg(long, help_heading = "Screen", hide_short_help = true)]
    pub ascii: bool,
    /// Ask the terminal nothing, also not what its background is
    #[arg(long, help_heading = "Screen", hide_short_help = true)]
    pub no_query: bool,
    /// Colours: auto, ansi, dark, light, another theme's name, or that of a file in the configuration's themes/
    #[arg(
        long,
        value_name = "NAME",
        help_heading = "Screen",
        hide_short_help = true
    )]
    pub theme: Option<String>,
}

impl Screen {
    /// For the screen.
    #[must_use]
    pub fn options(&self) -> ui::Options {
        ui::Options {
            no_query: self.no_query,
            plain: self.plain,
            ascii: self.ascii,
            theme: self.theme.clone(),
            again: None,
        }
    }

    /// As it was typed: for a process that shows it in our place.
    #[must_use]
    pub fn typed(&self) -> Vec<String> {
        let flags = [
            (self.plain, "--plain"),
            (self.ascii, "--ascii"),
            (self.no_query, "--no-query"),
        ];
        let mut out: Vec<String> = flags
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, flag)| (*flag).to_owned())
            .collect();
        if let Some(theme) = &self.theme {
            out.push(format!("--theme={theme}"));
        }
        out
    }
}

/// `config`
#[derive(Debug, Args)]
pub struct Config {
    /// Print every setting with its default and what it does
    #[arg(long)]
    pub default: bool,
}

/// `keys`
#[derive(Debug, Args)]
pub struct Keys {
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// As a table in Markdown
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
}

/// `man`
#[derive(Debug, Args)]
pub struct Man {
    /// Write one page for each command into DIR, instead of the main page to standard output
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
