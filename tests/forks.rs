//! Forks: agents beside the workspace and beside each other, at the project's own path, with everything they do recorded.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

mod common;
#[path = "forks/kept.rs"]
mod kept;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{Place, ask, differences, fuse, tree_at, walk};

use backtrail::engine::api::{ForkInfo, Request, Response, StepDetail};
use backtrail::engine::source::Source;
use backtrail::model::{Cause, LinkRule, StepKind};

const NONE: &[String] = &[];
/// Nothing here takes so long.
const LONG: Duration = Duration::from_secs(30);

fn until(what: &str, wanted: impl Fn() -> bool) {
    let start = Instant::now();
    while !wanted() {
        assert!(start.elapsed() < LONG, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn said(out: &Output) -> String {
    format!(
        "{}\n{}\n{}",
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

fn on_branch(place: &Place, branch: &str, script: &str) -> Command {
    let mut command = place.command(["run", "--branch", branch, "--", "sh", "-euc", script]);
    command
        .env("OUT", place.path("out"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    std::fs::create_dir_all(place.path("out")).unwrap();
    command
}

/// Runs a script on a branch's fork; it must end well.
fn run(place: &Place, branch: &str, script: &str) -> String {
    let out = on_branch(place, branch, script).output().unwrap();
    assert!(out.status.success(), "{}", said(&out));
    // What git leaves tidying up in the background belongs to the session.
    until("its last process", || {
        let all = forks(place);
        all.iter()
            .all(|f| f.branch != branch || f.sessions.is_empty())
    });
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn start(place: &Place, branch: &str, script: &str) -> Child {
    on_branch(place, branch, script).spawn().unwrap()
}

fn out(place: &Place, name: &str) -> PathBuf {
    place.path("out").join(name)
}

fn forks(place: &Place) -> Vec<ForkInfo> {
    place
        .json(&["forks", "--json"])
        .into_iter()
        .map(|v| serde_json::from_value(v).unwrap())
        .collect()
}

fn fork(place: &Place, branch: &str) -> ForkInfo {
    forks(place)
        .into_iter()
        .find(|f| f.branch == branch)
        .unwrap_or_else(|| panic!("no fork {branch}"))
}

/// Everything of a directory that a person could notice.
fn everything(dir: &Path) -> Vec<String> {
    let mut out = Vec::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(at) = todo.pop() {
        let meta = at.symlink_metadata().unwrap();
        let content = if meta.is_file() {
            blake3::hash(&std::fs::read(&at).unwrap()).to_string()
        } else {
            String::new()
        };
        out.push(format!(
            "{at:?} {} {:o} {}.{} {content}",
            meta.ino(),
            meta.mode(),
            meta.mtime(),
            meta.mtime_nsec()
        ));
        if meta.is_dir() {
            for entry in std::fs::read_dir(&at).unwrap() {
                todo.push(entry.unwrap().path());
            }
        }
    }
    out.sort();
    out
}

fn git(dir: &Path, args: &[&str]) -> String {
    let out = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(out.status.success(), "git {args:?}: {}", said(&out));
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

/// A project with a repository and something that is left out.
fn project() -> Place {
    let place = Place::new();
    for n in 0..1200 {
        place.write(&format!("d{}/f{n}.txt", n % 20), format!("content {n}\n"));
    }
    place.write(".gitignore", "target/\n");
    place.write("target/built", "built in the project\n");
    git(&place.project, &["init", "-qb", "main"]);
    git(&place.project, &["add", "-A"]);
    git(&place.project, &["commit", "-qm", "first"]);
    place.ok(&["init"]);
    place
}

async fn detail(client: &dyn Source, commit: &str) -> StepDetail {
    let Response::Commit(shown) = ask(client, Request::Show { rev: commit.into() }).await else {
        panic!()
    };
    let id = shown.link.expect("a step").step;
    let Response::Step(step) = ask(client, Request::Step { id }).await else {
        panic!()
    };
    *step
}

#[test]
fn a_fork_copies_nothing_and_shows_all() {
    if !fuse() {
        return;
    }
    let place = project();
    let before = everything(&place.project);
    place.ok(&["fork", "@"]);
    place.ok(&["fork", "@", "--name", "feature/x"]);
    place.ok(&["fork", "@", "--count", "2", "--prefix", "p"]);
    let all = forks(&place);
    let names: Vec<&str> = all.iter().map(|f| f.branch.as_str()).collect();
    assert_eq!(names, ["feature/x", "p-1", "p-2", "try-1"]);
    for f in &all {
        assert_eq!((f.changed, f.sessions.len()), (0, 0), "{f:?}");
        assert!(f.disk < 64 * 1024, "{f:?}");
    }
    let twice = place.bt(&["fork", "@", "--name", "p-1"]);
    assert!(!twice.status.success() && said(&twice).contains("there is a branch p-1 already"));
    let text = run(
        &place,
        "feature/x",
        "pwd; cat d*/f*.txt | wc -l; cat target/built; git status --short; git log --format=%s",
    );
    let root = place.project.canonicalize().unwrap();
    assert_eq!(
        text.split_whitespace().collect::<Vec<_>>().join(" "),
        format!("{} 1200 built in the project first", root.display())
    );
    assert_eq!(fork(&place, "feature/x").changed, 0, "looking is no change");
    assert_eq!(everything(&place.project), before);
    // Making one is an operation, undone like any.
    place.ok(&["undo"]);
    assert_eq!(forks(&place).len(), 3);
    place.ok(&["redo"]);
    assert_eq!(run(&place, "p-2", "cat d1/f1.txt"), "content 1\n");
}

/// Each stage: a call is opened, the work done, the call closed (which cuts the checkpoint), and a copy taken.
const STAGES: &str = r#"
stage() {
  n=$1
  printf '{"type":"call","id":"c%s","name":"Bash","input":{"command":"stage %s"}}\n' $n $n | $BT emit
  "do_$n"
  printf '{"type":"result","id":"c%s","output":"done","exit_code":0}\n' $n | $BT emit
  mkdir -p $OUT/$n
  tar -cf - --exclude=./.git --exclude=./target . | tar -xpf - -C $OUT/$n
}
do_1() { mkdir -p src/deep/er; echo one > src/a.txt; echo two > src/deep/b.txt; mkdir empty; rm -rf d1; }
do_2() { echo changed > src/a.tmp; mv src/a.tmp src/a.txt; echo more >> d2/f2.txt; echo x >> target/built; }
do_3() { ln -s ../src link; ln -s nowhere dangling; ln src/a.txt hard.txt; mkfifo pipe; mv d3 moved; }
do_4() { chmod 755 src/a.txt; chmod 700 src/deep; chmod 600 src/deep/b.txt; chmod 600 d4/f4.txt; }
do_5() { git add -A . ; git -c user.name=t -c user.email=t@e commit -qm two; git mv src/deep/b.txt src/c.txt; git checkout -q HEAD -- d1 2>/dev/null || true; }
do_6() {
  python3 - "$BT" <<'PY'
import mmap, subprocess, sys
f = open("d5/f5.txt", "r+b")
m = mmap.mmap(f.fileno(), 0)
m[0:4] = b"MAPD"
# The mapping is still open and nothing was synced when the call ends.
subprocess.run([sys.argv[1], "emit"], input=b'{"type":"result","id":"c6","output":"mapped","exit_code":0}\n', check=True)
m.close()
PY
}
do_7() { printf 'target/\nsecret/\n' > .gitignore; mkdir secret; echo s > secret/s; echo last > last.txt; }
for n in 1 2 3 4 5 6 7; do stage $n; done
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_does_is_recorded_on_its_branch_alone() {
    if !fuse() {
        return;
    }
    let place = project();
    let _engine = place.engine(None);
    let client = place.client().await;
    let client: &dyn Source = client.as_ref();
    // What is not committed yet is part of a fork that is made for the run.
    place.write("d0/f0.txt", "not committed yet\n");
    let before = everything(&place.project);
    let thought = r#"printf '{"type":"thought","text":"done here"}\n' | $BT emit"#;
    assert_eq!(
        run(&place, "a", &format!("cat d0/f0.txt; {STAGES} {thought}")),
        "not committed yet\n"
    );
    assert_eq!(
        everything(&place.project),
        before,
        "the project is untouched"
    );
    let Response::Status(status) = ask(client, Request::Status).await else {
        panic!()
    };
    assert_eq!((status.branch.as_str(), status.dirty), ("main", 0));

    for n in 1..=7 {
        let state = tree_at(client, &format!("call:c{n}")).await;
        let mut copy = walk(&out(&place, &n.to_string()), &["target"]);
        if n == 7 {
            copy.retain(|path, _| !path.starts_with("secret"));
        }
        assert_eq!(differences(&state, &copy), NONE, "stage {n}");
    }
    // The commits are a line on the branch, each tied to its call.
    let info = fork(&place, "a");
    assert!(info.changed > 60, "{info:?}");
    let mut at = info.tip.id;
    let mut steps = Vec::new();
    while at != info.base.commit {
        let Response::Commit(shown) = ask(client, Request::Show { rev: at.to_hex() }).await else {
            panic!()
        };
        assert_eq!(shown.commit.branch, "a");
        assert_eq!(shown.commit.author, "sh");
        assert_eq!(shown.meta["fork"], "a");
        let step = detail(client, &at.to_hex()).await;
        assert_eq!(step.row.kind, StepKind::Call, "{:?}", step.row);
        let (_, link) = step.commits.iter().find(|(c, _)| c.id == at).unwrap();
        assert!(
            matches!(link.rule, LinkRule::Process | LinkRule::OnlyOpenCall),
            "{link:?}"
        );
        steps.push(step.row.title);
        at = shown.commit.parents[0];
    }
    steps.reverse();
    steps.dedup();
    assert_eq!(steps.len(), 7, "{steps:?}");
    // The state at a step of it is the fork's, that at a step elsewhere is not.
    let step = |title: &str| {
        let steps = place.json(&["steps", "--json"]);
        let step = steps.iter().rfind(|s| s["title"] == title).unwrap();
        format!("step:{}", step["ordinal"].as_str().unwrap())
    };
    let state_at = async |title: &str| {
        let rev = step(title);
        let Response::Resolved(named) = ask(client, Request::Resolve { rev }).await else {
            panic!()
        };
        named.commit
    };
    assert_eq!(state_at("done here").await, info.tip.id);
    let elsewhere = r#"printf '{"type":"thought","text":"elsewhere"}\n' | $BT emit"#;
    assert!(place.run(elsewhere).status.success());
    assert_eq!(state_at("elsewhere").await, info.base.commit);
    // A commit on a fork moves nothing else.
    let Response::Resolved(head) = ask(client, Request::Resolve { rev: "@".into() }).await else {
        panic!()
    };
    assert_eq!(head.commit, info.base.commit);
}

#[test]
fn two_at_once_never_see_each_other() {
    if !fuse() {
        return;
    }
    let place = project();
    place.write(
        "Makefile",
        "out: d0/f0.txt d1/f1.txt\n\tcat d0/f0.txt d1/f1.txt > target/$@\n\tcp target/$@ $@\n",
    );
    git(&place.project, &["add", "-A"]);
    git(&place.project, &["commit", "-qm", "second"]);
    let before = everything(&place.project.join(".git"));
    let script = |me: &str, other: &str| {
        format!(
            r#"
            echo {me} > d0/f0.txt; echo {me} > mine-{me}
            touch $OUT/{me}.ready
            while [ ! -e $OUT/{other}.ready ]; do sleep 0.01; done
            [ ! -e mine-{other} ]
            make -s out
            grep -q {me} out
            git add -A; git -c user.name={me} -c user.email={me}@e commit -qm "work of {me}"
            touch $OUT/{me}.done
            while [ ! -e $OUT/{other}.done ]; do sleep 0.01; done
            git log --format=%s | head -1
            git status --short
            git fsck --no-progress
            cat out target/out
            "#
        )
    };
    let one = start(&place, "one", &script("one", "two"));
    let two = start(&place, "two", &script("two", "one"));
    for (me, child) in [("one", one), ("two", two)] {
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{}", said(&out));
        assert_eq!(
            String::from_utf8_lossy(&out.stdout),
            format!("work of {me}\n{me}\ncontent 1\n{me}\ncontent 1\n")
        );
    }
    assert_eq!(everything(&place.project.join(".git")), before);
    assert!(!place.project.join("target/out").exists());
    for me in ["one", "two"] {
        assert_eq!(
            place.ok(&["cat", &format!("{me}:mine-{me}")]),
            format!("{me}\n")
        );
        assert_eq!(
            place.ok(&["cat", &format!("{me}:out")]),
            format!("{me}\ncontent 1\n")
        );
    }
    assert!(!place.bt(&["cat", "one:mine-two"]).status.success());
    // Both are there again, repository and left-out files and all.
    for me in ["one", "two"] {
        assert_eq!(
            run(
                &place,
                me,
                "git log --format=%s | head -1; git status --short; cat target/out"
            ),
            format!("work of {me}\n{me}\ncontent 1\n")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_engine_is_killed() {
    if !fuse() {
        return;
    }
    let place = project();
    let mut engine = place.engine(None);
    let _ = place.client().await;
    // Changes go on without a pause, so that some are committed and some are not.
    let mut agent = start(
        &place,
        "a",
        "n=0; while :; do n=$((n+1)); echo $n > new-$n; echo $n > $OUT/count; done",
    );
    let count = || -> u64 {
        std::fs::read_to_string(out(&place, "count"))
            .ok()
            .and_then(|t| t.trim().parse().ok())
            .unwrap_or(0)
    };
    until("a checkpoint", || {
        forks(&place).iter().any(|f| f.changed > 0)
    });
    let so_far = count();
    until("more", || count() > so_far + 20);
    engine.kill();
    let _ = agent.kill();
    agent.wait().unwrap();
    let written = count();
    let engine = place.engine(None);
    let client = place.client().await;
    let known = fork(&place, "a");
    assert!(u64::try_from(known.changed).unwrap() < written, "{known:?}");
    let files = run(&place, "a", "cat new-*");
    let mut numbers: Vec<u64> = files.lines().map(|l| l.parse().unwrap()).collect();
    numbers.sort_unstable();
    let wanted: Vec<u64> = (1..=written).collect();
    assert_eq!(numbers.get(..wanted.len()), Some(&*wanted));
    let found = fork(&place, "a");
    // The last one may have been made and not written.
    assert!(
        (numbers.len()..=numbers.len() + 1).contains(&found.changed),
        "{found:?}"
    );
    let Response::Commit(shown) = ask(
        client.as_ref(),
        Request::Show {
            rev: found.tip.id.to_hex(),
        },
    )
    .await
    else {
        panic!()
    };
    assert_eq!(shown.commit.cause, Cause::Found);
    assert_eq!(shown.commit.parents, [known.tip.id]);
    drop(engine);
}

#[test]
fn sessions_are_frozen_thawed_and_killed_by_name() {
    if !fuse() {
        return;
    }
    let place = project();
    let _engine = place.engine(None);
    let mut agent = start(
        &place,
        "a",
        "trap 'echo refused' TERM; n=0; while :; do n=$((n+1)); echo $n > $OUT/n; sleep 0.01; done",
    );
    let n = || std::fs::read_to_string(out(&place, "n")).unwrap_or_default();
    until("the agent", || !n().is_empty());
    let status = &place.json(&["status", "--json"])[0];
    let contained = status["sessions"][0]["contained"].as_bool().unwrap();
    assert_eq!(status["sessions"][0]["branch"], "a");
    assert_eq!(status["forks"][0], "a");
    if contained {
        assert!(place.ok(&["freeze", "a"]).contains("1 session frozen"));
        let still = n();
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(n(), still, "it runs although it is frozen");
        place.ok(&["thaw", "a"]);
        until("it to go on", || n() != still);
    }
    assert!(!place.bt(&["kill", "nobody"]).status.success());
    assert!(place.ok(&["kill", "a"]).contains("killed sh"));
    let code = agent.wait().unwrap().code();
    assert_eq!(code, Some(137));
    until("its end", || fork(&place, "a").sessions.is_empty());
    assert!(!place.bt(&["kill", "all"]).status.success(), "none is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_leaves_forks_alone() {
    if !fuse() {
        return;
    }
    let place = project();
    let _engine = place.engine(None);
    let client = place.client().await;
    let agent = start(
        &place,
        "a",
        "touch $OUT/ready; while [ ! -e $OUT/stop ]; do date +%N > now; done; echo done > now",
    );
    until("the agent", || out(&place, "ready").exists());
    place.write("later.txt", "later\n");
    place.ok(&["checkpoint", "-m", "later"]);
    for _ in 0..5 {
        let report = common::rollback(client.as_ref(), "@~1", false).await;
        assert_eq!(report.frozen, 0, "{report:?}");
        assert!(!place.project.join("later.txt").exists());
        place.ok(&["undo"]);
    }
    std::fs::write(out(&place, "stop"), "").unwrap();
    let end = agent.wait_with_output().unwrap();
    assert!(end.status.success(), "{}", said(&end));
    assert_eq!(place.ok(&["cat", "a:now"]), "done\n");
    assert!(!place.project.join("now").exists());
}

#[test]
fn a_branch_whose_fork_is_in_use_stays_as_it_is() {
    if !fuse() {
        return;
    }
    let place = project();
    let _engine = place.engine(None);
    let agent = start(
        &place,
        "a",
        "echo mine > mine; touch $OUT/ready; while [ ! -e $OUT/stop ]; do sleep 0.01; done",
    );
    until("the agent", || out(&place, "ready").exists());
    for line in [
        &["switch", "a"][..],
        &["branch", "delete", "a"],
        &["branch", "rename", "a", "b"],
        &["undo"],
    ] {
        let refused = place.bt(line);
        assert!(!refused.status.success(), "{line:?}: {}", said(&refused));
        assert!(
            said(&refused).contains("runs on the fork of a"),
            "{line:?}: {}",
            said(&refused)
        );
    }
    let pruned = place.ok(&["branch", "prune"]);
    assert!(
        pruned.contains("runs on the fork of a, so that stays"),
        "{pruned}"
    );
    assert_eq!(forks(&place).len(), 1);
    let same = place.bt(&["run", "--branch", "main", "--", "true"]);
    assert!(
        said(&same).contains("the workspace itself is on main"),
        "{}",
        said(&same)
    );
    std::fs::write(out(&place, "stop"), "").unwrap();
    assert!(agent.wait_with_output().unwrap().status.success());
    until("its end", || fork(&place, "a").sessions.is_empty());

    // Not in use: another name takes the view along, and so do an undo and a removal that is undone.
    run(
        &place,
        "a",
        "git -c user.name=t -c user.email=t@e commit -qm own --allow-empty",
    );
    place.ok(&["branch", "rename", "a", "b"]);
    assert_eq!(
        run(&place, "b", "cat mine; git log -1 --format=%s"),
        "mine\nown\n"
    );
    place.ok(&["undo"]);
    assert_eq!(
        run(&place, "a", "cat mine; git log -1 --format=%s"),
        "mine\nown\n"
    );
    let text = place.ok(&["branch", "delete", "a"]);
    assert!(text.contains("commits or refs of its own"), "{text}");
    place.ok(&["undo"]);
    assert_eq!(
        run(&place, "a", "cat mine; git log -1 --format=%s"),
        "mine\nown\n"
    );
    // One without a history of its own is taken away and made anew.
    run(&place, "plain", "echo kept > kept");
    let text = place.ok(&["branch", "delete", "plain"]);
    assert!(!text.contains("of its own"), "{text}");
    assert_eq!(forks(&place).len(), 1);
    place.ok(&["undo"]);
    assert_eq!(run(&place, "plain", "cat kept"), "kept\n");
}

#[test]
fn a_view_follows_its_branch() {
    if !fuse() {
        return;
    }
    let place = project();
    let _engine = place.engine(None);
    run(
        &place,
        "a",
        "echo of-the-fork > file; git add file; git -c user.name=t -c user.email=t@e commit -qm own",
    );
    place.ok(&["switch", "a"]);
    assert_eq!(
        std::fs::read_to_string(place.project.join("file")).unwrap(),
        "of-the-fork\n"
    );
    assert_eq!(git(&place.project, &["log", "-1", "--format=%s"]), "first");
    let refused = place.bt(&["run", "--branch", "a", "--", "true"]);
    assert!(
        said(&refused).contains("the workspace itself is on a"),
        "{}",
        said(&refused)
    );
    place.write("file", "moved on\n");
    place.ok(&["checkpoint", "-m", "moved on"]);
    place.ok(&["switch", "main"]);
    assert!(!place.project.join("file").exists());
    // The view has what its branch has now, and its repository is still there.
    assert_eq!(
        run(
            &place,
            "a",
            "cat file; git log -1 --format=%s; git status --short; echo again > again"
        ),
        "moved on\nown\n M file\n"
    );
    assert_eq!(place.ok(&["cat", "a:again"]), "again\n");
    assert_eq!(place.ok(&["cat", "a:file"]), "moved on\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scratch_view_is_no_branch() {
    if !fuse() {
        return;
    }
    let place = project();
    let _engine = place.engine(None);
    let client = place.client().await;
    let client: &dyn Source = client.as_ref();
    let Response::Resolved(head) = ask(client, Request::Resolve { rev: "@".into() }).await else {
        panic!()
    };
    let before = everything(&place.project);
    let Response::Log(log) = ask(
        client,
        Request::Log {
            before: None,
            limit: 9,
        },
    )
    .await
    else {
        panic!()
    };
    let mut made = Vec::new();
    for request in [
        Request::ForkScratch {
            rev: Some("@".into()),
            tree: None,
        },
        Request::ForkScratch {
            rev: None,
            tree: Some(head.tree),
        },
    ] {
        let Response::Scratch { path, name } = ask(client, request).await else {
            panic!()
        };
        let dir = PathBuf::from(&path);
        assert_eq!(
            std::fs::read_to_string(dir.join("d1/f1.txt")).unwrap(),
            "content 1\n"
        );
        std::fs::write(dir.join("d1/f1.txt"), name.clone()).unwrap();
        std::fs::write(dir.join("target/built"), name.clone()).unwrap();
        made.push((dir, name));
    }
    for (dir, name) in &made {
        assert_eq!(
            &std::fs::read_to_string(dir.join("d1/f1.txt")).unwrap(),
            name
        );
        assert_eq!(
            &std::fs::read_to_string(dir.join("target/built")).unwrap(),
            name
        );
    }
    for (dir, name) in made {
        ask(client, Request::ForkDiscard { name: name.clone() }).await;
        assert!(!dir.exists());
        let twice = client.ask(Request::ForkDiscard { name }).await;
        assert!(twice.unwrap_err().message.contains("no scratch view"));
    }
    assert_eq!(everything(&place.project), before);
    let after = ask(
        client,
        Request::Log {
            before: None,
            limit: 9,
        },
    )
    .await;
    assert_eq!(after, Response::Log(log));
    assert!(forks(&place).is_empty());
}

#[test]
fn a_view_that_somebody_stands_in_is_not_taken_away() {
    if !fuse() {
        return;
    }
    let place = project();
    let _engine = place.engine(None);
    run(&place, "a", "echo mine > mine");
    let at = fork(&place, "a").mounted.unwrap();
    assert_eq!(
        std::fs::read_to_string(Path::new(&at).join("mine")).unwrap(),
        "mine\n"
    );
    let mut person = Command::new("sleep")
        .arg("60")
        .current_dir(&at)
        .spawn()
        .unwrap();
    let refused = place.bt(&["branch", "delete", "a"]);
    assert!(
        said(&refused).contains("somebody is still in the view of a"),
        "{}",
        said(&refused)
    );
    assert_eq!(run(&place, "a", "cat mine"), "mine\n");
    person.kill().unwrap();
    person.wait().unwrap();
    place.ok(&["branch", "delete", "a"]);
    assert!(forks(&place).is_empty());
}

#[test]
fn an_agent_whose_view_is_taken_away_comes_to_a_clear_end() {
    if !fuse() {
        return;
    }
    let place = project();
    let _engine = place.engine(None);
    let agent = std::cell::RefCell::new(start(
        &place,
        "a",
        "echo mine > mine; touch $OUT/ready; while :; do sleep 0.05; echo x > x 2>/dev/null || true; done",
    ));
    until("the agent", || out(&place, "ready").exists());
    let at = fork(&place, "a").mounted.unwrap();
    // The whole session goes, for whoever has it bound too: as when the connection is aborted.
    let dev = std::fs::metadata(&at).unwrap().dev();
    let minor = rustix::fs::minor(dev);
    let abort = format!("/sys/fs/fuse/connections/{minor}/abort");
    if std::fs::write(&abort, "1").is_err() {
        eprintln!("skipped: {abort} cannot be written here");
        agent.borrow_mut().kill().unwrap();
        agent.borrow_mut().wait().unwrap();
        return;
    }
    until("its end", || {
        agent.borrow_mut().try_wait().unwrap().is_some()
    });
    until("the engine to notice", || {
        place.json(&["status", "--json"])[0]["warnings"]
            .to_string()
            .contains("was unmounted from outside")
    });
    assert_eq!(run(&place, "a", "cat mine"), "mine\n");
    assert_eq!(run(&place, "b", "echo alive"), "alive\n");
}
