//! Changes made behind the mount, by a person's editor or by a rollback: what those inside see of them, and when.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

mod fs_common;

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use fs_common::{World, have, p, sh, world};
use rustix::fs::{CWD, RenameFlags};

/// Puts `text` in place of the file at `real`, as a rollback does.
fn replace(w: &World, name: &str, text: &str) {
    let staged = w.real.join(".bt-staging-x");
    fs::write(&staged, text).unwrap();
    rustix::fs::renameat_with(CWD, &staged, CWD, w.real.join(name), RenameFlags::EXCHANGE).unwrap();
    fs::remove_file(&staged).unwrap();
}

fn times(from: &Path, to: &Path) {
    let m = fs::metadata(from).unwrap();
    let f = OpenOptions::new().write(true).open(to).unwrap();
    f.set_times(fs::FileTimes::new().set_modified(m.modified().unwrap()))
        .unwrap();
}

#[test]
fn a_replaced_file_is_new_for_fresh_opens_and_old_for_open_ones() {
    let Some(w) = world() else { return };
    fs::write(w.live.join("f"), "old").unwrap();
    let mut open = File::open(w.live.join("f")).unwrap();
    let number = open.metadata().unwrap().ino();
    replace(&w, "f", "the new one");
    w.tell.entry(&p("f"));
    w.tell.settle();
    assert_eq!(fs::read(w.live.join("f")).unwrap(), b"the new one");
    assert_ne!(fs::metadata(w.live.join("f")).unwrap().ino(), number);
    let mut text = String::new();
    open.read_to_string(&mut text).unwrap();
    assert_eq!(text, "old");
    assert_eq!(open.metadata().unwrap().nlink(), 0);
}

/// Nobody told the kernel, and it believes names and attributes for a second yet.
#[test]
fn an_open_never_yields_a_stale_copy_even_when_nobody_told() {
    let Some(w) = world() else { return };
    let path = w.live.join("f");
    for round in 0..20 {
        let text = format!("first {round}");
        fs::write(w.real.join("f"), &text).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        // Replaced by a rename.
        replace(&w, "f", &format!("replaced {round}, longer than it was"));
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("replaced {round}, longer than it was")
        );
        // In place, longer: the size that the kernel believes is too short.
        fs::write(
            w.real.join("f"),
            format!("in place {round}, and longer than anything before it"),
        )
        .unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("in place {round}, and longer than anything before it")
        );
        // In place, same size, and the time of change set back.
        fs::copy(w.real.join("f"), w.real.join("stamp")).unwrap();
        times(&w.real.join("f"), &w.real.join("stamp"));
        let other = fs::read_to_string(w.real.join("f")).unwrap().to_uppercase();
        fs::write(w.real.join("f"), &other).unwrap();
        times(&w.real.join("stamp"), &w.real.join("f"));
        assert_eq!(fs::read_to_string(&path).unwrap(), other);
    }
}

#[test]
fn an_open_descriptor_sees_a_change_in_place_once_told() {
    let Some(w) = world() else { return };
    fs::write(w.live.join("f"), "aaaa").unwrap();
    let f = File::open(w.live.join("f")).unwrap();
    let mut buf = [0; 4];
    f.read_exact_at(&mut buf, 0).unwrap();
    fs::write(w.real.join("f"), "bbbbcc").unwrap();
    w.tell.content(&p("f"));
    w.tell.settle();
    let mut text = String::new();
    (&f).seek(SeekFrom::Start(0)).unwrap();
    (&f).read_to_string(&mut text).unwrap();
    assert_eq!(text, "bbbbcc");
}

#[test]
fn names_come_and_go_as_told() {
    let Some(w) = world() else { return };
    let path = w.live.join("new");
    assert!(!path.exists());
    fs::write(w.real.join("new"), "x").unwrap();
    w.tell.entry(&p("new"));
    w.tell.settle();
    assert_eq!(fs::read(&path).unwrap(), b"x", "the miss was cached");
    assert_eq!(sh(&w.live, "ls"), "new\n");
    fs::write(w.real.join("second"), "x").unwrap();
    w.tell.entry(&p("second"));
    w.tell.settle();
    assert_eq!(sh(&w.live, "ls"), "new\nsecond\n", "the listing was cached");
    fs::remove_file(w.real.join("new")).unwrap();
    w.tell.entry(&p("new"));
    w.tell.settle();
    assert!(!path.exists());
    assert_eq!(sh(&w.live, "ls"), "second\n");
    // What the kernel never asked for is not an error.
    w.tell.entry(&p("never/heard/of"));
    w.tell.content(&p("never"));
    w.tell.flush_mapping(&p("never"));
    w.tell.settle();
}

/// The kernel believes for a second that there is no such file; nobody told it otherwise.
#[test]
fn creating_meets_a_file_made_outside_just_now() {
    let Some(w) = world() else { return };
    for (name, append, expected) in [("a", true, "theirsmine"), ("b", false, "mine")] {
        let path = w.live.join(name);
        assert!(!path.exists());
        fs::write(w.real.join(name), "theirs").unwrap();
        let mut f = OpenOptions::new()
            .append(append)
            .write(true)
            .create(true)
            .truncate(!append)
            .open(&path)
            .unwrap();
        f.write_all(b"mine").unwrap();
        assert_eq!(fs::read_to_string(w.real.join(name)).unwrap(), expected);
        let told = w.notes.take();
        assert!(!told.contains(&format!("create {name}")), "{told:?}");
        assert!(told.contains(&format!("content {name}")), "{told:?}");
    }
    let path = w.live.join("c");
    assert!(!path.exists());
    fs::write(w.real.join("c"), "theirs").unwrap();
    let e = File::create_new(&path).unwrap_err();
    assert_eq!(e.kind(), std::io::ErrorKind::AlreadyExists);
}

#[test]
fn a_directory_replaced_behind() {
    let Some(w) = world() else { return };
    fs::create_dir_all(w.live.join("d/e")).unwrap();
    fs::write(w.live.join("d/e/f"), "old").unwrap();
    assert_eq!(sh(&w.live, "find . -type f"), "./d/e/f\n");
    fs::rename(w.real.join("d"), w.real.join("was")).unwrap();
    fs::create_dir_all(w.real.join("d/e")).unwrap();
    fs::write(w.real.join("d/e/f"), "new").unwrap();
    // Even untold, the names below lead to the new files.
    assert_eq!(fs::read(w.live.join("d/e/f")).unwrap(), b"new");
    w.tell.entry(&p("d"));
    w.tell.entry(&p("was"));
    w.tell.settle();
    assert_eq!(fs::read(w.live.join("was/e/f")).unwrap(), b"old");
    assert_eq!(sh(&w.live, "find . -type f | sort"), "./d/e/f\n./was/e/f\n");
}

/// A shell that stands in a directory and answers one line for each line it is sent.
struct Shell {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Shell {
    fn new(dir: &Path) -> Self {
        let mut child = Command::new("sh")
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    fn ask(&mut self, script: &str) -> String {
        let mut stdin = self.child.stdin.as_ref().unwrap();
        stdin.write_all(format!("{script}\n").as_bytes()).unwrap();
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A plain invalidation would leave the shell in a directory "(deleted)".
#[test]
fn a_working_directory_below_an_expired_one_stays_valid() {
    let Some(w) = world() else { return };
    fs::create_dir_all(w.live.join("d/e")).unwrap();
    fs::write(w.live.join("d/e/f"), "one").unwrap();
    let mut shell = Shell::new(&w.live.join("d/e"));
    let cwd = w.live.join("d/e").to_str().unwrap().to_owned();
    assert_eq!(shell.ask("pwd -P; :"), cwd);
    for round in 0..3 {
        replace(&w, "d/e/f", &format!("round {round}\n"));
        for path in ["d", "d/e", "d/e/f"] {
            w.tell.entry(&p(path));
            w.tell.content(&p(path));
        }
        w.tell.settle();
        assert_eq!(shell.ask("/bin/pwd"), cwd);
        assert_eq!(shell.ask("cat f"), format!("round {round}"));
        assert_eq!(
            fs::read_link(format!("/proc/{}/cwd", shell.child.id())).unwrap(),
            Path::new(&cwd)
        );
    }
}

/// Stores through a shared mapping reach the file when asked for, at the latest.
#[test]
fn mapped_stores_are_there_after_a_flush() {
    if !have("python3") {
        return;
    }
    let Some(w) = world() else { return };
    fs::write(w.live.join("m"), vec![b'.'; 8192]).unwrap();
    w.notes.take();
    let mut child = Command::new("python3")
        .arg("-c")
        .arg(
            "import mmap,sys\n\
             f=open('m','r+b')\n\
             m=mmap.mmap(f.fileno(),0)\n\
             f.close()\n\
             for line in sys.stdin:\n\
             \tm[0:5]=line.strip().encode()\n\
             \tm[4096:4101]=line.strip().encode()\n\
             \tprint('stored',flush=True)\n",
        )
        .current_dir(&w.live)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut stdin = child.stdin.take().unwrap();
    for word in ["first", "again"] {
        stdin.write_all(format!("{word}\n").as_bytes()).unwrap();
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        // The mapping keeps the file open for writing, so a checkpoint knows to flush it.
        assert_eq!(w.view.writable(), vec![p("m")]);
        // A checkpoint may have closed the gate: the stores are let through.
        let closed = (word == "again").then(|| w.gate.close());
        w.tell.flush_mapping(&p("m"));
        drop(closed);
        let real = fs::read(w.real.join("m")).unwrap();
        assert_eq!(&real[..5], word.as_bytes());
        assert_eq!(&real[4096..4101], word.as_bytes());
    }
    drop(stdin);
    child.wait().unwrap();
    let notes = w.notes.take_with();
    let stores: Vec<_> = notes.iter().filter(|(l, _)| l == "content m").collect();
    assert!(stores.len() >= 2, "{notes:?}");
    assert!(
        stores.iter().all(|(_, who)| who.pid == child.id()),
        "the kernel's write-back names no process; the opener is the writer: {notes:?}"
    );
}

/// A file that a rollback rewrites in place because somebody holds it open.
#[test]
fn open_counts_tell_what_must_be_rewritten_in_place() {
    let Some(w) = world() else { return };
    fs::write(w.live.join("f"), "x").unwrap();
    fs::hard_link(w.real.join("f"), w.real.join("other name")).unwrap();
    fs_common::wait_until("closed", || w.view.open_count(&p("f")) == 0);
    let reader = File::open(w.live.join("f")).unwrap();
    let writer = OpenOptions::new()
        .write(true)
        .open(w.live.join("f"))
        .unwrap();
    assert_eq!(w.view.open_count(&p("f")), 2);
    // Also under a name that nobody inside has looked up.
    assert_eq!(w.view.open_count(&p("other name")), 2);
    assert_eq!(w.view.open_count(&p("missing")), 0);
    assert_eq!(w.view.writable(), vec![p("f")]);
    replace(&w, "f", "new");
    assert_eq!(w.view.open_count(&p("f")), 0, "that is another file now");
    drop(writer);
    fs_common::wait_until("released", || w.view.open_count(&p("other name")) == 1);
    drop(reader);
}

/// How the watcher of the real directory recognises what came from inside.
#[test]
fn own_changes_are_known_by_their_stat() {
    let Some(w) = world() else { return };
    let check = |name: &str| {
        let m = fs::symlink_metadata(w.real.join(name)).unwrap();
        let own = w
            .view
            .own_stat(&p(name))
            .unwrap_or_else(|| panic!("{name}"));
        assert_eq!(
            (own.dev, own.ino, own.size),
            (m.dev(), m.ino(), m.size()),
            "{name}"
        );
        let ns = |s: i64, n: i64| s * 1_000_000_000 + n;
        assert_eq!(own.mtime_ns, ns(m.mtime(), m.mtime_nsec()), "{name}");
        assert_eq!(own.ctime_ns, ns(m.ctime(), m.ctime_nsec()), "{name}");
    };
    sh(
        &w.live,
        "echo x > f; echo y >> f; chmod 600 f; mkdir d; ln -s f l; mv f g; ln g h; echo z > h; truncate -s 9 g",
    );
    for name in ["d", "l", "g", "h"] {
        check(name);
    }
    assert_eq!(w.view.own_stat(&p("f")), None);
    fs::write(w.real.join("g"), "outside").unwrap();
    let m = fs::metadata(w.real.join("g")).unwrap();
    assert_ne!(w.view.own_stat(&p("g")).unwrap().size, m.size());
    fs::remove_file(w.live.join("g")).unwrap();
    assert_eq!(w.view.own_stat(&p("g")), None);
}

#[test]
fn nothing_outside_the_project_is_reached_through_swapped_directories() {
    let Some(w) = world() else { return };
    let secret = w.dir.path().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("f"), "secret").unwrap();
    fs::create_dir(w.live.join("d")).unwrap();
    fs::write(w.live.join("d/f"), "x").unwrap();
    let mut shell = Shell::new(&w.live.join("d"));
    // Behind the mount the directory becomes a link that leads out.
    fs::rename(w.real.join("d"), w.real.join("gone")).unwrap();
    std::os::unix::fs::symlink(&secret, w.real.join("d")).unwrap();
    // The shell still stands in what was the directory: it must not reach through the link.
    assert_ne!(shell.ask("cat f 2>/dev/null || echo refused"), "secret");
    assert_eq!(
        shell.ask("(echo y > made) 2>/dev/null && echo made || echo refused"),
        "refused"
    );
    assert!(!secret.join("made").exists());
    // By path the link is a link, and the kernel follows it like any other.
    assert_eq!(fs::read(w.live.join("d/f")).unwrap(), b"secret");
}
