//! Exports held against git itself: patches that it applies, branches whose last tree is the exported state, and a
//! repository that is otherwise left as it was.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{Place, fuse};

fn git_command(dir: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C")
        .arg(dir)
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env_remove("GIT_DIR");
    git
}

/// What git prints; it must end well.
fn git<S: AsRef<OsStr>>(dir: &Path, args: impl IntoIterator<Item = S>) -> String {
    let out = git_command(dir).args(args).output().unwrap();
    assert!(out.status.success(), "{}", said(&out));
    String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
}

fn said(out: &Output) -> String {
    format!(
        "{}\n{}\n{}",
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

/// The tree of what is in the working directory, by a throw-away index; with `force` what is ignored is in it.
fn tree_of(place: &Place, force: bool) -> String {
    let index = place.path("index-of-test");
    let _ = std::fs::remove_file(&index);
    let run = |args: &[&str]| {
        let out = git_command(&place.project)
            .env("GIT_INDEX_FILE", &index)
            .args(args)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", said(&out));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    };
    // What is tracked stays so, whatever the rules say.
    run(&["read-tree", "HEAD"]);
    run(if force {
        &["add", "-A", "-f", "."]
    } else {
        &["add", "-A", "."]
    });
    run(&["write-tree"])
}

fn at(dir: &Path, name: &[u8]) -> PathBuf {
    dir.join(OsStr::from_bytes(name))
}

fn put(place: &Place, name: &[u8], content: &[u8], mode: u32) {
    let path = at(&place.project, name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Bytes that no deflating makes short.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    (0..len)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33).to_le_bytes()[0]
        })
        .collect()
}

const ODD: &[u8] = b"d/a \"b\"\t\\\x01\xff";

/// A repository with one commit of all kinds of files, known to Backtrail, and then changed in every way.
fn changed() -> Place {
    let place = Place::new();
    git(&place.project, ["init", "-q", "-b", "main"]);
    let lines: String = (0..60).map(|n| format!("line {n}\n")).collect();
    for (name, content, mode) in [
        (&b"plain.txt"[..], lines.as_bytes(), 0o644),
        (ODD, b"caf\xe9\nno end", 0o644),
        (b"old name.txt", b"the same in both\n", 0o644),
        (b"run.sh", b"#!/bin/sh\n", 0o644),
        (b"both.sh", b"#!/bin/sh\n", 0o755),
        (b"image", &noise(5000, 1), 0o644),
        (b"gone image", &noise(300, 2), 0o644),
        (b"gone", b"bye\n", 0o644),
        (b"empty then not", b"", 0o644),
        (b"crlf.txt", b"one\r\ntwo\r\n", 0o644),
        (b"file then link", b"text\n", 0o644),
        (b"file then dir", b"text\n", 0o644),
        (b"dir then file/a/b", b"deep\n", 0o644),
        (b"dir then file/c", b"less\n", 0o644),
        (
            b"late nul",
            &[&[b'x'; 9000][..], b"\0\nend\n"].concat(),
            0o644,
        ),
    ] {
        put(&place, name, content, mode);
    }
    symlink("plain.txt", at(&place.project, b"link")).unwrap();
    symlink("image", at(&place.project, b"link then file")).unwrap();
    git(&place.project, ["add", "-A"]);
    git(&place.project, ["commit", "-q", "-m", "first"]);
    place.ok(&["init"]);

    let p = &place.project;
    put(
        &place,
        b"plain.txt",
        lines
            .replace("line 7\n", "")
            .replace("line 50\n", "fifty\n")
            .as_bytes(),
        0o644,
    );
    put(&place, ODD, b"caf\xe8\nno end still", 0o755);
    std::fs::rename(
        at(p, b"old name.txt"),
        at(p, "new \u{2192} name".as_bytes()),
    )
    .unwrap();
    put(&place, b"run.sh", b"#!/bin/sh\n", 0o755);
    put(&place, b"both.sh", b"#!/bin/bash\n", 0o644);
    put(&place, b"image", &noise(7000, 3), 0o644);
    std::fs::remove_file(at(p, b"gone image")).unwrap();
    std::fs::remove_file(at(p, b"gone")).unwrap();
    put(&place, b"empty then not", b"\n", 0o644);
    put(&place, b"new empty", b"", 0o644);
    put(
        &place,
        b"new image",
        &[&[0], noise(60, 4).as_slice()].concat(),
        0o755,
    );
    put(&place, b"crlf.txt", b"one\r\ntwo\nthree\r\n", 0o644);
    std::fs::remove_file(at(p, b"file then link")).unwrap();
    symlink(
        OsStr::from_bytes(b"to\nodd \\x41\xff"),
        at(p, b"file then link"),
    )
    .unwrap();
    std::fs::remove_file(at(p, b"file then dir")).unwrap();
    put(&place, b"file then dir/x", b"inside\n", 0o644);
    std::fs::remove_dir_all(at(p, b"dir then file")).unwrap();
    put(&place, b"dir then file", b"flat\n", 0o644);
    put(
        &place,
        b"late nul",
        &[&[b'x'; 9000][..], b"\0\nother\n"].concat(),
        0o644,
    );
    put(&place, b"two\nlines", b"odd\n", 0o644);
    put(&place, b" leading and trailing ", b"odd\n", 0o644);
    put(&place, b"-rf", b"odd\n", 0o644);
    std::fs::remove_file(at(p, b"link")).unwrap();
    symlink(OsStr::from_bytes(b"\xfe\\n"), at(p, b"link")).unwrap();
    std::fs::remove_file(at(p, b"link then file")).unwrap();
    put(&place, b"link then file", b"a file\n", 0o644);
    std::fs::create_dir(at(p, b"void")).unwrap();
    place
}

/// A clone of the repository's first commit, to apply patches in.
fn clone(place: &Place) -> PathBuf {
    let there = place.path("clone");
    let _ = std::fs::remove_dir_all(&there);
    git(
        &place.project,
        [
            "clone",
            "-q",
            "-c",
            "core.autocrlf=false",
            ".",
            there.to_str().unwrap(),
        ],
    );
    there
}

#[test]
fn git_applies_a_patch_of_everything_to_the_same_tree() {
    let place = changed();
    let said_of_it = place.ok(&["export", "--patch", "../all.patch"]);
    assert!(said_of_it.contains("all.patch: "), "{said_of_it}");
    let expected = tree_of(&place, false);
    let there = clone(&place);
    git(
        &there,
        ["apply", "--index", "--whitespace=nowarn", "../all.patch"],
    );
    assert_eq!(git(&there, ["write-tree"]), expected);
    let patch = std::fs::read(place.path("all.patch")).unwrap();
    let text = String::from_utf8_lossy(&patch);
    assert_eq!(text.matches("GIT binary patch\n").count(), 4, "{text}");
    assert!(text.contains("# new dir: void\n"), "{text}");
    assert!(text.contains("similarity index 100%\n"), "{text}");
    let mode = std::fs::metadata(place.path("all.patch"))
        .unwrap()
        .permissions()
        .mode();
    assert_ne!(mode & 0o044, 0, "others may read it: {mode:o}");

    // To standard output it is the same, and back it goes.
    let out = place.bt(&["export", "@", "--patch", "-"]);
    assert!(out.status.success(), "{}", said(&out));
    assert_eq!(out.stdout, patch);
    git(
        &there,
        [
            "apply",
            "--index",
            "-R",
            "--whitespace=nowarn",
            "../all.patch",
        ],
    );
    // A link that became a file comes back as a file: so it does from git's own patches.
    assert_eq!(
        git(&there, ["diff", "--cached", "--name-only", "HEAD"]),
        "link then file"
    );

    // What cannot be written says so, and leaves nothing.
    let out = place.bt(&["export", "--patch", "no/such/dir/x"]);
    assert_eq!(out.status.code(), Some(1), "{}", said(&out));
    let out = place.bt(&["export"]);
    assert_eq!(out.status.code(), Some(2), "{}", said(&out));
}

/// What must not change: HEAD, the index, every other ref, the files.
fn untouched(place: &Place) -> (String, Vec<u8>, String, common::Tree) {
    let dot = place.project.join(".git");
    (
        std::fs::read_to_string(dot.join("HEAD")).unwrap(),
        std::fs::read(dot.join("index")).unwrap(),
        git(
            &place.project,
            [
                "for-each-ref",
                "--format=%(refname) %(objectname)",
                "refs/heads/main",
                "refs/tags",
                "refs/backtrail",
            ],
        ),
        common::walk(&place.project, &[]),
    )
}

#[test]
fn a_branch_ends_with_the_state_and_nothing_else_moves() {
    let place = changed();
    // Whatever the repository's configuration and hooks would run must not be run.
    let mark = place.path("hook-ran");
    let script = format!("#!/bin/sh\ntouch {}\n", mark.display());
    for hook in [
        "reference-transaction",
        "post-commit",
        "pre-auto-gc",
        "post-checkout",
    ] {
        put(
            &place,
            format!(".git/hooks/{hook}").as_bytes(),
            script.as_bytes(),
            0o755,
        );
    }
    put(
        &place,
        b".git/own-hooks/reference-transaction",
        script.as_bytes(),
        0o755,
    );
    git(
        &place.project,
        ["config", "core.hooksPath", ".git/own-hooks"],
    );
    git(
        &place.project,
        [
            "config",
            "core.fsmonitor",
            &format!("touch {}", mark.display()),
        ],
    );
    place.ok(&["checkpoint"]);
    let before = untouched(&place);
    let _ = std::fs::remove_file(&mark);

    let made = place.json(&["export", "--git-branch", "from/backtrail", "--json"]);
    assert!(!mark.exists(), "a hook ran");
    let p = &place.project;
    let commit = made[0]["commit"].as_str().unwrap();
    assert_eq!(made[0]["start"], "fits", "{made:?}");
    assert_eq!(
        git(
            p,
            [
                "-c",
                "core.hooksPath=/dev/null",
                "-c",
                "core.fsmonitor=false",
                "rev-parse",
                "from/backtrail"
            ]
        ),
        commit
    );
    git(p, ["config", "--unset", "core.fsmonitor"]);
    git(p, ["config", "--unset", "core.hooksPath"]);
    std::fs::remove_dir_all(p.join(".git/hooks")).unwrap();
    assert_eq!(untouched(&place), before);
    assert_eq!(
        git(p, ["rev-parse", "from/backtrail^{tree}"]),
        tree_of(&place, false)
    );
    assert_eq!(
        git(p, ["rev-parse", "from/backtrail~1"]),
        git(p, ["rev-parse", "HEAD"])
    );
    git(p, ["fsck", "--strict", "--no-dangling"]);
    let left = std::fs::read_dir(p.join(".git")).unwrap();
    let left: Vec<_> = left.map(|e| e.unwrap().file_name()).collect();
    assert!(
        !left.iter().any(|n| n.to_string_lossy().contains("crash")),
        "{left:?}"
    );

    // The same again is the same commit; a name that is taken is refused, and --force moves it.
    let out = place.bt(&["export", "--git-branch", "from/backtrail"]);
    assert!(
        !out.status.success() && said(&out).contains("--force"),
        "{}",
        said(&out)
    );
    let again = place.json(&[
        "export",
        "--git-branch",
        "from/backtrail",
        "--force",
        "--json",
    ]);
    assert_eq!(again[0]["commit"], commit);
    assert_eq!(again[0]["replaced"], commit);
    for bad in ["main", "-x", "a..b", "from/backtrail/x", "sp ace", ""] {
        let out = place.bt(&["export", &format!("--git-branch={bad}"), "--force"]);
        assert!(!out.status.success(), "{bad} was taken");
    }
    assert_eq!(
        git(p, ["for-each-ref", "--format=%(refname)"]),
        "refs/heads/from/backtrail\nrefs/heads/main"
    );
}

#[test]
fn what_git_ignores_stays_behind_unless_it_is_tracked() {
    let place = Place::new();
    git(&place.project, ["init", "-q", "-b", "main"]);
    put(&place, b".gitignore", b"*.log\n.env\n", 0o644);
    put(&place, b"tracked.log", b"1\n", 0o644);
    put(&place, b".env", b"KEY=secret\n", 0o600);
    put(&place, b"a", b"1\n", 0o644);
    git(&place.project, ["add", "-A"]);
    git(&place.project, ["add", "-f", "tracked.log"]);
    git(&place.project, ["commit", "-q", "-m", "first"]);
    place.ok(&["init"]);
    put(&place, b"tracked.log", b"2\n", 0o644);
    put(&place, b".env", b"KEY=other\n", 0o600);
    put(&place, b"a", b"2\n", 0o644);
    put(&place, b"sub/.gitignore", b"local\n", 0o644);
    put(&place, b"sub/local", b"mine\n", 0o644);
    place.ok(&["checkpoint", "-m", "Work on \x1b[31ma"]);
    // The rules that hold are those of the exported state.
    std::fs::remove_file(at(&place.project, b"sub/.gitignore")).unwrap();

    let made = place.json(&["export", "@", "--git-branch", "x", "--json"]);
    assert_eq!(made[0]["left_out"]["ignored"], 2, "{made:?}");
    let p = &place.project;
    assert_eq!(
        git(p, ["ls-tree", "-r", "--name-only", "x"]),
        ".gitignore\na\nsub/.gitignore\ntracked.log"
    );
    assert_eq!(git(p, ["show", "x:tracked.log"]), "2");
    // It was asked for when all was committed already: what it says goes along.
    let message = git(p, ["log", "-1", "--format=%B", "x"]);
    assert!(
        message.contains("Checkpoint: Work on \\x1b[31ma\n"),
        "{message}"
    );
    let text = place.ok(&["export", "@", "--patch", "../p"]);
    assert!(
        text.contains("left out: 2 files that git ignores"),
        "{text}"
    );
    assert!(
        !String::from_utf8(std::fs::read(place.path("p")).unwrap())
            .unwrap()
            .contains("KEY")
    );
    place.ok(&[
        "export",
        "@",
        "--git-branch",
        "all",
        "--ignored",
        "--patch",
        "../p",
    ]);
    assert_eq!(git(p, ["show", "all:.env"]), "KEY=other");
    assert_eq!(git(p, ["show", "all:sub/local"]), "mine");
    assert!(
        String::from_utf8(std::fs::read(place.path("p")).unwrap())
            .unwrap()
            .contains("+KEY=other")
    );
}

#[test]
fn a_head_that_does_not_fit_gets_a_first_commit_of_the_difference() {
    let place = Place::new();
    let p = place.project.clone();
    put(&place, b"a", b"1\n", 0o644);
    put(&place, b"b", b"1\n", 0o644);
    // Without a repository.
    place.ok(&["init"]);
    put(&place, b"a", b"2\n", 0o644);
    place.ok(&["checkpoint", "-m", "two"]);
    let out = place.bt(&["export", "--git-branch", "x"]);
    assert!(
        !out.status.success() && said(&out).contains("is not a repository"),
        "{}",
        said(&out)
    );
    place.ok(&["export", "--patch", "../without"]);

    // With one that has no commit.
    git(&p, ["init", "-q", "-b", "main"]);
    let out = place.bt(&["export", "--git-branch", "main"]);
    assert!(
        !out.status.success() && said(&out).contains("is on"),
        "{}",
        said(&out)
    );
    let text = place.ok(&["export", "--git-branch", "orphan"]);
    assert!(text.contains("begins at nothing"), "{text}");
    assert_eq!(
        git(&p, ["log", "--format=%s", "--reverse", "orphan"])
            .lines()
            .count(),
        2
    );
    assert_eq!(git(&p, ["show", "orphan~1:a"]), "1");
    assert_eq!(git(&p, ["show", "orphan:a"]), "2");

    // With a commit of other files, made later than the base: it is what the first commit begins with.
    put(&place, b"b", b"other\n", 0o644);
    put(&place, b"extra", b"e\n", 0o644);
    git(&p, ["add", "b", "extra"]);
    git(&p, ["commit", "-q", "-m", "other"]);
    let made = place.json(&["export", "@", "--git-branch", "x", "--json"]);
    assert_eq!(made[0]["start"], "difference", "{made:?}");
    assert_eq!(
        (&made[0]["changed"], &made[0]["removed"]),
        (&2.into(), &1.into())
    );
    assert_eq!(
        git(&p, ["rev-parse", "x~2"]),
        git(&p, ["rev-parse", "HEAD"])
    );
    assert_eq!(git(&p, ["ls-tree", "-r", "--name-only", "x"]), "a\nb");

    // A repository whose HEAD has moved on since the base.
    let moved = Place::new();
    let p = &moved.project;
    git(p, ["init", "-q", "-b", "main"]);
    put(&moved, b"a", b"1\n", 0o644);
    git(p, ["add", "-A"]);
    let date = "@1700000000 +0000";
    let out = git_command(p)
        .args(["commit", "-q", "-m", "old"])
        .env("GIT_COMMITTER_DATE", date)
        .env("GIT_AUTHOR_DATE", date)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", said(&out));
    moved.ok(&["init"]);
    put(&moved, b"a", b"2\n", 0o644);
    moved.ok(&["checkpoint", "-m", "two"]);
    let later = "@4000000000 +0000";
    let out = git_command(p)
        .args(["commit", "-q", "-a", "-m", "later"])
        .env("GIT_COMMITTER_DATE", later)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", said(&out));
    let made = moved.json(&["export", "--git-branch", "x", "--json"]);
    assert_eq!(
        (&made[0]["start"], &made[0]["head"]),
        (&"fits".into(), &false.into()),
        "{made:?}"
    );
    assert_eq!(
        git(p, ["rev-parse", "x~1"]),
        git(p, ["rev-parse", "main~1"])
    );
    let out = moved.bt(&["export", "@", "--from", "@", "--git-branch", "y"]);
    // HEAD is what the base is: nothing is left to be said.
    assert!(
        !out.status.success() && said(&out).contains("nothing differs"),
        "{}",
        said(&out)
    );
}

#[test]
fn a_project_below_the_top_of_its_repository() {
    let place = Place::new();
    let top = place.path("");
    let top = top.as_path();
    put(&place, b"a", b"1\n", 0o644);
    put(&place, b"win.txt", b"one\r\ntwo\r\n", 0o644);
    // Known before there is a repository around it.
    place.ok(&["init"]);
    git(top, ["init", "-q", "-b", "main"]);
    std::fs::write(top.join("outside"), "o\n").unwrap();
    std::fs::write(top.join(".gitignore"), "*.tmp\n").unwrap();
    git(
        top,
        [
            "-c",
            "core.autocrlf=true",
            "add",
            "project",
            "outside",
            ".gitignore",
        ],
    );
    git(top, ["commit", "-q", "-m", "first"]);
    put(&place, b"a", b"2\n", 0o644);
    put(&place, b"win.txt", b"one\r\n2\r\n", 0o644);
    put(&place, b"x.tmp", b"t\n", 0o644);
    let made = place.json(&["export", "--git-branch", "x", "--json"]);
    assert_eq!(made[0]["start"], "fits", "{made:?}");
    assert_eq!(made[0]["line_ends"], 1);
    assert_eq!(
        git(top, ["ls-tree", "-r", "--name-only", "x"]),
        ".gitignore\noutside\nproject/a\nproject/win.txt"
    );
    assert_eq!(git(top, ["cat-file", "-s", "x:project/win.txt"]), "6");
    let out = place.bt(&["export", "--patch", "-"]);
    assert!(
        said(&out).contains("--directory=project/"),
        "{}",
        said(&out)
    );
    git(top, ["checkout", "-q", "--", "project/a"]);
    std::fs::write(top.join("p"), &out.stdout).unwrap();
    git(
        top,
        ["apply", "--include=project/a", "--directory=project/", "p"],
    );
    assert_eq!(std::fs::read(place.project.join("a")).unwrap(), b"2\n");
}

/// Two turns of an agent with thoughts and calls, and an edit from outside between them.
const TWO_TURNS: &str = r#"
say() { printf '%s\n' "$1" | $BT emit; }
say '{"type":"prompt","text":"Make \u001b[31ma say two\nSigned-off-by: Mallory <m@example.com>"}'
say '{"type":"thought","text":"First look,\nthen write."}'
say '{"type":"call","id":"c1","name":"Write","input":{"file_path":"a","content":"2"}}'
echo 2 > a
say '{"type":"result","id":"c1"}'
say '{"type":"call","id":"c2","name":"Bash","input":{"command":"echo b > b"}}'
echo b > b
say '{"type":"result","id":"c2","exit_code":3}'
say '{"type":"prompt","text":"Now three"}'
say '{"type":"call","id":"c3","name":"Write","input":{"file_path":"a","content":"3"}}'
echo 3 > a
say '{"type":"result","id":"c3"}'
"#;

#[test]
fn one_commit_for_each_turn_or_step_with_its_reasons() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    let p = place.project.clone();
    git(&p, ["init", "-q", "-b", "main"]);
    put(&place, b"a", b"1\n", 0o644);
    git(&p, ["add", "-A"]);
    git(&p, ["commit", "-q", "-m", "first"]);
    let out = place
        .command([
            "run",
            "--agent",
            "claude <x>",
            "--",
            "sh",
            "-euc",
            TWO_TURNS,
        ])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", said(&out));
    let head = git(&p, ["rev-parse", "HEAD"]);

    let made = place.json(&["export", "--git-branch", "turns", "--json"]);
    assert_eq!(
        (&made[0]["commits"], &made[0]["start"]),
        (&2.into(), &"fits".into()),
        "{made:?}"
    );
    assert_eq!(
        git(
            &p,
            ["log", "--reverse", "--format=%s|%an|%ae", "main..turns"]
        ),
        "Make \\x1b[31ma say two|claude x|claude-x@backtrail.invalid\nNow three|claude x|claude-x@backtrail.invalid"
    );
    assert_eq!(git(&p, ["rev-parse", "turns~2"]), head);
    let message = git(&p, ["log", "-1", "--format=%B", "turns~1"]);
    for part in [
        "    Make \\x1b[31ma say two\n    Signed-off-by: Mallory",
        "    First look,\n    then write.\n",
        "    command: echo b > b\n",
        ", exit 3)",
    ] {
        assert!(message.contains(part), "{part:?} in\n{message}");
    }
    assert!(!message.contains('\x1b'));
    let trailers = git(
        &p,
        ["log", "-1", "--format=%(trailers:only,unfold)", "turns~1"],
    );
    let keys: Vec<&str> = trailers
        .lines()
        .filter_map(|l| l.split(':').next())
        .collect();
    assert_eq!(
        keys,
        ["Backtrail-Step", "Backtrail-Session", "Backtrail-Commit"],
        "{trailers}"
    );
    let tip = git(
        &p,
        [
            "log",
            "-1",
            "--format=%(trailers:key=Backtrail-Commit,valueonly)",
            "turns",
        ],
    );
    let log = place.json(&["log", "--json"]);
    assert_eq!(log[0]["id"].as_str().unwrap(), tip.trim());
    // The dates are those of the steps, so that the same export is the same commit.
    let when: i64 = git(&p, ["log", "-1", "--format=%at", "turns"])
        .parse()
        .unwrap();
    let text = log[0]["time"].to_string();
    let time = backtrail::model::Time::parse(text.trim_matches('"'))
        .map_or_else(|| text.parse::<i64>().unwrap(), |t| t.0);
    assert_eq!(when, time.div_euclid(1_000_000), "{text}");

    let made = place.json(&["export", "--git-branch", "steps", "--per", "step", "--json"]);
    assert_eq!(made[0]["commits"], 3, "{made:?}");
    let subjects = git(&p, ["log", "--reverse", "--format=%s", "main..steps"]);
    let subjects: Vec<&str> = subjects.lines().collect();
    assert!(subjects[0].starts_with("Write"), "{subjects:?}");
    assert!(subjects[1].starts_with("Bash"), "{subjects:?}");
    assert_eq!(
        git(&p, ["rev-parse", "steps^{tree}"]),
        git(&p, ["rev-parse", "turns^{tree}"])
    );
    assert_eq!(git(&p, ["show", "steps~2:a"]), "2");

    // A branch is held against where it parted, and another base can be named.
    place.ok(&["branch", "create", "side", "call:c1"]);
    let text = place.ok(&["export", "side", "--patch", "-", "--from", "@"]);
    assert!(
        text.contains("-3\n+2\n") && text.contains("deleted file"),
        "{text}"
    );
    place.ok(&["switch", "side"]);
    put(&place, b"s", b"side\n", 0o644);
    place.ok(&["checkpoint", "-m", "on the side"]);
    place.ok(&["switch", "main"]);
    let text = place.ok(&["export", "side", "--patch", "-"]);
    assert_eq!(text.matches("diff --git").count(), 1, "{text}");
    let made = place.json(&["export", "side", "--git-branch", "side", "--json"]);
    assert_eq!(
        (&made[0]["commits"], &made[0]["start"]),
        (&2.into(), &"difference".into()),
        "{made:?}"
    );
    assert_eq!(git(&p, ["ls-tree", "-r", "--name-only", "side"]), "a\ns");
}

#[test]
fn a_recording_becomes_a_branch_of_the_repository_it_is_of() {
    let place = Place::new();
    let p = place.project.clone();
    let line = |n: u32, extra: serde_json::Value| {
        let mut line = serde_json::json!({
            "uuid": format!("00000000-0000-4000-8000-00000000000{n}"),
            "parentUuid": (n > 1).then(|| format!("00000000-0000-4000-8000-00000000000{}", n - 1)),
            "isSidechain": false, "userType": "external", "cwd": p.to_str().unwrap(),
            "sessionId": "5e551011-0000-4000-8000-000000000001", "version": "2.1.40", "gitBranch": "main",
            "timestamp": format!("2026-03-01T10:00:0{n}.000Z"),
        });
        for (key, value) in extra.as_object().unwrap() {
            line[key] = value.clone();
        }
        format!("{line}\n")
    };
    let call = |id: &str, path: &str, text: &str| {
        serde_json::json!({"type": "assistant", "message": {"id": id, "role": "assistant", "model": "m", "content": [
            {"type": "tool_use", "id": id, "name": "Write",
             "input": {"file_path": p.join(path).to_str().unwrap(), "content": text}}]}})
    };
    let done = |id: &str, path: &str, text: &str, kind: &str| {
        let full = p.join(path);
        serde_json::json!({"type": "user", "message": {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": id, "content": "ok"}]},
            "toolUseResult": {"type": kind, "filePath": full.to_str().unwrap(), "content": text,
                "structuredPatch": [], "originalFile": null}})
    };
    let trace: String = [
        line(1, serde_json::json!({"type": "user", "message": {"role": "user", "content": "Write two files"}})),
        line(2, call("t1", "new.txt", "new\n")),
        line(3, done("t1", "new.txt", "new\n", "create")),
        line(4, serde_json::json!({"type": "user", "message": {"role": "user", "content": "And one more"}})),
        line(5, call("t2", "sub/more.txt", "more\n")),
        line(6, done("t2", "sub/more.txt", "more\n", "create")),
    ]
    .concat();
    let file = place.path("trace.jsonl");
    std::fs::write(&file, trace).unwrap();
    let file = file.to_str().unwrap().to_owned();
    git(&p, ["init", "-q", "-b", "main"]);
    put(&place, b"kept", b"k\n", 0o644);
    git(&p, ["add", "-A"]);
    git(&p, ["commit", "-q", "-m", "first"]);

    let made = place.json(&["export", "--trace", &file, "--git-branch", "rec", "--json"]);
    assert_eq!(
        (&made[0]["commits"], &made[0]["start"]),
        (&2.into(), &"fits".into()),
        "{made:?}"
    );
    assert_eq!(
        git(&p, ["ls-tree", "-r", "--name-only", "rec"]),
        "kept\nnew.txt\nsub/more.txt"
    );
    assert_eq!(
        git(
            &p,
            [
                "log",
                "--reverse",
                "--format=%s %ad",
                "--date=format:%Y-%m-%d",
                "main..rec"
            ]
        ),
        "Write two files 2026-03-01\nAnd one more 2026-03-01"
    );
    place.ok(&["export", "--trace", &file, "--patch", "here.patch"]);
    let there = clone(&place);
    let patch = p.join("here.patch");
    git(&there, ["apply", "--index", patch.to_str().unwrap()]);
    assert_eq!(
        git(&there, ["write-tree"]),
        git(&p, ["rev-parse", "rec^{tree}"])
    );

    // Where its repository is elsewhere, it has to be named.
    let elsewhere = std::fs::read_to_string(&file)
        .unwrap()
        .replace(p.to_str().unwrap(), "/no/such/place");
    std::fs::write(&file, elsewhere).unwrap();
    let out = place.bt(&["export", "--trace", &file, "--git-branch", "two"]);
    assert!(
        !out.status.success() && said(&out).contains("--repo"),
        "{}",
        said(&out)
    );
    place.ok(&[
        "export",
        "--trace",
        &file,
        "--git-branch",
        "two",
        "--repo",
        ".",
    ]);
    assert_eq!(
        git(&p, ["rev-parse", "two^{tree}"]),
        git(&p, ["rev-parse", "rec^{tree}"])
    );
}

#[test]
fn messages_hold_no_secrets_and_other_names_for_branches_are_refused() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    let p = place.project.clone();
    git(&p, ["init", "-q", "-b", "main"]);
    put(&place, b"a", b"1\n", 0o644);
    git(&p, ["add", "-A"]);
    git(&p, ["commit", "-q", "-m", "first"]);
    let script = r##"
        printf '%s\n' '{"type":"prompt","text":"the db password: hunter22!"}' \
            '{"type":"call","id":"c","name":"Write","kind":"edit","input":{"path":"a","content":"# app\nDB_PASSWORD=swordfish9\n"}}' | "$BT" emit
        echo 2 > a
        printf '%s\n' '{"type":"result","id":"c"}' | "$BT" emit
    "##;
    let out = place.run(script);
    assert!(out.status.success(), "{}", said(&out));
    let told = place.ok(&["export", "--git-branch", "out"]);
    assert!(told.contains("taken out of the messages"), "{told}");
    let message = git(&p, ["log", "-1", "--format=%B", "out"]);
    assert!(
        message.contains("DB_PASSWORD=[redacted:password"),
        "{message}"
    );
    for secret in ["hunter22", "swordfish9"] {
        assert!(!message.contains(secret), "{message}");
    }

    // A name that stands for another branch would move that one.
    git(&p, ["branch", "victim", "main"]);
    git(
        &p,
        ["symbolic-ref", "refs/heads/alias", "refs/heads/victim"],
    );
    git(
        &p,
        ["symbolic-ref", "refs/heads/nowhere", "refs/heads/unborn"],
    );
    for bad in ["alias", "nowhere", "HEAD"] {
        let out = place.bt(&["export", "--git-branch", bad, "--force"]);
        assert!(!out.status.success(), "{bad} was taken");
    }
    assert_eq!(
        git(&p, ["rev-parse", "victim"]),
        git(&p, ["rev-parse", "main"])
    );
}
