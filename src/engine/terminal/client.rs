//! Watching an agent's terminal, and typing into it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

pub use crate::agent::RawMode;
pub use crate::agent::terminal::wire::{FromHost, ToHost};
pub use crate::agent::terminal::{About, Emulator};

use super::super::api::{ApiError, ErrorCode};
use super::super::project::Project;

/// How long a terminal may take to answer.
const GREETING: Duration = Duration::from_secs(5);

/// A connection to a terminal.
pub struct Seat {
    /// Whose it is.
    pub about: About,
    /// What it shows.
    pub from: OwnedReadHalf,
    /// What is typed.
    pub to: OwnedWriteHalf,
}

/// Connects to the terminal at a socket: to watch it, or (`attach`) to type as well.
pub async fn join(socket: &Path, attach: bool, size: (u16, u16)) -> Result<Seat, ApiError> {
    let gone = |e: &dyn std::fmt::Display| {
        ApiError::new(
            ErrorCode::Gone,
            format!("the agent's terminal cannot be reached: {e}"),
        )
    };
    let greet = async {
        let stream = UnixStream::connect(socket).await?;
        let (mut from, mut to) = stream.into_split();
        ToHost::Hello { attach, size }.write(&mut to).await?;
        let about = match FromHost::read(&mut from).await? {
            Some(FromHost::Hello(about)) => about,
            _ => return Err(std::io::ErrorKind::InvalidData.into()),
        };
        Ok::<_, std::io::Error>(Seat { about, from, to })
    };
    match tokio::time::timeout(GREETING, greet).await {
        Ok(Ok(seat)) => Ok(seat),
        Ok(Err(e)) => Err(gone(&e)),
        Err(_) => Err(gone(&"it does not answer")),
    }
}

/// The terminals of a project that are there now, with their sockets, the oldest first. They are found without an engine.
pub async fn terminals(project: &Project) -> Vec<(PathBuf, About)> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(project.terminal_dir());
    for entry in entries.into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "sock")
            && let Ok(seat) = join(&path, false, (80, 24)).await
        {
            found.push((path, seat.about));
        }
    }
    found.sort_by_key(|(_, about)| about.start);
    found
}
