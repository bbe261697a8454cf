//! Merges with forks that somebody uses: what is in their views is a side, and a branch does not move under an agent.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::{Place, fuse};
use crate::support::*;

#[test]
fn a_fork_lands_while_its_agent_runs_and_is_not_moved_under_it() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("f.txt", "zero\n");
    place.ok(&["init"]);
    let (ready, stop) = (place.path("ready"), place.path("stop"));
    let script = format!(
        "echo fork > fork.txt; echo > {}; while ! test -e {}; do sleep 0.02; done; echo late > late.txt",
        ready.display(),
        stop.display()
    );
    let child = place
        .command(["run", "--branch", "try", "--", "sh", "-euc", &script])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while !ready.exists() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "the agent did not start"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!place.project.join("fork.txt").exists());
    place.write("main.txt", "main\n");
    let report = json_of(&place, &["land", "try"], 0);
    assert_eq!(report["fast_forward"], false);
    assert_eq!(
        read(&place, "fork.txt"),
        "fork\n",
        "what it had written a moment ago"
    );
    let said = refused(&place, &["merge", "main", "--into", "try"]);
    assert!(said.contains("runs on the fork of try"), "{said}");
    assert!(
        place
            .ok(&["merge", "--status"])
            .contains("no merge is unfinished")
    );
    std::fs::write(&stop, "").unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    json_of(&place, &["merge", "main", "--into", "try"], 0);
    let out = place
        .command([
            "run", "--branch", "try", "--", "cat", "main.txt", "late.txt",
        ])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "main\nlate\n");
    json_of(&place, &["land", "try"], 0);
    assert_eq!(read(&place, "late.txt"), "late\n");
    assert!(tips(&place).contains_key("try"), "the fork stays");
    sound(&place);
}
