//! Picks: a list of acts becomes what is settled; and when the merge is made again over commits that moved, each pick is
//! found again by what it was picked between, or dropped.

use std::collections::{BTreeMap, HashMap};

use super::plan::Plan;
use super::record::{Act, At, OnePick};
use crate::engine::api::{ApiError, ErrorCode, PickOrigin};
use crate::merge::conflict::{Conflict, Hunk};
use crate::merge::resolve::{Pick, Resolution, Resolutions};
use crate::merge::state::StateConflict;
use crate::model::{Entry, RepoPath};

type Picked = (Pick, PickOrigin);

/// What is settled of one conflict.
#[derive(Debug, Clone, Default)]
pub(super) struct Settlement {
    pub whole: Option<Picked>,
    pub hunks: BTreeMap<usize, Picked>,
}

/// What is settled.
#[derive(Debug, Clone, Default)]
pub(super) struct Settling {
    pub files: BTreeMap<RepoPath, Settlement>,
    pub state: BTreeMap<usize, Picked>,
}

impl Settling {
    /// What the acts come to, in order: the last word on a thing counts.
    pub fn of(acts: &[Act], plan: &Plan) -> Self {
        let mut out = Self::default();
        for pick in acts.iter().flat_map(|act| &act.picks) {
            out.take(pick, plan);
        }
        out.files
            .retain(|_, s| s.whole.is_some() || !s.hunks.is_empty());
        out
    }

    fn take(&mut self, one: &OnePick, plan: &Plan) {
        let picked = one.pick.clone().map(|pick| (pick, one.origin.clone()));
        match &one.at {
            At::Whole { path } => {
                let here = self.files.entry(path.clone()).or_default();
                here.whole = picked;
                here.hunks.clear();
            }
            At::Hunk { path, hunk } => {
                let here = self.files.entry(path.clone()).or_default();
                // What was picked for all of them is a pick for each of the others.
                if let Some(whole) = here.whole.take()
                    && !matches!(whole.0, Pick::Edited(_))
                {
                    let hunks = plan.conflict(path).map_or(0, |c| c.hunks().count());
                    here.hunks = (0..hunks).map(|n| (n, whole.clone())).collect();
                }
                match picked {
                    Some(picked) => drop(here.hunks.insert(*hunk, picked)),
                    None => drop(here.hunks.remove(hunk)),
                }
            }
            At::State { conflict } => match picked {
                Some(picked) => drop(self.state.insert(*conflict, picked)),
                None => drop(self.state.remove(conflict)),
            },
        }
    }

    /// For [`crate::merge::resolve::apply`].
    pub fn resolutions(&self) -> Resolutions {
        self.files
            .iter()
            .map(|(path, s)| {
                let resolution = match &s.whole {
                    Some((pick, _)) => Resolution::Whole(pick.clone()),
                    None => Resolution::Hunks(
                        s.hunks
                            .iter()
                            .map(|(n, (pick, _))| (*n, pick.clone()))
                            .collect(),
                    ),
                };
                (path.clone(), resolution)
            })
            .collect()
    }

    /// The picks of the agent's state.
    pub fn state_picks(&self) -> BTreeMap<usize, Pick> {
        self.state
            .iter()
            .map(|(n, (pick, _))| (*n, pick.clone()))
            .collect()
    }
}

impl Settlement {
    /// The pick for a hunk.
    pub fn hunk(&self, n: usize) -> Option<&Picked> {
        match &self.whole {
            Some(whole) => Some(whole).filter(|(pick, _)| !matches!(pick, Pick::Edited(_))),
            None => self.hunks.get(&n),
        }
    }

    /// Who picked, all of them.
    pub fn origins(&self) -> impl Iterator<Item = &PickOrigin> {
        self.whole
            .iter()
            .chain(self.hunks.values())
            .map(|(_, origin)| origin)
    }
}

fn hash(parts: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex().as_str()[..32].to_owned()
}

fn hunk_print(hunk: &Hunk) -> String {
    let key = hunk.key.as_deref().unwrap_or_default();
    hash(&[&hunk.ours, &hunk.base, &hunk.theirs, key.as_bytes()])
}

fn whole_print(conflict: &Conflict, pick: Option<&Pick>) -> String {
    let prints: Vec<String> = conflict.hunks().map(hunk_print).collect();
    // A side taken in every hunk fits as long as the hunks are the same; a file written by hand only while both files are.
    if !prints.is_empty() && !matches!(pick, Some(Pick::Edited(_))) {
        let parts: Vec<&[u8]> = prints.iter().map(String::as_bytes).collect();
        return hash(&parts);
    }
    let entry = |e: &Option<Entry>| {
        e.as_ref()
            .map_or_else(String::new, |e| format!("{:o} {:?}", e.mode, e.kind))
    };
    let kind = format!("{:?}", conflict.kind);
    let entries = [&conflict.base, &conflict.ours, &conflict.theirs].map(entry);
    hash(&[
        kind.as_bytes(),
        entries[0].as_bytes(),
        entries[1].as_bytes(),
        entries[2].as_bytes(),
    ])
}

fn state_print(conflict: &StateConflict) -> String {
    let json = [&conflict.base, &conflict.ours, &conflict.theirs].map(|place| {
        place
            .as_ref()
            .map_or_else(String::new, |p| format!("={}", p.json))
    });
    hash(&[json[0].as_bytes(), json[1].as_bytes(), json[2].as_bytes()])
}

fn nothing(what: String) -> ApiError {
    ApiError::new(ErrorCode::NotFound, what)
}

/// A hash of what is in conflict, and how many with the same one stand before it.
pub(super) type Print = (String, usize);

fn numbered(prints: impl Iterator<Item = String>) -> Vec<Print> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    prints
        .map(|print| {
            let count = seen.entry(print.clone()).or_default();
            let nth = *count;
            *count += 1;
            (print, nth)
        })
        .collect()
}

/// What each hunk of a conflict is known by.
pub(super) fn hunk_prints(conflict: &Conflict) -> Vec<Print> {
    numbered(conflict.hunks().map(hunk_print))
}

fn state_prints(plan: &Plan) -> Vec<Print> {
    numbered(plan.state.conflicts().iter().map(state_print))
}

/// Whether each number that names a hunk or a conflict of the state means the same in both.
pub(super) fn same_numbers(a: &Plan, b: &Plan) -> bool {
    let files = |plan: &Plan| -> BTreeMap<RepoPath, Vec<String>> {
        let prints = |c: &Conflict| c.hunks().map(hunk_print).collect();
        let all = plan.merged.conflicts.iter();
        all.map(|c| (c.path.clone(), prints(c))).collect()
    };
    state_prints(a) == state_prints(b) && files(a) == files(b)
}

/// Makes the picks of an act: what they are known by is hashed once for all of them, since there may be 50,000.
pub(super) struct Picker<'a> {
    plan: &'a Plan,
    hunks: HashMap<RepoPath, Vec<Print>>,
    states: Option<Vec<Print>>,
}

impl<'a> Picker<'a> {
    pub fn new(plan: &'a Plan) -> Self {
        Self {
            plan,
            hunks: HashMap::new(),
            states: None,
        }
    }

    fn conflict(&self, path: &RepoPath) -> Result<&'a Conflict, ApiError> {
        self.plan
            .conflict(path)
            .ok_or_else(|| nothing(format!("{path} is not in conflict in this merge")))
    }

    /// What the hunk is known by, if it is there.
    pub fn hunk(&mut self, path: &RepoPath, hunk: usize) -> Result<Print, ApiError> {
        if !self.hunks.contains_key(path) {
            let prints = hunk_prints(self.conflict(path)?);
            self.hunks.insert(path.clone(), prints);
        }
        let all = self.hunks.get(path).map_or(&[][..], Vec::as_slice);
        all.get(hunk).cloned().ok_or_else(|| {
            nothing(match all.len() {
                0 => format!("{path} has no hunks: settle it as a whole"),
                n => format!("{path} has {n} hunks, not {}", hunk.saturating_add(1)),
            })
        })
    }

    fn state(&mut self, conflict: usize) -> Result<Print, ApiError> {
        let plan = self.plan;
        let all = self.states.get_or_insert_with(|| state_prints(plan));
        all.get(conflict).cloned().ok_or_else(|| {
            nothing(format!(
                "the agent's state has {} conflicts, not {}",
                all.len(),
                conflict.saturating_add(1)
            ))
        })
    }

    /// A pick of `at`, if that is there.
    pub fn pick(
        &mut self,
        at: At,
        pick: Option<Pick>,
        origin: PickOrigin,
    ) -> Result<OnePick, ApiError> {
        let (print, nth) = match &at {
            At::Whole { path } => (whole_print(self.conflict(path)?, pick.as_ref()), 0),
            At::Hunk { path, hunk } => self.hunk(path, *hunk)?,
            At::State { conflict } => self.state(*conflict)?,
        };
        Ok(OnePick {
            at,
            print,
            nth,
            pick,
            origin,
        })
    }
}

/// The picks that fit the merge as it is now, at the places where they fit.
pub(super) fn refit(acts: &[Act], plan: &Plan) -> Vec<Act> {
    let mut hunks: HashMap<&RepoPath, HashMap<String, Vec<usize>>> = HashMap::new();
    for conflict in &plan.merged.conflicts {
        let prints = hunks.entry(&conflict.path).or_default();
        for (n, hunk) in conflict.hunks().enumerate() {
            prints.entry(hunk_print(hunk)).or_default().push(n);
        }
    }
    let mut states: HashMap<String, Vec<usize>> = HashMap::new();
    for (n, conflict) in plan.state.conflicts().iter().enumerate() {
        states.entry(state_print(conflict)).or_default().push(n);
    }
    let fit = |one: &OnePick| -> Option<OnePick> {
        let at = match &one.at {
            At::Whole { path } => {
                let conflict = plan.conflict(path)?;
                (whole_print(conflict, one.pick.as_ref()) == one.print).then(|| one.at.clone())?
            }
            At::Hunk { path, .. } => At::Hunk {
                path: path.clone(),
                hunk: *hunks.get(path)?.get(&one.print)?.get(one.nth)?,
            },
            At::State { .. } => At::State {
                conflict: *states.get(&one.print)?.get(one.nth)?,
            },
        };
        Some(OnePick { at, ..one.clone() })
    };
    acts.iter()
        .filter_map(|act| {
            let picks: Vec<OnePick> = act.picks.iter().filter_map(fit).collect();
            (!picks.is_empty()).then_some(Act { picks })
        })
        .collect()
}
