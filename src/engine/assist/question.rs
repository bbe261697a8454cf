//! What a model is given about steps and states that a person asks about: their texts, what they changed, and the rows
//! around them. Everything is bounded; what is cut is told.

use std::collections::BTreeSet;

use super::evidence::unexpected;
use super::prompt::{Piece, Raw};
use super::{About, Error};
use crate::diff::text;
use crate::engine::api::{ApiError, ErrorCode, FileChange, Request, Response, Row, StepDetail};
use crate::engine::source::Source;
use crate::model::{BlobId, Ordinal, neutral};

/// Longest text of a step, in characters.
const BODY: usize = 8_000;

/// Longest file that is compared, in bytes.
const FILE: u64 = 512 << 10;

/// Longest difference of one file, and of all, in characters.
const DIFF: usize = 6_000;
const DIFFS: usize = 24_000;

/// Longest text of all, in bytes; sections beyond it are left out.
pub(super) const ALL: usize = 120 << 10;

/// Longest text that is looked through for secrets although only its beginning is given, in bytes.
const WHOLE: u64 = 2 << 20;

/// Files that are looked through for secrets, in bytes together; of those beyond nothing is given.
const READ: usize = 16 << 20;

/// Rows listed before and after the first step that is asked about.
const BEFORE: u64 = 25;
const ROWS: usize = 40;

/// What was gathered.
pub(super) struct Gathered {
    pub(super) sections: Vec<Raw>,
    /// What they are from, which is not given: whole texts and files, for the secrets in them.
    pub(super) around: Vec<String>,
    pub(super) steps: BTreeSet<Ordinal>,
    pub(super) left_out: Vec<String>,
}

/// Gathers what belongs to `about`.
pub(super) async fn gather(source: &dyn Source, about: &[About]) -> Result<Gathered, Error> {
    let mut found = Gathered {
        sections: Vec::new(),
        around: Vec::new(),
        steps: BTreeSet::new(),
        left_out: Vec::new(),
    };
    let mut first = None;
    for one in about {
        match one {
            About::Text { title, text } => found.add(
                "selected by the person".to_owned(),
                vec![
                    Piece::cut(title, 300),
                    Piece::whole("\n"),
                    Piece::cut(text, BODY * 2),
                ],
            ),
            About::Around(text) => found.around.push(text.clone()),
            About::Step(ordinal) => {
                first.get_or_insert(*ordinal);
                found.step(source, *ordinal).await?;
            }
            About::Rev(rev) => {
                let rev = rev.clone();
                let named = match source.ask(Request::Resolve { rev: rev.clone() }).await? {
                    Response::Resolved(named) => named,
                    other => return Err(unexpected(&other)),
                };
                match named.step {
                    Some(ordinal) => {
                        first.get_or_insert(ordinal);
                        found.step(source, ordinal).await?;
                    }
                    None => found.commit(source, &rev).await?,
                }
            }
        }
    }
    found.rows(source, first).await?;
    Ok(found)
}

impl Gathered {
    fn add(&mut self, name: String, pieces: Vec<Piece>) {
        self.sections.push(Raw { name, pieces });
    }

    async fn step(&mut self, source: &dyn Source, ordinal: Ordinal) -> Result<(), Error> {
        let row = row(source, ordinal).await?;
        let detail = match source.ask(Request::Step { id: row.step }).await? {
            Response::Step(detail) => detail,
            other => return Err(unexpected(&other)),
        };
        self.steps.insert(ordinal);
        for part in [&detail.body, &detail.output].into_iter().flatten() {
            if part.len > part.text.len() as u64
                && let Some(whole) = content(source, Some(part.blob), WHOLE).await?
            {
                self.around
                    .push(String::from_utf8_lossy(&whole).into_owned());
            }
        }
        let pieces = self.words(&detail);
        self.add(format!("step {ordinal}"), pieces);
        self.changes(source, &format!("step {ordinal}"), &detail.changes)
            .await
    }

    /// A step's words.
    fn words(&mut self, detail: &StepDetail) -> Vec<Piece> {
        let row = &detail.row;
        let mut out = self.line(row);
        if let Some(code) = row.exit_code {
            out.push(Piece::whole(format!("exit code {code}\n")));
        }
        let mut said = |label: String, text: &str, most| {
            out.push(Piece::whole(label));
            out.push(Piece::cut(text, most));
            out.push(Piece::whole("\n"));
        };
        for (what, text) in [
            ("prompt of its turn", &detail.prompt),
            ("thought before it", &detail.thought),
        ] {
            if let Some((step, text)) = text
                && *step != row.ordinal
            {
                self.steps.insert(*step);
                said(format!("{what}, step {step}:\n"), text, BODY / 2);
            }
        }
        for (what, text) in [("text", &detail.body), ("output", &detail.output)] {
            if let Some(text) = text {
                said(format!("{what}:\n"), &text.text, BODY);
            }
        }
        out
    }

    async fn commit(&mut self, source: &dyn Source, rev: &str) -> Result<(), Error> {
        let request = Request::Show {
            rev: rev.to_owned(),
        };
        let detail = match source.ask(request).await? {
            Response::Commit(detail) => detail,
            other => return Err(unexpected(&other)),
        };
        let commit = &detail.commit;
        let head = format!(
            "commit {} ({}) on {}: ",
            commit.id.short(),
            commit.cause.word(),
            commit.branch,
        );
        let pieces = vec![
            Piece::whole(head),
            Piece::cut(&commit.message, 500),
            Piece::whole("\n"),
        ];
        let name = format!("commit {}", commit.id.short());
        self.add(name.clone(), pieces);
        self.changes(source, &name, &detail.changes).await
    }

    /// What was changed, as differences.
    async fn changes(
        &mut self,
        source: &dyn Source,
        of: &str,
        changes: &[FileChange],
    ) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut out = Vec::new();
        let mut given = 0;
        for change in changes {
            let op = format!("{:?}", change.op).to_lowercase();
            let read: usize = self.around.iter().map(String::len).sum();
            if given > DIFFS || read > READ {
                self.left_out
                    .push(format!("differences of {of} in {}", change.path));
                continue;
            }
            out.push(Piece::whole(format!("{op} {}\n", change.path)));
            let (before, after) = (
                content(source, change.before.as_ref().and_then(|e| e.blob), FILE).await?,
                content(source, change.after.as_ref().and_then(|e| e.blob), FILE).await?,
            );
            if let (Some(before), Some(after)) = (before, after) {
                let diff = text::unified(&before, &after, "before", "after", 3);
                // The difference shows a few lines of what may be one secret.
                for file in [&before, &after] {
                    self.around.push(String::from_utf8_lossy(file).into_owned());
                }
                given += diff.len().min(DIFF);
                out.push(Piece::cut(String::from_utf8_lossy(&diff), DIFF));
                out.push(Piece::whole("\n"));
            }
        }
        self.add(format!("what {of} changed"), out);
        Ok(())
    }

    /// A step in a line.
    fn line(&mut self, row: &Row) -> Vec<Piece> {
        let kind = match row.tool.as_str() {
            "" => format!("{:?}", row.kind).to_lowercase(),
            tool => neutral(tool.as_bytes()),
        };
        let failed = match row.status {
            crate::model::Status::Error => " (failed)",
            crate::model::Status::Aborted => " (aborted)",
            _ => "",
        };
        let changed = row
            .effect
            .map(|e| format!(" [{} changed, +{} -{}]", e.files, e.added, e.removed))
            .unwrap_or_default();
        let title = row.title.lines().next().unwrap_or_default();
        if title.len() < row.title.len() {
            self.around.push(row.title.clone());
        }
        vec![
            Piece::whole(format!(
                "step {} turn {} {kind}{failed}: ",
                row.ordinal, row.turn
            )),
            Piece::cut(title, 240),
            Piece::whole(format!("{changed}\n")),
        ]
    }

    /// The rows around.
    async fn rows(&mut self, source: &dyn Source, first: Option<Ordinal>) -> Result<(), Error> {
        let last = match first {
            Some(ordinal) => Some(ordinal),
            None => match source.ask(Request::Status).await {
                Ok(Response::Status(status)) => status.last.map(|o| Ordinal {
                    major: (o.major + BEFORE).saturating_sub(ROWS as u64),
                    minor: 0,
                }),
                _ => None,
            },
        };
        let after = last.map(|o| Ordinal {
            major: o.major.saturating_sub(BEFORE),
            minor: 0,
        });
        let request = Request::Rows {
            after: after.filter(|o| o.major > 0),
            limit: ROWS,
        };
        let rows = match source.ask(request).await? {
            Response::Rows(rows) => rows.rows,
            other => return Err(unexpected(&other)),
        };
        let mut out = Vec::new();
        for row in &rows {
            self.steps.insert(row.ordinal);
            out.extend(self.line(row));
        }
        if !out.is_empty() {
            self.add("the steps around, one a line".to_owned(), out);
        }
        Ok(())
    }
}

/// The row of a step, by its number.
async fn row(source: &dyn Source, ordinal: Ordinal) -> Result<Row, Error> {
    let before = match ordinal.minor.checked_sub(1) {
        Some(minor) => Ordinal { minor, ..ordinal },
        None => Ordinal {
            major: ordinal.major.saturating_sub(1),
            minor: u32::MAX,
        },
    };
    let request = Request::Rows {
        after: (ordinal.major > 0).then_some(before),
        limit: 1,
    };
    let rows = match source.ask(request).await? {
        Response::Rows(rows) => rows.rows,
        other => return Err(unexpected(&other)),
    };
    rows.into_iter()
        .find(|r| r.ordinal == ordinal)
        .ok_or_else(|| {
            Error::Source(ApiError::new(
                ErrorCode::NotFound,
                format!("there is no step {ordinal}; `backtrail steps` lists them"),
            ))
        })
}

/// A file's content; `None` where it is too long or not there to be had. No file is an empty one.
async fn content(
    source: &dyn Source,
    blob: Option<BlobId>,
    most: u64,
) -> Result<Option<Vec<u8>>, Error> {
    let Some(id) = blob else {
        return Ok(Some(Vec::new()));
    };
    let request = Request::Blob {
        id,
        offset: 0,
        len: most,
    };
    match source.ask(request).await {
        Ok(Response::Blob(part)) if part.len as usize == part.bytes.len() => Ok(Some(part.bytes)),
        Ok(Response::Blob(_)) | Err(_) => Ok(None),
        Ok(other) => Err(unexpected(&other)),
    }
}
