//! Loads all rows, page by page, the newest first: the list is there after the first page, whatever comes before it.
//!
//! Pages come packed and stay so ([`super::rows`]); while one is unpacked, the next is already asked for. A source that
//! cannot pack them is asked for plain ones.

use tokio::sync::mpsc::UnboundedSender;

use crate::engine::api::{ApiError, ErrorCode, PackedRows, Request, Response, Row, pack, unpack};
use crate::engine::source::Source;
use crate::model::Ordinal;

use super::msg::{Listed, Msg, RowsPage};
use super::rows::ZERO;
use super::runner::job;

/// Rows in the first page: enough for any screen, and there at once.
pub(crate) const FIRST: usize = 250;

/// Rows in the others.
pub(crate) const PAGE: usize = 2000;

/// After every step.
const LAST: Ordinal = Ordinal {
    major: u64::MAX,
    minor: u32::MAX,
};

/// The number before another one.
fn before(ordinal: Ordinal) -> Ordinal {
    match ordinal.minor.checked_sub(1) {
        Some(minor) => Ordinal { minor, ..ordinal },
        None => Ordinal {
            major: ordinal.major.saturating_sub(1),
            minor: u32::MAX,
        },
    }
}

/// The number after another one.
fn after(ordinal: Ordinal) -> Ordinal {
    match ordinal.minor.checked_add(1) {
        Some(minor) => Ordinal { minor, ..ordinal },
        None => Ordinal {
            major: ordinal.major.saturating_add(1),
            minor: 0,
        },
    }
}

/// Loads all rows of a source and sends them.
pub(crate) async fn all(source: &dyn Source, stamp: u64, send: &UnboundedSender<Msg>) {
    let tell = |page: RowsPage| {
        let _ = send.send(Msg::Rows(stamp, Listed::Page(Box::new(page))));
    };
    let end = match packed(source, &tell).await {
        Err(e) if e.code == ErrorCode::Unsupported => plain(source, &tell).await,
        other => other,
    };
    let _ = send.send(Msg::Rows(stamp, Listed::End(end)));
}

async fn ask(
    source: &dyn Source,
    before: Option<Ordinal>,
    limit: usize,
) -> Result<PackedRows, ApiError> {
    match source.ask(Request::PackedRows { before, limit }).await? {
        Response::PackedRows(page) => Ok(page),
        _ => Err(other()),
    }
}

fn other() -> ApiError {
    let message = "an answer of another kind came; is the engine of another version?";
    ApiError::new(ErrorCode::Failed, message)
}

async fn packed(source: &dyn Source, tell: &impl Fn(RowsPage)) -> Result<(), ApiError> {
    let mut end = LAST;
    let mut next = Some(ask(source, None, FIRST).await?);
    while let Some(page) = next.take() {
        let bytes = page.rows.0.into_boxed_slice();
        let unpacking = job(move |_| {
            let rows = unpack(&bytes);
            (bytes, rows)
        });
        let asking = async {
            match page.from {
                Some(from) => ask(source, Some(from), PAGE).await.map(Some),
                None => Ok(None),
            }
        };
        let (unpacked, asked) = tokio::join!(unpacking, asking);
        let failed = |message: String| ApiError::new(ErrorCode::Failed, message);
        let (packed, rows) = unpacked.ok_or_else(|| failed("they cannot be read".to_owned()))?;
        let rows = rows.map_err(|e| failed(e.to_string()))?;
        tell(RowsPage {
            rows,
            packed,
            range: page.from.unwrap_or(ZERO)..=end,
        });
        end = page.from.map_or(ZERO, before);
        next = asked?;
    }
    Ok(())
}

async fn plain(source: &dyn Source, tell: &impl Fn(RowsPage)) -> Result<(), ApiError> {
    let mut done: Option<Ordinal> = None;
    loop {
        let request = Request::Rows {
            after: done,
            limit: PAGE,
        };
        let rows: Vec<Row> = match source.ask(request).await? {
            Response::Rows(page) => page.rows,
            _ => return Err(other()),
        };
        let last = rows.last().map(|r| r.ordinal);
        let more = last.filter(|_| rows.len() >= PAGE);
        tell(RowsPage {
            packed: pack(&rows).into(),
            rows,
            range: done.map_or(ZERO, after)..=more.unwrap_or(LAST),
        });
        match more {
            Some(last) if done.is_none_or(|d| last > d) => done = Some(last),
            _ => return Ok(()),
        }
    }
}
