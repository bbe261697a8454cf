//! Blobs and trees: putting and reading them.
//!
//! A blob above 1 MiB is cut into chunks by content (fastcdc), each stored once whatever blobs it occurs in; the blob's
//! record then lists them:
//!
//! ```text
//! list = length:u64 count:u32 (chunk:[32] length:u32)*
//! ```
//!
//! Its id is blake3 of the whole content all the same, so chunking can change without any id changing.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::{Arc, PoisonError};

use fastcdc::v2020::StreamCDC;

use crate::model::{BlobId, Tree, TreeId};

use super::core::Core;
use super::error::{Error, Result};
use super::record::{self, Kind, LISTED, Place};
use super::tables::{Key, Loc, object_key};
use super::tomb::Gone;
use super::wire::{Bad, In, Out};
use super::{PENDING, Store, tree_code};

/// Up to this length a blob is one record.
pub(crate) const WHOLE: usize = 1 << 20;
const CHUNK_MIN: usize = 256 << 10;
const CHUNK_AVERAGE: usize = 512 << 10;
const CHUNK_MAX: usize = 1 << 20;

/// A chunk in a blob's list.
pub(crate) struct Part {
    pub id: [u8; 32],
    pub offset: u64,
    pub len: u64,
}

/// Reads a list; the parts follow each other without gap.
pub(crate) fn decode_list(raw: &[u8]) -> Result<(u64, Vec<Part>), Bad> {
    let mut r = In::new(raw);
    let total = r.u64()?;
    let mut parts = Vec::new();
    let mut offset = 0;
    for _ in 0..r.count(36)? {
        let id = r.id()?;
        let len = u64::from(r.u32()?);
        parts.push(Part { id, offset, len });
        offset += len;
    }
    r.end()?;
    if offset == total {
        Ok((total, parts))
    } else {
        Err(Bad("a blob's chunks do not add up to its length"))
    }
}

impl Core {
    /// The payload of the record of `key`, last seen at `loc`. Packs are rewritten while they are read: what is not there
    /// any more is looked for where it went.
    /// A record as it lies; `None` where there is none.
    pub(super) fn as_stored(&self, key: &Key) -> Result<Option<(record::Header, Vec<u8>)>> {
        let mut last = None;
        while let Some(loc) = self.find(key)? {
            let read = self.packs.read_stored(loc.place, loc.len);
            match read {
                Ok((header, stored)) if header.kind == key[0] && header.id == key[1..] => {
                    return Ok(Some((header, stored)));
                }
                // It may have been moved while it was looked at.
                read if last == Some(loc.place) => {
                    return read.map(|_| None);
                }
                _ => last = Some(loc.place),
            }
        }
        Ok(None)
    }

    pub(super) fn fetch(&self, key: &Key, mut loc: Loc, hint: u64) -> Result<(Loc, Vec<u8>)> {
        loop {
            let read = self.packs.read(loc.place, hint);
            match read {
                Ok((header, raw)) if header.kind == key[0] && header.id == key[1..] => {
                    return Ok((loc, raw));
                }
                read => match self.find(key)? {
                    Some(now) if now.place != loc.place => loc = now,
                    _ => {
                        return Err(read.err().unwrap_or_else(|| Error::Damaged {
                            path: self.packs.path(loc.place.pack()),
                            offset: loc.place.offset(),
                            what: "another record than the index says".to_owned(),
                        }));
                    }
                },
            }
        }
    }

    fn put(&self, kind: Kind, flags: u8, id: &[u8; 32], raw: &[u8], len: u64) -> Result<()> {
        let record = record::encode(kind, flags, id, raw);
        let key = object_key(kind, id);
        let listed = flags & LISTED != 0;
        self.packs.append(record, |place| {
            self.remember(key, Loc { place, len, listed });
        })?;
        let waiting = self
            .pending
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .fresh
            .len();
        if waiting >= PENDING {
            // Whoever has the lock (a publication) will take them along.
            if let Some(writer) = self.try_writer() {
                self.index_objects(&writer)?;
            }
        }
        Ok(())
    }
}

impl Store {
    /// Stores a file's content. Nothing is written if it is there already.
    pub fn put_blob(&self, content: &[u8]) -> Result<BlobId> {
        if content.len() > WHOLE {
            return Ok(self.put_chunked(&mut io::Cursor::new(content))?.0);
        }
        let id = BlobId::of(content);
        self.core.ready()?;
        if !self.core.has(object_key(Kind::Blob, &id.0))? {
            let len = content.len() as u64;
            self.core.put(Kind::Blob, 0, &id.0, content, len)?;
        }
        Ok(id)
    }

    /// Stores what `reader` gives, in bounded memory. Returns its id and length.
    pub fn put_blob_from(&self, reader: &mut dyn Read, size_hint: u64) -> Result<(BlobId, u64)> {
        let mut head = Vec::with_capacity(size_hint.min(WHOLE as u64) as usize + 1);
        reader
            .take(WHOLE as u64 + 1)
            .read_to_end(&mut head)
            .map_err(|e| Error::io("read a file's content for", &self.dir, e))?;
        if head.len() <= WHOLE {
            return Ok((self.put_blob(&head)?, head.len() as u64));
        }
        self.put_chunked(&mut io::Cursor::new(head).chain(reader))
    }

    fn put_chunked(&self, reader: &mut dyn Read) -> Result<(BlobId, u64)> {
        self.core.ready()?;
        let mut hasher = blake3::Hasher::new();
        let mut parts = Out::default();
        let mut count = 0;
        let mut total = 0u64;
        for chunk in StreamCDC::new(reader, CHUNK_MIN, CHUNK_AVERAGE, CHUNK_MAX) {
            let chunk = chunk
                .map_err(|e| Error::io("read a file's content for", &self.dir, e.into()))?
                .data;
            hasher.update(&chunk);
            let id = blake3::hash(&chunk);
            let len = chunk.len() as u64;
            if !self.core.has(object_key(Kind::Chunk, id.as_bytes()))? {
                self.core.put(Kind::Chunk, 0, id.as_bytes(), &chunk, len)?;
            }
            parts.raw(id.as_bytes());
            parts.u32(chunk.len() as u32);
            count += 1;
            total += len;
        }
        let id = BlobId::from(hasher.finalize());
        if !self.core.has(object_key(Kind::Blob, &id.0))? {
            let mut list = Out::default();
            list.u64(total);
            list.count(count);
            list.raw(&parts.0);
            self.core.put(Kind::Blob, LISTED, &id.0, &list.0, total)?;
        }
        Ok((id, total))
    }

    /// Whether a blob is in the store.
    pub fn has_blob(&self, id: BlobId) -> Result<bool> {
        Ok(self.core.find(&object_key(Kind::Blob, &id.0))?.is_some())
    }

    pub(super) fn blob_loc(&self, id: BlobId) -> Result<Loc> {
        self.core
            .find(&object_key(Kind::Blob, &id.0))?
            .ok_or_else(|| self.absent("blob", Gone::Blob(id)))
    }

    /// A blob's length.
    pub fn blob_len(&self, id: BlobId) -> Result<u64> {
        Ok(self.blob_loc(id)?.len)
    }

    /// A blob's whole content, its hash checked.
    pub fn blob(&self, id: BlobId) -> Result<Vec<u8>> {
        let loc = self.blob_loc(id)?;
        if !loc.listed {
            return self.object(Kind::Blob, &id.0, loc);
        }
        let mut content = Vec::new();
        self.write_blob_to(id, &mut content)?;
        Ok(content)
    }

    /// Writes a blob's content to `out`, checking its hash on the way: an error at the end means that what was
    /// written is not to be trusted.
    pub fn write_blob_to(&self, id: BlobId, out: &mut dyn Write) -> Result<u64> {
        let give = |e| Error::io("write a blob's content from", &self.dir, e);
        let loc = self.blob_loc(id)?;
        if !loc.listed {
            let content = self.object(Kind::Blob, &id.0, loc)?;
            out.write_all(&content).map_err(give)?;
            return Ok(content.len() as u64);
        }
        let mut hasher = blake3::Hasher::new();
        for part in self.parts(id, loc)?.iter() {
            let chunk = self.chunk(part)?;
            hasher.update(&chunk);
            out.write_all(&chunk).map_err(give)?;
        }
        if BlobId::from(hasher.finalize()) != id {
            return Err(self.wrong(loc.place, "a blob's content does not have its id"));
        }
        Ok(loc.len)
    }

    /// Up to `len` bytes of a blob from `offset` on; less at its end.
    pub fn blob_range(&self, id: BlobId, offset: u64, len: usize) -> Result<Vec<u8>> {
        let loc = self.blob_loc(id)?;
        let end = offset.saturating_add(len as u64).min(loc.len);
        if offset >= end {
            return Ok(Vec::new());
        }
        if !loc.listed {
            let content = self.cached(Kind::Blob, &id.0, loc)?;
            return Ok(slice(&content, offset, end).to_vec());
        }
        let parts = self.parts(id, loc)?;
        let mut out = Vec::with_capacity((end - offset) as usize);
        let first = parts.partition_point(|p| p.offset + p.len <= offset);
        for part in parts.iter().skip(first).take_while(|p| p.offset < end) {
            let key = object_key(Kind::Chunk, &part.id);
            let chunk_loc = self.chunk_loc(&key, part)?;
            let chunk = self.cached(Kind::Chunk, &part.id, chunk_loc)?;
            let from = offset.saturating_sub(part.offset);
            let to = (end - part.offset).min(part.len);
            out.extend_from_slice(slice(&chunk, from, to));
        }
        Ok(out)
    }

    /// The stretches of a blob of that length that are known to hold nothing but zeros, in order: runs of equal chunks.
    pub fn blob_holes(&self, id: BlobId, len: u64) -> Result<Vec<Range<u64>>> {
        if len <= WHOLE as u64 {
            return Ok(Vec::new());
        }
        let loc = self.blob_loc(id)?;
        if !loc.listed {
            return Ok(Vec::new());
        }
        let parts = self.parts(id, loc)?;
        let mut holes = Vec::new();
        let mut zeros: Option<(u64, [u8; 32])> = None;
        for run in parts.chunk_by(|a, b| a.id == b.id).filter(|r| r.len() > 1) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else {
                continue;
            };
            if zeros.is_none_or(|(len, _)| len != first.len) {
                let nothing = vec![0; first.len.min(CHUNK_MAX as u64) as usize];
                zeros = Some((first.len, *blake3::hash(&nothing).as_bytes()));
            }
            if zeros.is_some_and(|(_, id)| id == first.id) {
                holes.push(first.offset..last.offset + last.len);
            }
        }
        Ok(holes)
    }

    pub(super) fn parts(&self, id: BlobId, loc: Loc) -> Result<Arc<Vec<Part>>> {
        if let Some(parts) = self.lists.get(&id) {
            return Ok(parts);
        }
        let (loc, raw) = self.core.fetch(&object_key(Kind::Blob, &id.0), loc, 4096)?;
        let (_, parts) = decode_list(&raw).map_err(|bad| self.wrong(loc.place, bad.0))?;
        let parts = Arc::new(parts);
        self.lists.put(id, &parts, parts.len());
        Ok(parts)
    }

    fn chunk_loc(&self, key: &Key, part: &Part) -> Result<Loc> {
        self.core
            .find(key)?
            .ok_or_else(|| self.absent("chunk", Gone::Chunk(BlobId(part.id))))
    }

    fn chunk(&self, part: &Part) -> Result<Vec<u8>> {
        let loc = self.chunk_loc(&object_key(Kind::Chunk, &part.id), part)?;
        self.object(Kind::Chunk, &part.id, loc)
    }

    /// The payload of a blob (not a list) or chunk, its hash checked.
    fn object(&self, kind: Kind, id: &[u8; 32], loc: Loc) -> Result<Vec<u8>> {
        let (loc, raw) = self.core.fetch(&object_key(kind, id), loc, loc.len)?;
        if blake3::hash(&raw).as_bytes() != id {
            return Err(self.wrong(loc.place, "a content does not have its id"));
        }
        Ok(raw)
    }

    fn cached(&self, kind: Kind, id: &[u8; 32], loc: Loc) -> Result<Arc<Vec<u8>>> {
        let key = object_key(kind, id);
        if let Some(content) = self.contents.get(&key) {
            return Ok(content);
        }
        let content = Arc::new(self.object(kind, id, loc)?);
        self.contents.put(key, &content, content.len());
        Ok(content)
    }

    pub(super) fn wrong(&self, place: Place, what: &str) -> Error {
        Error::Damaged {
            path: self.core.packs.path(place.pack()),
            offset: place.offset(),
            what: what.to_owned(),
        }
    }

    /// The id of the tree without entries. It can be read without having been stored.
    #[must_use]
    pub fn empty_tree(&self) -> TreeId {
        self.empty
    }

    /// Stores a directory. Its entries must be sorted, with unique and harmless names.
    pub fn put_tree(&self, tree: &Tree) -> Result<TreeId> {
        tree_code::check(tree).map_err(|why| Error::Invalid {
            what: "a directory",
            why: why.to_owned(),
        })?;
        let raw = tree_code::encode(tree);
        let id = tree_code::id_of(&raw);
        self.core.ready()?;
        if id != self.empty && !self.core.has(object_key(Kind::Tree, &id.0))? {
            self.core
                .put(Kind::Tree, 0, &id.0, &raw, raw.len() as u64)?;
        }
        Ok(id)
    }

    /// Whether a directory is in the store.
    pub fn has_tree(&self, id: TreeId) -> Result<bool> {
        Ok(id == self.empty || self.core.find(&object_key(Kind::Tree, &id.0))?.is_some())
    }

    /// A directory as it is encoded, where its record lies, and the directory that the record builds on, if it does.
    pub(super) fn tree_bytes(&self, id: TreeId) -> Result<(Loc, Vec<u8>, Option<TreeId>)> {
        let key = object_key(Kind::Tree, &id.0);
        let loc = self
            .core
            .find(&key)?
            .ok_or_else(|| self.absent("tree", Gone::Tree(id)))?;
        let (loc, raw) = self.core.fetch(&key, loc, loc.len)?;
        if tree_code::id_of(&raw) != id {
            return Err(self.wrong(loc.place, "a tree does not have its id"));
        }
        Ok((loc, raw, None))
    }

    /// A directory.
    pub fn tree(&self, id: TreeId) -> Result<Arc<Tree>> {
        if id == self.empty {
            return Ok(Arc::new(Tree::default()));
        }
        if let Some(tree) = self.trees.get(&id) {
            return Ok(tree);
        }
        let (loc, raw, _) = self.tree_bytes(id)?;
        let tree = tree_code::decode(&raw).map_err(|bad| self.wrong(loc.place, bad.0))?;
        let tree = Arc::new(tree);
        self.trees.put(id, &tree, raw.len());
        Ok(tree)
    }
}

fn slice(content: &[u8], from: u64, to: u64) -> &[u8] {
    content.get(from as usize..to as usize).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lists_do_not_panic(bytes: Vec<u8>) {
            let _ = decode_list(&bytes);
        }
    }
}
