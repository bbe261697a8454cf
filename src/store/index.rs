//! The redb file: opened, asked, written, and opened again or made anew when it fails.
//!
//! It holds nothing that the packs do not (`tables` says what), so damage to it is never a loss. redb checks little
//! of what it reads and trips its own assertions over a damaged page; those are caught here and become
//! [`Error::IndexDamaged`], with a note (`graph.doubt`) that makes the next start build the index anew. An open store
//! does so itself before its next write.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use redb::{Database, Durability, ReadTransaction, ReadableDatabase, WriteTransaction};

use super::error::{Error, Result};
use super::migrate;
use super::record::Place;
use super::tables::{META, SCHEMA, STATS, Tables};

/// Memory for pages of the index.
const CACHE: usize = 64 << 20;

/// The redb file, opened.
pub(crate) struct Index {
    /// `None` while it is being opened again, or after that failed.
    db: RwLock<Option<Database>>,
    /// Held by questions, so that none sees the index while it is being caught up.
    gate: RwLock<()>,
    damaged: AtomicBool,
    path: PathBuf,
}

impl Index {
    /// Opens or makes the file and all tables.
    pub fn open(path: &Path) -> Result<Self> {
        let index = Self::closed(path);
        index.reopen()?;
        index.prepare()?;
        Ok(index)
    }

    /// Nothing is opened yet.
    pub fn closed(path: &Path) -> Self {
        Self {
            db: RwLock::new(None),
            gate: RwLock::new(()),
            damaged: AtomicBool::new(false),
            path: path.to_owned(),
        }
    }

    /// Makes the tables in a new file, brings those of an earlier schema up to this one, and refuses a later one.
    fn prepare(&self) -> Result<()> {
        match self.meta("schema")? {
            Some(SCHEMA) => Ok(()),
            Some(older) if older < SCHEMA && older > 0 => {
                self.write(true, |tx| migrate::from(tx, older))
            }
            Some(newer) if newer > SCHEMA => Err(Error::NewerFormat {
                path: self.path.clone(),
                found: newer,
                known: SCHEMA,
            }),
            _ => self.write(true, |tx| {
                tx.open_table(STATS)?;
                let mut t = Tables::open(tx)?;
                t.meta.insert("schema", SCHEMA)?;
                t.meta.insert("position", 0)?;
                Ok(())
            }),
        }
    }

    /// The redb file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps questions out while this is held.
    pub fn keep_out(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the file and opens it again, at what was last durable in it: redb refuses everything after a failed
    /// write.
    pub fn reopen(&self) -> Result<()> {
        self.close();
        let opened = self.guarded(|| {
            Ok(Database::builder()
                .set_cache_size(CACHE)
                .create(&self.path)?)
        })?;
        *self.db.write().unwrap_or_else(PoisonError::into_inner) = Some(opened);
        Ok(())
    }

    /// Sets the file aside and begins an empty one.
    pub fn recreate(&self) -> Result<()> {
        self.close();
        let aside = self.path.with_extension("redb.damaged");
        match std::fs::rename(&self.path, &aside) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("set aside", &self.path, e)),
        }
        self.reopen()?;
        self.prepare()
    }

    fn close(&self) {
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        // Closing writes, and may trip over what made it necessary.
        let db = db.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(db)));
    }

    /// Runs something of redb's, with its errors and failed assertions made ours.
    fn guarded<T>(&self, f: impl FnOnce() -> Result<T, redb::Error>) -> Result<T> {
        // What f holds is redb's own, which refuses to go on by itself, or is thrown away.
        let done = catch_unwind(AssertUnwindSafe(f));
        let e = match done {
            Ok(Ok(out)) => return Ok(out),
            Ok(Err(redb::Error::Io(e))) if !is_damaged_file(&e) => {
                return Err(Error::io("use", &self.path, e));
            }
            Ok(Err(e)) => e,
            Err(_) => redb::Error::Corrupted("an assertion failed".into()),
        };
        if !is_damage(&e) {
            return Err(Error::Index {
                path: self.path.clone(),
                source: Box::new(e),
            });
        }
        self.doubt();
        Err(Error::IndexDamaged {
            path: self.path.clone(),
            what: e.to_string(),
        })
    }

    /// Whether the index is to be made anew.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    /// The index is again what the packs say.
    pub fn trusted(&self) -> Result<()> {
        let note = Self::doubt_path(&self.path);
        match std::fs::remove_file(&note) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("remove", &note, e)),
        }
        self.damaged.store(false, Ordering::Release);
        Ok(())
    }

    /// Has redb check all of its file.
    pub fn check(&self) -> Result<bool> {
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        self.guarded(|| match db.as_mut() {
            None => Err(redb::Error::DatabaseClosed),
            Some(db) => Ok(db.check_integrity()?),
        })
    }

    /// Where it is noted that the index is to be made anew.
    pub fn doubt_path(path: &Path) -> PathBuf {
        path.with_extension("doubt")
    }

    /// Notes that the index is not what the packs say.
    pub fn doubt(&self) {
        self.damaged.store(true, Ordering::Release);
        let note = Self::doubt_path(&self.path);
        if let Err(e) = std::fs::write(&note, b"") {
            tracing::warn!("{} could not be written: {e}", note.display());
        }
    }

    fn meta(&self, name: &str) -> Result<Option<u64>> {
        self.look(|tx| match tx.open_table(META) {
            Ok(t) => Ok(t.get(name)?.map(|v| v.value())),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(e) => Err(e.into()),
        })
    }

    /// Up to where the packs are in the index.
    pub fn position(&self) -> Result<Place> {
        Ok(Place(self.meta("position")?.unwrap_or(0)))
    }

    /// Answers a question, in one snapshot.
    pub fn read<T>(&self, f: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>) -> Result<T> {
        let _asking = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        self.look(f)
    }

    fn look<T>(&self, f: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>) -> Result<T> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        self.guarded(|| f(&opened(&db)?.begin_read()?))
    }

    /// Writes in one transaction. Without `durable` it is visible but may be lost in a crash (the packs have it).
    pub fn write<T>(
        &self,
        durable: bool,
        f: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        self.guarded(|| {
            let mut tx = opened(&db)?.begin_write()?;
            if durable {
                // Lets the next open after a crash skip walking the whole file.
                tx.set_quick_repair(true);
            } else {
                tx.set_durability(Durability::None)?;
            }
            let out = f(&tx)?;
            tx.commit()?;
            Ok(out)
        })
    }
}

fn opened(db: &Option<Database>) -> Result<&Database, redb::Error> {
    db.as_ref().ok_or(redb::Error::DatabaseClosed)
}

impl Drop for Index {
    fn drop(&mut self) {
        self.close();
    }
}

fn is_damaged_file(e: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    matches!(e.kind(), InvalidData | UnexpectedEof)
}

/// Whether it means that the file is not what redb wrote.
fn is_damage(e: &redb::Error) -> bool {
    match e {
        redb::Error::Io(e) => is_damaged_file(e),
        redb::Error::Corrupted(_)
        | redb::Error::RepairAborted
        | redb::Error::UpgradeRequired(_)
        | redb::Error::UnorderedKey
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. }
        | redb::Error::TableDoesNotExist(_)
        | redb::Error::LockPoisoned(_)
        | redb::Error::TransactionPoisoned => true,
        _ => false,
    }
}
