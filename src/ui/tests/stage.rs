//! The stage: an app of a given size over a scripted source, driven by keys until nothing is under way.

use std::path::Path;
use std::sync::Arc;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::KeyCode;
use ratatui::layout::Size;
use ratatui::style::{Color, Modifier, Style};
use tokio::sync::mpsc;

use crate::ui::app::{App, Look};
use crate::ui::draw::draw;
use crate::ui::errand::Errand;
use crate::ui::keys::Key;
use crate::ui::merge_view::subject::About;
use crate::ui::msg::{Effect, Msg, Timer};
use crate::ui::runner::Runner;
use crate::ui::screen;
use crate::ui::theme::{Backdrop, Depth, Glyphs, Theme, UNICODE};
use crate::ui::update::update;

use super::script::{NOON, World};
use super::source::Script;

pub(super) struct Stage {
    pub app: App,
    pub script: Script,
    runner: Runner,
    messages: mpsc::UnboundedReceiver<Msg>,
    terminal: Terminal<TestBackend>,
    timers: Vec<Timer>,
    /// The times that were asked for, with what for: a clock of the test's own.
    pub waits: Vec<(std::time::Duration, Timer)>,
    pub copied: Vec<String>,
    pub quit: bool,
    pub suspended: usize,
    pub redrawn: usize,
    /// Texts that were to be opened in an editor.
    pub edits: Vec<(About, String, Vec<u8>)>,
    /// What the terminal was to be lent for.
    pub lent: Vec<Errand>,
    /// Recordings that were asked to be opened.
    pub opened: Vec<String>,
    /// It went back to the list.
    pub back: bool,
}

pub(super) fn look() -> Look {
    Look {
        theme: Theme::new(Depth::Ansi, Backdrop::Unknown),
        glyphs: UNICODE,
        zone: jiff::tz::TimeZone::UTC,
    }
}

impl Stage {
    /// Opens the world on a terminal of this size and waits until it is shown.
    pub(super) async fn open(world: World, width: u16, height: u16) -> Self {
        let mut stage = Self::closed(world, width, height);
        stage.connect();
        stage.settle().await;
        stage
    }

    /// Opens the list of the world's recordings.
    pub(super) async fn list(world: World, width: u16, height: u16) -> Self {
        let mut stage = Self::closed(world, width, height);
        stage.app = App::list(look(), crate::model::Time(NOON));
        stage.app.size = Size::new(width, height);
        stage.connect();
        stage.settle().await;
        stage
    }

    /// Before the source is there.
    pub(super) fn closed(world: World, width: u16, height: u16) -> Self {
        let (send, messages) = mpsc::unbounded_channel();
        let mut app = App::new(look());
        app.size = Size::new(width, height);
        Self {
            app,
            script: Script::new(world),
            runner: Runner::new(send),
            messages,
            terminal: Terminal::new(TestBackend::new(width, height)).unwrap(),
            timers: Vec::new(),
            waits: Vec::new(),
            copied: Vec::new(),
            quit: false,
            suspended: 0,
            redrawn: 0,
            edits: Vec::new(),
            lent: Vec::new(),
            opened: Vec::new(),
            back: false,
        }
    }

    pub(super) fn connect(&mut self) {
        self.runner.connect(Arc::new(self.script.clone()));
        let live = self.script.with(|w| w.live);
        self.take(Msg::Connected(Ok(live)));
    }

    pub(super) fn glyphs(mut self, glyphs: Glyphs) -> Self {
        self.app.look.glyphs = glyphs;
        self.app.shelf.version += 1;
        self
    }

    pub(super) fn theme(mut self, depth: Depth, backdrop: Backdrop) -> Self {
        self.app.look.theme = Theme::new(depth, backdrop);
        self.app.shelf.version += 1;
        self
    }

    pub(super) fn take(&mut self, msg: Msg) {
        for effect in update(&mut self.app, msg) {
            if let Effect::Later(time, timer) = effect {
                self.timers.push(timer);
                self.waits.push((time, timer));
                continue;
            }
            match self.runner.run(effect) {
                Some(Effect::Quit) => self.quit = true,
                Some(Effect::Back) => self.back = true,
                Some(Effect::Open(path)) => self.opened.push(path),
                Some(Effect::Copy(text)) => self.copied.push(text),
                Some(Effect::Suspend) => self.suspended += 1,
                Some(Effect::Redraw) => self.redrawn += 1,
                Some(Effect::Lend(errand)) => self.lent.push(errand),
                Some(Effect::Edit(about, name, text)) => self.edits.push((about, name, text)),
                _ => {}
            }
        }
        screen::arrange(&mut self.app);
    }

    /// Until nothing is under way.
    pub(super) async fn settle(&mut self) {
        loop {
            while let Ok(msg) = self.messages.try_recv() {
                self.take(msg);
            }
            if self.runner.open() == 0 {
                // What a task sent before it ended is there by now.
                tokio::task::yield_now().await;
                match self.messages.try_recv() {
                    Ok(msg) => self.take(msg),
                    Err(_) => return,
                }
            } else if let Ok(Some(msg)) =
                tokio::time::timeout(std::time::Duration::from_millis(20), self.messages.recv())
                    .await
            {
                self.take(msg);
            }
        }
    }

    /// Presses keys: characters, and names like `<enter>`.
    pub(super) async fn keys(&mut self, text: &str) -> &mut Self {
        for key in parse(text) {
            self.take(Msg::Key(key));
            self.settle().await;
        }
        self
    }

    /// Asks this model from now on.
    pub(super) fn model(&mut self, client: crate::llm::Client) {
        let source = Arc::new(self.script.clone());
        let assistant = crate::engine::assist::Assistant::with_client(source, Arc::new(client));
        self.runner.ask_with(assistant);
    }

    /// Presses keys without waiting for what comes of them.
    pub(super) fn press(&mut self, text: &str) {
        for key in parse(text) {
            self.take(Msg::Key(key));
        }
    }

    /// Waits until the screen is so.
    pub(super) async fn until(&mut self, is: impl Fn(&str) -> bool) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        loop {
            let screen = self.screen();
            if is(&screen) {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "{screen}");
            let wait = std::time::Duration::from_millis(20);
            if let Ok(Some(msg)) = tokio::time::timeout(wait, self.messages.recv()).await {
                self.take(msg);
            }
        }
    }

    /// Lets the time of the last prefix pass.
    pub(super) async fn pause(&mut self) -> &mut Self {
        for timer in std::mem::take(&mut self.timers) {
            if matches!(timer, Timer::Prefix(_)) {
                self.take(Msg::Timer(timer));
            }
        }
        self.settle().await;
        self
    }

    pub(super) async fn resize(&mut self, width: u16, height: u16) -> &mut Self {
        self.terminal.backend_mut().resize(width, height);
        self.take(Msg::Resize(width, height));
        self.settle().await;
        self
    }

    pub(super) fn buffer(&mut self) -> Buffer {
        screen::arrange(&mut self.app);
        let app = &self.app;
        self.terminal.draw(|frame| draw(app, frame)).unwrap();
        self.terminal.backend().buffer().clone()
    }

    /// The characters on the screen, without blanks at the ends of lines.
    pub(super) fn screen(&mut self) -> String {
        lines(&self.buffer()).join("\n") + "\n"
    }

    /// The screen with its styles: below each line, what is not plain in it.
    pub(super) fn styled(&mut self) -> String {
        let buffer = self.buffer();
        let mut out = String::new();
        for (y, text) in lines(&buffer).iter().enumerate() {
            out.push_str(text);
            out.push('\n');
            let y = u16::try_from(y).unwrap();
            for (from, to, style) in runs(&buffer, y) {
                let words: String = (from..to).map(|x| buffer[(x, y)].symbol()).collect();
                if !words.trim().is_empty() && words.trim() != "│" {
                    out.push_str(&format!("      {style}: {}\n", words.trim()));
                }
            }
        }
        out
    }

    /// The number of the step that is looked at, as it is written.
    pub(super) fn focus_at(&self) -> String {
        self.app.focus.map(|o| o.to_string()).unwrap_or_default()
    }

    pub(super) fn focus(&self) -> u64 {
        self.app.focus_row().map_or(0, |r| r.ordinal.major)
    }
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let area = *buffer.area();
    (area.top()..area.bottom())
        .map(|y| {
            let mut line = String::new();
            let mut skip = 0;
            for x in area.left()..area.right() {
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                let symbol = buffer[(x, y)].symbol();
                skip = crate::ui::text::width(symbol).saturating_sub(1);
                line.push_str(symbol);
            }
            line.trim_end().to_owned()
        })
        .collect()
}

fn runs(buffer: &Buffer, y: u16) -> Vec<(u16, u16, String)> {
    let area = *buffer.area();
    let mut out: Vec<(u16, u16, String)> = Vec::new();
    for x in area.left()..area.right() {
        let name = describe(buffer[(x, y)].style());
        match out.last_mut() {
            Some((_, to, last)) if *last == name => *to = x + 1,
            _ => out.push((x, x + 1, name)),
        }
    }
    out.retain(|(_, _, name)| !name.is_empty());
    out
}

fn describe(style: Style) -> String {
    let mut words = Vec::new();
    let color = |c: Option<Color>| c.filter(|c| *c != Color::Reset);
    if let Some(fg) = color(style.fg) {
        words.push(fg.to_string().to_lowercase());
    }
    if let Some(bg) = color(style.bg) {
        words.push(format!("on {}", bg.to_string().to_lowercase()));
    }
    for (modifier, name) in [
        (Modifier::BOLD, "bold"),
        (Modifier::DIM, "dim"),
        (Modifier::ITALIC, "italic"),
        (Modifier::UNDERLINED, "underlined"),
        (Modifier::REVERSED, "reversed"),
        (Modifier::CROSSED_OUT, "crossed out"),
    ] {
        if style.add_modifier.contains(modifier) {
            words.push(name.to_owned());
        }
    }
    words.join(" ")
}

pub(super) fn parse(text: &str) -> Vec<Key> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let named = [
            ("<enter>", KeyCode::Enter),
            ("<esc>", KeyCode::Esc),
            ("<tab>", KeyCode::Tab),
            ("<s-tab>", KeyCode::BackTab),
            ("<down>", KeyCode::Down),
            ("<up>", KeyCode::Up),
            ("<left>", KeyCode::Left),
            ("<right>", KeyCode::Right),
            ("<pgdn>", KeyCode::PageDown),
            ("<pgup>", KeyCode::PageUp),
            ("<home>", KeyCode::Home),
            ("<end>", KeyCode::End),
            ("<bs>", KeyCode::Backspace),
            ("<f1>", KeyCode::F(1)),
        ];
        if let Some((name, code)) = named.iter().find(|(n, _)| rest.starts_with(n)) {
            out.push(Key::code(*code));
            rest = &rest[name.len()..];
            continue;
        }
        if let Some(tail) = rest.strip_prefix("<c-") {
            let c = tail.chars().next().unwrap();
            out.push(Key {
                ctrl: true,
                ..Key::char(c)
            });
            rest = &tail[c.len_utf8() + 1..];
            continue;
        }
        out.push(Key::char(c));
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// Compares with the file of that name in the repository's `snapshots/`.
pub(super) fn assert_screen(name: &str, screen: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(format!("ui__{name}"), screen));
}
