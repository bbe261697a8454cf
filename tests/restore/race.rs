//! Somebody saves at the worst moment: the newest save is never lost, everything else becomes the target.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use backtrail::capture::restore::{Applied, KnownStat, Nobody, World};
use backtrail::model::RepoPath;

use super::support::*;

/// All kinds of changes at once.
pub fn before() -> State {
    state(&[
        ("edited", file("old content")),
        ("held", file("held before, longer")),
        ("gone", file("goes away")),
        ("mode", file("mode")),
        ("link", Node::Link(b"old".to_vec())),
        ("file-to-dir", file("a file")),
        ("dir-to-file/x", file("in the way")),
        ("old/deep/f", file("goes too")),
        ("stays/f", file("1")),
        ("untouched", file("never named")),
    ])
}

pub fn after() -> State {
    let mut out = state(&[
        ("edited", file("new content")),
        ("held", file("held after")),
        ("mode", Node::File(b"mode".to_vec(), 0o755)),
        ("link", Node::Link(b"new".to_vec())),
        ("file-to-dir/inside", file("a file")),
        ("dir-to-file", file("out of the way")),
        ("came", file("comes back")),
        ("new/deep/f", file("comes too")),
        ("new/deep/empty", Node::Dir(0o755)),
        ("stays/f", file("2")),
        ("untouched", file("never named")),
    ]);
    out.insert(p("stays"), Node::Dir(0o700));
    out
}

/// What somebody does to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// Writes beside it and renames over it, as most editors do.
    Save,
    /// Opens, truncates and writes it.
    Overwrite,
    /// As [`Edit::Overwrite`], with as many bytes as the state before has.
    SameSize,
    Remove,
}

pub const EDITS: [Edit; 4] = [Edit::Save, Edit::Overwrite, Edit::SameSize, Edit::Remove];

/// Does it; `None` if it could not be done there and then. Returns what must be found at the path in the end.
pub fn edit(root: &Path, path: &RepoPath, kind: Edit) -> Option<Option<Node>> {
    let to = at(root, path);
    match kind {
        Edit::Save => {
            let beside = root.join("editor.tmp");
            fs::write(&beside, "saved by the user").unwrap();
            if fs::rename(&beside, &to).is_ok() {
                let mode = super::support::read(root)[path].clone();
                return Some(Some(mode));
            }
            fs::remove_file(&beside).unwrap();
            None
        }
        Edit::Overwrite | Edit::SameSize => {
            if !fs::symlink_metadata(&to).ok()?.is_file() {
                return None;
            }
            let text = if kind == Edit::SameSize {
                match before().get(path) {
                    Some(Node::File(c, _)) => "u".repeat(c.len()),
                    _ => return None,
                }
            } else {
                "written by the user".to_owned()
            };
            fs::write(&to, text).ok()?;
            Some(Some(super::support::read(root)[path].clone()))
        }
        Edit::Remove => {
            fs::remove_file(&to).ok()?;
            Some(None)
        }
    }
}

/// Edits `path` when `step` is passed for it (or for the root, at steps that concern all).
struct Editor {
    root: PathBuf,
    step: &'static str,
    path: RepoPath,
    kind: Edit,
    done: RefCell<Option<Option<Node>>>,
}

impl World for Editor {
    fn open_count(&self, path: &RepoPath) -> usize {
        usize::from(path.as_bytes() == b"held")
    }

    fn at(&self, step: &'static str, path: &RepoPath) {
        if step == self.step
            && (*path == self.path || path.is_root())
            && self.done.borrow().is_none()
        {
            *self.done.borrow_mut() = edit(&self.root, &self.path, self.kind);
        }
    }
}

/// What must be found: the target with that edit. Directories that have to stay because of it are allowed for.
pub fn expected(path: &RepoPath, edited: Option<Node>, found: &State) -> State {
    let mut out = after();
    match edited {
        Some(node) => {
            let below = |p: &RepoPath| p != path && p.is_within(path);
            out.retain(|p, _| !below(p));
            out.insert(path.clone(), node);
            let mut up = path.parent().unwrap();
            while !up.is_root() {
                // A directory that should have gone, or become a file, holds the edit.
                match out.get(&up) {
                    Some(Node::Dir(_)) => {}
                    _ => {
                        out.insert(up.clone(), found[&up].clone());
                    }
                }
                up = up.parent().unwrap();
            }
        }
        None => {
            out.retain(|p, _| !p.is_within(path));
        }
    }
    out
}

/// Notes which steps are passed for which paths.
#[derive(Default)]
struct Recorder(RefCell<BTreeSet<(&'static str, RepoPath)>>);

impl World for Recorder {
    fn open_count(&self, path: &RepoPath) -> usize {
        usize::from(path.as_bytes() == b"held")
    }

    fn at(&self, step: &'static str, path: &RepoPath) {
        self.0.borrow_mut().insert((step, path.clone()));
    }
}

#[test]
fn the_newest_save_survives_at_every_step() {
    let lab = Lab::in_memory();
    let (a, b) = (before(), after());
    let plan = lab.plan(&a, &b);
    write(&lab.root(), &a);
    let passed = Recorder::default();
    lab.apply(&plan, &passed).unwrap();
    let all: BTreeSet<&RepoPath> = a.keys().chain(b.keys()).collect();
    let mut raced = 0;
    for (step, passed_for) in passed.0.into_inner() {
        // A step that concerns all is a moment for an edit of any path.
        let paths = if passed_for.is_root() {
            all.iter().copied().cloned().collect()
        } else {
            vec![passed_for]
        };
        for (path, kind) in paths.iter().flat_map(|p| EDITS.map(|k| (p, k))) {
            let in_the_middle = step.starts_with("restore.in-place-") && !step.ends_with("begin");
            if in_the_middle && matches!(kind, Edit::Overwrite | Edit::SameSize) {
                // Two writers in the same inode at the same time: nobody can take that apart.
                continue;
            }
            lab.clear();
            write(&lab.root(), &a);
            let editor = Editor {
                root: lab.root(),
                step,
                path: path.clone(),
                kind,
                done: RefCell::new(None),
            };
            let applied = lab.apply(&plan, &editor).unwrap();
            let found = read(&lab.root());
            assert_no_staging(&found);
            let Some(edited) = editor.done.into_inner() else {
                assert_eq!(found, b, "{step} {path} {kind:?}: {applied:?}");
                continue;
            };
            raced += 1;
            let what = format!("{step} {path} {kind:?}");
            check(&found, path, edited, &applied, &what);
        }
    }
    assert!(raced > 300, "only {raced} edits were made");
}

fn check(found: &State, path: &RepoPath, edited: Option<Node>, applied: &Applied, what: &str) {
    match &edited {
        Some(Node::File(content, _)) => match found.get(path) {
            Some(Node::File(c, _)) => {
                assert_eq!(c, content, "{what}: the save is lost: {applied:?}");
            }
            other => panic!("{what}: the save is lost: {other:?} {applied:?}"),
        },
        Some(_) => panic!("edits write files"),
        // A removal stands as well; but what was to come and is removed before it came, comes.
        None => {
            let target = after();
            if found.contains_key(path) {
                assert_eq!(found.get(path), target.get(path), "{what}");
            }
        }
    }
    let mut wanted = match found.get(path) {
        Some(node) => expected(path, Some(node.clone()), found),
        None => expected(path, None, found),
    };
    // A directory that was to become a file and holds the edit: the file could not come.
    let blocked = |p: &RepoPath| applied.kept.iter().any(|(k, _)| k == p);
    for (q, node) in found {
        if blocked(q) && wanted.contains_key(q) {
            wanted.insert(q.clone(), node.clone());
        }
    }
    let differ: Vec<_> = found
        .keys()
        .chain(wanted.keys())
        .filter(|q| found.get(*q) != wanted.get(*q))
        .collect();
    assert_eq!(
        differ,
        Vec::<&RepoPath>::new(),
        "{what}: {applied:?}\n{found:?}"
    );
}

/// Saves twice: once before the exchange, with the size and mode of what is expected, once right after it.
struct Twice {
    root: PathBuf,
    second: &'static str,
    name: &'static str,
}

impl World for Twice {
    fn open_count(&self, _: &RepoPath) -> usize {
        0
    }

    fn at(&self, step: &'static str, path: &RepoPath) {
        if path.as_bytes() != self.name.as_bytes() {
            return;
        }
        let size = match &before()[path] {
            Node::File(c, _) => c.len(),
            _ => 0,
        };
        if step == "restore.before-swap" {
            fs::write(at(&self.root, path), "1".repeat(size)).unwrap();
        }
        if step == self.second {
            let beside = self.root.join("editor.tmp");
            fs::write(&beside, "second save").unwrap();
            fs::rename(&beside, at(&self.root, path)).unwrap();
        }
    }
}

#[test]
fn of_two_saves_the_newer_has_the_name_and_the_older_is_kept_beside() {
    for name in ["edited", "gone"] {
        for second in ["restore.swapped-one", "restore.compared-one"] {
            let lab = Lab::in_memory();
            let (a, b) = (before(), after());
            write(&lab.root(), &a);
            let world = Twice {
                root: lab.root(),
                second,
                name,
            };
            let applied = lab.apply(&lab.plan(&a, &b), &world).unwrap();
            let mut found = read(&lab.root());
            assert_no_staging(&found);
            let saved = p(&format!("{name}.backtrail-saved-1"));
            let size = match &a[&p(name)] {
                Node::File(c, _) => c.len(),
                _ => 0,
            };
            assert_eq!(
                found.remove(&saved),
                Some(file(&"1".repeat(size))),
                "{name} {second}"
            );
            assert_eq!(found.remove(&p(name)), Some(file("second save")));
            assert!(
                applied
                    .kept
                    .iter()
                    .any(|(p, why)| *p == saved && why.contains(name))
            );
            assert!(applied.displaced.contains(&p(name)));
            let mut rest = b.clone();
            rest.remove(&p(name));
            assert_eq!(found, rest);
        }
    }
}

/// Makes things where directories come or go.
struct Maker {
    root: PathBuf,
    make: fn(&Path),
    made: Cell<bool>,
}

impl World for Maker {
    fn open_count(&self, _: &RepoPath) -> usize {
        0
    }

    fn at(&self, step: &'static str, _: &RepoPath) {
        if step == "restore.staged-all" && !self.made.replace(true) {
            (self.make)(&self.root);
        }
    }
}

fn with_maker(make: fn(&Path)) -> (State, Applied) {
    let lab = Lab::in_memory();
    write(&lab.root(), &before());
    let maker = Maker {
        root: lab.root(),
        make,
        made: Cell::new(false),
    };
    let applied = lab.apply(&lab.plan(&before(), &after()), &maker).unwrap();
    let found = read(&lab.root());
    assert_no_staging(&found);
    (found, applied)
}

#[test]
fn directories_made_meanwhile_are_joined() {
    let (found, applied) = with_maker(|root| {
        fs::create_dir_all(root.join("new/deep")).unwrap();
        fs::write(root.join("new/deep/mine"), "mine").unwrap();
        fs::write(
            root.join("new/deep/empty"),
            "a file where a directory comes",
        )
        .unwrap();
    });
    let mut wanted = after();
    wanted.insert(p("new/deep/mine"), file("mine"));
    wanted.insert(p("new/deep/empty"), file("a file where a directory comes"));
    assert_eq!(found, wanted);
    assert_eq!(applied.displaced, [p("new/deep/empty")]);
    assert_eq!(applied.kept, []);
}

#[test]
fn directories_that_got_something_stay() {
    let (found, applied) = with_maker(|root| {
        fs::write(root.join("old/deep/mine"), "mine").unwrap();
        fs::write(root.join("dir-to-file/mine"), "mine").unwrap();
        fs::remove_file(root.join("file-to-dir")).unwrap();
        fs::create_dir(root.join("file-to-dir")).unwrap();
        fs::write(root.join("file-to-dir/mine"), "mine").unwrap();
        symlink("old", root.join("came")).unwrap();
    });
    let mut wanted = after();
    wanted.insert(p("dir-to-file"), Node::Dir(0o755));
    wanted.insert(p("came"), Node::Link(b"old".to_vec()));
    for dir in ["old", "old/deep"] {
        wanted.insert(p(dir), Node::Dir(0o755));
    }
    for mine in ["old/deep/mine", "dir-to-file/mine", "file-to-dir/mine"] {
        wanted.insert(p(mine), file("mine"));
    }
    assert_eq!(found, wanted);
    let kept: Vec<_> = applied
        .kept
        .iter()
        .map(|(p, why)| format!("{p}: {why}"))
        .collect();
    assert_eq!(
        kept,
        [
            "old/deep: it still holds mine",
            "dir-to-file: it still holds mine"
        ]
    );
    assert_eq!(applied.displaced, [p("came")]);
}

#[test]
fn nothing_is_wrong_with_a_plan_that_was_done_already() {
    let lab = Lab::in_memory();
    write(&lab.root(), &after());
    let applied = lab.apply(&lab.plan(&before(), &after()), &Nobody).unwrap();
    assert_eq!(read(&lab.root()), after());
    assert_eq!(applied.kept, []);
    assert_eq!(applied.displaced, []);
}

/// Knows the stat that a large file had when the state before was recorded.
struct Knows {
    path: PathBuf,
    stat: KnownStat,
    /// Saves again, with the same size, at this step.
    save_at: &'static str,
}

impl World for Knows {
    fn open_count(&self, _: &RepoPath) -> usize {
        0
    }

    fn known(&self, _: &RepoPath) -> Option<KnownStat> {
        Some(self.stat)
    }

    fn at(&self, step: &'static str, _: &RepoPath) {
        if step == self.save_at {
            let size = usize::try_from(self.stat.size).unwrap();
            fs::write(&self.path, vec![b'u'; size]).unwrap();
        }
    }
}

#[test]
fn a_known_stat_spares_reading_but_never_hides_a_save() {
    let large = |c: char| file(&c.to_string().repeat(2 << 20));
    let (a, b) = (
        state(&[("large", large('a'))]),
        state(&[("large", large('b'))]),
    );
    let lab = Lab::in_memory();
    write(&lab.root(), &a);
    let path = lab.root().join("large");
    let stat = || {
        let m = fs::metadata(&path).unwrap();
        KnownStat {
            dev: m.dev(),
            ino: m.ino(),
            size: m.size(),
            mtime_ns: m.mtime() * 1_000_000_000 + m.mtime_nsec(),
            ctime_ns: m.ctime() * 1_000_000_000 + m.ctime_nsec(),
        }
    };
    let apply = |stat: KnownStat, save_at: &'static str| {
        let path = path.clone();
        let world = Knows {
            path,
            stat,
            save_at,
        };
        lab.apply(&lab.plan(&a, &b), &world).unwrap()
    };
    // A save right before: its stat is another.
    let applied = apply(stat(), "restore.before-swap");
    assert_eq!(applied.displaced, [p("large")]);
    assert_eq!(read(&lab.root()), state(&[("large", large('u'))]));
    // A save of which the stat is taken for that of the state before, as it can be when both fall into one tick: the
    // stat is too young to be believed.
    let applied = apply(stat(), "never");
    assert_eq!(applied.displaced, [p("large")]);
    assert_eq!(read(&lab.root()), state(&[("large", large('u'))]));
    // The same two seconds later is believed: this shows that the content was not read.
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    let applied = apply(stat(), "never");
    assert_eq!(applied.displaced, []);
    assert_eq!(read(&lab.root()), b);
}
