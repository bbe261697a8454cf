//! Effects of many shapes, and the states that come out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

mod world;

use super::*;
use crate::model::{Cause, Kind, LinkRule};
use crate::trace::event::Replacement;

/// Steps by the names of their calls; outside ones are counted.
#[derive(Default)]
struct Told {
    outside: Vec<String>,
}

impl Steps for Told {
    fn of_call(&self, call: &str) -> Option<StepRef> {
        Some(step(call))
    }

    fn outside(&mut self, _: Option<&StepRef>, title: &str, _: Time) -> StepRef {
        self.outside.push(title.to_owned());
        step(&format!("outside {}", self.outside.len()))
    }
}

fn step(name: &str) -> StepRef {
    StepRef {
        id: StepId::of(SessionId::of("s"), name),
        session: Some(SessionId::of("s")),
        time: Time(5),
        title: name.to_owned(),
    }
}

struct Lab {
    _dir: Option<tempfile::TempDir>,
    store: Arc<Store>,
    rebuild: Rebuild,
    told: Told,
}

impl Lab {
    fn new(agent: &str) -> Self {
        Self::with(agent, None)
    }

    fn with(agent: &str, base: Option<Box<dyn Base>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap());
        Self {
            _dir: Some(dir),
            ..Self::on(store, agent, base)
        }
    }

    fn on(store: Arc<Store>, agent: &str, base: Option<Box<dyn Base>>) -> Self {
        let rebuild = Rebuild::new(
            Arc::clone(&store),
            Options {
                cwd: "/w".into(),
                base,
                agent: agent.into(),
                start: Time(1),
                session: None,
            },
        );
        Self {
            _dir: None,
            store,
            rebuild,
            told: Told::default(),
        }
    }

    fn take(&mut self, effect: FileEffect) {
        self.rebuild.take(vec![effect], &mut self.told).unwrap();
    }

    /// `path op before after` of all effects.
    fn lines(&self) -> Vec<String> {
        let word = |known: &Known| match known {
            Known::Absent => "-".to_owned(),
            Known::Unknown => "?".to_owned(),
            Known::Content { blake3, .. } => {
                String::from_utf8(self.store.blob(*blake3).unwrap()).unwrap()
            }
        };
        self.rebuild
            .effects()
            .iter()
            .map(|e| {
                let sign = match e.evidence {
                    Evidence::Transcript => "",
                    Evidence::Outside => "outside ",
                };
                format!(
                    "{sign}{} {} {:?} {:?}",
                    e.op,
                    e.path,
                    word(&e.before),
                    word(&e.after)
                )
            })
            .collect()
    }

    /// The files of every commit, oldest first: content, or `?`.
    fn states(&self) -> Vec<BTreeMap<String, String>> {
        let mut commits = self.store.commits(None, 10_000).unwrap();
        commits.reverse();
        commits
            .iter()
            .map(|node| {
                let mut files = BTreeMap::new();
                self.walk(node.commit.tree, "", &mut files);
                files
            })
            .collect()
    }

    fn walk(&self, tree: TreeId, dir: &str, out: &mut BTreeMap<String, String>) {
        for entry in &self.store.tree(tree).unwrap().entries {
            let path = format!("{dir}{}", String::from_utf8_lossy(&entry.name));
            match &entry.kind {
                Kind::Dir(tree) => self.walk(*tree, &format!("{path}/"), out),
                Kind::File { blob, .. } => {
                    let text = String::from_utf8(self.store.blob(*blob).unwrap()).unwrap();
                    out.insert(path, text);
                }
                _ => {
                    out.insert(path, "?".into());
                }
            }
        }
    }
}

fn effect(call: &str, path: &str, before: Before, what: What) -> FileEffect {
    FileEffect {
        call: call.into(),
        path: path.into(),
        cwd: None,
        time: Some(Time(10)),
        stage: Stage::Applied,
        before,
        what,
    }
}

fn had(text: &str) -> Before {
    Before::Content(text.into())
}

fn pair(old: &str, new: &str) -> What {
    What::Replace(vec![Replacement {
        old: old.into(),
        new: new.into(),
        all: false,
    }])
}

fn files(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter()
        .map(|(p, c)| ((*p).to_owned(), (*c).to_owned()))
        .collect()
}

#[test]
fn the_first_commit_holds_what_was_there() {
    let mut lab = Lab::new("claude");
    lab.take(effect("1", "/w/a", had("one\n"), pair("one", "two")));
    lab.take(effect(
        "2",
        "/w/d/b",
        Before::Absent,
        What::Write("b\n".into()),
    ));
    lab.take(effect(
        "",
        "/w/c",
        Before::NotTold,
        What::Seen("c\n".into()),
    ));
    lab.take(effect("3", "/w/a", had("two\n"), What::Delete));
    let settled = lab.rebuild.settle().unwrap();
    assert_eq!(
        lab.states(),
        [
            files(&[("a", "one\n"), ("c", "c\n")]),
            files(&[("a", "two\n"), ("c", "c\n")]),
            files(&[("a", "two\n"), ("c", "c\n"), ("d/b", "b\n")]),
            files(&[("c", "c\n"), ("d/b", "b\n")]),
        ]
    );
    assert_eq!(settled.commits.len(), 4);
    assert_eq!(settled.effects.len(), 3);
    let first = lab.store.commit(settled.commits[0].0).unwrap();
    assert_eq!(first.cause, Cause::Initial);
    assert_eq!(settled.commits[1].1, Some(step("1").id));
    let link = lab.store.link_of_commit(settled.commits[1].0).unwrap();
    assert_eq!(link.unwrap().rule, LinkRule::Told);
    assert_eq!(
        crate::debug::rev::head(&lab.store).unwrap(),
        Some(settled.commits[3].0)
    );
}

#[test]
fn a_change_that_nothing_explains_is_a_step_of_its_own() {
    let mut lab = Lab::new("claude");
    lab.take(effect("1", "/w/a", had("x 1\n"), pair("1", "2")));
    lab.take(effect("2", "/w/a", had("y 2\n"), pair("2", "3")));
    assert_eq!(
        lab.lines(),
        [
            "modify a \"x 1\\n\" \"x 2\\n\"",
            "outside modify a \"x 2\\n\" \"y 2\\n\"",
            "modify a \"y 2\\n\" \"y 3\\n\"",
        ]
    );
    assert_eq!(lab.told.outside, ["a changed outside the trace"]);
    let settled = lab.rebuild.settle().unwrap();
    let link = lab.store.link_of_commit(settled.commits[2].0).unwrap();
    assert_eq!(link.unwrap().rule, LinkRule::Inferred);
    // A whole read tells as much as an edit; one that shows nothing new tells nothing.
    lab.take(effect(
        "3",
        "/w/a",
        Before::NotTold,
        What::Seen("y 3\n".into()),
    ));
    assert_eq!(lab.told.outside.len(), 1);
    lab.take(effect(
        "4",
        "/w/a",
        Before::NotTold,
        What::Seen("z\n".into()),
    ));
    lab.take(effect(
        "5",
        "/w/a",
        Before::Absent,
        What::Write("new\n".into()),
    ));
    assert_eq!(
        lab.lines()[3..],
        [
            "outside modify a \"y 3\\n\" \"z\\n\"",
            "outside delete a \"z\\n\" \"-\"",
            "create a \"-\" \"new\\n\"",
        ]
    );
}

#[test]
fn what_is_not_told_stays_unknown() {
    let mut lab = Lab::new("claude");
    lab.take(effect("1", "/w/a", Before::NotTold, pair("1", "2")));
    lab.take(effect("2", "/w/a", Before::NotTold, pair("2", "3")));
    lab.take(effect("3", "/w/a", had("3 told\n"), pair("told", "known")));
    assert_eq!(
        lab.lines(),
        [
            "modify a \"?\" \"?\"",
            "modify a \"?\" \"?\"",
            "modify a \"3 told\\n\" \"3 known\\n\"",
        ]
    );
    lab.rebuild.settle().unwrap();
    assert_eq!(
        lab.states(),
        [
            files(&[("a", "?")]),
            files(&[("a", "?")]),
            files(&[("a", "?")]),
            files(&[("a", "3 told\n")]),
            files(&[("a", "3 known\n")]),
        ]
    );
    let commits = lab.store.commits(None, 9).unwrap();
    let trees: std::collections::HashSet<_> = commits.iter().map(|c| c.commit.tree).collect();
    assert_eq!(trees.len(), 5, "each unknown content is another one");
}

#[test]
fn a_part_confirms_or_refutes() {
    let part = |text: &str, from, of| What::SeenPart {
        text: text.into(),
        from,
        of,
    };
    let mut lab = Lab::new("claude");
    // Seen in part first, then told: it was that all along.
    lab.take(effect("1", "/w/a", Before::NotTold, part("b", 2, 3)));
    lab.take(effect("2", "/w/a", had("a\nb\n"), pair("a", "A")));
    assert_eq!(lab.lines(), ["modify a \"a\\nb\\n\" \"A\\nb\\n\""]);
    assert_eq!(lab.told.outside.len(), 0);
    // What the part shows is not what we have; the next content that is told is what the change left.
    lab.take(effect("3", "/w/a", Before::NotTold, part("A", 1, 3)));
    lab.take(effect("4", "/w/a", Before::NotTold, part("c", 2, 3)));
    lab.take(effect("5", "/w/a", had("A\nc\n"), pair("A", "a")));
    assert_eq!(
        lab.lines()[1..],
        [
            "outside modify a \"A\\nb\\n\" \"A\\nc\\n\"",
            "modify a \"A\\nc\\n\" \"a\\nc\\n\"",
        ]
    );
    // Unless the part speaks against that too.
    lab.take(effect("6", "/w/a", Before::NotTold, part("d", 2, 3)));
    lab.take(effect("7", "/w/a", had("a\ne\n"), pair("a", "x")));
    assert_eq!(
        lab.lines()[3..],
        [
            "outside modify a \"a\\nc\\n\" \"?\"",
            "outside modify a \"?\" \"a\\ne\\n\"",
            "modify a \"a\\ne\\n\" \"x\\ne\\n\"",
        ]
    );
}

#[test]
fn a_replay_that_is_refuted_was_never_known() {
    let mut lab = Lab::new("claude");
    lab.take(effect("1", "/w/a", had("1\n"), pair("1", "2")));
    lab.take(effect("2", "/w/a", Before::NotTold, pair("2", "3")));
    assert_eq!(lab.lines()[1], "modify a \"2\\n\" \"3\\n\"");
    lab.take(effect("3", "/w/a", had("3\nmore\n"), pair("3", "4")));
    assert_eq!(
        lab.lines(),
        [
            "modify a \"1\\n\" \"2\\n\"",
            "modify a \"?\" \"?\"",
            "outside modify a \"?\" \"3\\nmore\\n\"",
            "modify a \"3\\nmore\\n\" \"4\\nmore\\n\"",
        ]
    );
    // An edit that cannot have worked on what we have.
    lab.take(effect("4", "/w/a", Before::NotTold, pair("nowhere", "x")));
    assert_eq!(
        lab.lines()[4..],
        [
            "outside modify a \"4\\nmore\\n\" \"?\"",
            "modify a \"?\" \"?\"",
        ]
    );
}

#[test]
fn what_was_asked_for_happens_when_the_call_ends_well() {
    let mut lab = Lab::new("codex");
    let declared = |call: &str, text: &str| FileEffect {
        stage: Stage::Declared,
        ..effect(call, "/w/a", Before::NotTold, What::Write(text.into()))
    };
    for (call, text, ok) in [("1", "one\n", true), ("2", "two\n", false)] {
        lab.take(declared(call, text));
        lab.take(declared(call, text));
        lab.rebuild.closed(call, ok, &mut lab.told).unwrap();
        lab.rebuild.closed(call, ok, &mut lab.told).unwrap();
    }
    // The result tells it itself; then a copy of both records.
    for _ in 0..2 {
        lab.take(declared("3", "asked\n"));
        lab.take(effect(
            "3",
            "/w/a",
            Before::NotTold,
            What::Write("done\n".into()),
        ));
        lab.rebuild.closed("3", true, &mut lab.told).unwrap();
    }
    // What is told after it was taken to have happened is not done again.
    lab.take(declared("4", "late\n"));
    lab.rebuild.closed("4", true, &mut lab.told).unwrap();
    lab.take(effect(
        "4",
        "/w/a",
        Before::NotTold,
        What::Write("late\n".into()),
    ));
    assert_eq!(
        lab.lines(),
        [
            "modify a \"?\" \"one\\n\"",
            "modify a \"one\\n\" \"done\\n\"",
            "modify a \"done\\n\" \"late\\n\"",
        ]
    );
}

#[test]
fn one_call_may_change_several_files() {
    let mut lab = Lab::new("codex");
    lab.take(effect("0", "/w/a", had("a\n"), pair("a", "b")));
    let rename = What::Rename {
        to: "sub/c".into(),
        change: Some(Box::new(pair("b", "c"))),
    };
    let batch = vec![
        effect("1", "a", Before::NotTold, rename),
        effect("1", "new", Before::Absent, What::Write("n\n".into())),
        // The same file again.
        effect("1", "new", Before::NotTold, pair("n", "m")),
        effect("1", "/etc/passwd", Before::NotTold, What::Delete),
        effect("1", "../out", Before::Absent, What::Write("o\n".into())),
    ];
    lab.rebuild.take(batch, &mut lab.told).unwrap();
    assert_eq!(
        lab.lines()[1..],
        [
            "delete a \"b\\n\" \"-\"",
            "rename sub/c \"-\" \"c\\n\"",
            "create new \"-\" \"n\\n\"",
            "modify new \"n\\n\" \"m\\n\"",
            "delete /etc/passwd \"?\" \"-\"",
            "create /out \"-\" \"o\\n\"",
        ]
    );
    lab.rebuild.settle().unwrap();
    assert_eq!(
        lab.states()[1..],
        [
            files(&[("a", "b\n")]),
            files(&[("new", "n\n"), ("sub/c", "c\n")]),
            files(&[("new", "m\n"), ("sub/c", "c\n")]),
        ]
    );
}

#[test]
fn a_recording_that_grows_is_settled_again_and_again() {
    let mut lab = Lab::new("claude");
    lab.take(effect("1", "/w/a", had("1\n"), pair("1", "2")));
    assert_eq!(lab.rebuild.settle().unwrap().commits.len(), 2);
    assert_eq!(lab.rebuild.settle().unwrap().commits.len(), 0);
    // A file that turns up late was there before: that is no change of the call.
    lab.take(effect("2", "/w/b", had("b\n"), pair("b", "c")));
    let settled = lab.rebuild.settle().unwrap();
    assert_eq!(settled.commits.len(), 2);
    assert_eq!(settled.commits[0].1, None);
    let found = lab.store.commit(settled.commits[0].0).unwrap();
    assert_eq!(found.cause, Cause::Found);
    assert_eq!(
        lab.states()[2..],
        [
            files(&[("a", "2\n"), ("b", "b\n")]),
            files(&[("a", "2\n"), ("b", "c\n")]),
        ]
    );
    // What was settled stays; what follows from it is not known after it was refuted.
    lab.take(effect("3", "/w/b", Before::NotTold, pair("c", "d")));
    lab.rebuild.settle().unwrap();
    lab.take(effect("4", "/w/b", had("x d\n"), pair("d", "e")));
    assert_eq!(
        lab.lines()[2..],
        [
            "modify b \"c\\n\" \"d\\n\"",
            "outside modify b \"?\" \"x d\\n\"",
            "modify b \"x d\\n\" \"x e\\n\"",
        ]
    );
}

#[test]
fn the_same_records_give_the_same_commits() {
    let run = || {
        let mut lab = Lab::new("claude");
        for i in 0..20 {
            let text = format!("{}\n", i / 3);
            let call = i.to_string();
            lab.take(effect(
                &call,
                &format!("/w/{}", i % 4),
                had(&text),
                pair("\n", " x\n"),
            ));
        }
        lab.rebuild.settle().unwrap().commits
    };
    assert_eq!(run(), run());
}

struct Fixed(&'static str);

impl Base for Fixed {
    fn content(&mut self, _: &RepoPath) -> Result<Option<Vec<u8>>, base::Error> {
        Ok(Some(self.0.as_bytes().to_vec()))
    }
}

#[test]
fn a_base_tells_what_the_trace_does_not() {
    let mut lab = Lab::with("claude", Some(Box::new(Fixed("a\r\nb\r\n"))));
    lab.take(effect("1", "/w/a", Before::NotTold, pair("b", "c\nd")));
    // The agent sees plain line feeds; the file has others.
    lab.take(effect("2", "/w/b", had("a\nb\n"), pair("a", "x")));
    lab.take(effect("3", "/w/c", had("other\n"), pair("other", "x")));
    assert_eq!(
        lab.lines(),
        [
            "modify a \"a\\r\\nb\\r\\n\" \"a\\r\\nc\\r\\nd\\r\\n\"",
            "modify b \"a\\r\\nb\\r\\n\" \"x\\r\\nb\\r\\n\"",
            "modify c \"other\\n\" \"x\\n\"",
        ]
    );
    assert!(!lab.rebuild.wants_base());
    assert_eq!(lab.rebuild.firsts().len(), 2);
}
