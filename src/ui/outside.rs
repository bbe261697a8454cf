//! A text in the person's own editor (`$VISUAL`, `$EDITOR`, `vi`): a file of its own in a directory that nobody else sees.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Longest text that is read back.
const MAX_BYTES: u64 = 64 << 20;

/// Opens `text` in the editor under a name like `name`; gives what was written, `None` when that is the same. The terminal
/// must have been given back. Blocks until the editor ends.
pub(crate) fn edit(name: &str, text: &[u8]) -> Result<Option<Vec<u8>>, String> {
    edit_with(&editor(), name, text)
}

fn editor() -> String {
    ["VISUAL", "EDITOR"]
        .into_iter()
        .filter_map(|v| std::env::var(v).ok())
        .find(|v| !v.trim().is_empty())
        .unwrap_or_else(|| "vi".to_owned())
}

/// Opens a copy of `text` that nobody may write to, under a name like `name`. The terminal must have been given back.
/// Blocks until the editor ends; the copy is gone then.
pub(crate) fn view(name: &str, text: &[u8]) -> Result<(), String> {
    view_with(&editor(), name, text)
}

fn view_with(editor: &str, name: &str, text: &[u8]) -> Result<(), String> {
    let failed = |error: io::Error| format!("the file cannot be shown: {error}");
    let dir = tempfile::Builder::new()
        .prefix("backtrail-view-")
        .tempdir()
        .map_err(failed)?;
    let path = dir.path().join(plain(name));
    std::fs::write(&path, text).map_err(failed)?;
    let rights = std::fs::Permissions::from_mode(0o400);
    std::fs::set_permissions(&path, rights).map_err(failed)?;
    run(editor, &path)
}

fn edit_with(editor: &str, name: &str, text: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let failed = |error: io::Error| format!("the text cannot be edited: {error}");
    // Its rights are the person's alone.
    let dir = tempfile::Builder::new()
        .prefix("backtrail-edit-")
        .tempdir()
        .map_err(failed)?;
    let path = dir.path().join(plain(name));
    std::fs::write(&path, text).map_err(failed)?;
    run(editor, &path)?;
    let size = std::fs::metadata(&path).map_err(failed)?.len();
    if size > MAX_BYTES {
        return Err(format!("what {editor} wrote is too long to be read back"));
    }
    let written = std::fs::read(&path).map_err(failed)?;
    Ok((written != text).then_some(written))
}

fn run(editor: &str, path: &Path) -> Result<(), String> {
    // The variable may have arguments of its own, so a shell reads it; the path is no part of what it reads.
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("{editor} \"$1\""))
        .arg(editor)
        .arg(path)
        .status()
        .map_err(|error| format!("{editor} cannot be run: {error}; set EDITOR"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!(
            "{editor} failed ({status}); nothing was taken. EDITOR says which one is used"
        ))
    }
}

/// A file name that no program takes for anything else; its end tells the language.
fn plain(name: &str) -> String {
    let kept: Vec<char> = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                c
            } else {
                '_'
            }
        })
        .collect();
    let tail: String = kept.iter().skip(kept.len().saturating_sub(64)).collect();
    let tail = tail.trim_start_matches(['.', '-']);
    if tail.is_empty() {
        "text".to_owned()
    } else {
        tail.to_owned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_the_editor_writes_comes_back() {
        let text = b"one\r\n\xff two";
        assert_eq!(edit_with("true", "a.rs", text).unwrap(), None);
        let made = edit_with("sh -c 'printf more >> \"$0\"'", "a.rs", text).unwrap();
        assert_eq!(made.unwrap(), b"one\r\n\xff twomore");
        let error = edit_with("false", "a.rs", text).unwrap_err();
        assert!(error.contains("nothing was taken"), "{error}");
        let error = edit_with("rm", "a.rs", text).unwrap_err();
        assert!(error.contains("cannot be edited"), "{error}");
    }

    #[test]
    fn a_past_version_is_shown_as_a_copy_of_its_own() {
        let seen = tempfile::tempdir().unwrap();
        let copy = seen.path().join("copy");
        let editor = format!(
            "sh -c 'stat -c %a \"$0\" > {0}; cat \"$0\" >> {0}'",
            copy.display()
        );
        view_with(&editor, "a.rs", b"then\n").unwrap();
        assert_eq!(std::fs::read_to_string(copy).unwrap(), "400\nthen\n");
        assert!(view_with("false", "a.rs", b"").is_err());
    }

    #[test]
    fn names_are_harmless() {
        assert_eq!(plain("../-x\x1b[2J;rm.rs"), "_-x__2J_rm.rs");
        assert_eq!(plain("-rf"), "rf");
        assert_eq!(plain(".."), "text");
        assert_eq!(plain("token.rs"), "token.rs");
    }
}
