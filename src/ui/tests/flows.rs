//! What keys do, and what the world's news do: facts, not pictures.

use std::collections::HashSet;

use crate::engine::api::Request;
use crate::engine::assist::{Answered, News};
use crate::merge::conflict::ConflictKind;
use crate::model::{CallKind, StepKind};
use crate::ui::action::{Context, TABLE};
use crate::ui::app::Overlay;
use crate::ui::app::{Pane, View};
use crate::ui::msg::Msg;

use super::live::Host;
use super::machine::machine;
use super::merging::{detail, every_kind, hunk};
use super::script::World;
use super::stage::{Stage, parse};
use super::story::{live, story};

pub(super) async fn open(keys: &str) -> Stage {
    let mut stage = Stage::open(story(), 100, 30).await;
    stage.keys(keys).await;
    stage
}

pub(super) fn asked(stage: &Stage) -> Vec<Request> {
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
        ("gg/rotating tokens<enter>", 17),
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
    w.say("On a branch that was left.");
    if let Some(row) = w.rows.last_mut() {
        row.talk.dead = true;
    }
    w.bash("seq 20000", 0, &"12345\n".repeat(20_000), 0.1);
    w.merge = every_kind();
    w.merge.check = Some("true".to_owned());
    let side = |word: &str| format!("{word} {}\n", "0123456789abc".repeat(16)).repeat(90);
    let long = vec![hunk(&side("ours"), &side("base"), &side("theirs"))];
    w.merge
        .details
        .insert(0, detail("long.txt", ConflictKind::Content, long));
    w
}

/// A model has answered the question that is shown, at length and with steps.
fn answered(stage: &mut Stage) {
    if let Some(Overlay::Answer(answer)) = &stage.app.overlay {
        let stamp = answer.stamp;
        let news = News::Answer(Answered {
            text: "Because.\n".repeat(60),
            cites: vec![super::merging::at(9), super::merging::at(14)],
            notes: Vec::new(),
        });
        stage.take(Msg::Assist(stamp, news));
    }
}

#[tokio::test]
async fn every_binding_does_something() {
    // A place in each context from which every key can do something.
    let places = [
        (Context::Timeline, "9Gma14Gma/fn<enter>10Gza"),
        (Context::Timeline, "gg9G/cargo<enter>9G"),
        (Context::Detail, "36Gma20Gza36G<enter>l/line<enter>]p]h"),
        (Context::Detail, "9Gma36G<enter>ggj"),
        (Context::Diff, "9Gma36Gd/line 40<enter>jjl"),
        (Context::Diff, "9Gma36Gd]p<tab>"),
        (Context::State, "9Gma14G/a<enter>36G3"),
        (Context::State, "9Gma14G/a<enter>14G3"),
        (Context::State, "9Gma14G/a<enter>36G3<pause>]p"),
        (Context::State, "36GdB<pause>"),
        (Context::Timeline, "36GdB<pause>B<pause>"),
        (Context::Detail, "36GdB<pause>B<pause>36G<enter>"),
        (Context::Diff, "36GdB<pause>B<pause>36Gd"),
        (Context::Diff, "36Gdv"),
        (Context::Diff, "36Gdj"),
        (Context::Diff, "31Gd[h<tab>"),
        (Context::Timeline, "36Gv"),
        (Context::Diff, "36Gdzr"),
        (Context::Detail, "9G<enter>"),
        (Context::State, "36G3<pause>]p<enter>40j"),
        (Context::State, "36G3<pause>]p<enter>jv"),
        (Context::Restore, "36GR"),
        (Context::Restore, "9GR"),
        (Context::Dialog, "9Gr"),
        (Context::Timeline, "41G"),
        (Context::Detail, "41G<enter>"),
        (Context::Raw, "9Gma14G/e<enter>9Gz!"),
        (Context::Raw, "9Gma14G/e<enter>41Gz!jjjll"),
        (Context::Help, "9G?<down><down>"),
        (Context::Manual, "9G<f1>"),
        (Context::Manual, "9G<f1>jj"),
        (Context::List, "jj/a<enter>"),
        (Context::Live, "9Gma14G/fn<enter>10G5<pause>"),
        (Context::Live, "9Gma14G/fn<enter>41G5<pause>"),
        (Context::Live, "9Gs14GH5<pause>"),
        (Context::Live, "9G5<pause>"),
        (Context::Live, "9G5<pause>s]eH"),
        (Context::Live, "5<pause><tab>"),
        (Context::Live, "5<pause><tab>ll"),
        (Context::Live, "5<pause><enter>"),
        (Context::StopDialog, "X"),
        (Context::Merge, "M"),
        (Context::Merge, "Mojjjll"),
        (Context::Merge, "M]x1"),
        (Context::Branches, "M"),
        (Context::Branches, "Mj"),
        (Context::Conflicts, "Mgx"),
        (Context::Conflicts, "Mgxjj"),
        (Context::MergeDialog, "MW"),
        (Context::Answer, "awhy<enter>"),
        (Context::Answer, "awhy<enter><wait>jj"),
        (Context::Timeline, "9Gs14GH"),
        (Context::Detail, "9G<enter>s14GH"),
        (Context::Diff, "9Gds]eH"),
        (Context::State, "14G3<pause>s]eH"),
        (Context::Raw, "9Gz!s]eH"),
        (Context::Operations, "go"),
        (Context::Operations, "gogsHjj"),
        (Context::BranchList, "4<pause>"),
        (Context::BranchList, "4<pause>goHj"),
        (Context::Sessions, "gs"),
        (Context::Sessions, "gsgmHj"),
        (Context::Labels, "9Gma14Gmbgm"),
        (Context::Labels, "9Gma14GmbgmgoHj"),
        (Context::Question, "gor"),
    ];
    let mut alive: HashSet<(Context, &str)> = HashSet::new();
    for (context, place) in places {
        for entry in TABLE.iter().filter(|e| e.contexts.contains(&context)) {
            // Other keys of an action lead to the same place: the table's own tests see to that.
            if let Some(keys) = entry.keys.first()
                && !alive.contains(&(context, entry.id))
            {
                let mut world = busy();
                world.merge.kept = matches!(
                    context,
                    Context::Merge | Context::Conflicts | Context::MergeDialog
                );
                let host = Host::start(&"0123456789".repeat(1_000), (300, 60));
                if context == Context::Live {
                    world.terminal = host.terminals();
                }
                world.desk = super::desk::told_of(matches!(
                    context,
                    Context::Operations
                        | Context::BranchList
                        | Context::Sessions
                        | Context::Labels
                        | Context::Question
                ));
                let mut stage = if context == Context::List {
                    Stage::list(machine(), 100, 20).await
                } else {
                    Stage::open(world, 100, 20).await
                };
                for part in place.split("<pause>").flat_map(|p| p.split("<wait>")) {
                    stage.keys(part).await.pause().await;
                    answered(&mut stage);
                    if matches!(stage.app.view, Some(View::Live(_))) {
                        stage
                            .until(|s| {
                                s.contains("cols ")
                                    && (s.contains("as of") || s.contains("0123456789"))
                            })
                            .await;
                    }
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
                    || !stage.opened.is_empty()
                    || !stage.edits.is_empty()
                    || !stage.lent.is_empty()
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
    for keys in ["", "9G", "9G<enter>", "9Gd", "9G3", "9G?", "9Gr", "9Gz!"] {
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
                    "↓" => "<down>".to_owned(),
                    "↑" => "<up>".to_owned(),
                    "F1" => "<f1>".to_owned(),
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

/// A long recording.
pub(super) fn long(steps: usize) -> World {
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
            Request::PackedRows { before, .. } => Some(before.map(|b| b.major)),
            _ => None,
        })
        .collect();
    assert_eq!(pages, [None, Some(2251), Some(251)]);
    assert_eq!(stage.app.rows.len(), 2500);
    assert!(!stage.app.loading.busy);
    assert_eq!(stage.focus(), 2500);
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
async fn the_diff_goes_from_change_to_change_and_keeps_its_file() {
    let mut stage = open("28Gd").await;
    assert!(stage.screen().contains("as in the JWT"));
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
    stage.keys("[p[p").await;
    stage.keys("S").await;
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
        stage.screen().contains("Enter shows it"),
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
        if let Err(rows) = stage.app.rows.put_page(shifted, |_| false) {
            for row in rows {
                stage.app.rows.put(row, false);
            }
        }
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
