//! Claude Code transcripts: one JSON object a line, in all versions met.
//!
//! A line is one block of an answer, a message to the model, or a state of the session. Lines are a tree by `uuid` and
//! `parentUuid`; state lines are in no tree. Nothing here fails: lines of an unknown type are told as unknown, fields
//! of an odd shape are as if they were missing.

mod effects;
mod events;
#[cfg(test)]
mod fuzz_tests;
mod line;
#[cfg(test)]
mod made_tests;
mod notes;
mod said;
mod sides;
mod talk;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::event::{FileEffect, Out, Record, Side, State};
use super::format::{About, Format, Head, Home};

/// The reader.
pub struct Claude;

impl Format for Claude {
    fn name(&self) -> &'static str {
        "claude"
    }

    fn about(&self) -> About {
        About {
            title: "Claude Code transcripts",
            basis: "1.0.98 and 2.1.4 to 2.1.217; subagents' files and print mode from descriptions",
            real: true,
            gives: "prompts, thoughts, messages, calls with results, subagents, compactions, dead branches, tokens, \
                    file states",
            lacks: "exit codes of commands that ended well, what commands change, line ends of files with \\r\\n",
        }
    }

    fn sniff(&self, head: &Head<'_>) -> u8 {
        let best = head.lines.iter().map(sure).max().unwrap_or(0);
        if best > 0 || !head.lines.is_empty() {
            return best;
        }
        // The first line may be longer than the head.
        let has = |needle: &[u8]| memchr::memmem::find(head.bytes, needle).is_some();
        let first = head.bytes.trim_ascii_start().first();
        if first == Some(&b'{') && has(b"\"parentUuid\":") && has(b"\"isSidechain\":") {
            80
        } else {
            0
        }
    }

    fn events<'a>(&self, record: Record<'a>, _state: &mut State, out: &mut Out<'a>) {
        events::events(record, out);
    }

    fn has_effects(&self, record: Record<'_>) -> bool {
        effects::has_effects(record.bytes)
    }

    fn effects(&self, record: Record<'_>, _state: &State, out: &mut Vec<FileEffect>) {
        effects::effects(record, out);
    }

    fn sides(&self, main: &Path) -> Vec<Side> {
        sides::sides(main)
    }

    fn places(&self, home: &Home) -> Vec<PathBuf> {
        vec![home.dir_or("CLAUDE_CONFIG_DIR", ".claude").join("projects")]
    }

    fn is_recording(&self, path: &Path) -> bool {
        path.extension().is_some_and(|e| e == "jsonl")
            && path
                .file_name()
                .is_some_and(|n| !n.to_string_lossy().starts_with("agent-") && n != "journal.jsonl")
            // Files of subagents and their workflows belong to their session.
            && !path.components().any(|c| c.as_os_str() == "subagents")
    }
}

/// How sure one line is.
fn sure(line: &Value) -> u8 {
    let has = |key: &str| line.get(key).is_some();
    let Some(kind) = line.get("type").and_then(Value::as_str) else {
        return 0;
    };
    let talk = matches!(
        kind,
        "user" | "assistant" | "system" | "progress" | "attachment"
    );
    let state = matches!(
        kind,
        "last-prompt"
            | "mode"
            | "permission-mode"
            | "ai-title"
            | "custom-title"
            | "agent-name"
            | "queue-operation"
            | "pr-link"
            | "bridge-session"
    );
    if talk && has("parentUuid") && has("sessionId") && has("uuid") {
        98
    } else if kind == "file-history-snapshot" && has("messageId") && has("snapshot") {
        95
    } else if kind == "summary" && has("leafUuid") {
        90
    } else if state && has("sessionId") {
        85
    } else if talk && has("session_id") && (has("parent_tool_use_id") || has("subtype")) {
        // The output of print mode.
        80
    } else {
        0
    }
}
