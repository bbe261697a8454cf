//! The terminal in a recording that is one: an asciicast.

use super::super::api::{ApiError, ErrorCode, TerminalAnswer, TerminalInfo, TerminalQuery};
use super::super::terminal::{none, part, unread};
use super::Recorded;
use crate::model::SessionId;

/// The format whose files are recordings of a terminal.
const CAST: &str = "asciicast";

pub(super) fn answer(of: &Recorded, query: &TerminalQuery) -> Result<TerminalAnswer, ApiError> {
    let recording = of.recording();
    let is = recording.format().name() == CAST;
    match query {
        TerminalQuery::Of { .. } if !is => Ok(TerminalAnswer::Info(None)),
        TerminalQuery::Of { .. } => {
            let path = recording.path();
            let recorded = path.metadata().map_or(0, |m| m.len());
            let session = of.sessions().into_iter().next();
            Ok(TerminalAnswer::Info(Some(Box::new(TerminalInfo {
                session: session.as_ref().map_or(SessionId::of(CAST), |s| s.id),
                pid: None,
                socket: None,
                start: session.map(|s| s.start),
                recorded,
            }))))
        }
        TerminalQuery::Read { .. } if !is => Err(none()),
        TerminalQuery::Read { offset, len, .. } => {
            let path = recording.path();
            let bytes = part(path, *offset, *len).map_err(|e| unread(path, &e))?;
            Ok(TerminalAnswer::Part(bytes.into()))
        }
        TerminalQuery::Stop { .. } => Err(ApiError::new(
            ErrorCode::Refused,
            "this is a recording: nothing runs in it",
        )),
    }
}
