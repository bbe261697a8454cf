//! Playback, with a clock of the test's own: what was asked to be woken after is what passes.

use std::time::Duration;

use crate::ui::action::Action;
use crate::ui::msg::{Msg, Timer};
use crate::ui::theme::PLAIN;

use super::live::{cast, info};
use super::script::World;
use super::stage::{Stage, assert_screen};
use super::story::story;

/// The timer that was asked for last, if it is playback's.
fn due(stage: &Stage) -> Option<(Duration, Timer)> {
    let found = stage
        .waits
        .iter()
        .rfind(|(_, t)| matches!(t, Timer::Play(_)));
    found.copied().filter(|_| stage.app.live.play.is_some())
}

/// Lets that time pass. `None` when nothing plays.
async fn pass(stage: &mut Stage) -> Option<Duration> {
    let (time, timer) = due(stage)?;
    stage.take(Msg::Timer(timer));
    stage.settle().await;
    Some(time)
}

async fn played(stage: &mut Stage) -> Duration {
    let mut sum = Duration::ZERO;
    for _ in 0..10_000 {
        match pass(stage).await {
            Some(time) => sum += time,
            None => return sum,
        }
    }
    panic!("it goes on for ever");
}

#[tokio::test]
async fn a_run_is_played_with_its_gaps_cut() {
    let mut stage = Stage::open(story(), 100, 30).await;
    stage.keys("gg ").await;
    assert!(stage.screen().contains("PLAYING 1x"), "{}", stage.screen());
    let mut seen = vec![stage.focus()];
    while pass(&mut stage).await.is_some() {
        let now = stage.focus();
        if seen.last() != Some(&now) {
            seen.push(now);
        }
    }
    assert!(seen.is_sorted(), "{seen:?}");
    assert_eq!(seen, (1..=32).collect::<Vec<u64>>());
    assert!(stage.screen().contains("played to the last step"));
    stage.keys("gg ").await;
    let sum = played(&mut stage).await;
    // 31 gaps, none longer than a second.
    assert!(sum <= Duration::from_secs(31), "{sum:?}");
    assert!(sum > Duration::from_secs(4), "{sum:?}");
    // Twice as fast takes half the time.
    stage.keys("gg) ").await;
    assert!(stage.screen().contains("PLAYING 2x"));
    let half = played(&mut stage).await;
    let ratio = sum.as_secs_f64() / half.as_secs_f64();
    assert!((1.7..2.3).contains(&ratio), "{sum:?} {half:?}");
}

#[tokio::test]
async fn any_movement_pauses_and_space_goes_on() {
    for keys in ["j", "k", "s", "5G", "G", "]e"] {
        let mut stage = Stage::open(story(), 100, 30).await;
        stage.keys("gg4j ").await;
        assert!(pass(&mut stage).await.is_some());
        stage.keys(keys).await;
        assert!(stage.app.live.play.is_none(), "{keys}");
        assert!(!stage.screen().contains("PLAYING"), "{keys}");
        let at = stage.focus();
        // The timer that was asked for before means nothing now.
        let (_, timer) = *stage
            .waits
            .iter()
            .rfind(|(_, t)| matches!(t, Timer::Play(_)))
            .unwrap();
        stage.take(Msg::Timer(timer));
        assert_eq!(stage.focus(), at, "{keys}");
    }
    let mut stage = Stage::open(story(), 100, 30).await;
    stage.keys("gg ").await;
    pass(&mut stage).await;
    // Looking at something else is no movement: the diff moves along.
    stage.keys("?<esc>").await;
    assert!(stage.app.live.play.is_some());
    stage.keys(" ").await;
    assert!(stage.app.live.play.is_none());
    stage.keys(" ").await;
    assert!(stage.app.live.play.is_some());
    // Nothing after the last step.
    stage.keys("G ").await;
    assert!(stage.app.live.play.is_none());
    assert!(stage.screen().contains("this is the last step"));
}

#[tokio::test]
async fn speeds_have_ends() {
    let mut stage = Stage::open(story(), 100, 30).await;
    for (keys, words) in [("))))))))", "64x"), ("((((((((((((", "0.25x"), ("))", "1x")] {
        stage.keys(keys).await;
        let screen = stage.screen();
        assert!(screen.contains(&format!("playback at {words}")), "{screen}");
    }
    // At 64x the whole run is there in a moment, and frames stay apart.
    stage.keys("gg)))))) ").await;
    let mut frames = 0;
    let mut sum = Duration::ZERO;
    while let Some(time) = pass(&mut stage).await {
        assert!(time >= Duration::from_millis(16), "{time:?}");
        frames += 1;
        sum += time;
    }
    assert!(
        frames < 40 && sum < Duration::from_secs(2),
        "{frames} {sum:?}"
    );
}

#[tokio::test]
async fn nothing_wakes_while_nothing_plays() {
    let mut stage = Stage::open(story(), 100, 30).await;
    let own = |stage: &Stage| {
        let is = |(_, t): &&(_, Timer)| matches!(t, Timer::Play(_) | Timer::Second(_));
        stage.waits.iter().filter(is).count()
    };
    stage.keys("ggjjkk5").await;
    stage.pause().await;
    stage.keys("jjkkzq").await;
    assert_eq!(own(&stage), 0);
    assert!(stage.app.enabled(Action::Freeze).is_ok());
    let mut empty = Stage::open(World::new("empty"), 100, 30).await;
    empty.keys(" ").await;
    assert!(empty.app.live.play.is_none());
}

fn with_terminal() -> World {
    let mut world = story();
    let bytes = cast(&[
        (0.0, "$ claude\r\n"),
        (61.0, "\x1b[1mUsers are logged out\x1b[0m\r\n"),
        (70.0, "reading\r\n"),
        (90.0, "\x1b[31mFAILED\x1b[0m\r\n"),
        (100_000.0, "never\r\n"),
    ]);
    world.terminal.info = Some(info(None, bytes.len() as u64));
    world.terminal.cast = bytes;
    world
}

#[tokio::test]
async fn the_terminal_moves_along() {
    let mut stage = Stage::open(with_terminal(), 100, 30).await;
    stage.keys("5").await;
    stage.pause().await;
    stage.until(|s| s.contains("FAILED")).await;
    assert!(!stage.screen().contains("never"));
    assert_screen("replay", &stage.screen());
    stage.keys("gg").await;
    stage
        .until(|s| s.contains("$ claude") && !s.contains("FAILED"))
        .await;
    stage.keys(" ").await;
    let mut frames = 0;
    while stage.focus() < 4 {
        pass(&mut stage).await.unwrap();
        frames += 1;
    }
    // Between two steps the terminal goes on, too.
    assert!(frames > 6, "{frames}");
    assert!(stage.screen().contains("REPLAY") || stage.screen().contains("PLAYING"));
    // For those who want nothing to move, a frame is a step.
    let mut stage = Stage::open(with_terminal(), 100, 30).await.glyphs(PLAIN);
    stage.keys("5").await;
    stage.pause().await;
    stage.keys("gg ").await;
    let mut last = stage.focus();
    while pass(&mut stage).await.is_some() {
        assert!(stage.focus() > last);
        last = stage.focus();
    }
    assert_eq!(last, 32);
}

#[tokio::test]
async fn a_held_key_goes_through_a_recorded_terminal() {
    let mut stage = Stage::open(with_terminal(), 60, 11).await;
    stage.keys("5").await;
    stage.pause().await;
    stage.keys("<tab>").await;
    stage.until(|s| s.contains("FAILED")).await;
    for _ in 0..200 {
        stage.press("S");
    }
    stage
        .until(|s| s.contains("$ claude") && !s.contains("FAILED"))
        .await;
    for _ in 0..200 {
        stage.press("s");
    }
    stage.until(|s| s.contains("FAILED")).await;
}
