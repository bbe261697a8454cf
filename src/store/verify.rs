//! Re-hashing everything and following every reference, both ways: what refers to something finds it, and the index is
//! what the packs make of it.
//!
//! What is not there because somebody wanted that (tombstones) is counted, not a fault. A reference from something that
//! is needed by nothing any more and only waits for its pack to be written anew is no fault either.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::PathBuf;

use crate::model::{
    BlobId, CommitId, Kind as EntryKind, Link, OpId, RefTarget, RepoPath, Session, Step, TreeId,
};

use super::error::{Error, Result};
use super::mark::texts_of;
use super::object::decode_list;
use super::record::{Kind, LISTED, Place};
use super::scan::{Item, Scan, Spot, Unit};
use super::tables::{Key, object_key};
use super::tomb::{self, Gone, Why};
use super::{Store, commit_code, op_code, tree_code};

/// Nobody's step: a link cannot be taken away, only replaced by one to it.
const NOBODY: [u8; 32] = [0; 32];

/// What `verify` found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Records read.
    pub records: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Commits among them.
    pub commits: u64,
    /// States whose content was let go on purpose.
    pub dropped: u64,
    /// Contents that were forgotten on purpose.
    pub forgotten: u64,
    /// Things that a damage took, and that a repair noted as lost.
    pub lost: u64,
    /// What is wrong; empty when all is well.
    pub faults: Vec<Fault>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// In which file.
    pub path: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
    /// What it affects, and what can be saved.
    pub saved: String,
}

/// Where, what is wrong, and of what that is the damage.
pub(super) struct Wrong {
    pub place: Place,
    pub what: String,
    pub of: Option<Key>,
}

/// What the packs hold.
#[derive(Default)]
pub(super) struct Seen {
    pub objects: HashMap<Key, Place>,
    /// Where else they lie.
    pub copies: HashSet<(Key, Place)>,
    pub commits: HashMap<[u8; 32], Place>,
    pub ops: HashMap<[u8; 32], Place>,
    /// Commits whose changed paths are there.
    pub changes: HashSet<[u8; 32]>,
    /// The newest of each step, link and session.
    pub newest: HashMap<Key, Place>,
    pub tombs: HashMap<Key, Why>,
    /// Records that can be read but are not what they should be.
    pub bad: HashSet<Place>,
    /// Damage.
    pub spots: Vec<Spot>,
    pub records: u64,
    pub bytes: u64,
    /// What must be there, and who wants it, from where.
    wanted: Vec<(Key, Key, Place)>,
    faults: Vec<Wrong>,
}

impl Store {
    /// Re-hashes every record, checks every reference and the index against the packs.
    pub fn verify(&self) -> Result<VerifyReport> {
        // Appends go on; what was there when this began is looked at.
        let end = self.core.packs.flush(|_| {})?;
        let mut seen = self.look_through(end)?;
        let mut report = VerifyReport {
            records: seen.records,
            bytes: seen.bytes,
            commits: seen.commits.len() as u64,
            ..VerifyReport::default()
        };
        for (key, why) in &seen.tombs {
            match (Kind::of(key[0]), why) {
                (_, Why::Lost) => report.lost += 1,
                (Some(Kind::Commit), _) => report.dropped += 1,
                _ => report.forgotten += 1,
            }
        }
        self.follow(&mut seen)?;
        match self.check_index(&mut seen) {
            Err(Error::IndexDamaged { what, .. }) => {
                seen.fault(Place::default(), format!("the index is damaged: {what}"));
            }
            checked => checked?,
        }
        let mut faults = std::mem::take(&mut seen.faults);
        faults.sort_by(|a, b| (a.place, &a.what).cmp(&(b.place, &b.what)));
        faults.dedup_by(|a, b| a.place == b.place && a.what == b.what);
        let of_paths = self.paths_of(faults.iter().filter_map(|f| f.of))?;
        report.faults = faults
            .into_iter()
            .map(|f| Fault {
                path: if f.place == Place::default() {
                    self.dir.join("graph.redb")
                } else {
                    self.core.packs.path(f.place.pack())
                },
                offset: f.place.offset(),
                saved: saved(f.of, &of_paths),
                what: f.what,
            })
            .collect();
        Ok(report)
    }

    /// Reads all packs up to `end`.
    pub(super) fn look_through(&self, end: Place) -> Result<Seen> {
        let mut seen = Seen::default();
        seen.objects.insert(
            object_key(Kind::Tree, &self.empty_tree().0),
            Place::default(),
        );
        let mut expected = 1;
        for n in self.core.packs.numbers() {
            if n > end.pack() {
                break;
            }
            for gap in expected..n {
                let what = format!("pack {gap} is missing");
                seen.fault(Place::new(gap, 0), what);
            }
            expected = n + 1;
            let path = self.core.packs.path(n);
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                    seen.fault(Place::new(n, 0), format!("pack {n} is missing"));
                    continue;
                }
                Err(e) => return Err(Error::io("open", &path, e)),
            };
            let scan = Scan {
                file: &file,
                path: &path,
                pack: n,
                last: false,
                upto: (n == end.pack()).then_some(end.offset()),
            };
            let scanned = scan.run(0, &mut |unit| {
                match unit {
                    Unit::One(item) => seen.take(item),
                    Unit::Group(items, _) => items.into_iter().for_each(|i| seen.take(i)),
                }
                Ok(())
            })?;
            seen.records += scanned.records;
            seen.bytes += scanned.length;
            if n == end.pack() && scanned.length < end.offset() {
                let what = format!("pack {n} was cut short to {} bytes", scanned.length);
                seen.fault(Place::new(n, scanned.length), what);
            }
            for spot in scanned.damage {
                seen.faults.push(Wrong {
                    place: spot.place,
                    what: spot.what.to_owned(),
                    of: spot.of.map(|(kind, id)| key_of(kind, &id)),
                });
                seen.spots.push(spot);
            }
        }
        Ok(seen)
    }

    /// Every reference that was seen.
    fn follow(&self, seen: &mut Seen) -> Result<()> {
        let mut doubtful = false;
        for (want, by, place) in std::mem::take(&mut seen.wanted) {
            if seen.has(&want) || seen.is_excused(&want, &by, place) {
                continue;
            }
            // A directory may be one that nothing needs any more.
            if by[0] == Kind::Tree as u8 && !seen.tombs.is_empty() {
                doubtful = true;
                continue;
            }
            let (what, id) = (word(&want), hex(&want[1..]));
            let (who, whose) = (word(&by), hex(&by[1..]));
            seen.faults.push(Wrong {
                place,
                what: format!("{what} {id} is missing, which {who} {} wants", &whose[..8]),
                of: Some(want),
            });
        }
        if doubtful {
            for (key, by) in self.mark(&self.dropped()?, &[])?.missing {
                if seen.tombs.contains_key(&key) {
                    continue;
                }
                let by =
                    by.map_or_else(|| "a step".to_owned(), |c| format!("commit {}", c.short()));
                seen.faults.push(Wrong {
                    place: Place::default(),
                    what: format!(
                        "{} {} is missing, which {by} wants",
                        word(&key),
                        hex(&key[1..])
                    ),
                    of: Some(key),
                });
            }
        }
        for (name, target) in self.refs()? {
            let want = match target {
                RefTarget::Commit(id) => object_key(Kind::Commit, &id.0),
                RefTarget::Step(id) => object_key(Kind::Step, &id.0),
                RefTarget::Branch(_) => continue,
            };
            let lost = seen.tombs.get(&want) == Some(&Why::Lost);
            if !seen.has(&want) && !lost {
                let what = format!(
                    "{name} points to {} {}, which is not there",
                    word(&want),
                    hex(&want[1..])
                );
                seen.fault(Place::default(), what);
            }
        }
        Ok(())
    }

    /// Where in the project these contents were: a few paths of each, and how many states changed to it.
    pub(super) fn paths_of(
        &self,
        keys: impl Iterator<Item = Key>,
    ) -> Result<HashMap<[u8; 32], Vec<RepoPath>>> {
        let mut out: HashMap<[u8; 32], Vec<RepoPath>> = keys
            .filter(|k| k[0] == Kind::Blob as u8)
            .filter_map(|k| k[1..].first_chunk::<32>().copied())
            .map(|id| (id, Vec::new()))
            .collect();
        if out.is_empty() {
            return Ok(out);
        }
        self.each_version(&mut |path, version| {
            if let Some(EntryKind::File { blob, .. }) = version.entry.as_ref().map(|e| &e.kind)
                && let Some(paths) = out.get_mut(&blob.0)
                && !paths.contains(path)
            {
                paths.push(path.clone());
            }
        })?;
        Ok(out)
    }

    /// Re-hashes one state: its commit, its directories, its contents. Faults name the file that they are in.
    pub fn verify_commit(&self, id: CommitId) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let commit = self.commit(id)?;
        report.commits = 1;
        report.records = 1;
        if let Some(tomb) = self.tomb(Gone::Commit(id))? {
            report.dropped = 1;
            if tomb.why != Why::Back {
                return Ok(report);
            }
        }
        if let Some(state) = commit.state {
            self.verify_blob(state, &RepoPath::root(), &mut report)?;
        }
        for tree in std::iter::once(commit.tree).chain(commit.conflict.iter().copied()) {
            self.verify_tree(tree, &mut report)?;
        }
        Ok(report)
    }

    fn verify_tree(&self, id: TreeId, report: &mut VerifyReport) -> Result<()> {
        let mut known = HashSet::from([self.empty_tree().0]);
        let mut todo = vec![(id, RepoPath::root())];
        while let Some((id, at)) = todo.pop() {
            if !known.insert(id.0) {
                continue;
            }
            // Past the cache: what lies on the disk is asked about.
            let (place, raw) = match self.tree_bytes(id) {
                Ok((loc, raw, _)) => (loc.place, raw),
                Err(e) => {
                    self.note(e, &at, report)?;
                    continue;
                }
            };
            report.records += 1;
            report.bytes += raw.len() as u64;
            let tree = match tree_code::decode(&raw) {
                Ok(tree) => tree,
                Err(bad) => {
                    self.note(self.wrong(place, bad.0), &at, report)?;
                    continue;
                }
            };
            for entry in &tree.entries {
                let Ok(path) = at.join(&entry.name) else {
                    continue;
                };
                match entry.kind {
                    EntryKind::Dir(below) => todo.push((below, path)),
                    EntryKind::File { blob, .. } if known.insert(blob.0) => {
                        self.verify_blob(blob, &path, report)?;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn verify_blob(&self, id: BlobId, at: &RepoPath, report: &mut VerifyReport) -> Result<()> {
        match self.write_blob_to(id, &mut std::io::sink()) {
            Ok(len) => {
                report.records += 1;
                report.bytes += len;
                Ok(())
            }
            Err(Error::Gone { .. })
                if self
                    .tomb(Gone::Blob(id))?
                    .is_some_and(|t| t.why == Why::Forgotten) =>
            {
                report.forgotten += 1;
                Ok(())
            }
            Err(e) => self.note(e, at, report),
        }
    }

    /// Makes a fault of an error that tells of one.
    fn note(&self, e: Error, at: &RepoPath, report: &mut VerifyReport) -> Result<()> {
        let (path, offset, what) = match e {
            Error::Damaged { path, offset, what } => (path, offset, what),
            e @ (Error::NotFound { .. } | Error::Gone { .. }) => {
                (self.dir.join("graph.redb"), 0, e.to_string())
            }
            e => return Err(e),
        };
        report.faults.push(Fault {
            path,
            offset,
            what: format!("{at}: {what}"),
            saved: "the other files of this state can be read".to_owned(),
        });
        Ok(())
    }
}

/// What is affected by damage to `of`, and what can be done.
fn saved(of: Option<Key>, of_paths: &HashMap<[u8; 32], Vec<RepoPath>>) -> String {
    let Some(key) = of else {
        return String::new();
    };
    let id = key[1..].first_chunk::<32>().copied().unwrap_or_default();
    match Kind::of(key[0]) {
        Some(Kind::Blob) => match of_paths.get(&id).map(Vec::as_slice) {
            Some(paths @ [first, ..]) => format!(
                "a version of {first}{}; verify --repair takes it from the workspace if that still has it; other files are whole",
                match paths.len() {
                    1 => String::new(),
                    n => format!(" and {} more", n - 1),
                }
            ),
            _ => "a content that no listed change names, such as a step's text; nothing else is affected".to_owned(),
        },
        Some(Kind::Chunk) => {
            "a part of a large file; verify --repair takes it from the workspace if that still has it".to_owned()
        }
        Some(Kind::Tree) => "the states with this directory cannot be read whole".to_owned(),
        Some(Kind::Commit | Kind::Operation | Kind::Step | Kind::Link | Kind::Session | Kind::Changes) => {
            "the index still has it if that was not damaged too: verify --repair puts it back".to_owned()
        }
        Some(Kind::Attrs) => "times and owners of the changed files; their contents are whole".to_owned(),
        _ => String::new(),
    }
}

pub(super) fn key_of(kind: u8, id: &[u8; 32]) -> Key {
    let mut key = [0; 33];
    key[0] = kind;
    key[1..].copy_from_slice(id);
    key
}

pub(super) fn hex(id: &[u8]) -> String {
    id.first_chunk::<32>()
        .map_or_else(String::new, |b| BlobId(*b).to_hex())
}

pub(super) fn word(key: &Key) -> &'static str {
    match Kind::of(key[0]) {
        Some(Kind::Blob) => "blob",
        Some(Kind::Chunk) => "chunk",
        Some(Kind::Tree) => "tree",
        Some(Kind::Attrs) => "attributes of",
        Some(Kind::Commit) => "commit",
        Some(Kind::Operation) => "operation",
        Some(Kind::Step) => "step",
        Some(Kind::Link) => "link of",
        Some(Kind::Session) => "session",
        Some(Kind::Changes) => "changes of",
        _ => "record",
    }
}

impl Seen {
    pub fn fault(&mut self, place: Place, what: String) {
        self.faults.push(Wrong {
            place,
            what,
            of: None,
        });
    }

    fn wrong(&mut self, key: Key, place: Place, what: &str) {
        self.bad.insert(place);
        self.faults.push(Wrong {
            place,
            what: what.to_owned(),
            of: Some(key),
        });
    }

    fn has(&self, key: &Key) -> bool {
        let id = || key[1..].first_chunk::<32>().copied().unwrap_or_default();
        match Kind::of(key[0]) {
            Some(Kind::Commit) => self.commits.contains_key(&id()),
            Some(Kind::Operation) => self.ops.contains_key(&id()),
            Some(Kind::Step) => self.newest.contains_key(key),
            _ => self.objects.contains_key(key),
        }
    }

    /// Whether something may be missing, or does not matter.
    fn is_excused(&self, want: &Key, by: &Key, place: Place) -> bool {
        if self.tombs.contains_key(want) || self.tombs.get(by) == Some(&Why::Lost) {
            // A commit whose content went is still there as a commit: only a lost one may be missing.
            return want[0] != Kind::Commit as u8 || self.tombs.get(want) == Some(&Why::Lost);
        }
        match Kind::of(by[0]) {
            Some(Kind::Commit) if want[0] != Kind::Commit as u8 => self.tombs.contains_key(by),
            Some(Kind::Step | Kind::Link | Kind::Session) => {
                // An older record of it counts no more.
                self.newest.get(by) != Some(&place)
                    // A store that is made of a recording has its steps elsewhere.
                    || (want[0] == Kind::Step as u8
                        && !self.newest.keys().any(|k| k[0] == Kind::Step as u8))
            }
            _ => false,
        }
    }

    fn want(&mut self, want: Key, by: Key, place: Place) {
        // What is referred to was mostly stored before.
        if !self.has(&want) {
            self.wanted.push((want, by, place));
        }
    }

    fn object(&mut self, key: Key, place: Place) {
        if let Some(earlier) = self.objects.insert(key, place) {
            self.copies.insert((key, earlier));
        }
    }

    fn take(&mut self, item: Item) {
        let header = item.header;
        let place = item.place;
        let Some(kind) = Kind::of(header.kind) else {
            return;
        };
        let id = header.id;
        let key = object_key(kind, &id);
        let raw = match header.decode(item.stored) {
            Ok(raw) => raw,
            Err(bad) => return self.wrong(key, place, bad.0),
        };
        match kind {
            Kind::Blob if header.flags & LISTED != 0 => match decode_list(&raw) {
                Ok((_, parts)) => {
                    self.object(key, place);
                    for part in parts {
                        self.want(object_key(Kind::Chunk, &part.id), key, place);
                    }
                }
                Err(bad) => self.wrong(key, place, bad.0),
            },
            Kind::Blob | Kind::Chunk => {
                if *blake3::hash(&raw).as_bytes() == id {
                    self.object(key, place);
                } else {
                    self.wrong(key, place, "a content does not have its id");
                }
            }
            Kind::Tree => self.tree(place, id, &raw),
            Kind::Commit => self.commit(place, id, &raw),
            Kind::Operation => self.operation(place, id, &raw),
            Kind::Attrs => {
                if let Err(bad) = commit_code::decode_attrs(&raw) {
                    self.wrong(key, place, bad.0);
                }
                self.want(object_key(Kind::Commit, &id), key, place);
            }
            Kind::Changes => {
                match commit_code::decode_changes(&raw) {
                    Ok(_) => _ = self.changes.insert(id),
                    Err(bad) => self.wrong(key, place, bad.0),
                }
                self.want(object_key(Kind::Commit, &id), key, place);
            }
            Kind::Link => match serde_json::from_slice::<Link>(&raw) {
                Ok(link) => {
                    self.newest.insert(key, place);
                    self.want(object_key(Kind::Commit, &link.commit.0), key, place);
                    if link.step.0 != NOBODY {
                        self.want(object_key(Kind::Step, &link.step.0), key, place);
                    }
                }
                Err(_) => self.wrong(key, place, "a link that cannot be read"),
            },
            Kind::Step => match serde_json::from_slice::<Step>(&raw) {
                Ok(step) => {
                    self.newest.insert(key, place);
                    for text in texts_of(&step) {
                        self.want(object_key(Kind::Blob, &text.0), key, place);
                    }
                    if let Some(state) = step.state {
                        self.want(object_key(Kind::Commit, &state.0), key, place);
                    }
                }
                Err(_) => self.wrong(key, place, "a step that cannot be read"),
            },
            Kind::Session => match serde_json::from_slice::<Session>(&raw) {
                Ok(_) => _ = self.newest.insert(key, place),
                Err(_) => self.wrong(key, place, "a session that cannot be read"),
            },
            Kind::Tombstone => match tomb::decode(&id, &raw) {
                Ok(tomb) if tomb.why == Why::Back => _ = self.tombs.remove(&tomb.gone.key()),
                Ok(tomb) => _ = self.tombs.insert(tomb.gone.key(), tomb.why),
                Err(bad) => self.wrong(key, place, bad.0),
            },
            Kind::Ref | Kind::AgentState | Kind::Event | Kind::End => {}
        }
    }

    fn tree(&mut self, place: Place, id: [u8; 32], raw: &[u8]) {
        let key = object_key(Kind::Tree, &id);
        if tree_code::id_of(raw) != TreeId(id) {
            return self.wrong(key, place, "a tree does not have its id");
        }
        match tree_code::decode(raw) {
            Err(bad) => self.wrong(key, place, bad.0),
            Ok(tree) => {
                self.object(key, place);
                for e in tree.entries {
                    let want = match e.kind {
                        EntryKind::File { blob, .. } => object_key(Kind::Blob, &blob.0),
                        EntryKind::Dir(tree) => object_key(Kind::Tree, &tree.0),
                        _ => continue,
                    };
                    self.want(want, key, place);
                }
            }
        }
    }

    fn commit(&mut self, place: Place, id: [u8; 32], raw: &[u8]) {
        let key = object_key(Kind::Commit, &id);
        if commit_code::id_of(raw) != CommitId(id) {
            return self.wrong(key, place, "a commit does not have its id");
        }
        match commit_code::decode(raw) {
            Err(bad) => self.wrong(key, place, bad.0),
            Ok(c) => {
                self.commits.insert(id, place);
                for p in c.parents {
                    self.want(object_key(Kind::Commit, &p.0), key, place);
                }
                for t in [Some(c.tree), c.git]
                    .into_iter()
                    .flatten()
                    .chain(c.conflict)
                {
                    self.want(object_key(Kind::Tree, &t.0), key, place);
                }
                if let Some(b) = c.state {
                    self.want(object_key(Kind::Blob, &b.0), key, place);
                }
            }
        }
    }

    fn operation(&mut self, place: Place, id: [u8; 32], raw: &[u8]) {
        let key = object_key(Kind::Operation, &id);
        if op_code::id_of(raw) != OpId(id) {
            return self.wrong(key, place, "an operation does not have its id");
        }
        match op_code::decode(raw) {
            Err(bad) => self.wrong(key, place, bad.0),
            Ok(op) => {
                self.ops.insert(id, place);
                if let Some(parent) = op.parent {
                    self.want(object_key(Kind::Operation, &parent.0), key, place);
                }
                for change in op.refs {
                    if let Some(RefTarget::Commit(c)) = change.after {
                        self.want(object_key(Kind::Commit, &c.0), key, place);
                    }
                }
            }
        }
    }

    /// What refers to something that is nowhere and was never meant to go, for a repair.
    pub fn dangling(&self) -> Vec<Gone> {
        let mut out: Vec<Gone> = self
            .wanted
            .iter()
            .filter(|(want, by, place)| !self.has(want) && !self.is_excused(want, by, *place))
            .filter_map(|(want, _, _)| Gone::of(want))
            .filter(|g| matches!(g, Gone::Commit(_) | Gone::Operation(_) | Gone::Step(_)))
            .collect();
        out.sort_unstable();
        out.dedup();
        out
    }

    /// Where something first wants what is not there; behind everything if nothing does.
    pub fn first_wanted(&self, key: &Key) -> Place {
        self.wanted
            .iter()
            .filter(|(want, _, _)| want == key)
            .map(|(_, _, place)| *place)
            .min()
            .unwrap_or(Place(u64::MAX))
    }
}
