//! An agent's own state with a commit: kept, inherited, written, compared.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use std::io::Write;
use std::process::Stdio;

use common::Place;

fn refused(place: &Place, args: &[&str]) -> String {
    let out = place.bt(args);
    assert!(!out.status.success(), "{args:?} was not refused");
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[test]
fn a_state_is_kept_as_it_is_and_holds_until_the_next() {
    let place = Place::new();
    place.write("f.txt", "zero\n");
    place.ok(&["init"]);
    let said = refused(&place, &["restore", "@", "--output", "-"]);
    assert!(said.contains("no state of an agent"), "{said}");
    assert!(refused(&place, &["diff", "@", "@", "--state"]).contains("no state of an agent"));

    let one =
        "{\"goal\": \"ship\",  \"memories\": [{\"id\": \"m1\", \"text\": \"a\\u001b[31m\"}]}\n";
    std::fs::write(place.path("one.json"), one).unwrap();
    let file = place.path("one.json");
    let file = file.to_str().unwrap();
    let made = place.json(&["snapshot", "--state", file, "-m", "one", "--json"]);
    let first = made.last().unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(place.ok(&["restore", &first, "-o", "-"]), one);

    // A later commit has it too, and says that it is not new.
    place.write("f.txt", "later\n");
    place.ok(&["checkpoint", "-m", "later"]);
    assert_eq!(place.ok(&["restore", "@", "-o", "-"]), one);
    let show = |rev: &str| place.json(&["show", rev, "--json"]).remove(0);
    assert_eq!(show(&first)["state"]["new"], true);
    assert_eq!(show("@")["state"]["new"], false);
    assert!(
        place
            .ok(&["show", "@", "--stat"])
            .contains("bytes, as before")
    );

    // By standard input, while nothing of the files has changed.
    let two = r#"{"goal":"ship it","memories":[{"id":"m2","text":"b"}]}"#;
    let mut child = place
        .command(["snapshot", "--state", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(two.as_bytes())
        .unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    place.ok(&["restore", "@", "-o", "out.json"]);
    let written = place.project.join("out.json");
    assert_eq!(std::fs::read_to_string(&written).unwrap(), two);
    std::fs::remove_file(written).unwrap();

    let said = place.ok(&["diff", &first, "@", "--state"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines,
        [
            "~ /goal  \"ship\" -> \"ship it\"",
            "- /memories/id=m1  {\"id\":\"m1\",\"text\":\"a\\u001b[31m\"}",
            "+ /memories/id=m2  {\"id\":\"m2\",\"text\":\"b\"}",
        ]
    );
    let json = place.json(&["diff", &first, "@", "--state", "--json"]);
    assert_eq!(json[0]["op"], "changed");
    assert_eq!(json[0]["after"], "ship it");

    // A rollback goes back to what was known then, its undo to what was known before it.
    place.ok(&["rollback", &first]);
    assert_eq!(place.ok(&["restore", "@", "-o", "-"]), one);
    place.write("f.txt", "on another line\n");
    place.ok(&["checkpoint", "-m", "another"]);
    assert_eq!(place.ok(&["restore", "@", "-o", "-"]), one);
    place.ok(&["undo"]);
    assert_eq!(place.ok(&["restore", "@", "-o", "-"]), two);
    let verified = place.json(&["verify", "--json"]);
    assert!(verified[0]["faults"].as_array().unwrap().is_empty());
}

#[test]
fn what_is_no_state_is_refused_and_makes_no_commit() {
    let place = Place::new();
    place.write("f.txt", "zero\n");
    place.ok(&["init"]);
    let count = || place.json(&["log", "--json"]).len();
    let before = count();
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    for (content, word) in [
        (b"not json".to_vec(), "not JSON"),
        (b"{\"a\":1} {}".to_vec(), "not JSON"),
        (b"".to_vec(), "not JSON"),
        (b"\"\xff\"".to_vec(), "not UTF-8"),
        (deep.into_bytes(), "not JSON"),
        (
            format!("\"{}\"", "x".repeat(17 << 20)).into_bytes(),
            "too large",
        ),
    ] {
        std::fs::write(place.path("state"), content).unwrap();
        let file = place.path("state");
        let said = refused(&place, &["snapshot", "--state", file.to_str().unwrap()]);
        assert!(said.contains(word), "{said}");
    }
    assert!(refused(&place, &["snapshot", "--state", "/no/such"]).contains("cannot read"));
    assert_eq!(count(), before);
}
