//! What a session says about files.

use super::super::edits;
use super::super::event::{Before, FileEffect, Stage, State, What};
use super::super::raw;
use super::shape::{Args, Line, Part, Response, Shown, ToolCall};
use super::{output, parts};

pub(super) fn file_effects(line: &Line<'_>, state: &State, out: &mut Vec<FileEffect>) {
    let cwd = Some(state.cwd.as_str()).filter(|c| !c.is_empty());
    for call in raw::list(line.calls) {
        let call: ToolCall<'_> = raw::object(Some(call)).unwrap_or_default();
        if raw::string(call.status).as_deref() != Some("success") {
            continue;
        }
        let name = raw::text(call.name);
        let args: Args<'_> = raw::object(call.args).unwrap_or_default();
        let id = raw::text(call.id);
        let time = raw::time(call.timestamp);
        let path = [args.file_path, args.absolute_path, args.path]
            .into_iter()
            .find_map(|f| raw::string(f).filter(|p| !p.is_empty()));
        let Some(path) = path else { continue };
        let from = out.len();
        match name.as_ref() {
            "write_file" | "replace" | "edit" => {
                if let Some((before, what)) = told(&call, &args, &name) {
                    let shown: Shown<'_> = raw::object(call.shown).unwrap_or_default();
                    out.push(FileEffect {
                        call: id.into_owned(),
                        path: raw::string(shown.path).unwrap_or(path).into_owned(),
                        cwd: cwd.map(str::to_owned),
                        time,
                        stage: Stage::Applied,
                        before,
                        what,
                    });
                } else {
                    edits::declared(&name, call.args, &id, cwd, time, out);
                    out[from..]
                        .iter_mut()
                        .for_each(|e| e.stage = Stage::Applied);
                }
            }
            "read_file" => {
                if let Some(text) = whole(&call, &args) {
                    out.push(FileEffect {
                        call: id.into_owned(),
                        path: path.into_owned(),
                        cwd: cwd.map(str::to_owned),
                        time,
                        stage: Stage::Applied,
                        before: Before::NotTold,
                        what: What::Seen(text),
                    });
                }
            }
            _ => {}
        }
    }
}

/// What is told of an edit by what is shown of it, and of a new file by its result.
pub(super) fn told(call: &ToolCall<'_>, args: &Args<'_>, name: &str) -> Option<(Before, What)> {
    let shown: Shown<'_> = raw::object(call.shown).unwrap_or_default();
    let before = if raw::truth(shown.new) {
        Before::Absent
    } else {
        match raw::string(shown.before) {
            Some(text) => Before::Content(text.into_owned()),
            None if output(call).contains("created and wrote to new file") => Before::Absent,
            None => Before::NotTold,
        }
    };
    if let Some(after) = raw::string(shown.after) {
        return Some((before, What::Write(after.into_owned())));
    }
    if name == "write_file" {
        let content = raw::string(args.content)?;
        return Some((before, What::Write(content.into_owned())));
    }
    None
}

/// What was read, if it is all of the file as it is.
fn whole(call: &ToolCall<'_>, args: &Args<'_>) -> Option<String> {
    let some = [args.offset, args.limit, args.start_line, args.end_line];
    if some.iter().any(Option::is_some) {
        return None;
    }
    let [only] = parts(call.result).try_into().ok()?;
    let only: Part<'_> = only;
    let outer: Response<'_> = raw::object(only.response)?;
    let inner: Response<'_> = raw::object(outer.response)?;
    let text = raw::string(inner.output)?;
    // Marks of what the tool leaves out and adds.
    let marks = [
        "IMPORTANT: The file content has been truncated",
        "[truncated]",
        "--- Newly Discovered",
    ];
    (!marks.iter().any(|m| text.contains(m))).then(|| text.into_owned())
}
