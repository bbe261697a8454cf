//! The command line as a person meets it: help, usage errors, exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use clap::CommandFactory;

fn backtrail() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backtrail"));
    for name in ["BACKTRAIL_SOCKET", "BACKTRAIL_PROJECT", "BACKTRAIL_LOG"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// In an empty directory with a home, a data and a runtime directory of its own.
fn in_empty(dir: &Path, args: &[&str]) -> Output {
    let project = dir.join("project");
    std::fs::create_dir_all(&project).unwrap();
    backtrail()
        .args(args)
        .current_dir(&project)
        .env("HOME", dir)
        .env("BACKTRAIL_DATA", dir.join("data"))
        .env("BACKTRAIL_RUNTIME", dir.join("run"))
        .output()
        .unwrap()
}

/// The whole reference is one picture: what changes for users shows in review.
#[test]
fn help_of_every_verb() {
    let mut text = String::new();
    let mut command = backtrail::cli::args::Cli::command().term_width(80);
    command.build();
    let mut print = |title: &str, command: &mut clap::Command| {
        text.push_str(&format!("===== {title}\n{}\n", command.render_long_help()));
    };
    let mut verbs: Vec<(String, clap::Command)> = Vec::new();
    for verb in command.get_subcommands().filter(|v| !v.is_hide_set()) {
        verbs.push((verb.get_name().to_owned(), verb.clone().term_width(80)));
        for below in verb.get_subcommands() {
            verbs.push((
                format!("{} {}", verb.get_name(), below.get_name()),
                below.clone().term_width(80),
            ));
        }
    }
    print("backtrail", &mut command);
    for (name, mut verb) in verbs {
        print(&name, &mut verb);
    }
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("cli__help", text));
}

#[test]
fn exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    for (args, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["run", "--help"], 0),
        (&["keys"], 0),
        (&[], 2), // The screen needs a terminal.
        (&["nonsense"], 2),
        (&["diff"], 2),
        (&["log", "--graph", "--json"], 2),
        (&["log", "-C", "/no/such/directory"], 1),
        (&["log"], 1),
        (&["status"], 0),
        (&["stop"], 0),
        (&["cat", "@:a"], 1),
        (&["completions", "bash"], 0),
    ] {
        let output = in_empty(dir.path(), args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        assert_eq!(output.stderr.is_empty(), code == 0, "{args:?}: {output:?}");
    }
    assert!(
        !dir.path().join("data").exists(),
        "looking must not leave anything behind"
    );
}

#[test]
fn a_status_without_a_recording_is_json_too() {
    let dir = tempfile::tempdir().unwrap();
    let output = in_empty(dir.path(), &["status", "--json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["recorded"], false);
}

/// `backtrail ... | head` is no failure.
#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = backtrail()
        .args(["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(said, "");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
