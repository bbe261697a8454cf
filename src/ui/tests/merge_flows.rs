//! What the keys of the conflict screen do: picks told in order, taken back one by one, nothing written unasked.

use std::time::{Duration, Instant};

use crate::engine::api::{ApiError, ErrorCode, PickOrigin, Request};
use crate::merge::conflict::ConflictKind;
use crate::merge::resolve::Pick;
use crate::ui::app::{Overlay, View};
use crate::ui::msg::Msg;

use super::flows::asked;
use super::merge_screens::{at, begun, world};
use super::merging::{Act, Merge, detail, hunk, text};
use super::stage::Stage;

fn acts(stage: &Stage) -> Vec<String> {
    stage.script.with(|w| {
        let acts = w.merge.acts.iter();
        acts.map(|act| match act {
            Act::File(path, hunk, pick, _) => format!("{path} {hunk:?} {}", word(pick)),
            Act::State(n, pick) => format!("state {n} {}", word(pick)),
        })
        .collect()
    })
}

fn word(pick: &Option<Pick>) -> String {
    match pick {
        Some(Pick::Edited(text)) => format!("edited {:?}", String::from_utf8_lossy(text)),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn every_pick_is_told_in_order() {
    let mut stage = at(6, "").await;
    // Pressed faster than anything is answered.
    for key in super::stage::parse("otb0") {
        stage.take(Msg::Key(key));
    }
    stage.settle().await;
    let file = "src/auth/token.rs Some(0)";
    let wanted = ["Some(Ours)", "Some(Theirs)", "Some(Both)", "Some(Base)"];
    assert_eq!(acts(&stage), wanted.map(|w| format!("{file} {w}")));
    assert!(stage.screen().contains("(base)"), "{}", stage.screen());
    // And taken back one by one.
    for shown in ["(both)", "(theirs)", "(ours)", "(not settled"] {
        stage.keys("u").await;
        assert!(stage.screen().contains(shown), "{}", stage.screen());
    }
    stage.keys("u").await;
    assert!(stage.screen().contains("no pick was made"));
    assert!(acts(&stage).is_empty());
}

#[tokio::test]
async fn what_is_taken_back_is_shown() {
    let mut stage = at(6, "o]xo]x").await;
    assert!(stage.screen().contains("conflict 8 of 11"));
    stage.keys("u").await;
    assert!(
        stage.screen().contains("conflict 7 of 11"),
        "{}",
        stage.screen()
    );
}

#[tokio::test]
async fn a_refused_pick_is_not_shown() {
    let mut stage = at(6, "").await;
    stage
        .script
        .with(|w| w.fail = Some(ApiError::new(ErrorCode::Failed, "the disk is full\x1b[2J")));
    stage.keys("t").await;
    assert!(stage.screen().contains("the disk is full"));
    stage.script.with(|w| w.fail = None);
    stage.keys("<esc>M").await;
    assert!(
        stage.screen().contains("(not settled"),
        "{}",
        stage.screen()
    );
    // Both at one key, the base of what was not there: no request is made.
    let mut stage = at(4, "").await;
    asked(&stage);
    stage.keys("b").await;
    assert!(stage.screen().contains("both cannot stand there"));
    assert!(asked(&stage).is_empty());
    let mut stage = at(11, "b").await;
    assert!(stage.screen().contains("both cannot stand there"));
}

#[tokio::test]
async fn an_edit_is_a_pick() {
    let mut stage = at(6, "]he").await;
    stage.keys("// see step 9: <c-z><c-y>").await;
    assert!(stage.screen().contains("being edited"));
    // Keys of the screen are text now; a paste too.
    stage.take(Msg::Paste("W\r\n".to_owned()));
    stage.keys("<esc>").await;
    let wanted = "src/auth/token.rs Some(1) edited \"// see step 9: W\\n    // ours\\n\"";
    assert_eq!(acts(&stage), [wanted]);
    // Forgotten, or nothing changed: no pick.
    stage.keys("exyz<c-c>e<esc>").await;
    assert_eq!(acts(&stage).len(), 1);
    assert!(!stage.quit);
    // Of the state, only JSON is taken.
    let mut stage = at(10, "ex<esc>").await;
    assert!(
        stage.screen().contains("that is no JSON"),
        "{}",
        stage.screen()
    );
    stage.keys("<bs><esc>").await;
    assert!(acts(&stage).is_empty());
    let mut stage = at(10, "e").await;
    stage.keys("<c-k>[1]<esc>").await;
    assert_eq!(acts(&stage), ["state 0 edited \"[1]\""]);
}

#[tokio::test]
async fn the_editor_of_the_person() {
    let mut stage = at(6, "oE").await;
    let (about, name, text) = stage.edits.pop().unwrap();
    assert_eq!(name, "token.rs");
    let shown = String::from_utf8(text.clone()).unwrap();
    assert!(shown.contains("debug!(exp, now);\n            return true;"));
    assert!(shown.contains("<<<<<<< ours\n    // ours\n"));
    stage.take(Msg::Edited(about.clone(), Ok(None)));
    assert!(stage.screen().contains("nothing was changed"));
    stage.take(Msg::Edited(about.clone(), Err("vi failed".to_owned())));
    assert!(stage.screen().contains("vi failed"));
    assert_eq!(acts(&stage).len(), 1);
    stage.take(Msg::Edited(about, Ok(Some(b"all new\n".to_vec()))));
    stage.settle().await;
    assert_eq!(acts(&stage).len(), 2);
    assert!(
        stage.screen().contains("(from your editor)"),
        "{}",
        stage.screen()
    );
    assert!(stage.screen().contains("all new"));
}

#[tokio::test]
async fn a_proposal_is_seen_before_it_is_taken() {
    let mut stage = at(1, "").await;
    assert!(!stage.screen().contains("tiny server with rotating"));
    stage.keys("1").await;
    assert!(stage.screen().contains("tiny server with rotating"));
    assert!(acts(&stage).is_empty());
    stage.keys("x").await;
    assert!(!stage.screen().contains("tiny server with rotating"));
    stage.keys("2").await;
    assert!(stage.screen().contains("there is no proposal 2"));
    stage.keys("1<enter>").await;
    let wanted = "README.md Some(0) edited \"A tiny server with rotating tokens.\\n\"";
    assert_eq!(acts(&stage), [wanted]);
    assert!(stage.screen().contains("(edited)"), "{}", stage.screen());
}

#[tokio::test]
async fn nothing_is_written_unasked() {
    let mut stage = at(6, "W").await;
    assert!(matches!(stage.app.overlay, Some(Overlay::Merge(_))));
    // The key that asked does not confirm.
    stage.keys("W<enter>").await;
    stage.keys("<esc>").await;
    assert!(stage.script.with(|w| w.merge.finished.is_empty()));
    stage.keys("Wy").await;
    assert_eq!(stage.script.with(|w| w.merge.finished.clone()), [true]);
    assert!(
        stage
            .screen()
            .contains("Merged try-2 into main: 2 files changed, 9 conflicts kept open")
    );
    assert!(stage.app.view.is_none());
    // With everything settled it is written at once.
    let mut stage = Stage::open(begun(), 100, 30).await;
    stage.script.with(|w| {
        w.merge.details.truncate(1);
        w.merge.state.clear();
    });
    stage.keys("Mo").await;
    assert!(
        stage.screen().contains("all is settled"),
        "{}",
        stage.screen()
    );
    stage.keys("W").await;
    assert_eq!(stage.script.with(|w| w.merge.finished.clone()), [false]);
}

#[tokio::test]
async fn it_is_given_up_only_when_asked() {
    let mut stage = at(6, "oX<esc>").await;
    assert!(stage.script.with(|w| w.merge.kept));
    stage.keys("Xy").await;
    assert!(!stage.script.with(|w| w.merge.kept));
    assert!(stage.app.view.is_none());
    assert!(stage.screen().contains("given up"));
}

#[tokio::test]
async fn leaving_keeps_the_place() {
    let mut stage = at(6, "]h<esc>").await;
    assert!(stage.app.view.is_none());
    assert!(
        stage.screen().contains("merge of try-2 not finished M"),
        "{}",
        stage.screen()
    );
    stage.keys("M").await;
    assert!(stage.screen().contains("part 2 of 2"), "{}", stage.screen());
    // To a step that a side cites, and back.
    stage.keys("B<enter>").await;
    assert!(stage.app.view.is_none());
    assert_eq!(stage.focus(), 9);
    stage.keys("M").await;
    assert!(stage.screen().contains("part 2 of 2"));
}

#[tokio::test]
async fn a_merge_is_begun_from_the_list() {
    let mut stage = Stage::open(world(), 100, 30).await;
    stage.keys("M").await;
    let tried = asked(&stage);
    let dry = |r: &&Request| matches!(r, Request::Merge { dry_run: true, .. });
    assert_eq!(tried.iter().filter(dry).count(), 3);
    assert!(!stage.script.with(|w| w.merge.kept));
    stage.keys("j<enter>").await;
    assert!(stage.screen().contains("main has all of try-2 already") || stage.app.view.is_none());
    stage.keys("M<enter>").await;
    assert!(
        matches!(stage.app.view, Some(View::Merge(_))),
        "{}",
        stage.screen()
    );
    assert!(stage.script.with(|w| w.merge.kept));
}

#[tokio::test]
async fn a_merge_that_was_made_again_says_so() {
    let mut stage = at(6, "").await;
    stage.script.with(|w| w.merge.remade = true);
    stage.keys("o").await;
    assert!(
        stage.screen().contains("the merge was made again"),
        "{}",
        stage.screen()
    );
}

#[tokio::test]
async fn a_pick_says_in_which_merge_it_was_made() {
    let mut stage = at(6, "").await;
    let before = stage.script.with(|w| w.merge.info().of());
    // A side moves and another client is told of it: nothing says so here.
    stage.script.with(|w| w.merge.moves = 1);
    stage.keys("o").await;
    assert_eq!(stage.script.with(|w| w.merge.of.clone()), [Some(before)]);
    assert!(
        stage.screen().contains("the merge was made again"),
        "{}",
        stage.screen()
    );
    // It was looked at again.
    let now = stage.script.with(|w| w.merge.info().of());
    stage.keys("t").await;
    assert_ne!(before, now);
    assert_eq!(
        stage.script.with(|w| w.merge.of.last().copied()),
        Some(Some(now))
    );
    // Of the agent's state too.
    let mut stage = at(10, "").await;
    stage.script.with(|w| w.merge.moves = 1);
    stage.keys("o").await;
    assert_eq!(stage.script.with(|w| w.merge.of.clone()), [Some(before)]);
}

#[tokio::test]
async fn picks_say_who_made_them() {
    let stage = at(6, "o").await;
    let by = stage.script.with(|w| match &w.merge.acts[0] {
        Act::File(.., origin) => origin.clone(),
        Act::State(..) => PickOrigin::Rule,
    });
    assert_eq!(by, PickOrigin::Person);
}

#[tokio::test]
async fn forks_are_named() {
    let mut stage = Stage::open(world(), 100, 30).await;
    stage.keys("9Gt").await;
    stage.take(Msg::Paste("fix\nexpiry\x07".to_owned()));
    stage.keys("<enter>").await;
    let sent = asked(&stage);
    let named = |r: &Request| matches!(r, Request::Fork { name: Some(n), .. } if n == "fix expiry");
    assert!(sent.iter().any(named), "{sent:?}");
    stage.keys("t<esc>").await;
    assert!(stage.app.overlay.is_none());
}

/// 50,000 lines on each side.
fn long() -> Merge {
    let side = |word: &str| {
        (0..50_000)
            .map(|n| format!("let {word}{n} = {n};\n"))
            .collect::<String>()
    };
    let pieces = vec![
        text("fn main() {\n"),
        hunk(&side("o"), &side("b"), &side("t")),
        text("}\n"),
    ];
    Merge {
        details: vec![detail("src/long.rs", ConflictKind::Content, pieces)],
        kept: true,
        ..Merge::default()
    }
}

#[tokio::test]
async fn a_long_conflict_stays_fluid() {
    let mut w = world();
    w.merge = long();
    let mut stage = Stage::open(w, 100, 30).await;
    stage.keys("M").await;
    assert!(stage.screen().contains("of 50,000"), "{}", stage.screen());
    let mut worst = Duration::ZERO;
    for key in super::stage::parse("jjjjbjjj<tab>jj<tab>j<tab>tojj") {
        let start = Instant::now();
        stage.take(Msg::Key(key));
        let _ = stage.buffer();
        worst = worst.max(start.elapsed());
        stage.settle().await;
    }
    // Not a measurement: debug builds on busy machines. A list of all lines drawn would take seconds.
    assert!(worst < Duration::from_millis(500), "{worst:?}");
    stage.keys("G").await;
    assert!(stage.screen().contains("let o49999"), "{}", stage.screen());
}
