//! What was added, changed and removed from one state to another: facts by fact, as a merge follows them, all else by key.
//!
//! A fact that only moved within its list is no difference.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::merge::Error;
use crate::merge::structured::json::{Node, Row, Shape, pointer_part};

use super::facts::{self, Method, SAME};
use super::{Place, parsed};

/// One difference of two states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    /// What it was; `None`: it was added.
    pub before: Option<Place>,
    /// What it is; `None`: it was removed.
    pub after: Option<Place>,
    /// How the two were found to be one, where they are facts.
    pub method: Option<Method>,
}

/// What was added, changed and removed from state `a` to state `b`, in the order of `b`, removals last in each value.
pub fn diff(a: &str, b: &str) -> Result<Vec<StateChange>, Error> {
    let (x, y) = (parsed("the older state", a)?, parsed("the newer state", b)?);
    let mut out = Vec::new();
    compare(
        &x.root,
        &y.root,
        ["", ""].map(str::to_owned),
        None,
        &mut out,
    );
    Ok(out)
}

fn compare(
    a: &Node<'_>,
    b: &Node<'_>,
    at: [String; 2],
    method: Option<Method>,
    out: &mut Vec<StateChange>,
) {
    if a.text == b.text || a.canonical() == b.canonical() {
        return;
    }
    let place = |node: &Node<'_>, pointer: String| Place {
        pointer,
        json: node.text.to_owned(),
    };
    let is_list = facts::is_facts(a) && facts::is_facts(b);
    let is_object = a.shape == Shape::Object && b.shape == Shape::Object;
    if !(is_object || is_list) || method.is_some() {
        let [before, after] = at;
        out.push(StateChange {
            before: Some(place(a, before)),
            after: Some(place(b, after)),
            method,
        });
        return;
    }
    let pairs: BTreeMap<usize, (usize, Option<Method>)> = if is_list {
        facts::matched(&facts::of(Some(b)), &facts::of(Some(a)), |_, _| true, SAME)
            .into_iter()
            .map(|(j, (i, method))| (j, (i, Some(method))))
            .collect()
    } else {
        let at: BTreeMap<&str, usize> = a
            .rows
            .iter()
            .enumerate()
            .map(|(i, r)| (r.name.as_str(), i))
            .collect();
        b.rows
            .iter()
            .enumerate()
            .filter_map(|(j, r)| Some((j, (*at.get(r.name.as_str())?, None))))
            .collect()
    };
    let path = |side: usize, row: &Row<'_>, n: usize| {
        let part = if is_list {
            n.to_string()
        } else {
            pointer_part(&row.name)
        };
        format!("{}/{part}", at[side])
    };
    for (j, row) in b.rows.iter().enumerate() {
        let here = path(1, row, j);
        match pairs
            .get(&j)
            .and_then(|(i, m)| Some((*i, a.rows.get(*i)?, *m)))
        {
            Some((i, was, method)) => {
                compare(&was.value, &row.value, [path(0, was, i), here], method, out);
            }
            None => out.push(StateChange {
                before: None,
                after: Some(place(&row.value, here)),
                method: None,
            }),
        }
    }
    let kept: BTreeSet<usize> = pairs.values().map(|(i, _)| *i).collect();
    for (i, row) in a.rows.iter().enumerate().filter(|(i, _)| !kept.contains(i)) {
        out.push(StateChange {
            before: Some(place(&row.value, path(0, row, i))),
            after: None,
            method: None,
        });
    }
}
