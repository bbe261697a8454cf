//! Collecting what nothing needs: objects are marked from everything that must stay, and packs with enough of the rest are
//! written anew without it, one after the other.
//!
//! What is to go is written down first (tombstones), so the worst that a crash leaves is content that nothing needs. Who
//! stores meanwhile is safe: what was put or found a short time ago stays (`core::Recent`), and a pack that holds
//! something which was found while it was being written anew is left as it is.

use std::collections::{BTreeMap, HashMap, HashSet};

use redb::ReadableTable;

use crate::model::BlobId;

use super::Store;
use super::error::Result;
use super::mark::Live;
use super::publish::NewOperation;
use super::record::{Header, Kind, Place};
use super::rewrite::Rewrite;
use super::tables::{self, Key, Loc, object_key};
use super::tomb::{Gone, Tomb};

/// What is to be collected.
pub struct Collect<'a> {
    /// What is to be buried first.
    pub bury: Vec<Tomb>,
    /// The operation that says so.
    pub operation: Option<NewOperation>,
    /// Ids that somebody else holds, of whatever.
    pub extra: &'a [[u8; 32]],
    /// A pack is written anew when so much of it, in hundredths, is not needed.
    pub percent: u64,
    /// Only says what would be done.
    pub dry_run: bool,
    /// Told of each step by name: tests end the process there.
    pub hurt: &'a dyn Fn(&str),
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Bytes of the packs before.
    pub before: u64,
    /// Bytes of the packs afterwards (with a dry run: that there would be).
    pub after: u64,
    /// Objects that are needed.
    pub needed: u64,
    /// Objects that went.
    pub removed: u64,
    /// Packs that were written anew.
    pub packs: u64,
    /// Bytes that nothing needs and that stay until more of their pack is like that, or until they are older.
    pub waiting: u64,
}

/// What is not needed in a pack.
#[derive(Default)]
struct Dead {
    bytes: u64,
    objects: u64,
    /// A person wants it gone.
    condemned: bool,
}

impl Store {
    /// Bytes of the packs.
    pub fn packed(&self) -> u64 {
        let packs = &self.core.packs;
        packs
            .numbers()
            .into_iter()
            .filter_map(|n| packs.path(n).metadata().ok())
            .map(|m| m.len())
            .sum()
    }

    /// Bytes of the index.
    #[must_use]
    pub fn index_size(&self) -> u64 {
        self.core.index.path().metadata().map_or(0, |m| m.len())
    }

    /// Buries, marks and sweeps.
    pub fn collect(&self, what: Collect<'_>) -> Result<Collected> {
        let mut without = self.dropped()?;
        let mut condemned = HashSet::new();
        for tomb in &what.bury {
            match tomb.gone {
                Gone::Commit(id) => _ = without.insert(id),
                gone => _ = condemned.insert(gone.key()),
            }
        }
        if !what.dry_run && !what.bury.is_empty() {
            self.bury(&what.bury, what.operation)?;
            (what.hurt)("buried");
        }
        // Parts of what goes go along, unless something else is made of them.
        for key in condemned.clone() {
            if let Some(parts) = self.parts_of(&key)? {
                condemned.extend(parts);
            }
        }
        let live = self.mark_but(&without, what.extra, &condemned)?;
        condemned.retain(|key| !live.has(key));
        let mut out = Collected {
            before: self.packed(),
            needed: live.len() as u64,
            ..Collected::default()
        };
        out.after = out.before;
        let dead = self.dead(&live, &condemned, &mut out)?;
        (what.hurt)("marked");
        for (pack, dead) in dead {
            let size = self.core.packs.path(pack).metadata().map_or(0, |m| m.len());
            let enough = dead.bytes.saturating_mul(100) >= size.saturating_mul(what.percent);
            if dead.bytes == 0 || !(enough || dead.condemned) {
                out.waiting += dead.bytes;
                continue;
            }
            if what.dry_run {
                out.packs += 1;
                out.removed += dead.objects;
                out.after = out.after.saturating_sub(dead.bytes);
                continue;
            }
            match self.sweep_pack(pack, &live, &condemned, what.hurt)? {
                Some((was, is, removed)) => {
                    out.packs += 1;
                    out.removed += removed;
                    out.after = out.after.saturating_sub(was.saturating_sub(is));
                }
                None => out.waiting += dead.bytes,
            }
        }
        if !what.dry_run {
            self.forget_decoded();
        }
        Ok(out)
    }

    /// Nothing decoded is kept any longer.
    pub(super) fn forget_decoded(&self) {
        self.trees.clear();
        self.contents.clear();
        self.lists.clear();
    }

    fn parts_of(&self, key: &Key) -> Result<Option<Vec<Key>>> {
        let Some(Gone::Blob(id)) = Gone::of(key) else {
            return Ok(None);
        };
        Ok(match self.core.find(key)? {
            Some(loc) if loc.listed => {
                let parts = self.parts(id, loc)?;
                let keys = parts.iter().map(|p| object_key(Kind::Chunk, &p.id));
                Some(keys.collect())
            }
            _ => None,
        })
    }

    /// What of each pack is not needed.
    fn dead(
        &self,
        live: &Live,
        condemned: &HashSet<Key>,
        out: &mut Collected,
    ) -> Result<BTreeMap<u32, Dead>> {
        let mut places: Vec<(Key, Place)> = Vec::new();
        {
            let writer = self.core.writer();
            self.core.index_objects(&writer)?;
        }
        self.core.index.read(|tx| {
            for row in tx.open_table(tables::OBJECTS)?.iter()? {
                let (key, loc) = row?;
                if !live.has(key.value()) {
                    places.push((*key.value(), Loc::decode(loc.value()).place));
                }
            }
            Ok(())
        })?;
        places.sort_unstable_by_key(|(_, place)| *place);
        let mut dead: BTreeMap<u32, Dead> = BTreeMap::new();
        for (key, place) in places {
            let Ok(header) = self.core.packs.header(place) else {
                continue;
            };
            let wanted = condemned.contains(&key);
            if !wanted && self.core.recent().holds(&key, place) {
                out.waiting += header.len();
                continue;
            }
            let of = dead.entry(place.pack()).or_default();
            of.bytes += header.len();
            of.objects += 1;
            of.condemned |= wanted;
        }
        Ok(dead)
    }

    fn sweep_pack(
        &self,
        pack: u32,
        live: &Live,
        condemned: &HashSet<Key>,
        hurt: &dyn Fn(&str),
    ) -> Result<Option<(u64, u64, u64)>> {
        let writer = self.core.writer();
        if pack == self.core.packs.end().pack() {
            self.core.packs.seal_tail()?;
            self.core.index_objects(&writer)?;
        }
        drop(writer);
        let keep = |header: &Header, place: Place| {
            let Some(kind @ (Kind::Blob | Kind::Chunk | Kind::Tree)) = Kind::of(header.kind) else {
                return true;
            };
            let key = object_key(kind, &header.id);
            if condemned.contains(&key) {
                return false;
            }
            if !live.has(&key) {
                return self.core.recent().holds(&key, place);
            }
            // One that was stored twice is needed once; where that cannot be told, both stay.
            !matches!(self.core.find(&key), Ok(Some(loc)) if loc.place != place)
        };
        let staged = self.core.stage(&Rewrite {
            pack,
            keep: &keep,
            before: &BTreeMap::new(),
        })?;
        hurt("staged");
        let writer = self.core.writer();
        let done = self.core.swap_but(&writer, vec![staged], condemned, hurt)?;
        Ok(done.first().map(|s| (s.was, s.is, s.dropped.len() as u64)))
    }

    /// How many bytes in the packs each of these contents takes, parts included.
    pub fn blob_sizes(&self, ids: impl Iterator<Item = BlobId>) -> Result<HashMap<BlobId, u64>> {
        let mut parts_seen = HashSet::new();
        let mut out = HashMap::new();
        for id in ids {
            let key = object_key(Kind::Blob, &id.0);
            let Some(loc) = self.core.find(&key)? else {
                continue;
            };
            let Ok(header) = self.core.packs.header(loc.place) else {
                continue;
            };
            let mut size = header.len();
            for part in self.parts_of(&key)?.unwrap_or_default() {
                if parts_seen.insert(part)
                    && let Some(loc) = self.core.find(&part)?
                    && let Ok(header) = self.core.packs.header(loc.place)
                {
                    size += header.len();
                }
            }
            out.insert(id, size);
        }
        Ok(out)
    }

    /// How a content lies in the packs: its length, the bytes it takes, its codec and the version of its record.
    pub fn stored(&self, id: BlobId) -> Result<StoredAs> {
        let loc = self.blob_loc(id)?;
        let header = self.core.packs.header(loc.place)?;
        let size = self.blob_sizes(std::iter::once(id))?;
        Ok(StoredAs {
            len: loc.len,
            stored: size.get(&id).copied().unwrap_or_default(),
            codec: match header.codec {
                _ if loc.listed => "parts",
                0 => "raw",
                1 => "zstd",
                _ => "delta",
            },
            version: header.version,
        })
    }
}

/// How a content lies in the packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredAs {
    /// Its own length.
    pub len: u64,
    /// Bytes in the packs, headers included.
    pub stored: u64,
    /// `raw`, `zstd`, or `parts` where it is cut.
    pub codec: &'static str,
    /// Version of the record.
    pub version: u8,
}
