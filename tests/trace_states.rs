//! File states rebuilt from recordings, held against what is known of them: the ids that git gave the files before and
//! after each edit, and repositories that the tests make.
//!
//! The real recordings are not part of the project: tests that need them look for them beside it and say so when they
//! skip.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backtrail::model::{Known, SessionId, StepId, Time};
use backtrail::store::Store;
use backtrail::trace::base::Base;
use backtrail::trace::event::{Body, Ending, Out, State};
use backtrail::trace::format::{Format, by_name};
use backtrail::trace::rebuild::{Effect, Evidence, Options, Rebuild, StepRef, Steps};
use backtrail::trace::records;

/// Where the real recordings lie, if they are here.
fn shared() -> Option<PathBuf> {
    let dir = match std::env::var_os("BACKTRAIL_TRACES") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/traces"),
    };
    let found = dir.join("oracle").is_dir();
    if !found {
        eprintln!(
            "SKIPPED: no real recordings in {} (BACKTRAIL_TRACES names another place)",
            dir.display()
        );
    }
    found.then_some(dir)
}

#[derive(Default)]
struct Told {
    outside: usize,
}

impl Steps for Told {
    fn of_call(&self, call: &str) -> Option<StepRef> {
        Some(step(call))
    }

    fn outside(&mut self, _: Option<&StepRef>, title: &str, time: Time) -> StepRef {
        self.outside += 1;
        StepRef {
            title: title.to_owned(),
            time,
            ..step(&format!("outside {}", self.outside))
        }
    }
}

fn step(name: &str) -> StepRef {
    let session = SessionId::of("recording");
    StepRef {
        id: StepId::of(session, name),
        session: Some(session),
        time: Time(0),
        title: name.to_owned(),
    }
}

struct Rebuilt {
    _dir: tempfile::TempDir,
    store: Arc<Store>,
    effects: Vec<Effect>,
}

/// Reads a recording and rebuilds its states.
fn rebuilt(format: &dyn Format, bytes: &[u8], cwd: &str, base: Option<Box<dyn Base>>) -> Rebuilt {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(dir.path()).unwrap());
    let options = Options {
        cwd: cwd.to_owned(),
        base,
        agent: format.name().to_owned(),
        start: Time(0),
        session: Some(SessionId::of("recording")),
    };
    let mut rebuild = Rebuild::new(Arc::clone(&store), options);
    let mut told = Told::default();
    let mut state = State::default();
    records::lines(bytes, 0, 0, &mut |record| {
        let mut out = Out::default();
        format.events(record, &mut state, &mut out);
        let mut effects = Vec::new();
        if format.has_effects(record) {
            format.effects(record, &state, &mut effects);
        }
        rebuild.take(effects, &mut told).unwrap();
        for event in &out.events {
            if let Body::Result(outcome) = &event.body
                && outcome.end != Ending::Open
            {
                let ok = outcome.end == Ending::Ok;
                rebuild.closed(&outcome.id, ok, &mut told).unwrap();
            }
        }
    });
    let settled = rebuild.settle().unwrap();
    let effects = rebuild.effects();
    assert_eq!(settled.effects, effects);
    assert!(store.verify().unwrap().faults.is_empty());
    Rebuilt {
        _dir: dir,
        store,
        effects,
    }
}

/// Git's id of a known content; `None` if there is no file. Panics for what is unknown.
fn git_id(known: &Known) -> Option<String> {
    match known {
        Known::Content { git_sha1, .. } => {
            Some(git_sha1.iter().map(|b| format!("{b:02x}")).collect())
        }
        Known::Absent => None,
        Known::Unknown => Some("unknown".to_owned()),
    }
}

#[derive(serde::Deserialize)]
struct Oracle {
    transcript: String,
    cwd: String,
    steps: Vec<OracleStep>,
}

#[derive(serde::Deserialize)]
struct OracleStep {
    line: usize,
    tool_use_id: String,
    path: String,
    #[serde(default)]
    op: String,
    before: Option<String>,
    after: Option<String>,
    check: String,
}

/// Rebuilds every recording of an agent that has a known truth.
fn each(prefix: &str, check: &mut dyn FnMut(&str, &Oracle, &Rebuilt)) {
    let Some(dir) = shared() else { return };
    let format = by_name(prefix).expect("the format is there");
    let mut names: Vec<PathBuf> = std::fs::read_dir(dir.join("oracle"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    names.sort();
    let mut seen = 0;
    for path in names {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if !name.starts_with(prefix) {
            continue;
        }
        let oracle: Oracle = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let within = oracle.transcript.strip_prefix("shared/").unwrap();
        let bytes = std::fs::read(dir.join(within)).unwrap();
        let rebuilt = rebuilt(format, &bytes, &oracle.cwd, None);
        check(&name, &oracle, &rebuilt);
        seen += 1;
    }
    assert!(seen > 0, "no oracles of {prefix}");
}

#[test]
fn claude_code_is_exact() {
    let (mut exact, mut changed) = (0, 0);
    each("claude", &mut |name, oracle, rebuilt| {
        let mut used = vec![false; rebuilt.effects.len()];
        for step in &oracle.steps {
            let at = rebuilt.effects.iter().position(|e| {
                e.call.as_deref() == Some(&step.tool_use_id) && e.evidence == Evidence::Transcript
            });
            let place = format!("{name} line {} {}", step.line, step.path);
            let Some(at) = at else {
                panic!("{place}: no effect");
            };
            used[at] = true;
            let effect = &rebuilt.effects[at];
            if step.check == "outside" {
                assert!(effect.path.starts_with('/'), "{place}: {}", effect.path);
                // The tool itself adds to what it was asked to write there, so the asked content is not the truth.
                assert!(matches!(effect.after, Known::Content { .. }), "{place}");
                continue;
            }
            assert_eq!(effect.path, step.path, "{place}");
            if step.before.is_none() && step.after.is_none() {
                // Not even the truth is known.
                continue;
            }
            assert_eq!(git_id(&effect.before), step.before, "{place}: before");
            assert_eq!(git_id(&effect.after), step.after, "{place}: after");
            exact += 1;
            if step.check == "changed-outside-edit-tools" {
                let earlier = rebuilt.effects[..at].iter().rev();
                let outside = earlier
                    .clone()
                    .find(|e| e.path == step.path)
                    .expect("an effect before");
                assert_eq!(outside.evidence, Evidence::Outside, "{place}");
                assert_eq!(outside.after, effect.before, "{place}");
                assert_ne!(outside.before, Known::Unknown, "{place}");
                changed += 1;
            }
        }
        for (effect, used) in rebuilt.effects.iter().zip(used) {
            // The truth was made without the subagents, whose calls come as progress of the call that started them.
            if !used {
                let (before, after) = (git_id(&effect.before), git_id(&effect.after));
                let evidence = effect.evidence.word();
                eprintln!(
                    "{name}: also {evidence}: {} {before:?} {after:?}",
                    effect.path
                );
            }
        }
    });
    if shared().is_some() {
        eprintln!("{exact} edits exact, {changed} of them after an outside change");
        assert!(exact > 120 && changed == 2);
    }
}
