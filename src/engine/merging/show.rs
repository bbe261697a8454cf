//! What is told of a merge: the whole, one conflict of it, a file as it would be written.

use std::collections::HashMap;

use super::picks::{Print, Settlement, Settling, hunk_prints};
use super::plan::{Plan, Settled, SettledState, StatePlan};
use super::record::Record;
use crate::engine::answer::{entry_info, file_changes};
use crate::engine::api::{
    ApiError, Bytes, ConflictDetail, ConflictInfo, EntryInfo, ErrorCode, MergeInfo, PickOrigin,
    PieceInfo, StateMergeInfo,
};
use crate::engine::core::{Core, Failure};
use crate::merge::conflict::{Conflict, Piece};
use crate::merge::objects::{Objects, lookup};
use crate::merge::resolve::{Left, picked_text};
use crate::merge::{markers, state, text};
use crate::model::{Entry, Kind, RepoPath};

/// Longest state that is told whole.
const STATE: usize = 1 << 20;
/// Bytes of hunks for which a merge by words is tried, in all: looking must not take long.
const PROPOSALS: usize = 512 << 10;
/// Longest file whose pieces are told in one answer.
const PIECES: usize = 32 << 20;

/// What a list says of a conflict, with what is settled of it and what is left.
pub(super) fn conflict_info(
    conflict: &Conflict,
    settlement: Option<&Settlement>,
    left: Option<&Left>,
) -> ConflictInfo {
    let hunks = conflict.hunks().count();
    let done = settlement.is_some() && left.is_none();
    let settled = match (hunks, done, left) {
        (0, done, _) => usize::from(done),
        (n, true, _) => n,
        (n, false, Some(left)) if !left.hunks.is_empty() => n.saturating_sub(left.hunks.len()),
        _ => 0,
    };
    ConflictInfo {
        path: conflict.path.clone(),
        kind: conflict.kind,
        words: conflict.kind.words().to_owned(),
        hunks,
        settled,
        done,
        why: left.and_then(|l| l.why).map(str::to_owned),
        paths: conflict.paths.clone(),
        unreviewed: settlement.is_some_and(|s| s.origins().any(PickOrigin::is_unreviewed)),
    }
}

/// All conflicts of `plan` for a list.
pub(super) fn conflict_infos(plan: &Plan, settling: &Settling, left: &[Left]) -> Vec<ConflictInfo> {
    plan.merged
        .conflicts
        .iter()
        .map(|conflict| {
            // In the order of the conflicts, which is that of their paths.
            let at = left.binary_search_by(|l| l.path.cmp(&conflict.path));
            let left = at.ok().and_then(|at| left.get(at));
            conflict_info(conflict, settling.files.get(&conflict.path), left)
        })
        .collect()
}

impl Core {
    /// All that is to be said of a merge.
    pub(super) fn merge_info(
        &self,
        record: &Record,
        plan: &Plan,
        kept: bool,
    ) -> Result<MergeInfo, Failure> {
        let settling = Settling::of(&record.acts, plan);
        let settled = plan.settle(&self.store, &settling)?;
        let over = settled.made.over(&*self.store);
        let changes = file_changes(plan.changes(&self.store, &settled)?, &|blob| {
            over.read_blob(blob)
        })?;
        let conflicts = conflict_infos(plan, &settling, &settled.left);
        let (state, state_left) = state_info(plan, &settling);
        let answers = self.answers();
        let bases = plan.bases.iter().map(|id| answers.resolved(*id, None));
        Ok(MergeInfo {
            id: record.id,
            branch: record.branch.clone(),
            into: record.into.clone(),
            theirs: answers.resolved(plan.theirs, None)?,
            ours: answers.resolved(plan.ours, None)?,
            bases: bases.collect::<Result<_, _>>()?,
            kept,
            remade: record.remade,
            renumbered: false,
            fast_forward: plan.is_fast_forward(),
            changes,
            joined: plan
                .merged
                .joined
                .iter()
                .map(|(path, how)| (path.clone(), how.words().to_owned()))
                .collect(),
            conflicts,
            state,
            left: settled.left.len() + state_left,
            undoable: record.acts.len(),
            resumed: plan.resumed,
            check: self.merge_check(),
        })
    }

    /// One conflict in full.
    pub(super) fn conflict_detail(
        &self,
        record: &Record,
        plan: &Plan,
        path: &RepoPath,
    ) -> Result<ConflictDetail, Failure> {
        let conflict = in_conflict(plan, path)?;
        let settling = Settling::of(&record.acts, plan);
        let settled = plan.settle(&self.store, &settling)?;
        let left = settled.left.iter().find(|l| l.path == *path);
        let settlement = settling.files.get(path);
        let entry = |entry: &Option<Entry>, side: Option<usize>| -> Option<EntryInfo> {
            let at = side
                .and_then(|side| conflict.paths.get(side)?.as_ref())
                .unwrap_or(path);
            entry.as_ref().map(|e| entry_info(at, e))
        };
        // Each at the hunk that it was for; what that was may be gone.
        let places: HashMap<Print, usize> = hunk_prints(conflict)
            .into_iter()
            .enumerate()
            .map(|(n, print)| (print, n))
            .collect();
        let proposals = record.proposals.iter().filter(|p| p.path == *path);
        let proposals = proposals.filter_map(|p| {
            let n = places.get(&(p.print.clone(), p.nth))?;
            Some((*n, p.record.clone()))
        });
        Ok(ConflictDetail {
            of: Some((plan.ours, plan.theirs)),
            info: conflict_info(conflict, settlement, left),
            ours: entry(&conflict.ours, Some(0)),
            base: entry(&conflict.base, None),
            theirs: entry(&conflict.theirs, Some(1)),
            pieces: pieces(conflict, settlement)?,
            whole: settlement.and_then(|s| s.whole.clone()),
            reasons: self.conflict_reasons(plan, conflict)?,
            proposals: proposals.collect(),
        })
    }

    /// A file as it would be written now.
    pub(super) fn merge_result(
        &self,
        record: &Record,
        plan: &Plan,
        path: &RepoPath,
    ) -> Result<Bytes, Failure> {
        let settled = plan.settle(&self.store, &Settling::of(&record.acts, plan))?;
        let over = settled.made.over(&*self.store);
        let nothing = |what: &str| ApiError::new(ErrorCode::NotFound, format!("{path} {what}"));
        match lookup(&over, settled.tree, path)?.map(|e| e.kind) {
            Some(Kind::File { blob, .. }) => Ok(over.read_blob(blob)?.into()),
            Some(Kind::Symlink(target)) => Ok(target.into()),
            Some(_) => Err(nothing("has no content of its own").into()),
            None => Err(nothing("would not be there").into()),
        }
    }

    /// The file with git's markers where it is not settled.
    pub(super) fn merge_markers(
        &self,
        record: &Record,
        plan: &Plan,
        path: &RepoPath,
    ) -> Result<Bytes, Failure> {
        let conflict = with_hunks(plan, path)?;
        let settling = Settling::of(&record.acts, plan);
        if let Some(s) = settling.files.get(path)
            && let Some((crate::merge::resolve::Pick::Edited(text), _)) = &s.whole
        {
            return Ok(text.clone().into());
        }
        let (pieces, _) = unsettled(conflict, settling.files.get(path));
        Ok(
            markers::write(&pieces, markers::Style::Diff3, &labels(record))
                .content
                .into(),
        )
    }
}

/// What stands after the markers.
pub(super) fn labels(record: &Record) -> markers::Labels {
    markers::Labels {
        ours: record.into.clone(),
        base: "base".to_owned(),
        theirs: record.branch.clone(),
    }
}

/// The conflict at `path`.
pub(super) fn in_conflict<'a>(plan: &'a Plan, path: &RepoPath) -> Result<&'a Conflict, ApiError> {
    plan.conflict(path).ok_or_else(|| {
        ApiError::new(
            ErrorCode::NotFound,
            format!("{path} is not in conflict in this merge"),
        )
    })
}

/// The conflict at `path`, which can be written with markers.
pub(super) fn with_hunks<'a>(plan: &'a Plan, path: &RepoPath) -> Result<&'a Conflict, ApiError> {
    let conflict = in_conflict(plan, path)?;
    if conflict.hunks().next().is_none() {
        return Err(ApiError::new(
            ErrorCode::Refused,
            format!(
                "{path} cannot be written with markers ({}): settle it as a whole",
                conflict.kind.words()
            ),
        ));
    }
    Ok(conflict)
}

/// The pieces with settled hunks as text, and which hunks are left in them.
pub(super) fn unsettled(
    conflict: &Conflict,
    settlement: Option<&Settlement>,
) -> (Vec<Piece>, Vec<usize>) {
    let (mut out, mut left): (Vec<Piece>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut n = 0;
    for piece in &conflict.pieces {
        let text = match piece {
            Piece::Text(text) => Some(text.clone()),
            Piece::Hunk(hunk) => {
                let picked = settlement.and_then(|s| s.hunk(n));
                n += 1;
                picked.and_then(|(pick, _)| picked_text(hunk, pick))
            }
        };
        match (text, out.last_mut()) {
            (Some(text), Some(Piece::Text(before))) => before.extend_from_slice(&text),
            (Some(text), _) => out.push(Piece::Text(text)),
            (None, _) => {
                left.push(n - 1);
                out.push(piece.clone());
            }
        }
    }
    (out, left)
}

fn pieces(
    conflict: &Conflict,
    settlement: Option<&Settlement>,
) -> Result<Vec<PieceInfo>, ApiError> {
    let length: usize = conflict
        .pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Hunk(h) => h.ours.len() + h.base.len() + h.theirs.len(),
        })
        .sum();
    if length > PIECES {
        return Err(ApiError::new(
            ErrorCode::Refused,
            format!(
                "{} is too long to be shown hunk by hunk ({} MiB): settle it as a whole, or with markers",
                conflict.path,
                length >> 20
            ),
        ));
    }
    let mut purse = PROPOSALS;
    let mut n = 0;
    Ok(conflict
        .pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => PieceInfo::Text {
                text: text.as_slice().into(),
            },
            Piece::Hunk(hunk) => {
                let picked = settlement.and_then(|s| s.hunk(n)).cloned();
                n += 1;
                let cost = hunk.ours.len() + hunk.base.len() + hunk.theirs.len();
                let propose = match purse.checked_sub(cost) {
                    Some(rest) if hunk.key.is_none() => {
                        purse = rest;
                        text::propose(&hunk.sides()).map(|p| Bytes(p.text))
                    }
                    _ => None,
                };
                let (pick, origin) = match picked {
                    Some((pick, origin)) => (Some(pick), origin),
                    None => (None, PickOrigin::Person),
                };
                PieceInfo::Hunk {
                    ours: hunk.ours.as_slice().into(),
                    base: hunk.base.as_slice().into(),
                    theirs: hunk.theirs.as_slice().into(),
                    key: hunk.key.clone(),
                    crlf: hunk.crlf,
                    pick,
                    origin,
                    propose,
                }
            }
        })
        .collect())
}

/// What is to be said of the agent's state, and how many of its conflicts are left.
fn state_info(plan: &Plan, settling: &Settling) -> (Option<StateMergeInfo>, usize) {
    let picks = settling.state_picks();
    let conflicts: Vec<_> = plan
        .state
        .conflicts()
        .iter()
        .enumerate()
        .map(|(n, c)| (c.clone(), picks.get(&n).cloned()))
        .collect();
    let settled = plan.state.settled(&picks);
    let left = match &settled {
        SettledState::Left(left) => left.len(),
        _ => 0,
    };
    let info = match &plan.state {
        StatePlan::Plain(_) => None,
        StatePlan::Unreadable { problem, .. } => Some(StateMergeInfo {
            conflicts,
            notes: Vec::new(),
            changes: Vec::new(),
            text: None,
            problem: Some(problem.clone()),
        }),
        StatePlan::Both {
            merged, ours_text, ..
        } => {
            let text = match settled {
                SettledState::New(text) => Some(text),
                _ => None,
            };
            let changes = text
                .as_deref()
                .and_then(|text| state::diff(ours_text, text).ok())
                .unwrap_or_default();
            Some(StateMergeInfo {
                conflicts,
                notes: merged.notes.clone(),
                changes,
                text: text.filter(|t| t.len() <= STATE),
                problem: None,
            })
        }
    };
    (info, left)
}

/// How many conflicts are left, the state's included.
pub(super) fn left_of(plan: &Plan, settled: &Settled, settling: &Settling) -> usize {
    let state = match plan.state.settled(&settling.state_picks()) {
        SettledState::Left(left) => left.len(),
        _ => 0,
    };
    settled.left.len() + state
}
