//! Races: the same command in several forks, scored, pruned, ended when time is over or somebody interrupts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use common::{Place, fuse, walk};

const LONG: Duration = Duration::from_secs(30);

/// One race at a time: an agent of another project that starts meanwhile takes a copy of every mount along, and a fork
/// whose view is held so cannot go before that agent has ended.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether all losers could go. Agents of others on this machine may hold a view, which is said then.
fn all_went(out: &Output) -> bool {
    let held =
        String::from_utf8_lossy(&out.stderr).contains(" stays: somebody is still in the view");
    if held {
        eprintln!("skipped what comes of pruning: somebody else's agent holds a view");
    }
    !held
}

fn until(what: &str, wanted: impl Fn() -> bool) {
    let start = Instant::now();
    while !wanted() {
        assert!(start.elapsed() < LONG, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn said(out: &Output) -> String {
    format!(
        "{}\n{}\n{}",
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

/// A project with two files, and a place outside of it where runners leave notes.
fn project() -> Place {
    let place = Place::new();
    place.write("a.txt", "one\n");
    place.write("b.txt", "two\n");
    std::fs::create_dir_all(place.path("out")).unwrap();
    place.ok(&["init"]);
    place
}

fn race(place: &Place, args: &[&str]) -> Command {
    let mut command = place.command(["fork", "@"]);
    command.args(args).env("OUT", place.path("out"));
    command
}

fn lines(out: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&out.stdout)
        .lines()
        .map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {}", said(out))))
        .collect()
}

fn names(place: &Place) -> BTreeSet<String> {
    place
        .json(&["branch", "list", "--json"])
        .iter()
        .map(|b| b["name"].as_str().unwrap().to_owned())
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

fn note(place: &Place, name: &str) -> PathBuf {
    place.path("out").join(name)
}

/// Whether the process whose number was noted is still there.
fn alive(note: &Path) -> bool {
    let pid = std::fs::read_to_string(note).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    // One that nobody has waited for yet does nothing any more.
    stat.is_ok_and(|s| !s.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

#[test]
fn the_best_stays_and_the_others_can_be_had_back() {
    if !fuse() {
        return;
    }
    let _alone = alone();
    let place = project();
    let before = walk(&place.project, &[]);
    // The second is best by its own work, which only its own view shows.
    let work = r#"
        pwd > "$OUT/pwd.$BACKTRAIL_FORK"
        echo "$BACKTRAIL_BRANCH" > name.txt
        case $BACKTRAIL_FORK in
          1) echo 3 > points; rm b.txt ;;
          2) echo 7.5 > points ;;
          3) echo broken > points; echo "giving up"; exit 4 ;;
        esac
        echo worked
        # What is left running goes before the fork does.
        setsid sleep 1000 > /dev/null 2>&1 &
    "#;
    let out = race(
        &place,
        &[
            "--count",
            "3",
            "--prefix",
            "r",
            "--run",
            work,
            "--score",
            "cat points; grep -q broken points && exit 9; exit 0",
            "--keep",
            "1",
            "--json",
        ],
    )
    .output()
    .unwrap();
    assert!(out.status.success(), "{}", said(&out));
    let all = lines(&out);
    let of = |n: usize, key: &str| all[n][key].clone();
    assert_eq!(
        (of(0, "fork"), of(1, "fork"), of(2, "fork")),
        ("r-2".into(), "r-1".into(), "r-3".into())
    );
    assert_eq!((of(0, "rank"), of(2, "rank")), (1.into(), 3.into()));
    assert_eq!(all[0]["score"]["number"], 7.5);
    assert_eq!(
        (&all[2]["run"]["exit"], &all[2]["score"]["exit"]),
        (&4.into(), &9.into())
    );
    assert_eq!(all[2]["score"]["number"], Value::Null);
    assert_eq!(
        (of(0, "files"), of(1, "files")),
        (2.into(), 3.into()),
        "{all:?}"
    );
    assert_eq!(of(0, "kept"), true);
    let went = all_went(&out);
    assert!(!went || of(1, "kept") == false);
    let printed = std::fs::read_to_string(all[2]["output"].as_str().unwrap()).unwrap();
    assert_eq!(printed, "giving up\n");
    for n in 1..=3 {
        let pwd = std::fs::read_to_string(note(&place, &format!("pwd.{n}"))).unwrap();
        assert_eq!(Path::new(pwd.trim()), place.project.canonicalize().unwrap());
    }
    assert_eq!(
        walk(&place.project, &[]),
        before,
        "the project is as it was"
    );
    if went {
        assert_eq!(names(&place), set(&["main", "r-2"]));
    }
    assert_eq!(place.ok(&["cat", "r-2:name.txt"]), "r-2\n");
    assert!(all[0]["tip"].is_string());
    for _ in all.iter().filter(|r| r["kept"] == false) {
        place.ok(&["undo"]);
    }
    assert_eq!(names(&place), set(&["main", "r-1", "r-2", "r-3"]));
    assert_eq!(place.ok(&["cat", "r-3:points"]), "broken\n");

    // As a table, with other names, since those are taken.
    let out = race(
        &place,
        &[
            "--count",
            "2",
            "--prefix",
            "r",
            "--run",
            "echo x > x",
            "--jobs",
            "1",
        ],
    )
    .output()
    .unwrap();
    assert!(out.status.success(), "{}", said(&out));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    for part in ["fork", "r-4", "r-5", "exit 0", "what they printed: "] {
        assert!(text.contains(part), "{part}: {}", said(&out));
    }
    let progress = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        progress.contains("r-4: runs") && progress.contains("r-5: exit 0"),
        "{progress}"
    );
}

#[test]
fn a_time_out_ends_a_runner_that_ignores_everything() {
    if !fuse() {
        return;
    }
    let _alone = alone();
    let place = project();
    let work = r#"
        if [ "$BACKTRAIL_FORK" = 1 ]; then echo quick > q; exit 0; fi
        trap '' TERM INT HUP
        echo half > half
        setsid sh -c 'echo $$ > "$OUT/stray"; exec sleep 1000' &
        echo $$ > "$OUT/slow"
        while :; do sleep 1000; done
    "#;
    let begun = Instant::now();
    let out = race(
        &place,
        &["--count", "2", "--run", work, "--timeout", "2s", "--json"],
    )
    .output()
    .unwrap();
    assert!(out.status.success(), "{}", said(&out));
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    let all = lines(&out);
    assert_eq!(
        (&all[0]["fork"], &all[0]["run"]["timed_out"]),
        (&"try-1".into(), &false.into())
    );
    assert_eq!(
        (&all[1]["fork"], &all[1]["run"]["timed_out"]),
        (&"try-2".into(), &true.into())
    );
    until("the end of all it started", || {
        !alive(&note(&place, "slow")) && !alive(&note(&place, "stray"))
    });
    // What it did until then is recorded.
    assert_eq!(place.ok(&["cat", "try-2:half"]), "half\n");
    assert_eq!(all[1]["files"], 1);
}

#[test]
fn equal_scores_go_by_time_and_none_is_enough_to_fail() {
    if !fuse() {
        return;
    }
    let _alone = alone();
    let place = project();
    // One at a time: the lock is never taken twice.
    let work = r#"
        mkdir "$OUT/lock" || touch "$OUT/clash"
        [ "$BACKTRAIL_FORK" = 3 ] || sleep 0.$((5 - 2 * BACKTRAIL_FORK))
        rmdir "$OUT/lock"
        exit 1
    "#;
    let out = race(
        &place,
        &[
            "--count",
            "3",
            "--jobs",
            "1",
            "--run",
            work,
            "--score",
            "echo same; echo 5; echo; echo noise >&2",
            "--keep",
            "2",
            "--json",
        ],
    )
    .output()
    .unwrap();
    assert_eq!(out.status.code(), Some(1), "{}", said(&out));
    let all = lines(&out);
    assert!(!note(&place, "clash").exists(), "two ran at once");
    // How long each took is this machine's matter; that the quicker one comes first is not.
    let times = all.iter().map(|r| r["run"]["seconds"].as_f64().unwrap());
    assert!(times.is_sorted(), "{all:?}");
    assert!(all.iter().all(|r| r["score"]["number"] == 5.0), "{all:?}");
    let mut left: Vec<&str> = all
        .iter()
        .filter(|r| r["kept"] == true)
        .map(|r| r["fork"].as_str().unwrap())
        .collect();
    if all_went(&out) {
        assert_eq!(all.iter().position(|r| r["kept"] == false), Some(2));
    }
    left.push("main");
    assert_eq!(names(&place), set(&left));

    for bad in [
        &["--count", "2", "--score", "true"][..],
        &["--run", "true", "--keep", "0"],
        &["--run", "true", "--timeout", "soon"],
        &["--run", "true", "--count", "0"],
    ] {
        let out = race(&place, bad).output().unwrap();
        assert_eq!(out.status.code(), Some(2), "{bad:?}: {}", said(&out));
    }
    assert_eq!(
        names(&place),
        set(&["main", "try-2", "try-3"]),
        "nothing was made"
    );
}

#[test]
fn an_interrupt_ends_all_of_them() {
    if !fuse() {
        return;
    }
    let _alone = alone();
    let place = project();
    // One that ends in its own way when it is asked to, and one that never does.
    let work = r#"
        if [ "$BACKTRAIL_FORK" = 1 ]; then trap 'echo kept > saved; exit 3' TERM; else trap '' INT TERM HUP; fi
        echo $$ > "$OUT/pid.$BACKTRAIL_FORK.new"
        mv "$OUT/pid.$BACKTRAIL_FORK.new" "$OUT/pid.$BACKTRAIL_FORK"
        while :; do sleep 1000 & wait; done
    "#;
    let child = race(
        &place,
        &[
            "--count",
            "2",
            "--run",
            work,
            "--score",
            "touch $OUT/scored",
            "--keep",
            "1",
        ],
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let notes = [note(&place, "pid.1"), note(&place, "pid.2")];
    until("both to run", || notes.iter().all(|n| n.exists()));
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(130), "{}", said(&out));
    until("the end of both", || notes.iter().all(|n| !alive(n)));
    assert!(!note(&place, "scored").exists());
    assert_eq!(
        names(&place),
        set(&["main", "try-1", "try-2"]),
        "nothing is pruned"
    );
    assert_eq!(place.ok(&["cat", "try-1:saved"]), "kept\n");
    // The engine is well.
    place.ok(&["checkpoint"]);
    place.ok(&["forks"]);
}
