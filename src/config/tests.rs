#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]
use super::*;

fn told(text: &str) -> Vec<String> {
    let (_, _, problems) = read(text);
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn the_printed_defaults_are_the_defaults() {
    let printed = table::default_text("");
    // As it is, nothing of it counts.
    assert_eq!(read(&printed), (Settings::default(), vec![], vec![]));
    // With every setting taken out of its comment, it says the same.
    let said: String = printed
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if table::SETTINGS.iter().any(|s| {
                    rest.strip_prefix(s.name)
                        .is_some_and(|r| r.starts_with(" = "))
                }) =>
            {
                format!("{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    assert!(said.contains("\ntheme = \"auto\"\n"), "{said}");
    let (settings, _, problems) = read(&said);
    assert_eq!(problems, vec![]);
    assert_eq!(settings, Settings::default());
}

#[test]
fn settings_are_taken_over() {
    let (settings, keys, problems) = read(
        "theme = \"night\"\nglyphs = \"ascii\"\nmouse = \"off\"\nreduce_motion = true\ntab_width = 8\nidle_gap = 2\nwhich_key_delay = 0.1\ntoast = 3.5\n[keys]\n\"g o\" = \"look.state\"\n[keys.timeline]\nx = \"\"\n",
    );
    assert_eq!(problems, vec![]);
    assert_eq!(settings.theme, "night");
    assert_eq!(settings.glyphs, GlyphSet::Ascii);
    assert!(!settings.mouse && settings.reduce_motion);
    assert_eq!(settings.tab_width, 8);
    assert_eq!(settings.idle_gap, Duration::from_secs(2));
    assert_eq!(settings.which_key_delay, Duration::from_millis(100));
    assert_eq!(settings.toast, Duration::from_millis(3500));
    assert_eq!(keys.len(), 2);
    assert_eq!((keys[0].view.as_deref(), keys[0].line), (None, 10));
    assert_eq!(
        (keys[1].view.as_deref(), keys[1].line),
        (Some("timeline"), 12)
    );
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_the_nearest_name() {
    assert_eq!(
        told("# first\nthme = \"dark\"\n"),
        ["line 2: there is no setting \"thme\"; is theme meant?"]
    );
    assert_eq!(
        told("mouse = \"on\"\n"),
        ["line 1: mouse knows no \"on\", only auto, off"]
    );
    assert_eq!(
        told("[llm]\nmodle = \"m\"\n"),
        ["line 2: there is no setting \"modle\" in [llm]; is model meant?"]
    );
    assert_eq!(
        told("\n[kesy]\na = 1\n"),
        ["line 2: there is no section [\"kesy\"]; is keys meant?"]
    );
    assert_eq!(
        told("tab_width = 99"),
        ["line 1: tab_width wants a whole number from 1 to 16"]
    );
    assert_eq!(
        told("toast = -1.0"),
        ["line 1: toast wants seconds from 1 to 3600"]
    );
    assert_eq!(
        told("keys = 1"),
        ["line 1: keys is a section; write [keys]"]
    );
    assert!(told("a = 1\nb = [1\n")[0].starts_with("line 2: it is not TOML"));
    assert!(told("[keys]\nx = 3\n")[0].contains("name of an action"));
    // All of them, in the order of the file, and the rest still counts.
    let (settings, _, problems) = read("mouse = 1\nthme = 2\ntab_width = 2\n");
    assert_eq!(problems.len(), 2);
    assert_eq!(settings.tab_width, 2);
}

#[test]
fn hostile_files_are_told_of_harmlessly() {
    for text in [
        "\u{1b}[31m = 1",
        "\"\\u001b]0;x\\u0007\" = 1",
        "a = \"\u{202e}\"",
        "\u{0}",
        "[[[[[[[[[",
        "a.b.c.d.e = 1",
        "tab_width = 999999999999999999999999",
        "tab_width = 0xFFFFFFFFFFFFFFFF",
        "toast = inf",
        "toast = nan",
        "keys.x.y.z = 1",
    ] {
        for line in told(text) {
            assert!(
                !line.contains('\u{1b}') && !line.contains('\u{7}'),
                "{line:?}"
            );
        }
        assert!(!told(text).is_empty(), "{text:?}");
    }
}

#[test]
fn a_themes_name_is_no_path() {
    assert_eq!(file::theme_file("../x"), None);
    assert_eq!(file::theme_file(""), None);
    assert_eq!(file::theme_file("a/b"), None);
}
