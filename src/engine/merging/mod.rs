//! Merges of branches.

use super::api::{ApiError, ErrorCode, Request, Response};
use super::core::{Core, Failure};

impl Core {
    /// Answers the requests of merges.
    pub(super) fn merging(&self, request: Request) -> Result<Response, Failure> {
        match request {
            Request::Merging => Ok(Response::Merging(None)),
            Request::Conflicts { .. } => Ok(Response::Conflicts(Vec::new())),
            _ => Err(ApiError::new(ErrorCode::Unsupported, "this engine cannot merge yet").into()),
        }
    }
}
