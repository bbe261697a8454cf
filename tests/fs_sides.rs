//! What POSIX promises beyond what random operations reach, done by one script in a plain directory, in the live view and
//! on a fork: it must say the same everywhere.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Place, fuse};

/// Prints what it sees, a line each.
const SCRIPT: &str = r##"
import ctypes, errno, fcntl, mmap, os, signal, stat, struct, sys
os.chdir(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
root = os.geteuid() == 0

def say(*what):
    print(*what, flush=True)

def tried(what, f):
    try:
        say(what, f())
    except OSError as e:
        say(what, errno.errorcode[e.errno])

def put(name, data=b"text", mode=0o644):
    fd = os.open(name, os.O_CREAT | os.O_TRUNC | os.O_RDWR, mode)
    os.write(fd, data)
    return fd

def facts(name):
    s = os.lstat(name)
    return (stat.filemode(s.st_mode), s.st_uid, s.st_gid, s.st_size if stat.S_ISREG(s.st_mode) else 0)

def child(f, uid=None):
    "Runs f in a process of its own and says how it ended."
    pid = os.fork()
    if pid == 0:
        try:
            if uid is not None:
                os.setgroups([]); os.setgid(uid); os.setuid(uid)
            f()
            os._exit(0)
        except OSError as e:
            os._exit(e.errno)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return errno.errorcode.get(code, code)

# Hard links are one file under several names.
os.close(put("l1")); os.link("l1", "l2"); os.mkdir("d"); os.link("l2", "d/l3")
say("one inode", len({os.stat(n).st_ino for n in ("l1", "l2", "d/l3")}), os.stat("l1").st_nlink)
fd = os.open("l2", os.O_WRONLY | os.O_APPEND); os.write(fd, b" more"); os.close(fd)
say("seen by the other name", open("d/l3", "rb").read(), os.stat("l1").st_size)
os.chmod("l1", 0o600); say("one mode", facts("l2"))
os.rename("l1", "l2"); say("a rename onto itself does nothing", os.path.exists("l1"), os.stat("l1").st_nlink)
os.unlink("l1"); os.rename("d/l3", "l4"); say("left", os.stat("l4").st_nlink, open("l2", "rb").read())
tried("link of a directory", lambda: os.link("d", "d2"))
held = os.open("l4", os.O_RDWR); os.unlink("l4"); os.unlink("l2")
say("no name", os.fstat(held).st_nlink, os.pread(held, 99, 0)); os.close(held)

# Pipes and nodes.
os.mkfifo("pipe", 0o640); say("pipe", facts("pipe"))
if os.fork() == 0:
    with open("pipe", "wb") as f: f.write(b"through the pipe")
    os._exit(0)
say("read", open("pipe", "rb").read()); os.wait()
tried("mknod of a file", lambda: os.mknod("plain", 0o100604)); say(facts("plain"))
if root:
    os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3)); s = os.stat("null")
    say("device", stat.S_ISCHR(s.st_mode), os.major(s.st_rdev), os.minor(s.st_rdev))
tried("mkfifo where something is", lambda: os.mkfifo("plain"))

# Locks between processes: ranges, waiting, and the end by a close.
fd = put("locked", b"x" * 100)
def lock(fd, kind, start, length, wait=False):
    fcntl.fcntl(fd, fcntl.F_SETLKW if wait else fcntl.F_SETLK, struct.pack("hhqqi4x", kind, 0, start, length, 0))
lock(fd, fcntl.F_WRLCK, 10, 10)
def other(start, kind=fcntl.F_WRLCK):
    f = os.open("locked", os.O_RDWR); lock(f, kind, start, 5)
say("beside it", child(lambda: other(0)), "in it", child(lambda: other(12)), child(lambda: other(18, fcntl.F_RDLCK)))
def who():
    f = os.open("locked", os.O_RDWR)
    got = fcntl.fcntl(f, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
    kind, _, start, length, pid = struct.unpack("hhqqi4x", got)
    os._exit(0 if (kind, start, length, pid) == (fcntl.F_WRLCK, 10, 10, os.getppid()) else 1)
say("who has it", child(who))
r, w = os.pipe()
if os.fork() == 0:
    f = os.open("locked", os.O_RDWR); lock(f, fcntl.F_WRLCK, 0, 0, wait=True); os.write(w, b"got it"); os._exit(0)
lock(fd, fcntl.F_UNLCK, 0, 0); say("waited", os.read(r, 9)); os.wait()
def interrupted():
    class Alarm(Exception): pass
    def ring(*_): raise Alarm
    signal.signal(signal.SIGALRM, ring); signal.setitimer(signal.ITIMER_REAL, 0.1)
    f = os.open("locked", os.O_RDWR)
    try: lock(f, fcntl.F_WRLCK, 0, 0, wait=True)
    except Alarm: os._exit(7)
lock(fd, fcntl.F_RDLCK, 0, 0); say("a wait that a signal ends", child(interrupted))
twice = os.open("locked", os.O_RDONLY); os.close(twice); say("closed", child(lambda: other(0)))
fcntl.flock(fd, fcntl.LOCK_EX)
say("flock", child(lambda: fcntl.flock(os.open("locked", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)))
os.close(fd); say("freed", child(lambda: fcntl.flock(os.open("locked", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)))

# Holes.
fd = put("holes", b"d" * 65536)
def fallocate(mode, at, length):
    if libc.fallocate(fd, mode, ctypes.c_long(at), ctypes.c_long(length)) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")
    return "done"
tried("punched", lambda: fallocate(3, 16384, 16384))
say(os.pread(fd, 3, 16383), os.fstat(fd).st_size, os.fstat(fd).st_blocks * 512 < 65536)
say("hole", os.lseek(fd, 0, os.SEEK_HOLE), "data", os.lseek(fd, 16384, os.SEEK_DATA), os.lseek(fd, 40000, os.SEEK_HOLE))
tried("data behind the end", lambda: os.lseek(fd, 70000, os.SEEK_DATA))
tried("kept its size", lambda: fallocate(1, 65536, 4096)); say(os.fstat(fd).st_size)
tried("grew", lambda: fallocate(0, 65536, 4096)); say(os.fstat(fd).st_size)
tried("zeroed", lambda: fallocate(16, 0, 8192)); say(os.pread(fd, 2, 8191))
tried("a negative length", lambda: fallocate(0, 0, -1))
os.ftruncate(fd, 100); os.ftruncate(fd, 5000); say("cut and grown", os.pread(fd, 3, 99), os.fstat(fd).st_size)
to = put("copied", b"")
tried("copy_file_range", lambda: os.copy_file_range(fd, to, 5000, 0, 10)); say(os.fstat(to).st_size)
tried("at the end", lambda: os.copy_file_range(fd, to, 10, 5000)); os.close(to); os.close(fd)
d = os.open("d", os.O_RDONLY | os.O_DIRECTORY); tried("fsync of a directory", lambda: os.fsync(d)); os.close(d)

# Who may what.
for mask in (0o077, 0o027, 0):
    old = os.umask(mask)
    os.close(os.open(f"m{mask}", os.O_CREAT | os.O_WRONLY, 0o666)); os.mkdir(f"dm{mask}", 0o777); os.mkfifo(f"pm{mask}", 0o666)
    say("umask", oct(mask), facts(f"m{mask}"), facts(f"dm{mask}"), facts(f"pm{mask}")); os.umask(old)
if root:
    os.mkdir("shared"); os.chown("shared", 0, 1); os.chmod("shared", 0o2775)
    os.close(put("shared/f")); os.mkdir("shared/sub"); os.symlink("f", "shared/s")
    say("setgid", facts("shared/f"), facts("shared/sub"), facts("shared/s"))
    os.mkdir("tmp"); os.chmod("tmp", 0o1777); os.close(put("tmp/mine")); os.chown("tmp/mine", 1, 1); os.chmod("tmp/mine", 0o666)
    say("sticky", child(lambda: os.unlink("tmp/mine"), 2), child(lambda: os.rename("tmp/mine", "tmp/x"), 2), child(lambda: os.unlink("tmp/mine"), 1))
    def suid(f):
        fd = put("suid", b"#!"); os.close(fd); os.chown("suid", 1, 1); os.chmod("suid", 0o6777); f(); return facts("suid")
    def write():
        fd = os.open("suid", os.O_WRONLY); os.write(fd, b"x"); os.close(fd)
    say("written by another", suid(lambda: child(write, 2)))
    say("cut by another", suid(lambda: child(lambda: os.truncate("suid", 1), 2)))
    say("written by root", suid(write)); say("chown", suid(lambda: os.chown("suid", 2, 2)))
    os.close(put("secret", mode=0o600)); os.mkdir("shut", 0o700); os.close(put("shut/f"))
    say("not mine", child(lambda: os.open("secret", os.O_RDONLY), 1), child(lambda: os.stat("shut/f"), 1),
        child(lambda: os.chmod("secret", 0o666), 1), child(lambda: os.utime("secret"), 1), child(lambda: os.open("secret", os.O_WRONLY | os.O_TRUNC), 1))

# Mappings, appends, times, names.
fd = put("mapped", b"m" * 8192); m = mmap.mmap(fd, 8192); private = mmap.mmap(fd, 8192, flags=mmap.MAP_PRIVATE)
m[0:2] = b"XX"; private[4:6] = b"PP"; m.flush(); say("mapped", os.pread(fd, 6, 0), private[4:6])
os.pwrite(fd, b"written", 100); say("seen in the mapping", m[100:107]); m.close(); private.close(); os.close(fd)
fd = os.open("mapped", os.O_WRONLY | os.O_APPEND); os.pwrite(fd, b"end", 0); say("append", os.stat("mapped").st_size); os.close(fd)
os.utime("mapped", ns=(1_000_000_001, -1_500_000_000)); s = os.stat("mapped"); say("times", s.st_atime_ns, s.st_mtime_ns)
os.symlink("nowhere", "dangling"); os.utime("dangling", ns=(5, 7), follow_symlinks=False); say(os.lstat("dangling").st_mtime_ns)
tried("no such", lambda: os.open("dangling", os.O_RDONLY)); tried("not followed", lambda: os.open("dangling", os.O_RDONLY | os.O_NOFOLLOW))
tried("made through a link", lambda: os.close(os.open("dangling", os.O_CREAT | os.O_WRONLY, 0o600))); say(os.path.exists("nowhere"))
tried("255", lambda: os.close(put("n" * 255))); tried("256", lambda: put("n" * 256)); tried("too deep", lambda: os.stat("d/" * 2050 + "x"))
tried("not empty", lambda: os.rename("d", "dm0")); os.close(put("dm0/f"))
tried("not empty", lambda: os.rename("d", "dm0")); os.mkdir("e"); tried("a file over a directory", lambda: os.rename("mapped", "e"))
tried("a directory into itself", lambda: os.rename("dm0", "dm0/in")); tried("rmdir", lambda: os.rmdir("dm0")); tried("unlink", lambda: os.unlink("dm0"))
tried("through a file", lambda: os.stat("mapped/x")); tried("a slash behind a file", lambda: os.stat("mapped/"))
os.setxattr("mapped", "user.a", b"1"); tried("there", lambda: os.setxattr("mapped", "user.a", b"2", os.XATTR_CREATE)); say(os.listxattr("mapped"))
tried("not there", lambda: os.setxattr("mapped", "user.b", b"2", os.XATTR_REPLACE)); tried("none", lambda: os.getxattr("mapped", "user.b"))
tried("of another kind", lambda: os.setxattr("mapped", "nonsense.a", b"1")); say(os.statvfs(".").f_namemax)
os.mkdir("many")
for n in range(3000): os.close(os.open(f"many/{n}", os.O_CREAT | os.O_WRONLY))
seen = set()
for e in os.scandir("many"):
    seen.add(e.name)
    if int(e.name) % 3 == 0: os.unlink(e.path)
say("listed while removed", len(seen), len(os.listdir("many")), sorted(os.listdir("many"))[:3])
"##;

fn says(dir: &Path) -> Vec<String> {
    let out = Command::new("python3")
        .args(["-c", SCRIPT])
        .arg(dir)
        .output()
        .unwrap();
    let wrong = String::from_utf8_lossy(&out.stderr);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{}: {wrong}\n{said}", dir.display());
    said.lines().map(str::to_owned).collect()
}

#[test]
fn every_side_says_the_same() {
    let python = Command::new("python3").arg("-V").output();
    if !fuse() || python.is_err() {
        eprintln!("skipped: python3 and /dev/fuse are needed");
        return;
    }
    let place = Place::new();
    place.ok(&["init"]);
    let mut held = place
        .command(["run", "--branch", "side", "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let sides = ["live", "branch/side"].map(|p| place.runtime().join(p));
    let until = Instant::now() + Duration::from_secs(30);
    let mounted = |dir: &Path| {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        table.contains(&format!(" {} ", dir.display()))
    };
    while !sides.iter().all(|s| mounted(s)) {
        assert!(Instant::now() < until, "no mounts");
        std::thread::sleep(Duration::from_millis(5));
    }
    let plain = place.path("plain");
    std::fs::create_dir(&plain).unwrap();
    let expected = says(&plain);
    assert!(expected.len() > 60);
    for side in &sides {
        let got = says(side);
        let differing: Vec<_> = expected
            .iter()
            .zip(&got)
            .filter(|(a, b)| a != b)
            .map(|(a, b)| format!("plain: {a}\n view: {b}"))
            .collect();
        assert!(
            differing.is_empty() && expected.len() == got.len(),
            "{}:\n{}",
            side.display(),
            differing.join("\n")
        );
    }
    drop(held.stdin.take());
    held.wait().unwrap();
}
