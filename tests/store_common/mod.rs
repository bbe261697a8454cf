//! What the store's tests share.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "tests; each uses its own part"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use backtrail::model::{
    CallKind, Cause, Commit, CommitId, Entry, Kind, Link, LinkRule, OpKind, RefChange, RefTarget,
    RepoPath, SessionId, Status, Step, StepId, StepKind, Time, Tree, TreeId,
};
use backtrail::store::{NewCommit, NewOperation, Publication, Store};

/// The only pack of a small store.
pub fn pack(dir: &Path) -> PathBuf {
    dir.join("packs/00000001.pack")
}

/// A directory for a test: in memory where there is such a place, since these tests sync a lot.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// Copies a store that is not open, or is about to be killed.
pub fn copy_store(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("packs")).unwrap();
    fs::copy(from.join("FORMAT"), to.join("FORMAT")).unwrap();
    if from.join("graph.redb").exists() {
        fs::copy(from.join("graph.redb"), to.join("graph.redb")).unwrap();
    }
    for entry in fs::read_dir(from.join("packs")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join("packs").join(entry.file_name())).unwrap();
    }
}

/// A commit of `tree` upon `parents`.
pub fn commit(tree: TreeId, parents: &[CommitId], n: i64) -> Commit {
    Commit {
        parents: parents.to_vec(),
        tree,
        git: None,
        state: None,
        author: "tester".into(),
        session: None,
        time: Time(n),
        cause: Cause::Quiet,
        message: format!("number {n}"),
        meta: BTreeMap::new(),
        conflict: Vec::new(),
    }
}

/// A step of the session `s`.
pub fn step(native: &str, major: u64) -> Step {
    let session = SessionId::of("s");
    let mut step: Step = serde_json::from_value(serde_json::json!({
        "id": StepId::of(session, native),
        "ordinal": major.to_string(),
        "kind": "call",
        "title": "edits",
        "time": Time(1),
    }))
    .unwrap();
    step.session = Some(session);
    step.kind = StepKind::Call;
    step.call = CallKind::Edit;
    step.status = Status::Running;
    step.native = native.into();
    step
}

/// A path.
pub fn path(s: &str) -> RepoPath {
    RepoPath::try_from(s).unwrap()
}

/// A file's entry, its content stored.
pub fn file(store: &Store, name: &str, content: &[u8]) -> Entry {
    Entry {
        name: name.into(),
        mode: 0o644,
        kind: Kind::File {
            blob: store.put_blob(content).unwrap(),
            size: content.len() as u64,
        },
    }
}

/// Puts `branch/main` from where it is to a new commit of one file with this content: a checkpoint in small, with a
/// step and a link.
pub fn checkpoint(store: &Store, n: u64, content: &[u8]) -> backtrail::store::Result<CommitId> {
    let before = store.get_ref("branch/main")?;
    let parents = match &before {
        Some(RefTarget::Commit(c)) => vec![*c],
        _ => vec![],
    };
    let blob = store.put_blob(content)?;
    let entry = Entry {
        name: b"file".to_vec(),
        mode: 0o644,
        kind: Kind::File {
            blob,
            size: content.len() as u64,
        },
    };
    let tree = store.put_tree(&Tree::new(vec![entry.clone()]))?;
    let commit = commit(tree, &parents, i64::try_from(n).unwrap());
    let id = backtrail::store::commit_id(&commit);
    let step = step(&n.to_string(), n + 1);
    let link = Link {
        step: step.id,
        commit: id,
        rule: LinkRule::Asked,
        confidence: 100,
    };
    store.publish(Publication {
        commits: vec![NewCommit {
            commit,
            attrs: Vec::new(),
            paths: vec![(path("file"), Some(entry))],
        }],
        operation: Some(NewOperation {
            kind: OpKind::Checkpoint,
            description: String::new(),
            refs: vec![RefChange {
                name: "branch/main".into(),
                before,
                after: Some(RefTarget::Commit(id)),
            }],
            target: None,
            workspace: None,
            time: Time(0),
        }),
        steps: vec![step],
        links: vec![link],
    })?;
    Ok(id)
}

/// Everything that can be asked, as text: equal texts, equal stores.
pub fn everything(store: &Store) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for (name, target) in store.refs().unwrap() {
        writeln!(out, "{name} {target:?}").unwrap();
    }
    for op in store.operations(None, usize::MAX).unwrap() {
        writeln!(out, "{op:?}").unwrap();
        assert_eq!(store.operation(op.1).unwrap(), (op.0, op.2));
    }
    for node in store.commits(None, usize::MAX).unwrap() {
        let id = node.id;
        writeln!(out, "{node:?} {:?}", store.children(id).unwrap()).unwrap();
        writeln!(out, "{:?}", store.attrs(id).unwrap()).unwrap();
        writeln!(out, "{:?}", store.link_of_commit(id).unwrap()).unwrap();
        assert_eq!(store.commit_node(id).unwrap(), node);
        walk(store, node.commit.tree, &mut out);
    }
    let history = store.path_history(&path("file"), None, usize::MAX).unwrap();
    writeln!(out, "{history:?}").unwrap();
    for step in store.steps_after(None, usize::MAX).unwrap() {
        writeln!(out, "{step:?} {:?}", store.links_of_step(step.id).unwrap()).unwrap();
        assert_eq!(store.step(step.id).unwrap(), Some(step));
    }
    writeln!(out, "{:?}", store.sessions().unwrap()).unwrap();
    out
}

/// Fails at the first line that differs.
pub fn same(found: &str, expected: &str, what: &str) {
    let mut expected_lines = expected.lines();
    for line in found.lines() {
        assert_eq!(Some(line), expected_lines.next(), "{what}");
    }
    assert_eq!(expected_lines.next(), None, "{what}");
}

fn walk(store: &Store, tree: TreeId, out: &mut String) {
    use std::fmt::Write as _;
    for e in &store.tree(tree).unwrap().entries {
        writeln!(out, "{e:?}").unwrap();
        match &e.kind {
            Kind::File { blob, .. } => {
                let content = store.blob(*blob).unwrap();
                writeln!(out, "{} bytes", content.len()).unwrap();
            }
            Kind::Dir(tree) => walk(store, *tree, out),
            _ => {}
        }
    }
}
