//! Laws of restoring, on generated trees: what was named is as it was, and nothing else is different.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::engine::api::PastLines;
use crate::model::BlobId;

/// What is at a path: mode, and content, or the target of a link.
type Files = BTreeMap<String, (u32, Result<String, String>)>;

const PATHS: [&str; 8] = ["a", "b", "d/x", "d/y", "d/e/z", "n/only", "n", "d/e"];

fn thing() -> impl Strategy<Value = (u32, Result<String, String>)> {
    let text = prop::collection::vec(
        prop::sample::select(vec!["one\n", "two\n", "three\n"]),
        0..8,
    );
    prop_oneof![
        6 => (prop::sample::select(vec![0o644, 0o755, 0o600]), text.prop_map(|l| l.concat()))
            .prop_map(|(mode, text)| (mode, Ok(text))),
        1 => "[a-z]{1,4}".prop_map(|target| (0o777, Err(target))),
    ]
}

/// Files of which none is in the way of another.
fn files() -> impl Strategy<Value = Files> {
    prop::collection::vec(prop::option::of(thing()), PATHS.len()).prop_map(|things| {
        let mut out = Files::new();
        for (path, thing) in PATHS.iter().zip(things) {
            let path = (*path).to_owned();
            let above = out
                .keys()
                .any(|p: &String| p.starts_with(&format!("{path}/")));
            if let Some(thing) = thing.filter(|_| !above) {
                out.insert(path, thing);
            }
        }
        out
    })
}

fn entry(store: &Store, path: &str, thing: &(u32, Result<String, String>)) -> Entry {
    let (mode, what) = thing;
    let kind = match what {
        Ok(text) => Kind::File {
            blob: store.put_blob(text.as_bytes()).unwrap(),
            size: text.len() as u64,
        },
        Err(target) => Kind::Symlink(target.as_bytes().to_vec()),
    };
    Entry {
        name: path_of(path).name().to_vec(),
        mode: *mode,
        kind,
    }
}

fn path_of(path: &str) -> RepoPath {
    RepoPath::new(path).unwrap()
}

fn tree(store: &Store, files: &Files) -> TreeId {
    let mut made = Made::default();
    let entries: BTreeMap<RepoPath, Option<Entry>> = files
        .iter()
        .map(|(path, thing)| (path_of(path), Some(entry(store, path, thing))))
        .collect();
    let id = with_entries(&mut made, store, store.empty_tree(), &entries).unwrap();
    made.keep(store, id).unwrap();
    id
}

fn wanted(past: TreeId, parts: &[Part]) -> Wanted<'_> {
    Wanted {
        past,
        when: "step 7".to_owned(),
        told_only: false,
        parts,
    }
}

fn whole(path: &str) -> Part {
    Part::Whole {
        path: path_of(path),
    }
}

/// Everything that is no directory.
fn leaves(store: &Store, tree: TreeId) -> BTreeMap<RepoPath, Entry> {
    trees(store, store.empty_tree(), tree, &[])
        .unwrap()
        .into_iter()
        .filter_map(|c| Some((c.path, c.after?)))
        .filter(|(_, e)| e.kind.tree().is_none())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_named_is_as_it_was_and_nothing_else_changes(
        now in files(),
        past in files(),
        which in prop::collection::vec(any::<bool>(), PATHS.len()),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (now, past) = (tree(&store, &now), tree(&store, &past));
        let there = |path: &str| {
            let path = path_of(path);
            [now, past].iter().any(|t| lookup(&store, *t, &path).unwrap().is_some())
        };
        let parts: Vec<Part> = PATHS
            .iter()
            .zip(which)
            .filter(|(path, on)| *on && there(path))
            .map(|(path, _)| whole(path))
            .collect();
        if parts.is_empty() {
            return Ok(());
        }
        let new = wanted(past, &parts).tree(&store, now).unwrap();
        let (before, then, after) = (leaves(&store, now), leaves(&store, past), leaves(&store, new));
        let named = |path: &RepoPath| parts.iter().any(|p| path.is_within(p.path()));
        // What stands where a directory has to be gives way.
        let in_the_way = |path: &RepoPath| after.keys().any(|p| p != path && p.is_within(path));
        for path in before.keys().chain(then.keys()).chain(after.keys()) {
            let wanted = if named(path) {
                then.get(path)
            } else if in_the_way(path) {
                None
            } else if parts.iter().any(|p| p.path().is_within(path)) {
                continue;
            } else {
                before.get(path)
            };
            prop_assert_eq!(after.get(path), wanted, "{}", path);
        }
    }

    #[test]
    fn everything_that_differs_is_the_past(now in files(), past in files()) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (now, past) = (tree(&store, &now), tree(&store, &past));
        let parts: Vec<Part> = trees(&store, now, past, &[])
            .unwrap()
            .into_iter()
            .map(|c| Part::Whole { path: c.path })
            .collect();
        if parts.is_empty() {
            return Ok(());
        }
        prop_assert_eq!(wanted(past, &parts).tree(&store, now).unwrap(), past);
        // There and back.
        prop_assert_eq!(wanted(now, &parts).tree(&store, past).unwrap(), now);
    }
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

fn one(path: &str, mode: u32, text: &str) -> Files {
    Files::from([(path.to_owned(), (mode, Ok(text.to_owned())))])
}

fn lines(path: &str, of: &str, first: u32, count: u32) -> Part {
    Part::Lines {
        path: path_of(path),
        of: BlobId::of(of.as_bytes()),
        lines: vec![PastLines {
            first,
            count,
            edges: true,
        }],
    }
}

#[test]
fn lines_keep_the_present_mode() {
    let (_dir, store) = store();
    let now = tree(&store, &one("f", 0o755, "a\nB\nc\n"));
    let past = tree(&store, &one("f", 0o644, "a\nb\nC\n"));
    let parts = [lines("f", "a\nb\nC\n", 1, 1)];
    let new = wanted(past, &parts).tree(&store, now).unwrap();
    assert_eq!(new, tree(&store, &one("f", 0o755, "a\nb\nc\n")));
}

#[test]
fn directories_are_as_they_were() {
    let (_dir, store) = store();
    let mut made = Made::default();
    // The past has an empty directory, and one that only its owner may look into.
    let secret = Entry {
        name: b"s".to_vec(),
        mode: 0o644,
        kind: made.blob(b"secret\n".to_vec()),
    };
    let dir = |name: &str, mode: u32, tree: TreeId| Entry {
        name: name.as_bytes().to_vec(),
        mode,
        kind: Kind::Dir(tree),
    };
    let inner = made.tree(Tree::new(vec![secret]));
    let empty = made.tree(Tree::default());
    let past = made.tree(Tree::new(vec![
        dir("empty", 0o750, empty),
        dir("closed", 0o700, inner),
    ]));
    made.keep(&store, past).unwrap();
    let now = tree(&store, &one("empty/new", 0o644, "x\n"));
    let parts = [whole("empty/new"), whole("closed/s")];
    let new = wanted(past, &parts).tree(&store, now).unwrap();
    let mode = |path: &str| lookup(&store, new, &path_of(path)).unwrap().map(|e| e.mode);
    assert_eq!(mode("empty"), Some(0o755), "its mode was not asked for");
    assert_eq!(mode("empty/new"), None);
    assert_eq!(mode("closed"), Some(0o700));
    assert_eq!(mode("closed/s"), Some(0o644));
}

#[test]
fn what_cannot_be_is_refused() {
    let (_dir, store) = store();
    let now = tree(&store, &one("f", 0o644, "a\n"));
    let past = tree(&store, &one("f", 0o644, "\0\n"));
    let said = |parts: &[Part]| {
        wanted(past, parts)
            .tree(&store, now)
            .unwrap_err()
            .to_string()
    };
    assert!(said(&[]).contains("0 parts"));
    assert!(said(&[whole("nowhere")]).contains("neither at step 7 nor in the workspace"));
    let root = Part::Whole {
        path: RepoPath::root(),
    };
    assert!(said(&[root]).contains("roll back"));
    assert!(said(&[lines("f", "\0\n", 0, 1)]).contains("binary"));
    let past = tree(&store, &one("f", 0o644, "b\n"));
    let other = wanted(past, &[lines("f", "c\n", 0, 1)]).tree(&store, now);
    assert!(other.unwrap_err().to_string().contains("look at it again"));
    let gone = tree(&store, &one("other", 0o644, "b\n"));
    let parts = [whole("f")];
    let told = Wanted {
        told_only: true,
        ..wanted(gone, &parts)
    };
    let told = told.tree(&store, now).unwrap_err().to_string();
    assert!(told.contains("tells nothing of f"), "{told}");
}
