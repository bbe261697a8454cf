//! What a call's arguments say it will do to files, by the names that the edit tools of many agents share.
//!
//! Formats whose records tell the outcome itself (contents before and after) use that instead. What is said here is only
//! asked for: whether it counts is known from the call's result.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::event::{Before, FileEffect, Replacement, Stage, What};
use super::patch;
use super::raw::{self, Field};
use crate::model::Time;

/// The arguments that edit tools know, under all their names.
#[derive(Deserialize, Default)]
struct Args<'a> {
    #[serde(borrow, default)]
    path: Field<'a>,
    #[serde(borrow, default)]
    file_path: Field<'a>,
    #[serde(borrow, default, rename = "filePath")]
    file_path_camel: Field<'a>,
    #[serde(borrow, default)]
    absolute_path: Field<'a>,
    #[serde(borrow, default)]
    notebook_path: Field<'a>,
    #[serde(borrow, default)]
    filename: Field<'a>,
    #[serde(borrow, default)]
    file: Field<'a>,
    #[serde(borrow, default)]
    target_file: Field<'a>,
    #[serde(borrow, default)]
    paths: Field<'a>,
    #[serde(borrow, default)]
    command: Field<'a>,
    #[serde(borrow, default)]
    cmd: Field<'a>,
    #[serde(borrow, default)]
    pattern: Field<'a>,
    #[serde(borrow, default)]
    query: Field<'a>,
    #[serde(borrow, default)]
    url: Field<'a>,
    #[serde(borrow, default)]
    description: Field<'a>,
    #[serde(borrow, default)]
    objective: Field<'a>,
    #[serde(borrow, default)]
    prompt: Field<'a>,
    #[serde(borrow, default)]
    content: Field<'a>,
    #[serde(borrow, default)]
    file_text: Field<'a>,
    #[serde(borrow, default)]
    old_string: Field<'a>,
    #[serde(borrow, default)]
    new_string: Field<'a>,
    #[serde(borrow, default)]
    old_str: Field<'a>,
    #[serde(borrow, default)]
    new_str: Field<'a>,
    #[serde(borrow, default, rename = "oldText")]
    old_text: Field<'a>,
    #[serde(borrow, default, rename = "newText")]
    new_text: Field<'a>,
    #[serde(borrow, default, rename = "oldString")]
    old_string_camel: Field<'a>,
    #[serde(borrow, default, rename = "newString")]
    new_string_camel: Field<'a>,
    #[serde(borrow, default)]
    replace_all: Field<'a>,
    #[serde(borrow, default, rename = "replaceAll")]
    replace_all_camel: Field<'a>,
    #[serde(borrow, default)]
    allow_multiple: Field<'a>,
    #[serde(borrow, default)]
    expected_replacements: Field<'a>,
    #[serde(borrow, default)]
    edits: Field<'a>,
    #[serde(borrow, default, rename = "patchText")]
    patch_text: Field<'a>,
    #[serde(borrow, default)]
    patch: Field<'a>,
    #[serde(borrow, default)]
    input: Field<'a>,
}

impl<'a> Args<'a> {
    /// The path that the call is about.
    fn path(&self) -> Option<Cow<'a, str>> {
        [
            self.file_path,
            self.file_path_camel,
            self.absolute_path,
            self.path,
            self.notebook_path,
            self.target_file,
            self.filename,
            self.file,
        ]
        .into_iter()
        .find_map(|f| raw::string(f).filter(|p| !p.is_empty()))
    }

    fn replacement(&self) -> Option<Replacement> {
        let old = [
            self.old_string,
            self.old_str,
            self.old_text,
            self.old_string_camel,
        ];
        let new = [
            self.new_string,
            self.new_str,
            self.new_text,
            self.new_string_camel,
        ];
        let old = old.into_iter().find_map(raw::string)?;
        Some(Replacement {
            old: old.into_owned(),
            new: new
                .into_iter()
                .find_map(raw::string)
                .unwrap_or_default()
                .into_owned(),
            all: [
                self.replace_all,
                self.replace_all_camel,
                self.allow_multiple,
            ]
            .into_iter()
            .any(raw::truth)
                || raw::count(self.expected_replacements) > 1,
        })
    }

    fn patch(&self) -> Option<Cow<'a, str>> {
        [self.patch_text, self.patch, self.input]
            .into_iter()
            .find_map(raw::string)
            .filter(|t| t.contains("*** "))
    }
}

/// What the arguments say for people and for finding the call again.
#[derive(Default)]
pub(super) struct Told<'a> {
    /// A line; `None` to have one made of the arguments as a whole.
    pub title: Option<Cow<'a, str>>,
    /// The paths that they name, as written.
    pub paths: Vec<String>,
}

/// Title and paths of a call with these arguments: its command, else its path, else what it searches.
pub(super) fn told<'a>(input: Field<'a>) -> Told<'a> {
    let mut paths: Vec<String> = Vec::new();
    let mut add = |path: &str| {
        if !path.is_empty() && paths.len() < 64 && !paths.iter().any(|p| p == path) {
            paths.push(path.to_owned());
        }
    };
    if let Some(text) = raw::string(input) {
        patched(&text).for_each(&mut add);
        let title = patched(&text).next().map(str::to_owned).map(Cow::Owned);
        return Told { title, paths };
    }
    let Some(args) = raw::object::<Args<'a>>(input) else {
        return Told::default();
    };
    let path = args.path();
    if let Some(path) = &path {
        add(path);
    }
    for path in raw::list(args.paths) {
        add(&raw::string(Some(path)).unwrap_or_default());
    }
    if let Some(patch) = args.patch() {
        patched(&patch).for_each(&mut add);
    }
    // `command` is also what an edit tool with several verbs calls its verb.
    let command = raw::string(args.command).filter(|_| path.is_none());
    let first = paths.first().map(|p| Cow::Owned(p.clone()));
    let title = [command, raw::string(args.cmd)]
        .into_iter()
        .flatten()
        .find(|t| !t.is_empty())
        .or_else(|| raw::string(args.pattern).filter(|p| !p.is_empty()))
        .or(path)
        .or(first)
        .or_else(|| {
            [
                args.query,
                args.url,
                args.description,
                args.objective,
                args.prompt,
            ]
            .into_iter()
            .find_map(|f| raw::string(f).filter(|t| !t.is_empty()))
        });
    Told { title, paths }
}

/// The paths that an `apply_patch` text names.
fn patched(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        ["Add File: ", "Update File: ", "Delete File: ", "Move to: "]
            .iter()
            .find_map(|word| line.strip_prefix("*** ")?.strip_prefix(word))
            .map(str::trim)
    })
}

/// Whether a tool of this name may change files by its arguments.
pub(super) fn edits(tool: &str) -> bool {
    let name = tool.to_ascii_lowercase();
    ["edit", "write", "create", "replace", "patch", "insert"]
        .iter()
        .any(|word| name.contains(word))
        && !name.contains("todo")
        && !name.contains("stdin")
}

/// What the arguments of the call `id` ask for.
pub(super) fn declared(
    tool: &str,
    input: Field<'_>,
    id: &str,
    cwd: Option<&str>,
    time: Option<Time>,
    out: &mut Vec<FileEffect>,
) {
    if !edits(tool) {
        return;
    }
    let mut say = |path: &str, before: Before, what: What| {
        out.push(FileEffect {
            call: id.to_owned(),
            path: path.to_owned(),
            cwd: cwd.map(str::to_owned),
            time,
            stage: Stage::Declared,
            before,
            what,
        });
    };
    let args: Args<'_> = raw::object(input).unwrap_or_default();
    if let Some(text) = raw::string(input).or_else(|| args.patch()) {
        // A patch that cannot be read changed what it names, or nothing: the paths are in it for people to see.
        for part in patch::parse(&text).unwrap_or_default() {
            let change = What::Patch(part.patch);
            let what = match part.move_to {
                Some(to) => What::Rename {
                    to,
                    change: Some(Box::new(change)),
                },
                None => change,
            };
            say(&part.path, Before::NotTold, what);
        }
        return;
    }
    let Some(path) = args.path() else {
        return;
    };
    let mut say = |before: Before, what: What| say(&path, before, what);
    let name = tool.to_ascii_lowercase();
    let command = raw::string(args.command).unwrap_or_default();
    if command == "insert" || command == "undo_edit" {
        // Where it inserts is a line number whose counting differs between agents: the change is known, not its text.
        return say(Before::NotTold, What::Changed);
    }
    let pairs: Vec<Replacement> = raw::list(args.edits)
        .into_iter()
        .filter_map(|edit: &RawValue| raw::object::<Args<'_>>(Some(edit))?.replacement())
        .collect();
    if !pairs.is_empty() {
        return say(Before::NotTold, What::Replace(pairs));
    }
    if let Some(one) = args.replacement() {
        return say(Before::NotTold, What::Replace(vec![one]));
    }
    if let Some(content) = raw::string(args.content).or_else(|| raw::string(args.file_text)) {
        // Tools that create refuse a path that is there.
        let before = if name == "create" || command == "create" {
            Before::Absent
        } else {
            Before::NotTold
        };
        say(before, What::Write(content.into_owned()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    fn effects(tool: &str, json: &str) -> Vec<(String, Before, What)> {
        let raw = RawValue::from_string(json.to_owned()).unwrap();
        let mut out = Vec::new();
        declared(tool, Some(&raw), "c1", Some("/w"), None, &mut out);
        out.into_iter()
            .map(|e| (e.path, e.before, e.what))
            .collect()
    }

    fn pair(old: &str, new: &str, all: bool) -> Replacement {
        Replacement {
            old: old.into(),
            new: new.into(),
            all,
        }
    }

    #[test]
    fn the_same_edit_under_many_names() {
        for (tool, json) in [
            ("edit", r#"{"path":"a","oldText":"x","newText":"y"}"#),
            (
                "Edit",
                r#"{"file_path":"a","old_string":"x","new_string":"y","replace_all":false}"#,
            ),
            (
                "edit",
                r#"{"filePath":"a","oldString":"x","newString":"y"}"#,
            ),
            (
                "str_replace_editor",
                r#"{"command":"str_replace","path":"a","old_str":"x","new_str":"y"}"#,
            ),
            (
                "edit",
                r#"{"path":"a","edits":[{"oldText":"x","newText":"y"}]}"#,
            ),
        ] {
            assert_eq!(
                effects(tool, json),
                [(
                    "a".to_owned(),
                    Before::NotTold,
                    What::Replace(vec![pair("x", "y", false)])
                )],
                "{json}"
            );
        }
    }

    #[test]
    fn writes_and_what_is_no_edit() {
        assert_eq!(
            effects("create", r#"{"path":"a","file_text":"t\n"}"#),
            [("a".into(), Before::Absent, What::Write("t\n".into()))]
        );
        assert_eq!(
            effects("write", r#"{"path":"a","content":""}"#),
            [("a".into(), Before::NotTold, What::Write(String::new()))]
        );
        assert_eq!(effects("read", r#"{"path":"a"}"#), []);
        assert_eq!(effects("TodoWrite", r#"{"path":"a","content":"x"}"#), []);
        assert_eq!(effects("edit", "[1]"), []);
        assert_eq!(
            effects("str_replace_editor", r#"{"command":"insert","path":"a"}"#),
            [("a".into(), Before::NotTold, What::Changed)]
        );
    }

    #[test]
    fn patches() {
        let patch = "*** Begin Patch\\n*** Add File: a\\n+x\\n*** Update File: b\\n*** Move to: c\\n@@\\n-1\\n+2\\n*** Delete File: d\\n*** End Patch";
        let text = format!("\"{patch}\"");
        let told = effects("apply_patch", &text);
        assert_eq!(
            told,
            effects("apply_patch", &format!("{{\"patchText\":{text}}}"))
        );
        let paths: Vec<&str> = told.iter().map(|(path, _, _)| path.as_str()).collect();
        assert_eq!(paths, ["a", "b", "d"]);
        assert!(matches!(&told[1].2, What::Rename { to, change: Some(_) } if to == "c"));
        assert_eq!(effects("apply_patch", "\"*** Begin Patch\\n*** Oops\""), []);
    }

    #[test]
    fn named_paths() {
        let of = |json: &str| told(Some(&RawValue::from_string(json.to_owned()).unwrap())).paths;
        assert_eq!(of(r#"{"filePath":"/w/a"}"#), ["/w/a"]);
        assert_eq!(
            of(
                r#"{"patchText":"*** Begin Patch\n*** Update File: a\n*** Move to: b\n*** End Patch"}"#
            ),
            ["a", "b"]
        );
        assert_eq!(of(r#""*** Delete File: c""#), ["c"]);
        assert!(of("{}").is_empty());
    }
}
