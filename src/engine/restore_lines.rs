//! Lines of a past content put into the present one. Pure; whoever takes all lines gets the past content.

use crate::diff::text::{equal_runs, lines};

use super::api::PastLines;

/// Whether the past line `n` is wanted.
fn wants(picks: &[PastLines], n: usize) -> bool {
    picks.iter().any(|p| {
        let (first, count) = (p.first as usize, p.count as usize);
        first <= n && n - first < count
    })
}

/// Whether what came since before the past line `n` is to go.
fn clears(picks: &[PastLines], n: usize) -> bool {
    picks.iter().any(|p| {
        let (first, end) = (p.first as usize, p.first as usize + p.count as usize);
        (first < n && n < end) || (p.edges && first <= n && n <= end)
    })
}

/// `now` with the wanted lines of `past`. Where a run of lines became another one and not all of it is wanted, the two are
/// taken line by line, as they stand beside each other in a comparison.
pub(crate) fn graft(now: &[u8], past: &[u8], picks: &[PastLines]) -> Vec<u8> {
    let (old, new) = (lines(now), lines(past));
    let mut out: Vec<&[u8]> = Vec::with_capacity(old.len().max(new.len()));
    let (mut o, mut n) = (0, 0);
    let end = (old.len(), new.len(), 0);
    for (old_at, new_at, len) in equal_runs(&old, &new).into_iter().chain([end]) {
        let pairs = (old_at - o).min(new_at - n);
        for k in 0..pairs {
            let line = if wants(picks, n + k) {
                new[n + k]
            } else {
                old[o + k]
            };
            out.push(line);
        }
        // One of them is longer, if any.
        if !clears(picks, new_at) {
            out.extend(&old[o + pairs..old_at]);
        }
        let more = (n + pairs..new_at).filter(|i| wants(picks, *i));
        out.extend(more.map(|i| new[i]));
        out.extend(&old[old_at..old_at + len]);
        (o, n) = (old_at + len, new_at + len);
    }
    joined(&out)
}

/// Only a last line may lack its line feed.
fn joined(lines: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(lines.iter().map(|l| l.len() + 1).sum());
    for (i, line) in lines.iter().enumerate() {
        out.extend_from_slice(line);
        if i + 1 < lines.len() && !line.ends_with(b"\n") {
            out.push(b'\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::diff::text::{Side, hunks};
    use proptest::prelude::*;

    fn pick(first: u32, count: u32, edges: bool) -> PastLines {
        PastLines {
            first,
            count,
            edges,
        }
    }

    fn made(now: &str, past: &str, picks: &[PastLines]) -> String {
        String::from_utf8(graft(now.as_bytes(), past.as_bytes(), picks)).unwrap()
    }

    #[test]
    fn lines_come_back_alone() {
        let now = "a\nB\nc\nd\nnew\ne\n";
        let past = "a\nb\nc\nd\ne\n";
        assert_eq!(made(now, past, &[]), now);
        assert_eq!(
            made(now, past, &[pick(1, 1, false)]),
            "a\nb\nc\nd\nnew\ne\n"
        );
        // The place where something came: before `e`, the fourth.
        assert_eq!(made(now, past, &[pick(4, 0, true)]), "a\nB\nc\nd\ne\n");
        assert_eq!(made(now, past, &[pick(0, 5, true)]), past);
    }

    #[test]
    fn a_part_of_a_run_is_taken_line_by_line() {
        let now = "x\nif self.exp < now {\ny\n";
        let past = "x\nlet exp = 1;\nif exp < now {\ndebug();\ny\n";
        assert_eq!(
            made(now, past, &[pick(3, 1, false)]),
            "x\nif self.exp < now {\ndebug();\ny\n"
        );
        assert_eq!(
            made(now, past, &[pick(1, 2, false)]),
            "x\nlet exp = 1;\nif exp < now {\ny\n"
        );
        assert_eq!(made("", past, &[pick(1, 1, false)]), "let exp = 1;\n");
    }

    #[test]
    fn a_last_line_without_its_end_never_runs_into_the_next() {
        assert_eq!(made("a", "b\nc\n", &[pick(1, 1, false)]), "a\nc\n");
        assert_eq!(made("a\nz", "a\nb", &[pick(1, 1, false)]), "a\nb");
        assert_eq!(made("a", "a\nb\nc", &[pick(2, 1, false)]), "a\nc");
    }

    fn text() -> impl Strategy<Value = String> {
        (
            prop::collection::vec(
                prop::sample::select(vec!["a", "b", "c", "{", "}", ""]),
                0..14,
            ),
            any::<bool>(),
        )
            .prop_map(|(lines, end)| {
                let mut text = lines.join("\n");
                if end && !text.is_empty() {
                    text.push('\n');
                }
                text
            })
    }

    /// Where the hunks of a difference lie in the new content.
    fn hunks_of(now: &str, past: &str, around: usize) -> Vec<PastLines> {
        let diff = hunks(now.as_bytes(), past.as_bytes(), around);
        diff.hunks
            .iter()
            .map(|h| {
                let first = u32::try_from(h.after.start).unwrap();
                pick(first, u32::try_from(h.after.len()).unwrap(), true)
            })
            .collect()
    }

    proptest! {
        #[test]
        fn all_hunks_are_the_past_and_none_is_the_present(now in text(), past in text(), around in 0usize..4) {
            prop_assert_eq!(&made(&now, &past, &hunks_of(&now, &past, around)), &past);
            let all = [pick(0, u32::MAX, true)];
            prop_assert_eq!(&made(&now, &past, &all), &past);
            prop_assert_eq!(&made(&now, &past, &[]), &now);
        }

        #[test]
        fn one_hunk_leaves_the_others(now in text(), past in text(), which in any::<prop::sample::Index>()) {
            // With a line around, so that two hunks never touch.
            let all = hunks_of(&now, &past, 1);
            if all.is_empty() || !now.ends_with('\n') || !past.ends_with('\n') {
                return Ok(());
            }
            let at = which.index(all.len());
            let one = made(&now, &past, &all[at..=at]);
            // Applied one after the other, whatever comes first, they come to the past.
            let diff = hunks(now.as_bytes(), past.as_bytes(), 1);
            let mut wanted: Vec<&str> = Vec::new();
            let old: Vec<&str> = now.lines().collect();
            let mut from = 0;
            for (i, hunk) in diff.hunks.iter().enumerate() {
                wanted.extend(&old[from..hunk.before.start]);
                for line in &hunk.lines {
                    let kept = if i == at { Side::Added } else { Side::Removed };
                    if line.side == Side::Both || line.side == kept {
                        wanted.push(std::str::from_utf8(&line.text).unwrap());
                    }
                }
                from = hunk.before.end;
            }
            wanted.extend(&old[from..]);
            prop_assert_eq!(one.lines().collect::<Vec<_>>(), wanted);
        }

        #[test]
        fn every_line_is_from_one_of_the_two(now in text(), past in text(), picks in prop::collection::vec((0u32..16, 0u32..6, any::<bool>()), 0..4)) {
            let picks: Vec<PastLines> = picks.into_iter().map(|(a, b, c)| pick(a, b, c)).collect();
            let out = made(&now, &past, &picks);
            for line in out.lines() {
                prop_assert!(now.lines().chain(past.lines()).any(|l| l == line));
            }
        }
    }
}
