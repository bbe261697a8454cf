//! What a branch may be called: what git allows, so that a branch can be handed to git under its own name, and nothing
//! that a terminal or the words for revisions would read as something else.

use crate::model::neutral;

use super::api::{ApiError, ErrorCode};

/// Longest name, in bytes: with room for an ending it is still a file name.
const LONGEST: usize = 200;

/// Refuses what cannot be the name of a branch, and says why.
pub fn check(name: &str) -> Result<(), ApiError> {
    let Some(why) = fault(name) else {
        return Ok(());
    };
    Err(ApiError::new(
        ErrorCode::Refused,
        format!(
            "{:?} cannot be the name of a branch: {why}",
            neutral(name.as_bytes())
        ),
    ))
}

fn fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.len() > LONGEST {
        return Some("it is longer than 200 bytes");
    }
    // What `neutral` would change for a terminal: control characters, and those that turn the direction of text.
    if name.chars().any(|c| c.is_control() || c.is_whitespace()) || neutral(name.as_bytes()) != name
    {
        return Some("it has a space or a control character");
    }
    if name.contains(['~', '^', ':', '?', '*', '[', '\\', '"']) {
        return Some("it has one of ~ ^ : ? * [ \\ \"");
    }
    if name.contains("..") || name.contains("@{") {
        return Some("it has .. or @{");
    }
    if name == "@" || name.eq_ignore_ascii_case("head") {
        return Some("that names the latest commit");
    }
    if name.starts_with('-') {
        return Some("it begins with -, like an option");
    }
    if name.ends_with('.') {
        return Some("it ends with a dot");
    }
    for part in name.split('/') {
        if part.is_empty() {
            return Some("a part between slashes is empty");
        }
        if part.starts_with('.') || part.ends_with(".lock") {
            return Some("a part begins with a dot or ends with .lock");
        }
    }
    None
}

/// Whether two branches cannot be at the same time: one would be the directory of the other, in git as in a store.
pub fn clash(a: &str, b: &str) -> bool {
    let below = |long: &str, short: &str| {
        long.strip_prefix(short)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    below(a, b) || below(b, a)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    const GOOD: &[&str] = &[
        "a",
        "main",
        "feature/x-1",
        "ümlaut",
        "imported/claude-31b1be44",
        "a.b",
        "a@b",
        "a{b}",
        "1234",
        "lock",
        "x.lockk",
        "a/-b",
        "!",
        "a'b",
        "$HOME",
        "a,b;c|d",
    ];
    const BAD: &[&str] = &[
        "",
        ".a",
        "a/.b",
        "a.lock",
        "a.lock/b",
        "a..b",
        "a b",
        "a\tb",
        "a\nb",
        "a\x1b[31mb",
        "a\x7fb",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[b",
        "a\\b",
        "/a",
        "a/",
        "a//b",
        "a.",
        "a@{b",
        "..",
        ".",
    ];

    #[test]
    fn takes_the_good_and_refuses_the_bad() {
        for name in GOOD {
            assert!(check(name).is_ok(), "{name:?}");
        }
        let ours: Vec<String> = [
            "@",
            "-a",
            "--force",
            "HEAD",
            "head",
            "a\u{85}b",
            "a\u{202e}b",
            "a\u{2028}b",
            "a\u{a0}b",
            "a\"b",
        ]
        .map(str::to_owned)
        .into_iter()
        .chain(["x".repeat(201)])
        .collect();
        for name in BAD.iter().copied().chain(ours.iter().map(String::as_str)) {
            let said = check(name).unwrap_err().message;
            assert!(
                !said.chars().any(|c| c.is_control()),
                "{name:?} is said as it is"
            );
        }
    }

    #[test]
    fn what_git_refuses_is_refused_and_what_is_taken_git_takes() {
        let git = |name: &str| {
            let out = std::process::Command::new("git")
                .arg("check-ref-format")
                .arg(format!("refs/heads/{name}"))
                .output();
            out.ok().map(|o| o.status.success())
        };
        if git("main") != Some(true) {
            eprintln!("skipped: no git here");
            return;
        }
        for name in GOOD {
            assert_eq!(git(name), Some(true), "{name:?}");
        }
        for name in BAD {
            assert_eq!(git(name), Some(false), "{name:?}");
        }
    }

    #[test]
    fn a_branch_is_no_directory_of_another() {
        assert!(clash("a", "a/b") && clash("a/b/c", "a/b"));
        assert!(!clash("a", "ab") && !clash("a/b", "a/c") && !clash("a", "a"));
    }
}
