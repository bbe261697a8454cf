//! A file of a past state, byte for byte.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::out::Out;
use super::{Context, Ended, Fail};
use crate::engine::api::{BlobPart, EntryInfo, ErrorCode, Request, Response};
use crate::model::{BlobId, RepoPath, neutral};

/// How much is asked for at a time.
const PART: u64 = 4 << 20;

/// `cat`
pub async fn cat(cx: &Context, what: &OsStr, out: &mut Out) -> Ended {
    let (rev, path) = split(cx, what.as_bytes()).await?;
    let entry = match cx
        .ask(Request::Entry {
            rev: rev.clone(),
            path: path.clone(),
        })
        .await?
    {
        Response::Entry(entry) => entry,
        other => return Err(Fail::unexpected(&other)),
    };
    let Some(entry) = entry else {
        return Err(Fail::Message(format!(
            "no {path} in {}",
            neutral(rev.as_bytes())
        )));
    };
    match (&entry.blob, &entry.target) {
        (Some(blob), _) => {
            copy(cx, *blob, |part| out.raw(part)).await?;
        }
        // A link's content is its target, as it is for git.
        (None, Some(target)) => out.raw(target.as_bytes())?,
        (None, None) if entry.kind == "unknown" => {
            return Err(Fail::Message(format!(
                "{path} is there in {}, but the recording does not tell its content",
                neutral(rev.as_bytes())
            )));
        }
        (None, None) => {
            return Err(Fail::Message(format!(
                "{path} is a {} in {}, it has no content",
                directory(&entry),
                neutral(rev.as_bytes())
            )));
        }
    }
    Ok(0)
}

fn directory(entry: &EntryInfo) -> &str {
    if entry.kind == "dir" {
        "directory"
    } else {
        &entry.kind
    }
}

/// Reads a blob part by part.
pub async fn copy(
    cx: &Context,
    id: BlobId,
    mut take: impl FnMut(&[u8]) -> Result<(), Fail>,
) -> Result<(), Fail> {
    let mut offset = 0;
    loop {
        let part = part(cx, id, offset, PART).await?;
        take(&part.bytes)?;
        offset += part.bytes.len() as u64;
        if offset >= part.len {
            return Ok(());
        }
        if part.bytes.is_empty() {
            return Err(Fail::Message(format!(
                "content {} ends at byte {offset} of {}; try backtrail verify",
                id.short(),
                part.len
            )));
        }
    }
}

/// One part of a blob.
pub async fn part(cx: &Context, id: BlobId, offset: u64, len: u64) -> Result<BlobPart, Fail> {
    match cx.ask(Request::Blob { id, offset, len }).await? {
        Response::Blob(part) => Ok(part),
        other => Err(Fail::unexpected(&other)),
    }
}

/// `REV:PATH`. Both may hold colons (`12:30:src/a`): the shortest revision that exists is taken.
async fn split(cx: &Context, what: &[u8]) -> Result<(String, RepoPath), Fail> {
    let mut first = None;
    for at in (0..what.len()).filter(|i| what[*i] == b':') {
        let (rev, path) = (&what[..at], &what[at + 1..]);
        let (Ok(rev), Ok(path)) = (std::str::from_utf8(rev), inside(&cx.project.root, path)) else {
            continue;
        };
        // Not a name, but the beginning of `call:ID` and `step:N`.
        if matches!(rev, "call" | "step") {
            continue;
        }
        let found = (rev.to_owned(), path);
        if !what[at + 1..].contains(&b':') && first.is_none() {
            return Ok(found); // The only way to read it.
        }
        match cx
            .ask(Request::Resolve {
                rev: found.0.clone(),
            })
            .await
        {
            Ok(_) => return Ok(found),
            Err(Fail::Api(e)) if e.code == ErrorCode::NotFound => {}
            Err(e) => return Err(e),
        }
        first.get_or_insert(found);
    }
    first.ok_or_else(|| {
        Fail::Usage(format!(
            "REV:PATH is wanted, as in @~3:src/main.rs, not {:?}",
            neutral(what)
        ))
    })
}

/// A path in the project as typed after a revision: `./` and doubled slashes are forgiven. One from the root of the
/// file system, as transcripts hold them, must lead into the project.
fn inside(root: &Path, path: &[u8]) -> Result<RepoPath, Fail> {
    let mut path = path;
    if path.starts_with(b"/") {
        let below = Path::new(OsStr::from_bytes(path)).strip_prefix(root);
        path = match &below {
            Ok(below) => below.as_os_str().as_bytes(),
            Err(_) => {
                return Err(Fail::Usage(format!(
                    "{} lies outside {}",
                    neutral(path),
                    neutral(root.as_os_str().as_bytes())
                )));
            }
        };
    }
    let parts: Vec<&[u8]> = path
        .split(|b| *b == b'/')
        .filter(|p| !p.is_empty() && *p != b".")
        .collect();
    RepoPath::new(parts.join(&b'/')).map_err(|e| Fail::Usage(e.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::out::testing::Captured;
    use super::super::testing::{Scripted, file, resolved, wait};
    use super::*;

    /// A source with one file, `a:b`, at the revision `12:30`.
    fn run(what: &str) -> Result<Vec<u8>, Fail> {
        let mut source = Scripted {
            part: Some(1000),
            ..Scripted::default()
        };
        let content: Vec<u8> = (0..=255).cycle().take(5000).collect();
        let entry = file(&mut source, b"a:b", 0o644, &content);
        source.script = Some(Box::new(move |request| match request {
            Request::Resolve { rev } if rev == "12:30" => Some(Response::Resolved(resolved(1))),
            Request::Entry { rev, path } if rev == "12:30" => Some(Response::Entry(
                (*path == entry.path).then(|| entry.clone()),
            )),
            _ => None,
        }));
        let (cx, _) = source.context();
        let seen = Captured::default();
        let mut out = seen.out();
        wait(cat(&cx, OsStr::new(what), &mut out))?;
        assert!(seen.bytes() == content || seen.bytes().is_empty());
        Ok(seen.bytes())
    }

    #[test]
    fn colons_in_revisions_and_paths() {
        assert_eq!(run("12:30:a:b").unwrap().len(), 5000);
        assert_eq!(run("12:30:./a:b").unwrap().len(), 5000);
        // As a transcript names it.
        assert_eq!(run("12:30:/p/a:b").unwrap().len(), 5000);
        let root = Path::new("/w/p");
        assert_eq!(inside(root, b"/w/p/./a//b").unwrap().as_bytes(), b"a/b");
        for out in ["/w/pp/a", "/w/a", "/w/p/../a"] {
            assert!(inside(root, out.as_bytes()).is_err(), "{out}");
        }
        for (what, said) in [
            ("12:30:b", "no b in 12:30"),
            ("nothing", "REV:PATH is wanted"),
            ("@:/etc/passwd", "REV:PATH is wanted"),
            ("@:../x", "REV:PATH is wanted"),
        ] {
            let error = run(what).unwrap_err().to_string();
            assert!(error.contains(said), "{what}: {error}");
        }
    }
}
