//! Which item of one list of facts is which item of another.
//!
//! First by an id that both have, then by the same words, then by similar words. The similarity is lexical, the
//! Sørensen-Dice coefficient over words (Dice 1945; Sørensen 1948): it knows nothing of meaning, which is why the method and
//! the score travel with every match and are shown.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::merge::structured::json::{Node, Shape};

/// From this score on, in per cent, a fact counts as another form of one that both sides came from.
pub const SAME: u8 = 60;
/// From this score on, two facts that the sides added apart are put before a person.
pub const NEAR: u8 = 70;
/// More pairs than this are not compared word by word: such lists match by id and by text only.
const MAX_PAIRS: usize = 250_000;

/// Where a record says what it is about, the best first.
const TEXTS: [&str; 8] = [
    "text",
    "content",
    "fact",
    "memory",
    "statement",
    "summary",
    "value",
    "description",
];
/// What tells records apart.
const IDS: [&str; 4] = ["id", "uuid", "_id", "key"];

/// How two facts were found to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// They have the same id.
    Id,
    /// They read the same, but for case, blanks and closing punctuation.
    Text,
    /// They have so many words in common, in per cent.
    Words(u8),
}

impl Method {
    /// How, for people.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Id => "the same id".into(),
            Self::Text => "the same words".into(),
            Self::Words(score) => format!("{score} % of the words"),
        }
    }
}

/// An item of a list of facts.
pub(super) struct Fact {
    id: Option<String>,
    plain: String,
    words: Vec<String>,
}

impl Fact {
    fn of(node: &Node<'_>) -> Self {
        let id = IDS
            .iter()
            .find_map(|field| node.get(field))
            .filter(|id| id.shape == Shape::Scalar && id.text != "null");
        let plain = plain(&text(node));
        let words = plain
            .split(|c: char| !c.is_alphanumeric())
            .filter(|w| !w.is_empty())
            .map(str::to_owned)
            .collect();
        Self {
            id: id.map(Node::canonical),
            plain,
            words,
        }
    }
}

impl Fact {
    /// What it is found by; nothing where it is not found that way.
    fn name(&self, method: Method) -> Option<&str> {
        match method {
            Method::Id => self.id.as_deref(),
            Method::Text => Some(self.plain.as_str()).filter(|p| !p.is_empty()),
            Method::Words(_) => None,
        }
    }
}

/// Whether a list is one of facts: of strings, or of records that have a text and are no part of a conversation, where the
/// same words may be said twice.
pub(super) fn is_facts(node: &Node<'_>) -> bool {
    node.shape == Shape::Array
        && node.rows.iter().all(|row| {
            let value = &row.value;
            match value.shape {
                Shape::Scalar => value.text.starts_with('"'),
                Shape::Object => {
                    value.get("role").is_none() && TEXTS.iter().any(|t| value.get(t).is_some())
                }
                Shape::Array => false,
            }
        })
}

/// What a fact says, for people.
pub(super) fn text(node: &Node<'_>) -> String {
    let said = TEXTS
        .iter()
        .find_map(|field| node.get(field))
        .unwrap_or(node);
    serde_json::from_str(said.text).unwrap_or_else(|_| said.text.to_owned())
}

fn plain(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words
        .join(" ")
        .to_lowercase()
        .trim_end_matches(['.', '!', ';', ','])
        .to_owned()
}

/// The part of their words that two facts have in common, in per cent.
fn likeness(a: &Fact, b: &Fact) -> u8 {
    let all = a.words.len() + b.words.len();
    if all == 0 {
        return 0;
    }
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for word in &b.words {
        *left.entry(word).or_default() += 1;
    }
    let mut shared = 0;
    for word in &a.words {
        if let Some(n) = left.get_mut(word.as_str()).filter(|n| **n > 0) {
            *n -= 1;
            shared += 2;
        }
    }
    u8::try_from(shared * 100 / all).unwrap_or(100)
}

/// The facts of a list.
pub(super) fn of(list: Option<&Node<'_>>) -> Vec<Fact> {
    list.map_or(Vec::new(), |l| {
        l.rows.iter().map(|r| Fact::of(&r.value)).collect()
    })
}

/// For each of `left` (by number) its counterpart among `right`. Every fact has at most one. `among` restricts both sides
/// to some of their facts.
pub(super) fn matched<'f>(
    left: &'f [Fact],
    right: &'f [Fact],
    among: impl Fn(usize, usize) -> bool,
    least: u8,
) -> BTreeMap<usize, (usize, Method)> {
    let mut out = BTreeMap::new();
    let mut taken = vec![false; right.len()];
    for method in [Method::Id, Method::Text] {
        let name = |fact: &'f Fact| fact.name(method);
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (j, fact) in right.iter().enumerate().rev() {
            if let Some(name) = name(fact).filter(|_| !taken[j]) {
                places.entry(name).or_default().push(j);
            }
        }
        for (i, fact) in left.iter().enumerate() {
            if out.contains_key(&i) {
                continue;
            }
            let Some(list) = name(fact).and_then(|n| places.get_mut(n)) else {
                continue;
            };
            let Some(at) = list.iter().rposition(|j| among(i, *j)) else {
                continue;
            };
            let j = list.remove(at);
            taken[j] = true;
            out.insert(i, (j, method));
        }
    }
    let free: Vec<usize> = (0..right.len()).filter(|j| !taken[*j]).collect();
    let open: Vec<usize> = (0..left.len()).filter(|i| !out.contains_key(i)).collect();
    if free.len().saturating_mul(open.len()) > MAX_PAIRS {
        return out;
    }
    let mut pairs: Vec<(u8, usize, usize)> = Vec::new();
    for i in &open {
        for j in free.iter().filter(|j| among(*i, **j)) {
            let score = likeness(&left[*i], &right[*j]);
            if score >= least {
                pairs.push((score, *i, *j));
            }
        }
    }
    pairs.sort_by_key(|(score, i, j)| (std::cmp::Reverse(*score), *i, *j));
    for (score, i, j) in pairs {
        if !taken[j] && !out.contains_key(&i) {
            taken[j] = true;
            out.insert(i, (j, Method::Words(score)));
        }
    }
    out
}
