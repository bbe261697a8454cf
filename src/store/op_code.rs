//! How an operation is written, and its identity.
//!
//! ```text
//! operation = version:u8=1
//!             parent:opt               the operation before
//!             time:i64 kind:bytes description:bytes
//!             refs:count (name:bytes before:target after:target)*
//!             target:opt               what undo or redo reversed
//!             workspace: 0 | 1 before[32] after[32]
//! target    = 0 | 1 commit[32] | 2 branch:bytes | 3 step[32]
//! ```
//!
//! Same primitives as a commit's. An operation's id is blake3 in key-derivation mode with the context
//! `backtrail 2026 operation id` over its encoding.

use crate::model::{CommitId, OpId, OpKind, Operation, RefChange, RefTarget, StepId, Time};

use super::commit_code::word;
use super::wire::{Bad, In, Out};

const CONTEXT: &str = "backtrail 2026 operation id";

pub(crate) fn id_of(encoding: &[u8]) -> OpId {
    blake3::Hasher::new_derive_key(CONTEXT)
        .update(encoding)
        .finalize()
        .into()
}

pub(crate) fn encode(op: &Operation) -> Vec<u8> {
    let mut out = Out::default();
    out.u8(1);
    out.opt(op.parent.as_ref().map(|p| &p.0));
    out.i64(op.time.0);
    out.bytes(op.kind.word().as_bytes());
    out.bytes(op.description.as_bytes());
    out.count(op.refs.len());
    for r in &op.refs {
        out.bytes(r.name.as_bytes());
        encode_target(&mut out, r.before.as_ref());
        encode_target(&mut out, r.after.as_ref());
    }
    out.opt(op.target.as_ref().map(|t| &t.0));
    match &op.workspace {
        None => out.u8(0),
        Some((before, after)) => {
            out.u8(1);
            out.raw(&before.0);
            out.raw(&after.0);
        }
    }
    out.0
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Operation, Bad> {
    let mut r = In::new(bytes);
    r.version()?;
    let parent = r.opt()?.map(OpId);
    let time = Time(r.i64()?);
    let kind = word::<OpKind>(r.bytes()?)?;
    let description = r.text()?;
    let n = r.count(6)?;
    let mut refs = Vec::new();
    for _ in 0..n {
        refs.push(RefChange {
            name: r.text()?,
            before: decode_target(&mut r)?,
            after: decode_target(&mut r)?,
        });
    }
    let target = r.opt()?.map(OpId);
    let workspace = match r.u8()? {
        0 => None,
        1 => Some((CommitId(r.id()?), CommitId(r.id()?))),
        _ => return Err(Bad("neither absent nor present")),
    };
    r.end()?;
    Ok(Operation {
        parent,
        time,
        kind,
        description,
        refs,
        target,
        workspace,
    })
}

pub(crate) fn encode_target(out: &mut Out, target: Option<&RefTarget>) {
    match target {
        None => out.u8(0),
        Some(RefTarget::Commit(c)) => {
            out.u8(1);
            out.raw(&c.0);
        }
        Some(RefTarget::Branch(name)) => {
            out.u8(2);
            out.bytes(name.as_bytes());
        }
        Some(RefTarget::Step(s)) => {
            out.u8(3);
            out.raw(&s.0);
        }
    }
}

pub(crate) fn decode_target(r: &mut In<'_>) -> Result<Option<RefTarget>, Bad> {
    Ok(match r.u8()? {
        0 => None,
        1 => Some(RefTarget::Commit(CommitId(r.id()?))),
        2 => Some(RefTarget::Branch(r.text()?)),
        3 => Some(RefTarget::Step(StepId(r.id()?))),
        _ => return Err(Bad("a ref's target of unknown kind")),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;
    use crate::store::testing;

    #[test]
    fn vector() {
        let op = Operation {
            parent: None,
            time: Time(-1),
            kind: OpKind::Rollback,
            description: "to 3".into(),
            refs: vec![RefChange {
                name: "branch/main".into(),
                before: Some(RefTarget::Commit(CommitId([0x11; 32]))),
                after: Some(RefTarget::Branch("x".into())),
            }],
            target: Some(OpId([0x22; 32])),
            workspace: None,
        };
        let hex: String = encode(&op).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "0100ffffffffffffffff08000000726f6c6c6261636b04000000746f2033010000000b0000006272616e63682f6d61696e01111111111111111111111111111111111111111111111111111111111111111102010000007801222222222222222222222222222222222222222222222222222222222222222200"
        );
        assert_eq!(
            id_of(&encode(&op)).to_hex(),
            "f86522066b43aab55356fb868469f22e0d6fc8b6dabc27fe4cac99c800a90aa5"
        );
    }

    proptest! {
        #[test]
        fn round_trip(op in testing::operation()) {
            prop_assert_eq!(decode(&encode(&op)).unwrap(), op);
        }

        #[test]
        fn canonical(op in testing::operation(), (edits, cut) in testing::edits()) {
            let bytes = testing::spoiled(encode(&op), &edits, cut);
            if let Ok(read) = decode(&bytes) {
                prop_assert_eq!(encode(&read), bytes);
            }
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
            let _ = decode_target(&mut In::new(&bytes));
        }
    }
}
