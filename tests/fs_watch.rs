//! `run --capture watch`: agents are recorded without a mount, where nothing can be mounted and elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

mod common;

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use common::Place;

const SCRIPT: &str = r#"
call() { printf '{"type":"call","id":"%s","name":"Bash","input":{"command":"x"}}\n' "$1" | $BT emit; }
result() { printf '{"type":"result","id":"%s","output":"","exit_code":0}\n' "$1" | $BT emit; }
call one
mkdir new; echo one > new/f; rm old
result one
call two
echo two > new/f; chmod 600 kept
result two
"#;

fn said(out: &Output) -> String {
    format!(
        "{}\n{}\n{}",
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

fn project() -> Place {
    let place = Place::new();
    place.write("old", "old\n");
    place.write("kept", "kept\n");
    place
}

/// The commits that are tied to calls, by their steps' titles or ids, oldest first.
fn of_calls(place: &Place) -> Vec<String> {
    let steps = place.json(&["steps", "--json"]);
    let calls: Vec<&str> = steps
        .iter()
        .filter(|s| s["kind"] == "call")
        .map(|s| s["ordinal"].as_str().unwrap())
        .collect();
    assert_eq!(calls.len(), 2);
    let log = place.json(&["log", "--json"]);
    calls
        .iter()
        .map(|call| {
            let of: Vec<&str> = log
                .iter()
                .filter(|c| c["step"] == **call)
                .map(|c| c["id"].as_str().unwrap())
                .collect();
            assert_eq!(of.len(), 1, "step {call}: {log:#?}");
            of[0].to_owned()
        })
        .collect()
}

#[test]
fn calls_have_their_changes_and_can_be_gone_back_to() {
    let place = project();
    let script = format!("{SCRIPT}\nif mount | grep -q \" $PWD type fuse\"; then exit 9; fi");
    let out = place
        .command(["run", "--capture", "watch", "--", "sh", "-euc", &script])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", said(&out));
    let states = of_calls(&place);
    assert_eq!(place.ok(&["cat", &format!("{}:new/f", states[0])]), "one\n");
    assert_eq!(place.ok(&["cat", &format!("{}:new/f", states[1])]), "two\n");
    let there = |name: &str| place.project.join(name).exists();
    place.ok(&["rollback", &states[0]]);
    assert_eq!(
        std::fs::read_to_string(place.project.join("new/f")).unwrap(),
        "one\n"
    );
    place.ok(&["rollback", &format!("{}~1", states[0])]);
    assert!(there("old") && !there("new"));
    place.ok(&["undo"]);
    assert!(!there("old") && there("new"));
    // A fork is a view.
    let out = place.bt(&["run", "--capture", "watch", "--branch", "b", "--", "true"]);
    assert!(!out.status.success());
    assert!(said(&out).contains("mounted view"), "{}", said(&out));
}

/// As where the device is not to be had: opening it gives something that mounts nothing.
fn without_fuse(place: &Place, args: &[&str]) -> Output {
    let mut inner = place.command(args);
    let mut c = Command::new("unshare");
    c.args(["-m", "--propagation", "private", "sh", "-euc"])
        .arg("mount --bind /dev/null /dev/fuse; exec \"$@\"")
        .arg("sh")
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(&place.project);
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => c.env(name, value),
            None => c.env_remove(name),
        };
    }
    inner.stdin(std::process::Stdio::null());
    c.output().unwrap()
}

#[test]
fn where_nothing_can_be_mounted_one_message_says_so_and_this_works() {
    let may = rustix::process::geteuid().is_root() && Path::new("/dev/fuse").exists();
    let probe = || {
        let probe = Command::new("unshare").args(["-m", "true"]).status();
        probe.is_ok_and(|s| s.success())
    };
    if !may || !probe() {
        eprintln!("skipped: only root can take /dev/fuse away here");
        return;
    }
    let place = project();
    let out = without_fuse(&place, &["run", "--", "true"]);
    assert!(!out.status.success());
    let text = said(&out);
    assert!(text.contains("refused") || text.contains("FUSE"), "{text}");
    assert!(text.contains("--capture watch"), "{text}");
    let out = without_fuse(&place, &["status"]);
    assert!(said(&out).contains("captures by watch"), "{}", said(&out));
    let out = without_fuse(
        &place,
        &["run", "--capture", "watch", "--", "sh", "-euc", SCRIPT],
    );
    assert!(out.status.success(), "{}", said(&out));
    let states = of_calls(&place);
    let rolled = without_fuse(&place, &["rollback", &states[0]]);
    assert!(rolled.status.success(), "{}", said(&rolled));
    assert_eq!(
        std::fs::read_to_string(place.project.join("new/f")).unwrap(),
        "one\n"
    );
    // A past state is not to be had as a directory; a file of one is.
    let at = without_fuse(&place, &["at", "@"]);
    assert!(!at.status.success() && said(&at).contains("cannot be mounted"));
    assert_eq!(place.ok(&["cat", &format!("{}:new/f", states[1])]), "two\n");
}

#[test]
fn what_somebody_else_does_without_a_session_is_outside() {
    let place = project();
    place.ok(&["init"]);
    let out = place
        .command(["run", "--capture", "watch", "--", "true"])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", said(&out));
    // The engine is there for a while, the session is over.
    place.write("mine", "mine");
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let steps = place.json(&["steps", "--json"]);
        if steps.iter().any(|s| s["kind"] == "outside") {
            break;
        }
        assert!(Instant::now() < until, "{steps:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
