//! A process that is killed at any step: after recovery the project is the old or the new state, plus the edit that
//! somebody made in between, never a mixture.
//!
//! The killed process is this test binary itself, started again with [`child`] as its only test.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use backtrail::capture::failpoint;
use backtrail::capture::journal::{Intent, Journal};
use backtrail::capture::restore::{World, apply, plan, put_back, recover};
use backtrail::model::RepoPath;
use backtrail::store::Store;

use super::race::{self, EDITS, Edit, edit};
use super::support::*;

const DIR: &str = "BACKTRAIL_TEST_DIR";
const TASK: &str = "BACKTRAIL_TEST_TASK";
const EDIT: &str = "BACKTRAIL_TEST_EDIT";

/// Several blocks, so that a half-written one is torn in the middle and at a block's border.
fn blocks(line: &str, lines: usize) -> Node {
    let text = (0..lines)
        .map(|n| format!("{line} {n}\n"))
        .collect::<String>();
    file(&text)
}

fn before() -> State {
    let mut out = race::before();
    out.insert(p("held"), blocks("the old line", 1_500));
    out.insert(p("held-grows"), blocks("old", 100));
    out.extend(state(&[
        ("closed/f", file("1")),
        ("closed/gone", file("x")),
        ("closes/f", Node::File("1".into(), 0o444)),
        ("opens/f", file("1")),
    ]));
    out.insert(p("closed"), Node::Dir(0o555));
    out.insert(p("opens"), Node::Dir(0o555));
    out
}

fn after() -> State {
    let mut out = race::after();
    out.insert(p("held"), blocks("the new line", 500));
    if let Some(Node::File(_, mode)) = out.get_mut(&p("held")) {
        *mode = 0o755;
    }
    out.insert(p("held-grows"), blocks("new", 2_000));
    out.extend(state(&[
        ("closed/f", file("2")),
        ("closed/came", file("y")),
        ("closes/f", Node::File("2".into(), 0o444)),
        ("opens/came/f", file("1")),
        ("comes-closed/in/f", file("1")),
    ]));
    out.insert(p("closed"), Node::Dir(0o555));
    out.insert(p("closes"), Node::Dir(0o555));
    out.insert(p("comes-closed"), Node::Dir(0o555));
    out.insert(p("comes-closed/in"), Node::Dir(0o500));
    out
}

struct Held {
    root: std::path::PathBuf,
    /// A path that is edited right before it is swapped.
    edit: Option<RepoPath>,
    done: RefCell<bool>,
}

impl World for Held {
    fn open_count(&self, path: &RepoPath) -> usize {
        usize::from(path.as_bytes().starts_with(b"held"))
    }

    fn at(&self, step: &'static str, path: &RepoPath) {
        if step == "restore.before-swap"
            && self.edit.as_ref() == Some(path)
            && !self.done.replace(true)
        {
            let made = edit(&self.root, path, Edit::SameSize);
            assert!(made.is_some(), "{path}");
        }
    }
}

/// What the process that is to be killed does. Without the variables: nothing.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let dir = Path::new(&dir);
    let (store, journal) = open(dir);
    let root = open_root(&dir.join("project"));
    if std::env::var(TASK).as_deref() == Ok("recover") {
        let Some(intent) = journal.pending().unwrap() else {
            return;
        };
        put_back(&store, root.as_fd(), &journal, &intent).unwrap();
        recover(&store, root.as_fd(), &journal, &intent).unwrap();
        journal.done(&intent).unwrap();
        return;
    }
    let intent = intent_for(&store);
    let world = Held {
        root: dir.join("project"),
        edit: std::env::var(EDIT).ok().map(|e| p(&e)),
        done: RefCell::new(false),
    };
    apply(&store, root.as_fd(), &journal, &intent, &world).unwrap();
    journal.done(&intent).unwrap();
}

fn intent_for(store: &Store) -> Intent {
    let (from, to) = (keep(store, &before()), keep(store, &after()));
    intent(&plan(store, from, to, &|_, _, _| false).unwrap())
}

/// Runs [`child`] armed with `fail`. Returns whether it was killed there.
fn killed(dir: &Path, task: &str, fail: &str, edit: Option<&RepoPath>) -> bool {
    killed_as(None, dir, task, fail, edit)
}

fn killed_as(
    user: Option<u32>,
    dir: &Path,
    task: &str,
    fail: &str,
    edit: Option<&RepoPath>,
) -> bool {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "crash::child", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(TASK, task)
        .env(failpoint::VARIABLE, fail)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(id) = user {
        command.uid(id).gid(id);
    }
    if let Some(path) = edit {
        command.env(EDIT, path.to_string());
    }
    let output = command.output().unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    match signal {
        Some(9) => true,
        None if output.status.success() => false,
        other => panic!(
            "{fail}: {other:?} {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// A directory with a store that has both states, and the project in the state before.
fn ground() -> tempfile::TempDir {
    let dir = memory_dir();
    let (store, _) = open(dir.path());
    intent_for(&store);
    store.sync().unwrap();
    drop(store);
    reset(dir.path());
    dir
}

fn reset(dir: &Path) {
    let root = dir.join("project");
    if root.exists() {
        fs::remove_dir_all(&root).unwrap();
    }
    fs::create_dir(&root).unwrap();
    write(&root, &before());
    assert_eq!(pending(dir), None);
}

fn pending(dir: &Path) -> Option<Intent> {
    Journal::open(&dir.join("journal"))
        .unwrap()
        .pending()
        .unwrap()
}

/// Calls `f` with every point and passage at which a child doing `task` can be killed, until it no longer is. Returns
/// the points with how often each killed.
fn at_every_point(mut f: impl FnMut(&str) -> bool) -> BTreeMap<&'static str, usize> {
    let mut kills = BTreeMap::new();
    for name in failpoint::NAMES {
        for hit in 1.. {
            if !f(&format!("{name}:{hit}")) {
                break;
            }
            *kills.entry(*name).or_default() += 1;
        }
    }
    kills
}

#[test]
fn killed_anywhere_it_is_the_old_or_the_new_state() {
    let dir = ground();
    let root = dir.path().join("project");
    let (old, new) = (before(), after());
    let mut unfinished = 0;
    let kills = at_every_point(|fail| {
        reset(dir.path());
        let killed = killed(dir.path(), "apply", fail, None);
        let pending = finish(dir.path());
        unfinished += usize::from(pending);
        let found = read(&root);
        assert_no_staging(&found);
        let all_or_nothing = found == new || (!pending && found == old);
        assert!(all_or_nothing, "{fail}: {:?}", mixture(&found));
        assert!(!finish(dir.path()), "{fail}: finished twice");
        killed
    });
    // No point is out of the way but those of races and of recovery, which other tests pass.
    for name in failpoint::NAMES {
        let elsewhere = name.starts_with("recover.") || *name == "restore.put-back-one";
        assert!(
            elsewhere || kills.contains_key(name),
            "{name} was never passed"
        );
    }
    assert!(kills.values().sum::<usize>() >= 110, "{kills:?}");
    assert!(
        unfinished >= 105,
        "only {unfinished} operations were left half-way"
    );
}

/// Directories that their owner may not write in are opened for the time of the work, and closed again even when that
/// is interrupted.
#[test]
fn killed_as_an_ordinary_user_directories_are_closed_again() {
    const NOBODY: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let dir = ground();
    let root = dir.path().join("project");
    let (old, new) = (before(), after());
    let give = |path: &Path| {
        let mut open = vec![path.to_owned()];
        while let Some(path) = open.pop() {
            std::os::unix::fs::lchown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                open.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
            }
        }
    };
    give(dir.path());
    let exe = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child"])
        .uid(NOBODY)
        .output();
    if !exe.is_ok_and(|o| o.status.success()) {
        eprintln!("skipped: another user cannot run this test's binary");
        return;
    }
    let kills = at_every_point(|fail| {
        reset(dir.path());
        give(&root);
        let killed = killed_as(Some(NOBODY), dir.path(), "apply", fail, None);
        let undone = killed && pending(dir.path()).is_none() && read(&root) == old;
        assert!(!killed_as(Some(NOBODY), dir.path(), "recover", "", None));
        let found = read(&root);
        assert_no_staging(&found);
        let wanted = if undone { &old } else { &new };
        assert!(found == *wanted, "{fail}: {:?}", mixture(&found));
        killed
    });
    assert!(kills.values().sum::<usize>() >= 110, "{kills:?}");
}

/// How a state differs from both ends.
fn mixture(found: &State) -> Vec<String> {
    let (old, new) = (before(), after());
    let mut out = Vec::new();
    for path in old.keys().chain(new.keys()).chain(found.keys()) {
        let (f, o, n) = (found.get(path), old.get(path), new.get(path));
        if o != n {
            let is = match f {
                f if f == o => "old",
                f if f == n => "new",
                _ => "neither",
            };
            out.push(format!("{path} {is}"));
        } else if f != o {
            out.push(format!("{path} {f:?}"));
        }
    }
    out
}

#[test]
fn an_edit_after_the_kill_stands_and_all_else_is_finished() {
    let dir = ground();
    let root = dir.path().join("project");
    let (old, new) = (before(), after());
    let files: Vec<RepoPath> = old
        .iter()
        .chain(&new)
        .filter(|(_, node)| matches!(node, Node::File(..)))
        .map(|(path, _)| path.clone())
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    // Another path and another kind of edit at each kill.
    let mut turn = 0;
    let mut edited = 0;
    at_every_point(|fail| {
        reset(dir.path());
        let killed = killed(dir.path(), "apply", fail, None);
        turn += 1;
        let round = turn / files.len();
        let (path, kind) = (
            &files[turn % files.len()],
            EDITS[(turn + round) % EDITS.len()],
        );
        let done = edit(&root, path, kind);
        let pending = finish(dir.path());
        let found = read(&root);
        assert_no_staging(&found);
        let undone = killed && !pending && !fail.starts_with("journal.removed");
        let base = if undone { &old } else { &new };
        let mut wanted = base.clone();
        match done {
            None => {}
            Some(Some(node)) => {
                edited += 1;
                let mut node = node;
                if let (true, Node::File(_, mode)) = (!undone && *path == p("mode"), &mut node) {
                    // Only its mode was to change, and does.
                    *mode = 0o755;
                }
                assert_eq!(
                    found.get(path),
                    Some(&node),
                    "{fail}: the edit of {path} is lost"
                );
                wanted.retain(|p, _| p == path || !p.is_within(path));
                wanted.insert(path.clone(), node);
                let mut up = path.parent().unwrap();
                while !up.is_root() {
                    // It may hold a directory that should have gone or become a file.
                    if !matches!(wanted.get(&up), Some(Node::Dir(_))) {
                        wanted.insert(up.clone(), Node::Dir(0o755));
                    }
                    up = up.parent().unwrap();
                }
            }
            Some(None) => {
                edited += 1;
                // Removed while something else was to come there: either is right.
                match found.get(path) {
                    Some(node) => assert_eq!(new.get(path), Some(node), "{fail}: {path}"),
                    None => wanted.retain(|q, _| !q.is_within(path)),
                }
            }
        }
        let differ: Vec<_> = wanted
            .keys()
            .chain(found.keys())
            .filter(|q| wanted.get(*q) != found.get(*q))
            .collect();
        assert_eq!(
            differ,
            Vec::<&RepoPath>::new(),
            "{fail} {path} {kind:?}: {:?}",
            mixture(&found)
        );
        killed
    });
    assert!(edited >= 50, "only {edited} edits");
}

#[test]
fn killed_in_recovery_it_is_finished_by_the_next_one() {
    let dir = ground();
    let root = dir.path().join("project");
    for first in [
        "restore.staged-one:3",
        "restore.named-one:4",
        "restore.swapped-one:4",
        "restore.in-place-half:1",
        "restore.in-place-written:2",
    ] {
        reset(dir.path());
        assert!(killed(dir.path(), "apply", first, None), "{first}");
        // The same half-way state again and again.
        let half = read(&root);
        let intent = fs::read(dir.path().join("journal/intent")).unwrap();
        let kills = at_every_point(|fail| {
            fs::remove_dir_all(&root).unwrap();
            fs::create_dir(&root).unwrap();
            write(&root, &half);
            fs::write(dir.path().join("journal/intent"), &intent).unwrap();
            let killed = killed(dir.path(), "recover", fail, None);
            assert_eq!(
                finish(dir.path()),
                killed && !fail.starts_with("journal.removed")
            );
            let found = read(&root);
            assert_no_staging(&found);
            assert_eq!(mixture(&found), mixture(&after()), "{first} then {fail}");
            assert_eq!(found, after());
            killed
        });
        assert!(kills.values().sum::<usize>() >= 8, "{first}: {kills:?}");
    }
}

#[test]
fn a_newer_save_that_was_displaced_when_it_was_killed_comes_back() {
    let dir = ground();
    let root = dir.path().join("project");
    let mut kills = 0;
    for name in ["edited", "gone", "file-to-dir", "old/deep/f"] {
        let path = p(name);
        let Some(Node::File(content, _)) = before().get(&path).cloned() else {
            panic!("{name} is a file");
        };
        let save = Node::File(vec![b'u'; content.len()], 0o644);
        for step in ["swapped-one", "compared-one", "put-back-one"] {
            for hit in 1.. {
                reset(dir.path());
                let fail = format!("restore.{step}:{hit}");
                if !killed(dir.path(), "apply", &fail, Some(&path)) {
                    break;
                }
                kills += 1;
                let half = read(&root);
                let intent = pending(dir.path()).unwrap();
                let (store, journal) = open(dir.path());
                let root_fd = open_root(&root);
                let back = put_back(&store, root_fd.as_fd(), &journal, &intent).unwrap();
                // Before anything is finished, so that the caller's commit has it.
                let found = read(&root);
                let was_made = half.values().any(|n| *n == save);
                if was_made {
                    assert_eq!(found.get(&path), Some(&save), "{name} {fail}");
                }
                assert_eq!(!back.is_empty(), was_made && half.get(&path) != Some(&save));
                let done = recover(&store, root_fd.as_fd(), &journal, &intent).unwrap();
                journal.done(&intent).unwrap();
                let found = read(&root);
                assert_no_staging(&found);
                if was_made {
                    assert_eq!(found.get(&path), Some(&save), "{name} {fail}");
                    assert!(
                        done.changed_since.contains(&path),
                        "{name} {fail}: {done:?}"
                    );
                } else {
                    assert_eq!(found, after(), "{name} {fail}");
                }
            }
        }
    }
    assert!(kills > 60, "only {kills} kills");
}
