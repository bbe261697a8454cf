//! Rows as they come: in any order, hidden or not, a million of them.

use crate::engine::api::Row;
use crate::model::{CallKind, SessionId, StepId, Time};
use crate::model::{Ordinal, Status, StepKind};
use crate::ui::rows::Rows;
use crate::ui::sums::Sum;
use proptest::prelude::*;

fn ordinal(major: u64, minor: u32) -> Ordinal {
    format!("{major}.{minor}").parse().unwrap()
}

fn row(major: u64, minor: u32, title: &str) -> Row {
    Row {
        step: StepId::of(SessionId::of("s"), &format!("{major}.{minor}")),
        ordinal: ordinal(major, minor),
        session: None,
        kind: StepKind::Fs,
        call: CallKind::Other,
        tool: String::new(),
        title: title.to_owned(),
        time: Time(0),
        end: None,
        status: Status::None,
        exit_code: None,
        turn: 0,
        commit: None,
        parent: None,
        commits: 0,
        line: 0,
        from_line: None,
        effect: None,
        labels: Vec::new(),
        talk: Default::default(),
    }
}

fn titles(rows: &Rows) -> Vec<String> {
    rows.from(0).map(|r| r.title.clone()).collect()
}

fn page(rows: &mut Rows, numbers: impl Iterator<Item = u64>) {
    let page = numbers.map(|i| row(i, 0, &i.to_string())).collect();
    if let Err(page) = rows.put_page(page, |_| false) {
        for row in page {
            rows.put(row, false);
        }
    }
}

#[test]
fn the_tail_comes_first_and_the_rest_before_it() {
    let mut rows = Rows::default();
    page(&mut rows, 3..5);
    page(&mut rows, 1..4);
    rows.put(row(5, 0, "5"), false);
    rows.put(row(2, 1, "2.1"), false);
    assert_eq!(titles(&rows), ["1", "2", "2.1", "3", "4", "5"]);
    assert_eq!(rows.len(), 6);
    assert_eq!(rows.position(ordinal(3, 0)), Ok(3));
    assert_eq!(rows.position(ordinal(9, 0)), Err(6));
}

proptest! {
    #[test]
    fn it_is_a_sorted_map(puts in proptest::collection::vec((0u64..3000, 0u32..2, any::<bool>()), 1..400), from in 0u64..3000, span in 0u64..3000) {
        let mut rows = Rows::default();
        let mut model = std::collections::BTreeMap::new();
        for start in (500..2800).step_by(1000) {
            page(&mut rows, start..(start + 1000).min(2800));
        }
        for i in 500..2800 { model.insert((i, 0), (i.to_string(), false)); }
        for (n, (a, b, hidden)) in puts.into_iter().enumerate() {
            rows.put(row(a, b, &n.to_string()), hidden);
            model.insert((a, b), (n.to_string(), hidden));
        }
        // Of a range, those with an even number are hidden.
        let range = ordinal(from, 0)..=ordinal(from + span, 1);
        rows.rehide(&range, |b| b.ordinal.major % 2 == 0);
        for ((a, b), (_, hidden)) in &mut model {
            if range.contains(&ordinal(*a, *b)) {
                *hidden = a % 2 == 0;
            }
        }
        let want: Vec<String> = model.values().map(|(t, _)| t.clone()).collect();
        prop_assert_eq!(&titles(&rows), &want);
        prop_assert_eq!(rows.len(), want.len());
        for at in [0, 1, want.len() / 2, want.len() - 1] {
            prop_assert_eq!(&rows.get(at).unwrap().title, &want[at]);
            let back: Vec<String> = rows.before(at).map(|r| r.title.clone()).collect();
            let mut expected = want[..at].to_vec();
            expected.reverse();
            prop_assert_eq!(back, expected);
        }
        let shown: Vec<usize> = model.values().enumerate().filter(|(_, (_, h))| !h).map(|(i, _)| i).collect();
        prop_assert_eq!(rows.shown_len(), shown.len());
        for (line, at) in shown.iter().enumerate() {
            prop_assert_eq!(rows.nth_shown(line), Some(*at));
            prop_assert_eq!(rows.shown_before(*at), line);
            prop_assert!(!rows.is_hidden(*at));
        }
        prop_assert_eq!(rows.nth_shown(shown.len()), None);
    }
}

#[test]
fn the_overview_is_exact() {
    let mut rows = Rows::default();
    let mut plain = Vec::new();
    for i in 0..5000u64 {
        let mut row = row(i, 0, "");
        if i % 37 == 0 {
            row.status = Status::Error;
        }
        row.effect = Some(crate::engine::api::Effect {
            files: 1,
            added: u32::try_from(i % 90).unwrap(),
            removed: 0,
        });
        plain.push(Sum::of(&row));
        // Every third comes late.
        if i % 3 != 0 {
            rows.put(row, false);
        }
    }
    for i in (0..5000u64).step_by(3) {
        let mut row = row(i, 0, "");
        if i % 37 == 0 {
            row.status = Status::Error;
        }
        row.effect = Some(crate::engine::api::Effect {
            files: 1,
            added: u32::try_from(i % 90).unwrap(),
            removed: 0,
        });
        rows.put(row, false);
    }
    for cells in [1, 7, 100, 4999] {
        let mut want = vec![Sum::default(); cells];
        for (i, sum) in plain.iter().enumerate() {
            want[i * cells / 5000].add(*sum);
        }
        assert_eq!(rows.overview(cells), want);
    }
}

#[test]
fn rows_that_are_not_looked_at_are_packed_and_come_back() {
    let mut rows = Rows::default();
    for n in (0..40u64).rev() {
        page(&mut rows, n * 1000..n * 1000 + 1000);
    }
    rows.trim();
    assert!(rows.unpacked() <= 12, "{}", rows.unpacked());
    // Late ones, into chunks that are packed.
    rows.put(row(500, 1, "late"), false);
    rows.put(row(501, 0, "changed"), true);
    rows.remove(ordinal(502, 0));
    rows.put(row(u64::MAX, 0, "far away"), false);
    rows.put(row(u64::MAX / 2, 3, "between"), false);
    for _ in 0..2 {
        assert_eq!(rows.len(), 40_002);
        assert_eq!(rows.at(ordinal(500, 1)).unwrap().title, "late");
        assert_eq!(rows.at(ordinal(501, 0)).unwrap().title, "changed");
        assert!(rows.is_hidden(rows.position(ordinal(501, 0)).unwrap()));
        assert!(rows.at(ordinal(502, 0)).is_none());
        assert_eq!(rows.at(ordinal(u64::MAX, 0)).unwrap().title, "far away");
        assert_eq!(rows.at(ordinal(u64::MAX / 2, 3)).unwrap().title, "between");
        for n in 0..40u64 {
            assert_eq!(
                rows.at(ordinal(n * 1000, 0)).unwrap().title,
                format!("{}", n * 1000)
            );
            rows.trim();
        }
    }
    let found = rows.nth_fit(0, 2, true, |r| r.title.ends_with("999"));
    assert_eq!(rows.get(found.unwrap()).unwrap().title, "1999");
    let found = rows.nth_fit(39_000, 1, false, |r| r.title == "changed");
    assert_eq!(rows.get(found.unwrap()).unwrap().ordinal, ordinal(501, 0));
    assert_eq!(
        rows.nth_fit(39_000, 1, false, |r| r.title == "nowhere"),
        None
    );
    let forward = rows.nth_brief(10_000, 3, true, |b| b.ordinal.major % 1000 == 7);
    assert_eq!(rows.get(forward.unwrap()).unwrap().title, "12007");
    let back = rows.nth_brief(10_000, 3, false, |b| b.ordinal.major % 1000 == 7);
    assert_eq!(rows.get(back.unwrap()).unwrap().title, "7007");
    assert!(rows.unpacked() <= 20);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_page_takes_the_place_of_its_range(
        numbers in proptest::collection::btree_set(0u64..6000, 0..1500),
        (from, to) in (0u64..6000, 0u64..6000),
        step in 1u64..5,
        keep in proptest::collection::hash_set((0u64..6000).prop_map(|n| ordinal(n, 0)), 0..40),
    ) {
        let (from, to) = (from.min(to), from.max(to));
        let mut rows = Rows::default();
        let mut model: std::collections::BTreeMap<u64, String> = std::collections::BTreeMap::new();
        for n in &numbers {
            rows.put(row(*n, 0, "old"), n % 3 == 0);
            model.insert(*n, "old".to_owned());
        }
        let page: Vec<u64> = (from..=to).filter(|n| n % step == 0).collect();
        let stays = |n: &u64| !(from..=to).contains(n) || keep.contains(&ordinal(*n, 0));
        let mut gone: Vec<u64> = numbers.iter().copied().filter(|n| !stays(n) && n % step != 0).collect();
        model.retain(|n, _| stays(n));
        for n in &page {
            model.entry(*n).or_insert_with(|| "new".to_owned());
        }
        let lost = rows.take_page(
            page.iter().map(|n| row(*n, 0, "new")).collect(),
            None,
            ordinal(from, 0)..=ordinal(to, 0),
            &keep,
            |b| b.ordinal.major % 2 == 0,
        );
        let mut lost: Vec<u64> = lost.iter().map(|b| b.ordinal.major).collect();
        lost.sort_unstable();
        gone.sort_unstable();
        prop_assert_eq!(lost, gone);
        let want: Vec<String> = model.values().cloned().collect();
        prop_assert_eq!(&titles(&rows), &want);
        for (n, title) in &model {
            let at = rows.position(ordinal(*n, 0)).unwrap();
            let hidden = if title == "new" { n % 2 == 0 } else { n % 3 == 0 };
            prop_assert_eq!(rows.is_hidden(at), hidden);
        }
    }
}

#[test]
fn a_million_rows_are_quick() {
    let mut rows = Rows::default();
    for n in (0..1000u64).rev() {
        page(&mut rows, n * 1000..n * 1000 + 1000);
    }
    let start = std::time::Instant::now();
    for i in 0..100u64 {
        rows.put(row(1_000_000 + i, 0, ""), false);
        assert_eq!(rows.overview(100).len(), 100);
        assert!(rows.get(500_000).is_some());
        assert!(rows.nth_shown(700_000).is_some());
    }
    let each = start.elapsed() / 100;
    assert!(each < std::time::Duration::from_millis(5), "{each:?}");
}
