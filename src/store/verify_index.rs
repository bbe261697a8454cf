//! The index against the packs: it is made anew beside the one in use, and the two are compared, row by row.

use redb::{Key as RedbKey, ReadTransaction, ReadableTable, TableDefinition, Value};

use super::Store;
use super::error::Result;
use super::index::Index;
use super::open::{self, OpenReport};
use super::record::Place;
use super::tables::{self, Key, Loc};
use super::verify::{Seen, hex, word};

/// So many rows that differ are named of each table.
const NAMED: usize = 12;

/// How a row differs.
enum Differs {
    /// The packs do not tell it.
    Extra,
    /// The index lacks it.
    Lacking,
    /// Both have it, with other values.
    Other,
}

/// A key and its value, as bytes.
type Row = (Vec<u8>, Vec<u8>);
type Same<'a> = &'a dyn Fn(&[u8], &[u8], &[u8]) -> bool;

struct Diff<'a> {
    live: &'a ReadTransaction,
    fresh: &'a ReadTransaction,
    out: Vec<String>,
}

impl Diff<'_> {
    fn table<K: RedbKey + 'static, V: Value + 'static>(
        &mut self,
        name: &str,
        def: TableDefinition<'static, K, V>,
        same: Same<'_>,
        render: &dyn Fn(&[u8]) -> String,
    ) -> Result<(), redb::Error> {
        let live = self.live.open_table(def)?;
        let fresh = self.fresh.open_table(def)?;
        let (mut a, mut b) = (live.iter()?, fresh.iter()?);
        let pair =
            |row: Option<Result<_, redb::StorageError>>| -> Result<Option<Row>, redb::Error> {
                let Some(row) = row else { return Ok(None) };
                let (key, value): (redb::AccessGuard<'_, K>, redb::AccessGuard<'_, V>) = row?;
                Ok(Some((
                    K::as_bytes(&key.value()).as_ref().to_vec(),
                    V::as_bytes(&value.value()).as_ref().to_vec(),
                )))
            };
        let (mut x, mut y) = (pair(a.next())?, pair(b.next())?);
        let mut count = 0;
        loop {
            let order = match (&x, &y) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((k, _)), Some((l, _))) => K::compare(k, l),
            };
            let how = match order {
                std::cmp::Ordering::Less => Some(Differs::Extra),
                std::cmp::Ordering::Greater => Some(Differs::Lacking),
                std::cmp::Ordering::Equal => match (&x, &y) {
                    (Some((k, v)), Some((_, w))) if v != w && !same(k, v, w) => {
                        Some(Differs::Other)
                    }
                    _ => None,
                },
            };
            if let Some(how) = how {
                count += 1;
                let key = x.as_ref().filter(|_| order.is_le()).or(y.as_ref());
                if count <= NAMED
                    && let Some((key, _)) = key
                {
                    let key = render(key);
                    self.out.push(match how {
                        Differs::Extra => {
                            format!("the index has {name} {key}, which the packs do not tell")
                        }
                        Differs::Lacking => format!("the index lacks {name} {key}"),
                        Differs::Other => {
                            format!("the index has another {name} {key} than the packs tell")
                        }
                    });
                }
            }
            if order.is_le() {
                x = pair(a.next())?;
            }
            if order.is_ge() {
                y = pair(b.next())?;
            }
        }
        if count > NAMED {
            let more = count - NAMED;
            self.out.push(format!("... and {more} more rows of {name}"));
        }
        Ok(())
    }
}

fn plain(key: &[u8]) -> String {
    key.iter().take(12).map(|b| format!("{b:02x}")).collect()
}

fn number(key: &[u8]) -> String {
    key.first_chunk::<8>()
        .map_or_else(|| plain(key), |b| u64::from_le_bytes(*b).to_string())
}

fn text(key: &[u8]) -> String {
    crate::model::neutral(key)
}

fn path(key: &[u8]) -> String {
    let end = key.len().saturating_sub(9);
    text(key.get(..end).unwrap_or_default())
}

impl Store {
    /// Has redb check its file, and compares the index with what the packs make.
    pub(super) fn check_index(&self, seen: &mut Seen) -> Result<()> {
        self.core.make_durable()?;
        let writer = self.core.writer();
        if !self.core.index.check()? {
            // What redb mended is older than what was asked of it.
            self.core.index.doubt();
            let what = "redb found its file inconsistent and mended it".to_owned();
            seen.fault(Place::default(), what);
        }
        drop(writer);
        let place = tempfile::Builder::new()
            .prefix("verify-")
            .tempdir_in(&self.dir)
            .map_err(|e| super::Error::io("make a directory in", &self.dir, e))?;
        let fresh = Index::open(&place.path().join("graph.redb"))?;
        let mut report = OpenReport::default();
        let end = self.core.packs.flush(|_| {})?;
        open::catch_up(self.core.packs.dir(), &fresh, Some(end), &mut report)?;
        // The long part is done: the rest while nobody writes.
        let writer = self.core.writer();
        self.core.index_objects(&writer)?;
        let end = self.core.packs.flush(|_| {})?;
        open::catch_up(self.core.packs.dir(), &fresh, Some(end), &mut report)?;
        let mut out = Vec::new();
        let mut compared = Ok(());
        self.core.index.read(|live| {
            compared = fresh.read(|fresh| {
                let mut diff = Diff {
                    live,
                    fresh,
                    out: Vec::new(),
                };
                compare(&mut diff, seen)?;
                out = diff.out;
                Ok(())
            });
            Ok(())
        })?;
        drop(writer);
        compared?;
        for what in out {
            seen.fault(Place::default(), what);
        }
        Ok(())
    }
}

fn compare(diff: &mut Diff<'_>, seen: &Seen) -> Result<(), redb::Error> {
    let never: Same<'_> = &|_, _, _| false;
    let object = |key: &[u8]| {
        let Some(key) = key.first_chunk::<33>() else {
            return plain(key);
        };
        format!("{} {}", word(key), hex(&key[1..]))
    };
    // One that was put twice may be known by either place.
    let copies: Same<'_> = &|key: &[u8], a: &[u8], b: &[u8]| {
        let (Some(key), Some(a), Some(b)) = (
            key.first_chunk::<33>(),
            a.first_chunk::<17>(),
            b.first_chunk::<17>(),
        ) else {
            return false;
        };
        let (a, b) = (Loc::decode(a), Loc::decode(b));
        let key: Key = *key;
        let there =
            seen.objects.get(&key) == Some(&a.place) || seen.copies.contains(&(key, a.place));
        there && a.len == b.len && a.listed == b.listed
    };
    diff.table("object", tables::OBJECTS, copies, &object)?;
    let id: &dyn Fn(&[u8]) -> String = &|key| hex(key);
    diff.table("commit", tables::COMMITS, never, id)?;
    diff.table("node", tables::NODES, never, &number)?;
    diff.table("child", tables::CHILDREN, never, &plain)?;
    diff.table("time", tables::TIMES, never, &plain)?;
    diff.table("attributes", tables::ATTRS, never, id)?;
    diff.table("ref", tables::REFS, never, &text)?;
    diff.table("operation", tables::OPS, never, id)?;
    diff.table("logged operation", tables::OPLOG, never, &number)?;
    diff.table("step", tables::STEPS, never, &plain)?;
    diff.table("number of step", tables::STEP_IDS, never, id)?;
    diff.table("link", tables::LINKS, never, id)?;
    diff.table("link of step", tables::STEP_LINKS, never, &plain)?;
    diff.table("session", tables::SESSIONS, never, id)?;
    diff.table("path", tables::PATHS, never, &path)?;
    diff.table("directory", tables::DIRS, never, &path)?;
    diff.table("leaf", tables::LEAVES, never, &number)?;
    diff.table("line", tables::LINES, never, &number)?;
    diff.table("tombstone", tables::TOMBS, never, &object)
}
