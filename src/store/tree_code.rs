//! How a directory is written, and its identity.
//!
//! ```text
//! tree  = version:u8=1 count:u32 entry*            entries strictly ascending by name bytes
//! entry = name:bytes mode:u32 kind:u8 rest         bytes = length:u32 then as many bytes
//! rest  = 1 file     blob:[32] size:u64
//!         2 dir      tree:[32]
//!         3 symlink  target:bytes
//!         4 fifo
//!         5 socket
//!         6 char device   rdev:u64
//!         7 block device  rdev:u64
//!         8 a file whose content is not known   version:u32
//! ```
//!
//! Integers are little-endian. A tree's id is blake3 in key-derivation mode with the context
//! `backtrail 2026 tree id` over that encoding; it covers names, kinds, modes, sizes, link targets and content (by
//! id), never times. The empty tree encodes to `0100000000`.

use crate::model::{BlobId, Entry, Kind, Tree, TreeId};

use super::wire::{Bad, In, Out};

const CONTEXT: &str = "backtrail 2026 tree id";

/// The id of a tree.
#[must_use]
pub fn tree_id(tree: &Tree) -> TreeId {
    id_of(&encode(tree))
}

pub(crate) fn id_of(encoding: &[u8]) -> TreeId {
    blake3::Hasher::new_derive_key(CONTEXT)
        .update(encoding)
        .finalize()
        .into()
}

pub(crate) fn encode(tree: &Tree) -> Vec<u8> {
    let mut out = Out(Vec::with_capacity(16 + tree.entries.len() * 64));
    out.u8(1);
    out.count(tree.entries.len());
    for e in &tree.entries {
        encode_entry(&mut out, e);
    }
    out.0
}

pub(crate) fn encode_entry(out: &mut Out, e: &Entry) {
    out.bytes(&e.name);
    out.u32(e.mode);
    match &e.kind {
        Kind::File { blob, size } => {
            out.u8(1);
            out.raw(&blob.0);
            out.u64(*size);
        }
        Kind::Dir(tree) => {
            out.u8(2);
            out.raw(&tree.0);
        }
        Kind::Symlink(target) => {
            out.u8(3);
            out.bytes(target);
        }
        Kind::Fifo => out.u8(4),
        Kind::Socket => out.u8(5),
        Kind::Device { block, rdev } => {
            out.u8(if *block { 7 } else { 6 });
            out.u64(*rdev);
        }
        Kind::Unknown { version } => {
            out.u8(8);
            out.u32(*version);
        }
    }
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Tree, Bad> {
    let mut r = In::new(bytes);
    r.version()?;
    let n = r.count(9)?;
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..n {
        let e = decode_entry(&mut r)?;
        if entries.last().is_some_and(|last| last.name >= e.name) {
            return Err(Bad("a tree's names are not in order"));
        }
        entries.push(e);
    }
    r.end()?;
    Ok(Tree { entries })
}

pub(crate) fn decode_entry(r: &mut In<'_>) -> Result<Entry, Bad> {
    let e = Entry {
        name: r.bytes()?.to_vec(),
        mode: r.u32()?,
        kind: match r.u8()? {
            1 => Kind::File {
                blob: BlobId(r.id()?),
                size: r.u64()?,
            },
            2 => Kind::Dir(TreeId(r.id()?)),
            3 => Kind::Symlink(r.bytes()?.to_vec()),
            4 => Kind::Fifo,
            5 => Kind::Socket,
            k @ (6 | 7) => Kind::Device {
                block: k == 7,
                rdev: r.u64()?,
            },
            8 => Kind::Unknown { version: r.u32()? },
            _ => return Err(Bad("an entry of unknown kind")),
        },
    };
    check_entry(&e).map_err(Bad)?;
    Ok(e)
}

/// What every entry keeps to, so that a stored name can never lead out of its directory.
fn check_entry(e: &Entry) -> Result<(), &'static str> {
    if e.name.is_empty() || e.name == b"." || e.name == b".." {
        return Err("an entry's name is empty, '.' or '..'");
    }
    if e.name.iter().any(|b| *b == b'/' || *b == 0) {
        return Err("an entry's name holds '/' or NUL");
    }
    if e.mode > 0o7777 {
        return Err("an entry's mode is more than permission bits");
    }
    Ok(())
}

/// Whether a tree may be stored: names sorted, unique and harmless.
pub(crate) fn check(tree: &Tree) -> Result<(), &'static str> {
    for e in &tree.entries {
        check_entry(e)?;
    }
    if !tree.entries.is_sorted_by(|a, b| a.name < b.name) {
        return Err("a tree's names are not sorted and unique");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;
    use crate::store::testing;

    #[test]
    fn vector() {
        let tree = Tree::new(vec![
            Entry {
                name: b"f".to_vec(),
                mode: 0o644,
                kind: Kind::File {
                    blob: BlobId::of(b"hello"),
                    size: 5,
                },
            },
            Entry {
                name: b"l".to_vec(),
                mode: 0o777,
                kind: Kind::Symlink(b"f".to_vec()),
            },
        ]);
        let hex: String = encode(&tree).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "01020000000100000066a401000001ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f0500000000000000010000006cff010000030100000066"
        );
        assert_eq!(
            tree_id(&tree).to_hex(),
            "5babcdd980191358ffab7be2922bbd746d23c57af68da9d3d7d1044615e84d05"
        );
        assert_eq!(
            tree_id(&Tree::default()).to_hex(),
            "f82bb3f819b40cc46e374b55002e8ca7841148f3ae07f8d93b03bba603c59936"
        );
    }

    #[test]
    fn no_entry_can_lead_out() {
        for name in ["", ".", "..", "a/b", "/", "a\0"] {
            let tree = Tree {
                entries: vec![Entry {
                    name: name.into(),
                    mode: 0,
                    kind: Kind::Fifo,
                }],
            };
            assert!(decode(&encode(&tree)).is_err(), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(tree in testing::tree()) {
            prop_assert!(check(&tree).is_ok());
            prop_assert_eq!(decode(&encode(&tree)).unwrap(), tree);
        }

        // What is accepted is exactly what would have been written; the rest is refused, and nothing panics.
        #[test]
        fn canonical(tree in testing::tree(), (edits, cut) in testing::edits()) {
            let bytes = testing::spoiled(encode(&tree), &edits, cut);
            if let Ok(read) = decode(&bytes) {
                prop_assert_eq!(encode(&read), bytes);
            }
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
