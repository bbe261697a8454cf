//! Files with git's markers for other tools: untouched they say nothing, what was settled in them is read back.

use crate::common::Place;
use crate::support::*;

fn write(place: &Place) -> std::path::PathBuf {
    let dir = place.path("markers");
    place.ok(&["merge", "--markers", dir.to_str().unwrap()]);
    dir
}

fn read_back(place: &Place) -> serde_json::Value {
    let dir = place.path("markers");
    json_of(
        place,
        &["merge", "--read-markers", dir.to_str().unwrap()],
        0,
    )
}

/// Texts with something odd about them: base, theirs, ours.
fn odd_texts() -> Vec<(&'static str, [Vec<u8>; 3])> {
    let t = |s: &str| s.as_bytes().to_vec();
    let many = |word: &str| -> Vec<u8> {
        (0..50_000)
            .flat_map(|n| format!("{word} {n}\n").into_bytes())
            .collect()
    };
    vec![
        ("plain", [t("1\n2\n3\n"), t("1\nb\n3\n"), t("1\nc\n3\n")]),
        (
            "crlf",
            [
                t("1\r\n2\r\n3\r\n"),
                t("1\r\nb\r\n3\r\n"),
                t("1\r\nc\r\n3\r\n"),
            ],
        ),
        ("no newline", [t("1\n2"), t("1\nb"), t("1\nc")]),
        ("one newline", [t("1\n2"), t("1\nb\n"), t("1\nc")]),
        (
            "markers inside",
            [
                t("<<<<<<< x\n2\n=======\n>>>>>>> y\nend\n"),
                t("<<<<<<< x\nb\n=======\n>>>>>>> y\nend\n"),
                t("<<<<<<< x\n<<<<<<<<< c\n=======\n>>>>>>> y\nend\n"),
            ],
        ),
        (
            "mixed encodings",
            [
                b"caf\xe9\n2\n".to_vec(),
                b"caf\xe9\nb\xff\xfe\n".to_vec(),
                "caf\u{e9}\nc\n".as_bytes().to_vec(),
            ],
        ),
        ("50,000 lines", [many("base"), many("theirs"), many("ours")]),
        ("empty base", [t("1\n"), t("1\nb\n"), t("1\nc\n")]),
    ]
}

#[test]
fn untouched_files_change_nothing_and_settled_ones_settle() {
    for (name, [base, theirs, ours]) in odd_texts() {
        let place = file(&base, &theirs, &ours);
        let info = json_of(&place, &["merge", "try"], 1);
        assert_eq!(info["conflicts"][0]["kind"], "content", "{name}");
        let dir = write(&place);
        let written = std::fs::read(dir.join("f.txt")).unwrap();
        assert_ne!(written, ours, "{name}");
        let again = read_back(&place);
        assert_eq!(
            (again["left"].as_u64(), again["undoable"].as_u64()),
            (Some(1), Some(0)),
            "{name}"
        );
        assert_eq!(again["id"], info["id"], "{name}: nothing was changed");
        // Another tool takes a whole side.
        std::fs::write(dir.join("f.txt"), &theirs).unwrap();
        let info = read_back(&place);
        assert_eq!(info["left"], 0, "{name}");
        // A settled file is written as it was settled, and read back as that.
        let undoable = info["undoable"].clone();
        assert_eq!(read_back(&place)["undoable"], undoable, "{name}");
        place.ok(&["merge", "--continue"]);
        let result = std::fs::read(place.project.join("f.txt")).unwrap();
        assert!(result == theirs, "{name}: {} bytes", result.len());
        let shown = show(&place, "@");
        assert!(
            shown["meta"]["settled"]
                .as_str()
                .unwrap()
                .contains("markers"),
            "{name}"
        );
    }
}

#[test]
fn a_part_is_settled_and_the_rest_stays_marked() {
    let lines = |a: &str, b: &str| format!("{a}\n1\n2\n3\n4\n5\n{b}\n");
    let place = parted(
        |p| {
            p.write("f.txt", lines("a", "b"));
            p.write("g.txt", "g\n");
            p.write("d/b.bin", b"\0base");
        },
        |p| {
            p.write("f.txt", lines("theirs a", "theirs b"));
            p.write("g.txt", "theirs\n");
            p.write("d/b.bin", b"\0theirs");
        },
        |p| {
            p.write("f.txt", lines("ours a", "ours b"));
            p.write("g.txt", "ours\n");
            p.write("d/b.bin", b"\0ours");
        },
    );
    json_of(&place, &["merge", "try"], 1);
    let said = refused(&place, &["merge", "--markers", "inside"]);
    assert!(said.contains("lies in the project"), "{said}");
    let dir = write(&place);
    assert!(!dir.join("d").exists(), "what has no lines is not written");
    let written = std::fs::read_to_string(dir.join("f.txt")).unwrap();
    assert!(
        written.contains("<<<<<<< main") && written.contains(">>>>>>> try"),
        "{written}"
    );
    assert!(written.contains("||||||| base"));
    let second = written.rfind("<<<<<<<").unwrap();
    let settled = format!("edited a\n1\n2\n3\n4\n5\n{}", &written[second..]);
    std::fs::write(dir.join("f.txt"), &settled).unwrap();
    // One that is half edited is said, and does not keep the others from being read.
    std::fs::write(dir.join("g.txt"), "<<<<<<< main\nours\n").unwrap();
    let out = place.ok(&["merge", "--read-markers", dir.to_str().unwrap()]);
    assert!(out.contains("still a conflict marker"), "{out}");
    let info = json_of(&place, &["merge", "--status"], 0);
    assert_eq!(info["conflicts"][1]["settled"], 1, "{info}");
    std::fs::write(dir.join("g.txt"), "neither\n").unwrap();
    // Picked here in the meantime, and the file is older than that.
    json_of(&place, &["merge", "--pick", "f.txt#2=theirs"], 0);
    let info = read_back(&place);
    assert_eq!(info["left"], 1, "{info}");
    place.ok(&["merge", "--pick", "d/b.bin=ours", "--continue"]);
    assert_eq!(read(&place, "f.txt"), lines("edited a", "theirs b"));
    assert_eq!(read(&place, "g.txt"), "neither\n");
}

#[test]
fn values_on_one_line_are_untouched_too() {
    let of = |a: u8, b: u8| format!("{{\"a\": {a}, \"b\": {b}}}\n");
    let place = parted(
        |p| p.write("f.json", of(1, 1)),
        |p| p.write("f.json", of(2, 2)),
        |p| p.write("f.json", of(3, 3)),
    );
    let info = json_of(&place, &["merge", "try"], 1);
    assert_eq!(info["conflicts"][0]["hunks"], 2, "{info}");
    let dir = write(&place);
    let again = read_back(&place);
    assert_eq!(again["id"], info["id"]);
    std::fs::write(dir.join("f.json"), of(2, 3)).unwrap();
    assert_eq!(read_back(&place)["left"], 0);
    place.ok(&["merge", "--continue"]);
    assert_eq!(read(&place, "f.json"), of(2, 3));
}

#[test]
fn a_side_that_moves_after_they_were_written_loses_nothing() {
    let lines = |a: &str, b: &str| format!("{a}\n1\n2\n3\n4\n5\n{b}\n");
    let all = |p: &Place, text: &str| {
        for path in ["f.txt", "g.txt", "h.txt"] {
            p.write(path, text);
        }
    };
    let place = parted(
        |p| all(p, &lines("a", "b")),
        |p| all(p, &lines("theirs", "b")),
        |p| all(p, &lines("ours", "b")),
    );
    json_of(&place, &["merge", "try"], 1);
    let dir = write(&place);
    // Theirs goes on: elsewhere in f and h, in g in the hunk.
    place.ok(&["switch", "try"]);
    place.write("f.txt", lines("theirs", "their new work"));
    place.write("g.txt", lines("theirs again", "b"));
    place.write("h.txt", lines("theirs", "their new work"));
    place.ok(&["switch", "main"]);
    std::fs::write(dir.join("f.txt"), lines("edited", "b")).unwrap();
    std::fs::write(dir.join("g.txt"), lines("edited", "b")).unwrap();
    // More than the hunk.
    std::fs::write(dir.join("h.txt"), "all is new\n").unwrap();
    let out = place.ok(&["merge", "--read-markers", dir.to_str().unwrap()]);
    for path in ["g.txt", "h.txt"] {
        let said = format!("{path}: a side has moved since this file was written");
        assert!(out.contains(&said), "{path}: {out}");
    }
    let info = json_of(&place, &["merge", "--status"], 0);
    assert_eq!(
        (info["left"].as_u64(), info["undoable"].as_u64()),
        (Some(2), Some(1))
    );
    // Written again, they can be read.
    let dir = write(&place);
    std::fs::write(dir.join("g.txt"), lines("edited", "b")).unwrap();
    std::fs::write(dir.join("h.txt"), "all is new\n").unwrap();
    assert_eq!(read_back(&place)["left"], 0);
    place.ok(&["merge", "--continue"]);
    assert_eq!(read(&place, "f.txt"), lines("edited", "their new work"));
    assert_eq!(read(&place, "g.txt"), lines("edited", "b"));
    assert_eq!(read(&place, "h.txt"), "all is new\n");
}

#[test]
fn twenty_five_thousand_hunks_are_read_back_soon() {
    let many =
        |word: &str| -> String { (0..25_000).map(|n| format!("keep {n}\n{word}\n")).collect() };
    let place = file(
        many("base").as_bytes(),
        many("theirs").as_bytes(),
        many("ours").as_bytes(),
    );
    let info = json_of(&place, &["merge", "try"], 1);
    assert_eq!(info["conflicts"][0]["hunks"], 25_000);
    let dir = write(&place);
    std::fs::write(dir.join("f.txt"), many("edited")).unwrap();
    let begun = std::time::Instant::now();
    assert_eq!(read_back(&place)["left"], 0);
    let took = begun.elapsed();
    println!("read back in {took:?}");
    assert!(took.as_secs() < 30, "{took:?}");
    place.ok(&["merge", "--continue"]);
    assert_eq!(read(&place, "f.txt"), many("edited"));
}
