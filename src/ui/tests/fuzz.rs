//! Random keys, random sizes, hostile texts: nothing panics, and nothing that acts on a terminal reaches the screen.

use proptest::prelude::*;

use crate::engine::api::{FileChange, Notice};
use crate::model::{CallKind, Status, StepKind};
use crate::ui::action::TABLE;
use crate::ui::msg::Msg;

use super::machine::machine;
use super::recorded::recorded;
use super::script::World;
use super::stage::Stage;
use super::story::live;

/// Texts that would break a terminal or a layout.
pub(super) const HOSTILE: [&str; 12] = [
    "\x1b[2J\x1b[H\x1b]0;owned\x07",
    "\x1b]52;c;ZXZpbA==\x07",
    "tab\there\r\nand\u{85}there",
    "\u{202e}gnp.exe\u{2066}",
    "zero\u{200b}width\u{200d}joined\u{feff}",
    "👩‍👩‍👧‍👦 family 👍🏽 🇩🇪 ❤️",
    "Z̸͓̑̈a̶̢͋l̵̡͘g̵̜͝o̶͎͛ ̷̡̀t̶̻̆e̵͉͝x̷̢̾t̸̰̀",
    "日本語のとても長いタイトルがここにあります、切られなければなりません",
    "\u{ad}\u{34f}\u{115f}\u{3164}\u{e0041}\u{1d173}",
    "مرحبا بالعالم שלום",
    "\0\x01\x02\x7f\u{9b}31m",
    "a\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}b",
];

fn hostile() -> World {
    let mut w = World::new("evil\x1b[31m");
    for text in HOSTILE {
        w.prompt(text);
        w.think(text);
        w.say(text);
        w.bash(text, 1, &format!("{text}\n{text}\r{text}"), 0.1);
        let name = text.replace(['/', '\0'], "_");
        w.write(
            &format!("dir {name}/{name}.rs"),
            &format!("fn {text}() {{}}\n{text}\n"),
        );
        w.edit(
            &format!("dir {name}/{name}.rs"),
            "fn ",
            &format!("pub fn {text} "),
        );
        let at = w.step(
            StepKind::Call,
            CallKind::Other,
            text,
            text,
            text,
            Some(text),
            None,
            0.1,
        );
        w.label(at, text);
    }
    w.link("link", "\x1b[2J../\u{202e}");
    w.bash("ln", 0, "", 0.1);
    w
}

/// Whether a cell holds nothing but what is drawn.
pub(super) fn check(stage: &mut Stage, what: &str) {
    let buffer = stage.buffer();
    let area = *buffer.area();
    for y in area.top()..area.bottom() {
        let mut skip = 0usize;
        for x in area.left()..area.right() {
            let symbol = buffer[(x, y)].symbol();
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let mut width = 0;
            for c in symbol.chars() {
                assert!(!c.is_control(), "{what}: {symbol:?} at {x},{y}");
                let steers = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e01ef}');
                assert!(!steers, "{what}: {symbol:?} at {x},{y}");
                width += crate::ui::text::char_width(c);
            }
            assert!(width <= 2, "{what}: {symbol:?} at {x},{y}");
            assert!(symbol.chars().count() <= 3, "{what}: {symbol:?} at {x},{y}");
            skip = width.saturating_sub(1);
        }
        assert_eq!(
            skip, 0,
            "{what}: a wide character is cut at the edge of line {y}"
        );
    }
}

#[tokio::test]
async fn hostile_texts_stay_in_their_cells() {
    for (width, height) in [(100, 30), (60, 11), (150, 20)] {
        let mut stage = Stage::open(hostile(), width, height).await;
        stage.keys("gg").await;
        let steps = stage.app.rows.len();
        for step in 0..steps {
            check(&mut stage, &format!("step {step}"));
            if step % 14 == 4 {
                for view in ["d", "zs", "<tab>", "<esc>"] {
                    stage.keys(view).await;
                    check(&mut stage, view);
                }
                stage.keys("3").await.pause().await;
                check(&mut stage, "state");
                stage.keys("<esc><esc>").await;
            }
            stage.keys("s").await;
        }
        stage.keys("/\u{202e}<enter>yp?").await;
        check(&mut stage, "help");
    }
}

#[tokio::test]
async fn odd_rows_are_drawn() {
    let mut stage = Stage::open(live(), 80, 20).await;
    let base = stage.script.with(|w| w.rows.last().cloned().unwrap());
    for (i, kind) in [
        StepKind::Unknown,
        StepKind::Fs,
        StepKind::Marker,
        StepKind::Call,
    ]
    .into_iter()
    .enumerate()
    {
        let mut row = base.clone();
        row.ordinal = format!("35.{i}").parse().unwrap();
        row.kind = kind;
        row.call = CallKind::Other;
        row.tool = "mcp__server__a_tool_with_a_long_name".to_owned();
        row.status = Status::Aborted;
        row.exit_code = Some(i32::MIN);
        row.line = u32::MAX - u32::try_from(i).unwrap();
        row.from_line = Some(row.line);
        row.turn = u32::MAX;
        row.time = crate::model::Time(i64::MIN);
        row.end = Some(crate::model::Time(i64::MAX));
        row.effect = Some(crate::engine::api::Effect {
            files: u32::MAX,
            added: u32::MAX,
            removed: u32::MAX,
        });
        row.labels = vec!["x".repeat(500); 50];
        stage.take(Msg::Notice(Notice::Row(Box::new(row))));
        stage.keys("G").await;
        check(&mut stage, &format!("{kind:?}"));
    }
    assert!(stage.screen().contains("35.3"));
}

fn any_keys() -> impl Strategy<Value = Vec<String>> {
    let table: Vec<String> = TABLE
        .iter()
        .flat_map(|e| e.keys.iter())
        .filter(|k| !k.contains("<f1>"))
        .map(|k| k.replace("{a}", "a").replace("<space>", " "))
        .collect();
    let key = prop_oneof![
        8 => proptest::sample::select(table),
        2 => "[0-9]{1,3}",
        2 => "[ -~]",
        1 => Just("/e<enter>".to_owned()),
        1 => Just("<pause>".to_owned()),
        1 => Just("<small>".to_owned()),
        1 => Just("<large>".to_owned()),
        1 => Just("<news>".to_owned()),
        1 => Just("<gone>".to_owned()),
    ];
    proptest::collection::vec(key, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn random_keys_never_panic(keys in any_keys(), world in 0usize..3) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut stage = match world {
                0 => Stage::open(live(), 90, 20).await,
                1 => Stage::open(growing(), 90, 20).await,
                _ => Stage::list(machine(), 90, 20).await,
            };
            for key in &keys {
                match key.as_str() {
                    "<pause>" => { stage.pause().await; }
                    "<small>" => { stage.resize(44, 9).await; }
                    "<large>" => { stage.resize(150, 30).await; }
                    "<news>" => {
                        stage.script.with(|w| {
                            if w.tree.contains_key("README.md") {
                                w.edit("README.md", "t", "tt");
                            }
                        });
                        stage.settle().await;
                    }
                    "<gone>" => {
                        let at = stage.app.rows.len() / 2;
                        if let Some(row) = stage.app.rows.get(at).cloned() {
                            stage.take(Msg::Notice(Notice::Gone {
                                step: row.step,
                                ordinal: row.ordinal,
                            }));
                        }
                    }
                    keys => { stage.keys(keys).await; }
                }
                check(&mut stage, key);
                // The focus is always a row of the list, or there is none.
                if let Some(index) = stage.app.focus_index() {
                    let shown = stage.app.visible_len() == 0 || !stage.app.rows.is_hidden(index);
                    assert!(shown, "{key}: {:?} is hidden", stage.app.focus);
                }
            }
        });
    }
}

/// A recording that goes on.
fn growing() -> World {
    let mut w = recorded();
    w.live = true;
    w
}

#[tokio::test]
async fn a_step_with_very_many_files() {
    let mut w = World::new("many");
    for i in 0..20_000 {
        w.put(&format!("src/dir{}/file{i}.rs", i % 100), "fn x() {}\n");
    }
    w.bash("unzip everything.zip", 0, "", 1.0);
    let mut stage = Stage::open(w, 100, 30).await;
    let start = std::time::Instant::now();
    for keys in ["d", "]p", "]p", "<tab>", "<end>", "k", "gg", "<esc>"] {
        stage.keys(keys).await;
        let _ = stage.buffer();
    }
    assert!(
        start.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    let changes: &[FileChange] = &stage.app.focus_detail().unwrap().changes;
    assert_eq!(changes.len(), 20_000);
}
