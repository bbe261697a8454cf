//! What is captured and what is left out, on real directories, now and in past states.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod capture_common;

use std::fs;
use std::path::Path;
use std::process::Command;

use backtrail::capture::ignore_rules::Rules;
use backtrail::model::RepoPath;
use capture_common::*;

fn git(dir: &Path, args: &[&str]) -> bool {
    Command::new("git")
        .args(["-c", "user.name=n", "-c", "user.email=e"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .is_ok_and(|o| o.status.success())
}

fn put(root: &Path, path: &str, size: usize) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, vec![b'x'; size]).unwrap();
}

/// The captured paths that are no directories.
fn leaves(project: &Project) -> Vec<String> {
    project
        .head_state()
        .iter()
        .filter(|(_, text)| !text.starts_with("dir"))
        .map(|(path, _)| String::from_utf8(path.clone()).unwrap())
        .collect()
}

const MIB: usize = 1024 * 1024;

#[test]
fn what_a_plain_project_leaves_out() {
    let project = Project::with(|root| {
        put(root, ".gitignore", 0);
        fs::write(
            root.join(".gitignore"),
            "\u{feff}.env\n*.log\n/build/\n!keep.log\ndata.bin\n",
        )
        .unwrap();
        for small in [
            ".env",
            "small.log",
            "src/main.rs",
            "sub/build/kept-because-anchored",
        ] {
            put(root, small, 10);
        }
        for out in [
            "node_modules/a/index.js",
            "sub/target/debug/x",
            "build/o",
            ".venv/bin/python",
            "src/__pycache__/m.pyc",
        ] {
            put(root, out, 10);
        }
        put(root, "big.log", 2 * MIB);
        put(root, "keep.log", 2 * MIB);
        put(root, "big.dat", 2 * MIB);
        put(root, "dist/bundle.js", 10);
        // A file of a left-out directory's name is a file.
        put(root, "docs/target", 10);
        fs::create_dir_all(root.join("sub/deep")).unwrap();
        fs::write(root.join("sub/deep/.gitignore"), "!data.bin\nlocal/\n").unwrap();
        put(root, "sub/deep/data.bin", 2 * MIB);
        put(root, "sub/deep/local/f", 10);
        put(root, "data.bin", MIB);
    })
    .scanned();
    assert_eq!(
        leaves(&project),
        [
            ".env",
            ".gitignore",
            "big.dat",
            "data.bin",
            "dist/bundle.js",
            "docs/target",
            "keep.log",
            "small.log",
            "src/main.rs",
            "sub/build/kept-because-anchored",
            "sub/deep/.gitignore",
            "sub/deep/data.bin",
        ]
    );
    // Asked path by path, without a walk, the rules say the same.
    let r = &project.recorder;
    assert!(r.leaves_out(&p("x/node_modules"), true, 0));
    assert!(r.leaves_out(&p("x/node_modules/y"), false, 0));
    assert!(!r.leaves_out(&p("x/node_modules"), false, 0));
    assert!(r.leaves_out(&p("x/y.log"), false, MIB as u64 + 1));
    assert!(!r.leaves_out(&p("x/y.log"), false, MIB as u64));
}

#[test]
fn git_directories_and_files_are_never_captured() {
    let project = Project::with(|root| {
        put(root, ".git/config", 5);
        put(root, "nested/.git/HEAD", 5);
        put(root, "nested/f", 5);
        fs::create_dir_all(root.join("module")).unwrap();
        fs::write(root.join("module/.git"), "gitdir: ../.git/modules/module").unwrap();
        put(root, "module/f", 5);
        fs::write(
            root.join("backtrail.toml"),
            "[capture]\nall = true\ninclude = [\".git/\"]\n",
        )
        .unwrap();
        put(root, "node_modules/x", 5);
    })
    .scanned();
    assert_eq!(
        leaves(&project),
        ["backtrail.toml", "module/f", "nested/f", "node_modules/x"]
    );
    let hand = project.hand("git");
    hand.write(".git/index", b"x").unwrap();
    assert_eq!(project.recorder.dirty(), 0, ".git never triggers anything");
}

#[test]
fn what_git_tracks_is_kept() {
    let project = Project::with(|root| {
        fs::write(root.join(".gitignore"), "out/\n*.bin\n").unwrap();
        for f in [
            "out/tracked/a",
            "out/tracked/b",
            "out/c",
            "node_modules/own.js",
        ] {
            put(root, f, 5);
        }
        put(root, "tracked.bin", 2 * MIB);
        put(root, "other.bin", 2 * MIB);
    });
    if !git(&project.root, &["init", "-q"]) {
        eprintln!("skipped: git is not installed");
        return;
    }
    let add = [
        "add",
        "-f",
        "out/tracked/a",
        "node_modules/own.js",
        "tracked.bin",
    ];
    assert!(git(&project.root, &add));
    // The recorder reads the index when it is opened: this is a later start.
    let recorder = project.reopened();
    recorder.start_scan(std::sync::Arc::new(ByWriter));
    assert!(recorder.wait_scan(std::time::Duration::from_secs(60)));
    let state = unfold(&project.store, recorder.head().unwrap().1);
    let files: Vec<&[u8]> = state
        .iter()
        .filter(|(_, t)| !t.starts_with("dir"))
        .map(|(p, _)| &**p)
        .collect();
    assert_eq!(
        files,
        [
            &b".gitignore"[..],
            b"node_modules/own.js",
            b"out/tracked/a",
            b"tracked.bin"
        ]
    );
}

#[test]
fn adding_to_gits_index_brings_a_file_in() {
    let project = Project::with(|root| {
        fs::write(root.join(".gitignore"), "out/\n").unwrap();
        put(root, "out/a", 5);
        put(root, "out/b", 5);
    });
    if !git(&project.root, &["init", "-q"]) {
        eprintln!("skipped: git is not installed");
        return;
    }
    let recorder = project.reopened();
    let cut = |recorder: &backtrail::capture::recorder::Recorder| {
        recorder
            .cut(backtrail::capture::recorder::Cut {
                cause: backtrail::model::Cause::Manual,
                message: None,
                swap: &|f| f(),
                flush: &|_| {},
                attribution: &ByWriter,
                session: None,
            })
            .unwrap()
    };
    cut(&recorder);
    assert!(recorder.is_left_out(&p("out/a")));
    assert!(git(&project.root, &["add", "-f", "out/a"]));
    let made = cut(&recorder);
    assert_eq!(made.commits.len(), 1);
    let state = unfold(&project.store, recorder.head().unwrap().1);
    assert!(state.contains_key(&b"out/a"[..]) && !state.contains_key(&b"out/b"[..]));
}

#[test]
fn settings_include_and_exclude() {
    let project = Project::with(|root| {
        fs::write(
            root.join("backtrail.toml"),
            "[capture]\ninclude = [\"node_modules/mine/\", \"*.core\"]\nexclude = [\"*.iso\", \"/private/\"]\n",
        )
        .unwrap();
        fs::write(root.join(".gitignore"), "*.core\n").unwrap();
        for f in [
            "node_modules/mine/a.js",
            "node_modules/mine/sub/b.js",
            "node_modules/other/a.js",
            "disk.iso",
            "private/key",
            "sub/private/kept",
        ] {
            put(root, f, 5);
        }
        put(root, "crash.core", 2 * MIB);
    })
    .scanned();
    assert_eq!(
        leaves(&project),
        [
            ".gitignore",
            "backtrail.toml",
            "crash.core",
            "node_modules/mine/a.js",
            "node_modules/mine/sub/b.js",
            "sub/private/kept",
        ]
    );
    // A change of the settings holds from the next checkpoint on; its author is theirs who wrote them.
    let hand = project.hand("vim");
    hand.write(
        "backtrail.toml",
        b"[capture]\nexclude = [\"*.core\"]\ncolour = 1\n",
    )
    .unwrap();
    let made = project.cut();
    assert!(
        made.problems.iter().any(|t| t.contains("colour")),
        "{:?}",
        made.problems
    );
    assert_eq!(made.commits.len(), 1, "one author");
    assert_eq!(
        leaves(&project),
        [
            ".gitignore",
            "backtrail.toml",
            "disk.iso",
            "private/key",
            "sub/private/kept",
        ]
    );
    hand.write("backtrail.toml", b"[capture").unwrap();
    let made = project.cut();
    assert!(made.problems.iter().any(|t| t.contains("not understood")));
    assert!(!leaves(&project).contains(&"crash.core".to_owned()));
}

#[test]
fn a_changed_gitignore_lets_out_and_in() {
    let project = Project::with(|root| {
        put(root, "gen/a", 5);
        put(root, "gen/sub/b", 5);
        put(root, "app/gen/c", 5);
        put(root, "app/big.dat", 2 * MIB);
        put(root, "app/src/d", 5);
    })
    .scanned();
    assert_eq!(leaves(&project).len(), 5);
    let hand = project.hand("agent");
    hand.write(".gitignore", b"gen/\n*.dat\n").unwrap();
    let made = project.cut();
    assert_eq!(leaves(&project), [".gitignore", "app/src/d"]);
    assert_eq!(made.commits.len(), 1);
    assert_eq!(
        project.store.commit(made.commits[0]).unwrap().author,
        "agent"
    );
    // What is done in there now is nobody's business.
    hand.write("gen/a", b"other").unwrap();
    hand.write("gen/new", b"new").unwrap();
    assert!(project.cut().commits.is_empty());

    hand.write("app/.gitignore", b"!gen/\n!*.dat\n").unwrap();
    project.cut();
    assert_eq!(
        leaves(&project),
        [
            ".gitignore",
            "app/.gitignore",
            "app/big.dat",
            "app/gen/c",
            "app/src/d"
        ]
    );
    // A directory is judged anew under its new name, with all below.
    hand.rename("app", "bpp", false).unwrap();
    hand.write(".gitignore", b"/bpp/src/\n").unwrap();
    project.cut();
    assert_eq!(
        leaves(&project),
        [
            ".gitignore",
            "bpp/.gitignore",
            "bpp/big.dat",
            "bpp/gen/c",
            "gen/a",
            "gen/new",
            "gen/sub/b"
        ]
    );
    hand.rename("bpp", "app", false).unwrap();
    project.cut();
    assert!(leaves(&project).contains(&"app/src/d".to_owned()));
    hand.unlink(".gitignore").unwrap();
    project.cut();
    assert_same(&project.head_state(), &walk(&project.root, &[]), "no rules");
}

#[test]
fn past_states_bring_their_own_rules() {
    let project = Project::with(|root| {
        fs::write(root.join(".gitignore"), "old/\n").unwrap();
        fs::create_dir(root.join("sub")).unwrap();
        fs::write(root.join("sub/.gitignore"), "deep/\n").unwrap();
        fs::write(
            root.join("backtrail.toml"),
            "[capture]\nexclude = [\"x/\"]\n",
        )
        .unwrap();
    })
    .scanned();
    let then = project.head_tree();
    let hand = project.hand("agent");
    hand.write(".gitignore", b"new/\n").unwrap();
    hand.unlink("sub/.gitignore").unwrap();
    hand.unlink("backtrail.toml").unwrap();
    project.cut();
    let now = project.head_tree();
    for rules in [
        Rules::of_tree(&project.store, then).unwrap(),
        project.recorder.rules_then(then).unwrap(),
    ] {
        let out = |path: &str| rules.leaves_out(&p(path), false, 1);
        assert!(out("old/f") && out("sub/deep/f") && out("x/f") && out("node_modules/f"));
        assert!(!out("new/f") && !out("deep/f"));
    }
    let rules = Rules::of_tree(&project.store, now).unwrap();
    assert!(rules.leaves_out(&p("new/f"), false, 1));
    assert!(rules.captures(&p("old/f"), false, 1) && rules.captures(&p("x"), true, 0));
    assert!(project.recorder.leaves_out(&p("new"), true, 0));
    assert!(!project.recorder.leaves_out(&p("sub/deep"), true, 0));
    assert!(rules.captures(&RepoPath::root(), true, 0));
}

#[test]
fn a_project_below_the_repositorys_top_obeys_its_rules() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().join("mono");
    put(&top, "app/src/a", 5);
    put(&top, "app/gen/tracked", 5);
    put(&top, "app/gen/other", 5);
    put(&top, "app/tmp/f", 5);
    fs::write(top.join(".gitignore"), "gen/\n/app/tmp/\n/src/\n").unwrap();
    if !git(&top, &["init", "-q"]) {
        eprintln!("skipped: git is not installed");
        return;
    }
    assert!(git(&top, &["add", "-f", "app/gen/tracked"]));
    let store =
        std::sync::Arc::new(backtrail::store::Store::open(&dir.path().join("store")).unwrap());
    let recorder = backtrail::capture::recorder::Recorder::open(
        store,
        &top.join("app"),
        backtrail::capture::recorder::Settings::default(),
    )
    .unwrap();
    let out = |path: &str| recorder.leaves_out(&p(path), false, 1);
    assert!(!out("src/a") && !out("gen/tracked"));
    assert!(out("gen/other") && out("tmp/f"));
}
