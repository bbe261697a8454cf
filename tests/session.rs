//! The main job, end to end: a real script under `backtrail run`, every state compared with a copy taken at the time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use common::{Place, ask, differences, fuse, rollback, tree_at, walk};

use backtrail::engine::api::{Request, Response};
use backtrail::model::{Cause, StepKind};

/// Each stage: a call is opened, the work done, the call closed (which cuts the checkpoint), and a copy taken.
const SCRIPT: &str = r#"
stage() {
  n=$1
  printf '{"type":"call","id":"c%s","name":"Bash","input":{"command":"stage %s"}}\n' $n $n | $BT emit
  "do_$n"
  printf '{"type":"result","id":"c%s","output":"done","exit_code":0}\n' $n | $BT emit
  mkdir -p $COPIES/$n
  tar -cf - --exclude=./.git . | tar -xpf - -C $COPIES/$n
}
do_1() { mkdir -p src/deep/er; echo one > src/a.txt; echo two > src/deep/b.txt; mkdir empty; }
do_2() { echo changed > src/a.tmp; mv src/a.tmp src/a.txt; }
do_3() { sed -i s/two/TWO/ src/deep/b.txt; echo appended >> src/deep/b.txt; }
do_4() { ln -s ../src link; ln -s nowhere dangling; ln src/a.txt hard.txt; mkfifo pipe; }
do_5() { chmod 755 src/a.txt; chmod 700 src/deep; chmod 600 src/deep/b.txt; }
do_6() { git init -q .; git config user.email t@example.org; git config user.name t; git add -A . ; git commit -qm one; git mv src/deep/b.txt src/c.txt; git commit -qam two; git checkout -q HEAD~1; git checkout -q -; }
do_7() { rm -rf src; echo note > note.md; }
do_8() { mkdir src; head -c 3000000 /dev/urandom > src/big.bin; printf 'a\0b' > 'src/with
newline'; }
do_9() { mv src renamed; rm -f link; mkdir link; echo in > link/in; }
do_10() {
  python3 - "$BT" "$COPIES" <<'PY'
import mmap, os, subprocess, sys
f = open("renamed/big.bin", "r+b")
m = mmap.mmap(f.fileno(), 0)
m[0:8] = b"MAPPED!!"
m[2000000:2000008] = b"MAPPED!!"
# The mapping is still open and nothing was synced when the call ends.
bt, copies = sys.argv[1:]
subprocess.run([bt, "emit"], input=b'{"type":"result","id":"c10","output":"mapped","exit_code":0}\n', check=True)
m.close()
PY
}
do_11() { truncate -s 100 renamed/big.bin; rm -rf empty; mkdir empty2; touch empty2/.keep; }
for n in 1 2 3 4 5 6 7 8 9 10 11; do stage $n; done
exit 7
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_is_recorded_and_every_state_comes_back() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("before.txt", "was here\n");
    let out = place
        .command(["run", "--", "sh", "-euc", SCRIPT])
        .env("COPIES", place.path("copies"))
        .output()
        .unwrap();
    assert_eq!(
        out.status.code(),
        Some(7),
        "{}\n{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    // The real directory holds the result: nothing lives in the mount alone.
    let last = walk(&place.project, &[]);
    assert_eq!(
        differences(&last, &walk(&place.path("copies/11"), &[])),
        Vec::<String>::new()
    );

    let _engine = place.command(["status"]).output().unwrap();
    let mut engine = None;
    if place
        .try_client(std::time::Duration::from_millis(200))
        .await
        .is_none()
    {
        engine = Some(place.engine(None));
    }
    let client = place.client().await;
    let client = client.as_ref();
    let Response::Rows(rows) = ask(
        client,
        Request::Rows {
            after: None,
            limit: 1_000,
        },
    )
    .await
    else {
        panic!()
    };
    let calls: Vec<_> = rows
        .rows
        .iter()
        .filter(|r| r.kind == StepKind::Call)
        .collect();
    assert_eq!(calls.len(), 11);
    let mut checked = 0;
    for (i, call) in calls.iter().enumerate() {
        let commit = call
            .commit
            .unwrap_or_else(|| panic!("call {} has no commit", i + 1))
            .to_hex();
        let copy = walk(&place.path(&format!("copies/{}", i + 1)), &[]);
        let recorded = tree_at(client, &commit).await;
        assert_eq!(
            differences(&recorded, &copy),
            Vec::<String>::new(),
            "stage {}",
            i + 1
        );
        let report = rollback(client, &commit, false).await;
        assert_eq!(
            differences(&walk(&place.project, &[]), &copy),
            Vec::<String>::new(),
            "after rollback to stage {}, kept {:?}",
            i + 1,
            report.kept
        );
        checked += 1;
    }
    assert_eq!(checked, 11);
    // Undo, one by one, walks all the way back; the last one is where the script ended.
    for _ in 0..11 {
        let answer = ask(client, Request::Undo).await;
        assert!(matches!(answer, Response::Rollback(_)), "{answer:?}");
    }
    assert_eq!(
        differences(&walk(&place.project, &[]), &last),
        Vec::<String>::new()
    );
    assert!(
        client_err(client, Request::Undo)
            .await
            .contains("nothing to undo")
    );
    for _ in 0..11 {
        ask(client, Request::Redo).await;
    }
    let copy = walk(&place.path("copies/11"), &[]);
    assert_eq!(
        differences(&walk(&place.project, &[]), &copy),
        Vec::<String>::new()
    );
    let Response::Verify { faults, records } = ask(client, Request::Verify).await else {
        panic!()
    };
    assert_eq!(faults, Vec::<String>::new());
    assert!(records > 30);
    drop(engine);
}

async fn client_err(client: &dyn backtrail::engine::source::Source, request: Request) -> String {
    client
        .ask(request)
        .await
        .expect_err("an error was wanted")
        .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bursts_are_cut_and_attributed_and_outside_edits_are_marked() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("seed.txt", "seed\n");
    let project = place.project.clone();
    // From the outside, while the agent runs: the real directory is edited behind the mount.
    let outside = std::thread::spawn(move || {
        let ready = project.join("inside.txt");
        while !ready.exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        std::thread::sleep(std::time::Duration::from_millis(1_200));
        std::fs::write(project.join("outside.txt"), "from the editor\n").unwrap();
    });
    let out = place.run(
        "echo hi > inside.txt; i=0; while ! test -e outside.txt; do sleep 0.05; i=$((i+1)); test $i -lt 200; done; cat outside.txt; sleep 1.2; echo bye > inside.txt",
    );
    outside.join().unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    assert_eq!(String::from_utf8_lossy(&out.stdout), "from the editor\n");
    let log = place.json(&["log", "--json"]);
    for key in [
        "id", "parents", "tree", "branch", "time", "cause", "message", "step",
    ] {
        assert!(log[0].get(key).is_some(), "{key} is missing in {}", log[0]);
    }
    let authors: Vec<_> = log
        .iter()
        .rev()
        .map(|c| c["author"].as_str().unwrap().to_owned())
        .collect();
    let causes: Vec<_> = log
        .iter()
        .rev()
        .map(|c| c["cause"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(causes[0], "initial");
    assert_eq!(authors[1..], ["sh", "outside", "sh"], "{log:#?}");
    let steps = place.json(&["steps", "--json"]);
    let kinds: Vec<_> = steps.iter().map(|s| s["kind"].as_str().unwrap()).collect();
    assert!(
        kinds.contains(&"outside") && kinds.contains(&"fs"),
        "{kinds:?}"
    );
    // Each change knows pid, comm and cgroup.
    let shown = place.json(&["show", "--json", "@"]);
    let writers = shown[0]["meta"]["writers"].as_str().unwrap();
    assert!(
        writers.contains("\"comm\":\"sh\"") && writers.contains("\"pid\":"),
        "{writers}"
    );
    let _ = Cause::Quiet;
}

#[test]
fn the_root_and_home_are_refused() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("home")).unwrap();
    for dir in [std::path::PathBuf::from("/"), place.path("home")] {
        let out = place
            .command(["run", "--", "true"])
            .current_dir(&dir)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success());
        assert!(said.contains("cannot be a project"), "{said}");
    }
}
