//! What is in a recording, in a few words and figures, for lists and headers.

use std::collections::HashSet;
use std::path::Path;

use crate::model::{CallKind, Status, StepKind, Time};
use crate::trace::index::{Index, NO_TIME};

use super::super::api::RecordingSummary;

/// What an index tells for lists. The files are those that calls which change files name.
#[must_use]
pub fn summary_of(index: &Index) -> RecordingSummary {
    let facts = index.sessions.first().cloned().unwrap_or_default();
    let times = || {
        index
            .entries
            .iter()
            .map(|e| e.time)
            .filter(|t| *t != NO_TIME)
    };
    let prompts = || {
        index
            .entries
            .iter()
            .filter(|e| e.kind == StepKind::Prompt && e.thread == 0 && !e.dead)
    };
    RecordingSummary {
        project: facts.cwd,
        agent: if facts.agent.is_empty() {
            index.format.clone()
        } else {
            facts.agent
        },
        version: facts.version,
        model: facts.model,
        branch: facts.branch,
        start: facts.start.or(times().min().map(Time)),
        end: times().max().map(Time),
        records: index.records,
        steps: index.entries.len() as u64,
        turns: prompts().count() as u64,
        tokens: index.tokens(),
        files: files_of(index),
        last_prompt: prompts()
            .next_back()
            .map(|e| e.title.to_string())
            .unwrap_or_default(),
        title: facts.title,
        sessions: index.sessions.iter().map(|s| s.id.clone()).collect(),
    }
}

fn files_of(index: &Index) -> u64 {
    let paths: HashSet<&str> = index
        .entries
        .iter()
        .filter(|e| matches!(e.call, CallKind::Edit | CallKind::Delete | CallKind::Move))
        .filter(|e| e.status == Status::Ok)
        .flat_map(|e| e.paths.iter().map(|p| &**p))
        .collect();
    paths.len() as u64
}

pub(super) fn name_of(index: &Index, path: &Path) -> String {
    let facts = index.sessions.first();
    let cwd = facts.map_or("", |f| f.cwd.as_str());
    let name = Path::new(cwd)
        .file_name()
        .or_else(|| path.file_name())
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    crate::model::neutral(name.as_bytes())
}
