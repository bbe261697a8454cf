//! Laws of merging, on random cases, and the same cases given to git.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

use backtrail::merge::text::{self, Part};
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
                if ours != git && std::env::var_os("SHOW").is_some() {
                    let show = |t: &[u8]| String::from_utf8_lossy(t).replace('\n', " ");
                    println!(
                        "base   {}\nours   {}\ntheirs {}\nwe     {}\ngit    {}\n",
                        show(&three[0]),
                        show(&three[1]),
                        show(&three[2]),
                        show(&ours),
                        show(&git)
                    );
                }
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
