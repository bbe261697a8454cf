//! Writing commits into a repository through `git fast-import`.
//!
//! Nothing of it can be seen in the repository before its owner names the last commit: the ref that the importer works on
//! is gone before it ends, and an import that fails leaves objects that nothing names.

use std::collections::HashMap;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::super::api::EntryInfo;
use super::super::source::Source;
use super::Error;
use super::git::Repository;
use super::patch::escaped;
use super::read::{content, parts};
use crate::model::{BlobId, CommitId, Time, neutral};
use crate::trace::base;

/// The ref that it works on; never written.
const REF: &str = "refs/backtrail/export";
/// What is kept of its complaints.
const SAID: u64 = 16 << 10;

/// Facts of a commit.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    /// `Name <email>`.
    pub(super) author: &'a str,
    /// `Name <email>`.
    pub(super) committer: &'a str,
    pub(super) time: Time,
    pub(super) message: &'a str,
}

/// A change of a path.
#[derive(Debug)]
pub(super) enum Change {
    /// It goes, if it is there.
    Gone(Vec<u8>),
    /// It is this now: git's mode, and the mark of the content.
    Now(Vec<u8>, &'static str, u64),
}

/// A running importer.
#[derive(Debug)]
pub(super) struct Import {
    child: Child,
    to: BufWriter<ChildStdin>,
    from: BufReader<ChildStdout>,
    said: JoinHandle<String>,
    report: Option<std::path::PathBuf>,
    marks: u64,
    contents: HashMap<(BlobId, bool), u64>,
    last: Option<u64>,
}

impl Import {
    pub(super) fn start(repo: &Repository) -> Result<Self, Error> {
        let mut git = repo.command();
        git.args(["fast-import", "--quiet", "--done", "--date-format=raw"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = Command::from(git)
            .kill_on_drop(true)
            .spawn()
            .map_err(base::Error::NoGit)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(to), Some(from), Some(errors)) = pipes else {
            return Err(Error::Git {
                what: "fast-import",
                said: "it has no pipes".to_owned(),
            });
        };
        let said = tokio::spawn(async move {
            let mut bytes = Vec::new();
            let mut errors = errors.take(SAID);
            // What could be read is what there is to say.
            let _ = errors.read_to_end(&mut bytes).await;
            neutral(bytes.trim_ascii())
        });
        Ok(Self {
            report: child
                .id()
                .map(|pid| repo.git_dir().join(format!("fast_import_crash_{pid}"))),
            child,
            to: BufWriter::with_capacity(256 << 10, to),
            from: BufReader::new(from),
            said,
            marks: 0,
            contents: HashMap::new(),
            last: None,
        })
    }

    async fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.to
            .write_all(bytes)
            .await
            .map_err(Error::io("git fast-import stopped reading"))
    }

    async fn data(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.put(format!("data {}\n", bytes.len()).as_bytes())
            .await?;
        self.put(bytes).await?;
        self.put(b"\n").await
    }

    fn mark(&mut self) -> u64 {
        self.marks += 1;
        self.marks
    }

    /// Gives a content to git once; `unix`: with line feeds where it has carriage returns before them.
    pub(super) async fn content(
        &mut self,
        source: &dyn Source,
        entry: &EntryInfo,
        at: CommitId,
        unix: bool,
    ) -> Result<u64, Error> {
        let key = entry.blob.map(|blob| (blob, unix));
        if let Some(mark) = key.and_then(|k| self.contents.get(&k)) {
            return Ok(*mark);
        }
        let mark = self.mark();
        self.put(format!("blob\nmark :{mark}\n").as_bytes()).await?;
        match (key, unix) {
            (Some((blob, _)), false) => {
                self.put(format!("data {}\n", entry.size).as_bytes())
                    .await?;
                let to = &mut self.to;
                parts(source, blob, entry.size, async |part| {
                    to.write_all(part)
                        .await
                        .map_err(Error::io("git fast-import stopped reading"))
                })
                .await?;
                self.put(b"\n").await?;
            }
            _ => {
                let bytes = content(source, Some(entry), Some(at), u64::MAX).await?;
                let bytes = bytes.unwrap_or_default();
                let bytes = if unix { line_feeds(&bytes) } else { bytes };
                self.data(&bytes).await?;
            }
        }
        if let Some(key) = key {
            self.contents.insert(key, mark);
        }
        Ok(mark)
    }

    /// A commit upon the last one; upon `parent` when it is the first.
    pub(super) async fn commit(
        &mut self,
        facts: &Facts<'_>,
        parent: Option<&str>,
        changes: &[Change],
    ) -> Result<(), Error> {
        let mark = self.mark();
        let when = facts.time.0.div_euclid(1_000_000).max(0);
        let head = format!(
            "commit {REF}\nmark :{mark}\nauthor {} {when} +0000\ncommitter {} {when} +0000\n",
            facts.author, facts.committer
        );
        self.put(head.as_bytes()).await?;
        self.data(facts.message.as_bytes()).await?;
        if let (None, Some(parent)) = (self.last, parent) {
            self.put(format!("from {parent}\n").as_bytes()).await?;
        }
        // A file must be gone before a directory of its name comes.
        for change in changes {
            if let Change::Gone(path) = change {
                let mut line = b"D ".to_vec();
                line.extend_from_slice(&escaped(b"", path));
                line.push(b'\n');
                self.put(&line).await?;
            }
        }
        for change in changes {
            if let Change::Now(path, mode, mark) = change {
                let mut line = format!("M {mode} :{mark} ").into_bytes();
                line.extend_from_slice(&escaped(b"", path));
                line.push(b'\n');
                self.put(&line).await?;
            }
        }
        self.put(b"\n").await?;
        self.last = Some(mark);
        Ok(())
    }

    /// Ends it, and gives the last commit's id; `None` when none was made.
    pub(super) async fn finish(mut self) -> Result<Option<String>, Error> {
        match self.end().await {
            Ok(id) => Ok(id),
            Err(e) => Err(self.abort(e).await),
        }
    }

    async fn end(&mut self) -> Result<Option<String>, Error> {
        if let Some(last) = self.last {
            let nothing = "0".repeat(40);
            let end = format!("reset {REF}\nfrom {nothing}\n\nget-mark :{last}\n");
            self.put(end.as_bytes()).await?;
        }
        self.put(b"done\n").await?;
        let lost = || Error::io("git fast-import was lost");
        self.to.flush().await.map_err(lost())?;
        let mut id = String::new();
        if self.last.is_some() {
            self.from.read_line(&mut id).await.map_err(lost())?;
        }
        let status = self.child.wait().await.map_err(lost())?;
        let id = id.trim();
        let fine = id.len() == 40 && id.bytes().all(|b| b.is_ascii_hexdigit());
        if !status.success() || (self.last.is_some() && !fine) {
            return Err(Error::Git {
                what: "fast-import",
                said: format!("{status}"),
            });
        }
        Ok(fine.then(|| id.to_owned()))
    }

    /// Ends it after `why`, which is told with what git complained of. It leaves nothing that anybody sees.
    pub(super) async fn abort(mut self, why: Error) -> Error {
        // Before its input ends: it would write a report of that into the repository.
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
        if let Some(report) = &self.report {
            let _ = std::fs::remove_file(report);
        }
        match self.said.await {
            Ok(said) if !said.is_empty() => Error::Git {
                what: "fast-import",
                said,
            },
            _ => why,
        }
    }
}

/// The content with line feeds alone at the ends of lines.
pub(super) fn line_feeds(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for (i, b) in bytes.iter().enumerate() {
        if *b != b'\r' || bytes.get(i + 1) != Some(&b'\n') {
            out.push(*b);
        }
    }
    out
}
