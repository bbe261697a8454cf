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

#[test]
fn the_table_of_keys_in_the_documentation_is_the_programs() {
    let home = tempfile::tempdir().unwrap();
    let printed = text(&backtrail(home.path(), &["keys", "--markdown"]));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/keys.md");
    let kept = std::fs::read_to_string(&path).unwrap();
    let (head, table) = kept.split_once("\n## ").unwrap();
    if format!("## {table}") != printed {
        // Made again by asking for it, as snapshots are.
        if std::env::var_os("INSTA_UPDATE").is_some_and(|v| v == "always") {
            std::fs::write(&path, format!("{head}\n{printed}")).unwrap();
            return;
        }
        panic!(
            "docs/keys.md is out of date; make it again: INSTA_UPDATE=always cargo test --test config"
        );
    }
}

#[test]
fn the_readme_names_the_keys_that_there_are() {
    let home = tempfile::tempdir().unwrap();
    let printed = text(&backtrail(home.path(), &["keys", "--json"]));
    let keys: Vec<serde_json::Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, table) = readme.split_once("| key | |\n|---|---|\n").unwrap();
    let rows: Vec<&str> = table.lines().take_while(|l| l.starts_with('|')).collect();
    assert!(rows.len() >= 12, "{rows:?}");
    for row in rows {
        let cell = row.trim_matches('|').split(" | ").next().unwrap();
        for key in cell.split('`').skip(1).step_by(2) {
            let known = keys.iter().any(|k| {
                let keys = k["keys"].as_array().unwrap();
                keys.iter().any(|k| k.as_str() == Some(key))
            });
            assert!(known, "{key} of README.md's table is no key");
        }
    }
}

#[test]
fn manual_pages_for_every_command_with_the_keys() {
    let home = tempfile::tempdir().unwrap();
    let page = text(&backtrail(home.path(), &["man"]));
    for word in [
        ".TH backtrail 1",
        ".SH KEYS OF THE SCREEN",
        ".SS TIME",
        "Go one step forward",
        "config.toml",
        "NO_COLOR",
    ] {
        assert!(page.contains(word), "{word} is not in\n{page}");
    }
    let made = backtrail(home.path(), &["man", "pages"]);
    assert!(made.status.success(), "{made:?}");
    let names: Vec<String> = std::fs::read_dir(home.path().join("pages"))
        .unwrap()
        .map(|f| f.unwrap().file_name().into_string().unwrap())
        .collect();
    for name in ["backtrail.1", "backtrail-run.1", "backtrail-branch-list.1"] {
        assert!(
            names.iter().any(|n| n == name),
            "{name} is not in {names:?}"
        );
    }
    assert!(
        !names
            .iter()
            .any(|n| n.contains("enter") || n.contains("engine"))
    );
    // A line that begins with a dot or a quote is a command to the formatter.
    for line in page.lines().filter(|l| l.starts_with('\'')) {
        assert!(
            line.starts_with("'\\\"") || line.starts_with(".ie"),
            "{line}"
        );
    }
}

#[test]
fn completions_know_the_commands() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let made = text(&backtrail(home.path(), &["completions", shell]));
        for word in ["rollback", "config", "man"] {
            assert!(made.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn an_unknown_theme_is_told_with_the_nearest_one() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), "theme = \"nigt\"\n");
    let told = backtrail(home.path(), &["config"]);
    assert_eq!(told.status.code(), Some(1));
    assert!(text(&told).contains("there is no theme \"nigt\"; is night meant?"));
    // One of the person's own.
    let dir = home.path().join(".config/backtrail/themes");
    std::fs::create_dir_all(&dir).unwrap();
    let dark = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/themes/dark.toml");
    let dark = std::fs::read_to_string(dark).unwrap();
    std::fs::write(dir.join("nigt.toml"), &dark).unwrap();
    assert!(backtrail(home.path(), &["config"]).status.success());
    std::fs::write(dir.join("nigt.toml"), dark.replace("cyan =", "cyn =")).unwrap();
    let told = text(&backtrail(home.path(), &["config"]));
    let line = dark.lines().position(|l| l.starts_with("cyan")).unwrap() + 1;
    let said =
        format!("~/.config/backtrail/themes/nigt.toml:{line}: a theme has no colour \"cyn\"");
    assert!(told.contains(&said), "{told}");
}
