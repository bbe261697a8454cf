//! The word for the kind of a step: what lists show, and what `kind:` asks for.

use std::borrow::Cow;

use super::{CallKind, StepKind};

/// The kind of a step, in at most seven characters for a call, so that it can be read down a column and searched for.
/// `thread` is the subagent that speaks, 0 for the main agent.
#[must_use]
pub fn kind_word<'a>(
    kind: StepKind,
    call: CallKind,
    tool: &'a str,
    title: &'a str,
    thread: u32,
) -> Cow<'a, str> {
    Cow::Borrowed(match kind {
        StepKind::Prompt if thread > 0 => "asked",
        StepKind::Prompt => "turn",
        StepKind::Thought => "think",
        StepKind::Message => "say",
        StepKind::Fs => "fs",
        StepKind::Outside => "outside",
        StepKind::Marker => marker_word(title).map_or("note", |(word, _)| word),
        StepKind::Call => return call_word(call, tool),
        StepKind::Unknown => "?",
    })
}

/// The word that a marker's line begins with, and the rest of it.
#[must_use]
pub fn marker_word(title: &str) -> Option<(&str, &str)> {
    const WORDS: [&str; 11] = [
        "compaction",
        "rewind",
        "fork",
        "interrupt",
        "api-error",
        "model",
        "mode",
        "outside-edit",
        "session",
        "context",
        "note",
    ];
    let (word, rest) = title.split_once(':').unwrap_or((title, ""));
    let word = WORDS.iter().find(|w| **w == word)?;
    Some((word, rest.trim_start()))
}

/// A tool's own name where it is a short word, else the kind of call.
fn call_word(call: CallKind, tool: &str) -> Cow<'_, str> {
    let simple =
        !tool.is_empty() && tool.len() <= 7 && tool.bytes().all(|b| b.is_ascii_alphabetic());
    if simple {
        return if tool.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(tool.to_ascii_lowercase())
        } else {
            Cow::Borrowed(tool)
        };
    }
    Cow::Borrowed(match call {
        CallKind::Read => "read",
        CallKind::Edit => "edit",
        CallKind::Delete => "delete",
        CallKind::Move => "move",
        CallKind::Search => "search",
        CallKind::Execute => "run",
        CallKind::Fetch => "fetch",
        CallKind::Think => "think",
        CallKind::Agent => "task",
        CallKind::Other => "call",
    })
}
