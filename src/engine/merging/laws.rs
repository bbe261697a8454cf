//! What a commit keeps in conflict and what is taken up again must be the same: tried on generated trees.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::picks::{Settlement, Settling};
use super::plan::Plan;
use crate::engine::api::PickOrigin;
use crate::merge::objects::{Made, with_entries};
use crate::merge::resolve::Pick;
use crate::model::{Cause, Commit, CommitId, Entry, RepoPath, Time, TreeId};
use crate::store::{self, NewCommit, Publication, Store};

type Files = BTreeMap<String, (u32, String)>;

const PATHS: [&str; 7] = ["a", "b", "c.json", "d/x", "d/y", "d/e/z", "f"];

#[derive(Debug, Clone)]
enum Change {
    Line(usize, usize),
    Delete(usize),
    Rename(usize, usize),
    Mode(usize),
    Add(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (0..7_usize, 0..5_usize).prop_map(|(p, l)| Change::Line(p, l)),
        1 => (0..7_usize).prop_map(Change::Delete),
        1 => (0..7_usize, 0..3_usize).prop_map(|(p, n)| Change::Rename(p, n)),
        1 => (0..7_usize).prop_map(Change::Mode),
        1 => (0..7_usize, 0..3_usize).prop_map(|(p, n)| Change::Add(p, n)),
    ]
}

fn base() -> Files {
    PATHS
        .iter()
        .map(|path| {
            let text = match *path {
                "c.json" => "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3\n}\n".to_owned(),
                _ => (0..5).map(|n| format!("{path} {n}\nkeep {n}\n")).collect(),
            };
            ((*path).to_owned(), (0o644, text))
        })
        .collect()
}

fn changed(base: &Files, changes: &[Change], word: &str) -> Files {
    let mut out = base.clone();
    for change in changes {
        match change {
            Change::Line(p, line) => {
                if let Some((_, text)) = out.get_mut(PATHS[*p]) {
                    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                    let at = (line * 2).min(lines.len().saturating_sub(1));
                    if PATHS[*p] == "c.json" {
                        let at = 1 + line % 3;
                        if let Some(l) = lines.get_mut(at) {
                            *l = l.replace(['1', '2', '3'], if word == "ours" { "8" } else { "9" });
                        }
                    } else if let Some(l) = lines.get_mut(at) {
                        *l = format!("{word} {line}");
                    }
                    *text = lines.iter().map(|l| format!("{l}\n")).collect();
                }
            }
            Change::Delete(p) => drop(out.remove(PATHS[*p])),
            Change::Rename(p, n) => {
                if let Some(file) = out.remove(PATHS[*p]) {
                    out.insert(format!("moved-{word}-{n}-{p}"), file);
                }
            }
            Change::Mode(p) => {
                if let Some((mode, _)) = out.get_mut(PATHS[*p]) {
                    *mode = if word == "ours" { 0o755 } else { 0o600 };
                }
            }
            Change::Add(p, n) => {
                out.insert(format!("new-{p}"), (0o644, format!("{word} {n}\n")));
            }
        }
    }
    out
}

fn tree(store: &Store, files: &Files) -> TreeId {
    let mut made = Made::default();
    let entries: BTreeMap<RepoPath, Option<Entry>> = files
        .iter()
        .map(|(path, (mode, text))| {
            let path = RepoPath::try_from(path.as_str()).unwrap();
            let entry = Entry {
                name: path.name().to_vec(),
                mode: *mode,
                kind: made.blob(text.clone().into_bytes()),
            };
            (path, Some(entry))
        })
        .collect();
    let id = with_entries(&mut made, store, store.empty_tree(), &entries).unwrap();
    made.keep(store, id).unwrap();
    id
}

fn commit(store: &Store, tree: TreeId, parents: Vec<CommitId>, conflict: Vec<TreeId>) -> CommitId {
    let commit = Commit {
        parents,
        tree,
        git: None,
        state: None,
        author: String::new(),
        session: None,
        time: Time(1),
        cause: Cause::Merge,
        message: String::new(),
        meta: BTreeMap::new(),
        conflict,
    };
    let id = store::commit_id(&commit);
    store
        .publish(Publication {
            commits: vec![NewCommit {
                commit,
                attrs: Vec::new(),
                paths: Vec::new(),
            }],
            ..Publication::default()
        })
        .unwrap();
    id
}

fn all(plan: &Plan, pick: &Pick, but: &Settling) -> Settling {
    let mut out = but.clone();
    let picked = (pick.clone(), PickOrigin::Rule);
    for conflict in &plan.merged.conflicts {
        let hunks = conflict.hunks().count();
        let here = out.files.entry(conflict.path.clone()).or_default();
        if hunks == 0 {
            here.whole.get_or_insert_with(|| picked.clone());
        }
        for n in 0..hunks {
            here.hunks.entry(n).or_insert_with(|| picked.clone());
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_is_kept_open_comes_back_as_it_was(
        ours in prop::collection::vec(change(), 1..8),
        theirs in prop::collection::vec(change(), 1..8),
        picked in prop::collection::vec(any::<bool>(), 12),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let base = base();
        let first = commit(&store, tree(&store, &base), Vec::new(), Vec::new());
        let left = commit(&store, tree(&store, &changed(&base, &ours, "ours")), vec![first], Vec::new());
        let right = commit(&store, tree(&store, &changed(&base, &theirs, "theirs")), vec![first], Vec::new());
        let plan = Plan::of(&store, left, right).unwrap();
        // Some hunks are settled before.
        let mut settling = Settling::default();
        let mut coins = picked.iter().cycle();
        for conflict in plan.merged.conflicts.iter().filter(|c| c.hunks().next().is_some()) {
            let mut here = Settlement::default();
            for n in 0..conflict.hunks().count() {
                if *coins.next().unwrap() {
                    here.hunks.insert(n, (Pick::Theirs, PickOrigin::Person));
                }
            }
            if !here.hunks.is_empty() {
                settling.files.insert(conflict.path.clone(), here);
            }
        }
        let mut settled = plan.settle(&store, &settling).unwrap();
        if settled.left.is_empty() {
            return Ok(());
        }
        let terms = plan.open_terms(&store, &mut settled, &settling).unwrap();
        for id in terms.iter().chain([&settled.tree]) {
            settled.made.keep(&store, *id).unwrap();
        }
        let kept = commit(&store, settled.tree, vec![left, right], terms.to_vec());
        // Somebody goes on with something else.
        let mut made = Made::default();
        let other = Entry { name: b"other".to_vec(), mode: 0o644, kind: made.blob(b"x\n".to_vec()) };
        let entries = BTreeMap::from([(RepoPath::try_from("other").unwrap(), Some(other))]);
        let later = with_entries(&mut made, &store, settled.tree, &entries).unwrap();
        made.keep(&store, later).unwrap();
        let tip = commit(&store, later, vec![kept], Vec::new());
        let resumed = Plan::resumed(&store, tip, kept).unwrap();
        let open: Vec<&RepoPath> = settled.left.iter().map(|l| &l.path).collect();
        let again: Vec<&RepoPath> = resumed.merged.conflicts.iter().map(|c| &c.path).collect();
        prop_assert_eq!(open, again);
        for pick in [Pick::Ours, Pick::Theirs] {
            let at_once = plan.settle(&store, &all(&plan, &pick, &settling)).unwrap();
            let then = resumed.settle(&store, &all(&resumed, &pick, &Settling::default())).unwrap();
            prop_assert!(at_once.left.is_empty() && then.left.is_empty());
            let mut made = at_once.made.clone();
            let wanted = with_entries(&mut made, &store, at_once.tree, &entries).unwrap();
            if wanted != then.tree {
                let text = |tree| crate::diff::tree::trees_of(&then.made.over(&store), settled.tree, tree, &[]);
                let over = made.over(&store);
                let want = crate::diff::tree::trees_of(&over, settled.tree, wanted, &[]).unwrap();
                prop_assert!(false, "{:?}: wanted {:#?}, found {:#?}", pick, want, text(then.tree).unwrap());
            }
        }
    }
}
