//! The unfinished merge as it is kept: which sides, and every act so far. One file, `merge`, in the store's directory:
//!
//! ```text
//! backtrail-merge 1 LENGTH BLAKE3      one line; LENGTH and BLAKE3 (hexadecimal) are of the body
//! BODY                                 one line of JSON
//! ```
//!
//! It is written beside, synced and renamed, so that it is there whole or not at all. What is not as it was written is moved
//! aside and said, never removed: it may hold somebody's work. The file says nothing of trees: the same commits give the
//! same merge again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::capture::failpoint::point;
use crate::engine::api::{ApiError, ErrorCode, PickOrigin, ProposalRecord};
use crate::merge::resolve::Pick;
use crate::model::{CommitId, RepoPath, Time};

const MAGIC: &str = "backtrail-merge";
const VERSION: u64 = 1;
/// A longer file is not ours.
const MAX: u64 = 1 << 30;

/// So many proposals are kept.
const PROPOSALS: usize = 1_000;

/// A merge that is not finished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Goes up with every change.
    pub id: u64,
    /// What is merged, as it was asked for.
    pub branch: String,
    /// It is a branch and is followed when it moves.
    pub follows: bool,
    /// The branch that it is merged into.
    pub into: String,
    /// That branch's latest commit when this was made.
    pub ours: CommitId,
    /// The latest commit of what is merged.
    pub theirs: CommitId,
    /// The commit whose conflicts are taken up again.
    #[serde(default)]
    pub resumed: Option<CommitId>,
    /// A line for people, for the commit.
    #[serde(default)]
    pub message: Option<String>,
    /// What was picked, in order.
    #[serde(default)]
    pub acts: Vec<Act>,
    /// Proposals that were shown.
    #[serde(default)]
    pub proposals: Vec<Shown>,
    /// A side has moved since the last act.
    #[serde(default)]
    pub remade: bool,
    /// Numbers of conflicts mean other things since a side moved, and nobody has been told.
    #[serde(default)]
    pub untold: bool,
    /// Of which commits each file with markers was written.
    #[serde(default)]
    pub written: Vec<Written>,
    /// Conflicts that were not settled when it was last written.
    #[serde(default)]
    pub left: usize,
    /// When it was begun.
    pub began: Time,
}

impl Record {
    /// Keeps a proposal, or what has become of one that is kept. Of too many the oldest that was not taken goes: what was
    /// taken tells how a file came to be what it is.
    pub fn keep_shown(&mut self, one: Shown) {
        let same = |s: &Shown| {
            (&s.path, &s.print, s.nth) == (&one.path, &one.print, one.nth)
                && s.record.prompt_hash == one.record.prompt_hash
                && s.record.text == one.record.text
        };
        if let Some(shown) = self.proposals.iter_mut().find(|s| same(s)) {
            *shown = one;
            return;
        }
        if self.proposals.len() >= PROPOSALS {
            let oldest = self.proposals.iter().position(|s| !s.record.accepted);
            self.proposals.remove(oldest.unwrap_or_default());
        }
        self.proposals.push(one);
    }
}

/// What was picked at once, and is taken back at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Act {
    pub picks: Vec<OnePick>,
}

/// One pick.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct OnePick {
    pub at: At,
    /// Hash of what was picked between, so that the pick is found again, or dropped, when the merge is made again.
    pub print: String,
    /// How many with the same hash stand before it.
    #[serde(default)]
    pub nth: usize,
    /// `None`: unsettled again.
    pub pick: Option<Pick>,
    pub origin: PickOrigin,
}

/// What is picked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum At {
    /// All of a conflict.
    Whole { path: RepoPath },
    /// A hunk.
    Hunk { path: RepoPath, hunk: usize },
    /// A conflict of the agent's state.
    State { conflict: usize },
}

/// A proposal that was shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Shown {
    pub path: RepoPath,
    /// Which hunk it was when it was shown.
    pub hunk: usize,
    /// Which it was in truth, as for a pick: by what it was proposed between.
    #[serde(default)]
    pub print: String,
    #[serde(default)]
    pub nth: usize,
    pub record: ProposalRecord,
}

/// A file that was written with markers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Written {
    pub path: RepoPath,
    pub ours: CommitId,
    pub theirs: CommitId,
}

/// What is in the file.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Merge(Box<Record>),
    /// It was not what was written; it was moved to where this says.
    Damaged(String),
}

/// Where it is kept.
#[derive(Debug, Clone)]
pub(super) struct Keeper {
    dir: PathBuf,
}

impl Keeper {
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    fn file(&self) -> PathBuf {
        self.dir.join("merge")
    }

    /// Reads it.
    pub fn load(&self) -> Result<Found, ApiError> {
        let path = self.file();
        let mut bytes = Vec::new();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open(&path);
        let read = file.and_then(|file| {
            if !file.metadata()?.is_file() {
                return Ok(false);
            }
            file.take(MAX + 1).read_to_end(&mut bytes)?;
            Ok(true)
        });
        let why = match read {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(e) => return Err(self.failed("read", &e)),
            Ok(false) => "it is no file".to_owned(),
            Ok(true) => match decode(&bytes) {
                Ok(record) => return Ok(Found::Merge(Box::new(record))),
                Err(Bad::Newer(found)) => {
                    return Err(ApiError::new(
                        ErrorCode::Refused,
                        format!(
                            "the unfinished merge {} has format {found}, this program knows up to {VERSION}: finish it with the newer backtrail that wrote it",
                            path.display()
                        ),
                    ));
                }
                Err(Bad::Damaged(why)) => why,
            },
        };
        let aside = self.aside().map_err(|e| self.failed("move aside", &e))?;
        Ok(Found::Damaged(format!(
            "the unfinished merge could not be read ({why}); what there was is in {} and no branch has moved: begin the merge again",
            aside.display()
        )))
    }

    fn aside(&self) -> io::Result<PathBuf> {
        let mut n = 1_u32;
        loop {
            let to = self.dir.join(format!("merge.damaged-{n}"));
            if fs::symlink_metadata(&to).is_err() {
                fs::rename(self.file(), &to)?;
                return Ok(to);
            }
            n = n.saturating_add(1);
        }
    }

    /// Writes it durably.
    pub fn save(&self, record: &Record) -> Result<(), ApiError> {
        let body = serde_json::to_vec(record).map_err(|e| self.failed("write", &e.into()))?;
        let head = format!(
            "{MAGIC} {VERSION} {} {}\n",
            body.len(),
            blake3::hash(&body).to_hex()
        );
        let written = self.dir.join("merge.new");
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&written)?;
            file.write_all(&[head.as_bytes(), &body, b"\n"].concat())?;
            file.sync_all()?;
            point("merge.written");
            fs::rename(&written, self.file())?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|e| {
            let _ = fs::remove_file(&written);
            self.failed("write", &e)
        })?;
        point("merge.kept");
        Ok(())
    }

    /// Forgets it, durably.
    pub fn forget(&self) -> Result<(), ApiError> {
        let gone = match fs::remove_file(self.file()) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            other => other,
        };
        gone.and_then(|()| File::open(&self.dir)?.sync_all())
            .map_err(|e| self.failed("remove", &e))
    }

    fn failed(&self, what: &str, e: &io::Error) -> ApiError {
        let code = match e.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ErrorCode::Full,
            _ => ErrorCode::Failed,
        };
        ApiError::new(
            code,
            format!(
                "cannot {what} the unfinished merge {}: {e}",
                self.file().display()
            ),
        )
    }
}

enum Bad {
    Damaged(String),
    Newer(u64),
}

fn decode(bytes: &[u8]) -> Result<Record, Bad> {
    let bad = |why: &str| Bad::Damaged(why.to_owned());
    let at = bytes
        .iter()
        .take(200)
        .position(|b| *b == b'\n')
        .ok_or_else(|| bad("it has no first line"))?;
    let (head, body) = bytes.split_at(at);
    let head = std::str::from_utf8(head).map_err(|_| bad("its first line is not ours"))?;
    let mut words = head.split(' ');
    if words.next() != Some(MAGIC) {
        return Err(bad("its first line is not ours"));
    }
    let version: Option<u64> = words.next().and_then(|w| w.parse().ok());
    match version {
        Some(VERSION) => {}
        Some(newer) if newer > VERSION => return Err(Bad::Newer(newer)),
        _ => return Err(bad("its first line is not ours")),
    }
    let length: Option<usize> = words.next().and_then(|w| w.parse().ok());
    let body = body
        .strip_prefix(b"\n")
        .and_then(|b| b.strip_suffix(b"\n"))
        .filter(|b| Some(b.len()) == length)
        .ok_or_else(|| bad("it is not whole"))?;
    if words.next() != Some(blake3::hash(body).to_hex().as_str()) {
        return Err(bad("its content is not what was written"));
    }
    serde_json::from_slice(body).map_err(|e| Bad::Damaged(format!("it is not understood: {e}")))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )]
    use super::*;

    fn record() -> Record {
        let path = RepoPath::new(&b"dir/\xff\n"[..]).unwrap();
        Record {
            id: 7,
            branch: "try \u{1b}[2J".into(),
            follows: true,
            into: "main".into(),
            ours: CommitId([1; 32]),
            theirs: CommitId([2; 32]),
            resumed: None,
            message: Some("m".into()),
            acts: vec![Act {
                picks: vec![OnePick {
                    at: At::Hunk { path, hunk: 3 },
                    print: "p".into(),
                    nth: 1,
                    pick: Some(Pick::Edited(vec![0, 255, b'\n'])),
                    origin: PickOrigin::Llm {
                        model: "m".into(),
                        reviewed: false,
                    },
                }],
            }],
            proposals: Vec::new(),
            remade: false,
            untold: false,
            written: Vec::new(),
            left: 2,
            began: Time(5),
        }
    }

    #[test]
    fn is_read_as_it_was_written_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = Keeper::new(dir.path());
        assert!(matches!(keeper.load().unwrap(), Found::Nothing));
        keeper.save(&record()).unwrap();
        match keeper.load().unwrap() {
            Found::Merge(read) => assert_eq!(*read, record()),
            other => panic!("{other:?}"),
        }
        keeper.forget().unwrap();
        keeper.forget().unwrap();
        assert!(matches!(keeper.load().unwrap(), Found::Nothing));
    }

    #[test]
    fn of_too_many_proposals_the_oldest_that_was_not_taken_goes() {
        let shown = |n: usize, accepted| Shown {
            path: RepoPath::new(&b"f"[..]).unwrap(),
            hunk: 0,
            print: "p".into(),
            nth: 0,
            record: ProposalRecord {
                model: "m".into(),
                prompt_hash: format!("{n}"),
                text: crate::model::Bytes(b"t".to_vec()),
                explanation: String::new(),
                cites: Vec::new(),
                drops: Vec::new(),
                confidence: "high".into(),
                tokens: (1, 1),
                time: Time(1),
                accepted,
            },
        };
        let mut record = record();
        for n in 0..PROPOSALS {
            record.keep_shown(shown(n, n == 0));
        }
        record.keep_shown(shown(PROPOSALS, false));
        let kept = |record: &Record, n: usize| {
            let hash = format!("{n}");
            let all = &record.proposals;
            all.iter().any(|s| s.record.prompt_hash == hash)
        };
        assert_eq!(record.proposals.len(), PROPOSALS);
        assert!(kept(&record, 0) && !kept(&record, 1) && kept(&record, 2));
        assert!(kept(&record, PROPOSALS));
        // One that is there is taken: none goes for it.
        record.keep_shown(shown(2, true));
        assert_eq!(record.proposals.len(), PROPOSALS);
        assert!(kept(&record, 3));
    }

    #[test]
    fn what_is_damaged_is_moved_aside_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = Keeper::new(dir.path());
        keeper.save(&record()).unwrap();
        let file = dir.path().join("merge");
        let whole = fs::read(&file).unwrap();
        let mut cases: Vec<Vec<u8>> = (0..whole.len())
            .step_by(7)
            .map(|n| whole[..n].to_vec())
            .collect();
        cases.push(b"something else\n".to_vec());
        let mut flipped = whole;
        let last = flipped.len() - 20;
        flipped[last] ^= 1;
        cases.push(flipped);
        for (n, case) in cases.iter().enumerate() {
            fs::write(&file, case).unwrap();
            let Found::Damaged(said) = keeper.load().unwrap() else {
                panic!("{n}: taken for whole")
            };
            let aside = dir.path().join(format!("merge.damaged-{}", n + 1));
            assert!(said.contains("begin the merge again"), "{said}");
            assert_eq!(&fs::read(aside).unwrap(), case);
            assert!(!file.exists());
        }
    }

    #[test]
    fn what_a_later_version_wrote_stays_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = Keeper::new(dir.path());
        let file = dir.path().join("merge");
        fs::write(&file, "backtrail-merge 2 1 x\n?\n").unwrap();
        assert!(keeper.load().unwrap_err().message.contains("format 2"));
        assert!(file.exists());
    }
}
