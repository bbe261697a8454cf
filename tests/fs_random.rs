//! The same random operations on a view of a running engine and on a plain directory, with everything that happens to a
//! view in its life in between: stores through mappings, checkpoints, rollbacks, and somebody who writes behind the
//! mount. After every step both sides must look the same, and every state that was recorded must be what was there.
//!
//! `FS_SEED=7 cargo test --test fs_random` repeats one run, `FS_SEEDS=10` makes ten times as many.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

mod common;
mod fs_common;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use backtrail::engine::api::{Request, Response};
use backtrail::engine::client::Client;
use common::{Place, Tree, ask, differences, fuse, rollback, walk};
use fs_common::have;
use fs_common::ops::{Dice, Op, Side, op, tree, without_dir_links};

/// Stores through shared mappings, without msync; the last ones stay mapped until told otherwise.
const MAPPER: &str = r#"
import mmap, os, stat, sys
os.chdir(sys.argv[1])
maps = []
for line in sys.stdin:
    word, path, at, tint = line.split()
    try:
        if word == "drop":
            maps.clear()
            print("ok", flush=True)
            continue
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        s = os.fstat(fd)
        if not stat.S_ISREG(s.st_mode) or s.st_size == 0:
            os.close(fd)
            print("nothing to map", flush=True)
            continue
        m = mmap.mmap(fd, s.st_size)
        os.close(fd)
        at = int(at) % s.st_size
        end = min(at + 700, s.st_size)
        before = bytes(m[at:end])
        m[at:end] = bytes([int(tint)]) * (end - at)
        maps.append(m)
        maps[:] = maps[-3:]
        print("mapped", s.st_size, at, before.hex(), flush=True)
    except OSError as e:
        print("error", e.errno, flush=True)
"#;

struct Mapper {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Mapper {
    fn new(dir: &Path) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", MAPPER])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    fn ask(&mut self, word: &str, path: &Path, at: u64, tint: u64) -> String {
        let line = format!("{word} {} {at} {tint}\n", path.display());
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(line.as_bytes()).unwrap();
        input.flush().unwrap();
        let mut answer = String::new();
        self.said.read_line(&mut answer).unwrap();
        answer
    }

    fn drop_all(&mut self) {
        assert_eq!(self.ask("drop", Path::new("x"), 0, 0), "ok\n");
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn seeds(first: u64, count: u64) -> std::ops::Range<u64> {
    let times = std::env::var("FS_SEEDS").map_or(1, |t| t.parse().unwrap());
    match std::env::var("FS_SEED") {
        Ok(one) => one.parse().unwrap()..one.parse::<u64>().unwrap() + 1,
        Err(_) => first..first + count * times,
    }
}

/// What was done, for whoever has to find out why it went wrong.
struct Diary {
    seed: u64,
    done: Vec<String>,
}

impl Diary {
    fn note(&mut self, text: String) {
        self.done.push(format!("{} {text}", self.done.len()));
    }

    fn last(&self) -> String {
        let from = self.done.len().saturating_sub(40);
        format!("seed {}:\n{}", self.seed, self.done[from..].join("\n"))
    }

    fn same(&self, what: &str, expected: &[String], got: &[String]) {
        let missing: Vec<_> = expected.iter().filter(|l| !got.contains(l)).collect();
        let surplus: Vec<_> = got.iter().filter(|l| !expected.contains(l)).collect();
        assert!(
            missing.is_empty() && surplus.is_empty(),
            "{what} lacks {missing:#?} and has {surplus:#?}\n{}",
            self.last()
        );
    }

    fn alike(&self, what: &str, a: &Tree, b: &Tree) {
        let d = differences(a, b);
        assert!(d.is_empty(), "{what}: {d:#?}\n{}", self.last());
    }
}

fn sh(script: &str) {
    let out = Command::new("sh").args(["-euc", script]).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{script}: {said}");
}

/// Makes `plain` what `real` is, hard links and all.
fn copy(real: &Path, plain: &Path) {
    let (real, plain) = (real.display(), plain.display());
    sh(&format!(
        "rm -rf '{plain}'; mkdir '{plain}'; cp -a --preserve=all '{real}/.' '{plain}/'"
    ));
}

async fn checkpoint(client: &Client) -> Option<String> {
    let request = Request::Checkpoint { message: None };
    match ask(client, request).await {
        Response::Checkpoint(made) => made.last().map(|c| c.id.to_hex()),
        other => panic!("{other:?}"),
    }
}

async fn at(client: &Client, rev: &str) -> PathBuf {
    let request = Request::PastPath {
        rev: Some(rev.to_owned()),
    };
    match ask(client, request).await {
        Response::Past(place) => place.path.into(),
        other => panic!("{other:?}"),
    }
}

async fn live_run(seed: u64, steps: usize) {
    let place = Place::new();
    let mut engine = place.engine(None);
    let client = place.client().await;
    let live = place.runtime().join("live");
    let plain_dir = place.path("plain");
    std::fs::create_dir(&plain_dir).unwrap();
    let mut mappers = [Mapper::new(&live), Mapper::new(&plain_dir)];
    let mut inside = Side::new(&live, true);
    let mut plain = Side::new(&plain_dir, true);
    let mut dice = Dice(seed);
    let mut diary = Diary {
        seed,
        done: Vec::new(),
    };
    let mut states: Vec<(String, Tree)> = Vec::new();
    for _ in 0..steps {
        match dice.roll(30) {
            0..=2 => {
                let (path, at, tint) = (dice.path(), dice.roll(9000), dice.roll(256));
                diary.note(format!("map {} {at} {tint}", path.display()));
                let [a, b] = &mut mappers;
                let (a, b) = (a.ask("map", &path, at, tint), b.ask("map", &path, at, tint));
                assert_eq!(a, b, "{}", diary.last());
            }
            3..=4 => {
                let made = checkpoint(&client).await;
                diary.note(format!("checkpoint {made:?}"));
                let state = walk(&place.project, &[]);
                let past = at(&client, "@").await;
                diary.alike("the state", &walk(&plain_dir, &[]), &walk(&past, &[]));
                diary.alike("the project", &state, &walk(&past, &[]));
                if let Some(id) = made {
                    states.push((id, state));
                }
            }
            5 if !states.is_empty() => {
                let n = usize::try_from(dice.roll(states.len() as u64)).unwrap();
                let (id, state) = states[n].clone();
                diary.note(format!("rollback to {id}"));
                // What those who hold files open see of a rollback is tested elsewhere.
                mappers[0].drop_all();
                mappers[1].drop_all();
                inside = Side::new(&live, true);
                rollback(&*client, &id, false).await;
                diary.alike("rolled back", &state, &walk(&place.project, &[]));
                diary.alike("the view", &state, &walk(&live, &[]));
                // In what commits do not keep (links, owners, attributes), the real directory says how it is now.
                copy(&place.project, &plain_dir);
                mappers[1] = Mapper::new(&plain_dir);
                plain = Side::new(&plain_dir, true);
            }
            6..=7 => {
                // Somebody behind the mount, when nothing is under way that would meet them in the same file.
                let op = op(&mut dice);
                diary.note(format!("(outside) {op:?}"));
                mappers[0].drop_all();
                mappers[1].drop_all();
                inside = Side::new(&live, true);
                plain = Side::new(&plain_dir, true);
                checkpoint(&client).await;
                let got = Side::new(&place.project, true).apply(&op);
                let expected = Side::new(&plain_dir, true).apply(&op);
                assert_eq!(got, expected, "{}", diary.last());
                // It waits for news that are on their way.
                checkpoint(&client).await;
            }
            _ => {
                let op = op(&mut dice);
                diary.note(format!("{op:?}"));
                let expected = plain.apply(&op);
                let got = inside.apply(&op);
                assert_eq!(got, expected, "{}", diary.last());
            }
        }
        let expected = tree(&plain_dir);
        diary.same("live", &expected, &tree(&live));
    }
    drop(mappers);
    drop(inside);
    checkpoint(&client).await;
    let expected = tree(&plain_dir);
    diary.same("real", &expected, &tree(&place.project));
    // Every state is still what it was, whatever was done since.
    for (id, state) in &states {
        diary.alike(id, state, &walk(&at(&client, id).await, &[]));
    }
    drop(client);
    place.ok(&["stop", "--force"]);
    assert!(engine.gone(Duration::from_secs(30)));
}

/// Ends the branch's session, and so the fork's use.
struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

async fn branch_run(seed: u64, steps: usize) {
    let place = Place::new();
    for n in 0..12 {
        place.write(
            &format!(
                "{}/{}",
                ["a", "b", "dir"][n % 3],
                ["a", "b", "c", "dir"][n % 4]
            ),
            format!("{n} ").repeat(n * 200),
        );
    }
    place.ok(&["init"]);
    let mut engine = place.engine(None);
    let client = place.client().await;
    let held = place
        .command(["run", "--branch", "side", "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let held = Held(held);
    let view = place.runtime().join("branch/side");
    fs_common::wait_until("the fork is there", || view.join("a").exists());
    let plain_dir = place.path("plain");
    copy(&place.project, &plain_dir);
    let before = tree(&place.project);
    let mut mappers = [Mapper::new(&view), Mapper::new(&plain_dir)];
    let mut inside = Side::new(&view, false);
    let mut plain = Side::new(&plain_dir, false);
    let mut dice = Dice(seed);
    let mut diary = Diary {
        seed,
        done: Vec::new(),
    };
    let facts =
        |dir: &Path| -> Vec<String> { tree(dir).iter().map(|l| without_dir_links(l)).collect() };
    for n in 0..steps {
        if dice.roll(12) == 0 {
            let (path, at, tint) = (dice.path(), dice.roll(9000), dice.roll(256));
            diary.note(format!("map {} {at} {tint}", path.display()));
            let [a, b] = &mut mappers;
            let (a, b) = (a.ask("map", &path, at, tint), b.ask("map", &path, at, tint));
            assert_eq!(a, b, "{}", diary.last());
        } else {
            let op = op(&mut dice);
            diary.note(format!("{op:?}"));
            let clean = |r: Result<String, _>| r.map(|t| without_dir_links(&t));
            let expected = clean(plain.apply(&op));
            let got = clean(inside.apply(&op));
            // Room on a disk and the layout of what is on it are the store's affair.
            if !matches!(op, Op::Fallocate(..)) || got.is_err() != expected.is_err() {
                assert_eq!(got, expected, "{}", diary.last());
            }
        }
        diary.same("the branch", &facts(&plain_dir), &facts(&view));
        if n % 40 == 39 {
            mappers[0].drop_all();
            mappers[1].drop_all();
            // A checkpoint comes by itself when it has been quiet.
            let wanted = walk(&plain_dir, &[]);
            let until = Instant::now() + Duration::from_secs(30);
            loop {
                let past = at(&client, "side").await;
                let d = differences(&wanted, &walk(&past, &[]));
                if d.is_empty() {
                    break;
                }
                assert!(
                    Instant::now() < until,
                    "never recorded: {d:#?}\n{}",
                    diary.last()
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    diary.same("the project", &before, &tree(&place.project));
    drop(mappers);
    drop((inside, plain));
    drop(held);
    drop(client);
    place.ok(&["stop", "--force"]);
    assert!(engine.gone(Duration::from_secs(30)));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn live_is_a_plain_directory_with_a_past() {
    if !fuse() || !have("python3") {
        return;
    }
    for seed in seeds(1, 3) {
        runtime().block_on(live_run(seed, 150));
    }
}

#[test]
fn a_branch_is_a_plain_directory_with_a_past() {
    if !fuse() || !have("python3") {
        return;
    }
    for seed in seeds(501, 2) {
        runtime().block_on(branch_run(seed, 160));
    }
}
