//! One record of a pack: a header of 72 bytes and a payload.
//!
//! ```text
//!  0  magic          "BTRr"
//!  4  version  u8    1; of what follows the header. The header itself never changes
//!  5  kind     u8    see `Kind`
//!  6  codec    u8    0 raw, 1 zstd, 2 delta (reserved: a tree against an earlier one)
//!  7  flags    u8    bit 0: part of a publication, counts only when its end record follows
//!                    bit 1: a blob's payload is the list of its chunks
//!  8  raw      u64   length of the payload when decoded
//! 16  stored   u64   length of the payload as it lies here
//! 24  id       [32]  what the record is about
//! 56  body     u64   first 8 bytes of blake3 over the stored payload
//! 64  check    u64   first 8 bytes of blake3 over bytes 0..64, xor the record's place
//! 72  payload
//! ```
//!
//! Integers are little-endian. The place is the pack's number times 2^40 plus the offset of the record: a copy of a
//! record inside another's payload (someone keeps a pack in a project) is therefore never taken for a record when a
//! reader looks for the next one behind a damaged spot. A damaged payload can be stepped over, since the header has a
//! check of its own.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

use super::wire::Bad;

pub(crate) const MAGIC: [u8; 4] = *b"BTRr";
pub(crate) const VERSION: u8 = 1;
pub(crate) const HEADER: usize = 72;

/// Part of a publication.
pub(crate) const GROUPED: u8 = 1;
/// A blob whose payload lists its chunks.
pub(crate) const LISTED: u8 = 2;

/// Below this, compression is not tried.
const SMALL: usize = 96;
/// Up to this length, the space for decoding is taken at once.
const AT_ONCE: u64 = 4 << 20;

/// What a record holds. The numbers are on disk for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A file's content, or the list of its chunks.
    Blob = 1,
    /// A part of a large blob; the id is blake3 of the part.
    Chunk = 2,
    /// A directory.
    Tree = 3,
    /// Times and owners beside a commit; the id is the commit's.
    Attrs = 4,
    /// A commit.
    Commit = 5,
    /// An operation.
    Operation = 6,
    /// Reserved: a ref outside of an operation.
    Ref = 7,
    /// A step as JSON.
    Step = 8,
    /// A link as JSON; the id is the commit's.
    Link = 9,
    /// A session as JSON.
    Session = 10,
    /// Reserved: an agent's own state.
    AgentState = 11,
    /// What is not there any more, and why; the id is that thing's.
    Tombstone = 12,
    /// Reserved: a record of a trace as it was read.
    Event = 13,
    /// The changed paths of a commit; the id is the commit's.
    Changes = 14,
    /// The end of a publication.
    End = 15,
}

impl Kind {
    /// `None` for a kind that this version does not know: readers step over it.
    pub fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Blob,
            2 => Self::Chunk,
            3 => Self::Tree,
            4 => Self::Attrs,
            5 => Self::Commit,
            6 => Self::Operation,
            7 => Self::Ref,
            8 => Self::Step,
            9 => Self::Link,
            10 => Self::Session,
            11 => Self::AgentState,
            12 => Self::Tombstone,
            13 => Self::Event,
            14 => Self::Changes,
            15 => Self::End,
            _ => return None,
        })
    }
}

/// A place in the packs: number of the pack and offset in it. Orders as the records were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Place(pub u64);

impl Place {
    pub fn new(pack: u32, offset: u64) -> Self {
        Self((u64::from(pack) << 40) | (offset & ((1 << 40) - 1)))
    }

    pub fn pack(self) -> u32 {
        (self.0 >> 40) as u32
    }

    pub fn offset(self) -> u64 {
        self.0 & ((1 << 40) - 1)
    }

    pub fn plus(self, n: u64) -> Self {
        Self(self.0 + n)
    }
}

/// A header as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub version: u8,
    pub kind: u8,
    pub codec: u8,
    pub flags: u8,
    pub raw: u64,
    pub stored: u64,
    pub id: [u8; 32],
    pub body: u64,
}

impl Header {
    /// `None` when these bytes are not the header of a record at `place`.
    pub fn parse(bytes: &[u8], place: Place) -> Option<Self> {
        let bytes = bytes.first_chunk::<HEADER>()?;
        if bytes[..4] != MAGIC {
            return None;
        }
        let u64_at = |at: usize| {
            bytes[at..]
                .first_chunk::<8>()
                .map_or(0, |b| u64::from_le_bytes(*b))
        };
        if u64_at(64) != short_hash(&bytes[..64]) ^ place.0 {
            return None;
        }
        let mut id = [0; 32];
        id.copy_from_slice(&bytes[24..56]);
        Some(Self {
            version: bytes[4],
            kind: bytes[5],
            codec: bytes[6],
            flags: bytes[7],
            raw: u64_at(8),
            stored: u64_at(16),
            id,
            body: u64_at(56),
        })
    }

    /// Length of the whole record.
    pub fn len(&self) -> u64 {
        self.stored.saturating_add(HEADER as u64)
    }

    pub fn grouped(&self) -> bool {
        self.flags & GROUPED != 0
    }

    /// Whether `stored` is the payload that was written.
    pub fn covers(&self, stored: &[u8]) -> bool {
        self.stored == stored.len() as u64 && self.body == short_hash(stored)
    }

    /// Undoes the codec.
    pub fn decode(&self, stored: Vec<u8>) -> Result<Vec<u8>, Bad> {
        let raw = match self.codec {
            0 => stored,
            1 if self.raw <= AT_ONCE => decompress(&stored, self.raw as usize)
                .ok_or(Bad("a payload does not decompress"))?,
            1 => {
                use std::io::Read as _;
                let mut raw = Vec::new();
                zstd::stream::read::Decoder::with_buffer(stored.as_slice())
                    .and_then(|d| d.take(self.raw.saturating_add(1)).read_to_end(&mut raw))
                    .map_err(|_| Bad("a payload does not decompress"))?;
                raw
            }
            _ => return Err(Bad("a payload of unknown codec")),
        };
        if raw.len() as u64 == self.raw {
            Ok(raw)
        } else {
            Err(Bad("a payload is not as long as it should be"))
        }
    }
}

fn short_hash(bytes: &[u8]) -> u64 {
    blake3::hash(bytes)
        .as_bytes()
        .first_chunk::<8>()
        .map_or(0, |b| u64::from_le_bytes(*b))
}

thread_local! {
    /// Making a compressor costs more than most contents take to compress.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    /// The same holds for the other direction.
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// At most `raw` bytes.
fn decompress(stored: &[u8], raw: usize) -> Option<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Decompressor::new().ok();
        }
        kept.as_mut()?.decompress(stored, raw).ok()
    })
}

fn compress(raw: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Compressor::new(1).ok();
        }
        kept.as_mut()?.compress(raw).ok()
    })
}

/// A record, complete but for the check, which depends on its place.
pub(crate) fn encode(kind: Kind, flags: u8, id: &[u8; 32], raw: &[u8]) -> Vec<u8> {
    let packed = if raw.len() < SMALL {
        None
    } else {
        // Worth it when it saves a tenth.
        compress(raw).filter(|p| p.len() <= raw.len() - raw.len() / 10)
    };
    let (codec, stored) = match &packed {
        Some(p) => (1, p.as_slice()),
        None => (0, raw),
    };
    let mut out = Vec::with_capacity(HEADER + stored.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[VERSION, kind as u8, codec, flags]);
    out.extend_from_slice(&(raw.len() as u64).to_le_bytes());
    out.extend_from_slice(&(stored.len() as u64).to_le_bytes());
    out.extend_from_slice(id);
    out.extend_from_slice(&short_hash(stored).to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(stored);
    out
}

/// A record of which header and payload were read, to be sealed for another place.
pub(crate) fn assemble(header: &Header, stored: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + stored.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[header.version, header.kind, header.codec, header.flags]);
    out.extend_from_slice(&header.raw.to_le_bytes());
    out.extend_from_slice(&header.stored.to_le_bytes());
    out.extend_from_slice(&header.id);
    out.extend_from_slice(&header.body.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(stored);
    out
}

/// Writes the check for `place` into an encoded record.
pub(crate) fn seal(record: &mut [u8], place: Place) {
    if record.len() >= HEADER {
        let check = short_hash(&record[..64]) ^ place.0;
        record[64..72].copy_from_slice(&check.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn read(record: &[u8], place: Place) -> Option<(Header, Result<Vec<u8>, Bad>)> {
        let header = Header::parse(record, place)?;
        let stored = record[HEADER..].to_vec();
        header
            .covers(&stored)
            .then(|| (header, header.decode(stored)))
    }

    #[test]
    fn vector() {
        let mut record = encode(Kind::Blob, 0, blake3::hash(b"hello").as_bytes(), b"hello");
        seal(&mut record, Place::new(1, 0));
        let hex: String = record.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "425452720101000005000000000000000500000000000000ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200fea8f163db3868292c1e93db562ab95c468656c6c6f"
        );
    }

    #[test]
    fn numbers_of_kinds_are_for_good() {
        for n in 0..=255 {
            assert_eq!(
                Kind::of(n).map(|k| k as u8),
                (1..=15).contains(&n).then_some(n)
            );
        }
    }

    #[test]
    fn a_place_keeps_pack_and_offset_apart() {
        let place = Place::new(3, 5).plus(7);
        assert_eq!((place.pack(), place.offset()), (3, 12));
        assert!(Place::new(1, 1 << 39) < Place::new(2, 0));
    }

    #[test]
    fn any_flipped_bit_is_seen() {
        let place = Place::new(1, 4096);
        for raw in [
            &b"some short content"[..],
            "a line that compresses\n".repeat(20).as_bytes(),
        ] {
            let mut record = encode(Kind::Blob, 0, blake3::hash(raw).as_bytes(), raw);
            seal(&mut record, place);
            assert_eq!(read(&record, place).unwrap().1.unwrap(), raw);
            for bit in 0..record.len() * 8 {
                record[bit / 8] ^= 1 << (bit % 8);
                assert!(read(&record, place).is_none(), "bit {bit}");
                record[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn a_copy_elsewhere_is_not_a_record() {
        let mut record = encode(Kind::Blob, 0, &[0; 32], b"x");
        seal(&mut record, Place::new(1, 100));
        assert!(read(&record, Place::new(1, 101)).is_none());
        assert!(read(&record, Place::new(2, 100)).is_none());
    }

    #[test]
    fn compressed_where_it_pays() {
        let text = "the same line\n".repeat(100);
        assert!(encode(Kind::Blob, 0, &[0; 32], text.as_bytes()).len() < text.len() / 2);
        let mut noise = vec![0; 5000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let record = encode(Kind::Blob, 0, &[0; 32], &noise);
        assert_eq!((record.len(), record[6]), (HEADER + 5000, 0));
    }

    #[test]
    fn a_claimed_length_is_not_believed() {
        let raw = "words and words\n".repeat(100);
        let record = encode(Kind::Blob, 0, &[0; 32], raw.as_bytes());
        let mut sealed = record;
        seal(&mut sealed, Place::default());
        let header = Header::parse(&sealed, Place::default()).unwrap();
        for claimed in [0, 1, 1599, 1601, 5 << 20, u64::MAX] {
            let lying = Header {
                raw: claimed,
                ..header
            };
            assert!(
                lying.decode(sealed[HEADER..].to_vec()).is_err(),
                "{claimed}"
            );
        }
    }

    proptest! {
        #[test]
        fn round_trip(raw: Vec<u8>, repeat in 1..40usize, kind in 1..=15u8, pack in 1..100u32) {
            let raw = raw.repeat(repeat);
            let place = Place::new(pack, 77);
            let mut record = encode(Kind::of(kind).unwrap(), 0, &[9; 32], &raw);
            seal(&mut record, place);
            let (header, read) = read(&record, place).unwrap();
            prop_assert_eq!(header.kind, kind);
            prop_assert_eq!(read.unwrap(), raw);
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>, place: u64) {
            let _ = Header::parse(&bytes, Place(place));
            let header = Header {
                version: 1, kind: 1, codec: 1, flags: 0, raw: 100, stored: 0, id: [0; 32], body: 0,
            };
            let _ = header.decode(bytes);
        }
    }
}
