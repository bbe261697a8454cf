//! What a POSIX file system owes its users, beyond what random operations reach: open files without a name, many
//! entries, any name, other users, sparse files, appends, locks, special files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

mod fs_common;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use fs_common::{have, p, sh, try_sh, wait_until, world};
use rustix::fs::{CWD, FallocateFlags, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

fn read_write() -> OpenOptions {
    let mut o = OpenOptions::new();
    o.read(true).write(true).create(true);
    o
}

#[test]
fn an_unlinked_file_goes_on_for_those_who_have_it() {
    let Some(w) = world() else { return };
    let path = w.live.join("f");
    let mut f = read_write().open(&path).unwrap();
    f.write_all(b"before").unwrap();
    fs::remove_file(&path).unwrap();
    w.notes.take();
    assert_eq!(f.metadata().unwrap().nlink(), 0);
    f.write_all(b" and after").unwrap();
    f.set_len(12).unwrap();
    f.set_permissions(fs::Permissions::from_mode(0o600))
        .unwrap();
    assert_eq!(f.metadata().unwrap().mode() & 0o777, 0o600);
    f.sync_all().unwrap();
    f.seek(SeekFrom::Start(0)).unwrap();
    let mut text = String::new();
    f.read_to_string(&mut text).unwrap();
    assert_eq!(text, "before and a");
    assert_eq!(
        w.notes.take(),
        Vec::<String>::new(),
        "it has no path to report"
    );
    // The same name, the same backing number most likely: another file all the same.
    fs::write(&path, "new").unwrap();
    assert_ne!(
        f.metadata().unwrap().ino(),
        fs::metadata(&path).unwrap().ino()
    );
    assert_eq!(f.metadata().unwrap().len(), 12);
    assert_eq!(fs::read(&path).unwrap(), b"new");
    // It can be opened once more by its descriptor.
    let again = fs::read(format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&f)
    ));
    assert_eq!(again.unwrap(), b"before and a");
}

#[test]
fn a_removed_directory_that_somebody_stands_in() {
    let Some(w) = world() else { return };
    fs::create_dir(w.live.join("d")).unwrap();
    let dir = fs_common::open_dir(&w.live.join("d"));
    fs::remove_dir(w.live.join("d")).unwrap();
    let stat = rustix::fs::fstat(&dir).unwrap();
    assert_eq!(stat.st_nlink, 0);
    let made = rustix::fs::openat(&dir, "x", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR);
    assert_eq!(made.unwrap_err(), Errno::NOENT);
}

#[test]
fn ten_thousand_files_are_listed_and_removed_while_listed() {
    let Some(w) = world() else { return };
    let dir = w.live.join("many");
    fs::create_dir(&dir).unwrap();
    for n in 0..10_000 {
        File::create(w.real.join(format!("many/file-{n:05}"))).unwrap();
    }
    w.tell.entry(&p("many/file-00000"));
    w.tell.settle();
    let mut names: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 10_000);
    // What `rm -rf` does: remove what was listed so far, then list on.
    let mut removed = 0;
    for e in fs::read_dir(&dir).unwrap() {
        fs::remove_file(e.unwrap().path()).unwrap();
        removed += 1;
    }
    assert_eq!(removed, 10_000);
    assert_eq!(fs::read_dir(w.real.join("many")).unwrap().count(), 0);
    fs::remove_dir(&dir).unwrap();
}

#[test]
fn listing_goes_on_where_it_was_after_others_listed_too() {
    let Some(w) = world() else { return };
    fs::create_dir(w.real.join("d")).unwrap();
    for n in 0..3000 {
        File::create(w.real.join(format!("d/a-rather-long-file-name-{n}"))).unwrap();
    }
    // More listings under way at once than are kept open.
    let mut listings: Vec<_> = (0..100)
        .map(|_| (fs::read_dir(w.live.join("d")).unwrap(), Vec::new()))
        .collect();
    for _ in 0..31 {
        for (listing, names) in &mut listings {
            names.extend(listing.take(100).map(|e| e.unwrap().file_name()));
        }
    }
    for (_, mut names) in listings {
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 3000);
    }
}

#[test]
fn names_hold_any_bytes() {
    let Some(w) = world() else { return };
    let long = [b'n'; 255];
    let names: [&[u8]; 6] = [
        b"\xff\xfe",
        b"new\nline",
        b" ",
        b"\x1b[2J",
        "\u{202e}x".as_bytes(),
        &long,
    ];
    for name in names {
        let name = OsStr::from_bytes(name);
        fs::write(w.live.join(name), "x").unwrap();
        assert_eq!(fs::read(w.real.join(name)).unwrap(), b"x");
        fs::rename(w.live.join(name), w.live.join("tmp")).unwrap();
        fs::rename(w.live.join("tmp"), w.live.join(name)).unwrap();
    }
    let mut listed: Vec<_> = fs::read_dir(&w.live)
        .unwrap()
        .map(|e| e.unwrap().file_name().as_bytes().to_vec())
        .collect();
    listed.sort();
    let mut expected: Vec<_> = names.iter().map(|n| n.to_vec()).collect();
    expected.sort();
    assert_eq!(listed, expected);
    let too_long = "n".repeat(256);
    let e = fs::write(w.live.join(too_long), "x").unwrap_err();
    assert_eq!(e.raw_os_error(), Some(Errno::NAMETOOLONG.raw_os_error()));
}

#[test]
fn paths_deeper_than_one_call_can_name() {
    let Some(w) = world() else { return };
    let name = "d".repeat(200);
    let mut dir = fs_common::open_dir(&w.live);
    for _ in 0..30 {
        rustix::fs::mkdirat(&dir, &*name, Mode::RWXU).unwrap();
        dir = rustix::fs::openat(&dir, &*name, OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    let f = rustix::fs::openat(&dir, "f", OFlags::CREATE | OFlags::RDWR, Mode::RWXU).unwrap();
    rustix::io::write(&f, b"deep").unwrap();
    let m = rustix::fs::statat(&dir, "f", rustix::fs::AtFlags::empty()).unwrap();
    assert_eq!(m.st_size, 4);
    let reported = w.notes.take();
    assert!(reported.last().unwrap().len() > 4096 + 1500);
    sh(&w.live, "rm -rf d*");
    assert_eq!(fs::read_dir(&w.real).unwrap().count(), 0);
}

#[test]
fn rename_with_flags() {
    let Some(w) = world() else { return };
    fs::write(w.live.join("a"), "A").unwrap();
    fs::write(w.live.join("b"), "B").unwrap();
    let (a, b) = (w.live.join("a"), w.live.join("b"));
    let r = rustix::fs::renameat_with(CWD, &a, CWD, &b, RenameFlags::NOREPLACE);
    assert_eq!(r.unwrap_err(), Errno::EXIST);
    let open = File::open(&a).unwrap();
    rustix::fs::renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE).unwrap();
    assert_eq!(fs::read(&a).unwrap(), b"B");
    assert_eq!(fs::read(&b).unwrap(), b"A");
    assert_eq!(std::io::read_to_string(open).unwrap(), "A");
    let r = rustix::fs::renameat_with(CWD, &a, CWD, &b, RenameFlags::WHITEOUT);
    assert_eq!(r.unwrap_err(), Errno::INVAL);
    // A link onto another name of the same file: nothing happens, both stay.
    fs::hard_link(&a, w.live.join("c")).unwrap();
    w.notes.take();
    fs::rename(&a, w.live.join("c")).unwrap();
    assert!(a.exists() && w.live.join("c").exists());
    assert_eq!(w.notes.take(), Vec::<String>::new());
}

#[test]
fn sparse_files_keep_their_holes() {
    let Some(w) = world() else { return };
    let f = read_write().open(w.live.join("sparse")).unwrap();
    f.write_all_at(b"end", 1 << 20).unwrap();
    let data = rustix::fs::seek(&f, rustix::fs::SeekFrom::Data(0)).unwrap();
    assert_eq!(data, 1 << 20);
    assert_eq!(
        rustix::fs::seek(&f, rustix::fs::SeekFrom::Hole(0)).unwrap(),
        0
    );
    assert!(f.metadata().unwrap().blocks() < 64);
    rustix::fs::fallocate(&f, FallocateFlags::empty(), 0, 1 << 16).unwrap();
    assert!(f.metadata().unwrap().blocks() >= 128);
    f.write_all_at(&[7; 8192], 0).unwrap();
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&f, punch, 0, 4096).unwrap();
    let mut byte = [1; 2];
    f.read_exact_at(&mut byte, 4095).unwrap();
    assert_eq!(byte, [0, 7]);
    sh(&w.live, "cp --sparse=always sparse copy && cmp sparse copy");
}

/// Two writers append a line at a time, one inside and one behind the mount; every line must survive.
#[test]
fn appends_of_two_sides_meet_without_loss() {
    let Some(w) = world() else { return };
    let (inside, outside) = (w.live.join("log"), w.real.join("log"));
    fs::write(&inside, "").unwrap();
    let watcher = File::open(&inside).unwrap();
    let append = |path: &std::path::Path, side: &'static str| {
        let mut f = OpenOptions::new().append(true).open(path).unwrap();
        std::thread::spawn(move || {
            for n in 0..150 {
                f.write_all(format!("{side} {n}\n").as_bytes()).unwrap();
            }
        })
    };
    let (a, b) = (append(&inside, "in"), append(&outside, "out"));
    a.join().unwrap();
    b.join().unwrap();
    let check = |text: &str| {
        for side in ["in", "out"] {
            let seen: Vec<_> = text.lines().filter(|l| l.starts_with(side)).collect();
            let expected: Vec<_> = (0..150).map(|n| format!("{side} {n}")).collect();
            assert_eq!(seen, expected);
        }
        assert_eq!(text.lines().count(), 300);
    };
    check(&fs::read_to_string(&outside).unwrap());
    check(&fs::read_to_string(&inside).unwrap());
    // A descriptor that was open all the while shows no zeros where its pages were wrong.
    w.tell.settle();
    let mut text = String::new();
    (&watcher).read_to_string(&mut text).unwrap();
    check(&text);
}

#[test]
fn append_can_be_switched_on_an_open_descriptor() {
    let Some(w) = world() else { return };
    let f = read_write().open(w.live.join("f")).unwrap();
    f.write_all_at(b"0123456789", 0).unwrap();
    let flags = rustix::fs::fcntl_getfl(&f).unwrap();
    rustix::fs::fcntl_setfl(&f, flags | OFlags::APPEND).unwrap();
    // Another writer has made the file longer than this side's kernel knows.
    let out = OpenOptions::new()
        .append(true)
        .open(w.real.join("f"))
        .unwrap();
    (&out).write_all(b"out").unwrap();
    (&f).write_all(b"in").unwrap();
    rustix::fs::fcntl_setfl(&f, flags).unwrap();
    f.write_all_at(b"X", 0).unwrap();
    assert_eq!(fs::read(w.real.join("f")).unwrap(), b"X123456789outin");
}

#[test]
fn locks_hold_between_those_inside() {
    let Some(w) = world() else { return };
    let open = || read_write().open(w.live.join("lock")).unwrap();
    let (a, b) = (open(), open());
    rustix::fs::flock(&a, FlockOperation::LockExclusive).unwrap();
    let r = rustix::fs::flock(&b, FlockOperation::NonBlockingLockExclusive);
    assert_eq!(r.unwrap_err(), Errno::WOULDBLOCK);
    drop(a);
    rustix::fs::flock(&b, FlockOperation::NonBlockingLockExclusive).unwrap();
}

#[test]
fn special_files() {
    let Some(w) = world() else { return };
    // A pipe carries data between two processes.
    sh(
        &w.live,
        "mkfifo pipe && (echo hello > pipe &) && test \"$(cat pipe)\" = hello",
    );
    let listener = UnixListener::bind(w.live.join("socket")).unwrap();
    let mut client = UnixStream::connect(w.live.join("socket")).unwrap();
    client.write_all(b"x").unwrap();
    let mut got = [0];
    listener.accept().unwrap().0.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"x");
    if try_sh(&w.real, "mknod probe c 1 3").status.success() {
        sh(&w.live, "mknod dev c 1 3 && mknod blk b 7 300");
        let m = fs::metadata(w.live.join("blk")).unwrap();
        assert_eq!(m.rdev(), fs::metadata(w.real.join("blk")).unwrap().rdev());
        // Mounted nodev: a device node is shown and does nothing.
        assert!(fs::read(w.live.join("dev")).is_err());
    }
}

#[test]
fn programs_run_from_the_mount() {
    let Some(w) = world() else { return };
    sh(
        &w.live,
        "printf '#!/bin/sh\\necho script' > s && chmod +x s && test \"$(./s)\" = script &&
         cp /bin/ls ls && ./ls s && touch -d 1969-12-31T23:59:59.25Z old &&
         test \"$(stat -c %.2Y old)\" = -0.75",
    );
}

#[test]
fn the_hidden_is_not_there_and_cannot_be_made() {
    let Some(w) = world() else { return };
    let name = ".bt-staging-1";
    fs::write(w.real.join(name), "half").unwrap();
    fs::write(w.live.join("f"), "x").unwrap();
    let e = fs::read(w.live.join(name)).unwrap_err();
    assert_eq!(e.kind(), std::io::ErrorKind::NotFound);
    assert_eq!(sh(&w.live, "ls -A"), "f\n");
    for made in [
        fs::write(w.live.join(name), "x"),
        fs::create_dir(w.live.join(name)),
        fs::rename(w.live.join("f"), w.live.join(name)),
        fs::hard_link(w.live.join("f"), w.live.join(name)),
        std::os::unix::fs::symlink("f", w.live.join(name)),
    ] {
        assert_eq!(
            made.unwrap_err().kind(),
            std::io::ErrorKind::PermissionDenied
        );
    }
    let e = fs::remove_file(w.live.join(name)).unwrap_err();
    assert_eq!(e.kind(), std::io::ErrorKind::NotFound);
    assert_eq!(fs::read(w.real.join(name)).unwrap(), b"half");
}

/// Files made by another user through root's mount are theirs, with their umask and the directory's group.
#[test]
fn other_users() {
    if !rustix::process::geteuid().is_root() || !have("setpriv") {
        return;
    }
    let Some(w) = world() else { return };
    fs::set_permissions(w.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(w.live.join("open")).unwrap();
    fs::set_permissions(w.live.join("open"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::create_dir(w.live.join("team")).unwrap();
    std::os::unix::fs::chown(w.live.join("team"), None, Some(1234)).unwrap();
    fs::set_permissions(w.live.join("team"), fs::Permissions::from_mode(0o2777)).unwrap();
    fs::write(w.live.join("secret"), "x").unwrap();
    fs::set_permissions(w.live.join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(w.live.join("suid"), "x").unwrap();
    fs::set_permissions(w.live.join("suid"), fs::Permissions::from_mode(0o6777)).unwrap();
    let as_user = |script: &str| {
        let out = Command::new("setpriv")
            .args([
                "--reuid=4321",
                "--regid=4322",
                "--clear-groups",
                "sh",
                "-ec",
            ])
            .arg(script)
            .current_dir(&w.live)
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{script}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    };
    as_user(
        "umask 027; cd open; echo x > f; mkdir d; ln -s f l; mkfifo p; cd ../team; echo x > f; mkdir d;
         ! cat ../secret 2>/dev/null; ! rm ../secret 2>/dev/null; ! touch ../new 2>/dev/null",
    );
    let of = |path: &str| {
        let m = fs::symlink_metadata(w.real.join(path)).unwrap();
        (m.uid(), m.gid(), m.mode() & 0o7777)
    };
    assert_eq!(of("open/f"), (4321, 4322, 0o640));
    assert_eq!(of("open/d"), (4321, 4322, 0o750));
    assert_eq!(of("open/p"), (4321, 4322, 0o640));
    assert_eq!((of("open/l").0, of("open/l").1), (4321, 4322));
    assert_eq!(of("team/f"), (4321, 1234, 0o640));
    assert_eq!(of("team/d"), (4321, 1234, 0o2750));
    // Writing and truncating take the set-id bits away, as they do underneath.
    as_user("echo y >> suid");
    assert_eq!(of("suid").2, 0o777);
    fs::set_permissions(w.live.join("suid"), fs::Permissions::from_mode(0o6777)).unwrap();
    as_user("truncate -s 0 suid");
    assert_eq!(of("suid").2, 0o777);
}

/// The engine's own umask must not show in what others create.
#[test]
fn modes_are_the_callers() {
    let Some(w) = world() else { return };
    sh(
        &w.live,
        "umask 0; echo x > f; mkdir d; umask 077; echo x > g",
    );
    let mode = |n: &str| fs::metadata(w.real.join(n)).unwrap().mode() & 0o7777;
    assert_eq!((mode("f"), mode("d"), mode("g")), (0o666, 0o777, 0o600));
    // A file made unwritable can still be written by the one who made it.
    let mut f = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o444)
        .open(w.live.join("ro"))
        .unwrap();
    f.write_all(b"x").unwrap();
    f.set_len(0).unwrap();
    assert_eq!(mode("ro"), 0o444);
}

#[test]
fn space_is_that_of_the_real_file_system() {
    let Some(w) = world() else { return };
    let (a, b) = (
        rustix::fs::statvfs(&w.live).unwrap(),
        rustix::fs::statvfs(&w.real).unwrap(),
    );
    assert_eq!(
        (a.f_blocks, a.f_files, a.f_namemax),
        (b.f_blocks, b.f_files, b.f_namemax)
    );
}

/// Several processes write one database with a shared-memory index: mappings, locks and syncs together.
#[test]
fn sqlite_with_several_writers() {
    if !have("python3") {
        return;
    }
    let Some(w) = world() else { return };
    let script = r"
import sqlite3, sys
db = sqlite3.connect('db', timeout=60)
db.execute('PRAGMA journal_mode=WAL')
db.execute('CREATE TABLE IF NOT EXISTS t (who TEXT, n INTEGER)')
for n in range(40):
    with db:
        db.execute('INSERT INTO t VALUES (?, ?)', (sys.argv[1], n))
";
    fs::write(w.live.join("w.py"), script).unwrap();
    sh(&w.live, "python3 w.py first");
    let writers: Vec<_> = (0..4)
        .map(|n| {
            Command::new("python3")
                .args(["w.py", &n.to_string()])
                .current_dir(&w.live)
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in writers {
        assert!(child.wait().unwrap().success());
    }
    let count = "import sqlite3; print(sqlite3.connect('db').execute('SELECT count(*) FROM t').fetchone()[0])";
    assert_eq!(sh(&w.live, &format!("python3 -c \"{count}\"")), "200\n");
    wait_until("all is closed", || w.view.handles() == 0);
    assert_eq!(sh(&w.real, &format!("python3 -c \"{count}\"")), "200\n");
}
