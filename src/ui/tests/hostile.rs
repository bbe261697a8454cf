//! Hostile text in every place that is drawn, at any size: no cell holds what steers a terminal, no wide character is cut, and
//! of what goes to the terminal only the program's own escapes remain.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};

use crate::model::{CallKind, StepKind};
use crate::ui::action::TABLE;
use crate::ui::draw::draw;

use super::fuzz::{HOSTILE, check};
use super::script::World;
use super::stage::Stage;

/// A text put together of whatever is bad for a screen.
fn evil() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => proptest::sample::select(HOSTILE.to_vec()).prop_map(str::to_owned),
        3 => any::<char>().prop_map(String::from),
        2 => "[ -~]{1,12}",
        1 => Just("\t".repeat(9)),
        1 => Just("漢".repeat(70)),
        1 => Just("x".repeat(3000)),
        1 => Just(format!("e{}", "\u{301}".repeat(200))),
        1 => Just("\u{1b}[?1049l\u{1b}c\u{90}q\u{9c}\u{1b}_G\u{1b}\\".to_owned()),
    ];
    proptest::collection::vec(piece, 1..6).prop_map(|p| p.concat())
}

fn size() -> impl Strategy<Value = (u16, u16)> {
    prop_oneof![
        3 => Just((20, 5)),
        2 => (1u16..=200, 1u16..=60),
        1 => (1u16..6, 1u16..6),
        1 => (38u16..44, 6u16..12),
        1 => Just((60, 11)),
        1 => Just((100, 30)),
    ]
}

fn keys() -> impl Strategy<Value = String> {
    let table: Vec<String> = TABLE
        .iter()
        .flat_map(|e| e.keys.iter())
        .filter(|k| !k.contains("<f1>") && **k != "q" && !k.contains("<c-c>"))
        .map(|k| k.replace("{a}", "a").replace("<space>", " "))
        .collect();
    prop_oneof![
        4 => proptest::sample::select(vec![
            "gg", "G", "s", "s", "S", "d", "d<tab>", "zs", "3", "3j<enter>", "<tab>", "<esc>",
            "?", ":", "j", "j", "k", "zm", "zr", "/e<enter>", "]c", "]e", "<enter>",
        ])
        .prop_map(str::to_owned),
        3 => proptest::sample::select(table),
    ]
}

/// A run in which every text is one of these.
fn world(texts: &[String]) -> World {
    let mut w = World::new(&texts[0]);
    w.live = true;
    w.running = true;
    for (i, text) in texts.iter().enumerate() {
        let other = &texts[(i + 1) % texts.len()];
        w.prompt(text);
        w.think(other);
        w.bash(text, 1, &format!("{other}\n{text}\r{other}\n"), 0.1);
        let name = text.replace(['/', '\0'], "_");
        let name: String = name.chars().take(60).collect();
        let mut bytes = format!("fn {text}() {{}}\n\t{other}\n").into_bytes();
        bytes.extend_from_slice(b"\xff\xfe\xc3(\x9b31m broken\n");
        w.put(&format!("dir {name}/{name}.rs"), bytes.clone());
        w.bash("write", 0, text, 0.1);
        bytes.extend_from_slice(other.as_bytes());
        w.put(&format!("dir {name}/{name}.rs"), bytes);
        let at = w.step(
            StepKind::Call,
            CallKind::Edit,
            text,
            other,
            text,
            Some(other),
            None,
            0.1,
        );
        w.label(at, text);
    }
    w.link("link", &texts[0]);
    w.bash("ln", 0, "", 0.1);
    w
}

#[derive(Clone, Default)]
struct Bytes(Arc<Mutex<Vec<u8>>>);

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the terminal is sent: text, colours and places, and nothing else that it would act on.
fn check_bytes(stage: &mut Stage, what: &str) {
    let size = stage.app.size;
    let bytes = Bytes::default();
    let options = TerminalOptions {
        viewport: Viewport::Fixed(Rect::new(0, 0, size.width, size.height)),
    };
    let mut terminal =
        Terminal::with_options(CrosstermBackend::new(bytes.clone()), options).unwrap();
    let app = &stage.app;
    terminal.draw(|frame| draw(app, frame)).unwrap();
    let bytes = bytes.0.lock().unwrap().clone();
    let text = String::from_utf8(bytes).expect("text");
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\x1b' {
            assert!(!c.is_control(), "{what}: {c:?} is sent");
            continue;
        }
        assert_eq!(
            rest.next(),
            Some('['),
            "{what}: an escape that is none of ours"
        );
        let last = rest.find(|c| !matches!(c, '0'..='9' | ';' | '?' | ':'));
        assert!(
            matches!(last, Some('m' | 'H' | 'h' | 'l' | 'J' | 'K')),
            "{what}: {last:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn hostile_texts_stay_in_their_cells_at_any_size(
        texts in proptest::collection::vec(evil(), 1..4),
        acts in proptest::collection::vec((keys(), size()), 1..14),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut stage = Stage::open(world(&texts), 100, 30).await;
            check(&mut stage, "the beginning");
            for (keys, (width, height)) in &acts {
                stage.resize(*width, *height).await;
                let what = format!("{width}x{height}");
                check(&mut stage, &what);
                stage.keys(keys).await.pause().await;
                let what = format!("{keys} at {width}x{height}");
                check(&mut stage, &what);
                check_bytes(&mut stage, &what);
            }
        });
    }
}

#[tokio::test]
async fn a_line_of_sixteen_megabytes() {
    let mut w = World::new("long lines");
    let long = "0123456789 \u{1b}[31m".repeat(1 << 20);
    w.put("short.txt", "one\n");
    w.put("long.txt", &long);
    w.prompt(&long[..1 << 20]);
    w.bash(&long[..1 << 20], 1, &long[..2 << 20], 0.1);
    let mut stage = Stage::open(w, 100, 30).await;
    let begin = Instant::now();
    for keys in [
        "G", "gg", "s", "d", "<enter>", "<esc>", "3", "j", "<enter>", "<right>", "<esc>",
    ] {
        stage.keys(keys).await.pause().await;
        check(&mut stage, keys);
    }
    // A second in an optimised build; this one is not, and the machine may be busy.
    assert!(
        begin.elapsed() < Duration::from_secs(60),
        "{:?}",
        begin.elapsed()
    );
}
