//! Tombstones: what is not in the store any more, and why.
//!
//! ```text
//! tombstone = version:u8=1 what:u8 why:u8 time:i64 note:bytes
//! what      = 1 blob   2 chunk   3 tree   5 commit (its content; the commit itself stays in the graph, unless it is lost)
//!             6 operation   8 step
//! why       = 0 nothing: it is back   1 deleted   2 thinned   3 forgotten   4 lost
//! ```
//!
//! The record's id is that of the thing. A tombstone is written before anything goes, so that a crash in between leaves
//! content that is still there, never a gap that nobody can explain. The newest of an id counts.

use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use crate::model::{BlobId, CommitId, OpId, StepId, Time, TreeId};

use super::Store;
use super::error::{Error, Result};
use super::query::corrupt;
use super::record::Kind;
use super::tables::{self, Key, object_key};
use super::wire::{Bad, In, Out};

/// Longest note that is kept.
const NOTE: usize = 4 << 10;

/// Why something is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// It is there again.
    Back,
    /// A person removed the state.
    Deleted,
    /// The policy of the garbage collection let it go.
    Thinned,
    /// A person had the content removed from everywhere.
    Forgotten,
    /// The disk damaged it, and it could not be saved.
    Lost,
}

impl Why {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Back,
            1 => Self::Deleted,
            2 => Self::Thinned,
            3 => Self::Forgotten,
            4 => Self::Lost,
            _ => return None,
        })
    }

    fn byte(self) -> u8 {
        match self {
            Self::Back => 0,
            Self::Deleted => 1,
            Self::Thinned => 2,
            Self::Forgotten => 3,
            Self::Lost => 4,
        }
    }

    /// The word in messages and JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Back => "back",
            Self::Deleted => "deleted",
            Self::Thinned => "thinned",
            Self::Forgotten => "forgotten",
            Self::Lost => "lost",
        }
    }
}

/// What a tombstone is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gone {
    /// A file's content.
    Blob(BlobId),
    /// A part of a large content.
    Chunk(BlobId),
    /// A directory.
    Tree(TreeId),
    /// The content of a commit, which itself stays; all of it when it is lost.
    Commit(CommitId),
    /// An operation.
    Operation(OpId),
    /// A step.
    Step(StepId),
}

impl Gone {
    pub(crate) fn key(self) -> Key {
        match self {
            Self::Blob(id) => object_key(Kind::Blob, &id.0),
            Self::Chunk(id) => object_key(Kind::Chunk, &id.0),
            Self::Tree(id) => object_key(Kind::Tree, &id.0),
            Self::Commit(id) => object_key(Kind::Commit, &id.0),
            Self::Operation(id) => object_key(Kind::Operation, &id.0),
            Self::Step(id) => object_key(Kind::Step, &id.0),
        }
    }

    /// The word for it in messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Blob(_) => "blob",
            Self::Chunk(_) => "chunk",
            Self::Tree(_) => "tree",
            Self::Commit(_) => "commit",
            Self::Operation(_) => "operation",
            Self::Step(_) => "step",
        }
    }

    pub(crate) fn of(key: &Key) -> Option<Self> {
        let [kind, id @ ..] = *key;
        Some(match Kind::of(kind)? {
            Kind::Blob => Self::Blob(BlobId(id)),
            Kind::Chunk => Self::Chunk(BlobId(id)),
            Kind::Tree => Self::Tree(TreeId(id)),
            Kind::Commit => Self::Commit(CommitId(id)),
            Kind::Operation => Self::Operation(OpId(id)),
            Kind::Step => Self::Step(StepId(id)),
            _ => return None,
        })
    }
}

/// That something is not there any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tomb {
    /// What.
    pub gone: Gone,
    /// Why.
    pub why: Why,
    /// Since when.
    pub time: Time,
    /// A line for people.
    pub note: String,
}

pub(crate) fn encode(t: &Tomb) -> Vec<u8> {
    let mut out = Out::default();
    out.u8(1);
    out.u8(t.gone.key()[0]);
    out.u8(t.why.byte());
    out.i64(t.time.0);
    let mut end = t.note.len().min(NOTE);
    while !t.note.is_char_boundary(end) {
        end -= 1;
    }
    out.bytes(t.note.get(..end).unwrap_or_default().as_bytes());
    out.0
}

pub(crate) fn decode(id: &[u8; 32], bytes: &[u8]) -> Result<Tomb, Bad> {
    let mut r = In::new(bytes);
    r.version()?;
    let mut key = [0; 33];
    key[0] = r.u8()?;
    key[1..].copy_from_slice(id);
    let gone = Gone::of(&key).ok_or(Bad("a tombstone of an unknown kind of thing"))?;
    let why = Why::of(r.u8()?).ok_or(Bad("a tombstone for an unknown reason"))?;
    let tomb = Tomb {
        gone,
        why,
        time: Time(r.i64()?),
        note: r.text()?,
    };
    r.end()?;
    Ok(tomb)
}

impl Store {
    /// Why something is not there any more, if that was meant.
    pub fn tomb(&self, gone: Gone) -> Result<Option<Tomb>> {
        let key = gone.key();
        self.core.index.read(|tx| {
            let tombs = tx.open_table(tables::TOMBS)?;
            let Some(value) = tombs.get(&key)? else {
                return Ok(None);
            };
            let [_, id @ ..] = &key;
            decode(id, value.value()).map(Some).map_err(corrupt)
        })
    }

    /// All tombstones.
    pub fn tombs(&self) -> Result<Vec<Tomb>> {
        self.core.index.read(|tx| {
            let mut out = Vec::new();
            for row in tx.open_table(tables::TOMBS)?.iter()? {
                let (key, value) = row?;
                let [_, id @ ..] = key.value();
                out.push(decode(id, value.value()).map_err(corrupt)?);
            }
            Ok(out)
        })
    }

    /// The error for an object that the index does not know: it says whether that was meant.
    pub(super) fn absent(&self, what: &'static str, gone: Gone) -> Error {
        let id = BlobId(gone.key()[1..].try_into().unwrap_or_default()).to_hex();
        match self.tomb(gone) {
            Ok(Some(tomb)) => Error::Gone {
                what,
                id,
                why: tomb.why.word(),
                when: tomb.time.local(),
            },
            Ok(None) if matches!(gone, Gone::Commit(_)) => Error::NotFound { what, id },
            // Nothing is kept of what went along with a state, so this is all that can be said.
            Ok(None) if self.has_tombs() => Error::Gone {
                what,
                id,
                why: "removed with older states",
                when: String::new(),
            },
            _ => Error::NotFound { what, id },
        }
    }

    fn has_tombs(&self) -> bool {
        self.core
            .index
            .read(|tx| Ok(tx.open_table(tables::TOMBS)?.first()?.is_some()))
            .unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;
    use crate::store::testing;

    fn tomb() -> impl Strategy<Value = Tomb> {
        let gone = prop_oneof![
            any::<[u8; 32]>().prop_map(|i| Gone::Blob(BlobId(i))),
            any::<[u8; 32]>().prop_map(|i| Gone::Chunk(BlobId(i))),
            any::<[u8; 32]>().prop_map(|i| Gone::Tree(TreeId(i))),
            any::<[u8; 32]>().prop_map(|i| Gone::Commit(CommitId(i))),
            any::<[u8; 32]>().prop_map(|i| Gone::Operation(OpId(i))),
            any::<[u8; 32]>().prop_map(|i| Gone::Step(StepId(i))),
        ];
        let why = (0u8..5).prop_map(|b| Why::of(b).unwrap());
        (gone, why, any::<i64>(), ".{0,20}").prop_map(|(gone, why, time, note)| Tomb {
            gone,
            why,
            time: Time(time),
            note,
        })
    }

    fn id(t: &Tomb) -> [u8; 32] {
        t.gone.key()[1..].try_into().unwrap()
    }

    proptest! {
        #[test]
        fn round_trip(t in tomb()) {
            prop_assert_eq!(decode(&id(&t), &encode(&t)).unwrap(), t);
        }

        #[test]
        fn canonical(t in tomb(), (edits, cut) in testing::edits()) {
            let bytes = testing::spoiled(encode(&t), &edits, cut);
            if let Ok(read) = decode(&id(&t), &bytes) {
                prop_assert_eq!(encode(&read), bytes);
            }
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(id: [u8; 32], bytes: Vec<u8>) {
            let _ = decode(&id, &bytes);
        }
    }

    #[test]
    fn a_long_note_is_cut_between_characters() {
        let t = Tomb {
            gone: Gone::Blob(BlobId([1; 32])),
            why: Why::Deleted,
            time: Time(0),
            note: "é".repeat(NOTE),
        };
        assert_eq!(decode(&id(&t), &encode(&t)).unwrap().note.len(), NOTE);
    }
}
