//! The life of a mount: coming, going, being taken away by others, dying with its engine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

mod fs_common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use backtrail::capture::observe::Unobserved;
use backtrail::fs::{Error, Gate, LiveView, MountOptions, Mounted, clean_stale};
use fs_common::{fuse_is_here, have, hidden, open_dir, sh, wait_until, world};

fn view(real: &Path) -> Arc<LiveView> {
    LiveView::new(open_dir(real), Arc::new(Unobserved), Gate::new(), hidden)
}

fn mount(real: &Path, at: &Path) -> Result<Mounted, Error> {
    Mounted::mount(view(real), at, MountOptions::default())
}

#[test]
fn comes_and_goes() {
    let Some(mut w) = world() else { return };
    fs::write(w.live.join("f"), "x").unwrap();
    assert!(w.mounted.as_ref().unwrap().is_alive());
    let kind = sh(
        &w.live,
        "stat -f -c %T . ; findmnt -n -o SOURCE,FSTYPE -T . 2>/dev/null || echo 'backtrail fuse.backtrail'",
    );
    assert!(kind.contains("backtrail"), "{kind}");
    w.mounted.take().unwrap().unmount().unwrap();
    assert_eq!(fs::read_dir(&w.live).unwrap().count(), 0);
    assert_eq!(fs::read(w.real.join("f")).unwrap(), b"x");
    assert!(!clean_stale(&w.live).unwrap());
    // And again, at the same place, with the same view.
    w.mounted =
        Some(Mounted::mount(Arc::clone(&w.view), &w.live, MountOptions::default()).unwrap());
    assert_eq!(fs::read(w.live.join("f")).unwrap(), b"x");
}

#[test]
fn a_mount_in_use_is_detached_and_goes_on_for_its_users() {
    let Some(mut w) = world() else { return };
    fs::write(w.live.join("f"), "some text").unwrap();
    let mut f = File::open(w.live.join("f")).unwrap();
    let started = Instant::now();
    w.mounted.take().unwrap().unmount().unwrap();
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(!w.live.join("f").exists());
    let mut text = String::new();
    f.read_to_string(&mut text).unwrap();
    assert_eq!(text, "some text");
}

#[test]
fn taken_away_from_outside_the_session_ends_and_takes_nothing_else_away() {
    let Some(mut w) = world() else { return };
    let first = w.mounted.take().unwrap();
    sh(w.dir.path(), "umount -l live || fusermount3 -uz live");
    wait_until("the session ends", || !first.is_alive());
    let second = mount(&w.real, &w.live).unwrap();
    fs::write(w.live.join("f"), "x").unwrap();
    first.unmount().unwrap();
    assert!(second.is_alive());
    assert_eq!(fs::read(w.live.join("f")).unwrap(), b"x");
    second.unmount().unwrap();
    // Telling a dead session is harmless.
    w.tell.entry(&fs_common::p("f"));
    w.tell.settle();
}

#[test]
fn where_it_cannot_be_mounted() {
    if !fuse_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for at in [file, dir.path().join("missing")] {
        let e = mount(dir.path(), &at).unwrap_err();
        assert!(matches!(e, Error::MountPoint { .. }), "{e}");
    }
    // What cannot even be a directory handle.
    let pipe = std::os::fd::OwnedFd::from(File::open("/dev/null").unwrap());
    let view = LiveView::new(pipe, Arc::new(Unobserved), Gate::new(), hidden);
    let at = dir.path().join("at");
    fs::create_dir(&at).unwrap();
    let e = Mounted::mount(view, &at, MountOptions::default()).unwrap_err();
    assert!(matches!(e, Error::Root(_)), "{e}");
}

/// Started by the tests below as a process of its own: serves `real` at `live` in the directory named by the environment
/// until its standard input closes.
#[test]
fn serve_for_another_test() {
    let Ok(dir) = std::env::var("FS_TEST_SERVE") else {
        return;
    };
    let dir = Path::new(&dir);
    let mounted = match mount(&dir.join("real"), &dir.join("live")) {
        Ok(m) => m,
        Err(e) => {
            println_now(&format!("failed: {e}"));
            return;
        }
    };
    println_now("mounted");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    mounted.unmount().unwrap();
    println_now("unmounted");
}

/// The test harness captures what is printed by the macros.
fn println_now(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{line}").unwrap();
    out.flush().unwrap();
}

fn serve_command() -> Vec<String> {
    let me = std::env::current_exe().unwrap();
    vec![
        me.to_str().unwrap().to_owned(),
        "--exact".to_owned(),
        "serve_for_another_test".to_owned(),
        "--nocapture".to_owned(),
    ]
}

/// Starts `command` and waits for its first word.
fn start(command: &[String], dir: &Path) -> (Child, BufReader<std::process::ChildStdout>, String) {
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .env("FS_TEST_SERVE", dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let word = next_word(&mut out);
    (child, out, word)
}

fn next_word(out: &mut impl BufRead) -> String {
    let mut line = String::new();
    loop {
        line.clear();
        if out.read_line(&mut line).unwrap() == 0 {
            return "ended".to_owned();
        }
        let word = line.trim();
        if ["mounted", "unmounted"].contains(&word) || word.starts_with("failed") {
            return word.to_owned();
        }
    }
}

#[test]
fn the_dead_mount_of_a_killed_engine_is_cleaned() {
    if !fuse_is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (real, live) = (dir.path().join("real"), dir.path().join("live"));
    fs::create_dir(&real).unwrap();
    fs::create_dir(&live).unwrap();
    let (mut child, _out, word) = start(&serve_command(), dir.path());
    if word.starts_with("failed") {
        eprintln!("skipped: {word}");
        return;
    }
    assert_eq!(word, "mounted");
    fs::write(live.join("f"), "kept").unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let e = fs::read_dir(&live).unwrap_err();
    assert_eq!(
        e.raw_os_error(),
        Some(rustix::io::Errno::NOTCONN.raw_os_error())
    );
    let e = mount(&real, &live).unwrap_err();
    assert!(matches!(e, Error::Stale { .. }), "{e}");
    assert!(clean_stale(&live).unwrap());
    assert!(!clean_stale(&live).unwrap());
    assert_eq!(fs::read_dir(&live).unwrap().count(), 0);
    assert_eq!(fs::read(real.join("f")).unwrap(), b"kept");
    let m = mount(&real, &live).unwrap();
    assert_eq!(fs::read(live.join("f")).unwrap(), b"kept");
    m.unmount().unwrap();
}

/// An ordinary user mounts through fusermount3. Where /dev/fuse is root's only, a namespace with an open one is made.
#[test]
fn an_ordinary_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    if !fuse_is_here() || !have("setpriv") || !have("fusermount3") || !have("unshare") {
        return;
    }
    let probe = "mount -t tmpfs none /dev && mknod -m 666 /dev/fuse c 10 229 && mknod -m 666 /dev/null c 1 3";
    let unshare = |script: &str| {
        vec![
            "unshare".to_owned(),
            "-m".to_owned(),
            "sh".to_owned(),
            "-ec".to_owned(),
            script.to_owned(),
        ]
    };
    let possible = Command::new("unshare").args(&unshare(probe)[1..]).status();
    if !possible.is_ok_and(|s| s.success()) {
        eprintln!("skipped: a mount namespace with an open /dev/fuse cannot be made");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for d in ["real", "live"] {
        fs::create_dir(dir.path().join(d)).unwrap();
        std::os::unix::fs::chown(dir.path().join(d), Some(65534), Some(65534)).unwrap();
    }
    fs::write(dir.path().join("real/theirs"), "x").unwrap();
    std::os::unix::fs::chown(dir.path(), Some(65534), Some(65534)).unwrap();
    // The runner's own files may lie where that user cannot go.
    let runner = dir.path().join("runner");
    fs::copy(std::env::current_exe().unwrap(), &runner).unwrap();
    let user = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let script = format!(
        "{probe}; exec {user} {} --exact serve_for_another_test --nocapture",
        runner.display()
    );
    let (mut child, mut out, word) = start(&unshare(&script), dir.path());
    assert_eq!(word, "mounted");
    // Its mount is in its namespace only: look through its root.
    let pid = child.id();
    let inside = |script: &str| {
        let at = format!(
            "{user} sh -ec \"cd \'{}\' && {script}\"",
            dir.path().join("live").display()
        );
        let o = Command::new("nsenter")
            .args(["-m", "-t", &pid.to_string(), "sh", "-ec", &at])
            .output()
            .unwrap();
        (
            o.status.success(),
            String::from_utf8_lossy(&o.stdout).into_owned() + &String::from_utf8_lossy(&o.stderr),
        )
    };
    let (ok, said) = inside(
        "cat theirs; echo mine > f; mkdir d; mv f d/g; chmod 600 d/g; ln d/g h; cat h; sed -i s/mine/ours/ h; stat -c %u:%g d h; ! chown 0 h 2>/dev/null",
    );
    assert!(ok, "{said}");
    assert_eq!(said, "xmine\n65534:65534\n65534:65534\n");
    drop(child.stdin.take());
    assert_eq!(next_word(&mut out), "unmounted");
    assert!(child.wait().unwrap().success());
    assert_eq!(fs::read(dir.path().join("real/h")).unwrap(), b"ours\n");
}
