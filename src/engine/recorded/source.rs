//! A recording as a source of answers and news, for the screen and the command line.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc};

use super::super::api::{ApiError, ErrorCode, Notice, Request, Response};
use super::super::source::{Answer, Source};
use super::{Recorded, past};

/// A recording as a [`Source`].
pub struct Opened(pub Arc<Recorded>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Source for Opened {
    fn ask(&self, request: Request) -> Answer<'_> {
        let recorded = Arc::clone(&self.0);
        Box::pin(async move {
            tokio::task::spawn_blocking(move || match request {
                Request::PastPath { rev } => {
                    past::path(&recorded, rev.as_deref()).map(Response::Past)
                }
                request => recorded.handle(request),
            })
            .await
            .unwrap_or_else(|e| {
                Err(ApiError::new(
                    ErrorCode::Failed,
                    format!("failed inside: {e}"),
                ))
            })
        })
    }

    fn notices(&self) -> mpsc::UnboundedReceiver<Notice> {
        let (give, take) = mpsc::unbounded_channel();
        let mut from = self.0.notices.subscribe();
        tokio::spawn(async move {
            loop {
                let notice = match from.recv().await {
                    Ok(notice) => notice,
                    Err(broadcast::error::RecvError::Lagged(missed)) => Notice::Lagged { missed },
                    Err(broadcast::error::RecvError::Closed) => return,
                };
                if give.send(notice).is_err() {
                    return;
                }
            }
        });
        take
    }

    fn is_live(&self) -> bool {
        true
    }
}
