//! Differences of any two states, what is selected in them, restored from them and copied out of them.

use crate::engine::api::{Part, Request};
use crate::model::{CallKind, StepKind};
use crate::ui::app::{Overlay, View};
use crate::ui::diff_view::DiffView;
use crate::ui::errand::Errand;
use crate::ui::theme::{Backdrop, Depth};

use super::flows::{asked, open};
use super::script::World;
use super::stage::{Stage, assert_screen};
use super::story::{live, story};

fn diff(stage: &Stage) -> &DiffView {
    match &stage.app.view {
        Some(View::Diff(diff)) => diff,
        other => panic!("no diff: {other:?}"),
    }
}

fn restores(stage: &Stage) -> Vec<(bool, Vec<Part>)> {
    asked(stage)
        .into_iter()
        .filter_map(|r| match r {
            Request::Restore { parts, dry_run, .. } => Some((dry_run, parts)),
            _ => None,
        })
        .collect()
}

fn file(stage: &Stage, name: &str) -> String {
    stage.script.with(|w| {
        let content = w.tree.get(name).map(|f| f.content.clone());
        String::from_utf8_lossy(&content.unwrap_or_default()).into_owned()
    })
}

/// A file of a hundred lines that two steps change in two places each.
fn hundred() -> World {
    let mut w = World::new("hundred");
    let text: String = (1..=100).map(|n| format!("line {n}\n")).collect();
    w.put("src/main.txt", &text);
    w.put("docs/a.md", "a\n");
    w.put("other/b.md", "b\n");
    w.bash("seq 100", 0, "", 0.1);
    w.prompt("Change it.");
    w.think("Two places are wrong.");
    w.replace("src/main.txt", "line 20\n", "line twenty\n");
    w.replace("src/main.txt", "line 80\n", "  line   80\nline 80.5\n");
    w.bash("sed -i s/20/twenty/", 0, "", 0.1);
    w.replace("src/main.txt", "line 50\n", "line fifty\n");
    w.bash("sed -i s/50/fifty/", 0, "", 0.1);
    w
}

#[tokio::test]
async fn two_states_are_compared() {
    let mut stage = open("9Gma28GD").await;
    assert_screen("diff_with_prompt", &stage.screen());
    stage.keys("a<enter>").await;
    assert_screen("diff_pair", &stage.screen());
    assert_eq!(diff(&stage).pair.as_ref().unwrap().a.words(), "9 (a)");
    // The older one stands first, whichever was named.
    let mut stage = open("9GD28<enter>").await;
    let pair = diff(&stage).pair.clone().unwrap();
    assert_eq!((pair.a.words(), pair.b.words()), ("9".into(), "28".into()));
    // Its other side goes with the focus.
    stage.keys("]c").await;
    assert_eq!(diff(&stage).pair.as_ref().unwrap().a.words(), "14");
    stage.resize(200, 50).await;
    assert_screen("diff_pair_200x50", &stage.screen());
    stage.resize(60, 11).await;
    assert_screen("diff_pair_60x11", &stage.screen());
    stage.resize(20, 5).await;
    let _ = stage.screen();

    // A name that nothing has.
    let mut stage = open("28GDnowhere<enter>").await;
    assert!(stage.app.view.is_none());
    assert!(
        stage.screen().contains("no comparison: no revision"),
        "{}",
        stage.screen()
    );
    // Nothing typed means what is offered.
    let mut stage = open("9Gma28GD<enter>").await;
    assert_eq!(diff(&stage).pair.as_ref().unwrap().a.words(), "9 (a)");
    // Names complete, one after the other.
    stage.keys("<esc>Dm<tab>").await;
    let Some(Overlay::Line(line)) = &stage.app.overlay else {
        panic!("no prompt");
    };
    assert_eq!(line.text, "main");
    stage.keys("<bs><bs><bs><bs><bs>").await;
    assert!(stage.app.overlay.is_none());
}

#[tokio::test]
async fn selected_steps_are_compared() {
    let mut stage = open("14Gvkkkkk").await;
    assert_screen("timeline_range_styles", &stage.styled());
    stage.keys("yl").await;
    assert_eq!(stage.copied[0].lines().count(), 6, "{:?}", stage.copied);
    stage.keys("14Gvkkkkkd").await;
    let pair = diff(&stage).pair.clone().unwrap();
    assert_eq!(pair.b.words(), "14");
    assert!(diff(&stage).changes.len() > 1);
    assert!(stage.app.diffing.range.is_none());
    // Esc ends a selection and nothing else.
    let stage = open("14Gvk<esc>").await;
    assert!(stage.app.diffing.range.is_none());
    assert_eq!(stage.focus(), 13);
}

#[tokio::test]
async fn what_is_unchanged_unfolds() {
    let mut stage = Stage::open(hundred(), 100, 30).await;
    stage.keys("Gd").await;
    assert_screen("diff_folded", &stage.screen());
    assert!(!stage.screen().contains("line 30"));
    stage.keys("kkkkkkkkkk<enter>").await;
    assert_screen("diff_unfolded_some", &stage.screen());
    stage.keys("zr").await;
    assert_eq!(diff(&stage).body.len(), 102);
    assert!(stage.screen().contains("line 22"), "{}", stage.screen());
    stage.keys("gg").await;
    assert!(stage.screen().contains("line 1\n") || stage.screen().contains("line 1 "));
    stage.keys("zm").await;
    assert!(!stage.screen().contains("line 30"));
    // What the cursor is on stays under it.
    stage.keys("]h").await;
    let before = stage.app.diffing.split;
    stage.keys("zs").await;
    assert_ne!(stage.app.diffing.split, before);
    let compared = stage
        .app
        .compared(diff(&stage).selected().unwrap())
        .cloned();
    let found = crate::ui::diff_view::text_of(compared.as_ref())
        .cloned()
        .unwrap();
    let row = diff(&stage).body[diff(&stage).line];
    assert!(
        row.lines(&found).any(|l| l.text == b"line fifty"),
        "{row:?}"
    );
}

#[tokio::test]
async fn white_space_and_long_lines() {
    let mut stage = Stage::open(hundred(), 100, 30).await;
    stage.keys("Gkd").await;
    assert!(stage.screen().contains("ws:show"));
    assert_eq!(diff(&stage).hunks.len(), 2);
    assert!(stage.screen().contains("hunk 1 of 2"));
    stage.keys("zi").await;
    assert!(
        stage.screen().contains("ws:ignore changes"),
        "{}",
        stage.screen()
    );
    stage.keys("zi").await;
    assert!(stage.screen().contains("ws:ignore all"));
    stage.keys("]h").await;
    assert_screen("diff_without_space", &stage.screen());
    stage.keys("zi").await;

    let mut w = World::new("long");
    let words: String = (0..40).map(|n| format!("word{n} ")).collect();
    w.put("long.txt", format!("{words}日本語\nshort\n"));
    w.put("min.js", "x=1;\n");
    w.bash("one", 0, "", 0.1);
    w.put("long.txt", format!("{words}日本語 end\nshort\n"));
    w.put("min.js", format!("{}\n", "y=2;".repeat(4000)));
    w.bash("two", 0, "", 0.1);
    let mut stage = Stage::open(w, 100, 30).await;
    stage.keys("Gd").await;
    assert!(!stage.screen().contains("日本語 end"));
    stage.keys("zw").await;
    assert_screen("diff_wrapped", &stage.screen());
    assert!(stage.screen().contains("日本語 end"));
    // Lines of ten thousand bytes are shown when they are asked for.
    stage.keys("]p").await;
    assert!(stage.screen().contains("large (5 B"), "{}", stage.screen());
    stage.keys("<enter>").await;
    assert!(stage.screen().contains("y=2;"), "{}", stage.screen());
}

#[tokio::test]
async fn pictures_are_told_by_their_size() {
    let png = |width: u32, height: u32, len: usize| {
        let mut out = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        out.extend(width.to_be_bytes());
        out.extend(height.to_be_bytes());
        out.resize(len, 0);
        out
    };
    let mut w = World::new("pictures");
    w.put("a.png", png(640, 480, 4_000));
    w.bash("one", 0, "", 0.1);
    w.put("a.png", png(800, 600, 5_000));
    w.put("b.png", png(1, 1, 300));
    w.bash("two", 0, "", 0.1);
    let mut stage = Stage::open(w, 120, 30).await;
    let screen = stage.keys("G").await.screen();
    assert!(screen.contains("new <image 300 B 1x1>"), "{screen}");
    let screen = stage.keys("d").await.screen();
    assert!(
        screen.contains("<image 4.0 KB 640x480> → <image 5.0 KB 800x600>"),
        "{screen}"
    );
}

#[tokio::test]
async fn lines_are_selected_and_copied() {
    let mut stage = open("9Gdvjjj").await;
    assert_screen("diff_selection_styles", &stage.styled());
    stage.keys("yl").await;
    let copied = stage.copied.pop().unwrap();
    assert_eq!(copied.lines().count(), 4, "{copied}");
    assert!(stage.screen().contains("4 lines sent to the terminal"));
    assert!(
        diff(&stage).mark.is_none(),
        "what was copied is no longer selected"
    );
    stage.keys("yd").await;
    let copied = stage.copied.pop().unwrap();
    assert!(
        copied.starts_with("--- a/src/auth/token.rs\n+++ b/src/auth/token.rs\n@@ "),
        "{copied}"
    );
    stage.keys("yr").await;
    assert!(stage.copied.pop().unwrap().contains("milliseconds"));
    stage.keys("yc").await;
    assert!(stage.copied.is_empty());
    assert!(stage.screen().contains("the step ran no command"));
    let mut stage = open("7Gyc").await;
    assert_eq!(stage.copied.pop().unwrap(), "cargo test --test auth");
    let mut stage = stage.theme(Depth::Full, Backdrop::Dark);
    stage.keys("9Gdvjj").await;
    assert_screen("diff_selection_styles_full_dark", &stage.styled());
    stage.keys("<esc>").await;
    assert!(diff(&stage).mark.is_none(), "Esc ends the selection first");
}

#[tokio::test]
async fn a_file_comes_back_at_once_when_nobody_works_there() {
    let mut stage = Stage::open(story(), 100, 30).await;
    let now = file(&stage, "src/auth/token.rs");
    stage.keys("9G").await;
    asked(&stage);
    stage.keys("R").await;
    let sent = restores(&stage);
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(sent[0].0 && !sent[1].0, "first it is looked at");
    assert!(stage.app.overlay.is_none());
    assert_ne!(file(&stage, "src/auth/token.rs"), now);
    assert_screen("restore_toast", &stage.screen());
    // It is there now: the other side is asked about, never done unasked.
    stage.keys("R").await;
    let sent = restores(&stage);
    assert!(sent.iter().all(|(dry, _)| *dry), "{sent:?}");
    assert_screen("restore_other_side", &stage.screen());
    stage.keys("R<enter>").await;
    assert!(restores(&stage).is_empty(), "what asked does not confirm");
    stage.keys("y").await;
    assert_eq!(restores(&stage).len(), 1);
    stage.keys("u").await;
    assert!(asked(&stage).contains(&Request::Undo));
}

#[tokio::test]
async fn hunks_and_lines_come_back_alone() {
    let mut w = hundred();
    let then = String::from_utf8(w.tree["src/main.txt"].content.clone()).unwrap();
    w.write("src/main.txt", &"gone\n".repeat(100));
    let mut stage = Stage::open(w, 100, 30).await;
    // The second hunk of the step before the last.
    stage.keys("Gkkd]h").await;
    asked(&stage);
    stage.keys("R").await;
    let sent = restores(&stage);
    let Some((false, parts)) = sent.last() else {
        panic!("{sent:?}")
    };
    assert!(
        matches!(&parts[0], Part::Lines { lines, .. } if lines[0].count == 2 && lines[0].first == 79),
        "{parts:?}"
    );
    let now = file(&stage, "src/main.txt");
    assert!(now.contains("  line   80\nline 80.5\n"), "{now}");
    assert!(
        now.starts_with("gone\n") && !now.contains("line twenty"),
        "{now}"
    );
    // One line of it.
    let mut w = hundred();
    w.write("src/main.txt", &then.replace("line 80.5\n", ""));
    let mut stage = Stage::open(w, 100, 30).await;
    stage.keys("Gkkd]hjj").await;
    stage.keys("vR").await;
    assert_eq!(file(&stage, "src/main.txt"), then);
    assert!(
        stage
            .screen()
            .contains("Restored 1 selected line of src/main.txt"),
        "{}",
        stage.screen()
    );
}

#[tokio::test]
async fn under_an_agent_it_is_asked_first() {
    let mut stage = Stage::open(live(), 100, 30).await;
    stage.keys("9GdR").await;
    assert!(restores(&stage).iter().all(|(dry, _)| *dry));
    assert_screen("restore_dialog", &stage.screen());
    // As it is here it is there already: so it is asked about the other side.
    assert!(stage.screen().contains("as before step 9?"));
    stage.keys("<tab>").await;
    assert!(stage.screen().contains("as after step 9?"));
    stage.keys("y").await;
    assert!(
        restores(&stage).iter().all(|(dry, _)| *dry),
        "nothing differs"
    );
    stage.keys("<tab>").await;
    asked(&stage);
    stage.keys("Y").await;
    let sent = asked(&stage);
    assert!(
        matches!(
            sent.first(),
            Some(Request::Restore {
                dry_run: false,
                keep_frozen: true,
                ..
            })
        ),
        "{sent:?}"
    );
    stage.keys("R<esc>").await;
    assert!(stage.app.overlay.is_none());
    assert!(restores(&stage).iter().all(|(dry, _)| *dry));
}

#[tokio::test]
async fn the_state_browser_restores_what_is_selected() {
    let mut stage = Stage::open(story(), 100, 30).await;
    stage.keys("9G3").await.pause().await;
    asked(&stage);
    stage.keys("R").await;
    let sent = restores(&stage);
    assert!(
        matches!(&sent[0].1[0], Part::Whole { path } if path.to_string() == "src/auth/token.rs"),
        "{sent:?}"
    );
    stage.keys("<enter>vjj").await;
    assert_screen("state_selection_styles", &stage.styled());
    stage.keys("R").await;
    let sent = restores(&stage);
    assert!(
        matches!(&sent[0].1[0], Part::Lines { lines, .. } if lines[0].count == 3),
        "{sent:?}"
    );
    stage.keys("vyl").await;
    assert_eq!(stage.copied.len(), 1);
}

#[tokio::test]
async fn a_recording_has_no_workspace_to_restore_into() {
    let mut w = story();
    w.recording = true;
    let mut stage = Stage::open(w, 100, 30).await;
    stage.keys("9GR").await;
    assert!(
        stage.screen().contains("this is a recording"),
        "{}",
        stage.screen()
    );
    assert!(restores(&stage).is_empty());
}

#[tokio::test]
async fn files_count_as_viewed_once_they_were_shown() {
    let mut stage = open("21Gd").await;
    assert!(
        stage.screen().contains("1 of 4 viewed"),
        "{}",
        stage.screen()
    );
    stage.keys("]p]p").await;
    assert!(stage.screen().contains("3 of 4 viewed"));
    stage.keys("<esc>d").await;
    assert!(stage.screen().contains("3 of 4 viewed"));
    // What touched the file, with the step that is looked at.
    assert!(
        stage.screen().contains("steps touching"),
        "{}",
        stage.screen()
    );
}

#[tokio::test]
async fn a_version_is_opened_elsewhere_as_a_copy() {
    let mut stage = open("9Ge").await;
    let Some(Errand::View { name, text }) = stage.lent.pop() else {
        panic!("nothing lent")
    };
    assert_eq!(name, "token.rs");
    assert!(String::from_utf8_lossy(&text).contains("exp is in seconds"));
    // Of a file that went, the last version.
    stage.keys("21Gd").await;
    assert!(diff(&stage).selected().unwrap().after.is_none() || diff(&stage).changes.len() > 1);
    stage.keys("e").await;
    assert_eq!(stage.lent.len(), 1);
    stage.take(crate::ui::msg::Msg::Errand(Err("vi failed".to_owned())));
    assert!(stage.screen().contains("vi failed"));
}

#[tokio::test]
async fn a_shell_needs_an_engine() {
    let mut stage = open("9G!").await;
    assert!(
        stage.screen().contains("no engine runs"),
        "{}",
        stage.screen()
    );
    let mut stage = Stage::open(live(), 100, 30).await;
    stage.keys("9G!").await;
    assert_eq!(
        stage.lent,
        [Errand::Shell {
            dir: "/run/user/1000/backtrail/at/9".to_owned(),
            at: "step 9".to_owned()
        }]
    );
}

#[tokio::test]
async fn the_state_tells_plan_and_reads() {
    let mut w = story();
    let before = w.rows.len();
    let todos = r#"{"todos":[{"content":"Find why tokens look expired","status":"completed"},{"content":"Convert seconds to milliseconds at the comparison, once","status":"in_progress"},{"content":"Run all tests","status":"pending"}]}"#;
    w.step(
        StepKind::Call,
        CallKind::Other,
        "TodoWrite",
        "3 todos",
        todos,
        Some("ok"),
        None,
        0.1,
    );
    w.read("src/clock.rs");
    w.read("README.md");
    w.read("src/clock.rs");
    assert!(w.rows.len() > before);
    let mut stage = Stage::open(w, 100, 30).await;
    stage.keys("G3").await.pause().await;
    assert!(
        stage.screen().contains("Files · Plan · Context"),
        "{}",
        stage.screen()
    );
    stage.keys("zp").await;
    assert_screen("state_plan_styles", &stage.styled());
    stage.keys("zp").await;
    assert_screen("state_context", &stage.screen());
    stage.keys("jjk<enter>").await;
    stage.resize(60, 11).await;
    let _ = stage.screen();
    stage.resize(100, 30).await.keys("zpzp").await;
    assert!(stage.screen().contains("Cargo.toml"), "{}", stage.screen());
    // Before anything was planned there is no such tab.
    stage.keys("<esc>2G3").await.pause().await;
    assert!(!stage.screen().contains("Plan"), "{}", stage.screen());
}
