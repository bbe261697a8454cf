//! Contents and listings of past states, read through a source.

use super::super::api::{BlobPart, EntryInfo, Request, Response};
use super::super::source::Source;
use super::{Error, rev};
use crate::model::{BlobId, CommitId, RepoPath};

/// How much of a content is asked for at a time.
pub(super) const PART: u64 = 4 << 20;

/// The revisions of a change's two sides, where they are known: links are then read byte for byte.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sides {
    /// Of what was before.
    pub before: Option<CommitId>,
    /// Of what is after.
    pub after: Option<CommitId>,
}

/// git's mode of an entry; `None` for what git does not keep.
pub(super) fn git_mode(entry: &EntryInfo) -> Option<&'static str> {
    match entry.kind.as_str() {
        "file" if entry.mode & 0o100 != 0 => Some("100755"),
        "file" => Some("100644"),
        "link" => Some("120000"),
        _ => None,
    }
}

pub(super) async fn part(
    source: &dyn Source,
    id: BlobId,
    offset: u64,
    len: u64,
) -> Result<BlobPart, Error> {
    match source.ask(Request::Blob { id, offset, len }).await? {
        Response::Blob(part) => Ok(part),
        other => Err(Error::unexpected(&other)),
    }
}

/// Reads a content part by part; it must be as long as `size` says.
pub(super) async fn parts(
    source: &dyn Source,
    id: BlobId,
    size: u64,
    mut take: impl AsyncFnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut offset = 0;
    while offset < size {
        let part = part(source, id, offset, PART.min(size - offset)).await?;
        let wanted = usize::try_from(size - offset).unwrap_or(usize::MAX);
        if part.bytes.is_empty() || part.bytes.len() > wanted {
            return Err(Error::Short(id.short()));
        }
        take(&part.bytes).await?;
        offset += part.bytes.len() as u64;
    }
    Ok(())
}

/// The whole content of a file, or a link's target as bytes; `at` is the revision that the entry is of. `None` when it is
/// longer than `most`.
pub async fn content(
    source: &dyn Source,
    entry: Option<&EntryInfo>,
    at: Option<CommitId>,
    most: u64,
) -> Result<Option<Vec<u8>>, Error> {
    let Some(entry) = entry else {
        return Ok(Some(Vec::new()));
    };
    if let Some(target) = &entry.target {
        return self::target(source, entry, target, at).await.map(Some);
    }
    let Some(blob) = entry.blob else {
        return Ok(Some(Vec::new()));
    };
    if entry.size > most {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    parts(source, blob, entry.size, async |part| {
        bytes.extend_from_slice(part);
        Ok(())
    })
    .await?;
    Ok(Some(bytes))
}

/// A link's target as bytes: what is shown of it is the same unless something in it had to be escaped.
async fn target(
    source: &dyn Source,
    entry: &EntryInfo,
    shown: &str,
    at: Option<CommitId>,
) -> Result<Vec<u8>, Error> {
    let as_shown = shown.as_bytes().to_vec();
    let (Some(at), true) = (at, shown.contains('\\')) else {
        return Ok(as_shown);
    };
    let request = Request::Target {
        rev: rev(at),
        path: entry.path.clone(),
    };
    match source.ask(request).await? {
        Response::Target(Some(part)) => Ok(part.bytes),
        Response::Target(None) => Ok(as_shown),
        other => Err(Error::unexpected(&other)),
    }
}

/// All that is not a directory in the state `at`, in any order.
pub(super) async fn listing(source: &dyn Source, at: CommitId) -> Result<Vec<EntryInfo>, Error> {
    let mut out = Vec::new();
    let mut open = vec![RepoPath::root()];
    while let Some(path) = open.pop() {
        let rev = rev(at);
        match source.ask(Request::List { rev, path }).await? {
            Response::Listing(entries) => {
                for entry in entries {
                    if entry.kind == "dir" {
                        open.push(entry.path);
                    } else {
                        out.push(entry);
                    }
                }
            }
            other => return Err(Error::unexpected(&other)),
        }
    }
    Ok(out)
}
