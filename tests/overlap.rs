//! Early warning: branches at work that meet are told while they are at work.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Place, ask, fuse};

use backtrail::engine::api::{Meeting, MergeTry, Notice, Request, Response};
use backtrail::engine::source::Source;

const LONG: Duration = Duration::from_secs(30);

/// An agent in a fork that does what it is told, a line a time, and says when it has.
struct Agent {
    child: Child,
    name: &'static str,
    told: u32,
}

impl Agent {
    fn start(place: &Place, name: &'static str) -> Self {
        let script =
            r#"while read -r line; do sh -c "$line"; echo done >> "$OUT/done.$BT_NAME"; done"#;
        let child = place
            .command(["run", "--branch", name, "--", "sh", "-uc", script])
            .env("OUT", place.path("out"))
            .env("BT_NAME", name)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            name,
            told: 0,
        }
    }

    fn does(&mut self, place: &Place, line: &str) {
        use std::io::Write;
        self.told += 1;
        let to = self.child.stdin.as_mut().unwrap();
        writeln!(to, "{line}").unwrap();
        let file = place.path("out").join(format!("done.{}", self.name));
        let start = Instant::now();
        while std::fs::read_to_string(&file).map_or(0, |t| t.lines().count()) < self.told as usize {
            assert!(start.elapsed() < LONG, "{} does not do {line}", self.name);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn ends(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

fn told(place: &Place) -> Vec<Meeting> {
    let status = place.json(&["status", "--json"]);
    let list = status[0].get("overlaps").cloned();
    list.map_or_else(Vec::new, |l| serde_json::from_value(l).unwrap())
}

fn until(place: &Place, what: &str, wanted: impl Fn(&[Meeting]) -> bool) -> Vec<Meeting> {
    let start = Instant::now();
    loop {
        let all = told(place);
        if wanted(&all) {
            return all;
        }
        assert!(start.elapsed() < LONG, "waited in vain for {what}: {all:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn between<'a>(all: &'a [Meeting], a: &str, b: &str) -> Option<&'a Meeting> {
    all.iter().find(|m| m.a == a && m.b == b)
}

#[test]
fn branches_that_meet_are_told_while_they_are_at_work() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    let lines: String = (0..30).map(|n| format!("line {n}\n")).collect();
    place.write("same.txt", &lines);
    place.write("other.txt", &lines);
    place.write("third.txt", "3\n");
    std::fs::create_dir_all(place.path("out")).unwrap();
    std::fs::write(place.path("out").join("first"), &lines).unwrap();
    // In place: what is there keeps its mode whatever the tools here do.
    let edit = "sed \"$1\" same.txt > $OUT/edit.$$ && cat $OUT/edit.$$ > same.txt\n";
    std::fs::write(place.path("out").join("edit"), edit).unwrap();
    place.ok(&["init"]);
    let mut a = Agent::start(&place, "a");
    let mut b = Agent::start(&place, "b");

    // Each a file of its own: nothing to be said.
    a.does(&place, "echo a > only-a.txt");
    b.does(&place, "echo b > only-b.txt");
    // The same file in different places.
    a.does(&place, "sh $OUT/edit 's/^line 2$/two/' same.txt");
    b.does(&place, "sh $OUT/edit 's/^line 20$/twenty/' same.txt");
    let all = until(&place, "the same file", |all| !all.is_empty());
    assert_eq!(all.len(), 1, "{all:?}");
    let met = between(&all, "a", "b").unwrap();
    assert_eq!((met.count, &met.merge), (1, &MergeTry::Clean));
    assert_eq!(met.paths[0].to_string(), "same.txt");

    // News come by themselves to whoever listens.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = place.client().await;
        let mut notices = client.notices();
        ask(&*client, Request::Status).await;
        // The same line.
        b.does(&place, "sh $OUT/edit 's/^line 2$/zwei/' same.txt");
        let seen = tokio::time::timeout(LONG, async {
            loop {
                match notices.recv().await.expect("the engine is there") {
                    Notice::Status(s)
                        if s.overlaps.iter().any(|m| {
                            matches!(&m.merge, MergeTry::Conflicts { count: 1, paths }
                                if paths[0].to_string() == "same.txt")
                        }) =>
                    {
                        return;
                    }
                    _ => {}
                }
            }
        });
        seen.await.expect("no news of the conflict");
        // Looking writes nothing: the only new commit is b's own.
        let Response::Status(status) = ask(&*client, Request::Status).await else {
            panic!("no status")
        };
        assert_eq!(status.forks, ["a", "b"]);
    });

    // The workspace's branch is one of them; a file that one side removed.
    place.write("other.txt", lines.replace("line 5\n", "five\n"));
    place.ok(&["checkpoint"]);
    a.does(&place, "rm other.txt");
    let all = until(&place, "the workspace", |all| {
        between(all, "a", "main").is_some_and(|m| m.merge != MergeTry::Clean)
    });
    let met = between(&all, "a", "main").unwrap();
    assert_eq!(met.count, 1);
    assert!(between(&all, "b", "main").is_none(), "{all:?}");
    let text = place.ok(&["forks"]);
    assert!(
        text.contains("a and b both changed 1 path, a merge would conflict in 1 path: same.txt"),
        "{text}"
    );
    let text = place.ok(&["status"]);
    assert!(text.contains("a and main both changed 1 path"), "{text}");

    // When they agree again, nothing is left to be said of them.
    b.does(&place, "cat \"$OUT/first\" > same.txt");
    until(&place, "nothing between a and b", |all| {
        between(all, "a", "b").is_none()
    });
    a.ends();
    b.ends();
}
