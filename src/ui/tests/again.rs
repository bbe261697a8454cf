//! Loading that is stopped and goes on; an engine that goes away and comes back.

use crate::engine::api::Notice;
use crate::ui::app::Link;
use crate::ui::msg::Msg;

use super::flows::long;
use super::stage::Stage;
use super::story::live;

#[tokio::test]
async fn esc_stops_loading_and_ctrl_l_goes_on() {
    let mut stage = Stage::closed(long(9000), 100, 30);
    stage.connect();
    stage.until(|s| s.contains("loading 250 of")).await;
    assert!(stage.app.loading.busy, "{}", stage.screen());
    stage.press("<esc>");
    stage.settle().await;
    let there = stage.app.rows.len();
    assert!((1..9000).contains(&there), "{there}");
    let screen = stage.screen();
    assert!(screen.contains("Ctrl-l loads the rest"), "{screen}");
    assert!(!screen.contains("loading"), "{screen}");
    // What is there can be walked, and no page of the old loading comes late.
    stage.keys("ggjG").await;
    assert_eq!(stage.focus(), 9000);
    stage.keys("<c-l>").await;
    assert_eq!(stage.app.rows.len(), 9000);
    stage.keys("gg").await;
    assert_eq!(stage.focus(), 1);
}

#[tokio::test]
async fn rows_that_come_before_the_others_do_not_move_the_screen() {
    let mut stage = Stage::closed(long(9000), 100, 30);
    stage.connect();
    stage.until(|s| s.contains("loading 250 of")).await;
    stage.press("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkk");
    let line = |screen: &str| screen.lines().position(|l| l.contains('▌'));
    let before = line(&stage.screen());
    assert!(before.is_some(), "{}", stage.screen());
    stage.settle().await;
    assert_eq!(stage.app.rows.len(), 9000);
    assert_eq!(line(&stage.screen()), before, "{}", stage.screen());
    assert_eq!(stage.focus(), 8970);
}

#[tokio::test]
async fn news_and_losses_while_rows_are_loaded_win_over_the_pages() {
    let mut stage = Stage::closed(long(9000), 100, 30);
    stage.connect();
    stage.until(|s| s.contains("loading 250 of")).await;
    let (mut changed, lost) = stage
        .script
        .with(|w| (w.rows[99].clone(), w.rows[199].clone()));
    changed.title = "newer than its page".to_owned();
    stage.take(Msg::Notice(Notice::Row(Box::new(changed))));
    stage.take(Msg::Notice(Notice::Gone {
        step: lost.step,
        ordinal: lost.ordinal,
    }));
    stage.settle().await;
    assert_eq!(stage.app.rows.len(), 8999);
    stage.keys("100G").await;
    assert!(stage.screen().contains("newer than its page"));
    assert!(stage.app.rows.at(lost.ordinal).is_none());
}

#[tokio::test]
async fn an_engine_that_is_back_is_asked_for_what_changed() {
    let mut stage = Stage::open(live(), 100, 30).await;
    stage.keys("8G").await;
    let read = stage.screen();
    stage.script.with(|w| w.notices = None);
    stage.settle().await;
    stage.take(Msg::Gone);
    let screen = stage.screen();
    assert!(screen.contains("ENGINE GONE"), "{screen}");
    assert!(screen.contains("can still be read"), "{screen}");
    // The step that was looked at is still told in full.
    let pane = |s: &str| {
        s.lines()
            .skip(3)
            .take(12)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(pane(&screen), pane(&read));
    stage.keys("jjkgg").await;
    assert_eq!(stage.focus(), 1);
    stage.keys("8Gr").await;
    assert!(
        stage.screen().contains("no connection"),
        "{}",
        stage.screen()
    );
    stage
        .script
        .with(|w| w.rows[7].title = "retold by the next engine".to_owned());
    stage.connect();
    stage.settle().await;
    let screen = stage.screen();
    assert!(screen.contains("connected again"), "{screen}");
    assert!(screen.contains("retold by the next engine"), "{screen}");
    assert!(matches!(stage.app.link, Link::Open { live: true }));
    assert_eq!(stage.focus(), 8);
}
