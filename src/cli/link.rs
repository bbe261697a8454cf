//! The way to an engine: the only place where the command line names what is behind a [`Source`].
//!
//! [`Source`]: crate::engine::source::Source

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::api::{ApiError, ErrorCode};
use crate::engine::source::Source;

pub struct Project {
    pub root: PathBuf,
    pub store_dir: PathBuf,
    pub runtime_dir: PathBuf,
}
impl Project {
    pub fn locate(start: &Path) -> Result<Self, ApiError> {
        Self::at(start)
    }
    pub fn at(root: &Path) -> Result<Self, ApiError> {
        Ok(Self {
            root: root.into(),
            store_dir: root.into(),
            runtime_dir: root.into(),
        })
    }
    pub fn exists(&self) -> bool {
        false
    }
}
pub enum Want {
    Engine,
    Any,
    Running,
}
pub async fn open(_: &Project, _: Want) -> Result<Arc<dyn Source>, ApiError> {
    Err(ApiError::new(ErrorCode::Gone, "no engine"))
}
pub fn serve(_: Project) -> Result<(), ApiError> {
    Err(ApiError::new(ErrorCode::Gone, "no engine"))
}
