//! Three-way merge of JSON by key, with the formatting kept.
//!
//! The merged text is ours with theirs' changes put in at their keys: every value, key and run of blanks is copied from one
//! of the texts, only commas between members are set anew. Lists of records with an id of their own are merged by it, other
//! lists by position, as texts are by lines. What both changed is a hunk of its own, with its key; what cannot be said
//! that way (one side deleted what the other changed, a key twice in one object) is left to the merge by lines.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde::de::IgnoredAny;

use crate::merge::conflict::{Hunk, Piece};
use crate::merge::edits::{self, Change, Numbers};

/// Deeper documents are left to the merge by lines: this walk is recursive.
const MAX_DEPTH: usize = 100;

/// What names a record in a list, the best first.
pub(in crate::merge) const IDS: [&str; 5] = ["id", "uuid", "_id", "key", "name"];

/// Merges three documents; `None` where that cannot be done by key.
#[must_use]
pub(in crate::merge) fn merge(base: &str, ours: &str, theirs: &str) -> Option<Vec<Piece>> {
    let [b, o, t] = [Doc::parse(base)?, Doc::parse(ours)?, Doc::parse(theirs)?];
    let mut out = Out::default();
    out.text(o.lead);
    out.value(Some(&b.root), &o.root, &t.root, &mut String::new())?;
    // The end of the file is a change of its own.
    out.text(if o.trail == b.trail { t.trail } else { o.trail });
    Some(out.pieces)
}

/// Whether `text` is a JSON document in which no object has a key twice.
#[must_use]
pub(in crate::merge) fn is_sound(text: &str) -> bool {
    fn sound(node: &Node<'_>) -> bool {
        let mut seen = std::collections::HashSet::new();
        node.rows.iter().all(|row| {
            let own = node.shape != Shape::Object || seen.insert(row.name.as_str());
            own && sound(&row.value)
        })
    }
    Doc::parse(text).is_some_and(|doc| sound(&doc.root))
}

/// A document: one value with what stands around it.
pub(in crate::merge) struct Doc<'a> {
    pub lead: &'a str,
    pub root: Node<'a>,
    pub trail: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::merge) enum Shape {
    Object,
    Array,
    Scalar,
}

/// A value with the text it was read from.
pub(in crate::merge) struct Node<'a> {
    pub text: &'a str,
    pub shape: Shape,
    /// Members or items.
    pub rows: Vec<Row<'a>>,
    /// What stands before the closing bracket.
    pub trail: &'a str,
}

/// A member of an object, or an item of a list.
pub(in crate::merge) struct Row<'a> {
    /// Blanks before it.
    pub lead: &'a str,
    /// The key as written with all up to the value; empty in a list.
    pub head: &'a str,
    /// The key; empty in a list.
    pub name: String,
    pub value: Node<'a>,
}

impl<'a> Doc<'a> {
    pub fn parse(text: &'a str) -> Option<Self> {
        // After this the reader below meets nothing unexpected.
        serde_json::from_str::<IgnoredAny>(text).ok()?;
        let mut reader = Reader { text, at: 0 };
        let lead = reader.blanks();
        let root = reader.value(0)?;
        let trail = text.get(reader.at..)?;
        Some(Self { lead, root, trail })
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self, more: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&more) {
            self.at += 1;
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn blanks(&mut self) -> &'a str {
        self.skip(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
    }

    fn string(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        self.text.get(start..self.at)
    }

    fn value(&mut self, depth: usize) -> Option<Node<'a>> {
        let start = self.at;
        let (shape, close) = match self.peek()? {
            b'{' => (Shape::Object, b'}'),
            b'[' => (Shape::Array, b']'),
            first => {
                if first == b'"' {
                    self.string()?;
                } else {
                    self.skip(|b| !matches!(b, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r'));
                }
                return Some(Node {
                    text: self.text.get(start..self.at)?,
                    shape: Shape::Scalar,
                    rows: Vec::new(),
                    trail: "",
                });
            }
        };
        if depth > MAX_DEPTH {
            return None;
        }
        self.at += 1;
        let mut rows = Vec::new();
        let trail = loop {
            let lead = self.blanks();
            if self.peek()? == close {
                self.at += 1;
                break lead;
            }
            let (mut head, mut name) = ("", String::new());
            if shape == Shape::Object {
                let from = self.at;
                name = serde_json::from_str(self.string()?).ok()?;
                self.blanks();
                self.at += 1;
                self.blanks();
                head = self.text.get(from..self.at)?;
            }
            let value = self.value(depth + 1)?;
            rows.push(Row {
                lead,
                head,
                name,
                value,
            });
            let after = self.blanks();
            if self.peek()? == close {
                self.at += 1;
                break after;
            }
            self.at += 1;
        };
        Some(Node {
            text: self.text.get(start..self.at)?,
            shape,
            rows,
            trail,
        })
    }
}

impl Node<'_> {
    /// The value without blanks, members in order of their keys: equal for equal values.
    pub fn canonical(&self) -> String {
        let mut out = String::new();
        self.canonical_to(&mut out);
        out
    }

    fn canonical_to(&self, out: &mut String) {
        let mut rows: Vec<&Row<'_>> = self.rows.iter().collect();
        match self.shape {
            Shape::Scalar => {
                // A string may be written in several ways.
                match serde_json::from_str::<String>(self.text) {
                    Ok(s) => drop(write!(out, "{s:?}")),
                    Err(_) => out.push_str(self.text),
                }
                return;
            }
            Shape::Object => {
                out.push('{');
                rows.sort_by(|a, b| a.name.cmp(&b.name));
            }
            Shape::Array => out.push('['),
        }
        for row in rows {
            if self.shape == Shape::Object {
                let _ = write!(out, "{:?}:", row.name);
            }
            row.value.canonical_to(out);
            out.push(',');
        }
        out.push(if self.shape == Shape::Object {
            '}'
        } else {
            ']'
        });
    }

    /// The value of a member.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.rows.iter().find(|r| r.name == name).map(|r| &r.value)
    }

    /// The names by which rows are told apart: keys, or the ids of records. `None` if two are the same.
    fn names(&self, id: Option<&str>) -> Option<Names> {
        let mut order = Vec::with_capacity(self.rows.len());
        let mut at = HashMap::with_capacity(self.rows.len());
        for (i, row) in self.rows.iter().enumerate() {
            let name = match id {
                None => row.name.clone(),
                Some(field) => {
                    let id = row.value.get(field)?;
                    if id.shape != Shape::Scalar || id.text == "null" {
                        return None;
                    }
                    id.canonical()
                }
            };
            if at.insert(name.clone(), i).is_some() {
                return None;
            }
            order.push(name);
        }
        Some(Names { order, at })
    }
}

/// The names of a value's rows, in order, and where each is.
struct Names {
    order: Vec<String>,
    at: HashMap<String, usize>,
}

/// A row of the merged value.
enum Chosen<'n, 'a> {
    /// As one side has it: the row, and whether it was the side's first.
    Taken(&'n Row<'a>),
    /// Both have it: base, ours, theirs.
    Merged(Option<&'n Row<'a>>, &'n Row<'a>, &'n Row<'a>),
}

impl<'n, 'a> Chosen<'n, 'a> {
    fn row(&self) -> &'n Row<'a> {
        match self {
            Self::Taken(row) | Self::Merged(_, row, _) => row,
        }
    }
}

#[derive(Default)]
struct Out {
    pieces: Vec<Piece>,
}

impl Out {
    fn text(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(before)) => before.extend_from_slice(text.as_bytes()),
            _ => self.pieces.push(Piece::Text(text.as_bytes().to_vec())),
        }
    }

    /// `None` where it cannot be done by key.
    fn value<'a>(
        &mut self,
        base: Option<&Node<'a>>,
        ours: &Node<'a>,
        theirs: &Node<'a>,
        key: &mut String,
    ) -> Option<()> {
        if let Some(text) = taken(base, ours, theirs) {
            self.text(text);
            return Some(());
        }
        let shape = ours.shape;
        if shape == theirs.shape && shape != Shape::Scalar {
            let base = base.filter(|b| b.shape == shape);
            let rows = match shape {
                Shape::Object => Some(by_name(base, ours, theirs, None)?),
                _ => by_id(base, ours, theirs).or_else(|| by_position(base?, ours, theirs)),
            };
            if let Some(rows) = rows {
                return self.rows(ours, theirs, &rows, key);
            }
        }
        let bytes = |n: &Node<'_>| n.text.as_bytes().to_vec();
        self.pieces.push(Piece::Hunk(Hunk {
            ours: bytes(ours),
            base: base.map(bytes).unwrap_or_default(),
            theirs: bytes(theirs),
            key: Some(if key.is_empty() {
                "/".into()
            } else {
                key.clone()
            }),
        }));
        Some(())
    }

    fn rows<'a>(
        &mut self,
        ours: &Node<'a>,
        theirs: &Node<'a>,
        rows: &[Chosen<'_, 'a>],
        key: &mut String,
    ) -> Option<()> {
        let (open, close) = match ours.shape {
            Shape::Object => ("{", "}"),
            _ => ("[", "]"),
        };
        let style = Style::of(ours, theirs);
        self.text(open);
        for (i, chosen) in rows.iter().enumerate() {
            let row = chosen.row();
            self.text(style.lead(i == 0, row, [ours, theirs]));
            self.text(row.head);
            match chosen {
                Chosen::Taken(row) => self.text(row.value.text),
                Chosen::Merged(b, o, t) => {
                    let len = key.len();
                    let name = if o.name.is_empty() {
                        i.to_string()
                    } else {
                        pointer_part(&o.name)
                    };
                    let _ = write!(key, "/{name}");
                    self.value(b.map(|b| &b.value), &o.value, &t.value, key)?;
                    key.truncate(len);
                }
            }
            if i + 1 < rows.len() {
                self.text(",");
            }
        }
        self.text(if rows.is_empty() { "" } else { style.trail });
        self.text(close);
        Some(())
    }
}

/// The blanks of a merged value: those of ours, or of theirs where ours had nothing.
pub(in crate::merge) struct Style<'a> {
    pub first: &'a str,
    pub next: &'a str,
    pub trail: &'a str,
}

impl<'a> Style<'a> {
    pub fn of(ours: &Node<'a>, theirs: &Node<'a>) -> Self {
        let style = if ours.rows.is_empty() { theirs } else { ours };
        let first = style.rows.first().map_or("", |r| r.lead);
        let next = match [style, ours, theirs].iter().find_map(|n| n.rows.get(1)) {
            _ if first.contains('\n') => first,
            Some(row) => row.lead,
            None => " ",
        };
        Self {
            first,
            next,
            trail: style.trail,
        }
    }

    /// What stands before a row. Its own blanks only where it follows another as it did before.
    pub fn lead(&self, first: bool, row: &Row<'a>, sides: [&Node<'a>; 2]) -> &'a str {
        let was_first = sides
            .iter()
            .filter_map(|n| n.rows.first())
            .any(|r| std::ptr::eq(r, row));
        if first {
            self.first
        } else if was_first {
            self.next
        } else {
            row.lead
        }
    }
}

/// A key as part of a JSON pointer.
pub(in crate::merge) fn pointer_part(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The text of the value if at most one side changed it, or both did so alike.
pub(in crate::merge) fn taken<'a>(
    base: Option<&Node<'a>>,
    ours: &Node<'a>,
    theirs: &Node<'a>,
) -> Option<&'a str> {
    if ours.text == theirs.text || base.is_some_and(|b| b.text == theirs.text) {
        return Some(ours.text);
    }
    if base.is_some_and(|b| b.text == ours.text) {
        return Some(theirs.text);
    }
    let (o, t) = (ours.canonical(), theirs.canonical());
    let b = base.map(Node::canonical);
    if o == t || b.as_ref() == Some(&t) {
        Some(ours.text)
    } else if b.as_ref() == Some(&o) {
        Some(theirs.text)
    } else {
        None
    }
}

/// Rows by their names. `None`: a name is there twice, or one side deleted what the other changed.
fn by_name<'n, 'a>(
    base: Option<&'n Node<'a>>,
    ours: &'n Node<'a>,
    theirs: &'n Node<'a>,
    id: Option<&str>,
) -> Option<Vec<Chosen<'n, 'a>>> {
    let base_names = match base {
        Some(b) => b.names(id)?,
        None => Names {
            order: Vec::new(),
            at: HashMap::new(),
        },
    };
    let (o, t) = (ours.names(id)?, theirs.names(id)?);
    let in_base = |name: &str| {
        let at = *base_names.at.get(name)?;
        base.and_then(|b| b.rows.get(at))
    };
    let mut out: Vec<(&str, Chosen<'n, 'a>)> = Vec::new();
    for (name, row) in o.order.iter().zip(&ours.rows) {
        let there = t.at.get(name).and_then(|i| theirs.rows.get(*i));
        match (in_base(name), there) {
            (b, Some(there)) => out.push((name, Chosen::Merged(b, row, there))),
            (None, None) => out.push((name, Chosen::Taken(row))),
            (Some(b), None) => {
                if b.value.canonical() != row.value.canonical() {
                    return None;
                }
            }
        }
    }
    // What theirs added comes after what it comes after there.
    let mut after: HashMap<&str, Vec<(&str, &'n Row<'a>)>> = HashMap::new();
    let mut last = "";
    let mut front = Vec::new();
    for (name, row) in t.order.iter().zip(&theirs.rows) {
        match (in_base(name), o.at.contains_key(name)) {
            (_, true) => last = name,
            (Some(b), false) => {
                if b.value.canonical() != row.value.canonical() {
                    return None;
                }
            }
            (None, false) if last.is_empty() => front.push((name.as_str(), row)),
            (None, false) => after.entry(last).or_default().push((name, row)),
        }
    }
    let mut all: Vec<Chosen<'n, 'a>> = front.into_iter().map(|(_, r)| Chosen::Taken(r)).collect();
    // What both added at the end: ours first.
    let shared = out
        .iter()
        .rposition(|(name, _)| t.at.contains_key(*name))
        .map_or(0, |at| at + 1);
    let mut late = Vec::new();
    for (i, (name, chosen)) in out.into_iter().enumerate() {
        all.push(chosen);
        let follow = after.remove(name).unwrap_or_default();
        let follow = follow.into_iter().map(|(_, r)| Chosen::Taken(r));
        if i + 1 == shared {
            late.extend(follow);
        } else {
            all.extend(follow);
        }
    }
    all.extend(late);
    Some(all)
}

/// Items of a list by an id that all of them have.
fn by_id<'n, 'a>(
    base: Option<&'n Node<'a>>,
    ours: &'n Node<'a>,
    theirs: &'n Node<'a>,
) -> Option<Vec<Chosen<'n, 'a>>> {
    let lists = || base.into_iter().chain([ours, theirs]);
    if lists().all(|l| l.rows.is_empty()) {
        return None;
    }
    let field = IDS
        .into_iter()
        .find(|field| lists().all(|l| l.names(Some(field)).is_some()))?;
    by_name(base, ours, theirs, Some(field))
}

/// Items of a list by position, as lines of a text. `None` if both changed the same place.
fn by_position<'n, 'a>(
    base: &'n Node<'a>,
    ours: &'n Node<'a>,
    theirs: &'n Node<'a>,
) -> Option<Vec<Chosen<'n, 'a>>> {
    let texts = [base, ours, theirs].map(|n| {
        n.rows
            .iter()
            .map(|r| r.value.canonical())
            .collect::<Vec<_>>()
    });
    let mut numbers: Numbers<'_, str> = Numbers::new();
    let [b, o, t] = [&texts[0], &texts[1], &texts[2]]
        .map(|list| numbers.of(&list.iter().map(String::as_str).collect::<Vec<_>>()));
    let same = |x: std::ops::Range<usize>, y: std::ops::Range<usize>| o[x] == t[y];
    let mut out = Vec::new();
    for region in edits::regions(b.len(), &edits::edits(&b, &o), &edits::edits(&b, &t), same) {
        let rows = match region.change {
            Change::Same | Change::Ours | Change::Both => ours.rows.get(region.ours)?,
            Change::Theirs => theirs.rows.get(region.theirs)?,
            Change::Conflict => return None,
        };
        out.extend(rows.iter().map(Chosen::Taken));
    }
    Some(out)
}
