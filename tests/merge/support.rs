//! A project with two branches that went apart.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::common::{Place, Tree, walk};

pub fn remove(path: &Path) {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(path).unwrap(),
        Ok(_) => std::fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

/// `main` and `try` from one commit, each with changes of its own; the workspace is on `main`.
pub fn parted(
    base: impl FnOnce(&Place),
    theirs: impl FnOnce(&Place),
    ours: impl FnOnce(&Place),
) -> Place {
    let place = Place::new();
    base(&place);
    place.ok(&["init"]);
    place.ok(&["switch", "-c", "try"]);
    theirs(&place);
    place.ok(&["checkpoint", "-m", "theirs"]);
    place.ok(&["switch", "main"]);
    ours(&place);
    place.ok(&["checkpoint", "-m", "ours"]);
    place
}

/// As [`parted`], of one file.
pub fn file(base: &[u8], theirs: &[u8], ours: &[u8]) -> Place {
    parted(
        |p| p.write("f.txt", base),
        |p| p.write("f.txt", theirs),
        |p| p.write("f.txt", ours),
    )
}

pub fn files(place: &Place) -> Tree {
    walk(&place.project, &[])
}

pub fn read(place: &Place, path: &str) -> String {
    String::from_utf8_lossy(&std::fs::read(place.project.join(path)).unwrap()).into_owned()
}

/// Runs, wants the exit code, gives the one JSON object of standard output.
pub fn json_of(place: &Place, args: &[&str], code: i32) -> Value {
    let mut all = args.to_vec();
    all.push("--json");
    let out = place.bt(&all);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(
        out.status.code(),
        Some(code),
        "{args:?}\n{said}\n{}",
        String::from_utf8_lossy(&out.stderr)
    );
    serde_json::from_str(said.lines().last().unwrap_or("null"))
        .unwrap_or_else(|e| panic!("{args:?}: {e}: {said}"))
}

pub fn refused(place: &Place, args: &[&str]) -> String {
    let out = place.bt(args);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success(), "{args:?} was not refused: {said}");
    said
}

/// Name and latest commit of every branch.
pub fn tips(place: &Place) -> BTreeMap<String, String> {
    place
        .json(&["branch", "list", "--json"])
        .into_iter()
        .map(|b| {
            (
                b["name"].as_str().unwrap().to_owned(),
                b["commit"]["id"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

/// Path to (kind, done) of the conflicts of a merge.
pub fn conflicts(info: &Value) -> BTreeMap<String, (String, bool)> {
    info["conflicts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| {
            (
                c["path"].as_str().unwrap_or("?").to_owned(),
                (
                    c["kind"].as_str().unwrap().to_owned(),
                    c["done"].as_bool().unwrap(),
                ),
            )
        })
        .collect()
}

pub fn show(place: &Place, rev: &str) -> Value {
    place.json(&["show", rev, "--json"]).remove(0)
}

pub fn sound(place: &Place) {
    let verified = place.json(&["verify", "--json"]);
    assert_eq!(
        verified[0]["faults"].as_array().unwrap().len(),
        0,
        "{verified:?}"
    );
}
