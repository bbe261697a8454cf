//! Where answers come from: an engine on its socket, the store opened for a moment, or a test's script.

use std::future::Future;
use std::pin::Pin;

use tokio::sync::mpsc;

use super::api::{ApiError, Notice, Request, Response};

/// A future that a [`Source`] answers with.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response, ApiError>> + Send + 'a>>;

/// Anything that answers requests. The CLI and the TUI know nothing else of the engine.
pub trait Source: Send + Sync {
    /// Asks, and waits for the answer.
    fn ask(&self, request: Request) -> Answer<'_>;

    /// Subscribes: notices arrive on the channel until the source is gone, then it closes. A source that never changes
    /// gives a channel that closes at once.
    fn notices(&self) -> mpsc::UnboundedReceiver<Notice>;

    /// Whether an engine is behind this (so that things can change under us).
    fn is_live(&self) -> bool;
}
