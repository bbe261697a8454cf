//! A full disk: a clear error, nothing of the refused write, and everything goes on when there is space again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod store_common;

use std::ffi::CStr;
use std::fs;
use std::path::Path;

use backtrail::store::{Error, Store};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use store_common::{checkpoint, everything, same};

/// A small file system of its own in memory.
struct Small(tempfile::TempDir);

impl Small {
    /// `None`, with the reason printed, where one may not be mounted.
    fn new(options: &CStr) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        match mount(
            "store-test",
            dir.path(),
            "tmpfs",
            MountFlags::empty(),
            options,
        ) {
            Ok(()) => Some(Self(dir)),
            Err(e) => {
                eprintln!("skipped: a tmpfs cannot be mounted here ({e})");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills it but for about `left` bytes.
    fn fill(&self, left: u64) {
        let free = || {
            let fs = rustix::fs::statvfs(self.path()).unwrap();
            fs.f_bavail * fs.f_frsize
        };
        let filler = self.path().join("filler");
        let have = filler.metadata().map_or(0, |m| m.len());
        let file = fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&filler)
            .unwrap();
        let wanted = have + free().saturating_sub(left);
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, wanted).unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = unmount(self.path(), UnmountFlags::DETACH);
    }
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let Some(disk) = Small::new(c"size=48m") else {
        return;
    };
    let dir = disk.path().join("store");
    let store = Store::open(&dir).unwrap();
    checkpoint(&store, 0, b"first").unwrap();
    let mut n = 0;
    for round in 0..3 {
        // Until there is no more room.
        let refused = loop {
            n += 1;
            match checkpoint(&store, n, &noise(n, 300_000)) {
                Ok(_) => {}
                Err(e) => break e,
            }
        };
        assert!(
            matches!(refused, Error::Full(_)),
            "round {round}: {refused}"
        );
        assert!(refused.to_string().contains("no space left"), "{refused}");
        let before = everything(&store);
        // Again, in every way; what is there can be read all the same.
        assert!(matches!(
            checkpoint(&store, n, &noise(n, 300_000)),
            Err(Error::Full(_))
        ));
        let large = store.put_blob(&noise(n, 3_000_000));
        assert!(matches!(large, Err(Error::Full(_))), "{large:?}");
        same(&everything(&store), &before, "after refusals");

        // Somebody makes room.
        rustix::mount::mount_remount(
            disk.path(),
            MountFlags::empty(),
            format!("size={}m", 96 + 48 * round),
        )
        .unwrap();
        checkpoint(&store, n, &noise(n, 300_000)).unwrap();
        assert_eq!(store.verify().unwrap().faults, [], "round {round}");
    }
    let now = everything(&store);
    drop(store);
    let store = Store::open(&dir).unwrap();
    assert_eq!(store.opened().torn, 0);
    same(&everything(&store), &now, "after a new start");
}

#[test]
fn an_index_that_could_not_be_written_is_caught_up() {
    let Some(disk) = Small::new(c"size=64m") else {
        return;
    };
    let dir = disk.path().join("store");
    let store = Store::open(&dir).unwrap();
    let mut n = 0;
    let mut failures = 0;
    for _ in 0..4 {
        for _ in 0..50 {
            n += 1;
            checkpoint(&store, n, &noise(n, 1000)).unwrap();
        }
        let before = everything(&store);
        disk.fill(0);
        // Nothing is left to be written to the pack, so this is the index itself hitting the wall.
        let durable = store.flush_index();
        failures += u32::from(matches!(durable, Err(Error::Full(_))));
        assert!(
            matches!(durable, Ok(()) | Err(Error::Full(_))),
            "{durable:?}"
        );
        assert!(matches!(
            checkpoint(&store, n + 1, b"x"),
            Err(Error::Full(_))
        ));
        disk.empty();
        same(&everything(&store), &before, "read after the index failed");
        n += 1;
        checkpoint(&store, n, b"x").unwrap();
        assert_eq!(store.verify().unwrap().faults, []);
        assert_eq!(store.commit_count().unwrap(), n);
    }
    assert!(
        failures > 0,
        "the index never failed: this test tests nothing"
    );
    let now = everything(&store);
    drop(store);
    let store = Store::open(&dir).unwrap();
    assert_eq!(store.opened().rebuilt, None);
    same(&everything(&store), &now, "after a new start");
}

#[test]
fn no_room_even_for_the_index() {
    // The room that is kept for the index is taken by somebody else: the worst case.
    let Some(disk) = Small::new(c"size=64m") else {
        return;
    };
    let dir = disk.path().join("store");
    let store = Store::open(&dir).unwrap();
    for n in 1..200 {
        checkpoint(&store, n, &noise(n, 1000)).unwrap();
    }
    let before = everything(&store);
    for left in [0, 4096, 16_384, 65_536, 300_000] {
        disk.fill(left);
        let refused = checkpoint(&store, 500, &noise(500, 1000));
        assert!(
            matches!(refused, Err(Error::Full(_))),
            "{left}: {refused:?}"
        );
        let step = store.put_step(&store_common::step("x", 700));
        // A step only goes into memory and the index: it may be taken, or refused for want of space.
        assert!(matches!(step, Ok(()) | Err(Error::Full(_))), "{step:?}");
        let durable = store.flush_index();
        assert!(
            matches!(durable, Ok(()) | Err(Error::Full(_))),
            "{durable:?}"
        );
        disk.empty();
        checkpoint(&store, 500 + left, &noise(500 + left, 1000)).unwrap();
        assert_eq!(store.verify().unwrap().faults, [], "{left}");
    }
    let now = everything(&store);
    assert!(now.len() > before.len());
    disk.fill(0);
    drop(store);
    disk.empty();
    let store = Store::open(&dir).unwrap();
    same(&everything(&store), &now, "after a new start");
    drop(store);

    // A store on a full disk can still be opened and read.
    disk.fill(0);
    let store = Store::open(&dir).unwrap();
    same(&everything(&store), &now, "on a full disk");
}
