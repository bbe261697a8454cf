//! What is damaged is found, named with what it affects, and mended as far as anything still has it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod store_common;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use backtrail::model::{BlobId, CommitId, RepoPath};
use backtrail::store::{Fault, Store};
use store_common::{checkpoint, copy_store, everything, pack, same, scratch};

/// Where each record of a pack lies: offset, kind, length with header.
fn records(path: &Path) -> Vec<(u64, u8, u64)> {
    let bytes = fs::read(path).unwrap();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let stored = u64::from_le_bytes(bytes[at + 16..at + 24].try_into().unwrap());
        out.push((at as u64, bytes[at + 5], stored + 72));
        at += stored as usize + 72;
    }
    out
}

fn flip(path: &Path, at: u64) {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    byte[0] ^= 0x10;
    file.write_all_at(&byte, at).unwrap();
}

fn nothing(_: BlobId, _: &[RepoPath]) -> Option<Vec<u8>> {
    None
}

fn texts(faults: &[Fault]) -> String {
    let lines: Vec<String> = faults
        .iter()
        .map(|f| {
            format!(
                "{}+{}: {} ({})",
                f.path.display(),
                f.offset,
                f.what,
                f.saved
            )
        })
        .collect();
    lines.join("\n")
}

fn some(dir: &Path) -> Vec<CommitId> {
    let store = Store::open(dir).unwrap();
    (1..=6)
        .map(|n| checkpoint(&store, n, format!("content {n}").repeat(20).as_bytes()).unwrap())
        .collect()
}

#[test]
fn every_class_of_damaged_record_is_named_and_mended() {
    let dir = scratch();
    let full = dir.path().join("full");
    let ids = some(&full);
    let expected = everything(&Store::open(&full).unwrap());
    let all = records(&pack(&full));
    // Of the third publication: 1 blob, 3 tree, 5 commit, 14 changes, 6 operation, 8 step, 9 link, 15 end.
    let mut classes = Vec::new();
    for (kind, nth) in [
        (1, 2),
        (3, 2),
        (5, 2),
        (14, 2),
        (6, 2),
        (8, 2),
        (9, 2),
        (15, 2),
    ] {
        let of_kind: Vec<_> = all.iter().filter(|(_, k, _)| *k == kind).collect();
        let (at, _, len) = of_kind[nth];
        // The header, where the next record has to be looked for; the payload; the last byte.
        for offset in [at + 30, at + 72, at + len - 1] {
            classes.push((kind, offset));
        }
    }
    for (kind, at) in classes {
        let what = format!("kind {kind}, byte {at}");
        let copy = dir.path().join("copy");
        let _ = fs::remove_dir_all(&copy);
        copy_store(&full, &copy);
        flip(&pack(&copy), at);
        let store = Store::open(&copy).unwrap();
        let report = store.verify().unwrap();
        assert!(!report.faults.is_empty(), "{what}");
        let repaired = store
            .repair(&|id, paths| {
                assert_eq!(paths, [store_common::path("file")], "{what}");
                let content = b"content 3".repeat(20);
                assert_eq!(BlobId::of(&content), id);
                Some(content)
            })
            .unwrap();
        let report = store.verify().unwrap();
        assert_eq!(texts(&report.faults), "", "{what}: {repaired:?}");
        assert!(repaired.packs >= 1, "{what}: {repaired:?}");
        match kind {
            // A directory is nowhere else.
            3 => {
                assert_eq!(repaired.lost.len(), 1, "{what}: {repaired:?}");
                assert_eq!(report.lost, 1);
                assert!(store.tree(store.commit(ids[2]).unwrap().tree).is_err());
            }
            _ => {
                assert_eq!(repaired.lost, Vec::<String>::new(), "{what}");
                same(&everything(&store), &expected, &what);
            }
        }
        drop(store);
        // And from the packs alone.
        fs::remove_file(copy.join("graph.redb")).unwrap();
        let store = Store::open(&copy).unwrap();
        assert_eq!(store.opened().damaged, 0, "{what}");
        if kind != 3 {
            same(&everything(&store), &expected, &what);
        }
        assert_eq!(texts(&store.verify().unwrap().faults), "", "{what}");
        checkpoint(&store, 99, b"it goes on").unwrap();
        assert_eq!(texts(&store.verify().unwrap().faults), "", "{what}");
    }
}

#[test]
fn a_content_that_nobody_has_is_noted_as_lost_and_the_rest_can_be_read() {
    let dir = scratch();
    let ids = some(dir.path());
    let path = pack(dir.path());
    let blob = records(&path).iter().filter(|r| r.1 == 1).nth(3).unwrap().0;
    flip(&path, blob + 80);
    let store = Store::open(dir.path()).unwrap();
    let faults = store.verify().unwrap().faults;
    assert!(
        faults.iter().any(|f| f.saved.contains("a version of file")),
        "{}",
        texts(&faults)
    );
    let repaired = store.repair(&nothing).unwrap();
    assert_eq!(repaired.lost.len(), 1, "{repaired:?}");
    assert!(repaired.lost[0].ends_with("(file)"), "{repaired:?}");
    let report = store.verify().unwrap();
    assert_eq!((texts(&report.faults), report.lost), (String::new(), 1));
    let state = store.verify_commit(ids[3]).unwrap();
    assert!(
        state.faults[0].what.starts_with("file: "),
        "{}",
        texts(&state.faults)
    );
    for id in [ids[0], ids[2], ids[4]] {
        assert_eq!(store.verify_commit(id).unwrap().faults, []);
    }
    // It comes back when somebody stores it again.
    store.put_blob(&b"content 4".repeat(20)).unwrap();
    assert_eq!(store.verify_commit(ids[3]).unwrap().faults, []);
}

#[test]
fn a_missing_or_shortened_pack_is_named() {
    let dir = scratch();
    let full = dir.path().join("full");
    fs::create_dir_all(full.join("packs")).unwrap();
    some(&full);
    // A second pack, as a rolled one would be.
    let copy = dir.path().join("copy");
    copy_store(&full, &copy);
    let store = Store::open(&copy).unwrap();
    store.repair(&nothing).unwrap();
    drop(store);
    let path = pack(&copy);
    let file = fs::File::options().write(true).open(&path).unwrap();
    let store = Store::open(&copy).unwrap();
    let length = path.metadata().unwrap().len();
    file.set_len(length - 40).unwrap();
    let faults = store.verify().unwrap().faults;
    assert!(texts(&faults).contains("cut short"), "{}", texts(&faults));
    drop(store);
    // The index set aside, what was in the pack is gone, and said so when it is opened.
    fs::rename(&path, dir.path().join("elsewhere")).unwrap();
    let store = Store::open(&copy).unwrap();
    let rebuilt = store.opened().rebuilt.clone().unwrap();
    assert!(rebuilt.contains("more than the packs hold"), "{rebuilt}");
    drop(store);
    fs::rename(dir.path().join("elsewhere"), &path).unwrap();
}

#[test]
fn an_index_that_says_something_else_is_found_and_made_anew() {
    let dir = scratch();
    some(dir.path());
    let expected = everything(&Store::open(dir.path()).unwrap());
    let refs = redb::TableDefinition::<&str, &[u8]>::new("refs");
    let leaves = redb::TableDefinition::<u64, &[u8; 32]>::new("leaves");
    let db = redb::Database::open(dir.path().join("graph.redb")).unwrap();
    let tx = db.begin_write().unwrap();
    tx.open_table(refs)
        .unwrap()
        .insert("label/x", [0u8].as_slice())
        .unwrap();
    tx.open_table(leaves).unwrap().remove(6).unwrap();
    tx.commit().unwrap();
    drop(db);
    let store = Store::open(dir.path()).unwrap();
    let faults = texts(&store.verify().unwrap().faults);
    assert!(faults.contains("the index has ref label/x"), "{faults}");
    assert!(faults.contains("the index lacks leaf 6"), "{faults}");
    store.rebuild_index().unwrap();
    assert_eq!(texts(&store.verify().unwrap().faults), "");
    same(&everything(&store), &expected, "made anew");
}

#[test]
fn a_lost_format_line_is_written_again_but_a_newer_one_is_not() {
    let dir = scratch();
    some(dir.path());
    fs::write(dir.path().join("FORMAT"), "\u{0}\u{0}").unwrap();
    assert!(Store::open(dir.path()).is_err());
    backtrail::store::restore_format(dir.path()).unwrap();
    assert_eq!(Store::open(dir.path()).unwrap().commit_count().unwrap(), 6);
    fs::write(dir.path().join("FORMAT"), "backtrail store 9\n").unwrap();
    assert!(backtrail::store::restore_format(dir.path()).is_err());
}
