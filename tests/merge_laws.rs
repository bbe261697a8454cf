//! Laws of merging, on random cases, and the same cases given to git.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use backtrail::merge::base;
use backtrail::merge::conflict::{Piece, pieces};
use backtrail::merge::markers::{self, Labels, ReadBack, Style};
use backtrail::merge::objects::{Made, with_entries};
use backtrail::merge::resolve::{self, Pick, Resolution, picked_text};
use backtrail::merge::text::{self, Part};
use backtrail::merge::trees::{self, MergedTree};
use backtrail::model::{CommitId, Entry, Kind, RepoPath, TreeId};
use backtrail::store::Store;
use proptest::prelude::*;

/// A change to a list of lines: where (as a fraction), what, how many.
#[derive(Debug, Clone)]
enum Edit {
    Insert(u8, Vec<u8>),
    Delete(u8, u8),
    Replace(u8, Vec<u8>),
}

fn edit() -> impl Strategy<Value = Edit> {
    let lines = || prop::collection::vec(0..9u8, 1..4);
    prop_oneof![
        (any::<u8>(), lines()).prop_map(|(at, l)| Edit::Insert(at, l)),
        (any::<u8>(), 1..4u8).prop_map(|(at, n)| Edit::Delete(at, n)),
        (any::<u8>(), lines()).prop_map(|(at, l)| Edit::Replace(at, l)),
    ]
}

fn edited(base: &[String], edits: &[Edit], word: &str) -> Vec<String> {
    let mut out = base.to_vec();
    let named = |l: &[u8]| -> Vec<String> { l.iter().map(|n| format!("{word}{n}")).collect() };
    for edit in edits {
        let place = |at: u8| usize::from(at) * (out.len() + 1) / 256;
        match edit {
            Edit::Insert(at, l) => {
                let at = place(*at);
                out.splice(at..at, named(l));
            }
            Edit::Delete(at, n) => {
                let at = place(*at);
                out.drain(at..(at + usize::from(*n)).min(out.len()));
            }
            Edit::Replace(at, l) => {
                let at = place(*at);
                out.splice(at..(at + l.len()).min(out.len()), named(l));
            }
        }
    }
    out
}

fn joined(lines: &[String], newline: bool) -> Vec<u8> {
    let mut text = lines.join("\n");
    if newline && !text.is_empty() {
        text.push('\n');
    }
    text.into_bytes()
}

/// Base, ours, theirs. With few kinds of lines most of them look alike, which is what misleads a difference.
fn three(kinds: u8) -> impl Strategy<Value = [Vec<u8>; 3]> {
    let side = || prop::collection::vec(edit(), 0..4);
    (
        prop::collection::vec(0..kinds, 0..24),
        side(),
        side(),
        prop::array::uniform3(prop::bool::weighted(0.9)),
    )
        .prop_map(move |(base, ours, theirs, newline)| {
            // Lines that the sides write are their own when lines are many, and the base's kind when they are few.
            let many = kinds > 50;
            let base: Vec<String> = base
                .iter()
                .enumerate()
                .map(|(i, n)| {
                    if many {
                        format!("line {i}")
                    } else {
                        format!("n{n}")
                    }
                })
                .collect();
            let words = if many { ["o", "t"] } else { ["n", "n"] };
            [
                joined(&base, newline[0]),
                joined(&edited(&base, &ours, words[0]), newline[1]),
                joined(&edited(&base, &theirs, words[1]), newline[2]),
            ]
        })
}

fn any_three() -> impl Strategy<Value = [Vec<u8>; 3]> {
    prop_oneof![three(100), three(9), three(3)]
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|b| *b == b'\n')
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_one_side_left_alone_is_the_others([base, a, b] in any_three()) {
        prop_assert_eq!(text::merge(&base, &base, &a).text(), Some(a.clone()));
        prop_assert_eq!(text::merge(&base, &a, &base).text(), Some(a.clone()));
        prop_assert_eq!(text::merge(&base, &a, &a).text(), Some(a.clone()));
        prop_assert_eq!(text::merge(&a, &a, &b).text(), Some(b));
    }

    #[test]
    fn sides_may_change_places([base, a, b] in any_three()) {
        let swapped: Vec<_> = text::merge(&base, &b, &a)
            .parts
            .into_iter()
            .map(|part| match part {
                Part::Ours(l) => Part::Theirs(l),
                Part::Theirs(l) => Part::Ours(l),
                Part::Conflict(s) => Part::Conflict(text::Sides {
                    ours: s.theirs,
                    base: s.base,
                    theirs: s.ours,
                }),
                other => other,
            })
            .collect();
        prop_assert_eq!(text::merge(&base, &a, &b).parts, swapped);
    }

    /// Taking one side everywhere gives that side's text with what the other changed elsewhere, all of it whole lines
    /// of the three texts; and each side is there in full.
    #[test]
    fn every_line_comes_from_somewhere([base, a, b] in any_three()) {
        let merged = text::merge(&base, &a, &b);
        let known: HashSet<&[u8]> = lines(&base).chain(lines(&a)).chain(lines(&b)).collect();
        for part in &merged.parts {
            let all = match part {
                Part::Conflict(s) => vec![s.ours, s.base, s.theirs],
                other => vec![other.settled().unwrap()],
            };
            for line in all.into_iter().flat_map(lines) {
                prop_assert!(known.contains(line), "{:?}", String::from_utf8_lossy(line));
            }
        }
    }

    /// Edits in two halves that are apart always merge, and to both edits.
    #[test]
    fn changes_apart_never_conflict(
        top in prop::collection::vec(edit(), 0..4),
        end in prop::collection::vec(edit(), 0..4),
    ) {
        let half = |from: usize| -> Vec<String> { (from..from + 12).map(|i| format!("line {i}")).collect() };
        let (upper, lower) = (half(0), half(100));
        let middle = vec!["the middle".to_owned()];
        let (upper_new, lower_new) = (edited(&upper, &top, "o"), edited(&lower, &end, "t"));
        let all = |u: &[String], l: &[String]| joined(&[u, &middle, l].concat(), true);
        prop_assert_eq!(
            text::merge(&all(&upper, &lower), &all(&upper_new, &lower), &all(&upper, &lower_new)).text(),
            Some(all(&upper_new, &lower_new))
        );
    }

    #[test]
    fn any_bytes_merge_without_a_panic(base: Vec<u8>, a: Vec<u8>, b: Vec<u8>) {
        let merged = text::merge(&base, &a, &b);
        for sides in merged.conflicts() {
            let _ = text::propose(&sides);
        }
    }
}

/// What `git merge-file` makes of it: the text if it is clean.
fn git_merge_file(dir: &Path, [base, a, b]: &[Vec<u8>; 3]) -> Option<Option<Vec<u8>>> {
    for (name, text) in [("base", base), ("a", a), ("b", b)] {
        std::fs::write(dir.join(name), text).unwrap();
    }
    let out = Command::new("git")
        .args(["merge-file", "-p", "a", "base", "b"])
        .current_dir(dir)
        .output()
        .ok()?;
    Some(out.status.success().then_some(out.stdout))
}

/// A temporary directory, in memory where there is such a place.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// Runs `cases` random cases of `strategy` beside git. Gives how many both merged, how many of them the same, and how
/// many only one of the two merged.
fn beside_git(
    strategy: &impl Strategy<Value = [Vec<u8>; 3]>,
    cases: usize,
) -> Option<(usize, usize, usize)> {
    use proptest::strategy::ValueTree as _;
    let dir = scratch();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut both, mut equal, mut one) = (0, 0, 0);
    for _ in 0..cases {
        let three = strategy.new_tree(&mut runner).unwrap().current();
        let git = git_merge_file(dir.path(), &three)?;
        let ours = text::merge(&three[0], &three[1], &three[2]).text();
        match (ours, git) {
            (Some(ours), Some(git)) => {
                both += 1;
                equal += usize::from(ours == git);
            }
            (None, None) => {}
            _ => one += 1,
        }
    }
    Some((both, equal, one))
}

#[test]
fn clean_texts_are_gits() {
    for (what, kinds, by_one) in [("different", 100, 0), ("alike", 9, 2), ("very alike", 3, 4)] {
        let Some((both, equal, one)) = beside_git(&three(kinds), 200) else {
            println!("SKIPPED: git is not there, nothing was compared with it");
            return;
        };
        println!("lines {what}: {both} merged by both, {equal} to the same; {one} by one only");
        assert_eq!(
            equal, both,
            "where git merges cleanly the bytes are the same"
        );
        assert!(both > 50 && one <= by_one);
    }
}

/// A file or link: mode (0o120000 is a link) and content.
type Leaf = (u32, Vec<u8>);
/// A tree by path.
type Files = BTreeMap<String, Leaf>;

#[derive(Debug, Clone)]
enum Change {
    Lines(u8, Edit),
    Remove(u8),
    Rename(u8, u8),
    Mode(u8),
    Link(u8, u8),
    Add(u8, u8),
}

const PATHS: [&str; 12] = [
    "a", "b", "c", "d/x", "d/y", "d/e/z", "d/e/w", "f/g", "f/h/i", "k", "l/m", "n",
];
const NEW_PATHS: [&str; 8] = ["new", "d/new", "z/new", "a", "k/below", "f", "d/e", "l/m"];

fn change() -> impl Strategy<Value = Change> {
    let n = any::<u8>;
    prop_oneof![
        6 => (n(), edit()).prop_map(|(p, e)| Change::Lines(p, e)),
        2 => n().prop_map(Change::Remove),
        2 => (n(), n()).prop_map(|(p, q)| Change::Rename(p, q)),
        1 => n().prop_map(Change::Mode),
        1 => (n(), n()).prop_map(|(p, q)| Change::Link(p, q)),
        2 => (n(), n()).prop_map(|(p, q)| Change::Add(p, q)),
    ]
}

fn base_files() -> Files {
    let text = |path: &str| -> Vec<u8> {
        (0..12)
            .flat_map(|i| format!("{path} line {i}\n").into_bytes())
            .collect()
    };
    PATHS
        .iter()
        .map(|p| ((*p).to_owned(), (0o100_644, text(p))))
        .collect()
}

/// Puts a leaf at a path, and takes away what would stand in its way.
fn put(files: &mut Files, path: &str, leaf: Leaf) {
    let below = format!("{path}/");
    files.retain(|p, _| !p.starts_with(&below) && !path.starts_with(&format!("{p}/")));
    files.insert(path.to_owned(), leaf);
}

fn changed_files(base: &Files, changes: &[Change], word: &str) -> Files {
    let mut files = base.clone();
    for change in changes {
        let path = |n: u8, files: &Files| -> Option<String> {
            files
                .keys()
                .nth(usize::from(n) % files.len().max(1))
                .cloned()
        };
        let fresh = |n: u8| NEW_PATHS[usize::from(n) % NEW_PATHS.len()];
        let at = match change {
            Change::Lines(p, _)
            | Change::Remove(p)
            | Change::Rename(p, _)
            | Change::Mode(p)
            | Change::Link(p, _)
            | Change::Add(p, _) => path(*p, &files),
        };
        let Some(at) = at else { continue };
        match change {
            Change::Lines(_, edit) => {
                if let Some((mode, text)) = files.get_mut(&at)
                    && *mode != 0o120_000
                {
                    let old = String::from_utf8(text.clone()).unwrap();
                    let old: Vec<String> = old.lines().map(str::to_owned).collect();
                    *text = joined(&edited(&old, std::slice::from_ref(edit), word), true);
                }
            }
            Change::Remove(_) => drop(files.remove(&at)),
            Change::Rename(_, to) => {
                let leaf = files.remove(&at).unwrap();
                put(&mut files, fresh(*to), leaf);
            }
            Change::Mode(_) => {
                if let Some((mode, _)) = files.get_mut(&at)
                    && *mode != 0o120_000
                {
                    *mode ^= 0o111;
                }
            }
            Change::Link(_, to) => put(&mut files, &at, (0o120_000, fresh(*to).into())),
            Change::Add(_, to) => put(
                &mut files,
                fresh(*to),
                (0o100_644, format!("{word} added {}\n", to % 3).into_bytes()),
            ),
        }
    }
    files
}

fn three_trees() -> impl Strategy<Value = [Files; 3]> {
    let side = || prop::collection::vec(change(), 0..5);
    (side(), side()).prop_map(|(a, b)| {
        let base = base_files();
        let (ours, theirs) = (changed_files(&base, &a, "o"), changed_files(&base, &b, "t"));
        [base, ours, theirs]
    })
}

fn stored(store: &Store, files: &Files) -> TreeId {
    let entries = files
        .iter()
        .map(|(path, (mode, content))| {
            let path = RepoPath::try_from(path.as_str()).unwrap();
            let kind = if *mode == 0o120_000 {
                Kind::Symlink(content.clone())
            } else {
                Kind::File {
                    blob: store.put_blob(content).unwrap(),
                    size: content.len() as u64,
                }
            };
            let entry = Entry {
                name: path.name().to_vec(),
                mode: if *mode == 0o120_000 {
                    0o777
                } else {
                    mode & 0o777
                },
                kind,
            };
            (path, Some(entry))
        })
        .collect();
    let mut made = Made::default();
    let id = with_entries(&mut made, store, store.empty_tree(), &entries).unwrap();
    made.keep(store, id).unwrap();
    id
}

fn read_files(store: &Store, id: TreeId) -> Files {
    let mut out = Files::new();
    let mut open = vec![(RepoPath::root(), id)];
    while let Some((dir, id)) = open.pop() {
        for entry in &store.tree(id).unwrap().entries {
            let path = dir.join(&entry.name).unwrap();
            let name = String::from_utf8(path.as_bytes().to_vec()).unwrap();
            match &entry.kind {
                Kind::Dir(below) => open.push((path, *below)),
                Kind::File { blob, .. } => {
                    let leaf = (0o100_000 | entry.mode, store.blob(*blob).unwrap());
                    out.insert(name, leaf);
                }
                Kind::Symlink(to) => drop(out.insert(name, (0o120_000, to.clone()))),
                other => panic!("{other:?}"),
            }
        }
    }
    out
}

fn merged_trees(store: &Store, [base, a, b]: &[Files; 3]) -> MergedTree {
    let [base, a, b] = [base, a, b].map(|f| stored(store, f));
    let merged = trees::merge(store, base, a, b).unwrap();
    merged.made.keep(store, merged.so_far).unwrap();
    merged
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn trees_that_one_side_left_alone([base, a, b] in three_trees()) {
        let dir = scratch();
        let store = Store::open(dir.path()).unwrap();
        let [base, a, b] = [base, a, b].map(|f| stored(&store, &f));
        for (x, o, t, want) in [(base, base, a, a), (base, b, base, b), (base, a, a, a), (a, a, b, b)] {
            prop_assert_eq!(trees::merge(&store, x, o, t).unwrap().tree, Some(want));
        }
    }

    #[test]
    fn sides_of_trees_may_change_places([base, a, b] in three_trees()) {
        let dir = scratch();
        let store = Store::open(dir.path()).unwrap();
        let there = merged_trees(&store, &[base.clone(), a.clone(), b.clone()]);
        let back = merged_trees(&store, &[base, b, a]);
        prop_assert_eq!(there.tree, back.tree);
        // A file with two new names is a conflict at ours.
        let names = |m: &MergedTree, side: usize| -> Vec<RepoPath> {
            let mut out: Vec<_> = m
                .conflicts
                .iter()
                .map(|c| c.paths[side].clone().filter(|_| c.kind == backtrail::merge::conflict::ConflictKind::RenamedTwice).unwrap_or_else(|| c.path.clone()))
                .collect();
            out.sort();
            out
        };
        prop_assert_eq!(names(&there, 0), names(&back, 1));
    }

    /// Whatever is picked, all conflicts settled that way leave nothing, and a tree that can be stored.
    #[test]
    fn conflicts_can_be_settled([base, a, b] in three_trees()) {
        let dir = scratch();
        let store = Store::open(dir.path()).unwrap();
        let ours = stored(&store, &a);
        let merged = merged_trees(&store, &[base, a, b]);
        for pick in [Pick::Ours, Pick::Theirs, Pick::Base] {
            let all = resolve::paths(&merged)
                .into_iter()
                .map(|p| (p, Resolution::Whole(pick.clone())))
                .collect();
            let applied = resolve::apply(&merged, &store, &all).unwrap();
            prop_assert!(applied.left.is_empty(), "{:?}", applied.left);
            applied.made.keep(&store, applied.so_far).unwrap();
            let _ = read_files(&store, applied.so_far);
        }
        let none = resolve::apply(&merged, &store, &BTreeMap::new()).unwrap();
        prop_assert_eq!(none.left.len(), merged.conflicts.len());
        // What is not settled has what ours has.
        let (so_far, ours) = (read_files(&store, none.so_far), read_files(&store, ours));
        for conflict in merged.conflicts.iter().filter(|c| c.ours.is_some() && c.kind != backtrail::merge::conflict::ConflictKind::Mode) {
            let path = conflict.path.to_string();
            if let (Some(now), Some(was)) = (so_far.get(&path), ours.get(&path)) {
                prop_assert_eq!(&now.1, &was.1);
            }
        }
    }

    /// Written with markers and read back, every hunk is what it was: open, or the pick that was put there.
    #[test]
    fn markers_read_back([base, a, b] in any_three(), choice in prop::collection::vec(0..6u8, 24), style in 0..3u8) {
        let style = [Style::Merge, Style::Diff3, Style::Zdiff3][usize::from(style)];
        let pieces = pieces(&text::merge(&base, &a, &b));
        let labels = Labels::default();
        let written = markers::write(&pieces, style, &labels);
        let count = pieces.iter().filter(|p| matches!(p, Piece::Hunk(_))).count();
        prop_assert_eq!(
            markers::read(&written.content, &pieces, style, &labels, written.size),
            ReadBack::Hunks(vec![None; count])
        );
        let mut edited = Vec::new();
        let mut n = 0;
        let mut open = 0;
        for piece in &pieces {
            match piece {
                Piece::Text(text) => edited.extend_from_slice(text),
                Piece::Hunk(hunk) => {
                    let pick = match choice.get(n).copied().unwrap_or(0) {
                        0 => None,
                        1 => Some(Pick::Ours),
                        2 => Some(Pick::Theirs),
                        3 => Some(Pick::Both),
                        4 => Some(Pick::Base),
                        _ => Some(Pick::Edited(format!("edited {n}\n").into_bytes())),
                    };
                    n += 1;
                    match pick {
                        Some(pick) => edited.extend(picked_text(hunk, &pick).unwrap()),
                        None => {
                            open += 1;
                            let one = std::slice::from_ref(piece);
                            edited.extend(markers::write_sized(one, style, &labels, written.size));
                        }
                    }
                }
            }
        }
        // Different picks may read the same: what counts is the text that they make.
        match markers::read(&edited, &pieces, style, &labels, written.size) {
            ReadBack::Hunks(picks) => {
                prop_assert_eq!(picks.iter().filter(|p| p.is_none()).count(), open);
                let mut again = Vec::new();
                let mut picks = picks.into_iter();
                for piece in &pieces {
                    match piece {
                        Piece::Text(text) => again.extend_from_slice(text),
                        Piece::Hunk(hunk) => match picks.next().unwrap() {
                            Some(pick) => again.extend(picked_text(hunk, &pick).unwrap()),
                            None => again.extend(markers::write_sized(std::slice::from_ref(piece), style, &labels, written.size)),
                        },
                    }
                }
                prop_assert_eq!(again, edited);
            }
            other => prop_assert!(false, "{other:?}"),
        }
    }
}

/// Merges all cases with `git merge-tree`. For each: the files, if it is clean. `None`: git is not there, or too old.
fn git_merge_tree(dir: &Path, cases: &[[Files; 3]]) -> Option<Vec<Option<Files>>> {
    let git = |args: &[&str], input: &[u8]| -> Option<Vec<u8>> {
        let mut child = Command::new("git")
            .args(["-c", "merge.directoryRenames=false"])
            .args(args)
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut stdin = child.stdin.take()?;
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let out = child.wait_with_output().ok()?;
        writer.join().ok()?.ok()?;
        out.status.success().then_some(out.stdout)
    };
    git(&["init", "-q", "--bare"], b"")?;
    let mut stream: Vec<u8> = Vec::new();
    let mut ask = String::new();
    for (n, files) in cases.iter().flatten().enumerate() {
        let who = "committer x <x@example.invalid> 0 +0000";
        stream.extend(format!("commit refs/heads/c{n}\n{who}\ndata 0\n\n").bytes());
        for (path, (mode, content)) in files {
            stream.extend(format!("M {mode:o} inline {path}\ndata {}\n", content.len()).bytes());
            stream.extend_from_slice(content);
            stream.push(b'\n');
        }
        if n % 3 == 0 {
            ask += &format!("c{n} -- c{} c{}\n", n + 1, n + 2);
        }
    }
    git(&["fast-import", "--quiet"], &stream)?;
    let out = git(
        &[
            "merge-tree",
            "--stdin",
            "-z",
            "--no-messages",
            "-Xfind-renames=100%",
        ],
        ask.as_bytes(),
    )?;
    // For each case: 1 NUL tree NUL NUL, or 0 NUL tree NUL (conflicted file NUL)* NUL.
    let mut fields = out.split(|b| *b == 0);
    let mut answers = Vec::new();
    while let Some(status) = fields.next() {
        if status.is_empty() {
            continue;
        }
        let tree = String::from_utf8(fields.next()?.to_vec()).ok()?;
        for field in fields.by_ref() {
            if field.is_empty() {
                break;
            }
        }
        if status != b"1" {
            answers.push(None);
            continue;
        }
        let mut files = Files::new();
        for row in git(&["ls-tree", "-r", "-z", &tree], b"")?.split(|b| *b == 0) {
            let row = String::from_utf8(row.to_vec()).ok()?;
            let Some((about, path)) = row.split_once('\t') else {
                continue;
            };
            let mut about = about.split(' ');
            let mode = u32::from_str_radix(about.next()?, 8).ok()?;
            let content = git(&["cat-file", "blob", about.nth(1)?], b"")?;
            files.insert(path.to_owned(), (mode, content));
        }
        answers.push(Some(files));
    }
    (answers.len() == cases.len()).then_some(answers)
}

#[test]
fn clean_trees_are_gits() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = three_trees();
    let cases: Vec<_> = (0..80)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect();
    let dir = scratch();
    let Some(answers) = git_merge_tree(dir.path(), &cases) else {
        println!("SKIPPED: no git that knows merge-tree --stdin, nothing was compared with it");
        return;
    };
    let store_dir = scratch();
    let store = Store::open(store_dir.path()).unwrap();
    let (mut both, mut ours_only, mut git_only) = (0, 0, 0);
    for (case, git) in cases.iter().zip(answers) {
        let merged = merged_trees(&store, case);
        match (merged.tree, git) {
            (Some(tree), Some(git)) => {
                both += 1;
                assert_eq!(read_files(&store, tree), git);
            }
            (Some(_), None) => {
                ours_only += 1;
                println!("only we merge {case:?}");
            }
            (None, Some(_)) => {
                git_only += 1;
                println!("only git merges: {:?}", merged.conflicts);
            }
            (None, None) => {}
        }
    }
    println!(
        "trees: {both} merged by both, to the same; {ours_only} by us only, {git_only} by git only"
    );
    assert!(both > 10);
    // A file that became a directory of its own name is left to a person.
    assert!(ours_only == 0 && git_only <= 1);
}

/// The graph of a criss-cross: base 0; 1 and 2 fork; 3 and 4 each merge the two.
struct CrissCross([TreeId; 5]);

impl base::History for CrissCross {
    fn node(&self, id: CommitId) -> Result<base::Node, backtrail::store::Error> {
        let n = usize::from(id.0[0]);
        let parents: [&[u8]; 5] = [&[], &[0], &[0], &[1, 2], &[2, 1]];
        Ok(base::Node {
            order: n as u64,
            parents: parents[n].iter().map(|p| CommitId([*p; 32])).collect(),
            tree: self.0[n],
        })
    }
}

#[test]
fn a_criss_cross_is_merged_over_a_virtual_base() {
    let dir = scratch();
    let store = Store::open(dir.path()).unwrap();
    let file = |text: &str| {
        let files = Files::from([("f".to_owned(), (0o100_644, text.as_bytes().to_vec()))]);
        stored(&store, &files)
    };
    let merge = |texts: [&str; 5]| {
        let graph = CrissCross(texts.map(file));
        let (bases, merged) = base::merge(
            &store,
            &graph,
            store.empty_tree(),
            CommitId([3; 32]),
            CommitId([4; 32]),
        )
        .unwrap();
        assert_eq!(bases.len(), 2);
        merged.made.keep(&store, merged.so_far).unwrap();
        merged
    };
    // Both merged 1 and 2 and added a line of their own: with either of the two as the base alone, what the other had
    // added would look like two insertions.
    let clean = merge([
        "a\nb\nc\nd\ne\n",
        "A\nb\nc\nd\ne\n",
        "a\nb\nc\nd\nE\n",
        "A\nb\nx\nc\nd\nE\n",
        "A\nb\nc\ny\nd\nE\n",
    ]);
    let text = read_files(&store, clean.tree.unwrap())["f"].1.clone();
    assert_eq!(String::from_utf8(text).unwrap(), "A\nb\nx\nc\ny\nd\nE\n");
    // 1 and 2 disagree, and each merge decided otherwise: that is a conflict, not the choice of one of them.
    let torn = merge([
        "a\nm\nz\n",
        "a\n1\nz\n",
        "a\n2\nz\n",
        "a\n1\nz\n",
        "a\n2\nz\n",
    ]);
    assert_eq!(torn.conflicts.len(), 1);
    assert_eq!(torn.conflicts[0].hunks().next().unwrap().ours, b"1\n");
    // Each merge decided alike: nothing is left to decide.
    let same = merge([
        "a\nm\nz\n",
        "a\n1\nz\n",
        "a\n2\nz\n",
        "a\n2\nz\n",
        "a\n2\nz\n",
    ]);
    assert!(same.tree.is_some());
}

/// Two branches that each change 500 of 20,000 files, some of them the same ones.
#[test]
fn the_cost_follows_the_change() {
    let dir = scratch();
    let store = Store::open(dir.path()).unwrap();
    let text =
        |i: usize, top: &str, end: &str| format!("{top} {i}\nmiddle\n{end} {i}\n").into_bytes();
    let leaf = |i: usize, top: &str, end: &str| (0o100_644, text(i, top, end));
    let path = |i: usize| format!("d{}/e{}/f{i}", i % 50, i % 1000);
    let base: Files = (0..20_000)
        .map(|i| (path(i), leaf(i, "top", "end")))
        .collect();
    let (mut a, mut b) = (base.clone(), base.clone());
    for i in 0..500 {
        a.insert(path(i * 40), leaf(i * 40, "ours", "end"));
        b.insert(path(i * 36), leaf(i * 36, "top", "theirs"));
    }
    let [base, a, b] = [base, a, b].map(|f| stored(&store, &f));
    let started = std::time::Instant::now();
    let merged = trees::merge(&store, base, a, b).unwrap();
    let took = started.elapsed();
    assert!(merged.tree.is_some());
    assert_eq!(merged.changes.len(), 500);
    println!("merged in {took:?}, {} files by lines", merged.joined.len());
    assert!(took.as_secs() < 5, "{took:?}");
}
