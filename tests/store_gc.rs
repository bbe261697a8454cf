//! What is let go, forgotten or carried elsewhere, and that nothing else goes along: at every point at which a process can
//! end, and with others reading and writing meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod store_common;

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use backtrail::model::{BlobId, CommitId, Kind, RefTarget, Time};
use backtrail::store::{Collect, Collected, Error, Gone, Store, Tomb, Why, is_trail, unpack};
use store_common::{checkpoint, copy_store, everything, pack, same, scratch};

/// Bytes that nothing compresses.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(&mut out);
    out
}

fn some(dir: &Path, n: u64) -> Vec<CommitId> {
    let store = Store::open(dir).unwrap();
    (1..=n)
        .map(|n| checkpoint(&store, n, &noise(n, 3_000)).unwrap())
        .collect()
}

fn tomb(gone: Gone, why: Why) -> Tomb {
    Tomb {
        gone,
        why,
        time: Time(5),
        note: String::new(),
    }
}

fn collect(store: &Store, bury: Vec<Tomb>, hurt: &dyn Fn(&str)) -> Collected {
    store
        .collect(Collect {
            bury,
            operation: None,
            extra: &[],
            percent: 0,
            dry_run: false,
            hurt,
        })
        .unwrap()
}

/// Every second state but the last ones.
fn thin(ids: &[CommitId]) -> Vec<Tomb> {
    let end = ids.len() - 4;
    let old = ids[..end].iter().skip(1).step_by(2);
    old.map(|id| tomb(Gone::Commit(*id), Why::Thinned))
        .collect()
}

fn content(store: &Store, id: CommitId) -> Result<Vec<u8>, Error> {
    let tree = store.tree(store.commit(id)?.tree)?;
    let Kind::File { blob, .. } = tree.entries[0].kind else {
        panic!()
    };
    store.blob(blob)
}

/// What can be asked without contents.
fn graph(store: &Store) -> String {
    let mut out = format!(
        "{:?}\n{:?}\n",
        store.refs().unwrap(),
        store.tombs().unwrap()
    );
    for node in store.commits(None, usize::MAX).unwrap() {
        let (links, children) = (
            store.link_of_commit(node.id).unwrap(),
            store.children(node.id).unwrap(),
        );
        out.push_str(&format!("{node:?} {links:?} {children:?}\n"));
    }
    for op in store.operations(None, usize::MAX).unwrap() {
        out.push_str(&format!("{op:?}\n"));
    }
    out.push_str(&format!(
        "{:?}\n",
        store.steps_after(None, usize::MAX).unwrap()
    ));
    out
}

fn check(store: &Store, ids: &[CommitId], let_go: &[Tomb], what: &str) {
    let gone: HashSet<Gone> = let_go.iter().map(|t| t.gone).collect();
    for (n, id) in ids.iter().enumerate() {
        let read = content(store, *id);
        if gone.contains(&Gone::Commit(*id)) {
            // Before the sweep it is still there, and then it is what it was.
            match read {
                Ok(read) => assert_eq!(read, noise(n as u64 + 1, 3_000), "{what}: {n}"),
                Err(e) => assert!(matches!(e, Error::Gone { .. }), "{what}: {n}: {e}"),
            }
        } else {
            assert_eq!(read.unwrap(), noise(n as u64 + 1, 3_000), "{what}: {n}");
        }
    }
    let report = store.verify().unwrap();
    assert_eq!(report.faults, [], "{what}");
}

#[test]
fn what_is_let_go_goes_and_the_graph_stays() {
    let dir = scratch();
    let ids = some(dir.path(), 40);
    let store = Store::open(dir.path()).unwrap();
    let bury = thin(&ids);
    let dry = store
        .collect(Collect {
            bury: bury.clone(),
            operation: None,
            extra: &[],
            percent: 0,
            dry_run: true,
            hurt: &|_| {},
        })
        .unwrap();
    assert_eq!(store.tombs().unwrap(), []);
    let done = collect(&store, bury.clone(), &|_| {});
    // A blob and a tree each.
    assert_eq!(done.removed, 2 * bury.len() as u64);
    assert_eq!((dry.removed, dry.packs), (done.removed, done.packs));
    assert!(
        done.after + 3_000 * bury.len() as u64 <= done.before,
        "{done:?}"
    );
    check(&store, &ids, &bury, "swept");
    let gone = content(&store, ids[1]).unwrap_err().to_string();
    assert!(gone.contains("not in the store any more"), "{gone}");
    let expected = graph(&store);
    // It goes on, from here and from the packs alone.
    drop(store);
    fs::remove_file(dir.path().join("graph.redb")).unwrap();
    let store = Store::open(dir.path()).unwrap();
    same(&graph(&store), &expected, "made anew");
    check(&store, &ids, &bury, "made anew");
    assert_eq!(store.verify().unwrap().dropped, bury.len() as u64);
    // The same content comes back when it is there again.
    store.put_blob(&noise(2, 3_000)).unwrap();
    checkpoint(&store, 41, &noise(2, 3_000)).unwrap();
    assert_eq!(content(&store, ids[1]).unwrap(), noise(2, 3_000));
    assert_eq!(store.verify().unwrap().faults, []);
    assert_eq!(collect(&store, Vec::new(), &|_| {}).removed, 0);
}

/// Not a test by itself: what the crash test starts.
#[test]
#[ignore = "the child of a_collection_can_end_anywhere"]
fn child_that_collects() {
    let dir = std::env::var_os("STORE_GC_DIR").unwrap();
    let point = std::env::var("STORE_GC_POINT").unwrap();
    let store = Store::open(Path::new(&dir)).unwrap();
    let mut ids: Vec<CommitId> = store
        .commits(None, 999)
        .unwrap()
        .iter()
        .map(|n| n.id)
        .collect();
    ids.reverse();
    collect(&store, thin(&ids), &|at| {
        if at == point {
            // No destructor runs, nothing is flushed.
            std::process::abort();
        }
    });
}

#[test]
fn a_collection_can_end_anywhere() {
    let dir = scratch();
    let full = dir.path().join("full");
    let ids = some(&full, 20);
    let expected_before = graph(&Store::open(&full).unwrap());
    for point in [
        "buried", "marked", "staged", "noted", "renamed", "named", "indexed", "trusted",
    ] {
        let copy = dir.path().join("copy");
        let _ = fs::remove_dir_all(&copy);
        copy_store(&full, &copy);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_collects", "--ignored"])
            .env("STORE_GC_DIR", &copy)
            .env("STORE_GC_POINT", point)
            .output()
            .unwrap();
        assert!(!child.status.success(), "{point} was not passed");
        let store = Store::open(&copy).unwrap();
        let bury = thin(&ids);
        check(&store, &ids, &bury, point);
        assert_eq!(store.tombs().unwrap().len(), bury.len(), "{point}");
        let staged = fs::read_dir(copy.join("packs")).unwrap().flatten();
        let staged: Vec<_> = staged
            .filter(|e| e.file_name().to_string_lossy().ends_with(".new"))
            .collect();
        assert!(staged.is_empty(), "{point}: {staged:?}");
        // The next one finishes it.
        collect(&store, Vec::new(), &|_| {});
        check(&store, &ids, &bury, point);
        assert!(content(&store, ids[1]).is_err(), "{point}");
        let after = graph(&store);
        assert_eq!(
            after.lines().count(),
            expected_before.lines().count(),
            "{point}"
        );
        checkpoint(&store, 99, b"it goes on").unwrap();
        assert_eq!(store.verify().unwrap().faults, [], "{point}");
    }
}

#[test]
fn readers_and_writers_are_not_disturbed() {
    let dir = scratch();
    let ids = some(dir.path(), 60);
    let store = Store::open(dir.path()).unwrap();
    let keep: Vec<(usize, CommitId)> = ids.iter().copied().enumerate().step_by(2).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        let reading: Vec<_> = (0..3)
            .map(|t| {
                let (store, keep, stop) = (&store, &keep, &stop);
                s.spawn(move || {
                    let mut reads = 0;
                    while !stop.load(Ordering::Relaxed) || reads < keep.len() {
                        let (n, id) = keep[(reads * 7 + t) % keep.len()];
                        let tree = store.commit(id).unwrap().tree;
                        let Kind::File { blob, .. } = store.tree(tree).unwrap().entries[0].kind
                        else {
                            panic!()
                        };
                        assert_eq!(store.blob(blob).unwrap(), noise(n as u64 + 1, 3_000));
                        reads += 1;
                    }
                })
            })
            .collect();
        let writing = s.spawn(|| {
            let mut made = Vec::new();
            let mut n = 1_000;
            while !stop.load(Ordering::Relaxed) {
                // Some contents are those of states that are let go at this moment.
                let seed = if n % 3 == 0 { n % 60 } else { n };
                made.push((seed, checkpoint(&store, n, &noise(seed, 3_000)).unwrap()));
                n += 1;
            }
            made
        });
        for round in 0..5 {
            let bury = ids[round * 10..round * 10 + 10]
                .iter()
                .skip(1)
                .step_by(2)
                .map(|id| tomb(Gone::Commit(*id), Why::Thinned))
                .collect();
            collect(&store, bury, &|_| {});
        }
        stop.store(true, Ordering::Relaxed);
        for reader in reading {
            reader.join().unwrap();
        }
        for (seed, id) in writing.join().unwrap() {
            assert_eq!(content(&store, id).unwrap(), noise(seed, 3_000));
        }
    });
    assert_eq!(store.verify().unwrap().faults, []);
}

#[test]
fn what_was_put_or_found_a_moment_ago_stays() {
    let dir = scratch();
    let ids = some(dir.path(), 10);
    let store = Store::open(dir.path()).unwrap();
    let fresh = store.put_blob(&noise(77, 2_000)).unwrap();
    let found = store.put_blob(&noise(2, 3_000)).unwrap();
    let done = collect(&store, thin(&ids), &|_| {});
    assert!(done.waiting >= 5_000, "{done:?}");
    assert_eq!(store.blob(fresh).unwrap(), noise(77, 2_000));
    assert_eq!(store.blob(found).unwrap(), noise(2, 3_000));
    drop(store);
    // Whoever was about to refer to them is gone.
    let store = Store::open(dir.path()).unwrap();
    collect(&store, Vec::new(), &|_| {});
    assert!(store.blob(fresh).is_err() && store.blob(found).is_err());
    assert_eq!(store.verify().unwrap().faults, []);
}

#[test]
fn what_is_forgotten_is_nowhere_on_the_disk() {
    let dir = scratch();
    let ids = some(dir.path(), 5);
    let store = Store::open(dir.path()).unwrap();
    let small = noise(900, 500);
    let large = noise(901, 3_000_000);
    let with_small = checkpoint(&store, 50, &small).unwrap();
    let with_large = checkpoint(&store, 51, &large).unwrap();
    checkpoint(&store, 52, b"clean again").unwrap();
    let holds = |needle: &[u8]| {
        let mut found = Vec::new();
        for sub in ["", "packs"] {
            for entry in fs::read_dir(dir.path().join(sub)).unwrap().flatten() {
                if entry.path().is_file() {
                    let bytes = fs::read(entry.path()).unwrap();
                    if bytes.windows(needle.len()).any(|w| w == needle) {
                        found.push(entry.path());
                    }
                }
            }
        }
        found
    };
    let probes = [
        &small[100..164],
        &large[10..74],
        &large[2_000_000..2_000_064],
    ];
    assert!(probes.iter().all(|p| !holds(p).is_empty()));
    let forgotten = [&small, &large].map(|c| tomb(Gone::Blob(BlobId::of(c)), Why::Forgotten));
    // Not even what was found a moment ago keeps it.
    store.put_blob(&small).unwrap();
    collect(&store, forgotten.to_vec(), &|_| {});
    for probe in probes {
        assert_eq!(holds(probe), Vec::<std::path::PathBuf>::new());
    }
    for id in [with_small, with_large] {
        let said = content(&store, id).unwrap_err().to_string();
        assert!(said.contains("forgotten"), "{said}");
    }
    let report = store.verify().unwrap();
    assert_eq!((report.faults, report.forgotten), (Vec::new(), 2));
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(content(&store, *id).unwrap(), noise(n as u64 + 1, 3_000));
    }
    drop(store);
    fs::remove_file(dir.path().join("graph.redb")).unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.verify().unwrap().faults, []);
}

fn trail(dir: &Path) -> (Vec<u8>, CommitId, String) {
    let home = dir.join("home");
    let store = Store::open(&home).unwrap();
    for n in 1..=6 {
        checkpoint(&store, n, format!("content {n}\n").repeat(50).as_bytes()).unwrap();
    }
    let Some(RefTarget::Commit(tip)) = store.get_ref("branch/main").unwrap() else {
        panic!()
    };
    let path = dir.join("x.trail");
    let refs = vec![
        ("head".to_owned(), RefTarget::Branch("main".into())),
        ("branch/main".to_owned(), RefTarget::Commit(tip)),
    ];
    let file = fs::File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    let made = store.export_trail(tip, refs, b"{}", file, &path).unwrap();
    assert_eq!((made.commits, made.steps), (6, 6));
    let bytes = fs::read(&path).unwrap();
    assert_eq!(made.bytes, bytes.len() as u64);
    assert!(is_trail(&path));
    (bytes, tip, everything(&store))
}

fn opened(dir: &Path, bytes: &[u8]) -> Result<Store, Error> {
    let path = dir.join("y.trail");
    fs::write(&path, bytes).unwrap();
    let into = dir.join("unpacked");
    let _ = fs::remove_dir_all(&into);
    unpack(&path, &into)?;
    Store::open(&into)
}

#[test]
fn a_trail_is_the_same_store_again() {
    let dir = scratch();
    let (bytes, tip, expected) = trail(dir.path());
    let store = opened(dir.path(), &bytes).unwrap();
    // Operations are its own; all else is as it was.
    let plain = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|l| !l.contains("Operation {"));
        lines
            .map(str::to_owned)
            .filter(|l| !l.starts_with("head"))
            .collect()
    };
    assert_eq!(plain(&everything(&store)), plain(&expected));
    assert_eq!(
        store.get_ref("branch/main").unwrap(),
        Some(RefTarget::Commit(tip))
    );
    assert_eq!(store.verify().unwrap().faults, []);
}

/// Gives a changed trail the hash that it should have.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 32;
    let mut hasher = blake3::Hasher::new_derive_key("backtrail 2026 trail");
    hasher.update(&bytes[..end]);
    bytes[end..].copy_from_slice(hasher.finalize().as_bytes());
    bytes
}

#[test]
fn a_hostile_trail_is_refused_or_harmless() {
    let dir = scratch();
    let (bytes, ..) = trail(dir.path());
    let refused = |bytes: &[u8]| opened(dir.path(), bytes).err().map(|e| e.to_string());
    for at in (0..bytes.len()).step_by(37) {
        let mut changed = bytes.clone();
        changed[at] ^= 4;
        assert!(refused(&changed).is_some(), "byte {at}");
    }
    for cut in [
        0,
        5,
        18,
        22,
        30,
        bytes.len() / 2,
        bytes.len() - 33,
        bytes.len() - 1,
    ] {
        let said = refused(&bytes[..cut]).unwrap();
        assert!(said.contains("no trail of backtrail"), "{cut}: {said}");
    }
    // By somebody who knows the format: every byte of it, with the hash put right.
    let mut harmless = 0;
    for at in (18..bytes.len() - 32).step_by(53) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x21;
        if let Ok(store) = opened(dir.path(), &sealed(changed)) {
            // Then it must be as sound as any.
            let _ = store.verify().unwrap();
            harmless += 1;
        }
    }
    assert!(harmless < bytes.len() / 53, "nothing was refused");
    // A manifest that claims all memory, a record that does.
    let mut claims = bytes.clone();
    claims[18..22].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(refused(&sealed(claims)).unwrap().contains("cut short"));
    let mut bomb = bytes.clone();
    let first = 18 + 4 + 2;
    bomb[first + 8..first + 16].copy_from_slice(&(1u64 << 50).to_le_bytes());
    let check = u64::from_le_bytes(
        blake3::hash(&bomb[first..first + 64]).as_bytes()[..8]
            .try_into()
            .unwrap(),
    ) ^ (1 << 40);
    bomb[first + 64..first + 72].copy_from_slice(&check.to_le_bytes());
    let said = refused(&sealed(bomb)).unwrap();
    assert!(said.contains("longer than any can be"), "{said}");
    let newer = [b"backtrail trail 2\n".as_slice(), &bytes[18..]].concat();
    assert!(refused(&sealed(newer)).unwrap().contains("another version"));
    assert!(pack(&dir.path().join("home")).exists());
}
