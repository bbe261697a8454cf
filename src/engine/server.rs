//! The sockets: who may connect, the greeting, one task a connection, notices to subscribers.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::BufReader;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, broadcast, mpsc};

use crate::model::SessionId;

use super::api::{
    ApiError, Call, ErrorCode, Hello, Message, Notice, PROTOCOL, Reply, Request, Response, Role,
};
use super::core::Core;
use super::wire::{self, WireError};

/// How often a client is told when a row was told, to say how far behind it is.
const TOLD: std::time::Duration = std::time::Duration::from_millis(250);

/// When a new session should have joined its cgroup.
const JOIN: std::time::Duration = std::time::Duration::from_secs(1);

/// What is sent in the place of a message that the other side would refuse.
fn too_large(message: &Message) -> Message {
    match message {
        Message::Reply(reply) => Message::Reply(Reply {
            id: reply.id,
            result: Err(ApiError::new(
                ErrorCode::Failed,
                "the answer is too large for one message; ask for less (by path, or in parts)",
            )),
        }),
        Message::Notice(_) => Message::Notice(Notice::Lagged { missed: 1 }),
    }
}

/// Counts connections and says when the engine is to end.
#[derive(Default)]
pub struct Door {
    clients: AtomicUsize,
    /// Told when a connection ends and when a stop was asked for.
    pub changed: Notify,
    stop: std::sync::atomic::AtomicBool,
}

impl Door {
    /// Whether anyone is connected.
    pub fn busy(&self) -> bool {
        self.clients.load(Ordering::Acquire) > 0
    }

    /// Whether a stop was asked for.
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Asks the engine to end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.changed.notify_one();
    }
}

/// Listens at `path`, for this user only. A socket left by a dead engine is replaced: the store's lock is held by us.
pub fn listen(path: &Path) -> Result<UnixListener, ApiError> {
    let failed = |what: &str, e: &std::io::Error| {
        ApiError::new(
            ErrorCode::Failed,
            format!("cannot {what} {}: {e}", path.display()),
        )
    };
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed("replace", &e)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(|e| failed("listen at", &e))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|e| failed("make private", &e))?;
    Ok(listener)
}

/// Accepts connections until the task is dropped.
///
/// Boxed, because a connection may begin a session, which serves a socket of its own.
pub fn serve(
    listener: UnixListener,
    core: Arc<Core>,
    door: Arc<Door>,
    role: Role,
    session: Option<SessionId>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(accept(listener, core, door, role, session))
}

async fn accept(
    listener: UnixListener,
    core: Arc<Core>,
    door: Arc<Door>,
    role: Role,
    session: Option<SessionId>,
) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) => {
                tracing::warn!("a connection failed: {e}");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        let ours = rustix::process::geteuid().as_raw();
        match stream.peer_cred() {
            Ok(cred) if cred.uid() == ours || cred.uid() == 0 => {}
            _ => continue,
        }
        let (core, door) = (Arc::clone(&core), Arc::clone(&door));
        door.clients.fetch_add(1, Ordering::AcqRel);
        tokio::spawn(async move {
            if let Err(e) = talk(stream, &core, &door, role, session).await {
                tracing::debug!("a connection ended: {e}");
            }
            door.clients.fetch_sub(1, Ordering::AcqRel);
            door.changed.notify_one();
        });
    }
}

async fn talk(
    stream: UnixStream,
    core: &Arc<Core>,
    door: &Arc<Door>,
    role: Role,
    session: Option<SessionId>,
) -> Result<(), WireError> {
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::with_capacity(1 << 16, from);
    let mut line = Vec::new();
    let theirs: Hello = wire::read(&mut from, &mut line).await?;
    wire::write(
        &mut to,
        &Hello {
            backtrail: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            role: Some(role),
            project: Some(core.project.root.to_string_lossy().into_owned()),
        },
    )
    .await?;
    if theirs.backtrail != PROTOCOL {
        // They have read ours and tell their user; nothing that follows could be understood.
        return Ok(());
    }
    let (out, mut queue) = mpsc::channel::<Message>(256);
    let writer = tokio::spawn(async move {
        while let Some(message) = queue.recv().await {
            let written = match wire::write(&mut to, &message).await {
                Err(WireError::TooLong) => wire::write(&mut to, &too_large(&message)).await,
                other => other,
            };
            if written.is_err() {
                break;
            }
        }
    });
    let mut subscription = None;
    let mut begun = Vec::new();
    loop {
        match wire::read_line(&mut from, &mut line).await {
            Ok(()) => {}
            Err(WireError::Closed) => break,
            Err(e) => {
                let error = ApiError::new(ErrorCode::Unsupported, e.to_string());
                let _ = out
                    .send(Message::Reply(Reply {
                        id: 0,
                        result: Err(error),
                    }))
                    .await;
                break;
            }
        }
        let call: Call = match serde_json::from_slice(&line) {
            Ok(call) => call,
            Err(e) => {
                let id = id_of(&line);
                let error = ApiError::new(
                    ErrorCode::Unsupported,
                    format!(
                        "this engine (version {}) does not understand the request: {e}",
                        env!("CARGO_PKG_VERSION")
                    ),
                );
                let _ = out
                    .send(Message::Reply(Reply {
                        id,
                        result: Err(error),
                    }))
                    .await;
                continue;
            }
        };
        match call.request {
            Request::Subscribe => {
                if subscription.is_none() {
                    let notices = core.subscribe();
                    subscription = Some(tokio::spawn(forward(notices, out.clone())));
                }
                let result = Ok(Response::Done(String::new()));
                let _ = out
                    .send(Message::Reply(Reply {
                        id: call.id,
                        result,
                    }))
                    .await;
            }
            Request::Stop { force } if role == Role::Person => {
                let result = stop(core, door, force).await;
                let _ = out
                    .send(Message::Reply(Reply {
                        id: call.id,
                        result,
                    }))
                    .await;
            }
            // Their order is their meaning: each waits for the one before.
            request @ (Request::Emit { .. } | Request::Begin { .. } | Request::End { .. }) => {
                let result = answer(core, door, request, role, session).await;
                if let Ok(Response::Session(session)) = &result {
                    begun.push(session.session.id);
                }
                let _ = out
                    .send(Message::Reply(Reply {
                        id: call.id,
                        result,
                    }))
                    .await;
            }
            request => {
                let (core, door, out) = (Arc::clone(core), Arc::clone(door), out.clone());
                tokio::spawn(async move {
                    let result = answer(&core, &door, request, role, session).await;
                    let _ = out
                        .send(Message::Reply(Reply {
                            id: call.id,
                            result,
                        }))
                        .await;
                });
            }
        }
    }
    if let Some(task) = subscription {
        task.abort();
    }
    // Ended sessions are not held any more; one that still is has lost who ran it.
    for id in begun {
        let here = Arc::clone(core);
        let abandoned = tokio::task::spawn_blocking(move || here.abandon(id)).await;
        if let Ok(Err(e)) = abandoned {
            core.warn(format!("the end of a session could not be recorded: {e}"));
        }
    }
    drop(out);
    let _ = writer.await;
    Ok(())
}

/// The id in a line that is otherwise not understood, so that its sender is not left waiting.
fn id_of(line: &[u8]) -> u64 {
    serde_json::from_slice::<serde_json::Value>(line)
        .ok()
        .and_then(|v| v.get("id")?.as_u64())
        .unwrap_or(0)
}

async fn answer(
    core: &Arc<Core>,
    door: &Arc<Door>,
    request: Request,
    role: Role,
    session: Option<SessionId>,
) -> Result<Response, ApiError> {
    let here = Arc::clone(core);
    let result = tokio::task::spawn_blocking(move || here.handle(request, role, session))
        .await
        .unwrap_or_else(|e| {
            Err(ApiError::new(
                ErrorCode::Failed,
                format!(
                    "the engine failed inside ({e}); the store is not harmed, please report this"
                ),
            ))
        })?;
    if let Response::Session(begun) = &result {
        // From now on the new session's agent can reach us by a socket of its own.
        let id = begun.session.id;
        let listener = match listen(Path::new(&begun.socket)) {
            Ok(listener) => listener,
            Err(e) => {
                let here = Arc::clone(core);
                let _ = tokio::task::spawn_blocking(move || here.abandon(id)).await;
                return Err(e);
            }
        };
        let here = Arc::clone(core);
        tokio::spawn(async move {
            tokio::time::sleep(JOIN).await;
            let _ = tokio::task::spawn_blocking(move || here.check_contained(id)).await;
        });
        tokio::spawn(serve(
            listener,
            Arc::clone(core),
            Arc::clone(door),
            Role::Agent,
            Some(begun.session.id),
        ));
    }
    Ok(result)
}

async fn stop(core: &Arc<Core>, door: &Arc<Door>, force: bool) -> Result<Response, ApiError> {
    let here = Arc::clone(core);
    let reap = move || here.reap();
    tokio::task::spawn_blocking(reap)
        .await
        .map_err(|e| ApiError::new(ErrorCode::Failed, e.to_string()))??;
    if core.sessions.any() {
        if !force {
            return Err(ApiError::new(
                ErrorCode::Refused,
                "a session is running; end its agent first, or use `backtrail stop --force`, which kills it",
            ));
        }
        let here = Arc::clone(core);
        tokio::task::spawn_blocking(move || {
            here.sessions
                .kill_all()
                .map_err(|e| ApiError::new(ErrorCode::Failed, e))?;
            here.reap()
        })
        .await
        .map_err(|e| ApiError::new(ErrorCode::Failed, e.to_string()))??;
    }
    door.stop();
    Ok(Response::Done("the engine ends".to_owned()))
}

async fn forward(mut notices: broadcast::Receiver<Notice>, out: mpsc::Sender<Message>) {
    let mut told: Option<std::time::Instant> = None;
    loop {
        let notice = match notices.recv().await {
            Ok(notice) => notice,
            Err(broadcast::error::RecvError::Lagged(missed)) => Notice::Lagged { missed },
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if matches!(notice, Notice::Row(_)) && told.is_none_or(|t| t.elapsed() >= TOLD) {
            told = Some(std::time::Instant::now());
            let at = crate::model::Time::now();
            if out
                .send(Message::Notice(Notice::Told { at }))
                .await
                .is_err()
            {
                return;
            }
        }
        if out.send(Message::Notice(notice)).await.is_err() {
            return;
        }
    }
}
