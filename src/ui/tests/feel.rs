//! The person's settings at work: keys that are bound otherwise, a file with mistakes in it.

use crate::ui::Options;
use crate::ui::feel::of_text;
use crate::ui::msg::Msg;

use super::stage::Stage;
use super::story::story;

async fn told(stage: &mut Stage, text: &str) {
    let loaded = of_text(text, "config.toml", &Options::default());
    stage.take(Msg::Settings(Box::new(loaded)));
    stage.settle().await;
}

#[tokio::test]
async fn keys_do_what_the_person_says_and_the_footer_says_so() {
    let mut stage = Stage::open(story(), 100, 30).await;
    stage.keys("9G").await;
    told(
        &mut stage,
        "[keys.timeline]\nd = \"\"\n2 = \"\"\n\"g D\" = \"look.diff\"\n",
    )
    .await;
    stage.keys("d").await;
    assert!(stage.app.view.is_none());
    let screen = stage.screen();
    assert!(screen.contains("settings read"), "{screen}");
    stage.keys("gD").await;
    assert!(stage.app.view.is_some());
    stage.keys("<esc>").await;
    let screen = stage.screen();
    assert!(screen.contains("gD diff"), "{screen}");
    stage.keys("?").await;
    let screen = stage.screen();
    assert!(screen.contains("gD "), "{screen}");
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_is_told_of() {
    let mut stage = Stage::open(story(), 100, 30).await;
    told(&mut stage, "[keys.timeline]\nx = \"time.step\"\n").await;
    told(&mut stage, "[keys.timeline]\nx = \"time.stp\"\n").await;
    let screen = stage.screen();
    assert!(
        screen.contains("settings kept: config.toml:2: there is no action"),
        "{screen}"
    );
    stage.keys("1Gx").await;
    assert_eq!(stage.focus(), 2);
}

#[tokio::test]
async fn a_prefix_waits_as_long_as_was_settled() {
    let mut stage = Stage::open(story(), 100, 30).await;
    told(&mut stage, "which_key_delay = 0\n").await;
    assert!(stage.app.feel.settings.which_key_delay.is_zero());
    stage.keys("]").await.pause().await;
    let screen = stage.screen();
    assert!(screen.contains("] next"), "{screen}");
}
