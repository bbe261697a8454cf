//! What is known of each file change, one by one, and the records of a trace that a step was read from.

use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::model::{Known, LinkRule, Source, StepId, Writer};

use crate::trace::recording;

use super::answer::Answers;
use super::api::{ApiError, ChangeOp, EffectInfo, EntryInfo, ErrorCode, RawRecord};
use super::core::Failure;
use super::recorded;

/// Commits looked at together.
const PAGE: usize = 500;
/// Most of a record that is given.
const LONGEST: u64 = 64 << 20;

impl Answers<'_> {
    /// Every change that was captured, oldest first.
    pub fn effects(&self) -> Result<Vec<EffectInfo>, Failure> {
        let mut out = Vec::new();
        let mut before = None;
        loop {
            let page = self.log(before, PAGE)?;
            let Some(last) = page.last() else { break };
            before = Some(last.seq);
            for commit in &page {
                let link = self.store.link_of_commit(commit.id)?;
                let evidence = match link.as_ref().map(|l| l.rule) {
                    Some(LinkRule::Told) => "transcript",
                    Some(LinkRule::Inferred) => "outside",
                    _ => "filesystem",
                };
                let step = match link {
                    Some(link) => self.history.step(link.step)?,
                    None => None,
                };
                let call = step
                    .as_ref()
                    .and_then(|s| s.native.strip_prefix("call:"))
                    .map(str::to_owned);
                let made = self.store.commit(commit.id)?;
                let writers: Vec<Writer> = made
                    .meta
                    .get("writers")
                    .and_then(|json| serde_json::from_str(json).ok())
                    .unwrap_or_default();
                let parent = self.parent_tree(commit)?;
                let mut of_commit = Vec::new();
                for change in self.changes(parent, commit.tree, &[])? {
                    let dir = |e: &Option<EntryInfo>| e.as_ref().is_some_and(|e| e.kind == "dir");
                    if dir(&change.before) || dir(&change.after) {
                        continue;
                    }
                    of_commit.push(EffectInfo {
                        step: commit.step,
                        tool_call_id: call.clone(),
                        path: change.path.to_string(),
                        op: word(change.op).to_owned(),
                        evidence: evidence.to_owned(),
                        before: self.known(change.before.as_ref())?,
                        after: self.known(change.after.as_ref())?,
                        writers: writers.clone(),
                    });
                }
                of_commit.reverse();
                out.extend(of_commit);
            }
        }
        out.reverse();
        Ok(out)
    }

    fn known(&self, entry: Option<&EntryInfo>) -> Result<Known, Failure> {
        let Some(entry) = entry else {
            return Ok(Known::Absent);
        };
        Ok(match (entry.blob, entry.kind.as_str()) {
            (Some(blob), _) => Known::of(&self.store.blob(blob)?),
            (None, "link") => Known::of(entry.target.clone().unwrap_or_default().as_bytes()),
            _ => Known::Unknown,
        })
    }

    /// The records that a step was read from.
    pub fn raw(&self, id: StepId) -> Result<Vec<RawRecord>, Failure> {
        let step = self.history.step(id)?.ok_or_else(|| {
            ApiError::new(ErrorCode::NotFound, format!("no step has the id {id}"))
        })?;
        step.sources
            .into_iter()
            .map(|source| {
                let bytes = self.record(&source)?;
                Ok(RawRecord { source, bytes })
            })
            .collect()
    }

    fn record(&self, source: &Source) -> Result<Vec<u8>, Failure> {
        let len = source.len.min(LONGEST);
        if let Some(blob) = source.blob {
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            return Ok(self.store.blob_range(blob, source.offset, len)?);
        }
        let failed = |e: std::io::Error| {
            ApiError::new(
                ErrorCode::Failed,
                format!(
                    "cannot read {}: {e}",
                    crate::model::neutral(source.file.as_bytes())
                ),
            )
        };
        // A transcript lies where others write: it may have become a pipe.
        let file = recording::open_file(Path::new(&source.file)).map_err(recorded::failed)?;
        // Never more than there is: the file may have been cut or replaced since.
        let there = file.metadata().map_err(failed)?.len();
        let len = len.min(there.saturating_sub(source.offset));
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        file.read_exact_at(&mut bytes, source.offset)
            .map_err(failed)?;
        Ok(bytes)
    }
}

fn word(op: ChangeOp) -> &'static str {
    match op {
        ChangeOp::Create => "create",
        ChangeOp::Modify | ChangeOp::Kind => "modify",
        ChangeOp::Delete => "delete",
        ChangeOp::Mode => "mode",
        ChangeOp::Rename => "rename",
    }
}
