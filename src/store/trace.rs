//! Steps, links and sessions. The newest record of an id wins; unknown fields of a record are ignored.

use std::cmp::Reverse;
use std::collections::HashMap;

use redb::{ReadableTable, ReadableTableMetadata};
use serde::de::DeserializeOwned;

use crate::model::{CommitId, Link, Ordinal, Session, SessionId, Step, StepId};

use super::Store;
use super::error::{Error, Result};
use super::publish::json;
use super::record::{self, Kind};
use super::tables::{self, Rec, key40, ordinal_bytes, step_key};

pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, redb::Error> {
    serde_json::from_slice(bytes).map_err(|e| redb::Error::Corrupted(e.to_string()))
}

impl Store {
    /// One record outside a publication: visible at once, durable with the next publication or sync.
    fn put_loose(&self, kind: Kind, id: &[u8; 32], raw: &[u8]) -> Result<()> {
        let writer = self.core.writer();
        self.core.ready_with(&writer)?;
        let record = record::encode(kind, 0, id, raw);
        let place = self.core.packs.append(record, |_| {})?;
        self.core.index_with(&HashMap::new(), None, |tables| {
            tables.apply(&Rec {
                kind,
                flags: 0,
                id,
                place,
                len: raw.len() as u64,
                raw,
            })
        })
    }

    /// Stores a step, or a newer state of one.
    pub fn put_step(&self, step: &Step) -> Result<()> {
        self.put_loose(Kind::Step, &step.id.0, &json("a step", step)?)
    }

    /// A step.
    pub fn step(&self, id: StepId) -> Result<Option<Step>> {
        self.core.index.read(|tx| {
            let ordinal = tx
                .open_table(tables::STEP_IDS)?
                .get(&id.0)?
                .map(|o| *o.value());
            let Some(ordinal) = ordinal else {
                return Ok(None);
            };
            match tx
                .open_table(tables::STEPS)?
                .get(&step_key(&ordinal, &id.0))?
            {
                None => Ok(None),
                Some(value) => parse(value.value()).map(Some),
            }
        })
    }

    /// The step of that number.
    pub fn step_by_ordinal(&self, o: Ordinal) -> Result<Option<Step>> {
        let ordinal = ordinal_bytes(o);
        self.core.index.read(|tx| {
            let steps = tx.open_table(tables::STEPS)?;
            let mut range = steps.range::<&[u8; 44]>(
                &step_key(&ordinal, &[0; 32])..=&step_key(&ordinal, &[0xff; 32]),
            )?;
            match range.next() {
                None => Ok(None),
                Some(row) => parse(row?.1.value()).map(Some),
            }
        })
    }

    /// Steps after `after` (from the first if `None`), oldest first.
    pub fn steps_after(&self, after: Option<Ordinal>, limit: usize) -> Result<Vec<Step>> {
        let low = after.map_or([0; 44], |o| step_key(&ordinal_bytes(o), &[0xff; 32]));
        self.core.index.read(|tx| {
            let steps = tx.open_table(tables::STEPS)?;
            steps
                .range::<&[u8; 44]>(&low..)?
                .take(limit)
                .map(|row| parse(row?.1.value()))
                .collect()
        })
    }

    /// Steps before `before` (from the last if `None`), newest first.
    pub fn steps_before(&self, before: Option<Ordinal>, limit: usize) -> Result<Vec<Step>> {
        let high = before.map_or([0xff; 44], |o| step_key(&ordinal_bytes(o), &[0; 32]));
        self.core.index.read(|tx| {
            let steps = tx.open_table(tables::STEPS)?;
            steps
                .range::<&[u8; 44]>(..&high)?
                .rev()
                .take(limit)
                .map(|row| parse(row?.1.value()))
                .collect()
        })
    }

    /// How many steps there are.
    pub fn step_count(&self) -> Result<u64> {
        self.core
            .index
            .read(|tx| Ok(tx.open_table(tables::STEPS)?.len()?))
    }

    /// The highest step number.
    pub fn last_ordinal(&self) -> Result<Option<Ordinal>> {
        self.core.index.read(|tx| {
            let steps = tx.open_table(tables::STEPS)?;
            let last = steps.last()?;
            Ok(last.map(|(key, _)| {
                let key = key.value();
                let mut major = [0; 8];
                let mut minor = [0; 4];
                major.copy_from_slice(&key[..8]);
                minor.copy_from_slice(&key[8..12]);
                Ordinal {
                    major: u64::from_be_bytes(major),
                    minor: u32::from_be_bytes(minor),
                }
            }))
        })
    }

    /// Ties a commit to a step. A commit has one link: a newer one replaces it.
    pub fn put_link(&self, link: &Link) -> Result<()> {
        if self.seq(link.commit)?.is_none() {
            return Err(Error::NotFound {
                what: "commit",
                id: link.commit.to_hex(),
            });
        }
        self.put_loose(Kind::Link, &link.commit.0, &json("a link", link)?)
    }

    /// The commits of a step, in the order in which they were stored.
    pub fn links_of_step(&self, s: StepId) -> Result<Vec<Link>> {
        self.core.index.read(|tx| {
            let by_step = tx.open_table(tables::STEP_LINKS)?;
            let links = tx.open_table(tables::LINKS)?;
            let mut out = Vec::new();
            for row in by_step.range::<&[u8; 40]>(&key40(&s.0, 0)..=&key40(&s.0, u64::MAX))? {
                let (_, commit) = row?;
                if let Some(link) = links.get(commit.value())? {
                    out.push(parse(link.value().get(32..).unwrap_or_default())?);
                }
            }
            Ok(out)
        })
    }

    /// The link of a commit.
    pub fn link_of_commit(&self, c: CommitId) -> Result<Option<Link>> {
        self.core
            .index
            .read(|tx| match tx.open_table(tables::LINKS)?.get(&c.0)? {
                None => Ok(None),
                Some(link) => parse(link.value().get(32..).unwrap_or_default()).map(Some),
            })
    }

    /// Stores a session, or a newer state of one.
    pub fn put_session(&self, s: &Session) -> Result<()> {
        self.put_loose(Kind::Session, &s.id.0, &json("a session", s)?)
    }

    /// A session.
    pub fn session(&self, id: SessionId) -> Result<Option<Session>> {
        self.core
            .index
            .read(|tx| match tx.open_table(tables::SESSIONS)?.get(&id.0)? {
                None => Ok(None),
                Some(value) => parse(value.value()).map(Some),
            })
    }

    /// All sessions, newest first.
    pub fn sessions(&self) -> Result<Vec<Session>> {
        let mut sessions: Vec<Session> = self.core.index.read(|tx| {
            let table = tx.open_table(tables::SESSIONS)?;
            table.iter()?.map(|row| parse(row?.1.value())).collect()
        })?;
        sessions.sort_by_key(|s| Reverse((s.start, s.id)));
        Ok(sessions)
    }
}
