//! Finding somebody to ask: the engine that runs, one started for it, or the store opened for a moment.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::store::{self, Store};

use super::api::{ApiError, ErrorCode, Notice, Request, Role};
use super::client::Client;
use super::core::{Core, Failure};
use super::project::Project;
use super::source::{Answer, Source};

/// How long a new engine may take until it answers.
const START: Duration = Duration::from_secs(20);

/// Who is to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// An engine; one is started when none runs.
    Engine,
    /// An engine if one runs, else the store, opened for a moment.
    Any,
    /// Only a running engine.
    Running,
}

/// Finds who answers for `project`.
pub async fn open(project: &Project, want: Want) -> Result<Arc<dyn Source>, ApiError> {
    if let Some(client) = agent_socket(project).await {
        return Ok(Arc::new(client));
    }
    match connect(project).await? {
        Some(client) => return Ok(Arc::new(client)),
        None if want == Want::Running => {
            return Err(ApiError::new(
                ErrorCode::Gone,
                format!("no engine runs for {}", project.root.display()),
            ));
        }
        None => {}
    }
    if want == Want::Engine {
        return Ok(Arc::new(start(project).await?));
    }
    project.make_store_dir()?;
    let dir = project.store_dir.clone();
    let opened =
        tokio::task::spawn_blocking(move || Store::open_wait(&dir, Duration::from_millis(300)))
            .await
            .map_err(|e| ApiError::new(ErrorCode::Failed, e.to_string()))?;
    match opened {
        Ok(store) => {
            let core = Core::new(project.clone(), store)?;
            let here = Arc::clone(&core);
            tokio::task::spawn_blocking(move || here.recover())
                .await
                .map_err(|e| ApiError::new(ErrorCode::Failed, e.to_string()))??;
            Ok(Arc::new(Local { core }))
        }
        // Somebody else is at it: an engine that is just starting, or another command for its moment.
        Err(store::Error::Locked { .. }) => {
            Ok(Arc::new(wait_for(project, Instant::now() + START).await?))
        }
        Err(e) => Err(Failure::from(e).into()),
    }
}

/// Inside a session the agent's own socket is the way, if it belongs to this project.
async fn agent_socket(project: &Project) -> Option<Client> {
    let path = PathBuf::from(std::env::var_os("BACKTRAIL_SOCKET")?);
    let client = Client::connect(&path).await.ok()?;
    let root = project.root.to_string_lossy();
    (client.hello().project.as_deref() == Some(root.as_ref())).then_some(client)
}

/// Connects to the engine that runs; `None` where none does.
async fn connect(project: &Project) -> Result<Option<Client>, ApiError> {
    match Client::connect(&project.socket()).await {
        Ok(client) => Ok(Some(client)),
        Err(e) if e.code == ErrorCode::Gone => Ok(None),
        Err(e) => Err(e),
    }
}

async fn wait_for(project: &Project, until: Instant) -> Result<Client, ApiError> {
    loop {
        if let Some(client) = connect(project).await? {
            return Ok(client);
        }
        if Instant::now() > until {
            return Err(ApiError::new(
                ErrorCode::Failed,
                format!(
                    "the store {} is held by another process that does not answer; see {}",
                    project.store_dir.display(),
                    project.log_file().display()
                ),
            ));
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// Starts an engine in the background and connects to it.
async fn start(project: &Project) -> Result<Client, ApiError> {
    project.make_dirs()?;
    let exe = std::env::current_exe().map_err(|e| {
        ApiError::new(
            ErrorCode::Failed,
            format!("cannot find the program's own file: {e}"),
        )
    })?;
    let errors = project.runtime_dir.join("engine.err");
    let sink = std::fs::File::create(&errors).map_err(|e| {
        ApiError::new(
            ErrorCode::Failed,
            format!("cannot write {}: {e}", errors.display()),
        )
    })?;
    let mut child = Command::new(exe)
        .arg("engine")
        .arg("--project")
        .arg(&project.root)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(sink)
        .spawn()
        .map_err(|e| {
            ApiError::new(
                ErrorCode::Failed,
                format!("the engine could not be started: {e}"),
            )
        })?;
    let until = Instant::now() + START;
    loop {
        if let Some(client) = connect(project).await? {
            return Ok(client);
        }
        let ended = child
            .try_wait()
            .map_err(|e| ApiError::new(ErrorCode::Failed, format!("the engine was lost: {e}")))?;
        if ended.is_some() {
            // Another command may have started one at the same moment and won.
            if let Some(client) = connect(project).await? {
                return Ok(client);
            }
            let said = std::fs::read_to_string(&errors).unwrap_or_default();
            let said = said.trim();
            return Err(ApiError::new(
                ErrorCode::Failed,
                if said.is_empty() {
                    format!(
                        "the engine ended at once; see {}",
                        project.log_file().display()
                    )
                } else {
                    said.trim_start_matches("backtrail: ").to_owned()
                },
            ));
        }
        if Instant::now() > until {
            let _ = child.kill();
            return Err(ApiError::new(
                ErrorCode::Failed,
                format!(
                    "the engine did not answer within {} s; see {}",
                    START.as_secs(),
                    project.log_file().display()
                ),
            ));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The store, opened by this process for a moment. Nothing is mounted; the workspace is scanned when it is asked about.
struct Local {
    core: Arc<Core>,
}

impl Source for Local {
    fn ask(&self, request: Request) -> Answer<'_> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            tokio::task::spawn_blocking(move || {
                let answer = core.handle(request, Role::Person, None);
                core.store.flush_index().map_err(Failure::from)?;
                answer
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
        mpsc::unbounded_channel().1
    }

    fn is_live(&self) -> bool {
        false
    }
}
