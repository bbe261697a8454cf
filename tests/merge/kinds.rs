//! Clean merges, and every kind of conflict settled both ways.

use std::os::unix::fs::{PermissionsExt, symlink};

use backtrail::model::{Cause, Commit, Entry, Kind, OpKind, RefChange, RefTarget, Time, Tree};
use backtrail::store::{NewCommit, NewOperation, Publication, Store, commit_id};

use crate::common::{Place, differences};
use crate::support::*;

const NONE: &[String] = &[];

#[test]
fn a_clean_merge_is_one_operation() {
    let place = parted(
        |p| {
            p.write("both.txt", "1\n2\n3\n4\n5\n");
            p.write("gone.txt", "g\n");
            p.write("dir/moved.txt", "a content of its own\n");
            p.write("bin", b"\0\x01");
        },
        |p| {
            p.write("both.txt", "one\n2\n3\n4\n5\n");
            p.write("new/theirs.txt", "t\n");
            remove(&p.project.join("gone.txt"));
            std::fs::rename(p.project.join("dir"), p.project.join("other")).unwrap();
            std::fs::set_permissions(p.project.join("bin"), PermissionsExt::from_mode(0o755))
                .unwrap();
        },
        |p| {
            p.write("both.txt", "1\n2\n3\n4\nfive\n");
            p.write("dir/moved.txt", "a content of its own\nand more\n");
            p.write("bin", b"\0\x02");
            symlink("bin", p.project.join("link")).unwrap();
        },
    );
    let before = files(&place);
    let tips_before = tips(&place);
    let dry = json_of(&place, &["merge", "try", "--dry-run"], 0);
    assert_eq!(
        (dry["kept"].as_bool(), dry["left"].as_u64()),
        (Some(false), Some(0))
    );
    assert_eq!(files(&place), before, "a dry run writes nothing");
    assert_eq!(tips(&place), tips_before);
    assert!(
        place
            .ok(&["merge", "--status"])
            .contains("no merge is unfinished")
    );

    let report = json_of(&place, &["merge", "try", "-m", "bring it in"], 0);
    assert_eq!(
        report["changes"], dry["changes"],
        "what was announced was done"
    );
    assert_eq!(read(&place, "both.txt"), "one\n2\n3\n4\nfive\n");
    assert_eq!(
        read(&place, "other/moved.txt"),
        "a content of its own\nand more\n"
    );
    assert!(!place.project.join("dir").exists() && !place.project.join("gone.txt").exists());
    let mode = std::fs::metadata(place.project.join("bin"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o755, "their permissions, our content");
    assert_eq!(std::fs::read(place.project.join("bin")).unwrap(), b"\0\x02");
    let merged = files(&place);

    let shown = show(&place, "@");
    assert_eq!(shown["commit"]["message"], "bring it in");
    assert_eq!(shown["commit"]["cause"], "merge");
    assert_eq!(shown["commit"]["parents"][0], tips_before["main"].as_str());
    assert_eq!(shown["commit"]["parents"][1], tips_before["try"].as_str());
    assert!(!shown["commit"]["step"].is_null(), "it is tied to its step");
    assert_eq!(
        tips(&place)["try"],
        tips_before["try"],
        "the merged branch stays"
    );

    // Undone and done again like any other, also with work in between.
    for _ in 0..2 {
        place.ok(&["undo"]);
        assert_eq!(differences(&files(&place), &before), NONE);
        assert_eq!(tips(&place), tips_before);
        place.ok(&["redo"]);
        assert_eq!(differences(&files(&place), &merged), NONE);
    }
    place.write("later.txt", "l\n");
    place.ok(&["undo"]);
    assert_eq!(differences(&files(&place), &before), NONE);
    place.ok(&["redo"]);
    assert_eq!(read(&place, "later.txt"), "l\n");
    let again = json_of(&place, &["merge", "try"], 0);
    assert_eq!(again["up_to_date"], true);
    assert!(place.ok(&["merge", "try"]).contains("already"));
    sound(&place);
}

#[test]
fn what_makes_no_sense_is_refused_and_writes_nothing() {
    let place = file(b"a\n", b"b\n", b"c\n");
    let before = (files(&place), tips(&place));
    for (args, word) in [
        (&["merge", "main"][..], "into itself"),
        (&["merge", "try", "--into", "try"], "into itself"),
        (&["merge", "no"], "no commit, branch"),
        (&["merge", "try", "--into", "no"], "no branch"),
        (&["merge", "--continue"], "no merge is unfinished"),
        (&["merge", "--abort"], "no merge is unfinished"),
        (&["merge", "--unpick"], "no merge is unfinished"),
        (&["merge", "--pick", "f.txt=ours"], "no merge is unfinished"),
        (&["merge"], "required"),
        (&["resolve"], "no conflict is open"),
        (&["resolve", "@~1"], "leaves conflicts open"),
    ] {
        let said = refused(&place, args);
        assert!(said.contains(word), "{args:?}: {said}");
    }
    assert_eq!((files(&place), tips(&place)), before);
}

#[test]
fn into_another_branch_only_its_ref_moves() {
    let place = parted(
        |p| p.write("f.txt", "zero\n"),
        |p| p.write("t.txt", "t\n"),
        |p| p.write("m.txt", "m\n"),
    );
    place.write("unsaved.txt", "u\n");
    let before = (files(&place), tips(&place));
    let report = json_of(&place, &["merge", "main", "--into", "try"], 0);
    assert_eq!(files(&place), before.0, "the workspace stays as it is");
    let now = tips(&place);
    let tip = report["commit"]["id"].as_str().unwrap();
    assert_eq!(now["try"], tip);
    assert!(report["rollback"].is_null());
    assert_eq!(place.ok(&["cat", "try:t.txt"]), "t\n");
    assert_eq!(
        place.ok(&["cat", "try:unsaved.txt"]),
        "u\n",
        "what is there was merged"
    );
    assert_eq!(show(&place, "try")["commit"]["branch"], "try");
    place.ok(&["undo"]);
    assert_eq!(tips(&place)["try"], before.1["try"]);
    place.ok(&["redo"]);
    assert_eq!(tips(&place)["try"], tip);
    // Work on that branch is not thrown away by an undo.
    place.ok(&["switch", "try"]);
    place.write("on-try.txt", "x\n");
    place.ok(&["switch", "main"]);
    place.ok(&["undo"]);
    place.ok(&["undo"]);
    let said = refused(&place, &["undo"]);
    assert!(said.contains("gone on since"), "{said}");
}

#[test]
fn what_follows_makes_a_merge_commit_too() {
    let place = Place::new();
    place.write("f.txt", "zero\n");
    place.ok(&["init"]);
    place.ok(&["switch", "-c", "try"]);
    place.write("f.txt", "one\n");
    place.ok(&["checkpoint", "-m", "one"]);
    place.ok(&["switch", "main"]);
    let before = tips(&place);
    let report = json_of(&place, &["land", "try"], 0);
    assert_eq!(report["fast_forward"], true);
    assert_eq!(read(&place, "f.txt"), "one\n");
    let tip = show(&place, "@");
    assert_eq!(tip["commit"]["parents"].as_array().unwrap().len(), 2);
    let parent = show(&place, "@~1");
    assert_eq!(
        parent["commit"]["id"],
        before["main"].as_str(),
        "what was there before"
    );
    assert_eq!(tips(&place)["try"], before["try"]);
}

#[test]
fn crossing_merges_have_a_virtual_base() {
    let lines = |top: &str, end: &str| format!("{top}\nb\nc\nd\ne\n{end}\n");
    let place = parted(
        |p| p.write("f.txt", lines("a", "z")),
        |p| p.write("f.txt", lines("a", "try")),
        |p| p.write("f.txt", lines("main", "z")),
    );
    let old = tips(&place);
    // Each takes the other as it was.
    place.ok(&["merge", &old["try"]]);
    place.ok(&["merge", &old["main"], "--into", "try"]);
    assert_eq!(read(&place, "f.txt"), lines("main", "try"));
    place.write("f.txt", lines("main again", "try"));
    place.ok(&["switch", "try"]);
    place.write("f.txt", lines("main", "try again"));
    place.ok(&["switch", "main"]);
    let dry = json_of(&place, &["merge", "try", "--dry-run"], 0);
    assert_eq!(dry["bases"].as_array().unwrap().len(), 2);
    place.ok(&["merge", "try"]);
    assert_eq!(read(&place, "f.txt"), lines("main again", "try again"));
    sound(&place);
}

/// A branch without any commit in common: a first commit of its own.
fn stranger(place: &Place, name: &str, content: &[u8]) {
    let status = place.json(&["status", "--json"]).remove(0);
    let dir = place.path("data").join("projects");
    let dir = std::fs::read_dir(dir)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    assert_eq!(status["pid"], 0, "no engine may have the store open");
    let store = Store::open(&dir).unwrap();
    let blob = store.put_blob(content).unwrap();
    let tree = Tree::new(vec![Entry {
        name: name.as_bytes().to_vec(),
        mode: 0o644,
        kind: Kind::File {
            blob,
            size: content.len() as u64,
        },
    }]);
    let commit = Commit {
        parents: Vec::new(),
        tree: store.put_tree(&tree).unwrap(),
        git: None,
        state: None,
        author: "test".into(),
        session: None,
        time: Time::now(),
        cause: Cause::Manual,
        message: "stranger".into(),
        meta: Default::default(),
        conflict: Vec::new(),
    };
    let id = commit_id(&commit);
    store
        .publish(Publication {
            commits: vec![NewCommit {
                commit,
                attrs: Vec::new(),
                paths: Vec::new(),
            }],
            operation: Some(NewOperation {
                kind: OpKind::Branch,
                description: "a stranger".into(),
                refs: vec![RefChange {
                    name: "branch/stranger".into(),
                    before: None,
                    after: Some(RefTarget::Commit(id)),
                }],
                target: None,
                workspace: None,
                time: Time::now(),
            }),
            ..Publication::default()
        })
        .unwrap();
}

#[test]
fn unrelated_histories_have_the_empty_project_for_a_base() {
    let place = Place::new();
    place.write("a.txt", "a\n");
    place.write("same.txt", "ours\n");
    place.ok(&["init"]);
    stranger(&place, "same.txt", b"theirs\n");
    let dry = json_of(&place, &["merge", "stranger", "--dry-run"], 0);
    assert_eq!(dry["bases"].as_array().unwrap().len(), 0);
    let text = place.ok(&["merge", "stranger", "--dry-run"]);
    assert!(text.contains("no commit in common"), "{text}");
    assert_eq!(conflicts(&dry)["same.txt"].0, "both-added");
    json_of(&place, &["merge", "stranger", "--resolver", "theirs"], 0);
    assert_eq!(read(&place, "same.txt"), "theirs\n");
    assert_eq!(read(&place, "a.txt"), "a\n");
}

/// Some of every kind of disagreement.
pub fn all_kinds() -> Place {
    let p = |place: &Place, name: &str| place.project.join(name);
    parted(
        |place| {
            place.write("content", "1\n2\n3\n");
            place.write("bin", b"\0base");
            place.write("del-ours", "d\n");
            place.write("del-theirs", "d\n");
            place.write("type", "a file\n");
            symlink("base", p(place, "link")).unwrap();
            place.write("mode", "m\n");
            std::fs::set_permissions(p(place, "mode"), PermissionsExt::from_mode(0o644)).unwrap();
            place.write("twice", "named twice\n");
            place.write("ren-del", "renamed and deleted\n");
            place.write("Cargo.lock", "base\n");
            place.write("untouched", "u\n");
        },
        |place| {
            place.write("content", "1\ntheirs\n3\n");
            place.write("added", "theirs\n");
            place.write("bin", b"\0theirs");
            place.write("del-ours", "changed\n");
            remove(&p(place, "del-theirs"));
            remove(&p(place, "type"));
            symlink("somewhere", p(place, "type")).unwrap();
            remove(&p(place, "link"));
            symlink("theirs", p(place, "link")).unwrap();
            std::fs::set_permissions(p(place, "mode"), PermissionsExt::from_mode(0o600)).unwrap();
            std::fs::rename(p(place, "twice"), p(place, "twice-theirs")).unwrap();
            remove(&p(place, "ren-del"));
            place.write("Cargo.lock", "theirs\n");
            place.write("file-dir/inner", "a directory\n");
        },
        |place| {
            place.write("content", "1\nours\n3\n");
            place.write("added", "ours\n");
            place.write("bin", b"\0ours");
            remove(&p(place, "del-ours"));
            place.write("del-theirs", "changed\n");
            place.write("type", "another file\n");
            remove(&p(place, "link"));
            symlink("ours", p(place, "link")).unwrap();
            std::fs::set_permissions(p(place, "mode"), PermissionsExt::from_mode(0o755)).unwrap();
            std::fs::rename(p(place, "twice"), p(place, "twice-ours")).unwrap();
            std::fs::rename(p(place, "ren-del"), p(place, "ren-ours")).unwrap();
            place.write("Cargo.lock", "ours\n");
            place.write("file-dir", "a file\n");
        },
    )
}

pub const KINDS: [(&str, &str); 12] = [
    ("Cargo.lock", "lock-file"),
    ("added", "both-added"),
    ("bin", "binary"),
    ("content", "content"),
    ("del-ours", "deleted-by-ours"),
    ("del-theirs", "deleted-by-theirs"),
    ("file-dir", "file-directory"),
    ("link", "link"),
    ("mode", "mode"),
    ("ren-ours", "renamed-deleted"),
    ("twice-ours", "renamed-twice"),
    ("type", "type"),
];

#[test]
fn every_kind_of_conflict_can_be_settled_either_way() {
    let place = all_kinds();
    let ours = files(&place);
    place.ok(&["switch", "try"]);
    let theirs = files(&place);
    place.ok(&["switch", "main"]);
    let info = json_of(&place, &["merge", "try"], 1);
    let found: Vec<(String, String)> = conflicts(&info)
        .into_iter()
        .map(|(path, (kind, done))| {
            assert!(!done);
            (path, kind)
        })
        .collect();
    let wanted: Vec<(String, String)> = KINDS
        .iter()
        .map(|(p, k)| ((*p).to_owned(), (*k).to_owned()))
        .collect();
    assert_eq!(found, wanted);
    assert_eq!(files(&place), ours, "nothing is written yet");
    for (path, _) in KINDS {
        let shown = place.ok(&["merge", "--show", path]);
        assert!(
            shown.contains("ours: ") || shown.contains("theirs: "),
            "{path}: {shown}"
        );
    }
    let said = refused(&place, &["merge", "--continue", "--json"]);
    assert!(said.is_empty() || said.contains("not settled"), "{said}");
    place.ok(&["merge", "--abort"]);

    // What stood on both sides stays as that side has it.
    json_of(&place, &["merge", "try", "--resolver", "ours"], 0);
    assert_eq!(differences(&files(&place), &ours), NONE);
    place.ok(&["undo"]);
    json_of(&place, &["merge", "try", "--resolver", "theirs"], 0);
    assert_eq!(differences(&files(&place), &theirs), NONE);
    let meta = show(&place, "@")["meta"].clone();
    assert!(meta["settled"].as_str().unwrap().contains("rule"), "{meta}");
    place.ok(&["undo"]);
    assert_eq!(differences(&files(&place), &ours), NONE);

    // One by one, some kept beside each other, in any order.
    json_of(&place, &["merge", "try"], 1);
    for (pick, left) in [
        ("type=both", 11),
        ("file-dir=both", 10),
        ("twice-ours=theirs", 9),
        ("ren-ours=base", 8),
        ("del-ours=theirs", 7),
        ("del-theirs=theirs", 6),
        ("mode=theirs", 5),
        ("link=ours", 4),
        ("Cargo.lock=theirs", 3),
        ("bin=both", 2),
        ("content#1=both", 1),
        ("added=both", 0),
    ] {
        let info = json_of(&place, &["merge", "--pick", pick], 0);
        assert_eq!(info["left"], left, "{pick}: {info}");
    }
    place.ok(&["merge", "--continue"]);
    assert_eq!(
        read(&place, "content"),
        "1\nours\ntheirs\n3\n",
        "both, and never the base"
    );
    assert_eq!(read(&place, "added"), "ours\ntheirs\n");
    assert_eq!(read(&place, "type"), "another file\n");
    assert!(place.project.join("type.theirs").is_symlink());
    assert_eq!(read(&place, "file-dir.theirs/inner"), "a directory\n");
    assert_eq!(read(&place, "twice-theirs"), "named twice\n");
    assert!(!place.project.join("twice-ours").exists());
    assert_eq!(read(&place, "bin.theirs"), "\0theirs");
    assert_eq!(read(&place, "Cargo.lock"), "theirs\n");
    assert_eq!(read(&place, "del-ours"), "changed\n");
    assert!(!place.project.join("del-theirs").exists());
    sound(&place);
}

#[test]
fn hostile_names_are_merged_and_shown_harmlessly() {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"x\x1b[2J#1=ours\xff\n");
    let write = |p: &Place, text: &str| std::fs::write(p.project.join(name), text).unwrap();
    let place = parted(
        |p| write(p, "a\n"),
        |p| write(p, "b\n"),
        |p| write(p, "c\n"),
    );
    place.ok(&["branch", "create", "deny", "try"]);
    let out = place.bt(&["merge", "try"]);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(
        !said.contains('\x1b') && said.contains("\\x1b[2J"),
        "{said:?}"
    );
    let mut pick = name.to_owned();
    pick.push("#1=theirs");
    let done = place
        .command(["merge", "--pick"])
        .arg(&pick)
        .arg("--continue")
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(!done.stdout.contains(&0x1b));
    assert_eq!(std::fs::read(place.project.join(name)).unwrap(), b"b\n");
}
