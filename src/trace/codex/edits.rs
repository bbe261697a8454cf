//! What Codex's records say about files: patches that were applied, and patches that calls carry.
//!
//! A patch that was applied is told by a record of its own with what became of each file (`add` with the content, `update`
//! with a diff of the real file). The patch in a call's arguments is what old versions leave of it: it counts when the
//! call ended well and no such record came. Patches within a script of code mode are named but not declared: they always
//! end with a record of their own, under another id, and would count twice.

use std::borrow::Cow;
use std::collections::BTreeMap;

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Top;
use super::script::{BEGIN, heredocs, literals, literals_after};
use crate::trace::emit::first_line;
use crate::trace::event::{Before, Ending, FileEffect, Stage, What};
use crate::trace::patch::{self, FilePatch, Part};
use crate::trace::raw::{self, Field};

/// Whether a record may say something about files; quick, not exact.
pub(super) fn may_have(bytes: &[u8]) -> bool {
    memmem::find(bytes, b"patch_apply_end").is_some()
        || memmem::find(bytes, b"\"FileChange\"").is_some()
        || (memmem::find(bytes, BEGIN.as_bytes()).is_some()
            && memmem::find(bytes, b"_call\"").is_some())
}

/// A patch that was applied, or was tried.
#[derive(Deserialize)]
pub(super) struct Done<'a> {
    #[serde(borrow, default)]
    id: Field<'a>,
    #[serde(borrow, default)]
    call_id: Field<'a>,
    #[serde(borrow, default)]
    success: Field<'a>,
    #[serde(borrow, default)]
    status: Field<'a>,
    /// By path, what became of the file.
    #[serde(borrow, default)]
    pub changes: Field<'a>,
    /// What was printed.
    #[serde(borrow, default)]
    pub stdout: Field<'a>,
    /// What was printed as an error.
    #[serde(borrow, default)]
    pub stderr: Field<'a>,
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Field<'a>,
    #[serde(borrow, default)]
    content: Field<'a>,
    #[serde(borrow, default)]
    unified_diff: Field<'a>,
    #[serde(borrow, default)]
    move_path: Field<'a>,
}

impl<'a> Done<'a> {
    pub(super) fn read(field: Field<'a>) -> Option<Self> {
        raw::object(field)
    }

    /// The call's id, or its own in a script.
    pub(super) fn id(&self) -> Cow<'a, str> {
        raw::string(self.call_id.or(self.id)).unwrap_or_default()
    }

    pub(super) fn end(&self) -> Ending {
        match raw::string(self.status).as_deref() {
            Some("declined") => Ending::Aborted,
            Some("failed") => Ending::Error,
            Some("completed") => Ending::Ok,
            _ if self.success.is_some_and(|s| s.get() == "true") => Ending::Ok,
            _ => Ending::Error,
        }
    }

    fn list(&self) -> Vec<(String, Change<'a>)> {
        let all: BTreeMap<String, &'a RawValue> = raw::object(self.changes).unwrap_or_default();
        all.into_iter()
            .filter_map(|(path, change)| Some((path, raw::object(Some(change))?)))
            .collect()
    }

    /// A line that names the files, and their paths.
    pub(super) fn names(&self) -> (String, Vec<String>) {
        let list = self.list();
        let lines = list.iter().map(|(path, change)| {
            let letter = match raw::string(change.kind).as_deref() {
                Some("add") => 'A',
                Some("delete") => 'D',
                _ => 'M',
            };
            (letter, path.as_str(), raw::string(change.move_path))
        });
        (
            summary(lines),
            list.iter().map(|(path, _)| path.clone()).take(64).collect(),
        )
    }

    fn effects(&self, out: &mut Vec<FileEffect>) {
        if self.end() != Ending::Ok {
            return;
        }
        let call = self.id().into_owned();
        for (path, change) in self.list() {
            let (before, what) = match raw::string(change.kind).as_deref() {
                Some("add") => (Before::Absent, What::Write(raw::owned(change.content))),
                Some("delete") => (
                    raw::string(change.content)
                        .map_or(Before::NotTold, |c| Before::Content(c.into_owned())),
                    What::Delete,
                ),
                Some("update") => {
                    let diff = raw::owned(change.unified_diff);
                    let what = match raw::string(change.move_path) {
                        Some(to) => What::Rename {
                            to: to.into_owned(),
                            change: (!diff.is_empty()).then(|| Box::new(What::Unified(diff))),
                        },
                        None => What::Unified(diff),
                    };
                    (Before::NotTold, what)
                }
                _ => (Before::NotTold, What::Changed),
            };
            out.push(FileEffect {
                call: call.clone(),
                path,
                cwd: None,
                time: None,
                stage: Stage::Applied,
                before,
                what,
            });
        }
    }
}

/// `M src/a.rs, A b.rs and 3 more`.
fn summary<'p>(mut files: impl Iterator<Item = (char, &'p str, Option<Cow<'p, str>>)>) -> String {
    let mut line = String::new();
    for (letter, path, to) in files.by_ref().take(3) {
        if !line.is_empty() {
            line.push_str(", ");
        }
        line.push(letter);
        line.push(' ');
        line.push_str(path);
        if let Some(to) = to {
            line.push_str(" -> ");
            line.push_str(&to);
        }
    }
    match files.count() {
        0 => line,
        more => format!("{line} and {more} more"),
    }
}

/// The file effects of a record.
pub(super) fn effects(top: Top, payload: Field<'_>, out: &mut Vec<FileEffect>) {
    #[derive(Deserialize)]
    struct Any<'a> {
        #[serde(borrow, default, rename = "type")]
        kind: Field<'a>,
        #[serde(borrow, default)]
        name: Field<'a>,
        #[serde(borrow, default)]
        arguments: Field<'a>,
        #[serde(borrow, default)]
        input: Field<'a>,
        #[serde(borrow, default)]
        action: Field<'a>,
        #[serde(borrow, default)]
        call_id: Field<'a>,
        #[serde(borrow, default)]
        id: Field<'a>,
        #[serde(borrow, default)]
        item: Field<'a>,
    }
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(borrow, default, rename = "type")]
        kind: Field<'a>,
    }
    let Some(any) = raw::object::<Any<'_>>(payload) else {
        return;
    };
    let kind = raw::string(any.kind).unwrap_or_default();
    let name = raw::string(any.name).unwrap_or_default();
    let (id, name, input) = match (top, &*kind) {
        (Top::Message, "patch_apply_end") => {
            if let Some(done) = Done::read(payload) {
                done.effects(out);
            }
            return;
        }
        (Top::Message, "item_completed") => {
            let item: Option<Kind<'_>> = raw::object(any.item);
            if item.and_then(|i| raw::string(i.kind)).as_deref() == Some("FileChange")
                && let Some(done) = Done::read(any.item)
            {
                done.effects(out);
            }
            return;
        }
        (Top::Item, "function_call") => (any.call_id, name, any.arguments),
        (Top::Item, "custom_tool_call") => (any.call_id, name, any.input),
        (Top::Item, "local_shell_call") => (
            any.call_id.or(any.id),
            Cow::Borrowed("local_shell"),
            any.action,
        ),
        _ => return,
    };
    if name == "exec" {
        return;
    }
    let call = raw::owned(id);
    for (text, cwd) in patches(&name, &raw::text(input)) {
        let Ok(parts) = patch::parse(&text) else {
            continue;
        };
        for part in parts {
            out.push(declared(&call, cwd.as_deref(), part));
        }
    }
}

fn declared(call: &str, cwd: Option<&str>, part: Part) -> FileEffect {
    let (before, what) = match part.patch {
        FilePatch::Add { content } => (Before::Absent, What::Write(content)),
        FilePatch::Delete => (Before::NotTold, What::Delete),
        FilePatch::Update { hunks } => {
            let change = (!hunks.is_empty()).then_some(FilePatch::Update { hunks });
            let what = match (part.move_to, change) {
                (Some(to), change) => What::Rename {
                    to,
                    change: change.map(|c| Box::new(What::Patch(c))),
                },
                (None, Some(change)) => What::Patch(change),
                (None, None) => What::Changed,
            };
            (Before::NotTold, what)
        }
    };
    FileEffect {
        call: call.to_owned(),
        path: part.path,
        cwd: cwd.map(str::to_owned),
        time: None,
        stage: Stage::Declared,
        before,
        what,
    }
}

/// What a call's arguments show at a glance.
#[derive(Default)]
pub(super) struct Look {
    pub title: Option<String>,
    pub paths: Vec<String>,
}

/// Looks at the arguments of a call.
pub(super) fn look(name: &str, input: &str) -> Look {
    let mut parts = Vec::new();
    if input.contains(BEGIN) {
        for (text, _) in patches(name, input) {
            parts.extend(patch::parse(&text).unwrap_or_default());
        }
    }
    if !parts.is_empty() {
        let lines = parts.iter().map(|part| {
            let letter = match part.patch {
                FilePatch::Add { .. } => 'A',
                FilePatch::Update { .. } => 'M',
                FilePatch::Delete => 'D',
            };
            (
                letter,
                part.path.as_str(),
                part.move_to.as_deref().map(Cow::Borrowed),
            )
        });
        let title = Some(summary(lines));
        let mut paths: Vec<String> = Vec::new();
        for part in parts {
            paths.push(part.path);
            paths.extend(part.move_to);
        }
        paths.truncate(64);
        return Look { title, paths };
    }
    if name == "exec" {
        let commands: Vec<Cow<'_, str>> = literals_after(input, "cmd").take(20).collect();
        let title = commands.first().map(|first| match commands.len() {
            1 => first_line(first),
            n => format!("{} (and {} more)", first_line(first), n - 1),
        });
        return Look {
            title: title.filter(|t| !t.is_empty()),
            ..Look::default()
        };
    }
    let arguments: Option<Arguments<'_>> = if input.starts_with('{') {
        serde_json::from_str(input).ok()
    } else {
        None
    };
    let Some(arguments) = arguments else {
        return Look::default();
    };
    let line = command_line(arguments.cmd.or(arguments.command));
    let title = match (name, first_line(&line)) {
        ("write_stdin", _) => {
            let keys = raw::owned(arguments.chars);
            let session = raw::text(arguments.session_id);
            Some(if keys.is_empty() {
                format!("wait for session {session}")
            } else {
                format!("session {session}: {}", keys.escape_debug())
            })
        }
        ("spawn_agent" | "send_input" | "send_message" | "followup_task", _) => {
            let text = raw::string(arguments.message.or(arguments.task_name));
            text.map(|t| first_line(&t))
        }
        ("update_plan", _) => raw::string(arguments.explanation).map(Cow::into_owned),
        (_, line) => Some(line),
    };
    let path = raw::string(arguments.path).filter(|_| name == "view_image");
    Look {
        title: title.filter(|t| !t.is_empty()),
        paths: path.into_iter().map(Cow::into_owned).collect(),
    }
}

/// Arguments of the tools that run commands, and of some others.
#[derive(Deserialize, Default)]
struct Arguments<'a> {
    #[serde(borrow, default)]
    cmd: Field<'a>,
    #[serde(borrow, default)]
    command: Field<'a>,
    #[serde(borrow, default)]
    workdir: Field<'a>,
    #[serde(borrow, default)]
    working_directory: Field<'a>,
    #[serde(borrow, default)]
    input: Field<'a>,
    #[serde(borrow, default)]
    patch: Field<'a>,
    #[serde(borrow, default)]
    chars: Field<'a>,
    #[serde(borrow, default)]
    session_id: Field<'a>,
    #[serde(borrow, default)]
    explanation: Field<'a>,
    #[serde(borrow, default)]
    message: Field<'a>,
    #[serde(borrow, default)]
    task_name: Field<'a>,
    #[serde(borrow, default)]
    path: Field<'a>,
}

/// A command as one text: a string, or words of which a shell's script is the telling one.
pub(super) fn command_line(field: Field<'_>) -> String {
    let words = words(field);
    match words.as_slice() {
        [shell, flag, script] if is_shell(shell) && flag.starts_with('-') => script.clone(),
        words => words.join(" "),
    }
}

fn words(field: Field<'_>) -> Vec<String> {
    match raw::string(field) {
        Some(line) => vec![line.into_owned()],
        None => raw::list(field)
            .into_iter()
            .map(|w| raw::owned(Some(w)))
            .collect(),
    }
}

fn is_shell(word: &str) -> bool {
    let name = word.rsplit(['/', '\\']).next().unwrap_or(word);
    let name = name.strip_suffix(".exe").unwrap_or(name);
    matches!(name, "sh" | "bash" | "zsh" | "dash" | "pwsh" | "powershell")
}

/// The patches that a call's arguments carry, with the directory that their paths start from where it is told.
fn patches(name: &str, input: &str) -> Vec<(String, Option<String>)> {
    if !input.contains(BEGIN) {
        return Vec::new();
    }
    if name == "exec" {
        return literals(input)
            .map(|text| (text.into_owned(), None))
            .collect();
    }
    let arguments: Option<Arguments<'_>> = if input.starts_with('{') {
        serde_json::from_str(input).ok()
    } else {
        None
    };
    let Some(arguments) = arguments else {
        // The text itself, as tools without a schema take it.
        return vec![(input.to_owned(), None)];
    };
    let cwd = raw::string(arguments.workdir.or(arguments.working_directory))
        .filter(|d| !d.is_empty())
        .map(Cow::into_owned);
    if let Some(text) = raw::string(arguments.input.or(arguments.patch)) {
        return vec![(text.into_owned(), cwd)];
    }
    let words = words(arguments.cmd.or(arguments.command));
    match words.as_slice() {
        [command, text] if matches!(command.as_str(), "apply_patch" | "applypatch") => {
            vec![(text.clone(), cwd)]
        }
        words => {
            let script = words.last().map_or("", String::as_str);
            heredocs(script)
                .into_iter()
                .map(|(text, dir)| (text, joined(cwd.as_deref(), dir)))
                .collect()
        }
    }
}

fn joined(cwd: Option<&str>, dir: Option<String>) -> Option<String> {
    match (cwd, dir) {
        (Some(cwd), Some(dir)) if !dir.starts_with('/') => {
            Some(format!("{}/{dir}", cwd.trim_end_matches('/')))
        }
        (cwd, dir) => dir.or(cwd.map(str::to_owned)),
    }
}
