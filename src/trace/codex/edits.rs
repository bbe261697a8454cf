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
use crate::trace::emit::first_line;
use crate::trace::event::{Before, Ending, FileEffect, Stage, What};
use crate::trace::patch::{self, FilePatch, Part};
use crate::trace::raw::{self, Field};

const BEGIN: &str = "*** Begin Patch";

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

/// The patches that a shell script gives to `apply_patch` in here documents, with the directory of a `cd ... &&` before.
///
/// A document whose end is not quoted goes through the shell, unless it is all that the script does: then Codex takes it
/// as it stands. So where the shell would have changed it, it is not taken.
fn heredocs(script: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = script
        .get(from..)
        .and_then(|s| s.find("apply_patch").or_else(|| s.find("applypatch")))
    {
        let at = from + at;
        from = at + "applypatch".len();
        let Some(line_end) = script[at..].find('\n').map(|n| at + n) else {
            break;
        };
        let Some((_, mark)) = script[at..line_end].split_once("<<") else {
            continue;
        };
        let mark = mark.trim_start_matches('-').trim_start();
        let quoted = mark.starts_with(['\'', '"']);
        let word: String = mark
            .trim_start_matches(['\'', '"'])
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        if word.is_empty() {
            continue;
        }
        let body = &script[line_end + 1..];
        let mut len = 0;
        let mut ended = false;
        for line in body.split_inclusive('\n') {
            if line.trim() == word {
                ended = true;
                break;
            }
            len += line.len();
        }
        if !ended {
            continue;
        }
        let text = &body[..len];
        let dir = directory(&script[..at]);
        let alone = script[..at].trim().is_empty() || dir.is_some();
        if quoted || alone || !text.contains(['$', '`', '\\']) {
            found.push((text.to_owned(), dir));
        }
        from = line_end + 1 + len;
    }
    found
}

/// The directory of `cd DIR &&` that stands right before.
fn directory(before: &str) -> Option<String> {
    let before = before.trim_end().strip_suffix("&&")?;
    let last = before
        .rsplit(['\n', ';'])
        .next()
        .unwrap_or(before)
        .rsplit("&&")
        .next()?
        .trim();
    let dir = last.strip_prefix("cd ")?.trim().trim_matches(['\'', '"']);
    (!dir.is_empty() && !dir.contains(['$', '`', '~'])).then(|| dir.to_owned())
}

/// The string literals of a script that hold a patch.
fn literals(script: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let at = from + script.get(from..)?.find(BEGIN)?;
            from = at + BEGIN.len();
            let start = script[..at].char_indices().next_back();
            if let Some((quote_at, quote)) = start
                && let Some((text, end)) = literal(script, quote_at, quote)
            {
                from = end.max(from);
                return Some(text);
            }
        }
    })
}

/// The string literals that stand as the value of `key` (`cmd: "..."`, `"cmd":"..."`).
fn literals_after<'a>(script: &'a str, key: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let at = from + script.get(from..)?.find(key)? + key.len();
            from = at;
            let rest = script[at..].trim_start_matches(['"', '\'']).trim_start();
            let Some(rest) = rest.strip_prefix(':') else {
                continue;
            };
            let rest = rest.trim_start();
            let Some(quote) = rest.chars().next() else {
                continue;
            };
            if let Some((text, end)) = literal(script, script.len() - rest.len(), quote) {
                from = end;
                return Some(text);
            }
        }
    })
}

/// The JavaScript string literal that begins with `quote` at `at`, and where it ends. `None` where its text depends on
/// what the script does (`${...}`), or where it does not end.
fn literal(script: &str, at: usize, quote: char) -> Option<(Cow<'_, str>, usize)> {
    if !matches!(quote, '"' | '\'' | '`') {
        return None;
    }
    let verbatim = quote == '`' && script[..at].ends_with("String.raw");
    let body_at = at + quote.len_utf8();
    let body = script.get(body_at..)?;
    let mut text = String::new();
    let mut copied = 0;
    let mut chars = body.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        if c == quote {
            let end = body_at + i + c.len_utf8();
            if copied == 0 {
                return Some((Cow::Borrowed(&body[..i]), end));
            }
            text.push_str(&body[copied..i]);
            return Some((Cow::Owned(text), end));
        }
        if quote == '`' && c == '$' && body[i..].starts_with("${") {
            return None;
        }
        if c != '\\' {
            continue;
        }
        if verbatim {
            // `\`` stays as it is, but does not end it.
            chars.next();
            continue;
        }
        text.push_str(&body[copied..i]);
        let (_, escape) = chars.next()?;
        let mut hex = |n: usize| {
            let mut code = 0;
            for _ in 0..n {
                code = code * 16 + chars.next()?.1.to_digit(16)?;
            }
            Some(code)
        };
        match escape {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'v' => text.push('\u{b}'),
            '0' => text.push('\0'),
            '\n' => {}
            'x' => text.push(char::from_u32(hex(2)?)?),
            'u' if body[i..].starts_with("\\u{") => {
                chars.next();
                let mut code: u32 = 0;
                loop {
                    match chars.next()?.1 {
                        '}' => break,
                        c => code = code.checked_mul(16)?.checked_add(c.to_digit(16)?)?,
                    }
                }
                text.push(char::from_u32(code)?);
            }
            'u' => {
                let mut code = hex(4)?;
                if (0xd800..0xdc00).contains(&code) {
                    let (_, slash) = chars.next()?;
                    let (_, u) = chars.next()?;
                    if (slash, u) != ('\\', 'u') {
                        return None;
                    }
                    let mut low = 0;
                    for _ in 0..4 {
                        low = low * 16 + chars.next()?.1.to_digit(16)?;
                    }
                    code = 0x10000 + ((code - 0xd800) << 10) + low.checked_sub(0xdc00)?;
                }
                text.push(char::from_u32(code)?);
            }
            other => text.push(other),
        }
        copied = chars.peek().map_or(body.len(), |(at, _)| *at);
    }
    None
}
