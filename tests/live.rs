//! Rolling back while the agent works: open files, caches, `.git`, what is left out, previews, outside saves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Place, fuse};

fn until(what: &str, patience: Duration, wanted: impl Fn() -> bool) {
    let start = Instant::now();
    while !wanted() {
        assert!(start.elapsed() < patience, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn agent(place: &Place, script: &str) -> Child {
    place
        .command(["run", "--", "sh", "-euc", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn end(child: Child) -> String {
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{said}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Holds a file open (read, and mapped), watches what it, a fresh open and a listing show, until told to stop.
const WATCHER: &str = r#"
import mmap, os, sys, time
stop, out = sys.argv[1], sys.argv[2]
f = open("held.txt", "rb")
m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
os.chdir("dir")
os.utime("../ready", None) if os.path.exists("../ready") else open("../ready", "w").close()
while not os.path.exists(stop): time.sleep(0.01)
f.seek(0)
print("held", f.read().decode().strip())
print("mapped", m[:5].decode())
print("fresh", open("../held.txt").read().strip())
print("cwd", sorted(os.listdir(".")), os.getcwd().endswith("/dir"))
print("top", sorted(os.listdir("..")))
print("stat", os.stat("../held.txt").st_size)
"#;

#[test]
fn open_files_caches_and_git_are_right_after_a_rollback() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("held.txt", "first\n");
    place.write("dir/a", "a\n");
    place.write("watcher.py", WATCHER);
    place.write("node_modules/dep/index.js", "left out\n");
    let (stop, go) = (place.path("stop"), place.path("go"));
    let child = agent(
        &place,
        &format!(
            r#"
            echo changed > node_modules/dep/index.js
            git init -q . ; git config user.email t@example.org; git config user.name t
            git add held.txt; git commit -qm one
            while ! test -e {go}; do sleep 0.02; done
            echo later > held.txt; echo b > dir/b; rm dir/a; mkdir new; echo x > new/x
            ls dir new >/dev/null; cat held.txt >/dev/null
            python3 watcher.py {stop} out
            "#,
            stop = stop.display(),
            go = go.display(),
        ),
    );
    until("the first commit", Duration::from_secs(20), || {
        place.project.join(".git/refs/heads").exists() && place.bt(&["log"]).status.success()
    });
    // What git does in its own directory is not our business: the state to come back to is the first.
    place.ok(&["label", "start", "@"]);
    std::fs::write(&go, "").unwrap();
    let ready = place.project.join("ready");
    until("the watcher", Duration::from_secs(20), || ready.exists());
    place.ok(&["checkpoint", "-m", "later"]);
    let git_before = common::walk(&place.project.join(".git"), &[]);

    let preview = place.ok(&["rollback", "start", "--dry-run"]);
    for word in ["held.txt", "dir/a", "dir/b", "new/x"] {
        assert!(preview.contains(word), "{word} is missing in\n{preview}");
    }
    assert_eq!(
        read(&place, "held.txt"),
        "later\n",
        "a preview writes nothing"
    );

    place.ok(&["rollback", "start"]);
    assert_eq!(read(&place, "held.txt"), "first\n");
    assert!(!place.project.join("new").exists());
    assert_eq!(read(&place, "node_modules/dep/index.js"), "changed\n");
    assert_eq!(common::walk(&place.project.join(".git"), &[]), git_before);
    std::fs::write(&stop, "").unwrap();
    let said = end(child);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines,
        [
            "held first",
            "mapped first",
            "fresh first",
            "cwd ['a'] True",
            "top ['.git', 'dir', 'held.txt', 'node_modules', 'watcher.py']",
            "stat 6",
        ]
    );
    place.ok(&["undo"]);
    assert_eq!(read(&place, "held.txt"), "later\n");
    assert_eq!(read(&place, "new/x"), "x\n");
    assert!(!place.project.join("dir/a").exists());
}

fn read(place: &Place, path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(place.project.join(path)).unwrap()
}

#[test]
fn a_save_outside_is_seen_inside_and_never_lost_by_a_rollback() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("f.txt", "zero\n");
    let stop = place.path("stop");
    let child = agent(
        &place,
        &format!(
            "echo one > f.txt; cat f.txt; while ! test -e {0}; do cat f.txt >/dev/null; sleep 0.01; done; cat f.txt",
            stop.display()
        ),
    );
    let file = place.project.join("f.txt");
    until("the agent's write", Duration::from_secs(20), || {
        std::fs::read_to_string(&file).unwrap() == "one\n"
    });
    place.ok(&["checkpoint", "-m", "one"]);
    // A person saves, and at once somebody rolls back: the save is in the safety commit.
    place.write("f.txt", "saved by a person\n");
    place.write("note.txt", "new\n");
    place.ok(&["rollback", "@~1"]);
    assert_eq!(read(&place, "f.txt"), "zero\n");
    place.ok(&["undo"]);
    assert_eq!(read(&place, "f.txt"), "saved by a person\n");
    assert_eq!(read(&place, "note.txt"), "new\n");
    std::fs::write(&stop, "").unwrap();
    assert_eq!(end(child), "one\nsaved by a person\n");
    let kinds: Vec<String> = place
        .json(&["steps", "--json"])
        .iter()
        .map(|s| s["kind"].as_str().unwrap().to_owned())
        .collect();
    assert!(kinds.contains(&"outside".to_owned()), "{kinds:?}");
}

#[test]
fn an_agent_may_emit_and_read_but_not_roll_back() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("f.txt", "zero\n");
    let out = place.run("echo one > f.txt; $BT log >/dev/null; $BT rollback @ 2>&1 || echo refused; ls \"$BACKTRAIL_DATA\" | wc -l");
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(said.contains("ask the person"), "{said}");
    assert!(said.contains("refused"), "{said}");
    // The store is masked in the agent's view.
    assert!(
        said.trim().ends_with('1') || said.trim().ends_with('0'),
        "{said}"
    );
}
