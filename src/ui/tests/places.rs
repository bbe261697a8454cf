//! Places visited, ways through time gone again, turns finished, panes made wider, the overview by the clock.

use ratatui::crossterm::event::KeyCode;

use crate::ui::app::View;
use crate::ui::keys::Key;
use crate::ui::msg::Msg;

use super::recorded::recorded;
use super::stage::{Stage, assert_screen};
use super::story::story;

#[tokio::test]
async fn turns_and_subagents_are_finished_and_gone_back_to() {
    let mut stage = Stage::open(story(), 100, 30).await;
    stage.keys("5G").await;
    for (key, at) in [
        ("f", 11),
        ("f", 18),
        ("}", 25),
        ("f", 32),
        ("F", 26),
        ("F", 19),
        ("{", 12),
        ("2F", 2),
        ("3f", 25),
    ] {
        stage.keys(key).await;
        assert_eq!(stage.focus(), at, "{key}");
    }
    stage.keys("9f").await;
    assert_eq!(stage.focus(), 32, "as far as it goes");
    let screen = stage.keys("f").await.screen();
    assert!(screen.contains("the end of the last turn"), "{screen}");

    // Within a subagent: to where it came back, and to what started it.
    let mut stage = Stage::open(recorded(), 100, 30).await;
    stage.keys("6Gsss").await;
    assert_eq!(stage.focus_at(), "6.3");
    stage.keys("f").await;
    assert_eq!(stage.focus_at(), "7");
    stage.keys("6GsssF").await;
    assert_eq!(stage.focus_at(), "6");
}

#[tokio::test]
async fn the_last_way_is_gone_again() {
    let mut stage = Stage::open(story(), 100, 30).await;
    stage.keys("1G").await;
    let screen = stage.keys(";").await.screen();
    assert!(
        screen.contains("nothing was gone through time yet"),
        "{screen}"
    );
    stage.keys("3s").await;
    assert_eq!(stage.focus(), 4);
    stage.keys(";").await;
    assert_eq!(stage.focus(), 7, "as many as before");
    stage.keys("2;").await;
    assert_eq!(stage.focus(), 9, "or as many as are asked for");
    stage.keys("]t").await;
    assert_eq!(stage.focus(), 12);
    // What is no way through time does not count.
    stage.keys("jjk;").await;
    assert_eq!(stage.focus(), 19);
    // Function keys are other names of the same.
    stage.take(Msg::Key(Key::code(KeyCode::F(11))));
    stage.take(Msg::Key(Key::code(KeyCode::F(10))));
    assert_eq!(stage.focus(), 21);
    for n in [11, 10] {
        let key = Key::code(KeyCode::F(n));
        stage.take(Msg::Key(Key { shift: true, ..key }));
    }
    assert_eq!(stage.focus(), 19);
}

#[tokio::test]
async fn back_and_forward_through_places() {
    let mut stage = Stage::open(story(), 100, 30).await;
    stage.keys("9Gd").await;
    assert!(matches!(stage.app.view, Some(View::Diff(_))));
    stage.keys("<esc>22G'a").await;
    assert_eq!(stage.focus(), 18);
    stage.keys("go").await;
    let listed = |stage: &Stage| matches!(stage.app.view, Some(View::Desk(_)));
    assert!(listed(&stage));
    stage.keys("H").await;
    assert_eq!((stage.focus(), stage.app.view.is_none()), (18, true));
    stage.keys("H").await;
    assert_eq!(stage.focus(), 22);
    stage.keys("<c-o>").await;
    assert_eq!((stage.focus(), stage.app.view.is_none()), (9, true));
    // Forward again: the same places, views too.
    stage.keys("3L").await;
    assert!(listed(&stage), "{}", stage.screen());
    let screen = stage.keys("L").await.screen();
    assert!(screen.contains("no place was gone back from"), "{screen}");
    // A way of one's own from there forgets what was ahead.
    stage.keys("2H4G").await;
    assert!(stage.keys("L").await.screen().contains("no place"));
    stage.keys("H").await;
    assert_eq!(stage.focus(), 22);
    // Steps and lines are no places: one H goes past all of them.
    stage.keys("30Gsjjkss14G").await;
    stage.keys("2H").await;
    assert_eq!(stage.focus(), 22);
}

#[tokio::test]
async fn a_file_is_come_back_to_at_its_line() {
    let mut stage = Stage::open(story(), 100, 30).await;
    stage.keys("9G3").await.pause().await;
    stage.keys("<enter>jjjjj").await;
    let place = |stage: &Stage| match &stage.app.view {
        Some(View::State(state)) => (
            state.shown.as_ref().map(|e| e.path.to_string()),
            state.line,
            state.in_file,
        ),
        _ => panic!("no file"),
    };
    let before = place(&stage);
    stage.keys("]e").await;
    assert_ne!(stage.focus(), 9);
    stage.keys("gm").await;
    stage.keys("2H").await;
    assert_eq!(stage.focus(), 9);
    assert_eq!(place(&stage), before, "{}", stage.screen());
}

#[tokio::test]
async fn panes_are_made_wider() {
    let mut stage = Stage::open(story(), 100, 30).await;
    let edge = |screen: &str| {
        let line = screen.lines().nth(2).unwrap_or_default();
        line.chars().position(|c| c == '┐').unwrap_or_default()
    };
    let own = edge(&stage.screen());
    stage.keys("+").await;
    assert_eq!(edge(&stage.screen()), own + 4);
    stage.keys("3_").await;
    assert_eq!(edge(&stage.screen()), own - 8);
    // The pane with the keys grows.
    stage.keys("<tab>2_").await;
    assert_eq!(edge(&stage.screen()), own);
    for (width, height) in [(200, 50), (80, 24), (60, 11), (20, 5), (120, 8)] {
        stage.resize(width, height).await;
        stage.keys("99+").await;
        stage.screen();
        stage.keys("99_99_").await;
        stage.screen();
    }
    stage.resize(60, 11).await;
    let screen = stage.keys("+").await.screen();
    assert!(screen.contains("one pane only"), "{screen}");
}

#[tokio::test]
async fn the_overview_by_the_clock() {
    let mut stage = Stage::open(story(), 100, 30).await;
    assert_screen("clock_axis", &stage.keys("12GzT").await.screen());
    stage.resize(60, 11).await;
    stage.screen();
    stage.resize(100, 30).await;
    let by_clock = stage.screen();
    let map = |screen: &str| screen.lines().nth(1).unwrap_or_default().to_owned();
    stage.keys("zT").await;
    let by_step = stage.screen();
    assert_ne!(map(&by_clock), map(&by_step));
    assert!(map(&by_clock).contains("12:0"), "{by_clock}");
}
