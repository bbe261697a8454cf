//! What a line says about files.
//!
//! A result tells what was done (`toolUseResult`), most often with the whole content before it; a call tells what is
//! asked for, which is all there is for subagents whose results are told in short. Commands are not taken apart: what
//! they change is not known from the transcript.
//!
//! The program is said to read files with `\n` for `\r\n` and to write them back as they were, so that contents told
//! here of such a file would have `\n`; none was among the recordings that this was built from. Patches
//! (`structuredPatch`) have tabs turned into spaces and are used only to count lines.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::value::RawValue;

use super::line::{Attachment, Block, Content, Line};
use crate::model::Time;
use crate::trace::event::{Before, FileEffect, Record, Replacement, Stage, What};
use crate::trace::lenient::{Count, Flag, Link, Maybe, Objects, Text, lenient};

/// Whether a line may say something about files: by bytes alone, so that hardly any line is read twice.
pub fn has_effects(bytes: &[u8]) -> bool {
    static NEEDLES: LazyLock<[Finder<'static>; 5]> = LazyLock::new(|| {
        [
            "\"filePath\"",
            "\"notebook_path\"",
            "\"file_path\"",
            "\"Write\"",
            "Edit\"",
        ]
        .map(Finder::new)
    });
    let [told, notebook, named, write, edit] = &*NEEDLES;
    let has = |needle: &Finder<'_>| needle.find(bytes).is_some();
    has(told) || has(notebook) || (has(named) && (has(write) || has(edit)))
}

/// Adds what `record` says about files.
pub fn effects(record: Record<'_>, out: &mut Vec<FileEffect>) {
    let Ok(text) = std::str::from_utf8(record.bytes) else {
        return;
    };
    let Ok(Maybe(Some(line))) = serde_json::from_str::<Maybe<Line<'_>>>(text) else {
        return;
    };
    let base = Base {
        cwd: (!line.cwd.is_empty()).then(|| (*line.cwd).to_owned()),
        time: Time::parse(&line.timestamp),
    };
    match &*line.kind {
        "assistant" => {
            if let Some(message) = line.message.0 {
                declared(message.content, &base, out);
            }
        }
        "user" => {
            let told = line.tool_use_result.or(line.result_told);
            if let Some(message) = line.message.0 {
                applied(message.content, told, &base, out);
            }
        }
        "progress" => {
            let Some(inner) = line.data.0.and_then(|d| d.message.0) else {
                return;
            };
            let base = Base {
                time: Time::parse(&inner.timestamp).or(base.time),
                ..base
            };
            let Some(message) = inner.message.0 else {
                return;
            };
            if &*inner.kind == "assistant" {
                declared(message.content, &base, out);
            } else {
                applied(message.content, inner.tool_use_result, &base, out);
            }
        }
        "attachment" => {
            if let Some(attachment) = line.attachment.0 {
                attached(&attachment, &base, out);
            }
        }
        _ => {}
    }
}

/// What all effects of a line share.
struct Base {
    cwd: Option<String>,
    time: Option<Time>,
}

impl Base {
    fn effect(
        &self,
        call: &str,
        path: &str,
        stage: Stage,
        before: Before,
        what: What,
    ) -> FileEffect {
        FileEffect {
            call: call.to_owned(),
            path: path.to_owned(),
            cwd: self.cwd.clone(),
            time: self.time,
            stage,
            before,
            what,
        }
    }
}

/// The arguments of the tools that change files.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Input<'a> {
    #[serde(borrow)]
    file_path: Text<'a>,
    #[serde(borrow)]
    notebook_path: Text<'a>,
    #[serde(borrow)]
    content: Link<'a>,
    #[serde(borrow)]
    old_string: Link<'a>,
    #[serde(borrow)]
    new_string: Link<'a>,
    replace_all: Flag,
    #[serde(borrow)]
    edits: Objects<Pair<'a>>,
    #[serde(borrow)]
    new_source: Text<'a>,
    #[serde(borrow)]
    cell_id: Text<'a>,
    #[serde(borrow)]
    cell_number: Text<'a>,
    #[serde(borrow)]
    cell_type: Text<'a>,
    #[serde(borrow)]
    edit_mode: Text<'a>,
}

/// One replacement of several.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Pair<'a> {
    #[serde(borrow)]
    old_string: Text<'a>,
    #[serde(borrow)]
    new_string: Text<'a>,
    replace_all: Flag,
}

/// The structured result of the tools that read or change files.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Told<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    file_path: Text<'a>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    original_file: Link<'a>,
    #[serde(borrow)]
    original_file_contents: Link<'a>,
    #[serde(borrow)]
    old_string: Link<'a>,
    #[serde(borrow)]
    new_string: Link<'a>,
    replace_all: Flag,
    #[serde(borrow)]
    edits: Objects<Pair<'a>>,
    structured_patch: Objects<Hunk>,
    #[serde(borrow)]
    file: Maybe<Seen<'a>>,
    // Notebooks have names of their own.
    #[serde(borrow, rename = "notebook_path")]
    notebook_path: Text<'a>,
    #[serde(borrow, rename = "new_source")]
    new_source: Text<'a>,
    #[serde(borrow, rename = "cell_id")]
    cell_id: Text<'a>,
    #[serde(borrow, rename = "cell_type")]
    cell_type: Text<'a>,
    #[serde(borrow, rename = "edit_mode")]
    edit_mode: Text<'a>,
    #[serde(borrow)]
    error: Text<'a>,
    #[serde(borrow, rename = "original_file")]
    original_notebook: Link<'a>,
    #[serde(borrow, rename = "updated_file")]
    updated_notebook: Link<'a>,
}

/// The size of a hunk; its lines are not the file's bytes.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Hunk {
    old_lines: Count,
    new_lines: Count,
}

/// A file that was read.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Seen<'a> {
    #[serde(borrow)]
    file_path: Text<'a>,
    #[serde(borrow)]
    content: Link<'a>,
    num_lines: Count,
    start_line: Count,
    total_lines: Count,
}

/// What a file that was named in a prompt holds.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Mentioned<'a> {
    #[serde(borrow)]
    file: Maybe<Seen<'a>>,
}

fn declared(content: Content<'_>, base: &Base, out: &mut Vec<FileEffect>) {
    let Content::Blocks(blocks) = content else {
        return;
    };
    for block in blocks {
        if &*block.kind != "tool_use" {
            continue;
        }
        let what_of: fn(Input<'_>) -> Option<What> = match &*block.name {
            "Write" => |i| i.content.0.map(|c| What::Write(c.into_owned())),
            "Edit" | "MultiEdit" => |i| {
                let replacements = match (i.old_string.0, i.new_string.0) {
                    (Some(old), Some(new)) => vec![replacement(old, new, i.replace_all)],
                    _ => pairs(i.edits),
                };
                (!replacements.is_empty()).then_some(What::Replace(replacements))
            },
            "NotebookEdit" => |i| {
                Some(What::Notebook {
                    mode: mode(&i.edit_mode),
                    cell: if i.cell_id.is_empty() {
                        i.cell_number.0.into_owned()
                    } else {
                        i.cell_id.0.into_owned()
                    },
                    kind: i.cell_type.0.into_owned(),
                    source: i.new_source.0.into_owned(),
                })
            },
            _ => continue,
        };
        let input: Input<'_> = lenient(block.input);
        let path = if input.file_path.is_empty() {
            input.notebook_path.clone()
        } else {
            input.file_path.clone()
        };
        if path.is_empty() {
            continue;
        }
        if let Some(what) = what_of(input) {
            out.push(base.effect(&block.id, &path, Stage::Declared, Before::NotTold, what));
        }
    }
}

fn applied(content: Content<'_>, told: Option<&RawValue>, base: &Base, out: &mut Vec<FileEffect>) {
    // A failed call has a plain text here.
    let Some(told) = told.filter(|raw| raw.get().starts_with('{')) else {
        return;
    };
    let Content::Blocks(blocks) = content else {
        return;
    };
    // The structured result is of the line's only result; with several nobody could say whose it is.
    let mut results = blocks.iter().filter(|b| b.kind.ends_with("tool_result"));
    let (Some(block), None) = (results.next(), results.next()) else {
        return;
    };
    if !block.is_error.0 {
        of_result(lenient(Some(told)), block, base, out);
    }
}

fn of_result(told: Told<'_>, block: &Block<'_>, base: &Base, out: &mut Vec<FileEffect>) {
    let call = &*block.tool_use_id;
    if let Some(seen) = told.file.0 {
        if matches!(&*told.kind, "text" | "") {
            out.extend(seen_file(seen, call, base));
        }
        return;
    }
    if !told.notebook_path.is_empty() {
        if told.error.is_empty() {
            out.push(notebook(told, call, base));
        }
        return;
    }
    if told.file_path.is_empty() {
        return;
    }
    let original = told.original_file.0.or(told.original_file_contents.0);
    let original = original_of(original);
    let (before, what) = match (&*told.kind, told.old_string.0, told.new_string.0) {
        ("create" | "update", _, _) => {
            let Some(content) = text_of(told.content) else {
                return;
            };
            let before = match original {
                Some(text) => Before::Content(text),
                None if &*told.kind == "create" => Before::Absent,
                None => Before::NotTold,
            };
            (before, What::Write(content))
        }
        (_, Some(old), Some(new)) => {
            // An empty search makes a new file, or fills an empty one: which of them, it does not say.
            if old.is_empty() {
                (Before::NotTold, What::Write(new.into_owned()))
            } else {
                let removed = removed_lines(&told.structured_patch);
                let one = replacement(old, new, told.replace_all);
                let one = with_line_end(one, original.as_deref(), removed);
                (
                    original.map_or(Before::NotTold, Before::Content),
                    What::Replace(vec![one]),
                )
            }
        }
        _ => {
            let mut all = pairs(told.edits);
            if all.is_empty() {
                // Something was done to the file, in a form that is not known here.
                if told.structured_patch.0.is_empty() {
                    return;
                }
                (
                    original.map_or(Before::NotTold, Before::Content),
                    What::Changed,
                )
            } else {
                if let Some(text) = &original {
                    all = with_line_ends(all, text);
                }
                (
                    original.map_or(Before::NotTold, Before::Content),
                    What::Replace(all),
                )
            }
        }
    };
    out.push(base.effect(call, &told.file_path, Stage::Applied, before, what));
}

/// The content before; null and missing are not told. An empty one is written for a missing file too, so it tells
/// nothing.
fn original_of(text: Option<Cow<'_, str>>) -> Option<String> {
    text.filter(|t| !t.is_empty()).map(Cow::into_owned)
}

fn text_of(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str::<String>(raw?.get()).ok()
}

fn pairs(edits: Objects<Pair<'_>>) -> Vec<Replacement> {
    edits
        .0
        .into_iter()
        .map(|p| replacement(p.old_string.0, p.new_string.0, p.replace_all))
        .collect()
}

fn replacement(old: Cow<'_, str>, new: Cow<'_, str>, all: Flag) -> Replacement {
    Replacement {
        old: old.into_owned(),
        new: new.into_owned(),
        all: all.0,
    }
}

/// How many lines fewer the file has, as its hunks count them.
fn removed_lines(hunks: &Objects<Hunk>) -> Option<u64> {
    let (old, new) = hunks.0.iter().fold((0_u64, 0_u64), |(old, new), h| {
        (
            old.saturating_add(h.old_lines.0),
            new.saturating_add(h.new_lines.0),
        )
    });
    if hunks.0.is_empty() {
        None
    } else {
        old.checked_sub(new)
    }
}

/// The tool takes the line's end away with a text that is replaced by nothing, if it stands before one: says so in the
/// replacement itself.
fn with_line_end(one: Replacement, original: Option<&str>, removed: Option<u64>) -> Replacement {
    if !one.new.is_empty() || one.old.ends_with('\n') {
        return one;
    }
    let longer = format!("{}\n", one.old);
    let ends = one.old.matches('\n').count() as u64;
    let took = match (original, removed) {
        (Some(text), Some(n)) if !one.all => text.contains(&longer) && n != ends,
        (Some(text), _) => text.contains(&longer),
        // Without the content, the number of lines tells: one text removed with its end is one line more.
        (None, Some(n)) if one.all => n > 0 && n % (ends + 1) == 0 && (ends == 0 || n % ends != 0),
        (None, Some(n)) => n == ends + 1,
        (None, None) => false,
    };
    if took {
        Replacement { old: longer, ..one }
    } else {
        one
    }
}

/// The same for several replacements, each of what the one before left.
fn with_line_ends(all: Vec<Replacement>, original: &str) -> Vec<Replacement> {
    if all.iter().all(|r| !r.new.is_empty()) {
        return all;
    }
    let mut text = original.to_owned();
    all.into_iter()
        .map(|one| {
            let one = with_line_end(one, Some(&text), None);
            if !one.old.is_empty() {
                text = if one.all {
                    text.replace(&one.old, &one.new)
                } else {
                    text.replacen(&one.old, &one.new, 1)
                };
            }
            one
        })
        .collect()
}

fn mode(text: &str) -> String {
    if text.is_empty() { "replace" } else { text }.to_owned()
}

fn notebook(told: Told<'_>, call: &str, base: &Base) -> FileEffect {
    let before = original_of(told.original_notebook.0);
    let what = match told.updated_notebook.0 {
        Some(text) if !text.is_empty() => What::Write(text.into_owned()),
        _ => What::Notebook {
            mode: mode(&told.edit_mode),
            cell: told.cell_id.0.into_owned(),
            kind: told.cell_type.0.into_owned(),
            source: told.new_source.0.into_owned(),
        },
    };
    let before = before.map_or(Before::NotTold, Before::Content);
    base.effect(call, &told.notebook_path, Stage::Applied, before, what)
}

fn seen_file(seen: Seen<'_>, call: &str, base: &Base) -> Option<FileEffect> {
    let content = seen.content.0?;
    if seen.file_path.is_empty() {
        return None;
    }
    let (from, lines, of) = (seen.start_line.0, seen.num_lines.0, seen.total_lines.0);
    let what = if from <= 1 && lines == of {
        // Lines are counted as pieces between line ends, so the last end is in the text: these are the file's bytes.
        What::Seen(content.into_owned())
    } else {
        if content.is_empty() {
            return None;
        }
        let mut text = content.into_owned();
        let to_the_end = of > 0 && from.saturating_add(lines) > of;
        if !to_the_end {
            text.push('\n');
        }
        What::SeenPart {
            text,
            from: usize::try_from(from.max(1)).ok()?,
            of: usize::try_from(of).ok()?,
        }
    };
    Some(base.effect(call, &seen.file_path, Stage::Applied, Before::NotTold, what))
}

fn attached(told: &Attachment<'_>, base: &Base, out: &mut Vec<FileEffect>) {
    if &*told.kind != "file" {
        return;
    }
    let mentioned: Mentioned<'_> = lenient(told.content);
    if let Some(seen) = mentioned.file.0 {
        out.extend(seen_file(seen, "", base));
    }
}
