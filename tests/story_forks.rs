//! A day with forks, as its user has it: three agents beside each other, scored; what two of them made is merged, with a
//! conflict that a model's proposal settles; the result is checked in its own view, landed in the project, and undone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

mod common;
#[allow(unused_imports, reason = "the story needs a part of it")]
mod llm_common;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use common::{Place, fuse, walk};
use llm_common::{FakeLlm, Say, Speaks, proposal};
use serde_json::Value;

/// What each agent does: it tells its prompt and its calls, and changes files at the project's own path.
const AGENT: &str = r#"
say() { printf '%s\n' "$1" | $BT emit; }
[ "$PWD" = "$WHERE" ]
say '{"type":"prompt","text":"make the price fair (attempt '$BACKTRAIL_FORK')"}'
say '{"type":"thought","text":"attempt '$BACKTRAIL_FORK' has its own idea of the rate"}'
say '{"type":"call","id":"c'$BACKTRAIL_FORK'","name":"Edit","kind":"edit","input":{"path":"price.sh"}}'
case $BACKTRAIL_FORK in
1) sed -i 's/^rate=.*/rate=30/' price.sh; echo 'tested at 30' > notes-1.md ;;
2) sed -i 's/^rate=.*/rate=20/; s/^floor=.*/floor=5/' price.sh; echo 'tested at 20' > notes-2.md ;;
3) sed -i 's/^rate=.*/rate=0/' price.sh; rm keep.txt ;;
esac
say '{"type":"result","id":"c'$BACKTRAIL_FORK'","output":"done"}'
git add -A && git -c user.name=a -c user.email=a@example.invalid commit -qm "attempt $BACKTRAIL_FORK"
[ "$(git rev-list --count HEAD)" = 2 ]
"#;

/// The score of a price list: what it prints, if it is sound.
const SCORE: &str = "[ -e keep.txt ] && sh price.sh";

const PRICE: &str = "#!/bin/sh\n# The price of things.\nrate=10\n\n# Nothing is cheaper.\nfloor=1\n\n[ $rate -ge $floor ] || exit 1\necho $((rate + floor))\n";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn said(out: &Output) -> String {
    format!(
        "{}\n{}\n{}",
        out.status,
        text(&out.stdout),
        text(&out.stderr)
    )
}

fn git(place: &Place, args: &[&str]) -> String {
    let out = std::process::Command::new("git")
        .args(["-c", "user.name=p", "-c", "user.email=p@example.invalid"])
        .args(args)
        .current_dir(&place.project)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", place.path("home"))
        .output()
        .unwrap();
    assert!(out.status.success(), "git {args:?}: {}", said(&out));
    text(&out.stdout)
}

fn branches(place: &Place) -> Vec<String> {
    let all = place.json(&["branch", "list", "--json"]);
    let names = all.iter().map(|b| b["name"].as_str().unwrap().to_owned());
    names.collect()
}

fn file(place: &Place, name: &str) -> PathBuf {
    place.project.join(name)
}

fn read(place: &Place, name: &str) -> String {
    std::fs::read_to_string(file(place, name)).unwrap()
}

fn race(place: &Place) -> Vec<Value> {
    let out = place
        .command([
            "fork",
            "@",
            "--count",
            "3",
            "--prefix",
            "try",
            "--run",
            AGENT,
            "--score",
            SCORE,
            "--keep",
            "2",
            "--timeout",
            "60s",
            "--json",
        ])
        .env("WHERE", place.project.canonicalize().unwrap())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", said(&out));
    let lines = text(&out.stdout);
    lines
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

#[test]
fn three_attempts_become_one_result_and_can_be_taken_back() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    std::fs::create_dir_all(place.path("home/.config/backtrail")).unwrap();
    place.write("price.sh", PRICE);
    place.write("keep.txt", "kept\n");
    git(&place, &["init", "-q"]);
    git(&place, &["add", "-A"]);
    git(&place, &["commit", "-qm", "first"]);
    place.ok(&["init"]);
    let before = walk(&place.project, &[]);

    // Three agents at once, at the same path; each commits into a repository of its own.
    let ran = race(&place);
    let by_name = |name: &str| {
        let found = ran.iter().find(|r| r["fork"] == name);
        found.unwrap_or_else(|| panic!("{name}: {ran:?}")).clone()
    };
    assert_eq!(ran.len(), 3, "{ran:?}");
    assert_eq!(by_name("try-1")["rank"], 1, "{ran:?}");
    assert_eq!(by_name("try-1")["score"]["number"], 31.0);
    assert_eq!(by_name("try-2")["rank"], 2);
    assert_eq!(by_name("try-2")["score"]["number"], 25.0);
    assert_eq!(by_name("try-3")["kept"], false);
    assert_eq!(branches(&place), ["main", "try-1", "try-2"]);
    assert_eq!(
        walk(&place.project, &[]),
        before,
        "the project is untouched"
    );

    // One line was changed by both, differently: a model proposes, from what both agents said they wanted.
    let llm = FakeLlm::start(Speaks::Anthropic, |seen| {
        for wanted in [
            "rate=30",
            "rate=20",
            "attempt 1 has its own idea",
            "attempt 2 has its own idea",
        ] {
            if !seen.text.contains(wanted) {
                return Say::Refuse(format!("{wanted:?} is missing in what I was told"));
            }
        }
        Say::proposals(&[proposal("rate=25\n", "The middle of both.", &[], "high")])
    });
    std::fs::write(place.path("home/.config/backtrail/config.toml"), llm.toml()).unwrap();
    let plain = place.bt(&["merge", "try-2", "--into", "try-1"]);
    assert_eq!(plain.status.code(), Some(1), "{}", said(&plain));
    assert!(text(&plain.stdout).contains("price.sh"), "{}", said(&plain));
    assert_eq!(read(&place, "price.sh"), PRICE, "nothing is written yet");
    place.ok(&["merge", "--abort"]);
    let merged = place.bt(&["merge", "try-2", "--into", "try-1", "--resolver", "llm"]);
    assert!(merged.status.success(), "{}", said(&merged));
    assert!(
        said(&merged).contains("unreviewed") && said(&merged).contains("price.sh"),
        "what nobody has looked at is told: {}",
        said(&merged)
    );
    assert_eq!(llm.requests().len(), 1);

    // Checked where it came about, not in the project.
    let checked = place.bt(&["run", "--branch", "try-1", "--", "sh", "-c", SCORE]);
    assert!(checked.status.success(), "{}", said(&checked));
    assert_eq!(text(&checked.stdout).trim(), "30", "25 and a floor of 5");
    assert_eq!(
        walk(&place.project, &[]),
        before,
        "the project is untouched"
    );

    // Landed, and taken back.
    let landed = place.bt(&["land", "try-1"]);
    assert!(landed.status.success(), "{}", said(&landed));
    assert_eq!(
        read(&place, "price.sh"),
        PRICE
            .replace("rate=10", "rate=25")
            .replace("floor=1", "floor=5")
    );
    assert_eq!(read(&place, "notes-1.md"), "tested at 30\n");
    assert_eq!(read(&place, "notes-2.md"), "tested at 20\n");
    assert!(file(&place, "keep.txt").exists());
    let mode = |at: PathBuf| std::fs::metadata(at).unwrap().permissions().mode();
    assert_eq!(
        mode(file(&place, "price.sh")),
        mode(file(&place, "keep.txt"))
    );
    assert_eq!(
        git(&place, &["rev-list", "--count", "HEAD"]).trim(),
        "1",
        "git is the user's"
    );
    place.ok(&["undo"]);
    assert_eq!(walk(&place.project, &[]), before, "landing is undone");
    place.ok(&["redo"]);
    assert_eq!(read(&place, "notes-2.md"), "tested at 20\n");

    // The loser can be had back.
    assert!(!branches(&place).contains(&"try-3".to_owned()));
    let faults = place.ok(&["verify"]);
    assert!(!faults.contains("fault"), "{faults}");
}

/// What copies permissions as a list of access rights must not leave other ones, nor show other ones for a while.
#[test]
fn an_edit_in_place_keeps_the_permissions() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("a.sh", "one\n");
    std::fs::set_permissions(file(&place, "a.sh"), std::fs::Permissions::from_mode(0o754)).unwrap();
    let script = "sed -i s/one/two/ a.sh; stat -c %a a.sh; cp -p a.sh b.sh; stat -c %a b.sh";
    for branch in [&[][..], &["--branch", "b"][..]] {
        let args = [&["run"][..], branch, &["--", "sh", "-euc", script][..]].concat();
        let out = place.bt(&args);
        assert!(out.status.success(), "{}", said(&out));
        assert_eq!(text(&out.stdout), "754\n754\n", "{branch:?}");
    }
}

/// A new mount namespace begins with copies of all mounts: an agent must not hold the views of others by that.
#[test]
fn an_agent_that_came_later_holds_no_other_view() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("a.txt", "one\n");
    place.ok(&["run", "--branch", "b", "--", "sh", "-c", "echo two > a.txt"]);
    let script = "touch ../started; until [ -e ../go ]; do sleep 0.01; done; cat a.txt";
    let mut agent = place
        .command(["run", "--", "sh", "-euc", script])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while !place.path("started").exists() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "it does not start"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    place.ok(&["branch", "delete", "b"]);
    std::fs::write(place.path("go"), "").unwrap();
    assert!(agent.wait().unwrap().success());
    assert_eq!(branches(&place), ["main"]);
}
