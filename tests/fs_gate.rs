//! The gate and the observer through a real mount: what is told, in which order, by whom; what waits and what goes on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

mod fs_common;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use fs_common::{sh, wait_until, world};
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

#[test]
fn exactly_what_changed_is_told_in_order() {
    let Some(w) = world() else { return };
    let at = |n: &str| w.live.join(n);
    let closed = |name: &str| {
        let line = format!("closed {name}");
        let mut seen = Vec::new();
        wait_until(&line, || {
            seen.extend(w.notes.take());
            seen.last() == Some(&line)
        });
        seen.pop();
        seen
    };
    fs::write(at("f"), "x").unwrap();
    assert_eq!(closed("f"), ["create f", "opened f", "content f"]);
    fs::write(at("f"), "").unwrap();
    assert_eq!(closed("f"), ["opened f", "content f"]);
    let _ = fs::read(at("f")).unwrap();
    let _ = fs::read_dir(&w.live).unwrap().count();
    let _ = fs::metadata(at("missing"));
    assert!(fs::create_dir(at("f")).is_err());
    assert!(fs::remove_file(at("missing")).is_err());
    assert!(fs::remove_dir(&w.live).is_err());
    assert_eq!(w.notes.take(), Vec::<String>::new(), "nothing changed");
    fs::create_dir(at("d")).unwrap();
    fs::rename(at("f"), at("d/g")).unwrap();
    fs::hard_link(at("d/g"), at("h")).unwrap();
    std::os::unix::fs::symlink("h", at("l")).unwrap();
    sh(&w.live, "chmod 600 l; touch -d @1 h; truncate -s 5 h");
    let told = closed("d/g");
    assert_eq!(
        told,
        [
            "create d",
            "rename f d/g",
            "create h",
            "create l",
            // Both names of the one file, whichever was used.
            "meta d/g",
            "meta h",
            "opened d/g",
            "meta d/g",
            "meta h",
            "closed d/g",
            "opened d/g",
            "content d/g",
            "content h",
        ]
    );
    rustix::fs::renameat_with(CWD, at("d"), CWD, at("h"), RenameFlags::EXCHANGE).unwrap();
    fs::remove_file(at("h/g")).unwrap();
    fs::remove_dir(at("h")).unwrap();
    fs::remove_file(at("d")).unwrap();
    assert_eq!(
        w.notes.take(),
        ["exchange d h", "remove h/g", "remove h", "remove d"]
    );
    let before = w.notes.take_before();
    for line in [
        "create f",
        "content f",
        "remove f",
        "create d/g",
        "remove h/g",
    ] {
        assert!(before.contains(&line.to_owned()), "{line} in {before:?}");
    }
}

#[test]
fn files_open_for_writing_are_followed_through_renames_and_removal() {
    let Some(w) = world() else { return };
    let at = |n: &str| w.live.join(n);
    fs::create_dir(at("d")).unwrap();
    let mut a = File::create(at("d/a")).unwrap();
    let second = OpenOptions::new().append(true).open(at("d/a")).unwrap();
    w.notes.take();
    fs::rename(at("d"), at("e")).unwrap();
    a.write_all(b"x").unwrap();
    fs::rename(at("e/a"), at("b")).unwrap();
    a.write_all(b"x").unwrap();
    drop(a);
    wait_until("the first is released", || w.view.handles() == 1);
    assert_eq!(
        w.notes.take(),
        ["rename d e", "content e/a", "rename e/a b", "content b"],
        "the other descriptor is open yet"
    );
    drop(second);
    wait_until("closed", || w.view.handles() == 0);
    assert_eq!(w.notes.take(), ["closed b"]);
    let mut f = File::create(at("f")).unwrap();
    fs::hard_link(at("f"), at("g")).unwrap();
    w.notes.take();
    fs::remove_file(at("f")).unwrap();
    f.write_all(b"x").unwrap();
    fs::write(at("new"), "").unwrap();
    wait_until("closed", || w.view.handles() == 1);
    fs::rename(at("new"), at("g")).unwrap();
    f.write_all(b"no name left").unwrap();
    drop(f);
    wait_until("closed", || w.view.handles() == 0);
    assert_eq!(
        w.notes.take(),
        [
            "closed f",
            "opened g",
            "remove f",
            "content g",
            "create new",
            "opened new",
            "closed new",
            "closed g",
            "rename new g"
        ]
    );
}

#[test]
fn changes_know_who_made_them() {
    let Some(w) = world() else { return };
    let child = Command::new("sh")
        .args([
            "-c",
            "mkdir d; exec dd if=/dev/zero of=d/f bs=1 count=1 status=none",
        ])
        .current_dir(&w.live)
        .spawn()
        .unwrap();
    let pid = child.id();
    child.wait_with_output().unwrap();
    wait_until("closed", || w.view.handles() == 0);
    let told = w.notes.take_with();
    let of = |line: &str| {
        let (_, who) = told.iter().find(|(l, _)| l == line).unwrap();
        (who.pid, who.comm.clone())
    };
    assert_eq!(of("create d/f"), (pid, "dd".to_owned()));
    assert_eq!(of("content d/f"), (pid, "dd".to_owned()));
    // mkdir was forked; another process of the same cgroup as this one.
    let (mkdir, comm) = of("create d");
    assert_ne!(mkdir, pid);
    assert_eq!(comm, "mkdir");
    let mine = fs::read_to_string("/proc/self/cgroup").unwrap();
    if let Some(path) = mine.lines().find_map(|l| l.strip_prefix("0::")) {
        assert!(
            told.iter()
                .filter(|(l, _)| !l.starts_with("closed"))
                .all(|(_, who)| who.cgroup == path)
        );
    }
    // A thread counts as its process.
    let path = w.live.join("t");
    thread::spawn(move || fs::create_dir(path).unwrap())
        .join()
        .unwrap();
    let told = w.notes.take_with();
    assert_eq!(told[0].0, "create t");
    assert_eq!(told[0].1.pid, std::process::id());
}

#[test]
fn a_closed_gate_parks_changes_and_reads_go_on() {
    let Some(w) = world() else { return };
    fs::create_dir(w.live.join("d")).unwrap();
    fs::write(w.live.join("f"), "text").unwrap();
    wait_until("closed", || w.view.handles() == 0);
    w.notes.take();
    let closed = w.gate.close();
    let path = w.live.join("d/new");
    let (done, wait) = mpsc::channel();
    let t = thread::spawn(move || done.send(fs::create_dir(path)).unwrap());
    wait_until("parked", || w.gate.parked() == 1);
    assert_eq!(fs::read(w.live.join("f")).unwrap(), b"text");
    assert_eq!(sh(&w.live, "ls; cat f"), "d\nf\ntext");
    assert_eq!(w.notes.take(), Vec::<String>::new());
    assert!(!w.real.join("d/new").exists());
    assert!(wait.try_recv().is_err());
    drop(closed);
    wait.recv_timeout(Duration::from_secs(20)).unwrap().unwrap();
    t.join().unwrap();
    assert!(w.real.join("d/new").exists());
    assert_eq!(w.notes.take(), ["create d/new"]);
}

#[test]
fn what_is_parked_can_be_answered_before_the_gate_opens() {
    let Some(w) = world() else { return };
    fs::create_dir(w.live.join("d")).unwrap();
    fs::write(w.live.join("f"), "x").unwrap();
    wait_until("closed", || w.view.handles() == 0);
    w.notes.take_before();
    let closed = w.gate.close();
    let mut child = Command::new("sh")
        .args(["-c", "rm f; mkdir d/e"])
        .current_dir(&w.live)
        .spawn()
        .unwrap();
    wait_until("parked", || w.gate.parked() == 1);
    // Time passes, the workspace is saved: what was prepared before does not hold any more.
    w.gate.swap(|| ());
    closed.answer_parked();
    assert!(!w.real.join("f").exists());
    let before = w.notes.take_before();
    assert_eq!(before, ["remove f", "remove f"], "prepared anew");
    wait_until("the next one is parked", || w.gate.parked() == 1);
    assert!(!w.real.join("d/e").exists());
    drop(closed);
    assert!(child.wait().unwrap().success());
    assert!(w.real.join("d/e").exists());
}

/// Even a killed process stays until its request is answered; then it goes, and nothing else is harmed.
#[test]
fn a_deadline_ends_the_wait_and_a_killed_waiter_is_released() {
    let Some(w) = world() else { return };
    fs::create_dir(w.live.join("d")).unwrap();
    let closed = w.gate.close();
    w.gate.set_deadline(Duration::from_millis(50));
    let e = fs::create_dir(w.live.join("late")).unwrap_err();
    assert_eq!(e.raw_os_error(), Some(Errno::AGAIN.raw_os_error()));
    assert!(!w.real.join("late").exists());
    w.gate.set_deadline(Duration::from_secs(30));
    let mut child = Command::new("mkdir")
        .arg(w.live.join("d/x"))
        .spawn()
        .unwrap();
    wait_until("parked", || w.gate.parked() == 1);
    child.kill().unwrap();
    assert!(
        child.try_wait().unwrap().is_none(),
        "it waits for its answer"
    );
    closed.answer_parked();
    child.wait().unwrap();
    drop(closed);
    assert!(w.real.join("d/x").exists(), "the operation still happened");
    fs::remove_dir(w.live.join("d/x")).unwrap();
    fs::create_dir(w.live.join("late")).unwrap();
}

/// While a swap runs, no change is under way; and all that is asked for happens.
#[test]
fn swaps_under_load() {
    let Some(w) = world() else { return };
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..4)
        .map(|t| {
            let dir = w.live.join(format!("t{t}"));
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                fs::create_dir(&dir).unwrap();
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    let path = dir.join(format!("{n}"));
                    fs::write(&path, "x").unwrap();
                    if n % 3 == 0 {
                        fs::rename(&path, dir.join("same")).unwrap();
                    }
                    n += 1;
                }
                n
            })
        })
        .collect();
    let told = |w: &fs_common::World| w.notes.changes();
    for round in 0..200 {
        if round % 10 == 9 {
            let closed = w.gate.close();
            let first = told(&w);
            thread::yield_now();
            assert_eq!(told(&w), first, "something changed while closed");
            closed.answer_parked();
        } else {
            w.gate.swap(|| {
                let first = told(&w);
                for _ in 0..50 {
                    thread::yield_now();
                }
                assert_eq!(told(&w), first, "something changed during a swap");
            });
        }
    }
    stop.store(true, Ordering::Relaxed);
    for (t, thread) in threads.into_iter().enumerate() {
        let n: usize = thread.join().unwrap();
        let left = fs::read_dir(w.real.join(format!("t{t}"))).unwrap().count();
        let renamed = n.div_ceil(3);
        assert_eq!(left, n - renamed + usize::from(renamed > 0));
    }
}

/// Renames of a directory against writes below it: every report names the path as it was at that moment.
#[test]
fn reports_and_renames_keep_their_order() {
    let Some(w) = world() else { return };
    fs::create_dir(w.live.join("a")).unwrap();
    let mut f = File::create(w.live.join("a/f")).unwrap();
    w.notes.take();
    let stop = Arc::new(AtomicBool::new(false));
    let (live, s) = (w.live.clone(), Arc::clone(&stop));
    let renamer = thread::spawn(move || {
        while !s.load(Ordering::Relaxed) {
            fs::rename(live.join("a"), live.join("b")).unwrap();
            fs::rename(live.join("b"), live.join("a")).unwrap();
        }
    });
    for _ in 0..2000 {
        f.write_all(b"x").unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    renamer.join().unwrap();
    let mut dir = "a";
    let mut writes = 0;
    for line in w.notes.take() {
        match line.as_str() {
            "rename a b" => dir = "b",
            "rename b a" => dir = "a",
            write => {
                assert_eq!(write, format!("content {dir}/f"));
                writes += 1;
            }
        }
    }
    assert_eq!(writes, 2000);
    let before = w.notes.take_before();
    assert!(
        before.contains(&"content a/f".to_owned()) || before.contains(&"content b/f".to_owned())
    );
}
