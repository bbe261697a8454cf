//! The settings file and the key table through the real binary: printed defaults, problems with line and nearest name.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::path::Path;
use std::process::{Command, Output};

fn backtrail(home: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_backtrail"))
        .args(args)
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn write(home: &Path, text: &str) {
    let dir = home.join(".config/backtrail");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("config.toml"), text).unwrap();
}

#[test]
fn the_printed_defaults_are_a_file_that_can_be_followed() {
    let home = tempfile::tempdir().unwrap();
    let printed = backtrail(home.path(), &["config", "--default"]);
    assert!(printed.status.success());
    let printed = text(&printed);
    for word in [
        "# theme = \"auto\"",
        "[llm]",
        "# which_key_delay = 0.35",
        "# \"]c\" = \"time.next-change\"",
    ] {
        assert!(printed.contains(word), "{word} is not in\n{printed}");
    }
    // Nothing was made by that.
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    write(home.path(), &printed);
    let checked = backtrail(home.path(), &["config"]);
    assert!(checked.status.success(), "{checked:?}");
    assert_eq!(
        text(&checked),
        "~/.config/backtrail/config.toml can be followed\n"
    );
    // Also with every line of keys taken out of its comment: each says what is so anyway.
    let (before, keys) = printed.split_once("# [keys]\n").unwrap();
    let keys = keys.replace("# \"", "\"");
    assert!(keys.lines().count() > 80, "{keys}");
    write(home.path(), &format!("{before}\n[keys]\n{}", once(&keys)));
    let checked = backtrail(home.path(), &["config"]);
    assert!(checked.status.success(), "{}", text(&checked));
}

/// Keys that mean different things in different views can be said for all of them only once.
fn once(lines: &str) -> String {
    let mut seen = std::collections::HashSet::new();
    lines
        .lines()
        .filter(|line| {
            let key = line.split(" = ").next().unwrap_or_default();
            seen.insert(key.to_owned())
        })
        .fold(String::new(), |all, line| all + line + "\n")
}

#[test]
fn no_file_is_no_fault() {
    let home = tempfile::tempdir().unwrap();
    let checked = backtrail(home.path(), &["config"]);
    assert!(checked.status.success());
    assert!(text(&checked).contains("is not there: the defaults count"));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn problems_are_told_with_file_line_and_nearest_name() {
    let home = tempfile::tempdir().unwrap();
    write(
        home.path(),
        "mose = \"off\"\n[keys.timeline]\n\"g o\" = \"look.stat\"\n\n[llm]\nmodl = \"x\"\n",
    );
    let checked = backtrail(home.path(), &["config"]);
    assert_eq!(checked.status.code(), Some(1));
    assert_eq!(
        text(&checked).lines().collect::<Vec<_>>(),
        [
            "~/.config/backtrail/config.toml:1: there is no setting \"mose\"; is mouse meant?",
            "~/.config/backtrail/config.toml:3: there is no action \"look.stat\"; is look.state meant?",
            "~/.config/backtrail/config.toml:6: there is no setting \"modl\" in [llm]; is model meant?",
        ]
    );
}

#[test]
fn keys_as_json() {
    let home = tempfile::tempdir().unwrap();
    let printed = text(&backtrail(home.path(), &["keys", "--json"]));
    let keys: Vec<serde_json::Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let step = keys.iter().find(|k| k["id"] == "time.step").unwrap();
    assert_eq!(step["keys"][0], "s");
    assert_eq!(step["group"], "time");
    assert!(
        step["views"]
            .as_array()
            .unwrap()
            .contains(&"timeline".into())
    );
}
