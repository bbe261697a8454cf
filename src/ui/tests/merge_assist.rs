//! The assist pane end to end: keys in, a real socket that speaks a provider's streaming format, screens out. What is
//! proposed is seen before it is taken, and nothing that a model says acts on the terminal.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::engine::api::{PickOrigin, Request};
use crate::engine::assist::{Error, News};
use crate::llm::config::KeyFrom;
use crate::llm::{Budget, Client, Config, Provider};
use crate::merge::resolve::Pick;
use crate::ui::msg::Msg;

use super::flows::asked;
use super::merge_screens::{at, begun};
use super::merging::Act;
use super::stage::{Stage, assert_screen};

#[path = "../../../tests/llm_common/mod.rs"]
mod llm_common;

use llm_common::{FakeLlm, KEY, Say, Speaks, proposal};

const BOTH: &str = "        let exp = self.expires_at();\n        if exp <= now {\n            debug!(exp, now);\n";
const OURS_WITH: &str =
    "        let exp = self.exp * 1000;\n        if exp <= now {\n            debug!(exp, now);\n";

fn model(stage: &mut Stage, llm: &FakeLlm) {
    let config = Config {
        url: Some(llm.url()),
        key: KeyFrom::Command(format!("echo {KEY}")),
        timeout: Duration::from_secs(20),
        ..Config::new(Provider::OpenAi, "test-model")
    };
    let client = Client::with_budget(config, Arc::new(Budget::default()));
    stage.model(client);
}

fn two() -> Say {
    let mut first = proposal(
        BOTH,
        "Both sides are kept: theirs moved the unit conversion into expires_at(), ours added a log line. <= matches step 28.",
        &["9", "28"],
        "medium",
    );
    first["drops"] = json!(["exp == now was not expired before"]);
    Say::proposals(&[
        first,
        proposal(
            OURS_WITH,
            "Ours, with the boundary of theirs.",
            &["9"],
            "low",
        ),
    ])
}

/// The conflict of a text, with a model that says so.
async fn asking(say: impl IntoIterator<Item = Say>) -> (Stage, FakeLlm) {
    let llm = FakeLlm::scripted(Speaks::OpenAi, say);
    let mut stage = at(6, "").await;
    model(&mut stage, &llm);
    (stage, llm)
}

fn acts(stage: &Stage) -> Vec<Act> {
    stage.script.with(|w| w.merge.acts.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_is_shown_and_then_accepted() {
    let (mut stage, llm) = asking([two()]).await;
    stage.keys("a").await;
    assert_screen("assist", &stage.screen());
    assert_screen("assist_styles", &stage.styled());
    for (width, height) in [(200, 50), (60, 11)] {
        stage.resize(width, height).await;
        assert_screen(&format!("assist_{width}x{height}"), &stage.screen());
    }
    stage.resize(100, 30).await;
    assert!(acts(&stage).is_empty());
    // What was sent has both reasons in it.
    let sent = llm.requests().remove(0).text;
    assert!(
        sent.contains("expires_at() says what unit it is in"),
        "{sent}"
    );
    stage.keys("2").await;
    assert_screen("assist_second", &stage.screen());
    stage.keys("x").await;
    assert!(
        !stage.screen().contains("expires_at();    "),
        "{}",
        stage.screen()
    );
    stage.keys("1<enter>").await;
    let acts = acts(&stage);
    let Act::File(_, Some(0), Some(Pick::Edited(text)), origin) = &acts[0] else {
        panic!("{acts:?}");
    };
    assert_eq!(text, BOTH.as_bytes());
    let model = "test-model".to_owned();
    assert_eq!(
        *origin,
        PickOrigin::Llm {
            model,
            reviewed: true
        }
    );
    assert!(
        stage.screen().contains("(accepted proposal)"),
        "{}",
        stage.screen()
    );
    // Both are in the record, and that one was taken.
    let kept = asked(&stage);
    let records = kept.iter().filter_map(|r| match r {
        Request::MergeProposal { record, .. } => Some(record.accepted),
        _ => None,
    });
    assert_eq!(records.collect::<Vec<_>>(), [false, false, true]);
    stage.keys("u").await;
    assert!(stage.screen().contains("(not settled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_small_screen_it_is_seen_first_too() {
    let (mut stage, _llm) = asking([two()]).await;
    stage.resize(60, 11).await;
    stage.keys("a").await;
    assert_screen("assist_60x11_asked", &stage.screen());
    stage.keys("<tab><enter>").await;
    assert!(acts(&stage).is_empty());
    assert!(
        stage.screen().contains("proposal 1, not accepted"),
        "{}",
        stage.screen()
    );
    stage.keys("<enter>").await;
    assert_eq!(acts(&stage).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cited_step_is_gone_to() {
    let (mut stage, _llm) = asking([two()]).await;
    stage.keys("a<tab><tab>j<enter>").await;
    assert!(stage.app.view.is_none());
    assert_eq!(stage.focus(), 28);
    // And everything is there when one comes back.
    stage.keys("M").await;
    assert!(
        stage.screen().contains("proposal 1, not accepted"),
        "{}",
        stage.screen()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_is_instant() {
    let (mut stage, llm) = asking([
        Say::Never,
        Say::Stalls("{\"proposals\": [{\"explanation\": \"Both sides".to_owned()),
    ])
    .await;
    for (n, shown) in ["asking", "Both sides"].into_iter().enumerate() {
        stage.press("a");
        stage.until(|s| s.contains(shown)).await;
        // It is on its way only now.
        llm.wait_for(n + 1);
        let start = Instant::now();
        stage.press("<esc>");
        let screen = stage.screen();
        let took = start.elapsed();
        assert!(screen.contains("cancelled"), "{screen}");
        assert!(took < Duration::from_millis(200), "{took:?}");
        llm.wait_for_hang_up();
    }
    stage.settle().await;
    assert!(acts(&stage).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_said() {
    let (mut stage, _llm) = asking([
        Say::Status(
            429,
            vec![("retry-after", "17".to_owned())],
            "slow down".to_owned(),
        ),
        Say::Refuse("I would rather not\x1b[2J.".to_owned()),
        Say::Cut("{\"proposals\": [".to_owned()),
        Say::text("no JSON at all"),
    ])
    .await;
    for words in ["17", "refuses to answer", "", "cannot be used"] {
        stage.keys("a").await;
        let screen = stage.screen();
        assert!(
            screen.contains(words) && screen.contains("a asks again"),
            "{words}: {screen}"
        );
        assert!(!screen.contains('\x1b'), "{screen:?}");
    }
    assert!(acts(&stage).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_proposals_are_not_shown() {
    let (mut stage, _llm) = asking([Say::proposals(&[
        proposal(
            "<<<<<<< ours\nx\n=======\ny\n>>>>>>> theirs\n",
            "markers",
            &[],
            "high",
        ),
        proposal("\x1b]0;owned\x07", "escapes\x1b[2J", &[], "high"),
        proposal(BOTH, "good\u{202e}", &["9", "4711"], "high"),
    ])])
    .await;
    stage.keys("a").await;
    let screen = stage.screen();
    assert!(screen.contains("is not shown"), "{screen}");
    assert!(
        !screen.contains("owned") && !screen.contains("======"),
        "{screen}"
    );
    stage.keys("2").await;
    assert!(stage.screen().contains("there is no proposal 2"));
}

#[tokio::test]
async fn without_a_model_the_pane_says_how() {
    let mut stage = Stage::open(begun(), 100, 30).await;
    stage.keys("M]x]x]x]x]x").await;
    // The question goes nowhere: what would come of it is told.
    stage.press("a");
    let stamp = stage.app.stamp;
    let missing = crate::llm::config::load_from(None, None)
        .config
        .unwrap_err();
    stage.take(Msg::Assist(stamp, News::Failed(Error::Llm(missing))));
    let screen = stage.screen();
    assert!(screen.contains("no model is configured"), "{screen}");
    assert!(screen.contains("provider ="), "{screen}");
    stage.keys("o").await;
    assert_eq!(acts(&stage).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn instructions_go_along() {
    let (mut stage, llm) = asking([two(), two()]).await;
    stage.keys("aikeep the log line<enter>").await;
    let second = llm.requests().remove(1).text;
    assert!(second.contains("keep the log line"), "{second}");
    assert!(
        stage.screen().contains("you: keep the log line"),
        "{}",
        stage.screen()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_part_is_asked_about_and_none_is_taken() {
    let llm = FakeLlm::start(Speaks::OpenAi, |_| {
        Say::proposals(&[proposal("80", "A value.", &[], "low")])
    });
    let mut stage = at(6, "").await;
    model(&mut stage, &llm);
    stage.keys("A").await;
    // Two of the text, one value, one line.
    assert_eq!(llm.requests().len(), 4);
    assert!(acts(&stage).is_empty());
    stage.keys("]h1").await;
    assert!(
        stage.screen().contains("proposal 1, not accepted"),
        "{}",
        stage.screen()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_elsewhere() {
    let llm = FakeLlm::scripted(
        Speaks::Anthropic,
        [
            Say::text(
                "The expiry compared seconds with milliseconds [step 9].\nSee also step 8.\x1b[2J",
            ),
            Say::Never,
        ],
    );
    let mut stage = Stage::open(begun(), 100, 30).await;
    let config = Config {
        url: Some(llm.url()),
        key: KeyFrom::Command(format!("echo {KEY}")),
        ..Config::new(Provider::Anthropic, "test-model")
    };
    stage.model(Client::with_budget(config, Arc::new(Budget::default())));
    stage.keys("9Gawhy was this changed?<enter>").await;
    assert_screen("ask_answer", &stage.screen());
    let sent = llm.requests().remove(0).text;
    assert!(sent.contains("why was this changed?"), "{sent}");
    stage.keys("<enter>").await;
    assert!(stage.app.overlay.is_none());
    // In the state browser the lines on the screen go along; Esc ends it at once.
    stage.keys("9G3").await.pause().await.keys("<enter>").await;
    for key in super::stage::parse("awhat is this?<enter>") {
        stage.take(Msg::Key(key));
    }
    stage.until(|s| s.contains("asking")).await;
    llm.wait_for(2);
    stage.press("<esc>");
    assert!(stage.app.overlay.is_none());
    llm.wait_for_hang_up();
    let sent = llm.requests().remove(1).text;
    assert!(sent.contains("lines 1-"), "{sent}");
}
