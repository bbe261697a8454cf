//! The real backend's bytes, read by a terminal emulator: what a person sees, not what the buffer holds.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{TerminalOptions, Viewport};

use crate::ui::draw::draw;

use super::stage::Stage;
use super::story::{live, story};

#[derive(Clone)]
struct Screen(Arc<Mutex<vt100::Parser>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().process(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn shown(stage: &mut Stage) -> (Vec<String>, Arc<Mutex<vt100::Parser>>) {
    ratatui::crossterm::style::force_color_output(true);
    let size = stage.app.size;
    let parser = Arc::new(Mutex::new(vt100::Parser::new(size.height, size.width, 0)));
    let options = TerminalOptions {
        viewport: Viewport::Fixed(Rect::new(0, 0, size.width, size.height)),
    };
    let backend = CrosstermBackend::new(Screen(Arc::clone(&parser)));
    let mut terminal = Terminal::with_options(backend, options).unwrap();
    let _ = stage.buffer();
    let app = &stage.app;
    terminal.draw(|frame| draw(app, frame)).unwrap();
    let lines = parser
        .lock()
        .unwrap()
        .screen()
        .rows(0, size.width)
        .map(|l| l.trim_end().to_owned())
        .collect();
    (lines, parser)
}

#[tokio::test]
async fn the_terminal_shows_what_was_drawn() {
    for (keys, width, height) in [("9G", 100, 30), ("9Gd", 200, 50), ("9G?", 60, 11)] {
        let mut stage = Stage::open(story(), width, height).await;
        stage.keys(keys).await;
        let drawn: Vec<String> = stage.screen().lines().map(str::to_owned).collect();
        let (lines, _) = shown(&mut stage);
        assert_eq!(lines, drawn, "{keys}");
    }
}

#[tokio::test]
async fn colours_and_weights_arrive() {
    let mut stage = Stage::open(live(), 100, 30).await;
    stage.keys("9G").await;
    let (lines, parser) = shown(&mut stage);
    let parser = parser.lock().unwrap();
    let screen = parser.screen();
    let find = |text: &str| {
        let row = lines.iter().position(|l| l.contains(text)).unwrap();
        let line = &lines[row];
        let column = line[..line.find(text).unwrap()].chars().count();
        let (row, column) = (u16::try_from(row).unwrap(), u16::try_from(column).unwrap());
        screen.cell(row, column).unwrap().clone()
    };
    assert_eq!(find("LIVE").fgcolor(), vt100::Color::Idx(2));
    assert!(find("LIVE").bold());
    assert_eq!(find("✗101").fgcolor(), vt100::Color::Idx(1));
    assert!(find("●─╮   9").inverse());
}
