//! What the store costs: `cargo bench --bench store [-- FILES [DIR]]`.
//!
//! Fills a store with the trees of FILES files (100,000 unless told), as a first scan does, then measures what a
//! checkpoint of 10 files does to it: 10 blobs of 4 KiB, the trees from their directory to the root, a commit, an
//! operation, a step, a link, one sync. The same is done in a store of a hundredth of the files: the two must not
//! differ. Prints medians and 99th percentiles; writes nothing but in a temporary directory (in DIR, to choose the disk).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a measurement, not a part of the program"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use backtrail::model::{
    Attr, Cause, Commit, CommitId, Entry, Kind, OpKind, RefChange, RefTarget, RepoPath, Time, Tree,
    TreeId,
};
use backtrail::store::{NewCommit, NewOperation, Publication, Store, commit_id};

const PER_DIR: usize = 50;
const ROUNDS: usize = 400;

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

fn file(store: &Store, name: String, content: &[u8]) -> Entry {
    Entry {
        name: name.into_bytes(),
        mode: 0o644,
        kind: Kind::File {
            blob: store.put_blob(content).unwrap(),
            size: content.len() as u64,
        },
    }
}

fn dir(name: String, tree: TreeId) -> Entry {
    Entry {
        name: name.into_bytes(),
        mode: 0o755,
        kind: Kind::Dir(tree),
    }
}

struct Bench {
    store: Store,
    root: Tree,
    head: CommitId,
    tick: i64,
}

impl Bench {
    /// A first scan: `files` files of 2 KiB, 50 to a directory, 50 directories to a directory.
    fn new(at: &Path, files: usize) -> Self {
        let begin = Instant::now();
        let store = Store::open(at).unwrap();
        let mut paths = Vec::new();
        let mut tops = Vec::new();
        let mut subs = Vec::new();
        let dirs = files.div_ceil(PER_DIR);
        for d in 0..dirs {
            let at = format!("d{:04}/s{:02}", d / PER_DIR, d % PER_DIR);
            let mut entries = Vec::new();
            for f in 0..PER_DIR {
                let entry = file(
                    &store,
                    format!("f{f:02}"),
                    &noise((d * PER_DIR + f) as u64, 2048),
                );
                let path = RepoPath::new(format!("{at}/f{f:02}")).unwrap();
                paths.push((path, Some(entry.clone())));
                entries.push(entry);
            }
            let tree = store.put_tree(&Tree::new(entries)).unwrap();
            subs.push(dir(format!("s{:02}", d % PER_DIR), tree));
            if subs.len() == PER_DIR || d + 1 == dirs {
                let tree = store
                    .put_tree(&Tree::new(std::mem::take(&mut subs)))
                    .unwrap();
                tops.push(dir(format!("d{:04}", d / PER_DIR), tree));
            }
        }
        let root = Tree::new(tops);
        let tree = store.put_tree(&root).unwrap();
        let put = begin.elapsed();
        let attrs = paths
            .iter()
            .map(|(path, _)| Attr {
                path: path.clone(),
                mtime_ns: 1,
                uid: 1000,
                gid: 1000,
            })
            .collect();
        let commit = Self::commit(tree, vec![], 0);
        let head = commit_id(&commit);
        store
            .publish(Publication {
                commits: vec![NewCommit {
                    commit,
                    attrs,
                    paths,
                }],
                ..Publication::default()
            })
            .unwrap();
        let published = begin.elapsed();
        store.flush_index().unwrap();
        println!(
            "{files:>7} files: put {put:.2?}, published after {published:.2?}, index durable after {:.2?}",
            begin.elapsed()
        );
        let mut bench = Self {
            store,
            root,
            head,
            tick: 0,
        };
        bench.point(None);
        bench
    }

    fn commit(tree: TreeId, parents: Vec<CommitId>, n: i64) -> Commit {
        Commit {
            parents,
            tree,
            git: None,
            state: None,
            author: "bench".into(),
            session: None,
            time: Time(n),
            cause: Cause::Quiet,
            message: String::new(),
            meta: BTreeMap::new(),
            conflict: Vec::new(),
        }
    }

    fn point(&mut self, before: Option<CommitId>) {
        self.store
            .publish(Publication {
                operation: Some(self.operation(before, self.head)),
                ..Publication::default()
            })
            .unwrap();
    }

    fn operation(&self, before: Option<CommitId>, after: CommitId) -> NewOperation {
        NewOperation {
            kind: OpKind::Checkpoint,
            description: "bench".into(),
            refs: vec![RefChange {
                name: "branch/main".into(),
                before: before.map(RefTarget::Commit),
                after: Some(RefTarget::Commit(after)),
            }],
            target: None,
            workspace: None,
            time: Time(self.tick),
        }
    }

    /// Ten files of one directory change; from their bytes to durable and visible.
    fn checkpoint(&mut self) -> Duration {
        self.tick += 1;
        let contents: Vec<_> = (0..10)
            .map(|f| noise(1 << 40 | (self.tick as u64) << 8 | f, 4096))
            .collect();
        let top_at = self.tick as usize % self.root.entries.len();
        let begin = Instant::now();
        let store = &self.store;
        let top = &self.root.entries[top_at];
        let mut top_tree = (*store.tree(top.kind.tree().unwrap()).unwrap()).clone();
        let sub_at = self.tick as usize % top_tree.entries.len();
        let sub = top_tree.entries[sub_at].clone();
        let mut tree = (*store.tree(sub.kind.tree().unwrap()).unwrap()).clone();
        let at = RepoPath::new([top.name.as_slice(), b"/", &sub.name].concat()).unwrap();
        let mut attrs = Vec::new();
        let mut paths = Vec::new();
        for (f, content) in contents.iter().enumerate() {
            let entry = file(store, format!("f{f:02}"), content);
            let path = at.join(&entry.name).unwrap();
            attrs.push(Attr {
                path: path.clone(),
                mtime_ns: self.tick,
                uid: 1000,
                gid: 1000,
            });
            paths.push((path, Some(entry.clone())));
            tree.set(entry);
        }
        let sub_id = store.put_tree(&tree).unwrap();
        top_tree.entries[sub_at].kind = Kind::Dir(sub_id);
        let top_id = store.put_tree(&top_tree).unwrap();
        self.root.entries[top_at].kind = Kind::Dir(top_id);
        let root = store.put_tree(&self.root).unwrap();
        let commit = Self::commit(root, vec![self.head], self.tick);
        let id = commit_id(&commit);
        store
            .publish(Publication {
                commits: vec![NewCommit {
                    commit,
                    attrs,
                    paths,
                }],
                operation: Some(self.operation(Some(self.head), id)),
                ..Publication::default()
            })
            .unwrap();
        self.head = id;
        begin.elapsed()
    }
}

fn show(what: &str, mut times: Vec<Duration>) -> Duration {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!(
        "{what:<44} median {:>9.1?}  p90 {:>9.1?}  p99 {:>9.1?}",
        at(50),
        at(90),
        at(99)
    );
    at(50)
}

fn time<T>(times: &mut Vec<Duration>, f: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let out = f();
    times.push(begin.elapsed());
    out
}

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let files: usize = args.first().and_then(|a| a.parse().ok()).unwrap_or(100_000);
    let place = args.get(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let scratch = tempfile::tempdir_in(place).unwrap();

    let mut small = Bench::new(&scratch.path().join("small"), files / 100);
    let mut large = Bench::new(&scratch.path().join("large"), files);
    let (mut in_small, mut in_large, mut bare) = (vec![], vec![], vec![]);
    let raw = scratch.path().join("raw");
    let raw_file = std::fs::File::create(&raw).unwrap();
    for n in 0..ROUNDS {
        // Side by side, so that a slow moment of the machine meets them alike.
        in_small.push(small.checkpoint());
        in_large.push(large.checkpoint());
        let bytes = noise(n as u64, 48 << 10);
        time(&mut bare, || {
            std::io::Write::write_all(&mut &raw_file, &bytes).unwrap();
            raw_file.sync_data().unwrap();
        });
    }
    show("one write of 48 KiB and fdatasync, bare", bare);
    let a = show(
        &format!("checkpoint of 10 files, {} files", files / 100),
        in_small,
    );
    let b = show(&format!("checkpoint of 10 files, {files} files"), in_large);
    println!("ratio {:.2}", b.as_secs_f64() / a.as_secs_f64());

    let store = &large.store;
    let mut times = vec![];
    for n in 0..2000u64 {
        let id = backtrail::model::BlobId::of(&noise(n * 37 % files as u64, 2048));
        assert!(time(&mut times, || store.has_blob(id).unwrap()));
    }
    show("has_blob", times);
    let mut times = vec![];
    for n in 0..2000u64 {
        let id = backtrail::model::BlobId::of(&noise(n * 37 % files as u64, 2048));
        time(&mut times, || store.blob(id).unwrap());
    }
    show("blob of 2 KiB", times);
    let mut times = vec![];
    for _ in 0..200 {
        time(&mut times, || store.commits(None, 100).unwrap());
    }
    show("the newest 100 commits", times);
    let path = RepoPath::try_from("d0000/s00/f00").unwrap();
    let mut times = vec![];
    for _ in 0..200 {
        time(&mut times, || store.path_history(&path, None, 100).unwrap());
    }
    show("history of a path", times);

    let step: serde_json::Value = serde_json::json!({
        "id": "00".repeat(32), "ordinal": "1", "kind": "call", "title": "edit a file",
        "time": "2026-01-01T00:00:00Z", "tool": "Edit",
    });
    let mut step: backtrail::model::Step = serde_json::from_value(step).unwrap();
    let mut times = vec![];
    for n in 0..1000 {
        step.ordinal.major = n;
        step.id.0[..8].copy_from_slice(&n.to_le_bytes());
        time(&mut times, || store.put_step(&step).unwrap());
    }
    show("put_step", times);
    let mut times = vec![];
    for n in 0..20 {
        large.tick += n;
        large.checkpoint();
        time(&mut times, || large.store.flush_index().unwrap());
    }
    show("flush_index", times);

    let at = scratch.path().join("large");
    let image = scratch.path().join("image");
    std::fs::create_dir_all(image.join("packs")).unwrap();
    for _ in 0..20 {
        large.checkpoint();
    }
    // What a crash leaves at this moment.
    for name in ["FORMAT", "graph.redb", "packs/00000001.pack"] {
        std::fs::copy(at.join(name), image.join(name)).unwrap();
    }
    let begin = Instant::now();
    let crashed = Store::open(&image).unwrap();
    println!(
        "open after a crash: {:.2?}, {} records caught up",
        begin.elapsed(),
        crashed.opened().caught_up
    );
    drop(crashed);
    let (mut opening, mut closing) = (vec![], vec![]);
    let mut store = Some(large.store);
    for _ in 0..10 {
        time(&mut closing, || drop(store.take()));
        store = Some(time(&mut opening, || Store::open(&at).unwrap()));
    }
    show("close", closing);
    show("open", opening);
    let begin = Instant::now();
    let report = store.as_ref().unwrap().verify().unwrap();
    println!(
        "verify: {} records, {} MB in {:.2?}, {} faults",
        report.records,
        report.bytes >> 20,
        begin.elapsed(),
        report.faults.len()
    );
    drop(store);
    std::fs::remove_file(at.join("graph.redb")).unwrap();
    let begin = Instant::now();
    let store = Store::open(&at).unwrap();
    println!(
        "rebuild of the index: {} records in {:.2?}",
        store.opened().caught_up,
        begin.elapsed()
    );
    drop(store);
    let size = |name: &str| std::fs::metadata(at.join(name)).map_or(0, |m| m.len()) >> 20;
    println!(
        "index {} MB, pack {} MB",
        size("graph.redb"),
        size("packs/00000001.pack")
    );
}
