//! Past states as directories: real mounts, read by real tools.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use backtrail::model::Time;
use common::{Place, differences, fuse, walk};
use rustix::io::Errno;

/// Nothing here takes so long.
const LONG: Duration = Duration::from_secs(30);

fn until(what: &str, wanted: impl Fn() -> bool) {
    let start = Instant::now();
    while !wanted() {
        assert!(start.elapsed() < LONG, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn at(place: &Place, rev: &str) -> PathBuf {
    PathBuf::from(place.ok(&["at", rev]).trim_end())
}

/// Runs a script in the project's real directory.
fn sh(dir: &Path, script: &str) -> String {
    let out = Command::new("sh")
        .args(["-euc", script])
        .current_dir(dir)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{script}\n{said}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// What is done between one state and the next.
const SCRIPT: [&str; 8] = [
    "mkdir -p src/deep/er empty; echo one > src/a; printf '\\0\\377' > src/bytes; : > nothing",
    "ln -s src/a link; ln -s nowhere/at/all dangling; ln -s . here; mkfifo pipe",
    "printf x > \"$(printf 'new\\nline')\"; printf y > \"$(printf 'raw\\377\\001')\"; echo z > ' -rf '",
    "chmod 640 src/a; chmod 755 src/bytes; chmod 700 empty; mkdir -m 2775 group; mkdir -m 1777 sticky",
    "echo two > src/a; mv src/deep moved; rm nothing; echo 'a file now' > nothing",
    "rm link; mkdir link; echo in > link/in; rmdir empty; echo 'no dir' > empty",
    "head -c 3000000 /dev/urandom > big; cp big src/copy; echo tail >> src/copy",
    "rm -r moved src; mkdir src; echo new > src/b; chmod 600 src/b",
];

#[test]
fn every_state_is_there_as_it_was() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.ok(&["init"]);
    let mut states = Vec::new();
    for (n, step) in SCRIPT.iter().enumerate() {
        sh(&place.project, step);
        let made = place.json(&["checkpoint", "--json", "-m", "next"]);
        let id = made.last().unwrap()["id"].as_str().unwrap().to_owned();
        let copy = place.path(&format!("copy-{n}"));
        sh(
            &place.project,
            &format!("cp -a . '{}'", copy.to_string_lossy()),
        );
        states.push((id, copy));
    }
    // The newest first: nothing depends on the order in which they are looked at.
    for (id, copy) in states.iter().rev() {
        let past = at(&place, id);
        let none: Vec<String> = Vec::new();
        assert_eq!(differences(&walk(copy, &[]), &walk(&past, &[])), none);
        assert!(past.ends_with(id));
        // By its beginning, too.
        let same = past.with_file_name(&id[..12]);
        assert_eq!(fs::read_link(&same).unwrap(), Path::new(id));
        // And for a tool that looks at everything; a pipe would be waited for.
        let script = format!(
            "cp -a '{}' '{}/out-{id}'; cd '{}/out-{id}'; rm -f pipe '{}/pipe'; diff -r --no-dereference . '{}'",
            past.display(),
            place.path("").display(),
            place.path("").display(),
            copy.display(),
            copy.display(),
        );
        assert_eq!(sh(&past, &script), "");
    }
}

#[test]
fn names_mean_what_they_mean_now() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("f", "one");
    place.ok(&["init"]);
    let all = PathBuf::from(place.ok(&["at"]).trim_end());
    let read = |name: &str| fs::read_to_string(all.join(name).join("f"));
    assert_eq!(read("@").unwrap(), "one");
    assert!(read("first").is_err());
    assert!(read("side%2Fline").is_err());
    assert_eq!(
        read("@~1").unwrap_err().kind(),
        std::io::ErrorKind::NotFound
    );
    place.ok(&["label", "first"]);
    place.ok(&["branch", "create", "side/line"]);
    // The kernel was told a moment ago that there is none.
    assert_eq!(read("first").unwrap(), "one");
    assert_eq!(read("side%2Fline").unwrap(), "one");
    for n in 2..5 {
        place.write("f", format!("{n}"));
        place.ok(&["checkpoint"]);
        assert_eq!(read("@").unwrap(), format!("{n}"));
        assert_eq!(read("0s-ago").unwrap(), format!("{n}"));
        assert_eq!(read("main").unwrap(), format!("{n}"));
    }
    assert_eq!(read("first").unwrap(), "one");
    assert_eq!(read("step:1").unwrap(), "one");
    assert_eq!(read("@~1").unwrap(), "3");
    place.ok(&["label", "first", "@~1"]);
    assert_eq!(read("first").unwrap(), "3");
    place.ok(&["label", "--remove", "first"]);
    assert!(read("first").is_err());
    let listed = || -> BTreeSet<String> {
        let names = fs::read_dir(&all).unwrap().map(|e| e.unwrap().file_name());
        names.map(|n| n.into_string().unwrap()).collect()
    };
    let want = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    assert_eq!(listed(), want(&["@", "main", "side%2Fline"]));
    place.ok(&["label", "second"]);
    assert_eq!(listed(), want(&["@", "main", "second", "side%2Fline"]));
    // A directory that somebody is in stays the state that it was.
    let here = fs::canonicalize(all.join("@")).unwrap();
    place.write("f", "later");
    place.ok(&["checkpoint"]);
    assert_eq!(fs::read_to_string(here.join("f")).unwrap(), "4");
    // A mistyped one mounts nothing and says so.
    let out = place.bt(&["at", "nosuch"]);
    assert!(!out.status.success());
    assert!(String::from_utf8_lossy(&out.stderr).contains("nosuch"));
}

#[test]
fn nobody_changes_the_past() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("dir/f", "x");
    place.write("run.sh", "#!/bin/sh\necho ran\n");
    place.ok(&["init"]);
    sh(&place.project, "chmod 755 run.sh; chmod 604 dir/f");
    place.ok(&["checkpoint"]);
    let past = at(&place, "@");
    let f = past.join("dir/f");
    let errno = |r: std::io::Result<()>| r.unwrap_err().raw_os_error().unwrap();
    let rofs = Errno::ROFS.raw_os_error();
    assert_eq!(errno(fs::write(&f, "y")), rofs);
    assert_eq!(errno(fs::write(past.join("new"), "y")), rofs);
    assert_eq!(errno(fs::remove_file(&f)), rofs);
    assert_eq!(errno(fs::create_dir(past.join("d"))), rofs);
    assert_eq!(errno(fs::rename(&f, past.join("g"))), rofs);
    assert_eq!(
        errno(fs::set_permissions(&f, fs::Permissions::from_mode(0o777))),
        rofs
    );
    assert_eq!(errno(std::os::unix::fs::symlink("a", past.join("s"))), rofs);
    assert_eq!(errno(fs::remove_dir_all(past.join("dir"))), rofs);
    let mut value = [0_u8; 8];
    let asked = rustix::fs::getxattr(&f, "user.x", &mut value[..]);
    assert_eq!(asked.unwrap_err(), Errno::NODATA);
    assert_eq!(rustix::fs::listxattr(&f, &mut value[..]).unwrap(), 0);
    let space = rustix::fs::statvfs(&f).unwrap();
    assert!(space.f_blocks > 0 && space.f_bavail == 0);
    assert_eq!(
        f.symlink_metadata().unwrap().permissions().mode() & 0o7777,
        0o604
    );
    assert_eq!(sh(&past, "./run.sh"), "ran\n");
}

#[test]
fn files_have_the_time_and_the_number_of_their_last_change() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("dir/stays", "same");
    place.write("dir/goes", "one");
    place.ok(&["init"]);
    place.write("dir/goes", "two");
    place.ok(&["checkpoint"]);
    place.write("other", "three");
    place.ok(&["checkpoint"]);
    let times: Vec<i64> = place
        .json(&["log", "--json"])
        .iter()
        .rev()
        .map(|c| Time::parse(c["time"].as_str().unwrap()).unwrap().0)
        .collect();
    assert_eq!(times.len(), 3);
    let micros = |path: PathBuf| {
        let meta = path.symlink_metadata().unwrap();
        (meta.mtime() * 1_000_000 + meta.mtime_nsec() / 1_000, meta)
    };
    let (old, new) = (at(&place, "@~2"), at(&place, "@"));
    let (a, b) = (micros(old.join("dir/stays")), micros(new.join("dir/stays")));
    assert_eq!((a.0, b.0), (times[0], times[0]));
    assert_eq!(a.1.ino(), b.1.ino());
    assert_eq!(a.1.dev(), b.1.dev());
    let (a, b) = (micros(old.join("dir/goes")), micros(new.join("dir/goes")));
    assert_eq!((a.0, b.0), (times[0], times[1]));
    assert_ne!(a.1.ino(), b.1.ino());
    assert_eq!(micros(new.join("dir")).0, times[1]);
    assert_eq!(micros(new.join("other")).0, times[2]);
    // One directory of two states is two, or the kernel would mix them up.
    assert_ne!(
        micros(old.join("dir")).1.ino(),
        micros(new.join("dir")).1.ino()
    );
    // What a listing says is what a look says.
    for entry in fs::read_dir(new.join("dir")).unwrap() {
        let entry = entry.unwrap();
        let ino = std::os::unix::fs::DirEntryExt::ino(&entry);
        assert_eq!(ino, entry.metadata().unwrap().ino());
    }
}

#[test]
fn a_huge_file_of_holes_has_them() {
    if !fuse() {
        return;
    }
    const SIZE: u64 = 3 << 30;
    let place = Place::new();
    place.ok(&["init"]);
    let file = File::create(place.project.join("sparse")).unwrap();
    file.set_len(SIZE).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"middle", SIZE / 2).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"end", SIZE - 3).unwrap();
    drop(file);
    place.ok(&["checkpoint"]);
    let past = at(&place, "@").join("sparse");
    let meta = past.metadata().unwrap();
    assert_eq!(meta.len(), SIZE);
    assert!(meta.blocks() * 512 < 16 << 20, "{} blocks", meta.blocks());
    let mut f = File::open(&past).unwrap();
    let data = |from| rustix::fs::seek(&f, rustix::fs::SeekFrom::Data(from));
    let first = data(0).unwrap();
    assert!(
        (SIZE / 2 - (2 << 20)..=SIZE / 2).contains(&first),
        "{first}"
    );
    let hole = rustix::fs::seek(&f, rustix::fs::SeekFrom::Hole(first)).unwrap();
    assert!(hole > SIZE / 2 && hole < SIZE / 2 + (4 << 20), "{hole}");
    assert_eq!(
        rustix::fs::seek(&f, rustix::fs::SeekFrom::Data(SIZE)).unwrap_err(),
        Errno::NXIO
    );
    let mut text = [1_u8; 8];
    for (from, want) in [
        (0, *b"\0\0\0\0\0\0\0\0"),
        (SIZE / 2 - 1, *b"\0middle\0"),
        (SIZE - 8, *b"\0\0\0\0\0end"),
    ] {
        f.seek(SeekFrom::Start(from)).unwrap();
        f.read_exact(&mut text).unwrap();
        assert_eq!(text, want, "at {from}");
    }
    assert_eq!(f.read(&mut text).unwrap(), 0);
}

#[test]
fn ten_thousand_entries_are_listed_once_each() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    let dir = place.project.join("many");
    fs::create_dir(&dir).unwrap();
    for n in 0..10_000 {
        File::create(dir.join(format!("file-{n}"))).unwrap();
    }
    place.ok(&["init"]);
    let past = at(&place, "@").join("many");
    let all = || -> Vec<_> {
        let entries = fs::read_dir(&past).unwrap();
        entries.map(|e| e.unwrap().file_name()).collect()
    };
    let first = all();
    assert_eq!(first.len(), 10_000);
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 10_000);
    assert_eq!(all(), first, "from the kernel's memory");
    // A place in a listing can be come back to, also by another opening of the directory.
    let open = || {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
        rustix::fs::open(&past, flags, rustix::fs::Mode::empty()).unwrap()
    };
    let fd = open();
    let mut places = Vec::new();
    let mut buffer = vec![std::mem::MaybeUninit::uninit(); 64 << 10];
    let mut listing = rustix::fs::RawDir::new(&fd, &mut buffer);
    while let Some(entry) = listing.next() {
        let entry = entry.unwrap();
        places.push((entry.file_name().to_owned(), entry.next_entry_cookie()));
    }
    assert_eq!(places.len(), 10_002);
    for n in [1, 2, 500, 7_000, 10_000] {
        let fd = open();
        rustix::fs::seek(&fd, rustix::fs::SeekFrom::Start(places[n].1)).unwrap();
        let mut listing = rustix::fs::RawDir::new(&fd, &mut buffer);
        let next = listing.next().unwrap().unwrap();
        assert_eq!(next.file_name(), places[n + 1].0.as_c_str());
    }
}

#[test]
fn many_read_at_once_while_states_are_made() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    let content = |n: usize| format!("{n}\n").repeat(n * 300 + 1);
    for n in 0..200 {
        place.write(&format!("d{}/f{n}", n % 7), content(n));
    }
    place.ok(&["init"]);
    let past = at(&place, "@");
    thread::scope(|scope| {
        for reader in 0..8 {
            let (past, content) = (&past, &content);
            scope.spawn(move || {
                for n in (0..200).map(|n| (n * 13 + reader * 31) % 200) {
                    let got = fs::read_to_string(past.join(format!("d{}/f{n}", n % 7)));
                    assert_eq!(got.unwrap(), content(n));
                }
            });
        }
        for n in 0..4 {
            place.write("d0/f0", format!("changed {n}"));
            place.ok(&["checkpoint"]);
        }
    });
}

#[test]
fn a_killed_engine_leaves_a_dead_mount_and_the_next_command_a_good_one() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("f", "x");
    place.ok(&["init"]);
    let chosen = place.path("chosen");
    fs::create_dir(&chosen).unwrap();
    let mut engine = place.engine(None);
    until("the engine", || {
        place.runtime().join("engine.sock").exists()
    });
    let past = at(&place, "@");
    place.ok(&["mount", chosen.to_str().unwrap()]);
    let mut held = File::open(past.join("f")).unwrap();
    let mut inside = Command::new("sh")
        .args(["-c", "cat >/dev/null"])
        .current_dir(&past)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    engine.kill();
    let dead = |p: &Path| {
        let e = rustix::fs::statfs(p).unwrap_err();
        assert!(matches!(e, Errno::NOTCONN | Errno::CONNABORTED), "{e}");
    };
    dead(past.parent().unwrap());
    dead(&chosen);
    let again = at(&place, "@");
    assert_eq!(again, past);
    assert_eq!(fs::read_to_string(again.join("f")).unwrap(), "x");
    // The chosen one is an empty directory again, and can be taken once more.
    assert_eq!(fs::read_dir(&chosen).unwrap().count(), 0);
    place.ok(&["mount", chosen.to_str().unwrap()]);
    assert!(chosen.join("at/@/f").exists());
    drop(inside.stdin.take());
    inside.wait().unwrap();
    // Who was in the dead one gets an error or what the kernel still has, and no hang.
    let _ = held.read(&mut [0; 8]);
}

#[test]
fn everything_can_be_looked_at_where_a_person_wants_it() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("f", "one");
    place.ok(&["init"]);
    place.write("f", "two");
    place.ok(&["checkpoint"]);
    let dir = place.path("here");
    fs::create_dir(&dir).unwrap();
    let here = dir.to_str().unwrap();
    place.ok(&["mount", here]);
    let text = |p: &str| fs::read_to_string(dir.join(p)).unwrap();
    assert_eq!(text("at/@/f"), "two");
    assert_eq!(text("at/@~1/f"), "one");
    assert_eq!(text("live/f"), "two");
    let names = |p: &str| -> Vec<_> {
        let mut all: Vec<_> = fs::read_dir(dir.join(p))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        all.sort();
        all
    };
    assert_eq!(names(""), ["at", "branches", "live"]);
    assert!(names("branches").is_empty());
    let inside = place
        .command(["run", "--branch", "side/b", "--", "sh", "-c"])
        .arg(format!(
            "echo there > f; until test -e '{}'; do sleep 0.01; done",
            place.path("go").display()
        ))
        .spawn()
        .unwrap();
    until("the fork", || {
        names("branches") == ["side%2Fb"] && text("branches/side%2Fb/f") == "there\n"
    });
    fs::write(place.path("go"), "").unwrap();
    assert!(inside.wait_with_output().unwrap().status.success());
    // What would hide something, or show the project in itself, is refused.
    let no = |dir: &Path, why: &str| {
        let out = place.bt(&["mount", dir.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && said.contains(why), "{said}");
    };
    no(&dir, "already");
    no(&place.project, "lie in each other");
    fs::create_dir(place.project.join("sub")).unwrap();
    no(&place.project.join("sub"), "lie in each other");
    fs::create_dir(place.path("full")).unwrap();
    fs::write(place.path("full/x"), "").unwrap();
    no(&place.path("full"), "not empty");
    no(&place.path("missing"), "cannot be mounted on");
    // It keeps the engine, until it is taken away; not from under somebody.
    let mut user = Command::new("sh")
        .args(["-c", "cat >/dev/null"])
        .current_dir(dir.join("at/@"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let out = place.bt(&["umount", here]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("somebody is in"));
    assert_eq!(text("at/@/f"), "two");
    drop(user.stdin.take());
    user.wait().unwrap();
    until("it to be free", || {
        place.bt(&["umount", here]).status.success()
    });
    assert!(names("").is_empty());
    assert!(!place.bt(&["umount", here]).status.success());
}

#[test]
fn the_engine_takes_it_away_at_its_end() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("f", "x");
    place.ok(&["init"]);
    let past = at(&place, "@");
    let dir = place.path("here");
    fs::create_dir(&dir).unwrap();
    place.ok(&["mount", dir.to_str().unwrap()]);
    let held = File::open(past.join("f")).unwrap();
    place.ok(&["stop"]);
    until("the end", || !past.exists());
    until("the end of the other", || {
        fs::read_dir(&dir).is_ok_and(|mut d| d.next().is_none())
    });
    drop(held);
    let out = place.bt(&["umount", dir.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&out.stdout).contains("nothing is mounted"));
}

#[test]
fn an_agent_does_not_see_it() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("f", "x");
    place.ok(&["init"]);
    let past = at(&place, "@");
    let dir = place.path("here");
    fs::create_dir(&dir).unwrap();
    place.ok(&["mount", dir.to_str().unwrap()]);
    let script = format!(
        "test -e f; ! test -e '{}'; ! test -e '{}/at'; if $BT at @; then exit 7; fi",
        past.display(),
        dir.display()
    );
    let out = place.run(&script);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    assert!(said.contains("an agent may read"), "{said}");
    assert!(past.join("f").exists() && dir.join("at/@/f").exists());
}

/// Through fusermount3, with nothing of root's. Where /dev/fuse is root's only, a namespace with an open one is made.
#[test]
fn an_ordinary_user_has_it_all() {
    let have = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !rustix::process::geteuid().is_root() || !fuse() {
        return;
    }
    if !["setpriv", "fusermount3", "unshare"]
        .iter()
        .all(|p| have(p))
    {
        eprintln!("skipped: setpriv, unshare and fusermount3 are needed");
        return;
    }
    let probe = "mount -t tmpfs none /dev && mknod -m 666 /dev/fuse c 10 229 && mknod -m 666 /dev/null c 1 3";
    let possible = Command::new("unshare")
        .args(["-m", "sh", "-ec", probe])
        .status();
    if !possible.is_ok_and(|s| s.success()) {
        eprintln!("skipped: a mount namespace with an open /dev/fuse cannot be made");
        return;
    }
    let place = Place::new();
    let home = place.path("");
    // The program may lie where that user cannot go.
    fs::copy(env!("CARGO_BIN_EXE_backtrail"), place.path("bt")).unwrap();
    for dir in ["here", "home"] {
        fs::create_dir(place.path(dir)).unwrap();
    }
    sh(&home, "chown -R 65534:65534 .");
    let script = format!(
        "{probe}; exec setpriv --reuid=65534 --regid=65534 --clear-groups sh -euc \"$SCRIPT\" {}",
        "2>&1"
    );
    let work = r#"
        export BT=../bt
        echo one > f; $BT init >/dev/null; echo two > f; $BT checkpoint >/dev/null
        P=$($BT at @~1)
        cat $P/f; stat -c '%u %g %a' $P/f
        if touch $P/new 2>/dev/null; then exit 3; fi
        $BT mount ../here >/dev/null
        cat ../here/at/@/f ../here/live/f
        $BT run -- sh -euc 'cat f'
        $BT reads | grep -c ' f$'
        $BT umount ../here >/dev/null
        ls ../here
        $BT stop --force
        until ! test -e $P; do sleep 0.05; done
    "#;
    let mut known = place.command::<&str>([]);
    let mut command = Command::new("unshare");
    for (name, value) in known.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    known.stdin(Stdio::null());
    let out = command
        .args(["-m", "sh", "-euc", &script])
        .env("SCRIPT", work)
        .current_dir(&place.project)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{said}");
    let want = "one\n65534 65534 644\ntwo\ntwo\n";
    assert!(said.starts_with(want), "{said}");
    let rest = &said[want.len()..];
    assert!(
        rest.contains("two\n") && rest.ends_with("stopped\n"),
        "{said}"
    );
}

#[test]
fn what_was_forgotten_cannot_be_read_any_more() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("secret", "a secret of some length\n");
    place.write("other", "stays\n");
    place.ok(&["init"]);
    let dir = place.path("here");
    fs::create_dir(&dir).unwrap();
    place.ok(&["mount", dir.to_str().unwrap()]);
    let past = at(&place, "@");
    fs::remove_file(place.project.join("secret")).unwrap();
    place.ok(&["checkpoint"]);
    let chosen = dir.join("at").join(past.file_name().unwrap());
    for state in [&past, &chosen] {
        assert!(
            fs::read(state.join("secret"))
                .unwrap()
                .starts_with(b"a secret")
        );
    }
    place.ok(&["forget", "secret"]);
    assert_eq!(at(&place, "@~1"), past);
    for state in [&past, &chosen] {
        assert!(fs::read(state.join("secret")).is_err());
        assert_eq!(fs::read(state.join("other")).unwrap(), b"stays\n");
    }
}
