//! The demo's files, part of the program: a small project, the agent, its recording.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::super::Fail;

macro_rules! project {
    ($($path:literal $mode:literal),* $(,)?) => {
        &[$(($path, include_bytes!(concat!("../../../assets/demo/project/", $path)), $mode)),*]
    };
}

/// Path, content, mode.
type File = (&'static str, &'static [u8], u32);

/// The project. Its ignore file has another name among our own files, where it would be obeyed.
const PROJECT: &[File] = project![
    "README.md" 0o644,
    "tokens.conf" 0o644,
    "gitignore" 0o644,
    "src/tokens.sh" 0o755,
    "src/days.awk" 0o644,
    "src/expiry.awk" 0o644,
    "tests/run.sh" 0o644,
    "tests/basic.psv" 0o644,
    "tests/basic.expected" 0o644,
    "tests/ending.psv" 0o644,
    "tests/ending.expected" 0o644,
    "scripts/format.sh" 0o644,
    "data/tokens.psv" 0o644,
];

/// The agent, with its recorded reasoning.
pub const AGENT: &str = include_str!("../../../assets/demo/agent.sh");
/// One event a line.
pub const RECORDING: &str = include_str!("../../../assets/demo/recording.ndjson");

/// Writes the project, with the leftovers of an earlier build, and the agent beside it.
pub fn lay_out(project: &Path, beside: &Path) -> Result<(), Fail> {
    for (path, content, mode) in PROJECT {
        let path = if *path == "gitignore" {
            ".gitignore"
        } else {
            path
        };
        write(&project.join(path), content, *mode)?;
    }
    write(
        &project.join("build/basic.out"),
        b"from an earlier run\n",
        0o644,
    )?;
    write(&beside.join("agent.sh"), AGENT.as_bytes(), 0o644)?;
    write(
        &beside.join("recording.ndjson"),
        RECORDING.as_bytes(),
        0o644,
    )
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), Fail> {
    let failed = |e: std::io::Error| Fail::Message(format!("{}: {e}", path.display()));
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(failed)?;
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    // Whatever the user's umask is: the demo shows a mode being changed.
    file.set_permissions(fs::Permissions::from_mode(mode))
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use crate::model::{EmitBody, EmitEvent};
    use std::process::Command;

    #[test]
    fn the_recording_is_made_of_events_that_are_understood() {
        let mut calls = Vec::new();
        for line in RECORDING.lines() {
            let event: EmitEvent = serde_json::from_str(line).unwrap();
            match event.body {
                EmitBody::Prompt { .. } | EmitBody::Thought { .. } | EmitBody::Message { .. } => {}
                EmitBody::Call { id, .. } => calls.push(id),
                other => panic!("{other:?}"),
            }
        }
        assert!(calls.len() >= 15);
        let mut unique = calls.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), calls.len());
    }

    /// The story, played without Backtrail: what the agent says of each result is what really comes of it.
    #[test]
    fn the_agent_does_what_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().join("tokens");
        lay_out(&project, dir.path()).unwrap();
        let emit = dir.path().join("emit");
        fs::write(&emit, "#!/bin/sh\ncat >> \"$DEMO/emitted\"\n").unwrap();
        fs::set_permissions(&emit, fs::Permissions::from_mode(0o755)).unwrap();
        let status = Command::new("sh")
            .arg(dir.path().join("agent.sh"))
            .current_dir(&project)
            .env("DEMO", dir.path())
            .env("BACKTRAIL", &emit)
            .env("BACKTRAIL_DEMO_PACE", "0")
            .env("LC_ALL", "C")
            .status()
            .unwrap();
        assert!(status.success());
        let mut codes = Vec::new();
        for line in fs::read_to_string(dir.path().join("emitted"))
            .unwrap()
            .lines()
        {
            let event: EmitEvent = serde_json::from_str(line).unwrap();
            if let EmitBody::Result {
                id,
                output,
                exit_code,
                is_error,
            } = event.body
            {
                assert_eq!(
                    is_error,
                    exit_code.is_some_and(|c| c != 0),
                    "{id}: {output}"
                );
                if output.contains("passed,") {
                    codes.push((id, exit_code.unwrap()));
                }
            }
        }
        let expected = [
            ("c4", 1),
            ("c6", 1),
            ("c9", 0),
            ("c16", 1),
            ("c17", 0),
            ("c19", 0),
        ];
        assert_eq!(
            codes,
            expected.map(|(id, code)| (id.to_owned(), code)),
            "which test runs fail and which pass"
        );
        assert!(project.join("bin/tokens").is_symlink());
        for file in ["src/days.awk", "src/expiry.awk", "src/tokens.sh"] {
            let text = fs::read_to_string(project.join(file)).unwrap();
            assert!(!text.contains('\t') && !text.contains(" \n"), "{file}");
        }
        // Written again as they were, but for the two faults.
        let days = fs::read_to_string(project.join("src/days.awk")).unwrap();
        let before = PROJECT.iter().find(|f| f.0 == "src/days.awk").unwrap().1;
        assert_eq!(days.replace("month <= 2", "month < 2").as_bytes(), before);
    }
}
