//! Conflicts that commits keep: listed, taken up in any order, also partly, also after the files went on.

use crate::common::Place;
use crate::support::*;

fn open(place: &Place) -> Vec<(String, Vec<String>)> {
    place
        .json(&["conflicts", "--json"])
        .into_iter()
        .map(|c| {
            let paths = c["conflicts"]
                .as_array()
                .unwrap()
                .iter()
                .map(|c| c["path"].as_str().unwrap().to_owned())
                .collect();
            (c["commit"]["id"].as_str().unwrap().to_owned(), paths)
        })
        .collect()
}

fn lines(change: &[(usize, &str)]) -> String {
    (0..60)
        .map(|n| match change.iter().find(|(at, _)| *at == n) {
            Some((_, text)) => format!("{text}\n"),
            None => format!("line {n}\n"),
        })
        .collect()
}

/// Two branches, each in conflict with `main` elsewhere, both merged with their conflicts.
fn two_merges() -> Place {
    let place = Place::new();
    place.write("a.txt", lines(&[]));
    place.write("b.bin", b"\0base");
    place.write("c.txt", "c\n");
    place.ok(&["init"]);
    place.ok(&["branch", "create", "one"]);
    place.ok(&["branch", "create", "two"]);
    place.ok(&["switch", "one"]);
    place.write(
        "a.txt",
        lines(&[(5, "one"), (20, "only one"), (50, "one end")]),
    );
    place.write("b.bin", b"\0one");
    place.ok(&["switch", "two"]);
    place.write("c.txt", "two\n");
    place.ok(&["switch", "main"]);
    place.write("a.txt", lines(&[(5, "main"), (50, "main end")]));
    place.write("b.bin", b"\0main");
    place.write("c.txt", "main\n");
    place.ok(&["checkpoint", "-m", "main"]);
    for branch in ["one", "two"] {
        let report = json_of(&place, &["merge", branch, "--keep-conflicts"], 0);
        assert!(!report["open"].as_array().unwrap().is_empty());
    }
    place
}

#[test]
fn they_are_settled_later_in_another_order() {
    let place = two_merges();
    let ours = lines(&[(5, "main"), (20, "only one"), (50, "main end")]);
    assert_eq!(
        read(&place, "a.txt"),
        ours,
        "ours where they disagree, and what was not in conflict"
    );
    let all = open(&place);
    let paths: Vec<&[String]> = all.iter().map(|(_, p)| p.as_slice()).collect();
    assert_eq!(
        paths,
        [
            &["c.txt".to_owned()][..],
            &["a.txt".to_owned(), "b.bin".to_owned()]
        ]
    );
    let (newer, older) = (all[0].0.clone(), all[1].0.clone());
    let conflicted = show(&place, &older)["commit"].clone();
    assert_eq!(conflicted["cause"], "merge");

    // Work goes on, also in a file that is in conflict.
    place.write(
        "a.txt",
        format!("top\n{}", ours.replace("line 30\n", "thirty\n")),
    );
    place.ok(&["checkpoint", "-m", "goes on"]);
    assert_eq!(open(&place), all);

    // The older one first, and only a part of it.
    let info = json_of(&place, &["resolve", &older], 0);
    assert_eq!(info["resumed"], older.as_str());
    assert_eq!(info["left"], 2);
    assert_eq!(conflicts(&info)["a.txt"].0, "content");
    let shown = place.ok(&["merge", "--show", "a.txt"]);
    assert!(
        shown.contains("hunk 2") && !shown.contains("hunk 3"),
        "{shown}"
    );
    assert!(
        shown.contains("theirs: "),
        "the reasons are those of the merge: {shown}"
    );
    json_of(&place, &["merge", "--pick", "a.txt#2=theirs"], 0);
    json_of(&place, &["merge", "--continue", "--keep-conflicts"], 0);
    let half = format!(
        "top\n{}",
        lines(&[
            (5, "main"),
            (20, "only one"),
            (30, "thirty"),
            (50, "one end")
        ])
    );
    assert_eq!(read(&place, "a.txt"), half);
    let now = open(&place);
    assert_eq!(now.len(), 2);
    assert_eq!(
        now[0].1,
        ["a.txt", "b.bin"],
        "what is left is kept by the newer commit"
    );
    assert_eq!(now[1].0, newer);

    // The other merge's.
    json_of(&place, &["resolve", &newer], 0);
    json_of(&place, &["merge", "--pick", "c.txt=both"], 0);
    place.ok(&["merge", "--continue"]);
    assert_eq!(read(&place, "c.txt"), "main\ntwo\n");
    assert_eq!(open(&place).len(), 1);

    // The rest; the nearest is taken when none is named.
    let info = json_of(&place, &["resolve"], 0);
    assert_eq!(info["left"], 2, "{info}");
    json_of(
        &place,
        &[
            "merge",
            "--pick",
            "a.txt#1=theirs",
            "--pick",
            "b.bin=theirs",
        ],
        0,
    );
    place.ok(&["merge", "--continue"]);
    assert_eq!(read(&place, "a.txt"), half.replace("main\n", "one\n"));
    assert_eq!(
        std::fs::read(place.project.join("b.bin")).unwrap(),
        b"\0one"
    );
    assert!(open(&place).is_empty());
    assert!(place.ok(&["conflicts"]).contains("no conflict is open"));

    // Each of it is undone like any other, and the conflicts are open again then.
    place.ok(&["undo"]);
    assert_eq!(open(&place).len(), 1);
    assert_eq!(read(&place, "a.txt"), half);
    place.ok(&["redo"]);
    assert!(open(&place).is_empty());
    sound(&place);
}

#[test]
fn what_was_settled_by_hand_is_ours_then() {
    let place = two_merges();
    let (newer, older) = (open(&place)[0].0.clone(), open(&place)[1].0.clone());
    // Somebody edits the places themselves: one as theirs has it, one as nobody has it.
    place.write("c.txt", "two\n");
    place.write(
        "a.txt",
        lines(&[(5, "by hand"), (20, "only one"), (50, "main end")]),
    );
    place.write("b.bin", b"\0main");
    place.ok(&["checkpoint", "-m", "by hand"]);
    let info = json_of(&place, &["resolve", &newer], 0);
    assert_eq!(
        info["left"], 0,
        "there is nothing to disagree about any more"
    );
    place.ok(&["merge", "--continue"]);
    assert_eq!(open(&place).len(), 1);
    json_of(&place, &["resolve", &older], 0);
    json_of(
        &place,
        &[
            "merge",
            "--pick",
            "a.txt#1=ours",
            "--pick",
            "a.txt#2=base",
            "--pick",
            "b.bin=base",
        ],
        0,
    );
    place.ok(&["merge", "--continue"]);
    assert_eq!(
        read(&place, "a.txt"),
        lines(&[(5, "by hand"), (20, "only one")])
    );
    assert_eq!(
        std::fs::read(place.project.join("b.bin")).unwrap(),
        b"\0base"
    );
    assert!(open(&place).is_empty());
}

#[test]
fn they_come_along_with_the_branch_that_has_them() {
    let place = two_merges();
    place.ok(&["branch", "create", "late", "@~3"]);
    place.ok(&["switch", "late"]);
    assert!(open(&place).is_empty());
    place.ok(&["merge", "main"]);
    assert_eq!(
        open(&place).len(),
        2,
        "their open conflicts are not lost by a merge"
    );
    place.ok(&["resolve"]);
    assert!(refused(&place, &["merge", "one"]).contains("unfinished"));
    assert!(refused(&place, &["merge", "--continue", "--keep-conflicts"]).contains("nothing"));
    place.ok(&["merge", "--abort"]);
    assert_eq!(open(&place).len(), 2);
}

/// What is kept and taken up again gives what settling it at once would have given.
#[test]
fn every_kind_of_conflict_comes_back() {
    let make = crate::kinds::all_kinds;
    for side in ["ours", "theirs"] {
        let (at_once, later) = (make(), make());
        json_of(&at_once, &["merge", "try", "--resolver", side], 0);
        json_of(&later, &["merge", "try", "--keep-conflicts"], 0);
        let wanted: Vec<String> = crate::kinds::KINDS
            .iter()
            .map(|(p, _)| (*p).to_owned())
            .collect();
        let [(_, paths)] = &open(&later)[..] else {
            panic!()
        };
        assert_eq!(*paths, wanted);
        later.write("unrelated", "work goes on\n");
        let info = json_of(&later, &["resolve"], 0);
        assert_eq!(conflicts(&info).into_keys().collect::<Vec<_>>(), wanted);
        for path in &wanted {
            json_of(&later, &["merge", "--pick", &format!("{path}={side}")], 0);
        }
        later.ok(&["merge", "--continue"]);
        remove(&later.project.join("unrelated"));
        let differs = crate::common::differences(&files(&later), &files(&at_once));
        assert_eq!(differs, Vec::<String>::new(), "{side}");
        assert!(open(&later).is_empty());
    }
}
