//! What questions over the graph cost: `cargo bench --bench graph [-- COMMITS]`.
//!
//! A project of 2,500 files with 100,000 commits (unless told otherwise): mostly one line, every hundredth commit parts from
//! an earlier one as after a rollback, and a few files change again and again. Asked is through the engine's answers, as a
//! client would, and through the store alone. Also what the history of paths adds to the index.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a measurement, not a part of the program"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use backtrail::engine::Project;
use backtrail::engine::api::{GraphQuery, Request, Response, Role};
use backtrail::engine::core::Core;
use backtrail::model::{
    Cause, Commit, CommitId, Entry, Kind, OpKind, RefChange, RefTarget, RepoPath, Time, Tree,
    TreeId,
};
use backtrail::store::{NewCommit, NewOperation, Publication, Store, commit_id};

const DIRS: usize = 50;
const FILES: usize = 50;

struct Made {
    store: Store,
    /// The trees of each commit: its directories.
    dirs: Vec<Vec<TreeId>>,
    ids: Vec<CommitId>,
}

fn entry(name: String, kind: Kind) -> Entry {
    Entry {
        name: name.into_bytes(),
        mode: 0o644,
        kind,
    }
}

fn path(d: usize, f: usize) -> RepoPath {
    RepoPath::new(format!("src/d{d:02}/f{f:02}.rs")).unwrap()
}

impl Made {
    fn new(at: &std::path::Path, commits: usize) -> Self {
        let store = Store::open(at).unwrap();
        let mut project = Self {
            store,
            dirs: Vec::new(),
            ids: Vec::new(),
        };
        let mut all = Vec::new();
        let mut dirs = Vec::new();
        for d in 0..DIRS {
            let entries = (0..FILES).map(|f| project.file(d, f, 0)).collect();
            let tree = Tree::new(entries);
            for f in 0..FILES {
                all.push((path(d, f), Some(tree.entries[f].clone())));
            }
            dirs.push(project.store.put_tree(&tree).unwrap());
        }
        let mut batch = vec![project.commit(None, dirs, all, 0)];
        for n in 1..commits {
            let parent = match n % 100 {
                0 => n - 1 - (n / 100) % 60,
                _ => n - 1,
            };
            // One directory's busy file, and one of the many.
            let (d, f) = match n % 4 {
                0 => (0, 0),
                _ => (n * 7 % DIRS, n * 13 % FILES),
            };
            let mut dirs = project.dirs[parent].clone();
            let mut tree = (*project.store.tree(dirs[d]).unwrap()).clone();
            let file = project.file(d, f, n);
            tree.set(file.clone());
            dirs[d] = project.store.put_tree(&tree).unwrap();
            let new = project.commit(Some(parent), dirs, vec![(path(d, f), Some(file))], n);
            batch.push(new);
            if batch.len() == 500 || n + 1 == commits {
                let commits = std::mem::take(&mut batch);
                project
                    .store
                    .publish(Publication {
                        commits,
                        ..Publication::default()
                    })
                    .unwrap();
            }
        }
        let refs = vec![RefChange {
            name: "branch/main".into(),
            before: None,
            after: Some(RefTarget::Commit(*project.ids.last().unwrap())),
        }];
        project
            .store
            .publish(Publication {
                operation: Some(NewOperation {
                    kind: OpKind::Init,
                    description: String::new(),
                    refs,
                    target: None,
                    workspace: None,
                    time: Time(0),
                }),
                ..Publication::default()
            })
            .unwrap();
        project.store.flush_index().unwrap();
        project
    }

    fn file(&self, d: usize, f: usize, n: usize) -> Entry {
        // 40 lines, one of which says when.
        let text: String = (0..40)
            .map(|line| match line == n % 40 {
                true => format!("line {line} of {d}/{f} at {n}\n"),
                false => format!("line {line}\n"),
            })
            .collect();
        let blob = self.store.put_blob(text.as_bytes()).unwrap();
        entry(
            format!("f{f:02}.rs"),
            Kind::File {
                blob,
                size: text.len() as u64,
            },
        )
    }

    fn commit(
        &mut self,
        parent: Option<usize>,
        dirs: Vec<TreeId>,
        paths: Vec<(RepoPath, Option<Entry>)>,
        n: usize,
    ) -> NewCommit {
        let below = dirs
            .iter()
            .enumerate()
            .map(|(d, tree)| entry(format!("d{d:02}"), Kind::Dir(*tree)))
            .collect();
        let src = self.store.put_tree(&Tree::new(below)).unwrap();
        let root = Tree::new(vec![entry("src".into(), Kind::Dir(src))]);
        let commit = Commit {
            parents: parent.map(|p| self.ids[p]).into_iter().collect(),
            tree: self.store.put_tree(&root).unwrap(),
            git: None,
            state: None,
            author: "bench".into(),
            session: None,
            time: Time(i64::try_from(n).unwrap() * 1_000_000),
            cause: if n == 0 { Cause::Initial } else { Cause::Quiet },
            message: String::new(),
            meta: BTreeMap::new(),
            conflict: Vec::new(),
        };
        self.ids.push(commit_id(&commit));
        self.dirs.push(dirs);
        NewCommit {
            commit,
            attrs: Vec::new(),
            paths,
        }
    }
}

fn measure<T>(what: &str, rounds: usize, mut f: impl FnMut(usize) -> T) {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|n| {
            let begin = Instant::now();
            let _ = std::hint::black_box(f(n));
            begin.elapsed()
        })
        .collect();
    times.sort();
    println!(
        "{what:<52} median {:>9.1?}  p99 {:>9.1?}  first or worst {:>9.1?}",
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        times[times.len() - 1]
    );
}

fn main() {
    let commits: usize = std::env::args()
        .skip(1)
        .find_map(|a| a.parse().ok())
        .unwrap_or(100_000);
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path().join("store");
    let begin = Instant::now();
    let Made { store, dirs, ids } = Made::new(&at, commits);
    drop(dirs);
    println!("{commits} commits made in {:.1?}", begin.elapsed());
    let size = std::fs::metadata(at.join("graph.redb")).unwrap().len();
    println!("index {} MB", size >> 20);
    drop(store);
    let begin = Instant::now();
    let store = Store::open(&at).unwrap();
    println!("opened in {:.1?}", begin.elapsed());

    let tip = *ids.last().unwrap();
    let some = |n: usize| ids[n * 7919 % ids.len()];
    let busy = path(0, 0);
    measure("leaves, 50", 200, |_| store.leaves(None, 50).unwrap());
    println!(
        "    of {} in all",
        store.leaves(None, usize::MAX).unwrap().len()
    );
    measure("children", 1000, |n| store.children(some(n)).unwrap());
    measure("lineage of the tip, 50", 200, |_| {
        store.first_parents(tip, 50).unwrap()
    });
    measure("which commits are first parents of the tip", 200, |_| {
        store.lineage(tip).unwrap()
    });
    let lineage = store.lineage(tip).unwrap();
    println!("    along {} lines", lineage.lines());
    measure("path, 50 newest of all branches", 200, |_| {
        store.path_history(&busy, None, 50).unwrap()
    });
    println!(
        "    of {} in all",
        store.path_history(&busy, None, usize::MAX).unwrap().len()
    );
    measure("path, 50 newest in the lineage of the tip", 200, |_| {
        store.path_versions(&busy, &lineage, None, 50).unwrap()
    });
    measure("path, 50 newest in the lineage of some commit", 200, |n| {
        let of = store.lineage(some(n)).unwrap();
        store.path_versions(&busy, &of, None, 50).unwrap()
    });
    measure("directory src/d07, 50 newest", 200, |_| {
        let dir = RepoPath::try_from("src/d07").unwrap();
        store.touched(&dir, Some(&lineage), None, 50).unwrap()
    });
    let entries: Vec<RepoPath> = (0..FILES).map(|f| path(7, f)).collect();
    measure("last change of 50 files", 200, |_| {
        store.last_changes(&entries, &lineage).unwrap()
    });
    let entries: Vec<RepoPath> = (0..DIRS)
        .map(|d| RepoPath::new(format!("src/d{d:02}")).unwrap())
        .collect();
    measure("last change of 50 directories", 200, |_| {
        store.last_changes(&entries, &lineage).unwrap()
    });
    let project = Project {
        root: scratch.path().to_owned(),
        store_dir: at,
        runtime_dir: scratch.path().join("run"),
    };
    let core = Core::new(project, store).unwrap();
    let ask = |query: GraphQuery| {
        let answer = core.handle(Request::Graph(query), Role::Person, None);
        assert!(matches!(answer, Ok(Response::Graph(_))), "{answer:?}");
    };
    println!("through the engine's answers:");
    measure("log, 50", 50, |_| {
        let log = Request::Log {
            before: None,
            limit: 50,
        };
        core.handle(log, Role::Person, None).unwrap()
    });
    let rev = || "main".to_owned();
    let queries: [(&str, GraphQuery); 8] = [
        (
            "leaves, 50",
            GraphQuery::Leaves {
                before: None,
                limit: 50,
            },
        ),
        (
            "lineage, 50",
            GraphQuery::Lineage {
                rev: rev(),
                limit: 50,
            },
        ),
        (
            "children",
            GraphQuery::Children {
                rev: some(5).to_hex(),
            },
        ),
        (
            "history of the busy file, 50",
            GraphQuery::Path {
                path: busy.clone(),
                rev: None,
                before: None,
                limit: 50,
            },
        ),
        (
            "the same in the lineage of the tip",
            GraphQuery::Path {
                path: busy,
                rev: Some(rev()),
                before: None,
                limit: 50,
            },
        ),
        (
            "trace, 10 deep",
            GraphQuery::Trace {
                rev: rev(),
                depth: 10,
            },
        ),
        (
            "last changes of a directory of 50",
            GraphQuery::LastChanges {
                rev: rev(),
                dir: RepoPath::try_from("src").unwrap(),
            },
        ),
        (
            "blame of a file of 40 lines",
            GraphQuery::Blame {
                rev: rev(),
                path: path(7, 11),
                force: false,
            },
        ),
    ];
    for (what, query) in queries {
        measure(what, 50, |_| ask(query.clone()));
    }
}
