//! The assist against providers on real sockets: each format, and everything that can go wrong on the way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod llm_common;
#[path = "llm_common/source.rs"]
mod source;

use std::sync::Arc;
use std::time::{Duration, Instant};

use backtrail::engine::api::PickOrigin;
use backtrail::engine::assist::{
    Ask, Assistant, Confidence, Error, HunkAsk, News, Progress, Proposal, Proposals,
};
use backtrail::llm::{self, Budget, Client, Config, KeyFrom, Provider};
use backtrail::merge::resolve::Pick;
use backtrail::model::RepoPath;
use llm_common::{FakeLlm, KEY, Say, Speaks, proposal};
use serde_json::json;
use source::{Merge, hunk, settled};

const ALL: [Speaks; 3] = [Speaks::OpenAi, Speaks::Anthropic, Speaks::Ollama];

fn config(llm: &FakeLlm, speaks: Speaks) -> Config {
    let provider = match speaks {
        Speaks::OpenAi => Provider::OpenAi,
        Speaks::Anthropic => Provider::Anthropic,
        Speaks::Ollama => Provider::Ollama,
    };
    Config {
        url: Some(llm.url()),
        key: KeyFrom::Command(format!("echo {KEY}")),
        timeout: Duration::from_secs(20),
        ..Config::new(provider, "test-model")
    }
}

fn assistant(merge: &Arc<Merge>, config: Config) -> Assistant {
    let client = Client::with_budget(config, Arc::new(Budget::default()));
    Assistant::with_client(merge.clone(), Arc::new(client))
}

fn path(path: &str) -> RepoPath {
    RepoPath::try_from(path).unwrap()
}

fn first() -> Ask {
    Ask::Hunk(HunkAsk::new(path("src/token.rs"), 0))
}

fn good() -> Say {
    Say::proposals(&[
        proposal(
            "    let exp = self.expires_at();\n    debug!(exp, now);\n",
            "Both are kept: the conversion moves, the log line stays.",
            &["142", "176"],
            "high",
        ),
        proposal(
            "    let exp = self.expires_at();\n",
            "Theirs.",
            &["176"],
            "low",
        ),
    ])
}

/// Asks about the usual hunk and gives all the news.
async fn news(merge: &Arc<Merge>, config: Config) -> Vec<News> {
    let mut asking = assistant(merge, config).ask(first());
    let mut all = Vec::new();
    while let Some(one) = asking.next().await {
        all.push(one);
    }
    all
}

async fn failure(speaks: Speaks, say: Say, change: impl Fn(&mut Config)) -> Error {
    let llm = FakeLlm::scripted(speaks, [say]);
    let mut config = config(&llm, speaks);
    change(&mut config);
    let merge = Arc::new(Merge::usual());
    let mut all = news(&merge, config).await;
    assert!(merge.picks.lock().unwrap().is_empty());
    assert!(
        merge.records.lock().unwrap().is_empty(),
        "nothing was shown"
    );
    match all.pop() {
        Some(News::Failed(e)) => e,
        other => panic!("{speaks:?}: {other:?}"),
    }
}

async fn llm_failure(speaks: Speaks, say: Say) -> llm::Error {
    match failure(speaks, say, |_| {}).await {
        Error::Llm(e) => e,
        other => panic!("{speaks:?}: {other}"),
    }
}

async fn proposals(say: Say) -> Proposals {
    let llm = FakeLlm::scripted(Speaks::OpenAi, [say]);
    let merge = Arc::new(Merge::usual());
    let config = Config {
        max_tokens: 100_000,
        ..config(&llm, Speaks::OpenAi)
    };
    match news(&merge, config).await.pop() {
        Some(News::Proposals(found)) => found,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_format_streams_words_and_ends_with_checked_proposals() {
    for speaks in ALL {
        let llm = FakeLlm::scripted(speaks, [good()]);
        let merge = Arc::new(Merge::usual());
        let all = news(&merge, config(&llm, speaks)).await;
        let [
            News::Prompt(sent),
            texts @ ..,
            News::Usage(usage),
            News::Proposals(found),
        ] = all.as_slice()
        else {
            panic!("{speaks:?}: {all:?}");
        };
        let words: String = texts
            .iter()
            .map(|n| match n {
                News::Text(text) => text.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            words,
            "Both are kept: the conversion moves, the log line stays.\n\nTheirs.\n"
        );
        assert!(texts.len() > 5, "in pieces");
        assert_eq!(
            (usage.input, usage.output, usage.estimated),
            (812, 34, false)
        );
        let [both, theirs] = found.proposals.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(
            both.text,
            b"    let exp = self.expires_at();\n    debug!(exp, now);\n"
        );
        assert_eq!(both.confidence, Confidence::High);
        assert_eq!(
            both.cites
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            ["142", "176"]
        );
        assert_eq!(theirs.notes, ["the same as theirs"]);
        // What was shown is in the record, with the model and the hash of what was sent.
        let records = merge.records.lock().unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].2.model, "test-model");
        assert_eq!(records[0].2.prompt_hash, sent.hash);
        assert_eq!(records[0].2.tokens, (812, 34));
        assert!(!records[0].2.accepted);
        drop(records);

        let seen = llm.requests().remove(0);
        let (wanted, header, value) = match speaks {
            Speaks::OpenAi => (
                "/v1/chat/completions",
                "authorization",
                format!("Bearer {KEY}"),
            ),
            Speaks::Anthropic => ("/v1/messages", "x-api-key", KEY.to_owned()),
            Speaks::Ollama => ("/api/chat", "authorization", format!("Bearer {KEY}")),
        };
        assert_eq!(seen.path, wanted);
        assert_eq!(seen.headers[header], value);
        assert_eq!(seen.body["model"], "test-model");
        assert_eq!(seen.body["stream"], true);
        // The evidence: base, both sides, surroundings, both reasons.
        for part in [
            "fn expired(&self, now: u64)",
            "debug!(exp, now);",
            "self.expires_at()",
            "    exp <= now",
            "step 142 (Edit)",
            "add a log line",
            "fix the expiry",
            "ours is the branch: main\ntheirs is the branch: try-2\n",
        ] {
            assert!(
                seen.text.contains(part),
                "{speaks:?}: no {part} in {}",
                seen.text
            );
        }
    }
}

#[tokio::test]
async fn accepting_picks_under_the_models_name_and_a_changed_hunk_is_refused() {
    let llm = FakeLlm::scripted(Speaks::OpenAi, [good()]);
    let merge = Arc::new(Merge::usual());
    let assistant = assistant(&merge, config(&llm, Speaks::OpenAi));
    let Some(News::Proposals(found)) = assistant.ask(first()).last().await else {
        panic!("no proposals");
    };
    let (at, one) = (path("src/token.rs"), &found.proposals[0]);
    let info = assistant.accept(&at, 0, one, true).await.unwrap();
    assert!(info.conflicts[0].done);
    let origin = PickOrigin::Llm {
        model: "test-model".to_owned(),
        reviewed: true,
    };
    assert_eq!(
        merge.picks.lock().unwrap()[&("src/token.rs".to_owned(), 0)],
        (Pick::Edited(one.text.clone()), origin)
    );
    assert!(merge.records.lock().unwrap().last().unwrap().2.accepted);
    // The branch has moved meanwhile: the proposal is for another hunk.
    merge.files.lock().unwrap()[0].1[1] = hunk(b"x\n", b"y\n", b"z\n");
    merge.picks.lock().unwrap().clear();
    let e = assistant.accept(&at, 0, one, true).await.unwrap_err();
    assert!(matches!(e, Error::Stale { .. }), "{e}");
    assert!(merge.picks.lock().unwrap().is_empty());
}

#[tokio::test]
async fn asking_again_tells_what_was_said_and_proposed() {
    let llm = FakeLlm::scripted(Speaks::Anthropic, [good(), good()]);
    let merge = Arc::new(Merge::usual());
    let assistant = assistant(&merge, config(&llm, Speaks::Anthropic));
    let Some(News::Proposals(found)) = assistant.ask(first()).last().await else {
        panic!("no proposals");
    };
    let mut again = HunkAsk::new(path("src/token.rs"), 0);
    again.instructions = vec!["keep the old name".to_owned()];
    again.earlier = found.proposals;
    assert!(matches!(
        assistant.ask(Ask::Hunk(again)).last().await,
        Some(News::Proposals(_))
    ));
    let text = &llm.requests()[1].text;
    assert!(text.contains("The person says: keep the old name"));
    assert!(text.contains("proposed before (2)"));
}

#[tokio::test]
async fn secrets_never_leave_and_come_back_exactly() {
    let ours = "    let k = \"AKIAIOSFODNN7EXAMPLE\"; // new\n";
    let merge = Arc::new(Merge {
        reasons: [
            vec![source::reason(
                142,
                "Edit",
                "the key AKIAIOSFODNN7EXAMPLE works",
                "password: hunter2!",
            )],
            Vec::new(),
        ],
        ..Merge::of(vec![(
            "src/token.rs",
            vec![
                settled("DB_PASSWORD=correcthorse\n"),
                hunk(
                    ours.as_bytes(),
                    b"    let k = f();\n",
                    b"    let k = g();\n",
                ),
            ],
        )])
    });
    let answer = [
        proposal(
            "    let k = \"[redacted:aws-key]\"; // both\n",
            "e",
            &[],
            "high",
        ),
        proposal(
            "    let k = \"[redacted:password]\";\n",
            "carries another secret here",
            &[],
            "high",
        ),
        proposal(
            "    let k = \"[redacted:aws-key-7]\";\n",
            "made up",
            &[],
            "high",
        ),
    ];
    let llm = FakeLlm::scripted(Speaks::OpenAi, [Say::proposals(&answer)]);
    let all = news(&merge, config(&llm, Speaks::OpenAi)).await;
    let sent = llm.requests().remove(0).body.to_string();
    for secret in ["AKIAIOSFODNN7EXAMPLE", "correcthorse", "hunter2", KEY] {
        assert!(!sent.contains(secret), "{secret} in {sent}");
    }
    let [News::Prompt(told), .., News::Proposals(found)] = all.as_slice() else {
        panic!("{all:?}");
    };
    assert!(
        told.redacted.contains(&("aws-key".to_owned(), 2)),
        "{told:?}"
    );
    assert_eq!(found.proposals.len(), 1, "{found:?}");
    assert_eq!(
        found.proposals[0].text,
        b"    let k = \"AKIAIOSFODNN7EXAMPLE\"; // both\n"
    );
    assert_eq!(found.refused.len(), 2);
    // A dry run is the same to the byte, and sends nothing.
    let assistant = assistant(&merge, config(&llm, Speaks::OpenAi));
    let dry = assistant.dry_run(&first()).await.unwrap();
    assert_eq!(dry.sent.hash, told.hash);
    assert!(sent.contains(&json!(dry.prompt.said[0].1).to_string()));
    assert_eq!(llm.requests().len(), 1);
}

#[tokio::test]
async fn hostile_proposals_are_refused_one_by_one() {
    let mut other_file = proposal("a\n", "e", &[], "high");
    other_file["path"] = json!("../../etc/passwd");
    let mut run = proposal("a\n", "e", &[], "high");
    run["command"] = json!("rm -rf /");
    let found = proposals(Say::proposals(&[
        other_file,
        run,
        proposal("\x1b[2J\x1b]0;owned\x07\n", "e", &[], "high"),
        proposal("<<<<<<< ours\na\n=======\n", "e", &[], "high"),
        proposal(&"x\n".repeat(100_000), "e", &[], "high"),
        proposal("a\u{202e}b\n", "e", &[], "high"),
        proposal(
            "    fine();\n",
            "w\x1b[31m\u{202e}x",
            &["999", "142"],
            "certain",
        ),
    ]))
    .await;
    let [fine] = found.proposals.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(fine.explanation, "w\\x1b[31m\\u{202e}x");
    assert_eq!(
        fine.confidence,
        Confidence::Low,
        "what it says is not known"
    );
    assert_eq!(fine.cites.len(), 1);
    assert!(fine.notes.iter().any(|n| n.contains("999")));
    let why: Vec<&str> = found.refused.iter().map(|r| r.why.as_str()).collect();
    for (why, word) in why
        .iter()
        .zip(["path", "command", "control", "marker", "KiB", "character"])
    {
        assert!(why.contains(word), "{why}");
    }
    assert!(why.iter().all(|w| !w.contains('\x1b')));
}

#[tokio::test]
async fn answers_that_cannot_be_read_are_told() {
    for (answer, word) in [
        ("Sure! I would keep both.", "no JSON"),
        ("{\"proposals\": [{\"text\": \"a", "no JSON"),
        ("{\"proposals\": []}", "nothing"),
        ("{\"proposals\": [{\"text\": \"a\\u001b\"}]}", "control"),
        ("{\"proposals\": [{\"text\": \"a\\ud800\"}]}", "no JSON"),
        ("{\"other\": 1}", "other"),
    ] {
        let e = failure(Speaks::OpenAi, Say::text(answer), |_| {}).await;
        assert!(matches!(e, Error::Unreadable(_)), "{answer}: {e}");
        assert!(e.to_string().contains(word), "{answer}: {e}");
    }
}

#[tokio::test]
async fn refusals_limits_and_empty_answers() {
    for speaks in [Speaks::OpenAi, Speaks::Anthropic] {
        let e = llm_failure(speaks, Say::Refuse("I cannot\x1b[0m help".to_owned())).await;
        assert!(
            matches!(&e, llm::Error::Refused { said } if said.contains("I cannot\\x1b")),
            "{e}"
        );
    }
    for speaks in ALL {
        let e = llm_failure(speaks, Say::Limit("{\"proposals\"".to_owned())).await;
        assert!(matches!(e, llm::Error::TooLong { .. }), "{speaks:?}: {e}");
        let e = llm_failure(speaks, Say::text("")).await;
        assert!(matches!(e, llm::Error::Empty), "{speaks:?}: {e}");
    }
}

#[tokio::test]
async fn errors_of_providers_say_what_to_do() {
    let body = |message: &str| json!({"error": {"message": message, "type": "x"}}).to_string();
    let status = |status, headers: &[(&'static str, &str)], message: &str| {
        let headers = headers.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
        Say::Status(status, headers, body(message))
    };
    for speaks in ALL {
        let e = llm_failure(speaks, status(429, &[("retry-after", "7")], "slow down")).await;
        assert!(
            matches!(&e, llm::Error::RateLimited { retry_after: Some(d), .. } if d.as_secs() == 7),
            "{e}"
        );
        assert!(e.to_string().contains("wait 7 s") && e.to_string().contains("slow down"));
        let e = llm_failure(speaks, status(401, &[], &format!("bad key {KEY}"))).await;
        assert!(matches!(e, llm::Error::KeyRefused { .. }), "{e}");
        assert!(!e.to_string().contains(KEY), "{e}");
        let e = llm_failure(speaks, status(404, &[], "no such model")).await;
        assert!(matches!(e, llm::Error::NoModel { .. }), "{e}");
        let e = llm_failure(speaks, status(529, &[], "busy")).await;
        assert!(matches!(e, llm::Error::Overloaded { .. }), "{e}");
        let e = llm_failure(speaks, status(400, &[], "maximum context length is 8192")).await;
        assert!(matches!(e, llm::Error::PromptTooLong { .. }), "{e}");
        let html = Say::Status(502, Vec::new(), "<html>\x1b[2J</html>".to_owned());
        let e = llm_failure(speaks, html).await;
        assert!(
            matches!(
                e,
                llm::Error::Provider {
                    status: Some(502),
                    ..
                }
            ),
            "{e}"
        );
        assert!(!e.to_string().contains('\x1b'));
        // Not followed: the key and the question would go there.
        let elsewhere = FakeLlm::scripted(speaks, [good()]);
        let to = format!("{}elsewhere", elsewhere.url());
        let e = llm_failure(speaks, status(307, &[("location", &to)], "moved")).await;
        assert!(
            matches!(
                e,
                llm::Error::Provider {
                    status: Some(307),
                    ..
                }
            ),
            "{e}"
        );
        assert_eq!(elsewhere.requests().len(), 0);
    }
    let breaks = |kind| Say::Breaks("{\"prop".to_owned(), kind, "not now".to_owned());
    let e = llm_failure(Speaks::Anthropic, breaks("overloaded_error")).await;
    assert!(matches!(e, llm::Error::Overloaded { .. }), "{e}");
    let e = llm_failure(Speaks::OpenAi, breaks("server_error")).await;
    assert!(
        matches!(&e, llm::Error::Provider { said, .. } if said.contains("not now")),
        "{e}"
    );
}

#[tokio::test]
async fn cut_and_damaged_streams_are_never_taken_for_answers() {
    let whole = json!({"proposals": [proposal("a\n", "e", &[], "high")]}).to_string();
    for speaks in ALL {
        for say in [Say::Cut(whole.clone()), Say::Ends(whole.clone())] {
            let e = llm_failure(speaks, say).await;
            assert!(
                matches!(e, llm::Error::Cut { received, .. } if received == whole.len()),
                "{speaks:?}: {e}"
            );
        }
        for raw in [
            &b"<html>hello</html>"[..],
            b"",
            b"data: {broken\n\nevent: content_block_delta\ndata: {broken\n\n{broken\n",
            b"\xff\xfe\x00\n\n",
        ] {
            let e = llm_failure(speaks, Say::Raw(raw.to_vec())).await;
            assert!(
                matches!(e, llm::Error::Malformed { .. } | llm::Error::Cut { .. }),
                "{speaks:?} {raw:?}: {e}"
            );
        }
    }
}

#[tokio::test]
async fn silence_ends_by_itself() {
    let hasty = |c: &mut Config| c.timeout = Duration::from_millis(150);
    for speaks in ALL {
        for (say, word) in [
            (Say::Never, "no answer came"),
            (Say::Stalls("{\"prop".to_owned()), "nothing more came"),
        ] {
            let started = Instant::now();
            let e = failure(speaks, say, hasty).await;
            assert!(matches!(e, Error::Llm(llm::Error::Silent { .. })), "{e}");
            assert!(e.to_string().contains(word), "{e}");
            assert!(started.elapsed() < Duration::from_secs(10));
        }
    }
    // Signs of life are no answer.
    let e = failure(Speaks::Anthropic, Say::Pings, hasty).await;
    assert!(e.to_string().contains("did not end"), "{e}");
    // Nobody there.
    let gone = FakeLlm::scripted(Speaks::OpenAi, []);
    let url = gone.url();
    drop(gone);
    let e = failure(Speaks::OpenAi, Say::Never, |c| c.url = Some(url.clone())).await;
    assert!(
        matches!(e, Error::Llm(llm::Error::Unreachable { .. })),
        "{e}"
    );
}

#[tokio::test]
async fn a_models_name_is_sent_as_it_is() {
    for speaks in ALL {
        for name in ["qwen-max", "a/b:8b", "x::y", "gpt-5-high"] {
            let llm = FakeLlm::scripted(speaks, [good()]);
            let mut config = config(&llm, speaks);
            config.model = name.to_owned();
            let all = news(&Arc::new(Merge::usual()), config).await;
            assert!(matches!(all.last(), Some(News::Proposals(_))), "{all:?}");
            let body = &llm.requests()[0].body;
            if speaks == Speaks::Ollama && name.contains("::") {
                continue;
            }
            assert_eq!(body["model"], name, "{speaks:?}");
            for key in ["reasoning_effort", "thinking", "think", "output_config"] {
                assert!(body.get(key).is_none(), "{speaks:?} {name}: {body}");
            }
        }
    }
}

#[tokio::test]
async fn giants_are_cut_off() {
    let small = |c: &mut Config| c.max_tokens = 300;
    for speaks in ALL {
        let say = Say::Endless("{\"proposals\": ".repeat(100));
        let e = failure(speaks, say, small).await;
        assert!(
            matches!(e, Error::Llm(llm::Error::TooLong { .. })),
            "{speaks:?}: {e}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_is_instant_and_closes_the_connection() {
    for (speaks, say) in [
        (Speaks::OpenAi, Say::Never),
        (Speaks::Anthropic, Say::Stalls("x".to_owned())),
        (
            Speaks::Ollama,
            Say::Slow("x".repeat(10_000), Duration::from_millis(30)),
        ),
    ] {
        let llm = FakeLlm::scripted(speaks, [say]);
        let merge = Arc::new(Merge::usual());
        let mut asking = assistant(&merge, config(&llm, speaks)).ask(first());
        llm.wait_for(1);
        let started = Instant::now();
        asking.cancel();
        assert!(asking.next().await.is_none());
        assert!(
            started.elapsed() < Duration::from_millis(50),
            "{:?}",
            started.elapsed()
        );
        llm.wait_for_hang_up();
        assert!(merge.records.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn the_budget_stops_questions_before_they_are_sent() {
    let llm = FakeLlm::scripted(Speaks::OpenAi, [good(), good()]);
    let merge = Arc::new(Merge::usual());
    let mut config = config(&llm, Speaks::OpenAi);
    let dry = assistant(&merge, config.clone()).dry_run(&first()).await;
    // Enough for one question, not for what is left after its answer.
    let budget = dry.unwrap().sent.tokens + 600;
    config.token_budget = budget;
    let assistant = assistant(&merge, config);
    assert!(matches!(
        assistant.ask(first()).last().await,
        Some(News::Proposals(_))
    ));
    assert_eq!(assistant.setup().unwrap().tokens, (846, budget));
    let Some(News::Failed(e)) = assistant.ask(first()).last().await else {
        panic!("asked beyond the budget");
    };
    assert!(
        matches!(e, Error::Llm(llm::Error::Budget { spent: 846, .. })),
        "{e}"
    );
    assert!(e.to_string().contains("token_budget"), "{e}");
    let sent = llm.requests();
    assert_eq!(sent.len(), 1);
    assert!(sent[0].body["max_tokens"].as_u64().unwrap() <= 600);
}

#[tokio::test]
async fn what_is_no_hunk_or_no_text_is_told() {
    let llm = FakeLlm::scripted(Speaks::OpenAi, []);
    let merge = Arc::new(Merge::of(vec![
        ("whole.bin", Vec::new()),
        ("latin1.txt", vec![hunk(b"caf\xe9\n", b"", b"tea\n")]),
        ("long.txt", vec![hunk(&vec![b'x'; 70_000], b"", b"y\n")]),
    ]));
    let assistant = assistant(&merge, config(&llm, Speaks::OpenAi));
    for (at, n, word) in [
        ("whole.bin", 0, "as a whole"),
        ("latin1.txt", 0, "UTF-8"),
        ("latin1.txt", 3, "not so many"),
        ("long.txt", 0, "68 KiB"),
    ] {
        let ask = Ask::Hunk(HunkAsk::new(path(at), n));
        let Some(News::Failed(e)) = assistant.ask(ask).last().await else {
            panic!("{at}");
        };
        assert!(e.to_string().contains(word), "{e}");
    }
    assert_eq!(llm.requests().len(), 0);
}

#[tokio::test]
async fn without_a_person_sure_proposals_are_picked_as_unreviewed() {
    let line = |n: u8| [b'a' + n, b'\n'];
    let pieces = (0..4)
        .flat_map(|n| [settled("-----\n"), hunk(&line(n), b"base\n", &line(n + 10))])
        .collect();
    let merge = Arc::new(Merge::of(vec![("a.txt", pieces), ("b.bin", Vec::new())]));
    let limited = Say::Status(429, vec![("retry-after-ms", "5".to_owned())], String::new());
    let llm = FakeLlm::scripted(
        Speaks::OpenAi,
        [
            Say::proposals(&[
                proposal("unsure\n", "e", &[], "low"),
                proposal("good 0\n", "e", &[], "medium"),
            ]),
            Say::proposals(&[proposal("guess\n", "e", &[], "low")]),
            limited,
            Say::proposals(&[proposal("good 2\n", "e", &[], "high")]),
            Say::text("no"),
        ],
    );
    let mut told = Vec::new();
    let out = assistant(&merge, config(&llm, Speaks::OpenAi))
        .resolve_all(&mut |p| told.push(p))
        .await
        .unwrap();
    let texts: Vec<Result<String, &str>> = out
        .hunks
        .iter()
        .map(|h| match &h.what {
            Ok(Proposal { text, .. }) => Ok(String::from_utf8(text.clone()).unwrap()),
            Err(why) => Err(why.as_str()),
        })
        .collect();
    assert_eq!(texts[0], Ok("good 0\n".to_owned()));
    assert!(texts[1].as_ref().unwrap_err().contains("not sure enough"));
    assert_eq!(texts[2], Ok("good 2\n".to_owned()));
    assert!(texts[3].as_ref().unwrap_err().contains("no JSON"));
    assert!(texts[4].as_ref().unwrap_err().contains("as a whole"));
    let picks = merge.picks.lock().unwrap();
    assert_eq!(picks.len(), 2);
    assert!(picks.values().all(|(_, origin)| origin.is_unreviewed()));
    assert!(out.merge.unwrap().conflicts[0].unreviewed);
    assert!(told.iter().any(|p| matches!(p, Progress::Waiting(_))));
    assert_eq!(out.tokens.0, 4 * 812);
}

#[tokio::test]
async fn without_a_model_it_is_said_how_to_have_one() {
    let merge = Arc::new(Merge::usual());
    // No home in which a configuration could lie is needed: nobody configured this one.
    let loaded = llm::config::load_from(None, None);
    let e = loaded.config.unwrap_err().to_string();
    assert!(e.contains("[llm]") && e.contains("provider"), "{e}");
    let gone = Config {
        key: KeyFrom::Env("BACKTRAIL_TEST_UNSET".to_owned()),
        ..Config::new(Provider::Anthropic, "m")
    };
    let Some(News::Failed(e)) = assistant(&merge, gone).ask(first()).last().await else {
        panic!("asked without a key");
    };
    assert!(matches!(e, Error::Llm(llm::Error::NoKey { .. })), "{e}");
}

#[tokio::test]
async fn what_loses_both_sides_or_was_settled_meanwhile_is_not_picked() {
    let pieces = (0..5)
        .flat_map(|n| {
            let ours = [b'a' + n, b'\n'];
            [settled("-----\n"), hunk(&ours, b"base\n", b"theirs\n")]
        })
        .collect();
    let merge = Arc::new(Merge::of(vec![("a.txt", pieces)]));
    let person = Arc::clone(&merge);
    let pick = move |n| {
        let at = ("a.txt".to_owned(), n);
        let mut picks = person.picks.lock().unwrap();
        picks.insert(at, (Pick::Ours, PickOrigin::Person));
    };
    let llm = FakeLlm::start(Speaks::OpenAi, move |seen| {
        let text = match seen.number {
            0 => "",
            1 => "base\n",
            2 => {
                // Somebody settles this one while it is asked about, and the next one.
                pick(2);
                pick(3);
                "mine\n"
            }
            _ => "good\n",
        };
        Say::proposals(&[proposal(text, "e", &[], "high")])
    });
    let out = assistant(&merge, config(&llm, Speaks::OpenAi))
        .resolve_all(&mut |_| ())
        .await
        .unwrap();
    let said: Vec<(Option<usize>, bool)> =
        out.hunks.iter().map(|h| (h.hunk, h.what.is_ok())).collect();
    assert_eq!(said, [(Some(0), false), (Some(1), false), (Some(4), true)]);
    for settled in &out.hunks[..2] {
        let why = settled.what.as_ref().unwrap_err();
        assert!(why.contains("a person must decide"), "{why}");
    }
    assert_eq!(llm.requests().len(), 4);
    let picks = merge.picks.lock().unwrap();
    assert_eq!(picks.len(), 3);
    for n in [2, 3] {
        assert_eq!(picks[&("a.txt".to_owned(), n)].1, PickOrigin::Person);
    }
}

#[tokio::test]
async fn a_provider_that_counts_nothing_does_not_make_the_budget_endless() {
    let answer = json!({"proposals": [proposal("good\n", "e", &[], "high")]}).to_string();
    let chunk = |v: serde_json::Value| format!("data: {v}\n\n");
    let wire = [
        chunk(json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": {"role": "assistant", "content": answer}, "finish_reason": null}]})),
        chunk(json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})),
        chunk(json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
            "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}})),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    let llm = FakeLlm::scripted(Speaks::OpenAi, [Say::Raw(wire.into_bytes())]);
    let merge = Arc::new(Merge::usual());
    let assistant = assistant(&merge, config(&llm, Speaks::OpenAi));
    let sent = assistant.dry_run(&first()).await.unwrap().sent.tokens;
    let last = assistant.ask(first()).last().await;
    assert!(matches!(last, Some(News::Proposals(_))), "{last:?}");
    let (spent, _) = assistant.setup().unwrap().tokens;
    assert!(spent > sent, "{spent} of {sent}");
}
