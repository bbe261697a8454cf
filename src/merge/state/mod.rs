//! Three-way merge of an agent's state: a JSON document with whatever the agent keeps, above all its memories.
//!
//! Objects are merged by key. Lists of facts (`facts`) are merged fact by fact: each is followed from the base to both
//! sides, however its words or its place changed; what both added is joined when it says the same; what both changed
//! differently, or added in nearly the same words, is put before a person. Other lists are merged by id or by position. A
//! deletion on one side is respected unless the other side changed what it deleted.
//!
//! As in `structured::json`, every value and every run of blanks of the result is copied from a side.

mod diff;
mod facts;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use diff::{StateChange, diff};
pub use facts::{Method, NEAR, SAME};

use super::resolve::Pick;
use super::structured::json::{Doc, Node, Row, Shape, Style, pointer_part, taken};
use super::trees::three;
use super::{Error, edits};

/// Two states put together.
#[derive(Debug, Clone)]
pub struct MergedState {
    lead: String,
    root: Slot,
    trail: String,
    /// What is in conflict, in the order of the document.
    pub conflicts: Vec<StateConflict>,
    /// Facts that were found to be one without having the same id, and what was joined: to be looked at.
    pub notes: Vec<Note>,
}

/// What two states disagree about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateConflict {
    /// What about.
    pub kind: StateConflictKind,
    /// Where it is in the base; `None`: nowhere.
    pub base: Option<Place>,
    /// Where it is in ours.
    pub ours: Option<Place>,
    /// Where it is in theirs.
    pub theirs: Option<Place>,
    /// How the three were found to be about the same, where they are facts: ours, then theirs.
    pub methods: [Option<Method>; 2],
    /// Whether both may stand, one after the other: they are items of a list.
    pub both: bool,
}

/// A value with where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// A JSON pointer into that side's document.
    pub pointer: String,
    /// The value as it is written there.
    pub json: String,
}

/// What kind of disagreement it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateConflictKind {
    /// Both changed it, differently.
    Changed,
    /// Both added it, differently.
    Added,
    /// Ours deleted what theirs changed.
    DeletedByOurs,
    /// Theirs deleted what ours changed.
    DeletedByTheirs,
    /// Both added facts in nearly the same words: one fact twice, or two that contradict each other.
    Alike,
}

impl StateConflictKind {
    /// What it is, for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Changed => "both changed it, differently",
            Self::Added => "both added it, differently",
            Self::DeletedByOurs => "ours deleted it, theirs changed it",
            Self::DeletedByTheirs => "theirs deleted it, ours changed it",
            Self::Alike => "both added nearly the same: once, twice, or a contradiction",
        }
    }
}

/// Facts taken for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Where, in ours or, if it is not there any more, in theirs.
    pub pointer: String,
    /// What it says now.
    pub fact: String,
    /// How they were found to be one.
    pub method: Method,
    /// Whether both sides added it, so that one of two was dropped.
    pub joined: bool,
}

/// A part of the merged document.
#[derive(Debug, Clone)]
enum Slot {
    Text(String),
    Rows {
        open: &'static str,
        close: &'static str,
        first: String,
        trail: String,
        rows: Vec<OutRow>,
    },
    /// The conflict of that number.
    Conflict(usize),
}

#[derive(Debug, Clone)]
struct OutRow {
    lead: String,
    head: String,
    slot: Slot,
}

impl MergedState {
    /// The merged document, if nothing is in conflict.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        self.resolved(&BTreeMap::new()).ok()
    }

    /// The document with these conflicts settled, by number from 0. Gives the numbers of those that are left, also where a
    /// pick cannot be: both at one key, a value that is no JSON, nothing in place of the whole document.
    pub fn resolved(&self, picks: &BTreeMap<usize, Pick>) -> Result<String, Vec<usize>> {
        let mut out = self.lead.clone();
        let mut left = Vec::new();
        match self.written(&self.root, picks, &mut left).as_slice() {
            [one] => out.push_str(one),
            _ if left.is_empty() => left.push(0),
            _ => {}
        }
        out.push_str(&self.trail);
        if left.is_empty() { Ok(out) } else { Err(left) }
    }

    /// What stands in a slot: one value; after a pick, none or two.
    fn written(
        &self,
        slot: &Slot,
        picks: &BTreeMap<usize, Pick>,
        left: &mut Vec<usize>,
    ) -> Vec<String> {
        match slot {
            Slot::Text(text) => vec![text.clone()],
            Slot::Conflict(n) => {
                let picked = self
                    .conflicts
                    .get(*n)
                    .zip(picks.get(n))
                    .and_then(|(conflict, pick)| conflict.picked(pick));
                picked.unwrap_or_else(|| {
                    left.push(*n);
                    Vec::new()
                })
            }
            Slot::Rows {
                open,
                close,
                first,
                trail,
                rows,
            } => {
                let mut out = (*open).to_owned();
                let mut any = false;
                for row in rows {
                    for value in self.written(&row.slot, picks, left) {
                        if any {
                            out.push(',');
                        }
                        out.push_str(if any { &row.lead } else { first });
                        out.push_str(&row.head);
                        out.push_str(&value);
                        any = true;
                    }
                }
                if any {
                    out.push_str(trail);
                }
                out.push_str(close);
                vec![out]
            }
        }
    }
}

impl StateConflict {
    /// The values that a pick puts there; `None` if it cannot be.
    fn picked(&self, pick: &Pick) -> Option<Vec<String>> {
        let json = |place: &Option<Place>| -> Vec<String> {
            place.iter().map(|p| p.json.clone()).collect()
        };
        match pick {
            Pick::Ours => Some(json(&self.ours)),
            Pick::Theirs => Some(json(&self.theirs)),
            Pick::Base => Some(json(&self.base)),
            Pick::Both if self.both => Some([json(&self.ours), json(&self.theirs)].concat()),
            Pick::Both => None,
            Pick::Edited(text) => {
                let text = std::str::from_utf8(text).ok()?;
                serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
                Some(vec![text.trim().to_owned()])
            }
        }
    }
}

fn parsed<'a>(side: &'static str, text: &'a str) -> Result<Doc<'a>, Error> {
    Doc::parse(text).ok_or_else(|| Error::State {
        side,
        why: serde_json::from_str::<serde::de::IgnoredAny>(text)
            .err()
            .map_or_else(|| "it is nested too deep".into(), |e| e.to_string()),
    })
}

/// Merges two states. Without a base, all that is in both was added by both.
pub fn merge(base: Option<&str>, ours: &str, theirs: &str) -> Result<MergedState, Error> {
    let base = base.map(|b| parsed("the base", b)).transpose()?;
    let (o, t) = (parsed("ours", ours)?, parsed("theirs", theirs)?);
    let mut work = Work::default();
    let at = At::default();
    let root = work.value(
        [base.as_ref().map(|b| &b.root), Some(&o.root), Some(&t.root)],
        &at,
    );
    Ok(MergedState {
        lead: o.lead.to_owned(),
        root: root.unwrap_or(Slot::Text("null".into())),
        trail: o.trail.to_owned(),
        conflicts: work.conflicts,
        notes: work.notes,
    })
}

/// Where a value is in base, ours and theirs: JSON pointers.
#[derive(Debug, Clone, Default)]
struct At([String; 3]);

impl At {
    fn key(&self, name: &str) -> Self {
        let part = pointer_part(name);
        Self([0, 1, 2].map(|i| format!("{}/{part}", self.0[i])))
    }

    fn items(&self, at: [Option<usize>; 3]) -> Self {
        Self([0, 1, 2].map(|i| match at[i] {
            Some(n) => format!("{}/{n}", self.0[i]),
            None => self.0[i].clone(),
        }))
    }
}

type Three<'n, 'a> = [Option<&'n Node<'a>>; 3];

#[derive(Default)]
struct Work {
    conflicts: Vec<StateConflict>,
    notes: Vec<Note>,
}

impl Work {
    /// What becomes of a value; `None`: it is gone.
    fn value(&mut self, three: Three<'_, '_>, at: &At) -> Option<Slot> {
        let [base, ours, theirs] = three;
        let changed = |side: &Node<'_>| base.is_none_or(|b| b.canonical() != side.canonical());
        match (ours, theirs) {
            (None, None) => None,
            (None, Some(t)) if base.is_none() => Some(Slot::Text(t.text.to_owned())),
            (Some(o), None) if base.is_none() => Some(Slot::Text(o.text.to_owned())),
            (None, Some(t)) => {
                changed(t).then(|| self.conflict(StateConflictKind::DeletedByOurs, three, at))
            }
            (Some(o), None) => {
                changed(o).then(|| self.conflict(StateConflictKind::DeletedByTheirs, three, at))
            }
            (Some(o), Some(t)) => Some(self.both(base, o, t, at)),
        }
    }

    fn both(&mut self, base: Option<&Node<'_>>, o: &Node<'_>, t: &Node<'_>, at: &At) -> Slot {
        if let Some(text) = taken(base, o, t) {
            return Slot::Text(text.to_owned());
        }
        let like = |n: &&Node<'_>| n.shape == o.shape;
        let below = base.filter(like);
        let rows = match o.shape {
            _ if o.shape != t.shape => None,
            Shape::Object => self.members(below, o, t, at),
            Shape::Array
                if [below, Some(o), Some(t)]
                    .into_iter()
                    .flatten()
                    .all(facts::is_facts) =>
            {
                Some(self.facts(below, o, t, at))
            }
            Shape::Array => items(below, o, t),
            Shape::Scalar => None,
        };
        let Some(rows) = rows else {
            let kind = match base {
                Some(_) => StateConflictKind::Changed,
                None => StateConflictKind::Added,
            };
            return self.conflict(kind, [base, Some(o), Some(t)], at);
        };
        let style = Style::of(o, t);
        let (open, close) = match o.shape {
            Shape::Object => ("{", "}"),
            _ => ("[", "]"),
        };
        Slot::Rows {
            open,
            close,
            first: style.first.to_owned(),
            trail: style.trail.to_owned(),
            rows: rows
                .into_iter()
                .map(|(row, slot)| OutRow {
                    lead: style.lead(false, row, [o, t]).to_owned(),
                    head: row.head.to_owned(),
                    slot,
                })
                .collect(),
        }
    }

    fn conflict(&mut self, kind: StateConflictKind, three: Three<'_, '_>, at: &At) -> Slot {
        let place = |i: usize| {
            three[i].map(|n| Place {
                pointer: at.0[i].clone(),
                json: n.text.to_owned(),
            })
        };
        self.conflicts.push(StateConflict {
            kind,
            base: place(0),
            ours: place(1),
            theirs: place(2),
            methods: [None, None],
            both: false,
        });
        Slot::Conflict(self.conflicts.len() - 1)
    }

    /// An object's members, by key. `None`: a key is there twice.
    fn members<'n, 'a>(
        &mut self,
        base: Option<&'n Node<'a>>,
        ours: &'n Node<'a>,
        theirs: &'n Node<'a>,
        at: &At,
    ) -> Option<Vec<(&'n Row<'a>, Slot)>> {
        let by_key = |n: &'n Node<'a>| -> Option<BTreeMap<&'n str, &'n Row<'a>>> {
            let map: BTreeMap<_, _> = n.rows.iter().map(|r| (r.name.as_str(), r)).collect();
            (map.len() == n.rows.len()).then_some(map)
        };
        let b = match base {
            Some(base) => by_key(base)?,
            None => BTreeMap::new(),
        };
        let (o, t) = (by_key(ours)?, by_key(theirs)?);
        let order = placed(
            ours.rows.iter().map(|r| (r.name.as_str(), r)),
            theirs.rows.iter().map(|r| (r.name.as_str(), r)),
            |name| o.contains_key(name),
        );
        let mut out = Vec::new();
        for (name, row) in order {
            let three = [&b, &o, &t].map(|m| m.get(name).map(|r| &r.value));
            if let Some(slot) = self.value(three, &at.key(name)) {
                out.push((row, slot));
            }
        }
        Some(out)
    }

    /// A list of facts, fact by fact.
    fn facts<'n, 'a>(
        &mut self,
        base: Option<&'n Node<'a>>,
        ours: &'n Node<'a>,
        theirs: &'n Node<'a>,
        at: &At,
    ) -> Vec<(&'n Row<'a>, Slot)> {
        let [b, o, t] = [
            facts::of(base),
            facts::of(Some(ours)),
            facts::of(Some(theirs)),
        ];
        let to_ours = facts::matched(&b, &o, |_, _| true, SAME);
        let to_theirs = facts::matched(&b, &t, |_, _| true, SAME);
        let invert = |m: &BTreeMap<usize, (usize, Method)>| -> BTreeMap<usize, (usize, Method)> {
            m.iter()
                .map(|(i, (j, method))| (*j, (*i, *method)))
                .collect()
        };
        let (from_ours, from_theirs) = (invert(&to_ours), invert(&to_theirs));
        let added =
            |i: usize, j: usize| !from_ours.contains_key(&i) && !from_theirs.contains_key(&j);
        let twins = facts::matched(&o, &t, added, NEAR);
        // Which of theirs stands at one of ours: through the base, or as a twin.
        let partner = |i: usize| match from_ours.get(&i) {
            Some((b, _)) => to_theirs.get(b).map(|(j, _)| *j),
            None => twins.get(&i).map(|(j, _)| *j),
        };
        let at_ours: BTreeMap<usize, usize> = (0..o.len())
            .filter_map(|i| Some((partner(i)?, i)))
            .collect();
        let order = placed(
            ours.rows
                .iter()
                .enumerate()
                .map(|(i, r)| (Ok(i), (Ok(i), r))),
            theirs.rows.iter().enumerate().map(|(j, r)| {
                let name = at_ours.get(&j).map_or(Err(j), |i| Ok(*i));
                (name, (name, r))
            }),
            |name| name.is_ok(),
        );
        let mut out = Vec::new();
        for (_, (name, row)) in order {
            let (i, j) = match name {
                Ok(i) => (Some(i), partner(i)),
                Err(j) => (None, Some(j)),
            };
            let x = match name {
                Ok(i) => from_ours.get(&i).map(|(b, _)| *b),
                Err(j) => from_theirs.get(&j).map(|(b, _)| *b),
            };
            let get = |list: Option<&'n Node<'a>>, at: Option<usize>| {
                list.zip(at)
                    .and_then(|(l, at)| l.rows.get(at))
                    .map(|r| &r.value)
            };
            let three = [get(base, x), get(Some(ours), i), get(Some(theirs), j)];
            let method =
                |m: &BTreeMap<usize, (usize, Method)>| x.and_then(|x| m.get(&x)).map(|(_, m)| *m);
            let mut methods = [method(&to_ours), method(&to_theirs)];
            let here = at.items([x, i, j]);
            let twin = i
                .filter(|_| x.is_none())
                .and_then(|i| twins.get(&i))
                .map(|(_, m)| *m);
            if twin.is_some() {
                methods = [twin, twin];
            }
            if let Some(slot) = self.fact(three, &here, methods, twin) {
                out.push((row, slot));
            }
        }
        out
    }

    /// What becomes of one fact. `twin`: both sides added it, found to be one in that way.
    fn fact(
        &mut self,
        three: Three<'_, '_>,
        at: &At,
        methods: [Option<Method>; 2],
        twin: Option<Method>,
    ) -> Option<Slot> {
        let [_, ours, theirs] = three;
        let before = self.conflicts.len();
        let slot = match (twin, ours, theirs) {
            // The same words: one is enough, whatever else the records say.
            (Some(method @ Method::Text), Some(o), Some(_)) => {
                self.note(at, o, method, true);
                return Some(Slot::Text(o.text.to_owned()));
            }
            (Some(Method::Words(_)), Some(_), Some(_)) => {
                Some(self.conflict(StateConflictKind::Alike, three, at))
            }
            _ => self.value(three, at),
        };
        let slot = if self.conflicts.len() > before {
            // A fact is one thing: what contradicts itself in a field is in conflict as a whole, so that both may stay.
            let found = self.conflicts.drain(before..).next().map(|c| c.kind);
            let slot = self.conflict(found.unwrap_or(StateConflictKind::Changed), three, at);
            if let Some(conflict) = self.conflicts.last_mut() {
                conflict.methods = methods;
                conflict.both = conflict.ours.is_some() && conflict.theirs.is_some();
            }
            Some(slot)
        } else {
            slot
        };
        let guessed = methods
            .into_iter()
            .flatten()
            .find(|m| matches!(m, Method::Words(_)));
        if let (Some(method), Some(node), Some(Slot::Text(_) | Slot::Rows { .. })) =
            (guessed, ours.or(theirs), &slot)
        {
            self.note(at, node, method, twin.is_some());
        }
        slot
    }

    fn note(&mut self, at: &At, fact: &Node<'_>, method: Method, joined: bool) {
        self.notes.push(Note {
            pointer: at.0[1].clone(),
            fact: facts::text(fact),
            method,
            joined,
        });
    }
}

/// Ours in order, and what only theirs has (`known` is false) behind what it stands behind there; at the same place ours
/// comes first.
fn placed<N: Ord + Copy, R>(
    ours: impl Iterator<Item = (N, R)>,
    theirs: impl Iterator<Item = (N, R)>,
    known: impl Fn(N) -> bool,
) -> Vec<(N, R)> {
    let mut front = Vec::new();
    let mut after: BTreeMap<N, Vec<(N, R)>> = BTreeMap::new();
    let mut shared = std::collections::BTreeSet::new();
    let mut last = None;
    for (name, row) in theirs {
        if known(name) {
            last = Some(name);
            shared.insert(name);
        } else {
            match last {
                None => front.push((name, row)),
                Some(last) => after.entry(last).or_default().push((name, row)),
            }
        }
    }
    let mut out = Vec::new();
    let mut waiting = front;
    for (name, row) in ours {
        // What ours added at that place comes first.
        if shared.contains(&name) {
            out.append(&mut waiting);
        }
        out.push((name, row));
        if let Some(rows) = after.remove(&name) {
            waiting.extend(rows);
        }
    }
    out.append(&mut waiting);
    out
}

/// The items of any other list: as texts are merged by lines. `None`: both changed the same place.
fn items<'n, 'a>(
    base: Option<&'n Node<'a>>,
    ours: &'n Node<'a>,
    theirs: &'n Node<'a>,
) -> Option<Vec<(&'n Row<'a>, Slot)>> {
    let rows = |n: Option<&'n Node<'a>>| n.map_or(&[][..], |n| n.rows.as_slice());
    let lists = [rows(base), rows(Some(ours)), rows(Some(theirs))];
    let texts = lists.map(|l| l.iter().map(|r| r.value.canonical()).collect::<Vec<_>>());
    let mut numbers: edits::Numbers<'_, str> = edits::Numbers::new();
    let [b, o, t] = [&texts[0], &texts[1], &texts[2]]
        .map(|list| numbers.of(&list.iter().map(String::as_str).collect::<Vec<_>>()));
    let same = |x: std::ops::Range<usize>, y: std::ops::Range<usize>| o[x] == t[y];
    let mut out = Vec::new();
    for region in edits::regions(b.len(), &edits::edits(&b, &o), &edits::edits(&b, &t), same) {
        let taken = match region.change {
            edits::Change::Theirs => lists[2].get(region.theirs)?,
            edits::Change::Conflict => {
                // Both only appended: ours first.
                let appended = region.base.is_empty() && region.base.start == b.len();
                if !appended || base.is_none() {
                    return None;
                }
                for row in lists[1]
                    .get(region.ours)?
                    .iter()
                    .chain(lists[2].get(region.theirs)?)
                {
                    out.push((row, Slot::Text(row.value.text.to_owned())));
                }
                continue;
            }
            _ => lists[1].get(region.ours)?,
        };
        out.extend(
            taken
                .iter()
                .map(|r| (r, Slot::Text(r.value.text.to_owned()))),
        );
    }
    Some(out)
}

/// Which of three attached states is the merged one, where no merge is needed: one or none is there, or one side left it
/// alone. `None`: they must be merged.
#[must_use]
pub fn unmerged<T: PartialEq + Clone>(
    base: &Option<T>,
    ours: &Option<T>,
    theirs: &Option<T>,
) -> Option<Option<T>> {
    three(Some(base), ours, theirs)
}

#[cfg(test)]
mod tests;
