//! Values of any shape, for the property tests of the encodings.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use crate::model::{
    Attr, BlobId, Cause, Commit, CommitId, Entry, Kind, OpId, OpKind, Operation, RefChange,
    RefTarget, RepoPath, SessionId, StepId, Time, Tree, TreeId,
};

fn id() -> impl Strategy<Value = [u8; 32]> {
    any::<[u8; 32]>()
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    vec(
        any::<u8>().prop_filter("part of a name", |b| *b != 0 && *b != b'/'),
        1..12,
    )
    .prop_filter("a harmless name", |n| n != b"." && n != b"..")
}

pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    let kind = prop_oneof![
        (id(), any::<u64>()).prop_map(|(b, size)| Kind::File {
            blob: BlobId(b),
            size
        }),
        id().prop_map(|t| Kind::Dir(TreeId(t))),
        vec(any::<u8>(), 0..20).prop_map(Kind::Symlink),
        Just(Kind::Fifo),
        Just(Kind::Socket),
        (any::<bool>(), any::<u64>()).prop_map(|(block, rdev)| Kind::Device { block, rdev }),
        any::<u32>().prop_map(|version| Kind::Unknown { version }),
    ];
    (name(), 0..=0o7777u32, kind).prop_map(|(name, mode, kind)| Entry { name, mode, kind })
}

pub(crate) fn tree() -> impl Strategy<Value = Tree> {
    vec(entry(), 0..12).prop_map(Tree::new)
}

pub(crate) fn path() -> impl Strategy<Value = RepoPath> {
    vec(name(), 0..4).prop_map(|parts| RepoPath::new(parts.join(&b'/')).unwrap())
}

pub(crate) fn commit() -> impl Strategy<Value = Commit> {
    let cause = prop_oneof![
        Just(Cause::Initial),
        Just(Cause::Quiet),
        Just(Cause::Timer),
        Just(Cause::PreTool),
        Just(Cause::PostTool),
        Just(Cause::Manual),
        Just(Cause::Safety),
        Just(Cause::SessionEnd),
        Just(Cause::Found),
        Just(Cause::Merge),
    ];
    let ids = (
        vec(id().prop_map(CommitId), 0..4),
        id(),
        option::of(id()),
        option::of(id()),
        option::of(id()),
        vec(id().prop_map(TreeId), 0..4),
    );
    let rest = (
        any::<i64>(),
        cause,
        ".{0,9}",
        ".{0,9}",
        btree_map(".{0,5}", ".{0,5}", 0..4),
    );
    (ids, rest).prop_map(
        |((parents, tree, git, state, session, conflict), (time, cause, author, message, meta))| {
            Commit {
                parents,
                tree: TreeId(tree),
                git: git.map(TreeId),
                state: state.map(BlobId),
                author,
                session: session.map(SessionId),
                time: Time(time),
                cause,
                message,
                meta,
                conflict,
            }
        },
    )
}

pub(crate) fn attr() -> impl Strategy<Value = Attr> {
    (path(), any::<i64>(), any::<u32>(), any::<u32>()).prop_map(|(path, mtime_ns, uid, gid)| Attr {
        path,
        mtime_ns,
        uid,
        gid,
    })
}

pub(crate) fn operation() -> impl Strategy<Value = Operation> {
    let kind = prop_oneof![
        Just(OpKind::Init),
        Just(OpKind::Checkpoint),
        Just(OpKind::Rollback),
        Just(OpKind::Undo),
        Just(OpKind::Redo),
        Just(OpKind::Label),
        Just(OpKind::Branch),
        Just(OpKind::Switch),
        Just(OpKind::Merge),
        Just(OpKind::Import),
        Just(OpKind::Restore),
        Just(OpKind::OpRestore),
        Just(OpKind::OpRevert),
        Just(OpKind::Gc),
    ];
    let target = || {
        option::of(prop_oneof![
            id().prop_map(|c| RefTarget::Commit(CommitId(c))),
            ".{0,9}".prop_map(RefTarget::Branch),
            id().prop_map(|s| RefTarget::Step(StepId(s))),
        ])
    };
    let change = (".{0,9}", target(), target()).prop_map(|(name, before, after)| RefChange {
        name,
        before,
        after,
    });
    (
        option::of(id()),
        any::<i64>(),
        kind,
        ".{0,9}",
        vec(change, 0..4),
        option::of(id()),
        option::of((id(), id())),
    )
        .prop_map(
            |(parent, time, kind, description, refs, target, workspace)| Operation {
                parent: parent.map(OpId),
                time: Time(time),
                kind,
                description,
                refs,
                target: target.map(OpId),
                workspace: workspace.map(|(a, b)| (CommitId(a), CommitId(b))),
            },
        )
}

/// An encoding with some bytes changed, cut or added: mostly wrong, in the places where it matters.
pub(crate) fn spoiled(encoding: Vec<u8>, edits: &[(u16, u8)], cut: Option<u16>) -> Vec<u8> {
    let mut bytes = encoding;
    for (at, value) in edits {
        let at = usize::from(*at) % (bytes.len() + 1);
        match bytes.get_mut(at) {
            Some(b) => *b = *value,
            None => bytes.push(*value),
        }
    }
    if let Some(cut) = cut {
        bytes.truncate(usize::from(cut) % (bytes.len() + 1));
    }
    bytes
}

pub(crate) fn edits() -> impl Strategy<Value = (Vec<(u16, u8)>, Option<u16>)> {
    (
        vec((any::<u16>(), any::<u8>()), 0..4),
        option::of(any::<u16>()),
    )
}
