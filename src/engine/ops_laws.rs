//! Whatever was done before: restoring the state at an operation gives exactly that state, reverting one moves exactly
//! what it moved, and an undo of either is as if it had not been.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::api::{ApiError, ErrorCode, OpInfo, Request, Response, Role};
use super::core::Core;
use super::project::Project;
use crate::model::{OpKind, RefTarget, RepoPath};
use crate::store::Store;

type Files = BTreeMap<String, String>;
type Refs = BTreeMap<String, RefTarget>;

const NAMES: [&str; 3] = ["a", "b", "d/c"];
const BRANCHES: [&str; 3] = ["main", "one", "two"];
const LABELS: [&str; 2] = ["x", "y"];

/// Something that a person does; numbers choose among what there is.
#[derive(Debug, Clone)]
enum Deed {
    Write(usize, u8),
    Remove(usize),
    Rollback(usize),
    Label(usize, usize),
    Unlabel(usize),
    Make(usize, usize),
    Rename(usize, usize),
    Delete(usize),
    Switch(usize),
    Undo,
    Redo,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        5 => (0..3_usize, any::<u8>()).prop_map(|(f, v)| Deed::Write(f, v)),
        1 => (0..3_usize).prop_map(Deed::Remove),
        2 => (0..9_usize).prop_map(Deed::Rollback),
        2 => (0..2_usize, 0..9_usize).prop_map(|(l, at)| Deed::Label(l, at)),
        1 => (0..2_usize).prop_map(Deed::Unlabel),
        2 => (0..3_usize, 0..9_usize).prop_map(|(b, at)| Deed::Make(b, at)),
        1 => (0..3_usize, 0..3_usize).prop_map(|(a, b)| Deed::Rename(a, b)),
        1 => (0..3_usize).prop_map(Deed::Delete),
        2 => (0..3_usize).prop_map(Deed::Switch),
        1 => Just(Deed::Undo),
        1 => Just(Deed::Redo),
    ]
}

/// A project in a temporary directory, with no mount: what is changed is told.
struct Bench {
    core: Arc<Core>,
    root: std::path::PathBuf,
    _temp: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("project");
        std::fs::create_dir(&root).unwrap();
        let project = Project {
            root: root.canonicalize().unwrap(),
            store_dir: temp.path().join("store"),
            runtime_dir: temp.path().join("run"),
        };
        let store = Store::open(&project.store_dir).unwrap();
        let core = Core::new(project, store).unwrap();
        let bench = Self {
            core,
            root,
            _temp: temp,
        };
        bench.ask(Request::Checkpoint { message: None }).unwrap();
        bench.write(0, "first");
        bench
    }

    fn ask(&self, request: Request) -> Result<Response, ApiError> {
        self.core.handle(request, Role::Person, None)
    }

    fn touched(&self, name: &str) {
        let path = RepoPath::new(name.as_bytes()).unwrap();
        self.core.recorder().unwrap().outside(&path);
        self.ask(Request::Checkpoint { message: None }).unwrap();
    }

    fn write(&self, file: usize, text: &str) {
        let at = self.root.join(NAMES[file]);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, text).unwrap();
        self.touched(NAMES[file]);
    }

    fn files(&self) -> Files {
        let read = |name: &&str| {
            let text = std::fs::read_to_string(self.root.join(name)).ok()?;
            Some(((*name).to_owned(), text))
        };
        NAMES.iter().filter_map(read).collect()
    }

    fn refs(&self) -> Refs {
        match self.ask(Request::Refs).unwrap() {
            Response::Refs(refs) => refs,
            other => panic!("{other:?}"),
        }
    }

    fn operations(&self) -> Vec<OpInfo> {
        let request = Request::Operations {
            before: None,
            limit: 1000,
        };
        match self.ask(request).unwrap() {
            Response::Operations(all) => all,
            other => panic!("{other:?}"),
        }
    }

    fn last(&self) -> u64 {
        self.operations()[0].seq
    }

    /// One of the commits that there are.
    fn commit(&self, n: usize) -> String {
        let request = Request::Log {
            before: None,
            limit: 9,
        };
        match self.ask(request).unwrap() {
            Response::Log(all) => all[n % all.len()].id.to_hex(),
            other => panic!("{other:?}"),
        }
    }

    /// Does it; what cannot be done is not done.
    fn act(&self, deed: &Deed) {
        let branch = |n: usize| BRANCHES[n].to_owned();
        let request = match deed {
            Deed::Write(file, value) => return self.write(*file, &format!("{value}\n")),
            Deed::Remove(file) => {
                let _ = std::fs::remove_file(self.root.join(NAMES[*file]));
                return self.touched(NAMES[*file]);
            }
            Deed::Rollback(at) => Request::Rollback {
                rev: self.commit(*at),
                dry_run: false,
                keep_mtime: false,
                keep_frozen: false,
            },
            Deed::Label(label, at) => Request::Label {
                name: LABELS[*label].to_owned(),
                rev: Some(self.commit(*at)),
            },
            Deed::Unlabel(label) => Request::Label {
                name: LABELS[*label].to_owned(),
                rev: None,
            },
            Deed::Make(name, at) => Request::BranchCreate {
                name: branch(*name),
                rev: Some(self.commit(*at)),
            },
            Deed::Rename(from, to) => Request::BranchRename {
                from: branch(*from),
                to: branch(*to),
            },
            Deed::Delete(name) => Request::BranchDelete {
                name: branch(*name),
            },
            Deed::Switch(name) => Request::Switch {
                branch: branch(*name),
                create: false,
                dry_run: false,
            },
            Deed::Undo => Request::Undo,
            Deed::Redo => Request::Redo,
        };
        if let Err(e) = self.ask(request) {
            let fine = matches!(e.code, ErrorCode::Refused | ErrorCode::NotFound);
            assert!(fine, "{deed:?}: {e}");
        }
    }

    /// Everything that an operation can move.
    fn state(&self) -> (Refs, Files) {
        (self.refs(), self.files())
    }
}

/// A state that was: the newest operation then, and everything.
type Seen = (u64, (Refs, Files));

fn history(bench: &Bench, deeds: &[Deed]) -> Vec<Seen> {
    let mut seen = vec![(bench.last(), bench.state())];
    for deed in deeds {
        bench.act(deed);
        let last = bench.last();
        if seen.last().unwrap().0 != last {
            seen.push((last, bench.state()));
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_restored_state_is_what_it_was_and_an_undo_takes_it_back(
        deeds in prop::collection::vec(deed(), 1..12),
        which in any::<prop::sample::Index>(),
        unsaved in any::<bool>(),
    ) {
        let bench = Bench::new();
        let seen = history(&bench, &deeds);
        let (seq, then) = which.get(&seen).clone();
        if unsaved {
            bench.write(1, "what is there when it is restored");
        }
        let before = bench.state();
        let request = |dry_run| Request::OpRestore { op: seq.to_string(), before: false, dry_run };
        match bench.ask(request(true)) {
            Ok(Response::OpDone(report)) => prop_assert!(report.dry_run && report.operation.is_none()),
            Ok(other) => panic!("{other:?}"),
            Err(e) => prop_assert_eq!(e.code, ErrorCode::Refused, "{}", e),
        }
        prop_assert_eq!(&bench.state(), &before, "a preview changes nothing");
        match bench.ask(request(false)) {
            Ok(Response::OpDone(_)) => {
                prop_assert_eq!(bench.state(), then);
                bench.ask(Request::Undo).unwrap();
                prop_assert_eq!(bench.state(), before);
                bench.ask(Request::Redo).unwrap();
                prop_assert_eq!(bench.state(), which.get(&seen).1.clone());
            }
            Ok(other) => panic!("{other:?}"),
            Err(e) => {
                prop_assert_eq!(e.code, ErrorCode::Refused, "{}", e);
                prop_assert_eq!(&before, &then, "only when there is nothing to do: {}", e);
            }
        }
    }

    #[test]
    fn a_reverted_operation_moves_back_what_it_moved_and_nothing_else(
        deeds in prop::collection::vec(deed(), 1..12),
        which in any::<prop::sample::Index>(),
    ) {
        let bench = Bench::new();
        history(&bench, &deeds);
        let all = bench.operations();
        let op = which.get(&all);
        let before = bench.state();
        let Response::Operation(detail) =
            bench.ask(Request::OpShow { op: op.seq.to_string() }).unwrap() else { panic!() };
        let request = Request::OpRevert { op: op.seq.to_string(), dry_run: false };
        match bench.ask(request) {
            Ok(Response::OpDone(_)) => {
                prop_assert_eq!(&detail.stays, &None);
                let mut refs = before.0.clone();
                for one in &detail.refs {
                    match &one.before {
                        Some(target) => _ = refs.insert(one.name.clone(), target.clone()),
                        None => _ = refs.remove(&one.name),
                    }
                }
                prop_assert_eq!(bench.refs(), refs);
                bench.ask(Request::Undo).unwrap();
            }
            Ok(other) => panic!("{other:?}"),
            Err(e) => {
                prop_assert_eq!(e.code, ErrorCode::Refused, "{}", e);
                prop_assert!(op.kind != OpKind::Label || detail.stays.is_some(), "{}", e);
            }
        }
        prop_assert_eq!(bench.state(), before);
    }
}

#[test]
fn operations_are_found_by_number_by_id_and_as_the_newest() {
    let bench = Bench::new();
    bench.write(1, "more\n");
    let all = bench.operations();
    let show = |op: &str| bench.ask(Request::OpShow { op: op.to_owned() });
    for (text, want) in [
        ("@".to_owned(), all[0].seq),
        ("1".to_owned(), 1),
        (all[1].id.to_hex(), all[1].seq),
        (all[1].id.short(), all[1].seq),
    ] {
        match show(&text).unwrap() {
            Response::Operation(detail) => assert_eq!(detail.op.seq, want, "{text}"),
            other => panic!("{other:?}"),
        }
    }
    for text in ["0", "999", "", "beef", "zz", "-1", "\u{1b}[2J"] {
        let error = show(text).unwrap_err();
        assert_eq!(error.code, ErrorCode::NotFound, "{text}: {error}");
        assert!(!error.message.contains('\u{1b}'));
    }
}

#[test]
fn what_later_operations_stand_on_is_named() {
    let bench = Bench::new();
    let first = bench.last();
    bench.write(1, "more\n");
    let request = |seq: u64| Request::OpRevert {
        op: seq.to_string(),
        dry_run: false,
    };
    let error = bench.ask(request(first)).unwrap_err();
    assert_eq!(error.code, ErrorCode::Refused);
    let later = format!("{} (checkpoint)", bench.last());
    assert!(error.message.contains(&later), "{error}");
    // The newest one can go: its files go back.
    let then = bench.files();
    bench.ask(request(bench.last())).unwrap();
    assert_eq!(bench.files().len(), 1);
    bench.ask(Request::Undo).unwrap();
    assert_eq!(bench.files(), then);
    let error = bench.ask(request(1)).unwrap_err();
    assert_eq!(error.code, ErrorCode::Refused);
    assert_eq!(bench.files(), then);
}
