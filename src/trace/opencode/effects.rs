//! What an exported session says about files.

use std::borrow::Cow;
use std::collections::HashSet;

use super::super::edits;
use super::super::event::{Before, FileEffect, Stage, State, What};
use super::super::raw;
use super::call_id;
use super::shape::{FileDiff, Info, Input, Message, Metadata, Named, Part, Times, ToolState};

pub(super) fn file_effects(message: &Message<'_>, state: &State, out: &mut Vec<FileEffect>) {
    let info: Info<'_> = raw::object(message.info).unwrap_or_default();
    let where_: Named<'_> = raw::object(info.path).unwrap_or_default();
    let cwd = raw::string(where_.cwd)
        .map(Cow::into_owned)
        .or_else(|| Some(state.cwd.clone()).filter(|c| !c.is_empty()));
    let times: Times<'_> = raw::object(info.time).unwrap_or_default();
    let first = out.len();
    let mut touched: Vec<String> = Vec::new();
    for (place, part) in raw::list(message.parts).into_iter().enumerate() {
        let part: Part<'_> = raw::object(Some(part)).unwrap_or_default();
        match raw::text(part.kind).as_ref() {
            "tool" => tool_effects(&call_id(&info, place, &part), &part, cwd.as_deref(), out),
            "patch" => touched.extend(
                raw::list(part.files)
                    .into_iter()
                    .filter_map(|f| raw::string(Some(f)).map(Cow::into_owned)),
            ),
            _ => {}
        }
    }
    // A patch part lists all that changed in the step, commands' doing too: what no tool tells is told as changed.
    let told: HashSet<String> = out[first..].iter().flat_map(paths_of).collect();
    for path in touched {
        if !told.contains(&path) {
            out.push(FileEffect {
                call: String::new(),
                path,
                cwd: cwd.clone(),
                time: raw::time(times.completed),
                stage: Stage::Applied,
                before: Before::NotTold,
                what: What::Changed,
            });
        }
    }
}

/// The absolute paths of what an effect changed.
fn paths_of(effect: &FileEffect) -> Vec<String> {
    let whole = |path: &str| match &effect.cwd {
        Some(cwd) if !path.starts_with('/') => format!("{}/{path}", cwd.trim_end_matches('/')),
        _ => path.to_owned(),
    };
    match &effect.what {
        What::Seen(_) | What::SeenPart { .. } => Vec::new(),
        What::Rename { to, .. } => vec![whole(&effect.path), whole(to)],
        _ => vec![whole(&effect.path)],
    }
}

fn tool_effects(id: &str, part: &Part<'_>, cwd: Option<&str>, out: &mut Vec<FileEffect>) {
    let state: ToolState<'_> = raw::object(part.state).unwrap_or_default();
    if raw::string(state.status).as_deref() != Some("completed") {
        return;
    }
    let times: Times<'_> = raw::object(state.time).unwrap_or_default();
    let meta: Metadata<'_> = raw::object(state.metadata).unwrap_or_default();
    let input: Input<'_> = raw::object(state.input).unwrap_or_default();
    let mut say = |path: String, before, what| {
        if !path.is_empty() {
            out.push(FileEffect {
                call: id.to_owned(),
                path,
                cwd: cwd.map(str::to_owned),
                time: raw::time(times.end),
                stage: Stage::Applied,
                before,
                what,
            });
        }
    };
    let path = raw::owned(input.path);
    match raw::text(part.tool).as_ref() {
        "apply_patch" | "patch" => {
            let files = raw::list(meta.files);
            if files.is_empty() {
                let time = raw::time(times.end);
                let from = out.len();
                edits::declared("apply_patch", state.input, id, cwd, time, out);
                out[from..]
                    .iter_mut()
                    .for_each(|e| e.stage = Stage::Applied);
                return;
            }
            for file in files {
                let file: FileDiff<'_> = raw::object(Some(file)).unwrap_or_default();
                let (path, before, what) = patched(&file);
                say(path, before, what);
            }
        }
        "edit" => {
            let file: FileDiff<'_> = raw::object(meta.filediff).unwrap_or_default();
            // An edit without an old text writes a file that may not have been there.
            let creates = raw::string(input.old).is_some_and(|s| s.is_empty());
            if let Some((before, what)) = compared(&file, creates) {
                say(path, before, what);
            } else if let Some(diff) = raw::string(meta.diff).filter(|d| !d.is_empty()) {
                say(path, Before::NotTold, What::Unified(diff.into_owned()));
            } else {
                let from = out.len();
                edits::declared("edit", state.input, id, cwd, raw::time(times.end), out);
                out[from..]
                    .iter_mut()
                    .for_each(|e| e.stage = Stage::Applied);
            }
        }
        "multiedit" => {
            // Each result is one edit of the same file: the first tells what was there, the last what is.
            let all: Vec<FileDiff<'_>> = raw::list(meta.results)
                .into_iter()
                .filter_map(|r| raw::object::<FileDiff<'_>>(Some(r)))
                .map(|r| raw::object(r.filediff).unwrap_or_default())
                .collect();
            for file in &all {
                if let Some((before, what)) = compared(file, false) {
                    say(path.clone(), before, what);
                }
            }
        }
        "write" => {
            if let Some(content) = raw::string(input.content) {
                let before = match meta.exists.map(|e| e.get()) {
                    Some("false") => Before::Absent,
                    _ => Before::NotTold,
                };
                say(path, before, What::Write(content.into_owned()));
            }
        }
        "read" => {
            if let Some(what) = seen(&raw::text(state.output)) {
                say(path, Before::NotTold, what);
            }
        }
        _ => {}
    }
}

/// One file of an applied patch.
fn patched(file: &FileDiff<'_>) -> (String, Before, What) {
    let path = raw::owned(file.path);
    let before = raw::string(file.before);
    let kept = before.map_or(Before::NotTold, |b| Before::Content(b.into_owned()));
    let after = raw::string(file.after).map(|a| What::Write(a.into_owned()));
    let diff = raw::string(file.diff)
        .or_else(|| raw::string(file.patch))
        .map(|d| What::Unified(d.into_owned()));
    match (raw::text(file.kind).as_ref(), raw::string(file.to)) {
        ("add", _) => (
            path,
            Before::Absent,
            after.or(diff).unwrap_or(What::Changed),
        ),
        ("delete", _) => (path, kept, What::Delete),
        (_, Some(to)) => {
            let change = after.or(diff).map(Box::new);
            let to = to.into_owned();
            (path, kept, What::Rename { to, change })
        }
        _ => (path, kept, after.or(diff).unwrap_or(What::Changed)),
    }
}

/// What a file's comparison says, if it says anything.
fn compared(file: &FileDiff<'_>, creates: bool) -> Option<(Before, What)> {
    if let Some(after) = raw::string(file.after) {
        let before = match raw::string(file.before) {
            Some(b) if b.is_empty() && creates => Before::NotTold,
            Some(b) => Before::Content(b.into_owned()),
            None => Before::NotTold,
        };
        return Some((before, What::Write(after.into_owned())));
    }
    let diff = raw::string(file.patch).filter(|d| !d.is_empty())?;
    Some((Before::NotTold, What::Unified(diff.into_owned())))
}

/// The lines that a read shows, if it shows them whole.
fn seen(output: &str) -> Option<What> {
    let body = output.split_once("<content>")?.1;
    let mut text = String::new();
    let mut from = None;
    let mut next = 0usize;
    let mut of = 0usize;
    for line in body.trim_start_matches('\n').split('\n') {
        let numbered = line
            .split_once(':')
            .and_then(|(n, rest)| Some((n.trim().parse::<usize>().ok()?, rest)));
        let Some((number, rest)) = numbered else {
            if let Some(total) = raw::number_after(line, "End of file - total") {
                of = usize::try_from(total).unwrap_or(0);
            }
            continue;
        };
        if number != *from.get_or_insert(number) + next || line.contains("(line truncated") {
            return None;
        }
        next += 1;
        text.push_str(rest.strip_prefix(' ').unwrap_or(rest));
        text.push('\n');
    }
    Some(What::SeenPart {
        text,
        from: from?,
        of,
    })
}
