//! What an event says about files.

use super::super::edits;
use super::super::event::{Before, FileEffect, Stage, State, What};
use super::super::raw;
use super::shape::{Data, Line};

pub(super) fn file_effects(line: &Line<'_>, state: &State, out: &mut Vec<FileEffect>) {
    let data: Data<'_> = raw::object(line.data).unwrap_or_default();
    let id = raw::text(data.tool_call_id);
    let time = raw::time(line.timestamp);
    let cwd = Some(state.cwd.as_str()).filter(|c| !c.is_empty());
    if raw::string(line.kind).as_deref() == Some("tool.execution_start") {
        let tool = raw::text(data.tool_name);
        edits::declared(&tool, data.arguments, &id, cwd, time, out);
        return;
    }
    let given: Data<'_> = raw::object(data.result).unwrap_or_default();
    if let Some((path, text, of)) = raw::string(given.detailed_content)
        .as_deref()
        .and_then(viewed)
    {
        out.push(FileEffect {
            call: id.into_owned(),
            path,
            cwd: cwd.map(str::to_owned),
            time,
            stage: Stage::Applied,
            before: Before::NotTold,
            what: What::SeenPart { text, from: 1, of },
        });
    }
}

/// What a view shows: a diff that changes nothing, with the file's first lines in its one hunk. Paths in it have lost
/// their first slash. Gives path, text and, where the file's end is among them, the number of its lines (else 0).
fn viewed(diff: &str) -> Option<(String, String, usize)> {
    let (head, body) = diff.split_once("\n+++ b/")?;
    if !head.contains("\nindex 0000000..0000000") {
        return None;
    }
    let (path, body) = body.split_once('\n')?;
    let (range, body) = body.split_once('\n')?;
    let (old, new) = range
        .strip_prefix("@@ -1,")?
        .strip_suffix(" @@")?
        .split_once(" +1,")?;
    let count: usize = old.parse().ok()?;
    if old != new || count == 0 {
        return None;
    }
    let lines: Option<Vec<&str>> = body
        .split('\n')
        .take(count)
        .map(|l| l.strip_prefix(' '))
        .collect();
    let mut lines = lines.filter(|l| l.len() == count)?;
    // After the last line's end there is nothing: that is shown as an empty line.
    let of = if lines.last() == Some(&"") {
        lines.pop();
        lines.len()
    } else {
        0
    };
    let mut text = lines.join("\n");
    text.push('\n');
    Some((format!("/{path}"), text, of))
}
