//! Keeping the store by the command line: what is there, what it takes, what goes, what is carried elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use std::fs;
use std::path::Path;

use common::Place;

fn refused(place: &Place, args: &[&str]) -> String {
    let out = place.bt(args);
    assert!(!out.status.success(), "{args:?} was not refused");
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn code(place: &Place, args: &[&str]) -> i32 {
    place.bt(args).status.code().unwrap()
}

/// States one to four, each with a file of its own and a common one; their commits.
fn story(place: &Place) -> Vec<String> {
    place.write("common.txt", "0\n");
    place.ok(&["init"]);
    (1..=4)
        .map(|n| {
            place.write("common.txt", format!("{n}\n").repeat(30));
            place.write(&format!("dir/{n}.txt"), format!("the {n}th\n"));
            let made = place.json(&["checkpoint", "-m", &format!("state {n}"), "--json"]);
            made.last().unwrap()["id"].as_str().unwrap().to_owned()
        })
        .collect()
}

fn store_dir(place: &Place) -> std::path::PathBuf {
    fn find(dir: &Path) -> Option<std::path::PathBuf> {
        for entry in fs::read_dir(dir).ok()?.flatten() {
            if entry.file_name() == "FORMAT" {
                return Some(dir.to_owned());
            }
            if entry.path().is_dir()
                && let Some(found) = find(&entry.path())
            {
                return Some(found);
            }
        }
        None
    }
    find(&place.path("data")).unwrap()
}

/// The commits with the same files as that one.
fn same_files(place: &Place, id: &str) -> Vec<String> {
    let log = place.json(&["log", "--json", "-n", "99"]);
    let tree = |c: &serde_json::Value| c["tree"].as_str().unwrap().to_owned();
    let of = log.iter().find(|c| c["id"] == id).map(tree).unwrap();
    let same = log.iter().filter(|c| tree(c) == of);
    same.map(|c| c["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_state_is_let_go_and_the_history_keeps_it() {
    let place = Place::new();
    let ids = story(&place);
    assert_eq!(code(&place, &["exists", &ids[1]]), 0);
    assert_eq!(code(&place, &["exists", "nothing-of-that-name"]), 1);
    place.ok(&["label", "good", &ids[0]]);
    let said = refused(&place, &["delete", &ids[0]]);
    assert!(said.contains("label/good names it"), "{said}");
    let said = refused(&place, &["delete", "@"]);
    assert!(said.contains("the workspace is there"), "{said}");
    // What was found when nobody watched is a state of its own with the same files.
    for same in same_files(&place, &ids[1]) {
        place.ok(&["delete", &same]);
    }
    assert_eq!(code(&place, &["exists", &ids[1]]), 1);
    let shown = place.ok(&["show", &ids[1]]);
    assert!(
        shown.contains("deleted on") && shown.contains("state 2"),
        "{shown}"
    );
    let said = refused(&place, &["cat", &format!("{}:common.txt", ids[1])]);
    assert!(said.contains("not in the store any more"), "{said}");
    // The next one is told against the one before.
    let found = same_files(&place, &ids[2]).pop().unwrap();
    let next = place.ok(&["show", "--stat", &found]);
    assert!(
        next.contains("dir/3.txt") && next.contains("dir/2.txt"),
        "{next}"
    );
    assert_eq!(place.ok(&["log", "-n", "9"]).matches("state ").count(), 4);
    assert!(place.ok(&["op", "log"]).contains("deleted the content"));
    let gone = 1 + same_files(&place, &ids[1]).len() as u64;
    place.ok(&["delete", "--force", &ids[0]]);
    let verified = place.json(&["verify", "--json"]).remove(0);
    assert_eq!(
        (verified["dropped"].as_u64(), &verified["faults"]),
        (Some(gone), &serde_json::json!([]))
    );
    // Undoing is not stopped by it, and the workspace is what it was.
    place.write("common.txt", "last\n");
    place.ok(&["rollback", &ids[2]]);
    assert_eq!(
        fs::read_to_string(place.project.join("common.txt"))
            .unwrap_or_default()
            .lines()
            .count(),
        30
    );
}

#[test]
fn a_secret_is_forgotten_everywhere() {
    let place = Place::new();
    story(&place);
    let secret = "API_KEY=sk-live-51f0aa2b9c7d4e6f8a90\n";
    place.write(".env", secret);
    place.write("copy-of-env", secret);
    let oops = place.json(&["checkpoint", "-m", "oops", "--json"]);
    let oops = oops.last().unwrap()["id"].as_str().unwrap().to_owned();
    let said = refused(&place, &["forget", ".env"]);
    assert!(said.contains("still has such a content"), "{said}");
    place.write(".env", "API_KEY=\n");
    fs::remove_file(place.project.join("copy-of-env")).unwrap();
    place.ok(&["checkpoint", "-m", "clean"]);
    let dry = place
        .json(&["forget", "--dry-run", "--json", "copy-of-env"])
        .remove(0);
    assert_eq!(dry["contents"], 1);
    let done = place.json(&["forget", "--json", "copy-of-env"]).remove(0);
    assert_eq!(done["paths"], serde_json::json!([".env", "copy-of-env"]));
    let dir = store_dir(&place);
    for entry in fs::read_dir(dir.join("packs")).unwrap().flatten() {
        let bytes = fs::read(entry.path()).unwrap();
        assert!(!bytes.windows(20).any(|w| w == &secret.as_bytes()[..20]));
    }
    let said = refused(&place, &["cat", &format!("{oops}:.env")]);
    assert!(said.contains("forgotten"), "{said}");
    assert_eq!(place.ok(&["cat", "@:.env"]), "API_KEY=\n");
    let verified = place.ok(&["verify"]);
    assert!(verified.contains("all well, 1 forgotten"), "{verified}");
    // By its path: the versions before go, what the workspace holds now stays.
    place.write("note.txt", "the password is 1234567890\n");
    place.ok(&["checkpoint"]);
    place.write("note.txt", "no password here\n");
    place.ok(&["checkpoint"]);
    let done = place.json(&["forget", "--json", "note.txt"]).remove(0);
    assert_eq!(done["contents"], 1, "{done}");
    assert!(
        done["left"][0]
            .as_str()
            .unwrap()
            .contains("holds now stays"),
        "{done}"
    );
    assert_eq!(place.ok(&["cat", "@:note.txt"]), "no password here\n");
    let last = refused(&place, &["forget", "note.txt", "--dry-run"]);
    assert!(last.contains("still has such a content"), "{last}");
}

#[test]
fn what_takes_up_how_much_and_what_the_policy_lets_go() {
    let place = Place::new();
    let ids = story(&place);
    let du = place.json(&["du", "--json"]).remove(0);
    assert!(du["packs"].as_u64().unwrap() > 0);
    let paths: Vec<&str> = du["paths"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r[0].as_str().unwrap())
        .collect();
    assert!(
        paths.contains(&"common.txt") && paths.contains(&"dir/3.txt"),
        "{paths:?}"
    );
    assert!(place.ok(&["du"]).contains("by path"));
    // All is young.
    let gc = place.json(&["gc", "--dry-run", "--json"]).remove(0);
    assert_eq!(
        (gc["states"].as_u64(), gc["kept"].as_u64().map(|n| n >= 5)),
        (Some(0), Some(true))
    );
    // With nothing kept but the last of each hour (or day).
    let gc = place
        .json(&["gc", "--keep-days", "0", "--thorough", "--json"])
        .remove(0);
    assert!(gc["states"].as_u64().unwrap() >= 2, "{gc}");
    assert_eq!(code(&place, &["exists", "@"]), 0);
    assert_eq!(code(&place, &["exists", &ids[0]]), 1);
    let verified = place.json(&["verify", "--json"]).remove(0);
    assert_eq!(verified["faults"], serde_json::json!([]));
    place.write("backtrail.toml", "[store]\nbudget = \"1 KB\"\n");
    let status = place.ok(&["status"]);
    assert!(
        status.contains("more than the 0 MiB of its budget"),
        "{status}"
    );
    let doctor = place.ok(&["doctor"]);
    assert!(
        doctor.contains("made anew from the packs: ") && doctor.contains("all well"),
        "{doctor}"
    );
}

#[test]
fn a_state_is_carried_to_another_project() {
    let place = Place::new();
    let ids = story(&place);
    let file = place.path("state.trail");
    let file = file.to_str().unwrap();
    place.ok(&["export", &ids[2], "-o", file]);
    assert_eq!(
        place.ok(&["cat", "@:dir/3.txt", "--trace", file]),
        "the 3th\n"
    );
    assert!(refused(&place, &["cat", "@:dir/4.txt", "--trace", file]).contains("4.txt"));
    assert_eq!(
        place
            .ok(&["log", "--trace", file])
            .matches("state ")
            .count(),
        3
    );
    let diff = place.ok(&["diff", &ids[0], &ids[2], "--stat", "--trace", file]);
    assert!(diff.contains("dir/2.txt"), "{diff}");
    assert!(
        !place
            .ok(&["blame", "common.txt", "--trace", file])
            .is_empty()
    );
    assert!(refused(&place, &["rollback", "@", "--trace", file]).contains("portable file"));

    let other = Place::new();
    other.write("mine.txt", "mine\n");
    other.ok(&["init"]);
    let taken = other.json(&["import", "--json", file]).remove(0);
    assert_eq!(taken["branch"], "imported/state");
    assert_eq!(other.ok(&["cat", "imported/state:dir/3.txt"]), "the 3th\n");
    assert_eq!(other.ok(&["cat", "@:mine.txt"]), "mine\n");
    assert!(refused(&other, &["rollback", "imported/state"]).contains("imported"));
    assert!(other.ok(&["verify"]).contains("all well"));
    // Twice brings nothing new.
    let again = other.json(&["import", "--json", file]).remove(0);
    assert_eq!(
        (again["commits"].as_u64(), again["steps"].as_u64()),
        (Some(0), Some(0))
    );

    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
    let said = refused(&other, &["import", file]);
    assert!(said.contains("cut, damaged or changed"), "{said}");
}

/// A state that was let go while another one has the same files can be read, but nobody may stand on it: with the other
/// one its files would go.
#[test]
fn nobody_goes_to_a_state_that_nothing_keeps() {
    let place = Place::new();
    place.write("a.txt", "one\n");
    place.ok(&["init"]);
    let make = |content: &str, name: &str| {
        place.write("a.txt", content);
        let made = place.json(&["checkpoint", "-m", name, "--json"]);
        made.last().unwrap()["id"].as_str().unwrap().to_owned()
    };
    let first = make("x\n", "first");
    make("y\n", "between");
    make("x\n", "again");
    make("z\n", "last");
    place.ok(&["branch", "create", "old", &first]);
    place.ok(&["delete", "--force", &first]);
    assert_eq!(place.ok(&["cat", &format!("{first}:a.txt")]), "x\n");
    for args in [
        &["rollback", &first][..],
        &["rollback", "--dry-run", &first],
        &["switch", "old"],
        &["merge", "old"],
        &["fork", &first],
    ] {
        let said = refused(&place, args);
        assert!(
            said.contains("is not kept any more (deleted on"),
            "{args:?}: {said}"
        );
        assert_eq!(
            fs::read_to_string(place.project.join("a.txt")).unwrap(),
            "z\n"
        );
    }
    assert!(place.ok(&["branch", "list"]).contains("*  main"));
    let verified = place.json(&["verify", "--json"]).remove(0);
    assert_eq!(verified["faults"], serde_json::json!([]));
}

/// `run` keeps signals off itself; the engine that it starts must hear them all the same, or the machine's shutdown would
/// have to kill it.
#[test]
fn an_engine_that_run_started_ends_when_it_is_asked_to() {
    if !common::fuse() {
        return;
    }
    let place = Place::new();
    let out = place
        .command(["run", "--", "sh", "-c", "echo 1 > a.txt"])
        .env("BACKTRAIL_IDLE", "600")
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    let status = place.json(&["status", "--json"]).remove(0);
    let pid = i32::try_from(status["pid"].as_i64().unwrap()).unwrap();
    assert!(pid > 1, "{status}");
    let mask = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mask = mask.lines().find_map(|l| l.strip_prefix("SigBlk:"));
    let mask = u64::from_str_radix(mask.unwrap().trim(), 16).unwrap();
    let engine = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(engine, rustix::process::Signal::TERM).unwrap();
    let start = std::time::Instant::now();
    let ended = loop {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Nobody may have waited for it yet.
        if stat.is_empty() || stat.contains(") Z ") {
            break true;
        }
        if start.elapsed() > std::time::Duration::from_secs(30) {
            break false;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    if !ended {
        let _ = rustix::process::kill_process(engine, rustix::process::Signal::KILL);
    }
    assert!(ended, "the engine goes on");
    // Termination, interruption.
    assert_eq!(mask & (1 << 14 | 1 << 1), 0, "{mask:x}");
    // What was running was recorded, and nothing is left mounted.
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(
        !mounts.contains(place.runtime().to_str().unwrap()),
        "{mounts}"
    );
    assert_eq!(place.ok(&["cat", "@:a.txt"]), "1\n");
}
