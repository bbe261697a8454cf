//! How an intent stands in the journal's file. The form is described on the first page of the journal.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Error, Intent, MAGIC, Options, Record, Switch, VERSION};
use crate::diff::tree::PathChange;
use crate::model::{BlobId, CommitId, Entry, Kind, OpId, OpKind, RepoPath, Time, TreeId};

/// The file that holds `body`, whose hash is `id`.
pub(super) fn encode(body: &[u8], id: blake3::Hash) -> Vec<u8> {
    let head = format!("{MAGIC} {VERSION} {} {}\n", body.len(), id.to_hex());
    [head.as_bytes(), body, b"\n"].concat()
}

/// The body as it stands in the file. [`RepoPath`] checks itself when it is read.
#[derive(Serialize, Deserialize)]
struct Body {
    operation: OpKind,
    description: String,
    branch: String,
    time: Time,
    target: Option<OpId>,
    from: CommitId,
    to: CommitId,
    options: Options,
    relaxed: Vec<(RepoPath, u32)>,
    changes: Vec<Change>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    switch: Option<Switch>,
}

#[derive(Serialize, Deserialize)]
struct Change {
    path: RepoPath,
    before: Option<Thing>,
    after: Option<Thing>,
}

#[derive(Serialize, Deserialize)]
struct Thing {
    mode: u32,
    #[serde(flatten)]
    what: What,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum What {
    File { blob: BlobId, size: u64 },
    Dir { tree: TreeId },
    Link { target: Vec<u8> },
    Fifo,
    Socket,
    Device { block: bool, rdev: u64 },
    Unknown { version: u32 },
}

impl Thing {
    fn of(e: &Entry) -> Self {
        let what = match &e.kind {
            Kind::File { blob, size } => What::File {
                blob: *blob,
                size: *size,
            },
            Kind::Dir(tree) => What::Dir { tree: *tree },
            Kind::Symlink(target) => What::Link {
                target: target.clone(),
            },
            Kind::Fifo => What::Fifo,
            Kind::Socket => What::Socket,
            Kind::Device { block, rdev } => What::Device {
                block: *block,
                rdev: *rdev,
            },
            Kind::Unknown { version } => What::Unknown { version: *version },
        };
        Self { mode: e.mode, what }
    }

    fn entry(self, path: &RepoPath) -> Entry {
        let kind = match self.what {
            What::File { blob, size } => Kind::File { blob, size },
            What::Dir { tree } => Kind::Dir(tree),
            What::Link { target } => Kind::Symlink(target),
            What::Fifo => Kind::Fifo,
            What::Socket => Kind::Socket,
            What::Device { block, rdev } => Kind::Device { block, rdev },
            What::Unknown { version } => Kind::Unknown { version },
        };
        Entry {
            name: path.name().to_vec(),
            mode: self.mode,
            kind,
        }
    }
}

/// The body's bytes.
pub(super) fn body(intent: &Intent, relaxed: &[(RepoPath, u32)]) -> serde_json::Result<Vec<u8>> {
    let changes = intent.changes.iter().map(|c| Change {
        path: c.path.clone(),
        before: c.before.as_ref().map(Thing::of),
        after: c.after.as_ref().map(Thing::of),
    });
    serde_json::to_vec(&Body {
        operation: intent.operation,
        description: intent.description.clone(),
        branch: intent.branch.clone(),
        time: intent.time,
        target: intent.target,
        from: intent.from_commit,
        to: intent.to_commit,
        options: intent.options,
        relaxed: relaxed.to_vec(),
        changes: changes.collect(),
        switch: intent.switch.clone(),
    })
}

/// Reads a whole file; `path` is for the error.
pub(super) fn decode(bytes: &[u8], path: &Path) -> Result<Record, Error> {
    let damaged = |what: &str| Error::Damaged {
        path: path.to_owned(),
        what: what.to_owned(),
    };
    let end = bytes
        .iter()
        .take(200)
        .position(|b| *b == b'\n')
        .ok_or_else(|| damaged("no first line"))?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| damaged("no first line"))?;
    let mut words = head.split(' ');
    if words.next() != Some(MAGIC) {
        return Err(damaged("it does not begin as a journal"));
    }
    match words.next().and_then(|w| w.parse::<u64>().ok()) {
        Some(VERSION) => {}
        Some(found) if found > VERSION => {
            return Err(Error::Newer {
                path: path.to_owned(),
                found,
            });
        }
        _ => return Err(damaged("no version")),
    }
    let length = words
        .next()
        .and_then(|w| w.parse::<usize>().ok())
        .ok_or_else(|| damaged("no length"))?;
    let id = words
        .next()
        .and_then(|w| blake3::Hash::from_hex(w).ok())
        .ok_or_else(|| damaged("no hash"))?;
    let rest = &bytes[end + 1..];
    let body = rest
        .get(..length)
        .ok_or_else(|| damaged("it ends too early"))?;
    if blake3::hash(body) != id {
        return Err(damaged("its hash does not fit"));
    }
    let body: Body = serde_json::from_slice(body).map_err(|e| damaged(&e.to_string()))?;
    let changes: Vec<PathChange> = body
        .changes
        .into_iter()
        .map(|c| PathChange {
            before: c.before.map(|t| t.entry(&c.path)),
            after: c.after.map(|t| t.entry(&c.path)),
            path: c.path,
        })
        .collect();
    let tail = rest.get(length + 1..).unwrap_or_default();
    Ok(Record {
        in_place: in_place(tail, changes.len()),
        intent: Intent {
            operation: body.operation,
            description: body.description,
            branch: body.branch,
            time: body.time,
            target: body.target,
            from_commit: body.from,
            to_commit: body.to,
            options: body.options,
            changes,
            switch: body.switch,
        },
        relaxed: body.relaxed,
        id,
    })
}

/// The numbers of the in-place line; none if it is not there or not whole.
fn in_place(tail: &[u8], changes: usize) -> Vec<usize> {
    let line = tail.split_inclusive(|b| *b == b'\n').next();
    line.and_then(|l| l.strip_prefix(b"in-place "))
        .and_then(|l| l.strip_suffix(b"\n"))
        .and_then(|l| std::str::from_utf8(l).ok())
        .and_then(|l| {
            l.split(',')
                .map(|n| n.parse().ok().filter(|n| *n < changes))
                .collect()
        })
        .unwrap_or_default()
}
