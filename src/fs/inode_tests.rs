//! The table alone, without files.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::super::attr::{FileKind, When};
use super::*;

fn found(ino: u64, kind: FileKind, nlink: u32, born: i64) -> Found {
    Found {
        id: Identity {
            dev: 1,
            ino,
            born: Some(When {
                secs: born,
                nanos: 0,
            }),
        },
        attr: Attr {
            ino,
            kind,
            perm: 0o644,
            nlink,
            uid: 0,
            gid: 0,
            rdev: (0, 0),
            size: 0,
            blocks: 0,
            blksize: 4096,
            atime: When::default(),
            mtime: When::default(),
            ctime: When::default(),
        },
    }
}

fn dir(ino: u64) -> Found {
    found(ino, FileKind::Dir, 2, 0)
}

fn file(ino: u64) -> Found {
    found(ino, FileKind::File, 1, 0)
}

fn table() -> Table {
    Table::new(dir(2).id)
}

fn p(s: &str) -> RepoPath {
    RepoPath::try_from(s).unwrap()
}

#[test]
fn numbers_are_the_files_own_and_names_make_paths() {
    let mut t = table();
    let (d, _) = t.meet(ROOT, b"d", &dir(10), true);
    let (f, _) = t.meet(d, b"f", &file(11), true);
    assert_eq!((d, f), (10, 11));
    assert_eq!(t.path(f), Ok(p("d/f")));
    assert_eq!(t.at(&p("d/f")), Some(f));
    assert_eq!(t.path(ROOT), Ok(RepoPath::root()));
    // The root bound below itself is another node for the kernel, and stays the root.
    let (again, _) = t.meet(d, b"loop", &dir(2), true);
    assert_eq!((again, t.meet(d, b"loop", &dir(2), true).0), (2, 2));
    assert_eq!(t.path(again), Ok(p("d/loop")));
    assert_eq!(t.path(ROOT), Ok(RepoPath::root()));
    assert_eq!(t.by_identity(&dir(2).id), Some(ROOT));
}

#[test]
fn a_reused_number_is_a_fresh_node() {
    let mut t = table();
    let (old, g1) = t.meet(ROOT, b"a", &file(11), true);
    // Removed through us, still remembered by the kernel; the number comes back at once, even with the same birth.
    t.gone(old, None);
    t.unname(ROOT, b"a");
    let (new, g2) = t.meet(ROOT, b"b", &file(11), true);
    assert_ne!(old, new);
    assert_ne!(g1, g2);
    assert!(t.path(old).is_err());
    // Replaced behind our back: only the time of birth tells.
    let (newer, _) = t.meet(ROOT, b"b", &found(11, FileKind::File, 1, 5), true);
    assert_ne!(newer, new);
    assert_eq!(t.at(&p("b")), Some(newer));
    // Once forgotten, the file's own number is free again.
    t.forget(old, 1);
    t.forget(new, 1);
    t.forget(newer, 1);
    assert_eq!(t.len(), 1);
    assert_eq!(t.meet(ROOT, b"c", &file(11), true).0, 11);
}

#[test]
fn other_devices_and_reserved_numbers_get_numbers_of_ours() {
    let mut t = table();
    let mut other = file(11);
    other.id.dev = 7;
    let (a, _) = t.meet(ROOT, b"a", &other, true);
    let (b, _) = t.meet(ROOT, b"b", &file(1), true);
    assert!(a >= OURS && b >= OURS && a != b);
}

#[test]
fn hard_links_are_names_of_one_node() {
    let mut t = table();
    let f = found(11, FileKind::File, 2, 0);
    let (a, _) = t.meet(ROOT, b"a", &f, true);
    let (b, _) = t.meet(ROOT, b"b", &f, true);
    assert_eq!(a, b);
    assert_eq!(t.paths(a), vec![p("a"), p("b")]);
    t.unname(ROOT, b"a");
    assert_eq!(t.paths(a), vec![p("b")]);
    t.forget(a, 1);
    assert_eq!(t.len(), 2, "one look-up is left");
    t.forget(a, 1);
    assert_eq!(t.len(), 1);
    assert_eq!(t.at(&p("b")), None);
}

#[test]
fn a_file_moved_behind_the_mount_has_only_its_new_name() {
    let mut t = table();
    t.meet(ROOT, b"a", &file(11), true);
    let (n, _) = t.meet(ROOT, b"b", &file(11), true);
    assert_eq!(t.paths(n), vec![p("b")]);
    assert_eq!(t.at(&p("a")), None);
}

#[test]
fn renaming_a_directory_moves_what_is_below() {
    let mut t = table();
    let (d, _) = t.meet(ROOT, b"d", &dir(10), true);
    let (e, _) = t.meet(d, b"e", &dir(12), true);
    let (f, _) = t.meet(e, b"f", &file(13), true);
    t.renamed(ROOT, b"d", ROOT, b"x");
    assert_eq!(t.path(f), Ok(p("x/e/f")));
    let (y, _) = t.meet(ROOT, b"y", &file(14), true);
    t.exchanged(
        &Link {
            parent: ROOT,
            name: (*b"y").into(),
        },
        &Link {
            parent: d,
            name: (*b"e").into(),
        },
    );
    assert_eq!(t.path(f), Ok(p("y/f")));
    assert_eq!(t.path(y), Ok(p("x/e")));
    assert_eq!(t.at(&p("y/f")), Some(f));
    assert_eq!(t.at(&p("x/e")), Some(y));
}

#[test]
fn replaced_by_a_rename_and_renamed_onto_itself() {
    let mut t = table();
    let (a, _) = t.meet(ROOT, b"a", &file(11), true);
    let (b, _) = t.meet(ROOT, b"b", &file(12), true);
    t.unname(ROOT, b"b");
    t.renamed(ROOT, b"a", ROOT, b"b");
    assert_eq!(t.at(&p("b")), Some(a));
    assert_eq!(t.at(&p("a")), None);
    assert!(t.path(b).is_err());
    t.renamed(ROOT, b"b", ROOT, b"b");
    assert_eq!(t.at(&p("b")), Some(a));
}

#[test]
fn parents_live_as_long_as_children_and_nothing_leaks() {
    let mut t = table();
    let (d, _) = t.meet(ROOT, b"d", &dir(10), true);
    let (f, _) = t.meet(d, b"f", &file(11), true);
    // The kernel may send its forgets in any order.
    t.forget(d, 1);
    assert_eq!(t.path(f), Ok(p("d/f")));
    t.forget(f, 1);
    assert_eq!(t.len(), 1);
    assert!(t.names.is_empty() && t.by_backing.len() == 1);
    // More than it was told is not an error either.
    t.forget(f, 7);
    t.forget(ROOT, 1_000);
    assert_eq!(t.path(ROOT), Ok(RepoPath::root()));
}
