//! The recordings of this machine as something to ask: which there are, and what is in each.
//!
//! Listing looks at names, sizes and times only. What is in a recording is found by reading it once; the answer is kept in
//! the user's cache for as long as its files stay as they are.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::trace::discover::{self, Found};
use crate::trace::format::{self, About, Format, Home};
use crate::trace::index::FileMark;
use crate::trace::recording::{self, Recording};

use super::api::{ApiError, ErrorCode, Notice, RecordingInfo, RecordingSummary, Request, Response};
use super::project::{cache_dir, private_dir};
use super::recorded::{Opened, Options, Recorded, failed, place_of, summary_of};
use super::source::{Answer, Source};

/// How a recording is to be opened.
#[derive(Debug, Clone, Default)]
pub struct Opening {
    /// The format by name; recognised from the content when absent.
    pub format: Option<String>,
    /// See [`Options::base`].
    pub base: Option<String>,
    /// See [`Options::repository`].
    pub repository: Option<PathBuf>,
    /// See [`Options::follow`].
    pub follow: bool,
    /// Keep nothing of it: its file will not be there again.
    pub once: bool,
}

/// The formats that are known, by their short names.
pub fn formats() -> impl Iterator<Item = (&'static str, About)> {
    format::FORMATS.iter().map(|f| (f.name(), f.about()))
}

/// Opens the recording at `path`: a file, or a directory with just one.
pub fn open_recording(path: &Path, how: &Opening) -> Result<Arc<Recorded>, ApiError> {
    let (path, format) = find(path, how.format.as_deref())?;
    Recorded::open(
        &path,
        format,
        Options {
            cache: cache_dir().filter(|_| !how.once),
            follow: how.follow,
            base: how.base.clone(),
            repository: how.repository.clone(),
        },
    )
}

fn find(path: &Path, format: Option<&str>) -> Result<(PathBuf, &'static dyn Format), ApiError> {
    let named = format
        .map(|name| {
            format::by_name(name).ok_or_else(|| {
                let known: Vec<&str> = formats().map(|(name, _)| name).collect();
                ApiError::new(
                    ErrorCode::NotFound,
                    format!(
                        "no format is called {name:?}; known are {}",
                        known.join(", ")
                    ),
                )
            })
        })
        .transpose()?;
    let meta = std::fs::metadata(path).map_err(|source| {
        failed(recording::Error::Read {
            path: path.to_owned(),
            source,
        })
    })?;
    if meta.is_dir() {
        let all = recordings_in(path)?;
        return match all.as_slice() {
            [one] => Ok((one.path.clone(), named.unwrap_or(one.format))),
            several => Err(ApiError::new(
                ErrorCode::NotFound,
                format!(
                    "{} recordings are in {}: name one of them, as {}",
                    several.len(),
                    path.display(),
                    several[0].path.display()
                ),
            )),
        };
    }
    let format = match named {
        Some(format) => format,
        None => discover::recognise(path)
            .map_err(|source| {
                failed(recording::Error::Read {
                    path: path.to_owned(),
                    source,
                })
            })?
            .ok_or_else(|| failed(recording::Error::Unknown(path.to_owned())))?,
    };
    Ok((path.to_owned(), format))
}

/// The recordings in a directory, newest first; an error if there are none.
pub fn recordings_in(dir: &Path) -> Result<Vec<Found>, ApiError> {
    recordings_told(dir, &mut |trouble| tracing::warn!("{trouble}"))
}

/// As [`recordings_in`], telling what cannot be read. If that is all there is, it is the error.
pub fn recordings_told(dir: &Path, tell: &mut dyn FnMut(&str)) -> Result<Vec<Found>, ApiError> {
    let mut troubles = Vec::new();
    let all = discover::list_dir_all(dir, &mut |t| troubles.push(t.to_string()));
    if all.is_empty() {
        return Err(match troubles.into_iter().next() {
            Some(trouble) => ApiError::new(ErrorCode::Failed, trouble),
            None => failed(recording::Error::Empty(dir.to_owned())),
        });
    }
    for trouble in &troubles {
        tell(trouble);
    }
    Ok(all)
}

/// A recording as a source.
#[must_use]
pub fn opened(recorded: Arc<Recorded>) -> Arc<dyn Source> {
    Arc::new(Opened(recorded))
}

/// The recordings that agents keep on this machine. `BACKTRAIL_RECORDINGS` (directories, separated by colons) names other
/// places instead.
#[must_use]
pub fn shelf() -> Arc<dyn Source> {
    Arc::new(Arc::new(Shelf {
        list: Mutex::default(),
        fixed: false,
    }))
}

/// These recordings.
#[must_use]
pub fn shelf_of(list: Vec<Found>) -> Arc<dyn Source> {
    Arc::new(Arc::new(Shelf {
        list: Mutex::new(nameable(list)),
        fixed: true,
    }))
}

/// Those that can be asked for by what is shown of them. A name that is not UTF-8 would lead to no file.
fn nameable(mut list: Vec<Found>) -> Vec<Found> {
    list.retain(|found| {
        let named = found.path.to_str().is_some();
        if !named {
            let trouble = discover::Trouble {
                path: crate::model::neutral(found.path.as_os_str().as_encoded_bytes()),
                source: std::io::Error::new(
                    std::io::ErrorKind::InvalidFilename,
                    "its name is not UTF-8",
                ),
            };
            tracing::warn!("{trouble}");
        }
        named
    });
    list
}

struct Shelf {
    list: Mutex<Vec<Found>>,
    fixed: bool,
}

fn find_all() -> Vec<Found> {
    if let Some(places) = std::env::var_os("BACKTRAIL_RECORDINGS") {
        let places: Vec<PathBuf> = std::env::split_paths(&places).collect();
        let mut all: Vec<Found> = places.iter().flat_map(|p| discover::list_dir(p)).collect();
        all.sort_by(|a, b| {
            b.modified
                .cmp(&a.modified)
                .then_with(|| a.path.cmp(&b.path))
        });
        return nameable(all);
    }
    nameable(discover::list(&Home::from_env(), &[]))
}

impl Shelf {
    fn handle(&self, request: Request) -> Result<Response, ApiError> {
        match request {
            Request::Recordings { skip, limit } => {
                let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
                // The first page looks anew; later ones must fit to it.
                if skip == 0 && !self.fixed {
                    *list = find_all();
                }
                Ok(Response::Recordings {
                    total: list.len(),
                    items: list.iter().skip(skip).take(limit).map(info).collect(),
                })
            }
            Request::Recording { path } => {
                let known = {
                    let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
                    list.iter()
                        .find(|f| f.path.to_string_lossy() == path)
                        .cloned()
                };
                let found = known.ok_or_else(|| {
                    ApiError::new(ErrorCode::NotFound, format!("{path} is not in the list"))
                })?;
                let mut info = info(&found);
                info.summary = Some(summary(&found.path, found.format)?);
                Ok(Response::Recording(Box::new(info)))
            }
            Request::Subscribe => Ok(Response::Done(String::new())),
            _ => Err(ApiError::new(
                ErrorCode::Unsupported,
                "open a recording first",
            )),
        }
    }
}

fn info(found: &Found) -> RecordingInfo {
    RecordingInfo {
        path: found.path.to_string_lossy().into_owned(),
        format: found.format.name().to_owned(),
        modified: found.modified,
        size: found.size,
        summary: None,
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    files: Vec<FileMark>,
    summary: RecordingSummary,
}

/// What is in a recording: from the cache, or by reading it.
fn summary(path: &Path, format: &'static dyn Format) -> Result<RecordingSummary, ApiError> {
    let recording = Recording::open(path, format).map_err(failed)?;
    let files = recording.with(|index| index.files.clone());
    let kept_at = cache_dir().and_then(|cache| {
        private_dir(&cache).ok()?;
        let dir = place_of(path, &cache)?;
        Some(dir.join("summary.json"))
    });
    let kept: Option<Kept> = kept_at
        .as_ref()
        .and_then(|at| serde_json::from_slice(&std::fs::read(at).ok()?).ok());
    if let Some(kept) = kept
        && kept.version == crate::trace::index::VERSION
        && kept.files == files
    {
        return Ok(kept.summary);
    }
    recording.read_all(true, &|_| {}).map_err(failed)?;
    let summary = recording.with(summary_of);
    if let Some(at) = kept_at
        && recording.is_whole()
    {
        let kept = Kept {
            version: crate::trace::index::VERSION,
            files,
            summary: summary.clone(),
        };
        // Not being able to keep it costs time only.
        if let Ok(text) = serde_json::to_vec(&kept) {
            let _ = std::fs::write(at, text);
        }
    }
    Ok(summary)
}

/// A shelf that is asked on other threads.
impl Source for Arc<Shelf> {
    fn ask(&self, request: Request) -> Answer<'_> {
        let shelf = Self::clone(self);
        Box::pin(async move {
            tokio::task::spawn_blocking(move || shelf.handle(request))
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
