//! Capture on real directories with a real store: what is committed is what was on disk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod capture_common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use backtrail::capture::observe::Observer;
use backtrail::capture::recorder::{Cut, Recorder};
use backtrail::model::{Cause, Kind, OpKind, RefTarget, RepoPath, Touch, Writer};
use capture_common::*;

/// Sets the flag when dropped, so that a failed assertion ends the threads that wait for it.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn writers(project: &Project, commit: backtrail::model::CommitId) -> Vec<Writer> {
    let commit = project.store.commit(commit).unwrap();
    match commit.meta.get("writers") {
        Some(json) => serde_json::from_str(json).unwrap(),
        None => Vec::new(),
    }
}

#[test]
fn the_first_scan_commits_the_state_and_begins_the_branch() {
    let project = Project::with(|root| {
        fs::create_dir_all(root.join("src/deep")).unwrap();
        fs::write(root.join("src/a.rs"), "fn main() {}").unwrap();
        fs::write(root.join("run.sh"), "#!/bin/sh").unwrap();
        fs::set_permissions(root.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("src/a.rs", root.join("link")).unwrap();
        fs::create_dir(root.join("empty")).unwrap();
    })
    .scanned();
    assert_same(&project.head_state(), &walk(&project.root, &[]), "first");
    assert_eq!(project.commits(), 1);
    let (id, _) = project.recorder.head().unwrap();
    let commit = project.store.commit(id).unwrap();
    assert_eq!(commit.cause, Cause::Initial);
    assert!(commit.parents.is_empty());
    assert_eq!(
        project.store.get_ref("head").unwrap(),
        Some(RefTarget::Branch("main".to_owned()))
    );
    assert_eq!(
        project.store.get_ref("branch/main").unwrap(),
        Some(RefTarget::Commit(id))
    );
    assert_eq!(
        project.store.operations(None, 1).unwrap()[0].2.kind,
        OpKind::Init
    );
    let attrs = project.store.attrs(id).unwrap();
    assert!(
        attrs
            .iter()
            .any(|a| a.path == p("run.sh") && a.mtime_ns > 0)
    );
    assert_eq!(
        project
            .store
            .path_history(&p("src/a.rs"), None, 10)
            .unwrap()
            .len(),
        1
    );
    assert!(project.recorder.scan().done && project.recorder.scan().files >= 6);
}

#[test]
fn an_empty_project_has_a_first_commit_too() {
    let project = Project::new().scanned();
    assert_eq!(project.commits(), 1);
    assert_eq!(project.head_tree(), project.store.empty_tree());
}

#[test]
fn changes_become_one_commit_with_their_writers_and_paths() {
    let project = Project::with(|root| fs::write(root.join("old"), "1").unwrap()).scanned();
    let hand = project.hand("sed");
    hand.mkdir("d").unwrap();
    hand.write("d/new", b"2").unwrap();
    hand.unlink("old").unwrap();
    assert!(project.recorder.dirty() >= 3);
    assert!(project.recorder.burst().is_some());
    let made = project.cut();
    assert_eq!(made.commits.len(), 1);
    assert!(made.problems.is_empty(), "{:?}", made.problems);
    assert_eq!(project.recorder.dirty(), 0);
    assert!(project.recorder.burst().is_none());
    assert_same(&project.head_state(), &walk(&project.root, &[]), "cut");
    let commit = project.store.commit(made.commits[0]).unwrap();
    assert_eq!(commit.author, "sed");
    assert_eq!(commit.parents.len(), 1);
    assert_eq!(writers(&project, made.commits[0])[0].comm, "sed");
    let history = project.store.path_history(&p("old"), None, 9).unwrap();
    assert_eq!(history.len(), 2);
    assert!(history[0].entry.is_none());
    assert_eq!(
        made.operation,
        project
            .store
            .operations(None, 1)
            .unwrap()
            .first()
            .map(|o| (o.0, o.1))
    );
}

#[test]
fn nothing_changed_means_no_commit() {
    let project = Project::with(|root| {
        fs::write(root.join("a"), "1").unwrap();
        fs::create_dir(root.join("d")).unwrap();
        fs::write(root.join("d/b"), "2").unwrap();
    })
    .scanned();
    assert!(project.cut().commits.is_empty());
    let hand = project.hand("x");
    // Written with what it held, made and removed, moved and moved back, mode set to what it was.
    hand.write("a", b"1").unwrap();
    hand.write("t", b"t").unwrap();
    hand.unlink("t").unwrap();
    hand.rename("d", "e", false).unwrap();
    hand.rename("e", "d", false).unwrap();
    let mode = fs::metadata(project.path("a"))
        .unwrap()
        .permissions()
        .mode()
        & 0o7777;
    hand.chmod("a", mode).unwrap();
    let made = project.cut();
    assert!(made.commits.is_empty() && made.operation.is_none());
    assert_eq!(project.commits(), 1);

    let asked = project
        .cut_with(Cause::Manual, Some("before the refactoring"), &|| {})
        .unwrap();
    assert_eq!(asked.commits.len(), 1);
    let commit = project.store.commit(asked.commits[0]).unwrap();
    assert_eq!(commit.message, "before the refactoring");
    assert_same(&project.head_state(), &walk(&project.root, &[]), "message");
}

#[test]
fn outside_and_inside_are_commits_of_their_own() {
    let project = Project::with(|root| {
        fs::create_dir(root.join("both")).unwrap();
        fs::write(root.join("both/user"), "1").unwrap();
        fs::write(root.join("both/agent"), "1").unwrap();
    })
    .scanned();
    let before = project.recorder.head().unwrap().0;
    let hand = project.hand("agent");
    hand.write("both/agent", b"2").unwrap();
    hand.mkdir("new").unwrap();
    hand.write("new/agent", b"2").unwrap();
    fs::write(project.path("both/user"), "22").unwrap();
    project.recorder.outside(&p("both/user"));
    fs::write(project.path("new/user"), "22").unwrap();
    project.recorder.outside(&p("new/user"));
    let made = project.cut();
    assert_eq!(made.commits.len(), 2);
    let first = project.store.commit(made.commits[0]).unwrap();
    let second = project.store.commit(made.commits[1]).unwrap();
    assert_eq!((&*first.author, &*second.author), ("outside", "agent"));
    assert_eq!(first.parents, [before]);
    assert_eq!(second.parents, [made.commits[0]]);
    let state = unfold(&project.store, first.tree);
    assert_eq!(state.get(&b"both/user"[..]).unwrap(), "file 644 \"22\"");
    assert_eq!(state.get(&b"both/agent"[..]).unwrap(), "file 644 \"1\"");
    assert!(state.contains_key(&b"new/user"[..]) && !state.contains_key(&b"new/agent"[..]));
    assert_same(
        &unfold(&project.store, second.tree),
        &walk(&project.root, &[]),
        "last",
    );
    assert_eq!(
        project.store.get_ref("branch/main").unwrap(),
        Some(RefTarget::Commit(made.commits[1]))
    );
}

#[test]
fn every_commit_is_the_state_at_its_swap_while_others_go_on() {
    let project = Project::with(|root| {
        for d in 0..4 {
            fs::create_dir(root.join(format!("d{d}"))).unwrap();
            for f in 0..10 {
                fs::write(root.join(format!("d{d}/f{f}")), "start").unwrap();
            }
        }
    })
    .scanned();
    let stop = AtomicBool::new(false);
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for t in 0..3usize {
            let (project, stop, done) = (&project, &stop, &done);
            scope.spawn(move || {
                let hand = project.hand("mill");
                let mut n = t;
                while !stop.load(Ordering::Relaxed) {
                    n = n.wrapping_mul(6_364_136_223).wrapping_add(1_442_695) & 0xffff_ffff;
                    let (d, e, f) = (n % 4, n / 4 % 4, n / 16 % 12);
                    let from = format!("d{d}/f{f}");
                    let to = format!("d{e}/f{}", (f + 1) % 12);
                    // Threads get in each other's way: any of these may fail.
                    let _ = match n / 256 % 9 {
                        0..=2 => hand.write(&from, format!("{t} {n}").as_bytes()),
                        3 => hand.unlink(&from),
                        4 => hand.rename(&from, &to, false),
                        5 => hand.rename(&from, &to, true),
                        6 => hand.rename(format!("d{d}"), format!("d{e}"), true),
                        7 => hand.append(&from, b"+"),
                        _ => hand.chmod(&from, 0o600 + (n as u32 / 4096 % 0o100)),
                    };
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _end = AtEnd(&stop);
        let mut made = 0;
        for round in 0..60 {
            let target = done.load(Ordering::Relaxed) + 40;
            while done.load(Ordering::Relaxed) < target {
                std::thread::yield_now();
            }
            let wanted = std::cell::RefCell::new(State::new());
            let result = project
                .cut_with(Cause::Timer, None, &|| {
                    *wanted.borrow_mut() = walk(&project.root, &[]);
                })
                .unwrap();
            made += result.commits.len();
            assert!(result.problems.is_empty(), "{:?}", result.problems);
            assert_same(
                &project.head_state(),
                &wanted.borrow(),
                &format!("round {round}"),
            );
        }
        assert!(made >= 30, "only {made} commits");
    });
}

#[test]
fn the_first_scan_is_exact_as_of_its_start() {
    let project = Project::with(|root| {
        for d in 0..30 {
            fs::create_dir_all(root.join(format!("d{d}/sub"))).unwrap();
            for f in 0..20 {
                fs::write(root.join(format!("d{d}/f{f}")), format!("{d} {f}")).unwrap();
                fs::write(root.join(format!("d{d}/sub/g{f}")), vec![7u8; 20_000]).unwrap();
            }
        }
    });
    let wanted = walk(&project.root, &[]);
    project.recorder.start_scan(Arc::new(ByWriter));
    let hand = project.hand("agent");
    // From the end, where the scan comes last.
    let mut changed = 0;
    for d in (0..30).rev() {
        if project.recorder.scan().done {
            break;
        }
        let d = format!("d{d}");
        hand.write(format!("{d}/f3"), b"changed").unwrap();
        hand.write(format!("{d}/f99"), b"made").unwrap();
        hand.unlink(format!("{d}/f4")).unwrap();
        hand.rename(format!("{d}/f5"), format!("{d}/f98"), false)
            .unwrap();
        hand.chmod(format!("{d}/f6"), 0o600).unwrap();
        hand.rename(format!("{d}/sub"), format!("{d}/bus"), false)
            .unwrap();
        hand.write(format!("{d}/bus/g1"), b"changed below").unwrap();
        hand.remove_all(format!("{d}/bus").as_bytes()).unwrap();
        hand.rename(&d, format!("moved-{d}"), false).unwrap();
        hand.mkdir(&d).unwrap();
        hand.write(format!("{d}/f0"), b"another").unwrap();
        changed += 1;
    }
    assert!(changed > 0);
    project.scan();
    assert!(
        project
            .recorder
            .wait_scan(std::time::Duration::from_secs(60))
    );
    assert_eq!(project.commits(), 1);
    assert_same(&project.head_state(), &wanted, "as of the start");
    project.cut();
    assert_same(
        &project.head_state(),
        &walk(&project.root, &[]),
        "afterwards",
    );
}

#[test]
fn a_later_start_finds_what_changed_meanwhile() {
    let project = Project::with(|root| {
        fs::create_dir(root.join("d")).unwrap();
        for f in ["a", "b", "d/c", "d/e"] {
            fs::write(root.join(f), "1").unwrap();
        }
    })
    .scanned();
    let unchanged = project.reopened();
    unchanged.start_scan(Arc::new(ByWriter));
    assert!(unchanged.wait_scan(std::time::Duration::from_secs(60)));
    assert_eq!(project.commits(), 1, "nothing changed");

    // The same length, and another time.
    fs::write(project.path("a"), "2").unwrap();
    fs::remove_file(project.path("d/c")).unwrap();
    fs::write(project.path("d/new"), "n").unwrap();
    let again = project.reopened();
    again.start_scan(Arc::new(ByWriter));
    assert!(again.wait_scan(std::time::Duration::from_secs(60)));
    let (id, tree) = again.head().unwrap();
    assert_same(
        &unfold(&project.store, tree),
        &walk(&project.root, &[]),
        "found",
    );
    let commit = project.store.commit(id).unwrap();
    assert_eq!(commit.cause, Cause::Found);
    assert_eq!(commit.author, "outside");
    let made = again.take_scan_made().unwrap();
    assert_eq!(made.commits, [id]);
}

#[test]
fn a_checkpoint_without_a_scan_scans_first() {
    let project = Project::with(|root| fs::write(root.join("a"), "1").unwrap());
    let made = project.cut();
    assert_eq!(made.commits.len(), 1);
    let once = project.reopened();
    fs::write(project.path("a"), "22").unwrap();
    let made = once
        .cut(Cut {
            cause: Cause::Manual,
            message: Some("by hand".to_owned()),
            swap: &|f| f(),
            flush: &|_| {},
            attribution: &ByWriter,
            session: None,
        })
        .unwrap();
    assert_eq!(made.commits.len(), 2);
    let causes: Vec<Cause> = made
        .commits
        .iter()
        .map(|c| project.store.commit(*c).unwrap().cause)
        .collect();
    assert_eq!(causes, [Cause::Found, Cause::Manual]);
}

#[test]
fn names_of_any_bytes_and_things_that_are_no_files() {
    let project = Project::with(|root| {
        use std::os::unix::ffi::OsStrExt;
        for name in [
            &b"new\nline"[..],
            b"\xff\xfe",
            b"\x1b[2J",
            b"-rf",
            b"a b",
            "ü".as_bytes(),
        ] {
            fs::write(root.join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
        }
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o640),
            0,
        )
        .unwrap();
        std::mem::forget(std::os::unix::net::UnixListener::bind(root.join("sock")).unwrap());
    })
    .scanned();
    assert_same(
        &project.head_state(),
        &walk(&project.root, &[]),
        "odd names",
    );
    let root = project.store.tree(project.head_tree()).unwrap();
    assert_eq!(root.get(b"pipe").unwrap().kind, Kind::Fifo);
    assert_eq!(root.get(b"sock").unwrap().kind, Kind::Socket);
    let hand = project.hand("x");
    hand.write(&b"\xff\xfe"[..], b"again").unwrap();
    hand.rename(&b"new\nline"[..], &b"other\nline\xf0"[..], false)
        .unwrap();
    project.cut();
    assert_same(&project.head_state(), &walk(&project.root, &[]), "renamed");
}

#[test]
fn hard_links_change_together() {
    let project = Project::with(|root| {
        fs::write(root.join("a"), "1").unwrap();
        fs::hard_link(root.join("a"), root.join("b")).unwrap();
    })
    .scanned();
    let hand = project.hand("x");
    hand.append("a", b"2").unwrap();
    project.cut();
    assert_same(
        &project.head_state(),
        &walk(&project.root, &[]),
        "known link",
    );
    hand.link("a", "c").unwrap();
    hand.append("c", b"3").unwrap();
    project.cut();
    assert_same(&project.head_state(), &walk(&project.root, &[]), "new link");
    hand.mkdir("d").unwrap();
    hand.rename("c", "d/c", false).unwrap();
    project.cut();
    hand.rename("d", "e", false).unwrap();
    hand.append("b", b"4").unwrap();
    project.cut();
    assert_same(
        &project.head_state(),
        &walk(&project.root, &[]),
        "moved link",
    );
}

#[test]
fn a_file_that_grows_while_it_is_read_stays_dirty() {
    let project = Project::new().scanned();
    let big = vec![1u8; 8 << 20];
    project.hand("x").write("grows", &big).unwrap();
    let stop = AtomicBool::new(false);
    let written = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        // Behind the mount, so that nothing holds it back.
        scope.spawn(|| {
            use std::io::Write;
            let mut file = fs::OpenOptions::new()
                .append(true)
                .open(project.path("grows"))
                .unwrap();
            while !stop.load(Ordering::Relaxed) {
                file.write_all(b"more").unwrap();
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _end = AtEnd(&stop);
        let begin = std::time::Instant::now();
        // The writer may be kept from running just then: until it is caught in the act.
        loop {
            let before = written.load(Ordering::Relaxed);
            while written.load(Ordering::Relaxed) == before {
                std::thread::yield_now();
            }
            project.recorder.outside(&p("grows"));
            let made = project.cut();
            assert_eq!(made.commits.len(), 1);
            if project.recorder.dirty() == 1 {
                break;
            }
            assert!(begin.elapsed().as_secs() < 30, "always held still");
        }
    });
    project.cut();
    assert_same(
        &project.head_state(),
        &walk(&project.root, &[]),
        "still now",
    );
    assert_eq!(project.recorder.dirty(), 0);
}

#[test]
fn files_open_for_writing_are_looked_at_in_every_checkpoint() {
    use std::os::unix::fs::FileExt;
    let project = Project::with(|root| fs::write(root.join("db"), "old").unwrap()).scanned();
    let who = project.hand("db").who;
    let file = fs::OpenOptions::new()
        .write(true)
        .open(project.path("db"))
        .unwrap();
    project.recorder.opened_for_write(&p("db"), &who);
    assert!(project.cut().commits.is_empty());
    // A store through a mapping: nobody reports it.
    file.write_all_at(b"NEW", 0).unwrap();
    let flushed = std::cell::RefCell::new(Vec::new());
    let made = project
        .recorder
        .cut(Cut {
            cause: Cause::PostTool,
            message: None,
            swap: &|f| f(),
            flush: &|paths| flushed.borrow_mut().extend_from_slice(paths),
            attribution: &ByWriter,
            session: None,
        })
        .unwrap();
    assert_eq!(*flushed.borrow(), [p("db")]);
    assert_eq!(made.commits.len(), 1);
    assert_eq!(project.store.commit(made.commits[0]).unwrap().author, "db");
    // The name moves with the file; the last change comes just before the release.
    project.hand("mv").rename("db", "db2", false).unwrap();
    project.cut();
    file.write_all_at(b"end", 0).unwrap();
    project.recorder.closed_for_write(&p("db2"));
    project.cut();
    assert_same(&project.head_state(), &walk(&project.root, &[]), "released");
    file.write_all_at(b"not", 0).unwrap();
    assert!(project.cut().commits.is_empty(), "not ours to see any more");
}

#[test]
fn what_cannot_be_read_is_reported_and_keeps_its_state() {
    let project = Project::with(|root| {
        fs::write(root.join("a"), "1").unwrap();
        fs::write(root.join("b"), "1").unwrap();
    })
    .scanned();
    // Root reads everything: a path too long for the system is unreadable for anybody.
    let name = "n".repeat(250);
    let mut deep = project.root.clone();
    let mut made = 0;
    let here = std::env::current_dir().unwrap();
    drop(here);
    let mut at = rustix::fs::open(
        &deep,
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    for _ in 0..20 {
        rustix::fs::mkdirat(&at, &name, rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
        at = rustix::fs::openat(
            &at,
            &name,
            rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY,
            rustix::fs::Mode::empty(),
        )
        .unwrap();
        deep.push(&name);
        made += 1;
    }
    assert_eq!(made, 20);
    project.recorder.outside(&p(&name));
    project.hand("x").write("a", b"2").unwrap();
    let result = project.cut();
    assert!(!result.commits.is_empty());
    assert!(
        result.problems.iter().any(|t| t.contains("cannot")),
        "{:?}",
        result.problems
    );
    assert_eq!(
        project.head_state().get(&b"a"[..]).unwrap(),
        "file 644 \"2\""
    );
}

#[test]
fn a_link_never_leads_out_of_the_project() {
    let project = Project::with(|root| {
        fs::create_dir(root.join("d")).unwrap();
        fs::write(root.join("d/secret"), "inside").unwrap();
    })
    .scanned();
    let elsewhere = project.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("secret"), "outside").unwrap();
    fs::remove_dir_all(project.path("d")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, project.path("d")).unwrap();
    project
        .recorder
        .changed(&p("d/secret"), Touch::Content, &Writer::outside());
    project.recorder.outside(&p("d"));
    project.cut();
    assert_same(&project.head_state(), &walk(&project.root, &[]), "link");
}

#[test]
fn a_failed_checkpoint_loses_nothing() {
    let project = Project::with(|root| fs::write(root.join("a"), "1").unwrap()).scanned();
    let hand = project.hand("x");
    hand.write("a", b"2").unwrap();
    hand.write("b", b"2").unwrap();
    hand.rename("b", "c", false).unwrap();
    // Somebody else moves the branch behind the recorder's back: the publication is refused.
    let (head, _) = project.recorder.head().unwrap();
    let op = |before, after| backtrail::store::Publication {
        operation: Some(backtrail::store::NewOperation {
            kind: OpKind::Branch,
            description: String::new(),
            refs: vec![backtrail::model::RefChange {
                name: "branch/main".to_owned(),
                before,
                after,
            }],
            target: None,
            workspace: None,
            time: backtrail::model::Time::now(),
        }),
        ..backtrail::store::Publication::default()
    };
    let at = Some(RefTarget::Commit(head));
    project.store.publish(op(at.clone(), None)).unwrap();
    let e = project.cut_with(Cause::Quiet, None, &|| {}).unwrap_err();
    assert!(e.to_string().contains("branch/main"), "{e}");
    assert!(project.recorder.dirty() >= 3);
    hand.rename("c", "d", false).unwrap();
    project.store.publish(op(None, at)).unwrap();
    // What the recorder remembers was read while the branch was away.
    let again = project.cut_with(Cause::Quiet, None, &|| {});
    if again.is_err() {
        project.cut();
    }
    assert_same(
        &project.head_state(),
        &walk(&project.root, &[]),
        "in the end",
    );
}

#[test]
fn after_a_rollback_the_known_state_is_what_was_written() {
    let project = Project::with(|root| {
        fs::create_dir(root.join("d")).unwrap();
        fs::write(root.join("d/a"), "1").unwrap();
        fs::write(root.join("keep"), "k").unwrap();
    })
    .scanned();
    let (first, first_tree) = project.recorder.head().unwrap();
    let hand = project.hand("x");
    hand.write("d/a", b"22").unwrap();
    hand.write("new", b"n").unwrap();
    project.cut();
    let (second, _) = project.recorder.head().unwrap();
    project.recorder.exclusive(|turn| {
        // As a rollback does it: straight on disk, then the refs.
        fs::write(project.path("d/a"), "1").unwrap();
        fs::remove_file(project.path("new")).unwrap();
        project
            .store
            .publish(backtrail::store::Publication {
                operation: Some(backtrail::store::NewOperation {
                    kind: OpKind::Rollback,
                    description: String::new(),
                    refs: vec![backtrail::model::RefChange {
                        name: "branch/main".to_owned(),
                        before: Some(RefTarget::Commit(second)),
                        after: Some(RefTarget::Commit(first)),
                    }],
                    target: None,
                    workspace: Some((second, first)),
                    time: backtrail::model::Time::now(),
                }),
                ..backtrail::store::Publication::default()
            })
            .unwrap();
        turn.adopt(first, first_tree, &[p("d/a"), p("new")])
            .unwrap();
    });
    assert_eq!(project.recorder.head().unwrap().0, first);
    assert!(project.cut().commits.is_empty());
    hand.write("d/b", b"3").unwrap();
    let made = project.cut();
    assert_eq!(
        project.store.commit(made.commits[0]).unwrap().parents,
        [first]
    );
    assert_same(&project.head_state(), &walk(&project.root, &[]), "goes on");
    // Saved by the user just then, with the same length: found as soon as it is looked at.
    project.recorder.exclusive(|turn| {
        fs::write(project.path("d/a"), "9").unwrap();
        let (head, tree) = project.recorder.head().unwrap();
        turn.adopt(head, tree, &[p("d/a")]).unwrap();
    });
    project.recorder.outside(&p("d/a"));
    assert_eq!(project.cut().commits.len(), 1);
    assert_same(
        &project.head_state(),
        &walk(&project.root, &[]),
        "user's edit",
    );
}

#[test]
fn directories_that_come_from_or_go_to_left_out_places() {
    let project = Project::with(|root| {
        fs::create_dir_all(root.join("node_modules/lib/x")).unwrap();
        fs::write(root.join("node_modules/lib/x/f"), "1").unwrap();
        fs::create_dir_all(root.join("src")).unwrap();
        fs::write(root.join("src/a"), "1").unwrap();
    })
    .scanned();
    assert!(!project.head_state().contains_key(&b"node_modules"[..]));
    let hand = project.hand("x");
    hand.rename("node_modules/lib", "vendored", false).unwrap();
    hand.write("node_modules/other", b"o").unwrap();
    project.cut();
    assert_same(
        &project.head_state(),
        &walk(&project.root, &["node_modules"])
            .into_iter()
            .filter(|(k, _)| !k.starts_with(b"node_modules"))
            .collect(),
        "came in",
    );
    hand.rename("src", "node_modules/src", false).unwrap();
    hand.rename("vendored", "target", false).unwrap();
    project.cut();
    assert!(project.head_state().is_empty());
    hand.rename("target", "back", false).unwrap();
    project.cut();
    assert_eq!(project.head_state().len(), 3);
    assert!(project.recorder.is_left_out(&p("node_modules/src/a")));
    assert!(!project.recorder.is_left_out(&p("back/x/f")));
}

#[test]
fn a_new_directory_outside_is_captured_with_all_it_holds() {
    let project = Project::new().scanned();
    fs::create_dir_all(project.path("x/y/z")).unwrap();
    fs::write(project.path("x/y/z/f"), "1").unwrap();
    // Only something deep below is reported.
    project.recorder.outside(&p("x/y/z/f"));
    project.cut();
    assert_same(&project.head_state(), &walk(&project.root, &[]), "new");
    fs::write(project.path("x/y/g"), "1").unwrap();
    fs::remove_dir_all(project.path("x/y/z")).unwrap();
    project.recorder.outside_dir(&p("x/y"));
    project.cut();
    assert_same(
        &project.head_state(),
        &walk(&project.root, &[]),
        "rescanned",
    );
    fs::remove_dir_all(project.path("x")).unwrap();
    project.recorder.outside_dir(&RepoPath::root());
    let made = project.cut();
    assert!(project.head_state().is_empty());
    assert_eq!(
        project.store.commit(made.commits[0]).unwrap().author,
        "outside"
    );
}

#[test]
fn the_signal_comes_once_a_burst() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let project = Project::new().scanned();
    let signal = project.recorder.changed_signal();
    project.hand("x").write("a", b"1").unwrap();
    let wait = std::time::Duration::from_secs(10);
    runtime
        .block_on(async { tokio::time::timeout(wait, signal.notified()).await })
        .unwrap();
    let (first, last) = project.recorder.burst().unwrap();
    assert!(first <= last);
    project.cut();
    project.hand("x").write("a", b"2").unwrap();
    runtime
        .block_on(async { tokio::time::timeout(wait, signal.notified()).await })
        .unwrap();
}

#[test]
fn a_missing_directory_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(backtrail::store::Store::open(&dir.path().join("s")).unwrap());
    let e = Recorder::open(store, &dir.path().join("none"), Default::default())
        .err()
        .unwrap();
    assert!(e.to_string().contains("none"), "{e}");
}

#[test]
fn a_change_in_a_directory_that_nobody_reported_brings_it_along() {
    let project = Project::new().scanned();
    fs::create_dir_all(project.path("x/y")).unwrap();
    fs::write(project.path("x/other"), "user").unwrap();
    project.hand("agent").write("x/y/f", b"agent").unwrap();
    project.cut();
    assert_same(&project.head_state(), &walk(&project.root, &[]), "x");
}

#[test]
fn a_change_of_mode_does_not_hide_an_edit_made_behind_it() {
    let project = Project::with(|root| fs::write(root.join("a"), "one").unwrap()).scanned();
    // Old enough for its stamp to be relied on.
    std::thread::sleep(std::time::Duration::from_millis(30));
    project.hand("x").append("a", b"").unwrap();
    project.cut();
    fs::write(project.path("a"), "two").unwrap();
    project.hand("x").chmod("a", 0o600).unwrap();
    project.cut();
    assert_same(&project.head_state(), &walk(&project.root, &[]), "a");
}
