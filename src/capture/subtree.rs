//! Subtrees of maps sorted by path: what lies below a directory is one contiguous range, up to names that sort
//! between a directory and its content (`a-b` lies between `a` and `a/b`).

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::model::RepoPath;

/// The keys strictly below `dir`.
pub fn keys_below<V>(map: &BTreeMap<RepoPath, V>, dir: &RepoPath) -> Vec<RepoPath> {
    if dir.is_root() {
        return map.keys().filter(|k| !k.is_root()).cloned().collect();
    }
    // Any path below sorts after `dir/` and before `dir0`, the byte after the slash. `dir/\x01` is the least path below.
    let Ok(least) = dir.join(b"\x01") else {
        return Vec::new();
    };
    let mut end = dir.as_bytes().to_vec();
    end.push(b'/' + 1);
    map.range((Bound::Included(least), Bound::Unbounded))
        .map(|(k, _)| k)
        .take_while(|k| k.as_bytes() < end.as_slice())
        .cloned()
        .collect()
}

/// Takes out what is at `dir` and below.
fn take<V>(map: &mut BTreeMap<RepoPath, V>, dir: &RepoPath) -> Vec<(RepoPath, V)> {
    let mut keys = keys_below(map, dir);
    keys.push(dir.clone());
    keys.into_iter()
        .filter_map(|k| map.remove_entry(&k))
        .collect()
}

/// Gives what is at and below `from` its place at `to`; with `exchange` the two change places. Where two meet, `merge`
/// makes one of the value that is there and the one that comes.
pub fn rename<V>(
    map: &mut BTreeMap<RepoPath, V>,
    from: &RepoPath,
    to: &RepoPath,
    exchange: bool,
    merge: impl Fn(&mut V, V),
) {
    let coming = take(map, from);
    let going = if exchange { take(map, to) } else { Vec::new() };
    let mut put = |values: Vec<(RepoPath, V)>, from: &RepoPath, to: &RepoPath| {
        for (old, value) in values {
            let Some(new) = old.moved(from, to) else {
                continue;
            };
            match map.get_mut(&new) {
                Some(there) => merge(there, value),
                None => {
                    map.insert(new, value);
                }
            }
        }
    };
    put(coming, from, to);
    put(going, to, from);
}

/// Where `path` is after `from` was renamed to `to`.
#[must_use]
pub fn renamed(path: &RepoPath, from: &RepoPath, to: &RepoPath, exchange: bool) -> RepoPath {
    if let Some(new) = path.moved(from, to) {
        return new;
    }
    if exchange && let Some(new) = path.moved(to, from) {
        return new;
    }
    path.clone()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn p(s: &str) -> RepoPath {
        RepoPath::try_from(s).unwrap()
    }

    #[test]
    fn below_leaves_neighbours_alone() {
        let names = ["a", "a-b", "a/b", "a/b/c", "a/\u{1}", "a0", "b"];
        let map: BTreeMap<_, _> = names.iter().map(|n| (p(n), ())).collect();
        assert_eq!(
            keys_below(&map, &p("a")),
            [p("a/\u{1}"), p("a/b"), p("a/b/c")]
        );
        assert_eq!(keys_below(&map, &p("c")), []);
        assert_eq!(keys_below(&map, &RepoPath::root()).len(), names.len());
    }

    #[test]
    fn renames_move_merge_and_exchange() {
        let mut map: BTreeMap<_, _> = [("a", 1), ("a/x", 2), ("b", 4), ("b/y", 8)]
            .into_iter()
            .map(|(n, v)| (p(n), v))
            .collect();
        rename(&mut map, &p("a"), &p("b"), false, |there, v| *there += v);
        assert_eq!(
            map.clone().into_iter().collect::<Vec<_>>(),
            [(p("b"), 5), (p("b/x"), 2), (p("b/y"), 8)]
        );
        map.insert(p("c"), 16);
        rename(&mut map, &p("b"), &p("c"), true, |_, _| {});
        assert_eq!(
            map.into_iter().collect::<Vec<_>>(),
            [(p("b"), 16), (p("c"), 5), (p("c/x"), 2), (p("c/y"), 8)]
        );
        assert_eq!(renamed(&p("c/x"), &p("b"), &p("c"), true), p("b/x"));
    }
}
