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

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backtrail::model::{Known, SessionId, StepId, Time, TreeId};
use backtrail::store::Store;
use backtrail::trace::base::{self, Base};
use backtrail::trace::event::{
    Before, Body, Ending, FileEffect, Out, Replacement, Stage, State, What,
};
use backtrail::trace::format::{Format, by_name};
use backtrail::trace::rebuild::{Effect, Evidence, Options, Rebuild, StepRef, Steps};
use backtrail::trace::records;
use serde_json::json;

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

#[test]
fn codex_adds_are_exact_and_nothing_known_is_wrong() {
    let (mut adds, mut known, mut unknown) = (0, 0, 0);
    each("codex", &mut |name, oracle, rebuilt| {
        for step in &oracle.steps {
            let place = format!("{name} line {} {}", step.line, step.path);
            let effect = rebuilt
                .effects
                .iter()
                .find(|e| {
                    e.call.as_deref() == Some(&step.tool_use_id)
                        && (e.path == step.path || step.check == "outside")
                })
                .unwrap_or_else(|| panic!("{place}: no effect"));
            assert_eq!(effect.evidence, Evidence::Transcript);
            if step.op == "add" {
                assert_eq!(git_id(&effect.before), step.before, "{place}: before");
                assert_eq!(git_id(&effect.after), step.after, "{place}: after");
                adds += 1;
            }
            for (said, was) in [(&effect.before, &step.before), (&effect.after, &step.after)] {
                match said {
                    Known::Unknown => unknown += 1,
                    said => {
                        assert_eq!(git_id(said), *was, "{place}");
                        known += 1;
                    }
                }
            }
        }
    });
    if shared().is_some() {
        eprintln!(
            "{adds} adds exact; {known} contents known, {unknown} not, for want of the repositories"
        );
        assert!(adds >= 6);
    }
}

/// A repository, and a session over it as Codex writes one, with the truth about every change.
struct Session {
    repo: tempfile::TempDir,
    commit: String,
    lines: Vec<String>,
    files: BTreeMap<String, String>,
    /// Path, content before and after.
    truth: Vec<(String, Option<String>, Option<String>)>,
    seed: u64,
}

const CWD: &str = "/home/somebody/project";

fn git(dir: &Path, args: &[&str]) -> String {
    let out = std::process::Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(["-c", "user.name=x", "-c", "user.email=x@example.com"])
        .args(args)
        .output()
        .expect("git is there");
    assert!(out.status.success(), "{args:?}: {out:?}");
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

impl Session {
    fn new(seed: u64) -> Self {
        let repo = tempfile::tempdir().unwrap();
        git(repo.path(), &["init", "-q"]);
        let mut files = BTreeMap::new();
        for (name, count) in [
            ("src/main.rs", 60),
            ("src/deep/er/lib.rs", 20),
            ("README.md", 8),
            ("gone.txt", 3),
        ] {
            let text: String = (0..count).map(|i| format!("{name} line {i}\n")).collect();
            let path = repo.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &text).unwrap();
            files.insert(name.to_owned(), text);
        }
        git(repo.path(), &["add", "-A"]);
        git(repo.path(), &["commit", "-q", "-m", "start"]);
        let commit = git(repo.path(), &["rev-parse", "HEAD"]);
        let mut session = Self {
            repo,
            commit: commit.clone(),
            lines: Vec::new(),
            files,
            truth: Vec::new(),
            seed,
        };
        session.line("session_meta", json!({
            "id": "0199aaaa-0000-7000-8000-000000000001", "timestamp": "2026-05-01T10:00:00.000Z",
            "cwd": CWD, "originator": "codex_cli_rs", "cli_version": "0.142.2", "source": "cli",
            "model_provider": "openai", "git": {"commit_hash": commit, "branch": "main"},
        }));
        session
    }

    fn next(&mut self, below: usize) -> usize {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) as usize % below.max(1)
    }

    fn line(&mut self, kind: &str, payload: serde_json::Value) {
        let n = self.lines.len();
        let time = format!(
            "2026-05-01T10:{:02}:{:02}.{:03}Z",
            n / 60 % 60,
            n % 60,
            n % 1000
        );
        self.lines
            .push(json!({"timestamp": time, "type": kind, "payload": payload}).to_string());
    }

    /// A call of `apply_patch`; newer versions tell what it did, older ones only that it went well.
    fn patch(&mut self, text: &str, changes: serde_json::Value, tells: bool, ok: bool) {
        let call = format!("call_{}", self.lines.len());
        let input = format!("*** Begin Patch\n{text}*** End Patch\n");
        self.line("response_item", json!({
            "type": "custom_tool_call", "status": "completed", "call_id": call, "name": "apply_patch", "input": input,
        }));
        if tells {
            self.line("event_msg", json!({
                "type": "patch_apply_end", "call_id": call, "turn_id": "t", "success": ok, "changes": changes,
                "stdout": "Success. Updated the following files:\n", "stderr": "",
            }));
        }
        let output = if ok {
            json!({"output": "Success. Updated the following files:\n", "metadata": {"exit_code": 0, "duration_seconds": 0.0}})
        } else {
            json!({"output": "apply_patch verification failed: no such lines", "metadata": {"exit_code": 1, "duration_seconds": 0.0}})
        };
        self.line(
            "response_item",
            json!({
                "type": "custom_tool_call_output", "call_id": call, "output": output.to_string(),
            }),
        );
    }

    /// Replaces, adds or removes lines of a file, in up to three places.
    fn edited(&mut self, text: &str) -> String {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for _ in 0..=self.next(3) {
            let at = self.next(lines.len());
            let new = format!("new line {}", self.seed >> 20);
            match self.next(3) {
                0 => lines[at] = new,
                1 => lines.insert(at, new),
                _ if lines.len() > 3 => {
                    lines.remove(at);
                }
                _ => lines.push(new),
            }
        }
        lines.iter().map(|l| format!("{l}\n")).collect()
    }

    fn step(&mut self) {
        let tells = self.next(2) == 0;
        let names: Vec<String> = self.files.keys().cloned().collect();
        let path = names[self.next(names.len())].clone();
        let full = format!("{CWD}/{path}");
        let old = self.files[&path].clone();
        let n = self.lines.len();
        match self.next(8) {
            0 => {
                let new = format!("new/file {n}.txt");
                let text = self.edited("one\ntwo\n");
                let body: String = text.lines().map(|l| format!("+{l}\n")).collect();
                let changes = json!({format!("{CWD}/{new}"): {"type": "add", "content": text}});
                self.patch(
                    &format!("*** Add File: {new}\n{body}"),
                    changes,
                    tells,
                    true,
                );
                self.change(&new, Some(text));
            }
            1 if names.len() > 3 => {
                let changes = json!({full: {"type": "delete", "content": old}});
                self.patch(&format!("*** Delete File: {path}\n"), changes, tells, true);
                self.change(&path, None);
            }
            2 => {
                let to = format!("moved/{n}.rs");
                let text = self.edited(&old);
                let (hunks, diff) = compared(&old, &text);
                let changes = json!({full: {
                    "type": "update", "unified_diff": diff, "move_path": format!("{CWD}/{to}"),
                }});
                self.patch(
                    &format!("*** Update File: {path}\n*** Move to: {to}\n{hunks}"),
                    changes,
                    tells,
                    true,
                );
                self.change(&path, None);
                self.change(&to, Some(text));
            }
            3 => {
                // Refused: nothing happens.
                self.patch(
                    &format!("*** Update File: {path}\n@@\n-nowhere\n+x\n"),
                    json!({}),
                    tells,
                    false,
                );
            }
            _ => {
                let text = self.edited(&old);
                let (hunks, diff) = compared(&old, &text);
                let changes = json!({full.clone(): {"type": "update", "unified_diff": diff, "move_path": null}});
                self.patch(
                    &format!("*** Update File: {full}\n{hunks}"),
                    changes,
                    tells,
                    true,
                );
                self.change(&path, Some(text));
            }
        }
    }

    fn change(&mut self, path: &str, after: Option<String>) {
        let before = match &after {
            Some(text) => self.files.insert(path.to_owned(), text.clone()),
            None => self.files.remove(path),
        };
        self.truth.push((path.to_owned(), before, after));
    }

    /// Git's ids of the truth, by git.
    fn ids(&self) -> Vec<(Option<String>, Option<String>)> {
        let dir = tempfile::tempdir().unwrap();
        let sides = self
            .truth
            .iter()
            .flat_map(|(_, before, after)| [before, after]);
        let mut names = Vec::new();
        for (i, text) in sides.clone().enumerate() {
            if let Some(text) = text {
                let path = dir.path().join(i.to_string());
                std::fs::write(&path, text).unwrap();
                names.push(path.to_str().unwrap().to_owned());
            }
        }
        let mut args = vec!["hash-object", "--no-filters"];
        args.extend(names.iter().map(String::as_str));
        let out = git(self.repo.path(), &args);
        let mut ids = out.lines().map(str::to_owned);
        let mut side = |text: &Option<String>| text.as_ref().map(|_| ids.next().unwrap());
        self.truth
            .iter()
            .map(|(_, before, after)| (side(before), side(after)))
            .collect()
    }
}

/// The hunks of a difference in both notations: as `apply_patch` takes them, and as a unified diff.
fn compared(old: &str, new: &str) -> (String, String) {
    let diff = backtrail::diff::text::unified(old.as_bytes(), new.as_bytes(), "a", "b", 1);
    let diff = String::from_utf8(diff).unwrap();
    let diff = diff.find("@@ ").map_or("", |at| &diff[at..]).to_owned();
    let hunks = diff
        .lines()
        .map(|l| {
            if l.starts_with("@@ ") {
                "@@\n".to_owned()
            } else {
                format!("{l}\n")
            }
        })
        .collect();
    (hunks, diff)
}

#[test]
fn codex_updates_are_exact_with_their_base() {
    let codex = by_name("codex").expect("the format is there");
    for seed in 1..=3 {
        let mut session = Session::new(seed);
        for _ in 0..40 {
            session.step();
        }
        let bytes = session.lines.join("\n");
        // The commit is found by the name that the session gives it.
        let dir = session.repo.path();
        let rev = base::find(dir, Time::now(), Some(&session.commit), &[])
            .unwrap()
            .unwrap();
        assert_eq!(rev, session.commit);
        let with = rebuilt(
            codex,
            bytes.as_bytes(),
            CWD,
            Some(Box::new(base::Git::open(dir, &rev).unwrap())),
        );
        let said: Vec<_> = with
            .effects
            .iter()
            .map(|e| (e.path.clone(), git_id(&e.before), git_id(&e.after)))
            .collect();
        let truth: Vec<_> = session
            .truth
            .iter()
            .zip(session.ids())
            .map(|((path, _, _), (before, after))| (path.clone(), before, after))
            .collect();
        assert_eq!(said, truth, "seed {seed}");
        assert!(
            with.effects
                .iter()
                .all(|e| e.evidence == Evidence::Transcript)
        );
        // The last state, read from the store.
        let head = with.store.commits(None, 1).unwrap().remove(0);
        for (path, text) in &session.files {
            let touched = session.truth.iter().any(|(p, _, _)| p == path);
            if touched {
                let found = content(&with.store, head.commit.tree, path);
                assert_eq!(found.as_ref(), Some(text), "{path}");
            }
        }
        // Without it, what is known is right all the same.
        let without = rebuilt(codex, bytes.as_bytes(), CWD, None);
        assert_eq!(without.effects.len(), truth.len());
        for (effect, (path, before, after)) in without.effects.iter().zip(&truth) {
            assert_eq!(effect.path, *path);
            for (said, was) in [(&effect.before, before), (&effect.after, after)] {
                assert!(
                    *said == Known::Unknown || git_id(said) == *was,
                    "{path}: {said:?}"
                );
            }
        }
    }
}

fn content(store: &Store, root: TreeId, path: &str) -> Option<String> {
    let mut tree = store.tree(root).unwrap();
    let (dirs, name) = path.rsplit_once('/').unwrap_or(("", path));
    for dir in dirs.split('/').filter(|d| !d.is_empty()) {
        tree = store.tree(tree.get(dir.as_bytes())?.kind.tree()?).unwrap();
    }
    let blob = tree.get(name.as_bytes())?.kind.blob()?;
    Some(String::from_utf8(store.blob(blob).unwrap()).unwrap())
}

/// Many edits of files of a usual size: the time is printed, and bounded far above what it is.
#[test]
fn many_edits_are_quick() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(dir.path()).unwrap());
    let options = Options {
        cwd: CWD.to_owned(),
        base: None,
        agent: "claude".to_owned(),
        start: Time(0),
        session: None,
    };
    let mut rebuild = Rebuild::new(Arc::clone(&store), options);
    let mut told = Told::default();
    let mut files: Vec<String> = (0..50)
        .map(|f| {
            (0..250)
                .map(|l| format!("file {f} line {l} is a line of code\n"))
                .collect()
        })
        .collect();
    let began = std::time::Instant::now();
    for i in 0..3000 {
        let text = &mut files[i % 50];
        let old = format!("line {} is", i / 50);
        let new = format!("line {} was, after edit {i},", i / 50);
        let effect = FileEffect {
            call: format!("call {i}"),
            path: format!("{CWD}/src/part{}/file{}.rs", i % 50 % 7, i % 50),
            cwd: None,
            time: Some(Time(i as i64)),
            stage: Stage::Applied,
            before: Before::Content(text.clone()),
            what: What::Replace(vec![Replacement {
                old: old.clone(),
                new: new.clone(),
                all: false,
            }]),
        };
        *text = text.replacen(&old, &new, 1);
        rebuild.take(vec![effect], &mut told).unwrap();
    }
    let taken = began.elapsed();
    assert_eq!(rebuild.settle().unwrap().commits.len(), 3001);
    eprintln!(
        "3,000 edits: taken in {taken:?}, settled after {:?}",
        began.elapsed()
    );
    assert_eq!(told.outside, 0);
    assert!(began.elapsed().as_secs() < 60);
}
