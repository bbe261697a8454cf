//! What a checkpoint costs in a small and in a large tree, side by side in one run.
//!
//! `cargo bench --bench capture`. Each figure is the median of many rounds; `store alone` is what the store takes to
//! make one commit durable on this disk, without any capture: the floor.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a measurement, run by hand"
)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backtrail::capture::observe::Observer;
use backtrail::capture::recorder::{Attribution, Cut, Group, Made, Recorder, Settings};
use backtrail::model::{
    Cause, Commit, CommitId, LinkRule, Origin, RepoPath, Step, Time, Touch, Writer,
};
use backtrail::store::{NewCommit, Publication, Store};

const ROUNDS: usize = 41;
const CHANGED: usize = 10;
/// Says that the process is one that measures its memory.
const MEMORY: &str = "memory-of";

struct One;

impl Attribution for One {
    fn group(&self, _: &RepoPath, _: Option<&backtrail::model::Entry>, _: &[Writer]) -> Group {
        Group {
            outside: false,
            author: "bench".to_owned(),
            session: None,
            step: None,
            order: 0,
            part: 0,
        }
    }

    fn step_for(
        &self,
        _: &Group,
        _: CommitId,
        _: &NewCommit,
        _: Cause,
    ) -> Option<(Step, LinkRule, u8)> {
        None
    }
}

fn fill(root: &Path, files: usize) -> Vec<RepoPath> {
    let mut paths = Vec::new();
    for n in 0..files {
        let dir = format!("p{}/d{}", n / 1000, n / 20 % 50);
        if n % 20 == 0 {
            fs::create_dir_all(root.join(&dir)).unwrap();
        }
        let path = format!("{dir}/file{n}.rs");
        fs::write(root.join(&path), format!("// file {n}\n").repeat(20)).unwrap();
        paths.push(RepoPath::new(path.into_bytes()).unwrap());
    }
    paths
}

fn cut(recorder: &Recorder) -> Made {
    recorder
        .cut(Cut {
            cause: Cause::PostTool,
            message: None,
            swap: &|f| f(),
            flush: &|_| {},
            attribution: &One,
            session: None,
        })
        .unwrap()
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}

/// Resident memory of this process.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

struct Figures {
    fill: Duration,
    scan: Duration,
    again: Duration,
    ten: Duration,
    spread: Duration,
    none: Duration,
    dir_moved: Duration,
    floor: Duration,
    /// Of a process that only knows the tree, bytes a file.
    memory: u64,
}

/// What a process of its own needs for the tree, beyond what it needs for an empty one.
fn memory(root: &Path, store: &Path, files: usize) -> u64 {
    let need = |root: &Path, store: &Path| -> u64 {
        let out = Command::new(std::env::current_exe().unwrap())
            .arg(MEMORY)
            .args([root, store])
            .output()
            .unwrap();
        String::from_utf8(out.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    };
    let empty = tempfile::tempdir().unwrap();
    let nothing = empty.path().join("project");
    fs::create_dir(&nothing).unwrap();
    let floor = need(&nothing, &empty.path().join("store"));
    need(root, store).saturating_sub(floor) / files as u64
}

/// In that process.
fn say_memory(root: &Path, store: &Path) {
    let store = Arc::new(Store::open(store).unwrap());
    let r = Recorder::open(store, root, Settings::default()).unwrap();
    r.start_scan(Arc::new(One));
    assert!(r.wait_scan(Duration::from_secs(600)));
    println!("{}", resident());
}

fn measure(files: usize) -> Figures {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("project");
    fs::create_dir(&root).unwrap();
    let begin = Instant::now();
    let paths = fill(&root, files);
    let fill = begin.elapsed();
    let store = Arc::new(Store::open(&dir.path().join("store")).unwrap());
    let start = |store: &Arc<Store>| {
        let begin = Instant::now();
        let r = Recorder::open(Arc::clone(store), &root, Settings::default()).unwrap();
        r.start_scan(Arc::new(One));
        assert!(r.wait_scan(Duration::from_secs(600)));
        (r, begin.elapsed())
    };
    let (first, scan) = start(&store);
    drop(first);
    let (recorder, again) = start(&store);
    let who = Writer {
        origin: Origin::Inside,
        pid: 1,
        comm: "bench".to_owned(),
        cgroup: String::new(),
    };
    let mut ten = Vec::new();
    let mut spread = Vec::new();
    let mut none = Vec::new();
    let mut floor = Vec::new();
    for round in 0..ROUNDS {
        // The same ten places in either tree, and ten places all over it (in as many directories, if there are).
        let places = [("near", 1_000, &mut ten), ("far", paths.len(), &mut spread)];
        for (word, among, figures) in places {
            for i in 0..CHANGED {
                let path = &paths[(i * 7919 + round * 31) % among];
                recorder.before(path, Touch::Content);
                fs::write(
                    root.join(path.as_path()),
                    format!("round {round} {i} {word}"),
                )
                .unwrap();
                recorder.changed(path, Touch::Content, &who);
            }
            let begin = Instant::now();
            let made = cut(&recorder);
            figures.push(begin.elapsed());
            assert_eq!(made.commits.len(), 1);
        }
        let begin = Instant::now();
        assert!(cut(&recorder).commits.is_empty());
        none.push(begin.elapsed());
        let (head, tree) = recorder.head().unwrap();
        let begin = Instant::now();
        store
            .publish(Publication {
                commits: vec![NewCommit {
                    commit: Commit {
                        parents: vec![head],
                        tree,
                        git: None,
                        state: None,
                        author: String::new(),
                        session: None,
                        time: Time::now(),
                        cause: Cause::Manual,
                        message: String::new(),
                        meta: Default::default(),
                        conflict: Vec::new(),
                    },
                    attrs: Vec::new(),
                    paths: Vec::new(),
                }],
                ..Publication::default()
            })
            .unwrap();
        floor.push(begin.elapsed());
    }
    let mut dir_moved = Vec::new();
    let (a, b) = ("p0/d0", "p0/d-moved");
    for round in 0..ROUNDS {
        let (from, to) = if round % 2 == 0 { (a, b) } else { (b, a) };
        let path = |p: &str| RepoPath::new(p.as_bytes()).unwrap();
        recorder.before(&path(from), Touch::Remove);
        recorder.before(&path(to), Touch::Create);
        fs::rename(root.join(from), root.join(to)).unwrap();
        recorder.renamed(&path(from), &path(to), false, &who);
        let begin = Instant::now();
        assert_eq!(cut(&recorder).commits.len(), 1);
        dir_moved.push(begin.elapsed());
    }
    drop(recorder);
    drop(store);
    Figures {
        memory: memory(&root, &dir.path().join("store"), files),
        fill,
        scan,
        again,
        ten: median(ten),
        spread: median(spread),
        none: median(none),
        dir_moved: median(dir_moved),
        floor: median(floor),
    }
}

fn main() {
    let args: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    if let [word, root, store] = args.as_slice()
        && word == MEMORY
    {
        say_memory(Path::new(root), Path::new(store));
        return;
    }
    let small = measure(1_000);
    let large = measure(100_000);
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    let row = |what: &str, pick: &dyn Fn(&Figures) -> f64| {
        println!("{what:<44}{:>12.3}{:>14.3}", pick(&small), pick(&large));
    };
    println!("{:<44}{:>12}{:>14}", "", "1,000 files", "100,000 files");
    row("making the files, ms", &|f| ms(f.fill));
    row("first scan, ms", &|f| ms(f.scan));
    row("start with nothing changed, ms", &|f| ms(f.again));
    row("checkpoint of 10 changed files, ms", &|f| ms(f.ten));
    row("  the same all over the tree, ms", &|f| ms(f.spread));
    row("  of that the store's commit alone, ms", &|f| ms(f.floor));
    row("checkpoint of nothing, ms", &|f| ms(f.none));
    row("checkpoint of a moved directory (20), ms", &|f| {
        ms(f.dir_moved)
    });
    row("memory at its peak, bytes a file", &|f| f.memory as f64);
}
