//! The conflict screen, as a person comes by it: keys pressed, compared with `snapshots/ui__merge_*`.

use crate::engine::api::{Meeting, MergeTry};
use crate::ui::theme::{ASCII, Backdrop, Depth};

use super::merging::every_kind;
use super::script::World;
use super::stage::{Stage, assert_screen};
use super::story::story;

/// A project with a merge to come.
pub(super) fn world() -> World {
    let mut w = story();
    w.live = true;
    w.merge = every_kind();
    w
}

/// The same, begun.
pub(super) fn begun() -> World {
    let mut w = world();
    w.merge.kept = true;
    w
}

/// Opens the conflict screen at the conflict of that number and presses keys.
pub(super) async fn at(number: usize, keys: &str) -> Stage {
    let mut stage = Stage::open(begun(), 100, 30).await;
    stage.keys("M").await;
    for _ in 1..number {
        stage.keys("]x").await;
    }
    stage.keys(keys).await;
    stage
}

#[tokio::test]
async fn branches() {
    let mut stage = Stage::open(world(), 100, 30).await;
    assert_screen("merge_branches", &stage.keys("M").await.screen());
    assert_screen("merge_branches_clean", &stage.keys("j").await.screen());
    stage.resize(60, 11).await;
    assert_screen("merge_branches_60x11", &stage.screen());
}

#[tokio::test]
async fn a_conflict_of_text() {
    let mut stage = at(6, "").await;
    assert_screen("merge_text", &stage.screen());
    assert_screen("merge_text_styles", &stage.styled());
    for (width, height) in [(200, 50), (80, 24), (60, 24), (60, 11)] {
        stage.resize(width, height).await;
        assert_screen(&format!("merge_text_{width}x{height}"), &stage.screen());
    }
    stage.keys("<tab><tab><tab>").await;
    assert_screen("merge_text_60x11_result", &stage.screen());
    stage.keys("<tab>").await;
    assert_screen("merge_text_60x11_reasons", &stage.screen());
}

#[tokio::test]
async fn picks() {
    assert_screen("merge_both", &at(6, "b").await.screen());
    assert_screen("merge_base_next_part", &at(6, "0]h").await.screen());
    assert_screen("merge_reasons", &at(6, "Bj").await.screen());
    assert_screen("merge_list", &at(6, "t]hogx").await.screen());
    assert_screen("merge_left", &at(6, "W").await.screen());
    assert_screen("merge_give_up", &at(6, "X").await.screen());
    assert_screen("merge_help", &at(6, "?").await.screen());
}

#[tokio::test]
async fn a_value_and_a_line() {
    assert_screen("merge_value", &at(4, "t").await.screen());
    let mut stage = at(1, "1").await;
    assert_screen("merge_within_line", &stage.screen());
    let mut stage = stage.theme(Depth::Full, Backdrop::Dark);
    assert_screen("merge_within_line_styles", &stage.styled());
}

#[tokio::test]
async fn what_has_no_lines() {
    assert_screen("merge_binary", &at(2, "").await.screen());
    assert_screen("merge_link", &at(3, "o").await.screen());
    assert_screen("merge_mode", &at(5, "").await.screen());
    assert_screen("merge_directory", &at(7, "b").await.screen());
    assert_screen("merge_deleted", &at(8, "o").await.screen());
    assert_screen("merge_renamed", &at(9, "").await.screen());
}

#[tokio::test]
async fn the_agents_state() {
    assert_screen("merge_state", &at(10, "b").await.screen());
    assert_screen("merge_state_deleted", &at(11, "").await.screen());
}

#[tokio::test]
async fn editing() {
    let mut stage = at(6, "e<down>").await;
    stage.keys("<end> // why<enter>").await;
    assert_screen("merge_editing", &stage.screen());
    stage.keys("<esc>").await;
    assert_screen("merge_edited", &stage.screen());
}

#[tokio::test]
async fn nothing_in_conflict() {
    let mut w = world();
    w.merge = super::merging::Merge {
        kept: true,
        ..Default::default()
    };
    let mut stage = Stage::open(w, 100, 30).await;
    assert_screen("merge_clean", &stage.keys("M").await.screen());
}

#[tokio::test]
async fn left_and_come_back_to() {
    let mut stage = at(6, "<esc>").await;
    assert_screen("merge_parked", &stage.screen());
    let mut stage = at(6, "").await.glyphs(ASCII);
    assert!(stage.screen().is_ascii(), "{}", stage.screen());
}

#[tokio::test]
async fn a_fork() {
    let mut stage = Stage::open(world(), 100, 30).await;
    assert_screen("fork_name", &stage.keys("9Gt").await.screen());
    assert_screen("fork_made", &stage.keys("<enter>").await.screen());
}

#[tokio::test]
async fn branches_that_meet_are_told_of_early() {
    let mut w = world();
    let meeting = |b: &str, merge| Meeting {
        a: "try-1".to_owned(),
        b: b.to_owned(),
        count: 3,
        paths: vec![super::script::path("src/lib.rs")],
        merge,
    };
    let conflicts = MergeTry::Conflicts {
        count: 1,
        paths: vec![super::script::path("src/lib.rs")],
    };
    w.merge.met = vec![
        meeting("main", MergeTry::Clean),
        meeting("try-2", conflicts),
    ];
    let mut stage = Stage::open(w, 120, 30).await;
    let screen = stage.screen();
    assert!(screen.contains("! try-1 and try-2 conflict M"), "{screen}");
    assert_screen("merge_early_warning", &stage.keys("Mj").await.screen());
    stage.script.with(|w| {
        w.merge.met.remove(1);
        let status = crate::engine::api::Notice::Status(Box::new(w.status()));
        w.tell(status);
    });
    stage.settle().await;
    let screen = stage.keys("<esc>").await.screen();
    assert!(screen.contains("try-1 and main meet"), "{screen}");
}
