//! How a commit is written, and its identity; and what travels beside it.
//!
//! ```text
//! commit  = version:u8=1
//!           parents:count id[32]*      the first is the line it continues
//!           tree:[32]
//!           git:opt state:opt session:opt          opt = 0 | 1 id[32]
//!           time:i64                   microseconds since 1970
//!           cause:bytes                the word: `initial`, `quiet`, ...
//!           author:bytes message:bytes
//!           meta:count (key:bytes value:bytes)*    ascending by key
//!           conflict:count tree[32]*   empty, or an odd number of terms
//! attrs   = version:u8=1 count (path:bytes mtime_ns:i64 uid:u32 gid:u32)*
//! changes = version:u8=1 count (path:bytes (0 | 1 entry))*      entry as in a tree; 0 = removed
//! ```
//!
//! Integers are little-endian, `count` is a u32, `bytes` are counted. A commit's id is blake3 in key-derivation mode
//! with the context `backtrail 2026 commit id` over its encoding. Attributes (what a tree leaves out) and changes
//! (what the history of a path is made from) are records of their own under the commit's id: they do not take part
//! in its identity.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as WordError;

use crate::model::{
    Attr, BlobId, Cause, Commit, CommitId, Entry, RepoPath, SessionId, Time, TreeId,
};

use super::tree_code::{decode_entry, encode_entry};
use super::wire::{Bad, In, Out};

const CONTEXT: &str = "backtrail 2026 commit id";

/// The id of a commit.
#[must_use]
pub fn commit_id(commit: &Commit) -> CommitId {
    id_of(&encode(commit))
}

pub(crate) fn id_of(encoding: &[u8]) -> CommitId {
    blake3::Hasher::new_derive_key(CONTEXT)
        .update(encoding)
        .finalize()
        .into()
}

pub(crate) fn encode(c: &Commit) -> Vec<u8> {
    let mut out = Out::default();
    out.u8(1);
    out.count(c.parents.len());
    for p in &c.parents {
        out.raw(&p.0);
    }
    out.raw(&c.tree.0);
    out.opt(c.git.as_ref().map(|t| &t.0));
    out.opt(c.state.as_ref().map(|b| &b.0));
    out.opt(c.session.as_ref().map(|s| &s.0));
    out.i64(c.time.0);
    out.bytes(c.cause.word().as_bytes());
    out.bytes(c.author.as_bytes());
    out.bytes(c.message.as_bytes());
    out.count(c.meta.len());
    for (k, v) in &c.meta {
        out.bytes(k.as_bytes());
        out.bytes(v.as_bytes());
    }
    out.count(c.conflict.len());
    for t in &c.conflict {
        out.raw(&t.0);
    }
    out.0
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Commit, Bad> {
    let mut r = In::new(bytes);
    r.version()?;
    let n = r.count(32)?;
    let parents = (0..n)
        .map(|_| Ok(CommitId(r.id()?)))
        .collect::<Result<_, Bad>>()?;
    let tree = TreeId(r.id()?);
    let git = r.opt()?.map(TreeId);
    let state = r.opt()?.map(BlobId);
    let session = r.opt()?.map(SessionId);
    let time = Time(r.i64()?);
    let cause = word::<Cause>(r.bytes()?)?;
    let author = r.text()?;
    let message = r.text()?;
    let mut meta = BTreeMap::new();
    for _ in 0..r.count(8)? {
        let key = r.text()?;
        if meta.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(Bad("a commit's metadata is not in order"));
        }
        meta.insert(key, r.text()?);
    }
    let n = r.count(32)?;
    let conflict = (0..n)
        .map(|_| Ok(TreeId(r.id()?)))
        .collect::<Result<_, Bad>>()?;
    r.end()?;
    Ok(Commit {
        parents,
        tree,
        git,
        state,
        author,
        session,
        time,
        cause,
        message,
        meta,
        conflict,
    })
}

/// One of the words of a closed list.
pub(crate) fn word<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Bad> {
    let text = std::str::from_utf8(bytes).map_err(|_| Bad("a word is not UTF-8"))?;
    let de: serde::de::value::StrDeserializer<'a, WordError> = text.into_deserializer();
    T::deserialize(de).map_err(|_| Bad("a word that this version does not know"))
}

pub(crate) fn encode_attrs(attrs: &[Attr]) -> Vec<u8> {
    let mut out = Out::default();
    out.u8(1);
    out.count(attrs.len());
    for a in attrs {
        out.bytes(a.path.as_bytes());
        out.i64(a.mtime_ns);
        out.u32(a.uid);
        out.u32(a.gid);
    }
    out.0
}

pub(crate) fn decode_attrs(bytes: &[u8]) -> Result<Vec<Attr>, Bad> {
    let mut r = In::new(bytes);
    r.version()?;
    let n = r.count(20)?;
    let mut attrs = Vec::new();
    for _ in 0..n {
        attrs.push(Attr {
            path: path(&mut r)?,
            mtime_ns: r.i64()?,
            uid: r.u32()?,
            gid: r.u32()?,
        });
    }
    r.end()?;
    Ok(attrs)
}

/// A path with what it became; `None` when it was removed.
pub(crate) type PathChange = (RepoPath, Option<Entry>);

pub(crate) fn encode_changes(changes: &[PathChange]) -> Vec<u8> {
    let mut out = Out::default();
    out.u8(1);
    out.count(changes.len());
    for (path, entry) in changes {
        out.bytes(path.as_bytes());
        match entry {
            None => out.u8(0),
            Some(e) => {
                out.u8(1);
                encode_entry(&mut out, e);
            }
        }
    }
    out.0
}

pub(crate) fn decode_changes(bytes: &[u8]) -> Result<Vec<PathChange>, Bad> {
    let mut r = In::new(bytes);
    r.version()?;
    let n = r.count(5)?;
    let mut changes = Vec::new();
    for _ in 0..n {
        let path = path(&mut r)?;
        let entry = match r.u8()? {
            0 => None,
            1 => Some(decode_entry(&mut r)?),
            _ => return Err(Bad("neither removed nor present")),
        };
        changes.push((path, entry));
    }
    r.end()?;
    Ok(changes)
}

fn path(r: &mut In<'_>) -> Result<RepoPath, Bad> {
    RepoPath::new(r.bytes()?).map_err(|_| Bad("a path leads out of the project"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;
    use crate::store::testing;

    #[test]
    fn vector() {
        let commit = Commit {
            parents: vec![CommitId([0x11; 32])],
            tree: TreeId([0x22; 32]),
            git: None,
            state: Some(BlobId([0x33; 32])),
            author: "claude".into(),
            session: None,
            time: Time(1_760_000_000_123_456),
            cause: Cause::PostTool,
            message: "edit".into(),
            meta: BTreeMap::from([("k".into(), "v".into())]),
            conflict: Vec::new(),
        };
        let hex: String = encode(&commit).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "010100000011111111111111111111111111111111111111111111111111111111111111112222222222222222222222222222222222222222222222222222222222222222000133333333333333333333333333333333333333333333333333333333333333330040e2cfeeb540060009000000706f73742d746f6f6c06000000636c61756465040000006564697401000000010000006b010000007600000000"
        );
        assert_eq!(
            commit_id(&commit).to_hex(),
            "65832eb63e3321456760b22dfb74610ff3774ea2d6dd66bcf52f6d7f7b07aa87"
        );
    }

    #[test]
    fn parents_and_time_make_another_commit() {
        let mut commit = decode(&encode(&Commit {
            parents: Vec::new(),
            tree: TreeId([1; 32]),
            git: None,
            state: None,
            author: String::new(),
            session: None,
            time: Time(0),
            cause: Cause::Quiet,
            message: String::new(),
            meta: BTreeMap::new(),
            conflict: Vec::new(),
        }))
        .unwrap();
        let first = commit_id(&commit);
        commit.parents.push(first);
        let second = commit_id(&commit);
        commit.time = Time(1);
        assert!(first != second && second != commit_id(&commit));
    }

    proptest! {
        #[test]
        fn round_trip(
            commit in testing::commit(),
            attrs in proptest::collection::vec(testing::attr(), 0..5),
            changes in proptest::collection::vec(
                (testing::path(), proptest::option::of(testing::entry())), 0..5),
        ) {
            prop_assert_eq!(decode(&encode(&commit)).unwrap(), commit);
            prop_assert_eq!(decode_attrs(&encode_attrs(&attrs)).unwrap(), attrs);
            prop_assert_eq!(decode_changes(&encode_changes(&changes)).unwrap(), changes);
        }

        #[test]
        fn canonical(
            commit in testing::commit(),
            change in (testing::path(), proptest::option::of(testing::entry())),
            attr in testing::attr(),
            (edits, cut) in testing::edits(),
        ) {
            let bytes = testing::spoiled(encode(&commit), &edits, cut);
            if let Ok(read) = decode(&bytes) {
                prop_assert_eq!(encode(&read), bytes);
            }
            let bytes = testing::spoiled(encode_changes(&[change]), &edits, cut);
            if let Ok(read) = decode_changes(&bytes) {
                prop_assert_eq!(encode_changes(&read), bytes);
            }
            let bytes = testing::spoiled(encode_attrs(&[attr]), &edits, cut);
            if let Ok(read) = decode_attrs(&bytes) {
                prop_assert_eq!(encode_attrs(&read), bytes);
            }
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
            let _ = decode_attrs(&bytes);
            let _ = decode_changes(&bytes);
        }
    }
}
