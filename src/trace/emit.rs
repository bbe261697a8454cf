//! What one event of `emit` means for the timeline: titles, kinds and named paths, as plain functions.
//!
//! Nothing is stored here. Titles are one line of at most [`TITLE`] characters; whole texts are kept beside them.

use std::path::Path;

use serde_json::Value;

use crate::model::CallKind;

/// Longest title, in characters.
pub const TITLE: usize = 240;

/// The first line of `text` that says something, cut to [`TITLE`] characters.
#[must_use]
pub fn first_line(text: &str) -> String {
    let line = text
        .lines()
        .map(str::trim)
        .find(|l| !l.is_empty())
        .unwrap_or_default();
    cut(line)
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(TITLE) {
        Some((at, _)) => {
            let end = line[..at]
                .char_indices()
                .next_back()
                .map_or(0, |(last, _)| last);
            format!("{}…", &line[..end])
        }
        None => line.to_owned(),
    }
}

/// The ACP kind that a tool of this name usually is. Names differ between agents in case and wording only.
#[must_use]
pub fn kind_of(tool: &str) -> CallKind {
    let name = tool.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| name.contains(w));
    match name.as_str() {
        "task" | "agent" => CallKind::Agent,
        "ls" | "glob" | "list" => CallKind::Search,
        _ if has(&["bash", "shell", "exec", "command", "terminal"]) => CallKind::Execute,
        _ if has(&["fetch", "web", "http"]) => CallKind::Fetch,
        _ if has(&["grep", "search", "find"]) => CallKind::Search,
        _ if has(&["delete", "remove"]) => CallKind::Delete,
        _ if has(&["move", "rename"]) => CallKind::Move,
        _ if has(&["edit", "write", "patch", "create", "replace"]) => CallKind::Edit,
        _ if has(&["read", "view", "open", "cat"]) => CallKind::Read,
        _ if has(&["think", "plan"]) => CallKind::Think,
        _ => CallKind::Other,
    }
}

/// One line for a call without a title: its command, else its path, else its pattern, else its first text argument.
#[must_use]
pub fn call_title(name: &str, input: &Value) -> String {
    const TELLING: [&str; 9] = [
        "command",
        "cmd",
        "file_path",
        "path",
        "notebook_path",
        "pattern",
        "query",
        "url",
        "description",
    ];
    let text = match input {
        Value::Object(map) => TELLING
            .iter()
            .find_map(|key| map.get(*key).and_then(Value::as_str))
            .or_else(|| map.values().find_map(Value::as_str))
            .unwrap_or_default(),
        Value::String(s) => s,
        _ => "",
    };
    let line = first_line(text);
    if line.is_empty() { cut(name) } else { line }
}

/// The paths that a call names in its arguments, relative to `project` where they lie in it (as the agent sees it:
/// transcripts hold absolute paths), else as they are. Commands are not taken apart.
#[must_use]
pub fn named_paths(input: &Value, project: &Path) -> Vec<String> {
    const KEYS: [&str; 8] = [
        "file_path",
        "path",
        "notebook_path",
        "filename",
        "file",
        "old_path",
        "new_path",
        "target_file",
    ];
    let mut out = Vec::new();
    let mut add = |text: &str| {
        let rel = Path::new(text)
            .strip_prefix(project)
            .map_or_else(|_| text.to_owned(), |p| p.to_string_lossy().into_owned());
        let rel = rel.trim_start_matches("./").to_owned();
        if !rel.is_empty() && !out.contains(&rel) && out.len() < 64 {
            out.push(rel);
        }
    };
    if let Value::Object(map) = input {
        for key in KEYS {
            if let Some(text) = map.get(key).and_then(Value::as_str) {
                add(text);
            }
        }
        for key in ["paths", "files", "file_paths"] {
            if let Some(list) = map.get(key).and_then(Value::as_array) {
                list.iter().filter_map(Value::as_str).for_each(&mut add);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn titles_are_one_short_line() {
        assert_eq!(first_line("\n  hello \nworld"), "hello");
        let long = "é".repeat(500);
        let title = first_line(&long);
        assert_eq!(title.chars().count(), TITLE);
        assert!(title.ends_with('…'));
        assert_eq!(
            call_title("Bash", &json!({"command": "ls -l\ncd"})),
            "ls -l"
        );
        assert_eq!(call_title("Odd", &json!([1, 2])), "Odd");
        assert_eq!(call_title("X", &json!({"n": 1, "q": "text"})), "text");
    }

    #[test]
    fn kinds_by_name() {
        for (name, kind) in [
            ("Bash", CallKind::Execute),
            ("exec_command", CallKind::Execute),
            ("MultiEdit", CallKind::Edit),
            ("apply_patch", CallKind::Edit),
            ("Read", CallKind::Read),
            ("Grep", CallKind::Search),
            ("WebFetch", CallKind::Fetch),
            ("Task", CallKind::Agent),
            ("Weather", CallKind::Other),
        ] {
            assert_eq!(kind_of(name), kind, "{name}");
        }
    }

    #[test]
    fn paths_relative_to_the_project() {
        let input = json!({"file_path": "/w/p/src/a.rs", "paths": ["./b", "/etc/passwd"]});
        assert_eq!(
            named_paths(&input, Path::new("/w/p")),
            ["src/a.rs", "b", "/etc/passwd"]
        );
    }
}
