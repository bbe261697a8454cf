//! Reading a pack from front to end: what the index is caught up and rebuilt from, and what `verify` walks.
//!
//! A bad spot is one of two things. The trace of a crash lies behind everything that was ever acknowledged: no later
//! end record knows of a sync beyond it; the scan ends there. Damage lies in what was once synced: it is reported
//! and stepped over, to the next record whose header is right for its place. What is intact of a damaged publication
//! counts: it was acknowledged.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::error::{Error, Result};
use super::pack::End;
use super::record::{self, HEADER, Header, Kind, MAGIC, Place};

/// How much is read at a time while looking for a header.
const WINDOW: usize = 1 << 20;

/// A record as it lies in a pack.
pub(crate) struct Item {
    pub place: Place,
    pub header: Header,
    /// The payload as stored.
    pub stored: Vec<u8>,
    check: [u8; 8],
}

/// What the scan hands on: a record that stands alone, or all of a publication.
pub(crate) enum Unit {
    One(Item),
    /// With the place behind its end record.
    Group(Vec<Item>, Place),
}

/// A bad spot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spot {
    pub place: Place,
    pub what: &'static str,
    /// Behind it.
    pub end: u64,
    /// The kind and the id of the record, where its header can still be read.
    pub of: Option<(u8, [u8; 32])>,
}

/// How a scan ended.
pub(crate) struct Scanned {
    /// Behind the last unit that counts. What follows in the file is the trace of a crash.
    pub good: u64,
    /// Length of the file.
    pub length: u64,
    /// Damage that was stepped over.
    pub damage: Vec<Spot>,
    /// How many records counted.
    pub records: u64,
}

enum Found {
    Record(Item),
    Bad {
        what: &'static str,
        /// The header, where it could still be read: the next record begins behind it.
        header: Option<Header>,
    },
    End,
}

/// A pack being scanned.
pub(crate) struct Scan<'a> {
    pub file: &'a File,
    pub path: &'a Path,
    pub pack: u32,
    /// Whether appends went here last: only then can the end be the trace of a crash.
    pub last: bool,
    /// Looks no further than this.
    pub upto: Option<u64>,
}

impl Scan<'_> {
    /// Hands every unit from `from` on to `visit`.
    pub fn run(&self, from: u64, visit: &mut dyn FnMut(Unit) -> Result<()>) -> Result<Scanned> {
        let length = self
            .file
            .metadata()
            .map_err(|e| Error::io("read the length of", self.path, e))?
            .len();
        let length = self.upto.map_or(length, |upto| length.min(upto));
        let mut out = Scanned {
            good: from,
            length,
            damage: Vec::new(),
            records: 0,
        };
        let mut at = from;
        let mut group: Vec<Item> = Vec::new();
        // Damage was met since the last end record.
        let mut wounded = false;
        loop {
            match self.at(at, length)? {
                Found::End => {
                    if wounded && !self.last {
                        out.rescue(self.pack, &mut group, at, visit)?;
                    }
                    if !group.is_empty() && !self.last {
                        out.spot(self.pack, &mut group, at, "a publication has no end");
                        out.good = at;
                    }
                    return Ok(out);
                }
                Found::Record(item) => {
                    let next = at + item.header.len();
                    if item.header.grouped() {
                        group.push(item);
                    } else if item.header.kind == Kind::End as u8 {
                        let whole = end_of(&item).is_some_and(|end| {
                            end.count as usize == group.len()
                                && End::id(group.iter().map(|i| &i.check)) == item.header.id
                        });
                        if whole {
                            out.records += group.len() as u64 + 1;
                            let end = Place::new(self.pack, next);
                            visit(Unit::Group(std::mem::take(&mut group), end))?;
                        } else if wounded {
                            out.rescue(self.pack, &mut group, next, visit)?;
                        } else {
                            out.spot(self.pack, &mut group, at, "a publication is incomplete");
                        }
                        wounded = false;
                        out.good = next;
                    } else {
                        if wounded {
                            out.rescue(self.pack, &mut group, at, visit)?;
                        }
                        if !group.is_empty() {
                            out.spot(self.pack, &mut group, at, "a publication has no end");
                        }
                        out.records += 1;
                        visit(Unit::One(item))?;
                        out.good = next;
                    }
                    at = next;
                }
                Found::Bad { what, header } => {
                    let after = match &header {
                        Some(header) => at + header.len(),
                        None => self.resync(at + 1, length)?,
                    };
                    if self.last && !self.synced_beyond(at, after, length)? {
                        return Ok(out);
                    }
                    out.damage.push(Spot {
                        place: Place::new(self.pack, at),
                        what,
                        end: after,
                        of: header.map(|h| (h.kind, h.id)),
                    });
                    out.rescue(self.pack, &mut group, after, visit)?;
                    wounded = true;
                    out.good = after;
                    at = after;
                }
            }
        }
    }

    fn at(&self, at: u64, length: u64) -> Result<Found> {
        if at >= length {
            return Ok(Found::End);
        }
        let place = Place::new(self.pack, at);
        let mut head = [0; HEADER];
        let got = self.read(&mut head, at)?;
        let Some(header) = Header::parse(&head[..got], place) else {
            return Ok(Found::Bad {
                what: "not a record",
                header: None,
            });
        };
        if header.version > record::VERSION {
            return Err(Error::NewerFormat {
                path: self.path.to_owned(),
                found: u64::from(header.version),
                known: u64::from(record::VERSION),
            });
        }
        if header.len() > length - at {
            return Ok(Found::Bad {
                what: "a record is cut short",
                header: None,
            });
        }
        let mut stored = vec![0; header.stored as usize];
        let got = self.read(&mut stored, at + HEADER as u64)?;
        stored.truncate(got);
        if !header.covers(&stored) {
            return Ok(Found::Bad {
                what: "a payload is not what was written",
                header: Some(header),
            });
        }
        let mut check = [0; 8];
        check.copy_from_slice(&head[64..72]);
        Ok(Found::Record(Item {
            place,
            header,
            stored,
            check,
        }))
    }

    /// Whether an end record behind the bad spot knows that the spot was once on disk.
    fn synced_beyond(&self, bad: u64, from: u64, length: u64) -> Result<bool> {
        let mut at = from;
        loop {
            match self.at(at, length)? {
                Found::End => return Ok(false),
                Found::Record(item) => {
                    if end_of(&item).is_some_and(|end| end.synced > Place::new(self.pack, bad)) {
                        return Ok(true);
                    }
                    at += item.header.len();
                }
                Found::Bad { header, .. } => {
                    at = match header {
                        Some(header) => at + header.len(),
                        None => self.resync(at + 1, length)?,
                    };
                }
            }
        }
    }

    /// The next offset from `from` on with a readable header, or the file's end.
    fn resync(&self, mut from: u64, length: u64) -> Result<u64> {
        let mut window = vec![0; WINDOW];
        while from < length {
            let got = self.read(&mut window, from)?;
            if got < HEADER {
                break;
            }
            let searched = got - HEADER + 1;
            for i in 0..searched {
                if window[i..].starts_with(&MAGIC) {
                    let at = from + i as u64;
                    if Header::parse(&window[i..], Place::new(self.pack, at)).is_some() {
                        return Ok(at);
                    }
                }
            }
            from += searched as u64;
        }
        Ok(length)
    }

    fn read(&self, into: &mut [u8], at: u64) -> Result<usize> {
        let mut filled = 0;
        while filled < into.len() {
            match self.file.read_at(&mut into[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("read", self.path, e)),
            }
        }
        Ok(filled)
    }
}

fn end_of(item: &Item) -> Option<End> {
    if item.header.kind == Kind::End as u8 {
        End::decode(&item.stored)
    } else {
        None
    }
}

impl Scanned {
    /// Hands on what is intact of a damaged publication.
    fn rescue(
        &mut self,
        pack: u32,
        group: &mut Vec<Item>,
        end: u64,
        visit: &mut dyn FnMut(Unit) -> Result<()>,
    ) -> Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        self.records += group.len() as u64;
        visit(Unit::Group(std::mem::take(group), Place::new(pack, end)))
    }

    fn spot(&mut self, pack: u32, group: &mut Vec<Item>, at: u64, what: &'static str) {
        let place = group.first().map_or(Place::new(pack, at), |i| i.place);
        self.damage.push(Spot {
            place,
            what,
            end: at,
            of: None,
        });
        group.clear();
    }
}
