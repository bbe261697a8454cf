//! Changing the world, and hearing from it: rollbacks and their questions, labels, freezing, news of an engine.

use crate::engine::api::{Notice, Request};
use crate::ui::action::{Action, TABLE};
use crate::ui::app::{App, Overlay};
use crate::ui::msg::Msg;

use super::flows::{asked, open};
use super::stage::Stage;
use super::story::live;

#[tokio::test]
async fn rollback_without_an_agent_is_one_key() {
    let mut stage = open("9Gr").await;
    let sent = asked(&stage);
    assert!(
        sent.iter()
            .any(|r| matches!(r, Request::Rollback { dry_run: false, .. })),
        "{sent:?}"
    );
    assert!(stage.app.overlay.is_none());
    let screen = stage.screen();
    assert!(screen.contains("workspace = 9"), "{screen}");
    assert!(
        screen.contains("Rolled back") && screen.contains("to 9 (was 31)"),
        "{screen}"
    );
    stage.keys("u").await;
    let screen = stage.screen();
    assert!(screen.contains("workspace = 31"), "{screen}");
    assert!(screen.contains("Undid the rollback"), "{screen}");
    stage.keys("u").await;
    assert!(stage.screen().contains("there is nothing to undo"));
}

#[tokio::test]
async fn rollback_under_an_agent_asks_first() {
    let mut stage = Stage::open(live(), 100, 30).await;
    stage.keys("9G").await;
    asked(&stage);
    stage.keys("r").await;
    let previews = asked(&stage);
    assert!(
        previews
            .iter()
            .all(|r| matches!(r, Request::Rollback { dry_run: true, .. })),
        "{previews:?}"
    );
    assert!(matches!(stage.app.overlay, Some(Overlay::Rollback { .. })));
    // What asked does not confirm, nor does Enter.
    stage.keys("r<enter> d").await;
    assert!(asked(&stage).is_empty());
    stage.keys("<esc>").await;
    assert!(stage.app.overlay.is_none());
    assert!(asked(&stage).is_empty());
    for (key, frozen) in [("y", false), ("Y", true)] {
        stage.keys("r").await;
        asked(&stage);
        stage.keys(key).await;
        let sent = asked(&stage);
        assert!(
            matches!(sent.first(), Some(Request::Rollback { dry_run: false, keep_frozen, .. }) if *keep_frozen == frozen),
            "{sent:?}"
        );
    }
}

#[tokio::test]
async fn the_question_is_about_the_step_it_named() {
    let mut stage = Stage::open(live(), 100, 30).await;
    stage.keys("9GGr").await;
    let Some(Overlay::Rollback { to, .. }) = stage.app.overlay.clone() else {
        panic!("no question");
    };
    // The agent goes on meanwhile, and the focus follows it.
    stage.script.with(|w| w.think("And another thing."));
    stage.settle().await;
    asked(&stage);
    stage.keys("y").await;
    let sent = asked(&stage);
    let wanted = stage.app.rows.at(to).map(App::revision).unwrap_or_default();
    assert!(
        matches!(sent.first(), Some(Request::Rollback { rev, .. }) if *rev == wanted),
        "{sent:?}"
    );
}

#[tokio::test]
async fn labels_are_set_and_found() {
    let mut stage = open("14Gmbgg'b").await;
    assert_eq!(stage.focus(), 14);
    assert!(asked(&stage).iter().any(
        |r| matches!(r, Request::Label { name, rev: Some(rev) } if name == "b" && rev == "step:14")
    ));
    stage.keys("'z").await;
    assert!(stage.screen().contains("no label z"));
}

#[tokio::test]
async fn freezing_needs_an_agent() {
    let mut stage = open("9G ").await;
    assert!(stage.screen().contains("PLAYING"));
    assert!(
        !asked(&stage)
            .iter()
            .any(|r| matches!(r, Request::Freeze { .. }))
    );
    let mut stage = Stage::open(live(), 100, 30).await;
    stage.keys(" ").await;
    assert!(stage.script.with(|w| w.frozen));
    stage.keys(" ").await;
    assert!(!stage.script.with(|w| w.frozen));
}

#[tokio::test]
async fn an_engine_that_ends_is_said() {
    let mut stage = Stage::open(live(), 100, 30).await;
    stage.take(Msg::Gone);
    stage.settle().await;
    let screen = stage.screen();
    assert!(screen.contains("ENGINE GONE"), "{screen}");
    stage.keys("9Gr").await;
    assert!(stage.screen().contains("no connection"));
}

#[tokio::test]
async fn what_the_engine_refuses_is_shown() {
    let mut stage = open("9G").await;
    stage.script.with(|w| {
        w.fail = Some(crate::engine::api::ApiError::new(
            crate::engine::api::ErrorCode::Full,
            "the disk is full: free 12 MB and try again",
        ));
    });
    stage.keys("r").await;
    assert!(
        stage
            .screen()
            .contains("no rollback: the disk is full: free 12 MB and try again")
    );
}

#[tokio::test]
async fn following_ends_with_k_and_begins_with_capital_g() {
    let mut stage = Stage::open(live(), 100, 30).await;
    assert_eq!(stage.focus(), 34);
    stage.script.with(|w| w.think("Next."));
    stage.settle().await;
    assert_eq!(stage.focus(), 35);
    stage.keys("k").await;
    stage.script.with(|w| w.think("And next."));
    stage.settle().await;
    assert_eq!(stage.focus(), 34);
    assert!(stage.screen().contains("(viewing 34, +2)"));
    stage.keys("G").await;
    assert_eq!(stage.focus(), 36);
    assert!(stage.screen().contains("following"));
}

#[tokio::test]
async fn a_row_changes_in_place() {
    let mut stage = Stage::open(live(), 100, 30).await;
    assert!(stage.screen().contains("running"));
    let mut row = stage.script.with(|w| w.rows.last().cloned().unwrap());
    row.status = crate::model::Status::Ok;
    row.exit_code = Some(0);
    stage.script.with(|w| {
        *w.rows.last_mut().unwrap() = row.clone();
    });
    asked(&stage);
    stage.take(Msg::Notice(Notice::Row(Box::new(row.clone()))));
    stage.settle().await;
    let screen = stage.screen();
    assert!(!screen.contains("running"), "{screen}");
    assert_eq!(stage.app.rows.len(), 34);
    // What is shown of it is asked for again.
    assert!(asked(&stage).contains(&Request::Step { id: row.step }));
}

#[tokio::test]
async fn after_lagging_the_rows_are_asked_for_again() {
    let mut stage = Stage::open(live(), 100, 30).await;
    stage.script.with(|w| {
        w.rows[3].title = "changed while we lagged".to_owned();
    });
    stage.keys("4G").await;
    asked(&stage);
    stage.take(Msg::Notice(Notice::Lagged { missed: 7 }));
    stage.settle().await;
    assert!(
        asked(&stage)
            .iter()
            .any(|r| matches!(r, Request::PackedRows { .. }))
    );
    assert!(stage.screen().contains("changed while we lagged"));
    assert_eq!(stage.focus(), 4);
}

#[tokio::test]
async fn actions_that_change_the_world_are_marked() {
    for entry in TABLE {
        let changes = matches!(
            entry.action,
            Action::Rollback
                | Action::Undo
                | Action::Redo
                | Action::Freeze
                | Action::Label
                | Action::Fork
                | Action::MergeFinish
                | Action::MergeConfirm
                | Action::Confirm
                | Action::ConfirmFrozen
                | Action::ForkInstead
                | Action::OpRestore
                | Action::OpRevert
                | Action::BranchSwitch
                | Action::BranchFork
                | Action::BranchRename
                | Action::BranchDelete
                | Action::BranchPrune
                | Action::LabelDelete
                | Action::Yes
                | Action::Restore
                | Action::RestoreNow
                | Action::RestoreFrozen
        );
        assert_eq!(entry.world, changes, "{}", entry.id);
    }
}
