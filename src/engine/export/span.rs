//! What is to be exported: the revision, the one it is held against, and the commits between them.

use super::super::api::{ChangeOp, CommitInfo, FileChange, Request, Response};
use super::super::source::Source;
use super::read::listing;
use super::{Error, rev};
use crate::model::{Cause, CommitId};

/// Commits in one answer.
const PAGE: usize = 5_000;

/// A line of commits.
#[derive(Debug, Clone)]
pub struct Span {
    /// Where it begins; `None` for an empty project.
    pub base: Option<CommitInfo>,
    /// Where it ends.
    pub tip: CommitInfo,
    /// The commits after the base, the tip last: along first parents.
    pub line: Vec<CommitInfo>,
}

impl Span {
    /// The base in a word.
    #[must_use]
    pub fn base_word(&self) -> String {
        self.base
            .as_ref()
            .map_or_else(|| "nothing".to_owned(), |b| b.id.short())
    }
}

/// What `rev` (the workspace as it is now when absent) is, and what it is held against: `from`, or where it parted from the
/// workspace's branch, or that branch's first state when it is part of it.
pub async fn span(
    source: &dyn Source,
    revision: Option<&str>,
    from: Option<&str>,
) -> Result<Span, Error> {
    let tip = match revision {
        Some(r) => resolve(source, r).await?,
        None => {
            let request = Request::Diff {
                a: "@".to_owned(),
                b: None,
                paths: Vec::new(),
            };
            match source.ask(request).await? {
                Response::Changes(changes) => changes.b.commit,
                other => return Err(Error::unexpected(&other)),
            }
        }
    };
    let base = match from {
        Some(from) => Some(resolve(source, from).await?),
        None => parted(source, tip).await?,
    };
    let mut all = chain(source, tip).await?;
    let Some(last) = all.first().cloned() else {
        return Err(Error::Refused(format!(
            "the commit {} is not in the log; try backtrail verify",
            tip.short()
        )));
    };
    // A first state is where a project begins; else it began with nothing.
    let base = base.or_else(|| {
        let first = all.last()?;
        (first.cause == Cause::Initial).then_some(first.id)
    });
    let base = match base {
        Some(id) => Some(info(source, id).await?),
        None => None,
    };
    if let Some(base) = &base {
        // Where the base is not on the line (it was merged in), the line is what came later.
        all.retain(|c| c.seq > base.seq);
    }
    all.reverse();
    // The tip's files are what the line must end with, wherever it lies.
    if all.is_empty() && base.as_ref().is_some_and(|b| b.tree != last.tree) {
        all.push(last.clone());
    }
    Ok(Span {
        base,
        tip: last,
        line: all,
    })
}

async fn resolve(source: &dyn Source, revision: &str) -> Result<CommitId, Error> {
    let rev = revision.to_owned();
    match source.ask(Request::Resolve { rev }).await? {
        Response::Resolved(r) => Ok(r.commit),
        other => Err(Error::unexpected(&other)),
    }
}

async fn info(source: &dyn Source, id: CommitId) -> Result<CommitInfo, Error> {
    match source.ask(Request::Show { rev: rev(id) }).await? {
        Response::Commit(detail) => Ok(detail.commit),
        other => Err(Error::unexpected(&other)),
    }
}

/// Where `tip` parted from the workspace's branch; `None` when it is part of that, or of nothing that it has.
async fn parted(source: &dyn Source, tip: CommitId) -> Result<Option<CommitId>, Error> {
    let request = Request::Compare {
        a: rev(tip),
        b: "@".to_owned(),
    };
    match source.ask(request).await? {
        Response::Comparison(c) if c.a.ahead == 0 => Ok(None),
        Response::Comparison(c) => Ok(c.bases.first().map(|b| b.commit)),
        other => Err(Error::unexpected(&other)),
    }
}

/// The commits from `tip` along first parents to the very first, newest first. A parent is stored before its children, so
/// one walk down the log finds them.
async fn chain(source: &dyn Source, tip: CommitId) -> Result<Vec<CommitInfo>, Error> {
    let mut wanted = Some(tip);
    let mut before = None;
    let mut out = Vec::new();
    while wanted.is_some() {
        let limit = PAGE;
        let page = match source.ask(Request::Log { before, limit }).await? {
            Response::Log(page) => page,
            other => return Err(Error::unexpected(&other)),
        };
        let Some(last) = page.last() else { break };
        before = Some(last.seq);
        for commit in page {
            if Some(commit.id) == wanted {
                wanted = commit.parents.first().copied();
                out.push(commit);
            }
        }
    }
    Ok(out)
}

/// What differs between two states; `None` is the empty one.
pub async fn changes(
    source: &dyn Source,
    a: Option<CommitId>,
    b: CommitId,
) -> Result<Vec<FileChange>, Error> {
    let Some(a) = a else {
        let all = listing(source, b).await?;
        return Ok(all
            .into_iter()
            .map(|entry| FileChange {
                path: entry.path.clone(),
                op: ChangeOp::Create,
                from: None,
                before: None,
                after: Some(entry),
                lines: None,
            })
            .collect());
    };
    let request = Request::Diff {
        a: rev(a),
        b: Some(rev(b)),
        paths: Vec::new(),
    };
    match source.ask(request).await? {
        Response::Changes(changes) => Ok(changes.changes),
        other => Err(Error::unexpected(&other)),
    }
}
