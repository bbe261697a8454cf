//! Transcripts of running agents: shown as they are written, and their calls tied to what they changed, without hooks.
//!
//! The agents are stand-ins (`common/standin.rs`): real processes, real files, real formats, and a truth to be compared
//! with.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;
#[path = "common/standin.rs"]
mod standin;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use backtrail::engine::api::{Notice, Request, Response, Row};
use backtrail::engine::client::Client;
use backtrail::engine::source::Source as _;
use backtrail::model::{BlobId, LinkRule, SessionId, StepId, StepKind};
use common::{Place, ask, fuse};
use standin::{Plan, Truth};

/// What the stand-ins do is chosen by it.
const SEED: u64 = 1;

/// Not a test: what the stand-in's process runs.
#[test]
fn agent() {
    if std::env::var_os(standin::PLAN).is_some() {
        standin::act();
    }
}

fn plan(place: &Place, agent: &str, n: u64) -> Plan {
    let session = format!("{n:08x}-aaaa-4bbb-8ccc-{n:012x}");
    let home = place.path("home");
    let project = place.project.canonicalize().unwrap();
    let slug: String = project
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let transcript = match agent {
        "codex" => home.join(format!(
            ".codex/sessions/2026/01/02/rollout-2026-01-02T03-04-05-{session}.jsonl"
        )),
        _ => home.join(format!(".claude/projects/{slug}/{session}.jsonl")),
    };
    Plan {
        agent: agent.into(),
        session,
        project,
        transcript,
        truth: place.path(&format!("truth{n}.json")),
        seed: n,
        answers: 40,
        parallel: false,
        dir: format!("work{n}"),
        faster: 30.0,
        longest: 800,
        bare: n.is_multiple_of(2),
        lag: 300,
        branch: None,
    }
}

/// Runs the stand-in under `backtrail run`, by its agent's name.
fn start(place: &Place, plan: &Plan) -> Child {
    let file = place.path(&format!("plan{}.json", plan.seed));
    std::fs::write(&file, serde_json::to_vec(plan).unwrap()).unwrap();
    let bin = place.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let name = bin.join(&plan.agent);
    if !name.exists() {
        std::os::unix::fs::symlink(std::env::current_exe().unwrap(), &name).unwrap();
    }
    let mut line = vec!["run"];
    if let Some(branch) = &plan.branch {
        line.extend(["--branch", branch]);
    }
    line.push("--");
    place
        .command(line)
        .arg(name)
        .args(["agent", "--exact", "--nocapture", "--test-threads=1"])
        .env(standin::PLAN, file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// All rows that were told of, with the moment of the first time.
#[derive(Default)]
struct Seen {
    first: HashMap<StepId, i64>,
    ended: HashMap<StepId, i64>,
}

async fn listen(client: Arc<Client>, stop: Arc<tokio::sync::Notify>) -> Seen {
    let mut notices = client.notices();
    let mut seen = Seen::default();
    loop {
        tokio::select! {
            () = stop.notified() => return seen,
            notice = notices.recv() => match notice {
                Some(Notice::Row(row)) => {
                    let now = standin::micros();
                    seen.first.entry(row.step).or_insert(now);
                    if row.end.is_some() {
                        seen.ended.entry(row.step).or_insert(now);
                    }
                }
                Some(_) => {}
                None => return seen,
            }
        }
    }
}

async fn rows(client: &Client) -> Vec<Row> {
    let mut out: Vec<Row> = Vec::new();
    loop {
        let after = out.last().map(|r| r.ordinal);
        let Response::Rows(page) = ask(client, Request::Rows { after, limit: 500 }).await else {
            panic!("no rows")
        };
        if page.rows.is_empty() {
            return out;
        }
        out.extend(page.rows);
    }
}

/// What each step is tied to: path, content after it, rule and confidence.
async fn ties(client: &Client, rows: &[Row]) -> HashMap<StepId, Vec<Tie>> {
    let mut out: HashMap<StepId, Vec<Tie>> = HashMap::new();
    for row in rows.iter().filter(|r| r.commits > 0) {
        let Response::Step(detail) = ask(client, Request::Step { id: row.step }).await else {
            panic!("no step")
        };
        for (info, link) in detail.commits {
            let rev = info.id.to_hex();
            let Response::Commit(commit) = ask(client, Request::Show { rev }).await else {
                panic!("no commit")
            };
            for change in commit.changes {
                let mut sides = vec![(change.path.to_string(), change.after.and_then(|e| e.blob))];
                sides.extend(change.from.map(|p| (p.to_string(), None)));
                for (path, after) in sides {
                    out.entry(row.step).or_default().push(Tie {
                        path,
                        after,
                        rule: link.rule,
                        sure: link.confidence,
                    });
                }
            }
        }
    }
    out
}

#[derive(Debug, Clone)]
struct Tie {
    path: String,
    after: Option<BlobId>,
    rule: LinkRule,
    sure: u8,
}

#[derive(Default)]
struct Score {
    all: usize,
    right: usize,
    wrong: BTreeMap<String, usize>,
    rules: BTreeMap<String, (usize, u32)>,
}

impl Score {
    fn part(&self) -> f64 {
        self.right as f64 / self.all.max(1) as f64
    }
}

fn step_of(session: &str, call: &str) -> StepId {
    StepId::of(SessionId::of(session), &format!("call:{call}"))
}

fn score(name: &str, truths: &[Truth], rows: &[Row], ties: &HashMap<StepId, Vec<Tie>>) -> Score {
    let mut score = Score::default();
    let by_step: HashMap<StepId, &Row> = rows.iter().map(|r| (r.step, r)).collect();
    for deed in truths.iter().flat_map(|t| &t.deeds) {
        score.all += 1;
        let step = step_of(&deed.session, &deed.call);
        let after = deed.after.as_ref().map(|t| BlobId::of(t.as_bytes()));
        let is = |t: &&Tie| t.path == deed.path && t.after == after;
        if let Some(tie) = ties.get(&step).and_then(|all| all.iter().find(is)) {
            score.right += 1;
            if tie.rule == LinkRule::Time {
                eprintln!(
                    "  {name}: by time only: {} {} {}",
                    deed.call, deed.what, deed.path
                );
            }
            let rule = score.rules.entry(format!("{:?}", tie.rule)).or_default();
            rule.0 += 1;
            rule.1 += u32::from(tie.sure);
            continue;
        }
        let elsewhere = ties
            .iter()
            .find(|(_, all)| all.iter().any(|t| is(&t)))
            .and_then(|(s, _)| by_step.get(s));
        let why = match elsewhere {
            Some(row) => format!("{} is with {:?}", deed.what, row.kind),
            None => format!("{} is nowhere", deed.what),
        };
        eprintln!(
            "  {name}: {} {} {}: {why}; step {:?} {:?}, its ties {:?}; with {:?}",
            deed.call,
            deed.what,
            deed.path,
            by_step.get(&step).map(|r| r.ordinal.to_string()),
            by_step.get(&step).map(|r| &r.title),
            ties.get(&step)
                .map(|t| t.iter().map(|t| &t.path).collect::<Vec<_>>()),
            elsewhere.map(|r| (r.ordinal.to_string(), &r.title)),
        );
        for other in truths.iter().flat_map(|t| &t.deeds) {
            if other.path == deed.path && (other.at - deed.at).abs() < 1_000_000 {
                let after = (other.at - deed.at) / 1000;
                eprintln!("    {after} ms later: {} {}", other.call, other.what);
            }
        }
        *score.wrong.entry(why).or_default() += 1;
    }
    score
}

fn quantile(sorted: &[i64], q: f64) -> f64 {
    let i = ((sorted.len() as f64 - 1.0) * q).round() as usize;
    sorted.get(i).copied().unwrap_or(0) as f64 / 1000.0
}

/// Runs the plans at once in one project and gives the score.
fn measure(name: &str, place: &Place, plans: &[Plan]) -> (Score, Vec<i64>, Vec<Row>) {
    let children: Vec<Child> = plans.iter().map(|p| start(place, p)).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stop = Arc::new(tokio::sync::Notify::new());
    let client = runtime.block_on(place.client());
    let listening = runtime.spawn(listen(Arc::clone(&client), Arc::clone(&stop)));
    let begun = Instant::now();
    let mut by_person = 0;
    for mut child in children {
        while child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(120), "{name} hangs");
            // A person works on the same project meanwhile.
            if begun.elapsed() > Duration::from_millis(1300) * (by_person + 1) {
                by_person += 1;
                place.write(&format!("person/{by_person}.txt"), "by hand\n");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let rows = runtime.block_on(rows(&client));
    let ties = runtime.block_on(ties(&client, &rows));
    stop.notify_one();
    let seen = runtime.block_on(listening).unwrap();
    let truths: Vec<Truth> = plans
        .iter()
        .map(|p| serde_json::from_slice(&std::fs::read(&p.truth).unwrap()).unwrap())
        .collect();
    let mut score = score(name, &truths, &rows, &ties);
    for n in 1..=by_person {
        score.all += 1;
        let path = format!("person/{n}.txt");
        let mut by_step = ties
            .iter()
            .filter(|(_, all)| all.iter().any(|t| t.path == path));
        let owner = by_step
            .next()
            .and_then(|(s, _)| rows.iter().find(|r| r.step == *s));
        match owner.map(|r| r.kind) {
            Some(StepKind::Outside) => score.right += 1,
            other => {
                let why = format!("a person's is with {other:?}");
                *score.wrong.entry(why).or_default() += 1;
            }
        }
    }
    let mut delays: Vec<i64> = Vec::new();
    for (plan, truth) in plans.iter().zip(&truths) {
        for (call, at) in truth.written.iter().filter(|(id, _)| !id.is_empty()) {
            let told = seen.first.get(&step_of(&plan.session, call));
            delays.push(told.map_or(i64::MAX, |t| t - at));
        }
    }
    delays.sort_unstable();
    eprintln!(
        "{name}: {} of {} changes tied rightly ({:.1} %), wrong {:?}; rules {:?}; line to row median {:.1} ms, p99 {:.1} ms, most {:.1} ms of {}",
        score.right,
        score.all,
        100.0 * score.part(),
        score.wrong,
        score.rules,
        quantile(&delays, 0.5),
        quantile(&delays, 0.99),
        quantile(&delays, 1.0),
        delays.len(),
    );
    (score, delays, rows)
}

fn check(part: &Score, bound: f64, delays: &[i64]) {
    assert!(part.all >= 30, "only {} changes", part.all);
    assert!(part.part() >= bound, "{:.3}", part.part());
    assert!(quantile(delays, 0.99) < 200.0);
}

#[test]
fn one_call_after_the_other() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("README", "x\n");
    let plans = [
        plan(&place, "claude", SEED),
        plan(&place, "codex", SEED + 1),
    ];
    let (score, delays, rows) = measure("sequential", &place, &plans);
    check(&score, 0.97, &delays);
    // Nothing appears twice, and everything belongs to the agent's own session.
    let mut ids = HashSet::new();
    assert!(rows.iter().all(|r| ids.insert(r.step)));
    for plan in &plans {
        let own = Some(SessionId::of(&plan.session));
        let calls = rows
            .iter()
            .filter(|r| r.session == own && r.kind == StepKind::Call);
        assert!(calls.count() >= plan.answers);
    }
}

/// The same files at the same time, each on a fork of its own.
#[test]
fn two_of_the_same_agent_on_two_forks() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("README", "x\n");
    let plans: Vec<Plan> = [("a", SEED + 4), ("b", SEED + 5)]
        .map(|(branch, n)| Plan {
            answers: 24,
            dir: "work".into(),
            branch: Some(branch.into()),
            ..plan(&place, "claude", n)
        })
        .into();
    let (score, delays, _) = measure("forks", &place, &plans);
    check(&score, 0.95, &delays);
    assert!(!place.project.join("work").exists());
}

#[test]
fn two_of_the_same_agent_with_parallel_calls() {
    if !fuse() {
        return;
    }
    let place = Place::new();
    place.write("README", "x\n");
    let plans: Vec<Plan> = [SEED + 2, SEED + 3]
        .map(|n| Plan {
            parallel: true,
            answers: 24,
            ..plan(&place, "claude", n)
        })
        .into();
    let (score, delays, _) = measure("parallel", &place, &plans);
    check(&score, 0.95, &delays);
}
