//! The program in a real pseudo-terminal, its screen kept by a terminal emulator, keys pressed as a person would.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

pub struct Term {
    keyboard: File,
    parser: Arc<Mutex<vt100::Parser>>,
    /// Everything the program wrote, with the time it came.
    pub bytes: Arc<Mutex<Vec<(Instant, usize)>>>,
    pub raw: Arc<Mutex<Vec<u8>>>,
    pub child: Child,
}

impl Term {
    /// Starts `command` with a controlling terminal of that size.
    pub fn start(command: &Command, cols: u16, rows: u16) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = rustix::fs::open(
            name.as_c_str(),
            OFlags::RDWR | OFlags::NOCTTY,
            Mode::empty(),
        )
        .unwrap();
        let size = Winsize {
            ws_row: rows,
            ws_col: cols,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&master, size).unwrap();
        let mut c = Command::new("setsid");
        c.arg("-c")
            .arg("-w")
            .arg(command.get_program())
            .args(command.get_args());
        if let Some(dir) = command.get_current_dir() {
            c.current_dir(dir);
        }
        for (key, value) in command.get_envs() {
            match value {
                Some(v) => c.env(key, v),
                None => c.env_remove(key),
            };
        }
        c.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        let slave = File::from(slave);
        c.stdin(Stdio::from(slave.try_clone().unwrap()))
            .stdout(Stdio::from(slave.try_clone().unwrap()))
            .stderr(Stdio::from(slave));
        let child = c.spawn().unwrap();
        drop(c);
        let master = File::from(master);
        let parser = Arc::new(Mutex::new(vt100::Parser::new(rows, cols, 0)));
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let raw = Arc::new(Mutex::new(Vec::new()));
        let (screen, times, all) = (Arc::clone(&parser), Arc::clone(&bytes), Arc::clone(&raw));
        let mut output = master.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok(n) = output.read(&mut buffer) {
                if n == 0 {
                    break;
                }
                times.lock().unwrap().push((Instant::now(), n));
                all.lock().unwrap().extend_from_slice(&buffer[..n]);
                screen.lock().unwrap().process(&buffer[..n]);
            }
        });
        Self {
            keyboard: master,
            parser,
            bytes,
            raw,
            child,
        }
    }

    pub fn keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    pub fn resize(&mut self, cols: u16, rows: u16) {
        self.parser
            .lock()
            .unwrap()
            .screen_mut()
            .set_size(rows, cols);
        let size = Winsize {
            ws_row: rows,
            ws_col: cols,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.keyboard, size).unwrap();
    }

    pub fn screen(&self) -> String {
        self.parser.lock().unwrap().screen().contents()
    }

    /// Waits until the screen is as wanted.
    pub fn wait(&self, what: &str, patience: Duration, wanted: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let screen = self.screen();
            if wanted(&screen) {
                return screen;
            }
            assert!(
                start.elapsed() < patience,
                "waited in vain for {what}; the screen:\n{screen}"
            );
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    pub fn ended(&mut self, patience: Duration) -> Option<i32> {
        let start = Instant::now();
        while start.elapsed() < patience {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    pub fn alternate(&self) -> bool {
        self.parser.lock().unwrap().screen().alternate_screen()
    }

    /// The screen as an SVG picture, drawn from its cells and colours.
    pub fn svg(&self, title: &str) -> String {
        let parser = self.parser.lock().unwrap();
        let screen = parser.screen();
        let (rows, cols) = screen.size();
        let (w, h, pad, bar) = (8.4_f32, 18.0_f32, 14.0_f32, 28.0_f32);
        let (width, height) = (
            f32::from(cols) * w + 2.0 * pad,
            f32::from(rows) * h + 2.0 * pad + bar,
        );
        let mut out = String::new();
        let _ = write!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace\" font-size=\"14\"><title>{}</title><rect width=\"100%\" height=\"100%\" rx=\"10\" fill=\"#16181d\"/>",
            escape(title)
        );
        for (i, colour) in ["#ff5f57", "#febc2e", "#28c840"].iter().enumerate() {
            let _ = write!(
                out,
                "<circle cx=\"{}\" cy=\"16\" r=\"5.5\" fill=\"{colour}\"/>",
                20 + i * 20
            );
        }
        for row in 0..rows {
            let y = bar + pad + f32::from(row) * h;
            let mut col = 0;
            while col < cols {
                let Some(cell) = screen.cell(row, col) else {
                    break;
                };
                let style = style_of(cell);
                let (start, mut text) = (col, String::new());
                // One run of equal style; wide cells are followed by an empty continuation.
                while col < cols {
                    let Some(cell) = screen.cell(row, col) else {
                        break;
                    };
                    if style_of(cell) != style {
                        break;
                    }
                    if !cell.is_wide_continuation() {
                        text.push_str(if cell.has_contents() {
                            cell.contents()
                        } else {
                            " "
                        });
                    }
                    col += 1;
                }
                let (fg, bg, bold, dim, italic, underline) = style;
                let x = pad + f32::from(start) * w;
                let run = f32::from(col - start) * w;
                if let Some(bg) = &bg {
                    let _ = write!(
                        out,
                        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{run:.1}\" height=\"{h}\" fill=\"{bg}\"/>"
                    );
                }
                if text.trim().is_empty() {
                    continue;
                }
                let mut extra = String::new();
                if bold {
                    extra.push_str(" font-weight=\"bold\"");
                }
                if dim {
                    extra.push_str(" opacity=\"0.6\"");
                }
                if italic {
                    extra.push_str(" font-style=\"italic\"");
                }
                if underline {
                    extra.push_str(" text-decoration=\"underline\"");
                }
                let _ = write!(
                    out,
                    "<text x=\"{x:.1}\" y=\"{:.1}\" fill=\"{fg}\" xml:space=\"preserve\" textLength=\"{run:.1}\" lengthAdjust=\"spacingAndGlyphs\"{extra}>{}</text>",
                    y + 13.5,
                    escape(&text)
                );
            }
        }
        out.push_str("</svg>\n");
        out
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Style = (String, Option<String>, bool, bool, bool, bool);

fn style_of(cell: &vt100::Cell) -> Style {
    let fg = colour(cell.fgcolor()).unwrap_or_else(|| "#d6d9df".to_owned());
    let bg = colour(cell.bgcolor());
    let (fg, bg) = if cell.inverse() {
        (bg.unwrap_or_else(|| "#16181d".to_owned()), Some(fg))
    } else {
        (fg, bg)
    };
    (
        fg,
        bg,
        cell.bold(),
        cell.dim(),
        cell.italic(),
        cell.underline(),
    )
}

fn colour(c: vt100::Color) -> Option<String> {
    const BASE: [&str; 16] = [
        "#3b4048", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#c8ccd4",
        "#6b727d", "#ef8891", "#b1d695", "#f0d399", "#82c3ff", "#d792ea", "#72cbd6", "#ffffff",
    ];
    match c {
        vt100::Color::Default => None,
        vt100::Color::Rgb(r, g, b) => Some(format!("#{r:02x}{g:02x}{b:02x}")),
        vt100::Color::Idx(i) if i < 16 => Some(BASE[usize::from(i)].to_owned()),
        vt100::Color::Idx(i) if i >= 232 => {
            let v = 8 + 10 * u32::from(i - 232);
            Some(format!("#{v:02x}{v:02x}{v:02x}"))
        }
        vt100::Color::Idx(i) => {
            let n = u32::from(i) - 16;
            let part = |v: u32| if v == 0 { 0 } else { 55 + 40 * v };
            Some(format!(
                "#{:02x}{:02x}{:02x}",
                part(n / 36),
                part(n / 6 % 6),
                part(n % 6)
            ))
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
