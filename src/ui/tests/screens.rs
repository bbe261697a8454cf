//! The screens, as a person comes by them.

use super::stage::{Stage, assert_screen};
use super::story::{live, story};

#[tokio::test]
async fn home() {
    let mut stage = Stage::open(story(), 100, 30).await;
    assert_screen("home_end", &stage.screen());
    stage.keys("9G").await;
    assert_screen("home_edit", &stage.screen());
    stage.keys("[e").await;
    assert_screen("home_failed_test", &stage.screen());
    stage.keys("gg").await;
    assert_screen("home_first", &stage.screen());
}

/// Prints screens for the eye: `cargo test --lib look_at -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "prints, asserts nothing"]
async fn look_at_it() {
    for (w, h, keys) in [
        (100, 30, ""),
        (100, 30, "9G"),
        (100, 30, "7G"),
        (200, 50, "9G"),
        (60, 11, "9G"),
        (100, 30, "9Gd"),
        (200, 50, "9Gd"),
        (100, 30, "9G3"),
        (100, 30, "9G?"),
        (100, 30, "22Gd"),
        (60, 11, "9G<enter>"),
        (80, 24, "31G"),
    ] {
        let mut stage = Stage::open(story(), w, h).await;
        stage.keys(keys).await.pause().await;
        println!("=== {w}x{h} {keys}\n{}", stage.screen());
    }
    let mut stage = Stage::open(live(), 100, 30).await;
    println!("{}", stage.screen());
    stage.keys("9Gr").await;
    println!("{}", stage.screen());
    stage.keys("y").await;
    println!("{}", stage.screen());
    stage.keys("]").await.pause().await;
    println!("{}", stage.screen());
}
