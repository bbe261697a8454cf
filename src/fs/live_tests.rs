//! The view called directly, without a mount: these run where FUSE is missing, and show what the kernel is told.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};

use super::super::view::{RenameKind, SetAttr, View, WriteAt};
use super::*;
use crate::capture::observe::Unobserved;

/// What an observer is asked to save.
#[derive(Default)]
struct Saved(Mutex<Vec<String>>);

impl Observer for Saved {
    fn before(&self, path: &RepoPath, touch: Touch) {
        self.0.lock().unwrap().push(format!("{touch:?} {path}"));
    }
    fn changed(&self, _: &RepoPath, _: Touch, _: &Writer) {}
    fn renamed(&self, _: &RepoPath, _: &RepoPath, _: bool, _: &Writer) {}
    fn opened_for_write(&self, _: &RepoPath, _: &Writer) {}
    fn closed_for_write(&self, _: &RepoPath) {}
}

struct Here {
    dir: tempfile::TempDir,
    view: Arc<LiveView>,
}

fn here() -> Here {
    watched(Arc::new(Unobserved))
}

fn watched(observer: Arc<dyn Observer>) -> Here {
    let dir = tempfile::tempdir().unwrap();
    let root = rustix::fs::open(
        dir.path(),
        OFlags::DIRECTORY | OFlags::RDONLY,
        Mode::empty(),
    )
    .unwrap();
    let view = LiveView::new(root, observer, Gate::new(), |n| n == b"hidden");
    Here { dir, view }
}

impl Here {
    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn ino(&self, parent: u64, name: &str) -> u64 {
        let entry = self.view.lookup(parent, name.as_bytes()).unwrap().unwrap();
        entry.attr.ino
    }
}

fn me(prepared: Option<Vec<RepoPath>>) -> Ctx {
    let who = super::super::attribution::unknown(0);
    let (uid, gid) = (geteuid().as_raw(), rustix::process::getegid().as_raw());
    Ctx::new(who, uid, gid, prepared)
}

fn p(s: &str) -> RepoPath {
    RepoPath::try_from(s).unwrap()
}

const READ: i32 = OFlags::RDONLY.bits().cast_signed();
const WRITE: i32 = OFlags::RDWR.bits().cast_signed();

fn plain(data: &[u8]) -> WriteAt<'_> {
    WriteAt {
        offset: 0,
        data,
        append: false,
        write_back: false,
        kill_set_id: false,
    }
}

#[test]
fn a_change_is_refused_when_its_path_is_not_the_prepared_one() {
    let saved = Arc::new(Saved::default());
    let h = watched(Arc::clone(&saved) as Arc<dyn Observer>);
    fs::create_dir(h.at("d")).unwrap();
    fs::write(h.at("d/f"), "x").unwrap();
    let d = h.ino(ROOT, "d");
    let f = h.ino(d, "f");
    let fh = h.view.open(&me(None), f, WRITE).unwrap().fh;
    let targets = [(Target::Node(f), Touch::Content)];
    let prepared = h.view.prepare(&targets);
    assert_eq!(prepared, vec![p("d/f")]);
    // Somebody renames the directory before the write comes to its turn.
    h.view
        .rename(&me(None), (ROOT, b"d"), (ROOT, b"e"), RenameKind::Replace)
        .unwrap();
    let late = h.view.write(&me(Some(prepared)), f, fh, &plain(b"new"));
    assert_eq!(late, Err(Fault::Moved));
    assert_eq!(fs::read(h.at("e/f")).unwrap(), b"x", "nothing was done");
    let again = h.view.prepare(&targets);
    h.view
        .write(&me(Some(again)), f, fh, &plain(b"new"))
        .unwrap();
    assert_eq!(fs::read(h.at("e/f")).unwrap(), b"new");
    assert_eq!(
        *saved.0.lock().unwrap(),
        ["Content d/f", "Content e/f"],
        "both were offered for saving"
    );
    for made in [
        h.view
            .mkdir(&me(Some(vec![p("x")])), ROOT, b"y", 0o755)
            .err(),
        h.view.unlink(&me(Some(vec![p("d/f")])), d, b"f").err(),
    ] {
        assert_eq!(made, Some(Fault::Moved));
    }
}

#[test]
fn pages_are_kept_only_for_the_very_file_they_were_read_from() {
    let h = here();
    fs::write(h.at("f"), "one").unwrap();
    let old = std::time::SystemTime::now() - Duration::from_secs(100);
    let age = || {
        let f = fs::File::options().write(true).open(h.at("f")).unwrap();
        f.set_modified(old).unwrap();
    };
    age();
    // Where stamps are coarse, a file must be left alone for a moment before it is trusted.
    std::thread::sleep(2 * RACY);
    let f = h.ino(ROOT, "f");
    let open = |h: &Here| {
        let o = h.view.open(&me(None), f, READ).unwrap();
        h.view.release(o.fh);
        (o.keep, o.refresh)
    };
    assert_eq!(open(&h), (false, false), "nothing is cached yet");
    assert_eq!(open(&h), (true, false));
    // Changed from outside, with the same size and the old time of modification.
    fs::write(h.at("f"), "two").unwrap();
    age();
    std::thread::sleep(2 * RACY);
    assert_eq!(open(&h), (false, true), "the kernel must be told");
    assert_eq!(open(&h), (true, false));
    h.view.distrust(f);
    assert!(!open(&h).0);
    // Our own write leaves the pages right, somebody else's before it does not.
    let o = h.view.open(&me(None), f, WRITE).unwrap();
    h.view.write(&me(None), f, o.fh, &plain(b"own")).unwrap();
    std::thread::sleep(2 * RACY);
    if h.view.root.fine_stamps {
        assert_eq!(open(&h), (true, false));
    }
    fs::write(h.at("f"), "six").unwrap();
    h.view.write(&me(None), f, o.fh, &plain(b"own")).unwrap();
    assert_eq!(open(&h), (false, true));
    h.view.release(o.fh);
    assert_eq!(h.view.handles(), 0);
}

#[test]
fn an_append_that_met_another_writer_is_reported_as_astray() {
    let h = here();
    fs::write(h.at("f"), "abc").unwrap();
    let f = h.ino(ROOT, "f");
    let fh = h.view.open(&me(None), f, WRITE).unwrap().fh;
    let append = |offset, write_back| WriteAt {
        offset,
        append: true,
        write_back,
        ..plain(b"XY")
    };
    let w = h.view.write(&me(None), f, fh, &append(3, false)).unwrap();
    assert_eq!((w.len, w.stray), (2, false));
    fs::write(h.at("f"), "longer than known").unwrap();
    let w = h.view.write(&me(None), f, fh, &append(5, false)).unwrap();
    assert_eq!((w.len, w.stray), (2, true));
    assert_eq!(fs::read(h.at("f")).unwrap(), b"longer than knownXY");
    // What a mapping brings back goes where it belongs, though the descriptor appends.
    let w = h.view.write(&me(None), f, fh, &append(0, true)).unwrap();
    assert!(!w.stray);
    assert_eq!(fs::read(h.at("f")).unwrap(), b"XYnger than knownXY");
}

#[test]
fn a_name_that_means_another_file_is_stale_until_looked_up_again() {
    let h = here();
    fs::write(h.at("f"), "old").unwrap();
    let old = h.ino(ROOT, "f");
    let fh = h.view.open(&me(None), old, READ).unwrap().fh;
    fs::write(h.at("g"), "new").unwrap();
    fs::rename(h.at("g"), h.at("f")).unwrap();
    // The handle still leads to the old file, a new open does not mistake the new one for it.
    assert_eq!(h.view.read(fh, 0, 100).unwrap(), b"old");
    assert_eq!(h.view.getattr(old, Some(fh)).unwrap().nlink, 0);
    assert_eq!(h.view.getattr(old, None).unwrap().nlink, 0, "fstat");
    assert_eq!(
        h.view.open(&me(None), old, READ),
        Err(Fault::Os(Errno::STALE)),
        "not the old file, though it is open"
    );
    // Once the name is known to be another file's, what is asked of the old one is asked by descriptor.
    h.view.recheck(&p("f"));
    let again = h.view.open(&me(None), old, READ).unwrap().fh;
    assert_eq!(h.view.read(again, 0, 100).unwrap(), b"old");
    h.view.release(again);
    h.view.release(fh);
    assert_eq!(
        h.view.open(&me(None), old, READ),
        Err(Fault::Os(Errno::NOENT))
    );
    let new = h.ino(ROOT, "f");
    assert_ne!(new, old);
    let fh = h.view.open(&me(None), new, READ).unwrap().fh;
    assert_eq!(h.view.read(fh, 0, 100).unwrap(), b"new");
    // A directory in whose place a link lies now.
    fs::create_dir(h.at("d")).unwrap();
    let d = h.ino(ROOT, "d");
    fs::remove_dir(h.at("d")).unwrap();
    std::os::unix::fs::symlink("/etc", h.at("d")).unwrap();
    assert_eq!(h.view.lookup(d, b"passwd"), Err(Errno::STALE));
}

#[test]
fn a_pipe_in_the_place_of_a_file_does_not_hold_anybody_up() {
    let h = here();
    fs::write(h.at("f"), "x").unwrap();
    let f = h.ino(ROOT, "f");
    fs::remove_file(h.at("f")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, h.at("f"), Mode::RUSR | Mode::WUSR).unwrap();
    assert_eq!(
        h.view.open(&me(None), f, READ),
        Err(Fault::Os(Errno::STALE))
    );
    let pipe = h.ino(ROOT, "f");
    assert_eq!(
        h.view.open(&me(None), pipe, READ),
        Err(Fault::Os(Errno::INVAL))
    );
}

#[test]
fn the_hidden_is_neither_found_nor_listed_nor_made() {
    let h = here();
    fs::write(h.at("hidden"), "x").unwrap();
    fs::write(h.at("shown"), "x").unwrap();
    assert_eq!(h.view.lookup(ROOT, b"hidden"), Ok(None));
    let mut names = Vec::new();
    h.view
        .readdir(ROOT, 0, true, &mut |item| {
            names.push(String::from_utf8_lossy(item.name).into_owned());
            assert_ne!(item.ino, 0);
            true
        })
        .unwrap();
    names.sort();
    assert_eq!(names, [".", "..", "shown"]);
    let refused = Some(Fault::Os(Errno::ACCESS));
    assert_eq!(
        h.view.mkdir(&me(None), ROOT, b"hidden", 0o755).err(),
        refused
    );
    assert_eq!(
        h.view
            .create(&me(None), ROOT, b"hidden", 0o644, WRITE)
            .err(),
        refused
    );
    let to = (ROOT, &b"hidden"[..]);
    let r = h
        .view
        .rename(&me(None), (ROOT, b"shown"), to, RenameKind::Replace);
    assert_eq!(r.err(), refused);
    let r = h
        .view
        .rename(&me(None), to, (ROOT, b"x"), RenameKind::Replace);
    assert_eq!(r.err(), Some(Fault::Os(Errno::NOENT)));
}

/// An entry for which there was no room must come again, and its look-up must not count.
#[test]
fn listings_in_small_pieces_lose_and_repeat_nothing() {
    let h = here();
    for n in 0..500 {
        fs::write(h.at(&format!("file {n}")), "").unwrap();
    }
    for plus in [false, true] {
        let mut names = Vec::new();
        let mut offset = 0;
        loop {
            let mut room = 7;
            let before = names.len();
            h.view
                .readdir(ROOT, offset, plus, &mut |item| {
                    if room == 0 {
                        return false;
                    }
                    room -= 1;
                    names.push(item.name.to_vec());
                    offset = item.next;
                    true
                })
                .unwrap();
            if names.len() == before {
                break;
            }
        }
        assert_eq!(names.len(), 502);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 502);
    }
    // One look-up each was counted: after as many forgets only the root is left.
    for n in 0..500 {
        let entry = fs::metadata(h.at(&format!("file {n}"))).unwrap();
        h.view.forget(entry.ino(), 1);
    }
    assert_eq!(h.view.table().len(), 1);
}

#[test]
fn attributes_are_set_as_asked() {
    let h = here();
    fs::write(h.at("f"), "12345").unwrap();
    let f = h.ino(ROOT, "f");
    let set = SetAttr {
        size: Some(2),
        mode: Some(0o600),
        mtime: Some(super::super::view::SetTime::At(super::super::attr::When {
            secs: -2,
            nanos: 500_000_000,
        })),
        ..SetAttr::default()
    };
    assert_eq!(set.touches(), vec![Touch::Content, Touch::Meta]);
    let attr = h.view.setattr(&me(None), f, &set).unwrap();
    let m = fs::metadata(h.at("f")).unwrap();
    assert_eq!((attr.size, attr.perm, attr.mtime.secs), (2, 0o600, -2));
    assert_eq!((m.len(), m.permissions().mode() & 0o7777), (2, 0o600));
    assert_eq!((m.mtime(), m.mtime_nsec()), (-2, 500_000_000));
    assert_eq!(attr.ino, m.ino(), "as the real file's");
    // A link's own time, not its target's.
    std::os::unix::fs::symlink("f", h.at("l")).unwrap();
    let l = h.ino(ROOT, "l");
    let set = SetAttr {
        mtime: Some(super::super::view::SetTime::At(super::super::attr::When {
            secs: 77,
            nanos: 0,
        })),
        ..SetAttr::default()
    };
    h.view.setattr(&me(None), l, &set).unwrap();
    assert_eq!(fs::symlink_metadata(h.at("l")).unwrap().mtime(), 77);
    assert_eq!(fs::metadata(h.at("f")).unwrap().mtime(), -2);
    assert_eq!(h.view.readlink(l).unwrap(), b"f");
}

#[test]
fn a_file_made_behind_the_mount_meanwhile_is_not_created_over() {
    let h = here();
    assert_eq!(h.view.lookup(ROOT, b"f"), Ok(None));
    fs::write(h.at("f"), "theirs").unwrap();
    let exclusive = WRITE | OFlags::EXCL.bits().cast_signed();
    let r = h.view.create(&me(None), ROOT, b"f", 0o644, exclusive);
    assert_eq!(r.err(), Some(Fault::Os(Errno::EXIST)));
    let r = h.view.create(&me(None), ROOT, b"f", 0o644, WRITE);
    assert_eq!(r.err(), Some(Fault::Os(Errno::STALE)), "look again");
    assert_eq!(fs::read(h.at("f")).unwrap(), b"theirs");
}
