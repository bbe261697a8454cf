//! Three-way merge of TOML by key, with the formatting kept.
//!
//! Theirs' changes are put into ours, item by item; an item is compared as it is written, comments included, so that a
//! changed comment is a change. What both changed is left to the merge by lines, which shows it best: TOML is written
//! by lines.

use toml_edit::{DocumentMut, Item, Key, TableLike};

/// Deeper tables are left to the merge by lines: this walk is recursive.
const MAX_DEPTH: usize = 64;

/// Merges three documents; `None` where both changed the same thing.
#[must_use]
pub(in crate::merge) fn merge(base: &str, ours: &str, theirs: &str) -> Option<String> {
    let [b, mut o, t] = [
        base.parse::<DocumentMut>().ok()?,
        ours.parse::<DocumentMut>().ok()?,
        theirs.parse::<DocumentMut>().ok()?,
    ];
    let trailing = [&b, &o, &t].map(|d| d.trailing().as_str().unwrap_or_default().to_owned());
    let trailing = one(&trailing[0], &trailing[1], &trailing[2])?.clone();
    tables(b.as_table(), o.as_table_mut(), t.as_table(), 0)?;
    o.set_trailing(trailing);
    let merged = o.to_string();
    // What comes out must be sound, and made of lines that somebody wrote.
    merged.parse::<DocumentMut>().ok()?;
    let known: std::collections::HashSet<&str> = [base, ours, theirs]
        .iter()
        .flat_map(|t| t.lines())
        .collect();
    merged
        .lines()
        .all(|line| line.trim().is_empty() || known.contains(line))
        .then_some(merged)
}

/// Whether `text` is TOML.
#[must_use]
pub(in crate::merge) fn is_sound(text: &str) -> bool {
    text.parse::<DocumentMut>().is_ok()
}

fn one<'a, T: PartialEq>(base: &T, ours: &'a T, theirs: &'a T) -> Option<&'a T> {
    if ours == theirs || base == theirs {
        Some(ours)
    } else if base == ours {
        Some(theirs)
    } else {
        None
    }
}

/// An item as it is written, with its key and what stands around both.
fn written(entry: Option<(&Key, &Item)>) -> Option<String> {
    let (key, item) = entry?;
    let mut out = key.to_string();
    for decor in [key.leaf_decor(), key.dotted_decor()] {
        for raw in [decor.prefix(), decor.suffix()].into_iter().flatten() {
            out.push_str(raw.as_str().unwrap_or_default());
            out.push('\u{0}');
        }
    }
    match item {
        Item::None => {}
        Item::Value(v) => out.push_str(&v.to_string()),
        Item::Table(table) => {
            out.push_str(&head(item));
            out.push_str(&rows(table));
        }
        Item::ArrayOfTables(list) => {
            for table in list.iter() {
                out.push_str("[[]]");
                out.push_str(&head(&Item::Table(table.clone())));
                out.push_str(&rows(table));
            }
        }
    }
    Some(out)
}

fn rows(table: &dyn TableLike) -> String {
    table
        .iter()
        .filter_map(|(name, _)| written(table.get_key_value(name)))
        .map(|row| row + "\u{1}")
        .collect()
}

/// How a table's header is written.
fn head(item: &Item) -> String {
    let Item::Table(table) = item else {
        return String::new();
    };
    let decor = table.decor();
    let text = |raw: Option<&toml_edit::RawString>| {
        raw.and_then(|r| r.as_str())
            .unwrap_or_default()
            .trim_start_matches('\n')
            .to_owned()
    };
    format!(
        "{}\u{2}{}\u{2}{}\u{2}{}",
        text(decor.prefix()),
        text(decor.suffix()),
        table.is_implicit(),
        table.is_dotted()
    )
}

fn tables(
    base: &dyn TableLike,
    ours: &mut dyn TableLike,
    theirs: &dyn TableLike,
    depth: usize,
) -> Option<()> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut names: Vec<String> = theirs.iter().map(|(name, _)| name.to_owned()).collect();
    names.extend(base.iter().map(|(name, _)| name.to_owned()));
    names.sort_unstable();
    names.dedup();
    // In the order in which theirs has them, so that what it added stays together.
    let place = |name: &String| theirs.iter().position(|(n, _)| n == name);
    names.sort_by_key(|name| place(name).unwrap_or(usize::MAX));
    for name in &names {
        let (b, t) = (base.get_key_value(name), theirs.get_key_value(name));
        let (was, is) = (written(b), written(t));
        let mine = written(ours.get_key_value(name));
        if was == is || mine == is {
            continue;
        }
        if mine == was {
            match t {
                None => drop(ours.remove(name)),
                Some((key, item)) => {
                    let mut item = item.clone();
                    unplaced(&mut item);
                    // In its place, if it has one.
                    match ours.get_mut(name) {
                        Some(slot) => *slot = item,
                        None => drop(ours.entry_format(key).or_insert(item)),
                    }
                    if let Some(mut mine) = ours.key_mut(name) {
                        *mine.leaf_decor_mut() = key.leaf_decor().clone();
                        *mine.dotted_decor_mut() = key.dotted_decor().clone();
                    }
                }
            }
            continue;
        }
        // Both changed it: below, perhaps in different places.
        let (Some((bk, b)), Some((tk, t))) = (b, t) else {
            return None;
        };
        let (ok, o) = ours.get_key_value(name)?;
        let heads = [b, o, t].map(head);
        let keys = [bk, ok, tk].map(|k| k.to_string());
        if heads[0] != heads[2] || keys[0] != keys[2] {
            return None;
        }
        let inline = [b, o, t].iter().any(|i| i.as_inline_table().is_some());
        if inline {
            return None;
        }
        let (Some(b), Some(t)) = (b.as_table_like(), t.as_table_like()) else {
            return None;
        };
        tables(b, ours.get_mut(name)?.as_table_like_mut()?, t, depth + 1)?;
    }
    Some(())
}

/// Forgets where a table stood in theirs: it is written after what ours has.
fn unplaced(item: &mut Item) {
    if let Item::Table(table) = item {
        table.set_position(None);
        for (_, below) in table.iter_mut() {
            unplaced(below);
        }
    } else if let Item::ArrayOfTables(list) = item {
        for table in list.iter_mut() {
            table.set_position(None);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const BASE: &str = "# about\n[package]\nname = \"x\"      # the name\nversion = \"1\"\n\n[dependencies]\na = \"1\"\nb = { version = \"1\" }\n";

    #[test]
    fn keys_beside_one_another_are_put_together() {
        let ours = BASE.replace("version = \"1\"\n\n", "version = \"2\"\n\n") + "o = \"1\"\n";
        let theirs = BASE.replace("\"x\" ", "\"y\" ") + "t = \"1\" # why\n\n[features]\nf = []\n";
        let merged = merge(BASE, &ours, &theirs).unwrap();
        assert_eq!(
            merged,
            BASE.replace("version = \"1\"\n\n", "version = \"2\"\n\n")
                .replace("\"x\" ", "\"y\" ")
                + "o = \"1\"\nt = \"1\" # why\n\n[features]\nf = []\n"
        );
        let swapped = merge(BASE, &theirs, &ours).unwrap();
        assert_eq!(
            swapped.parse::<toml_edit::DocumentMut>().unwrap()["dependencies"]["t"].as_str(),
            Some("1")
        );
    }

    #[test]
    fn what_went_is_gone_and_what_both_changed_is_refused() {
        let without = BASE.replace("a = \"1\"\n", "");
        let other = BASE.replace("b = { version = \"1\" }", "b = \"2\"");
        assert_eq!(
            merge(BASE, &without, &other).unwrap(),
            other.replace("a = \"1\"\n", "")
        );
        assert_eq!(
            merge(BASE, &other, &without).unwrap(),
            other.replace("a = \"1\"\n", "")
        );
        assert!(merge(BASE, &BASE.replace("a = \"1\"", "a = \"2\""), &without).is_none());
        assert!(merge(BASE, "not toml", BASE).is_none());
    }

    #[test]
    fn a_comment_is_a_change() {
        let ours = BASE.replace("# the name", "# its name");
        let theirs = BASE.replace("\"x\" ", "\"y\" ");
        assert!(merge(BASE, &ours, &theirs).is_none());
    }
}
