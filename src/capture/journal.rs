//! The journal of the workspace: what an operation is about to do to the files, written durably before the first of
//! them changes, so that a process that dies in the middle is finished by the next one.
//!
//! One file, `intent`, in a directory of its own; it is there exactly while an operation is under way:
//!
//! ```text
//! backtrail-journal 1 LENGTH BLAKE3      one line; LENGTH and BLAKE3 (hexadecimal) are of the body
//! BODY                                   one line of JSON; bytes of names and link targets that are not UTF-8 as lists
//! in-place 3,17                          perhaps: the changes (by number) that are about to be written in place
//! ```
//!
//! The body is written to `intent.new`, synced, renamed, and the directory is synced: a torn body therefore means
//! damage, and is refused with the file's name. The last line is appended and synced later, so a torn one only says
//! that what it announces had not begun.

mod code;

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::failpoint::point;
use crate::diff::tree::PathChange;
use crate::model::{CommitId, OpId, OpKind, RefTarget, RepoPath, Time};

const MAGIC: &str = "backtrail-journal";
const VERSION: u64 = 1;
/// A longer file is not ours: it would take an operation on millions of paths.
const MAX: u64 = 1 << 30;

/// What can go wrong with the journal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused.
    #[error("cannot {what} the journal {}: {source}", path.display())]
    Io {
        /// A verb.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The journal is not what was written.
    #[error(
        "the journal {} is damaged ({what}): an operation may have stopped half-way; nothing was changed now. Move that file away to go on with the files as they are, and roll back to the state that you want",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A later version wrote it.
    #[error("the journal {} has format {found}, this program knows up to {VERSION}: let the newer backtrail that wrote it finish", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// An operation is under way that must be finished first.
    #[error("an earlier operation ({description}) stopped half-way: it must be finished first (journal {})", path.display())]
    Pending {
        /// The file.
        path: PathBuf,
        /// What that operation is.
        description: String,
    },
    /// The journal holds another operation than the one that was named.
    #[error("the journal {} holds another operation than the one to be finished", path.display())]
    Other {
        /// The file.
        path: PathBuf,
    },
}

impl Error {
    /// `journal` holds not what its caller wants to finish.
    pub(super) fn other(journal: &Journal) -> Self {
        Self::Other {
            path: journal.file(),
        }
    }
}

/// How files are to be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Options {
    /// Give files back their recorded modification time. Without it they get the present time, as git does: with the
    /// old one, make and cargo would call a newer binary fresh.
    #[serde(default)]
    pub keep_mtime: bool,
}

/// The branch to which an operation takes the workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// Its name.
    pub to: String,
    /// It is not there: it is made, at the commit that the workspace shall equal.
    #[serde(default)]
    pub make: bool,
    /// The branch that the workspace leaves is removed: what made it is undone.
    #[serde(default)]
    pub drop: bool,
    /// Where refs shall be when it is done (absent: not there), all that the operation moves. Then nothing follows from
    /// `make` and `drop`, and the branch may be the one that the workspace is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refs: Option<Vec<(String, Option<RefTarget>)>>,
}

/// What an operation is about to do to the workspace, with everything needed to finish it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Which kind of operation.
    pub operation: OpKind,
    /// A line for people.
    pub description: String,
    /// The branch whose workspace it is.
    pub branch: String,
    /// When it was asked for.
    pub time: Time,
    /// For undo and redo: the operation that is reversed or done again.
    pub target: Option<OpId>,
    /// The commit that the workspace equals before.
    pub from_commit: CommitId,
    /// The commit that it shall equal.
    pub to_commit: CommitId,
    /// How files are to be restored.
    pub options: Options,
    /// Every path that changes; a directory before what it holds.
    pub changes: Vec<PathChange>,
    /// Where the workspace goes to another branch.
    pub switch: Option<Switch>,
}

/// An intent with what the restoring itself must remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub intent: Intent,
    /// Directories that we may not write in as they are, with their modes: made writable for the time of the work.
    pub relaxed: Vec<(RepoPath, u32)>,
    /// Numbers of the changes that are being written in place; empty before that began.
    pub in_place: Vec<usize>,
    /// Hash of the body: names the staging files.
    pub id: blake3::Hash,
}

/// The journal's directory.
#[derive(Debug, Clone)]
pub struct Journal {
    dir: PathBuf,
}

impl Journal {
    /// Opens the journal in `dir`, which is made if it is not there (its parent must be).
    pub fn open(dir: &Path) -> Result<Self, Error> {
        match fs::DirBuilder::new().mode(0o700).create(dir) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(source) => {
                return Err(Error::Io {
                    what: "make",
                    path: dir.to_owned(),
                    source,
                });
            }
        }
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// The operation that is under way or was left half-way, if there is one.
    pub fn pending(&self) -> Result<Option<Intent>, Error> {
        Ok(self.read()?.map(|r| r.intent))
    }

    /// The operation is complete and its refs have moved: forget it. Durable when it returns, so that an old intent
    /// never comes back after a power cut.
    pub fn done(&self, intent: &Intent) -> Result<(), Error> {
        match self.read()? {
            None => return Ok(()),
            Some(r) if r.intent == *intent => {}
            Some(_) => return Err(Error::other(self)),
        }
        let path = self.file();
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(self.io("remove", e)),
        }
        point("journal.removed");
        self.sync_dir()
    }

    /// Writes the intent durably. Refused while another is pending.
    pub(super) fn begin(
        &self,
        intent: &Intent,
        relaxed: Vec<(RepoPath, u32)>,
    ) -> Result<Record, Error> {
        if let Some(other) = self.read()? {
            return Err(Error::Pending {
                path: self.file(),
                description: other.intent.description,
            });
        }
        let body = code::body(intent, &relaxed).map_err(|e| self.io("write", e.into()))?;
        let id = blake3::hash(&body);
        let bytes = code::encode(&body, id);
        let written = self.dir.join("intent.new");
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&written)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            point("journal.temporary-written");
            fs::rename(&written, self.file())
        };
        if let Err(e) = write() {
            let _ = fs::remove_file(&written);
            return Err(self.io("write", e));
        }
        point("journal.renamed");
        self.sync_dir()?;
        Ok(Record {
            intent: intent.clone(),
            relaxed,
            in_place: Vec::new(),
            id,
        })
    }

    /// Notes durably that these changes are now written in place. At most once for an intent.
    pub(super) fn mark_in_place(&self, changes: &[usize]) -> Result<(), Error> {
        let numbers: Vec<String> = changes.iter().map(usize::to_string).collect();
        let line = format!("in-place {}\n", numbers.join(","));
        let append = || -> io::Result<()> {
            let mut file = OpenOptions::new().append(true).open(self.file())?;
            file.write_all(line.as_bytes())?;
            file.sync_data()
        };
        append().map_err(|e| self.io("write", e))
    }

    /// What the journal holds.
    pub(super) fn read(&self) -> Result<Option<Record>, Error> {
        let path = self.file();
        let mut file = match File::open(&path) {
            Ok(f) => f,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.io("read", e)),
        };
        let length = file.metadata().map_err(|e| self.io("read", e))?.len();
        if length > MAX {
            return Err(Error::Damaged {
                path,
                what: format!("{length} bytes long"),
            });
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|e| self.io("read", e))?;
        code::decode(&bytes, &path).map(Some)
    }

    fn file(&self) -> PathBuf {
        self.dir.join("intent")
    }

    fn sync_dir(&self) -> Result<(), Error> {
        File::open(&self.dir)
            .and_then(|d| d.sync_all())
            .map_err(|e| self.io("sync", e))
    }

    fn io(&self, what: &'static str, source: io::Error) -> Error {
        Error::Io {
            what,
            path: self.file(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )]
    use proptest::prelude::*;

    use super::*;
    use crate::model::{BlobId, Entry, Kind, TreeId};

    fn entry(path: &RepoPath) -> impl Strategy<Value = Entry> + use<> {
        let name = path.name().to_vec();
        let kind = prop_oneof![
            (any::<[u8; 32]>(), any::<u64>()).prop_map(|(b, size)| Kind::File {
                blob: BlobId(b),
                size
            }),
            any::<[u8; 32]>().prop_map(|t| Kind::Dir(TreeId(t))),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(Kind::Symlink),
            Just(Kind::Fifo),
            Just(Kind::Socket),
            (any::<bool>(), any::<u64>()).prop_map(|(block, rdev)| Kind::Device { block, rdev }),
            any::<u32>().prop_map(|version| Kind::Unknown { version }),
        ];
        (0..0o10000_u32, kind).prop_map(move |(mode, kind)| Entry {
            name: name.clone(),
            mode,
            kind,
        })
    }

    /// Paths of any bytes.
    fn path() -> impl Strategy<Value = RepoPath> {
        let byte = prop_oneof![
            Just(b'/'),
            Just(b'\n'),
            Just(b'"'),
            Just(b'\\'),
            Just(0xff),
            1..=255_u8
        ];
        prop::collection::vec(byte, 1..30).prop_filter_map("a path", |b| RepoPath::new(b).ok())
    }

    fn change() -> impl Strategy<Value = PathChange> {
        path().prop_flat_map(|path| {
            (
                prop::option::of(entry(&path)),
                prop::option::of(entry(&path)),
            )
                .prop_map(move |(before, after)| PathChange {
                    path: path.clone(),
                    before,
                    after,
                })
        })
    }

    fn intent_of(changes: Vec<PathChange>, description: String, keep_mtime: bool) -> Intent {
        Intent {
            operation: OpKind::Rollback,
            description,
            branch: "main".into(),
            time: Time(1_760_000_000_123_456),
            target: Some(OpId([7; 32])),
            from_commit: CommitId([1; 32]),
            to_commit: CommitId([2; 32]),
            options: Options { keep_mtime },
            changes,
            switch: keep_mtime.then(|| Switch {
                to: "other".into(),
                make: true,
                drop: false,
                refs: Some(vec![
                    ("head".into(), Some(RefTarget::Branch("other".into()))),
                    ("label/a".into(), None),
                ]),
            }),
        }
    }

    fn small() -> Intent {
        let path = RepoPath::new(&b"dir/\xff\n"[..]).unwrap();
        let change = PathChange {
            before: None,
            after: Some(Entry {
                name: path.name().to_vec(),
                mode: 0o644,
                kind: Kind::Fifo,
            }),
            path,
        };
        intent_of(vec![change; 5], "roll back".into(), false)
    }

    proptest! {
        #[test]
        fn keeps_any_names(
            changes in prop::collection::vec(change(), 0..8),
            description in any::<String>(),
            relaxed in prop::collection::vec((path(), 0..0o7777_u32), 0..3),
            keep_mtime: bool,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let journal = Journal::open(&dir.path().join("journal")).unwrap();
            prop_assert_eq!(journal.pending().unwrap(), None);
            let intent = intent_of(changes, description, keep_mtime);
            let written = journal.begin(&intent, relaxed).unwrap();
            let pending = journal.pending().unwrap();
            prop_assert_eq!(pending.as_ref(), Some(&intent));
            let read = journal.read().unwrap().unwrap();
            prop_assert_eq!(&read, &written);
            journal.done(&intent).unwrap();
            prop_assert_eq!(journal.pending().unwrap(), None);
            journal.done(&intent).unwrap();
        }
    }

    #[test]
    fn one_operation_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let intent = small();
        journal.begin(&intent, Vec::new()).unwrap();
        let again = journal.begin(&intent, Vec::new()).unwrap_err();
        assert!(matches!(again, Error::Pending { .. }), "{again}");
        let mut other = intent.clone();
        other.time = Time(1);
        let wrong = journal.done(&other).unwrap_err();
        assert!(matches!(wrong, Error::Other { .. }), "{wrong}");
        assert_eq!(journal.pending().unwrap(), Some(intent));
    }

    #[test]
    fn notes_what_is_written_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        journal.begin(&small(), Vec::new()).unwrap();
        assert_eq!(
            journal.read().unwrap().unwrap().in_place,
            Vec::<usize>::new()
        );
        journal.mark_in_place(&[0, 4]).unwrap();
        assert_eq!(journal.read().unwrap().unwrap().in_place, vec![0, 4]);
        // A torn line announces nothing; a number out of range is no number.
        let file = dir.path().join("intent");
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(
            journal.read().unwrap().unwrap().in_place,
            Vec::<usize>::new()
        );
        let mut far = whole[..whole.len() - 2].to_vec();
        far.extend_from_slice(b"5\n");
        std::fs::write(&file, far).unwrap();
        assert_eq!(
            journal.read().unwrap().unwrap().in_place,
            Vec::<usize>::new()
        );
    }

    #[test]
    fn damage_is_named_and_never_believed() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        journal.begin(&small(), Vec::new()).unwrap();
        let file = dir.path().join("intent");
        let whole = std::fs::read(&file).unwrap();
        let refuse = |bytes: &[u8]| {
            std::fs::write(&file, bytes).unwrap();
            let error = journal.pending().unwrap_err();
            assert!(
                error.to_string().contains(file.to_str().unwrap()),
                "{error}"
            );
            error
        };
        for cut in 0..whole.len() - 1 {
            refuse(&whole[..cut]);
        }
        for at in 0..whole.len() - 1 {
            let mut bad = whole.clone();
            bad[at] ^= 0x20;
            // Hexadecimal digits are read in either case.
            if !bad.eq_ignore_ascii_case(&whole) {
                refuse(&bad);
            }
        }
        refuse(b"");
        refuse(&[0; 5000]);
        refuse(&[0xff; 5000]);
        let newer = String::from_utf8(whole.clone()).unwrap();
        let newer = newer.replacen("backtrail-journal 1 ", "backtrail-journal 2 ", 1);
        let error = refuse(newer.as_bytes());
        assert!(matches!(error, Error::Newer { found: 2, .. }), "{error}");
        // A path that would lead out of the project, under a hash that fits.
        let end = whole.iter().position(|b| *b == b'\n').unwrap();
        let body = String::from_utf8(whole[end + 1..whole.len() - 1].to_vec()).unwrap();
        let path = r#""path":{"bytes":[100,105,114,47,255,10]}"#;
        assert!(body.contains(path), "{body}");
        for evil in [
            r#""path":"../../etc/x""#,
            r#""path":"/etc/x""#,
            r#""path":"a/./b""#,
        ] {
            let body = body.replace(path, evil);
            let hash = blake3::hash(body.as_bytes()).to_hex();
            let text = format!("{MAGIC} 1 {} {hash}\n{body}\n", body.len());
            assert!(matches!(refuse(text.as_bytes()), Error::Damaged { .. }));
        }
        std::fs::write(&file, &whole).unwrap();
        assert_eq!(journal.pending().unwrap(), Some(small()));
    }
}
