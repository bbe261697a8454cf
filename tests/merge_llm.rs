//! A merge whose conflicts a language model settles: the real engine, the real program, a provider on a real socket.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;
mod llm_common;

use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use backtrail::engine::assist::{Ask, Assistant, Error, HunkAsk, News};
use backtrail::llm::{Budget, Client, Config, KeyFrom, Provider};
use backtrail::model::RepoPath;
use common::{Place, fuse};
use llm_common::{FakeLlm, Say, Seen, Speaks, proposal};

const BASE: &str = "fn a() {\n    one();\n}\n\n// apart\n\nfn b() {\n    two();\n}\n";

/// Two branches on which agents changed the same two lines of a file.
fn place() -> Place {
    let place = Place::new();
    place.write("src/x.rs", BASE);
    place.ok(&["init"]);
    place.ok(&["switch", "-c", "try-2"]);
    agent(&place, "theirs", "speed");
    place.ok(&["switch", "main"]);
    agent(&place, "ours", "memory");
    place
}

/// An agent that was asked for something and changed the two lines.
fn agent(place: &Place, side: &str, reason: &str) {
    let script = format!(
        r#"
        printf '%s\n' '{{"type":"prompt","text":"do it because of {reason}"}}' \
            '{{"type":"thought","text":"{reason} matters most"}}' \
            '{{"type":"call","id":"c","name":"Edit","kind":"edit","input":{{"path":"src/x.rs"}}}}' | "$BT" emit
        sed -i 's/one()/one({side})/; s/two()/two({side})/' src/x.rs
        printf '%s\n' '{{"type":"result","id":"c"}}' | "$BT" emit
        "#
    );
    let out = place.run(&script);
    assert!(out.status.success(), "{}", text(&out.stderr));
}

fn settled() -> String {
    BASE.replace("one()", "one(both)")
        .replace("two()", "two(both)")
}

/// Proposes `both` for whichever hunk is asked about.
fn good(seen: &Seen) -> Say {
    let name = if seen.text.contains("part 1 of 2") {
        "one"
    } else {
        "two"
    };
    Say::proposals(&[proposal(
        &format!("    {name}(both);\n"),
        "Both are kept.",
        &[],
        "high",
    )])
}

fn run(place: &Place, llm: &FakeLlm, args: &[&str]) -> Output {
    let dir = place.path("home/.config/backtrail");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("config.toml"), llm.toml()).unwrap();
    bare(place, args)
}

fn bare(place: &Place, args: &[&str]) -> Output {
    place
        .command(args)
        .env_remove("XDG_CONFIG_HOME")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn file(place: &Place) -> String {
    std::fs::read_to_string(place.project.join("src/x.rs")).unwrap()
}

fn meta(place: &Place, key: &str) -> serde_json::Value {
    let commit = place.json(&["show", "@", "--json"]).remove(0);
    let said = commit["meta"][key].as_str().unwrap_or("null");
    serde_json::from_str(said).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn proposals_settle_an_unfinished_merge_and_stay_in_the_record() {
    if !fuse() {
        return;
    }
    let place = place();
    let _engine = place.engine(None);
    let client = place.client().await;
    let before = file(&place);
    assert_eq!(place.bt(&["merge", "try-2"]).status.code(), Some(1));
    let llm = FakeLlm::start(Speaks::Anthropic, good);
    let config = Config {
        url: Some(llm.url()),
        key: KeyFrom::Command("echo k".to_owned()),
        timeout: Duration::from_secs(20),
        ..Config::new(Provider::Anthropic, "test-model")
    };
    let model = Client::with_budget(config, Arc::new(Budget::default()));
    let assistant = Assistant::with_client(client, Arc::new(model));

    // The first by a person who looks at it.
    let at = RepoPath::try_from("src/x.rs").unwrap();
    let ask = || Ask::Hunk(HunkAsk::new(at.clone(), 0));
    let Some(News::Proposals(found)) = assistant.ask(ask()).last().await else {
        panic!("no proposals");
    };
    let asked = &llm.requests()[0].text;
    for part in [
        "one(ours)",
        "one(theirs)",
        "    one();",
        "do it because of speed",
        "do it because of memory",
        "memory matters most",
    ] {
        assert!(asked.contains(part), "no {part} in {asked}");
    }
    assert_eq!(
        file(&place),
        before,
        "nothing is written before it is finished"
    );
    let info = assistant
        .accept(&at, 0, &found.proposals[0], true)
        .await
        .unwrap();
    assert_eq!((info.conflicts[0].settled, info.left), (1, 1));
    assert!(!info.conflicts[0].unreviewed);
    // The second by nobody.
    let out = assistant.resolve_all(&mut |_| ()).await.unwrap();
    assert_eq!(out.hunks.len(), 1);
    assert_eq!(out.merge.unwrap().left, 0);
    assert_eq!(llm.requests().len(), 2);

    place.ok(&["merge", "--continue"]);
    assert_eq!(file(&place), settled());
    assert_eq!(meta(&place, "unreviewed"), serde_json::json!(["src/x.rs"]));
    let proposals = meta(&place, "proposals");
    let proposals = proposals.as_array().unwrap();
    assert_eq!(proposals.len(), 2, "{proposals:?}");
    for one in proposals {
        assert_eq!(one["model"], "test-model");
        assert_eq!(one["accepted"], true);
        assert_eq!(one["prompt_hash"].as_str().unwrap().len(), 64);
    }
    place.ok(&["undo"]);
    assert_eq!(file(&place), before);
    let Some(News::Failed(e)) = assistant.ask(ask()).last().await else {
        panic!("asked without a merge");
    };
    assert!(matches!(e, Error::NoHunk { .. }), "{e}");
}

#[test]
fn the_resolver_finishes_what_it_is_sure_of_and_lists_it() {
    if !fuse() {
        return;
    }
    let place = place();
    let llm = FakeLlm::start(Speaks::OpenAi, good);
    let out = run(&place, &llm, &["merge", "try-2", "--resolver", "llm"]);
    let said = text(&out.stdout);
    assert!(out.status.success(), "{said}\n{}", text(&out.stderr));
    assert!(
        said.contains("unreviewed") && said.contains("src/x.rs"),
        "{said}"
    );
    assert_eq!(file(&place), settled());
    assert_eq!(meta(&place, "unreviewed"), serde_json::json!(["src/x.rs"]));
    assert_eq!(llm.requests().len(), 2);
}

#[test]
fn what_it_is_not_sure_of_is_left_and_nothing_is_written() {
    if !fuse() {
        return;
    }
    let place = place();
    let before = file(&place);
    let llm = FakeLlm::start(Speaks::Ollama, |seen| {
        if seen.number == 0 {
            good(seen)
        } else {
            Say::proposals(&[proposal("    guess();\n", "A guess.", &[], "low")])
        }
    });
    let out = run(&place, &llm, &["merge", "try-2", "--resolver", "llm"]);
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
    assert!(
        text(&out.stderr).contains("not sure enough"),
        "{}",
        text(&out.stderr)
    );
    assert_eq!(file(&place), before);
    let status = place.ok(&["merge", "--status"]);
    assert!(status.contains("src/x.rs"), "{status}");
}

#[test]
fn without_a_model_no_merge_is_begun() {
    if !fuse() {
        return;
    }
    let place = place();
    let out = bare(&place, &["merge", "try-2", "--resolver", "llm"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("no model is configured"));
    let status = place.ok(&["merge", "--status"]);
    assert!(status.contains("no merge is unfinished"), "{status}");
}

#[test]
fn a_dry_run_prints_what_is_asked_of_each_hunk_and_sends_nothing() {
    if !fuse() {
        return;
    }
    let place = place();
    let llm = FakeLlm::start(Speaks::OpenAi, good);
    let args = ["merge", "try-2", "--resolver", "llm", "--dry-run"];
    let plan = run(&place, &llm, &args);
    assert!(
        text(&plan.stderr).contains("--resolver llm --dry-run prints it"),
        "{}",
        text(&plan.stderr)
    );
    assert!(
        place
            .ok(&["merge", "--status"])
            .contains("no merge is unfinished")
    );
    assert_eq!(place.bt(&["merge", "--dry-run"]).status.code(), Some(2));
    assert_eq!(place.bt(&["merge", "try-2"]).status.code(), Some(1));
    let before = place.ok(&["merge", "--status"]);
    let dry = run(&place, &llm, &["merge", "--resolver", "llm", "--dry-run"]);
    let printed = text(&dry.stdout);
    assert!(dry.status.success(), "{}", text(&dry.stderr));
    for part in [
        "one(ours)",
        "one(theirs)",
        "part 1 of 2",
        "part 2 of 2",
        "two(theirs)",
    ] {
        assert!(printed.contains(part), "no {part} in {printed}");
    }
    assert_eq!(llm.requests().len(), 0);
    assert_eq!(place.ok(&["merge", "--status"]), before);
}
