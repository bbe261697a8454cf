//! The client's side of the socket: a [`Source`] whose questions are answered by an engine.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use super::api::{ApiError, Call, ErrorCode, Hello, Message, Notice, PROTOCOL, Request, Response};
use super::source::{Answer, Source};
use super::wire::{self, WireError};

type Waiting = HashMap<u64, oneshot::Sender<Result<Response, ApiError>>>;

#[derive(Default)]
struct Shared {
    waiting: Option<Waiting>,
    listeners: Vec<mpsc::UnboundedSender<Notice>>,
}

/// A connection to an engine.
pub struct Client {
    calls: mpsc::UnboundedSender<Call>,
    next: AtomicU64,
    shared: Arc<Mutex<Shared>>,
    hello: Hello,
}

fn gone() -> ApiError {
    ApiError::new(
        ErrorCode::Gone,
        "the engine has ended; run the command again to start it anew",
    )
}

impl Client {
    /// Connects to the socket at `path` and greets.
    pub async fn connect(path: &Path) -> Result<Self, ApiError> {
        let stream = UnixStream::connect(path).await.map_err(|e| {
            ApiError::new(
                ErrorCode::Gone,
                format!("no engine answers at {}: {e}", path.display()),
            )
        })?;
        let (from, mut to) = stream.into_split();
        let mut from = BufReader::with_capacity(1 << 16, from);
        let hello = Hello {
            backtrail: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            role: None,
            project: None,
        };
        let strange = |e: WireError| {
            ApiError::new(
                ErrorCode::Unsupported,
                format!("{} is not the socket of an engine: {e}", path.display()),
            )
        };
        wire::write(&mut to, &hello).await.map_err(strange)?;
        let mut line = Vec::new();
        let theirs: Hello = wire::read(&mut from, &mut line).await.map_err(strange)?;
        if theirs.backtrail != PROTOCOL {
            return Err(ApiError::new(
                ErrorCode::Unsupported,
                format!(
                    "the running engine is version {} (protocol {}), this program is version {} (protocol {PROTOCOL}); end it with its own `backtrail stop`",
                    theirs.version,
                    theirs.backtrail,
                    env!("CARGO_PKG_VERSION")
                ),
            ));
        }
        let shared = Arc::new(Mutex::new(Shared {
            waiting: Some(HashMap::new()),
            listeners: Vec::new(),
        }));
        let (calls, mut outgoing) = mpsc::unbounded_channel::<Call>();
        tokio::spawn(async move {
            while let Some(call) = outgoing.recv().await {
                if wire::write(&mut to, &call).await.is_err() {
                    break;
                }
            }
        });
        let inside = Arc::clone(&shared);
        tokio::spawn(async move {
            loop {
                match wire::read::<Message, _>(&mut from, &mut line).await {
                    Ok(Message::Reply(reply)) => {
                        let mut shared = inside.lock().unwrap_or_else(PoisonError::into_inner);
                        if let Some(tx) = shared.waiting.as_mut().and_then(|w| w.remove(&reply.id))
                        {
                            let _ = tx.send(reply.result);
                        }
                    }
                    Ok(Message::Notice(notice)) => {
                        let mut shared = inside.lock().unwrap_or_else(PoisonError::into_inner);
                        shared.listeners.retain(|l| l.send(notice.clone()).is_ok());
                    }
                    // A notice of a kind that a newer engine knows is not a reason to end.
                    Err(WireError::NotUnderstood(_)) => {}
                    Err(_) => break,
                }
            }
            let mut shared = inside.lock().unwrap_or_else(PoisonError::into_inner);
            shared.listeners.clear();
            for (_, tx) in shared.waiting.take().unwrap_or_default() {
                let _ = tx.send(Err(gone()));
            }
        });
        Ok(Self {
            calls,
            next: AtomicU64::new(1),
            shared,
            hello: theirs,
        })
    }

    /// What the engine said of itself.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }
}

impl Source for Client {
    fn ask(&self, request: Request) -> Answer<'_> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (tx, rx) = oneshot::channel();
        let sent = {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            match shared.waiting.as_mut() {
                Some(waiting) => {
                    waiting.insert(id, tx);
                    self.calls.send(Call { id, request }).is_ok()
                }
                None => false,
            }
        };
        Box::pin(async move {
            if !sent {
                return Err(gone());
            }
            rx.await.unwrap_or_else(|_| Err(gone()))
        })
    }

    fn notices(&self) -> mpsc::UnboundedReceiver<Notice> {
        let (tx, rx) = mpsc::unbounded_channel();
        let first = {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            if shared.waiting.is_none() {
                return rx;
            }
            shared.listeners.push(tx);
            shared.listeners.len() == 1
        };
        if first {
            // The answer says nothing that the notices themselves do not.
            let id = self.next.fetch_add(1, Ordering::Relaxed);
            let _ = self.calls.send(Call {
                id,
                request: Request::Subscribe,
            });
        }
        rx
    }

    fn is_live(&self) -> bool {
        true
    }
}
