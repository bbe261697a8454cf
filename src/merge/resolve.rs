//! Settling conflicts: a resolution is a value too, made in any order, kept beside an unfinished merge, and applied to
//! what the merge gave. What it does not cover, or cannot, is left and said.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::{Entry, Kind, RepoPath, TreeId, base64_bytes};

use super::Error;
use super::conflict::{Conflict, ConflictKind, Hunk, Piece};
use super::objects::{Made, Objects, lookup, with_entries};
use super::trees::MergedTree;

/// What stands in place of a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pick {
    /// What ours has.
    Ours,
    /// What theirs has.
    Theirs,
    /// What ours has, then what theirs has; never the base.
    Both,
    /// What was there before.
    Base,
    /// This, written by a person or accepted from a proposal.
    Edited(#[serde(with = "base64_bytes")] Vec<u8>),
}

/// How one conflict is settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolution {
    /// As a whole. For a file with hunks `Both` means both in every hunk; for two things that cannot stand together it
    /// keeps theirs beside ours, under a name of its own.
    Whole(Pick),
    /// Hunk by hunk, by number from 0.
    Hunks(BTreeMap<usize, Pick>),
}

/// All that was settled so far, by the conflict's path.
pub type Resolutions = BTreeMap<RepoPath, Resolution>;

/// What is not settled yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Which conflict.
    pub path: RepoPath,
    /// Which hunks; empty: all of it.
    pub hunks: Vec<usize>,
    /// Why a pick that was made does not settle it.
    pub why: Option<&'static str>,
}

/// What became of a merge with some conflicts settled.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The tree so far: what is not settled has what ours has.
    pub so_far: TreeId,
    /// What is left.
    pub left: Vec<Left>,
    /// All that was made, the merge's part included.
    pub made: Made,
}

impl Applied {
    /// The tree, if all is settled.
    #[must_use]
    pub fn tree(&self) -> Option<TreeId> {
        self.left.is_empty().then_some(self.so_far)
    }
}

/// Applies `resolutions` to what `merged` left in conflict. A resolution of a path that is not in conflict does nothing.
pub fn apply(
    merged: &MergedTree,
    under: &dyn Objects,
    resolutions: &Resolutions,
) -> Result<Applied, Error> {
    let mut made = merged.made.clone();
    let mut entries = BTreeMap::new();
    let mut left = Vec::new();
    for conflict in &merged.conflicts {
        let settled = match resolutions.get(&conflict.path) {
            None => Err(Left::all(conflict, None)),
            Some(resolution) => {
                let here = lookup(&made.over(under), merged.so_far, &conflict.path)?;
                let mut one = One {
                    made: &mut made,
                    under,
                    so_far: merged.so_far,
                    conflict,
                    here,
                };
                one.settle(resolution)?
            }
        };
        match settled {
            Ok(edits) => entries.extend(edits),
            Err(what) => left.push(what),
        }
    }
    let so_far = if entries.is_empty() {
        merged.so_far
    } else {
        with_entries(&mut made, under, merged.so_far, &entries)?
    };
    Ok(Applied { so_far, left, made })
}

impl Left {
    fn all(conflict: &Conflict, why: Option<&'static str>) -> Self {
        Self {
            path: conflict.path.clone(),
            hunks: Vec::new(),
            why,
        }
    }
}

type Edits = Vec<(RepoPath, Option<Entry>)>;

/// One conflict being settled.
struct One<'a> {
    made: &'a mut Made,
    under: &'a dyn Objects,
    so_far: TreeId,
    conflict: &'a Conflict,
    /// What is at its path so far.
    here: Option<Entry>,
}

impl One<'_> {
    fn settle(&mut self, resolution: &Resolution) -> Result<Result<Edits, Left>, Error> {
        let conflict = self.conflict;
        let hunks = conflict.hunks().count();
        match resolution {
            Resolution::Hunks(picks) if hunks > 0 => Ok(self.hunks(&|n| picks.get(&n).cloned())),
            Resolution::Hunks(_) => Ok(Err(Left::all(
                conflict,
                Some("it has no hunks: settle it as a whole"),
            ))),
            // The settled pieces stay: taking a side concerns what is in conflict. So does "base".
            Resolution::Whole(pick @ (Pick::Ours | Pick::Theirs | Pick::Both | Pick::Base))
                if hunks > 0 && conflict.kind != ConflictKind::BothAdded =>
            {
                Ok(self.hunks(&|_| Some(pick.clone())))
            }
            Resolution::Whole(Pick::Both) if hunks > 0 => Ok(self.hunks(&|_| Some(Pick::Both))),
            Resolution::Whole(Pick::Edited(text)) => Ok(self.edited(text)),
            Resolution::Whole(Pick::Both) => self.beside(),
            Resolution::Whole(Pick::Ours) => Ok(Ok(self.take(0))),
            Resolution::Whole(Pick::Theirs) => Ok(Ok(self.take(1))),
            Resolution::Whole(Pick::Base) => Ok(Ok(self.base())),
        }
    }

    fn file(&mut self, content: Vec<u8>) -> Option<Edits> {
        let conflict = self.conflict;
        let like = [&self.here, &conflict.ours, &conflict.theirs, &conflict.base]
            .into_iter()
            .flatten()
            .find(|e| matches!(e.kind, Kind::File { .. } | Kind::Unknown { .. }))?
            .clone();
        let kind = self.made.blob(content);
        let mut edits = self.only();
        edits.push((conflict.path.clone(), Some(Entry { kind, ..like })));
        Some(edits)
    }

    /// Puts the file together of its pieces.
    fn hunks(&mut self, pick: &dyn Fn(usize) -> Option<Pick>) -> Result<Edits, Left> {
        let (text, open, why) = text(&self.conflict.pieces, pick);
        let left = |hunks, why| Left {
            path: self.conflict.path.clone(),
            hunks,
            why,
        };
        if !open.is_empty() {
            return Err(left(open, why));
        }
        let all = Left::all(self.conflict, Some("there is no file to be written"));
        self.file(text).ok_or(all)
    }

    fn edited(&mut self, text: &[u8]) -> Result<Edits, Left> {
        let all = Left::all(
            self.conflict,
            Some("only the content of a file can be edited"),
        );
        match self.conflict.kind {
            ConflictKind::FileDirectory | ConflictKind::Mode | ConflictKind::Link => Err(all),
            _ => self.file(text.to_vec()).ok_or(all),
        }
    }

    /// The paths that go when the conflict's own path is the only one that stays.
    fn only(&self) -> Edits {
        match (self.conflict.kind, &self.conflict.paths[1]) {
            (ConflictKind::RenamedTwice, Some(second)) => vec![(second.clone(), None)],
            _ => Vec::new(),
        }
    }

    fn take(&self, side: usize) -> Edits {
        let conflict = self.conflict;
        let entry = if side == 0 {
            &conflict.ours
        } else {
            &conflict.theirs
        };
        let path = conflict.path.clone();
        match (conflict.kind, &conflict.paths[1]) {
            // What is there was merged but for its permissions.
            (ConflictKind::Mode, _) => vec![(path, self.with_mode(entry.as_ref()))],
            (ConflictKind::RenamedTwice, Some(second)) if side == 1 => {
                vec![(path, None), (second.clone(), entry.clone())]
            }
            (ConflictKind::RenamedTwice, Some(second)) => {
                vec![(path, entry.clone()), (second.clone(), None)]
            }
            _ => vec![(path, entry.clone())],
        }
    }

    fn with_mode(&self, of: Option<&Entry>) -> Option<Entry> {
        let here = self.here.clone()?;
        let mode = of.map_or(here.mode, |e| e.mode);
        Some(Entry { mode, ..here })
    }

    fn base(&self) -> Edits {
        let conflict = self.conflict;
        let path = conflict.path.clone();
        match conflict.kind {
            ConflictKind::Mode => vec![(path, self.with_mode(conflict.base.as_ref()))],
            // Back at the old name, which only both sides' new ones have taken.
            _ => {
                let mut edits = self.only();
                edits.push((path, conflict.base.clone()));
                edits
            }
        }
    }

    /// Ours stays, theirs comes beside it.
    fn beside(&self) -> Result<Result<Edits, Left>, Error> {
        let conflict = self.conflict;
        let no = |why| Ok(Err(Left::all(conflict, Some(why))));
        match (conflict.kind, &conflict.ours, &conflict.theirs) {
            (ConflictKind::Mode, ..) => no("it has one set of permissions: pick one"),
            // Both new names are there already.
            (ConflictKind::RenamedTwice, ..) => Ok(Ok(Vec::new())),
            (_, Some(_), Some(theirs)) => match self.free_name()? {
                Some(path) => Ok(Ok(vec![(path, Some(theirs.clone()))])),
                None => no("no name is free beside it"),
            },
            _ => no("only one side has something here: pick it, or the deletion"),
        }
    }

    fn free_name(&self) -> Result<Option<RepoPath>, Error> {
        let over = self.made.over(self.under);
        let Some(dir) = self.conflict.path.parent() else {
            return Ok(None);
        };
        for n in 1..100 {
            let mut name = self.conflict.path.name().to_vec();
            name.extend_from_slice(b".theirs");
            if n > 1 {
                name.extend_from_slice(n.to_string().as_bytes());
            }
            let Ok(path) = dir.join(&name) else {
                return Ok(None);
            };
            if lookup(&over, self.so_far, &path)?.is_none() {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }
}

/// The text of `pieces` with the hunks that `pick` settles; unsettled ones read as ours. Gives the numbers of those too,
/// and why a pick did not do.
#[must_use]
pub fn text(
    pieces: &[Piece],
    pick: &dyn Fn(usize) -> Option<Pick>,
) -> (Vec<u8>, Vec<usize>, Option<&'static str>) {
    let mut out = Vec::new();
    let mut open = Vec::new();
    let mut why = None;
    let mut n = 0;
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text),
            Piece::Hunk(hunk) => {
                let picked = pick(n);
                match picked.as_ref().map(|p| picked_text(hunk, p)) {
                    Some(Some(text)) => out.extend_from_slice(&text),
                    found => {
                        if found.is_some() {
                            why = Some("that is not one value for this key");
                        }
                        open.push(n);
                        out.extend_from_slice(&hunk.ours);
                    }
                }
                n += 1;
            }
        }
    }
    (out, open, why)
}

/// What a pick makes of a hunk; `None`: it cannot be.
#[must_use]
pub fn picked_text(hunk: &Hunk, pick: &Pick) -> Option<Vec<u8>> {
    Some(match pick {
        Pick::Ours => hunk.ours.clone(),
        Pick::Theirs => hunk.theirs.clone(),
        // A key that the base does not have cannot get a value from there.
        Pick::Base if hunk.key.is_some() && hunk.base.is_empty() => return None,
        Pick::Base => hunk.base.clone(),
        Pick::Edited(text) => text.clone(),
        Pick::Both if hunk.key.is_some() => return None,
        Pick::Both => both(hunk),
    })
}

/// Ours, then theirs; a line feed between them where ours has none at its end.
fn both(hunk: &Hunk) -> Vec<u8> {
    let mut out = hunk.ours.clone();
    if !out.is_empty() && !out.ends_with(b"\n") && !hunk.theirs.is_empty() {
        out.extend_from_slice(if hunk.crlf { b"\r\n" } else { b"\n" });
    }
    out.extend_from_slice(&hunk.theirs);
    out
}

/// The paths of all conflicts, for what wants to say whether a resolution still fits.
#[must_use]
pub fn paths(merged: &MergedTree) -> BTreeSet<RepoPath> {
    merged.conflicts.iter().map(|c| c.path.clone()).collect()
}
