//! States of recordings as directories: what is known of them is there, what is not says so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use backtrail::engine::api::{Request, Response};
use backtrail::engine::recorded::{Opened, Options, Recorded};
use backtrail::engine::source::Source as _;
use backtrail::trace::discover;
use common::{ask, fuse, tree_at};
use rustix::io::Errno;

fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, out);
        } else {
            out.push(path);
        }
    }
}

async fn place(source: &Opened, rev: &str) -> Option<PathBuf> {
    let request = Request::PastPath {
        rev: Some(rev.to_owned()),
    };
    match source.ask(request).await {
        Ok(Response::Past(place)) => Some(place.path.into()),
        Ok(other) => panic!("{other:?}"),
        // It tells of no file at all.
        Err(_) => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_recording_knows_is_there() {
    if !fuse() {
        return;
    }
    let mut all = Vec::new();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    files(&samples, &mut all);
    let (mut read, mut unknown, mut mounted) = (0, 0, 0);
    for file in all {
        let Some(format) = discover::recognise_file(&file) else {
            continue;
        };
        let recorded = Recorded::open(&file, format, Options::default()).unwrap();
        recorded.wait_whole().unwrap();
        let source = Opened(recorded);
        let Some(path) = place(&source, "@").await else {
            continue;
        };
        mounted += 1;
        for (name, (kind, mode, content)) in tree_at(&source, "@").await {
            let there = path.join(&name);
            let meta = there.symlink_metadata().unwrap();
            match kind.as_str() {
                "file" => {
                    assert_eq!(std::fs::read(&there).unwrap(), content, "{there:?}");
                    assert_eq!(meta.permissions().mode() & 0o7777, mode);
                    read += 1;
                }
                "unknown" => {
                    let e = std::fs::read(&there).unwrap_err();
                    assert_eq!(e.raw_os_error(), Some(Errno::NODATA.raw_os_error()));
                    unknown += 1;
                }
                "dir" => assert!(meta.is_dir()),
                other => assert!(meta.is_symlink(), "{other}"),
            }
        }
        // By its names, too; and it goes with whoever looked.
        let all = path.parent().unwrap().to_owned();
        assert_eq!(all.join("@").canonicalize().unwrap(), path);
        assert!(all.join("step:999999").symlink_metadata().is_err());
        let Response::Refs(refs) = ask(&source, Request::Refs).await else {
            panic!("no refs");
        };
        assert!(std::fs::read_dir(&all).unwrap().count() <= refs.len() + 1);
        drop(source);
        assert!(!all.exists(), "{all:?}");
    }
    eprintln!("{mounted} recordings, {read} files read, {unknown} unknown");
    assert!(
        mounted > 2 && read > 5 && unknown > 0,
        "{mounted} {read} {unknown}"
    );
}
