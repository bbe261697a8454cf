//! From a line to its reasons and back, and along the changes of a file.

use crate::engine::api::{GraphQuery, Request};
use crate::model::Ordinal;
use crate::ui::app::View;
use crate::ui::msg::{Msg, Tag};
use crate::ui::state_view::StateView;

use super::script::World;
use super::stage::{Stage, assert_screen};
use super::story::story;

/// Opens the story at a step and presses keys.
async fn after(keys: &str) -> Stage {
    let mut stage = Stage::open(story(), 100, 30).await;
    for part in keys.split_inclusive('3') {
        stage.keys(part).await;
        if part.ends_with('3') {
            stage.pause().await;
        }
    }
    stage
}

fn state(stage: &Stage) -> &StateView {
    match &stage.app.view {
        Some(View::State(state)) => state,
        other => panic!("{other:?}"),
    }
}

/// The bar below the file.
fn bar(stage: &mut Stage) -> String {
    let screen = stage.screen();
    let line = screen
        .lines()
        .find(|l| l.contains("line ") && l.contains('←'));
    line.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_line_leads_to_its_step_its_thought_and_its_prompt() {
    let mut stage = after("14G3").await;
    // The token's file lies below the one that this step made.
    stage.keys("j<enter>").await;
    for _ in 0..29 {
        stage.keys("j").await;
    }
    assert_eq!(state(&stage).line, 29);
    let said = bar(&mut stage);
    let found = said.find("line 30 ← step 9 edit ← thought 8 ← prompt 2");
    assert!(found.is_some(), "{said}\n{}", stage.screen());
    assert_screen("state_line", &stage.screen());

    for step in [9, 8, 2, 2] {
        stage.keys("<enter>").await;
        assert_eq!(stage.focus(), step);
        assert!(bar(&mut stage).contains("step 9 edit"), "the way stays");
    }
    for step in [8, 9, 14] {
        stage.keys("H").await;
        assert_eq!(stage.focus(), step);
    }
    assert!(state(&stage).walk.is_none());
    assert_eq!(state(&stage).line, 29);
    // Who moves on has left the way.
    stage.keys("<enter>").await;
    assert!(state(&stage).walk.is_some());
    stage.keys("k").await;
    assert!(state(&stage).walk.is_none());
}

#[tokio::test]
async fn the_reason_is_one_key_away_and_so_is_the_way_back() {
    let mut stage = after("14G3").await;
    stage.keys("j<enter>").await;
    for _ in 0..29 {
        stage.keys("j").await;
    }
    stage.keys("B").await;
    assert!(stage.app.view.is_none());
    assert_eq!(stage.focus(), 8);
    stage.keys("H").await;
    assert_eq!(stage.focus(), 14);
    assert_eq!((state(&stage).line, state(&stage).in_file), (29, true));

    // From the diff: first the line in its file, then its reason.
    let mut stage = after("9Gd").await;
    stage.keys("B").await;
    assert!(
        bar(&mut stage).contains("line 29 ← step 9"),
        "{}",
        stage.screen()
    );
    assert!(stage.screen().contains("// exp is in seconds"));
    stage.keys("B").await;
    assert_eq!((stage.focus(), stage.app.view.is_none()), (8, true));
    stage.keys("H").await;
    assert_eq!(state(&stage).line, 28);
    stage.keys("H").await;
    assert!(matches!(stage.app.view, Some(View::Diff(_))));
    assert_eq!(stage.focus(), 9);
    // The same keys find the places before, and back to here.
    stage.keys("H").await;
    assert_eq!((stage.focus(), stage.app.view.is_none()), (9, true));
    stage.keys("2L").await;
    assert_eq!(stage.focus(), 9);
    assert_eq!(state(&stage).line, 28);
    let screen = stage.keys("9H").await.keys("H").await.screen();
    assert!(screen.contains("no place was left before"), "{screen}");
}

#[tokio::test]
async fn a_files_changes_follow_each_other() {
    let mut stage = after("9Gd").await;
    let touched: Vec<u64> = stage.script.with(|w| {
        let mut of: Vec<u64> = w
            .details
            .values()
            .filter(|d| {
                d.changes
                    .iter()
                    .any(|c| c.path.as_bytes() == b"src/auth/token.rs")
            })
            .map(|d| d.row.ordinal.major)
            .collect();
        of.sort_unstable();
        of
    });
    assert!(touched.len() > 2, "{touched:?}");
    let later: Vec<u64> = touched.iter().copied().filter(|n| *n > 9).collect();
    for step in &later {
        stage.keys("]f").await;
        assert_eq!(stage.focus(), *step, "{touched:?}");
        let View::Diff(diff) = stage.app.view.as_ref().unwrap() else {
            panic!("not a diff");
        };
        assert_eq!(
            diff.selected().unwrap().path.to_string(),
            "src/auth/token.rs"
        );
    }
    stage.keys("]f").await;
    assert!(
        stage
            .screen()
            .contains("no later change of src/auth/token.rs")
    );
    for step in touched.iter().rev().skip(1) {
        stage.keys("[f").await;
        assert_eq!(stage.focus(), *step, "{touched:?}");
    }
}

#[tokio::test]
async fn only_the_newest_question_counts() {
    let mut stage = after("14G3").await;
    let (key, lines) = state(&stage).blame.clone().unwrap();
    let info = stage.script.with(|w| {
        w.graph(GraphQuery::Blame {
            rev: key.rev.clone(),
            path: key.path.clone(),
            force: false,
        })
    });
    stage.keys("j").await;
    let shown = state(&stage).blame.clone().unwrap().0;
    assert_ne!(shown, key);
    let late = crate::engine::api::Response::Graph(info.unwrap());
    stage.take(Msg::Answer(Tag::Blame(Box::new(key)), Ok(late)));
    assert_eq!(state(&stage).blame.as_ref().unwrap().0, shown);
    drop(lines);

    // An engine that cannot say it: the file is shown all the same, and nothing is asked again and again.
    stage.script.with(|w| w.asked.clear());
    stage.keys("jk").await;
    let asked = stage.script.with(|w| w.asked.clone());
    let graph = asked.iter().filter(|r| matches!(r, Request::Graph(_)));
    assert!(graph.count() <= 2, "{asked:?}");
}

#[tokio::test]
async fn a_file_whose_lines_nobody_knows_is_shown() {
    let mut w = World::new("plain");
    w.put("empty", "");
    w.put("one", "no newline");
    w.put("wide", "日本語\t\u{202e}x\nline\n");
    w.bash("make", 0, "", 0.1);
    for (width, height) in [(100, 30), (60, 11), (44, 9), (200, 50)] {
        let mut stage = Stage::open(w_again(&w), width, height).await;
        stage.keys("G3").await.pause().await;
        stage.keys("jj<enter>jjG<enter>HB").await;
        let _ = stage.screen();
    }
    let first = Ordinal { major: 1, minor: 0 };
    assert!(w.row(first).is_some());
}

/// The same world again.
fn w_again(w: &World) -> World {
    let mut out = World::new(&w.name);
    for (name, file) in &w.tree {
        out.put(name, &file.content);
    }
    out.bash("make", 0, "", 0.1);
    out
}
