//! What keys do, and what the world's news do: facts, not pictures.

use std::collections::HashSet;

use crate::engine::api::{Notice, Request};
use crate::model::{CallKind, StepKind};
use crate::ui::action::{Action, Context, TABLE};
use crate::ui::app::{App, Overlay, Pane, View};
use crate::ui::msg::Msg;

use super::script::World;
use super::stage::{Stage, parse};
use super::story::{live, story};

async fn open(keys: &str) -> Stage {
    let mut stage = Stage::open(story(), 100, 30).await;
    stage.keys(keys).await;
    stage
}

fn asked(stage: &Stage) -> Vec<Request> {
    stage.script.with(|w| std::mem::take(&mut w.asked))
}

#[tokio::test]
async fn travelling() {
    for (keys, step) in [
        ("", 32),
        ("gg", 1),
        ("ggj", 2),
        ("gg5j", 6),
        ("gg<down><down><up>", 2),
        ("gg5s", 6),
        ("9GS", 8),
        ("9G.,", 9),
        ("14G", 14),
        ("999G", 32),
        ("gg]c", 9),
        ("gg2]c", 14),
        ("[c", 31),
        ("gg]e", 7),
        ("[e", 23),
        ("gg]t", 2),
        ("gg3]t", 19),
        ("[t", 26),
        ("gg]m", 18),
        ("gg'a", 18),
        ("gg<end>", 32),
        ("<home>", 1),
        ("ggG", 32),
        ("gg<pgdn>", 25),
        ("gg/refused<enter>", 1),
        ("gg/readme<enter>", 17),
        ("gg/cargo test<enter>n", 10),
        ("gg/cargo test<enter>N", 30),
    ] {
        assert_eq!(open(keys).await.focus(), step, "{keys}");
    }
}

/// With two long files of which much changed.
fn busy() -> World {
    let mut w = live();
    let text = |marked: bool| -> String {
        (0..200)
            .map(|i| {
                format!(
                    "line {i}{}\n",
                    if marked && i % 20 == 0 { " new" } else { "" }
                )
            })
            .collect()
    };
    for name in ["a.txt", "b.txt"] {
        w.put(name, text(false));
    }
    w.bash("seq", 0, "", 0.1);
    for name in ["a.txt", "b.txt"] {
        w.put(name, text(true));
    }
    w.bash("sed -i", 0, "", 0.1);
    w.prompt("More.");
    w.bash("make", 1, "", 0.1);
    w.edit("a.txt", "line 7", "line seven");
    w
}

#[tokio::test]
async fn every_binding_does_something() {
    // A place in each context from which every key can do something.
    let places = [
        (Context::Timeline, "9Gma14Gma/fn<enter>10Gza"),
        (Context::Timeline, "gg9G/cargo<enter>9G"),
        (Context::Detail, "36Gma20Gza36G<enter>l/line<enter>]f]h"),
        (Context::Detail, "9Gma36G<enter>ggj"),
        (Context::Diff, "9Gma36Gd/line 40<enter>jjl"),
        (Context::Diff, "9Gma36Gd]f<tab>"),
        (Context::State, "9Gma14G/a<enter>36G3"),
        (Context::State, "9Gma14G/a<enter>14G3"),
        (Context::State, "9Gma14G/a<enter>36G3<pause>]f"),
        (Context::Dialog, "9Gr"),
        (Context::Help, "9G?jj"),
    ];
    let mut alive: HashSet<(Context, &str)> = HashSet::new();
    for (context, place) in places {
        for entry in TABLE.iter().filter(|e| e.contexts.contains(&context)) {
            // Other keys of an action lead to the same place: the table's own tests see to that.
            if let Some(keys) = entry.keys.first()
                && !alive.contains(&(context, entry.id))
            {
                let mut stage = Stage::open(busy(), 100, 20).await;
                for part in place.split("<pause>") {
                    stage.keys(part).await.pause().await;
                }
                assert_eq!(stage.app.context(), context, "after {place}");
                if stage.app.enabled(entry.action).is_err() {
                    continue;
                }
                // What the place left at the bottom must not hide what the key does.
                stage.app.toast = None;
                asked(&stage);
                let before = (stage.styled(), stage.app.follow);
                stage.keys(&keys.replace("{a}", "a")).await.pause().await;
                let told = !asked(&stage).is_empty()
                    || stage.quit
                    || stage.suspended + stage.redrawn + stage.copied.len() > 0;
                if told || before != (stage.styled(), stage.app.follow) {
                    alive.insert((context, entry.id));
                }
            }
        }
    }
    let mut dead = Vec::new();
    for entry in TABLE {
        for context in entry.contexts {
            if !alive.contains(&(*context, entry.id)) {
                dead.push((context, entry.id));
            }
        }
    }
    assert!(dead.is_empty(), "dead keys: {dead:?}");
}

#[tokio::test]
async fn every_key_in_the_footer_works() {
    for keys in ["", "9G", "9G<enter>", "9Gd", "9G3", "9G?", "9Gr"] {
        let mut stage = Stage::open(live(), 200, 30).await;
        stage.keys(keys).await.pause().await;
        let context = stage.app.context();
        let screen = stage.screen();
        let footer = screen.lines().last().unwrap().trim().to_owned();
        assert!(!footer.is_empty());
        for hint in footer.split("  ") {
            for key in hint.split(' ').next().unwrap().split('/') {
                if key.is_empty() {
                    continue;
                }
                let written = match key {
                    "Enter" => "<enter>".to_owned(),
                    "Esc" => "<esc>".to_owned(),
                    "Tab" => "<tab>".to_owned(),
                    "Space" => " ".to_owned(),
                    other => other.to_owned(),
                };
                let known = TABLE.iter().any(|e| {
                    e.contexts.contains(&context)
                        && stage.app.enabled(e.action).is_ok()
                        && e.keys
                            .iter()
                            .any(|k| parse(&k.replace("<space>", " ")) == parse(&written))
                });
                assert!(known, "{key:?} in {footer:?} ({context:?})");
            }
        }
    }
}

#[tokio::test]
async fn views_open_and_close() {
    let mut stage = open("9G").await;
    stage.keys("<enter>").await;
    assert_eq!(stage.app.pane, Pane::Detail);
    stage.keys("<enter>").await;
    assert!(matches!(stage.app.view, Some(View::Diff(_))));
    stage.keys("<esc>").await;
    assert!(stage.app.view.is_none());
    stage.keys("<esc><esc><esc>").await;
    assert_eq!(stage.app.pane, Pane::Timeline);
    assert!(!stage.quit, "Esc never quits");
    stage.keys("3").await.pause().await;
    assert!(matches!(stage.app.view, Some(View::State(_))));
    stage.keys("1").await.pause().await;
    assert!(stage.app.view.is_none());
    stage.keys("2").await.pause().await;
    stage.keys("q").await;
    assert!(stage.app.view.is_none() && !stage.quit);
    stage.keys("q").await;
    assert!(stage.quit);
}

#[tokio::test]
async fn a_digit_is_a_view_only_when_nothing_follows() {
    let mut stage = open("30G").await;
    assert!(stage.app.view.is_none());
    stage.keys("3s").await;
    assert_eq!(stage.focus(), 32);
    assert!(stage.app.view.is_none());
    stage.keys("3").await;
    assert!(stage.app.view.is_none(), "it waits for what follows");
    stage.pause().await;
    assert!(matches!(stage.app.view, Some(View::State(_))));
}

#[tokio::test]
async fn ctrl_c_twice_quits() {
    let mut stage = open("9Gd<c-c>").await;
    assert!(!stage.quit);
    assert!(stage.screen().contains("Ctrl-c again quits"));
    stage.keys("j<c-c>").await;
    assert!(!stage.quit, "another key in between starts over");
    stage.keys("<c-c>").await;
    assert!(stage.quit);
}

#[tokio::test]
async fn pasted_text_is_no_command() {
    let mut stage = open("9G").await;
    asked(&stage);
    stage.take(Msg::Paste("r\nq\nu".to_owned()));
    stage.settle().await;
    assert!(asked(&stage).is_empty());
    assert!(!stage.quit);
    stage.keys("/").await;
    stage.take(Msg::Paste("README\nrm -rf".to_owned()));
    stage.keys("<enter>").await;
    assert_eq!(stage.focus(), 17);
}

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
    assert!(screen.contains("Rolled back to 9"), "{screen}");
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
            .any(|r| matches!(r, Request::Rows { .. }))
    );
    assert!(stage.screen().contains("changed while we lagged"));
    assert_eq!(stage.focus(), 4);
}

/// A long recording.
fn long(steps: usize) -> World {
    let mut w = World::new("long");
    for i in 0..steps {
        w.step(
            StepKind::Thought,
            CallKind::Other,
            "",
            &format!("thought {}", i + 1),
            "",
            None,
            None,
            1.0,
        );
    }
    w
}

#[tokio::test]
async fn the_newest_page_comes_first() {
    let stage = Stage::open(long(2500), 100, 30).await;
    let pages: Vec<Option<u64>> = asked(&stage)
        .into_iter()
        .filter_map(|r| match r {
            Request::Rows { after, .. } => Some(after.map(|a| a.major)),
            _ => None,
        })
        .collect();
    assert_eq!(pages.first(), Some(&Some(1500)), "{pages:?}");
    assert!(pages.contains(&None), "{pages:?}");
    assert_eq!(stage.app.rows.len(), 2500);
    assert!(!stage.app.loading.busy);
    assert_eq!(stage.focus(), 2500);
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
async fn copies_say_where_they_went() {
    let mut stage = open("9Gyy").await;
    assert_eq!(stage.copied, ["step:9"]);
    assert!(stage.screen().contains("sent to the terminal"));
    stage.keys("yp").await;
    assert_eq!(stage.copied[1], "src/auth/token.rs");
}

#[tokio::test]
async fn freezing_needs_an_agent() {
    let mut stage = open("9G ").await;
    assert!(stage.screen().contains("no agent is running"));
    let mut stage = Stage::open(live(), 100, 30).await;
    stage.keys(" ").await;
    assert!(stage.script.with(|w| w.frozen));
    stage.keys(" ").await;
    assert!(!stage.script.with(|w| w.frozen));
}

#[tokio::test]
async fn the_diff_goes_from_change_to_change_and_keeps_its_file() {
    let mut stage = open("28Gd").await;
    assert!(stage.screen().contains("as in the JWT"));
    stage.keys("S").await;
    assert_eq!(stage.focus(), 22);
    stage.keys("S").await;
    assert_eq!(stage.focus(), 21);
    // token.rs was selected first and is there again.
    let Some(View::Diff(diff)) = &stage.app.view else {
        panic!("no diff");
    };
    assert_eq!(diff.changes.len(), 4);
    assert_eq!(
        stage.app.selected_path().as_deref(),
        Some("src/auth/token.rs")
    );
    stage.keys("[f[f").await;
    stage.keys("SS").await;
    assert_eq!(stage.focus(), 15);
    assert_eq!(
        stage.app.selected_path().as_deref(),
        Some("src/auth/mod.rs")
    );
}

#[tokio::test]
async fn large_files_wait_to_be_asked_for() {
    let mut w = story();
    let big = "line of a large file\n".repeat(80_000);
    w.write("big.txt", &big);
    let mut stage = Stage::open(w, 100, 30).await;
    stage.keys("[c]cd").await;
    assert!(
        stage.screen().contains("Enter compares it"),
        "{}",
        stage.screen()
    );
    stage.keys("<enter>").await;
    assert!(stage.screen().contains("line of a large file"));
    stage.keys("<esc>").await;
    stage.keys("3").await.pause().await;
    assert!(stage.screen().contains("Enter twice shows it"));
    stage.keys("<enter><enter>").await;
    assert!(stage.screen().contains("line of a large file"));
}

#[tokio::test]
async fn the_state_browser_follows_time() {
    let mut stage = open("9G").await;
    stage.keys("3").await.pause().await;
    stage.keys("<enter>G").await;
    assert!(stage.screen().contains("let exp = self.exp * 1000;"));
    stage.keys("S").await;
    assert_eq!(stage.focus(), 8);
    assert!(
        stage.screen().contains("if self.exp < now {"),
        "{}",
        stage.screen()
    );
    stage.keys("<esc>gg<enter>").await;
    assert!(stage.screen().contains("logo.png"), "{}", stage.screen());
    stage.keys("<left>").await;
    assert!(!stage.screen().contains("logo.png"));
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
async fn a_million_steps_are_quick() {
    let w = long(1000);
    let rows = w.rows.clone();
    let mut stage = Stage::open(w, 100, 30).await;
    for page in 1..1000u64 {
        let shifted: Vec<_> = rows
            .iter()
            .cloned()
            .map(|mut r| {
                r.ordinal.major += page * 1000;
                r.step.0[..8].copy_from_slice(&r.ordinal.major.to_le_bytes());
                r
            })
            .collect();
        for row in &shifted {
            stage.app.lanes.see(row);
        }
        stage.app.rows.put_page(shifted, |_| false);
    }
    stage.app.lanes.settle(&stage.app.rows, true);
    let mut slowest = std::time::Duration::ZERO;
    for keys in ["G", "k", "S", "500000G", "j", "<pgdn>", "gg", "j"] {
        for key in parse(keys) {
            let start = std::time::Instant::now();
            stage.take(Msg::Key(key));
            let _ = stage.buffer();
            slowest = slowest.max(start.elapsed());
        }
    }
    // 16 ms is the aim; this build is not optimised.
    assert!(
        slowest < std::time::Duration::from_millis(60),
        "{slowest:?}"
    );
    assert_eq!(stage.focus(), 2);
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
                | Action::Confirm
                | Action::ConfirmFrozen
        );
        assert_eq!(entry.world, changes, "{}", entry.id);
    }
}
