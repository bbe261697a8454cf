//! Rollbacks while processes create, unlink, rename and write in the same directories: no deadlock, nothing lost, every
//! result equal to its tree.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use std::process::{Child, Stdio};
use std::time::Duration;

use common::{Place, ask, differences, fuse, rollback, tree_at, walk};

use backtrail::engine::api::{CommitInfo, Request, Response};
use backtrail::engine::source::Source;

const ROLLBACKS: usize = 200;

/// Random work of one process until the stop file appears. What another one took away is no error.
const WORK: &str = r#"
import os, random, sys
seed, stop = int(sys.argv[1]), sys.argv[2]
r = random.Random(seed)
n = 0
while not os.path.exists(stop):
    n += 1
    d = r.choice(["a", "b", "a/sub"])
    name = f"{d}/f{r.randrange(12)}"
    try:
        os.makedirs(d, exist_ok=True)
        k = r.randrange(6)
        if k == 0: open(name, "w").write(f"{seed} {n}\n" * r.randrange(1, 200))
        elif k == 1: open(name, "a").write(f"more {n}\n")
        elif k == 2: os.unlink(name)
        elif k == 3: os.rename(name, f"{r.choice(['a', 'b'])}/f{r.randrange(12)}")
        elif k == 4: os.chmod(name, r.choice([0o600, 0o644, 0o755]))
        else:
            f = open(name, "r+b"); f.seek(3); f.write(b"XYZ"); f.close()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, FileExistsError): pass
"#;

/// Makes so many states while the load changes the files, and lists the newest of them.
async fn states(client: &dyn Source, how_many: usize) -> Vec<CommitInfo> {
    for n in 0..how_many {
        tokio::time::sleep(Duration::from_millis(40)).await;
        let message = Some(format!("state {n}"));
        ask(client, Request::Checkpoint { message }).await;
    }
    let newest = Request::Log {
        before: None,
        limit: how_many,
    };
    let Response::Log(log) = ask(client, newest).await else {
        panic!()
    };
    log
}

/// Waits for the load to end, which was told to.
async fn ended(load: &mut Child) {
    let patience = std::time::Instant::now();
    while load.try_wait().unwrap().is_none() {
        assert!(
            patience.elapsed() < Duration::from_secs(20),
            "the load does not end"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_rollbacks_under_load() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("a/f0", "start\n");
    place.write("b/f1", "start\n");
    place.write("work.py", WORK);
    let stop = place.path("stop");
    let script = format!(
        "python3 work.py 1 {0} & python3 work.py 2 {0} & python3 work.py 3 {0} & wait",
        stop.display()
    );
    let mut load = place
        .command(["run", "--", "sh", "-c", &script])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let client = place.client().await;
    let client = client.as_ref();
    // Some states to go to.
    let log = states(client, 12).await;
    let mut seed = 0x9e37_79b9_u64;
    let mut random = |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(seed >> 33).unwrap() % n
    };
    let mut undone = 0;
    let mut frozen = 0;
    for n in 0..ROLLBACKS {
        let target = log[random(log.len())].id.to_hex();
        let report = tokio::time::timeout(Duration::from_secs(20), rollback(client, &target, true))
            .await
            .unwrap_or_else(|_| panic!("rollback {n} hangs"));
        frozen += report.frozen;
        let wanted = tree_at(client, &target).await;
        let found = walk(&place.project, &[]);
        assert_eq!(
            differences(&found, &wanted),
            Vec::<String>::new(),
            "rollback {n}, kept {:?}",
            report.kept
        );
        if n % 4 == 0 {
            // Nothing was lost: what was there a moment before comes back whole.
            let before = tree_at(client, &report.from.commit.to_hex()).await;
            ask(client, Request::Undo).await;
            let found = walk(&place.project, &[]);
            assert_eq!(
                differences(&found, &before),
                Vec::<String>::new(),
                "undo of {n}"
            );
            undone += 1;
        }
        if report.frozen > 0 {
            let _ = client
                .ask(Request::Freeze {
                    session: None,
                    frozen: false,
                })
                .await;
        }
        if n % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    }
    std::fs::write(&stop, "").unwrap();
    let _ = client
        .ask(Request::Freeze {
            session: None,
            frozen: false,
        })
        .await;
    ended(&mut load).await;
    assert_eq!(undone, ROLLBACKS / 4);
    println!("{ROLLBACKS} rollbacks, {frozen} freezes, {undone} undone");
    let Response::Verify { faults, .. } = ask(client, Request::Verify).await else {
        panic!()
    };
    assert_eq!(faults, Vec::<String>::new());
}

/// Without a cgroup nobody can be frozen: only the gate keeps the processes' changes and the rollback apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollbacks_under_load_without_a_cgroup() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("a/f0", "start\n");
    place.write("b/f1", "start\n");
    place.write("work.py", WORK);
    let stop = place.path("stop");
    let script = format!(
        "python3 work.py 1 {0} & python3 work.py 2 {0} & wait",
        stop.display()
    );
    let mut load = place
        .command(["run", "--", "sh", "-c", &script])
        .env("BACKTRAIL_CGROUP", "off")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let client = place.client().await;
    let client = client.as_ref();
    let log = states(client, 4).await;
    for n in 0..60 {
        let target = log[n % log.len()].id.to_hex();
        let report =
            tokio::time::timeout(Duration::from_secs(10), rollback(client, &target, false))
                .await
                .unwrap_or_else(|_| panic!("rollback {n} hangs"));
        assert_eq!(report.frozen, 0);
    }
    std::fs::write(&stop, "").unwrap();
    ended(&mut load).await;
    // What is recorded in the end is what is there.
    ask(
        client,
        Request::Checkpoint {
            message: Some("end".to_owned()),
        },
    )
    .await;
    let recorded = tree_at(client, "@").await;
    assert_eq!(
        differences(&walk(&place.project, &[]), &recorded),
        Vec::<String>::new()
    );
}
