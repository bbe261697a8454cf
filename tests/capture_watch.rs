//! The watch on a real directory: it sees what others do, and takes our own changes for ours.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod capture_common;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backtrail::capture::watch::{Seen, Watch};
use backtrail::model::RepoPath;
use capture_common::*;

const PATIENCE: Duration = Duration::from_secs(20);

type Stamps = Arc<Mutex<HashMap<RepoPath, (u64, u64, i64, i64)>>>;

/// A watch with what it reports, and what the view says is its own.
struct Watched {
    watch: Watch,
    reports: Receiver<RepoPath>,
    own: Stamps,
}

impl Watched {
    fn new(project: &Project) -> Self {
        let own = Stamps::default();
        let (to, reports) = channel();
        let to = Mutex::new(to);
        let stamps = Arc::clone(&own);
        let cookies = project.dir.path().join("cookies");
        fs::create_dir(&cookies).unwrap();
        let watch = Watch::start(
            &project.recorder,
            Arc::new(move |path, seen: &Seen| {
                stamps
                    .lock()
                    .unwrap()
                    .get(path)
                    .is_some_and(|s| seen.is(s.0, s.1, s.2, s.3))
            }),
            Arc::new(move |path| to.lock().unwrap().send(path.clone()).unwrap()),
            Some(&cookies),
        )
        .unwrap();
        Self {
            watch,
            reports,
            own,
        }
    }

    /// Waits for a report of `path`; what was reported before.
    fn until(&self, path: &str) -> Vec<RepoPath> {
        let mut before = Vec::new();
        let end = Instant::now() + PATIENCE;
        loop {
            match self.reports.recv_timeout(end - Instant::now()) {
                Ok(found) if found == p(path) => return before,
                Ok(other) => before.push(other),
                Err(e) => panic!("no report of {path} ({e}), only of {before:?}"),
            }
        }
    }

    fn note_own(&self, project: &Project, path: &str) {
        let m = fs::symlink_metadata(project.path(path)).unwrap();
        let ns = |s: i64, n: i64| s * 1_000_000_000 + n;
        self.own.lock().unwrap().insert(
            p(path),
            (
                m.ino(),
                m.len(),
                ns(m.mtime(), m.mtime_nsec()),
                ns(m.ctime(), m.ctime_nsec()),
            ),
        );
    }
}

fn project() -> Project {
    Project::with(|root| {
        fs::create_dir_all(root.join("src/deep")).unwrap();
        fs::write(root.join("src/a"), "1").unwrap();
        fs::write(root.join("src/deep/b"), "1").unwrap();
        fs::create_dir_all(root.join("node_modules/x")).unwrap();
        // A file so young that a second change could carry the same time is always looked into; these shall be older.
        std::thread::sleep(Duration::from_millis(30));
    })
}

#[test]
fn sees_what_others_do_and_where_they_go() {
    let project = project();
    let watched = Watched::new(&project);
    project.scan();
    assert!(watched.watch.warning().is_none());
    assert_eq!(
        watched.watch.directories(),
        3,
        "none inside of node_modules"
    );

    fs::write(project.path("src/a"), "2").unwrap();
    watched.until("src/a");
    let made = project.cut();
    assert_eq!(
        project.store.commit(made.commits[0]).unwrap().author,
        "outside"
    );
    // Saved by rename, as editors do.
    fs::write(project.path("src/a~"), "3").unwrap();
    fs::rename(project.path("src/a~"), project.path("src/a")).unwrap();
    watched.until("src/a");
    // A new directory is watched with what it holds.
    fs::create_dir_all(project.path("new/sub")).unwrap();
    fs::write(project.path("new/sub/f"), "1").unwrap();
    watched.until("new");
    fs::write(project.path("new/sub/g"), "1").unwrap();
    watched.until("new/sub/g");
    // A directory that was moved is watched under its new name.
    fs::rename(project.path("src/deep"), project.path("moved")).unwrap();
    watched.until("moved");
    project.cut();
    fs::write(project.path("moved/b"), "2").unwrap();
    watched.until("moved/b");
    fs::remove_dir_all(project.path("new")).unwrap();
    watched.until("new");
    // Left out: nothing is heard of it, and what comes after is.
    fs::write(project.path("node_modules/x/f"), "1").unwrap();
    fs::write(project.path("last"), "1").unwrap();
    let before = watched.until("last");
    assert!(!before.contains(&p("node_modules/x/f")), "{before:?}");
    project.cut();
    let mut expected = walk(&project.root, &[]);
    expected.retain(|path, _| !path.starts_with(b"node_modules"));
    assert_same(&project.head_state(), &expected, "all seen");
}

#[test]
fn takes_our_own_changes_for_ours() {
    let project = project();
    let watched = Watched::new(&project);
    project.scan();
    let hand = project.hand("agent");
    for n in 0..50 {
        let path = format!("src/own{n}");
        hand.write(&path, b"1").unwrap();
        watched.note_own(&project, &path);
    }
    hand.mkdir("made").unwrap();
    hand.write("made/f", b"1").unwrap();
    watched.note_own(&project, "made/f");
    hand.unlink("src/own1").unwrap();
    hand.rename("src/own2", "src/own3", false).unwrap();
    watched.note_own(&project, "src/own3");
    hand.rename("src/deep", "deep", false).unwrap();
    hand.chmod("src/own5", 0o600).unwrap();
    watched.note_own(&project, "src/own5");
    // Reported before the cut and after it alike: only the stranger's change counts.
    fs::write(project.path("src/a"), "user").unwrap();
    let before = watched.until("src/a");
    assert!(before.is_empty(), "taken for outside: {before:?}");
    let made = project.cut();
    let authors: Vec<String> = made
        .commits
        .iter()
        .map(|c| project.store.commit(*c).unwrap().author.clone())
        .collect();
    assert_eq!(authors, ["outside", "agent"]);
    fs::write(project.path("deep/b"), "user").unwrap();
    let before = watched.until("deep/b");
    assert!(before.is_empty(), "{before:?}");
}

#[test]
fn an_operation_under_way_is_not_taken_for_a_strangers() {
    for _ in 0..10 {
        let project = project();
        let watched = Watched::new(&project);
        project.scan();
        let hand = project.hand("agent");
        let mut longest = Duration::ZERO;
        // The view says only a little later that it was it.
        for n in 0..20 {
            let begin = Instant::now();
            hand.write("src/a", format!("{n}").as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(2));
            watched.note_own(&project, "src/a");
            longest = longest.max(begin.elapsed());
        }
        fs::write(project.path("sentinel"), "1").unwrap();
        let before = watched.until("sentinel");
        // A machine that let us stand for longer than news are waited with shows nothing.
        if longest < Duration::from_millis(40) {
            assert!(before.is_empty(), "{before:?}");
            return;
        }
        println!("again: the machine paused for {longest:?}");
    }
    panic!("the machine is too busy to try this");
}

#[test]
fn a_watch_that_begins_late_finds_what_it_missed() {
    let project = project().scanned();
    fs::write(project.path("src/deep/b"), "missed").unwrap();
    let watched = Watched::new(&project);
    watched.until("src/deep/b");
    fs::write(project.path("src/a"), "seen").unwrap();
    watched.until("src/a");
    project.cut();
    assert_eq!(project.recorder.dirty(), 0);
    let recorder = Arc::downgrade(&project.recorder);
    drop(watched);
    drop(project);
    assert!(
        recorder.upgrade().is_none(),
        "the watch lets go of the recorder"
    );
}

#[test]
fn a_checkpoint_that_settles_first_misses_nothing() {
    let project = project();
    let watched = Watched::new(&project);
    project.scan();
    let hand = project.hand("agent");
    for n in 0..20 {
        fs::write(project.path("src/a"), format!("user {n}")).unwrap();
        fs::create_dir(project.path(format!("dir{n}"))).unwrap();
        fs::write(project.path(format!("dir{n}/f")), "user").unwrap();
        hand.write("src/own", format!("{n}").as_bytes()).unwrap();
        watched.note_own(&project, "src/own");
        watched.watch.settle(&|f| f(), PATIENCE);
        let made = project.cut();
        let authors: Vec<String> = made
            .commits
            .iter()
            .map(|c| project.store.commit(*c).unwrap().author.clone())
            .collect();
        assert_eq!(authors, ["outside", "agent"]);
        let mut expected = walk(&project.root, &[]);
        expected.retain(|path, _| !path.starts_with(b"node_modules"));
        assert_same(&project.head_state(), &expected, "settled");
    }
    assert_eq!(
        fs::read_dir(project.dir.path().join("cookies"))
            .unwrap()
            .count(),
        0
    );
}
