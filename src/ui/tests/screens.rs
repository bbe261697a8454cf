//! The screens, as a person comes by them: keys pressed over a recording, compared with `snapshots/ui__*`.

use ratatui::layout::Size;

use crate::engine::api::{ApiError, ErrorCode};
use crate::ui::msg::Msg;
use crate::ui::theme::{ASCII, Backdrop, Depth, PLAIN};

use super::script::World;
use super::stage::{Stage, assert_screen};
use super::story::{live, story};

/// Opens the recording at 100x30 and presses keys.
async fn after(keys: &str) -> Stage {
    let mut stage = Stage::open(story(), 100, 30).await;
    stage.keys(keys).await;
    stage
}

#[tokio::test]
async fn home() {
    assert_screen("home_end", &after("").await.screen());
    assert_screen("home_edit", &after("9G").await.screen());
    assert_screen("home_failed_test", &after("9G[e").await.screen());
    assert_screen("home_first", &after("gg").await.screen());
    assert_screen("home_outside", &after("17G").await.screen());
}

#[tokio::test]
async fn home_at_every_size() {
    let mut stage = after("9G").await;
    for (width, height) in [(200, 50), (80, 24), (60, 11)] {
        stage.resize(width, height).await;
        assert_screen(&format!("home_{width}x{height}"), &stage.screen());
    }
    stage.keys("<enter>").await;
    assert_screen("step_60x11", &stage.screen());
    stage.resize(30, 6).await;
    assert_eq!(
        stage.screen().lines().next(),
        Some("too small: 40x8 is needed")
    );
    stage.resize(100, 30).await;
    stage.keys("<esc>").await;
    assert_screen("home_after_resize", &stage.screen());
}

#[tokio::test]
async fn styles_of_the_selection_and_of_a_difference() {
    let mut stage = after("9G").await;
    assert_screen("home_edit_styles", &stage.styled());
    let mut stage = stage.theme(Depth::None, Backdrop::Unknown);
    assert_screen("home_edit_styles_no_color", &stage.styled());
}

#[tokio::test]
async fn diff() {
    let mut stage = after("9Gd").await;
    assert_screen("diff", &stage.screen());
    assert_screen("diff_styles", &stage.styled());
    stage.keys("zs").await;
    assert_screen("diff_side_by_side", &stage.screen());
    let mut stage = stage.theme(Depth::Full, Backdrop::Dark);
    assert_screen("diff_styles_full_dark", &stage.styled());
    stage.resize(200, 50).await.keys("zs").await;
    assert_screen("diff_200x50", &stage.screen());
    stage.resize(60, 11).await;
    assert_screen("diff_60x11", &stage.screen());
}

#[tokio::test]
async fn diff_of_what_is_not_text() {
    assert_screen("diff_binary", &after("17Gd]p]p").await.screen());
    assert_screen("diff_mode", &after("31Gd]p").await.screen());
    assert_screen("diff_link", &after("31Gd").await.screen());
    assert_screen("diff_removed", &after("21Gd]p").await.screen());
}

#[tokio::test]
async fn state() {
    let mut stage = after("9G").await;
    stage.keys("3").await.pause().await;
    assert_screen("state", &stage.screen());
    assert_screen("state_styles", &stage.styled());
    stage.keys("<enter>jjj").await;
    assert_screen("state_file", &stage.screen());
    assert_screen("state_file_styles", &stage.styled());
    for (width, height) in [(200, 50), (80, 24), (60, 11)] {
        stage.resize(width, height).await;
        assert_screen(&format!("state_file_{width}x{height}"), &stage.screen());
    }
    stage.keys("<esc>").await;
    assert_screen("state_60x11", &stage.screen());
    let mut stage = after("21G").await;
    stage.keys("3").await.pause().await;
    assert_screen("state_removed", &stage.screen());
}

#[tokio::test]
async fn help() {
    assert_screen("help", &after("9G?").await.screen());
    assert_screen("help_diff", &after("9Gd?").await.screen());
    let mut stage = after("9G").await;
    stage.resize(60, 11).await.keys("?<down><down><down>").await;
    assert_screen("help_60x11", &stage.screen());
}

#[tokio::test]
async fn what_may_follow() {
    let mut stage = after("9G]").await;
    stage.pause().await;
    assert_screen("which_key", &stage.screen());
    stage.keys("c").await;
    assert_eq!(stage.focus(), 14);
}

#[tokio::test]
async fn search() {
    assert_screen("search_typing", &after("gg/token").await.screen());
    let mut stage = after("gg/token<enter>").await;
    assert_screen("search_found_styles", &stage.styled());
    stage.keys("/nowhere to be found<enter>").await;
    assert!(stage.screen().contains("not found: nowhere to be found"));
}

#[tokio::test]
async fn palette() {
    assert_screen("palette", &after("9G:").await.screen());
    assert_screen("palette_typed", &after("9G:roll").await.screen());
    let mut stage = after("9G:next err<enter>").await;
    assert_eq!(stage.focus(), 23);
    stage.keys(":14<enter>").await;
    assert_eq!(stage.focus(), 14);
    // An action that wants a letter waits for it.
    stage.keys(":label<enter>").await;
    assert!(stage.app.hint);
    stage.keys("qgg'q").await;
    assert_eq!(stage.focus(), 14);
    stage.keys(":stop the agent").await;
    assert!(stage.screen().contains("Not now: no agent is running."));
    stage.keys("<esc>").await;
    assert!(stage.app.overlay.is_none());
}

#[tokio::test]
async fn folds() {
    assert_screen("folded", &after("14Gzm").await.screen());
    assert_screen("folded_one", &after("14Gza").await.screen());
}

#[tokio::test]
async fn live_run() {
    let mut stage = Stage::open(live(), 100, 30).await;
    assert_screen("live", &stage.screen());
    stage.keys("kk").await;
    assert!(stage.screen().contains("LIVE ● (viewing 32, +2)"));
    stage.keys("9Gr").await;
    assert_screen("rollback_dialog", &stage.screen());
    stage.keys("y").await;
    assert_screen("rollback_toast", &stage.screen());
    stage.keys("u").await;
    assert_screen("undo_toast", &stage.screen());
    stage.keys(" ").await;
    assert!(stage.screen().contains("FROZEN"));
}

#[tokio::test]
async fn other_glyphs() {
    let mut stage = after("9G").await.glyphs(ASCII);
    assert_screen("home_ascii", &stage.screen());
    assert!(stage.screen().is_ascii());
    let mut stage = stage.glyphs(PLAIN);
    assert_screen("home_plain", &stage.screen());
    stage.keys("?").await;
    assert!(stage.screen().is_ascii());
}

#[tokio::test]
async fn before_there_is_anything() {
    let mut stage = Stage::closed(story(), 100, 30);
    assert_screen("first_frame", &stage.screen());
    let mut stage = Stage::open(World::new("empty"), 100, 30).await;
    assert_screen("nothing_recorded", &stage.screen());
    stage.take(Msg::Connected(Err(ApiError::new(
        ErrorCode::Failed,
        "the store at /home/ada/.local/share/backtrail is of version 9, newer than this program: install a newer one",
    ))));
    assert_screen("cannot_open", &stage.screen());
    stage.app.size = Size::new(100, 30);
    stage.keys("jsdr?<esc>").await;
    assert!(!stage.quit);
    stage.keys("q").await;
    assert!(stage.quit);
}
